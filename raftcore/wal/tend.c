/*
 * What is done beside the log, on another thread or in steps of its caller's: files
 * are made ready for segments to come, and those that were given up lose their names
 * and, where they are not kept, their blocks.
 *
 * Measured where a disk is told of blocks that are given back (ext4, `discard`): while
 * 64 MiB are unlinked a write beside waits for 14 ms and at times for 160, while 4 MiB
 * are taken off for 2 ms, and while a file is renamed for none.  So a segment that was
 * given up is written again where it can be, and goes in pieces where it cannot.
 *
 * Each file is in one place: gone (it has the name of a segment), spare (ready), raw
 * (on its way out), or it is the one that is being made.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "wal/own.h"

#include "base/banned.h"

#define FILL_BYTES (256u * 1024)         /* in one piece, with its own sync */
#define SHRINK_BYTES (4u << 20)
#define PAUSE_MS 2u                      /* behind a piece, for others */
#define AGAIN_MS 1000u

/* What became of its name; the folder is to be synced behind either. */
enum lost { LOST_NOTHING, LOST_NAME, LOST_FILE };

struct gone {
	uint64_t id;
	enum lost lost;
	bool is_kept;                    /* it may be */
	bool is_other;                   /* see wal_gone_others */
};

struct raw {
	char path[512];
	bool is_other;
};

enum piece { PIECE_NONE, PIECE_GIVE_UP, PIECE_FILL, PIECE_SHRINK, PIECE__COUNT };

struct tend {
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;            /* of what follows; not held while files
					    are written */
	pthread_cond_t changed;
	bool is_busy;                    /* somebody does a piece */
	bool is_woken, is_ending;
	bool is_stalled;                 /* nothing can be made ready for now */
	struct gone *gone;
	size_t n_gone, cap_gone;
	char (*spares)[512];
	size_t n_spares, cap_spares;
	struct raw *raw;
	size_t n_raw, cap_raw;
	uint64_t next_new;
	struct err troubles[PIECE__COUNT];       /* of what fails now; its code says
						    whether */
	struct err broken;               /* before is_broken is set, and for ever */
	_Atomic unsigned changes;        /* of troubles */
	_Atomic uint64_t others;
	_Atomic bool is_broken;
	/* Of who is busy. */
	struct file *file;               /* being made ready */
	char path[512];
	uint64_t at;
	char *zeros;
};

/* ---- what there is; under the lock ---- */

static void add_spare(struct tend *t, const char *path)
{
	mem_grow((void **)&t->spares, &t->cap_spares, t->n_spares + 1,
		 sizeof(*t->spares));
	snprintf(t->spares[t->n_spares++], 512, "%s", path);
}

static void add_raw(struct tend *t, const char *path, bool is_other)
{
	mem_grow((void **)&t->raw, &t->cap_raw, t->n_raw + 1, sizeof(*t->raw));
	t->raw[t->n_raw].is_other = is_other;
	snprintf(t->raw[t->n_raw++].path, 512, "%s", path);
}

/* How many spares are kept; and made. */
static size_t keep_most(const struct wal *wal, bool is_tight)
{
	unsigned max = wal->config.spares_max;

	return is_tight ? MIN(max, WAL_AHEAD) : max;
}

bool tend_is_tight(const struct wal *wal)
{
	struct fs *fs = wal->config.fs;

	return wal->config.tending != WAL_TEND_INLINE &&
	       fs->ops->room(fs, wal->dir) / WAL_PLENTY <
		       wal->config.segment_bytes;
}

/* ---- what fails; under the lock ---- */

static void say_what(enum piece piece, struct err *err)
{
	static const char *const what[] = {
		[PIECE_GIVE_UP] = "a segment of the log was not given up",
		[PIECE_FILL] = "no file was made ready for the log",
		[PIECE_SHRINK] = "blocks that the log does not need were not given "
				 "back",
	};
	enum code rc = err->code;

	err_wrap(err, "%s", what[piece]);
	if (rc == E_BUSY)
		err_hint(err, "no descriptor was left: raise the limit of open files");
	else if (rc == E_FULL)
		err_hint(err, "make room on its disk");
	else if (rc == E_DENIED)
		err_hint(err, "let this process write to the folder and its files");
	else
		err_hint(err, "look at the disk; the log goes on, and may take more "
			 "of it meanwhile");
}

