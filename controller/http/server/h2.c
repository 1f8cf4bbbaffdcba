/* Sessions of HTTP/2, what comes in, limits and ends: see h2.h. */
#include "http/server/h2.h"

#include <pthread.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/server/memo.h"

#include "base/banned.h"

#define STREAM_WINDOW (128 * 1024)
/* nghttp2's buffer for a frame has more than that; it and a session have less. */
#define FRAME_BYTES 16384u
#define REGION_BYTES (24u * 1024)
#define CONNECTION_WINDOW (1024 * 1024)
/* So many are let go within a millisecond. */
#define STREAMS_AT_ONCE 1024u
/* Frames that bring nothing: so many at once, and so many a second. */
#define CALM_BURST 1000.0
#define CALM_RATE 100.0
/* A request that is taken back sooner was not meant. */
#define HASTE_NS 1000000000ull
/* Who does not answer a PING by then is told the end anyway. */
#define PONG_MS 1000u

/* ---- ends ---- */

void h2_terminate(struct h2 *h2, uint32_t code)
{
	struct conn *c = h2->c;

	if (h2->is_ended)
		return;
	c->server->stats.refused++;
	h2->is_terminated = true;
	nghttp2_session_terminate_session2(h2->session, h2_last_stream(h2), code);
	h2_mark(h2);
}

void h2_fail(struct h2 *h2, int rv)
{
	uint32_t code = NGHTTP2_INTERNAL_ERROR;

	if (h2->is_ended)
		return;
	if (rv == NGHTTP2_ERR_FLOODED || rv == NGHTTP2_ERR_TOO_MANY_SETTINGS)
		code = NGHTTP2_ENHANCE_YOUR_CALM;
	else if (rv == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
		code = NGHTTP2_PROTOCOL_ERROR;
	h2->c->server->stats.refused++;
	nghttp2_session_terminate_session2(h2->session, h2_last_stream(h2), code);
	h2->is_inside = true;
	nghttp2_session_send(h2->session);
	h2->is_inside = false;
	h2->is_ended = true;
	h2_flush(h2->c);
	conn_last(h2->c, "the session has failed");
}

static void check_end(struct h2 *h2)
{
	if (h2->is_ended || nghttp2_session_want_read(h2->session) ||
	    nghttp2_session_want_write(h2->session))
		return;
	h2->is_ended = true;
	h2_flush(h2->c);
	conn_last(h2->c, "the session has ended");
}

/* What costs and brings nothing, and what is as much as others have brought. */
static void pay(struct h2 *h2)
{
	uint64_t now = loop_now_ms(h2->c->server->loop);

	h2->calm += (double)(now - h2->calm_ms) * CALM_RATE / 1000.0;
	h2->calm = MIN(h2->calm, CALM_BURST);
	h2->calm_ms = now;
	if (h2->calm < 1.0) {
		h2_terminate(h2, NGHTTP2_ENHANCE_YOUR_CALM);
		return;
	}
	h2->calm -= 1.0;
}

void h2_pay_control(struct h2 *h2)
{
	if (h2->earned)
		h2->earned--;
	else
		pay(h2);
}

/* ---- nghttp2's callbacks ---- */

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd,
			  void *data)
{
	struct h2 *h2 = data;

	switch (hd->type) {
	case NGHTTP2_HEADERS:
		h2->earned += 4;
		break;
	case NGHTTP2_RST_STREAM:         /* on_stream_close */
		break;
	case NGHTTP2_DATA:
		if (hd->length == 0 && !(hd->flags & NGHTTP2_FLAG_END_STREAM))
			pay(h2);
		else
			h2->earned++;
		break;
	case NGHTTP2_PRIORITY:
		/* nghttp2 takes none, and so looks at none (RFC 9113, 6.3). */
		if (hd->stream_id == 0)
			h2_terminate(h2, NGHTTP2_PROTOCOL_ERROR);
		h2_pay_control(h2);
		break;
	default:
		h2_pay_control(h2);
		break;
	}
	return 0;
}

