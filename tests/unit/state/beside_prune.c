/*
 * One command deletes what large releases have that are out side by side: what is left of
 * them is written and settled once, behind the deletions, in slices.  What is served
 * then: beside.c and rollout_any.c.
 */
#include <sys/resource.h>

#include "bench.h"
#include "state/beside.h"
#include "state/view_rollout.h"
#include "unit.h"

#include "base/banned.h"

#define RELEASES 12u
#define SHARED 200u                      /* each release has them all */
#define OWN 100u                         /* and so many of its own, at most */
/* What an apply may take beside what it applies. */
#define PEAK_KIB (64 * 1024)

static struct bench b;
static unsigned turns;

static const char *object(unsigned i)
{
	return arena_printf(b.arena, "shop.prod.f%u", i).p;
}

static unsigned own(unsigned release, unsigned i)
{
	return SHARED + release * OWN + i;
}

static void make_configs(void)
{
	struct command *c = bench_command(&b);

	for (unsigned i = 0; i < own(RELEASES, 0); i++) {
		put_config(&b, c, "acme", "shop", "prod",
			   arena_printf(b.arena, "f%u", i).p);
		add_version(&b, c, "acme", object(i), STR("a"), true);
	}
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

static void setup(void)
{
	struct command v = { .type = COMMAND_VERSION, .version = 5 };
	struct command *c;
	struct op *op;

	bench_open(&b, "boot-1");
	v.time_ms = b.time_ms;
	bench_apply(&b, &v);
	bench_shop(&b, "a");
	make_configs();
	c = bench_command(&b);
	op = put_tenant(&b, c, NULL);
	op->kind = KIND_RELEASE_POLICY;
	op->tenant = STR("acme");
	op->name = STR("p");
	op->spec = STR("{\"strategy\":\"canary\",\"steps\":[{\"nodes\":[\"x\"]},"
		       "{\"labels\":{\"zone\":\"eu\"}}],"
		       "\"concurrency\":{\"policy\":\"Parallel\"}}");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

static void teardown(void)
{
	bench_close(&b);
}

static void publish(unsigned release, unsigned n_shared, unsigned n_own)
{
	struct str content = arena_printf(b.arena, "content %u", release);
	struct command *c = bench_command(&b);

	put_blob(&b, "acme", content);
	for (unsigned i = 0; i < n_shared; i++)
		add_version(&b, c, "acme", object(i), content, true);
	for (unsigned i = 0; i < n_own; i++)
		add_version(&b, c, "acme", object(own(release, i)), content, true);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

/* Counts the turns that it takes. */
static void apply_in_turns(const struct command *c)
{
	struct rc_entry e = { .index = ++b.index, .id = b.index, .term = 1,
			      .is_command = true, .data = bench_encode(&b, c) };
	struct err err = { 0 };
	bool more = true;

	ck_assert_int_eq(b.machine.apply(b.machine.data, &e, 1, &err), OK);
	for (turns = 0; more; turns++)
		ck_assert_int_eq(b.machine.apply_more(b.machine.data, &more, &err),
				 OK);
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
}

static void delete_shared(unsigned n)
{
	struct command *c = bench_command(&b);

	for (unsigned i = 0; i < n; i++) {
		struct op *op = command_op(b.arena, c, OP_OBJECT_DELETE);

		op->kind = KIND_CONFIG;
		op->tenant = STR("acme");
		op->name = str_of(object(i));
	}
	apply_in_turns(c);
}

/* Each that is out has 'n' configurations; they are RELEASES. */
static bool count(void *data, struct str tenant, struct str name,
		  const struct rollout_row *row)
{
	size_t *n = data;

	(void)tenant;
	(void)name;
	ck_assert_uint_eq(row->n_configs, n[0]);
	ck_assert(str_is(row->notes[row->n_notes - 1].action, "delete"));
	n[1]++;
	return true;
}

static void each_has(size_t n_own)
{
	struct kv_txn *txn = bench_read(&b);
	size_t n[2] = { n_own, 0 };

	ck_assert_int_eq(view_rollouts(txn, b.arena, count, n, NULL), OK);
	ck_assert_uint_eq(n[1], RELEASES);
	kv_end(&txn);
}

/* Rules that keep others away. */
static unsigned kept(void)
{
	struct kv_txn *txn = bench_read(&b);
	unsigned n = 0;

	for (unsigned i = 0; i < own(RELEASES, 0); i++) {
		struct object_view o;
		struct rules rules;

		if (view_object(txn, KIND_CONFIG, STR("acme"), str_of(object(i)), &o,
				NULL))
			continue;
		ck_assert(rules_decode(b.arena, o.live.rules, &rules));
		for (size_t k = 0; k < rules.n; k++)
			n += rules.r[k].release && !rules.r[k].version;
	}
	kv_end(&txn);
	return n;
}

static long peak_kib(void)
{
	struct rusage r;

	ck_assert_int_eq(getrusage(RUSAGE_SELF, &r), 0);
	return r.ru_maxrss;
}

/* Not once for each that is deleted: revisions, and so events, rows and memory, go with
 * what there is to say. */
START_TEST(what_is_left_is_settled_once)
{
	uint64_t rev;
	long peak;

	for (unsigned n = 0; n < RELEASES; n++)
		publish(n, SHARED, 1);
	ck_assert_uint_eq(kept(), RELEASES * (RELEASES - 1) / 2);
	rev = state_head(b.state)->rev;
	peak = peak_kib();
	delete_shared(SHARED);
	/* Deletions, the releases, and of these all but the newest had others' rules. */
	ck_assert_uint_eq(state_head(b.state)->rev - rev,
			  SHARED + RELEASES + RELEASES - 1);
#ifndef __SANITIZE_ADDRESS__
	ck_assert_int_lt(peak_kib() - peak, PEAK_KIB);
#else
	(void)peak;
#endif
	ck_assert_uint_eq(kept(), 0);
	each_has(1);
}
END_TEST

/* What connects them is one; they are many. */
START_TEST(a_turn_settles_a_part)
{
	for (unsigned n = 0; n < RELEASES; n++)
		publish(n, 1, OWN);
	delete_shared(1);
	ck_assert_uint_gt(turns, RELEASES * OWN / 128);
	ck_assert_uint_eq(kept(), 0);
	each_has(OWN);
}
END_TEST

static bool see(void *data, struct str tenant, struct str name,
		const struct rollout_row *row)
{
	(void)tenant;
	if (rollout_is_out(row->phase))
		str_copy(data, RELEASE_NAME_MAX, name);
	return true;
}

static void move_newest(enum release_move what)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_RELEASE_MOVE);
	struct kv_txn *txn = bench_read(&b);
	char name[RELEASE_NAME_MAX] = "";

	ck_assert_int_eq(view_rollouts(txn, b.arena, see, name, NULL), OK);
	kv_end(&txn);
	op->kind = KIND_RELEASE;
	op->tenant = STR("acme");
	op->name = arena_str(b.arena, str_of(name));
	op->move = what;
	op->step = STEP_ANY;
	op->mode = ROLLBACK_STABLE_ONLY;
	op->message = STR("because");
	apply_in_turns(c);
}

/* What is connected to one that moves goes by turns.  Each has rules at the configurations
 * of those that are older, and no others. */
START_TEST(a_move_settles_a_part_a_turn)
{
	unsigned n = RELEASES, all = RELEASES * OWN / 128;

	for (unsigned i = 0; i < RELEASES; i++)
		publish(i, 1, OWN);
	ck_assert_uint_eq(kept(), OWN * (n * (n - 1) / 2));
	/* Its second step has a rule more. */
	move_newest(MOVE_PROMOTE);
	ck_assert_uint_gt(turns, all);
	ck_assert_uint_eq(kept(), OWN * (n * (n - 1) / 2 + n - 1));
	/* One that is over leaves nothing behind, at its own and at others'. */
	move_newest(MOVE_ABORT);
	n--;
	ck_assert_uint_gt(turns, all);
	ck_assert_uint_eq(kept(), OWN * (n * (n - 1) / 2));
	/* With one that completes the older ones end that share something with it. */
	move_newest(MOVE_PROMOTE_FULL);
	ck_assert_uint_gt(turns, all);
	ck_assert_uint_eq(kept(), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/beside_prune");
	TCase *t = tcase_create("prune");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_is_left_is_settled_once);
	tcase_add_test(t, a_turn_settles_a_part);
	tcase_add_test(t, a_move_settles_a_part_a_turn);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
