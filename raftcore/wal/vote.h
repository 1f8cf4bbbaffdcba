/*
 * Term and vote: two files written in turn, in place, each with a generation and
 * a checksum, so that a torn write leaves the one before and a full disk (of most
 * filesystems) lets a node vote.  Durable when
 * vote_write returns.  One thread at a time.
 */
#ifndef WAL_VOTE_H
#define WAL_VOTE_H

#include "io/file.h"

struct vote {
	uint64_t term, voted_for;
	uint64_t generation;             /* of the newest file; 0: none yet */
};

/* Reads <dir>/vote.0 and vote.1; none there: zeros.  E_CORRUPT where a file is
 * there and neither is whole.  A node goes by it only after vote_settle. */
enum code vote_read(struct fs *fs, const char *dir, struct vote *out,
		    struct err *err) MUST_USE;
/* Makes durable what was read: a write that failed may be seen, and still be lost
 * with the power.  Once, before anything goes by it. */
enum code vote_settle(struct fs *fs, const char *dir, const struct vote *vote,
		      struct err *err) MUST_USE;
/* Writes the older file with the next generation. */
enum code vote_write(struct fs *fs, const char *dir, struct vote *vote,
		     struct err *err) MUST_USE;

#endif
