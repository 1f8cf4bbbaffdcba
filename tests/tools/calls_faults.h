/*
 * Which calls of the system fail and how, for calls.h.
 */
#ifndef TESTS_CALLS_FAULTS_H
#define TESTS_CALLS_FAULTS_H

#include <errno.h>

/* Numbers are tests/tools/calls.py's too. */
enum calls_call {
	CALLS_SOCKET, CALLS_BIND, CALLS_LISTEN, CALLS_ACCEPT, CALLS_CONNECT,
	CALLS_SEND, CALLS_RECV, CALLS_EPOLL, CALLS_EVENTFD, CALLS_PIPE,
	CALLS_THREAD, CALLS_OPEN, CALLS_WAIT, CALLS_EPOLL_CTL, CALLS_SYNC,
	CALLS_RENAME,
	/* Where CALLS_OF_CLIENTS is defined before calls.h is included. */
	CALLS_RANDOM, CALLS_FCNTL, CALLS_SETSOCKOPT, CALLS_GETSOCKOPT,
	CALLS_PEERNAME, CALLS_OPENAT, CALLS_FLOCK, CALLS_STAT, CALLS_UNLINK,
	CALLS_DIR, CALLS_READ, CALLS_WRITE, CALLS_MUTEX, CALLS_LOCALE,
	CALLS__COUNT
};

/* Instead of an error: one byte of what was asked for; the end of the stream. */
#define CALLS_SHORT (-1)
#define CALLS_END (-2)

struct calls_fault {
	enum calls_call call;
	int error;
	const char *name;
};

#define CALLS_FAULT(call, error) { CALLS_##call, error, #call " " #error }

/* What connections meet. */
static const struct calls_fault calls_of_streams[] __attribute__((unused)) = {
	CALLS_FAULT(SEND, ECONNRESET), CALLS_FAULT(SEND, EPIPE),
	CALLS_FAULT(SEND, ETIMEDOUT), CALLS_FAULT(SEND, EAGAIN),
	CALLS_FAULT(SEND, EINTR), CALLS_FAULT(SEND, ENOBUFS),
	CALLS_FAULT(SEND, CALLS_SHORT),
	CALLS_FAULT(RECV, ECONNRESET), CALLS_FAULT(RECV, ETIMEDOUT),
	CALLS_FAULT(RECV, EAGAIN), CALLS_FAULT(RECV, EINTR),
	CALLS_FAULT(RECV, CALLS_SHORT), CALLS_FAULT(RECV, CALLS_END),
	CALLS_FAULT(WAIT, EINTR),
};
/* And what the making of connections meets. */
static const struct calls_fault calls_of_making[] __attribute__((unused)) = {
	CALLS_FAULT(SOCKET, EMFILE), CALLS_FAULT(SOCKET, ENOBUFS),
	CALLS_FAULT(ACCEPT, ECONNABORTED), CALLS_FAULT(ACCEPT, EMFILE),
	CALLS_FAULT(ACCEPT, EINTR), CALLS_FAULT(ACCEPT, EAGAIN),
	CALLS_FAULT(ACCEPT, EPERM), CALLS_FAULT(CONNECT, ECONNREFUSED),
	CALLS_FAULT(CONNECT, ENETUNREACH), CALLS_FAULT(CONNECT, EADDRNOTAVAIL),
	CALLS_FAULT(CONNECT, EINTR),
};
/* What a start meets on a machine that has no more of something. */
static const struct calls_fault calls_of_starts[] __attribute__((unused)) = {
	CALLS_FAULT(BIND, EADDRINUSE), CALLS_FAULT(LISTEN, EADDRINUSE),
	CALLS_FAULT(SOCKET, EMFILE), CALLS_FAULT(EPOLL, EMFILE),
	CALLS_FAULT(EVENTFD, EMFILE), CALLS_FAULT(PIPE, EMFILE),
	CALLS_FAULT(THREAD, EAGAIN), CALLS_FAULT(OPEN, EMFILE),
	CALLS_FAULT(OPEN, ENFILE),
};

/* Shared with whoever maps it: tests/tools/calls.py has the layout. */
struct calls_control {
	_Atomic int64_t call, error, at;        /* at 0: none */
	_Atomic int64_t passed[CALLS__COUNT];   /* since it was armed */
};

/* What a client meets that keeps something in a file. */
static const struct calls_fault calls_of_clients[] __attribute__((unused)) = {
	CALLS_FAULT(EPOLL_CTL, ENOMEM), CALLS_FAULT(EPOLL_CTL, ENOSPC),
	CALLS_FAULT(SYNC, EIO), CALLS_FAULT(SYNC, ENOSPC),
	CALLS_FAULT(RENAME, EACCES), CALLS_FAULT(OPEN, EACCES),
};
/* And what else libconflux asks of the system (CALLS_OF_CLIENTS). */
static const struct calls_fault calls_of_libconflux[] __attribute__((unused)) = {
	CALLS_FAULT(RANDOM, ENOSYS), CALLS_FAULT(FCNTL, EINVAL),
	CALLS_FAULT(SETSOCKOPT, ENOPROTOOPT), CALLS_FAULT(SETSOCKOPT, ENOBUFS),
	CALLS_FAULT(GETSOCKOPT, ENOBUFS), CALLS_FAULT(PEERNAME, ENOTCONN),
	CALLS_FAULT(OPENAT, EMFILE), CALLS_FAULT(OPENAT, EACCES),
	CALLS_FAULT(FLOCK, ENOLCK), CALLS_FAULT(FLOCK, EWOULDBLOCK),
	CALLS_FAULT(FLOCK, EINTR), CALLS_FAULT(STAT, EACCES),
	CALLS_FAULT(STAT, EIO), CALLS_FAULT(UNLINK, EACCES),
	CALLS_FAULT(UNLINK, EROFS), CALLS_FAULT(DIR, ENOMEM),
	CALLS_FAULT(READ, EIO), CALLS_FAULT(READ, EINTR),
	CALLS_FAULT(READ, CALLS_SHORT), CALLS_FAULT(READ, CALLS_END),
	CALLS_FAULT(WRITE, ENOSPC), CALLS_FAULT(WRITE, EIO),
	CALLS_FAULT(WRITE, EINTR), CALLS_FAULT(WRITE, CALLS_SHORT),
	CALLS_FAULT(MUTEX, ENOMEM), CALLS_FAULT(LOCALE, ENOMEM),
};

#endif
