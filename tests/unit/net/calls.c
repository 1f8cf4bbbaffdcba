/*
 * Two nodes, and the n-th call of the system that either makes fails while they
 * connect and exchange frames: what arrives is in order and once, and what broke is
 * made anew.
 */
#include <stdio.h>

#include "world.h"

#include "base/mem.h"

#include "calls.h"

#include "base/banned.h"

#define FRAMES 40u
#define LARGE 200000u

static unsigned last[4][NET__CHANNELS];  /* number of the last frame, by node */
static unsigned serial;

static void on_frame(struct node *node, uint64_t peer, enum net_channel channel,
		     struct str bytes)
{
	uint64_t n;

	ck_assert(str_u64(str_first(bytes, str_find(bytes, ' ')), &n));
	ck_assert_msg(n > last[node->id][channel], "frame %u again, or late",
		      (unsigned)n);
	last[node->id][channel] = (unsigned)n;
}

static enum code send_one(struct node *from, uint64_t to,
			  enum net_channel channel, size_t bytes)
{
	AUTO_BUF b = BUF_NONE;
	enum code rc;

	buf_printf(&b, "%u ", ++serial);
	memset(buf_extend(&b, bytes), 'x', bytes);
	rc = net_send(from->net, to, channel, buf_view(&b));
	ck_assert(rc == OK || rc == E_UNAVAILABLE || rc == E_BUSY);
	return rc;
}

static void exchange(void)
{
	for (unsigned i = 0; i < FRAMES; i++) {
		send_one(N1, 2, NET_RAFT, i % 7 ? 10 : LARGE);
		send_one(N2, 1, NET_RAFT, 10);
		send_one(N1, 2, NET_RPC, 100);
		send_one(N2, 1, NET_SHIP, i % 9 ? 100 : LARGE);
		if (i % 4 == 0)
			step();
	}
}

/* A frame gets through; what was lost on the way is sent again. */
static void gets_through(struct node *from, struct node *to,
			 enum net_channel channel)
{
	uint64_t until = uv_hrtime() + 20000000000u;
	unsigned sent = 0;

	while (last[to->id][channel] < sent || sent == 0) {
		unsigned before = from->downs;

		ck_assert_msg(uv_hrtime() < until, "no frame gets through");
		if (send_one(from, to->id, channel, 10) == OK)
			sent = serial;
		while (sent && last[to->id][channel] < sent &&
		       from->downs == before && uv_hrtime() < until)
			step();
		step();
	}
}

static void run(const struct calls_fault *fault, uint64_t n, void *data)
{
	world_setup();
	memset(last, 0, sizeof(last));
	serial = 0;
	for (struct node *node = N1; node <= N2; node++) {
		node->quiet = true;
		node->on_frame = on_frame;
		if (data)
			node_tls(node, node == N1 ? "n1" : "n2", "ca");
		node_open(node);
	}
	calls_arm(fault, n);
	node_knows(N1, N2);
	node_knows(N2, N1);
	WAIT(link_of(N1, 2, NET_RAFT).is_up && link_of(N2, 1, NET_RAFT).is_up);
	exchange();
	gets_through(N1, N2, NET_RAFT);
	gets_through(N2, N1, NET_RAFT);
	(void)calls_disarm();
	gets_through(N1, N2, NET_RPC);
	gets_through(N2, N1, NET_SHIP);
	WAIT(link_of(N1, 2, NET_RAFT).is_up && link_of(N2, 1, NET_RAFT).is_up);
	world_teardown();
}

static void sweep(void *with_tls)
{
	ck_assert_uint_gt(calls_sweep(calls_of_streams,
				      ARRAY_LEN(calls_of_streams), run, with_tls),
			  60);
	ck_assert_uint_gt(calls_sweep(calls_of_making, ARRAY_LEN(calls_of_making),
				      run, with_tls), 30);
}

START_TEST(nodes_connect_anew)
{
	sweep(NULL);
}
END_TEST

START_TEST(nodes_with_tls_connect_anew)
{
	make_cert("n1", "ca", "URI:conflux://node/1", 5);
	make_cert("n2", "ca", "URI:conflux://node/2", 5);
	sweep(N1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("net/calls");
	TCase *t = tcase_create("calls");

	tcase_set_timeout(t, 170);
	tcase_add_unchecked_fixture(t, certs_setup, certs_teardown);
	tcase_add_test(t, nodes_connect_anew);
	tcase_add_test(t, nodes_with_tls_connect_anew);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
