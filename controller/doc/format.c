/* The table of formats and the door to their parsers: see format.h. */
#include "doc/format.h"

#include "doc/parsers.h"

#include "base/banned.h"

const struct doc_limits doc_limits_default = {
	.bytes_max = 8 * 1024 * 1024,
	.depth_max = 64,
	.nodes_max = 1000000,
	.documents_max = 1000,
};

static const struct {
	const char *name, *extensions, *content_type;
	bool structured;
} formats[FORMAT__COUNT] = {
#define FORMAT(ident, name, ext, type, structured) \
	[FORMAT_##ident] = { name, ext, type, structured },
#include "doc/formats.tbl"
#undef FORMAT
};

const char *format_name(enum format f)
{
	must(f < FORMAT__COUNT);
	return formats[f].name;
}

const char *format_content_type(enum format f)
{
	must(f < FORMAT__COUNT);
	return formats[f].content_type;
}

bool format_is_structured(enum format f)
{
	must(f < FORMAT__COUNT);
	return formats[f].structured;
}

bool format_parse_name(struct str name, enum format *out)
{
	for (unsigned i = 0; i < FORMAT__COUNT; i++)
		if (str_eq(name, str_of(formats[i].name))) {
			*out = (enum format)i;
			return true;
		}
	return false;
}

enum format format_of_path(struct str path)
{
	size_t slash = str_rfind(path, '/');
	struct str file = slash == SIZE_MAX ? path : str_from(path, slash + 1);
	size_t dot = str_rfind(file, '.');
	struct str ext;

	if (dot == SIZE_MAX)
		return FORMAT_TEXT;
	ext = str_from(file, dot + 1);
	for (unsigned i = 0; i < FORMAT__COUNT; i++) {
		struct str rest = str_of(formats[i].extensions);

		while (rest.n)
			if (str_eq_nocase(ext, str_cut(&rest, ',')))
				return (enum format)i;
	}
	return FORMAT_TEXT;
}

enum code parse_error(struct err *err, struct doc_place *place, uint32_t line,
		      uint32_t column, const char *reason)
{
	if (place)
		*place = (struct doc_place){ line, column };
	if (line)
		return err_set(err, E_PARSE, "line %u, column %u: %s", line,
			       column, reason);
	return err_set(err, E_PARSE, "%s", reason);
}

static enum code check_size(struct str text, const struct doc_limits *limits,
			    struct err *err)
{
	if (text.n <= limits->bytes_max)
		return OK;
	return err_set(err, E_TOO_LARGE, "%zu bytes, at most %zu are allowed",
		       text.n, limits->bytes_max);
}

/* Length of the character at 'at', or 0 where it is none. */
static size_t character(struct str text, size_t at)
{
	for (size_t n = 1; n <= 4 && at + n <= text.n; n++)
		if (str_is_utf8(str_n(text.p + at, n)))
			return n;
	return 0;
}

static enum code check_utf8(struct str text, struct doc_place *place,
			    struct err *err)
{
	uint32_t line = 1, column = 1;
	size_t n;

	if (str_is_utf8(text))
		return OK;
	for (size_t at = 0; (n = character(text, at)) > 0; at += n) {
		column = text.p[at] == '\n' ? 1 : column + 1;
		line += text.p[at] == '\n';
	}
	return parse_error(err, place, line, column, "not UTF-8");
}

static enum code parse_text(struct str text, struct arena *arena,
			    struct value **out)
{
	*out = value_str(arena, text);
	(*out)->line = (*out)->column = 1;
	return OK;
}

enum code doc_parse(enum format f, struct str text, struct arena *arena,
		    const struct doc_limits *limits, struct value **out,
		    struct doc_place *place, struct err *err)
{
	const struct doc_limits *l = limits ? limits : &doc_limits_default;
	enum code rc = check_size(text, l, err);

	if (place)
		*place = (struct doc_place){ 0 };
	if (rc)
		return rc;
	if (f == FORMAT_TEXT)
		return parse_text(text, arena, out);
	rc = check_utf8(text, place, err);
	if (rc)
		return rc;
	switch (f) {
	case FORMAT_JSON:
		return json_parse(text, arena, l, out, place, err);
	case FORMAT_YAML:
		return yaml_parse(text, arena, l, out, place, err);
	case FORMAT_TOML:
		return toml_parse(text, arena, l, out, place, err);
	default:
		return err_set(err, E_UNSUPPORTED, "unknown format");
	}
}

enum code doc_parse_stream(struct str text, struct arena *arena,
			   const struct doc_limits *limits,
			   struct value **array, struct doc_place *place,
			   struct err *err)
{
	const struct doc_limits *l = limits ? limits : &doc_limits_default;
	enum code rc = check_size(text, l, err);

	if (rc == OK)
		rc = check_utf8(text, place, err);
	return rc ? rc : yaml_parse_stream(text, arena, l, array, place, err);
}

enum code doc_parse_json(struct str text, struct arena *arena,
			 const struct doc_limits *limits, struct value **out,
			 struct err *err)
{
	return doc_parse(FORMAT_JSON, text, arena, limits, out, NULL, err);
}
