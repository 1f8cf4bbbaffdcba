/*
 * What is held, as the model of the gate sees it (gates.h): by the releases that turned
 * back and by what commands say, never by what the state holds.  Of several that turn
 * back at one place the newest that a source brought is held, a change of any file of
 * a release that turned back lifts what it holds, and so on from what goes out with
 * that.  What the state holds at each place that an entry changes must be the same.
 */
#include "gates_own.h"

#include "state/rollout_row.h"

#include "base/banned.h"

struct brought_at {
	struct place *at;
	struct uuid uid;
	struct sha256 sha;
};

/* One that can turn back, as its row was when it came. */
struct going {
	struct str tenant, name;
	uint64_t number, seen_at;
	bool is_brought;                 /* by a source */
	bool is_done;
	struct brought_at *members;
	size_t n;
};

static struct going *goings;
static size_t n_goings, cap_goings;

/* Of an entry. */
struct holding {
	const struct look *l;
	bool is_source;
	uint64_t *lifting;
	size_t n, cap;
};

void holds_end(void)
{
	free(TAKE(goings));
	n_goings = cap_goings = 0;
}

/* ---- releases ---- */

static bool has_place(const struct going *g, const struct place *at)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->members[i].at == at)
			return true;
	return false;
}

/* What it has is what everybody gets from here on: older ones that are out or wait have it
 * no more. */
static void take_place(const struct going *done)
{
	for (struct going *g = goings; g < goings + n_goings; g++) {
		size_t to = 0;

		if (g->is_done || g->number >= done->number ||
		    !str_eq(g->tenant, done->tenant))
			continue;
		for (size_t i = 0; i < g->n; i++)
			if (!has_place(done, g->members[i].at))
				g->members[to++] = g->members[i];
		g->n = to;
	}
}

static bool see_row(void *data, struct str tenant, struct str name,
		    const struct rollout_row *row)
{
	const struct look *l = data;
	struct going *g = goings;

	while (g < goings + n_goings &&
	       !(g->number == row->number && str_eq(g->tenant, tenant)))
		g++;
	if (g < goings + n_goings) {
		g->seen_at = l->index;
		if (row->phase == ROLLOUT_COMPLETED && !g->is_done)
			take_place(g);
		g->is_done = row->phase == ROLLOUT_COMPLETED;
		return true;
	}
	mem_grow((void **)&goings, &cap_goings, n_goings + 1, sizeof(*goings));
	g = &goings[n_goings++];
	*g = (struct going){ .tenant = arena_str(m.arena, tenant),
			     .name = arena_str(m.arena, name), .number = row->number,
			     .seen_at = l->index,
			     .is_brought = str_starts(row->author, STR("source:")) };
	g->members = arena_alloc(m.arena, (row->n_configs + 1) * sizeof(*g->members));
	for (size_t i = 0; i < row->n_configs; i++)
		g->members[g->n++] = (struct brought_at){
			place_at(tenant, row->configs[i].name), row->configs[i].uid,
			row->configs[i].sha };
	return true;
}

/* As its object says; '*is_there' false: that went with its end. */
static bool is_rolled_back(const struct look *l, const struct going *g, bool *is_there)
{
	struct value *status = NULL;
	struct object_view o;

	*is_there = view_object(l->txn, KIND_RELEASE, g->tenant, g->name, &o,
				NULL) == OK;
	return *is_there &&
	       doc_parse_json(o.row.status, m.one, NULL, &status, NULL) == OK &&
	       str_is(value_text(value_getz(status, "phase")), "RolledBack");
}

/* ---- what a place holds ---- */

static void add_back(struct place *at, uint64_t number)
{
	for (size_t i = 0; i < at->n_backs; i++)
		if (at->backs[i] == number)
			return;
	at->backs = arena_grow(m.arena, at->backs, &at->cap_backs, at->n_backs + 1,
			       sizeof(*at->backs));
	at->backs[at->n_backs++] = number;
}

