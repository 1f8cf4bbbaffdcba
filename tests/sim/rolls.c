/*
 * Releases in steps, as the model of the gate sees them (gates.h): by the rules that
 * events show, asked for a hundred clients.  A release is all or nothing at each
 * revision, whoever is in stays in until a way back, what it ended with is the end,
 * and what it turned back (gate_holds.c) its source does not bring again.
 */
#include "gates_own.h"

#include <stdio.h>

#include "base/banned.h"

struct share {
	struct place *at;
	struct sha256 sha, was;          /* it brings; the default before it was done */
};

enum roll_state {
	ROLL_OUT,                        /* its rules are there */
	ROLL_DONE,                       /* its versions are the defaults */
	ROLL_OVER,
};

struct roll {
	struct str tenant;
	uint64_t number;
	enum roll_state state;
	bool in[CLIENTS];
	struct share *members;
	size_t n_members, cap_members;
};

static struct roll *rolls;
static size_t n_rolls, cap_rolls;
struct roll_totals roll_sum;

void rolls_end(void)
{
	holds_end();
	free(TAKE(rolls));
	n_rolls = cap_rolls = 0;
}

/* ---- who gets what ---- */

static uint32_t bucket_of(const uint8_t salt[SALT_SIZE], struct str id)
{
	AUTO_BUF text = BUF_NONE;
	struct sha256 sha;
	uint64_t n = 0;

	buf_add(&text, salt, SALT_SIZE);
	buf_c(&text, '\0');
	buf_str(&text, id);
	sha = sha256_of(buf_view(&text));
	for (unsigned i = 0; i < 8; i++)
		n = n << 8 | sha.b[i];
	return (uint32_t)(n % 10000);
}

bool rolls_is_in(const struct rule *r, unsigned client)
{
	char text[16];
	struct str id;
	bool is_named = !r->n_nodes;

	snprintf(text, sizeof(text), "c%u", client);
	id = str_of(text);
	for (size_t i = 0; i < r->labels.n; i++)
		if (!str_is(r->labels.l[i].key, "zone") ||
		    !str_eq(r->labels.l[i].value, client % 4 ? STR("b") : STR("a")))
			return false;
	for (size_t i = 0; i < r->n_nodes; i++)
		is_named |= str_eq(r->nodes[i], id);
	return is_named && (!r->has_percent ||
			    bucket_of(r->salt, id) < r->percent_bp);
}

static struct sha256 default_of(const struct place *at)
{
	struct rules rules;
	int k = rules_decode(m.one, at->rules, &rules) ? rules_default(&rules) : -1;

	return k < 0 ? (struct sha256){ { 0 } } : rules.r[k].sha;
}

/* Who is in by the rules of a release at a place; false: it has none there. */
static bool cohort_at(const struct place *at, uint64_t number, bool in[CLIENTS],
		      struct sha256 *sha)
{
	struct rules rules;
	bool is_any = false;

	memset(in, 0, CLIENTS * sizeof(*in));
	if (!rules_decode(m.one, at->rules, &rules))
		return false;
	for (size_t i = 0; i < rules.n; i++) {
		/* Of the version 0: it keeps others away, and brings nothing. */
		if (rules.r[i].release != number || !rules.r[i].version)
			continue;
		is_any = true;
		*sha = rules.r[i].sha;
		for (unsigned c = 0; c < CLIENTS; c++)
			in[c] |= rolls_is_in(&rules.r[i], c);
	}
	return is_any;
}

/* ---- releases ---- */

static struct roll *roll_at(struct str tenant, uint64_t number)
{
	for (size_t i = 0; i < n_rolls; i++)
		if (rolls[i].number == number && str_eq(rolls[i].tenant, tenant))
			return &rolls[i];
	return NULL;
}

static void begin_roll(const struct place *found, uint64_t number)
{
	struct roll *r;

	mem_grow((void **)&rolls, &cap_rolls, n_rolls + 1, sizeof(*rolls));
	r = &rolls[n_rolls++];
	*r = (struct roll){ .tenant = found->tenant, .number = number };
	for (size_t i = 0; i < m.n_places; i++) {
		struct place *at = &m.places[i];
		struct sha256 sha;
		bool in[CLIENTS];

		if (!str_eq(at->tenant, r->tenant) ||
		    !cohort_at(at, number, in, &sha))
			continue;
		r->members = arena_grow(m.arena, r->members, &r->cap_members,
					r->n_members + 1, sizeof(*r->members));
		r->members[r->n_members++] = (struct share){ at, sha,
							      default_of(at) };
	}
	roll_sum.begun++;
	roll_sum.of_many += r->n_members > 1;
}

static const struct op *move_of(const struct look *l, const struct roll *r)
{
	const struct op *op = l->c.n_ops == 1 ? l->c.ops : NULL;
	char name[RELEASE_NAME_MAX];

	snprintf(name, sizeof(name), "r-%012llu", ULL(r->number));
	return l->how == HOW_PLAIN && op && op->type == OP_RELEASE_MOVE &&
	       str_eq(op->tenant, r->tenant) && str_eq(op->name, str_of(name)) ?
	       op : NULL;
}

