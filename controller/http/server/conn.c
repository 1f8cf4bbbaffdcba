/*
 * Connections and exchanges, whatever the protocol: what a request is, who is told
 * what, limits by time, ends.
 *
 * What comes goes through the protocol (own.h) as far as it can be taken; the
 * rest is kept in 'in'.  Nothing is read while too much is open or waits to be
 * sent.  Answers that are given while bytes are being taken leave in one write.
 *
 * A stream tells of its end in a later turn, so a connection and its exchanges
 * stay valid during each call from here.
 */
#include "http/server/memo.h"
#include "http/server/own.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/mem.h"
#include "http/wire/url.h"

#include "base/banned.h"

#define QUERY_MAX 256
/* Exchanges that are kept to be used again: so many of a loop with what their buffers
 * grew to, and more without. */
#define SPARE_MAX 1024
#define SPARE_LARGE 256
#define KEEP_BYTES (64u * 1024)
#define KEEP_SMALL_BYTES 4096u
/* So many cost as much as a request. */
#define BYTES_A_SPEND 1024u

static const struct fsm_state exchange_states[EXCHANGE__STATES] = {
	[EXCHANGE_READING] = { "reading", BIT(EXCHANGE_HANDLING) |
						  BIT(EXCHANGE_STREAMING) |
						  BIT(EXCHANGE_DONE) },
	[EXCHANGE_HANDLING] = { "handling",
				BIT(EXCHANGE_STREAMING) | BIT(EXCHANGE_DONE) },
	[EXCHANGE_STREAMING] = { "streaming", BIT(EXCHANGE_DONE) },
	[EXCHANGE_DONE] = { "done", 0, .end = true },
};

#define CONN_OPEN (BIT(CONN_IDLE) | BIT(CONN_HEADER) | BIT(CONN_BODY) | \
		   BIT(CONN_ANSWERING) | BIT(CONN_LAST) | BIT(CONN_CLOSED))

static const struct fsm_state conn_states[CONN__STATES] = {
	[CONN_IDLE] = { "idle", CONN_OPEN & ~BIT(CONN_IDLE) },
	[CONN_HEADER] = { "header", CONN_OPEN & ~BIT(CONN_HEADER) },
	[CONN_BODY] = { "body", CONN_OPEN & ~BIT(CONN_BODY) },
	[CONN_ANSWERING] = { "answering", CONN_OPEN & ~BIT(CONN_ANSWERING) },
	[CONN_LAST] = { "last", BIT(CONN_CLOSED) },
	[CONN_CLOSED] = { "closed", 0, .end = true },
};

/* ---- exchanges ---- */

/* Of a request that has forgotten what it brought. */
static const struct request_in nothing = {
	.target = { "", 0 }, .path = { "", 0 }, .content_type = { "", 0 },
};

static struct exchange *exchange_new(struct http_server *s)
{
	struct exchange *ex = list_first(&s->spare, struct exchange, at_);

	if (ex) {
		list_remove(&ex->at_);
		s->n_spare--;
		return ex;
	}
	ex = mem_zero(s->exchange_bytes);
	ex->r.arena = arena_new(4096);
	list_init(&ex->at_);
	return ex;
}

static void buf_keep(struct buf *b, size_t most)
{
	if (b->cap > most)
		buf_fini(b);
	else
		buf_reset(b);
}

void buf_again(struct buf *b)
{
	buf_keep(b, KEEP_BYTES);
}

/* Kept to be used again, without what it was used for. */
void exchange_free(struct exchange *ex)
{
	struct http_server *s = ex->conn->server;
	struct arena *arena = ex->r.arena;
	struct buf head, body;
	size_t most = s->n_spare < SPARE_LARGE ? KEEP_BYTES : KEEP_SMALL_BYTES;
	bool has_forgotten = ex->has_forgotten;

	if (s->config.end)
		s->config.end(&ex->r);
	ex->conn->n_exchanges--;
	if (ex->conn->upgrading == ex)
		ex->conn->upgrading = NULL;
	list_remove(&ex->at_);
	exchange_source_free(ex);
	if (ex->conn->protocol->forget)
		ex->conn->protocol->forget(ex);
	buf_keep(&ex->head, most);
	buf_keep(&ex->body, most);
	head = ex->head;
	body = ex->body;
	memset(ex, 0, s->exchange_bytes);
	ex->r.arena = arena;
	ex->head = head;
	ex->body = body;
	if (!has_forgotten && s->n_spare < SPARE_MAX) {
		arena_reset(ex->r.arena);
		list_append(&s->spare, &ex->at_);
		s->n_spare++;
		return;
	}
	exchange_destroy(ex);
}

