/*
 * Checkpoint files: pictures of the machine, which the log is cut up to.
 *
 *	<dir>/<index>-<term>.ckpt	what the machine wrote; padded with zeros
 *					to whole blocks of 4 KiB
 *	<dir>/<index>-<term>.meta	cluster, index, term, membership, length
 *					and SHA-256 of the picture, checksum
 *
 *	<dir>/gone-<index>-<term>.ckpt	a picture on its way out
 *
 * The picture is written under another name, synced, read back and compared,
 * and renamed; the meta file, replaced durably, makes it count.  A picture
 * without one, or whose digest is another, is no checkpoint (docs/formats/
 * checkpoint.md).
 *
 * All of it goes through the `struct fs` of checkpoint_files_new, which seals
 * what is new where there is a key, and opens what is sealed.
 *
 * Blocking; any thread, one thread an object.
 */
#ifndef NODE_CHECKPOINT_H
#define NODE_CHECKPOINT_H

#include "base/rand.h"
#include "io/file.h"
#include "seal/files.h"
#include "wire/sum.h"

struct checkpoint {
	struct uuid cluster;
	uint64_t index, term;            /* 0: there is none */
	uint64_t conf_index;
	struct buf conf;                 /* membership, as the engine writes it */
	uint64_t bytes;                  /* of the picture */
	struct sha256 sum;
};

/* The files of checkpoints of a cluster, over 'inner'; 'seal' may be NULL. */
struct seal_files *checkpoint_files_new(struct fs *inner,
					const struct seal_provider *seal,
					struct uuid cluster);
/* Of a cluster that was formed since; while no file is open. */
void checkpoint_files_bind(struct seal_files *files, struct uuid cluster);

void checkpoint_fini(struct checkpoint *c);
void checkpoint_path(const char *dir, const struct checkpoint *c,
		     const char *suffix, struct buf *out);

/* The bytes of a meta file.  False: they are none. */
void checkpoint_encode(struct buf *out, const struct checkpoint *c);
bool checkpoint_decode(struct str bytes, struct checkpoint *c);

/* ---- writing ---- */

struct checkpoint_writer;
/* Called after each MiB; may block to let others at the disk. */
typedef void checkpoint_pace(void *data);

/* Begins a picture in 'dir' (made where it is missing). */
enum code checkpoint_begin(struct fs *fs, const char *dir,
			   checkpoint_pace *pace, void *data,
			   struct checkpoint_writer **out, struct err *err)
	MUST_USE;
/* The next bytes; fits rc_machine.write. */
enum code checkpoint_put(void *writer, const void *p, size_t n,
			 struct err *err) MUST_USE;
/* Syncs, verifies, names: after OK the checkpoint counts.  'c' has cluster,
 * index, term and membership; length and digest are filled in. */
enum code checkpoint_end(struct checkpoint_writer *w, struct checkpoint *c,
			 struct err *err) MUST_USE;
/* Reads the picture at 'path'; E_CORRUPT where it is not that of 'c'.  'pace'
 * may be NULL. */
enum code checkpoint_verify(struct fs *fs, const char *path,
			    const struct checkpoint *c, checkpoint_pace *pace,
			    void *data, struct err *err) MUST_USE;
/* Names a picture that came from elsewhere and lies at 'path' in 'dir', synced
 * and verified: after OK it counts. */
enum code checkpoint_adopt(struct fs *fs, const char *dir,
			   const struct checkpoint *c, const char *path,
			   struct err *err) MUST_USE;
/* Lets go of it; what was not ended is removed. */
void checkpoint_writer_free(struct checkpoint_writer **w);

/* ---- finding ---- */

/*
 * The newest checkpoint of 'cluster' that is whole ('*out' has index 0 where
 * there is none): damaged ones are skipped, '*damaged' counts them.  Where a
 * whole one is found, the meta files of the damaged ones above it become
 * *.meta.damaged, and their pictures go; else nothing is touched.  What a crash
 * left half written is removed.
 */
enum code checkpoint_find(struct fs *fs, const char *dir, struct uuid cluster,
			  struct checkpoint *out, unsigned *damaged,
			  struct err *err) MUST_USE;
/* Reads the meta file of the one at 'index' and 'term': length and digest of its
 * picture, which is not read.  E_NOT_FOUND, E_CORRUPT. */
enum code checkpoint_load(struct fs *fs, const char *dir, uint64_t index,
			  uint64_t term, struct checkpoint *out,
			  struct err *err) MUST_USE;
/* All but the newest 'keep' are none any more, for good; '*oldest' is the index of the
 * oldest that is left, 0 with less than 'keep'.  What they take of the disk is given
 * back by checkpoint_clear. */
enum code checkpoint_prune(struct fs *fs, const char *dir, unsigned keep,
			   uint64_t *oldest, struct err *err) MUST_USE;
/* As it, but those at the indexes 'held' (of 'n') stay too. */
enum code checkpoint_prune_but(struct fs *fs, const char *dir, unsigned keep,
			       const uint64_t *held, size_t n,
			       uint64_t *oldest, struct err *err) MUST_USE;
/*
 * Gives back what was pruned, in pieces, and with it what a clearing that was killed has
 * left; nothing of what counts is touched.  'disk' is what lies under what seals.
 * 'goes_on' is asked between two pieces, and may wait; false: all that is left goes at
 * once.  NULL: it goes on.  What fails goes whole, or is left to the next start.
 */
typedef bool checkpoint_goes_on(void *data);
void checkpoint_clear(struct fs *disk, const char *dir,
		      checkpoint_goes_on *goes_on, void *data);
/*
 * Who opens a picture that may be pruned while it is read begins before its meta file is
 * looked for, and ends when it is closed: then it is removed whole, and its bytes stay as
 * long as it is open.  Any thread.
 */
struct checkpoint_reading {
	struct checkpoint_reading *next_;
	struct buf path;                 /* empty: it was not begun */
};
void checkpoint_reading_begin(struct checkpoint_reading *r, const char *path);
/* Also of one that was not begun. */
void checkpoint_reading_end(struct checkpoint_reading *r);

#endif
