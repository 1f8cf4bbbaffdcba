/* Loops: mailbox, turns, ending. */
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/loop.h"
#include "io/timer.h"
#include "unit.h"

#include "base/banned.h"

static struct loop *loop;

static void setup(void)
{
	loop = loop_new("test", 0);
}

static void teardown(void)
{
	loop_free(&loop);
}

/* ---- messages ---- */

struct note {
	struct msg msg;
	int n;
};

/* What ran, in order. */
static int ran[1024];
static int n_ran;

static void run_note(struct msg *msg)
{
	struct note *note = container_of(msg, struct note, msg);

	ck_assert(loop_is_here(loop));
	ran[n_ran++] = note->n;
}

static struct note note_of(int n)
{
	return (struct note){ .msg.run = run_note, .n = n };
}

START_TEST(messages_run_in_order)
{
	struct note notes[100];

	for (int i = 0; i < 100; i++) {
		notes[i] = note_of(i);
		ck_assert(loop_post(loop, &notes[i].msg));
	}
	ck_assert_int_eq(n_ran, 0);
	while (loop_run_once(loop))
		;
	ck_assert_int_eq(n_ran, 100);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(ran[i], i);
}
END_TEST

START_TEST(a_full_mailbox_refuses)
{
	struct loop *small = loop_new("small", 2);
	struct note notes[4] = { note_of(0), note_of(1), note_of(2), note_of(3) };
	struct loop_stats stats;

	ck_assert(loop_post(small, &notes[0].msg));
	ck_assert(loop_post(small, &notes[1].msg));
	ck_assert(!loop_post(small, &notes[2].msg));
	loop_post_sure(small, &notes[3].msg);
	while (loop_run_once(small))
		;
	ck_assert_int_eq(n_ran, 3);
	ck_assert_int_eq(ran[2], 3);
	ck_assert(loop_post(small, &notes[2].msg));
	loop_stats_take(small, &stats);
	ck_assert_uint_eq(stats.refused, 1);
	ck_assert_uint_eq(stats.messages, 3);
	loop_free(&small);
	ck_assert_int_eq(n_ran, 4);
}
END_TEST

static void run_again(struct msg *msg)
{
	struct note *note = container_of(msg, struct note, msg);

	run_note(msg);
	if (--note->n > 0)
		ck_assert(loop_post(loop, msg));
}

/* Each time in a turn of its own, so that input is not starved. */
START_TEST(a_message_may_post_itself)
{
	struct note note = { .msg.run = run_again, .n = 5 };
	struct loop_stats stats;

	ck_assert(loop_post(loop, &note.msg));
	while (loop_run_once(loop))
		;
	ck_assert_int_eq(n_ran, 5);
	loop_stats_take(loop, &stats);
	ck_assert_uint_ge(stats.turns, 5);
}
END_TEST

static struct timer alarm_timer;

static void until_timer(struct msg *msg)
{
	n_ran++;
	if (timer_is_armed(&alarm_timer))
		loop_post_sure(loop, msg);
	else
		loop_stop(loop);
}

static void do_nothing(struct timer *timer)
{
}

/* A loop that is its own poster is awake, and still sees what else is due. */
START_TEST(who_posts_to_himself_does_not_sleep_and_lets_others_in)
{
	struct note note = { .msg.run = until_timer };
	struct loop_stats stats;

	timer_init(&alarm_timer, loop, do_nothing);
	timer_start(&alarm_timer, 20);
	ck_assert(loop_post(loop, &note.msg));
	loop_run_here(loop);
	ck_assert_int_gt(n_ran, 10);
	loop_stats_take(loop, &stats);
	ck_assert_uint_ge(stats.turns, (uint64_t)n_ran);
	timer_close(&alarm_timer, NULL);
}
END_TEST

static struct note own, others;

static void *post_others(void *arg)
{
	loop_post_sure(loop, &others.msg);
	return NULL;
}

static void run_last(struct msg *msg)
{
	run_note(msg);
	loop_stop(loop);
}

static void post_both(struct msg *msg)
{
	pthread_t thread;

	loop_post_sure(loop, &own.msg);
	pthread_create(&thread, NULL, post_others, NULL);
	pthread_join(thread, NULL);
}

