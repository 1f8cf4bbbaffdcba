/*
 * What a process does to files, written down: preloaded into confluxd it records
 * each write, change of a name and sync below $POWER_DIR in the file
 * $POWER_JOURNAL.  From that and the folder as it was before, tests/tools/power.py
 * builds folders as a power loss may leave them.
 *
 * A record BEGIN, with everything, is there before the call is made, a record DONE
 * with its answer after it.  Each is one write with O_APPEND, so they are whole and
 * in an order that the process itself could have seen, and SIGKILL leaves what was
 * recorded.  A call that has begun and is not done was under way.
 *
 * What is written through a shared mapping is not seen until it is synced: then msync
 * records all that it covers, as a write of that moment.  K_MAP says which files have one,
 * and power.py takes what else is in them for written and not synced.
 *
 * The boot id is what $POWER_BOOT_ID holds, where that is set: a machine that
 * comes up again has another.
 *
 * Not seen: what libc does inside itself (stdio).  power.py compares what it knows of a
 * folder with the folder, so that would be found.
 *
 * Nothing here waits for a lock or allocates.  Without $POWER_JOURNAL nothing happens.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/banned.h"

/* Numbers and layout are power.py's too. */
enum kind {
	K_DONE, K_OPEN, K_WRITE, K_SIZE, K_ROOM, K_SYNC, K_SYNC_DIR, K_RENAME,
	K_LINK, K_UNLINK, K_MKDIR, K_RMDIR, K_MAP
};

enum flag {
	F_CREATE = 1,                    /* K_OPEN */
	F_CUT = 2,                       /* K_OPEN, to nothing */
	F_DURABLE = 4,                   /* K_WRITE, O_DSYNC */
	F_ZEROS = 8,                     /* K_WRITE, the bytes are not in the record */
};

#define MAGIC 0x4c4e524au                /* "JRNL" */

struct record {
	uint32_t magic, kind;
	uint64_t id;                     /* of BEGIN and its DONE */
	uint64_t ino;
	int64_t at, n;                   /* DONE: n is the answer */
	uint32_t flags;
	uint16_t path_n, other_n;
	uint64_t data_n;                 /* follow: path, other path, data */
};

static char dir[PATH_MAX];
static size_t dir_n;
static int journal = -1;
static const char *boot_id;
static pid_t pid;
static _Atomic uint64_t ids;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
/* Asked once each; the answer is the same for whoever asks first. */
#define NEXT(name) \
	({ \
		static _Atomic(__typeof__(&name)) at_; \
		__typeof__(&name) f_ = atomic_load(&at_); \
		if (!f_) { \
			f_ = REAL(name); \
			atomic_store(&at_, f_); \
		} \
		f_; \
	})

static __attribute__((constructor)) void begin(void)
{
	const char *path = getenv("POWER_JOURNAL");
	const char *below = getenv("POWER_DIR");

	boot_id = getenv("POWER_BOOT_ID");
	if (!path || !below || !realpath(below, dir))
		return;
	dir_n = strlen(dir);
	pid = getpid();
	journal = NEXT(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
			     0600);
}

/* ---- which files ---- */

static bool is_below(const char *path)
{
	return strncmp(path, dir, dir_n) == 0 &&
	       (path[dir_n] == '/' || !path[dir_n]);
}

/* In a child that was forked nothing is recorded. */
static bool is_on(void)
{
	return journal >= 0 && getpid() == pid;
}

/* The path of a descriptor below the folder. */
static bool is_ours(int fd, char path[PATH_MAX], struct stat *st)
{
	int was = errno;
	char link[32];
	ssize_t n;
	bool is;

	if (!is_on())
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX - 1);
	path[n > 0 ? n : 0] = '\0';
	is = n > 0 && is_below(path) && fstat(fd, st) == 0 &&
	     (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode));
	errno = was;
	return is;
}

/* Paths are absolute in the daemon: its data directory is given so. */
static bool is_path_ours(const char *path)
{
	return is_on() && is_below(path);
}

/* ---- records ---- */

static bool is_zeros(const struct iovec *v, int n)
{
	for (int i = 0; i < n; i++) {
		const char *p = v[i].iov_base;

		if (v[i].iov_len && (p[0] || memcmp(p, p + 1, v[i].iov_len - 1)))
			return false;
	}
	return true;
}

