/* Release rules: see rules.h. */
#include "model/rules.h"

#include "wire/wire.h"

#include "base/banned.h"

struct rule *rules_add(struct arena *arena, struct rules *rules)
{
	rules->r = arena_grow(arena, rules->r, &rules->cap, rules->n + 1,
			      sizeof(*rules->r));
	rules->r[rules->n] = (struct rule){ 0 };
	return &rules->r[rules->n++];
}

/* Does a rule with this priority and label count come before the best? */
static bool is_better(int64_t priority, size_t n_labels, int64_t best_priority,
		      size_t best_labels)
{
	if (priority != best_priority)
		return priority > best_priority;
	return n_labels > best_labels;
}

int rules_pick(const struct rules *rules, const struct labels *labels)
{
	int best = -1;

	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *r = &rules->r[i];

		if (!labels_match(&r->labels, labels))
			continue;
		if (best < 0 ||
		    is_better(r->priority, r->labels.n, rules->r[best].priority,
			      rules->r[best].labels.n))
			best = (int)i;
	}
	return best;
}

int rules_default(const struct rules *rules)
{
	return rules_pick(rules, &(struct labels){ 0 });
}

enum code rules_check(const struct rules *rules, struct err *err)
{
	if (rules->n > RULES_MAX)
		return err_set(err, E_UNPROCESSABLE,
			       "%zu release rules, at most %d are allowed",
			       rules->n, RULES_MAX);
	for (size_t i = 0; i < rules->n; i++)
		for (size_t j = 0; j < i; j++)
			if (rules->r[i].priority == rules->r[j].priority &&
			    labels_eq(&rules->r[i].labels, &rules->r[j].labels))
				return err_set(err, E_UNPROCESSABLE,
					       "releases[%zu] has the labels and "
					       "priority of releases[%zu]",
					       i, j);
	return OK;
}

static uint64_t zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

void rules_encode(struct buf *out, const struct rules *rules)
{
	wr_var(out, rules->n);
	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *r = &rules->r[i];

		wr_var(out, zigzag(r->priority));
		wr_var(out, r->version);
		wr_raw(out, r->sha.b, sizeof(r->sha.b));
		wr_var(out, r->size);
		wr_var(out, r->labels.n);
		for (size_t k = 0; k < r->labels.n; k++) {
			wr_str(out, r->labels.l[k].key);
			wr_str(out, r->labels.l[k].value);
		}
	}
}

/* The fixed part of one rule; answers the number of labels that follow. */
static uint64_t rule_head(struct rd *rd, struct rule *r)
{
	struct str sha;

	r->priority = unzigzag(rd_var(rd));
	r->version = (uint32_t)rd_var(rd);
	sha = rd_raw(rd, sizeof(r->sha.b));
	if (sha.n == sizeof(r->sha.b))
		memcpy(r->sha.b, sha.p, sha.n);
	r->size = rd_var(rd);
	return rd_var(rd);
}

bool rules_decode(struct arena *arena, struct str in, struct rules *out)
{
	struct rd rd = rd_of(in);
	uint64_t n = rd_var(&rd);

	*out = (struct rules){ 0 };
	if (n > RULES_MAX)
		return false;
	for (uint64_t i = 0; i < n && !rd.bad; i++) {
		struct rule *r = rules_add(arena, out);
		uint64_t labels = rule_head(&rd, r);

		if (labels > LABELS_MAX)
			return false;
		for (uint64_t k = 0; k < labels && !rd.bad; k++) {
			struct str key = rd_str(&rd);
			struct str value = rd_str(&rd);

			labels_set(arena, &r->labels, key, value);
		}
	}
	return rd_done(&rd);
}

bool rules_pick_encoded(struct str in, const struct labels *labels,
			struct rule *out, unsigned *position)
{
	struct rd rd = rd_of(in);
	uint64_t n = rd_var(&rd);
	size_t best_labels = 0;
	bool found = false;

	for (uint64_t i = 0; i < n && !rd.bad; i++) {
		struct rule r = { 0 };
		uint64_t count = rule_head(&rd, &r);
		bool matches = true;

		for (uint64_t k = 0; k < count && !rd.bad; k++) {
			struct str key = rd_str(&rd);
			struct str value = rd_str(&rd);
			const struct str *have = labels_get(labels, key);

			matches = matches && have && str_eq(*have, value);
		}
		if (!matches || rd.bad)
			continue;
		if (!found || is_better(r.priority, count, out->priority,
					best_labels)) {
			*out = r;
			*position = (unsigned)i;
			best_labels = count;
			found = true;
		}
	}
	return found && !rd.bad;
}

void rules_json(struct buf *out, const struct rules *rules)
{
	buf_c(out, '[');
	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *r = &rules->r[i];

		buf_z(out, i ? ",{\"labels\":" : "{\"labels\":");
		labels_json(out, &r->labels);
		buf_z(out, ",\"priority\":");
		buf_i64(out, r->priority);
		buf_z(out, ",\"version_id\":");
		buf_u64(out, r->version);
		buf_c(out, '}');
	}
	buf_c(out, ']');
}
