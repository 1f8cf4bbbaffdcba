/* The core of a node, one call at a time: see lab.h. */
#include "unit.h"

#include "base/failpoint.h"
#include "base/mem.h"
#include "base/rand.h"
#include "lab.h"
#include "node/own.h"
#include "node/pace.h"
#include "wal/vote.h"

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

/* ---- what is asked for, and when ---- */

START_TEST(nothing_is_applied_before_it_is_durable)
{
	struct lab_proposal *p;
	uint64_t before;

	lab_open(lab);
	lab_settle(lab);
	before = lab->state.count;
	p = propose();
	ck_assert(!lab_machine(lab));
	ck_assert(lab_write(lab));
	ck_assert(!lab_write(lab));
	ck_assert(lab_machine(lab));
	ck_assert_uint_eq(lab->state.count, before + 1);
	ck_assert(!p->is_answered);
}
END_TEST

START_TEST(one_batch_at_a_time_is_with_the_machine)
{
	lab_open(lab);
	lab_settle(lab);
	propose();
	lab_write(lab);
	propose();
	propose();
	while (lab_write(lab))
		;
	ck_assert_uint_eq(lab->n_batch, 1);
	lab_machine(lab);
	ck_assert_uint_eq(lab->n_batch, 2);
	lab_machine(lab);
	ck_assert(!lab_machine(lab));
}
END_TEST

START_TEST(more_than_may_be_under_way_is_refused)
{
	lab_open(lab);
	lab_settle(lab);
	for (unsigned i = 0; i < 20; i++)
		propose();
	ck_assert_uint_eq(lab->refused, 4);
	ck_assert_int_eq(proposals[15].rc, OK);
	ck_assert_int_eq(proposals[16].rc, E_BUSY);
	lab_settle(lab);
	ck_assert(!propose()->is_answered);
}
END_TEST

START_TEST(before_an_election_nothing_is_accepted)
{
	lab_open(lab);
	if (!lab->is_leader) {
		ck_assert_int_eq(propose()->rc, E_NOT_LEADER);
		ck_assert(proposals[0].is_answered);
	}
	lab_settle(lab);
	ck_assert(lab->is_leader);
}
END_TEST

/* Guard C: nobody elects an only voter, and what it appends when it begins to lead is
 * what it is ready behind. */
static bool is_ready_alone(void)
{
	struct node_core_view v;

	lab_open(lab);
	for (unsigned i = 0; i < 50; i++) {
		while (lab_write(lab) || lab_machine(lab) || lab_worker(lab))
			;
		lab_wait(lab);
	}
	ck_assert(lab->is_leader);
	node_core_view(lab->core, &v);
	return v.is_ready;
}

START_TEST(an_only_voter_gets_ready)
{
	ck_assert(is_ready_alone());
}
END_TEST

START_TEST(without_an_entry_of_its_term_it_never_is)
{
	struct err err;

	ck_assert_int_eq(failpoint_set("guard.c_barrier=error", &err), OK);
	ck_assert(!is_ready_alone());
}
END_TEST

static void add_done(struct node_change *change, enum code rc,
		     const struct err *err)
{
}

/* More comes behind it than is kept in memory, so what was applied goes; but not
 * before all of the batch was looked at. */
START_TEST(a_membership_in_a_batch_leaves_what_is_behind_it)
{
	static char bytes[1000000];
	struct node_change change = {
		.wish = { .change = ENGINE_ADD, .id = 2, .address = "there" },
		.done = add_done };
	uint64_t before;

	lab->config.segment_bytes = 4 << 20;
	lab->config.checkpoint_log_bytes = 1 << 30;
	lab->config.inflight_entries_max = 100;
	lab_open(lab);
	lab_settle(lab);
	before = lab->state.count;
	propose();
	lab_write(lab);
	node_core_change(lab->core, lab->now_ms, &change);
	for (unsigned i = 0; i < 60; i++) {
		struct lab_proposal *p = &proposals[n_proposals++];

		p->p = (struct rc_proposal){ .id = 1000 + i,
					     .data = str_n(bytes, sizeof(bytes)) };
		node_core_propose(lab->core, lab->now_ms, &p->p);
	}
	while (lab_write(lab))
		;
	ck_assert_uint_eq(lab->n_batch, 1);
	while (lab_machine(lab))
		;
	ck_assert_uint_eq(lab->state.count, before + 61);
}
END_TEST