static int on_begin_headers(nghttp2_session *session,
			    const nghttp2_frame *frame, void *data)
{
	struct h2 *h2 = data;
	struct exchange *ex;

	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	ex = conn_ask(h2->c);
	own(ex)->id = frame->hd.stream_id;
	h2->n_streams++;
	h2->opening = ex;
	h2->opening_ms = loop_now_ms(h2->c->server->loop);
	list_init(&own(ex)->ready_);
	nghttp2_session_set_stream_user_data(session, own(ex)->id, ex);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
		     const uint8_t *name, size_t name_n, const uint8_t *value,
		     size_t value_n, uint8_t flags, void *data)
{
	struct exchange *ex = nghttp2_session_get_stream_user_data(
		session, frame->hd.stream_id);

	/* Trailers are dropped. */
	if (ex && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		h2_take_header(ex, str_n(name, name_n), str_n(value, value_n));
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame,
		    void *data)
{
	struct h2 *h2 = data;
	struct exchange *ex;

	if (frame->hd.type == NGHTTP2_PING &&
	    (frame->hd.flags & NGHTTP2_FLAG_ACK))
		h2->has_pong = true;
	/* Another size of the table is said where the next block begins. */
	if (frame->hd.type == NGHTTP2_SETTINGS)
		h2->frames.ours++;
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	ex = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (!ex)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS &&
	    frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		ex->has_body = true;
		h2->opening = NULL;
	}
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		ex->is_body_whole = true;
	h2_ready(h2, ex);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id,
		   const uint8_t *p, size_t n, void *data)
{
	struct h2 *h2 = data;
	struct exchange *ex = nghttp2_session_get_stream_user_data(session, id);

	if (!ex || ex->state == EXCHANGE_DONE) {
		h2_give_connection(h2, n);
		return 0;
	}
	h2_take_data(ex, str_n(p, n));
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code,
			   void *data)
{
	struct h2 *h2 = data;
	struct exchange *ex = nghttp2_session_get_stream_user_data(session, id);

	if (!ex)
		return 0;
	own(ex)->is_closed = true;
	h2->n_streams--;
	conn_spend(h2->c, 1);
	if (ex->state < EXCHANGE_STREAMING && h2->answering != ex &&
	    clock_mono_ns() - ex->r.start_ns < HASTE_NS)
		pay(h2);
	if (h2->answering == ex) {
		/* A stream that ends with its header: told later. */
		h2_ready(h2, ex);
		h2_mark(h2);
	} else if (ex->state == EXCHANGE_DONE) {
		h2_let_go(ex);
	} else {
		h2_drop(h2, ex, 0);
	}
	return 0;
}

static nghttp2_session_callbacks *callbacks;
static nghttp2_option *options;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_once(void)
{
	must(nghttp2_session_callbacks_new(&callbacks) == 0);
	h2_send_callbacks(callbacks);
	nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks,
							      on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(
		callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks,
							     on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
								  on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
							       on_stream_close);
	must(nghttp2_option_new(&options) == 0);
	nghttp2_option_set_no_auto_window_update(options, 1);
	/* Resets are paid for here (pay): what ends a watch is none. */
	nghttp2_option_set_stream_reset_rate_limit(options, UINT32_MAX,
						   UINT32_MAX);
}

/* ---- turns ---- */

void h2_mark(struct h2 *h2)
{
	if (list_empty(&h2->dirty_))
		list_append(&h2->shared->dirty, &h2->dirty_);
}

static void run_turn(struct turn *turn)
{
	struct h2_server *shared = container_of(turn, struct h2_server, turn);
	struct list now;
	struct h2 *h2;

	/* What is marked meanwhile goes in the next turn. */
	list_init(&now);
	while ((h2 = list_first(&shared->dirty, struct h2, dirty_))) {
		list_remove(&h2->dirty_);
		list_append(&now, &h2->dirty_);
	}
	while ((h2 = list_first(&now, struct h2, dirty_))) {
		h2_pump(h2);
		h2_run(h2);
		conn_settle(h2->c);
	}
	if (!list_empty(&shared->dirty))
		server_wake(shared->s);
}

static void *h2_server_new(struct http_server *s)
{
	struct h2_server *shared = NEW(struct h2_server);

	shared->s = s;
	shared->out = h2_out_new();
	shared->turn.run = run_turn;
	list_init(&shared->dirty);
	loop_on_turn(s->loop, &shared->turn);
	return shared;
}

static void h2_server_free(void *state)
{
	struct h2_server *shared = state;

	loop_off_turn(shared->s->loop, &shared->turn);
	h2_out_free(&shared->out);
	free(shared);
}

/* ---- the protocol ---- */

extern const struct http_protocol h2_protocol;

static void submit_settings(struct h2 *h2)
{
	const struct http_limits *limits = &h2->c->server->config.limits;
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->streams },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
		  (uint32_t)limits->header_bytes },
		{ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 },
		{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
	};

	must(nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
				     ARRAY_LEN(settings)) == 0);
	must(nghttp2_session_set_local_window_size(h2->session,
						   NGHTTP2_FLAG_NONE, 0,
						   CONNECTION_WINDOW) == 0);
}

/*
 * Memory of a session.  nghttp2 keeps a buffer as large as a frame for each, and
 * uses the first few hundred bytes of it, as DATA does not go through it.  It is
 * mapped behind the session's own object: both take one page of an idle connection,
 * whatever the heap has been through.  All else is the heap's.
 */
