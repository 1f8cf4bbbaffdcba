/* A server and what clients do to it. */
#include "lab.h"

#include "base/banned.h"

#define GET(path) "GET " path " HTTP/1.1\r\nhost: h\r\n\r\n"
#define POST(headers) "POST /echo HTTP/1.1\r\nhost: h\r\n" headers "\r\n"

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

START_TEST(a_request_is_answered_and_the_connection_stays)
{
	const char *heard;

	start();
	for (int i = 0; i < 3; i++) {
		client_say(fd, GET("/hello"));
		heard = client_hear(fd, "hello");
		ck_assert(str_starts(str_of(heard), STR("HTTP/1.1 200 OK\r\n")));
		ck_assert(has(heard, "\r\nContent-Length: 5\r\n"));
		ck_assert(has(heard, "\r\nContent-Type: text/plain\r\n"));
		ck_assert(has(heard, "\r\nX-Test: yes\r\n"));
		ck_assert(has(heard, "\r\nX-Conflux-Trace: "));
		ck_assert(has(heard, "\r\nDate: "));
		ck_assert(has(heard, " GMT\r\n"));
		ck_assert(!has(heard, "Connection:"));
	}
	client_say(fd, GET("/args/x%20y/a/b?q=%41+b"));
	client_hear(fd, "[x y][a/b][A b]");
}
END_TEST

/* What is asked again is not taken apart again (http1_repeat). */
START_TEST(what_is_asked_again_is_answered_alike)
{
	static const char a[] = GET("/args/x%20y/a/b?q=%41+b");
	static const char b[] = GET("/args/z%20y/a/b?q=%41+b");

	start();
	for (int i = 0; i < 3; i++) {
		client_say(fd, a);
		client_hear(fd, "[x y][a/b][A b]");
	}
	client_say(fd, b);
	client_hear(fd, "[z y][a/b][A b]");
	/* Pipelined, and in pieces. */
	client_say(fd, GET("/args/z%20y/a/b?q=%41+b") GET("/args/z%20y/a/b?q=%41+b")
		   GET("/args/x%20y/a/b?q=%41+b") "GET /args/x%20y/");
	client_say(fd, a + strlen("GET /args/x%20y/"));
	client_hear(fd, "[z y][a/b][A b]");
	client_hear(fd, "[z y][a/b][A b]");
	client_hear(fd, "[x y][a/b][A b]");
	client_hear(fd, "[x y][a/b][A b]");
}
END_TEST

START_TEST(bytes_may_come_one_by_one)
{
	const char *text = GET("/hello");

	start();
	for (size_t i = 0; text[i]; i++)
		client_say_n(fd, text + i, 1);
	client_hear(fd, "hello");
}
END_TEST

START_TEST(head_has_the_length_and_no_body)
{
	const char *heard;

	start();
	client_say(fd, "HEAD /hello HTTP/1.1\r\nhost: h\r\n\r\n" GET("/nothing"));
	heard = client_hear(fd, "\r\n\r\n");
	ck_assert(has(heard, "Content-Length: 5\r\n"));
	heard = client_hear(fd, "\r\n\r\n");
	ck_assert(has(heard, "HTTP/1.1 204 No Content\r\n"));
	ck_assert(!has(heard, "Content-Length"));
	ck_assert(client_is_quiet(fd));
}
END_TEST