/* ---- failure ---- */

START_TEST(a_failed_log_leaves_the_outcome_open)
{
	struct lab_proposal *p;

	lab_open(lab);
	lab_settle(lab);
	p = propose();
	lab->fails_next_write = true;
	lab_write(lab);
	ck_assert_uint_eq(lab->fatals, 1);
	ck_assert_ptr_nonnull(strstr(lab->fatal.text, "disk"));
	ck_assert_int_eq(p->rc, E_UNCERTAIN);
	ck_assert_int_eq(propose()->rc, E_UNAVAILABLE);
	ck_assert(!lab->writes && !lab->batch);
	ck_assert_uint_eq(node_core_deadline(lab->core), UINT64_MAX);
	node_core_stop(lab->core);
	ck_assert_uint_eq(lab->fatals, 1);
}
END_TEST

START_TEST(a_failed_machine_stops_apply_for_good)
{
	lab_open(lab);
	lab_settle(lab);
	propose();
	lab_write(lab);
	propose();
	lab->fails_next_apply = true;
	ck_assert(!proposals[0].is_answered);
	lab_machine(lab);
	ck_assert_uint_eq(lab->fatals, 1);
	ck_assert_int_eq(proposals[0].rc, E_UNCERTAIN);
	ck_assert_int_eq(proposals[1].rc, E_UNCERTAIN);
	while (lab_write(lab))
		;
	ck_assert(!lab->batch);
}
END_TEST

/* The machine answers who is in the batch, also behind a failure of the log. */
START_TEST(a_batch_that_was_begun_is_the_machines)
{
	lab_open(lab);
	lab_settle(lab);
	propose();
	lab_write(lab);
	propose();
	lab->fails_next_write = true;
	lab_write(lab);
	ck_assert_uint_eq(lab->fatals, 1);
	ck_assert_int_eq(proposals[1].rc, E_UNCERTAIN);
	ck_assert(!proposals[0].is_answered);
	lab_machine(lab);
	node_core_stop(lab->core);
	ck_assert(!proposals[0].is_answered);
	ck_assert(!lab->batch);
}
END_TEST

START_TEST(a_stop_tells_who_still_waits)
{
	lab_open(lab);
	lab_settle(lab);
	propose();
	node_core_stop(lab->core);
	ck_assert_int_eq(proposals[0].rc, E_UNCERTAIN);
}
END_TEST

/* ---- starts ---- */

static void fill(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		propose();
		if (i % 15 == 14)
			lab_settle(lab);
	}
	lab_settle(lab);
}

START_TEST(a_start_reads_the_log_back_in_batches)
{
	lab->config.checkpoint_log_bytes = 1 << 30;
	lab_open(lab);
	lab_settle(lab);
	fill(3000);
	ck_assert_uint_eq(lab->loads, 1);        /* the first entry of all */
	lab_crash(lab);
	lab_open(lab);
	lab_settle(lab);
	ck_assert_uint_eq(lab->state.count, 3000);
	ck_assert_uint_eq(lab->loads, 1 + 3);
	ck_assert_uint_ge(lab->state.index, lab->applied_ever);
}
END_TEST

