/*
 * The client against a server of the test: what programs see at the start, of
 * changes, and when servers fail.  Whom it believes: trust.c.
 */
#include "client.h"

#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/banned.h"

/* ---- start ---- */

START_TEST(getters)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx_info info;
	struct cfx_view *view;
	struct cfx *cfx;
	char room[8];
	size_t n;

	server_publish(s, "main.json", JSON, "\t{\"i\":7,\"d\":0.5,\"b\":true,"
		       "\"s\":\"sixteen letters.\",\"o\":{\"x\":[1,2]},\"z\":null}",
		       true);
	server_publish(s, "flag", "text/plain; charset=utf-8", "true\n", true);
	o.configs = "main.json, flag";
	cfx = open_with(&o);
	ck_assert_int_eq(cfx_get_i64(cfx, "main.json", "i", -1), 7);
	ck_assert_int_eq(cfx_get_i64(cfx, "main.json", "s", -1), -1);
	ck_assert_int_eq(cfx_get_i64(cfx, "main.json", "d", -1), -1);
	ck_assert_int_eq(cfx_get_i64(cfx, "other.json", "i", -1), -1);
	ck_assert_int_eq(cfx_get_i64(cfx, NULL, "i", -1), -1);
	ck_assert_int_eq(cfx_get_i64(cfx, "main.json", NULL, -1), -1);
	ck_assert(cfx_get_double(cfx, "main.json", "d", 9) == 0.5);
	ck_assert(cfx_get_double(cfx, "main.json", "i", 9) == 7);
	ck_assert(cfx_get_bool(cfx, "main.json", "b", false));
	ck_assert(cfx_get_bool(cfx, "main.json", "i", false) == false);
	ck_assert(cfx_get_bool(cfx, "flag", "", false));
	ck_assert_uint_eq(cfx_get_string(cfx, "main.json", "s", "-", room,
					 sizeof(room)), 16);
	ck_assert_str_eq(room, "sixteen");
	ck_assert_uint_eq(cfx_get_string(cfx, "main.json", "o.x", "-", room,
					 sizeof(room)), 5);
	ck_assert_str_eq(room, "[1,2]");
	ck_assert_uint_eq(cfx_get_string(cfx, "main.json", "z", "def", room,
					 sizeof(room)), 3);
	ck_assert_str_eq(room, "def");
	ck_assert_uint_eq(cfx_get_string(cfx, "main.json", "no", NULL, room, 0), 0);
	view = cfx_view(cfx);
	ck_assert(cfx_view_info(view, "main.json", &info));
	ck_assert_uint_eq(info.version, 2);
	ck_assert_str_eq(info.content_type, JSON);
	ck_assert_uint_eq(cfx_view_count(view, "main.json", "o.x"), 2);
	ck_assert_int_eq(cfx_view_type(view, "main.json", "z"), CFX_NULL);
	ck_assert_int_eq(cfx_view_type(view, "main.json", "y"), CFX_NONE);
	ck_assert(!cfx_view_info(view, "other", &info));
	ck_assert_int_eq(cfx_view_content(view, "main.json", &n)[0], '\t');
	ck_assert_uint_eq(n, info.bytes);
	ck_assert_ptr_null(cfx_view_content(view, "other", &n));
	ck_assert_ptr_null(cfx_view_content(view, "other", NULL));
	ck_assert_uint_eq(n, 0);
	cfx_close(cfx);
	/* A view outlives the client. */
	ck_assert_int_eq(cfx_view_i64(view, "main.json", "i", -1), 7);
	cfx_view_free(view);
	server_free(s);
}
END_TEST

