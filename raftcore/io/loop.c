/*
 * One thread, one libuv loop, one mailbox.
 *
 * The mailbox is a list under a mutex; the first message of a batch wakes the
 * loop by an eventfd of its own, and the whole list is taken at once.  Where the
 * loop posted it itself it is awake: it does not wait for input before its next
 * turn, and looks into the mailbox in that.  Prepare and check handles mark the
 * turns.  (libuv's async handle is not used: a loop
 * that wakes before uv_async_send has returned spins until it does, which with
 * as many threads as processors is most wakes and tens of microseconds each.)
 */
#include "io/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/loop_own.h"
#include "io/spin.h"

#include "base/banned.h"

#define MAILBOX_MAX_DEFAULT 65536u
#define SLOW_MS_DEFAULT 50u
#define NAME_MAX_BYTES 15u
#define NS_PER_S UINT64_C(1000000000)
#define RECENT_SLOTS 16u                 /* more than LOOP_RECENT_S */
/* Of turns whose processor time was not asked for. */
#define UNASKED_NS_MAX UINT64_C(1000000)

struct mailbox {
	pthread_mutex_t lock;
	struct msg *first, **last;
	size_t count, max;
	bool stopping;          /* a stop is asked for and not yet obeyed */
	bool refusing;          /* since a stop, until the next run */
	_Atomic unsigned posting;       /* threads that have yet to wake it */
};

/* The most of each second: its number in the upper half, microseconds below. */
struct recent {
	_Atomic uint64_t slots[RECENT_SLOTS];
};

struct loop {
	uv_loop_t uv;
	uv_poll_t wake;
	int wake_fd;
	uv_prepare_t prepare;
	uv_check_t check;
	uv_idle_t idle;                 /* while it runs libuv does not wait */
	bool has_own;                   /* the first that waits is its own, and woke nobody */
	bool takes_own;                 /* ... since before this turn */
	char name[NAME_MAX_BYTES + 1];

	struct mailbox mailbox;

	pthread_t thread;
	bool has_thread;        /* started and not joined */
	_Atomic bool running;

	struct list turns;
	struct list owned;
	struct loop_scratch *scratch;   /* made when first wanted */

	/* The turn that runs: when waiting for it began and ended. */
	uint64_t wait_began_ns, wait_ended_ns;
	uint64_t cpu_ns;                /* of the thread, when it was asked for */
	uint64_t unasked_ns;            /* of turns since then */
	const char *note;
	struct spin spin;
	bool sleeps;                    /* it was not looked for input, or in vain */

	_Atomic unsigned slow_ms;
	struct {
		_Atomic uint64_t turns, messages, refused, max_us, slow, found;
	} stats;
	struct recent recent, recent_cpu;
};

/* The loop that runs on this thread. */
static _Thread_local struct loop *here;

/* Ends each list, so that whatever waits leads to something and what does not wait
 * leads to nothing: one that is put in twice would lead to itself. */
static struct msg the_end;

/* ---- turns ---- */

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Own thread only. */
static void recent_note(struct recent *r, uint64_t second, uint64_t us)
{
	_Atomic uint64_t *slot = &r->slots[second % RECENT_SLOTS];
	uint64_t fresh = second << 32 | MIN(us, (uint64_t)UINT32_MAX);

	/* One of an earlier second is less, whatever its length. */
	if (fresh > atomic_load_explicit(slot, memory_order_relaxed))
		atomic_store_explicit(slot, fresh, memory_order_relaxed);
}

/* Any thread. */
static uint64_t recent_most(struct recent *r, uint64_t second)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < RECENT_SLOTS; i++) {
		uint64_t v = atomic_load_explicit(&r->slots[i],
						  memory_order_relaxed);

		if ((v >> 32) + LOOP_RECENT_S >= second)
			most = MAX(most, v & UINT32_MAX);
	}
	return most;
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void judge_turn(struct loop *loop, uint64_t us, uint64_t cpu_us)
{
	uint64_t max = atomic_load(&loop->stats.max_us);
	unsigned slow_ms =
		atomic_load_explicit(&loop->slow_ms, memory_order_relaxed);

	while (us > max && !atomic_compare_exchange_weak(&loop->stats.max_us,
							 &max, us))
		;
	if (us <= slow_ms * UINT64_C(1000))
		return;
	count(&loop->stats.slow, 1);
	log_warn("loop",
		 LOG_KV(log_z("loop", loop->name), log_u("ms", us / 1000),
			log_u("computed_ms", cpu_us / 1000),
			log_z("at", loop->note ? loop->note : "unknown")),
		 "slow turn");
}

