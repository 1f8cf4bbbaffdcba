/* Releases that are out side by side: see beside.h. */
#include "state/beside.h"

#include "base/map.h"

#include "base/banned.h"

struct beside {
	uint64_t *numbers;               /* of releases; may be queued */
	size_t n, cap;
	struct rollout_config *configs;  /* that they have, each once */
	size_t n_configs, cap_configs;
};

/* ---- who is connected ---- */

struct finding {
	struct apply *a;
	struct arena *arena;
	struct str tenant;
	const struct rollout_row *row;   /* where it begins */
	struct beside *found;
	struct map *seen;                /* names of configurations */
};

/* Are there others at a configuration of it?  As a rule not. */
static bool is_alone(struct apply *a, struct str tenant,
		     const struct rollout_row *row)
{
	bool alone = true;

	for (size_t i = 0; i < row->n_configs && alone; i++) {
		AUTO_BUF prefix = BUF_NONE;
		struct kv_cursor c;

		key_releasing_config(&prefix, tenant, row->configs[i].name);
		for (bool on = kv_seek(a->txn, KV_RELEASING, buf_view(&prefix), &c);
		     on && alone && str_starts(c.key, buf_view(&prefix));
		     on = kv_next(&c)) {
			struct rd rd = rd_of(str_from(c.key, prefix.n));

			alone = rd_u64_be(&rd) == row->number;
		}
		kv_cursor_close(&c);
	}
	return alone;
}

static void note_release(struct finding *f, uint64_t number)
{
	struct beside *b = f->found;

	for (size_t i = 0; i < b->n; i++)
		if (b->numbers[i] == number)
			return;
	b->numbers = arena_grow(f->arena, b->numbers, &b->cap, b->n + 1,
				sizeof(*b->numbers));
	b->numbers[b->n++] = number;
}

static void note_config(struct finding *f, const struct rollout_config *c)
{
	struct beside *b = f->found;

	if (map_put(f->seen, c->name, b))
		return;
	b->configs = arena_grow(f->arena, b->configs, &b->cap_configs,
				b->n_configs + 1, sizeof(*b->configs));
	b->configs[b->n_configs++] = *c;
}

/* False: it is not out. */
static bool load_out(struct apply *a, struct arena *arena, struct str tenant,
		     uint64_t number, struct rollout_row *out)
{
	char name[RELEASE_NAME_MAX];
	struct err err;

	release_name(name, number);
	return rollout_load(a, arena, tenant, str_of(name), out, &err) == OK &&
	       rollout_is_out(out->phase);
}

static void find_at(struct finding *f, const struct rollout_config *c)
{
	AUTO_BUF prefix = BUF_NONE;
	uint64_t *numbers;
	size_t n;

	key_releasing_config(&prefix, f->tenant, c->name);
	n = rollout_numbers(f->a, f->arena, buf_view(&prefix), &numbers);
	for (size_t i = 0; i < n; i++)
		note_release(f, numbers[i]);
}

/* In the order in which they are found: each adds its configurations, and each of
 * these its releases. */
static enum code find_all(struct finding *f, bool bounded, struct err *err)
{
	struct beside *b = f->found;
	size_t looked = 0;

	note_release(f, f->row->number);
	for (size_t i = 0; i < b->n; i++) {
		struct rollout_row other;
		const struct rollout_row *row = f->row;

		if (b->numbers[i] != f->row->number) {
			if (!load_out(f->a, f->arena, f->tenant, b->numbers[i],
				      &other))
				continue;
			row = &other;
		}
		for (size_t k = 0; k < row->n_configs; k++)
			note_config(f, &row->configs[k]);
		for (; looked < b->n_configs; looked++)
			find_at(f, &b->configs[looked]);
		if (bounded && (b->n > BESIDE_RELEASES_MAX ||
				b->n_configs > BESIDE_CONFIGS_MAX)) {
			err_set(err, E_UNPROCESSABLE, "too much would be out side by "
				"side: at most %d releases, of %d configurations, may "
				"be connected by configurations that they share",
				BESIDE_RELEASES_MAX, BESIDE_CONFIGS_MAX);
			return err_hint(err, "wait until one of them is over, or let "
					"its policy queue or supersede");
		}
	}
	return OK;
}

enum code beside_find(struct apply *a, struct arena *arena, struct str tenant,
		      const struct rollout_row *row, bool bounded,
		      struct beside **out, struct err *err)
{
	struct finding f = { a, arena, tenant, row, NULL, NULL };
	enum code rc;

	*out = NULL;
	if (is_alone(a, tenant, row))
		return OK;
	f.found = arena_zero(arena, sizeof(*f.found));
	f.seen = map_new();
	rc = find_all(&f, bounded, err);
	map_free(&f.seen);
	if (rc == OK)
		*out = f.found;
	return rc;
}

void beside_leave_out(struct beside *b, struct str config)
{
	size_t to = 0;

	for (size_t i = 0; b && i < b->n_configs; i++)
		if (!str_eq(b->configs[i].name, config))
			b->configs[to++] = b->configs[i];
	if (b)
		b->n_configs = to;
}

