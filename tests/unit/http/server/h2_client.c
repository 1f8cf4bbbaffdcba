/* See h2_client.h. */
#include "h2_client.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

#include "base/banned.h"

#define CONNS_MAX 4
#define STREAMS_MAX 4096

struct heard_stream {
	unsigned id;
	bool is_ended;
	struct buf text;
};

static struct heard {
	int fd;                          /* 0: free */
	struct buf in;
	size_t taken;                    /* of 'in': the frame that was heard */
	nghttp2_hd_inflater *inflater;
	struct heard_stream *streams;
	unsigned n;
	uint32_t goaway;
} heards[CONNS_MAX];

static struct heard *heard_of(int fd)
{
	for (int i = 0; i < CONNS_MAX; i++)
		if (heards[i].fd == fd)
			return &heards[i];
	ck_abort_msg("no such connection");
	return NULL;
}

static struct heard_stream *stream_of(struct heard *h, unsigned id)
{
	for (unsigned i = h->n; i-- > 0;)
		if (h->streams[i].id == id)
			return &h->streams[i];
	ck_assert_uint_lt(h->n, STREAMS_MAX);
	h->streams[h->n].id = id;
	return &h->streams[h->n++];
}

int h2_new(void)
{
	struct heard *h = heard_of(0);
	int fd = client_new();

	h->fd = fd;
	h->goaway = UINT32_MAX;
	h->streams = mem_zero(STREAMS_MAX * sizeof(*h->streams));
	ck_assert_int_eq(nghttp2_hd_inflate_new(&h->inflater), 0);
	client_say(fd, PREFACE);
	h2_say(fd, T_SETTINGS, 0, 0, NULL, 0);
	return fd;
}

void h2_close(int fd)
{
	struct heard *h = heard_of(fd);

	nghttp2_hd_inflate_del(h->inflater);
	for (unsigned i = 0; i < h->n; i++)
		buf_fini(&h->streams[i].text);
	free(h->streams);
	buf_fini(&h->in);
	*h = (struct heard){ 0 };
	client_close(fd);
}

/* ---- what is said ---- */

static void put_u32(struct buf *out, uint32_t v)
{
	const uint8_t p[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16),
			       (uint8_t)(v >> 8), (uint8_t)v };

	buf_add(out, p, 4);
}

void h2_frame_put(struct buf *out, unsigned type, unsigned flags, unsigned id,
		  const void *p, size_t n)
{
	const uint8_t head[5] = { (uint8_t)(n >> 16), (uint8_t)(n >> 8),
				  (uint8_t)n, (uint8_t)type, (uint8_t)flags };

	buf_add(out, head, 5);
	put_u32(out, id);
	buf_add(out, p, n);
}

void h2_say(int fd, unsigned type, unsigned flags, unsigned id, const void *p,
	    size_t n)
{
	AUTO_BUF out = BUF_NONE;

	h2_frame_put(&out, type, flags, id, p, n);
	client_say_n(fd, out.p, out.n);
}

/* RFC 7541, 5.1 with a prefix of seven bits. */
static void put_length(struct buf *block, size_t n)
{
	if (n < 127) {
		buf_c(block, (char)n);
		return;
	}
	buf_c(block, 127);
	for (n -= 127; n >= 128; n /= 128)
		buf_c(block, (char)(n % 128 + 128));
	buf_c(block, (char)n);
}

void h2_field(struct buf *block, const char *name, const char *value)
{
	buf_c(block, 0);
	put_length(block, strlen(name));
	buf_z(block, name);
	put_length(block, strlen(value));
	buf_z(block, value);
}

void h2_fields(struct buf *block, const char *method, const char *path)
{
	h2_field(block, ":method", method);
	h2_field(block, ":path", path);
	h2_field(block, ":scheme", "http");
	h2_field(block, ":authority", "h");
}

void h2_ask_with(int fd, unsigned id, const char *method, const char *path,
		 const char *name, const char *value, bool last)
{
	AUTO_BUF block = BUF_NONE;

	h2_fields(&block, method, path);
	if (name)
		h2_field(&block, name, value);
	h2_say(fd, T_HEADERS, F_END_HEADERS | (last ? F_END_STREAM : 0), id,
	       block.p, block.n);
}

void h2_ask(int fd, unsigned id, const char *method, const char *path, bool last)
{
	h2_ask_with(fd, id, method, path, NULL, NULL, last);
}

void h2_data(int fd, unsigned id, const char *text, bool last)
{
	h2_say(fd, T_DATA, last ? F_END_STREAM : 0, id, text, strlen(text));
}

void h2_window(int fd, unsigned id, uint32_t increment)
{
	AUTO_BUF p = BUF_NONE;

	put_u32(&p, increment);
	h2_say(fd, T_WINDOW, 0, id, p.p, p.n);
}

