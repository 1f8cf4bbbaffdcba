/*
 * Streams over the loopback, most of them twice: clear text (0) and TLS (1).
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net.h"

#include "base/banned.h"

#define BIG (8u << 20)
#define VECS 512u

static char *big;

static void make_big(void)
{
	big = mem_alloc(BIG);
	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)(i * 31 + (i >> 13));
}

static void setup(void)
{
	net_setup();
	make_big();
}

static void teardown(void)
{
	net_teardown();
	free(big);
}

static struct str big_str(void)
{
	return str_n(big, BIG);
}

/* ---- bytes ---- */

static void echo(struct end *end, struct str bytes)
{
	end_send(end, bytes);
}

START_TEST(bytes_both_ways)
{
	uint64_t in, out;

	net.server.on_data = echo;
	net_pair(_i);
	end_send(&net.client, STR("hello"));
	WAIT(got(&net.client, STR("hello")));
	ck_assert(got(&net.server, STR("hello")));
	stream_counts(net.server.s, &in, &out);
	ck_assert_uint_ge(in, 5);
	ck_assert_uint_ge(out, 5);
	if (!_i) {
		ck_assert_uint_eq(in, 5);
		ck_assert_uint_eq(out, 5);
	}
	ck_assert_int_eq(stream_is_tls(net.server.s), _i);
	ck_assert_ptr_eq(stream_loop(net.server.s), loop);
	ck_assert(stream_peer(net.server.s)->is_loopback);
	ck_assert_str_eq(stream_peer(net.server.s)->host, "127.0.0.1");
	ck_assert_str_eq(stream_peer(net.client.s)->text, net.addr.text);
	if (_i) {
		ck_assert_str_eq(stream_alpn(net.server.s), "http/1.1");
		ck_assert_str_eq(stream_alpn(net.client.s), "http/1.1");
	} else {
		ck_assert_ptr_null(stream_alpn(net.server.s));
	}
}
END_TEST

START_TEST(what_is_written_before_open_is_sent_then)
{
	net_listen(_i);
	net_connect();
	end_send(&net.client, STR("early "));
	end_send(&net.client, STR("bird"));
	ck_assert_uint_eq(stream_pending(net.client.s), 10);
	WAIT(got(&net.server, STR("early bird")));
	ck_assert_uint_eq(stream_pending(net.client.s), 0);
}
END_TEST

/* Parts of all sizes: none, small ones that share a record, large ones that
 * fill several, more than go in one call. */
START_TEST(many_parts_keep_their_order)
{
	struct stream_vec v[100];
	size_t at = 0;

	net_pair(_i);
	for (unsigned i = 0; i < ARRAY_LEN(v); i++) {
		size_t n = i % 7 == 0 ? 0 : i % 10 == 3 ? 40000 : i * 37;

		v[i] = (struct stream_vec){ big + at, n };
		at += n;
	}
	stream_write(net.server.s, v, ARRAY_LEN(v));
	stream_write(net.server.s, v, 0);
	WAIT(net.client.got.n >= at);
	ck_assert(got(&net.client, str_n(big, at)));
}
END_TEST

/* TLS 1.3: five bytes before, a type and a tag behind (RFC 8446, 5.2). */
#define RECORD_MORE 22u

static uint64_t given(void)
{
	uint64_t n, taken;

	stream_progress(net.server.s, &n, &taken);
	return n;
}

START_TEST(record_sizes_at_the_edge)
{
	static const size_t sizes[] = { 1,     16383, 16384, 16385,
					32767, 32768, 32769, 65536 };
	uint64_t before;
	size_t at = 0;

	net_pair(_i);
	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		struct stream_vec v[2] = { { big + at, 3 },
					   { big + at + 3, sizes[i] } };

		before = given();
		stream_write(net.server.s, v, 2);
		/* However they are put together, no record more than it takes. */
		ck_assert_uint_eq(given() - before, 3 + sizes[i] +
				  (_i ? RECORD_MORE * (1 + (2 + sizes[i]) / 16384) : 0));
		at += 3 + sizes[i];
	}
	WAIT(net.client.got.n >= at);
	ck_assert(got(&net.client, str_n(big, at)));
}
END_TEST