void exchange_destroy(struct exchange *ex)
{
	buf_fini(&ex->head);
	buf_fini(&ex->body);
	arena_free(&ex->r.arena);
	free(ex);
}

void request_forget(struct request *r)
{
	/* Nobody writes there. */
	r->in = (struct request_in *)&nothing;
	if (r->door.n) {
		struct arena *small = arena_new(r->door.n + 1);

		r->door = arena_str(small, r->door);
		arena_free(&r->arena);
		r->arena = small;
	} else {
		arena_free(&r->arena);
	}
	exchange_of(r)->has_forgotten = true;
}

void request_trace(const struct request *r, char out[REQUEST_TRACE_TEXT])
{
	hex_text(out, r->trace, sizeof(r->trace));
}

uint64_t request_certificate_ends_ms(const struct request *r)
{
	const struct exchange *ex = (const struct exchange *)r;

	return r->certificate.n ? (uint64_t)ex->conn->certificate_ends_s * 1000 : 0;
}

void request_init(struct conn *c, struct request *r)
{
	uint64_t trace[2] = { prng_next(&c->server->prng),
			      prng_next(&c->server->prng) };

	r->in = (struct request_in *)&nothing;
	r->method = HTTP_M_OTHER;
	r->peer = stream_peer(c->stream);
	r->is_tls = stream_is_tls(c->stream);
	if (c->certificate.n &&
	    (int64_t)(clock_wall_ms() / 1000) < c->certificate_ends_s)
		r->certificate = buf_view(&c->certificate);
	r->loop = c->server->loop;
	r->server_data = c->server->config.data;
	r->start_ns = clock_mono_ns();
	memcpy(r->trace, trace, sizeof(trace));
}

void exchange_move(struct exchange *ex, enum exchange_state to, const char *why)
{
	struct fsm fsm;

	fsm_init(&fsm, "exchange", exchange_states, EXCHANGE__STATES, ex->state);
	fsm_move(&fsm, to, why);
	ex->state = (uint8_t)to;
}

struct exchange *conn_ask(struct conn *c)
{
	struct exchange *ex = exchange_new(c->server);

	ex->conn = c;
	ex->state = EXCHANGE_READING;
	request_init(c, &ex->r);
	ex->r.in = ANEW(ex->r.arena, struct request_in);
	ex->r.in->target = ex->r.in->path = ex->r.in->content_type = STR("");
	list_append(&c->exchanges, &ex->at_);
	c->n_exchanges++;
	c->asked++;
	conn_spend(c, 1);
	c->server->stats.requests++;
	return ex;
}

/* "00-<trace>-<span>-<flags>" (W3C Trace Context). */
void request_take_trace(struct request *r, struct str parent)
{
	uint8_t trace[16], none[16] = { 0 };

	if (parent.n < 55 || parent.p[2] != '-' || parent.p[35] != '-' ||
	    !hex_parse(str_n(parent.p + 3, 32), trace, sizeof(trace)) ||
	    memcmp(trace, none, sizeof(none)) == 0)
		return;
	memcpy(r->trace, trace, sizeof(trace));
}

static void take_traceparent(struct request *r)
{
	const struct str *h = request_header(r, "traceparent");

	if (h)
		request_take_trace(r, *h);
}

static void take_content_type(struct request *r)
{
	const struct str *h = request_header(r, "content-type");
	struct str type;
	char *lower;

	if (!h)
		return;
	type = *h;
	type = str_trim(str_cut(&type, ';'));
	lower = arena_z(r->arena, type);
	for (size_t i = 0; i < type.n; i++)
		if (lower[i] >= 'A' && lower[i] <= 'Z')
			lower[i] |= 0x20;
	r->in->content_type = str_n(lower, type.n);
}

static enum code take_target(struct request *r, struct err *err)
{
	struct str query;
	struct url_param *params;

