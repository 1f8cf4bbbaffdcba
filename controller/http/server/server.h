/*
 * The HTTP server: connections on HTTP loops, requests to handlers, answers
 * back.  It knows nothing of what it serves.
 *
 * A protocol (HTTP/1.1, HTTP/2) turns bytes into requests and answers into bytes
 * behind one interface (struct http_protocol, protocol.h); handlers see struct
 * request only.  Which one it is says ALPN, and where that says nothing what the
 * client sends first.
 *
 * A request lives in an arena of its own from the last byte of its header
 * block until its answer is complete or the connection ends.  `before` runs
 * when the header is there, so that who may not ask sends no body; the handler
 * when the whole body is there (bounded), on the loop of the connection, or at
 * once where its route takes the body in pieces.  It may answer at once or later,
 * on the same loop.  Answers of pipelined requests leave in the order of the
 * requests.
 *
 * Every answer has Date and X-Conflux-Trace.  Each connection is a checked
 * state machine (conn.c); limits end it with an answer that says so (408, 413,
 * 431), or without where nothing was asked.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "http/wire/http1.h"
#include "http/wire/url.h"
#include "io/loop.h"
#include "io/stream.h"

struct http_protocol;
struct request;

#define ROUTE_ARGS 8

/* What came with a request; strings live in its arena.  All empty once
 * request_forget has been called. */
struct request_in {
	struct str target;               /* as sent */
	struct str path;                 /* as sent, without the query */
	const struct url_param *query;
	size_t n_query;
	const struct http_header *headers;
	size_t n_headers;
	struct str body;
	struct str content_type;         /* without parameters, lower case */
	struct str args[ROUTE_ARGS];     /* of the route's {names}, decoded */
};

/* What a route's handler gets. */
struct request {
	enum http_method method;         /* HEAD runs the GET handler */
	bool is_head;
	bool is_tls;
	struct request_in *in;
	const struct route *route;
	const struct stream_addr *peer;
	/* What the client's certificate calls it (tls_cert_name), which was verified
	 * and has not ended; empty: it has shown none. */
	struct str certificate;
	struct arena *arena;
	struct loop *loop;
	void *server_data;               /* of http_server_config, per loop */
	struct str door;                 /* of `before`, for `end`; in the arena */
	uint8_t trace[16];               /* from traceparent, or new */
	uint64_t start_ns;
	/* The handler's own.  A handler that answers later sets 'on_gone': it
	 * runs when the connection ended before the answer was complete.  No
	 * answer may be given any more, and the request is dead when it returns. */
	void *data;
	void (*on_gone)(struct request *r);
};

/*
 * Lets go of all that came with the request, and of its arena: 'in' is empty then.
 * For requests that are held for long, as watches are: what such a one needs it has
 * elsewhere, behind 'data'.
 */
void request_forget(struct request *r);
/* Its trace as text: 32 digits and a NUL. */
#define REQUEST_TRACE_TEXT 33
void request_trace(const struct request *r, char out[REQUEST_TRACE_TEXT]);
const struct str *request_header(const struct request *r, const char *name);
const struct str *request_query(const struct request *r, const char *name);
/* Of request.certificate, Unix; 0: there is none. */
uint64_t request_certificate_ends_ms(const struct request *r);

/* ---- answers ---- */

/* Adds a header of the answer; before answer_*.  Values with control bytes
 * are refused by must(). */
void answer_header(struct request *r, const char *name, struct str value);
void answer_header_u64(struct request *r, const char *name, uint64_t value);
/* A whole answer.  'body' is written from where it lies: it need only be valid
 * during the call.  With HEAD the body is not sent, its length is. */
void answer(struct request *r, int status, const char *content_type,
	    struct str body);
/* As answer, of up to 'n' pieces. */
void answer_pieces(struct request *r, int status, const char *content_type,
		   const struct stream_vec *v, unsigned n);
/* As answer_pieces, of bytes that have a name, which no others ever have: 32 bytes, as a
 * digest is.  What many ask for again and again is kept once for all of them. */
void answer_named(struct request *r, int status, const char *content_type,
		  const struct stream_vec *v, unsigned n, const uint8_t *name);
/* problem+json (RFC 9457) out of an error: type, title, status, detail, hint,
 * code, trace. */
void answer_error(struct request *r, const struct err *err);
/* The same, with more members of JSON: ",\"invalid\":[...]", or nothing. */
void answer_error_with(struct request *r, const struct err *err, struct str members);

