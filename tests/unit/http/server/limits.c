/* Clients that are slow on purpose, too many of them, and none that is lost when the
 * server ends. */
#include "lab.h"

#include <poll.h>

#include "base/clock.h"

#include "base/banned.h"

#define GET(path) "GET " path " HTTP/1.1\r\nhost: h\r\n\r\n"
#define POST(headers) "POST /echo HTTP/1.1\r\nhost: h\r\n" headers "\r\n"

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

/* The pause of a client that is slow: what is tested is what it does. */
static void dawdle(int ms)
{
	poll(NULL, 0, ms);
}

/* Says 'step' bytes every 20 ms until the server speaks or all are said. */
static size_t drip(size_t step, size_t total)
{
	char bytes[4096];
	size_t said = 0;

	memset(bytes, 'x', sizeof(bytes));
	while (said < total && client_is_quiet(fd)) {
		client_say_n(fd, bytes, MIN(step, total - said));
		said += MIN(step, total - said);
		dawdle(20);
	}
	return said;
}

START_TEST(a_body_that_drips_is_given_up)
{
	uint64_t began = clock_mono_ms();

	lab_limits.body_ms = 200;
	lab_limits.least_rate = 1000;
	start();
	client_say(fd, POST("content-length: 4000\r\n"));
	/* A byte every 20 ms is progress, and 50 bytes a second. */
	ck_assert_uint_lt(drip(1, 4000), 1000);
	ck_assert(has(client_hear_end(fd), "408 Request Timeout"));
	ck_assert_uint_ge(clock_mono_ms() - began, 200);
}
END_TEST

START_TEST(a_body_that_is_quick_enough_is_not)
{
	lab_limits.body_ms = 2500;
	lab_limits.least_rate = 250;
	start();
	client_say(fd, POST("content-length: 4000\r\n"));
	/* 1,250 bytes a second, for longer than body_ms. */
	ck_assert_uint_eq(drip(25, 4000), 4000);
	client_hear(fd, "200 OK");
}
END_TEST

START_TEST(a_header_that_drips_is_given_up)
{
	lab_limits.header_ms = 1000;
	start();
	client_say(fd, "GET /hello HTTP/1.1\r\nx: ");
	ck_assert_uint_lt(drip(1, 4000), 1000);
	ck_assert(has(client_hear_end(fd), "408 Request Timeout"));
}
END_TEST

/* Requests that come cut in the middle, one behind the other, are not one slow
 * header. */
START_TEST(a_busy_pipeline_is_no_slow_header)
{
	uint64_t until = clock_mono_ms() + 9000;

	/* A busy machine keeps the client waiting, too. */
	lab_limits.header_ms = 3000;
	start();
	client_say(fd, "GET /hello HT");
	while (clock_mono_ms() < until) {
		client_say(fd, "TP/1.1\r\nhost: h\r\n\r\nGET /hello HT");
		ck_assert(has(client_hear(fd, "hello"), "200 OK"));
		dawdle(10);
	}
}
END_TEST

static void until_nobody_is_connected(void)
{
	struct http_stats stats;

	do
		lab_stats(&stats);
	while (stats.connections == 0 || stats.connections_now > 0);
}

START_TEST(an_answer_that_nobody_reads_is_given_up)
{
	uint64_t began = clock_mono_ms();

	lab_limits.write_ms = 200;
	start();
	for (int i = 0; i < 20; i++)
		client_say(fd, GET("/big"));
	until_nobody_is_connected();
	ck_assert_uint_ge(clock_mono_ms() - began, 200);
}
END_TEST

/* Something is taken now and then, which is progress, and less than is asked for. */
START_TEST(an_answer_that_is_sipped_is_given_up)
{
	uint64_t began = clock_mono_ms();
	struct http_stats stats;

	lab_limits.write_ms = 2000;
	lab_limits.least_rate = 1u << 30;
	start();
	for (int i = 0; i < 20; i++)
		client_say(fd, GET("/big"));
	do {
		if (!client_is_quiet(fd))
			client_sip(fd, 65536);
		dawdle(20);
		ck_assert_uint_lt(clock_mono_ms() - began, 15000);
		lab_stats(&stats);
	} while (stats.connections == 0 || stats.connections_now > 0);
	ck_assert_uint_ge(clock_mono_ms() - began, 2000);
}
END_TEST

