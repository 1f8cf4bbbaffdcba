/* Answers over HTTP/2 that are given again without their handler. */
#include "h2_client.h"

#include <stdio.h>

#include "base/banned.h"

#define STREAM_CLOSED 5u
#define PROTOCOL_ERROR 1u

static int fd;
static unsigned id;                      /* of the last stream */

static void setup(void)
{
	lab_setup();
	lab_start();
	fd = h2_new();
	/* It counts as SETTINGS: what was kept before it comes would be lost. */
	h2_wait(fd, T_SETTINGS, 0);
	h2_table(fd, 4096);
	id = UINT32_MAX;
}

static void teardown(void)
{
	h2_close(fd);
	lab_teardown();
}

/* Date and trace are of each answer alone. */
static void blank(char *out, size_t size, const char *heard)
{
	static const char *const lines[] = { "\ndate: ", "\nx-conflux-trace: " };

	ck_assert(str_copy(out, size, str_of(heard)));
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		char *p = strstr(out, lines[i]);

		ck_assert_ptr_nonnull(p);
		for (p += strlen(lines[i]); *p != '\n'; p++)
			*p = '-';
	}
}

/* Asks so many times, one after another; what the last is answered. */
static const char *ask_path(const char *path, unsigned times)
{
	const char *heard = NULL;

	while (times--) {
		h2_ask(fd, id += 2, "GET", path, true);
		heard = h2_answer_of(fd, id);
	}
	return heard;
}

static const char *ask(unsigned times)
{
	return ask_path("/same", times);
}

/* Asks until it is answered without its handler, which was called so often then.  Mostly
 * the first fills the table and the second is kept; but a second of time may begin, and
 * its date fill the table too. */
static unsigned keep_path(const char *path)
{
	for (unsigned calls, n = 0; n < 10; n++) {
		calls = lab_calls;
		ask_path(path, 1);
		if (lab_calls == calls)
			return calls;
	}
	ck_abort_msg("each is handled");
	return 0;
}

static unsigned keep(void)
{
	return keep_path("/same");
}

#define HAS(text, part) \
	ck_assert_msg(strstr(text, part), "no '%s' in: %s", part, text)

/* The connection goes on. */
static void check_alive(void)
{
	HAS(ask_path("/hello", 1), "\n\nhello");
}

static void trace_of(const char *heard, char out[40])
{
	const char *at = strstr(heard, "\nx-conflux-trace: ");

	ck_assert_ptr_nonnull(at);
	ck_assert(str_copy(out, 40, str_n(at + strlen("\nx-conflux-trace: "), 32)));
}

START_TEST(the_same_again_is_not_made_again)
{
	char first[1024], other[1024], trace[40], last[40];
	struct http_stats stats;
	unsigned calls;

	blank(first, sizeof(first), ask(1));
	HAS(first, ":status: 304\n");
	HAS(first, "\nx-version: 0\n");
	HAS(first, "\netag: \"an etag\"\n");
	calls = keep();
	ck_assert_uint_le(calls, 4);
	trace_of(ask(1), trace);
	for (int i = 0; i < 10; i++) {
		const char *heard = ask(1);

		trace_of(heard, last);
		ck_assert_str_ne(trace, last);
		ck_assert(str_copy(trace, sizeof(trace), str_of(last)));
		blank(other, sizeof(other), heard);
		ck_assert_str_eq(first, other);
	}
	ck_assert_uint_eq(lab_calls, calls);
	lab_stats(&stats);
	ck_assert_uint_eq(stats.requests, (id + 1) / 2);
	ck_assert_uint_eq(stats.by_class[3], (id + 1) / 2);
}
END_TEST

static void date_of(const char *heard, const char *name, char out[40])
{
	const char *at = strstr(heard, name);

	ck_assert_ptr_nonnull(at);
	ck_assert(str_copy(out, 40, str_n(at + strlen(name), 29)));
}

