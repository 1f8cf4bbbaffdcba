/*
 * Requests over HTTP/2 that come again: see h2_repeat.h.
 *
 * A header block that adds nothing to the decoder's table means the same as long as no
 * other has added something: so a request is known by its bytes, as over HTTP/1.1, and
 * the block of its answer can be sent once more.  Date and trace alone are written anew,
 * as literals, which no table learns of.  nghttp2 hears neither of such a stream; what
 * a client still says to it is taken off here, and its number is told where GOAWAY
 * names the last one.
 *
 * One with a body is kept as for HTTP/1.1 (memo.c), too.  A small one goes behind its
 * block where the client's windows take all of it, and what that takes of the
 * connection's is borrowed (h2_window).  Else it is given through nghttp2: what its
 * handler and those before it would do is spared.
 */
#include "http/server/h2_repeat.h"

#include "base/mem.h"
#include "http/server/h2.h"
#include "http/server/memo.h"
#include "http/wire/hpack.h"

#include "base/banned.h"

#define BLOCK_MAX 2048u
/* One frame, also where nothing larger is allowed (RFC 9113, 6.5.2). */
#define BODY_MAX 16384u
/* nghttp2 gets so many at once, before what came is handled. */
#define SLICE_BYTES 4096u
#define TRACE_BYTES (REQUEST_TRACE_TEXT - 1)
/* Of the fields of such an answer, as put_answer (h2_send.c) says them; the trace comes
 * behind what is said of a body. */
#define FIELD_DATE 1u
#define FIELD_TRACE 2u
/* RFC 7541, 6.2.2: the name is entry 33 of the static table, the value plain text. */
#define DATE_FIELD "\x0f\x12\x1d"
#define TRACE_FIELD "\x10\x0fx-conflux-trace\x20"

struct h2_repeat {
	uint32_t theirs;                 /* as the client's table stood then */
	/* The streams that asked it last, one after another; what they were answered, where
	 * that has a body, is the connection's memo. */
	int32_t first, asking;
	/* The answer: of a stream that has yet to be sent, or as it was sent. */
	const struct route *route;
	int status;
	int32_t wanted;                  /* 0: none */
	size_t n_body;                   /* of the memo's pieces */
	unsigned field_trace;
	uint32_t ours;
	struct buf frame;                /* empty: there is none */
	size_t date_at, trace_at;
	size_t n_about, n_block;
	_Alignas(16) char about[ANSWER_ABOUT];
	char block[];
};

/* ---- frames ---- */

struct head {
	size_t length;
	uint8_t type, flags;
	int32_t id;
};

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
		p[3];
}

static void put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* RFC 9113, 4.1 */
static struct head head_of(const void *bytes)
{
	const uint8_t *p = bytes;

	return (struct head){ .length = get_u32(p) >> 8, .type = p[3],
			      .flags = p[4],
			      .id = (int32_t)(get_u32(p + 5) & INT32_MAX) };
}

/* Its payload is a whole header block and nothing else. */
static bool is_block(const struct head *hd)
{
	return hd->type == NGHTTP2_HEADERS &&
		(hd->flags & ~NGHTTP2_FLAG_END_STREAM) ==
			NGHTTP2_FLAG_END_HEADERS;
}

int32_t h2_last_stream(const struct h2 *h2)
{
	return MAX(nghttp2_session_get_last_proc_stream_id(h2->session),
		   h2->frames.given);
}

/* ---- what is asked ---- */

static void forget(struct h2_frames *f)
{
	struct h2_repeat *r = TAKE(f->repeat);

	memo_free(&container_of(f, struct h2, frames)->c->memo);
	if (r)
		buf_fini(&r->frame);
	free(r);
}

void h2_frames_fini(struct h2_frames *f)
{
	forget(f);
}

static bool is_same(const struct h2_frames *f, struct str block)
{
	const struct h2_repeat *r = f->repeat;

	return r && r->theirs == f->theirs && r->n_block == block.n &&
		memcmp(r->block, block.p, block.n) == 0;
}

/* A whole request that leaves the table as it is.  A connection that asks again mostly
 * asks the same; that of a watcher does not, and keeps nothing. */
static void note_request(struct h2_frames *f, int32_t id, int32_t before,
			 struct str block)
{
	struct h2_repeat *r = f->repeat;
	bool had_asked = f->has_asked;

	f->has_asked = true;
	if (!is_same(f, block)) {
		forget(f);
		if (!had_asked || block.n > BLOCK_MAX)
			return;
		r = f->repeat = mem_zero(sizeof(*r) + block.n);
		r->theirs = f->theirs;
		r->n_block = block.n;
		memcpy(r->block, block.p, block.n);
	}
	if (before != r->asking)
		r->first = id;
	r->asking = id;
}

