/* TLS: certificates, who is refused and told why, protocols, reload. */
#include <sys/socket.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "net.h"

#include "base/banned.h"

/* ---- files ---- */

static enum code server_of(const char *pem, const char *key, const char *ca,
			   struct err *err)
{
	OWNED(tls_server) tls = NULL;
	enum code rc = tls_server_new(pem, key, ca, "http/1.1", &tls, err);

	ck_assert(rc ? !tls : tls != NULL);
	return rc;
}

START_TEST(files_that_are_of_no_use)
{
	struct err err = { 0 };

	ck_assert_int_eq(server_of(cert("none.pem"), cert("server.key"), NULL,
				   &err),
			 E_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(err.text, "certificate"));
	ck_assert_ptr_nonnull(strstr(err.text, "none.pem"));
	ck_assert_int_eq(server_of(cert("server.pem"), cert("none.key"), NULL,
				   &err),
			 E_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(err.text, "private key"));
	/* The key of another certificate. */
	ck_assert_int_eq(server_of(cert("server.pem"), cert("second.key"), NULL,
				   &err),
			 E_TLS);
	ck_assert_ptr_nonnull(strstr(err.text, "second.key"));
	ck_assert_uint_gt(strlen(err.hint), 0);
	/* A key where the certificate should be. */
	ck_assert_int_eq(server_of(cert("server.key"), cert("server.key"), NULL,
				   &err),
			 E_TLS);
	ck_assert_int_eq(server_of(cert("server.pem"), cert("server.key"),
				   cert("server.key"), &err),
			 E_TLS);
	ck_assert_ptr_nonnull(strstr(err.text, "CA file"));
	ck_assert_int_eq(server_of(cert("server.pem"), cert("server.key"),
				   cert("ca.pem"), &err),
			 OK);
}
END_TEST

START_TEST(client_files)
{
	OWNED(tls_client) tls = NULL;
	struct err err = { 0 };

	ck_assert_int_eq(tls_client_new(cert("none.pem"), NULL, &tls, &err),
			 E_NOT_FOUND);
	ck_assert_int_eq(tls_client_new(cert("ca.key"), NULL, &tls, &err),
			 E_TLS);
	ck_assert_int_eq(tls_client_new(NULL, "", &tls, &err), OK);
}
END_TEST

/* ---- who is refused ---- */

static void client_of(const char *ca)
{
	ck_assert_int_eq(tls_client_new(cert(ca), "http/1.1", &net.tls_client,
					NULL),
			 OK);
}

START_TEST(a_certificate_of_another_ca)
{
	client_of("stranger.pem");
	net_listen(true);
	net_connect();
	WAIT(net.client.closed && net.server.closed);
	ck_assert_int_eq(net.client.err.code, E_TLS);
	ck_assert_ptr_nonnull(strstr(net.client.err.text, "certificate"));
	ck_assert_int_eq(net.client.opened, 0);
	/* The server is told by an alert. */
	ck_assert_int_eq(net.server.err.code, E_TLS);
	ck_assert_ptr_nonnull(strstr(net.server.err.text, "unknown ca"));
}
END_TEST

static void connect_as(const char *name)
{
	ck_assert_int_eq(stream_connect(loop, str_of(net.addr.text),
					net.tls_client, name, &end_ops,
					&net.client, &net.client.s, NULL),
			 OK);
}

START_TEST(a_certificate_for_another_name)
{
	net_listen(true);
	connect_as("conflux.example");
	WAIT(net.client.closed);
	ck_assert_int_eq(net.client.err.code, E_TLS);
	ck_assert_ptr_nonnull(strstr(net.client.err.text, "mismatch"));
	WAIT(net.server.closed);
}
END_TEST

START_TEST(names_in_the_certificate)
{
	static const char *const names[] = { "localhost", "conflux.test",
					     "127.0.0.1" };

	net_listen(true);
	connect_as(names[_i]);
	WAIT(net.client.opened);
	ck_assert_str_eq(stream_alpn(net.client.s), "http/1.1");
}
END_TEST

