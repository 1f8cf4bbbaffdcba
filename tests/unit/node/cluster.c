/* Clusters of nodes with threads, over loopback: elections, replication, what
 * goes and comes back, calls, reads. */
#include <stdio.h>

#include "raftcore/hurry.h"
#include "ring.h"

#include "base/mem.h"

#include "base/banned.h"

static struct err err;

/* Another than the leader. */
static unsigned a_follower(void)
{
	return ring_elected() % ring_founders + 1;
}

/* ---- elections and replication ---- */

START_TEST(three_elect_and_replicate)
{
	unsigned leader;
	struct rc_status a, b;

	ring_found(3);
	leader = ring_elected();
	ring_fill(leader, 0, 2000, 100);
	RING_WAIT(ring_equal(2000));
	a = ring_status(1);
	b = ring_status(2);
	ck_assert_mem_eq(&a.cluster_id, &b.cluster_id, sizeof(a.cluster_id));
	ck_assert_uint_eq(a.malformed + b.malformed, 0);
}
END_TEST

START_TEST(a_follower_refuses_and_names_the_leader)
{
	char name[40];
	unsigned follower;

	ring_found(3);
	follower = a_follower();
	snprintf(name, sizeof(name), "node %u is", ring_elected());
	ck_assert_int_eq(ring_put(follower, 1, &err), E_NOT_LEADER);
	ck_assert_msg(strstr(err.text, name) != NULL, "%s", err.text);
	ck_assert(!ring_status(follower).is_leader);
	ck_assert_uint_eq(ring_status(follower).leader_id, ring_elected());
}
END_TEST

START_TEST(a_follower_comes_back_and_catches_up)
{
	unsigned leader, follower;

	ring_found(3);
	leader = ring_elected();
	follower = a_follower();
	ring_fill(leader, 0, 100, 50);
	ring_stop(follower);
	ring_fill(leader, 100, 3000, 500);
	ring_start(follower);
	RING_WAIT(ring_equal(3100));
	RING_WAIT(ring_status(follower).is_ready);
}
END_TEST

START_TEST(what_was_acknowledged_outlives_its_leader)
{
	unsigned leader, next;

	ring_found(3);
	leader = ring_elected();
	ring_fill(leader, 0, 500, 50);
	ring_stop(leader);
	next = ring_elected();
	ck_assert_uint_ne(next, leader);
	RING_WAIT(ring_count(next) >= 500);
	for (uint64_t v = 0; v < 500; v++)
		ck_assert(ring_has(next, v));
	ring_fill(next, 500, 500, 50);
	ring_start(leader);
	RING_WAIT(ring_equal(1000));
}
END_TEST

START_TEST(all_end_and_come_back)
{
	ring_found(3);
	ring_fill(ring_elected(), 0, 300, 50);
	for (unsigned round = 1; round <= 3; round++) {
		for (unsigned id = 1; id <= 3; id++)
			ring_stop(id);
		for (unsigned id = 1; id <= 3; id++)
			ring_start(id);
		ring_fill(ring_elected(), 300 * round, 300, 50);
		RING_WAIT(ring_equal(300 * (round + 1)));
	}
}
END_TEST

/* Without a majority nobody is ready, and what is proposed is not acknowledged. */
START_TEST(one_of_three_is_not_ready)
{
	unsigned leader;

	ring_found(3);
	leader = ring_elected();
	ring_fill(leader, 0, 10, 50);
	for (unsigned id = 1; id <= 3; id++)
		if (id != leader)
			ring_stop(id);
	RING_WAIT(!ring_status(leader).is_ready);
	ck_assert_int_eq(ring_put(leader, 10, &err), E_NOT_LEADER);
	ck_assert_uint_eq(ring_status(leader).leader_id, 0);
}
END_TEST

static bool has_match(unsigned at, unsigned id)
{
	struct rc_peer peers[RING_MAX];
	size_t n = rc_peers(ring[at - 1].node, peers, RING_MAX);

	for (size_t i = 0; i < n; i++)
		if (peers[i].id == id)
			return peers[i].votes && peers[i].bytes_out > 0 &&
			       peers[i].match == ring_status(at).commit;
	return false;
}

static struct rc_peer peer_of(unsigned at, unsigned id)
{
	struct rc_peer peers[RING_MAX];
	size_t n = rc_peers(ring[at - 1].node, peers, RING_MAX);

