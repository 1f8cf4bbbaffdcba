/*
 * What time does to proposals and plans, and what is left of a tenant that went: see
 * due.h.  What was kept for one goes in slices; how far that is stands in the row.
 */
#include "state/gate_own.h"

#include "base/banned.h"

#define SLICE 1000
/* What an object that goes costs, with its event. */
#define REMOVED_UNITS 8u
/* Locks that are looked at for one of these. */
#define LOCKS_A_PART 64

static void key_due(struct buf *out, uint64_t time_ms, enum due_what what,
		    struct str tenant, struct str name)
{
	wr_u64_be(out, time_ms);
	wr_u8(out, (uint8_t)what);
	buf_str(out, tenant);
	buf_c(out, '\0');
	buf_str(out, name);
}

void due_put(struct apply *a, uint64_t time_ms, enum due_what what,
	     struct str tenant, struct str name)
{
	AUTO_BUF key = BUF_NONE;

	key_due(&key, time_ms, what, tenant, name);
	ap_put(a, KV_DUE, buf_view(&key), STR(""));
}

void due_del(struct apply *a, uint64_t time_ms, enum due_what what,
	     struct str tenant, struct str name)
{
	AUTO_BUF key = BUF_NONE;

	key_due(&key, time_ms, what, tenant, name);
	ap_del(a, KV_DUE, buf_view(&key));
}

bool due_first(struct kv_txn *txn, uint64_t *time_ms)
{
	struct kv_cursor c;
	bool found = kv_seek(txn, KV_DUE, STR_NONE, &c);
	struct rd rd = rd_of(found ? c.key : STR_NONE);

	if (found)
		*time_ms = rd_u64_be(&rd);
	kv_cursor_close(&c);
	return found;
}

/* ---- letting go of a plan ---- */

/* One row of DUE that is under way. */
struct clearing {
	struct str key, tenant, name;
	struct sha256 digest;
	struct str proposal;             /* whose locks go; empty: none's */
	bool lets_go;                    /* of the contents, too */
	uint64_t at, next;               /* byte of the operations, and number */
	struct str lock;                 /* of a source's deletion: looked at last */
	struct plan_row plan;
};

static void forget_plan(struct apply *a, const struct clearing *c,
			bool is_remembered)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF body = BUF_NONE;
	AUTO_BUF val = BUF_NONE;
	struct plan_row row = { .proposal = c->plan.proposal,
				.subject = c->plan.subject,
				.created_ms = c->plan.created_ms };

	key_plan(&key, c->tenant, &c->digest);
	key_plan_body(&body, c->tenant, &c->digest);
	ap_del(a, KV_PLANS, buf_view(&body));
	if (plan_is_free(a, c->tenant, &c->plan))
		plan_uncount(a, c->tenant, &c->plan);
	plan_row_encode(&val, &row);
	if (is_remembered)
		ap_put(a, KV_PLANS, buf_view(&key), buf_view(&val));
	else
		ap_del(a, KV_PLANS, buf_view(&key));
}

static void begin_going(struct apply *a, struct clearing *c)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;

	if (c->plan.is_going)
		return;
	c->plan.is_going = true;
	key_plan(&key, c->tenant, &c->digest);
	plan_row_encode(&val, &c->plan);
	ap_put(a, KV_PLANS, buf_view(&key), buf_view(&val));
}

/* What a source owned when its deletion was proposed it may not own any more. */
static bool starts_with_tenant(struct str key, struct str tenant)
{
	return key.n > tenant.n && str_starts(key, tenant) &&
	       key.p[tenant.n] == '\0';
}

/* The locks of the proposal among the next rows, into 'arena'; answers whether there are
 * more rows behind these. */
static bool find_locks(struct apply *a, struct clearing *c, struct arena *arena,
		       struct str **keys, size_t *n)
{
	AUTO_BUF end = BUF_NONE;
	AUTO_BUF from = BUF_NONE;
	unsigned rows = LOCKS_A_PART;
	struct kv_cursor cur;
	size_t cap = 0;
	bool on;

	buf_str(&from, c->tenant);
	buf_c(&from, '\0');
	if (c->lock.n) {
		buf_reset(&from);
		buf_str(&from, c->lock);
		buf_c(&from, '\0');
	}
	buf_c(&end, '\0');
	buf_str(&end, c->proposal);
	for (on = kv_seek(a->txn, KV_LOCKS, buf_view(&from), &cur);
	     on && starts_with_tenant(cur.key, c->tenant) && rows > 0;
	     on = kv_next(&cur), rows--) {
		if (rows == 1)
			c->lock = arena_str(a->arena, cur.key);
		if (!str_ends(cur.key, buf_view(&end)))
			continue;
		*keys = arena_grow(arena, *keys, &cap, *n + 1, sizeof(**keys));
		(*keys)[(*n)++] = arena_str(arena, cur.key);
	}
	kv_cursor_close(&cur);
	return rows == 0;
}

