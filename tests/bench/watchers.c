/*
 * Many watchers in one thread, and the time from a publish until each has heard.
 *
 *	watchers -s HOST:PORT ... -p PATH [-t TOKEN] [-n WATCHERS] [-m STREAMS]
 *		 [-c CA] [-a HOST:PORT] [-P PATH] [-i PREFIX] [-2 HOST:PORT]
 *
 *	-s  several of them: the watchers are dealt out to them in turn
 *	-n  how many watch -p (server sent events)
 *	-m  so many of them over each connection, as streams of HTTP/2
 *	-c  over TLS, checked against the authorities in this file
 *	-P  where `publish` posts to, at -a (or the first -s)
 *	-i  each says that it is the instance of this name and its number; then
 *	    versions may come in any order
 *	-2  where watchers go, with what they heard last, when theirs is lost
 *
 * When all are watching it says `ready SECONDS`; then it takes lines:
 *
 *	publish		posts new content over a connection of its own and says
 *			`heard P50 P99 LAST`, microseconds from sending it
 *	rest SECONDS	says `rested EVENTS` after this time
 *	settle VERSION	waits until nobody comes to it any more: `settled WATCHERS`
 *	gone VERSION	says `counted WATCHERS MICROSECONDS`: how many have it, and the
 *			monotonic clock; waits until 99 of 100 of them have heard
 *			another, and says `gone P50 LAST`, microseconds from then
 *	save FILE	writes the bytes of the last event there
 *	follow VERSION	waits until each has been lost once, has come back and has
 *			heard this version: `back SECONDS`, from the first loss to
 *			the last that is current
 *
 * Each watcher checks that no version is left out or comes twice; that, an answer
 * but 200 and a watch that ends (but for `follow`) end the program with an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "watchers.h"

#include "base/banned.h"

#define OPENING_MAX 200          /* connections that open at once */
#define TURN 512

struct load load;

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("watchers: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

/* ---- what a watcher hears ---- */

static void heard(struct watch *w, const char *data)
{
	const char *at = strstr(data, "\"version\":");
	uint64_t version = at ? strtoull(at + strlen("\"version\":"), NULL, 10) : 0;

	if (version == 0)
		die("an event without version: %s", data);
	w->heard_ns = clock_mono_ns();
	if (w->version && version != w->version + 1 && !load.instances)
		die("version %llu came after %llu", (unsigned long long)version,
		    (unsigned long long)w->version);
	w->version = version;
	if (version > load.newest)
		load.newest = version;
	if (load.waits_for && version == load.waits_for)
		load.took[load.n_took++] =
			(uint32_t)((clock_mono_ns() - load.began_ns) / 1000);
	load.events++;
}

static void take_line(struct watch *w)
{
	w->line[w->n_line] = '\0';
	if (strncmp(w->line, "id: ", 4) == 0)
		w->id = strtoull(w->line + 4, NULL, 10);
	else if (strncmp(w->line, "data: ", 6) == 0 && w->is_change)
		heard(w, w->line + 6);
	else if (strncmp(w->line, "event: ", 7) == 0)
		w->is_change = strcmp(w->line + 7, "change") == 0;
	else if (strncmp(w->line, ": watching", 10) == 0 && !w->is_open) {
		w->is_open = true;
		load.open++;
	}
}

void watch_take(struct watch *w, const char *p, size_t n)
{
	if (load.save && n > 16 && memmem(p, n, "event: change", 13)) {
		buf_reset(&load.saved);
		buf_add(&load.saved, p, n);
	}
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n') {
			take_line(w);
			w->n_line = 0;
		} else if (p[i] != '\r' && w->n_line < sizeof(w->line) - 1) {
			w->line[w->n_line++] = p[i];
		}
	}
}

