/* Requests over HTTP/2 and their bodies: see h2.h. */
#include "http/server/h2.h"

#include "base/mem.h"

#include "base/banned.h"

#define HEADERS_MAX 100
/* Requests whose bodies come whole, at one time. */
#define BODIES_MAX 128u
/* Requests that wait because the connection holds too much. */
#define DEFERRED_MAX 256u
/* Of bodies in pieces that nobody takes: beyond it the whole connection waits. */
#define UNTAKEN_BYTES (16u * 1024 * 1024)
/* Of bodies that are kept, which have a window each before they wait: beyond so many,
 * and what may come all the same, they are refused. */
#define KEPT_BYTES (16u * 1024 * 1024)

/* What is known of a body while it comes; most requests bring none. */
struct h2_body {
	struct exchange *ex;
	struct list at_;                 /* of those that come whole, or in pieces */
	struct list kept_;               /* of those of which the handler keeps some */
	struct list taken_;              /* of those whose handler has taken a piece */
	size_t kept;
	bool is_whole_counted, is_pieces_counted;
	uint32_t owed, owed_connection;  /* of windows */
	uint64_t moved_ms, since_ms;     /* it made progress; began */
	uint64_t bytes;                  /* since then */
};

/* ---- bodies ---- */

static struct h2_body *body_of(struct exchange *ex)
{
	if (own(ex)->body)
		return own(ex)->body;
	own(ex)->body = NEW(struct h2_body);
	own(ex)->body->ex = ex;
	list_init(&own(ex)->body->at_);
	list_init(&own(ex)->body->kept_);
	list_init(&own(ex)->body->taken_);
	return own(ex)->body;
}

static void body_free(struct h2_body **at)
{
	struct h2_body *body = TAKE(*at);

	if (!body)
		return;
	list_remove(&body->at_);
	list_remove(&body->kept_);
	list_remove(&body->taken_);
	free(body);
}

static void give_stream(struct h2 *h2, struct h2_body *body)
{
	size_t n = body->owed;

	body->owed = 0;
	if (n && !h2->is_ended && !own(body->ex)->is_closed) {
		nghttp2_session_consume_stream(h2->session, own(body->ex)->id, n);
		h2_mark(h2);
	}
}

void h2_give_connection(struct h2 *h2, size_t n)
{
	if (n && !h2->is_ended) {
		nghttp2_session_consume_connection(h2->session, n);
		h2_mark(h2);
	}
}

static size_t bound_of(const struct h2 *h2)
{
	return 2 * h2->c->server->config.limits.body_bytes;
}

static bool is_oldest(const struct h2 *h2, const struct h2_body *body)
{
	return h2->bodies.next == &body->at_ || h2->keeping.next == &body->kept_;
}

static bool goes_on(const struct h2 *h2, const struct h2_body *body)
{
	return h2->body_bytes <= bound_of(h2) || is_oldest(h2, body);
}

/* What it owes is given back, or stays until others are over. */
static void let_body_come(struct h2 *h2, struct h2_body *body)
{
	if (goes_on(h2, body))
		give_stream(h2, body);
	else if (body->owed)
		h2->is_holding_back = true;
}

/* All bodies go on while they are few bytes; else the oldest alone, of each kind. */
static void let_bodies_come(struct h2 *h2)
{
	struct h2_body *body;

	if (!h2->is_holding_back)
		return;
	list_each(&h2->bodies, body, at_) {
		give_stream(h2, body);
		if (h2->body_bytes > bound_of(h2))
			break;
	}
	list_each(&h2->keeping, body, kept_) {
		give_stream(h2, body);
		if (h2->body_bytes > bound_of(h2))
			break;
	}
	if (h2->body_bytes <= bound_of(h2))
		h2->is_holding_back = false;
}

/* By now their handlers have said what they keep. */
void h2_let_taken_come(struct h2 *h2)
{
	struct h2_body *body;

	while ((body = list_first(&h2->taken, struct h2_body, taken_))) {
		list_remove(&body->taken_);
		if (body->kept)
			let_body_come(h2, body);
		else
			give_stream(h2, body);
	}
}

