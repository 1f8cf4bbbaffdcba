/*
 * HTTP/2 (RFC 9113) behind struct http_protocol, over nghttp2: what h2.c and
 * h2_send.c share.
 *
 *	h2.c		sessions: what comes, limits, ends
 *	h2_request.c	requests and their bodies
 *	h2_repeat.c	requests that come again
 *	h2_send.c	what goes: answers, and when it is written
 *
 * Nothing of nghttp2's may be called below its own callbacks but what submits, so
 * these note what has come ('ready'), and requests are handled when nghttp2 has
 * returned.  Bytes are taken in small slices, so that a crowd of requests in one
 * packet is handled one by one.
 *
 * Answers that are given while bytes are taken, or in one turn of the loop, leave in
 * one write.  Whole answers, and chunks of streams where nothing of theirs waits, go as
 * far as socket and windows take them, from where they lie; the rest is copied ('held').
 * While a connection holds too much, new requests wait ('deferred').
 */
#ifndef HTTP_SERVER_H2_H
#define HTTP_SERVER_H2_H

#include <nghttp2/nghttp2.h>

#include "http/server/h2_repeat.h"
#include "http/server/own.h"

struct h2_body;
struct h2_held;
struct h2_out;

/* What a request is to HTTP/2. */
struct h2_stream {
	struct exchange x;               /* first */
	int32_t id;
	bool is_closed;                  /* for nghttp2: nothing may be said */
	bool is_broken;                  /* nothing more comes */
	bool is_open, is_deferred, is_connect;
	bool is_header_large, is_too_large;
	bool has_item, is_read, is_ended, is_end_read;   /* DATA: h2_send.c */
	bool is_waiting;                 /* for a part of the window that is lent */
	uint32_t header_bytes, cap_headers;
	struct h2_held *held;            /* what did not go yet; NULL: nothing */
	struct h2_body *body;            /* NULL: nothing comes */
	struct list ready_;
};

/* What the sessions of a server share. */
struct h2_server {
	struct http_server *s;
	struct h2_out *out;
	struct list dirty;               /* what h2_mark was called with */
	struct turn turn;
};

struct h2 {
	struct conn *c;
	struct h2_server *shared;
	nghttp2_session *session;
	struct list ready;               /* something came for it */
	struct list deferred;            /* requests that wait for room */
	struct list holding;             /* that hold; who moved last is last */
	struct list drained;             /* nothing is held any more */
	struct list bodies;              /* that come whole, oldest first */
	struct list pieces;              /* and in pieces */
	struct list keeping;             /* of which handlers keep some, likewise */
	struct list taken;               /* whose windows are given with what goes next */
	struct list dirty_;              /* of 'shared': it has what to send */
	struct buf gathered;             /* until others were written to */
	unsigned n_deferred, n_bodies;
	unsigned n_streams;              /* that nghttp2 knows */
	bool has_eof;                    /* h2_eof has begun, and so many are left */
	unsigned n_ending;
	size_t held_bytes;               /* of answers, not given to the socket */
	size_t body_bytes;               /* of bodies that come whole */
	size_t untaken_bytes;            /* of bodies in pieces */
	bool is_holding_back;            /* a body owes what it may not be given yet */
	bool is_inside;                  /* below a callback of nghttp2 */
	bool is_blocked;                 /* DATA waits for the socket */
	bool is_terminated;              /* GOAWAY is all that comes of it */
	bool is_ended;                   /* nghttp2 is asked nothing any more */

	/* A whole answer is being sent: its pieces, as far as they are left. */
	struct exchange *answering;
	const struct stream_vec *v;
	unsigned n_v;
	size_t v_at;                     /* into v[0] */
	size_t v_left;

	char *region;                    /* of nghttp2's memory; NULL: none */
	size_t region_used;
	uint32_t borrowed;               /* of the connection's window: h2_window */
	bool has_waiting;                /* DATA waits for that */
	uint64_t sent_bytes;             /* of DATA; see is_stuck */
	uint64_t sent_seen, stuck_since_ms;
	uint64_t sent_first, slow_since_ms;
	struct h2_frames frames;
	struct exchange *opening;        /* its header block is not whole */
	uint64_t opening_ms;
	/* Frames that cost and bring nothing are paid for: see pay. */
	uint64_t earned;
	double calm;
	uint64_t calm_ms;
	enum { H2_SERVES, H2_NOTICED, H2_ASKED, H2_GOES } drain;
	bool has_pong;
	uint64_t noticed_ms;
};

