/* A peer that stands still: its machine takes connections, and nobody there agrees to
 * one.  What it costs the others, and how it catches up. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ring.h"

#include "base/banned.h"

/* As a stopped process: the kernel answers for it.  Returns the descriptor. */
static int stand_in_for(unsigned id)
{
	const char *port = strrchr(ring[id - 1].address, ':') + 1;
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)atoi(port)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	return fd;
}

static struct rc_peer peer_of(unsigned at, unsigned id)
{
	struct rc_peer peers[RING_MAX];
	size_t n = rc_peers(ring[at - 1].node, peers, RING_MAX);

	for (size_t i = 0; i < n; i++)
		if (peers[i].id == id)
			return peers[i];
	ck_abort_msg("node %u does not know node %u", at, id);
}

/* What node 'at' says of its peers is a second old at most: as new as its picture of
 * a peer that has all. */
static uint64_t bytes_to(unsigned at, unsigned id, unsigned other)
{
	uint64_t last = ring_status(at).commit;

	RING_WAIT(peer_of(at, other).match >= last);
	return peer_of(at, id).bytes_out;
}

#define VALUES 400
#define BYTES 50000

START_TEST(who_stands_still_is_kept_nothing_for)
{
	bool is_cut = _i;
	unsigned leader, standing, other, next = 100;
	uint64_t before, after, last;
	int fd;

	if (is_cut) {
		ring_config.checkpoint_log_bytes = 300 * 1024;
		ring_config.segment_bytes = 64 * 4096;
		ring_config.checkpoints_kept = 1;
		ring_config.inflight_entries_max = 128;
	}
	ring_found(3);
	leader = ring_elected();
	standing = leader % 3 + 1;
	other = standing % 3 + 1;
	ring_fill(leader, 0, next, 50);
	ring_stop(standing);
	/* Its own log goes no further, by far: some entries are the cluster's own. */
	last = ring_status(leader).commit + 100;
	fd = stand_in_for(standing);
	RING_WAIT(!ring_is_up(leader, standing));
	before = bytes_to(leader, standing, other);
	do {
		ring_fill(leader, next, VALUES, BYTES);
		next += VALUES;
		/* Both: under load the other one may lead when it comes back. */
	} while (is_cut && (ring_status(leader).log_first <= last ||
			    ring_status(other).log_first <= last));
	after = bytes_to(leader, standing, other);
	/* Some connections were tried, with votes and heartbeats for each. */
	ck_assert_uint_lt(after - before, 1 << 20);
	ck_assert_uint_eq(ring_status(leader).term, ring_status(other).term);
	close(fd);
	ring_start(standing);
	RING_WAIT(ring_equal(next));
	/* The machine has it a moment before the node says so. */
	RING_WAIT(!is_cut || ring_status(standing).installed > 0);
	ck_assert_uint_eq(ring_status(standing).installed > 0, is_cut);
	ring_fill(ring_elected(), next, 10, 50);
	RING_WAIT(ring_equal(next + 10));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/standing");
	TCase *t = tcase_create("standing");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, ring_setup, ring_teardown);
	tcase_add_loop_test(t, who_stands_still_is_kept_nothing_for, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
