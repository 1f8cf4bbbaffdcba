/*
 * Proposals in apply: how they are made, voted on, executed and ended, each with
 * its object, its event and what others are told.  See gate.h.
 *
 * Sentences that stand here, and in the other files of apply that write messages into
 * rows, are part of the state: they change with the version of the cluster alone, unlike
 * the words of errors, which therefore are in no row.
 */
#include "state/gate_own.h"

#include "base/banned.h"

/* Open ones of a tenant, all ended ones that are kept aside. */
#define PROPOSALS_MAX 10000
/* Go, where there is one too many: so that many become few again. */
#define OLDEST_GO 2
/* Of its history: that it was approved, and ended. */
#define HISTORY_PHASES 4
/* Of broken glasses, at most: they stay until somebody closes them. */
#define REVIEWS_MAX 32

/* ---- rows ---- */

enum code proposal_load(struct apply *a, struct str tenant, struct str name,
			struct proposal_row *out, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	if (tenant.n > 63 || name.n > 63)
		return err_set(err, E_NOT_FOUND, "no such proposal");
	key_proposal(&key, tenant, name);
	if (!kv_get(a->txn, KV_PROPOSALS, buf_view(&key), &val))
		return err_set(err, E_NOT_FOUND, "releaseproposals." API_GROUP
			       " \"%.*s\" not found", STR_ARG(name));
	if (!proposal_row_decode(a->keep, arena_str(a->keep, val), out))
		return err_set(err, E_CORRUPT, "a proposal row is malformed");
	return OK;
}

bool proposal_is_there(struct apply *a, struct str tenant, struct str name)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	key_proposal(&key, tenant, name);
	return kv_get(a->txn, KV_PROPOSALS, buf_view(&key), &val) &&
	       val.n > 1 && proposal_is_open((uint8_t)val.p[1]);
}

/* As that of a Release (release.c), and another. */
static struct uuid make_uid(const struct apply *a)
{
	struct uuid uid;

	memcpy(uid.b, a->head->audit_head.b, sizeof(uid.b));
	uid.b[0] ^= 1;
	uid.b[6] = (uid.b[6] & 0x0f) | 0x80;
	uid.b[8] = (uid.b[8] & 0x3f) | 0x80;
	return uid;
}

/* Writes row and object, with its event. */
static enum code put(struct apply *a, struct str tenant, struct str name,
		     const struct proposal_row *row, bool is_new, struct err *err)
{
	struct object_row object = {
		.uid = make_uid(a), .created_ms = a->head->time_ms,
		.generation = 1, .labels = STR("{}"), .meta = STR("{}") };
	struct event_row event = { .type = is_new ? EVENT_ADDED : EVENT_MODIFIED,
				   .kind = KIND_PROPOSAL, .tenant = tenant,
				   .name = name };
	AUTO_BUF spec = BUF_NONE;
	AUTO_BUF status = BUF_NONE;
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF key2 = BUF_NONE;
	AUTO_BUF val = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	struct str before;

	key_object(&key, tenant, KIND_PROPOSAL, name);
	before = ap_get(a, KV_OBJECTS, buf_view(&key));
	if (!is_new && !object_row_decode(before, &object))
		return err_set(err, E_CORRUPT, "a proposal has no object");
	if (is_new) {
		proposal_spec(&spec, row);
		object.spec = buf_view(&spec);
	}
	proposal_status(&status, row);
	object.status = buf_view(&status);
	object.rev = ap_next_rev(a);
	object_row_encode(&bytes, &object);
	ap_put(a, KV_OBJECTS, buf_view(&key), buf_view(&bytes));
	key_proposal(&key2, tenant, name);
	proposal_row_encode(&val, row);
	ap_put(a, KV_PROPOSALS, buf_view(&key2), buf_view(&val));
	event.after = buf_view(&bytes);
	ap_diff(a, before, event.after);
	ap_event(a, object.rev, &event);
	return OK;
}

