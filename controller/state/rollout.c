/*
 * What a command releases, and how: see rollout.h.
 */
#include "state/beside.h"
#include "state/due.h"
#include "state/gate.h"
#include "state/rollout_own.h"

#include "base/map.h"
#include "base/mem.h"

#include "base/banned.h"

struct releasing *releasing_new(void)
{
	struct releasing *r = NEW(struct releasing);

	r->policies = policies_new();
	r->arena = arena_new(4096);
	r->scratch = arena_new(4096);
	return r;
}

void releasing_free(struct releasing **rp)
{
	struct releasing *r = TAKE(*rp);

	if (!r)
		return;
	map_free(&r->touched);
	releasing_forget_start(r);
	policies_free(&r->policies);
	arena_free(&r->arena);
	arena_free(&r->scratch);
	free(r);
}

void releasing_start(struct apply *a)
{
	struct releasing *r = a->releasing;

	map_free(&r->touched);
	releasing_forget_start(r);
	arena_reset(r->arena);
	arena_reset(r->scratch);
	*r = (struct releasing){ .policies = r->policies, .arena = r->arena,
				 .scratch = r->scratch };
}

void releasing_count(struct apply *a, struct str tenant, int64_t delta)
{
	uint64_t n = ap_count(a, tenant, COUNT_RELEASING);

	ap_set_count(a, tenant, COUNT_RELEASING, n + (uint64_t)delta);
}

bool releasing_is_there(const struct apply *a, struct str tenant)
{
	return a->releasing->is_there && str_eq(a->releasing->tenant, tenant);
}

bool releasing_in_steps(const struct apply *a, struct str tenant)
{
	const struct releasing *r = a->releasing;

	return releasing_is_there(a, tenant) && r->best &&
	       r->best->is.kind != STRATEGY_IMMEDIATE;
}

bool releasing_goes_beside(const struct apply *a, struct str tenant)
{
	return releasing_in_steps(a, tenant) &&
	       a->releasing->best->is.concurrency != CONCURRENCY_SUPERSEDE;
}

/* ---- for operations ---- */

bool releasing_brings(struct apply *a, struct str tenant, struct str config,
		      const struct sha256 *sha, uint32_t *version)
{
	AUTO_BUF key = BUF_NONE;
	struct releasing_at at;
	struct kv_cursor c;
	size_t n;
	bool found;

	key_releasing_config(&key, tenant, config);
	n = key.n;
	wr_u64_be(&key, UINT64_MAX);
	found = kv_seek_before(a->txn, KV_RELEASING, buf_view(&key), &c) &&
		str_starts(c.key, str_first(buf_view(&key), n)) &&
		releasing_at_decode(c.key, c.val, &at) &&
		(!sha || sha256_eq(&at.sha, sha));
	kv_cursor_close(&c);
	if (found)
		*version = at.version;
	return found;
}

bool releasing_is_open(struct apply *a, struct str tenant, struct str config)
{
	uint32_t version;

	return releasing_brings(a, tenant, config, NULL, &version);
}

/* A configuration goes along with what else the command releases: past the gate, as
 * what the command names does.  'anew': it was turned back since it was agreed to. */
static enum code bring_along(struct apply *a, struct str tenant, struct thing *t,
			     struct str name, uint32_t version, bool anew,
			     struct err *err)
{
	struct version_row v;
	struct sha256 sha;
	enum code rc = gate_along(a, tenant, name, anew, err);

	if (rc == OK)
		rc = config_version(a, t, tenant, version, &v, err);
	if (rc)
		return rc;
	if (releasing_in_steps(a, tenant) && config_default(a, t, &sha))
		rc = releasing_add(a, tenant, name, t->row.uid, &v, err);
	else
		rc = config_move_default(a, t, tenant, &v, false, err);
	if (rc)
		return rc;
	config_write(a, t, tenant, name);
	map_put(a->releasing->touched, name, a->releasing);
	release_note(a, &(struct op){ .type = OP_VERSION_ADD, .release = true,
				      .tenant = tenant, .name = name,
				      .message = v.message },
		     &(struct op_result){ .version = version });
	return OK;
}

