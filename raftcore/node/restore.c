/*
 * From a backup to the data directory of a new cluster of one.  Blocking; no
 * node runs on the directory.
 *
 *	<dir>/restoring/	being made; removed by whoever comes next
 *	<dir>/restored/		whole, and what counts from its rename on
 *	<dir>/adopting/		the same, when what was in <dir> is aside and its
 *				files move up
 *	<dir>/before-restore-*	what was in <dir>
 *
 * Until restoring/ is renamed <dir> is as it was; from then on it is the new
 * one, though its files may still have to be moved: the start of a node and the
 * next restore go on with that (restore_adopt).  Each step is a rename that is
 * durable before the next one, so a crash leaves the one or the other.  All of it
 * is below <dir>, which may be a mount point.
 */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#include "backup/backup.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "node/checkpoint.h"
#include "node/engine.h"
#include "node/identity.h"
#include "node/own.h"
#include "node/restore.h"
#include "raftcore/restore.h"
#include "wal/vote.h"

#include "base/banned.h"

#define READ_BYTES (256u * 1024)
#define ASIDE "before-restore-"
#define ULL(x) ((unsigned long long)(x))

/* ---- names ---- */

static void join(struct buf *out, const char *dir, const char *name)
{
	buf_reset(out);
	buf_printf(out, "%s/%s", dir, name);
}

static bool is_there(const char *dir, const char *name)
{
	AUTO_BUF path = BUF_NONE;

	join(&path, dir, name);
	return access(path.p, F_OK) == 0;
}

/* Of a file system, of the lock, and ours: not what a node keeps. */
static bool is_apart(struct str name)
{
	static const char *const names[] = { "lock", "lost+found", "restoring",
					     "restored", "adopting" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(name, str_of(names[i])))
			return true;
	return str_starts(name, STR(ASIDE));
}

static enum code holds_a_node(const char *dir, bool *out, struct err *err)
{
	AUTO_BUF names = BUF_NONE;
	enum code rc = fs_real()->ops->list(fs_real(), dir, &names, err);

