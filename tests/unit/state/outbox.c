/* What webhooks are to be told: who gets a row, what becomes of it, and the keys. */
#include "unit.h"

#include "bench.h"
#include "state/outbox.h"

#include "base/banned.h"

static struct bench b;
static struct err err;

static void be_version(uint64_t v)
{
	struct command c = { .type = COMMAND_VERSION, .version = v,
			     .time_ms = b.time_ms };

	ck_assert_int_eq(bench_apply(&b, &c)->code, OK);
}

static void setup(void)
{
	struct command *c;

	ck_assert_int_eq(kinds_load(&err), OK);
	bench_open(&b, "boot-1");
	be_version(VERSION_GATE);
	c = bench_command(&b);
	put_tenant(&b, c, "acme");
	put_tenant(&b, c, "other");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
}

static void teardown(void)
{
	bench_close(&b);
}

static struct op *object(struct command *c, enum op_type type, enum kind_id kind,
			 const char *tenant, const char *name)
{
	struct op *op = command_op(b.arena, c, type);

	op->kind = kind;
	op->tenant = str_of(tenant);
	op->name = str_of(name);
	op->labels = op->meta = op->spec = STR("{}");
	op->uid = uuid_new();
	return op;
}

static struct uuid hook(const char *tenant, const char *name, const char *spec)
{
	struct command *c = bench_command(&b);

	object(c, OP_OBJECT_PUT, KIND_WEBHOOK, tenant, name)->spec = str_of(spec);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	return b.last.results[0].uid;
}

