/* How proposals move, and whose votes it takes. */
#include "unit.h"

#include "model/permission.h"
#include "model/proposal.h"

#include "base/banned.h"

#define P(x) PROPOSAL_##x

/* Row: from; column: to.  Order of the enumeration, None first. */
static const char *const moves[P(_END)] = {
	/*                N P A E R C X S F T */
	[0] =            "- + + - - - - - - -",
	[P(PENDING)] =   "- - + - + + + + - +",
	[P(APPROVED)] =  "- - - + + + + + + +",
	[P(EXECUTED)] =  "- - - - - - - - - -",
	[P(REJECTED)] =  "- - - - - - - - - -",
	[P(CANCELLED)] = "- - - - - - - - - -",
	[P(EXPIRED)] =   "- - - - - - - - - -",
	[P(SUPERSEDED)] ="- - - - - - - - - -",
	[P(FAILED)] =    "- - - - - - - - - -",
	[P(STALE)] =     "- - - - - - - - - -",
};

START_TEST(each_move_is_allowed_or_refused)
{
	for (int to = 0; to < P(_END); to++)
		ck_assert_msg(proposal_may(_i, to) == (moves[_i][2 * to] == '+'),
			      "%s to %s", proposal_phase_name(_i),
			      proposal_phase_name(to));
	ck_assert(!proposal_may(_i, P(_END)));
	ck_assert_int_eq(proposal_is_open(_i), _i == P(PENDING) || _i == P(APPROVED));
}
END_TEST

START_TEST(phases_have_names)
{
	enum proposal_phase p;

	for (int i = 1; i < P(_END); i++) {
		ck_assert(proposal_phase_parse(str_of(proposal_phase_name(i)), &p));
		ck_assert_int_eq(p, i);
	}
	ck_assert(proposal_phase_parse(STR("pending"), &p));
	ck_assert(!proposal_phase_parse(STR("none"), &p));
	ck_assert(!proposal_phase_parse(STR(""), &p));
	ck_assert(!proposal_may(P(_END), P(PENDING)));
}
END_TEST

/* ---- authors ---- */

static const struct {
	const char *subject;
	bool is, is_where_more;
} authors[] = {
	{ "token:ann", true, true },
	{ "token:bob", false, false },
	{ "ann@example.org", true, true },
	{ "ANN@example.ORG", true, true },
	{ "Ann Lee <ann@example.org>", true, true },
	{ "plain@example.org", true, true },
	{ "example.org", false, false },
	{ "Ann Lee", false, false },
	{ "nn@example.org", false, true },
	{ "other@example.org", false, true },
	{ "", false, false },
};

START_TEST(who_authored_it)
{
	struct str texts[] = { STR("Ann Lee <ann@example.org>"),
			       STR("plain@example.org"), STR("odd <") };
	struct proposal_authors a = { .subject = STR("token:ann"),
				      .texts = texts, .n = ARRAY_LEN(texts) };
	struct str who = str_of(authors[_i].subject);

	ck_assert_int_eq(proposal_is_author(&a, who), authors[_i].is);
	a.are_more = true;
	ck_assert_int_eq(proposal_is_author(&a, who), authors[_i].is_where_more);
}
END_TEST

/* ---- votes ---- */

static struct str leads[] = { STR("leads") }, secs[] = { STR("sec") },
		  root[] = { STR("root") };
static const struct proposal_stage stages[] = {
	{ STR("p"), { STR("lead"), 2, { .groups = leads, .n_groups = 1 } } },
	{ STR("p"), { STR("sec"), 1, { .groups = secs, .n_groups = 1,
				       .subjects = root, .n_subjects = 1 } } },
	{ STR("q"), { STR("two"), 2, { .groups = leads, .n_groups = 1 } } },
};
static const struct proposal_authors own = { .subject = STR("ann") };

#define LEADS "\5leads"
#define SEC "\3sec"

