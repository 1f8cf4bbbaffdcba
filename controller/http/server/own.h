/*
 * What the files of http/server share; nobody else includes it.
 *
 *	server.c	servers: listening, limits by time, drain
 *	later.c		what is put off, so that no turn is long
 *	conn.c		connections: what was asked, in order, and answers in
 *			that order
 *	answer.c	what handlers call
 *	protocol.c	which protocols there are (protocol.h, protocols.tbl)
 *	h1*.c		HTTP/1.1 as one of them (h1.h)
 *	h2*.c		HTTP/2 (h2.h)
 *	bodies.c	bodies that many ask for
 *	router.c	routes
 */
#ifndef HTTP_SERVER_OWN_H
#define HTTP_SERVER_OWN_H

#include "base/fsm.h"
#include "base/list.h"
#include "base/rand.h"
#include "http/server/bodies.h"
#include "http/server/protocol.h"
#include "http/server/router.h"
#include "http/server/server.h"
#include "io/timer.h"

struct conn;
struct exchange;
struct memo;

#define PROTOCOLS_MAX 8u

/* Of an answer_pieces. */
#define ANSWER_PIECES 129u

enum exchange_state {
	EXCHANGE_READING,                /* the body is not whole */
	EXCHANGE_HANDLING,               /* the handler has it */
	EXCHANGE_STREAMING,
	EXCHANGE_DONE,                   /* the answer is complete, maybe unsent */
	EXCHANGE__STATES,
};

/* A request and its answer; what its protocol knows of it lies behind.  There may be a
 * hundred thousand that wait on one connection: what is not needed for long lies in the
 * arena, which goes with request_forget, or behind pointers. */
