/* What the files of backups/ share. */
#ifndef BACKUPS_OWN_H
#define BACKUPS_OWN_H

#include <pthread.h>
#include <stdatomic.h>

#include "backup/backup.h"
#include "backups/backups.h"
#include "io/pool.h"
#include "io/timer.h"
#include "restore/restore.h"

#define PART "backup"
#define READ_MS 10000                    /* for a leader to confirm */

struct backups {
	struct backups_config config;
	struct seal_public *recipient;   /* NULL: not sealed */
	struct pool *pool;
	_Atomic bool is_stopping;
	_Atomic bool has_stream;
	pthread_mutex_t lock;            /* of the view */
	struct backups_view view;

	/* The schedule; core loop. */
	struct timer timer;
	struct msg start_msg, stop_msg;
	bool has_timer, is_busy;
	unsigned failures;               /* in a row */
	struct rc_backup backup;
	struct rc_picture *picture;
	struct work work;
	uint64_t started_ms, newest_ms;
	uint64_t made_mono_ms;           /* the last of this run; 0: none yet */
	enum code rc;
	struct err err;
	uint64_t written;
	char name[300];
};

/* folder.c: what the schedule does in its folder; workers. */

/* When the newest backup of 'cluster' there was made; 0: none.  Names of after
 * 'now_ms' count neither here nor in folder_prune: a clock was wrong. */
enum code folder_newest(const char *dir, struct uuid cluster, uint64_t now_ms,
			uint64_t *ms, struct err *err) MUST_USE;
/* Writes, verifies and names one; '*name' and '*bytes' say what came of it.
 * What is not whole is removed.  'is_stopping' ends it with E_CANCELLED. */
enum code folder_write(const char *dir, struct rc_picture *picture,
		       const struct seal_public *to,
		       const _Atomic bool *is_stopping, char name[300],
		       uint64_t *bytes, struct err *err) MUST_USE;
/* Removes all of 'cluster' but the newest 'keep', oldest first. */
enum code folder_prune(const char *dir, struct uuid cluster, uint64_t now_ms,
		       unsigned keep, struct err *err) MUST_USE;

/* backups.c */
/* False: it is stopping, and the work will not run.  Any thread. */
bool backups_submit(struct backups *b, struct work *work) MUST_USE;

/* schedule.c */
void schedule_start(struct backups *b);
void schedule_stop(struct backups *b);

#endif
