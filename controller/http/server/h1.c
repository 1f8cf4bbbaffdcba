/*
 * HTTP/1.1 as a protocol of the server: see h1.h and http/wire/http1.h.
 *
 * Requests come in order, are handled as they come, and their answers leave in the
 * same order: one that is not the oldest is held back.
 */
#include "http/server/h1.h"
#include "http/server/memo.h"

#include <stdio.h>

#include "base/banned.h"

/* A body's length is believed so far before the bytes are there. */
#define BELIEVED_BYTES (64u * 1024)
/* Of a body that nobody takes yet. */
#define UNTAKEN_BYTES (64u * 1024)
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
/* While so much waits to be sent, no more requests are read. */
#define UNSENT_BYTES (64u * 1024)
/* Answers that are gathered before they are sent. */
#define CORK_BYTES (16u * 1024)

/* ---- the order of answers ---- */

static bool is_first(const struct exchange *ex)
{
	return ex->conn->exchanges.next == &ex->at_;
}

static void h1_flush(struct conn *c)
{
	struct buf *out = &c->server->out;
	struct stream_vec v = { out->p, out->n };

	if (out->n == 0)
		return;
	stream_write(c->stream, &v, 1);
	buf_again(out);
}

/* What is gathered is this connection's; of others that are corked too it has gone. */
static bool gathers(const struct conn *c)
{
	return c->server->corked == c;
}

