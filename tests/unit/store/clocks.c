/* A node whose clock is far from the others' does not lead. */
#include "lab.h"

#include "base/clock.h"
#include "store/clocks.h"

#include "base/banned.h"

#define HOUR 3600000

static struct lab_write writes[64];

/* ---- what they say ---- */

START_TEST(the_middle_of_a_majority)
{
	static const struct {
		int64_t offsets[5];
		size_t n, voters;
		enum clocks_say say;
		int64_t median;
	} cases[] = {
		{ { 0 }, 1, 1, CLOCKS_GOOD, 0 },
		{ { 0 }, 1, 2, CLOCKS_UNKNOWN, 0 },
		{ { 0 }, 1, 3, CLOCKS_UNKNOWN, 0 },
		{ { 0, 7 }, 2, 4, CLOCKS_UNKNOWN, 0 },
		{ { 0, 5000 }, 2, 2, CLOCKS_GOOD, 0 },
		/* Who of two is right nobody knows. */
		{ { 0, HOUR }, 2, 2, CLOCKS_GOOD, 0 },
		{ { -HOUR, 0 }, 2, 3, CLOCKS_GOOD, 0 },
		{ { HOUR, 0, HOUR + 1 }, 3, 3, CLOCKS_OFF, HOUR },
		{ { 5000, 0, 5001 }, 3, 3, CLOCKS_GOOD, 5000 },
		{ { 5001, 0, 5001 }, 3, 3, CLOCKS_OFF, 5001 },
		{ { -5001, 0, -9000 }, 3, 3, CLOCKS_OFF, -5001 },
		{ { -HOUR, 0, HOUR }, 3, 3, CLOCKS_GOOD, 0 },
		{ { 6000, 0, 7000, 8000 }, 4, 5, CLOCKS_OFF, 6000 },
		{ { 6000, 0, 1, 8000 }, 4, 5, CLOCKS_GOOD, 1 },
		{ { 3, 0, -2, HOUR, HOUR }, 5, 5, CLOCKS_GOOD, 3 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t offsets[5], median;

		memcpy(offsets, cases[i].offsets, sizeof(offsets));
		ck_assert_msg(clocks_judge(offsets, cases[i].n, cases[i].voters,
					   &median) == cases[i].say &&
			      median == cases[i].median, "case %zu: %lld", i,
			      (long long)median);
	}
}
END_TEST

/* What is sure early stays so, whatever the rest answers. */
START_TEST(sure_is_sure)
{
	static const int64_t may[] = { -HOUR, -5001, -5000, 0, 5000, 5001, HOUR };
	size_t n_sure = 0;

	for (size_t i = 0; i < ARRAY_LEN(may); i++) {
		int64_t early[2] = { 0, may[i] };
		bool sure = clocks_are_sure(early, 2, 3);

		ck_assert(!clocks_are_sure(early, 2, 4));
		n_sure += sure;
		for (size_t k = 0; k < ARRAY_LEN(may); k++) {
			int64_t all[3] = { 0, may[i], may[k] }, median;

			ck_assert(!sure || clocks_judge(all, 3, 3, &median) ==
						   CLOCKS_GOOD);
		}
	}
	ck_assert_uint_eq(n_sure, 3);
}
END_TEST

/* ---- stores ---- */

static unsigned leader(void)
{
	for (unsigned id = 1; id <= LAB_MAX; id++)
		if (lab[id - 1].store && store_leads(lab[id - 1].store))
			return id;
	return 0;
}

static bool leads_but(unsigned not)
{
	unsigned id = leader();

	return id && id != not;
}

static void wait_written(unsigned at, unsigned n)
{
	char name[16];

	snprintf(name, sizeof(name), "t%u", n);
	ck_assert_int_eq(lab_write(&writes[n], at, lab_encode(lab_put(name, n)))->code,
			 OK);
}

START_TEST(a_clock_that_jumps_costs_leadership)
{
	unsigned bad = lab_found(3);

	wait_written(bad, 1);
	atomic_store(&lab[bad - 1].clock_ms, HOUR);
	/* The next write would carry the hour. */
	wait_written(lab_other(bad), 2);
	ck_assert(leads_but(bad));
	wait_written(bad, 3);
	ck_assert_uint_lt(lab_status(bad).time_ms,
			  clock_wall_ms() + CLOCKS_MOST_MS);
	ck_assert_int_ge(llabs(lab_status(bad).clock_offset_ms), HOUR - 1000);
}
END_TEST

/* Its own does not jump, and nothing is written: the rounds see it. */
START_TEST(an_idle_leader_that_others_left_behind)
{
	unsigned bad = lab_found(3);

	for (unsigned id = 1; id <= LAB_MAX; id++)
		if (id != bad)
			atomic_store(&lab[id - 1].clock_ms, HOUR);
	LAB_WAIT(leads_but(bad));
}
END_TEST

static void told(struct store_members *m, enum code rc, const struct err *err)
{
	(void)rc;
	(void)err;
	atomic_store((_Atomic bool *)m->who.reason.p, true);
}

/* Somebody wants it to lead, while others write: it hands on, and nothing ever carries
 * its time. */
START_TEST(a_bad_clock_that_is_made_to_lead_writes_nothing)
{
	static _Atomic bool is_done;
	static struct store_members m;
	unsigned first = lab_found(3), bad = lab_other(first), n = 1;

	atomic_store(&lab[bad - 1].clock_ms, HOUR);
	for (unsigned round = 0; round < 5; round++) {
		unsigned from = leader(), terms;

		if (!from || from == bad)
			from = first;
		terms = (unsigned)lab_status(first).node.term;
		m = (struct store_members){
			.home = store_core_loop(lab[from - 1].store),
			.what = STORE_MEMBER_LEAD, .id = bad, .address = "",
			.done = told };
		m.who = (struct store_who){
			.subject = { .name = STR("token:ann"), .role = ROLE_ROOT },
			.credential = STR("token ann"), .origin = STR("192.0.2.1:5"),
			.reason = { (const char *)&is_done, 0 } };
		atomic_store(&is_done, false);
		ck_assert(store_members_change(lab[from - 1].store, &m));
		for (unsigned k = 0; k < 6; k++)
			wait_written(1 + n % 3, n), n++;
		LAB_WAIT(atomic_load(&is_done));
		LAB_WAIT(leads_but(bad));
		ck_assert_uint_gt(lab_status(first).node.term, terms);
	}
	for (unsigned id = 1; id <= LAB_MAX; id++)
		ck_assert_uint_lt(lab_status(id).time_ms,
				  clock_wall_ms() + CLOCKS_MOST_MS);
}
END_TEST

/* Two are left that disagree: nobody knows who is right, and writes go on. */
START_TEST(two_that_disagree_go_on)
{
	unsigned leads = lab_found(3), other = lab_other(leads);

	lab_stop(6 - leads - other);
	atomic_store(&lab[other - 1].clock_ms, HOUR);
	wait_written(leads, 1);
	wait_written(other, 2);
	ck_assert_uint_eq(leader(), leads);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store/clocks");
	TCase *t = tcase_create("clocks");

	tcase_add_checked_fixture(t, lab_setup, lab_teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, the_middle_of_a_majority);
	tcase_add_test(t, sure_is_sure);
	tcase_add_test(t, a_clock_that_jumps_costs_leadership);
	tcase_add_test(t, an_idle_leader_that_others_left_behind);
	tcase_add_test(t, a_bad_clock_that_is_made_to_lead_writes_nothing);
	tcase_add_test(t, two_that_disagree_go_on);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
