/* Releases that are out side by side: see beside.h. */
#include "state/beside.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "state/rollout_own.h"

#include "base/banned.h"

/* Configurations that are looked at for what an operation costs. */
#define LOOKS_A_UNIT 16

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
	const struct rollout_row *row;   /* where it begins; NULL: at a number */
	struct beside *found;
	struct map *seen;                /* names of configurations */
	struct arena *one;               /* of the release that is looked at */
	size_t next, looked;             /* release, configuration */
	size_t out;                      /* releases of these that are out */
};

/* As a rule it is. */
bool beside_is_alone(struct apply *a, struct str tenant, const struct rollout_row *row)
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
	struct rollout_config *to;

	if (map_put(f->seen, c->name, b))
		return;
	b->configs = arena_grow(f->arena, b->configs, &b->cap_configs,
				b->n_configs + 1, sizeof(*b->configs));
	to = &b->configs[b->n_configs++];
	*to = *c;
	to->name = arena_str(f->arena, c->name);
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
	n = rollout_numbers(f->a, f->one, buf_view(&prefix), &numbers);
	for (size_t i = 0; i < n; i++)
		note_release(f, numbers[i]);
}

/* In the order in which they are found: each adds its configurations, and each of
 * these its releases. */
static void find_next(struct finding *f)
{
	struct beside *b = f->found;
	uint64_t number = b->numbers[f->next++];
	const struct rollout_row *row = f->row;
	struct rollout_row other;

	arena_reset(f->one);
	f->a->units--;
	if (!row || number != row->number)
		row = load_out(f->a, f->one, f->tenant, number, &other) ? &other : NULL;
	f->out += row != NULL;
	for (size_t k = 0; row && k < row->n_configs; k++)
		note_config(f, &row->configs[k]);
	f->a->units -= row ? (int)(row->n_configs / LOOKS_A_UNIT) : 0;
	for (; f->looked < b->n_configs; f->looked++)
		find_at(f, &b->configs[f->looked]);
}

/* Those that wait are none of them. */
static enum code check_bounds(const struct finding *f, struct err *err)
{
	const struct beside *b = f->found;

	if (f->out <= BESIDE_RELEASES_MAX && b->n_configs <= BESIDE_CONFIGS_MAX)
		return OK;
	err_set(err, E_UNPROCESSABLE, "too much would be out side by "
		"side: at most %d releases, of %d configurations, may "
		"be connected by configurations that they share",
		BESIDE_RELEASES_MAX, BESIDE_CONFIGS_MAX);
	return err_hint(err, "wait until one of them is over, or let "
			"its policy queue or supersede");
}

static void finding_start(struct finding *f, uint64_t number)
{
	f->found = arena_zero(f->arena, sizeof(*f->found));
	f->seen = map_new();
	note_release(f, number);
}

enum code beside_find(struct apply *a, struct arena *arena, struct str tenant,
		      const struct rollout_row *row, bool bounded,
		      struct beside **out, struct err *err)
{
	AUTO_ARENA one = arena_new(0);
	struct finding f = { .a = a, .arena = arena, .tenant = tenant, .row = row,
			     .one = one };
	enum code rc = OK;

	*out = NULL;
	/* Of what it was connected to others may have left rules. */
	if (!releasing_forgotten(a, tenant, row->number) &&
	    beside_is_alone(a, tenant, row))
		return OK;
	finding_start(&f, row->number);
	while (rc == OK && f.next < f.found->n) {
		find_next(&f);
		rc = bounded ? check_bounds(&f, err) : OK;
	}
	map_free(&f.seen);
	if (rc == OK)
		*out = f.found;
	return rc;
}

/* ---- what is where ---- */

/* One that is out, now. */
struct out_one {
	uint64_t number;
	uint32_t step;
	uint8_t salt[SALT_SIZE];
	struct strategy s;
	size_t weight;                   /* of its rules at one configuration */
	struct map *has;                 /* names of its configurations */
	size_t part;                     /* those of one part are connected */
};

struct settling {
	struct apply *a;
	struct str tenant;
	struct arena *one;               /* of the release that is loaded */
	struct out_one *members;         /* the oldest first */
	size_t n;
	struct map *oldest;              /* of each configuration: the member */
	size_t loaded, settled;          /* of the releases, and configurations */
	size_t bytes;                    /* of rules in last steps, at those that are settled */
};

