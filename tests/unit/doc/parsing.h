/* What the tests of doc share: an arena a case, and texts that parse or not. */
#ifndef TESTS_DOC_PARSING_H
#define TESTS_DOC_PARSING_H

#include "unit.h"

#include "doc/format.h"

static struct arena *arena;

static inline void setup(void)
{
	arena = arena_new(0);
}

static inline void teardown(void)
{
	arena_free(&arena);
}

static inline struct value *good_str(enum format f, struct str text)
{
	struct value *v = NULL;
	struct err err = { 0 };

	ck_assert_msg(doc_parse(f, text, arena, NULL, &v, NULL, &err) == OK,
		      "%.*s: %s", STR_ARG(text), err.text);
	ck_assert_ptr_nonnull(v);
	return v;
}

static inline struct value *good(enum format f, const char *text)
{
	return good_str(f, str_of(text));
}

/* Refused, at 'line' and 'column' (0: anywhere), in words with 'part'. */
static inline void bad_str(enum format f, struct str text, uint32_t line,
			   uint32_t column, const char *part)
{
	struct value *untouched = (struct value *)&arena, *v = untouched;
	struct doc_place at = { 99, 99 };
	struct err err = { 0 };
	enum code rc = doc_parse(f, text, arena, NULL, &v, &at, &err);

	ck_assert_msg(rc == E_PARSE, "%s for %.*s", code_name(rc),
		      (int)MIN(text.n, (size_t)200), text.p);
	ck_assert_int_eq(err.code, rc);
	ck_assert_ptr_eq(v, untouched);
	ck_assert_msg(strstr(err.text, part) != NULL, "\"%s\" lacks \"%s\"",
		      err.text, part);
	if (!line)
		return;
	ck_assert_msg(at.line == line && at.column == column,
		      "%u:%u and not %u:%u: %s", at.line, at.column, line,
		      column, err.text);
	ck_assert_msg(str_starts(str_of(err.text),
				 arena_printf(arena, "line %u, column %u: ",
					      line, column)),
		      "%s", err.text);
}

static inline void bad(enum format f, const char *text, uint32_t line,
		       uint32_t column, const char *part)
{
	bad_str(f, str_of(text), line, column, part);
}

static inline const char *canonical(const struct value *v)
{
	AUTO_BUF b = BUF_NONE;

	value_canonical(&b, v);
	return arena_z(arena, buf_view(&b));
}

/* 'text' reads as a value with this canonical form. */
static inline void reads(enum format f, const char *text, const char *want)
{
	ck_assert_str_eq(canonical(good(f, text)), want);
}

static inline void repeat(struct buf *b, const char *text, size_t times)
{
	while (times--)
		buf_z(b, text);
}

#endif
