/* Mutual TLS: both sides show certificates, and what these say. */
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "net.h"

#include "base/banned.h"

static void mutual_server(const char *name)
{
	char pem[64], key[64];

	snprintf(pem, sizeof(pem), "%s.pem", name);
	snprintf(key, sizeof(key), "%s.key", name);
	ck_assert_int_eq(tls_server_new_mutual(cert(pem), cert(key),
					       cert("ca.pem"), &net.tls_server,
					       NULL),
			 OK);
}

static void mutual_client(const char *name)
{
	char pem[64], key[64];

	snprintf(pem, sizeof(pem), "%s.pem", name);
	snprintf(key, sizeof(key), "%s.key", name);
	ck_assert_int_eq(tls_client_new_mutual(cert(pem), cert(key),
					       cert("ca.pem"), &net.tls_client,
					       NULL),
			 OK);
}

static void only_handshake(struct raw *raw)
{
	raw_handshake(raw);
	raw_read_all(raw);
}

/* The verdict is the server's: see tls.c. */
static bool server_accepts(struct raw *raw)
{
	bool accepted;

	net.server.opened = net.server.closed = net.accepted = 0;
	raw_start(raw, only_handshake);
	WAIT(net.server.opened || net.server.closed);
	accepted = net.server.opened;
	if (net.server.s)
		stream_abort(net.server.s);
	WAIT(net.server.closed);
	raw_join(raw);
	buf_fini(&raw->got);
	return accepted;
}

START_TEST(who_a_server_takes)
{
	struct raw none = { 0 };
	struct raw good = { .cert = cert("client.pem"),
			    .key = cert("client.key") };
	struct raw bad = { .cert = cert("stranger.pem"),
			   .key = cert("stranger.key") };
	struct raw old = { .cert = cert("client.pem"),
			   .key = cert("client.key"),
			   .max_version = TLS1_2_VERSION };

	mutual_server("server");
	net_listen(true);
	ck_assert(server_accepts(&good));
	ck_assert(!server_accepts(&none));
	ck_assert_ptr_nonnull(strstr(net.server.err.text, "certificate"));
	ck_assert(!server_accepts(&bad));
	ck_assert_ptr_nonnull(strstr(net.server.err.text, "self"));
	ck_assert(!server_accepts(&old));
	ck_assert_ptr_nonnull(strstr(net.server.err.text, "protocol"));
}
END_TEST

/* A server of another CA is refused; one with another name is not. */
START_TEST(who_a_client_takes)
{
	ck_assert_int_eq(tls_server_new(cert("stranger.pem"),
					cert("stranger.key"), NULL, NULL,
					&net.tls_server, NULL),
			 OK);
	mutual_client("client");
	net_listen(true);
	net_connect();
	WAIT(net.client.closed && net.server.closed);
	ck_assert_int_eq(net.client.opened, 0);
	ck_assert_int_eq(net.client.err.code, E_TLS);

	listener_close(&net.listener);
	tls_server_free(&net.tls_server);
	net.client.closed = net.server.closed = net.accepted = 0;
	mutual_server("node");
	net_pair(true);
}
END_TEST

/* What the client of 1.3 hears behind on_open. */
START_TEST(a_client_is_told_of_its_refusal)
{
	ck_assert_int_eq(tls_client_new_mutual(cert("stranger.pem"),
					       cert("stranger.key"),
					       cert("ca.pem"), &net.tls_client,
					       NULL),
			 OK);
	mutual_server("server");
	net_listen(true);
	net_connect();
	WAIT(net.client.closed && net.server.closed);
	ck_assert_int_eq(net.client.opened, 1);
	ck_assert_int_eq(net.server.opened, 0);
	ck_assert_int_eq(net.client.err.code, E_TLS);
	ck_assert_ptr_nonnull(strstr(net.client.err.text, "unknown ca"));
}
END_TEST

static int64_t days_of(const struct tls_cert *of)
{
	return (tls_cert_expiry(of) - (int64_t)time(NULL) + 43200) / 86400;
}

