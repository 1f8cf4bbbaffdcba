/*
 * The guards, each by messages that show the fault of the core where the guard
 * is switched off, and that it is gone where it is on.
 */
#include "trio.h"

#include "base/failpoint.h"
#include "node/guard.h"

#include "base/banned.h"

static void switch_off(const char *spec)
{
	struct err err;

	ck_assert_msg(failpoint_set(spec, &err) == OK, "%s", err.text);
}

/* ---- what all stand on ---- */

START_TEST(three_engines_elect_and_commit)
{
	struct peer *leader;

	trio_bootstrap(3);
	for (unsigned i = 1; i <= 3; i++)
		trio_start(i, 1);
	ck_assert(trio_elect());
	leader = trio_leader();
	ck_assert_int_eq(trio_submit(leader, 10), OK);
	trio_settle();
	trio_pass(200);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(trio[i].commit, leader->last);
		ck_assert_uint_eq(trio[i].last, leader->last);
	}
	/* The leader goes; the others go on. */
	leader->is_cut_off = true;
	leader = NULL;
	trio_pass(2000);
	leader = trio_leader();
	ck_assert_ptr_nonnull(leader);
	ck_assert_int_eq(trio_submit(leader, 5), OK);
	trio_pass(200);
	ck_assert_uint_eq(leader->commit, leader->last);
	/* The old one comes back and follows. */
	for (unsigned i = 0; i < 3; i++)
		trio[i].is_cut_off = false;
	ck_assert(trio_elect());
	trio_pass(1000);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(trio[i].commit, trio_leader()->last);
}
END_TEST

/* ---- A ---- */

static struct engine_message pre_vote(uint64_t term, uint64_t last)
{
	return (struct engine_message){
		.type = ENGINE_M_VOTE, .term = term,
		.vote = { .candidate = 1, .last_index = last, .last_term = 2,
			  .pre = true },
	};
}

static uint64_t refusal_term(void)
{
	trio_bootstrap(3);
	trio_start(2, 5);
	trio_feed(2, 1, pre_vote(3, 10));
	ck_assert_ptr_nonnull(trio_sent(2, ENGINE_M_VOTE_RESULT));
	ck_assert(!trio_sent(2, ENGINE_M_VOTE_RESULT)->vote_result.granted);
	return trio_sent(2, ENGINE_M_VOTE_RESULT)->term;
}

START_TEST(a_refused_pre_vote_says_our_term)
{
	ck_assert_uint_eq(refusal_term(), 5);
}
END_TEST

START_TEST(without_guard_a_it_echoes_the_candidates)
{
	switch_off("guard.a=error");
	ck_assert_uint_eq(refusal_term(), 3);
}
END_TEST

/* Server 1 has the longest log and an old term; server 3 is down. */
static bool two_of_three_elect(void)
{
	trio_bootstrap(3);
	trio_put(1, 2);
	trio_put(1, 2);
	trio_start(1, 2);
	trio_start(2, 6);
	return trio_elect();
}

START_TEST(the_longest_log_with_an_old_term_leads)
{
	ck_assert(two_of_three_elect());
	ck_assert_uint_eq(trio_leader()->id, 1);
	ck_assert_uint_gt(trio_leader()->term, 6);
}
END_TEST

START_TEST(without_guard_a_nobody_ever_leads)
{
	switch_off("guard.a=error");
	ck_assert(!two_of_three_elect());
}
END_TEST

static struct engine_message answer(bool pre)
{
	return (struct engine_message){
		.type = ENGINE_M_VOTE_RESULT, .term = 2,
		.vote_result = { .granted = true, .pre = pre },
	};
}

/* Else two servers that the same third one encourages lead in one term. */
START_TEST(a_late_answer_to_a_pre_vote_is_no_vote)
{
	trio_bootstrap(4);
	trio_start(1, 1);
	trio_pass(1000);
	ck_assert(trio_sent(1, ENGINE_M_VOTE)->vote.pre);
	trio_feed(1, 2, answer(true));
	trio_feed(1, 3, answer(true));
	ck_assert(!trio_sent(1, ENGINE_M_VOTE)->vote.pre);
	ck_assert_uint_eq(trio[0].term, 2);
	trio_feed(1, 4, answer(true));
	trio_feed(1, 2, answer(false));
	ck_assert(!trio[0].is_leader);
	trio_feed(1, 4, answer(false));
	ck_assert(trio[0].is_leader);
}
END_TEST