/* What a turn of 'ns' computed.  To ask for it is a system call: turns that are together
 * shorter than a millisecond count as computed, and what they computed counts for the
 * turn behind them too. */
static uint64_t turn_cpu_ns(struct loop *loop, uint64_t ns)
{
	uint64_t cpu, computed;

	loop->unasked_ns += ns;
	if (loop->unasked_ns < UNASKED_NS_MAX)
		return ns;
	cpu = thread_cpu_ns();
	computed = cpu - loop->cpu_ns;
	loop->cpu_ns = cpu;
	loop->unasked_ns = 0;
	return MIN(ns, computed);
}

static void end_turn(struct loop *loop)
{
	uint64_t now = clock_mono_ns();

	if (loop->wait_ended_ns && now > loop->wait_ended_ns) {
		uint64_t ns = now - loop->wait_ended_ns;
		uint64_t us = ns / 1000, cpu_us = turn_cpu_ns(loop, ns) / 1000;

		recent_note(&loop->recent, now / NS_PER_S, us);
		recent_note(&loop->recent_cpu, now / NS_PER_S, cpu_us);
		judge_turn(loop, us, cpu_us);
	}
	loop->wait_began_ns = now;
	loop->wait_ended_ns = 0;
	loop->note = NULL;
}

/*
 * Any callback may take any other off or put new ones on: those that are still
 * to run wait in a list of their own, and each is put back before it runs.
 */
static void run_turns(struct loop *loop)
{
	struct list todo;
	struct turn *turn;

	count(&loop->stats.turns, 1);
	list_init(&todo);
	if (!list_empty(&loop->turns)) {
		list_insert_before(&loop->turns, &todo);
		list_remove(&loop->turns);
	}
	while ((turn = list_first(&todo, struct turn, at_))) {
		list_remove(&turn->at_);
		list_append(&loop->turns, &turn->at_);
		turn->run(turn);
	}
	end_turn(loop);
}

/* ---- looking for input before sleeping ---- */

static bool has_input(struct loop *loop)
{
	struct epoll_event event;

	/* Level triggered: libuv finds it there too. */
	return epoll_wait(uv_backend_fd(&loop->uv), &event, 1, 0) != 0;
}

/*
 * True: there is input.  Whoever wants the processor gets it first: that may be the
 * client, with its next request, and else it is left the processor.
 */
static bool look(struct loop *loop)
{
	uint64_t began = clock_mono_ns(), last = began, now = began;

	while (now - began < loop->spin.most_ns) {
		if (has_input(loop)) {
			spin_hit(&loop->spin);
			count(&loop->stats.found, 1);
			return true;
		}
		if (now - last > SPIN_LOOK_NS) {
			spin_crowded(&loop->spin, now);
			return false;
		}
		/* No part of a turn: it does not count as computed. */
		loop->cpu_ns += now - last;
		last = now;
		sched_yield();
		now = clock_mono_ns();
	}
	if (now - last > SPIN_LOOK_NS)
		spin_crowded(&loop->spin, now);
	else
		spin_miss(&loop->spin);
	return false;
}

/* What was registered in this turn is known to the kernel only when libuv waits, and
 * timers are due then: it is late by no more than one look. */
static void look_first(struct loop *loop)
{
	if (uv_backend_timeout(&loop->uv) == 0)
		return;
	loop->sleeps = !spin_wants(&loop->spin, loop->wait_began_ns) || !look(loop);
}

static void take_messages(struct loop *loop);

static void on_idle(uv_idle_t *idle)
{
}

/* What comes before the next turn is for the one behind it: who posts to himself again
 * and again lets input in between. */
static void skip_waiting(struct loop *loop)
{
	loop->takes_own = loop->has_own;
	if (loop->takes_own)
		must(uv_idle_start(&loop->idle, on_idle) == 0);
	else
		uv_idle_stop(&loop->idle);
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct loop *loop = loop_of_uv(prepare->loop);

	run_turns(loop);
	skip_waiting(loop);
	loop->sleeps = false;
	if (loop->spin.most_ns && atomic_load_explicit(&loop->running, memory_order_relaxed))
		look_first(loop);
}

/*
 * libuv reads its clock when waiting ends and runs the callbacks of sockets
 * before this one, so its cached time is the begin of the turn; but rounded
 * down to a millisecond, which may lie before the wait.
 */
