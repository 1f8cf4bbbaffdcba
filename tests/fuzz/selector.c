/*
 * Selectors: whatever text is one or is refused with a word; what is one chooses
 * without looking beyond its strings, and its turned-around term chooses the
 * other half.
 */
#include <stdint.h>

#include "api/selector.h"
#include "doc/format.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum selector_op turned(enum selector_op op)
{
	static const enum selector_op to[] = {
		[SELECT_IN] = SELECT_NOT_IN, [SELECT_NOT_IN] = SELECT_IN,
		[SELECT_EXISTS] = SELECT_ABSENT, [SELECT_ABSENT] = SELECT_EXISTS,
	};

	return to[op];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char text[] = "{\"a\":\"b\",\"c\":\"\",\"metadata\":"
				   "{\"name\":\"x\"}}";
	AUTO_ARENA arena = arena_new(0);
	struct str in = str_n(data, size);
	struct err err = { 0 };
	struct query_selector s;
	struct value *v;
	bool was;

	must(doc_parse_json(str_of(text), arena, NULL, &v, &err) == OK);
	if (label_selector_parse(in, arena, &s, &err)) {
		must(err.code == E_INVALID && err.text[0]);
	} else {
		was = label_selector_matches(&s, v);
		must(s.n || was);
		if (s.n == 1) {
			s.terms[0].op = turned(s.terms[0].op);
			must(label_selector_matches(&s, v) != was);
		}
	}
	if (field_selector_parse(in, arena, &s, &err))
		must(err.code == E_INVALID && err.text[0]);
	else
		must(field_selector_matches(&s, v, arena) || s.n);
	return 0;
}
