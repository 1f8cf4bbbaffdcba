/* Who is told of what, in which order, and where it goes on. */
#include "unit.h"

#include "base/mem.h"
#include "bench.h"
#include "state/hub.h"

#include "base/banned.h"

static struct bench b;
static struct hub *hub;

/* A follower, and what it was told: "key@rev=version", "." where a command ends. */
struct fan {
	struct feed feed;
	struct buf told;
	unsigned enough;                 /* changes, then it is stalled */
	bool is_gone, removes_itself;
	struct fan *removes;             /* when it is told something */
	unsigned flushes;
};

static struct fan *fan_of(struct feed *f)
{
	return container_of(f, struct fan, feed);
}

static bool on_change(struct feed *f, const struct feed_change *c)
{
	struct fan *x = fan_of(f);

	ck_assert(!x->is_gone);
	ck_assert(x->enough > 0);
	buf_printf(&x->told, "%s%.*s@%llu", x->told.n ? " " : "", STR_ARG(c->key),
		   (unsigned long long)c->rev);
	if (c->is_deleted)
		buf_z(&x->told, "-");
	else if (!c->has_version)
		buf_z(&x->told, "=0");
	else
		buf_printf(&x->told, "=%u", c->version);
	if (c->end)
		buf_c(&x->told, '.');
	ck_assert_uint_eq(c->at.tenant.n + c->at.application.n +
			  c->at.environment.n + c->at.name.n + 3, c->key.n);
	if (x->removes)
		hub_remove(&x->removes->feed);
	if (x->removes_itself)
		hub_remove(f);
	return --x->enough > 0;
}

static void on_flush(struct feed *f)
{
	fan_of(f)->flushes++;
}

static void on_gone(struct feed *f, const struct err *err)
{
	ck_assert_int_eq(err->code, E_GONE);
	fan_of(f)->is_gone = true;
}

static const struct feed_ops ops = { .change = on_change, .flush = on_flush,
				     .gone = on_gone };

static void be_version(uint64_t v)
{
	struct command c = { .type = COMMAND_VERSION, .version = v,
			     .time_ms = b.time_ms };

	ck_assert_int_eq(bench_apply(&b, &c)->code, OK);
}

static void setup(void)
{
	bench_open(&b, "boot-1");
	be_version(CLUSTER_VERSION);
	hub = hub_new();
}

static void setup_old(void)
{
	bench_open(&b, "boot-1");
	hub = hub_new();
}

static void teardown(void)
{
	hub_free(&hub);
	bench_close(&b);
}

static void add(struct fan *x, const char *key, const char *prefix,
		const char *zone, uint64_t cursor)
{
	struct label label = { STR("zone"), str_of(zone ? zone : "") };
	struct labels labels = { &label, zone ? 1 : 0, 1 };
	struct str p = str_of(prefix ? prefix : "");
	struct address at;
	struct err err;

	*x = (struct fan){ .feed.ops = &ops, .enough = UINT_MAX };
	if (key)
		ck_assert_int_eq(address_parse(str_of(key), &at, &err), OK);
	hub_add(hub, &x->feed, &at, key ? 1 : 0, &p, prefix ? 1 : 0, &labels,
		cursor);
	hub_resume(&x->feed);
}

static void drop(struct fan *x)
{
	hub_remove(&x->feed);
	buf_fini(&x->told);
}

static bool run(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct err err;
	bool more;

	ck_assert_int_eq(hub_run(hub, txn, NULL, NULL, &more, &err), OK);
	kv_end(&txn);
	return more;
}

static const char *told(struct fan *x)
{
	static struct buf out;

	while (run())
		;
	buf_reset(&out);
	buf_str(&out, buf_view(&x->told));
	buf_reset(&x->told);
	buf_c(&out, '\0');
	return out.p;
}

/* ---- what there is ---- */

static struct op *config(struct command *c, const char *tenant, const char *name)
{
	return put_config(&b, c, tenant, "shop", "prod", name);
}

