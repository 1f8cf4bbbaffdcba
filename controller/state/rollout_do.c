/*
 * One release that goes out in steps: its rules at its configurations, its row, and the
 * status of its object.  See rollout.h.
 */
#include "state/beside.h"
#include "state/rollout_own.h"
#include "state/way_back.h"

#include "base/clock.h"

#include "base/banned.h"

/* ---- rows ---- */

enum code rollout_load(struct apply *a, struct arena *arena, struct str tenant,
		       struct str name, struct rollout_row *out, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	if (tenant.n > 63 || !release_number(name))
		return err_set(err, E_NOT_FOUND, "releases.%s \"%.*s\" not found",
			       API_GROUP, STR_ARG(str_first(name, 253)));
	key_rollout(&key, tenant, name);
	if (kv_get(a->txn, KV_ROLLOUTS, buf_view(&key), &val)) {
		if (!rollout_row_decode(arena, arena_str(arena, val), out))
			return thing_corrupt(err, "a rollout");
		if (!rollout_drop_deleted(a, arena, tenant, out) || out->n_configs)
			return OK;
	}
	buf_reset(&key);
	key_object(&key, tenant, KIND_RELEASE, name);
	if (!kv_get(a->txn, KV_OBJECTS, buf_view(&key), NULL))
		return err_set(err, E_NOT_FOUND, "releases.%s \"%.*s\" not found",
			       API_GROUP, STR_ARG(name));
	return err_set(err, E_PHASE, "release %.*s is over: it cannot be moved",
		       STR_ARG(name));
}

static void index_one(struct apply *a, struct str key, const struct rollout_row *row,
		      const struct rollout_config *c, uint32_t version, bool is_open)
{
	AUTO_BUF whole = BUF_NONE;
	AUTO_BUF val = BUF_NONE;

	buf_str(&whole, key);
	wr_u64_be(&whole, row->number);
	if (c)
		releasing_at_encode(&val, &(struct releasing_at){
			.sha = c->sha, .version = version });
	if (is_open)
		ap_put(a, KV_RELEASING, buf_view(&whole), buf_view(&val));
	else
		ap_del(a, KV_RELEASING, buf_view(&whole));
}

void rollout_index(struct apply *a, struct str tenant,
		   const struct rollout_row *row, bool is_open)
{
	for (size_t i = 0; i < row->n_configs; i++) {
		AUTO_BUF key = BUF_NONE;

		key_releasing_config(&key, tenant, row->configs[i].name);
		index_one(a, buf_view(&key), row, &row->configs[i],
			  row->configs[i].version, is_open);
	}
	if (row->group.n) {
		AUTO_BUF key = BUF_NONE;

		key_releasing_group(&key, tenant, row->group);
		index_one(a, buf_view(&key), row, NULL, 0, is_open);
	}
}

/* What it can turn back to stays while it may. */
void rollout_index_kept(struct apply *a, struct str tenant,
			const struct rollout_row *row, bool is_kept)
{
	for (size_t i = 0; i < row->n_configs; i++) {
		const struct rollout_config *c = &row->configs[i];
		AUTO_BUF key = BUF_NONE;

		if (!c->previous)
			continue;
		key_releasing_kept(&key, tenant, c->name);
		index_one(a, buf_view(&key), row, c, c->previous, is_kept);
	}
}

size_t rollout_numbers(struct apply *a, struct arena *arena, struct str prefix,
		       uint64_t **out)
{
	struct kv_cursor c;
	size_t n = 0, cap = 0;

	*out = NULL;
	for (bool on = kv_seek(a->txn, KV_RELEASING, prefix, &c);
	     on && str_starts(c.key, prefix); on = kv_next(&c)) {
		struct rd rd = rd_of(str_from(c.key, prefix.n));

		*out = arena_grow(arena, *out, &cap, n + 1, sizeof(**out));
		(*out)[n++] = rd_u64_be(&rd);
	}
	kv_cursor_close(&c);
	return n;
}

/* ---- status ---- */

static void add_time(struct buf *out, const char *name, uint64_t ms)
{
	char time[RFC3339_MAX];

	clock_rfc3339(time, ms, true);
	buf_printf(out, "\"%s\":\"%s\",", name, time);
}

static void add_history(struct buf *out, const struct rollout_row *row)
{
	buf_z(out, "\"history\":[");
	for (size_t i = 0; i < row->n_notes; i++) {
		const struct rollout_note *n = &row->notes[i];

		buf_z(out, i ? ",{" : "{");
		add_time(out, "at", n->time_ms);
		buf_z(out, "\"by\":");
		buf_json(out, n->subject);
		buf_z(out, ",\"message\":");
		buf_json(out, n->message);
		buf_printf(out, ",\"step\":%u,\"what\":", n->step + 1);
		buf_json(out, n->action);
		buf_c(out, '}');
	}
	buf_z(out, "],");
}

