/*
 * Differences: two documents out of one input, by path and by line.  A document does not
 * differ from itself; one of two has a change exactly where they are not equal; and what
 * is told is JSON.
 */
#include <stdint.h>

#include "doc/format.h"
#include "model/diff.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_values(struct arena *arena, const struct value *a, const struct value *b)
{
	AUTO_BUF out = BUF_NONE;
	struct value *told;
	struct diff diff;
	struct err err;

	diff_values(arena, a, b, &diff);
	must((diff.n == 0) == value_eq(a, b));
	for (size_t i = 0; i < diff.n; i++)
		must(diff.c[i].before || diff.c[i].after);
	diff_json(&out, &diff);
	must(doc_parse_json(buf_view(&out), arena, NULL, &told, &err) == OK ||
	     err.code == E_TOO_LARGE);
	diff_values(arena, a, a, &diff);
	must(diff.n == 0);
}

static void check_lines(struct str a, struct str b)
{
	AUTO_BUF out = BUF_NONE;
	AUTO_BUF same = BUF_NONE;

	diff_lines(&out, a, b);
	must((out.n == 0) == str_eq(a, b));
	diff_lines(&same, a, a);
	must(same.n == 0);
}

/* The halves lie at the first byte 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA arena = arena_new(0);
	struct doc_limits limits = { .bytes_max = 65536, .depth_max = 32,
				     .nodes_max = 10000, .documents_max = 1 };
	struct str rest = str_n(data, size), first = str_cut(&rest, '\0');
	struct value *a, *b;
	struct err err;

	check_lines(first, rest);
	if (doc_parse_json(first, arena, &limits, &a, &err) == OK &&
	    doc_parse_json(rest, arena, &limits, &b, &err) == OK)
		check_values(arena, a, b);
	return 0;
}