/* At most 'most' of all: what people said leaves room for what became of it. */
static void note(struct apply *a, struct proposal_row *row, size_t most,
		 struct str what, struct str by, struct str message)
{
	if (row->n_history >= most)
		return;
	row->history = arena_grow(a->keep, row->history, &row->cap_history,
				  row->n_history + 1, sizeof(*row->history));
	row->history[row->n_history++] = (struct proposal_event){
		a->head->time_ms, what, by, message };
}

/* ---- moves ---- */

static void key_approved(struct buf *out, struct str tenant, struct str name)
{
	buf_str(out, KEY_APPROVED);
	key_proposal(out, tenant, name);
}

/* What the leader is to execute is found without looking at all. */
static void index_approved(struct apply *a, struct str tenant, struct str name,
			   const struct proposal_row *row)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;

	key_approved(&key, tenant, name);
	wr_u64(&val, row->not_before_ms);
	if (row->phase == PROPOSAL_APPROVED)
		ap_put(a, KV_META, buf_view(&key), buf_view(&val));
	else
		ap_del(a, KV_META, buf_view(&key));
	a->gate_changes++;
}

static bool notice_for(enum proposal_phase phase, enum notice *out)
{
	switch (phase) {
	case PROPOSAL_APPROVED:
		*out = NOTICE_APPROVED;
		return true;
	case PROPOSAL_EXECUTED:
		*out = NOTICE_EXECUTED;
		return true;
	case PROPOSAL_REJECTED:
		*out = NOTICE_REJECTED;
		return true;
	case PROPOSAL_EXPIRED:
		*out = NOTICE_EXPIRED;
		return true;
	case PROPOSAL_FAILED:
		*out = NOTICE_FAILED;
		return true;
	case PROPOSAL_STALE:
		*out = NOTICE_STALE;
		return true;
	case PROPOSAL_CANCELLED:
	case PROPOSAL_SUPERSEDED:
		*out = NOTICE_CANCELLED;
		return true;
	default:
		return false;
	}
}

static void tell(struct apply *a, enum notice what, struct str tenant,
		 struct str name, const struct proposal_row *row)
{
	AUTO_BUF data = BUF_NONE;

	if (!gate_is_there(a, tenant))
		return;
	proposal_data(&data, tenant, name, row);
	outbox_note(a, what, tenant, KIND_PROPOSAL, name, buf_view(&data));
}

/* All but writing it. */
static void move(struct apply *a, struct str tenant, struct str name,
		 struct proposal_row *row, enum proposal_phase to,
		 struct str by, struct str why)
{
	enum notice notice;

	if (!proposal_may(row->phase, to))
		return;
	row->phase = to;
	note(a, row, PROPOSAL_HISTORY_MAX, str_of(proposal_phase_name(to)), by, why);
	index_approved(a, tenant, name, row);
	if (!proposal_is_open(to)) {
		row->ended_ms = a->head->time_ms;
		row->message = why;
		due_del(a, row->expires_ms, DUE_EXPIRE, tenant, name);
		due_put(a, a->head->time_ms + PLAN_KEPT_MS, DUE_CLEAR, tenant,
			name);
	}
	if (notice_for(to, &notice))
		tell(a, notice, tenant, name, row);
}

void proposal_move(struct apply *a, struct str tenant, struct str name,
		   struct proposal_row *row, enum proposal_phase to,
		   struct str by, struct str why)
{
	move(a, tenant, name, row, to, by, why);
	(void)!put(a, tenant, name, row, false, NULL);
}

void proposal_expire(struct apply *a, struct str tenant, struct str name)
{
	struct proposal_row row;

	if (proposal_load(a, tenant, name, &row, NULL) ||
	    !proposal_is_open(row.phase))
		return;
	proposal_move(a, tenant, name, &row, PROPOSAL_EXPIRED, STR("system"),
		      STR("nobody executed it in time"));
	ap_target(a, "expire", KIND_PROPOSAL, tenant, name);
}

/* ---- making ---- */