/* ---- B ---- */

static struct engine_entry entries[8];

static struct engine_message append(uint64_t prev, uint64_t prev_term,
				    unsigned n, uint64_t commit)
{
	return (struct engine_message){
		.type = ENGINE_M_APPEND, .term = 2,
		.append = { prev, prev_term, commit, entries, n },
	};
}

/* The index under which a follower knows a membership that comes third. */
static uint64_t index_of_change(void)
{
	uint64_t committed, uncommitted;
	unsigned voters;

	trio_bootstrap(3);
	trio_start(2, 2);
	for (unsigned i = 0; i < 4; i++)
		entries[i] = (struct engine_entry){ 2, ENGINE_COMMAND, STR("x") };
	entries[2] = trio[1].log[1];
	entries[2].term = 2;
	trio_feed(2, 1, append(1, 1, 4, 1));
	ck_assert_uint_eq(trio[1].last, 5);
	engine_membership(trio[1].e, &committed, &uncommitted, &voters);
	ck_assert_uint_eq(voters, 3);
	return uncommitted;
}

START_TEST(a_membership_is_known_under_its_own_index)
{
	ck_assert_uint_eq(index_of_change(), 4);
	/* So it is committed when it is applied. */
	trio_feed(2, 1, append(5, 2, 0, 5));
	ck_assert_uint_eq(trio[1].conf_applied, 4);
	{
		uint64_t committed, uncommitted;
		unsigned voters;

		engine_membership(trio[1].e, &committed, &uncommitted, &voters);
		ck_assert_uint_eq(committed, 4);
		ck_assert_uint_eq(uncommitted, 0);
	}
}
END_TEST

START_TEST(without_guard_b_it_is_the_first_of_its_batch)
{
	switch_off("guard.b=error");
	ck_assert_uint_eq(index_of_change(), 2);
}
END_TEST

START_TEST(batches_begin_with_the_membership)
{
	struct engine_message m = append(1, 1, 6, 0);
	static const enum engine_type types[] = { 3, 1, 1, 3, 3, 1 };
	static const unsigned want[] = { 3, 1, 2 };

	for (unsigned i = 0; i < 6; i++)
		entries[i] = (struct engine_entry){ 2, types[i], STR("x") };
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(guard_batch(&m), want[i]);
		m.append.entries += want[i];
		m.append.n -= want[i];
	}
	ck_assert_uint_eq(guard_batch(&m), 0);
}
END_TEST

/* ---- C ---- */

static struct guard_change change(void)
{
	return (struct guard_change){ .is_caught_up = true,
				      .all_have_last = true,
				      .voters_before = 4, .voters_after = 3 };
}

START_TEST(changes_follow_the_procedure)
{
	struct guard_change c = change();
	struct err err;

	c.takes_vote = true;
	ck_assert_int_eq(guard_change(&c, &err), OK);
	c.is_self = true;
	ck_assert_int_eq(guard_change(&c, &err), E_CONFLICT);
	ck_assert_ptr_nonnull(strstr(err.hint, "transfer"));
	c = change();
	c.is_pending = true;
	ck_assert_int_eq(guard_change(&c, &err), E_CONFLICT);
	c = change();
	c.all_have_last = false;
	ck_assert_int_eq(guard_change(&c, &err), E_CONFLICT);
	c = change();
	c.gives_vote = true;
	c.is_caught_up = false;
	ck_assert_int_eq(guard_change(&c, &err), E_CONFLICT);
	c = change();
	c.takes_vote = true;
	c.voters_after = 2;
	ck_assert_int_eq(guard_change(&c, &err), E_CONFLICT);
	c.force = true;
	ck_assert_int_eq(guard_change(&c, &err), OK);
}
END_TEST

/* Voters 1 to 3, one of which leads; all have the same. */
static struct peer *three(void)
{
	struct peer *leader;

