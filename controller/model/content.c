/* Content of configurations: see content.h. */
#include "model/content.h"

#include "base/banned.h"

/* The line of the first "{{ .", 0: there is none. */
static uint32_t reference_line(struct str s)
{
	uint32_t line = 1;

	for (size_t i = 0; i + 2 < s.n; i++) {
		size_t k = i + 2;

		if (s.p[i] == '\n')
			line++;
		if (s.p[i] != '{' || s.p[i + 1] != '{')
			continue;
		if (s.p[k] == '-')
			k++;
		while (k < s.n && (s.p[k] == ' ' || s.p[k] == '\t'))
			k++;
		if (k < s.n && s.p[k] == '.')
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
			"line %u: references ({{ . }}) are not supported yet",
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