/* An address that is not in the certificate, though its name is. */
START_TEST(an_address_is_verified_too)
{
	net_listen(true);
	connect_as("127.0.0.2");
	WAIT(net.client.closed);
	ck_assert_int_eq(net.client.err.code, E_TLS);
}
END_TEST

static void speak_http(struct raw *raw)
{
	raw_send(raw, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
	raw_read_all(raw);
}

START_TEST(clear_text_instead_of_tls)
{
	struct raw raw = { 0 };

	net_listen(true);
	raw_start(&raw, speak_http);
	WAIT(net.server.closed);
	ck_assert_int_eq(net.server.err.code, E_TLS);
	ck_assert_ptr_nonnull(strstr(net.server.err.text, "http request"));
	ck_assert_int_eq(net.server.data, 0);
	ck_assert_int_eq(net.server.opened, 0);
	raw_join(&raw);
	ck_assert_int_eq(raw.end, 0);
	buf_fini(&raw.got);
}
END_TEST

static void speak_garbage(struct raw *raw)
{
	char bytes[5000];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 167 + 13);
	raw_send(raw, bytes, sizeof(bytes));
	raw_read_all(raw);
}

START_TEST(garbage_instead_of_tls)
{
	struct raw raw = { 0 };

	net_listen(true);
	raw_start(&raw, speak_garbage);
	WAIT(net.server.closed);
	ck_assert_int_eq(net.server.err.code, E_TLS);
	ck_assert_int_eq(net.server.data, 0);
	raw_join(&raw);
	buf_fini(&raw.got);
}
END_TEST

static void hang_up(struct raw *raw)
{
}

START_TEST(hung_up_in_the_handshake)
{
	struct raw raw = { 0 };

	net_listen(true);
	raw_start(&raw, hang_up);
	WAIT(net.server.closed);
	ck_assert_int_eq(net.server.err.code, E_TLS);
	raw_join(&raw);
}
END_TEST

static void talk_and_hang_up(struct raw *raw)
{
	char rest[256];

	if (raw_handshake(raw))
		raw_send(raw, "half a req", 10);
	/* raw_main closes the socket without the goodbye of TLS. */
	SSL_set_quiet_shutdown(raw->ssl, 1);
	/* Session tickets that nobody read would turn the end into a reset. */
	shutdown(SSL_get_fd(raw->ssl), SHUT_WR);
	while (read(SSL_get_fd(raw->ssl), rest, sizeof(rest)) > 0)
		;
}

/* Whoever cuts the connection must not pass for its end. */
START_TEST(truncation_is_an_error)
{
	struct raw raw = { 0 };

	net_listen(true);
	raw_start(&raw, talk_and_hang_up);
	WAIT(net.server.closed);
	ck_assert_uint_eq(net.server.got.n, 10);
	ck_assert_int_eq(net.server.eof, 0);
	ck_assert_int_eq(net.server.err.code, E_TLS);
	ck_assert_ptr_nonnull(strstr(net.server.err.text, "goodbye"));
	raw_join(&raw);
}
END_TEST

static void only_handshake(struct raw *raw)
{
	raw_handshake(raw);
	if (raw->handshake == 1)
		SSL_shutdown(raw->ssl);
}

/* A handshake of TLS 1.3 is over for the client before the server has looked at
 * its certificate; so the verdict is the server's. */
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
	return accepted;
}

START_TEST(old_versions_are_refused)
{
	struct raw old = { .max_version = TLS1_1_VERSION };
	struct raw least = { .max_version = TLS1_2_VERSION };
	struct raw best = { .max_version = TLS1_3_VERSION };

	net_listen(true);
	ck_assert(!server_accepts(&old));
	ck_assert_int_eq(net.server.err.code, E_TLS);
	ck_assert(server_accepts(&least));
	ck_assert(server_accepts(&best));
}
END_TEST

