/* What goes out over HTTP/2: see h2.h. */
#include "http/server/h2.h"

#include "base/mem.h"

#include "base/banned.h"

/* The socket is given no more DATA while so much waits there. */
#define SOCKET_BYTES (128u * 1024)
/* What is smaller is copied, so that it shares a write with others. */
#define COPY_BYTES 4096u
/* What is gathered before it is written. */
#define SMALL_BYTES (64u * 1024)
/* Of what is held: so much that is sent already stays in front. */
#define COMPACT_BYTES (64u * 1024)
#define FIELDS_MAX 64
#define FRAME_HEAD 9u

/* ---- to the socket ---- */

/* Small things first, then pieces as they lie with what stands between them. */
struct h2_out {
	struct conn *owner;              /* whose bytes these are, or NULL */
	struct buf small;
	struct stream_vec v[31];         /* [0] is for 'small' */
	unsigned n;                      /* behind v[0] */
	uint8_t heads[31][FRAME_HEAD];
};

struct h2_out *h2_out_new(void)
{
	return NEW(struct h2_out);
}

void h2_out_free(struct h2_out **at)
{
	struct h2_out *out = TAKE(*at);

	if (out)
		buf_fini(&out->small);
	free(out);
}

static void out_write(struct h2_out *out)
{
	struct conn *c = TAKE(out->owner);

	if (!c || (out->small.n == 0 && out->n == 0))
		return;
	out->v[0] = (struct stream_vec){ out->small.p, out->small.n };
	stream_write(c->stream, out->v, 1 + out->n);
	buf_again(&out->small);
	out->n = 0;
}

/* Somebody else is to be written to: what is gathered waits where it will be written
 * with more at the end of the turn, else it goes. */
static void out_change(struct h2_out *out, struct conn *to)
{
	struct h2 *from = out->owner ? h2_of(out->owner) : NULL;

	if (from && out->n == 0 && !list_empty(&from->dirty_)) {
		from->gathered = out->small;
		out->small = BUF_NONE;
	} else {
		out_write(out);
	}
	out->owner = to;
	if (h2_of(to)->gathered.n == 0)
		return;
	buf_fini(&out->small);
	out->small = h2_of(to)->gathered;
	h2_of(to)->gathered = BUF_NONE;
}

/* Of one connection at a time. */
static struct h2_out *out_of(struct conn *c)
{
	struct h2_out *out = h2_of(c)->shared->out;

	if (out->owner != c)
		out_change(out, c);
	return out;
}

static void out_small(struct conn *c, const void *p, size_t n)
{
	struct h2_out *out = out_of(c);

	if (out->n || out->small.n + n > SMALL_BYTES) {
		out_write(out);
		out->owner = c;
	}
	buf_add(&out->small, p, n);
}

/* 'p' stays where it is until out_write. */
static void out_piece(struct conn *c, const uint8_t *head, const void *p,
		      size_t n)
{
	struct h2_out *out = out_of(c);

	if (out->n + 3 > ARRAY_LEN(out->v)) {
		out_write(out);
		out->owner = c;
	}
	if (head) {
		memcpy(out->heads[out->n], head, FRAME_HEAD);
		out->v[1 + out->n] = (struct stream_vec){ out->heads[out->n],
							  FRAME_HEAD };
		out->n++;
	}
	out->v[1 + out->n++] = (struct stream_vec){ p, n };
}

void h2_send_bytes(struct h2 *h2, struct str bytes)
{
	out_small(h2->c, bytes.p, bytes.n);
}

void h2_flush(struct conn *c)
{
	struct h2_out *out = h2_of(c)->shared->out;

	if (out->owner == c || h2_of(c)->gathered.n)
		out_write(out_of(c));
}

void h2_forget(struct conn *c)
{
	struct h2_out *out = h2_of(c)->shared->out;

	buf_fini(&h2_of(c)->gathered);
	if (out->owner != c)
		return;
	out->owner = NULL;
	buf_again(&out->small);
	out->n = 0;
}