/* The next revision is whole again: what the release still holds goes out with it, and
 * what those hold that turned back there as well.  Who breaks the glass does it for what
 * he names: the rest stays held. */
static enum code lift(struct apply *a, struct str tenant, uint64_t number,
		      struct err *err)
{
	struct releasing *r = a->releasing;
	AUTO_BUF prefix = BUF_NONE;
	struct str *names = NULL;
	size_t n = 0, cap = 0;
	struct kv_cursor c;
	enum code rc = OK;

	if (gate_is_broken(a))
		return OK;
	/* Of what is on its way nothing was spoken of. */
	if (!r->touched)
		r->touched = map_new();
	key_releasing_hold(&prefix, tenant, number);
	for (bool on = kv_seek(a->txn, KV_RELEASING, buf_view(&prefix), &c);
	     on && str_starts(c.key, buf_view(&prefix)); on = kv_next(&c)) {
		names = arena_grow(r->arena, names, &cap, n + 1, sizeof(*names));
		names[n++] = arena_str(r->arena, str_from(c.key, prefix.n));
	}
	kv_cursor_close(&c);
	for (size_t i = 0; i < n && rc == OK; i++) {
		AUTO_THING t = { 0 };

		/* It was spoken of, and holds what it is to hold. */
		if (map_get(r->touched, names[i]))
			continue;
		a->units--;
		rc = thing_load(a, &t, tenant, KIND_CONFIG, names[i], err);
		if (rc || !t.val.p || t.live.hold_release != number)
			continue;
		{
			uint32_t version = t.live.hold_version;

			releasing_note_back(a, &r->lifting, tenant, names[i]);
			config_unhold(a, &t, tenant);
			rc = bring_along(a, tenant, &t, names[i], version, true,
					 err);
		}
	}
	return rc;
}

void releasing_drop(struct releasing *r, struct str config)
{
	size_t to = 0;

	for (size_t i = 0; i < r->n; i++)
		if (!str_eq(r->list[i].name, config))
			r->list[to++] = r->list[i];
	r->n = to;
}

void releasing_touch(struct apply *a, const struct op *op)
{
	struct releasing *r = a->releasing;
	AUTO_BUF key = BUF_NONE;

	if (!r->touched)
		r->touched = map_new();
	map_put(r->touched, op->name, r);
	releasing_drop(r, op->name);
	key_releasing_config(&key, op->tenant, op->name);
	releasing_note_all(a, &r->ending, buf_view(&key));
}

void releasing_lift(struct apply *a, struct str tenant, const struct thing *t)
{
	struct releasing *r = a->releasing;

	if (a->cmd->subject.role == ROLE_SOURCE && releasing_is_there(a, tenant))
		releasing_note_holds(a, &r->lifting, tenant, &t->live);
}

enum code releasing_add(struct apply *a, struct str tenant, struct str config,
			struct uuid uid, const struct version_row *v,
			struct err *err)
{
	struct releasing *r = a->releasing;

	must(str_eq(tenant, r->tenant));
	releasing_drop(r, config);
	if (r->n >= ROLLOUT_CONFIGS_MAX) {
		err_set(err, E_UNPROCESSABLE, "release policy %.*s lets changes out "
			"in steps, at most %d configurations together",
			STR_ARG(r->best->name), ROLLOUT_CONFIGS_MAX);
		return err_hint(err, "change less at once, or let it out by a "
				"policy with the strategy immediate");
	}
	r->list = arena_grow(r->arena, r->list, &r->cap, r->n + 1,
			     sizeof(*r->list));
	r->list[r->n++] = (struct rollout_config){
		.name = arena_str(r->arena, config), .uid = uid,
		.version = v->version, .sha = v->sha, .size = v->size };
	return OK;
}

bool releasing_is_listed(const struct apply *a, struct str config)
{
	const struct releasing *r = a->releasing;

	for (size_t i = r->n; i-- > 0;)
		if (str_eq(r->list[i].name, config))
			return true;
	return false;
}

/* ---- what is over ---- */

