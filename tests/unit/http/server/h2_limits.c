/* HTTP/2: what is wrong, too much, or not taken. */
#include "h2_client.h"

#include <poll.h>

#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

#define ENHANCE_YOUR_CALM 11
#define PROTOCOL_ERROR 1

static int fd;

static void setup(void)
{
	lab_setup();
	fd = 0;
}

static void teardown(void)
{
	if (fd)
		h2_close(fd);
	lab_teardown();
}

static void start(void)
{
	lab_start();
	fd = h2_new();
}

static void again(void)
{
	h2_close(fd);
	fd = h2_new();
}

static bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

#define HAS(text, part) ck_assert_msg(has(text, part), "no '%s' in: %s", part, text)

/* The connection goes on. */
static void check_alive(unsigned id)
{
	h2_ask(fd, id, "GET", "/hello", true);
	HAS(h2_answer_of(fd, id), "\n\nhello");
}

/* ---- what is wrong ---- */

static const struct {
	const char *fields[6][2];
} bad[] = {
	{ { { ":method", "GET" }, { ":scheme", "http" }, { ":authority", "h" } } },
	{ { { ":method", "GET" }, { ":path", "/hello" }, { ":authority", "h" } } },
	{ { { ":path", "/hello" }, { ":scheme", "http" }, { ":authority", "h" } } },
	{ { { ":method", "GET" }, { ":method", "GET" }, { ":path", "/hello" },
	    { ":scheme", "http" } } },
	{ { { ":method", "GET" }, { ":path", "/hello" }, { ":scheme", "http" },
	    { "x", "y" }, { ":authority", "h" } } },
	{ { { ":method", "GET" }, { ":path", "/hello" }, { ":scheme", "http" },
	    { ":authority", "h" }, { "X-Upper", "y" } } },
	{ { { ":method", "GET" }, { ":path", "/hello" }, { ":scheme", "http" },
	    { ":authority", "h" }, { "connection", "close" } } },
	{ { { ":method", "GET" }, { ":path", "/hello" }, { ":scheme", "http" },
	    { ":authority", "h" }, { "transfer-encoding", "chunked" } } },
	{ { { ":method", "GET" }, { ":path", "/hello" }, { ":scheme", "http" },
	    { ":authority", "h" }, { "te", "gzip" } } },
	{ { { ":method", "GET" }, { ":path", "/hello" }, { ":scheme", "http" },
	    { ":authority", "h" }, { ":strange", "y" } } },
	{ { { ":method", "GET" }, { ":path", "" }, { ":scheme", "http" },
	    { ":authority", "h" } } },
	{ { { ":method", "GET" }, { ":path", "/hello" }, { ":scheme", "http" },
	    { ":authority", "h" }, { "x", "a\nb" } } },
};

START_TEST(requests_that_are_none_are_reset)
{
	AUTO_BUF block = BUF_NONE;

	start();
	for (int i = 0; i < 6 && bad[_i].fields[i][0]; i++)
		h2_field(&block, bad[_i].fields[i][0], bad[_i].fields[i][1]);
	h2_say(fd, T_HEADERS, F_END_HEADERS | F_END_STREAM, 1, block.p, block.n);
	ck_assert_str_eq(h2_answer_of(fd, 1), "reset 1");
	check_alive(3);
}
END_TEST

START_TEST(a_header_block_beyond_the_limit)
{
	AUTO_BUF block = BUF_NONE;
	static char fill[4000];

	start();
	memset(fill, 'x', sizeof(fill) - 1);
	h2_ask_with(fd, 1, "GET", "/hello", "x", fill, true);
	HAS(h2_answer_of(fd, 1), ":status: 431\n");
	check_alive(3);
	h2_fields(&block, "POST", "/echo");
	for (int i = 0; i < 110; i++)
		h2_field(&block, "a", "");
	h2_say(fd, T_HEADERS, F_END_HEADERS, 5, block.p, block.n);
	HAS(h2_answer_of(fd, 5), ":status: 431\n");
	check_alive(7);
}
END_TEST