/* ---- header fields ---- */

struct fields {
	nghttp2_nv nv[FIELDS_MAX];
	size_t n;
	uint8_t flags;
};

/* Fields that nghttp2 serialises before the caller returns are not copied: header
 * blocks go before all DATA but that which the socket has not taken. */
static void fields_init(struct fields *f, const struct h2 *h2)
{
	f->n = 0;
	f->flags = h2->is_inside || h2->is_blocked ? NGHTTP2_NV_FLAG_NONE :
		NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
}

static void put_field(struct fields *f, struct str name, struct str value,
		      unsigned flags)
{
	must(f->n < FIELDS_MAX);
	f->nv[f->n++] = (nghttp2_nv){
		.name = (uint8_t *)name.p, .namelen = name.n,
		.value = (uint8_t *)value.p, .valuelen = value.n,
		.flags = f->flags | (uint8_t)flags,
	};
}

/* What speaks of the connection has no place in HTTP/2 (RFC 9113, 8.2.2). */
static bool is_of_connection(struct str name)
{
	static const char *const names[] = { "connection", "upgrade", "keep-alive",
					     "transfer-encoding" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(name, str_of(names[i])))
			return true;
	return false;
}

/* "Name: value" lines of answer_header; names become lower case in place. */
static void put_lines(struct fields *f, struct buf *lines)
{
	char *p = lines->p, *end = p ? p + lines->n : p;

	while (p < end) {
		char *name = p, *cr;

		for (; *p != ':'; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p |= 0x20;
		cr = memchr(p, '\r', (size_t)(end - p));
		must(cr && cr >= p + 2);
		if (!is_of_connection(str_n(name, (size_t)(p - name))))
			put_field(f, str_n(name, (size_t)(p - name)),
				  str_n(p + 2, (size_t)(cr - p - 2)), 0);
		p = cr + 2;
	}
}

/* Where the fields of an answer lie until they are serialised. */
struct answer_fields {
	struct fields fields;
	char status[3], length[20], trace[REQUEST_TRACE_TEXT];
};

/* Written from its end backwards. */
static struct str decimal(char *end, uint64_t v)
{
	char *p = end;

	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	return str_n(p, (size_t)(end - p));
}

/* To CONNECT, 2xx says that there is a tunnel (RFC 9110, 9.3.6): who answers
 * otherwise has made none. */
static unsigned status_of(const struct exchange *ex)
{
	if (own(ex)->is_connect && !ex->is_raw && ex->status / 100 == 2)
		return 501;
	return ex->is_raw ? 200 : (unsigned)ex->status;
}

static void put_answer(struct answer_fields *a, struct exchange *ex,
		       const char *content_type, uint64_t length)
{
	struct fields *f = &a->fields;

	fields_init(f, h2_of(ex->conn));
	put_field(f, STR(":status"), decimal(a->status + 3, status_of(ex)), 0);
	put_field(f, STR("date"), str_of(server_date(ex->conn->server)), 0);
	if (content_type)
		put_field(f, STR("content-type"), str_of(content_type), 0);
	if (length != UINT64_MAX)
		put_field(f, STR("content-length"),
			  decimal(a->length + sizeof(a->length), length), 0);
	/* It never comes again: no place in the table for it. */
	request_trace(&ex->r, a->trace);
	put_field(f, STR("x-conflux-trace"), str_n(a->trace, 32),
		  NGHTTP2_NV_FLAG_NO_INDEX);
	put_lines(f, &ex->head);
}

/* ---- DATA ---- */

/* What an answer has said and the client does not take: there is one of these only
 * as long as there is something. */
struct h2_held {
	struct exchange *ex;
	struct list at_;                 /* of h2->holding, or of h2->drained */
	struct buf bytes;
	size_t at;                       /* so many of them went already */
	uint64_t since_ms, moved_ms;     /* it holds; some of it went */
	uint64_t sent;                   /* since then */
	bool is_slow;
	bool is_source;                  /* it counts as a piece of it */
};

static size_t held_of(const struct exchange *ex)
{
	const struct h2_held *held = own(ex)->held;

	return held ? held->bytes.n - held->at : 0;
}

static size_t left_of(const struct h2 *h2, const struct exchange *ex)
{
	const struct answer_source *source = ex->source;

	return held_of(ex) + (h2->answering == ex ? h2->v_left : 0) +
		(source ? source->size - source->at : 0);
}

/* Here its time begins. */
static void hold_from_now(struct h2 *h2, struct h2_held *held)
{
	held->since_ms = held->moved_ms = loop_now_ms(h2->c->server->loop);
	held->sent = 0;
	held->is_slow = false;
	list_remove(&held->at_);
	list_append(&h2->holding, &held->at_);
}

static struct h2_held *held_new(struct exchange *ex)
{
	struct h2_held *held = own(ex)->held = NEW(struct h2_held);

	held->ex = ex;
	list_init(&held->at_);
	return held;
}

/* Nothing is copied, but what it costs otherwise is bounded as if it were. */
static void hold_source(struct h2 *h2, struct exchange *ex)
{
	struct h2_held *held = held_new(ex);

	held->is_source = true;
	h2->held_bytes += ANSWER_PIECE;
	hold_from_now(h2, held);
}

static void hold(struct h2 *h2, struct exchange *ex, const void *p, size_t n)
{
	struct h2_held *held = own(ex)->held;

	if (!held)
		held = held_new(ex);
	if (held_of(ex) == 0)
		hold_from_now(h2, held);
	/* One that never runs empty does not grow for ever. */
	if (held->at > COMPACT_BYTES && held->at > held_of(ex)) {
		buf_drop(&held->bytes, held->at);
		held->at = 0;
	}
	buf_add(&held->bytes, p, n);
	h2->held_bytes += n;
}

void h2_held_free(struct h2_held **at)
{
	struct h2_held *held = TAKE(*at);

	if (!held)
		return;
	list_remove(&held->at_);
	buf_fini(&held->bytes);
	free(held);
}

void h2_held_over(struct h2 *h2, struct exchange *ex)
{
	if (!own(ex)->held)
		return;
	/* What is gathered may lie in it. */
	h2_flush(h2->c);
	h2->held_bytes -= held_of(ex) +
		(own(ex)->held->is_source ? ANSWER_PIECE : 0);
	h2_held_free(&own(ex)->held);
}

/* Is it the client's window of this stream that keeps it from going? */
static bool is_kept_by_client(const struct h2 *h2, const struct exchange *ex)
{
	return !h2->is_blocked && h2_window(h2) > 0 &&
		nghttp2_session_get_stream_remote_window_size(h2->session,
							      own(ex)->id) <= 0;
}

/* Some of it went.  Those that moved last are last. */
static void held_moves(struct h2 *h2, struct h2_held *held, size_t n)
{
	const struct http_limits *limits = &h2->c->server->config.limits;
	uint64_t now = loop_now_ms(h2->c->server->loop);

	held->sent += n;
	held->moved_ms = now;
	list_remove(&held->at_);
	held->is_slow = now > limits->write_ms +
		conn_slowest(limits, held->since_ms, held->sent);
	if (held->is_slow)
		list_prepend(&h2->holding, &held->at_);
	else
		list_append(&h2->holding, &held->at_);
}

void h2_end_stuck(struct h2 *h2, uint64_t now_ms)
{
	struct http_server *s = h2->c->server;
	unsigned write_ms = s->config.limits.write_ms;
	struct h2_held *held;

	while (h2->c->fsm.state < CONN_LAST && !h2->is_ended &&
	       (held = list_first(&h2->holding, struct h2_held, at_)) &&
	       (held->is_slow || now_ms > held->moved_ms + write_ms)) {
		if (!is_kept_by_client(h2, held->ex)) {
			hold_from_now(h2, held);
			continue;
		}
		if (!server_may_end(s)) {
			conn_end_later(h2->c);
			return;
		}
		s->ended++;
		s->stats.refused++;
		h2_drop(h2, held->ex, NGHTTP2_ENHANCE_YOUR_CALM);
	}
}

bool h2_may_send_data(const struct h2 *h2, size_t n)
{
	return !h2->is_blocked && list_empty(&h2->holding) && n <= h2_window(h2) &&
		n <= nghttp2_session_get_remote_settings(
			h2->session, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE) &&
		stream_pending(h2->c->stream) <= SOCKET_BYTES;
}

/* Whatever waits is held (keep_rest). */
void h2_go_on_waiting(struct h2 *h2)
{
	struct h2_held *held;

	if (!h2->has_waiting)
		return;
	h2->has_waiting = false;
	list_each(&h2->holding, held, at_) {
		if (!own(held->ex)->is_waiting)
			continue;
		own(held->ex)->is_waiting = false;
		nghttp2_session_resume_data(h2->session, own(held->ex)->id);
	}
	h2_mark(h2);
}

static void submit_trailer(struct h2 *h2, struct exchange *ex)
{
	struct fields f = { .flags = NGHTTP2_NV_FLAG_NONE };

	put_lines(&f, &ex->head);
	nghttp2_submit_trailer(h2->session, own(ex)->id, f.nv, f.n);
}

/* nghttp2 asks how much there is; send_data then writes it. */
static ssize_t read_data(nghttp2_session *session, int32_t id, uint8_t *buf,
			 size_t length, uint32_t *flags,
			 nghttp2_data_source *source, void *data)
{
	struct h2 *h2 = data;
	struct exchange *ex = source->ptr;
	size_t left = left_of(h2, ex), n = MIN(left, length);

	/* nghttp2 counts what is lent. */
	n = MIN(n, h2_window(h2));
	if (n == 0 && left) {
		own(ex)->is_waiting = h2->has_waiting = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (ex->source)
		n = MIN(n, ANSWER_PIECE - ex->source->at % ANSWER_PIECE);
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (n < left)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	own(ex)->is_read = true;
	own(ex)->is_end_read = own(ex)->is_ended;
	if (!own(ex)->is_ended) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	} else if (ex->takes_trailers && ex->head.n) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		submit_trailer(h2, ex);
	}
	return (ssize_t)n;
}

