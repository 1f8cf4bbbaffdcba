/*
 * The gate's look at a command: see gate.h.  Which policies and windows its changes
 * meet is noted while they happen, against what the tenant's policies said before.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "state/gate_own.h"
#include "state/thing.h"
#include "state/way_back.h"

#include "base/banned.h"

struct gate *gate_new(void)
{
	struct gate *g = NEW(struct gate);

	g->arena = arena_new(4096);
	g->walk.arena = arena_new(4096);
	g->walk.digest = sha256_new();
	return g;
}

void gate_free(struct gate **gp)
{
	struct gate *g = TAKE(*gp);

	if (!g)
		return;
	arena_free(&g->arena);
	arena_free(&g->walk.arena);
	sha256_ctx_free(&g->walk.digest);
	buf_fini(&g->walk.bases);
	buf_fini(&g->walk.tenant);
	buf_fini(&g->walk.name);
	owned_fini(&g->walk.owned);
	owned_fini(&g->owned);
	buf_fini(&g->tenant);
	buf_fini(&g->of);
	buf_fini(&g->body);
	buf_fini(&g->bases_of);
	buf_fini(&g->planner);
	buf_fini(&g->proposal);
	buf_fini(&g->along);
	buf_fini(&g->failed_action);
	buf_fini(&g->failed_object);
	moved_fini(g);
	free(g);
}

void gate_forget(struct apply *a)
{
	a->gate->is_known = a->gate->is_loaded = false;
	a->gate->is_stale = false;
}

void gate_refresh(struct apply *a)
{
	if (a->gate->is_stale)
		gate_forget(a);
}

/* ---- what a tenant has ---- */

static void know(struct apply *a, struct str tenant)
{
	struct gate *g = a->gate;

	if (g->is_known && str_eq(buf_view(&g->tenant), tenant))
		return;
	buf_reset(&g->tenant);
	buf_str(&g->tenant, tenant);
	g->is_known = true;
	g->is_loaded = false;
	g->is_there = a->head->version >= VERSION_GATE &&
		      ap_count(a, tenant, COUNT_POLICIES) > 0;
}

bool gate_is_there(struct apply *a, struct str tenant)
{
	know(a, tenant);
	return a->gate->is_there;
}

static bool is_policy(enum kind_id kind)
{
	return kind == KIND_RELEASE_POLICY || kind == KIND_APPROVAL_POLICY ||
	       kind == KIND_FREEZE_WINDOW || kind == KIND_WEBHOOK;
}

/* The greatest priority first, then by name. */
static bool goes_before(const struct gate_policy *a, const struct gate_policy *b)
{
	if (a->is.priority != b->is.priority)
		return a->is.priority > b->is.priority;
	return str_cmp(a->name, b->name) < 0;
}

static int by_priority(const void *x, const void *y)
{
	const struct gate_policy *a = x, *b = y;

	return goes_before(a, b) ? -1 : goes_before(b, a);
}

static void read_policy(struct gate *g, size_t *cap, struct str name,
			const struct object_row *row)
{
	struct gate_policy *p;

	g->policies = arena_grow(g->arena, g->policies, cap, g->n_policies + 1,
				 sizeof(*g->policies));
	p = &g->policies[g->n_policies++];
	*p = (struct gate_policy){ .name = arena_str(g->arena, name),
				   .rev = row->rev };
	approval_read(g->arena, row->spec, &p->is);
}

static void read_window(struct gate *g, size_t *cap, struct str name,
			const struct object_row *row)
{
	struct gate_window *w;

	g->windows = arena_grow(g->arena, g->windows, cap, g->n_windows + 1,
				sizeof(*g->windows));
	w = &g->windows[g->n_windows++];
	*w = (struct gate_window){ .name = arena_str(g->arena, name) };
	window_read(g->arena, row->spec, row->status, &w->is);
}

/* What the rows say is copied: they do not outlast the next write. */
static enum code load_kind(struct apply *a, struct str tenant, enum kind_id kind,
			   struct err *err)
{
	struct gate *g = a->gate;
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	size_t cap = 0;
	enum code rc = OK;
	bool on;

