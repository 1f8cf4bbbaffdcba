/*
 * Streams whose n-th call of the system fails: what is not lost with the connection
 * arrives whole and in order, what is lost is told to both ends, and the next
 * connection is well.  Loops, threads and listeners that cannot be had say so.
 */
#include "net.h"

#include "base/log.h"
#include "base/mem.h"
#include "io/pool.h"

#include "calls.h"

#include "base/banned.h"

#define ECHO_BYTES 300000u

static struct buf sent;
static bool by_tls;
static unsigned broken, whole;

static void ignore(void *data, enum log_level level, struct str line)
{
}

static void send_back(struct end *end, struct str bytes)
{
	end_send(end, bytes);
}

static void close_too(struct end *end)
{
	stream_close(end->s);
}

static bool has_ended(void)
{
	return net.client.closed || net.client.eof || net.client.got.n == sent.n;
}

/* Both ends know of the end, however it came. */
static void end_both(void)
{
	if (net.client.s)
		stream_abort(net.client.s);
	WAIT(net.client.closed);
	if (net.server.s)
		stream_abort(net.server.s);
	WAIT(!net.server.s);
}

static void forget(struct end *end)
{
	buf_fini(&end->got);
	*end = (struct end){ 0 };
}

/* One connection: what the client sends comes back. */
static void echo(void)
{
	forget(&net.server);
	forget(&net.client);
	net.accepted = 0;
	net.server.on_data = send_back;
	net.server.on_eof = close_too;
	net.server.quiet = true;
	net_connect();
	end_send(&net.client, buf_view(&sent));
	WAIT(has_ended());
}

/* What the client saw of it: all that it sent, or an end that it was told of. */
static void judge(const struct calls_fault *fault)
{
	bool is_whole = got(&net.client, buf_view(&sent));

	whole += is_whole;
	broken += !is_whole;
	ck_assert_msg(is_whole || net.client.eof || net.client.err.code != OK,
		      "%s: bytes are missing, and no word of it", fault->name);
	/* These are no reason to give a connection up. */
	if (fault->error == EAGAIN || fault->error == EINTR ||
	    fault->error == CALLS_SHORT ||
	    (fault->error == ENOBUFS && fault->call == CALLS_SEND))
		ck_assert_msg(is_whole, "%s: %s", fault->name,
			      net.client.err.text);
}

static void run_echo(const struct calls_fault *fault, uint64_t n, void *data)
{
	calls_arm(fault, n);
	echo();
	(void)calls_disarm();
	judge(fault);
	end_both();
	/* And again, with nothing that fails. */
	echo();
	ck_assert_msg(got(&net.client, buf_view(&sent)), "%s %llu: the next one",
		      fault->name, (unsigned long long)n);
	end_both();
}

static void sweep_echo(bool tls)
{
	by_tls = tls;
	for (unsigned i = 0; i < ECHO_BYTES; i++)
		buf_c(&sent, (char)(i * 7 + i / 251));
	net_listen(tls);
	ck_assert_uint_gt(calls_sweep(calls_of_streams,
				      ARRAY_LEN(calls_of_streams), run_echo, NULL),
			  40);
	ck_assert_uint_gt(broken, 8);
	ck_assert_uint_gt(whole, 20);
	ck_assert_uint_ge(calls_sweep(calls_of_making, ARRAY_LEN(calls_of_making),
				      run_echo, NULL), ARRAY_LEN(calls_of_making));
	buf_fini(&sent);
	/* As net_teardown finds it. */
	net.accepted = net.server.closed = 1;
	net.client.closed = 1;
}

START_TEST(streams_end_or_go_on)
{
	sweep_echo(false);
}
END_TEST

START_TEST(streams_with_tls_end_or_go_on)
{
	sweep_echo(true);
}
END_TEST

/* ---- what cannot be had ---- */

static void on_accept(struct listener *l, struct stream *s, void *data)
{
	stream_abort(s);
}

static void say_stop(struct msg *msg)
{
}

static void run_start(const struct calls_fault *fault, uint64_t n, void *data)
{
	struct listener *listener = NULL;
	struct loop *other = NULL;
	struct pool *pool = NULL;
	struct err err = { 0 };
	struct msg msg = { .run = say_stop };
	enum code rc;

	calls_arm(fault, n);
	rc = listener_new(loop, STR("127.0.0.1:0"), false, NULL, on_accept, NULL,
			  &listener, &err);
	if (rc == OK)
		rc = loop_try_new("other", 0, &other, &err);
	if (rc == OK)
		rc = loop_start(other, &err);
	if (rc == OK)
		rc = pool_try_new("workers", 3, 8, &pool, &err);
	if (calls_disarm() >= n) {
		ck_assert_msg(rc != OK, "%s %llu: nobody noticed", fault->name,
			      (unsigned long long)n);
		ck_assert_uint_gt(strlen(err.text), 10);
	} else {
		ck_assert_msg(rc == OK, "%s", err.text);
		ck_assert(loop_post(other, &msg));
	}
	listener_close(&listener);
	if (other)
		loop_stop(other);
	pool_free(&pool);
	loop_free(&other);
	net_step();
}

START_TEST(what_cannot_be_had_is_an_error)
{
	ck_assert_uint_ge(calls_sweep(calls_of_starts, 5, run_start, NULL), 5);
	ck_assert_uint_ge(calls_sweep(&(struct calls_fault)CALLS_FAULT(
					      THREAD, EAGAIN),
				      1, run_start, NULL), 3);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io/calls");
	TCase *t = tcase_create("calls");

	log_set_sink(ignore, NULL);
	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, certs_setup, certs_teardown);
	tcase_add_checked_fixture(t, net_setup, net_teardown);
	tcase_add_test(t, streams_end_or_go_on);
	tcase_add_test(t, streams_with_tls_end_or_go_on);
	tcase_add_test(t, what_cannot_be_had_is_an_error);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
