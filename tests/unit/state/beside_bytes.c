/*
 * Releases that are out side by side, where a policy names as many instances as it may:
 * the newest has its rules at all configurations that it is connected to, so that what one
 * small publish writes is bounded by the bytes of these rules, and what it takes beside
 * that does not grow with the configurations.  What is served: beside.c.
 */
#include <sys/resource.h>

#include "bench.h"
#include "state/beside.h"
#include "unit.h"

#include "base/banned.h"

#define NODES 997u                       /* in front of them there is room for others */
#define NODE_BYTES 128u
#define RULE_BYTES (NODES * (NODE_BYTES + 2))
#define HALF 490u                        /* of them, for each of two */
#define HALF_BYTES (HALF * (NODE_BYTES + 2))
#define PART 110u                        /* configurations of a release */
#define PARTS 5u
/* What a step takes that just fits: rows, events with what was before, what takes it back. */
#define PEAK_KIB (256 * 1024)

static struct bench b;

static const char *object(unsigned i)
{
	return arena_printf(b.arena, "shop.prod.f%u", i).p;
}

static void policy(struct str spec)
{
	struct command *c = bench_command(&b);
	struct op *op = put_tenant(&b, c, NULL);

	op->kind = KIND_RELEASE_POLICY;
	op->tenant = STR("acme");
	op->name = STR("p");
	op->spec = spec;
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

static void share(const char *concurrency)
{
	policy(arena_printf(b.arena, "{\"strategy\":\"canary\",\"steps\":[{\"percent\":10}],"
			    "\"concurrency\":{\"policy\":\"%s\"}}", concurrency));
}

/* The names are in the second step, and count in the first. */
static void n_names(unsigned n, const char *concurrency)
{
	AUTO_BUF spec = BUF_NONE;

	buf_z(&spec, "{\"strategy\":\"canary\",\"steps\":[{\"nodes\":[\"x\"]},{\"nodes\":[");
	for (unsigned i = 0; i < n; i++)
		buf_printf(&spec, "%s\"%0*u\"", i ? "," : "", (int)NODE_BYTES, i);
	buf_printf(&spec, "]}],\"concurrency\":{\"policy\":\"%s\"}}", concurrency);
	policy(arena_str(b.arena, buf_view(&spec)));
}

static void names(const char *concurrency)
{
	n_names(NODES, concurrency);
}

static void setup(void)
{
	struct command v = { .type = COMMAND_VERSION, .version = 5 };
	struct command *c;

	bench_open(&b, "boot-1");
	v.time_ms = b.time_ms;
	bench_apply(&b, &v);
	bench_shop(&b, "a");
	c = bench_command(&b);
	for (unsigned i = 0; i < PARTS * PART; i++) {
		put_config(&b, c, "acme", "shop", "prod",
			   arena_printf(b.arena, "f%u", i).p);
		add_version(&b, c, "acme", object(i), STR("a"), true);
	}
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	put_blob(&b, "acme", STR("b"));
	put_blob(&b, "acme", STR("c"));
}

static void teardown(void)
{
	bench_close(&b);
}

/* 'n' configurations of it, 'each' apart. */
static enum code publish(unsigned first, unsigned n, unsigned each, const char *content)
{
	struct command *c = bench_command(&b);

	for (unsigned i = 0; i < n; i++)
		add_version(&b, c, "acme", object(first + i * each), str_of(content), true);
	return bench_apply(&b, c)->code;
}

static bool see(void *data, const struct object_view *o)
{
	str_copy(data, RELEASE_NAME_MAX, o->name);
	return true;
}

static struct str newest(void)
{
	struct kv_txn *txn = bench_read(&b);
	char *name = arena_zero(b.arena, RELEASE_NAME_MAX);

	ck_assert_int_eq(view_list(txn, KIND_RELEASE, STR("acme"), STR_NONE, STR_NONE,
				   see, name, NULL), OK);
	kv_end(&txn);
	return str_of(name);
}

static enum code move_one(struct str name, enum release_move move)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_RELEASE_MOVE);

	op->kind = KIND_RELEASE;
	op->tenant = STR("acme");
	op->name = name;
	op->move = move;
	op->step = STEP_ANY;
	op->mode = ROLLBACK_STABLE_ONLY;
	op->message = STR("because");
	return bench_apply(&b, c)->code;
}

static enum code move_last(enum release_move move)
{
	return move_one(newest(), move);
}

static long peak_kib(void)
{
	struct rusage r;

	ck_assert_int_eq(getrusage(RUSAGE_SELF, &r), 0);
	return r.ru_maxrss;
}

static void is_refused(enum code rc)
{
	ck_assert_int_eq(rc, E_UNPROCESSABLE);
	ck_assert_ptr_nonnull(strstr(b.last.text, "64 MiB"));
}

