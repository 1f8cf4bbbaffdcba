/*
 * Which protocol a connection speaks, and a third one that is this file and nothing
 * else: what struct http_protocol promises is enough to add one.
 *
 *	LINE/1			what it begins with
 *	GET /hello		a request; `POST /echo 5` brings so many bytes
 *
 * An answer is "#number status length" and its bytes; a stream has "-" for the length,
 * and pieces "#number +length", until "#number .".  They come in any order.
 */
#include <stdio.h>
#include <stdlib.h>

#include "http/server/own.h"
#include "lab.h"

#include "base/banned.h"

#define PREFACE "LINE/1\n"

/* ---- the protocol ---- */

struct line_conn {
	struct conn c;                   /* first */
	bool has_begun;
	uint64_t left;                   /* of the body that comes */
	unsigned asked;
};

struct line_request {
	struct exchange x;               /* first */
	unsigned number;
};

static _Atomic(int) n_servers, n_conns, n_requests;
static int counted;

static struct line_conn *line_of(struct conn *c)
{
	return (struct line_conn *)c;
}

static void say(const struct exchange *ex, struct str what, struct str bytes)
{
	unsigned number = ((const struct line_request *)ex)->number;
	char head[64];
	struct stream_vec v[] = { { head, 0 }, { bytes.p, bytes.n } };

	v[0].n = (size_t)snprintf(head, sizeof(head), "#%u %.*s\n", number,
				  STR_ARG(what));
	stream_write(ex->conn->stream, v, bytes.n ? 2 : 1);
}

static void *line_server_new(struct http_server *s)
{
	n_servers++;
	return &counted;
}

static void line_server_free(void *state)
{
	ck_assert_ptr_eq(state, &counted);
	n_servers--;
}

extern const struct http_protocol line_protocol;

static void line_start(struct conn *c)
{
	ck_assert_ptr_eq(server_state(c->server, &line_protocol), &counted);
	ck_assert(!line_of(c)->has_begun);
	n_conns++;
}

static void read_body(struct conn *c, struct str *in)
{
	struct exchange *ex = c->reading;
	struct str piece = str_first(*in, line_of(c)->left);
	bool is_last = piece.n == line_of(c)->left;

	*in = str_from(*in, piece.n);
	line_of(c)->left -= piece.n;
	if (is_last)
		c->reading = NULL;
	if (exchange_tells_body(ex)) {
		exchange_body(ex, piece, is_last);
		return;
	}
	buf_str(&ex->body, piece);
	ex->is_body_whole = is_last;
	if (is_last)
		exchange_handle(ex);
}

static void ask(struct conn *c, struct str line)
{
	struct exchange *ex = conn_ask(c);
	uint64_t length = 0;

	n_requests++;
	ck_assert_uint_eq(((struct line_request *)ex)->number, 0);
	((struct line_request *)ex)->number = ++line_of(c)->asked;
	ex->r.method = str_is(str_cut(&line, ' '), "POST") ? HTTP_M_POST : HTTP_M_GET;
	ex->r.in->target = arena_str(ex->r.arena, str_cut(&line, ' '));
	ex->has_body = str_u64(line, &length) && length;
	ex->is_body_whole = !ex->has_body;
	ex->keep_alive = true;
	if (!exchange_open(ex))
		return;
	line_of(c)->left = length;
	if (ex->has_body)
		c->reading = ex;
	if (!ex->has_body || exchange_tells_body(ex))
		exchange_handle(ex);
}

static void line_read(struct conn *c, struct str *in)
{
	struct str line;
	size_t n;

	while (in->n && conn_may_read(c)) {
		if (c->reading) {
			read_body(c, in);
			continue;
		}
		n = str_find_str(*in, STR("\n"));
		if (n == SIZE_MAX)
			return;
		line = str_first(*in, n);
		*in = str_from(*in, n + 1);
		if (line_of(c)->has_begun)
			ask(c, line);
		line_of(c)->has_begun = true;
	}
}

static bool line_has_room(const struct conn *c)
{
	return stream_pending(c->stream) < c->server->config.limits.pending_bytes &&
		!(c->reading && c->reading->is_body_paused);
}

static void line_flush(struct conn *c)
{
}

static void line_answer(struct exchange *ex, const char *content_type,
			const struct stream_vec *v, unsigned n, uint64_t length)
{
	struct str piece;
	char head[40];

	snprintf(head, sizeof(head), "%d %llu", ex->status, (unsigned long long)length);
	say(ex, str_of(head), STR_NONE);
	if (n)
		stream_write(ex->conn->stream, v, n);
	while (ex->source && exchange_read(ex, &piece)) {
		struct stream_vec one = { piece.p, piece.n };

		stream_write(ex->conn->stream, &one, 1);
		ex->source->at += piece.n;
	}
}

