/*
 * Writes on their way: proposed here, sent to the leader, or held until there is
 * one.  See own.h.
 *
 * What was not sent for sure, or may happen twice without harm (content, parts,
 * commands with an idempotency key), is sent again as long as the write may be
 * held; anything else that got lost on its way is E_UNCERTAIN.
 *
 * A write that another node led through is told only when it is visible here,
 * so that whoever wrote reads what was written, at the same node.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "store/own.h"
#include "wire/wire.h"

#include "base/banned.h"

#define RETRY_MS 20
/* Writes that may be held for a leader: what comes then is refused at once. */
#define WAITING_MAX 8192
/* The leader's apply may have a first import before it. */
#define CALL_MS 120000
#define ANSWER_MAX 4096
/* Results of one operation each that an answer carries; more belong to a
 * source, which does not look at them. */
#define ANSWER_RESULTS 64
/* A node that lags longer than this tells the outcome all the same. */
#define CATCH_UP_MS 2000

static void try_ticket(struct ticket *t);

static struct str id_key(const uint64_t *id)
{
	return str_n(id, sizeof(*id));
}

static void settle_with(struct ticket *t, enum code rc, const struct err *err)
{
	struct outcome o = { .code = rc };

	str_copy(o.text, sizeof(o.text),
		 str_of(err && err->text[0] ? err->text : code_text(rc)));
	str_copy(o.hint, sizeof(o.hint), str_of(err ? err->hint : ""));
	ticket_settle(t, &o);
}

/* ---- waiting for a leader ---- */

static void give_up(struct ticket *t)
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
		else
			err_set(&err, E_UNAVAILABLE, "no leader for %u ms",
				t->store->config.hold_ms);
		err_hint(&err, "nothing happened; try again, and look at "
			 "/readyz?verbose");
	}
	settle_with(t, err.code, &err);
}

static void arm(struct store *s)
{
	if (!timer_is_armed(&s->retry))
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
		give_up(t);
		return;
	}
	s->n_waiting++;
	list_append(&s->waiting, &t->at_);
	arm(s);
}

/* What would be done twice by being sent twice must not be. */
static bool may_repeat(const struct ticket *t)
{
	return command_is_repeatable(t->bytes);
}