START_TEST(beyond_the_limit_a_connection_is_told)
{
	struct http_stats stats;
	const char *heard;
	int other;

	lab_limits.connections = 1;
	start();
	client_say(fd, GET("/hello"));
	client_hear(fd, "hello");
	other = client_new();
	heard = client_hear_end(other);
	ck_assert(has(heard, "HTTP/1.1 503"));
	ck_assert(has(heard, "Retry-After: 2\r\n"));
	ck_assert(has(heard, "more connections than it may have"));
	client_close(other);
	client_say(fd, GET("/hello"));
	client_hear(fd, "hello");
	/* Those that are told so take no room of others. */
	do
		lab_stats(&stats);
	while (stats.connections < 2);
	ck_assert_uint_ge(stats.refused, 1);
	ck_assert_uint_eq(stats.connections_now, 1);
}
END_TEST

START_TEST(an_address_has_its_share)
{
	int second, third;

	lab_guests_max = 2;
	start();
	client_say(fd, GET("/hello"));
	client_hear(fd, "hello");
	second = client_new();
	client_say(second, GET("/hello"));
	client_hear(second, "hello");
	third = client_new();
	ck_assert(has(client_hear_end(third), "HTTP/1.1 429"));
	client_close(third);
	client_close(second);
	/* The one that has gone makes room. */
	for (;;) {
		third = client_new();
		client_say(third, "GET /hello HTTP/1.1\r\nhost: h\r\n"
			   "connection: close\r\n\r\n");
		if (has(client_hear_end(third), "200 OK"))
			break;
		client_close(third);
	}
	client_close(third);
}
END_TEST

START_TEST(a_drain_takes_requests_that_are_on_their_way)
{
	const char *heard;

	lab_limits.drain_idle_ms = 20000;
	start();
	client_say(fd, GET("/hello"));
	client_hear(fd, "hello");
	lab_drain(60000);
	client_say(fd, GET("/hello"));
	heard = client_hear_end(fd);
	ck_assert(has(heard, "200 OK"));
	ck_assert(has(heard, "Connection: close"));
	lab_wait_drained();
}
END_TEST

START_TEST(a_drain_ends_those_that_bring_none)
{
	lab_limits.drain_idle_ms = 100;
	start();
	client_say(fd, GET("/hello"));
	client_hear(fd, "hello");
	lab_drain(60000);
	ck_assert_str_eq(client_hear_end(fd), "");
	lab_wait_drained();
}
END_TEST

static void connect_and_drain(void)
{
	/* The loop is busy here: the kernel has it, and nobody has taken it. */
	fd = client_new();
	client_say(fd, GET("/hello"));
	lab_drain_here(60000);
}

START_TEST(a_drain_takes_who_has_connected_already)
{
	lab_limits.drain_idle_ms = 20000;
	lab_start();
	lab_do(connect_and_drain);
	ck_assert(has(client_hear_end(fd), "200 OK"));
	lab_wait_drained();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/server/limits");
	TCase *t = tcase_create("limits");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_body_that_drips_is_given_up);
	tcase_add_test(t, a_body_that_is_quick_enough_is_not);
	tcase_add_test(t, a_header_that_drips_is_given_up);
	tcase_add_test(t, a_busy_pipeline_is_no_slow_header);
	tcase_add_test(t, an_answer_that_nobody_reads_is_given_up);
	tcase_add_test(t, an_answer_that_is_sipped_is_given_up);
	tcase_add_test(t, beyond_the_limit_a_connection_is_told);
	tcase_add_test(t, an_address_has_its_share);
	tcase_add_test(t, a_drain_takes_requests_that_are_on_their_way);
	tcase_add_test(t, a_drain_ends_those_that_bring_none);
	tcase_add_test(t, a_drain_takes_who_has_connected_already);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
