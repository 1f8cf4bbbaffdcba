/*
 * Reads that want to see at least so much: `min_revision=N` waits until this node
 * has it, `consistency=linearizable` until it has all that was acknowledged
 * before the request came.
 *
 * Every request to a route with a permission passes api_dispatch.  A linearizable
 * one first waits for the read barrier with the leader, which all that came in one
 * turn of a loop share (struct api_round).  Where what it wants is here its handler
 * runs at once; else the request is held by a struct api_wait on its loop, looked at
 * with each wake-up of the store, and answered 504 after two seconds.  A connection
 * that ends meanwhile takes its reads and waits along; a round outlives them until
 * its barrier has passed.
 */
#include "api/grpc.h"

#include "base/failpoint.h"
#include "base/mem.h"
#include "io/timer.h"

#include "base/banned.h"

#define WAIT_MS 2000

struct api_wait {
	struct list at_;                 /* of the loop, or of what is ready */
	struct caller caller;            /* request.data meanwhile */
	struct request *r;
	route_handler *then;
	struct timer timer;
};

static struct store *store_of(const struct api_wait *w)
{
	return w->caller.at->api->config.store;
}

static bool is_here(const struct api_wait *w)
{
	return w->caller.min_rev <= store_rev(store_of(w));
}

/* ---- life ---- */

static void timer_closed(struct timer *timer)
{
	free(container_of(timer, struct api_wait, timer));
}

/* Gives the request back, with a caller of its own. */
static struct request *wait_close(struct api_wait *w)
{
	struct request *r = w->r;
	struct caller *caller = ANEW(r->arena, struct caller);

	*caller = w->caller;
	r->data = caller;
	r->on_gone = NULL;
	list_remove(&w->at_);
	store_hurry(store_of(w), false);
	timer_close(&w->timer, timer_closed);
	return r;
}

static void on_gone(struct request *r)
{
	grpc_gone(r);
	wait_close(container_of(caller_of(r), struct api_wait, caller));
}

static void refuse(struct api_wait *w, enum code code, const char *why)
{
	uint64_t want = w->caller.min_rev, have = store_rev(store_of(w));
	struct request *r = wait_close(w);
	struct err err;

	err_set(&err, code, "revision %llu is not here yet (%llu)%s",
		(unsigned long long)want, (unsigned long long)have, why);
	err_hint(&err, "ask again, or another node");
	api_error(r, &err);
}

static void on_late(struct timer *timer)
{
	refuse(container_of(timer, struct api_wait, timer), E_TIMEOUT, "");
}

static void wait_start(struct request *r, route_handler *then)
{
	struct api_wait *w = NEW(struct api_wait);

	w->caller = *caller_of(r);
	w->r = r;
	w->then = then;
	r->data = &w->caller;
	r->on_gone = on_gone;
	list_append(&w->caller.at->waits, &w->at_);
	store_hurry(store_of(w), true);
	timer_init(&w->timer, r->loop, on_late);
	timer_start(&w->timer, WAIT_MS);
}

/* ---- what is wanted ---- */

/* False: answered. */
static bool take_conditions(struct request *r, uint64_t *min,
			    bool *is_linearizable)
{
	const struct str *rev = request_query(r, "min_revision");
	const struct str *mode = request_query(r, "consistency");

	*min = 0;
	*is_linearizable = false;
	if (!rev && !mode)
		return true;
	if (r->route->method != HTTP_M_GET &&
	    verb_writes(r->route->permission >> 8)) {
		api_fail(r, E_INVALID, "min_revision and consistency are for "
			 "reads; nothing was done");
		return false;
	}
	if (rev && !str_u64(*rev, min)) {
		api_fail(r, E_INVALID, "min_revision=%.*s is no number",
			 STR_ARG(str_first(*rev, 40)));
		return false;
	}
	if (mode && !str_is(*mode, "linearizable") && !str_is(*mode, "local")) {
		api_fail(r, E_INVALID, "consistency=%.*s is neither local nor "
			 "linearizable", STR_ARG(str_first(*mode, 40)));
		return false;
	}
	*is_linearizable = mode && str_is(*mode, "linearizable");
	return true;
}