/* It did not get through, or nobody knows. */
static void lost(struct ticket *t, enum code rc, const struct err *err)
{
	switch (rc) {
	case E_UNCERTAIN:
	case E_TIMEOUT:
	case E_CANCELLED:
		t->may_have_happened = true;
		if (!may_repeat(t)) {
			settle_with(t, E_UNCERTAIN, err);
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
		settle_with(t, rc, err);
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
		try_ticket(t);
	}
}

void tickets_on_role(struct store *s)
{
	try_all(s);
}

/* ---- here ---- */

static void not_applied(struct rc_proposal *p, enum code rc,
			const struct err *err)
{
	struct ticket *t = container_of(p, struct ticket, proposal);

	map_del(t->store->pending, id_key(&p->id));
	lost(t, rc, err);
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
	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	settle_with(t, E_UNAVAILABLE, &err);
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
	if (a->rev <= atomic_load(&s->rev)) {
		a->done(a);
		return;
	}
	a->deadline_ms_ = loop_now_ms(s->core) + CATCH_UP_MS;
	list_append(&s->awaiting, &a->at_);
	arm(s);
}

/* Up to revision 'rev', or whose time has come. */
static void end_awaits(struct store *s, uint64_t rev, uint64_t now_ms)
{
	struct store_await *a;
	struct list ended;

	list_init(&ended);
	list_each(&s->awaiting, a, at_) {
		if (a->rev > rev && a->deadline_ms_ > now_ms)
			continue;
		list_remove(&a->at_);
		list_append(&ended, &a->at_);
	}
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
static void catch_up(struct ticket *t, const struct outcome *o, uint64_t rev)
{
	outcome_copy(&t->outcome, o);
	t->await.rev = MAX(o->rev, rev);
	t->await.done = visible;
	store_await(t->store, &t->await);
}

static void answered(struct rc_call *call, enum code rc, struct str answer,
		     const struct err *err)
{
	struct ticket *t = container_of(call, struct ticket, call);
	AUTO_ARENA arena = arena_new(4096);
	struct rd rd = rd_of(answer);
	uint64_t rev = rd_u64(&rd);
	struct outcome o;
	struct err bad;

	if (rc) {
		lost(t, rc, err);
	} else if (!outcome_decode(arena, rd_raw(&rd, rd_left(&rd)), &o)) {
		err_set(&bad, E_UNCERTAIN, "the leader's answer is malformed");
		settle_with(t, E_UNCERTAIN, &bad);
	} else {
		catch_up(t, &o, rev);
	}
}

static void send_to_leader(struct ticket *t)
{
	struct store *s = t->store;
	struct err err;

	t->call = (struct rc_call){ .peer = RC_LEADER,
				    .method = STORE_METHOD_SUBMIT,
				    .body = t->bytes, .timeout_ms = CALL_MS,
				    .answer_max = ANSWER_MAX,
				    .done = answered };
	if (rc_call(s->node, &t->call)) {
		atomic_fetch_add(&s->forwarded, 1);
		return;
	}
	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	settle_with(t, E_UNAVAILABLE, &err);
}

/* ---- the door ---- */

static void try_ticket(struct ticket *t)
{
	struct store *s = t->store;

	if (atomic_load(&s->is_leader) || !s->config.cluster.listen)
		propose(t);
	else if (s->leader)
		send_to_leader(t);
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
	try_ticket(t);
}

static void on_retry(struct timer *timer)
{
	struct store *s = container_of(timer, struct store, retry);

	try_all(s);
	end_awaits(s, 0, loop_now_ms(s->core));
	if (!list_empty(&s->waiting) || !list_empty(&s->awaiting))
		arm(s);
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
		give_up(t);
	}
	end_awaits(s, UINT64_MAX, 0);
}

/* ---- as the leader ---- */

/* A write of another node. */
struct served {
	struct store_write write;
	struct store *store;
	struct rpc_token token;
	struct buf bytes;
};

static void served_done(struct store_write *w, const struct outcome *outcome)
{
	struct served *v = container_of(w, struct served, write);
	struct outcome o = *outcome;
	AUTO_BUF answer = BUF_NONE;
	struct err err;

	/* Whoever asked waits for a leader, or asks again. */
	if (o.code == E_UNCERTAIN || o.code == E_UNAVAILABLE) {
		err_set(&err, o.code, "%s", o.text);
		rc_answer(v->store->node, v->token, o.code, STR_NONE, &err);
	} else {
		if (o.n_results > ANSWER_RESULTS)
			o.n_results = 0;
		wr_u64(&answer, store_rev(v->store));
		outcome_encode(&answer, &o);
		rc_answer(v->store->node, v->token, OK, buf_view(&answer), NULL);
	}
	buf_fini(&v->bytes);
	free(v);
}

void ticket_serve(void *data, const struct rc_request *request)
{
	struct store *s = data;
	struct served *v;
	struct err err;

	/* Not held here as well: whoever asked holds it. */
	if (!atomic_load(&s->is_leader)) {
		err_set(&err, E_NOT_LEADER, "this node does not lead");
		rc_answer(s->node, request->token, E_NOT_LEADER, STR_NONE, &err);
		return;
	}
	v = NEW(struct served);
	v->store = s;
	v->token = request->token;
	/* The leader's clock counts. */
	command_stamp(&v->bytes, request->body, clock_wall_ms());
	v->write = (struct store_write){ .home = s->core,
					 .bytes = buf_view(&v->bytes),
					 .done = served_done };
	submit_on_core(s, &v->write);
}