static void unhold(const struct look *l, struct place *at)
{
	at->has_hold = at->is_brought = false;
	at->held_by = 0;
	at->n_backs = 0;
	at->judged_at = l->index;
}

static void hold_at(const struct look *l, const struct going *g, const struct brought_at *is)
{
	struct place *at = is->at;
	bool stays = at->has_hold && (at->is_brought == g->is_brought ?
				      at->held_by > g->number : at->is_brought);

	at->judged_at = l->index;
	roll_sum.held++;
	roll_sum.held_beside += at->has_hold;
	if (stays) {
		add_back(at, g->number);
		return;
	}
	if (at->has_hold && at->held_by)
		add_back(at, at->held_by);
	at->has_hold = true;
	at->is_brought = g->is_brought;
	at->held_by = g->number;
	at->held = is->sha;
}

/* ---- operations ---- */

static void lift_with(struct holding *h, uint64_t number)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->lifting[i] == number)
			return;
	h->lifting = arena_grow(m.one, h->lifting, &h->cap, h->n + 1,
				sizeof(*h->lifting));
	h->lifting[h->n++] = number;
}

static void lift_all_of(struct holding *h, const struct place *at)
{
	if (at->held_by)
		lift_with(h, at->held_by);
	for (size_t i = 0; i < at->n_backs; i++)
		lift_with(h, at->backs[i]);
}

/* What it may do to a hold is asked of the state. */
static void not_known(const struct look *l, struct place *at)
{
	at->unknown_at = l->index;
}

static void on_version(struct holding *h, const struct op *op, struct place *at,
		       bool changed)
{
	if (changed && h->is_source && op->release)
		lift_all_of(h, at);
	if (changed)
		unhold(h->l, at);
	else if (at->has_hold && !sha256_eq(&op->sha, &at->held))
		not_known(h->l, at);
}

/* Rules that name what is held want it. */
static void on_rules(struct holding *h, const struct op *op, struct place *at)
{
	struct version_row v;

	for (size_t i = 0; i < op->rules.n && at->has_hold; i++)
		if (!op->rules.r[i].version || h->is_source ||
		    view_version(h->l->txn, at->tenant, at->uid, op->rules.r[i].version,
				 &v, NULL) || sha256_eq(&v.sha, &at->held))
			not_known(h->l, at);
}

static void on_op(struct holding *h, size_t i)
{
	const struct op *op = &h->l->ops->ops[i];
	bool changed = i < h->l->o->n_results && h->l->o->results[i].changed;
	struct place *at;

	if (op->kind != KIND_CONFIG)
		return;
	at = place_at(op->tenant, op->name);
	if (op->type == OP_VERSION_ADD)
		on_version(h, op, at, changed);
	else if (op->type == OP_RULES_SET && changed)
		on_rules(h, op, at);
	else if ((op->type == OP_HOLD_LIFT && changed) || op->type == OP_OBJECT_DELETE)
		unhold(h->l, at);
}

/* What else the same releases hold goes out with it, but behind a broken glass. */
static void lift_the_rest(struct holding *h)
{
	struct str tenant = h->l->ops->n_ops ? h->l->ops->ops[0].tenant : STR_NONE;

	for (size_t k = 0; k < h->n && h->l->how != HOW_GLASS; k++)
		for (size_t i = 0; i < m.n_places; i++) {
			struct place *at = &m.places[i];

			if (at->held_by != h->lifting[k] || !at->is_there ||
			    !str_eq(at->tenant, tenant))
				continue;
			lift_all_of(h, at);
			unhold(h->l, at);
			roll_sum.lifted_along++;
		}
}

/* ---- ways back ---- */

static struct sha256 default_of(const struct place *at)
{
	struct rules rules;
	int k = rules_decode(m.one, at->rules, &rules) ? rules_default(&rules) : -1;

	return k < 0 ? (struct sha256){ { 0 } } : rules.r[k].sha;
}