static inline struct h2 *h2_of(const struct conn *c)
{
	return c->state;
}

static inline struct h2_stream *own(const struct exchange *ex)
{
	return (struct h2_stream *)ex;
}

/*
 * What the client takes on the connection.  Of the window that nghttp2 counts, DATA that
 * it does not know of (h2_repeat.c) has borrowed a part; what the client opens next pays
 * that back, before nghttp2 hears of it.
 */
static inline size_t h2_window(const struct h2 *h2)
{
	size_t counted = (size_t)nghttp2_session_get_remote_window_size(h2->session);

	must(h2->borrowed <= counted);
	return counted - h2->borrowed;
}

/* ---- h2_send.c ---- */

struct h2_out *h2_out_new(void);
void h2_out_free(struct h2_out **out);
/* Gives the socket what there is, as far as it takes it, and runs what waits for
 * that; not below a callback. */
void h2_pump(struct h2 *h2);
/* Sends bytes that nghttp2 knows nothing of, behind what it has sent. */
void h2_send_bytes(struct h2 *h2, struct str bytes);
/* DATA may go at once: neither socket nor client keeps any of other streams. */
bool h2_may_send_data(const struct h2 *h2, size_t n);
/* Some of what was borrowed is paid back. */
void h2_go_on_waiting(struct h2 *h2);
void h2_answer(struct exchange *ex, const char *content_type,
	       const struct stream_vec *v, unsigned n, uint64_t length);
void h2_begin(struct exchange *ex, const char *content_type);
void h2_upgrade(struct exchange *ex, const char *name);
void h2_chunk(struct exchange *ex, struct str bytes);
void h2_end(struct exchange *ex);
size_t h2_pending(const struct exchange *ex);
void h2_flush(struct conn *c);
/* Forgets what was gathered for it: it has ended. */
void h2_forget(struct conn *c);
/* Nothing is held for it any more. */
void h2_held_over(struct h2 *h2, struct exchange *ex);
void h2_held_free(struct h2_held **held);
/* Resets the streams that the client keeps from going for too long. */
void h2_end_stuck(struct h2 *h2, uint64_t now_ms);
/* "Go on with the body." */
void h2_continue(struct exchange *ex);
/* nghttp2's callbacks of this file. */
void h2_send_callbacks(nghttp2_session_callbacks *cbs);

/* ---- h2_request.c ---- */

/* Something came for it: it is looked at when nghttp2 has returned (h2_run). */
void h2_ready(struct h2 *h2, struct exchange *ex);
/* What has come is handled, and what was put off where there is room. */
void h2_run(struct h2 *h2);
/* The client has said its last; as http_protocol's. */
bool h2_eof(struct conn *c);
/* If it has: this one is to be looked at, once more. */
void h2_end_by_eof(struct exchange *ex);
void h2_take_header(struct exchange *ex, struct str name, struct str value);
void h2_take_data(struct exchange *ex, struct str piece);
/* The connection's window opens by so much. */
void h2_give_connection(struct h2 *h2, size_t n);
void h2_body_taken(struct exchange *ex, size_t n);
bool h2_body_kept(struct exchange *ex, size_t n);
/* Nothing of the body is waited for or held any more; the bytes stay. */
void h2_body_over(struct h2 *h2, struct exchange *ex);
/* Before anything is sent: what handlers took, and do not keep, may come again. */
void h2_let_taken_come(struct h2 *h2);
void h2_end_late_bodies(struct h2 *h2, uint64_t now_ms);
/* As http_protocol.forget. */
void h2_forget_stream(struct exchange *ex);
/* Takes it off all lists and accounts, and lets it go. */
void h2_let_go(struct exchange *ex);
/* The same for one that is not answered: its handler is told, and the client. */
void h2_drop(struct h2 *h2, struct exchange *ex, uint32_t code);

/* ---- h2.c ---- */

/* Sends at the end of this turn. */
void h2_mark(struct h2 *h2);
/* The session has failed with 'rv'. */
void h2_fail(struct h2 *h2, int rv);
/* Sends what says so, and ends. */
void h2_terminate(struct h2 *h2, uint32_t code);
/* For a frame that costs and brings nothing, where others have not paid for it. */
void h2_pay_control(struct h2 *h2);

/* Another request may be handled: not too much waits for the client. */
static inline bool h2_has_place(const struct h2 *h2)
{
	return h2->held_bytes <= h2->c->server->config.limits.pending_bytes;
}

#endif
