/*
 * Watchers of one loop: see watcher.h.
 *
 * struct watching is what the loop has: the hub that finds whom a change
 * concerns, one timer for the heartbeats of all, and one message for what is left
 * to do.  A wake-up of the store, a watcher that begins or goes on, and that
 * message come to run(), which tells for at most RUN_MS and posts the message
 * where there is more, so that other work of the loop comes between.
 *
 * Permission: the token's row is looked up in the picture that a change is told
 * from, so a watch tells what a read at that moment would.  When tokens change, and
 * when one ends that a watcher has, all watchers are looked at, the quiet ones too.
 */
#include "api/follow.h"
#include "api/own.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/timer.h"

#include "base/banned.h"

#define RUN_MS 8
/* How long a revision that is not here yet is waited for. */
#define EARLY_MS 2000
#define STEPS_A_LOOK 64u
/* Keys and prefixes of all watchers of a loop: some 200 bytes each, and their
 * texts. */
#define PLACES_MAX 1000000u
/* Of 19,000 quiet watches it is what costs anything at all: 12 us each. */
#define HEARTBEAT_MS 30000u
/* The clock may be set: how long at most until it is looked at again, where a token
 * has an end. */
#define LOOK_MS UINT64_C(10000)
/* Heartbeats come this part of their time too early, to be sent in company. */
#define SLACK_PART 60

struct watching {
	struct api_loop *at;
	struct hub *hub;
	struct list early, open;         /* of watchers, in order of due_ms */
	struct list unchecked;           /* open ones, since tokens changed */
	uint64_t token_changes;          /* that were looked at */
	struct timer timer;
	bool is_armed;
	uint64_t armed_ms;
	struct msg more;
	bool has_more;                   /* it is posted */
	unsigned heartbeat_ms, slack_ms;
	bool is_draining;
	uint64_t until_ns;               /* of this run */
	unsigned steps;
	uint64_t told;                   /* changes, to all */
	struct watch_owners *owners;
	uint64_t until_ms;               /* when the first of their tokens ends, Unix;
					    UINT64_MAX: none does */
};

static const char *const reasons[WATCH_REASON__COUNT] = {
	[WATCH_COMPACTED] = "compacted", [WATCH_EARLY] = "early",
	[WATCH_DENIED] = "denied", [WATCH_FENCED] = "fenced",
	[WATCH_FAILED] = "failed", [WATCH_DRAINING] = "draining",
};

const char *watch_reason_name(enum watch_reason reason)
{
	return reasons[reason];
}

bool watch_reason_moves(enum watch_reason reason)
{
	return reason >= WATCH_FENCED;
}

static struct watching *watching_of(const struct watcher *w)
{
	return w->at->watching;
}

static struct watcher *watcher_of(struct feed *f)
{
	return container_of(f, struct watcher, feed);
}

static struct store *store_of(const struct watching *x)
{
	return x->at->api->config.store;
}

/* ---- what to follow ---- */

static enum code check_count(const struct watch_spec *spec, struct err *err)
{
	if (spec->n_keys + spec->n_prefixes > 0 &&
	    spec->n_keys + spec->n_prefixes <= WATCH_KEYS_MAX)
		return OK;
	return err_set(err, E_INVALID, "a watch names 1 to %d keys and prefixes "
		       "(?key= and ?prefix=, or keys and prefixes of a message); an "
		       "empty prefix is everything", WATCH_KEYS_MAX);
}

void watch_spec_caller(struct watch_spec *spec, const struct request *r)
{
	struct sha256 key;

	watch_who_set(&spec->who, caller_of(r),
		      api_credential_key(r, &key) ? &key : NULL,
		      api_credential_ends_ms(r));
}

void watch_who_set(struct watch_who *who, const struct caller *caller,
		   const struct sha256 *key, uint64_t until_ms)
{
	*who = (struct watch_who){ .role = caller->subject.role };
	str_copy(who->name, sizeof(who->name), caller->subject.name);
	if (who->role == ROLE_NAMED) {
		who->verbs = caller->subject.verbs;
		str_copy(who->tenant, sizeof(who->tenant), caller->subject.tenant);
	}
	if (!key)
		return;
	who->has_token = true;
	who->token = *key;
	who->until_ms = until_ms;
}

