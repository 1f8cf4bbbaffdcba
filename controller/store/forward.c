/*
 * Writes on their way from this node to the leader, and from others to this one
 * where it leads.  See own.h.
 *
 * What is to go out is gathered for a turn of the core loop and sent in order, as
 * many together as a batch may hold (batch.h).  A bounded number of calls is
 * open; what comes meanwhile makes the next ones larger, so that thousands of
 * writers cost no more round trips than a few.  Long commands go alone, and so
 * does all that goes to a leader of a version that knows no batches.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "store/batch.h"
#include "store/own.h"

#include "base/banned.h"

/* Calls that are open at once; with their answers less than raftcore holds. */
#define CALLS_MAX 32
/* Writes that wait to be sent. */
#define OUTGOING_MAX 65536
/* The leader's apply may have a first import before it. */
#define CALL_MS 120000
/* A call that cannot be sent comes back then, so that its writes are held here,
 * each for its own time: who leads may be named long after it has gone. */
#define CALL_HOLD_MS 100
/* Results of one operation each that an answer carries; more belong to a
 * source, which does not look at them. */
#define ANSWER_RESULTS 64
_Static_assert(ANSWER_RESULTS * 32 + sizeof(struct err) + 64 < BATCH_ITEM_MAX,
	       "a result takes at most 32 bytes");

/* ---- there ---- */

/* A call, with the tickets that travel in it. */
struct shipment {
	struct rc_call call;
	struct store *store;
	struct buf body;                 /* of more than one */
	size_t n;
	struct ticket *tickets[];
};

static void send_outgoing(struct store *s);

static void on_send(struct msg *msg)
{
	struct store *s = container_of(msg, struct store, send_msg);

	s->send_is_posted = false;
	send_outgoing(s);
}

/* After what has been posted to the core loop before: that may be more. */
static void send_soon(struct store *s)
{
	if (s->send_is_posted)
		return;
	s->send_is_posted = true;
	s->send_msg.run = on_send;
	loop_post_sure(s->core, &s->send_msg);
}

/* With these a leader refuses before its log, where nobody looks whether the write
 * is known.  Apply has them too, and seldom: then the write is asked for again. */
static bool is_of_the_door(enum code rc)
{
	return rc == E_FULL || rc == E_BUSY || rc == E_TOO_LARGE;
}

static void deliver(struct ticket *t, struct arena *arena,
		    const struct batch_item *item, uint64_t rev)
{
	struct outcome o;
	struct err err;

	if (item->rc) {
		err_set(&err, item->rc, "%.*s", STR_ARG(item->text));
		err_hint(&err, "%.*s", STR_ARG(item->hint));
		atomic_fetch_add(&t->store->forward_failed, 1);
		ticket_lost(t, item->rc, &err);
	} else if (!outcome_decode(arena, item->outcome, &o)) {
		err_set(&err, E_UNCERTAIN, "the leader's answer is malformed");
		atomic_fetch_add(&t->store->forward_failed, 1);
		ticket_end(t, E_UNCERTAIN, &err);
	} else if (t->may_have_happened && is_of_the_door(o.code)) {
		err_set(&err, o.code, "%s", o.text);
		ticket_lost(t, o.code, &err);
	} else {
		ticket_catch_up(t, &o, rev);
	}
}

/* What a single write was answered with, as of a batch of one. */
static void open_single(struct str answer, uint64_t *rev,
			struct batch_item *item)
{
	struct rd rd = rd_of(answer);

	*rev = rd_u64(&rd);
	*item = (struct batch_item){ .outcome = rd_raw(&rd, rd_left(&rd)) };
}

static void deliver_all(struct shipment *h, struct str answer)
{
	AUTO_ARENA arena = arena_new(4096);
	struct batch_item items[BATCH_COUNT_MAX];
	uint64_t rev = 0;
	struct err err;
	enum code rc = OK;

	if (h->n == 1)
		open_single(answer, &rev, &items[0]);
	else
		rc = batch_answer_decode(answer, h->n, &rev, items, &err);
	atomic_fetch_add(&h->store->forward_failed, rc ? h->n : 0);
	for (size_t i = 0; i < h->n; i++) {
		if (rc)
			ticket_end(h->tickets[i], E_UNCERTAIN, &err);
		else
			deliver(h->tickets[i], arena, &items[i], rev);
	}
}

static void answered(struct rc_call *call, enum code rc, struct str answer,
		     const struct err *err)
{
	struct shipment *h = container_of(call, struct shipment, call);
	struct store *s = h->store;

	s->calls_open--;
	if (rc == OK) {
		deliver_all(h, answer);
	} else if (rc == E_METHOD && h->n > 1) {
		s->sends_singly = s->leader;
		for (size_t i = 0; i < h->n; i++)
			ticket_try(h->tickets[i]);
	} else {
		atomic_fetch_add(&s->forward_failed, h->n);
		for (size_t i = 0; i < h->n; i++)
			ticket_lost(h->tickets[i], rc, err);
	}
	buf_fini(&h->body);
	free(h);
	if (!list_empty(&s->outgoing))
		send_soon(s);
}

