/* Views of the gate: see view_gate.h. */
#include "state/view_gate.h"

#include <limits.h>

#include "doc/format.h"
#include "state/gate.h"

#include "base/banned.h"

static enum code damaged(struct err *err, const char *what)
{
	err_set(err, E_CORRUPT, "%s is malformed", what);
	return err_hint(err, "the store is rebuilt from checkpoint and log at the "
			     "next start");
}

/* ---- proposals ---- */

enum code view_proposal(struct kv_txn *txn, struct arena *arena,
			struct str tenant, struct str name,
			struct proposal_row *out, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	key_proposal(&key, tenant, name);
	if (key.n > KV_KEY_MAX || !kv_get(txn, KV_PROPOSALS, buf_view(&key), &val))
		return err_set(err, E_NOT_FOUND, "releaseproposals." API_GROUP
			       " \"%.*s\" not found", STR_ARG(name));
	return proposal_row_decode(arena, val, out) ? OK :
						      damaged(err, "a proposal row");
}

enum code view_proposals(struct kv_txn *txn, struct arena *arena,
			 struct str tenant, struct str after,
			 view_each_proposal *each, void *data, struct err *err)
{
	AUTO_BUF from = BUF_NONE;
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	enum code rc = OK;
	bool on;

	if (tenant.n)
		key_proposal(&prefix, tenant, STR_NONE);
	buf_str(&from, buf_view(&prefix));
	buf_str(&from, after);
	if (after.n)
		buf_c(&from, '\0');
	for (on = kv_seek(txn, KV_PROPOSALS, buf_view(&from), &c);
	     on && rc == OK && str_starts(c.key, buf_view(&prefix));
	     on = on && kv_next(&c)) {
		struct str name = c.key, of = str_cut(&name, '\0');
		struct proposal_row row;

		if (!proposal_row_decode(arena, c.val, &row))
			rc = damaged(err, "a proposal row");
		else
			on = each(data, of, name, &row);
	}
	kv_cursor_close(&c);
	return rc;
}

enum code view_proposal_heads(struct kv_txn *txn, struct str tenant,
			      view_each_head *each, void *data, struct err *err)
{
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	enum code rc = OK;
	bool on;

	if (tenant.n)
		key_proposal(&prefix, tenant, STR_NONE);
	for (on = kv_seek(txn, KV_PROPOSALS, buf_view(&prefix), &c);
	     on && rc == OK && str_starts(c.key, buf_view(&prefix));
	     on = on && kv_next(&c)) {
		struct str name = c.key, of = str_cut(&name, '\0');
		enum proposal_review review;
		enum proposal_phase phase;

		if (!proposal_row_head(c.val, &phase, &review))
			rc = damaged(err, "a proposal row");
		else
			on = each(data, of, name, phase, review);
	}
	kv_cursor_close(&c);
	return rc;
}

static bool is_open(struct kv_txn *txn, struct arena *arena, struct str tenant,
		    struct str name)
{
	struct proposal_row row;

	return view_proposal(txn, arena, tenant, name, &row, NULL) == OK &&
	       proposal_is_open(row.phase);
}

bool view_lock(struct kv_txn *txn, struct arena *arena, struct str tenant,
	       struct str config, struct str *proposal)
{
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	bool found = false, on;

	key_lock(&prefix, tenant, KIND_CONFIG, config, STR_NONE);
	if (prefix.n > KV_KEY_MAX)
		return false;
	for (on = kv_seek(txn, KV_LOCKS, buf_view(&prefix), &c);
	     on && !found && str_starts(c.key, buf_view(&prefix));
	     on = !found && kv_next(&c)) {
		*proposal = arena_str(arena, str_from(c.key, prefix.n));
		found = is_open(txn, arena, tenant, *proposal);
	}
	kv_cursor_close(&c);
	return found;
}

void view_approved(struct kv_txn *txn, view_each_approved *each, void *data)
{
	struct kv_cursor c;
	bool on = kv_seek(txn, KV_META, KEY_APPROVED, &c);

	while (on && str_starts(c.key, KEY_APPROVED)) {
		struct str name = str_from(c.key, KEY_APPROVED.n);
		struct str tenant = str_cut(&name, '\0');
		struct rd rd = rd_of(c.val);

		on = each(data, tenant, name, rd_u64(&rd)) && kv_next(&c);
	}
	kv_cursor_close(&c);
}

