/* Releases that go out in steps: what clients get in each of them. */
#include <stdio.h>

#include "bench.h"
#include "state/view_rollout.h"
#include "unit.h"

#include "base/banned.h"

#define ONE "shop.prod.db.toml"
#define TWO "shop.prod.two.toml"

static struct bench b;
static char release[RELEASE_NAME_MAX];   /* the newest one */

static void version_five(void)
{
	struct command c = { .type = COMMAND_VERSION, .version = 5,
			     .time_ms = b.time_ms };

	ck_assert_int_eq(bench_apply(&b, &c)->code, OK);
}

static void policy(const char *name, const char *spec)
{
	struct command *c = bench_command(&b);
	struct op *op = put_tenant(&b, c, NULL);

	op->kind = KIND_RELEASE_POLICY;
	op->tenant = STR("acme");
	op->name = str_of(name);
	op->spec = str_of(spec);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

#define CANARY "{\"strategy\":\"canary\",\"steps\":[{\"labels\":{\"zone\":\"eu\"}}," \
	       "{\"percent\":50},{\"percent\":100}]"

/* Two configurations that serve "a". */
static void setup(void)
{
	struct command *c;

	bench_open(&b, "boot-1");
	version_five();
	bench_shop(&b, "a");
	c = bench_command(&b);
	put_config(&b, c, "acme", "shop", "prod", "two.toml");
	add_version(&b, c, "acme", TWO, STR("a"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
}

static void teardown(void)
{
	bench_close(&b);
}

static uint32_t got(const char *name, const char *id, const char *zone)
{
	struct kv_txn *txn = bench_read(&b);
	struct address at = { STR("acme"), STR("shop"), STR("prod"), str_of(name) };
	struct client client = { .id = str_of(id) };
	struct config_view v;
	struct err err;

	if (zone)
		labels_set(b.arena, &client.labels, STR("zone"), str_of(zone));
	ck_assert_int_eq(view_config(txn, &at, &client, &v, &err), OK);
	kv_end(&txn);
	return v.rule.version;
}

#define DB(id, zone) got("db.toml", id, zone)
#define SECOND(id, zone) got("two.toml", id, zone)

/* How many of 200 instances get version 'v' of both, all or nothing. */
static unsigned share(uint32_t v)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 200; i++) {
		char id[16];

		snprintf(id, sizeof(id), "web-%u", i);
		ck_assert(DB(id, NULL) == v ? SECOND(id, NULL) == v :
					      SECOND(id, NULL) != v);
		n += DB(id, NULL) == v;
	}
	return n;
}

static bool see(void *data, const struct object_view *o)
{
	(void)data;
	str_copy(release, sizeof(release), o->name);
	return true;
}

static void note_newest(void)
{
	struct kv_txn *txn = bench_read(&b);

	ck_assert_int_eq(view_list(txn, KIND_RELEASE, STR("acme"), STR_NONE,
				   STR_NONE, see, NULL, NULL), OK);
	kv_end(&txn);
}

static struct op *add(struct command *c, const char *object, const char *content)
{
	put_blob(&b, "acme", str_of(content));
	return add_version(&b, c, "acme", object, str_of(content), true);
}

static void as_source(struct command *c)
{
	c->subject = (struct subject){ .name = STR("source:acme/git"),
				       .role = ROLE_SOURCE, .tenant = STR("acme") };
}

/* One or both of them, by one command; either may be NULL. */
static enum code publish(const char *one, const char *two)
{
	struct command *c = bench_command(&b);
	enum code rc;

	if (one)
		add(c, ONE, one);
	if (two)
		add(c, TWO, two);
	rc = bench_apply(&b, c)->code;
	note_newest();
	return rc;
}

static enum code push(const char *one, const char *two)
{
	struct command *c = bench_command(&b);
	enum code rc;

	as_source(c);
	c->flags = COMMAND_TAKE_OVER;
	c->commit = STR("main@sha1:1");
	if (one)
		add(c, ONE, one)->lift_hold = true;
	if (two)
		add(c, TWO, two)->lift_hold = true;
	rc = bench_apply(&b, c)->code;
	note_newest();
	return rc;
}

static enum code move_of(const char *name, enum release_move move, uint32_t step)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_RELEASE_MOVE);

	op->kind = KIND_RELEASE;
	op->tenant = STR("acme");
	op->name = arena_str(b.arena, str_of(name));
	op->move = move;
	op->step = step;
	op->message = STR("because");
	op->mode = ROLLBACK_STABLE_ONLY;
	return bench_apply(&b, c)->code;
}

