/*
 * Operations on what configurations serve: versions, rules, roll-back.
 * Deterministic.
 */
#include "state/gate.h"
#include "state/rollout.h"
#include "state/way_back.h"

#include "base/banned.h"

/* 'is_live': the default rule serves it when the operation is over. */
static enum code add_version(struct apply *a, struct thing *t,
			     const struct op *op, bool is_live,
			     struct version_row *row, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;

	enum code rc = blob_take(a, op, err);

	if (rc)
		return rc;
	*row = (struct version_row){
		.version = ++t->live.last_version, .sha = op->sha,
		.size = op->size, .created_ms = a->head->time_ms,
		.rev = a->head->rev + 1,
		.formatting_only = op->formatting_only,
		.format = t->row.format,
		.author = op->author.n ? op->author : a->cmd->subject.name,
		.message = op->message, .commit = a->cmd->commit,
		.path = op->path, .is_marked = a->head->version >= VERSION_GATE,
		.was_live = is_live,
	};
	key_version(&key, op->tenant, t->row.uid, row->version);
	version_row_encode(&val, row);
	ap_put(a, KV_VERSIONS, buf_view(&key), buf_view(&val));
	return OK;
}

static enum code check_author(const struct op *op, struct err *err)
{
	if (op->author.n <= AUTHOR_MAX && str_is_utf8(op->author))
		return OK;
	return err_set(err, E_INVALID, "the author of a version is UTF-8, at most "
		       "%d bytes", AUTHOR_MAX);
}

/* On its way already; what is held is what its source has left, and is not what a release
 * that turns back from here on may leave behind. */
static void stays_coming(struct apply *a, struct thing *t, const struct op *op,
			 struct op_result *res)
{
	if (!t->live.has_hold || !op->lift_hold ||
	    a->cmd->subject.role != ROLE_SOURCE)
		return;
	releasing_lift(a, op->tenant, t);
	config_unhold(a, t, op->tenant);
	config_change(a, t, op, res);
}

/* What is there already: the content is live, and goes on being that.  'was_open':
 * a release that would have changed it has ended, or ends with the command. */
static void stays_live(struct apply *a, struct thing *t, const struct op *op,
		       bool was_open, struct op_result *res)
{
	if (!was_open && (!t->live.has_hold || !op->lift_hold) &&
	    !thing_takes_over(a, t))
		return;
	/* The commit went back to what is live: nothing to hold off. */
	releasing_lift(a, op->tenant, t);
	config_unhold(a, t, op->tenant);
	config_change(a, t, op, res);
}

static enum code bring_back(struct apply *a, const struct thing *t,
			    const struct op *op, uint32_t live, struct err *err)
{
	struct version_row v;
	enum code rc = config_version(a, t, op->tenant, live, &v, err);

	return rc ? rc : releasing_add(a, op->tenant, op->name, t->row.uid, &v,
				       err);
}

/* Live now, or in the steps that the policy of the command has. */
static enum code let_out(struct apply *a, struct thing *t, const struct op *op,
			 const struct version_row *v, bool in_steps,
			 struct err *err)
{
	if (in_steps)
		return releasing_add(a, op->tenant, op->name, t->row.uid, v, err);
	return config_move_default(a, t, op->tenant, v, false, err);
}

enum code apply_version_add(struct apply *a, const struct op *op,
			    struct op_result *res, struct err *err)
{
	AUTO_THING t = { 0 };
	struct version_row row = { 0 };
	struct sha256 live_sha = { 0 };
	bool was_open = false, in_steps;
	uint32_t live, newest;
	enum code rc = check_author(op, err);

