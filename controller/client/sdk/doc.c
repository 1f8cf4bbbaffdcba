/*
 * Content and its values by path: see doc.h.
 *
 * Items lie in one array in the order of the text; each knows its parent and its
 * own key, so that paths take no memory.  A table of hashes of whole paths finds
 * one; the hash of a path is that of its parent's, continued, and a hit is compared
 * key by key.
 */
#include "client/sdk/doc.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

#define SEPARATOR 0xff               /* is no byte of UTF-8 */
#define CONTENT_MAX ((size_t)1 << 30)

static inline uint64_t hash_byte(uint64_t h, unsigned char c)
{
	return (h ^ c) * 0x100000001b3u;
}

uint64_t doc_hash_key(uint64_t parent, struct str key)
{
	uint64_t h = hash_byte(parent, SEPARATOR);

	for (size_t i = 0; i < key.n; i++)
		h = hash_byte(h, (unsigned char)key.p[i]);
	return h;
}

static inline size_t slot_of(const struct doc *doc, uint64_t hash)
{
	hash ^= hash >> 29;
	return (size_t)((hash * 0x9e3779b97f4a7c15u) >> (64 - doc->index_bits));
}

/* ---- paths ---- */

/* Reads a path key by key, and a key byte by byte, without a copy. */
struct path {
	const char *at;
	bool is_pointer;
};

static struct path path_of(const char *text)
{
	bool is_pointer = text[0] == '/';

	return (struct path){ text + is_pointer, is_pointer };
}

/* The next byte of the key, or -1 at its end. */
static inline int path_byte(struct path *p)
{
	char c = *p->at;

	if (c == '\0' || c == (p->is_pointer ? '/' : '.'))
		return -1;
	p->at++;
	if (!p->is_pointer || c != '~' || (*p->at != '0' && *p->at != '1'))
		return (unsigned char)c;
	return *p->at++ == '0' ? '~' : '/';
}

/* False: that was the last key. */
static inline bool path_next(struct path *p)
{
	if (*p->at == '\0')
		return false;
	p->at++;
	return true;
}

static uint64_t path_hash(uint64_t seed, const char *text)
{
	struct path p = path_of(text);
	uint64_t h = seed;

	if (text[0] == '\0')
		return h;
	do {
		int c;

		h = hash_byte(h, SEPARATOR);
		while ((c = path_byte(&p)) >= 0)
			h = hash_byte(h, (unsigned char)c);
	} while (path_next(&p));
	return h;
}

static struct str key_of(const struct doc *doc, const struct item *item,
			 char room[16])
{
	if (!item->is_in_array)
		return str_n(doc->texts + item->key, item->key_n);
	return str_n(room, (size_t)snprintf(room, 16, "%u", item->key));
}

static bool is_key(const struct doc *doc, const struct item *item,
		   struct path *p)
{
	char room[16];
	struct str key = key_of(doc, item, room);

	for (size_t i = 0; i < key.n; i++)
		if (path_byte(p) != (unsigned char)key.p[i])
			return false;
	return path_byte(p) < 0;
}

static bool is_path(const struct doc *doc, const struct item *item,
		    const char *text)
{
	const struct item *chain[DOC_DEPTH_MAX + 1];
	struct path p = path_of(text);
	unsigned n = 0;

	for (; item->parent != item - doc->items; item = &doc->items[item->parent])
		chain[n++] = item;
	if (n == 0 || text[0] == '\0')
		return n == 0 && text[0] == '\0';
	while (n--) {
		if (!is_key(doc, chain[n], &p))
			return false;
		if (n && !path_next(&p))
			return false;
	}
	return *p.at == '\0';
}

const struct item *doc_find(const struct doc *doc, const char *path)
{
	uint64_t hash;
	size_t mask, at;

	if (!doc || !path)
		return NULL;
	hash = path_hash(doc->seed, path);
	mask = ((size_t)1 << doc->index_bits) - 1;
	for (at = slot_of(doc, hash); doc->index[at]; at = (at + 1) & mask) {
		const struct item *item = &doc->items[doc->index[at] - 1];

		if (item->hash == hash && is_path(doc, item, path))
			return item;
	}
	return NULL;
}

/* ---- the table ---- */

static bool is_twin(const struct doc *doc, const struct item *a,
		    const struct item *b)
{
	return a->hash == b->hash && a->parent == b->parent && !a->is_in_array &&
	       str_eq(str_n(doc->texts + a->key, a->key_n),
		      str_n(doc->texts + b->key, b->key_n));
}

static enum cfx_code index_items(struct doc *doc, struct cfx_error *error)
{
	size_t mask;

