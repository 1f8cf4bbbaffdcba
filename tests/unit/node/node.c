/* A node of one: proposals to apply, restarts, kill -9, locks. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#include "base/failpoint.h"
#include "base/mem.h"
#include "base/must.h"
#include "io/loop.h"
#include "raftcore/raftcore.h"
#include "wire/wire.h"

#include "base/banned.h"

/* A machine that keeps nothing over a restart: the log brings it all back. */
struct tape {
	uint64_t index, sum, count;
	uint64_t values[100000];
	int report;                      /* pipe, or -1 */
	_Atomic uint64_t seen;
	uint64_t want;
	struct loop *loop;
	/* Pieces that a batch is applied in, behind its entries. */
	unsigned pieces, pieces_left, turns_between;
	struct turn turn;
};

static struct tape tape;
static char dir[64];
static struct rc_config config;
static struct rc_node *node;
static _Atomic uint64_t refused;

static enum code tape_open(void *data, const char *d,
			  const struct rc_checkpoint *from,
			  struct rc_applied *out, struct err *err)
{
	*out = (struct rc_applied){ 0 };
	return OK;
}

/* Nothing is said to Check here, nor in propose(): a message that SIGKILL cuts in two
 * makes those behind it unreadable. */
static enum code tape_apply(void *data, const struct rc_entry *e, size_t n,
			    struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct rd rd = rd_of(e[i].data);
		uint64_t v;

		must(e[i].index == tape.index + 1);
		tape.index = e[i].index;
		if (!e[i].is_command)
			continue;
		v = rd_u64(&rd);
		must(!rd.bad);
		tape.values[tape.count++] = v;
		if (tape.report >= 0 &&
		    write(tape.report, &v, sizeof(v)) != sizeof(v))
			_exit(1);
	}
	atomic_store(&tape.seen, tape.count);
	if (!tape.pieces && tape.want && tape.count >= tape.want)
		loop_stop(tape.loop);
	return OK;
}

static enum code tape_apply_more(void *data, bool *more, struct err *err)
{
	if (tape.pieces_left == 0)
		tape.pieces_left = tape.pieces;
	*more = --tape.pieces_left > 0;
	if (!*more && tape.want && tape.count >= tape.want)
		loop_stop(tape.loop);
	return OK;
}

/* A batch of which a piece is left is not told as applied. */
static void on_tape_turn(struct turn *turn)
{
	struct rc_status st;

	if (tape.pieces_left == 0)
		return;
	rc_node_status(node, &st);
	ck_assert_uint_lt(st.applied, tape.index);
	tape.turns_between++;
}

static void tape_digest(void *data, uint8_t out[32])
{
	memset(out, 0, 32);
}

static uint64_t tape_bytes(void *data)
{
	return 0;
}

static void tape_close(void *data)
{
}

static void start_in_pieces(unsigned pieces)
{
	struct err err = { 0 };

	memset(&tape, 0, sizeof(tape));
	tape.report = -1;
	tape.loop = loop_new("apply", 0);
	tape.pieces = pieces;
	tape.turn.run = on_tape_turn;
	loop_on_turn(tape.loop, &tape.turn);
	rc_config_defaults(&config);
	config.dir = dir;
	config.segment_bytes = 1 << 20;
	config.apply_loop = tape.loop;
	config.machine = (struct rc_machine){ .open = tape_open,
					      .apply = tape_apply,
					      .digest = tape_digest,
					      .bytes = tape_bytes,
					      .close = tape_close };
	if (pieces)
		config.machine.apply_more = tape_apply_more;
	ck_assert_msg(rc_node_open(&config, &node, &err) == OK, "%s", err.text);
	ck_assert_msg(rc_node_start(node, &err) == OK, "%s", err.text);
}

static void start(void)
{
	start_in_pieces(0);
}

static void stop(void)
{
	rc_node_stop(node);
	loop_free(&tape.loop);
	rc_node_free(&node);
}

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/conflux-node-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", dir, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

struct item {
	struct rc_proposal p;
	char bytes[16];
};

static void not_done(struct rc_proposal *p, enum code rc, const struct err *err)
{
	atomic_fetch_add(&refused, 1);
}

static void propose(struct item *item, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		item->bytes[i] = (char)(v >> (8 * i));
	item->p.data = str_n(item->bytes, 8);
	item->p.done = not_done;
	must(rc_propose(node, &item->p));
}

/* Runs the apply loop until the tape holds 'n'. */
static void run_until(uint64_t n)
{
	tape.want = n;
	while (tape.count < n)
		loop_run_here(tape.loop);
	ck_assert_uint_ge(tape.count, n);
}

START_TEST(proposals_are_applied_in_order)
{
	struct item *items = mem_zero(5000 * sizeof(*items));
	struct rc_status st;

	start();
	for (uint64_t i = 0; i < 5000; i++)
		propose(&items[i], i);
	run_until(5000);
	for (uint64_t i = 0; i < 5000; i++)
		ck_assert_uint_eq(tape.values[i], i);
	rc_node_status(node, &st);
	ck_assert(st.is_leader && st.is_ready);
	/* Group commit: far fewer writes than entries. */
	ck_assert_uint_lt(st.wal_writes * 8, st.wal_entries);
	stop();
	free(items);
}
END_TEST