/* How the last of its kind went. */
static void note(struct tend *t, enum piece piece, const struct err *err)
{
	struct err *now = &t->troubles[piece];
	enum code before = now->code;

	err_copy(now, err);
	if (now->code)
		say_what(piece, now);
	if (now->code != before)
		atomic_fetch_add(&t->changes, 1);
}

bool wal_trouble(const struct wal *wal, unsigned *seen, struct err *err)
{
	struct tend *t = wal->tend;
	unsigned changes = atomic_load(&t->changes);

	if (changes == *seen)
		return false;
	*seen = changes;
	pthread_mutex_lock(&t->lock);
	err_reset(err);
	for (unsigned i = 0; i < PIECE__COUNT && !err->code; i++)
		err_copy(err, &t->troubles[i]);
	pthread_mutex_unlock(&t->lock);
	return true;
}

/* ---- giving up ---- */

static void rename_done(struct wal *wal, const char *path, bool tight)
{
	struct tend *t = wal->tend;
	struct gone *g;
	bool is_spare;

	pthread_mutex_lock(&t->lock);
	g = &t->gone[0];
	is_spare = path && g->is_kept && t->n_spares < keep_most(wal, tight);
	/* An error of the folder leaves it out: nothing is appended any more. */
	if (is_spare)
		add_spare(t, path);
	else if (path)
		add_raw(t, path, g->is_other);
	/* What a spare holds nobody opens. */
	if (g->is_other && (is_spare || !path))
		atomic_fetch_sub(&t->others, 1);
	t->n_gone--;
	memmove(t->gone, t->gone + 1, t->n_gone * sizeof(*t->gone));
	pthread_mutex_unlock(&t->lock);
}

static enum code lose_name(struct wal *wal, struct gone *g, const char *to,
			   struct err *err)
{
	struct fs *fs = wal->config.fs;
	struct tend *t = wal->tend;
	bool is_removed = wal->config.tending == WAL_TEND_INLINE &&
			  (!g->is_kept || t->n_spares >= wal->config.spares_max);
	char from[512];
	enum code rc = failpoint_hit(FP_WAL_CUT, err);

	wal_segment_path(wal, g->id, from);
	if (rc == OK && is_removed)
		rc = fs->ops->remove(fs, from, err);
	else if (rc == OK)
		rc = fs->ops->rename(fs, from, to, err);
	if (rc)
		return rc;
	g->lost = is_removed ? LOST_FILE : LOST_NAME;
	pthread_mutex_lock(&t->lock);
	t->gone[0].lost = g->lost;
	pthread_mutex_unlock(&t->lock);
	return OK;
}

/* It may come back under its old name, and no later sync would tell. */
static enum code end_all(struct tend *t, struct err *err)
{
	pthread_mutex_lock(&t->lock);
	err_copy(&t->broken, err);
	t->broken.code = E_IO;
	pthread_mutex_unlock(&t->lock);
	atomic_store(&t->is_broken, true);
	return err->code = E_IO;
}

/*
 * The oldest that was given up loses its name, and the folder is synced before
 * the next one does, and before it is used again: after a crash the segments that are
 * left follow on each other without gap.  Where no descriptor was left for the folder
 * it was not synced, and is the next time.
 */
static enum code give_up(struct wal *wal, struct gone *g, struct err *err)
{
	struct fs *fs = wal->config.fs;
	bool tight = tend_is_tight(wal);
	char to[512];
	enum code rc = OK;

	snprintf(to, sizeof(to), "%s/%016llx.spare", wal->dir,
		 (unsigned long long)g->id);
	if (g->lost == LOST_NOTHING)
		rc = lose_name(wal, g, to, err);
	if (rc)
		return rc;
	rc = fs->ops->sync_dir(fs, wal->dir, err);
	if (rc)
		return rc == E_BUSY ? rc : end_all(wal->tend, err);
	rename_done(wal, g->lost == LOST_FILE ? NULL : to, tight);
	return OK;
}

