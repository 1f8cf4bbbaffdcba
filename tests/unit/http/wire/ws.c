/* WebSocket: each side with the other, and with what must not be. */
#include "unit.h"

#include "http/wire/ws.h"

#include "base/banned.h"

static struct end {
	struct ws *ws;
	struct buf out, heard;
	unsigned code;                   /* that it was closed with */
	struct buf reason;

} server, client;

static void on_message(void *data, bool is_text, struct str bytes)
{
	struct end *e = data;

	buf_printf(&e->heard, "%s%zu:", is_text ? "t" : "b", bytes.n);
	buf_str(&e->heard, str_first(bytes, 40));
	buf_c(&e->heard, ' ');
	if (str_is(bytes, "bye"))
		ws_put_close(e->ws, &e->out, WS_GOING_AWAY, STR("bye, too"));
}

static void on_closed(void *data, unsigned code, struct str reason)
{
	struct end *e = data;

	ck_assert_uint_eq(e->code, 0);
	e->code = code;
	buf_str(&e->reason, reason);
}

static const struct ws_ops ops = { on_message, on_closed };

static void setup(void)
{
	server = (struct end){ .ws = ws_new(WS_SERVER, 100000, &ops, &server) };
	client = (struct end){ .ws = ws_new(WS_CLIENT, 100000, &ops, &client) };
}

static void end_fini(struct end *e)
{
	ws_free(&e->ws);
	buf_fini(&e->out);
	buf_fini(&e->heard);
	buf_fini(&e->reason);
}

static void teardown(void)
{
	end_fini(&server);
	end_fini(&client);
}

/* What one has put comes to the other, in pieces of up to 'most' bytes. */
static enum ws_state pass(struct end *from, struct end *to, size_t most)
{
	AUTO_BUF bytes = from->out;
	struct str in = buf_view(&bytes);
	enum ws_state state = ws_state(to->ws);

	from->out = BUF_NONE;
	for (; in.n; in = str_from(in, MIN(in.n, most)))
		state = ws_take(to->ws, str_first(in, most), &to->out);
	return state;
}

START_TEST(messages_arrive_however_they_are_cut)
{
	static const size_t sizes[] = { 0, 1, 125, 126, 127, 4096, 65535, 65536,
					100000 };
	AUTO_BUF want = BUF_NONE;
	AUTO_BUF text = BUF_NONE;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		buf_reset(&text);
		for (size_t k = 0; k < sizes[i]; k++)
			buf_c(&text, (char)('a' + k % 26));
		ws_put(client.ws, &client.out, i % 2, buf_view(&text));
		ws_put(server.ws, &server.out, i % 2, buf_view(&text));
		buf_printf(&want, "%s%zu:%.*s ", i % 2 ? "t" : "b", sizes[i],
			   (int)MIN(sizes[i], 40u), text.n ? text.p : "");
	}
	ck_assert_int_eq(pass(&client, &server, (size_t)_i), WS_OPEN);
	ck_assert_str_eq(server.heard.p, want.p);
	ck_assert_int_eq(pass(&server, &client, (size_t)_i), WS_OPEN);
	ck_assert_str_eq(client.heard.p, want.p);
}
END_TEST

START_TEST(a_ping_is_answered_with_what_it_brings)
{
	/* Masked with zeros. */
	static const char ping[] = "\x89\x84\0\0\0\0ping";

	ck_assert_int_eq(ws_take(server.ws, str_n(ping, 10), &server.out), WS_OPEN);
	ck_assert_uint_eq(server.out.n, 6);
	ck_assert_mem_eq(server.out.p, "\x8a\x04ping", 6);
	buf_reset(&server.out);
	ws_put_ping(server.ws, &server.out);
	ck_assert_int_eq(pass(&server, &client, 1), WS_OPEN);
	ck_assert_int_eq(pass(&client, &server, 1), WS_OPEN);
	ck_assert_uint_eq(server.heard.n + client.heard.n, 0);
}
END_TEST

START_TEST(who_closes_waits_for_the_other)
{
	ws_put_close(client.ws, &client.out, WS_NORMAL, STR("done"));
	ck_assert_int_eq(ws_state(client.ws), WS_CLOSING);
	/* Nothing is said behind it. */
	ws_put(client.ws, &client.out, true, STR("more"));
	ck_assert_int_eq(pass(&client, &server, 3), WS_OVER);
	ck_assert_uint_eq(server.code, 1000);
	ck_assert_str_eq(server.reason.p, "done");
	ck_assert_uint_eq(server.heard.n, 0);
	ck_assert_int_eq(pass(&server, &client, 3), WS_OVER);
	ck_assert_uint_eq(client.code, 0);
}
END_TEST

START_TEST(both_may_close_at_once)
{
	ws_put_close(client.ws, &client.out, WS_NORMAL, STR_NONE);
	ws_put_close(server.ws, &server.out, WS_GOING_AWAY, STR_NONE);
	ck_assert_int_eq(pass(&client, &server, 100), WS_OVER);
	ck_assert_int_eq(pass(&server, &client, 100), WS_OVER);
	ck_assert_uint_eq(server.out.n + client.out.n, 0);
}
END_TEST