static size_t total(const struct iovec *v, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += v[i].iov_len;
	return sum;
}

/* A record that is not whole would make all behind it worthless. */
static void put(struct record *r, const char *path, const char *other,
		const struct iovec *v, int n)
{
	struct iovec all[IOV_MAX];
	size_t want;
	int was = errno, k = 0;

	r->magic = MAGIC;
	r->path_n = (uint16_t)(path ? strlen(path) : 0);
	r->other_n = (uint16_t)(other ? strlen(other) : 0);
	all[k++] = (struct iovec){ r, sizeof(*r) };
	all[k++] = (struct iovec){ (void *)(uintptr_t)path, r->path_n };
	all[k++] = (struct iovec){ (void *)(uintptr_t)other, r->other_n };
	if (n + k > IOV_MAX)
		abort();
	for (int i = 0; i < n; i++)
		all[k++] = v[i];
	r->data_n = total(v, n);
	want = sizeof(*r) + r->path_n + r->other_n + r->data_n;
	if (NEXT(writev)(journal, all, k) != (ssize_t)want)
		abort();
	errno = was;
}

static uint64_t next_id(void)
{
	/* Several lives of a folder may be in one journal. */
	return (uint64_t)pid << 40 | (atomic_fetch_add(&ids, 1) + 1);
}

static void done(uint64_t id, int64_t answer, uint64_t ino)
{
	struct record r = { .kind = K_DONE, .id = id, .n = answer, .ino = ino };

	put(&r, NULL, NULL, NULL, 0);
}

/* ---- writes ---- */

static uint64_t begin_write(int fd, const struct iovec *v, int n, int64_t at,
			    const struct stat *st)
{
	struct record r = { .kind = K_WRITE, .id = next_id(), .ino = st->st_ino,
			    .at = at, .n = (int64_t)total(v, n) };
	int flags = fcntl(fd, F_GETFL);

	if (at < 0)
		r.at = flags & O_APPEND ? st->st_size : lseek(fd, 0, SEEK_CUR);
	if (flags & O_DSYNC)
		r.flags |= F_DURABLE;
	if (is_zeros(v, n)) {
		r.flags |= F_ZEROS;
		n = 0;
	}
	put(&r, NULL, NULL, v, n);
	return r.id;
}

#define WRITE(fd, v, n, at, call) \
	({ \
		char path_[PATH_MAX]; \
		struct stat st_; \
		uint64_t id_; \
		ssize_t rc_; \
		if (!is_ours(fd, path_, &st_)) \
			return call; \
		id_ = begin_write(fd, v, n, at, &st_); \
		rc_ = call; \
		done(id_, rc_, 0); \
		rc_; \
	})

#define ONE(p, n) (&(struct iovec){ (void *)(uintptr_t)(p), n })

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	return WRITE(fd, ONE(p, n), 1, at, NEXT(pwrite)(fd, p, n, at));
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return pwrite(fd, p, n, at);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	return WRITE(fd, v, n, at, NEXT(pwritev)(fd, v, n, at));
}

ssize_t pwritev64(int fd, const struct iovec *v, int n, off_t at)
{
	return pwritev(fd, v, n, at);
}

ssize_t write(int fd, const void *p, size_t n)
{
	return WRITE(fd, ONE(p, n), 1, -1, NEXT(write)(fd, p, n));
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	return WRITE(fd, v, n, -1, NEXT(writev)(fd, v, n));
}

/* ---- lengths and room ---- */

static int sized(enum kind kind, int fd, off_t at, off_t n,
		 int (*call)(int fd, off_t at, off_t n))
{
	char path[PATH_MAX];
	struct stat st;
	struct record r = { .kind = kind, .at = at, .n = n };
	int rc;

	if (!is_ours(fd, path, &st))
		return call(fd, at, n);
	r.id = next_id();
	r.ino = st.st_ino;
	put(&r, NULL, NULL, NULL, 0);
	rc = call(fd, at, n);
	done(r.id, rc, 0);
	return rc;
}

static int real_ftruncate(int fd, off_t at, off_t n)
{
	return NEXT(ftruncate)(fd, n);
}