static struct ticket *take_outgoing(struct store *s)
{
	struct ticket *t = list_first(&s->outgoing, struct ticket, at_);

	list_remove(&t->at_);
	s->n_outgoing--;
	return t;
}

/* How many of those that are next travel together. */
static size_t count_next(struct store *s)
{
	size_t n = 0, bytes = 0;
	struct ticket *t;

	if (s->sends_singly && s->sends_singly == s->leader)
		return 1;
	list_each(&s->outgoing, t, at_) {
		bytes += t->bytes.n;
		if (n == BATCH_COUNT_MAX || t->bytes.n > BATCH_EACH_MAX ||
		    !t->bytes.n || bytes > BATCH_BYTES_MAX)
			break;
		n++;
	}
	return MAX(n, (size_t)1);
}

static void fill(struct shipment *h)
{
	struct str bytes[BATCH_COUNT_MAX];

	for (size_t i = 0; i < h->n; i++) {
		h->tickets[i] = take_outgoing(h->store);
		bytes[i] = h->tickets[i]->bytes;
	}
	if (h->n > 1)
		batch_encode(&h->body, bytes, h->n);
}

static void send_next(struct store *s)
{
	size_t n = count_next(s);
	struct shipment *h = mem_zero(sizeof(*h) + n * sizeof(h->tickets[0]));
	struct err err;

	h->store = s;
	h->n = n;
	fill(h);
	h->call = (struct rc_call){
		.peer = RC_LEADER, .timeout_ms = CALL_MS,
		.hold_ms = MIN(s->config.hold_ms, (unsigned)CALL_HOLD_MS),
		.done = answered,
		.method = n > 1 ? STORE_METHOD_BATCH : STORE_METHOD_SUBMIT,
		.body = n > 1 ? buf_view(&h->body) : h->tickets[0]->bytes,
		.answer_max = n > 1 ? BATCH_ANSWER_MAX : BATCH_ITEM_MAX };
	s->calls_open++;
	if (rc_call(s->node, &h->call)) {
		atomic_fetch_add(&s->forwarded, n);
		atomic_fetch_add(&s->forward_calls, 1);
		return;
	}
	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	answered(&h->call, E_UNAVAILABLE, STR_NONE, &err);
}

static bool is_to_be_sent(const struct store *s)
{
	return s->leader && !atomic_load(&s->is_leader) &&
	       !atomic_load(&s->is_stopping);
}

static void send_outgoing(struct store *s)
{
	while (!list_empty(&s->outgoing) && is_to_be_sent(s) &&
	       s->calls_open < CALLS_MAX)
		send_next(s);
	/* Who leads has changed meanwhile: here, or nobody. */
	while (!list_empty(&s->outgoing) && !is_to_be_sent(s)) {
		struct ticket *t = take_outgoing(s);

		if (atomic_load(&s->is_stopping))
			ticket_give_up(t);
		else
			ticket_try(t);
	}
}

void forward(struct ticket *t)
{
	struct store *s = t->store;
	struct err err;

	if (s->n_outgoing >= OUTGOING_MAX) {
		err_set(&err, E_BUSY, "%d writes wait at this node to be sent to "
			"the leader", OUTGOING_MAX);
		err_hint(&err, "nothing happened; try again later");
		if (t->may_have_happened)
			ticket_lost(t, E_BUSY, &err);
		else
			ticket_end(t, E_BUSY, &err);
		return;
	}
	t->send_by_ms = loop_now_ms(s->core) + s->config.hold_ms;
	list_append(&s->outgoing, &t->at_);
	s->n_outgoing++;
	tickets_arm(s);
	send_soon(s);
}

static void not_sent(struct ticket *t)
{
	struct err err;

	/* It was sent once before. */
	if (t->may_have_happened) {
		ticket_give_up(t);
		return;
	}
	err_set(&err, E_UNAVAILABLE, "the leader has answered none of %d calls "
		"for %u ms", CALLS_MAX, t->store->config.hold_ms);
	err_hint(&err, "nothing happened; try again");
	ticket_end(t, E_UNAVAILABLE, &err);
}

void forward_expire(struct store *s, uint64_t now_ms)
{
	struct ticket *t;

	/* In the order in which they came, and so of their time. */
	while ((t = list_first(&s->outgoing, struct ticket, at_)) &&
	       t->send_by_ms <= now_ms)
		not_sent(take_outgoing(s));
}

