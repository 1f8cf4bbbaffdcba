/*
 * One-shot timers on a loop; embed struct timer.  Own thread only.
 */
#ifndef IO_TIMER_H
#define IO_TIMER_H

#include "io/loop.h"

struct timer;
typedef void timer_cb(struct timer *timer);

struct timer {
	uv_timer_t uv_;
	timer_cb *cb_;
	void (*closed_)(struct timer *timer);
};

void timer_init(struct timer *timer, struct loop *loop, timer_cb *cb);
/* (Re)arms; fires once 'ms' after the loop's clock (loop_now_ms), in a later
 * turn, also for 0.  'cb' may arm it again or close it. */
void timer_start(struct timer *timer, uint64_t ms);
/* Harmless where it is not armed. */
void timer_stop(struct timer *timer);
bool timer_is_armed(const struct timer *timer);
/* The memory is the caller's again when 'closed' runs (may be NULL: then when
 * the loop is freed). */
void timer_close(struct timer *timer, void (*closed)(struct timer *timer));

#endif
