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

enum code parse_error_at(struct err *err, struct doc_place *place,
			 struct str text, size_t at, const char *reason)
{
	uint32_t line = 1, column = 1;

	for (size_t i = 0; i < at; i++) {
		if (text.p[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)text.p[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	return parse_error(err, place, line, column, reason);
}

static enum code check_size(struct str text, const struct doc_limits *limits,
			    struct doc_place *place, struct err *err)
{
	if (place)
		*place = (struct doc_place){ 0 };
	if (text.n <= limits->bytes_max)
		return OK;
	return err_set(err, E_TOO_LARGE, "%zu bytes, at most %zu are allowed",
		       text.n, limits->bytes_max);
}

static enum code check_utf8(struct str text, struct doc_place *place,
			    struct err *err)
{
	size_t at = 0, n;

	if (str_is_utf8(text))
		return OK;
	while ((n = str_utf8_len(str_from(text, at))) > 0)
		at += n;
	return parse_error_at(err, place, text, at, "not UTF-8");
}

static enum code check_text(struct str text, const struct doc_limits *limits,
			    struct doc_place *place, struct err *err)
{
	enum code rc = check_size(text, limits, place, err);

	return rc ? rc : check_utf8(text, place, err);
}

static enum code parse_text(struct str text, struct arena *arena,
			    const struct doc_limits *limits, struct value **out,
			    struct doc_place *place, struct err *err)
{
	enum code rc = check_size(text, limits, place, err);

	if (rc)
		return rc;
	*out = value_str(arena, text);
	(*out)->line = (*out)->column = 1;
	return OK;
}

enum code doc_parse(enum format f, struct str text, struct arena *arena,
		    const struct doc_limits *limits, struct value **out,
		    struct doc_place *place, struct err *err)
{
	static doc_parser *const parsers[FORMAT__COUNT] = {
		[FORMAT_JSON] = json_parse,
		[FORMAT_YAML] = yaml_parse,
		[FORMAT_TOML] = toml_parse,
	};
	const struct doc_limits *l = limits ? limits : &doc_limits_default;
	enum code rc;

	must(f < FORMAT__COUNT);
	if (!text.p)
		text = STR("");
	if (!parsers[f])
		return parse_text(text, arena, l, out, place, err);
	rc = check_text(text, l, place, err);
	return rc ? rc : parsers[f](text, arena, l, out, place, err);
}

enum code doc_parse_stream(struct str text, struct arena *arena,
			   const struct doc_limits *limits, struct value **array,
			   struct doc_place *place, struct err *err)
{
	const struct doc_limits *l = limits ? limits : &doc_limits_default;
	enum code rc;

	if (!text.p)
		text = STR("");
	rc = check_text(text, l, place, err);
	return rc ? rc : yaml_parse_stream(text, arena, l, array, place, err);
}

enum code doc_parse_json(struct str text, struct arena *arena,
			 const struct doc_limits *limits, struct value **out,
			 struct err *err)
{
	return doc_parse(FORMAT_JSON, text, arena, limits, out, NULL, err);
}
