/*
 * Bytes of an HTTP/1.1 client against a server on a loop of this thread.  The first
 * byte says in what pieces they come, how often they come again on the connection, and
 * how it ends.  Whatever they are, each request that a handler took ends once, nothing
 * is held when the connection is gone, and the server serves the next.
 *
 * All is said to two connections: answers may be given again (decision 0025) on the
 * first alone.  Where both are read to their end they hear the same, but for date and
 * trace.
 */
#include "http_world.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "base/mem.h"

#include "base/banned.h"

#define LARGE_BYTES 20000
#define SOURCE_BYTES 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static unsigned n_sources;
static bool gives_again;
static char bytes[SOURCE_BYTES];

/* ---- handlers ---- */

static void get_same(struct request *r)
{
	answer_header(r, "X-Hello", STR("yes"));
	answer_may_repeat(r, "same", 4);
	answer(r, 200, "text/plain", STR("hello"));
}

static void get_unchanged(struct request *r)
{
	answer_may_repeat(r, "same", 4);
	answer(r, 304, NULL, STR_NONE);
}

static void get_large(struct request *r)
{
	static const uint8_t name[32] = "large";
	const struct stream_vec v = { bytes, LARGE_BYTES };

	answer_may_repeat(r, "same", 4);
	answer_named(r, 200, "text/plain", &v, 1, name);
}

static bool read_source(struct answer_source *s, uint64_t from, struct str *out)
{
	size_t n = ANSWER_PIECE - from % ANSWER_PIECE;

	*out = str_n(bytes + from, MIN(n, SOURCE_BYTES - from));
	return true;
}

static void free_source(struct answer_source *s)
{
	n_sources--;
	free(s);
}

static void get_source(struct request *r)
{
	struct answer_source *s = NEW(struct answer_source);

	*s = (struct answer_source){ .size = SOURCE_BYTES, .read = read_source,
				     .free = free_source };
	n_sources++;
	answer_may_repeat(r, "same", 4);
	answer_from(r, 200, NULL, s);
}

static void on_piece(struct request *r, struct str piece, bool is_last)
{
	answer_chunk(r, piece);
	if (!is_last)
		return;
	n_open--;
	answer_end(r);
}

static void post_both(struct request *r)
{
	take(r);
	answer_stream(r, 200, "text/plain");
	request_on_body(r, on_piece);
}

static bool again(struct request *r, const void *about)
{
	must(memcmp(about, "same", 4) == 0);
	return gives_again;
}

static const struct route routes[] = {
	{ HTTP_M_GET, "/s", get_same, 0, "s", false },
	{ HTTP_M_GET, "/u", get_unchanged, 0, "u", false },
	{ HTTP_M_GET, "/g", get_large, 0, "g", false },
	{ HTTP_M_GET, "/f", get_source, 0, "f", false },
	{ HTTP_M_POST, "/e", post_echo, 0, "e", false },
	{ HTTP_M_POST, "/b", post_both, 0, "b", true },
	{ HTTP_M_GET, "/l", get_later, 0, "l", false },
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct http_server_config config = {
		.routes = routes, .n_routes = ARRAY_LEN(routes),
		.limits = http_limits_default, .again = again,
	};

	memset(bytes, 'x', sizeof(bytes));
	world_open("h1", &config);
	return 0;
}

/* ---- clients ---- */

/* What the server has to say now. */
static void hear(int fd, struct buf *out)
{
	static char in[65536];

	for (int quiet = 0; quiet < 4;) {
		ssize_t n;

		turns(2);
		n = recv(fd, in, sizeof(in), MSG_DONTWAIT);
		if (n > 0)
			buf_add(out, in, (size_t)n);
		quiet = n > 0 ? 0 : quiet + 1;
	}
}

static void say(int fd, const uint8_t *p, size_t n, size_t step, struct buf *out)
{
	while (n) {
		ssize_t k = send(fd, p, MIN(n, step), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (k <= 0)
			return;
		hear(fd, out);
		p += k;
		n -= (size_t)k;
	}
}

/* Where a value stands that is another each time. */
static void mask(struct buf *heard, const char *name, size_t n)
{
	struct str text = buf_view(heard), line = str_of(name);
	size_t from = 0, k;

	while ((k = str_find_str(str_from(text, from), line)) != SIZE_MAX) {
		from += k + line.n;
		memset(heard->p + from, '-', MIN(n, heard->n - from));
	}
}

/* Until the server has nothing more to say; false: the kernel threw something away. */
static bool hear_all(int fd, struct buf *out)
{
	static char in[65536];
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	for (unsigned tries = 0; tries < TURNS_MAX; tries++) {
		ssize_t n;

		turns(1);
		answer_later();
		n = recv(fd, in, sizeof(in), MSG_DONTWAIT);
		if (n == 0)
			return true;
		if (n > 0)
			buf_add(out, in, (size_t)n);
		else if (errno != EAGAIN)
			return false;
		else if (tries > 100)
			poll(&ready, 1, 1);
	}
	must(!"the server ends too");
	return false;
}

/* False: what was heard is not all. */
static bool run(const uint8_t *data, size_t size, unsigned mode, struct buf *out)
{
	bool is_all = false;
	int fd = client();

	turns(3);
	for (unsigned i = 0; i <= (mode >> 1 & 3); i++)
		say(fd, data, size, mode & 1 ? 7 : 4000, out);
	if (mode & 8) {
		shutdown(fd, SHUT_WR);
		is_all = hear_all(fd, out);
	}
	close(fd);
	wait_until_gone();
	must(n_sources == 0);
	/* 29 bytes of a date, 32 digits, and those that a problem has. */
	mask(out, "\r\nDate: ", 29);
	mask(out, "\r\nX-Conflux-Trace: ", 32);
	mask(out, "\"trace\":\"", 32);
	return is_all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF first = BUF_NONE;
	AUTO_BUF second = BUF_NONE;
	bool are_all;

	if (size < 2 || size > 8192)
		return 0;
	gives_again = true;
	are_all = run(data + 1, size - 1, data[0], &first);
	gives_again = false;
	are_all &= run(data + 1, size - 1, data[0], &second);
	must(!are_all || str_eq(buf_view(&first), buf_view(&second)));
	return 0;
}
