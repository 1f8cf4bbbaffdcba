/*
 * Proposals in the model of the gate (gates.h): what each follows, who agreed to it,
 * and what becomes of it.
 */
#include "gates_own.h"

#include "base/banned.h"

/* ---- proposals ---- */

struct gate_proposal *proposal_at(struct str tenant, struct str name)
{
	for (size_t i = m.n_props; i-- > 0;)
		if (str_eq(m.props[i].name, name) &&
		    str_eq(m.props[i].tenant, tenant) && !m.props[i].is_gone)
			return &m.props[i];
	return NULL;
}

bool is_open(const struct gate_proposal *p)
{
	return !p->is_gone && (p->phase == PROPOSAL_PENDING ||
			       p->phase == PROPOSAL_APPROVED);
}

static enum notice notice_for(enum proposal_phase to)
{
	static const enum notice of[PROPOSAL__END] = {
		[PROPOSAL_APPROVED] = NOTICE_APPROVED,
		[PROPOSAL_EXECUTED] = NOTICE_EXECUTED,
		[PROPOSAL_REJECTED] = NOTICE_REJECTED,
		[PROPOSAL_CANCELLED] = NOTICE_CANCELLED,
		[PROPOSAL_EXPIRED] = NOTICE_EXPIRED,
		[PROPOSAL_SUPERSEDED] = NOTICE_CANCELLED,
		[PROPOSAL_FAILED] = NOTICE_FAILED,
		[PROPOSAL_STALE] = NOTICE_STALE,
	};

	return of[to];
}

void move(const struct look *l, struct gate_proposal *p,
		 enum proposal_phase to)
{
	claim(CHECK_PROPOSAL, is_open(p), "entry %llu: proposal %.*s is %s and becomes "
	      "%s", ULL(l->index), STR_ARG(p->name), proposal_phase_name(p->phase),
	      proposal_phase_name(to));
	p->phase = to;
	p->moved_at = l->index;
	expect(p->tenant, notice_for(to));
	trace((uint64_t)to << 40 | p->made_rev);
	gate_sum.approved += to == PROPOSAL_APPROVED;
	gate_sum.executed += to == PROPOSAL_EXECUTED;
	gate_sum.failed += to == PROPOSAL_FAILED;
	gate_sum.rejected += to == PROPOSAL_REJECTED;
	gate_sum.cancelled += to == PROPOSAL_CANCELLED;
	gate_sum.expired += to == PROPOSAL_EXPIRED;
	gate_sum.superseded += to == PROPOSAL_SUPERSEDED;
	gate_sum.stale += to == PROPOSAL_STALE;
}

bool is_about_place(const struct gate_proposal *p, const struct place *at)
{
	for (size_t i = 0; i < p->c.n_ops; i++)
		if (p->c.ops[i].kind == KIND_CONFIG &&
		    str_eq(p->c.ops[i].name, at->name))
			return true;
	for (size_t i = 0; i < p->n_along; i++)
		if (p->along[i].at == at)
			return true;
	return false;
}

static bool touch_the_same(const struct gate_proposal *a,
			   const struct gate_proposal *b)
{
	for (size_t i = 0; i < m.n_places; i++)
		if (str_eq(m.places[i].tenant, a->tenant) &&
		    is_about_place(a, &m.places[i]) && is_about_place(b, &m.places[i]))
			return true;
	return false;
}

static const struct policy_form *first_of(const struct gate_proposal *p)
{
	const struct policy_form *first = NULL;

	/* No two forms have one priority. */
	for (size_t i = 0; i < p->n_policies; i++)
		if (!first || p->policies[i]->priority > first->priority)
			first = p->policies[i];
	return first;
}

/* At most one that is open touches a configuration. */
static void check_locks(const struct look *l, struct gate_proposal *p)
{
	const struct policy_form *first = first_of(p);

	for (struct gate_proposal *q = m.props; q < m.props + m.n_props; q++) {
		bool may = p->is_glass || (first && first->supersedes) ||
			   (q->is_source && str_eq(q->author, p->author));

		if (q == p || !is_open(q) || !str_eq(q->tenant, p->tenant) ||
		    !touch_the_same(p, q))
			continue;
		claim(CHECK_LOCK, may, "entry %llu: proposals %.*s and %.*s touch the "
		      "same configuration", ULL(l->index), STR_ARG(q->name),
		      STR_ARG(p->name));
		move(l, q, PROPOSAL_SUPERSEDED);
	}
}

