/* Answers that are looked up as the client takes them. */
#include "h2_client.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"

#include "base/banned.h"

#define GET(path) "GET " path " HTTP/1.1\r\nhost: h\r\n\r\n"
#define PIECE 65536u

static int fd;

static void setup(void)
{
	lab_setup();
	fd = -1;
}

static void teardown(void)
{
	if (fd >= 0)
		client_close(fd);
	lab_teardown();
	ck_assert_uint_eq(lab_sources, 0);
}

static void start(void)
{
	lab_start();
	fd = client_new();
}

static bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

/* So many bytes of the body of /source, from 'at' on, in sips of up to 'most'. */
static void hear_source(uint64_t at, uint64_t n, size_t most)
{
	char bytes[PIECE];

	while (n) {
		ssize_t k = recv(fd, bytes, MIN(most, n), 0);

		ck_assert_msg(k > 0, "at %llu: %s", (unsigned long long)at,
			      k ? strerror(errno) : "the end");
		ck_assert_msg(memcmp(bytes, lab_source_bytes() + at, (size_t)k) == 0,
			      "other bytes at %llu", (unsigned long long)at);
		at += (uint64_t)k;
		n -= (uint64_t)k;
	}
}

/* A header block, byte by byte: what is behind it stays where it is. */
static const char *hear_head(void)
{
	static char head[2048];
	size_t n = 0;

	while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
		ck_assert_uint_lt(n, sizeof(head) - 1);
		ck_assert_int_eq(recv(fd, head + n, 1, 0), 1);
		n++;
	}
	head[n] = '\0';
	return head;
}

static void ask(unsigned size)
{
	char text[128];

	snprintf(text, sizeof(text), "GET /source/%u HTTP/1.1\r\nhost: h\r\n\r\n",
		 size);
	client_say(fd, text);
}

static void hear_answer(unsigned size, size_t most)
{
	char length[64];

	snprintf(length, sizeof(length), "Content-Length: %u\r\n", size);
	ck_assert(has(hear_head(), length));
	hear_source(0, size, most);
}

static void take_little(void)
{
	int n = 256 * 1024;

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n)), 0);
}

/* ---- HTTP/1.1 ---- */

static const unsigned sizes[] = { 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3000001 };

START_TEST(all_of_it_comes)
{
	start();
	for (int i = 0; i < 3; i++) {
		ask(sizes[_i]);
		hear_answer(sizes[_i], PIECE);
	}
	client_say(fd, GET("/hello"));
	client_hear(fd, "\r\n\r\nhello");
}
END_TEST

/* It is looked up as it is taken, and only when nothing waits for the socket. */
START_TEST(a_slow_reader_gets_all_of_it)
{
	lab_start();
	fd = client_new();
	take_little();
	ask(LAB_SOURCE_MAX);
	hear_head();
	hear_source(0, 100000, 1000);
	ck_assert_uint_lt(lab_source_at, LAB_SOURCE_MAX - PIECE);
	ck_assert_uint_eq(lab_sources, 1);
	hear_source(100000, LAB_SOURCE_MAX - 100000, 7000);
	ck_assert_uint_eq(lab_source_at, LAB_SOURCE_MAX - PIECE);
	ck_assert_uint_eq(lab_source_pending, 0);
	client_say(fd, GET("/hello"));
	client_hear(fd, "\r\n\r\nhello");
	ck_assert_uint_eq(lab_sources, 0);
}
END_TEST

/* The order is that of the requests; what waits for its turn is not looked up. */
START_TEST(behind_and_before_others)
{
	start();
	client_say(fd, GET("/later") GET("/source/200000") GET("/hello")
		   GET("/source/70000") GET("/source/3"));
	lab_wait_later(1);
	ck_assert_uint_eq(lab_source_at, 0);
	lab_answer_later("late");
	ck_assert(has(hear_head(), "Content-Length: 4\r\n"));
	ck_assert_int_eq(recv(fd, (char[4]){ 0 }, 4, MSG_WAITALL), 4);
	hear_answer(200000, PIECE);
	ck_assert(has(hear_head(), "X-Test: yes"));
	ck_assert_int_eq(recv(fd, (char[5]){ 0 }, 5, MSG_WAITALL), 5);
	hear_answer(70000, PIECE);
	hear_answer(3, PIECE);
}
END_TEST

