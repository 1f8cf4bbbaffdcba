/* One pass over one source: see job.h. */
#include "source/job.h"

#include "base/clock.h"
#include "base/log.h"
#include "source/pass.h"
#include "source/reverts.h"
#include "state/view_rollout.h"

#include "base/banned.h"

#define TRIES 4
/* From this many operations on a status says that they are being applied. */
#define LARGE_PLAN 500
#define REVERTS_A_PASS 5
#define OFFER_AGAIN_MS (5 * 60 * 1000)

/* ---- at the gate ---- */

/* What Git says waits for people: nothing else is to be done for it until the
 * proposal is over. */
static enum code say_waiting(struct pass *p, struct str proposal,
			     struct err *err)
{
	struct status_write w = {
		.phase = STATUS_WAITING, .reason = "WaitingForApproval",
		.message = arena_printf(p->arena, "%.*s waits for approval in "
					"ReleaseProposal %.*s",
					STR_ARG(p->revision), STR_ARG(proposal)),
		.attempted = p->revision, .proposal = proposal,
	};

	str_copy(p->job->result.proposal, sizeof(p->job->result.proposal),
		 proposal);
	p->job->phase = STATUS_WAITING;
	return pass_write_status(p, &w, err);
}

/* This commit was proposed, and nobody has decided yet.  A proposal that is over
 * is none to wait for: submitting the same again says how it ended. */
static bool is_proposed(struct pass *p)
{
	struct object_view o;

	if (!p->before.proposal.n ||
	    !str_eq(p->before.attempted_text, p->revision) ||
	    view_object(p->txn, KIND_PROPOSAL, p->tenant, p->before.proposal, &o,
			NULL))
		return false;
	return !reverts_is_over(&o.row, p->arena);
}

/* ---- applying ---- */

/* A large command takes its time; say so first. */
static enum code announce(struct pass *p, struct err *err)
{
	struct status_write w = {
		.phase = STATUS_RECONCILING, .reason = "Applying",
		.message = arena_printf(p->arena, "applying %.*s: %zu operations",
					STR_ARG(p->revision),
					plan_size(p->plan)),
		.attempted = p->revision,
	};
	enum code rc;

	if (plan_size(p->plan) < LARGE_PLAN)
		return OK;
	rc = pass_write_status(p, &w, err);
	if (rc == OK)
		plan_rebase(p->plan, p->config.rev);
	return rc;
}

/* An uncertain write is asked again under its key: it happens at most once. */
static enum code submit(struct pass *p, struct str bytes, struct outcome *out,
			struct err *err)
{
	enum code rc = E_UNCERTAIN;

	for (unsigned i = 0; i < TRIES && rc == E_UNCERTAIN; i++) {
		rc = store_submit_wait(p->job->store, bytes, p->arena, out, err);
		if (rc == OK && out->code) {
			rc = err_set(err, out->code, "%s", out->text);
			if (out->hint[0])
				err_hint(err, "%s", out->hint);
		}
	}
	return rc;
}

/* The picture is of before the proposal was made. */
static enum code wait_for(struct pass *p, const struct outcome *out,
			  struct err *err)
{
	struct str proposal = arena_str(p->arena, str_of(out->proposal));
	enum code rc = pass_load(p, out->rev, err);

	return rc ? rc : say_waiting(p, proposal, err);
}

static enum code apply_plan(struct pass *p, struct err *err)
{
	struct job *j = p->job;
	uint64_t start = clock_mono_ns();
	AUTO_BUF bytes = BUF_NONE;
	struct outcome out = { 0 };
	struct str status;
	uint64_t formatting;
	enum code rc = feed_flush(p->feed, err);

	j->result.operations = plan_size(p->plan);
	if (rc == OK)
		rc = announce(p, err);
	if (rc)
		return rc;
	status = pass_ready_status(p);
	plan_command(p->plan, status, clock_wall_ms(), &bytes);
	formatting = plan_counts(p->plan)->formatting;
	/* A first import is large twice over: as a plan and as bytes. */
	if (plan_size(p->plan) >= LARGE_PLAN)
		plan_free(&p->plan);
	if (pass_is_cancelled(p))
		return err_set(err, E_CANCELLED, "the reconcile was ended");
	rc = submit(p, buf_view(&bytes), &out, err);
	j->submit_us = (clock_mono_ns() - start) / 1000;
	if (rc == OK && out.proposal[0])
		return wait_for(p, &out, err);
	if (rc == OK) {
		j->result.rev = out.rev;
		j->formatting = formatting;
	}
	return rc;
}

/* ---- the way back ---- */

/* The server may be there later: nothing is written, and the branch is offered again.
 * That is no failure of the source. */
static void offer_later(struct pass *p, const struct err *why)
{
	struct job *j = p->job;

	j->offer_ms = clock_mono_ms() + OFFER_AGAIN_MS;
	j->offer_generation = j->generation;
	log_warn("source", LOG_KV(log_z("tenant", j->tenant),
				  log_z("source", j->name),
				  log_z("code", code_slug(why->code))),
		 "the way back could not be offered: %s", why->text);
}

