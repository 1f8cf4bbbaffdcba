/* A survivor's data directory becomes a new cluster: see restore.h. */
#include "restore/restore.h"

#include "base/clock.h"
#include "state/state.h"

#include "base/banned.h"

#define MAP_BYTES (64ull << 30)

struct recovering {
	const struct recover_config *config;
	struct recover_result *result;
	struct outcome outcome;          /* of the command; results are not kept */
	bool has_outcome;
};

static void on_outcome(void *data, uint64_t id, const struct outcome *o)
{
	struct recovering *r = data;

	r->outcome = *o;
	r->outcome.results = NULL;
	r->has_outcome = true;
}

static void command(void *data, const struct rc_survey *from, struct buf *out)
{
	struct recovering *r = data;
	AUTO_BUF reason = BUF_NONE;
	struct command c = { .type = COMMAND_RESTORED, .from = RESTORED_SURVIVOR,
			     .time_ms = clock_wall_ms() };
	char cluster[37];

	/* Outcomes of entries before are not this one's. */
	r->has_outcome = false;
	uuid_text(cluster, from->cluster);
	buf_printf(&reason, "node %llu of cluster %s, which lost its majority: log "
		   "index %llu of term %llu, %zu members; entries that were not in "
		   "its log are lost", (unsigned long long)from->node_id, cluster,
		   (unsigned long long)from->last_index,
		   (unsigned long long)from->last_term, from->n_members);
	c.reason = buf_view(&reason);
	c.origin = str_of(r->config->who);
	command_encode(out, &c);
}

static enum code applied(void *data, struct err *err)
{
	struct recovering *r = data;

	if (!r->has_outcome)
		return err_set(err, E_INTERNAL, "the recovery was not applied");
	r->result->rev = r->outcome.rev;
	if (r->outcome.code)
		return err_set(err, r->outcome.code, "%s", r->outcome.text);
	return OK;
}

enum code recover_run(const struct recover_config *config,
		      struct recover_result *out, struct err *err)
{
	struct recovering r = { .config = config, .result = out };
	struct state_config state = {
		.map_bytes = config->map_bytes ? config->map_bytes : MAP_BYTES,
		.on_outcome = on_outcome, .data = &r };
	struct rc_recover how = { .dir = config->dir, .address = config->address,
				  .accepts_loss = config->accepts_loss,
				  .seal = config->seal,
				  .command = command, .applied = applied,
				  .data = &r };
	struct rc_restored restored;
	struct state *s = state_new(&state);
	enum code rc;

	*out = (struct recover_result){ .cluster = uuid_new() };
	how.cluster = out->cluster;
	how.machine = state_machine(s);
	rc = rc_recover(&how, &out->was, &restored, err);
	state_free(&s);
	return rc;
}