/* Who finds something in the mailbox wakes nobody, whoever put it there. */
START_TEST(what_comes_behind_an_own_message_is_not_forgotten)
{
	struct note note = { .msg.run = post_both };

	own = note_of(1);
	others = (struct note){ .msg.run = run_last, .n = 2 };
	ck_assert(loop_post(loop, &note.msg));
	loop_run_here(loop);
	ck_assert_int_eq(n_ran, 2);
	ck_assert_int_eq(ran[0], 1);
	ck_assert_int_eq(ran[1], 2);
}
END_TEST

START_TEST(run_once_says_when_nothing_is_left)
{
	static struct timer timer;
	struct note note = note_of(1);

	ck_assert(!loop_run_once(loop));
	ck_assert(loop_post(loop, &note.msg));
	while (n_ran == 0)
		loop_run_once(loop);
	ck_assert(!loop_run_once(loop));
	timer_init(&timer, loop, (timer_cb *)abort);
	timer_start(&timer, 1000000);
	ck_assert(loop_run_once(loop));
	timer_close(&timer, NULL);
}
END_TEST

START_TEST(a_message_without_run_aborts)
{
	struct msg msg = { 0 };

	(void)!loop_post(loop, &msg);
}
END_TEST

START_TEST(a_message_that_waits_is_not_posted_again)
{
	struct note notes[2] = { note_of(0), note_of(1) };

	ck_assert(loop_post(loop, &notes[0].msg));
	ck_assert(loop_post(loop, &notes[1].msg));
	loop_post_sure(loop, &notes[_i].msg);
}
END_TEST

/* Wherever it waits. */
START_TEST(nor_to_another_loop)
{
	struct loop *other = loop_new("other", 0);
	struct note note = note_of(0);

	ck_assert(loop_post(other, &note.msg));
	(void)!loop_post(loop, &note.msg);
}
END_TEST

/* A refused one waits nowhere. */
START_TEST(a_refused_message_may_be_posted_again)
{
	struct loop *small = loop_new("small", 1);
	struct note notes[2] = { note_of(0), note_of(1) };

	ck_assert(loop_post(small, &notes[0].msg));
	ck_assert(!loop_post(small, &notes[1].msg));
	ck_assert(!loop_post(small, &notes[1].msg));
	loop_post_sure(small, &notes[1].msg);
	loop_free(&small);
	ck_assert_int_eq(n_ran, 2);
}
END_TEST

/* ---- threads ---- */

#define POSTERS 4
#define EACH 2000

struct poster {
	pthread_t thread;
	int next;               /* what must run next; loop thread */
	struct tick {
		struct msg msg;
		struct poster *poster;
		int n;
	} ticks[EACH];
};

static int posters_done;

static void run_tick(struct msg *msg)
{
	struct tick *tick = container_of(msg, struct tick, msg);

	ck_assert(loop_is_here(loop));
	ck_assert_int_eq(tick->n, tick->poster->next++);
	if (tick->n == EACH - 1 && ++posters_done == POSTERS)
		loop_stop(loop);
}

static void *post_all(void *arg)
{
	struct poster *poster = arg;

	ck_assert(!loop_is_here(loop));
	for (int i = 0; i < EACH; i++) {
		poster->ticks[i] = (struct tick){ .msg.run = run_tick,
						  .poster = poster,
						  .n = i };
		ck_assert(loop_post(loop, &poster->ticks[i].msg));
	}
	return NULL;
}

START_TEST(threads_keep_their_order)
{
	struct poster *posters = mem_zero(POSTERS * sizeof(*posters));
	struct loop_stats stats;

	ck_assert_int_eq(loop_start(loop, NULL), OK);
	for (int i = 0; i < POSTERS; i++)
		pthread_create(&posters[i].thread, NULL, post_all, &posters[i]);
	for (int i = 0; i < POSTERS; i++)
		pthread_join(posters[i].thread, NULL);
	loop_join(loop);
	loop_join(loop);
	for (int i = 0; i < POSTERS; i++)
		ck_assert_int_eq(posters[i].next, EACH);
	loop_stats_take(loop, &stats);
	ck_assert_uint_eq(stats.messages, POSTERS * EACH);
	free(posters);
}
END_TEST

static void look_around(struct msg *msg)
{
	char name[32];
	sigset_t blocked;

	pthread_getname_np(pthread_self(), name, sizeof(name));
	ck_assert_str_eq(name, "test");
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	ck_assert(sigismember(&blocked, SIGTERM));
	ck_assert(sigismember(&blocked, SIGHUP));
	loop_must_be_here(loop);
	loop_stop(loop);
}