static void send_now(struct conn *c, const struct stream_vec *v, unsigned n)
{
	size_t total = 0;

	for (unsigned i = 0; i < n; i++)
		total += v[i].n;
	if (!gathers(c) || total > CORK_BYTES) {
		if (gathers(c))
			h1_flush(c);
		stream_write(c->stream, v, n);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		buf_add(&c->server->out, v[i].p, v[i].n);
	if (c->server->out.n > CORK_BYTES)
		h1_flush(c);
}

/* To the socket where it is its turn, else held. */
static void send_vec(struct exchange *ex, const struct stream_vec *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ex->sent += v[i].n;
	if (is_first(ex)) {
		send_now(ex->conn, v, n);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		buf_add(&own(ex)->held, v[i].p, v[i].n);
}

/* The exchange that is first now: what it has said already, or may say. */
static void let_speak(struct exchange *ex)
{
	struct stream_vec v;

	if (own(ex)->wants_continue && ex->state < EXCHANGE_STREAMING)
		buf_z(&own(ex)->held, CONTINUE);
	own(ex)->wants_continue = false;
	if (own(ex)->held.n) {
		v = (struct stream_vec){ own(ex)->held.p, own(ex)->held.n };
		send_now(ex->conn, &v, 1);
		buf_fini(&own(ex)->held);
		/* Whoever stopped at what was held goes on, also where the socket took
		 * it whole and so nothing drains; not below somebody else's answer. */
		if (ex->state == EXCHANGE_STREAMING) {
			ex->conn->has_spoken = true;
			conn_later(ex->conn);
		}
	}
	if (ex->state == EXCHANGE_STREAMING &&
	    (ex->is_bodiless || ex->conn->has_eof))
		conn_last(ex->conn, "nobody follows the stream");
}

/* Lets go of answers that are complete, oldest first. */
static void advance(struct conn *c)
{
	struct exchange *ex;

	while (c->fsm.state < CONN_LAST &&
	       (ex = list_first(&c->exchanges, struct exchange, at_))) {
		bool goes_on = ex->keep_alive;

		let_speak(ex);
		if (ex->state != EXCHANGE_DONE || ex->source)
			break;
		exchange_free(ex);
		if (!goes_on)
			conn_last(c, "the last answer is sent");
	}
	if (c->has_eof && c->n_exchanges == 0)
		conn_last(c, "the client has ended, all is answered");
}

/* Gives the socket what it takes of an answer that goes bit by bit. */
static void pull(struct conn *c, struct exchange *ex)
{
	struct str piece;
	struct stream_vec v;

	while (c->fsm.state < CONN_LAST && stream_pending(c->stream) == 0) {
		if (!exchange_read(ex, &piece)) {
			conn_cut(c);
			return;
		}
		v = (struct stream_vec){ piece.p, piece.n };
		stream_write(c->stream, &v, 1);
		ex->source->at += piece.n;
		if (ex->source->at < ex->source->size)
			continue;
		exchange_source_free(ex);
		advance(c);
		/* What was left lying behind it is taken. */
		conn_later(c);
		return;
	}
}

/* The answer whose turn it is goes on. */
static void go_on(struct conn *c)
{
	struct exchange *ex;

	while (c->fsm.state < CONN_LAST && stream_pending(c->stream) == 0 &&
	       (ex = list_first(&c->exchanges, struct exchange, at_)) &&
	       ex->source)
		pull(c, ex);
}

/* What was put together in the server's scratch. */
static void send_scratch(struct exchange *ex)
{
	struct buf *out = &ex->conn->server->scratch;
	struct stream_vec v = { out->p, out->n };

	if (v.n && ex->conn->fsm.state < CONN_LAST)
		send_vec(ex, &v, 1);
}

static void h1_done(struct exchange *ex)
{
	if (!ex->keep_alive)
		ex->conn->no_more = true;
	if (is_first(ex))
		advance(ex->conn);
}

/* What cannot be read is answered, and ends the connection; also before it is
 * known what the client speaks. */
static void h1_refuse(struct conn *c, struct exchange *ex, const struct err *err)
{
	if (!ex)
		ex = conn_ask(c);
	c->server->stats.refused++;
	c->no_more = true;
	/* Its handler hears of it when the connection has ended. */
	if (ex->state >= EXCHANGE_STREAMING) {
		conn_cut(c);
		return;
	}
	exchange_gone(ex);
	ex->keep_alive = false;
	answer_error(&ex->r, err);
}

/* ---- reading ---- */

static bool begin_body(struct conn *c, struct exchange *ex,
		       const struct http1_head *head, struct str in)
{
	uint64_t max = c->server->config.limits.body_bytes;
	struct err err;

	if (head->framing == HTTP1_LENGTH && head->length > max &&
	    !exchange_tells_body(ex)) {
		err_set(&err, E_TOO_LARGE, "body: %llu bytes, more than the %llu "
			"allowed", (unsigned long long)head->length,
			(unsigned long long)max);
		err_hint(&err, "server.body_bytes is the limit");
		h1_refuse(c, ex, &err);
		return false;
	}
	http1_body_init(&own(ex)->decoder, head);
	c->reading = ex;
	if (exchange_tells_body(ex))
		exchange_handle(ex);
	else if (head->framing == HTTP1_LENGTH)
		buf_reserve(&ex->body, MIN(head->length, BELIEVED_BYTES));
	if (c->reading != ex)
		return true;
	if (head->expect_continue && in.n == 0 &&
	    ex->state < EXCHANGE_STREAMING) {
		const struct stream_vec v = { CONTINUE, sizeof(CONTINUE) - 1 };

		own(ex)->wants_continue = !is_first(ex);
		if (!own(ex)->wants_continue)
			send_vec(ex, &v, 1);
	}
	return true;
}

/* A head that was not asked just before. */
static bool parse_head(struct conn *c, struct exchange *ex, struct str raw,
		       struct http1_head *head)
{
	char *block = arena_z(ex->r.arena, raw);
	struct h1_conn *h1 = h1_of(c);
	struct err err;

	if (http1_request(ex->r.arena, block, raw.n, head, &err)) {
		h1_refuse(c, ex, &err);
		return false;
	}
	/* A connection that asks again mostly asks the same; that of a watcher
	 * does not, and keeps nothing. */
	h1_push(c);
	if (h1->has_asked)
		http1_repeat_keep(&h1->repeat, raw, block, head);
	h1->has_asked = true;
	return true;
}

/* What is kept, once more. */
static struct exchange *take_again(struct conn *c, struct str *in,
				   struct http1_head *head)
{
	const struct http1_repeat *repeat = h1_of(c)->repeat;
	struct str trace = http1_repeat_trace(repeat, *in);
	struct exchange *ex = conn_ask(c);

	request_take_trace(&ex->r, trace);
	*in = str_from(*in, http1_repeat_take(repeat, *in, ex->r.arena, head));
	c->repeated = ex;
	c->knows_trace = trace.n > 0;
	return ex;
}

/* NULL: more bytes are needed, or nothing more is read. */
static struct exchange *take_head(struct conn *c, struct str *in,
				  struct http1_head *head)
{
	struct h1_conn *h1 = h1_of(c);
	struct exchange *ex;
	struct str raw;
	struct err err;
	size_t len;

	if (h1->scanned == 0 &&
	    (http1_repeat_is(h1->repeat, *in) || h1_recall(c, *in)))
		return take_again(c, in, head);
	if (http1_find(*in, c->server->config.limits.header_bytes, &h1->scanned,
		       &len, &err)) {
		h1_refuse(c, NULL, &err);
		return NULL;
	}
	if (len == 0)
		return NULL;
	h1->scanned = 0;
	raw = str_first(*in, len);
	*in = str_from(*in, len);
	ex = conn_ask(c);
	return parse_head(c, ex, raw, head) ? ex : NULL;
}

static void begin_exchange(struct exchange *ex, const struct http1_head *head)
{
	struct conn *c = ex->conn;

	ex->r.method = head->method;
	ex->r.in->target = head->target;
	ex->r.in->headers = head->headers;
	ex->r.in->n_headers = head->n_headers;
	own(ex)->is_old = head->minor == 0;
	ex->keep_alive = head->keep_alive;
	ex->has_body = head->framing != HTTP1_EMPTY;
	ex->is_body_whole = !ex->has_body;
	ex->wants_upgrade = head->upgrade && head->method == HTTP_M_GET &&
		head->keep_alive && !ex->has_body;
	if (ex->wants_upgrade)
		c->upgrading = ex;
	if (!head->keep_alive)
		c->no_more = !ex->has_body;
}

static bool answer_head(struct conn *c, struct exchange *ex,
			const struct http1_head *head, struct str in)
{
	if (c->repeated == ex && memo_give(ex))
		return true;
	if (!exchange_open(ex))
		return true;
	if (ex->has_body)
		return begin_body(c, ex, head, in);
	exchange_handle(ex);
	return true;
}

static bool read_head(struct conn *c, struct str *in)
{
	struct http1_head head;
	struct exchange *ex = take_head(c, in, &head);
	bool goes_on;

	if (!ex)
		return false;
	begin_exchange(ex, &head);
	goes_on = answer_head(c, ex, &head, *in);
	/* Who answers later does so of another time. */
	c->repeated = NULL;
	c->knows_trace = false;
	c->about = STR_NONE;
	return goes_on;
}

static bool read_body(struct conn *c, struct str *in)
{
	struct exchange *ex = c->reading;
	bool in_pieces = exchange_tells_body(ex);
	uint64_t max = in_pieces ? UINT64_MAX :
		c->server->config.limits.body_bytes;
	struct str piece;
	struct err err;

	if (http1_body_next(&own(ex)->decoder, in, max, &piece, &err)) {
		h1_refuse(c, ex, &err);
		return false;
	}
	if (own(ex)->decoder.is_done) {
		c->reading = NULL;
		c->no_more = !ex->keep_alive;
	}
	if (in_pieces) {
		exchange_body(ex, piece, own(ex)->decoder.is_done);
		return true;
	}
	buf_str(&ex->body, piece);
	ex->is_body_whole = own(ex)->decoder.is_done;
	if (ex->is_body_whole)
		exchange_handle(ex);
	return true;
}

/* All that comes is the handler's. */
static void read_raw(struct conn *c, struct str *in)
{
	struct str all = *in;

	*in = str_from(all, all.n);
	exchange_body(c->reading, all, false);
}

static bool read_next(struct conn *c, struct str *in)
{
	if (!c->reading)
		return read_head(c, in);
	if (!c->reading->is_raw)
		return read_body(c, in);
	read_raw(c, in);
	return true;
}

static void h1_read(struct conn *c, struct str *in)
{
	while (in->n > 0 && conn_may_read(c))
		if (!read_next(c, in))
			return;
}

/* ---- writing ---- */

static void put_line(struct buf *out, const char *name, struct str value)
{
	buf_z(out, name);
	buf_add(out, ": ", 2);
	buf_str(out, value);
	buf_add(out, "\r\n", 2);
}

static void put_trace(struct buf *out, const struct request *r)
{
	char text[REQUEST_TRACE_TEXT];

	request_trace(r, text);
	put_line(out, "X-Conflux-Trace", str_n(text, sizeof(text) - 1));
}

static void put_length(struct exchange *ex, struct buf *out, uint64_t length)
{
	if (ex->status == 204 || ex->status == 304)
		return;
	if (length != UINT64_MAX) {
		buf_z(out, "Content-Length: ");
		buf_u64(out, length);
		buf_add(out, "\r\n", 2);
	} else if (own(ex)->is_chunked) {
		buf_z(out, "Transfer-Encoding: chunked\r\n");
	}
}

/* The header block; 'length' UINT64_MAX: not known, a stream follows. */
static void put_head(struct exchange *ex, const char *content_type,
		     uint64_t length)
{
	struct buf *out = &ex->conn->server->scratch;

	buf_reset(out);
	buf_z(out, "HTTP/1.1 ");
	buf_u64(out, (uint64_t)ex->status);
	buf_c(out, ' ');
	buf_z(out, http_reason(ex->status));
	buf_z(out, "\r\nDate: ");
	buf_z(out, server_date(ex->conn->server));
	buf_add(out, "\r\n", 2);
	if (content_type)
		put_line(out, "Content-Type", str_of(content_type));
	put_length(ex, out, length);
	if (!ex->keep_alive)
		buf_z(out, "Connection: close\r\n");
	else if (own(ex)->is_old)
		buf_z(out, "Connection: keep-alive\r\n");
	put_trace(out, &ex->r);
	buf_add(out, ex->head.p, ex->head.n);
	buf_add(out, "\r\n", 2);
}

static void h1_answer(struct exchange *ex, const char *content_type,
		      const struct stream_vec *v, unsigned n, uint64_t length)
{
	struct buf *head = &ex->conn->server->scratch;
	struct stream_vec all[1 + ANSWER_PIECES];

	put_head(ex, content_type, length);
	h1_keep_head(ex, buf_view(head));
	if (ex->source)
		ex->sent += length;
	all[0] = (struct stream_vec){ head->p, head->n };
	for (unsigned i = 0; i < n; i++)
		all[1 + i] = v[i];
	send_vec(ex, all, ex->is_bodiless ? 1 : 1 + n);
}

/* What is given again is what the whole connection goes on with. */
static void h1_keep(struct exchange *ex, const char *content_type,
		    const struct stream_vec *v, unsigned n, uint64_t length)
{
	(void)length;
	if (ex->keep_alive)
		memo_keep(ex, content_type, v, n);
}

static void h1_forget(struct exchange *ex)
{
	buf_fini(&own(ex)->held);
}

/* Nobody follows a stream that has begun: its handler hears of it by on_gone. */
static void check_followed(struct exchange *ex)
{
	if ((ex->is_bodiless || ex->conn->has_eof) && is_first(ex))
		conn_last(ex->conn, "nobody follows the stream");
}

static void h1_begin(struct exchange *ex, const char *content_type)
{
	own(ex)->is_chunked = !own(ex)->is_old;
	ex->takes_trailers = own(ex)->is_chunked && ex->wants_trailers;
	if (!own(ex)->is_chunked || ex->is_bodiless)
		ex->keep_alive = false;
	put_head(ex, content_type, UINT64_MAX);
	buf_fini(&ex->head);
	send_scratch(ex);
	check_followed(ex);
}

static void h1_chunk(struct exchange *ex, struct str bytes)
{
	char size[24];
	struct stream_vec v[3] = {
		{ size, 0 }, { bytes.p, bytes.n }, { "\r\n", 0 },
	};

	if (own(ex)->is_chunked) {
		v[0].n = (size_t)snprintf(size, sizeof(size), "%zx\r\n", bytes.n);
		v[2].n = 2;
	}
	send_vec(ex, v, 3);
}

static void h1_end(struct exchange *ex)
{
	struct buf *out = &ex->conn->server->scratch;

	if (!own(ex)->is_chunked || ex->is_bodiless)
		return;
	buf_reset(out);
	buf_z(out, "0\r\n");
	buf_add(out, ex->head.p, ex->head.n);
	buf_add(out, "\r\n", 2);
	send_scratch(ex);
}

static void put_upgrade(struct exchange *ex, const char *name)
{
	struct buf *out = &ex->conn->server->scratch;

	buf_reset(out);
	buf_z(out, "HTTP/1.1 101 Switching Protocols\r\nDate: ");
	buf_z(out, server_date(ex->conn->server));
	buf_z(out, "\r\nConnection: Upgrade\r\n");
	put_line(out, "Upgrade", str_of(name));
	put_trace(out, &ex->r);
	buf_add(out, ex->head.p, ex->head.n);
	buf_add(out, "\r\n", 2);
}

static void h1_upgrade(struct exchange *ex, const char *name)
{
	struct conn *c = ex->conn;

	ex->keep_alive = false;
	put_upgrade(ex, name);
	buf_fini(&ex->head);
	c->upgrading = NULL;
	if (!c->has_eof)
		c->reading = ex;
	send_scratch(ex);
	check_followed(ex);
}

static size_t h1_pending(const struct exchange *ex)
{
	const struct conn *c = ex->conn;

	if (!is_first(ex))
		return own(ex)->held.n;
	return stream_pending(c->stream) + (gathers(c) ? c->server->out.n : 0);
}

static void h1_writable(struct conn *c)
{
	struct exchange *ex = list_first(&c->exchanges, struct exchange, at_);

	if (ex && ex->on_drain && ex->state == EXCHANGE_STREAMING)
		ex->on_drain(&ex->r);
}

/* ---- room, and ends ---- */

/* Somebody takes the body that comes, or it is held within a bound. */
static bool body_has_room(const struct exchange *ex)
{
	if (!exchange_tells_body(ex))
		return true;
	return !ex->is_body_paused &&
		(ex->on_body || ex->body.n < UNTAKEN_BYTES);
}

/* Answers wait for an older one.  Behind one that goes bit by bit none is made. */
static bool holds_enough(const struct conn *c)
{
	struct exchange *ex;
	size_t held = 0;

	list_each(&c->exchanges, ex, at_) {
		held += own(ex)->held.n;
		if (ex->source)
			return true;
	}
	return held > UNSENT_BYTES;
}

static bool h1_has_room(const struct conn *c)
{
	const struct http_limits *limits = &c->server->config.limits;
	size_t pending = stream_pending(c->stream);

	if (pending > limits->pending_bytes)
		return false;
	if (c->reading)
		return body_has_room(c->reading);
	/* Whether it is a request what comes behind an upgrade is not known. */
	return !c->upgrading && c->n_exchanges < limits->pipelined &&
		pending <= UNSENT_BYTES && !holds_enough(c);
}

/* A body that ends in its middle; what is being answered ends as streams do. */
static void break_off(struct exchange *ex)
{
	if (ex->is_raw) {
		exchange_body(ex, STR_NONE, true);
	} else if (ex->state < EXCHANGE_STREAMING) {
		exchange_gone(ex);
		exchange_free(ex);
	}
}

/* A stream has no end of its own, and whoever has ended his side mostly has
 * gone: on a quiet stream no write would ever find that out.  What was said so
 * far is an answer too. */
static void end_stream(struct exchange *ex)
{
	exchange_gone(ex);
	h1_end(ex);
	exchange_done(ex);
}

static struct exchange *next_stream(struct conn *c)
{
	struct exchange *ex;

	list_each(&c->exchanges, ex, at_)
		if (ex->state == EXCHANGE_STREAMING && !ex->is_bodiless)
			return ex;
	return NULL;
}

/* They are few: `pipelined`. */
static bool h1_eof(struct conn *c)
{
	struct exchange *ex;

	c->server->ended++;
	if (c->reading)
		break_off(TAKE(c->reading));
	while (c->fsm.state < CONN_LAST && (ex = next_stream(c)))
		end_stream(ex);
	return true;
}

/* A request that was sent before the client could know is answered still. */
static bool has_drained(const struct conn *c)
{
	return c->server->is_draining && c->n_exchanges == 0 && !c->reading &&
		loop_now_ms(c->server->loop) >= c->server->drain_idle_ms;
}

static void h1_settle(struct conn *c)
{
	go_on(c);
	if (c->has_eof)
		advance(c);
	if (has_drained(c))
		conn_last(c, "the server ends");
}

static void h1_expired(struct conn *c)
{
	struct err err;

	if (c->fsm.state == CONN_IDLE) {
		conn_last(c, "idle for too long");
		return;
	}
	err_set(&err, E_SLOW, "the %s of the request took too long to arrive",
		c->reading ? "body" : "header");
	h1_refuse(c, c->reading, &err);
}

const struct http_protocol h1_protocol = {
	.alpn = "http/1.1",
	.conn_bytes = sizeof(struct h1_conn),
	.exchange_bytes = sizeof(struct h1_request),
	.read = h1_read,
	.has_room = h1_has_room,
	.flush = h1_flush,
	.again = h1_again,
	.answer = h1_answer,
	.keep = h1_keep,
	.begin = h1_begin,
	.upgrade = h1_upgrade,
	.chunk = h1_chunk,
	.end = h1_end,
	.pending = h1_pending,
	.done = h1_done,
	.forget = h1_forget,
	.writable = h1_writable,
	.eof = h1_eof,
	.settle = h1_settle,
	.expired = h1_expired,
	.free = h1_repeat_free,
	.refuse = h1_refuse,
};
