/*
 * Timers: a thin cover over uv_timer_t, which keeps them in a heap.
 */
#include "io/timer.h"

#include "io/loop_own.h"

#include "base/banned.h"

static void must_be_here(const struct timer *timer)
{
	loop_must_be_here(loop_of_uv(timer->uv_.loop));
}

void timer_init(struct timer *timer, struct loop *loop, timer_cb *cb)
{
	must(cb);
	loop_must_be_here(loop);
	must(uv_timer_init(loop_uv(loop), &timer->uv_) == 0);
	timer->cb_ = cb;
	timer->closed_ = NULL;
}

static void on_timer(uv_timer_t *uv)
{
	struct timer *timer = container_of(uv, struct timer, uv_);

	timer->cb_(timer);
}

void timer_start(struct timer *timer, uint64_t ms)
{
	must_be_here(timer);
	/* Fails for a timer that is closing. */
	must(uv_timer_start(&timer->uv_, on_timer, ms, 0) == 0);
}

void timer_stop(struct timer *timer)
{
	must_be_here(timer);
	uv_timer_stop(&timer->uv_);
}

bool timer_is_armed(const struct timer *timer)
{
	return uv_is_active((const uv_handle_t *)&timer->uv_) != 0;
}

static void on_closed(uv_handle_t *uv)
{
	struct timer *timer =
		container_of((uv_timer_t *)uv, struct timer, uv_);

	if (timer->closed_)
		timer->closed_(timer);
}

void timer_close(struct timer *timer, void (*closed)(struct timer *timer))
{
	must_be_here(timer);
	must(!uv_is_closing((uv_handle_t *)&timer->uv_));
	timer->closed_ = closed;
	uv_close((uv_handle_t *)&timer->uv_, on_closed);
}