static void date_elsewhere(int other, char out[40])
{
	client_say(other, "HEAD /hello HTTP/1.1\r\nhost: h\r\n\r\n");
	date_of(client_hear(other, "\r\n\r\n"), "\r\nDate: ", out);
}

/* Its date is that of any other answer at that time. */
START_TEST(the_same_is_not_of_the_past)
{
	char past[40], before[40], now[40], after[40];
	int other = client_new();
	unsigned calls = keep();

	date_of(ask(1), "\ndate: ", past);
	do
		date_elsewhere(other, before);
	while (strcmp(past, before) == 0);
	do {
		date_elsewhere(other, before);
		date_of(ask(1), "\ndate: ", now);
		date_elsewhere(other, after);
		/* A second may begin between them. */
	} while (strcmp(before, after) != 0);
	ck_assert_str_eq(now, after);
	ck_assert_uint_eq(lab_calls, calls);
	client_close(other);
}
END_TEST

START_TEST(another_state_is_another_answer)
{
	unsigned calls = keep();

	atomic_store(&lab_version, 7);
	HAS(ask(1), "\nx-version: 7\n");
	ck_assert_uint_eq(lab_calls, calls + 1);
	keep();
	HAS(ask(1), "\nx-version: 7\n");
}
END_TEST

START_TEST(another_request_is_another)
{
	unsigned calls = keep();

	ask_path("/same?a", 1);
	ask_path("/same?b", 1);
	ask(1);
	ck_assert_uint_eq(lab_calls, calls + 3);
	check_alive();
}
END_TEST

/* A request of bytes that mean what the client's table says. */
static const char *ask_by_table(void)
{
	AUTO_BUF block = BUF_NONE;

	h2_fields(&block, "GET", "/same");
	buf_c(&block, (char)0xbe);       /* the newest entry */
	h2_say(fd, T_HEADERS, F_END_HEADERS | F_END_STREAM, id += 2, block.p,
	       block.n);
	return h2_answer_of(fd, id);
}

/* A request of /hello whose last field comes into the table. */
static void insert(const char *name, const char *value)
{
	AUTO_BUF block = BUF_NONE;
	size_t at;

	h2_fields(&block, "GET", "/hello");
	at = block.n;
	h2_field(&block, name, value);
	block.p[at] = 0x40;
	h2_say(fd, T_HEADERS, F_END_HEADERS | F_END_STREAM, id += 2, block.p,
	       block.n);
	h2_answer_of(fd, id);
}

START_TEST(the_same_bytes_may_mean_another_thing)
{
	unsigned calls;

	/* What is answered later adds nothing to our own table. */
	insert("x-denied", "yes");
	insert("x-any", "thing");
	for (int i = 0; i < 5; i++)
		HAS(ask_by_table(), ":status: 304\n");
	calls = lab_calls;
	ck_assert_uint_lt(calls, 5);
	insert("x-denied", "yes");
	for (int i = 0; i < 5; i++)
		HAS(ask_by_table(), ":status: 403\n");
	ck_assert_uint_eq(lab_calls, calls);
	insert("x-any", "thing");
	HAS(ask_by_table(), ":status: 304\n");
}
END_TEST

/* What the answer was made of is no more in the table that the client keeps. */
START_TEST(another_table_is_another_answer)
{
	unsigned calls = keep();

	h2_table(fd, 0);
	HAS(ask(1), "\nx-version: 0\n");
	ck_assert_uint_eq(lab_calls, calls + 1);
	keep();
	HAS(ask(1), "\nx-version: 0\n");
	h2_table(fd, 4096);
	HAS(ask(5), "\nx-version: 0\n");
}
END_TEST

/* Whatever the answers of others do to the table, of whom nothing is kept. */
START_TEST(answers_of_others_stand_between)
{
	static const char text[] = "some body";
	char first[1024], other[1024];

	keep();
	blank(first, sizeof(first), ask(1));
	for (unsigned i = 0; i < 5; i++) {
		h2_ask_with(fd, id += 2, "POST", "/echo", "content-type", "text/x",
			    false);
		h2_data(fd, id, text + i, true);
		HAS(h2_answer_of(fd, id), text + i);
		blank(other, sizeof(other), ask(4));
		ck_assert_str_eq(first, other);
	}
}
END_TEST

