/*
 * JSON as libconflux reads it, beside the daemon's reader: what the daemon takes the
 * library takes, with the same value at each path.  What it takes beyond that is
 * deeper, or a number that fits no double.
 */
#include "client/sdk/doc.h"

#include "base/buf.h"
#include "doc/format.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_key(struct buf *path, struct str key)
{
	buf_c(path, '/');
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] == '~' || key.p[i] == '/')
			buf_z(path, key.p[i] == '~' ? "~0" : "~1");
		else
			buf_c(path, key.p[i]);
}

static void scalar_is(const struct doc *doc, const struct item *item,
		      const struct value *v)
{
	struct str text = doc_text(doc, item);
	double d = 0;

	switch (v->type) {
	case VALUE_NULL: must(item->type == CFX_NULL); break;
	case VALUE_BOOL: must(item->type == CFX_BOOL && item->i64 == v->b); break;
	case VALUE_STRING:
		must(item->type == CFX_STRING && str_eq(text, v->s));
		break;
	case VALUE_NUMBER:
		must(item->type == CFX_NUMBER && str_eq(text, v->s));
		d = strtod(text.p, NULL);
		must(item->is_double && item->number == d);
		must(!item->is_i64 || (double)item->i64 == d);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static locale_t c_locale;
	struct str in = str_n(data, MIN(size, (size_t)1 << 16));
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF path = BUF_NONE;
	struct value *v = NULL;
	struct doc *doc = NULL;
	struct err err;
	bool theirs = doc_parse(FORMAT_JSON, in, arena, NULL, &v, NULL, &err) == OK;
	enum cfx_code rc;
	size_t n;

	if (!c_locale)
		c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	rc = doc_new(&heap_of_libc, heap_text(&heap_of_libc, in), in.n,
		     "application/json", c_locale, 7, &doc, NULL);
	must(rc == CFX_OK || rc == CFX_E_PARSE);
	must(rc == CFX_OK || !theirs);
	if (theirs) {
		n = same(doc, v, &path);
		must(n == doc->n_items || n >= SIZE_MAX / 2);
	} else if (rc == CFX_OK) {
		must(strstr(err.text, "deep") || strstr(err.text, "number") ||
		     err.code == E_TOO_LARGE);
	}
	doc_unref(doc);
	return 0;
}