/* nghttp2 gets it; 'payload' is what is there of it. */
static void note(struct h2_frames *f, const struct head *hd, struct str payload)
{
	int32_t before = f->passed;
	bool is_new = hd->id > before;

	if (hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_CONTINUATION)
		f->is_in_block = !(hd->flags & NGHTTP2_FLAG_END_HEADERS);
	if (hd->type != NGHTTP2_HEADERS)
		return;
	f->passed = MAX(f->passed, hd->id);
	/* What CONTINUATION adds is counted here. */
	if (!is_block(hd) || payload.n < hd->length || !hpack_is_pure(payload))
		f->theirs++;
	else if (is_new && hd->flags & NGHTTP2_FLAG_END_STREAM)
		note_request(f, hd->id, before, payload);
}

/* ---- what is answered ---- */

/* One that means the same still. */
static bool has_frame(const struct h2_frames *f)
{
	return f->repeat && f->repeat->frame.n && f->repeat->ours == f->ours;
}

bool h2_frames_give(struct exchange *ex)
{
	struct h2_repeat *r = h2_of(ex->conn)->frames.repeat;

	if (!r || own(ex)->id < r->first || own(ex)->id > r->asking)
		return false;
	/* Its block may be the first that can be sent once more. */
	if (r->n_body && own(ex)->id == r->asking && !has_frame(&h2_of(ex->conn)->frames))
		r->wanted = own(ex)->id;
	return memo_give(ex);
}

void h2_frames_handle(struct exchange *ex)
{
	struct h2_repeat *r = h2_of(ex->conn)->frames.repeat;

	if (!r || r->asking != own(ex)->id)
		return;
	ex->conn->repeated = ex;
	ex->conn->about = STR_NONE;      /* of one around it, it may be */
	/* Another one, or none any more. */
	r->wanted = 0;
	r->n_body = 0;
	buf_fini(&r->frame);
}

void h2_frames_handled(struct conn *c)
{
	c->repeated = NULL;
	c->about = STR_NONE;
}

void h2_frames_keep(struct exchange *ex, const char *content_type, uint64_t length)
{
	struct conn *c = ex->conn;
	struct h2_repeat *r = h2_of(c)->frames.repeat;

	if (c->repeated != ex || !r || r->asking != own(ex)->id || length > BODY_MAX ||
	    (length == 0 && content_type) || ex->is_bodiless != !length)
		return;
	r->n_body = length;
	r->field_trace = FIELD_TRACE + !!content_type + !!length;
	r->route = ex->r.route;
	r->status = ex->status;
	r->n_about = c->about.n;
	memcpy(r->about, c->about.p, c->about.n);
	r->wanted = own(ex)->id;
}

/* The frame of that block, with date and trace that can be written over. */
static void make_frame(struct h2_repeat *r, struct str block)
{
	struct buf *out = &r->frame;
	struct hpack_field field;

	memset(buf_extend(out, H2_FRAME_HEAD), 0, H2_FRAME_HEAD);
	for (unsigned i = 0; hpack_next(&block, &field); i++) {
		if (i == FIELD_DATE) {
			buf_add(out, DATE_FIELD, sizeof(DATE_FIELD) - 1);
			r->date_at = out->n;
			buf_extend(out, HTTP_DATE_BYTES);
		} else if (i == r->field_trace) {
			buf_add(out, TRACE_FIELD, sizeof(TRACE_FIELD) - 1);
			r->trace_at = out->n;
			buf_extend(out, TRACE_BYTES);
		} else {
			buf_str(out, field.bytes);
		}
	}
	put_u32((uint8_t *)out->p, (uint32_t)(out->n - H2_FRAME_HEAD) << 8);
	out->p[3] = NGHTTP2_HEADERS;
	out->p[4] = NGHTTP2_FLAG_END_HEADERS |
		(r->n_body ? 0 : NGHTTP2_FLAG_END_STREAM);
}

void h2_frames_sent(struct h2 *h2, struct str frame)
{
	struct h2_repeat *r = h2->frames.repeat;
	struct str block = str_from(frame, H2_FRAME_HEAD);
	struct head hd;

	if (frame.n < H2_FRAME_HEAD)
		return;
	hd = head_of(frame.p);
	if (hd.type != NGHTTP2_HEADERS)
		return;
	if (!is_block(&hd) || hd.length != block.n || !hpack_is_pure(block)) {
		h2->frames.ours++;
		return;
	}
	if (!r || r->wanted != hd.id ||
	    !(hd.flags & NGHTTP2_FLAG_END_STREAM) != (r->n_body > 0))
		return;
	r->wanted = 0;
	buf_fini(&r->frame);
	r->ours = h2->frames.ours;
	make_frame(r, block);
	stream_near(h2->c->stream, 2, r, sizeof(*r) + r->n_block);
	stream_near(h2->c->stream, 3, r->frame.p, r->frame.n);
}

