/*
 * What a protocol of HTTP is to the server: see own.h, which includes this.
 */
#ifndef HTTP_SERVER_PROTOCOL_H
#define HTTP_SERVER_PROTOCOL_H

#include "base/str.h"
#include "io/stream.h"

struct conn;
struct exchange;

/*
 * How requests and answers read on the wire: one file each.  What handlers say
 * has been checked (answer.c), and what it means for the connection is noted
 * (conn.c), when it gets here.  An exchange is freed by its protocol, when the
 * answer needs it no more.
 */
struct http_protocol {
	/* Takes bytes off the front of '*in' and makes exchanges of them; what
	 * is left needs more bytes, or conn_may_read. */
	void (*read)(struct conn *c, struct str *in);
	/* More may be read now. */
	bool (*has_room)(const struct conn *c);
	/* Sends what was put together while bytes were taken. */
	void (*flush)(struct conn *c);

	/* A whole answer: header and 'length' bytes, in pieces or of ex->source. */
	void (*answer)(struct exchange *ex, const char *content_type,
		       const struct stream_vec *v, unsigned n, uint64_t length);
	/* The header of a stream; of a connection that becomes 'name'. */
	void (*begin)(struct exchange *ex, const char *content_type);
	void (*upgrade)(struct exchange *ex, const char *name);
	void (*chunk)(struct exchange *ex, struct str bytes);
	/* The end of a stream; trailers are in ex->head. */
	void (*end)(struct exchange *ex);
	size_t (*pending)(const struct exchange *ex);
	/* The answer is complete and accounted for. */
	void (*done)(struct exchange *ex);
	/* 'n' bytes of the body that were held have gone to the handler. */
	void (*body_taken)(struct exchange *ex, size_t n);
	/* As request_body_keeps; NULL: a connection has one body at a time. */
	bool (*body_kept)(struct exchange *ex, size_t n);

	/* The socket takes bytes again. */
	void (*writable)(struct conn *c);
	/* Nothing more comes: what is half read is given up, and streams end.
	 * False: the turn has ended enough (server_may_end), and more are left; it
	 * is called again. */
	bool (*eof)(struct conn *c);
	/* After anything has happened; the connection may end here. */
	void (*settle)(struct conn *c);
	/* Once a tick; when 'deadline_ms' has passed. */
	void (*tick)(struct conn *c, uint64_t now_ms);
	void (*expired)(struct conn *c);
	/* The connection has ended: its own memory. */
	void (*free)(struct conn *c);
};

#endif
