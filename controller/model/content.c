/* Content of configurations: see content.h. */
#include "model/content.h"

#include "base/banned.h"

static struct str skip_blanks(struct str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = str_from(s, 1);
	return s;
}

/* Is what follows "{{" one: something up to "}}" in the same line, or a name
 * that begins with a dot, however it ends?  Text with single braces, or "{{}}",
 * is none. */
static bool is_reference(struct str s)
{
	size_t end;

	s = str_first(s, MIN(str_find(s, '\n'), s.n));
	s = skip_blanks(str_from(s, str_starts(s, STR("-"))));
	end = str_find_str(s, STR("}}"));
	return str_starts(s, STR(".")) || (end != SIZE_MAX && end > 0);
}

/* The line of the first reference, 0: there is none. */
static uint32_t reference_line(struct str s)
{
	uint32_t line = 1;

	for (size_t i = 0; i + 2 < s.n; i++) {
		if (s.p[i] == '\n')
			line++;
		if (s.p[i] == '{' && s.p[i + 1] == '{' &&
		    is_reference(str_from(s, i + 2)))
			return line;
	}
	return 0;
}

enum code content_check(enum format format, struct str content,
			struct arena *arena, const struct doc_limits *limits,
			struct value **tree, struct err *err)
{
	struct value *parsed = NULL;
	uint32_t line;

	if (content.n > CONTENT_BYTES_MAX)
		return err_set(err, E_TOO_LARGE, "the content has %zu bytes, "
			       "%d are allowed", content.n, CONTENT_BYTES_MAX);
	line = reference_line(content);
	if (line) {
		err_set(err, E_UNPROCESSABLE,
			"line %u: references ({{ ... }}) are not supported yet",
			line);
		err_hint(err, "write the value itself, and no secrets");
		return E_UNPROCESSABLE;
	}
	if (doc_parse(format, content, arena, limits, &parsed, NULL, err)) {
		if (err)
			err->code = E_UNPROCESSABLE;
		return E_UNPROCESSABLE;
	}
	if (tree)
		*tree = parsed;
	return OK;
}
