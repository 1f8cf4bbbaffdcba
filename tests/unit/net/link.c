/* Links: order, what a broken connection loses, back-pressure, time. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "world.h"

#include "base/banned.h"

/* ---- frames ---- */

START_TEST(frames_go_both_ways)
{
	node_pair();
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "a"), OK);
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, ""), OK);
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "b"), OK);
	ck_assert_int_eq(node_send(N2, 1, NET_RAFT, "c"), OK);
	WAIT(N2->frames == 3 && N1->frames == 1);
	ck_assert(got(N2, "1 raft a\n1 raft \n1 raft b\n"));
	ck_assert(got(N1, "2 raft c\n"));
	ck_assert_uint_eq(link_of(N1, 2, NET_RAFT).frames_out, 3);
	ck_assert_uint_eq(link_of(N2, 1, NET_RAFT).frames_in, 3);
	ck_assert_uint_eq(link_of(N2, 1, NET_RAFT).bytes_in, 2);
	ck_assert_uint_eq(link_of(N1, 2, NET_RAFT).bytes_out, 2);
	ck_assert_uint_eq(link_of(N1, 2, NET_RAFT).connects, 1);
	ck_assert_int_eq(node_send(N1, 3, NET_RAFT, "x"), E_NOT_FOUND);
}
END_TEST

/* The others are dialled when they are used, and one at a time. */
START_TEST(channels_are_apart)
{
	node_pair();
	ck_assert_uint_eq(link_of(N1, 2, NET_RPC).attempts, 0);
	ck_assert_uint_eq(link_of(N2, 1, NET_RAFT).accepts, 1);
	ck_assert_int_eq(node_send(N1, 2, NET_RPC, "call"), OK);
	ck_assert_int_eq(node_send(N1, 2, NET_SHIP, "file"), OK);
	WAIT(N2->frames == 2);
	ck_assert_uint_eq(link_of(N1, 2, NET_RPC).connects, 1);
	ck_assert_uint_eq(link_of(N1, 2, NET_SHIP).connects, 1);
	ck_assert_uint_eq(link_of(N2, 1, NET_SHIP).accepts, 1);
	ck_assert(!link_of(N2, 1, NET_RPC).is_up);
	ck_assert(link_of(N2, 1, NET_RPC).is_up_in);
	ck_assert_uint_eq(N1->ups, 3);
	ck_assert(got(N2, "1 rpc call\n1 ship file\n") ||
		  got(N2, "1 ship file\n1 rpc call\n"));
}
END_TEST

/* Without a frame, and again when it breaks. */
START_TEST(a_link_that_is_wanted)
{
	node_pair();
	net_want(N1->net, 2, NET_RPC, true);
	net_want(N1->net, 3, NET_RPC, true);
	WAIT(N1->is_up[NET_RPC]);
	net_drop(N1->net, 2, NET_RPC);
	WAIT(N1->downs == 1);
	WAIT(N1->is_up[NET_RPC]);
	net_want(N1->net, 2, NET_RPC, false);
	net_want(N1->net, 2, NET_RAFT, false);
	net_drop(N1->net, 2, NET_RPC);
	net_drop(N1->net, 2, NET_RAFT);
	WAIT(N1->downs == 3 && N1->is_up[NET_RAFT]);
	pass_ms(100);
	ck_assert_uint_eq(link_of(N1, 2, NET_RPC).attempts, 2);
	ck_assert(!N1->is_up[NET_RPC]);
	ck_assert_int_eq(node_send(N1, 2, NET_RPC, "a"), OK);
	WAIT(N2->frames == 1);
}
END_TEST

static uint64_t numbers_next, numbers_seen;

/* Frames of any size, whose content follows from their number. */
static struct str numbered(struct buf *b, uint64_t n)
{
	size_t size = n % 97 == 0 ? 100000 : n % 300;

	buf_reset(b);
	wr_u64(b, n);
	memset(buf_extend(b, size), (int)(n & 255), size);
	return buf_view(b);
}

static void check_number(struct node *node, uint64_t peer,
			 enum net_channel channel, struct str bytes)
{
	AUTO_BUF want = BUF_NONE;
	struct rd r = rd_of(bytes);
	uint64_t n = rd_u64(&r);

