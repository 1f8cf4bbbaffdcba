/*
 * Plans in apply: the operations of a command are walked over, and none happens.
 * The walk computes the digest and the bases, holds contents and places locks; it
 * may take many slices.  See gate.h.
 */
#include "state/gate_own.h"
#include "state/way_back.h"

#include "base/banned.h"

#define CONFLICTS_MAX 100

/* ---- starting ---- */

static void reset(struct gate_walk *w, enum gate_walk_for what)
{
	w->what = what;
	arena_reset(w->arena);
	buf_reset(&w->bases);
	buf_reset(&w->tenant);
	buf_reset(&w->name);
	w->configs = NULL;
	w->n_configs = w->cap_configs = 0;
	w->count = w->content = 0;
	w->owned.is_on = false;
	w->n_owned = 0;
	w->n_along = 0;
	w->authors = (struct proposal_authors){ 0 };
	w->cap_authors = 0;
	w->conflicts = NULL;
	w->n_conflicts = w->cap_conflicts = 0;
	w->are_more = false;
}

static void note_author(struct gate_walk *w, struct str author)
{
	if (author.n == 0)
		return;
	for (size_t i = 0; i < w->authors.n; i++)
		if (str_eq(w->authors.texts[i], author))
			return;
	if (w->authors.n == PROPOSAL_AUTHORS_MAX) {
		w->authors.are_more = true;
		return;
	}
	w->authors.texts = arena_grow(w->arena, w->authors.texts,
				      &w->cap_authors, w->authors.n + 1,
				      sizeof(*w->authors.texts));
	w->authors.texts[w->authors.n++] = arena_str(w->arena, author);
}

/* Operations on one configuration stand together, or it is named again. */
static void note_name(struct gate_walk *w, struct str name, uint8_t actions)
{
	struct proposal_config *last = w->n_configs ?
		&w->configs[w->n_configs - 1] : NULL;

	if (last && str_eq(last->name, name)) {
		last->actions |= actions;
		return;
	}
	if (w->n_configs == PROPOSAL_CONFIGS_MAX)
		return;
	w->configs = arena_grow(w->arena, w->configs, &w->cap_configs,
				w->n_configs + 1, sizeof(*w->configs));
	w->configs[w->n_configs++] = (struct proposal_config){
		arena_str(w->arena, name), actions };
}

/* What goes along has locks that no operation names: so they are found again. */
static void mark_along(struct apply *a)
{
	struct gate_walk *w = &a->gate->walk;
	AUTO_BUF key = BUF_NONE;

	if (w->n_along == 0)
		return;
	key_lock(&key, buf_view(&a->gate->of), KIND_PROPOSAL, buf_view(&w->name),
		 buf_view(&w->name));
	ap_put(a, KV_LOCKS, buf_view(&key), LOCK_ONLY);
}

void walk_start(struct apply *a, enum gate_walk_for what)
{
	struct gate *g = a->gate;
	struct gate_walk *w = &g->walk;

	reset(w, what);
	if (what != WALK_PUT) {
		w->ops = g->start;
		buf_str(&w->tenant, buf_view(&g->of));
		buf_printf(&w->name, "p-%012llu",
			   (unsigned long long)a->head->rev + 1);
	}
	/* Who planned what another executes authored it too. */
	if (what != WALK_PUT && g->mode == GATE_PLAN)
		note_author(w, buf_view(&g->planner));
	if (what == WALK_PROPOSE) {
		w->along = rd_of(buf_view(&g->along));
		w->n_along = g->n_along;
		mark_along(a);
	}
	w->start = w->ops;
	planned_begin(w->digest, what == WALK_PUT ? &w->inner : a->cmd);
	a->step = APPLY_WALK;
}

struct sha256 walk_digest(struct apply *a)
{
	return sha256_end(a->gate->walk.digest);
}

/* ---- one operation ---- */

static void note_conflict(struct gate_walk *w, struct str name)
{
	for (size_t i = 0; i < w->n_conflicts; i++)
		if (str_eq(w->conflicts[i], name))
			return;
	if (w->n_conflicts == CONFLICTS_MAX) {
		w->are_more = true;
		return;
	}
	w->conflicts = arena_grow(w->arena, w->conflicts, &w->cap_conflicts,
				  w->n_conflicts + 1, sizeof(*w->conflicts));
	w->conflicts[w->n_conflicts++] = arena_str(w->arena, name);
}