START_TEST(the_log_is_cut_behind_two_checkpoints)
{
	struct wal_stats st;
	struct node_core_view v;

	lab_open(lab);
	lab_settle(lab);
	fill(1000);
	node_core_view(lab->core, &v);
	wal_stats_get(node_core_wal(lab->core), &st);
	ck_assert_uint_gt(lab->checkpoints, 5);
	ck_assert_uint_gt(lab->cuts, 3);
	ck_assert_uint_gt(st.first_index, 500);
	ck_assert_uint_lt(st.first_index, v.checkpoint_index);
	lab_crash(lab);
	lab_open(lab);
	ck_assert(lab->from_checkpoint);
	lab_settle(lab);
	ck_assert_uint_eq(lab->state.count, 1000);
}
END_TEST

START_TEST(a_checkpoint_that_fails_is_put_off)
{
	lab_open(lab);
	lab_settle(lab);
	lab->fails_next_checkpoint = true;
	fill(200);
	ck_assert_uint_eq(lab->checkpoints, 0);
	ck_assert_uint_eq(lab->cuts, 0);
	lab->fails_next_checkpoint = false;
	fill(200);
	ck_assert_uint_gt(lab->checkpoints, 0);
	ck_assert_uint_eq(lab->fatals, 0);
}
END_TEST

static void hear(uint64_t prev, uint64_t prev_term, uint64_t commit, unsigned n)
{
	static const char value[16] = "\1";
	struct engine_entry entries[8];
	struct engine_message m = { .type = ENGINE_M_APPEND, .peer = 2, .term = 2,
				    .append = { prev, prev_term, commit, entries,
						n } };

	for (unsigned i = 0; i < n; i++)
		entries[i] = (struct engine_entry){ 2, ENGINE_COMMAND,
						    str_n(value, 16) };
	node_core_receive(lab->core, lab->now_ms, &m);
	while (lab_write(lab) || lab_machine(lab))
		;
}

/* Who has just been elected does not know how much is committed. */
START_TEST(who_follows_is_ready_when_it_has_all_that_is_committed)
{
	static const struct node_member members[] = {
		{ 1, "127.0.0.1:1" }, { 2, "127.0.0.1:2" }, { 3, "127.0.0.1:3" }
	};
	struct node_core_view v;

	lab->config.node_id = 1;
	lab->members = members;
	lab->n_members = ARRAY_LEN(members);
	lab_open(lab);
	hear(1, 1, 1, 3);
	node_core_view(lab->core, &v);
	ck_assert_uint_eq(v.leader, 2);
	ck_assert_uint_eq(v.applied, 1);
	ck_assert(!v.is_ready);
	hear(4, 2, 4, 0);
	node_core_view(lab->core, &v);
	ck_assert_uint_eq(v.applied, 4);
	ck_assert(v.is_ready);
}
END_TEST

/* Ready, at entry 4 of a leader that is node 2, and 5 ms from the last batch on. */
static void follow_and_gather(void)
{
	static const struct node_member members[] = {
		{ 1, "127.0.0.1:1" }, { 2, "127.0.0.1:2" }, { 3, "127.0.0.1:3" }
	};

	lab->config.node_id = 1;
	lab->config.gather_ms = 5;
	lab->config.checkpoint_log_bytes = 1 << 20;
	lab->members = members;
	lab->n_members = ARRAY_LEN(members);
	lab_open(lab);
	hear(1, 1, 1, 3);
	hear(4, 2, 4, 0);
}

static uint64_t applied(void)
{
	struct node_core_view v;

	node_core_view(lab->core, &v);
	return v.applied;
}

/* Time goes on, and what is due is done. */
static void pass(unsigned ms)
{
	lab->now_ms += ms;
	if (node_core_deadline(lab->core) <= lab->now_ms)
		node_core_timeout(lab->core, lab->now_ms);
	while (lab_write(lab) || lab_machine(lab))
		;
}