static bool offers_later(const struct job *j)
{
	return j->offer_generation == j->generation &&
	       clock_mono_ms() < j->offer_ms;
}

/* One release that turned back, as a branch in the repository.  Where that cannot
 * be, the status says why, once.  'was': the status before this pass. */
static enum code offer_revert(struct pass *p, const struct status_read *was,
			      const struct revert_wish *wish, struct err *err)
{
	struct fetch_target target = {
		.url = value_text_at(p->spec, "url"), .branch = p->ref,
		.dir = p->dir, .revert = wish->commit,
	};
	struct status_write w = {
		.phase = STATUS_READY, .keeps = true,
		.revert_release = wish->release,
	};
	struct fetch_result got = { 0 };
	struct commit_info info;
	struct err why = { 0 };
	char hex[OID_TEXT];
	enum code rc = repo_commit(p->repo, &wish->commit, &info, &why);

	w.revert_branch = target.push =
		reverts_branch(p->arena, value_text_at(p->spec, "revert.branch"),
			       wish);
	if (oid_eq(&wish->commit, &was->applied) && was->has_previous)
		target.base = was->previous;
	if (rc == OK) {
		target.message = reverts_message(p->arena, str_of(info.summary),
						 wish);
		view_idle(p->view);
		rc = fetch_revert(p->job->settings, &target, &p->job->cancel, &got,
				  &why);
	}
	if (rc == E_TIMEOUT || rc == E_UNAVAILABLE) {
		offer_later(p, &why);
		return OK;
	}
	if (rc == E_CANCELLED) {
		err_copy(err, &why);
		return rc;
	}
	oid_text(hex, &got.commit);
	w.revert_commit = rc ? STR_NONE : str_of(hex);
	w.revert_error = rc ? arena_str(p->arena, str_of(why.text)) : STR_NONE;
	rc = pass_load(p, 0, err);
	return rc ? rc : pass_write_status(p, &w, err);
}

/* The next pass goes on with what is left. */
static enum code offer_reverts(struct pass *p, const struct status_read *was,
			       struct err *err)
{
	struct revert_wish wish;
	struct str subject;
	enum code rc = pass_load(p, 0, err);

	if (rc || !value_getz(p->spec, "revert") ||
	    value_text_at(p->spec, "ref.tag").n)
		return rc;
	subject = plan_subject(p->arena, p->tenant, p->name);
	for (unsigned i = 0; i < REVERTS_A_PASS && rc == OK &&
			     !offers_later(p->job); i++) {
		if (!reverts_next(p->txn, p->arena, p->tenant, subject,
				  p->before.revert_release, &wish))
			return OK;
		rc = offer_revert(p, was, &wish, err);
	}
	return rc;
}

/* ---- the pass ---- */

/* The same commit under the same spec is live already. */
static bool is_done(struct pass *p)
{
	uint64_t generation = 0;

	(void)!value_to_u64(value_getz(p->status, "lastAppliedGeneration"),
			    &generation);
	return generation == p->object.row.generation &&
	       str_eq(p->before.applied_text, p->revision);
}

/* What this commit brought turned back: the newest commit is not live, and a reconcile
 * alone does not make it so. */
static enum code say_turned_back(struct pass *p, const struct revert_wish *back,
				 struct err *err)
{
	struct status_write w = {
		.phase = STATUS_STALLED, .reason = "TurnedBack",
		.message = arena_printf(p->arena, "%.*s turned back by release %.*s, held "
					"until a commit changes it%s%.*s",
					STR_ARG(p->revision), STR_ARG(back->release),
					back->reason.n ? ": " : "",
					STR_ARG(back->reason)),
		.attempted = p->revision,
	};

	str_copy(p->job->result.turned_back, sizeof(p->job->result.turned_back),
		 back->release);
	return pass_write_status(p, &w, err);
}

/* After a failure that is over the conditions say so; else nothing is
 * written. */
static enum code stay_ready(struct pass *p, struct err *err)
{
	struct status_write w = {
		.phase = STATUS_READY, .reason = "Applied",
		.message = arena_printf(p->arena, "applied %.*s",
					STR_ARG(p->revision)),
		.attempted = p->revision,
	};
	struct revert_wish back;

	if (reverts_of(p->txn, p->arena, p->tenant,
		       plan_subject(p->arena, p->tenant, p->name),
		       &p->fetched.commit, &back)) {
		if (view_release_holds(p->txn, p->tenant, back.release))
			return say_turned_back(p, &back, err);
		/* Somebody went back to what it had brought, or took it over. */
		w.message = arena_printf(p->arena, "applied %.*s; release %.*s turned back, "
					 "and nothing of it is held any more",
					 STR_ARG(p->revision), STR_ARG(back.release));
	}
	if (status_is_ready(p->status))
		return OK;
	return pass_write_status(p, &w, err);
}

