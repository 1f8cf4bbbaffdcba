/*
 * Load for raft_node: a number of commands of one size always under way.
 *
 *	raft_load HOST:PORT IN_FLIGHT CONNECTIONS SECONDS KEYS BYTES [COMMANDS]
 *
 * Keys are below KEYS, and multiples of the slots that a command fills.  Half a
 * second goes before what is counted.  Ends after the time or, where a number is
 * given, when so many commands were applied.  Prints one line of JSON: commands
 * a second, and of their times from sending to the answer p50, p99 and the
 * longest in microseconds.  Any answer but "applied" ends it with an error: a
 * figure of which some were refused would be none.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

#define SLOT_BYTES 256u
#define BYTES_MAX (64u * 1024)
#define HEAD 12u
#define ANSWER (HEAD + 4u)
#define WARM_NS 500000000ull
#define READ_BYTES (256u * 1024)
#define CONNECTIONS_MAX 64

struct connection {
	int fd;
	struct buf out;
	char in[READ_BYTES];
	size_t n_in, sent;
};

static struct {
	struct connection *connections[CONNECTIONS_MAX];
	unsigned n, in_flight, bytes;
	uint64_t keys, next;
	uint64_t *sent_ns;               /* by tag, modulo what is under way */
	uint64_t count_from, end;
	uint64_t applied, limit;         /* limit 0: none */
	uint32_t *samples;               /* microseconds */
	size_t n_samples, cap_samples;
} load;

static void die(const char *what)
{
	fprintf(stderr, "raft_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct connection *dial(const char *address)
{
	struct connection *c = mem_zero(sizeof(*c));
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
		die(address);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return c;
}

static void put(char *to, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (char)(v >> 8 * i);
}

/* The tag says which of those under way it is. */
static void add_command(struct connection *c, uint64_t tag, uint64_t now)
{
	char *p = buf_extend(&c->out, HEAD + load.bytes);
	uint64_t slots = load.bytes / SLOT_BYTES;

	put(p, load.bytes, 4);
	put(p + 4, tag, 8);
	/* Spread over the keys, alike in each run. */
	put(p + HEAD, load.next++ * 0x9e3779b97f4a7c15ull %
			      (load.keys / slots) * slots, 8);
	memset(p + HEAD + 8, (int)('a' + load.next % 26), load.bytes - 8);
	load.sent_ns[tag] = now;
}

static void flush(struct connection *c)
{
	while (c->sent < c->out.n) {
		ssize_t n = send(c->fd, c->out.p + c->sent, c->out.n - c->sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			die("send");
		c->sent += (size_t)n;
	}
	buf_reset(&c->out);
	c->sent = 0;
}

static void note(uint64_t from, uint64_t now)
{
	if (load.limit && ++load.applied >= load.limit && now < load.end)
		load.end = now;
	if (from < load.count_from || now > load.end)
		return;
	mem_grow((void **)&load.samples, &load.cap_samples, load.n_samples + 1,
		 sizeof(*load.samples));
	load.samples[load.n_samples++] = (uint32_t)((now - from) / 1000);
}

static void take_answer(struct connection *c, const char *p, uint64_t now)
{
	uint64_t tag;
	uint32_t code;

	memcpy(&tag, p + 4, sizeof(tag));
	memcpy(&code, p + HEAD, sizeof(code));
	if (code) {
		fprintf(stderr, "raft_load: refused with code %u\n", code);
		exit(1);
	}
	must(tag < load.in_flight);
	note(load.sent_ns[tag], now);
	add_command(c, tag, now);
}

static void receive(struct connection *c)
{
	ssize_t n = recv(c->fd, c->in + c->n_in, sizeof(c->in) - c->n_in,
			 MSG_DONTWAIT);
	uint64_t now = clock_mono_ns();
	size_t at = 0;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		die("the node hung up");
	c->n_in += (size_t)n;
	for (; c->n_in - at >= ANSWER; at += ANSWER)
		take_answer(c, c->in + at, now);
	memmove(c->in, c->in + at, c->n_in - at);
	c->n_in -= at;
	flush(c);
}

static void run(void)
{
	struct pollfd polls[CONNECTIONS_MAX];

	while (clock_mono_ns() < load.end) {
		for (unsigned i = 0; i < load.n; i++) {
			struct connection *c = load.connections[i];

			polls[i] = (struct pollfd){ c->fd, POLLIN, 0 };
			if (c->out.n)
				polls[i].events |= POLLOUT;
		}
		if (poll(polls, load.n, 10000) <= 0) {
			fprintf(stderr, "raft_load: no answer for 10 seconds\n");
			exit(1);
		}
		for (unsigned i = 0; i < load.n; i++) {
			if (polls[i].revents & POLLOUT)
				flush(load.connections[i]);
			if (polls[i].revents & ~POLLOUT)
				receive(load.connections[i]);
		}
	}
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void print(double seconds)
{
	size_t n = load.n_samples;

	if (n == 0) {
		fprintf(stderr, "raft_load: nothing was applied\n");
		exit(1);
	}
	qsort(load.samples, n, sizeof(*load.samples), by_number);
	printf("{\"rate\":%.1f,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u}\n",
	       (double)n / seconds, load.samples[n / 2],
	       load.samples[(n - 1) * 99 / 100], load.samples[n - 1]);
}

int main(int argc, char **argv)
{
	double seconds;

	if (argc != 7 && argc != 8) {
		fprintf(stderr, "usage: raft_load HOST:PORT IN_FLIGHT "
			"CONNECTIONS SECONDS KEYS BYTES [COMMANDS]\n");
		return 2;
	}
	load.in_flight = (unsigned)atoi(argv[2]);
	load.n = (unsigned)atoi(argv[3]);
	seconds = atof(argv[4]);
	load.keys = strtoull(argv[5], NULL, 10);
	load.bytes = (unsigned)atoi(argv[6]);
	load.limit = argc == 8 ? strtoull(argv[7], NULL, 10) : 0;
	must(load.bytes >= SLOT_BYTES && load.bytes <= BYTES_MAX &&
	     load.bytes % SLOT_BYTES == 0);
	must(load.n && load.n <= CONNECTIONS_MAX && load.in_flight >= load.n &&
	     load.keys >= BYTES_MAX / SLOT_BYTES && seconds > 0);
	load.sent_ns = mem_zero(load.in_flight * sizeof(*load.sent_ns));
	for (unsigned i = 0; i < load.n; i++)
		load.connections[i] = dial(argv[1]);
	load.count_from = clock_mono_ns() + WARM_NS;
	load.end = load.count_from + (uint64_t)(seconds * 1e9);
	for (unsigned i = 0; i < load.in_flight; i++)
		add_command(load.connections[i % load.n], i, clock_mono_ns());
	for (unsigned i = 0; i < load.n; i++)
		flush(load.connections[i]);
	run();
	print((double)(load.end - MIN(load.count_from, load.end - 1)) / 1e9);
	return 0;
}