START_TEST(options_are_checked)
{
	struct cfx_options good = options_of("http://127.0.0.1:1"), o;
	struct cfx_allocator half = { 0 };

#define WRONG(field, value, text) \
	(o = good, o.field = value, fails_with(&o, CFX_E_USAGE, text))
	WRONG(size, 0, "CFX_OPTIONS_INIT");
	WRONG(tenant, NULL, "tenant");
	WRONG(tenant, "a/b", "tenant");
	WRONG(application, "", "application");
	WRONG(environment, NULL, "environment");
	WRONG(configs, "a,,b", "name");
	WRONG(configs, "a,a", "twice");
	WRONG(configs, "a\nb", "control");
	WRONG(tenant, "a\rb", "tenant");
	WRONG(endpoints, "127.0.0.1:1", "URL");
	WRONG(endpoints, "http://", "host");
	WRONG(endpoints, "http://a:0", "port");
	WRONG(endpoints, "http://a:65536", "port");
	WRONG(endpoints, "http://a:1x", "port");
	WRONG(endpoints, "http://a/b", "more than");
	WRONG(endpoints, "http://u@a", "more than");
	WRONG(endpoints, "http://[::1", "end");
	WRONG(endpoints, "http://[a]:1", "brackets");
	WRONG(labels, "region", "labels");
	WRONG(labels, "=a", "labels");
	WRONG(token, "a b", "token");
	WRONG(token, "a\r\nX: y", "token");
	WRONG(token_file, "x", "not both");
	WRONG(instance, "a b", "instance");
	WRONG(instance, "", "instance");
	WRONG(snapshot_key_file, "x", "snapshot_file");
	WRONG(allocator, &half, "allocator");
	WRONG(boot, (enum cfx_boot)7, "boot");
#undef WRONG
}
END_TEST

START_TEST(fail_fast)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	char two[128];

	/* None of them waits until it is over. */
	o.boot_timeout_ms = 3600000;
	server_refuse(s, SERVER_WATCH, 1, 401, 0);
	fails_with(&o, CFX_E_UNAUTHORIZED, "told");
	server_refuse(s, SERVER_FETCH, 1, 403, 0);
	fails_with(&o, CFX_E_DENIED, "told");
	o.configs = "none.json";
	fails_with(&o, CFX_E_NOT_FOUND, "acme/shop/prod/none.json");
	server_cut(s, true);
	snprintf(two, sizeof(two), "http://127.0.0.1:1,%s", server_url(s));
	o.endpoints = two;
	fails_with(&o, CFX_E_UNAVAILABLE, "127.0.0.1");
	server_free(s);
}
END_TEST

START_TEST(fail_safe)
{
	struct cfx_options o = options_of("http://127.0.0.1:1");
	struct cfx *cfx;

	o.boot = CFX_BOOT_FAIL_SAFE;
	cfx = open_with(&o);
	ck_assert_int_eq(n_of(cfx), -1);
	ck_assert_int_eq(status_of(cfx).last.code, CFX_E_UNAVAILABLE);
	ck_assert(!status_of(cfx).is_complete && !status_of(cfx).is_connected);
	cfx_close(cfx);
}
END_TEST

START_TEST(at_once_waits_for_nothing)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	o.boot = CFX_BOOT_AT_ONCE;
	server_mute(s, true);
	cfx = open_with(&o);
	ck_assert_int_eq(n_of(cfx), -1);
	server_mute(s, false);
	UNTIL(cfx, n_of(cfx) == 1);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* What servers have not is taken from the snapshot, and the rest from them. */
START_TEST(the_rest_is_of_the_snapshot)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx_info info;
	struct cfx_view *view;
	struct cfx *cfx;

	server_publish(s, "b.json", JSON, "{\"n\":7}", true);
	o.configs = "main.json,b.json";
	o.snapshot_file = in_folder("rest.snapshot");
	cfx_close(open_with(&o));
	server_delete(s, "b.json");
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	fails_with(&o, CFX_E_NOT_FOUND, "b.json");
	o.boot = CFX_BOOT_FAIL_SAFE;
	cfx = open_with(&o);
	UNTIL(cfx, n_of(cfx) == 2);
	view = cfx_view(cfx);
	ck_assert_int_eq(cfx_view_i64(view, "b.json", "n", -1), 7);
	ck_assert(cfx_view_info(view, "b.json", &info) && info.is_from_snapshot);
	ck_assert(cfx_view_info(view, "main.json", &info) && !info.is_from_snapshot);
	cfx_view_free(view);
	ck_assert(status_of(cfx).is_complete && status_of(cfx).is_from_snapshot);
	/* It is there again, and as it was: the server says so. */
	server_publish(s, "b.json", JSON, "{\"n\":7}", true);
	UNTIL(cfx, !status_of(cfx).is_from_snapshot);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* A snapshot of many configurations is for who wants one of them now. */