static enum code go(enum release_move move)
{
	return move_of(release, move, UINT32_MAX);
}

static bool says(const char *name, const char *what)
{
	struct kv_txn *txn = bench_read(&b);
	struct object_view o;
	bool found;
	struct err err;

	ck_assert_int_eq(view_object(txn, KIND_RELEASE, STR("acme"), str_of(name),
				     &o, &err), OK);
	found = str_find_str(o.row.status, str_of(what)) != SIZE_MAX ||
		str_find_str(o.row.spec, str_of(what)) != SIZE_MAX;
	if (!found)
		fprintf(stderr, "%.*s %.*s\n", STR_ARG(o.row.spec),
			STR_ARG(o.row.status));
	kv_end(&txn);
	return found;
}

static bool is_phase(const char *name, const char *phase)
{
	char text[64];

	snprintf(text, sizeof(text), "\"phase\":\"%s\"", phase);
	return says(name, text);
}

static uint64_t rows_of(enum kv_table table)
{
	struct kv_txn *txn = bench_read(&b);
	struct kv_cursor c;
	uint64_t n = 0;

	for (bool on = kv_seek(txn, table, STR_NONE, &c); on; on = kv_next(&c))
		n++;
	kv_cursor_close(&c);
	kv_end(&txn);
	return n;
}

/* Nothing of releases is left but what the tenant has policies. */
static void nothing_is_left(unsigned policies)
{
	struct kv_txn *txn = bench_read(&b);

	ck_assert_uint_eq(rows_of(KV_ROLLOUTS), 0);
	ck_assert_uint_eq(rows_of(KV_RELEASING), 0);
	ck_assert_uint_eq(view_count(txn, STR("acme"), (enum kind_id)251), policies);
	kv_end(&txn);
}

START_TEST(a_canary_goes_through_its_steps)
{
	policy("p", CANARY "}");
	ck_assert_int_eq(publish("b", "b"), OK);
	ck_assert(is_phase(release, "Progressing"));
	ck_assert(says(release, "\"strategy\":\"canary\""));
	ck_assert(says(release, "\"step\":1,"));
	ck_assert_uint_eq(DB("", "eu"), 2);
	ck_assert_uint_eq(SECOND("", "eu"), 2);
	ck_assert_uint_eq(DB("", NULL), 1);
	ck_assert_uint_eq(share(2), 0);
	ck_assert_int_eq(move_of(release, MOVE_ADVANCE, 0), OK);
	ck_assert_uint_eq(DB("", "eu"), 2);
	ck_assert_uint_gt(share(2), 60);
	ck_assert_uint_lt(share(2), 140);
	ck_assert_int_eq(move_of(release, MOVE_ADVANCE, 1), OK);
	ck_assert_uint_eq(share(2), 200);
	ck_assert_uint_eq(DB("", NULL), 1);
	ck_assert_int_eq(move_of(release, MOVE_ADVANCE, 2), OK);
	ck_assert(is_phase(release, "Completed"));
	ck_assert_uint_eq(DB("", NULL), 2);
	/* What it can turn back to, of both. */
	ck_assert_uint_eq(rows_of(KV_RELEASING), 2);
	ck_assert_int_eq(go(MOVE_FORGET), OK);
	nothing_is_left(1);
	ck_assert_int_eq(go(MOVE_ROLLBACK), E_PHASE);
}
END_TEST

START_TEST(of_two_that_mean_the_same_step_one_happens)
{
	policy("p", CANARY "}");
	publish("b", NULL);
	ck_assert_int_eq(move_of(release, MOVE_ADVANCE, 0), OK);
	ck_assert_int_eq(move_of(release, MOVE_ADVANCE, 0), E_CONFLICT);
	ck_assert(says(release, "\"step\":2,"));
	ck_assert_int_eq(move_of(release, MOVE_STEP_BEGUN, 1), OK);
	ck_assert_int_eq(move_of(release, MOVE_STEP_BEGUN, 1), E_PHASE);
	ck_assert_int_eq(move_of("r-000000009999", MOVE_ADVANCE, 0), E_NOT_FOUND);
	ck_assert_int_eq(move_of("nonsense", MOVE_ADVANCE, 0), E_NOT_FOUND);
	ck_assert_int_eq(go(MOVE_RESUME), E_PHASE);
}
END_TEST