/* Where a watcher stands that has heard nothing yet. */
static void note_revision(struct socket *s)
{
	const char *at = strcasestr(s->head.p, "\r\nX-Conflux-Revision: ");

	if (at && s->watches->id == 0)
		s->watches->id = strtoull(strchr(at, ':') + 1, NULL, 10);
}

/* The head of an answer goes before the lines; HTTP/1.1. */
static void take_head(struct socket *s, const char **p, size_t *n)
{
	while (*n && !s->has_head) {
		buf_c(&s->head, **p);
		++*p;
		--*n;
		if (s->head.n < 4 ||
		    memcmp(s->head.p + s->head.n - 4, "\r\n\r\n", 4) != 0)
			continue;
		if (strncmp(s->head.p, "HTTP/1.1 200", 12) != 0)
			die("answered: %.*s", (int)strcspn(s->head.p, "\r"),
			    s->head.p);
		s->has_head = true;
		note_revision(s);
		buf_fini(&s->head);
	}
}

/* ---- sockets ---- */

static void ask_http1(struct socket *s)
{
	struct watch *w = s->watches;

	char joint = strchr(load.path, '?') ? '&' : '?';

	buf_printf(&s->out, "GET %s", load.path);
	if (load.instances)
		buf_printf(&s->out, "%cinstance=%s%05zu", joint, load.instances,
			   (size_t)(w - load.watches));
	if (w->id)
		buf_printf(&s->out, "%csince=%llu", load.instances ? '&' : joint,
			   (unsigned long long)w->id);
	buf_printf(&s->out, " HTTP/1.1\r\nHost: bench\r\n");
	if (load.token)
		buf_printf(&s->out, "Authorization: Bearer %s\r\n", load.token);
	buf_z(&s->out, "Accept: text/event-stream\r\n\r\n");
}

static void socket_begin(struct socket *s)
{
	s->is_connected = true;
	load.opening--;
	if (load.streams)
		h2_begin(s);
	else
		ask_http1(s);
	socket_flush(s);
}

static void socket_lost(struct socket *s)
{
	if (!load.next.sin_port)
		die("a watch ended (%zu are open)", load.open);
	if (load.lost_ns == 0)
		load.lost_ns = clock_mono_ns();
	for (unsigned i = 0; i < s->n_watches; i++) {
		load.open -= s->watches[i].is_open;
		s->watches[i].is_open = s->watches[i].is_change = false;
		s->watches[i].n_line = 0;
	}
	if (!s->is_connected)
		load.opening--;
	socket_close(s);
	load.losses += s->n_watches;
	load.again[load.n_again++] = s;
}

static void take(struct socket *s, const char *p, size_t n)
{
	if (load.streams) {
		h2_take(s, p, n);
		return;
	}
	take_head(s, &p, &n);
	watch_take(s->watches, p, n);
}

static void on_ready(struct socket *s, uint32_t events)
{
	static char bytes[64 * 1024];

	if (!s->is_connected) {
		int rc = socket_handshake(s, events);

		if (rc < 0)
			socket_lost(s);
		if (rc <= 0)
			return;
		socket_begin(s);
	}
	if (events & EPOLLOUT)
		socket_flush(s);
	for (;;) {
		ssize_t n = socket_read(s, bytes, sizeof(bytes));

		if (n == SOCKET_LOST) {
			socket_lost(s);
			return;
		}
		if (n == SOCKET_LATER)
			return;
		take(s, bytes, (size_t)n);
		if ((size_t)n < sizeof(bytes) && !load.tls)
			return;
	}
}

/* Opens what is to be opened, a bounded number at once. */
static void open_more(void)
{
	while (load.n_again && load.opening < OPENING_MAX) {
		struct socket *s = load.again[--load.n_again];

		load.opening++;
		s->has_head = false;
		buf_reset(&s->head);
		socket_open(s, s->was_open && load.next.sin_port ?
				    &load.next :
				    &load.first[(size_t)(s - load.sockets) % load.n_first]);
		s->was_open = true;
	}
}

