/*
 * Content of a configuration, read once and then immutable: its bytes, and where
 * they are JSON every value by its path.  Counted; any thread.
 */
#ifndef CLIENT_SDK_DOC_H
#define CLIENT_SDK_DOC_H

#include <locale.h>
#include <stdatomic.h>

#include "client/sdk/heap.h"

#define DOC_DEPTH_MAX 100
#define SIGNATURE_BYTES 64

struct item {
	uint64_t hash;                   /* of its path */
	int64_t i64;
	double number;
	uint32_t parent;                 /* of itself: the root */
	uint32_t key, key_n;             /* in doc.texts; or place in an array */
	uint32_t from, n;                /* in doc.content */
	uint32_t text, text_n;           /* in doc.texts: scalars */
	uint32_t count;                  /* members */
	uint8_t type;                    /* enum cfx_type */
	bool is_in_array, is_i64, is_double;
};

struct doc {
	atomic_uint refs;
	heap heap;                       /* a view may outlive the client */
	/* The same bytes may become another version. */
	_Atomic uint64_t version, revision;
	atomic_bool is_from_snapshot;
	uint8_t sha256[32];
	uint8_t signature[SIGNATURE_BYTES];      /* the engine's alone */
	bool is_signed;
	char content_type[64];
	char *content;                   /* with a NUL behind */
	size_t content_n;
	/* private */
	struct item *items;
	size_t n_items, cap_items;
	char *texts;
	size_t n_texts;
	uint32_t *index;                 /* item + 1, or 0 */
	unsigned index_bits;
	uint64_t seed;
};

/* Takes 'content' in, which the heap gave and which has a NUL behind 'n', also
 * where it fails.  'c_locale' reads numbers.  CFX_E_PARSE: no JSON where the type
 * says so; CFX_E_TOO_LARGE; CFX_E_NO_MEMORY. */
enum cfx_code doc_new(const heap *heap, char *content, size_t n,
		      const char *content_type, locale_t c_locale, uint64_t seed,
		      struct doc **out, struct cfx_error *error) MUST_USE;
struct doc *doc_ref(struct doc *doc);
void doc_unref(struct doc *doc);                         /* NULL is fine */

/* NULL: there is none.  'doc' may be NULL. */
const struct item *doc_find(const struct doc *doc, const char *path);
/* The text of it: without quotes and escapes where it is a string. */
struct str doc_text(const struct doc *doc, const struct item *item);
/* Are they the same value, or of whole contents the same bytes?  Items may be NULL. */
bool doc_same(const struct doc *a, const struct item *x, const struct doc *b,
	      const struct item *y);

/* json.c: fills items and texts.  Private to doc.c. */
enum cfx_code json_read(struct doc *doc, locale_t c_locale,
			struct cfx_error *error) MUST_USE;
/* One step down of the hash of a path. */
uint64_t doc_hash_key(uint64_t parent, struct str key);
bool doc_read_number(struct item *item, const char *text, locale_t c_locale);

#endif
