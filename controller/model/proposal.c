/* Proposals: see proposal.h. */
#include "model/proposal.h"

#include "base/banned.h"

#define ENDED(name) { name, 0, .end = true }

static const struct fsm_state states[PROPOSAL__END] = {
	[0] = { "None", BIT(PROPOSAL_PENDING) | BIT(PROPOSAL_APPROVED) },
	[PROPOSAL_PENDING] = { "Pending",
		BIT(PROPOSAL_APPROVED) | BIT(PROPOSAL_REJECTED) |
		BIT(PROPOSAL_CANCELLED) | BIT(PROPOSAL_EXPIRED) |
		BIT(PROPOSAL_SUPERSEDED) | BIT(PROPOSAL_STALE) },
	[PROPOSAL_APPROVED] = { "Approved",
		BIT(PROPOSAL_EXECUTED) | BIT(PROPOSAL_FAILED) |
		BIT(PROPOSAL_REJECTED) | BIT(PROPOSAL_CANCELLED) |
		BIT(PROPOSAL_EXPIRED) | BIT(PROPOSAL_SUPERSEDED) |
		BIT(PROPOSAL_STALE) },
	[PROPOSAL_EXECUTED] = ENDED("Executed"),
	[PROPOSAL_REJECTED] = ENDED("Rejected"),
	[PROPOSAL_CANCELLED] = ENDED("Cancelled"),
	[PROPOSAL_EXPIRED] = ENDED("Expired"),
	[PROPOSAL_SUPERSEDED] = ENDED("Superseded"),
	[PROPOSAL_FAILED] = ENDED("Failed"),
	[PROPOSAL_STALE] = ENDED("Stale"),
};

const char *proposal_phase_name(enum proposal_phase phase)
{
	return phase < PROPOSAL__END ? states[phase].name : "unknown";
}

bool proposal_phase_parse(struct str name, enum proposal_phase *out)
{
	for (enum proposal_phase p = 1; p < PROPOSAL__END; p++)
		if (str_eq_nocase(name, str_of(states[p].name))) {
			*out = p;
			return true;
		}
	return false;
}

bool proposal_may(enum proposal_phase from, enum proposal_phase to)
{
	struct fsm fsm;

	if (from >= PROPOSAL__END || to >= PROPOSAL__END)
		return false;
	fsm_init(&fsm, "proposal", states, PROPOSAL__END, from);
	return fsm_try(&fsm, to, "asked");
}

bool proposal_is_open(enum proposal_phase phase)
{
	return phase == PROPOSAL_PENDING || phase == PROPOSAL_APPROVED;
}

/* ---- who brought it ---- */

static bool is_text_of(struct str author, struct str subject)
{
	size_t from = str_rfind(author, '<');

	if (str_eq_nocase(author, subject))
		return true;
	if (from == SIZE_MAX || !str_ends(author, STR(">")))
		return false;
	author = str_from(author, from + 1);
	return str_eq_nocase(str_first(author, author.n - 1), subject);
}

bool proposal_is_author(const struct proposal_authors *a, struct str subject)
{
	if (str_eq(a->subject, subject))
		return true;
	if (a->are_more && str_find(subject, '@') != SIZE_MAX)
		return true;
	for (size_t i = 0; i < a->n; i++)
		if (is_text_of(a->texts[i], subject))
			return true;
	return false;
}

/* ---- stages ---- */

static bool counts_in(const struct proposal_vote *v, size_t stage)
{
	return v->vote == VOTE_APPROVE && (v->stages >> stage & 1);
}

/* The first of its subject that counts in 'stage'? */
static bool is_first_of(const struct proposal_vote *votes, size_t at,
			size_t stage)
{
	for (size_t k = 0; k < at; k++)
		if (counts_in(&votes[k], stage) &&
		    str_eq(votes[k].subject, votes[at].subject))
			return false;
	return true;
}

uint32_t proposal_agreed(const struct proposal_vote *votes, size_t n, size_t i)
{
	uint32_t agreed = 0;

	if (i >= PROPOSAL_STAGES_MAX)
		return 0;
	for (size_t k = 0; k < n; k++)
		agreed += counts_in(&votes[k], i) && is_first_of(votes, k, i);
	return agreed;
}

void proposal_judge(const struct proposal_stage *stages, size_t n_stages,
		    const struct proposal_vote *votes, size_t n_votes,
		    struct proposal_verdict *out)
{
	*out = (struct proposal_verdict){ .is_satisfied = true,
					  .open = n_stages };
	for (size_t i = 0; i < n_stages; i++) {
		uint32_t agreed = proposal_agreed(votes, n_votes, i);

		if (agreed >= stages[i].is.required)
			continue;
		*out = (struct proposal_verdict){
			.open = i, .needs = stages[i].is.required - agreed };
		return;
	}
}

void proposal_summary(struct buf *out, const struct proposal_stage *stages,
		      size_t n_stages, const struct proposal_vote *votes,
		      size_t n_votes)
{
	for (size_t i = 0; i < n_stages; i++)
		buf_printf(out, "%s%u/%u", i ? ", " : "",
			   proposal_agreed(votes, n_votes, i),
			   stages[i].is.required);
}

