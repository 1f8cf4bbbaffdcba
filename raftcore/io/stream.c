/*
 * Streams: reading, writing, closing.
 *
 * A stream lives as long as anything of it is known to libuv or the mailbox
 * ('holds').  Errors close at once, but tell in a later turn, from the close
 * callback: so no function here runs the owner's code below the owner's code,
 * except on_data and its like from libuv's own callbacks.
 *
 * TLS is a transformation (tls_conn.h) between socket and owner: 'pump' moves
 * what came through it, 'send_plain' what goes.
 */
#include "io/stream.h"

#include <errno.h>
#include <stdarg.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/mem.h"
#include "io/stream_own.h"

#include "base/banned.h"

/* A queue that grew beyond this gives its memory back when it is empty. */
#define KEEP_BYTES (64u * 1024)
/* TLS makes at most so much at a time before it is sent. */
#define WIRE_BYTES (64u * 1024)
#define LINGER_MS 2000u
#define STALLED_MS 30000u
/* Parts that go to the socket in one call. */
#define VECS_MAX 32u
/* Full buffers that are read in a row before others have their turn. */
#define READS_MAX 32u
#define LINE_BYTES 64u

static const struct fsm_state states[STREAM__STATES] = {
	[STREAM_CONNECTING] = { "connecting", BIT(STREAM_HANDSHAKE) |
						      BIT(STREAM_OPEN) |
						      BIT(STREAM_CLOSING) },
	[STREAM_HANDSHAKE] = { "handshake",
			       BIT(STREAM_OPEN) | BIT(STREAM_CLOSING) },
	[STREAM_OPEN] = { "open", BIT(STREAM_DRAINING) | BIT(STREAM_CLOSING) },
	[STREAM_DRAINING] = { "draining",
			      BIT(STREAM_LINGERING) | BIT(STREAM_CLOSING) },
	[STREAM_LINGERING] = { "lingering", BIT(STREAM_CLOSING) },
	[STREAM_CLOSING] = { "closing", BIT(STREAM_CLOSED) },
	[STREAM_CLOSED] = { "closed", 0, .end = true },
};

static void flushed(struct stream *s);
static void pump(struct stream *s);
static void update_reading(struct stream *s);

static uv_stream_t *uv_of(struct stream *s)
{
	return (uv_stream_t *)&s->tcp;
}

/* ---- life ---- */

static void shut(struct owned_handle *h)
{
	stream_abort(container_of(h, struct stream, owned));
}

static void run_resume(struct msg *msg)
{
	struct stream *s = container_of(msg, struct stream, resume);

	s->resume_posted = false;
	if (stream_is(s, STREAM_OPEN) && !s->is_paused)
		pump(s);
	update_reading(s);
	stream_release(s);
}

struct stream *stream_make(struct loop *loop, struct tls_conn *tls)
{
	struct stream *s = NEW(struct stream);

	loop_must_be_here(loop);
	s->loop = loop;
	s->tls = tls;
	s->owned.shut = shut;
	s->resume.run = run_resume;
	fsm_init(&s->fsm, "stream", states, STREAM__STATES, STREAM_CONNECTING);
	must(uv_tcp_init(loop_uv(loop), &s->tcp) == 0);
	loop_own(loop, &s->owned);
	stream_hold(s);
	return s;
}

void stream_hold(struct stream *s)
{
	s->holds++;
}

static void stream_free(struct stream *s)
{
	loop_disown(&s->owned);
	if (s->dial)
		dial_free(s->dial);
	tls_conn_free(&s->tls);
	buf_fini(&s->sending);
	buf_fini(&s->queue);
	buf_fini(&s->early);
	buf_fini(&s->wire_left);
	free(s->err);
	free(s);
}