/* Nothing waits that came before, or is about to end. */
static bool may_give(const struct h2 *h2)
{
	const struct h2_repeat *r = h2->frames.repeat;

	return has_frame(&h2->frames) && h2->c->server->config.again && h2->drain == H2_SERVES &&
		!h2->is_terminated && list_empty(&h2->deferred) &&
		h2_has_place(h2) &&
		(r->n_body == 0 || h2_may_send_data(h2, r->n_body));
}

static void send_body(struct h2 *h2, size_t n, int32_t id)
{
	const struct memo *m = h2->c->memo;
	uint8_t head[H2_FRAME_HEAD] = { 0 };

	put_u32(head, (uint32_t)n << 8);
	head[3] = NGHTTP2_DATA;
	head[4] = NGHTTP2_FLAG_END_STREAM;
	put_u32(head + 5, (uint32_t)id);
	h2_send_bytes(h2, str_n(head, sizeof(head)));
	for (unsigned i = 0; i < m->n_pieces; i++)
		h2_send_bytes(h2, str_n(m->pieces[i].p, m->pieces[i].n));
	h2->borrowed += (uint32_t)n;
	h2->sent_bytes += n;
	h2->earned += 2;
}

static void send_again(struct h2 *h2, struct h2_repeat *r, const struct request *q,
		       int32_t id)
{
	char trace[REQUEST_TRACE_TEXT];

	request_trace(q, trace);
	memcpy(r->frame.p + r->trace_at, trace, TRACE_BYTES);
	memcpy(r->frame.p + r->date_at, server_date(h2->c->server),
	       HTTP_DATE_BYTES);
	put_u32((uint8_t *)r->frame.p + 5, (uint32_t)id);
	h2_send_bytes(h2, buf_view(&r->frame));
	if (r->n_body)
		send_body(h2, r->n_body, id);
}

/* False: nothing was done. */
static bool give(struct h2 *h2, int32_t id)
{
	struct conn *c = h2->c;
	struct http_server *s = c->server;
	struct h2_repeat *repeat = h2->frames.repeat;
	struct request r = { 0 };

	request_init(c, &r);
	r.method = HTTP_M_GET;
	r.route = repeat->route;
	if (!s->config.again(&r, repeat->about))
		return false;
	c->asked++;
	conn_spend(c, 1);
	h2->earned += 4;
	h2->frames.given = id;
	s->stats.requests++;
	s->stats.by_class[repeat->status / 100 % 6]++;
	send_again(h2, repeat, &r, id);
	if (s->config.after)
		s->config.after(&r, repeat->status,
				repeat->n_body ? H2_FRAME_HEAD + repeat->n_body : 0);
	if (s->config.end)
		s->config.end(&r);
	return true;
}

/* ---- what comes ---- */

/* A stream that nghttp2 does not know, and that is over. */
static bool is_to_given(const struct h2_frames *f, const struct head *hd)
{
	return hd->id > f->passed && hd->id <= f->given;
}

/* Nothing that may be said to it means anything any more (RFC 9113, 5.1). */
static bool is_void(const struct head *hd)
{
	return (hd->type == NGHTTP2_RST_STREAM && hd->length == 4) ||
		(hd->type == NGHTTP2_WINDOW_UPDATE && hd->length == 4) ||
		(hd->type == NGHTTP2_PRIORITY && hd->length == 5);
}

static bool is_asked_again(const struct h2 *h2, const struct head *hd,
			   struct str payload)
{
	const struct h2_frames *f = &h2->frames;

	return is_block(hd) && hd->flags & NGHTTP2_FLAG_END_STREAM &&
		hd->id % 2 == 1 && hd->id > f->passed && hd->id > f->given &&
		payload.n == hd->length && is_same(f, payload) && may_give(h2);
}

/* It opens the connection's window, of which something is borrowed. */
static bool is_payment(const struct h2 *h2, const struct head *hd)
{
	return h2->borrowed && hd->type == NGHTTP2_WINDOW_UPDATE && hd->id == 0 &&
		hd->length == 4 && !h2->frames.is_in_block;
}