/* A reader that pauses stops the writer; nothing is lost or turned round. */
START_TEST(backpressure)
{
	size_t pending;

	net_pair(_i);
	stream_read_pause(net.client.s);
	end_send(&net.server, big_str());
	for (int i = 0; i < 100; i++)
		net_step();
	ck_assert_int_eq(net.client.data, 0);
	pending = stream_pending(net.server.s);
	ck_assert_uint_gt(pending, 0);
	ck_assert_int_eq(net.server.drained, 0);
	end_send(&net.server, STR("tail"));
	ck_assert_uint_ge(stream_pending(net.server.s), pending);

	stream_read_resume(net.client.s);
	WAIT(net.client.got.n >= BIG + 4);
	ck_assert_uint_eq(net.client.got.n, BIG + 4);
	ck_assert_mem_eq(net.client.got.p, big, BIG);
	ck_assert_str_eq(net.client.got.p + BIG, "tail");
	WAIT(net.server.drained);
	ck_assert_int_eq(net.server.drained, 1);
	ck_assert_uint_eq(stream_pending(net.server.s), 0);
}
END_TEST

static int file_of_big(void)
{
	int file = memfd_create("big", MFD_CLOEXEC);

	ck_assert_int_eq(write(file, big, BIG), BIG);
	return file;
}

static void write_file(struct end *end, struct str head, int file, size_t n)
{
	const struct stream_vec v[2] = { { big, n / 3 }, { big + n / 3, n - n / 3 } };

	stream_write_file(end->s, head, v, 2, file);
}

/* What the socket does not take at once follows; what it took stays as it was, though
 * the file goes. */
START_TEST(a_part_from_a_file)
{
	static const size_t sizes[] = { 0, 1, 20000, BIG };
	int file = file_of_big();
	AUTO_BUF want = BUF_NONE;

	net_pair(_i);
	stream_read_pause(net.client.s);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		write_file(&net.server, STR("head"), file, sizes[i]);
		buf_z(&want, "head");
		buf_add(&want, big, sizes[i]);
	}
	ck_assert_uint_gt(stream_pending(net.server.s), 0);
	/* Behind what waits. */
	write_file(&net.server, STR("next"), file, 5);
	buf_z(&want, "next");
	buf_add(&want, big, 5);
	close(file);
	stream_read_resume(net.client.s);
	WAIT(net.client.got.n >= want.n);
	ck_assert(got(&net.client, buf_view(&want)));
	if (!_i)
		ck_assert_uint_eq(given(), want.n);
	/* To one that has closed. */
	stream_close(net.server.s);
	write_file(&net.server, STR("late"), -1, 5);
	WAIT(net.client.eof);
	ck_assert_uint_eq(net.client.got.n, want.n);
}
END_TEST

/* A file that cannot be read is none. */
START_TEST(a_part_from_no_file)
{
	net_pair(_i);
	write_file(&net.server, STR("head"), -1, 20000);
	WAIT(net.client.got.n >= 20004);
	ck_assert_mem_eq(net.client.got.p + 4, big, 20000);
}
END_TEST

static size_t refilled;

#define PIECE 500000u
#define PIECES (BIG / PIECE)

/* Until something is queued, so that there is a drain to go on from. */
static void refill(struct end *end)
{
	while (refilled < PIECES && stream_pending(end->s) == 0) {
		end_send(end, str_n(big + refilled * PIECE, PIECE));
		refilled++;
	}
}

START_TEST(writing_in_on_drain)
{
	net.server.on_drain = refill;
	net_pair(_i);
	stream_read_pause(net.client.s);
	refill(&net.server);
	ck_assert_uint_gt(stream_pending(net.server.s), 0);
	stream_read_resume(net.client.s);
	WAIT(net.client.got.n >= PIECES * PIECE);
	ck_assert(got(&net.client, str_n(big, PIECES * PIECE)));
}
END_TEST

