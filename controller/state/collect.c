/* Collection of versions: see collect.h. */
#include "state/collect.h"

#include "state/proposal_row.h"
#include "state/rollout.h"

#include "base/banned.h"

/* ---- what names them ---- */

static bool has_below(struct kv_txn *txn, enum kv_table table, struct str prefix)
{
	struct kv_cursor c;
	bool found = kv_seek(txn, table, prefix, &c) && str_starts(c.key, prefix);

	kv_cursor_close(&c);
	return found;
}

/* A plan may name any of them. */
static bool is_locked(struct kv_txn *txn, struct str tenant, struct str config)
{
	AUTO_BUF key = BUF_NONE;

	key_lock(&key, tenant, KIND_CONFIG, config, STR_NONE);
	return has_below(txn, KV_LOCKS, buf_view(&key));
}

/* By a row below 'prefix'. */
static bool is_named(struct kv_txn *txn, struct str prefix, uint32_t version)
{
	struct releasing_at at;
	struct kv_cursor c;
	bool found = false;

	for (bool on = kv_seek(txn, KV_RELEASING, prefix, &c);
	     on && !found && str_starts(c.key, prefix); on = kv_next(&c))
		found = !releasing_at_decode(c.key, c.val, &at) ||
			at.version == version;
	kv_cursor_close(&c);
	return found;
}

static bool is_releasing(struct kv_txn *txn, struct str tenant, struct str config,
			 uint32_t version)
{
	AUTO_BUF key = BUF_NONE;

	key_releasing_config(&key, tenant, config);
	return is_named(txn, buf_view(&key), version);
}

static bool is_kept(struct kv_txn *txn, struct str tenant, struct str config,
		    uint32_t version)
{
	AUTO_BUF key = BUF_NONE;

	key_releasing_kept(&key, tenant, config);
	return is_named(txn, buf_view(&key), version);
}

const char *collect_name(struct kv_txn *txn, struct str tenant,
			 const struct live_row *live, const struct rules *rules,
			 uint32_t version)
{
	for (size_t i = 0; i < rules->n; i++)
		if (rules->r[i].version == version)
			return rule_is_default(&rules->r[i]) ?
				       "it is what the default rule serves" :
				       "a rule serves it";
	if (version == live->stable_version)
		return "it is the way back";
	if (version == live->last_version)
		return "it is the newest";
	if (live->has_hold && live->hold_version && version == live->hold_version)
		return "it is held";
	if (is_releasing(txn, tenant, live->name, version))
		return "a release brings it";
	if (is_kept(txn, tenant, live->name, version))
		return "a release keeps it, to switch back";
	return is_locked(txn, tenant, live->name) ?
		       "an open proposal touches the configuration" : NULL;
}

/* ---- what is kept ---- */

struct policies {
	struct arena *arena;
	struct labels labels;
	struct address at;
	bool has_best;
	int64_t priority;
	bool has_retention;
	struct retention best;
};

/* They come in the order of their names, of which the first counts. */
static bool one_policy(void *data, const struct object_view *o)
{
	struct policies *p = data;
	struct strategy s;
	struct err err;

	if (strategy_read(p->arena, o->row.spec, &s, &err) ||
	    !selector_matches(&s.select, &p->labels, &p->at) ||
	    (p->has_best && s.priority <= p->priority))
		return true;
	p->has_best = true;
	p->priority = s.priority;
	p->has_retention = s.retention.has_versions || s.retention.has_days;
	p->best = s.retention;
	return true;
}

bool collect_retention(struct kv_txn *txn, struct arena *arena,
		       const struct object_view *config, struct retention *out)
{
	const struct object_row *row = &config->row;
	struct policies p = { .arena = arena,
			      .at = { config->tenant, row->application,
				      row->environment, row->config_name } };
	struct value *spec;
	struct err err;

	if (str_find_str(row->spec, STR("\"retention\"")) != SIZE_MAX &&
	    doc_parse_json(row->spec, arena, NULL, &spec, &err) == OK &&
	    retention_read(spec, out))
		return true;
	if (!labels_parse(arena, row->labels, &p.labels) ||
	    view_list(txn, KIND_RELEASE_POLICY, config->tenant, STR_NONE, STR_NONE,
		      one_policy, &p, &err) || !p.has_retention)
		return false;
	*out = p.best;
	return true;
}

/* ---- a configuration's ---- */

struct walk {
	struct kv_txn *txn;
	const struct object_view *config;
	const struct retention *retention;
	struct rules rules;
	uint64_t now_ms, rank;
	collect_each *each;
	void *data;
};

static bool one_version(void *data, const struct version_row *v)
{
	struct walk *w = data;
	struct collected one = { .version = v };
	bool is_over = retention_is_over(w->retention, w->rank++, v->created_ms,
					 w->now_ms);

	one.why = collect_name(w->txn, w->config->tenant, &w->config->live,
			       &w->rules, v->version);
	if (!one.why) {
		one.goes = is_over;
		one.why = is_over ? "it is beyond what is kept" :
				    "it is within what is kept";
	}
	return w->each(w->data, &one);
}

void collect_versions(struct kv_txn *txn, struct arena *arena,
		      const struct object_view *config,
		      const struct retention *retention, uint64_t now_ms,
		      collect_each *each, void *data)
{
	struct walk w = { .txn = txn, .config = config, .retention = retention,
			  .now_ms = now_ms, .each = each, .data = data };

	if (rules_decode(arena, config->live.rules, &w.rules))
		view_versions(txn, config->tenant, config->row.uid, 0, one_version,
			      &w);
}

/* ---- the operation ---- */

enum code apply_version_drop(struct apply *a, const struct op *op,
			     struct op_result *res, struct err *err)
{
	AUTO_THING t = { 0 };
	AUTO_BUF key = BUF_NONE;
	struct version_row v;
	struct rules rules;
	const char *why;
	enum code rc = config_load(a, &t, op, err);

	if (rc == OK)
		rc = config_rules(a, &t, &rules, err);
	if (rc)
		return rc;
	*res = (struct op_result){ .rev = thing_rev(&t), .uid = t.row.uid };
	key_version(&key, op->tenant, t.row.uid, op->version);
	/* Gone already. */
	if (!kv_get(a->txn, KV_VERSIONS, buf_view(&key), NULL))
		return OK;
	why = collect_name(a->txn, op->tenant, &t.live, &rules, op->version);
	if (why)
		return err_set(err, E_CONFLICT, "version %u of %.*s stays: %s",
			       op->version, STR_ARG(op->name), why);
	rc = config_version(a, &t, op->tenant, op->version, &v, err);
	if (rc)
		return rc;
	blob_drop(a, op->tenant, &v);
	ap_del(a, KV_VERSIONS, buf_view(&key));
	ap_diff(a, str_n(v.sha.b, sizeof(v.sha.b)), STR_NONE);
	res->changed = true;
	return OK;
}