static void parts(unsigned n)
{
	share("Parallel");
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(publish(i * PART, PART, 1, "b"), OK);
	names("Parallel");
}

/* The first step names one instance, the second all.  At configurations of others, and at
 * its own. */
START_TEST(what_fits_takes_little_more_than_it_writes)
{
	static const enum release_move moves[] = { MOVE_ROLLBACK, MOVE_PROMOTE };
	unsigned n = (PARTS - 1) * PART;
	long peak;

	ck_assert_uint_lt(n * RULE_BYTES, BESIDE_RULES_BYTES_MAX);
	if (_i % 2)
		names("Supersede");
	else
		parts(PARTS - 1);
	ck_assert_msg(publish(0, _i % 2 ? n : PARTS - 1, _i % 2 ? 1 : PART, "c") == OK,
		      "%s", b.last.text);
	peak = peak_kib();
	ck_assert_msg(move_last(MOVE_PROMOTE) == OK, "%s", b.last.text);
	ck_assert_msg(move_last(moves[_i / 2]) == OK, "%s", b.last.text);
#ifndef __SANITIZE_ADDRESS__
	ck_assert_int_lt(peak_kib() - peak, PEAK_KIB);
#else
	(void)peak;
#endif
}
END_TEST

START_TEST(what_would_be_more_is_refused_before_its_first_step)
{
	ck_assert_uint_gt(PARTS * PART * RULE_BYTES, BESIDE_RULES_BYTES_MAX);
	parts(PARTS);
	is_refused(publish(0, PARTS, PART, "c"));
	ck_assert_msg(publish(0, PARTS - 1, PART, "c") == OK, "%s", b.last.text);
}
END_TEST

/* Two that share a configuration, which has room for the names of both: the second has
 * its rules at all configurations of the first too. */
START_TEST(both_get_to_their_last_steps_or_the_second_is_refused)
{
	unsigned n = 520, few = 5, more = PARTS * PART - n;
	struct str first;

	ck_assert_uint_gt((n * 2 + more) * HALF_BYTES, BESIDE_RULES_BYTES_MAX);
	ck_assert_uint_lt((n * 2 + few) * HALF_BYTES, BESIDE_RULES_BYTES_MAX);
	n_names(HALF, "Parallel");
	ck_assert_msg(publish(0, n, 1, "b") == OK, "%s", b.last.text);
	first = newest();
	is_refused(publish(n - 1, more + 1, 1, "c"));
	ck_assert_msg(publish(n - 1, few + 1, 1, "c") == OK, "%s", b.last.text);
	ck_assert_msg(move_last(MOVE_PROMOTE) == OK, "%s", b.last.text);
	ck_assert_msg(move_one(first, MOVE_PROMOTE) == OK, "%s", b.last.text);
}
END_TEST

START_TEST(names_of_last_steps_count_when_the_second_begins)
{
	struct str first;

	n_names(HALF, "Parallel");
	ck_assert_msg(publish(0, 2, 1, "b") == OK, "%s", b.last.text);
	first = newest();
	n_names(NODES - HALF + 3, "Parallel");
	ck_assert_int_eq(publish(1, 2, 1, "c"), E_UNPROCESSABLE);
	ck_assert_ptr_nonnull(strstr(b.last.text, "1002 nodes"));
	n_names(NODES - HALF + 1, "Parallel");
	ck_assert_msg(publish(1, 2, 1, "c") == OK, "%s", b.last.text);
	ck_assert_msg(move_one(first, MOVE_PROMOTE) == OK, "%s", b.last.text);
	ck_assert_msg(move_last(MOVE_PROMOTE) == OK, "%s", b.last.text);
}
END_TEST

START_TEST(one_alone_is_bounded_too)
{
	names("Supersede");
	is_refused(publish(0, PARTS * PART, 1, "b"));
	ck_assert_msg(publish(0, (PARTS - 1) * PART, 1, "b") == OK, "%s", b.last.text);
}
END_TEST

START_TEST(what_waits_in_a_queue_is_refused_at_once)
{
	share("Queue");
	ck_assert_int_eq(publish(0, 1, 1, "b"), OK);
	names("Queue");
	is_refused(publish(0, PARTS * PART, 1, "c"));
	ck_assert_msg(publish(0, PART, 1, "c") == OK, "%s", b.last.text);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/beside_bytes");
	TCase *t = tcase_create("bytes");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_fits_takes_little_more_than_it_writes, 0, 4);
	tcase_add_test(t, what_would_be_more_is_refused_before_its_first_step);
	tcase_add_test(t, both_get_to_their_last_steps_or_the_second_is_refused);
	tcase_add_test(t, names_of_last_steps_count_when_the_second_begins);
	tcase_add_test(t, one_alone_is_bounded_too);
	tcase_add_test(t, what_waits_in_a_queue_is_refused_at_once);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