static void read_all(struct raw *raw)
{
	raw_read_all(raw);
}

/* The reader makes room while the parts are being handed over: what comes behind
 * a part that was refused must wait, though it could be sent. */
START_TEST(many_large_parts_to_a_fast_reader)
{
	struct raw raw = { 0 };
	struct stream_vec v[VECS];

	net_listen(false);
	raw_start(&raw, read_all);
	WAIT(net.server.s);
	for (unsigned i = 0; i < VECS; i++)
		v[i] = (struct stream_vec){ big + i * (BIG / VECS),
					    BIG / VECS };
	for (int round = 0; round < 5; round++)
		stream_write(net.server.s, v, VECS);
	stream_close(net.server.s);
	raw_join(&raw);
	ck_assert_uint_eq(raw.got.n, 5u * BIG);
	for (size_t round = 0; round < 5; round++)
		ck_assert_mem_eq(raw.got.p + round * BIG, big, BIG);
	buf_fini(&raw.got);
	WAIT(net.server.closed);
}
END_TEST

START_TEST(parts_from_a_file_to_a_fast_reader)
{
	int file = file_of_big();
	AUTO_BUF want = BUF_NONE;
	struct raw raw = { 0 };

	net_listen(false);
	raw_start(&raw, read_all);
	WAIT(net.server.s);
	for (int i = 0; i < 20; i++) {
		write_file(&net.server, STR("head"), file, 1000000);
		buf_z(&want, "head");
		buf_add(&want, big, 1000000);
	}
	close(file);
	stream_close(net.server.s);
	raw_join(&raw);
	ck_assert(str_eq(buf_view(&raw.got), buf_view(&want)));
	buf_fini(&raw.got);
	WAIT(net.server.closed);
}
END_TEST

/* ---- pausing ---- */

static struct msg resume_msg;

static void resume_client(struct msg *msg)
{
	if (net.client.s)
		stream_read_resume(net.client.s);
}

static void pause_each(struct end *end, struct str bytes)
{
	stream_read_pause(end->s);
	resume_msg.run = resume_client;
	loop_post_sure(loop, &resume_msg);
}

/* With TLS there is always more of the wire at hand than one call gives. */
START_TEST(pausing_at_each_piece)
{
	net.client.on_data = pause_each;
	net_pair(_i);
	end_send(&net.server, str_n(big, 1u << 20));
	stream_close(net.server.s);
	WAIT(net.client.eof);
	ck_assert(got(&net.client, str_n(big, 1u << 20)));
}
END_TEST

static void pause_and_resume(struct end *end, struct str bytes)
{
	int data = end->data;

	stream_read_pause(end->s);
	stream_read_resume(end->s);
	/* Not below us. */
	ck_assert_int_eq(end->data, data);
}

START_TEST(resuming_inside_on_data)
{
	net.client.on_data = pause_and_resume;
	net_pair(_i);
	end_send(&net.server, str_n(big, 1u << 20));
	WAIT(net.client.got.n >= 1u << 20);
	ck_assert(got(&net.client, str_n(big, 1u << 20)));
}
END_TEST

static void pause_only(struct end *end, struct str bytes)
{
	stream_read_pause(end->s);
}

static void nothing(struct end *end, struct str bytes)
{
}

START_TEST(nothing_comes_while_paused)
{
	int data;

	net.client.on_data = pause_only;
	net_pair(_i);
	end_send(&net.server, str_n(big, 200000));
	stream_close(net.server.s);
	WAIT(net.client.data);
	data = net.client.data;
	for (int i = 0; i < 50; i++)
		net_step();
	ck_assert_int_eq(net.client.data, data);
	ck_assert_int_eq(net.client.eof, 0);
	net.client.on_data = nothing;
	stream_read_resume(net.client.s);
	ck_assert_int_eq(net.client.data, data);
	WAIT(net.client.eof);
	ck_assert(got(&net.client, str_n(big, 200000)));
}
END_TEST

