/*
 * The model of the gate: see gates.h.  Each entry is looked at behind the record's
 * own look: what changed of configurations is asked of the policies and windows that
 * there were before it, and where they want approval there must have been enough of
 * it, by people who may, on exactly that.
 */
#include "gates_own.h"

#include "base/banned.h"

/* ---- policies ---- */

static bool is_about(const struct about *a, struct str application,
		     struct str config_name, struct str labels)
{
	return (!a->application || str_eq(application, str_of(a->application))) &&
	       (!a->name || str_eq(config_name, str_of(a->name))) &&
	       (!a->labels || str_eq(labels, str_of(a->labels)));
}

/* 'before', 'after': labels; none where it is not there. */
static bool form_wants(const struct policy_form *f, enum deed deed,
		       const struct place *at, struct str before,
		       struct str after)
{
	bool was = before.n && is_about(&f->about, at->application,
					at->config_name, before);
	bool is = after.n && is_about(&f->about, at->application,
				      at->config_name, after);

	if (deed == DEED_WRITE && was && !is)
		return true;
	return (was || is) && (f->deeds & deed);
}

static bool follows_policy(const struct gate_proposal *p,
			   const struct policy_form *f)
{
	for (size_t i = 0; i < p->n_policies; i++)
		if (p->policies[i] == f)
			return true;
	return false;
}

bool has_ended(uint64_t at_ms)
{
	return at_ms <= m.time_ms;
}

static void judge_window(const struct look *l, const struct place *at,
			 enum deed deed)
{
	for (size_t i = 0; i < m.n_windows; i++) {
		const struct shut *win = &m.windows[i];

		claim(CHECK_WINDOW, deed == DEED_ROLLBACK || l->how == HOW_GLASS ||
		      !str_eq(win->tenant, at->tenant) ||
		      m.time_ms < win->from_ms || has_ended(win->to_ms),
		      "entry %llu changes %.*s/%.*s while window %.*s is shut",
		      ULL(l->index), STR_ARG(at->tenant), STR_ARG(at->name),
		      STR_ARG(win->name));
	}
}

static void judge_policy(const struct look *l, const struct place *at,
			 enum deed deed, const struct policy_form *f)
{
	switch (l->how) {
	case HOW_GLASS:
		claim(CHECK_GATE, f->glass && str_eq(l->c.subject.name,
						     str_of(f->glass)) &&
		      l->c.reason.n, "entry %llu: %.*s breaks a glass that is not "
		      "his", ULL(l->index), STR_ARG(l->c.subject.name));
		break;
	default:
		claim(CHECK_GATE, false, "entry %llu: deed %d of %.*s to %.*s/%.*s "
		      "was approved by nobody", ULL(l->index), deed,
		      STR_ARG(l->c.subject.name), STR_ARG(at->tenant),
		      STR_ARG(at->name));
	}
}

/* A change of a configuration that happened. */
static void judge(const struct look *l, const struct place *at, enum deed deed,
		  struct str before, struct str after)
{
	gate_sum.gated++;
	judge_window(l, at, deed);
	if (l->how == HOW_EXECUTED && l->p->n_policies) {
		/* Its policies are those of when it was proposed. */
		for (size_t i = 0; i < l->p->n_held; i++)
			claim(CHECK_GATE, follows_policy(l->p, l->p->held[i]) ||
			      !form_wants(l->p->held[i], deed, at, before, after),
			      "entry %llu: proposal %.*s did not follow policy %s",
			      ULL(l->index), STR_ARG(l->p->name),
			      l->p->held[i]->spec);
		return;
	}
	for (size_t i = 0; i < m.n_policies; i++)
		if (str_eq(m.policies[i].tenant, at->tenant) &&
		    form_wants(m.policies[i].is, deed, at, before, after))
			judge_policy(l, at, deed, m.policies[i].is);
}

/* ---- configurations ---- */

