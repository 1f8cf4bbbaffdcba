/*
 * The n-th call of the system fails: sockets, connections, threads, descriptors.
 * Whoever includes this, in one source of a program, has these calls of libc for all
 * of the program, its libraries among it (they find a program's symbols first); in a
 * library that is preloaded they stand before libc's (tests/preload/calls.c).  Files
 * that are open have failpoints instead (nth.h); where CALLS_OF_CLIENTS is defined
 * before, theirs fail too, and whatever else libconflux asks of the system.
 *
 *	static void run(const struct calls_fault *fault, void *data)
 *	{
 *		... what the run begins with
 *		calls_arm(fault, n);
 *		... what is tested
 *		calls_disarm();
 *	}
 *
 * Any thread; which of them makes the n-th call is chance where there are several.
 * A call that fails was not made, but for a short one.
 */
#ifndef TESTS_CALLS_H
#define TESTS_CALLS_H

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "calls_faults.h"

/* Set by a thread whose calls neither fail nor count: the other side's, say. */
static _Thread_local bool calls_spared __attribute__((unused));

static struct calls_control calls_own;
static struct calls_control *calls_at = &calls_own;

static inline void calls_arm(const struct calls_fault *fault, uint64_t n)
{
	atomic_store(&calls_at->at, 0);
	for (unsigned i = 0; i < CALLS__COUNT; i++)
		atomic_store(&calls_at->passed[i], 0);
	atomic_store(&calls_at->call, fault->call);
	atomic_store(&calls_at->error, fault->error);
	atomic_store(&calls_at->at, (int64_t)n);
}

/* How many such calls there were between calls_arm and this, the first after it;
 * fewer than its n: none failed. */
static inline uint64_t calls_disarm(void)
{
	static uint64_t passed;

	if (atomic_exchange(&calls_at->at, 0))
		passed = (uint64_t)atomic_load(
			&calls_at->passed[atomic_load(&calls_at->call)]);
	return passed;
}

/* The n that comes next: each, with FULL=1; else they get sparser. */
static inline uint64_t calls_next(uint64_t n)
{
	return n + (getenv("FULL") ? 1 : 1 + n / 2);
}

/* For each fault a run whose first such call fails, one whose second fails, ...
 * until a run makes fewer.  Answers the number of runs with a failure. */
static inline unsigned calls_sweep(const struct calls_fault *faults, size_t count,
				   void (*run)(const struct calls_fault *fault,
					       uint64_t n, void *data),
				   void *data)
{
	unsigned runs = 0;

	for (size_t i = 0; i < count; i++) {
		unsigned before = runs;

		for (uint64_t n = 1;; n = calls_next(n), runs++) {
			run(&faults[i], n, data);
			if (calls_disarm() < n)
				break;
		}
		if (getenv("FULL"))
			printf("%s: %u runs\n", faults[i].name, runs - before);
	}
	return runs;
}

/* ---- the calls ---- */

/* 0: it is made; else errno, or what stands instead. */
static int calls_fails(enum calls_call call)
{
	int64_t n = calls_spared ? -1 :
		    atomic_fetch_add(&calls_at->passed[call], 1) + 1;

	if (atomic_load(&calls_at->at) != n ||
	    atomic_load(&calls_at->call) != (int64_t)call)
		return 0;
	return (int)atomic_load(&calls_at->error);
}

static int calls_failed(int error)
{
	errno = error;
	return -1;
}

#define CALLS_REAL(name) \
	({ \
		static _Atomic(__typeof__(&name)) at_; \
		__typeof__(&name) f_ = atomic_load(&at_); \
		if (!f_) { \
			f_ = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
			atomic_store(&at_, f_); \
		} \
		f_; \
	})

/* What a file is, and its calls are: of sockets, of plain files in clients, or none. */
static mode_t calls_type(int fd)
{
	int was = errno;
	struct stat st;
	mode_t type = CALLS_REAL(fstat)(fd, &st) == 0 ? st.st_mode & S_IFMT : 0;

	errno = was;
	return type;
}

static int calls_data_fails(int fd, enum calls_call of_sockets, enum calls_call of_files)
{
	mode_t type = calls_type(fd);

	if (type == S_IFSOCK)
		return calls_fails(of_sockets);
#ifdef CALLS_OF_CLIENTS
	if (type == S_IFREG)
		return calls_fails(of_files);
#endif
	return 0;
}

#define CALLS_SIMPLE(call, made) \
	({ \
		int error_ = calls_fails(call); \
		error_ ? calls_failed(error_) : made; \
	})

int socket(int domain, int type, int protocol)
{
	return CALLS_SIMPLE(CALLS_SOCKET,
			    CALLS_REAL(socket)(domain, type, protocol));
}

