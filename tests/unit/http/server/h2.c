/* HTTP/2, frame by frame. */
#include "h2_client.h"

#include <semaphore.h>
#include <sys/socket.h>

#include "base/mem.h"

#include "base/banned.h"

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

/* ---- requests ---- */

START_TEST(a_request_is_answered)
{
	const char *heard;

	start();
	for (unsigned id = 1; id < 7; id += 2) {
		h2_ask(fd, id, "GET", "/hello", true);
		heard = h2_answer_of(fd, id);
		ck_assert(str_starts(str_of(heard), STR(":status: 200\n")));
		HAS(heard, "\ncontent-length: 5\n");
		HAS(heard, "\ncontent-type: text/plain\n");
		HAS(heard, "\nx-test: yes\n");
		HAS(heard, "\nx-conflux-trace: ");
		HAS(heard, "\ndate: ");
		HAS(heard, "\n\nhello");
		ck_assert(!has(heard, "connection"));
	}
	h2_ask(fd, 7, "GET", "/args/x%20y/a/b?q=%41+b", true);
	HAS(h2_answer_of(fd, 7), "[x y][a/b][A b]");
}
END_TEST

START_TEST(streams_do_not_wait_for_each_other)
{
	start();
	h2_ask(fd, 1, "GET", "/later", true);
	h2_ask(fd, 3, "GET", "/later", true);
	h2_ask(fd, 5, "GET", "/hello", true);
	HAS(h2_answer_of(fd, 5), "hello");
	lab_wait_later(2);
	ck_assert_str_eq(h2_text_of(fd, 1), "");
	lab_answer_later("one");
	HAS(h2_answer_of(fd, 1), "one");
	lab_answer_later("three");
	HAS(h2_answer_of(fd, 3), "three");
}
END_TEST

/* Preface, SETTINGS, a request with a body in two frames. */
static void put_talk(struct buf *out)
{
	AUTO_BUF block = BUF_NONE;

	h2_fields(&block, "POST", "/echo");
	h2_field(&block, "content-type", "text/plain");
	buf_z(out, PREFACE);
	h2_frame_put(out, T_SETTINGS, 0, 0, NULL, 0);
	h2_frame_put(out, T_HEADERS, F_END_HEADERS, 1, block.p, block.n);
	h2_frame_put(out, T_DATA, 0, 1, "hel", 3);
	h2_frame_put(out, T_DATA, F_END_STREAM, 1, "lo", 2);
}

/* What the bytes of an answer must hold somewhere. */
static void hear_echo(int other)
{
	client_hear(other, "text/plain:hello");
}

START_TEST(bytes_may_come_one_by_one)
{
	AUTO_BUF talk = BUF_NONE;
	int other;

	start();
	put_talk(&talk);
	other = client_new();
	for (size_t i = 0; i < talk.n; i++)
		client_say_n(other, talk.p + i, 1);
	hear_echo(other);
	client_close(other);
}
END_TEST

START_TEST(a_connection_may_be_cut_anywhere)
{
	AUTO_BUF talk = BUF_NONE;

	start();
	put_talk(&talk);
	for (size_t i = 0; i < talk.n; i++) {
		int other = client_new();

		client_say_n(other, talk.p, i);
		if (i % 2)
			client_half_close(other);
		client_close(other);
		other = client_new();
		client_say_n(other, talk.p, i);
		lab_stats(&(struct http_stats){ 0 });
		client_say_n(other, talk.p + i, talk.n - i);
		hear_echo(other);
		client_close(other);
	}
	check_alive(1);
}
END_TEST

START_TEST(old_and_new_clients_come_to_one_port)
{
	int old;

	start();
	old = client_new();
	client_say(old, "P");
	check_alive(1);
	client_say(old, "OST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nok");
	client_hear(old, ":ok");
	client_close(old);
	old = client_new();
	client_say(old, "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n");
	HAS(client_hear_end(old), "HTTP/1.1 400 Bad Request");
	client_close(old);
	old = client_new();
	client_say(old, PREFACE "no frame at all, and much longer than one is");
	client_hear_end(old);
	client_close(old);
	check_alive(3);
}
END_TEST

