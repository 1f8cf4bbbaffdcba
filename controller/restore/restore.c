/* From a backup to a data directory: see restore.h. */
#include "restore/restore.h"

#include "base/clock.h"
#include "state/state.h"

#include "base/banned.h"

#define MAP_BYTES (64ull << 30)

struct restoring {
	const struct restore_config *config;
	struct restore_result *result;
	struct state *state;
	struct outcome outcome;          /* of the command; results are not kept */
	bool has_outcome;
};

static void on_outcome(void *data, uint64_t id, const struct outcome *o)
{
	struct restoring *r = data;

	r->outcome = *o;
	r->outcome.results = NULL;
	r->has_outcome = true;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void command(void *data, const struct backup_head *h, struct buf *out)
{
	struct restoring *r = data;
	AUTO_BUF reason = BUF_NONE;
	AUTO_BUF origin = BUF_NONE;
	struct command c = { .type = COMMAND_RESTORED, .from = RESTORED_BACKUP,
			     .time_ms = MAX(clock_wall_ms(), h->time_ms) };
	char cluster[37];

	uuid_text(cluster, h->cluster);
	buf_printf(&reason, "a backup of cluster %s, made by node %llu at %llu ms, "
		   "log index %llu", cluster, (unsigned long long)h->node,
		   (unsigned long long)h->time_ms, (unsigned long long)h->index);
	buf_printf(&origin, "file %s", base_name(r->config->file));
	c.reason = buf_view(&reason);
	c.origin = buf_view(&origin);
	command_encode(out, &c);
}

static enum code applied(void *data, struct err *err)
{
	struct restoring *r = data;

	if (!r->has_outcome)
		return err_set(err, E_INTERNAL, "the restore was not applied");
	r->result->rev = r->outcome.rev;
	if (r->outcome.code)
		return err_set(err, r->outcome.code, "%s", r->outcome.text);
	return r->config->still ? r->config->still(r->config->data, err) : OK;
}

static enum code run(struct restoring *r, struct backup_file *f,
		     struct err *err)
{
	const struct restore_config *c = r->config;
	struct state_config state = {
		.map_bytes = c->map_bytes ? c->map_bytes : MAP_BYTES,
		.on_outcome = on_outcome, .data = r };
	struct rc_restore how = { .dir = c->dir, .node_id = c->node_id,
				  .address = c->address,
				  .cluster = r->result->cluster,
				  .source = backup_file_source(f),
				  .seal = c->seal, .aside = c->aside,
				  .is_locked = c->is_locked,
				  .adopt = !c->is_locked, .command = command,
				  .applied = applied, .data = r };
	struct rc_restored restored;
	enum code rc;

	r->state = state_new(&state);
	how.machine = state_machine(r->state);
	rc = rc_restore(&how, &restored, err);
	state_free(&r->state);
	return rc;
}

enum code restore_run(const struct restore_config *config,
		      struct restore_result *out, struct err *err)
{
	struct restoring r = { .config = config, .result = out };
	struct backup_file *f = NULL;
	enum code rc = backup_file_open(config->file, config->key, &f, err);

	*out = (struct restore_result){ .cluster = uuid_new() };
	if (rc == OK)
		rc = backup_verify(f, &out->of, err);
	if (rc == OK)
		rc = run(&r, f, err);
	backup_file_close(&f);
	return rc;
}
