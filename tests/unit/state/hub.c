/* Who is told of what, in which order, and where it goes on. */
#include "unit.h"

#include "fan.h"
#include "wire/wire.h"

#include "base/banned.h"

/* Tenants a and b (revisions 1, 2); one command that makes a/x, b/y, a/z and b/z (3
 * to 6) and, behind each other, releases them (7 to 10), with a Release (11). */
static void two_tenants(void)
{
	struct command *c = bench_command(&b);

	tenants();
	config(c, "a", "x");
	config(c, "b", "y");
	config(c, "a", "z");
	config(c, "b", "z");
	release(c, "a", "x", "0");
	release(c, "b", "y", "0");
	release(c, "a", "z", "0");
	release(c, "b", "z", "0");
	ck_assert_uint_eq(apply(c), 11);
}

#define ALL "a/shop/prod/x@7=1 b/shop/prod/y@8=1 a/shop/prod/z@9=1 " \
	    "b/shop/prod/z@10=1."

START_TEST(the_end_is_on_the_last_change_that_is_told)
{
	struct fan x, y;

	two_tenants();
	add(&x, NULL, "a/", NULL, 0);
	add(&y, NULL, "b/shop/prod/y", NULL, 0);
	ck_assert_str_eq(told(&x), "a/shop/prod/x@7=1 a/shop/prod/z@9=1.");
	ck_assert_str_eq(told(&y), "b/shop/prod/y@8=1.");
	ck_assert_uint_eq(hub_position(&x.feed), 11);
	ck_assert(hub_is_idle(&x.feed));
	ck_assert_str_eq(told(&x), "");
	drop(&x);
	drop(&y);
}
END_TEST

START_TEST(an_empty_prefix_is_everything)
{
	struct fan x;

	two_tenants();
	add(&x, NULL, "", NULL, 0);
	ck_assert_str_eq(told(&x), ALL);
	ck_assert_uint_eq(x.flushes, 1);
	drop(&x);
}
END_TEST

START_TEST(a_key_is_one_address_and_told_once)
{
	struct fan x, y;

	two_tenants();
	add(&x, "b/shop/prod/z", "b/shop/prod/z", NULL, 0);
	add(&y, "b/shop/prod/Z", NULL, NULL, 0);
	ck_assert_str_eq(told(&x), "b/shop/prod/z@10=1.");
	ck_assert_str_eq(told(&y), "");
	drop(&x);
	drop(&y);
}
END_TEST

/* However many are read at once, and whenever it is late. */
static bool late_always(void *data)
{
	return true;
}

START_TEST(it_goes_on_where_it_stopped)
{
	struct kv_txn *txn;
	struct fan x, y;
	struct err err;
	bool more = true;

	two_tenants();
	hub_set_batch(hub, (unsigned)_i);
	add(&x, NULL, "a/", NULL, 0);
	add(&y, NULL, "", NULL, 0);
	for (unsigned i = 0; more; i++) {
		ck_assert_uint_lt(i, 100);
		txn = bench_read(&b);
		ck_assert_int_eq(hub_run(hub, txn, late_always, NULL, &more, &err),
				 OK);
		kv_end(&txn);
	}
	ck_assert_str_eq(x.told.p, "a/shop/prod/x@7=1 a/shop/prod/z@9=1.");
	ck_assert_str_eq(y.told.p, ALL);
	drop(&x);
	drop(&y);
}
END_TEST

START_TEST(a_socket_that_is_full_stops_it_alone)
{
	struct fan x, y;

	two_tenants();
	hub_set_batch(hub, (unsigned)_i);
	add(&x, NULL, "", NULL, 0);
	add(&y, NULL, "", NULL, 0);
	x.enough = 1;
	ck_assert_str_eq(told(&y), ALL);
	ck_assert_str_eq(told(&x), "a/shop/prod/x@7=1");
	ck_assert_uint_eq(hub_position(&x.feed), 7);
	x.enough = UINT_MAX;
	hub_resume(&x.feed);
	ck_assert_str_eq(told(&x), "b/shop/prod/y@8=1 a/shop/prod/z@9=1 "
			 "b/shop/prod/z@10=1.");
	ck_assert(hub_is_idle(&x.feed));
	ck_assert_uint_eq(hub_position(&x.feed), 11);
	drop(&x);
	drop(&y);
}
END_TEST

