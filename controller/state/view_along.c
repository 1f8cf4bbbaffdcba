/* What a command would release: see view_along.h. */
#include "state/view_along.h"

#include <stdlib.h>

#include "base/map.h"
#include "model/strategy.h"
#include "state/rollout_row.h"
#include "state/view_rollout.h"
#include "state/way_back.h"

#include "base/banned.h"

struct candidate {
	struct str name;
	struct strategy is;
};

struct numbers {
	uint64_t *v;
	size_t n, cap;
};

struct looking {
	struct kv_txn *txn;
	struct arena *arena;
	struct str tenant;
	struct candidate *all;
	size_t n_all, cap_all;
	const struct candidate *best;
	struct numbers near, held;       /* as in struct releasing: what is asked about, */
	struct numbers ending, lifting;  /* and what comes of it */
	struct map *released;            /* by operations: names */
	struct map *named;               /* by operations, whatever they do */
	struct view_released *out;
	size_t cap_along;
	uint64_t coming;                 /* of what is counted, on its way already */
	enum code rc;
	struct err *err;
};

/* ---- numbers of releases ---- */

static void note(struct looking *l, struct numbers *to, uint64_t number)
{
	for (size_t i = 0; i < to->n; i++)
		if (to->v[i] == number)
			return;
	to->v = arena_grow(l->arena, to->v, &to->cap, to->n + 1, sizeof(*to->v));
	to->v[to->n++] = number;
}

static void note_all(struct looking *l, struct numbers *to, struct str prefix)
{
	struct kv_cursor c;

	for (bool on = kv_seek(l->txn, KV_RELEASING, prefix, &c);
	     on && str_starts(c.key, prefix); on = kv_next(&c)) {
		struct rd rd = rd_of(str_from(c.key, prefix.n));

		note(l, to, rd_u64_be(&rd));
	}
	kv_cursor_close(&c);
}

static void note_at(struct looking *l, struct numbers *to, struct str config)
{
	AUTO_BUF key = BUF_NONE;

	key_releasing_config(&key, l->tenant, config);
	note_all(l, to, buf_view(&key));
}

static void note_back(struct looking *l, struct numbers *to, struct str config)
{
	AUTO_BUF key = BUF_NONE;

	key_releasing_back(&key, l->tenant, config);
	note_all(l, to, buf_view(&key));
}

/* As releasing_note_holds. */
static void note_holds(struct looking *l, struct numbers *to, const struct object_view *o)
{
	if (!o->has_live || !o->live.has_hold)
		return;
	if (o->live.hold_release)
		note(l, to, o->live.hold_release);
	note_back(l, to, o->name);
}

static void note_group(struct looking *l, struct numbers *to)
{
	AUTO_BUF key = BUF_NONE;

	if (!l->best || l->best->is.kind == STRATEGY_IMMEDIATE || !l->best->is.group.n)
		return;
	key_releasing_group(&key, l->tenant, l->best->is.group);
	note_all(l, to, buf_view(&key));
}

static enum code load(struct looking *l, uint64_t number, struct rollout_row *row)
{
	char name[RELEASE_NAME_MAX];
	enum code rc;

	release_name(name, number);
	rc = view_rollout(l->txn, l->arena, l->tenant, str_of(name), row, l->err);
	if (rc == E_NOT_FOUND)
		*row = (struct rollout_row){ 0 };
	return rc == E_NOT_FOUND ? OK : rc;
}

/* ---- the policy ---- */

static bool load_policy(void *data, const struct object_view *o)
{
	struct looking *l = data;
	struct candidate *one;

	l->all = arena_grow(l->arena, l->all, &l->cap_all, l->n_all + 1,
			    sizeof(*l->all));
	one = &l->all[l->n_all++];
	*one = (struct candidate){ .name = o->name };
	l->rc = strategy_read(l->arena, o->row.spec, &one->is, l->err);
	if (l->rc)
		err_wrap(l->err, "%.*s", STR_ARG(one->name));
	return l->rc == OK;
}

/* By what its labels are now: a policy does not lose a configuration to the command
 * that relabels it. */