START_TEST(versions_and_connection)
{
	start();
	client_say(fd, "GET /hello HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
	ck_assert(has(client_hear(fd, "hello"), "Connection: keep-alive\r\n"));
	client_say(fd, "GET /hello HTTP/1.0\r\n\r\n");
	ck_assert(has(client_hear_end(fd), "Connection: close\r\n"));
	client_close(fd);
	fd = client_new();
	client_say(fd, "GET /hello HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
		   GET("/args/never/b"));
	ck_assert(!has(client_hear_end(fd), "never"));
}
END_TEST

START_TEST(bodies)
{
	start();
	client_say(fd, POST("content-type: Text/Plain; charset=x\r\n"
			    "content-length: 5\r\n") "he");
	client_say(fd, "llo");
	client_hear(fd, "text/plain:hello");
	client_say(fd, POST("transfer-encoding: chunked\r\n")
		   "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n" GET("/hello"));
	client_hear(fd, ":hello");
	client_hear(fd, "hello");
	client_say(fd, POST("content-length: 0\r\n"));
	client_hear(fd, "\r\n\r\n:");
}
END_TEST

START_TEST(a_client_that_waits_is_told_to_continue)
{
	start();
	client_say(fd, POST("content-length: 2\r\nexpect: 100-continue\r\n"));
	ck_assert_str_eq(client_hear(fd, "\r\n\r\n"),
			 "HTTP/1.1 100 Continue\r\n\r\n");
	client_say(fd, "ok");
	client_hear(fd, ":ok");
	/* Not while an earlier answer is open. */
	client_say(fd, GET("/later")
		   POST("content-length: 2\r\nexpect: 100-continue\r\n"));
	lab_wait_later(1);
	ck_assert(client_is_quiet(fd));
	lab_answer_later("now");
	ck_assert(has(client_hear(fd, "now"), "HTTP/1.1 200 OK"));
	ck_assert_str_eq(client_hear(fd, "\r\n\r\n"),
			 "HTTP/1.1 100 Continue\r\n\r\n");
	client_say(fd, "ok");
	client_hear(fd, ":ok");
}
END_TEST

START_TEST(pipelined_answers_leave_in_order)
{
	const char *heard;

	start();
	client_say(fd, GET("/later") GET("/hello") GET("/later") GET("/error"));
	lab_wait_later(2);
	ck_assert(client_is_quiet(fd));
	lab_answer_later("one");
	heard = client_hear(fd, "hello");
	ck_assert(has(heard, "one"));
	lab_answer_later("two");
	heard = client_hear(fd, "}\n");
	ck_assert(has(heard, "two"));
	ck_assert(has(heard, "409 Conflict"));
}
END_TEST

START_TEST(too_much_pipelining_is_slowed_not_lost)
{
	enum { N = 500 };

	lab_limits.pipelined = 4;
	start();
	for (int i = 0; i < N; i++)
		client_say(fd, GET("/hello"));
	for (int i = 0; i < N; i++)
		client_hear(fd, "hello");
	for (int i = 0; i < 8; i++)
		client_say(fd, GET("/later"));
	for (int i = 0; i < 8; i++) {
		lab_answer_later("late");
		client_hear(fd, "late");
	}
}
END_TEST

START_TEST(a_client_that_does_not_read_does_not_fill_the_server)
{
	enum { N = 24 };
	struct http_stats stats;
	size_t bytes = 0;

	lab_limits.pending_bytes = 256 * 1024;
	start();
	for (int i = 0; i < N; i++)
		client_say(fd, GET("/big"));
	client_say(fd, GET("/hello"));
	lab_stats(&stats);
	ck_assert_uint_lt(stats.requests, N);
	bytes = strlen(client_hear(fd, "hello"));
	ck_assert_uint_gt(bytes, (size_t)N << 20);
}
END_TEST

START_TEST(half_close_still_gets_the_answer)
{
	start();
	client_say(fd, GET("/later") GET("/hello") "GET /unfinished");
	client_half_close(fd);
	lab_answer_later("late");
	ck_assert(has(client_hear_end(fd), "hello"));
	client_close(fd);
	fd = client_new();
	client_say(fd, GET("/hello"));
	client_half_close(fd);
	ck_assert(has(client_hear_end(fd), "hello"));
	client_close(fd);
	fd = client_new();
	client_say(fd, POST("content-length: 5\r\n") "he");
	client_half_close(fd);
	ck_assert_str_eq(client_hear_end(fd), "");
}
END_TEST

START_TEST(answers_to_who_has_left_are_dropped)
{
	start();
	client_say(fd, GET("/later") GET("/later"));
	lab_wait_later(2);
	client_close(fd);
	fd = client_new();
	lab_answer_later("into the void");
	lab_answer_later("into the void");
	client_say(fd, GET("/hello"));
	client_hear(fd, "hello");
}
END_TEST

START_TEST(streams_come_in_chunks)
{
	struct http_stats stats;

	start();
	client_say(fd, GET("/stream") GET("/hello"));
	ck_assert(has(client_hear(fd, "6\r\nfirst \r\n"),
		      "Transfer-Encoding: chunked\r\n"));
	lab_chunk("second");
	client_hear(fd, "6\r\nsecond\r\n");
	lab_stats(&stats);
	ck_assert_uint_eq(stats.streams_now, 1);
	ck_assert(client_is_quiet(fd));
	lab_end_stream();
	client_hear(fd, "0\r\n\r\n");
	client_hear(fd, "hello");
	lab_stats(&stats);
	ck_assert_uint_eq(stats.streams_now, 0);
}
END_TEST

/* Without anything being written to it. */
START_TEST(a_stream_ends_with_its_clients_side)
{
	struct http_stats stats;

	start();
	client_say(fd, GET("/stream"));
	client_hear(fd, "6\r\nfirst \r\n");
	client_half_close(fd);
	lab_wait_gone(1);
	ck_assert_str_eq(client_hear_end(fd), "0\r\n\r\n");
	lab_stats(&stats);
	ck_assert_uint_eq(stats.streams_now, 0);
	/* A client that is gone altogether looks the same. */
	client_close(fd);
	fd = client_new();
	client_say(fd, GET("/stream"));
	client_hear(fd, "6\r\nfirst \r\n");
	client_close(fd);
	lab_wait_gone(2);
	fd = client_new();
}
END_TEST

START_TEST(a_stream_that_ends_so_lets_other_answers_out)
{
	start();
	client_say(fd, GET("/later") GET("/stream") GET("/hello"));
	lab_wait_later(1);
	client_half_close(fd);
	lab_wait_gone(1);
	lab_answer_later("late");
	ck_assert(has(client_hear_end(fd), "hello"));
	client_close(fd);
	/* All in one piece, the end too. */
	fd = client_new();
	client_say(fd, GET("/stream") GET("/hello"));
	client_half_close(fd);
	ck_assert(has(client_hear_end(fd), "hello"));
	lab_wait_gone(2);
}
END_TEST

START_TEST(a_stream_behind_another_answer_waits)
{
	start();
	client_say(fd, GET("/later") GET("/stream"));
	lab_chunk("second");
	ck_assert(client_is_quiet(fd));
	lab_answer_later("late");
	client_hear(fd, "late");
	client_hear(fd, "first \r\n6\r\nsecond\r\n");
}
END_TEST

/* The socket takes all of it at once, so nothing drains there. */
START_TEST(a_stream_behind_another_answer_goes_on_when_it_was_let_out)
{
	start();
	client_say(fd, GET("/later") GET("/draining") GET("/hello"));
	lab_answer_later("late");
	client_hear(fd, "late");
	client_hear(fd, "5\r\nfirst\r\n7\r\ndrained\r\n0\r\n\r\n");
	client_hear(fd, "hello");
}
END_TEST

START_TEST(old_clients_read_a_stream_until_it_closes)
{
	const char *heard;

	start();
	client_say(fd, "GET /stream HTTP/1.0\r\n\r\n");
	lab_chunk("second");
	lab_end_stream();
	heard = client_hear_end(fd);
	ck_assert(has(heard, "\r\n\r\nfirst second"));
	ck_assert(!has(heard, "chunked"));
	client_close(fd);
	fd = client_new();
	client_say(fd, "HEAD /stream HTTP/1.1\r\nhost: h\r\n\r\n");
	ck_assert(!has(client_hear_end(fd), "first"));
	lab_wait_gone(1);
}
END_TEST

START_TEST(a_stream_whose_client_left_ends)
{
	start();
	client_say(fd, GET("/stream"));
	client_hear(fd, "first");
	client_close(fd);
	fd = client_new();
	/* It may have closed one side only, until a chunk is answered by a
	 * reset. */
	lab_chunk_until_gone();
}
END_TEST

static const struct {
	const char *text, *status, *says;
} refused[] = {
	{ "GET / HTTP/1.1\nhost: h\n\n", "400 Bad Request", "bare LF" },
	{ "GET / HTTP/1.1\r\n\r\n", "400 Bad Request", "host" },
	{ "nonsense\r\n\r\n", "400 Bad Request", "header" },
	{ POST("content-length: 4097\r\n"), "413 Payload Too Large",
	  "server.body_bytes" },
	{ POST("transfer-encoding: gzip\r\n"), "501 Not Implemented", "gzip" },
	{ POST("transfer-encoding: chunked\r\n") "x\r\n", "400 Bad Request",
	  "chunk" },
	{ POST("transfer-encoding: chunked\r\n") "1001\r\n", "", "" },
};

START_TEST(what_cannot_be_read_is_answered_and_ends_it)
{
	const char *heard;
	char fill[4200];

	start();
	memset(fill, 'x', sizeof(fill));
	client_say(fd, refused[_i].text);
	client_say_n(fd, fill, _i == 6 ? sizeof(fill) : 0);
	heard = client_hear_end(fd);
	ck_assert_msg(has(heard, refused[_i].status), "%s", heard);
	ck_assert_msg(has(heard, refused[_i].says), "%s", heard);
	ck_assert(has(heard, "Connection: close\r\n"));
	ck_assert(has(heard, "application/problem+json"));
	if (_i == 6)
		ck_assert(has(heard, "413 Payload Too Large"));
}
END_TEST

START_TEST(a_header_block_beyond_the_limit)
{
	char fill[5000];

	start();
	memset(fill, 'x', sizeof(fill));
	client_say(fd, "GET / HTTP/1.1\r\nhost: h\r\nx: ");
	client_say_n(fd, fill, sizeof(fill));
	ck_assert(has(client_hear_end(fd),
		      "431 Request Header Fields Too Large"));
}
END_TEST

START_TEST(who_may_not_ask_sends_no_body)
{
	const char *heard;

	start();
	client_say(fd, "POST /echo HTTP/1.1\r\nhost: h\r\nx-denied: 1\r\n"
		   "content-length: 4000\r\nexpect: 100-continue\r\n\r\n");
	heard = client_hear_end(fd);
	ck_assert(has(heard, "403 Forbidden"));
	ck_assert(has(heard, "Connection: close"));
	client_close(fd);
	fd = client_new();
	/* Without a body the connection goes on. */
	client_say(fd, "GET /hello HTTP/1.1\r\nhost: h\r\nx-denied: 1\r\n\r\n"
		   GET("/hello"));
	heard = client_hear(fd, "hello");
	ck_assert(has(heard, "403 Forbidden"));
	ck_assert(has(heard, "200 OK"));
}
END_TEST

START_TEST(routes_and_methods)
{
	const char *heard;

	start();
	client_say(fd, GET("/none"));
	ck_assert(has(client_hear(fd, "}\n"), "404 Not Found"));
	client_say(fd, GET("/echo"));
	heard = client_hear(fd, "}\n");
	ck_assert(has(heard, "405 Method Not Allowed"));
	ck_assert(has(heard, "Allow: POST, PUT\r\n"));
	client_say(fd, "BREW /echo HTTP/1.1\r\nhost: h\r\n\r\n");
	ck_assert(has(client_hear_end(fd), "400 Bad Request"));
	client_close(fd);
	fd = client_new();
	client_say(fd, GET("/args/%zz/b") GET("/hello?a=%z"));
	ck_assert(has(client_hear(fd, "}\n"), "400 Bad Request"));
	ck_assert(has(client_hear(fd, "}\n"), "400 Bad Request"));
}
END_TEST

START_TEST(errors_are_problems_with_a_trace)
{
	const char *heard;

	start();
	client_say(fd, "GET /error HTTP/1.1\r\nhost: h\r\ntraceparent: "
		   "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		   "\r\n\r\n");
	heard = client_hear(fd, "}\n");
	ck_assert(has(heard, "Content-Type: application/problem+json\r\n"));
	ck_assert(has(heard, "X-Conflux-Trace: "
			     "0af7651916cd43dd8448eb211c80319c\r\n"));
	ck_assert(has(heard, "{\"type\":\"urn:conflux:error:conflict\","
			     "\"title\":\"the object has been modified\","
			     "\"status\":409,\"detail\":\"it is \\\"so\\\"\","
			     "\"hint\":\"do not\",\"code\":\"conflict\","
			     "\"trace\":\"0af7651916cd43dd8448eb211c80319c\"}"));
}
END_TEST

START_TEST(slow_clients_are_told_and_closed)
{
	lab_limits.header_ms = 500;
	lab_limits.body_ms = 500;
	start();
	client_say(fd, "GET /hel");
	ck_assert(has(client_hear_end(fd), "408 Request Timeout"));
	client_close(fd);
	fd = client_new();
	client_say(fd, POST("content-length: 5\r\n") "he");
	ck_assert(has(client_hear_end(fd), "408 Request Timeout"));
	client_close(fd);
	fd = client_new();
	ck_assert_str_eq(client_hear_end(fd), "");
}
END_TEST

START_TEST(idle_connections_are_closed_and_waiting_ones_are_not)
{
	int other;

	/* The first has asked by then, on a busy machine, too. */
	lab_limits.idle_ms = 1000;
	lab_limits.header_ms = 1000;
	start();
	other = client_new();
	client_say(other, GET("/later"));
	lab_wait_later(1);
	client_say(fd, GET("/hello"));
	ck_assert(has(client_hear_end(fd), "200 OK"));
	lab_answer_later("still here");
	client_hear(other, "still here");
	client_close(other);
}
END_TEST

START_TEST(counts_are_kept)
{
	struct http_stats stats;

	start();
	client_say(fd, GET("/hello") GET("/none") GET("/error"));
	client_hear(fd, "\"conflict\"");
	lab_stats(&stats);
	ck_assert_uint_eq(stats.connections, 1);
	ck_assert_uint_eq(stats.requests, 3);
	ck_assert_uint_eq(stats.by_class[2], 1);
	ck_assert_uint_eq(stats.by_class[4], 2);
	ck_assert_uint_eq(stats.bytes_in,
			  strlen(GET("/hello") GET("/none") GET("/error")));
	ck_assert_uint_gt(stats.bytes_out, 100);
}
END_TEST

START_TEST(a_drain_lets_open_requests_end)
{
	int idle;

	start();
	idle = client_new();
	client_say(idle, GET("/hello"));
	client_hear(idle, "hello");
	client_say(fd, GET("/later"));
	lab_wait_later(1);
	lab_drain(20000);
	ck_assert_str_eq(client_hear_end(idle), "");
	lab_answer_later("the last");
	ck_assert(has(client_hear_end(fd), "Connection: close"));
	lab_wait_drained();
	client_close(idle);
}
END_TEST

START_TEST(a_drain_cuts_off_what_does_not_end)
{
	start();
	client_say(fd, GET("/later"));
	lab_wait_later(1);
	lab_drain(50);
	lab_wait_drained();
	lab_wait_gone(1);
}
END_TEST

START_TEST(a_server_may_be_freed_with_all_open)
{
	start();
	client_say(fd, GET("/later"));
	lab_wait_later(1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/server/server");
	TCase *t = tcase_create("server");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_request_is_answered_and_the_connection_stays);
	tcase_add_test(t, what_is_asked_again_is_answered_alike);
	tcase_add_test(t, bytes_may_come_one_by_one);
	tcase_add_test(t, head_has_the_length_and_no_body);
	tcase_add_test(t, versions_and_connection);
	tcase_add_test(t, bodies);
	tcase_add_test(t, a_client_that_waits_is_told_to_continue);
	tcase_add_test(t, pipelined_answers_leave_in_order);
	tcase_add_test(t, too_much_pipelining_is_slowed_not_lost);
	tcase_add_test(t, a_client_that_does_not_read_does_not_fill_the_server);
	tcase_add_test(t, half_close_still_gets_the_answer);
	tcase_add_test(t, answers_to_who_has_left_are_dropped);
	tcase_add_test(t, streams_come_in_chunks);
	tcase_add_test(t, a_stream_ends_with_its_clients_side);
	tcase_add_test(t, a_stream_that_ends_so_lets_other_answers_out);
	tcase_add_test(t, a_stream_behind_another_answer_waits);
	tcase_add_test(t, a_stream_behind_another_answer_goes_on_when_it_was_let_out);
	tcase_add_test(t, old_clients_read_a_stream_until_it_closes);
	tcase_add_test(t, a_stream_whose_client_left_ends);
	tcase_add_loop_test(t, what_cannot_be_read_is_answered_and_ends_it, 0,
			    ARRAY_LEN(refused));
	tcase_add_test(t, a_header_block_beyond_the_limit);
	tcase_add_test(t, who_may_not_ask_sends_no_body);
	tcase_add_test(t, routes_and_methods);
	tcase_add_test(t, errors_are_problems_with_a_trace);
	tcase_add_test(t, slow_clients_are_told_and_closed);
	tcase_add_test(t, idle_connections_are_closed_and_waiting_ones_are_not);
	tcase_add_test(t, counts_are_kept);
	tcase_add_test(t, a_drain_lets_open_requests_end);
	tcase_add_test(t, a_drain_cuts_off_what_does_not_end);
	tcase_add_test(t, a_server_may_be_freed_with_all_open);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