static enum code locked(struct str name, struct err *err)
{
	err_set(err, E_LOCKED, "proposal %.*s touches the same configuration and "
		"is not decided yet", STR_ARG(name));
	return err_hint(err, "approve, reject or cancel it first, or let the "
			"policy say onConflict: Supersede");
}

static const struct gate_policy *first_that_wants(const struct gate *g)
{
	for (size_t i = 0; i < g->n_policies; i++)
		if (policy_asks(g, &g->policies[i]))
			return &g->policies[i];
	return NULL;
}

/* May it end all those that are in its way? */
static enum code check_conflicts(struct apply *a, struct err *err)
{
	struct gate *g = a->gate;
	struct gate_walk *w = &g->walk;
	const struct gate_policy *first = first_that_wants(g);
	bool may = w->what == WALK_GLASS || (first && first->is.supersedes);

	for (size_t i = 0; i < w->n_conflicts; i++) {
		struct proposal_row row;
		enum code rc = proposal_load(a, buf_view(&w->tenant),
					     w->conflicts[i], &row, err);

		if (rc)
			return rc;
		if (!may && !(row.role == ROLE_SOURCE &&
			      str_eq(row.authors.subject, a->cmd->subject.name)))
			return locked(w->conflicts[i], err);
	}
	if (w->are_more)
		return err_set(err, E_LOCKED, "more than %zu pending proposals "
			       "touch the same configurations", w->n_conflicts);
	return OK;
}

static enum code supersede(struct apply *a, struct err *err)
{
	struct gate_walk *w = &a->gate->walk;
	struct str why = arena_printf(a->keep, "proposal %.*s takes its place",
				      (int)w->name.n, w->name.p);

	for (size_t i = 0; i < w->n_conflicts; i++) {
		struct proposal_row row;
		enum code rc = proposal_load(a, buf_view(&w->tenant),
					     w->conflicts[i], &row, err);

		if (rc)
			return rc;
		proposal_move(a, buf_view(&w->tenant), w->conflicts[i], &row,
			      PROPOSAL_SUPERSEDED, a->cmd->subject.name, why);
	}
	return OK;
}

/* Stages in the order in which they open: by policy, then as written. */
static enum code copy_policies(struct apply *a, struct proposal_row *row,
			       struct err *err)
{
	struct gate *g = a->gate;
	size_t n = 0, cap = 0, cap_stages = 0;

	for (size_t i = 0; i < g->n_policies; i++) {
		const struct gate_policy *p = &g->policies[i];

		if (!policy_asks(g, p))
			continue;
		row->policies = arena_grow(a->keep, row->policies, &cap,
					   row->n_policies + 1,
					   sizeof(*row->policies));
		row->policies[row->n_policies++] =
			(struct proposal_policy){ p->name, p->rev };
		n += p->is.n_stages;
		for (size_t k = 0; k < p->is.n_stages; k++) {
			row->stages = arena_grow(a->keep, row->stages,
						 &cap_stages, row->n_stages + 1,
						 sizeof(*row->stages));
			row->stages[row->n_stages++] = (struct proposal_stage){
				p->name, p->is.stages[k] };
		}
	}
	if (n <= PROPOSAL_STAGES_MAX)
		return OK;
	err_set(err, E_TOO_LARGE, "the policies have %zu stages together, at most "
		"%d can be satisfied", n, PROPOSAL_STAGES_MAX);
	return err_hint(err, "let fewer policies select the same configurations");
}

#define EXPIRES_MS (24ull * 3600000)

static enum code make_row(struct apply *a, const struct sha256 *digest,
			  struct proposal_row *row, struct err *err)
{
	struct gate_walk *w = &a->gate->walk;
	const struct gate_policy *first = first_that_wants(a->gate);
	const struct command *c = a->cmd;
	uint64_t now = a->head->time_ms;