	for (size_t i = 0; i < n; i++)
		if (peers[i].id == id)
			return peers[i];
	ck_abort_msg("node %u does not know node %u", at, id);
}

START_TEST(peers_are_told)
{
	struct rc_peer before, peers[RING_MAX];
	unsigned leader, follower;

	ring_found(3);
	leader = ring_elected();
	follower = a_follower();
	ck_assert_uint_eq(rc_peers(ring[0].node, peers, 1), 3);
	ck_assert_str_eq(peers[0].address, ring[0].address);
	ring_fill(leader, 0, 50, 50);
	RING_WAIT(has_match(leader, follower));
	before = peer_of(leader, follower);
	ck_assert_uint_ge(before.attempts, before.connects);
	ck_assert_uint_gt(before.connects, 0);
	ck_assert_uint_gt(before.accepts, 0);
	ck_assert_uint_gt(before.frames_in, 0);
	ck_assert_uint_gt(before.frames_out, 0);
	ring_stop(follower);
	RING_WAIT(!ring_is_up(leader, follower));
	/* Heartbeats find no connection. */
	RING_WAIT(peer_of(leader, follower).attempts > before.attempts);
	RING_WAIT(peer_of(leader, follower).dropped > before.dropped);
	ring_start(follower);
	RING_WAIT(ring_is_up(leader, follower));
	RING_WAIT(peer_of(leader, follower).reconnects > before.reconnects);
	RING_WAIT(peer_of(leader, follower).accepts > before.accepts);
	/* Of itself a node has none. */
	ck_assert_uint_eq(peer_of(leader, leader).attempts, 0);
}
END_TEST

START_TEST(a_port_that_is_taken_is_an_error)
{
	ring_found(1);
	snprintf(ring[1].address, sizeof(ring[1].address), "%s",
		 ring[0].address);
	ring_founders = 1;
	ck_assert_int_eq(ring_try_start(2, &err), E_BUSY);
	ck_assert_int_eq(ring_put(1, 1, &err), OK);
}
END_TEST

/* ---- calls ---- */

#define SAYS 1
#define REFUSES 2
#define HANGS 3
#define ABSENT 4

static unsigned hanging;
static struct rpc_token hung;
/* Requests that hung and need no answer any more. */
static unsigned n_gone;
static enum code gone_why;
static bool gone_was_hung;

static void echo(void *data, const struct rc_request *q)
{
	struct ring_node *r = data;
	AUTO_BUF b = BUF_NONE;

	ck_assert(loop_is_here(r->apply));
	buf_printf(&b, "%llu to %llu: %.*s", (unsigned long long)q->peer,
		   (unsigned long long)r->id, STR_ARG(q->body));
	rc_answer(r->node, q->token, OK, buf_view(&b), NULL);
}

static void refuse(void *data, const struct rc_request *q)
{
	struct ring_node *r = data;
	struct err no;

	err_set(&no, E_PRECONDITION, "not like that");
	rc_answer(r->node, q->token, E_PRECONDITION, STR_NONE, &no);
}

static void hang(void *data, const struct rc_request *q)
{
	pthread_mutex_lock(&ring_lock);
	hanging++;
	hung = q->token;
	pthread_mutex_unlock(&ring_lock);
	ring_changed();
}

static void hung_is_gone(void *data, struct rpc_token token, enum code why)
{
	struct ring_node *r = data;

	ck_assert(loop_is_here(r->apply) || why == E_UNAVAILABLE);
	pthread_mutex_lock(&ring_lock);
	n_gone++;
	gone_why = why;
	gone_was_hung = rpc_token_is(token, hung);
	pthread_mutex_unlock(&ring_lock);
	ring_changed();
}

/* So many in all, and the last by 'why'. */
static bool are_gone(unsigned n, enum code why)
{
	bool yes;

	pthread_mutex_lock(&ring_lock);
	ck_assert_uint_le(n_gone, n);
	yes = n_gone == n && gone_why == why;
	pthread_mutex_unlock(&ring_lock);
	return yes;
}

static bool is_hanging(unsigned n)
{
	unsigned now;

	pthread_mutex_lock(&ring_lock);
	now = hanging;
	pthread_mutex_unlock(&ring_lock);
	return now >= n;
}