/* Locks of proposals that have ended are there until time removes them. */
static void find_conflicts(struct apply *a, const struct op *op)
{
	struct gate_walk *w = &a->gate->walk;
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	bool on;

	key_lock(&prefix, op->tenant, KIND_CONFIG, op->name, STR_NONE);
	for (on = kv_seek(a->txn, KV_LOCKS, buf_view(&prefix), &c);
	     on && str_starts(c.key, buf_view(&prefix)); on = kv_next(&c)) {
		struct str name = str_from(c.key, prefix.n);

		a->units--;
		if (!str_eq(name, buf_view(&w->name)) &&
		    proposal_is_there(a, op->tenant, name))
			note_conflict(w, name);
	}
	kv_cursor_close(&c);
}

static uint8_t action_bit(struct apply *a, const struct op *op)
{
	uint8_t publish = op_brings_new(a->txn, a->arena, op, 0) ?
				  BIT(GATE_PUBLISH) : 0;

	switch (op->type) {
	case OP_OBJECT_DELETE:
		return BIT(GATE_DELETE);
	case OP_VERSION_ADD:
		return BIT(GATE_PUBLISH);
	case OP_RULES_SET:
		return BIT(GATE_RULES) | publish;
	case OP_ROLLBACK:
		return BIT(GATE_ROLLBACK) | publish;
	default:
		return BIT(GATE_WRITE);
	}
}

struct str lock_tenant(const struct op *op)
{
	return op->tenant.n ? op->tenant : op->name;
}

/* Of what is no configuration only that it moves is of interest. */
static void put_lock(struct apply *a, const struct op *op)
{
	bool has_base = planned_has_base(op), is_there;
	AUTO_BUF key = BUF_NONE;
	struct str val = STR_NONE;

	if (!has_base && op->kind != KIND_CONFIG)
		return;
	key_lock(&key, lock_tenant(op), op->kind, op->name,
		 buf_view(&a->gate->walk.name));
	is_there = kv_get(a->txn, KV_LOCKS, buf_view(&key), &val);
	if (!is_there || (has_base && !val.n))
		ap_put(a, KV_LOCKS, buf_view(&key),
		       has_base ? LOCK_OF_BASE : LOCK_ONLY);
	if (is_there || op->kind != KIND_CONFIG)
		return;
	/* It counts once, however often it is named. */
	find_conflicts(a, op);
	a->gate->walk.count++;
}

static void note_config(struct apply *a, const struct op *op)
{
	note_name(&a->gate->walk, op->name, action_bit(a, op));
}

/* What goes with a source is what the proposal is about, and is named like it. */
struct owned_names {
	struct arena *arena;
	struct str *v;
	size_t n, cap;
};

static bool take_name(void *data, struct str name, const struct object_row *row)
{
	struct owned_names *o = data;

	(void)row;
	o->v = arena_grow(o->arena, o->v, &o->cap, o->n + 1, sizeof(*o->v));
	o->v[o->n++] = arena_str(o->arena, name);
	return true;
}

static enum code start_owned(struct apply *a, const struct op *op, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct object_row row;
	struct str val;

	key_object(&key, op->tenant, KIND_SOURCE, op->name);
	val = ap_get(a, KV_OBJECTS, buf_view(&key));
	if (!val.p)
		return OK;
	if (!object_row_decode(val, &row))
		return err_set(err, E_CORRUPT, "an object row is malformed");
	if (source_prunes(row.spec))
		owned_start(&a->gate->walk.owned, op->tenant, op->name);
	return OK;
}

/* As many as there may be operations: each has a lock. */
static enum code owned_fits(const struct gate_walk *w, struct err *err)
{
	if (w->n_owned + w->start.n <= PLAN_OPS_MAX)
		return OK;
	err_set(err, E_TOO_LARGE, "source %.*s prunes, and owns too much: what waits "
		"for approval or its time changes at most %d configurations",
		STR_ARG(buf_view(&w->owned.source)), PLAN_OPS_MAX);
	return err_hint(err, "remove files from it first, in parts; or set "
			"spec.prune to false, and it leaves what it owns");
}

static enum code walk_owned(struct apply *a, struct err *err)
{
	struct gate_walk *w = &a->gate->walk;
	struct owned_names names = { .arena = a->arena };
	struct op one = { .type = OP_OBJECT_DELETE, .kind = KIND_CONFIG,
			  .tenant = buf_view(&w->owned.tenant) };
	enum code rc;

	arena_reset(a->arena);
	rc = owned_next(a, &w->owned, take_name, &names, err);
	w->n_owned += names.n;
	if (rc == OK)
		rc = owned_fits(w, err);
	for (size_t i = 0; i < names.n && rc == OK; i++) {
		one.name = names.v[i];
		put_lock(a, &one);
		note_config(a, &one);
		a->units--;
	}
	return rc;
}

/* What goes along is asked about as well: it is named, behind the rest, and the approval
 * is of what it is now. */
