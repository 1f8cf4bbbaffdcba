/* Checkpoints in turn: nodes with threads, which reach the size of log that asks
 * for one with the same entry. */
#include <uv.h>

#include "ring.h"

#include "base/banned.h"

#define COPIES_MAX 4096

static struct err err;
/* Who copied, in the order in which they began; under the lock. */
static unsigned copied[COPIES_MAX], n_copied, now, most;
/* This one does not go on with its copy until there is nobody. */
static _Atomic unsigned held;
static unsigned next_value;

static void on_copy(struct ring_node *r, bool begins)
{
	if (!begins)
		RING_WAIT(atomic_load(&held) != r->id);
	pthread_mutex_lock(&ring_lock);
	if (begins && n_copied < COPIES_MAX)
		copied[n_copied++] = (unsigned)r->id;
	now += begins ? 1 : -1u;
	most = MAX(most, now);
	pthread_mutex_unlock(&ring_lock);
}

static void setup(void)
{
	ring_setup();
	ring_config.checkpoint_log_bytes = 300 * 1024;
	ring_config.segment_bytes = 64 * 4096;
	ring_config.inflight_entries_max = 128;
	ring_on_copy = on_copy;
}

static void teardown(void)
{
	ring_teardown();
	ring_on_copy = NULL;
}

static unsigned copies_of(unsigned id)
{
	unsigned n = 0;

	pthread_mutex_lock(&ring_lock);
	for (unsigned i = 0; i < n_copied; i++)
		n += copied[i] == id;
	pthread_mutex_unlock(&ring_lock);
	return n;
}

static unsigned most_at_once(void)
{
	unsigned n;

	pthread_mutex_lock(&ring_lock);
	n = most;
	pthread_mutex_unlock(&ring_lock);
	return n;
}

static unsigned first(unsigned i)
{
	unsigned id;

	pthread_mutex_lock(&ring_lock);
	id = copied[i];
	pthread_mutex_unlock(&ring_lock);
	return id;
}

static unsigned fewest(unsigned nodes)
{
	unsigned n = copies_of(1);

	for (unsigned id = 2; id <= nodes; id++)
		n = MIN(n, copies_of(id));
	return n;
}

/* As much log as asks for a checkpoint everywhere, and all have taken it. */
static void round_of(unsigned leader, unsigned nodes)
{
	unsigned copies = fewest(nodes);

	ring_fill(leader, next_value, 400, 1000);
	next_value += 400;
	RING_WAIT(fewest(nodes) > copies);
}

START_TEST(one_copies_at_a_time_and_followers_first)
{
	unsigned leader;

	ring_found(3);
	leader = ring_elected();
	for (unsigned i = 0; i < 4; i++)
		round_of(leader, 3);
	ck_assert_uint_eq(most_at_once(), 1);
	ck_assert_uint_ne(first(0), leader);
	ck_assert_uint_ne(first(1), leader);
	ck_assert_uint_ne(first(0), first(1));
}
END_TEST

/* Whoever had the turn is gone: it ends by itself. */
START_TEST(a_turn_of_one_that_is_gone_ends)
{
	unsigned leader, gone, left;

	ring_found(3);
	leader = ring_elected();
	gone = leader % 3 + 1;
	left = gone % 3 + 1;
	atomic_store(&held, gone);
	ring_fill(leader, 0, 400, 1000);
	RING_WAIT(copies_of(gone));
	/* It holds on to its turn. */
	ring_fill(leader, 400, 400, 1000);
	ck_assert_uint_eq(copies_of(leader), 0);
	atomic_store(&held, 0);
	ring_stop(gone);
	RING_WAIT(copies_of(leader) && copies_of(left));
	ck_assert_uint_eq(most_at_once(), 1);
}
END_TEST

/* Who leads next hears of those who copy before it gives a turn. */
START_TEST(turns_outlive_a_leader)
{
	unsigned leader, next;

	ring_found(3);
	leader = ring_elected();
	round_of(leader, 3);
	next = leader % 3 + 1;
	/* One try ends after three election timeouts. */
	RING_WAIT(ring_transfer(leader, next, &err) == OK || ring_leader() == next);
	RING_WAIT(ring_leader() == next);
	for (unsigned i = 0; i < 2; i++)
		round_of(next, 3);
	ck_assert_uint_eq(most_at_once(), 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/turns");
	TCase *t = tcase_create("turns");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, one_copies_at_a_time_and_followers_first);
	tcase_add_test(t, a_turn_of_one_that_is_gone_ends);
	tcase_add_test(t, turns_outlive_a_leader);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
