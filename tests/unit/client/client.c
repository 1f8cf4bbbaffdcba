/*
 * The client against a server that says what the test has written down: bytes
 * from RFC 9112, not from our own server.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/client.h"

#include "base/banned.h"

#define CONNECTIONS_MAX 8

/* What a connection answers to its requests, one after the other; NULL ends
 * it.  "" closes without an answer, GONE before a request; HEARTBEATS says one comment after the
 * other, each within the client's silence. */
#define HEARTBEATS "~"
#define GONE "!"                         /* closes without having been asked */
#define SILENCE_MS 1000
static const char *script[CONNECTIONS_MAX][4];
static struct buf heard;                 /* all requests, under the lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int listener;
static _Atomic unsigned accepted, ended;
static bool is_last;                     /* nobody listens after the first */
static pthread_t thread;
static char url[64];
static const char *servers;              /* of the client; "%s" is the url */
static struct client *client;
static struct arena *arena;
static struct client_answer answer;
static struct err err;

static bool read_request(int fd)
{
	struct buf one = BUF_NONE;
	size_t head = SIZE_MAX, length = 0, at;
	bool ok = false;
	char c;

	while (!ok && recv(fd, &c, 1, 0) == 1) {
		buf_c(&one, c);
		if (head == SIZE_MAX && str_ends(buf_view(&one), STR("\r\n\r\n"))) {
			head = one.n;
			at = str_find_str(buf_view(&one), STR("Content-Length: "));
			if (at != SIZE_MAX)
				length = strtoul(one.p + at + 16, NULL, 10);
		}
		ok = head != SIZE_MAX && one.n == head + length;
	}
	pthread_mutex_lock(&lock);
	buf_str(&heard, buf_view(&one));
	pthread_mutex_unlock(&lock);
	buf_fini(&one);
	return ok;
}

/* Longer than the client bears silence. */
static void beat(int fd)
{
	static const char chunk[] = "4\r\n: a\n\r\n";

	for (int i = 0; i < 16; i++) {
		struct pollfd p = { .fd = fd, .events = POLLRDHUP };

		if (poll(&p, 1, SILENCE_MS / 8) ||
		    send(fd, chunk, sizeof(chunk) - 1, MSG_NOSIGNAL) < 0)
			return;
	}
	(void)!send(fd, "c\r\ndata: stop\n\n\r\n", 17, MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
	for (unsigned n = 0; n < CONNECTIONS_MAX && script[n][0]; n++) {
		int fd = accept(listener, NULL, NULL);

		atomic_fetch_add(&accepted, 1);
		if (is_last)
			shutdown(listener, SHUT_RDWR);
		for (int k = 0; fd >= 0 && k < 4 && script[n][k]; k++) {
			const char *text = script[n][k];

			if (str_eq(str_of(text), STR(GONE)))
				break;
			if (str_eq(str_of(text), STR(HEARTBEATS))) {
				beat(fd);
				continue;
			}
			if (!read_request(fd) || !text[0])
				break;
			(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
		}
		if (fd >= 0)
			close(fd);
		atomic_fetch_add(&ended, 1);
	}
	return NULL;
}

static void wait_gone(void)
{
	while (ended == 0)
		sched_yield();
}

static void setup(void)
{
	memset(script, 0, sizeof(script));
	accepted = ended = 0;
	is_last = false;
	servers = "%s";
	arena = arena_new(0);
}

static const char *arena_replace(const char *text, const char *with)
{
	AUTO_BUF out = BUF_NONE;

	for (; *text; text++) {
		if (text[0] == '%' && text[1] == 's') {
			buf_z(&out, with);
			text++;
		} else {
			buf_c(&out, *text);
		}
	}
	return arena_z(arena, buf_view(&out));
}

static void start(unsigned attempts, unsigned timeout_ms)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	struct client_config config = { .token = STR("secret"),
					.attempts = attempts,
					.silence_ms = SILENCE_MS,
					.timeout_ms = timeout_ms };

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(listener, 8), 0);
	getsockname(listener, (struct sockaddr *)&at, &n);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(at.sin_port));
	config.server = arena_replace(servers, url);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
	ck_assert_int_eq(client_new(&config, &client, &err), OK);
}

