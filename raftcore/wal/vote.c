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

	out->generation = rd_u64(&rd);
	out->term = rd_u64(&rd);
	out->voted_for = rd_u64(&rd);
	crc = rd_u32(&rd);
	return rd_done(&rd) && magic == VOTE_MAGIC &&
	       crc == crc32c(0, bytes.p, bytes.n - 4);
}

enum code vote_read(struct fs *fs, const char *dir, struct vote *out,
		    struct err *err)
{
	unsigned found = 0, whole = 0;

	*out = (struct vote){ 0 };
	for (unsigned i = 0; i < 2; i++) {
		AUTO_BUF path = BUF_NONE;
		AUTO_BUF bytes = BUF_NONE;
		struct vote v;
		enum code rc;

		vote_path(dir, i, &path);
		rc = fs_get(fs, path.p, &bytes, err);
		if (rc == E_NOT_FOUND)
			continue;
		if (rc)
			return rc;
		found++;
		if (!decode(buf_view(&bytes), &v))
			continue;
		whole++;
		if (v.generation > out->generation)
			*out = v;
	}
	if (found && !whole) {
		err_set(err, E_CORRUPT, "%s: term and vote are damaged", dir);
		return err_hint(err, "without them this node could vote twice: "
				     "wipe its data and let it join again");
	}
	return OK;
}

/* In its place where it is there: that needs no room, so a node whose disk is full
 * votes; a write that is torn leaves the other file. */
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

static enum code put_vote(struct fs *fs, const char *dir,
			  const struct vote *vote, struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;

	wr_u64(&bytes, VOTE_MAGIC);
	wr_u64(&bytes, vote->generation);
	wr_u64(&bytes, vote->term);
	wr_u64(&bytes, vote->voted_for);
	wr_u32(&bytes, crc32c(0, bytes.p, bytes.n));
	vote_path(dir, vote->generation % 2, &path);
	return put(fs, dir, path.p, buf_view(&bytes), err);
}

/* Into its own file: where that gets torn the one before is left, which was
 * durable when this one was written. */
enum code vote_settle(struct fs *fs, const char *dir, const struct vote *vote,
		      struct err *err)
{
	return vote->generation ? put_vote(fs, dir, vote, err) : OK;
}

enum code vote_write(struct fs *fs, const char *dir, struct vote *vote,
		     struct err *err)
{
	struct vote next = *vote;
	enum code rc = failpoint_hit(FP_VOTE_WRITE, err);

	next.generation++;
	if (rc == OK)
		rc = put_vote(fs, dir, &next, err);
	if (rc)
		return rc;
	*vote = next;
	return failpoint_hit(FP_VOTE_WRITTEN, err);
}
