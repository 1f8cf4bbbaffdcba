/* Listening: addresses, what cannot be had, sharing, closing. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/addr.h"
#include "net.h"

#include "base/banned.h"

static void accept_none(struct listener *l, struct stream *s, void *data)
{
	ck_abort_msg("nobody was expected");
}

static enum code listen_at(const char *addr, bool share, struct listener **out,
			   struct err *err)
{
	return listener_new(loop, str_of(addr), share, NULL, accept_none, NULL,
			    out, err);
}

START_TEST(addresses_that_are_none)
{
	static const char *const bad[] = {
		"", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:99999",
		":8080", "::1:8080", "[::1]8080",
	};
	struct listener *l = NULL;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = { 0 };

		ck_assert_msg(listen_at(bad[i], false, &l, &err) == E_INVALID,
			      "%s", bad[i]);
		ck_assert_ptr_nonnull(strstr(err.text, "listen on"));
		ck_assert_ptr_nonnull(strstr(err.hint, "127.0.0.1:8080"));
	}
	ck_assert_ptr_null(l);
}
END_TEST

START_TEST(addresses_of_others)
{
	struct err err = { 0 };
	struct listener *l;

	/* TEST-NET-1 is nobody's. */
	ck_assert_int_ne(listen_at("192.0.2.1:0", false, &l, &err), OK);
	ck_assert_ptr_nonnull(strstr(err.text, "192.0.2.1:0"));
	ck_assert_int_eq(listen_at("bad..name:0", false, &l, &err), E_NOT_FOUND);
}
END_TEST

START_TEST(a_port_that_is_taken)
{
	struct listener *l, *other;
	struct stream_addr addr;
	struct err err = { 0 };

	ck_assert_int_eq(listen_at("127.0.0.1:0", false, &l, &err), OK);
	listener_addr(l, &addr);
	ck_assert_uint_gt(addr.port, 0);
	ck_assert(addr.is_loopback);
	ck_assert_str_eq(addr.host, "127.0.0.1");
	ck_assert_int_eq(listen_at(addr.text, false, &other, &err), E_BUSY);
	ck_assert_ptr_nonnull(strstr(err.text, addr.text));
	ck_assert_int_eq(listen_at(addr.text, true, &other, &err), E_BUSY);
	listener_close(&l);
	ck_assert_ptr_null(l);
	net_step();
	ck_assert_int_eq(listen_at(addr.text, false, &l, &err), OK);
}
END_TEST

START_TEST(a_port_that_is_shared)
{
	struct listener *a, *b;
	struct stream_addr addr;

	ck_assert_int_eq(listen_at("127.0.0.1:0", true, &a, NULL), OK);
	listener_addr(a, &addr);
	ck_assert_int_eq(listen_at(addr.text, true, &b, NULL), OK);
	listener_close(&a);
	listener_close(&b);
	listener_close(&b);
}
END_TEST

START_TEST(names_and_ipv6)
{
	struct listener *l;
	struct stream_addr addr;

	ck_assert_int_eq(listen_at("localhost:0", false, &l, NULL), OK);
	listener_addr(l, &addr);
	ck_assert(addr.is_loopback);
	ck_assert_int_eq(listen_at("0.0.0.0:0", false, &l, NULL), OK);
	listener_addr(l, &addr);
	ck_assert(!addr.is_loopback);
	if (listen_at("[::1]:0", false, &l, NULL))
		return;                         /* a machine without IPv6 */
	listener_addr(l, &addr);
	ck_assert_str_eq(addr.host, "::1");
	ck_assert(addr.is_loopback);
	ck_assert_int_eq(strncmp(addr.text, "[::1]:", 6), 0);
}
END_TEST

static int refused;

static void refuse(struct listener *l, struct stream *s, void *data)
{
	refused++;
	stream_abort(s);
}

START_TEST(a_stream_refused_at_the_door)
{
	ck_assert_int_eq(listener_new(loop, STR("127.0.0.1:0"), false, NULL,
				      refuse, NULL, &net.listener, NULL),
			 OK);
	listener_addr(net.listener, &net.addr);
	net_connect();
	WAIT(net.client.eof || net.client.closed);
	ck_assert_int_eq(refused, 1);
}
END_TEST

START_TEST(closing_the_listener_keeps_its_streams)
{
	net_pair(false);
	listener_close(&net.listener);
	for (int i = 0; i < 5; i++)
		net_step();
	end_send(&net.client, STR("still here"));
	WAIT(net.server.got.n == 10);
}
END_TEST

static int crowd_in_a_turn, crowd_most;

static void count_turn(struct turn *turn)
{
	crowd_most = MAX(crowd_most, crowd_in_a_turn);
	crowd_in_a_turn = 0;
}

static void take_one_of_a_crowd(struct listener *l, struct stream *s, void *data)
{
	net.accepted++;
	crowd_in_a_turn++;
	stream_abort(s);
}

#define CROWD 50