int ftruncate(int fd, off_t n)
{
	return sized(K_SIZE, fd, 0, n, real_ftruncate);
}

int ftruncate64(int fd, off_t n)
{
	return ftruncate(fd, n);
}

static int real_fallocate(int fd, off_t at, off_t n)
{
	return NEXT(fallocate)(fd, 0, at, n);
}

/* Only what makes room; anything else is not used, and not understood.  Blocks behind a
 * file's end change nothing of what is in it. */
int fallocate(int fd, int mode, off_t at, off_t n)
{
	char path[PATH_MAX];
	struct stat st;

	if (mode && mode != FALLOC_FL_KEEP_SIZE && is_ours(fd, path, &st))
		abort();
	return mode ? NEXT(fallocate)(fd, mode, at, n) :
		      sized(K_ROOM, fd, at, n, real_fallocate);
}

int fallocate64(int fd, int mode, off_t at, off_t n)
{
	return fallocate(fd, mode, at, n);
}

static int real_posix_fallocate(int fd, off_t at, off_t n)
{
	return NEXT(posix_fallocate)(fd, at, n);
}

int posix_fallocate(int fd, off_t at, off_t n)
{
	return sized(K_ROOM, fd, at, n, real_posix_fallocate);
}

int posix_fallocate64(int fd, off_t at, off_t n)
{
	return posix_fallocate(fd, at, n);
}

/* ---- syncs ---- */

static int synced(int fd, int (*call)(int fd))
{
	char path[PATH_MAX];
	struct stat st;
	struct record r = { .kind = K_SYNC };
	int rc;

	if (!is_ours(fd, path, &st))
		return call(fd);
	if (S_ISDIR(st.st_mode))
		r.kind = K_SYNC_DIR;
	r.id = next_id();
	r.ino = st.st_ino;
	put(&r, path, NULL, NULL, 0);
	rc = call(fd);
	done(r.id, rc, 0);
	return rc;
}

static int real_fsync(int fd)
{
	return NEXT(fsync)(fd);
}

int fsync(int fd)
{
	return synced(fd, real_fsync);
}

static int real_fdatasync(int fd)
{
	return NEXT(fdatasync)(fd);
}

int fdatasync(int fd)
{
	return synced(fd, real_fdatasync);
}

/* ---- mappings ---- */

/* Those that are shared and can be written; by one thread at a time each. */
static struct map {
	_Atomic(char *) p;
	size_t n;
	ino_t ino;
	char path[PATH_MAX];
} maps[64];

static struct map *map_at(const char *p)
{
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		if (maps[i].p && p >= maps[i].p && p < maps[i].p + maps[i].n)
			return &maps[i];
	return NULL;
}

static struct map *free_map(void)
{
	static char taken;

	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++) {
		char *none = NULL;

		if (atomic_compare_exchange_strong(&maps[i].p, &none, &taken)) {
			maps[i].n = 0;
			return &maps[i];
		}
	}
	abort();
}

void *mmap(void *at, size_t n, int rights, int flags, int fd, off_t from)
{
	char path[PATH_MAX];
	struct stat st;
	struct record r = { .kind = K_MAP };
	struct map *m;
	void *p;

	/* In the place of a part of one that is known: of the same file. */
	if (!(flags & MAP_SHARED) || !(rights & PROT_WRITE) || flags & MAP_FIXED ||
	    fd < 0 || !is_ours(fd, path, &st))
		return NEXT(mmap)(at, n, rights, flags, fd, from);
	if (from)
		abort();
	r.id = next_id();
	r.ino = st.st_ino;
	put(&r, path, NULL, NULL, 0);
	p = NEXT(mmap)(at, n, rights, flags, fd, from);
	if (p != MAP_FAILED) {
		m = free_map();
		m->n = n;
		m->ino = st.st_ino;
		memcpy(m->path, path, sizeof(path));
		m->p = p;
	}
	done(r.id, p == MAP_FAILED ? -1 : 0, 0);
	return p;
}

void *mmap64(void *at, size_t n, int rights, int flags, int fd, off_t from)
{
	return mmap(at, n, rights, flags, fd, from);
}

