/*
 * Watch as server sent events (WHATWG HTML, 9.2): the first encoding of watchers.
 *
 *	id: 17
 *	event: change
 *	data: {"key":"acme/shop/prod/db.toml","version":3,...}
 *
 * `bookmark` moves the id; `error` (410, 401, 403) and `end` (the node stops) are
 * the last.  A comment keeps quiet connections alive and shows broken ones.
 */
#include "api/own.h"

#include "base/mem.h"

#include "base/banned.h"

/* Unsent bytes of a client that does not read; then it is fed from the store. */
#define PENDING_MAX (32 * 1024)
/* Of an event around its JSON, at most: its id and what these lines begin with. */
#define AROUND_BYTES 64

/* On its own, so that the request may forget what it brought: watches are many, and
 * most are idle. */
struct sse_watch {
	struct watcher watcher;
	struct request *r;               /* its data is this */
	struct caller *caller;           /* until it has begun */
	struct buf out;                  /* of this turn */
	bool is_started, has_begun;
};

static void let_go(struct sse_watch *s)
{
	buf_fini(&s->out);
	free(s);
}

static struct sse_watch *of(struct watcher *w)
{
	return container_of(w, struct sse_watch, watcher);
}

static struct sse_watch *of_request(struct request *r)
{
	return r->data;
}

static void on_gone(struct request *r)
{
	struct sse_watch *s = of_request(r);

	watcher_stop(&s->watcher);
	let_go(s);
}

static void on_drained(struct request *r)
{
	watcher_resume(&of_request(r)->watcher);
}

/* What the watch was asked for with is borrowed until it has started. */
static void forget_request(struct sse_watch *s)
{
	if (!s->is_started || !s->has_begun)
		return;
	s->caller = NULL;
	request_forget(s->r);
}

static void begin(struct watcher *w, uint64_t rev)
{
	struct request *r = of(w)->r;

	answer_header(r, "Cache-Control", STR("no-store"));
	answer_header_u64(r, "X-Conflux-Revision", rev);
	answer_stream(r, 200, "text/event-stream");
	answer_on_drain(r, on_drained);
	answer_chunk(r, STR(": watching\n\n"));
	of(w)->has_begun = true;
	forget_request(of(w));
}

static bool change(struct watcher *w, const struct feed_change *c)
{
	struct sse_watch *s = of(w);
	struct str json = watch_json(w->at, c);
	struct buf *out = &s->out;

	buf_reserve(out, json.n + AROUND_BYTES);
	buf_z(out, "id: ");
	buf_u64(out, c->rev);
	buf_z(out, "\nevent: change\ndata: ");
	buf_str(out, json);
	buf_z(out, "\n\n");
	return answer_pending(s->r) + out->n < PENDING_MAX;
}

static void flush(struct watcher *w)
{
	struct sse_watch *s = of(w);

	answer_chunk(s->r, buf_view(&s->out));
	buf_fini(&s->out);
	/* It was enough for one turn, and the socket took it: nothing drains. */
	if (answer_pending(s->r) < PENDING_MAX)
		watcher_resume(w);
}

static void soon(const struct watcher *w)
{
	answer_soon(container_of(w, const struct sse_watch, watcher)->r);
}

static void bookmark(struct watcher *w, uint64_t rev)
{
	AUTO_BUF out = BUF_NONE;

	buf_printf(&out, "id: %llu\nevent: bookmark\ndata: {\"revision\":%llu}\n\n",
		   (unsigned long long)rev, (unsigned long long)rev);
	answer_chunk(of(w)->r, buf_view(&out));
}

static void alive(struct watcher *w)
{
	answer_chunk(of(w)->r, STR(": alive\n\n"));
}

static void end(struct watcher *w, enum watch_reason reason,
		const struct err *err)
{
	struct sse_watch *s = of(w);
	struct request *r = s->r;
	bool has_begun = s->has_begun;
	AUTO_BUF out = BUF_NONE;

	r->on_gone = NULL;
	r->data = s->caller;
	/* What it was told before this in the same turn. */
	buf_str(&out, buf_view(&s->out));
	let_go(s);
	/* Whatever ends it while its revision has not come. */
	if (!has_begun) {
		api_error(r, err);
		return;
	}
	buf_z(&out, watch_reason_moves(reason) ? "event: end\ndata: " :
						 "event: error\ndata: ");
	watch_end_json(&out, reason, err);
	buf_z(&out, "\n\n");
	answer_chunk(r, buf_view(&out));
	answer_end(r);
}

static const struct watcher_ops ops = {
	.begin = begin, .change = change, .flush = flush, .soon = soon,
	.bookmark = bookmark, .alive = alive, .end = end,
};

void watch_sse(struct request *r, const struct watch_spec *spec)
{
	struct caller *caller = caller_of(r);
	struct sse_watch *s = NEW(struct sse_watch);
	struct err err;

	s->caller = caller;
	s->r = r;
	r->data = s;
	r->on_gone = on_gone;
	if (watcher_start(&s->watcher, caller->at, spec, &ops, &err) == OK) {
		s->is_started = true;
		forget_request(s);
		return;
	}
	r->on_gone = NULL;
	r->data = caller;
	let_go(s);
	api_error(r, &err);
}
