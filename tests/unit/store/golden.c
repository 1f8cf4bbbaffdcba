/*
 * Writes on their way to the leader, and what they are answered: what was written
 * once is read ever after, and today's forms are not changed by accident
 * (tests/tools/golden.h).
 */
#include "unit.h"

#include "store/batch.h"

#include "golden.h"

#include "base/banned.h"

static struct err err;

#define OKAY(call) ck_assert_msg((call) == OK, "%s", err.text)

START_TEST(batches)
{
	struct str commands[] = { STR("first"), STR("second") };
	struct str got[BATCH_COUNT_MAX];
	AUTO_BUF now = BUF_NONE;
	AUTO_BUF was = BUF_NONE;
	size_t n;

	batch_encode(&now, commands, ARRAY_LEN(commands));
	golden_same("batch-1", buf_view(&now));
	golden_read("batch-1", &was);
	OKAY(batch_decode(buf_view(&was), got, &n, &err));
	ck_assert_uint_eq(n, 2);
	ck_assert(str_is(got[0], "first") && str_is(got[1], "second"));
}
END_TEST

START_TEST(answers_of_batches)
{
	struct batch_item items[] = {
		{ .rc = OK, .outcome = STR("outcome") },
		{ .rc = E_FULL, .text = STR("text"), .hint = STR("hint") } };
	struct batch_item got[2];
	AUTO_BUF now = BUF_NONE;
	AUTO_BUF was = BUF_NONE;
	uint64_t rev;

	batch_answer_encode(&now, 4711, items, ARRAY_LEN(items));
	golden_same("batch-answer-1", buf_view(&now));
	golden_read("batch-answer-1", &was);
	OKAY(batch_answer_decode(buf_view(&was), 2, &rev, got, &err));
	ck_assert_uint_eq(rev, 4711);
	ck_assert(got[0].rc == OK && str_is(got[0].outcome, "outcome"));
	ck_assert_int_eq(got[1].rc, E_FULL);
	ck_assert(str_is(got[1].text, "text") && str_is(got[1].hint, "hint"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store/golden");
	TCase *t = tcase_create("golden");

	tcase_add_test(t, batches);
	tcase_add_test(t, answers_of_batches);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