	doc->index_bits = 2;
	while (((size_t)1 << doc->index_bits) < doc->n_items * 2)
		doc->index_bits++;
	mask = ((size_t)1 << doc->index_bits) - 1;
	doc->index = heap_zero(&doc->heap, (mask + 1) * sizeof(*doc->index));
	if (!doc->index)
		return cfx_no_memory(error);
	for (size_t i = 0; i < doc->n_items; i++) {
		struct item *item = &doc->items[i];
		size_t at = slot_of(doc, item->hash);

		for (; doc->index[at]; at = (at + 1) & mask)
			if (i && is_twin(doc, &doc->items[doc->index[at] - 1],
					 item))
				return cfx_fail(error, CFX_E_PARSE, "the key "
						"\"%.*s\" stands twice in an "
						"object", (int)MIN(item->key_n,
						100u), doc->texts + item->key);
		doc->index[at] = (uint32_t)i + 1;
	}
	return CFX_OK;
}

/* ---- values ---- */

/* Whole numbers of 64 bits, "1.0" and "1e3" among them.  'text' is a number of
 * JSON with anything else behind it. */
static bool whole(const char *text, double d, int64_t *out)
{
	bool minus = *text == '-';
	uint64_t n = 0, max = (uint64_t)INT64_MAX + minus;
	bool is_large = false;

	text += minus;
	for (; *text >= '0' && *text <= '9'; text++) {
		unsigned digit = (unsigned)(*text - '0');

		is_large |= n > (max - digit) / 10;
		n = n * 10 + digit;
	}
	if (*text == '.' || *text == 'e' || *text == 'E') {
		if (!(fabs(d) <= 9007199254740992.0) || d != trunc(d))
			return false;
		*out = (int64_t)d;
		return true;
	}
	*out = minus ? (int64_t)-n : (int64_t)n;
	return !is_large;
}

/* The length of the number of JSON that 'text' begins with, or 0. */
static size_t number_length(const char *text)
{
	const char *p = text + (*text == '-');

	if (*p < '0' || *p > '9')
		return 0;
	if (*p++ != '0')
		while (*p >= '0' && *p <= '9')
			p++;
	if (p[0] == '.' && p[1] >= '0' && p[1] <= '9')
		for (p++; *p >= '0' && *p <= '9'; p++)
			;
	if (*p == 'e' || *p == 'E') {
		const char *q = p + 1 + (p[1] == '+' || p[1] == '-');

		if (*q >= '0' && *q <= '9')
			for (p = q; *p >= '0' && *p <= '9'; p++)
				;
	}
	return (size_t)(p - text);
}

