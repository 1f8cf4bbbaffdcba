/*
 * What webhooks are told, in the model of the gate (gates.h): of proposals by what became
 * of them there, of releases by what their objects say from one entry to the next.
 */
#include "gates_own.h"

#include "base/banned.h"

void expect(struct str tenant, enum notice what)
{
	must(m.n_expected < ARRAY_LEN(m.expected));
	m.expected[m.n_expected++] = (struct expected){ tenant, what };
}

/* ---- releases ---- */

static struct told_release *release_at(struct str tenant, struct str name)
{
	for (size_t i = m.n_releases; i-- > 0;)
		if (str_eq(m.releases[i].name, name) &&
		    str_eq(m.releases[i].tenant, tenant))
			return &m.releases[i];
	return NULL;
}

static struct told_release *add_release(struct str tenant, struct str name)
{
	m.releases = arena_grow(m.arena, m.releases, &m.cap_releases,
				m.n_releases + 1, sizeof(*m.releases));
	m.releases[m.n_releases] = (struct told_release){
		.tenant = arena_str(m.arena, tenant),
		.name = arena_str(m.arena, name) };
	return &m.releases[m.n_releases++];
}

/* What is live at once is begun, and over. */
static void expect_begun(struct str tenant, struct str phase, struct str type)
{
	bool is_back = str_is(type, "rollback");

	if (str_is(phase, "Completed") && is_back)
		expect(tenant, NOTICE_ROLLED_BACK);
	else if (!str_is(phase, "Queued"))
		expect(tenant, NOTICE_RELEASE_STARTED);
	if (str_is(phase, "Completed") && !is_back)
		expect(tenant, NOTICE_COMPLETED);
}

static bool is_promoted(const struct look *l, struct str name)
{
	const struct op *op = l->c.n_ops == 1 ? l->c.ops : NULL;

	return op && op->type == OP_RELEASE_MOVE && str_eq(op->name, name) &&
	       (op->move == MOVE_PROMOTE || op->move == MOVE_PROMOTE_FULL);
}

static void expect_moved(const struct look *l, const struct told_release *was,
			 struct str phase, uint64_t step)
{
	bool ends = !str_eq(was->phase, phase);

	if (str_is(was->phase, "Queued") && str_is(phase, "Progressing"))
		expect(was->tenant, NOTICE_RELEASE_STARTED);
	else if (ends && str_is(phase, "Paused"))
		expect(was->tenant, NOTICE_PAUSED);
	else if (ends && str_is(phase, "RolledBack"))
		expect(was->tenant, NOTICE_ROLLED_BACK);
	else if (ends && str_is(phase, "Aborted"))
		expect(was->tenant, NOTICE_ABORTED);
	else if (step > was->step)
		expect(was->tenant, is_promoted(l, was->name) ? NOTICE_PROMOTED :
								NOTICE_STEP);
	else if (ends && str_is(phase, "Completed") && is_promoted(l, was->name))
		expect(was->tenant, NOTICE_PROMOTED);
	if (ends && str_is(phase, "Completed"))
		expect(was->tenant, NOTICE_COMPLETED);
}

void told_see_release(const struct look *l, uint64_t rev,
		      const struct event_row *e)
{
	struct told_release *r = release_at(e->tenant, e->name);
	struct value *status = NULL, *spec = NULL;
	struct object_view o;
	struct str phase;
	uint64_t step = 0;

	if (e->type == EVENT_DELETED) {
		if (r)
			*r = m.releases[--m.n_releases];
		return;
	}
	must(view_of_event(e, e->after, rev, &o) &&
	     doc_parse_json(o.row.status, m.one, NULL, &status, NULL) == OK &&
	     doc_parse_json(o.row.spec, m.one, NULL, &spec, NULL) == OK);
	phase = value_text(value_getz(status, "phase"));
	value_to_u64(value_getz(status, "step"), &step);
	if (!r) {
		r = add_release(e->tenant, e->name);
		expect_begun(r->tenant, phase, value_text(value_getz(spec, "type")));
	} else {
		expect_moved(l, r, phase, step);
	}
	r->phase = arena_str(m.arena, phase);
	r->step = step ? step : 1;       /* at first it does not say so */
}

/* ---- against what there is ---- */

/* What this model knows when to be told of. */
static bool is_known(enum notice what)
{
	return (what >= NOTICE_PROPOSAL_CREATED && what <= NOTICE_ABORTED) ||
	       what == NOTICE_STALE;
}

struct told_of {
	uint64_t n[NOTICE__END], highest;
};

static bool count_row(void *data, const struct outbox_row *row)
{
	struct told_of *t = data;

	t->n[row->notice]++;
	t->highest = MAX(t->highest, row->seq);
	return true;
}

static void check_hook(const struct look *l, const struct hook *h,
		       const struct told_of *is)
{
	uint64_t want[NOTICE__END] = { 0 };

	for (size_t i = 0; i < m.n_expected; i++)
		want[m.expected[i].what] +=
			str_eq(m.expected[i].tenant, h->tenant) &&
			h->made_at < l->index && !h->is->rests &&
			(h->is->wants & BIT(m.expected[i].what));
	for (unsigned k = NOTICE_NONE + 1; k < NOTICE__END; k++) {
		if (!is_known((enum notice)k))
			continue;
		claim(CHECK_OUTBOX, is->n[k] == want[k], "entry %llu: webhook %.*s of "
		      "%.*s is told of %s %llu times, not %llu", ULL(l->index),
		      STR_ARG(h->name), STR_ARG(h->tenant),
		      notice_name((enum notice)k), ULL(is->n[k]), ULL(want[k]));
		gate_sum.notices += is->n[k];
		gate_sum.told_releases += k >= NOTICE_RELEASE_STARTED &&
					  k <= NOTICE_ABORTED ? is->n[k] : 0;
	}
}

/* One for each that is told, and no other. */
void told_check(const struct look *l)
{
	uint64_t highest = m.seq;

	for (size_t i = 0; i < m.n_hooks; i++) {
		struct told_of is = { { 0 }, 0 };

		view_outbox(l->txn, m.hooks[i].uid, OUTBOX_WAITING, m.seq, count_row,
			    &is);
		highest = MAX(highest, is.highest);
		check_hook(l, &m.hooks[i], &is);
	}
	m.seq = highest;
}
