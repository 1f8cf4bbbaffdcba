/* Requests out: where they may go, and what becomes of answers. */
#include "unit.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "egress/egress.h"
#include "hook/http_out.h"

#include "base/banned.h"

/* ---- addresses ---- */

static const struct {
	const char *address;
	bool is_inside;
} addresses[] = {
	{ "127.0.0.1", true },	      { "127.255.255.254", true },
	{ "0.0.0.0", true },	      { "0.1.2.3", true },
	{ "10.0.0.1", true },	      { "10.255.255.255", true },
	{ "11.0.0.0", false },	      { "9.255.255.255", false },
	{ "100.63.255.255", false },  { "100.64.0.0", true },
	{ "100.127.255.255", true },  { "100.128.0.0", false },
	{ "169.253.255.255", false }, { "169.254.169.254", true },
	{ "172.15.255.255", false },  { "172.16.0.1", true },
	{ "172.31.255.255", true },   { "172.32.0.0", false },
	{ "192.0.0.8", true },	      { "192.0.1.1", false },
	{ "192.167.255.255", false }, { "192.168.0.1", true },
	{ "198.18.0.1", true },	      { "198.20.0.1", false },
	{ "223.255.255.255", false }, { "224.0.0.1", true },
	{ "240.0.0.1", true },	      { "255.255.255.255", true },
	{ "8.8.8.8", false },	      { "93.184.216.34", false },
	{ "::1", true },	      { "::", true },
	{ "::127.0.0.1", true },      { "::8.8.8.8", true },
	{ "::ffff:127.0.0.1", true }, { "::ffff:10.1.2.3", true },
	{ "::ffff:8.8.8.8", false },  { "fe80::1", true },
	{ "fec0::1", true },	      { "fc00::1", true },
	{ "fdff::1", true },	      { "ff02::1", true },
	{ "64:ff9b::7f00:1", true },  { "64:ff9b::8.8.8.8", false },
	{ "64:ff9b:1::1", true },     { "100::1", true },
	{ "2002:7f00:1::1", true },   { "2002:808:808::1", false },
	{ "2001::1", true },	      { "2001:db8::1", true },
	{ "2001:200::1", false },     { "2001:4860:4860::8888", false },
	{ "2606:4700::1111", false }, { "3fff:0::1", true },
	{ "4000::1", true },
};

START_TEST(addresses_inside_are_known)
{
	struct sockaddr_in six_or_four = { 0 };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	const char *text = addresses[_i].address;
	const struct sockaddr *sa = (const void *)&six;

	if (inet_pton(AF_INET, text, &six_or_four.sin_addr) == 1) {
		six_or_four.sin_family = AF_INET;
		sa = (const void *)&six_or_four;
	} else {
		ck_assert_int_eq(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
	}
	ck_assert_msg(egress_is_inside(sa) == addresses[_i].is_inside, "%s", text);
}
END_TEST

START_TEST(another_family_is_inside)
{
	struct sockaddr sa = { .sa_family = AF_UNIX };

	ck_assert(egress_is_inside(&sa));
}
END_TEST

/* ---- a name whose server says nothing ---- */

#define SILENT_NAME "silent.example"
/* Of a test that fails; else the name is let go before. */
#define SILENT_S 20

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned n_asked, n_answered;
	bool is_over;
} names = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void stay_silent(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += SILENT_S;
	pthread_mutex_lock(&names.lock);
	names.n_asked++;
	pthread_cond_broadcast(&names.changed);
	while (!names.is_over && pthread_cond_timedwait(&names.changed, &names.lock,
							&until) == 0)
		;
	names.n_answered++;
	pthread_cond_broadcast(&names.changed);
	pthread_mutex_unlock(&names.lock);
}

/* In front of libc's, for libcurl too. */
__attribute__((visibility("default")))
int getaddrinfo(const char *name, const char *service, const struct addrinfo *want,
		struct addrinfo **out)
{
	int (*real)(const char *, const char *, const struct addrinfo *,
		    struct addrinfo **);

