/*
 * What people see of a proposal: spec and status of its object, canonical JSON
 * (members in the order of their names).  See proposal_row.h.
 */
#include "base/clock.h"
#include "state/proposal_row.h"

#include "base/banned.h"

/* Begins a member; each ends where the next begins. */
static void member(struct buf *out, const char *name)
{
	if (out->n && out->p[out->n - 1] != '{' && out->p[out->n - 1] != '[')
		buf_c(out, ',');
	buf_printf(out, "\"%s\":", name);
}

static void put_text(struct buf *out, const char *name, struct str text)
{
	if (text.n == 0)
		return;
	member(out, name);
	buf_json(out, text);
}

static void put_number(struct buf *out, const char *name, uint64_t n)
{
	member(out, name);
	buf_u64(out, n);
}

static void put_time(struct buf *out, const char *name, uint64_t ms)
{
	char text[RFC3339_MAX];

	if (ms == 0)
		return;
	clock_rfc3339(text, ms, false);
	put_text(out, name, str_of(text));
}

static void put_texts(struct buf *out, const char *name, const struct str *s,
		      size_t n)
{
	if (n == 0)
		return;
	member(out, name);
	buf_c(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_c(out, ',');
		buf_json(out, s[i]);
	}
	buf_c(out, ']');
}

/* Begins the next element, an object. */
static void element(struct buf *out, size_t i)
{
	buf_z(out, i ? ",{" : "{");
}

static void put_digest(struct buf *out, const struct sha256 *digest)
{
	char hex[65];

	sha256_hex(hex, digest);
	put_text(out, "digest", str_of(hex));
}

/* ---- spec ---- */

static void put_configs(struct buf *out, const struct proposal_row *row)
{
	member(out, "configs");
	buf_c(out, '[');
	for (size_t i = 0; i < row->n_configs; i++) {
		struct str actions[GATE__ACTIONS];
		size_t n = 0;

		for (enum gate_action a = 0; a < GATE__ACTIONS; a++)
			if (row->configs[i].actions & BIT(a))
				actions[n++] = str_of(gate_action_name(a));
		element(out, i);
		put_text(out, "name", row->configs[i].name);
		put_texts(out, "operations", actions, n);
		buf_c(out, '}');
	}
	buf_c(out, ']');
}

static void put_policies(struct buf *out, const struct proposal_row *row)
{
	member(out, "policies");
	buf_c(out, '[');
	for (size_t i = 0; i < row->n_policies; i++) {
		AUTO_BUF rev = BUF_NONE;

		buf_u64(&rev, row->policies[i].rev);
		element(out, i);
		put_text(out, "name", row->policies[i].name);
		put_text(out, "resourceVersion", buf_view(&rev));
		buf_c(out, '}');
	}
	buf_c(out, ']');
}

static void put_stages(struct buf *out, const struct proposal_row *row)
{
	member(out, "stages");
	buf_c(out, '[');
	for (size_t i = 0; i < row->n_stages; i++) {
		const struct proposal_stage *s = &row->stages[i];

		element(out, i);
		put_texts(out, "groups", s->is.from.groups, s->is.from.n_groups);
		put_text(out, "name", s->is.name);
		put_text(out, "policy", s->policy);
		put_number(out, "required", s->is.required);
		put_texts(out, "subjects", s->is.from.subjects,
			  s->is.from.n_subjects);
		buf_c(out, '}');
	}
	buf_c(out, ']');
}

void proposal_spec(struct buf *out, const struct proposal_row *row)
{
	buf_c(out, '{');
	put_text(out, "author", row->authors.subject);
	put_texts(out, "authors", row->authors.texts, row->authors.n);
	if (row->is_glass) {
		member(out, "breakGlass");
		buf_z(out, "true");
	}
	put_text(out, "commit", row->commit);
	put_configs(out, row);
	put_number(out, "count", row->count);
	put_digest(out, &row->digest);
	put_time(out, "expiresAt", row->expires_ms);
	put_time(out, "notBefore", row->not_before_ms);
	put_policies(out, row);
	put_text(out, "reason", row->reason);
	put_stages(out, row);
	buf_c(out, '}');
}

/* ---- status ---- */

static void put_history(struct buf *out, const struct proposal_row *row)
{
	member(out, "history");
	buf_c(out, '[');
	for (size_t i = 0; i < row->n_history; i++) {
		const struct proposal_event *e = &row->history[i];

		element(out, i);
		put_time(out, "at", e->time_ms);
		put_text(out, "by", e->subject);
		put_text(out, "message", e->message);
		put_text(out, "what", e->what);
		buf_c(out, '}');
	}
	buf_c(out, ']');
}

