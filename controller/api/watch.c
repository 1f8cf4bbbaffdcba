/*
 * Watch: changes of configurations as server sent events.
 *
 * One watcher is a cursor (the revision up to which it has been told) and a
 * selector.  It is fed from the event rows of the store and from nothing
 * else, so a watcher that lags costs no memory: it goes on where it stopped
 * when its socket has drained.  A heartbeat comment keeps idle connections
 * alive and shows broken ones.
 *
 * A command may touch more than the watcher follows; `end` is on the last of
 * its events that are told.  So an event is kept until the next of the same
 * command, or the command's end, is seen.
 */
#include "api/own.h"

#include "base/failpoint.h"
#include "base/mem.h"
#include "io/timer.h"

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
	struct address *keys;
	size_t n_keys;
	struct str *prefixes;
	size_t n_prefixes;
	struct labels labels;
	uint64_t cursor;                 /* looked at up to here */
	struct buf last;                 /* of this command, not told yet */
	bool is_stalled;                 /* waits for the socket to drain */
	bool is_early;                   /* the cursor is ahead of the state */
	struct timer heartbeat;
	struct msg more;
	bool has_more, is_gone;
};

static void feed(struct watch *w);

/* ---- what it follows ---- */

static bool starts_with(struct str prefix, const struct address *at)
{
	AUTO_BUF text = BUF_NONE;

	address_text(&text, at);
	return str_starts(buf_view(&text), prefix);
}

static bool selects(const struct watch *w, const struct address *at)
{
	for (size_t i = 0; i < w->n_keys; i++)
		if (address_eq(&w->keys[i], at))
			return true;
	for (size_t i = 0; i < w->n_prefixes; i++)
		if (starts_with(w->prefixes[i], at))
			return true;
	return false;
}