START_TEST(closed_while_a_resume_is_under_way)
{
	net.client.on_data = pause_only;
	net_pair(_i);
	end_send(&net.server, str_n(big, 200000));
	WAIT(net.client.data);
	stream_read_resume(net.client.s);
	stream_abort(net.client.s);
	WAIT(net.client.closed);
	ck_assert_int_eq(net.client.err.code, OK);
}
END_TEST

START_TEST(paused_before_it_is_open)
{
	net_listen(_i);
	net_connect();
	stream_read_pause(net.client.s);
	WAIT(net.client.opened && net.server.s);
	end_send(&net.server, STR("x"));
	for (int i = 0; i < 20; i++)
		net_step();
	ck_assert_int_eq(net.client.data, 0);
	stream_read_resume(net.client.s);
	WAIT(got(&net.client, STR("x")));
}
END_TEST

/* ---- ends ---- */

START_TEST(close_sends_everything_first)
{
	net_pair(_i);
	end_send(&net.server, big_str());
	stream_close(net.server.s);
	stream_close(net.server.s);
	/* Too late. */
	end_send(&net.server, STR("tail"));
	ck_assert_int_eq(net.server.closed, 0);
	WAIT(net.client.eof);
	ck_assert(got(&net.client, big_str()));
	ck_assert_int_eq(net.client.eof, 1);
	stream_close(net.client.s);
	WAIT(net.client.closed && net.server.closed);
	ck_assert_int_eq(net.client.err.code, OK);
	ck_assert_int_eq(net.server.err.code, OK);
}
END_TEST

START_TEST(abort_tells_later)
{
	net_pair(_i);
	stream_abort(net.server.s);
	stream_abort(net.server.s);
	stream_close(net.server.s);
	end_send(&net.server, STR("nowhere"));
	stream_read_pause(net.server.s);
	stream_read_resume(net.server.s);
	ck_assert_int_eq(net.server.closed, 0);
	WAIT(net.server.closed);
	ck_assert_int_eq(net.server.err.code, OK);
	/* Clear text cannot tell this from an end; TLS can. */
	WAIT(_i ? net.client.closed : net.client.eof);
	ck_assert_int_eq(net.client.err.code, _i ? E_TLS : OK);
}
END_TEST

START_TEST(without_on_eof_the_stream_closes)
{
	static struct stream_ops ops;

	ops = end_ops;
	ops.on_eof = NULL;
	net_pair(_i);
	stream_set(net.client.s, &ops, &net.client);
	end_send(&net.server, STR("last"));
	stream_close(net.server.s);
	WAIT(net.client.closed && net.server.closed);
	ck_assert(got(&net.client, STR("last")));
	ck_assert_int_eq(net.client.err.code, OK);
}
END_TEST

static void close_end(struct end *end, struct str bytes)
{
	end_send(end, STR("bye"));
	stream_close(end->s);
}

static void abort_end(struct end *end, struct str bytes)
{
	stream_abort(end->s);
}

START_TEST(closing_inside_on_data)
{
	net.server.on_data = close_end;
	net_pair(_i);
	end_send(&net.client, str_n(big, 100000));
	WAIT(net.client.eof);
	ck_assert(got(&net.client, STR("bye")));
	ck_assert_int_eq(net.server.data, 1);
	stream_close(net.client.s);
	WAIT(net.server.closed && net.client.closed);
}
END_TEST

START_TEST(aborting_inside_on_data)
{
	net.server.on_data = abort_end;
	net_pair(_i);
	end_send(&net.client, str_n(big, 100000));
	WAIT(net.server.closed);
	ck_assert_int_eq(net.server.data, 1);
	ck_assert_int_eq(net.server.err.code, OK);
}
END_TEST

static void abort_open(struct end *end)
{
	stream_abort(end->s);
}

static void close_open(struct end *end)
{
	end_send(end, STR("one word"));
	stream_close(end->s);
}