/*
 * The whole frame is in f->head; answers what nghttp2 gets of it.  The same windows are
 * too large with and without what is borrowed, and one of 0 is an error of its own.
 */
static struct str take_payment(struct h2 *h2)
{
	struct h2_frames *f = &h2->frames;
	uint8_t *p = f->head + H2_FRAME_HEAD;
	uint32_t opens = get_u32(p) & INT32_MAX, pays = MIN(opens, h2->borrowed);

	h2->borrowed -= pays;
	if (pays)
		h2_go_on_waiting(h2);
	if (pays && pays == opens) {
		h2_pay_control(h2);
		return STR_NONE;
	}
	put_u32(p, opens - pays);
	return str_n(f->head, sizeof(f->head));
}

enum verdict { PASS, SKIP, END };

/* Of a frame at whose begin nghttp2 stands too.  Here it may be answered. */
static enum verdict judge(struct h2 *h2, const struct head *hd, struct str payload)
{
	const struct h2_frames *f = &h2->frames;

	if (is_to_given(f, hd)) {
		if (is_void(hd)) {
			h2_pay_control(h2);
			return SKIP;
		}
		return hd->type == NGHTTP2_HEADERS ||
			hd->type == NGHTTP2_DATA ? END : PASS;
	}
	return is_asked_again(h2, hd, payload) && give(h2, hd->id) ? SKIP : PASS;
}

/* nghttp2 gets what is before it first. */
static bool is_plain(const struct h2 *h2, const struct head *hd, struct str payload)
{
	return !is_to_given(&h2->frames, hd) && !is_payment(h2, hd) &&
		!is_asked_again(h2, hd, payload);
}

static void skip(struct h2_frames *f, struct str *in)
{
	size_t n = MIN(f->skip_left, in->n);

	*in = str_from(*in, n);
	f->skip_left -= n;
}

/* So many bytes of the frame are in f->head now. */
static bool fill_head(struct h2_frames *f, struct str *in, size_t wanted)
{
	size_t n = f->n_head < wanted ? MIN(wanted - f->n_head, in->n) : 0;

	memcpy(f->head + f->n_head, in->p, n);
	f->n_head += (uint8_t)n;
	*in = str_from(*in, n);
	return f->n_head >= wanted;
}

/* A frame begins at the front of '*in', behind what is in f->head of it. */
static struct str begin_frame(struct h2 *h2, struct str *in)
{
	struct h2_frames *f = &h2->frames;
	struct str payload;
	struct head hd;

	if (!fill_head(f, in, H2_FRAME_HEAD))
		return STR_NONE;
	hd = head_of(f->head);
	if (is_payment(h2, &hd)) {
		if (!fill_head(f, in, sizeof(f->head)))
			return STR_NONE;
		f->n_head = 0;
		return take_payment(h2);
	}
	f->n_head = 0;
	payload = str_first(*in, hd.length);
	switch (judge(h2, &hd, payload)) {
	case SKIP:
		f->skip_left = hd.length;
		skip(f, in);
		return STR_NONE;
	case END:
		h2_terminate(h2, NGHTTP2_STREAM_CLOSED);
		f->skip_left = SIZE_MAX;
		skip(f, in);
		return STR_NONE;
	case PASS:
		break;
	}
	note(f, &hd, payload);
	f->pass_left = hd.length;
	return str_n(f->head, H2_FRAME_HEAD);
}

/* Whole heads that are nghttp2's, and what it gets of their frames. */
static size_t count_plain(struct h2 *h2, struct str in)
{
	struct h2_frames *f = &h2->frames;
	size_t n = 0, most = MIN(in.n, SLICE_BYTES);
	struct str payload;
	struct head hd;

	for (;;) {
		size_t k = MIN(f->pass_left, most - n);

		n += k;
		f->pass_left -= k;
		if (f->pass_left || most - n < H2_FRAME_HEAD)
			return n;
		hd = head_of(in.p + n);
		payload = str_first(str_from(in, n + H2_FRAME_HEAD), hd.length);
		if (!is_plain(h2, &hd, payload))
			return n;
		note(f, &hd, payload);
		f->pass_left = H2_FRAME_HEAD + hd.length;
	}
}

struct str h2_frames_next(struct h2 *h2, struct str *in)
{
	struct h2_frames *f = &h2->frames;
	struct str plain;

	skip(f, in);
	if (f->skip_left || in->n == 0)
		return STR_NONE;
	if (f->n_head)
		return begin_frame(h2, in);
	plain = str_first(*in, count_plain(h2, *in));
	if (plain.n == 0)
		return begin_frame(h2, in);
	*in = str_from(*in, plain.n);
	return plain;
}