struct place *place_at(struct str tenant, struct str name)
{
	for (size_t i = 0; i < m.n_places; i++)
		if (str_eq(m.places[i].name, name) &&
		    str_eq(m.places[i].tenant, tenant))
			return &m.places[i];
	must(m.n_places < ARRAY_LEN(m.places));
	m.places[m.n_places] = (struct place){ .tenant = arena_str(m.arena, tenant),
					       .name = arena_str(m.arena, name) };
	return &m.places[m.n_places++];
}

static bool is_of(const struct op *op, const struct place *at)
{
	return op->kind == KIND_CONFIG && str_eq(op->name, at->name) &&
	       str_eq(op->tenant, at->tenant);
}

/* By which operation another version is served there; 0: none. */
static enum deed deed_of(const struct look *l, const struct place *at)
{
	enum deed deed = 0;

	for (size_t i = 0; i < l->ops->n_ops; i++) {
		const struct op *op = &l->ops->ops[i];

		if (!is_of(op, at))
			continue;
		if (op->type == OP_VERSION_ADD && op->release)
			return DEED_PUBLISH;
		if (op->type == OP_RULES_SET)
			deed = DEED_RULES;
		else if (op->type == OP_ROLLBACK && !deed)
			deed = DEED_ROLLBACK;
	}
	return deed;
}

static bool is_wanted(const struct look *l, const struct place *at)
{
	for (size_t i = 0; i < l->ops->n_ops; i++)
		if (is_of(&l->ops->ops[i], at))
			return true;
	return false;
}

static void keep(struct str *field, struct str is)
{
	if (!str_eq(*field, is))
		*field = arena_str(m.arena, is);
}

/* None, and nothing at all, are the same. */
static struct str rules_of(struct str encoded)
{
	struct rules rules;

	return rules_decode(m.one, encoded, &rules) && rules.n ? encoded : STR_NONE;
}

static bool is_among(const struct contents *all, const struct sha256 *sha)
{
	for (size_t i = 0; i < all->n; i++)
		if (sha256_eq(&all->v[i], sha))
			return true;
	return false;
}

bool was_had(const struct place *at, const struct sha256 *sha)
{
	return is_among(&at->had, sha);
}

static void add_content(struct contents *to, const struct sha256 *sha)
{
	if (is_among(to, sha))
		return;
	to->v = arena_grow(m.arena, to->v, &to->cap, to->n + 1, sizeof(*to->v));
	to->v[to->n++] = *sha;
}

/* The operation, the first from 'from' on, that brings it a version to be released. */
static const struct op *added(const struct look *l, const struct place *at, size_t from)
{
	for (size_t i = from; i < l->ops->n_ops && i < l->o->n_results; i++)
		if (is_of(&l->ops->ops[i], at) && l->o->results[i].changed &&
		    l->ops->ops[i].type == OP_VERSION_ADD && l->ops->ops[i].release)
			return &l->ops->ops[i];
	return NULL;
}

/* A release moved, or ended: nothing is served but what was let through once. */
static void judge_release(const struct look *l, const struct place *at,
			  struct str encoded)
{
	const struct op *op = l->c.n_ops == 1 ? l->c.ops : NULL;
	struct rules rules = { 0 };

	claim(CHECK_GATE, gates_have_rolls(at->tenant) &&
	      (!encoded.n || rules_decode(m.one, encoded, &rules)), "entry %llu: "
	      "%.*s/%.*s serves another version, and no operation says so",
	      ULL(l->index), STR_ARG(at->tenant), STR_ARG(at->name));
	for (size_t i = 0; i < rules.n; i++)
		claim(CHECK_GATE, is_among(&at->brought, &rules.r[i].sha) ||
		      (rules.r[i].release && !rules.r[i].version), "entry %llu: "
		      "%.*s/%.*s serves what was never let through", ULL(l->index),
		      STR_ARG(at->tenant), STR_ARG(at->name));
	if (op && op->type == OP_RELEASE_MOVE &&
	    (op->move == MOVE_START || op->move == MOVE_ADVANCE ||
	     op->move == MOVE_PROMOTE || op->move == MOVE_PROMOTE_FULL))
		judge_window(l, at, DEED_PUBLISH);
}