	key_objects(&prefix, tenant, kind);
	for (on = kv_seek(a->txn, KV_OBJECTS, buf_view(&prefix), &c);
	     on && rc == OK && str_starts(c.key, buf_view(&prefix));
	     on = kv_next(&c)) {
		struct object_row row;
		struct str name = str_from(c.key, prefix.n);

		if (!object_row_decode(arena_str(g->arena, c.val), &row))
			rc = err_set(err, E_CORRUPT, "an object row is malformed");
		else if (kind == KIND_APPROVAL_POLICY)
			read_policy(g, &cap, name, &row);
		else
			read_window(g, &cap, name, &row);
		a->units--;
	}
	kv_cursor_close(&c);
	return rc;
}

enum code gate_load(struct apply *a, struct str tenant, struct err *err)
{
	struct gate *g = a->gate;
	enum code rc;

	know(a, tenant);
	if (g->is_loaded)
		return OK;
	arena_reset(g->arena);
	g->policies = NULL;
	g->windows = NULL;
	g->n_policies = g->n_windows = 0;
	if (!g->is_there)
		return OK;
	rc = load_kind(a, tenant, KIND_APPROVAL_POLICY, err);
	if (rc == OK)
		rc = load_kind(a, tenant, KIND_FREEZE_WINDOW, err);
	if (g->n_policies > 1)
		qsort(g->policies, g->n_policies, sizeof(*g->policies), by_priority);
	g->is_loaded = rc == OK;
	return rc;
}

/* ---- one operation ---- */

static bool is_gated(const struct op *op)
{
	if (op->kind != KIND_CONFIG)
		return is_source_delete(op);
	return op->type == OP_OBJECT_PUT || op->type == OP_OBJECT_DELETE ||
	       (op->type == OP_VERSION_ADD && op->release) ||
	       op->type == OP_RULES_SET || op->type == OP_ROLLBACK;
}

static enum code check_kind(struct apply *a, const struct op *op,
			    struct err *err)
{
	bool writes = op->type == OP_OBJECT_PUT || op->type == OP_OBJECT_STATUS ||
		      op->type == OP_OBJECT_DELETE;

	if (!writes)
		return OK;
	if (op->kind >= KIND_RELEASE_POLICY &&
	    a->head->version < VERSION_GATE) {
		err_set(err, E_NOT_YET, "this kind is there from cluster version %d "
			"on, and this cluster is at %llu", VERSION_GATE,
			(unsigned long long)a->head->version);
		return err_hint(err, VERSION_HINT);
	}
	if (op->kind == KIND_PROPOSAL) {
		err_set(err, E_DENIED, "proposals are made by the system");
		return err_hint(err, "approve, reject or cancel it");
	}
	return OK;
}

/* What a plan was computed from is still so, but for what this plan did itself. */
static enum code check_base(struct apply *a, const struct op *op,
			    struct err *err)
{
	struct gate *g = a->gate;
	uint64_t base, now;

	if (g->mode != GATE_PLAN && g->mode != GATE_PROPOSAL)
		return OK;
	if (!planned_next_base(&g->bases, &base))
		return err_set(err, E_CORRUPT, "the body of a plan is malformed");
	now = planned_base(a->txn, op);
	if (now == base || now > a->before.rev)
		return OK;
	err_set(err, E_CONFLICT, "%.*s moved from revision %llu to %llu since "
		"this was planned", STR_ARG(op->name), (unsigned long long)base,
		(unsigned long long)now);
	return err_hint(err, "plan it anew");
}

void gate_failed(struct apply *a, const struct op *op, const char *action)
{
	const struct kind *kind = kind_by_id(op->kind);
	struct gate *g = a->gate;

	g->failed_at = FAILED_OPERATION;
	buf_reset(&g->failed_action);
	buf_z(&g->failed_action, action);
	buf_reset(&g->failed_object);
	if (kind)
		buf_printf(&g->failed_object, "%.*s ", STR_ARG(kind->singular));
	buf_str(&g->failed_object, op->name);
}

void gate_expects(struct apply *a, struct op *op)
{
	struct gate *g = a->gate;
	AUTO_THING t = { 0 };
	uint64_t base;

	if ((g->mode != GATE_PLAN && g->mode != GATE_PROPOSAL) ||
	    op->kind != KIND_CONFIG || op->expect == REV_ANY ||
	    op->expect == REV_NONE ||
	    thing_load(a, &t, op->tenant, op->kind, op->name, NULL) || !t.val.p)
		return;
	base = MAX(t.row.rev, t.live.base_rev);
	if (op->expect >= base && op->expect <= thing_rev(&t))
		op->expect = thing_rev(&t);
}