/* ---- making ready ---- */

static void end_fill(struct wal *wal, bool is_ready)
{
	struct tend *t = wal->tend;

	wal->config.fs->ops->close(wal->config.fs, TAKE(t->file));
	free(TAKE(t->zeros));
	pthread_mutex_lock(&t->lock);
	if (is_ready) {
		add_spare(t, t->path);
		note(t, PIECE_FILL, NULL);
	} else {
		add_raw(t, t->path, false);
	}
	pthread_mutex_unlock(&t->lock);
}

static enum code begin_fill(struct wal *wal, struct err *err)
{
	struct fs *fs = wal->config.fs;
	struct tend *t = wal->tend;
	enum code rc;

	tend_name(wal, t->path);
	rc = fs->ops->open(fs, t->path, FILE_WRITE | FILE_CREATE | FILE_DIRECT,
			   &t->file, err);
	if (rc)
		return rc;
	t->at = 0;
	t->zeros = file_alloc(FILL_BYTES);
	memset(t->zeros, 0, FILL_BYTES);
	return OK;
}

static enum code fill(struct wal *wal, struct err *err)
{
	struct fs *fs = wal->config.fs;
	struct tend *t = wal->tend;
	size_t n;
	enum code rc = t->file ? OK : begin_fill(wal, err);

	if (rc == OK) {
		n = (size_t)MIN((uint64_t)FILL_BYTES,
				wal->config.segment_bytes - t->at);
		/* Each with its sync, or the last one would hold up the log. */
		rc = failpoint_hit(FP_WAL_SPARE, err);
		if (rc == OK)
			rc = fs->ops->write(fs, t->file, t->at, t->zeros, n, err);
		if (rc == OK)
			rc = fs->ops->sync(fs, t->file, err);
		t->at += n;
	}
	if (t->file && (rc || t->at == wal->config.segment_bytes))
		end_fill(wal, rc == OK);
	if (rc) {
		pthread_mutex_lock(&t->lock);
		t->is_stalled = true;
		pthread_mutex_unlock(&t->lock);
	}
	return rc;
}

/* ---- giving back ---- */

/* Of the last one on its way out. */
static enum code shrink(struct wal *wal, const struct raw *raw, struct err *err)
{
	struct fs *fs = wal->config.fs;
	struct tend *t = wal->tend;
	uint64_t left = 0;
	enum code rc = failpoint_hit(FP_WAL_SHRINK, err);

	if (rc == OK)
		rc = fs_shorten(fs, raw->path, SHRINK_BYTES, &left, err);
	if (rc == OK && left == 0)
		rc = failpoint_hit(FP_WAL_REMOVE, err);
	if (rc == OK && left == 0)
		rc = fs->ops->remove(fs, raw->path, err);
	/* Its name was not synced when the power was lost. */
	if (rc == E_NOT_FOUND)
		rc = OK;
	if (rc || left)
		return rc;
	pthread_mutex_lock(&t->lock);
	t->n_raw--;
	if (t->raw[t->n_raw].is_other)
		atomic_fetch_sub(&t->others, 1);
	pthread_mutex_unlock(&t->lock);
	return OK;
}

/* ---- one piece ---- */

/* Under the lock. */
static enum piece choose(struct wal *wal, bool only_gone, bool tight)
{
	struct tend *t = wal->tend;
	size_t most = keep_most(wal, tight);

	if (atomic_load(&t->is_broken))
		return PIECE_NONE;
	if (t->n_gone)
		return PIECE_GIVE_UP;
	if (only_gone)
		return PIECE_NONE;
	if (tight || t->n_spares >= MIN(most, WAL_AHEAD))
		note(t, PIECE_FILL, NULL);       /* none is needed */
	else if (!t->is_stalled)
		return PIECE_FILL;
	if (t->n_spares > most) {
		t->n_spares--;
		add_raw(t, t->spares[t->n_spares], false);
	}
	return t->n_raw ? PIECE_SHRINK : PIECE_NONE;
}