START_TEST(many_at_once)
{
	AUTO_BUF block = BUF_NONE;
	AUTO_BUF all = BUF_NONE;
	unsigned first, calls = keep();

	first = id + 2;
	h2_fields(&block, "GET", "/same");
	for (int i = 0; i < 1000; i++)
		h2_frame_put(&all, T_HEADERS, F_END_HEADERS | F_END_STREAM, id += 2,
			     block.p, block.n);
	client_say_n(fd, all.p, all.n);
	for (; first <= id; first += 2)
		HAS(h2_answer_of(fd, first), ":status: 304\n");
	/* One may have come in two pieces, at the end of what is read at once. */
	ck_assert_uint_lt(lab_calls, calls + 20);
	check_alive();
}
END_TEST

START_TEST(bytes_one_by_one)
{
	AUTO_BUF block = BUF_NONE;
	AUTO_BUF one = BUF_NONE;

	keep();
	h2_fields(&block, "GET", "/same");
	for (int i = 0; i < 5; i++) {
		buf_reset(&one);
		h2_frame_put(&one, T_HEADERS, F_END_HEADERS | F_END_STREAM, id += 2,
			     block.p, block.n);
		for (size_t k = 0; k < one.n; k++)
			client_say_n(fd, one.p + k, 1);
		HAS(h2_answer_of(fd, id), ":status: 304\n");
	}
	ask(3);
	check_alive();
}
END_TEST

/* A client may say so before it has read the answer. */
START_TEST(what_is_said_to_a_stream_that_is_over)
{
	static const unsigned char cancel[4] = { 0, 0, 0, 8 };
	static const unsigned char priority[5] = { 0, 0, 0, 0, 16 };
	AUTO_BUF all = BUF_NONE;
	unsigned calls = keep();

	h2_window(fd, id, 1000);
	h2_say(fd, T_PRIORITY, 0, id, priority, sizeof(priority));
	h2_say(fd, T_RST, 0, id, cancel, sizeof(cancel));
	ask(2);
	ck_assert_uint_eq(lab_calls, calls);
	h2_frame_put(&all, T_WINDOW, 0, id, "\0\0\1\0", 4);
	h2_frame_put(&all, T_RST, 0, id, cancel, sizeof(cancel));
	for (size_t i = 0; i < all.n; i++)
		client_say_n(fd, all.p + i, 1);
	ask(1);
	ck_assert_uint_eq(lab_calls, calls);
	check_alive();
	/* nghttp2 knows a later one now. */
	h2_window(fd, id - 2, 1000);
	check_alive();
}
END_TEST

static uint32_t last_stream(const struct h2_frame *f)
{
	const unsigned char *p = (const unsigned char *)f->p;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
		p[3];
}

/* A request, or a body, on a stream that is over; or below it. */
START_TEST(a_stream_that_is_over_stays_so)
{
	struct h2_frame f;

	keep();
	ask(1);
	if (_i == 2)
		h2_data(fd, id, "more", true);
	else
		h2_ask(fd, _i ? id - 2 : id, "GET", "/hello", true);
	f = h2_wait(fd, T_GOAWAY, 0);
	ck_assert_uint_eq(f.code, STREAM_CLOSED);
	ck_assert_uint_eq(last_stream(&f), id);
	h2_goaway(fd);
}
END_TEST

START_TEST(a_stream_that_was_not_begun)
{
	keep();
	h2_window(fd, id + 2, 1000);
	ck_assert_uint_eq(h2_goaway(fd), PROTOCOL_ERROR);
}
END_TEST

/* Nothing may come between the frames of a header block. */
START_TEST(not_within_a_header_block)
{
	AUTO_BUF block = BUF_NONE;
	unsigned calls = keep();

	h2_fields(&block, "GET", "/hello");
	h2_say(fd, T_HEADERS, F_END_STREAM, id += 2, block.p, block.n);
	h2_ask(fd, id += 2, "GET", "/same", true);
	ck_assert_uint_eq(h2_goaway(fd), PROTOCOL_ERROR);
	ck_assert_uint_eq(lab_calls, calls);
}
END_TEST

