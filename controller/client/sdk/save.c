/*
 * The file of the snapshot.  It is written by a thread for the purpose, because a
 * disk may take its time: beside the old one, synced, and then in its place, so
 * that there is a whole one at any time.
 *
 * Who dies on the way leaves a file beside it; the next client of the snapshot removes
 * it.  One that is still being written is locked.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "client/sdk/own.h"

#include "base/banned.h"

#define RETRY_MS 10000
#define SUFFIX_N 13                  /* ".0123abcd.new" */

#ifdef CONFLUX_FAILPOINTS
/* The library stands without base: where a program has failpoints they count. */
#pragma weak failpoint_hit
#endif

struct save {
	heap heap;
	pthread_t thread;
	atomic_bool is_done;
	int wake;
	bool is_first;                   /* of this client */
	struct bytes bytes;
	char *path, *beside;
	struct cfx_error error;
};

/* ---- reading ---- */

/* Whoever could have written it could choose our configuration. */
static enum cfx_code check_owner(const char *path, struct cfx_error *error)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return cfx_fail(error, errno == ENOENT ? CFX_E_NOT_FOUND : CFX_E_IO,
				"the snapshot %s: %s", path,
				strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode) || (st.st_mode & (S_IWGRP | S_IWOTH)) ||
	    (st.st_uid != geteuid() && st.st_uid != 0))
		return cfx_fail(error, CFX_E_CORRUPT, "the snapshot %s is refused: "
				"it is not this user's alone to write", path);
	return CFX_OK;
}

enum cfx_code snapshot_load(struct cfx *cfx, struct cfx_error *error)
{
	const char *path = cfx->o.snapshot_file;
	struct bytes all = { 0 };
	enum cfx_code rc = check_owner(path, error);

	if (rc)
		return rc;
	/* It may be of a start with more names. */
	rc = sdk_read_file(&cfx->heap, path,
			   CONFIGS_MAX * (cfx->o.content_max + 4096) + 4096,
			   &all, error);
	if (rc)
		return rc;
	rc = snapshot_decode(cfx, bytes_view(&all), error);
	heap_wipe(&cfx->heap, all.p, all.cap);
	return rc;
}

/* ---- writing ---- */

static enum cfx_code failed(struct save *s, const char *what)
{
	return cfx_fail(&s->error, CFX_E_IO, "the snapshot %s: %s: %s", s->path,
			what, strerrordesc_np(errno));
}

static bool write_all(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0)
			s = sdk_from(s, (size_t)n);
	}
	return true;
}

/* Where a test has a step fail, errno says of what. */
static bool passes(enum failpoint fp)
{
	struct err err;
	enum code rc = OK;

#ifdef CONFLUX_FAILPOINTS
	if (!failpoint_hit)
		return true;
#endif
	rc = failpoint_hit(fp, &err);
	if (rc)
		errno = rc == E_FULL ? ENOSPC : EIO;
	return rc == OK;
}