START_TEST(what_a_certificate_says)
{
	AUTO_BUF name = BUF_NONE;
	struct tls_cert *of;
	struct str uri;

	mutual_server("server");
	mutual_client("node");
	net_pair(true);
	of = stream_peer_cert(net.server.s);
	ck_assert_ptr_nonnull(of);
	ck_assert_int_eq(days_of(of), 5);
	ck_assert(tls_cert_uri(of, 0, &uri));
	ck_assert(str_is(uri, "conflux://node/7"));
	ck_assert(tls_cert_uri(of, 1, &uri));
	ck_assert(str_is(uri, "urn:x"));
	ck_assert(!tls_cert_uri(of, 2, &uri));
	/* A URI goes before the common name. */
	ck_assert(tls_cert_name(of, &name));
	ck_assert_str_eq(name.p, "conflux://node/7");
	ck_assert(tls_cert_is_for(of, "a.conflux.test"));
	ck_assert(!tls_cert_is_for(of, "conflux.test"));
	ck_assert(!tls_cert_is_for(of, "a.b.conflux.test"));
	/* Its subject says this, its names do not. */
	ck_assert(!tls_cert_is_for(of, "node"));
	ck_assert(!tls_cert_is_for(of, "127.0.0.1"));
	tls_cert_free(&of);
	ck_assert_ptr_null(of);

	of = stream_peer_cert(net.client.s);
	ck_assert_int_eq(days_of(of), 20);
	ck_assert(!tls_cert_uri(of, 0, &uri));
	buf_reset(&name);
	ck_assert(tls_cert_name(of, &name));
	ck_assert_str_eq(name.p, "CN=server");
	ck_assert(tls_cert_is_for(of, "127.0.0.1"));
	ck_assert(!tls_cert_is_for(of, "127.0.0.2"));
	ck_assert(tls_cert_is_for(of, "localhost"));
	tls_cert_free(&of);
}
END_TEST

START_TEST(clear_text_shows_none)
{
	net_pair(false);
	ck_assert_ptr_null(stream_peer_cert(net.server.s));
	ck_assert_ptr_null(stream_peer_cert(net.client.s));
}
END_TEST

static void point(const char *live, const char *at)
{
	unlink(cert(live));
	ck_assert_int_eq(symlink(cert(at), cert(live)), 0);
}

START_TEST(a_client_reloads)
{
	struct tls_cert *of;
	struct err err = { 0 };

	mutual_server("server");
	point("live.pem", "client.pem");
	point("live.key", "client.key");
	mutual_client("live");
	point("live.pem", "node.pem");
	ck_assert_int_eq(tls_client_reload(net.tls_client, &err), E_TLS);
	ck_assert_ptr_nonnull(strstr(err.text, "live.key"));
	net_pair(true);
	of = stream_peer_cert(net.server.s);
	ck_assert_int_eq(days_of(of), 10);
	tls_cert_free(&of);

	point("live.key", "node.key");
	ck_assert_int_eq(tls_client_reload(net.tls_client, &err), OK);
	stream_abort(net.client.s);
	WAIT(net.client.closed && net.server.closed);
	net.client.closed = net.server.closed = net.accepted = 0;
	net.client.opened = net.server.opened = 0;
	net_connect();
	WAIT(net.server.opened);
	of = stream_peer_cert(net.server.s);
	ck_assert_int_eq(days_of(of), 5);
	tls_cert_free(&of);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io/mutual");
	TCase *t = tcase_create("mutual");

	tcase_add_unchecked_fixture(t, certs_setup, certs_teardown);
	tcase_add_checked_fixture(t, net_setup, net_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, who_a_server_takes);
	tcase_add_test(t, who_a_client_takes);
	tcase_add_test(t, a_client_is_told_of_its_refusal);
	tcase_add_test(t, what_a_certificate_says);
	tcase_add_test(t, clear_text_shows_none);
	tcase_add_test(t, a_client_reloads);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
