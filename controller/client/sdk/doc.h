/*
 * Content of a configuration, read once and then immutable: its bytes, and where
 * they are JSON, YAML or TOML every value by its path.  Counted; any thread.
 *
 * YAML and TOML are made into JSON once, and that is read: so a path means the same in
 * each, and what an object looks like as a text is known.
 */
#ifndef CLIENT_SDK_DOC_H
#define CLIENT_SDK_DOC_H

#include <locale.h>
#include <stdatomic.h>

#include "client/sdk/heap.h"

#define DOC_DEPTH_MAX 100
#define SIGNATURE_BYTES 64
#define RELEASE_MAX 254              /* with the NUL */

struct item {
	uint64_t hash;                   /* of its path */
	int64_t i64;
	double number;
	uint32_t parent;                 /* of itself: the root */
	uint32_t key, key_n;             /* in doc.texts; or place in an array */
	uint32_t from, n;                /* in doc.json, or of a text in content */
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
	uint64_t first_version, last_version;    /* that it had; the engine's alone */
	atomic_bool is_from_snapshot;
	uint8_t sha256[32];
	uint8_t signature[SIGNATURE_BYTES];      /* the engine's alone */
	bool is_signed;
	char release[RELEASE_MAX];       /* that it came with; the engine's alone */
	char content_type[64];
	char *content;                   /* with a NUL behind */
	size_t content_n;
	/* private */
	char *json;                      /* content itself, or made of it; NULL: a text */
	size_t json_n;
	struct item *items;
	size_t n_items, cap_items;
	char *texts;
	size_t n_texts;
	uint32_t *index;                 /* item + 1, or 0 */
	unsigned index_bits;
	uint64_t seed;
};

/* Takes 'content' in, which the heap gave and which has a NUL behind 'n', also
 * where it fails.  'c_locale' reads numbers.  CFX_E_PARSE: not of the format
 * that the type names; CFX_E_TOO_LARGE; CFX_E_NO_MEMORY. */
enum cfx_code doc_new(const heap *heap, char *content, size_t n,
		      const char *content_type, locale_t c_locale, uint64_t seed,
		      struct doc **out, struct cfx_error *error) MUST_USE;
struct doc *doc_ref(struct doc *doc);
void doc_unref(struct doc *doc);                         /* NULL is fine */
/* It is, or was, that version, for as long as it is here. */
void doc_number(struct doc *doc, uint64_t version);
bool doc_was(const struct doc *doc, uint64_t version);

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
/* yaml.c, toml.c: the JSON that stands for 'text', which is UTF-8 and has a NUL behind
 * it, to the end of 'out'.  CFX_E_PARSE; CFX_E_NO_MEMORY.  Private to doc.c. */
enum cfx_code yaml_to_json(const heap *heap, struct str text, uint64_t seed,
			   struct bytes *out, struct cfx_error *error) MUST_USE;
enum cfx_code toml_to_json(const heap *heap, struct str text, uint64_t seed,
			   struct bytes *out, struct cfx_error *error) MUST_USE;
/* Bytes of the character at 'p' (RFC 3629), or 0; reads no further than a NUL. */
unsigned doc_utf8_length(const char *p);
/* One step down of the hash of a path. */
uint64_t doc_hash_key(uint64_t parent, struct str key);
bool doc_read_number(struct item *item, const char *text, locale_t c_locale);

#endif