static const struct {
	unsigned type, flags, id;
	const char *p;
	size_t n;
	unsigned code;
} broken[] = {
	{ T_DATA, 0, 0, "x", 1, PROTOCOL_ERROR },
	{ T_HEADERS, F_END_HEADERS, 2, "\202", 1, PROTOCOL_ERROR },
	{ T_HEADERS, F_END_HEADERS, 1, "\377\377\377\377\377\377", 6, 9 },
	{ T_PING, 0, 0, "1234567", 7, 6 },
	{ T_PING, 0, 1, "12345678", 8, PROTOCOL_ERROR },
	{ T_SETTINGS, 0, 0, "12345", 5, 6 },
	{ T_SETTINGS, 0, 0, "\0\4\377\377\377\377", 6, 3 },
	{ T_WINDOW, 0, 0, "\0\0\0\0", 4, PROTOCOL_ERROR },
	{ T_WINDOW, 0, 0, "\177\377\377\377", 4, 3 },
	{ T_CONTINUATION, F_END_HEADERS, 1, "", 0, PROTOCOL_ERROR },
	{ T_PUSH, F_END_HEADERS, 1, "\0\0\0\2", 4, PROTOCOL_ERROR },
	{ T_PRIORITY, 0, 0, "\0\0\0\0\1", 5, PROTOCOL_ERROR },
	{ T_RST, 0, 7, "\0\0\0\0", 4, PROTOCOL_ERROR },
};

START_TEST(frames_that_are_wrong_end_the_connection)
{
	start();
	h2_say(fd, broken[_i].type, broken[_i].flags, broken[_i].id, broken[_i].p,
	       broken[_i].n);
	ck_assert_uint_eq(h2_goaway(fd), broken[_i].code);
	again();
	check_alive(1);
}
END_TEST

/* ---- too much ---- */

static void flood(struct buf *out, int what, unsigned id)
{
	AUTO_BUF block = BUF_NONE;

	h2_fields(&block, "GET", "/later");
	switch (what) {
	case 0:
		h2_frame_put(out, T_PING, 0, 0, "12345678", 8);
		break;
	case 1:
		h2_frame_put(out, T_SETTINGS, 0, 0, NULL, 0);
		break;
	case 2:
		h2_frame_put(out, T_PRIORITY, 0, 1, "\0\0\0\0\1", 5);
		break;
	case 3:
		if (id == 1)
			h2_frame_put(out, T_HEADERS, F_END_HEADERS, 1, block.p,
				     block.n);
		h2_frame_put(out, T_DATA, 0, 1, NULL, 0);
		break;
	case 4:
		h2_frame_put(out, T_HEADERS, F_END_HEADERS | F_END_STREAM, id,
			     block.p, block.n);
		h2_frame_put(out, T_RST, 0, id, "\0\0\0\10", 4);
		break;
	case 5:
		h2_frame_put(out, id == 1 ? T_HEADERS : T_CONTINUATION, 0, 1,
			     "\0\1a\1b", 5);
		break;
	}
}

START_TEST(too_much_of_what_brings_nothing_ends_it)
{
	AUTO_BUF out = BUF_NONE;
	struct http_stats stats;
	uint32_t code;

	start();
	for (unsigned id = 1; id < 6000; id += 2)
		flood(&out, _i, id);
	client_say_n(fd, out.p, out.n);
	code = h2_goaway(fd);
	ck_assert_msg(code == ENHANCE_YOUR_CALM || (_i == 5 && code != UINT32_MAX),
		      "%u", code);
	lab_stats(&stats);
	ck_assert_uint_ge(stats.refused, 1);
	again();
	check_alive(1);
}
END_TEST

/* What an honest client does in its life is never too much. */
START_TEST(work_earns_control_frames)
{
	start();
	for (unsigned id = 1; id < 6001; id += 2) {
		h2_ask(fd, id, "GET", "/hello", true);
		h2_window(fd, 0, 5);
		h2_say(fd, T_PING, 0, 0, "12345678", 8);
		if (id % 200 == 199)
			HAS(h2_answer_of(fd, id), "hello");
	}
}
END_TEST

START_TEST(half_a_header_block_is_not_waited_for)
{
	lab_limits.header_ms = 500;
	start();
	h2_wait(fd, T_SETTINGS, 0);
	h2_say(fd, T_HEADERS, 0, 1, "\202", 1);
	ck_assert_uint_eq(h2_goaway(fd), ENHANCE_YOUR_CALM);
}
END_TEST

static void put_ask(struct buf *out, unsigned id, const char *method, const char *path,
		    unsigned flags)
{
	AUTO_BUF block = BUF_NONE;

	h2_fields(&block, method, path);
	h2_frame_put(out, T_HEADERS, F_END_HEADERS | flags, id, block.p, block.n);
}

static uint64_t requests(void)
{
	struct http_stats stats;

	lab_stats(&stats);
	return stats.requests;
}