void stream_release(struct stream *s)
{
	static const struct err none;

	must(s->holds > 0);
	if (--s->holds > 0)
		return;
	fsm_move(&s->fsm, STREAM_CLOSED, "nothing holds it");
	if (s->ops && s->ops->on_close)
		s->ops->on_close(s, s->err ? s->err : &none);
	if (s->holds == 0)
		stream_free(s);
}

void stream_keep(struct stream *s)
{
	must(stream_is(s, STREAM_CLOSED));
	stream_hold(s);
}

void stream_drop(struct stream *s)
{
	must(stream_is(s, STREAM_CLOSED) && s->holds > 0);
	if (--s->holds == 0)
		stream_free(s);
}

static void on_tcp_closed(uv_handle_t *handle)
{
	stream_release(container_of((uv_tcp_t *)handle, struct stream, tcp));
}

static void on_ender_closed(struct timer *timer)
{
	stream_release(container_of(timer, struct stream, ender));
}

/* From here on nothing but on_close reaches the owner. */
static void end(struct stream *s, const char *why)
{
	if (s->fsm.state >= STREAM_CLOSING)
		return;
	fsm_move(&s->fsm, STREAM_CLOSING, why);
	if (s->has_ender)
		timer_close(&s->ender, on_ender_closed);
	if (s->dial)
		dial_cancel(s->dial);
	/* A failed attempt to connect may be closing it already. */
	if (!uv_is_closing((uv_handle_t *)&s->tcp))
		uv_close((uv_handle_t *)&s->tcp, on_tcp_closed);
}

void stream_fail(struct stream *s, enum code code, const char *fmt, ...)
{
	char text[sizeof(s->err->text)];
	va_list ap;

	if (s->fsm.state >= STREAM_CLOSING)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!s->err)
		s->err = NEW(struct err);
	err_set(s->err, code, "%s", text);
	end(s, "failed");
}

/* ---- writing ---- */

static void on_written(uv_write_t *req, int status);

static void start_writing(struct stream *s)
{
	uv_buf_t buf;
	struct buf empty;
	int rc;

	if (s->is_writing || s->queue.n == 0)
		return;
	empty = s->sending;
	s->sending = s->queue;
	s->queue = empty;
	buf = (uv_buf_t){ .base = s->sending.p, .len = s->sending.n };
	rc = uv_write(&s->write_req, uv_of(s), &buf, 1, on_written);
	if (rc) {
		stream_fail(s, E_IO, "write: %s", uv_strerror(rc));
		return;
	}
	s->is_writing = true;
	stream_hold(s);
}

static void written(struct stream *s)
{
	s->out += s->sending.n;
	if (s->sending.cap > KEEP_BYTES)
		buf_fini(&s->sending);
	else
		buf_reset(&s->sending);
	if (s->queue.n)
		start_writing(s);
	else if (stream_is(s, STREAM_DRAINING))
		flushed(s);
	else if (stream_is(s, STREAM_OPEN) && s->ops->on_drain)
		s->ops->on_drain(s);
}

static void on_written(uv_write_t *req, int status)
{
	struct stream *s = container_of(req, struct stream, write_req);

	s->is_writing = false;
	if (status)
		stream_fail(s, E_IO, "write: %s", uv_strerror(status));
	else if (s->fsm.state < STREAM_CLOSING)
		written(s);
	stream_release(s);
}

/* Directly: libuv's way is write() or writev(), which look at more than a socket needs,
 * a fiftieth of what a small answer takes.  Only where libuv has nothing to write. */