	*row = (struct proposal_row){
		.phase = PROPOSAL_PENDING, .digest = *digest, .created_ms = now,
		.role = c->subject.role, .tenant_of_author = c->subject.tenant,
		.reason = c->reason, .commit = c->commit, .count = w->count,
		.is_glass = w->what == WALK_GLASS, .authors = w->authors,
		.configs = w->configs, .n_configs = w->n_configs,
	};
	row->authors.subject = c->subject.name;
	if (first && first->is.start_ms)
		row->not_before_ms = now + first->is.start_ms;
	if (c->not_before_ms > now)
		row->not_before_ms = MAX(row->not_before_ms, c->not_before_ms);
	row->expires_ms = MAX(now, row->not_before_ms) +
			  (first ? first->is.expires_ms : EXPIRES_MS);
	if (row->is_glass) {
		row->not_before_ms = 0;
		row->review = REVIEW_OPEN;
	}
	note(a, row, PROPOSAL_HISTORY_MAX, row->is_glass ? STR("break-glass") : STR("propose"),
	     c->subject.name, c->reason);
	return copy_policies(a, row, err);
}

static void count_review(struct apply *a, struct str tenant, int64_t delta)
{
	uint64_t n = ap_count(a, tenant, COUNT_REVIEWS);

	if (delta > 0 || n)
		ap_set_count(a, tenant, COUNT_REVIEWS, n + (uint64_t)delta);
}

static void key_cleared(struct buf *out, struct str tenant, struct str name)
{
	buf_str(out, KEY_CLEARED);
	key_proposal(out, tenant, name);
}

void proposal_index_cleared(struct apply *a, struct str tenant, struct str name,
			    const struct proposal_row *row)
{
	AUTO_BUF key = BUF_NONE;

	if (!row->is_cleared || row->review == REVIEW_OPEN)
		return;
	key_cleared(&key, tenant, name);
	ap_put(a, KV_META, buf_view(&key), STR(""));
}

void proposal_remove(struct apply *a, struct str tenant, struct str name,
		     const struct proposal_row *row)
{
	struct event_row event = { .type = EVENT_DELETED, .kind = KIND_PROPOSAL,
				   .tenant = tenant, .name = name };
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF key2 = BUF_NONE;
	AUTO_BUF plan = BUF_NONE;
	AUTO_BUF cleared = BUF_NONE;
	struct plan_row p;

	key_object(&key, tenant, KIND_PROPOSAL, name);
	event.before = ap_get(a, KV_OBJECTS, buf_view(&key));
	ap_del(a, KV_OBJECTS, buf_view(&key));
	key_proposal(&key2, tenant, name);
	ap_del(a, KV_PROPOSALS, buf_view(&key2));
	key_cleared(&cleared, tenant, name);
	ap_del(a, KV_META, buf_view(&cleared));
	/* What a source may not propose again was remembered under it. */
	key_plan(&plan, tenant, &row->digest);
	if (plan_load(a, tenant, &row->digest, &p, NULL) == OK && p.ops == 0 &&
	    str_eq(p.proposal, name))
		ap_del(a, KV_PLANS, buf_view(&plan));
	ap_set_count(a, tenant, KIND_PROPOSAL,
		     ap_count(a, tenant, KIND_PROPOSAL) - 1);
	if (row->review == REVIEW_OPEN)
		count_review(a, tenant, -1);
	if (event.before.n)
		ap_event(a, ap_next_rev(a), &event);
}

/* The oldest that have ended, of whose plans nothing is left, and that nobody is still to
 * look at. */
static void remove_oldest(struct apply *a, struct str tenant)
{
	AUTO_BUF prefix = BUF_NONE;

	key_cleared(&prefix, tenant, STR_NONE);
	for (unsigned i = 0; i < OLDEST_GO; i++) {
		struct proposal_row row;
		struct str name = STR_NONE;
		struct kv_cursor c;

		if (kv_seek(a->txn, KV_META, buf_view(&prefix), &c) &&
		    str_starts(c.key, buf_view(&prefix)))
			name = arena_str(a->keep, str_from(c.key, prefix.n));
		kv_cursor_close(&c);
		if (!name.n || proposal_load(a, tenant, name, &row, NULL))
			return;
		proposal_remove(a, tenant, name, &row);
	}
}