START_TEST(aborting_inside_on_open)
{
	net.client.on_open = abort_open;
	net_listen(_i);
	net_connect();
	WAIT(net.client.closed);
	ck_assert_int_eq(net.client.err.code, OK);
	WAIT(net.server.closed || net.server.eof);
}
END_TEST

START_TEST(closing_inside_on_open)
{
	net.client.on_open = close_open;
	net_listen(_i);
	net_connect();
	WAIT(net.server.eof);
	ck_assert(got(&net.server, STR("one word")));
	stream_close(net.server.s);
	WAIT(net.client.closed && net.server.closed);
}
END_TEST

static void close_eof(struct end *end)
{
	close_end(end, STR(""));
}

START_TEST(closing_inside_on_eof)
{
	net.client.on_eof = close_eof;
	net_pair(_i);
	stream_close(net.server.s);
	WAIT(net.client.closed && net.server.closed);
	ck_assert_int_eq(net.client.err.code, OK);
	ck_assert_int_eq(net.server.err.code, OK);
	/* What comes after our close is dropped. */
	ck_assert_int_eq(net.server.data, 0);
}
END_TEST

START_TEST(closed_before_it_is_open)
{
	net_listen(_i);
	net_connect();
	stream_close(net.client.s);
	WAIT(net.client.closed);
	ck_assert_int_eq(net.client.opened, 0);
	ck_assert_int_eq(net.client.err.code, OK);
}
END_TEST

START_TEST(written_and_closed_before_it_is_open)
{
	net_listen(_i);
	net_connect();
	end_send(&net.client, STR("letter"));
	stream_close(net.client.s);
	end_send(&net.client, STR("too late"));
	WAIT(net.server.eof);
	ck_assert(got(&net.server, STR("letter")));
	stream_close(net.server.s);
	WAIT(net.client.closed);
	ck_assert_int_eq(net.client.err.code, OK);
}
END_TEST

/* Both ends are told when the loop is freed (net_teardown looks). */
START_TEST(the_loop_closes_what_is_open)
{
	net_pair(_i);
	stream_read_pause(net.client.s);
	end_send(&net.server, big_str());
}
END_TEST

/* ---- peers of another make ---- */

static void ask_and_half_close(struct raw *raw)
{
	raw_send(raw, "question", 8);
	shutdown(raw->fd, SHUT_WR);
	raw_read_all(raw);
}

static void tls_ask_and_half_close(struct raw *raw)
{
	if (!raw_handshake(raw))
		return;
	raw_send(raw, "question", 8);
	SSL_shutdown(raw->ssl);
	raw_read_all(raw);
}

/* A client may end its side after the question and still gets the answer. */
START_TEST(half_closed_by_the_peer)
{
	struct raw raw = { 0 };

	net_listen(_i);
	raw_start(&raw, _i ? tls_ask_and_half_close : ask_and_half_close);
	WAIT(net.server.eof);
	ck_assert(got(&net.server, STR("question")));
	for (int i = 0; i < 20; i++)
		net_step();
	ck_assert_int_eq(net.server.closed, 0);
	end_send(&net.server, big_str());
	stream_close(net.server.s);
	raw_join(&raw);
	ck_assert_uint_eq(raw.got.n, BIG);
	ck_assert_mem_eq(raw.got.p, big, BIG);
	ck_assert_int_eq(raw.end, 0);
	WAIT(net.server.closed);
	ck_assert_int_eq(net.server.err.code, OK);
	ck_assert_int_eq(net.server.eof, 1);
	buf_fini(&raw.got);
}
END_TEST

/* Two records, the goodbye and a byte that TLS knows nothing of, in one piece. */
static void tls_talk_past_the_goodbye(struct raw *raw)
{
	BIO *wire = BIO_new(BIO_s_mem());
	char *bytes;
	long n;

	if (!raw_handshake(raw))
		return;
	SSL_set0_wbio(raw->ssl, wire);
	raw_send(raw, "ques", 4);
	raw_send(raw, "tion", 4);
	SSL_shutdown(raw->ssl);
	BIO_write(wire, "x", 1);
	n = BIO_get_mem_data(wire, &bytes);
	if (send(raw->fd, bytes, (size_t)n, MSG_NOSIGNAL) == n)
		raw_read_all(raw);
}