static void with_methods(struct ring_node *r)
{
	rc_handle(r->node, SAYS, echo, r);
	rc_handle(r->node, REFUSES, refuse, r);
	rc_handle(r->node, HANGS, hang, r);
	rc_handle_gone(r->node, HANGS, hung_is_gone);
}

START_TEST(calls_reach_the_leader_from_each)
{
	ring_prepare = with_methods;
	ring_found(3);
	for (unsigned id = 1; id <= 3; id++) {
		struct ring_call c;
		char want[40];

		snprintf(want, sizeof(want), "%u to %u: hello", id,
			 ring_elected());
		ring_call(&c, id, RC_LEADER, SAYS, "hello", 20000);
		ck_assert_msg(ring_answered(&c) == OK, "%s", c.err.text);
		ck_assert_str_eq(c.answer, want);
		ring_call(&c, id, RC_LEADER, REFUSES, "", 20000);
		ck_assert_int_eq(ring_answered(&c), E_PRECONDITION);
		ck_assert_str_eq(c.err.text, "not like that");
		ring_call(&c, id, RC_LEADER, ABSENT, "", 20000);
		ck_assert_int_eq(ring_answered(&c), E_METHOD);
	}
}
END_TEST

START_TEST(calls_go_to_whom_they_are_for)
{
	struct ring_call c[9];
	char want[40];

	ring_prepare = with_methods;
	ring_found(3);
	for (unsigned i = 0; i < 9; i++)
		ring_call(&c[i], i / 3 + 1, i % 3 + 1, SAYS, "x", 20000);
	for (unsigned i = 0; i < 9; i++) {
		ck_assert_msg(ring_answered(&c[i]) == OK, "%s", c[i].err.text);
		snprintf(want, sizeof(want), "%u to %u: x", i / 3 + 1,
			 i % 3 + 1);
		ck_assert_str_eq(c[i].answer, want);
	}
	ring_call(&c[0], 1, 7, SAYS, "x", 20000);
	ck_assert_int_eq(ring_answered(&c[0]), E_NOT_FOUND);
}
END_TEST

START_TEST(a_call_that_is_not_answered_ends)
{
	struct ring_call c[3];

	ring_prepare = with_methods;
	ring_found(3);
	for (unsigned id = 1; id <= 3; id++)
		ring_call(&c[id - 1], id, RC_LEADER, HANGS, "", 150);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(ring_answered(&c[i]), E_TIMEOUT);
	/* An answer that comes too late is nobody's. */
	rc_answer(ring[ring_elected() - 1].node, hung, OK, STR("late"), NULL);
	ring_call(&c[0], 1, RC_LEADER, SAYS, "y", 20000);
	ck_assert_int_eq(ring_answered(&c[0]), OK);
}
END_TEST

/* The peer and this node itself. */
START_TEST(a_call_that_is_cancelled_ends_on_both_sides)
{
	struct ring_call c;

	ring_prepare = with_methods;
	ring_found(3);
	for (unsigned to = 1; to <= 2; to++) {
		ring_call(&c, 1, to, HANGS, "", 60000);
		RING_WAIT(is_hanging(to));
		rc_cancel(ring[0].node, &c.call);
		ck_assert_int_eq(ring_answered(&c), E_CANCELLED);
		RING_WAIT(are_gone(to, E_CANCELLED));
		ck_assert(gone_was_hung);
		rc_answer(ring[to - 1].node, hung, OK, STR("late"), NULL);
		/* What it held is free, and no other call was ended. */
		ring_call(&c, 1, to, SAYS, "z", 20000);
		ck_assert_int_eq(ring_answered(&c), OK);
		rc_cancel(ring[0].node, &c.call);
	}
	/* It was never sent. */
	ring_stop(2);
	ring_stop(3);
	RING_WAIT(ring_status(1).leader_id == 0);
	ring_call(&c, 1, RC_LEADER, HANGS, "", 60000);
	rc_cancel(ring[0].node, &c.call);
	ck_assert_int_eq(ring_answered(&c), E_CANCELLED);
	ck_assert(is_hanging(2) && !is_hanging(3));
}
END_TEST

