/*
 * Content as libconflux reads it, beside the daemon's reader: what the daemon takes the
 * library takes, with the same value at each path.
 */
#ifndef TESTS_FUZZ_SDK_VALUES_H
#define TESTS_FUZZ_SDK_VALUES_H

#include "client/sdk/doc.h"

#include <stdlib.h>

#include "base/buf.h"
#include "doc/format.h"

static void put_key(struct buf *path, struct str key)
{
	buf_c(path, '/');
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] == '~' || key.p[i] == '/')
			buf_z(path, key.p[i] == '~' ? "~0" : "~1");
		else
			buf_c(path, key.p[i]);
}

/* The spelling is that of the text, which of YAML and TOML is not the daemon's. */
static void number_is(const struct doc *doc, const struct item *item,
		      const struct value *v)
{
	struct str text = doc_text(doc, item);
	char room[512];
	int64_t n;
	double d;

	if (str_is(v->s, "inf") || str_is(v->s, "-inf") || str_is(v->s, "nan")) {
		must(item->type == CFX_STRING && str_eq(text, v->s));
		return;
	}
	must(item->type == CFX_NUMBER && item->is_double);
	must(doc->json != doc->content || str_eq(text, v->s));
	if (v->s.n < sizeof(room)) {
		must(str_copy(room, sizeof(room), v->s));
		d = strtod(room, NULL);
		must(item->number == d);
		must(!item->is_i64 || (double)item->i64 == d);
	}
	/* Beyond 2^53 a number with an exponent is none of 64 bits to the library. */
	if (value_to_i64(v, &n) && n <= (INT64_C(1) << 53) && n >= -(INT64_C(1) << 53))
		must(item->is_i64 && item->i64 == n);
}

static void scalar_is(const struct doc *doc, const struct item *item,
		      const struct value *v)
{
	struct str text = doc_text(doc, item);

	switch (v->type) {
	case VALUE_NULL: must(item->type == CFX_NULL); break;
	case VALUE_BOOL: must(item->type == CFX_BOOL && item->i64 == v->b); break;
	case VALUE_STRING:
	case VALUE_TIME:
		must(item->type == CFX_STRING && str_eq(text, v->s));
		break;
	case VALUE_NUMBER:
		number_is(doc, item, v);
		break;
	default: must(false);
	}
}

/* Counts the values. */
static size_t same(const struct doc *doc, const struct value *v, struct buf *path)
{
	const struct item *item = doc_find(doc, path->n ? path->p : "");
	size_t n = 1, at = path->n;

	must(item);
	if (v->type == VALUE_ARRAY) {
		must(item->type == CFX_ARRAY && item->count == v->a.n);
		for (size_t i = 0; i < v->a.n; i++) {
			buf_printf(path, "/%zu", i);
			n += same(doc, v->a.items[i], path);
			buf_cut(path, at);
		}
	} else if (v->type == VALUE_OBJECT) {
		must(item->type == CFX_OBJECT && item->count == v->o.n);
		for (size_t i = 0; i < v->o.n; i++) {
			struct str key = v->o.m[i].key;

			if (key.n && memchr(key.p, 0, key.n))
				return SIZE_MAX / 2;     /* no path names it */
			put_key(path, key);
			n += same(doc, v->o.m[i].value, path);
			buf_cut(path, at);
		}
	} else {
		scalar_is(doc, item, v);
	}
	return n;
}

/* Answers what the daemon says against it where the library alone takes it, else an
 * empty text. */
static const char *fuzz_values(enum format format, const uint8_t *data, size_t size)
{
	static locale_t c_locale;
	static struct err err;
	struct str in = str_n(data, MIN(size, (size_t)1 << 16));
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF path = BUF_NONE;
	struct value *v = NULL;
	struct doc *doc = NULL;
	bool theirs = doc_parse(format, in, arena, NULL, &v, NULL, &err) == OK;
	struct cfx_error error = { 0 };
	enum cfx_code rc;
	size_t n;

	if (!c_locale)
		c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	rc = doc_new(&heap_of_libc, heap_text(&heap_of_libc, in), in.n,
		     format_content_type(format), c_locale, 7, &doc, &error);
	must(rc == CFX_OK || (rc == CFX_E_PARSE && error.text[0]));
	must(rc == CFX_OK || !theirs);
	if (theirs) {
		n = same(doc, v, &path);
		must(n == doc->n_items || n >= SIZE_MAX / 2);
	}
	doc_unref(doc);
	return rc == CFX_OK && !theirs ? err.text : "";
}

#endif
