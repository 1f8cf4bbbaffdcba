/* Nodes as a program has them over a transport that is not TCP: rc_config.open_net. */
#include "hub.h"
#include "ring.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

#include "base/banned.h"

#define SAYS 1

static struct err err;

static void over_the_hub(void)
{
	ring_setup();
	ring_config.open_net = hub_open;
}

/* Somebody accepts connections at a node's address. */
static bool listens(unsigned id)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0), rc;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons((uint16_t)strtoul(strchr(ring[id - 1].address, ':') + 1,
					     NULL, 10));
	rc = connect(fd, (struct sockaddr *)&a, sizeof(a));
	close(fd);
	return rc == 0;
}

static void reads(unsigned id, uint64_t at_least)
{
	uint64_t count;

	ck_assert_int_eq(ring_read(id, 30000, &count), OK);
	ck_assert_uint_ge(count, at_least);
}

static void echo(void *data, const struct rc_request *q)
{
	struct ring_node *r = data;

	rc_answer(r->node, q->token, OK, q->body, NULL);
}

static void with_echo(struct ring_node *r)
{
	rc_handle(r->node, SAYS, echo, r);
}

START_TEST(three_nodes_elect_replicate_read_and_call)
{
	struct ring_call c;
	unsigned leader;

	ring_prepare = with_echo;
	ring_found(3);
	leader = ring_elected();
	ring_fill(leader, 0, 2000, 100);
	for (unsigned id = 1; id <= 3; id++) {
		reads(id, 2000);
		ring_call(&c, id, RC_LEADER, SAYS, "hello", 20000);
		ck_assert_msg(ring_answered(&c) == OK, "%s", c.err.text);
		ck_assert_str_eq(c.answer, "hello");
		ck_assert(!listens(id));
	}
	RING_WAIT(ring_equal(2000));
	ck_assert_uint_gt(hub_frames(NET_RAFT), 0);
	ck_assert_uint_gt(hub_frames(NET_RPC), 0);
	/* And who ends comes back. */
	ring_stop(leader);
	ring_fill(ring_elected(), 2000, 100, 100);
	ring_start(leader);
	RING_WAIT(ring_equal(2100));
}
END_TEST

START_TEST(a_leader_that_is_cut_off_is_followed_by_another)
{
	unsigned old, next = 0;
	uint64_t count;

	ring_found(3);
	old = ring_elected();
	ring_fill(old, 0, 100, 100);
	for (unsigned id = 1; id <= 3; id++)
		if (id != old)
			hub_cut(old, id, true);
	RING_WAIT(!ring_status(old).is_leader);
	/* It reads nothing that may be old. */
	ck_assert_int_eq(ring_read(old, 200, &count), E_UNAVAILABLE);
	for (unsigned id = 1; id <= 3; id++)
		if (id != old) {
			RING_WAIT((next = (unsigned)ring_status(id).leader_id) &&
				  next != old);
			break;
		}
	RING_WAIT(ring_status(next).is_ready);
	ring_fill(next, 100, 200, 100);
	ck_assert_uint_eq(ring_count(old), 100);
	for (unsigned id = 1; id <= 3; id++)
		if (id != old)
			hub_cut(old, id, false);
	RING_WAIT(ring_equal(300));
	reads(old, 300);
}
END_TEST

/* A link between two of three: who leads is heard by a majority and goes on, and the
 * third one gets what it missed, as a checkpoint where the log is gone. */
START_TEST(who_was_cut_off_is_given_a_checkpoint)
{
	unsigned leader, away, next = 0;

	ring_config.checkpoint_log_bytes = 300 * 1024;
	ring_config.segment_bytes = 64 * 4096;
	ring_config.checkpoints_kept = 1;
	ring_config.inflight_entries_max = 128;
	ring_found(3);
	leader = ring_elected();
	away = leader % 3 + 1;
	/* Stopped, lest it stand for election over and over. */
	ring_stop(away);
	while (ring_status(leader).log_first <= 500) {
		ring_fill(leader, next, 200, 1000);
		next += 200;
	}
	hub_cut(leader, away, true);
	ring_start(away);
	ck_assert_uint_eq(ring_status(away).installed, 0);
	hub_cut(leader, away, false);
	RING_WAIT(ring_equal(next));
	RING_WAIT(ring_status(away).installed >= 1);
	ck_assert_uint_gt(hub_frames(NET_SHIP), 0);
	reads(away, next);
}
END_TEST

static enum code refuse_to_open(const struct net_config *config,
				const struct net_handlers *handlers,
				struct net **out, struct err *e)
{
	return err_set(e, E_UNSUPPORTED, "no such network");
}

START_TEST(one_that_does_not_open_is_an_error)
{
	ring_config.open_net = refuse_to_open;
	ring_founders = 1;
	ck_assert_int_eq(ring_try_start(1, &err), E_UNSUPPORTED);
	ck_assert_str_eq(err.text, "no such network");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/transport");
	TCase *t = tcase_create("transport");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, over_the_hub, ring_teardown);
	tcase_add_test(t, three_nodes_elect_replicate_read_and_call);
	tcase_add_test(t, a_leader_that_is_cut_off_is_followed_by_another);
	tcase_add_test(t, who_was_cut_off_is_given_a_checkpoint);
	tcase_add_test(t, one_that_does_not_open_is_an_error);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