	if (rc == OK)
		rc = config_load(a, &t, op, err);
	if (rc == OK)
		rc = thing_check_owner(a, &t, err);
	if (rc)
		return rc;
	live = config_default(a, &t, &live_sha);
	newest = t.live.last_version;
	*res = (struct op_result){ .rev = thing_rev(&t), .uid = t.row.uid,
				   .version = live };
	a->added_version = live;
	/* A roll-back holds: its source may not bring the same bytes again. */
	if (t.live.has_hold && a->cmd->subject.role == ROLE_SOURCE &&
	    sha256_eq(&t.live.hold, &op->sha))
		return OK;
	if (op->release && releasing_is_there(a, op->tenant)) {
		/* On its way already. */
		if (releasing_brings(a, op->tenant, op->name, &op->sha,
				     &a->added_version)) {
			res->version = a->added_version;
			stays_coming(a, &t, op, res);
			return OK;
		}
		was_open = releasing_is_open(a, op->tenant, op->name);
		releasing_touch(a, op);
	}
	if (live && op->release && sha256_eq(&live_sha, &op->sha)) {
		if (was_open && releasing_goes_beside(a, op->tenant))
			rc = bring_back(a, &t, op, live, err);
		if (rc == OK)
			stays_live(a, &t, op, was_open, res);
		return rc;
	}
	if (op->release)
		releasing_lift(a, op->tenant, &t);
	in_steps = live && releasing_in_steps(a, op->tenant);
	if (newest)
		rc = config_version(a, &t, op->tenant, newest, &row, err);
	if (rc == OK && (!newest || !sha256_eq(&row.sha, &op->sha)))
		rc = add_version(a, &t, op, op->release && !in_steps, &row, err);
	else if (rc == OK && !op->release) {
		res->version = a->added_version = row.version;
		if (!thing_takes_over(a, &t))
			return OK;
		config_unhold(a, &t, op->tenant);
		config_change(a, &t, op, res);
		return OK;
	}
	config_unhold(a, &t, op->tenant);
	if (rc == OK && op->release)
		rc = let_out(a, &t, op, &row, in_steps, err);
	if (rc)
		return rc;
	res->version = a->added_version = row.version;
	config_change(a, &t, op, res);
	retain_versions(a, op->tenant, t.row.uid, &t.live);
	return OK;
}

/* ---- rules ---- */

/* As people set them: those of releases are no business of theirs. */
static enum code wanted_rules(struct apply *a, const struct thing *t,
			      const struct op *op, struct rules *out,
			      struct err *err)
{
	enum code rc = OK;

	for (size_t i = 0; i < op->rules.n && rc == OK; i++) {
		struct version_row v = { 0 };
		struct rule *r;

		if (op->rules.r[i].release)
			continue;
		r = rules_add(a->arena, out);
		*r = op->rules.r[i];
		if (r->version == 0)
			r->version = a->added_version;
		rc = config_version(a, t, op->tenant, r->version, &v, err);
		r->sha = v.sha;
		r->size = v.size;
	}
	if (rc == OK)
		rc = rules_check(out, err);
	if (rc == OK && rules_are_wide(out) && a->head->version < VERSION_GATE) {
		err_set(err, E_NOT_YET, "percent and nodes are there from cluster "
			"version %d on, and this cluster is at %llu", VERSION_GATE,
			(unsigned long long)a->head->version);
		rc = err_hint(err, VERSION_HINT);
	}
	return rc;
}

/* Do they differ from what is there by the version of the default alone? */
static bool is_publish(struct apply *a, const struct rules *want,
		       const struct rules *have, struct version_row *v)
{
	struct rules other = { 0 };
	int w = rules_default(want), h = rules_default(have);

	if (w < 0 || h < 0 || want->r[w].version == have->r[h].version)
		return false;
	for (size_t i = 0; i < want->n; i++)
		*rules_add(a->arena, &other) = want->r[i];
	other.r[w] = have->r[h];
	v->version = want->r[w].version;
	v->sha = want->r[w].sha;
	v->size = want->r[w].size;
	return str_eq(config_encode_rules(a, &other),
		      config_encode_rules(a, have));
}

static enum code drop_of_releases(struct apply *a, const struct thing *t,
				  struct rules *out, struct err *err)
{
	enum code rc = config_rules(a, t, out, err);
	size_t to = 0;

	for (size_t i = 0; rc == OK && i < out->n; i++)
		if (!out->r[i].release)
			out->r[to++] = out->r[i];
	out->n = to;
	return rc;
}

