/* Connecting: addresses, names, who is not there; and loops that share a port. */
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>

#include "net.h"

#include "base/banned.h"

/* Leaves a port in net.addr where nobody listens. */
static void closed_port(void)
{
	net_listen(false);
	listener_close(&net.listener);
	net_step();
}

START_TEST(nobody_listens)
{
	closed_port();
	net_connect();
	WAIT(net.client.closed);
	ck_assert_int_eq(net.client.err.code, E_IO);
	ck_assert_int_eq(net.client.opened, 0);
	ck_assert_ptr_nonnull(strstr(net.client.err.text, net.addr.text));
	ck_assert_ptr_nonnull(strstr(net.client.err.text, "refused"));
}
END_TEST

typedef int lookup(const char *, const char *, const struct addrinfo *,
		   struct addrinfo **);

/* Stands before that of libc, for libuv too: "many.test" is 127.0.0.2, where
 * nobody listens, and then 127.0.0.1. */
int getaddrinfo(const char *host, const char *service,
		const struct addrinfo *hints, struct addrinfo **out)
{
	lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");

	if (!host || strcmp(host, "many.test") != 0)
		return real(host, service, hints, out);
	if (hints->ai_flags & AI_NUMERICHOST)
		return EAI_NONAME;
	ck_assert_int_eq(real("127.0.0.2", service, hints, out), 0);
	return real("127.0.0.1", service, hints, &(*out)->ai_next);
}

static void connect_to(const char *name)
{
	char text[32];

	snprintf(text, sizeof(text), "%s:%u", name, net.addr.port);
	ck_assert_int_eq(stream_connect(loop, str_of(text), net.tls_client,
					"localhost", &end_ops, &net.client,
					&net.client.s, NULL),
			 OK);
	ck_assert_int_eq(net.client.opened, 0);
}

START_TEST(a_name_with_several_addresses)
{
	net_listen(_i);
	connect_to("many.test");
	WAIT(net.client.opened);
	ck_assert_str_eq(stream_peer(net.client.s)->host, "127.0.0.1");
	end_send(&net.client, STR("found"));
	WAIT(got(&net.server, STR("found")));
}
END_TEST

START_TEST(aborted_between_two_addresses)
{
	net_listen(false);
	connect_to("many.test");
	WAIT(str_is(str_of(stream_peer(net.client.s)->host), "127.0.0.2"));
	stream_abort(net.client.s);
	WAIT(net.client.closed);
	ck_assert_int_eq(net.client.opened, 0);
	ck_assert_int_eq(net.client.err.code, OK);
}
END_TEST

START_TEST(a_name_where_nobody_listens)
{
	closed_port();
	connect_to("many.test");
	WAIT(net.client.closed);
	ck_assert_int_eq(net.client.err.code, E_IO);
	/* The last address is the one named. */
	ck_assert_ptr_nonnull(strstr(net.client.err.text, net.addr.text));
}
END_TEST

START_TEST(a_name_that_is_none)
{
	ck_assert_int_eq(stream_connect(loop, STR("bad..name:80"), NULL, NULL,
					&end_ops, &net.client, &net.client.s,
					NULL),
			 OK);
	WAIT(net.client.closed);
	ck_assert_int_eq(net.client.err.code, E_IO);
	ck_assert_ptr_nonnull(strstr(net.client.err.text, "look up bad..name"));
}
END_TEST

START_TEST(aborted_while_looking_up)
{
	ck_assert_int_eq(stream_connect(loop, STR("localhost:1"), NULL, NULL,
					&end_ops, &net.client, &net.client.s,
					NULL),
			 OK);
	stream_abort(net.client.s);
	WAIT(net.client.closed);
	ck_assert_int_eq(net.client.err.code, OK);
}
END_TEST

START_TEST(aborted_while_connecting)
{
	net_listen(false);
	net_connect();
	stream_abort(net.client.s);
	WAIT(net.client.closed);
	ck_assert_int_eq(net.client.err.code, OK);
	ck_assert_int_eq(net.client.opened, 0);
}
END_TEST

