/*
 * GETs over HTTP/2 in clear text, a number of them always under way.
 *
 *	requests_h2 HOST:PORT PATH IN_FLIGHT CONNECTIONS SECONDS STATUS [NAME:VALUE ...]
 *
 * As requests.c, a client that does no more than it must, because over a thousand
 * connections one with all of nghttp2 (calls.c) takes as much of a processor as the
 * servers.  The header block of a request is what nghttp2 makes of it (HPACK): the first
 * of a connection brings names and values into the table, all others are the same bytes.
 * Of an answer it looks at the frames' heads and at its status, which comes first (RFC
 * 9113, 8.3) and is one byte that names it (RFC 7541, appendix A).  Prints what load.h
 * says.  Another status, and a stream or connection that is ended, end it with an error.
 */
#include <ctype.h>
#include <endian.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

#define WINDOW (1u << 30)
#define WINDOW_LOW (WINDOW / 2)          /* what is taken is given back from there on */
#define HEADERS_MAX 16
#define STREAMS_MAX 64                   /* of a connection */
#define FRAME_HEAD 9
#define BLOCK_MAX 4096

struct stream {
	uint32_t id;
	bool is_good;                    /* it was answered with the status */
	uint64_t sent_ns;
};

struct asking {
	_Alignas(64) uint32_t next;      /* stream */
	uint32_t left;                   /* of the content of a frame that is passed over */
	bool ends;                       /* that frame does, its stream */
	uint32_t id;                     /* whose it is */
	uint64_t taken;                  /* bytes of DATA since room was given */
	unsigned n;
	struct stream *streams;
	struct buf part;                 /* a frame's head that came in part */
};

/* Frames of a request: the first of a connection, and each other. */
static struct buf first, other;
static unsigned char status_byte;

static void put_u24(char *p, uint32_t v)
{
	p[0] = (char)(v >> 16);
	p[1] = (char)(v >> 8);
	p[2] = (char)v;
}

static void put_u32(char *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static uint32_t get_u24(const char *p)
{
	return (uint32_t)(uint8_t)p[0] << 16 | (uint32_t)(uint8_t)p[1] << 8 | (uint8_t)p[2];
}

static uint32_t get_u32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static void add_frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t id,
		      const void *p, size_t n)
{
	char head[FRAME_HEAD] = { 0 };

	put_u24(head, (uint32_t)n);
	head[3] = (char)type;
	head[4] = (char)flags;
	put_u32(head + 5, id);
	buf_add(out, head, sizeof(head));
	buf_add(out, p, n);
}

static void give_room(struct connection *c, uint32_t n)
{
	char room[4];

	put_u32(room, n);
	add_frame(&c->out, NGHTTP2_WINDOW_UPDATE, 0, 0, room, sizeof(room));
}

/* ---- asking ---- */

static void ask(struct connection *c, struct stream *s, uint64_t now)
{
	struct asking *a = c->data;
	struct buf *frame = a->next == 1 ? &first : &other;

	*s = (struct stream){ .id = a->next, .sent_ns = now };
	a->next += 2;
	put_u32(frame->p + 5, s->id);
	buf_add(&c->out, frame->p, frame->n);
}

