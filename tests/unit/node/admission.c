/* Who is held back while a checkpoint is written, one call of the core at a time: see
 * lab.h. */
#include "unit.h"

#include "lab.h"

#include "base/banned.h"

static struct lab *lab;
static struct lab_proposal proposals[LAB_INDEXES];
static size_t n_proposals;

static void setup(void)
{
	lab = lab_new(1);
	n_proposals = 0;
}

static void teardown(void)
{
	lab_free(lab);
}

static struct lab_proposal *propose(void)
{
	lab_propose(lab, &proposals[n_proposals]);
	return &proposals[n_proposals++];
}

static void do_all(void)
{
	while (lab_write(lab) || lab_machine(lab))
		;
}

static uint64_t in_the_log(void)
{
	struct node_core_view v;

	node_core_view(lab->core, &v);
	return v.last;
}

/* A copy holds what it reads, so a state that changes much grows under it: by 'quarters'
 * of what it may. */
static void begin_copy_and_grow(unsigned quarters)
{
	lab->machine_bytes = 1000;
	lab->config.inflight_entries_max = 32;
	lab_open(lab);
	lab_settle(lab);
	while (!lab->writing) {
		propose();
		do_all();
	}
	lab->machine_bytes = 1000 + quarters * (lab->config.checkpoint_log_bytes / 4 + 1);
	propose();
	do_all();
	ck_assert_uint_eq(lab->refused, 0);
}

/* The machine is given what was proposed as number 'n', and it applies it. */
static bool applies_next(uint64_t n)
{
	const struct rc_entry *e = lab->batch;

	return e && e->data.n == proposals[n].p.data.n &&
	       memcmp(e->data.p, proposals[n].bytes, 8) == 0 && lab_machine(lab);
}

START_TEST(fewer_are_let_in_while_the_state_grows_under_a_copy)
{
	uint64_t before, last;
	unsigned first;

	begin_copy_and_grow(1);
	before = lab->state.count;
	last = in_the_log();
	first = n_proposals;
	for (unsigned i = 0; i < 32; i++)
		propose();
	ck_assert_uint_eq(in_the_log(), last + 2);
	ck_assert_uint_eq(lab->refused, 0);
	ck_assert_int_eq(propose()->rc, E_BUSY);
	while (lab->state.count < before + 10) {
		ck_assert(lab_write(lab) || applies_next(first + lab->state.count - before));
		ck_assert_uint_le(in_the_log(), last + (lab->state.count - before) + 2);
	}
	lab_worker(lab);
	ck_assert_uint_eq(in_the_log(), last + 32);
	while (lab->state.count < before + 32)
		ck_assert(lab_write(lab) || applies_next(first + lab->state.count - before));
}
END_TEST

START_TEST(the_more_it_grows_the_fewer)
{
	uint64_t last;

	begin_copy_and_grow(20);
	last = in_the_log();
	propose();
	propose();
	ck_assert_uint_eq(in_the_log(), last + 1);
	do_all();
	ck_assert_uint_eq(in_the_log(), last + 2);
	ck_assert_uint_eq(lab->refused, 0);
}
END_TEST

/* They are in no log, so whoever made them may do so again at another. */
START_TEST(who_is_held_back_is_refused_where_the_node_stops)
{
	struct lab_proposal *p, *held;

	begin_copy_and_grow(20);
	p = propose();
	held = propose();
	node_core_stop(lab->core);
	ck_assert_int_eq(p->rc, E_UNCERTAIN);
	ck_assert_int_eq(held->rc, E_UNAVAILABLE);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("admission");
	TCase *t = tcase_create("admission");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, fewer_are_let_in_while_the_state_grows_under_a_copy);
	tcase_add_test(t, the_more_it_grows_the_fewer);
	tcase_add_test(t, who_is_held_back_is_refused_where_the_node_stops);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