static void keep_policies(const struct look *l, struct gate_proposal *p,
			  const struct proposal_row *row)
{
	for (size_t i = 0; i < m.n_policies; i++) {
		const struct policy *is = &m.policies[i];

		if (!str_eq(is->tenant, p->tenant))
			continue;
		must(p->n_held < ARRAY_LEN(p->held));
		p->held[p->n_held++] = is->is;
		for (size_t k = 0; k < row->n_policies; k++)
			if (str_eq(row->policies[k].name, is->name))
				p->policies[p->n_policies++] = is->is;
	}
	claim(CHECK_PROPOSAL, p->n_policies == row->n_policies, "entry %llu: proposal "
	      "%.*s follows policies that are not there", ULL(l->index),
	      STR_ARG(p->name));
	claim(CHECK_PROPOSAL, p->n_policies || p->is_glass ||
	      l->c.not_before_ms > m.time_ms, "entry %llu: proposal %.*s, which no "
	      "policy wants, and which has no time", ULL(l->index),
	      STR_ARG(p->name));
}

/* As it is kept: strings borrow from a copy. */
static void keep_command(struct command *out, const struct command *c)
{
	AUTO_BUF bytes = BUF_NONE;

	command_encode(&bytes, c);
	must(command_decode(m.arena, arena_str(m.arena, buf_view(&bytes)), out,
			    NULL) == OK);
}

/* What the i-th operation is computed from; 0: nothing. */
static uint64_t base_of(const struct gate_proposal *p, size_t i)
{
	const struct op *op = &p->c.ops[i];
	const struct place *at;

	if (op->kind != KIND_CONFIG || op->only_create ||
	    op->type == OP_OBJECT_STATUS)
		return 0;
	at = place_at(op->tenant, op->name);
	return at->is_there ? at->rev : 0;
}

static void keep_bases(struct gate_proposal *p)
{
	p->bases = arena_alloc(m.arena, (p->c.n_ops + 1) * sizeof(*p->bases));
	for (size_t i = 0; i < p->c.n_ops; i++)
		p->bases[i] = base_of(p, i);
}

/* ---- what goes along ---- */

/*
 * A source that changes something of what a release turned back lifts all of that hold,
 * and what else was held goes out with it: the proposal is of that as well, though it
 * does not name it.
 */
struct lifting {
	const struct look *l;
	const struct gate_proposal *p;
	struct str config;               /* the newest open release there brings */
	struct sha256 brought;
	uint64_t newest;                 /* 0: there is none */
};

static bool is_newest(void *data, struct str tenant, struct str name,
		      const struct rollout_row *row)
{
	struct lifting *f = data;
	const struct rollout_config *c = str_eq(tenant, f->p->tenant) ?
				rollout_row_config(row, f->config) : NULL;

	if (c && rollout_is_open(row->phase) && row->number > f->newest) {
		f->newest = row->number;
		f->brought = c->sha;
	}
	return true;
}

/* What is live there is named, and nothing else was to come: the hold stays. */
static bool is_idle(const struct lifting *f, const struct op *op)
{
	const struct place *at = place_at(f->p->tenant, op->name);
	struct rules rules;
	int k = rules_decode(m.one, at->rules, &rules) ? rules_default(&rules) : -1;

	return op->release && !op->lift_hold && !f->newest && k >= 0 &&
	       sha256_eq(&rules.r[k].sha, &op->sha);
}

/* What the command does there, by the first operation that does something. */
static enum touch touch_of(void *data, struct place *at)
{
	AUTO_ARENA arena = arena_new(4096);
	enum touch found = TOUCH_NOT;
	struct lifting *f = data;