	/* Lost ones make a gap; none comes twice, or before its time. */
	ck_assert_uint_ge(n, numbers_next);
	ck_assert(str_eq(bytes, numbered(&want, n)));
	numbers_next = n + 1;
	numbers_seen++;
}

static void send_numbers(uint64_t *n, unsigned count)
{
	AUTO_BUF b = BUF_NONE;

	for (; count; count--, (*n)++)
		if (net_send(N1->net, 2, NET_RAFT, numbered(&b, *n)))
			return;
}

START_TEST(frames_of_any_size_in_order)
{
	static char whole[8 << 20];
	uint64_t n = 0;

	N2->quiet = true;
	N2->on_frame = check_number;
	node_pair();
	send_numbers(&n, 5000);
	ck_assert_uint_eq(n, 5000);
	WAIT(numbers_seen == 5000);
	ck_assert_uint_eq(N2->frames, 5000);

	/* The largest there is, and one byte more. */
	N2->on_frame = NULL;
	ck_assert_int_eq(net_send(N1->net, 2, NET_RAFT,
				  str_n(whole, sizeof(whole))),
			 OK);
	ck_assert_int_eq(net_send(N1->net, 2, NET_RAFT,
				  str_n(whole, sizeof(whole) + 1)),
			 E_TOO_LARGE);
	WAIT(N2->frames == 5001);
}
END_TEST

/* ---- connections that break ---- */

START_TEST(order_across_broken_connections)
{
	struct proxy *p;
	uint64_t n = 0;

	N1->config.limits.backoff_max_ms = 10;
	N2->quiet = true;
	N2->on_frame = check_number;
	node_open(N1);
	node_open(N2);
	node_knows(N2, N1);
	p = proxy_new(N2->addr);
	ck_assert_int_eq(net_peer_set(N1->net, 2, str_of(proxy_addr(p)), NULL),
			 OK);
	for (unsigned cuts = 0; cuts < 30; cuts++) {
		uint64_t seen = numbers_seen;

		/* In the middle of what flows. */
		WAIT((send_numbers(&n, 40), numbers_seen > seen));
		proxy_cut(p);
		send_numbers(&n, 40);
		WAIT(N1->downs == cuts + 1);
	}
	WAIT(N1->is_up[NET_RAFT]);
	ck_assert_uint_ge(link_of(N1, 2, NET_RAFT).connects, 31);
	/* Each was noticed at once, and not by silence. */
	ck_assert_uint_eq(logged("nothing was heard"), 0);
	send_numbers(&n, 100);
	WAIT(numbers_next == n);
	ck_assert_uint_lt(numbers_seen, n);
}
END_TEST

START_TEST(a_peer_that_starts_again)
{
	node_pair();
	node_close(N2);
	WAIT(N1->downs == 1);
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "lost"), OK);
	WAIT(node_send(N1, 2, NET_RAFT, "lost") == E_UNAVAILABLE);
	ck_assert_uint_ge(link_of(N1, 2, NET_RAFT).dropped, 1);
	node_open(N2);
	node_knows(N2, N1);
	WAIT(N1->is_up[NET_RAFT] && N2->is_up[NET_RAFT]);
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "new"), OK);
	ck_assert_int_eq(node_send(N2, 1, NET_RAFT, "back"), OK);
	WAIT(N2->frames == 1 && N1->frames == 1);
	ck_assert(got(N2, "1 raft new\n"));
}
END_TEST

/* Retries come after longer and longer pauses; the log has a line a minute. */
START_TEST(pauses_grow)
{
	uint64_t start = uv_hrtime();
	struct err err = { 0 };

	node_open(N1);
	/* A port that nobody has. */
	node_open(N2);
	node_close(N2);
	ck_assert_int_eq(net_peer_set(N1->net, 2, str_of(N2->addr), &err), OK);
	/* 12 + 25 + 50 + 100 + 200 ms at least, 25 + ... + 400 at most. */
	WAIT(link_of(N1, 2, NET_RAFT).attempts >= 7);
	ck_assert_uint_ge((uv_hrtime() - start) / 1000000, 380);
	ck_assert_uint_eq(link_of(N1, 2, NET_RAFT).connects, 0);
	ck_assert(has_error(N1, 2, "refused"));
	ck_assert_uint_eq(logged("connection refused"), 1);
	ck_assert_uint_eq(N1->ups, 0);
}
END_TEST