static const char *vote_word(enum vote vote)
{
	return vote == VOTE_APPROVE ? "approve" :
	       vote == VOTE_REJECT  ? "reject" :
	       vote == VOTE_CANCEL  ? "cancel" : "review";
}

static void put_votes(struct buf *out, const struct proposal_row *row)
{
	member(out, "votes");
	buf_c(out, '[');
	for (size_t i = 0; i < row->n_votes; i++) {
		const struct proposal_vote *v = &row->votes[i];

		element(out, i);
		put_time(out, "at", v->time_ms);
		put_text(out, "reason", v->reason);
		put_text(out, "subject", v->subject);
		put_text(out, "vote", str_of(vote_word(v->vote)));
		buf_c(out, '}');
	}
	buf_c(out, ']');
}

/* Which stage is open, and how many it wants; only while that counts. */
static void put_open(struct buf *out, const struct proposal_row *row)
{
	struct proposal_verdict v;

	if (row->phase != PROPOSAL_PENDING)
		return;
	proposal_judge(row->stages, row->n_stages, row->votes, row->n_votes, &v);
	if (v.is_satisfied)
		return;
	put_number(out, "needs", v.needs);
	put_number(out, "openStage", v.open + 1);
}

/* ---- why it failed ---- */

static const char *const failed_at[] = {
	[FAILED_OPERATION] = "operation",
	[FAILED_TOGETHER] = "together",
	[FAILED_UNASKED] = "unasked",
};

static void put_failure(struct buf *out, const struct proposal_failure *f)
{
	if (!f->at)
		return;
	member(out, "failure");
	buf_c(out, '{');
	put_text(out, "action", f->action);
	put_text(out, "at", str_of(failed_at[f->at]));
	put_text(out, "code", str_of(code_slug(code_from_number(f->code))));
	put_text(out, "object", f->object);
	buf_c(out, '}');
}

static struct str failure_text(struct arena *arena, const struct proposal_failure *f)
{
	enum code code = code_from_number(f->code);

	if (f->at == FAILED_UNASKED)
		return STR("a policy that came since asks for an approval, and nobody "
			   "was asked for one: propose it again");
	if (f->at == FAILED_OPERATION)
		return arena_printf(arena, "%.*s of %.*s was refused: %s (%s)",
				    STR_ARG(f->action), STR_ARG(f->object),
				    code_text(code), code_slug(code));
	return arena_printf(arena, "what it does together was refused: %s (%s)",
			    code_text(code), code_slug(code));
}

void proposal_put_words(struct arena *arena, struct proposal_row *row)
{
	if (!row->failure.at)
		return;
	row->message = failure_text(arena, &row->failure);
	if (row->n_history &&
	    str_eq(row->history[row->n_history - 1].what,
		   str_of(proposal_phase_name(PROPOSAL_FAILED))))
		row->history[row->n_history - 1].message = row->message;
}

/* ---- all of it ---- */

void proposal_status(struct buf *out, const struct proposal_row *row)
{
	AUTO_BUF summary = BUF_NONE;

	proposal_summary(&summary, row->stages, row->n_stages, row->votes,
			 row->n_votes);
	buf_c(out, '{');
	put_time(out, "endedAt", row->ended_ms);
	put_failure(out, &row->failure);
	put_history(out, row);
	put_text(out, "message", row->message);
	put_open(out, row);
	put_text(out, "phase", str_of(proposal_phase_name(row->phase)));
	put_text(out, "release", row->release);
	if (row->review)
		put_text(out, "review", row->review == REVIEW_OPEN ?
						STR("Open") : STR("Closed"));
	if (row->executed_rev)
		put_number(out, "revision", row->executed_rev);
	put_text(out, "summary", buf_view(&summary));
	put_votes(out, row);
	buf_c(out, '}');
}

void proposal_data(struct buf *out, struct str tenant, struct str name,
		   const struct proposal_row *row)
{
	AUTO_BUF summary = BUF_NONE;

	proposal_summary(&summary, row->stages, row->n_stages, row->votes,
			 row->n_votes);
	buf_c(out, '{');
	put_text(out, "approvals", buf_view(&summary));
	put_text(out, "author", row->authors.subject);
	if (row->is_glass) {
		member(out, "breakGlass");
		buf_z(out, "true");
	}
	put_text(out, "commit", row->commit);
	put_configs(out, row);
	put_number(out, "count", row->count);
	put_digest(out, &row->digest);
	put_time(out, "expiresAt", row->expires_ms);
	put_failure(out, &row->failure);
	put_text(out, "message", row->message);
	put_text(out, "phase", str_of(proposal_phase_name(row->phase)));
	put_text(out, "proposal", name);
	put_text(out, "reason", row->reason);
	put_text(out, "tenant", tenant);
	buf_c(out, '}');
}