void h2_setting(int fd, unsigned what, uint32_t value)
{
	AUTO_BUF p = BUF_NONE;

	buf_c(&p, 0);
	buf_c(&p, (char)what);
	put_u32(&p, value);
	h2_say(fd, T_SETTINGS, 0, 0, p.p, p.n);
}

/* ---- what is heard ---- */

void h2_table(int fd, uint32_t bytes)
{
	struct h2_frame f;

	h2_setting(fd, 1, bytes);
	do
		f = h2_wait(fd, T_SETTINGS, 0);
	while (!(f.flags & F_ACK));
	ck_assert_int_eq(nghttp2_hd_inflate_change_table_size(
				 heard_of(fd)->inflater, bytes), 0);
}

static uint32_t get_u32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 |
		u[3];
}

static bool fill(struct heard *h, size_t want)
{
	while (h->in.n < want) {
		ssize_t k = recv(h->fd, buf_extend(&h->in, 65536), 65536, 0);

		buf_cut(&h->in, h->in.n - 65536 + (k > 0 ? (size_t)k : 0));
		if (k == 0 || (k < 0 && errno == ECONNRESET))
			return false;
		ck_assert_msg(k > 0, "nothing more is heard: %s",
			      strerror(errno));
	}
	return true;
}

static void take_block(struct heard *h, struct heard_stream *s,
		       const struct h2_frame *f)
{
	const uint8_t *p = (const uint8_t *)f->p;
	size_t n = f->n;
	nghttp2_nv nv;
	int flags = 0;

	ck_assert_uint_ne(f->flags & F_END_HEADERS, 0);
	while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
		ssize_t k = nghttp2_hd_inflate_hd2(h->inflater, &nv, &flags, p, n,
						   1);

		ck_assert_int_ge(k, 0);
		p += k;
		n -= (size_t)k;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			buf_printf(&s->text, "%.*s: %.*s\n", (int)nv.namelen,
				   (char *)nv.name, (int)nv.valuelen,
				   (char *)nv.value);
	}
	nghttp2_hd_inflate_end_headers(h->inflater);
	buf_c(&s->text, '\n');
}

static void take_frame(struct heard *h, struct h2_frame *f)
{
	struct heard_stream *s = f->id ? stream_of(h, f->id) : NULL;

	switch (f->type) {
	case T_HEADERS:
		take_block(h, s, f);
		break;
	case T_DATA:
		buf_add(&s->text, f->p, f->n);
		break;
	case T_RST:
		f->code = get_u32(f->p);
		buf_printf(&s->text, "reset %u", f->code);
		s->is_ended = true;
		break;
	case T_GOAWAY:
		h->goaway = f->code = get_u32(f->p + 4);
		break;
	case T_WINDOW:
		f->code = get_u32(f->p);
		break;
	}
	if ((f->type == T_HEADERS || f->type == T_DATA) &&
	    (f->flags & F_END_STREAM))
		s->is_ended = true;
}

bool h2_hear(int fd, struct h2_frame *f)
{
	struct heard *h = heard_of(fd);
	const unsigned char *u;
	size_t n;

	buf_drop(&h->in, h->taken);
	h->taken = 0;
	if (!fill(h, 9))
		return false;
	u = (const unsigned char *)h->in.p;
	n = (size_t)u[0] << 16 | (size_t)u[1] << 8 | u[2];
	if (!fill(h, 9 + n))
		return false;
	u = (const unsigned char *)h->in.p;
	*f = (struct h2_frame){ .type = u[3], .flags = u[4],
				.id = get_u32(h->in.p + 5), .p = h->in.p + 9,
				.n = n };
	h->taken = 9 + n;
	take_frame(h, f);
	if (f->type == T_SETTINGS && !(f->flags & F_ACK))
		h2_say(fd, T_SETTINGS, F_ACK, 0, NULL, 0);
	return true;
}

struct h2_frame h2_wait(int fd, unsigned type, unsigned id)
{
	struct h2_frame f;

	do
		ck_assert_msg(h2_hear(fd, &f), "closed before a frame of type %u",
			      type);
	while (f.type != type || f.id != id);
	return f;
}

const char *h2_answer_of(int fd, unsigned id)
{
	struct heard_stream *s = stream_of(heard_of(fd), id);
	struct h2_frame f;

	while (!s->is_ended)
		ck_assert_msg(h2_hear(fd, &f), "closed before the end; heard: %s",
			      s->text.p);
	return s->text.p;
}

const char *h2_text_of(int fd, unsigned id)
{
	struct heard_stream *s = stream_of(heard_of(fd), id);

	return s->text.p ? s->text.p : "";
}

uint32_t h2_goaway(int fd)
{
	struct h2_frame f;

	while (h2_hear(fd, &f))
		;
	return heard_of(fd)->goaway;
}