static enum code check_none_open(struct apply *a, const struct op *op,
				 struct err *err)
{
	if (!releasing_is_there(a, op->tenant) ||
	    !releasing_is_open(a, op->tenant, op->name))
		return OK;
	err_set(err, E_LOCKED, "a release is going out at %.*s: its rules are not "
		"set by hand meanwhile", STR_ARG(op->name));
	return err_hint(err, "promote the release, roll it back or abort it first");
}

/* What is held was named: it is wanted. */
static void unhold_named(struct apply *a, struct thing *t, struct str tenant,
			 const struct sha256 *sha)
{
	if (a->head->version >= VERSION_GATE && t->live.has_hold &&
	    sha256_eq(&t->live.hold, sha))
		config_unhold(a, t, tenant);
}

/* A version that exists goes out as one that is new would. */
static enum code publish(struct apply *a, struct thing *t, const struct op *op,
			 const struct version_row *v, struct op_result *res,
			 struct err *err)
{
	enum code rc;

	if (releasing_brings(a, op->tenant, op->name, &v->sha, &res->version))
		return OK;
	releasing_touch(a, op);
	releasing_lift(a, op->tenant, t);
	unhold_named(a, t, op->tenant, &v->sha);
	rc = releasing_add(a, op->tenant, op->name, t->row.uid, v, err);
	if (rc)
		return rc;
	res->version = v->version;
	config_change(a, t, op, res);
	return OK;
}

static bool has_rule(struct apply *a, const struct rules *have,
		     const struct rule *want)
{
	struct rule one = *want;
	struct str text = config_encode_rules(a, &(struct rules){ .r = &one,
								  .n = 1 });

	for (size_t i = 0; i < have->n; i++)
		if (str_eq(text, config_encode_rules(a, &(struct rules){
					 .r = &have->r[i], .n = 1 })))
			return true;
	return false;
}

/* In steps goes what everybody is to get; by hand, only what names who gets it. */
static enum code check_steps(struct apply *a, const struct thing *t,
			     struct str tenant, const struct rules *want,
			     const struct rules *have, struct err *err)
{
	for (size_t i = 0; i < want->n; i++) {
		const struct rule *r = &want->r[i];

		if (!(rule_is_default(r) || r->has_percent) ||
		    has_rule(a, have, r) ||
		    version_was_live(a->txn, tenant, t->row.uid, r->version))
			continue;
		err_set(err, E_UNPROCESSABLE, "version %u was never live: the release "
			"policy lets it out in steps, not by rules that are set "
			"together", r->version);
		return err_hint(err, "set the default rule alone, or publish it");
	}
	return OK;
}

enum code apply_rules_set(struct apply *a, const struct op *op,
			  struct op_result *res, struct err *err)
{
	AUTO_THING t = { 0 };
	struct rules rules = { 0 }, have;
	struct version_row v = { 0 };
	struct sha256 sha;
	uint32_t live, now;
	enum code rc = config_load(a, &t, op, err);

	if (rc == OK)
		rc = thing_check_owner(a, &t, err);
	if (rc == OK)
		rc = wanted_rules(a, &t, op, &rules, err);
	if (rc == OK)
		rc = drop_of_releases(a, &t, &have, err);
	if (rc)
		return rc;
	*res = (struct op_result){ .rev = thing_rev(&t), .uid = t.row.uid };
	if (releasing_in_steps(a, op->tenant) && is_publish(a, &rules, &have, &v))
		return publish(a, &t, op, &v, res, err);
	rc = check_none_open(a, op, err);
	if (rc)
		return rc;
	live = config_default(a, &t, &sha);
	if (live && releasing_in_steps(a, op->tenant))
		rc = check_steps(a, &t, op->tenant, &rules, &have, err);
	if (rc)
		return rc;
	if (str_eq(config_encode_rules(a, &rules), t.live.rules) &&
	    !thing_takes_over(a, &t))
		return OK;
	for (size_t i = 0; i < rules.n; i++)
		unhold_named(a, &t, op->tenant, &rules.r[i].sha);
	t.live.rules = config_encode_rules(a, &rules);
	now = config_default(a, &t, &sha);
	if (live && now != live)
		t.live.stable_version = live;
	if (now != live)
		version_mark_live(a, op->tenant, t.row.uid, now);
	config_change(a, &t, op, res);
	return OK;
}

