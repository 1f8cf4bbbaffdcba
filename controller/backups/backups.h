/*
 * Backups of a running node (docs/backup.md): streams for who asks for one, and
 * files that are written on a schedule.
 *
 *	core loop	decides, is told when a checkpoint is there
 *	workers		read, seal, write and verify
 *
 * One stream and one file at a time.  What a crash leaves of a file is its
 * `.part`, which the next one removes; a file counts once it has its name, which
 * it gets after it was synced, read back and compared.
 */
#ifndef BACKUPS_BACKUPS_H
#define BACKUPS_BACKUPS_H

#include "store/store.h"

struct backups;

struct backups_config {
	struct store *store;
	const char *version;             /* of Conflux */
	uint64_t node_id;
	/* The schedule; without 'dir' there is none. */
	const char *dir;                 /* made where it is missing */
	uint64_t interval_ms;
	unsigned keep;                   /* files of this cluster; 1.. */
	const char *recipient;           /* PEM of a public key; "": not sealed */
	bool on_each;                    /* not only while this node leads */
};

/* Strings of 'config' stay the caller's.  Reads the key; E_NOT_FOUND, E_INVALID.
 * Blocking. */
enum code backups_new(const struct backups_config *config, struct backups **out,
		      struct err *err) MUST_USE;
/* Looks at what it names, and makes nothing. */
enum code backups_check(const struct backups_config *config, struct err *err)
	MUST_USE;
/* Ends what is under way and waits for it; before the loops that streams are on
 * and the store are freed. */
void backups_stop(struct backups *b);
/* After the store. */
void backups_free(struct backups **b);

/* ---- streams ---- */

/*
 * A backup, bytes at a time.  Each call of backup_stream_next is followed by one
 * 'told' on 'home' (another loop's thread never sees it): E_BUSY: another is
 * under way; codes as of rc_backup; OK: 'bytes', valid during the call, and
 * 'more' whether there are any behind them.
 */
struct backup_stream;
struct backup_stream *backup_stream_new(struct backups *b, struct loop *home,
		void (*told)(void *data, enum code rc, struct str bytes,
			     bool more, const struct err *err), void *data);
void backup_stream_next(struct backup_stream *s);
/* At any time, on 'home': nothing is told any more. */
void backup_stream_close(struct backup_stream **s);

/* ---- the schedule ---- */

struct backups_view {
	bool is_on;                      /* there is a schedule */
	bool is_running;                 /* one is being written */
	uint64_t done, failed;           /* in this run */
	uint64_t last_ms;                /* when the newest whole one was made;
					    0: none is known */
	uint64_t last_bytes, last_took_ms;
	char last_file[300];
	uint64_t failed_ms;              /* when it last failed; 0: not since the
					    last that was made */
	char error[300];
	uint64_t streams;                /* in this run, whole ones */
};
/* Any thread. */
void backups_view(struct backups *b, struct backups_view *out);
/* Prometheus text. */
void backups_metrics(struct backups *b, struct buf *out);
const struct backups_config *backups_config(const struct backups *b);

#endif