START_TEST(who_resumes_within_a_command_gets_the_rest)
{
	struct fan x;

	two_tenants();
	add(&x, NULL, "", NULL, 8);
	ck_assert_str_eq(told(&x), "a/shop/prod/z@9=1 b/shop/prod/z@10=1.");
	drop(&x);
}
END_TEST

static bool late_by_and_by(void *data)
{
	return --*(int *)data <= 0;
}

/* Where one goes on within a command, another that comes there has heard of no end: that
 * is no place to go on from. */
START_TEST(a_place_within_a_command_is_not_its_end)
{
	struct kv_txn *txn;
	struct fan x, y;
	struct err err;
	bool more = true;

	two_tenants();
	add(&x, NULL, "", NULL, 8);
	add(&y, NULL, "b/shop/prod/z", NULL, 2);
	for (unsigned i = 0; more; i++) {
		int looks = _i;

		ck_assert_uint_lt(i, 100);
		txn = bench_read(&b);
		ck_assert_int_eq(hub_run(hub, txn, late_by_and_by, &looks, &more,
					 &err), OK);
		kv_end(&txn);
		ck_assert_msg(hub_position(&y.feed) == 2 ||
			      hub_position(&y.feed) == 11, "it stands at %llu",
			      (unsigned long long)hub_position(&y.feed));
	}
	ck_assert_str_eq(x.told.p, "a/shop/prod/z@9=1 b/shop/prod/z@10=1.");
	ck_assert_str_eq(y.told.p, "b/shop/prod/z@10=1.");
	ck_assert_uint_eq(hub_position(&y.feed), 11);
	drop(&x);
	drop(&y);
}
END_TEST

START_TEST(who_is_told_may_remove_itself_and_others)
{
	struct fan x, y, z;

	two_tenants();
	add(&x, NULL, "", NULL, 0);
	add(&y, NULL, "", NULL, 0);
	add(&z, NULL, "", NULL, 0);
	x.removes = &y;
	z.removes_itself = true;
	ck_assert_str_eq(told(&x), ALL);
	ck_assert_uint_eq(y.told.n, 0);
	ck_assert_str_eq(told(&z), "a/shop/prod/x@7=1");
	ck_assert_uint_eq(hub_count(hub), 1);
	drop(&x);
	drop(&y);
	drop(&z);
}
END_TEST

/* Of a subject that may read tenant a alone; the union of what is told is what it
 * may read, and the end is on the last of that. */
static bool may_a(struct feed *f, struct kv_txn *txn, const struct feed_event *e)
{
	ck_assert_ptr_nonnull(txn);
	return str_is(e->at.tenant, "a");
}

/* One that is not there any more. */
static bool may_no_more(struct feed *f, struct kv_txn *txn,
			const struct feed_event *e)
{
	hub_remove(f);
	return false;
}

START_TEST(what_one_may_not_read_one_is_not_told)
{
	static const struct feed_ops ops_a = { .may = may_a, .change = fan_on_change,
					       .gone = fan_on_gone };
	static const struct feed_ops ops_none = { .may = may_no_more,
						  .change = fan_on_change };
	struct fan x, y, z;

	two_tenants();
	hub_set_batch(hub, (unsigned)_i);
	add(&x, NULL, "", NULL, 0);
	add(&y, "b/shop/prod/z", "", NULL, 0);
	add(&z, NULL, "", NULL, 0);
	x.feed.ops = y.feed.ops = &ops_a;
	z.feed.ops = &ops_none;
	ck_assert_str_eq(told(&x), "a/shop/prod/x@7=1 a/shop/prod/z@9=1.");
	ck_assert_str_eq(told(&y), "a/shop/prod/x@7=1 a/shop/prod/z@9=1.");
	ck_assert_uint_eq(z.told.n, 0);
	ck_assert_uint_eq(hub_count(hub), 2);
	drop(&x);
	drop(&y);
	drop(&z);
}
END_TEST

/* ---- what is a change ---- */

static struct op *rules(struct command *c, const char *zone, uint32_t version)
{
	struct op *op = command_op(b.arena, c, OP_RULES_SET);
	struct rule *r = rules_add(b.arena, &op->rules);

	op->kind = KIND_CONFIG;
	op->tenant = STR("a");
	op->name = STR("shop.prod.x");
	r->version = 1;
	r = rules_add(b.arena, &op->rules);
	r->priority = 1;
	r->version = version;
	labels_set(b.arena, &r->labels, STR("zone"), str_of(zone));
	return op;
}

