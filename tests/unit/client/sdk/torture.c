/*
 * Every allocation and every call of the system fails once: the client answers an
 * error, or has what it should have a little later; it never crashes, leaks or loses a
 * change.  Memory of the library by its allocator, that of OpenSSL by its own.
 *
 * The n-th failure gets sparser with n unless FULL=1 is set.
 */
#define CALLS_OF_CLIENTS
#include "calls.h"

#include <dirent.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "base/must.h"
#include "client/sdk/conflux.h"
#include "server.h"
#include "unit.h"

#include "base/banned.h"

#define JSON "application/json"

static char folder[256], snapshot[300], key[300], public[300], ca[300], cert_key[300];
static char token[300];
static int64_t published;

/* ---- allocations ---- */

static atomic_long alloc_n, alloc_passed;

static bool alloc_fails(void)
{
	long n;

	if (calls_spared || atomic_load(&alloc_n) == 0)
		return false;
	n = atomic_fetch_add(&alloc_passed, 1) + 1;
	return n == atomic_load(&alloc_n);
}

/* With what it counts, so that nothing stays behind. */
static atomic_long blocks;

static void *test_alloc(void *user, size_t n)
{
	void *p = alloc_fails() ? NULL : malloc(n);

	atomic_fetch_add(&blocks, p != NULL);
	return p;
}

static void *test_resize(void *user, void *p, size_t n)
{
	return alloc_fails() ? NULL : realloc(p, n);
}

static void test_release(void *user, void *p)
{
	must(p);
	atomic_fetch_sub(&blocks, 1);
	free(p);
}

static const struct cfx_allocator allocator = { test_alloc, test_resize,
						test_release, NULL };

static atomic_long ssl_n, ssl_passed;

static bool ssl_fails(void)
{
	long n;

	if (calls_spared || atomic_load(&ssl_n) == 0)
		return false;
	n = atomic_fetch_add(&ssl_passed, 1) + 1;
	return n == atomic_load(&ssl_n);
}

static void *ssl_alloc(size_t n, const char *file, int line)
{
	return n == 0 || ssl_fails() ? NULL : malloc(n);
}

static void *ssl_resize(void *p, size_t n, const char *file, int line)
{
	return ssl_fails() ? NULL : realloc(p, n);
}

static void ssl_release(void *p, const char *file, int line)
{
	free(p);
}

static void spare(void)
{
	calls_spared = true;
}

/* ---- the run ---- */