START_TEST(answers_without_a_body)
{
	const char *heard;

	start();
	h2_ask(fd, 1, "HEAD", "/hello", true);
	heard = h2_answer_of(fd, 1);
	HAS(heard, "\ncontent-length: 5\n");
	ck_assert(!has(heard, "\n\nhello"));
	h2_ask(fd, 3, "GET", "/nothing", true);
	heard = h2_answer_of(fd, 3);
	HAS(heard, ":status: 204\n");
	ck_assert(!has(heard, "content-length"));
	h2_ask(fd, 5, "HEAD", "/stream", true);
	heard = h2_answer_of(fd, 5);
	HAS(heard, ":status: 200\n");
	ck_assert(!has(heard, "first"));
	lab_wait_gone(1);
	check_alive(7);
}
END_TEST

START_TEST(errors_are_problems_with_a_trace)
{
	const char *heard;

	start();
	h2_ask_with(fd, 1, "GET", "/error", "traceparent",
		    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true);
	heard = h2_answer_of(fd, 1);
	HAS(heard, ":status: 409\n");
	HAS(heard, "\ncontent-type: application/problem+json\n");
	HAS(heard, "\"trace\":\"0af7651916cd43dd8448eb211c80319c\"");
	h2_ask(fd, 3, "GET", "/echo", true);
	heard = h2_answer_of(fd, 3);
	HAS(heard, ":status: 405\n");
	HAS(heard, "\nallow: POST, PUT\n");
	h2_ask(fd, 5, "BREW", "/echo", true);
	HAS(h2_answer_of(fd, 5), ":status: 405\n");
	h2_ask_with(fd, 7, "POST", "/echo", "x-denied", "1", false);
	HAS(h2_answer_of(fd, 7), ":status: 403\n");
	check_alive(9);
}
END_TEST

/* ---- bodies ---- */

START_TEST(bodies)
{
	struct h2_frame f;

	start();
	h2_ask_with(fd, 1, "POST", "/echo", "content-type", "Text/Plain; x=y",
		    false);
	h2_data(fd, 1, "he", false);
	h2_ask(fd, 3, "POST", "/echo", false);
	h2_data(fd, 3, "other", true);
	h2_data(fd, 1, "llo", true);
	HAS(h2_answer_of(fd, 1), "\n\ntext/plain:hello");
	HAS(h2_answer_of(fd, 3), "\n\n:other");
	/* An empty frame ends it, and so do trailers. */
	h2_ask(fd, 5, "POST", "/echo", false);
	h2_data(fd, 5, "hello", false);
	h2_data(fd, 5, "", true);
	HAS(h2_answer_of(fd, 5), ":hello");
	AUTO_BUF block = BUF_NONE;

	h2_field(&block, "x-sum", "1");
	h2_ask(fd, 7, "POST", "/echo", false);
	h2_data(fd, 7, "hello", false);
	h2_say(fd, T_HEADERS, F_END_HEADERS | F_END_STREAM, 7, block.p, block.n);
	HAS(h2_answer_of(fd, 7), ":hello");
	h2_ask_with(fd, 9, "POST", "/echo", "expect", "100-continue", false);
	f = h2_wait(fd, T_HEADERS, 9);
	ck_assert_uint_eq(f.flags & F_END_STREAM, 0);
	HAS(h2_text_of(fd, 9), ":status: 100\n");
	h2_data(fd, 9, "ok", true);
	HAS(h2_answer_of(fd, 9), ":ok");
}
END_TEST

START_TEST(bodies_have_a_limit)
{
	static char fill[5000];
	const char *heard;

	start();
	memset(fill, 'x', sizeof(fill));
	h2_ask_with(fd, 1, "POST", "/echo", "content-length", "4097", false);
	heard = h2_answer_of(fd, 1);
	HAS(heard, ":status: 413\n");
	HAS(heard, "server.body_bytes");
	h2_ask(fd, 3, "POST", "/echo", false);
	h2_say(fd, T_DATA, 0, 3, fill, 3000);
	h2_say(fd, T_DATA, 0, 3, fill, 1096);
	h2_say(fd, T_DATA, 0, 3, fill, 1);
	HAS(h2_answer_of(fd, 3), ":status: 413\n");
	/* The client is told to stop, and may not have heard it yet. */
	ck_assert_uint_eq(h2_wait(fd, T_RST, 3).code, 0);
	h2_say(fd, T_DATA, 0, 3, fill, 5000);
	check_alive(5);
	/* It must be as long as it says. */
	h2_ask_with(fd, 7, "POST", "/echo", "content-length", "4", false);
	h2_data(fd, 7, "hello", true);
	HAS(h2_answer_of(fd, 7), "reset 1");
	check_alive(9);
}
END_TEST

