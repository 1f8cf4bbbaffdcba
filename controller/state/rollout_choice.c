/*
 * Which release policy a command follows: of those that select something that it
 * releases, or that goes out along with that, the one with the greatest priority.
 */
#include "state/gate.h"
#include "state/rollout_own.h"
#include "state/way_back.h"

#include "base/banned.h"

static bool changes_what_is_served(struct apply *a, const struct op *op)
{
	return (op->type == OP_VERSION_ADD && op->release) ||
	       op->type == OP_RULES_SET ||
	       (op->type == OP_ROLLBACK &&
		op_brings_new(a->txn, a->releasing->scratch, op, 0));
}

/* Of equal priorities the first name: they come in this order. */
static void prefer(struct releasing *r, const struct candidate *one)
{
	if (!r->best || one->is.priority > r->best->is.priority ||
	    (one->is.priority == r->best->is.priority &&
	     str_cmp(one->name, r->best->name) < 0))
		r->best = one;
}

/* Every policy that selects the configuration is asked. */
static enum code choose_for(struct apply *a, struct str name, struct err *err)
{
	struct releasing *r = a->releasing;
	AUTO_BUF key = BUF_NONE;
	struct object_row row;
	struct address at;
	struct labels labels;
	struct str val;
	bool is_known;

	key_object(&key, r->tenant, KIND_CONFIG, name);
	arena_reset(r->scratch);         /* 'name' may have been there */
	if (!kv_get(a->txn, KV_OBJECTS, buf_view(&key), &val))
		return OK;
	if (!object_row_decode(val, &row))
		return thing_corrupt(err, "an object");
	at = (struct address){ r->tenant, row.application, row.environment,
			       row.config_name };
	is_known = labels_parse(r->scratch, row.labels, &labels);
	a->units -= (int)(r->policies->n / MATCHES_A_UNIT);
	for (size_t i = 0; i < r->policies->n; i++)
		if (selector_may_match(&r->policies->v[i].is.select,
				       is_known ? &labels : NULL, &at))
			prefer(r, &r->policies->v[i]);
	return OK;
}

void releasing_note(struct releasing *r, struct numbers *to, uint64_t number)
{
	for (size_t i = 0; i < to->n; i++)
		if (to->v[i] == number)
			return;
	to->v = arena_grow(r->arena, to->v, &to->cap, to->n + 1, sizeof(*to->v));
	to->v[to->n++] = number;
}

void releasing_note_all(struct apply *a, struct numbers *to, struct str prefix)
{
	struct releasing *r = a->releasing;
	uint64_t *numbers;
	size_t n = rollout_numbers(a, r->scratch, prefix, &numbers);

	for (size_t i = 0; i < n; i++)
		releasing_note(r, to, numbers[i]);
}

/* What goes out with it, and is to be asked about as well: what the releases that it
 * supersedes have, and what the releases whose holds it lifts still hold. */
static enum code note_near(struct apply *a, const struct op *op, struct err *err)
{
	struct releasing *r = a->releasing;
	AUTO_BUF key = BUF_NONE;
	AUTO_THING t = { 0 };
	enum code rc = OK;

	key_releasing_config(&key, r->tenant, op->name);
	releasing_note_all(a, &r->near, buf_view(&key));
	if (a->cmd->subject.role == ROLE_SOURCE)
		rc = thing_load(a, &t, r->tenant, KIND_CONFIG, op->name, err);
	if (rc == OK && t.val.p)
		releasing_note_holds(a, &r->held, r->tenant, &t.live);
	return rc;
}

static enum code choose_by_op(struct apply *a, const struct op *op, struct err *err)
{
	struct releasing *r = a->releasing;
	enum code rc;

	if (op->kind != KIND_CONFIG || !str_eq(op->tenant, r->tenant) ||
	    op->name.n > 253)
		return OK;
	rc = note_near(a, op, err);
	return rc ? rc : choose_for(a, op->name, err);
}

/* Tenants that have nothing of it are known by their first operation. */
static bool begin_choice(struct apply *a)
{
	struct releasing *r = a->releasing;
	struct op op;
	struct err err;

	r->ops = a->ops;
	r->has_ops = true;
	while (!r->tenant.n && r->ops.next < r->ops.n) {
		arena_reset(r->scratch);
		if (command_next(r->scratch, &r->ops, &op, &err))
			return false;
		r->tenant = arena_str(r->arena, op.tenant);
	}
	r->ops = a->ops;
	r->is_there = r->tenant.n && r->tenant.n <= 63 &&
		      ap_count(a, r->tenant, COUNT_RELEASING) > 0;
	return r->is_there;
}