/* True: none of them is left. */
static bool clear_all_locks(struct apply *a, struct clearing *c, unsigned *left)
{
	bool more = true;

	while (more && *left) {
		AUTO_ARENA arena = arena_new(0);
		struct str *keys = NULL;
		size_t n = 0;

		more = find_locks(a, c, arena, &keys, &n);
		for (size_t i = 0; i < n; i++)
			ap_del(a, KV_LOCKS, keys[i]);
		*left -= MIN(*left, 1 + (unsigned)n);
	}
	if (!more)
		c->lock = STR_NONE;
	return !more;
}

/* Those that no operation names: of what went along (gate_walk.c). */
static bool clear_along(struct apply *a, struct clearing *c, unsigned *left)
{
	AUTO_BUF key = BUF_NONE;

	key_lock(&key, c->tenant, KIND_PROPOSAL, c->proposal, c->proposal);
	return (!c->lock.n && !kv_get(a->txn, KV_LOCKS, buf_view(&key), NULL)) ||
	       clear_all_locks(a, c, left);
}

/* False: it is not done. */
static bool clear_op(struct apply *a, struct clearing *c, struct arena *one,
		     const struct op *op, unsigned *left)
{
	struct arena *of_tick = a->arena;
	AUTO_BUF key = BUF_NONE;

	if (c->proposal.n) {
		key_lock(&key, lock_tenant(op), op->kind, op->name, c->proposal);
		ap_del(a, KV_LOCKS, buf_view(&key));
		if (is_source_delete(op) && !clear_all_locks(a, c, left))
			return false;
	}
	/* Copies what is stored with the reference. */
	a->arena = one;
	if (c->lets_go && op->type == OP_VERSION_ADD)
		blob_ref(a, op->tenant, &op->sha, -(int)c->plan.holds);
	a->arena = of_tick;
	return true;
}

/* At most '*left' operations; true: all are done.  A body that cannot be read holds
 * nothing that could be let go. */
static bool clear_ops(struct apply *a, struct clearing *c, unsigned *left)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_ARENA one = arena_new(0);
	AUTO_BUF key = BUF_NONE;
	struct plan_body body;
	struct op_reader ops;
	struct command cmd;
	struct str val;
	size_t all;

	key_plan_body(&key, c->tenant, &c->digest);
	if (!kv_get(a->txn, KV_PLANS, buf_view(&key), &val))
		return true;
	/* The row is not written meanwhile, but others are: a copy. */
	val = arena_str(arena, val);
	if (!plan_body_decode(val, &body) ||
	    command_open(arena, body.command, &cmd, &ops, NULL))
		return true;
	all = rd_left(&ops.rd);
	rd_raw(&ops.rd, MIN(c->at, all));
	ops.next = c->next;
	while (ops.next < ops.n && *left) {
		struct op_reader here = ops;
		struct op op;

		arena_reset(one);
		if (command_next(one, &ops, &op, NULL))
			return true;
		if (!clear_op(a, c, one, &op, left)) {
			ops = here;
			break;
		}
		*left -= MIN(*left, 1u);
	}
	c->at = all - rd_left(&ops.rd);
	c->next = ops.next;
	return ops.next >= ops.n;
}

static void put_place(struct apply *a, const struct clearing *c)
{
	AUTO_BUF val = BUF_NONE;

	wr_var(&val, c->at);
	wr_var(&val, c->next);
	wr_str(&val, c->lock);
	ap_put(a, KV_DUE, c->key, buf_view(&val));
}

/* Another proposal names the plan by now, or somebody planned the same: later. */
static bool is_wanted(struct apply *a, const struct clearing *c)
{
	return !c->plan.is_going && c->plan.expires_ms > a->head->time_ms;
}

/* A source is not to bring it again: that is known as long as its proposal is. */
static bool was_refused(const struct proposal_row *row)
{
	return row->role == ROLE_SOURCE &&
	       (row->phase == PROPOSAL_REJECTED ||
		row->phase == PROPOSAL_CANCELLED ||
		row->phase == PROPOSAL_EXPIRED);
}

