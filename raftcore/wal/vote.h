/*
 * Term and vote: two files that hold the same.  Both are written at each vote, one
 * after the other, in place, each with a generation and a checksum, and the vote
 * counts when both are durable.  So
 *
 *	- a write that is torn leaves the other file, with the vote before or the
 *	  one that was being written, and nobody was told of that;
 *	- where one file is damaged later the other has whatever anybody was told of:
 *	  it counts, and vote_settle makes the damaged one again;
 *	- where neither is whole the node may have voted, and is refused;
 *	- a full disk (of most filesystems) lets a node vote.
 *
 * Durable when vote_write returns.  One thread at a time.
 */
#ifndef WAL_VOTE_H
#define WAL_VOTE_H

#include "io/file.h"

#define VOTE_COPIES 2

struct vote {
	uint64_t term, voted_for;
	uint64_t generation;             /* counts votes; 0: none yet */
	/* Which copies hold another vote or none (bit i: vote.<i>), and which are
	 * there and not whole. */
	unsigned stale, damaged;
};

/* Reads <dir>/vote.0 and vote.1; none there: zeros.  E_CORRUPT where a file is
 * there and neither is whole, or both say they are the same and are not.  A node
 * goes by it only after vote_settle. */
enum code vote_read(struct fs *fs, const char *dir, struct vote *out,
		    struct err *err) MUST_USE;
/* Makes what was read durable, in both files: a write that failed may be seen, and
 * still be lost with the power.  Once, before anything goes by it. */
enum code vote_settle(struct fs *fs, const char *dir, struct vote *vote,
		      struct err *err) MUST_USE;
/* Writes both with the next generation. */
enum code vote_write(struct fs *fs, const char *dir, struct vote *vote,
		     struct err *err) MUST_USE;

#endif