/* Canonical: members in the order of their names.  Steps count from 1. */
void rollout_status_json(struct buf *out, const struct rollout_row *row,
			 size_t steps)
{
	buf_c(out, '{');
	if (row->completed_ms)
		add_time(out, "completed", row->completed_ms);
	if (row->is_begun)
		buf_printf(out, "\"expected\":%llu,",
			   (unsigned long long)row->expected);
	add_history(out, row);
	buf_z(out, "\"message\":");
	buf_json(out, row->message);
	buf_printf(out, ",\"phase\":\"%s\",\"step\":%u,",
		   rollout_phase_name(row->phase), row->step + 1);
	if (rollout_is_out(row->phase))
		add_time(out, "stepStarted", row->step_ms);
	buf_printf(out, "\"steps\":%zu}", steps);
}

static void put_status(struct apply *a, struct str tenant, struct str name,
		       struct str status)
{
	AUTO_THING t = { 0 };
	struct err err;
	struct object_row row;
	struct event_row event = { .type = EVENT_MODIFIED, .kind = KIND_RELEASE,
				   .tenant = tenant, .name = name };

	/* A tenant keeps so many of them; the oldest may be gone. */
	if (thing_load(a, &t, tenant, KIND_RELEASE, name, &err) || !t.val.p ||
	    str_eq(t.row.status, status))
		return;
	row = t.row;
	row.status = status;
	row.rev = ap_next_rev(a);
	thing_put_row(a, &t, &row, &event.after);
	ap_event(a, row.rev, &event);
}

static size_t steps_of(struct arena *arena, const struct rollout_row *row)
{
	struct strategy s;
	struct err err;

	return strategy_read(arena, row->spec, &s, &err) ? 0 : s.n_steps;
}

void rollout_put_row(struct apply *a, struct str tenant,
		     const struct rollout_row *row)
{
	char name[RELEASE_NAME_MAX];
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;
	AUTO_BUF status = BUF_NONE;
	bool was, stays = rollout_is_open(row->phase) ||
			  row->phase == ROLLOUT_COMPLETED;

	release_name(name, row->number);
	key_rollout(&key, tenant, str_of(name));
	was = kv_get(a->txn, KV_ROLLOUTS, buf_view(&key), NULL);
	rollout_row_encode(&val, row);
	if (stays)
		ap_put(a, KV_ROLLOUTS, buf_view(&key), buf_view(&val));
	else
		ap_del(a, KV_ROLLOUTS, buf_view(&key));
	if (was != stays)
		releasing_count(a, tenant, stays ? 1 : -1);
	rollout_status_json(&status, row, steps_of(a->arena, row));
	put_status(a, tenant, str_of(name), buf_view(&status));
}

void rollout_put(struct apply *a, struct str tenant, struct rollout_row *row)
{
	rollout_index(a, tenant, row, rollout_is_open(row->phase));
	rollout_index_kept(a, tenant, row, row->phase == ROLLOUT_COMPLETED);
	rollout_put_row(a, tenant, row);
}

void rollout_note(struct apply *a, struct arena *arena, struct rollout_row *row,
		  struct str action, struct str message)
{
	struct rollout_note note = {
		.time_ms = a->head->time_ms, .step = row->step,
		.action = action, .subject = a->cmd->subject.name,
		.message = message,
	};

	if (row->n_notes == ROLLOUT_NOTES_MAX)
		memmove(row->notes, row->notes + 1,
			--row->n_notes * sizeof(*row->notes));
	row->notes = arena_grow(arena, row->notes, &row->cap_notes,
				row->n_notes + 1, sizeof(*row->notes));
	row->notes[row->n_notes++] = note;
	row->message = message;
}

void rollout_begin_step(struct apply *a, struct rollout_row *row, uint32_t step)
{
	row->step = step;
	row->step_ms = a->head->time_ms;
	row->pause_ms = row->paused_ms = 0;
	row->is_begun = false;
	row->expected = 0;
	row->met_ms = row->baked_ms = 0;
}

void rollout_begin_anew(struct apply *a, struct rollout_row *row)
{
	if (!rollout_is_out(row->phase))
		return;
	rollout_begin_step(a, row, row->step);
	if (row->phase == ROLLOUT_PAUSED)
		row->pause_ms = row->step_ms;
}

/* ---- its configurations ---- */

bool rollout_load_config(struct apply *a, struct thing *t, struct str tenant,
			 const struct rollout_config *c, enum code *rc,
			 struct err *err)
{
	*rc = thing_load(a, t, tenant, KIND_CONFIG, c->name, err);
	return *rc == OK && t->val.p &&
	       memcmp(t->row.uid.b, c->uid.b, sizeof(c->uid.b)) == 0;
}

