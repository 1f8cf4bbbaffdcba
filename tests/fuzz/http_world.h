/*
 * What the fuzzers of HTTP/1.1 and HTTP/2 share: a server on a loop of this thread,
 * requests that are answered later, and a client's socket.  For one source of a program.
 */
#ifndef TESTS_FUZZ_HTTP_WORLD_H
#define TESTS_FUZZ_HTTP_WORLD_H

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/server/server.h"

#define TURNS_MAX 100000

static struct loop *loop;
static struct http_server *server;
static struct stream_addr at;
static struct request *later[256];
static unsigned n_later, n_open;         /* answered later; taken and not ended */

static inline void world_open(const char *name, struct http_server_config *config)
{
	struct err err;

	signal(SIGPIPE, SIG_IGN);
	config->limits.header_bytes = 4096;
	config->limits.body_bytes = 65536;
	loop = loop_new(name, 0);
	must(http_server_new(loop, config, &server, &err) == OK);
	must(http_server_listen(server, STR("127.0.0.1:0"), false, NULL, &at,
				&err) == OK);
}

static inline void turns(unsigned n)
{
	while (n--)
		loop_run_once(loop);
}

/* ---- requests that were taken ---- */

static void gone(struct request *r)
{
	must(n_open > 0);
	n_open--;
	for (unsigned i = 0; i < n_later; i++)
		if (later[i] == r)
			later[i--] = later[--n_later];
}

static void take(struct request *r)
{
	r->on_gone = gone;
	n_open++;
}

static void get_later(struct request *r)
{
	if (n_later == ARRAY_LEN(later)) {
		answer(r, 503, NULL, STR_NONE);
		return;
	}
	take(r);
	later[n_later++] = r;
}

/* Answers that come from elsewhere, in a turn of their own. */
static inline void answer_later(void)
{
	while (n_later) {
		struct request *r = later[--n_later];

		n_open--;
		answer(r, 200, "text/plain", STR("late"));
	}
}

static void post_echo(struct request *r)
{
	answer(r, 200, "text/plain", r->in->body);
}

/* ---- clients ---- */

static inline int client(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(at.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct linger reset = { .l_onoff = 1 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0);
	/* No port is left waiting. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	must(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	return fd;
}

static inline unsigned connections(void)
{
	struct http_stats stats;

	http_server_stats(server, &stats);
	must(stats.connections_now || stats.streams_now == 0);
	return (unsigned)stats.connections_now;
}

/* The client has gone, and with it all that was its. */
static inline void wait_until_gone(void)
{
	unsigned tries = 0;

	while (connections()) {
		turns(1);
		answer_later();
		must(++tries < TURNS_MAX);
	}
	must(n_open == 0 && n_later == 0);
}

#endif