START_TEST(the_thread_has_a_name_and_takes_no_signals)
{
	struct msg msg = { .run = look_around };
	sigset_t blocked;

	ck_assert_int_eq(loop_start(loop, NULL), OK);
	ck_assert(loop_post(loop, &msg));
	loop_join(loop);
	/* The caller's own mask is as it was. */
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	ck_assert(!sigismember(&blocked, SIGTERM));
}
END_TEST

START_TEST(another_thread_is_not_here)
{
	ck_assert_int_eq(loop_start(loop, NULL), OK);
	ck_assert(!loop_is_here(loop));
	loop_must_be_here(loop);
}
END_TEST

/* ---- ending ---- */

START_TEST(stop_comes_behind_what_was_posted)
{
	struct note before = note_of(1), after = note_of(2), sure = note_of(3);

	ck_assert(loop_post(loop, &before.msg));
	loop_stop(loop);
	ck_assert(!loop_post(loop, &after.msg));
	loop_run_here(loop);
	ck_assert_int_eq(n_ran, 1);
	ck_assert(!loop_post(loop, &after.msg));
	loop_post_sure(loop, &sure.msg);
	ck_assert_int_eq(n_ran, 1);
	loop_free(&loop);
	ck_assert_ptr_null(loop);
	ck_assert_int_eq(n_ran, 2);
	ck_assert_int_eq(ran[1], 3);
}
END_TEST

START_TEST(a_stopped_loop_can_run_again)
{
	struct note notes[2] = { note_of(0), note_of(1) };

	for (int i = 0; i < 2; i++) {
		/* Stopped: only what must not be lost is taken. */
		ck_assert(i == 0 || !loop_post(loop, &notes[i].msg));
		loop_post_sure(loop, &notes[i].msg);
		loop_stop(loop);
		loop_run_here(loop);
		ck_assert_int_eq(n_ran, i + 1);
	}
}
END_TEST

static void free_it(struct msg *msg)
{
	free(msg);
}

/* Handles of others, messages and memory: nothing is left behind. */
START_TEST(free_closes_what_is_open)
{
	struct loop *other = loop_new("other", 0);
	static struct timer timer;
	static uv_idle_t idle;
	struct msg *msg = NEW(struct msg);

	timer_init(&timer, other, (timer_cb *)abort);
	timer_start(&timer, 1000000);
	uv_idle_init(loop_uv(other), &idle);
	msg->run = free_it;
	loop_post_sure(other, msg);
	loop_free(&other);
	loop_free(&other);
}
END_TEST

static struct loop *inner;

static void run_inner(struct msg *msg)
{
	struct note note = note_of(7);
	struct loop *outer = loop;

	inner = loop_new("inner", 0);
	loop = inner;
	ck_assert(loop_post(inner, &note.msg));
	loop_stop(inner);
	loop_run_here(inner);
	loop = outer;
	ck_assert(loop_is_here(loop));
	loop_free(&inner);
	ck_assert(loop_is_here(loop));
	loop_stop(loop);
}

START_TEST(a_loop_inside_a_loop)
{
	struct msg msg = { .run = run_inner };

	ck_assert(loop_post(loop, &msg));
	loop_run_here(loop);
	ck_assert_int_eq(n_ran, 1);
}
END_TEST

/* ---- turns ---- */

struct count {
	struct turn turn;
	int n, seen;
	struct turn *drop, *add;
};

static void run_count(struct turn *turn)
{
	struct count *count = container_of(turn, struct count, turn);

	count->n++;
	count->seen = n_ran;
	if (count->drop)
		loop_off_turn(loop, TAKE(count->drop));
	if (count->add)
		loop_on_turn(loop, TAKE(count->add));
}

START_TEST(a_turn_sees_all_messages_of_the_batch)
{
	struct count count = { .turn.run = run_count };
	struct note notes[3] = { note_of(1), note_of(2), note_of(3) };

	loop_on_turn(loop, &count.turn);
	for (int i = 0; i < 3; i++)
		ck_assert(loop_post(loop, &notes[i].msg));
	while (n_ran < 3)
		loop_run_once(loop);
	ck_assert_int_eq(count.seen, 3);
	loop_off_turn(loop, &count.turn);
	count.n = 0;
	loop_run_once(loop);
	ck_assert_int_eq(count.n, 0);
}
END_TEST

static void stop_here(struct turn *turn)
{
	if (n_ran)
		loop_stop(loop);
}