START_TEST(malformed_addresses)
{
	static const char *const bad[] = {
		"", "localhost", ":80", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:65536",
		"1.2.3.4:-1", "::1:80", "[::1]", "[]:80", "[::1:80",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = { 0 };
		struct stream *s = NULL;

		ck_assert_msg(stream_connect(loop, str_of(bad[i]), NULL, NULL,
					     &end_ops, NULL, &s,
					     &err) == E_INVALID,
			      "%s", bad[i]);
		ck_assert_ptr_null(s);
		ck_assert_ptr_nonnull(strstr(err.hint, "host:port"));
	}
}
END_TEST

/* ---- threads ---- */

/* Loops of two threads share a port and a certificate, which is replaced again
 * and again below them. */
struct side {
	struct loop *loop;
	struct listener *listener;
	struct msg stop;
};

static void side_data(struct stream *s, struct str bytes)
{
	stream_write(s, &(struct stream_vec){ bytes.p, bytes.n }, 1);
}

static const struct stream_ops side_ops = { .on_data = side_data };

static void side_accept(struct listener *l, struct stream *s, void *data)
{
	struct side *side = data;

	ck_assert(loop_is_here(side->loop));
	stream_set(s, &side_ops, NULL);
}

static void side_stop(struct msg *msg)
{
	struct side *side = container_of(msg, struct side, stop);

	listener_close(&side->listener);
	loop_stop(side->loop);
}

static void ask_once(struct raw *raw)
{
	char answer[8] = "";

	if (!raw_handshake(raw))
		return;
	raw_send(raw, "ping", 4);
	if (SSL_read(raw->ssl, answer, 4) == 4)
		buf_add(&raw->got, answer, 4);
	SSL_shutdown(raw->ssl);
}

START_TEST(loops_share_port_and_certificate)
{
	struct side sides[2] = { 0 };
	struct str addr = STR("127.0.0.1:0");

	ck_assert_int_eq(tls_server_new(cert("server.pem"), cert("server.key"),
					NULL, NULL, &net.tls_server, NULL),
			 OK);
	for (int i = 0; i < 2; i++) {
		sides[i].loop = loop_new("side", 0);
		sides[i].stop.run = side_stop;
		ck_assert_int_eq(listener_new(sides[i].loop, addr, true,
					      net.tls_server, side_accept,
					      &sides[i], &sides[i].listener,
					      NULL),
				 OK);
		listener_addr(sides[i].listener, &net.addr);
		addr = str_of(net.addr.text);
	}
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(loop_start(sides[i].loop, NULL), OK);
	for (int round = 0; round < 5; round++) {
		struct raw raws[8] = { 0 };

		for (size_t i = 0; i < ARRAY_LEN(raws); i++)
			raw_start(&raws[i], ask_once);
		ck_assert_int_eq(tls_server_reload(net.tls_server, NULL), OK);
		for (size_t i = 0; i < ARRAY_LEN(raws); i++) {
			raw_join(&raws[i]);
			ck_assert_str_eq(raws[i].got.p ? raws[i].got.p : "",
					 "ping");
			buf_fini(&raws[i].got);
		}
	}
	for (int i = 0; i < 2; i++)
		ck_assert(loop_post(sides[i].loop, &sides[i].stop));
	for (int i = 0; i < 2; i++) {
		loop_join(sides[i].loop);
		loop_free(&sides[i].loop);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io/connect");
	TCase *t = tcase_create("connect");

	tcase_add_unchecked_fixture(t, certs_setup, certs_teardown);
	tcase_add_checked_fixture(t, net_setup, net_teardown);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	tcase_add_test(t, nobody_listens);
	tcase_add_loop_test(t, a_name_with_several_addresses, 0, 2);
	tcase_add_test(t, aborted_between_two_addresses);
	tcase_add_test(t, a_name_where_nobody_listens);
	tcase_add_test(t, a_name_that_is_none);
	tcase_add_test(t, aborted_while_looking_up);
	tcase_add_test(t, aborted_while_connecting);
	tcase_add_test(t, malformed_addresses);
	tcase_add_test(t, loops_share_port_and_certificate);
	return s;
}
UNIT_MAIN(suite)