size_t beside_weight(const struct strategy *s, const struct rollout_row *row)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF bytes = BUF_NONE;
	struct rule nothing = { .version = 0 };
	struct rules rules = { 0 };

	strategy_rules(arena, s, s->n_steps, &nothing, row->salt, row->number, &rules);
	rules_encode(&bytes, &rules);
	return bytes.n;
}

enum code beside_check_bytes(size_t bytes, struct err *err)
{
	if (bytes <= BESIDE_RULES_BYTES_MAX)
		return OK;
	err_set(err, E_UNPROCESSABLE, "the rules of a release and of those beside it, of all "
		"steps and at all their configurations, may take %u MiB",
		BESIDE_RULES_BYTES_MAX >> 20);
	return err_hint(err, "let its policy name fewer instances, by labels or as a "
			"percentage, or change fewer configurations at once");
}

static int by_number(const void *x, const void *y)
{
	const uint64_t *a = x, *b = y;

	return *a < *b ? -1 : *a > *b;
}

static void settling_start(struct settling *s, struct arena *arena, struct beside *b)
{
	if (b->n > 1)
		qsort(b->numbers, b->n, sizeof(*b->numbers), by_number);
	s->members = arena_zero(arena, (b->n + 1) * sizeof(*s->members));
	s->oldest = map_new();
}

static void settling_fini(struct settling *s)
{
	for (size_t i = 0; i < s->n; i++)
		map_free(&s->members[i].has);
	map_free(&s->oldest);
}

static void join(struct settling *s, size_t part, size_t to)
{
	for (size_t i = 0; part != to && i < s->n; i++)
		if (s->members[i].part == part)
			s->members[i].part = to;
}

/* It is of one part with those that share a configuration with it. */
static enum code add_member(struct settling *s, struct arena *arena,
			    const struct rollout_row *row, struct err *err)
{
	struct out_one *m = &s->members[s->n];
	enum code rc;

	*m = (struct out_one){ .number = row->number, .step = row->step,
			       .part = s->n };
	memcpy(m->salt, row->salt, sizeof(m->salt));
	m->has = map_new();
	s->n++;
	for (size_t i = 0; i < row->n_configs; i++) {
		struct str name = row->configs[i].name;
		const struct out_one *first = map_get(s->oldest, name);

		map_put(m->has, name, m);
		if (first)
			join(s, m->part, first->part);
		else
			map_put(s->oldest, name, m);
	}
	s->a->units -= (int)(row->n_configs / LOOKS_A_UNIT);
	rc = strategy_read(arena, arena_str(arena, row->spec), &m->s, err);
	if (rc == OK)
		m->weight = beside_weight(&m->s, row);
	return rc;
}

/* 'row': as beside_settle has it. */
static enum code load_next(struct settling *s, struct arena *arena,
			   const struct beside *b, const struct rollout_row *row,
			   bool is_out, struct err *err)
{
	uint64_t number = b->numbers[s->loaded++];
	struct rollout_row other;

	arena_reset(s->one);
	s->a->units--;
	if (row && number == row->number)
		return is_out ? add_member(s, arena, row, err) : OK;
	if (!load_out(s->a, s->one, s->tenant, number, &other))
		return OK;
	return add_member(s, arena, &other, err);
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

	strategy_rules(s->a->arena, &m->s, m->step, &nothing, m->salt, m->number,
		       rules);
}

void beside_of_people(struct arena *arena, const struct rules *rules, struct rules *out)
{
	*out = (struct rules){ 0 };
	for (size_t i = 0; i < rules->n; i++)
		if (!rules->r[i].release)
			*rules_add(arena, out) = rules->r[i];
}

/* What they come to once all are in their last steps: what is let in can go on. */
static enum code check_last(struct settling *s, const struct out_one *oldest,
			    const struct rules *rules, struct str name, struct err *err)
{
	struct apply *a = s->a;
	struct rule nothing = { .version = 0 };
	struct rules last;
	enum code rc;

	beside_of_people(a->arena, rules, &last);
	s->bytes += config_encode_rules(a, &last).n;
	for (const struct out_one *m = oldest; m && m < s->members + s->n; m++) {
		if (m->part != oldest->part)
			continue;
		strategy_rules(a->arena, &m->s, m->s.n_steps, &nothing, m->salt,
			       m->number, &last);
		s->bytes += m->weight;
	}
	rc = rules_check(&last, err);
	if (rc)
		return err_wrap(err, "configuration %.*s", STR_ARG(name));
	return beside_check_bytes(s->bytes, err);
}