/* 'n' bytes came; SIZE_MAX: it begins, or need not come now. */
static void body_moves(struct h2 *h2, struct h2_body *body, size_t n)
{
	body->moved_ms = loop_now_ms(h2->c->server->loop);
	if (n == SIZE_MAX) {
		body->since_ms = body->moved_ms;
		body->bytes = 0;
	} else {
		body->bytes += n;
	}
}

/* Nothing of the body is waited for or held any more; the bytes stay. */
void h2_body_over(struct h2 *h2, struct exchange *ex)
{
	struct h2_body *body = TAKE(own(ex)->body);

	if (!body)
		return;
	if (body->is_whole_counted) {
		list_remove(&body->at_);
		h2->n_bodies--;
		h2->body_bytes -= ex->body.n;
		let_bodies_come(h2);
	}
	if (body->is_pieces_counted) {
		h2->untaken_bytes -= ex->body.n;
		h2_give_connection(h2, body->owed_connection);
	}
	if (body->kept) {
		list_remove(&body->kept_);
		h2->body_bytes -= body->kept;
		let_bodies_come(h2);
	}
	body_free(&body);
}

void h2_body_taken(struct exchange *ex, size_t n)
{
	struct h2 *h2 = h2_of(ex->conn);
	struct h2_body *body = own(ex)->body;

	if (!body || !body->is_pieces_counted)
		return;
	h2->untaken_bytes -= n;
	h2_give_connection(h2, body->owed_connection);
	body->owed_connection = 0;
	if (list_empty(&body->taken_))
		list_append(&h2->taken, &body->taken_);
	h2_mark(h2);
}

bool h2_body_kept(struct exchange *ex, size_t n)
{
	struct h2 *h2 = h2_of(ex->conn);
	struct h2_body *body = own(ex)->body;
	size_t before;

	if (!body || !body->is_pieces_counted)
		return true;
	before = body->kept;
	body->kept = n;
	h2->body_bytes += n - before;
	if (n == 0) {
		list_remove(&body->kept_);
		give_stream(h2, body);
	} else if (ex->is_body_told) {
		/* Nothing more comes of it, and so another one may be the oldest. */
		list_remove(&body->kept_);
	} else if (before == 0) {
		list_append(&h2->keeping, &body->kept_);
	}
	if (n < before || ex->is_body_told)
		let_bodies_come(h2);
	return h2->body_bytes <= bound_of(h2) + KEPT_BYTES || is_oldest(h2, body);
}

static void keep_piece(struct h2 *h2, struct exchange *ex, struct str piece)
{
	struct h2_body *body = body_of(ex);

	buf_str(&ex->body, piece);
	h2->untaken_bytes += piece.n;
	body->owed += (uint32_t)piece.n;
	body_moves(h2, body, piece.n);
	if (h2->untaken_bytes > MAX(UNTAKEN_BYTES, bound_of(h2)))
		body->owed_connection += piece.n;
	else
		h2_give_connection(h2, piece.n);
}

static void keep_whole(struct h2 *h2, struct exchange *ex, struct str piece)
{
	size_t max = h2->c->server->config.limits.body_bytes;
	struct h2_body *body = body_of(ex);

	h2_give_connection(h2, piece.n);
	if (own(ex)->is_too_large || ex->body.n + piece.n > max) {
		own(ex)->is_too_large = true;
		return;
	}
	buf_str(&ex->body, piece);
	h2->body_bytes += piece.n;
	body->owed += (uint32_t)piece.n;
	body_moves(h2, body, piece.n);
	let_body_come(h2, body);
}

/* ---- requests ---- */

void h2_ready(struct h2 *h2, struct exchange *ex)
{
	if (list_empty(&own(ex)->ready_))
		list_append(&h2->ready, &own(ex)->ready_);
}

void h2_let_go(struct exchange *ex)
{
	struct h2 *h2 = h2_of(ex->conn);

	if (own(ex)->is_deferred)
		h2->n_deferred--;
	list_remove(&own(ex)->ready_);
	h2_held_over(h2, ex);
	h2_body_over(h2, ex);
	if (h2->opening == ex)
		h2->opening = NULL;
	if (own(ex)->id && !own(ex)->is_closed)
		nghttp2_session_set_stream_user_data(h2->session, own(ex)->id, NULL);
	exchange_free(ex);
}