/*
 * A way back leads to what everybody had, or takes something away; what it brings beyond
 * that is a publish, whatever it is called.  So are rules that name what was never let
 * through.
 */
static void judge_by_hand(const struct look *l, const struct place *at,
			  enum deed deed, const struct rules *now, struct str labels)
{
	struct rules was = { 0 };

	judge(l, at, deed, labels, labels);
	if (at->rules.n && !rules_decode(m.one, at->rules, &was))
		return;
	for (size_t i = 0; i < now->n; i++) {
		bool is_new = now->r[i].version &&
			      !is_among(&at->had, &now->r[i].sha);

		for (size_t k = 0; k < was.n; k++)
			is_new &= !sha256_eq(&was.r[k].sha, &now->r[i].sha) ||
				  (rule_is_default(&now->r[i]) &&
				   !rule_is_default(&was.r[k]));
		if (is_new) {
			gate_sum.brought_back++;
			judge(l, at, DEED_PUBLISH, labels, labels);
		}
	}
}

/*
 * Nothing else is served yet: what was named waits for its turn, behind another release,
 * and is let through now.
 */
static void judge_waiting(const struct look *l, struct place *at, struct str labels)
{
	for (size_t i = 0; i < l->ops->n_ops && i < l->o->n_results; i++) {
		const struct op *op = &l->ops->ops[i];
		struct version_row v;

		if (!is_of(op, at) || !l->o->results[i].changed ||
		    (op->type != OP_RULES_SET && op->type != OP_ROLLBACK))
			continue;
		judge(l, at, op->type == OP_RULES_SET ? DEED_RULES : DEED_ROLLBACK,
		      labels, labels);
		if (view_version(l->txn, at->tenant, at->uid, l->o->results[i].version,
				 &v, NULL) || was_had(at, &v.sha))
			continue;
		gate_sum.put_off++;
		judge(l, at, DEED_PUBLISH, labels, labels);
		add_content(&at->brought, &v.sha);
	}
}

/* What the default rule serves, everybody had. */
static void note_had(struct place *at)
{
	struct rules rules;
	int k = rules_decode(m.one, at->rules, &rules) ? rules_default(&rules) : -1;

	if (k >= 0)
		add_content(&at->had, &rules.r[k].sha);
}

static void see_served(const struct look *l, struct place *at, struct str encoded,
		       struct str labels)
{
	const struct op *op = added(l, at, 0);
	struct rules rules = { 0 };
	enum deed deed;

	if (op)
		judge(l, at, DEED_PUBLISH, labels, labels);
	/* The last of a command is what a release brings that waits for its turn. */
	for (const struct op *o = op; o;
	     o = added(l, at, (size_t)(o - l->ops->ops) + 1))
		add_content(&at->brought, &o->sha);
	if (str_eq(at->rules, encoded)) {
		judge_waiting(l, at, labels);
		return;
	}
	deed = op ? DEED_PUBLISH : deed_of(l, at);
	if (!deed) {
		judge_release(l, at, encoded);
		return;
	}
	if (!rules_decode(m.one, encoded, &rules))
		return;
	if (!op)
		judge_by_hand(l, at, deed, &rules, labels);
	for (size_t i = 0; i < rules.n; i++)
		if (rules.r[i].version)
			add_content(&at->brought, &rules.r[i].sha);
}

static void see_deleted(const struct look *l, struct place *at)
{
	judge(l, at, DEED_DELETE, at->labels, STR_NONE);
	at->is_there = false;
	at->rules = STR_NONE;
	at->labels = STR_NONE;
	at->was_deleted_at = l->index;
	at->has_hold = false;
	at->held_by = at->n_backs = 0;
	at->had.n = at->brought.n = 0;
}

/* As people set them: those of releases are left out. */
static struct str own_rules(struct str encoded)
{
	AUTO_BUF b = BUF_NONE;
	struct rules all, own = { 0 };

	if (!rules_decode(m.one, encoded, &all))
		return STR_NONE;
	for (size_t i = 0; i < all.n; i++)
		if (!all.r[i].release)
			*rules_add(m.one, &own) = all.r[i];
	rules_encode(&b, &own);
	return arena_str(m.one, buf_view(&b));
}