int bind(int fd, const struct sockaddr *sa, socklen_t n)
{
	return CALLS_SIMPLE(CALLS_BIND, CALLS_REAL(bind)(fd, sa, n));
}

int listen(int fd, int n)
{
	return CALLS_SIMPLE(CALLS_LISTEN, CALLS_REAL(listen)(fd, n));
}

int accept4(int fd, struct sockaddr *sa, socklen_t *n, int flags)
{
	return CALLS_SIMPLE(CALLS_ACCEPT, CALLS_REAL(accept4)(fd, sa, n, flags));
}

int connect(int fd, const struct sockaddr *sa, socklen_t n)
{
	return CALLS_SIMPLE(CALLS_CONNECT, CALLS_REAL(connect)(fd, sa, n));
}

int epoll_create1(int flags)
{
	return CALLS_SIMPLE(CALLS_EPOLL, CALLS_REAL(epoll_create1)(flags));
}

int eventfd(unsigned count, int flags)
{
	return CALLS_SIMPLE(CALLS_EVENTFD, CALLS_REAL(eventfd)(count, flags));
}

int pipe2(int fds[2], int flags)
{
	return CALLS_SIMPLE(CALLS_PIPE, CALLS_REAL(pipe2)(fds, flags));
}

int epoll_pwait(int fd, struct epoll_event *events, int n, int ms,
		const sigset_t *mask)
{
	return CALLS_SIMPLE(CALLS_WAIT, CALLS_REAL(epoll_pwait)(fd, events, n, ms,
								mask));
}

int epoll_wait(int fd, struct epoll_event *events, int n, int ms)
{
	return CALLS_SIMPLE(CALLS_WAIT, CALLS_REAL(epoll_wait)(fd, events, n, ms));
}

int epoll_ctl(int fd, int op, int of, struct epoll_event *event)
{
	return CALLS_SIMPLE(CALLS_EPOLL_CTL,
			    CALLS_REAL(epoll_ctl)(fd, op, of, event));
}

int fsync(int fd)
{
	return CALLS_SIMPLE(CALLS_SYNC, CALLS_REAL(fsync)(fd));
}

int rename(const char *from, const char *to)
{
	return CALLS_SIMPLE(CALLS_RENAME, CALLS_REAL(rename)(from, to));
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
		   void *(*run)(void *), void *arg)
{
	int error = calls_fails(CALLS_THREAD);

	return error ? error : CALLS_REAL(pthread_create)(thread, attr, run, arg);
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return CALLS_SIMPLE(CALLS_OPEN, CALLS_REAL(open)(path, flags, mode));
}

/* Data: of sockets, and in clients of files. */
#define CALLS_DATA(call, file, fd, made, one) \
	({ \
		int error_ = calls_data_fails(fd, call, file); \
		ssize_t n_; \
		if (error_ == 0) \
			n_ = made; \
		else if (error_ == CALLS_SHORT) \
			n_ = one; \
		else \
			n_ = error_ == CALLS_END ? 0 : calls_failed(error_); \
		n_; \
	})

ssize_t write(int fd, const void *p, size_t n)
{
	return CALLS_DATA(CALLS_SEND, CALLS_WRITE, fd, CALLS_REAL(write)(fd, p, n),
			  CALLS_REAL(write)(fd, p, n ? 1 : 0));
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	return CALLS_DATA(CALLS_SEND, CALLS_WRITE, fd, CALLS_REAL(writev)(fd, v, n),
			  CALLS_REAL(write)(fd, v[0].iov_base, 1));
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	return CALLS_DATA(CALLS_SEND, CALLS_WRITE, fd, CALLS_REAL(sendmsg)(fd, m, flags),
			  CALLS_REAL(write)(fd, m->msg_iov[0].iov_base, 1));
}

ssize_t read(int fd, void *p, size_t n)
{
	return CALLS_DATA(CALLS_RECV, CALLS_READ, fd, CALLS_REAL(read)(fd, p, n),
			  CALLS_REAL(read)(fd, p, n ? 1 : 0));
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
	return CALLS_DATA(CALLS_SEND, CALLS_WRITE, fd, CALLS_REAL(send)(fd, p, n, flags),
			  CALLS_REAL(send)(fd, p, n ? 1 : 0, flags));
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
	return CALLS_DATA(CALLS_RECV, CALLS_READ, fd, CALLS_REAL(recv)(fd, p, n, flags),
			  CALLS_REAL(recv)(fd, p, n ? 1 : 0, flags));
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	return CALLS_DATA(CALLS_RECV, CALLS_READ, fd, CALLS_REAL(recvmsg)(fd, m, flags),
			  CALLS_REAL(recvmsg)(fd, m, flags));
}

#ifdef CALLS_OF_CLIENTS
#include "calls_clients.h"
#endif

#endif
