/*
 * What holds for every text of a structured format: it is refused with a
 * place, or it becomes a value whose canonical form and whose JSON are read
 * back as an equal value.
 */
#ifndef TESTS_FUZZ_ROUNDTRIP_H
#define TESTS_FUZZ_ROUNDTRIP_H

#include "doc/format.h"

/* What JSON cannot say (times, infinities) changes its type on the way, and
 * a string that is not UTF-8 is mended. */
static inline bool is_plain(const struct value *v)
{
	switch (v->type) {
	case VALUE_TIME:
		return false;
	case VALUE_NUMBER:
		return v->s.n && (v->s.p[v->s.n - 1] >= '0' &&
				  v->s.p[v->s.n - 1] <= '9');
	case VALUE_STRING:
		return str_is_utf8(v->s);
	case VALUE_ARRAY:
		for (size_t i = 0; i < v->a.n; i++)
			if (!is_plain(v->a.items[i]))
				return false;
		return true;
	case VALUE_OBJECT:
		for (size_t i = 0; i < v->o.n; i++)
			if (!str_is_utf8(v->o.m[i].key) ||
			    !is_plain(v->o.m[i].value))
				return false;
		return true;
	default:
		return true;
	}
}

static inline void must_read_back(struct arena *arena, const struct value *v,
				  void (*print)(struct buf *out,
						const struct value *v))
{
	struct doc_limits limits = { 16 << 20, 200, 1000000, 1 };
	AUTO_BUF text = BUF_NONE;
	struct value *back;
	struct err err;

	print(&text, v);
	if (doc_parse(FORMAT_JSON, buf_view(&text), arena, &limits, &back, NULL,
		      &err))
		must(!"what was printed cannot be read");
	must(value_eq(v, back));
	must(value_eq(back, v));
}

static inline void fuzz_format(enum format format, struct str text)
{
	struct doc_limits limits = { 1 << 20, 64, 20000, 100 };
	AUTO_ARENA arena = arena_new(0);
	struct doc_place place = { 0 };
	struct value *v;
	struct err err = { 0 };

	if (doc_parse(format, text, arena, &limits, &v, &place, &err)) {
		must(err.code && err.text[0]);
		return;
	}
	must(v && value_eq(v, v));
	must(value_eq(v, value_dup(arena, v)));
	if (!is_plain(v))
		return;
	must_read_back(arena, v, value_json);
	must_read_back(arena, v, value_canonical);
}

#endif