/* Are the conditions of its step met, as far as is on record? */
static bool is_met(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct rollout_row row;

	ck_assert_int_eq(view_rollout(txn, b.arena, STR("acme"), str_of(release),
				      &row, NULL), OK);
	kv_end(&txn);
	/* Nobody said that they were before. */
	ck_assert_uint_eq(row.baked_ms, 0);
	ck_assert(row.met_ms == 0 || row.met_ms >= row.step_ms);
	return row.met_ms > 0;
}

START_TEST(what_a_step_bakes_is_on_record)
{
	policy("p", CANARY "}");
	publish("b", NULL);
	ck_assert_int_eq(go(MOVE_MET), E_PHASE);
	go(MOVE_STEP_BEGUN);
	ck_assert_int_eq(go(MOVE_UNMET), E_PHASE);
	ck_assert(go(MOVE_MET) == OK && is_met());
	ck_assert_int_eq(go(MOVE_MET), E_PHASE);
	ck_assert(go(MOVE_UNMET) == OK && !is_met());
	ck_assert(go(MOVE_MET) == OK && go(MOVE_PAUSE) == OK && !is_met());
	ck_assert(go(MOVE_RESUME) == OK && go(MOVE_MET) == OK && is_met());
	ck_assert(!says(release, "release-unmet") && go(MOVE_ADVANCE) == OK);
	ck_assert(!is_met());
}
END_TEST

START_TEST(it_turns_back_as_a_whole_and_holds)
{
	policy("p", CANARY "}");
	ck_assert_int_eq(push("b", "b"), OK);
	go(MOVE_ADVANCE);
	ck_assert_int_eq(go(MOVE_ROLLBACK), OK);
	ck_assert(is_phase(release, "RolledBack"));
	ck_assert(says(release, "because"));
	ck_assert_uint_eq(share(2), 0);
	ck_assert_uint_eq(DB("", "eu"), 1);
	/* The same content does not come again, by one file or both. */
	ck_assert_int_eq(push("b", "b"), OK);
	ck_assert_int_eq(push("b", NULL), OK);
	ck_assert(is_phase(release, "RolledBack"));
	ck_assert_uint_eq(DB("", "eu"), 1);
	ck_assert_uint_eq(rows_of(KV_RELEASING), 2);
	/* A change of one file brings the other with it. */
	ck_assert_int_eq(push("c", NULL), OK);
	ck_assert(is_phase(release, "Progressing"));
	ck_assert(says(release, "\"count\":2"));
	ck_assert_uint_eq(DB("", "eu"), 3);
	ck_assert_uint_eq(SECOND("", "eu"), 2);
	ck_assert_uint_eq(DB("", NULL), 1);
	ck_assert_uint_eq(SECOND("", NULL), 1);
	ck_assert_int_eq(go(MOVE_PROMOTE_FULL), OK);
	ck_assert_uint_eq(SECOND("", NULL), 2);
	go(MOVE_FORGET);
	nothing_is_left(1);
}
END_TEST

START_TEST(a_file_that_went_back_is_not_brought_along)
{
	policy("p", CANARY "}");
	push("b", "b");
	go(MOVE_ROLLBACK);
	/* Before it, and behind it. */
	ck_assert_int_eq(push("a", "c"), OK);
	ck_assert_uint_eq(DB("", "eu"), 1);
	ck_assert_uint_eq(SECOND("", "eu"), 3);
	go(MOVE_ROLLBACK);
	push("b", "b");
	go(MOVE_ROLLBACK);
	ck_assert_int_eq(push("d", "a"), OK);
	ck_assert_uint_eq(SECOND("", "eu"), 1);
	go(MOVE_ABORT);
	nothing_is_left(1);
}
END_TEST

START_TEST(abort_holds_nothing)
{
	policy("p", CANARY "}");
	push("b", "b");
	ck_assert_int_eq(go(MOVE_ABORT), OK);
	ck_assert(is_phase(release, "Aborted"));
	nothing_is_left(1);
	ck_assert_uint_eq(DB("", "eu"), 1);
	push("b", NULL);
	ck_assert_uint_eq(DB("", "eu"), 2);
}
END_TEST