enum code gate_before(struct apply *a, const struct op *op, struct err *err)
{
	struct gate *g = a->gate;
	AUTO_BUF key = BUF_NONE;
	struct str val;
	enum code rc = check_kind(a, op, err);

	g->is_watched = false;
	if (rc == OK)
		rc = check_base(a, op, err);
	if (rc || !(is_gated(op) || is_policy(op->kind)) ||
	    a->cmd->subject.role == ROLE_SYSTEM || !gate_is_there(a, op->tenant))
		return rc;
	if (g->is_noted && !str_eq(buf_view(&g->of), op->tenant)) {
		err_set(err, E_INVALID, "a command that passes a gate is of one "
			"tenant, this one of %s and %.*s", g->of.p,
			STR_ARG(op->tenant));
		return err_hint(err, "make one of each");
	}
	rc = gate_load(a, op->tenant, err);
	if (rc || !is_gated(op))
		return rc;
	key_object(&key, op->tenant, op->kind, op->name);
	val = ap_get(a, KV_OBJECTS, buf_view(&key));
	g->has_before = val.p != NULL;
	if (val.p && !object_row_decode(val, &g->before))
		return err_set(err, E_CORRUPT, "an object row is malformed");
	g->is_watched = !is_source_delete(op) ||
			(g->has_before && source_prunes(g->before.spec));
	g->is_new = op_brings_new(a->txn, a->arena, op, a->added_version);
	return OK;
}

/* Only of what the gate looks at. */
static bool action_of(const struct gate *g, const struct op *op,
		      enum gate_action *out)
{
	switch (op->type) {
	case OP_OBJECT_PUT:
		*out = GATE_WRITE;
		return !g->has_before || !str_eq(g->before.spec, op->spec) ||
		       !str_eq(g->before.labels, op->labels) ||
		       !str_eq(g->before.format, op->format);
	case OP_OBJECT_DELETE:
		*out = GATE_DELETE;
		return true;
	case OP_VERSION_ADD:
		*out = GATE_PUBLISH;
		return true;
	case OP_RULES_SET:
		*out = GATE_RULES;
		return true;
	default:
		*out = GATE_ROLLBACK;
		return true;
	}
}

/* Labels as a policy sees them; more than it could match are as if all matched. */
struct seen {
	bool is_there, is_anything;
	struct labels labels;
};

static struct seen see(struct arena *arena, struct str json, bool is_there)
{
	struct seen s = { .is_there = is_there };

	if (is_there)
		s.is_anything = !labels_parse(arena, json, &s.labels);
	return s;
}

static bool selects(const struct selector *sel, const struct seen *s,
		    const struct address *at)
{
	return s->is_there &&
	       selector_may_match(sel, s->is_anything ? NULL : &s->labels, at);
}

bool gate_policy_wants(const struct approval *p, enum gate_action action,
		       bool formatting_only, bool before, bool after)
{
	if (!before && !after)
		return false;
	/* Who relabels something out of a policy needs its approval. */
	if (action == GATE_WRITE && before && !after)
		return true;
	return (p->actions & BIT(action)) &&
	       (!formatting_only || p->formatting_only);
}

static void note_tenant(struct gate *g, struct str tenant)
{
	if (!g->is_noted) {
		buf_reset(&g->of);
		buf_str(&g->of, tenant);
	}
	g->is_noted = true;
}

static void match_policies(struct gate *g, const struct op *op,
			   enum gate_action action, const struct address *at,
			   const struct seen *before, const struct seen *after)
{
	for (size_t i = 0; i < g->n_policies; i++) {
		struct gate_policy *p = &g->policies[i];
		bool was, is;

		if (p->wants)
			continue;
		was = selects(&p->is.select, before, at);
		is = selects(&p->is.select, after, at);
		p->selects |= was || is;
		p->wants = gate_policy_wants(&p->is, action,
					     op->type == OP_VERSION_ADD &&
						     op->formatting_only,
					     was, is);
	}
}

/* 'along': its name, where no operation names it. */
static void match_windows(struct apply *a, struct str along,
			  const struct address *at, const struct seen *before,
			  const struct seen *after)
{
	struct gate *g = a->gate;

	for (size_t i = 0; i < g->n_windows; i++) {
		struct gate_window *w = &g->windows[i];

		if (w->holds || !(w->is.blocks & WINDOW_PUBLISH))
			continue;
		w->holds = (selects(&w->is.select, before, at) ||
			    selects(&w->is.select, after, at)) &&
			   window_is_shut(&w->is, a->head->time_ms, NULL);
		if (w->holds && along.n)
			w->along = arena_str(g->arena, along);
	}
}

