/* Which versions are beyond what is kept. */
#include "unit.h"

#include "model/retention.h"

#include "base/banned.h"

#define DAY 86400000ull
#define NOW (100 * DAY)

static const struct row {
	struct retention keep;
	uint64_t rank, age;
	bool is_over;
} rows[] = {
	{ { 0 }, 1000000, NOW, false },
	/* By count. */
	{ { .has_versions = true, .versions = 3 }, 2, NOW, false },
	{ { .has_versions = true, .versions = 3 }, 3, 0, true },
	/* By age: that of the last day is not over yet. */
	{ { .has_days = true, .days = 2 }, 99, 2 * DAY - 1, false },
	{ { .has_days = true, .days = 2 }, 0, 2 * DAY, true },
	/* Both. */
	{ { true, true, 3, 2, false }, 2, 9 * DAY, false },
	{ { true, true, 3, 2, false }, 9, DAY, false },
	{ { true, true, 3, 2, false }, 3, 2 * DAY, true },
	/* Either. */
	{ { true, true, 3, 2, true }, 2, DAY, false },
	{ { true, true, 3, 2, true }, 2, 2 * DAY, true },
	{ { true, true, 3, 2, true }, 3, 0, true },
};

START_TEST(what_is_over)
{
	const struct row *r = &rows[_i];

	ck_assert(retention_is_over(&r->keep, r->rank, NOW - r->age, NOW) ==
		  r->is_over);
}
END_TEST

START_TEST(a_version_of_the_future_is_young)
{
	struct retention keep = { .has_days = true, .days = 1 };

	ck_assert(!retention_is_over(&keep, 9, NOW + 9 * DAY, NOW));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model/retention");
	TCase *t = tcase_create("retention");

	tcase_add_loop_test(t, what_is_over, 0, ARRAY_LEN(rows));
	tcase_add_test(t, a_version_of_the_future_is_young);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
