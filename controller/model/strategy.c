/* How a change goes out: see strategy.h. */
#include "model/strategy.h"

#include "doc/format.h"

#include "base/banned.h"

static enum code wrong(struct err *err, const char *what)
{
	return err_set(err, E_UNPROCESSABLE, "the release policy: %s", what);
}

/* 'otherwise' where it is absent. */
static bool duration_of(const struct value *v, uint64_t otherwise, uint64_t *out)
{
	*out = otherwise;
	return !v || (v->type == VALUE_STRING && str_duration_ms(v->s, out));
}

/* ---- steps ---- */

static bool read_nodes(struct arena *arena, const struct value *list,
		       struct strategy_step *step)
{
	if (list->type != VALUE_ARRAY || list->a.n == 0)
		return false;
	for (size_t i = 0; i < list->a.n; i++) {
		struct str id = value_text(list->a.items[i]);

		if (id.n == 0 || id.n > CLIENT_ID_MAX)
			return false;
		step->nodes = arena_grow(arena, step->nodes, &step->cap_nodes,
					 step->n_nodes + 1, sizeof(*step->nodes));
		step->nodes[step->n_nodes++] = id;
	}
	return true;
}

static bool read_whom(struct arena *arena, const struct value *v,
		      struct strategy_step *step)
{
	const struct value *percent = value_getz(v, "percent");
	const struct value *labels = value_getz(v, "labels");
	const struct value *nodes = value_getz(v, "nodes");
	bool is_exact;

	if (!!percent + !!labels + !!nodes != 1)
		return false;
	if (percent) {
		step->kind = STEP_PERCENT;
		return percent_read(percent, &step->percent_bp, &is_exact) &&
		       is_exact;
	}
	if (labels) {
		step->kind = STEP_LABELS;
		return labels_read(arena, labels, &step->labels);
	}
	step->kind = STEP_NODES;
	return read_nodes(arena, nodes, step);
}

static bool read_step(struct arena *arena, const struct value *v, uint64_t bake_ms,
		      struct strategy_step *step)
{
	const struct value *pause = value_getz(v, "pause");

	if (!read_whom(arena, v, step) ||
	    !duration_of(value_getz(v, "bake"), bake_ms, &step->bake_ms))
		return false;
	step->is_manual = str_is(value_text(pause), "manual");
	return step->is_manual || duration_of(pause, 0, &step->pause_ms);
}

static enum code read_steps(struct arena *arena, const struct value *list,
			    uint64_t bake_ms, struct strategy *out, struct err *err)
{
	size_t n_nodes = 0;

	if (!list || list->type != VALUE_ARRAY || list->a.n == 0)
		return wrong(err, "a canary has steps, and spec.steps names none");
	if (list->a.n > STRATEGY_STEPS_MAX)
		return wrong(err, "it has more than 50 steps");
	out->n_steps = list->a.n;
	out->steps = arena_zero(arena, out->n_steps * sizeof(*out->steps));
	for (size_t i = 0; i < out->n_steps; i++) {
		if (!read_step(arena, list->a.items[i], bake_ms, &out->steps[i]))
			return err_set(err, E_UNPROCESSABLE,
				       "the release policy: steps[%zu] says one of "
				       "percent, labels and nodes, and how long", i);
		n_nodes += out->steps[i].n_nodes;
	}
	if (n_nodes > RULE_NODES_MAX)
		return wrong(err, "its steps name more than 1,000 nodes");
	return OK;
}

static enum code read_preview(struct arena *arena, const struct value *spec,
			      uint64_t bake_ms, struct strategy *out,
			      struct err *err)
{
	const struct value *labels = value_at(spec, "preview.labels");
	struct strategy_step *step = ANEW(arena, struct strategy_step);

	*step = (struct strategy_step){ .kind = STEP_LABELS, .is_manual = true,
					.bake_ms = bake_ms };
	if (!labels_read(arena, labels, &step->labels))
		return wrong(err, "preview.labels is no object of texts");
	if (!step->labels.n)
		labels_set(arena, &step->labels, STR("slot"), STR("green"));
	out->steps = step;
	out->n_steps = 1;
	return OK;
}

