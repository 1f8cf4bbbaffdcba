/* Releases that run: see running.h. */
#include "fleet/running.h"

#include "state/view_rollout.h"

#include "base/banned.h"

bool running_picks(struct kv_txn *txn, uint64_t release, struct str key,
		   const struct client *client)
{
	struct config_view v;
	struct address at;
	struct err err;

	return address_parse(key, &at, &err) == OK &&
	       view_config(txn, &at, client, &v, &err) == OK &&
	       v.rule.release == release;
}

struct reading {
	struct kv_txn *txn;
	struct arena *arena;
	struct agent *agent;
	uint64_t now_ms;
};

/* Another number where something is otherwise that the agent looks at. */
static uint64_t rev_of(const struct rollout_row *row)
{
	uint64_t facts[] = { row->step, row->is_begun, row->n_configs, row->phase,
			     row->step_ms };

	return str_hash(str_n(facts, sizeof(facts)));
}

/* Where it is; one that was deleted keeps its place, with no key. */
static struct fleet_config config_of(struct reading *r, struct str tenant,
				     const struct rollout_config *c)
{
	struct fleet_config out = { .version = c->version };
	AUTO_BUF key = BUF_NONE;
	struct object_view o;
	struct address at;
	struct err err;

	if (view_object(r->txn, KIND_CONFIG, tenant, c->name, &o, &err))
		return out;
	at = (struct address){ tenant, o.row.application, o.row.environment,
			       o.row.config_name };
	address_text(&key, &at);
	out.key = arena_str(r->arena, buf_view(&key));
	return out;
}

static bool add(void *data, struct str tenant, struct str name,
		const struct rollout_row *row)
{
	struct reading *r = data;
	struct fleet_config *configs;
	struct fleet_release release = {
		.id = row->number, .rev = rev_of(row), .step = row->step,
		.is_begun = row->is_begun, .n = row->n_configs,
	};

	if (rollout_is_out(row->phase) &&
	    !agent_running_keep(r->agent, release.id, release.rev)) {
		configs = arena_alloc(r->arena,
				      (release.n + 1) * sizeof(*configs));
		for (size_t i = 0; i < release.n; i++)
			configs[i] = config_of(r, tenant, &row->configs[i]);
		release.configs = configs;
		agent_running_add(r->agent, &release, r->now_ms);
	}
	arena_reset(r->arena);
	return true;
}

enum code running_read(struct kv_txn *txn, struct agent *agent, uint64_t now_ms,
		       struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	struct reading r = { txn, arena, agent, now_ms };

	return view_rollouts(txn, arena, add, &r, err);
}