	if (name && strcmp(name, SILENT_NAME) == 0) {
		stay_silent();
		return EAI_AGAIN;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(name, service, want, out);
}

static unsigned names_answered(void)
{
	unsigned n;

	pthread_mutex_lock(&names.lock);
	n = names.n_answered;
	pthread_mutex_unlock(&names.lock);
	return n;
}

/* Waits until so many are; how many they are. */
static unsigned names_asked(unsigned n)
{
	unsigned is;

	pthread_mutex_lock(&names.lock);
	while (names.n_asked < n)
		pthread_cond_wait(&names.changed, &names.lock);
	is = names.n_asked;
	pthread_mutex_unlock(&names.lock);
	return is;
}

static void names_end(void)
{
	pthread_mutex_lock(&names.lock);
	names.is_over = true;
	pthread_cond_broadcast(&names.changed);
	while (names.n_answered < names.n_asked)
		pthread_cond_wait(&names.changed, &names.lock);
	pthread_mutex_unlock(&names.lock);
}

/* ---- a server that says what it is told to say ---- */

static struct {
	int fd;
	unsigned port;
	pthread_t thread;
	const char *answer;              /* NULL: nothing, and it stays open */
	size_t filler;                   /* bytes behind it */
	struct buf request;
	unsigned connections;
} server;

static void *serve(void *data)
{
	static char some[4096];
	int fd;

	memset(some, 'x', sizeof(some));
	while ((fd = accept(server.fd, NULL, NULL)) >= 0) {
		char in[65536];
		ssize_t n;

		server.connections++;
		/* The end of the header, and one read behind it, are enough. */
		while ((n = read(fd, in, sizeof(in))) > 0) {
			buf_add(&server.request, in, (size_t)n);
			if (str_find_str(buf_view(&server.request),
					 STR("\r\n\r\n")) != SIZE_MAX &&
			    (!str_starts(buf_view(&server.request), STR("POST")) ||
			     str_ends(buf_view(&server.request), STR("}"))))
				break;
		}
		if (server.answer &&
		    write(fd, server.answer, strlen(server.answer)) > 0) {
			for (size_t at = 0; at < server.filler; at += n) {
				n = send(fd, some, sizeof(some), MSG_NOSIGNAL);
				if (n <= 0)
					break;
			}
		}
		if (!server.answer)
			while (read(fd, in, sizeof(in)) > 0)
				;
		close(fd);
	}
	return NULL;
}

static void server_start(const char *answer)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);

	memset(&server, 0, sizeof(server));
	server.answer = answer;
	server.fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(server.fd, (void *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(server.fd, 16), 0);
	ck_assert_int_eq(getsockname(server.fd, (void *)&at, &n), 0);
	server.port = ntohs(at.sin_port);
	ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void server_stop(void)
{
	shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.fd);
	buf_fini(&server.request);
}

/* ---- asking ---- */

static struct loop *loop;
static struct http_out *out;
static struct err err;
static enum code rc_told;
static struct err err_told;
static unsigned told;

static void setup_of(struct http_out_config config)
{
	loop = loop_new("home", 0);
	ck_assert_int_eq(http_out_new(&config, &out, &err), OK);
	told = 0;
}

static void setup(void)
{
	setup_of((struct http_out_config){ .allow_private = true });
}

static void setup_outside(void)
{
	setup_of((struct http_out_config){ 0 });
}

/* Three at once, two of them of one. */
static void setup_narrow(void)
{
	setup_of((struct http_out_config){ .allow_private = true, .most = 3,
					   .most_of_one = 2 });
}

static void teardown(void)
{
	http_out_free(&out);
	loop_free(&loop);
}

static void on_done(struct http_ask *ask, enum code rc, const struct err *e)
{
	rc_told = rc;
	if (rc)
		err_copy(&err_told, e);
	told++;
	loop_stop(loop);
}

static enum code ask_url(struct http_ask *ask, const char *url)
{
	ask->home = loop;
	ask->url = str_of(url);
	ask->done = on_done;
	if (!ask->timeout_ms)
		ask->timeout_ms = 5000;
	ck_assert(http_out_ask(out, ask));
	loop_run_here(loop);
	ck_assert_uint_eq(told, 1);
	told = 0;
	return rc_told;
}