static bool goes_on(const struct op *op)
{
	return op && (op->move == MOVE_START || op->move == MOVE_ADVANCE ||
		      op->move == MOVE_PROMOTE || op->move == MOVE_PROMOTE_FULL);
}

static bool goes_back(const struct op *op)
{
	return op && (op->move == MOVE_ROLLBACK || op->move == MOVE_ABORT);
}

static void drop_the_deleted(struct roll *r)
{
	for (size_t i = 0; i < r->n_members;)
		if (r->members[i].at->was_deleted_at)
			r->members[i] = r->members[--r->n_members];
		else
			i++;
}

static bool is_anywhere(const struct roll *r)
{
	struct sha256 sha;
	bool in[CLIENTS];

	for (size_t i = 0; i < r->n_members; i++)
		if (cohort_at(r->members[i].at, r->number, in, &sha))
			return true;
	return false;
}

static bool has_member(const struct roll *r, const struct place *at)
{
	for (size_t i = 0; i < r->n_members; i++)
		if (r->members[i].at == at)
			return true;
	return false;
}

/* It is completed: older ones are without what it has, and go on with the rest. */
static void take_places(const struct roll *done)
{
	for (size_t i = 0; i < n_rolls; i++) {
		struct roll *r = &rolls[i];
		size_t to = 0, n = r->n_members;

		if (r->state != ROLL_OUT || r->number >= done->number ||
		    !str_eq(r->tenant, done->tenant))
			continue;
		for (size_t k = 0; k < n; k++)
			if (!has_member(done, r->members[k].at))
				r->members[to++] = r->members[k];
		r->n_members = to;
		roll_sum.left += to && to < n;
	}
}

/* Its rules are there, and with them all that it consists of. */
static void check_out(const struct look *l, struct roll *r, const bool in[CLIENTS],
		      size_t n)
{
	bool grows = false, shrinks = false;

	claim(CHECK_WHOLE, n == r->n_members, "entry %llu: release %llu of %zu "
	      "configurations is at %zu of them", ULL(l->index), ULL(r->number),
	      r->n_members, n);
	claim(CHECK_RELEASE, r->state == ROLL_OUT, "entry %llu: release %llu was over, "
	      "and goes out again", ULL(l->index), ULL(r->number));
	for (unsigned c = 0; c < CLIENTS; c++) {
		grows |= in[c] && !r->in[c];
		shrinks |= r->in[c] && !in[c];
	}
	claim(CHECK_COHORT, !shrinks, "entry %llu: a client that had release %llu has "
	      "it no more", ULL(l->index), ULL(r->number));
	claim(CHECK_COHORT, !grows || goes_on(move_of(l, r)) ||
	      !l->ops->n_ops || l->ops->ops[0].type != OP_RELEASE_MOVE,
	      "entry %llu: more clients have release %llu, by move %d",
	      ULL(l->index), ULL(r->number),
	      l->ops->n_ops ? (int)l->ops->ops[0].move : 0);
	roll_sum.steps += grows;
	memcpy(r->in, in, sizeof(r->in));
}

/* Its rules are gone. */
static void check_end(const struct look *l, struct roll *r)
{
	const struct op *op = move_of(l, r);
	bool is_done = goes_on(op);

	claim(CHECK_WHOLE, is_done || r->n_members == 0 || l->how != HOW_PLAIN ||
	      l->c.n_ops != 1 || l->c.ops[0].type != OP_RELEASE_MOVE ||
	      !goes_on(l->c.ops), "entry %llu: release %llu is over, with %zu "
	      "configurations that the one that goes on has not", ULL(l->index),
	      ULL(r->number), r->n_members);
	for (size_t i = 0; i < r->n_members; i++) {
		struct sha256 is = default_of(r->members[i].at);

		claim(CHECK_WHOLE, !is_done || sha256_eq(&is, &r->members[i].sha),
		      "entry %llu: release %llu is completed, and %.*s serves another",
		      ULL(l->index), ULL(r->number),
		      STR_ARG(r->members[i].at->name));
		claim(CHECK_RELEASE, !goes_back(op) ||
		      sha256_eq(&is, &r->members[i].at->was_default), "entry %llu: "
		      "release %llu turns back, and %.*s serves another than before",
		      ULL(l->index), ULL(r->number),
		      STR_ARG(r->members[i].at->name));
		r->members[i].was = r->members[i].at->was_default;
	}
	r->state = is_done ? ROLL_DONE : ROLL_OVER;
	roll_sum.completed += is_done;
	roll_sum.ended += !is_done;
}