static void teardown(void)
{
	client_free(&client);
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
	buf_fini(&heard);
	arena_free(&arena);
}

static enum code ask(enum http_method m, const char *body)
{
	struct client_request q = { .method = m, .target = STR("/x?y=z"),
				    .body = str_of(body) };

	return client_ask(client, &q, arena, &answer, &err);
}

static const char *all_heard(void)
{
	const char *out;

	pthread_mutex_lock(&lock);
	out = arena_z(arena, buf_view(&heard));
	pthread_mutex_unlock(&lock);
	return out;
}

static unsigned count(const char *what)
{
	unsigned n = 0;

	for (const char *p = all_heard(); p && (p = strstr(p, what)); p++)
		n++;
	return n;
}

START_TEST(requests_share_a_connection)
{
	script[0][0] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nhi";
	script[0][1] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n"
		"Transfer-Encoding: chunked\r\n\r\n2\r\nho\r\n0\r\n\r\n";
	start(1, 20000);
	ck_assert_int_eq(ask(HTTP_M_GET, ""), OK);
	ck_assert_int_eq(answer.status, 200);
	ck_assert(str_is(answer.body, "hi"));
	ck_assert(str_is(*client_header(&answer, "x-a"), "b"));
	ck_assert_int_eq(ask(HTTP_M_POST, "{}"), OK);
	ck_assert_int_eq(answer.status, 201);
	ck_assert(str_is(answer.body, "ho"));
	ck_assert_uint_eq(accepted, 1);
	ck_assert_ptr_nonnull(strstr(all_heard(), "GET /x?y=z HTTP/1.1\r\nHost: 127"));
	ck_assert_uint_eq(count("Authorization: Bearer secret\r\n"), 2);
	ck_assert_uint_eq(count("Idempotency-Key: "), 1);
	ck_assert_ptr_nonnull(strstr(all_heard(), "Content-Length: 2\r\n\r\n{}"));
}
END_TEST

START_TEST(an_answer_may_end_with_the_connection)
{
	script[0][0] = "HTTP/1.0 200 OK\r\n\r\nall of it";
	script[1][0] = "HTTP/1.1 200 OK\r\nConnection: close\r\n"
		"Content-Length: 1\r\n\r\n1";
	script[2][0] = "HTTP/1.1 204 No Content\r\n\r\n";
	start(1, 20000);
	ck_assert_int_eq(ask(HTTP_M_GET, ""), OK);
	ck_assert(str_is(answer.body, "all of it"));
	ck_assert_int_eq(ask(HTTP_M_GET, ""), OK);
	ck_assert_int_eq(ask(HTTP_M_GET, ""), OK);
	ck_assert_int_eq(answer.status, 204);
	ck_assert_uint_eq(accepted, 3);
}
END_TEST

START_TEST(a_lost_connection_is_tried_again_with_the_same_key)
{
	size_t at, again;
	struct str all;

	script[0][0] = "";
	script[1][0] = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
	script[1][1] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	start(4, 20000);
	ck_assert_int_eq(ask(HTTP_M_PUT, "x"), OK);
	ck_assert_int_eq(answer.status, 200);
	ck_assert_uint_eq(count("PUT /x"), 3);
	all = str_of(all_heard());
	at = str_find_str(all, STR("Idempotency-Key: "));
	again = str_find_str(str_from(all, at + 60), STR("Idempotency-Key: "));
	ck_assert_int_eq(memcmp(all.p + at, all.p + at + 60 + again, 53), 0);
}
END_TEST

START_TEST(a_write_without_an_answer_is_uncertain_a_read_is_not)
{
	script[0][0] = "";
	script[1][0] = "";
	start(1, 20000);
	ck_assert_int_eq(ask(HTTP_M_POST, "x"), E_UNCERTAIN);
	ck_assert_int_eq(ask(HTTP_M_GET, ""), E_UNAVAILABLE);
}
END_TEST

/* The first attempt may have arrived; that the next found nobody does not
 * undo it. */
START_TEST(a_write_stays_uncertain_when_the_server_is_gone)
{
	script[0][0] = "";
	is_last = true;
	start(3, 20000);
	ck_assert_int_eq(ask(HTTP_M_POST, "x"), E_UNCERTAIN);
	ck_assert_uint_eq(count("POST /x"), 1);
	ck_assert_int_eq(ask(HTTP_M_POST, "x"), E_UNAVAILABLE);
}
END_TEST

