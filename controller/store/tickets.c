/*
 * Writes on their way: proposed here, sent to the leader, or held until there is
 * one.  See own.h.
 *
 * What was not sent for sure, or may happen twice without harm (content, parts,
 * commands with an idempotency key), is sent again as long as the write may be
 * held; anything else that got lost on its way is E_UNCERTAIN.  Once a write may
 * have happened, only an outcome of apply is one: what refuses a later try before
 * the log (a full store, a busy leader) does not know of the first.
 *
 * A write that another node led through is told only when it is visible here,
 * so that whoever wrote reads what was written, at the same node.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "store/own.h"

#include "base/banned.h"

#define RETRY_MS 20
/* Writes that may be held for a leader: what comes then is refused at once. */
#define WAITING_MAX 8192
/* A node that lags longer than this tells the outcome all the same. */
#define CATCH_UP_MS 2000

static struct str id_key(const uint64_t *id)
{
	return str_n(id, sizeof(*id));
}

void ticket_end(struct ticket *t, enum code rc, const struct err *err)
{
	struct outcome o = { .code = rc };

	str_copy(o.text, sizeof(o.text),
		 str_of(err && err->text[0] ? err->text : code_text(rc)));
	str_copy(o.hint, sizeof(o.hint), str_of(err ? err->hint : ""));
	ticket_settle(t, &o);
}

/* ---- waiting for a leader ---- */

void ticket_give_up(struct ticket *t)
{
	struct err err;

	if (t->may_have_happened) {
		err_set(&err, E_UNCERTAIN, "the leader was lost while it held "
			"the write");
		err_hint(&err, "send it again with the same Idempotency-Key");
	} else {
		if (t->store->n_waiting >= WAITING_MAX)
			err_set(&err, E_UNAVAILABLE, "no leader, and too many "
				"writes wait for one");
		else if (t->store->clocks.say == CLOCKS_OFF)
			err_set(&err, E_UNAVAILABLE, "this node leads, but its "
				"clock is %lld ms from the others': it takes no "
				"writes until one with a better clock leads",
				llabs(atomic_load(&t->store->clock_offset_ms)));
		else
			err_set(&err, E_UNAVAILABLE, "no leader for %u ms",
				t->store->config.hold_ms);
		err_hint(&err, "nothing happened; try again, and look at "
			 "/readyz?verbose");
	}
	ticket_end(t, err.code, &err);
}

void tickets_arm(struct store *s)
{
	if (!timer_is_armed(&s->retry) && !atomic_load(&s->is_stopping))
		timer_start(&s->retry, RETRY_MS);
}

static void wait_for_leader(struct ticket *t)
{
	struct store *s = t->store;
	uint64_t now = loop_now_ms(s->core);

	if (!t->deadline_ms)
		t->deadline_ms = now + s->config.hold_ms;
	if (now >= t->deadline_ms || s->n_waiting >= WAITING_MAX ||
	    atomic_load(&s->is_stopping)) {
		ticket_give_up(t);
		return;
	}
	s->n_waiting++;
	list_append(&s->waiting, &t->at_);
	tickets_arm(s);
}

/* What would be done twice by being sent twice must not be. */
static bool may_repeat(const struct ticket *t)
{
	return command_is_repeatable(t->bytes);
}

/* It did not get through, or nobody knows. */
void ticket_lost(struct ticket *t, enum code rc, const struct err *err)
{
	switch (rc) {
	case E_UNCERTAIN:
	case E_TIMEOUT:
	case E_CANCELLED:
		t->may_have_happened = true;
		if (!may_repeat(t)) {
			ticket_end(t, E_UNCERTAIN, err);
			return;
		}
		break;
	case E_NOT_LEADER:
	case E_UNAVAILABLE:
		break;
	case E_BUSY:
		if (t->store->leader && !atomic_load(&t->store->is_leader))
			break;
		/* fall through */
	default:
		/* That a later try was refused says nothing of the first. */
		if (t->may_have_happened)
			break;
		ticket_end(t, rc, err);
		return;
	}
	wait_for_leader(t);
}

static void try_all(struct store *s)
{
	struct list all;
	struct ticket *t;

	list_init(&all);
	while ((t = list_first(&s->waiting, struct ticket, at_))) {
		list_remove(&t->at_);
		list_append(&all, &t->at_);
	}
	s->n_waiting = 0;
	while ((t = list_first(&all, struct ticket, at_))) {
		list_remove(&t->at_);
		ticket_try(t);
	}
}

void tickets_on_role(struct store *s)
{
	forward_on_role(s);
	try_all(s);
}

void tickets_again(struct store *s)
{
	try_all(s);
}

/* ---- here ---- */

static void not_applied(struct rc_proposal *p, enum code rc,
			const struct err *err)
{
	struct ticket *t = container_of(p, struct ticket, proposal);

	map_del(t->store->pending, id_key(&p->id));
	ticket_lost(t, rc, err);
}