static enum code ask_server(struct http_ask *ask)
{
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/hook?a=b", server.port);
	return ask_url(ask, url);
}

START_TEST(a_post_goes_out_as_it_is)
{
	struct http_ask ask = { .is_post = true, .body = STR("{\"a\":1}"),
				.headers = STR("X-One: 1\nX-Two: 2, 3\n") };
	struct str got;

	server_start("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok");
	ck_assert_msg(ask_server(&ask) == OK, "%s", err_told.text);
	got = buf_view(&server.request);
	ck_assert(str_starts(got, STR("POST /hook?a=b HTTP/1.1\r\n")));
	ck_assert_uint_ne(str_find_str(got, STR("\r\nX-One: 1\r\n")), SIZE_MAX);
	ck_assert_uint_ne(str_find_str(got, STR("\r\nX-Two: 2, 3\r\n")), SIZE_MAX);
	ck_assert_uint_eq(str_find_str(got, STR("Expect:")), SIZE_MAX);
	ck_assert(str_ends(got, STR("\r\n\r\n{\"a\":1}")));
	ck_assert_uint_eq(ask.status, 202);
	ck_assert(str_is(buf_view(&ask.answer), "ok"));
	server_stop();
	http_ask_fini(&ask);
}
END_TEST

START_TEST(redirects_are_not_followed)
{
	struct http_ask ask = { 0 };

	server_start("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n"
		     "Content-Length: 0\r\n\r\n");
	ck_assert_int_eq(ask_server(&ask), OK);
	ck_assert_uint_eq(ask.status, 302);
	ck_assert_uint_eq(server.connections, 1);
	server_stop();
	http_ask_fini(&ask);
}
END_TEST

START_TEST(long_answers_are_cut)
{
	struct http_ask ask = { 0 };

	server_start("HTTP/1.0 200 OK\r\n\r\n");
	server.filler = 1024 * 1024;
	ck_assert_int_eq(ask_server(&ask), OK);
	ck_assert_uint_eq(ask.status, 200);
	ck_assert(ask.is_cut);
	ck_assert_uint_eq(ask.answer.n, HTTP_OUT_ANSWER_MAX);
	server_stop();
	http_ask_fini(&ask);
}
END_TEST

START_TEST(a_header_without_end_is_refused)
{
	struct http_ask ask = { 0 };
	AUTO_BUF answer = BUF_NONE;

	buf_z(&answer, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 8000; i++)
		buf_printf(&answer, "X-Header-%d: y\r\n", i);
	buf_z(&answer, "\r\n");
	buf_c(&answer, '\0');
	server_start(answer.p);
	ck_assert_int_eq(ask_server(&ask), E_TOO_LARGE);
	server_stop();
	http_ask_fini(&ask);
}
END_TEST

START_TEST(silence_ends_at_the_timeout)
{
	struct http_ask ask = { .timeout_ms = 200 };

	server_start(NULL);
	ck_assert_int_eq(ask_server(&ask), E_TIMEOUT);
	ck_assert_uint_ge(ask.took_ms, 190);
	server_stop();
	/* It can be asked again, of somebody who answers nobody. */
	ask.timeout_ms = 2000;
	ck_assert_int_eq(ask_server(&ask), E_UNAVAILABLE);
	http_ask_fini(&ask);
}
END_TEST

/* Nor does it hold up the others: one thread does all of them. */
START_TEST(a_name_without_answer_ends_at_the_timeout)
{
	struct http_ask ask = { .timeout_ms = 100 }, other = { 0 };

	server_start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq(ask_url(&ask, "http://" SILENT_NAME "/"), E_TIMEOUT);
	ck_assert_int_eq(ask_server(&other), OK);
	ck_assert_uint_eq(names_answered(), 0);
	names_end();
	server_stop();
	http_ask_fini(&ask);
	http_ask_fini(&other);
}
END_TEST