/* What is said, one after another: who, groups, and what comes of it. */
static const struct say {
	enum vote vote;
	const char *who, *groups;
	enum code code;
	bool again;
	int open;                        /* afterwards; -1: satisfied */
	uint32_t needs;
	const char *summary;
} story[] = {
	{ VOTE_APPROVE, "ann", LEADS, E_DENIED, false, 0, 2, "0/2, 0/1, 0/2" },
	{ VOTE_APPROVE, "eve", "", E_DENIED, false, 0, 2, "0/2, 0/1, 0/2" },
	{ VOTE_APPROVE, "sam", SEC, E_PHASE, false, 0, 2, "0/2, 0/1, 0/2" },
	{ VOTE_APPROVE, "bob", LEADS, OK, false, 0, 1, "1/2, 0/1, 1/2" },
	{ VOTE_APPROVE, "bob", LEADS, OK, true, 0, 1, "1/2, 0/1, 1/2" },
	{ VOTE_CANCEL, "bob", LEADS, E_DENIED, false, 0, 1, "1/2, 0/1, 1/2" },
	{ VOTE_REJECT, "eve", "", E_DENIED, false, 0, 1, "1/2, 0/1, 1/2" },
	{ VOTE_REJECT, "ann", LEADS, E_DENIED, false, 0, 1, "1/2, 0/1, 1/2" },
	{ VOTE_REVIEW, "eve", "", E_PHASE, false, 0, 1, "1/2, 0/1, 1/2" },
	{ VOTE_APPROVE, "cid", LEADS, OK, false, 1, 1, "2/2, 0/1, 2/2" },
	{ VOTE_APPROVE, "dan", LEADS, E_PHASE, false, 1, 1, "2/2, 0/1, 2/2" },
	/* One group more by now: he is asked anew. */
	{ VOTE_APPROVE, "bob", LEADS SEC, OK, false, -1, 0, "2/2, 1/1, 2/2" },
	/* Enough, but not of anybody. */
	{ VOTE_APPROVE, "eve", "", E_DENIED, false, -1, 0, "2/2, 1/1, 2/2" },
};

static void tell(const struct say *s, struct proposal_votable *p,
		 struct proposal_vote *votes)
{
	struct proposal_voter who = { .subject = str_of(s->who),
				      .groups = str_of(s->groups) };
	struct proposal_verdict v;
	AUTO_BUF summary = BUF_NONE;
	uint64_t bits = 0;
	bool again = false;
	struct err err;

	ck_assert_int_eq(proposal_vote_check(p, s->vote, &who, 10, &bits, &again,
					     &err), s->code);
	if (s->code == OK) {
		ck_assert_int_eq(again, s->again);
		if (!again)
			votes[p->n_votes++] = (struct proposal_vote){
				.vote = s->vote, .subject = who.subject,
				.stages = bits };
	}
	proposal_judge(p->stages, p->n_stages, p->votes, p->n_votes, &v);
	ck_assert_int_eq(v.is_satisfied, s->open < 0);
	ck_assert_uint_eq(v.open, s->open < 0 ? p->n_stages : (size_t)s->open);
	ck_assert_uint_eq(v.needs, s->needs);
	proposal_summary(&summary, p->stages, p->n_stages, p->votes, p->n_votes);
	ck_assert_str_eq(summary.p, s->summary);
}

START_TEST(stages_open_one_after_another)
{
	struct proposal_vote votes[20];
	struct proposal_votable p = {
		.phase = PROPOSAL_PENDING, .expires_ms = 100, .authors = &own,
		.stages = stages, .n_stages = ARRAY_LEN(stages), .votes = votes,
	};

	for (size_t i = 0; i < ARRAY_LEN(story); i++)
		tell(&story[i], &p, votes);
}
END_TEST