START_TEST(protocols_are_agreed_on)
{
	struct raw both = { .alpn = "\x08http/1.1\x02h2" };
	struct raw none = { 0 };
	struct raw other = { .alpn = "\x04smtp" };

	net_listen(true);
	/* The server's preference counts: net_listen puts h2 first. */
	raw_start(&both, only_handshake);
	WAIT(net.server.opened);
	ck_assert_str_eq(stream_alpn(net.server.s), "h2");
	stream_abort(net.server.s);
	WAIT(net.server.closed);
	raw_join(&both);
	ck_assert(server_accepts(&none));
	ck_assert(!server_accepts(&other));
}
END_TEST

START_TEST(client_certificates)
{
	struct raw none = { 0 };
	struct raw good = { .cert = cert("client.pem"),
			    .key = cert("client.key") };
	struct raw bad = { .cert = cert("stranger.pem"),
			   .key = cert("stranger.key") };

	ck_assert_int_eq(tls_server_new(cert("server.pem"), cert("server.key"),
					cert("ca.pem"), NULL, &net.tls_server,
					NULL),
			 OK);
	net_listen(true);
	ck_assert(server_accepts(&none));
	ck_assert(server_accepts(&good));
	ck_assert(!server_accepts(&bad));
	ck_assert_ptr_nonnull(strstr(net.server.err.text, "certificate"));
}
END_TEST

/* ---- reload ---- */

static void copy_file(const char *from, const char *to)
{
	AUTO_BUF bytes = BUF_NONE;
	FILE *f = fopen(cert(from), "r");

	ck_assert_ptr_nonnull(f);
	buf_reserve(&bytes, 65536);
	bytes.n = fread(bytes.p, 1, 65536, f);
	fclose(f);
	f = fopen(cert(to), "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes.p, 1, bytes.n, f), bytes.n);
	fclose(f);
}

static int64_t days_left(void)
{
	return (tls_server_expiry(net.tls_server) - (int64_t)time(NULL) +
		43200) / 86400;
}

START_TEST(reload_takes_the_new_certificate)
{
	struct err err = { 0 };

	copy_file("server.pem", "live.pem");
	copy_file("server.key", "live.key");
	ck_assert_int_eq(tls_server_new(cert("live.pem"), cert("live.key"), NULL,
					NULL, &net.tls_server, NULL),
			 OK);
	ck_assert_int_eq(days_left(), 20);
	net_pair(true);

	/* Half of a new pair: refused, and the old one stays. */
	copy_file("second.pem", "live.pem");
	ck_assert_int_eq(tls_server_reload(net.tls_server, &err), E_TLS);
	ck_assert_int_eq(days_left(), 20);
	copy_file("second.key", "live.key");
	ck_assert_int_eq(tls_server_reload(net.tls_server, &err), OK);
	ck_assert_int_eq(days_left(), 10);

	/* What was open stays open; and the context may go before it. */
	end_send(&net.client, STR("old"));
	WAIT(net.server.got.n == 3);
	listener_close(&net.listener);
	tls_server_free(&net.tls_server);
	end_send(&net.client, STR("er"));
	WAIT(net.server.got.n == 5);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io/tls");
	TCase *t = tcase_create("tls");

	tcase_add_unchecked_fixture(t, certs_setup, certs_teardown);
	tcase_add_checked_fixture(t, net_setup, net_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, files_that_are_of_no_use);
	tcase_add_test(t, client_files);
	tcase_add_test(t, a_certificate_of_another_ca);
	tcase_add_test(t, a_certificate_for_another_name);
	tcase_add_loop_test(t, names_in_the_certificate, 0, 3);
	tcase_add_test(t, an_address_is_verified_too);
	tcase_add_test(t, clear_text_instead_of_tls);
	tcase_add_test(t, garbage_instead_of_tls);
	tcase_add_test(t, hung_up_in_the_handshake);
	tcase_add_test(t, truncation_is_an_error);
	tcase_add_test(t, old_versions_are_refused);
	tcase_add_test(t, protocols_are_agreed_on);
	tcase_add_test(t, client_certificates);
	tcase_add_test(t, reload_takes_the_new_certificate);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
