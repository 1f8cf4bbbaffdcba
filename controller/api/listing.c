/* What there is: see listing.h. */
#include "api/listing.h"

#include "api/own.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "io/timer.h"

#include "base/banned.h"

#define SLICE_NS (4 * UINT64_C(1000000))
#define STEPS_A_LOOK 32u
#define HOLD_MS 2000
#define HELD_MAX 4u                      /* of a loop */
#define MOST 100000u

struct listing {
	struct api_loop *at;
	const struct watch_spec *spec;
	struct watch_owner *owner;
	struct subject subject;          /* of this slice */
	const struct listing_ops *ops;
	void *data;
	struct view *view;
	struct kv_txn *txn;
	size_t key, prefix;              /* done up to these */
	struct buf after;                /* within a prefix: the place told last */
	struct map *told;                /* where there are more names than one */
	size_t n;
	/* Of a slice. */
	uint64_t until_ns;
	unsigned steps;
	enum code rc;
	struct err err;
	bool is_late, is_running;
	bool is_stalled;                 /* `one` had enough */
	bool is_held, is_over;
	struct timer timer;
	struct msg more;
	bool has_more;
};

/* ---- the end ---- */

static void closed(struct timer *timer)
{
	free(container_of(timer, struct listing, timer));
}

/* A message that is under way still points here: it closes then. */
static void over(struct listing *l)
{
	l->is_over = true;
	l->at->listings -= l->is_held;
	view_free(&l->view);
	map_free(&l->told);
	buf_fini(&l->after);
	timer_stop(&l->timer);
	if (!l->has_more)
		timer_close(&l->timer, closed);
}

void listing_stop(struct listing **l)
{
	if (*l)
		over(*l);
	*l = NULL;
}

static void done(struct listing *l, enum code rc, const struct err *err)
{
	over(l);
	l->ops->done(l->data, rc, err);
}

/* ---- a slice ---- */

/* Named twice is told once. */
static bool is_new(struct listing *l, const struct address *at)
{
	AUTO_BUF key = BUF_NONE;

	if (!l->told)
		return true;
	address_key(&key, at);
	return !map_put(l->told, buf_view(&key), l);
}

/* False: the slice ends behind it. */
static bool goes_on(struct listing *l)
{
	if (++l->steps % STEPS_A_LOOK == 0 && clock_mono_ns() >= l->until_ns)
		l->is_late = true;
	return !l->is_late && !l->is_stalled && l->rc == OK;
}

static void tell(struct listing *l, const struct address *at,
		 const struct live_row *live)
{
	struct target target = { .kind = KIND_CONFIG, .tenant = at->tenant,
				 .name = at->name };
	struct feed_change c = { .at = *at, .rev = live->rev,
				 .format = live->format, .has_version = true };
	struct rule rule;
	unsigned position;
	struct err err;

	if (permission_check(&l->subject, VERB_FETCH, &target, &err) ||
	    !rules_pick_encoded(live->rules, &l->spec->client, &rule, &position) ||
	    !is_new(l, at))
		return;
	if (l->n++ >= MOST) {
		l->rc = err_set(&l->err, E_TOO_LARGE, "there are more than %u "
				"configurations", MOST);
		err_hint(&l->err, "follow less, or watch from now on and fetch them "
			 "at what that begins with");
		return;
	}
	c.version = rule.version;
	c.sha = rule.sha;
	c.size = rule.size;
	c.release = rule.release;
	l->is_stalled = !l->ops->one(l->data, &c, l->txn);
}

static bool one_live(void *data, const struct address *at,
		     const struct live_row *live)
{
	struct listing *l = data;

	tell(l, at, live);
	if (goes_on(l))
		return true;
	buf_reset(&l->after);
	address_key(&l->after, at);
	return false;
}

static bool is_whole(const struct listing *l)
{
	return l->key == l->spec->n_keys && l->prefix == l->spec->n_prefixes;
}