/* Who may say what in which phase: lead bob; '+' yes, 'p' past, 'd' not his. */
static const struct {
	enum vote vote;
	const char *phases;              /* Pending .. Stale */
	const char *who;
	bool may_all, has_review;
} phases[] = {
	/*                 P A E R C X S F T */
	{ VOTE_APPROVE,   "+ + p p p p p p p", "bob", false, false },
	{ VOTE_REJECT,    "+ + p p p p p p p", "bob", false, false },
	{ VOTE_REJECT,    "+ + p p p p p p p", "zoe", true, false },
	{ VOTE_APPROVE,   "d d p p p p p p p", "zoe", true, false },
	{ VOTE_CANCEL,    "+ + p p p p p p p", "ann", false, false },
	{ VOTE_CANCEL,    "+ + p p p p p p p", "zoe", true, false },
	{ VOTE_CANCEL,    "d d p p p p p p p", "bob", false, false },
	{ VOTE_REVIEW,    "p p p p p p p p p", "bob", false, false },
	{ VOTE_REVIEW,    "+ + + + + + + + +", "eve", false, true },
	{ VOTE_REVIEW,    "d d d d d d d d d", "ann", true, true },
};

START_TEST(what_each_phase_allows)
{
	for (int i = 1; i < P(_END); i++) {
		char want = phases[_i].phases[2 * (i - 1)];
		struct proposal_votable p = {
			.phase = i, .expires_ms = 100, .authors = &own,
			.has_review = phases[_i].has_review,
			.stages = stages, .n_stages = ARRAY_LEN(stages),
		};
		struct proposal_voter who = {
			.subject = str_of(phases[_i].who),
			.groups = str_is(str_of(phases[_i].who), "bob") ?
					  STR(LEADS) : STR(""),
			.may_all = phases[_i].may_all };
		uint64_t bits;
		bool again;
		struct err err;

		ck_assert_msg(proposal_vote_check(&p, phases[_i].vote, &who, 10,
						  &bits, &again, &err) ==
				      (want == '+' ? OK : want == 'p' ? E_PHASE :
									E_DENIED),
			      "%s: %s", proposal_phase_name(i), err.text);
		/* Its time is over, whatever else; a review has none. */
		if (phases[_i].vote != VOTE_REVIEW)
			ck_assert_int_eq(proposal_vote_check(
				&p, phases[_i].vote, &who, 100, &bits, &again,
				&err), E_PHASE);
	}
}
END_TEST

START_TEST(votes_are_bounded_and_known)
{
	struct proposal_votable p = { .phase = PROPOSAL_PENDING,
				      .expires_ms = 100, .authors = &own };
	struct proposal_voter who = { .subject = STR("ann") };
	static struct proposal_vote votes[PROPOSAL_VOTES_MAX];
	struct proposal_verdict v;
	uint64_t bits;
	bool again;
	struct err err;

	ck_assert_int_eq(proposal_vote_check(&p, 0, &who, 1, &bits, &again, &err),
			 E_INVALID);
	ck_assert_int_eq(proposal_vote_check(&p, VOTE__END, &who, 1, &bits,
					     &again, &err), E_INVALID);
	p.votes = votes;
	p.n_votes = PROPOSAL_VOTES_MAX;
	ck_assert_int_eq(proposal_vote_check(&p, VOTE_CANCEL, &who, 1, &bits,
					     &again, &err), E_TOO_LARGE);
	/* A stage that asks nobody is never satisfied; none is at once. */
	proposal_judge(&(struct proposal_stage){ .is.required = 1 }, 1, NULL, 0,
		       &v);
	ck_assert(!v.is_satisfied);
	proposal_judge(NULL, 0, NULL, 0, &v);
	ck_assert(v.is_satisfied);
	ck_assert_uint_eq(proposal_agreed(votes, 1, PROPOSAL_STAGES_MAX), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model/proposal");
	TCase *t = tcase_create("proposal");

	tcase_add_loop_test(t, each_move_is_allowed_or_refused, 0, P(_END));
	tcase_add_test(t, phases_have_names);
	tcase_add_loop_test(t, who_authored_it, 0, ARRAY_LEN(authors));
	tcase_add_test(t, stages_open_one_after_another);
	tcase_add_loop_test(t, what_each_phase_allows, 0, ARRAY_LEN(phases));
	tcase_add_test(t, votes_are_bounded_and_known);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