static void line_begin(struct exchange *ex, const char *content_type)
{
	char head[40];

	snprintf(head, sizeof(head), "%d -", ex->status);
	say(ex, str_of(head), STR_NONE);
}

static void line_chunk(struct exchange *ex, struct str bytes)
{
	char head[40];

	snprintf(head, sizeof(head), "+%zu", bytes.n);
	say(ex, str_of(head), bytes);
}

static void line_end(struct exchange *ex)
{
	say(ex, STR("."), STR_NONE);
}

static size_t line_pending(const struct exchange *ex)
{
	return stream_pending(ex->conn->stream);
}

static void line_forget(struct exchange *ex)
{
	n_requests--;
}

static void line_writable(struct conn *c)
{
	struct exchange *ex;

	list_each(&c->exchanges, ex, at_)
		if (ex->on_drain)
			ex->on_drain(&ex->r);
}

/* Requests that are held end with the connection. */
static bool line_eof(struct conn *c)
{
	conn_last(c, "the client has ended");
	return true;
}

static void line_settle(struct conn *c)
{
	if (c->server->is_draining && c->n_exchanges == 0)
		conn_last(c, "the server ends");
}

static void line_expired(struct conn *c)
{
	conn_last(c, "too slow");
}

static void line_free(struct conn *c)
{
	n_conns--;
}

const struct http_protocol line_protocol = {
	.alpn = "line/1",
	.preface = { PREFACE, sizeof(PREFACE) - 1 },
	.conn_bytes = sizeof(struct line_conn),
	.exchange_bytes = sizeof(struct line_request),
	.server_new = line_server_new,
	.server_free = line_server_free,
	.start = line_start,
	.read = line_read,
	.has_room = line_has_room,
	.flush = line_flush,
	.answer = line_answer,
	.begin = line_begin,
	.chunk = line_chunk,
	.end = line_end,
	.pending = line_pending,
	.done = exchange_free,
	.forget = line_forget,
	.writable = line_writable,
	.eof = line_eof,
	.settle = line_settle,
	.expired = line_expired,
	.free = line_free,
};

/* The line in the table; the others are as they were. */
static const struct http_protocol *three[8] = { &line_protocol };

/* ---- it is served ---- */

static int fd;

static void setup(void)
{
	for (size_t i = 0; http_protocols[i]; i++)
		three[1 + i] = http_protocols[i];
	lab_setup();
	lab_protocols = three;
	lab_start();
	fd = client_new();
}

static void teardown(void)
{
	client_close(fd);
	lab_teardown();
	ck_assert_int_eq(n_servers, 0);
	ck_assert_int_eq(n_conns, 0);
	ck_assert_int_eq(n_requests, 0);
}

START_TEST(a_third_protocol_gets_whole_answers)
{
	const char *heard;

	client_say(fd, PREFACE "GET /hello\nGET /args/a/b?q=c\nGET /nowhere\n");
	ck_assert_str_eq(client_hear(fd, "hello"), "#1 200 5\nhello");
	ck_assert_str_eq(client_hear(fd, "[c]"), "#2 200 9\n[a][b][c]");
	client_hear(fd, "#3 404 ");
	client_hear(fd, "}\n");
	client_say(fd, "GET /nothing\nGET /source/100000\nGET /hello\n");
	client_hear(fd, "#4 204 0\n#5 200 100000\n");
	heard = client_hear(fd, "#6 200 5\nhello");
	ck_assert(memcmp(heard, lab_source_bytes(), 100000) == 0);
}
END_TEST

START_TEST(a_third_protocol_may_answer_in_another_order)
{
	client_say(fd, PREFACE "GET /later\nGET /hello\n");
	ck_assert_str_eq(client_hear(fd, "hello"), "#2 200 5\nhello");
	lab_answer_later("now");
	ck_assert_str_eq(client_hear(fd, "now"), "#1 200 3\nnow");
}
END_TEST