static nghttp2_data_provider provider_of(struct exchange *ex)
{
	return (nghttp2_data_provider){ .source.ptr = ex,
					.read_callback = read_data };
}

static void submit_data(struct h2 *h2, struct exchange *ex)
{
	nghttp2_data_provider provider = provider_of(ex);

	if (own(ex)->has_item)
		return;
	/* Whether it is the end is asked for when it goes (read_data). */
	own(ex)->has_item = nghttp2_submit_data(h2->session,
					      NGHTTP2_FLAG_END_STREAM,
					      own(ex)->id, &provider) == 0;
	h2_mark(h2);
}

static void send_payload(struct h2 *h2, const uint8_t *head, const void *p,
			 size_t n)
{
	struct conn *c = h2->c;

	if (n > COPY_BYTES) {
		out_piece(c, head, p, n);
		return;
	}
	if (head)
		out_small(c, head, FRAME_HEAD);
	if (n)
		out_small(c, p, n);
}

static void send_pieces(struct h2 *h2, const uint8_t *head, size_t n)
{
	h2->v_left -= n;
	while (n) {
		size_t k = MIN(n, h2->v[0].n - h2->v_at);

		send_payload(h2, head, (const char *)h2->v[0].p + h2->v_at, k);
		head = NULL;
		n -= k;
		h2->v_at += k;
		if (h2->v_at < h2->v[0].n)
			continue;
		h2->v++, h2->n_v--;
		h2->v_at = 0;
	}
}