START_TEST(a_hold_is_lifted_by_hand)
{
	struct command *c;
	struct op *op;

	policy("p", CANARY "}");
	push("b", NULL);
	go(MOVE_ROLLBACK);
	c = bench_command(&b);
	op = command_op(b.arena, c, OP_HOLD_LIFT);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(ONE);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert(b.last.results[0].changed);
	nothing_is_left(1);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert(!b.last.results[0].changed);
	push("b", NULL);
	ck_assert_uint_eq(DB("", "eu"), 2);
}
END_TEST

START_TEST(blue_green_switches_and_back)
{
	struct labels green = { 0 };

	policy("p", "{\"strategy\":\"blue-green\"}");
	publish("b", "b");
	ck_assert_uint_eq(DB("", NULL), 1);
	{
		struct kv_txn *txn = bench_read(&b);
		struct address at = { STR("acme"), STR("shop"), STR("prod"),
				      STR("db.toml") };
		struct config_view v;

		labels_set(b.arena, &green, STR("slot"), STR("green"));
		ck_assert_int_eq(view_config(txn, &at,
			&(struct client){ .labels = green }, &v, NULL), OK);
		ck_assert_uint_eq(v.rule.version, 2);
		ck_assert_uint_eq(v.rule.release, release_number(str_of(release)));
		kv_end(&txn);
	}
	ck_assert_int_eq(go(MOVE_PROMOTE), OK);
	ck_assert_uint_eq(DB("", NULL), 2);
	ck_assert_uint_eq(SECOND("", NULL), 2);
	ck_assert_int_eq(go(MOVE_ROLLBACK), OK);
	ck_assert_uint_eq(DB("", NULL), 1);
	ck_assert_uint_eq(SECOND("", NULL), 1);
	nothing_is_left(1);
}
END_TEST

START_TEST(what_has_gone_on_is_not_switched_back)
{
	policy("p", "{\"strategy\":\"blue-green\"}");
	publish("b", "b");
	go(MOVE_PROMOTE);
	{
		char first[RELEASE_NAME_MAX];

		memcpy(first, release, sizeof(first));
		publish("c", NULL);
		go(MOVE_PROMOTE);
		ck_assert_int_eq(move_of(first, MOVE_ROLLBACK, UINT32_MAX), E_PHASE);
		/* All or nothing. */
		ck_assert_uint_eq(DB("", NULL), 3);
		ck_assert_uint_eq(SECOND("", NULL), 2);
	}
}
END_TEST

START_TEST(the_first_version_goes_out_at_once)
{
	struct command *c;

	policy("p", CANARY "}");
	c = bench_command(&b);
	put_config(&b, c, "acme", "shop", "prod", "new.toml");
	add(c, "shop.prod.new.toml", "n");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	note_newest();
	ck_assert(is_phase(release, "Completed"));
	ck_assert_uint_eq(got("new.toml", "", NULL), 1);
	/* With others that are in steps. */
	c = bench_command(&b);
	put_config(&b, c, "acme", "shop", "prod", "newer.toml");
	add(c, "shop.prod.newer.toml", "n");
	add(c, ONE, "b");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	note_newest();
	ck_assert(is_phase(release, "Progressing"));
	ck_assert_uint_eq(got("newer.toml", "", NULL), 1);
	ck_assert_uint_eq(DB("", NULL), 1);
}
END_TEST

START_TEST(a_newer_release_takes_over_what_the_older_one_had)
{
	char first[RELEASE_NAME_MAX];

	policy("p", CANARY "}");
	publish("b", "b");
	memcpy(first, release, sizeof(first));
	go(MOVE_ADVANCE);
	publish("c", NULL);
	ck_assert(is_phase(first, "Superseded"));
	ck_assert(is_phase(release, "Progressing"));
	ck_assert(says(release, "\"count\":2"));
	ck_assert_uint_eq(DB("", "eu"), 3);
	ck_assert_uint_eq(SECOND("", "eu"), 2);
	ck_assert_int_eq(move_of(first, MOVE_ADVANCE, UINT32_MAX), E_PHASE);
	/* The same again changes nothing. */
	{
		uint64_t rev = state_head(b.state)->rev;

		publish("c", "b");
		ck_assert_uint_eq(state_head(b.state)->rev, rev);
	}
	/* One that goes back to what is live leaves the other on its way. */
	publish("a", NULL);
	ck_assert_uint_eq(DB("", "eu"), 1);
	ck_assert_uint_eq(SECOND("", "eu"), 2);
	memcpy(first, release, sizeof(first));
	publish(NULL, "a");
	ck_assert(is_phase(first, "Superseded"));
	ck_assert_uint_eq(SECOND("", "eu"), 1);
	nothing_is_left(1);
}
END_TEST

