/* Clusters of nodes with threads, over loopback: checkpoints from node to node,
 * changes of membership, who is let in. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring.h"

#include "base/mem.h"
#include "io/file.h"

#include "base/banned.h"

static struct err err;

static unsigned a_follower(void)
{
	return ring_elected() % ring_founders + 1;
}

/* One try ends after three election timeouts, in which a busy machine may do nothing. */
static void hand_over(unsigned from, unsigned to)
{
	RING_WAIT(ring_transfer(from, to, &err) == OK || ring_leader() == to);
	RING_WAIT(ring_leader() == to);
}

/* ---- checkpoints and membership ---- */

/* Logs that are soon too long. */
static void with_checkpoints(void)
{
	ring_config.checkpoint_log_bytes = 300 * 1024;
	ring_config.segment_bytes = 64 * 4096;
	ring_config.checkpoints_kept = 1;
	ring_config.inflight_entries_max = 128;
}

static bool is_cut(unsigned id)
{
	return ring_status(id).log_first > 1;
}

START_TEST(who_comes_late_is_given_a_checkpoint)
{
	unsigned leader, next = 0;

	with_checkpoints();
	ring_found(3);
	leader = ring_elected();
	while (!is_cut(leader)) {
		ring_fill(leader, next, 200, 1000);
		next += 200;
	}
	ring_start(4);
	ck_assert_int_eq(ring_change(leader, RC_ADD, 4, &err), OK);
	RING_WAIT(ring_count(4) == next);
	RING_WAIT(ring_status(4).installed >= 1);
	RING_WAIT(ring_status(leader).shipped >= 1);
	ck_assert_uint_ge(ring[3].opened_from_picture, 1);
	ring_fill(leader, next, 200, 1000);
	RING_WAIT(ring_equal(next + 200));
	ck_assert_msg(ring_change(leader, RC_PROMOTE, 4, &err) == OK, "%s",
		      err.text);
	/* Two of four who vote are no majority; with the new one three are. */
	ring_stop(leader % 3 + 1);
	ring_fill(leader, next + 200, 100, 100);
	RING_WAIT(ring_equal(next + 300));
	/* Its state and log hold over a restart. */
	ring_stop(4);
	ring_start(4);
	RING_WAIT(ring_equal(next + 300));
	RING_WAIT(ring_status(4).is_ready);
}
END_TEST

/* The checkpoint that is sent is from before the one that leads was a member: it
 * must still be let in. */
START_TEST(a_checkpoint_may_not_name_who_leads)
{
	unsigned next = 0;

	with_checkpoints();
	ring_found(1);
	while (!is_cut(1)) {
		ring_fill(1, next, 200, 1000);
		next += 200;
	}
	ring_start(2);
	ck_assert_int_eq(ring_change(1, RC_ADD, 2, &err), OK);
	RING_WAIT(ring_count(2) == next);
	RING_WAIT(ring_status(2).installed >= 1);
	ck_assert_msg(ring_change(1, RC_PROMOTE, 2, &err) == OK, "%s", err.text);
	hand_over(1, 2);
	ring_founders = 2;               /* what the next is told */
	ring_start(3);
	ck_assert_msg(ring_change(2, RC_ADD, 3, &err) == OK, "%s", err.text);
	RING_WAIT(ring_count(3) == next);
	RING_WAIT(ring_status(3).installed >= 1);
	ring_fill(2, next, 100, 100);
	RING_WAIT(ring_equal(next + 100));
}
END_TEST

START_TEST(who_was_away_too_long_is_given_a_checkpoint)
{
	unsigned leader, follower, next = 400;

	with_checkpoints();
	ring_found(3);
	leader = ring_elected();
	follower = a_follower();
	ring_fill(leader, 0, 400, 1000);
	ring_stop(follower);
	while (ring_status(leader).log_first <= 500) {
		ring_fill(leader, next, 200, 1000);
		next += 200;
	}
	ring_start(follower);
	RING_WAIT(ring_equal(next));
	RING_WAIT(ring_status(follower).installed >= 1);
}
END_TEST