int munmap(void *p, size_t n)
{
	struct map *m = journal >= 0 ? map_at(p) : NULL;

	if (m && m->p == p)
		m->p = NULL;
	return NEXT(munmap)(p, n);
}

static void put_content(const struct map *m, size_t n)
{
	for (size_t at = 0; at < n; at += 1 << 20) {
		size_t part = n - at < 1 << 20 ? n - at : 1 << 20;
		struct iovec v = { m->p + at, part };
		bool zeros = is_zeros(&v, 1);
		struct record r = {
			.kind = K_WRITE, .id = next_id(), .ino = m->ino,
			.at = (int64_t)at, .n = (int64_t)part,
			.flags = zeros ? F_ZEROS : 0,
		};

		put(&r, NULL, NULL, &v, zeros ? 0 : 1);
		done(r.id, (int64_t)part, 0);
	}
}

/* What is synced is in the file then, whatever the kernel wrote of it before.  It may
 * reach behind the file's end, where nothing can be read. */
int msync(void *p, size_t n, int flags)
{
	const struct map *m = is_on() ? map_at(p) : NULL;
	struct record r = { .kind = K_SYNC };
	struct stat st;
	int rc;

	if (!m || !(flags & MS_SYNC))
		return NEXT(msync)(p, n, flags);
	if (m->p != p || stat(m->path, &st))
		abort();
	put_content(m, (size_t)st.st_size < n ? (size_t)st.st_size : n);
	r.id = next_id();
	r.ino = m->ino;
	put(&r, m->path, NULL, NULL, 0);
	rc = NEXT(msync)(p, n, flags);
	done(r.id, rc, 0);
	return rc;
}

/* ---- names ---- */

static int opened(const char *path, int flags, mode_t mode)
{
	struct record r = { .kind = K_OPEN };
	struct stat st;
	int fd;

	if (boot_id && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
		return NEXT(open)(boot_id, flags, mode);
	if (!is_path_ours(path) || !(flags & (O_CREAT | O_TRUNC)))
		return NEXT(open)(path, flags, mode);
	r.id = next_id();
	r.flags = (flags & O_CREAT ? F_CREATE : 0u) |
		  (flags & O_TRUNC ? F_CUT : 0u);
	put(&r, path, NULL, NULL, 0);
	fd = NEXT(open)(path, flags, mode);
	done(r.id, fd < 0 ? -1 : 0, fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0);
	return fd;
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return opened(path, flags, mode);
}

/* What the fortified headers make of an open without a mode. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);

int __open_2(const char *path, int flags)
{
	return opened(path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
	return opened(path, flags, 0);
}

#define NAMES(kind_, path, other, call) \
	({ \
		struct record r_ = { .kind = kind_ }; \
		const char *other_ = other; \
		struct stat st_; \
		int rc_; \
		if (!is_path_ours(path) && !(other_ && is_path_ours(other_))) \
			return call; \
		r_.id = next_id(); \
		put(&r_, path, other_, NULL, 0); \
		rc_ = call; \
		done(r_.id, rc_, rc_ == 0 && kind_ == K_MKDIR && \
			     lstat(path, &st_) == 0 ? st_.st_ino : 0); \
		rc_; \
	})

int rename(const char *from, const char *to)
{
	return NAMES(K_RENAME, from, to, NEXT(rename)(from, to));
}

int link(const char *from, const char *to)
{
	return NAMES(K_LINK, from, to, NEXT(link)(from, to));
}

int unlink(const char *path)
{
	return NAMES(K_UNLINK, path, NULL, NEXT(unlink)(path));
}

int unlinkat(int fd, const char *name, int flags)
{
	char path[PATH_MAX];
	struct stat st;

	/* Nobody removes so below the folder. */
	if (is_path_ours(name) || is_ours(fd, path, &st))
		abort();
	return NEXT(unlinkat)(fd, name, flags);
}

int remove(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? rmdir(path) :
							      unlink(path);
}

int mkdir(const char *path, mode_t mode)
{
	return NAMES(K_MKDIR, path, NULL, NEXT(mkdir)(path, mode));
}

int rmdir(const char *path)
{
	return NAMES(K_RMDIR, path, NULL, NEXT(rmdir)(path));
}
