/* Header blocks and bodies of HTTP/1.1. */
#include "unit.h"

#include "http/wire/http1.h"

#include "base/banned.h"

static struct arena *arena;
static struct err err;

static void setup(void)
{
	arena = arena_new(0);
}

static void teardown(void)
{
	arena_free(&arena);
}

static enum code request(const char *text, struct http1_head *out)
{
	struct str in = str_of(text);
	size_t scanned = 0, len;
	enum code rc = http1_find(in, 4096, &scanned, &len, &err);

	if (rc)
		return rc;
	ck_assert_uint_eq(len, in.n);
	return http1_request(arena, arena_z(arena, in), len, out, &err);
}

static enum code answer(const char *text, enum http_method to,
			struct http1_head *out)
{
	struct str in = str_of(text);

	return http1_answer(arena, arena_z(arena, in), in.n, to, out, &err);
}

START_TEST(a_request_is_taken_apart)
{
	struct http1_head h;
	const struct str *v;

	ck_assert_int_eq(request("GET /a/b?c=d HTTP/1.1\r\nHOST: x\r\n"
				 "X-Empty:\r\nX-Odd:\t two  words \t\r\n\r\n", &h), OK);
	ck_assert_int_eq(h.method, HTTP_M_GET);
	ck_assert(str_is(h.target, "/a/b?c=d"));
	ck_assert_uint_eq(h.n_headers, 3);
	ck_assert(str_is(h.headers[0].name, "host"));
	v = http_header_find(h.headers, h.n_headers, STR("x-empty"));
	ck_assert_uint_eq(v->n, 0);
	v = http_header_find(h.headers, h.n_headers, STR("x-odd"));
	ck_assert(str_is(*v, "two  words"));
	ck_assert_ptr_null(http_header_find(h.headers, h.n_headers, STR("y")));
	ck_assert_int_eq(h.framing, HTTP1_EMPTY);
	ck_assert(h.keep_alive);
	ck_assert_uint_eq(h.minor, 1);
}
END_TEST

START_TEST(methods_and_targets)
{
	static const struct {
		const char *line, *target;
		enum http_method method;
	} rows[] = {
		{ "HEAD /", "/", HTTP_M_HEAD },
		{ "POST /x", "/x", HTTP_M_POST },
		{ "PUT /x", "/x", HTTP_M_PUT },
		{ "PATCH /x", "/x", HTTP_M_PATCH },
		{ "DELETE /x", "/x", HTTP_M_DELETE },
		{ "OPTIONS *", "*", HTTP_M_OPTIONS },
		{ "TRACE /x", "/x", HTTP_M_OTHER },
		{ "GET http://h:1/x?y", "/x?y", HTTP_M_GET },
		{ "GET HTTPS://h", "/", HTTP_M_GET },
	};
	struct http1_head h;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct str text = arena_printf(arena, "%s HTTP/1.1\r\nhost: h"
					       "\r\n\r\n", rows[i].line);

		ck_assert_msg(request(text.p, &h) == OK, "%s: %s", rows[i].line,
			      err.text);
		ck_assert_int_eq(h.method, rows[i].method);
		ck_assert(str_eq(h.target, str_of(rows[i].target)));
	}
}
END_TEST

START_TEST(keep_alive_follows_version_and_connection)
{
	struct http1_head h;

	ck_assert_int_eq(request("GET / HTTP/1.0\r\n\r\n", &h), OK);
	ck_assert(!h.keep_alive);
	ck_assert_int_eq(request("GET / HTTP/1.0\r\nConnection: Keep-Alive"
				 "\r\n\r\n", &h), OK);
	ck_assert(h.keep_alive);
	ck_assert_int_eq(request("GET / HTTP/1.1\r\nhost: h\r\n"
				 "Connection: te, Close\r\n\r\n", &h), OK);
	ck_assert(!h.keep_alive);
}
END_TEST