static void send_held(struct h2 *h2, struct exchange *ex, const uint8_t *head,
		      size_t n)
{
	struct h2_held *held = own(ex)->held;

	send_payload(h2, head, held->bytes.p + held->at, n);
	held->at += n;
	h2->held_bytes -= n;
	if (held_of(ex)) {
		held_moves(h2, held, n);
		return;
	}
	/* Its memory is given back when it is written (h2_pump). */
	list_remove(&held->at_);
	list_append(&h2->drained, &held->at_);
}

/* From where it lies; false: it is there no more. */
static bool send_source(struct h2 *h2, struct exchange *ex, const uint8_t *head,
			size_t n)
{
	struct h2_held *held = own(ex)->held;
	struct answer_source *source = ex->source;
	struct str piece;

	if (!exchange_read(ex, &piece) || piece.n < n)
		return false;
	send_payload(h2, head, piece.p, n);
	source->at += n;
	if (source->at < source->size) {
		held_moves(h2, held, n);
		return true;
	}
	held->is_source = false;
	h2->held_bytes -= ANSWER_PIECE;
	list_remove(&held->at_);
	list_append(&h2->drained, &held->at_);
	return true;
}

static bool send_some(struct h2 *h2, struct exchange *ex, const uint8_t *head,
		      size_t n)
{
	if (n && ex->source)
		return send_source(h2, ex, head, n);
	if (n == 0)
		send_payload(h2, head, NULL, 0);
	else if (held_of(ex))
		send_held(h2, ex, head, n);
	else
		send_pieces(h2, head, n);
	return true;
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame,
		     const uint8_t *head, size_t n, nghttp2_data_source *source,
		     void *data)
{
	struct h2 *h2 = data;
	struct exchange *ex = source->ptr;

	if (stream_pending(h2->c->stream) > SOCKET_BYTES) {
		h2->is_blocked = true;
		return NGHTTP2_ERR_WOULDBLOCK;
	}
	must(frame->data.padlen == 0);
	if (!send_some(h2, ex, head, n))
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	h2->sent_bytes += n;
	h2->earned += 2;
	ex->sent += FRAME_HEAD + n;
	if (own(ex)->is_read)
		own(ex)->is_read = own(ex)->has_item = false;
	return 0;
}