START_TEST(a_start_with_fewer_names)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	char large[4000];
	struct cfx *cfx;

	memset(large, 'x', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	server_publish(s, "b.txt", "text/plain", large, true);
	server_publish(s, "c.txt", "text/plain", large, true);
	server_publish(s, "d.txt", "text/plain", large, true);
	server_publish(s, "e.txt", "text/plain", large, true);
	o.configs = "main.json,b.txt,c.txt,d.txt,e.txt";
	o.content_max = 4096;
	o.snapshot_file = in_folder("fewer.snapshot");
	cfx_close(open_with(&o));
	server_cut(s, true);
	o.configs = "main.json";
	o.boot = CFX_BOOT_AT_ONCE;
	cfx = open_with(&o);
	ck_assert_int_eq(n_of(cfx), 1);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* ---- pictures that are whole ---- */

static void hear_both(void *data, const struct cfx_change *change)
{
	int64_t a = cfx_view_i64(change->after, "main.json", "n", -1);

	ck_assert_int_eq(a, cfx_view_i64(change->after, "b.json", "n", -1));
	*(unsigned *)data += a == 2;
}

/* A start has fetched one, fails at the other, and goes on with what it has: the next
 * command is waited for all the same. */
START_TEST(the_first_change_is_whole)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	unsigned heard = 0;
	struct cfx *cfx;
	int64_t later;

	server_publish(s, "b.json", JSON, "{\"n\":1,\"s\":\"as long as it may not be\"}",
		       true);
	o.configs = "main.json,b.json";
	o.boot = CFX_BOOT_FAIL_SAFE;
	o.content_max = 30;
	o.request_timeout_ms = 1000;
	cfx = open_with(&o);
	ck_assert_int_eq(n_of(cfx), 1);
	ck_assert_int_eq(cfx_on_change(cfx, NULL, NULL, hear_both, &heard, NULL), CFX_OK);
	later = now_ms() + o.request_timeout_ms + 50;
	UNTIL(cfx, now_ms() > later);
	server_publish(s, "main.json", JSON, "{\"n\":2}", false);
	server_publish(s, "b.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, heard == 2);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* ---- turns ---- */

static bool is_quiet(struct cfx *cfx)
{
	struct pollfd p = { cfx_fd(cfx), POLLIN, 0 };

	return poll(&p, 1, 0) == 0 && cfx_timeout_ms(cfx) > 20000;
}

/* A child that was forked has copies of the connections, and keeps them. */
START_TEST(a_child_keeps_nobody_awake)
{
	struct server_config config = { .folder = folder, .heartbeat_ms = 60000 };
	struct server *s = server_new(&config);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;
	pid_t child;
	int status;

	server_publish(s, "main.json", JSON, "{\"n\":1}", true);
	cfx = open_with(&o);
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	server_cut(s, false);
	UNTIL(cfx, status_of(cfx).connects == 2 && status_of(cfx).is_connected);
	UNTIL(cfx, is_quiet(cfx));
	ck_assert_int_eq(kill(child, SIGKILL), 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* Clients that all lost a server do not all come back at once, nor later than they
 * may. */
START_TEST(waits_are_partly_chance)
{
	struct cfx_options o = options_of("http://127.0.0.1:1");
	int least = INT_MAX, most = 0;

	o.boot = CFX_BOOT_FAIL_SAFE;
	o.retry_min_ms = o.retry_max_ms = 2000;
	for (unsigned i = 0; i < 30; i++) {
		struct cfx *cfx = open_with(&o);
		int ms = cfx_timeout_ms(cfx);

		ck_assert_int_ge(ms, 0);
		ck_assert_int_le(ms, 2010);
		least = MIN(least, ms);
		most = MAX(most, ms);
		cfx_close(cfx);
	}
	ck_assert_int_gt(most - least, 500);
}
END_TEST

/* With nothing to do it asks for no turn, whatever happened before. */
START_TEST(an_idle_client_sleeps)
{
	struct server_config config = { .folder = folder, .heartbeat_ms = 60000 };
	struct server *s = server_new(&config);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	server_publish(s, "main.json", JSON, "{\"n\":1}", true);
	for (unsigned i = 0; i < 3; i++) {
		o.snapshot_file = i == 1 ? in_folder("idle.snapshot") : NULL;
		o.boot = i == 2 ? CFX_BOOT_AT_ONCE : CFX_BOOT_FAIL_FAST;
		cfx = open_with(&o);
		server_publish(s, "main.json", JSON, i % 2 ? "{\"n\":1}" :
			       "{\"n\":2}", true);
		UNTIL(cfx, status_of(cfx).revision == server_rev(s) &&
		      status_of(cfx).acknowledged >= 1);
		UNTIL(cfx, cfx_timeout_ms(cfx) > 20000);
		run_once(cfx);
		ck_assert_int_gt(cfx_timeout_ms(cfx), 20000);
		cfx_close(cfx);
	}
	server_free(s);
}
END_TEST

/* ---- changes ---- */

struct heard {
	unsigned calls;
	int64_t before, after;
	uint64_t version;
	struct cfx *cfx;
	uint64_t forget;
};

static void hear(void *data, const struct cfx_change *change)
{
	struct heard *h = data;

	h->calls++;
	h->before = cfx_view_i64(change->before, "main.json", "n", -1);
	h->after = cfx_view_i64(change->after, "main.json", "n", -1);
	h->version = change->version;
	/* Getters see it too. */
	if (h->cfx)
		ck_assert_int_eq(n_of(h->cfx), h->after);
	if (h->forget)
		cfx_off_change(h->cfx, h->forget);
}

START_TEST(changes)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx = open_with(&o);
	struct heard n = { .cfx = cfx }, str = { 0 }, all = { 0 }, once = { 0 };
	uint64_t id;

	ck_assert_int_eq(cfx_on_change(cfx, "main.json", "n", hear, &n, NULL), 0);
	ck_assert_int_eq(cfx_on_change(cfx, "main.json", "s", hear, &str, &id), 0);
	ck_assert_int_eq(cfx_on_change(cfx, NULL, NULL, hear, &all, NULL), 0);
	ck_assert_int_eq(cfx_on_change(cfx, NULL, "n", hear, &once, &once.forget),
			 0);
	once.cfx = cfx;
	ck_assert_int_eq(cfx_on_change(cfx, "no", "", hear, &n, NULL), CFX_E_USAGE);
	server_publish(s, "main.json", JSON, "{\"n\":2,\"s\":\"one\"}", true);
	UNTIL(cfx, n_of(cfx) == 2);
	ck_assert_uint_eq(n.calls, 1);
	ck_assert_int_eq(n.before, 1);
	ck_assert_int_eq(n.after, 2);
	ck_assert_uint_eq(n.version, 2);
	ck_assert_uint_eq(str.calls, 0);
	ck_assert_uint_eq(all.calls, 1);
	ck_assert_uint_eq(once.calls, 1);
	cfx_off_change(cfx, id);
	server_publish(s, "main.json", JSON, "{\"n\":3,\"s\":\"two\"}", true);
	UNTIL(cfx, n_of(cfx) == 3);
	ck_assert_uint_eq(n.calls, 2);
	ck_assert_uint_eq(str.calls, 0);
	ck_assert_uint_eq(once.calls, 1);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* One that an earlier one has forgotten is not called any more. */
START_TEST(a_listener_forgets_another)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx = open_with(&o);
	struct heard first = { .cfx = cfx }, second = { 0 };

	ck_assert_int_eq(cfx_on_change(cfx, NULL, "n", hear, &first, NULL), 0);
	ck_assert_int_eq(cfx_on_change(cfx, NULL, "n", hear, &second,
				       &first.forget), 0);
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, n_of(cfx) == 2);
	ck_assert_uint_eq(first.calls, 1);
	ck_assert_uint_eq(second.calls, 0);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* Half of a command is here, and stays unseen. */
START_TEST(closed_in_the_middle)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx = open_with(&o);

	server_publish(s, "main.json", JSON, "{\"n\":2}", false);
	UNTIL(cfx, status_of(cfx).revision == server_rev(s) &&
	      status_of(cfx).fetches == 2);
	run_once(cfx);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

static void both(void *data, const struct cfx_change *change)
{
	int64_t a = cfx_view_i64(change->after, "main.json", "n", -1);
	int64_t b = cfx_view_i64(change->after, "b.json", "n", -2);

	ck_assert_int_eq(a, b);
	(*(unsigned *)data)++;
}

START_TEST(one_command_is_one_picture)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	unsigned calls = 0;
	struct cfx *cfx;
	char text[32];

	server_publish(s, "b.json", JSON, "{\"n\":1}", true);
	o.configs = "main.json,b.json";
	cfx = open_with(&o);
	ck_assert_int_eq(cfx_on_change(cfx, NULL, "n", both, &calls, NULL), 0);
	for (int i = 2; i < 12; i++) {
		snprintf(text, sizeof(text), "{\"n\":%d}", i);
		server_publish(s, "main.json", JSON, text, false);
		/* The first of the two is told and fetched meanwhile. */
		UNTIL(cfx, status_of(cfx).revision == server_rev(s));
		run_once(cfx);
		server_publish(s, "b.json", JSON, text, true);
		UNTIL(cfx, n_of(cfx) == i);
	}
	ck_assert_uint_eq(calls, 20);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

START_TEST(what_is_deleted_stays)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx = open_with(&o);

	server_delete(s, "main.json");
	UNTIL(cfx, status_of(cfx).last.code == CFX_E_NOT_FOUND);
	ck_assert_int_eq(n_of(cfx), 1);
	server_publish(s, "main.json", JSON, "{\"n\":5}", true);
	UNTIL(cfx, n_of(cfx) == 5);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* That nothing is there is on its way while it comes. */
START_TEST(what_comes_behind_a_404_is_fetched)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	o.configs = "late.json";
	o.boot = CFX_BOOT_AT_ONCE;
	server_hold(s, true);
	cfx = open_with(&o);
	UNTIL(cfx, server_held(s) == 1);
	server_publish(s, "late.json", JSON, "{\"n\":1}", true);
	UNTIL(cfx, status_of(cfx).revision == server_rev(s));
	ck_assert_uint_eq(server_held(s), 1);
	server_hold(s, false);
	UNTIL(cfx, cfx_get_i64(cfx, "late.json", "n", -1) == 1);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

START_TEST(the_same_bytes_as_another_version)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx = open_with(&o);

	server_publish(s, "main.json", JSON, "{\"n\":1,\"s\":\"one\"}", true);
	UNTIL(cfx, server_acks(s, "applied main.json 2") > 0);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* More than a header of a request takes. */
START_TEST(many_long_names)
{
	enum { N = 64 };
	static char configs[N * 210] = "main.json";
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	for (unsigned i = 1; i < N; i++) {
		size_t n = strlen(configs);

		snprintf(configs + n, sizeof(configs) - n, ",%0190u", i);
	}
	o.configs = configs;
	o.boot = CFX_BOOT_AT_ONCE;
	cfx = open_with(&o);
	UNTIL(cfx, n_of(cfx) == 1);
	ck_assert(status_of(cfx).is_connected);
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, n_of(cfx) == 2);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* ---- one that cannot be had ---- */

static int64_t b_of(struct cfx *cfx)
{
	return cfx_get_i64(cfx, "b.json", "n", -1);
}

/* Those named behind it go on being fetched, and it is, once it can be. */
START_TEST(one_that_fails_does_not_stop_the_others)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;
	char text[32];

	server_publish(s, "b.json", JSON, "{\"n\":1}", true);
	server_fails(s, "main.json", 500);
	o.configs = "main.json,b.json";
	o.boot = CFX_BOOT_AT_ONCE;
	o.request_timeout_ms = 300;
	cfx = open_with(&o);
	UNTIL(cfx, b_of(cfx) == 1);
	for (int i = 2; i < 5; i++) {
		snprintf(text, sizeof(text), "{\"n\":%d}", i);
		server_publish(s, "b.json", JSON, text, true);
		UNTIL(cfx, b_of(cfx) == i);
	}
	ck_assert_int_eq(n_of(cfx), -1);
	UNTIL(cfx, server_acks(s, "applied b.json 4") > 0);
	server_fails(s, "main.json", 0);
	UNTIL(cfx, n_of(cfx) == 1);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* No other server would give less of it: the watch stays, and so do the others. */
START_TEST(one_that_is_too_large_does_not_stop_the_others)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	server_publish(s, "main.json", JSON, "{\"s\":\"as long as it may not be\"}", true);
	server_publish(s, "b.json", JSON, "{\"n\":1}", true);
	o.configs = "main.json,b.json";
	o.content_max = 30;
	fails_with(&o, CFX_E_TOO_LARGE, "acme/shop/prod/main.json");
	o.boot = CFX_BOOT_AT_ONCE;
	cfx = open_with(&o);
	UNTIL(cfx, b_of(cfx) == 1);
	/* Asked for again now and then, it changes nothing. */
	UNTIL(cfx, status_of(cfx).fetches > 4);
	server_publish(s, "b.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, b_of(cfx) == 2);
	ck_assert_uint_eq(status_of(cfx).connects, 1);
	server_publish(s, "main.json", JSON, "{\"n\":3}", true);
	UNTIL(cfx, n_of(cfx) == 3);
	ck_assert_uint_eq(status_of(cfx).connects, 1);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* What goes on coming is waited for longer than for an answer to begin. */
START_TEST(a_large_answer_takes_its_time)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	char large[60000];
	struct cfx *cfx;

	memset(large, ' ', sizeof(large));
	memcpy(large, "{\"n\":1}", 7);
	large[sizeof(large) - 1] = '\0';
	server_publish(s, "main.json", JSON, large, true);
	server_trickles(s, "main.json", 3000, 150);    /* 3 s, 20 KB each */
	o.request_timeout_ms = 2000;
	o.boot_timeout_ms = 60000;
	cfx = open_with(&o);
	ck_assert_int_eq(n_of(cfx), 1);
	ck_assert_uint_eq(status_of(cfx).fetches, 1);
	cfx_close(cfx);
	/* Not so what hardly comes. */
	server_trickles(s, "main.json", 10, 20);
	fails_with(&o, CFX_E_TIMEOUT, "request_timeout_ms");
	server_free(s);
}
END_TEST

/* ---- the validator ---- */

static bool below_ten(void *data, const struct cfx_candidate *candidate,
		      char *reason, size_t size)
{
	int64_t n = cfx_view_i64(candidate->view, candidate->config, "n", -1);

	(*(unsigned *)data)++;
	snprintf(reason, size, "n is %d", (int)n);
	return n < 10;
}

START_TEST(validator)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	unsigned asked = 0;
	struct cfx *cfx;

	o.validator = below_ten;
	o.validator_data = &asked;
	cfx = open_with(&o);
	UNTIL(cfx, status_of(cfx).acknowledged == 1);
	ck_assert(server_saw_ack(s, "applied main.json 1"));
	server_publish(s, "main.json", JSON, "{\"n\":10}", true);
	UNTIL(cfx, status_of(cfx).rejected == 1);
	ck_assert_int_eq(n_of(cfx), 1);
	ck_assert(strstr(status_of(cfx).last.text, "n is 10") != NULL);
	UNTIL(cfx, status_of(cfx).acknowledged == 2);
	ck_assert(server_saw_ack(s, "rejected main.json 2"));
	/* It is not asked again about the same. */
	server_cut(s, false);
	server_compact(s, server_rev(s) + 1);
	UNTIL(cfx, status_of(cfx).connects >= 2 && status_of(cfx).is_connected);
	UNTIL(cfx, status_of(cfx).acknowledged == 3);
	ck_assert_uint_eq(asked, 2);
	server_publish(s, "main.json", JSON, "{\"n\":3}", true);
	UNTIL(cfx, n_of(cfx) == 3);
	/* What cannot be parsed is rejected without it. */
	server_publish(s, "main.json", JSON, "{\"n\":", true);
	UNTIL(cfx, status_of(cfx).rejected == 2);
	ck_assert_int_eq(n_of(cfx), 3);
	UNTIL(cfx, status_of(cfx).acknowledged == 5);
	ck_assert(server_saw_ack(s, "rejected main.json 4"));
	ck_assert_uint_eq(asked, 3);
	cfx_close(cfx);
	server_refuse(s, SERVER_FETCH, 0, 0, 0);
	fails_with(&o, CFX_E_REJECTED, "line 1");
	server_free(s);
}
END_TEST

START_TEST(a_server_without_acks)
{
	struct server_config config = { .folder = folder, .has_no_acks = true };
	struct server *s = server_new(&config);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	server_publish(s, "main.json", JSON, "{\"n\":1}", true);
	cfx = open_with(&o);
	UNTIL(cfx, server_requests(s, SERVER_ACKS) == 1);
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, n_of(cfx) == 2);
	run_once(cfx);
	ck_assert_int_eq(status_of(cfx).last.code, CFX_OK);
	ck_assert_uint_eq(server_requests(s, SERVER_ACKS), 1);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("client/sdk/client");
	TCase *t = tcase_create("client");

	tcase_add_unchecked_fixture(t, make_folder, NULL);
	tcase_add_test(t, getters);
	tcase_add_test(t, options_are_checked);
	tcase_add_test(t, fail_fast);
	tcase_add_test(t, fail_safe);
	tcase_add_test(t, at_once_waits_for_nothing);
	tcase_add_test(t, the_rest_is_of_the_snapshot);
	tcase_add_test(t, an_idle_client_sleeps);
	tcase_add_test(t, a_start_with_fewer_names);
	tcase_add_test(t, the_first_change_is_whole);
	tcase_add_test(t, a_child_keeps_nobody_awake);
	tcase_add_test(t, waits_are_partly_chance);
	tcase_add_test(t, changes);
	tcase_add_test(t, a_listener_forgets_another);
	tcase_add_test(t, closed_in_the_middle);
	tcase_add_test(t, one_command_is_one_picture);
	tcase_add_test(t, what_is_deleted_stays);
	tcase_add_test(t, what_comes_behind_a_404_is_fetched);
	tcase_add_test(t, the_same_bytes_as_another_version);
	tcase_add_test(t, many_long_names);
	tcase_add_test(t, one_that_fails_does_not_stop_the_others);
	tcase_add_test(t, one_that_is_too_large_does_not_stop_the_others);
	tcase_add_test(t, a_large_answer_takes_its_time);
	tcase_add_test(t, validator);
	tcase_add_test(t, a_server_without_acks);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