START_TEST(who_follows_gathers_between_batches)
{
	follow_and_gather();
	/* That it is ready is not put off. */
	ck_assert_uint_eq(applied(), 4);
	hear(4, 2, 5, 1);
	hear(5, 2, 6, 1);
	ck_assert_uint_eq(applied(), 4);
	ck_assert_uint_eq(node_core_deadline(lab->core), lab->now_ms + 5);
	pass(4);
	ck_assert_uint_eq(applied(), 4);
	pass(1);
	ck_assert_uint_eq(applied(), 6);
	/* After a pause it waits for nothing. */
	pass(5);
	hear(6, 2, 7, 1);
	ck_assert_uint_eq(applied(), 7);
	ck_assert_uint_gt(node_core_deadline(lab->core), lab->now_ms + 5);
}
END_TEST

START_TEST(who_is_hurried_gathers_nothing)
{
	follow_and_gather();
	hear(4, 2, 5, 1);
	ck_assert_uint_eq(applied(), 4);
	node_core_hurry(lab->core, lab->now_ms, true);
	while (lab_machine(lab))
		;
	ck_assert_uint_eq(applied(), 5);
	hear(5, 2, 6, 1);
	ck_assert_uint_eq(applied(), 6);
	node_core_hurry(lab->core, lab->now_ms, false);
	hear(6, 2, 7, 1);
	ck_assert_uint_eq(applied(), 6);
}
END_TEST

START_TEST(who_gathered_much_applies_it)
{
	uint64_t last = 4;

	follow_and_gather();
	for (; last + 8 < 4 + 256; last += 8)
		hear(last, 2, last + 8, 8);
	ck_assert_uint_eq(applied(), 4);
	hear(last, 2, last + 8, 8);
	ck_assert_uint_eq(applied(), last + 8);
}
END_TEST

/* It copies in its turn, and applies nothing while its state grows under that. */
START_TEST(who_follows_waits_while_the_state_grows_under_a_copy)
{
	static const struct node_member members[] = {
		{ 1, "127.0.0.1:1" }, { 2, "127.0.0.1:2" }, { 3, "127.0.0.1:3" }
	};
	struct engine_message given = { .type = ENGINE_M_TURN, .peer = 2,
					.term = 2, .turn = { TURN_GIVEN } };
	struct node_core_view v;
	uint64_t last = 1;

	lab->config.node_id = 1;
	lab->config.checkpoint_log_bytes = 400;
	lab->machine_bytes = 100;
	lab->members = members;
	lab->n_members = ARRAY_LEN(members);
	lab_open(lab);
	hear(1, 1, 1, 8);
	for (last = 9; last < 60; last += 8)
		hear(last, 2, last, 8);
	ck_assert(!lab->writing);
	node_core_receive(lab->core, lab->now_ms, &given);
	while (lab_write(lab) || lab_machine(lab))
		;
	ck_assert(lab->writing);
	lab->machine_bytes = 1000;
	hear(last, 2, last, 8);
	node_core_view(lab->core, &v);
	last = v.applied;
	hear(v.last, 2, v.last, 8);
	hear(v.last + 8, 2, v.last + 8, 0);
	node_core_view(lab->core, &v);
	ck_assert_uint_eq(v.applied, last);
	ck_assert_uint_gt(v.commit, last);
	lab_worker(lab);
	while (lab_write(lab) || lab_machine(lab))
		;
	node_core_view(lab->core, &v);
	ck_assert_uint_eq(v.applied, v.commit);
}
END_TEST

/* Each start begins a segment. */
START_TEST(who_starts_over_and_over_does_not_fill_the_disk)
{
	struct wal_stats st;
	uint64_t most = 0;

	lab->config.checkpoint_log_bytes = 4 * 16 * 4096;
	for (unsigned i = 0; i < 80; i++) {
		lab_open(lab);
		lab_settle(lab);
		wal_stats_get(node_core_wal(lab->core), &st);
		most = MAX(most, st.segments);
		lab_crash(lab);
	}
	ck_assert_uint_gt(lab->checkpoints, 1);
	ck_assert_uint_le(most, 4 * 4 + 16 + 3);
	lab_open(lab);
	lab_settle(lab);
}
END_TEST

