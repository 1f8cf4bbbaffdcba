/*
 * Watch as a long poll: GET /api/v1/watch?wait=30s is answered as soon as there is
 * at least one whole command, or at the end of the time.
 *
 *	{"revision":17,"events":[{"key":...,"end":true}]}
 *
 * The next poll goes on with since=<revision>.  A command of which more than
 * ANSWER_MAX bytes are told comes in parts; `end` is on the last of the last.
 */
#include "api/own.h"

#include "base/mem.h"
#include "io/timer.h"

#include "base/banned.h"

#define ANSWER_MAX (1024 * 1024)

struct poll {
	struct caller caller;            /* request.data meanwhile */
	struct watcher watcher;
	struct request *r;
	struct timer timer;
	struct buf events;
	size_t whole;                    /* bytes of them that are whole commands */
	uint64_t rev;                    /* up to which these go */
};

static struct poll *of(struct watcher *w)
{
	return container_of(w, struct poll, watcher);
}

static void timer_closed(struct timer *timer)
{
	struct poll *p = container_of(timer, struct poll, timer);

	buf_fini(&p->events);
	free(p);
}

/* Gives the request back, with a caller of its own. */
static struct request *take_request(struct poll *p)
{
	struct request *r = p->r;
	struct caller *caller = ANEW(r->arena, struct caller);

	*caller = p->caller;
	r->data = caller;
	r->on_gone = NULL;
	watcher_stop(&p->watcher);
	timer_close(&p->timer, timer_closed);
	return r;
}

static void finish(struct poll *p)
{
	AUTO_BUF out = BUF_NONE;
	struct request *r;

	buf_z(&out, "{\"revision\":");
	buf_u64(&out, p->rev);
	buf_z(&out, ",\"events\":[");
	buf_str(&out, str_first(buf_view(&p->events), p->whole));
	buf_z(&out, "]}\n");
	r = take_request(p);
	answer_header(r, "Cache-Control", STR("no-store"));
	answer_header_u64(r, "X-Conflux-Revision", p->rev);
	answer(r, 200, "application/json", buf_view(&out));
}

static bool change(struct watcher *w, const struct feed_change *c)
{
	struct poll *p = of(w);

	if (p->events.n)
		buf_c(&p->events, ',');
	buf_str(&p->events, watch_json(w->at, c));
	if (c->end || p->events.n > ANSWER_MAX) {
		p->whole = p->events.n;
		p->rev = c->rev;
	}
	return p->events.n <= ANSWER_MAX;
}

static void flush(struct watcher *w)
{
	if (of(w)->whole)
		finish(of(w));
}

static void bookmark(struct watcher *w, uint64_t rev)
{
	of(w)->rev = rev;
}

static void end(struct watcher *w, enum watch_reason reason,
		const struct err *err)
{
	if (reason == WATCH_DRAINING)
		finish(of(w));           /* what it has not heard is elsewhere, too */
	else
		api_error(take_request(of(w)), err);
}

static const struct watcher_ops ops = {
	.change = change, .flush = flush, .bookmark = bookmark, .end = end,
};

static void on_time(struct timer *timer)
{
	struct poll *p = container_of(timer, struct poll, timer);

	/* Of a command that is half here nothing is told. */
	if (p->events.n == 0)
		p->rev = watcher_rev(&p->watcher);
	finish(p);
}

static void on_gone(struct request *r)
{
	struct poll *p = container_of(caller_of(r), struct poll, caller);

	take_request(p);
}

void watch_poll(struct request *r, const struct watch_spec *spec,
		unsigned wait_ms)
{
	struct poll *p = NEW(struct poll);
	struct err err;

	p->caller = *caller_of(r);
	p->r = r;
	r->data = &p->caller;
	r->on_gone = on_gone;
	timer_init(&p->timer, r->loop, on_time);
	if (watcher_start(&p->watcher, p->caller.at, spec, &ops, &err)) {
		api_error(take_request(p), &err);
		return;
	}
	p->rev = watcher_rev(&p->watcher);
	timer_start(&p->timer, wait_ms);
}