START_TEST(a_batch_may_take_turns)
{
	struct item items[10];

	start_in_pieces(3);
	for (uint64_t i = 0; i < 10; i++)
		propose(&items[i], i);
	run_until(10);
	ck_assert_uint_ge(tape.turns_between, 2);
	stop();
	/* Ended between two pieces. */
	start_in_pieces(1000000);
	loop_run_once(tape.loop);
	stop();
}
END_TEST

START_TEST(a_restart_brings_everything_back)
{
	struct item items[10];

	start();
	for (uint64_t i = 0; i < 10; i++)
		propose(&items[i], 100 + i);
	run_until(10);
	stop();
	for (int round = 0; round < 3; round++) {
		start();
		run_until(10);
		ck_assert_uint_eq(tape.values[9], 109);
		stop();
	}
}
END_TEST

START_TEST(a_second_process_is_refused)
{
	struct rc_node *other;
	struct rc_config again;
	struct err err;
	struct item item;

	start();
	again = config;
	ck_assert_int_eq(rc_node_open(&again, &other, &err), E_BUSY);
	ck_assert_msg(err.hint[0], "no hint");
	propose(&item, 1);
	run_until(1);
	stop();
	config.node_id = 2;
	ck_assert_int_eq(rc_node_open(&config, &other, &err), E_DENIED);
}
END_TEST

START_TEST(what_is_too_large_is_refused)
{
	static char big[2 << 20];
	struct rc_proposal p = { .data = { big, sizeof(big) },
				 .done = not_done };
	struct item item;

	start();
	propose(&item, 1);
	run_until(1);
	atomic_store(&refused, 0);
	ck_assert(rc_propose(node, &p));
	propose(&item, 2);
	run_until(2);
	ck_assert_uint_eq(atomic_load(&refused), 1);
	stop();
}
END_TEST

static void child(int fd)
{
	static struct item items[90000];

	start();
	tape.report = fd;
	for (uint64_t i = 0; i < 90000; i++) {
		/* The machine of a restart sees old values first. */
		propose(&items[i], (uint64_t)getpid() << 32 | i);
		while (i % 64 == 63 && atomic_load(&tape.seen) + 200 < i)
			loop_run_once(tape.loop);
	}
	loop_run_here(tape.loop);
	_exit(0);
}

START_TEST(kill_9_loses_nothing_that_was_applied)
{
	static uint64_t told[100000];

	for (int round = 0; round < 5; round++) {
		size_t n = 0;
		int fds[2];
		pid_t pid;

		ck_assert_int_eq(pipe(fds), 0);
		pid = fork();
		if (pid == 0) {
			close(fds[0]);
			child(fds[1]);
		}
		close(fds[1]);
		while (n < 300 + (size_t)round * 500 &&
		       read(fds[0], &told[n], 8) == 8)
			n++;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		while (n < ARRAY_LEN(told) && read(fds[0], &told[n], 8) == 8)
			n++;
		close(fds[0]);
		start();
		run_until(n);
		ck_assert_int_eq(memcmp(told, tape.values, n * 8), 0);
		stop();
	}
}
END_TEST

#ifdef CONFLUX_FAILPOINTS

static struct rc_status status(void)
{
	struct rc_status st;

	rc_node_status(node, &st);
	return st;
}

/* The node fails while a batch is posted to an apply loop that is busy: who waits for
 * the batch is told, as who waits for what is behind it. */
START_TEST(who_waits_for_a_batch_is_told_of_a_failure)
{
	struct item items[3];
	struct err err;

	start();
	propose(&items[0], 1);
	run_until(1);
	atomic_store(&refused, 0);
	ck_assert(status().is_ready);
	propose(&items[1], 2);
	while (status().commit <= tape.index)
		usleep(1000);
	ck_assert_int_eq(failpoint_set("wal.write=error", &err), OK);
	propose(&items[2], 3);
	while (status().is_ready)
		usleep(1000);
	while (atomic_load(&refused) < 2)
		loop_run_once(tape.loop);
	ck_assert_uint_eq(tape.count, 1);
	ck_assert_int_eq(failpoint_set("wal.write=off", &err), OK);
	stop();
	ck_assert_uint_eq(atomic_load(&refused), 2);
}
END_TEST

#endif

static Suite *suite(void)
{
	Suite *s = suite_create("node/node");
	TCase *t = tcase_create("one");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, proposals_are_applied_in_order);
	tcase_add_test(t, a_batch_may_take_turns);
	tcase_add_test(t, a_restart_brings_everything_back);
	tcase_add_test(t, a_second_process_is_refused);
	tcase_add_test(t, what_is_too_large_is_refused);
#ifdef CONFLUX_FAILPOINTS
	tcase_add_test(t, who_waits_for_a_batch_is_told_of_a_failure);
#endif
	tcase_add_test(t, kill_9_loses_nothing_that_was_applied);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