START_TEST(a_large_state_is_copied_less_often)
{
	lab->machine_bytes = 1 << 20;
	lab_open(lab);
	lab_settle(lab);
	fill(300);
	ck_assert_uint_eq(lab->checkpoints, 0);
	lab->machine_bytes = 0;
	fill(15);
	ck_assert_uint_gt(lab->checkpoints, 0);
}
END_TEST

/* A state to which things are only added. */
START_TEST(a_state_that_grows_like_the_log_is_copied)
{
	unsigned before = 0;

	lab_open(lab);
	lab_settle(lab);
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < 200u << round; i++) {
			propose();
			lab->machine_bytes += 50;
			if (i % 15 == 14)
				lab_settle(lab);
		}
		lab_settle(lab);
		ck_assert_uint_gt(lab->checkpoints, before);
		before = lab->checkpoints;
	}
}
END_TEST

static void remove_segments(bool all)
{
	const char *dir = "/node/wal";
	AUTO_BUF names = BUF_NONE;
	struct str rest;
	unsigned n = 0, seen = 0;

	ck_assert_int_eq(lab->fs->ops->list(lab->fs, dir, &names, NULL), OK);
	for (size_t i = 0; i < names.n; i++)
		n += names.p[i] == '\0';
	rest = buf_view(&names);
	while (rest.n) {
		struct str name = str_cut(&rest, '\0');
		AUTO_BUF path = BUF_NONE;

		buf_printf(&path, "%s/%.*s", dir, STR_ARG(name));
		/* Of a cut log all but the first segment, or all. */
		if (all || seen++ > 0)
			ck_assert_int_eq(lab->fs->ops->remove(lab->fs, path.p,
							      NULL), OK);
	}
	ck_assert_uint_gt(n, 0);
	ck_assert_int_eq(lab->fs->ops->sync_dir(lab->fs, dir, NULL), OK);
}

START_TEST(a_log_that_ends_below_the_checkpoint_is_refused)
{
	struct err err;

	lab_open(lab);
	lab_settle(lab);
	fill(500);
	lab_crash(lab);
	remove_segments(false);
	ck_assert_int_eq(lab_try_open(lab, &err), E_CORRUPT);
	ck_assert_msg(strstr(err.text, "below the checkpoint"), "%s", err.text);
	ck_assert(err.hint[0]);
}
END_TEST

/* A store that stays open cannot be opened again by its process. */
START_TEST(a_state_that_is_refused_is_closed)
{
	struct err err;

	lab->ahead = 1000;
	ck_assert_int_eq(lab_try_open(lab, &err), E_CORRUPT);
	ck_assert_uint_eq(lab->opens, 1);
	ck_assert_uint_eq(lab->closes, 1);
	lab->ahead = 0;
	lab_open(lab);
	ck_assert_uint_eq(lab->closes, 1);
}
END_TEST

START_TEST(a_log_that_is_gone_is_refused)
{
	struct err err;

	lab_open(lab);
	lab_settle(lab);
	fill(3);
	lab_crash(lab);
	remove_segments(true);
	ck_assert_int_eq(lab_try_open(lab, &err), E_CORRUPT);
	ck_assert_msg(strstr(err.text, "empty"), "%s", err.text);
	ck_assert(err.hint[0]);
}
END_TEST

/* An install is begun at 'mark' and does not come to its checkpoint; then the node
 * makes one of its own, which is told in the mark, and entries behind it. */
static void live_on(struct mark *mark)
{
	lab_open(lab);
	lab_settle(lab);
	fill(300);
	lab_crash(lab);
	ck_assert_int_eq(mark_write(lab->fs, "/node", mark, NULL), OK);
	lab_open(lab);
	lab_settle(lab);
	lab->checkpoints = 0;
	while (lab->checkpoints == 0 ||
	       lab->state.index < lab->core->base.index + 5)
		fill(1);
	mark->begun_index = lab->core->base.index;
	mark->begun_term = lab->core->base.term;
	lab_crash(lab);
}

