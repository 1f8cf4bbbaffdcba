/*
 * Moves of releases (OP_RELEASE_MOVE), and holds that are lifted (OP_HOLD_LIFT).  A move
 * says which step it expects, so of two that mean the same step one happens.  See
 * rollout.h.
 */
#include "state/gate.h"
#include "state/rollout_own.h"
#include "state/view_rollout.h"

#include "base/map.h"

#include "base/banned.h"

/* What one move works on. */
struct moving {
	struct apply *a;
	const struct op *op;
	struct arena *arena;
	struct rollout_row row;
	struct strategy s;
	enum rollout_phase next;
	struct map *taken;               /* names of what it completes */
};

static enum code wrong_phase(const struct moving *m, struct err *err)
{
	return err_set(err, E_PHASE, "release %.*s is %s, in step %u of %zu: %s is not "
		       "possible", STR_ARG(m->op->name),
		       rollout_phase_name(m->row.phase), m->row.step + 1,
		       m->s.n_steps, move_action(m->op->move));
}

static enum code check_step(const struct moving *m, struct err *err)
{
	if (m->op->step == STEP_ANY || m->op->step == m->row.step)
		return OK;
	return err_set(err, E_CONFLICT, "release %.*s is in step %u, the move was "
		       "meant for step %u", STR_ARG(m->op->name), m->row.step + 1,
		       m->op->step + 1);
}

/* ---- on ---- */

/* What is recorded of a step's conditions; nobody could have met them before it
 * began, whatever the leader says. */
static enum code note_baked(struct moving *m, struct err *err)
{
	struct rollout_row *row = &m->row;
	uint64_t now = m->a->head->time_ms;
	bool is_met = m->op->move == MOVE_MET;

	if (!row->is_begun || is_met == (row->met_ms != 0))
		return wrong_phase(m, err);
	row->met_ms = is_met ? now : 0;
	row->baked_ms = MIN(m->op->count, now - MIN(row->step_ms, now));
	return OK;
}

typedef enum code at_other(struct moving *m, struct rollout_row *other, struct err *err);

/* Open releases at its configurations, those of numbers below 'below'; 'one' ends them,
 * or they are there no more. */
static enum code each_other(struct moving *m, uint64_t below, at_other *one,
			    struct err *err)
{
	struct apply *a = m->a;
	const struct rollout_row *row = &m->row;
	struct str tenant = m->op->tenant;
	enum code rc = OK;

	for (size_t i = 0; i < row->n_configs && rc == OK; i++) {
		AUTO_BUF key = BUF_NONE;
		uint64_t *numbers;
		size_t n;

		key_releasing_config(&key, tenant, row->configs[i].name);
		n = rollout_numbers(a, m->arena, buf_view(&key), &numbers);
		for (size_t k = 0; k < n && rc == OK; k++) {
			char name[RELEASE_NAME_MAX];
			struct rollout_row old;

			if (numbers[k] >= below || numbers[k] == row->number)
				continue;
			release_name(name, numbers[k]);
			/* Ended already, with one before it. */
			if (rollout_load(a, m->arena, tenant, str_of(name), &old,
					 err))
				continue;
			rc = one(m, &old, err);
		}
	}
	return rc;
}

/* Into 'lost' goes what the one that completes has; the rest stays. */
static void split(struct moving *m, struct rollout_row *row, struct rollout_row *lost)
{
	size_t n = row->n_configs, to = 0;

	*lost = *row;
	lost->configs = arena_alloc(m->arena, (n + 1) * sizeof(*lost->configs));
	lost->n_configs = 0;
	for (size_t i = 0; i < n; i++) {
		struct rollout_config c = row->configs[i];

		if (map_get(m->taken, c.name))
			lost->configs[lost->n_configs++] = c;
		else
			row->configs[to++] = c;
	}
	row->n_configs = to;
}

/* What is left of it goes on: it was let out, and the newer one has nothing of it. */
static void stay_without(struct moving *m, struct rollout_row *row, size_t lost)
{
	char name[RELEASE_NAME_MAX];

	release_name(name, m->row.number);
	rollout_note(m->a, m->arena, row, STR("supersede"),
		     arena_printf(m->arena, "%s is completed at %zu of its "
				  "configurations; the other %zu go on", name, lost,
				  row->n_configs));
	rollout_begin_anew(m->a, row);
	rollout_put_row(m->a, m->op->tenant, row);
}

static enum code give_way(struct moving *m, struct rollout_row *old, struct err *err)
{
	struct str tenant = m->op->tenant;
	struct rollout_row lost;
	size_t n = 0;
	enum code rc;