/* The version to go back to when none was named, as it was before versions said what
 * was live: the one that was the default before, else the next older number. */
static uint32_t version_before(struct apply *a, const struct thing *t,
			       struct str tenant, uint32_t live)
{
	AUTO_BUF before = BUF_NONE;
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	struct version_row row;
	bool found;

	if (t->live.stable_version && t->live.stable_version != live &&
	    config_version(a, t, tenant, t->live.stable_version, &row, NULL) == OK)
		return t->live.stable_version;
	key_version(&before, tenant, t->row.uid, live);
	key_versions(&prefix, tenant, t->row.uid);
	found = kv_seek_before(a->txn, KV_VERSIONS, buf_view(&before), &c) &&
		str_starts(c.key, buf_view(&prefix)) &&
		version_row_decode(c.key, c.val, &row);
	kv_cursor_close(&c);
	return found ? row.version : 0;
}

static enum code previous_version(struct apply *a, const struct thing *t,
				  struct str tenant, uint32_t live,
				  uint32_t *out, struct err *err)
{
	uint32_t to = a->head->version < VERSION_GATE ?
			      version_before(a, t, tenant, live) :
			      way_back(a->txn, a->arena, tenant, &t->live, live);

	if (!to) {
		err_set(err, E_UNPROCESSABLE, "there is no earlier version of %.*s to "
			"roll back to that was live and was not turned back",
			STR_ARG(t->live.name));
		return err_hint(err, "name one (--version-id)");
	}
	*out = to;
	return OK;
}

/* What was on its way has not been live, so nothing of that comes back; '*ended': it
 * was on its way. */
static enum code end_open(struct apply *a, const struct op *op, bool *ended,
			  struct err *err)
{
	size_t n = 0;
	enum code rc = OK;

	if (releasing_is_there(a, op->tenant))
		rc = releasing_end_at(a, op->tenant, op->name,
				      ROLLOUT_ROLLED_BACK,
				      op->message.n ? op->message :
						      STR("rolled back"), &n, err);
	*ended = n > 0;
	return rc;
}

/* The default stays; of an emergency all other rules go. */
static enum code keep_default(struct apply *a, struct thing *t,
			      const struct op *op, struct err *err)
{
	struct rules rules;
	enum code rc = config_rules(a, t, &rules, err);
	int at = rules_default(&rules);

	if (rc || op->mode != ROLLBACK_EMERGENCY || at < 0)
		return rc;
	t->live.rules = config_encode_rules(a, &(struct rules){
		.r = &rules.r[at], .n = 1 });
	return OK;
}

/* What nobody ever got is no way back: whoever brings it publishes. */
static enum code check_new(struct apply *a, const struct op *op, struct err *err)
{
	struct target target = { .kind = KIND_CONFIG, .tenant = op->tenant,
				 .name = op->name };
	enum code rc = gate_is_permitted(a) ? OK :
		       permission_check(&a->cmd->subject, VERB_PUBLISH, &target, err);

	if (rc)
		return err_wrap(err, "version %u was never live", op->version);
	if (op->mode != ROLLBACK_EMERGENCY || !releasing_in_steps(a, op->tenant))
		return OK;
	err_set(err, E_UNPROCESSABLE, "version %u was never live: it goes out in steps, "
		"which an emergency does not wait for", op->version);
	return err_hint(err, "name a version that was live, or none, or take the mode "
			"stable_only");
}

/* At most so much of a reason goes into the row, which each fetch reads. */
#define HOLD_REASON_MAX 500u

static struct str short_reason(struct str reason)
{
	size_t n = 0, len;

	while (n < reason.n && (len = str_utf8_len(str_from(reason, n))) > 0 &&
	       n + len <= HOLD_REASON_MAX)
		n += len;
	return str_first(reason, n);
}

/* Its source may not bring again what was turned back; people see who said so, and why.
 * One that is held already is what the source brings, and goes on being held, unless it
 * is what was named. */