START_TEST(what_hears_a_message_may_close)
{
	ws_put(client.ws, &client.out, true, STR("bye"));
	ws_put(client.ws, &client.out, true, STR("unheard"));
	ck_assert_int_eq(pass(&client, &server, 100), WS_CLOSING);
	ck_assert_str_eq(server.heard.p, "t3:bye ");
	ck_assert_int_eq(pass(&server, &client, 100), WS_OVER);
	ck_assert_uint_eq(client.code, 1001);
	ck_assert_str_eq(client.reason.p, "bye, too");
	ck_assert_int_eq(pass(&client, &server, 100), WS_OVER);
}
END_TEST

START_TEST(a_long_reason_is_cut_between_letters)
{
	char text[200];

	memset(text, 'x', sizeof(text));
	memcpy(text + 122, "\xc3\xa4", 2);
	ws_put_close(server.ws, &server.out, WS_POLICY, str_n(text, sizeof(text)));
	ck_assert_int_eq(pass(&server, &client, 100), WS_OVER);
	ck_assert_uint_eq(client.code, 1008);
	ck_assert_uint_eq(client.reason.n, 122);
}
END_TEST

/* What a server may not be sent; a mask of zeros changes nothing. */
#define MASK "\0\0\0\0"
#define BYTES(text) { text, sizeof(text) - 1 }
static const struct {
	struct { const char *p; size_t n; } in;
	unsigned code;
} wrong[] = {
	{ BYTES("\x81\x02{}"), 1002 },                  /* no mask */
	{ BYTES("\xc1\x80" MASK), 1002 },               /* RSV1 */
	{ BYTES("\x83\x80" MASK), 1002 },               /* unknown */
	{ BYTES("\x8b\x80" MASK), 1002 },
	{ BYTES("\x80\x80" MASK), 1002 },               /* nothing goes on */
	{ BYTES("\x01\x80" MASK "\x81\x80" MASK), 1002 },
	{ BYTES("\x09\x80" MASK), 1002 },               /* a ping in pieces */
	{ BYTES("\x88\x81" MASK "x"), 1002 },
	{ BYTES("\x88\x82" MASK "\x03\xed"), 1002 },    /* 1005 */
	{ BYTES("\x88\x82" MASK "\x03\xe7"), 1002 },    /* 999 */
	{ BYTES("\x88\x82" MASK "\x13\x88"), 1002 },    /* 5000 */
	{ BYTES("\x88\x83" MASK "\x03\xe8\xff"), 1007 },
	{ BYTES("\x81\x81" MASK "\xff"), 1007 },
	{ BYTES("\x01\x81" MASK "\xc3" "\x80\x81" MASK "("), 1007 },
	{ BYTES("\x82\xff\0\0\0\0\0\x01\x86\xa1" MASK "x"), 1009 },     /* 100,001 */
	{ BYTES("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" MASK "x"), 1002 },
};

START_TEST(what_must_not_be_is_closed_with_its_code)
{
	struct str in = str_n(wrong[_i].in.p, wrong[_i].in.n);

	ck_assert_int_eq(ws_take(server.ws, in, &server.out), WS_CLOSING);
	ck_assert_uint_eq(server.code, wrong[_i].code);
	ck_assert_uint_eq(server.heard.n, 0);
	/* What comes then is not looked at. */
	ck_assert_int_eq(ws_take(server.ws, in, &server.out), WS_CLOSING);
	ck_assert_int_eq(pass(&server, &client, 100), WS_OVER);
	ck_assert_uint_eq(client.code, wrong[_i].code);
}
END_TEST

START_TEST(a_client_takes_no_masks)
{
	ck_assert_int_eq(ws_take(client.ws, str_n("\x81\x80" MASK, 6),
				 &client.out), WS_CLOSING);
	ck_assert_uint_eq(client.code, 1002);
}
END_TEST

START_TEST(the_key_is_answered)
{
	static const char *const bad[] = { "", "abc", "dGhlIHNhbXBsZSBub25jZQ=",
					   "dGhlIHNhbXBsZSBub25jZTE=", "!!!!" };
	AUTO_BUF out = BUF_NONE;

	/* Of RFC 6455, 1.3. */
	ck_assert(ws_accept(&out, STR("dGhlIHNhbXBsZSBub25jZQ==")));
	ck_assert_str_eq(out.p, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!ws_accept(&out, str_of(bad[i])), "%s", bad[i]);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/wire/ws");
	TCase *t = tcase_create("ws");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, messages_arrive_however_they_are_cut, 1, 8);
	tcase_add_test(t, a_ping_is_answered_with_what_it_brings);
	tcase_add_test(t, who_closes_waits_for_the_other);
	tcase_add_test(t, both_may_close_at_once);
	tcase_add_test(t, what_hears_a_message_may_close);
	tcase_add_test(t, a_long_reason_is_cut_between_letters);
	tcase_add_loop_test(t, what_must_not_be_is_closed_with_its_code, 0,
			    ARRAY_LEN(wrong));
	tcase_add_test(t, a_client_takes_no_masks);
	tcase_add_test(t, the_key_is_answered);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
