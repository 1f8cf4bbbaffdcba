/*
 * What a protocol of HTTP is to the server.  To add one is to add a file that defines
 * one of these, with what own.h declares, and a line in protocols.tbl.
 */
#ifndef HTTP_SERVER_PROTOCOL_H
#define HTTP_SERVER_PROTOCOL_H

#include "base/str.h"
#include "io/stream.h"

struct conn;
struct err;
struct exchange;
struct http_server;

/*
 * How requests and answers read on the wire: one file each.  What handlers say
 * has been checked (answer.c), and what it means for the connection is noted
 * (conn.c), when it gets here.  An exchange is freed by its protocol, when the
 * answer needs it no more.  What may be NULL says so.
 */
struct http_protocol {
	/* ---- how it is known, and what it has of its own ---- */

	/* As ALPN calls it; NULL: it is not offered there. */
	const char *alpn;
	/* What a connection begins with where ALPN says nothing, and what no other's
	 * begins with; empty: it is not known by that. */
	struct str preface;
	/* Of a struct that begins with struct conn (only where it is small, as each
	 * connection has room for the largest; see conn.state), and with struct
	 * exchange; 0: of these alone.  What is behind them begins as zeros. */
	size_t conn_bytes, exchange_bytes;
	/* Of each server (server_state); before anything comes, and behind all
	 * connections.  Both may be NULL. */
	void *(*server_new)(struct http_server *s);
	void (*server_free)(void *state);
	/* From here on 'c' speaks it; nothing was taken yet.  May be NULL. */
	void (*start)(struct conn *c);

	/* ---- what comes ---- */

	/* Takes bytes off the front of '*in' and makes exchanges of them; what
	 * is left needs more bytes, or conn_may_read. */
	void (*read)(struct conn *c, struct str *in);
	/* More may be read now. */
	bool (*has_room)(const struct conn *c);
	/* Sends what was put together while bytes were taken. */
	void (*flush)(struct conn *c);
	/* Where c->memo is there: gives that answer to all that came, 'in', without an
	 * exchange.  False: nothing was done.  May be NULL. */
	bool (*again)(struct conn *c, struct str in);
	/* 'n' bytes of the body that were held have gone to the handler.  May be
	 * NULL. */
	void (*body_taken)(struct exchange *ex, size_t n);
	/* As request_body_keeps; NULL: a connection has one body at a time. */
	bool (*body_kept)(struct exchange *ex, size_t n);

	/* ---- what goes ---- */

	/* A whole answer: header and 'length' bytes, in pieces or of ex->source. */
	void (*answer)(struct exchange *ex, const char *content_type,
		       const struct stream_vec *v, unsigned n, uint64_t length);
	/* Before that, for an answer that its handler lets be given again: keeps it
	 * (memo.h).  NULL where conn.repeated is never set. */
	void (*keep)(struct exchange *ex, const char *content_type,
		     const struct stream_vec *v, unsigned n, uint64_t length);
	/* The header of a stream; of a connection that becomes 'name' (NULL where
	 * exchange.wants_upgrade is never set). */
	void (*begin)(struct exchange *ex, const char *content_type);
	void (*upgrade)(struct exchange *ex, const char *name);
	void (*chunk)(struct exchange *ex, struct str bytes);
	/* The end of a stream; trailers are in ex->head. */
	void (*end)(struct exchange *ex);
	size_t (*pending)(const struct exchange *ex);
	/* The answer is complete and accounted for. */
	void (*done)(struct exchange *ex);
	/* It is about to be used again: what it has of the protocol's own goes, and its
	 * bytes become zeros behind this.  May be NULL. */
	void (*forget)(struct exchange *ex);

	/* ---- the connection ---- */

	/* The socket takes bytes again. */
	void (*writable)(struct conn *c);
	/* Nothing more comes: what is half read is given up, and streams end.
	 * False: the turn has ended enough (server_may_end), and more are left; it
	 * is called again. */
	bool (*eof)(struct conn *c);
	/* After anything has happened; the connection may end here. */
	void (*settle)(struct conn *c);
	/* Once a tick (may be NULL); when 'deadline_ms' has passed. */
	void (*tick)(struct conn *c, uint64_t now_ms);
	void (*expired)(struct conn *c);
	/* The connection has ended: its own memory.  May be NULL. */
	void (*free)(struct conn *c);
	/* Of the last in the table alone, whose connection one is until more is known:
	 * says 'err' as the answer to 'ex', and ends it. */
	void (*refuse)(struct conn *c, struct exchange *ex, const struct err *err);
};

/* Those of protocols.tbl, and NULL behind them. */
extern const struct http_protocol *const http_protocols[];

/* Of 'all', the one that ALPN chose ('alpn', or NULL), or that a connection begins with
 * whose first bytes are 'in'.  NULL: more bytes are needed. */
const struct http_protocol *protocol_find(const struct http_protocol *const *all,
					  const char *alpn, struct str in);
/* The one that is spoken where nothing says otherwise. */
const struct http_protocol *protocol_last(const struct http_protocol *const *all);

#endif
