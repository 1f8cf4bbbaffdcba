/* What a node keeps of the log in memory, one call of its core at a time: lab.h. */
#include "unit.h"

#include "base/mem.h"
#include "lab.h"
#include "node/own.h"

#include "base/banned.h"

static struct lab *lab;

/* It takes some 10,000 bytes beyond what is durable. */
static void setup(void)
{
	lab = lab_new_of_three(1);
	lab->config.inflight_bytes_max = 10000;
	lab_open(lab);
}

static void teardown(void)
{
	lab_free(lab);
}

/* ---- what follows ---- */

static void append(uint64_t peer, uint64_t term, uint64_t prev, uint64_t prev_term,
		   unsigned n)
{
	static const char value[1000];
	struct engine_entry entries[20];
	struct engine_message m = { .type = ENGINE_M_APPEND, .peer = peer, .term = term,
				    .append = { prev, prev_term, n ? 1 : prev,
						entries, n } };

	for (unsigned i = 0; i < n; i++)
		entries[i] = (struct engine_entry){ term, ENGINE_COMMAND,
						    str_n(value, 1000) };
	node_core_receive(lab->core, lab->now_ms, &m);
}

static uint64_t term_of(uint64_t index)
{
	return core_slot(lab->core, index)->entry.term;
}

/* A log that does not become durable is not taken into memory for ever. */
START_TEST(who_follows_takes_no_more_than_it_can_write)
{
	struct node_core_view v;

	for (uint64_t last = 1; last < 100; last++)
		append(2, 2, last, last > 1 ? 2 : 1, 1);
	node_core_view(lab->core, &v);
	ck_assert_uint_eq(v.last, 11);
	while (lab_write(lab) || lab_machine(lab))
		;
	node_core_view(lab->core, &v);
	ck_assert_uint_eq(v.durable, 11);
	append(2, 2, 11, 2, 4);
	append(2, 2, 15, 2, 0);
	while (lab_write(lab) || lab_machine(lab))
		;
	node_core_view(lab->core, &v);
	ck_assert_uint_eq(v.applied, 15);
}
END_TEST

/* Else what another leader sent would be told to this one as its own. */
START_TEST(who_takes_no_more_replaces_what_is_no_more)
{
	struct node_core_view v;

	append(2, 2, 1, 1, 20);
	/* Some of it again, and more. */
	append(2, 2, 11, 2, 20);
	node_core_view(lab->core, &v);
	ck_assert_uint_eq(v.last, 21);
	/* Nothing of node 3 behind what is here, which is not what that has. */
	append(3, 3, 21, 3, 3);
	node_core_view(lab->core, &v);
	ck_assert_uint_eq(v.leader, 3);
	ck_assert_uint_eq(v.last, 21);
	append(3, 3, 11, 2, 2);
	node_core_view(lab->core, &v);
	ck_assert_uint_eq(v.last, 13);
	ck_assert_uint_eq(term_of(11), 2);
	ck_assert_uint_eq(term_of(12), 3);
	append(3, 3, 13, 3, 2);
	while (lab_write(lab) || lab_machine(lab))
		;
	node_core_view(lab->core, &v);
	ck_assert_uint_eq(v.last, 13);
	ck_assert_uint_eq(v.durable, 13);
	ck_assert_int_eq(lab->sent.type, ENGINE_M_APPEND_RESULT);
	ck_assert_uint_eq(lab->sent.append_result.rejected, 0);
	ck_assert_uint_eq(lab->sent.append_result.last_index, 13);
	append(3, 3, 13, 3, 2);
	node_core_view(lab->core, &v);
	ck_assert_uint_eq(v.last, 15);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/memory");
	TCase *t = tcase_create("memory");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, who_follows_takes_no_more_than_it_can_write);
	tcase_add_test(t, who_takes_no_more_replaces_what_is_no_more);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