static void propose(struct ticket *t)
{
	struct store *s = t->store;
	struct err err;

	t->proposal.data = t->bytes;
	t->proposal.done = not_applied;
	if (rc_propose(s->node, &t->proposal)) {
		map_put(s->pending, id_key(&t->proposal.id), t);
		return;
	}
	if (t->may_have_happened) {
		ticket_give_up(t);
		return;
	}
	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	ticket_end(t, E_UNAVAILABLE, &err);
}

void tickets_on_outcome(struct store *s, uint64_t id, const struct outcome *o)
{
	struct ticket *t = map_del(s->pending, id_key(&id));

	if (t)
		ticket_settle(t, o);
}

/* ---- until a revision is visible here ---- */

void store_await(struct store *s, struct store_await *a)
{
	/* No more comes to a node that stops. */
	if (a->rev <= atomic_load(&s->rev) || atomic_load(&s->is_stopping)) {
		a->done(a);
		return;
	}
	a->deadline_ms_ = loop_now_ms(s->core) + CATCH_UP_MS;
	if (list_empty(&s->awaiting))
		store_hurry(s, true);
	list_append(&s->awaiting, &a->at_);
	tickets_arm(s);
}

/* Up to revision 'rev', or whose time has come. */
static void end_awaits(struct store *s, uint64_t rev, uint64_t now_ms)
{
	struct store_await *a;
	struct list ended;

	if (list_empty(&s->awaiting))
		return;
	list_init(&ended);
	list_each(&s->awaiting, a, at_) {
		if (a->rev > rev && a->deadline_ms_ > now_ms)
			continue;
		list_remove(&a->at_);
		list_append(&ended, &a->at_);
	}
	if (list_empty(&s->awaiting))
		store_hurry(s, false);
	while ((a = list_first(&ended, struct store_await, at_))) {
		list_remove(&a->at_);
		a->done(a);
	}
}

void tickets_on_commit(struct store *s, uint64_t rev)
{
	end_awaits(s, rev, 0);
}

/* ---- there ---- */

static void visible(struct store_await *await)
{
	struct ticket *t = container_of(await, struct ticket, await);
	struct outcome o = t->outcome;

	ticket_settle(t, &o);
	free(o.results);
}

/* 'rev' is how far the leader was: also who was refused shall see why. */
void ticket_catch_up(struct ticket *t, const struct outcome *o, uint64_t rev)
{
	outcome_copy(&t->outcome, o);
	t->await.rev = MAX(o->rev, rev);
	t->await.done = visible;
	store_await(t->store, &t->await);
}

/* ---- the door ---- */

void ticket_try(struct ticket *t)
{
	struct store *s = t->store;

	if (atomic_load(&s->is_stopping))
		ticket_give_up(t);
	else if (atomic_load(&s->is_leader) && clocks_hold(s))
		wait_for_leader(t);
	else if (atomic_load(&s->is_leader))
		propose(t);
	else if (s->leader && s->config.cluster.listen)
		forward(t);
	else
		wait_for_leader(t);
}

void ticket_start(struct store *s, struct store_write *w, struct str bytes,
		  struct buf *own)
{
	struct ticket *t = NEW(struct ticket);

	list_init(&t->at_);
	t->store = s;
	t->write = w;
	t->bytes = bytes;
	if (own) {
		t->own = *own;           /* the memory moves */
		t->bytes = buf_view(&t->own);
	}
	ticket_try(t);
}

static void on_retry(struct timer *timer)
{
	struct store *s = container_of(timer, struct store, retry);

	try_all(s);
	forward_expire(s, loop_now_ms(s->core));
	store_asks_again(s);
	end_awaits(s, 0, loop_now_ms(s->core));
	if (!list_empty(&s->waiting) || !list_empty(&s->awaiting) ||
	    !list_empty(&s->outgoing) || !list_empty(&s->asks))
		tickets_arm(s);
}

void tickets_init(struct store *s)
{
	timer_init(&s->retry, s->core, on_retry);
}

void tickets_end(struct store *s)
{
	struct ticket *t;

	while ((t = list_first(&s->waiting, struct ticket, at_))) {
		list_remove(&t->at_);
		ticket_give_up(t);
	}
	forward_end(s);
	store_asks_end(s);
	end_awaits(s, UINT64_MAX, 0);
}

void tickets_forget(struct store *s)
{
	struct err err;
	struct str id;
	void *value;

	err_set(&err, E_UNCERTAIN, "the node stopped while it held the write");
	err_hint(&err, "send it again with the same Idempotency-Key");
	for (size_t at = 0; map_next(s->pending, &at, &id, &value); at = 0) {
		struct ticket *t = value;

		map_del(s->pending, id_key(&t->proposal.id));
		ticket_end(t, E_UNCERTAIN, &err);
	}
}
