/*
 * From files to a node.  The newest checkpoint that is whole is looked up
 * first, then the machine opens (it takes the checkpoint where its own state
 * is of no use), then the log is read: entries up to the checkpoint are
 * skipped, those that the machine has applied keep no bytes, the others wait
 * to be applied.
 */
#include "node/own.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include "base/banned.h"

static void forget_from(struct rc_node *n, uint64_t index)
{
	while (n->n_recovered && n->recovered_first + n->n_recovered > index)
		free((char *)(uintptr_t)n->recovered[--n->n_recovered].data.p);
}

void node_free_recovered(struct rc_node *n)
{
	forget_from(n, 0);
	free(n->recovered);
	n->recovered = NULL;
	n->cap_recovered = 0;
}

static enum code recovered(void *data, const struct wal_entry *e,
			   struct err *err)
{
	struct rc_node *n = data;
	uint64_t applied = atomic_load(&n->applied);
	struct engine_entry *to;
	bool keep = e->index > applied || e->type == ENGINE_CHANGE;

	if (e->index <= n->checkpoint.index)
		return OK;
	/* A record that starts lower replaces what was behind. */
	forget_from(n, e->index);
	if (e->index != n->recovered_first + n->n_recovered) {
		err_set(err, E_CORRUPT, "entry %llu does not follow %llu",
			(unsigned long long)e->index,
			(unsigned long long)(n->recovered_first +
					     n->n_recovered - 1));
		return err_hint(err, n->n_recovered ? "the log is damaged" :
				"the log begins behind the newest checkpoint "
				"that is whole: wipe this node's data and let "
				"it join again, or restore a backup");
	}
	if (e->type == ENGINE_CHANGE && e->index <= applied)
		snapshot_note_conf(n, e->index, e->data);
	mem_grow((void **)&n->recovered, &n->cap_recovered, n->n_recovered + 1,
		 sizeof(*n->recovered));
	to = &n->recovered[n->n_recovered++];
	*to = (struct engine_entry){ e->term, (enum engine_type)e->type,
				     STR_NONE };
	if (keep)
		to->data = str_n(mem_dup(e->data.p, e->data.n), e->data.n);
	n->logged_bytes += e->data.n;
	return OK;
}

/* The first entry of a new cluster says who votes. */
static enum code bootstrap(struct rc_node *n, struct err *err)
{
	struct wal_entry e = { .index = 1, .term = 1, .type = ENGINE_CHANGE };
	AUTO_BUF bytes = BUF_NONE;
	enum code rc;

	engine_bootstrap(&bytes, n->config.node_id, n->config.address);
	e.data = buf_view(&bytes);
	n->vote.term = 1;
	rc = vote_write(fs_real(), n->dir, &n->vote, err);
	if (rc == OK)
		rc = wal_append(n->wal, &e, 1, err);
	return rc ? rc : recovered(n, &e, err);
}

static enum code open_log(struct rc_node *n, struct err *err)
{
	AUTO_BUF dir = BUF_NONE;
	struct wal_config config = { .fs = fs_real(), .node = n->config.node_id,
				     .cluster = n->identity.cluster,
				     .segment_bytes = n->config.segment_bytes,
				     .spares_max = 2 };
	enum code rc = vote_read(fs_real(), n->dir, &n->vote, err);

	buf_printf(&dir, "%s/wal", n->dir);
	config.dir = dir.p;
	if (rc == OK)
		rc = wal_open(&config, recovered, n, &n->wal, err);
	if (rc == OK && n->n_recovered == 0 && n->checkpoint.index == 0)
		rc = bootstrap(n, err);
	return rc;
}

/* ---- checkpoint and machine ---- */

static enum code find_checkpoint(struct rc_node *n, struct err *err)
{
	unsigned damaged;
	enum code rc = checkpoint_find(fs_real(), n->checkpoints_dir,
				       n->identity.cluster, &n->checkpoint,
				       &damaged, err);

	if (rc)
		return rc;
	if (damaged)
		log_warn(PART, LOG_KV(log_u("damaged", damaged),
				      log_u("index", n->checkpoint.index)),
			 "checkpoints that are damaged are passed over");
	n->recovered_first = n->checkpoint.index + 1;
	atomic_store(&n->checkpoint_index, n->checkpoint.index);
	snapshot_note_conf(n, n->checkpoint.conf_index,
			   buf_view(&n->checkpoint.conf));
	return OK;
}