/* That the server cannot now, or refuses now, says nothing of what came before. */
static const char *const refusals[] = {
	"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 429 Slowly\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n",
};

START_TEST(a_write_stays_uncertain_when_the_server_cannot_now)
{
	script[0][0] = "";
	script[1][0] = script[1][1] = script[1][2] = refusals[_i];
	start(2, 20000);
	ck_assert_int_eq(ask(HTTP_M_POST, "x"), E_UNCERTAIN);
	ck_assert_uint_eq(count("POST /x"), 2);
	/* Without such an attempt before it is just refused. */
	ck_assert_int_eq(ask(HTTP_M_POST, "x"), _i == 3 ? E_UNCERTAIN : OK);
}
END_TEST

START_TEST(a_write_that_was_answered_at_last_is_certain)
{
	script[0][0] = "";
	script[1][0] = "HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n";
	start(2, 20000);
	ck_assert_int_eq(ask(HTTP_M_POST, "x"), OK);
	ck_assert_int_eq(answer.status, 412);
}
END_TEST

/* What a proxy says of its server is no answer to a write; to a read it is. */
START_TEST(a_proxy_does_not_answer_for_its_server)
{
	script[0][0] = script[0][2] =
		"HTTP/1.1 504 Gateway Time-out\r\nContent-Length: 0\r\n\r\n";
	script[0][1] = "HTTP/1.1 504 Late\r\nX-Conflux-Trace: 1\r\n"
		"Content-Length: 0\r\n\r\n";
	start(1, 20000);
	ck_assert_int_eq(ask(HTTP_M_POST, "x"), E_UNCERTAIN);
	ck_assert_int_eq(ask(HTTP_M_POST, "x"), OK);
	ck_assert_int_eq(ask(HTTP_M_GET, ""), OK);
	ck_assert_int_eq(answer.status, 504);
}
END_TEST

START_TEST(trailers_are_no_headers)
{
	script[0][0] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		"2\r\nho\r\n0\r\nX-Conflux-Code: denied\r\nETag: 1\r\n\r\n";
	script[0][1] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	start(1, 20000);
	ck_assert_int_eq(ask(HTTP_M_GET, ""), OK);
	ck_assert(str_is(answer.body, "ho"));
	ck_assert_ptr_null(client_header(&answer, "x-conflux-code"));
	ck_assert_uint_eq(answer.n_headers, 1);
	ck_assert_int_eq(ask(HTTP_M_GET, ""), OK);
	ck_assert_uint_eq(accepted, 1);
}
END_TEST

/* Bytes behind an answer are nobody's; a connection with such is not used again. */
START_TEST(what_was_not_asked_for_is_no_answer)
{
	script[0][0] = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
		"Content-Length: 1\r\n\r\n1HTTP/1.0 404 Not Found\r\n";
	script[0][1] = "HTTP/1.1 500 Not here\r\nContent-Length: 0\r\n\r\n";
	script[1][0] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	start(1, 20000);
	ck_assert_int_eq(ask(HTTP_M_GET, ""), OK);
	ck_assert_int_eq(ask(HTTP_M_GET, ""), OK);
	ck_assert_int_eq(answer.status, 200);
	ck_assert_uint_eq(accepted, 2);
}
END_TEST

/* The server closed what was kept: what happens once was not sent there. */
START_TEST(a_kept_connection_that_ended_is_seen_before)
{
	struct client_request q = { .method = HTTP_M_POST, .target = STR("/t"),
				    .is_once = true };

	script[0][0] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	script[0][1] = GONE;
	script[1][0] = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
	start(1, 20000);
	ck_assert_int_eq(ask(HTTP_M_GET, ""), OK);
	wait_gone();
	ck_assert_int_eq(client_ask(client, &q, arena, &answer, &err), OK);
	ck_assert_int_eq(answer.status, 201);
}
END_TEST

START_TEST(a_deadline_ends_the_wait)
{
	script[0][0] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal";
	script[0][1] = "never asked for";
	start(1, 100);
	ck_assert_int_eq(ask(HTTP_M_GET, ""), E_TIMEOUT);
}
END_TEST