START_TEST(an_install_that_came_to_nothing_takes_no_later_log)
{
	struct mark mark = { LAB_INDEXES, 1, 3 }, again, left;

	live_on(&mark);
	teardown();
	setup();
	again = mark;
	live_on(&again);
	ck_assert_mem_eq(&again, &mark, sizeof(mark));
	lab_open(lab);
	lab_settle(lab);
	ck_assert_uint_ge(lab->state.index, lab->applied_ever);
	ck_assert_int_eq(mark_read(lab->fs, "/node", &left, NULL), OK);
	ck_assert_uint_eq(left.begun_index, 0);
	ck_assert_uint_eq(left.begun_term, 0);
	ck_assert_uint_eq(left.done_index, 3);
}
END_TEST

static void damage_vote(void)
{
	ck_assert(disk_damage(lab->disk, "/node/vote.0", 20));
	ck_assert(disk_damage(lab->disk, "/node/vote.1", 20));
}

static void remove_vote(void)
{
	ck_assert_int_eq(lab->fs->ops->remove(lab->fs, "/node/vote.0", NULL), OK);
	ck_assert_int_eq(lab->fs->ops->remove(lab->fs, "/node/vote.1", NULL), OK);
}

/* Of another day: a term that the log has gone beyond. */
static void old_vote(void)
{
	struct vote v = { .term = 1 };

	remove_vote();
	ck_assert_int_eq(vote_write(lab->fs, "/node", &v, NULL), OK);
}

static void (*const vote_losses[])(void) = { damage_vote, remove_vote, old_vote };

START_TEST(a_vote_that_is_gone_is_refused)
{
	struct err err;

	lab_open(lab);
	lab_settle(lab);
	lab_crash(lab);
	/* It is in term 2 or above. */
	lab_open(lab);
	lab_settle(lab);
	fill(3 + _i * 200);
	lab_crash(lab);
	vote_losses[_i]();
	ck_assert_int_eq(lab_try_open(lab, &err), E_CORRUPT);
	ck_assert_msg(strstr(err.text, "vote.0"), "%s", err.text);
	ck_assert(err.hint[0]);
}
END_TEST

START_TEST(one_copy_of_the_vote_is_enough)
{
	struct err err;

	lab_open(lab);
	lab_settle(lab);
	lab_crash(lab);
	ck_assert(disk_damage(lab->disk, _i ? "/node/vote.1" : "/node/vote.0", 20));
	ck_assert_msg(lab_try_open(lab, &err) == OK, "%s", err.text);
}
END_TEST

/* ---- any order, any crash ---- */

static void step(struct prng *r)
{
	switch (prng_below(r, 6)) {
	case 0:
		propose();
		break;
	case 1:
		lab_write(lab);
		break;
	case 2:
	case 3:
		lab_machine(lab);
		break;
	case 4:
		if (prng_chance(r, 200000))
			lab_worker(lab);
		break;
	default:
		lab->now_ms += prng_below(r, 3);
		node_core_timeout(lab->core, lab->now_ms);
	}
}

/* What was applied once is applied at every later start, in the same place:
 * apply_one() compares. */
START_TEST(no_order_and_no_crash_loses_what_was_applied)
{
	struct prng r;
	unsigned checkpoints = 0;

	prng_init(&r, (uint64_t)_i + 1);
	for (unsigned life = 0; life < 6; life++) {
		uint64_t steps = prng_below(&r, 3000);

		lab_open(lab);
		if (prng_chance(&r, 500000))
			lab_settle(lab);
		while (steps--)
			step(&r);
		checkpoints += lab->checkpoints;
		lab_crash(lab);
	}
	lab_open(lab);
	lab_settle(lab);
	ck_assert_uint_ge(lab->state.index, lab->applied_ever);
	ck_assert_uint_eq(lab->fatals, 0);
	ck_assert_uint_gt(lab->state.count, 0);
	ck_assert_uint_gt(checkpoints, 0);
}
END_TEST

