/* Requests always under way: see load.h. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

#define WARM_NS 500000000ull
#define READ_BYTES (256u * 1024)
#define EVENTS 256

struct load load;

static uint32_t *samples;                /* microseconds */
static size_t n_samples, cap_samples;
static uint64_t last_ns, stall_ns;       /* the last answer; the longest time without one */
static char in[READ_BYTES];
static int polled;                       /* epoll's descriptor */

void load_die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", load.program);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* Told of an edge: what comes is read until less than asked for is there, and the
 * socket's room is waited for only where a send found none. */
static void watch(struct connection *c)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET,
				     .data.ptr = c };

	if (epoll_ctl(polled, EPOLL_CTL_ADD, c->fd, &event))
		load_die("epoll_ctl: %s", strerror(errno));
}

static struct connection *dial(const char *address)
{
	static struct connection room[CONNECTIONS_MAX], *next = room;
	struct connection *c = next++;
	struct sockaddr_in to = { .sin_family = AF_INET };
	const char *colon = strrchr(address, ':');
	char host[64] = { 0 };
	int on = 1;

	must(colon && (size_t)(colon - address) < sizeof(host));
	memcpy(host, address, (size_t)(colon - address));
	must(inet_pton(AF_INET, host, &to.sin_addr) == 1);
	to.sin_port = htons((uint16_t)atoi(colon + 1));
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)))
		load_die("%s: %s", address, strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	watch(c);
	return c;
}

void load_open(const char *program, const char *address, unsigned connections,
	       unsigned in_flight, double seconds)
{
	load.program = program;
	if (!connections || connections > CONNECTIONS_MAX ||
	    in_flight < connections || seconds <= 0)
		load_die("one to %u connections, in flight as many or more, and "
			 "some time", CONNECTIONS_MAX);
	polled = epoll_create1(EPOLL_CLOEXEC);
	if (polled < 0)
		load_die("epoll_create1: %s", strerror(errno));
	load.n = connections;
	load.in_flight = in_flight;
	for (unsigned i = 0; i < load.n; i++)
		load.connections[i] = dial(address);
	load.count_from = clock_mono_ns() + WARM_NS;
	load.end = load.count_from + (uint64_t)(seconds * 1e9);
}

/* How much of it went. */
static size_t send_some(struct connection *c, const char *p, size_t n)
{
	ssize_t sent = send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN)
		load_die("send: %s", strerror(errno));
	return sent < 0 ? 0 : (size_t)sent;
}

void load_flush(struct connection *c)
{
	while (c->sent < c->out.n) {
		size_t n = send_some(c, c->out.p + c->sent, c->out.n - c->sent);

		if (n == 0)
			return;
		c->sent += n;
	}
	buf_reset(&c->out);
	c->sent = 0;
}

void load_send(struct connection *c, const char *p, size_t n)
{
	size_t sent = c->out.n ? 0 : send_some(c, p, n);

	if (sent < n)
		buf_add(&c->out, p + sent, n - sent);
}

void load_note(uint64_t from, uint64_t now)
{
	if (++load.answered == load.limit && now < load.end)
		load.end = now;
	if (now < load.count_from || now > load.end)
		return;
	stall_ns = MAX(stall_ns, now - MAX(last_ns, load.count_from));
	last_ns = now;
	if (from < load.count_from)
		return;
	mem_grow((void **)&samples, &cap_samples, n_samples + 1, sizeof(*samples));
	samples[n_samples++] = (uint32_t)((now - from) / 1000);
}

static void take_all(struct connection *c,
		     void (*take)(struct connection *c, const char *p, size_t n,
				  uint64_t now))
{
	ssize_t n;

	do {
		n = recv(c->fd, in, sizeof(in), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			load_die("the server hung up");
		if (n > 0)
			take(c, in, (size_t)n, clock_mono_ns());
	} while (n == sizeof(in));
}

/* Of many connections the next is seldom near; so that the client waits for memory as
 * little as it can. */
static void bring_near(const struct epoll_event *events, int i, int n)
{
	if (i + 2 < n)
		__builtin_prefetch(events[i + 2].data.ptr);
	if (i + 1 < n)
		__builtin_prefetch(
			((const struct connection *)events[i + 1].data.ptr)->data, 1);
}

void load_run(void (*take)(struct connection *c, const char *p, size_t n,
			   uint64_t now))
{
	struct epoll_event events[EVENTS];

	while (clock_mono_ns() < load.end) {
		int n = epoll_wait(polled, events, EVENTS, 10000);

		if (n <= 0)
			load_die("no answer for 10 seconds");
		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;

			bring_near(events, i, n);
			if (events[i].events & ~(uint32_t)EPOLLOUT)
				take_all(c, take);
			if (c->out.n)
				load_flush(c);
		}
	}
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

void load_print(void)
{
	double seconds =
		(double)(load.end - MIN(load.count_from, load.end - 1)) / 1e9;
	size_t n = n_samples;

	if (n == 0)
		load_die("nothing was answered");
	qsort(samples, n, sizeof(*samples), by_number);
	stall_ns = MAX(stall_ns, load.end - last_ns);
	printf("{\"rate\":%.1f,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,"
	       "\"stall_us\":%llu,\"answered\":%llu}\n", (double)n / seconds,
	       samples[n / 2], samples[(n - 1) * 99 / 100], samples[n - 1],
	       (unsigned long long)stall_ns / 1000,
	       (unsigned long long)load.answered);
}