void rollout_tell(struct apply *a, struct str tenant,
		  const struct rollout_row *row, enum notice notice)
{
	AUTO_BUF data = BUF_NONE;
	char name[RELEASE_NAME_MAX];

	if (!outbox_is_heard(a, tenant))
		return;
	release_name(name, row->number);
	buf_z(&data, "{\"commit\":");
	buf_json(&data, row->commit);
	buf_printf(&data, ",\"count\":%zu,\"message\":", row->n_configs);
	buf_json(&data, row->message);
	buf_printf(&data, ",\"phase\":\"%s\",\"policy\":",
		   rollout_phase_name(row->phase));
	buf_json(&data, row->policy);
	buf_printf(&data, ",\"release\":\"%s\",\"step\":%u}", name, row->step + 1);
	outbox_note(a, notice, tenant, KIND_RELEASE, str_of(name), buf_view(&data));
}

/* Other open releases that bring a configuration the same content. */
static void note_same_at(struct apply *a, struct str tenant,
			 const struct rollout_config *c, uint64_t but,
			 struct numbers *same)
{
	AUTO_BUF key = BUF_NONE;
	struct releasing_at at;
	struct kv_cursor cur;

	key_releasing_config(&key, tenant, c->name);
	for (bool on = kv_seek(a->txn, KV_RELEASING, buf_view(&key), &cur);
	     on && str_starts(cur.key, buf_view(&key)); on = kv_next(&cur)) {
		if (!releasing_at_decode(cur.key, cur.val, &at) ||
		    at.number == but || !sha256_eq(&at.sha, &c->sha))
			continue;
		releasing_note(a->releasing, same, at.number);
	}
	kv_cursor_close(&cur);
}

static void note_same(struct apply *a, struct str tenant,
		      const struct rollout_row *row, struct numbers *same)
{
	for (size_t i = 0; i < row->n_configs; i++)
		note_same_at(a, tenant, &row->configs[i], row->number, same);
}

static enum code end_alone(struct apply *a, struct arena *arena, struct str tenant,
			   struct rollout_row *row, enum rollout_phase phase,
			   struct str why, struct err *err)
{
	static const char *const actions[ROLLOUT__END] = {
		[ROLLOUT_ROLLED_BACK] = "roll-back",
		[ROLLOUT_ABORTED] = "abort",
		[ROLLOUT_SUPERSEDED] = "supersede",
	};
	enum code rc = OK;

	must(actions[phase]);

	rollout_note(a, arena, row, str_of(actions[phase]), why);
	if (rollout_is_out(row->phase))
		rc = rollout_withdraw(a, tenant, row,
				      phase == ROLLOUT_ROLLED_BACK ? BACK_HOLD :
								     BACK_PLAIN,
				      err);
	else if (phase == ROLLOUT_ROLLED_BACK)
		rc = rollout_hold(a, tenant, row, err);
	if (rc)
		return rc;
	row->phase = phase;
	rollout_put(a, tenant, row);
	if (phase == ROLLOUT_ROLLED_BACK)
		rollout_tell(a, tenant, row, NOTICE_ROLLED_BACK);
	if (phase == ROLLOUT_ABORTED)
		rollout_tell(a, tenant, row, NOTICE_ABORTED);
	return OK;
}

/* What turned back does not go out by another one either, nor what that one has. */
enum code rollout_end_same(struct apply *a, struct arena *arena,
			   struct str tenant, const struct rollout_row *row,
			   struct err *err)
{
	struct numbers same = { 0 };
	enum code rc = OK;

	note_same(a, tenant, row, &same);
	for (size_t i = 0; i < same.n && rc == OK; i++) {
		struct rollout_row other;

		/* Ended already, with one before it. */
		if (rollout_load_number(a, arena, tenant, same.v[i], &other, err) ||
		    !rollout_is_open(other.phase))
			continue;
		rc = end_alone(a, arena, tenant, &other, ROLLOUT_ROLLED_BACK,
			       STR("the same content was turned back"), err);
		note_same(a, tenant, &other, &same);
	}
	return rc;
}

enum code rollout_end(struct apply *a, struct arena *arena, struct str tenant,
		      struct rollout_row *row, enum rollout_phase phase,
		      struct str why, struct err *err)
{
	enum code rc = end_alone(a, arena, tenant, row, phase, why, err);