START_TEST(what_is_no_http_is_refused)
{
	script[0][0] = "SSH-2.0-OpenSSH\r\n\r\n";
	script[1][0] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
		"Content-Length: 2\r\n\r\nxx";
	start(1, 20000);
	ck_assert_int_eq(ask(HTTP_M_GET, ""), E_INVALID);
	ck_assert_int_eq(ask(HTTP_M_GET, ""), E_INVALID);
}
END_TEST

START_TEST(a_write_whose_answer_is_no_http_is_uncertain)
{
	script[0][0] = "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n";
	script[1][0] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		"zz\r\n";
	start(1, 20000);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(ask(HTTP_M_POST, "x"), E_UNCERTAIN);
		ck_assert_ptr_nonnull(strstr(err.text, "cannot be read"));
	}
}
END_TEST

START_TEST(verdicts_read_both_kinds_of_error)
{
	struct client_answer a = { .status = 409, .body = STR("{\"code\":"
		"\"managed-by-other\",\"detail\":\"no\",\"hint\":\"ask\"}") };
	struct client_answer k = { .status = 404, .body = STR("{\"kind\":"
		"\"Status\",\"message\":\"not here\",\"code\":404}") };
	struct client_answer raw = { .status = 502, .body = STR("<html>") };
	struct http_header code = { STR("x-conflux-code"), STR("uncertain") };
	struct http_header to = { STR("location"), STR("https://there/") };
	struct client_answer u = { .status = 503, .headers = &code,
				   .n_headers = 1, .body = STR("{\"kind\":"
		"\"Status\",\"message\":\"who knows\",\"code\":503}") };
	struct client_answer moved = { .status = 301, .headers = &to,
				       .n_headers = 1 };

	struct client_answer bad = { .status = 422, .body = STR("{\"message\":"
		"\"c is invalid\",\"details\":{\"causes\":["
		"{\"field\":\"spec.a\",\"message\":\"Required value\"},"
		"{\"message\":\"2\"},{\"message\":\"3\"},"
		"{\"message\":\"4\"},{\"message\":\"5\"},"
		"{\"message\":\"6\"},{\"message\":\"7\"}]}}") };

	script[0][0] = NULL;
	start(1, 20000);
	ck_assert_int_eq(client_verdict(&bad, &err), E_UNPROCESSABLE);
	ck_assert_str_eq(err.text, "c is invalid: spec.a: Required value; 2; 3; "
				   "4; 5; and 2 more");
	ck_assert_int_eq(client_verdict(&a, &err), E_MANAGED);
	ck_assert_str_eq(err.text, "no");
	ck_assert_str_eq(err.hint, "ask");
	ck_assert_int_eq(client_verdict(&k, &err), E_NOT_FOUND);
	ck_assert_str_eq(err.text, "not here");
	ck_assert_int_ne(client_verdict(&raw, &err), OK);
	raw.body = STR("{}");
	ck_assert_int_ne(client_verdict(&raw, &err), OK);
	ck_assert_str_eq(err.text, "the server answers 502");
	ck_assert_int_eq(client_verdict(&u, &err), E_UNCERTAIN);
	ck_assert_int_eq(client_verdict(&moved, &err), E_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(err.text, "301 and redirects to https://"));
}
END_TEST

static bool event(void *data, struct str name, struct str id, struct str text)
{
	buf_printf(data, "%.*s %.*s;", STR_ARG(id), STR_ARG(text));
	return !str_is(text, "stop");
}

START_TEST(events_are_followed)
{
	struct client_request q = { .method = HTTP_M_GET, .target = STR("/w"),
				    .last_event_id = "5" };
	AUTO_BUF seen = BUF_NONE;

	script[0][0] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		"9\r\nid: 6\ndat\r\n6\r\na: a\n\n\r\n0\r\n\r\n";
	script[1][0] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		"d\r\ndata: stop\n\nx\r\n";
	script[2][0] = "HTTP/1.1 410 Gone\r\nContent-Length: 2\r\n\r\n{}";
	script[3][0] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	start(1, 20000);
	ck_assert_int_eq(client_follow(client, &q, 0, event, &seen, &err), OK);
	ck_assert_str_eq(seen.p, "6 a;");
	ck_assert_ptr_nonnull(strstr(all_heard(), "Last-Event-ID: 5\r\n"));
	ck_assert_int_eq(client_follow(client, &q, 0, event, &seen, &err), OK);
	ck_assert_str_eq(seen.p, "6 a; stop;");
	ck_assert_int_eq(client_follow(client, &q, 0, event, &seen, &err), E_GONE);
	ck_assert_int_eq(client_follow(client, &q, 0, event, &seen, &err),
			 E_UNAVAILABLE);
}
END_TEST