static void fill_until_newer(unsigned leader, unsigned *next, unsigned times)
{
	while (times--) {
		uint64_t old = ring_status(leader).checkpoint_index;

		/* As much log as asks for one; then it waits for its turn. */
		ring_fill(leader, *next, 400, 1000);
		*next += 400;
		RING_WAIT(ring_status(leader).checkpoint_index > old);
	}
}

static const char *dir_of(unsigned id)
{
	static char dir[200];

	(void)snprintf(dir, sizeof(dir), "%s/checkpoints", ring[id - 1].dir);
	return dir;
}

/* Index of the last file in that folder of its checkpoints whose name ends so; 0:
 * there is none.  Names begin with the index. */
static uint64_t last_index(unsigned id, const char *folder, const char *suffix)
{
	AUTO_BUF dir = BUF_NONE;
	AUTO_BUF names = BUF_NONE;
	uint64_t index = 0;
	struct str rest;

	buf_printf(&dir, "%s/checkpoints%s", ring[id - 1].dir, folder);
	ck_assert_int_eq(fs_real()->ops->list(fs_real(), dir.p, &names, &err),
			 OK);
	for (rest = buf_view(&names); rest.n;) {
		struct str name = str_cut(&rest, '\0');

		if (str_ends(name, str_of(suffix)))
			(void)!str_u64(str_first(name, str_find(name, '-')),
				       &index);
	}
	return index;
}

static bool has_checkpoint(unsigned id, uint64_t index)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF names = BUF_NONE;

	buf_printf(&path, "%020llu-", (unsigned long long)index);
	ck_assert_int_eq(fs_real()->ops->list(fs_real(), dir_of(id), &names,
					      &err), OK);
	for (struct str rest = buf_view(&names); rest.n;)
		if (str_starts(str_cut(&rest, '\0'), buf_view(&path)))
			return true;
	return false;
}

/* It takes longer to send than three newer ones to come, and is not begun anew:
 * the follower installs that one, and gets the rest from the log. */
START_TEST(a_checkpoint_that_is_sent_stays)
{
	unsigned leader, follower, next = 0;
	uint64_t sent;

	with_checkpoints();
	ring_config.ship_rate = 100000;
	ring_found(3);
	leader = ring_elected();
	follower = a_follower();
	ring_stop(follower);
	while (!is_cut(leader)) {
		ring_fill(leader, next, 200, 1000);
		next += 200;
	}
	ring_start(follower);
	RING_WAIT((sent = last_index(follower, "/incoming", "")));
	fill_until_newer(leader, &next, 3);
	ck_assert_uint_eq(ring_status(leader).shipped, 0);
	ck_assert(has_checkpoint(leader, sent));
	ck_assert_uint_le(ring_status(leader).log_first, sent + 1);
	RING_WAIT(ring_equal(next));
	RING_WAIT(ring_status(follower).installed >= 1);
	ck_assert_uint_eq(ring_status(follower).installed, 1);
	/* Nothing is left of what came. */
	RING_WAIT(last_index(follower, "/incoming", "") == 0);
	/* Then it may go. */
	fill_until_newer(leader, &next, 2);
	RING_WAIT(!has_checkpoint(leader, sent));
}
END_TEST

/* The picture goes while it is sent, at a pace that takes for ever, when many
 * newer ones have come. */
START_TEST(a_checkpoint_that_goes_is_not_sent_any_more)
{
	unsigned leader, follower, next = 0;

	with_checkpoints();
	ring_config.ship_rate = 20000;
	ring_found(3);
	leader = ring_elected();
	follower = a_follower();
	ring_stop(follower);
	while (!is_cut(leader)) {
		ring_fill(leader, next, 200, 1000);
		next += 200;
	}
	ring_start(follower);
	RING_WAIT(ring_is_up(leader, follower));
	fill_until_newer(leader, &next, 10);
	ck_assert_uint_eq(ring_status(leader).shipped, 0);
	ck_assert_uint_eq(ring_status(follower).installed, 0);
	ring_stop(leader);
}
END_TEST

START_TEST(changes_are_the_leaders)
{
	unsigned leader, follower;

	ring_found(3);
	leader = ring_elected();
	follower = a_follower();
	ck_assert_int_eq(ring_change(follower, RC_REMOVE, leader, &err),
			 E_NOT_LEADER);
	ck_assert_int_eq(ring_change(leader, RC_REMOVE, 4, &err),
			 E_NOT_FOUND);
	ck_assert_int_eq(ring_change(leader, RC_ADD, follower, &err), E_EXISTS);
}
END_TEST