	if (rc == OK && phase == ROLLOUT_ROLLED_BACK)
		rc = rollout_end_same(a, arena, tenant, row, err);
	return rc;
}

enum code releasing_end_at(struct apply *a, struct str tenant, struct str config,
			   enum rollout_phase phase, struct str why, size_t *n,
			   struct err *err)
{
	struct arena *arena = a->releasing->arena;
	AUTO_BUF key = BUF_NONE;
	uint64_t *numbers;
	enum code rc = OK;

	key_releasing_config(&key, tenant, config);
	*n = rollout_numbers(a, arena, buf_view(&key), &numbers);
	for (size_t i = *n; i-- > 0 && rc == OK;) {
		struct rollout_row row;

		/* Ended already, with one before it. */
		if (rollout_load_number(a, arena, tenant, numbers[i], &row, err))
			continue;
		rc = rollout_end(a, arena, tenant, &row, phase, why, err);
	}
	return rc;
}

bool releasing_remove_some(struct apply *a, struct str tenant, unsigned *left)
{
	AUTO_BUF prefix = BUF_NONE;

	if (ap_count(a, tenant, COUNT_RELEASING) == 0)
		return true;
	buf_str(&prefix, tenant);
	buf_c(&prefix, '\0');
	if (!due_remove_below(a, KV_ROLLOUTS, buf_view(&prefix), left) ||
	    !due_remove_below(a, KV_RELEASING, buf_view(&prefix), left))
		return false;
	ap_set_count(a, tenant, COUNT_RELEASING, 0);
	return true;
}

/* ---- behind the operations ---- */

/* What an older release still has goes out with the newer one; behind a broken glass
 * it stays what it was before that release: nobody lets it out by the way. */
static enum code carry(struct apply *a, const struct rollout_row *old,
		       struct err *err)
{
	struct releasing *r = a->releasing;
	enum code rc = OK;

	for (size_t i = 0; !gate_is_broken(a) && i < old->n_configs && rc == OK; i++) {
		const struct rollout_config *c = &old->configs[i];
		AUTO_THING t = { 0 };

		if (map_get(r->touched, c->name))
			continue;
		map_put(r->touched, c->name, r);
		rc = thing_load(a, &t, r->tenant, KIND_CONFIG, c->name, err);
		if (rc || !t.val.p ||
		    memcmp(t.row.uid.b, c->uid.b, sizeof(c->uid.b)) != 0)
			continue;
		rc = bring_along(a, r->tenant, &t, c->name, c->version, false, err);
	}
	return rc;
}

static int newest_first(const void *x, const void *y)
{
	const uint64_t *a = x, *b = y;

	return *a < *b ? 1 : *a > *b ? -1 : 0;
}

static enum code supersede(struct apply *a, struct err *err)
{
	struct releasing *r = a->releasing;
	enum code rc = OK;

	if (r->ending.n > 1)
		qsort(r->ending.v, r->ending.n, sizeof(*r->ending.v), newest_first);
	for (size_t i = 0; i < r->ending.n && rc == OK; i++) {
		struct rollout_row old;

		rc = rollout_load_number(a, r->arena, r->tenant, r->ending.v[i], &old, err);
		if (rc == OK)
			rc = rollout_end(a, r->arena, r->tenant, &old,
				     ROLLOUT_SUPERSEDED,
				     STR("a newer release took its place"), err);
		if (rc == OK)
			rc = carry(a, &old, err);
	}
	return rc;
}

static void add_group(struct apply *a, struct str group)
{
	struct releasing *r = a->releasing;
	AUTO_BUF key = BUF_NONE;

	key_releasing_group(&key, r->tenant, group);
	releasing_note_all(a, &r->ending, buf_view(&key));
	if (!r->touched)
		r->touched = map_new();
}

/* A release that turns back looks at all that wait behind it. */
static enum code check_queue(const struct releasing *r, struct err *err)
{
	if (r->ending.n <= QUEUED_MAX)
		return OK;
	err_set(err, E_QUOTA, "%d releases wait for the one that is out already",
		QUEUED_MAX);
	return err_hint(err, "promote, roll back or abort it, or those that wait; or "
			"let the policy supersede what is out");
}