/* More bytes go through a connection than its windows hold. */
START_TEST(windows_are_given_back)
{
	static char fill[4096];
	unsigned id = 1;

	start();
	h2_window(fd, 0, 1 << 30);
	for (; id < 1001; id += 2) {
		h2_ask(fd, id, "POST", "/echo", false);
		h2_say(fd, T_DATA, F_END_STREAM, id, fill, sizeof(fill));
		if (id % 100 == 99)
			HAS(h2_answer_of(fd, id), ":status: 200");
	}
}
END_TEST

START_TEST(a_body_that_stops_is_refused_alone)
{
	lab_limits.body_ms = 100;
	start();
	h2_ask(fd, 1, "POST", "/echo", false);
	h2_data(fd, 1, "he", false);
	h2_ask(fd, 3, "POST", "/pieces", false);
	h2_data(fd, 3, "he", false);
	h2_ask(fd, 5, "GET", "/later", true);
	HAS(h2_answer_of(fd, 1), ":status: 408\n");
	HAS(h2_answer_of(fd, 3), ":status: 408\n");
	lab_wait_gone(1);
	lab_answer_later("still here");
	HAS(h2_answer_of(fd, 5), "still here");
	check_alive(7);
}
END_TEST

/* ---- bodies in pieces, trailers, tunnels ---- */

START_TEST(a_body_is_told_as_it_comes)
{
	start();
	h2_ask(fd, 1, "POST", "/pieces", false);
	h2_data(fd, 1, "hello", false);
	lab_wait_pieces(1);
	ck_assert_uint_eq(lab_pieces_bytes(), 5);
	h2_data(fd, 1, "world", true);
	HAS(h2_answer_of(fd, 1), "\n\n<10 bytes, ");
	h2_ask(fd, 3, "POST", "/pieces", true);
	HAS(h2_answer_of(fd, 3), "\n\n<0 bytes, 0>");
	/* One that ends before its body is told to stop. */
	h2_ask(fd, 5, "POST", "/enough", false);
	h2_data(fd, 5, "hello", false);
	HAS(h2_answer_of(fd, 5), "enough");
	ck_assert_uint_eq(h2_wait(fd, T_RST, 5).code, 0);
	h2_ask(fd, 7, "POST", "/early", false);
	HAS(h2_answer_of(fd, 7), "early");
	ck_assert_uint_eq(h2_wait(fd, T_RST, 7).code, 0);
	check_alive(9);
}
END_TEST

/* Its window closes; that of the connection does not. */
START_TEST(a_body_that_is_not_taken_holds_up_nobody)
{
	enum { WINDOW = 128 * 1024, N = 8 * 16384 };
	static char fill[16384];
	struct h2_frame f;

	start();
	h2_wait(fd, T_SETTINGS, 0);
	h2_window(fd, 0, 1 << 30);
	h2_ask(fd, 1, "POST", "/paused", false);
	for (int i = 0; i < WINDOW / 16384; i++)
		h2_say(fd, T_DATA, 0, 1, fill, sizeof(fill));
	for (unsigned id = 3; id < 203; id += 2) {
		h2_ask(fd, id, "POST", "/echo", false);
		h2_say(fd, T_DATA, F_END_STREAM, id, fill, 4096);
	}
	HAS(h2_answer_of(fd, 201), ":status: 200");
	ck_assert_uint_eq(lab_pieces_bytes(), 0);
	lab_take_body();
	f = h2_wait(fd, T_WINDOW, 1);
	ck_assert_uint_eq(f.code, WINDOW);
	ck_assert_uint_eq(lab_pieces_bytes(), N);
	h2_say(fd, T_DATA, 0, 1, fill, sizeof(fill));
	/* It has paused again. */
	check_alive(203);
	ck_assert_uint_eq(lab_pieces_bytes(), N);
	lab_let_body_flow();
	h2_data(fd, 1, "end", true);
	HAS(h2_answer_of(fd, 1), "<147459 bytes");
}
END_TEST

