/* The server and its clients: see lab.h. */
#include "lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"
#include "http/server/own.h"

#include "base/banned.h"

#define FDS_MAX 1024

struct http_limits lab_limits;
unsigned lab_guests_max;
const struct http_protocol *const *lab_protocols;

static struct loop *loop;
static struct http_server *server;
static struct stream_addr at;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct request *later[64], *stream, *stream_before;
static unsigned guests, n_later, n_gone;
static bool is_drained, is_draining;
static struct buf heard[FDS_MAX], told;

static struct pieced {
	struct request *r;               /* NULL: answered, or gone */
	size_t bytes;
	unsigned pieces, sum;
	bool is_last, pauses;
} pieced;

/* ---- turns ---- */

static struct turn turn;
static struct lab_turns this_turn, most;

static void run_turn(struct turn *t)
{
	(void)t;
	most.asked = MAX(most.asked, this_turn.asked);
	most.answered = MAX(most.answered, this_turn.answered);
	most.gone = MAX(most.gone, this_turn.gone);
	most.left = MAX(most.left, this_turn.left);
	this_turn = (struct lab_turns){ 0 };
}

/* ---- handlers; all but the waiting runs on the loop ---- */

static void change(void)
{
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void get_hello(struct request *r)
{
	answer_header(r, "X-Test", STR("yes"));
	answer(r, 200, "text/plain", STR("hello"));
}

static void get_args(struct request *r)
{
	AUTO_BUF out = BUF_NONE;
	const struct str *q = request_query(r, "q");

	buf_printf(&out, "[%.*s][%.*s][%.*s]", STR_ARG(r->in->args[0]),
		   STR_ARG(r->in->args[1]), q ? (int)q->n : 0, q ? q->p : "");
	answer(r, 200, "text/plain", buf_view(&out));
}

static void post_echo(struct request *r)
{
	AUTO_BUF out = BUF_NONE;

	buf_printf(&out, "%.*s:", STR_ARG(r->in->content_type));
	buf_str(&out, r->in->body);
	answer(r, 200, "text/plain", buf_view(&out));
}

static void get_big(struct request *r)
{
	static char big[1 << 20];

	memset(big, 'b', sizeof(big));
	answer(r, 200, "text/plain", str_n(big, sizeof(big)));
}

/* ---- what is looked up as it goes ---- */

_Atomic uint64_t lab_source_gone, lab_source_at, lab_source_pending;
atomic_uint lab_sources;

struct source {
	struct answer_source source;
	struct stream *stream;
};

const char *lab_source_bytes(void)
{
	static char bytes[LAB_SOURCE_MAX];

	if (!bytes[0])
		for (uint64_t i = 0; i < LAB_SOURCE_MAX; i++)
			bytes[i] = (char)('a' + (i * 7 + i / 1000 + i / 65536) % 26);
	return bytes;
}

static bool read_source(struct answer_source *s, uint64_t from, struct str *out)
{
	const struct source *source = container_of(s, struct source, source);
	uint64_t waits = stream_pending(source->stream);

	if (from >= lab_source_gone)
		return false;
	lab_source_at = MAX(lab_source_at, from);
	lab_source_pending = MAX(lab_source_pending, waits);
	*out = str_n(lab_source_bytes() + from, ANSWER_PIECE - from % ANSWER_PIECE);
	return true;
}

static void free_source(struct answer_source *s)
{
	lab_sources--;
	free(container_of(s, struct source, source));
}

static void get_source(struct request *r)
{
	struct source *s = NEW(struct source);
	uint64_t size;

	must(str_u64(r->in->args[0], &size) && size <= LAB_SOURCE_MAX);
	s->source = (struct answer_source){ .size = size, .read = read_source,
					    .free = free_source };
	s->stream = exchange_of(r)->conn->stream;
	lab_sources++;
	answer_from(r, 200, "text/plain", &s->source);
}

/* Little content, and a long header that is not made shorter. */
static void get_heavy(struct request *r)
{
	static char fill[100000];

	memset(fill, '~', sizeof(fill));
	answer_header(r, "X-Fill", str_n(fill, r->in->n_query ? sizeof(fill) : 10000));
	answer(r, 200, "text/plain", STR("heavy"));
}

static void get_error(struct request *r)
{
	struct err err;

	err_set(&err, E_CONFLICT, "it is \"so\"");
	err_hint(&err, "do not");
	answer_error(r, &err);
}

static void get_nothing(struct request *r)
{
	answer(r, 204, NULL, STR_NONE);
}

static void gone(struct request *r)
{
	this_turn.gone++;
	pthread_mutex_lock(&lock);
	n_gone++;
	if (stream == r)
		stream = NULL;
	if (stream_before == r)
		stream_before = NULL;
	if (pieced.r == r)
		pieced.r = NULL;
	for (unsigned i = 0; i < n_later; i++)
		if (later[i] == r) {
			n_later--;
			memmove(&later[i], &later[i + 1],
				(n_later - i) * sizeof(later[0]));
			break;
		}
	change();
}

static void get_later(struct request *r)
{
	r->on_gone = gone;
	pthread_mutex_lock(&lock);
	later[n_later++] = r;
	change();
}

static void get_stream(struct request *r)
{
	r->on_gone = gone;
	pthread_mutex_lock(&lock);
	stream_before = stream;
	stream = r;
	change();
	answer_stream(r, 200, "text/event-stream");
	answer_chunk(r, STR("first "));
}

/* Says more when what it has said has gone. */
static void say_drained(struct request *r)
{
	answer_chunk(r, STR("drained"));
	answer_end(r);
}

static void get_draining(struct request *r)
{
	r->on_gone = gone;
	answer_stream(r, 200, "text/plain");
	answer_on_drain(r, say_drained);
	answer_chunk(r, STR("first"));
}

/* ---- bodies in pieces ---- */

static void count_piece(struct request *r, struct str bytes, bool is_last)
{
	AUTO_BUF out = BUF_NONE;

	pthread_mutex_lock(&lock);
	pieced.bytes += bytes.n;
	pieced.pieces++;
	for (size_t i = 0; i < bytes.n; i++)
		pieced.sum = pieced.sum * 31 + (unsigned char)bytes.p[i];
	pieced.is_last = is_last;
	change();
	if (pieced.pauses && !is_last)
		request_body_pause(r);
	if (!is_last)
		return;
	buf_printf(&out, "<%zu bytes, %u>", pieced.bytes, pieced.sum);
	answer(r, 200, "text/plain", buf_view(&out));
	pieced.r = NULL;
}

static void post_pieces(struct request *r)
{
	r->on_gone = gone;
	pthread_mutex_lock(&lock);
	pieced = (struct pieced){ .r = r };
	change();
	request_on_body(r, count_piece);
}

/* Takes nothing until it is told to, and then pauses after each piece. */
static void post_paused(struct request *r)
{
	r->on_gone = gone;
	pthread_mutex_lock(&lock);
	pieced = (struct pieced){ .r = r, .pauses = true };
	change();
}

/* Answers before the body is there. */
static void post_early(struct request *r)
{
	answer(r, 200, "text/plain", STR("early"));
}

/* Has enough with the first piece. */
static void enough(struct request *r, struct str bytes, bool is_last)
{
	answer(r, 200, "text/plain", STR("enough"));
}

static void post_enough(struct request *r)
{
	request_on_body(r, enough);
}

static void echo_piece(struct request *r, struct str bytes, bool is_last)
{
	answer_chunk(r, bytes);
	if (!is_last)
		return;
	answer_trailer(r, "X-Sum", STR("42"));
	answer_trailer(r, "X-More", STR("of it"));
	answer_end(r);
}

static void post_both(struct request *r)
{
	r->on_gone = gone;
	answer_stream(r, 200, "text/plain");
	request_on_body(r, echo_piece);
}

static void on_raw(struct request *r, struct str bytes, bool is_last)
{
	answer_chunk(r, bytes);
	if (str_find_str(bytes, STR("bye")) != SIZE_MAX)
		answer_end(r);
}

static void get_upgrade(struct request *r)
{
	if (!request_wants_upgrade(r, "parrot")) {
		answer_header(r, "Upgrade", STR("parrot"));
		answer(r, 426, "text/plain", STR("no parrot"));
		return;
	}
	r->on_gone = gone;
	answer_header(r, "X-Parrot", STR("green"));
	answer_upgrade(r, "parrot");
	request_on_body(r, on_raw);
}

static bool before(struct request *r)
{
	struct err err;

	this_turn.asked++;
	if (!request_header(r, "x-denied"))
		return true;
	err_set(&err, E_DENIED, "denied");
	answer_error(r, &err);
	return false;
}

static void after(struct request *r, int status, uint64_t bytes)
{
	lab_bytes = (unsigned)bytes;
	this_turn.answered++;
}

static bool enter(void *data, const struct stream_addr *peer)
{
	if (guests >= lab_guests_max)
		return false;
	guests++;
	return true;
}

static void leave(void *data, const struct stream_addr *peer)
{
	guests--;
	this_turn.left++;
}

/* ---- what may be given again ---- */

atomic_uint lab_version, lab_calls, lab_bytes;

static void get_counted(struct request *r)
{
	static char bodies[100][40];     /* they stay */
	unsigned version = atomic_load(&lab_version);
	unsigned n = atomic_fetch_add(&lab_calls, 1) + 1;
	char *body = bodies[n % 100];
	struct err err = { .code = E_IO, .text = "went wrong!" };

	snprintf(body, sizeof(bodies[0]), "version %u, call %u!", version, n);
	answer_header_u64(r, "X-Version", version);
	answer_may_repeat(r, &version, sizeof(version));
	request_query(r, "fails") ? answer_error(r, &err) :
				    answer(r, 200, "text/plain", str_of(body));
}

static void get_same(struct request *r)
{
	unsigned version = atomic_load(&lab_version);

	atomic_fetch_add(&lab_calls, 1);
	answer_header(r, "ETag", STR("\"an etag\""));
	answer_header_u64(r, "X-Version", version);
	answer_may_repeat(r, &version, sizeof(version));
	answer(r, 304, NULL, STR_NONE);
}

char lab_large[LAB_LARGE + 1];

static void get_large(struct request *r)
{
	unsigned version = atomic_load(&lab_version);
	size_t n = request_query(r, "small") && version < LAB_GROWS ? 8000 : LAB_LARGE;
	const struct stream_vec v[] = { { lab_large, 5000 }, { lab_large + 5000, n - 5000 } };

	atomic_fetch_add(&lab_calls, 1);
	answer_may_repeat(r, &version, sizeof(version));
	answer_named(r, 200, "text/plain", v, 2, (const uint8_t[32]){ "large" });
}

static bool again(struct request *r, const void *about)
{
	unsigned version;

	memcpy(&version, about, sizeof(version));
	return r->route && (strcmp(r->route->name, "counted") == 0 ||
			    strcmp(r->route->name, "large") == 0 ||
			    strcmp(r->route->name, "same") == 0) &&
	       version == atomic_load(&lab_version);
}

static const struct route routes[] = {
	{ HTTP_M_GET, "/counted", get_counted, 0, "counted", false },
	{ HTTP_M_GET, "/same", get_same, 0, "same", false },
	{ HTTP_M_GET, "/large", get_large, 0, "large", false },
	{ HTTP_M_GET, "/hello", get_hello, 0, "hello", false },
	{ HTTP_M_GET, "/args/{a}/{rest...}", get_args, 0, "args", false },
	{ HTTP_M_POST, "/echo", post_echo, 0, "echo", false },
	{ HTTP_M_PUT, "/echo", post_echo, 0, "echo", false },
	{ HTTP_M_GET, "/big", get_big, 0, "big", false },
	{ HTTP_M_GET, "/heavy", get_heavy, 0, "heavy", false },
	{ HTTP_M_GET, "/source/{size}", get_source, 0, "source", false },
	{ HTTP_M_GET, "/error", get_error, 0, "error", false },
	{ HTTP_M_GET, "/nothing", get_nothing, 0, "nothing", false },
	{ HTTP_M_GET, "/later", get_later, 0, "later", false },
	{ HTTP_M_GET, "/draining", get_draining, 0, "draining", false },
	{ HTTP_M_GET, "/stream", get_stream, 0, "stream", false },
	{ HTTP_M_POST, "/pieces", post_pieces, 0, "pieces", true },
	{ HTTP_M_POST, "/paused", post_paused, 0, "paused", true },
	{ HTTP_M_POST, "/kept", lab_post_kept, 0, "kept", true },
	{ HTTP_M_POST, "/early", post_early, 0, "early", true },
	{ HTTP_M_POST, "/enough", post_enough, 0, "enough", true },
	{ HTTP_M_POST, "/both", post_both, 0, "both", true },
	{ HTTP_M_GET, "/upgrade", get_upgrade, 0, "upgrade", false },
};

/* ---- life ---- */

void lab_setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	lab_limits = http_limits_default;
	lab_limits.header_bytes = 4096;
	lab_limits.body_bytes = 4096;
	loop = loop_new("http", 0);
	lab_guests_max = UINT32_MAX;
	lab_protocols = NULL;
	lab_version = lab_calls = lab_sources = 0;
	for (size_t i = 0; i < LAB_LARGE; i++)
		lab_large[i] = i + 1 < LAB_LARGE ? (char)('a' + i % 23) : '!';
	lab_source_bytes();
	lab_source_gone = UINT64_MAX;
	lab_source_at = lab_source_pending = 0;
	guests = n_later = n_gone = 0;
	pieced = (struct pieced){ 0 };
	is_drained = is_draining = false;
	stream = stream_before = NULL;
}