START_TEST(framing_of_requests)
{
	struct http1_head h;

	ck_assert_int_eq(request("POST / HTTP/1.1\r\nhost: h\r\n"
				 "Content-Length: 12\r\nExpect: 100-Continue"
				 "\r\n\r\n", &h), OK);
	ck_assert_int_eq(h.framing, HTTP1_LENGTH);
	ck_assert_uint_eq(h.length, 12);
	ck_assert(h.expect_continue);
	ck_assert_int_eq(request("POST / HTTP/1.1\r\nhost: h\r\n"
				 "Content-Length: 0\r\n\r\n", &h), OK);
	ck_assert_int_eq(h.framing, HTTP1_EMPTY);
	ck_assert_int_eq(request("POST / HTTP/1.1\r\nhost: h\r\n"
				 "Transfer-Encoding: Chunked\r\n\r\n", &h), OK);
	ck_assert_int_eq(h.framing, HTTP1_CHUNKED);
}
END_TEST

#define H "GET / HTTP/1.1\r\nhost: h\r\n"
static const struct {
	const char *text;
	enum code code;
	const char *says;
} refused[] = {
	{ H "Content-Length : 4\r\n\r\n", E_INVALID, "space before the colon" },
	{ H "X-Y\t: 4\r\n\r\n", E_INVALID, "space before the colon" },
	{ H "A: b\r\n c\r\n\r\n", E_INVALID, "folded" },
	{ "GET / HTTP/1.1\r\n host: h\r\n\r\n", E_INVALID, "folded" },
	{ H "A: b\nC: d\r\n\r\n", E_INVALID, "bare LF" },
	{ "GET / HTTP/1.1\nhost: h\n\n", E_INVALID, "bare LF" },
	{ "\nGET / HTTP/1.1\r\nhost: h\r\n\r\n", E_INVALID, "bare LF" },
	{ "\r\n\r\nGET / HTTP/1.1\r\nhost: h\r\n\r\n", E_INVALID, "empty lines" },
	{ "GET / HTTP/1.1\r\n\r\n", E_INVALID, "there is none" },
	{ H "Host: i\r\n\r\n", E_INVALID, "more than one" },
	{ H "Content-Length: 4\r\ncontent-length: 4\r\n\r\n", E_INVALID, "" },
	{ H "Content-Length: 4\r\ncontent-length: 5\r\n\r\n", E_INVALID, "" },
	{ H "Content-Length: 4, 4\r\n\r\n", E_INVALID, "" },
	{ H "Content-Length: +4\r\n\r\n", E_INVALID, "" },
	{ H "Content-Length: -4\r\n\r\n", E_INVALID, "" },
	{ H "Content-Length:\r\n\r\n", E_INVALID, "" },
	{ H "Content-Length: 99999999999999999999\r\n\r\n", E_INVALID, "" },
	{ H "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", E_INVALID, "" },
	{ H "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", E_INVALID, "" },
	{ H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	  E_INVALID, "" },
	{ H "Transfer-Encoding: gzip\r\n\r\n", E_UNSUPPORTED, "gzip" },
	{ H "Transfer-Encoding: gzip, chunked\r\n\r\n", E_UNSUPPORTED, "gzip" },
	{ "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", E_INVALID,
	  "HTTP/1.0" },
	{ H ": nothing\r\n\r\n", E_INVALID, "name" },
	{ H "no colon\r\n\r\n", E_INVALID, "" },
	{ H "A: b\001c\r\n\r\n", E_INVALID, "" },
	{ H "A: b\rc\r\n\r\n", E_INVALID, "" },
	{ "GET / HTTP/2.0\r\nhost: h\r\n\r\n", E_UNSUPPORTED, "HTTP/2.0" },
	{ "GET /\r\n\r\n", E_UNSUPPORTED, "HTTP/0.9" },
	{ "BREW / HTTP/1.1\r\nhost: h\r\n\r\n", E_INVALID, "method" },
	{ "GET x HTTP/1.1\r\nhost: h\r\n\r\n", E_INVALID, "" },
	{ "GET * HTTP/1.1\r\nhost: h\r\n\r\n", E_INVALID, "" },
	{ "CONNECT h:1 HTTP/1.1\r\nhost: h\r\n\r\n", E_INVALID, "" },
};

START_TEST(what_others_may_read_differently_is_refused)
{
	struct http1_head h;
	enum code rc = request(refused[_i].text, &h);

	ck_assert_msg(rc == refused[_i].code, "%s: %s", refused[_i].text, err.text);
	ck_assert_msg(strstr(err.text, refused[_i].says), "%s", err.text);
}
END_TEST