static void slice(struct listing *l)
{
	struct config_view v;
	struct err err;
	enum code rc;

	l->until_ns = clock_mono_ns() + SLICE_NS;
	l->is_late = l->is_stalled = false;
	while (l->key < l->spec->n_keys) {
		const struct address *at = &l->spec->keys[l->key++];

		if (view_config(l->txn, at, &l->spec->client, &v, &err) == OK)
			tell(l, at, &v.live);
		if (!goes_on(l))
			return;
	}
	while (l->prefix < l->spec->n_prefixes) {
		rc = view_live(l->txn, l->spec->prefixes[l->prefix],
			       buf_view(&l->after), one_live, l, &l->err);
		l->rc = l->rc ? l->rc : rc;
		if (l->is_late || l->is_stalled || l->rc)
			return;
		buf_reset(&l->after);
		l->prefix++;
	}
}

/* The picture is kept beyond this turn. */
static bool hold(struct listing *l)
{
	if (l->is_held)
		return true;
	if (l->at->listings >= HELD_MAX) {
		err_set(&l->err, E_BUSY, "too many watches begin with much at once");
		err_hint(&l->err, "come again, or follow less");
		return false;
	}
	l->is_held = true;
	l->at->listings++;
	timer_start(&l->timer, HOLD_MS);
	return true;
}

/* Who it is now, whatever the picture says that is told from. */
static enum code look_at_owner(struct listing *l)
{
	struct kv_txn *txn;
	enum code rc = view_use(l->at->view, 0, &txn, &l->err);

	if (rc == OK)
		rc = watch_owner_may(txn, l->owner, VERB_WATCH, STR_NONE, STR_NONE,
				     &l->err);
	if (rc == OK)
		l->subject = watch_owner_now(txn, l->owner);
	return rc;
}

static void run(struct listing *l)
{
	l->rc = look_at_owner(l);
	if (l->rc) {
		done(l, l->rc, &l->err);
		return;
	}
	l->is_running = true;
	slice(l);
	l->ops->flush(l->data);
	l->is_running = false;
	if (l->is_over)
		return;
	if (l->rc) {
		done(l, l->rc, &l->err);
	} else if (is_whole(l)) {
		done(l, OK, NULL);
	} else if (!hold(l)) {
		done(l, E_BUSY, &l->err);
	} else if (!l->is_stalled) {
		l->has_more = true;
		loop_post_sure(l->at->loop, &l->more);
	}
}

static void on_more(struct msg *msg)
{
	struct listing *l = container_of(msg, struct listing, more);

	l->has_more = false;
	if (l->is_over)
		timer_close(&l->timer, closed);
	else
		run(l);
}

void listing_go(struct listing *l)
{
	l->is_stalled = false;
	if (!l->is_running && !l->has_more)
		run(l);
}

static void on_late(struct timer *timer)
{
	struct listing *l = container_of(timer, struct listing, timer);
	struct err err;

	err_set(&err, E_GONE, "what there is was not read within %d ms", HOLD_MS);
	err_hint(&err, "follow less, or watch from now on and fetch it at what that "
		 "begins with");
	done(l, E_GONE, &err);
}

/* ---- the start ---- */

enum code listing_new(struct api_loop *at, const struct watch_spec *spec,
		      struct watch_owner *owner,
		      const struct listing_ops *ops, void *data,
		      struct listing **out, uint64_t *rev, struct err *err)
{
	struct listing *l = NEW(struct listing);
	struct head head;
	enum code rc = view_new(at->api->config.store, &l->view, err);

	if (rc == OK)
		rc = view_use(l->view, 0, &l->txn, err);
	if (rc == OK)
		rc = view_head(l->txn, &head, err);
	if (rc) {
		view_free(&l->view);
		free(l);
		return rc;
	}
	l->at = at;
	l->spec = spec;
	l->owner = owner;
	l->ops = ops;
	l->data = data;
	l->more.run = on_more;
	if (spec->n_keys + spec->n_prefixes > 1)
		l->told = map_new();
	timer_init(&l->timer, at->loop, on_late);
	*rev = head.rev;
	*out = l;
	return OK;
}
