/*
 * JSON (RFC 8259) into the items of a document: see doc.h.
 *
 * Strict, as the server is: no garbage behind, no key twice, UTF-8 alone, no half
 * surrogate, depth bounded.  What a value is in the text stays known, numbers keep
 * their spelling.  Decoded strings and numbers, each with a NUL, take no more room
 * than the text: a string loses its quotes, a number is followed by a byte or the end.
 */
#include "client/sdk/doc.h"

#include "base/banned.h"

struct reader {
	struct doc *doc;
	const char *start, *p, *end;     /* '*end' is a NUL */
	locale_t c_locale;
	struct cfx_error *error;
	size_t at;                       /* next of doc->texts */
};

static enum cfx_code refuse(struct reader *r, const char *why)
{
	unsigned line = 1, column = 1;

	/* The place is one of what was made of the content, not of the content. */
	if (r->start != r->doc->content)
		return cfx_fail(r->error, CFX_E_PARSE, "%s", why);
	for (const char *p = r->start; p < r->p; p++) {
		column = *p == '\n' ? 1 : column + 1;
		line += *p == '\n';
	}
	return cfx_fail(r->error, CFX_E_PARSE, "line %u, column %u: %s", line,
			column, why);
}

static void skip_space(struct reader *r)
{
	while (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r')
		r->p++;
}

/* ---- strings ---- */

static void put(struct reader *r, unsigned c)
{
	r->doc->texts[r->at++] = (char)c;
}

static void put_utf8(struct reader *r, uint32_t c)
{
	if (c < 0x80) {
		put(r, c);
		return;
	}
	if (c < 0x800) {
		put(r, 0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			put(r, 0xe0 | c >> 12);
		} else {
			put(r, 0xf0 | c >> 18);
			put(r, 0x80 | (c >> 12 & 0x3f));
		}
		put(r, 0x80 | (c >> 6 & 0x3f));
	}
	put(r, 0x80 | (c & 0x3f));
}

/* Four digits at r->p. */
static bool hex4(struct reader *r, uint32_t *out)
{
	*out = 0;
	for (int i = 0; i < 4; i++, r->p++) {
		char c = *r->p;
		unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') :
				 c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) :
				 c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10) :
				 16;

		if (digit == 16)
			return false;
		*out = *out << 4 | digit;
	}
	return true;
}

static bool unicode(struct reader *r)
{
	uint32_t c, low;

	if (!hex4(r, &c) || (c >= 0xdc00 && c <= 0xdfff))
		return false;
	if (c >= 0xd800 && c <= 0xdbff) {
		if (r->p[0] != '\\' || r->p[1] != 'u')
			return false;
		r->p += 2;
		if (!hex4(r, &low) || low < 0xdc00 || low > 0xdfff)
			return false;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	put_utf8(r, c);
	return true;
}

static bool escape(struct reader *r)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *found;
	char c = *r->p++;

	if (c == 'u')
		return unicode(r);
	found = c ? strchr(from, c) : NULL;
	if (found)
		put(r, (unsigned char)to[found - from]);
	return found != NULL;
}

static bool continues(const char *p, unsigned n)
{
	for (unsigned i = 1; i <= n; i++)
		if (((unsigned char)p[i] & 0xc0) != 0x80)
			return false;
	return true;
}

/* Bytes of the character at 'p' (RFC 3629), or 0; reads no further than a NUL. */
unsigned doc_utf8_length(const char *p)
{
	unsigned char a = (unsigned char)p[0], b = (unsigned char)p[1];

	if (a < 0x80)
		return 1;
	if (a >= 0xc2 && a <= 0xdf)
		return continues(p, 1) ? 2 : 0;
	if (a >= 0xe0 && a <= 0xef)
		return (a != 0xe0 || b >= 0xa0) && (a != 0xed || b < 0xa0) &&
		       continues(p, 2) ? 3 : 0;
	if (a >= 0xf0 && a <= 0xf4)
		return (a != 0xf0 || b >= 0x90) && (a != 0xf4 || b < 0x90) &&
		       continues(p, 3) ? 4 : 0;
	return 0;
}

/* At the quote; '*text' is where the decoded string begins. */
static enum cfx_code string(struct reader *r, uint32_t *text, uint32_t *n)
{
	size_t from = r->at;

	r->p++;
	while (*r->p != '"') {
		unsigned length;

		if ((unsigned char)*r->p < ' ')
			return refuse(r, r->p == r->end ?
				      "a string without an end" :
				      "a control character in a string");
		if (*r->p == '\\') {
			r->p++;
			if (!escape(r))
				return refuse(r, "a broken escape");
			continue;
		}
		length = doc_utf8_length(r->p);
		if (length == 0)
			return refuse(r, "bytes that are not UTF-8");
		for (; length; length--)
			put(r, (unsigned char)*r->p++);
	}
	r->p++;
	*text = (uint32_t)from;
	*n = (uint32_t)(r->at - from);
	put(r, 0);
	return CFX_OK;
}

/* ---- values ---- */

static struct item *item_new(struct reader *r)
{
	struct doc *doc = r->doc;
	struct item *item;

	if (!heap_more(&doc->heap, (void **)&doc->items, &doc->cap_items,
		       doc->n_items, sizeof(*doc->items)))
		return NULL;
	item = &doc->items[doc->n_items++];
	*item = (struct item){ .from = (uint32_t)(r->p - r->start) };
	return item;
}