#define STREAM "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

START_TEST(a_stream_that_falls_silent_is_lost)
{
	struct client_request q = { .method = HTTP_M_GET, .target = STR("/w") };
	AUTO_BUF seen = BUF_NONE;

	script[0][0] = STREAM "11\r\nid: 6\ndata: aaa\n\n\r\n";
	script[0][1] = "never asked for";
	start(1, 20000);
	ck_assert_int_eq(client_follow(client, &q, 0, event, &seen, &err),
			 E_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(err.text, "nothing came for 1000 ms"));
	ck_assert_str_eq(seen.p, "6 aaa;");
}
END_TEST

START_TEST(heartbeats_keep_a_stream)
{
	struct client_request q = { .method = HTTP_M_GET, .target = STR("/w") };
	AUTO_BUF seen = BUF_NONE;

	script[0][0] = STREAM;
	script[0][1] = HEARTBEATS;
	start(1, 20000);
	ck_assert_int_eq(client_follow(client, &q, 0, event, &seen, &err), OK);
	ck_assert_str_eq(seen.p, " stop;");
}
END_TEST

START_TEST(a_stream_has_to_begin_in_time)
{
	struct client_request q = { .method = HTTP_M_GET, .target = STR("/w") };
	AUTO_BUF seen = BUF_NONE;

	script[0][0] = "HTTP/1.1 200 OK\r\n";
	script[0][1] = "never asked for";
	start(1, 200);
	ck_assert_int_eq(client_follow(client, &q, 0, event, &seen, &err),
			 E_TIMEOUT);
}
END_TEST

START_TEST(a_stream_ends_at_its_deadline)
{
	struct client_request q = { .method = HTTP_M_GET, .target = STR("/w") };
	AUTO_BUF seen = BUF_NONE;

	script[0][0] = STREAM;
	script[0][1] = "never asked for";
	start(1, 20000);
	ck_assert_int_eq(client_follow(client, &q, 600, event, &seen, &err), OK);
}
END_TEST

START_TEST(a_proxy_without_its_server_is_a_lost_connection)
{
	struct client_request q = { .method = HTTP_M_GET, .target = STR("/w") };
	AUTO_BUF seen = BUF_NONE;

	script[0][0] = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
	script[1][0] = "HTTP/1.1 504 Slow\r\nContent-Length: 0\r\n\r\n";
	start(1, 20000);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(client_follow(client, &q, 0, event, &seen,
					       &err), E_UNAVAILABLE);
}
END_TEST

START_TEST(servers_are_urls)
{
	struct client_config config = { .server = "127.0.0.1:80" };

	start(1, 20000);
	client_free(&client);
	ck_assert_int_eq(client_new(&config, &client, &err), E_USAGE);
	config.server = "http://";
	ck_assert_int_eq(client_new(&config, &client, &err), E_USAGE);
	config.server = "http://localhost/path";
	ck_assert_int_eq(client_new(&config, &client, &err), E_USAGE);
	config.server = "http://user@localhost";
	ck_assert_int_eq(client_new(&config, &client, &err), E_USAGE);
	config.server = "http://a,ftp://b";
	ck_assert_int_eq(client_new(&config, &client, &err), E_USAGE);
	ck_assert_ptr_nonnull(strstr(err.text, "\"ftp://b\""));
	config.server = "http://a,";
	ck_assert_int_eq(client_new(&config, &client, &err), E_USAGE);
	config.server = "http://a,,http://b";
	ck_assert_int_eq(client_new(&config, &client, &err), E_USAGE);
	config.server = "http://a,http://a,http://a,http://a,http://a,http://a,"
		"http://a,http://a,http://a,http://a,http://a,http://a,http://a,"
		"http://a,http://a,http://a,http://a";
	ck_assert_int_eq(client_new(&config, &client, &err), E_USAGE);
	config.server = "http://[::1]:80/";
	config.token = STR("abc\r\nX-Other: 1");
	ck_assert_int_eq(client_new(&config, &client, &err), E_USAGE);
	ck_assert_ptr_null(strstr(err.text, "abc"));
	config.token = STR("a b");
	ck_assert_int_eq(client_new(&config, &client, &err), E_USAGE);
	config.token = STR("cfx_a-Z_0.~+/=");
	ck_assert_int_eq(client_new(&config, &client, &err), OK);
}
END_TEST