	*out = false;
	for (struct str rest = buf_view(&names); rest.n;)
		*out |= !is_apart(str_cut(&rest, '\0'));
	return rc;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *at)
{
	(void)st;
	(void)at;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

static enum code remove_tree(const char *path, struct err *err)
{
	if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
		return err_sys(err, errno, "remove %s", path);
	return OK;
}

/* One folder's entry becomes another's; both are synced by the caller. */
static enum code move(const char *from, const char *to, struct str name,
		      struct err *err)
{
	AUTO_BUF a = BUF_NONE;
	AUTO_BUF b = BUF_NONE;

	buf_printf(&a, "%s/%.*s", from, STR_ARG(name));
	buf_printf(&b, "%s/%.*s", to, STR_ARG(name));
	return fs_real()->ops->rename(fs_real(), a.p, b.p, err);
}

static enum code sync_both(const char *a, const char *b, struct err *err)
{
	struct fs *fs = fs_real();
	enum code rc = fs->ops->sync_dir(fs, a, err);

	return rc ? rc : fs->ops->sync_dir(fs, b, err);
}

/* ---- adopting ---- */

/* The same name however often it is asked for: that of the new cluster. */
static enum code aside_path(const char *dir, struct buf *out, struct err *err)
{
	AUTO_BUF restored = BUF_NONE;
	struct identity id;
	char text[37];
	enum code rc;

	join(&restored, dir, "restored");
	rc = identity_read(fs_real(), restored.p, &id, err);
	if (rc)
		return rc;
	uuid_text(text, id.cluster);
	buf_reset(out);
	buf_printf(out, "%s/" ASIDE "%.8s", dir, text);
	return OK;
}

static enum code move_aside(const char *dir, struct err *err)
{
	AUTO_BUF names = BUF_NONE;
	AUTO_BUF aside = BUF_NONE;
	enum code rc = aside_path(dir, &aside, err);
	bool any = false;

	if (rc == OK)
		rc = fs_real()->ops->list(fs_real(), dir, &names, err);
	for (struct str rest = buf_view(&names); rest.n && rc == OK;) {
		struct str name = str_cut(&rest, '\0');

		if (is_apart(name))
			continue;
		if (!any)
			rc = fs_real()->ops->make_dir(fs_real(), aside.p, err);
		any = true;
		if (rc == OK)
			rc = failpoint_hit(FP_RESTORE_ASIDE, err);
		if (rc == OK)
			rc = move(dir, aside.p, name, err);
	}
	return rc || !any ? rc : sync_both(aside.p, dir, err);
}

static enum code move_up(const char *dir, struct err *err)
{
	AUTO_BUF names = BUF_NONE;
	AUTO_BUF from = BUF_NONE;
	enum code rc;

	join(&from, dir, "adopting");
	rc = fs_real()->ops->list(fs_real(), from.p, &names, err);
	for (struct str rest = buf_view(&names); rest.n && rc == OK;) {
		struct str name = str_cut(&rest, '\0');

		rc = failpoint_hit(FP_RESTORE_ADOPT, err);
		if (rc == OK)
			rc = move(from.p, dir, name, err);
	}
	if (rc == OK)
		rc = sync_both(from.p, dir, err);
	if (rc == OK && rmdir(from.p))
		rc = err_sys(err, errno, "remove %s", from.p);
	return rc ? rc : fs_real()->ops->sync_dir(fs_real(), dir, err);
}

static enum code rename_in(const char *dir, const char *from, const char *to,
			   struct err *err)
{
	AUTO_BUF a = BUF_NONE;
	AUTO_BUF b = BUF_NONE;
	enum code rc;

	join(&a, dir, from);
	join(&b, dir, to);
	rc = fs_real()->ops->rename(fs_real(), a.p, b.p, err);
	return rc ? rc : fs_real()->ops->sync_dir(fs_real(), dir, err);
}

enum code restore_adopt(const char *dir, struct err *err)
{
	enum code rc = OK;

	if (is_there(dir, "restored")) {
		rc = move_aside(dir, err);
		if (rc == OK)
			rc = rename_in(dir, "restored", "adopting", err);
	}
	if (rc == OK && is_there(dir, "adopting"))
		rc = move_up(dir, err);
	return rc ? err_wrap(err, "taking up what was restored") : OK;
}

/* ---- reading ---- */

/* Every byte of the source through a reader. */
static enum code read_all(const struct rc_source *source, backup_take *take,
			  void *data, struct backup_reader **out,
			  struct err *err)
{
	struct backup_reader *r = backup_reader_new(take, data);
	char *bytes = mem_alloc(READ_BYTES);
	enum code rc = source->rewind(source->data, err);
	size_t got = 1;

	while (rc == OK && got) {
		rc = source->read(source->data, bytes, READ_BYTES, &got, err);
		if (rc == OK && got)
			rc = backup_feed(r, str_n(bytes, got), err);
	}
	if (rc == OK)
		rc = backup_finish(r, err);
	free(bytes);
	*out = r;
	return rc;
}

enum code rc_backup_check(const struct rc_source *source,
			  void (*is)(void *data, const struct backup_head *head),
			  void *data, struct err *err)
{
	struct backup_reader *r;
	enum code rc = read_all(source, NULL, NULL, &r, err);

	if (rc == OK && is)
		is(data, backup_reader_head(r));
	backup_reader_free(&r);
	return rc;
}

/* ---- making it ---- */

struct making {
	const struct rc_restore *how;
	char *dir;                       /* restoring/ */
	struct seal_files *files;        /* of its checkpoints */
	struct checkpoint c;             /* of the new cluster */
	struct backup_reader *reader;    /* has the head */
	struct buf picture;              /* path of the backup's */
	restore_open *open;              /* instead of a backup; or NULL */
	void *open_data;
};

static enum code put(void *data, struct str bytes, struct err *err)
{
	return checkpoint_put(data, bytes.p, bytes.n, err);
}

/* The backup's picture as a checkpoint of its own, as machines take one. */
static enum code write_picture(struct making *m, struct err *err)
{
	struct checkpoint_writer *w = NULL;
	struct checkpoint c = { 0 };
	AUTO_BUF dir = BUF_NONE;
	const struct backup_head *h;
	enum code rc;

	join(&dir, m->dir, "from");
	rc = checkpoint_begin(seal_files_fs(m->files), dir.p, NULL, NULL, &w, err);
	if (rc)
		return rc;
	rc = read_all(&m->how->source, put, w, &m->reader, err);
	if (rc == OK) {
		h = backup_reader_head(m->reader);
		c.cluster = h->cluster;
		c.index = h->index;
		c.term = h->term;
		rc = checkpoint_end(w, &c, err);
		checkpoint_path(dir.p, &c, ".ckpt", &m->picture);
	}
	checkpoint_writer_free(&w);
	checkpoint_fini(&c);
	return rc;
}

/* The state of the backup with the command behind it. */
static enum code apply_command(struct making *m, struct rc_applied *at,
			       struct err *err)
{
	const struct rc_restore *how = m->how;
	const struct rc_machine *machine = &how->machine;
	AUTO_BUF bytes = BUF_NONE;
	struct rc_entry e;
	enum code rc = OK;

	if (how->command)
		how->command(how->data, m->reader ?
			     backup_reader_head(m->reader) : NULL, &bytes);
	e = (struct rc_entry){ .index = ++at->index, .term = at->term,
			       .is_command = bytes.n > 0,
			       .data = buf_view(&bytes) };
	rc = rc_machine_apply(machine, &e, 1, err);
	if (rc == OK && how->applied)
		rc = how->applied(how->data, err);
	return rc;
}

static enum code write_checkpoint(struct making *m, const struct rc_applied *at,
				  struct err *err)
{
	const struct rc_machine *machine = &m->how->machine;
	struct engine_peer self = { m->how->node_id, m->how->address, true };
	struct checkpoint_writer *w = NULL;
	struct rc_frozen *frozen;
	struct rc_applied is_at;
	AUTO_BUF dir = BUF_NONE;
	enum code rc = machine->freeze(machine->data, &frozen, &is_at, err);

	if (rc)
		return rc;
	join(&dir, m->dir, "checkpoints");
	m->c.cluster = m->how->cluster;
	m->c.index = m->c.conf_index = at->index;
	m->c.term = at->term;
	engine_bootstrap(&m->c.conf, &self, 1);
	rc = checkpoint_begin(seal_files_fs(m->files), dir.p, NULL, NULL, &w, err);
	if (rc == OK)
		rc = machine->write(machine->data, frozen, checkpoint_put, w,
				    err);
	if (rc == OK)
		rc = checkpoint_end(w, &m->c, err);
	machine->thaw(machine->data, frozen);
	checkpoint_writer_free(&w);
	return rc;
}

/* In 'dir'; where it is not OK the machine is closed. */
static enum code open_backup(struct making *m, const char *dir,
			     struct rc_applied *at, struct err *err)
{
	const struct rc_machine *machine = &m->how->machine;
	const struct backup_head *h = backup_reader_head(m->reader);
	struct rc_checkpoint from = { seal_files_fs(m->files), m->picture.p,
				      h->index };
	enum code rc = machine->open(machine->data, dir, &from, at, err);

	if (rc)
		return rc;
	at->term = MAX(at->term, h->term);
	if (at->index >= h->index)
		return OK;
	machine->close(machine->data);
	return err_set(err, E_CORRUPT, "the state of the backup stands at %llu, "
		       "and its head says %llu", ULL(at->index), ULL(h->index));
}

static enum code make_state(struct making *m, struct err *err)
{
	const struct rc_machine *machine = &m->how->machine;
	struct rc_applied at;
	AUTO_BUF state = BUF_NONE;
	enum code rc;

	join(&state, m->dir, "state");
	rc = m->open ? m->open(m->open_data, machine, state.p, &at, err) :
		       open_backup(m, state.p, &at, err);
	if (rc)
		return rc;
	rc = apply_command(m, &at, err);
	if (rc == OK)
		rc = write_checkpoint(m, &at, err);
	machine->close(machine->data);
	return rc;
}

/* What makes a data directory of it.  The log begins behind the checkpoint, as
 * behind one that another node sent. */
static enum code make_files(struct making *m, struct err *err)
{
	struct fs *fs = fs_real();
	struct vote vote = { .term = m->c.term };
	struct mark mark = { .done_index = m->c.index };
	struct identity id;
	AUTO_BUF from = BUF_NONE;
	enum code rc = vote_write(fs, m->dir, &vote, err);

	if (rc == OK)
		rc = mark_write(fs, m->dir, &mark, err);
	if (rc == OK)
		rc = identity_open(fs, m->dir, m->how->node_id,
				   &m->how->cluster, false, &id, err);
	join(&from, m->dir, "from");
	if (rc == OK)
		rc = remove_tree(from.p, err);
	return rc ? rc : fs->ops->sync_dir(fs, m->dir, err);
}

static enum code make(struct making *m, struct err *err)
{
	enum code rc = remove_tree(m->dir, err);

	if (rc == OK)
		rc = failpoint_hit(FP_RESTORE_BEGIN, err);
	if (rc == OK)
		rc = fs_real()->ops->make_dir(fs_real(), m->dir, err);
	if (rc == OK && !m->open)
		rc = write_picture(m, err);
	if (rc == OK)
		rc = failpoint_hit(FP_RESTORE_PICTURE, err);
	if (rc == OK)
		rc = make_state(m, err);
	if (rc == OK)
		rc = make_files(m, err);
	return rc;
}

/* ---- all of it ---- */

static enum code check_dir(const struct rc_restore *how, struct err *err)
{
	bool holds;
	enum code rc = OK;

	if (how->adopt)
		rc = restore_adopt(how->dir, err);
	else if (is_there(how->dir, "restored"))
		rc = err_set(err, E_EXISTS, "%s was restored already; the next "
			     "start takes it up", how->dir);
	if (rc == OK)
		rc = holds_a_node(how->dir, &holds, err);
	if (rc || !holds || how->aside)
		return rc;
	err_set(err, E_EXISTS, "%s is not empty", how->dir);
	return err_hint(err, "name a new folder, or say that what is there is to "
			     "be moved aside");
}

enum code restore_make(const struct rc_restore *how, restore_open *open, void *data,
		       struct rc_restored *out, struct err *err)
{
	struct making m = { .how = how, .open = open, .open_data = data };
	AUTO_BUF path = BUF_NONE;
	enum code rc;

	join(&path, how->dir, "restoring");
	m.dir = buf_take(&path);
	m.files = checkpoint_files_new(fs_real(), how->seal, how->cluster);
	rc = make(&m, err);
	if (rc == OK)
		rc = failpoint_hit(FP_RESTORE_COMMIT, err);
	if (rc == OK)
		rc = rename_in(how->dir, "restoring", "restored", err);
	else
		(void)!remove_tree(m.dir, NULL);
	out->index = m.c.index;
	out->term = m.c.term;
	if (rc == OK)
		rc = failpoint_hit(FP_RESTORE_COMMITTED, err);
	if (rc == OK && how->adopt)
		rc = restore_adopt(how->dir, err);
	checkpoint_fini(&m.c);
	backup_reader_free(&m.reader);
	buf_fini(&m.picture);
	seal_files_free(&m.files);
	free(m.dir);
	return rc;
}

enum code rc_restore(const struct rc_restore *how, struct rc_restored *out,
		     struct err *err)
{
	int lock = -1;
	enum code rc = rc_backup_check(&how->source, NULL, NULL, err);

	*out = (struct rc_restored){ 0 };
	if (rc == OK)
		rc = fs_real()->ops->make_dir(fs_real(), how->dir, err);
	if (rc == OK && !how->is_locked)
		rc = dir_lock(how->dir, &lock, err);
	if (rc == OK)
		rc = check_dir(how, err);
	if (rc == OK)
		rc = restore_make(how, NULL, NULL, out, err);
	if (lock >= 0)
		close(lock);
	return rc;
}