static void note_timer(struct timer *timer)
{
	ran[n_ran++] = 1;
}

/* A timer's work is seen before the loop waits again: here it would wait for
 * ever. */
START_TEST(a_turn_sees_timers)
{
	struct turn turn = { .run = stop_here };
	struct timer timer;

	loop_on_turn(loop, &turn);
	timer_init(&timer, loop, note_timer);
	timer_start(&timer, 1);
	loop_run_here(loop);
	ck_assert_int_eq(n_ran, 1);
	timer_close(&timer, NULL);
	loop_free(&loop);
}
END_TEST

START_TEST(turns_may_come_and_go_inside)
{
	struct count a = { .turn.run = run_count };
	struct count b = { .turn.run = run_count };
	struct count c = { .turn.run = run_count };
	struct count d = { .turn.run = run_count };

	loop_on_turn(loop, &a.turn);
	loop_on_turn(loop, &b.turn);
	loop_on_turn(loop, &c.turn);
	a.drop = &b.turn;
	a.add = &d.turn;
	c.drop = &c.turn;
	loop_run_once(loop);
	ck_assert_int_eq(b.n, 0);
	ck_assert_int_eq(c.n, 1);
	a.n = d.n = 0;
	loop_run_once(loop);
	ck_assert_int_gt(a.n, 0);
	ck_assert_int_eq(d.n, a.n);
	ck_assert_int_eq(b.n, 0);
	ck_assert_int_eq(c.n, 1);
	loop_free(&loop);
}
END_TEST

/* ---- slow turns ---- */

static char slow_line[512];

static void keep_line(void *data, enum log_level level, struct str line)
{
	ck_assert_int_eq(level, LOG_WARN);
	str_copy(slow_line, sizeof(slow_line), line);
}

static void dawdle(struct msg *msg)
{
	uint64_t until = uv_hrtime() + 20000000;

	loop_note(loop, "dawdling");
	while (uv_hrtime() < until)
		;
	loop_stop(loop);
}

START_TEST(slow_turns_are_counted_and_named)
{
	struct msg msg = { .run = dawdle };
	struct loop_stats stats;

	log_set_sink(keep_line, NULL);
	loop_set_slow_ms(loop, 15);
	ck_assert(loop_post(loop, &msg));
	loop_run_here(loop);
	loop_stats_take(loop, &stats);
	ck_assert_uint_eq(stats.turns_slow, 1);
	ck_assert_uint_ge(stats.turn_max_us, 20000);
	ck_assert_ptr_nonnull(strstr(slow_line, "loop=test"));
	ck_assert_ptr_nonnull(strstr(slow_line, "at=dawdling"));
	loop_stats_take(loop, &stats);
	ck_assert_uint_eq(stats.turn_max_us, 0);
	ck_assert_uint_eq(stats.turns_slow, 1);
}
END_TEST

static uint64_t cpu_ns(void)
{
	struct timespec t;

	ck_assert_int_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void compute(struct msg *msg)
{
	uint64_t until = cpu_ns() + 10000000;

	while (cpu_ns() < until)
		;
	loop_stop(loop);
}

static void idle(struct msg *msg)
{
	usleep(20000);
	loop_stop(loop);
}

static struct loop_stats after(void (*run)(struct msg *msg))
{
	struct msg msg = { .run = run };
	struct loop_stats stats;

	loop_post_sure(loop, &msg);
	loop_run_here(loop);
	loop_stats_take(loop, &stats);
	return stats;
}

/* Who asks does not take it from the next who asks; idling is no computing. */
START_TEST(the_longest_turn_of_late_is_known)
{
	struct loop_stats stats = after(idle);

	ck_assert_uint_ge(stats.turn_recent_us, 20000);
	ck_assert_uint_lt(stats.turn_recent_cpu_us, 10000);
	stats = after(compute);
	ck_assert_uint_ge(stats.turn_recent_us, 20000);
	ck_assert_uint_ge(stats.turn_recent_cpu_us, 10000);
	loop_stats_take(loop, &stats);
	ck_assert_uint_eq(stats.turn_max_us, 0);
	ck_assert_uint_ge(stats.turn_recent_us, 20000);
	ck_assert_uint_ge(stats.turn_recent_cpu_us, 10000);
}
END_TEST

/* ---- looking for input before sleeping ---- */

#define PINGS 5000

static int wires[2];
static struct note told;
static bool is_told, is_waiting;

static void pong(uv_poll_t *poll, int status, int events)
{
	char c;

	ck_assert_int_eq(status, 0);
	if (read(wires[0], &c, 1) != 1) {
		uv_poll_stop(poll);
		loop_stop(loop);
		return;
	}
	/* As another thread would, with each. */
	if (is_told && !is_waiting) {
		is_waiting = true;
		loop_post_sure(loop, &told.msg);
	}
	ck_assert_int_eq(write(wires[0], &c, 1), 1);
}

static void *ping(void *arg)
{
	char c = 'x';

	for (int i = 0; i < PINGS; i++) {
		ck_assert_int_eq(write(wires[1], &c, 1), 1);
		ck_assert_int_eq(read(wires[1], &c, 1), 1);
	}
	shutdown(wires[1], SHUT_WR);
	return NULL;
}

static struct loop_stats play(unsigned spin_us)
{
	struct loop_stats stats;
	pthread_t thread;
	uv_poll_t poll;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, wires), 0);
	loop_set_spin_us(loop, spin_us);
	uv_poll_init(loop_uv(loop), &poll, wires[0]);
	uv_poll_start(&poll, UV_READABLE, pong);
	pthread_create(&thread, NULL, ping, NULL);
	loop_run_here(loop);
	pthread_join(thread, NULL);
	loop_stats_take(loop, &stats);
	loop_free(&loop);
	close(wires[0]);
	close(wires[1]);
	return stats;
}

