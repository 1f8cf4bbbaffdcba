/* Whom the client believes: hashes, signatures, TLS; and names and threads. */
#include "client.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

/* ---- lies ---- */

START_TEST(bytes_that_are_not_their_hash)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	server_lies(s, SERVER_BYTES);
	fails_with(&o, CFX_E_CORRUPT, "hash");
	server_lies(s, SERVER_GARBAGE);
	fails_with(&o, CFX_E_UNAVAILABLE, "HTTP");
	server_lies(s, SERVER_HONEST);
	cfx = open_with(&o);
	server_lies(s, SERVER_BYTES);
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, status_of(cfx).last.code == CFX_E_CORRUPT);
	ck_assert_int_eq(n_of(cfx), 1);
	server_lies(s, SERVER_HONEST);
	UNTIL(cfx, n_of(cfx) == 2);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

START_TEST(signatures)
{
	struct server *s = new_server(true);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	o.public_key_file = in_folder("public.pem");
	server_lies(s, SERVER_UNSIGNED);
	fails_with(&o, CFX_E_CORRUPT, "not signed");
	server_lies(s, SERVER_FORGED);
	fails_with(&o, CFX_E_CORRUPT, "not signed by");
	server_lies(s, SERVER_HONEST);
	cfx = open_with(&o);
	ck_assert_int_eq(n_of(cfx), 1);
	/* A version that is signed by another is not taken, also not with the
	 * bytes that are here. */
	server_lies(s, SERVER_FORGED);
	server_publish(s, "main.json", JSON, "{\"n\":1,\"s\":\"one\"}", true);
	UNTIL(cfx, status_of(cfx).last.code == CFX_E_CORRUPT);
	server_lies(s, SERVER_HONEST);
	ck_assert(server_saw_ack(s, "applied main.json 1") == true);
	UNTIL(cfx, server_requests(s, SERVER_ACKS) >= 2);
	ck_assert(server_saw_ack(s, "applied main.json 2"));
	cfx_close(cfx);
	o.public_key_file = in_folder("no.pem");
	fails_with(&o, CFX_E_NOT_FOUND, "no.pem");
	server_free(s);
}
END_TEST

START_TEST(content_max)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));

	o.content_max = 5;
	fails_with(&o, CFX_E_TOO_LARGE, "content_max");
	server_free(s);
}
END_TEST

/* ---- TLS ---- */

START_TEST(tls)
{
	struct server_config config = { .folder = folder, .is_tls = true };
	struct server *s = server_new(&config);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;
	char name[100];

	server_publish(s, "main.json", JSON, "{\"n\":1}", true);
	fails_with(&o, CFX_E_TLS, "certificate");
	o.ca_file = in_folder("ca.pem");
	cfx = open_with(&o);
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, n_of(cfx) == 2);
	cfx_close(cfx);
	/* The certificate is of an address, not of this name. */
	snprintf(name, sizeof(name), "https://localhost:%s",
		 strrchr(server_url(s), ':') + 1);
	o.endpoints = name;
	fails_with(&o, CFX_E_TLS, "mismatch");
	o.cert_file = in_folder("ca.pem");
	fails_with(&o, CFX_E_USAGE, "go together");
	server_free(s);
}
END_TEST

static void copy_file(const char *from, const char *to)
{
	char room[4096];
	FILE *f = fopen(from, "r"), *g = fopen(to, "w");
	size_t n = fread(room, 1, sizeof(room), f);

	must(fwrite(room, 1, n, g) == n);
	fclose(f);
	must(fclose(g) == 0);
}

/* Authorities are read again when they do not do. */
START_TEST(another_authority)
{
	struct server_config config = { .folder = folder, .is_tls = true };
	struct server *old = server_new(&config), *s;
	struct cfx_options o = options_of("");
	struct cfx *cfx;

	copy_file(in_folder("ca.pem"), in_folder("mine.pem"));
	s = server_new(&config);
	server_publish(s, "main.json", JSON, "{\"n\":1}", true);
	o.endpoints = server_url(s);
	o.ca_file = in_folder("mine.pem");
	o.boot = CFX_BOOT_AT_ONCE;
	cfx = open_with(&o);
	UNTIL(cfx, status_of(cfx).last.code == CFX_E_TLS);
	ck_assert_int_eq(n_of(cfx), -1);
	copy_file(in_folder("ca.pem"), in_folder("mine.pem"));
	UNTIL(cfx, n_of(cfx) == 1);
	cfx_close(cfx);
	server_free(old);
	server_free(s);
}
END_TEST

START_TEST(names_are_looked_up)
{
	struct server *s = new_server(false);
	char name[100];
	struct cfx_options o;

	snprintf(name, sizeof(name), "http://localhost:%s",
		 strrchr(server_url(s), ':') + 1);
	o = options_of(name);
	cfx_close(open_with(&o));
	o.endpoints = "http://no-such-host.invalid:80";
	fails_with(&o, CFX_E_UNAVAILABLE, "no-such-host.invalid");
	server_free(s);
}
END_TEST

START_TEST(a_thread_of_its_own)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	o.mode = CFX_MODE_THREAD;
	cfx = open_with(&o);
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	ck_assert(server_saw_ack(s, "applied main.json 2"));
	ck_assert_int_eq(n_of(cfx), 2);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("client/sdk/trust");
	TCase *t = tcase_create("trust");

	tcase_add_unchecked_fixture(t, make_folder, NULL);
	tcase_add_test(t, bytes_that_are_not_their_hash);
	tcase_add_test(t, signatures);
	tcase_add_test(t, content_max);
	tcase_add_test(t, tls);
	tcase_add_test(t, another_authority);
	tcase_add_test(t, names_are_looked_up);
	tcase_add_test(t, a_thread_of_its_own);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