/* Opens the folder of a file; '*name' is the file's name in it.  -1: errno. */
static int open_folder(const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	size_t n = !slash ? 1 : slash == path ? 1 : (size_t)(slash - path);
	char folder[4096];

	*name = slash ? slash + 1 : path;
	if (n >= sizeof(folder)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(folder, slash ? path : ".", n);
	folder[n] = '\0';
	return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool sync_folder(const char *path)
{
	const char *name;
	int fd = open_folder(path, &name);
	bool good = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return good;
}

/* ---- what others left ---- */

static bool is_left(const char *name, struct str of)
{
	struct str s = str_of(name), rest = sdk_from(s, of.n);
	uint8_t number[4];

	return s.n == of.n + SUFFIX_N && sdk_starts(s, of) && rest.p[0] == '.' &&
	       sdk_unhex(str_n(rest.p + 1, 8), number, sizeof(number)) &&
	       strcmp(rest.p + 9, ".new") == 0;
}

/* Whoever writes it holds its lock. */
static void remove_left(int folder, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0)
		unlinkat(folder, name, 0);
	close(fd);
}

/* What cannot be looked at stays: it does no harm. */
static void sweep(const char *path)
{
	const char *name;
	int fd = open_folder(path, &name);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (is_left(entry->d_name, str_of(name)))
			remove_left(dirfd(dir), entry->d_name);
	closedir(dir);
}

/* ---- the thread ---- */

static enum cfx_code fill(struct save *s, int fd)
{
	/* Without a lock another client may take it for left: it is written again. */
	(void)!flock(fd, LOCK_EX | LOCK_NB);
	if (!write_all(fd, bytes_view(&s->bytes)))
		return failed(s, "write");
	if (!passes(FP_SNAPSHOT_SYNC) || fsync(fd) < 0)
		return failed(s, "sync");
	return CFX_OK;
}

/* Its lock goes with the descriptor, so the name is given before that. */
static enum cfx_code replace(struct save *s)
{
	int fd = passes(FP_SNAPSHOT_WRITE) ?
			 open(s->beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) :
			 -1;
	enum cfx_code rc;

	if (fd < 0)
		return failed(s, "a file beside it");
	rc = fill(s, fd);
	if (rc == CFX_OK && (!passes(FP_SNAPSHOT_RENAME) ||
			     rename(s->beside, s->path) < 0))
		rc = failed(s, "rename");
	if (rc)
		unlink(s->beside);
	if (close(fd) < 0 && rc == CFX_OK)
		rc = failed(s, "close");
	return rc;
}

static void *run(void *data)
{
	struct save *s = data;

	if (s->is_first)
		sweep(s->path);
	if (replace(s) == CFX_OK &&
	    (!passes(FP_SNAPSHOT_RENAMED) || !sync_folder(s->path)))
		failed(s, "sync of the folder");
	atomic_store(&s->is_done, true);
	sdk_wake(s->wake);
	return NULL;
}

static void save_free(struct save *s)
{
	heap heap = s->heap;

	heap_wipe(&heap, s->bytes.p, s->bytes.n);
	heap_release(&heap, s->path);
	heap_release(&heap, s->beside);
	heap_release(&heap, s);
}

static struct save *save_new(struct cfx *cfx, struct cfx_error *error)
{
	const heap *h = &cfx->heap;
	struct save *s = HEAP_NEW(h, struct save);
	struct bytes beside = { 0 };

	if (!s) {
		cfx_no_memory(error);
		return NULL;
	}
	s->heap = cfx->heap;
	s->wake = cfx->net.wake;
	s->is_first = !cfx->has_saved;
	s->path = heap_text(h, str_of(cfx->o.snapshot_file));
	if (!bytes_printf(h, &beside, "%s.%08x.new", cfx->o.snapshot_file,
			  (unsigned)sdk_random()))
		bytes_fini(h, &beside);
	s->beside = beside.p;            /* bytes_printf ends it with a NUL */
	if (s->path && s->beside && snapshot_encode(cfx, &s->bytes, error))
		return s;
	save_free(s);
	cfx_no_memory(error);
	return NULL;
}

static void begin(struct cfx *cfx, int64_t now)
{
	struct cfx_error error = { 0 };
	struct save *s = save_new(cfx, &error);
	int no = s ? sdk_thread(run, s, &s->thread) : 0;

	if (s && no) {
		cfx_fail(&error, CFX_E_IO, "the snapshot: a thread: %s",
			 strerrordesc_np(no));
		save_free(TAKE(s));
	}
	cfx->save = s;
	cfx->has_saved |= s != NULL;
	cfx->save_due = !s;
	if (s)
		return;
	cfx->save_ms = now + RETRY_MS;
	cfx_trouble(cfx, &error);
}

static void end(struct cfx *cfx, int64_t now)
{
	struct save *s = TAKE(cfx->save);

	pthread_join(s->thread, NULL);
	if (s->error.code) {
		cfx_trouble(cfx, &s->error);
		cfx->save_due = true;
		cfx->save_ms = now + RETRY_MS;
	}
	save_free(s);
}

void save_step(struct cfx *cfx, int64_t now)
{
	if (!cfx->may_save)
		return;
	if (cfx->save && atomic_load(&cfx->save->is_done))
		end(cfx, now);
	if (cfx->save_due && !cfx->save && now >= cfx->save_ms)
		begin(cfx, now);
}

void save_fini(struct cfx *cfx)
{
	if (cfx->save)
		end(cfx, 0);
}
