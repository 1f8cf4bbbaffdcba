/*
 * What libconflux asks of the system beside what daemons do: the end of calls.h, where
 * CALLS_OF_CLIENTS is defined.
 */
#ifndef TESTS_CALLS_CLIENTS_H
#define TESTS_CALLS_CLIENTS_H

#include "calls.h"

ssize_t getrandom(void *p, size_t n, unsigned flags)
{
	return CALLS_SIMPLE(CALLS_RANDOM, CALLS_REAL(getrandom)(p, n, flags));
}

/* libconflux's: the third argument is a number, a pointer, or not there. */
int fcntl(int fd, int command, ...)
{
	va_list args;
	void *arg;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	return CALLS_SIMPLE(CALLS_FCNTL, CALLS_REAL(fcntl)(fd, command, arg));
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t n)
{
	return CALLS_SIMPLE(CALLS_SETSOCKOPT,
			    CALLS_REAL(setsockopt)(fd, level, name, value, n));
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *n)
{
	return CALLS_SIMPLE(CALLS_GETSOCKOPT,
			    CALLS_REAL(getsockopt)(fd, level, name, value, n));
}

int getpeername(int fd, struct sockaddr *sa, socklen_t *n)
{
	return CALLS_SIMPLE(CALLS_PEERNAME, CALLS_REAL(getpeername)(fd, sa, n));
}

int openat(int at, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return CALLS_SIMPLE(CALLS_OPENAT, CALLS_REAL(openat)(at, path, flags, mode));
}

int flock(int fd, int how)
{
	return CALLS_SIMPLE(CALLS_FLOCK, CALLS_REAL(flock)(fd, how));
}

int stat(const char *path, struct stat *st)
{
	return CALLS_SIMPLE(CALLS_STAT, CALLS_REAL(stat)(path, st));
}

int fstat(int fd, struct stat *st)
{
	return CALLS_SIMPLE(CALLS_STAT, CALLS_REAL(fstat)(fd, st));
}

int unlink(const char *path)
{
	return CALLS_SIMPLE(CALLS_UNLINK, CALLS_REAL(unlink)(path));
}

int unlinkat(int at, const char *path, int flags)
{
	return CALLS_SIMPLE(CALLS_UNLINK, CALLS_REAL(unlinkat)(at, path, flags));
}

DIR *fdopendir(int fd)
{
	int error = calls_fails(CALLS_DIR);

	errno = error ? error : errno;
	return error ? NULL : CALLS_REAL(fdopendir)(fd);
}

int pthread_mutex_init(pthread_mutex_t *lock, const pthread_mutexattr_t *attr)
{
	int error = calls_fails(CALLS_MUTEX);

	return error ? error : CALLS_REAL(pthread_mutex_init)(lock, attr);
}

int pthread_mutexattr_init(pthread_mutexattr_t *attr)
{
	int error = calls_fails(CALLS_MUTEXATTR);

	return error ? error : CALLS_REAL(pthread_mutexattr_init)(attr);
}

/* The descriptor is gone all the same, as it is with Linux. */
int close(int fd)
{
	int error = calls_fails(CALLS_CLOSE);
	int rc = CALLS_REAL(close)(fd);

	return error ? calls_failed(error) : rc;
}

int shutdown(int fd, int how)
{
	return CALLS_SIMPLE(CALLS_SHUTDOWN, CALLS_REAL(shutdown)(fd, how));
}

int gethostname(char *name, size_t n)
{
	return CALLS_SIMPLE(CALLS_HOSTNAME, CALLS_REAL(gethostname)(name, n));
}

/* Its errors are EAI_*, and errno with EAI_SYSTEM. */
int getaddrinfo(const char *name, const char *port, const struct addrinfo *hints,
		struct addrinfo **out)
{
	int error = calls_fails(CALLS_LOOKUP);

	errno = error == EAI_SYSTEM ? EMFILE : errno;
	return error ? error : CALLS_REAL(getaddrinfo)(name, port, hints, out);
}

struct dirent *readdir(DIR *dir)
{
	int error = calls_fails(CALLS_READDIR);

	errno = error ? error : errno;
	return error ? NULL : CALLS_REAL(readdir)(dir);
}

locale_t newlocale(int categories, const char *name, locale_t base)
{
	int error = calls_fails(CALLS_LOCALE);

	errno = error ? error : errno;
	return error ? NULL : CALLS_REAL(newlocale)(categories, name, base);
}

#endif