/* It is over for its handler and for us; the client does not know. */
void h2_drop(struct h2 *h2, struct exchange *ex, uint32_t code)
{
	if (!own(ex)->is_closed) {
		nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE,
					  own(ex)->id, code);
		h2_mark(h2);
	}
	if (ex->state == EXCHANGE_STREAMING)
		h2->c->server->stats.streams_now--;
	exchange_gone(ex);
	h2_let_go(ex);
}

static void refuse(struct exchange *ex, const struct err *err)
{
	ex->conn->server->stats.refused++;
	h2_body_over(h2_of(ex->conn), ex);
	exchange_gone(ex);
	answer_error(&ex->r, err);
}

static enum http_method method_of(struct str name)
{
	for (unsigned m = 0; m < HTTP_M_OTHER; m++)
		if (str_eq(name, str_of(http_method_name(m))))
			return m;
	return HTTP_M_OTHER;
}

static void add_header(struct exchange *ex, struct str name, struct str value)
{
	struct request *r = &ex->r;
	struct http_header *h = (struct http_header *)r->in->headers;
	size_t cap = own(ex)->cap_headers;

	if (r->in->n_headers == HEADERS_MAX) {
		own(ex)->is_header_large = true;
		return;
	}
	h = arena_grow(r->arena, h, &cap, r->in->n_headers + 1, sizeof(*h));
	own(ex)->cap_headers = (uint32_t)cap;
	h[r->in->n_headers++] = (struct http_header){ name, value };
	r->in->headers = h;
}

/* nghttp2 has checked which there are, how often, and what they hold. */
static void take_pseudo(struct exchange *ex, struct str name, struct str value)
{
	if (str_is(name, ":method")) {
		ex->r.method = method_of(value);
		own(ex)->is_connect = str_is(value, "CONNECT");
	} else if (str_is(name, ":path")) {
		ex->r.in->target = value;
	} else if (str_is(name, ":authority")) {
		add_header(ex, STR("host"), value);
	} else if (str_is(name, ":protocol")) {
		add_header(ex, STR("upgrade"), value);
		ex->wants_upgrade = true;
	}
}

/* A tunnel is asked for by CONNECT (RFC 8441); for routes it is the GET that it is
 * in HTTP/1.1. */
static void take_connect(struct exchange *ex)
{
	if (!own(ex)->is_connect)
		return;
	if (ex->wants_upgrade)
		ex->r.method = HTTP_M_GET;
	else
		ex->r.in->target = STR("/");         /* it names no path */
}

static enum code check_head(const struct exchange *ex, struct err *err)
{
	uint64_t max = ex->conn->server->config.limits.body_bytes, length;
	const struct str *h = request_header(&ex->r, "content-length");

	if (own(ex)->is_header_large)
		return err_set(err, E_HEADER_LARGE, "header: more than %zu bytes, "
			       "or than %d lines",
			       ex->conn->server->config.limits.header_bytes,
			       HEADERS_MAX);
	if (h && str_u64(*h, &length) && length > max &&
	    !exchange_tells_body(ex)) {
		err_set(err, E_TOO_LARGE, "body: %llu bytes, more than the %llu "
			"allowed", (unsigned long long)length,
			(unsigned long long)max);
		return err_hint(err, "server.body_bytes is the limit");
	}
	return OK;
}

static bool expects_continue(const struct exchange *ex)
{
	const struct str *h = request_header(&ex->r, "expect");

	return h && str_eq_nocase(*h, STR("100-continue")) && ex->body.n == 0 &&
		!ex->is_body_whole;
}

/* Of a body that comes whole: is there a place for it? */
static bool begin_body(struct h2 *h2, struct exchange *ex)
{
	struct h2_body *body;

	if (ex->is_body_whole && !exchange_tells_body(ex))
		return true;
	body = body_of(ex);
	body_moves(h2, body, SIZE_MAX);
	if (exchange_tells_body(ex)) {
		body->is_pieces_counted = true;
		h2->untaken_bytes += ex->body.n;
		list_append(&h2->pieces, &body->at_);
		return true;
	}
	if (h2->n_bodies == BODIES_MAX) {
		h2_drop(h2, ex, NGHTTP2_REFUSED_STREAM);
		return false;
	}
	list_append(&h2->bodies, &body->at_);
	body->is_whole_counted = true;
	h2->n_bodies++;
	h2->body_bytes += ex->body.n;
	let_body_come(h2, body);
	return true;
}