static void walk_along(struct apply *a)
{
	struct gate_walk *w = &a->gate->walk;
	struct op one = { .type = OP_VERSION_ADD, .kind = KIND_CONFIG,
			  .tenant = buf_view(&w->tenant), .name = rd_str(&w->along) };

	w->n_along--;
	put_lock(a, &one);
	note_name(w, one.name, BIT(GATE_PUBLISH));
}

static enum code walk_op(struct apply *a, const struct op *op, struct err *err)
{
	struct gate_walk *w = &a->gate->walk;
	struct str tenant = buf_view(&w->tenant);
	uint64_t base = planned_base(a->txn, op);
	enum code rc = planned_check(op, &tenant, err);

	if (rc)
		return rc;
	if (w->tenant.n == 0)
		buf_str(&w->tenant, tenant);
	planned_add(w->digest, op, base);
	wr_var(&w->bases, base);
	if (op->type == OP_VERSION_ADD) {
		rc = blob_take(a, op, err);
		w->content += op->size;
		note_author(w, op->author);
	}
	if (rc || w->what == WALK_PUT)
		return rc;
	put_lock(a, op);
	if (op->kind == KIND_CONFIG)
		note_config(a, op);
	return is_source_delete(op) ? start_owned(a, op, err) : OK;
}

static enum code walk_next(struct apply *a, struct err *err)
{
	struct op op;
	enum code rc;

	arena_reset(a->arena);
	rc = command_next(a->arena, &a->gate->walk.ops, &op, err);
	return rc ? rc : walk_op(a, &op, err);
}

static bool is_left(const struct gate_walk *w)
{
	return w->owned.is_on || w->ops.next < w->ops.n || w->n_along;
}

enum code walk_go_on(struct apply *a, bool *more, struct err *err)
{
	struct gate_walk *w = &a->gate->walk;
	const struct command *outer = a->cmd;
	enum code rc = OK;

	if (w->what == WALK_PUT)
		a->cmd = &w->inner;
	while (rc == OK && a->units > 0 && is_left(w)) {
		a->units--;
		if (w->owned.is_on)
			rc = walk_owned(a, err);
		else if (w->ops.next < w->ops.n)
			rc = walk_next(a, err);
		else
			walk_along(a);
	}
	a->cmd = outer;
	*more = rc == OK && is_left(w);
	return rc;
}

/* ---- keeping what was walked over ---- */

static struct str encoded_of(const struct apply *a)
{
	const struct gate *g = a->gate;

	if (g->walk.what == WALK_PUT)
		return g->walk.encoded;
	return g->mode == GATE_PLAN ? buf_view(&g->body) : a->bytes;
}

static enum code put_body(struct apply *a, const struct sha256 *digest,
			  struct plan_row *row, struct err *err)
{
	struct gate_walk *w = &a->gate->walk;
	struct plan_body body = { .bases = buf_view(&w->bases) };
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;
	AUTO_BUF bare = BUF_NONE;
	enum code rc;

	if (!command_strip(&bare, encoded_of(a)))
		return err_set(err, E_INVALID, "a plan is made of operations");
	rc = planned_fits(bare.n, w->start.n, err);
	if (rc)
		return rc;
	body.command = buf_view(&bare);
	plan_body_encode(&val, &body);
	key_plan_body(&key, buf_view(&w->tenant), digest);
	ap_put(a, KV_PLANS, buf_view(&key), buf_view(&val));
	row->ops = w->start.n;
	row->bytes = val.n + w->content;
	a->units -= (int)(val.n / (16 * 1024));
	return OK;
}

/* ---- what no proposal names is bounded ---- */

struct plan_count {
	uint64_t n, bytes;
};

static struct plan_count count_of(struct apply *a, struct str tenant,
				  struct str subject)
{
	AUTO_BUF key = BUF_NONE;
	struct rd rd;

	key_planner(&key, tenant, subject);
	rd = rd_of(ap_get(a, KV_META, buf_view(&key)));
	return (struct plan_count){ rd_u64(&rd), rd_u64(&rd) };
}

static void put_count(struct apply *a, struct str tenant, struct str subject,
		      struct plan_count is)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;

	key_planner(&key, tenant, subject);
	wr_u64(&val, is.n);
	wr_u64(&val, is.bytes);
	if (is.n)
		ap_put(a, KV_META, buf_view(&key), buf_view(&val));
	else
		ap_del(a, KV_META, buf_view(&key));
}

static void count_plan(struct apply *a, struct str tenant,
		       const struct plan_row *row, int sign)
{
	uint64_t bytes = sign > 0 ? row->bytes : -row->bytes;
	struct plan_count his = count_of(a, tenant, row->subject);

	ap_set_count(a, tenant, COUNT_PLANS,
		     ap_count(a, tenant, COUNT_PLANS) + (uint64_t)(int64_t)sign);
	ap_set_count(a, tenant, COUNT_PLAN_BYTES,
		     ap_count(a, tenant, COUNT_PLAN_BYTES) + bytes);
	his.n += (uint64_t)(int64_t)sign;
	his.bytes += bytes;
	put_count(a, tenant, row->subject, his);
}

