/*
 * HTTP/1.1 messages (RFC 9112): header blocks and bodies, both directions.
 *
 * A header block is found first, whole, and parsed in one go: http-parser takes
 * it apart, and this part refuses what http-parser lets pass and what programs
 * in front of us may read differently: a bare LF, a space before a colon, a
 * folded header, no or two Host, two lengths, a length beside chunking, a
 * transfer coding other than chunked.
 *
 * Bodies are decoded here: Debian's http-parser takes any byte behind the CR
 * of a chunk's size, and any LF in a chunk's extension.
 *
 * Pure; one thread an object.
 */
#ifndef HTTP_WIRE_HTTP1_H
#define HTTP_WIRE_HTTP1_H

#include "base/arena.h"

enum http_method {
	HTTP_M_GET,
	HTTP_M_HEAD,
	HTTP_M_POST,
	HTTP_M_PUT,
	HTTP_M_PATCH,
	HTTP_M_DELETE,
	HTTP_M_OPTIONS,
	HTTP_M_OTHER,
};
const char *http_method_name(enum http_method m);
/* "Not Found"; "" where there is none. */
const char *http_reason(int status);

struct http_header {
	struct str name, value;          /* name in lower case, value trimmed */
};
/* The first of that name (lower case), or NULL. */
const struct str *http_header_find(const struct http_header *h, size_t n,
				   struct str name);

enum http1_framing {
	HTTP1_EMPTY,                     /* no body */
	HTTP1_LENGTH,
	HTTP1_CHUNKED,
	HTTP1_UNTIL_CLOSE,               /* answers only */
};

struct http1_head {
	enum http_method method;         /* requests */
	struct str target;               /* requests: "/path?query" or "*" */
	int status;                      /* answers */
	unsigned minor;                  /* HTTP/1.minor: 0 or 1 */
	struct http_header *headers;
	size_t n_headers;
	enum http1_framing framing;
	uint64_t length;                 /* with HTTP1_LENGTH, above 0 */
	bool keep_alive;
	bool expect_continue;            /* requests of HTTP/1.1 */
	bool upgrade;                    /* asked for by Connection and Upgrade */
};

/*
 * Looks for the end of the header block at the start of 'in'.  '*scanned' is
 * how far earlier calls on the same bytes have looked (0 at first).  '*len' is
 * the block with its empty line, or 0: more bytes are needed.
 *
 * E_HEADER_LARGE: longer than 'max', also where the end has not come yet.
 */
enum code http1_find(struct str in, size_t max, size_t *scanned, size_t *len,
		     struct err *err) MUST_USE;
/*
 * Takes the block apart.  'block' is changed in place (names become lower
 * case) and must live as long as '*out'; the array of headers is the arena's.
 * 'to' is the method that an answer answers (HEAD has no body).
 *
 * E_INVALID: malformed or refused, the text names the header; E_UNSUPPORTED: a
 * transfer coding or version that is not known; E_HEADER_LARGE: more than 100
 * headers.
 */
enum code http1_request(struct arena *arena, char *block, size_t n,
			struct http1_head *out, struct err *err) MUST_USE;
enum code http1_answer(struct arena *arena, char *block, size_t n,
		       enum http_method to, struct http1_head *out,
		       struct err *err) MUST_USE;

/*
 * A request that is asked over and over on one connection, byte for byte but for its
 * traceparent: it need not be taken apart each time.
 */
struct http1_repeat;
/* Keeps what http1_request has made of 'raw', whose cooked copy is 'block', in place
 * of what is kept; nothing is kept of what has a body or is longer than 2 KiB. */
void http1_repeat_keep(struct http1_repeat **repeat, struct str raw,
		       const char *block, const struct http1_head *head);
/* 'in' begins with what is kept (NULL: nothing). */
bool http1_repeat_is(const struct http1_repeat *repeat, struct str in);
/* 'in' is that and nothing else. */
bool http1_repeat_is_all(const struct http1_repeat *repeat, struct str in);
/* The bytes that are kept; not of NULL. */
struct str http1_repeat_raw(const struct http1_repeat *repeat);
/* The traceparent of 'in', which http1_repeat_is; STR_NONE: it has none, or one of
 * another form, which is compared like everything else. */
struct str http1_repeat_trace(const struct http1_repeat *repeat, struct str in);
/* Fills '*out' with what 'in' says, whose strings are the arena's, and answers the
 * length. */
size_t http1_repeat_take(const struct http1_repeat *repeat, struct str in,
			 struct arena *arena, struct http1_head *out);
void http1_repeat_free(struct http1_repeat **repeat);

/* ---- bodies ---- */

struct http1_body {
	enum http1_framing framing;
	uint64_t left;                   /* of the body or of the chunk */
	uint64_t total;                  /* decoded so far */
	uint8_t state_;
	uint16_t line_;                  /* bytes of the size line or trailer */
	bool is_done;
};

void http1_body_init(struct http1_body *b, const struct http1_head *head);
/*
 * Takes the next piece of the body off the front of '*in'; '*piece' borrows
 * from it and may be empty.  Call until '*in' is empty or is_done; what is
 * left of '*in' then belongs to the next message.  Trailers are dropped.
 *
 * E_INVALID: broken chunking.  E_TOO_LARGE: more than 'max' bytes in all.
 */
enum code http1_body_next(struct http1_body *b, struct str *in, uint64_t max,
			  struct str *piece, struct err *err) MUST_USE;

#endif
