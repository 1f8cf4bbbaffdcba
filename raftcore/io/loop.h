/*
 * A loop is one thread that runs libuv and owns everything registered on it.
 * Other threads reach it only through its mailbox.
 *
 * Life: loop_new, register handles from its own thread (or before start),
 * loop_start, loop_stop from any thread, loop_free after it has ended.  While
 * a loop does not run, whoever holds it is its own thread.
 *
 * A turn: wait for input; run what came (sockets, messages); close what was
 * closed; run timers that are due; then, last before the loop waits again,
 * the turn callbacks.  So these see the work of the whole turn, whatever
 * brought it.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <uv.h>

#include "base/list.h"
#include "base/str.h"

struct loop;

/* Something to run on a loop; embed it in the request and find the request
 * with container_of.  Begins zeroed.  Must stay valid until it ran; then it may
 * be posted again, from inside run too, and not before: one that waits and is
 * posted once more ends the process. */
struct msg {
	struct msg *next_;
	void (*run)(struct msg *msg);
};

/* 'name' (at most 15 bytes) names the thread.  'mailbox_max' bounds the
 * messages that loop_post accepts; 0 is 65,536. */
struct loop *loop_new(const char *name, size_t mailbox_max);
/* As loop_new, which ends the process where the machine has no more descriptors or
 * memory; this one says so.  E_BUSY, E_IO. */
enum code loop_try_new(const char *name, size_t mailbox_max, struct loop **out,
		       struct err *err) MUST_USE;
/*
 * The loop has ended, or never ran; waits for its thread.  Messages that came
 * by loop_post_sure after the end run here.  Streams and listeners that are
 * still open are closed (on_close runs), other handles are closed without a
 * callback.
 */
void loop_free(struct loop **loop);

/* Starts the thread; it takes no signals.  E_IO: there is no thread to have. */
enum code loop_start(struct loop *loop, struct err *err) MUST_USE;
/* Runs the loop on the calling thread until loop_stop (tests, programs).  May
 * be called again. */
void loop_run_here(struct loop *loop);
/* Runs what is due without blocking; true while handles are active or
 * messages wait. */
bool loop_run_once(struct loop *loop);
/* Asks the loop to end after the messages that were posted before; any
 * thread.  loop_join waits for the thread. */
void loop_stop(struct loop *loop);
void loop_join(struct loop *loop);

/* Any thread.  False: the mailbox is full or the loop has been stopped, and
 * 'msg' will not run.  Messages of one thread run in order; a batch wakes
 * once. */
bool loop_post(struct loop *loop, struct msg *msg) MUST_USE;
/* As loop_post without the bound, and until loop_free: for answers that must
 * not be lost. */
void loop_post_sure(struct loop *loop, struct msg *msg);
bool loop_is_here(const struct loop *loop);
void loop_must_be_here(const struct loop *loop);

/* Runs once a loop turn after all input was handled: where group commit and
 * transaction renewal live.  Own thread only.  Stays registered; may be taken
 * off inside any turn callback. */
struct turn {
	struct list at_;
	void (*run)(struct turn *turn);
};
void loop_on_turn(struct loop *loop, struct turn *turn);
void loop_off_turn(struct loop *loop, struct turn *turn);

/* Milliseconds of the loop's clock (monotonic, cached a turn). */
uint64_t loop_now_ms(const struct loop *loop);
uv_loop_t *loop_uv(struct loop *loop);

struct loop_stats {
	uint64_t turns, messages, refused;
	uint64_t turn_max_us;         /* since the last loop_stats_take */
	uint64_t turns_slow;          /* longer than the slow limit (50 ms) */
	uint64_t found;               /* waits that ended without sleep: loop_set_spin_us */
	/* The longest of the last LOOP_RECENT_S seconds, and the most that one
	 * computed, at most a millisecond too much: one that is long and computed
	 * little waited for a processor, or for memory. */
	uint64_t turn_recent_us, turn_recent_cpu_us;
};
#define LOOP_RECENT_S 10u
/* Any thread.  A turn is measured from the end of waiting to the end of its
 * turn callbacks; at most a millisecond too long. */
void loop_stats_take(struct loop *loop, struct loop_stats *out);
/* Turns longer than this are logged with the loop's name; default 50. */
void loop_set_slow_ms(struct loop *loop, unsigned ms);
/* Before it runs.  Where input mostly comes within so many microseconds of the last it
 * is looked for that long before the loop sleeps (io/spin.h); 0, the default: never. */
void loop_set_spin_us(struct loop *loop, unsigned us);
/* Says what this turn is at, for the line about a slow turn: static text; the
 * last of a turn counts.  Own thread. */
void loop_note(struct loop *loop, const char *what);

#endif