	if (str_is(r->in->target, "*"))
		return err_set(err, E_METHOD, "OPTIONS * is not supported");
	if (!url_split(r->in->target, &r->in->path, &query))
		return err_set(err, E_INVALID, "the target holds a byte that must "
			       "be escaped");
	if (!url_query(r->arena, query, QUERY_MAX, &params, &r->in->n_query))
		return err_set(err, E_INVALID, "the query holds a broken escape, or "
			       "more than %d parameters", QUERY_MAX);
	r->in->query = params;
	return OK;
}

static void answer_no_route(struct exchange *ex, unsigned allowed,
			    const struct err *err)
{
	const struct http_server_config *config = &ex->conn->server->config;
	AUTO_BUF list = BUF_NONE;

	for (unsigned m = 0; m <= HTTP_M_OTHER; m++)
		if (allowed & BIT(m))
			buf_printf(&list, "%s%s", list.n ? ", " : "",
				   http_method_name(m));
	if (list.n)
		answer_header(&ex->r, "Allow", buf_view(&list));
	if (config->no_route)
		config->no_route(&ex->r, err);
	else
		answer_error(&ex->r, err);
}

bool exchange_open(struct exchange *ex)
{
	struct http_server *s = ex->conn->server;
	struct request *r = &ex->r;
	unsigned allowed = 0;
	struct err err;

	take_traceparent(r);
	take_content_type(r);
	r->is_head = r->method == HTTP_M_HEAD;
	if (take_target(r, &err) ||
	    router_find(s->router, r->method, r->in->path, r->arena,
			r->in->args, &r->route, &allowed, &err)) {
		answer_no_route(ex, allowed, &err);
		return false;
	}
	return !s->config.before || s->config.before(r);
}

void exchange_handle(struct exchange *ex)
{
	exchange_move(ex, EXCHANGE_HANDLING, exchange_tells_body(ex) ?
		 "the header is there" : "the request is whole");
	if (!exchange_tells_body(ex))
		ex->r.in->body = buf_view(&ex->body);
	ex->r.route->handler(&ex->r);
}

/* ---- bodies in pieces ---- */

/* The exchange may be gone when this returns. */
static void tell_body(struct exchange *ex)
{
	const struct http_protocol *p = ex->conn->protocol;
	struct buf bytes = ex->body;
	bool is_last = ex->is_body_whole;

	if (!ex->on_body || ex->is_body_paused || ex->is_body_told ||
	    (bytes.n == 0 && !is_last))
		return;
	ex->body = BUF_NONE;
	ex->is_body_told = is_last;
	if (p->body_taken)
		p->body_taken(ex, bytes.n);
	ex->on_body(&ex->r, buf_view(&bytes), is_last);
	buf_fini(&bytes);
}

void exchange_body(struct exchange *ex, struct str piece, bool is_last)
{
	if (ex->is_body_told)
		return;
	ex->is_body_whole = is_last;
	if (ex->on_body && !ex->is_body_paused && ex->body.n == 0) {
		ex->is_body_told = is_last;
		if (piece.n || is_last)
			ex->on_body(&ex->r, piece, is_last);
		return;
	}
	buf_str(&ex->body, piece);
	tell_body(ex);
}

/* Not while it is being taken already. */
static void settle_soon(struct conn *c)
{
	if (!c->is_corked)
		conn_settle(c);
}

void request_on_body(struct request *r, request_body *cb)
{
	struct exchange *ex = exchange_of(r);
	struct conn *c = ex->conn;

	must(exchange_tells_body(ex));
	ex->on_body = cb;
	tell_body(ex);
	settle_soon(c);
}

void request_body_pause(struct request *r)
{
	struct exchange *ex = exchange_of(r);

	ex->is_body_paused = true;
	settle_soon(ex->conn);
}

bool request_body_keeps(struct request *r, size_t n)
{
	struct exchange *ex = exchange_of(r);
	const struct http_protocol *p = ex->conn->protocol;

	return !p->body_kept || p->body_kept(ex, n);
}

void request_body_resume(struct request *r)
{
	struct exchange *ex = exchange_of(r);
	struct conn *c = ex->conn;

	ex->is_body_paused = false;
	tell_body(ex);
	settle_soon(c);
}

/* ---- the end of an answer ---- */

void exchange_gone(struct exchange *ex)
{
	void (*gone)(struct request *r) = ex->r.on_gone;

	ex->r.on_gone = NULL;
	if (gone && ex->state >= EXCHANGE_HANDLING)
		gone(&ex->r);
}