static void clear_plan(struct apply *a, struct clearing *c, unsigned *left)
{
	struct proposal_row row;

	memcpy(c->digest.b, c->name.p, MIN(c->name.n, sizeof(c->digest.b)));
	if (plan_load(a, c->tenant, &c->digest, &c->plan, NULL) ||
	    !plan_is_free(a, c->tenant, &c->plan) || is_wanted(a, c)) {
		ap_del(a, KV_DUE, c->key);
		return;
	}
	c->lets_go = true;
	begin_going(a, c);
	if (!clear_ops(a, c, left)) {
		put_place(a, c);
		return;
	}
	forget_plan(a, c, c->plan.proposal.n &&
			  proposal_load(a, c->tenant, c->plan.proposal, &row, NULL) == OK &&
			  was_refused(&row));
	ap_del(a, KV_DUE, c->key);
}

static void mark_cleared(struct apply *a, const struct clearing *c,
			 struct proposal_row *row)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;

	row->is_cleared = true;
	key_proposal(&key, c->tenant, c->name);
	proposal_row_encode(&val, row);
	ap_put(a, KV_PROPOSALS, buf_view(&key), buf_view(&val));
	proposal_index_cleared(a, c->tenant, c->name, row);
	ap_del(a, KV_DUE, c->key);
}

static void clear_proposal(struct apply *a, struct clearing *c, unsigned *left)
{
	struct proposal_row row;
	bool has_plan, is_its;

	if (proposal_load(a, c->tenant, c->name, &row, NULL)) {
		ap_del(a, KV_DUE, c->key);
		return;
	}
	c->digest = row.digest;
	has_plan = plan_load(a, c->tenant, &row.digest, &c->plan, NULL) == OK;
	is_its = has_plan && str_eq(c->plan.proposal, c->name);
	if (is_its && is_wanted(a, c)) {
		ap_del(a, KV_DUE, c->key);
		due_put(a, c->plan.expires_ms, DUE_CLEAR, c->tenant, c->name);
		return;
	}
	c->proposal = c->name;
	c->lets_go = is_its;
	if (is_its)
		begin_going(a, c);
	if ((has_plan && !clear_ops(a, c, left)) || !clear_along(a, c, left)) {
		put_place(a, c);
		return;
	}
	if (is_its)
		forget_plan(a, c, was_refused(&row));
	mark_cleared(a, c, &row);
}

/* ---- a tenant goes ---- */

static void key_leaving(struct buf *out, struct str tenant)
{
	buf_z(out, "leaving/");
	buf_str(out, tenant);
}

bool tenant_is_leaving(struct apply *a, struct str tenant)
{
	AUTO_BUF key = BUF_NONE;

	key_leaving(&key, tenant);
	return tenant.n <= 63 && kv_get(a->txn, KV_META, buf_view(&key), NULL);
}

static struct str first_below(struct apply *a, enum kv_table table,
			      struct str prefix)
{
	struct str key = STR_NONE;
	struct kv_cursor c;

	if (kv_seek(a->txn, table, prefix, &c) && str_starts(c.key, prefix))
		key = arena_str(a->keep, c.key);
	kv_cursor_close(&c);
	return key;
}

enum code tenant_check_stays(struct apply *a, struct str tenant, struct err *err)
{
	if (!tenant.n || !tenant_is_leaving(a, tenant))
		return OK;
	return err_set(err, E_NOT_FOUND, "namespaces \"%.*s\" not found",
		       STR_ARG(tenant));
}

bool due_remove_below(struct apply *a, enum kv_table table, struct str prefix,
		      unsigned *left)
{
	struct str key;

	while ((key = first_below(a, table, prefix)).n) {
		if (!*left)
			return false;
		ap_del(a, table, key);
		--*left;
	}
	return true;
}

/* 'is_first': within the deletion.  What a tick has begun to let go it goes on with, and
 * before this: its row of DUE is of before. */
static bool remove_plans(struct apply *a, struct clearing *c, struct str prefix,
			 bool is_first, unsigned *left)
{
	struct str key;

	while ((key = first_below(a, KV_PLANS, prefix)).n) {
		if (!*left)
			return false;
		memcpy(c->digest.b, key.p + prefix.n,
		       MIN(key.n - prefix.n, sizeof(c->digest.b)));
		--*left;
		if (plan_load(a, c->tenant, &c->digest, &c->plan, NULL)) {
			ap_del(a, KV_PLANS, key);
			continue;
		}
		if (is_first && c->plan.is_going && c->at == 0)
			return false;
		begin_going(a, c);
		if (!clear_ops(a, c, left))
			return false;
		forget_plan(a, c, false);
		c->at = c->next = 0;
	}
	return true;
}

