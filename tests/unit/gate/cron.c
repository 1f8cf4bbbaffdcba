/* Five fields of cron, and the days they name. */
#include "unit.h"

#include "gate/cron.h"

#include "base/banned.h"

static const struct {
	const char *text;
	uint64_t minutes;
	uint32_t hours, days, months;
	uint8_t weekdays;
} good[] = {
	{ "0 0 1 1 0", 1, 1, 1 << 1, 1 << 1, 1 },
	{ "5,7 * * * *", 1 << 5 | 1 << 7, 0xffffff, 0xfffffffe, 0x1ffe, 0x7f },
	{ "*/20 9-11 * * mon-fri", 1 | 1 << 20 | 1ull << 40, 7 << 9, 0xfffffffe,
	  0x1ffe, 0x3e },
	{ "59 23 31 12 7", 1ull << 59, 1 << 23, 1u << 31, 1 << 12, 1 },
	{ "0 0 * feb,DEC sun", 1, 1, 0xfffffffe, 1 << 2 | 1 << 12, 1 },
	{ "10-50/20 0 * * 5-7", 1 << 10 | 1ull << 30 | 1ull << 50, 1, 0xfffffffe,
	  0x1ffe, 1 << 5 | 1 << 6 | 1 },
	{ "50/5 0 * * *", 1ull << 50 | 1ull << 55, 1, 0xfffffffe, 0x1ffe, 0x7f },
	{ "  0\t0  * * *  ", 1, 1, 0xfffffffe, 0x1ffe, 0x7f },
};

START_TEST(what_a_cron_says)
{
	struct cron c;
	struct err err;

	ck_assert_msg(cron_parse(str_of(good[_i].text), &c, &err) == OK, "%s",
		      err.text);
	ck_assert_uint_eq(c.minutes, good[_i].minutes);
	ck_assert_uint_eq(c.hours, good[_i].hours);
	ck_assert_uint_eq(c.days, good[_i].days);
	ck_assert_uint_eq(c.months, good[_i].months);
	ck_assert_uint_eq(c.weekdays, good[_i].weekdays);
}
END_TEST

static const char *const bad[] = {
	"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *",
	"* * 32 * *", "* * * 0 *", "* * * 13 *", "* * * * 8", "a * * * *",
	"5-1 * * * *", "*/0 * * * *", "*/ * * * *", "/5 * * * *", "1, * * * *",
	",1 * * * *", "1-- * * * *", "1- * * * *", "-1 * * * *", "1.5 * * * *",
	"* * * mond *", "* * jan * *", "@daily", "001 * * * *", "1/2/3 * * * *",
};

START_TEST(what_is_no_cron)
{
	struct cron c;
	struct err err;

	ck_assert_int_eq(cron_parse(str_of(bad[_i]), &c, &err), E_INVALID);
}
END_TEST

/* Days since 1970-01-01. */
static const struct {
	const char *cron;
	int64_t day;
	bool has;
} days[] = {
	{ "* * 1 1 *", 0, true },
	{ "* * * * thu", 0, true },
	{ "* * * * fri", 0, false },
	{ "* * 31 12 wed", -1, true },
	{ "* * 29 2 *", 11016, true },   /* 2000-02-29 */
	{ "* * 1 3 *", 11017, true },
	{ "* * 29 2 *", 47540, false },  /* 2100-03-01: no such day before */
	{ "* * 1 3 *", 47541, true },
	{ "* * 28 2 *", 47540, true },
	/* Both: either is enough. */
	{ "* * 13 * fri", 20462, true }, /* 2026-01-09, a Friday */
	{ "* * 13 * fri", 20464, false },
	{ "* * 13 * fri", 20466, true },
	{ "* * 13 * fri", 20469, true },
	{ "* * 13 * fri", 20467, false },
	/* One is a star: the other decides. */
	{ "* * */1 * fri", 20466, false },
	{ "* * 13 * *", 20469, false },
	{ "* * * feb *", 20466, false },
};

START_TEST(which_days_it_names)
{
	struct cron c;
	struct err err;

	ck_assert_int_eq(cron_parse(str_of(days[_i].cron), &c, &err), OK);
	ck_assert_int_eq(cron_has_day(&c, days[_i].day), days[_i].has);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("gate/cron");
	TCase *t = tcase_create("cron");

	tcase_add_loop_test(t, what_a_cron_says, 0, ARRAY_LEN(good));
	tcase_add_loop_test(t, what_is_no_cron, 0, ARRAY_LEN(bad));
	tcase_add_loop_test(t, which_days_it_names, 0, ARRAY_LEN(days));
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