/* Of a crowd that wants TLS, each turn takes one; without TLS, all of it. */
START_TEST(a_crowd_at_the_door)
{
	struct turn turn = { .run = count_turn };
	int fds[CROWD];

	if (_i)
		ck_assert_int_eq(tls_server_new(cert("server.pem"),
						cert("server.key"), NULL, NULL,
						&net.tls_server, NULL),
				 OK);
	ck_assert_int_eq(listener_new(loop, STR("127.0.0.1:0"), false,
				      net.tls_server, take_one_of_a_crowd, NULL,
				      &net.listener, NULL),
			 OK);
	listener_addr(net.listener, &net.addr);
	loop_on_turn(loop, &turn);
	for (int i = 0; i < CROWD; i++)
		fds[i] = net_dial();
	WAIT(net.accepted == CROWD);
	net_step();
	if (_i)
		ck_assert_int_eq(crowd_most, 1);
	else
		ck_assert_int_gt(crowd_most, 10);
	for (int i = 0; i < CROWD; i++)
		close(fds[i]);
	loop_off_turn(loop, &turn);
	net.accepted = 0;
}
END_TEST

static void close_after_the_first(struct turn *turn)
{
	if (net.accepted && net.listener)
		listener_close(&net.listener);
}

/* The second of the crowd waits for its turn when the listener is closed. */
START_TEST(closing_the_listener_in_a_crowd)
{
	struct turn turn = { .run = close_after_the_first };
	int fds[3];

	ck_assert_int_eq(tls_server_new(cert("server.pem"), cert("server.key"),
					NULL, NULL, &net.tls_server, NULL),
			 OK);
	ck_assert_int_eq(listener_new(loop, STR("127.0.0.1:0"), false,
				      net.tls_server, take_one_of_a_crowd, NULL,
				      &net.listener, NULL),
			 OK);
	listener_addr(net.listener, &net.addr);
	for (int i = 0; i < 3; i++)
		fds[i] = net_dial();
	loop_on_turn(loop, &turn);
	WAIT(net.accepted);
	for (int i = 0; i < 10; i++)
		net_step();
	ck_assert_int_eq(net.accepted, 1);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	loop_off_turn(loop, &turn);
	net.accepted = 0;
}
END_TEST

static void take_none(struct listener *l, struct stream *s, void *data)
{
}

START_TEST(a_stream_without_ops_aborts)
{
	ck_assert_int_eq(listener_new(loop, STR("127.0.0.1:0"), false, NULL,
				      take_none, NULL, &net.listener, NULL),
			 OK);
	listener_addr(net.listener, &net.addr);
	net_connect();
	for (;;)
		net_step();
}
END_TEST

static struct stream_addr v6_addr(const char *ip)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6,
				   .sin6_port = htons(80) };
	struct stream_addr out;

	ck_assert_int_eq(inet_pton(AF_INET6, ip, &sa.sin6_addr), 1);
	addr_of((struct sockaddr *)&sa, &out);
	return out;
}

START_TEST(texts)
{
	char longest[400] = "", host[ADDR_HOST_MAX];
	struct stream_addr a = v6_addr("::ffff:127.0.0.1");
	uint16_t port;

	ck_assert_str_eq(a.text, "127.0.0.1:80");
	ck_assert(a.is_loopback);
	a = v6_addr("::ffff:10.0.0.1");
	ck_assert(!a.is_loopback);
	a = v6_addr("2001:db8::1");
	ck_assert_str_eq(a.text, "[2001:db8::1]:80");
	ck_assert(!a.is_loopback);
	a = v6_addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	ck_assert_str_eq(a.text, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:80");

	ck_assert_int_eq(addr_split(STR("[fe80::1%eth0]:1"), host, &port, NULL),
			 OK);
	ck_assert_str_eq(host, "fe80::1%eth0");
	memset(longest, 'x', 300);
	memcpy(longest + 300, ":80", 4);
	ck_assert_int_eq(addr_split(str_of(longest), host, &port, NULL),
			 E_INVALID);
	ck_assert_int_eq(addr_split(STR("a\0b:80"), host, &port, NULL),
			 E_INVALID);
}
END_TEST

START_TEST(numbers)
{
	bool is_loopback = false;

	ck_assert(addr_is_numeric("127.8.0.1", &is_loopback));
	ck_assert(is_loopback);
	ck_assert(addr_is_numeric("10.0.0.1", &is_loopback));
	ck_assert(!is_loopback);
	ck_assert(addr_is_numeric("::1", &is_loopback));
	ck_assert(is_loopback);
	ck_assert(addr_is_numeric("2001:db8::1", &is_loopback));
	ck_assert(!is_loopback);
	ck_assert(!addr_is_numeric("localhost", &is_loopback));
	ck_assert(!addr_is_numeric("127.0.0.1.example", &is_loopback));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io/listener");
	TCase *t = tcase_create("listener");

	tcase_add_unchecked_fixture(t, certs_setup, certs_teardown);
	tcase_add_checked_fixture(t, net_setup, net_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, addresses_that_are_none);
	tcase_add_test(t, addresses_of_others);
	tcase_add_test(t, a_port_that_is_taken);
	tcase_add_test(t, a_port_that_is_shared);
	tcase_add_test(t, names_and_ipv6);
	tcase_add_test(t, a_stream_refused_at_the_door);
	tcase_add_test(t, closing_the_listener_keeps_its_streams);
	tcase_add_loop_test(t, a_crowd_at_the_door, 0, 2);
	tcase_add_test(t, closing_the_listener_in_a_crowd);
	tcase_add_test_raise_signal(t, a_stream_without_ops_aborts, SIGABRT);
	tcase_add_test(t, texts);
	tcase_add_test(t, numbers);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