static bool is_known_bad(struct pass *p)
{
	const struct job_memory *m = &p->job->memory;

	return m->has_bad && oid_eq(&m->commit, &p->fetched.commit) &&
	       m->generation == p->object.row.generation;
}

static enum code try_once(struct pass *p, uint64_t generation, struct err *err)
{
	enum code rc = pass_load(p, 0, err);

	if (rc)
		return rc;
	/* The spec moved while the fetch ran: this is work overtaken. */
	if (p->object.row.generation != generation)
		return err_set(err, E_CONFLICT, "the source changed meanwhile");
	if (is_done(p))
		return stay_ready(p, err);
	if (is_proposed(p))
		return say_waiting(p, p->before.proposal, err);
	if (is_known_bad(p)) {
		err_copy(err, &p->job->memory.err);
		return err->code;
	}
	rc = pass_plan(p, err);
	return rc ? rc : apply_plan(p, err);
}

static enum code make_live(struct pass *p, uint64_t generation, struct err *err)
{
	enum code rc = E_CONFLICT;

	for (unsigned i = 0; i < TRIES; i++) {
		rc = try_once(p, generation, err);
		pass_plan_end(p);
		if ((rc != E_CONFLICT && rc != E_BLOB_MISSING) || pass_is_cancelled(p))
			break;
	}
	return rc;
}

static enum code run(struct pass *p, struct err *err)
{
	struct job *j = p->job;
	struct status_read was;
	struct err offered = { 0 };
	uint64_t generation;
	enum code rc = pass_load(p, 0, err);

	if (rc)
		return rc;
	if (value_to_bool(value_getz(p->spec, "suspend"), false)) {
		struct status_write w = { .phase = STATUS_SUSPENDED,
					  .reason = "Suspended",
					  .message = STR("spec.suspend is true") };

		j->phase = STATUS_SUSPENDED;
		(void)!pass_write_status(p, &w, err);
		return err_set(err, E_CONFLICT, "the source is suspended");
	}
	generation = j->generation;
	/* A picture is not held over a fetch that may take a minute; what was
	 * parsed from it lives in the arena. */
	view_idle(p->view);
	was = p->before;
	rc = pass_fetch(p, err);
	if (rc == OK)
		rc = pass_open_commit(p, err);
	if (rc)
		return rc;
	rc = make_live(p, generation, err);
	/* Behind it: no server that is slow to take a branch holds up a commit. */
	if (pass_is_cancelled(p) || offer_reverts(p, &was, &offered) == OK || rc)
		return rc;
	err_copy(err, &offered);
	return offered.code;
}

/* What a deleted source owned goes with it or is nobody's; the precondition is
 * that there is no such source. */
static enum code end_source(struct pass *p, struct err *err)
{
	AUTO_BUF bytes = BUF_NONE;
	struct outcome out;
	bool prunes = p->job->prunes;
	enum code rc = view_use(p->view, 0, &p->txn, err);

	if (rc)
		return rc;
	p->config = (struct plan_config){
		.tenant = p->tenant, .source = p->name, .uid = p->job->uid,
		.origin = STR("git"), .message = STR("the source was deleted"),
		.prune = prunes, .full = prunes,
	};
	p->plan = plan_new(p->txn, &p->config);
	rc = plan_leave(p->plan, err);
	if (rc == OK)
		rc = plan_seal(p->plan, err);
	if (rc || plan_size(p->plan) == 0)
		return rc;
	plan_command(p->plan, STR_NONE, clock_wall_ms(), &bytes);
	rc = submit(p, buf_view(&bytes), &out, err);
	p->job->result.operations = plan_size(p->plan);
	return rc;
}

/* Somebody may write in between, and then the plan is made anew; a source that
 * was made again owns them again, which its strand is told by an event. */
static enum code end_source_surely(struct pass *p, struct err *err)
{
	struct object_view made;
	enum code rc = E_CONFLICT;

	for (unsigned i = 0; i < TRIES && rc == E_CONFLICT && !pass_is_cancelled(p);
	     i++) {
		rc = end_source(p, err);
		pass_plan_end(p);
	}
	if (rc == E_CONFLICT && view_use(p->view, 0, &p->txn, NULL) == OK &&
	    view_object(p->txn, KIND_SOURCE, p->tenant, p->name, &made,
			NULL) == OK)
		return OK;
	return rc;
}

void job_run(struct job *j)
{
	struct pass p;
	struct err err = { 0 };
	enum code rc = pass_begin(&p, j, &err);

	if (rc == OK)
		rc = j->ends ? end_source_surely(&p, &err) : run(&p, &err);
	if (rc && j->phase == STATUS_SUSPENDED)
		j->result.code = rc, str_copy(j->result.text,
					      sizeof(j->result.text),
					      str_of(err.text));
	else if (rc)
		pass_fail(&p, rc, &err);
	pass_end(&p);
}