void exchange_done(struct exchange *ex)
{
	struct conn *c = ex->conn;
	struct http_server *s = c->server;

	if (ex->state == EXCHANGE_STREAMING)
		s->stats.streams_now--;
	if (c->reading == ex)
		c->reading = NULL;
	if (c->upgrading == ex)
		c->upgrading = NULL;
	/* A stream has not said so in its header. */
	if (!exchange_body_is_over(ex))
		ex->keep_alive = false;
	exchange_move(ex, EXCHANGE_DONE, "answered");
	s->stats.by_class[ex->status / 100 % 6]++;
	if (s->config.after)
		s->config.after(&ex->r, ex->status, ex->sent);
	/* What is left of it is between us and the client. */
	ex->r.on_gone = NULL;
	c->protocol->done(ex);
	settle_soon(c);
}

bool exchange_read(struct exchange *ex, struct str *piece)
{
	struct answer_source *s = ex->source;

	if (s->at >= s->size || !s->read(s, s->at, piece))
		return false;
	*piece = str_first(*piece, s->size - s->at);
	return piece->n > 0;
}

void exchange_source_free(struct exchange *ex)
{
	struct answer_source *s = TAKE(ex->source);

	if (s)
		s->free(s);
}

/* ---- reading ---- */

void conn_move(struct conn *c, enum conn_state to, const char *why)
{
	if (c->fsm.state != to)
		fsm_move(&c->fsm, to, why);
}

bool conn_may_read(const struct conn *c)
{
	return c->fsm.state < CONN_LAST && !c->no_more && !conn_has_spent(c) &&
		c->protocol->has_room(c);
}

/* False: more bytes are needed. */
static bool know_protocol(struct conn *c, struct str in)
{
	const struct http_protocol *p = protocol_find(c->server->protocols,
						      stream_alpn(c->stream), in);

	if (!p)
		return false;
	c->is_known = true;
	c->protocol = p;
	if (p->start)
		p->start(c);
	return true;
}

/* Takes what there is; 'bytes' are new. */
static void take(struct conn *c, struct str bytes)
{
	struct conn *other = c->server->corked;
	struct str in = bytes;
	size_t before;

	/* A handler of another connection's has answered one of this one's. */
	if (other)
		other->protocol->flush(other);
	if (c->in.n) {
		buf_str(&c->in, bytes);
		in = buf_view(&c->in);
	}
	before = in.n;
	c->is_corked = true;
	c->server->corked = c;
	if (c->is_known || know_protocol(c, in))
		c->protocol->read(c, &in);
	if (c->fsm.state < CONN_LAST)
		c->protocol->flush(c);
	c->is_corked = false;
	c->server->corked = other;
	if (c->no_more || c->fsm.state >= CONN_LAST)
		buf_fini(&c->in);
	else if (c->in.n)
		buf_drop(&c->in, before - in.n);
	else if (in.n)
		buf_str(&c->in, in);
	if (c->in.n == 0)
		buf_again(&c->in);
}

static void set_reading(struct conn *c)
{
	/* Where nothing more is looked at it is still read: the end of the
	 * connection is seen by it. */
	bool has_spent = conn_has_spent(c);
	bool pause = !c->no_more && (has_spent || !c->protocol->has_room(c));

	if (pause && has_spent)
		conn_later(c);
	if (pause == c->is_paused)
		return;
	c->is_paused = pause;
	if (pause)
		stream_read_pause(c->stream);
	else
		stream_read_resume(c->stream);
}

uint64_t conn_slowest(const struct http_limits *limits, uint64_t since_ms,
		      uint64_t bytes)
{
	return limits->least_rate ? since_ms + bytes * 1000 / limits->least_rate :
				    UINT64_MAX / 2;
}

static uint64_t body_deadline(struct conn *c, bool is_new, uint64_t now)
{
	const struct http_limits *limits = &c->server->config.limits;

	if (is_new) {
		c->body_since_ms = now;
		c->body_bytes = 0;
	}
	return limits->body_ms +
		MIN(now, conn_slowest(limits, c->body_since_ms, c->body_bytes));
}

