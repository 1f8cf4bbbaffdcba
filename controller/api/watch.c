/*
 * Watch: changes of configurations as server sent events.
 *
 * What a watcher is told, and where it stands, is state/feed.h; here are its
 * request, its socket and its time.  A watcher that lags goes on where it stopped
 * when its socket has drained.  A heartbeat comment keeps idle connections alive
 * and shows broken ones.
 */
#include "api/own.h"

#include "base/failpoint.h"
#include "base/mem.h"
#include "io/timer.h"
#include "state/feed.h"

#include "base/banned.h"

#define PENDING_MAX (256 * 1024)
#define EVENTS_A_TURN 500
#define HEARTBEAT_MS 15000
/* How long a revision that is not here yet is waited for. */
#define EARLY_MS 2000
#define KEYS_MAX 1000

struct watch {
	struct list at_;
	struct request *r;
	struct api_loop *loop;
	struct feed feed;
	bool is_stalled;                 /* waits for the socket to drain */
	bool is_early;                   /* the cursor is ahead of the state */
	struct timer heartbeat;
	struct msg more;
	bool has_more, is_gone;
};

static void feed(struct watch *w);

/* ---- what it follows ---- */

static bool parse_keys(struct request *r, struct feed *f)
{
	struct err err;

	for (size_t i = 0; i < r->n_query; i++) {
		const struct url_param *q = &r->query[i];

		if (str_is(q->name, "key")) {
			f->keys = arena_grow(r->arena, f->keys, &f->cap_keys,
					     f->n_keys + 1, sizeof(*f->keys));
			if (address_parse(q->value, &f->keys[f->n_keys++],
					  &err)) {
				err_wrap(&err, "key=%.*s", STR_ARG(q->value));
				api_error(r, &err);
				return false;
			}
		} else if (str_is(q->name, "prefix")) {
			f->prefixes = arena_grow(r->arena, f->prefixes,
						 &f->cap_prefixes,
						 f->n_prefixes + 1,
						 sizeof(*f->prefixes));
			f->prefixes[f->n_prefixes++] = q->value;
		}
	}
	if (f->n_keys + f->n_prefixes == 0 ||
	    f->n_keys + f->n_prefixes > KEYS_MAX) {
		api_fail(r, E_INVALID, "a watch names 1 to %d of key= and "
			 "prefix=; an empty prefix= is everything", KEYS_MAX);
		return false;
	}
	return true;
}

/* The revision to start after: since=, Last-Event-ID, else from now on. */
static bool parse_since(struct request *r, uint64_t *out)
{
	const struct str *since = request_query(r, "since");
	const struct str *last = request_header(r, "last-event-id");

	*out = store_rev(caller_of(r)->at->api->config.store);
	if (last)
		since = last;
	if (!since || failpoint_hit(FP_WATCH_SINCE, NULL) ||
	    str_u64(*since, out))
		return true;
	api_fail(r, E_INVALID, "since=\"%.*s\" is no revision", STR_ARG(*since));
	return false;
}

/* ---- telling ---- */

static bool tell(void *data, struct str text)
{
	struct watch *w = data;

	answer_chunk(w->r, text);
	timer_start(&w->heartbeat, HEARTBEAT_MS);
	w->is_stalled = answer_pending(w->r) > PENDING_MAX;
	return !w->is_stalled;
}

static void on_more(struct msg *msg)
{
	struct watch *w = container_of(msg, struct watch, more);

	w->has_more = false;
	feed(w);
}

/* Compacted while it lagged: the client is told and must list again. */
static void end_compacted(struct watch *w, const struct err *err)
{
	AUTO_BUF out = BUF_NONE;

	feed_gone(&out, err);
	answer_chunk(w->r, buf_view(&out));
	answer_end(w->r);
}

static void watch_close(struct watch *w);
static void watch_begin(struct watch *w);

static void feed(struct watch *w)
{
	struct kv_txn *txn;
	struct err err;
	bool more;

	if (w->is_gone) {
		watch_close(w);
		return;
	}
	if (w->is_stalled || w->has_more)
		return;
	if (view_use(w->loop->view, w->is_early ? w->feed.cursor : 0, &txn, &err) !=
	    OK)
		return;
	if (w->is_early)
		watch_begin(w);
	if (feed_next(&w->feed, txn, EVENTS_A_TURN, tell, w, &more, &err)) {
		end_compacted(w, &err);
		watch_close(w);
		return;
	}
	w->has_more = more && !w->is_stalled &&
		      loop_post(w->loop->loop, &w->more);
}