static enum code make_room(struct apply *a, struct str tenant, struct err *err)
{
	uint64_t n = ap_count(a, tenant, KIND_PROPOSAL);

	if (n >= PROPOSALS_MAX) {
		err_set(err, E_QUOTA, "tenant %.*s has %d proposals",
			STR_ARG(tenant), PROPOSALS_MAX);
		return err_hint(err, "decide what is pending; what has ended goes "
				"a day later");
	}
	n = ap_count(a, tenant, COUNT_REVIEWS);
	if (a->gate->walk.what == WALK_GLASS && n >= REVIEWS_MAX) {
		err_set(err, E_QUOTA, "%llu reviews of broken glasses are open in "
			"tenant %.*s", (unsigned long long)n, STR_ARG(tenant));
		return err_hint(err, "somebody else is to look at them first "
				"(conflux proposals, conflux review)");
	}
	return OK;
}

/* The same plan was proposed before: it is that, or it was refused. */
static enum code check_same(struct apply *a, const struct sha256 *digest,
			    struct str *name, struct proposal_row *row,
			    struct err *err)
{
	struct gate_walk *w = &a->gate->walk;
	struct str tenant = buf_view(&w->tenant);
	struct plan_row plan;
	enum code rc = plan_load(a, tenant, digest, &plan, err);

	*name = STR_NONE;
	if (rc || !plan.proposal.n)
		return rc == E_NOT_FOUND ? OK : rc;
	plan.proposal = arena_str(a->keep, plan.proposal);
	rc = proposal_load(a, tenant, plan.proposal, row, err);
	if (rc)
		return rc == E_NOT_FOUND ? OK : rc;
	if (proposal_is_open(row->phase) && w->what != WALK_GLASS) {
		*name = plan.proposal;
		return OK;
	}
	if (a->cmd->subject.role != ROLE_SOURCE ||
	    (row->phase != PROPOSAL_REJECTED &&
	     row->phase != PROPOSAL_CANCELLED && row->phase != PROPOSAL_EXPIRED))
		return OK;
	err_set(err, E_REJECTED, "the same change is proposal %.*s, which is %s",
		STR_ARG(plan.proposal), proposal_phase_name(row->phase));
	return err_hint(err, "a new commit is proposed anew");
}

static void answer(struct outcome *out, struct str name,
		   enum proposal_phase phase)
{
	str_copy(out->proposal, sizeof(out->proposal), name);
	str_copy(out->phase, sizeof(out->phase),
		 str_of(proposal_phase_name(phase)));
}

/* One where no stage wants anybody waits for nothing but its time. */
static void judge(struct apply *a, struct str tenant, struct str name,
		  struct proposal_row *row, struct str by)
{
	struct proposal_verdict v;

	proposal_judge(row->stages, row->n_stages, row->votes, row->n_votes, &v);
	if (row->phase == PROPOSAL_PENDING && (v.is_satisfied || row->is_glass))
		move(a, tenant, name, row, PROPOSAL_APPROVED, by,
		     row->is_glass    ? STR("the glass was broken") :
		     row->n_policies  ? STR("all stages are satisfied") :
					STR("nobody is asked; it waits for its time"));
}

enum code proposal_make(struct apply *a, struct outcome *out, struct err *err)
{
	struct gate_walk *w = &a->gate->walk;
	struct str tenant = buf_view(&w->tenant), name = buf_view(&w->name), same;
	struct sha256 digest = walk_digest(a);
	struct proposal_row row;
	enum code rc = check_same(a, &digest, &same, &row, err);