START_TEST(a_request_that_nobody_waits_for_is_said_to_be_gone)
{
	struct ring_call c;

	ring_prepare = with_methods;
	ring_found(3);
	/* Who calls may be the first to see that time is over, and says so. */
	for (unsigned to = 1; to <= 2; to++) {
		ring_call(&c, 1, to, HANGS, "", 1500);
		RING_WAIT(is_hanging(to));
		ck_assert_int_eq(ring_answered(&c), E_TIMEOUT);
		RING_WAIT(are_gone(to, E_TIMEOUT) || are_gone(to, E_CANCELLED));
	}
	/* The caller ends, and the one that is asked; his last words are heard by
	 * nobody but him. */
	ring_call(&c, 1, 2, HANGS, "", 60000);
	RING_WAIT(is_hanging(3));
	ring_stop(1);
	RING_WAIT(are_gone(3, E_UNAVAILABLE));
	ring_call(&c, 2, 2, HANGS, "", 60000);
	RING_WAIT(is_hanging(4));
	ring_stop(2);
	ck_assert(are_gone(4, E_UNAVAILABLE));
}
END_TEST

START_TEST(a_peer_that_ends_leaves_a_call_uncertain)
{
	struct ring_call c, own;
	unsigned leader, follower;

	ring_prepare = with_methods;
	ring_found(3);
	leader = ring_elected();
	follower = a_follower();
	ring_call(&c, leader, follower, HANGS, "", 30000);
	RING_WAIT(is_hanging(1));
	ring_stop(follower);
	ck_assert_int_eq(ring_answered(&c), E_UNCERTAIN);
	/* And what could not be sent has not happened. */
	ring_call(&c, leader, follower, SAYS, "", 30000);
	ck_assert_int_eq(ring_answered(&c), E_UNAVAILABLE);
	/* It comes back, and is called again. */
	ring_start(follower);
	RING_WAIT(ring_is_up(leader, follower));
	do {
		ring_call(&c, leader, follower, SAYS, "", 30000);
	} while (ring_answered(&c) == E_UNAVAILABLE);
	ck_assert_msg(c.rc == OK, "%s", c.err.text);
	/* The end of the caller ends his calls. */
	ring_call(&c, leader, follower, HANGS, "", 30000);
	ring_call(&own, leader, leader, HANGS, "", 30000);
	RING_WAIT(is_hanging(3));
	ring_stop(leader);
	ck_assert(c.is_done && c.rc == E_UNCERTAIN);
	ck_assert(own.is_done && own.rc == E_UNCERTAIN);
}
END_TEST

START_TEST(without_a_leader_a_call_is_not_sent)
{
	struct ring_call c, other;
	unsigned leader;

	ring_prepare = with_methods;
	ring_found(3);
	leader = ring_elected();
	for (unsigned id = 1; id <= 3; id++)
		if (id != leader)
			ring_stop(id);
	RING_WAIT(ring_status(leader).leader_id == 0);
	ring_call(&c, leader, RC_LEADER, SAYS, "", 200);
	ck_assert_int_eq(ring_answered(&c), E_UNAVAILABLE);
	/* One that waits long enough finds the next. */
	ring_call(&c, leader, RC_LEADER, SAYS, "", 30000);
	ring_call(&other, leader, RC_LEADER, HANGS, "", 30000);
	ring_start(leader % 3 + 1);
	ck_assert_int_eq(ring_answered(&c), OK);
	ring_stop(leader);
	ck_assert(other.is_done && other.rc != OK);
}
END_TEST

/* ---- reads ---- */

START_TEST(reads_see_what_was_acknowledged)
{
	uint64_t count;
	unsigned leader;

	ring_found(3);
	leader = ring_elected();
	for (unsigned i = 1; i <= 30; i++) {
		ck_assert_int_eq(ring_put(leader, i, &err), OK);
		ck_assert_int_eq(ring_read(i % 3 + 1, 30000, &count), OK);
		ck_assert_uint_eq(count, i);
	}
}
END_TEST

/* A minute is longer than any test: what ends it is what is tested. */
START_TEST(who_reads_does_not_wait_for_what_is_gathered)
{
	uint64_t count;
	unsigned leader;

	ring_config.gather_ms = 60000;
	ring_found(3);
	leader = ring_elected();
	for (unsigned i = 1; i <= 30; i++) {
		ck_assert_int_eq(ring_put(leader, i, &err), OK);
		ck_assert_int_eq(ring_read(i % 3 + 1, 30000, &count), OK);
		ck_assert_uint_eq(count, i);
	}
}
END_TEST