START_TEST(a_header_block_in_two_frames)
{
	AUTO_BUF block = BUF_NONE;
	unsigned calls = keep();

	h2_fields(&block, "GET", "/same");
	h2_say(fd, T_HEADERS, F_END_STREAM, id += 2, block.p, 5);
	h2_say(fd, T_CONTINUATION, F_END_HEADERS, id, block.p + 5, block.n - 5);
	HAS(h2_answer_of(fd, id), ":status: 304\n");
	ck_assert_uint_eq(lab_calls, calls + 1);
	keep();
	check_alive();
}
END_TEST

START_TEST(what_is_never_given_again)
{
	for (int i = 0; i < 5; i++) {
		h2_ask_with(fd, id += 2, "GET", "/same", "traceparent",
			    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			    true);
		HAS(h2_answer_of(fd, id), "\nx-conflux-trace: 0af765");
		h2_ask(fd, id += 2, "HEAD", "/same", true);
		h2_answer_of(fd, id);
		h2_ask(fd, id += 2, "GET", "/same", false);
		h2_data(fd, id, "body", true);
		h2_answer_of(fd, id);
	}
	ck_assert_uint_eq(lab_calls, 15);
}
END_TEST

/* ---- answers with a body ---- */

START_TEST(a_body_is_not_made_again)
{
	char first[1024], other[1024], text[40];
	unsigned calls = keep_path("/counted");

	snprintf(text, sizeof(text), "\n\nversion 0, call %u!", calls);
	blank(first, sizeof(first), ask_path("/counted", 1));
	HAS(first, ":status: 200\n");
	HAS(first, "\nx-version: 0\n");
	HAS(first, "\ncontent-type: text/plain\n");
	HAS(first, text);
	blank(other, sizeof(other), ask_path("/counted", 5));
	ck_assert_str_eq(first, other);
	ck_assert_uint_eq(lab_calls, calls);
	/* Of another state, and to another request, it is another. */
	atomic_store(&lab_version, 7);
	HAS(ask_path("/counted", 1), "\n\nversion 7, call ");
	HAS(ask_path("/counted?a", 1), "\n\nversion 7, call ");
	HAS(ask_path("/same", 1), ":status: 304\n");
	HAS(ask_path("/counted", 1), "\n\nversion 7, call ");
	ck_assert_uint_eq(lab_calls, calls + 4);
	h2_ask(fd, id += 2, "HEAD", "/counted", true);
	HAS(h2_answer_of(fd, id), "\ncontent-length: ");
	h2_ask(fd, id += 2, "GET", "/counted", false);
	h2_data(fd, id, "body", true);
	h2_answer_of(fd, id);
	ck_assert_uint_eq(lab_calls, calls + 6);
}
END_TEST

/* HEADERS of GET; END_STREAM where it is whole. */
static void put_get(struct buf *out, const char *path, bool whole)
{
	AUTO_BUF block = BUF_NONE;

	h2_fields(&block, "GET", path);
	h2_frame_put(out, T_HEADERS, F_END_HEADERS | (whole ? F_END_STREAM : 0), id += 2,
		     block.p, block.n);
}

/* They come in one piece: none gets the answer of another, and a request whose body is
 * still to come is none that was answered before. */
