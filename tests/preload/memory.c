/*
 * The n-th allocation of a process fails, whoever asks for it: libc, OpenSSL, us.
 * Preloaded; MEMORY_FAILS=n, from 1.  The number of allocations is written to the file
 * MEMORY_COUNT at the end, so that a sweep knows when it is through.
 *
 * Those of the dynamic linker before main are not counted.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/banned.h"

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static atomic_long passed, fails_at;

static __attribute__((constructor)) void begin(void)
{
	const char *at = getenv("MEMORY_FAILS");

	atomic_store(&passed, 0);
	atomic_store(&fails_at, at ? atol(at) : 0);
}

static __attribute__((destructor)) void end(void)
{
	const char *path = getenv("MEMORY_COUNT");
	char text[32];
	int fd, n = snprintf(text, sizeof(text), "%ld\n", atomic_load(&passed));

	fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
	if (fd < 0)
		return;
	if (write(fd, text, (size_t)n) != n)
		_exit(99);
	close(fd);
}

static bool fails(void)
{
	long at = atomic_load(&fails_at);

	if (at == 0 || atomic_fetch_add(&passed, 1) + 1 != at)
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return fails() ? NULL : __libc_realloc(p, n);
}
