/*
 * Files as the durable parts use them: a small table of operations, so that
 * the simulator can stand in for the disk (io/sim).  Blocking; any thread, one
 * thread a file.
 *
 * Durability is explicit: what a write with `durable` files or file_sync has
 * answered OK for survives a power loss; a name survives once fs_sync_dir of
 * its folder has answered OK.
 */
#ifndef IO_FILE_H
#define IO_FILE_H

#include "base/buf.h"

#define FILE_BLOCK 4096              /* alignment of direct input and output */

struct fs;
struct file;

enum file_flag {
	FILE_WRITE = BIT(0),         /* else read only */
	FILE_CREATE = BIT(1),        /* made where it is missing */
	FILE_EXCLUSIVE = BIT(2),     /* with CREATE: E_EXISTS where it is there */
	FILE_DURABLE = BIT(3),       /* each write is durable when it returns */
	FILE_DIRECT = BIT(4),        /* past the page cache where that works;
					buffers, sizes and offsets aligned */
};

struct fs_ops {
	enum code (*open)(struct fs *fs, const char *path, unsigned flags,
			  struct file **out, struct err *err);
	void (*close)(struct fs *fs, struct file *file);
	/* '*got' < n only at the end of the file. */
	enum code (*read)(struct fs *fs, struct file *file, uint64_t at, void *p,
			  size_t n, size_t *got, struct err *err);
	enum code (*write)(struct fs *fs, struct file *file, uint64_t at,
			   const void *p, size_t n, struct err *err);
	enum code (*sync)(struct fs *fs, struct file *file, struct err *err);
	enum code (*size)(struct fs *fs, struct file *file, uint64_t *out,
			  struct err *err);
	/* Takes what is behind 'n' off.  Who hands no file to a log, nor to fs_shorten,
	 * may have neither this nor 'room'. */
	enum code (*shrink)(struct fs *fs, struct file *file, uint64_t n,
			    struct err *err);
	/* Bytes that a process may still take on the disk of 'path'; 0 where that
	 * is not known. */
	uint64_t (*room)(struct fs *fs, const char *path);
	/* True where FILE_DIRECT is in force. */
	bool (*is_direct)(struct fs *fs, struct file *file);
	enum code (*rename)(struct fs *fs, const char *from, const char *to,
			    struct err *err);
	enum code (*remove)(struct fs *fs, const char *path, struct err *err);
	enum code (*make_dir)(struct fs *fs, const char *path, struct err *err);
	enum code (*sync_dir)(struct fs *fs, const char *path, struct err *err);
	/* Names in a folder, sorted, without "." and "..", each ended by NUL. */
	enum code (*list)(struct fs *fs, const char *path, struct buf *names,
			  struct err *err);
};

struct fs {
	const struct fs_ops *ops;
};

/* The machine's own files. */
struct fs *fs_real(void);

/* Whole small files.  fs_put replaces 'path' durably: new file, sync, rename,
 * sync of the folder 'dir'. */
enum code fs_get(struct fs *fs, const char *path, struct buf *out,
		 struct err *err) MUST_USE;
enum code fs_put(struct fs *fs, const char *dir, const char *path,
		 struct str bytes, struct err *err) MUST_USE;

/*
 * Gives back the last blocks of a file, up to 'n' bytes of them, durably.  '*left' is how
 * long it is then; 0: it may be removed.  A disk that is told of blocks which are given
 * back does nothing else meanwhile, so who is done with a large file takes it off in
 * pieces, with time for others between.  E_NOT_FOUND.
 */
enum code fs_shorten(struct fs *fs, const char *path, uint64_t n, uint64_t *left,
		     struct err *err) MUST_USE;

/*
 * Appends a file that somebody else has written, as keys are, from the machine's own
 * disk: a regular file of at most 'max' bytes, and where 'is_private' one that none but
 * its owner may use.  Blocks on no pipe.  '*out' grows once, so that who wipes it has
 * wiped all.
 *
 * E_NOT_FOUND, E_IO; E_DENIED: this process may not read it, or others may use what
 * shall be private (with a hint); E_INVALID: it is no file, or a larger one.
 */
enum code file_get_small(const char *path, size_t max, bool is_private,
			 struct buf *out, struct err *err) MUST_USE;

/*
 * A folder that is there durably, made where it is missing: the one above is synced
 * in any case, as who made it may have died before.  A folder above that this process
 * may not open is not synced.
 */
enum code fs_make_dir(struct fs *fs, const char *path, struct err *err) MUST_USE;

/* Memory aligned to FILE_BLOCK; free with free(). */
void *file_alloc(size_t n);

#endif