/*
 * A body that is looked up as the client takes it: what the client does not take is not
 * copied, whatever its size.  `read` gives what is there from 'at' on, up to the next
 * multiple of ANSWER_PIECE or the end; it is valid as long as this turn of the loop.
 * False: it is there no more, and the answer breaks off.  `free` is its end, after the
 * request's too.  Neither may answer anything.
 */
#define ANSWER_PIECE 65536u
struct answer_source {
	uint64_t size;                   /* not 0 */
	bool (*read)(struct answer_source *s, uint64_t at, struct str *out);
	void (*free)(struct answer_source *s);
	uint64_t at;                     /* the server's: so much has gone */
};
/* A whole answer; the source is the server's from here on. */
void answer_from(struct request *r, int status, const char *content_type,
		 struct answer_source *source);

/* ---- bodies in pieces ---- */

/*
 * Of a route that says is_stream (its handler runs when the header is there), or
 * behind answer_upgrade: 'cb' gets the body as it comes, 'bytes' valid during the
 * call; the last call, maybe without bytes, says is_last.  What is there already
 * is told before this returns.  'cb' may answer; then it is not called again.
 *
 * The total is not limited; what comes before 'cb' is known waits in the
 * connection.  While no answer has begun, 'body_ms' without progress ends the
 * request with 408, and on_gone runs: as for a client that breaks off.
 */
typedef void request_body(struct request *r, struct str bytes, bool is_last);
void request_on_body(struct request *r, request_body *cb);
/* No 'cb' until resumed, and the client is made to wait; what is there then is
 * told before request_body_resume returns. */
void request_body_pause(struct request *r);
/* Its handler keeps 'n' bytes of what it was told, until it says otherwise or has answered.
 * They count with the other bodies of the connection: where these are much the client is made
 * to wait with all but the oldest that still comes.  False: they are too much all the same,
 * and this one is to be refused. */
bool request_body_keeps(struct request *r, size_t n);
void request_body_resume(struct request *r);

/*
 * Whoever polls sends the same bytes over and over on his connection, or the same but for
 * a traceparent.  A handler whose answer depends on these bytes, on who may see it, and
 * on a state that can be named says so before it answers: when they come again and
 * config.again agrees, which is given 'about' (copied, at most ANSWER_ABOUT bytes), then
 * status, headers and body are sent as they were, with a date and a trace of their own
 * (over HTTP/2 requests with a traceparent are always handled), and neither
 * `before` nor the handler runs.  What the pieces of the answer point to is not copied:
 * it has to be there whenever `again` agrees.  Only GET, and in the handler's own call;
 * elsewhere it does nothing.
 */
#define ANSWER_ABOUT 256
void answer_may_repeat(struct request *r, const void *about, size_t n);

/* ---- streams (server sent events, Kubernetes watches) ---- */

/* Sends the header block now; chunks follow until answer_end.  With HEAD it is
 * the whole answer, and on_gone comes next.  A client that ends its side of the
 * connection gets what was said until then, and on_gone comes too. */
void answer_stream(struct request *r, int status, const char *content_type);
void answer_chunk(struct request *r, struct str bytes);
/* Bytes not yet taken by the socket: stop producing above a bound, go on in
 * on_drain. */
size_t answer_pending(const struct request *r);
/* A chunk will be given soon: brings near in memory what that needs, and no more. */
void answer_soon(const struct request *r);
void answer_on_drain(struct request *r, void (*cb)(struct request *r));
/* Sent behind the last chunk, where the client takes trailers (HTTP/1.1: TE:
 * trailers); else dropped.  Between answer_stream and answer_end.  An answer that
 * is trailers alone is one without a body: answer_header and answer. */
void answer_trailer(struct request *r, const char *name, struct str value);
void answer_end(struct request *r);

/* ---- the bare connection (WebSocket) ---- */

/* The client asks to go on with 'protocol', and may (RFC 9110, 7.8). */
bool request_wants_upgrade(const struct request *r, const char *protocol);
/*
 * Goes on with 'protocol', which the client has asked for: bytes come by
 * request_on_body and go by answer_chunk, until answer_end, which closes.  No
 * limit by time but that of unsent bytes applies.  A client that ends its side is
 * told to the handler by is_last, and where that does not end the answer by
 * on_gone.
 */
void answer_upgrade(struct request *r, const char *protocol);

/* ---- routes ---- */

typedef void route_handler(struct request *r);

/* A row of a routes table.  'path' reads "/api/v1/x/{id}"; a last part
 * "{name...}" takes the rest with its slashes.  'permission' is the caller's
 * (api/routes.tbl): the table of routes carries it so that none is without. */
