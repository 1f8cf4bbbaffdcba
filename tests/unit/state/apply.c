/* What commands do to the state, and what refusals leave alone. */
#include "bench.h"
#include "unit.h"

#include "base/banned.h"

static struct bench b;

static void setup(void)
{
	bench_open(&b, "boot-1");
}

static void teardown(void)
{
	bench_close(&b);
}

static struct config_view live_of(struct kv_txn *txn, const char *label_value)
{
	struct address at = { STR("acme"), STR("shop"), STR("prod"),
			      STR("db.toml") };
	struct client client = { 0 };
	struct config_view v;
	struct err err;

	if (label_value)
		labels_set(b.arena, &client.labels, STR("zone"),
			   str_of(label_value));
	ck_assert_msg(view_config(txn, &at, &client, &v, &err) == OK, "%s", err.text);
	return v;
}

static uint32_t live_version(void)
{
	struct kv_txn *txn = bench_read(&b);
	uint32_t v = live_of(txn, NULL).rule.version;

	kv_end(&txn);
	return v;
}

static uint64_t live_rev(void)
{
	struct kv_txn *txn = bench_read(&b);
	uint64_t rev = live_of(txn, NULL).live.rev;

	kv_end(&txn);
	return rev;
}

static uint64_t rev_now(void)
{
	return state_head(b.state)->rev;
}

static enum code publish(const char *object, const char *content)
{
	struct command *c = bench_command(&b);

	put_blob(&b, "acme", str_of(content));
	add_version(&b, c, "acme", object, str_of(content), true);
	return bench_apply(&b, c)->code;
}

START_TEST(a_published_version_is_served_byte_for_byte)
{
	const char *text = "port = 1\n";
	AUTO_BUF got = BUF_NONE;
	struct config_view v;
	struct kv_txn *txn;

	bench_shop(&b, text);
	txn = bench_read(&b);
	v = live_of(txn, NULL);
	ck_assert_uint_eq(v.rule.version, 1);
	ck_assert_int_eq(view_content(txn, STR("acme"), &v.rule.sha, v.rule.size,
				      &got, NULL),
			 OK);
	ck_assert_str_eq(got.p, text);
	kv_end(&txn);
}
END_TEST