/* a/x with versions 1 (live) and 2. */
static uint64_t one_config(void)
{
	struct command *c = bench_command(&b);

	tenants();
	config(c, "a", "x");
	release(c, "a", "x", "0");
	add_version(&b, c, "a", "shop.prod.x", STR("1"), false);
	return apply(c);
}

START_TEST(who_gets_what_it_got_is_not_told)
{
	uint64_t at = one_config();
	struct command *c;
	struct fan all, east, west;

	add(&all, NULL, "", NULL, at);
	add(&east, NULL, "", "east", at);
	add(&west, NULL, "", "west", at);
	/* East gets 2. */
	c = bench_command(&b);
	rules(c, "east", 2);
	apply(c);
	ck_assert_str_eq(told(&all), "");
	ck_assert_str_eq(told(&west), "");
	ck_assert_uint_eq(east.told.n > 0, 1);
	ck_assert_ptr_nonnull(strstr(told(&east), "=2."));
	/* The default goes to 3: east is not told. */
	c = bench_command(&b);
	release(c, "a", "x", "2");
	apply(c);
	ck_assert_str_eq(told(&east), "");
	ck_assert_ptr_nonnull(strstr(told(&all), "=3."));
	ck_assert_ptr_nonnull(strstr(told(&west), "=3."));
	/* It has no rule any more. */
	c = bench_command(&b);
	rules(c, "west", 2)->rules.r[0].labels = (struct labels){ 0 };
	apply(c);
	ck_assert_ptr_nonnull(strstr(told(&east), "=1."));
	ck_assert_ptr_nonnull(strstr(told(&all), "=1."));
	ck_assert_ptr_nonnull(strstr(told(&west), "=2."));
	drop(&all);
	drop(&east);
	drop(&west);
}
END_TEST

static void encoded(struct buf *out, uint64_t release, uint32_t version)
{
	struct rules all = { 0 };

	*rules_add(b.arena, &all) = (struct rule){ .version = version,
						   .release = release };
	buf_reset(out);
	rules_encode(out, &all);
}

/* It has it by another rule, and now a release counts on its word. */
START_TEST(what_a_release_begins_to_give_is_told)
{
	struct feed_event e = { .rev = 9, .knows_before = true,
				.format = STR("text"), .was_format = STR("text") };
	struct client client = { 0 };
	struct feed_change change;
	AUTO_BUF was = BUF_NONE;
	AUTO_BUF now = BUF_NONE;

	encoded(&was, 0, 2);
	encoded(&now, 17, 2);
	e.was_rules = buf_view(&was);
	e.rules = buf_view(&now);
	ck_assert(feed_pick(&change, &e, &client));
	ck_assert_uint_eq(change.release, 17);
	ck_assert_uint_eq(change.version, 2);
	/* It goes on, or is over. */
	e.was_rules = buf_view(&now);
	ck_assert(!feed_pick(&change, &e, &client));
	e.rules = buf_view(&was);
	ck_assert(!feed_pick(&change, &e, &client));
}
END_TEST

START_TEST(what_lies_beside_the_content_is_no_change)
{
	uint64_t at = one_config();
	struct command *c = bench_command(&b);
	struct fan x;
	struct op *op;

	add(&x, NULL, "", NULL, at);
	config(c, "a", "x")->labels = STR("{\"a\":\"b\"}");
	ck_assert_uint_gt(apply(c), at);
	ck_assert_str_eq(told(&x), "");
	c = bench_command(&b);
	op = command_op(b.arena, c, OP_OBJECT_STATUS);
	op->kind = KIND_CONFIG;
	op->tenant = STR("a");
	op->name = STR("shop.prod.x");
	op->status = STR("{\"phase\":\"Ready\"}");
	apply(c);
	ck_assert_str_eq(told(&x), "");
	ck_assert_uint_gt(hub_position(&x.feed), at);
	/* Its format is: bytes are read in another way. */
	c = bench_command(&b);
	config(c, "a", "x")->format = STR("json");
	apply(c);
	ck_assert_ptr_nonnull(strstr(told(&x), "=1."));
	drop(&x);
}
END_TEST

