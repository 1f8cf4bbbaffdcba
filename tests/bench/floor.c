/*
 * The least that telling many costs: an epoll loop that writes the same bytes to
 * each socket and does nothing else.
 *
 *	floor FILE
 *
 * Listens on a port of its own on loopback and says `listening PORT`.  A GET is
 * answered with the head of a stream of server sent events; at a POST it writes
 * FILE (the bytes of an event as they went over the wire) to all of them, one
 * after another in the order in which they came, and then answers it.  The digits
 * of the version in it are counted up, so that a watcher takes them for news.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/banned.h"

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" \
	     "Transfer-Encoding: chunked\r\n\r\nd\r\n: watching\n\n\r\n"
#define DONE "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define MOST 20000
#define TURN 512

static struct {
	char event[4096];
	size_t n_event;
	char *version;                   /* one digit in it */
	int watchers[MOST];
	unsigned n;
} serving;

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void tell_all(void)
{
	++*serving.version;
	for (unsigned i = 0; i < serving.n; i++)
		if (send(serving.watchers[i], serving.event, serving.n_event,
			 MSG_NOSIGNAL) != (ssize_t)serving.n_event)
			die("send");
}

static void on_bytes(int fd)
{
	char request[4096];
	ssize_t n = recv(fd, request, sizeof(request), 0);

	if (n <= 0) {
		close(fd);
		return;
	}
	if (request[0] == 'G') {
		serving.watchers[serving.n++] = fd;
		if (send(fd, HEAD, strlen(HEAD), MSG_NOSIGNAL) < 0)
			die("send");
	} else {
		tell_all();
		if (send(fd, DONE, strlen(DONE), MSG_NOSIGNAL) < 0)
			die("send");
	}
}

static void take_connections(int listener, int epoll)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
			die("epoll_ctl");
	}
}

static int listening(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, n) || listen(fd, 4096) ||
	    getsockname(fd, (struct sockaddr *)&at, &n))
		die("listen");
	printf("listening %u\n", ntohs(at.sin_port));
	fflush(stdout);
	return fd;
}

int main(int argc, char **argv)
{
	struct epoll_event events[TURN], e = { .events = EPOLLIN };
	FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;
	int listener, epoll = epoll_create1(EPOLL_CLOEXEC);

	if (!f)
		die("floor FILE");
	serving.n_event = fread(serving.event, 1, sizeof(serving.event) - 1, f);
	serving.version = strstr(serving.event, "\"version\":");
	if (!serving.version)
		die("the event has no version");
	serving.version += strlen("\"version\":");
	*serving.version = '1';
	e.data.fd = listener = listening();
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
	for (;;) {
		int n = epoll_wait(epoll, events, TURN, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				take_connections(listener, epoll);
			else
				on_bytes(events[i].data.fd);
		}
	}
}