/* Who gathers would apply nothing for a minute. */
START_TEST(who_waits_for_an_entry_sees_it)
{
	struct ring_await a, later[2];
	unsigned leader, follower;
	uint64_t index;

	ring_config.gather_ms = 60000;
	ring_found(3);
	leader = ring_elected();
	follower = a_follower();
	for (unsigned i = 1; i <= 5; i++) {
		ck_assert_int_eq(ring_put(leader, i, &err), OK);
		/* Its machine's: the status knows of it behind the batch. */
		ring_await(&a, follower, ring_index(leader), 60000);
		ck_assert_int_eq(ring_awaited(&a), OK);
		ck_assert_uint_eq(a.count, i);
	}
	index = ring_index(leader);
	ring_await(&a, follower, index + 1, 100);
	ck_assert_int_eq(ring_awaited(&a), E_TIMEOUT);
	/* One that is for more does not stand in the way. */
	ring_await(&later[0], follower, index + 1000, 60000);
	ring_await(&later[1], follower, index + 1, 60000);
	ck_assert_int_eq(ring_put(leader, 6, &err), OK);
	ck_assert_int_eq(ring_awaited(&later[1]), OK);
	ck_assert_uint_eq(later[1].count, 6);
	ck_assert(!later[0].is_done);
	ring_stop(follower);
	ck_assert(later[0].is_done && later[0].rc == E_UNAVAILABLE);
}
END_TEST

START_TEST(who_hurries_a_node_has_it_apply)
{
	unsigned leader, hurried, other;

	ring_config.gather_ms = 60000;
	ring_found(3);
	leader = ring_elected();
	hurried = leader % 3 + 1;
	other = hurried % 3 + 1;
	for (unsigned i = 1; i <= 5; i++)
		ck_assert_int_eq(ring_put(leader, i, &err), OK);
	rc_hurry(ring[hurried - 1].node, true);
	rc_hurry(ring[hurried - 1].node, true);
	RING_WAIT(ring_count(hurried) == 5);
	rc_hurry(ring[hurried - 1].node, false);
	for (unsigned i = 6; i <= 10; i++)
		ck_assert_int_eq(ring_put(leader, i, &err), OK);
	RING_WAIT(ring_count(hurried) == 10);
	rc_hurry(ring[hurried - 1].node, false);
	/* The third of them was hurried by nobody. */
	ck_assert_uint_lt(ring_count(other), 10);
}
END_TEST

START_TEST(what_was_gathered_is_there_when_who_gathered_leads)
{
	unsigned leader, next;

	ring_config.gather_ms = 60000;
	ring_found(3);
	leader = ring_elected();
	for (unsigned i = 1; i <= 20; i++)
		ck_assert_int_eq(ring_put(leader, i, &err), OK);
	ring_stop(leader);
	next = ring_elected();
	ck_assert_uint_ne(next, leader);
	RING_WAIT(ring_count(next) >= 20);
	ck_assert_int_eq(ring_put(next, 21, &err), OK);
}
END_TEST

START_TEST(reads_wait_for_a_leader_as_long_as_they_may)
{
	uint64_t count;
	unsigned leader;

	ring_found(3);
	leader = ring_elected();
	ring_fill(leader, 0, 10, 50);
	for (unsigned id = 1; id <= 3; id++)
		if (id != leader)
			ring_stop(id);
	ck_assert_int_eq(ring_read(leader, 100, &count), E_UNAVAILABLE);
	RING_WAIT(ring_status(leader).leader_id == 0);
	/* Longer than the core waits by itself. */
	ck_assert_int_eq(ring_read(leader, 5 * ring_config.election_timeout_ms,
				   &count), E_UNAVAILABLE);
	ring_start(leader % 3 + 1);
	ck_assert_int_eq(ring_read(leader, 30000, &count), OK);
	ck_assert_uint_eq(count, 10);
}
END_TEST

/* ---- states that differ ---- */