void rollout_set_rules(struct apply *a, struct thing *t, struct str tenant,
		       struct str name, const struct rules *rules)
{
	struct str bytes = config_encode_rules(a, rules);

	a->units--;
	if (str_eq(bytes, t->live.rules))
		return;
	t->live.rules = bytes;
	config_write_step(a, t, tenant, name);
}

/* What happens at each of its configurations. */
struct at_each {
	struct apply *a;
	struct str tenant;
	struct rollout_row *row;
	const struct strategy *s;        /* of what is spread */
	unsigned back;                   /* of what is withdrawn */
	size_t weight, bytes;            /* of rules: its own at each, and all so far */
};

typedef enum code at_one(struct at_each *, struct rollout_config *, struct thing *,
			 struct err *);

/* What one takes is let go of before the next: see settle_all. */
static enum code at_each(struct at_each *e, at_one *one, struct err *err)
{
	struct apply *a = e->a;
	struct arena *of_op = a->arena;
	AUTO_ARENA arena = arena_new(0);
	enum code rc = OK;

	a->arena = arena;
	for (size_t i = 0; i < e->row->n_configs && rc == OK; i++) {
		struct rollout_config *c = &e->row->configs[i];
		AUTO_THING t = { 0 };

		arena_reset(arena);
		if (rollout_load_config(a, &t, e->tenant, c, &rc, err))
			rc = one(e, c, &t, err);
	}
	a->arena = of_op;
	return rc;
}

/* With the connected ones around it, which others are to be now, and may be too many. */
static enum code at_all_now(struct at_each *e, at_one *one, bool is_out, struct err *err)
{
	struct apply *a = e->a;
	struct beside *beside;
	enum code rc = beside_find(a, a->arena, e->tenant, e->row, is_out, &beside, err);

	if (rc == OK)
		rc = at_each(e, one, err);
	return rc ? rc : beside_settle(a, a->arena, e->tenant, beside, e->row, is_out,
				       err);
}

/* The connected ones around it follow behind the operations, in slices.  It was let in
 * with all its steps, so that nothing of that is refused. */
static enum code at_all_later(struct at_each *e, at_one *one, struct err *err)
{
	/* Those of which it was beside may have ended just before. */
	bool alone = !e->a->releasing->n_forgotten &&
		     beside_is_alone(e->a, e->tenant, e->row);
	enum code rc = at_each(e, one, err);

	if (rc == OK && !alone)
		releasing_settle_later(e->a, e->tenant, e->row);
	return rc;
}

/* 'begins': it was not out before. */
static enum code at_all(struct at_each *e, at_one *one, bool is_out, bool begins,
			struct err *err)
{
	return !begins && e->a->releasing->may_put_off ?
		       at_all_later(e, one, err) : at_all_now(e, one, is_out, err);
}

/* Its own in the last step; beside_settle counts those of others. */
static enum code check_last(struct at_each *e, const struct rules *rules, struct str name,
			    struct err *err)
{
	struct apply *a = e->a;
	struct rule nothing = { .version = 0 };
	struct rules last;
	enum code rc;

	beside_of_people(a->arena, rules, &last);
	e->bytes += config_encode_rules(a, &last).n + e->weight;
	strategy_rules(a->arena, e->s, e->s->n_steps, &nothing, e->row->salt,
		       e->row->number, &last);
	rc = rules_check(&last, err);
	if (rc)
		return err_wrap(err, "configuration %.*s", STR_ARG(name));
	return beside_check_bytes(e->bytes, err);
}

static enum code spread_one(struct at_each *e, struct rollout_config *c,
			    struct thing *t, struct err *err)
{
	struct apply *a = e->a;
	struct rule rule = { .version = c->version, .sha = c->sha, .size = c->size };
	struct rules rules;
	enum code rc = config_rules(a, t, &rules, err);

	if (rc == OK)
		rc = check_last(e, &rules, c->name, err);
	if (rc)
		return rc;
	rules_drop_release(&rules, e->row->number);
	strategy_rules(a->arena, e->s, e->row->step, &rule, e->row->salt,
		       e->row->number, &rules);
	rollout_set_rules(a, t, e->tenant, c->name, &rules);
	return OK;
}

enum code rollout_spread(struct apply *a, struct str tenant,
			 struct rollout_row *row, const struct strategy *s, bool begins,
			 struct err *err)
{
	struct at_each e = { .a = a, .tenant = tenant, .row = row, .s = s,
			     .weight = beside_weight(s, row) };

	return at_all(&e, spread_one, true, begins, err);
}

