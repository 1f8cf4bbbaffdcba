/*
 * What is decided of a step whose instances do anything, under leaders that come and go:
 * instance by instance in a model of its own.  A step never goes on while its condition
 * is not met, or before it could have baked; it turns back where too many rejected it or
 * vanished with it, at once, and else at its timeout alone; who was deferred blocks
 * nothing.
 */
#include "unit.h"

#include "base/rand.h"
#include "model/rollout.h"

#include "base/banned.h"

#define N 12u
#define BAKE 5000u
#define TIMEOUT 60000u
#define RUNS 400u

enum is { PENDING, APPLIED, REJECTED, LOST, DEFERRED, UNHEARD };

static struct prng prng;
static enum is all[N];
static struct strategy strategy;
static struct strategy_step step;
static struct rollout_facts facts;
static struct rollout_watch watched;

static unsigned below(unsigned n)
{
	return (unsigned)prng_below(&prng, n);
}

static unsigned count(enum is what)
{
	unsigned n = 0;

	for (unsigned i = 0; i < N; i++)
		n += all[i] == what;
	return n;
}

static struct tally tally_now(void)
{
	return (struct tally){
		.expected = N, .known = N - count(UNHEARD),
		.deferred = count(DEFERRED), .total = N - count(DEFERRED),
		.applied = count(APPLIED), .rejected = count(REJECTED),
		.lost = count(LOST), .pending = count(PENDING) };
}

/* In percent of those that are not deferred; who was lost has rejected it. */
static bool is_failing(unsigned applied, unsigned rejected)
{
	unsigned total = N - count(DEFERRED), bad = count(REJECTED) + count(LOST);

	return bad * 100 > rejected * total ||
	       (bad && (total - bad) * 100 < applied * total);
}

static bool is_met(unsigned applied, unsigned rejected)
{
	unsigned total = N - count(DEFERRED);

	return !is_failing(applied, rejected) && !count(UNHEARD) &&
	       count(APPLIED) * 100 >= applied * total;
}

static void something_happens(void)
{
	unsigned i = below(N);

	/* What was said is said. */
	if (all[i] == PENDING || all[i] == UNHEARD)
		all[i] = below(30) ? (below(8) ? APPLIED : DEFERRED) :
				     (below(2) ? REJECTED : LOST);
	else if (all[i] == LOST)
		all[i] = APPLIED;
}

static void note(const struct rollout_decision *d, uint64_t now_ms)
{
	facts.met_ms = d->move == MOVE_MET ? now_ms : 0;
	facts.baked_ms = d->baked_ms;
}

static void begin(unsigned applied, unsigned rejected)
{
	step = (struct strategy_step){ .bake_ms = BAKE };
	strategy = (struct strategy){
		.steps = &step, .n_steps = 1, .timeout_ms = TIMEOUT,
		.has_applied = true, .applied_bp = applied * 100,
		.has_rejected = true, .rejected_bp = rejected * 100,
		.lost_counts = true };
	facts = (struct rollout_facts){ .phase = ROLLOUT_PROGRESSING,
					.is_begun = true, .step_ms = 1000 };
	watched = (struct rollout_watch){ 0 };
	for (unsigned i = 0; i < N; i++)
		all[i] = PENDING;
}

/* True: the step has ended. */
static bool look(uint64_t now_ms, unsigned applied, unsigned rejected)
{
	struct tally t = tally_now();
	struct rollout_decision d;

	rollout_decide(&strategy, &facts, &t, now_ms, &watched, &d);
	if (is_failing(applied, rejected) != (d.move == MOVE_ROLLBACK))
		ck_assert_msg(d.move == MOVE_ROLLBACK &&
			      now_ms >= facts.step_ms + TIMEOUT, "move %d at %llu: %s",
			      (int)d.move, (unsigned long long)now_ms, d.reason);
	if (d.move == MOVE_ADVANCE) {
		ck_assert(is_met(applied, rejected));
		ck_assert_uint_ge(now_ms, facts.step_ms + BAKE);
	}
	if (d.move == MOVE_MET)
		ck_assert(is_met(applied, rejected));
	if (d.move == MOVE_MET || d.move == MOVE_UNMET)
		note(&d, now_ms);
	return d.move == MOVE_ADVANCE || d.move == MOVE_ROLLBACK;
}

START_TEST(anything_goes)
{
	unsigned ended = 0;

	prng_init(&prng, 20261122);
	for (unsigned run = 0; run < RUNS; run++) {
		unsigned applied = 50 + below(51), rejected = below(30);
		uint64_t now = 1000;

		begin(applied, rejected);
		while (!look(now, applied, rejected)) {
			now += 1 + below(400);
			if (below(2))
				something_happens();
			/* A new leader has not heard of some. */
			if (below(20) == 0) {
				watched = (struct rollout_watch){ 0 };
				if (all[0] == PENDING)
					all[0] = UNHEARD;
			}
			ck_assert_uint_lt(now, 1000 + 3 * TIMEOUT);
		}
		ended++;
	}
	ck_assert_uint_eq(ended, RUNS);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model/rollout_any");
	TCase *t = tcase_create("rollout_any");

	tcase_add_test(t, anything_goes);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