/* The header is there; true: what else has come is to be looked at. */
static bool open_request(struct h2 *h2, struct exchange *ex)
{
	struct err err;

	own(ex)->is_open = true;
	take_connect(ex);
	if (own(ex)->is_header_large) {
		check_head(ex, &err);
		refuse(ex, &err);
		return false;
	}
	if (!exchange_open(ex))
		return false;
	if (check_head(ex, &err)) {
		refuse(ex, &err);
		return false;
	}
	if (!begin_body(h2, ex))
		return false;
	if (expects_continue(ex))
		h2_continue(ex);
	return true;
}

/* True: it is answered, and may be gone. */
static bool give_again(struct exchange *ex)
{
	own(ex)->is_open = true;
	if (h2_frames_give(ex))
		return true;
	own(ex)->is_open = false;
	return false;
}

/* Whatever has come for it goes to where it belongs. */
static void go_on(struct h2 *h2, struct exchange *ex)
{
	struct err err;

	if (ex->state >= EXCHANGE_DONE)
		return;
	if (own(ex)->is_closed || own(ex)->is_broken) {
		h2_drop(h2, ex, NGHTTP2_CANCEL);
		return;
	}
	if (!own(ex)->is_open && (give_again(ex) || !open_request(h2, ex)))
		return;
	if (exchange_tells_body(ex)) {
		/* Its handler asks for the body, which may end the exchange. */
		if (ex->state == EXCHANGE_READING)
			exchange_handle(ex);
		else
			exchange_body(ex, STR_NONE, ex->is_body_whole);
	} else if (own(ex)->is_too_large) {
		err_set(&err, E_TOO_LARGE, "body: more than %zu bytes",
			h2->c->server->config.limits.body_bytes);
		err_hint(&err, "server.body_bytes is the limit");
		refuse(ex, &err);
	} else if (ex->is_body_whole && ex->state == EXCHANGE_READING) {
		h2_body_over(h2, ex);
		h2_frames_handle(ex);
		exchange_handle(ex);
		h2_frames_handled(h2->c);
	}
}

static void defer(struct h2 *h2, struct exchange *ex)
{
	if (h2->n_deferred == DEFERRED_MAX) {
		h2_drop(h2, ex, NGHTTP2_REFUSED_STREAM);
		return;
	}
	own(ex)->is_deferred = true;
	h2->n_deferred++;
	list_append(&h2->deferred, &own(ex)->ready_);
}

/* ---- the client has said its last ---- */

/* As for HTTP/1.1: nobody is there to follow a stream. */
static void end_by_eof(struct h2 *h2, struct exchange *ex)
{
	if (ex->is_raw && !ex->is_body_whole) {
		/* Its handler hears of it first, and may end it. */
		ex->is_body_whole = true;
		h2_ready(h2, ex);
		h2_end_by_eof(ex);
	} else if (ex->state == EXCHANGE_STREAMING) {
		exchange_gone(ex);
		h2_end(ex);
		exchange_done(ex);
	} else if (ex->state < EXCHANGE_STREAMING && !ex->is_body_whole) {
		own(ex)->is_broken = true;
		h2_ready(h2, ex);
	}
}

bool h2_eof(struct conn *c)
{
	struct h2 *h2 = h2_of(c);
	struct exchange *ex;

	if (!h2->has_eof) {
		h2_pump(h2);
		h2->n_ending = c->n_exchanges;
		h2->has_eof = true;
	}
	while (c->fsm.state < CONN_LAST && h2->n_ending &&
	       server_may_end(c->server) &&
	       (ex = list_first(&c->exchanges, struct exchange, at_))) {
		list_remove(&ex->at_);
		list_append(&c->exchanges, &ex->at_);
		h2->n_ending--;
		c->server->ended++;
		end_by_eof(h2, ex);
		h2_run(h2);
	}
	if (list_empty(&c->exchanges))
		h2->n_ending = 0;
	h2_mark(h2);
	return h2->n_ending == 0;
}

void h2_end_by_eof(struct exchange *ex)
{
	struct conn *c = ex->conn;

	if (!c->has_eof)
		return;
	list_remove(&ex->at_);
	list_prepend(&c->exchanges, &ex->at_);
	h2_of(c)->n_ending++;
	conn_end_later(c);
}

/* It is to be handled, or its answer is to begin: not while the client leaves the answers
 * of others lying. */