struct route {
	enum http_method method;
	const char *path;
	route_handler *handler;
	unsigned permission;
	const char *name;                /* for metrics */
	bool is_stream;                  /* takes its body by request_on_body */
};

struct http_limits {
	size_t header_bytes;             /* 16 KiB */
	size_t body_bytes;               /* 8 MiB */
	/* From the first byte of a request to the end of its header: 10,000. */
	unsigned header_ms;
	unsigned body_ms;                /* 30,000 without progress */
	unsigned idle_ms;                /* keep-alive: 75,000 */
	unsigned handshake_ms;           /* of TLS: 10,000 */
	/* Without a byte of what waits to be sent: 30,000. */
	unsigned write_ms;
	/* Bytes a second that a body comes with, and an answer goes with, beyond
	 * body_ms and write_ms: whoever keeps a connection busy with a byte now and
	 * then is ended too.  0: no such limit; 512. */
	unsigned least_rate;
	/* While the server drains a connection may bring a request for this long,
	 * so that none is lost on its way: 1,000. */
	unsigned drain_idle_ms;
	unsigned connections;            /* a loop: 20,000 */
	/* Unsent bytes of a connection before it is read no more: 1 MiB. */
	size_t pending_bytes;
	unsigned pipelined;              /* unanswered requests of a connection: 64 */
	unsigned streams;                /* of an HTTP/2 connection: 100,000 */
	/* Requests that a connection has handled in one turn of the loop before others
	 * come, a KiB counting as one: 128. */
	unsigned turn_requests;
	/* Connections and streams that end in one turn; the rest does later: 512. */
	unsigned turn_ends;
};
extern const struct http_limits http_limits_default;

struct http_stats {
	uint64_t connections, connections_now, requests, refused;
	uint64_t bytes_in, bytes_out;
	uint64_t by_class[6];            /* answers 1xx..5xx */
	uint64_t streams_now;
};

struct http_server;

/* The names of the protocols for ALPN, best first and separated by commas: see
 * tls_server_new. */
#define HTTP_ALPN_BYTES 128
void http_alpn(char out[HTTP_ALPN_BYTES]);

struct http_server_config {
	/* NULL behind the last; NULL: all that there are (protocols.tbl). */
	const struct http_protocol *const *protocols;
	const struct route *routes;      /* first match wins; most specific first */
	size_t n_routes;
	struct http_limits limits;
	void *data;                      /* request.server_data */
	/* Runs when the header is there, before the body is read
	 * (authentication, permission): false where it has answered. */
	bool (*before)(struct request *r);
	/* The answer that answer_may_repeat was called for may be given to 'r' too, of
	 * which route, peer, trace and times are there, and nothing else.  NULL: never. */
	bool (*again)(struct request *r, const void *about);
	/* A connection from there comes; false: it is told 429 and closed.  One that
	 * was let in is told of by `leave`.  Both may be NULL. */
	bool (*enter)(void *data, const struct stream_addr *peer);
	void (*leave)(void *data, const struct stream_addr *peer);
	/* No route matched or the method is not allowed ('err' says which). */
	void (*no_route)(struct request *r, const struct err *err);
	/* After each answer, for access log and metrics; may be NULL. */
	void (*after)(struct request *r, int status, uint64_t bytes);
	/* A request is over, whatever became of it; the last that is heard of it.
	 * Its `data` may be gone.  May be NULL. */
	void (*end)(struct request *r);
};

/* One server a loop.  Own loop's thread (or before it runs). */
enum code http_server_new(struct loop *loop, const struct http_server_config *c,
			  struct http_server **out, struct err *err) MUST_USE;
/* 'share': with SO_REUSEPORT, so that each loop's server can take one address;
 * then another program of the same user that shares it too is not noticed. */
enum code http_server_listen(struct http_server *s, struct str addr, bool share,
			     struct tls_server *tls, struct stream_addr *bound,
			     struct err *err) MUST_USE;
/* Takes what has connected, stops accepting, lets requests in flight end, and
 * those come that are on their way on open connections (what is left after 'grace_ms'
 * is cut off, with on_gone), then 'done'; it may run before this returns. */
void http_server_drain(struct http_server *s, unsigned grace_ms,
		       void (*done)(void *data), void *data);
/* Cuts off what is open; the memory goes with the loop's handles. */
void http_server_free(struct http_server **s);
void http_server_stats(const struct http_server *s, struct http_stats *out);

#endif
