/*
 * What programs share that keep a number of requests always under way, over up to
 * CONNECTIONS_MAX connections, and say how many were answered a second and how soon:
 * raft_load.c, calls.c, requests.c and requests_h2.c.
 *
 * Half a second goes before what is counted.  One thread, all blocking is in epoll_wait.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdint.h>

#include "base/buf.h"

#define CONNECTIONS_MAX 1024u

/* A cache line, since of many each turn looks at another. */
struct connection {
	_Alignas(64) struct buf out;     /* what is left to send */
	size_t sent;                     /* of 'out' */
	void *data;                      /* of the program */
	int fd;
};

extern struct load {
	const char *program;             /* for messages */
	struct connection *connections[CONNECTIONS_MAX];
	unsigned n, in_flight;
	uint64_t count_from, end;        /* clock_mono_ns() */
	uint64_t answered, limit;        /* at which it ends; 0: none */
} load;

void load_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Opens the connections; counting begins half a second from now. */
void load_open(const char *program, const char *address, unsigned connections,
	       unsigned in_flight, double seconds);

/* Sends what 'out' holds, as far as it goes. */
void load_flush(struct connection *c);

/* Sends that at once; what does not go is added to 'out'. */
void load_send(struct connection *c, const char *p, size_t n);

/* An answer to what was sent at 'from' has come. */
void load_note(uint64_t from, uint64_t now);

/* Until load.end: 'take' gets what came, and may add to 'out'. */
void load_run(void (*take)(struct connection *c, const char *p, size_t n,
			   uint64_t now));

/* A line of JSON: rate a second; p50, p99 and the longest, and the longest time in which
 * no answer came at all, in microseconds; and how many were answered, with those before
 * counting began. */
void load_print(void);

#endif