START_TEST(leadership_is_handed_over)
{
	unsigned leader, next;

	ring_found(3);
	leader = ring_elected();
	next = leader % 3 + 1;
	ck_assert_int_eq(ring_transfer(next, leader, &err), E_NOT_LEADER);
	ring_fill(leader, 0, 100, 50);
	hand_over(leader, next);
	ring_fill(next, 100, 100, 50);
	RING_WAIT(ring_equal(200));
}
END_TEST

/* ---- while commands follow each other ---- */

#define WRITERS 4

static struct {
	pthread_t threads[WRITERS];
	_Atomic unsigned at;             /* who is asked; 0: enough */
	_Atomic uint64_t acknowledged;
} writers;

static void *write_on(void *data)
{
	uint64_t value = 0, mine = 10000 * (uint64_t)(uintptr_t)data;
	unsigned at;

	while ((at = atomic_load(&writers.at)) && value < 10000)
		if (ring_put(at, mine + value++, NULL) == OK)
			atomic_fetch_add(&writers.acknowledged, 1);
	return NULL;
}

static void writers_start(unsigned at)
{
	atomic_store(&writers.at, at);
	for (uintptr_t i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_create(&writers.threads[i], NULL,
						write_on, (void *)i), 0);
	RING_WAIT(atomic_load(&writers.acknowledged) > 100);
}

static void writers_end(void)
{
	atomic_store(&writers.at, 0);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers.threads[i], NULL);
}

START_TEST(leadership_is_handed_over_under_load)
{
	unsigned leader, next;

	ring_found(3);
	leader = ring_elected();
	writers_start(leader);
	for (unsigned i = 0; i < 6; i++) {
		next = leader % 3 + 1;
		hand_over(leader, next);
		atomic_store(&writers.at, leader = next);
		for (uint64_t n = atomic_load(&writers.acknowledged) + 50;
		     atomic_load(&writers.acknowledged) < n;)
			ring_pause();
	}
	writers_end();
}
END_TEST

START_TEST(a_learner_is_promoted_under_load)
{
	unsigned leader;
	uint64_t begun;

	ring_found(3);
	leader = ring_elected();
	writers_start(leader);
	ring_start(4);
	ck_assert_int_eq(ring_change(leader, RC_ADD, 4, &err), OK);
	/* What was there before it is not to be caught up with under load. */
	begun = atomic_load(&writers.acknowledged);
	RING_WAIT(ring_count(4) >= begun);
	/* It is given two election timeouts to have what was in the log when it was asked
	 * for; where the machine is slower than that the answer is to try again. */
	for (unsigned i = 0; i < 6; i++) {
		RING_WAIT(ring_change(leader, RC_PROMOTE, 4, &err) == OK);
		RING_WAIT(ring_change(leader, RC_DEMOTE, 4, &err) == OK);
	}
	writers_end();
}
END_TEST

/* ---- who is let in ---- */

START_TEST(nodes_with_certificates)
{
	for (unsigned i = 0; i < 3; i++)
		ring_tls[i] = ring_cert(1, i + 1);
	ring_found(3);
	ring_fill(ring_elected(), 0, 500, 1000);
	RING_WAIT(ring_equal(500));
	ck_assert_int_eq(rc_tls_reload(ring[0].node, &err), OK);
}
END_TEST

static bool was_refused(unsigned at, unsigned id)
{
	struct rc_peer peers[RING_MAX];
	size_t n = rc_peers(ring[at - 1].node, peers, RING_MAX);

	for (size_t i = 0; i < n; i++)
		if (peers[i].id == id)
			return !peers[i].is_up && peers[i].error[0];
	return false;
}

