/*
 * What names versions, in the model of the gate (gates.h): rules, releases that can move,
 * holds and open proposals.  Whoever removes versions, collection or the limit that each
 * configuration has, these stay.
 */
#include "gates_own.h"

#include "base/banned.h"

static bool is_there(const struct look *l, const struct place *at,
		     uint32_t version)
{
	struct version_row row;

	return view_version(l->txn, at->tenant, at->uid, version, &row, NULL) == OK;
}

static void claim_there(const struct look *l, const struct place *at,
			uint32_t version, const char *who)
{
	claim(CHECK_NAMED, is_there(l, at, version), "entry %llu: version %u of "
	      "%.*s/%.*s is not there, and %s names it", ULL(l->index), version,
	      STR_ARG(at->tenant), STR_ARG(at->name), who);
}

/* ---- releases ---- */

struct namer {
	const struct look *l;
	const struct place *at;
};

static bool by_release(void *data, struct str tenant, struct str name,
		       const struct rollout_row *row)
{
	const struct namer *n = data;
	const struct rollout_config *c = str_eq(tenant, n->at->tenant) ?
				rollout_row_config(row, n->at->name) : NULL;

	/* Another one of that name. */
	if (!c || memcmp(c->uid.b, n->at->uid.b, sizeof(c->uid.b)) != 0)
		return true;
	if (rollout_is_open(row->phase))
		claim_there(n->l, n->at, c->version, "a release that goes out");
	else if (row->phase == ROLLOUT_COMPLETED && c->previous)
		claim_there(n->l, n->at, c->previous, "a release that may go back");
	return true;
}

/* ---- holds ---- */

struct content {
	const struct sha256 *sha;
	bool is_found;
};

static bool is_content(void *data, const struct version_row *row)
{
	struct content *c = data;

	c->is_found |= sha256_eq(&row->sha, c->sha);
	return !c->is_found;
}

static void check_hold(const struct look *l, const struct place *at)
{
	struct content held = { &at->held, false };

	if (!at->held_by)
		return;
	view_versions(l->txn, at->tenant, at->uid, 0, is_content, &held);
	claim(CHECK_NAMED, held.is_found, "entry %llu: what is held of %.*s/%.*s is "
	      "not there", ULL(l->index), STR_ARG(at->tenant), STR_ARG(at->name));
}

/* ---- proposals ---- */

/* What it wants, and could have when it was made. */
static void by_proposal(const struct look *l, const struct place *at,
			const struct gate_proposal *p)
{
	for (size_t i = 0; i < p->c.n_ops; i++) {
		const struct op *op = &p->c.ops[i];

		if (op->kind != KIND_CONFIG || !str_eq(op->name, at->name))
			continue;
		if (op->type == OP_ROLLBACK && op->version)
			claim_there(l, at, op->version, "an open proposal");
		for (size_t k = 0; op->type == OP_RULES_SET && k < op->rules.n; k++)
			if (op->rules.r[k].version)
				claim_there(l, at, op->rules.r[k].version,
					    "an open proposal");
	}
}

/* ---- an entry ---- */

static void check_place(const struct look *l, const struct place *at)
{
	AUTO_ARENA arena = arena_new(4096);
	struct namer n = { l, at };
	struct rules rules = { 0 };
	struct err err;

	if (!at->is_there || (at->rules.n && !rules_decode(m.one, at->rules, &rules)))
		return;
	for (size_t i = 0; i < rules.n; i++)
		if (rules.r[i].version)
			claim_there(l, at, rules.r[i].version, "a rule");
	claim(CHECK_NAMED, view_rollouts(l->txn, arena, by_release, &n, &err) == OK,
	      "entry %llu: %s", ULL(l->index), err.text);
	check_hold(l, at);
	for (size_t i = 0; i < m.n_props; i++)
		if (is_open(&m.props[i]) && str_eq(m.props[i].tenant, at->tenant))
			by_proposal(l, at, &m.props[i]);
}

/* What a plan reads of it nobody knows: none goes. */
static void check_dropped(const struct look *l, const struct place *at,
			  uint32_t version)
{
	gate_sum.dropped++;
	for (size_t i = 0; i < m.n_props; i++)
		claim(CHECK_NAMED, !is_open(&m.props[i]) ||
		      !str_eq(m.props[i].tenant, at->tenant) ||
		      !is_about_place(&m.props[i], at), "entry %llu: version %u of %.*s/%.*s "
		      "is removed under proposal %.*s", ULL(l->index), version,
		      STR_ARG(at->tenant), STR_ARG(at->name),
		      STR_ARG(m.props[i].name));
}

void names_check(const struct look *l)
{
	for (size_t i = 0; i < l->c.n_ops && i < l->o->n_results; i++) {
		const struct op *op = &l->c.ops[i];
		struct place *at;

		if (op->type != OP_VERSION_DROP || !l->o->results[i].changed)
			continue;
		at = place_at(op->tenant, op->name);
		at->changed_at = l->index;
		check_dropped(l, at, op->version);
	}
	for (size_t i = 0; i < m.n_places; i++)
		if (m.places[i].changed_at == l->index)
			check_place(l, &m.places[i]);
}