static void turn(int ms)
{
	struct epoll_event events[TURN];
	int n;

	open_more();
	n = epoll_wait(load.epoll, events, TURN, ms);
	for (int i = 0; i < n; i++)
		on_ready(events[i].data.ptr, events[i].events);
}

/* ---- orders ---- */

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void publish(void)
{
	uint64_t until;

	load.n_took = 0;
	/* Who publishes first does not know which version it will be. */
	load.waits_for = load.newest ? load.newest + 1 : load.first_version;
	load.began_ns = clock_mono_ns();
	poster_send(load.began_ns);
	until = load.began_ns + 60000000000ull;
	while (load.n_took < load.n) {
		turn(1000);
		if (clock_mono_ns() > until)
			die("%zu of %u have not heard in a minute",
			    load.n - load.n_took, load.n);
	}
	poster_check();
	qsort(load.took, load.n_took, sizeof(*load.took), by_size);
	printf("heard %u %u %u\n", load.took[(load.n_took - 1) / 2],
	       load.took[(load.n_took - 1) * 99 / 100],
	       load.took[load.n_took - 1]);
}

static void rest(double seconds)
{
	uint64_t until = clock_mono_ns() + (uint64_t)(seconds * 1e9);
	uint64_t before = load.events, now;

	while ((now = clock_mono_ns()) < until)
		turn((int)((until - now) / 1000000) + 1);
	printf("rested %llu\n", (unsigned long long)(load.events - before));
}

static bool all_are_current(uint64_t version)
{
	if (load.losses < load.n || load.open < load.n)
		return false;
	for (unsigned i = 0; i < load.n; i++)
		if (load.watches[i].version != version)
			return false;
	return true;
}

static void follow(uint64_t version)
{
	uint64_t until = clock_mono_ns() + 120000000000ull;
	uint64_t looked = 0;
	bool is_done = false;

	while (!is_done) {
		turn(20);
		if (clock_mono_ns() > until)
			die("%zu of %u watch, %zu were lost", load.open, load.n,
			    load.losses);
		if (clock_mono_ns() - looked < 5000000)
			continue;
		looked = clock_mono_ns();
		is_done = all_are_current(version);
	}
	printf("back %.3f\n", (double)(clock_mono_ns() - load.lost_ns) / 1e9);
}

static size_t count_at(uint64_t version)
{
	size_t n = 0;

	for (unsigned i = 0; i < load.n; i++)
		n += load.watches[i].version == version;
	return n;
}

/* Until nobody has come to it for half a second. */
static void settle(uint64_t version)
{
	uint64_t since = clock_mono_ns();
	size_t n = 0, now;

	while (n == 0 || clock_mono_ns() < since + 500000000ull) {
		turn(20);
		now = count_at(version);
		if (now != n)
			since = clock_mono_ns();
		n = now;
		if (clock_mono_ns() > since + 60000000000ull)
			die("nobody has heard version %llu",
			    (unsigned long long)version);
	}
	printf("settled %zu\n", n);
}

/* Until 99 of 100 that have this version have heard another. */
static void wait_until_gone(uint64_t version)
{
	size_t all = count_at(version), n = 0;
	uint64_t until = clock_mono_ns() + 60000000000ull;
	uint64_t from_ns = clock_mono_ns();
	bool *had = mem_zero(load.n);

	for (unsigned i = 0; i < load.n; i++)
		had[i] = load.watches[i].version == version;
	printf("counted %zu %llu\n", all, (unsigned long long)(from_ns / 1000));
	fflush(stdout);
	while (count_at(version) * 100 > all) {
		turn(20);
		if (clock_mono_ns() > until)
			die("%zu of %zu have version %llu yet", count_at(version),
			    all, (unsigned long long)version);
	}
	for (unsigned i = 0; i < load.n; i++)
		if (had[i] && load.watches[i].version != version)
			load.took[n++] = (uint32_t)((load.watches[i].heard_ns - from_ns) / 1000);
	qsort(load.took, n, sizeof(*load.took), by_size);
	printf("gone %u %u\n", n ? load.took[(n - 1) / 2] : 0,
	       n ? load.took[n - 1] : 0);
	free(had);
}