/* ---- may it? ---- */

/* To watch at all, and what it names. */
static enum code check_spec(struct kv_txn *txn, struct watch_owner *owner,
			    const struct watch_spec *spec, struct err *err)
{
	enum code rc = watch_owner_may(txn, owner, VERB_WATCH, STR_NONE, STR_NONE, err);

	for (size_t i = 0; i < spec->n_keys && rc == OK; i++)
		rc = watch_owner_may(txn, owner, VERB_FETCH, spec->keys[i].tenant,
				     spec->keys[i].name, err);
	return rc;
}

/* One more of its subject's; false: it has as many as it may. */
static enum code enter(struct api_loop *at, const struct watch_who *who, struct err *err)
{
	if (crowd_enter(at->api->watches, str_of(who->name)))
		return OK;
	err_set(err, E_RATE, "%s has as many watches at this node as it may", who->name);
	return err_hint(err, "name more keys in each, or a prefix; "
			"limits.subject_watches is the limit");
}

static void leave(struct watcher *w)
{
	crowd_leave(w->at->api->watches, str_of(w->owner->who.name));
	watch_owner_put(watching_of(w)->owners, &w->owner);
}

/* ---- the end ---- */

static void forget(struct watcher *w)
{
	instance_unfollow(w->at->api, &w->fleet);
	list_remove(&w->at_);
	list_remove(&w->check_);
	hub_remove(&w->feed);
	w->is_open = w->is_early = false;
	leave(w);
}

static void end(struct watcher *w, enum watch_reason reason,
		const struct err *err)
{
	forget(w);
	w->ops->end(w, reason, err);
}

void watcher_stop(struct watcher *w)
{
	if (w->is_open || w->is_early)
		forget(w);
}

static void end_early(struct watching *x, struct watcher *w)
{
	struct err err;

	err_set(&err, E_TIMEOUT, "revision %llu is not here yet (%llu)",
		(unsigned long long)w->told,
		(unsigned long long)store_rev(store_of(x)));
	err_hint(&err, "where the cluster has lost or replaced its state, watch from "
		 "now on, and fetch again");
	end(w, WATCH_EARLY, &err);
}

static void end_list(struct list *watchers, enum watch_reason reason,
		     const struct err *err)
{
	while (!list_empty(watchers))
		end(container_of(watchers->next, struct watcher, at_), reason, err);
}

static void end_all(struct watching *x, enum watch_reason reason,
		    const struct err *err)
{
	end_list(&x->early, reason, err);
	end_list(&x->open, reason, err);
}

static bool end_fenced(struct watching *x)
{
	struct err err;

	if (!store_is_fenced(store_of(x)))
		return false;
	err_set(&err, E_UNAVAILABLE, "this node is fenced: its state is not that "
		"of the majority");
	err_hint(&err, "watch at another node");
	end_all(x, WATCH_FENCED, &err);
	return true;
}

/* ---- what the hub says ---- */

static bool feed_may(struct feed *f, struct kv_txn *txn,
		     const struct feed_event *e)
{
	struct watcher *w = watcher_of(f);
	struct err err;

	if (watch_owner_may(txn, w->owner, VERB_WATCH, STR_NONE, STR_NONE, &err)) {
		end(w, WATCH_DENIED, &err);
		return false;
	}
	return watch_owner_may(txn, w->owner, VERB_FETCH, e->at.tenant, e->at.name,
			       &err) == OK;
}

static void beats_later(struct watching *x, struct watcher *w)
{
	w->due_ms = loop_now_ms(x->at->loop) + x->heartbeat_ms;
	list_remove(&w->at_);
	list_append(&x->open, &w->at_);
}

static bool feed_change(struct feed *f, const struct feed_change *c)
{
	struct watcher *w = watcher_of(f);

	w->told = c->rev;
	watching_of(w)->told++;
	beats_later(watching_of(w), w);
	instance_sent(w->at->api, w->feed.client.id, c->key, c->version,
		      c->release);
	return w->ops->change(w, c);
}