static void release(struct command *c, const char *tenant, const char *name,
		    const char *content)
{
	struct address at = { str_of(tenant), STR("shop"), STR("prod"),
			      str_of(name) };
	struct str object = address_object_name(b.arena, &at);

	add_version(&b, c, tenant, arena_z(b.arena, object), str_of(content), true);
}

static uint64_t apply(struct command *c)
{
	bench_apply(&b, c);
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
	return b.last.rev;
}

static void tenants(void)
{
	struct command *c = bench_command(&b);

	put_tenant(&b, c, "a");
	put_tenant(&b, c, "b");
	apply(c);
	for (unsigned i = 0; i < 4; i++) {
		char content[] = { (char)('0' + i), '\0' };

		put_blob(&b, "a", str_of(content));
		put_blob(&b, "b", str_of(content));
	}
}

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
	static const struct feed_ops ops_a = { .may = may_a, .change = on_change,
					       .gone = on_gone };
	static const struct feed_ops ops_none = { .may = may_no_more,
						  .change = on_change };
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

/*
 * Whatever happens, each follower is told what a plain reading of the events says:
 * random commands and rules, followers of every kind that begin anywhere, are stalled
 * and resume, leave and come back where they were, batches of any size, turns that
 * end anywhere.  The plain reading remembers what each kind got at each place.
 */
#define KINDS 5
#define NAMES 6
#define GUESTS 40
static const struct {
	const char *key, *prefix, *zone;
} kinds_of[KINDS] = {
	{ NULL, "", NULL }, { NULL, "a/", "east" }, { "a/shop/prod/n1", NULL, "west" },
	{ "b/shop/prod/n2", "b/shop/prod/n", "east" }, { NULL, "a/shop/prod/n3", NULL },
};

struct plain {
	char text[80];                   /* as told by on_change, without "." */
	uint64_t rev;
	bool end;
};
static struct plain *plain[KINDS];
static size_t n_plain[KINDS], cap_plain[KINDS];
static char has_got[KINDS][2][NAMES][16];   /* "version/format" */
static struct prng prng;

static unsigned below(unsigned n)
{
	return (unsigned)prng_below(&prng, n);
}

static void plain_event(unsigned kind, uint64_t rev, const struct event_row *e)
{
	const char *zone = kinds_of[kind].zone;
	struct label label = { STR("zone"), str_of(zone ? zone : "") };
	struct labels labels = { &label, zone ? 1 : 0, 1 };
	bool is_deleted = e->type == EVENT_DELETED;
	struct object_view o;
	struct rule rule;
	unsigned position;
	AUTO_BUF key = BUF_NONE;
	char now[16] = "";
	char *was;

	if (e->kind != KIND_CONFIG)
		return;
	ck_assert(view_of_event(e, is_deleted ? e->before : e->after, rev, &o));
	buf_printf(&key, "%.*s/shop/prod/%.*s", STR_ARG(e->tenant),
		   STR_ARG(o.row.config_name));
	was = has_got[kind][e->tenant.p[0] - 'a'][o.row.config_name.p[1] - '0'];
	if (!is_deleted && rules_pick_encoded(o.live.rules, &labels, &rule, &position))
		snprintf(now, sizeof(now), "%u/%.*s", rule.version,
			 STR_ARG(o.live.format));
	if (strcmp(now, was) == 0)
		return;
	memcpy(was, now, sizeof(now));
	if (!(kinds_of[kind].key && str_eq(buf_view(&key), str_of(kinds_of[kind].key))) &&
	    !(kinds_of[kind].prefix &&
	      str_starts(buf_view(&key), str_of(kinds_of[kind].prefix))))
		return;
	mem_grow((void **)&plain[kind], &cap_plain[kind], n_plain[kind] + 1,
		 sizeof(**plain));
	struct plain *p = &plain[kind][n_plain[kind]++];
	*p = (struct plain){ .rev = rev };
	snprintf(p->text, sizeof(p->text), "%s@%llu%s%s", key.p,
		 (unsigned long long)rev, is_deleted ? "-" : "=",
		 is_deleted ? "" : now[0] ? now : "0");
	if (strchr(p->text, '/') && !is_deleted && now[0])
		*strrchr(p->text, '/') = '\0';
}