/* ---- several servers; nobody listens on port 1 ---- */

#define GOOD "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define BUSY "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"

START_TEST(the_next_server_is_asked_where_one_is_not_there)
{
	servers = "http://127.0.0.1:1, %s";
	script[0][0] = script[0][1] = GOOD;
	start(1, 20000);
	ck_assert_int_eq(ask(HTTP_M_POST, "x"), OK);
	ck_assert(str_is(answer.body, "ok"));
	/* And it stays with it. */
	ck_assert_int_eq(ask(HTTP_M_GET, ""), OK);
	ck_assert_uint_eq(accepted, 1);
}
END_TEST

struct failure {
	const char *says;
	bool for_reads;                  /* only */
};

START_TEST(the_next_server_is_asked_where_one_does_not_answer)
{
	static const struct failure rows[] = {
		{ "", false },
		{ BUSY, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal", false },
		{ "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", true },
		{ "HTTP/1.1 504 Slow\r\nContent-Length: 0\r\n\r\n", true },
	};
	const struct failure *row = &rows[_i / 2];
	bool writes = _i % 2;
	size_t at;
	struct str all;

	servers = "%s,%s";
	script[0][0] = row->says;
	script[0][1] = "never asked for";
	script[1][0] = GOOD;
	/* Of these one says no more, and is waited for. */
	start(1, _i / 2 == 2 ? 1000 : 20000);
	ck_assert_int_eq(ask(writes ? HTTP_M_POST : HTTP_M_GET, writes ? "x" : ""),
			 writes && row->for_reads ? E_UNCERTAIN : OK);
	if (writes && row->for_reads) {
		ck_assert_uint_eq(accepted, 1);
		return;
	}
	ck_assert_int_eq(answer.status, 200);
	ck_assert_uint_eq(accepted, 2);
	ck_assert_uint_eq(count("/x?y=z"), 2);
	if (!writes)
		return;
	all = str_of(all_heard());
	at = str_find_str(all, STR("Idempotency-Key: "));
	ck_assert_uint_eq(count(arena_z(arena, str_n(all.p + at, 53))), 2);
}
END_TEST

/* 0: it may have arrived; 1: it was refused, so it may be sent again. */
START_TEST(what_happens_once_is_not_sent_again_where_it_may_have_arrived)
{
	struct client_request q = { .method = HTTP_M_POST, .target = STR("/t"),
				    .is_once = true };

	servers = "http://127.0.0.1:1,%s,%s";
	script[0][0] = _i ? BUSY : "";
	script[1][0] = GOOD;
	start(2, 20000);
	ck_assert_int_eq(client_ask(client, &q, arena, &answer, &err),
			 _i ? OK : E_UNCERTAIN);
	ck_assert_uint_eq(count("POST /t"), 1 + _i);
}
END_TEST

START_TEST(a_cluster_that_cannot_now_is_asked_again)
{
	servers = "http://127.0.0.1:1,%s";
	script[0][0] = BUSY;
	script[1][0] = GOOD;
	start(2, 20000);
	ck_assert_int_eq(ask(HTTP_M_PUT, "x"), OK);
	ck_assert_int_eq(answer.status, 200);
}
END_TEST

START_TEST(all_servers_are_named_where_none_answers)
{
	servers = "http://127.0.0.1:1,http://localhost:1";
	script[0][0] = NULL;
	start(4, 20000);
	ck_assert_int_eq(ask(HTTP_M_POST, "x"), E_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(err.text, "127.0.0.1:1,http://localhost:1"));
}
END_TEST

/* A backlog that is full swallows what wants to connect. */
START_TEST(a_server_that_takes_no_connection_is_passed_over)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), full[2];

	ck_assert_int_eq(bind(deaf, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(deaf, 0), 0);
	getsockname(deaf, (struct sockaddr *)&at, &n);
	for (int i = 0; i < 2; i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(full[i], (struct sockaddr *)&at, sizeof(at));
	}
	servers = arena_printf(arena, "http://127.0.0.1:%d,%%s",
			       ntohs(at.sin_port)).p;
	script[0][0] = GOOD;
	start(1, 20000);
	ck_assert_int_eq(ask(HTTP_M_POST, "x"), OK);
	ck_assert_int_eq(answer.status, 200);
	for (int i = 0; i < 2; i++)
		close(full[i]);
	close(deaf);
}
END_TEST