START_TEST(what_had_no_version_comes_and_goes_unheard)
{
	struct command *c = bench_command(&b);
	struct op *op;
	struct fan x;

	tenants();
	add(&x, NULL, "", NULL, 0);
	config(c, "a", "x");
	config(c, "a", "y");
	apply(c);
	ck_assert_str_eq(told(&x), "");
	c = bench_command(&b);
	release(c, "a", "y", "0");
	apply(c);
	ck_assert_ptr_nonnull(strstr(told(&x), "a/shop/prod/y@"));
	for (unsigned i = 0; i < 2; i++) {
		c = bench_command(&b);
		op = command_op(b.arena, c, OP_OBJECT_DELETE);
		op->kind = KIND_CONFIG;
		op->tenant = STR("a");
		op->name = i ? STR("shop.prod.y") : STR("shop.prod.x");
		apply(c);
	}
	ck_assert_ptr_nonnull(strstr(told(&x), "a/shop/prod/y@"));
	drop(&x);
}
END_TEST

/* Events of before cluster version 3 do not say what was there before. */
START_TEST(of_old_events_every_change_of_rules_is_told)
{
	uint64_t at = one_config();
	struct command *c = bench_command(&b);
	struct fan x;

	add(&x, NULL, "", NULL, at);
	rules(c, "east", 2);
	apply(c);
	ck_assert_ptr_nonnull(strstr(told(&x), "=1."));
	be_version(CLUSTER_VERSION);
	c = bench_command(&b);
	rules(c, "west", 2);
	apply(c);
	ck_assert_str_eq(told(&x), "");
	drop(&x);
}
END_TEST

/* ---- compaction ---- */

static void compact(uint64_t keep)
{
	struct command limits = { .type = COMMAND_LIMITS, .time_ms = b.time_ms,
				  .limits = { .events_max = keep } };
	struct command tick = { .type = COMMAND_TICK, .time_ms = b.time_ms };

	bench_apply(&b, &limits);
	bench_apply(&b, &tick);
}

START_TEST(what_is_compacted_is_gone)
{
	struct fan old, stalled, now;
	struct kv_txn *txn;
	struct err err;
	uint64_t at;

	two_tenants();
	add(&stalled, NULL, "", NULL, 0);
	stalled.enough = 1;
	run();
	compact(1);
	at = state_head(b.state)->compacted_rev;
	ck_assert_uint_eq(at, 11);
	txn = bench_read(&b);
	ck_assert_int_eq(feed_check(txn, at - 1, &err), E_GONE);
	ck_assert_int_eq(feed_check(txn, at, &err), OK);
	kv_end(&txn);
	add(&old, NULL, "", NULL, at - 1);
	add(&now, NULL, "", NULL, at);
	stalled.enough = UINT_MAX;
	hub_resume(&stalled.feed);
	ck_assert_str_eq(told(&now), "");
	ck_assert(!now.is_gone && old.is_gone && stalled.is_gone);
	ck_assert_uint_eq(old.told.n, 0);
	ck_assert_uint_eq(hub_count(hub), 1);
	drop(&old);
	drop(&stalled);
	drop(&now);
}
END_TEST

static enum code goes_on(const char *keys, uint64_t *rev)
{
	struct str key, rest = str_of(keys);
	struct address at[4];
	struct kv_txn *txn = bench_read(&b);
	struct err err;
	enum code rc;
	size_t n = 0;

	while (rest.n) {
		key = str_cut(&rest, ' ');
		ck_assert_int_eq(address_parse(key, &at[n++], &err), OK);
	}
	rc = feed_check_keys(txn, at, n, rev, &err);
	ck_assert(rc != E_GONE || strstr(err.hint, "watch from now on"));
	kv_end(&txn);
	return rc;
}

/* x of a was changed last by 7, y of b by 8. */
START_TEST(who_follows_what_stands_still_goes_on)
{
	struct command restored = { .type = COMMAND_RESTORED, .time_ms = b.time_ms,
				    .from = RESTORED_BACKUP };
	uint64_t rev = 7;

	two_tenants();
	ck_assert_int_eq(goes_on("a/shop/prod/x", &rev), OK);
	ck_assert_uint_eq(rev, 7);
	compact(1);
	ck_assert_int_eq(goes_on("a/shop/prod/x", &rev), OK);
	ck_assert_uint_eq(rev, 11);
	rev = 6;
	ck_assert_int_eq(goes_on("a/shop/prod/x", &rev), E_GONE);
	ck_assert_uint_eq(rev, 6);
	rev = 7;
	ck_assert_int_eq(goes_on("a/shop/prod/x b/shop/prod/y", &rev), E_GONE);
	rev = 8;
	ck_assert_int_eq(goes_on("a/shop/prod/x b/shop/prod/y", &rev), OK);
	/* It may have been there. */
	rev = 8;
	ck_assert_int_eq(goes_on("a/shop/prod/none", &rev), E_GONE);
	/* What came behind the backup is forgotten, and 8 may be of there. */
	bench_apply(&b, &restored);
	ck_assert_int_eq(goes_on("b/shop/prod/y", &rev), E_GONE);
	rev = RESTORED_STEP + 11;
	ck_assert_int_eq(goes_on("b/shop/prod/y", &rev), OK);
}
END_TEST