/* ---- what is where ---- */

/* One that is out, now. */
struct out_one {
	struct rollout_row row;
	struct strategy s;
	struct map *has;                 /* names of its configurations */
	size_t part;                     /* those of one part are connected */
};

struct settling {
	struct apply *a;
	struct str tenant;
	struct out_one *members;          /* the oldest first */
	size_t n;
};

static int by_number(const void *x, const void *y)
{
	const struct out_one *a = x, *b = y;

	return a->row.number < b->row.number ? -1 : a->row.number > b->row.number;
}

static enum code add_member(struct settling *s, struct arena *arena,
			    const struct rollout_row *row, struct err *err)
{
	struct out_one *m = &s->members[s->n];

	*m = (struct out_one){ .row = *row, .part = s->n };
	m->has = map_new();
	s->n++;
	for (size_t i = 0; i < row->n_configs; i++)
		map_put(m->has, row->configs[i].name, m);
	return strategy_read(arena, row->spec, &m->s, err);
}

static enum code load_members(struct settling *s, struct arena *arena,
			      const struct beside *b,
			      const struct rollout_row *row, bool is_out,
			      struct err *err)
{
	enum code rc = OK;

	s->members = arena_zero(arena, (b->n + 1) * sizeof(*s->members));
	for (size_t i = 0; i < b->n && rc == OK; i++) {
		struct rollout_row other;

		if (row && b->numbers[i] == row->number)
			rc = is_out ? add_member(s, arena, row, err) : OK;
		else if (load_out(s->a, arena, s->tenant, b->numbers[i], &other))
			rc = add_member(s, arena, &other, err);
	}
	if (s->n > 1)
		qsort(s->members, s->n, sizeof(*s->members), by_number);
	for (size_t i = 0; i < s->n; i++)
		s->members[i].part = i;
	return rc;
}

static void join(struct settling *s, size_t part, size_t to)
{
	for (size_t i = 0; part != to && i < s->n; i++)
		if (s->members[i].part == part)
			s->members[i].part = to;
}

/* The parts that they fall into, by the configurations that they have now. */
static void connect(struct settling *s, const struct beside *b)
{
	for (size_t c = 0; c < b->n_configs; c++) {
		const struct out_one *first = NULL;

		for (size_t i = 0; i < s->n; i++) {
			const struct out_one *m = &s->members[i];

			if (!map_get(m->has, b->configs[c].name))
				continue;
			if (first)
				join(s, m->part, first->part);
			else
				first = m;
		}
	}
}

/* The oldest that is there; NULL: none. */
static const struct out_one *oldest_at(const struct settling *s, struct str config)
{
	for (size_t i = 0; i < s->n; i++)
		if (map_get(s->members[i].has, config))
			return &s->members[i];
	return NULL;
}

static void drop_kept(struct rules *rules)
{
	size_t to = 0;

	for (size_t i = 0; i < rules->n; i++)
		if (rules->r[i].version || !rules->r[i].release)
			rules->r[to++] = rules->r[i];
	rules->n = to;
}

/* Without digest and size: it brings nothing. */
static void keep_for(struct settling *s, const struct out_one *m,
		     struct rules *rules)
{
	struct rule nothing = { .version = 0 };

	strategy_rules(s->a->arena, &m->s, m->row.step, &nothing, m->row.salt,
		       m->row.number, rules);
}

static enum code settle_one(struct settling *s, const struct rollout_config *c,
			    bool bounded, struct err *err)
{
	const struct out_one *oldest = oldest_at(s, c->name);
	AUTO_THING t = { 0 };
	struct rules rules;
	enum code rc;

	if (!rollout_load_config(s->a, &t, s->tenant, c, &rc, err))
		return rc;
	rc = config_rules(s->a, &t, &rules, err);
	if (rc)
		return rc;
	drop_kept(&rules);
	for (const struct out_one *m = oldest; m && m < s->members + s->n; m++)
		if (m->part == oldest->part && !map_get(m->has, c->name))
			keep_for(s, m, &rules);
	rc = bounded ? rules_check(&rules, err) : OK;
	if (rc)
		return err_wrap(err, "configuration %.*s", STR_ARG(c->name));
	rollout_set_rules(s->a, &t, s->tenant, c->name, &rules);
	return OK;
}

enum code beside_settle(struct apply *a, struct arena *arena, struct str tenant,
			const struct beside *b, const struct rollout_row *row,
			bool is_out, struct err *err)
{
	struct settling s = { .a = a, .tenant = tenant };
	enum code rc = OK;

	if (!b)
		return OK;
	rc = load_members(&s, arena, b, row, is_out, err);
	if (rc == OK)
		connect(&s, b);
	for (size_t i = 0; i < b->n_configs && rc == OK; i++)
		rc = settle_one(&s, &b->configs[i], is_out, err);
	for (size_t i = 0; i < s.n; i++)
		map_free(&s.members[i].has);
	return rc;
}