static void delete_hook(const char *name)
{
	struct command *c = bench_command(&b);

	object(c, OP_OBJECT_DELETE, KIND_WEBHOOK, "acme", name);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

static void source(const char *tenant)
{
	struct command *c = bench_command(&b);

	object(c, OP_OBJECT_PUT, KIND_SOURCE, tenant, "git")->spec = STR("{}");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

static void source_is(const char *tenant, const char *ready, const char *reason)
{
	struct command *c = bench_command(&b);

	object(c, OP_OBJECT_STATUS, KIND_SOURCE, tenant, "git")->status =
		arena_printf(b.arena, "{\"conditions\":[{\"message\":\"the \\\"why\\\"\","
			     "\"reason\":\"%s\",\"status\":\"%s\",\"type\":\"Ready\"}]}",
			     reason, ready);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

/* A source that begins to fail: the event that the state makes by itself. */
static void one_event(const char *tenant)
{
	source_is(tenant, "True", "Applied");
	source_is(tenant, "False", "FetchFailed");
}

struct list_of {
	struct outbox_row row[64];
	size_t n;
};

static bool see(void *data, const struct outbox_row *row)
{
	struct list_of *all = data;

	ck_assert_uint_lt(all->n, ARRAY_LEN(all->row));
	all->row[all->n] = *row;
	all->row[all->n].data = arena_str(b.arena, row->data);
	all->row[all->n].error = arena_str(b.arena, row->error);
	all->row[all->n++].name = arena_str(b.arena, row->name);
	return true;
}

static struct list_of rows(struct uuid uid, enum outbox_state state)
{
	struct kv_txn *txn = bench_read(&b);
	struct list_of all = { .n = 0 };

	view_outbox(txn, uid, state, 0, see, &all);
	kv_end(&txn);
	return all;
}

static struct outbox_tally tally(struct uuid uid)
{
	struct kv_txn *txn = bench_read(&b);
	struct outbox_tally t;

	view_outbox_tally(txn, uid, &t);
	kv_end(&txn);
	return t;
}

static enum code told_as(enum subject_role role, const char *name,
			 enum outbox_what what, uint64_t seq)
{
	struct command *c = bench_command(&b);
	struct op *op = object(c, OP_OUTBOX, KIND_WEBHOOK, "acme", name);

	c->subject.role = role;
	op->outbox = what;
	op->count = seq;
	op->message = what == OUTBOX_DEAD ? STR("HTTP 500") : STR_NONE;
	return bench_apply(&b, c)->code;
}

static enum code told(const char *name, enum outbox_what what, uint64_t seq)
{
	return told_as(what >= OUTBOX_AGAIN ? ROLE_ROOT : ROLE_SYSTEM, name, what,
		       seq);
}

START_TEST(each_that_wants_it_gets_one)
{
	struct uuid all = hook("acme", "all", "{\"url\":\"https://a\"}");
	struct uuid some = hook("acme", "some",
				"{\"events\":[\"SOURCE_FAILED\"],\"url\":\"https://a\"}");
	struct uuid none = hook("acme", "none",
				"{\"events\":[\"STEP\"],\"url\":\"https://a\"}");
	struct uuid rests = hook("acme", "rests",
				 "{\"suspend\":true,\"url\":\"https://a\"}");
	struct uuid other = hook("other", "all", "{\"url\":\"https://a\"}");
	struct list_of got;

	source("acme");
	one_event("acme");
	got = rows(all, OUTBOX_WAITING);
	ck_assert_uint_eq(got.n, 1);
	ck_assert_int_eq(got.row[0].notice, NOTICE_SOURCE_FAILED);
	ck_assert_int_eq(got.row[0].kind, KIND_SOURCE);
	ck_assert_str_eq(got.row[0].name.p, "git");
	ck_assert_uint_eq(got.row[0].time_ms, b.time_ms);
	ck_assert_str_eq(got.row[0].data.p, "{\"message\":\"the \\\"why\\\"\","
			 "\"reason\":\"FetchFailed\"}");
	ck_assert_uint_eq(rows(some, OUTBOX_WAITING).n, 1);
	/* One event has one id, whoever is told. */
	ck_assert_mem_eq(rows(some, OUTBOX_WAITING).row[0].id.b, got.row[0].id.b, 16);
	ck_assert_uint_eq(rows(none, OUTBOX_WAITING).n, 0);
	ck_assert_uint_eq(rows(rests, OUTBOX_WAITING).n, 0);
	ck_assert_uint_eq(rows(other, OUTBOX_WAITING).n, 0);
	/* It fails still, for another reason: no news. */
	source_is("acme", "False", "PushFailed");
	ck_assert_uint_eq(rows(all, OUTBOX_WAITING).n, 1);
	one_event("acme");
	got = rows(all, OUTBOX_WAITING);
	ck_assert_uint_eq(got.n, 2);
	ck_assert_uint_gt(got.row[1].seq, got.row[0].seq);
	ck_assert_mem_ne(got.row[1].id.b, got.row[0].id.b, 16);
	ck_assert_uint_eq(tally(all).waiting, 2);
}
END_TEST

START_TEST(without_webhooks_nothing_is_written)
{
	uint64_t rows_before, bytes, rows_after, base;
	struct kv *kv = state_kv(b.state);

	source("acme");
	source("other");
	one_event("acme");
	one_event("other");
	kv_written(kv, &rows_before, &bytes);
	one_event("acme");
	kv_written(kv, &rows_after, &bytes);
	base = rows_after - rows_before;
	hook("other", "all", "{\"url\":\"https://a\"}");
	kv_written(kv, &rows_before, &bytes);
	one_event("acme");
	kv_written(kv, &rows_after, &bytes);
	ck_assert_uint_eq(rows_after - rows_before, base);
	kv_written(kv, &rows_before, &bytes);
	one_event("other");
	kv_written(kv, &rows_after, &bytes);
	/* The event, the tally, the tenant's bytes and the last sequence. */
	ck_assert_uint_eq(rows_after - rows_before, base + 4);
	kv_close(&kv);
}
END_TEST

START_TEST(a_refused_command_tells_nobody)
{
	struct uuid uid = hook("acme", "all", "{\"url\":\"https://a\"}");
	struct command *c;
	struct sha256 before, after;

	source("acme");
	source_is("acme", "True", "Applied");
	ck_assert_int_eq(state_scan_digest(b.state, &before, &err), OK);
	c = bench_command(&b);
	object(c, OP_OBJECT_STATUS, KIND_SOURCE, "acme", "git")->status =
		STR("{\"conditions\":[{\"status\":\"False\",\"type\":\"Ready\"}]}");
	object(c, OP_OBJECT_DELETE, KIND_SOURCE, "acme", "no-such");
	ck_assert_int_eq(bench_apply(&b, c)->code, E_NOT_FOUND);
	ck_assert_uint_eq(rows(uid, OUTBOX_WAITING).n, 0);
	ck_assert_uint_eq(tally(uid).waiting, 0);
	ck_assert_int_eq(state_scan_digest(b.state, &after, &err), OK);
	ck_assert(!sha256_eq(&before, &after));  /* the applied index alone */
}
END_TEST

START_TEST(what_is_delivered_goes_and_leaves_no_audit)
{
	struct uuid uid = hook("acme", "all", "{\"url\":\"https://a\"}");
	uint64_t audit, seq;

	source("acme");
	one_event("acme");
	one_event("acme");
	seq = rows(uid, OUTBOX_WAITING).row[0].seq;
	audit = state_head(b.state)->audit_seq;
	ck_assert_int_eq(told("all", OUTBOX_DELIVERED, seq), OK);
	ck_assert_uint_eq(state_head(b.state)->audit_seq, audit);
	ck_assert_uint_eq(rows(uid, OUTBOX_WAITING).n, 1);
	ck_assert_uint_eq(tally(uid).waiting, 1);
	ck_assert_uint_eq(tally(uid).delivered, 1);
	ck_assert_uint_eq(tally(uid).delivered_ms, b.time_ms);
	/* Told again: it was so already. */
	ck_assert_int_eq(told("all", OUTBOX_DELIVERED, seq), OK);
	ck_assert_int_eq(told("all", OUTBOX_DEAD, seq), OK);
	ck_assert_uint_eq(tally(uid).delivered, 1);
	ck_assert_uint_eq(tally(uid).dead, 0);
	/* Of one that is gone nothing is said, and nothing is wrong. */
	ck_assert_int_eq(told("no-such", OUTBOX_DELIVERED, seq), OK);
	/* Nobody else says what was delivered. */
	ck_assert_int_eq(told_as(ROLE_ROOT, "all", OUTBOX_DELIVERED, seq + 1),
			 E_DENIED);
	ck_assert_int_eq(told_as(ROLE_READ_ONLY, "all", OUTBOX_AGAIN, seq + 1),
			 E_DENIED);
	ck_assert_uint_eq(rows(uid, OUTBOX_WAITING).n, 1);
}
END_TEST

START_TEST(the_dead_are_kept_tried_again_and_dropped)
{
	struct uuid uid = hook("acme", "all", "{\"url\":\"https://a\"}");
	struct outbox_row was;
	struct list_of got;
	uint64_t audit;

	source("acme");
	one_event("acme");
	was = rows(uid, OUTBOX_WAITING).row[0];
	audit = state_head(b.state)->audit_seq;
	b.time_ms += 1000;
	ck_assert_int_eq(told("all", OUTBOX_DEAD, was.seq), OK);
	ck_assert_uint_eq(state_head(b.state)->audit_seq, audit + 1);
	ck_assert_uint_eq(rows(uid, OUTBOX_WAITING).n, 0);
	got = rows(uid, OUTBOX_REFUSED);
	ck_assert_uint_eq(got.n, 1);
	ck_assert_str_eq(got.row[0].error.p, "HTTP 500");
	ck_assert_uint_eq(got.row[0].dead_ms, b.time_ms);
	ck_assert_uint_eq(tally(uid).dead, 1);
	ck_assert_int_eq(told("all", OUTBOX_AGAIN, was.seq + 1), E_NOT_FOUND);
	ck_assert_int_eq(told("no-such", OUTBOX_AGAIN, was.seq), E_NOT_FOUND);
	ck_assert_int_eq(told("all", OUTBOX_AGAIN, was.seq), OK);
	got = rows(uid, OUTBOX_WAITING);
	ck_assert_uint_eq(got.n, 1);
	/* The same event, that waits since now. */
	ck_assert_mem_eq(got.row[0].id.b, was.id.b, 16);
	ck_assert_uint_eq(got.row[0].time_ms, was.time_ms);
	ck_assert_uint_eq(got.row[0].since_ms, b.time_ms);
	ck_assert_uint_eq(got.row[0].error.n, 0);
	ck_assert_int_eq(told("all", OUTBOX_DROP, was.seq), E_NOT_FOUND);
	ck_assert_int_eq(told("all", OUTBOX_DEAD, was.seq), OK);
	ck_assert_int_eq(told("all", OUTBOX_DROP, was.seq), OK);
	ck_assert_uint_eq(rows(uid, OUTBOX_REFUSED).n, 0);
	ck_assert_uint_eq(tally(uid).dead + tally(uid).waiting, 0);
}
END_TEST

/* Many in one command: a status to and fro. */
static void many_events(unsigned n)
{
	struct command *c = bench_command(&b);

	for (unsigned i = 0; i < 2 * n; i++)
		object(c, OP_OBJECT_STATUS, KIND_SOURCE, "acme", "git")->status =
			i % 2 ? STR("{\"conditions\":[{\"status\":\"False\","
				    "\"type\":\"Ready\"}]}") :
				STR("{}");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	arena_reset(b.arena);
}

static bool see_last(void *data, const struct outbox_row *row)
{
	*(struct outbox_row *)data = *row;
	return true;
}

START_TEST(what_waits_is_bounded_and_the_rest_is_counted)
{
	struct uuid uid = hook("acme", "all", "{\"url\":\"https://a\"}");
	struct outbox_row last = { 0 };
	struct kv_txn *txn;
	uint64_t first;

	source("acme");
	for (unsigned i = 0; i < OUTBOX_MAX; i += 1000)
		many_events(1000);
	ck_assert_uint_eq(tally(uid).waiting, OUTBOX_MAX);
	/* Of the ten thousandth it is said that it is lost. */
	ck_assert_uint_eq(tally(uid).lost, 1);
	many_events(5);
	ck_assert_uint_eq(tally(uid).waiting, OUTBOX_MAX);
	ck_assert_uint_eq(tally(uid).lost, 6);
	txn = bench_read(&b);
	view_outbox(txn, uid, OUTBOX_WAITING, 0, see_last, &last);
	ck_assert_int_eq(last.notice, NOTICE_EVENTS_LOST);
	first = last.seq - (OUTBOX_MAX - 1);
	kv_end(&txn);
	/* Room for two: the one that says so again, and one. */
	told("all", OUTBOX_DELIVERED, first);
	told("all", OUTBOX_DELIVERED, first + 1);
	many_events(1);
	ck_assert_uint_eq(tally(uid).waiting, OUTBOX_MAX - 1);
	ck_assert_uint_eq(tally(uid).lost, 6);
	/* And it all goes with the webhook, in slices of time. */
	delete_hook("all");
	ck_assert_uint_eq(tally(uid).waiting, 0);
	for (unsigned i = 0; state_tick_is_due(b.state, b.time_ms); i++) {
		struct command tick = { .type = COMMAND_TICK,
					.time_ms = b.time_ms };

		ck_assert_uint_lt(i, 20);
		bench_apply(&b, &tick);
	}
	txn = bench_read(&b);
	ck_assert_uint_eq(kv_count(txn, KV_OUTBOX), 0);
	kv_end(&txn);
}
END_TEST

/* ---- bytes ---- */

static uint64_t bytes_of(const char *tenant)
{
	struct kv_txn *txn = bench_read(&b);
	uint64_t n = view_count(txn, str_of(tenant), COUNT_OUTBOX_BYTES);

	kv_end(&txn);
	return n;
}

/* All of them, as the rows have it. */
static uint64_t bytes_there(struct uuid uid)
{
	struct kv_txn *txn = bench_read(&b);
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	uint64_t n = 0;

	wr_raw(&prefix, uid.b, sizeof(uid.b));
	for (bool on = kv_seek(txn, KV_OUTBOX, buf_view(&prefix), &c);
	     on && str_starts(c.key, buf_view(&prefix)); on = kv_next(&c))
		if (c.key.p[sizeof(uid.b)] != OUTBOX_TALLY)
			n += c.key.n + c.val.n;
	kv_cursor_close(&c);
	kv_end(&txn);
	return n;
}

#define LARGE 30000

/* That many, of LARGE bytes and some. */
static void large_events(const char *tenant, unsigned n)
{
	AUTO_BUF status = BUF_NONE;

	buf_z(&status, "{\"conditions\":[{\"message\":\"");
	for (unsigned i = 0; i < LARGE; i++)
		buf_c(&status, 'm');
	buf_z(&status, "\",\"status\":\"False\",\"type\":\"Ready\"}]}");
	while (n) {
		struct command *c = bench_command(&b);

		for (unsigned i = 0; i < 100 && n; i++, n--) {
			object(c, OP_OBJECT_STATUS, KIND_SOURCE, tenant,
			       "git")->status = STR("{}");
			object(c, OP_OBJECT_STATUS, KIND_SOURCE, tenant,
			       "git")->status = buf_view(&status);
		}
		ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
		arena_reset(b.arena);
	}
}

START_TEST(bytes_are_counted)
{
	struct uuid uid = hook("acme", "all", "{\"url\":\"https://a\"}");
	struct outbox_row row;

	source("acme");
	one_event("acme");
	one_event("acme");
	ck_assert_uint_gt(bytes_of("acme"), 100);
	ck_assert_uint_eq(bytes_of("acme"), bytes_there(uid));
	ck_assert_uint_eq(bytes_of("acme"), tally(uid).bytes);
	row = rows(uid, OUTBOX_WAITING).row[0];
	told("all", OUTBOX_DEAD, row.seq);
	ck_assert_uint_eq(bytes_of("acme"), bytes_there(uid));
	told("all", OUTBOX_AGAIN, row.seq);
	ck_assert_uint_eq(bytes_of("acme"), bytes_there(uid));
	told("all", OUTBOX_DELIVERED, row.seq);
	ck_assert_uint_eq(bytes_of("acme"), bytes_there(uid));
	row = rows(uid, OUTBOX_WAITING).row[0];
	told("all", OUTBOX_DEAD, row.seq);
	told("all", OUTBOX_DROP, row.seq);
	ck_assert_uint_eq(bytes_of("acme"), 0);
	ck_assert_uint_eq(tally(uid).bytes, 0);
	/* And what a webhook leaves. */
	one_event("acme");
	delete_hook("all");
	bench_apply(&b, &(struct command){ .type = COMMAND_TICK,
					   .time_ms = b.time_ms });
	ck_assert_uint_eq(bytes_of("acme"), 0);
}
END_TEST

START_TEST(what_waits_is_bounded_by_bytes)
{
	struct uuid uid = hook("acme", "all", "{\"url\":\"https://a\"}"), other;
	struct outbox_row last = { 0 };
	struct kv_txn *txn;
	uint64_t waiting, lost;

	source("acme");
	large_events("acme", OUTBOX_BYTES_MAX / LARGE + 10);
	ck_assert_uint_le(bytes_of("acme"), OUTBOX_BYTES_MAX + 1000);
	ck_assert_uint_gt(bytes_of("acme"), OUTBOX_BYTES_MAX - 2 * LARGE);
	ck_assert_uint_eq(bytes_of("acme"), bytes_there(uid));
	waiting = tally(uid).waiting;
	lost = tally(uid).lost;
	ck_assert_uint_gt(lost, 1);
	ck_assert_uint_eq(waiting + lost, OUTBOX_BYTES_MAX / LARGE + 10 + 1);
	txn = bench_read(&b);
	view_outbox(txn, uid, OUTBOX_WAITING, 0, see_last, &last);
	kv_end(&txn);
	ck_assert_int_eq(last.notice, NOTICE_EVENTS_LOST);
	/* Its own dead make room. */
	told("all", OUTBOX_DEAD, last.seq - 2000);
	lost = tally(uid).lost;
	large_events("acme", 1);
	ck_assert_uint_eq(tally(uid).dead, 0);
	ck_assert_uint_eq(tally(uid).waiting, waiting);
	ck_assert_uint_eq(tally(uid).lost, lost + 1);
	/* It takes nothing from another, up to its share. */
	other = hook("acme", "other", "{\"url\":\"https://a\"}");
	large_events("acme", 40);
	ck_assert_uint_le(tally(uid).waiting, waiting + 1);
	ck_assert_uint_eq(tally(other).waiting,
			  OUTBOX_BYTES_MAX / WEBHOOKS_MAX / LARGE + 1);
	ck_assert_uint_gt(tally(other).lost, 1);
}
END_TEST

/* What is tried again leaves the last place to that word. */
START_TEST(what_is_tried_again_hides_no_loss)
{
	struct uuid uid = hook("acme", "all", "{\"url\":\"https://a\"}");
	struct outbox_row last = { 0 };
	struct kv_txn *txn;

	source("acme");
	one_event("acme");
	last = rows(uid, OUTBOX_WAITING).row[0];
	ck_assert_int_eq(told("all", OUTBOX_DEAD, last.seq), OK);
	for (unsigned i = 0; i + 1000 < OUTBOX_MAX; i += 1000)
		many_events(1000);
	many_events(999);
	ck_assert_uint_eq(tally(uid).waiting, OUTBOX_MAX - 1);
	ck_assert_int_eq(told("all", OUTBOX_AGAIN, last.seq), E_CONFLICT);
	many_events(1);
	ck_assert_uint_eq(tally(uid).lost, 1);
	txn = bench_read(&b);
	view_outbox(txn, uid, OUTBOX_WAITING, 0, see_last, &last);
	ck_assert_int_eq(last.notice, NOTICE_EVENTS_LOST);
	kv_end(&txn);
}
END_TEST

START_TEST(of_the_dead_the_newest_are_kept)
{
	struct uuid uid = hook("acme", "all", "{\"url\":\"https://a\"}");
	struct outbox_row last = { 0 };
	struct kv_txn *txn;

	source("acme");
	many_events(OUTBOX_DEAD_MAX + 1);
	txn = bench_read(&b);
	view_outbox(txn, uid, OUTBOX_WAITING, 0, see_last, &last);
	kv_end(&txn);
	for (unsigned i = 0; i <= OUTBOX_DEAD_MAX; i++) {
		told("all", OUTBOX_DEAD, last.seq - OUTBOX_DEAD_MAX + i);
		arena_reset(b.arena);
	}
	ck_assert_uint_eq(tally(uid).dead, OUTBOX_DEAD_MAX);
	ck_assert_uint_eq(tally(uid).lost, 1);
	ck_assert_int_eq(told("all", OUTBOX_DROP, last.seq - OUTBOX_DEAD_MAX),
			 E_NOT_FOUND);
	ck_assert_int_eq(told("all", OUTBOX_DROP, last.seq), OK);
}
END_TEST

/* A configuration of Git's, by a source. */
static void git_config(void)
{
	struct command *c = bench_command(&b);

	c->subject = (struct subject){ .name = STR("source:acme/git"),
				       .role = ROLE_SOURCE,
				       .tenant = STR("acme") };
	put_config(&b, c, "acme", "shop", "prod", "db.toml");
	*command_content(b.arena, c) = (struct content_part){
		STR("acme"), sha256_of(STR("a")), STR("a") };
	add_version(&b, c, "acme", "shop.prod.db.toml", STR("a"), true);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

static void publish_over(const char *text, bool by_source)
{
	struct command *c = bench_command(&b);

	if (by_source)
		c->subject = (struct subject){ .name = STR("source:acme/git"),
					       .role = ROLE_SOURCE,
					       .tenant = STR("acme") };
	else
		c->flags |= COMMAND_TAKE_OVER;
	*command_content(b.arena, c) = (struct content_part){
		STR("acme"), sha256_of(str_of(text)), str_of(text) };
	add_version(&b, c, "acme", "shop.prod.db.toml", str_of(text), true);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

START_TEST(who_changes_what_is_gits_is_told_of)
{
	struct uuid uid = hook("acme", "all",
			       "{\"events\":[\"DRIFT\"],\"url\":\"https://a\"}");
	struct command *c;
	struct list_of got;

	git_config();
	publish_over("b", true);
	ck_assert_uint_eq(rows(uid, OUTBOX_WAITING).n, 0);
	/* Back to what was: Git has another. */
	c = bench_command(&b);
	object(c, OP_ROLLBACK, KIND_CONFIG, "acme", "shop.prod.db.toml")->mode =
		ROLLBACK_STABLE_ONLY;
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	got = rows(uid, OUTBOX_WAITING);
	ck_assert_uint_eq(got.n, 1);
	ck_assert_int_eq(got.row[0].notice, NOTICE_DRIFT);
	ck_assert_str_eq(got.row[0].name.p, "shop.prod.db.toml");
	ck_assert_str_eq(got.row[0].data.p, "{\"author\":\"token:root\","
			 "\"change\":\"rollback\",\"manager\":\"source:acme/git\","
			 "\"reason\":\"\"}");
	publish_over("c", false);
	ck_assert_uint_eq(rows(uid, OUTBOX_WAITING).n, 2);
	/* From here on it is not Git's. */
	publish_over("d", false);
	ck_assert_uint_eq(rows(uid, OUTBOX_WAITING).n, 2);
}
END_TEST

static enum code new_key(const char *name, char fill, size_t n, bool force)
{
	struct command *c = bench_command(&b);
	struct op *op = object(c, OP_HOOK_KEY, KIND_WEBHOOK, "acme", name);
	char key[64];

	memset(key, fill, sizeof(key));
	op->bytes = arena_str(b.arena, str_n(key, n));
	op->force = force;
	return bench_apply(&b, c)->code;
}

/* No policy lets it out in steps: it is begun and over in one command, or turned back. */
START_TEST(what_is_live_at_once_is_told_of)
{
	struct uuid uid = hook("acme", "all", "{\"url\":\"https://a\"}");
	struct command *c = bench_command(&b);
	struct list_of got;
	struct op *op;

	put_config(&b, c, "acme", "shop", "prod", "x");
	bench_apply(&b, c);
	put_blob(&b, "acme", STR("one"));
	put_blob(&b, "acme", STR("two"));
	for (unsigned i = 0; i < 2; i++) {
		c = bench_command(&b);
		c->reason = STR("so");
		add_version(&b, c, "acme", "shop.prod.x", i ? STR("two") : STR("one"),
			    true);
		ck_assert_int_eq(bench_apply(&b, c)->code, OK);
		got = rows(uid, OUTBOX_WAITING);
		ck_assert_uint_eq(got.n, 2 + 2 * i);
		ck_assert_int_eq(got.row[2 * i].notice, NOTICE_RELEASE_STARTED);
		ck_assert_int_eq(got.row[2 * i + 1].notice, NOTICE_COMPLETED);
		ck_assert_int_eq(got.row[2 * i].kind, KIND_RELEASE);
		ck_assert(str_eq(got.row[2 * i].name, got.row[2 * i + 1].name));
		ck_assert_ptr_nonnull(strstr(got.row[2 * i].data.p, "\"count\":1,"
			"\"message\":\"so\",\"phase\":\"Completed\""));
	}
	c = bench_command(&b);
	op = command_op(b.arena, c, OP_ROLLBACK);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR("shop.prod.x");
	op->mode = ROLLBACK_EMERGENCY;
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	got = rows(uid, OUTBOX_WAITING);
	ck_assert_uint_eq(got.n, 5);
	ck_assert_int_eq(got.row[4].notice, NOTICE_ROLLED_BACK);
	ck_assert_ptr_nonnull(strstr(got.row[4].data.p, "\"phase\":\"RolledBack\""));
}
END_TEST

START_TEST(keys_come_after_each_other)
{
	struct uuid uid = hook("acme", "all", "{\"url\":\"https://a\"}");
	struct hook_key_row row;
	struct kv_txn *txn;
	uint64_t made = b.time_ms;

	ck_assert_int_eq(new_key("all", 'a', 31, false), E_INVALID);
	ck_assert_int_eq(new_key("no-such", 'a', 32, false), E_NOT_FOUND);
	ck_assert_int_eq(new_key("all", 'a', 32, false), OK);
	txn = bench_read(&b);
	ck_assert(view_hook_key(txn, uid, &row));
	kv_end(&txn);
	ck_assert_uint_eq(row.before_until_ms, 0);
	ck_assert_uint_eq(row.made_ms, made);
	b.time_ms += 5;
	ck_assert_int_eq(new_key("all", 'b', 32, false), OK);
	txn = bench_read(&b);
	ck_assert(view_hook_key(txn, uid, &row));
	kv_end(&txn);
	ck_assert_int_eq(row.key[31], 'b');
	ck_assert_int_eq(row.before[31], 'a');
	ck_assert_uint_eq(row.before_until_ms, b.time_ms + HOOK_KEY_GRACE_MS);
	/* One that is known to others ends at once. */
	ck_assert_int_eq(new_key("all", 'c', 32, true), OK);
	txn = bench_read(&b);
	ck_assert(view_hook_key(txn, uid, &row));
	ck_assert_uint_eq(row.before_until_ms, 0);
	ck_assert_int_eq(row.before[31], 0);
	kv_end(&txn);
	delete_hook("all");
	txn = bench_read(&b);
	ck_assert(!view_hook_key(txn, uid, &row));
	ck_assert_uint_eq(kv_count(txn, KV_HOOK_KEYS), 0);
	kv_end(&txn);
}
END_TEST

static bool has_key(void *data, const struct audit_row *row, bool is_right)
{
	ck_assert(is_right);
	ck_assert_uint_eq(str_find_str(row->target, STR("kkkkkkkk")), SIZE_MAX);
	if (str_is(row->action, "webhook-key"))
		++*(unsigned *)data;
	return true;
}

START_TEST(a_key_is_in_no_record)
{
	struct kv_txn *txn;
	unsigned n = 0;

	hook("acme", "all", "{\"url\":\"https://a\"}");
	ck_assert_int_eq(new_key("all", 'k', 32, false), OK);
	txn = bench_read(&b);
	ck_assert_int_eq(view_audit(txn, 0, has_key, &n, &err), OK);
	kv_end(&txn);
	ck_assert_uint_eq(n, 1);
}
END_TEST

START_TEST(those_that_something_waits_for_are_found)
{
	struct uuid uids[] = { hook("acme", "a", "{\"url\":\"https://a\"}"),
			       hook("acme", "b", "{\"url\":\"https://a\"}"),
			       hook("acme", "c", "{\"url\":\"https://a\"}") };
	struct uuid at = { 0 };
	struct kv_txn *txn;
	unsigned n = 0, seen = 0;

	source("acme");
	one_event("acme");
	told("b", OUTBOX_DELIVERED, rows(uids[1], OUTBOX_WAITING).row[0].seq);
	told("c", OUTBOX_DEAD, rows(uids[2], OUTBOX_WAITING).row[0].seq);
	one_event("acme");
	told("b", OUTBOX_DELIVERED, rows(uids[1], OUTBOX_WAITING).row[0].seq);
	txn = bench_read(&b);
	while (view_outbox_next(txn, &at)) {
		ck_assert_uint_lt(n++, 3);
		for (unsigned i = 0; i < 3; i++)
			if (!memcmp(at.b, uids[i].b, sizeof(at.b)))
				seen |= BIT(i);
	}
	kv_end(&txn);
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(seen, 5);
}
END_TEST

START_TEST(a_tenant_has_so_many_and_no_more)
{
	struct command *c;

	for (int i = 0; i < WEBHOOKS_MAX; i++)
		hook("acme", arena_printf(b.arena, "h%d", i).p,
		     "{\"url\":\"https://a\"}");
	c = bench_command(&b);
	object(c, OP_OBJECT_PUT, KIND_WEBHOOK, "acme", "more");
	ck_assert_int_eq(bench_apply(&b, c)->code, E_QUOTA);
	hook("other", "a", "{\"url\":\"https://a\"}");
	/* Those that are there can be changed, and make room. */
	hook("acme", "h7", "{\"url\":\"https://b\"}");
	delete_hook("h7");
	hook("acme", "more", "{\"url\":\"https://a\"}");
}
END_TEST

START_TEST(before_the_gate_there_is_no_outbox)
{
	struct uuid uid;

	bench_close(&b);
	bench_open(&b, "boot-1");
	be_version(VERSION_GATE - 1);
	{
		struct command *c = bench_command(&b);

		put_tenant(&b, c, "acme");
		ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	}
	{
		struct command *c = bench_command(&b);

		/* Nor a webhook, which older programs do not know. */
		object(c, OP_OBJECT_PUT, KIND_WEBHOOK, "acme", "all");
		ck_assert_int_eq(bench_apply(&b, c)->code, E_NOT_YET);
	}
	source("acme");
	one_event("acme");
	ck_assert_int_eq(new_key("all", 'a', 32, false), E_NOT_YET);
	be_version(VERSION_GATE);
	uid = hook("acme", "all", "{\"url\":\"https://a\"}");
	ck_assert_uint_eq(rows(uid, OUTBOX_WAITING).n, 0);
	ck_assert_int_eq(new_key("all", 'a', 32, false), OK);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/outbox");
	TCase *t = tcase_create("outbox");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, each_that_wants_it_gets_one);
	tcase_add_test(t, without_webhooks_nothing_is_written);
	tcase_add_test(t, a_refused_command_tells_nobody);
	tcase_add_test(t, what_is_delivered_goes_and_leaves_no_audit);
	tcase_add_test(t, the_dead_are_kept_tried_again_and_dropped);
	tcase_add_test(t, what_waits_is_bounded_and_the_rest_is_counted);
	tcase_add_test(t, bytes_are_counted);
	tcase_add_test(t, what_waits_is_bounded_by_bytes);
	tcase_add_test(t, what_is_tried_again_hides_no_loss);
	tcase_add_test(t, of_the_dead_the_newest_are_kept);
	tcase_add_test(t, who_changes_what_is_gits_is_told_of);
	tcase_add_test(t, what_is_live_at_once_is_told_of);
	tcase_add_test(t, keys_come_after_each_other);
	tcase_add_test(t, a_key_is_in_no_record);
	tcase_add_test(t, those_that_something_waits_for_are_found);
	tcase_add_test(t, a_tenant_has_so_many_and_no_more);
	tcase_add_test(t, before_the_gate_there_is_no_outbox);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
