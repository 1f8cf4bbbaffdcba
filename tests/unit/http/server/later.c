/* What is much at once is done in many turns of the loop. */
#include "h2_client.h"

#include <sys/socket.h>

#include "base/mem.h"

#include "base/banned.h"

#define A_TURN 10u
#define MANY 300u
/* What was read before the message of the turn, and what comes with it. */
#define IS_SLICED(most) ck_assert_uint_le((most), 2 * A_TURN + 2)

static int fd;

static void setup(void)
{
	lab_setup();
	lab_limits.turn_ends = lab_limits.turn_requests = A_TURN;
	fd = 0;
}

static void teardown(void)
{
	if (fd)
		h2_close(fd);
	lab_teardown();
}

/* ---- streams ---- */

static unsigned id_of(unsigned i)
{
	return 1 + 2 * i;
}

static void open_streams(unsigned n)
{
	lab_start();
	fd = h2_new();
	for (unsigned i = 0; i < n; i++)
		h2_ask(fd, id_of(i), "GET", "/stream", true);
	for (unsigned i = 0; i < n; i++)
		h2_wait(fd, T_DATA, id_of(i));
}

static void check_streams_ended(unsigned left)
{
	struct http_stats stats;

	lab_wait_gone(MANY);
	IS_SLICED(lab_turns().gone);
	lab_stats(&stats);
	ck_assert_uint_eq(stats.streams_now, left);
}

START_TEST(streams_of_a_connection_that_is_lost)
{
	struct linger at_once = { .l_onoff = 1 };

	open_streams(MANY);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	h2_close(fd);
	check_streams_ended(0);
	fd = h2_new();
	h2_ask(fd, 1, "GET", "/hello", true);
	ck_assert_ptr_nonnull(strstr(h2_answer_of(fd, 1), "hello"));
}
END_TEST

/* What was said until then is an answer, for each of them. */
START_TEST(streams_of_a_client_that_says_its_last)
{
	open_streams(MANY);
	client_half_close(fd);
	check_streams_ended(0);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_ptr_nonnull(strstr(h2_answer_of(fd, id_of(i)), "first "));
	h2_goaway(fd);
}
END_TEST

START_TEST(streams_that_are_reset_one_by_one)
{
	enum { N = 3 * MANY };
	AUTO_BUF out = BUF_NONE;

	open_streams(N);
	for (unsigned i = 0; i < N; i++)
		h2_frame_put(&out, T_RST, 0, id_of(i), "\0\0\0\10", 4);
	client_say_n(fd, out.p, out.n);
	lab_wait_gone(N);
	/* They are taken 4 KiB at a time. */
	ck_assert_uint_le(lab_turns().gone, A_TURN + 4096 / 13 + 1);
	h2_ask(fd, id_of(N), "GET", "/hello", true);
	ck_assert_ptr_nonnull(strstr(h2_answer_of(fd, id_of(N)), "hello"));
}
END_TEST

START_TEST(streams_that_are_never_read)
{
	lab_limits.write_ms = 100;
	open_streams(MANY);
	h2_setting(fd, 4, 0);
	h2_wait(fd, T_SETTINGS, 0);
	for (unsigned i = MANY; i < 2 * MANY; i++)
		h2_ask(fd, id_of(i), "GET", "/stream", true);
	check_streams_ended(MANY);
}
END_TEST

/* The server goes while they are being ended. */
START_TEST(the_server_goes_meanwhile)
{
	open_streams(MANY);
	h2_close(fd);
	fd = 0;
	lab_wait_gone(1);
}
END_TEST

/* ---- connections ---- */

#define CLIENTS 100

static int clients[CLIENTS];
static int lingers;

static void do_close_clients(void)
{
	struct linger at_once = { .l_onoff = lingers };

	for (unsigned i = 0; i < CLIENTS; i++) {
		setsockopt(clients[i], SOL_SOCKET, SO_LINGER, &at_once,
			   sizeof(at_once));
		client_close(clients[i]);
	}
}

static void connect_clients(const char *path)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = client_new();
		client_say(clients[i], "GET ");
		client_say(clients[i], path);
		client_say(clients[i], " HTTP/1.1\r\nHost: h\r\n\r\n");
		client_hear(clients[i], "\r\n\r\n");
	}
}

static void wait_for_no_connection(void)
{
	struct http_stats stats;

	do
		lab_stats(&stats);
	while (stats.connections_now > 0);
}

/* All are seen in one turn, as the loop itself closes them. */
START_TEST(connections_that_go_at_once)
{
	lingers = _i;
	lab_start();
	connect_clients("/stream");
	lab_do(do_close_clients);
	lab_wait_gone(CLIENTS);
	wait_for_no_connection();
	IS_SLICED(lab_turns().gone);
	IS_SLICED(lab_turns().left);
}
END_TEST

START_TEST(connections_whose_time_is_over)
{
	/* They are looked at each 100 ms. */
	lab_limits.header_ms = 800;
	lab_start();
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = client_new();
		client_say(clients[i], "GET /");
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		client_hear(clients[i], "HTTP/1.1 408 ");
		client_hear_end(clients[i]);
		client_close(clients[i]);
	}
	IS_SLICED(lab_turns().answered);
}
END_TEST

/* ---- requests ---- */

START_TEST(requests_that_come_in_one_packet)
{
	static const char ask[] = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";
	AUTO_BUF out = BUF_NONE;
	int c;

	lab_start();
	c = client_new();
	for (unsigned i = 0; i < MANY; i++)
		buf_z(&out, ask);
	client_say_n(c, out.p, out.n);
	for (unsigned i = 0; i < MANY; i++)
		client_hear(c, "\r\n\r\nhello");
	ck_assert_uint_le(lab_turns().asked, A_TURN);
	client_say(c, ask);
	client_hear(c, "hello");
	/* The end is heard behind them. */
	client_say_n(c, out.p, out.n);
	client_half_close(c);
	for (unsigned i = 0; i < MANY; i++)
		client_hear(c, "\r\n\r\nhello");
	client_hear_end(c);
	ck_assert_uint_le(lab_turns().asked, A_TURN);
	client_close(c);
}
END_TEST

START_TEST(streams_that_come_in_one_packet)
{
	AUTO_BUF out = BUF_NONE, block = BUF_NONE;

	lab_start();
	fd = h2_new();
	h2_wait(fd, T_SETTINGS, 0);
	h2_fields(&block, "GET", "/hello");
	for (unsigned i = 0; i < MANY; i++)
		h2_frame_put(&out, T_HEADERS, F_END_HEADERS | F_END_STREAM, id_of(i),
			     block.p, block.n);
	client_say_n(fd, out.p, out.n);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_ptr_nonnull(strstr(h2_answer_of(fd, id_of(i)), "hello"));
	/* They are taken 4 KiB at a time. */
	ck_assert_uint_le(lab_turns().asked, A_TURN + 4096 / (9 + (unsigned)block.n));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/server/later");
	TCase *t = tcase_create("later");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, streams_of_a_connection_that_is_lost);
	tcase_add_test(t, streams_of_a_client_that_says_its_last);
	tcase_add_test(t, streams_that_are_reset_one_by_one);
	tcase_add_test(t, streams_that_are_never_read);
	tcase_add_test(t, the_server_goes_meanwhile);
	tcase_add_loop_test(t, connections_that_go_at_once, 0, 2);
	tcase_add_test(t, connections_whose_time_is_over);
	tcase_add_test(t, requests_that_come_in_one_packet);
	tcase_add_test(t, streams_that_come_in_one_packet);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