	for (size_t i = 0; i < old->n_configs; i++)
		n += map_get(m->taken, old->configs[i].name) != NULL;
	if (n == old->n_configs)
		return rollout_end(m->a, m->arena, tenant, old, ROLLOUT_SUPERSEDED,
				   STR("a newer release is completed"), err);
	if (rollout_is_out(old->phase))
		releasing_settle_with(m->a, tenant, m->row.number, old);
	split(m, old, &lost);
	rc = rollout_leave(m->a, tenant, &lost, err);
	if (rc == OK)
		stay_without(m, old, n);
	return rc;
}

static enum code complete(struct moving *m, struct err *err)
{
	struct rollout_row *row = &m->row;
	enum code rc = rollout_complete(m->a, m->op->tenant, row, err);

	if (rc)
		return rc;
	row->phase = ROLLOUT_COMPLETED;
	row->completed_ms = m->a->head->time_ms;
	/* Others that give way to it are to see that its rules are gone. */
	rollout_put(m->a, m->op->tenant, row);
	m->taken = map_new();
	for (size_t i = 0; i < row->n_configs; i++)
		map_put(m->taken, row->configs[i].name, m);
	rc = each_other(m, row->number, give_way, err);
	map_free(&m->taken);
	return rc;
}

/* Past windows goes who may administer, and says why. */
static bool is_forced(const struct moving *m)
{
	struct target target = { .kind = KIND_RELEASE, .tenant = m->op->tenant,
				 .name = m->op->name };

	return m->op->force && m->op->message.n &&
	       permission_check(&m->a->cmd->subject, VERB_ADMINISTER, &target,
				&(struct err){ 0 }) == OK;
}

static enum code check_windows(struct moving *m, unsigned what, struct err *err)
{
	enum code rc = OK;

	if (is_forced(m))
		return OK;
	for (size_t i = 0; i < m->row.n_configs && rc == OK; i++)
		rc = gate_window_check(m->a, m->op->tenant,
				       m->row.configs[i].name, what, err);
	return rc;
}

static enum code go_on(struct moving *m, struct err *err)
{
	enum code rc = check_windows(m, WINDOW_STEPS, err);

	if (rc)
		return rc;
	if (m->next == ROLLOUT_COMPLETED)
		return complete(m, err);
	rollout_begin_step(m->a, &m->row, m->row.step + 1);
	m->row.phase = ROLLOUT_PROGRESSING;
	return rollout_spread(m->a, m->op->tenant, &m->row, &m->s, false, err);
}

static enum code start(struct moving *m, struct err *err)
{
	enum code rc;

	if (view_rollout_is_blocked(m->a->txn, m->op->tenant, &m->row))
		return err_set(err, E_LOCKED, "release %.*s waits for an older one of "
			       "its group", STR_ARG(m->op->name));
	/* It is the publish that was put off, and a step. */
	rc = check_windows(m, WINDOW_PUBLISH | WINDOW_STEPS, err);
	if (rc)
		return rc;
	rollout_begin_step(m->a, &m->row, 0);
	m->row.phase = ROLLOUT_PROGRESSING;
	return rollout_spread(m->a, m->op->tenant, &m->row, &m->s, true, err);
}

static void resume(struct moving *m)
{
	struct rollout_row *row = &m->row;
	uint64_t now = m->a->head->time_ms;

	row->paused_ms += now - MIN(row->pause_ms, now);
	row->pause_ms = 0;
	row->phase = ROLLOUT_PROGRESSING;
}

/* ---- back ---- */

static enum code end_with_it(struct moving *m, struct rollout_row *other, struct err *err)
{
	return rollout_end(m->a, m->arena, m->op->tenant, other, ROLLOUT_ROLLED_BACK,
			   STR("an emergency at one of its configurations"), err);
}

/* Where it was completed, too: its defaults go back then. */
static enum code turn_back(struct moving *m, struct err *err)
{
	struct rollout_row *row = &m->row;
	unsigned back = m->op->move == MOVE_ROLLBACK ? BACK_HOLD : BACK_PLAIN;
	bool is_out = row->phase != ROLLOUT_QUEUED;
	bool is_alone = is_out && m->op->mode == ROLLBACK_EMERGENCY;
	enum code rc = OK;

	if (is_out)
		rc = rollout_withdraw(m->a, m->op->tenant, row,
				      back | (is_alone ? BACK_ALONE : 0), err);
	row->phase = m->next;
	if (rc)
		return rc;
	/* Others that turn back with it are to see that it has: what they take along is not
	 * this one once more, and what they brought is served to nobody. */
	rollout_put(m->a, m->op->tenant, row);
	/* All rules are gone, so nothing else can be left on its way there. */
	if (is_alone)
		rc = each_other(m, UINT64_MAX, end_with_it, err);
	if (rc == OK && m->op->move == MOVE_ROLLBACK)
		rc = rollout_end_same(m->a, m->arena, m->op->tenant, row, err);
	return rc;
}

/* ---- all of them ---- */