static void pause_eof(struct end *end)
{
	stream_read_pause(end->s);
}

static void resume_server(void)
{
	net.server.on_data = NULL;
	if (net.server.s)
		stream_read_resume(net.server.s);
}

/* It may come before a pause, in what a pause left, and later. */
START_TEST(nothing_counts_behind_the_goodbye)
{
	struct raw raw = { 0 };
	int on = 1;

	net.server.on_data = _i == 1 ? pause_only : NULL;
	net.server.on_eof = _i == 2 ? pause_eof : NULL;
	net_listen(true);
	raw_start(&raw, tls_talk_past_the_goodbye);
	WAIT(net.server.data);
	resume_server();
	WAIT(net.server.eof);
	resume_server();
	setsockopt(raw.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(send(raw.fd, "y", 1, MSG_NOSIGNAL), 1);
		net_step();
	}
	ck_assert(got(&net.server, STR("question")));
	ck_assert_int_eq(net.server.closed, 0);
	end_send(&net.server, STR("answer"));
	stream_close(net.server.s);
	raw_join(&raw);
	ck_assert(str_eq(buf_view(&raw.got), STR("answer")));
	WAIT(net.server.closed);
	ck_assert_int_eq(net.server.err.code, OK);
	ck_assert_int_eq(net.server.eof, 1);
	buf_fini(&raw.got);
}
END_TEST

static void talk_without_listening(struct raw *raw)
{
	char *bytes = mem_zero(BIG);

	raw_send(raw, bytes, BIG);
	free(bytes);
	raw_read_all(raw);
}

/* The peer is still sending when we answer and close: a reset would take the
 * answer from it. */
START_TEST(a_peer_that_goes_on_sending_gets_the_answer)
{
	struct raw raw = { 0 };

	net.server.on_data = close_end;
	net_listen(false);
	raw_start(&raw, talk_without_listening);
	raw_join(&raw);
	ck_assert_str_eq(raw.got.p ? raw.got.p : "", "bye");
	ck_assert_int_eq(raw.end, 0);
	WAIT(net.server.closed);
	ck_assert_int_eq(net.server.err.code, OK);
	buf_fini(&raw.got);
}
END_TEST

static pthread_barrier_t barrier;

static void hold_on(struct raw *raw)
{
	raw_send(raw, "x", 1);
	raw_read_all(raw);
	pthread_barrier_wait(&barrier);
}

/* The only test that waits by design: for the two seconds of patience. */
START_TEST(lingering_ends)
{
	struct raw raw = { 0 };
	uint64_t began = uv_hrtime(), ms;

	pthread_barrier_init(&barrier, NULL, 2);
	net.server.on_data = close_end;
	net_listen(false);
	raw_start(&raw, hold_on);
	WAIT(net.server.closed);
	ms = (uv_hrtime() - began) / 1000000;
	ck_assert_uint_ge(ms, 1900);
	ck_assert_int_eq(net.server.err.code, OK);
	pthread_barrier_wait(&barrier);
	raw_join(&raw);
	buf_fini(&raw.got);
}
END_TEST