static enum cfx_code word(struct reader *r, struct item *item)
{
	static const struct {
		const char *word;
		uint8_t type;
		bool is_true;
	} words[] = {
		{ "true", CFX_BOOL, true }, { "false", CFX_BOOL, false },
		{ "null", CFX_NULL, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i].word);

		if (strncmp(r->p, words[i].word, n) != 0)
			continue;
		item->type = words[i].type;
		item->i64 = words[i].is_true;
		item->n = (uint32_t)n;
		return CFX_OK;
	}
	return refuse(r, r->p == r->end ? "the text ends too early" :
		      "this is no value");
}

/* The spelling of a number or word becomes its text. */
static void keep_spelling(struct reader *r, struct item *item)
{
	memcpy(r->doc->texts + r->at, r->p, item->n);
	item->text = (uint32_t)r->at;
	item->text_n = item->n;
	r->at += item->n;
	put(r, 0);
	r->p += item->n;
}

/* Anything but an object or array. */
static enum cfx_code scalar(struct reader *r, struct item *item)
{
	const char *from = r->p;
	enum cfx_code rc;

	if (*r->p == '"') {
		item->type = CFX_STRING;
		rc = string(r, &item->text, &item->text_n);
		item->n = (uint32_t)(r->p - from);
		return rc;
	}
	if (doc_read_number(item, r->p, r->c_locale)) {
		item->type = CFX_NUMBER;
	} else {
		rc = word(r, item);
		if (rc)
			return rc;
	}
	keep_spelling(r, item);
	return CFX_OK;
}

/* Reads the key before a member of 'parent', or counts its place. */
static enum cfx_code key(struct reader *r, size_t at, size_t parent)
{
	struct item *item = &r->doc->items[at], *of = &r->doc->items[parent];
	char room[16];
	enum cfx_code rc;

	item->parent = (uint32_t)parent;
	if (of->type == CFX_ARRAY) {
		item->is_in_array = true;
		item->key = of->count;
		item->hash = doc_hash_key(of->hash, str_n(room, (size_t)snprintf(
			room, sizeof(room), "%u", of->count)));
	} else {
		if (*r->p != '"')
			return refuse(r, "a key is expected here");
		rc = string(r, &item->key, &item->key_n);
		if (rc)
			return rc;
		item->hash = doc_hash_key(of->hash, str_n(
			r->doc->texts + item->key, item->key_n));
		skip_space(r);
		if (*r->p != ':')
			return refuse(r, "a colon is expected here");
		r->p++;
		skip_space(r);
	}
	item->from = (uint32_t)(r->p - r->start);
	of->count++;
	return CFX_OK;
}

struct open {
	size_t item[DOC_DEPTH_MAX];
	unsigned n;
};

static char end_of(const struct reader *r, const struct open *open)
{
	return r->doc->items[open->item[open->n - 1]].type == CFX_OBJECT ? '}' :
									  ']';
}

/* Closes what ends here, and is then before the next member; '*done': the value
 * has ended. */
static enum cfx_code close_all(struct reader *r, struct open *open, bool *done)
{
	for (;;) {
		struct item *of;

		if (open->n == 0) {
			*done = true;
			return CFX_OK;
		}
		of = &r->doc->items[open->item[open->n - 1]];
		skip_space(r);
		if (*r->p == end_of(r, open)) {
			r->p++;
			of->n = (uint32_t)(r->p - r->start) - of->from;
			open->n--;
			continue;
		}
		if (of->count == 0)
			return CFX_OK;
		if (*r->p != ',')
			return refuse(r, "a comma or an end is expected here");
		r->p++;
		skip_space(r);
		return CFX_OK;
	}
}

static enum cfx_code value(struct reader *r, struct open *open)
{
	struct doc *doc = r->doc;
	size_t at = doc->n_items;
	struct item *item = item_new(r);
	enum cfx_code rc;

	if (!item)
		return cfx_no_memory(r->error);
	if (open->n) {
		rc = key(r, at, open->item[open->n - 1]);
		if (rc)
			return rc;
	} else {
		item->hash = doc->seed;
	}
	if (*r->p != '{' && *r->p != '[')
		return scalar(r, item);
	item->type = *r->p == '{' ? CFX_OBJECT : CFX_ARRAY;
	if (open->n == DOC_DEPTH_MAX)
		return refuse(r, "too deep");
	open->item[open->n++] = at;
	r->p++;
	return CFX_OK;
}

enum cfx_code json_read(struct doc *doc, locale_t c_locale,
			struct cfx_error *error)
{
	struct reader r = { doc, doc->json, doc->json, doc->json + doc->json_n,
			    c_locale, error, 0 };
	struct open open = { .n = 0 };
	bool done = false;
	enum cfx_code rc;

	doc->n_texts = doc->json_n + 2;
	doc->texts = heap_zero(&doc->heap, doc->n_texts);
	if (!doc->texts) {
		doc->n_texts = 0;
		return cfx_no_memory(error);
	}
	skip_space(&r);
	while (!done) {
		rc = value(&r, &open);
		if (rc == CFX_OK)
			rc = close_all(&r, &open, &done);
		if (rc)
			return rc;
	}
	skip_space(&r);
	return r.p == r.end ? CFX_OK : refuse(&r, "something stands behind the "
					      "value");
}
