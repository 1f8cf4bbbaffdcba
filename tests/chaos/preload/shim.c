/*
 * The disk and the wall clock of one node, for `make chaos`: preloaded into
 * confluxd, it makes calls on files below $CHAOS_DIR slow or fail, and moves
 * what the clock says, as the file $CHAOS_CONTROL tells (tests/chaos/shim.go
 * writes it; it is mapped, so a change is in force at once).  CLOCK_MONOTONIC
 * is left alone, as the kernel leaves it when somebody sets the clock.
 *
 * Nothing here waits for a lock or allocates, so it is safe wherever the libc
 * call was.  Without $CHAOS_CONTROL it does nothing.
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
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/banned.h"

/* What the driver writes; 8 bytes each, in the machine's order. */
struct control {
	_Atomic uint64_t delay_us;       /* before each write and sync */
	_Atomic uint64_t sync_errno;     /* of syncs, and of writes that are one */
	_Atomic uint64_t sync_lost;      /* 1: a write that fails was not done */
	_Atomic uint64_t full;           /* 1: what makes a file larger is ENOSPC */
	_Atomic int64_t clock_ns;        /* added to the wall clock */
	_Atomic int64_t clock_ppm;       /* and so much of what passed since */
	_Atomic uint64_t clock_since_ns; /* then, of CLOCK_MONOTONIC */
	/* What the shim writes: */
	_Atomic uint64_t delayed, failed, refused, told;
};

static struct control none;
static struct control *control = &none;
static char dir[PATH_MAX];
static size_t dir_n;

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
	const char *path = getenv("CHAOS_CONTROL");
	const char *below = getenv("CHAOS_DIR");
	void *at;
	int fd;

	if (!path || !below || !realpath(below, dir))
		return;
	dir_n = strlen(dir);
	fd = NEXT(open)(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	at = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED,
		  fd, 0);
	close(fd);
	if (at != MAP_FAILED)
		control = at;
}

/* ---- which files ---- */

static bool is_below(const char *path)
{
	return strncmp(path, dir, dir_n) == 0 && path[dir_n] == '/';
}

static bool is_ours(int fd)
{
	char link[32], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	return is_below(path);
}

static bool is_quiet(void)
{
	return !atomic_load(&control->delay_us) &&
	       !atomic_load(&control->sync_errno) &&
	       !atomic_load(&control->full);
}

static void delay(void)
{
	uint64_t us = atomic_load(&control->delay_us);
	struct timespec t = { (time_t)(us / 1000000),
			      (long)(us % 1000000) * 1000 };
	int was = errno;

	if (!us)
		return;
	atomic_fetch_add(&control->delayed, 1);
	while (nanosleep(&t, &t) && errno == EINTR)
		continue;
	errno = was;
}

/* ---- writes ---- */

/* The file would need room that is not there. */
static bool is_refused(int fd, off_t end)
{
	struct stat st;

	if (!atomic_load(&control->full) || fstat(fd, &st) ||
	    !S_ISREG(st.st_mode) || end <= st.st_size)
		return false;
	atomic_fetch_add(&control->refused, 1);
	errno = ENOSPC;
	return true;
}

/* A write through O_DSYNC is a sync as well. */
static bool fails_as_sync(int fd, int *error)
{
	int flags = fcntl(fd, F_GETFL);

	*error = (int)atomic_load(&control->sync_errno);
	return *error && flags >= 0 && flags & O_DSYNC;
}

/* 'done' is what the write answered where it was done at all. */
static ssize_t failed_write(int error)
{
	atomic_fetch_add(&control->failed, 1);
	errno = error;
	return -1;
}

#define WRITE(fd, end, call) \
	({ \
		int error_; \
		ssize_t n_; \
		if (is_quiet() || !is_ours(fd)) \
			return call; \
		delay(); \
		if (is_refused(fd, end)) \
			return -1; \
		if (!fails_as_sync(fd, &error_)) \
			return call; \
		n_ = atomic_load(&control->sync_lost) ? 0 : call; \
		(void)n_; \
		failed_write(error_); \
	})