static void begin(struct connection *c, unsigned streams)
{
	struct asking *a = c->data;
	char settings[12] = { 0, NGHTTP2_SETTINGS_ENABLE_PUSH, 0, 0, 0, 0,
			      0, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE };

	a->n = streams;
	a->next = 1;
	a->streams = mem_zero(streams * sizeof(*a->streams));
	put_u32(settings + 8, WINDOW);
	buf_add(&c->out, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
	add_frame(&c->out, NGHTTP2_SETTINGS, 0, 0, settings, sizeof(settings));
	give_room(c, WINDOW);
	for (unsigned i = 0; i < streams; i++)
		ask(c, &a->streams[i], clock_mono_ns());
	load_flush(c);
}

/* ---- answers ---- */

static struct stream *stream_of(struct asking *a, uint32_t id)
{
	for (unsigned i = 0; i < a->n; i++)
		if (a->streams[i].id == id)
			return &a->streams[i];
	load_die("a frame of stream %u, of which nothing was asked", id);
}

static void end_stream(struct connection *c, uint32_t id, uint64_t now)
{
	struct stream *s = stream_of(c->data, id);

	if (!s->is_good)
		load_die("a request was answered without its status");
	load_note(s->sent_ns, now);
	ask(c, s, now);
}

/* The head of a frame and, of HEADERS, one byte more are there. */
static void take_frame(struct connection *c, const char *p, uint32_t n)
{
	struct asking *a = c->data;
	uint8_t type = (uint8_t)p[3], flags = (uint8_t)p[4];

	a->id = get_u32(p + 5) & INT32_MAX;
	a->left = n;
	a->ends = (type == NGHTTP2_HEADERS || type == NGHTTP2_DATA) &&
		  (flags & NGHTTP2_FLAG_END_STREAM);
	if (type == NGHTTP2_HEADERS) {
		if (flags & (NGHTTP2_FLAG_PADDED | NGHTTP2_FLAG_PRIORITY) || n == 0 ||
		    (uint8_t)p[FRAME_HEAD] != status_byte)
			load_die("an answer begins with 0x%02x, not with its status 0x%02x",
				 n ? (uint8_t)p[FRAME_HEAD] : 0, status_byte);
		stream_of(a, a->id)->is_good = true;
	} else if (type == NGHTTP2_DATA) {
		a->taken += n;
	} else if (type == NGHTTP2_SETTINGS && !(flags & NGHTTP2_FLAG_ACK)) {
		add_frame(&c->out, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
	} else if (type == NGHTTP2_RST_STREAM || type == NGHTTP2_GOAWAY) {
		load_die("stream %u or the connection was ended", a->id);
	} else if (type == NGHTTP2_PING && !(flags & NGHTTP2_FLAG_ACK)) {
		load_die("a PING came, which this client does not answer");
	}
}

/* What is left of the frame's content; answers how much of 'n' that is. */
static size_t pass_over(struct connection *c, size_t n, uint64_t now)
{
	struct asking *a = c->data;
	size_t k = MIN(n, (size_t)a->left);

	a->left -= (uint32_t)k;
	if (a->left == 0 && a->ends)
		end_stream(c, a->id, now);
	return k;
}

/* How much of 'n' was taken; 0: there is too little of a frame. */
static size_t take_some(struct connection *c, const char *p, size_t n, uint64_t now)
{
	struct asking *a = c->data;
	size_t wanted = n >= 4 && p[3] == NGHTTP2_HEADERS ? FRAME_HEAD + 1 : FRAME_HEAD;

	if (a->left)
		return pass_over(c, n, now);
	if (n < wanted)
		return 0;
	take_frame(c, p, get_u24(p));
	if (a->left == 0 && a->ends)
		end_stream(c, a->id, now);
	return FRAME_HEAD;
}

static void take_whole(struct connection *c, const char *p, size_t n, uint64_t now)
{
	struct asking *a = c->data;

	for (size_t k; n && (k = take_some(c, p, n, now)) > 0; p += k)
		n -= k;
	if (n)
		buf_add(&a->part, p, n);
}

static void take(struct connection *c, const char *p, size_t n, uint64_t now)
{
	struct asking *a = c->data;
	struct buf whole = a->part;

	if (whole.n) {
		a->part = (struct buf)BUF_NONE;
		buf_add(&whole, p, n);
		take_whole(c, whole.p, whole.n, now);
		buf_fini(&whole);
	} else {
		take_whole(c, p, n, now);
	}
	if (a->taken > WINDOW_LOW) {
		give_room(c, (uint32_t)a->taken);
		a->taken = 0;
	}
	load_flush(c);
}

/* ---- the run ---- */

static nghttp2_nv field(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value, strlen(name),
			     strlen(value), NGHTTP2_NV_FLAG_NONE };
}

/* As the next request of a connection has them, whose table 'hpack' knows. */
static void make_request(struct buf *out, nghttp2_hd_deflater *hpack,
			 const nghttp2_nv *fields, size_t n)
{
	uint8_t block[BLOCK_MAX];
	ssize_t len = nghttp2_hd_deflate_hd(hpack, block, sizeof(block), fields, n);

	if (len < 0)
		load_die("%s", nghttp2_strerror((int)len));
	add_frame(out, NGHTTP2_HEADERS,
		  NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 0, block,
		  (size_t)len);
}

static void make_requests(char **argv, int argc)
{
	nghttp2_nv fields[HEADERS_MAX] = {
		field(":method", "GET"), field(":scheme", "http"),
		field(":authority", argv[1]), field(":path", argv[2]) };
	nghttp2_hd_deflater *hpack;
	AUTO_BUF third = BUF_NONE;
	size_t n = 4;

	for (int i = 7; i < argc; i++) {
		char *colon = strchr(argv[i], ':');

		if (!colon || n == HEADERS_MAX)
			load_die("%s is no NAME:VALUE, or one too many", argv[i]);
		*colon = '\0';
		for (char *at = argv[i]; *at; at++)
			*at = (char)tolower((unsigned char)*at);
		fields[n++] = field(argv[i], colon + 1 + strspn(colon + 1, " "));
	}
	if (nghttp2_hd_deflate_new(&hpack, NGHTTP2_DEFAULT_HEADER_TABLE_SIZE))
		load_die("no memory");
	make_request(&first, hpack, fields, n);
	make_request(&other, hpack, fields, n);
	make_request(&third, hpack, fields, n);
	must(str_eq(buf_view(&other), buf_view(&third)));
	nghttp2_hd_deflate_del(hpack);
}

int main(int argc, char **argv)
{
	static struct asking asking[CONNECTIONS_MAX];
	unsigned streams;

	if (argc < 7 || (strcmp(argv[6], "200") && strcmp(argv[6], "304"))) {
		fprintf(stderr, "usage: requests_h2 HOST:PORT PATH IN_FLIGHT CONNECTIONS "
			"SECONDS 200|304 [NAME:VALUE ...]\n");
		return 2;
	}
	status_byte = argv[6][0] == '2' ? 0x88 : 0x8b;
	make_requests(argv, argc);
	load_open("requests_h2", argv[1], (unsigned)atoi(argv[4]),
		  (unsigned)atoi(argv[3]), atof(argv[5]));
	streams = load.in_flight / load.n;
	if (streams > STREAMS_MAX || streams * load.n != load.in_flight)
		load_die("as many on each connection, %d at most", STREAMS_MAX);
	for (unsigned i = 0; i < load.n; i++) {
		load.connections[i]->data = &asking[i];
		begin(load.connections[i], streams);
	}
	load_run(take);
	load_print();
	return 0;
}