static void feed_flush(struct feed *f)
{
	struct watcher *w = watcher_of(f);

	if (w->ops->flush)
		w->ops->flush(w);
}

static void feed_soon(const struct feed *f)
{
	const struct watcher *w = container_of(f, const struct watcher, feed);

	if (w->ops->soon)
		w->ops->soon(w);
}

static void feed_gone(struct feed *f, const struct err *err)
{
	end(watcher_of(f), WATCH_COMPACTED, err);
}

static const struct feed_ops feed_ops = {
	.may = feed_may, .change = feed_change, .flush = feed_flush,
	.soon = feed_soon, .gone = feed_gone,
};

/* ---- runs ---- */

static uint64_t ms_until(uint64_t wall_ms)
{
	uint64_t now = clock_wall_ms();

	return wall_ms > now ? wall_ms - now : 0;
}

/* Nothing is due before the timer. */
static void arm(struct watching *x)
{
	uint64_t due = UINT64_MAX, now = loop_now_ms(x->at->loop);
	const struct watcher *w = list_first(&x->early, struct watcher, at_);

	if (w)
		due = w->due_ms;
	w = list_first(&x->open, struct watcher, at_);
	if (w)
		due = MIN(due, w->due_ms);
	if (w && x->until_ms != UINT64_MAX)
		due = MIN(due, now + MAX(MIN(ms_until(x->until_ms), LOOK_MS), UINT64_C(1)));
	if (due == UINT64_MAX || (timer_is_armed(&x->timer) && x->armed_ms <= due))
		return;
	x->armed_ms = due;
	timer_start(&x->timer, due > now ? due - now : 0);
}

static bool is_late(void *data)
{
	struct watching *x = data;

	return clock_mono_ns() >= x->until_ns;
}

static bool is_late_now_and_then(struct watching *x)
{
	return ++x->steps % STEPS_A_LOOK == 0 && is_late(x);
}

static void run_again(struct watching *x)
{
	if (x->has_more)
		return;
	x->has_more = true;
	loop_post_sure(x->at->loop, &x->more);
}

static void open_watcher(struct watching *x, struct watcher *w)
{
	w->is_early = false;
	w->is_open = true;
	beats_later(x, w);
	hub_resume(&w->feed);
	if (w->ops->begin)
		w->ops->begin(w, w->told);
}

/* Those whose revision has come. */
static void open_early(struct watching *x, uint64_t rev)
{
	struct watcher *w;
	struct list ready;

	list_init(&ready);
	list_each(&x->early, w, at_) {
		if (w->told > rev)
			continue;
		list_remove(&w->at_);
		list_append(&ready, &w->at_);
	}
	while (!list_empty(&ready)) {
		w = container_of(ready.next, struct watcher, at_);
		list_append(&x->unchecked, &w->check_);
		open_watcher(x, w);
	}
}

static void sweep_begin(struct watching *x)
{
	uint64_t changes = store_token_changes(store_of(x));
	bool has_ended = x->until_ms != UINT64_MAX && ms_until(x->until_ms) == 0;
	struct watcher *w;

	if (changes == x->token_changes && !has_ended)
		return;
	/* That moves no revision: a picture that was taken in this turn may be older. */
	if (changes != x->token_changes)
		view_idle(x->at->view);
	x->token_changes = changes;
	/* Who stays says when his ends. */
	x->until_ms = UINT64_MAX;
	list_each(&x->open, w, at_) {
		list_remove(&w->check_);
		list_append(&x->unchecked, &w->check_);
	}
}

/* 'owner' was looked up. */
static void note_end(struct watching *x, const struct watch_owner *owner)
{
	uint64_t until_ms = owner->subject.until_ms;

	if (until_ms == 0 || until_ms >= x->until_ms)
		return;
	x->until_ms = until_ms;
	arm(x);
}

