/* Answers that are given again without their handler. */
#include <dirent.h>
#include <unistd.h>

#include "lab.h"

#include "base/banned.h"

#define GET(path) "GET " path " HTTP/1.1\r\nhost: h\r\n\r\n"

static int fd;

static void setup(void)
{
	lab_setup();
	lab_start();
	fd = client_new();
}

static void teardown(void)
{
	client_close(fd);
	lab_teardown();
}

/* Says it so many times, one after another; what the last is answered. */
static const char *ask(const char *text, unsigned times)
{
	const char *heard = NULL;

	while (times--) {
		client_say(fd, text);
		heard = client_hear(fd, "!");
	}
	return heard;
}

static void do_nothing(void)
{
}

static void trace_of(const char *heard, char out[40])
{
	const char *at = strstr(heard, "X-Conflux-Trace: ");

	ck_assert_ptr_nonnull(at);
	ck_assert(str_copy(out, 40, str_n(at + strlen("X-Conflux-Trace: "), 32)));
}

START_TEST(the_same_again_is_not_made_again)
{
	char trace[40], other[40];
	const char *heard = ask(GET("/counted"), 10);

	/* The first is new, the second is kept, the third is answered for good. */
	ck_assert_uint_eq(lab_calls, 3);
	ck_assert_ptr_nonnull(strstr(heard, "version 0, call 3!"));
	ck_assert_ptr_nonnull(strstr(heard, "HTTP/1.1 200 OK\r\n"));
	ck_assert_ptr_nonnull(strstr(heard, "\r\nDate: "));
	ck_assert_ptr_nonnull(strstr(heard, "\r\nX-Version: 0\r\n"));
	ck_assert_ptr_nonnull(strstr(heard, "\r\nContent-Type: text/plain\r\n"));
	ck_assert_ptr_nonnull(strstr(heard, "\r\nContent-Length: 18\r\n"));
	/* Each has a trace of its own. */
	trace_of(heard, trace);
	trace_of(ask(GET("/counted"), 1), other);
	ck_assert_str_ne(trace, other);
	ck_assert_uint_eq(lab_calls, 3);
}
END_TEST

/* Three that take turns are each answered again, and each its own. */
START_TEST(some_that_take_turns_are_kept)
{
	static const char *const texts[] = {
		GET("/counted"), GET("/counted?a=1"), GET("/counted?a=2"),
	};
	char first[ARRAY_LEN(texts)][40], body[40];
	unsigned calls = 0;

	for (int round = 0; round < 10; round++) {
		for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
			const char *heard = strstr(ask(texts[i], 1), "version");

			ck_assert_ptr_nonnull(heard);
			str_copy(round == 3 ? first[i] : body, 40, str_of(heard));
			if (round > 3)
				ck_assert_str_eq(body, first[i]);
		}
		if (round == 3)
			calls = lab_calls;
	}
	ck_assert_uint_eq(lab_calls, calls);
	ck_assert_str_ne(first[0], first[1]);
	ck_assert_str_ne(first[1], first[2]);
}
END_TEST

/* With a fourth the oldest is made anew each time, and said right; what is kept of
 * others goes with the connection. */
START_TEST(more_that_take_turns_are_answered_too)
{
	static const char *const texts[] = {
		GET("/counted"), GET("/counted?a=1"), GET("/counted?a=2"),
		GET("/counted?a=3"), "HEAD /counted HTTP/1.1\r\nhost: h\r\n\r\n",
	};
	unsigned calls;

	for (int round = 0; round < 5; round++)
		for (size_t i = 0; i < 4; i++)
			ask(texts[i], 1);
	ck_assert_uint_eq(lab_calls, 20);
	/* Whoever is asked twice in a row is among the kept again. */
	ask(texts[0], 3);
	calls = lab_calls;
	client_say(fd, texts[4]);
	client_hear(fd, "\r\n\r\n");
	ck_assert_uint_eq(lab_calls, calls + 1);
	ask(texts[0], 1);
	ck_assert_uint_eq(lab_calls, calls + 1);
}
END_TEST

/* What it says is gone when it was sent. */
START_TEST(an_error_is_made_each_time)
{
	for (unsigned i = 1; i < 6; i++) {
		client_say(fd, GET("/counted?fails"));
		ck_assert_ptr_nonnull(strstr(client_hear(fd, "}\n"), "went wrong!"));
		ck_assert_uint_eq(lab_calls, i);
	}
}
END_TEST

/* Date and trace are of each answer alone. */
static void blank(char *out, size_t size, const char *heard)
{
	static const char *const lines[] = { "\r\nDate: ", "\r\nX-Conflux-Trace: " };

	ck_assert(str_copy(out, size, str_of(heard)));
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		char *p = strstr(out, lines[i]);

		ck_assert_ptr_nonnull(p);
		for (p += strlen(lines[i]); *p != '\r'; p++)
			*p = '-';
	}
}