/* ---- may he? ---- */

static enum code past(enum proposal_phase phase, enum vote vote, struct err *err)
{
	err_set(err, E_PHASE, "the proposal is %s", proposal_phase_name(phase));
	if (vote == VOTE_REVIEW)
		return err_hint(err, "only a break-glass has a review, and that "
				"is closed once");
	return err_hint(err, "what has ended stays so; propose the change anew");
}

static enum code check_phase(const struct proposal_votable *p, enum vote vote,
			     uint64_t now_ms, struct err *err)
{
	bool fits = vote == VOTE_REVIEW  ? p->has_review :
		    vote == VOTE_APPROVE ? p->phase == PROPOSAL_PENDING ||
						   p->phase == PROPOSAL_APPROVED :
					   proposal_is_open(p->phase);

	if (!fits)
		return past(p->phase, vote, err);
	if (vote == VOTE_REVIEW || now_ms < p->expires_ms)
		return OK;
	err_set(err, E_PHASE, "the proposal's time is over");
	return err_hint(err, "propose the change anew");
}

/* Bits of the stages that name him. */
static uint64_t stages_of(const struct proposal_votable *p,
			  const struct proposal_voter *who)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < p->n_stages && i < PROPOSAL_STAGES_MAX; i++)
		if (people_have(&p->stages[i].is.from, who->subject,
				who->groups))
			bits |= 1ull << i;
	return bits;
}

static enum code not_asked(const struct proposal_voter *who, struct err *err)
{
	return err_set(err, E_DENIED, "no stage of the proposal asks %.*s",
		       STR_ARG(who->subject));
}

static enum code check_approve(const struct proposal_votable *p,
			       const struct proposal_voter *who,
			       uint64_t bits, struct err *err)
{
	struct proposal_verdict v;
	const struct proposal_stage *open;

	proposal_judge(p->stages, p->n_stages, p->votes, p->n_votes, &v);
	if (v.is_satisfied)
		return bits ? OK : not_asked(who, err);
	if (bits >> v.open & 1)
		return OK;
	open = &p->stages[v.open];
	if (bits >> v.open >> 1)
		return err_set(err, E_PHASE, "a stage that names %.*s opens when "
			       "stage %.*s of policy %.*s is satisfied, which wants "
			       "%u more", STR_ARG(who->subject),
			       STR_ARG(open->is.name), STR_ARG(open->policy),
			       v.needs);
	err_set(err, E_DENIED, "stage %.*s of policy %.*s does not ask %.*s",
		STR_ARG(open->is.name), STR_ARG(open->policy),
		STR_ARG(who->subject));
	return err_hint(err, "it wants %u more of whom it names: conflux get "
			"proposal", v.needs);
}

static enum code check_voter(const struct proposal_votable *p, enum vote vote,
			     const struct proposal_voter *who, uint64_t bits,
			     struct err *err)
{
	bool is_own = proposal_is_author(p->authors, who->subject);

	if (vote == VOTE_CANCEL) {
		if (str_eq(p->authors->subject, who->subject) || who->may_all)
			return OK;
		err_set(err, E_DENIED, "the change is %.*s's",
			STR_ARG(p->authors->subject));
		return err_hint(err, "who is asked may reject it");
	}
	if (is_own) {
		err_set(err, E_DENIED, "%.*s authored the change, and does not "
			"vote on it", STR_ARG(who->subject));
		return err_hint(err, "whoever brought it may cancel it");
	}
	if (vote == VOTE_APPROVE)
		return check_approve(p, who, bits, err);
	if (vote == VOTE_REVIEW || bits || who->may_all)
		return OK;
	return not_asked(who, err);
}

/* Nothing would change: it is enough already, or each stage that names him has his
 * voice. */
static bool is_heard(const struct proposal_votable *p, struct str subject,
		     uint64_t bits)
{
	uint64_t had = 0;

	for (size_t i = 0; i < p->n_votes; i++)
		if (p->votes[i].vote == VOTE_APPROVE &&
		    str_eq(p->votes[i].subject, subject))
			had |= p->votes[i].stages;
	return p->phase == PROPOSAL_APPROVED || (had && !(bits & ~had));
}

enum code proposal_vote_check(const struct proposal_votable *p, enum vote vote,
			      const struct proposal_voter *who, uint64_t now_ms,
			      uint64_t *stages, bool *again, struct err *err)
{
	uint64_t bits = stages_of(p, who);
	bool is_again = vote == VOTE_APPROVE && is_heard(p, who->subject, bits);
	enum code rc;

	if (vote < VOTE_APPROVE || vote >= VOTE__END)
		return err_set(err, E_INVALID, "unknown vote %d", (int)vote);
	rc = check_phase(p, vote, now_ms, err);
	if (rc == OK && !(is_again && p->phase == PROPOSAL_PENDING))
		rc = check_voter(p, vote, who, bits, err);
	if (rc == OK && p->n_votes >= PROPOSAL_VOTES_MAX)
		rc = err_set(err, E_TOO_LARGE, "the proposal has %d votes",
			     PROPOSAL_VOTES_MAX);
	if (rc)
		return rc;
	*stages = bits;
	*again = is_again;
	return OK;
}