/* It was completed, and is turned back: all of it. */
static void check_back(const struct look *l, struct roll *r)
{
	for (size_t i = 0; i < r->n_members; i++) {
		const struct share *one = &r->members[i];
		struct sha256 is = default_of(one->at);

		claim(CHECK_WHOLE, !sha256_eq(&one->at->was_default, &one->sha) ||
		      sha256_eq(&one->was, &one->sha) || sha256_eq(&is, &one->was),
		      "entry %llu: release %llu is switched back, and %.*s does not "
		      "serve what it did before", ULL(l->index), ULL(r->number),
		      STR_ARG(one->at->name));
	}
	roll_sum.switched_back++;
	r->state = ROLL_OVER;
}

static void look_at_roll(const struct look *l, struct roll *r)
{
	const struct op *op = move_of(l, r);
	bool in[CLIENTS], first[CLIENTS] = { false };
	struct sha256 sha;
	size_t n = 0;

	drop_the_deleted(r);
	for (size_t i = 0; i < m.n_places; i++) {
		const struct place *at = &m.places[i];

		if (!str_eq(at->tenant, r->tenant) ||
		    !cohort_at(at, r->number, in, &sha))
			continue;
		claim(CHECK_WHOLE, !n || memcmp(in, first, sizeof(in)) == 0,
		      "entry %llu: release %llu has not the same clients everywhere",
		      ULL(l->index), ULL(r->number));
		if (!n++)
			memcpy(first, in, sizeof(first));
	}
	if (n)
		check_out(l, r, first, n);
	else if (r->state == ROLL_OUT)
		check_end(l, r);
	else if (r->state == ROLL_DONE && op && op->move == MOVE_ROLLBACK)
		check_back(l, r);
	else if (r->state == ROLL_DONE && op && op->move == MOVE_FORGET)
		r->state = ROLL_OVER;
}

/* ---- holds ---- */

static bool brings_another(const struct look *l, uint64_t number)
{
	for (size_t i = 0; i < l->ops->n_ops; i++) {
		const struct op *op = &l->ops->ops[i];
		const struct place *at = op->kind == KIND_CONFIG ?
				place_at(op->tenant, op->name) : NULL;

		if (at && holds_is_of(at, number) &&
		    !(op->type == OP_VERSION_ADD && sha256_eq(&op->sha, &at->held)) &&
		    !op->only_create)
			return true;
	}
	return false;
}

void rolls_check_holds(const struct look *l)
{
	for (size_t i = 0; i < l->ops->n_ops; i++) {
		const struct op *op = &l->ops->ops[i];
		const struct place *at = op->kind == KIND_CONFIG ?
				place_at(op->tenant, op->name) : NULL;

		if (!at || !at->held_by || op->type != OP_VERSION_ADD ||
		    l->c.subject.role != ROLE_SOURCE ||
		    !sha256_eq(&op->sha, &at->held) ||
		    brings_another(l, at->held_by))
			continue;
		roll_sum.held_off++;
		claim(CHECK_HOLD, i >= l->o->n_results || !l->o->results[i].changed,
		      "entry %llu: a source brings %.*s/%.*s again what release %llu "
		      "turned back", ULL(l->index), STR_ARG(at->tenant),
		      STR_ARG(at->name), ULL(at->held_by));
	}
}

bool rolls_some_held(struct str *tenant, struct str *name, struct sha256 *sha)
{
	size_t from = m.n_places ? (size_t)below(m.n_places) : 0;

	for (size_t i = 0; i < m.n_places; i++) {
		const struct place *at = &m.places[(from + i) % m.n_places];

		if (!at->held_by || !at->is_there)
			continue;
		*tenant = at->tenant;
		*name = at->name;
		*sha = at->held;
		return true;
	}
	return false;
}

/* ---- an entry ---- */

void rolls_look(const struct look *l)
{
	size_t known = n_rolls;

	holds_look(l);
	for (size_t i = 0; i < m.n_places; i++) {
		struct place *at = &m.places[i];
		struct rules rules;

		if (at->changed_at != l->index)
			continue;
		if (!rules_decode(m.one, at->rules, &rules))
			continue;
		for (size_t k = 0; k < rules.n; k++)
			if (rules.r[k].release && rules.r[k].version &&
			    !roll_at(at->tenant, rules.r[k].release))
				begin_roll(at, rules.r[k].release);
	}
	for (size_t i = 0; i < n_rolls; i++)
		if (rolls[i].state == ROLL_OUT && goes_on(move_of(l, &rolls[i])) &&
		    !is_anywhere(&rolls[i]))
			take_places(&rolls[i]);
	for (size_t i = 0; i < n_rolls; i++)
		if (i >= known || rolls[i].state != ROLL_OVER ||
		    rolls[i].number + 400 > record_rev())
			look_at_roll(l, &rolls[i]);
	for (size_t i = 0; i < m.n_places; i++) {
		m.places[i].was_default = default_of(&m.places[i]);
		m.places[i].was_deleted_at = 0;
	}
}