/* HEAD is asked until nearly so much waits for the socket as may; the next id. */
static unsigned fill_socket(unsigned id, size_t bytes)
{
	for (uint64_t n = requests(); lab_socket_pending() + 20000 < bytes; id += 2) {
		h2_ask(fd, id, "HEAD", "/heavy", true);
		for (n++; requests() < n;)
			;
	}
	return id;
}

/* Bodies that are refused because of their time: with the answer to the first what was
 * read before is looked at, which resets the next ones. */
START_TEST(late_bodies_end_while_others_are_reset)
{
	const size_t most = 2u << 20;
	struct http_stats stats = { 0 };
	AUTO_BUF out = BUF_NONE;
	unsigned first, last, id;
	uint64_t n;

	lab_limits.body_ms = 1000;
	lab_limits.pending_bytes = most;
	start();
	h2_ask(fd, 1, "GET", "/later", true);
	first = fill_socket(3, most);
	last = first + 14;
	for (id = first; id <= last; id += 2)
		put_ask(&out, id, "POST", _i ? "/pieces" : "/echo", 0);
	/* With these too much waits, and the resets stay in the server's hand. */
	for (; id < last + 40; id += 2)
		put_ask(&out, id, "HEAD", "/heavy", F_END_STREAM);
	for (int i = 0; i < 300; i++)
		h2_frame_put(&out, T_PING, 0, 0, "12345678", 8);
	for (unsigned k = first + 2; k < last; k += 2)
		h2_frame_put(&out, T_RST, 0, k, "\0\0\0\10", 4);
	n = requests() + (id - first) / 2;
	client_say_n(fd, out.p, out.n);
	while (requests() < n)
		;
	ck_assert_uint_gt(lab_socket_pending(), most);
	/* Now less waits, and still something. */
	for (unsigned k = 3; lab_socket_pending() > most; k += 2)
		h2_answer_of(fd, k);
	while (stats.refused == 0)
		lab_stats(&stats);
	ck_assert_uint_gt(lab_socket_pending(), 0);
	ck_assert_uint_eq(stats.refused, 2);
	HAS(h2_answer_of(fd, first), ":status: 408\n");
	HAS(h2_answer_of(fd, last), ":status: 408\n");
	check_alive(id);
}
END_TEST

/* What cannot be said in one block is not waited for. */
START_TEST(an_answer_with_too_long_a_header_is_reset)
{
	start();
	h2_ask(fd, 1, "GET", "/heavy", true);
	HAS(h2_answer_of(fd, 1), "\n\nheavy");
	h2_ask(fd, 3, "GET", "/heavy?all", true);
	h2_ask(fd, 5, "HEAD", "/heavy?all", true);
	ck_assert_str_eq(h2_answer_of(fd, 3), "reset 2");
	ck_assert_str_eq(h2_answer_of(fd, 5), "reset 2");
	check_alive(7);
}
END_TEST

/* ---- windows of the client ---- */

START_TEST(a_big_answer_goes_as_the_windows_open)
{
	struct http_stats stats;

	start();
	h2_ask(fd, 1, "GET", "/big", true);
	h2_wait(fd, T_HEADERS, 1);
	h2_ask(fd, 3, "HEAD", "/hello", true);
	h2_answer_of(fd, 3);
	for (unsigned total = 65535; total < 1 << 20; total += 65535) {
		h2_window(fd, 1, 65535);
		h2_window(fd, 0, 65535);
	}
	ck_assert_uint_gt(strlen(h2_answer_of(fd, 1)), 1 << 20);
	check_alive(5);
	lab_stats(&stats);
	ck_assert_uint_eq(stats.refused, 0);
}
END_TEST

/* What is held is bounded: requests wait, and those beyond that are refused. */
START_TEST(answers_that_are_not_read_do_not_fill_the_server)
{
	enum { N = 262 };
	struct http_stats stats;
	unsigned refused = 0, served = 0;

	lab_limits.pending_bytes = 256 * 1024;
	start();
	h2_setting(fd, 4, 0);
	for (unsigned i = 0; i < N; i++)
		h2_ask(fd, 1 + 2 * i, "GET", "/big", true);
	h2_ask(fd, 1 + 2 * N, "HEAD", "/hello", true);
	ck_assert_str_eq(h2_answer_of(fd, 1 + 2 * N), "reset 7");
	lab_stats(&stats);
	ck_assert_uint_eq(stats.by_class[2], 1);
	h2_setting(fd, 4, 1 << 30);
	h2_window(fd, 0, 1 << 30);
	for (unsigned i = 0; i < N; i++) {
		const char *heard = h2_answer_of(fd, 1 + 2 * i);

		if (strcmp(heard, "reset 7") == 0)
			refused++;
		else if (strlen(heard) > 1 << 20)
			served++;
	}
	ck_assert_uint_eq(served, 257);
	ck_assert_uint_eq(refused, N - 257);
	check_alive(1 + 2 * N + 2);
}
END_TEST