enum code view_plan(struct kv_txn *txn, struct str tenant,
		    const struct sha256 *digest, struct plan_row *row,
		    struct plan_body *body, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	char hex[65];
	struct str val;

	key_plan(&key, tenant, digest);
	if (kv_get(txn, KV_PLANS, buf_view(&key), &val)) {
		if (!plan_row_decode(val, row))
			return damaged(err, "a plan row");
		if (!body)
			return OK;
		buf_reset(&key);
		key_plan_body(&key, tenant, digest);
		if (kv_get(txn, KV_PLANS, buf_view(&key), &val))
			return plan_body_decode(val, body) ? OK :
				damaged(err, "the body of a plan");
	}
	sha256_hex(hex, digest);
	err_set(err, E_NOT_FOUND, "plan %.12s of tenant %.*s not found", hex,
		STR_ARG(tenant));
	return err_hint(err, "a plan is kept for a day: plan it anew");
}

/* ---- what goes with a source ---- */

bool source_prunes(struct str spec)
{
	AUTO_ARENA arena = arena_new(0);
	struct value *v = NULL;

	return doc_parse_json(spec, arena, NULL, &v, NULL) == OK &&
	       value_to_bool(value_getz(v, "prune"), false);
}

/* "source:acme/shop" */
static bool is_owner(struct str ref, struct str tenant, struct str source)
{
	struct str prefix = STR("source:");

	if (!str_starts(ref, prefix))
		return false;
	ref = str_from(ref, prefix.n);
	return str_starts(ref, tenant) && ref.n > tenant.n &&
	       ref.p[tenant.n] == '/' &&
	       str_eq(str_from(ref, tenant.n + 1), source);
}

enum code view_owned_part(struct kv_txn *txn, struct str tenant, struct str source,
			  struct buf *after, unsigned rows, bool *more,
			  view_each_owned *each, void *data, struct err *err)
{
	AUTO_BUF prefix = BUF_NONE;
	AUTO_BUF from = BUF_NONE;
	struct kv_cursor c;
	enum code rc = OK;
	bool on, wants = true;

	key_objects(&prefix, tenant, KIND_CONFIG);
	buf_str(&from, buf_view(&prefix));
	buf_str(&from, buf_view(after));
	if (after->n)
		buf_c(&from, '\0');
	on = kv_seek(txn, KV_OBJECTS, buf_view(&from), &c) &&
	     str_starts(c.key, buf_view(&prefix));
	for (; on && wants && rows > 0 && rc == OK; rows--) {
		struct str name = str_from(c.key, prefix.n);
		struct object_row row;

		if (!object_row_decode(c.val, &row))
			rc = damaged(err, "an object row");
		else if (row.manager == MANAGER_GIT &&
			 is_owner(row.manager_ref, tenant, source))
			wants = each(data, name, &row);
		if (rows == 1) {
			buf_reset(after);
			buf_str(after, name);
		}
		on = kv_next(&c) && str_starts(c.key, buf_view(&prefix));
	}
	*more = on && wants;
	kv_cursor_close(&c);
	return rc;
}

enum code view_owned(struct kv_txn *txn, struct str tenant, struct str source,
		     view_each_owned *each, void *data, struct err *err)
{
	AUTO_BUF after = BUF_NONE;
	bool more;

	return view_owned_part(txn, tenant, source, &after, UINT_MAX, &more, each,
			       data, err);
}

/* ---- what the gate would say ---- */

struct looking {
	struct arena *arena;
	const struct gate_touch *touches;
	size_t n;
	const struct subject *who;
	uint64_t now_ms;
	struct gate_answer *out;
	size_t cap_policies, cap_windows;
	bool lets, refuses;              /* the glass be broken */
};

static bool may_match_labels(const struct selector *select, struct str labels,
			     const struct address *at)
{
	AUTO_ARENA scratch = arena_new(0);
	struct labels l;
	bool is_known = labels_parse(scratch, labels, &l);

	return selector_may_match(select, is_known ? &l : NULL, at);
}

