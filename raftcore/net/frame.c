/*
 * Frames and control messages.  A frame that has come whole is used where it
 * lies; only one that is cut by the end of a read is put together in 'part'.
 */
#include "net/frame.h"

#include "wire/sum.h"

#include "base/banned.h"

/* A buffer that grew beyond this for one frame gives its memory back. */
#define KEEP_BYTES (64u * 1024)
#define REFUSAL_TEXT_MAX 300u

/* ---- frames ---- */

static void put_u32(unsigned char *at, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (unsigned char)(v >> 8 * i);
}

static uint32_t get_u32(const char *p)
{
	struct rd r = rd_of(str_n(p, 4));

	return rd_u32(&r);
}

/* Of length, version and channel, and content. */
static uint32_t sum_of(const void *head, struct str content)
{
	return crc32c(crc32c(0, head, 5), content.p, content.n);
}

void frame_head(unsigned char out[FRAME_HEAD], unsigned channel,
		struct str content)
{
	must(channel < NET__CHANNELS && content.n <= UINT32_MAX);
	put_u32(out, (uint32_t)content.n);
	out[4] = (unsigned char)(FRAME_VERSION_MOST << 4 | channel);
	put_u32(out + 5, sum_of(out, content));
}

void frame_add(struct buf *out, unsigned channel, struct str content)
{
	unsigned char head[FRAME_HEAD];

	frame_head(head, channel, content);
	buf_add(out, head, sizeof(head));
	buf_str(out, content);
}

void frames_fini(struct frames *f)
{
	buf_fini(&f->part);
}

static enum frame_step bad(struct frames *f, struct err *err, const char *what)
{
	f->is_bad = true;
	err_set(err, E_INVALID, "%s", what);
	return FRAME_BAD;
}

/*
 * The next 'n' bytes in one piece, or NULL when they have not all come; then
 * all that came is kept.  They stay the next ones.
 */
static const char *peek(struct frames *f, struct str *in, size_t n)
{
	size_t take;

	if (f->part.n == 0 && in->n >= n)
		return in->p;
	take = f->part.n < n ? MIN(n - f->part.n, in->n) : 0;
	buf_add(&f->part, in->p, take);
	*in = str_from(*in, take);
	return f->part.n >= n ? f->part.p : NULL;
}

/* Passes over the 'n' bytes that peek has answered, which stay readable. */
static void pass(struct frames *f, struct str *in, size_t n)
{
	if (f->part.n)
		f->is_used = true;
	else
		*in = str_from(*in, n);
}

static void reuse(struct frames *f)
{
	if (!f->is_used)
		return;
	f->is_used = false;
	if (f->part.cap > KEEP_BYTES)
		buf_fini(&f->part);
	else
		buf_reset(&f->part);
}

/* FRAME_ONE: the magic is there, and it is ours. */
static enum frame_step expect_magic(struct frames *f, struct str *in,
				    struct err *err)
{
	const struct str magic = FRAME_MAGIC;
	const char *p;

	/* The first byte that differs is enough: a peer of another make may
	 * wait for our answer to less than eight. */
	if (!str_starts(str_from(magic, f->part.n),
			str_first(*in, magic.n - f->part.n)))
		return bad(f, err,
			   "the other side is no node of Conflux, or one "
			   "speaks TLS and the other does not");
	p = peek(f, in, magic.n);
	if (!p)
		return FRAME_MORE;
	pass(f, in, magic.n);
	reuse(f);
	f->has_magic = true;
	return FRAME_ONE;
}

static const char *head_error(const char *head, size_t max)
{
	unsigned tag = (unsigned char)head[4];

	if (get_u32(head) > max)
		return "a frame is larger than what is allowed";
	if (tag >> 4 != FRAME_VERSION_MOST)
		return "a frame is of another version";
	if ((tag & 15) >= NET__CHANNELS)
		return "a frame is of no channel";
	return NULL;
}

enum frame_step frames_next(struct frames *f, size_t max, struct str *in,
			    struct frame *out, struct err *err)
{
	const char *p, *wrong;
	size_t n;

	if (f->is_bad)
		return bad(f, err, "the stream of frames has ended");
	reuse(f);
	if (!f->has_magic) {
		enum frame_step step = expect_magic(f, in, err);

		if (step != FRAME_ONE)
			return step;
	}
	p = peek(f, in, FRAME_HEAD);
	if (!p)
		return FRAME_MORE;
	wrong = head_error(p, max);
	if (wrong)
		return bad(f, err, wrong);
	n = get_u32(p);
	p = peek(f, in, FRAME_HEAD + n);
	if (!p)
		return FRAME_MORE;
	out->channel = p[4] & 15;
	out->content = str_n(p + FRAME_HEAD, n);
	if (sum_of(p, out->content) != get_u32(p + 5))
		return bad(f, err, "a frame is damaged: its checksum differs");
	pass(f, in, FRAME_HEAD + n);
	return FRAME_ONE;
}

