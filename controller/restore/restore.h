/*
 * Backups in files, and data directories made of them, where no node runs
 * (docs/backup.md).  Blocking; any thread, one thread an object.
 */
#ifndef RESTORE_RESTORE_H
#define RESTORE_RESTORE_H

#include "backup/backup.h"
#include "raftcore/recover.h"
#include "raftcore/restore.h"
#include "seal/stream.h"

/* What backups are sealed as: none opens as anything else. */
#define BACKUP_CONTEXT STR("conflux backup")

/* ---- reading ---- */

/*
 * One file, plain or sealed.  'key' is a file with the private half that it was
 * sealed to; NULL: there is none, and a sealed one is E_DENIED when it is read.
 */
struct backup_file;
enum code backup_file_open(const char *path, const char *key,
			   struct backup_file **out, struct err *err) MUST_USE;
void backup_file_close(struct backup_file **f);
bool backup_file_is_sealed(const struct backup_file *f);
struct rc_source backup_file_source(struct backup_file *f);

/* What a backup says of itself; verified whole. */
struct backup_facts {
	struct uuid cluster;
	uint64_t node, index, term, time_ms, bytes;
	uint64_t rev;                    /* is in it for certain; 0: not said */
	char version[32];                /* of Conflux, that made it */
	size_t n_members;
	bool is_sealed;
};
enum code backup_verify(struct backup_file *f, struct backup_facts *out,
			struct err *err) MUST_USE;
/* The application's part of a head: lines `name value`. */
void backup_about(struct buf *out, const char *version, uint64_t rev);

/* ---- restoring ---- */

struct seal_provider;
struct restore_config {
	const char *file, *key;          /* as of backup_file_open */
	const char *dir;                 /* the data directory */
	uint64_t node_id;
	const char *address;             /* that others reach it at; "": none */
	bool aside;                      /* what 'dir' holds is moved aside */
	uint64_t map_bytes;              /* of the store while it is made */
	const struct seal_provider *seal;        /* as of rc_restore */
	/* As of rc_restore: for a node that runs on 'dir'. */
	bool is_locked;
	/* Asked once more before anything counts; NULL: nobody is. */
	enum code (*still)(void *data, struct err *err);
	void *data;
};
struct restore_result {
	struct backup_facts of;
	struct uuid cluster;             /* the new one */
	uint64_t rev;                    /* the first that counts */
};
/* As rc_restore; E_DENIED: it is sealed, and not to this key. */
enum code restore_run(const struct restore_config *config,
		      struct restore_result *out, struct err *err) MUST_USE;

/* ---- a cluster without majority ---- */

struct recover_config {
	const char *dir;                 /* the survivor's data directory */
	bool accepts_loss;               /* as of rc_recover */
	const char *address;             /* that others reach it at; "": none */
	const char *who;                 /* for the audit record */
	uint64_t map_bytes;              /* of the store while it is made */
	const struct seal_provider *seal;        /* as of rc_recover */
};
struct recover_result {
	struct rc_survey was;
	struct uuid cluster;             /* the new one */
	uint64_t rev;                    /* the first that counts */
};
/* As rc_recover, with the state of Conflux: the revision moves on by 2^32, and an
 * audit record says what was done. */
enum code recover_run(const struct recover_config *config,
		      struct recover_result *out, struct err *err) MUST_USE;

#endif