static void set_deadline(struct conn *c)
{
	const struct http_limits *limits = &c->server->config.limits;
	uint64_t now = loop_now_ms(c->server->loop);
	enum conn_state was = c->fsm.state;

	if (c->reading && !c->is_paused &&
	    c->reading->state != EXCHANGE_STREAMING) {
		conn_move(c, CONN_BODY, "a body is coming");
		c->deadline_ms = body_deadline(c, was != CONN_BODY, now);
	} else if (!c->reading && c->in.n && !c->is_paused) {
		conn_move(c, CONN_HEADER, "a header has begun");
		if (was != CONN_HEADER || c->asked != c->header_asked)
			c->deadline_ms = now + limits->header_ms;
		c->header_asked = c->asked;
	} else if (c->n_exchanges) {
		conn_move(c, CONN_ANSWERING, "all is read");
		c->deadline_ms = 0;
	} else {
		conn_move(c, CONN_IDLE, "all is answered");
		c->deadline_ms = c->server->is_draining ?
					 c->server->drain_idle_ms :
					 now + limits->idle_ms;
	}
}

/* After anything has happened: what was left lying is taken, and limits are
 * set anew. */
void conn_settle(struct conn *c)
{
	size_t left = SIZE_MAX;

	while (c->in.n && c->in.n < left && conn_may_read(c)) {
		left = c->in.n;
		take(c, STR_NONE);
	}
	if (c->fsm.state < CONN_LAST)
		c->protocol->settle(c);
	if (c->fsm.state >= CONN_LAST)
		return;
	set_reading(c);
	set_deadline(c);
}

static void on_data(struct stream *stream, struct str bytes)
{
	struct conn *c = stream_data(stream);

	c->server->stats.bytes_in += bytes.n;
	c->body_bytes += bytes.n;
	conn_spend(c, (unsigned)(bytes.n / BYTES_A_SPEND));
	if (c->no_more)
		return;
	if (!c->memo || !c->protocol->again || !c->protocol->again(c, bytes))
		take(c, bytes);
	conn_settle(c);
}

/* Nothing comes any more.  True: all that had to end for it has ended. */
static bool end_by_eof(struct conn *c)
{
	bool is_all = c->protocol->eof(c);

	conn_settle(c);
	return is_all || c->fsm.state >= CONN_LAST;
}

/* A client may end its side after its last request and still gets answers. */
static void on_eof(struct stream *stream)
{
	struct conn *c = stream_data(stream);

	c->has_eof = true;
	c->no_more = true;
	buf_fini(&c->in);
	if (!server_may_end(c->server) || !end_by_eof(c))
		conn_end_later(c);
}

static void on_drain(struct stream *stream)
{
	struct conn *c = stream_data(stream);

	c->protocol->writable(c);
	conn_settle(c);
}

/* ---- life ---- */

static void free_conn(struct conn *c)
{
	struct stream *kept = c->is_kept ? c->stream : NULL;

	buf_fini(&c->in);
	if (c->protocol->free)
		c->protocol->free(c);
	memo_free(&c->memo);
	buf_fini(&c->certificate);
	list_remove(&c->later_);
	list_remove(&c->ending_);
	server_conn_gone(c);
	free(c);
	if (kept)
		stream_drop(kept);
}

/* False: there are more of its requests than this turn may end. */
static bool end_exchanges(struct conn *c)
{
	struct http_server *s = c->server;
	struct exchange *ex;

	while ((ex = list_first(&c->exchanges, struct exchange, at_))) {
		if (!server_may_end(s))
			return false;
		s->ended++;
		if (ex->state == EXCHANGE_STREAMING)
			s->stats.streams_now--;
		if (ex->state != EXCHANGE_DONE)
			exchange_gone(ex);
		exchange_free(ex);
	}
	return true;
}

void conn_end(struct conn *c)
{
	bool is_all = true;

	c->server->ended++;
	if (c->fsm.state == CONN_CLOSED) {
		is_all = end_exchanges(c);
		if (is_all) {
			free_conn(c);
			return;
		}
	} else if (c->has_eof) {
		is_all = end_by_eof(c);
	} else {
		conn_expire(c);
	}
	if (!is_all)
		conn_end_later(c);
}