/* Everything but DATA: it is bounded by what has come. */
static ssize_t send_frames(nghttp2_session *session, const uint8_t *p, size_t n,
			   int flags, void *data)
{
	struct h2 *h2 = data;

	h2_frames_sent(h2, str_n(p, n));
	out_small(h2->c, p, n);
	return (ssize_t)n;
}

static int on_sent(nghttp2_session *session, const nghttp2_frame *frame,
		   void *data)
{
	int32_t id = frame->hd.stream_id;
	struct exchange *ex;

	/* What was said between read_data and send_data. */
	if (frame->hd.type == NGHTTP2_DATA) {
		ex = nghttp2_session_get_stream_user_data(session, id);
		if (ex && (held_of(ex) ||
			   (own(ex)->is_ended && !own(ex)->is_end_read)))
			submit_data(data, ex);
	}
	/* The answer is complete and the body is not: the client may stop
	 * sending it (RFC 9113, 8.1). */
	if ((frame->hd.type == NGHTTP2_HEADERS ||
	     frame->hd.type == NGHTTP2_DATA) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
	    nghttp2_session_get_stream_remote_close(session, id) == 0)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id,
					  NGHTTP2_NO_ERROR);
	return 0;
}

/* nghttp2 makes no block of more than 64 KiB: nobody shall wait for it. */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error,
		       void *data)
{
	int32_t id = frame->hd.stream_id;

	(void)error;
	(void)data;
	if (frame->hd.type == NGHTTP2_HEADERS &&
	    nghttp2_session_get_stream_user_data(session, id))
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id,
					  NGHTTP2_INTERNAL_ERROR);
	return 0;
}