	trio_bootstrap(3);
	for (unsigned i = 1; i <= 3; i++)
		trio_start(i, 1);
	ck_assert(trio_elect());
	leader = trio_leader();
	ck_assert_int_eq(trio_submit(leader, 3), OK);
	trio_pass(200);
	return leader;
}

static struct peer *next_to(const struct peer *p)
{
	return &trio[p->id % 3];
}

/* Whether a command is committed by those who are connected. */
static bool goes_on(void)
{
	struct peer *leader;

	trio_pass(3000);
	leader = trio_leader();
	if (!leader || trio_submit(leader, 1))
		return false;
	trio_pass(500);
	return leader->commit == leader->last;
}

/* A leader that nobody hears removes the others, one behind the other: with both it
 * would be a majority by itself, and so would the others be. */
static void remove_two(void)
{
	struct peer *old = three(), *b = next_to(old), *c = next_to(b);
	uint64_t commit = old->commit;

	old->is_cut_off = true;
	ck_assert_int_eq(trio_change(old, ENGINE_REMOVE, b->id, true), OK);
	ck_assert_int_eq(trio_change(old, ENGINE_REMOVE, c->id, true), E_CONFLICT);
	trio_pass(20);
	ck_assert(goes_on());
	ck_assert_uint_eq(old->commit, commit);
	ck_assert_uint_gt(MAX(b->commit, c->commit), commit);
}

START_TEST(one_change_at_a_time)
{
	remove_two();
}
END_TEST

/* The core would not take it, either; what the rule adds is what to do. */
START_TEST(without_it_the_core_refuses)
{
	switch_off("guard.c_pending=error");
	remove_two();
}
END_TEST

/* A server that never was there is promoted, or one of three removed; then another
 * voter fails. */
static bool outlives(bool promotes, enum code *rc)
{
	struct peer *leader = three(), *b = next_to(leader);

	if (promotes) {
		ck_assert_int_eq(trio_change(leader, ENGINE_ADD, 4, false), OK);
		trio_pass(200);
	}
	*rc = promotes ? trio_change(leader, ENGINE_PROMOTE, 4, false) :
			 trio_change(leader, ENGINE_REMOVE, b->id, false);
	trio_pass(200);
	next_to(b)->is_cut_off = true;
	return goes_on();
}

START_TEST(who_is_behind_gets_no_vote)
{
	enum code rc;

	ck_assert(outlives(true, &rc));
	ck_assert_int_eq(rc, E_CONFLICT);
}
END_TEST

START_TEST(without_it_a_voter_that_fails_is_one_too_many)
{
	enum code rc;

	switch_off("guard.c_behind=error");
	ck_assert(!outlives(true, &rc));
	ck_assert_int_eq(rc, OK);
}
END_TEST

START_TEST(three_voters_are_kept)
{
	enum code rc;

	ck_assert(outlives(false, &rc));
	ck_assert_int_eq(rc, E_CONFLICT);
}
END_TEST

START_TEST(without_it_none_of_two_may_fail)
{
	enum code rc;

	switch_off("guard.c_few=error");
	ck_assert(!outlives(false, &rc));
	ck_assert_int_eq(rc, OK);
}
END_TEST

START_TEST(a_server_joins_is_promoted_and_leaves)
{
	struct peer *leader;
	uint64_t committed, uncommitted;
	unsigned voters;

	trio_bootstrap(3);
	for (unsigned i = 1; i <= 3; i++)
		trio_start(i, 1);
	ck_assert(trio_elect());
	leader = trio_leader();
	trio_submit(leader, 3);
	trio_pass(200);
	/* A new server starts with the bootstrap entry too. */
	trio[3].log[1] = trio[0].log[1];
	trio[3].last = 1;
	trio_start(4, 1);
	ck_assert_int_eq(trio_change(leader, ENGINE_ADD, 4, false), OK);
	ck_assert_int_eq(trio_change(leader, ENGINE_PROMOTE, 4, false),
			 E_CONFLICT);
	trio_pass(1000);
	ck_assert_uint_eq(trio[3].last, leader->last);
	ck_assert_int_eq(trio_change(leader, ENGINE_PROMOTE, 4, false), OK);
	trio_pass(500);
	engine_membership(trio[3].e, &committed, &uncommitted, &voters);
	ck_assert_uint_eq(voters, 4);
	ck_assert_uint_eq(uncommitted, 0);
	ck_assert_int_eq(trio_change(leader, ENGINE_REMOVE, leader->id, false),
			 E_CONFLICT);
	ck_assert_int_eq(trio_change(leader, ENGINE_ADD, 4, false), E_EXISTS);
	ck_assert_int_eq(trio_change(leader, ENGINE_REMOVE, 9, false),
			 E_NOT_FOUND);
	ck_assert_int_eq(trio_change(leader, ENGINE_REMOVE, 4, false), OK);
	trio_pass(500);
	engine_membership(leader->e, &committed, &uncommitted, &voters);
	ck_assert_uint_eq(voters, 3);
}
END_TEST