static enum code choose_by_ops(struct apply *a, struct err *err)
{
	struct releasing *r = a->releasing;
	enum code rc = OK;

	while (rc == OK && r->ops.next < r->ops.n && a->units-- > 0) {
		struct op_reader here = r->ops;
		struct op op;

		arena_reset(r->scratch);
		arena_reset(a->arena);
		/* What is malformed is refused where it is to be done. */
		if (command_next(r->scratch, &r->ops, &op, &(struct err){ 0 })) {
			r->ops.next = r->ops.n;
			break;
		}
		/* In an emergency nothing waits for steps. */
		if (gate_is_broken(a) || !changes_what_is_served(a, &op))
			continue;
		if (!r->is_loaded)
			rc = policies_load(a, &r->is_loaded, err);
		if (rc == OK && !r->is_loaded) {
			r->ops = here;
			break;
		}
		if (rc == OK)
			rc = choose_by_op(a, &op, err);
	}
	return rc;
}

static enum code choose_by_hold(struct apply *a, uint64_t number, struct err *err)
{
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	enum code rc = OK;

	key_releasing_hold(&prefix, a->releasing->tenant, number);
	for (bool on = kv_seek(a->txn, KV_RELEASING, buf_view(&prefix), &c);
	     on && rc == OK && str_starts(c.key, buf_view(&prefix));
	     on = kv_next(&c)) {
		releasing_note_back(a, &a->releasing->held, a->releasing->tenant,
				    str_from(c.key, prefix.n));
		rc = choose_for(a, str_from(c.key, prefix.n), err);
		a->units--;
	}
	kv_cursor_close(&c);
	return rc;
}

enum code rollout_load_number(struct apply *a, struct arena *arena, struct str tenant,
			      uint64_t number, struct rollout_row *row,
			      struct err *err)
{
	char name[RELEASE_NAME_MAX];

	release_name(name, number);
	return rollout_load(a, arena, tenant, str_of(name), row, err);
}

static enum code choose_by_release(struct apply *a, uint64_t number,
				   struct err *err)
{
	struct releasing *r = a->releasing;
	AUTO_ARENA arena = arena_new(0);
	struct rollout_row row;
	enum code rc = rollout_load_number(a, arena, r->tenant, number, &row, err);

	for (size_t i = 0; rc == OK && i < row.n_configs; i++)
		rc = choose_for(a, row.configs[i].name, err);
	a->units -= (int)row.n_configs;
	return rc;
}

/* Releases that are out go on beside what follows the other policies. */
static bool supersedes(const struct releasing *r)
{
	return !r->best || r->best->is.kind == STRATEGY_IMMEDIATE ||
	       r->best->is.concurrency == CONCURRENCY_SUPERSEDE;
}

static void note_group(struct apply *a)
{
	struct releasing *r = a->releasing;
	AUTO_BUF key = BUF_NONE;

	if (!r->best || r->best->is.kind == STRATEGY_IMMEDIATE ||
	    !r->best->is.group.n)
		return;
	key_releasing_group(&key, r->tenant, r->best->is.group);
	releasing_note_all(a, &r->near, buf_view(&key));
}

/* The policy that is chosen says what goes along, which may be under another one:
 * until nothing is new.  It ends, because a policy only gives way to a greater one. */
static enum code choose_by_near(struct apply *a, bool *done, struct err *err)
{
	struct releasing *r = a->releasing;
	enum code rc = OK;

	*done = false;
	while (rc == OK && a->units > 0) {
		if (r->next_held < r->held.n) {
			rc = choose_by_hold(a, r->held.v[r->next_held++], err);
			continue;
		}
		if (supersedes(r))
			note_group(a);
		if (!supersedes(r) || r->next_near == r->near.n) {
			*done = true;
			break;
		}
		rc = choose_by_release(a, r->near.v[r->next_near++], err);
	}
	return rc;
}

enum code releasing_choose(struct apply *a, bool *done, struct err *err)
{
	struct releasing *r = a->releasing;
	enum code rc = OK;

	*done = true;
	if (r->is_chosen)
		return OK;
	if (!r->has_ops && (a->head->version < VERSION_GATE || !begin_choice(a)))
		r->ops.next = r->ops.n;
	if (!r->is_there) {
		r->is_chosen = true;
		return OK;
	}
	rc = choose_by_ops(a, err);
	*done = rc == OK && r->ops.next == r->ops.n;
	if (*done)
		rc = choose_by_near(a, done, err);
	r->is_chosen = rc || *done;
	return rc;
}