static void match(struct apply *a, const struct op *op, enum gate_action action,
		  const struct address *at, const struct seen *before,
		  const struct seen *after)
{
	struct gate *g = a->gate;

	note_tenant(g, op->tenant);
	match_policies(g, op, action, at, before, after);
	if (action != GATE_ROLLBACK)
		match_windows(a, STR_NONE, at, before, after);
	a->units -= (int)((g->n_policies + g->n_windows) / MATCHES_A_UNIT);
}

/* The sum of what its tenant has, where that changed. */
static void count_policies(struct apply *a, const struct op *op)
{
	static const enum kind_id kinds[] = {
		KIND_RELEASE_POLICY, KIND_APPROVAL_POLICY, KIND_FREEZE_WINDOW,
		KIND_WEBHOOK };
	uint64_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		n += ap_count(a, op->tenant, kinds[i]);
	ap_set_count(a, op->tenant, COUNT_POLICIES, n);
	a->gate->is_stale = true;
	a->gate_changes++;
	a->window_changes++;
}

/* A source goes, and what it owns with it, one after another. */
struct pruning {
	struct apply *a;
	const struct op *op;
	struct arena *one;
};

static bool match_owned(void *data, struct str name, const struct object_row *row)
{
	struct pruning *p = data;
	struct address at = { p->op->tenant, row->application, row->environment,
			      row->config_name };
	struct seen before, gone = { 0 };

	(void)name;
	arena_reset(p->one);
	before = see(p->one, row->labels, true);
	match(p->a, p->op, GATE_DELETE, &at, &before, &gone);
	return true;
}

bool gate_has_more(const struct apply *a)
{
	return a->gate->owned.is_on;
}

enum code gate_go_on(struct apply *a, struct err *err)
{
	AUTO_ARENA one = arena_new(0);
	struct gate *g = a->gate;
	struct op op = { .type = OP_OBJECT_DELETE, .kind = KIND_SOURCE,
			 .tenant = buf_view(&g->owned.tenant) };
	struct pruning p = { a, &op, one };

	return owned_next(a, &g->owned, match_owned, &p, err);
}

enum code gate_after(struct apply *a, const struct op *op, struct err *err)
{
	struct gate *g = a->gate;
	struct address at = { op->tenant, g->before.application,
			      g->before.environment, g->before.config_name };
	struct seen before, after;
	enum gate_action action;
	bool is_put = op->type == OP_OBJECT_PUT;

	g->has_changed = true;
	if (a->cmd->not_before_ms && !g->of.n)
		buf_str(&g->of, op->tenant);
	if (is_policy(op->kind) &&
	    (is_put || op->type == OP_OBJECT_DELETE ||
	     op->type == OP_OBJECT_STATUS))
		count_policies(a, op);
	if (g->is_watched && is_source_delete(op)) {
		owned_start(&g->owned, op->tenant, op->name);
		return OK;
	}
	if (!g->is_watched || !action_of(g, op, &action))
		return OK;
	if (is_put)
		at = (struct address){ op->tenant, op->application,
				       op->environment, op->config_name };
	before = see(a->arena, g->before.labels, g->has_before);
	after = see(a->arena, is_put ? op->labels : g->before.labels,
		    op->type != OP_OBJECT_DELETE);
	match(a, op, action, &at, &before, &after);
	/* Whatever it is called: what nobody got so far goes out by it. */
	if (g->is_new)
		match(a, op, GATE_PUBLISH, &at, &before, &after);
	return OK;
}

static void note_along(struct gate *g, struct str config,
		       const struct address *at, const struct seen *seen)
{
	for (size_t i = 0; i < g->n_policies; i++) {
		struct gate_policy *p = &g->policies[i];

		p->wants_along |= gate_policy_wants(&p->is, GATE_PUBLISH, false, false,
						    selects(&p->is.select, seen, at));
	}
	g->n_along++;
	wr_str(&g->along, config);
}

enum code gate_along(struct apply *a, struct str tenant, struct str config, bool anew,
		     struct err *err)
{
	struct gate *g = a->gate;
	AUTO_BUF key = BUF_NONE;
	struct object_row row;
	struct address at;
	struct seen seen;
	struct str val;
	enum code rc;