START_TEST(a_stream_goes_on_at_the_next_server)
{
	struct client_request q = { .method = HTTP_M_GET, .target = STR("/w") };
	AUTO_BUF seen = BUF_NONE;

	servers = "%s,http://127.0.0.1:1";
	script[0][0] = STREAM;
	script[1][0] = BUSY;
	script[2][0] = "HTTP/1.1 410 Gone\r\nContent-Length: 2\r\n\r\n{}";
	script[2][1] = STREAM "c\r\ndata: stop\n\n\r\n";
	script[3][0] = script[2][1];
	start(1, 20000);
	ck_assert_uint_eq(client_servers(client), 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_ne(client_follow(client, &q, 0, event, &seen, &err),
				 OK);
		ck_assert_uint_eq(accepted, i + 1);
		ck_assert_int_eq(client_follow(client, &q, 0, event, &seen, &err),
				 E_UNAVAILABLE);
		ck_assert_uint_eq(accepted, i + 1);
	}
	/* A refusal is one of all of them. */
	ck_assert_int_eq(client_follow(client, &q, 0, event, &seen, &err), E_GONE);
	ck_assert_int_eq(client_follow(client, &q, 0, event, &seen, &err), OK);
	ck_assert_str_eq(seen.p, " stop;");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("client/client");
	TCase *t = tcase_create("client");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, requests_share_a_connection);
	tcase_add_test(t, an_answer_may_end_with_the_connection);
	tcase_add_test(t, a_lost_connection_is_tried_again_with_the_same_key);
	tcase_add_test(t, a_write_without_an_answer_is_uncertain_a_read_is_not);
	tcase_add_test(t, a_write_stays_uncertain_when_the_server_is_gone);
	tcase_add_loop_test(t, a_write_stays_uncertain_when_the_server_cannot_now, 0,
			    ARRAY_LEN(refusals));
	tcase_add_test(t, a_write_that_was_answered_at_last_is_certain);
	tcase_add_test(t, a_proxy_does_not_answer_for_its_server);
	tcase_add_test(t, trailers_are_no_headers);
	tcase_add_test(t, what_was_not_asked_for_is_no_answer);
	tcase_add_test(t, a_kept_connection_that_ended_is_seen_before);
	tcase_add_test(t, a_deadline_ends_the_wait);
	tcase_add_test(t, what_is_no_http_is_refused);
	tcase_add_test(t, verdicts_read_both_kinds_of_error);
	tcase_add_test(t, events_are_followed);
	tcase_add_test(t, a_stream_that_falls_silent_is_lost);
	tcase_add_test(t, heartbeats_keep_a_stream);
	tcase_add_test(t, a_stream_has_to_begin_in_time);
	tcase_add_test(t, a_stream_ends_at_its_deadline);
	tcase_add_test(t, a_proxy_without_its_server_is_a_lost_connection);
	tcase_add_test(t, a_write_whose_answer_is_no_http_is_uncertain);
	tcase_add_test(t, servers_are_urls);
	tcase_add_test(t, the_next_server_is_asked_where_one_is_not_there);
	tcase_add_loop_test(t, the_next_server_is_asked_where_one_does_not_answer,
			    0, 10);
	tcase_add_loop_test(t,
		what_happens_once_is_not_sent_again_where_it_may_have_arrived, 0, 2);
	tcase_add_test(t, a_cluster_that_cannot_now_is_asked_again);
	tcase_add_test(t, all_servers_are_named_where_none_answers);
	tcase_add_test(t, a_server_that_takes_no_connection_is_passed_over);
	tcase_add_test(t, a_stream_goes_on_at_the_next_server);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