	if (rc == OK && same.n) {
		ap_anew(a);
		answer(out, same, row.phase);
		return OK;
	}
	if (rc == OK)
		rc = check_conflicts(a, err);
	if (rc == OK)
		rc = make_room(a, tenant, err);
	if (rc == OK)
		rc = make_row(a, &digest, &row, err);
	if (rc == OK)
		rc = walk_keep(a, name, &digest, err);
	if (rc)
		return rc;
	tell(a, NOTICE_PROPOSAL_CREATED, tenant, name, &row);
	if (row.is_glass) {
		tell(a, NOTICE_BREAK_GLASS, tenant, name, &row);
		count_review(a, tenant, 1);
	}
	due_put(a, row.expires_ms, DUE_EXPIRE, tenant, name);
	judge(a, tenant, name, &row, a->cmd->subject.name);
	rc = put(a, tenant, name, &row, true, err);
	ap_set_count(a, tenant, KIND_PROPOSAL,
		     ap_count(a, tenant, KIND_PROPOSAL) + 1);
	if (rc == OK)
		rc = supersede(a, err);
	if (ap_count(a, tenant, KIND_PROPOSAL) >
	    MAX(a->head->limits.releases_max, (uint64_t)1))
		remove_oldest(a, tenant);
	a->action = "propose";
	ap_target(a, a->action, KIND_PROPOSAL, tenant, name);
	answer(out, name, row.phase);
	return rc;
}

/* ---- executing ---- */

enum code proposal_executed(struct apply *a, struct outcome *out, struct err *err)
{
	struct gate *g = a->gate;
	struct str tenant = arena_str(a->keep, buf_view(&g->of));
	struct str name = arena_str(a->keep, buf_view(&g->proposal));
	struct proposal_row row;
	enum code rc = proposal_load(a, tenant, name, &row, err);

	if (rc)
		return rc;
	row.executed_rev = a->head->rev;
	row.release = arena_str(a->keep, buf_view(&a->release.name));
	move(a, tenant, name, &row, PROPOSAL_EXECUTED,
	     g->mode == GATE_GLASS ? a->cmd->subject.name : STR("system"),
	     STR_NONE);
	a->action = g->mode == GATE_GLASS ? "break-glass" : "execute";
	ap_target(a, a->action, KIND_PROPOSAL, tenant, name);
	answer(out, name, PROPOSAL_EXECUTED);
	return put(a, tenant, name, &row, false, err);
}

enum code proposal_failed(struct apply *a, struct outcome *out,
			  enum code why, struct err *err)
{
	struct gate *g = a->gate;
	struct str tenant = arena_str(a->keep, buf_view(&g->of));
	struct str name = arena_str(a->keep, buf_view(&g->proposal));
	struct proposal_row row;
	enum code rc = proposal_load(a, tenant, name, &row, err);

	if (rc)
		return rc;
	row.failure = (struct proposal_failure){ .at = g->failed_at,
						 .code = (uint64_t)why };
	if (g->failed_at == FAILED_OPERATION) {
		row.failure.action = buf_view(&g->failed_action);
		row.failure.object = buf_view(&g->failed_object);
	}
	move(a, tenant, name, &row, PROPOSAL_FAILED, STR("system"), STR_NONE);
	a->action = "execute";
	ap_target(a, "fail", KIND_PROPOSAL, tenant, name);
	answer(out, name, PROPOSAL_FAILED);
	out->n_results = 0;
	return put(a, tenant, name, &row, false, err);
}

/* ---- votes ---- */

static enum code check_webhook(struct apply *a, struct err *err)
{
	struct str name = a->cmd->subject.name;
	struct str rest = str_starts(name, STR("webhook:")) ?
				  str_from(name, 8) : STR_NONE;
	struct str tenant = str_cut(&rest, '/');

	return outbox_may_vote(a, tenant, rest, err);
}