void h2_send_callbacks(nghttp2_session_callbacks *cbs)
{
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cbs, on_not_sent);
	nghttp2_session_callbacks_set_send_callback(cbs, send_frames);
	nghttp2_session_callbacks_set_send_data_callback(cbs, send_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(cbs, on_sent);
}

/* ---- when ---- */

static void run_drained(struct h2 *h2)
{
	struct list now;
	struct h2_held *held;

	/* What is said now drains later. */
	list_init(&now);
	list_insert_before(&h2->drained, &now);
	list_remove(&h2->drained);
	while ((held = list_first(&now, struct h2_held, at_))) {
		struct exchange *ex = held->ex;

		h2_held_free(&own(ex)->held);
		if (ex->on_drain && ex->state == EXCHANGE_STREAMING)
			ex->on_drain(&ex->r);
	}
}

/* nghttp2 gives out what it can; what is gathered still waits. */
static void send_session(struct h2 *h2)
{
	int rv;

	must(!h2->is_inside);
	if (h2->is_ended)
		return;
	h2->is_blocked = false;
	h2->is_inside = true;
	rv = nghttp2_session_send(h2->session);
	h2->is_inside = false;
	/* Pieces that lie elsewhere do not stay there. */
	if (h2->shared->out->n)
		h2_flush(h2->c);
	if (rv)
		h2_fail(h2, rv);
}

/* Nobody will open the windows that these wait for. */
static void drop_unsent(struct h2 *h2)
{
	struct http_server *s = h2->c->server;
	struct h2_held *held;

	list_each(&h2->holding, held, at_) {
		if (held->ex->state != EXCHANGE_DONE)
			continue;
		if (!server_may_end(s)) {
			conn_end_later(h2->c);
			return;
		}
		s->ended++;
		h2_drop(h2, held->ex, NGHTTP2_CANCEL);
	}
}

void h2_pump(struct h2 *h2)
{
	struct conn *c = h2->c;

	list_remove(&h2->dirty_);
	if (c->fsm.state == CONN_CLOSED)
		return;
	h2_let_taken_come(h2);
	send_session(h2);
	if (!c->is_corked)
		h2_flush(c);
	if (!list_empty(&h2->drained) && c->fsm.state < CONN_LAST)
		run_drained(h2);
	if (c->has_eof && !h2->is_blocked && c->fsm.state < CONN_LAST)
		drop_unsent(h2);
}

/* ---- answers ---- */

static bool is_gone(const struct exchange *ex)
{
	return own(ex)->is_closed || ex->conn->fsm.state >= CONN_LAST ||
		h2_of(ex->conn)->is_ended;
}

/* What did not go at once is kept. */
static void keep_rest(struct h2 *h2, struct exchange *ex)
{
	while (h2->v_left) {
		size_t n = h2->v[0].n - h2->v_at;

		hold(h2, ex, (const char *)h2->v[0].p + h2->v_at, n);
		h2->v_left -= n;
		h2->v++;
		h2->v_at = 0;
	}
}

void h2_answer(struct exchange *ex, const char *content_type,
	       const struct stream_vec *v, unsigned n, uint64_t length)
{
	struct h2 *h2 = h2_of(ex->conn);
	nghttp2_data_provider provider = provider_of(ex);
	bool has_data = length && !ex->is_bodiless;
	struct answer_fields fields;

	if (is_gone(ex))
		return;
	/* An end without DATA says that there is none. */
	put_answer(&fields, ex, content_type,
		   has_data || (ex->r.is_head && length) ? length : UINT64_MAX);
	own(ex)->is_ended = true;
	own(ex)->has_item = has_data;
	h2->answering = ex;
	h2->v = v;
	h2->n_v = n;
	h2->v_at = 0;
	h2->v_left = has_data && !ex->source ? length : 0;
	if (ex->source)
		hold_source(h2, ex);
	nghttp2_submit_response(h2->session, own(ex)->id, fields.fields.nv,
				fields.fields.n, has_data ? &provider : NULL);
	if (h2->is_inside)
		h2_mark(h2);
	else
		send_session(h2);
	if (!is_gone(ex))
		keep_rest(h2, ex);
	h2->v_left = 0;
	h2->answering = NULL;
	if (!h2->c->is_corked && !h2->is_inside)
		h2_mark(h2);
}