START_TEST(leadership_is_handed_over)
{
	struct peer *leader;
	struct engine_update u;
	uint64_t to;

	trio_bootstrap(3);
	for (unsigned i = 1; i <= 3; i++)
		trio_start(i, 1);
	ck_assert(trio_elect());
	leader = trio_leader();
	trio_submit(leader, 1);
	trio_pass(200);
	to = leader->id % 3 + 1;
	ck_assert_int_eq(engine_transfer(leader->e, trio_now, leader->id, &u,
					 &trio_err), E_CONFLICT);
	ck_assert_int_eq(engine_transfer(leader->e, trio_now, to, &u, &trio_err),
			 OK);
	trio_handle(leader, &u, NULL);
	trio_settle();
	ck_assert(trio_elect());
	ck_assert_uint_eq(trio_leader()->id, to);
}
END_TEST

/* ---- D ---- */

/* A follower whose log begins behind a snapshot at 10 is told everything from
 * entry 1 on; answers the first index that it would write. */
static uint64_t first_written(void)
{
	static struct engine_entry all[13];
	struct engine_message m = append(0, 0, 13, 10);
	struct engine_update u;
	bool more;
	uint64_t first = 0;

	trio_bootstrap(3);
	for (unsigned i = 0; i < 11; i++)
		trio_put(2, 1);
	for (unsigned i = 0; i < 13; i++)
		all[i] = (struct engine_entry){ 1, ENGINE_COMMAND, STR("x") };
	all[0] = trio[1].log[1];
	trio_snapshot(2, 10, 1, true);
	trio_start(2, 2);
	m.peer = 1;
	m.append.entries = all;
	do {
		ck_assert_int_eq(engine_receive(trio[1].e, trio_now, &m, &more,
						&u, &trio_err), OK);
		if (u.first_index && !first)
			first = u.first_index;
	} while (more);
	return first;
}

START_TEST(what_is_committed_is_not_appended_anew)
{
	/* 12 are there; the 13th is new. */
	ck_assert_uint_eq(first_written(), 13);
}
END_TEST

START_TEST(without_guard_d_the_log_begins_again)
{
	switch_off("guard.d=error");
	ck_assert_uint_eq(first_written(), 1);
}
END_TEST

START_TEST(an_append_of_what_is_committed_is_a_heartbeat)
{
	struct engine_message m = append(2, 1, 3, 9);

	for (unsigned i = 0; i < 3; i++)
		entries[i] = (struct engine_entry){ 1, ENGINE_COMMAND, STR("x") };
	guard_append(&m, 7, 4);
	ck_assert_uint_eq(m.append.n, 0);
	ck_assert_uint_eq(m.append.prev_index, 7);
	ck_assert_uint_eq(m.append.prev_term, 4);
	m = append(2, 1, 3, 9);
	guard_append(&m, 4, 4);
	ck_assert_uint_eq(m.append.n, 1);
	ck_assert_uint_eq(m.append.prev_index, 4);
	m = append(5, 1, 3, 9);
	guard_append(&m, 4, 4);
	ck_assert_uint_eq(m.append.n, 3);
	ck_assert_uint_eq(m.append.prev_index, 5);
}
END_TEST

/* ---- E ---- */