/* Labels are parsed where all depends on them: touches are many, and so are policies. */
static bool may_match(const struct selector *select, struct str labels,
		      const struct address *at)
{
	return labels.n && selector_may_match(select, NULL, at) &&
	       (select->labels.n == 0 || may_match_labels(select, labels, at));
}

static void look_at_policy(struct looking *l, const struct object_view *o)
{
	struct gate_found_policy p = { .name = o->name, .rev = o->row.rev };
	bool selects = false, wants = false, wants_along = false, lets;

	approval_read(l->arena, o->row.spec, &p.is);
	/* What wants it selects as well: there is nothing more to find. */
	for (size_t i = 0; i < l->n && !wants; i++) {
		const struct gate_touch *t = &l->touches[i];
		bool was = may_match(&p.is.select, t->labels_before, &t->at);
		bool is = may_match(&p.is.select, t->labels_after, &t->at);

		if (t->is_along) {
			wants_along |= t->anew && gate_policy_wants(&p.is, t->action,
								    false, was, is);
			continue;
		}
		selects |= was || is;
		wants |= gate_policy_wants(&p.is, t->action, t->formatting_only,
					   was, is);
	}
	lets = selects && l->who &&
	       people_have(&p.is.glass, l->who->name, l->who->groups);
	l->lets |= lets;
	l->refuses |= wants && !lets;
	if (!wants && !wants_along)
		return;
	l->out->policies = arena_grow(l->arena, l->out->policies,
				      &l->cap_policies, l->out->n_policies + 1,
				      sizeof(*l->out->policies));
	l->out->policies[l->out->n_policies++] = p;
}

static void look_at_window(struct looking *l, const struct object_view *o)
{
	struct gate_found_window w = { .name = o->name };
	bool holds = false;

	window_read(l->arena, o->row.spec, o->row.status, &w.is);
	if (!(w.is.blocks & WINDOW_PUBLISH) ||
	    !window_is_shut(&w.is, l->now_ms, &w.until_ms))
		return;
	for (size_t i = 0; i < l->n && !holds; i++) {
		const struct gate_touch *t = &l->touches[i];

		holds = t->action != GATE_ROLLBACK &&
			(may_match(&w.is.select, t->labels_before, &t->at) ||
			 may_match(&w.is.select, t->labels_after, &t->at));
	}
	if (!holds)
		return;
	l->out->windows = arena_grow(l->arena, l->out->windows, &l->cap_windows,
				     l->out->n_windows + 1,
				     sizeof(*l->out->windows));
	l->out->windows[l->out->n_windows++] = w;
}

static bool look(void *data, const struct object_view *o)
{
	if (o->kind == KIND_APPROVAL_POLICY)
		look_at_policy(data, o);
	else
		look_at_window(data, o);
	return true;
}

/* The greatest priority first; they come by name. */
static void sort(struct gate_found_policy *p, size_t n)
{
	for (size_t i = 1; i < n; i++)
		for (size_t k = i; k && p[k].is.priority > p[k - 1].is.priority;
		     k--) {
			struct gate_found_policy one = p[k];

			p[k] = p[k - 1];
			p[k - 1] = one;
		}
}

enum code view_gate(struct kv_txn *txn, struct arena *arena, struct str tenant,
		    const struct gate_touch *touches, size_t n,
		    const struct subject *who, uint64_t now_ms,
		    struct gate_answer *out, struct err *err)
{
	struct looking l = { .arena = arena, .touches = touches, .n = n,
			     .who = who, .now_ms = now_ms, .out = out };
	enum code rc = OK;

	*out = (struct gate_answer){ 0 };
	if (tenant.n && view_count(txn, tenant, COUNT_POLICIES)) {
		rc = view_list(txn, KIND_APPROVAL_POLICY, tenant, STR_NONE,
			       STR_NONE, look, &l, err);
		if (rc == OK)
			rc = view_list(txn, KIND_FREEZE_WINDOW, tenant, STR_NONE,
				       STR_NONE, look, &l, err);
	}
	sort(out->policies, out->n_policies);
	out->may_break_glass = l.lets && !l.refuses;
	return rc;
}