static void *session_calloc(size_t n, size_t size, void *data)
{
	struct h2 *h2 = data;
	void *p;

	if (h2->region || n != 1 || size > REGION_BYTES / 2)
		return mem_zero(n * size);
	p = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return mem_zero(size);
	h2->region = p;
	h2->region_used = (size + 63) / 64 * 64;
	return p;
}

static void *session_malloc(size_t n, void *data)
{
	struct h2 *h2 = data;
	char *p;

	if (n < FRAME_BYTES || !h2->region ||
	    n > REGION_BYTES - h2->region_used)
		return mem_alloc(n);
	p = h2->region + h2->region_used;
	h2->region_used = REGION_BYTES;
	return p;
}

/* It goes with the session. */
static bool is_in_region(const struct h2 *h2, const char *p)
{
	return h2->region && p >= h2->region && p < h2->region + REGION_BYTES;
}

static void session_free(void *p, void *data)
{
	if (!is_in_region(data, p))
		free(p);
}

static void *session_realloc(void *p, size_t n, void *data)
{
	struct h2 *h2 = data;
	void *moved;

	if (!p)
		return session_malloc(n, data);
	if (!is_in_region(h2, p))
		return mem_resize(p, n);
	moved = mem_alloc(n);
	memcpy(moved, p, MIN(n, (size_t)(h2->region + REGION_BYTES - (char *)p)));
	return moved;
}

static void h2_start(struct conn *c)
{
	struct h2 *h2 = NEW(struct h2);
	nghttp2_mem mem = { h2, session_malloc, session_free, session_calloc,
			    session_realloc };

	pthread_once(&once, make_once);
	h2->c = c;
	h2->shared = server_state(c->server, &h2_protocol);
	h2->frames = H2_FRAMES_BEGIN;
	list_init(&h2->ready);
	list_init(&h2->deferred);
	list_init(&h2->holding);
	list_init(&h2->drained);
	list_init(&h2->bodies);
	list_init(&h2->pieces);
	list_init(&h2->keeping);
	list_init(&h2->taken);
	list_init(&h2->dirty_);
	h2->calm = CALM_BURST;
	h2->calm_ms = loop_now_ms(c->server->loop);
	must(nghttp2_session_server_new3(&h2->session, callbacks, h2, options,
					 &mem) == 0);
	c->state = h2;
	stream_near(c->stream, 1, h2, sizeof(*h2));
	submit_settings(h2);
}

static void delete(struct h2 *h2)
{
	nghttp2_session_del(h2->session);
	if (h2->region)
		munmap(h2->region, REGION_BYTES);
	free(h2);
}

/* Calls none of our functions but session_free. */
static void run_delete(uv_work_t *work)
{
	delete(work->data);
}

static void deleted(uv_work_t *work, int status)
{
	if (status)
		delete(work->data);
	free(work);
}

/* What nghttp2 keeps of many streams is let go elsewhere: it takes half a microsecond
 * for each, and cannot be done in parts. */
static void h2_free(struct conn *c)
{
	struct h2 *h2 = h2_of(c);
	uv_work_t *work;

	/* What was gathered for it must not go to who comes next. */
	h2_forget(c);
	list_remove(&h2->dirty_);
	h2_frames_fini(&h2->frames);
	c->state = NULL;
	if (h2->n_streams <= STREAMS_AT_ONCE) {
		delete(h2);
		return;
	}
	work = NEW(uv_work_t);
	work->data = h2;
	if (uv_queue_work(loop_uv(c->server->loop), work, run_delete, deleted))
		deleted(work, UV_ECANCELED);
}

static void h2_read(struct conn *c, struct str *in)
{
	struct h2 *h2 = h2_of(c);

	/* A handler below a callback made room: later. */
	if (h2->is_inside) {
		h2_mark(h2);
		return;
	}
	while (in->n > 0 && !h2->is_ended && conn_may_read(c)) {
		struct str slice = h2_frames_next(h2, in);
		ssize_t rv;

		if (slice.n == 0)
			continue;
		h2->is_inside = true;
		rv = nghttp2_session_mem_recv(h2->session,
					      (const uint8_t *)slice.p, slice.n);
		h2->is_inside = false;
		if (rv < 0) {
			*in = str_from(*in, in->n);
			h2_fail(h2, (int)rv);
			return;
		}
		h2_run(h2);
	}
	if (!h2->is_ended)
		h2_pump(h2);
	h2_run(h2);
	check_end(h2);
}

/* What the client does not take bounds what it may send. */
static bool h2_has_room(const struct conn *c)
{
	return stream_pending(c->stream) <=
		c->server->config.limits.pending_bytes;
}

/* Its memory goes; what is left of the answer stays. */
static void h2_done(struct exchange *ex)
{
	struct h2 *h2 = h2_of(ex->conn);

	if (ex->conn->fsm.state >= CONN_LAST)
		return;
	h2_body_over(h2, ex);
	if (own(ex)->is_closed) {
		h2_let_go(ex);
		return;
	}
	buf_fini(&ex->body);
	request_forget(&ex->r);
	h2_mark(h2);
}