START_TEST(a_queue_waits_in_order)
{
	char first[RELEASE_NAME_MAX], second[RELEASE_NAME_MAX];

	policy("p", CANARY ",\"concurrency\":{\"group\":\"g\",\"policy\":\"Queue\"}}");
	publish("b", NULL);
	memcpy(first, release, sizeof(first));
	publish(NULL, "b");
	memcpy(second, release, sizeof(second));
	ck_assert(is_phase(second, "Queued"));
	ck_assert_uint_eq(SECOND("", "eu"), 1);
	ck_assert_int_eq(move_of(second, MOVE_START, 0), E_LOCKED);
	publish("c", NULL);
	ck_assert(is_phase(release, "Queued"));
	ck_assert_int_eq(move_of(first, MOVE_PROMOTE_FULL, UINT32_MAX), OK);
	ck_assert_int_eq(go(MOVE_START), E_LOCKED);
	ck_assert_int_eq(move_of(second, MOVE_START, 0), OK);
	ck_assert_uint_eq(SECOND("", "eu"), 2);
	ck_assert_int_eq(move_of(second, MOVE_ABORT, UINT32_MAX), OK);
	ck_assert_int_eq(go(MOVE_START), OK);
	ck_assert_uint_eq(DB("", "eu"), 3);
	ck_assert_uint_eq(DB("", NULL), 2);
}
END_TEST

START_TEST(side_by_side_the_newer_comes_first)
{
	char first[RELEASE_NAME_MAX];

	policy("p", CANARY ",\"concurrency\":{\"policy\":\"Parallel\"}}");
	publish("b", NULL);
	memcpy(first, release, sizeof(first));
	publish("c", NULL);
	ck_assert(is_phase(first, "Progressing"));
	ck_assert_uint_eq(DB("", "eu"), 3);
	ck_assert_int_eq(go(MOVE_PAUSE), OK);
	move_of(first, MOVE_ADVANCE, UINT32_MAX);
	/* The rules of the older one moved and stay behind those of the newer. */
	ck_assert_uint_eq(DB("", "eu"), 3);
	ck_assert_int_eq(go(MOVE_PROMOTE_FULL), OK);
	ck_assert(is_phase(first, "Superseded"));
	ck_assert_uint_eq(DB("", NULL), 3);
	ck_assert_uint_eq(DB("", "eu"), 3);
}
END_TEST

START_TEST(what_goes_back_to_what_is_live_waits_in_the_queue_too)
{
	char first[RELEASE_NAME_MAX];

	policy("p", CANARY ",\"concurrency\":{\"policy\":\"Queue\"}}");
	publish("b", NULL);
	memcpy(first, release, sizeof(first));
	publish("a", NULL);
	ck_assert(is_phase(release, "Queued"));
	ck_assert_int_eq(move_of(first, MOVE_PROMOTE_FULL, UINT32_MAX), OK);
	ck_assert_uint_eq(DB("", NULL), 2);
	ck_assert_int_eq(go(MOVE_START), OK);
	ck_assert_int_eq(go(MOVE_PROMOTE_FULL), OK);
	ck_assert_uint_eq(DB("", NULL), 1);
}
END_TEST

START_TEST(content_that_turned_back_goes_out_by_no_other)
{
	char second[RELEASE_NAME_MAX];

	policy("p", CANARY ",\"concurrency\":{\"policy\":\"Queue\"}}");
	push("b", NULL);
	memcpy(second, release, sizeof(second));
	push("c", NULL);
	push("b", NULL);
	ck_assert(is_phase(release, "Queued"));
	ck_assert_int_eq(move_of(second, MOVE_ROLLBACK, UINT32_MAX), OK);
	ck_assert(is_phase(release, "RolledBack"));
	ck_assert_uint_eq(DB("", "eu"), 1);
}
END_TEST

