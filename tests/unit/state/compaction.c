/*
 * Events that are over go by ticks: what can no more be resumed from moves on by whole
 * commands, and the rows behind it go a slice at a time, however large a command was.
 */
#include "bench.h"
#include "unit.h"

#include "base/banned.h"

#define SLICE 1000u
#define LARGE 2500u

static struct bench b;

static void setup(void)
{
	bench_open(&b, "boot-1");
}

static void teardown(void)
{
	bench_close(&b);
}

static void be_version(uint64_t version)
{
	bench_apply(&b, &(struct command){ .type = COMMAND_VERSION, .version = version,
					   .time_ms = b.time_ms });
	ck_assert_int_eq(b.last.code, OK);
}

/* As many revisions, and so events. */
static uint64_t make(const char *prefix, unsigned n)
{
	struct command *c = bench_command(&b);

	for (unsigned i = 0; i < n; i++)
		put_tenant(&b, c, arena_printf(b.arena, "%s%u", prefix, i).p);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	return b.last.rev;
}

static void keep(uint64_t most)
{
	struct command c = { .type = COMMAND_LIMITS, .time_ms = b.time_ms,
			     .limits = { .events_max = most } };

	bench_apply(&b, &c);
}

static void tick(void)
{
	bench_apply(&b, &(struct command){ .type = COMMAND_TICK, .time_ms = b.time_ms });
}

static uint64_t events(void)
{
	struct kv_txn *txn = bench_read(&b);
	uint64_t n = kv_count(txn, KV_EVENTS);

	kv_end(&txn);
	return n;
}

static uint64_t over(void)
{
	return state_head(b.state)->compacted_rev;
}

START_TEST(a_tick_removes_a_slice_of_a_large_command)
{
	uint64_t first, large, all;

	be_version(VERSION_GATE);
	first = make("a", 3);
	large = make("b", LARGE);
	make("c", 5);
	all = events();
	keep(10);
	/* The small one, and a part of the large one, of which nothing can be resumed. */
	tick();
	ck_assert_uint_eq(all - events(), SLICE);
	ck_assert_uint_eq(over(), large);
	ck_assert_uint_gt(large, first);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(state_tick_is_due(b.state, b.time_ms));
		tick();
	}
	ck_assert_uint_eq(events(), 5);
	ck_assert_uint_eq(over(), large);
	ck_assert(!state_tick_is_due(b.state, b.time_ms));
}
END_TEST

/* Logs of before are applied as they were. */
START_TEST(before_the_gate_a_command_goes_at_once)
{
	uint64_t large;

	make("a", 3);
	large = make("b", LARGE);
	make("c", 5);
	keep(10);
	tick();
	ck_assert_uint_eq(events(), 5);
	ck_assert_uint_eq(over(), large);
}
END_TEST

static uint64_t bytes_of_events(void)
{
	struct kv_txn *txn = bench_read(&b);
	uint64_t n = 0;
	struct kv_cursor c;

	for (bool on = kv_seek(txn, KV_EVENTS, STR_NONE, &c); on; on = kv_next(&c))
		n += c.key.n + c.val.n;
	kv_cursor_close(&c);
	ck_assert_uint_eq(view_count(txn, STR_NONE, COUNT_EVENT_BYTES), n);
	kv_end(&txn);
	return n;
}

static void keep_bytes(uint64_t most)
{
	struct command c = { .type = COMMAND_LIMITS, .time_ms = b.time_ms,
			     .limits = { .bytes_max = EVENTS_SHARE * most } };

	bench_apply(&b, &c);
}

START_TEST(they_are_bounded_by_bytes)
{
	uint64_t first, second, bytes, third;

	be_version(VERSION_GATE);
	first = make("a", 3);
	second = make("b", LARGE);
	bytes = bytes_of_events();
	make("c", 5);
	third = bytes_of_events() - bytes;
	keep_bytes(bytes + third);
	ck_assert(!state_tick_is_due(b.state, b.time_ms));
	/* One byte too many: the oldest command goes, and no other. */
	keep_bytes(bytes + third - 1);
	ck_assert(state_tick_is_due(b.state, b.time_ms));
	tick();
	ck_assert_uint_eq(over(), first);
	ck_assert(!state_tick_is_due(b.state, b.time_ms));
	/* A large one is over at once, and goes by slices. */
	keep_bytes(bytes_of_events() - 1);
	tick();
	ck_assert_uint_eq(over(), second);
	ck_assert_uint_eq(events(), LARGE - SLICE + 5);
	tick();
	tick();
	ck_assert_uint_eq(events(), 5);
	ck_assert_uint_eq(bytes_of_events(), third);
	ck_assert(!state_tick_is_due(b.state, b.time_ms));
	keep_bytes(1);
	tick();
	ck_assert_uint_eq(bytes_of_events(), 0);
	ck_assert_uint_eq(over(), state_head(b.state)->rev);
	ck_assert(!state_tick_is_due(b.state, b.time_ms));
}
END_TEST

/* Those of before are not counted, and do not take from those that are. */
START_TEST(from_the_gate_on_they_are_counted)
{
	uint64_t old, last;
	struct kv_txn *txn;

	old = make("a", 50);
	be_version(VERSION_GATE);
	txn = bench_read(&b);
	ck_assert_uint_eq(view_count(txn, STR_NONE, COUNT_EVENT_BYTES), 0);
	kv_end(&txn);
	last = make("b", 10);
	keep(10);
	tick();
	ck_assert_uint_eq(over(), old);
	ck_assert_uint_eq(events(), 10);
	ck_assert_uint_gt(bytes_of_events(), 0);
	ck_assert_uint_gt(last, old);
}
END_TEST

START_TEST(what_is_not_over_as_a_whole_stays)
{
	uint64_t first, all;

	be_version(VERSION_GATE);
	first = make("a", 3);
	make("b", 20);
	all = events();
	keep(20);
	tick();
	ck_assert_uint_eq(over(), first);
	ck_assert_uint_eq(all - events(), 3);
	/* Its first event is. */
	keep(19);
	tick();
	ck_assert_uint_eq(events(), 0);
	ck_assert_uint_eq(over(), state_head(b.state)->rev);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/compaction");
	TCase *t = tcase_create("compaction");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_tick_removes_a_slice_of_a_large_command);
	tcase_add_test(t, before_the_gate_a_command_goes_at_once);
	tcase_add_test(t, they_are_bounded_by_bytes);
	tcase_add_test(t, from_the_gate_on_they_are_counted);
	tcase_add_test(t, what_is_not_over_as_a_whole_stays);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