/* False: there are more. */
static bool sweep(struct watching *x, struct kv_txn *txn)
{
	struct err err;

	while (!list_empty(&x->unchecked)) {
		struct watcher *w = container_of(x->unchecked.next, struct watcher,
						 check_);

		if (is_late_now_and_then(x))
			return false;
		list_remove(&w->check_);
		if (watch_owner_may(txn, w->owner, VERB_WATCH, STR_NONE, STR_NONE, &err))
			end(w, WATCH_DENIED, &err);
		else
			note_end(x, w->owner);
	}
	return true;
}

/* Thousands of answers are not ended in one turn. */
static void drain(struct watching *x)
{
	struct list *const lists[] = { &x->early, &x->open };
	struct err err;

	x->until_ns = clock_mono_ns() + RUN_MS * 1000000ull;
	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	err_hint(&err, "watch at another node");
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		while (!list_empty(lists[i])) {
			if (is_late_now_and_then(x)) {
				run_again(x);
				return;
			}
			end(container_of(lists[i]->next, struct watcher, at_),
			    WATCH_DRAINING, &err);
		}
}

static void run(struct watching *x)
{
	struct kv_txn *txn;
	struct head head;
	struct err err;
	bool more;

	if (x->is_draining) {
		drain(x);
		return;
	}
	if (end_fenced(x) || (list_empty(&x->open) && list_empty(&x->early)))
		return;
	arm(x);
	x->until_ns = clock_mono_ns() + RUN_MS * 1000000ull;
	/* Before the picture is taken: what changes later wakes once more. */
	sweep_begin(x);
	/* Not to be had, as while a checkpoint is installed: a wake-up comes. */
	if (view_use(x->at->view, 0, &txn, &err) || view_head(txn, &head, &err))
		return;
	open_early(x, head.rev);
	if (!sweep(x, txn)) {
		run_again(x);
		return;
	}
	if (hub_run(x->hub, txn, is_late, x, &more, &err)) {
		log_error("api", LOG_KV(log_z("error", err.text)),
			  "events cannot be read, all watches end");
		end_all(x, WATCH_FAILED, &err);
	} else if (more) {
		run_again(x);
	}
}

static void on_more(struct msg *msg)
{
	struct watching *x = container_of(msg, struct watching, more);

	x->has_more = false;
	run(x);
}

/* ---- time ---- */

static void beat(struct watcher *w)
{
	uint64_t rev = hub_position(&w->feed);

	if (!hub_is_idle(&w->feed))
		return;
	if (rev > w->told) {
		w->told = rev;
		w->ops->bookmark(w, rev);
	} else if (w->ops->alive) {
		w->ops->alive(w);
	}
}

static struct watcher *first_due(struct list *watchers, uint64_t now)
{
	struct watcher *w = list_first(watchers, struct watcher, at_);

	return w && w->due_ms <= now ? w : NULL;
}

static void on_time(struct timer *timer)
{
	struct watching *x = container_of(timer, struct watching, timer);
	uint64_t now = loop_now_ms(x->at->loop);
	struct watcher *w;

	if (end_fenced(x))
		return;
	x->until_ns = clock_mono_ns() + RUN_MS * 1000000ull;
	while ((w = first_due(&x->early, now)))
		end_early(x, w);
	while ((w = first_due(&x->open, now + x->slack_ms)) && !is_late_now_and_then(x)) {
		beats_later(x, w);
		beat(w);
	}
	arm(x);
	if (x->until_ms != UINT64_MAX && ms_until(x->until_ms) == 0)
		run_again(x);
}

/* ---- life ---- */

static enum code find_start(struct watching *x, struct watch_owner *owner,
			    const struct watch_spec *spec, uint64_t *since,
			    struct err *err)
{
	struct kv_txn *txn;
	enum code rc = check_count(spec, err);