	f->config = at->name;
	f->newest = 0;
	must(view_rollouts(f->l->txn, arena, is_newest, f, NULL) == OK);
	for (size_t i = 0; i < f->p->c.n_ops; i++) {
		const struct op *op = &f->p->c.ops[i];

		if (op->kind != KIND_CONFIG || !str_eq(op->name, at->name))
			continue;
		if (op->type == OP_OBJECT_DELETE)
			return TOUCH_OTHERWISE;
		if (op->type != OP_VERSION_ADD ||
		    (at->has_hold && sha256_eq(&op->sha, &at->held)) ||
		    (op->release && !op->lift_hold && f->newest &&
		     sha256_eq(&op->sha, &f->brought)))
			continue;
		if (!is_idle(f, op))
			return op->release ? TOUCH_LIFTS : TOUCH_OTHERWISE;
		found = TOUCH_OTHERWISE;
	}
	return found;
}

static bool has_policies(const struct look *l, struct str tenant)
{
	return view_count(l->txn, tenant, KIND_APPROVAL_POLICY) ||
	       view_count(l->txn, tenant, KIND_RELEASE_POLICY) ||
	       view_count(l->txn, tenant, KIND_FREEZE_WINDOW) ||
	       view_count(l->txn, tenant, KIND_WEBHOOK);
}

static void keep_along(const struct look *l, struct gate_proposal *p)
{
	struct lifting f = { .l = l, .p = p };
	size_t cap = 0;

	if (!p->is_source || p->is_glass || !has_policies(l, p->tenant))
		return;
	for (size_t i = 0; i < m.n_places; i++) {
		struct place *at = &m.places[i];

		if (!str_eq(at->tenant, p->tenant) || !at->is_there || !at->held_by ||
		    touch_of(&f, at) != TOUCH_NOT ||
		    !holds_are_lifted(at->held_by, p->tenant, touch_of, &f))
			continue;
		p->along = arena_grow(m.arena, p->along, &cap, p->n_along + 1,
				      sizeof(*p->along));
		p->along[p->n_along++] = (struct along){ at, at->rev };
		gate_sum.along++;
	}
}

/* ---- how they are made ---- */

void on_proposed(struct look *l, bool is_glass)
{
	struct str tenant = l->ops->n_ops ? l->ops->ops[0].tenant : STR_NONE;
	struct str name = str_of(l->o->proposal);
	const struct policy_form *first;
	struct gate_proposal *p = proposal_at(tenant, name);
	struct proposal_row row;
	struct err err;

	if (!claim(CHECK_PROPOSAL, view_proposal(l->txn, m.one, tenant, name, &row,
						 &err) == OK, "entry %llu, of %.*s "
		   "in %.*s: %s", ULL(l->index), STR_ARG(l->c.subject.name),
		   STR_ARG(tenant), err.text))
		return;
	if (p) {
		claim(CHECK_PROPOSAL, is_open(p) && !is_glass, "entry %llu: proposal "
		      "%.*s comes again and is %s", ULL(l->index), STR_ARG(name),
		      proposal_phase_name(p->phase));
		l->p = p;
		return;
	}
	must(m.n_props < PROPS_MAX);
	p = &m.props[m.n_props++];
	*p = (struct gate_proposal){
		.tenant = arena_str(m.arena, tenant),
		.name = arena_str(m.arena, name), .phase = PROPOSAL_PENDING,
		.digest = row.digest, .made_rev = l->o->rev,
		.author = arena_str(m.arena, l->c.subject.name),
		.is_source = l->c.subject.role == ROLE_SOURCE,
		.is_glass = is_glass, .moved_at = l->index };
	keep_command(&p->c, l->ops);
	keep_bases(p);
	keep_along(l, p);
	keep_policies(l, p, &row);
	l->p = p;
	gate_sum.proposed++;
	gate_sum.glass += is_glass;
	expect(p->tenant, NOTICE_PROPOSAL_CREATED);
	if (is_glass)
		expect(p->tenant, NOTICE_BREAK_GLASS);
	first = first_of(p);
	if (first && first->start_ms && !is_glass)
		p->not_before_ms = m.time_ms + first->start_ms;
	if (!is_glass && l->c.not_before_ms > m.time_ms) {
		p->not_before_ms = MAX(p->not_before_ms, l->c.not_before_ms);
		gate_sum.scheduled++;
	}
	p->expires_ms = MAX(m.time_ms, p->not_before_ms) +
			(first ? first->expires_ms : DAY_MS);
	claim(CHECK_PROPOSAL, row.not_before_ms == p->not_before_ms &&
	      (is_glass || row.expires_ms == p->expires_ms), "entry %llu: proposal "
	      "%.*s is executed from %llu to %llu, and the policy says %llu to "
	      "%llu", ULL(l->index), STR_ARG(name), ULL(row.not_before_ms),
	      ULL(row.expires_ms), ULL(p->not_before_ms), ULL(p->expires_ms));
	check_locks(l, p);
	/* It waits for its time alone. */
	if (!is_glass && !p->n_policies)
		move(l, p, PROPOSAL_APPROVED);
	if (is_glass) {
		move(l, p, PROPOSAL_APPROVED);
		move(l, p, PROPOSAL_EXECUTED);
		p->was_executed = true;
	}
}