static void turn_back(const struct look *l, const struct op *op, const struct going *g)
{
	bool is_by_config = op->type == OP_ROLLBACK;

	for (size_t i = 0; i < g->n; i++) {
		const struct brought_at *is = &g->members[i];
		struct sha256 serves = is_by_config ? is->at->was_default :
						      default_of(is->at);

		if (!is->at->is_there || !is->at->was_git ||
		    memcmp(is->uid.b, is->at->uid.b, sizeof(is->uid.b)) != 0)
			continue;
		if (!sha256_eq(&serves, &is->sha))
			hold_at(l, g, is);
	}
}

/* A way back to what was never live is a publish, which may supersede others; who aborts
 * one in an emergency turns others back. */
static bool ends_back(const struct look *l, const struct op *op, const struct going *g)
{
	bool is_there, is_back = is_rolled_back(l, g, &is_there);

	if (op->type == OP_RELEASE_MOVE && str_eq(op->name, g->name))
		return op->move == MOVE_ROLLBACK;
	for (size_t i = 0; i < g->n && !is_there; i++)
		not_known(l, g->members[i].at);
	return is_back;
}

static void see_ends(const struct look *l, const struct op *op)
{
	bool is_back = op && (op->type == OP_ROLLBACK ||
			      (op->type == OP_RELEASE_MOVE &&
			       (op->move == MOVE_ROLLBACK ||
				op->move == MOVE_ABORT)));

	for (size_t i = 0; i < n_goings;) {
		struct going *g = &goings[i];

		if (g->seen_at == l->index) {
			i++;
			continue;
		}
		if (is_back && ends_back(l, op, g))
			turn_back(l, op, g);
		*g = goings[--n_goings];
	}
}

/* By hand, away from what was served; what is held already is what the source brings. */
static void on_rollback(const struct look *l, const struct op *op)
{
	struct place *at = place_at(op->tenant, op->name);
	struct sha256 to = default_of(at);

	if (l->o->n_results == 0 || !l->o->results[0].changed || !at->was_git)
		return;
	if (sha256_eq(&to, &at->was_default)) {
		/* It may be a publish of what is held. */
		if (at->has_hold)
			not_known(l, at);
		return;
	}
	at->judged_at = l->index;
	if (at->has_hold && sha256_eq(&at->held, &to)) {
		unhold(l, at);
	} else if (!at->has_hold) {
		unhold(l, at);
		at->has_hold = at->is_brought = true;
		at->held = at->was_default;
	}
}

/* ---- against what there is ---- */

static size_t backs_of(const struct look *l, struct place *at, bool adopts)
{
	AUTO_BUF key = BUF_NONE;
	struct kv_cursor c;
	size_t n = 0;

	key_releasing_back(&key, at->tenant, at->name);
	for (bool on = kv_seek(l->txn, KV_RELEASING, buf_view(&key), &c);
	     on && str_starts(c.key, buf_view(&key)); on = kv_next(&c), n++) {
		struct rd rd = rd_of(str_from(c.key, key.n));

		if (adopts)
			add_back(at, rd_u64_be(&rd));
	}
	kv_cursor_close(&c);
	return n;
}

static bool is_indexed(const struct look *l, const struct place *at)
{
	AUTO_BUF key = BUF_NONE;

	key_releasing_hold(&key, at->tenant, at->held_by);
	buf_str(&key, at->name);
	return !at->held_by || kv_get(l->txn, KV_RELEASING, buf_view(&key), NULL);
}

static void adopt(const struct look *l, struct place *at, const struct live_row *live)
{
	unhold(l, at);
	at->has_hold = live->has_hold;
	at->held = live->hold;
	at->held_by = live->has_hold ? live->hold_release : 0;
	at->is_brought = live->has_hold &&
			 (!live->hold_release || live->hold_commit.n);
	backs_of(l, at, true);
}