static void check_not_let_in(const struct net_tls *wrong)
{
	ring_tls[0] = ring_cert(1, 1);
	ring_tls[1] = ring_cert(1, 2);
	ring_tls[2] = wrong;
	ring_founders = 3;
	ring_start(1);
	ring_start(2);
	ring_elected();
	ring_start(3);
	RING_WAIT(was_refused(3, 1) && was_refused(3, 2));
	RING_WAIT(was_refused(1, 3) && was_refused(2, 3));
	ring_fill(ring_status(1).leader_id == 1 ? 1 : 2, 0, 200, 100);
	ck_assert_uint_eq(ring_count(3), 0);
	ck_assert_uint_eq(ring_status(3).leader_id, 0);
	ck_assert(!ring_status(3).is_ready);
	/* With the right one it is. */
	ring_stop(3);
	ring_tls[2] = ring_cert(1, 3);
	ring_start(3);
	RING_WAIT(ring_equal(200));
}

START_TEST(a_certificate_of_another_authority)
{
	check_not_let_in(ring_cert(2, 3));
}
END_TEST

START_TEST(a_certificate_of_another_node)
{
	check_not_let_in(ring_cert(1, 4));
}
END_TEST

START_TEST(beyond_loopback_clear_text_is_refused)
{
	snprintf(ring[0].address, sizeof(ring[0].address), "0.0.0.0:0");
	ring_founders = 1;
	ck_assert_int_eq(ring_try_start(1, &err), E_DENIED);
	ck_assert_msg(err.hint[0], "no hint");
}
END_TEST

/* ---- a peer that breaks the rules ---- */

