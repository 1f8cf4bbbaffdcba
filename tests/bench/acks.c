/*
 * Acknowledgements as fast as a node takes them, from many instances.
 *
 *	acks -s HOST:PORT -t TOKEN -k KEY -v VERSION -r RELEASE -i PREFIX -n INSTANCES
 *	     [-c CONNECTIONS] [-b OF ONE REQUEST] [-d SECONDS]
 *
 * Each connection is a thread that posts one request after the other; in each are
 * acknowledgements of as many instances, by turns `received` and `applied`.  It says
 * `acks TAKEN SECONDS`, and ends with an error where one was not taken.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

static struct sockaddr_in server;
static const char *token, *key, *release, *prefix;
static unsigned version, instances, connections = 4, batch = 20, seconds = 5;
static _Atomic uint64_t taken, next;
static uint64_t until_ns;

static void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("acks: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static void make_body(struct buf *body)
{
	buf_reset(body);
	for (unsigned i = 0; i < batch; i++) {
		uint64_t n = atomic_fetch_add(&next, 1);

		buf_printf(body, "%c{\"instance\":\"%s%05llu\",\"key\":\"%s\","
			   "\"version\":%u,\"sha256\":\"%064d\",\"state\":\"%s\","
			   "\"release\":\"%s\"}", i ? ',' : '[', prefix,
			   (unsigned long long)(n % instances), key, version, 0,
			   n / instances % 2 ? "applied" : "received", release);
	}
	buf_c(body, ']');
}

static void send_all(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n <= 0)
			die("the connection was lost");
		s = str_from(s, (size_t)n);
	}
}

/* Short, and whole when it ends in "}\n". */
static void take_answer(int fd)
{
	char text[4096];
	size_t n = 0;
	const char *at;

	do {
		ssize_t more = read(fd, text + n, sizeof(text) - 1 - n);

		if (more <= 0)
			die("the connection was lost");
		n += (size_t)more;
		text[n] = '\0';
	} while (n < 2 || text[n - 1] != '\n' || text[n - 2] != '}');
	at = strstr(text, "\"taken\":");
	if (strncmp(text, "HTTP/1.1 200", 12) != 0 || !at)
		die("answered: %.200s", text);
	atomic_fetch_add(&taken, strtoull(at + 8, NULL, 10));
}

static void *post(void *unused)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	AUTO_BUF request = BUF_NONE;
	AUTO_BUF body = BUF_NONE;

	if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof(server)))
		die("no connection");
	while (clock_mono_ns() < until_ns) {
		make_body(&body);
		buf_reset(&request);
		buf_printf(&request, "POST /api/v1/acks HTTP/1.1\r\nHost: bench\r\n"
			   "Authorization: Bearer %s\r\nContent-Length: %zu\r\n\r\n",
			   token, body.n);
		buf_str(&request, buf_view(&body));
		send_all(fd, buf_view(&request));
		take_answer(fd);
	}
	close(fd);
	return NULL;
}

static void read_server(char *text)
{
	char *colon = strrchr(text, ':');

	if (!colon)
		die("-s HOST:PORT");
	*colon = '\0';
	server.sin_family = AF_INET;
	server.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, text, &server.sin_addr) != 1)
		die("-s is an address of IPv4");
}

static void options(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "s:t:k:v:r:i:n:c:b:d:")) != -1) {
		switch (c) {
		case 's': read_server(optarg); break;
		case 't': token = optarg; break;
		case 'k': key = optarg; break;
		case 'v': version = (unsigned)atoi(optarg); break;
		case 'r': release = optarg; break;
		case 'i': prefix = optarg; break;
		case 'n': instances = (unsigned)atoi(optarg); break;
		case 'c': connections = (unsigned)atoi(optarg); break;
		case 'b': batch = (unsigned)atoi(optarg); break;
		case 'd': seconds = (unsigned)atoi(optarg); break;
		default: die("see the head of acks.c");
		}
	}
	if (!server.sin_port || !token || !key || !version || !release ||
	    !prefix || !instances || !connections || !batch)
		die("see the head of acks.c");
}

int main(int argc, char **argv)
{
	uint64_t began = clock_mono_ns();
	pthread_t *threads;

	options(argc, argv);
	until_ns = began + seconds * 1000000000ull;
	threads = mem_zero(connections * sizeof(*threads));
	for (unsigned i = 0; i < connections; i++)
		if (pthread_create(&threads[i], NULL, post, NULL))
			die("no thread");
	for (unsigned i = 0; i < connections; i++)
		pthread_join(threads[i], NULL);
	printf("acks %llu %.3f\n", (unsigned long long)atomic_load(&taken),
	       (double)(clock_mono_ns() - began) / 1e9);
	free(threads);
	return 0;
}