static void compare(const struct look *l, struct place *at, bool adopts)
{
	struct object_view o;

	if (view_object(l->txn, KIND_CONFIG, at->tenant, at->name, &o, NULL) ||
	    !o.has_live)
		return;
	if (adopts || at->unknown_at == l->index) {
		adopt(l, at, &o.live);
		return;
	}
	roll_sum.holds_judged += at->has_hold;
	claim(CHECK_HOLD, at->has_hold == o.live.has_hold &&
	      (!at->has_hold || (sha256_eq(&at->held, &o.live.hold) &&
				 at->held_by == o.live.hold_release)),
	      "entry %llu: %.*s/%.*s holds what release %llu had (%d), and should what "
	      "release %llu had (%d)", ULL(l->index), STR_ARG(at->tenant),
	      STR_ARG(at->name), ULL(o.live.hold_release), o.live.has_hold,
	      ULL(at->held_by), at->has_hold);
	claim(CHECK_HOLD, is_indexed(l, at) && backs_of(l, at, false) == at->n_backs,
	      "entry %llu: %zu releases turned back beside the hold of %.*s/%.*s, and "
	      "the state has %zu", ULL(l->index), at->n_backs, STR_ARG(at->tenant),
	      STR_ARG(at->name), backs_of(l, at, false));
}

/* ---- an entry ---- */

/* Of who executes a plan, and of what moves several ways at once, the state is asked. */
static bool is_judged(const struct look *l)
{
	if (!m.is_open || (l->how == HOW_PLAIN && l->ops != &l->c))
		return false;
	for (size_t i = 0; i < l->ops->n_ops && l->ops->n_ops > 1; i++)
		if (l->ops->ops[i].type == OP_ROLLBACK ||
		    l->ops->ops[i].type == OP_RELEASE_MOVE)
			return false;
	return true;
}

static void follow(const struct look *l)
{
	struct holding h = { .l = l, .is_source = l->how == HOW_EXECUTED ?
			     l->p->is_source : l->c.subject.role == ROLE_SOURCE };
	const struct op *op = l->ops->n_ops == 1 ? l->ops->ops : NULL;

	for (size_t i = 0; i < l->ops->n_ops; i++)
		on_op(&h, i);
	lift_the_rest(&h);
	see_ends(l, op);
	if (op && op->type == OP_ROLLBACK)
		on_rollback(l, op);
}

void holds_look(const struct look *l)
{
	bool is_known = is_judged(l);
	struct err err;

	must(view_rollouts(l->txn, m.one, see_row, (void *)l, &err) == OK);
	if (is_known && (l->how == HOW_PLAIN || l->how == HOW_GLASS ||
			 l->how == HOW_EXECUTED))
		follow(l);
	else
		see_ends(l, NULL);
	for (size_t i = 0; i < m.n_places; i++) {
		struct place *at = &m.places[i];

		if (at->changed_at == l->index || at->judged_at == l->index ||
		    at->unknown_at == l->index)
			compare(l, at, !is_known);
		at->was_git = at->is_git;
	}
}

/* ---- for proposals ---- */

bool holds_are_lifted(uint64_t number, struct str tenant, holds_touch *touches,
		      void *data)
{
	struct holding h = { 0 };

	for (size_t i = 0; i < m.n_places; i++)
		if (str_eq(m.places[i].tenant, tenant) && m.places[i].has_hold &&
		    touches(data, &m.places[i]) == TOUCH_LIFTS)
			lift_all_of(&h, &m.places[i]);
	for (size_t k = 0; k < h.n; k++) {
		if (h.lifting[k] == number)
			return true;
		for (size_t i = 0; i < m.n_places; i++)
			if (m.places[i].held_by == h.lifting[k] &&
			    str_eq(m.places[i].tenant, tenant) &&
			    touches(data, &m.places[i]) == TOUCH_NOT)
				lift_all_of(&h, &m.places[i]);
	}
	return false;
}

bool holds_is_of(const struct place *at, uint64_t number)
{
	bool is = at->held_by == number;

	for (size_t i = 0; i < at->n_backs; i++)
		is |= at->backs[i] == number;
	return is;
}