/* What comes soon is found awake, and all of it is answered; a turn for each. */
START_TEST(what_comes_soon_is_looked_for)
{
	struct loop_stats stats = play(1000);

	ck_assert_uint_gt(stats.found, 0);
	ck_assert_uint_ge(stats.turns, PINGS);
}
END_TEST

static void run_nothing(struct msg *msg)
{
	is_waiting = false;
}

/* Whoever waits for other threads leaves them the processor. */
START_TEST(nothing_is_looked_for_where_others_work)
{
	struct loop_stats stats;

	told = (struct note){ .msg.run = run_nothing };
	is_told = true;
	stats = play(1000);
	ck_assert_uint_eq(stats.found, 0);
	ck_assert_uint_ge(stats.messages, PINGS / 2);
}
END_TEST

START_TEST(nothing_is_looked_for_unless_told)
{
	struct loop_stats stats = play(0);

	ck_assert_uint_eq(stats.found, 0);
	ck_assert_uint_ge(stats.turns, PINGS);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io/loop");
	TCase *t = tcase_create("loop");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, messages_run_in_order);
	tcase_add_test(t, a_full_mailbox_refuses);
	tcase_add_test(t, a_message_may_post_itself);
	tcase_add_test(t, who_posts_to_himself_does_not_sleep_and_lets_others_in);
	tcase_add_test(t, what_comes_behind_an_own_message_is_not_forgotten);
	tcase_add_test(t, run_once_says_when_nothing_is_left);
	tcase_add_test_raise_signal(t, a_message_without_run_aborts, SIGABRT);
	tcase_add_loop_test_raise_signal(
		t, a_message_that_waits_is_not_posted_again, SIGABRT, 0, 2);
	tcase_add_test_raise_signal(t, nor_to_another_loop, SIGABRT);
	tcase_add_test(t, a_refused_message_may_be_posted_again);
	tcase_add_test(t, threads_keep_their_order);
	tcase_add_test(t, the_thread_has_a_name_and_takes_no_signals);
	tcase_add_test_raise_signal(t, another_thread_is_not_here, SIGABRT);
	tcase_add_test(t, stop_comes_behind_what_was_posted);
	tcase_add_test(t, a_stopped_loop_can_run_again);
	tcase_add_test(t, free_closes_what_is_open);
	tcase_add_test(t, a_loop_inside_a_loop);
	tcase_add_test(t, a_turn_sees_all_messages_of_the_batch);
	tcase_add_test(t, a_turn_sees_timers);
	tcase_add_test(t, turns_may_come_and_go_inside);
	tcase_add_test(t, slow_turns_are_counted_and_named);
	tcase_add_test(t, the_longest_turn_of_late_is_known);
	tcase_add_test(t, what_comes_soon_is_looked_for);
	tcase_add_test(t, nothing_is_looked_for_where_others_work);
	tcase_add_test(t, nothing_is_looked_for_unless_told);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