START_TEST(a_block_is_found_however_it_arrives)
{
	struct str all = STR("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\nGET /next");
	size_t scanned = 0, len = 0, n;

	for (n = 0; n <= all.n && len == 0; n++)
		ck_assert_int_eq(http1_find(str_first(all, n), 100, &scanned,
					    &len, &err), OK);
	ck_assert_uint_eq(len, all.n - 9);
	ck_assert_uint_eq(n - 1, len);
	scanned = 0;
	ck_assert_int_eq(http1_find(all, 100, &scanned, &len, &err), OK);
	ck_assert_uint_eq(len, all.n - 9);
}
END_TEST

START_TEST(a_block_beyond_the_limit_is_refused_before_it_ends)
{
	struct str in = STR("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	size_t scanned = 0, len;

	ck_assert_int_eq(http1_find(in, in.n, &scanned, &len, &err), OK);
	scanned = 0;
	ck_assert_int_eq(http1_find(in, in.n - 1, &scanned, &len, &err),
			 E_HEADER_LARGE);
	scanned = 0;
	ck_assert_int_eq(http1_find(str_first(in, 20), 19, &scanned, &len, &err),
			 E_HEADER_LARGE);
}
END_TEST

START_TEST(a_hundred_headers_and_no_more)
{
	struct buf b = BUF_NONE;
	struct http1_head h;

	buf_z(&b, "GET / HTTP/1.1\r\nhost: h\r\n");
	for (int i = 0; i < 99; i++)
		buf_printf(&b, "h%d: %d\r\n", i, i);
	buf_z(&b, "\r\n");
	ck_assert_int_eq(request(b.p, &h), OK);
	ck_assert_uint_eq(h.n_headers, 100);
	buf_cut(&b, b.n - 2);
	buf_z(&b, "one: more\r\n\r\n");
	ck_assert_int_eq(request(b.p, &h), E_HEADER_LARGE);
	buf_fini(&b);
}
END_TEST

START_TEST(answers_have_a_status_and_a_framing)
{
	struct http1_head h;

	ck_assert_int_eq(answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
				HTTP_M_GET, &h), OK);
	ck_assert_int_eq(h.status, 200);
	ck_assert_int_eq(h.framing, HTTP1_LENGTH);
	ck_assert_int_eq(answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
				HTTP_M_HEAD, &h), OK);
	ck_assert_int_eq(h.framing, HTTP1_EMPTY);
	ck_assert_int_eq(answer("HTTP/1.1 304 \r\nContent-Length: 3\r\n\r\n",
				HTTP_M_GET, &h), OK);
	ck_assert_int_eq(h.framing, HTTP1_EMPTY);
	ck_assert_int_eq(answer("HTTP/1.0 200 OK\r\n\r\n", HTTP_M_GET, &h), OK);
	ck_assert_int_eq(h.framing, HTTP1_UNTIL_CLOSE);
	ck_assert(!h.keep_alive);
	ck_assert_int_eq(answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
				HTTP_M_GET, &h), OK);
	ck_assert_int_eq(h.framing, HTTP1_EMPTY);
	ck_assert_int_eq(answer("nonsense\r\n\r\n", HTTP_M_GET, &h), E_INVALID);
}
END_TEST

/* Feeds 'in' in pieces of 'step' bytes; what is left over goes to '*rest'. */
static enum code decode(enum http1_framing framing, uint64_t length,
			struct str in, size_t step, struct buf *out,
			struct str *rest)
{
	struct http1_head head = { .framing = framing, .length = length };
	struct http1_body b;

	http1_body_init(&b, &head);
	buf_reset(out);
	while (in.n > 0 && !b.is_done) {
		struct str part = str_first(in, step), at = part;

		while (at.n > 0 && !b.is_done) {
			struct str piece;
			enum code rc = http1_body_next(&b, &at, 20, &piece, &err);

			if (rc)
				return rc;
			buf_str(out, piece);
		}
		in = str_from(in, part.n - at.n);
	}
	*rest = in;
	return b.is_done ? OK : E_LENGTH;
}

