/* Whom the client believes: hashes, signatures, TLS; and names and threads. */
#include "client.h"

#include <dlfcn.h>
#include <netdb.h>
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
	/* Also 1 may be said anew, and is no sign of 2: who lies is left. */
	UNTIL(cfx, server_acks(s, "applied main.json 1") > 0);
	UNTIL(cfx, server_acks(s, "applied main.json 2") > 0);
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

/* ---- a name that takes its time ---- */

static atomic_uint asked;
static atomic_bool is_slow;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		struct addrinfo **out)
{
	atomic_fetch_add(&asked, 1);
	while (atomic_load(&is_slow))
		usleep(1000);
	*out = NULL;
	return strcmp(name, "localhost") ? EAI_NONAME :
	       (*(int (*)(const char *, const char *, const struct addrinfo *,
			  struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo"))(
			name, service, hints, out);
}

static atomic_long blocks;

static void *count_alloc(void *user, size_t n)
{
	atomic_fetch_add(&blocks, 1);
	return malloc(n);
}

static void *count_resize(void *user, void *p, size_t n)
{
	return realloc(p, n);
}

static void count_release(void *user, void *p)
{
	atomic_fetch_sub(&blocks, 1);
	free(p);
}

/* Who closes waits for no name, and has all memory back that he gave. */
START_TEST(closed_while_a_name_is_looked_up)
{
	static const struct cfx_allocator allocator = { count_alloc, count_resize,
							count_release, NULL };
	struct cfx_options o = options_of("http://no-such-host.invalid:80");
	struct cfx *cfx;

	o.boot = CFX_BOOT_AT_ONCE;
	o.allocator = &allocator;
	atomic_store(&is_slow, true);
	cfx = open_with(&o);
	UNTIL(cfx, atomic_load(&asked) == 1);
	cfx_close(cfx);
	ck_assert_int_eq(atomic_load(&blocks), 0);
	atomic_store(&is_slow, false);
}
END_TEST

/* ---- tokens ---- */

static void write_token(const char *token)
{
	FILE *f = fopen(in_folder("token"), "w");

	must(f && fputs(token, f) >= 0 && fclose(f) == 0);
}

/* It is refused, somebody exchanges the file, and it goes on. */
START_TEST(a_token_that_is_exchanged)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	write_token("old\n");
	o.token = NULL;
	o.token_file = in_folder("token");
	server_wants(s, "old");
	cfx = open_with(&o);
	server_wants(s, "new");
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	server_cut(s, false);
	UNTIL(cfx, status_of(cfx).last.code == CFX_E_UNAUTHORIZED);
	/* What is no token is not taken. */
	write_token("n e w\n");
	UNTIL(cfx, status_of(cfx).connects >= 6);
	ck_assert_int_eq(n_of(cfx), 1);
	write_token("new\n");
	UNTIL(cfx, n_of(cfx) == 2 && status_of(cfx).is_connected);
	cfx_close(cfx);
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
	tcase_add_test(t, closed_while_a_name_is_looked_up);
	tcase_add_test(t, a_token_that_is_exchanged);
	tcase_add_test(t, a_thread_of_its_own);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