static void date_of(const char *heard, char out[40])
{
	const char *at = strstr(heard, "\r\nDate: ");

	ck_assert_ptr_nonnull(at);
	ck_assert(str_copy(out, 40, str_n(at + 8, 29)));
}

/* Whether the request came alone, in two pieces, or before another. */
START_TEST(the_same_is_the_same_however_it_comes)
{
	static const char once[] = GET("/counted"), twice[] = GET("/counted")
		GET("/counted");
	char first[1024], other[1024];

	blank(first, sizeof(first), ask(once, 3));
	blank(other, sizeof(other), ask(once, 1));
	ck_assert_str_eq(first, other);
	client_say_n(fd, once, 10);
	lab_do(do_nothing);
	client_say(fd, once + 10);
	blank(other, sizeof(other), client_hear(fd, "!"));
	ck_assert_str_eq(first, other);
	client_say(fd, twice);
	for (int i = 0; i < 2; i++) {
		blank(other, sizeof(other), client_hear(fd, "!"));
		ck_assert_str_eq(first, other);
	}
	ck_assert_uint_eq(lab_calls, 3);
}
END_TEST

static void date_at(int other, char out[40])
{
	client_say(other, "HEAD /hello HTTP/1.1\r\nhost: h\r\n\r\n");
	date_of(client_hear(other, "\r\n\r\n"), out);
}

/* Its date is that of any other answer at that time. */
START_TEST(the_same_is_not_of_the_past)
{
	char past[40], before[40], now[40], after[40];
	int other = client_new();

	date_of(ask(GET("/counted"), 4), past);
	do
		date_at(other, before);
	while (strcmp(past, before) == 0);
	do {
		date_at(other, before);
		date_of(ask(GET("/counted"), 1), now);
		date_at(other, after);
		/* A second may begin between them. */
	} while (strcmp(before, after) != 0);
	ck_assert_str_eq(now, after);
	ck_assert_uint_eq(lab_calls, 3);
	client_close(other);
}
END_TEST

START_TEST(a_server_that_ends_says_so)
{
	ask(GET("/counted"), 5);
	lab_drain(10000);
	ck_assert_ptr_nonnull(strstr(ask(GET("/counted"), 1),
				     "\r\nConnection: close\r\n"));
	client_hear_end(fd);
}
END_TEST

START_TEST(another_state_is_another_answer)
{
	ask(GET("/counted"), 4);
	ck_assert_uint_eq(lab_calls, 3);
	atomic_store(&lab_version, 7);
	ck_assert_ptr_nonnull(strstr(ask(GET("/counted"), 1), "version 7, call 4!"));
	ck_assert_ptr_nonnull(strstr(ask(GET("/counted"), 5), "version 7, call 4!"));
	ck_assert_uint_eq(lab_calls, 4);
}
END_TEST

START_TEST(another_request_is_another)
{
	struct http_stats stats;

	ask(GET("/counted"), 4);
	client_say(fd, GET("/hello"));
	client_hear(fd, "hello");
	/* Another between them takes nothing away. */
	ck_assert_ptr_nonnull(strstr(ask(GET("/counted"), 1), "call 3!"));
	/* A query is part of it, and so is each header. */
	ask(GET("/counted?a"), 4);
	ck_assert_uint_eq(lab_calls, 5);
	ask(GET("/counted?b"), 1);
	ck_assert_uint_eq(lab_calls, 6);
	lab_stats(&stats);
	ck_assert_uint_eq(stats.requests, 11);
	ck_assert_uint_eq(stats.by_class[2], 11);
}
END_TEST

#define TRACED "GET /counted HTTP/1.1\r\nhost: h\r\ntraceparent: "

/* It finds its own trace in the answer, and nobody else's. */
static void ask_traced(unsigned trace, const char *pause)
{
	char text[200], want[40], got[40];

	snprintf(want, sizeof(want), "%032x", trace);
	snprintf(text, sizeof(text), TRACED "00-%s-b7ad6b7169203331-01\r\n\r\n", want);
	if (pause) {
		client_say_n(fd, text, (size_t)(strstr(text, pause) - text));
		lab_do(do_nothing);
		client_say(fd, strstr(text, pause));
	} else {
		client_say(fd, text);
	}
	trace_of(client_hear(fd, "!"), got);
	if (trace)
		ck_assert_str_eq(got, want);
	else
		ck_assert_str_ne(got, want);
}