/* A row remembers a proposal that was cleared, and one that is gone may stand in it: what
 * is planned anew then is kept for nobody but who planned it. */
bool plan_is_free(struct apply *a, struct str tenant, const struct plan_row *row)
{
	struct proposal_row p;

	return row->ops && (!row->proposal.n ||
			    proposal_load(a, tenant, row->proposal, &p, NULL) ||
			    p.is_cleared);
}

void plan_uncount(struct apply *a, struct str tenant, const struct plan_row *row)
{
	count_plan(a, tenant, row, -1);
}

static enum code no_room(struct str who, struct plan_count is, uint64_t n,
			 uint64_t bytes, struct err *err)
{
	err_set(err, E_QUOTA, "%.*s keeps %llu plans of %llu bytes with their "
		"contents, at most %llu of %llu are kept", STR_ARG(who),
		(unsigned long long)is.n, (unsigned long long)is.bytes,
		(unsigned long long)n, (unsigned long long)bytes);
	return err_hint(err, "each goes a day after it was made; what a proposal "
			"names does not count");
}

/* May there be one more? */
static enum code check_room(struct apply *a, struct str tenant,
			    const struct plan_row *row, struct err *err)
{
	struct plan_count all = { ap_count(a, tenant, COUNT_PLANS),
				  ap_count(a, tenant, COUNT_PLAN_BYTES) };
	struct plan_count his = count_of(a, tenant, row->subject);

	if (his.n >= PLANS_SUBJECT_MAX ||
	    his.bytes + row->bytes > PLANS_SUBJECT_BYTES_MAX)
		return no_room(row->subject, his, PLANS_SUBJECT_MAX,
			       PLANS_SUBJECT_BYTES_MAX, err);
	if (all.n >= PLANS_MAX || all.bytes + row->bytes > PLANS_BYTES_MAX)
		return no_room(arena_printf(a->arena, "tenant %.*s", STR_ARG(tenant)),
			       all, PLANS_MAX, PLANS_BYTES_MAX, err);
	return OK;
}

enum code walk_keep(struct apply *a, struct str proposal,
		    const struct sha256 *digest, struct err *err)
{
	struct str tenant = buf_view(&a->gate->walk.tenant);
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;
	struct plan_row row = { 0 };
	struct str before;
	bool is_new, was_free;
	enum code rc = OK;

	key_plan(&key, tenant, digest);
	before = ap_get(a, KV_PLANS, buf_view(&key));
	if (before.p && !plan_row_decode(before, &row))
		return err_set(err, E_CORRUPT, "a plan row is malformed");
	if (row.is_going)
		return err_set(err, E_BUSY, "the same plan is being removed; try "
			       "again in a few seconds");
	was_free = proposal.n && plan_is_free(a, tenant, &row);
	is_new = row.ops == 0;
	if (is_new)
		rc = put_body(a, digest, &row, err);
	if (rc)
		return rc;
	if (is_new)
		row.subject = a->cmd->subject.name;
	if (was_free)
		plan_uncount(a, tenant, &row);
	if (is_new && !proposal.n) {
		rc = check_room(a, tenant, &row, err);
		if (rc)
			return rc;
		count_plan(a, tenant, &row, 1);
	}
	row.holds++;
	if (proposal.n)
		row.proposal = proposal;
	if (!row.created_ms)
		row.created_ms = a->head->time_ms;
	row.expires_ms = a->head->time_ms + PLAN_KEPT_MS;
	plan_row_encode(&val, &row);
	ap_put(a, KV_PLANS, buf_view(&key), buf_view(&val));
	if (!proposal.n)
		due_put(a, row.expires_ms, DUE_PLAN, tenant,
			str_n(digest->b, sizeof(digest->b)));
	return kv_status(a->txn, err);
}

enum code plan_load(struct apply *a, struct str tenant,
		    const struct sha256 *digest, struct plan_row *out,
		    struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	key_plan(&key, tenant, digest);
	val = ap_get(a, KV_PLANS, buf_view(&key));
	if (!val.p) {
		char hex[65];

		sha256_hex(hex, digest);
		err_set(err, E_NOT_FOUND, "plan %.12s of tenant %.*s not found",
			hex, STR_ARG(tenant));
		return err_hint(err, "a plan is kept for a day: plan it anew");
	}
	if (!plan_row_decode(arena_str(a->keep, val), out))
		return err_set(err, E_CORRUPT, "a plan row is malformed");
	return OK;
}