START_TEST(what_is_no_url_is_refused)
{
	static const char *const urls[] = { "file:///etc/passwd", "gopher://a/",
					    "http://", "", "http://a b/",
					    "dict://127.0.0.1:11211/" };
	struct http_ask ask = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		ck_assert_msg(ask_url(&ask, urls[i]) == E_INVALID, "%s: %s",
			      urls[i], err_told.text);
	}
	http_ask_fini(&ask);
}
END_TEST

/* However it is written. */
START_TEST(nothing_goes_inside)
{
	static const char *const hosts[] = {
		"127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1",
		"0.0.0.0", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]",
		"[::ffff:7f00:1]", "localhost", "user:word@127.0.0.1",
		"169.254.169.254", "10.0.0.1",
	};
	struct http_ask ask = { 0 };

	server_start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		char url[128];

		snprintf(url, sizeof(url), "http://%s:%u/", hosts[i], server.port);
		ck_assert_msg(ask_url(&ask, url) == E_EGRESS, "%s: %d %s", url,
			      (int)rc_told, err_told.text);
		ck_assert_ptr_eq(strstr(err_told.text, "word"), NULL);
	}
	ck_assert_uint_eq(server.connections, 0);
	server_stop();
	http_ask_fini(&ask);
}
END_TEST

START_TEST(what_is_under_way_is_cancelled)
{
	struct http_ask one = { .home = loop, .done = on_done, .timeout_ms = 60000 };
	struct http_ask two = one;
	char url[64];

	server_start(NULL);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", server.port);
	one.url = two.url = str_of(url);
	ck_assert(http_out_ask(out, &one));
	ck_assert(http_out_ask(out, &two));
	http_out_stop(out);
	loop_run_here(loop);
	while (told < 2)
		loop_run_once(loop);
	ck_assert_int_eq(rc_told, E_CANCELLED);
	ck_assert(!http_out_ask(out, &one));
	server_stop();
	http_ask_fini(&one);
	http_ask_fini(&two);
}
END_TEST

/* ---- turns ---- */

static struct http_ask *first_told;

static void on_turn(struct http_ask *ask, enum code rc, const struct err *e)
{
	if (!told++)
		first_told = ask;
	rc_told = rc;
	if (rc)
		err_copy(&err_told, e);
}

static void begin_ask(struct http_ask *ask, unsigned bucket, const char *url)
{
	*ask = (struct http_ask){ .home = loop, .bucket = bucket, .url = str_of(url),
				  .timeout_ms = 60000, .done = on_turn };
	ck_assert(http_out_ask(out, ask));
}

static void run_until(unsigned n)
{
	while (told < n)
		loop_run_once(loop);
}

START_TEST(one_tenant_does_not_take_all_turns)
{
	struct http_ask many[4], other;
	char url[64];

	server_start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", server.port);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		ck_assert(http_out_has_room(out, 1));
		begin_ask(&many[i], 1, "http://" SILENT_NAME "/");
	}
	ck_assert(!http_out_has_room(out, 1));
	ck_assert(http_out_has_room(out, 2));
	begin_ask(&other, 2, url);
	run_until(1);
	ck_assert_ptr_eq(first_told, &other);
	ck_assert_msg(rc_told == OK, "%s", err_told.text);
	names_end();
	run_until(5);
	ck_assert(http_out_has_room(out, 1));
	server_stop();
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		http_ask_fini(&many[i]);
	http_ask_fini(&other);
}
END_TEST

/* Eight at once, of which two are for who has none. */
static void setup_eight(void)
{
	setup_of((struct http_out_config){ .allow_private = true, .most = 8,
					   .most_of_one = 4 });
}