static void save(const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f || fwrite(load.saved.p, 1, load.saved.n, f) != load.saved.n ||
	    fclose(f))
		die("%s: %s", path, strerror(errno));
	printf("saved %zu\n", load.saved.n);
}

static void obey(char *line)
{
	line[strcspn(line, "\n")] = '\0';
	if (strcmp(line, "publish") == 0)
		publish();
	else if (strncmp(line, "rest ", 5) == 0)
		rest(atof(line + 5));
	else if (strncmp(line, "follow ", 7) == 0)
		follow(strtoull(line + 7, NULL, 10));
	else if (strncmp(line, "settle ", 7) == 0)
		settle(strtoull(line + 7, NULL, 10));
	else if (strncmp(line, "gone ", 5) == 0)
		wait_until_gone(strtoull(line + 5, NULL, 10));
	else if (strncmp(line, "save ", 5) == 0)
		save(line + 5);
	else
		die("no such order: %s", line);
	fflush(stdout);
}

/* Heartbeats are read while nothing is ordered. */
static void orders(void)
{
	struct pollfd in[2] = { { .fd = 0, .events = POLLIN },
				{ .fd = load.epoll, .events = POLLIN } };
	char line[512];

	for (;;) {
		poll(in, 2, -1);
		if (in[1].revents)
			turn(0);
		if (!in[0].revents)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			return;
		obey(line);
	}
}

static void add_server(const char *address)
{
	if (load.n_first == SERVERS_MAX)
		die("%d servers at most", SERVERS_MAX);
	address_read(address, &load.first[load.n_first++]);
}

static void options(int argc, char **argv)
{
	int c;

	load.first_version = 2;
	while ((c = getopt(argc, argv, "s:p:t:n:m:c:a:P:2:i:")) != -1) {
		switch (c) {
		case 's': add_server(optarg); break;
		case 'a': address_read(optarg, &load.poster); break;
		case 'p': load.path = optarg; break;
		case 't': load.token = optarg; break;
		case 'n': load.n = (unsigned)atoi(optarg); break;
		case 'm': load.streams = (unsigned)atoi(optarg); break;
		case 'c': load.tls = tls_read(optarg, load.streams != 0); break;
		case 'i': load.instances = optarg; break;
		case 'P': load.post = optarg; break;
		case '2': address_read(optarg, &load.next); break;
		default: die("see the head of watchers.c");
		}
	}
	if (!load.path || load.n_first == 0 || load.n == 0)
		die("-s, -p and -n are needed");
	if (!load.poster.sin_port)
		load.poster = load.first[0];
}

int main(int argc, char **argv)
{
	unsigned each, n_sockets;
	uint64_t began = clock_mono_ns();

	load.n = 1;
	options(argc, argv);
	each = load.streams ? load.streams : 1;
	n_sockets = (load.n + each - 1) / each;
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	load.watches = mem_zero(load.n * sizeof(*load.watches));
	load.took = mem_zero(load.n * sizeof(*load.took));
	load.sockets = mem_zero(n_sockets * sizeof(*load.sockets));
	load.again = mem_zero(n_sockets * sizeof(void *));
	load.save = true;
	for (unsigned i = 0; i < n_sockets; i++) {
		struct socket *s = &load.sockets[i];

		s->fd = -1;
		s->watches = load.watches + i * each;
		s->n_watches = load.n - i * each < each ? load.n - i * each : each;
		load.again[load.n_again++] = s;
	}
	while (load.open < load.n)
		turn(1000);
	printf("ready %.3f\n", (double)(clock_mono_ns() - began) / 1e9);
	fflush(stdout);
	orders();
	return 0;
}