static void on_check(uv_check_t *check)
{
	struct loop *loop = loop_of_uv(check->loop);
	uint64_t ended = uv_now(&loop->uv) * UINT64_C(1000000);

	loop->wait_ended_ns = MAX(ended, loop->wait_began_ns);
	if (loop->sleeps)
		spin_slept(&loop->spin, clock_mono_ns() - loop->wait_began_ns);
	if (loop->takes_own)
		take_messages(loop);
}

void loop_on_turn(struct loop *loop, struct turn *turn)
{
	loop_must_be_here(loop);
	must(turn->run);
	list_append(&loop->turns, &turn->at_);
}

void loop_off_turn(struct loop *loop, struct turn *turn)
{
	loop_must_be_here(loop);
	list_remove(&turn->at_);
}

/* ---- mailbox ---- */

static void mailbox_init(struct mailbox *box, size_t max)
{
	must(pthread_mutex_init(&box->lock, NULL) == 0);
	box->first = &the_end;
	box->last = &box->first;
	box->max = max ? max : MAILBOX_MAX_DEFAULT;
}

/* Takes everything out; says whether the loop shall end behind it. */
static struct msg *mailbox_take(struct mailbox *box, bool *stopping)
{
	struct msg *first;

	pthread_mutex_lock(&box->lock);
	first = box->first;
	box->first = &the_end;
	box->last = &box->first;
	box->count = 0;
	*stopping = box->stopping;
	box->stopping = false;
	pthread_mutex_unlock(&box->lock);
	return first;
}

static bool mailbox_is_empty(struct mailbox *box)
{
	bool empty;

	pthread_mutex_lock(&box->lock);
	empty = box->first == &the_end;
	pthread_mutex_unlock(&box->lock);
	return empty;
}

static void run_messages(struct loop *loop, struct msg *msg)
{
	uint64_t n = 0;

	for (struct msg *next; msg != &the_end; msg = next, n++) {
		next = msg->next_;
		msg->next_ = NULL;       /* from here on it may be posted again */
		msg->run(msg);
	}
	count(&loop->stats.messages, n);
}