/* ---- pace ---- */

START_TEST(the_pace_gives_way_to_the_log)
{
	struct pace p;
	uint64_t first, wait, writes = 100;

	pace_init(&p, 100, writes);
	first = pace_next(&p, 100, ++writes, 1 << 20);
	ck_assert_uint_gt(first, 0);
	wait = first;
	for (int i = 0; i < 3; i++) {
		uint64_t next = pace_next(&p, 5000, ++writes, 1 << 20);

		ck_assert_uint_gt(next, wait);
		wait = next;
	}
	/* No new writes: the percentile says nothing. */
	ck_assert_uint_lt(pace_next(&p, 5000, writes, 1 << 20), wait);
	for (int i = 0; i < 100; i++)
		wait = pace_next(&p, 5000, ++writes, 1 << 20);
	ck_assert_uint_le(wait, 1000000 / 8);    /* it ends: 8 MiB a second */
	for (int i = 0; i < 100; i++)
		wait = pace_next(&p, 100, ++writes, 1 << 20);
	ck_assert_uint_lt(wait, first);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/core");
	TCase *t = tcase_create("core");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, nothing_is_applied_before_it_is_durable);
	tcase_add_test(t, one_batch_at_a_time_is_with_the_machine);
	tcase_add_test(t, more_than_may_be_under_way_is_refused);
	tcase_add_test(t, before_an_election_nothing_is_accepted);
	tcase_add_test(t, an_only_voter_gets_ready);
	tcase_add_test(t, without_an_entry_of_its_term_it_never_is);
	tcase_add_test(t, a_membership_in_a_batch_leaves_what_is_behind_it);
	tcase_add_test(t, a_failed_log_leaves_the_outcome_open);
	tcase_add_test(t, a_failed_machine_stops_apply_for_good);
	tcase_add_test(t, a_batch_that_was_begun_is_the_machines);
	tcase_add_test(t, a_stop_tells_who_still_waits);
	tcase_add_test(t, a_start_reads_the_log_back_in_batches);
	tcase_add_test(t, the_log_is_cut_behind_two_checkpoints);
	tcase_add_test(t, a_checkpoint_that_fails_is_put_off);
	tcase_add_test(t, who_follows_is_ready_when_it_has_all_that_is_committed);
	tcase_add_test(t, who_follows_waits_while_the_state_grows_under_a_copy);
	tcase_add_test(t, who_follows_gathers_between_batches);
	tcase_add_test(t, who_is_hurried_gathers_nothing);
	tcase_add_test(t, who_gathered_much_applies_it);
	tcase_add_test(t, who_starts_over_and_over_does_not_fill_the_disk);
	tcase_add_test(t, a_large_state_is_copied_less_often);
	tcase_add_test(t, a_state_that_grows_like_the_log_is_copied);
	tcase_add_test(t, a_log_that_ends_below_the_checkpoint_is_refused);
	tcase_add_test(t, a_state_that_is_refused_is_closed);
	tcase_add_test(t, a_log_that_is_gone_is_refused);
	tcase_add_test(t, an_install_that_came_to_nothing_takes_no_later_log);
	tcase_add_loop_test(t, a_vote_that_is_gone_is_refused, 0,
			    ARRAY_LEN(vote_losses));
	tcase_add_loop_test(t, one_copy_of_the_vote_is_enough, 0, 2);
	tcase_add_loop_test(t, no_order_and_no_crash_loses_what_was_applied, 0,
			    15);
	tcase_add_test(t, the_pace_gives_way_to_the_log);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
