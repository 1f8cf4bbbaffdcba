/* Answers over HTTP/2 that are given again with their body, and the client's windows. */
#include "h2_client.h"

#include <stdio.h>

#include "base/banned.h"

#define PROTOCOL_ERROR 1u
#define FLOW_CONTROL_ERROR 3u
#define INITIAL_WINDOW 4u
#define SMALL "/large?small"
#define SMALL_BYTES 8000u
#define WINDOW 65535                     /* where nothing was said of it */
#define STREAMS 400
/* A literal that no table learns of, which nghttp2 does not make of it. */
#define DATE_FIELD "\x0f\x12\x1d"

static int fd;
static unsigned id;                      /* of the last stream */
static int64_t window;                   /* of the connection, as the client counts */
static unsigned n_given;                 /* without nghttp2 */
static size_t bytes_of[STREAMS];
static char last_trace[32];

static void setup(void)
{
	lab_setup();
	lab_start();
	fd = h2_new();
	h2_wait(fd, T_SETTINGS, 0);
	h2_table(fd, 4096);
	id = UINT32_MAX;
	window = WINDOW;
	n_given = 0;
	memset(bytes_of, 0, sizeof(bytes_of));
}

static void teardown(void)
{
	h2_close(fd);
	lab_teardown();
}

static void note(const struct h2_frame *f)
{
	if (f->type == T_HEADERS &&
	    memmem(f->p, f->n, DATE_FIELD, sizeof(DATE_FIELD) - 1))
		n_given++;
	if (f->type != T_DATA)
		return;
	ck_assert_uint_lt(f->id / 2, STREAMS);
	bytes_of[f->id / 2] += f->n;
	window -= (int64_t)f->n;
	ck_assert_msg(window >= 0, "%lld more than the window", (long long)-window);
}

/* What was said by now is handled, and what could be sent of it is heard. */
static void settle(void)
{
	struct h2_frame f;

	/* The first is answered before requests that came with it. */
	for (int i = 0; i < 2; i++) {
		h2_say(fd, T_PING, 0, 0, "12345678", 8);
		do {
			ck_assert(h2_hear(fd, &f));
			note(&f);
		} while (f.type != T_PING || !(f.flags & F_ACK));
	}
}

static void open_by(uint32_t n)
{
	window += n;
	h2_window(fd, 0, n);
}

static void ask(const char *path)
{
	h2_ask(fd, id += 2, "GET", path, true);
}

static size_t heard(void)
{
	return bytes_of[id / 2];
}

static const char *only(const char *heard, const char *part)
{
	const char *at = strstr(heard, part);

	ck_assert_msg(at && !strstr(at + 1, part), "not one '%s' in: %s", part, heard);
	return at + strlen(part);
}

static void ask_whole(void)
{
	char head[1024];
	const char *heard_all, *text;

	ask(SMALL);
	settle();
	ck_assert_uint_eq(heard(), SMALL_BYTES);
	heard_all = h2_text_of(fd, id);
	text = strstr(heard_all, "\n\n");
	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(memcmp(text + 2, lab_large, SMALL_BYTES), 0);
	ck_assert(str_copy(head, sizeof(head),
			   str_n(heard_all, (size_t)(text + 1 - heard_all))));
	only(head, ":status: 200\n");
	only(head, "\ndate: ");
	only(head, "\ncontent-type: text/plain\n");
	only(head, "\ncontent-length: 8000\n");
	/* Each has its own. */
	text = only(head, "\nx-conflux-trace: ");
	ck_assert_int_ne(strncmp(text, last_trace, sizeof(last_trace)), 0);
	memcpy(last_trace, text, sizeof(last_trace));
}

/* Until one is given without nghttp2; the window is as it was. */
static void keep(void)
{
	unsigned before = n_given;

	for (int i = 0; i < 20 && n_given == before; i++) {
		ask_whole();
		open_by(SMALL_BYTES);
	}
	ck_assert_uint_eq(n_given, before + 1);
	settle();
}

