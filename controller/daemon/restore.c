/*
 * POST /_cluster/restore: a node that is alone and new takes the state of a backup
 * that lies in its backup.dir.
 *
 * The new data directory is made below the one in use and counts from one rename
 * on (raftcore/node/restore.c); then the daemon is stopped in order and started
 * again, which takes it up.  Whoever has anything to lose is refused: there the
 * command `conflux cluster restore` is for, which runs where no daemon does.
 */
#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/own.h"
#include "restore/restore.h"
#include "tbl/settings.h"

#include "base/banned.h"

#define PART "daemon"

struct restoring {
	struct work work;
	struct daemon *d;
	struct api_restore *ask;
	char *file;
	struct restore_result result;
	enum code rc;
	struct err err;
};

static enum code not_here(const char *why, struct err *err)
{
	err_set(err, E_CONFLICT, "%s", why);
	return err_hint(err, "stop confluxd and use conflux cluster restore "
			"--data-dir");
}

/* Nothing but the root token: others were handed to somebody. */
static enum code is_new(void *data, struct err *err)
{
	struct daemon *d = data;
	struct kv_txn *txn;
	struct view *view;
	bool has_some = true;
	enum code rc = view_new(d->store, &view, err);

	if (rc)
		return rc;
	rc = view_use(view, 0, &txn, err);
	if (rc == OK)
		has_some = kv_count(txn, KV_OBJECTS) > 0 ||
			   kv_count(txn, KV_TOKENS) > 1;
	view_free(&view);
	if (rc == OK && has_some)
		rc = not_here("this cluster is not new: it holds objects or tokens",
			      err);
	return rc;
}

static enum code find_file(struct daemon *d, struct str name, char **out,
			   struct err *err)
{
	const char *dir = settings_text(d->settings, SETTING_backup_dir);
	AUTO_BUF path = BUF_NONE;

	if (!dir[0]) {
		err_set(err, E_CONFLICT, "backup.dir is not set");
		return err_hint(err, "the file is to lie in that folder of the "
				"node");
	}
	if (!name.n || name.p[0] == '.' || str_find(name, '/') != SIZE_MAX ||
	    str_find(name, '\0') != SIZE_MAX)
		return err_set(err, E_INVALID, "file is a name in backup.dir, "
			       "without a slash");
	buf_printf(&path, "%s/%.*s", dir, STR_ARG(name));
	*out = buf_take(&path);
	return OK;
}

static void run(struct work *work)
{
	struct restoring *r = container_of(work, struct restoring, work);
	struct daemon *d = r->d;
	struct restore_config c = {
		.file = r->file, .dir = d->dir, .address = "",
		.node_id = d->cluster.node_id,
		.aside = true, .is_locked = true, .still = is_new,
		.seal = d->keys ? keyring_provider(d->keys) : NULL, .data = d };

	r->rc = restore_run(&c, &r->result, &r->err);
}

/* Core loop. */
static void done(struct work *work)
{
	struct restoring *r = container_of(work, struct restoring, work);
	struct daemon *d = r->d;

	if (r->rc == OK) {
		uuid_text(r->ask->cluster, r->result.cluster);
		r->ask->rev = r->result.rev;
		log_info(PART, LOG_KV(log_z("file", r->file),
				      log_z("cluster", r->ask->cluster)),
			 "restored; starting again");
		atomic_store(&d->wants_restart, true);
	} else {
		store_take_backup(d->store, false);
	}
	atomic_store(&d->is_restoring, false);
	r->ask->done(r->ask, r->rc, &r->err);
	if (r->rc == OK)
		kill(getpid(), DAEMON_SIGNAL);
	free(r->file);
	free(r);
}

static enum code check(struct daemon *d, struct restoring *r, struct str file,
		       struct err *err)
{
	enum code rc = OK;

	if (!d->cluster.is_alone)
		rc = not_here("this node is not alone (cluster.raft_listen)", err);
	if (rc == OK)
		rc = find_file(d, file, &r->file, err);
	if (rc == OK)
		rc = is_new(d, err);
	if (rc == OK && (atomic_load(&d->wants_restart) ||
			 atomic_exchange(&d->is_restoring, true)))
		return err_set(err, E_CONFLICT, "a restore is under way");
	/* Behind it nobody is told that he wrote what then is moved aside; what came
	 * before is seen by is_new, which is asked once more. */
	if (rc == OK)
		store_take_backup(d->store, true);
	return rc;
}

void daemon_restore(void *data, struct api_restore *ask)
{
	struct daemon *d = data;
	struct restoring *r = NEW(struct restoring);

	r->d = d;
	r->ask = ask;
	r->rc = check(d, r, ask->file, &r->err);
	if (r->rc == OK) {
		r->work = (struct work){ .home = store_core_loop(d->store),
					 .run = run, .done = done };
		if (pool_submit(d->git, &r->work))
			return;
		store_take_backup(d->store, false);
		atomic_store(&d->is_restoring, false);
		r->rc = err_set(&r->err, E_BUSY, "no worker for a restore");
	}
	ask->done(ask, r->rc, &r->err);
	free(r->file);
	free(r);
}

bool daemon_wants_restart(const struct daemon *d)
{
	return atomic_load(&d->wants_restart);
}
