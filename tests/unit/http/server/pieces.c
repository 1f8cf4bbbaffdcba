/* Bodies in pieces, trailers, and connections that become something else. */
#include "lab.h"

#include "base/mem.h"

#include "base/banned.h"

#define GET(path) "GET " path " HTTP/1.1\r\nhost: h\r\n\r\n"
#define POST(path, headers) \
	"POST " path " HTTP/1.1\r\nhost: h\r\n" headers "\r\n"
#define UPGRADE "GET /upgrade HTTP/1.1\r\nhost: h\r\n" \
	"connection: keep-alive, Upgrade\r\nupgrade: parrot\r\n\r\n"

static int fd;

static void setup(void)
{
	lab_setup();
}

static void teardown(void)
{
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

/* As the lab counts. */
static unsigned sum_of(const char *p, size_t n)
{
	unsigned sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = sum * 31 + (unsigned char)p[i];
	return sum;
}

/* ---- bodies ---- */

START_TEST(a_body_is_told_as_it_comes)
{
	AUTO_BUF want = BUF_NONE;

	start();
	client_say(fd, POST("/pieces", "content-length: 10\r\n") "hello");
	lab_wait_pieces(1);
	ck_assert_uint_eq(lab_pieces_bytes(), 5);
	ck_assert(client_is_quiet(fd));
	client_say(fd, "world" GET("/hello"));
	buf_printf(&want, "<10 bytes, %u>", sum_of("helloworld", 10));
	client_hear(fd, want.p);
	ck_assert(has(client_hear(fd, "hello"), "200 OK"));
}
END_TEST

START_TEST(a_chunked_body_is_told_without_its_frames)
{
	AUTO_BUF want = BUF_NONE;
	const char *text = POST("/pieces", "transfer-encoding: chunked\r\n")
		"5\r\nhello\r\n5;x=y\r\nworld\r\n0\r\na: b\r\n\r\n";

	start();
	for (size_t i = 0; text[i]; i++)
		client_say_n(fd, text + i, 1);
	buf_printf(&want, "<10 bytes, %u>", sum_of("helloworld", 10));
	client_hear(fd, want.p);
	client_say(fd, GET("/hello"));
	client_hear(fd, "hello");
}
END_TEST

START_TEST(no_body_is_a_last_piece_of_nothing)
{
	start();
	client_say(fd, POST("/pieces", "content-length: 0\r\n") GET("/hello"));
	client_hear(fd, "<0 bytes, 0>");
	client_hear(fd, "hello");
}
END_TEST

/* 4096 is what the lab takes of a body otherwise. */
START_TEST(the_total_is_not_limited)
{
	enum { N = 3 << 20 };
	char *big = mem_alloc(N);
	AUTO_BUF want = BUF_NONE;

	for (size_t i = 0; i < N; i++)
		big[i] = (char)(i * 7 + i / 251);
	start();
	client_say(fd, POST("/pieces", "content-length: 3145728\r\n"));
	client_say_n(fd, big, N);
	buf_printf(&want, "<3145728 bytes, %u>", sum_of(big, N));
	client_hear(fd, want.p);
	free(big);
}
END_TEST

START_TEST(a_client_that_waits_is_told_to_continue)
{
	start();
	client_say(fd, POST("/pieces", "content-length: 2\r\n"
			    "expect: 100-continue\r\n"));
	ck_assert_str_eq(client_hear(fd, "\r\n\r\n"),
			 "HTTP/1.1 100 Continue\r\n\r\n");
	client_say(fd, "ok");
	client_hear(fd, "<2 bytes");
	/* Who is answered at once is not. */
	client_say(fd, POST("/early", "content-length: 2\r\n"
			    "expect: 100-continue\r\n"));
	ck_assert(!has(client_hear_end(fd), "100 Continue"));
}
END_TEST

/* What nobody takes fills the pipe: the client stands still. */
START_TEST(a_body_that_is_not_taken_is_not_read)
{
	enum { N = 64 << 20 };
	static char fill[65536];
	size_t sent = 0, stood;
	struct http_stats stats;
	AUTO_BUF want = BUF_NONE;

	start();
	client_say(fd, POST("/paused", "content-length: 67108864\r\n"));
	while (client_say_some(fd, fill, MIN(sizeof(fill), N - sent), &stood))
		sent += stood;
	ck_assert_uint_lt(sent, N);
	lab_stats(&stats);
	ck_assert_uint_lt(stats.bytes_in, 512 * 1024);
	lab_take_body();
	lab_wait_pieces(1);
	ck_assert_uint_lt(lab_pieces_bytes(), 512 * 1024);
	/* Paused again behind one piece: nothing more is told. */
	lab_stats(&stats);
	stood = lab_pieces_bytes();
	lab_stats(&stats);
	ck_assert_uint_eq(lab_pieces_bytes(), stood);
	lab_resume_body();
	lab_wait_pieces(2);
	lab_let_body_flow();
	while (sent < N) {
		client_say_n(fd, fill, MIN(sizeof(fill), N - sent));
		sent += MIN(sizeof(fill), N - sent);
	}
	client_hear(fd, "<67108864 bytes, 0>");
}
END_TEST

START_TEST(a_paused_body_has_no_limit_by_time)
{
	lab_limits.body_ms = 100;
	lab_limits.header_ms = 1000;
	start();
	client_say(fd, POST("/paused", "content-length: 10\r\n") "hello");
	lab_take_body();
	lab_wait_pieces(1);
	/* Another connection sees the time go by. */
	int other = client_new();

	client_say(other, POST("/echo", "content-length: 10\r\n") "he");
	ck_assert(has(client_hear_end(other), "408"));
	client_close(other);
	client_say(fd, "world");
	lab_let_body_flow();
	client_hear(fd, "<10 bytes");
}
END_TEST

START_TEST(a_body_that_stops_is_refused_and_the_handler_told)
{
	lab_limits.body_ms = 100;
	start();
	client_say(fd, POST("/pieces", "content-length: 10\r\n") "hello");
	ck_assert(has(client_hear_end(fd), "408 Request Timeout"));
	lab_wait_gone(1);
}
END_TEST

START_TEST(a_body_that_breaks_off_is_told)
{
	start();
	client_say(fd, POST("/pieces", "content-length: 10\r\n") "hello");
	lab_wait_pieces(1);
	client_half_close(fd);
	lab_wait_gone(1);
	ck_assert_str_eq(client_hear_end(fd), "");
	client_close(fd);
	fd = client_new();
	client_say(fd, POST("/pieces", "transfer-encoding: chunked\r\n")
		   "5\r\nhello\r\nx\r\n");
	ck_assert(has(client_hear_end(fd), "400 Bad Request"));
	lab_wait_gone(2);
	client_close(fd);
	fd = client_new();
	client_say(fd, POST("/pieces", "content-length: 10\r\n") "hello");
	lab_wait_pieces(1);
	client_close(fd);
	lab_wait_gone(3);
	fd = client_new();
}
END_TEST

START_TEST(an_answer_before_the_body_ends_the_connection)
{
	const char *heard;

	start();
	client_say(fd, POST("/early", "content-length: 10\r\n") "hello");
	heard = client_hear_end(fd);
	ck_assert(has(heard, "early"));
	ck_assert(has(heard, "Connection: close\r\n"));
	client_close(fd);
	fd = client_new();
	client_say(fd, POST("/enough", "content-length: 5000000\r\n") "hello");
	client_say(fd, "world" GET("/hello"));
	heard = client_hear_end(fd);
	ck_assert(has(heard, "enough"));
	ck_assert(has(heard, "Connection: close\r\n"));
	ck_assert(!has(heard, "hello"));
	/* Where it is whole already it goes on. */
	client_close(fd);
	fd = client_new();
	client_say(fd, POST("/early", "content-length: 0\r\n") GET("/hello"));
	client_hear(fd, "early");
	client_hear(fd, "hello");
}
END_TEST

START_TEST(both_ways_at_once)
{
	lab_limits.body_ms = 100;
	start();
	client_say(fd, POST("/both", "transfer-encoding: chunked\r\n")
		   "5\r\nhello\r\n");
	ck_assert(has(client_hear(fd, "5\r\nhello\r\n"), "200 OK"));
	/* The answer streams: the body may take its time. */
	int other = client_new();

	client_say(other, POST("/echo", "content-length: 10\r\n") "he");
	ck_assert(has(client_hear_end(other), "408"));
	client_close(other);
	client_say(fd, "5\r\nworld\r\n0\r\n\r\n");
	/* No TE: no trailers. */
	ck_assert_str_eq(client_hear(fd, "0\r\n\r\n"),
			 "5\r\nworld\r\n0\r\n\r\n");
	client_say(fd, GET("/hello"));
	client_hear(fd, "hello");
}
END_TEST

START_TEST(a_stream_whose_body_breaks_off_ends)
{
	start();
	client_say(fd, POST("/both", "content-length: 10\r\n") "hello");
	client_hear(fd, "5\r\nhello\r\n");
	client_half_close(fd);
	lab_wait_gone(1);
	ck_assert_str_eq(client_hear_end(fd), "0\r\n\r\n");
	client_close(fd);
	/* One that breaks its own frames has no end that could be believed. */
	fd = client_new();
	client_say(fd, POST("/both", "transfer-encoding: chunked\r\n")
		   "5\r\nhello\r\n");
	client_hear(fd, "5\r\nhello\r\n");
	client_say(fd, "x");
	lab_wait_gone(2);
	ck_assert_str_eq(client_hear_end(fd), "");
}
END_TEST

/* ---- trailers ---- */

START_TEST(trailers_go_to_who_takes_them)
{
	start();
	client_say(fd, POST("/both", "content-length: 2\r\n"
			    "te: deflate, Trailers\r\n") "ok" GET("/hello"));
	client_hear(fd, "2\r\nok\r\n0\r\nX-Sum: 42\r\nX-More: of it\r\n\r\n");
	client_hear(fd, "hello");
	client_say(fd, "POST /both HTTP/1.0\r\nte: trailers\r\n"
		   "content-length: 2\r\n\r\nok");
	ck_assert(!has(client_hear_end(fd), "X-Sum"));
}
END_TEST

/* ---- upgrades ---- */

START_TEST(a_connection_becomes_something_else)
{
	const char *heard;
	struct http_stats stats;

	start();
	client_say(fd, GET("/hello") UPGRADE "polly\r\n");
	client_hear(fd, "hello");
	heard = client_hear(fd, "\r\n\r\n");
	ck_assert(has(heard, "HTTP/1.1 101 Switching Protocols\r\n"));
	ck_assert(has(heard, "\r\nConnection: Upgrade\r\nUpgrade: parrot\r\n"));
	ck_assert(has(heard, "\r\nX-Parrot: green\r\n"));
	ck_assert(!has(heard, "Content-Length"));
	ck_assert(!has(heard, "chunked"));
	ck_assert_str_eq(client_hear(fd, "polly\r\n"), "polly\r\n");
	client_say(fd, GET("/hello"));
	ck_assert_str_eq(client_hear(fd, "\r\n\r\n"), GET("/hello"));
	lab_stats(&stats);
	ck_assert_uint_eq(stats.streams_now, 1);
	client_say(fd, "bye");
	ck_assert_str_eq(client_hear_end(fd), "bye");
	lab_stats(&stats);
	ck_assert_uint_eq(stats.streams_now, 0);
}
END_TEST

START_TEST(an_upgraded_connection_may_be_idle)
{
	lab_limits.idle_ms = 500;
	lab_limits.header_ms = 500;
	lab_limits.body_ms = 500;
	start();
	client_say(fd, UPGRADE "polly");
	client_hear(fd, "polly");
	int other = client_new();

	ck_assert_str_eq(client_hear_end(other), "");
	client_close(other);
	client_say(fd, "still");
	client_hear(fd, "still");
}
END_TEST

START_TEST(an_upgraded_connection_ends_with_its_client)
{
	start();
	client_say(fd, UPGRADE "polly");
	client_hear(fd, "polly");
	client_half_close(fd);
	lab_wait_gone(1);
	ck_assert_str_eq(client_hear_end(fd), "");
	client_close(fd);
	fd = client_new();
	client_say(fd, UPGRADE);
	client_half_close(fd);
	lab_wait_gone(2);
	ck_assert(has(client_hear_end(fd), "101"));
}
END_TEST

static const char *const no_upgrades[] = {
	GET("/upgrade"),
	/* Connection does not name it. */
	"GET /upgrade HTTP/1.1\r\nhost: h\r\nupgrade: parrot\r\n\r\n",
	"GET /upgrade HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\n\r\n",
	"GET /upgrade HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\n"
	"upgrade: parrots, dog\r\n\r\n",
	"GET /upgrade HTTP/1.0\r\nconnection: upgrade, keep-alive\r\n"
	"upgrade: parrot\r\n\r\n",
	"GET /upgrade HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\n"
	"upgrade: parrot\r\ncontent-length: 1\r\n\r\nx",
};

START_TEST(who_does_not_ask_is_not_upgraded)
{
	start();
	client_say(fd, no_upgrades[_i]);
	const char *heard = client_hear(fd, "no parrot");

	ck_assert(has(heard, "426"));
	ck_assert(has(heard, "\r\nUpgrade: parrot\r\n"));
	client_say(fd, GET("/hello"));
	client_hear(fd, "hello");
}
END_TEST

/* Until it is answered what comes may be a request or not. */
START_TEST(nothing_is_taken_behind_an_open_upgrade)
{
	struct http_stats stats;

	start();
	client_say(fd, "GET /later HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\n"
		   "upgrade: parrot\r\n\r\n" GET("/hello"));
	lab_wait_later(1);
	lab_stats(&stats);
	ck_assert_uint_eq(stats.requests, 1);
	lab_answer_later("late");
	client_hear(fd, "late");
	client_hear(fd, "hello");
}
END_TEST

START_TEST(a_drain_cuts_off_what_is_upgraded)
{
	start();
	client_say(fd, UPGRADE "polly");
	client_hear(fd, "polly");
	lab_drain(50);
	lab_wait_drained();
	lab_wait_gone(1);
}
END_TEST

/* What one was to be told when it was cut off is nobody else's. */
START_TEST(answers_of_who_is_cut_off_go_to_nobody_else)
{
	int other;

	start();
	other = client_new();
	for (int i = 0; i < 3; i++) {
		const char *heard;

		client_say(fd, "GET /args/mine/x HTTP/1.1\r\nhost: h\r\n\r\n"
			   "POST /both HTTP/1.1\r\nhost: h\r\n"
			   "transfer-encoding: chunked\r\n\r\n"
			   "4\r\nmine\r\nno chunk\r\n");
		lab_wait_gone((unsigned)i + 1);
		client_say(other, "GET /hello HTTP/1.1\r\nhost: h\r\n\r\n");
		heard = client_hear(other, "hello");
		ck_assert_msg(!strstr(heard, "mine"), "heard: %s", heard);
		client_close(fd);
		fd = client_new();
	}
	client_close(other);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/server/pieces");
	TCase *t = tcase_create("pieces");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_body_is_told_as_it_comes);
	tcase_add_test(t, a_chunked_body_is_told_without_its_frames);
	tcase_add_test(t, no_body_is_a_last_piece_of_nothing);
	tcase_add_test(t, the_total_is_not_limited);
	tcase_add_test(t, a_client_that_waits_is_told_to_continue);
	tcase_add_test(t, a_body_that_is_not_taken_is_not_read);
	tcase_add_test(t, a_paused_body_has_no_limit_by_time);
	tcase_add_test(t, a_body_that_stops_is_refused_and_the_handler_told);
	tcase_add_test(t, a_body_that_breaks_off_is_told);
	tcase_add_test(t, an_answer_before_the_body_ends_the_connection);
	tcase_add_test(t, both_ways_at_once);
	tcase_add_test(t, a_stream_whose_body_breaks_off_ends);
	tcase_add_test(t, trailers_go_to_who_takes_them);
	tcase_add_test(t, a_connection_becomes_something_else);
	tcase_add_test(t, an_upgraded_connection_may_be_idle);
	tcase_add_test(t, an_upgraded_connection_ends_with_its_client);
	tcase_add_loop_test(t, who_does_not_ask_is_not_upgraded, 0,
			    ARRAY_LEN(no_upgrades));
	tcase_add_test(t, nothing_is_taken_behind_an_open_upgrade);
	tcase_add_test(t, a_drain_cuts_off_what_is_upgraded);
	tcase_add_test(t, answers_of_who_is_cut_off_go_to_nobody_else);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