static void on_close(struct stream *stream, const struct err *err)
{
	struct conn *c = stream_data(stream);

	fsm_move(&c->fsm, CONN_CLOSED, "the stream is closed");
	if (server_may_end(c->server)) {
		c->server->ended++;
		if (end_exchanges(c)) {
			free_conn(c);
			return;
		}
	}
	c->is_kept = true;
	stream_keep(stream);
	conn_end_later(c);
}

static void know_certificate(struct conn *c)
{
	struct tls_cert *cert = stream_peer_cert(c->stream);

	if (!cert)
		return;
	if (tls_cert_name(cert, &c->certificate))
		c->certificate_ends_s = tls_cert_expiry(cert);
	tls_cert_free(&cert);
}

/* Who connects wants something soon. */
static void on_open(struct stream *stream)
{
	struct conn *c = stream_data(stream);

	if (c->fsm.state >= CONN_LAST)
		return;
	know_certificate(c);
	c->deadline_ms = loop_now_ms(c->server->loop) +
			 c->server->config.limits.header_ms;
	if (c->server->is_draining)
		c->deadline_ms = MIN(c->deadline_ms, c->server->drain_idle_ms);
}

struct conn *conn_new(struct http_server *s, struct stream *stream)
{
	static const struct stream_ops ops = {
		.on_data = on_data, .on_eof = on_eof, .on_drain = on_drain,
		.on_close = on_close, .on_open = on_open,
	};
	struct conn *c = mem_zero(s->conn_bytes);

	c->server = s;
	c->stream = stream;
	c->protocol = protocol_last(s->protocols);
	fsm_init(&c->fsm, "connection", conn_states, CONN__STATES, CONN_IDLE);
	list_init(&c->exchanges);
	list_init(&c->later_);
	list_init(&c->ending_);
	list_append(&s->conns, &c->at_);
	stream_set(stream, &ops, c);
	stream_near(stream, 0, c, s->conn_bytes);
	if (stream_is_tls(stream))
		c->deadline_ms = loop_now_ms(s->loop) +
				 s->config.limits.handshake_ms;
	else
		on_open(stream);
	return c;
}

void conn_last(struct conn *c, const char *why)
{
	if (c->fsm.state >= CONN_LAST)
		return;
	/* What is corked otherwise is another connection's. */
	if (c->server->corked == c)
		c->protocol->flush(c);
	fsm_move(&c->fsm, CONN_LAST, why);
	c->no_more = true;
	c->reading = NULL;
	c->deadline_ms = 0;
	stream_close(c->stream);
}

void conn_cut(struct conn *c)
{
	/* Left there it would go to the next one that is corked. */
	if (c->server->corked == c)
		c->protocol->flush(c);
	if (c->fsm.state < CONN_LAST)
		fsm_move(&c->fsm, CONN_LAST, "cut off");
	c->no_more = true;
	stream_abort(c->stream);
}

void conn_drain(struct conn *c)
{
	if (c->fsm.state < CONN_LAST)
		conn_settle(c);
}

/* Bytes that the client does not take, or so slowly that it means to. */
static bool is_stuck(struct conn *c, uint64_t now)
{
	const struct http_limits *limits = &c->server->config.limits;
	uint64_t in, out;

	if (stream_pending(c->stream) == 0) {
		c->stuck_since_ms = c->slow_since_ms = 0;
		return false;
	}
	stream_counts(c->stream, &in, &out);
	if (c->slow_since_ms == 0) {
		c->slow_since_ms = now;
		c->out_first = out;
	}
	if (c->stuck_since_ms == 0 || out != c->out_seen) {
		c->out_seen = out;
		c->stuck_since_ms = now;
	}
	return now > limits->write_ms +
		MIN(c->stuck_since_ms, conn_slowest(limits, c->slow_since_ms,
					       out - c->out_first));
}

void conn_expire(struct conn *c)
{
	uint64_t now = loop_now_ms(c->server->loop);
	bool stuck = c->fsm.state < CONN_CLOSED && is_stuck(c, now);

	if (!stuck && c->fsm.state < CONN_LAST && c->protocol->tick)
		c->protocol->tick(c, now);
	if (!stuck && (c->fsm.state >= CONN_LAST || c->deadline_ms == 0 ||
		       now < c->deadline_ms))
		return;
	if (!server_may_end(c->server)) {
		conn_end_later(c);
		return;
	}
	c->server->ended++;
	if (stuck)
		conn_cut(c);
	else
		c->protocol->expired(c);
}
