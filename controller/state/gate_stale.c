/*
 * What a command moves under proposals that wait (gate.h, gate_moved).  It gets past
 * their locks where no policy wants approval of it: a way back, a broken glass, a release
 * that ends, a policy that is no more.  An approval was of exactly one plan, computed
 * from exactly what there was; so it ends with that, at once and in the same entry, and
 * not when somebody comes to execute it.
 *
 * Found while the operations run, by their events, and written behind all of them, so
 * that the revisions of a command stay one an operation, and a command that is taken
 * back leaves nothing.
 */
#include "base/map.h"
#include "state/gate_own.h"

#include "base/banned.h"

/* Of ending one, beside its webhooks: a row, an object, an event. */
#define UNITS_A_PROPOSAL 8

void moved_fini(struct gate *g)
{
	map_free(&g->seen);
	buf_fini(&g->locks_of);
}

void gate_unmoved(struct apply *a)
{
	struct gate *g = a->gate;

	g->moved = NULL;
	g->n_moved = g->cap_moved = g->next_moved = 0;
	map_free(&g->seen);
}

void moved_start(struct apply *a)
{
	gate_unmoved(a);
	a->gate->knows_locks = false;
}

/* ---- while the operations run ---- */

/* Locks are placed by no operation, so it stays so while they run. */
static bool has_locks(struct apply *a, struct str tenant)
{
	struct gate *g = a->gate;
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;

	if (g->knows_locks && str_eq(buf_view(&g->locks_of), tenant))
		return g->has_locks;
	buf_reset(&g->locks_of);
	buf_str(&g->locks_of, tenant);
	buf_str(&prefix, tenant);
	buf_c(&prefix, '\0');
	g->has_locks = kv_seek(a->txn, KV_LOCKS, buf_view(&prefix), &c) &&
		       str_starts(c.key, buf_view(&prefix));
	kv_cursor_close(&c);
	g->knows_locks = true;
	return g->has_locks;
}

/* The one that this very command is of. */
static bool is_its_own(const struct gate *g, struct str tenant, struct str name)
{
	return (g->mode == GATE_PROPOSAL || g->mode == GATE_GLASS) &&
	       str_eq(buf_view(&g->of), tenant) &&
	       str_eq(buf_view(&g->proposal), name);
}

static void note(struct apply *a, const struct gate_moved *m)
{
	struct gate *g = a->gate;
	AUTO_BUF key = BUF_NONE;

	key_proposal(&key, m->tenant, m->proposal);
	if (!g->seen)
		g->seen = map_new();
	if (map_put(g->seen, buf_view(&key), g))
		return;
	g->moved = arena_grow(a->keep, g->moved, &g->cap_moved, g->n_moved + 1,
			      sizeof(*g->moved));
	g->moved[g->n_moved++] = (struct gate_moved){
		.tenant = arena_str(a->keep, m->tenant),
		.proposal = arena_str(a->keep, m->proposal), .kind = m->kind,
		.object = arena_str(a->keep, m->object), .rev = m->rev };
}

/* A step of a release: it is what it was judged as (struct live_row). */
static bool is_step(uint64_t rev, const struct event_row *e)
{
	struct live_row live;

	return e->kind == KIND_CONFIG && e->type == EVENT_MODIFIED &&
	       live_row_decode(e->live, &live) && live.rev == rev &&
	       live.base_rev != rev;
}

void gate_moved(struct apply *a, uint64_t rev, const struct event_row *e)
{
	struct gate_moved m = { .tenant = e->tenant.n ? e->tenant : e->name,
				.kind = e->kind, .object = e->name, .rev = rev };
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	bool on;

	if (a->own.type != COMMAND_OPS || a->head->version < VERSION_GATE ||
	    e->kind == KIND_PROPOSAL || e->kind == KIND_RELEASE ||
	    !has_locks(a, m.tenant) || is_step(rev, e))
		return;
	key_lock(&prefix, m.tenant, e->kind, e->name, STR_NONE);
	for (on = kv_seek(a->txn, KV_LOCKS, buf_view(&prefix), &c);
	     on && str_starts(c.key, buf_view(&prefix)); on = kv_next(&c)) {
		m.proposal = str_from(c.key, prefix.n);
		a->units--;
		if (str_eq(c.val, LOCK_OF_BASE) &&
		    !is_its_own(a->gate, m.tenant, m.proposal) &&
		    proposal_is_there(a, m.tenant, m.proposal))
			note(a, &m);
	}
	kv_cursor_close(&c);
}

/* ---- behind them ---- */

/* "shop.prod.db.toml moved to revision 42: rollback by ann" */
static struct str why(struct apply *a, const struct gate_moved *m)
{
	const struct kind *kind = kind_by_id(m->kind);
	struct str noun = kind && m->kind != KIND_CONFIG ? kind->singular : STR_NONE;

	return arena_printf(a->keep, "%.*s%s%.*s moved to revision %llu: %s by %.*s",
			    STR_ARG(noun), noun.n ? " " : "", STR_ARG(m->object),
			    (unsigned long long)m->rev, a->action,
			    STR_ARG(a->cmd->subject.name));
}

static void end_one(struct apply *a, const struct gate_moved *m)
{
	struct proposal_row row;

	/* Nothing of a tenant outlasts it. */
	if (proposal_load(a, m->tenant, m->proposal, &row, NULL) ||
	    !proposal_is_open(row.phase))
		return;
	proposal_move(a, m->tenant, m->proposal, &row, PROPOSAL_STALE,
		      a->cmd->subject.name, why(a, m));
	ap_target(a, "end", KIND_PROPOSAL, m->tenant, m->proposal);
}

bool gate_settle(struct apply *a)
{
	struct gate *g = a->gate;

	while (g->next_moved < g->n_moved) {
		if (a->units <= 0)
			return false;
		a->units -= UNITS_A_PROPOSAL;
		arena_reset(a->arena);
		end_one(a, &g->moved[g->next_moved++]);
	}
	return true;
}