static void hold_back(struct apply *a, struct thing *t, const struct op *op,
		      uint32_t from, const struct sha256 *bad, const struct sha256 *to)
{
	bool is_named = t->live.has_hold && sha256_eq(&t->live.hold, to);

	if (a->head->version >= VERSION_GATE && t->live.has_hold && !is_named)
		return;
	config_unhold(a, t, op->tenant);
	if (a->head->version >= VERSION_GATE && is_named)
		return;
	t->live.has_hold = true;
	t->live.hold = *bad;
	if (a->head->version < VERSION_GATE)
		return;
	t->live.hold_version = from;
	t->live.hold_reason = short_reason(a->cmd->reason);
	t->live.hold_by = a->cmd->subject.name;
	t->live.hold_ms = a->head->time_ms;
}

/* 'from' is left for 'v'. */
static void turn_back(struct apply *a, struct thing *t, const struct op *op,
		      uint32_t from, const struct sha256 *bad,
		      const struct version_row *v)
{
	if (sha256_eq(bad, &v->sha))
		return;
	if (t->row.manager == MANAGER_GIT)
		hold_back(a, t, op, from, bad, &v->sha);
	if (a->head->version < VERSION_GATE)
		return;
	if (op->version)
		version_unmark(a, op->tenant, t->row.uid, &v->sha);
	version_mark_back(a, op->tenant, t->row.uid, from);
	t->live.stable_version = way_back(a->txn, a->arena, op->tenant, &t->live,
					  v->version);
}

/* The version is known, and it is a way back to it. */
static enum code go_back(struct apply *a, struct thing *t, const struct op *op,
			 uint32_t to, struct op_result *res, struct err *err)
{
	struct version_row v;
	struct sha256 bad = { 0 };
	uint32_t live = config_default(a, t, &bad);
	enum code rc = config_version(a, t, op->tenant, to, &v, err);

	if (rc == OK && to == live)
		rc = keep_default(a, t, op, err);
	else if (rc == OK)
		rc = config_move_default(a, t, op->tenant, &v,
					 op->mode == ROLLBACK_EMERGENCY, err);
	if (rc)
		return rc;
	*res = (struct op_result){ .uid = t->row.uid, .version = to };
	turn_back(a, t, op, live, &bad, &v);
	config_change(a, t, op, res);
	return OK;
}

static enum code roll_back(struct apply *a, const struct op *op,
			   struct op_result *res, struct err *err)
{
	AUTO_THING t = { 0 };
	struct sha256 bad;
	uint32_t live, to = op->version;
	bool ended = false;
	enum code rc = end_open(a, op, &ended, err);

	/* Its rules are others now. */
	if (rc == OK)
		rc = thing_load(a, &t, op->tenant, KIND_CONFIG, op->name, err);
	if (rc)
		return rc;
	live = config_default(a, &t, &bad);
	if (to == 0 && ended)
		to = live;
	if (to == 0)
		rc = previous_version(a, &t, op->tenant, live, &to, err);
	return rc ? rc : go_back(a, &t, op, to, res, err);
}

enum code apply_rollback(struct apply *a, const struct op *op,
			 struct op_result *res, struct err *err)
{
	AUTO_THING t = { 0 };
	struct version_row v;
	struct sha256 sha;
	enum code rc = config_load(a, &t, op, err);

	if (rc)
		return rc;
	if (!config_default(a, &t, &sha))
		return err_set(err, E_UNPROCESSABLE,
			       "nothing is released, so nothing can be rolled back");
	if (op->version)
		rc = config_version(a, &t, op->tenant, op->version, &v, err);
	if (rc || !op->version || v.was_live)
		return rc ? rc : roll_back(a, op, res, err);
	rc = check_new(a, op, err);
	if (rc)
		return rc;
	*res = (struct op_result){ .rev = thing_rev(&t), .uid = t.row.uid };
	return releasing_in_steps(a, op->tenant) ?
		       publish(a, &t, op, &v, res, err) :
		       roll_back(a, op, res, err);
}