static void begin(struct exchange *ex, const char *content_type)
{
	struct h2 *h2 = h2_of(ex->conn);
	struct answer_fields fields;

	if (is_gone(ex))
		return;
	h2_end_by_eof(ex);
	ex->takes_trailers = true;
	put_answer(&fields, ex, content_type, UINT64_MAX);
	h2->answering = ex;
	nghttp2_submit_headers(h2->session, ex->is_bodiless ?
			       NGHTTP2_FLAG_END_STREAM : NGHTTP2_FLAG_NONE,
			       own(ex)->id, NULL, fields.fields.nv,
			       fields.fields.n, NULL);
	own(ex)->is_ended = ex->is_bodiless;
	if (!h2->is_inside)
		send_session(h2);
	h2->answering = NULL;
	buf_fini(&ex->head);
	h2_mark(h2);
}

void h2_begin(struct exchange *ex, const char *content_type)
{
	begin(ex, content_type);
}

/* RFC 8441, 5: a tunnel is opened by 200. */
void h2_upgrade(struct exchange *ex, const char *name)
{
	(void)name;
	begin(ex, NULL);
}

/* Nothing was said before that has not gone. */
static bool may_go_now(const struct h2 *h2, const struct exchange *ex)
{
	return !h2->is_inside && !h2->is_blocked && !own(ex)->has_item && !own(ex)->held;
}

/* From where it lies to what is gathered: a change that many streams are told of is
 * neither kept nor looked up again for each of them. */
static void go_now(struct h2 *h2, struct exchange *ex, struct str bytes)
{
	const struct stream_vec v = { bytes.p, bytes.n };

	h2->answering = ex;
	h2->v = &v;
	h2->n_v = 1;
	h2->v_at = 0;
	h2->v_left = bytes.n;
	submit_data(h2, ex);
	send_session(h2);
	if (!is_gone(ex))
		keep_rest(h2, ex);
	h2->v_left = 0;
	h2->answering = NULL;
}

void h2_chunk(struct exchange *ex, struct str bytes)
{
	struct h2 *h2 = h2_of(ex->conn);

	if (is_gone(ex))
		return;
	if (may_go_now(h2, ex)) {
		go_now(h2, ex, bytes);
		return;
	}
	hold(h2, ex, bytes.p, bytes.n);
	submit_data(h2, ex);
}

void h2_end(struct exchange *ex)
{
	struct h2 *h2 = h2_of(ex->conn);

	if (is_gone(ex) || own(ex)->is_ended)
		return;
	own(ex)->is_ended = true;
	if (!own(ex)->has_item && ex->head.n)
		submit_trailer(h2, ex);
	else
		submit_data(h2, ex);
	h2_mark(h2);
}

/* Many streams that hold little are much.  One that holds nothing may say something
 * all the same, as what drains is what was held. */
size_t h2_pending(const struct exchange *ex)
{
	const struct h2 *h2 = h2_of(ex->conn);
	size_t held = held_of(ex);

	if (held && h2->held_bytes > h2->c->server->config.limits.pending_bytes)
		return h2->held_bytes;
	return held;
}

void h2_continue(struct exchange *ex)
{
	struct h2 *h2 = h2_of(ex->conn);
	nghttp2_nv nv = {
		.name = (uint8_t *)":status", .namelen = 7,
		.value = (uint8_t *)"100", .valuelen = 3,
	};

	nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, own(ex)->id, NULL,
			       &nv, 1, NULL);
	h2_mark(h2);
}