/* What is there no more, or has ended: by this command, behind what noted it. */
static bool has_ended(struct apply *a, struct str tenant, uint64_t number)
{
	char name[RELEASE_NAME_MAX];
	enum rollout_phase phase;
	AUTO_BUF key = BUF_NONE;
	struct str val;

	release_name(name, number);
	key_rollout(&key, tenant, str_of(name));
	return !kv_get(a->txn, KV_ROLLOUTS, buf_view(&key), &val) ||
	       (rollout_row_phase(val, &phase) && !rollout_is_open(phase));
}

static void drop_ended(struct apply *a)
{
	struct releasing *r = a->releasing;
	size_t to = 0;

	for (size_t i = 0; i < r->ending.n; i++)
		if (!has_ended(a, r->tenant, r->ending.v[i]))
			r->ending.v[to++] = r->ending.v[i];
	r->ending.n = to;
}

enum code releasing_conclude(struct apply *a, struct err *err)
{
	struct releasing *r = a->releasing;
	enum rollout_phase phase = ROLLOUT_PROGRESSING;
	const struct strategy *s;
	enum code rc = OK;

	if (!r->is_there)
		return OK;
	for (size_t i = 0; i < r->lifting.n && rc == OK; i++)
		rc = lift(a, r->tenant, r->lifting.v[i], err);
	if (rc)
		return rc;
	s = r->best ? &r->best->is : NULL;
	if (r->n && s->group.n)
		add_group(a, s->group);
	drop_ended(a);
	if (r->n && s->concurrency == CONCURRENCY_QUEUE && r->ending.n) {
		phase = ROLLOUT_QUEUED;
		rc = check_queue(r, err);
	}
	if (rc)
		return rc;
	/* Also where nothing is left of it: the command deleted it again. */
	if (!releasing_goes_beside(a, r->tenant))
		rc = supersede(a, err);
	if (rc || r->n == 0)
		return rc;
	r->has_begun = true;
	r->begun = (struct rollout_row){
		.phase = phase, .created_ms = a->head->time_ms,
		.step_ms = a->head->time_ms, .policy = r->best->name,
		.policy_rev = r->best->rev, .spec = r->best->spec,
		.group = s->group, .author = a->cmd->subject.name,
		.commit = a->cmd->commit, .reason = a->cmd->reason,
		.configs = r->list, .n_configs = r->n, .cap_configs = r->cap,
	};
	return OK;
}

struct rollout_row *releasing_begun(struct apply *a)
{
	return a->releasing->has_begun ? &a->releasing->begun : NULL;
}

struct str releasing_strategy(const struct apply *a)
{
	return a->releasing->has_begun ? a->releasing->best->is.name :
					 STR("immediate");
}

static void make_salt(struct uuid uid, uint8_t salt[SALT_SIZE])
{
	struct sha256 sha = sha256_of(str_n(uid.b, sizeof(uid.b)));

	memcpy(salt, sha.b, SALT_SIZE);
}

enum code releasing_begin(struct apply *a, uint64_t number, struct uuid uid,
			  struct err *err)
{
	struct releasing *r = a->releasing;
	struct rollout_row *row = &r->begun;
	enum code rc = OK;

	row->number = number;
	make_salt(uid, row->salt);
	rollout_note(a, r->arena, row,
		     row->phase == ROLLOUT_QUEUED ? STR("queue") : STR("start"),
		     row->phase == ROLLOUT_QUEUED ?
			     STR("waits for another release") : STR(""));
	if (row->phase == ROLLOUT_PROGRESSING)
		rc = rollout_spread(a, r->tenant, row, &r->best->is, true, err);
	else     /* rather than when its turn comes */
		rc = beside_check_bytes(row->n_configs *
					beside_weight(&r->best->is, row), err);
	if (rc)
		return rc;
	rollout_put(a, r->tenant, row);
	if (row->phase == ROLLOUT_PROGRESSING)
		rollout_tell(a, r->tenant, row, NOTICE_RELEASE_STARTED);
	return OK;
}
