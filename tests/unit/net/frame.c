/* Frames: bytes that do not change, streams in pieces, what is refused. */
#include "net/frame.h"
#include "unit.h"
#include "wire/sum.h"

#include "base/banned.h"

static struct buf stream;
static struct frames frames;
static struct frame frame;
static struct err err;

static void setup(void)
{
	stream = BUF_NONE;
	frames = (struct frames){ 0 };
	err = (struct err){ 0 };
	buf_str(&stream, FRAME_MAGIC);
}

static void teardown(void)
{
	buf_fini(&stream);
	frames_fini(&frames);
}

static enum frame_step next(struct str *in, size_t max)
{
	return frames_next(&frames, max, in, &frame, &err);
}

/* The first step that 'stream' leads to, with up to 'max' bytes a frame. */
static enum frame_step first(size_t max)
{
	struct str in = buf_view(&stream);

	return next(&in, max);
}

/* Nodes of other builds read these. */
START_TEST(bytes_of_a_frame)
{
	static const unsigned char want[] = { 3,    0,	  0,	0,   0x11, 0xab,
					      0xb2, 0x62, 0x35, 'a', 'b',  'c' };
	AUTO_BUF bytes = BUF_NONE;

	frame_add(&bytes, NET_RAFT, STR("abc"));
	ck_assert_uint_eq(bytes.n, sizeof(want));
	ck_assert_mem_eq(bytes.p, want, sizeof(want));
}
END_TEST

START_TEST(bytes_of_a_hello)
{
	static const unsigned char want[] = {
		/* type, versions, cluster */
		1, 1, 0, 2, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
		/* from, to, channel, boot, serial, ping_ms */
		3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2,
		5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0xf4, 1, 0, 0,
		/* incarnation */
		8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8,
	};
	struct control c = { .type = CONTROL_HELLO,
			     .hello = { .least = 1, .most = 2, .from = 3,
					.to = 4, .channel = NET_RPC,
					.boot = 5, .serial = 6,
					.ping_ms = 500 } };
	AUTO_BUF bytes = BUF_NONE;

	memset(&c.hello.cluster, 9, 16);
	memset(&c.hello.incarnation, 8, 16);
	control_add(&bytes, &c);
	ck_assert_uint_eq(bytes.n, FRAME_HEAD + sizeof(want));
	ck_assert_mem_eq(bytes.p + FRAME_HEAD, want, sizeof(want));
}
END_TEST

static void add_some(void)
{
	static char large[100000];

	memset(large, 'x', sizeof(large));
	frame_add(&stream, NET_RAFT, STR("one"));
	frame_add(&stream, FRAME_CONTROL, STR_NONE);
	frame_add(&stream, NET_SHIP, str_n(large, sizeof(large)));
	frame_add(&stream, NET_RPC, STR("last"));
}

/* However the bytes come. */
START_TEST(a_stream_in_pieces)
{
	static const size_t sizes[] = { 1, 2, 7, 9, 64, 65536, 1000000 };
	size_t piece = sizes[_i], n = 0;
	static const unsigned channels[] = { NET_RAFT, FRAME_CONTROL, NET_SHIP,
					     NET_RPC };
	static const size_t lengths[] = { 3, 0, 100000, 4 };
	struct str rest;

	add_some();
	rest = buf_view(&stream);
	while (rest.n) {
		struct str in = str_first(rest, piece);
		enum frame_step step;

		rest = str_from(rest, piece);
		while ((step = next(&in, 100000)) == FRAME_ONE) {
			ck_assert_uint_eq(frame.channel, channels[n]);
			ck_assert_uint_eq(frame.content.n, lengths[n]);
			if (n == 3)
				ck_assert(str_is(frame.content, "last"));
			n++;
		}
		ck_assert_int_eq(step, FRAME_MORE);
		ck_assert_uint_eq(in.n, 0);
	}
	ck_assert_uint_eq(n, 4);
	/* What one large frame needed is not kept. */
	ck_assert_uint_lt(frames.part.cap, 70000);
}
END_TEST

START_TEST(a_frame_that_is_too_large)
{
	frame_add(&stream, NET_RAFT, STR("12345"));
	ck_assert_int_eq(first(5), FRAME_ONE);
	frames_fini(&frames);
	frames = (struct frames){ 0 };
	ck_assert_int_eq(first(4), FRAME_BAD);
	ck_assert_int_eq(err.code, E_INVALID);
	ck_assert_ptr_nonnull(strstr(err.text, "larger"));
	/* Nothing comes behind what is bad. */
	frame_add(&stream, NET_RAFT, STR("1"));
	ck_assert_int_eq(first(100), FRAME_BAD);
}
END_TEST

