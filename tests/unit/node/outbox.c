/* When a leader tells what is committed, one call of its core at a time: lab.h. */
#include "unit.h"

#include "lab.h"

#include "base/banned.h"

#define TELL_MS 2

static struct lab *lab;
static struct lab_proposal proposals[64];
static size_t n_proposals;
static uint64_t told;                    /* to node 3, the last in the order of sending */
static unsigned notices;

static void work(void)
{
	while (lab_write(lab) || lab_machine(lab))
		;
}

/* What the last call sent. */
static void note(void)
{
	const struct engine_message *m = &lab->sent;

	if (m->type == ENGINE_M_APPEND) {
		told = m->append.commit;
		notices += !m->append.n;
	}
	lab->sent = (struct engine_message){ 0 };
}

static uint64_t term(void)
{
	struct node_core_view v;

	node_core_view(lab->core, &v);
	return v.term;
}

static void hear(struct engine_message m)
{
	node_core_receive(lab->core, lab->now_ms, &m);
	note();
}

static void pass(unsigned ms)
{
	lab->now_ms += ms;
	if (node_core_deadline(lab->core) <= lab->now_ms)
		node_core_timeout(lab->core, lab->now_ms);
	note();
}

static void vote(bool pre)
{
	hear((struct engine_message){ .type = ENGINE_M_VOTE_RESULT, .peer = 2,
				      .term = term() + pre,
				      .vote_result = { true, pre } });
}

static void has(uint64_t peer, uint64_t last)
{
	hear((struct engine_message){ .type = ENGINE_M_APPEND_RESULT, .peer = peer,
				      .term = term(), .append_result = { 0, last } });
}

static uint64_t last(void)
{
	struct node_core_view v;

	node_core_view(lab->core, &v);
	return v.last;
}

/* Both have it, and it is committed. */
static void put(void)
{
	lab_propose(lab, &proposals[n_proposals++]);
	note();
	work();
	note();
	has(2, last());
	has(3, last());
	work();
}

/* Node 1 leads, and all know that its first entry is committed. */
static void setup(void)
{
	lab = lab_new_of_three(1);
	lab_open(lab);
	while (!lab->is_leader) {
		lab_wait(lab);
		vote(true);
		vote(false);
	}
	work();
	has(2, last());
	has(3, last());
	work();
	pass(TELL_MS);
	ck_assert_uint_eq(told, last());
	notices = 0;
	n_proposals = 0;
}

static void teardown(void)
{
	lab_free(lab);
}

/* Of each the next brings the word; behind the last of them it goes by itself. */
START_TEST(what_follows_soon_brings_the_word)
{
	for (unsigned i = 0; i < 20; i++) {
		put();
		ck_assert_uint_eq(told, last() - 1);
		pass(TELL_MS - 1);
	}
	ck_assert_uint_eq(notices, 0);
	pass(1);
	ck_assert_uint_eq(told, last());
	ck_assert_uint_eq(notices, 1);
}
END_TEST

/* As where nobody answers what brings it: each of them is committed, and none told. */
START_TEST(what_does_not_follow_does_not_put_it_off)
{
	lab_propose(lab, &proposals[0]);
	lab_propose(lab, &proposals[1]);
	work();
	note();
	has(2, last() - 1);
	pass(1);
	has(2, last());
	has(3, last());
	work();
	ck_assert_uint_lt(told, last() - 1);
	pass(TELL_MS - 1);
	ck_assert_uint_eq(told, last());
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/outbox");
	TCase *t = tcase_create("outbox");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_follows_soon_brings_the_word);
	tcase_add_test(t, what_does_not_follow_does_not_put_it_off);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