static void publish(struct server *s)
{
	char text[64];

	snprintf(text, sizeof(text), "{\"n\":%d,\"text\":\"\\u00e9\"}",
		 (int)++published);
	server_publish(s, "main.json", JSON, text, true);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* By a name, which is looked up, where it is not TLS. */
static const char *endpoint_of(const struct server *s)
{
	static char url[64];

	if (strncmp(server_url(s), "http:", 5))
		return server_url(s);
	snprintf(url, sizeof(url), "http://localhost%s", strrchr(server_url(s), ':'));
	return url;
}

static struct cfx_options options_of(const struct server *s)
{
	return (struct cfx_options){
		.size = sizeof(struct cfx_options),
		.endpoints = endpoint_of(s),
		.tenant = "acme", .application = "shop", .environment = "prod",
		.configs = "main.json", .labels = "region=eu", .token = "t",
		.ca_file = strncmp(server_url(s), "https", 5) ? NULL : ca,
		.public_key_file = public,
		.snapshot_file = snapshot, .snapshot_key_file = key,
		.mode = CFX_MODE_LOOP,
		.retry_min_ms = 1, .retry_max_ms = 5,
		/* Nothing that fails is a reason to wait for a time. */
		.connect_timeout_ms = 60000, .request_timeout_ms = 60000,
		.boot_timeout_ms = 20000,
		.allocator = &allocator,
	};
}

static void run_once(struct cfx *cfx, bool has_thread)
{
	struct pollfd p = { has_thread ? -1 : cfx_fd(cfx), POLLIN, 0 };
	int ms = has_thread ? 1 : cfx_timeout_ms(cfx);

	poll(&p, 1, ms < 0 || ms > 50 ? 50 : ms);
	if (!has_thread)
		cfx_dispatch(cfx);
}

static void heard(void *data, const struct cfx_change *change)
{
	++*(_Atomic unsigned *)data;
}

/* Until it has what was published last. */
static void catch_up(struct cfx *cfx, bool has_thread)
{
	int64_t until = now_ms() + 10000;

	while (cfx_get_i64(cfx, "main.json", "n", -1) != published) {
		struct cfx_status s = { .size = sizeof(s) };

		cfx_status(cfx, &s);
		must(now_ms() < until || !fprintf(stderr, "stuck: %s\n",
						  s.last.text));
		run_once(cfx, has_thread);
	}
}

struct torture {
	struct server *server;
	enum cfx_boot boot;
	bool has_thread;                 /* the library's own turns it */
	/* Another life: a token that is exchanged, a client's certificate (TLS), a
	 * validator, and the program says what it applied. */
	bool is_rich;
};

/* ---- the other life ---- */

static void set_token(struct torture *t, const char *to)
{
	FILE *f;

	calls_spared = true;
	f = fopen(token, "w");
	must(f && fputs(to, f) >= 0 && fclose(f) == 0);
	server_wants(t->server, to);
	calls_spared = false;
}

static bool accepts(void *data, const struct cfx_candidate *c, char *reason, size_t size)
{
	must(cfx_view_i64(c->view, c->config, "n", -1) > 0);
	++*(_Atomic unsigned *)data;
	return true;
}

static void enrich(struct torture *t, struct cfx_options *o, _Atomic unsigned *asked)
{
	if (!t->is_rich)
		return;
	set_token(t, "one");
	o->token = NULL;
	o->token_file = token;
	o->instance = "web-7";
	if (o->ca_file) {
		o->cert_file = ca;
		o->key_file = cert_key;
	}
	o->validator = accepts;
	o->validator_data = (void *)asked;
	o->acknowledges = CFX_ACKNOWLEDGE_BY_PROGRAM;
	server_forget_acks(t->server);
}

/* The token is another from here on, and all connections end. */
static void exchange_token(struct torture *t)
{
	set_token(t, "two");
	calls_spared = true;
	server_cut(t->server, false);
	calls_spared = false;
}

/* Says so of what it has, until a server has heard it. */
static void acknowledge(struct torture *t, struct cfx *cfx)
{
	struct cfx_status s = { .size = sizeof(s) };
	int64_t until = now_ms() + 10000;
	struct cfx_view *view = cfx_view(cfx);
	struct cfx_info info;
	char said[64];

	must(cfx_view_info(view, "main.json", &info));
	cfx_view_free(view);
	must(cfx_acknowledge(cfx, "main.json", info.version, true, NULL) == CFX_OK);
	snprintf(said, sizeof(said), "applied main.json %llu",
		 (unsigned long long)info.version);
	while (server_acks(t->server, said) == 0) {
		cfx_status(cfx, &s);
		must(now_ms() < until || !fprintf(stderr, "unheard: %s\n", s.last.text));
		run_once(cfx, t->has_thread);
	}
}

/* 'armed' on: something fails, once. */
static void client_life(struct torture *t)
{
	struct cfx_options o = options_of(t->server);
	struct cfx_error error = { 0 };
	struct cfx *cfx = NULL;
	struct cfx_view *view;
	_Atomic unsigned calls = 0, asked = 0;

	o.boot = t->boot;
	o.mode = t->has_thread ? CFX_MODE_THREAD : CFX_MODE_LOOP;
	enrich(t, &o, &asked);
	if (cfx_open(&o, &cfx, &error)) {
		must(error.code && error.text[0] && !cfx);
		must(error.code != CFX_E_TIMEOUT);
		return;
	}
	if (t->boot == CFX_BOOT_FAIL_FAST)
		must(cfx_get_i64(cfx, "main.json", "n", -1) == published);
	(void)cfx_on_change(cfx, NULL, "n", heard, (void *)&calls, NULL);
	if (t->is_rich)
		exchange_token(t);
	publish(t->server);
	catch_up(cfx, t->has_thread);
	must(calls <= 2 && (!t->is_rich || asked > 0));
	if (t->is_rich)
		acknowledge(t, cfx);
	view = cfx_view(cfx);
	cfx_close(cfx);
	must(cfx_view_i64(view, "main.json", "n", -1) == published);
	cfx_view_free(view);
}

static unsigned files_left(void)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d)))
		n += strstr(e->d_name, ".new") != NULL;
	closedir(d);
	return n;
}

static void setup(void)
{
	/* Each life writes and syncs a snapshot: in memory, where there is such. */
	const char *tmp = access("/dev/shm", W_OK) ? getenv("TMPDIR") : "/dev/shm";
	FILE *f;

	must(CRYPTO_set_mem_functions(ssl_alloc, ssl_resize, ssl_release));
	snprintf(folder, sizeof(folder), "%s/torture-XXXXXX", tmp ? tmp : "/tmp");
	must(mkdtemp(folder));
	snprintf(snapshot, sizeof(snapshot), "%s/snap", folder);
	snprintf(key, sizeof(key), "%s/key", folder);
	snprintf(public, sizeof(public), "%s/public.pem", folder);
	snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
	snprintf(cert_key, sizeof(cert_key), "%s/key.pem", folder);
	snprintf(token, sizeof(token), "%s/token", folder);
	f = fopen(key, "w");
	fputs("0123456789abcdef0123456789abcdef", f);
	fclose(f);
}

static struct torture begin(bool is_tls, bool is_rich)
{
	struct server_config config = { .folder = folder, .signs = true,
					.is_tls = is_tls, .on_thread = spare,
					.wants_certificate = is_rich };
	struct torture t = { server_new(&config), CFX_BOOT_FAIL_FAST, false, is_rich };

	publish(t.server);
	/* What is made once a process is made here, and the snapshot is there. */
	client_life(&t);
	return t;
}

