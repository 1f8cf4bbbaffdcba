/*
 * What follows of operations on releases once all of a command have run.
 *
 * Rules that releases have for each other (beside.h), where one has moved: that may be
 * thousands of configurations, and goes in slices.
 *
 * Configurations that are deleted while releases have them.  Each is taken out of the
 * index at once, so that no operation behind finds a release by it, and rollout_load
 * leaves it out.  The rows of these releases, and the rules that releases have for each
 * other (beside.h), follow once, behind all operations: a command may delete thousands
 * that large releases share, and the row of each names up to a thousand.  See
 * rollout.h.
 */
#include "state/beside.h"
#include "state/rollout_own.h"

#include "base/map.h"

#include "base/banned.h"

/* Configurations of a row for what an operation costs. */
#define LOOKS_A_UNIT 16

void releasing_forget_start(struct releasing *r)
{
	map_free(&r->forgotten_at);
	beside_slices_free(&r->slices);
	r->forgotten = NULL;
	r->n_forgotten = r->cap_forgotten = 0;
	r->next_row = r->next_group = 0;
}

/* ---- while the operations run ---- */

static void key_forgotten(struct buf *out, struct str tenant, uint64_t number)
{
	buf_str(out, tenant);
	buf_c(out, '\0');
	wr_u64_be(out, number);
}

struct forgotten *releasing_forgotten(const struct apply *a, struct str tenant,
				      uint64_t number)
{
	const struct releasing *r = a->releasing;
	AUTO_BUF key = BUF_NONE;

	if (!r->forgotten_at)
		return NULL;
	key_forgotten(&key, tenant, number);
	return map_get(r->forgotten_at, buf_view(&key));
}

static struct forgotten *note(struct apply *a, struct str tenant, uint64_t number)
{
	struct releasing *r = a->releasing;
	struct forgotten *one = releasing_forgotten(a, tenant, number);
	AUTO_BUF key = BUF_NONE;

	if (one)
		return one;
	if (!r->forgotten_at)
		r->forgotten_at = map_new();
	one = ANEW(r->arena, struct forgotten);
	*one = (struct forgotten){ .tenant = arena_str(r->arena, tenant),
				   .number = number };
	r->forgotten = arena_grow(r->arena, r->forgotten, &r->cap_forgotten,
				  r->n_forgotten + 1, sizeof(*r->forgotten));
	r->forgotten[r->n_forgotten++] = one;
	key_forgotten(&key, tenant, number);
	map_put(r->forgotten_at, buf_view(&key), one);
	return one;
}

static void add_configs(struct arena *arena, struct forgotten *one,
			const struct rollout_row *row)
{
	one->configs = arena_grow(arena, one->configs, &one->cap_configs,
				  one->n_configs + row->n_configs,
				  sizeof(*one->configs));
	for (size_t i = 0; i < row->n_configs; i++) {
		struct rollout_config *to = &one->configs[one->n_configs++];

		*to = row->configs[i];
		to->name = arena_str(arena, to->name);
	}
}

void releasing_settle_later(struct apply *a, struct str tenant,
			    const struct rollout_row *row)
{
	struct forgotten *one = note(a, tenant, row->number);

	one->was_connected = true;
	if (one->n_configs == 0)
		add_configs(a->releasing->arena, one, row);
}

void releasing_settle_with(struct apply *a, struct str tenant, uint64_t number,
			   const struct rollout_row *row)
{
	struct forgotten *one = note(a, tenant, number);

	one->was_connected = true;
	add_configs(a->releasing->arena, one, row);
}

static bool is_out(struct apply *a, struct str tenant, uint64_t number)
{
	char name[RELEASE_NAME_MAX];
	enum rollout_phase phase;
	AUTO_BUF key = BUF_NONE;
	struct str val;

	release_name(name, number);
	key_rollout(&key, tenant, str_of(name));
	return kv_get(a->txn, KV_ROLLOUTS, buf_view(&key), &val) &&
	       rollout_row_phase(val, &phase) && rollout_is_out(phase);
}

/* Another configuration of that name has other versions. */
static void forget_kept(struct apply *a, struct str tenant, struct str config)
{
	AUTO_BUF key = BUF_NONE;
	uint64_t *numbers;
	size_t n, prefix;

	key_releasing_kept(&key, tenant, config);
	prefix = key.n;
	n = rollout_numbers(a, a->arena, buf_view(&key), &numbers);
	for (size_t i = 0; i < n; i++) {
		key.n = prefix;
		wr_u64_be(&key, numbers[i]);
		ap_del(a, KV_RELEASING, buf_view(&key));
	}
}