/* A step of a release moves nothing that was agreed to by. */
static void see_base(const struct look *l, struct place *at, uint64_t rev,
		     struct str rules, const struct object_view *o)
{
	at->rev = MAX(o->row.rev, o->live.base_rev);
	claim(CHECK_GATE, at->rev == rev ||
	      (at->is_there && str_eq(own_rules(at->rules), own_rules(rules)) &&
	       str_eq(at->labels, o->row.labels) && str_eq(at->spec, o->row.spec) &&
	       str_eq(at->format, o->row.format)), "entry %llu changes more of "
	      "%.*s/%.*s than a step does, and says it is still of revision %llu",
	      ULL(l->index), STR_ARG(at->tenant), STR_ARG(at->name), ULL(at->rev));
}

static void see_config(const struct look *l, uint64_t rev,
		       const struct event_row *e)
{
	struct place *at = place_at(e->tenant, e->name);
	struct object_view o;
	struct str rules;

	claim(CHECK_GATE, is_wanted(l, at) || (gates_have_rolls(e->tenant) &&
	      e->type == EVENT_MODIFIED), "entry %llu changes %.*s/%.*s, which nobody "
	      "asked for", ULL(l->index), STR_ARG(e->tenant), STR_ARG(e->name));
	at->changed_at = l->index;
	if (e->type == EVENT_DELETED) {
		at->rev = rev;
		see_deleted(l, at);
		return;
	}
	if (!claim(CHECK_GATE, view_of_event(e, e->after, rev, &o), "entry %llu: an "
		   "event is malformed", ULL(l->index)))
		return;
	keep(&at->application, o.row.application);
	keep(&at->config_name, o.row.config_name);
	if (!at->is_there || !str_eq(at->labels, o.row.labels) ||
	    !str_eq(at->spec, o.row.spec) || !str_eq(at->format, o.row.format))
		judge(l, at, DEED_WRITE, at->labels, o.row.labels);
	rules = rules_of(o.live.rules);
	at->uid = o.row.uid;
	see_base(l, at, rev, rules, &o);
	see_served(l, at, rules, o.row.labels);
	at->is_there = true;
	at->is_git = o.row.manager == MANAGER_GIT;
	keep(&at->labels, o.row.labels);
	keep(&at->spec, o.row.spec);
	keep(&at->format, o.row.format);
	keep(&at->rules, rules);
	note_had(at);
}

/* ---- refusals ---- */

static void on_refused(const struct look *l)
{
	struct str tenant = l->c.n_ops ? l->c.ops[0].tenant : STR_NONE;
	bool is_shut = false, is_locked = false;

	gate_sum.frozen += l->o->code == E_FROZEN;
	gate_sum.locked += l->o->code == E_LOCKED;
	for (size_t i = 0; i < m.n_windows; i++)
		is_shut |= str_eq(m.windows[i].tenant, tenant) &&
			   m.windows[i].from_ms <= m.time_ms &&
			   !has_ended(m.windows[i].to_ms);
	for (size_t i = 0; i < m.n_props; i++)
		is_locked |= str_eq(m.props[i].tenant, tenant) &&
			     is_open(&m.props[i]);
	claim(CHECK_WINDOW, l->o->code != E_FROZEN || is_shut, "entry %llu is refused "
	      "as frozen, and no window is shut", ULL(l->index));
	/* So are a queued release, and rules where one goes out. */
	is_locked |= gates_have_rolls(tenant);
	claim(CHECK_LOCK, l->o->code != E_LOCKED || is_locked, "entry %llu is refused "
	      "as locked, and nothing is proposed", ULL(l->index));
}

/* ---- an entry ---- */