static bool plain_each(void *data, uint64_t rev, const struct event_row *e)
{
	for (unsigned k = 0; k < KINDS; k++) {
		plain_event(k, rev, e);
		if (e->end && n_plain[k])
			plain[k][n_plain[k] - 1].end = true;
	}
	return true;
}

static void plain_read(uint64_t after)
{
	struct kv_txn *txn = bench_read(&b);
	struct err err;

	ck_assert_int_eq(view_events(txn, after, plain_each, NULL, &err), OK);
	kv_end(&txn);
}

static void plain_text(struct buf *out, unsigned kind, uint64_t after)
{
	for (size_t i = 0; i < n_plain[kind]; i++) {
		const struct plain *p = &plain[kind][i];

		if (p->rev > after)
			buf_printf(out, "%s%s%s", out->n ? " " : "", p->text,
				   p->end ? "." : "");
	}
}

static void random_op(struct command *c)
{
	const char *tenant = below(2) ? "a" : "b";
	char *name = arena_printf(b.arena, "n%u", below(NAMES)).p ?
		arena_z(b.arena, arena_printf(b.arena, "n%u", below(NAMES))) : NULL;
	char *object = arena_z(b.arena, arena_printf(b.arena, "shop.prod.%s", name));
	struct op *op;

	switch (below(8)) {
	case 0:
		op = command_op(b.arena, c, OP_OBJECT_DELETE);
		op->kind = KIND_CONFIG;
		op->tenant = str_of(tenant);
		op->name = str_of(object);
		break;
	case 1:
		config(c, tenant, name)->format = below(2) ? STR("json") : STR("toml");
		break;
	case 2:
	case 3:
		op = command_op(b.arena, c, OP_RULES_SET);
		op->kind = KIND_CONFIG;
		op->tenant = str_of(tenant);
		op->name = str_of(object);
		for (unsigned i = 0; i < below(3); i++) {
			struct rule *r = rules_add(b.arena, &op->rules);

			r->version = 1 + below(3);
			r->priority = (int64_t)i;
			if (below(3))
				labels_set(b.arena, &r->labels, STR("zone"),
					   below(2) ? STR("east") : STR("west"));
		}
		break;
	default:
		config(c, tenant, name)->only_create = true;
		add_version(&b, c, tenant, object, str_of(below(2) ? "1" : "2"),
			    below(4) > 0);
	}
}

/* Many of them are refused, as a whole. */
static void random_command(void)
{
	struct command *c = bench_command(&b);
	unsigned n = below(5) ? 1 + below(3) : 1 + below(20);
	uint64_t before = state_head(b.state)->rev;

	for (unsigned i = 0; i < n; i++)
		random_op(c);
	bench_apply(&b, c);
	if (b.last.code == OK && state_head(b.state)->rev > before)
		plain_read(before);
}

static bool late_at_times(void *data)
{
	return below(4) == 0;
}

struct guest {
	struct fan fan;
	unsigned kind;
	uint64_t from;
};

static void guest_begin(struct guest *m, uint64_t from)
{
	m->from = from;
	add(&m->fan, kinds_of[m->kind].key, kinds_of[m->kind].prefix,
	    kinds_of[m->kind].zone, from);
	m->fan.enough = 1 + below(20);
}

static void guest_check(struct guest *m)
{
	AUTO_BUF want = BUF_NONE;

	plain_text(&want, m->kind, m->from);
	buf_c(&want, '\0');
	buf_c(&m->fan.told, '\0');
	ck_assert_str_eq(m->fan.told.p, want.p);
	m->fan.told.n--;
}