static void h2_writable(struct conn *c)
{
	struct h2 *h2 = h2_of(c);

	h2_pump(h2);
	h2_run(h2);
}

/* A client learns that it is to go before what it has sent meanwhile is refused
 * (RFC 9113, 6.8). */
static void drain(struct h2 *h2)
{
	uint64_t now = loop_now_ms(h2->c->server->loop);

	if (h2->drain == H2_SERVES) {
		nghttp2_submit_shutdown_notice(h2->session);
		h2->drain = H2_NOTICED;
		h2->noticed_ms = now;
		h2_mark(h2);
	} else if (h2->drain == H2_NOTICED && list_empty(&h2->dirty_)) {
		/* Behind the notice: whoever answers it has seen that. */
		nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL);
		h2->drain = H2_ASKED;
		h2_mark(h2);
	} else if (h2->drain == H2_ASKED &&
		   (h2->has_pong || now - h2->noticed_ms >= PONG_MS)) {
		nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
				      h2_last_stream(h2), NGHTTP2_NO_ERROR, NULL,
				      0);
		h2->drain = H2_GOES;
		h2_mark(h2);
	}
}

static void h2_settle(struct conn *c)
{
	struct h2 *h2 = h2_of(c);

	if (h2->is_ended || h2->is_inside)
		return;
	if (c->server->is_draining)
		drain(h2);
	if (c->has_eof && c->n_exchanges == 0) {
		h2_flush(c);
		conn_last(c, "the client has ended, all is answered");
	} else {
		check_end(h2);
	}
}

/* Answers that the client's window of the whole connection keeps from going.  What the
 * window of one stream keeps is that stream's end alone: h2_end_stuck. */
static bool is_stuck(struct h2 *h2, uint64_t now)
{
	const struct http_limits *limits = &h2->c->server->config.limits;

	if (h2->held_bytes == 0 || h2_window(h2) > 0) {
		h2->stuck_since_ms = h2->slow_since_ms = 0;
		return false;
	}
	if (h2->slow_since_ms == 0) {
		h2->slow_since_ms = now;
		h2->sent_first = h2->sent_bytes;
	}
	if (h2->stuck_since_ms == 0 || h2->sent_seen != h2->sent_bytes) {
		h2->sent_seen = h2->sent_bytes;
		h2->stuck_since_ms = now;
	}
	return now > limits->write_ms +
		MIN(h2->stuck_since_ms,
		    conn_slowest(limits, h2->slow_since_ms,
				 h2->sent_bytes - h2->sent_first));
}

static void h2_tick(struct conn *c, uint64_t now_ms)
{
	struct h2 *h2 = h2_of(c);

	if (h2->is_ended)
		return;
	h2_end_late_bodies(h2, now_ms);
	if (is_stuck(h2, now_ms) || (h2->opening && now_ms - h2->opening_ms >
				     c->server->config.limits.header_ms))
		h2_terminate(h2, NGHTTP2_ENHANCE_YOUR_CALM);
	else
		h2_end_stuck(h2, now_ms);
	if (c->server->is_draining)
		h2_settle(c);
}

static void h2_expired(struct conn *c)
{
	struct h2 *h2 = h2_of(c);

	c->deadline_ms = 0;
	if (h2->is_ended)
		return;
	h2->is_terminated = true;
	nghttp2_session_terminate_session2(h2->session, h2_last_stream(h2),
					   NGHTTP2_NO_ERROR);
	h2_mark(h2);
}

/* What its handler lets be given again. */
static void h2_keep(struct exchange *ex, const char *content_type,
		    const struct stream_vec *v, unsigned n, uint64_t length)
{
	if (length == 0 || memo_keep(ex, content_type, v, n))
		h2_frames_keep(ex, content_type, length);
}

const struct http_protocol h2_protocol = {
	.alpn = "h2",
	.preface = { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", H2_PREFACE_BYTES },
	.exchange_bytes = sizeof(struct h2_stream),
	.server_new = h2_server_new,
	.server_free = h2_server_free,
	.start = h2_start,
	.read = h2_read,
	.has_room = h2_has_room,
	.flush = h2_flush,
	.answer = h2_answer,
	.keep = h2_keep,
	.begin = h2_begin,
	.upgrade = h2_upgrade,
	.chunk = h2_chunk,
	.end = h2_end,
	.pending = h2_pending,
	.done = h2_done,
	.forget = h2_forget_stream,
	.body_taken = h2_body_taken,
	.body_kept = h2_body_kept,
	.writable = h2_writable,
	.eof = h2_eof,
	.settle = h2_settle,
	.tick = h2_tick,
	.expired = h2_expired,
	.free = h2_free,
};