static ssize_t send_vec(int fd, const struct stream_vec *v, unsigned n)
{
	struct iovec parts[VECS_MAX];
	struct msghdr msg = { .msg_iov = parts, .msg_iovlen = n };

	if (n == 1)
		return send(fd, v[0].p, v[0].n, MSG_DONTWAIT | MSG_NOSIGNAL);
	must(n <= VECS_MAX);
	for (unsigned i = 0; i < n; i++)
		parts[i] = (struct iovec){ .iov_base = (char *)v[i].p, .iov_len = v[i].n };
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Writes as much as the socket takes now; SIZE_MAX: it failed. */
static size_t try_write(struct stream *s, const struct stream_vec *v,
			unsigned n)
{
	uv_os_fd_t fd;
	int rc = uv_fileno((const uv_handle_t *)&s->tcp, &fd);
	ssize_t k = -1;

	if (rc == 0) {
		do
			k = send_vec(fd, v, n);
		while (k < 0 && errno == EINTR);
		if (k < 0 && (errno == EAGAIN || errno == ENOBUFS))
			return 0;
		if (k < 0)
			rc = uv_translate_sys_error(errno);
	}
	if (rc) {
		stream_fail(s, E_IO, "write: %s", uv_strerror(rc));
		return SIZE_MAX;
	}
	s->out += (size_t)k;
	return (size_t)k;
}

/* Queues the parts behind their first 'done' bytes. */
static void queue_rest(struct stream *s, const struct stream_vec *v, unsigned n,
		       size_t done)
{
	for (unsigned i = 0; i < n; i++) {
		size_t skip = MIN(done, v[i].n);

		done -= skip;
		if (skip < v[i].n)
			buf_add(&s->queue, (const char *)v[i].p + skip,
				v[i].n - skip);
	}
}

/* To the socket, behind what waits for it already. */
static void send_wire(struct stream *s, const struct stream_vec *v, unsigned n)
{
	bool busy = s->is_writing || s->queue.n;

	for (unsigned at = 0; at < n; at += VECS_MAX) {
		unsigned k = MIN(n - at, VECS_MAX);
		size_t total = 0, done = 0;

		for (unsigned i = at; i < at + k; i++)
			total += v[i].n;
		s->given += total;
		if (!busy && total)
			done = try_write(s, v + at, k);
		if (done == SIZE_MAX)
			return;
		busy |= done < total;
		queue_rest(s, v + at, k, done);
	}
	start_writing(s);
}

/* Sends what TLS has made. */
static void send_made(struct stream *s, struct loop_scratch *scratch)
{
	struct stream_vec v = { scratch->wire.p, scratch->wire.n };

	if (v.n == 0)
		return;
	send_wire(s, &v, 1);
	if (scratch->wire.cap > 4 * WIRE_BYTES)
		buf_fini(&scratch->wire);
	else
		buf_reset(&scratch->wire);
}

/* A record goes from where it was made, behind what was made before. */
static void send_made_and(void *data, struct str record)
{
	struct stream *s = data;
	struct loop_scratch *scratch = loop_scratch(s->loop);
	struct stream_vec v[2] = { { scratch->wire.p, scratch->wire.n },
				   { record.p, record.n } };
	unsigned skip = v[0].n == 0;

	if (stream_is(s, STREAM_OPEN))
		send_wire(s, v + skip, 2 - skip);
	buf_reset(&scratch->wire);
}

/* One record, the last of a write goes at once; false: the stream has failed. */
static bool send_record(struct stream *s, struct loop_scratch *scratch,
			struct str bytes, bool is_last)
{
	struct err err = { 0 };
	enum code rc = is_last ? tls_conn_write_to(s->tls, bytes, send_made_and, s,
						   &err) :
				 tls_conn_write(s->tls, bytes, &err);

	if (rc) {
		buf_reset(&scratch->wire);
		stream_fail(s, err.code, "%s", err.text);
		return false;
	}
	if (scratch->wire.n >= WIRE_BYTES)
		send_made(s, scratch);
	return stream_is(s, STREAM_OPEN);
}

/* To copy so many bytes behind those that are gathered would save no record. */
static bool is_better_apart(size_t gathered, size_t n)
{
	size_t rest = n % TLS_RECORD_BYTES;

	return gathered && n >= TLS_RECORD_BYTES &&
		(rest == 0 || gathered + rest > TLS_RECORD_BYTES);
}

/* Through TLS.  Small parts share a record: each costs bytes and a cipher
 * start; a part that fills one is not copied. */
static void send_plain(struct stream *s, const struct stream_vec *v, unsigned n)
{
	struct loop_scratch *scratch = loop_scratch(s->loop);
	size_t gathered = 0, left = 0;

	for (unsigned i = 0; i < n; i++)
		left += v[i].n;
	for (unsigned i = 0; i < n; i++) {
		struct str rest = str_n(v[i].p, v[i].n);

		if (is_better_apart(gathered, rest.n)) {
			if (!send_record(s, scratch,
					 str_n(scratch->gather, gathered), false))
				return;
			gathered = 0;
		}
		while (rest.n) {
			size_t k = MIN(rest.n, sizeof(scratch->gather) - gathered);
			struct str piece = str_first(rest, k);

			rest = str_from(rest, k);
			left -= k;
			if (k < sizeof(scratch->gather)) {
				memcpy(scratch->gather + gathered, piece.p, k);
				gathered += k;
				if (gathered < sizeof(scratch->gather) && left)
					continue;
				piece = str_n(scratch->gather, gathered);
			}
			gathered = 0;
			if (!send_record(s, scratch, piece, left == 0))
				return;
		}
	}
	must(gathered == 0);
}

void stream_write(struct stream *s, const struct stream_vec *v, unsigned n)
{
	loop_must_be_here(s->loop);
	if (s->fsm.state < STREAM_OPEN && !s->close_when_open)
		for (unsigned i = 0; i < n; i++)
			buf_add(&s->early, v[i].p, v[i].n);
	if (!stream_is(s, STREAM_OPEN))
		return;
	if (s->tls)
		send_plain(s, v, n);
	else
		send_wire(s, v, n);
}

/* The head waits in the kernel for what comes behind it.  What does not go for whatever
 * reason is left to stream_write's ways. */
static size_t send_file(int fd, struct str head, int file, size_t n)
{
	ssize_t k = send(fd, head.p, head.n, MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL);
	size_t done = k > 0 ? (size_t)k : 0;
	off_t at = 0;

	if (done < head.n)
		return done;
	while ((size_t)at < n && sendfile(fd, file, &at, n - (size_t)at) > 0)
		;
	return done + (size_t)at;
}

void stream_write_file(struct stream *s, struct str head, const struct stream_vec *body,
		       unsigned n, int file)
{
	struct stream_vec v[VECS_MAX] = { { head.p, head.n } };
	size_t total = 0, done;
	uv_os_fd_t fd;

	loop_must_be_here(s->loop);
	must(n < VECS_MAX);
	for (unsigned i = 0; i < n; i++) {
		v[1 + i] = body[i];
		total += body[i].n;
	}
	if (!stream_is(s, STREAM_OPEN) || s->tls || s->is_writing || s->queue.n ||
	    uv_fileno((const uv_handle_t *)&s->tcp, &fd)) {
		stream_write(s, v, 1 + n);
		return;
	}
	done = send_file(fd, head, file, total);
	s->given += head.n + total;
	s->out += done;
	queue_rest(s, v, 1 + n, done);
	start_writing(s);
}

size_t stream_pending(const struct stream *s)
{
	size_t in_flight = s->is_writing ?
				   uv_stream_get_write_queue_size(
					   (const uv_stream_t *)&s->tcp) :
				   0;

	return in_flight + s->queue.n + s->early.n;
}

/* ---- opening ---- */

static void opened(struct stream *s, const char *why)
{
	struct buf early = s->early;

	s->early = BUF_NONE;
	fsm_move(&s->fsm, STREAM_OPEN, why);
	if (early.n)
		stream_write(s, &(struct stream_vec){ early.p, early.n }, 1);
	buf_fini(&early);
	if (s->close_when_open)
		stream_close(s);
}

static void tell_open(struct stream *s)
{
	if (stream_is(s, STREAM_OPEN) && s->ops->on_open)
		s->ops->on_open(s);
}

/* A TLS client speaks first. */
void stream_begin(struct stream *s, bool tell)
{
	/* An answer must not wait for the acknowledgement of the last one. */
	uv_tcp_nodelay(&s->tcp, 1);
	if (s->tls) {
		fsm_move(&s->fsm, STREAM_HANDSHAKE, "connected");
		update_reading(s);
		pump(s);
		return;
	}
	opened(s, "connected");
	if (tell)
		tell_open(s);
	update_reading(s);
}

/* ---- reading ---- */

static void tell_eof(struct stream *s)
{
	if (s->eof_told || !stream_is(s, STREAM_OPEN))
		return;
	s->eof_told = true;
	if (s->ops->on_eof)
		s->ops->on_eof(s);
	else
		stream_close(s);
}

/* False: no more can come through now. */
static bool pump_handshake(struct stream *s)
{
	struct loop_scratch *scratch = loop_scratch(s->loop);
	struct err err = { 0 };
	enum tls_step step = tls_conn_handshake(s->tls, &err);

	send_made(s, scratch);
	if (step == TLS_MORE || !stream_is(s, STREAM_HANDSHAKE))
		return false;
	if (step != TLS_DONE) {
		stream_fail(s, E_TLS, "%s",
			    step == TLS_END ? "TLS: ended in the handshake" :
					      err.text);
		return false;
	}
	opened(s, "TLS is up");
	tell_open(s);
	return true;
}

static bool pump_record(struct stream *s)
{
	struct loop_scratch *scratch = loop_scratch(s->loop);
	struct err err = { 0 };
	size_t n = 0;
	enum tls_step step = tls_conn_read(s->tls, scratch->plain,
					   sizeof(scratch->plain), &n, &err);

	/* An alert, or the answer to a change of keys. */
	send_made(s, scratch);
	if (!stream_is(s, STREAM_OPEN))
		return false;
	switch (step) {
	case TLS_DONE:
		s->ops->on_data(s, str_n(scratch->plain, n));
		return true;
	case TLS_END:
		tell_eof(s);
		return false;
	case TLS_FAILED:
		stream_fail(s, E_TLS, "%s", err.text);
		return false;
	case TLS_MORE:
		break;
	}
	return false;
}

static void pump_all(struct stream *s)
{
	if (stream_is(s, STREAM_HANDSHAKE) && !pump_handshake(s))
		return;
	while (stream_is(s, STREAM_OPEN) && !s->is_paused && !s->eof_told)
		if (!pump_record(s))
			return;
}

/* Moves what was left over from the wire, until there is no more or the owner
 * pauses.  Nothing behind the goodbye counts: nobody would ever take it. */
static void pump(struct stream *s)
{
	size_t left;

	tls_conn_feed(s->tls, buf_view(&s->wire_left));
	pump_all(s);
	left = s->eof_told ? 0 : tls_conn_left(s->tls).n;
	tls_conn_feed(s->tls, STR_NONE);
	buf_drop(&s->wire_left, s->wire_left.n - left);
	if (s->wire_left.n == 0 && s->wire_left.cap)
		buf_fini(&s->wire_left);
}

/* TLS reads where the socket has written; only what a pause leaves is kept. */
static void pump_fresh(struct stream *s, struct str wire)
{
	must(s->wire_left.n == 0);
	tls_conn_feed(s->tls, wire);
	pump_all(s);
	if (stream_is(s, STREAM_OPEN) && s->is_paused && !s->eof_told)
		buf_str(&s->wire_left, tls_conn_left(s->tls));
	tls_conn_feed(s->tls, STR_NONE);
}

static void on_socket_eof(struct stream *s)
{
	s->eof_seen = true;
	if (stream_is(s, STREAM_LINGERING))
		end(s, "the peer has ended too");
	else if (s->tls && !s->eof_told && s->fsm.state <= STREAM_OPEN)
		stream_fail(s, E_TLS, "TLS: the peer hung up without a goodbye");
	else
		tell_eof(s);
}

static bool wants_reading(const struct stream *s)
{
	switch ((enum stream_state)s->fsm.state) {
	case STREAM_HANDSHAKE:
	case STREAM_DRAINING:
	case STREAM_LINGERING:
		return !s->eof_seen;
	case STREAM_OPEN:
		return !s->eof_seen && !s->is_paused && !s->resume_posted;
	default:
		return false;
	}
}

/* What came, or why nothing will. */
static void take_read(struct stream *s, char *p, ssize_t n)
{
	if (n == 0) {
		on_socket_eof(s);
		update_reading(s);
		return;
	}
	if (n < 0) {
		stream_fail(s, E_IO, "read: %s",
			    uv_strerror(uv_translate_sys_error(errno)));
		return;
	}
	s->in += (uint64_t)n;
	/* What comes after stream_close, or after the peer's goodbye, is
	 * dropped. */
	if (s->fsm.state > STREAM_OPEN || (s->tls && s->eof_told))
		return;
	if (s->tls)
		pump_fresh(s, str_n(p, (size_t)n));
	else
		s->ops->on_data(s, str_n(p, (size_t)n));
}

/* False: there is no more for now. */
static bool read_some(struct stream *s)
{
	struct loop_scratch *scratch = loop_scratch(s->loop);
	uv_os_fd_t fd;
	ssize_t n;

	if (uv_fileno((const uv_handle_t *)&s->tcp, &fd))
		return false;
	do
		n = recv(fd, scratch->read, sizeof(scratch->read), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	take_read(s, scratch->read, n);
	return n == sizeof(scratch->read);
}

/* libuv is given no buffer to read into and says so in on_readable: its read() looks at
 * more than a socket needs, a fortieth of what a small request takes. */
static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
	*buf = (uv_buf_t){ 0 };
}

static void bring(const void *p, size_t n)
{
	for (size_t at = 0; at < n; at += LINE_BYTES)
		__builtin_prefetch((const char *)p + at, 1);
}

static void bring_near(const struct stream *s)
{
	bring(s->near, offsetof(struct stream, owned) - offsetof(struct stream, near));
	for (unsigned i = 0; i < STREAM_NEAR; i++)
		bring(s->near[i].at, s->near[i].n);
}

static void on_readable(uv_stream_t *uv, ssize_t n, const uv_buf_t *buf)
{
	struct stream *s = container_of((uv_tcp_t *)uv, struct stream, tcp);
	unsigned most = READS_MAX;

	bring_near(s);
	while (most-- && wants_reading(s) && read_some(s))
		;
}

static void update_reading(struct stream *s)
{
	int rc;

	if (s->fsm.state >= STREAM_CLOSING)
		return;
	if (wants_reading(s))
		rc = uv_read_start(uv_of(s), on_alloc, on_readable);
	else
		rc = uv_read_stop(uv_of(s));
	if (rc && rc != UV_EALREADY)
		stream_fail(s, E_IO, "read: %s", uv_strerror(rc));
}

void stream_read_pause(struct stream *s)
{
	loop_must_be_here(s->loop);
	s->is_paused = true;
	update_reading(s);
}

void stream_read_resume(struct stream *s)
{
	loop_must_be_here(s->loop);
	if (!s->is_paused)
		return;
	s->is_paused = false;
	/* What TLS still holds must come first, and not below the caller. */
	if (s->tls && stream_is(s, STREAM_OPEN) && !s->resume_posted) {
		s->resume_posted = true;
		stream_hold(s);
		loop_post_sure(s->loop, &s->resume);
	}
	update_reading(s);
}

/* ---- closing ---- */

static void on_ender(struct timer *timer)
{
	struct stream *s = container_of(timer, struct stream, ender);
	size_t pending = stream_pending(s);

	if (stream_is(s, STREAM_LINGERING)) {
		end(s, "lingered enough");
	} else if (pending == s->ender_pending) {
		stream_fail(s, E_IO, "write: the peer takes nothing");
	} else {
		s->ender_pending = pending;
		timer_start(&s->ender, STALLED_MS);
	}
}

static void arm_ender(struct stream *s, uint64_t ms)
{
	if (!s->has_ender) {
		timer_init(&s->ender, s->loop, on_ender);
		s->has_ender = true;
		stream_hold(s);
	}
	s->ender_pending = stream_pending(s);
	timer_start(&s->ender, ms);
}

/*
 * All is sent.  To close now would answer what the peer is still sending with a
 * reset, and a reset makes its kernel drop our last answer unread.
 */
static void flushed(struct stream *s)
{
	uv_os_fd_t fd;

	if (s->eof_seen || uv_fileno((uv_handle_t *)&s->tcp, &fd) ||
	    shutdown(fd, SHUT_WR)) {
		end(s, "all is sent");
		return;
	}
	fsm_move(&s->fsm, STREAM_LINGERING, "all is sent");
	arm_ender(s, LINGER_MS);
	update_reading(s);
}

void stream_close(struct stream *s)
{
	loop_must_be_here(s->loop);
	if (s->fsm.state < STREAM_OPEN) {
		s->close_when_open = s->early.n > 0;
		if (!s->close_when_open)
			end(s, "closed before it was open");
		return;
	}
	if (!stream_is(s, STREAM_OPEN))
		return;
	if (s->tls) {
		tls_conn_goodbye(s->tls);
		send_made(s, loop_scratch(s->loop));
		if (!stream_is(s, STREAM_OPEN))
			return;
	}
	fsm_move(&s->fsm, STREAM_DRAINING, "closed");
	if (stream_pending(s) == 0) {
		flushed(s);
		return;
	}
	arm_ender(s, STALLED_MS);
	update_reading(s);
}

void stream_abort(struct stream *s)
{
	loop_must_be_here(s->loop);
	end(s, "aborted");
}

/* ---- questions ---- */

void stream_set(struct stream *s, const struct stream_ops *ops, void *data)
{
	must(ops && ops->on_data);
	s->ops = ops;
	s->data = data;
}

void *stream_data(const struct stream *s)
{
	return s->data;
}

void stream_near(struct stream *s, unsigned i, const void *at, size_t n)
{
	must(i < STREAM_NEAR);
	s->near[i] = (struct near){ at, n };
}

const struct stream_addr *stream_peer(const struct stream *s)
{
	return &s->peer;
}

const char *stream_alpn(const struct stream *s)
{
	return s->tls ? tls_conn_alpn(s->tls) : NULL;
}

bool stream_is_tls(const struct stream *s)
{
	return s->tls != NULL;
}

struct tls_cert *stream_peer_cert(const struct stream *s)
{
	return s->tls ? tls_conn_cert(s->tls) : NULL;
}

struct loop *stream_loop(const struct stream *s)
{
	return s->loop;
}

void stream_counts(const struct stream *s, uint64_t *in, uint64_t *out)
{
	*in = s->in;
	*out = s->out;
}

void stream_progress(const struct stream *s, uint64_t *given, uint64_t *taken)
{
	uint64_t left = stream_pending(s) - s->early.n;
	uv_os_fd_t fd;
	int unacked = 0;

	if (s->fsm.state < STREAM_CLOSING &&
	    uv_fileno((const uv_handle_t *)&s->tcp, &fd) == 0 &&
	    ioctl(fd, SIOCOUTQ, &unacked) == 0)
		left += (uint64_t)unacked;
	*given = s->given;
	/* The end of the stream counts as a byte that is not acknowledged. */
	*taken = s->given - MIN(left, s->given);
}