START_TEST(an_event_that_cannot_be_read_is_an_error)
{
	struct kv *kv;
	struct kv_txn *txn;
	AUTO_BUF key = BUF_NONE;
	struct fan x;
	struct err err;
	bool more;

	two_tenants();
	kv = state_kv(b.state);
	wr_u64_be(&key, 9);
	ck_assert_int_eq(kv_write(kv, &txn, &err), OK);
	kv_put(txn, KV_EVENTS, buf_view(&key), STR("?"));
	ck_assert_int_eq(kv_commit(&txn, &err), OK);
	kv_close(&kv);
	add(&x, NULL, "", NULL, 0);
	txn = bench_read(&b);
	ck_assert_int_eq(hub_run(hub, txn, NULL, NULL, &more, &err), E_CORRUPT);
	ck_assert(!more);
	kv_end(&txn);
	drop(&x);
}
END_TEST

/* ---- many ---- */

/* Who comes back after a fault reads the store together. */
START_TEST(a_thousand_that_resume_read_it_together)
{
	static struct fan fans[1000];
	uint64_t rows;

	two_tenants();
	for (unsigned i = 0; i < 100; i++) {
		struct command *c = bench_command(&b);

		release(c, "a", "x", i % 2 ? "1" : "2");
		apply(c);
	}
	rows = state_head(b.state)->rev;
	for (size_t i = 0; i < ARRAY_LEN(fans); i++) {
		add(&fans[i], "a/shop/prod/x", NULL, NULL, (i * 37) % rows);
		/* Each one in a turn of its own at first. */
		if (i < 3)
			run();
	}
	while (run())
		;
	for (size_t i = 0; i < ARRAY_LEN(fans); i++) {
		ck_assert(hub_is_idle(&fans[i].feed));
		ck_assert_uint_eq(hub_position(&fans[i].feed), rows);
	}
	ck_assert_uint_le(hub_rows(hub), 5 * rows);
	for (size_t i = 0; i < ARRAY_LEN(fans); i++)
		drop(&fans[i]);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/hub");
	TCase *t = tcase_create("hub");

	tcase_add_checked_fixture(t, fan_setup, fan_teardown);
	tcase_add_test(t, the_end_is_on_the_last_change_that_is_told);
	tcase_add_test(t, an_empty_prefix_is_everything);
	tcase_add_test(t, a_key_is_one_address_and_told_once);
	tcase_add_loop_test(t, it_goes_on_where_it_stopped, 1, 8);
	tcase_add_loop_test(t, a_socket_that_is_full_stops_it_alone, 1, 6);
	tcase_add_test(t, who_resumes_within_a_command_gets_the_rest);
	tcase_add_loop_test(t, a_place_within_a_command_is_not_its_end, 1, 6);
	tcase_add_test(t, who_is_told_may_remove_itself_and_others);
	tcase_add_loop_test(t, what_one_may_not_read_one_is_not_told, 1, 8);
	tcase_add_test(t, who_gets_what_it_got_is_not_told);
	tcase_add_test(t, what_a_release_begins_to_give_is_told);
	tcase_add_test(t, what_lies_beside_the_content_is_no_change);
	tcase_add_test(t, what_had_no_version_comes_and_goes_unheard);
	tcase_add_test(t, what_is_compacted_is_gone);
	tcase_add_test(t, who_follows_what_stands_still_goes_on);
	tcase_add_test(t, an_event_that_cannot_be_read_is_an_error);
	tcase_add_test(t, a_thousand_that_resume_read_it_together);
	suite_add_tcase(s, t);
	t = tcase_create("old");
	tcase_add_checked_fixture(t, fan_setup_old, fan_teardown);
	tcase_add_test(t, of_old_events_every_change_of_rules_is_told);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