	if (a->cmd->subject.role == ROLE_SYSTEM || !gate_is_there(a, tenant))
		return OK;
	rc = gate_load(a, tenant, err);
	if (rc)
		return rc;
	key_object(&key, tenant, KIND_CONFIG, config);
	val = ap_get(a, KV_OBJECTS, buf_view(&key));
	if (!val.p || !object_row_decode(val, &row))
		return err_set(err, E_CORRUPT, "an object row is malformed");
	at = (struct address){ tenant, row.application, row.environment,
			       row.config_name };
	seen = see(a->arena, row.labels, true);
	note_tenant(g, tenant);
	match_windows(a, config, &at, &seen, &seen);
	if (anew)
		note_along(g, config, &at, &seen);
	a->units -= 1 + (int)((g->n_policies + g->n_windows) / MATCHES_A_UNIT);
	return OK;
}

/* ---- the command ---- */

void gate_start(struct apply *a)
{
	struct gate *g = a->gate;

	gate_refresh(a);
	g->mode = GATE_COMMAND;
	g->failed_at = FAILED_TOGETHER;
	g->is_noted = g->is_watched = g->has_changed = false;
	g->owned.is_on = false;
	buf_reset(&g->of);
	buf_reset(&g->along);
	g->n_along = 0;
	g->start = a->ops;
	moved_start(a);
	for (size_t i = 0; i < g->n_policies && g->is_loaded; i++)
		g->policies[i].selects = g->policies[i].wants =
			g->policies[i].wants_along = false;
	for (size_t i = 0; i < g->n_windows && g->is_loaded; i++) {
		g->windows[i].holds = false;
		g->windows[i].along = STR_NONE;
	}
}

struct gate_answer_flags gate_found(const struct gate *g)
{
	struct gate_answer_flags f = { 0 };

	for (size_t i = 0; i < g->n_policies; i++) {
		f.names |= g->policies[i].wants;
		f.wants |= g->policies[i].wants || g->policies[i].wants_along;
	}
	for (size_t i = 0; i < g->n_windows; i++) {
		f.names |= g->windows[i].holds && !g->windows[i].along.n;
		f.holds |= g->windows[i].holds;
	}
	return f;
}

enum code gate_frozen_by(const struct window *w, struct str name, uint64_t now_ms,
			 struct err *err)
{
	char text[RFC3339_MAX];
	uint64_t until;

	window_is_shut(w, now_ms, &until);
	clock_rfc3339(text, until, false);
	err_set(err, E_FROZEN, "freeze window %.*s of %.*s is open%s%s: %.*s",
		STR_ARG(name), STR_ARG(w->owner),
		until == UINT64_MAX ? "" : " until ",
		until == UINT64_MAX ? "" : text,
		(int)MIN(w->reason.n, (size_t)200), w->reason.p);
	if (until == UINT64_MAX)
		return err_hint(err, "nobody has computed when it opens: it is "
				"malformed, or its time zone is unknown");
	return err_hint(err, "wait for its end, or ask %.*s",
			(int)MIN(w->owner.n, (size_t)100), w->owner.p);
}

enum code gate_frozen(struct apply *a, struct err *err)
{
	struct gate *g = a->gate;

	for (size_t i = 0; i < g->n_windows; i++) {
		const struct gate_window *w = &g->windows[i];
		enum code rc;

		if (!w->holds)
			continue;
		rc = gate_frozen_by(&w->is, w->name, a->head->time_ms, err);
		if (w->along.n)
			err_wrap(err, "%.*s goes out with it", STR_ARG(w->along));
		return rc;
	}
	return OK;
}

/* All policies that want approval, and one at least, let him. */
static enum code check_glass(struct apply *a, struct err *err)
{
	const struct subject *who = &a->cmd->subject;
	struct gate *g = a->gate;
	bool may = false;

	if (a->cmd->reason.n == 0) {
		err_set(err, E_INVALID, "who breaks the glass says why");
		return err_hint(err, "give a reason");
	}
	for (size_t i = 0; i < g->n_policies; i++) {
		struct gate_policy *p = &g->policies[i];
		bool lets = p->selects &&
			    people_have(&p->is.glass, who->name, who->groups);

		may |= lets;
		if (!p->wants || lets)
			continue;
		err_set(err, E_DENIED, "policy %.*s does not let %.*s break the "
			"glass", STR_ARG(p->name), STR_ARG(who->name));
		return err_hint(err, "spec.breakGlass of the policy names who may");
	}
	if (may)
		return OK;
	return err_set(err, E_DENIED, "no approval policy lets %.*s break the glass "
		       "here", STR_ARG(who->name));
}