static void run_when_here(struct request *r, route_handler *then)
{
	struct caller *caller = caller_of(r);

	struct store *store = caller->at->api->config.store;

	if (caller->min_rev > store_rev(store))
		follower_rests(&caller->at->follower, false);
	/* What came before the wake-ups do is looked for once more. */
	if (caller->min_rev <= store_rev(store))
		then(r);
	else
		wait_start(r, then);
}

/* ---- the read barrier ---- */

/* A read that waits for one; request.data is 'caller' meanwhile. */
struct api_read {
	struct list at_;                 /* of the loop, or of its round */
	struct caller caller;
	struct request *r;
	route_handler *then;
};

/* What came in one turn of a loop shares a barrier: it began behind them all. */
struct api_round {
	struct store_barrier barrier;
	struct list reads;
	struct msg refused;
};

static struct request *read_close(struct api_read *b)
{
	struct request *r = b->r;
	struct caller *caller = ANEW(r->arena, struct caller);

	*caller = b->caller;
	r->data = caller;
	r->on_gone = NULL;
	list_remove(&b->at_);
	free(b);
	return r;
}

static void read_gone(struct request *r)
{
	grpc_gone(r);
	read_close(container_of(caller_of(r), struct api_read, caller));
}

/* An answer may end other reads of its connection, and begin some. */
static void round_passed(struct store_barrier *barrier, enum code rc,
			 const struct err *err)
{
	struct api_round *round = container_of(barrier, struct api_round, barrier);
	struct api_read *b;

	while ((b = list_first(&round->reads, struct api_read, at_))) {
		route_handler *then = b->then;
		struct request *r = read_close(b);

		if (rc)
			api_error(r, err);
		else
			run_when_here(r, then);
	}
	free(round);
}

static void round_refused(struct msg *msg)
{
	struct api_round *round = container_of(msg, struct api_round, refused);
	struct err err;

	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	round_passed(&round->barrier, err.code, &err);
}

void wait_turn(struct api_loop *at)
{
	struct api_round *round;

	if (list_empty(&at->reads))
		return;
	round = NEW(struct api_round);
	list_init(&round->reads);
	list_insert_before(&at->reads, &round->reads);
	list_remove(&at->reads);
	round->barrier = (struct store_barrier){ .home = at->loop,
						 .done = round_passed };
	if (store_barrier(at->api->config.store, &round->barrier))
		return;
	round->refused.run = round_refused;
	loop_post_sure(at->loop, &round->refused);
}

static void read_start(struct request *r, route_handler *then)
{
	struct api_read *b = NEW(struct api_read);

	b->caller = *caller_of(r);
	b->r = r;
	b->then = then;
	r->data = &b->caller;
	r->on_gone = read_gone;
	list_append(&b->caller.at->reads, &b->at_);
}

void api_when(struct request *r, uint64_t min_rev, bool is_linearizable,
	      route_handler *then)
{
	caller_of(r)->min_rev = min_rev;
	if (is_linearizable && failpoint_hit(FP_READ_BARRIER, NULL) == OK)
		read_start(r, then);
	else
		run_when_here(r, then);
}

void api_dispatch(struct request *r)
{
	bool is_linearizable;
	uint64_t min_rev;

	if (take_conditions(r, &min_rev, &is_linearizable))
		api_when(r, min_rev, is_linearizable, api_run);
}

/* ---- the loop ---- */

void wait_wake(struct api_loop *at)
{
	struct list ready;
	struct api_wait *w;

	/* An answer may end other requests of its connection, and begin some. */
	list_init(&ready);
	list_each(&at->waits, w, at_) {
		if (!is_here(w))
			continue;
		list_remove(&w->at_);
		list_append(&ready, &w->at_);
	}
	while (!list_empty(&ready)) {
		route_handler *then;

		w = container_of(ready.next, struct api_wait, at_);
		then = w->then;
		then(wait_close(w));
	}
}