static void choose_for(struct looking *l, struct str name)
{
	AUTO_ARENA scratch = arena_new(0);
	struct object_view o;
	struct address at;
	struct labels labels;
	bool is_known;

	if (view_object(l->txn, KIND_CONFIG, l->tenant, name, &o, NULL))
		return;
	at = (struct address){ l->tenant, o.row.application, o.row.environment,
			       o.row.config_name };
	is_known = labels_parse(scratch, o.row.labels, &labels);
	for (size_t i = 0; i < l->n_all; i++) {
		const struct candidate *one = &l->all[i];

		if ((!l->best || one->is.priority > l->best->is.priority) &&
		    selector_may_match(&one->is.select, is_known ? &labels : NULL, &at))
			l->best = one;
	}
}

static bool changes_what_is_served(struct looking *l, const struct op *op)
{
	return (op->type == OP_VERSION_ADD && op->release) ||
	       op->type == OP_RULES_SET ||
	       (op->type == OP_ROLLBACK && op_brings_new(l->txn, l->arena, op, 0));
}

static void choose_by_op(struct looking *l, const struct op *op, bool lifts)
{
	struct object_view o;

	if (op->kind != KIND_CONFIG || op->name.n > 253)
		return;
	map_put(l->named, op->name, l);
	if (!changes_what_is_served(l, op) ||
	    map_count(l->released) >= VIEW_RELEASED_MAX ||
	    map_put(l->released, op->name, l))
		return;
	note_at(l, &l->near, op->name);
	if (lifts &&
	    view_object(l->txn, KIND_CONFIG, l->tenant, op->name, &o, NULL) == OK)
		note_holds(l, &l->held, &o);
	choose_for(l, op->name);
}

static void choose_by_hold(struct looking *l, uint64_t number)
{
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;

	key_releasing_hold(&prefix, l->tenant, number);
	for (bool on = kv_seek(l->txn, KV_RELEASING, buf_view(&prefix), &c);
	     on && str_starts(c.key, buf_view(&prefix)); on = kv_next(&c)) {
		note_back(l, &l->held, str_from(c.key, prefix.n));
		choose_for(l, str_from(c.key, prefix.n));
	}
	kv_cursor_close(&c);
}

static bool supersedes(const struct looking *l)
{
	return !l->best || l->best->is.kind == STRATEGY_IMMEDIATE ||
	       l->best->is.concurrency == CONCURRENCY_SUPERSEDE;
}

static enum code choose_by_near(struct looking *l)
{
	for (size_t i = 0; i < l->held.n; i++)
		choose_by_hold(l, l->held.v[i]);
	for (size_t i = 0; supersedes(l); i++) {
		struct rollout_row row;
		enum code rc;

		note_group(l, &l->near);
		if (i >= l->near.n)
			break;
		rc = load(l, l->near.v[i], &row);
		if (rc)
			return rc;
		for (size_t k = 0; k < row.n_configs; k++)
			choose_for(l, row.configs[k].name);
	}
	return OK;
}

/* ---- what comes of it ---- */

static bool in_steps(const struct looking *l)
{
	return l->best && l->best->is.kind != STRATEGY_IMMEDIATE;
}

/* As apply does it, operation by operation. */
static void follow(struct looking *l, const struct op *op, bool lifts)
{
	struct object_view o = { 0 };
	struct releasing_at at;
	struct rules rules;
	bool has_live, is_open;

	if (op->kind != KIND_CONFIG || !map_get(l->released, op->name))
		return;
	if (view_object(l->txn, KIND_CONFIG, l->tenant, op->name, &o, NULL))
		o.has_live = false;
	has_live = o.has_live && rules_decode(l->arena, o.live.rules, &rules) &&
		   rules_default(&rules) >= 0;
	if (op->type == OP_VERSION_ADD && op->release) {
		l->out->count++;
		l->out->first += !has_live;
		/* Held, or on its way already. */
		is_open = view_releasing(l->txn, l->tenant, op->name, &at);
		if (lifts && o.has_live && o.live.has_hold &&
		    sha256_eq(&o.live.hold, &op->sha))
			return;
		if (is_open && sha256_eq(&at.sha, &op->sha)) {
			l->coming++;
			if (lifts && op->lift_hold)
				note_holds(l, &l->lifting, &o);
			return;
		}
		/* It is live, and the hold on another stays. */
		if (has_live && !is_open && !op->lift_hold &&
		    sha256_eq(&rules.r[rules_default(&rules)].sha, &op->sha))
			return;
	} else if (op->type == OP_RULES_SET || op->type == OP_ROLLBACK) {
		l->out->count += has_live;
		/* By hand, or a way back: nothing goes along. */
		if (!in_steps(l) || !op_brings_new(l->txn, l->arena, op, 0))
			return;
	} else {
		return;
	}
	note_at(l, &l->ending, op->name);
	if (lifts)
		note_holds(l, &l->lifting, &o);
}

