/* Term and vote: see vote.h. */
#include "wal/vote.h"

#include "base/failpoint.h"
#include "wire/sum.h"
#include "wire/wire.h"

#include "base/banned.h"

#define VOTE_MAGIC 0x3145544f56584643ull     /* "CFXVOTE1" */

static void vote_path(const char *dir, unsigned which, struct buf *out)
{
	buf_printf(out, "%s/vote.%u", dir, which);
}

static bool decode(struct str bytes, struct vote *out)
{
	struct rd rd = rd_of(bytes);
	uint64_t magic = rd_u64(&rd);
	uint32_t crc;

	*out = (struct vote){ .generation = rd_u64(&rd) };
	out->term = rd_u64(&rd);
	out->voted_for = rd_u64(&rd);
	crc = rd_u32(&rd);
	/* Generations count from 1, and there is a next one. */
	return rd_done(&rd) && magic == VOTE_MAGIC &&
	       out->generation + 1 > 1 && crc == crc32c(0, bytes.p, bytes.n - 4);
}

enum copy_state { COPY_MISSING, COPY_DAMAGED, COPY_WHOLE };

static enum code read_copy(struct fs *fs, const char *dir, unsigned which,
			   enum copy_state *state, struct vote *out,
			   struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	enum code rc;

	*out = (struct vote){ 0 };
	*state = COPY_MISSING;
	vote_path(dir, which, &path);
	rc = fs_get(fs, path.p, &bytes, err);
	if (rc)
		return rc == E_NOT_FOUND ? OK : rc;
	*state = decode(buf_view(&bytes), out) ? COPY_WHOLE : COPY_DAMAGED;
	if (*state == COPY_DAMAGED)
		*out = (struct vote){ 0 };
	return OK;
}

/* The only way back, where what was promised may be gone. */
static enum code refuse(const char *dir, const char *what, struct err *err)
{
	err_set(err, E_CORRUPT, "%s/vote.0 and vote.1: %s", dir, what);
	return err_hint(err, "without its vote this node could vote twice: "
			     "wipe its data and let it join again");
}

static bool is_same(const struct vote *a, const struct vote *b)
{
	return a->generation == b->generation && a->term == b->term &&
	       a->voted_for == b->voted_for;
}

enum code vote_read(struct fs *fs, const char *dir, struct vote *out,
		    struct err *err)
{
	enum copy_state state[VOTE_COPIES];
	struct vote v[VOTE_COPIES];
	unsigned newest = 0;

	*out = (struct vote){ 0 };
	for (unsigned i = 0; i < VOTE_COPIES; i++) {
		enum code rc = read_copy(fs, dir, i, &state[i], &v[i], err);

		if (rc)
			return rc;
		if (v[i].generation > v[newest].generation)
			newest = i;
	}
	if (v[newest].generation == 0)
		return state[0] == COPY_DAMAGED || state[1] == COPY_DAMAGED ?
			       refuse(dir, "neither is whole", err) : OK;
	if (v[0].generation == v[1].generation && !is_same(&v[0], &v[1]))
		return refuse(dir, "they are not the same", err);
	*out = v[newest];
	for (unsigned i = 0; i < VOTE_COPIES; i++) {
		if (!is_same(&v[i], out))
			out->stale |= BIT(i);
		if (state[i] == COPY_DAMAGED)
			out->damaged |= BIT(i);
	}
	return OK;
}

/* In its place where it is there: that needs no room, so a node whose disk is full
 * votes. */
static enum code put(struct fs *fs, const char *dir, const char *path,
		     struct str bytes, struct err *err)
{
	struct file *file;
	enum code rc = fs->ops->open(fs, path, FILE_WRITE, &file, err);

	if (rc == E_NOT_FOUND)
		return fs_put(fs, dir, path, bytes, err);
	if (rc)
		return rc;
	rc = fs->ops->write(fs, file, 0, bytes.p, bytes.n, err);
	if (rc == OK)
		rc = fs->ops->sync(fs, file, err);
	fs->ops->close(fs, file);
	return rc;
}

static enum code put_copy(struct fs *fs, const char *dir, unsigned which,
			  const struct vote *vote, struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;

	wr_u64(&bytes, VOTE_MAGIC);
	wr_u64(&bytes, vote->generation);
	wr_u64(&bytes, vote->term);
	wr_u64(&bytes, vote->voted_for);
	wr_u32(&bytes, crc32c(0, bytes.p, bytes.n));
	vote_path(dir, which, &path);
	return put(fs, dir, path.p, buf_view(&bytes), err);
}

/* One after the other, 'first' first: while that one is written the other is whole. */
static enum code put_both(struct fs *fs, const char *dir, unsigned first,
			  const struct vote *vote, struct err *err)
{
	enum code rc = put_copy(fs, dir, first, vote, err);

	if (rc == OK)
		rc = failpoint_hit(FP_VOTE_HALF, err);
	return rc ? rc : put_copy(fs, dir, !first, vote, err);
}

/* A planted mistake: only one copy is written, in turn. */
static bool writes_one(void)
{
	return failpoint_hit(FP_VOTE_ALONE, NULL) != OK;
}

/* The copy that holds it stays until the other one does. */
enum code vote_settle(struct fs *fs, const char *dir, struct vote *vote,
		      struct err *err)
{
	enum code rc;

	if (!vote->generation)
		return OK;
	if (writes_one())
		return put_copy(fs, dir, vote->generation % 2, vote, err);
	rc = put_both(fs, dir, vote->stale & BIT(1) ? 1 : 0, vote, err);
	if (rc == OK)
		vote->stale = vote->damaged = 0;
	return rc;
}

enum code vote_write(struct fs *fs, const char *dir, struct vote *vote,
		     struct err *err)
{
	struct vote next = { vote->term, vote->voted_for, vote->generation + 1,
			     0, 0 };
	enum code rc = failpoint_hit(FP_VOTE_WRITE, err);

	if (rc == OK)
		rc = writes_one() ? put_copy(fs, dir, next.generation % 2, &next,
					     err) :
				    put_both(fs, dir, 0, &next, err);
	if (rc)
		return rc;
	*vote = next;
	return failpoint_hit(FP_VOTE_WRITTEN, err);
}