void releasing_forget(struct apply *a, struct str tenant, const struct thing *t)
{
	struct forgotten *first = NULL;
	AUTO_BUF key = BUF_NONE;
	uint64_t *numbers;
	size_t n, prefix;

	/* Or what this command brought it would go out, to nobody, for good. */
	if (releasing_is_there(a, tenant))
		releasing_drop(a->releasing, t->live.name);
	releasing_unhold(a, tenant, t);
	key_releasing_config(&key, tenant, t->live.name);
	prefix = key.n;
	n = rollout_numbers(a, a->arena, buf_view(&key), &numbers);
	for (size_t i = 0; i < n; i++) {
		struct forgotten *one = note(a, tenant, numbers[i]);

		key.n = prefix;
		wr_u64_be(&key, numbers[i]);
		ap_del(a, KV_RELEASING, buf_view(&key));
		/* All that are out here are connected, while it is there. */
		if (!is_out(a, tenant, numbers[i]))
			continue;
		if (first)
			first->was_connected = one->was_connected = true;
		else
			first = one;
	}
	forget_kept(a, tenant, t->live.name);
}

size_t rollout_drop_deleted(struct apply *a, struct arena *arena, struct str tenant,
			    struct rollout_row *row)
{
	size_t to = 0, n = row->n_configs;

	if (!rollout_is_open(row->phase) ||
	    !releasing_forgotten(a, tenant, row->number))
		return 0;
	for (size_t i = 0; i < n; i++) {
		struct rollout_config c = row->configs[i];
		AUTO_BUF key = BUF_NONE;

		key_releasing_config(&key, tenant, c.name);
		wr_u64_be(&key, row->number);
		if (kv_get(a->txn, KV_RELEASING, buf_view(&key), NULL))
			row->configs[to++] = c;
		else
			rollout_note(a, arena, row, STR("delete"),
				     arena_printf(arena, "configuration %.*s was "
						  "deleted", STR_ARG(c.name)));
	}
	row->n_configs = to;
	if (to < n)
		rollout_begin_anew(a, row);
	return n - to;
}

/* ---- behind them ---- */

/* One that has no other configuration is over. */
static void put_row(struct apply *a, const struct forgotten *one)
{
	AUTO_ARENA arena = arena_new(0);
	char name[RELEASE_NAME_MAX];
	struct rollout_row row;
	AUTO_BUF key = BUF_NONE;
	struct str val;

	arena_reset(a->arena);
	release_name(name, one->number);
	key_rollout(&key, one->tenant, str_of(name));
	a->units--;
	if (!kv_get(a->txn, KV_ROLLOUTS, buf_view(&key), &val) ||
	    !rollout_row_decode(arena, arena_str(arena, val), &row))
		return;
	a->units -= (int)(row.n_configs / LOOKS_A_UNIT);
	if (!rollout_drop_deleted(a, arena, one->tenant, &row))
		return;
	if (row.n_configs == 0)
		row.phase = ROLLOUT_ABORTED;
	if (row.n_configs) {
		rollout_put_row(a, one->tenant, &row);
		return;
	}
	rollout_put(a, one->tenant, &row);
	rollout_tell(a, one->tenant, &row, NOTICE_ABORTED);
}

static void mark_settled(struct apply *a, struct str tenant)
{
	const uint64_t *numbers;
	size_t n = beside_slices_numbers(a->releasing->slices, &numbers);

	for (size_t i = 0; i < n; i++) {
		struct forgotten *one = releasing_forgotten(a, tenant, numbers[i]);

		if (one)
			one->is_settled = true;
	}
}

/* With all that it was connected to.  False: there is more to do. */
static bool settle(struct apply *a, const struct forgotten *one)
{
	struct releasing *r = a->releasing;
	struct err err;

	if (!r->slices && (one->is_settled || !one->was_connected))
		return true;
	if (!r->slices)
		r->slices = beside_slices_new(a, one->tenant, one->number,
					      one->configs, one->n_configs);
	if (!beside_slices_go_on(r->slices, &err))
		return false;
	mark_settled(a, one->tenant);
	beside_slices_free(&r->slices);
	return true;
}

void releasing_put_off(struct apply *a, bool may)
{
	a->releasing->may_put_off = may;
}

bool releasing_settle(struct apply *a)
{
	struct releasing *r = a->releasing;

	while (r->next_row < r->n_forgotten) {
		if (a->units <= 0)
			return false;
		put_row(a, r->forgotten[r->next_row++]);
	}
	while (r->next_group < r->n_forgotten) {
		if (!settle(a, r->forgotten[r->next_group]))
			return false;
		r->next_group++;
	}
	/* From here on rows and rules say what there is. */
	releasing_forget_start(r);
	return true;
}