/* One that accepts and says nothing. */
START_TEST(a_connection_in_vain_ends)
{
	char addr[72];
	int fd = raw_listen(addr);

	N1->config.limits.connect_timeout_ms = 50;
	node_open(N1);
	ck_assert_int_eq(net_peer_set(N1->net, 2, str_of(addr), NULL), OK);
	ck_assert_int_eq(node_send(N1, 2, NET_RPC, "waits"), OK);
	WAIT(link_of(N1, 2, NET_RAFT).attempts >= 3);
	ck_assert(has_error(N1, 2, "no connection within 50 ms"));
	/* What waited for it is told to be lost. */
	WAIT(N1->downs >= 1);
	ck_assert_uint_eq(link_of(N1, 2, NET_RPC).dropped, 1);
	ck_assert_uint_eq(link_of(N1, 2, NET_RPC).queued_bytes, 0);
	close(fd);
}
END_TEST

/* Nobody closes it, and nothing moves any more. */
START_TEST(a_dead_link_is_noticed)
{
	struct proxy *p;
	uint64_t start;

	node_open(N1);
	node_open(N2);
	node_knows(N2, N1);
	p = proxy_new(N2->addr);
	ck_assert_int_eq(net_peer_set(N1->net, 2, str_of(proxy_addr(p)), NULL),
			 OK);
	WAIT(N1->is_up[NET_RAFT] && link_of(N1, 2, NET_RAFT).rtt_us);
	/* An idle one lives. */
	pass_ms(600);
	ck_assert_uint_eq(N1->downs, 0);
	start = uv_hrtime();
	proxy_stall(p, true);
	/* Also while it is written to: the kernel takes it. */
	WAIT((node_send(N1, 2, NET_RAFT, "x") || true) && N1->downs == 1);
	ck_assert_uint_ge((uv_hrtime() - start) / 1000000, 300);
	ck_assert(has_error(N1, 2, "nothing was heard for 400 ms"));
	/* The other side, whose peer says to ping each 20 ms, too. */
	WAIT(!link_of(N2, 1, NET_RAFT).is_up_in);
	proxy_stall(p, false);
	WAIT(N1->is_up[NET_RAFT]);
}
END_TEST

/* A node that could not run blames nobody: what came meanwhile is read first. */
START_TEST(a_node_that_was_stopped)
{
	unsigned rounds = 3;

	node_pair();
	WAIT(link_of(N1, 2, NET_RAFT).rtt_us && link_of(N2, 1, NET_RAFT).rtt_us);
	while (rounds--) {
		usleep(450000);
		pass_ms(30);
	}
	ck_assert_uint_eq(N1->downs + N2->downs, 0);
	ck_assert_uint_eq(link_of(N1, 2, NET_RAFT).accepts +
				  link_of(N2, 1, NET_RAFT).accepts,
			  2);
}
END_TEST

/* ---- back-pressure ---- */

static void fill(enum net_channel channel, unsigned *sent)
{
	static char block[50000];
	enum code rc;

	while ((rc = net_send(N1->net, 2, channel,
			      str_n(block, sizeof(block)))) == OK) {
		(*sent)++;
		step();
	}
	ck_assert_int_eq(rc, E_BUSY);
}

START_TEST(a_slow_receiver_is_waited_for)
{
	unsigned sent = 0, before;
	struct net_link_stats stats;

	N1->config.limits.queue_bytes_max[NET_SHIP] = 1000000;
	N2->quiet = true;
	node_pair();
	net_hold(N2->net, 1, NET_SHIP, true);
	fill(NET_SHIP, &sent);
	stats = link_of(N1, 2, NET_SHIP);
	ck_assert_uint_le(stats.queued_bytes, 1000000);
	ck_assert_uint_ge(stats.queued_bytes, 900000);
	ck_assert_uint_eq(stats.dropped, 1);
	ck_assert_uint_eq(N1->rooms, 0);
	before = N2->frames;
	ck_assert_uint_le(before, 2);

	/* A heartbeat passes, and a link that is held is not dead. */
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "beat"), OK);
	WAIT(N2->frames == before + 1);
	pass_ms(900);
	ck_assert_uint_eq(N1->downs, 0);
	ck_assert_uint_eq(N2->frames, before + 1);

	net_hold(N2->net, 1, NET_SHIP, false);
	WAIT(N2->frames == sent + 1);
	WAIT(N1->rooms == 1);
	ck_assert_uint_eq(link_of(N1, 2, NET_SHIP).queued_bytes, 0);
	ck_assert_int_eq(node_send(N1, 2, NET_SHIP, "more"), OK);
	WAIT(N2->frames == sent + 2);
	ck_assert_uint_eq(N1->rooms, 1);
}
END_TEST