/* Two whose servers hang may have them all by number. */
START_TEST(who_hangs_does_not_have_all_turns)
{
	struct http_ask many[12], other;
	char url[64];

	server_start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", server.port);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		begin_ask(&many[i], 1 + i % 3, "http://" SILENT_NAME "/");
	/* Behind the last of them. */
	names_asked(6);
	for (unsigned i = 0; i < 5; i++) {
		begin_ask(&other, 4 + i, url);
		run_until(1);
		ck_assert_ptr_eq(first_told, &other);
		ck_assert_msg(rc_told == OK, "%s", err_told.text);
		http_ask_fini(&other);
		told = 0;
	}
	names_end();
	run_until(ARRAY_LEN(many));
	server_stop();
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		http_ask_fini(&many[i]);
}
END_TEST

/* Who only ran into timeouts has one turn. */
START_TEST(turns_follow_what_came_of_them)
{
	struct http_ask many[4], other;
	char url[64];

	server_start(NULL);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", server.port);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		many[i] = (struct http_ask){ .home = loop, .done = on_turn,
					     .url = str_of(url), .timeout_ms = 50,
					     .bucket = 1 };
		ck_assert(http_out_ask(out, &many[i]));
	}
	run_until(4);
	ck_assert_int_eq(rc_told, E_TIMEOUT);
	server_stop();
	told = 0;
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		begin_ask(&many[i], 1, "http://" SILENT_NAME "/");
	server_start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", server.port);
	/* What may begin has begun when one behind it is answered. */
	begin_ask(&other, 2, url);
	run_until(1);
	ck_assert_ptr_eq(first_told, &other);
	ck_assert_uint_eq(names_asked(1), 1);
	names_end();
	run_until(1 + ARRAY_LEN(many));
	server_stop();
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		http_ask_fini(&many[i]);
	http_ask_fini(&other);
}
END_TEST

/* Who waited for long has all the time of his own. */
START_TEST(the_time_for_it_begins_with_the_turn)
{
	struct http_ask two[2], last;
	char url[64];

	server_start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", server.port);
	for (size_t i = 0; i < 2; i++) {
		two[i] = (struct http_ask){ .home = loop, .done = on_turn,
					    .url = STR("http://" SILENT_NAME "/"),
					    .timeout_ms = 2500, .bucket = 1 };
		ck_assert(http_out_ask(out, &two[i]));
	}
	last = (struct http_ask){ .home = loop, .done = on_turn, .url = str_of(url),
				  .timeout_ms = 2400, .bucket = 1 };
	ck_assert(http_out_ask(out, &last));
	run_until(3);
	ck_assert_uint_eq(last.status, 200);
	ck_assert_uint_lt(last.took_ms, 2400);
	names_end();
	server_stop();
	for (size_t i = 0; i < 2; i++)
		http_ask_fini(&two[i]);
	http_ask_fini(&last);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hook/http_out");
	TCase *t = tcase_create("egress");

	tcase_add_loop_test(t, addresses_inside_are_known, 0,
			    (int)ARRAY_LEN(addresses));
	tcase_add_test(t, another_family_is_inside);
	suite_add_tcase(s, t);
	t = tcase_create("http_out");
	/* Names are silent for SILENT_S where something is wrong. */
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_post_goes_out_as_it_is);
	tcase_add_test(t, redirects_are_not_followed);
	tcase_add_test(t, long_answers_are_cut);
	tcase_add_test(t, a_header_without_end_is_refused);
	tcase_add_test(t, silence_ends_at_the_timeout);
	tcase_add_test(t, a_name_without_answer_ends_at_the_timeout);
	tcase_add_test(t, what_is_no_url_is_refused);
	tcase_add_test(t, what_is_under_way_is_cancelled);
	suite_add_tcase(s, t);
	t = tcase_create("turns");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup_narrow, teardown);
	tcase_add_test(t, one_tenant_does_not_take_all_turns);
	tcase_add_test(t, the_time_for_it_begins_with_the_turn);
	suite_add_tcase(s, t);
	t = tcase_create("fair");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup_eight, teardown);
	tcase_add_test(t, who_hangs_does_not_have_all_turns);
	tcase_add_test(t, turns_follow_what_came_of_them);
	suite_add_tcase(s, t);
	t = tcase_create("inside");
	tcase_add_checked_fixture(t, setup_outside, teardown);
	tcase_add_test(t, nothing_goes_inside);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
