/* How many connections fit into the limit of open files, and who is told. */
#include "unit.h"

#include <sys/resource.h>

#include "base/log.h"
#include "daemon/descriptors.h"

#include "base/banned.h"

static unsigned lines;
static enum log_level worst;

static void note(void *data, enum log_level level, struct str line)
{
	(void)data;
	(void)line;
	lines++;
	worst = level;
}

static void setup(void)
{
	log_setup(LOG_DEBUG, LOG_HUMAN);
	log_set_sink(note, NULL);
	lines = 0;
}

/* Each case has a process of its own. */
static void limit(rlim_t soft, rlim_t hard)
{
	struct rlimit l = { soft, hard };

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
}

static rlim_t soft_now(void)
{
	struct rlimit l;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &l), 0);
	return l.rlim_cur;
}

START_TEST(the_soft_limit_is_raised_as_far_as_it_may)
{
	limit(300, 4096);
	ck_assert_uint_eq(descriptors_for(1000, true, 2), 1000);
	ck_assert_uint_eq(soft_now(), 2000 + DESCRIPTORS_KEPT);
	ck_assert_uint_eq(lines, 0);
	ck_assert_uint_eq(descriptors_for(20000, false, 2),
			  (4096 - DESCRIPTORS_KEPT) / 2);
	ck_assert_uint_eq(soft_now(), 4096);
}
END_TEST

START_TEST(who_asked_for_nothing_is_not_warned)
{
	limit(300, 4096);
	descriptors_for(20000, false, 2);
	ck_assert_uint_eq(lines, 1);
	ck_assert_int_eq(worst, LOG_INFO);
	descriptors_for(20000, true, 2);
	ck_assert_uint_eq(lines, 2);
	ck_assert_int_eq(worst, LOG_WARN);
}
END_TEST

START_TEST(few_are_a_warning_all_the_same)
{
	limit(300, 1200);
	ck_assert_uint_eq(descriptors_for(20000, false, 2), 472);
	ck_assert_uint_eq(lines, 1);
	ck_assert_int_eq(worst, LOG_WARN);
	limit(100, 100);
	ck_assert_uint_eq(descriptors_for(20000, false, 2), 8);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("daemon/descriptors");
	TCase *t = tcase_create("descriptors");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, the_soft_limit_is_raised_as_far_as_it_may);
	tcase_add_test(t, who_asked_for_nothing_is_not_warned);
	tcase_add_test(t, few_are_a_warning_all_the_same);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