void lab_start(void)
{
	struct http_server_config config = {
		.protocols = lab_protocols, .routes = routes, .n_routes = ARRAY_LEN(routes),
		.limits = lab_limits, .before = before, .again = again,
		.enter = enter, .leave = leave, .after = after,
	};
	struct err err;

	ck_assert_int_eq(http_server_new(loop, &config, &server, &err), OK);
	ck_assert_msg(http_server_listen(server, STR("127.0.0.1:0"), false, NULL, &at,
					 &err) == OK, "%s", err.text);
	most = this_turn = (struct lab_turns){ 0 };
	turn.run = run_turn;
	loop_on_turn(loop, &turn);
	ck_assert_int_eq(loop_start(loop, &err), OK);
}

void lab_teardown(void)
{
	loop_stop(loop);
	loop_join(loop);
	http_server_free(&server);
	if (turn.run)
		loop_off_turn(loop, &turn);
	turn.run = NULL;
	loop_free(&loop);
	for (unsigned i = 0; i < FDS_MAX; i++)
		buf_fini(&heard[i]);
	buf_fini(&told);
}

/* ---- on the loop ---- */

struct doing {
	struct msg msg;
	void (*what)(void);
	bool done;
};

static void run_doing(struct msg *msg)
{
	struct doing *d = container_of(msg, struct doing, msg);

	d->what();
	pthread_mutex_lock(&lock);
	d->done = true;
	change();
}