/* What was begun is not gone on with: others need the room, or there are enough.  Was
 * there something?  It is to be given back then. */
static bool drop_fill(struct wal *wal, enum piece piece, bool only_gone)
{
	bool is_dropped = wal->tend->file && !only_gone && piece != PIECE_FILL &&
			  piece != PIECE_GIVE_UP;

	if (is_dropped)
		end_fill(wal, false);
	return is_dropped;
}

static enum code do_piece(struct wal *wal, bool only_gone, bool *did,
			  struct err *err)
{
	struct tend *t = wal->tend;
	bool tight = tend_is_tight(wal);
	struct gone gone = { 0 };
	struct raw raw = { 0 };
	struct err own = { 0 };
	enum piece piece;
	enum code rc = OK;

	pthread_mutex_lock(&t->lock);
	while (t->is_busy)
		pthread_cond_wait(&t->changed, &t->lock);
	t->is_busy = true;
	piece = choose(wal, only_gone, tight);
	if (piece == PIECE_GIVE_UP)
		gone = t->gone[0];
	if (piece == PIECE_SHRINK)
		raw = t->raw[t->n_raw - 1];
	pthread_mutex_unlock(&t->lock);
	if (piece == PIECE_GIVE_UP)
		rc = give_up(wal, &gone, &own);
	else if (piece == PIECE_FILL)
		rc = fill(wal, &own);
	else if (piece == PIECE_SHRINK)
		rc = shrink(wal, &raw, &own);
	*did = drop_fill(wal, piece, only_gone) || piece != PIECE_NONE;
	pthread_mutex_lock(&t->lock);
	/* Who waits for it hears of it at once; a file is ready when it is whole. */
	if (rc ? !only_gone : piece != PIECE_FILL && piece != PIECE_NONE)
		note(t, piece, rc ? &own : NULL);
	t->is_busy = false;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	if (rc)
		err_copy(err, &own);
	return rc;
}

enum code wal_tend(struct wal *wal, bool *did, struct err *err)
{
	return do_piece(wal, false, did, err);
}

enum code tend_drain(struct wal *wal, struct err *err)
{
	bool did = true;
	enum code rc = OK;

	while (did && rc == OK)
		rc = do_piece(wal, true, &did, err);
	return rc ? rc : tend_broken(wal, err);
}

/* ---- the thread ---- */

/* Until it is woken, or 'ms' passed; 0: however long that takes. */
static void sleep_on(struct tend *t, unsigned ms)
{
	uint64_t ns = clock_mono_ns() + ms * 1000000ull;
	struct timespec until = { (time_t)(ns / 1000000000),
				  (long)(ns % 1000000000) };
	int rc = 0;

	while (!t->is_woken && !t->is_ending && rc != ETIMEDOUT)
		rc = ms ? pthread_cond_timedwait(&t->changed, &t->lock, &until) :
			  pthread_cond_wait(&t->changed, &t->lock);
	t->is_woken = false;
}

static void *tend_main(void *arg)
{
	struct wal *wal = arg;
	struct tend *t = wal->tend;

	pthread_setname_np(pthread_self(), "wal-tend");
	pthread_mutex_lock(&t->lock);
	while (!t->is_ending) {
		enum code rc;
		bool did;

		pthread_mutex_unlock(&t->lock);
		rc = wal_tend(wal, &did, NULL);  /* who appends asks wal_trouble */
		pthread_mutex_lock(&t->lock);
		if (rc)
			sleep_on(t, AGAIN_MS);
		else if (!did)           /* or others come to need the room */
			sleep_on(t, t->n_spares > WAL_AHEAD ? AGAIN_MS : 0);
		else if (!t->n_gone && t->n_spares)
			sleep_on(t, PAUSE_MS);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

void tend_new(struct wal *wal)
{
	struct tend *t = wal->tend = NEW(struct tend);
	pthread_condattr_t attr;

	t->next_new = 1;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &attr);
	pthread_condattr_destroy(&attr);
}

/* Signals are for others. */
enum code tend_start(struct wal *wal, struct err *err)
{
	struct tend *t = wal->tend;
	sigset_t all, before;
	int rc;

	if (wal->config.tending != WAL_TEND_THREAD)
		return OK;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&t->thread, NULL, tend_main, wal);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		return err_set(err, E_BUSY, "thread wal-tend: %s", strerror(rc));
	t->has_thread = true;
	return OK;
}