static void add_vote(struct apply *a, struct proposal_row *row,
		     const struct op *op, uint64_t stages)
{
	row->votes = arena_grow(a->keep, row->votes, &row->cap_votes,
				row->n_votes + 1, sizeof(*row->votes));
	row->votes[row->n_votes++] = (struct proposal_vote){
		.vote = op->vote, .subject = a->cmd->subject.name,
		.reason = op->message, .time_ms = a->head->time_ms,
		.stages = stages };
	note(a, row, PROPOSAL_HISTORY_MAX - HISTORY_PHASES,
	     str_of(vote_action(op->vote)), a->cmd->subject.name, op->message);
}

/* What follows of it. */
static void follow(struct apply *a, const struct op *op, struct proposal_row *row)
{
	struct str who = a->cmd->subject.name;

	switch (op->vote) {
	case VOTE_REJECT:
		move(a, op->tenant, op->name, row, PROPOSAL_REJECTED, who,
		     op->message);
		break;
	case VOTE_CANCEL:
		move(a, op->tenant, op->name, row, PROPOSAL_CANCELLED, who,
		     op->message);
		break;
	case VOTE_REVIEW:
		row->review = REVIEW_CLOSED;
		proposal_index_cleared(a, op->tenant, op->name, row);
		count_review(a, op->tenant, -1);
		break;
	default:
		judge(a, op->tenant, op->name, row, who);
	}
}

/* A token that changes nothing cancels nothing, whoever's it is. */
static bool may_change(const struct subject *s)
{
	return s->role == ROLE_ROOT ||
	       (s->role == ROLE_NAMED &&
		(s->verbs & (BIT(VERB_PUBLISH) | BIT(VERB_ROLLBACK) |
			     BIT(VERB_ADMINISTER))));
}

static enum code check_vote(struct apply *a, const struct op *op,
			    const struct proposal_row *row, uint64_t *stages,
			    bool *again, struct err *err)
{
	const struct subject *s = &a->cmd->subject;
	struct proposal_voter who = {
		.subject = s->name, .groups = s->groups,
		.may_all = s->role == ROLE_ROOT ||
			   (s->role == ROLE_NAMED &&
			    (s->verbs & BIT(VERB_ADMINISTER))) };
	struct proposal_votable p = {
		.phase = row->phase, .has_review = row->review == REVIEW_OPEN,
		.expires_ms = row->expires_ms, .authors = &row->authors,
		.stages = row->stages, .n_stages = row->n_stages,
		.votes = row->votes, .n_votes = row->n_votes };

	if (op->vote == VOTE_CANCEL && !may_change(s)) {
		err_set(err, E_DENIED, "this token of %.*s may bring no change, and "
			"cancel none", STR_ARG(s->name));
		return err_hint(err, "it takes the verb publish, rollback or administer");
	}
	if (op->message.n > 1000 || !str_is_utf8(op->message))
		return err_set(err, E_INVALID, "the reason of a vote is UTF-8, at "
			       "most 1000 bytes");
	if (!sha256_eq(&row->digest, &op->sha)) {
		err_set(err, E_CONFLICT, "the proposal is of another plan than the "
			"one that was voted on");
		return err_hint(err, "look at it again, and vote on the digest "
				"that it has now");
	}
	return proposal_vote_check(&p, op->vote, &who, a->head->time_ms, stages,
				   again, err);
}

enum code apply_vote(struct apply *a, const struct op *op,
		     struct op_result *res, struct err *err)
{
	struct proposal_row row;
	uint64_t stages = 0;
	bool again = false;
	enum code rc = op->kind != KIND_PROPOSAL ?
		err_set(err, E_INVALID, "votes are on proposals") :
		proposal_load(a, op->tenant, op->name, &row, err);

	if (rc == OK && a->cmd->subject.role == ROLE_WEBHOOK)
		rc = check_webhook(a, err);
	if (rc == OK)
		rc = check_vote(a, op, &row, &stages, &again, err);
	if (rc || again)
		return rc;
	add_vote(a, &row, op, stages);
	follow(a, op, &row);
	rc = put(a, op->tenant, op->name, &row, false, err);
	*res = (struct op_result){ .rev = a->head->rev, .changed = true };
	return rc;
}