/* Anything but success leaves the counter as it is, and it is not 0 then. */
static void wake_up(struct loop *loop)
{
	const uint64_t one = 1;

	while (write(loop->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void take_messages(struct loop *loop)
{
	struct msg *first;
	bool stopping;

	/* Before they run, and post others. */
	loop->has_own = loop->takes_own = false;
	first = mailbox_take(&loop->mailbox, &stopping);
	run_messages(loop, first);
	spin_told(&loop->spin);
	if (stopping)
		uv_stop(&loop->uv);
}

static void on_wake(uv_poll_t *wake, int status, int events)
{
	struct loop *loop = loop_of_uv(wake->loop);
	uint64_t count;

	/* Before the messages are taken: one that comes behind wakes again. */
	while (read(loop->wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	take_messages(loop);
}

/* Whoever frees the loop waits for this: once the lock is released, a message
 * that has run may be the one after which the loop is freed.  Under the lock
 * the loop would wake only to wait for it. */
static void wake_begin(struct mailbox *box)
{
	atomic_fetch_add(&box->posting, 1);
}

static void wake_end(struct mailbox *box)
{
	atomic_fetch_sub(&box->posting, 1);
}

static void wait_for_wakers(struct mailbox *box)
{
	while (atomic_load(&box->posting))
		sched_yield();
}

/* There is something for a loop whose mailbox was empty. */
static void call(struct loop *loop)
{
	if (here == loop && atomic_load_explicit(&loop->running, memory_order_relaxed))
		loop->has_own = true;
	else
		wake_up(loop);
}

static bool post(struct loop *loop, struct msg *msg, bool sure)
{
	struct mailbox *box = &loop->mailbox;
	bool accepted, was_empty = false;

	must(msg->run);
	wake_begin(box);
	pthread_mutex_lock(&box->lock);
	if (msg->next_)
		must_failed("a message is posted that waits already, or did not "
			    "begin zeroed", __FILE__, __LINE__, __func__);
	accepted = sure || (!box->refusing && box->count < box->max);
	if (accepted) {
		was_empty = box->first == &the_end;
		msg->next_ = &the_end;
		*box->last = msg;
		box->last = &msg->next_;
		box->count++;
	}
	pthread_mutex_unlock(&box->lock);
	if (was_empty)
		call(loop);
	if (!accepted)
		count(&loop->stats.refused, 1);
	wake_end(box);
	return accepted;
}

bool loop_post(struct loop *loop, struct msg *msg)
{
	return post(loop, msg, false);
}

void loop_post_sure(struct loop *loop, struct msg *msg)
{
	post(loop, msg, true);
}

/* ---- life ---- */

/* The loop of libuv, and what wakes it. */
static enum code make_uv(struct loop *loop, struct err *err)
{
	int rc = uv_loop_init(&loop->uv);

	if (rc)
		return err_sys(err, -rc, "loop %s", loop->name);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0) {
		rc = errno;
		must(uv_loop_close(&loop->uv) == 0);
		return err_sys(err, rc, "loop %s", loop->name);
	}
	loop->uv.data = loop;
	return OK;
}

static void start_handles(struct loop *loop)
{
	must(uv_poll_init(&loop->uv, &loop->wake, loop->wake_fd) == 0);
	must(uv_poll_start(&loop->wake, UV_READABLE, on_wake) == 0);
	must(uv_prepare_init(&loop->uv, &loop->prepare) == 0);
	must(uv_check_init(&loop->uv, &loop->check) == 0);
	must(uv_idle_init(&loop->uv, &loop->idle) == 0);
	must(uv_prepare_start(&loop->prepare, on_prepare) == 0);
	must(uv_check_start(&loop->check, on_check) == 0);
	/* The mailbox alone keeps the loop running. */
	uv_unref((uv_handle_t *)&loop->prepare);
	uv_unref((uv_handle_t *)&loop->check);
	uv_unref((uv_handle_t *)&loop->idle);
}

enum code loop_try_new(const char *name, size_t mailbox_max, struct loop **out,
		       struct err *err)
{
	struct loop *loop = NEW(struct loop);
	enum code rc;

	must(str_copy(loop->name, sizeof(loop->name), str_of(name)));
	rc = make_uv(loop, err);
	if (rc) {
		free(loop);
		return rc;
	}
	list_init(&loop->turns);
	list_init(&loop->owned);
	atomic_store(&loop->slow_ms, SLOW_MS_DEFAULT);
	mailbox_init(&loop->mailbox, mailbox_max);
	start_handles(loop);
	*out = loop;
	return OK;
}

struct loop *loop_new(const char *name, size_t mailbox_max)
{
	struct loop *loop;
	struct err err = { 0 };

	if (loop_try_new(name, mailbox_max, &loop, &err) == OK)
		return loop;
	dprintf(STDERR_FILENO, "%s\n", err.text);
	must_failed("a loop", __FILE__, __LINE__, __func__);
}

static void close_if_open(uv_handle_t *handle, void *data)
{
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* Each 'shut' takes its handle off the list, now or from the close callback;
 * off it goes here in any case. */
static void shut_owned(struct loop *loop)
{
	struct owned_handle *h;

	while ((h = list_first(&loop->owned, struct owned_handle, at_))) {
		list_remove(&h->at_);
		h->shut(h);
	}
}

/* Closing runs callbacks of others, which may post and open again. */
static void close_all(struct loop *loop)
{
	bool stopping;

	do {
		run_messages(loop, mailbox_take(&loop->mailbox, &stopping));
		shut_owned(loop);
		uv_walk(&loop->uv, close_if_open, NULL);
		while (uv_run(&loop->uv, UV_RUN_DEFAULT))
			;
		/* No turn callback can run from here on: prepare is closed. */
	} while (!mailbox_is_empty(&loop->mailbox) ||
		 !list_empty(&loop->owned));
}

void loop_free(struct loop **at)
{
	struct loop *loop = *at, *outer = here;

	if (!loop)
		return;
	loop_join(loop);
	must(!atomic_load(&loop->running));
	here = loop;
	close_all(loop);
	here = outer;
	must(uv_loop_close(&loop->uv) == 0);
	wait_for_wakers(&loop->mailbox);
	close(loop->wake_fd);
	pthread_mutex_destroy(&loop->mailbox.lock);
	if (loop->scratch)
		buf_fini(&loop->scratch->wire);
	free(loop->scratch);
	free(loop);
	/* Last: what ran until here may still have asked the caller's pointer. */
	*at = NULL;
}

/* Takes messages again, unless a stop has come before the run. */
static void mailbox_reopen(struct mailbox *box)
{
	pthread_mutex_lock(&box->lock);
	box->refusing = box->stopping;
	pthread_mutex_unlock(&box->lock);
}

static void run(struct loop *loop)
{
	struct loop *outer = here;

	here = loop;
	loop->cpu_ns = thread_cpu_ns();
	uv_run(&loop->uv, UV_RUN_DEFAULT);
	/* What came last has its turn too. */
	run_turns(loop);
	here = outer;
	atomic_store(&loop->running, false);
}

static void *thread_main(void *arg)
{
	struct loop *loop = arg;

	pthread_setname_np(pthread_self(), loop->name);
	run(loop);
	return NULL;
}

/* Signals are for the thread that waits for them, never for a loop's. */
static int thread_start(struct loop *loop)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&loop->thread, NULL, thread_main, loop);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

enum code loop_start(struct loop *loop, struct err *err)
{
	int rc;

	must(!loop->has_thread && !atomic_load(&loop->running));
	mailbox_reopen(&loop->mailbox);
	atomic_store(&loop->running, true);
	rc = thread_start(loop);
	if (rc) {
		atomic_store(&loop->running, false);
		return err_set(err, E_BUSY, "thread %s: %s", loop->name,
			       uv_strerror(uv_translate_sys_error(rc)));
	}
	loop->has_thread = true;
	return OK;
}

void loop_run_here(struct loop *loop)
{
	must(!loop->has_thread && !atomic_load(&loop->running));
	mailbox_reopen(&loop->mailbox);
	atomic_store(&loop->running, true);
	run(loop);
}

/* Anything but the mailbox, which is always there. */
static bool has_handles(struct loop *loop)
{
	bool alive;

	uv_unref((uv_handle_t *)&loop->wake);
	alive = uv_loop_alive(&loop->uv) != 0;
	uv_ref((uv_handle_t *)&loop->wake);
	return alive;
}

bool loop_run_once(struct loop *loop)
{
	struct loop *outer = here;

	must(!loop->has_thread && !atomic_load(&loop->running));
	here = loop;
	loop->cpu_ns = thread_cpu_ns();
	uv_run(&loop->uv, UV_RUN_NOWAIT);
	/* Input comes last in such a run, and wants its turn. */
	run_turns(loop);
	here = outer;
	return has_handles(loop) || !mailbox_is_empty(&loop->mailbox);
}

void loop_stop(struct loop *loop)
{
	struct mailbox *box = &loop->mailbox;

	wake_begin(box);
	pthread_mutex_lock(&box->lock);
	box->stopping = true;
	box->refusing = true;
	pthread_mutex_unlock(&box->lock);
	wake_up(loop);
	wake_end(box);
}

void loop_join(struct loop *loop)
{
	if (!loop->has_thread)
		return;
	must(pthread_join(loop->thread, NULL) == 0);
	loop->has_thread = false;
}

/* ---- questions ---- */

bool loop_is_here(const struct loop *loop)
{
	return here == loop || !atomic_load(&loop->running);
}

void loop_must_be_here(const struct loop *loop)
{
	must(loop_is_here(loop));
}

uint64_t loop_now_ms(const struct loop *loop)
{
	return uv_now(&loop->uv);
}

uv_loop_t *loop_uv(struct loop *loop)
{
	return &loop->uv;
}

void loop_stats_take(struct loop *loop, struct loop_stats *out)
{
	uint64_t second = clock_mono_ns() / NS_PER_S;

	*out = (struct loop_stats){
		.turns = atomic_load(&loop->stats.turns),
		.messages = atomic_load(&loop->stats.messages),
		.refused = atomic_load(&loop->stats.refused),
		.turn_max_us = atomic_exchange(&loop->stats.max_us, 0),
		.turns_slow = atomic_load(&loop->stats.slow),
		.found = atomic_load(&loop->stats.found),
		.turn_recent_us = recent_most(&loop->recent, second),
		.turn_recent_cpu_us = recent_most(&loop->recent_cpu, second),
	};
}

void loop_set_slow_ms(struct loop *loop, unsigned ms)
{
	atomic_store_explicit(&loop->slow_ms, ms, memory_order_relaxed);
}

void loop_set_spin_us(struct loop *loop, unsigned us)
{
	loop->spin.most_ns = us * UINT64_C(1000);
}

void loop_note(struct loop *loop, const char *what)
{
	loop->note = what;
}

/* ---- for this folder ---- */

void loop_own(struct loop *loop, struct owned_handle *h)
{
	loop_must_be_here(loop);
	list_append(&loop->owned, &h->at_);
}

void loop_disown(struct owned_handle *h)
{
	list_remove(&h->at_);
}

uint64_t loop_turn(const struct loop *loop)
{
	return atomic_load_explicit(&loop->stats.turns, memory_order_relaxed);
}

struct loop_scratch *loop_scratch(struct loop *loop)
{
	if (!loop->scratch) {
		/* Not cleared: most of it may never be touched. */
		loop->scratch = mem_alloc(sizeof(*loop->scratch));
		loop->scratch->wire = BUF_NONE;
	}
	return loop->scratch;
}