/* What is queued while a connection is made is bounded as well, and room is
 * told of though the socket takes all of it. */
START_TEST(a_queue_before_the_connection)
{
	static char block[1000];
	unsigned sent = 0;

	N1->config.limits.queue_bytes_max[NET_RPC] = 5000;
	node_pair();
	N2->quiet = true;
	while (net_send(N1->net, 2, NET_RPC, str_n(block, sizeof(block))) == OK)
		sent++;
	ck_assert_uint_eq(sent, 4);
	WAIT(N1->rooms == 1);
	WAIT(N2->frames == 4);
}
END_TEST

/* One that is larger than the whole queue still goes, alone. */
START_TEST(a_frame_beyond_the_queue)
{
	static char block[9000];

	N1->config.limits.queue_bytes_max[NET_RPC] = 5000;
	node_pair();
	ck_assert_int_eq(net_send(N1->net, 2, NET_RPC,
				  str_n(block, sizeof(block))),
			 OK);
	ck_assert_int_eq(node_send(N1, 2, NET_RPC, "b"), E_BUSY);
	WAIT(N1->rooms == 1);
	ck_assert_int_eq(node_send(N1, 2, NET_RPC, "c"), OK);
	WAIT(N2->frames == 2);
}
END_TEST

/* Nor is it forgotten where a frame takes the queue along before the turn ends. */
START_TEST(room_behind_a_large_frame)
{
	static char block[40000];

	N1->config.limits.queue_bytes_max[NET_RAFT] = 60000;
	node_pair();
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(net_send(N1->net, 2, NET_RAFT,
					  str_n(block, 10000)),
				 OK);
	ck_assert_int_eq(net_send(N1->net, 2, NET_RAFT, str_n(block, 40000)),
			 E_BUSY);
	ck_assert_int_eq(net_send(N1->net, 2, NET_RAFT, str_n(block, 20000)),
			 OK);
	WAIT(N1->rooms == 1);
	WAIT(N2->frames == 4);
}
END_TEST

/* Who waits for room that never comes is told when it is over. */
START_TEST(room_after_a_broken_connection)
{
	unsigned sent = 0;

	N1->config.limits.queue_bytes_max[NET_SHIP] = 1000000;
	N2->quiet = true;
	node_pair();
	net_hold(N2->net, 1, NET_SHIP, true);
	fill(NET_SHIP, &sent);
	node_close(N2);
	WAIT(N1->rooms == 1 && N1->downs == 2);
	ck_assert_uint_eq(link_of(N1, 2, NET_SHIP).queued_bytes, 0);
}
END_TEST

/* Slow, and not dead: bytes move on, though no answer to a ping can come. */
START_TEST(a_long_queue_is_no_dead_link)
{
	static char block[1 << 20];
	struct proxy *p;
	unsigned n;

	N2->quiet = true;
	node_open(N1);
	node_open(N2);
	node_knows(N2, N1);
	p = proxy_new(N2->addr);
	ck_assert_int_eq(net_peer_set(N1->net, 2, str_of(proxy_addr(p)), NULL),
			 OK);
	WAIT(N1->is_up[NET_RAFT]);
	for (n = 0; n < 60; n++)
		ck_assert_int_eq(net_send(N1->net, 2, NET_RAFT,
					  str_n(block, sizeof(block))),
				 OK);
	/* A trickle for three times the time that a silence may last. */
	for (unsigned i = 0; i < 12; i++) {
		uint64_t bytes = proxy_bytes(p);

		proxy_stall(p, true);
		pass_ms(100);
		proxy_stall(p, false);
		WAIT(proxy_bytes(p) > bytes + 1000000);
	}
	ck_assert_uint_lt(N2->frames, n);
	WAIT(N2->frames == n);
	ck_assert_uint_eq(N1->downs, 0);
}
END_TEST