START_TEST(a_stream_both_ways_with_trailers)
{
	start();
	h2_ask(fd, 1, "POST", "/both", false);
	h2_wait(fd, T_HEADERS, 1);
	h2_data(fd, 1, "hello", false);
	h2_wait(fd, T_DATA, 1);
	h2_data(fd, 1, "world", true);
	HAS(h2_answer_of(fd, 1), "\n\nhelloworldx-sum: 42\nx-more: of it\n\n");
	/* Without anything before them. */
	h2_ask(fd, 3, "POST", "/both", true);
	HAS(h2_answer_of(fd, 3), "\n\nx-sum: 42\nx-more: of it\n\n");
	/* Behind a window that is closed. */
	h2_setting(fd, 4, 0);
	h2_ask(fd, 5, "POST", "/both", false);
	h2_data(fd, 5, "hello", true);
	h2_ask(fd, 7, "HEAD", "/hello", true);
	h2_answer_of(fd, 7);
	ck_assert(!has(h2_text_of(fd, 5), "hello"));
	h2_window(fd, 5, 2);
	h2_wait(fd, T_DATA, 5);
	HAS(h2_text_of(fd, 5), "\n\nhe");
	h2_window(fd, 5, 3);
	HAS(h2_answer_of(fd, 5), "\n\nhellox-sum: 42\n");
}
END_TEST

static void ask_tunnel(unsigned id, const char *protocol, const char *path)
{
	AUTO_BUF block = BUF_NONE;

	h2_fields(&block, "CONNECT", path);
	h2_field(&block, ":protocol", protocol);
	h2_say(fd, T_HEADERS, F_END_HEADERS, id, block.p, block.n);
}

START_TEST(a_stream_becomes_a_tunnel)
{
	const char *heard;

	start();
	/* It may be asked for when the server has said so. */
	HAS(h2_wait(fd, T_SETTINGS, 0).p, "");
	ask_tunnel(1, "parrot", "/upgrade");
	h2_wait(fd, T_HEADERS, 1);
	heard = h2_text_of(fd, 1);
	HAS(heard, ":status: 200\n");
	HAS(heard, "x-parrot: green\n");
	h2_data(fd, 1, "polly", false);
	h2_wait(fd, T_DATA, 1);
	h2_data(fd, 1, "bye", false);
	HAS(h2_answer_of(fd, 1), "\n\npollybye");
	ask_tunnel(3, "dog", "/upgrade");
	heard = h2_answer_of(fd, 3);
	HAS(heard, ":status: 426\n");
	ck_assert(!has(heard, "upgrade"));
	/* The client's end is told, and without an answer ends it. */
	ask_tunnel(5, "parrot", "/upgrade");
	h2_wait(fd, T_HEADERS, 5);
	h2_say(fd, T_RST, 0, 5, "\0\0\0\10", 4);
	lab_wait_gone(1);
	/* In one request as in HTTP/1.1 it is none. */
	AUTO_BUF block = BUF_NONE;

	h2_field(&block, ":method", "CONNECT");
	h2_field(&block, ":authority", "h:1");
	h2_say(fd, T_HEADERS, F_END_HEADERS, 7, block.p, block.n);
	HAS(h2_answer_of(fd, 7), ":status: 404\n");
	/* Whose handler makes none has none, whatever it says. */
	ask_tunnel(9, "parrot", "/hello");
	HAS(h2_answer_of(fd, 9), ":status: 501\n");
	check_alive(11);
}
END_TEST

/* ---- streams ---- */

START_TEST(streams_come_in_data)
{
	struct http_stats stats;

	start();
	h2_ask(fd, 1, "GET", "/stream", true);
	h2_wait(fd, T_DATA, 1);
	HAS(h2_text_of(fd, 1), "\n\nfirst ");
	lab_chunk("second");
	h2_wait(fd, T_DATA, 1);
	check_alive(3);
	lab_stats(&stats);
	ck_assert_uint_eq(stats.streams_now, 1);
	lab_chunk(" third");
	lab_end_stream();
	HAS(h2_answer_of(fd, 1), "\n\nfirst second third");
	lab_stats(&stats);
	ck_assert_uint_eq(stats.streams_now, 0);
}
END_TEST

/* "first ", then what lab_chunks_in_turns said. */
static void check_turns(int client, unsigned n)
{
	AUTO_BUF want = BUF_NONE;
	AUTO_BUF last = BUF_NONE;
	const char *p;

	buf_printf(&last, ";%u;", n - 1);
	while (!has(h2_text_of(client, 1), last.p))
		h2_wait(client, T_DATA, 1);
	for (unsigned i = 0; i < n; i++)
		buf_printf(&want, "%u;", i);
	p = strstr(h2_text_of(client, 1), "first ");
	ck_assert_ptr_nonnull(p);
	ck_assert_str_eq(p + strlen("first "), want.p);
}

