/* Frames of RPC on the wire. */
#include "unit.h"

#include "rpc/frame.h"

#include "base/banned.h"

static struct err err;
static struct buf bytes;

static void setup(void)
{
	bytes = BUF_NONE;
}

static void teardown(void)
{
	buf_fini(&bytes);
}

static const struct rpc_frame samples[] = {
	{ .type = RPC_F_REQUEST, .id = 1, .body = { "abc", 3 },
	  .request = { 7, 1500, 65536 } },
	{ .type = RPC_F_REQUEST, .id = UINT64_MAX,
	  .request = { UINT16_MAX, UINT32_MAX, UINT32_MAX } },
	{ .type = RPC_F_ANSWER, .id = 300, .body = { "\0\1", 2 } },
	{ .type = RPC_F_ANSWER, .id = 300 },
	{ .type = RPC_F_ANSWER, .id = 2,
	  .answer = { E_CONFLICT, { "it moved", 8 }, { "again", 5 } } },
	{ .type = RPC_F_CANCEL, .id = 9 },
};

START_TEST(what_is_sent_is_what_comes)
{
	const struct rpc_frame *f = &samples[_i];
	struct rpc_frame back;

	rpc_frame_encode(&bytes, f);
	ck_assert_int_eq(rpc_frame_decode(buf_view(&bytes), &back, &err), OK);
	ck_assert_int_eq(back.type, f->type);
	ck_assert_uint_eq(back.id, f->id);
	ck_assert(str_eq(back.body, f->body));
	if (f->type == RPC_F_REQUEST) {
		ck_assert_uint_eq(back.request.method, f->request.method);
		ck_assert_uint_eq(back.request.budget_ms, f->request.budget_ms);
		ck_assert_uint_eq(back.request.answer_max,
				  f->request.answer_max);
	}
	if (f->type == RPC_F_ANSWER) {
		ck_assert_int_eq(back.answer.code, f->answer.code);
		ck_assert(str_eq(back.answer.text, f->answer.text));
		ck_assert(str_eq(back.answer.hint, f->answer.hint));
	}
	ck_assert_uint_le(bytes.n, f->body.n + RPC_FRAME_HEAD_MAX);
}
END_TEST

static const struct {
	const char *bytes;
	size_t n;
	enum code code;
} refused[] = {
	{ "", 0, E_INVALID },
	{ "\1", 1, E_INVALID },
	{ "\2\1\1\1\1\0", 6, E_UNSUPPORTED },            /* version */
	{ "\1\0\1", 3, E_UNSUPPORTED },                  /* type */
	{ "\1\4\1", 3, E_UNSUPPORTED },
	{ "\1\3\0", 3, E_INVALID },                      /* id 0 */
	{ "\1\3\1x", 4, E_INVALID },                     /* left over */
	{ "\1\1\1\1\0\0", 6, E_INVALID },                /* budget 0 */
	{ "\1\1\1\x80\x80\4\1\0", 8, E_INVALID },        /* method 65536 */
	{ "\1\1\1\1\xff\xff\xff\xff\x1f\0", 10, E_INVALID },   /* budget 2^33 */
	{ "\1\1\1\1\1", 5, E_INVALID },                  /* cut */
	{ "\1\2\1\2\5no", 7, E_INVALID },                /* text is cut */
	{ "\1\2\1\2\2no", 7, E_INVALID },                /* hint is missing */
};

START_TEST(what_no_peer_says_is_refused)
{
	struct rpc_frame back;

	ck_assert_int_eq(rpc_frame_decode(str_n(refused[_i].bytes, refused[_i].n),
					  &back, &err), refused[_i].code);
}
END_TEST

START_TEST(a_code_of_another_version_is_an_error_too)
{
	struct rpc_frame back;

	ck_assert_int_eq(rpc_frame_decode(str_n("\1\2\1\xff\7\3new\0", 10),
					  &back, &err), OK);
	ck_assert_int_eq(back.answer.code, E_INTERNAL);
	ck_assert(str_is(back.answer.text, "new"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("rpc/frame");
	TCase *t = tcase_create("frame");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_is_sent_is_what_comes, 0,
			    ARRAY_LEN(samples));
	tcase_add_loop_test(t, what_no_peer_says_is_refused, 0,
			    ARRAY_LEN(refused));
	tcase_add_test(t, a_code_of_another_version_is_an_error_too);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