START_TEST(what_is_not_committed_is_bounded)
{
	struct peer *leader;

	trio_bootstrap(3);
	for (unsigned i = 1; i <= 3; i++)
		trio_start(i, 1);
	ck_assert(trio_elect());
	leader = trio_leader();
	trio_submit(leader, 1);
	trio_pass(200);
	/* Nobody hears it any more. */
	leader->is_cut_off = true;
	ck_assert_int_eq(trio_submit(leader, 8000), OK);
	ck_assert_int_eq(trio_submit(leader, 193), E_BUSY);
	ck_assert_int_eq(trio_submit(leader, 192), OK);
	ck_assert_int_eq(trio_submit(leader, 1), E_BUSY);
}
END_TEST

/* As many as may be, and then no more; answers how many. */
static unsigned submit_up_to(struct peer *p, unsigned n)
{
	unsigned done = 0;

	while (done < n && trio_submit(p, 1) == OK)
		done++;
	return done;
}

#define MANY 20000

/*
 * A leader that nobody hears is given what it takes; meanwhile the others commit as
 * much in the same places, and lead in turn.  Then it comes back: how often it is sent
 * what does not fit, an index further back each time.
 */
static unsigned trips_to_rejoin(unsigned *uncommitted)
{
	struct peer *old, *next, *last;

	trio_bootstrap(3);
	for (unsigned i = 1; i <= 3; i++)
		trio_start(i, 1);
	ck_assert(trio_elect());
	old = trio_leader();
	old->is_cut_off = true;
	*uncommitted = submit_up_to(old, MANY);
	trio_pass(2000);
	next = trio_leader();
	ck_assert(next && next != old);
	for (unsigned i = 0; i < MANY / 500; i++) {
		ck_assert_int_eq(trio_submit(next, 500), OK);
		trio_settle();
	}
	trio_pass(200);
	ck_assert_uint_eq(next->commit, next->last);
	/* Who leads next begins where its log ends. */
	next->is_cut_off = true;
	old->is_cut_off = false;
	old->refusals = old->refusals_most = 0;
	for (unsigned i = 0; i < 100 && old->commit < next->commit; i++)
		trio_pass(100);
	last = trio_leader();
	ck_assert(last && last != old && last != next);
	ck_assert_uint_eq(old->commit, last->last);
	return old->refusals_most;
}

START_TEST(a_deposed_leader_rejoins_within_the_bound)
{
	unsigned uncommitted, trips = trips_to_rejoin(&uncommitted);

	ck_assert_uint_le(uncommitted, GUARD_UNCOMMITTED_MAX);
	ck_assert_uint_le(trips, GUARD_UNCOMMITTED_MAX + 16);
}
END_TEST

START_TEST(without_guard_e_it_takes_a_trip_for_each)
{
	unsigned uncommitted, trips;

	switch_off("guard.e=error");
	trips = trips_to_rejoin(&uncommitted);
	ck_assert_uint_eq(uncommitted, MANY);
	ck_assert_uint_ge(trips, MANY);
}
END_TEST

/* ---- snapshots between engines ---- */

START_TEST(a_server_that_is_far_behind_is_told_to_install)
{
	struct engine_message install = { 0 };
	struct engine_snapshot s;
	struct engine_update u;
	struct peer *leader;

	trio_bootstrap(3);
	for (unsigned i = 0; i < 20; i++)
		trio_put(1, 1), trio_put(2, 1);
	trio_snapshot(1, 15, 1, true);
	trio_snapshot(2, 15, 1, true);
	for (unsigned i = 1; i <= 3; i++)
		trio_start(i, 1);
	trio_pass(3000);
	leader = trio_leader();
	ck_assert_ptr_nonnull(leader);
	ck_assert_ptr_nonnull(trio_sent((unsigned)leader->id,
					ENGINE_M_INSTALL));
	install = *trio_sent((unsigned)leader->id, ENGINE_M_INSTALL);
	ck_assert_uint_eq(install.install.index, 15);
	ck_assert_uint_gt(trio[2].installs, 0);
	/* The caller ships the checkpoint; then the server goes on behind it. */
	s = install.install;
	s.conf = trio[0].log[1].data;
	trio[2].first = 16;
	trio[2].last = trio[2].commit = 15;
	ck_assert_int_eq(engine_installed(trio[2].e, trio_now, &s, &u,
					  &trio_err), OK);
	trio_handle(&trio[2], &u, NULL);
	trio_submit(leader, 2);
	trio_pass(1000);
	ck_assert_uint_eq(trio[2].last, leader->last);
	ck_assert_uint_eq(trio[2].commit, leader->last);
}
END_TEST