/* In the state a proposal is what it is here. */
static void see_proposal(const struct look *l, const struct event_row *e)
{
	struct gate_proposal *p = proposal_at(e->tenant, e->name);
	struct proposal_row row;
	bool deletes = false;
	struct err err;

	if (!claim(CHECK_PROPOSAL, p, "entry %llu: proposal %.*s is of nobody",
		   ULL(l->index), STR_ARG(e->name)))
		return;
	if (e->type == EVENT_DELETED) {
		for (size_t i = 0; i < l->c.n_ops; i++)
			deletes |= l->c.ops[i].type == OP_OBJECT_DELETE &&
				   l->c.ops[i].kind == KIND_TENANT;
		claim(CHECK_PROPOSAL, deletes || !is_open(p), "entry %llu: proposal "
		      "%.*s is removed, and is open", ULL(l->index),
		      STR_ARG(e->name));
		p->is_gone = true;
		return;
	}
	if (!claim(CHECK_PROPOSAL, view_proposal(l->txn, m.one, e->tenant, e->name, &row,
						 &err) == OK, "entry %llu: proposal "
		   "%.*s has an event, and is not there", ULL(l->index),
		   STR_ARG(e->name)))
		return;
	claim(CHECK_PROPOSAL, row.phase == p->phase, "entry %llu: proposal %.*s is %s, "
	      "and should be %s", ULL(l->index), STR_ARG(e->name),
	      proposal_phase_name(row.phase), proposal_phase_name(p->phase));
	claim(CHECK_PROPOSAL, p->moved_at == l->index, "entry %llu: proposal %.*s "
	      "changes, and nothing happened to it", ULL(l->index),
	      STR_ARG(e->name));
	p->seen_at = l->index;
}

static bool see_before(void *data, uint64_t rev, const struct event_row *e)
{
	if (e->kind == KIND_CONFIG)
		see_config(data, rev, e);
	return true;
}

static bool see_behind(void *data, uint64_t rev, const struct event_row *e)
{
	if (e->kind == KIND_PROPOSAL)
		see_proposal(data, e);
	else if (e->kind == KIND_RELEASE)
		told_see_release(data, rev, e);
	return true;
}

static bool is_wanted_behind(const struct look *l, const struct place *at, size_t i)
{
	while (++i < l->ops->n_ops)
		if (is_of(&l->ops->ops[i], at))
			return true;
	return false;
}

/* What an approved change serves is what was approved. */
static void check_served(const struct look *l)
{
	for (size_t i = 0; i < l->ops->n_ops; i++) {
		const struct op *op = &l->ops->ops[i];
		const struct place *at = place_at(op->tenant, op->name);
		struct rules rules;
		int k;

		if (op->type != OP_VERSION_ADD || !op->release || !at->is_there ||
		    gates_have_rolls(op->tenant) ||
		    is_wanted_behind(l, at, i))
			continue;
		if (!claim(CHECK_GATE, rules_decode(m.one, at->rules, &rules),
			   "entry %llu: rules are malformed", ULL(l->index)))
			return;
		k = rules_default(&rules);
		claim(CHECK_GATE, k >= 0 && sha256_eq(&rules.r[k].sha, &op->sha),
		      "entry %llu: %.*s/%.*s serves another content than the one that "
		      "was approved", ULL(l->index), STR_ARG(at->tenant),
		      STR_ARG(at->name));
	}
}

static void follow(const struct look *l)
{
	for (size_t i = 0; i < l->c.n_ops && i < l->o->n_results; i++) {
		const struct op *op = &l->c.ops[i];

		if (!l->o->results[i].changed)
			continue;
		if (op->type == OP_VOTE)
			on_vote(l, op);
		else if (op->type == OP_PLAN_PUT)
			keep_plan(op);
		else
			gate_thing(l, op, l->o->results[i].uid);
	}
}

static void classify(struct look *l)
{
	const struct op *op = l->c.n_ops == 1 ? l->c.ops : NULL;

	l->ops = &l->c;
	if (op && op->type == OP_EXECUTE && op->kind == KIND_PROPOSAL) {
		on_execute(l, op);
		return;
	}
	if (op && op->type == OP_EXECUTE)
		on_plan(l, op);
	if (!l->o->proposal[0])
		return;
	l->how = str_eq(str_of(l->o->phase), STR("Executed")) ? HOW_GLASS :
								HOW_PROPOSED;
	claim(CHECK_GATE, l->how != HOW_GLASS || (l->c.flags & COMMAND_BREAK_GLASS),
	      "entry %llu: a glass is broken unasked", ULL(l->index));
}