START_TEST(large_content_comes_back_whole)
{
	const char *object = bench_shop(&b, "x");
	size_t n = 700 * 1000 + 7;
	char *big = arena_alloc(b.arena, n);
	AUTO_BUF got = BUF_NONE;
	struct sha256 sha;
	struct command *c = bench_command(&b);
	struct kv_txn *txn;

	for (size_t i = 0; i < n; i++)
		big[i] = (char)(i * 31 + i / 251);
	sha = put_blob(&b, "acme", str_n(big, n));
	add_version(&b, c, "acme", object, str_n(big, n), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	txn = bench_read(&b);
	ck_assert_int_eq(view_content(txn, STR("acme"), &sha, n, &got, NULL), OK);
	ck_assert_uint_eq(got.n, n);
	ck_assert_int_eq(memcmp(got.p, big, n), 0);
	kv_end(&txn);
}
END_TEST

static void bring_content(struct command *c, const char *text)
{
	*command_content(b.arena, c) = (struct content_part){
		STR("acme"), sha256_of(str_of(text)), str_of(text)
	};
}

START_TEST(content_may_travel_in_the_command)
{
	const char *object = bench_shop(&b, "a");
	struct command *c = bench_command(&b);
	AUTO_BUF got = BUF_NONE;
	struct sha256 sha = sha256_of(STR("b"));
	struct kv_txn *txn;

	bring_content(c, "b");
	ck_assert(command_has_content(bench_encode(&b, c)));
	add_version(&b, c, "acme", object, STR("b"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_uint_eq(live_version(), 2);
	txn = bench_read(&b);
	ck_assert_int_eq(view_content(txn, STR("acme"), &sha, 1, &got, NULL), OK);
	ck_assert_str_eq(got.p, "b");
	kv_end(&txn);
}
END_TEST

START_TEST(what_may_be_sent_again_is_known_from_its_bytes)
{
	struct command *c = bench_command(&b);
	struct command blob = { .type = COMMAND_BLOB, .tenant = STR("acme") };
	struct command staged = { .type = COMMAND_STAGED };
	struct command back;
	AUTO_BUF later = BUF_NONE;
	struct str bytes;

	bring_content(c, "b");
	put_tenant(&b, c, "acme");
	bytes = bench_encode(&b, c);
	ck_assert(!command_is_repeatable(bytes));
	c->id.b[31] = 1;
	bytes = bench_encode(&b, c);
	ck_assert(command_is_repeatable(bytes));
	ck_assert(!command_is_repeatable(str_first(bytes, 20)));
	ck_assert(!command_is_repeatable(STR("")));
	ck_assert(command_is_repeatable(bench_encode(&b, &blob)));
	ck_assert(!command_is_repeatable(bench_encode(&b, &staged)));
	/* Stamped with another time it is the same otherwise. */
	command_stamp(&later, bytes, 1);
	ck_assert_int_eq(command_decode(b.arena, buf_view(&later), &back, NULL),
			 OK);
	ck_assert_uint_eq(back.time_ms, 1);
	back.time_ms = c->time_ms;
	ck_assert(str_eq(bench_encode(&b, &back), bytes));
	buf_reset(&later);
	command_stamp(&later, STR("\1"), 1);
	ck_assert_uint_eq(later.n, 0);
}
END_TEST

START_TEST(content_of_a_refused_command_is_not_kept)
{
	struct command *c;
	uint64_t bytes;

	bench_shop(&b, "a");
	bytes = state_head(b.state)->bytes;
	c = bench_command(&b);
	bring_content(c, "b");
	add_version(&b, c, "acme", "no.such.object", STR("b"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_NOT_FOUND);
	ck_assert_uint_eq(state_head(b.state)->bytes, bytes);
	c = bench_command(&b);
	ck_assert(!command_has_content(bench_encode(&b, c)));
	add_version(&b, c, "acme", "shop.prod.db.toml", STR("b"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_BLOB_MISSING);
}
END_TEST

/* ---- Releases ---- */

struct seen {
	size_t n;
	struct str first, last, spec;
};

static bool see_release(void *data, const struct object_view *o)
{
	struct seen *seen = data;

	if (seen->n++ == 0)
		seen->first = arena_str(b.arena, o->name);
	seen->last = arena_str(b.arena, o->name);
	seen->spec = arena_str(b.arena, o->row.spec);
	return true;
}

static struct seen releases(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct seen seen = { 0 };

	ck_assert_int_eq(view_list(txn, KIND_RELEASE, STR("acme"), STR_NONE,
				   STR_NONE, see_release, &seen, NULL),
			 OK);
	ck_assert_uint_eq(view_count(txn, STR("acme"), KIND_RELEASE), seen.n);
	kv_end(&txn);
	return seen;
}

START_TEST(what_a_command_makes_live_is_one_release)
{
	const char *object = bench_shop(&b, "a");
	struct command *c = bench_command(&b);
	uint64_t rev;
	struct seen seen;

	ck_assert_uint_eq(releases().n, 1);
	put_config(&b, c, "acme", "shop", "prod", "two.toml");
	bring_content(c, "b");
	c->commit = STR("main@sha1:1");
	c->reason = STR("say \"why\"");
	add_version(&b, c, "acme", object, STR("b"), true);
	add_version(&b, c, "acme", "shop.prod.two.toml", STR("b"), true);
	rev = rev_now();
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	/* Behind the operations, with a revision of its own. */
	ck_assert_uint_eq(b.last.results[2].rev, rev + 3);
	ck_assert_uint_eq(b.last.rev, rev + 4);
	seen = releases();
	ck_assert_uint_eq(seen.n, 2);
	ck_assert_str_eq(seen.last.p,
			 arena_printf(b.arena, "r-%012llu",
				      (unsigned long long)rev + 4).p);
	ck_assert_str_eq(
		seen.spec.p,
		"{\"author\":\"token:root\",\"commit\":\"main@sha1:1\","
		"\"configs\":[{\"name\":\"shop.prod.db.toml\",\"version\":2},"
		"{\"name\":\"shop.prod.two.toml\",\"version\":1}],\"count\":2,"
		"\"reason\":\"say \\\"why\\\"\",\"strategy\":\"immediate\","
		"\"type\":\"publish\"}");
	/* A version that is not released, or one that is live already. */
	c = bench_command(&b);
	add_version(&b, c, "acme", object, STR("a"), false);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_int_eq(publish(object, "b"), OK);
	ck_assert_uint_eq(releases().n, 2);
}
END_TEST

START_TEST(the_oldest_releases_go)
{
	const char *object = bench_shop(&b, "a");
	struct command limits = { .type = COMMAND_LIMITS,
				  .time_ms = b.time_ms,
				  .limits = { .releases_max = 5 } };
	struct seen seen;

	for (int i = 0; i < 9; i++)
		publish(object, i % 2 ? "a" : "b");
	ck_assert_uint_eq(releases().n, 10);
	bench_apply(&b, &limits);
	for (int i = 0; i < 5; i++)
		publish(object, i % 2 ? "b" : "a");
	seen = releases();
	ck_assert_uint_eq(seen.n, 5);
	publish(object, "b");
	ck_assert_uint_eq(releases().n, 5);
	ck_assert(str_cmp(releases().first, seen.first) > 0);
}
END_TEST

START_TEST(releases_do_not_hold_a_tenant)
{
	const char *object = bench_shop(&b, "a");
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_OBJECT_DELETE);

	*op = (struct op){ .type = OP_OBJECT_DELETE, .kind = KIND_TENANT,
			   .name = STR("acme") };
	ck_assert_int_eq(bench_apply(&b, c)->code, E_CONFLICT);
	ck_assert_uint_eq(releases().n, 1);
	c = bench_command(&b);
	*command_op(b.arena, c, OP_OBJECT_DELETE) = (struct op){
		.type = OP_OBJECT_DELETE, .kind = KIND_CONFIG,
		.tenant = STR("acme"), .name = str_of(object) };
	*command_op(b.arena, c, OP_OBJECT_DELETE) = *op;
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_uint_eq(releases().n, 0);
}
END_TEST

START_TEST(a_command_is_all_or_nothing)
{
	uint64_t rev, audit;
	struct sha256 before, after;
	struct command *c;
	struct err err;

	bench_shop(&b, "a");
	rev = rev_now();
	audit = state_head(b.state)->audit_seq;
	c = bench_command(&b);
	put_config(&b, c, "acme", "shop", "prod", "one.toml");
	add_version(&b, c, "acme", "no.such.object", STR("a"), true);
	ck_assert_int_eq(state_scan_digest(b.state, &before, &err), OK);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_NOT_FOUND);
	ck_assert_uint_eq(b.last.op, 1);
	ck_assert_uint_eq(rev_now(), rev);
	ck_assert_uint_eq(state_head(b.state)->audit_seq, audit);
	/* Only the applied index and the chain moved: put both back. */
	ck_assert_int_eq(state_scan_digest(b.state, &after, &err), OK);
	ck_assert(!sha256_eq(&before, &after));
	{
		struct kv_txn *txn = bench_read(&b);
		struct object_view o;

		ck_assert_int_eq(view_object(txn, KIND_CONFIG, STR("acme"),
					     STR("shop.prod.one.toml"), &o, &err),
				 E_NOT_FOUND);
		kv_end(&txn);
	}
}
END_TEST

START_TEST(revisions_are_one_an_operation_and_the_last_event_ends)
{
	struct command *c;
	uint64_t rev;
	struct kv_txn *txn;
	struct kv_cursor cur;
	struct event_row row;

	bench_shop(&b, "a");
	rev = rev_now();
	c = bench_command(&b);
	put_config(&b, c, "acme", "shop", "prod", "one");
	put_config(&b, c, "acme", "shop", "prod", "two");
	put_config(&b, c, "acme", "shop", "prod", "three");
	bench_apply(&b, c);
	ck_assert_uint_eq(b.last.rev, rev + 3);
	ck_assert_uint_eq(b.last.results[0].rev, rev + 1);
	ck_assert_uint_eq(b.last.results[2].rev, rev + 3);
	txn = bench_read(&b);
	ck_assert(kv_seek_before(txn, KV_EVENTS, STR_NONE, &cur));
	ck_assert(event_row_decode(cur.val, &row) && row.end);
	ck_assert(kv_prev(&cur));
	ck_assert(event_row_decode(cur.val, &row) && !row.end);
	kv_cursor_close(&cur);
	kv_end(&txn);
}
END_TEST

START_TEST(writing_the_same_again_moves_nothing)
{
	struct command *c = bench_command(&b);
	uint64_t rev;

	put_tenant(&b, c, "acme");
	bench_apply(&b, c);
	rev = rev_now();
	bench_apply(&b, c);
	ck_assert_int_eq(b.last.code, OK);
	ck_assert(!b.last.results[0].changed);
	ck_assert_uint_eq(rev_now(), rev);
	ck_assert_uint_eq(b.last.rev, 0);
}
END_TEST

START_TEST(an_expected_revision_that_moved_is_a_conflict)
{
	const char *object = bench_shop(&b, "a");
	uint64_t rev = live_rev();
	struct command *c;

	ck_assert_int_eq(publish(object, "b"), OK);
	put_blob(&b, "acme", STR("c"));
	c = bench_command(&b);
	add_version(&b, c, "acme", object, STR("c"), true)->expect = rev;
	ck_assert_int_eq(bench_apply(&b, c)->code, E_CONFLICT);
	ck_assert_uint_eq(live_version(), 2);
	rev = live_rev();
	c = bench_command(&b);
	add_version(&b, c, "acme", object, STR("c"), true)->expect = rev;
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	c = bench_command(&b);
	put_tenant(&b, c, "acme")->expect = REV_NONE;
	ck_assert_int_eq(bench_apply(&b, c)->code, E_EXISTS);
}
END_TEST

START_TEST(the_same_key_is_answered_from_its_row)
{
	const char *object = bench_shop(&b, "a");
	struct command *c = bench_command(&b);
	uint64_t rev;

	put_blob(&b, "acme", STR("b"));
	add_version(&b, c, "acme", object, STR("b"), true);
	c->id = sha256_of(STR("key-1"));
	c->body = sha256_of(STR("body-1"));
	bench_apply(&b, c);
	rev = b.last.rev;
	ck_assert_uint_eq(b.last.results[0].version, 2);
	bench_apply(&b, c);
	ck_assert(b.last.replayed);
	ck_assert_uint_eq(b.last.rev, rev);
	ck_assert_uint_eq(b.last.results[0].version, 2);
	ck_assert_uint_eq(rev_now(), rev);
	c->body = sha256_of(STR("body-2"));
	ck_assert_int_eq(bench_apply(&b, c)->code, E_IDEMPOTENCY);
	/* After its time the key is free again. */
	b.time_ms += limits_default.idem_ms + 1;
	c->time_ms = b.time_ms;
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert(!b.last.replayed);
}
END_TEST

START_TEST(content_that_is_not_stored_is_refused)
{
	const char *object = bench_shop(&b, "a");
	struct command *c = bench_command(&b);

	add_version(&b, c, "acme", object, STR("never sent"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_BLOB_MISSING);
}
END_TEST

START_TEST(an_address_has_one_owner)
{
	struct command *c = bench_command(&b);
	struct op *op;

	bench_shop(&b, "a");
	op = put_config(&b, c, "acme", "shop", "prod", "db.toml");
	op->name = STR("another-name");
	ck_assert_int_eq(bench_apply(&b, c)->code, E_EXISTS);
}
END_TEST

START_TEST(rules_choose_by_labels_and_priority)
{
	const char *object = bench_shop(&b, "a");
	struct command *c = bench_command(&b);
	struct kv_txn *txn;
	struct op *op;
	struct rule *r;

	publish(object, "b");
	op = command_op(b.arena, c, OP_RULES_SET);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = str_of(object);
	rules_add(b.arena, &op->rules)->version = 1;
	r = rules_add(b.arena, &op->rules);
	r->version = 2;
	r->priority = 5;
	labels_set(b.arena, &r->labels, STR("zone"), STR("eu"));
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	txn = bench_read(&b);
	ck_assert_uint_eq(live_of(txn, NULL).rule.version, 1);
	ck_assert_uint_eq(live_of(txn, "eu").rule.version, 2);
	ck_assert_uint_eq(live_of(txn, "us").rule.version, 1);
	kv_end(&txn);
	op->rules.r[0].version = 9;
	ck_assert_int_eq(bench_apply(&b, c)->code, E_UNPROCESSABLE);
}
END_TEST

static struct command *as_source(const char *name)
{
	struct command *c = bench_command(&b);

	c->subject = (struct subject){ .name = str_of(name), .role = ROLE_SOURCE,
				       .tenant = STR("acme") };
	return c;
}

static enum code rollback(const char *object, enum rollback_mode mode)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_ROLLBACK);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = str_of(object);
	op->mode = mode;
	return bench_apply(&b, c)->code;
}

static enum code git_publish(const char *object, const char *content)
{
	struct command *c = as_source("source:acme/shop");

	put_blob(&b, "acme", str_of(content));
	add_version(&b, c, "acme", object, str_of(content), true);
	return bench_apply(&b, c)->code;
}

START_TEST(a_rollback_of_what_git_owns_holds)
{
	struct command *c = bench_command(&b);
	const char *object = "shop.prod.db.toml";

	put_tenant(&b, c, "acme");
	bench_apply(&b, c);
	c = as_source("source:acme/shop");
	put_config(&b, c, "acme", "shop", "prod", "db.toml");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_int_eq(git_publish(object, "good"), OK);
	ck_assert_int_eq(git_publish(object, "bad"), OK);
	ck_assert_uint_eq(live_version(), 2);
	ck_assert_int_eq(rollback(object, ROLLBACK_STABLE_ONLY), OK);
	ck_assert_uint_eq(live_version(), 1);
	/* The next reconcile brings the same bytes and changes nothing. */
	ck_assert_int_eq(git_publish(object, "bad"), OK);
	ck_assert(!b.last.results[0].changed);
	ck_assert_uint_eq(live_version(), 1);
	/* A commit that changes the file lifts the hold. */
	ck_assert_int_eq(git_publish(object, "better"), OK);
	ck_assert_uint_eq(live_version(), 3);
	ck_assert_int_eq(git_publish(object, "bad"), OK);
	ck_assert_uint_eq(live_version(), 4);
}
END_TEST

START_TEST(a_revert_in_git_lifts_the_hold)
{
	struct command *c = bench_command(&b);
	const char *object = "shop.prod.db.toml";

	put_tenant(&b, c, "acme");
	bench_apply(&b, c);
	c = as_source("source:acme/shop");
	put_config(&b, c, "acme", "shop", "prod", "db.toml");
	bench_apply(&b, c);
	git_publish(object, "good");
	git_publish(object, "bad");
	rollback(object, ROLLBACK_STABLE_ONLY);
	c = as_source("source:acme/shop");
	add_version(&b, c, "acme", object, STR("good"), true)->lift_hold = true;
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert(b.last.results[0].changed);
	ck_assert_uint_eq(live_version(), 1);
	/* Now the same bytes may come again. */
	ck_assert_int_eq(git_publish(object, "bad"), OK);
	ck_assert(b.last.results[0].changed);
}
END_TEST

START_TEST(an_emergency_rollback_clears_labelled_rules)
{
	const char *object = bench_shop(&b, "a");
	struct command *c = bench_command(&b);
	struct op *op;
	struct rule *r;
	struct kv_txn *txn;

	publish(object, "b");
	op = command_op(b.arena, c, OP_RULES_SET);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = str_of(object);
	rules_add(b.arena, &op->rules)->version = 2;
	r = rules_add(b.arena, &op->rules);
	r->version = 2;
	r->priority = 1;
	labels_set(b.arena, &r->labels, STR("zone"), STR("eu"));
	bench_apply(&b, c);
	ck_assert_int_eq(rollback(object, ROLLBACK_STABLE_ONLY), OK);
	txn = bench_read(&b);
	ck_assert_uint_eq(live_of(txn, NULL).rule.version, 1);
	ck_assert_uint_eq(live_of(txn, "eu").rule.version, 2);
	kv_end(&txn);
	ck_assert_int_eq(rollback(object, ROLLBACK_EMERGENCY), OK);
	txn = bench_read(&b);
	ck_assert_uint_eq(live_of(txn, "eu").rule.version,
			  live_of(txn, NULL).rule.version);
	kv_end(&txn);
}
END_TEST

START_TEST(apply_asks_for_permission_again)
{
	const char *object = bench_shop(&b, "a");
	struct command *c = bench_command(&b);

	c->subject.role = ROLE_READ_ONLY;
	add_version(&b, c, "acme", object, STR("a"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_DENIED);
	c = as_source("source:acme/shop");
	put_tenant(&b, c, "other");
	ck_assert_int_eq(bench_apply(&b, c)->code, E_DENIED);
}
END_TEST

START_TEST(nothing_is_deleted_under_what_stands_on_it)
{
	struct command *c = bench_command(&b);
	struct op *op;
	const char *object = bench_shop(&b, "a");
	struct kv_txn *txn;

	op = command_op(b.arena, c, OP_OBJECT_DELETE);
	op->kind = KIND_TENANT;
	op->name = STR("acme");
	ck_assert_int_eq(bench_apply(&b, c)->code, E_CONFLICT);
	c = bench_command(&b);
	op = command_op(b.arena, c, OP_OBJECT_DELETE);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = str_of(object);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	txn = bench_read(&b);
	ck_assert_uint_eq(kv_count(txn, KV_LIVE), 0);
	ck_assert_uint_eq(kv_count(txn, KV_VERSIONS), 0);
	kv_end(&txn);
	/* Its content goes when nobody has named it for a while. */
	b.time_ms += limits_default.blob_idle_ms + 1;
	bench_apply(&b, &(struct command){ .type = COMMAND_TICK,
					   .time_ms = b.time_ms });
	txn = bench_read(&b);
	ck_assert_uint_eq(kv_count(txn, KV_BLOBS), 0);
	kv_end(&txn);
}
END_TEST

START_TEST(versions_are_bounded_and_live_ones_kept)
{
	const char *object = bench_shop(&b, "v1");
	struct command *c = bench_command(&b);
	struct kv_txn *txn;
	struct op *op;
	struct rule *r;

	bench_apply(&b, &(struct command){ .type = COMMAND_LIMITS,
					   .time_ms = b.time_ms,
					   .limits = { .versions_max = 3 } });
	op = command_op(b.arena, c, OP_RULES_SET);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = str_of(object);
	rules_add(b.arena, &op->rules)->version = 1;
	r = rules_add(b.arena, &op->rules);
	r->version = 1;
	labels_set(b.arena, &r->labels, STR("zone"), STR("eu"));
	bench_apply(&b, c);
	for (int i = 2; i < 10; i++) {
		struct str text = arena_printf(b.arena, "v%d", i);

		ck_assert_int_eq(publish(object, text.p), OK);
	}
	txn = bench_read(&b);
	ck_assert_uint_eq(live_of(txn, "eu").rule.version, 1);
	ck_assert_uint_eq(live_of(txn, NULL).rule.version, 9);
	ck_assert_uint_eq(kv_count(txn, KV_VERSIONS), 4);
	kv_end(&txn);
}
END_TEST

static bool never(void *data, uint64_t rev, const struct event_row *event)
{
	++*(unsigned *)data;
	return true;
}

START_TEST(events_are_compacted_by_a_logged_command)
{
	const char *object = bench_shop(&b, "a");
	struct kv_txn *txn;
	unsigned n = 0;
	struct err err;

	publish(object, "b");
	b.time_ms += limits_default.events_ms + 1;
	bench_apply(&b, &(struct command){ .type = COMMAND_TICK,
					   .time_ms = b.time_ms });
	txn = bench_read(&b);
	ck_assert_int_eq(view_events(txn, 0, never, &n, &err), E_GONE);
	ck_assert_int_eq(view_events(txn, rev_now(), never, &n, &err), OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(kv_count(txn, KV_EVENTS), 0);
	kv_end(&txn);
}
END_TEST

static bool find_restore(void *data, const struct audit_row *row, bool is_right)
{
	struct audit_row *out = data;

	if (!str_eq(row->action, STR("restore")))
		return true;
	*out = *row;
	out->action = arena_str(b.arena, row->action);
	out->origin = arena_str(b.arena, row->origin);
	out->reason = arena_str(b.arena, row->reason);
	return true;
}

static void restore(enum restored_from from)
{
	struct command c = { .type = COMMAND_RESTORED, .time_ms = b.time_ms,
			     .from = from, .origin = STR("backup.file"),
			     .reason = STR("of yesterday") };

	bench_apply(&b, &c);
}

START_TEST(a_restored_state_gives_no_revision_twice)
{
	const char *object = bench_shop(&b, "a");
	uint64_t before = rev_now(), n_audit;
	struct audit_row row = { 0 };
	struct kv_txn *txn;
	unsigned n = 0;
	struct err err;

	restore(RESTORED_BACKUP);
	ck_assert_int_eq(b.last.code, OK);
	ck_assert_uint_eq(b.last.rev, before + (1ull << 32));
	ck_assert_uint_eq(rev_now(), before + (1ull << 32));
	ck_assert_int_eq(publish(object, "b"), OK);
	txn = bench_read(&b);
	/* Whoever saw the old life, or what was lost of it, reads anew. */
	ck_assert_int_eq(view_events(txn, before, never, &n, &err), E_GONE);
	ck_assert_int_eq(view_events(txn, before + 1000, never, &n, &err), E_GONE);
	ck_assert_int_eq(view_events(txn, b.last.rev - 1, never, &n, &err), OK);
	ck_assert_uint_gt(n, 0);
	ck_assert_int_eq(view_audit_verify(txn, &n_audit, &err), OK);
	ck_assert_int_eq(view_audit(txn, 1, find_restore, &row, &err), OK);
	ck_assert(str_eq(row.action, STR("restore")));
	ck_assert(str_eq(row.origin, STR("backup.file")));
	ck_assert(str_eq(row.reason, STR("of yesterday")));
	kv_end(&txn);
}
END_TEST

START_TEST(rows_before_a_restore_go_by_ticks_and_the_mark_stays)
{
	struct kv_txn *txn;
	uint64_t mark;

	bench_shop(&b, "a");
	ck_assert(!state_tick_is_due(b.state, b.time_ms));
	restore(RESTORED_SURVIVOR);
	mark = state_head(b.state)->compacted_rev;
	ck_assert_uint_eq(mark, rev_now());
	ck_assert(state_tick_is_due(b.state, b.time_ms));
	bench_apply(&b, &(struct command){ .type = COMMAND_TICK,
					   .time_ms = b.time_ms });
	ck_assert(!state_tick_is_due(b.state, b.time_ms));
	ck_assert_uint_eq(state_head(b.state)->compacted_rev, mark);
	txn = bench_read(&b);
	ck_assert_uint_eq(kv_count(txn, KV_EVENTS), 0);
	kv_end(&txn);
}
END_TEST

START_TEST(what_it_was_restored_from_is_known)
{
	uint64_t before;

	bench_shop(&b, "a");
	before = rev_now();
	restore((enum restored_from)3);
	ck_assert_int_eq(b.last.code, E_INVALID);
	ck_assert_uint_eq(rev_now(), before);
}
END_TEST

START_TEST(the_audit_chain_is_whole_and_a_change_is_found)
{
	const char *object = bench_shop(&b, "a");
	struct kv *kv;
	struct kv_txn *txn;
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;
	struct str row;
	struct err err;
	uint64_t n;

	publish(object, "b");
	txn = bench_read(&b);
	ck_assert_int_eq(view_audit_verify(txn, &n, &err), OK);
	ck_assert_uint_eq(n, 3);
	wr_u64_be(&key, 2);
	ck_assert(kv_get(txn, KV_AUDIT, buf_view(&key), &row));
	buf_str(&val, row);
	kv_end(&txn);
	val.p[20] ^= 1;
	kv = state_kv(b.state);
	ck_assert_int_eq(kv_write(kv, &txn, &err), OK);
	kv_close(&kv);
	kv_put(txn, KV_AUDIT, buf_view(&key), buf_view(&val));
	ck_assert_int_eq(kv_commit(&txn, &err), OK);
	txn = bench_read(&b);
	ck_assert_int_eq(view_audit_verify(txn, &n, &err), E_CORRUPT);
	ck_assert_msg(strstr(err.text, "record 2"), "%s", err.text);
	kv_end(&txn);
}
END_TEST

START_TEST(a_staged_command_takes_effect_with_its_last_part)
{
	struct command *c = bench_command(&b);
	struct command part = { .type = COMMAND_STAGE, .time_ms = b.time_ms,
				.transaction = uuid_new() };
	struct str bytes;
	uint64_t rev;

	put_tenant(&b, c, "acme");
	put_config(&b, c, "acme", "shop", "prod", "one");
	bytes = bench_encode(&b, c);
	rev = rev_now();
	part.bytes = str_first(bytes, 50);
	bench_apply(&b, &part);
	part.part = 1;
	part.bytes = str_from(bytes, 50);
	bench_apply(&b, &part);
	ck_assert_uint_eq(rev_now(), rev);
	part.type = COMMAND_STAGED;
	part.part = 2;
	part.sha = sha256_of(bytes);
	bench_apply(&b, &part);
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
	ck_assert_uint_eq(rev_now(), rev + 2);
	/* The parts are gone, so it cannot be made effective twice. */
	ck_assert_int_eq(bench_apply(&b, &part)->code, E_BLOB_MISSING);
}
END_TEST

START_TEST(garbage_is_refused_and_moves_nothing)
{
	struct str junk[] = { STR(""), STR("\1"), STR("\1\1"), STR("\0\1\0"),
			      STR("\1\1\0garbage"), STR("\1\0\0") };
	uint64_t rev;

	bench_shop(&b, "a");
	rev = rev_now();
	for (size_t i = 0; i < ARRAY_LEN(junk); i++) {
		bench_batch(&b, &junk[i], 1);
		ck_assert_int_ne(b.last.code, OK);
	}
	ck_assert_uint_eq(rev_now(), rev);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/apply");
	TCase *t = tcase_create("apply");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_published_version_is_served_byte_for_byte);
	tcase_add_test(t, large_content_comes_back_whole);
	tcase_add_test(t, content_may_travel_in_the_command);
	tcase_add_test(t, content_of_a_refused_command_is_not_kept);
	tcase_add_test(t, what_may_be_sent_again_is_known_from_its_bytes);
	tcase_add_test(t, what_a_command_makes_live_is_one_release);
	tcase_add_test(t, the_oldest_releases_go);
	tcase_add_test(t, releases_do_not_hold_a_tenant);
	tcase_add_test(t, a_command_is_all_or_nothing);
	tcase_add_test(t, revisions_are_one_an_operation_and_the_last_event_ends);
	tcase_add_test(t, writing_the_same_again_moves_nothing);
	tcase_add_test(t, an_expected_revision_that_moved_is_a_conflict);
	tcase_add_test(t, the_same_key_is_answered_from_its_row);
	tcase_add_test(t, content_that_is_not_stored_is_refused);
	tcase_add_test(t, an_address_has_one_owner);
	tcase_add_test(t, rules_choose_by_labels_and_priority);
	tcase_add_test(t, a_rollback_of_what_git_owns_holds);
	tcase_add_test(t, a_revert_in_git_lifts_the_hold);
	tcase_add_test(t, an_emergency_rollback_clears_labelled_rules);
	tcase_add_test(t, apply_asks_for_permission_again);
	tcase_add_test(t, nothing_is_deleted_under_what_stands_on_it);
	tcase_add_test(t, versions_are_bounded_and_live_ones_kept);
	tcase_add_test(t, events_are_compacted_by_a_logged_command);
	tcase_add_test(t, a_restored_state_gives_no_revision_twice);
	tcase_add_test(t, rows_before_a_restore_go_by_ticks_and_the_mark_stays);
	tcase_add_test(t, what_it_was_restored_from_is_known);
	tcase_add_test(t, the_audit_chain_is_whole_and_a_change_is_found);
	tcase_add_test(t, a_staged_command_takes_effect_with_its_last_part);
	tcase_add_test(t, garbage_is_refused_and_moves_nothing);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