static enum code default_back(struct apply *a, struct thing *t, struct str tenant,
			      const struct rollout_config *c, struct err *err)
{
	struct version_row v;
	struct sha256 sha;
	enum code rc;

	if (config_default(a, t, &sha) != c->version) {
		err_set(err, E_PHASE, "configuration %.*s has gone on since this "
			"release: it serves version %u, not %u",
			STR_ARG(c->name), config_default(a, t, &sha), c->version);
		return err_hint(err, "roll the configuration back by itself");
	}
	rc = config_version(a, t, tenant, c->previous, &v, err);
	if (rc == OK)
		rc = config_move_default(a, t, tenant, &v, false, err);
	return rc;
}

/* No way back leads there, unless somebody names it. */
static void turned_back(struct apply *a, struct str tenant, struct thing *t,
			const struct rollout_config *c)
{
	struct sha256 sha;

	version_mark_back(a, tenant, t->row.uid, c->version);
	if (t->live.stable_version == c->version)
		t->live.stable_version = way_back(a->txn, a->arena, tenant, &t->live,
						  config_default(a, t, &sha));
}

static enum code withdraw_one(struct at_each *e, struct rollout_config *c,
			      struct thing *t, struct err *err)
{
	struct apply *a = e->a;
	struct str tenant = e->tenant;
	const struct rollout_row *row = e->row;
	struct str before = t->live.rules;
	struct sha256 serves = { 0 };
	struct rules rules;
	enum code rc = OK;
	bool is_held = false;
	int at;

	if (row->phase == ROLLOUT_COMPLETED && c->previous)
		rc = default_back(a, t, tenant, c, err);
	if (rc == OK)
		rc = config_rules(a, t, &rules, err);
	if (rc)
		return rc;
	rules_drop_release(&rules, row->number);
	at = rules_default(&rules);
	if (at >= 0)
		serves = rules.r[at].sha;
	if ((e->back & BACK_ALONE) && at >= 0)
		rules = (struct rules){ .r = &rules.r[at], .n = 1 };
	t->live.rules = config_encode_rules(a, &rules);
	a->units--;
	/* What everybody has meanwhile cannot be held. */
	if ((e->back & BACK_HOLD) && !(at >= 0 && sha256_eq(&serves, &c->sha))) {
		is_held = t->row.manager == MANAGER_GIT;
		turned_back(a, tenant, t, c);
	}
	if (is_held)
		releasing_hold(a, tenant, t, row, c);
	else if (str_eq(before, t->live.rules))
		return OK;
	config_write(a, t, tenant, c->name);
	return OK;
}

enum code rollout_withdraw(struct apply *a, struct str tenant,
			   struct rollout_row *row, unsigned back, struct err *err)
{
	struct at_each e = { .a = a, .tenant = tenant, .row = row, .back = back };

	return at_all(&e, withdraw_one, false, false, err);
}

enum code rollout_hold(struct apply *a, struct str tenant, struct rollout_row *row,
		       struct err *err)
{
	struct at_each e = { .a = a, .tenant = tenant, .row = row, .back = BACK_HOLD };

	return at_each(&e, withdraw_one, err);
}

static enum code leave_one(struct at_each *e, struct rollout_config *c,
			   struct thing *t, struct err *err)
{
	struct rules rules;
	enum code rc = config_rules(e->a, t, &rules, err);

	if (rc)
		return rc;
	rules_drop_release(&rules, e->row->number);
	rollout_set_rules(e->a, t, e->tenant, c->name, &rules);
	return OK;
}

enum code rollout_leave(struct apply *a, struct str tenant, struct rollout_row *lost,
			struct err *err)
{
	struct at_each e = { .a = a, .tenant = tenant, .row = lost };
	enum code rc = rollout_is_out(lost->phase) ? at_each(&e, leave_one, err) : OK;

	/* It stays one of its group. */
	lost->group = STR_NONE;
	if (rc == OK)
		rollout_index(a, tenant, lost, false);
	return rc;
}

static enum code complete_one(struct at_each *e, struct rollout_config *c,
			      struct thing *t, struct err *err)
{
	struct apply *a = e->a;
	struct version_row v;
	struct rules rules;
	struct sha256 sha;
	enum code rc = config_version(a, t, e->tenant, c->version, &v, err);

	if (rc == OK)
		rc = config_rules(a, t, &rules, err);
	if (rc)
		return rc;
	rules_drop_release(&rules, e->row->number);
	t->live.rules = config_encode_rules(a, &rules);
	c->previous = config_default(a, t, &sha);
	rc = config_move_default(a, t, e->tenant, &v, false, err);
	a->units--;
	if (rc == OK)
		config_write(a, t, e->tenant, c->name);
	return rc;
}

enum code rollout_complete(struct apply *a, struct str tenant,
			   struct rollout_row *row, struct err *err)
{
	struct at_each e = { .a = a, .tenant = tenant, .row = row };

	return at_all(&e, complete_one, false, false, err);
}
