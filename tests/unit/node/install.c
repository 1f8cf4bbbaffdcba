/* Checkpoints that come from another node, one call of the core at a time: lab.h. */
#include "unit.h"

#include "base/mem.h"
#include "lab.h"

#include "base/banned.h"

static struct lab *lab;

static void setup(void)
{
	lab = lab_new_of_three(1);
	lab_open(lab);
}

static void teardown(void)
{
	lab_free(lab);
}

static struct node_core_view view(void)
{
	struct node_core_view v;

	node_core_view(lab->core, &v);
	return v;
}

static void hear(struct engine_message m)
{
	node_core_receive(lab->core, lab->now_ms, &m);
	while (lab_write(lab) || lab_machine(lab))
		;
}

/* Node 2 votes for it. */
static void lead(void)
{
	for (unsigned i = 0; i < 2; i++) {
		if (i == 0)
			lab_wait(lab);
		hear((struct engine_message){
			.type = ENGINE_M_VOTE_RESULT, .peer = 2, .term = 2,
			.vote_result = { .granted = true, .pre = i == 0 } });
	}
	ck_assert(view().is_leader);
	ck_assert_uint_eq(view().term, 2);
}

/* Node 3 leads, far ahead. */
static void follow(uint64_t prev)
{
	hear((struct engine_message){ .type = ENGINE_M_APPEND, .peer = 3,
				      .term = 3,
				      .append = { prev, 3, prev, NULL, 0 } });
	ck_assert(!view().is_leader);
	ck_assert_uint_eq(view().leader, 3);
}

/* A checkpoint there; of its membership 'less' bytes are missing. */
static void offer(uint64_t index, size_t less)
{
	struct engine_peer peers[3];
	struct checkpoint c = { .index = index, .term = 3, .conf_index = 1 };

	for (size_t i = 0; i < 3; i++)
		peers[i] = (struct engine_peer){ lab->members[i].id,
						 lab->members[i].address, true };
	engine_bootstrap(&c.conf, peers, 3);
	c.conf.n -= less;
	node_core_install(lab->core, lab->now_ms, &c, "picture");
	checkpoint_fini(&c);
}

static void install(uint64_t index)
{
	offer(index, 0);
	ck_assert_ptr_nonnull(lab->installing);
}

static void installed(void)
{
	struct rc_applied at = { lab->installing->index, lab->installing->term };

	node_core_installed(lab->core, lab->now_ms, OK, &at,
			    &(struct node_stand){ 0 }, NULL);
	ck_assert(!lab->installing);
	ck_assert_uint_eq(view().applied, at.index);
}

/* ---- who waits ---- */

/* The others may have committed it, and then it is in their checkpoint. */
START_TEST(what_a_checkpoint_may_hold_is_not_refused)
{
	struct lab_proposal p;

	lead();
	lab_propose(lab, &p);
	while (lab_write(lab))
		;
	ck_assert(!p.is_answered);
	follow(200);
	ck_assert(!p.is_answered);
	install(100);
	installed();
	ck_assert(p.is_answered);
	ck_assert_int_eq(p.rc, E_UNCERTAIN);
}
END_TEST

/* ---- what is none ---- */

START_TEST(an_unreadable_membership_is_refused)
{
	follow(200);
	offer(100, 10);
	ck_assert(!lab->installing);
	ck_assert_uint_eq(lab->fatals, 0);
	ck_assert_int_eq(lab->install_rc, E_INVALID);
	install(100);
	installed();
	ck_assert_int_eq(lab->install_rc, OK);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/install");
	TCase *t = tcase_create("install");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_a_checkpoint_may_hold_is_not_refused);
	tcase_add_test(t, an_unreadable_membership_is_refused);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