START_TEST(a_small_body_goes_behind_its_block)
{
	struct http_stats stats;
	unsigned calls;

	keep();
	calls = lab_calls;
	for (int i = 0; i < 20; i++) {
		ask_whole();
		open_by(SMALL_BYTES);
	}
	/* But where a second begins. */
	ck_assert_uint_ge(n_given, 15);
	ck_assert_uint_eq(lab_calls, calls);
	ck_assert_uint_eq(lab_bytes, 9 + SMALL_BYTES);
	lab_stats(&stats);
	ck_assert_uint_eq(stats.requests, (id + 1) / 2);
	ck_assert_uint_eq(stats.by_class[2], (id + 1) / 2);
	atomic_store(&lab_version, 7);
	ask_whole();
	ck_assert_uint_eq(lab_calls, calls + 1);
}
END_TEST

START_TEST(a_large_body_does_not)
{
	for (int i = 0; i < 10; i++) {
		ask("/large");
		settle();
		ck_assert_uint_eq(heard(), LAB_LARGE);
		open_by(LAB_LARGE);
	}
	ck_assert_uint_eq(n_given, 0);
	ck_assert_uint_le(lab_calls, 4);
}
END_TEST

START_TEST(a_small_body_becomes_a_large_one)
{
	keep();
	atomic_store(&lab_version, LAB_GROWS);
	n_given = 0;
	for (int i = 0; i < 6; i++) {
		ask(SMALL);
		settle();
		ck_assert_uint_eq(heard(), LAB_LARGE);
		open_by(LAB_LARGE);
	}
	ck_assert_uint_eq(n_given, 0);
}
END_TEST

/* What the block of the answer was made of is no more. */
START_TEST(answers_of_others_stand_between)
{
	static const char text[] = "some body";

	for (unsigned i = 0; i < 5; i++) {
		keep();
		h2_ask_with(fd, id += 2, "POST", "/echo", "content-type", "text/x", false);
		h2_data(fd, id, text + i, true);
		settle();
		ck_assert_ptr_nonnull(strstr(h2_text_of(fd, id), text + i));
		open_by((uint32_t)strlen(text + i));
	}
}
END_TEST

/* Nothing is left of the window: the rest goes as it opens, by however little. */
static void fill_window(void)
{
	keep();
	n_given = 0;
	while (window >= SMALL_BYTES)
		ask_whole();
	ck_assert_uint_ge(n_given, 5);
	ask(SMALL);
	settle();
	ck_assert_int_eq(window, 0);
	ck_assert_uint_gt(heard(), 0);
}

START_TEST(what_is_borrowed_is_paid_back_first)
{
	size_t before;

	fill_window();
	before = heard();
	ck_assert_uint_lt(before, SMALL_BYTES);
	open_by(100);
	settle();
	ck_assert_uint_eq(heard(), before + 100);
	open_by(SMALL_BYTES);
	settle();
	ck_assert_uint_eq(heard(), SMALL_BYTES);
	open_by(WINDOW);
	keep();
}
END_TEST

START_TEST(who_waits_may_be_reset)
{
	static const char cancel[] = { 0, 0, 0, 8 };
	size_t before;

	fill_window();
	before = heard();
	h2_say(fd, T_RST, 0, id, cancel, sizeof(cancel));
	open_by(WINDOW);
	settle();
	ck_assert_uint_eq(heard(), before);
	keep();
}
END_TEST

static void put_window(struct buf *out, uint32_t n)
{
	const uint8_t p[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
			       (uint8_t)n };

	h2_frame_put(out, T_WINDOW, 0, 0, p, sizeof(p));
}

START_TEST(who_waits_goes_first)
{
	AUTO_BUF block = BUF_NONE;
	AUTO_BUF all = BUF_NONE;
	unsigned first;

	fill_window();
	first = id;
	h2_fields(&block, "GET", SMALL);
	put_window(&all, SMALL_BYTES);
	h2_frame_put(&all, T_HEADERS, F_END_HEADERS | F_END_STREAM, id += 2, block.p,
		     block.n);
	window += SMALL_BYTES;
	client_say_n(fd, all.p, all.n);
	settle();
	ck_assert_uint_eq(bytes_of[first / 2], SMALL_BYTES);
	ck_assert_int_eq(window, 0);
	open_by(WINDOW);
	settle();
	ck_assert_uint_eq(heard(), SMALL_BYTES);
}
END_TEST