START_TEST(answers_that_are_never_taken_end_the_connection)
{
	lab_limits.write_ms = 100;
	start();
	h2_setting(fd, 4, 1 << 30);
	h2_ask(fd, 1, "GET", "/big", true);
	ck_assert_uint_eq(h2_goaway(fd), ENHANCE_YOUR_CALM);
}
END_TEST

#define RESET_11 "reset 11"

static void check_reset(unsigned id)
{
	const char *heard = h2_answer_of(fd, id);

	ck_assert_msg(strlen(heard) >= strlen(RESET_11) &&
		      strcmp(heard + strlen(heard) - strlen(RESET_11),
			     RESET_11) == 0, "%u heard: %s", id, heard);
}

/* One stream that is not read is its own end, and the others' nothing. */
START_TEST(a_stream_that_is_never_read_ends_alone)
{
	struct http_stats stats;

	/* A stream that was reset is not said anything: there is time before. */
	lab_limits.write_ms = 1000;
	start();
	h2_setting(fd, 4, 0);
	h2_ask(fd, 1, "GET", "/hello", true);
	h2_ask(fd, 3, "GET", "/later", true);
	h2_ask(fd, 5, "GET", "/stream", true);
	lab_chunk("unread");
	lab_wait_later(1);
	check_reset(1);
	check_reset(5);
	lab_wait_gone(1);
	h2_setting(fd, 4, 65535);
	lab_answer_later("late");
	HAS(h2_answer_of(fd, 3), "\n\nlate");
	check_alive(7);
	lab_stats(&stats);
	ck_assert_uint_eq(stats.refused, 2);
	ck_assert_uint_eq(stats.streams_now, 0);
}
END_TEST

/* The same for one that is read so slowly that it is meant. */
START_TEST(a_stream_that_is_read_byte_by_byte_ends_alone)
{
	struct h2_frame f;

	lab_limits.write_ms = 100;
	lab_limits.least_rate = 1 << 20;
	start();
	h2_setting(fd, 4, 0);
	h2_ask(fd, 1, "GET", "/big", true);
	do {
		h2_window(fd, 1, 1);
		ck_assert(h2_hear(fd, &f));
	} while (f.type != T_RST);
	check_reset(1);
	h2_setting(fd, 4, 65535);
	check_alive(3);
}
END_TEST

static uint64_t now_ms(void)
{
	return clock_mono_ns() / 1000000;
}

/* Who waits because others are served is not to blame. */
START_TEST(a_stream_that_waits_for_others_is_not_reset)
{
	uint64_t until;

	lab_limits.write_ms = 2000;
	lab_limits.least_rate = 1;
	start();
	h2_setting(fd, 4, 1 << 30);
	for (unsigned id = 1; id <= 5; id += 2)
		h2_ask(fd, id, "GET", "/big", true);
	for (until = now_ms() + 4800; now_ms() < until;) {
		struct h2_frame f;

		/* So little that the answers are not over before the time is. */
		h2_window(fd, 0, 10);
		do
			ck_assert(h2_hear(fd, &f));
		while (f.type != T_DATA);
	}
	h2_window(fd, 0, 1 << 30);
	for (unsigned id = 1; id <= 5; id += 2)
		ck_assert_uint_gt(strlen(h2_answer_of(fd, id)), 1 << 20);
}
END_TEST

/* Three bodies are more than is held at once, so the last is held back while the others
 * come, and is not late for that; then it may come. The time is long, so that the others
 * are not late where this test stands still: they would let the last come. */
START_TEST(a_body_that_is_held_back_is_not_late)
{
	const char *path = _i ? "/kept" : "/echo";
	static char half[1501];
	unsigned others = 7;
	uint64_t until;

	memset(half, 'x', sizeof(half) - 1);
	lab_limits.body_ms = 2000;
	lab_limits.least_rate = 1;
	start();
	for (unsigned id = 1; id <= 5; id += 2)
		h2_ask(fd, id, "POST", path, false);
	/* The answer of another says that they were taken, each as a piece. */
	for (int i = 0; i < 2; i++) {
		for (unsigned id = 1; id <= 5; id += 2)
			h2_data(fd, id, half, false);
		check_alive(others);
		others += 2;
	}
	for (until = now_ms() + 2800; now_ms() < until; others += 2) {
		h2_data(fd, 1, "x", false);
		h2_data(fd, 3, "x", false);
		check_alive(others);
		poll(NULL, 0, 10);
	}
	ck_assert_str_eq(h2_text_of(fd, 5), "");
	for (unsigned id = 1; id <= 3; id += 2) {
		h2_data(fd, id, "", true);
		HAS(h2_answer_of(fd, id), ":status: 200\n");
	}
	HAS(h2_answer_of(fd, 5), ":status: 408\n");
}
END_TEST