static off_t total(const struct iovec *v, int n)
{
	off_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += (off_t)v[i].iov_len;
	return sum;
}

static off_t here(int fd)
{
	struct stat st;

	if (fcntl(fd, F_GETFL) & O_APPEND && fstat(fd, &st) == 0)
		return st.st_size;
	return lseek(fd, 0, SEEK_CUR);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	return WRITE(fd, at + (off_t)n, NEXT(pwrite)(fd, p, n, at));
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return pwrite(fd, p, n, at);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	return WRITE(fd, at + total(v, n), NEXT(pwritev)(fd, v, n, at));
}

ssize_t pwritev64(int fd, const struct iovec *v, int n, off_t at)
{
	return pwritev(fd, v, n, at);
}

ssize_t write(int fd, const void *p, size_t n)
{
	return WRITE(fd, here(fd) + (off_t)n, NEXT(write)(fd, p, n));
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	return WRITE(fd, here(fd) + total(v, n), NEXT(writev)(fd, v, n));
}

/* ---- room ---- */

int ftruncate(int fd, off_t n)
{
	if (!is_quiet() && is_ours(fd) && is_refused(fd, n))
		return -1;
	return NEXT(ftruncate)(fd, n);
}

int ftruncate64(int fd, off_t n)
{
	return ftruncate(fd, n);
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
	if (!is_quiet() && is_ours(fd) && is_refused(fd, at + n))
		return -1;
	return NEXT(fallocate)(fd, mode, at, n);
}

int fallocate64(int fd, int mode, off_t at, off_t n)
{
	return fallocate(fd, mode, at, n);
}

int posix_fallocate(int fd, off_t at, off_t n)
{
	if (!is_quiet() && is_ours(fd) && is_refused(fd, at + n))
		return ENOSPC;
	return NEXT(posix_fallocate)(fd, at, n);
}

int posix_fallocate64(int fd, off_t at, off_t n)
{
	return posix_fallocate(fd, at, n);
}

/* A new file, a new name: the folder has to grow. */
static bool has_no_room(const char *path)
{
	struct stat st;

	if (!atomic_load(&control->full) || !is_below(path) ||
	    lstat(path, &st) == 0)
		return false;
	atomic_fetch_add(&control->refused, 1);
	errno = ENOSPC;
	return true;
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (flags & O_CREAT && has_no_room(path))
		return -1;
	return NEXT(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return open(path, flags, mode);
}

/* ---- syncs ---- */

static bool sync_fails(int fd)
{
	int error;

	if (is_quiet() || !is_ours(fd))
		return false;
	delay();
	error = (int)atomic_load(&control->sync_errno);
	if (!error)
		return false;
	failed_write(error);
	return true;
}

int fsync(int fd)
{
	return sync_fails(fd) ? -1 : NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
	return sync_fails(fd) ? -1 : NEXT(fdatasync)(fd);
}

/* ---- the clock ---- */

static bool is_moved(int64_t *by_ns)
{
	int64_t ppm = atomic_load(&control->clock_ppm);
	uint64_t since = atomic_load(&control->clock_since_ns);
	struct timespec now;

	*by_ns = atomic_load(&control->clock_ns);
	if (ppm && NEXT(clock_gettime)(CLOCK_MONOTONIC, &now) == 0)
		*by_ns += ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec -
			   (int64_t)since) / 1000000 * ppm;
	return *by_ns != 0;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	int rc = NEXT(clock_gettime)(id, t);
	int64_t by, ns;

	if (rc || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE) ||
	    !is_moved(&by))
		return rc;
	atomic_fetch_add(&control->told, 1);
	ns = (int64_t)t->tv_sec * 1000000000 + t->tv_nsec + by;
	t->tv_sec = (time_t)(ns / 1000000000);
	t->tv_nsec = (long)(ns % 1000000000);
	return 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec t;

	if (clock_gettime(CLOCK_REALTIME, &t))
		return -1;
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *out)
{
	struct timespec t;

	if (clock_gettime(CLOCK_REALTIME, &t))
		return -1;
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}