/* Whoever asks on and on and reads nothing has one answer, not sixty-four. */
START_TEST(what_is_behind_it_is_not_made)
{
	struct http_stats stats;
	unsigned n = 0;

	start();
	take_little();
	for (int i = 0; i < 60; i++)
		client_say(fd, GET("/source/8388608"));
	client_say(fd, GET("/hello"));
	do
		lab_stats(&stats);
	while (stats.requests == 0);
	hear_head();
	hear_source(0, 1000000, 5000);
	lab_stats(&stats);
	ck_assert_uint_eq(stats.requests, 1);
	ck_assert_uint_eq(lab_sources, 1);
	hear_source(1000000, LAB_SOURCE_MAX - 1000000, PIECE);
	for (n = 1; n < 3; n++)
		hear_answer(LAB_SOURCE_MAX, PIECE);
}
END_TEST

START_TEST(ends_of_the_connection)
{
	static const char *const heads[] = {
		"GET /source/300000 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
		"GET /source/300000 HTTP/1.0\r\n\r\n",
		GET("/source/300000"),
	};

	start();
	take_little();
	client_say(fd, heads[_i]);
	if (_i == 2)
		client_half_close(fd);
	hear_answer(300000, 3000);
	ck_assert_int_eq(recv(fd, (char[1]){ 0 }, 1, 0), 0);
}
END_TEST

START_TEST(a_head_looks_nothing_up)
{
	start();
	client_say(fd, "HEAD /source/300000 HTTP/1.1\r\nhost: h\r\n\r\n" GET("/hello"));
	ck_assert(has(hear_head(), "Content-Length: 300000\r\n"));
	client_hear(fd, "\r\n\r\nhello");
	ck_assert_uint_eq(lab_sources, 0);
	ck_assert_uint_eq(lab_source_at, 0);
}
END_TEST

/* Less came than was said: so the client knows. */
START_TEST(what_is_there_no_more_ends_the_connection)
{
	char bytes[PIECE];
	ssize_t k;

	start();
	take_little();
	lab_source_gone = 5000000;
	ask(LAB_SOURCE_MAX);
	hear_head();
	hear_source(0, 1000000, PIECE);
	lab_source_gone = 100;
	for (size_t n = 1000000; (k = recv(fd, bytes, sizeof(bytes), 0)) > 0;) {
		n += (size_t)k;
		ck_assert_uint_lt(n, LAB_SOURCE_MAX);
	}
	ck_assert(k == 0 || errno == ECONNRESET);
}
END_TEST

START_TEST(who_reads_nothing_is_ended)
{
	struct http_stats stats;

	lab_limits.write_ms = 100;
	start();
	take_little();
	ask(LAB_SOURCE_MAX);
	do
		lab_stats(&stats);
	while (stats.requests == 0 || stats.connections_now > 0);
	ck_assert_uint_eq(lab_sources, 0);
}
END_TEST

START_TEST(a_server_may_be_freed_meanwhile)
{
	start();
	take_little();
	ask(LAB_SOURCE_MAX);
	hear_head();
	ck_assert_uint_eq(lab_sources, 1);
}
END_TEST

/* ---- HTTP/2 ---- */

static void h2_start_client(void)
{
	lab_start();
	fd = h2_new();
}

static void h2_ask_source(unsigned id, unsigned size)
{
	char path[64];

	snprintf(path, sizeof(path), "/source/%u", size);
	h2_ask(fd, id, "GET", path, true);
}

static void h2_check(unsigned id, unsigned size)
{
	const char *text = h2_answer_of(fd, id), *body = strstr(text, "\n\n");
	char length[64];

	snprintf(length, sizeof(length), "content-length: %u\n", size);
	ck_assert(has(text, length));
	ck_assert(body);
	ck_assert_uint_eq(strlen(body + 2), size);
	ck_assert(memcmp(body + 2, lab_source_bytes(), size) == 0);
}

START_TEST(h2_all_of_it_comes)
{
	h2_start_client();
	h2_window(fd, 0, 1 << 30);
	h2_setting(fd, 4, 1 << 30);
	h2_ask_source(1, sizes[_i]);
	h2_ask(fd, 3, "GET", "/hello", true);
	h2_ask_source(5, sizes[_i]);
	h2_check(5, sizes[_i]);
	ck_assert(has(h2_answer_of(fd, 3), "\n\nhello"));
	h2_check(1, sizes[_i]);
	h2_close(fd);
	fd = -1;
}
END_TEST