static enum code open_machine(struct rc_node *n, struct err *err)
{
	AUTO_BUF picture = BUF_NONE;
	struct rc_applied at;
	enum code rc;

	if (n->checkpoint.index)
		checkpoint_path(n->checkpoints_dir, &n->checkpoint, ".ckpt",
				&picture);
	rc = n->config.machine.open(n->config.machine.data, n->state_dir,
				    n->checkpoint.index ? picture.p : NULL, &at,
				    err);
	if (rc)
		return rc;
	n->is_machine_open = true;
	if (at.index < n->checkpoint.index)
		return err_set(err, E_CORRUPT, "the state is at index %llu, "
			       "below the checkpoint %llu it was made from",
			       (unsigned long long)at.index,
			       (unsigned long long)n->checkpoint.index);
	atomic_store(&n->applied, at.index);
	atomic_store(&n->machine_bytes,
		     n->config.machine.bytes(n->config.machine.data));
	return OK;
}

/* Entries above what the machine has wait to be applied.  Membership entries
 * keep their bytes for the engine too. */
static enum code line_up(struct rc_node *n, struct err *err)
{
	uint64_t applied = atomic_load(&n->applied);
	uint64_t last = n->recovered_first + n->n_recovered - 1;

	if (applied > last)
		return err_set(err, E_CORRUPT, "the state is at index %llu, but "
			       "the log ends at %llu",
			       (unsigned long long)applied,
			       (unsigned long long)last);
	n->first_slot = applied + 1;
	for (uint64_t i = applied + 1; i <= last; i++) {
		struct engine_entry *e = &n->recovered[i - n->recovered_first];
		struct slot *s = slot_add(n, i);

		s->entry = (struct wal_entry){ i, e->term, (uint8_t)e->type,
					       e->data };
		if (e->type == ENGINE_CHANGE)
			e->data = str_n(mem_dup(e->data.p, e->data.n),
					e->data.n);
		else
			e->data = STR_NONE;
	}
	return OK;
}

/* ---- the door ---- */

static enum code open_dirs(struct rc_node *n, struct err *err)
{
	AUTO_BUF state = BUF_NONE;
	AUTO_BUF checkpoints = BUF_NONE;
	enum code rc = fs_real()->ops->make_dir(fs_real(), n->dir, err);

	buf_printf(&state, "%s/state", n->dir);
	n->state_dir = buf_take(&state);
	buf_printf(&checkpoints, "%s/checkpoints", n->dir);
	n->checkpoints_dir = buf_take(&checkpoints);
	if (rc == OK)
		rc = dir_lock(n->dir, &n->lock_fd, err);
	if (rc == OK)
		rc = identity_open(fs_real(), n->dir, n->config.node_id,
				   &n->identity, err);
	return rc;
}

enum code rc_node_open(const struct rc_config *config, struct rc_node **out,
		       struct err *err)
{
	struct rc_node *n = NEW(struct rc_node);
	struct engine_config engine = { config->node_id, config->address,
					config->election_timeout_ms,
					config->heartbeat_ms,
					(unsigned)rand_u64() };
	enum code rc;

	n->config = *config;
	n->lock_fd = -1;
	n->dir = mem_dup(config->dir, strlen(config->dir));
	n->inbox_last = &n->inbox;
	pthread_mutex_init(&n->inbox_lock, NULL);
	/* Ids of other runs of this node differ in the time of their start. */
	atomic_store(&n->next_id, (clock_wall_ms() & 0xffffffff) << 16);
	rc = open_dirs(n, err);
	if (rc == OK)
		rc = find_checkpoint(n, err);
	if (rc == OK)
		rc = open_machine(n, err);
	if (rc == OK)
		rc = open_log(n, err);
	if (rc == OK)
		rc = line_up(n, err);
	if (rc == OK)
		rc = engine_new(&engine, &n->engine, err);
	if (rc) {
		rc_node_free(&n);
		return rc;
	}
	*out = n;
	return OK;
}