/* Two clients that are told in turns; their sockets are written to when all is said. */
static void tell_in_turns(unsigned n, bool in_one_write)
{
	int other = h2_new();
	uint64_t went;

	h2_ask(fd, 1, "GET", "/stream", true);
	h2_wait(fd, T_DATA, 1);
	h2_ask(other, 1, "GET", "/stream", true);
	h2_wait(other, T_DATA, 1);
	went = lab_chunks_in_turns(n);
	ck_assert_int_eq(went == 0, in_one_write);
	h2_window(fd, 1, 1 << 20);
	h2_window(fd, 0, 1 << 20);
	h2_window(other, 1, 1 << 20);
	h2_window(other, 0, 1 << 20);
	check_turns(fd, n);
	check_turns(other, n);
	h2_close(other);
}

START_TEST(streams_of_two_connections_leave_in_a_write_each)
{
	start();
	tell_in_turns(100, true);
}
END_TEST

/* More than is gathered, and more than the windows take. */
START_TEST(streams_of_two_connections_are_told_much)
{
	start();
	tell_in_turns(30000, false);
}
END_TEST

/* What holds little is told of what the connection holds. */
START_TEST(streams_know_that_their_connection_is_full)
{
	lab_limits.pending_bytes = 256 * 1024;
	start();
	h2_setting(fd, 4, 0);
	h2_ask(fd, 1, "GET", "/stream", true);
	h2_wait(fd, T_HEADERS, 1);
	ck_assert_uint_eq(lab_pending(), strlen("first "));
	h2_ask(fd, 3, "GET", "/big", true);
	h2_wait(fd, T_HEADERS, 3);
	ck_assert_uint_gt(lab_pending(), 1 << 20);
	h2_window(fd, 1, 100);
	h2_wait(fd, T_DATA, 1);
	ck_assert_uint_eq(lab_pending(), 0);
}
END_TEST

START_TEST(what_is_reset_is_gone)
{
	struct http_stats stats;

	start();
	h2_ask(fd, 1, "GET", "/later", true);
	h2_ask(fd, 3, "GET", "/stream", true);
	h2_ask(fd, 5, "POST", "/echo", false);
	h2_ask(fd, 7, "POST", "/pieces", false);
	h2_wait(fd, T_DATA, 3);
	lab_wait_later(1);
	lab_wait_pieces(0);
	for (unsigned id = 1; id < 9; id += 2)
		h2_say(fd, T_RST, 0, id, "\0\0\0\10", 4);
	lab_wait_gone(3);
	lab_stats(&stats);
	ck_assert_uint_eq(stats.streams_now, 0);
	check_alive(9);
}
END_TEST

static sem_t stands, goes_on;

static void stand(void)
{
	sem_post(&stands);
	sem_wait(&goes_on);
}

/* The answer and the end of who asked come in one turn: what was gathered for him is
 * not the next one's. */
START_TEST(an_answer_to_who_has_gone_goes_to_nobody)
{
	static const struct linger at_once = { 1, 0 };

	sem_init(&stands, 0, 0);
	sem_init(&goes_on, 0, 0);
	start();
	for (unsigned i = 0; i < 20; i++) {
		h2_ask(fd, 1, "GET", "/later", true);
		lab_wait_later(1);
		lab_post(stand);
		sem_wait(&stands);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		h2_close(fd);
		lab_post_later("a secret of the one before");
		sem_post(&goes_on);
		/* It would stand in front of the settings. */
		fd = h2_new();
		check_alive(1);
		again();
	}
}
END_TEST

START_TEST(all_streams_end_with_their_client)
{
	start();
	h2_ask(fd, 1, "GET", "/later", true);
	h2_ask(fd, 3, "GET", "/stream", true);
	h2_ask(fd, 5, "POST", "/pieces", false);
	h2_wait(fd, T_DATA, 3);
	lab_wait_later(1);
	lab_wait_pieces(0);
	client_half_close(fd);
	lab_wait_gone(2);
	/* Who has ended his side still gets the answer. */
	lab_answer_later("late");
	HAS(h2_answer_of(fd, 1), "late");
	h2_goaway(fd);
	again();
	/* What waits for a window waits in vain. */
	h2_setting(fd, 4, 0);
	h2_ask(fd, 1, "GET", "/big", true);
	h2_wait(fd, T_HEADERS, 1);
	client_half_close(fd);
	h2_goaway(fd);
	again();
	h2_ask(fd, 1, "GET", "/later", true);
	h2_ask(fd, 3, "GET", "/stream", true);
	h2_wait(fd, T_DATA, 3);
	again();
	lab_wait_gone(3);
	check_alive(1);
}
END_TEST

/* ---- ends ---- */

