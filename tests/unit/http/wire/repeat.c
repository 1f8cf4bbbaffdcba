/* Requests that come again on one connection, byte for byte. */
#include "unit.h"

#include "http/wire/http1.h"

#include "base/banned.h"

#define AGAIN "GET /a/b?c=d HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nX-Odd: v \r\n\r\n"

static struct arena *arena;
static struct http1_repeat *repeat;

static void setup(void)
{
	arena = arena_new(0);
}

static void teardown(void)
{
	http1_repeat_free(&repeat);
	arena_free(&arena);
}

static void keep(const char *text)
{
	struct str raw = str_of(text);
	char *block = arena_z(arena, raw);
	struct http1_head head;
	struct err err;

	ck_assert_msg(http1_request(arena, block, raw.n, &head, &err) == OK, "%s",
		      err.text);
	http1_repeat_keep(&repeat, raw, block, &head);
}

START_TEST(it_reads_as_it_did)
{
	const char *text = _i ? "\r\n" AGAIN "rest" : AGAIN "rest";
	struct arena *mine = arena_new(0);
	struct http1_head again;

	keep(_i ? "\r\n" AGAIN : AGAIN);
	ck_assert(http1_repeat_is(repeat, str_of(text)));
	/* Its strings are neither those of the first one nor those kept. */
	arena_reset(arena);
	memset(arena_alloc(arena, 1024), 'z', 1024);
	ck_assert_uint_eq(http1_repeat_take(repeat, str_of(text), mine, &again),
			  strlen(text) - strlen("rest"));
	http1_repeat_free(&repeat);
	ck_assert_int_eq(again.method, HTTP_M_GET);
	ck_assert_uint_eq(again.minor, 1);
	ck_assert(again.keep_alive && again.framing == HTTP1_EMPTY);
	ck_assert(str_is(again.target, "/a/b?c=d"));
	ck_assert_uint_eq(again.n_headers, 3);
	ck_assert(str_is(again.headers[0].name, "host"));
	ck_assert(str_is(again.headers[0].value, "x"));
	ck_assert(str_is(again.headers[1].name, "x-empty"));
	ck_assert_uint_eq(again.headers[1].value.n, 0);
	ck_assert(str_is(again.headers[2].name, "x-odd"));
	ck_assert(str_is(again.headers[2].value, "v"));
	arena_free(&mine);
}
END_TEST

#define TRACED(trace) "GET / HTTP/1.1\r\nTraceParent: " trace "\r\nHost: x\r\n\r\n"
#define TRACE_1 "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define TRACE_2 "00-1BF7651916cd43dd8448eb211c80319c-a7ad6b7169203331-00"

START_TEST(another_trace_is_read_anew)
{
	struct http1_head again;
	struct str trace;

	keep(TRACED(TRACE_1));
	ck_assert(http1_repeat_is(repeat, STR(TRACED(TRACE_1) "rest")));
	ck_assert(http1_repeat_is_all(repeat, STR(TRACED(TRACE_2))));
	trace = http1_repeat_trace(repeat, STR(TRACED(TRACE_2)));
	ck_assert(str_is(trace, TRACE_2));
	http1_repeat_take(repeat, STR(TRACED(TRACE_2)), arena, &again);
	ck_assert_uint_eq(again.n_headers, 2);
	ck_assert(str_is(again.headers[0].name, "traceparent"));
	ck_assert(str_is(again.headers[0].value, TRACE_2));
	ck_assert(str_is(again.headers[1].value, "x"));
}
END_TEST

START_TEST(what_is_no_trace_is_another)
{
	static const char *const others[] = {
		TRACED("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g"),
		TRACED("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0 "),
		TRACED("00-0af7651916cd43dd8448eb211c80319c\r\nx:7169203331-01"),
		TRACED("00-0af7651916cd43dd8448eb211c80319c0b7ad6b7169203331-01"),
		TRACED("-0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
		"GET / HTTP/1.1\r\nTraceParent: " TRACE_2 "\r\nHost: y\r\n\r\n",
		"GET ? HTTP/1.1\r\nTraceParent: " TRACE_2 "\r\nHost: x\r\n\r\n",
	};

	keep(TRACED(TRACE_1));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		ck_assert_msg(!http1_repeat_is(repeat, str_of(others[i])), "%zu", i);
}
END_TEST

/* They are the same where all is. */
START_TEST(of_another_form_or_twice)
{
	static const char *const rows[] = {
		TRACED("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"),
		TRACED("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x"),
		TRACED(""),
		TRACED(TRACE_1 "\r\ntraceparent: " TRACE_1),
	};
	AUTO_BUF other = BUF_NONE;

	keep(rows[_i]);
	ck_assert(http1_repeat_is_all(repeat, str_of(rows[_i])));
	ck_assert_uint_eq(http1_repeat_trace(repeat, str_of(rows[_i])).n, 0);
	if (_i == 2)
		return;
	buf_z(&other, rows[_i]);
	other.p[str_find_str(buf_view(&other), STR("0af7"))] = '1';
	ck_assert(!http1_repeat_is(repeat, buf_view(&other)));
}
END_TEST

START_TEST(another_is_another)
{
	static const char *const others[] = {
		"", "GET /a", "GET /a/b?c=e HTTP/1.1\r\nHost: x\r\nX-Empty:\r\n"
		"X-Odd: v \r\n\r\n", "\r\n" AGAIN,
		"GET /a/b?c=d HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nX-Odd: v \r\n\r",
	};

	ck_assert(!http1_repeat_is(repeat, STR(AGAIN)));
	keep(AGAIN);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		ck_assert_msg(!http1_repeat_is(repeat, str_of(others[i])), "%zu", i);
	/* The last one counts. */
	keep("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	ck_assert(!http1_repeat_is(repeat, STR(AGAIN)));
}
END_TEST

START_TEST(what_is_not_kept)
{
	static char large[4096];
	static const char *const rows[] = {
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n"
		"Upgrade: websocket\r\n\r\n",
		/* Its target is not in it. */
		"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n",
		large,
	};

	snprintf(large, sizeof(large), "GET /%0*d HTTP/1.1\r\nHost: x\r\n\r\n",
		 3000, 0);
	keep(AGAIN);
	keep(rows[_i]);
	ck_assert_ptr_null(repeat);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/wire/repeat");
	TCase *t = tcase_create("repeat");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, it_reads_as_it_did, 0, 2);
	tcase_add_test(t, another_trace_is_read_anew);
	tcase_add_test(t, what_is_no_trace_is_another);
	tcase_add_loop_test(t, of_another_form_or_twice, 0, 4);
	tcase_add_test(t, another_is_another);
	tcase_add_loop_test(t, what_is_not_kept, 0, 5);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