/* Calls life with the n-th of them failing until a life has fewer. */
static unsigned sweep(struct torture *t, atomic_long *n, atomic_long *passed)
{
	unsigned runs = 0;

	for (int boot = CFX_BOOT_FAIL_FAST; boot <= CFX_BOOT_AT_ONCE; boot++) {
		t->boot = (enum cfx_boot)boot;
		for (long i = 1;; i += getenv("FULL") ? 1 : 1 + i / 6) {
			atomic_store(passed, 0);
			atomic_store(n, i);
			client_life(t);
			atomic_store(n, 0);
			ck_assert_int_eq(atomic_load(&blocks), 0);
			runs++;
			if (atomic_load(passed) < i)
				break;
		}
	}
	ck_assert_uint_eq(files_left(), 0);
	return runs;
}

static void sweep_memory(bool is_tls, bool is_rich, atomic_long *n, atomic_long *passed)
{
	struct torture t = begin(is_tls, is_rich);
	unsigned runs = sweep(&t, n, passed);

	printf("%u runs\n", runs);
	ck_assert_uint_gt(runs, 50);
	server_free(t.server);
}

START_TEST(memory_of_the_library)
{
	sweep_memory(false, _i, &alloc_n, &alloc_passed);
}
END_TEST

START_TEST(memory_of_openssl)
{
	sweep_memory(true, _i, &ssl_n, &ssl_passed);
}
END_TEST

/* What a client left that died while it wrote. */
static void leave_behind(void)
{
	char path[320];
	FILE *f;

	snprintf(path, sizeof(path), "%s.0123abcd.new", snapshot);
	f = fopen(path, "w");
	must(f && fclose(f) == 0);
}

static void run_calls(const struct calls_fault *fault, uint64_t n, void *data)
{
	struct torture *t = data;

	for (int boot = CFX_BOOT_FAIL_FAST; boot <= CFX_BOOT_AT_ONCE; boot++) {
		t->boot = (enum cfx_boot)boot;
		leave_behind();
		calls_arm(fault, n);
		client_life(t);
		must(atomic_load(&blocks) == 0);
	}
}

/* All that a client can meet, but for the reading and writing of streams. */
static unsigned run_all(struct torture *t)
{
	unsigned runs;

	runs = calls_sweep(calls_of_making, ARRAY_LEN(calls_of_making), run_calls, t);
	runs += calls_sweep(calls_of_starts, ARRAY_LEN(calls_of_starts), run_calls, t);
	runs += calls_sweep(calls_of_clients, ARRAY_LEN(calls_of_clients), run_calls, t);
	return runs + calls_sweep(calls_of_libconflux, ARRAY_LEN(calls_of_libconflux),
				  run_calls, t);
}

static unsigned run_streams(struct torture *t)
{
	return calls_sweep(calls_of_streams, ARRAY_LEN(calls_of_streams), run_calls, t);
}

static void end(struct torture *t, unsigned runs, unsigned least)
{
	printf("%u runs\n", runs);
	ck_assert_uint_gt(runs, least);
	server_free(t->server);
	ck_assert_uint_eq(files_left(), 0);
}

/* _i: the other life. */
START_TEST(calls_of_streams_alone)
{
	struct torture t = begin(false, _i);

	end(&t, run_streams(&t), 20);
}
END_TEST

START_TEST(calls_of_the_system)
{
	struct torture t = begin(false, _i);

	end(&t, run_all(&t), 60);
}
END_TEST

/* Which of its calls is the n-th is chance then. */
START_TEST(calls_of_a_client_with_a_thread)
{
	struct torture t = begin(false, _i);

	t.has_thread = true;
	end(&t, run_streams(&t) + run_all(&t), 80);
}
END_TEST

START_TEST(streams_under_tls)
{
	struct torture t = begin(true, _i);

	end(&t, run_streams(&t), 20);
}
END_TEST

START_TEST(calls_under_tls)
{
	struct torture t = begin(true, _i);

	end(&t, run_all(&t), 60);
}
END_TEST

static void teardown(void)
{
	char path[600];
	DIR *d = opendir(folder);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		unlink(path);
	}
	closedir(d);
	rmdir(folder);
}

static TCase *begin_case(Suite *s, const char *name)
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 150);
	tcase_add_checked_fixture(t, setup, teardown);
	suite_add_tcase(s, t);
	return t;
}

static Suite *suite(void)
{
	Suite *s = suite_create("client/sdk/torture");

	/* CK_RUN_CASE=calls runs these alone. */
	tcase_add_loop_test(begin_case(s, "memory"), memory_of_the_library, 0, 2);
	tcase_add_loop_test(begin_case(s, "openssl"), memory_of_openssl, 0, 2);
	tcase_add_loop_test(begin_case(s, "streams"), calls_of_streams_alone, 0, 2);
	tcase_add_loop_test(begin_case(s, "calls"), calls_of_the_system, 0, 2);
	tcase_add_loop_test(begin_case(s, "thread"), calls_of_a_client_with_a_thread, 0, 2);
	tcase_add_loop_test(begin_case(s, "tls"), streams_under_tls, 0, 2);
	tcase_add_loop_test(begin_case(s, "tls_calls"), calls_under_tls, 0, 2);
	return s;
}

UNIT_MAIN(suite)
