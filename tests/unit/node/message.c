/* Messages between engines on the wire. */
#include "unit.h"

#include "node/message.h"

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

static struct engine_entry entries[] = {
	{ 3, ENGINE_COMMAND, { "abc", 3 } },
	{ 3, ENGINE_BARRIER, { "", 0 } },
	{ 1ull << 40, ENGINE_CHANGE, { "conf", 4 } },
};

static struct chain_point points[] = {
	{ 1024, { 1, 2, 3 } }, { 1ull << 50, { [31] = 255 } },
};

static const struct engine_message samples[] = {
	{ .type = ENGINE_M_APPEND, .term = 4,
	  .append = { 7, 3, 6, entries, 3 } },
	{ .type = ENGINE_M_APPEND, .term = 4, .append = { 0, 0, 0, NULL, 0 } },
	{ .type = ENGINE_M_APPEND_RESULT, .term = 4, .append_result = { 9, 8 } },
	{ .type = ENGINE_M_VOTE, .term = 4, .vote = { 2, 9, 3, true, false } },
	{ .type = ENGINE_M_VOTE_RESULT, .term = UINT64_MAX,
	  .vote_result = { true, true } },
	{ .type = ENGINE_M_INSTALL, .term = 4,
	  .install = { 100, 3, 1, { "conf", 4 } } },
	{ .type = ENGINE_M_TIMEOUT_NOW, .term = 4, .timeout_now = { 5, 6 } },
	{ .type = ENGINE_M_READ_ROUND, .term = 4, .read = { 1ull << 40, 0 } },
	{ .type = ENGINE_M_READ_AGREED, .term = 4, .read = { 7, 0 } },
	{ .type = ENGINE_M_READ_ASK, .term = 4, .read = { 8, 0 } },
	{ .type = ENGINE_M_READ_ANSWER, .term = 4, .read = { 8, 99 } },
	{ .type = ENGINE_M_CHAIN, .term = 4, .chain = { points, 2 } },
	{ .type = ENGINE_M_CHAIN, .term = 4 },
	{ .type = ENGINE_M_TURN, .term = 4, .turn = { TURN_ASK } },
	{ .type = ENGINE_M_TURN, .term = 4, .turn = { TURN_BUSY } },
};

static struct str encoded(const struct engine_message *m)
{
	AUTO_BUF b = BUF_NONE;

	message_encode(&b, m);
	return arena_str(arena, buf_view(&b));
}

START_TEST(what_is_sent_is_what_comes)
{
	struct engine_message back;
	struct str bytes = encoded(&samples[_i]);

	ck_assert_int_eq(message_decode(arena, bytes, &back, &err), OK);
	ck_assert_int_eq(back.type, samples[_i].type);
	ck_assert_uint_eq(back.term, samples[_i].term);
	ck_assert(str_eq(encoded(&back), bytes));
}
END_TEST

START_TEST(what_is_cut_or_longer_is_refused)
{
	struct engine_message back;
	struct str bytes = encoded(&samples[_i]);

	for (size_t n = 0; n < bytes.n; n++)
		ck_assert_int_ne(message_decode(arena, str_first(bytes, n), &back,
						&err), OK);
	bytes = arena_printf(arena, "%.*s!", STR_ARG(bytes));
	ck_assert_int_ne(message_decode(arena, bytes, &back, &err), OK);
}
END_TEST

START_TEST(a_claim_of_entries_must_fit_what_is_there)
{
	/* Format, type, term, previous index and term, commit, number. */
	static const char claim[] = "\1\1\4\0\0\0\xff\xff\x03";
	struct engine_message back;

	ck_assert_int_eq(message_decode(arena, str_n(claim, sizeof(claim) - 1), &back, &err),
			 E_INVALID);
	ck_assert_uint_lt(arena_used(arena), 4096);
}
END_TEST

static const struct {
	const char *bytes;
	size_t n;
	enum code code;
} refused[] = {
	{ "\2\1\4\0\0\0\0", 7, E_UNSUPPORTED },           /* format */
	{ "\1\15\4", 3, E_UNSUPPORTED },                  /* type */
	{ "\1\0\4", 3, E_UNSUPPORTED },
	{ "\1\1\0\0\0\0\0", 7, E_INVALID },               /* term 0 */
	{ "\1\1\4\5\0\0\0", 7, E_INVALID },               /* index without term */
	{ "\1\1\4\0\0\0\1\0\1\0", 10, E_INVALID },        /* entry of term 0 */
	{ "\1\1\4\0\0\0\1\1\4\0", 10, E_INVALID },        /* entry of type 4 */
	{ "\1\4\4\2\0", 5, E_INVALID },                   /* no boolean */
	{ "\1\3\4\0\1\1\0\0", 8, E_INVALID },             /* candidate 0 */
	{ "\1\5\4\0\1\1\1x", 8, E_INVALID },              /* snapshot at 0 */
	{ "\1\13\4\2short", 9, E_INVALID },             /* two points */
	{ "\1\13\4\1\0ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", 37,
	  E_INVALID },                                   /* point at 0 */
	{ "\1\14\4\0", 4, E_INVALID },                   /* no word of turns */
	{ "\1\14\4\6", 4, E_INVALID },
};

START_TEST(what_no_engine_says_is_refused)
{
	struct engine_message back;

	ck_assert_int_eq(message_decode(arena, str_n(refused[_i].bytes,
						     refused[_i].n), &back, &err),
			 refused[_i].code);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/message");
	TCase *t = tcase_create("message");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_is_sent_is_what_comes, 0,
			    ARRAY_LEN(samples));
	tcase_add_loop_test(t, what_is_cut_or_longer_is_refused, 0,
			    ARRAY_LEN(samples));
	tcase_add_test(t, a_claim_of_entries_must_fit_what_is_there);
	tcase_add_loop_test(t, what_no_engine_says_is_refused, 0,
			    ARRAY_LEN(refused));
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