bool doc_read_number(struct item *item, const char *text, locale_t c_locale)
{
	size_t n = number_length(text);

	if (n == 0)
		return false;
	item->n = (uint32_t)n;
	item->number = strtod_l(text, NULL, c_locale);
	item->is_double = isfinite(item->number);
	item->is_i64 = whole(text, item->number, &item->i64);
	return true;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Content that is not structured is one value. */
static enum cfx_code read_text(struct doc *doc, locale_t c_locale,
			       struct cfx_error *error)
{
	struct item *item, number = { 0 };
	size_t from = 0, end = doc->content_n;

	doc->texts = heap_text(&doc->heap, str_n(doc->content, end));
	doc->items = HEAP_NEW(&doc->heap, struct item);
	if (!doc->texts || !doc->items)
		return cfx_no_memory(error);
	item = doc->items;
	doc->n_items = 1;
	while (from < end && is_space(doc->content[from]))
		from++;
	while (end > from && is_space(doc->content[end - 1]))
		end--;
	if (doc_read_number(&number, doc->content + from, c_locale) &&
	    number.n == end - from)
		*item = number;
	item->type = CFX_TEXT;
	item->from = 0;
	item->n = item->text_n = (uint32_t)doc->content_n;
	item->hash = doc->seed;
	/* Where a boolean is looked for. */
	item->key = (uint32_t)from;
	item->key_n = (uint32_t)(end - from);
	return CFX_OK;
}

struct str doc_text(const struct doc *doc, const struct item *item)
{
	if (item->type == CFX_OBJECT || item->type == CFX_ARRAY)
		/* The whole is as it was published. */
		return item == doc->items && doc->json != doc->content ?
			       str_n(doc->content, doc->content_n) :
			       str_n(doc->json + item->from, item->n);
	return str_n(doc->texts + item->text, item->text_n);
}

bool doc_same(const struct doc *a, const struct item *x, const struct doc *b,
	      const struct item *y)
{
	if (!x || !y)
		return x == y;
	/* The whole of it, with the white space around and as it is written. */
	if (x == a->items && y == b->items)
		return str_eq(str_n(a->content, a->content_n),
			      str_n(b->content, b->content_n));
	return x == y || (x->type == y->type &&
			  str_eq(doc_text(a, x), doc_text(b, y)));
}

/* ---- life ---- */

static void doc_free(struct doc *doc)
{
	heap heap = doc->heap;

	/* It may be secret. */
	if (doc->json != doc->content)
		heap_wipe(&heap, doc->json, doc->json_n);
	heap_wipe(&heap, doc->content, doc->content_n);
	heap_wipe(&heap, doc->texts, doc->n_texts);
	heap_wipe(&heap, doc->items, doc->n_items * sizeof(*doc->items));
	heap_release(&heap, doc->index);
	heap_release(&heap, doc);
}

/* ---- formats ---- */

typedef enum cfx_code to_json(const heap *heap, struct str text, uint64_t seed,
			      struct bytes *out, struct cfx_error *error);

static enum cfx_code check_utf8(const struct doc *doc, struct cfx_error *error)
{
	const char *p = doc->content, *end = p + doc->content_n;
	unsigned n;

	for (; p < end; p += n) {
		n = doc_utf8_length(p);
		if (n == 0)
			return cfx_fail(error, CFX_E_PARSE, "byte %zu is not UTF-8",
					(size_t)(p - doc->content) + 1);
	}
	return CFX_OK;
}

static enum cfx_code read_made(struct doc *doc, to_json *make, locale_t c_locale,
			       struct cfx_error *error)
{
	struct bytes json = { 0 };
	enum cfx_code rc = check_utf8(doc, error);

	if (rc)
		return rc;
	rc = make(&doc->heap, str_n(doc->content, doc->content_n), doc->seed, &json,
		  error);
	if (rc == CFX_OK && json.n > CONTENT_MAX)
		rc = cfx_fail(error, CFX_E_TOO_LARGE, "content of %zu bytes as JSON",
			      json.n);
	if (rc == CFX_OK && !bytes_add(&doc->heap, &json, str_n("", 1)))
		rc = cfx_no_memory(error);
	if (rc) {
		heap_wipe(&doc->heap, json.p, json.n);
		return rc;
	}
	doc->json = json.p;
	doc->json_n = json.n - 1;
	return json_read(doc, c_locale, error);
}

static bool is_type(const char *type, const char *name)
{
	size_t n = strlen(name);

	return strncasecmp(type, name, n) == 0 &&
	       (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

static enum cfx_code read_as(struct doc *doc, const char *type, locale_t c_locale,
			     struct cfx_error *error)
{
	if (is_type(type, "application/yaml"))
		return read_made(doc, yaml_to_json, c_locale, error);
	if (is_type(type, "application/toml"))
		return read_made(doc, toml_to_json, c_locale, error);
	if (!is_type(type, "application/json"))
		return read_text(doc, c_locale, error);
	doc->json = doc->content;
	doc->json_n = doc->content_n;
	return json_read(doc, c_locale, error);
}

enum cfx_code doc_new(const heap *heap, char *content, size_t n,
		      const char *content_type, locale_t c_locale, uint64_t seed,
		      struct doc **out, struct cfx_error *error)
{
	struct doc *doc = HEAP_NEW(heap, struct doc);
	enum cfx_code rc;

	if (!doc) {
		heap_wipe(heap, content, n);
		return cfx_no_memory(error);
	}
	doc->heap = *heap;
	doc->content = content;
	doc->content_n = n;
	doc->seed = seed;
	atomic_init(&doc->refs, 1);
	snprintf(doc->content_type, sizeof(doc->content_type), "%s",
		 content_type);
	if (n > CONTENT_MAX)
		rc = cfx_fail(error, CFX_E_TOO_LARGE, "content of %zu bytes", n);
	else
		rc = read_as(doc, content_type, c_locale, error);
	if (rc == CFX_OK)
		rc = index_items(doc, error);
	if (rc)
		doc_free(doc);
	else
		*out = doc;
	return rc;
}

struct doc *doc_ref(struct doc *doc)
{
	if (doc)
		atomic_fetch_add_explicit(&doc->refs, 1, memory_order_relaxed);
	return doc;
}

void doc_unref(struct doc *doc)
{
	if (doc && atomic_fetch_sub_explicit(&doc->refs, 1,
					     memory_order_acq_rel) == 1)
		doc_free(doc);
}

void doc_number(struct doc *doc, uint64_t version)
{
	bool is_first = doc->version == 0;

	doc->version = version;
	doc->first_version = is_first ? version : MIN(doc->first_version, version);
	doc->last_version = MAX(doc->last_version, version);
}

bool doc_was(const struct doc *doc, uint64_t version)
{
	return version >= doc->first_version && version <= doc->last_version;
}