START_TEST(bodies_of_many_at_once)
{
	AUTO_BUF all = BUF_NONE;
	unsigned first, half, calls = keep_path("/counted");

	first = id + 2;
	for (int i = 0; i < 8; i++)
		put_get(&all, "/counted", true);
	client_say_n(fd, all.p, all.n);
	for (; first <= id; first += 2)
		HAS(h2_answer_of(fd, first), "\n\nversion 0, call ");
	ck_assert_uint_eq(lab_calls, calls);
	buf_reset(&all);
	put_get(&all, "/counted", true);
	put_get(&all, "/counted", false);
	half = id;
	put_get(&all, "/counted", true);
	h2_frame_put(&all, T_DATA, F_END_STREAM, half, "x", 1);
	client_say_n(fd, all.p, all.n);
	HAS(h2_answer_of(fd, half - 2), "\n\nversion 0, call ");
	HAS(h2_answer_of(fd, half), "\n\nversion 0, call ");
	HAS(h2_answer_of(fd, half + 2), "\n\nversion 0, call ");
	/* The one that is another was handled; where a second began, one more may be. */
	ck_assert_uint_ge(lab_calls, calls + 1);
	ck_assert_uint_le(lab_calls, calls + 2);
	buf_reset(&all);
	put_get(&all, "/counted", true);
	put_get(&all, "/hello", true);
	put_get(&all, "/counted", true);
	client_say_n(fd, all.p, all.n);
	HAS(h2_answer_of(fd, id - 4), "\n\nversion 0, call ");
	HAS(h2_answer_of(fd, id - 2), "\n\nhello");
	HAS(h2_answer_of(fd, id), "\n\nversion 0, call ");
	check_alive();
}
END_TEST

/* The client is told that the end comes, asked whether it has heard, and told the last
 * stream. */
static uint32_t goaway_for_good(void)
{
	struct h2_frame f = h2_wait(fd, T_GOAWAY, 0);

	ck_assert_uint_eq(last_stream(&f), INT32_MAX);
	f = h2_wait(fd, T_PING, 0);
	h2_say(fd, T_PING, F_ACK, 0, f.p, f.n);
	f = h2_wait(fd, T_GOAWAY, 0);
	return last_stream(&f);
}

START_TEST(who_ends_names_the_last)
{
	keep();
	lab_drain(10000);
	ck_assert_uint_eq(goaway_for_good(), id);
	h2_goaway(fd);
	lab_wait_drained();
}
END_TEST

/* Whoever goes on asking was told that nobody hears him. */
START_TEST(who_has_ended_answers_nothing)
{
	unsigned last, calls;

	h2_ask(fd, id += 2, "GET", "/later", true);
	last = id;
	lab_wait_later(1);
	calls = keep();
	lab_drain(10000);
	ck_assert_uint_eq(goaway_for_good(), id);
	h2_ask(fd, id += 2, "GET", "/same", true);
	h2_say(fd, T_PING, 0, 0, "12345678", 8);
	h2_wait(fd, T_PING, 0);
	ck_assert_str_eq(h2_text_of(fd, id), "");
	ck_assert_uint_eq(lab_calls, calls);
	lab_answer_later("late");
	HAS(h2_answer_of(fd, last), "late");
	h2_goaway(fd);
	lab_wait_drained();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/server/h2_repeat");
	TCase *t = tcase_create("h2_repeat");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_same_again_is_not_made_again);
	tcase_add_test(t, the_same_is_not_of_the_past);
	tcase_add_test(t, another_state_is_another_answer);
	tcase_add_test(t, another_request_is_another);
	tcase_add_test(t, the_same_bytes_may_mean_another_thing);
	tcase_add_test(t, another_table_is_another_answer);
	tcase_add_test(t, answers_of_others_stand_between);
	tcase_add_test(t, many_at_once);
	tcase_add_test(t, bytes_one_by_one);
	tcase_add_test(t, what_is_said_to_a_stream_that_is_over);
	tcase_add_loop_test(t, a_stream_that_is_over_stays_so, 0, 3);
	tcase_add_test(t, a_stream_that_was_not_begun);
	tcase_add_test(t, not_within_a_header_block);
	tcase_add_test(t, a_header_block_in_two_frames);
	tcase_add_test(t, what_is_never_given_again);
	tcase_add_test(t, a_body_is_not_made_again);
	tcase_add_test(t, bodies_of_many_at_once);
	tcase_add_test(t, who_ends_names_the_last);
	tcase_add_test(t, who_has_ended_answers_nothing);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