static void look_at_time(struct look *l)
{
	l->how = HOW_TIME;
	l->ops = &l->c;
	for (size_t i = 0; i < m.n_props; i++)
		if (is_open(&m.props[i]) && has_ended(m.props[i].expires_ms))
			move(l, &m.props[i], PROPOSAL_EXPIRED);
}

/* Of before there was a gate nobody knows what was live. */
static void note_unmarked(const struct look *l)
{
	for (size_t i = 0; i < l->ops->n_ops; i++)
		if (l->ops->ops[i].type == OP_VERSION_ADD)
			add_content(&place_at(l->ops->ops[i].tenant,
					      l->ops->ops[i].name)->had,
				    &l->ops->ops[i].sha);
}

static void look_behind(struct look *l, uint64_t rev)
{
	struct err err;

	if (l->how == HOW_PLAIN || l->how == HOW_GLASS || l->how == HOW_EXECUTED)
		rolls_check_holds(l);
	leads_check(l);
	claim(CHECK_GATE, view_events(l->txn, rev, see_before, l, &err) == OK,
	      "entry %llu: %s", ULL(l->index), err.text);
	if (!m.is_open)
		note_unmarked(l);
	rolls_look(l);
	if (l->how == HOW_PROPOSED || l->how == HOW_GLASS)
		on_proposed(l, l->how == HOW_GLASS);
	find_stale(l);
	if (l->how == HOW_EXECUTED)
		check_served(l);
	if (l->how == HOW_PLAIN)
		follow(l);
	claim(CHECK_GATE, view_events(l->txn, rev, see_behind, l, &err) == OK,
	      "entry %llu: %s", ULL(l->index), err.text);
	for (size_t i = 0; i < m.n_props; i++)
		claim(CHECK_PROPOSAL, m.props[i].is_gone ||
		      m.props[i].moved_at != l->index ||
		      m.props[i].seen_at == l->index, "entry %llu: "
		      "proposal %.*s should be %s, and has no event", ULL(l->index),
		      STR_ARG(m.props[i].name),
		      proposal_phase_name(m.props[i].phase));
	told_check(l);
	names_check(l);
}

static void tell_ops(const struct look *l)
{
	for (size_t i = 0; verbose && i < l->c.n_ops; i++)
		tell("entry %llu: operation %d on %.*s/%.*s by %.*s: %s %s %s%s",
		     ULL(l->index), l->c.ops[i].type, STR_ARG(l->c.ops[i].tenant),
		     STR_ARG(l->c.ops[i].name), STR_ARG(l->c.subject.name),
		     code_name(l->o->code), l->o->proposal, l->o->phase,
		     l->o->replayed ? " (as before)" : "");
}

void gates_look(const struct rc_entry *e, struct kv_txn *txn, uint64_t rev,
		const struct outcome *o)
{
	struct look l = { .index = e->index, .txn = txn, .o = o };

	arena_reset(m.one);
	m.n_expected = 0;
	if (!e->is_command || !o || command_decode(m.one, e->data, &l.c, NULL))
		return;
	m.time_ms = MAX(m.time_ms, l.c.time_ms);
	tell_ops(&l);
	if (l.c.type == COMMAND_VERSION && o->code == OK)
		m.is_open |= l.c.version >= VERSION_GATE;
	if (l.c.type == COMMAND_STAGED &&
	    command_decode(m.one, clients_bytes(e->id), &l.c, NULL))
		return;
	if (l.c.type == COMMAND_TICK && m.is_open)
		look_at_time(&l);
	else if (l.c.type != COMMAND_OPS || o->replayed)
		return;
	else if (o->code) {
		on_refused(&l);
		return;
	} else {
		classify(&l);
	}
	if (!w.is_broken)
		look_behind(&l, rev);
}
