/*
 * What the examples share: a free port on loopback, the end on an error, a child.
 */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/mem.h>
#include <base/rand.h>
#include <base/str.h>

/* "127.0.0.1:" and a port that nobody has at the moment. */
static inline void pick_address(char out[32])
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0 &&
	     getsockname(fd, (struct sockaddr *)&a, &n) == 0);
	close(fd);
	snprintf(out, 32, "127.0.0.1:%u", ntohs(a.sin_port));
}

/* Ends the program where a call was not OK. */
static inline void check(enum code rc, const struct err *err, const char *what)
{
	if (rc == OK)
		return;
	fprintf(stderr, "%s: %s%s%s\n", what, err->text,
		err->hint[0] ? "; " : "", err->hint);
	exit(1);
}

/* As fork: a child that does not outlive this process. */
static inline pid_t fork_child(void)
{
	pid_t pid = fork();

	must(pid >= 0);
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static inline void kill_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

#endif