static enum code rollback(enum rollback_mode mode, uint32_t version)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_ROLLBACK);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(ONE);
	op->mode = mode;
	op->version = version;
	return bench_apply(&b, c)->code;
}

START_TEST(a_roll_back_by_hand_ends_the_release)
{
	policy("p", CANARY "}");
	publish("b", "b");
	ck_assert_int_eq(rollback(ROLLBACK_STABLE_ONLY, 0), OK);
	ck_assert(is_phase(release, "RolledBack"));
	ck_assert_uint_eq(b.last.results[0].version, 1);
	ck_assert_uint_eq(DB("", "eu"), 1);
	ck_assert_uint_eq(SECOND("", "eu"), 1);
	publish("c", NULL);
	go(MOVE_PROMOTE_FULL);
	publish("d", NULL);
	ck_assert_int_eq(rollback(ROLLBACK_STABLE_ONLY, 1), OK);
	ck_assert_uint_eq(DB("", "eu"), 1);
	ck_assert_uint_eq(DB("", NULL), 1);
	/* Some had it and nobody else: that is no way back. */
	ck_assert_int_eq(rollback(ROLLBACK_STABLE_ONLY, 2), OK);
	ck_assert_uint_eq(DB("", "eu"), 2);
	ck_assert_uint_eq(DB("", NULL), 1);
}
END_TEST

static enum code set_rules(uint32_t version, const char *zone)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_RULES_SET);
	struct rule *r;
	enum code rc;

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(ONE);
	rules_add(b.arena, &op->rules)->version = version;
	if (zone) {
		r = rules_add(b.arena, &op->rules);
		r->version = 1;
		labels_set(b.arena, &r->labels, STR("zone"), str_of(zone));
	}
	rc = bench_apply(&b, c)->code;
	note_newest();
	return rc;
}

START_TEST(rules_by_hand)
{
	policy("p", CANARY "}");
	publish("b", NULL);
	ck_assert_int_eq(set_rules(1, "us"), E_LOCKED);
	go(MOVE_ABORT);
	ck_assert_int_eq(set_rules(1, "us"), OK);
	ck_assert(is_phase(release, "Completed"));
	/* A version that is there goes out as a new one would. */
	ck_assert_int_eq(set_rules(2, "us"), OK);
	ck_assert(is_phase(release, "Progressing"));
	ck_assert_uint_eq(DB("", NULL), 1);
	ck_assert_uint_eq(DB("", "eu"), 2);
	go(MOVE_PROMOTE_FULL);
	ck_assert_uint_eq(DB("", NULL), 2);
	ck_assert_uint_eq(DB("", "us"), 1);
	/* More than that is what it is. */
	ck_assert_int_eq(set_rules(1, NULL), OK);
	ck_assert_uint_eq(DB("", NULL), 1);
}
END_TEST

START_TEST(the_greatest_policy_counts)
{
	policy("a-first", "{\"strategy\":\"blue-green\"}");
	policy("b-second", CANARY "}");
	policy("x-other", "{\"strategy\":\"immediate\",\"priority\":9,"
	       "\"select\":{\"names\":[\"two*\"]}}");
	publish("b", NULL);
	ck_assert(says(release, "\"strategy\":\"blue-green\""));
	ck_assert(says(release, "\"policy\":\"a-first\""));
	/* That of one of them counts for all. */
	publish("c", "c");
	ck_assert(is_phase(release, "Completed"));
	ck_assert_uint_eq(DB("", NULL), 3);
	policy("z-last", CANARY ",\"priority\":10,\"select\":{\"labels\":{\"a\":\"b\"}}}");
	publish("d", NULL);
	ck_assert(says(release, "\"policy\":\"a-first\""));
}
END_TEST

START_TEST(an_immediate_policy_supersedes_what_is_open)
{
	char first[RELEASE_NAME_MAX];

	policy("p", CANARY "}");
	publish("b", "b");
	memcpy(first, release, sizeof(first));
	policy("p", "{}");
	publish("c", NULL);
	ck_assert(is_phase(first, "Superseded"));
	ck_assert_uint_eq(DB("", "eu"), 3);
	ck_assert_uint_eq(DB("", NULL), 3);
	ck_assert_uint_eq(SECOND("", NULL), 2);
	nothing_is_left(1);
}
END_TEST

