/*
 * Objects against the schemas of all kinds.  What was found valid and was
 * completed is valid and complete; what was refused has a cause.
 */
#include "schema/check.h"

#include <stdlib.h>

#include "doc/format.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct kind *kind, const struct value *given,
		  struct arena *arena)
{
	struct value *v = value_dup(arena, given);
	struct check found = { 0 }, again = { 0 };
	AUTO_BUF once = BUF_NONE;
	AUTO_BUF twice = BUF_NONE;

	if (check_object(kind, v, arena, &found, NULL)) {
		must(found.n_causes > 0);
		return;
	}
	value_canonical(&once, v);
	must(check_object(kind, v, arena, &again, NULL) == OK);
	must(again.n_causes == 0 && again.n_unknown == 0);
	value_canonical(&twice, v);
	must(str_eq(buf_view(&once), buf_view(&twice)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_loaded;
	AUTO_ARENA arena = arena_new(0);
	const struct kind *const *kinds;
	struct value *v;
	size_t n;

	if (!is_loaded)
		must(kinds_load(NULL) == OK);
	is_loaded = true;
	if (doc_parse(FORMAT_YAML, str_n(data, size), arena, NULL, &v, NULL,
		      NULL) ||
	    v->type != VALUE_OBJECT)
		return 0;
	n = kinds_all(&kinds);
	for (size_t i = 0; i < n; i++)
		check(kinds[i], v, arena);
	return 0;
}
