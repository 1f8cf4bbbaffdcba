/*
 * A node whose state is outvoted (detector.c) is fenced, for good: the file
 * `fenced` in the data directory outlives a restart (docs/formats/fence.md).
 *
 * Its state is wrong, its log is not: that is checked entry by entry, and agreed
 * upon by other means.  So it still stores, sends and votes, because a voter
 * less would cost the cluster more than it gains; but nothing is applied any
 * more, nothing is read, no checkpoint is taken, sent or installed, and what it
 * is given to propose is refused.  Where it leads, be it because nobody else has
 * the whole log, it hands leadership on.  A new server under a new id takes its
 * place.
 */
#include <string.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "node/own.h"
#include "wire/wire.h"

#include "base/banned.h"

#define FENCE_MAGIC 0x31464e4558464343ull     /* "CCFXENF1" */

/* ---- the file ---- */

static void fence_path(const char *dir, struct buf *out)
{
	buf_printf(out, "%s/fenced", dir);
}

void fence_encode(struct buf *out, const struct fence_mark *m)
{
	wr_u64(out, FENCE_MAGIC);
	wr_u64(out, m->own.index);
	wr_raw(out, m->own.digest, sizeof(m->own.digest));
	wr_raw(out, m->others.digest, sizeof(m->others.digest));
	wr_u32(out, crc32c(0, out->p, out->n));
}

static void get_digest(struct rd *rd, uint8_t out[32])
{
	struct str raw = rd_raw(rd, 32);

	if (raw.n == 32)
		memcpy(out, raw.p, 32);
}

bool fence_decode(struct str bytes, struct fence_mark *out)
{
	struct rd rd = rd_of(bytes);
	uint64_t magic = rd_u64(&rd);
	uint32_t crc;

	*out = (struct fence_mark){ 0 };
	out->own.index = out->others.index = rd_u64(&rd);
	get_digest(&rd, out->own.digest);
	get_digest(&rd, out->others.digest);
	crc = rd_u32(&rd);
	return rd_done(&rd) && magic == FENCE_MAGIC && out->own.index &&
	       crc == crc32c(0, bytes.p, bytes.n - 4);
}

enum code fence_read(struct fs *fs, const char *dir, struct fence *out,
		     struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	enum code rc;

	fence_path(dir, &path);
	rc = fs_get(fs, path.p, &bytes, err);
	if (rc == E_NOT_FOUND) {
		err_reset(err);
		return OK;
	}
	if (rc)
		return rc;
	if (!fence_decode(buf_view(&bytes), &out->mark))
		return err_set(err, E_CORRUPT, "%s is damaged", path.p);
	out->is_on = true;
	return OK;
}

static enum code fence_write(struct node_core *c, struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	enum code rc = failpoint_hit(FP_FENCE_WRITE, err);

	fence_path(c->dir, &path);
	fence_encode(&bytes, &c->fence.mark);
	return rc ? rc : fs_put(c->fs, c->dir, path.p, buf_view(&bytes), err);
}

/* ---- acting ---- */

static void say(struct node_core *c)
{
	c->detector.verdict = RC_FENCED;
	c->detector.index = c->fence.mark.own.index;
	c->detector.peer = 0;
	if (c->host->diverged)
		c->host->diverged(c->host_data, RC_FENCED, c->detector.index,
				  0);
}

void core_fence(struct node_core *c, uint64_t now_ms,
		const struct chain_point *own, const struct chain_point *others)
{
	struct err err;

	c->fence.is_on = true;
	c->fence.mark = (struct fence_mark){ *own, *others };
	c->fence.again_ms = now_ms;
	say(c);
	core_tell(c, true, "this node was fenced before the outcome was known");
	core_refuse_held(c, E_UNAVAILABLE, "this node is fenced: its state is not that "
			 "of the majority");
	core_end_reads(c);
	core_end_backups(c);
	/* One that would not know it after a restart must not go on at all. */
	if (fence_write(c, &err)) {
		err_wrap(&err, "fencing this node");
		core_fail(c, &err);
	}
}

void core_fence_start(struct node_core *c, uint64_t now_ms)
{
	if (!c->fence.is_on)
		return;
	c->fence.again_ms = now_ms;
	say(c);
}

/* ---- who leads ---- */

static void handed_over(struct node_transfer *t, enum code rc,
			const struct err *err)
{
	struct fence *f = container_of(t, struct fence, transfer);

	f->tried = rc == OK ? 0 : t->id;
}

/* The voter that has most of the log, and another one the next time. */
static uint64_t successor(const struct node_core *c)
{
	size_t n = engine_peers(c->engine, NULL, 0);
	struct engine_peer *all = mem_zero((n + 1) * sizeof(*all));
	uint64_t best = 0, most = 0;

	engine_peers(c->engine, all, n);
	for (size_t i = 0; i < n; i++) {
		uint64_t match = engine_match_index(c->engine, all[i].id);

		if (!all[i].votes || all[i].id == c->config.node_id ||
		    all[i].id == c->fence.tried || (best && match <= most))
			continue;
		best = all[i].id;
		most = match;
	}
	free(all);
	return best;
}

static bool has_to_hand_over(const struct node_core *c)
{
	return c->fence.is_on && c->is_leader && !c->transfer && !c->has_failed;
}

void core_fence_due(struct node_core *c, uint64_t now_ms)
{
	struct fence *f = &c->fence;

	if (!has_to_hand_over(c) || now_ms < f->again_ms)
		return;
	f->again_ms = now_ms + c->config.election_timeout_ms;
	f->transfer = (struct node_transfer){ .id = successor(c),
					      .done = handed_over };
	if (f->transfer.id)
		node_core_transfer(c, now_ms, &f->transfer);
	else
		f->tried = 0;
}

uint64_t core_fence_deadline(const struct node_core *c)
{
	return has_to_hand_over(c) ? c->fence.again_ms : UINT64_MAX;
}
