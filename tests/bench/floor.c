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
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

#include "base/banned.h"

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" \
	     "Transfer-Encoding: chunked\r\n\r\nd\r\n: watching\n\n\r\n"
#define DONE "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define MOST 20000
#define TURN 512
/* Of HTTP/2 (RFC 9113): the client's first bytes, frames and their flags. */
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define FRAME_HEAD 9u
#define WATCHING ": watching\n\n"
enum { DATA = 0, HEADERS = 1, SETTINGS = 4 };
#define ACK 1u
#define END_HEADERS 4u
#define MOST_STREAMS "\x00\x03\x00\x0f\x42\x40"
#define STATUS_200 "\x88"

/* A socket; of one of HTTP/1.1 only 'fd'. */
struct peer {
	int fd;
	bool is_h2;
	struct buf in, out;
	struct buf streams;              /* uint32_t each */
};

static struct {
	char event[4096];
	size_t n_event;
	char *version;                   /* one digit in it */
	struct peer *watchers[MOST];
	unsigned n;
} serving;

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* All of it: the client reads all its sockets all the time. */
static void send_all(int fd, struct str bytes)
{
	struct pollfd writable = { .fd = fd, .events = POLLOUT };

	while (bytes.n) {
		ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);

		if (n < 0 && (errno != EAGAIN || poll(&writable, 1, -1) < 0))
			die("send");
		bytes = str_from(bytes, n > 0 ? (size_t)n : 0);
	}
}

static void put_frame(struct buf *out, unsigned type, unsigned flags, uint32_t stream,
		      struct str bytes)
{
	const unsigned char head[FRAME_HEAD] = {
		(unsigned char)(bytes.n >> 16), (unsigned char)(bytes.n >> 8),
		(unsigned char)bytes.n, (unsigned char)type, (unsigned char)flags,
		(unsigned char)(stream >> 24), (unsigned char)(stream >> 16),
		(unsigned char)(stream >> 8), (unsigned char)stream,
	};

	buf_add(out, (const char *)head, sizeof(head));
	buf_str(out, bytes);
}

static void tell(struct peer *p)
{
	struct str event = str_n(serving.event, serving.n_event);

	if (!p->is_h2) {
		send_all(p->fd, event);
		return;
	}
	buf_reset(&p->out);
	for (size_t at = 0; at < p->streams.n; at += sizeof(uint32_t)) {
		uint32_t stream;

		memcpy(&stream, p->streams.p + at, sizeof(stream));
		put_frame(&p->out, DATA, 0, stream, event);
	}
	send_all(p->fd, buf_view(&p->out));
}

static void tell_all(void)
{
	++*serving.version;
	for (unsigned i = 0; i < serving.n; i++)
		tell(serving.watchers[i]);
}

static void on_frame(struct peer *p, unsigned type, unsigned flags, uint32_t stream)
{
	if (type == SETTINGS && !(flags & ACK)) {
		put_frame(&p->out, SETTINGS, ACK, 0, STR_NONE);
	} else if (type == HEADERS) {
		buf_add(&p->streams, (const char *)&stream, sizeof(stream));
		put_frame(&p->out, HEADERS, END_HEADERS, stream, STR(STATUS_200));
		put_frame(&p->out, DATA, 0, stream, STR(WATCHING));
	}
}

static void on_frames(struct peer *p)
{
	const unsigned char *f;
	size_t n;

	buf_reset(&p->out);
	for (; p->in.n >= FRAME_HEAD; buf_drop(&p->in, n)) {
		f = (const unsigned char *)p->in.p;
		n = FRAME_HEAD + ((size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2]);
		if (p->in.n < n)
			break;
		on_frame(p, f[3], f[4], (uint32_t)f[5] << 24 | (uint32_t)f[6] << 16 |
					     (uint32_t)f[7] << 8 | f[8]);
	}
	send_all(p->fd, buf_view(&p->out));
}

static void begin_h2(struct peer *p)
{
	p->is_h2 = true;
	serving.watchers[serving.n++] = p;
	buf_drop(&p->in, strlen(PREFACE));
	buf_reset(&p->out);
	put_frame(&p->out, SETTINGS, 0, 0, STR(MOST_STREAMS));
	send_all(p->fd, buf_view(&p->out));
	on_frames(p);
}

static void on_request(struct peer *p)
{
	if (p->in.n >= strlen(PREFACE) && memcmp(p->in.p, PREFACE, strlen(PREFACE)) == 0) {
		begin_h2(p);
		return;
	}
	if (p->in.p[0] == 'G') {
		serving.watchers[serving.n++] = p;
		send_all(p->fd, STR(HEAD));
	} else {
		tell_all();
		send_all(p->fd, STR(DONE));
	}
	buf_reset(&p->in);
}

static void on_bytes(struct peer *p)
{
	char bytes[16 * 1024];
	ssize_t n = recv(p->fd, bytes, sizeof(bytes), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close(p->fd);
		return;
	}
	buf_add(&p->in, bytes, (size_t)n);
	if (p->is_h2)
		on_frames(p);
	else
		on_request(p);
}

static void take_connections(int listener, int epoll)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct peer *p = NEW(struct peer);
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = p };

		p->fd = fd;
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
	listener = listening();
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
	for (;;) {
		int n = epoll_wait(epoll, events, TURN, -1);

		for (int i = 0; i < n; i++) {
			if (!events[i].data.ptr)
				take_connections(listener, epoll);
			else
				on_bytes(events[i].data.ptr);
		}
	}
}