static enum code do_move(struct moving *m, struct err *err)
{
	switch (m->op->move) {
	case MOVE_START:
		return start(m, err);
	case MOVE_STEP_BEGUN:
		if (m->row.is_begun)
			return wrong_phase(m, err);
		m->row.is_begun = true;
		m->row.expected = m->op->count;
		return OK;
	case MOVE_ADVANCE:
	case MOVE_PROMOTE:
	case MOVE_PROMOTE_FULL:
		return go_on(m, err);
	case MOVE_PAUSE:
		m->row.pause_ms = m->a->head->time_ms;
		m->row.met_ms = m->row.baked_ms = 0;
		m->row.phase = ROLLOUT_PAUSED;
		return OK;
	case MOVE_RESUME:
		resume(m);
		return OK;
	case MOVE_ROLLBACK:
	case MOVE_ABORT:
		return turn_back(m, err);
	case MOVE_MET:
	case MOVE_UNMET:
		return note_baked(m, err);
	case MOVE_FORGET:
	case MOVE__END:
		return OK;
	}
	return OK;
}

/* Nothing that its history speaks of. */
static bool is_silent(enum release_move move)
{
	return move == MOVE_FORGET || move == MOVE_MET || move == MOVE_UNMET;
}

static void tell(struct moving *m)
{
	static const enum notice notices[MOVE__END] = {
		[MOVE_START] = NOTICE_RELEASE_STARTED,
		[MOVE_ADVANCE] = NOTICE_STEP,
		[MOVE_PROMOTE] = NOTICE_PROMOTED,
		[MOVE_PROMOTE_FULL] = NOTICE_PROMOTED,
		[MOVE_PAUSE] = NOTICE_PAUSED,
		[MOVE_ROLLBACK] = NOTICE_ROLLED_BACK,
		[MOVE_ABORT] = NOTICE_ABORTED,
	};
	enum release_move move = m->op->move;

	if (notices[move] && !(move == MOVE_ADVANCE &&
			       m->row.phase == ROLLOUT_COMPLETED))
		rollout_tell(m->a, m->op->tenant, &m->row, notices[move]);
	if (m->row.phase == ROLLOUT_COMPLETED && !is_silent(move))
		rollout_tell(m->a, m->op->tenant, &m->row, NOTICE_COMPLETED);
}

/* Nothing more will come of it: its row goes, its object says what it said. */
static void forget(struct moving *m)
{
	AUTO_BUF key = BUF_NONE;

	key_rollout(&key, m->op->tenant, m->op->name);
	ap_del(m->a, KV_ROLLOUTS, buf_view(&key));
	rollout_index_kept(m->a, m->op->tenant, &m->row, false);
	releasing_count(m->a, m->op->tenant, -1);
}

static enum code load(struct moving *m, struct err *err)
{
	const struct op *op = m->op;
	enum code rc;

	if (op->kind != KIND_RELEASE || op->message.n > 1000)
		return err_set(err, E_INVALID, "a move is of a release, with a "
			       "reason of at most 1,000 bytes");
	rc = rollout_load(m->a, m->arena, op->tenant, op->name, &m->row, err);
	if (rc == OK)
		rc = strategy_read(m->arena, m->row.spec, &m->s, err);
	if (rc)
		return rc;
	m->next = rollout_next(m->row.phase, op->move, m->row.step, m->s.n_steps);
	/* In this order: who comes too late for a step is told so. */
	rc = check_step(m, err);
	if (rc == OK && !m->next)
		rc = wrong_phase(m, err);
	return rc;
}

enum code apply_release_move(struct apply *a, const struct op *op,
			     struct op_result *res, struct err *err)
{
	struct moving m = { .a = a, .op = op, .arena = a->arena };
	enum code rc = load(&m, err);

	if (rc)
		return rc;
	/* Before it happens, so that a hold has the reason. */
	if (!is_silent(op->move))
		rollout_note(a, m.arena, &m.row, str_of(move_action(op->move)),
			     op->message);
	rc = do_move(&m, err);
	if (rc)
		return rc;
	if (op->move == MOVE_FORGET)
		forget(&m);
	else
		rollout_put(a, op->tenant, &m.row);
	tell(&m);
	ap_diff(a, STR_NONE, op->message);
	*res = (struct op_result){ .rev = a->head->rev, .changed = true };
	return OK;
}

enum code apply_hold_lift(struct apply *a, const struct op *op,
			  struct op_result *res, struct err *err)
{
	AUTO_THING t = { 0 };
	enum code rc = config_load(a, &t, op, err);

	if (rc)
		return rc;
	*res = (struct op_result){ .rev = thing_rev(&t), .uid = t.row.uid };
	if (!t.live.has_hold)
		return OK;
	config_unhold(a, &t, op->tenant);
	config_change(a, &t, op, res);
	return OK;
}