START_TEST(a_deleted_configuration_leaves_its_release)
{
	struct command *c;

	policy("p", CANARY "}");
	publish("b", "b");
	for (unsigned i = 0; i < 2; i++) {
		c = bench_command(&b);
		*command_op(b.arena, c, OP_OBJECT_DELETE) = (struct op){
			.type = OP_OBJECT_DELETE, .kind = KIND_CONFIG,
			.tenant = STR("acme"), .name = i ? STR(TWO) : STR(ONE) };
		ck_assert_int_eq(bench_apply(&b, c)->code, OK);
		if (i == 0)
			ck_assert_int_eq(go(MOVE_ADVANCE), OK);
	}
	ck_assert(is_phase(release, "Aborted"));
	nothing_is_left(1);
}
END_TEST

struct order {
	uint64_t last;
	bool was_end;
};

static bool see_order(void *data, uint64_t rev, const struct event_row *e)
{
	struct order *o = data;

	ck_assert_uint_eq(rev, o->last + 1);
	ck_assert(!o->was_end);
	o->last = rev;
	o->was_end = e->end;
	return true;
}

/* What a watch takes for the end of a command is its last event. */
START_TEST(a_deletion_ends_behind_what_its_release_says)
{
	struct command *c;
	struct kv_txn *txn;
	struct order order;

	policy("p", CANARY "}");
	publish("b", "b");
	order = (struct order){ .last = state_head(b.state)->rev };
	c = bench_command(&b);
	*command_op(b.arena, c, OP_OBJECT_DELETE) = (struct op){
		.type = OP_OBJECT_DELETE, .kind = KIND_CONFIG,
		.tenant = STR("acme"), .name = STR(ONE) };
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	txn = bench_read(&b);
	ck_assert_int_eq(view_events(txn, order.last, see_order, &order, NULL), OK);
	kv_end(&txn);
	ck_assert_uint_eq(order.last, state_head(b.state)->rev);
	ck_assert(order.was_end);
}
END_TEST

START_TEST(pauses_are_counted)
{
	struct kv_txn *txn;
	struct rollout_row row;
	struct err err;

	policy("p", CANARY "}");
	publish("b", NULL);
	b.time_ms += 1000;
	ck_assert_int_eq(go(MOVE_PAUSE), OK);
	b.time_ms += 5000;
	ck_assert_int_eq(go(MOVE_RESUME), OK);
	txn = bench_read(&b);
	ck_assert_int_eq(view_rollout(txn, b.arena, STR("acme"), str_of(release), &row,
				      &err), OK);
	ck_assert_uint_ge(row.paused_ms, 5000);
	ck_assert_uint_lt(row.paused_ms, 6000);
	kv_end(&txn);
}
END_TEST

START_TEST(an_old_cluster_knows_no_steps)
{
	struct command *c;
	struct op *op;
	struct rule *r;

	teardown();
	bench_open(&b, "boot-1");
	bench_shop(&b, "a");
	ck_assert_int_eq(publish("b", NULL), OK);
	ck_assert(is_phase(release, "Completed"));
	ck_assert_uint_eq(DB("", NULL), 2);
	ck_assert_int_eq(go(MOVE_ADVANCE), E_NOT_YET);
	c = bench_command(&b);
	op = command_op(b.arena, c, OP_RULES_SET);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(ONE);
	r = rules_add(b.arena, &op->rules);
	r->version = 1;
	rule_add_node(b.arena, r, STR("web-1"));
	ck_assert_int_eq(bench_apply(&b, c)->code, E_NOT_YET);
	version_five();
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
}
END_TEST

