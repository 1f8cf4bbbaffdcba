/*
 * Bytes of an HTTP/2 client against a server on a loop of this thread.  The first
 * byte says in what pieces they come (each frame alone, it may be), and whether the
 * preface, SETTINGS with their ACK and a window that lets answers out go before them.
 * Whatever they are, each request that a handler took ends once, nothing is held when
 * the connection is gone, and the server serves the next.
 */
#include "http_world.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static void get_hello(struct request *r)
{
	answer_header(r, "X-Hello", STR("yes"));
	answer(r, 200, "text/plain", STR("hello"));
}

static void get_big(struct request *r)
{
	static char big[300000];

	answer(r, 200, "text/plain", str_n(big, sizeof(big)));
}

static void on_piece(struct request *r, struct str bytes, bool is_last)
{
	answer_chunk(r, bytes);
	if (!is_last)
		return;
	answer_trailer(r, "X-Sum", STR("1"));
	n_open--;
	answer_end(r);
}

static void post_both(struct request *r)
{
	take(r);
	answer_stream(r, 200, "text/plain");
	request_on_body(r, on_piece);
}

static void get_same(struct request *r)
{
	answer_header(r, "X-Hello", STR("yes"));
	answer_may_repeat(r, "same", 4);
	answer(r, 304, NULL, STR_NONE);
}

static void get_body(struct request *r)
{
	static char body[5000];

	answer_may_repeat(r, "same", 4);
	answer(r, 200, "text/plain", str_n(body, sizeof(body)));
}

static bool again(struct request *r, const void *about)
{
	must(r->route->handler == get_same || r->route->handler == get_body);
	must(memcmp(about, "same", 4) == 0);
	return true;
}

static void on_raw(struct request *r, struct str bytes, bool is_last)
{
	answer_chunk(r, bytes);
	if (!is_last)
		return;
	n_open--;
	answer_end(r);
}

static void get_tunnel(struct request *r)
{
	if (!request_wants_upgrade(r, "parrot")) {
		answer(r, 426, NULL, STR_NONE);
		return;
	}
	take(r);
	answer_upgrade(r, "parrot");
	request_forget(r);
	request_on_body(r, on_raw);
}

static const struct route routes[] = {
	{ HTTP_M_GET, "/h", get_hello, 0, "h", false },
	{ HTTP_M_GET, "/s", get_same, 0, "s", false },
	{ HTTP_M_GET, "/a", get_body, 0, "a", false },
	{ HTTP_M_GET, "/g", get_big, 0, "g", false },
	{ HTTP_M_POST, "/e", post_echo, 0, "e", false },
	{ HTTP_M_POST, "/b", post_both, 0, "b", true },
	{ HTTP_M_GET, "/l", get_later, 0, "l", false },
	{ HTTP_M_GET, "/t", get_tunnel, 0, "t", false },
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct http_server_config config = {
		.routes = routes, .n_routes = ARRAY_LEN(routes),
		.limits = http_limits_default, .again = again,
	};

	config.limits.pending_bytes = 200000;
	config.limits.streams = 100;
	world_open("h2", &config);
	return 0;
}

#define BY_FRAME 0                       /* a step: each frame by itself */

static size_t frame_at(const uint8_t *p, size_t n)
{
	size_t length = n < 9 ? n : 9 + ((size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2]);

	return MIN(length, n);
}

static void say(int fd, const uint8_t *p, size_t n, size_t step)
{
	while (n) {
		size_t piece = step == BY_FRAME ? frame_at(p, n) : MIN(n, step);
		ssize_t k = send(fd, p, piece, MSG_NOSIGNAL | MSG_DONTWAIT);

		turns(2);
		if (k <= 0)
			return;
		p += k;
		n -= (size_t)k;
	}
}

/* What the server says is read, and thrown away. */
static void hear(int fd)
{
	static char in[65536];

	for (int i = 0; i < 50; i++) {
		turns(2);
		if (recv(fd, in, sizeof(in), MSG_DONTWAIT) <= 0)
			return;
	}
}

/* Of 'start': without what opens the connection's window. */
#define START_SMALL (24 + 15)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t start[] =
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
		"\0\0\6\4\0\0\0\0\0\0\4\177\377\377\377"
		"\0\0\4\10\0\0\0\0\0\77\377\377\377"
		"\0\0\0\4\1\0\0\0\0";
	unsigned mode = size ? data[0] : 0;
	int fd;

	if (size > 65536)
		return 0;
	fd = client();
	turns(3);
	if (mode & 1)
		say(fd, start, mode & 32 ? START_SMALL : sizeof(start) - 1, sizeof(start));
	if (size > 1)
		say(fd, data + 1, size - 1, mode & 16 ? BY_FRAME : mode & 2 ? 7 : 4000);
	if (mode & 4)
		hear(fd);
	answer_later();
	hear(fd);
	if (mode & 8) {
		shutdown(fd, SHUT_WR);
		hear(fd);
	}
	close(fd);
	wait_until_gone();
	return 0;
}
