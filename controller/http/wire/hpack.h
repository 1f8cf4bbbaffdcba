/*
 * The shape of a header block of HTTP/2 (RFC 7541, 6), without its meaning: where its
 * fields are, and what it does to the tables of those who read and write it.
 */
#ifndef HTTP_WIRE_HPACK_H
#define HTTP_WIRE_HPACK_H

#include "base/str.h"

enum hpack_kind {
	HPACK_INDEXED,                   /* 6.1 */
	HPACK_INSERTED,                  /* 6.2.1: the dynamic table grows */
	HPACK_PLAIN,                     /* 6.2.2, 6.2.3: no table learns of it */
	HPACK_RESIZED,                   /* 6.3: no field, but a size of the table */
};

struct hpack_field {
	enum hpack_kind kind;
	struct str bytes;                /* all of it, within the block */
};

/* The next field off the front of '*block'; false: there is none, or it is broken off
 * (then '*block' is not empty). */
bool hpack_next(struct str *block, struct hpack_field *out);
/*
 * The block leaves the dynamic table as it was: whoever reads it again, with no other
 * between them that does not, reads the same.  False also where it is broken.
 */
bool hpack_is_pure(struct str block);

#endif