static void shake(struct guest *m)
{
	uint64_t position = hub_position(&m->fan.feed);

	if (m->fan.enough == 0 && below(2)) {
		m->fan.enough = 1 + below(20);
		hub_resume(&m->fan.feed);
	} else if (below(40) == 0) {
		/* Away, and back where it was: what it was told stays. */
		struct buf kept = m->fan.told;
		uint64_t from = m->from;

		hub_remove(&m->fan.feed);
		guest_begin(m, position);
		m->fan.told = kept;
		m->from = from;
	}
}

START_TEST(each_is_told_what_a_plain_reading_says)
{
	static struct guest guests[GUESTS];
	struct kv_txn *txn;
	struct err err;
	bool more;

	prng_init(&prng, (uint64_t)_i + 1);
	memset(has_got, 0, sizeof(has_got));
	tenants();
	for (unsigned i = 0; i < GUESTS; i++) {
		guests[i].kind = i % KINDS;
		guest_begin(&guests[i], 2);
	}
	for (unsigned round = 0; round < 300; round++) {
		if (below(3) == 0 && round < 250)
			random_command();
		for (unsigned i = 0; i < GUESTS; i++)
			shake(&guests[i]);
		hub_set_batch(hub, 1 + below(8));
		txn = bench_read(&b);
		ck_assert_int_eq(hub_run(hub, txn, late_at_times, NULL, &more, &err),
				 OK);
		kv_end(&txn);
	}
	for (unsigned i = 0; i < GUESTS; i++) {
		guests[i].fan.enough = UINT_MAX;
		hub_resume(&guests[i].fan.feed);
	}
	while (run())
		;
	for (unsigned i = 0; i < GUESTS; i++) {
		ck_assert(hub_is_idle(&guests[i].fan.feed));
		guest_check(&guests[i]);
		ck_assert_uint_eq(hub_position(&guests[i].fan.feed),
				  state_head(b.state)->rev);
	}
	/* From each revision on it is the rest of the same. */
	for (uint64_t rev = 2; rev <= state_head(b.state)->rev; rev += 1 + below(7)) {
		struct guest late = { .kind = below(KINDS) };

		guest_begin(&late, rev);
		late.fan.enough = UINT_MAX;
		while (run())
			;
		guest_check(&late);
		drop(&late.fan);
	}
	ck_assert_uint_gt(n_plain[0], 20);
	for (unsigned i = 0; i < GUESTS; i++)
		drop(&guests[i].fan);
	for (unsigned k = 0; k < KINDS; k++) {
		free(plain[k]);
		plain[k] = NULL;
		n_plain[k] = cap_plain[k] = 0;
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/hub");
	TCase *t = tcase_create("hub");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_end_is_on_the_last_change_that_is_told);
	tcase_add_test(t, an_empty_prefix_is_everything);
	tcase_add_test(t, a_key_is_one_address_and_told_once);
	tcase_add_loop_test(t, it_goes_on_where_it_stopped, 1, 8);
	tcase_add_loop_test(t, a_socket_that_is_full_stops_it_alone, 1, 6);
	tcase_add_test(t, who_resumes_within_a_command_gets_the_rest);
	tcase_add_test(t, who_is_told_may_remove_itself_and_others);
	tcase_add_loop_test(t, what_one_may_not_read_one_is_not_told, 1, 8);
	tcase_add_test(t, who_gets_what_it_got_is_not_told);
	tcase_add_test(t, what_lies_beside_the_content_is_no_change);
	tcase_add_test(t, what_had_no_version_comes_and_goes_unheard);
	tcase_add_test(t, what_is_compacted_is_gone);
	tcase_add_test(t, an_event_that_cannot_be_read_is_an_error);
	tcase_add_test(t, a_thousand_that_resume_read_it_together);
	suite_add_tcase(s, t);
	t = tcase_create("old");
	tcase_add_checked_fixture(t, setup_old, teardown);
	tcase_add_test(t, of_old_events_every_change_of_rules_is_told);
	suite_add_tcase(s, t);
	t = tcase_create("any");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, each_is_told_what_a_plain_reading_says, 0, 12);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
