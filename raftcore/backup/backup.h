/*
 * The bytes of a backup (docs/formats/backup.md): a head that says what it is,
 * the picture of a state machine in pieces of a MiB, each with a checksum, and an
 * end with the SHA-256 of all before.  What is cut off, changed, left out or put
 * elsewhere is found; who made it is not proven (that is what sealing is for).
 *
 * Both sides work on a stream in constant memory: at most a head and a piece.
 * No input or output of its own; one thread an object.
 */
#ifndef BACKUP_BACKUP_H
#define BACKUP_BACKUP_H

#include "base/buf.h"
#include "base/rand.h"
#include "wire/sum.h"

#define BACKUP_FORMAT 1
#define BACKUP_PIECE (1024u * 1024)
#define BACKUP_MEMBERS_MAX 64
#define BACKUP_ABOUT_MAX 4096
#define BACKUP_SUFFIX ".backup"

struct backup_member {
	uint64_t id;
	bool votes;
	struct str address;
};

struct backup_head {
	struct uuid cluster;
	uint64_t node;                   /* that made it */
	uint64_t index, term;            /* of the log: all up to there is in it */
	uint64_t time_ms;                /* since 1970, when it was begun */
	uint64_t bytes;                  /* of the picture */
	struct sha256 sum;               /* of the picture */
	struct backup_member members[BACKUP_MEMBERS_MAX];
	size_t n_members;
	struct str about;                /* the application's; BACKUP_ABOUT_MAX */
};

/* ---- writing ---- */

/* What follows is appended to 'out', in this order: start, pieces, end. */
struct backup_writer;
struct backup_writer *backup_writer_new(void);
void backup_writer_free(struct backup_writer **w);
/* Members and 'about' above their bounds are a programmer's error. */
void backup_start(struct backup_writer *w, const struct backup_head *head,
		  struct buf *out);
/* The next BACKUP_PIECE bytes; fewer, but not none, only as the last. */
void backup_piece(struct backup_writer *w, struct str bytes, struct buf *out);
void backup_end(struct backup_writer *w, struct buf *out);

/* ---- reading ---- */

/* A piece, checked; valid during the call.  An error ends the reading. */
typedef enum code backup_take(void *data, struct str bytes, struct err *err);

struct backup_reader;
/* 'take' NULL: it is only looked at. */
struct backup_reader *backup_reader_new(backup_take *take, void *data);
void backup_reader_free(struct backup_reader **r);
/*
 * The next bytes, however they are cut.  E_CORRUPT: they are no backup, or a
 * damaged one (with the place); E_UNSUPPORTED: a format that is not known; or
 * what 'take' answered.  After an error nothing more is read.
 */
enum code backup_feed(struct backup_reader *r, struct str bytes,
		      struct err *err) MUST_USE;
/* No more comes.  OK: it was whole, and nothing came behind it. */
enum code backup_finish(struct backup_reader *r, struct err *err) MUST_USE;
/* NULL until it came; valid as long as the reader. */
const struct backup_head *backup_reader_head(const struct backup_reader *r);

#endif