void lab_do(void (*what)(void))
{
	struct doing d = { .msg.run = run_doing, .what = what };

	loop_post_sure(loop, &d.msg);
	pthread_mutex_lock(&lock);
	while (!d.done)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void run_posted(struct msg *msg)
{
	struct doing *d = container_of(msg, struct doing, msg);

	d->what();
	free(d);
}

void lab_post(void (*what)(void))
{
	struct doing *d = calloc(1, sizeof(*d));

	ck_assert_ptr_nonnull(d);
	d->msg.run = run_posted;
	d->what = what;
	loop_post_sure(loop, &d->msg);
}

#define WAIT_FOR(cond)                                       \
	do {                                                  \
		pthread_mutex_lock(&lock);                    \
		while (!(cond))                               \
			pthread_cond_wait(&changed, &lock);   \
		pthread_mutex_unlock(&lock);                  \
	} while (0)

static const char *text;
static struct http_stats *stats_out;

static void do_stats(void)
{
	http_server_stats(server, stats_out);
}

void lab_stats(struct http_stats *out)
{
	stats_out = out;
	lab_do(do_stats);
}

static struct lab_turns turns_now;

static void do_turns(void)
{
	run_turn(NULL);
	turns_now = most;
}

struct lab_turns lab_turns(void)
{
	lab_do(do_turns);
	return turns_now;
}

static void do_answer_later(void)
{
	struct request *r = later[0];

	n_later--;
	memmove(later, later + 1, n_later * sizeof(later[0]));
	answer(r, 200, "text/plain", str_of(text));
}

void lab_answer_later(const char *body)
{
	WAIT_FOR(n_later > 0);
	text = body;
	lab_do(do_answer_later);
}

void lab_post_later(const char *body)
{
	WAIT_FOR(n_later > 0);
	text = body;
	lab_post(do_answer_later);
}

static void do_chunk(void)
{
	answer_chunk(stream, str_of(text));
}

void lab_chunk(const char *chunk)
{
	WAIT_FOR(stream);
	text = chunk;
	lab_do(do_chunk);
}

static unsigned n_chunks;
static uint64_t went;

static uint64_t bytes_out(const struct request *r)
{
	uint64_t in, out;

	stream_counts(exchange_of(r)->conn->stream, &in, &out);
	return out;
}

static void do_chunks(void)
{
	uint64_t before = bytes_out(stream) + bytes_out(stream_before);
	char chunk[16];

	for (unsigned i = 0; i < n_chunks; i++) {
		snprintf(chunk, sizeof(chunk), "%u;", i);
		answer_chunk(stream_before, str_of(chunk));
		answer_chunk(stream, str_of(chunk));
	}
	went = bytes_out(stream) + bytes_out(stream_before) - before;
}

uint64_t lab_chunks_in_turns(unsigned n)
{
	WAIT_FOR(stream && stream_before);
	n_chunks = n;
	lab_do(do_chunks);
	return went;
}

static size_t pending;

static void do_pending(void)
{
	pending = answer_pending(stream);
}

size_t lab_pending(void)
{
	WAIT_FOR(stream);
	lab_do(do_pending);
	return pending;
}

static void do_socket_pending(void)
{
	pending = stream_pending(exchange_of(later[0])->conn->stream);
}

size_t lab_socket_pending(void)
{
	WAIT_FOR(n_later > 0);
	lab_do(do_socket_pending);
	return pending;
}

static void do_chunk_if(void)
{
	if (stream)
		answer_chunk(stream, STR("anyone?"));
}

void lab_chunk_until_gone(void)
{
	unsigned gone_now;

	do {
		lab_do(do_chunk_if);
		pthread_mutex_lock(&lock);
		gone_now = n_gone;
		pthread_mutex_unlock(&lock);
	} while (gone_now == 0);
}

static void do_end(void)
{
	answer_end(stream);
	stream = NULL;
}

void lab_end_stream(void)
{
	WAIT_FOR(stream);
	lab_do(do_end);
}

void lab_wait_pieces(unsigned n)
{
	WAIT_FOR(pieced.r && pieced.pieces >= n);
}

void lab_wait_body(void)
{
	WAIT_FOR(pieced.is_last);
}

size_t lab_pieces_bytes(void)
{
	size_t bytes;

	pthread_mutex_lock(&lock);
	bytes = pieced.bytes;
	pthread_mutex_unlock(&lock);
	return bytes;
}

static void do_take(void)
{
	request_on_body(pieced.r, count_piece);
}

void lab_take_body(void)
{
	WAIT_FOR(pieced.r);
	lab_do(do_take);
}

static void do_resume(void)
{
	request_body_resume(pieced.r);
}

void lab_resume_body(void)
{
	lab_do(do_resume);
}

static void do_flow(void)
{
	pieced.pauses = false;
	request_body_resume(pieced.r);
}

void lab_let_body_flow(void)
{
	lab_do(do_flow);
}

void lab_wait_gone(unsigned n)
{
	WAIT_FOR(n_gone >= n);
}

void lab_wait_later(unsigned n)
{
	WAIT_FOR(n_later >= n);
}

static unsigned grace;

static void drained(void *data)
{
	pthread_mutex_lock(&lock);
	is_drained = true;
	change();
}

static void do_drain(void)
{
	http_server_drain(server, grace, drained, NULL);
}

void lab_drain_here(unsigned grace_ms)
{
	grace = grace_ms;
	is_draining = true;
	do_drain();
}

void lab_drain(unsigned grace_ms)
{
	grace = grace_ms;
	is_draining = true;
	lab_do(do_drain);
}

void lab_wait_drained(void)
{
	WAIT_FOR(is_drained);
}

/* ---- clients ---- */

int client_new(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(at.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = 20 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_lt(fd, FDS_MAX);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	buf_reset(&heard[fd]);
	return fd;
}

void client_say_n(int fd, const void *p, size_t n)
{
	const char *from = p;

	while (n > 0) {
		ssize_t k = send(fd, from, n, MSG_NOSIGNAL);

		/* A server that has had enough closes: its answer counts. */
		if (k < 0 && (errno == EPIPE || errno == ECONNRESET))
			return;
		ck_assert_int_gt(k, 0);
		from += k;
		n -= (size_t)k;
	}
}

bool client_say_some(int fd, const void *p, size_t n, size_t *said)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	ssize_t k;

	if (poll(&room, 1, 200) != 1)
		return false;
	k = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	*said = k > 0 ? (size_t)k : 0;
	return k > 0;
}

void client_say(int fd, const char *what)
{
	client_say_n(fd, what, strlen(what));
}

void client_half_close(int fd)
{
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
}

static bool hear_more(int fd)
{
	ssize_t k = recv(fd, buf_extend(&heard[fd], 65536), 65536, 0);

	buf_cut(&heard[fd], heard[fd].n - 65536 + (k > 0 ? (size_t)k : 0));
	ck_assert_msg(k >= 0, "nothing more is heard: %s; so far: %s",
		      strerror(errno), heard[fd].p);
	return k > 0;
}

const char *client_hear(int fd, const char *want)
{
	size_t found;

	while ((found = str_find_str(buf_view(&heard[fd]), str_of(want))) ==
	       SIZE_MAX)
		ck_assert_msg(hear_more(fd), "closed before '%s'; heard: %s",
			      want, heard[fd].p);
	buf_reset(&told);
	buf_add(&told, heard[fd].p, found + strlen(want));
	buf_drop(&heard[fd], found + strlen(want));
	return told.p;
}

const char *client_hear_end(int fd)
{
	while (hear_more(fd))
		;
	buf_reset(&told);
	buf_str(&told, buf_view(&heard[fd]));
	buf_reset(&heard[fd]);
	return told.p;
}

void client_sip(int fd, size_t n)
{
	void *p = mem_alloc(n);

	ck_assert_int_ge(recv(fd, p, n, MSG_DONTWAIT), 0);
	free(p);
}

bool client_is_quiet(int fd)
{
	char c;

	return heard[fd].n == 0 &&
		recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

void client_close(int fd)
{
	close(fd);
}