/* The smaller of the two limits of a frame counts. */
START_TEST(frames_that_the_peer_does_not_take)
{
	static char block[5000];

	N2->config.limits.frame_bytes_max = 1000;
	node_open(N1);
	node_open(N2);
	node_knows(N2, N1);
	node_knows(N1, N2);
	/* Not yet known: dropped when it is. */
	ck_assert_int_eq(net_send(N1->net, 2, NET_RAFT,
				  str_n(block, sizeof(block))),
			 OK);
	WAIT(N1->is_up[NET_RAFT]);
	ck_assert_uint_eq(link_of(N1, 2, NET_RAFT).dropped, 1);
	ck_assert_int_eq(net_send(N1->net, 2, NET_RAFT,
				  str_n(block, sizeof(block))),
			 E_TOO_LARGE);
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "small"), OK);
	WAIT(N2->frames == 1);
	ck_assert_uint_eq(N1->downs, 0);
}
END_TEST

/* ---- inside handlers ---- */

static void remove_peer(struct node *node, uint64_t peer,
			enum net_channel channel, struct str bytes)
{
	net_peer_remove(node->net, peer);
}

START_TEST(a_peer_removed_by_its_frame)
{
	node_pair();
	N2->on_frame = remove_peer;
	for (unsigned i = 0; i < 10; i++)
		ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "x"), OK);
	WAIT(N1->downs == 1);
	ck_assert_uint_eq(N2->frames, 1);
	ck_assert_uint_eq(N2->downs, 0);
	WAIT(has_error(N1, 2, "node 1 is not among the peers of node 2"));
	ck_assert_int_eq(node_send(N2, 1, NET_RAFT, "x"), E_NOT_FOUND);
	net_peer_remove(N2->net, 1);
	N2->on_frame = NULL;
	node_knows(N2, N1);
	WAIT(N1->is_up[NET_RAFT] && N2->is_up[NET_RAFT]);
}
END_TEST

static void stop_net(struct node *node, uint64_t peer, enum net_channel channel,
		     struct str bytes)
{
	net_stop(node->net);
}

START_TEST(a_net_stopped_by_a_frame)
{
	node_pair();
	N2->on_frame = stop_net;
	for (unsigned i = 0; i < 10; i++)
		ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "x"), OK);
	WAIT(N1->downs == 1);
	ck_assert_uint_eq(N2->frames, 1);
	ck_assert_uint_eq(N2->downs, 0);
	ck_assert_int_eq(node_send(N2, 1, NET_RAFT, "x"), E_UNAVAILABLE);
	net_stop(N2->net);
}
END_TEST

static void remove_both(struct node *node, uint64_t peer, bool is_up)
{
	net_peer_remove(node->net, 2);
	net_peer_remove(node->net, 3);
}

/* In the middle of a look at all of them. */
START_TEST(peers_removed_when_one_is_down)
{
	node_open(N3);
	node_pair();
	node_knows(N1, N3);
	node_knows(N3, N1);
	WAIT(N3->is_up[NET_RAFT] && link_of(N1, 3, NET_RAFT).is_up);
	N1->on_peer = remove_both;
	node_close(N2);
	WAIT(N1->downs == 1 && N3->downs == 1);
	pass_ms(50);
	ck_assert_uint_eq(N1->downs, 1);
}
END_TEST

/* And from the tick itself. */
START_TEST(peers_removed_when_one_is_late)
{
	char two[72], three[72];

	raw_listen(two);
	raw_listen(three);
	N1->config.limits.connect_timeout_ms = 50;
	N1->on_peer = remove_both;
	node_open(N1);
	ck_assert_int_eq(net_peer_set(N1->net, 2, str_of(two), NULL), OK);
	ck_assert_int_eq(net_peer_set(N1->net, 3, str_of(three), NULL), OK);
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "a"), OK);
	ck_assert_int_eq(node_send(N1, 3, NET_RAFT, "b"), OK);
	WAIT(N1->downs == 1);
	pass_ms(100);
	ck_assert_uint_eq(N1->downs, 1);
	ck_assert_int_eq(node_send(N1, 3, NET_RAFT, "c"), E_NOT_FOUND);
}
END_TEST

static void fill_again(struct node *node, uint64_t peer)
{
	char block[600] = { 0 };

	while (net_send(node->net, peer, NET_RPC,
			str_n(block, sizeof(block))) == OK)
		;
}

