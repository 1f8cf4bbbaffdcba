/*
 * A disk that gets full, under libraries that write files by themselves (LMDB).
 * Whoever includes this, in one source of a program, has fallocate, pwrite and writev of
 * libc for all of the program, its libraries among it (they find a program's symbols first).
 * As on a real disk what overwrites needs no room, and a write for which there is not
 * all the room is short; the next one fails.
 *
 * Any thread, but one that changes what is set while another writes.
 */
#ifndef TESTS_SMALL_DISK_H
#define TESTS_SMALL_DISK_H

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Bytes by which files may grow; less than 0: there is no bound. */
static int64_t small_disk_room = -1;
/* Each write fails with this; 0: none does. */
static int small_disk_error;
/* But fallocate does not. */
static bool small_disk_reserves;
/* So many calls of fallocate are interrupted first. */
static unsigned small_disk_interrupts;

#define SMALL_DISK_REAL(call) ((__typeof__(&(call)))dlsym(RTLD_NEXT, #call))

/* How many of 'n' bytes at 'at' are written; less than 0: none, errno says why. */
static inline ssize_t small_disk_take(int fd, off_t at, size_t n)
{
	struct stat st;
	int64_t more;

	if (small_disk_error) {
		errno = small_disk_error;
		return -1;
	}
	if (small_disk_room < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return (ssize_t)n;
	more = at + (off_t)n - (st.st_size > at ? st.st_size : at);
	if (more <= small_disk_room) {
		small_disk_room -= more > 0 ? more : 0;
		return (ssize_t)n;
	}
	n -= (size_t)(more - small_disk_room);
	small_disk_room = 0;
	if (n)
		return (ssize_t)n;
	errno = ENOSPC;
	return -1;
}

/* What behind a file's end has blocks before it grows. */
int fallocate(int fd, int mode, off_t at, off_t n)
{
	if (small_disk_interrupts || (small_disk_error && !small_disk_reserves)) {
		errno = small_disk_interrupts ? EINTR : small_disk_error;
		small_disk_interrupts -= small_disk_interrupts > 0;
		return -1;
	}
	if (small_disk_room >= 0 && n > small_disk_room) {
		errno = ENOSPC;
		return -1;
	}
	small_disk_room -= small_disk_room < 0 ? 0 : n;
	return SMALL_DISK_REAL(fallocate)(fd, mode, at, n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	ssize_t k = small_disk_take(fd, at, n);

	return k < 0 ? k : SMALL_DISK_REAL(pwrite)(fd, p, (size_t)k, at);
}

/* As it is written: at the file's own place. */
ssize_t writev(int fd, const struct iovec *v, int n)
{
	size_t bytes = 0;
	ssize_t k, done = 0;

	for (int i = 0; i < n; i++)
		bytes += v[i].iov_len;
	k = small_disk_take(fd, lseek(fd, 0, SEEK_CUR), bytes);
	if (k < 0 || (size_t)k == bytes)
		return k < 0 ? k : SMALL_DISK_REAL(writev)(fd, v, n);
	for (int i = 0; i < n && done < k; i++) {
		size_t left = (size_t)(k - done);
		size_t want = v[i].iov_len < left ? v[i].iov_len : left;
		ssize_t w = write(fd, v[i].iov_base, want);

		if (w < 0)
			return w;
		done += w;
	}
	return done;
}

#endif