START_TEST(bodies_come_in_any_pieces)
{
	static const char chunked[] = "5\r\nhello\r\n0A;x=\"y\"\r\n, "
		"world!!!\r\n0;z\r\nTrailer: t\r\n\r\nNEXT";
	struct buf out = BUF_NONE;
	struct str rest;

	for (size_t step = 1; step < sizeof(chunked); step++) {
		ck_assert_int_eq(decode(HTTP1_CHUNKED, 0, str_n(chunked, sizeof(chunked) - 1), step,
					&out, &rest), OK);
		ck_assert(str_is(buf_view(&out), "hello, world!!!"));
		ck_assert(str_is(rest, "NEXT"));
		ck_assert_int_eq(decode(HTTP1_LENGTH, 5, STR("helloNEXT"), step,
					&out, &rest), OK);
		ck_assert(str_is(buf_view(&out), "hello"));
		ck_assert(str_is(rest, "NEXT"));
	}
	buf_fini(&out);
}
END_TEST

static const char *const broken[] = {
	"\r\n", "g\r\n", "5 \r\nhello\r\n", "5\nhello\r\n", "5\rxhello",
	"5\r\nhelloo\r\n", "5\r\nhello\rx", "5;a\nb\r\nhello", "-5\r\n",
	"fffffffffffffffff\r\n", "0\r\nA: b\n\r\n", "0\r\n\rx", "0\r\nA: b\rx",
};

START_TEST(broken_chunks_are_refused)
{
	struct str in = str_of(broken[_i]), rest;
	struct buf out = BUF_NONE;

	ck_assert_int_eq(decode(HTTP1_CHUNKED, 0, in, in.n, &out, &rest),
			 E_INVALID);
	ck_assert_int_eq(decode(HTTP1_CHUNKED, 0, in, 1, &out, &rest), E_INVALID);
	buf_fini(&out);
}
END_TEST

START_TEST(a_body_has_a_limit)
{
	struct buf out = BUF_NONE;
	struct str rest;

	ck_assert_int_eq(decode(HTTP1_LENGTH, 21, STR("123456789012345678901"),
				21, &out, &rest), E_TOO_LARGE);
	ck_assert_int_eq(decode(HTTP1_CHUNKED, 0, STR("15\r\n1234567890123456"
				"78901\r\n0\r\n\r\n"), 7, &out, &rest), E_TOO_LARGE);
	buf_fini(&out);
}
END_TEST

START_TEST(size_lines_and_trailers_have_a_limit)
{
	struct buf in = BUF_NONE, out = BUF_NONE;
	struct str rest;

	buf_z(&in, "1;");
	for (int i = 0; i < 300; i++)
		buf_c(&in, 'x');
	ck_assert_int_eq(decode(HTTP1_CHUNKED, 0, buf_view(&in), 9, &out, &rest),
			 E_INVALID);
	buf_reset(&in);
	buf_z(&in, "0\r\n");
	for (int i = 0; i < 1000; i++)
		buf_z(&in, "a: b\r\n");
	ck_assert_int_eq(decode(HTTP1_CHUNKED, 0, buf_view(&in), 9, &out, &rest),
			 E_INVALID);
	buf_fini(&in);
	buf_fini(&out);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/wire/http1");
	TCase *t = tcase_create("http1");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_request_is_taken_apart);
	tcase_add_test(t, methods_and_targets);
	tcase_add_test(t, keep_alive_follows_version_and_connection);
	tcase_add_test(t, framing_of_requests);
	tcase_add_loop_test(t, what_others_may_read_differently_is_refused, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(t, a_block_is_found_however_it_arrives);
	tcase_add_test(t, a_block_beyond_the_limit_is_refused_before_it_ends);
	tcase_add_test(t, a_hundred_headers_and_no_more);
	tcase_add_test(t, answers_have_a_status_and_a_framing);
	tcase_add_test(t, bodies_come_in_any_pieces);
	tcase_add_loop_test(t, broken_chunks_are_refused, 0,
			    sizeof(broken) / sizeof(broken[0]));
	tcase_add_test(t, a_body_has_a_limit);
	tcase_add_test(t, size_lines_and_trailers_have_a_limit);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