START_TEST(idle_connections_are_closed_and_waiting_ones_are_not)
{
	int other;

	lab_limits.idle_ms = 1000;
	start();
	check_alive(1);
	other = h2_new();
	h2_ask(other, 1, "GET", "/later", true);
	ck_assert_uint_eq(h2_goaway(fd), 0);
	lab_answer_later("still here");
	HAS(h2_answer_of(other, 1), "still here");
	h2_close(other);
}
END_TEST

static uint32_t last_id(struct h2_frame f)
{
	const unsigned char *p = (const unsigned char *)f.p;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
		(uint32_t)p[2] << 8 | p[3];
}

START_TEST(a_drain_says_goaway_twice_and_loses_nothing)
{
	int idle;
	struct h2_frame f;

	start();
	idle = h2_new();
	h2_ask(idle, 1, "GET", "/hello", true);
	h2_answer_of(idle, 1);
	h2_ask(fd, 1, "GET", "/later", true);
	lab_wait_later(1);
	lab_drain(20000);
	f = h2_wait(fd, T_GOAWAY, 0);
	ck_assert_uint_eq(last_id(f), 0x7fffffff);
	f = h2_wait(fd, T_PING, 0);
	/* What was sent before the client knew is served. */
	h2_ask(fd, 3, "GET", "/hello", true);
	h2_say(fd, T_PING, F_ACK, 0, f.p, f.n);
	HAS(h2_answer_of(fd, 3), "hello");
	f = h2_wait(fd, T_GOAWAY, 0);
	ck_assert_uint_eq(last_id(f), 3);
	lab_answer_later("the last");
	HAS(h2_answer_of(fd, 1), "the last");
	ck_assert_uint_eq(h2_goaway(fd), 0);
	/* One that does not answer the PING. */
	ck_assert_uint_eq(h2_goaway(idle), 0);
	lab_wait_drained();
	h2_close(idle);
}
END_TEST

START_TEST(a_drain_cuts_off_what_does_not_end)
{
	start();
	h2_ask(fd, 1, "GET", "/later", true);
	h2_ask(fd, 3, "GET", "/stream", true);
	lab_wait_later(1);
	lab_drain(50);
	lab_wait_drained();
	lab_wait_gone(2);
}
END_TEST

START_TEST(a_server_may_be_freed_with_all_open)
{
	start();
	h2_setting(fd, 4, 0);
	h2_ask(fd, 1, "GET", "/later", true);
	h2_ask(fd, 3, "GET", "/stream", true);
	h2_ask(fd, 5, "GET", "/big", true);
	h2_ask(fd, 7, "POST", "/pieces", false);
	lab_wait_later(1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/server/h2");
	TCase *t = tcase_create("h2");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_request_is_answered);
	tcase_add_test(t, streams_do_not_wait_for_each_other);
	tcase_add_test(t, bytes_may_come_one_by_one);
	tcase_add_test(t, a_connection_may_be_cut_anywhere);
	tcase_add_test(t, old_and_new_clients_come_to_one_port);
	tcase_add_test(t, answers_without_a_body);
	tcase_add_test(t, errors_are_problems_with_a_trace);
	tcase_add_test(t, bodies);
	tcase_add_test(t, bodies_have_a_limit);
	tcase_add_test(t, windows_are_given_back);
	tcase_add_test(t, a_body_that_stops_is_refused_alone);
	tcase_add_test(t, a_body_is_told_as_it_comes);
	tcase_add_test(t, a_body_that_is_not_taken_holds_up_nobody);
	tcase_add_test(t, a_stream_both_ways_with_trailers);
	tcase_add_test(t, a_stream_becomes_a_tunnel);
	tcase_add_test(t, streams_come_in_data);
	tcase_add_test(t, streams_of_two_connections_leave_in_a_write_each);
	tcase_add_test(t, streams_of_two_connections_are_told_much);
	tcase_add_test(t, streams_know_that_their_connection_is_full);
	tcase_add_test(t, what_is_reset_is_gone);
	tcase_add_test(t, an_answer_to_who_has_gone_goes_to_nobody);
	tcase_add_test(t, all_streams_end_with_their_client);
	tcase_add_test(t, idle_connections_are_closed_and_waiting_ones_are_not);
	tcase_add_test(t, a_drain_says_goaway_twice_and_loses_nothing);
	tcase_add_test(t, a_drain_cuts_off_what_does_not_end);
	tcase_add_test(t, a_server_may_be_freed_with_all_open);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
