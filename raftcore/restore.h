/*
 * From a backup (rc_backup, backup/backup.h) to a data directory: reading one,
 * and restoring it where no node runs.
 */
#ifndef RAFTCORE_RESTORE_H
#define RAFTCORE_RESTORE_H

#include "raftcore/machine.h"
#include "base/rand.h"

struct backup_head;
struct seal_provider;

/* Where a backup is read from: from its start again behind each rewind.  '*got'
 * of read is 0 at its end. */
struct rc_source {
	enum code (*rewind)(void *data, struct err *err);
	enum code (*read)(void *data, void *p, size_t n, size_t *got,
			  struct err *err);
	void *data;
};

/* Reads all of it.  OK: it is whole, and 'is' (which may be NULL) was told its
 * head.  E_CORRUPT, E_UNSUPPORTED; or what the source answered.  Blocking. */
enum code rc_backup_check(const struct rc_source *source,
			  void (*is)(void *data, const struct backup_head *head),
			  void *data, struct err *err) MUST_USE;

/*
 * Makes a data directory of a backup: that of a new cluster of one voter, which
 * others join empty.  The state is that of the backup with one command behind
 * it, by which the machine may leave its old life behind.
 *
 * The whole of it is verified before anything is touched.  A crash at any step
 * leaves the folder as it was, or the new one, which the next rc_node_open takes
 * up where a few renames are missing (raftcore/node/restore.c).  Three times the
 * room of the state is needed meanwhile.
 */
struct rc_restore {
	const char *dir;                /* made where it is missing */
	uint64_t node_id;               /* of the one voter */
	const char *address;            /* that others reach it at; "" for one */
	struct uuid cluster;            /* the new id */
	struct rc_machine machine;      /* is opened and closed here */
	/* As in rc_config: what is written is sealed, but for the live state;
	 * may be NULL. */
	const struct seal_provider *seal;
	struct rc_source source;
	/* What 'dir' holds is moved to <dir>/before-restore-*; else a folder
	 * that is not empty is refused. */
	bool aside;
	/* The caller holds the lock of 'dir': a node of this process. */
	bool is_locked;
	/* Also moves what was there, which nobody may use then; false: that is
	 * left to the next rc_node_open. */
	bool adopt;
	/* The command, appended to 'out'; NULL: none. */
	void (*command)(void *data, const struct backup_head *head,
			struct buf *out);
	/* It was applied; an error gives the restore up.  May be NULL. */
	enum code (*applied)(void *data, struct err *err);
	void *data;
};
struct rc_restored {
	uint64_t index, term;           /* where the new log begins */
};
/* E_CORRUPT: the backup; E_EXISTS: the folder is not empty; E_BUSY: a process
 * runs on it; or why not.  Blocking. */
enum code rc_restore(const struct rc_restore *how, struct rc_restored *out,
		     struct err *err) MUST_USE;

#endif