static bool parse_keys(struct request *r, struct watch *w)
{
	struct err err;
	size_t cap_keys = 0, cap_prefixes = 0;

	for (size_t i = 0; i < r->n_query; i++) {
		const struct url_param *q = &r->query[i];

		if (str_is(q->name, "key")) {
			w->keys = arena_grow(r->arena, w->keys, &cap_keys,
					     w->n_keys + 1, sizeof(*w->keys));
			if (address_parse(q->value, &w->keys[w->n_keys++],
					  &err)) {
				err_wrap(&err, "key=%.*s", STR_ARG(q->value));
				api_error(r, &err);
				return false;
			}
		} else if (str_is(q->name, "prefix")) {
			w->prefixes = arena_grow(r->arena, w->prefixes,
						 &cap_prefixes,
						 w->n_prefixes + 1,
						 sizeof(*w->prefixes));
			w->prefixes[w->n_prefixes++] = q->value;
		}
	}
	if (w->n_keys + w->n_prefixes == 0 ||
	    w->n_keys + w->n_prefixes > KEYS_MAX) {
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

static void add_version(struct buf *out, const struct watch *w,
			const struct live_row *live)
{
	struct rule rule = { 0 };
	unsigned position;

	if (!rules_pick_encoded(live->rules, &w->labels, &rule, &position)) {
		buf_z(out, "\"version\":null,\"sha256\":null");
		return;
	}
	buf_printf(out, "\"version\":%u,\"sha256\":\"", rule.version);
	buf_hex(out, rule.sha.b, sizeof(rule.sha.b));
	buf_c(out, '"');
}

/* What was kept is told now. */
static void tell(struct watch *w, bool end)
{
	if (w->last.n == 0)
		return;
	buf_z(&w->last, end ? "true}\n\n" : "false}\n\n");
	answer_chunk(w->r, buf_view(&w->last));
	buf_reset(&w->last);
}

static void keep(struct watch *w, uint64_t rev, const struct event_row *e,
		 const struct address *at, const struct live_row *live)
{
	struct buf *out = &w->last;
	AUTO_BUF key = BUF_NONE;

	address_text(&key, at);
	buf_printf(out, "id: %llu\nevent: change\ndata: {\"key\":",
		   (unsigned long long)rev);
	buf_json(out, buf_view(&key));
	buf_c(out, ',');
	if (e->type == EVENT_DELETED)
		buf_z(out, "\"version\":null,\"sha256\":null");
	else
		add_version(out, w, live);
	buf_printf(out, ",\"revision\":%llu,\"deleted\":%s,\"end\":",
		   (unsigned long long)rev,
		   e->type == EVENT_DELETED ? "true" : "false");
}

struct feeding {
	struct watch *w;
	unsigned n;
	bool was_told;
};

static bool is_followed(const struct watch *w, uint64_t rev,
			const struct event_row *e, struct object_view *o,
			struct address *at)
{
	struct str row = e->type == EVENT_DELETED ? e->before : e->after;

	if (e->kind != KIND_CONFIG || !view_of_event(e, row, rev, o))
		return false;
	*at = (struct address){ e->tenant, o->row.application,
				o->row.environment, o->row.config_name };
	return selects(w, at);
}

static bool feed_one(void *data, uint64_t rev, const struct event_row *e)
{
	struct feeding *f = data;
	struct watch *w = f->w;
	struct object_view o;
	struct address at;

	if (f->n++ == EVENTS_A_TURN) {
		w->has_more = true;
		return false;
	}
	w->cursor = rev;
	if (is_followed(w, rev, e, &o, &at)) {
		tell(w, false);
		keep(w, rev, e, &at, &o.live);
		f->was_told = true;
	}
	if (e->end)
		tell(w, true);
	if (answer_pending(w->r) <= PENDING_MAX)
		return true;
	w->is_stalled = true;
	return false;
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

	buf_z(&out, "event: error\ndata: {\"status\":410,\"detail\":");
	buf_json(&out, str_of(err->text));
	buf_z(&out, "}\n\n");
	answer_chunk(w->r, buf_view(&out));
	answer_end(w->r);
}

static void watch_close(struct watch *w);
static void watch_begin(struct watch *w);

static void feed(struct watch *w)
{
	struct feeding f = { .w = w };
	struct kv_txn *txn;
	struct err err;

	if (w->is_gone) {
		watch_close(w);
		return;
	}
	if (w->is_stalled || w->has_more)
		return;
	if (view_use(w->loop->view, w->is_early ? w->cursor : 0, &txn, &err) !=
	    OK)
		return;
	if (w->is_early)
		watch_begin(w);
	if (view_events(txn, w->cursor, feed_one, &f, &err)) {
		end_compacted(w, &err);
		watch_close(w);
		return;
	}
	if (f.was_told)
		timer_start(&w->heartbeat, HEARTBEAT_MS);
	if (w->has_more && !loop_post(w->loop->loop, &w->more))
		w->has_more = false;
}

/* A client that was told of a revision by another node waits for this one to
 * get there; one that is ahead of the whole cluster has seen another state, and
 * would miss all that comes until then. */
static void refuse_early(struct watch *w)
{
	struct request *r = w->r;
	struct err err;

	err_set(&err, E_TIMEOUT, "revision %llu is not here yet (%llu)",
		(unsigned long long)w->cursor,
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

	buf_fini(&w->last);
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

static bool is_compacted(struct request *r, uint64_t since)
{
	struct kv_txn *txn;
	struct head head;
	struct err err;

	if (!api_view(r, &txn))
		return true;
	if (view_head(txn, &head, &err)) {
		api_error(r, &err);
		return true;
	}
	if (since >= head.compacted_rev)
		return false;
	err_set(&err, E_GONE, "revision %llu is compacted; %llu is the oldest "
		"to resume from", (unsigned long long)since,
		(unsigned long long)head.compacted_rev);
	err_hint(&err, "fetch again, then watch from the revision that the "
		 "fetch answers");
	api_error(r, &err);
	return true;
}

static void watch_begin(struct watch *w)
{
	struct request *r = w->r;

	w->is_early = false;
	answer_header(r, "Cache-Control", STR("no-store"));
	answer_header_u64(r, "X-Conflux-Revision", w->cursor);
	answer_stream(r, 200, "text/event-stream");
	answer_on_drain(r, on_drained);
	timer_start(&w->heartbeat, HEARTBEAT_MS);
	answer_chunk(r, STR(": watching\n\n"));
}

void get_watch(struct request *r)
{
	struct watch *w = NEW(struct watch);
	struct watching *state = ANEW(r->arena, struct watching);

	if (!parse_keys(r, w) || !api_labels(r, &w->labels) ||
	    !parse_since(r, &w->cursor) || is_compacted(r, w->cursor)) {
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
