/*
 * Requests over HTTP/1.1, one always under way on each connection.
 *
 *	requests HOST:PORT PATH CONNECTIONS SECONDS STATUS [NAME:VALUE ...]
 *
 * A run of '#' in a header is the number of the request, in hexadecimal digits, so that no
 * two requests are the same.
 *
 * A client that does no more than it must: of each answer it looks at the status and at
 * how long it is, and a request is one send and one recv.  With one that costs as much as
 * the servers a figure says as much of the client.  Prints what load.h says.  Another
 * status, and an answer whose length is not told, end it with an error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

#define STATUS_LINE "HTTP/1.1 000"
#define LENGTH "\r\ncontent-length:"

struct asking {
	_Alignas(64) uint64_t sent_ns;
	size_t left;                     /* of the answer's content; 0: its head */
	struct buf head;                 /* that came in part */
};

static struct buf request;
static struct place { size_t at, n; } places[4];     /* of the number */
static unsigned n_places;
static uint64_t number;
static char status_line[sizeof(STATUS_LINE)];
static bool has_content;

static void put_number(const struct place *place)
{
	uint64_t left = number;

	for (size_t i = place->n; i-- > 0; left >>= 4)
		request.p[place->at + i] = "0123456789abcdef"[left & 15];
}

static void ask(struct connection *c, struct asking *a, uint64_t now)
{
	number++;
	for (unsigned i = 0; i < n_places; i++)
		put_number(&places[i]);
	a->sent_ns = now;
	load_send(c, request.p, request.n);
}

static const char *find_length(const char *p, const char *end)
{
	const size_t n = strlen(LENGTH);

	for (; (p = memchr(p, '\r', (size_t)(end - p))); p++)
		if ((size_t)(end - p) > n && strncasecmp(p, LENGTH, n) == 0)
			return p + n;
	return NULL;
}

/* The bytes of the answer's head, and of its content; 0: it is not whole. */
static size_t read_head(const char *p, size_t n, size_t *content)
{
	const char *end = memmem(p, n, "\r\n\r\n", 4), *length;

	*content = 0;
	if (!end)
		return 0;
	if (strncmp(p, status_line, strlen(status_line)))
		load_die("an answer begins with %.*s", (int)strlen(status_line), p);
	length = has_content ? find_length(p, end + 2) : NULL;
	if (has_content && !length)
		load_die("an answer does not tell its length");
	if (length)
		*content = strtoul(length, NULL, 10);
	return (size_t)(end - p) + 4;
}

/* What of 'p' is the rest of the head; it may have begun before. */
static size_t take_head(struct asking *a, const char *p, size_t n)
{
	size_t had = a->head.n, head;

	if (had == 0) {
		head = read_head(p, n, &a->left);
		if (head)
			return head;
	}
	buf_add(&a->head, p, n);
	head = read_head(a->head.p, a->head.n, &a->left);
	if (head == 0)
		return n;
	buf_reset(&a->head);
	return head - had;
}

static void take(struct connection *c, const char *p, size_t n, uint64_t now)
{
	struct asking *a = c->data;
	size_t taken;

	if (a->left == 0) {
		taken = take_head(a, p, n);
		p += taken;
		n -= taken;
		if (a->head.n)
			return;
	}
	if (n > a->left)
		load_die("more came than was asked for");
	a->left -= n;
	if (a->left)
		return;
	load_note(a->sent_ns, now);
	ask(c, a, now);
}

static void make_request(char **argv, int argc)
{
	buf_printf(&request, "GET %s HTTP/1.1\r\nHost: %s\r\n", argv[2], argv[1]);
	for (int i = 6; i < argc; i++)
		buf_printf(&request, "%s\r\n", argv[i]);
	buf_printf(&request, "\r\n");
	for (size_t i = 0; i < request.n; i++) {
		size_t n = strspn(request.p + i, "#");

		if (n == 0)
			continue;
		must(n_places < ARRAY_LEN(places));
		places[n_places++] = (struct place){ i, n };
		i += n;
	}
}

int main(int argc, char **argv)
{
	static struct asking asking[CONNECTIONS_MAX];

	if (argc < 6) {
		fprintf(stderr, "usage: requests HOST:PORT PATH CONNECTIONS SECONDS "
			"STATUS [NAME:VALUE ...]\n");
		return 2;
	}
	make_request(argv, argc);
	snprintf(status_line, sizeof(status_line), "HTTP/1.1 %.3s", argv[5]);
	has_content = strcmp(argv[5], "304") != 0;
	load_open("requests", argv[1], (unsigned)atoi(argv[3]),
		  (unsigned)atoi(argv[3]), atof(argv[4]));
	for (unsigned i = 0; i < load.n; i++) {
		load.connections[i]->data = &asking[i];
		ask(load.connections[i], &asking[i], clock_mono_ns());
	}
	load_run(take);
	load_print();
	return 0;
}