/* By its head alone, before any of it has come. */
START_TEST(a_length_is_refused_at_once)
{
	buf_add(&stream, "\xff\xff\xff\x7f\x11\0\0\0\0", 9);
	ck_assert_int_eq(first(8 << 20), FRAME_BAD);
	ck_assert_ptr_nonnull(strstr(err.text, "larger"));
	ck_assert_uint_eq(frames.part.cap, 0);
}
END_TEST

START_TEST(every_flipped_bit_is_found)
{
	static const char zeros[1000];
	size_t bits;

	frame_add(&stream, NET_RAFT, STR("content"));
	bits = 8 * (stream.n - FRAME_MAGIC.n);
	buf_add(&stream, zeros, sizeof(zeros));
	for (size_t i = 0; i < bits; i++) {
		char *at = stream.p + FRAME_MAGIC.n + i / 8;

		*at = (char)(*at ^ 1 << i % 8);
		ck_assert_int_eq(first(1000), FRAME_BAD);
		*at = (char)(*at ^ 1 << i % 8);
		frames_fini(&frames);
		frames = (struct frames){ 0 };
	}
	ck_assert_int_eq(first(1000), FRAME_ONE);
}
END_TEST

static void tagged(unsigned char tag)
{
	char head[FRAME_HEAD] = { 0 };
	uint32_t sum;

	head[4] = (char)tag;
	sum = crc32c(0, head, 5);
	memcpy(head + 5, &sum, 4);
	buf_add(&stream, head, sizeof(head));
}

START_TEST(a_frame_of_no_channel_or_version)
{
	tagged(0x13);
	ck_assert_int_eq(first(10), FRAME_ONE);
	teardown();
	setup();
	tagged(0x14);
	ck_assert_int_eq(first(10), FRAME_BAD);
	ck_assert_ptr_nonnull(strstr(err.text, "channel"));
	teardown();
	setup();
	tagged(0x21);
	ck_assert_int_eq(first(10), FRAME_BAD);
	ck_assert_ptr_nonnull(strstr(err.text, "version"));
}
END_TEST

/* What begins otherwise is told from the first byte on. */
START_TEST(other_protocols)
{
	static const char *const others[] = { "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01",
					      "CCFXNET\r", "CCFXX", "Z" };
	struct str in = str_of(others[_i]);

	ck_assert_int_eq(next(&in, 100), FRAME_BAD);
	ck_assert_ptr_nonnull(strstr(err.text, "no node of Conflux"));
}
END_TEST

START_TEST(control_messages_that_are_none)
{
	struct control c;
	AUTO_BUF bytes = BUF_NONE;
	struct control hello = { .type = CONTROL_HELLO };
	struct str content;

	ck_assert_int_eq(control_decode(STR_NONE, &c, &err), E_INVALID);
	ck_assert_int_eq(control_decode(STR("\x09"), &c, &err), E_INVALID);
	ck_assert_int_eq(control_decode(STR("\x04" "1234567"), &c, &err),
			 E_INVALID);
	ck_assert_int_eq(control_decode(STR("\x04" "12345678"), &c, &err), OK);
	ck_assert_int_eq(control_decode(STR("\x04" "123456789"), &c, &err),
			 E_INVALID);
	control_add(&bytes, &hello);
	content = str_from(buf_view(&bytes), FRAME_HEAD);
	/* Before incarnations it ended earlier. */
	for (size_t n = 0; n < content.n; n++)
		ck_assert_int_eq(control_decode(str_first(content, n), &c, &err),
				 n == content.n - 16 ? OK : E_INVALID);
	ck_assert_int_eq(control_decode(content, &c, &err), OK);
}
END_TEST

/* A later version may say more. */
START_TEST(what_is_added_is_passed_over)
{
	AUTO_BUF bytes = BUF_NONE;
	struct control welcome = { .type = CONTROL_WELCOME,
				   .welcome = { .version = 3, .from = 5 } };
	struct control c;

	control_add(&bytes, &welcome);
	buf_z(&bytes, "more");
	ck_assert_int_eq(control_decode(str_from(buf_view(&bytes), FRAME_HEAD),
					&c, &err),
			 OK);
	ck_assert_uint_eq(c.welcome.version, 3);
	ck_assert_uint_eq(c.welcome.from, 5);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("net/frame");
	TCase *t = tcase_create("frame");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, bytes_of_a_frame);
	tcase_add_test(t, bytes_of_a_hello);
	tcase_add_loop_test(t, a_stream_in_pieces, 0, 7);
	tcase_add_test(t, a_frame_that_is_too_large);
	tcase_add_test(t, a_length_is_refused_at_once);
	tcase_add_test(t, every_flipped_bit_is_found);
	tcase_add_test(t, a_frame_of_no_channel_or_version);
	tcase_add_loop_test(t, other_protocols, 0, 5);
	tcase_add_test(t, control_messages_that_are_none);
	tcase_add_test(t, what_is_added_is_passed_over);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
