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
/* (Re)arms; fires once after 'ms'. */
void timer_start(struct timer *timer, uint64_t ms);
void timer_stop(struct timer *timer);
bool timer_is_armed(const struct timer *timer);
/* The memory is the caller's again when 'closed' runs (may be NULL). */
void timer_close(struct timer *timer, void (*closed)(struct timer *timer));

#endif