	if (x->is_draining)
		rc = err_set(err, E_UNAVAILABLE, "the node is stopping");
	if (rc == OK && hub_places(x->hub) + spec->n_keys + spec->n_prefixes >
			PLACES_MAX) {
		rc = err_set(err, E_BUSY, "this node has as many watches as it can "
			     "hold");
		err_hint(err, "watch at another node, or a prefix in place of many "
			 "keys");
	}
	*since = spec->has_since ? spec->since : store_rev(store_of(x));
	if (rc == OK)
		rc = view_use(x->at->view, 0, &txn, err);
	if (rc == OK)
		rc = check_spec(txn, owner, spec, err);
	if (rc == OK && spec->n_prefixes == 0)
		rc = feed_check_keys(txn, spec->keys, spec->n_keys, since, err);
	else if (rc == OK)
		rc = feed_check(txn, *since, err);
	if (rc == OK)
		note_end(x, owner);
	return rc || spec->is_counted ? rc : enter(x->at, &owner->who, err);
}

enum code watcher_count(struct api_loop *at, struct watch_spec *spec, struct err *err)
{
	enum code rc = enter(at, &spec->who, err);

	spec->is_counted = rc == OK;
	return rc;
}

void watcher_uncount(struct api_loop *at, struct watch_spec *spec)
{
	if (spec->is_counted)
		crowd_leave(at->api->watches, str_of(spec->who.name));
	spec->is_counted = false;
}

enum code watcher_start(struct watcher *w, struct api_loop *at,
			const struct watch_spec *spec,
			const struct watcher_ops *ops, struct err *err)
{
	struct watching *x = at->watching;
	struct watch_owner *owner = watch_owner_get(x->owners, &spec->who);
	uint64_t since;
	enum code rc = find_start(x, owner, spec, &since, err);

	if (rc) {
		watch_owner_put(x->owners, &owner);
		return rc;
	}
	*w = (struct watcher){ .feed.ops = &feed_ops, .at = at, .ops = ops,
			       .told = since, .owner = owner, .is_early = true };
	list_init(&w->check_);
	list_init(&w->at_);
	hub_add(x->hub, &w->feed, spec->keys, spec->n_keys, spec->prefixes,
		spec->n_prefixes, &spec->client, since);
	w->fleet = instance_follow(at->api, spec);
	follower_rests(&at->follower, false);
	if (since <= store_rev(store_of(x))) {
		open_watcher(x, w);
	} else {
		w->due_ms = loop_now_ms(at->loop) + EARLY_MS;
		list_append(&x->early, &w->at_);
	}
	run_again(x);
	return OK;
}

void watcher_resume(struct watcher *w)
{
	if (!w->is_open)
		return;
	hub_resume(&w->feed);
	run_again(watching_of(w));
}

uint64_t watcher_rev(const struct watcher *w)
{
	return MAX(w->told, hub_position(&w->feed));
}

struct watching *watching_new(struct api_loop *at)
{
	struct watching *x = NEW(struct watching);

	x->at = at;
	x->heartbeat_ms = at->api->config.heartbeat_ms ?: HEARTBEAT_MS;
	x->slack_ms = x->heartbeat_ms / SLACK_PART;
	x->until_ms = UINT64_MAX;
	x->hub = hub_new();
	x->owners = watch_owners_new();
	list_init(&x->early);
	list_init(&x->open);
	list_init(&x->unchecked);
	x->more.run = on_more;
	timer_init(&x->timer, at->loop, on_time);
	return x;
}

/* ---- a loop's ---- */

void watching_wake(struct watching *x)
{
	/* What is posted comes soon, and sees it too. */
	if (!x->has_more)
		run(x);
}

bool watching_any(const struct watching *x)
{
	return !list_empty(&x->open) || !list_empty(&x->early);
}

void watching_drain(struct watching *x)
{
	x->is_draining = true;
	drain(x);
}

void watching_stats(const struct watching *x, struct watch_stats *out)
{
	*out = (struct watch_stats){ hub_count(x->hub), hub_behind(x->hub),
				     x->told, hub_rows(x->hub) };
}

void watching_free(struct watching **xp)
{
	struct watching *x = *xp;

	if (!x)
		return;
	hub_free(&x->hub);
	watch_owners_free(&x->owners);
	free(x);
	*xp = NULL;
}
