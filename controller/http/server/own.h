/*
 * What the files of http/server share; nobody else includes it.
 *
 *	server.c	servers: listening, limits by time, drain
 *	conn.c		connections: what was asked, in order, and answers in
 *			that order
 *	answer.c	what handlers call
 *	h1.c		HTTP/1.1 behind struct http_protocol
 *	router.c	routes
 */
#ifndef HTTP_SERVER_OWN_H
#define HTTP_SERVER_OWN_H

#include "base/fsm.h"
#include "base/list.h"
#include "base/rand.h"
#include "http/server/router.h"
#include "http/server/server.h"
#include "io/timer.h"

struct conn;
struct exchange;

/* How requests and answers read on the wire. */
struct http_protocol {
	/* Takes bytes off the front of '*in' and makes exchanges of them;
	 * what is left needs more bytes, or conn_may_read. */
	void (*read)(struct conn *c, struct str *in);
	/* The header block of an answer; 'length' of the body, or UINT64_MAX:
	 * unknown, a stream follows. */
	void (*put_head)(struct exchange *ex, struct buf *out, int status,
			 const char *content_type, uint64_t length);
	/* Frames around a piece of a stream, and its end. */
	void (*put_chunk_start)(struct exchange *ex, struct buf *out, size_t n);
	void (*put_chunk_end)(struct exchange *ex, struct buf *out);
	void (*put_end)(struct exchange *ex, struct buf *out);
	/* "From here on it is 'name'": the header block of answer_upgrade. */
	void (*put_upgrade)(struct exchange *ex, struct buf *out,
			    const char *name);
	/* "Go on with the body" (100). */
	void (*put_continue)(struct exchange *ex, struct buf *out);
};
extern const struct http_protocol h1_protocol;

enum exchange_state {
	EXCHANGE_READING,                /* the body is not whole */
	EXCHANGE_HANDLING,               /* the handler has it */
	EXCHANGE_STREAMING,
	EXCHANGE_DONE,                   /* the answer is complete, maybe unsent */
	EXCHANGE__STATES,
};

/* A request and its answer. */
struct exchange {
	struct request r;                /* first */
	struct list at_;                 /* of the connection, oldest first */
	struct conn *conn;
	struct fsm fsm;
	struct buf head;                 /* lines of answer_header, then trailers */
	struct buf body;                 /* of the request: what is not told */
	struct buf held;                 /* of the answer, until it is its turn */
	struct http1_body decoder;       /* HTTP/1.1 */
	unsigned minor;
	bool keep_alive, has_body, wants_continue, is_chunked, is_bodiless;
	bool wants_upgrade, is_raw, takes_trailers;
	bool is_body_whole, is_body_paused, is_body_told;
	int status;
	uint64_t sent;
	void (*on_drain)(struct request *r);
	request_body *on_body;
};

enum conn_state {
	CONN_IDLE,                       /* nothing asked */
	CONN_HEADER,                     /* a header block has begun */
	CONN_BODY,
	CONN_ANSWERING,                  /* nothing half read, answers open */
	CONN_LAST,                       /* reads no more, sends what is left */
	CONN_CLOSED,
	CONN__STATES,
};

struct conn {
	struct list at_;                 /* of the server */
	struct http_server *server;
	struct stream *stream;
	const struct http_protocol *protocol;
	struct fsm fsm;
	struct list exchanges;
	unsigned n_exchanges;
	struct exchange *reading;        /* whose body is coming, or NULL */
	struct exchange *upgrading;      /* may take over what comes, or NULL */
	struct buf in;                   /* read and not taken yet */
	size_t scanned;                  /* of 'in', HTTP/1.1 */
	struct http1_repeat *repeat;     /* HTTP/1.1: asked last */
	uint64_t deadline_ms;            /* 0: none; on the loop's clock */
	uint64_t out_seen, stuck_since_ms;       /* bytes that do not leave */
	uint64_t out_first, slow_since_ms;       /* ... or do so slowly */
	uint64_t body_bytes, body_since_ms;      /* that come, of a body */
	uint64_t asked, header_asked;            /* requests, before this header */
	bool has_entered;
	bool is_paused, has_eof, is_corked, has_asked;
	bool no_more;                    /* what still comes is not looked at */
};

struct listening {
	struct list at_;
	struct listener *listener;
};

struct http_server {
	struct loop *loop;
	struct http_server_config config;
	struct router *router;
	struct list listeners, conns;
	struct list spare;               /* exchanges to use again */
	unsigned n_spare;
	struct http_stats stats;
	struct prng prng;                /* trace ids */
	struct buf out;                  /* of the corked connection */
	struct buf scratch;
	struct timer timer;              /* limits by time */
	unsigned tick_ms;
	uint64_t date_s;
	char date[40];
	bool is_draining, is_freed;
	uint64_t drain_until_ms, drain_idle_ms;
	void (*drained)(void *data);
	void *drained_data;
};

/* ---- server.c ---- */
const char *server_date(struct http_server *s);
void server_conn_gone(struct conn *c);

/* ---- conn.c ---- */
struct conn *conn_new(struct http_server *s, struct stream *stream);
/* Nothing is kept from taking more requests off the connection. */
bool conn_may_read(const struct conn *c);
void conn_move(struct conn *c, enum conn_state to, const char *why);
/* An exchange at the end of the queue. */
struct exchange *conn_ask(struct conn *c);
/* The header is there: route, `before`; false: answered already. */
bool exchange_open(struct exchange *ex);
/* The body is whole, or is told in pieces: runs the handler. */
void exchange_handle(struct exchange *ex);
/* A piece of a body that is told in pieces; the exchange may be gone then. */
void exchange_body(struct exchange *ex, struct str piece, bool is_last);
/* Takes what is in the connection already, and sets its limits anew. */
void conn_settle(struct conn *c);
/* What cannot be read is answered, and ends the connection. */
void conn_refuse(struct conn *c, struct exchange *ex, const struct err *err);
/* Bytes of an answer: to the socket where it is its turn, else held. */
void exchange_send(struct exchange *ex, const struct stream_vec *v, unsigned n);
/* The answer is complete. */
void exchange_done(struct exchange *ex);
bool exchange_is_first(const struct exchange *ex);
/* Nothing comes any more. */
void conn_last(struct conn *c, const char *why);
void conn_expire(struct conn *c);
void conn_drain(struct conn *c);
void conn_cut(struct conn *c);

static inline bool exchange_tells_body(const struct exchange *ex)
{
	return ex->is_raw || (ex->r.route && ex->r.route->is_stream);
}

static inline bool exchange_body_is_over(const struct exchange *ex)
{
	return !ex->has_body || ex->is_body_whole;
}

static inline struct exchange *exchange_of(const struct request *r)
{
	return (struct exchange *)r;
}

#endif