/* A client that was told of a revision by another node waits for this one to
 * get there; one that is ahead of the whole cluster has seen another state, and
 * would miss all that comes until then. */
static void refuse_early(struct watch *w)
{
	struct request *r = w->r;
	struct err err;

	err_set(&err, E_TIMEOUT, "revision %llu is not here yet (%llu)",
		(unsigned long long)w->feed.cursor,
		(unsigned long long)store_rev(w->loop->api->config.store));
	err_hint(&err, "where the cluster has lost or replaced its state, fetch "
		 "again and watch from the revision that the fetch answers");
	r->on_gone = NULL;
	watch_close(w);
	api_error(r, &err);
}

static void on_heartbeat(struct timer *timer)
{
	struct watch *w = container_of(timer, struct watch, heartbeat);

	if (w->is_early) {
		refuse_early(w);
		return;
	}
	if (store_is_fenced(w->loop->api->config.store)) {
		answer_end(w->r);        /* what it would hear is wrong */
		return;
	}
	answer_chunk(w->r, STR(": alive\n\n"));
	timer_start(&w->heartbeat, HEARTBEAT_MS);
}

/* ---- life ---- */

static void timer_closed(struct timer *timer)
{
	struct watch *w = container_of(timer, struct watch, heartbeat);

	feed_fini(&w->feed);
	free(w);
}

/* A message that is under way still points here: it closes then. */
static void watch_close(struct watch *w)
{
	if (!w->is_gone)
		list_remove(&w->at_);
	w->is_gone = true;
	if (w->has_more)
		return;
	timer_close(&w->heartbeat, timer_closed);
}

struct watching {
	struct caller caller;
	struct watch *watch;
};

static struct watch *watch_of(struct request *r)
{
	return ((struct watching *)r->data)->watch;
}

static void on_gone(struct request *r)
{
	watch_close(watch_of(r));
}

static void on_drained(struct request *r)
{
	struct watch *w = watch_of(r);

	if (!w->is_stalled)
		return;
	w->is_stalled = false;
	feed(w);
}

static bool is_compacted(struct request *r, const struct feed *feed)
{
	struct kv_txn *txn;
	struct err err;

	if (!api_view(r, &txn))
		return true;
	if (feed_check(feed, txn, &err) == OK)
		return false;
	api_error(r, &err);
	return true;
}

static void watch_begin(struct watch *w)
{
	struct request *r = w->r;

	w->is_early = false;
	answer_header(r, "Cache-Control", STR("no-store"));
	answer_header_u64(r, "X-Conflux-Revision", w->feed.cursor);
	answer_stream(r, 200, "text/event-stream");
	answer_on_drain(r, on_drained);
	timer_start(&w->heartbeat, HEARTBEAT_MS);
	answer_chunk(r, STR(": watching\n\n"));
}

void get_watch(struct request *r)
{
	struct watch *w = NEW(struct watch);
	struct watching *state = ANEW(r->arena, struct watching);

	if (!parse_keys(r, &w->feed) || !api_labels(r, &w->feed.labels) ||
	    !parse_since(r, &w->feed.cursor) || is_compacted(r, &w->feed)) {
		free(w);
		return;
	}
	w->r = r;
	w->loop = caller_of(r)->at;
	w->more.run = on_more;
	w->is_early = true;
	timer_init(&w->heartbeat, r->loop, on_heartbeat);
	list_append(&w->loop->watches, &w->at_);
	state->caller = *caller_of(r);
	state->watch = w;
	r->data = &state->caller;
	r->on_gone = on_gone;
	timer_start(&w->heartbeat, EARLY_MS);
	feed(w);
}

void watch_wake(struct api_loop *at, uint64_t rev)
{
	struct watch *w;

	(void)rev;
	list_each(&at->watches, w, at_)
		feed(w);
}

void watch_end_all(struct api_loop *at)
{
	struct watch *w;

	list_each(&at->watches, w, at_) {
		if (w->is_early) {
			refuse_early(w);
			continue;
		}
		answer_end(w->r);
		watch_close(w);
	}
}
