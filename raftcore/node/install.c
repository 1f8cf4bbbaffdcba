/*
 * Checkpoints from node to node.
 *
 * Where a peer needs entries that the log does not have any more, the leader has
 * its newest checkpoint shipped, once for each peer and checkpoint at a time.
 * The engine of the other side hears of it only when the file is there and
 * verified: then the log is restarted behind it and the machine opened from it.
 *
 * A file `install` in the data directory says how far that is
 * (docs/formats/checkpoint.md): while one is begun and its checkpoint counts, a
 * start gives up the log, which may be another branch's.
 */
#include <string.h>

#include "base/mem.h"
#include "node/guard.h"
#include "node/own.h"
#include "wire/wire.h"

#include "base/banned.h"

#define MARK_MAGIC 0x31544e4958464343ull      /* "CCFXINT1" */

static void mark_path(const char *dir, struct buf *out)
{
	buf_printf(out, "%s/install", dir);
}

enum code mark_read(struct fs *fs, const char *dir, struct mark *out,
		    struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	struct rd rd;
	uint32_t crc;
	uint64_t magic;
	enum code rc;

	*out = (struct mark){ 0 };
	mark_path(dir, &path);
	rc = fs_get(fs, path.p, &bytes, err);
	if (rc == E_NOT_FOUND) {
		err_reset(err);
		return OK;
	}
	if (rc)
		return rc;
	rd = rd_of(buf_view(&bytes));
	magic = rd_u64(&rd);
	out->begun_index = rd_u64(&rd);
	out->begun_term = rd_u64(&rd);
	out->done_index = rd_u64(&rd);
	crc = rd_u32(&rd);
	if (!rd_done(&rd) || magic != MARK_MAGIC ||
	    crc != crc32c(0, bytes.p, bytes.n - 4))
		return err_set(err, E_CORRUPT, "%s is damaged", path.p);
	return OK;
}

enum code mark_write(struct fs *fs, const char *dir, const struct mark *m,
		     struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;

	mark_path(dir, &path);
	wr_u64(&bytes, MARK_MAGIC);
	wr_u64(&bytes, m->begun_index);
	wr_u64(&bytes, m->begun_term);
	wr_u64(&bytes, m->done_index);
	wr_u32(&bytes, crc32c(0, bytes.p, bytes.n));
	return fs_put(fs, dir, path.p, buf_view(&bytes), err);
}

/* ---- the leader ---- */

void core_ship(struct node_core *c, uint64_t peer)
{
	for (size_t i = 0; i < c->n_ships; i++)
		if (c->ships[i] == peer)
			return;
	if (!c->host->ship || !c->base.index || c->fence.is_on)
		return;
	mem_grow((void **)&c->ships, &c->cap_ships, c->n_ships + 1,
		 sizeof(*c->ships));
	c->ships[c->n_ships++] = peer;
	c->host->ship(c->host_data, peer, &c->base);
}

void node_core_shipped(struct node_core *c, uint64_t peer)
{
	for (size_t i = 0; i < c->n_ships; i++)
		if (c->ships[i] == peer)
			c->ships[i--] = c->ships[--c->n_ships];
}

/* ---- the follower ---- */

static void end_install(struct node_core *c, enum code rc)
{
	checkpoint_fini(&c->incoming);
	free(TAKE(c->incoming_path));
	c->is_installing = false;
	c->host->install_done(c->host_data, rc);
}

/* The log is another one from here on, and does not say what became of those who
 * still wait: what they wait for may be in the checkpoint. */
static void forget_log(struct node_core *c)
{
	core_tell(c, true, "a checkpoint took the log's place before the outcome "
		  "was known");
	core_forget(c);
	node_loaded_fini(&c->loaded);
	c->last = c->durable = c->told = c->incoming.index;
	core_drop_appends(c);
}

static struct engine_message message_for(const struct node_core *c)
{
	struct engine_message m = { .type = ENGINE_M_INSTALL,
				    .peer = c->leader, .term = c->term };

	m.install = core_snapshot_of(&c->incoming);
	return m;
}

/* A state that came with a picture may stand above the log, and above what the
 * leader's log reaches back to: then the log needs it though the state does
 * not. */
static bool is_needed(const struct node_core *c)
{
	uint64_t index = c->incoming.index;

	return !c->is_leader && !c->fence.is_on && index > c->base.index &&
	       (index > c->applied || index > c->last);
}