static void send_and_reset(struct raw *raw)
{
	struct linger linger = { .l_onoff = 1 };

	raw_send(raw, "x", 1);
	pthread_barrier_wait(&barrier);
	setsockopt(raw->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

START_TEST(a_reset_is_an_error)
{
	struct raw raw = { 0 };

	pthread_barrier_init(&barrier, NULL, 2);
	net_listen(false);
	raw_start(&raw, send_and_reset);
	WAIT(net.server.data);
	pthread_barrier_wait(&barrier);
	WAIT(net.server.closed);
	ck_assert_int_eq(net.server.err.code, E_IO);
	ck_assert_ptr_nonnull(strstr(net.server.err.text, "reset"));
	raw_join(&raw);
}
END_TEST

/* The queue breaks while we write: no callback below us, one on_close later. */
START_TEST(writing_to_one_who_is_gone)
{
	struct raw raw = { 0 };

	pthread_barrier_init(&barrier, NULL, 2);
	net_listen(false);
	raw_start(&raw, send_and_reset);
	WAIT(net.server.data);
	stream_read_pause(net.server.s);
	pthread_barrier_wait(&barrier);
	pthread_join(raw.thread, NULL);
	for (int i = 0; i < 100 && net.server.s; i++) {
		end_send(&net.server, str_n(big, 100000));
		ck_assert_int_eq(net.server.closed, 0);
	}
	WAIT(net.server.closed);
	ck_assert_int_eq(net.server.err.code, E_IO);
	ck_assert_int_eq(net.server.drained, 0);
}
END_TEST

static TCase *add_case(Suite *s, const char *name)
{
	TCase *t = tcase_create(name);

	tcase_add_unchecked_fixture(t, certs_setup, certs_teardown);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return t;
}

#define BOTH(test) tcase_add_loop_test(t, test, 0, 2)

/* What the peer's machine has, whether or not anybody reads it there. */
START_TEST(progress_is_told)
{
	static char block[20 << 20];
	uint64_t given, taken, before;

	net_pair(_i);
	stream_progress(net.client.s, &before, &taken);
	end_send(&net.client, STR("small"));
	WAIT((stream_progress(net.client.s, &given, &taken), taken == given));
	ck_assert_uint_ge(given, before + 5);
	ck_assert(_i || given == 5);

	stream_read_pause(net.server.s);
	net.server.quiet = true;
	end_send(&net.client, str_n(block, sizeof(block)));
	stream_progress(net.client.s, &given, &taken);
	ck_assert_uint_ge(given, before + 5 + sizeof(block));
	ck_assert_uint_lt(taken, given);
	before = taken;
	stream_read_resume(net.server.s);
	WAIT((stream_progress(net.client.s, &given, &taken), taken > before));
	WAIT((stream_progress(net.client.s, &given, &taken), taken == given));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io/stream");
	TCase *t = add_case(s, "bytes");

	BOTH(bytes_both_ways);
	BOTH(progress_is_told);
	BOTH(what_is_written_before_open_is_sent_then);
	BOTH(many_parts_keep_their_order);
	BOTH(record_sizes_at_the_edge);
	BOTH(a_part_from_a_file);
	BOTH(a_part_from_no_file);
	BOTH(backpressure);
	BOTH(writing_in_on_drain);
	tcase_add_test(t, many_large_parts_to_a_fast_reader);
	tcase_add_test(t, parts_from_a_file_to_a_fast_reader);
	t = add_case(s, "pausing");
	BOTH(pausing_at_each_piece);
	BOTH(resuming_inside_on_data);
	BOTH(nothing_comes_while_paused);
	BOTH(closed_while_a_resume_is_under_way);
	BOTH(paused_before_it_is_open);
	t = add_case(s, "ends");
	BOTH(close_sends_everything_first);
	BOTH(abort_tells_later);
	BOTH(without_on_eof_the_stream_closes);
	BOTH(closing_inside_on_data);
	BOTH(aborting_inside_on_data);
	BOTH(aborting_inside_on_open);
	BOTH(closing_inside_on_open);
	BOTH(closing_inside_on_eof);
	BOTH(closed_before_it_is_open);
	BOTH(written_and_closed_before_it_is_open);
	BOTH(the_loop_closes_what_is_open);
	t = add_case(s, "peers");
	BOTH(half_closed_by_the_peer);
	tcase_add_loop_test(t, nothing_counts_behind_the_goodbye, 0, 3);
	tcase_add_test(t, a_peer_that_goes_on_sending_gets_the_answer);
	tcase_add_test(t, lingering_ends);
	tcase_add_test(t, a_reset_is_an_error);
	tcase_add_test(t, writing_to_one_who_is_gone);
	return s;
}
UNIT_MAIN(suite)
