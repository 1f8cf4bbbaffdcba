/*
 * The file of a checkpoint: a picture of a machine's state at one index, framed
 * so that every flipped or missing byte is found (docs/formats/checkpoint.md).
 *
 * The node writes it; a machine reads its own bytes back in open():
 *
 *	struct checkpoint *c;
 *	rc = checkpoint_open(fs, path, &c, err);
 *	while (rc == OK && !(rc = checkpoint_read(c, p, n, &got, err)) && got)
 *		...                            // the bytes that write() put
 *	checkpoint_close(&c);
 *
 * Blocking; one thread a reader or writer.
 */
#ifndef CHECKPOINT_CHECKPOINT_H
#define CHECKPOINT_CHECKPOINT_H

#include "base/rand.h"
#include "io/file.h"

#define CHECKPOINT_CONFIGURATION_MAX 3072

/* What the file says of itself. */
struct checkpoint_head {
	struct uuid cluster;
	uint64_t index, term;            /* of the last entry in it */
	uint64_t bytes;                  /* of payload */
	uint64_t configuration_index;    /* entry that 'configuration' is from */
	size_t configuration_bytes;      /* at most the maximum above */
	char configuration[CHECKPOINT_CONFIGURATION_MAX];
};

/* ---- reading ---- */

struct checkpoint;

/*
 * Opens the file and checks its head and trailer; the payload is checked as it
 * is read.  E_NOT_FOUND; E_CORRUPT with path and place.
 */
enum code checkpoint_open(struct fs *fs, const char *path,
			  struct checkpoint **out, struct err *err) MUST_USE;
/* Accepts NULL. */
void checkpoint_close(struct checkpoint **checkpoint);
/* Valid until it is closed. */
const struct checkpoint_head *checkpoint_head(const struct checkpoint *c);
/*
 * The next bytes of the payload, at most 'n'.  '*got' < 'n' only at its end; 0:
 * all was read.  E_CORRUPT: damage with its offset; what was read before was
 * whole, but the state made of it must be given up.
 */
enum code checkpoint_read(struct checkpoint *c, void *p, size_t n, size_t *got,
			  struct err *err) MUST_USE;
/* Reads all of it.  '*head' may be NULL. */
enum code checkpoint_verify(struct fs *fs, const char *path,
			    struct checkpoint_head *head,
			    struct err *err) MUST_USE;

/* ---- writing: the node ---- */

struct checkpoint_writer;

/* Called before each piece of a file is written, with its bytes: may wait.  Not
 * OK: the checkpoint is given up with this error. */
typedef enum code checkpoint_pace(void *data, size_t bytes, struct err *err);

/*
 * Starts <dir>/<index>-<term>.tmp, past the page cache where the folder can.
 * 'head' is copied; its 'bytes' are counted here.  'pace' may be NULL.
 */
enum code checkpoint_create(struct fs *fs, const char *dir,
			    const struct checkpoint_head *head,
			    checkpoint_pace *pace, void *data,
			    struct checkpoint_writer **out,
			    struct err *err) MUST_USE;
/* More payload; 'writer' is a struct checkpoint_writer (a machine's write()
 * calls this as its `put`). */
enum code checkpoint_put(void *writer, const void *p, size_t n,
			 struct err *err) MUST_USE;
/*
 * Ends the file: trailer, head, sync, a reading back of every byte, the name
 * <index>-<term>.ckpt, sync of the folder.  Only after OK does it count.  Frees
 * the writer either way; on an error the temporary file is removed.
 */
enum code checkpoint_finish(struct checkpoint_writer **writer,
			    struct err *err) MUST_USE;
/* Gives it up: removes the temporary file.  Accepts NULL. */
void checkpoint_abandon(struct checkpoint_writer **writer);

/* ---- the folder ---- */

struct checkpoint_name {
	uint64_t index, term;
};

/* <dir>/<index>-<term>.ckpt, 16 hex digits each. */
void checkpoint_path(struct buf *out, const char *dir,
		     const struct checkpoint_name *name);
/*
 * The checkpoints of 'dir', newest first, at most 'max'; '*n' is how many.
 * Names only: a file may be damaged.  Removes what a crash left half-written,
 * so nobody may be writing.
 */
enum code checkpoint_list(struct fs *fs, const char *dir,
			  struct checkpoint_name *names, size_t max, size_t *n,
			  struct err *err) MUST_USE;
/* Removes all but the newest 'keep'. */
enum code checkpoint_prune(struct fs *fs, const char *dir, size_t keep,
			   struct err *err) MUST_USE;

#endif
