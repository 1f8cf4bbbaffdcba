/*
 * `conflux watch` against a server that goes away in every way: each
 * connection plays one line of a script.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/cli.h"

#include "base/banned.h"

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
#define EVENT(rev, key)                                                     \
	"id: " #rev "\nevent: change\ndata: {\"key\":\"" key "\",\"version\":" \
	"2,\"sha256\":\"0123456789abcdef\",\"revision\":" #rev              \
	",\"deleted\":false,\"end\":true}\n\n"

static struct cli cli;
static struct err err;
static char *said;
static size_t n_said;
static struct buf heard;
static int listener;
static pthread_t thread;
static char url[64], both[200];          /* with two that are dead between */

/* What each connection says after its request; a '!' in front keeps it open
 * until the client goes. */
static const char *const *script;

static void read_head(int fd)
{
	char c;
	size_t from = heard.n;

	while (recv(fd, &c, 1, 0) == 1) {
		buf_c(&heard, c);
		if (str_ends(str_from(buf_view(&heard), from), STR("\r\n\r\n")))
			return;
	}
}

static void *serve(void *arg)
{
	for (size_t i = 0; script[i]; i++) {
		int fd = accept(listener, NULL, NULL);
		bool stays = script[i][0] == '!';
		const char *text = script[i] + stays;
		char c;

		if (fd < 0)
			return NULL;
		read_head(fd);
		(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
		if (stays)
			(void)!recv(fd, &c, 1, 0);
		close(fd);
	}
	return NULL;
}

static bool is_two;

static void setup(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	struct client_config config = { .server = url, .attempts = 1,
					.silence_ms = 1000, .timeout_ms = 1000 };

	cli = (struct cli){ .arena = arena_new(0) };
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(listener, 8), 0);
	getsockname(listener, (struct sockaddr *)&at, &n);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(at.sin_port));
	snprintf(both, sizeof(both), "%s,http://127.0.0.1:1,"
		 "http://127.0.0.1:1,%s", url, url);
	if (is_two)
		config.server = both;
	ck_assert_int_eq(client_new(&config, &cli.client, &err), OK);
	stdout = open_memstream(&said, &n_said);
}

static void setup_two(void)
{
	is_two = true;
	setup();
	is_two = false;
}

static void teardown(void)
{
	client_free(&cli.client);
	arena_free(&cli.arena);
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
	buf_fini(&heard);
	fclose(stdout);
	free(said);
}

static enum code watch(const char *const *connections, const char *form,
		       const char *count)
{
	const char *argv[] = { "conflux", "watch", "--prefix", "", "--since",
			       "4", "--count", count, "-o", form };

	script = connections;
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
	ck_assert_int_eq(cli_parse(&cli, ARRAY_LEN(argv), (char **)argv, &err),
			 OK);
	return cmd_watch(&cli, &err);
}

/* Silence after an event, no answer at all, a server that drains, one that is
 * gone in the middle of an event: each time it goes on after the last. */
START_TEST(it_goes_on_whatever_happens_to_the_link)
{
	static const char *const connections[] = {
		"!" HEAD EVENT(5, "a/b/c/d"),
		"!",
		"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
		HEAD "id: 6\neve",
		"!" HEAD EVENT(7, "a/b/c/e"),
		NULL,
	};

	ck_assert_msg(watch(connections, "name", "2") == OK, "%s", err.text);
	ck_assert_str_eq(said, "a/b/c/d\na/b/c/e\n");
	ck_assert_ptr_nonnull(strstr(heard.p, "since=4"));
	ck_assert_ptr_nonnull(strstr(heard.p, "Last-Event-ID: 5\r\n"));
	ck_assert_ptr_null(strstr(heard.p, "Last-Event-ID: 6\r\n"));
}
END_TEST

START_TEST(it_goes_on_at_the_next_server_within_a_second)
{
	static const char *const connections[] = {
		HEAD EVENT(5, "a/b/c/d"), "!" HEAD EVENT(6, "a/b/c/e"), NULL,
	};
	FILE *error = stderr;
	char *told;
	size_t n_told;
	unsigned pauses = 0, all_ms = 0;

	stderr = open_memstream(&told, &n_told);
	ck_assert_msg(watch(connections, "name", "2") == OK, "%s", err.text);
	fclose(stderr);
	stderr = error;
	for (const char *at = told; (at = strstr(at, "again in ")); pauses++)
		all_ms += (unsigned)strtoul(at += strlen("again in "), NULL, 10);
	ck_assert_uint_eq(pauses, 3);
	ck_assert_uint_lt(all_ms, 1000);
	free(told);
	ck_assert_str_eq(said, "a/b/c/d\na/b/c/e\n");
	ck_assert_ptr_nonnull(strstr(heard.p, "Last-Event-ID: 5\r\n"));
}
END_TEST