/* All kinds of answers at once: together never more than the client takes. */
START_TEST(the_window_holds_for_all)
{
	unsigned first, last;

	keep();
	first = id + 2;
	for (unsigned i = 0; i < 60; i++) {
		for (unsigned k = 0; k < 1 + i % 3; k++)
			ask(SMALL);
		if (i % 5 == 4)
			ask("/large");
		settle();
		open_by(1 + i * 7919 % 21000);
		settle();
	}
	last = id;
	for (int i = 0; i < 200; i++) {
		open_by(10000);
		settle();
	}
	for (; first <= last; first += 2)
		ck_assert_msg(bytes_of[first / 2] == SMALL_BYTES ||
			      bytes_of[first / 2] == LAB_LARGE, "%u: %zu bytes", first,
			      bytes_of[first / 2]);
	ck_assert_uint_ge(n_given, 5);
}
END_TEST

START_TEST(the_window_of_each_stream_counts)
{
	keep();
	n_given = 0;
	h2_setting(fd, INITIAL_WINDOW, 300);
	for (int i = 0; i < 5; i++) {
		ask(SMALL);
		settle();
		ck_assert_uint_eq(heard(), 300);
		h2_window(fd, id, SMALL_BYTES - 301);
		settle();
		ck_assert_uint_eq(heard(), SMALL_BYTES - 1);
		h2_window(fd, id, 1);
		settle();
		ck_assert_uint_eq(heard(), SMALL_BYTES);
		open_by(SMALL_BYTES);
	}
	h2_setting(fd, INITIAL_WINDOW, SMALL_BYTES - 1);
	for (int i = 0; i < 5; i++) {
		ask(SMALL);
		settle();
		ck_assert_uint_eq(heard(), SMALL_BYTES - 1);
		h2_window(fd, id, 1);
		settle();
		open_by(SMALL_BYTES);
	}
	ck_assert_uint_eq(n_given, 0);
	h2_setting(fd, INITIAL_WINDOW, SMALL_BYTES);
	keep();
}
END_TEST

/* Something is borrowed of the largest window that there may be. */
static void borrow_of_most(void)
{
	keep();
	open_by((uint32_t)(INT32_MAX - window));
	n_given = 0;
	for (int i = 0; i < 10 && n_given == 0; i++)
		ask_whole();
	ck_assert_uint_eq(n_given, 1);
}

/* It may be opened by what was sent, and no further; in however many pieces it comes. */
START_TEST(the_window_has_an_end)
{
	AUTO_BUF all = BUF_NONE;
	bool in_pieces = _i & 1, is_more = _i & 2;
	uint32_t n;

	borrow_of_most();
	n = (uint32_t)(INT32_MAX - window);
	put_window(&all, n + is_more);
	for (size_t at = 0, step = in_pieces ? 11 : all.n; at < all.n; at += step)
		client_say_n(fd, all.p + at, MIN(step, all.n - at));
	if (is_more) {
		ck_assert_uint_eq(h2_goaway(fd), FLOW_CONTROL_ERROR);
		return;
	}
	window += n;
	settle();
	ask_whole();
}
END_TEST

START_TEST(nothing_is_no_window)
{
	borrow_of_most();
	h2_window(fd, 0, 0);
	ck_assert_uint_eq(h2_goaway(fd), PROTOCOL_ERROR);
}
END_TEST

START_TEST(nothing_is_paid_within_a_header_block)
{
	AUTO_BUF block = BUF_NONE;

	borrow_of_most();
	h2_fields(&block, "GET", "/hello");
	h2_say(fd, T_HEADERS, F_END_STREAM, id += 2, block.p, block.n);
	h2_window(fd, 0, 1);
	ck_assert_uint_eq(h2_goaway(fd), PROTOCOL_ERROR);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/server/h2_windows");
	TCase *t = tcase_create("h2_windows");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_small_body_goes_behind_its_block);
	tcase_add_test(t, a_large_body_does_not);
	tcase_add_test(t, a_small_body_becomes_a_large_one);
	tcase_add_test(t, answers_of_others_stand_between);
	tcase_add_test(t, what_is_borrowed_is_paid_back_first);
	tcase_add_test(t, who_waits_may_be_reset);
	tcase_add_test(t, who_waits_goes_first);
	tcase_add_test(t, the_window_holds_for_all);
	tcase_add_test(t, the_window_of_each_stream_counts);
	tcase_add_loop_test(t, the_window_has_an_end, 0, 4);
	tcase_add_test(t, nothing_is_no_window);
	tcase_add_test(t, nothing_is_paid_within_a_header_block);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