/* ---- H ---- */

/* Two changes come before the first is applied, and another leader has
 * something else in the place of the second: the membership that is left. */
static uint64_t membership_left(void)
{
	uint64_t committed, uncommitted;
	unsigned voters;
	struct engine_message other;

	trio_bootstrap(3);
	trio_start(2, 2);
	entries[0] = trio[1].log[1];
	entries[0].term = 2;
	trio_feed(2, 1, append(1, 1, 1, 1));
	trio_feed(2, 1, append(2, 2, 1, 1));
	ck_assert_uint_eq(trio[1].last, 3);
	entries[0] = (struct engine_entry){ 3, ENGINE_COMMAND, STR("x") };
	other = append(2, 2, 1, 1);
	other.term = 3;
	trio_feed(2, 3, other);
	ck_assert_uint_eq(trio[1].last, 3);
	engine_membership(trio[1].e, &committed, &uncommitted, &voters);
	ck_assert_uint_eq(uncommitted, 0);
	return committed;
}

START_TEST(a_newer_change_settles_the_one_before)
{
	ck_assert_uint_eq(membership_left(), 2);
}
END_TEST

START_TEST(without_guard_h_it_is_forgotten)
{
	switch_off("guard.h=error");
	ck_assert_uint_eq(membership_left(), 1);
}
END_TEST

/* Only where the log matches: the change here may be one that was cut off. */
START_TEST(a_log_that_does_not_match_settles_nothing)
{
	struct engine_message m = append(5, 2, 1, 1);

	entries[0] = (struct engine_entry){ 2, ENGINE_CHANGE, STR("x") };
	ck_assert(guard_settles(&m, 5, 2));
	ck_assert(guard_settles(&m, 4, 2));
	ck_assert(!guard_settles(&m, 5, 1));
	ck_assert(!guard_settles(&m, 6, 2));
	ck_assert(!guard_settles(&m, 0, 2));
	entries[0].type = ENGINE_COMMAND;
	ck_assert(!guard_settles(&m, 5, 2));
	m.append.n = 0;
	ck_assert(!guard_settles(&m, 5, 2));
}
END_TEST

/* ---- memberships ---- */

#define SERVER(id, address, role) id "\0\0\0\0\0\0\0" address "\0" role
#define CONF(n, servers) { "\1" n "\0\0\0\0\0\0\0" servers, \
			   sizeof("\1" n "\0\0\0\0\0\0\0" servers) - 1 }

static const struct str sound[] = {
	CONF("\1", SERVER("\1", "a:1", "\1")),
	CONF("\3", SERVER("\1", "a:1", "\1") SERVER("\2", "b:1", "\0")
	     SERVER("\3", "", "\2") "\0\0\0"),
};

static const struct str unsound[] = {
	{ NULL, 0 },
	CONF("\0", "\0\0\0\0\0\0\0"),
	{ "\2\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0a\0\1", 20 },
	CONF("\2", SERVER("\1", "a:1", "\1")),
	CONF("\1", SERVER("\0", "a:1", "\1")),
	CONF("\1", SERVER("\1", "a:1", "\3")),
	CONF("\1", "\1\0\0\0\0\0\0\0a:1"),
	CONF("\2", SERVER("\1", "a:1", "\1") SERVER("\1", "b:1", "\1")),
	CONF("\2", SERVER("\1", "a:1", "\1") SERVER("\2", "a:1", "\1")),
	{ "\1\1\4\0\0\0\0\0\0\1\0\0\0\0\0\0\0a\0\1", 20 },
};