static enum code settle_one(struct settling *s, const struct rollout_config *c,
			    bool bounded, struct err *err)
{
	const struct out_one *oldest = map_get(s->oldest, c->name);
	AUTO_THING t = { 0 };
	struct rules rules;
	enum code rc;

	if (!rollout_load_config(s->a, &t, s->tenant, c, &rc, err))
		return rc;
	rc = config_rules(s->a, &t, &rules, err);
	if (rc)
		return rc;
	rc = bounded ? check_last(s, oldest, &rules, c->name, err) : OK;
	if (rc)
		return rc;
	drop_kept(&rules);
	for (const struct out_one *m = oldest; m && m < s->members + s->n; m++)
		if (m->part == oldest->part && !map_get(m->has, c->name))
			keep_for(s, m, &rules);
	rollout_set_rules(s->a, &t, s->tenant, c->name, &rules);
	return OK;
}

/* What each takes is let go of before the next: its rules may name thousands, and there
 * may be thousands of them. */
static enum code settle_all(struct settling *s, const struct beside *b, bool bounded,
			    struct err *err)
{
	struct arena *of_op = s->a->arena;
	AUTO_ARENA one = arena_new(0);
	enum code rc = OK;

	s->a->arena = one;
	while (rc == OK && s->settled < b->n_configs) {
		arena_reset(one);
		rc = settle_one(s, &b->configs[s->settled++], bounded, err);
	}
	s->a->arena = of_op;
	return rc;
}

enum code beside_settle(struct apply *a, struct arena *arena, struct str tenant,
			struct beside *b, const struct rollout_row *row,
			bool is_out, struct err *err)
{
	AUTO_ARENA one = arena_new(0);
	struct settling s = { .a = a, .tenant = tenant, .one = one };
	enum code rc = OK;

	if (!b)
		return OK;
	settling_start(&s, arena, b);
	while (rc == OK && s.loaded < b->n)
		rc = load_next(&s, arena, b, row, is_out, err);
	if (rc == OK)
		rc = settle_all(&s, b, is_out, err);
	settling_fini(&s);
	return rc;
}

/* ---- in slices ---- */

struct beside_slices {
	struct finding f;
	struct settling s;
	struct arena *arena, *one;
};

struct beside_slices *beside_slices_new(struct apply *a, struct str tenant,
					uint64_t number,
					const struct rollout_config *configs, size_t n)
{
	struct beside_slices *b = NEW(struct beside_slices);

	b->arena = arena_new(0);
	b->one = arena_new(0);
	tenant = arena_str(b->arena, tenant);
	b->f = (struct finding){ .a = a, .arena = b->arena, .tenant = tenant,
				 .one = b->one };
	b->s = (struct settling){ .a = a, .tenant = tenant, .one = b->one };
	finding_start(&b->f, number);
	for (size_t i = 0; i < n; i++)
		note_config(&b->f, &configs[i]);
	return b;
}

void beside_slices_free(struct beside_slices **bp)
{
	struct beside_slices *b = TAKE(*bp);

	if (!b)
		return;
	map_free(&b->f.seen);
	settling_fini(&b->s);
	arena_free(&b->arena);
	arena_free(&b->one);
	free(b);
}

size_t beside_slices_numbers(const struct beside_slices *b, const uint64_t **out)
{
	*out = b->f.found->numbers;
	return b->f.found->n;
}

bool beside_slices_go_on(struct beside_slices *b, struct err *err)
{
	struct apply *a = b->f.a;
	struct beside *found = b->f.found;
	struct settling *s = &b->s;
	enum code rc = OK;

	while (a->units > 0 && b->f.next < found->n)
		find_next(&b->f);
	if (b->f.next < found->n)
		return false;
	if (!s->members)
		settling_start(s, b->arena, found);
	while (rc == OK && a->units > 0 && s->loaded < found->n)
		rc = load_next(s, b->arena, found, NULL, false, err);
	if (rc == OK && s->loaded < found->n)
		return false;
	while (rc == OK && a->units > 0 && s->settled < found->n_configs) {
		arena_reset(a->arena);
		a->units--;
		rc = settle_one(s, &found->configs[s->settled++], false, err);
	}
	/* What cannot be read stays as it was. */
	return rc || s->settled == found->n_configs;
}