/* Between the two times no steps are taken; the way back is open. */
START_TEST(a_window_holds_steps_and_never_a_way_back)
{
	struct command *c = bench_command(&b);
	struct op *op = put_tenant(&b, c, NULL);

	op->kind = KIND_FREEZE_WINDOW;
	op->tenant = STR("acme");
	op->name = STR("w");
	op->spec = STR("{\"owner\":\"ops\",\"reason\":\"sale\",\"blocks\":[\"steps\"],"
		       "\"interval\":{\"start\":\"2000-01-01T00:00:00Z\","
		       "\"end\":\"2199-01-01T00:00:00Z\"}}");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	policy("p", CANARY "}");
	ck_assert_int_eq(publish("b", "b"), OK);
	ck_assert_int_eq(go(MOVE_ADVANCE), E_FROZEN);
	ck_assert_int_eq(go(MOVE_PROMOTE), E_FROZEN);
	ck_assert_int_eq(go(MOVE_PROMOTE_FULL), E_FROZEN);
	ck_assert(says(release, "\"step\":1,"));
	/* Who may administer goes past it, and says why. */
	c = bench_command(&b);
	op = command_op(b.arena, c, OP_RELEASE_MOVE);
	op->kind = KIND_RELEASE;
	op->tenant = STR("acme");
	op->name = str_of(release);
	op->move = MOVE_PROMOTE;
	op->step = 0;
	op->force = true;
	ck_assert_int_eq(bench_apply(&b, c)->code, E_FROZEN);
	op->message = STR("the sale is off");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert(says(release, "\"step\":2,"));
	ck_assert_int_eq(go(MOVE_ROLLBACK), OK);
	ck_assert_uint_eq(DB("", "eu"), 1);
}
END_TEST

START_TEST(a_refused_command_leaves_nothing_of_it)
{
	struct command *c;
	uint64_t rev;

	policy("p", CANARY "}");
	publish("b", "b");
	rev = state_head(b.state)->rev;
	c = bench_command(&b);
	add(c, ONE, "c");
	add_version(&b, c, "acme", "no.such.object", STR("c"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_NOT_FOUND);
	ck_assert(is_phase(release, "Progressing"));
	ck_assert_uint_eq(state_head(b.state)->rev, rev);
	ck_assert_uint_eq(DB("", "eu"), 2);
}
END_TEST

START_TEST(the_oldest_that_can_move_stays)
{
	struct command limits = { .type = COMMAND_LIMITS, .time_ms = b.time_ms,
				  .limits = { .releases_max = 2 } };
	char first[RELEASE_NAME_MAX];

	policy("p", CANARY ",\"select\":{\"names\":[\"two*\"]}}");
	publish(NULL, "b");
	memcpy(first, release, sizeof(first));
	bench_apply(&b, &limits);
	for (unsigned i = 0; i < 8; i++)
		publish(i % 2 ? "x" : "y", NULL);
	ck_assert(is_phase(first, "Progressing"));
	ck_assert_int_eq(move_of(first, MOVE_ADVANCE, 0), OK);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/rollout");
	TCase *t = tcase_create("rollout");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_canary_goes_through_its_steps);
	tcase_add_test(t, of_two_that_mean_the_same_step_one_happens);
	tcase_add_test(t, what_a_step_bakes_is_on_record);
	tcase_add_test(t, it_turns_back_as_a_whole_and_holds);
	tcase_add_test(t, a_file_that_went_back_is_not_brought_along);
	tcase_add_test(t, abort_holds_nothing);
	tcase_add_test(t, a_hold_is_lifted_by_hand);
	tcase_add_test(t, blue_green_switches_and_back);
	tcase_add_test(t, what_has_gone_on_is_not_switched_back);
	tcase_add_test(t, the_first_version_goes_out_at_once);
	tcase_add_test(t, a_newer_release_takes_over_what_the_older_one_had);
	tcase_add_test(t, a_queue_waits_in_order);
	tcase_add_test(t, side_by_side_the_newer_comes_first);
	tcase_add_test(t, what_goes_back_to_what_is_live_waits_in_the_queue_too);
	tcase_add_test(t, content_that_turned_back_goes_out_by_no_other);
	tcase_add_test(t, a_roll_back_by_hand_ends_the_release);
	tcase_add_test(t, rules_by_hand);
	tcase_add_test(t, the_greatest_policy_counts);
	tcase_add_test(t, an_immediate_policy_supersedes_what_is_open);
	tcase_add_test(t, a_deleted_configuration_leaves_its_release);
	tcase_add_test(t, a_deletion_ends_behind_what_its_release_says);
	tcase_add_test(t, pauses_are_counted);
	tcase_add_test(t, an_old_cluster_knows_no_steps);
	tcase_add_test(t, a_window_holds_steps_and_never_a_way_back);
	tcase_add_test(t, a_refused_command_leaves_nothing_of_it);
	tcase_add_test(t, the_oldest_that_can_move_stays);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