START_TEST(a_node_that_is_outvoted_is_fenced)
{
	struct ring_await a;
	unsigned leader, f;
	uint64_t count;

	ring_found(3);
	leader = ring_elected();
	f = a_follower();
	ring_fill(leader, 0, 50, 50);
	for (unsigned id = 1; id <= 3; id++)
		RING_WAIT(ring_status(id).compared == ring_status(leader).last);
	ring_await(&a, f, ring_status(leader).last + 1000, 100000);
	atomic_store(&ring[f - 1].is_bent, true);
	ring_fill(leader, 50, 3, 50);
	RING_WAIT(atomic_load(&ring[f - 1].told) == RC_FENCED);
	RING_WAIT(atomic_load(&ring[leader - 1].told) == RC_DIFFERS);
	ck_assert(!ring_status(f).is_ready);
	ck_assert_uint_ge(ring_status(f).divergence_index, 50);
	ck_assert_uint_eq(ring_status(leader).divergence_peer, f);
	ck_assert(ring_status(leader).is_ready);
	/* At once, and not when its time is over. */
	ck_assert_int_eq(ring_read(f, 100000, &count), E_UNAVAILABLE);
	ck_assert_int_eq(ring_awaited(&a), E_UNAVAILABLE);
	ring_fill(leader, 53, 2000, 50);
	ck_assert_uint_lt(ring_count(f), 60);
	/* It stores and votes. */
	RING_WAIT(ring_status(f).last == ring_status(leader).last);
	ring_stop(leader % 3 + 1 == f ? f % 3 + 1 : leader % 3 + 1);
	ring_fill(ring_elected(), 2053, 10, 50);
	ring_stop(f);
	atomic_store(&ring[f - 1].told, RC_ALIKE);
	atomic_store(&ring[f - 1].is_bent, false);
	ring_start(f);
	RING_WAIT(atomic_load(&ring[f - 1].told) == RC_FENCED);
	ring_fill(ring_elected(), 2063, 10, 50);
	ck_assert(!ring_status(f).is_ready);
}
END_TEST

START_TEST(a_leader_that_is_outvoted_hands_over)
{
	unsigned old, now;

	ring_found(3);
	old = ring_elected();
	atomic_store(&ring[old - 1].is_bent, true);
	ring_fill(old, 0, 3, 50);
	RING_WAIT(atomic_load(&ring[old - 1].told) == RC_FENCED);
	RING_WAIT((now = ring_leader()) && now != old);
	ring_fill(now, 3, 100, 50);
	ck_assert_int_ne(ring_put(old, 200, &err), OK);
	ck_assert(strstr(err.text, "fenced") != NULL);
}
END_TEST

static void add_all(TCase *t)
{
	tcase_add_test(t, three_elect_and_replicate);
	tcase_add_test(t, a_follower_refuses_and_names_the_leader);
	tcase_add_test(t, a_follower_comes_back_and_catches_up);
	tcase_add_test(t, what_was_acknowledged_outlives_its_leader);
	tcase_add_test(t, all_end_and_come_back);
	tcase_add_test(t, one_of_three_is_not_ready);
	tcase_add_test(t, peers_are_told);
	tcase_add_test(t, a_port_that_is_taken_is_an_error);
	tcase_add_test(t, calls_reach_the_leader_from_each);
	tcase_add_test(t, calls_go_to_whom_they_are_for);
	tcase_add_test(t, a_call_that_is_not_answered_ends);
	tcase_add_test(t, a_call_that_is_cancelled_ends_on_both_sides);
	tcase_add_test(t, a_request_that_nobody_waits_for_is_said_to_be_gone);
	tcase_add_test(t, a_peer_that_ends_leaves_a_call_uncertain);
	tcase_add_test(t, without_a_leader_a_call_is_not_sent);
	tcase_add_test(t, reads_see_what_was_acknowledged);
	tcase_add_test(t, who_reads_does_not_wait_for_what_is_gathered);
	tcase_add_test(t, who_waits_for_an_entry_sees_it);
	tcase_add_test(t, who_hurries_a_node_has_it_apply);
	tcase_add_test(t, what_was_gathered_is_there_when_who_gathered_leads);
	tcase_add_test(t, reads_wait_for_a_leader_as_long_as_they_may);
	tcase_add_test(t, a_node_that_is_outvoted_is_fenced);
	tcase_add_test(t, a_leader_that_is_outvoted_hands_over);
}

static Suite *suite(void)
{
	Suite *s = suite_create("node/cluster");
	TCase *t = tcase_create("cluster");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, ring_setup, ring_teardown);
	add_all(t);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
