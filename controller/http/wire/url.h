/*
 * Targets of requests: percent-decoding and queries (RFC 3986, and '+' as a
 * space in queries as HTML forms send it).  Pure; any thread.
 */
#ifndef HTTP_WIRE_URL_H
#define HTTP_WIRE_URL_H

#include "base/arena.h"

struct url_param {
	struct str name, value;
};

/* Decodes %XX (and '+' where 'plus').  False: a broken escape, or a NUL byte,
 * which no name of ours may hold.  Without escapes 'in' itself is answered. */
bool url_decode(struct arena *arena, struct str in, bool plus, struct str *out);
/* Cuts "/path?query"; '*query' is empty without '?'.  False: it does not begin
 * with '/', or holds a byte that must be escaped. */
bool url_split(struct str target, struct str *path, struct str *query);
/* "a=1&b" as decoded parameters; false: a broken escape, or more than 'max'. */
bool url_query(struct arena *arena, struct str query, size_t max,
	       struct url_param **out, size_t *n);
/* Escapes all but unreserved bytes. */
void url_encode(struct buf *out, struct str in);

#endif