START_TEST(memberships_that_can_be_read)
{
	struct engine_member m[4];
	size_t n = engine_members(sound[_i], m, ARRAY_LEN(m));

	ck_assert(guard_conf(sound[_i]));
	ck_assert_uint_eq(n, _i ? 3 : 1);
	ck_assert(m[0].id == 1 && m[0].votes);
	ck_assert_str_eq(m[0].address, "a:1");
	/* All of what it begins with is none. */
	for (size_t k = 0; k < 20; k++)
		ck_assert(!guard_conf(str_first(sound[_i], k)));
}
END_TEST

START_TEST(others_do_not_come_to_the_engine)
{
	struct engine_entry entries[] = { { 1, ENGINE_CHANGE, sound[0] },
					  { 1, ENGINE_COMMAND, unsound[_i] },
					  { 1, ENGINE_CHANGE, unsound[_i] } };
	struct engine_message append = { .type = ENGINE_M_APPEND, .term = 1,
					 .append = { 4, 1, 4, entries, 3 } };
	struct engine_config config = { .id = 1, .address = "a:1",
					.election_ms = 1000, .heartbeat_ms = 100 };
	struct engine_update u;
	struct engine *e;
	struct err err;

	ck_assert(!guard_conf(unsound[_i]));
	ck_assert_uint_eq(engine_members(unsound[_i], NULL, 0), 0);
	ck_assert_int_eq(guard_message(&append, &err), E_CORRUPT);
	ck_assert_str_eq(err.text, "entry 7: the membership cannot be read");
	append.append.n = 2;
	ck_assert_int_eq(guard_message(&append, &err), OK);
	ck_assert_int_eq(engine_new(&config, &e, &err), OK);
	ck_assert_int_eq(engine_start(e, 0, 1, 0, NULL, 1, entries, 3, &u, &err),
			 E_CORRUPT);
	ck_assert_str_eq(err.text, "entry 3: the membership cannot be read");
	engine_free(&e);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/guard");
	TCase *t = tcase_create("guard");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, trio_setup, trio_teardown);
	tcase_add_test(t, three_engines_elect_and_commit);
	tcase_add_test(t, a_refused_pre_vote_says_our_term);
	tcase_add_test(t, without_guard_a_it_echoes_the_candidates);
	tcase_add_test(t, the_longest_log_with_an_old_term_leads);
	tcase_add_test(t, without_guard_a_nobody_ever_leads);
	tcase_add_test(t, a_late_answer_to_a_pre_vote_is_no_vote);
	tcase_add_test(t, a_membership_is_known_under_its_own_index);
	tcase_add_test(t, without_guard_b_it_is_the_first_of_its_batch);
	tcase_add_test(t, batches_begin_with_the_membership);
	tcase_add_test(t, changes_follow_the_procedure);
	tcase_add_test(t, one_change_at_a_time);
	tcase_add_test(t, without_it_the_core_refuses);
	tcase_add_test(t, who_is_behind_gets_no_vote);
	tcase_add_test(t, without_it_a_voter_that_fails_is_one_too_many);
	tcase_add_test(t, three_voters_are_kept);
	tcase_add_test(t, without_it_none_of_two_may_fail);
	tcase_add_test(t, a_server_joins_is_promoted_and_leaves);
	tcase_add_test(t, leadership_is_handed_over);
	tcase_add_test(t, what_is_committed_is_not_appended_anew);
	tcase_add_test(t, without_guard_d_the_log_begins_again);
	tcase_add_test(t, an_append_of_what_is_committed_is_a_heartbeat);
	tcase_add_test(t, what_is_not_committed_is_bounded);
	tcase_add_test(t, a_deposed_leader_rejoins_within_the_bound);
	tcase_add_test(t, without_guard_e_it_takes_a_trip_for_each);
	tcase_add_test(t, a_server_that_is_far_behind_is_told_to_install);
	tcase_add_test(t, a_newer_change_settles_the_one_before);
	tcase_add_test(t, without_guard_h_it_is_forgotten);
	tcase_add_test(t, a_log_that_does_not_match_settles_nothing);
	tcase_add_loop_test(t, memberships_that_can_be_read, 0,
			    (int)ARRAY_LEN(sound));
	tcase_add_loop_test(t, others_do_not_come_to_the_engine, 0,
			    (int)ARRAY_LEN(unsound));
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