/* A bookmark is what it goes on from; the server's end is none of the watch. */
START_TEST(it_goes_on_from_a_bookmark_where_the_server_ends)
{
	static const char *const connections[] = {
		HEAD EVENT(5, "a/b/c/d")
		"id: 9\nevent: bookmark\ndata: {\"revision\":9}\n\n"
		"event: some\ndata: {}\n\n"
		"event: end\ndata: {\"reason\":\"draining\"}\n\n",
		"!" HEAD EVENT(10, "a/b/c/e"), NULL,
	};

	ck_assert_msg(watch(connections, "name", "2") == OK, "%s", err.text);
	ck_assert_str_eq(said, "a/b/c/d\na/b/c/e\n");
	ck_assert_ptr_nonnull(strstr(heard.p, "Last-Event-ID: 9\r\n"));
}
END_TEST

START_TEST(what_it_is_refused_has_its_code)
{
	static const struct {
		const char *const connections[2];
		enum code code;
	} of[] = {
		{ { HEAD "event: error\ndata: {\"status\":410,\"detail\":"
			 "\"compacted\"}\n\n" }, E_GONE },
		{ { HEAD "event: error\ndata: {\"status\":401,\"detail\":"
			 "\"no token\"}\n\n" }, E_UNAUTHORIZED },
		{ { HEAD "event: error\ndata: {\"status\":403,\"detail\":"
			 "\"may not\"}\n\n" }, E_DENIED },
	};

	ck_assert_int_eq(watch(of[_i].connections, "name", "2"), of[_i].code);
}
END_TEST

START_TEST(a_refusal_ends_it)
{
	static const char *const connections[] = {
		"HTTP/1.1 410 Gone\r\nContent-Length: 2\r\n\r\n{}",
		NULL,
	};

	ck_assert_int_eq(watch(connections, "name", "2"), E_GONE);
	ck_assert(cli.was_answered);
}
END_TEST

START_TEST(yaml_is_a_stream_of_documents)
{
	static const char *const connections[] = {
		"!" HEAD EVENT(5, "a/b/c/d") EVENT(6, "a/b/c/e"),
		NULL,
	};

	ck_assert_int_eq(watch(connections, "yaml", "2"), OK);
	ck_assert_str_eq(said, "---\nkey: a/b/c/d\nversion: 2\n"
			       "sha256: \"0123456789abcdef\"\nrevision: 5\n"
			       "deleted: false\nend: true\n"
			       "---\nkey: a/b/c/e\nversion: 2\n"
			       "sha256: \"0123456789abcdef\"\nrevision: 6\n"
			       "deleted: false\nend: true\n");
}
END_TEST

START_TEST(a_line_has_the_digest_in_short_or_whole)
{
	static const char *const connections[] = {
		"!" HEAD EVENT(5, "a/b/c/d"), NULL,
	};
	bool wide = _i;

	ck_assert_int_eq(watch(connections, wide ? "wide" : "table", "1"), OK);
	ck_assert_ptr_nonnull(strstr(said, wide ?
		"  a/b/c/d  version 2  0123456789abcdef  revision 5  end\n" :
		"  a/b/c/d  version 2  0123456789ab  revision 5  end\n"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("cli/watch");
	TCase *t = tcase_create("watch");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, it_goes_on_whatever_happens_to_the_link);
	tcase_add_test(t, a_refusal_ends_it);
	tcase_add_test(t, it_goes_on_from_a_bookmark_where_the_server_ends);
	tcase_add_loop_test(t, what_it_is_refused_has_its_code, 0, 3);
	tcase_add_test(t, yaml_is_a_stream_of_documents);
	tcase_add_loop_test(t, a_line_has_the_digest_in_short_or_whole, 0, 2);
	suite_add_tcase(s, t);
	t = tcase_create("two");
	tcase_add_checked_fixture(t, setup_two, teardown);
	tcase_add_test(t, it_goes_on_at_the_next_server_within_a_second);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