static void add_along(struct looking *l, struct str name, bool anew,
		      const struct object_view *o)
{
	struct view_released *out = l->out;

	name = arena_str(l->arena, name);
	map_put(l->named, name, l);
	out->along = arena_grow(l->arena, out->along, &l->cap_along, out->n_along + 1,
				sizeof(*out->along));
	out->along[out->n_along++] = (struct view_along){
		.name = name, .anew = anew, .labels = o->row.labels,
		.at = { l->tenant, o->row.application, o->row.environment,
			o->row.config_name } };
}

static void lift(struct looking *l, uint64_t number)
{
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;

	key_releasing_hold(&prefix, l->tenant, number);
	for (bool on = kv_seek(l->txn, KV_RELEASING, buf_view(&prefix), &c);
	     on && str_starts(c.key, buf_view(&prefix)); on = kv_next(&c)) {
		struct str name = str_from(c.key, prefix.n);
		struct object_view o;

		if (!map_get(l->named, name) &&
		    view_object(l->txn, KIND_CONFIG, l->tenant, name, &o, NULL) == OK &&
		    o.has_live && o.live.hold_release == number) {
			note_back(l, &l->lifting, name);
			add_along(l, name, true, &o);
		}
	}
	kv_cursor_close(&c);
}

static enum code carry(struct looking *l, uint64_t number)
{
	struct rollout_row row;
	enum code rc = load(l, number, &row);

	for (size_t i = 0; rc == OK && i < row.n_configs; i++) {
		const struct rollout_config *c = &row.configs[i];
		struct object_view o;

		if (!map_get(l->named, c->name) &&
		    view_object(l->txn, KIND_CONFIG, l->tenant, c->name, &o, NULL) == OK &&
		    memcmp(o.row.uid.b, c->uid.b, sizeof(c->uid.b)) == 0)
			add_along(l, c->name, false, &o);
	}
	return rc;
}

static enum code find_along(struct looking *l)
{
	bool begins = in_steps(l) && l->out->count > l->out->first + l->coming;
	enum code rc = OK;

	for (size_t i = 0; i < l->lifting.n; i++)
		lift(l, l->lifting.v[i]);
	begins |= in_steps(l) && l->lifting.n && l->out->n_along;
	if (begins)
		note_group(l, &l->ending);
	if (begins && !supersedes(l))
		return OK;
	for (size_t i = 0; i < l->ending.n && rc == OK; i++)
		rc = carry(l, l->ending.v[i]);
	return rc;
}

enum code view_released(struct kv_txn *txn, struct arena *arena, struct str tenant,
			const struct op *ops, size_t n, bool lifts,
			struct view_released *out, struct err *err)
{
	struct looking l = { .txn = txn, .arena = arena, .tenant = tenant, .out = out,
			     .released = map_new(), .named = map_new(), .err = err };
	enum code rc;

	*out = (struct view_released){ 0 };
	rc = view_list(txn, KIND_RELEASE_POLICY, tenant, STR_NONE, STR_NONE,
		       load_policy, &l, err);
	if (rc == OK)
		rc = l.rc;
	for (size_t i = 0; i < n && rc == OK; i++)
		choose_by_op(&l, &ops[i], lifts);
	if (rc == OK)
		rc = choose_by_near(&l);
	for (size_t i = 0; i < n && rc == OK; i++)
		follow(&l, &ops[i], lifts);
	if (rc == OK)
		rc = find_along(&l);
	out->n_policies = l.n_all;
	if (rc == OK && l.best) {
		out->policy = l.best->name;
		out->strategy = l.best->is.name.n ? l.best->is.name : STR("immediate");
	}
	map_free(&l.released);
	map_free(&l.named);
	return rc;
}