/* ---- conditions ---- */

static bool read_query(const struct value *v, struct strategy_query *q)
{
	const struct value *below = value_getz(v, "below");
	const struct value *above = value_getz(v, "above");

	q->url = value_text_at(v, "url");
	q->query = value_text_at(v, "query");
	if (below && below->type == VALUE_NUMBER)
		q->below = below->s;
	if (above && above->type == VALUE_NUMBER)
		q->above = above->s;
	return q->url.n && q->query.n && !below != !above &&
	       !q->below.n != !q->above.n;
}

/* A bound between two digits is met by what is beyond it only. */
static bool read_bound(const struct value *v, bool rounds_up, bool *has,
		       uint32_t *bp)
{
	bool is_exact;

	*has = v != NULL;
	if (!v)
		return true;
	if (!percent_read(v, bp, &is_exact))
		return false;
	*bp += rounds_up && !is_exact;
	return true;
}

static enum code read_conditions(const struct value *v, struct strategy *out,
				 struct err *err)
{
	const struct value *queries = value_getz(v, "prometheus"), *least;

	out->lost_counts = value_to_bool(value_at(v, "rejected.lost"), true);
	if (!read_bound(value_at(v, "applied.atLeast"), true, &out->has_applied,
			&out->applied_bp) ||
	    !read_bound(value_at(v, "rejected.atMost"), false, &out->has_rejected,
			&out->rejected_bp))
		return wrong(err, "conditions are percents from 0 to 100");
	least = value_at(v, "applied.minInstances");
	if (least && !value_to_u64(least, &out->instances_min))
		return wrong(err, "conditions.applied.minInstances is a number");
	out->has_applied |= least != NULL;
	if (queries && (queries->type != VALUE_ARRAY ||
			queries->a.n > TALLY_QUERIES_MAX))
		return wrong(err, "conditions.prometheus is a list of at most 10");
	for (size_t i = 0; i < value_count(queries); i++)
		if (!read_query(queries->a.items[i],
				&out->queries[out->n_queries++]))
			return wrong(err, "a query of conditions.prometheus has url, "
					  "query, and one of below and above");
	out->webhook = value_text_at(v, "webhook.name");
	return OK;
}

/* ---- the whole ---- */

bool retention_read(const struct value *spec, struct retention *out)
{
	const struct value *v = value_getz(spec, "retention");

	*out = (struct retention){ 0 };
	out->has_versions = value_to_u64(value_getz(v, "versions"), &out->versions);
	out->has_days = value_to_u64(value_getz(v, "days"), &out->days);
	out->is_or = str_is(value_text_at(v, "join"), "or");
	return out->has_versions || out->has_days;
}

static enum code read_kind(const struct value *v, struct strategy *out,
			   struct err *err)
{
	out->name = value_text(v);
	if (!v || str_is(out->name, "immediate"))
		out->kind = STRATEGY_IMMEDIATE;
	else if (str_is(out->name, "blue-green"))
		out->kind = STRATEGY_BLUE_GREEN;
	else if (str_is(out->name, "canary") || str_is(out->name, "nodes"))
		out->kind = STRATEGY_CANARY;
	else
		return wrong(err, "its strategy is not known");
	if (!v)
		out->name = STR("immediate");
	return OK;
}

static enum code read_concurrency(const struct value *v, struct strategy *out,
				  struct err *err)
{
	struct str policy = value_text_at(v, "policy");

	out->group = value_text_at(v, "group");
	if (!policy.n || str_is(policy, "Supersede"))
		out->concurrency = CONCURRENCY_SUPERSEDE;
	else if (str_is(policy, "Queue"))
		out->concurrency = CONCURRENCY_QUEUE;
	else if (str_is(policy, "Parallel"))
		out->concurrency = CONCURRENCY_PARALLEL;
	else
		return wrong(err, "concurrency.policy is not known");
	return OK;
}