/* A handler that always sends does not keep the loop from its other work. */
START_TEST(room_is_told_once_a_turn)
{
	uint64_t turns_before;
	struct loop_stats stats;

	N1->config.limits.queue_bytes_max[NET_RPC] = 2000;
	N2->quiet = true;
	node_pair();
	N1->on_room = fill_again;
	loop_stats_take(loop, &stats);
	turns_before = stats.turns;
	fill_again(N1, 2);
	WAIT(N1->rooms >= 50);
	loop_stats_take(loop, &stats);
	ck_assert_uint_ge(stats.turns - turns_before, 50);
	N1->on_room = NULL;
}
END_TEST

START_TEST(a_peer_that_moves)
{
	node_open(N3);
	node_pair();
	/* Another process takes over the id of node 2. */
	node_close(N3);
	N3->config.node_id = 2;
	node_open(N3);
	ck_assert_int_eq(net_peer_set(N3->net, 1, str_of(N1->addr), NULL), OK);
	ck_assert_int_eq(net_peer_set(N1->net, 2, str_of(N2->addr), NULL), OK);
	pass_ms(30);
	ck_assert_uint_eq(link_of(N1, 2, NET_RAFT).connects, 1);
	node_close(N2);
	ck_assert_int_eq(net_peer_set(N1->net, 2, str_of(N3->addr), NULL), OK);
	WAIT(N1->downs == 1);
	WAIT(N1->is_up[NET_RAFT]);
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "moved"), OK);
	WAIT(got(N3, "1 raft moved\n"));
}
END_TEST

/* ---- what fails once ---- */

#ifdef CONFLUX_FAILPOINTS
START_TEST(a_step_that_fails_once)
{
	static const char *const specs[] = { "net.dial=error*1",
					     "net.accept=error*1" };

	ck_assert_int_eq(failpoint_set(specs[_i], NULL), OK);
	node_pair();
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "a"), OK);
	WAIT(N2->frames == 1);
	ck_assert_uint_eq(link_of(N1, 2, NET_RAFT).attempts +
				  link_of(N2, 1, NET_RAFT).attempts,
			  3);
}
END_TEST

START_TEST(a_send_that_fails_once)
{
	node_pair();
	ck_assert_int_eq(failpoint_set("net.send=error@3*1", NULL), OK);
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "a"), OK);
	WAIT(N2->frames == 1);
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "b"), OK);
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "c"), E_UNAVAILABLE);
	/* Queued behind what has failed: as lost as that. */
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "d"), OK);
	WAIT(N1->downs == 1 && N1->is_up[NET_RAFT]);
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "e"), OK);
	WAIT(N2->frames == 2);
	ck_assert(got(N2, "1 raft a\n1 raft e\n"));
}
END_TEST
#endif

static Suite *suite(void)
{
	Suite *s = suite_create("net/link");
	TCase *t = tcase_create("link");

	tcase_add_checked_fixture(t, world_setup, world_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, frames_go_both_ways);
	tcase_add_test(t, channels_are_apart);
	tcase_add_test(t, a_link_that_is_wanted);
	tcase_add_test(t, frames_of_any_size_in_order);
	tcase_add_test(t, order_across_broken_connections);
	tcase_add_test(t, a_peer_that_starts_again);
	tcase_add_test(t, pauses_grow);
	tcase_add_test(t, a_connection_in_vain_ends);
	tcase_add_test(t, a_dead_link_is_noticed);
	tcase_add_test(t, a_node_that_was_stopped);
	tcase_add_test(t, a_slow_receiver_is_waited_for);
	tcase_add_test(t, a_queue_before_the_connection);
	tcase_add_test(t, a_frame_beyond_the_queue);
	tcase_add_test(t, room_behind_a_large_frame);
	tcase_add_test(t, room_after_a_broken_connection);
	tcase_add_test(t, a_long_queue_is_no_dead_link);
	tcase_add_test(t, frames_that_the_peer_does_not_take);
	tcase_add_test(t, a_peer_removed_by_its_frame);
	tcase_add_test(t, a_net_stopped_by_a_frame);
	tcase_add_test(t, peers_removed_when_one_is_down);
	tcase_add_test(t, peers_removed_when_one_is_late);
	tcase_add_test(t, room_is_told_once_a_turn);
	tcase_add_test(t, a_peer_that_moves);
#ifdef CONFLUX_FAILPOINTS
	tcase_add_loop_test(t, a_step_that_fails_once, 0, 2);
	tcase_add_test(t, a_send_that_fails_once);
#endif
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
