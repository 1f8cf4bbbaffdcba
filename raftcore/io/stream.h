/*
 * One ordered stream of bytes over TCP, clear or TLS, on one loop.
 *
 * Reads arrive by callback in a buffer of the loop that is valid during the
 * call only.  Writes go to the socket at once as far as it takes them; the
 * rest is copied and queued, and on_drain says when the queue is empty again.
 *
 * A stream frees itself: on_close is its last callback, and the pointer is
 * dead when that returns, unless stream_keep was called there.  Every function
 * may be called inside every callback, also stream_close and stream_abort; after
 * these no callback but on_close comes, and what is written is dropped.
 *
 * The program ignores SIGPIPE.  All functions: the loop's own thread.
 */
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include "io/loop.h"
#include "io/tls.h"

struct stream;

/* on_data is needed; the others may be NULL. */
struct stream_ops {
	/* Bytes came.  The stream may be closed inside. */
	void (*on_data)(struct stream *s, struct str bytes);
	/* The peer will send no more (half-close): answers may still go, until
	 * stream_close.  NULL: the stream is closed then. */
	void (*on_eof)(struct stream *s);
	/* The queue of unsent bytes is empty again. */
	void (*on_drain)(struct stream *s);
	/* Connected, with TLS up (client side); the TLS handshake ended (server
	 * side).  A clear stream from a listener is open at once, without it. */
	void (*on_open)(struct stream *s);
	/* The last call: the stream is gone.  'err' has E_IO, E_TLS (a peer
	 * that vanishes without the goodbye of TLS is one), or OK. */
	void (*on_close)(struct stream *s, const struct err *err);
};

struct stream_addr {
	char text[72];               /* "127.0.0.1:8080", "[::1]:8080" */
	char host[64];
	uint16_t port;
	bool is_loopback;
	/* Of whoever came to a listener: from this very machine, over loopback or
	 * with the address that it came to, which no other machine can answer at. */
	bool is_own;
};

/* ---- listening ---- */
struct listener;
typedef void listener_cb(struct listener *l, struct stream *s, void *data);

/*
 * Listens on "host:port" (numeric or name; port 0 picks one) with
 * SO_REUSEPORT when 'share' so that several loops can accept on one port.
 * 'tls' may be NULL (clear text); it must outlive the listener.  'cb' gets each
 * new stream, which must be given ops with stream_set, or be closed, before
 * returning.  A name is resolved here and blocks: at start, not later.
 *
 * E_INVALID: the address is malformed; E_NOT_FOUND: the name is unknown;
 * E_BUSY: the port is taken; E_DENIED, E_IO.
 */
enum code listener_new(struct loop *loop, struct str addr, bool share,
		       struct tls_server *tls, listener_cb *cb, void *data,
		       struct listener **out, struct err *err) MUST_USE;
/* The address in use, with the port that was picked. */
void listener_addr(const struct listener *l, struct stream_addr *out);
/* Gives whoever has connected by now to 'cb', at once: closing would reset them. */
void listener_accept_all(struct listener *l);
/* Stops accepting; frees itself.  Streams it gave stay. */
void listener_close(struct listener **l);

/* ---- connecting ---- */
/*
 * 'ops->on_open' or on_close follows, in a later turn.  'tls' NULL: clear text;
 * else 'tls_name' is verified and sent (SNI); NULL: the host of 'addr'.  A name
 * is resolved without blocking, and each of its addresses is tried.  What is
 * written before on_open goes out then.  No timeout: use a timer and
 * stream_abort.  E_INVALID: the address is malformed.
 */
enum code stream_connect(struct loop *loop, struct str addr,
			 struct tls_client *tls, const char *tls_name,
			 const struct stream_ops *ops, void *data,
			 struct stream **out, struct err *err) MUST_USE;

/* Ops must stay valid as long as the stream. */
void stream_set(struct stream *s, const struct stream_ops *ops, void *data);
void *stream_data(const struct stream *s);
/* What will be looked at when bytes come: it is brought near the processor while the
 * kernel reads them, as of a thousand connections each is somewhere else in memory.  'i'
 * is less than STREAM_NEAR.  Nothing is read or written there, and it may be gone. */
#define STREAM_NEAR 6u
void stream_near(struct stream *s, unsigned i, const void *at, size_t n);
/* Of a connecting stream: what is known so far. */
const struct stream_addr *stream_peer(const struct stream *s);
/* NULL without TLS; else protocol chosen by ALPN ("http/1.1", "h2"). */
const char *stream_alpn(const struct stream *s);
bool stream_is_tls(const struct stream *s);
/* Of a stream that is open: the peer's certificate, the caller's to free; NULL:
 * clear text, or a client without one. */
struct tls_cert *stream_peer_cert(const struct stream *s);
struct loop *stream_loop(const struct stream *s);

struct stream_vec {
	const void *p;
	size_t n;
};
/* Writes all parts in order.  Bytes that the socket does not take are copied.
 * After an error nothing is written and on_close follows later. */
void stream_write(struct stream *s, const struct stream_vec *v, unsigned n);
/*
 * As stream_write of two parts: what is sent of 'body' at once is not copied, but taken
 * from 'file', which holds the same bytes from its beginning, and never others.
 */
void stream_write_file(struct stream *s, struct str head, const struct stream_vec *body,
		       unsigned n, int file);
/* Bytes waiting to be sent. */
size_t stream_pending(const struct stream *s);
/* No on_data (nor on_eof) until resumed; then in a later turn. */
void stream_read_pause(struct stream *s);
void stream_read_resume(struct stream *s);
/*
 * Sends what is pending, then closes; on_close follows in a later turn, once.
 * A peer that goes on sending is read from for up to 2 seconds, so that it gets
 * the last answer and not a reset; one that takes nothing for 30 seconds is
 * given up.  stream_abort closes at once.
 */
void stream_close(struct stream *s);
void stream_abort(struct stream *s);
/* In on_close: its memory stays until stream_drop, for questions (peer, counts) and
 * for calls that do nothing any more. */
void stream_keep(struct stream *s);
void stream_drop(struct stream *s);
/* Bytes read and written (of the wire, with TLS's own) since it opened. */
void stream_counts(const struct stream *s, uint64_t *in, uint64_t *out);
/* Bytes for the wire since it opened: '*given' to the stream, and of these
 * '*taken' by the peer's machine, which has acknowledged them.  That says that
 * the way there works, and not that anybody reads there. */
void stream_progress(const struct stream *s, uint64_t *given, uint64_t *taken);

#endif