/* ---- what nodes say ---- */

static void wr_uuid(struct buf *b, const struct uuid *id)
{
	wr_raw(b, id->b, sizeof(id->b));
}

static void rd_uuid(struct rd *r, struct uuid *id)
{
	struct str s = rd_raw(r, sizeof(id->b));

	if (s.n == sizeof(id->b))
		memcpy(id->b, s.p, sizeof(id->b));
}

/* A field that came later: nodes of before do not say it. */
static void rd_more_uuid(struct rd *r, struct uuid *id)
{
	if (rd_left(r))
		rd_uuid(r, id);
}

static void encode_hello(struct buf *b, const struct hello *h)
{
	wr_u16(b, h->least);
	wr_u16(b, h->most);
	wr_uuid(b, &h->cluster);
	wr_u64(b, h->from);
	wr_u64(b, h->to);
	wr_u8(b, h->channel);
	wr_u64(b, h->boot);
	wr_u64(b, h->serial);
	wr_u32(b, h->ping_ms);
	wr_uuid(b, &h->incarnation);
}

static void decode_hello(struct rd *r, struct hello *h)
{
	h->least = rd_u16(r);
	h->most = rd_u16(r);
	rd_uuid(r, &h->cluster);
	h->from = rd_u64(r);
	h->to = rd_u64(r);
	h->channel = rd_u8(r);
	h->boot = rd_u64(r);
	h->serial = rd_u64(r);
	h->ping_ms = rd_u32(r);
	rd_more_uuid(r, &h->incarnation);
}

static void encode(struct buf *b, const struct control *c)
{
	wr_u8(b, (uint8_t)c->type);
	switch (c->type) {
	case CONTROL_HELLO:
		encode_hello(b, &c->hello);
		break;
	case CONTROL_WELCOME:
		wr_u16(b, c->welcome.version);
		wr_uuid(b, &c->welcome.cluster);
		wr_u64(b, c->welcome.from);
		wr_u32(b, c->welcome.frame_bytes_max);
		wr_uuid(b, &c->welcome.incarnation);
		break;
	case CONTROL_REFUSAL:
		wr_u8(b, c->refusal.reason);
		wr_str(b, str_first(c->refusal.text, REFUSAL_TEXT_MAX));
		break;
	case CONTROL_PING:
	case CONTROL_PONG:
		wr_u64(b, c->stamp);
		break;
	case CONTROL_ASK:
		wr_u64(b, c->ask.from);
		wr_uuid(b, &c->ask.incarnation);
		break;
	case CONTROL_ANSWER:
		wr_u64(b, c->ask.from);
		wr_str(b, c->ask.body);
		break;
	}
}

void control_add(struct buf *out, const struct control *c)
{
	AUTO_BUF content = BUF_NONE;

	encode(&content, c);
	frame_add(out, FRAME_CONTROL, buf_view(&content));
}

enum code control_decode(struct str content, struct control *out,
			 struct err *err)
{
	struct rd r = rd_of(content);

	memset(out, 0, sizeof(*out));
	out->type = rd_u8(&r);
	switch (out->type) {
	case CONTROL_HELLO:
		decode_hello(&r, &out->hello);
		break;
	case CONTROL_WELCOME:
		out->welcome.version = rd_u16(&r);
		rd_uuid(&r, &out->welcome.cluster);
		out->welcome.from = rd_u64(&r);
		out->welcome.frame_bytes_max = rd_u32(&r);
		rd_more_uuid(&r, &out->welcome.incarnation);
		break;
	case CONTROL_REFUSAL:
		out->refusal.reason = rd_u8(&r);
		out->refusal.text = rd_str(&r);
		if (out->refusal.text.n > REFUSAL_TEXT_MAX)
			r.bad = true;
		break;
	case CONTROL_PING:
	case CONTROL_PONG:
		out->stamp = rd_u64(&r);
		if (rd_left(&r))
			r.bad = true;
		break;
	case CONTROL_ASK:
		out->ask.from = rd_u64(&r);
		rd_uuid(&r, &out->ask.incarnation);
		break;
	case CONTROL_ANSWER:
		out->ask.from = rd_u64(&r);
		out->ask.body = rd_str(&r);
		break;
	default:
		r.bad = true;
	}
	if (r.bad)
		return err_set(err, E_INVALID, "a control message is malformed");
	return OK;
}