static bool remove_proposals(struct apply *a, struct str tenant, struct str prefix,
			     unsigned *left)
{
	struct str key;

	while ((key = first_below(a, KV_PROPOSALS, prefix)).n) {
		struct str name = str_from(key, prefix.n);
		struct proposal_row row;

		if (!*left)
			return false;
		if (proposal_load(a, tenant, name, &row, NULL))
			row = (struct proposal_row){ 0 };
		proposal_remove(a, tenant, name, &row);
		*left -= MIN(*left, REMOVED_UNITS);
	}
	return true;
}

/* As much as '*left' lets; true: nothing is there any more. */
static bool leave_on(struct apply *a, struct clearing *c, bool is_first,
		     unsigned *left)
{
	AUTO_BUF prefix = BUF_NONE;
	AUTO_BUF approved = BUF_NONE;

	buf_str(&prefix, c->tenant);
	buf_c(&prefix, '\0');
	buf_str(&approved, KEY_APPROVED);
	buf_str(&approved, buf_view(&prefix));
	c->lets_go = true;
	a->gate_changes++;
	return due_remove_below(a, KV_META, buf_view(&approved), left) &&
	       remove_plans(a, c, buf_view(&prefix), is_first, left) &&
	       remove_proposals(a, c->tenant, buf_view(&prefix), left) &&
	       due_remove_below(a, KV_LOCKS, buf_view(&prefix), left) &&
	       release_remove_some(a, c->tenant, left);
}

static void leave(struct apply *a, struct clearing *c, unsigned *left)
{
	AUTO_BUF key = BUF_NONE;

	if (!leave_on(a, c, false, left)) {
		put_place(a, c);
		return;
	}
	key_leaving(&key, c->tenant);
	ap_del(a, KV_META, buf_view(&key));
	ap_del(a, KV_DUE, c->key);
}

void tenant_leave(struct apply *a, struct str tenant)
{
	/* Before there was a gate all went at once. */
	bool is_sliced = a->head->version >= VERSION_GATE;
	unsigned left = is_sliced ? SLICE : UINT32_MAX;
	struct clearing c = { .tenant = tenant };
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF mark = BUF_NONE;

	key_due(&key, a->head->time_ms, DUE_TENANT, tenant, STR_NONE);
	c.key = buf_view(&key);
	if (!leave_on(a, &c, true, &left)) {
		key_leaving(&mark, tenant);
		ap_put(a, KV_META, buf_view(&mark), STR(""));
		put_place(a, &c);
	}
	if (is_sliced)
		a->units -= (int)(SLICE - left);
	gate_forget(a);
}

/* ---- a tick ---- */

static bool read_first(struct apply *a, struct clearing *c, enum due_what *what)
{
	struct kv_cursor cur;
	struct rd rd, place;
	bool found = kv_seek(a->txn, KV_DUE, STR_NONE, &cur);
	struct str rest;

	*c = (struct clearing){ 0 };
	if (found) {
		c->key = arena_str(a->keep, cur.key);
		place = rd_of(arena_str(a->keep, cur.val));
	}
	kv_cursor_close(&cur);
	if (!found)
		return false;
	rd = rd_of(c->key);
	if (rd_u64_be(&rd) > a->head->time_ms)
		return false;
	*what = rd_u8(&rd);
	rest = str_n(rd.p, rd_left(&rd));
	c->tenant = str_cut(&rest, '\0');
	c->name = rest;
	c->at = rd_var(&place);
	c->next = rd_var(&place);
	c->lock = rd_str(&place);
	return true;
}

void due_tick(struct apply *a)
{
	unsigned left = SLICE;
	enum due_what what;
	struct clearing c;

	while (left > 0 && read_first(a, &c, &what)) {
		int before = a->units;

		left--;
		arena_reset(a->arena);
		if (what == DUE_CLEAR) {
			clear_proposal(a, &c, &left);
		} else if (what == DUE_PLAN) {
			clear_plan(a, &c, &left);
		} else if (what == DUE_TENANT) {
			leave(a, &c, &left);
		} else {
			if (what == DUE_EXPIRE)
				proposal_expire(a, c.tenant, c.name);
			ap_del(a, KV_DUE, c.key);
			/* Each webhook that is told costs as much. */
			left -= MIN(left, (unsigned)(before - a->units));
		}
	}
}