/* Whether that is another by now. */
static bool has_moved(const struct gate_proposal *p)
{
	for (size_t i = 0; i < p->c.n_ops; i++)
		if (p->bases[i] != base_of(p, i))
			return true;
	for (size_t i = 0; i < p->n_along; i++)
		if (!p->along[i].at->is_there || p->along[i].rev != p->along[i].at->rev)
			return true;
	return false;
}

void find_stale(const struct look *l)
{
	for (size_t i = 0; i < m.n_props; i++)
		if (is_open(&m.props[i]) && has_moved(&m.props[i]))
			move(l, &m.props[i], PROPOSAL_STALE);
}

static bool is_author(const struct gate_proposal *p, struct str who)
{
	if (str_eq(p->author, who))
		return true;
	for (size_t i = 0; i < p->c.n_ops; i++)
		if (p->c.ops[i].author.n &&
		    str_find_str(p->c.ops[i].author, who) != SIZE_MAX)
			return true;
	return false;
}

static bool is_enough(const struct gate_proposal *p)
{
	for (size_t i = 0; i < p->n_policies; i++)
		for (unsigned k = 0; k < p->policies[i]->n_stages; k++) {
			const char *who = p->policies[i]->stages[k].subject;
			unsigned n = 0;

			for (size_t v = 0; v < p->n_voters; v++)
				n += who ? str_eq(p->voters[v].name, str_of(who)) :
					   p->voters[v].leads;
			if (n < p->policies[i]->stages[k].required)
				return false;
		}
	return true;
}

static void on_executed(struct look *l, struct gate_proposal *p)
{
	claim(CHECK_PROPOSAL, !p->was_executed, "entry %llu: proposal %.*s is executed "
	      "twice", ULL(l->index), STR_ARG(p->name));
	claim(CHECK_GATE, p->phase == PROPOSAL_APPROVED && is_enough(p), "entry %llu: "
	      "proposal %.*s is executed and is %s", ULL(l->index),
	      STR_ARG(p->name), proposal_phase_name(p->phase));
	claim(CHECK_GATE, m.time_ms >= p->not_before_ms && !has_ended(p->expires_ms),
	      "entry %llu: proposal %.*s is executed at another time than its own",
	      ULL(l->index), STR_ARG(p->name));
	claim(CHECK_GATE, !has_moved(p), "entry %llu: proposal %.*s is executed, and "
	      "what it was computed from has moved", ULL(l->index),
	      STR_ARG(p->name));
	l->ops = &p->c;
	l->how = HOW_EXECUTED;
	p->was_executed = true;
	move(l, p, PROPOSAL_EXECUTED);
}

void on_execute(struct look *l, const struct op *op)
{
	struct gate_proposal *p = proposal_at(op->tenant, op->name);

	l->p = p;
	if (!claim(CHECK_PROPOSAL, p && sha256_eq(&p->digest, &op->sha), "entry %llu: "
		   "%.*s, which nobody proposed, is executed", ULL(l->index),
		   STR_ARG(op->name)))
		return;
	if (str_eq(str_of(l->o->phase), STR("Executed"))) {
		on_executed(l, p);
		return;
	}
	/* What it was computed from has not moved, or it had ended with that. */
	claim(CHECK_PROPOSAL, str_eq(str_of(l->o->phase), STR("Failed")) &&
	      !has_moved(p), "entry %llu: proposal %.*s is %s, and what it was "
	      "computed from had moved", ULL(l->index), STR_ARG(p->name),
	      l->o->phase);
	l->how = HOW_FAILED;
	move(l, p, PROPOSAL_FAILED);
}