static bool wants_place(const struct exchange *ex)
{
	return !own(ex)->is_open ||
		(exchange_tells_body(ex) && ex->state == EXCHANGE_HANDLING);
}

void h2_run(struct h2 *h2)
{
	struct conn *c = h2->c;
	struct h2_stream *stream;

	while (c->fsm.state < CONN_LAST && h2_has_place(h2) &&
	       (stream = list_first(&h2->deferred, struct h2_stream, ready_))) {
		list_remove(&stream->ready_);
		stream->is_deferred = false;
		h2->n_deferred--;
		go_on(h2, &stream->x);
	}
	while (c->fsm.state < CONN_LAST &&
	       (stream = list_first(&h2->ready, struct h2_stream, ready_))) {
		list_remove(&stream->ready_);
		if (wants_place(&stream->x) && !h2_has_place(h2))
			defer(h2, &stream->x);
		else
			go_on(h2, &stream->x);
	}
}

void h2_take_header(struct exchange *ex, struct str name, struct str value)
{
	struct str n, v;

	/* As SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC 9113, 6.5.2). */
	own(ex)->header_bytes += (uint32_t)(name.n + value.n + 32);
	if (own(ex)->header_bytes > ex->conn->server->config.limits.header_bytes)
		own(ex)->is_header_large = true;
	if (own(ex)->is_header_large)
		return;
	n = arena_str(ex->r.arena, name);
	v = arena_str(ex->r.arena, value);
	if (n.p[0] == ':')
		take_pseudo(ex, n, v);
	else if (!str_is(n, "upgrade"))
		add_header(ex, n, str_trim(v));
}

void h2_take_data(struct exchange *ex, struct str piece)
{
	struct h2 *h2 = h2_of(ex->conn);

	/* What comes before it is opened is in the same slice. */
	if (!own(ex)->is_open) {
		h2_give_connection(h2, piece.n);
		body_of(ex)->owed += (uint32_t)piece.n;
		buf_str(&ex->body, piece);
	} else if (exchange_tells_body(ex)) {
		keep_piece(h2, ex, piece);
	} else {
		keep_whole(h2, ex, piece);
	}
	h2_ready(h2, ex);
}

/* What the client was not let send is not late. */
static bool is_late(struct h2 *h2, struct h2_body *body, uint64_t now)
{
	const struct http_limits *limits = &h2->c->server->config.limits;

	if (body->owed && (body->is_whole_counted || body->kept) && !goes_on(h2, body)) {
		body_moves(h2, body, SIZE_MAX);
		return false;
	}
	return now > limits->body_ms +
		MIN(body->moved_ms, conn_slowest(limits, body->since_ms,
						 body->bytes));
}

static struct h2_body *late_whole(struct h2 *h2, uint64_t now)
{
	struct h2_body *body;

	list_each(&h2->bodies, body, at_)
		if (is_late(h2, body, now))
			return body;
	return NULL;
}

/* What need not come now is not late; what is half there keeps others from coming. */
static struct h2_body *late_piece(struct h2 *h2, uint64_t now)
{
	struct h2_body *body;

	list_each(&h2->pieces, body, at_) {
		struct exchange *ex = body->ex;

		if (ex->is_body_told && !body->kept)
			h2_body_over(h2, ex);
		else if ((ex->state == EXCHANGE_STREAMING && !body->kept) ||
			 ex->is_body_paused || ex->is_body_whole)
			body_moves(h2, body, SIZE_MAX);
		else if (is_late(h2, body, now))
			return body;
	}
	return NULL;
}

/* With an answer what was left lying is taken, and any stream may end by that: so
 * lists are looked at anew behind each. */
void h2_end_late_bodies(struct h2 *h2, uint64_t now)
{
	struct h2_body *body;
	struct err err;

	err_set(&err, E_SLOW, "the body of the request took too long to arrive");
	while ((body = late_whole(h2, now)) || (body = late_piece(h2, now))) {
		if (body->ex->state == EXCHANGE_STREAMING)
			h2_drop(h2, body->ex, NGHTTP2_CANCEL);
		else
			refuse(body->ex, &err);
	}
}

void h2_forget_stream(struct exchange *ex)
{
	body_free(&own(ex)->body);
	h2_held_free(&own(ex)->held);
}