static void wipe_folder(unsigned id)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execlp("rm", "rm", "-rf", ring[id - 1].dir, (char *)NULL);
		_exit(1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

static bool has_error(unsigned at, uint64_t id, const char *what)
{
	struct rc_peer peers[RING_MAX];
	size_t n = rc_peers(ring[at - 1].node, peers, RING_MAX);

	for (size_t i = 0; i < MIN(n, (size_t)RING_MAX); i++)
		if (peers[i].id == id)
			return strstr(peers[i].error, what) != NULL;
	return false;
}

/* While node 3 is away node 4 is removed and added anew, and the log is cut.  How many
 * values there are then. */
static unsigned added_anew(void)
{
	unsigned lead, next = 0;

	with_checkpoints();
	ring_found(2);
	lead = ring_elected();
	for (unsigned id = 3; id <= 4; id++) {
		ring_start(id);
		ck_assert_int_eq(ring_change(lead, RC_ADD, id, &err), OK);
		RING_WAIT(ring_status(id).applied > 0);
	}
	RING_WAIT(ring_is_up(3, 4) && ring_is_up(4, 3));
	ring_stop(3);
	ring_stop(4);
	wipe_folder(4);
	ck_assert_int_eq(ring_force_remove(lead, 4, &err), OK);
	ring_start(4);
	ck_assert_int_eq(ring_change(lead, RC_ADD, 4, &err), OK);
	RING_WAIT(ring_status(4).applied > 0);
	while (!is_cut(lead)) {
		ring_fill(lead, next, 200, 1000);
		next += 200;
	}
	RING_WAIT(ring_count(4) == next);
	return next;
}

/* Who was away gets a checkpoint, and sees neither. */
START_TEST(who_was_added_anew_meanwhile_is_let_in)
{
	unsigned next = added_anew();

	ring_start(3);
	RING_WAIT(ring_count(3) == next);
	RING_WAIT(ring_status(3).installed >= 1);
	RING_WAIT(ring_is_up(3, 4) && ring_is_up(4, 3));
}
END_TEST

/* It remembers after a restart that it has not seen all. */
START_TEST(who_was_added_anew_is_let_in_after_a_restart)
{
	unsigned next = added_anew();

	ring_stop(4);
	ring_start(3);
	RING_WAIT(ring_count(3) == next);
	RING_WAIT(ring_status(3).installed >= 1);
	ring_stop(3);
	ring_start(3);
	ring_start(4);
	RING_WAIT(ring_is_up(3, 4) && ring_is_up(4, 3));
}
END_TEST

/* It has forgotten its vote and what it acknowledged. */
START_TEST(a_wiped_node_is_refused_until_it_was_removed)
{
	uint64_t count;
	unsigned lead;

	ring_found(3);
	lead = ring_elected();
	ring_fill(lead, 0, 10, 50);
	RING_WAIT(ring_equal(10));
	ring_stop(3);
	wipe_folder(3);
	/* Who remembers has been away meanwhile. */
	ring_stop(1);
	ring_stop(2);
	ring_start(2);
	ring_start(3);
	RING_WAIT(has_error(2, 3, "another data directory"));
	RING_WAIT(has_error(3, 2, "another data directory"));
	/* Two of three are no majority, where one of them has forgotten. */
	ck_assert_int_eq(ring_read(2, 3000, &count), E_UNAVAILABLE);
	ck_assert_int_ne(ring_put(2, 100, &err), OK);
	ck_assert_uint_eq(ring_status(3).last, 1);
	ring_stop(3);

	ring_start(1);
	lead = ring_elected();
	ring_fill(lead, 10, 10, 50);
	ck_assert_int_eq(ring_change(lead, RC_REMOVE, 3, &err), E_CONFLICT);
	ring_founders = 2;
	ck_assert_int_eq(ring_force_remove(lead, 3, &err), OK);
	wipe_folder(3);
	ring_start(3);                   /* it joins now */
	ck_assert_int_eq(ring_change(lead, RC_ADD, 3, &err), OK);
	RING_WAIT(ring_count(3) >= 20);
	RING_WAIT(ring_change(lead, RC_PROMOTE, 3, &err) == OK);
	ring_fill(lead, 20, 10, 50);
	RING_WAIT(ring_equal(30));
}
END_TEST

static void no_frame(void *data, uint64_t peer, enum net_channel channel,
		     struct str bytes)
{
}

START_TEST(malformed_frames_are_counted)
{
	struct net_handlers handlers = { .on_frame = no_frame };
	struct net_config c;
	struct net *net;
	struct loop *loop = loop_new("liar", 0);
	uint64_t until = uv_hrtime() + 20000000000u;

	ring_founders = 2;
	ring_start(1);
	net_config_defaults(&c);
	c.loop = loop;
	c.node_id = 2;
	c.listen = ring[1].address;
	c.cluster_id = ring_status(1).cluster_id;
	ck_assert_int_eq(net_open_tcp(&c, &handlers, &net, &err), OK);
	ck_assert_int_eq(net_peer_set(net, 1, str_of(ring[0].address), &err),
			 OK);
	/* Junk of each channel; a hello that is cut short. */
	ck_assert_int_eq(net_send(net, 1, NET_RAFT, STR("\1\7junk")), OK);
	ck_assert_int_eq(net_send(net, 1, NET_RPC, STR("\377hello")), OK);
	ck_assert_int_eq(net_send(net, 1, NET_SHIP, STR("\377hello")), OK);
	while (ring_status(1).malformed < 3) {
		loop_run_once(loop);
		ck_assert(uv_hrtime() < until);
	}
	net_stop(net);
	loop_free(&loop);
	net_free(&net);
	/* It has not taken harm. */
	ring_start(2);
	ring_fill(ring_elected(), 0, 10, 50);
	RING_WAIT(ring_equal(10));
}
END_TEST

static void add_all(TCase *t)
{
	tcase_add_test(t, who_comes_late_is_given_a_checkpoint);
	tcase_add_test(t, who_was_away_too_long_is_given_a_checkpoint);
	tcase_add_test(t, a_checkpoint_may_not_name_who_leads);
	tcase_add_test(t, a_checkpoint_that_is_sent_stays);
	tcase_add_test(t, a_checkpoint_that_goes_is_not_sent_any_more);
	tcase_add_test(t, changes_are_the_leaders);
	tcase_add_test(t, leadership_is_handed_over);
	tcase_add_test(t, leadership_is_handed_over_under_load);
	tcase_add_test(t, a_learner_is_promoted_under_load);
	tcase_add_test(t, nodes_with_certificates);
	tcase_add_test(t, a_certificate_of_another_authority);
	tcase_add_test(t, a_certificate_of_another_node);
	tcase_add_test(t, beyond_loopback_clear_text_is_refused);
	tcase_add_test(t, who_was_added_anew_meanwhile_is_let_in);
	tcase_add_test(t, who_was_added_anew_is_let_in_after_a_restart);
	tcase_add_test(t, a_wiped_node_is_refused_until_it_was_removed);
	tcase_add_test(t, malformed_frames_are_counted);
}

static Suite *suite(void)
{
	Suite *s = suite_create("node/cluster_member");
	TCase *t = tcase_create("cluster");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, ring_setup, ring_teardown);
	add_all(t);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