void forward_on_role(struct store *s)
{
	s->sends_singly = 0;
	if (!list_empty(&s->outgoing))
		send_soon(s);
}

void forward_init(struct store *s)
{
	list_init(&s->outgoing);
}

void forward_end(struct store *s)
{
	while (!list_empty(&s->outgoing))
		ticket_give_up(take_outgoing(s));
}

/* ---- as the leader ---- */

struct delivery;

/* A write of another node. */
struct served {
	struct store_write write;
	struct delivery *delivery;
	struct buf bytes, outcome;
	enum code rc;
	struct err err;
};

/* Those of one call: answered together, when the last has its outcome. */
struct delivery {
	struct store *store;
	struct rpc_token token;
	bool is_batch;
	size_t n, left;
	struct served writes[];
};

static void answer_one(struct delivery *d)
{
	struct served *v = &d->writes[0];
	AUTO_BUF answer = BUF_NONE;

	if (v->rc) {
		rc_answer(d->store->node, d->token, v->rc, STR_NONE, &v->err);
		return;
	}
	wr_u64(&answer, store_rev(d->store));
	buf_str(&answer, buf_view(&v->outcome));
	rc_answer(d->store->node, d->token, OK, buf_view(&answer), NULL);
}

static void answer_all(struct delivery *d)
{
	struct batch_item items[BATCH_COUNT_MAX];
	AUTO_BUF answer = BUF_NONE;

	for (size_t i = 0; i < d->n; i++) {
		struct served *v = &d->writes[i];

		items[i] = (struct batch_item){ v->rc, buf_view(&v->outcome),
						str_of(v->err.text),
						str_of(v->err.hint) };
	}
	batch_answer_encode(&answer, store_rev(d->store), items, d->n);
	rc_answer(d->store->node, d->token, OK, buf_view(&answer), NULL);
}

static void finish(struct delivery *d)
{
	if (d->is_batch)
		answer_all(d);
	else
		answer_one(d);
	for (size_t i = 0; i < d->n; i++) {
		buf_fini(&d->writes[i].bytes);
		buf_fini(&d->writes[i].outcome);
	}
	free(d);
}

static void served_done(struct store_write *w, const struct outcome *outcome)
{
	struct served *v = container_of(w, struct served, write);
	struct outcome o = *outcome;

	/* Whoever asked waits for a leader, or asks again. */
	if (o.code == E_UNCERTAIN || o.code == E_UNAVAILABLE) {
		v->rc = o.code;
		err_set(&v->err, o.code, "%s", o.text);
	} else {
		if (o.n_results > ANSWER_RESULTS)
			o.n_results = 0;
		outcome_encode(&v->outcome, &o);
	}
	if (!--v->delivery->left)
		finish(v->delivery);
}

static void refuse(struct store *s, struct rpc_token token,
		   const struct err *err)
{
	rc_answer(s->node, token, err->code, STR_NONE, err);
}

/* Not held here as well where this node does not lead: whoever asked holds it. */
static bool may_serve(struct store *s, struct rpc_token token)
{
	struct err err;

	if (atomic_load(&s->is_leader))
		return true;
	err_set(&err, E_NOT_LEADER, "this node does not lead");
	refuse(s, token, &err);
	return false;
}

static void serve(struct store *s, struct rpc_token token, bool is_batch,
		  const struct str *commands, size_t n)
{
	struct delivery *d = mem_zero(sizeof(*d) + n * sizeof(d->writes[0]));
	uint64_t now_ms = store_wall_ms(s);

	d->store = s;
	d->token = token;
	d->is_batch = is_batch;
	d->n = d->left = n;
	for (size_t i = 0; i < n; i++) {
		struct served *v = &d->writes[i];

		v->delivery = d;
		/* The leader's clock counts. */
		command_stamp(&v->bytes, commands[i], now_ms);
		v->write = (struct store_write){ .home = s->core,
						 .bytes = buf_view(&v->bytes),
						 .done = served_done };
	}
	/* 'done' comes later, by the loop: 'd' is there until the last was
	 * submitted. */
	for (size_t i = 0; i < n; i++)
		submit_on_core(s, &d->writes[i].write);
}

void forward_serve_one(void *data, const struct rc_request *request)
{
	struct store *s = data;

	if (may_serve(s, request->token))
		serve(s, request->token, false, &request->body, 1);
}

void forward_serve_batch(void *data, const struct rc_request *request)
{
	struct store *s = data;
	struct str commands[BATCH_COUNT_MAX];
	struct err err;
	size_t n;

	if (!may_serve(s, request->token))
		return;
	if (batch_decode(request->body, commands, &n, &err))
		refuse(s, request->token, &err);
	else
		serve(s, request->token, true, commands, n);
}