struct exchange {
	struct request r;                /* first */
	struct list at_;                 /* of the connection */
	struct conn *conn;
	uint8_t state;                   /* enum exchange_state */
	bool keep_alive, has_body, is_bodiless;
	bool wants_upgrade, is_raw, wants_trailers, takes_trailers;
	bool is_body_whole, is_body_paused, is_body_told;
	bool has_forgotten;              /* its arena is not the usual one */
	int status;
	struct buf head;                 /* lines of answer_header, then trailers */
	struct buf body;                 /* of the request: what is not told */
	/* Of an answer that is done and goes bit by bit, or NULL. */
	struct answer_source *source;
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

/* What its protocol knows of it lies behind, or in 'state'. */
struct conn {
	struct list at_;                 /* of the server */
	struct http_server *server;
	struct stream *stream;
	const struct http_protocol *protocol;
	void *state;                     /* the protocol's own, where it is large */
	struct fsm fsm;
	struct list exchanges;
	unsigned n_exchanges;
	struct exchange *reading;        /* whose body is coming, or NULL */
	struct exchange *upgrading;      /* may take over what comes, or NULL */
	struct buf in;                   /* read and not taken yet */
	struct memo *memo;               /* what was answered last, or NULL */
	struct exchange *repeated;       /* asks what is kept, and is being handled */
	bool knows_trace;                /* of such a one, without looking for it */
	struct str about;                /* its answer may be given again */
	uint64_t deadline_ms;            /* 0: none; on the loop's clock */
	uint64_t out_seen, stuck_since_ms;       /* bytes that do not leave */
	bool is_known, has_entered;      /* which protocol it is; that it counts */
	uint64_t out_first, slow_since_ms;       /* ... or do so slowly */
	uint64_t body_bytes, body_since_ms;      /* that come, of a body */
	uint64_t asked, header_asked;            /* requests, before this header */
	struct buf certificate;          /* its name; empty: none */
	int64_t certificate_ends_s;      /* Unix */
	bool is_paused, has_eof, is_corked, has_spoken;
	bool no_more;                    /* what still comes is not looked at */
	struct list later_, ending_;     /* of the server: see later.c */
	uint64_t spent_turn;             /* the turn that it spent something in */
	unsigned spent;                  /* of what it may in a turn */
	bool is_kept;                    /* closed, and its stream is kept */
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
	unsigned n_spare, n_turned_away;
	struct http_stats stats;
	struct prng prng;                /* trace ids */
	struct conn *corked;             /* whose bytes are being taken, or NULL */
	struct buf out;                  /* of the corked connection */
	struct buf scratch;
	struct bodies bodies;
	const uint8_t *named;            /* the body that is being answered, or NULL */
	struct timer timer;              /* limits by time */
	unsigned tick_ms;
	uint64_t date_s;
	char date[40];
	const struct http_protocol *const *protocols;    /* as http_protocols */
	void *states[PROTOCOLS_MAX];     /* of each: server_state */
	size_t conn_bytes, exchange_bytes;               /* of the largest */
	struct turn turn;
	struct msg wake;
	bool wake_posted;
	/* Connections that go on in the next turn, and such as have more to end. */
	struct list later, ending;
	struct msg more;
	bool more_posted;
	uint64_t n_turns;
	unsigned ended;                  /* connections and streams, in this turn */
	bool is_draining, is_freed;
	uint64_t drain_until_ms, drain_idle_ms;
	void (*drained)(void *data);
	void *drained_data;
};

/* ---- server.c ---- */
#define HTTP_DATE_BYTES 29u              /* IMF-fixdate (RFC 9110, 5.6.7) */
const char *server_date(struct http_server *s);
void server_conn_gone(struct conn *c);
/* What server_new of that protocol answered, which is one of the server's. */
void *server_state(const struct http_server *s, const struct http_protocol *p);
/* Its memory, when nothing holds it. */
void server_try_destroy(struct http_server *s);

/* ---- later.c ---- */
void later_init(struct http_server *s);
void later_fini(struct http_server *s);
/* Another turn follows this one. */
void server_wake(struct http_server *s);
/* So many requests, or what costs as much, were taken off the connection. */
void conn_spend(struct conn *c, unsigned n);
/* It has spent what it may in one turn: others come first. */
bool conn_has_spent(const struct conn *c);
/* conn_settle in the next turn. */
void conn_later(struct conn *c);
/* This turn may end another connection or stream. */
bool server_may_end(const struct http_server *s);
/* conn_end in a later turn. */
void conn_end_later(struct conn *c);

/* ---- answer.c ---- */
/* The whole answer; its status and lines are set. */
void answer_give(struct exchange *ex, int status, const char *content_type,
		 const struct stream_vec *v, unsigned n);

/* ---- conn.c ---- */
struct conn *conn_new(struct http_server *s, struct stream *stream);
/* Nothing keeps from taking more off the connection. */
bool conn_may_read(const struct conn *c);
void conn_move(struct conn *c, enum conn_state to, const char *why);
/* Checked: the table of moves is in conn.c. */
void exchange_move(struct exchange *ex, enum exchange_state to, const char *why);
/* An exchange at the end of the queue. */
struct exchange *conn_ask(struct conn *c);
/* What is known of any request: who asks, when, and where. */
void request_init(struct conn *c, struct request *r);
/* It goes on with the trace of a traceparent, where that is one. */
void request_take_trace(struct request *r, struct str parent);
/* The header is there: route, `before`; false: answered already. */
bool exchange_open(struct exchange *ex);
/* The body is whole, or is told in pieces: runs the handler. */
void exchange_handle(struct exchange *ex);
/* A piece of a body that is told in pieces; the exchange may be gone then. */
void exchange_body(struct exchange *ex, struct str piece, bool is_last);
/* Until when so much is to be there, of what began at 'since_ms'. */
uint64_t conn_slowest(const struct http_limits *limits, uint64_t since_ms,
		      uint64_t bytes);
/* Takes what is in the connection already, and sets its limits anew. */
void conn_settle(struct conn *c);
/* The next piece of its source; false: it is gone, or over. */
bool exchange_read(struct exchange *ex, struct str *piece);
void exchange_source_free(struct exchange *ex);
/* The answer is complete. */
void exchange_done(struct exchange *ex);
/* Its handler may not answer any more, and hears of it. */
void exchange_gone(struct exchange *ex);
/* Back to the spare ones; after exchange_done, or where nobody has it. */
void exchange_free(struct exchange *ex);
/* Of a spare one: its memory. */
void exchange_destroy(struct exchange *ex);
/* Empties it, and gives much memory back. */
void buf_again(struct buf *b);
/* Nothing comes any more. */
void conn_last(struct conn *c, const char *why);
void conn_expire(struct conn *c);
/* As much of its end as this turn may do: that it is closed, that nothing more
 * comes, or that its time is over.  It may be freed. */
void conn_end(struct conn *c);
void conn_drain(struct conn *c);
void conn_cut(struct conn *c);

static inline bool exchange_tells_body(const struct exchange *ex)
{
	return ex->is_raw || ex->wants_upgrade ||
		(ex->r.route && ex->r.route->is_stream);
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