void tend_free(struct wal *wal)
{
	struct tend *t = wal->tend;

	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->is_ending = true;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	if (t->has_thread)
		pthread_join(t->thread, NULL);
	if (t->file)
		wal->config.fs->ops->close(wal->config.fs, t->file);
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->changed);
	free(t->zeros);
	free(t->gone);
	free(t->spares);
	free(t->raw);
	free(TAKE(wal->tend));
}

/* ---- for the log's thread ---- */

void tend_left(struct wal *wal, struct str name)
{
	struct tend *t = wal->tend;
	AUTO_BUF path = BUF_NONE;
	uint64_t id;

	buf_printf(&path, "%s/%.*s", wal->dir, STR_ARG(name));
	pthread_mutex_lock(&t->lock);
	if (wal_new_id(name, &id))
		t->next_new = MAX(t->next_new, id + 1);
	/* Nobody knows what it held. */
	atomic_fetch_add(&t->others, wal->key_name != NULL);
	add_raw(t, path.p, wal->key_name != NULL);
	pthread_mutex_unlock(&t->lock);
}

bool tend_take(struct wal *wal, char path[512])
{
	struct tend *t = wal->tend;
	bool is_there;

	pthread_mutex_lock(&t->lock);
	is_there = t->n_spares;
	if (is_there)
		memcpy(path, t->spares[--t->n_spares], 512);
	pthread_mutex_unlock(&t->lock);
	return is_there;
}

void tend_put_back(struct wal *wal, const char *path)
{
	struct tend *t = wal->tend;

	pthread_mutex_lock(&t->lock);
	add_spare(t, path);
	pthread_mutex_unlock(&t->lock);
}

void tend_name(struct wal *wal, char path[512])
{
	struct tend *t = wal->tend;

	pthread_mutex_lock(&t->lock);
	snprintf(path, 512, "%s/new-%016llx.spare", wal->dir,
		 (unsigned long long)t->next_new++);
	pthread_mutex_unlock(&t->lock);
}

/* What was plain must not lie behind what is sealed; and a segment is as long as its
 * header says. */
void tend_give_up(struct wal *wal, const struct segment *s)
{
	struct tend *t = wal->tend;
	const char *now = wal->key_name ? wal->key_name : "";
	bool is_other = strcmp(s->key_name, now) != 0;

	pthread_mutex_lock(&t->lock);
	mem_grow((void **)&t->gone, &t->cap_gone, t->n_gone + 1,
		 sizeof(*t->gone));
	t->gone[t->n_gone++] = (struct gone){
		.id = s->id, .is_other = is_other,
		.is_kept = s->bytes == wal->config.segment_bytes &&
			   (!wal->key_name || s->aead) };
	atomic_fetch_add(&t->others, is_other);
	pthread_mutex_unlock(&t->lock);
}

void tend_wake(struct wal *wal)
{
	struct tend *t = wal->tend;

	pthread_mutex_lock(&t->lock);
	t->is_woken = true;
	t->is_stalled = false;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

enum code tend_failed(struct wal *wal, struct err *err)
{
	struct tend *t = wal->tend;
	enum code rc = tend_broken(wal, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&t->lock);
	rc = t->troubles[PIECE_GIVE_UP].code;
	if (rc)
		err_copy(err, &t->troubles[PIECE_GIVE_UP]);
	pthread_mutex_unlock(&t->lock);
	return rc;
}

enum code tend_broken(const struct wal *wal, struct err *err)
{
	const struct tend *t = wal->tend;

	if (!atomic_load(&t->is_broken))
		return OK;
	err_set(err, E_IO, "the log failed before, as a segment was given up: %s",
		t->broken.text);
	return err_hint(err, "look at its disk, and start again: what is there "
			"then is read anew");
}

uint64_t wal_gone_others(const struct wal *wal)
{
	return atomic_load(&wal->tend->others);
}