START_TEST(who_traces_finds_his_own_trace)
{
	for (unsigned i = 1; i <= 10; i++)
		ask_traced(i, NULL);
	ck_assert_uint_eq(lab_calls, 3);
	/* That is none. */
	ask_traced(0, NULL);
	ck_assert_uint_eq(lab_calls, 3);
	/* Of which a line was there before it is taken apart anew. */
	ask_traced(11, "b7ad6b");
	ask_traced(12, "host");
	ck_assert_uint_eq(lab_calls, 5);
	/* Without one it is another request. */
	ask(GET("/counted"), 1);
	ck_assert_uint_eq(lab_calls, 6);
	atomic_store(&lab_version, 7);
	ask_traced(13, NULL);
	ck_assert_uint_eq(lab_calls, 7);
}
END_TEST

/* Of these each is handled. */
static const char *const never[] = {
	TRACED "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x\r\n\r\n",
	TRACED "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntraceparent: "
	"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
	"GET /counted HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx",
};

START_TEST(what_is_never_given_again)
{
	ask(never[_i], 5);
	ck_assert_uint_eq(lab_calls, 5);
}
END_TEST

START_TEST(the_head_alone_is_asked_of_the_handler)
{
	for (int i = 0; i < 5; i++) {
		client_say(fd, "HEAD /counted HTTP/1.1\r\nhost: h\r\n\r\n");
		client_hear(fd, "\r\n\r\n");
	}
	ck_assert_uint_eq(lab_calls, 5);
	ck_assert(client_is_quiet(fd));
}
END_TEST

START_TEST(many_at_once_are_answered_in_order)
{
	static const char many[] = GET("/counted") GET("/counted") GET("/counted")
		GET("/counted") GET("/hello") GET("/counted") GET("/counted");

	client_say(fd, many);
	for (int i = 1; i < 5; i++) {
		char want[20];

		snprintf(want, sizeof(want), "call %d!", i < 4 ? i : 3);
		client_hear(fd, want);
	}
	client_hear(fd, "hello");
	client_hear(fd, "call 3!");
	client_hear(fd, "call 3!");
	ck_assert_uint_eq(lab_calls, 3);
}
END_TEST

START_TEST(a_connection_that_ends_is_told_so)
{
	const char *heard;

	ask(GET("/counted"), 5);
	client_say(fd, "GET /counted HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
	heard = client_hear_end(fd);
	ck_assert_ptr_nonnull(strstr(heard, "\r\nConnection: close\r\n"));
	ck_assert_ptr_nonnull(strstr(heard, "call 4!"));
}
END_TEST

/* ---- large ones ---- */

/* Open files of that name. */
static unsigned files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	unsigned n = 0;

	ck_assert_ptr_nonnull(dir);
	while ((e = readdir(dir))) {
		char path[300], to[64] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%s", e->d_name);
		(void)!readlink(path, to, sizeof(to) - 1);
		n += strncmp(to, "/memfd:body", 11) == 0;
	}
	closedir(dir);
	return n;
}

static void hear_large(void)
{
	const char *body = strstr(client_hear(fd, "!"), "\r\n\r\n");

	ck_assert_ptr_nonnull(body);
	ck_assert_str_eq(body + 4, lab_large);
}

START_TEST(large_ones_are_sent_from_one_place)
{
	ck_assert_uint_eq(files(), 0);
	for (int i = 0; i < 10; i++) {
		client_say(fd, GET("/large"));
		hear_large();
	}
	ck_assert_uint_eq(lab_calls, 3);
	ck_assert_uint_eq(files(), 1);
	client_close(fd);
	fd = client_new();
	ask(GET("/large"), 10);
	ck_assert_uint_eq(files(), 1);
}
END_TEST

/* What the socket does not take waits, in its place. */
START_TEST(large_ones_to_a_slow_reader)
{
	ask(GET("/large"), 3);
	for (int i = 0; i < 600; i++) {
		client_say(fd, GET("/large"));
		lab_do(do_nothing);
	}
	for (int i = 0; i < 600; i++)
		hear_large();
	ck_assert(client_is_quiet(fd));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/server/memo");
	TCase *t = tcase_create("memo");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_same_again_is_not_made_again);
	tcase_add_test(t, an_error_is_made_each_time);
	tcase_add_test(t, some_that_take_turns_are_kept);
	tcase_add_test(t, more_that_take_turns_are_answered_too);
	tcase_add_test(t, the_same_is_the_same_however_it_comes);
	tcase_add_test(t, the_same_is_not_of_the_past);
	tcase_add_test(t, a_server_that_ends_says_so);
	tcase_add_test(t, another_state_is_another_answer);
	tcase_add_test(t, another_request_is_another);
	tcase_add_test(t, who_traces_finds_his_own_trace);
	tcase_add_loop_test(t, what_is_never_given_again, 0, ARRAY_LEN(never));
	tcase_add_test(t, the_head_alone_is_asked_of_the_handler);
	tcase_add_test(t, many_at_once_are_answered_in_order);
	tcase_add_test(t, a_connection_that_ends_is_told_so);
	tcase_add_test(t, large_ones_are_sent_from_one_place);
	tcase_add_test(t, large_ones_to_a_slow_reader);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