START_TEST(a_third_protocol_has_bodies)
{
	client_say(fd, PREFACE "POST /echo 5\nab");
	client_say(fd, "cdeGET /hello\n");
	ck_assert_str_eq(client_hear(fd, "hello"), "#1 200 6\n:abcde#2 200 5\nhello");
	client_say(fd, "POST /both 6\nxyz");
	ck_assert_str_eq(client_hear(fd, "xyz"), "#3 200 -\n#3 +3\nxyz");
	client_say(fd, "uvw");
	ck_assert_str_eq(client_hear(fd, ".\n"), "#3 +3\nuvw#3 .\n");
	client_say(fd, "POST /paused 4\nab");
	lab_take_body();
	lab_wait_pieces(1);
	client_say(fd, "cd");
	lab_resume_body();
	lab_wait_body();
	client_hear(fd, "<4 bytes, ");
}
END_TEST

START_TEST(a_third_protocol_has_streams)
{
	client_say(fd, PREFACE "GET /stream\nGET /hello\n");
	ck_assert_str_eq(client_hear(fd, "hello"),
			 "#1 200 -\n#1 +6\nfirst #2 200 5\nhello");
	lab_chunk("more");
	ck_assert_str_eq(client_hear(fd, "more"), "#1 +4\nmore");
	lab_end_stream();
	ck_assert_str_eq(client_hear(fd, ".\n"), "#1 .\n");
	client_say(fd, "GET /stream\n");
	client_hear(fd, "first ");
	client_half_close(fd);
	lab_wait_gone(1);
}
END_TEST

START_TEST(a_third_protocol_is_known_by_its_first_bytes)
{
	int other = client_new(), third = client_new();

	for (const char *p = PREFACE; *p; p++)
		client_say_n(fd, p, 1);
	client_say(fd, "GET /hello\n");
	client_say(other, "GET /hello HTTP/1.1\r\nhost: h\r\n\r\n");
	/* It might have been. */
	client_say(third, "LIN /hello HTTP/1.1\r\nhost: h\r\n\r\n");
	ck_assert_str_eq(client_hear(fd, "hello"), "#1 200 5\nhello");
	client_hear(other, "HTTP/1.1 200 OK\r\n");
	client_hear(third, "HTTP/1.1 ");
	client_close(other);
	client_close(third);
}
END_TEST

START_TEST(a_third_protocol_drains)
{
	client_say(fd, PREFACE "GET /later\n");
	lab_wait_later(1);
	lab_drain(10000);
	lab_answer_later("last");
	ck_assert_str_eq(client_hear_end(fd), "#1 200 4\nlast");
	lab_wait_drained();
}
END_TEST

/* ---- which it is ---- */

static const char *found(const char *alpn, const char *in)
{
	const struct http_protocol *p = protocol_find(three, alpn, str_of(in));

	return p ? p->alpn : "not yet";
}

START_TEST(alpn_decides)
{
	ck_assert_str_eq(found("h2", ""), "h2");
	ck_assert_str_eq(found("http/1.1", "PRI * HTTP/2.0"), "http/1.1");
	ck_assert_str_eq(found("line/1", "GET /"), "line/1");
	/* What nobody offered. */
	ck_assert_str_eq(found("line", PREFACE), "http/1.1");
}
END_TEST

START_TEST(else_the_first_bytes_do)
{
	ck_assert_str_eq(found(NULL, ""), "not yet");
	ck_assert_str_eq(found(NULL, "P"), "not yet");
	ck_assert_str_eq(found(NULL, "POST / HTTP/1.1"), "http/1.1");
	ck_assert_str_eq(found(NULL, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"), "not yet");
	ck_assert_str_eq(found(NULL, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "h2");
	ck_assert_str_eq(found(NULL, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore"), "h2");
	ck_assert_str_eq(found(NULL, "LINE/"), "not yet");
	ck_assert_str_eq(found(NULL, "LINE/2"), "http/1.1");
	ck_assert_str_eq(found(NULL, PREFACE "GET /"), "line/1");
}
END_TEST

START_TEST(what_is_offered_is_what_the_table_has)
{
	char text[HTTP_ALPN_BYTES];

	http_alpn(text);
	ck_assert_str_eq(text, "h2,http/1.1");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/server/protocol");
	TCase *t = tcase_create("third");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_third_protocol_gets_whole_answers);
	tcase_add_test(t, a_third_protocol_may_answer_in_another_order);
	tcase_add_test(t, a_third_protocol_has_bodies);
	tcase_add_test(t, a_third_protocol_has_streams);
	tcase_add_test(t, a_third_protocol_is_known_by_its_first_bytes);
	tcase_add_test(t, a_third_protocol_drains);
	suite_add_tcase(s, t);
	t = tcase_create("which");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, alpn_decides);
	tcase_add_test(t, else_the_first_bytes_do);
	tcase_add_test(t, what_is_offered_is_what_the_table_has);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
