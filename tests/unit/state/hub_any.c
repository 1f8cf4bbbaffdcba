/* Followers of every kind, against a plain reading of the events. */
#include "unit.h"

#include "base/mem.h"
#include "fan.h"

#include "base/banned.h"

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
	char text[80];                   /* as told by fan_on_change, without "." */
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
	struct client client = { .labels = { &label, zone ? 1 : 0, 1 } };
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
	if (!is_deleted && rules_pick_encoded(o.live.rules, &client, &rule, &position))
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
	Suite *s = suite_create("state/hub_any");
	TCase *t = tcase_create("any");

	tcase_add_checked_fixture(t, fan_setup, fan_teardown);
	tcase_add_loop_test(t, each_is_told_what_a_plain_reading_says, 0, 12);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