/* Where many messages come, half of one is late as well: it keeps others from coming.  Who
 * has brought whole ones alone may take his time. */
START_TEST(half_a_message_of_many_is_late)
{
	lab_limits.body_ms = 3000;
	lab_limits.least_rate = 1;
	start();
	h2_ask(fd, 1, "POST", "/kept?streams&nothing", false);
	h2_data(fd, 1, "whole", false);
	h2_ask(fd, 3, "POST", "/kept?streams", false);
	h2_data(fd, 3, "half", false);
	HAS(h2_answer_of(fd, 3), "reset 8");
	check_alive(5);
	ck_assert(!has(h2_text_of(fd, 1), "reset"));
}
END_TEST

/* A body of eight pieces, more than a stream's window: behind the first four that is given
 * anew, when another was answered.  The streams 'id', + 2 and + 4. */
static void send_whole(unsigned id, const char *piece)
{
	h2_ask(fd, id, "POST", "/kept?waits", false);
	for (int i = 0; i < 8; i++) {
		h2_data(fd, id, piece, i == 7);
		if (i == 3)
			check_alive(id + 2);
	}
	check_alive(id + 4);
}

/* Those that are whole, and are not answered yet, count all the same: also behind the tick
 * that looks for what is late.  With the end of one there is room for another. */
START_TEST(bodies_that_wait_whole_are_bounded)
{
	static char piece[15001];
	const unsigned bytes = 8 * (sizeof(piece) - 1), least = (16u << 20) / bytes;
	unsigned id = 1, n = 0;

	memset(piece, 'x', sizeof(piece) - 1);
	lab_limits.body_ms = 1500;
	lab_limits.least_rate = 1;
	start();
	for (; n < 2 * least; n++, id += 6) {
		send_whole(id, piece);
		if (h2_text_of(fd, id)[0])
			break;
		/* Some ticks are between. */
		if (n == 0)
			poll(NULL, 0, 3400);
	}
	HAS(h2_answer_of(fd, id), ":status: 429\n");
	ck_assert_uint_ge(n, least);
	ck_assert_uint_le(n, least + 1);
	h2_say(fd, T_RST, 0, 1, "\0\0\0\x8", 4);
	for (int i = 0; i < 2; i++) {
		id += 6;
		send_whole(id, piece);
		ck_assert_int_eq(h2_text_of(fd, id)[0] != 0, i);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/server/h2_limits");
	TCase *t = tcase_create("h2_limits");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, requests_that_are_none_are_reset, 0, ARRAY_LEN(bad));
	tcase_add_test(t, a_header_block_beyond_the_limit);
	tcase_add_loop_test(t, frames_that_are_wrong_end_the_connection, 0,
			    ARRAY_LEN(broken));
	tcase_add_loop_test(t, too_much_of_what_brings_nothing_ends_it, 0, 6);
	tcase_add_test(t, work_earns_control_frames);
	tcase_add_test(t, half_a_header_block_is_not_waited_for);
	tcase_add_test(t, an_answer_with_too_long_a_header_is_reset);
	tcase_add_loop_test(t, late_bodies_end_while_others_are_reset, 0, 2);
	tcase_add_loop_test(t, a_body_that_is_held_back_is_not_late, 0, 2);
	tcase_add_test(t, half_a_message_of_many_is_late);
	tcase_add_test(t, bodies_that_wait_whole_are_bounded);
	tcase_add_test(t, a_big_answer_goes_as_the_windows_open);
	tcase_add_test(t, answers_that_are_not_read_do_not_fill_the_server);
	tcase_add_test(t, answers_that_are_never_taken_end_the_connection);
	tcase_add_test(t, a_stream_that_is_never_read_ends_alone);
	tcase_add_test(t, a_stream_that_is_read_byte_by_byte_ends_alone);
	tcase_add_test(t, a_stream_that_waits_for_others_is_not_reset);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