/* Windows that are no multiple of anything. */
START_TEST(h2_goes_as_the_windows_open)
{
	h2_start_client();
	h2_setting(fd, 4, 1000);
	h2_ask_source(1, 300000);
	h2_ask_source(3, 200000);
	h2_wait(fd, T_DATA, 1);
	h2_wait(fd, T_DATA, 3);
	h2_ask(fd, 5, "GET", "/hello", true);
	ck_assert(has(h2_answer_of(fd, 5), "\n\nhello"));
	ck_assert_uint_lt(lab_source_at, 1000);
	for (unsigned total = 0; total < 300000; total += 9973) {
		h2_window(fd, 0, 2 * 9973);
		h2_window(fd, 1, 9973);
		h2_window(fd, 3, 9973);
	}
	h2_check(1, 300000);
	h2_check(3, 200000);
	ck_assert_uint_eq(lab_sources, 0);
	h2_close(fd);
	fd = -1;
}
END_TEST

/* Each counts as a piece of it; those beyond the bound wait, and go when there is
 * room. */
START_TEST(h2_not_too_many_at_once)
{
	enum { N = 30 };
	struct http_stats stats;

	lab_limits.pending_bytes = 10 * PIECE;
	h2_start_client();
	h2_setting(fd, 4, 0);
	for (unsigned i = 0; i < N; i++)
		h2_ask_source(1 + 2 * i, 100000);
	h2_wait(fd, T_HEADERS, 21);
	do
		lab_stats(&stats);
	while (stats.requests < N);
	ck_assert_uint_eq(lab_sources, 11);
	/* Those that are taken back make room. */
	for (unsigned i = 0; i < 11; i++)
		h2_say(fd, T_RST, 0, 1 + 2 * i, "\0\0\0\10", 4);
	h2_wait(fd, T_HEADERS, 23);
	h2_window(fd, 0, 1 << 30);
	h2_setting(fd, 4, 1 << 20);
	for (unsigned i = 11; i < N; i++)
		h2_check(1 + 2 * i, 100000);
	ck_assert_uint_eq(lab_sources, 0);
	h2_close(fd);
	fd = -1;
}
END_TEST

START_TEST(h2_what_is_there_no_more_is_reset)
{
	const char *text;

	h2_start_client();
	h2_setting(fd, 4, 1000);
	h2_ask_source(1, 300000);
	h2_wait(fd, T_DATA, 1);
	lab_source_gone = 100;
	h2_window(fd, 1, 100000);
	text = h2_answer_of(fd, 1);
	ck_assert_str_eq(text + strlen(text) - 7, "reset 2");
	h2_ask(fd, 3, "GET", "/hello", true);
	ck_assert(has(h2_answer_of(fd, 3), "\n\nhello"));
	ck_assert_uint_eq(lab_sources, 0);
	h2_close(fd);
	fd = -1;
}
END_TEST

/* One that is not read is its own end, as with all answers. */
START_TEST(h2_one_that_is_never_read_ends_alone)
{
	lab_limits.write_ms = 100;
	h2_start_client();
	h2_setting(fd, 4, 0);
	h2_ask_source(1, 300000);
	ck_assert(has(h2_answer_of(fd, 1), "reset 11"));
	ck_assert_uint_eq(lab_sources, 0);
	h2_setting(fd, 4, 65535);
	h2_ask(fd, 3, "GET", "/hello", true);
	ck_assert(has(h2_answer_of(fd, 3), "\n\nhello"));
	h2_close(fd);
	fd = -1;
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/server/source");
	TCase *t = tcase_create("source");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, all_of_it_comes, 0, ARRAY_LEN(sizes));
	tcase_add_test(t, a_slow_reader_gets_all_of_it);
	tcase_add_test(t, behind_and_before_others);
	tcase_add_test(t, what_is_behind_it_is_not_made);
	tcase_add_loop_test(t, ends_of_the_connection, 0, 3);
	tcase_add_test(t, a_head_looks_nothing_up);
	tcase_add_test(t, what_is_there_no_more_ends_the_connection);
	tcase_add_test(t, who_reads_nothing_is_ended);
	tcase_add_test(t, a_server_may_be_freed_meanwhile);
	tcase_add_loop_test(t, h2_all_of_it_comes, 0, ARRAY_LEN(sizes));
	tcase_add_test(t, h2_goes_as_the_windows_open);
	tcase_add_test(t, h2_not_too_many_at_once);
	tcase_add_test(t, h2_what_is_there_no_more_is_reset);
	tcase_add_test(t, h2_one_that_is_never_read_ends_alone);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