/* Only what is committed is in a checkpoint, so any leader's log has it. */
void core_try_install(struct node_core *c, uint64_t now_ms)
{
	struct engine_message m;
	struct engine_update u;
	struct err err;
	bool more;

	if (!c->incoming.index || c->is_installing || c->has_failed)
		return;
	if (!is_needed(c)) {
		end_install(c, E_CONFLICT);
		return;
	}
	if (!c->leader || c->is_applying || c->is_checkpointing || c->loading)
		return;
	m = message_for(c);
	c->is_installing = true;
	if (engine_receive(c->engine, now_ms, &m, &more, &u, &err)) {
		core_fail(c, &err);
		return;
	}
	if (u.installs) {
		forget_log(c);
		c->host->install(c->host_data, &c->incoming, c->incoming_path);
	} else {
		end_install(c, E_CONFLICT);
	}
	core_handle(c, now_ms, &u, NULL);
}

void node_core_install(struct node_core *c, uint64_t now_ms,
		       const struct checkpoint *from, const char *path)
{
	bool is_sound = guard_conf(buf_view(&from->conf));

	if (!is_sound || c->has_failed || c->incoming.index) {
		c->host->install_done(c->host_data, is_sound ? E_BUSY : E_INVALID);
		return;
	}
	c->incoming = *from;
	c->incoming.conf = BUF_NONE;
	buf_str(&c->incoming.conf, buf_view(&from->conf));
	c->incoming_path = mem_dup(path, strlen(path));
	core_try_install(c, now_ms);
}

enum code node_install(struct fs *fs, struct fs *files, const char *dir,
		       struct wal *wal,
		       const struct checkpoint *c, const char *path,
		       struct err *err)
{
	AUTO_BUF checkpoints = BUF_NONE;
	struct mark mark;
	enum code rc = mark_read(fs, dir, &mark, err);

	buf_printf(&checkpoints, "%s/checkpoints", dir);
	mark.begun_index = c->index;
	mark.begun_term = c->term;
	if (rc == OK)
		rc = mark_write(fs, dir, &mark, err);
	if (rc == OK)
		rc = checkpoint_adopt(files, checkpoints.p, c, path, err);
	if (rc == OK)
		rc = wal_restart(wal, err);
	mark = (struct mark){ .done_index = c->index };
	return rc ? rc : mark_write(fs, dir, &mark, err);
}

static void stand_at(struct node_core *c, const struct rc_applied *at)
{
	checkpoint_fini(&c->base);
	c->base = c->incoming;
	c->incoming = (struct checkpoint){ 0 };
	c->conf_index = c->base.conf_index;
	buf_reset(&c->conf);
	buf_str(&c->conf, buf_view(&c->base.conf));
	core_tell_members(c);
	c->applied = at->index;
	c->applied_term = at->term;
	c->commit = MAX(c->commit, at->index);
	c->log_since_bytes = c->checkpoint_at_bytes = 0;
	c->skip_next = c->applied > c->last ? c->last + 1 : 0;
}

void node_core_installed(struct node_core *c, uint64_t now_ms, enum code rc,
			 const struct rc_applied *at,
			 const struct node_stand *stand, const struct err *err)
{
	struct engine_snapshot snapshot;
	struct engine_update u;
	struct err own;

	if (rc == OK && at->index < c->incoming.index)
		rc = err_set(&own, E_INTERNAL, "the state did not take the "
			     "checkpoint that was installed");
	else if (rc)
		err_copy(&own, err);
	if (rc) {
		err_wrap(&own, "installing a checkpoint");
		core_fail(c, &own);
		return;
	}
	if (c->has_failed)
		return;
	stand_at(c, at);
	c->machine_bytes = c->copied_machine_bytes = stand->bytes;
	end_install(c, OK);
	core_reads_applied(c);
	core_backups_ready(c);
	snapshot = core_snapshot_of(&c->base);
	if (engine_installed(c->engine, now_ms, &snapshot, &u, &own)) {
		core_fail(c, &own);
		return;
	}
	/* Behind the engine, who knows the members now. */
	core_detect_anew(c);
	if (c->config.machine.digest)
		core_noted(c, now_ms, stand->digest);
	core_handle(c, now_ms, &u, NULL);
}