/* What was to wait for a time, and would change something, waits whether somebody is
 * to agree or not. */
static bool is_later(const struct apply *a)
{
	const struct gate *g = a->gate;

	return a->cmd->not_before_ms > a->head->time_ms && g->has_changed &&
	       (g->mode == GATE_COMMAND || g->mode == GATE_PLAN);
}

static enum code check_later(struct apply *a, struct err *err)
{
	struct gate *g = a->gate;

	if (a->head->version < VERSION_GATE) {
		err_set(err, E_NOT_YET, "commands wait for their time from cluster "
			"version %d on, and this cluster is at %llu", VERSION_GATE,
			(unsigned long long)a->head->version);
		return err_hint(err, VERSION_HINT);
	}
	if (g->of.n == 0)
		return err_set(err, E_INVALID, "what waits for its time is of a "
			       "tenant, and this is of none");
	if (a->cmd->not_before_ms - a->head->time_ms > NOT_BEFORE_MOST_MS) {
		err_set(err, E_INVALID, "it is to wait for more than %llu days",
			NOT_BEFORE_MOST_MS / (24 * 3600000));
		return err_hint(err, "ask for it when its time is nearer");
	}
	if (a->cmd->flags & COMMAND_BREAK_GLASS) {
		err_set(err, E_INVALID, "behind a broken glass nothing waits");
		return err_hint(err, "one of the two: break the glass, or name a "
				"time");
	}
	/* Where no policy was met what is known may be of another tenant. */
	return gate_load(a, buf_view(&g->of), err);
}

enum code gate_judge(struct apply *a, enum gate_verdict *out, struct err *err)
{
	struct gate *g = a->gate;
	struct gate_answer_flags f;
	bool later = is_later(a);
	enum code rc = later ? check_later(a, err) : OK;

	*out = GATE_GO;
	if (rc || g->mode == GATE_GLASS || !(g->is_noted || later))
		return rc;
	f = gate_found(g);
	if (!f.wants && !f.holds && !later)
		return OK;
	/* For what is named: of the rest nothing goes along then. */
	if ((a->cmd->flags & COMMAND_BREAK_GLASS) && f.names) {
		rc = check_glass(a, err);
		*out = GATE_BREAK;
		return rc;
	}
	if (g->mode == GATE_PROPOSAL && f.wants && g->nobody_agreed) {
		g->failed_at = FAILED_UNASKED;
		err_set(err, E_CONFLICT, "a policy that came since asks for an "
			"approval, and nobody was asked for one");
		return err_hint(err, "propose it again");
	}
	if (g->mode == GATE_PROPOSAL)
		return f.holds ? gate_frozen(a, err) : OK;
	if (!f.wants && !later)
		return gate_frozen(a, err);
	*out = GATE_PROPOSE;
	return OK;
}

/* ---- steps of releases ---- */

enum code gate_window_check(struct apply *a, struct str tenant, struct str config,
			    unsigned what, struct err *err)
{
	struct gate *g = a->gate;
	AUTO_BUF key = BUF_NONE;
	struct object_row row;
	struct address at;
	struct seen seen;
	struct str val;
	enum code rc;

	if (!gate_is_there(a, tenant))
		return OK;
	rc = gate_load(a, tenant, err);
	if (rc)
		return rc;
	key_object(&key, tenant, KIND_CONFIG, config);
	val = ap_get(a, KV_OBJECTS, buf_view(&key));
	if (!val.p || !object_row_decode(val, &row))
		return OK;
	at = (struct address){ tenant, row.application, row.environment,
			       row.config_name };
	seen = see(a->arena, row.labels, true);
	for (size_t i = 0; i < g->n_windows; i++) {
		const struct window *w = &g->windows[i].is;

		if ((w->blocks & what) && selects(&w->select, &seen, &at) &&
		    window_is_shut(w, a->head->time_ms, NULL))
			return gate_frozen_by(w, g->windows[i].name,
					      a->head->time_ms, err);
	}
	return OK;
}