static enum code read_rest(struct arena *arena, const struct value *spec,
			   struct strategy *out, struct err *err)
{
	const struct value *priority = value_getz(spec, "priority");
	const struct value *rules = value_getz(spec, "rulePriority");
	uint64_t bake_ms;
	enum code rc;

	if (!selector_read(arena, value_getz(spec, "select"), &out->select))
		return wrong(err, "select selects nothing that there could be");
	if ((priority && !value_to_i64(priority, &out->priority)) ||
	    (rules && !value_to_i64(rules, &out->rule_priority)))
		return wrong(err, "priorities are whole numbers");
	if (!duration_of(value_getz(spec, "keepPrevious"), 3600000, &out->keep_ms) ||
	    !duration_of(value_getz(spec, "timeout"), 3600000, &out->timeout_ms) ||
	    !duration_of(value_getz(spec, "bake"), 30000, &bake_ms))
		return wrong(err, "keepPrevious, timeout and bake are times as 10m");
	rc = read_kind(value_getz(spec, "strategy"), out, err);
	if (rc == OK && out->kind == STRATEGY_CANARY)
		rc = read_steps(arena, value_getz(spec, "steps"), bake_ms, out, err);
	if (rc == OK && out->kind == STRATEGY_BLUE_GREEN)
		rc = read_preview(arena, spec, bake_ms, out, err);
	if (rc == OK)
		rc = read_conditions(value_getz(spec, "conditions"), out, err);
	if (rc == OK)
		rc = read_concurrency(value_getz(spec, "concurrency"), out, err);
	out->pauses = str_is(value_text_at(spec, "onFailure"), "pause");
	retention_read(spec, &out->retention);
	return rc;
}

enum code strategy_read(struct arena *arena, struct str spec,
			struct strategy *out, struct err *err)
{
	struct value *v;

	*out = (struct strategy){ 0 };
	if (doc_parse_json(spec, arena, NULL, &v, err) || v->type != VALUE_OBJECT)
		return wrong(err, "its spec is no object");
	return read_rest(arena, v, out, err);
}

/* ---- rules ---- */

static struct rule *add_rule(struct arena *arena, const struct strategy *s,
			     const struct rule *rule, uint64_t number,
			     size_t at, struct rules *rules)
{
	struct rule *r = rules_add_at(arena, rules, at);

	r->priority = s->rule_priority;
	r->version = rule->version;
	r->sha = rule->sha;
	r->size = rule->size;
	r->release = number;
	return r;
}

static size_t behind_newer(const struct rules *rules, uint64_t number)
{
	size_t at = rules->n;

	while (at > 0 && rules->r[at - 1].release <= number)
		at--;
	return at;
}

/* Shares are one rule, of the greatest: a smaller one behind it takes nobody out. */
void strategy_rules(struct arena *arena, const struct strategy *s, size_t step,
		    const struct rule *rule, const uint8_t salt[SALT_SIZE],
		    uint64_t number, struct rules *rules)
{
	bool has_percent = false;
	uint32_t percent_bp = 0;
	size_t at = behind_newer(rules, number);
	struct rule *r;

	for (size_t i = MIN(step + 1, s->n_steps); i-- > 0;) {
		const struct strategy_step *one = &s->steps[i];

		if (one->kind == STEP_PERCENT) {
			has_percent = true;
			percent_bp = MAX(percent_bp, one->percent_bp);
			continue;
		}
		r = add_rule(arena, s, rule, number, at, rules);
		r->labels = one->labels;
		for (size_t k = 0; k < one->n_nodes; k++)
			rule_add_node(arena, r, one->nodes[k]);
	}
	if (!has_percent)
		return;
	r = add_rule(arena, s, rule, number, at, rules);
	r->has_percent = true;
	r->percent_bp = percent_bp;
	memcpy(r->salt, salt, SALT_SIZE);
}

