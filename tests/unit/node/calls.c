/*
 * Three nodes, and the n-th call of the system that any of them makes fails: while
 * they replicate, read and call each other, and while one of them starts.  What was
 * acknowledged is applied once by all, a start that cannot be says why, and the next
 * one is well.
 */
#include <signal.h>
#include <stdio.h>

#include "ring.h"

#include "base/log.h"
#include "base/mem.h"

#include "calls.h"

#include "base/banned.h"

#define EACH 12u

static uint64_t next_value;
static struct err err;

static void ignore(void *data, enum log_level level, struct str line)
{
}

/* At whoever leads then; what is not acknowledged may have been applied, so it is
 * not proposed again. */
static void put_some(uint64_t *acked)
{
	for (unsigned i = 0; i < EACH; i++) {
		unsigned leader = ring_leader();

		if (leader && ring_put(leader, next_value++, &err) == OK)
			acked[(*acked)++ + 1] = next_value - 1;
	}
}

static void check(const struct calls_fault *fault, uint64_t n,
		  const uint64_t *acked)
{
	unsigned leader = ring_elected();
	uint64_t count;

	/* All comes together again. */
	ck_assert_int_eq(ring_put(leader, next_value++, &err), OK);
	RING_WAIT(ring_equal(1));
	for (unsigned id = 1; id <= 3; id++) {
		for (uint64_t i = 1; i <= acked[0]; i++)
			ck_assert_msg(ring_has(id, acked[i]),
				      "%s %llu: an acknowledged value is lost",
				      fault->name, (unsigned long long)n);
		for (unsigned to = 1; to <= 3; to++)
			if (to != id)
				RING_WAIT(ring_is_up(id, to));
	}
	count = 0;
	RING_WAIT(ring_read(leader, 2000, &count) == OK);
	ck_assert_uint_ge(count, acked[0]);
}

static void run_work(const struct calls_fault *fault, uint64_t n, void *data)
{
	uint64_t acked[EACH + 1] = { 0 }, count;

	calls_arm(fault, n);
	put_some(acked);
	(void)ring_read(1 + (unsigned)(n % 3), 500, &count);
	(void)calls_disarm();
	check(fault, n, acked);
}

/* One node ends and starts; its start may be refused. */
static void run_start(const struct calls_fault *fault, uint64_t n, void *data)
{
	unsigned id = 1 + (unsigned)(n % 3);
	uint64_t acked[EACH + 1] = { 0 };
	enum code rc;

	ring_stop(id);
	err_reset(&err);
	calls_arm(fault, n);
	rc = ring_try_start(id, &err);
	if (rc == OK)
		RING_WAIT(ring_leader());
	put_some(acked);
	(void)calls_disarm();
	if (rc) {
		ck_assert_msg(strlen(err.text) > 10, "%s %llu: %d", fault->name,
			      (unsigned long long)n, rc);
		ring_start(id);
	}
	check(fault, n, acked);
}

START_TEST(work_goes_on)
{
	ring_found(3);
	ck_assert_uint_gt(calls_sweep(calls_of_streams,
				      ARRAY_LEN(calls_of_streams), run_work,
				      NULL), 30);
}
END_TEST

/* Threads and descriptors of loops: io/calls; a whole program: scenario/calls. */
START_TEST(starts_are_refused_or_well)
{
	const struct calls_fault starts[] = {
		CALLS_FAULT(BIND, EADDRINUSE), CALLS_FAULT(LISTEN, EADDRINUSE),
	};
	/* net/calls has them all. */
	const struct calls_fault making[] = {
		CALLS_FAULT(SOCKET, EMFILE), CALLS_FAULT(ACCEPT, ECONNABORTED),
		CALLS_FAULT(ACCEPT, EMFILE), CALLS_FAULT(CONNECT, ECONNREFUSED),
	};

	ring_found(3);
	ck_assert_uint_gt(calls_sweep(starts, ARRAY_LEN(starts), run_start, NULL),
			  1);
	ck_assert_uint_gt(calls_sweep(making, ARRAY_LEN(making), run_start, NULL),
			  4);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/calls");
	TCase *t = tcase_create("calls");

	log_set_sink(ignore, NULL);
	signal(SIGPIPE, SIG_IGN);
	tcase_set_timeout(t, 170);
	tcase_add_checked_fixture(t, ring_setup, ring_teardown);
	tcase_add_test(t, work_goes_on);
	tcase_add_test(t, starts_are_refused_or_well);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