/* A plan's operations, by who executes it. */
void on_plan(struct look *l, const struct op *op)
{
	for (size_t i = 0; i < PLANS; i++)
		if (sha256_eq(&m.plans[i].digest, &op->sha) &&
		    str_eq(m.plans[i].tenant, op->tenant)) {
			l->ops = &m.plans[i].c;
			return;
		}
	claim(CHECK_PROPOSAL, false, "entry %llu: a plan is executed that nobody put",
	      ULL(l->index));
}

/* ---- votes ---- */

static bool is_named(const struct gate_proposal *p, const struct person *who)
{
	for (size_t i = 0; i < p->n_policies; i++)
		for (unsigned k = 0; k < p->policies[i]->n_stages; k++) {
			const char *name = p->policies[i]->stages[k].subject;

			if (name ? str_eq(str_of(name), str_of(who->name)) :
				   who->leads)
				return true;
		}
	return false;
}

static void on_agreed(const struct look *l, struct gate_proposal *p,
		      const struct person *who)
{
	claim(CHECK_VOTE, who && (who->verbs & BIT(VERB_APPROVE)) &&
	      is_named(p, who), "entry %llu: %.*s agrees to %.*s and is not asked",
	      ULL(l->index), STR_ARG(l->c.subject.name), STR_ARG(p->name));
	claim(CHECK_VOTE, !is_author(p, l->c.subject.name), "entry %llu: %.*s agrees to "
	      "his own change %.*s", ULL(l->index), STR_ARG(l->c.subject.name),
	      STR_ARG(p->name));
	claim(CHECK_VOTE, p->phase == PROPOSAL_PENDING && !has_ended(p->expires_ms),
	      "entry %llu: %.*s is agreed to and is %s", ULL(l->index),
	      STR_ARG(p->name), proposal_phase_name(p->phase));
	for (size_t i = 0; i < p->n_voters; i++)
		if (!claim(CHECK_VOTE, !str_eq(p->voters[i].name,
					       str_of(who->name)),
			   "entry %llu: %s counts twice", ULL(l->index), who->name))
			return;
	must(p->n_voters < PEOPLE);
	p->voters[p->n_voters].name = str_of(who->name);
	p->voters[p->n_voters++].leads = who->leads;
	if (is_enough(p))
		move(l, p, PROPOSAL_APPROVED);
}

void on_vote(const struct look *l, const struct op *op)
{
	struct gate_proposal *p = proposal_at(op->tenant, op->name);
	const struct person *who = person_of(&l->c.subject);
	bool is_root = l->c.subject.role == ROLE_ROOT;

	gate_sum.votes++;
	if (!claim(CHECK_VOTE, p && sha256_eq(&p->digest, &op->sha), "entry %llu: a "
		   "vote counts that is on another plan", ULL(l->index)))
		return;
	/* What it may be now is what it becomes. */
	p->moved_at = l->index;
	switch (op->vote) {
	case VOTE_APPROVE:
		if (claim(CHECK_VOTE, who, "entry %llu: %.*s votes and is nobody",
			  ULL(l->index), STR_ARG(l->c.subject.name)))
			on_agreed(l, p, who);
		break;
	case VOTE_REJECT:
		claim(CHECK_VOTE, (is_root || (who && (is_named(p, who) ||
				   (who->verbs & BIT(VERB_ADMINISTER))))) &&
		      !is_author(p, l->c.subject.name), "entry %llu: %.*s rejects "
		      "and is not asked", ULL(l->index),
		      STR_ARG(l->c.subject.name));
		move(l, p, PROPOSAL_REJECTED);
		break;
	case VOTE_CANCEL:
		claim(CHECK_VOTE, is_root || (who && (who->verbs &
						      BIT(VERB_ADMINISTER))) ||
		      str_eq(p->author, l->c.subject.name), "entry %llu: %.*s cancels "
		      "what is another's", ULL(l->index),
		      STR_ARG(l->c.subject.name));
		move(l, p, PROPOSAL_CANCELLED);
		break;
	default:
		claim(CHECK_VOTE, p->is_glass && !str_eq(p->author,
							 l->c.subject.name),
		      "entry %llu: there is nothing to review", ULL(l->index));
	}
}
