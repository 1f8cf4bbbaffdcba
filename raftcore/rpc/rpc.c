/*
 * Calls and requests of all peers: see rpc.h.
 *
 * A peer has two tables of slots, one a direction.  The id of a call holds its
 * slot (first_id + n * calls_max + slot, n counts all calls), so an answer finds
 * it without a search, and ids only grow.  Frames that 'send' does not take wait
 * in one queue a peer; requests are encoded when they leave, so that the budget
 * they carry is what is left then.
 *
 * The next deadline is kept as a lower bound: what ends early leaves it, and
 * the timeout looks at everything once and sets it anew.
 */
#include "rpc/rpc.h"

#include "base/list.h"
#include "base/mem.h"
#include "rpc/frame.h"

#include "base/banned.h"

/* Short answers E_BUSY that may wait, for each call: what a peer had sent before
 * its connection ended may come on top of what it sends now, several times. */
#define BUSY_WAITING 8

enum out_state { OUT_FREE, OUT_WAITING, OUT_SENT, OUT_LEFT };
enum in_state { IN_FREE, IN_OPEN, IN_ANSWERED };

/* A frame that waits; a request's only as its body. */
struct queued {
	struct list link;
	struct out *out;                 /* set: a request */
	struct in *in;                   /* set: the answer to it */
	bool is_busy;                    /* an answer that has no slot */
	struct buf bytes;
};

struct out {
	enum out_state state;
	struct rpc_call *call;           /* NULL where it left before the answer */
	struct queued *queued;           /* OUT_WAITING */
	uint64_t id, deadline_ms;
	size_t weight;
	uint32_t answer_max;
	unsigned method;
};

struct in {
	enum in_state state;
	uint64_t id, serial, deadline_ms;
	size_t weight;
	uint32_t answer_max;
	unsigned method;
};

struct slots {
	unsigned *free, n_free;
	size_t bytes;                    /* in flight */
};

struct peer {
	uint64_t id;
	bool is_up;
	struct list queue;
	unsigned busy_queued;            /* answers there that have no slot */
	uint64_t last_in;                /* id of its newest request */
	uint64_t first_out;              /* least id of this connection */
	struct out *outs;
	struct in *ins;
	struct slots out, in;
	struct rpc_view seen;            /* its counters only */
};

struct rpc {
	struct rpc_config config;
	struct rpc_method methods[RPC_METHODS_MAX];
	struct peer *peers[RPC_PEERS_MAX];
	unsigned n_peers;
	uint64_t now_ms, next_ms;        /* newest time; see the top */
	uint64_t calls, serial;
	struct buf scratch;
};

/* ---- life ---- */

void rpc_config_defaults(struct rpc_config *config)
{
	*config = (struct rpc_config){ .calls_max = 256, .bytes_max = 16 << 20,
				       .frame_bytes_max = 1 << 20,
				       .first_id = 1 };
}

struct rpc *rpc_new(const struct rpc_config *config)
{
	struct rpc *r = NEW(struct rpc);

	must(config->host.send && config->first_id);
	must(config->calls_max >= 1 && config->calls_max <= 65536);
	/* The text of an error always fits, and one call alone always may. */
	must(config->frame_bytes_max >= 1024);
	must(config->bytes_max >= 2 * config->frame_bytes_max);
	r->config = *config;
	r->next_ms = UINT64_MAX;
	return r;
}

static void slots_init(struct slots *s, unsigned n)
{
	s->free = mem_alloc(n * sizeof(*s->free));
	for (unsigned i = 0; i < n; i++)
		s->free[s->n_free++] = n - 1 - i;
}

static struct peer *peer_new(const struct rpc *r, uint64_t id)
{
	struct peer *p = NEW(struct peer);
	unsigned n = r->config.calls_max;

	p->id = id;
	list_init(&p->queue);
	p->outs = mem_zero(n * sizeof(*p->outs));
	p->ins = mem_zero(n * sizeof(*p->ins));
	slots_init(&p->out, n);
	slots_init(&p->in, n);
	return p;
}

static void peer_free(struct peer *p)
{
	free(p->outs);
	free(p->ins);
	free(p->out.free);
	free(p->in.free);
	free(p);
}

void rpc_free(struct rpc **rp)
{
	struct rpc *r = *rp;

	if (!r)
		return;
	*rp = NULL;
	for (unsigned i = 0; i < r->n_peers; i++)
		rpc_peer_down(r, r->peers[i]->id);
	for (unsigned i = 0; i < r->n_peers; i++)
		peer_free(r->peers[i]);
	buf_fini(&r->scratch);
	free(r);
}

void rpc_handle(struct rpc *r, unsigned method, const struct rpc_method *m)
{
	must(method > 0 && method < RPC_METHODS_MAX && m->handle);
	must(!r->methods[method].handle);
	r->methods[method] = *m;
}

static struct peer *find(const struct rpc *r, uint64_t id)
{
	for (unsigned i = 0; i < r->n_peers; i++)
		if (r->peers[i]->id == id)
			return r->peers[i];
	return NULL;
}

static struct peer *find_up(const struct rpc *r, uint64_t id)
{
	struct peer *p = find(r, id);

	return p && p->is_up ? p : NULL;
}

static void set_now(struct rpc *r, uint64_t now_ms)
{
	r->now_ms = MAX(r->now_ms, now_ms);
}

/* ---- slots ---- */

static unsigned used(const struct rpc *r, const struct slots *s)
{
	return r->config.calls_max - s->n_free;
}

static bool has_room(const struct rpc *r, const struct slots *s, size_t weight)
{
	return s->n_free && s->bytes + weight <= r->config.bytes_max;
}

static unsigned slot_take(struct slots *s, size_t weight)
{
	must(s->n_free);
	s->bytes += weight;
	return s->free[--s->n_free];
}

static void slot_give(struct slots *s, unsigned slot, size_t weight)
{
	must(s->bytes >= weight);
	s->bytes -= weight;
	s->free[s->n_free++] = slot;
}

static void out_free(struct peer *p, struct out *o)
{
	slot_give(&p->out, (unsigned)(o - p->outs), o->weight);
	*o = (struct out){ 0 };
}

static void in_free(struct peer *p, struct in *in)
{
	slot_give(&p->in, (unsigned)(in - p->ins), in->weight);
	*in = (struct in){ 0 };
}

/* ---- sending ---- */

static bool send_scratch(struct rpc *r, struct peer *p)
{
	return r->config.host.send(r->config.host.data, p->id,
				   buf_view(&r->scratch));
}

static bool send_request(struct rpc *r, struct peer *p, struct out *o,
			 struct str body)
{
	uint64_t left = o->deadline_ms > r->now_ms ?
			o->deadline_ms - r->now_ms : 1;
	struct rpc_frame f = { .type = RPC_F_REQUEST, .id = o->id, .body = body,
			       .request = { (uint16_t)o->method, (uint32_t)left,
					    o->answer_max } };

	buf_reset(&r->scratch);
	rpc_frame_encode(&r->scratch, &f);
	if (!send_scratch(r, p))
		return false;
	o->state = OUT_SENT;
	o->queued = NULL;
	if (o->call)
		o->call->was_sent = true;
	return true;
}

static struct queued *enqueue(struct peer *p, struct str bytes)
{
	struct queued *q = NEW(struct queued);

	buf_str(&q->bytes, bytes);
	list_append(&p->queue, &q->link);
	return q;
}

static void queued_free(struct queued *q)
{
	list_remove(&q->link);
	buf_fini(&q->bytes);
	free(q);
}

/* An answer or a cancellation; 'in' may be NULL. */
static struct queued *send_frame(struct rpc *r, struct peer *p, struct in *in,
				 const struct rpc_frame *f)
{
	struct queued *q;

	buf_reset(&r->scratch);
	rpc_frame_encode(&r->scratch, f);
	if (list_empty(&p->queue) && send_scratch(r, p)) {
		if (in)
			in_free(p, in);
		return NULL;
	}
	q = enqueue(p, buf_view(&r->scratch));
	q->in = in;
	return q;
}

static void send_waiting(struct rpc *r, struct peer *p)
{
	struct queued *q;

	while ((q = list_first(&p->queue, struct queued, link))) {
		if (q->out) {
			if (!send_request(r, p, q->out, buf_view(&q->bytes)))
				return;
		} else {
			buf_reset(&r->scratch);
			buf_str(&r->scratch, buf_view(&q->bytes));
			if (!send_scratch(r, p))
				return;
			if (q->in)
				in_free(p, q->in);
			p->busy_queued -= q->is_busy;
		}
		queued_free(q);
	}
}

void rpc_writable(struct rpc *r, uint64_t now_ms, uint64_t peer)
{
	struct peer *p = find_up(r, peer);

	set_now(r, now_ms);
	if (p)
		send_waiting(r, p);
}

/* ---- the caller ---- */

/* Counts what became of a call. */
static void count_end(struct peer *p, enum code rc, bool was_answered)
{
	if (was_answered)
		p->seen.answered++;
	else if (rc == E_TIMEOUT)
		p->seen.timed_out++;
	else if (rc == E_CANCELLED)
		p->seen.cancelled++;
	else if (rc == E_UNCERTAIN)
		p->seen.uncertain++;
	else
		p->seen.unavailable++;
}

/* The one place where 'done' runs.  A call that the peer still has to answer
 * keeps its slot. */
static void end_call(struct rpc *r, struct peer *p, struct out *o, enum code rc,
		     struct str answer, const struct err *err)
{
	struct rpc_call *call = TAKE(o->call);
	bool answered = call->was_answered;

	if (o->queued)
		queued_free(TAKE(o->queued));
	if (o->state == OUT_SENT && !answered && p->is_up) {
		struct rpc_frame f = { .type = RPC_F_CANCEL, .id = o->id };

		o->state = OUT_LEFT;
		send_frame(r, p, NULL, &f);
	} else {
		out_free(p, o);
	}
	count_end(p, rc, answered);
	call->owner_ = NULL;
	call->done(call, r->now_ms, rc, answer, err);
}

static void fail_call(struct rpc *r, struct peer *p, struct out *o, enum code rc,
		      const char *why)
{
	struct err err;

	err_set(&err, rc, "call of method %u at node %llu: %s", o->method,
		(unsigned long long)p->id, why);
	end_call(r, p, o, rc, STR_NONE, &err);
}

/* Of the next call, if it has the first slot. */
static uint64_t next_id(const struct rpc *r)
{
	return r->config.first_id + r->calls * r->config.calls_max;
}

static enum code check_call(const struct rpc *r, const struct rpc_call *call,
			    struct err *err)
{
	size_t most = r->config.frame_bytes_max - RPC_FRAME_HEAD_MAX;

	must(call->done && call->timeout_ms > 0);
	must(call->method > 0 && call->method < RPC_METHODS_MAX);
	if (call->body.n > most || call->answer_max > most)
		return err_set(err, E_TOO_LARGE, "method %u: a request of %zu "
			       "and an answer of %u bytes; at most %zu",
			       call->method, call->body.n, call->answer_max, most);
	return OK;
}

enum code rpc_call(struct rpc *r, uint64_t now_ms, struct rpc_call *call,
		   struct err *err)
{
	size_t weight = call->body.n + call->answer_max;
	struct peer *p = find_up(r, call->peer);
	enum code rc = check_call(r, call, err);
	struct out *o;
	unsigned slot;

	set_now(r, now_ms);
	call->owner_ = NULL;
	call->was_sent = call->was_answered = false;
	if (rc)
		return rc;
	if (!p)
		return err_set(err, E_UNAVAILABLE, "node %llu is not connected",
			       (unsigned long long)call->peer);
	if (!has_room(r, &p->out, weight)) {
		p->seen.busy++;
		return err_set(err, E_BUSY, "%u calls with %zu bytes are open "
			       "at node %llu", used(r, &p->out), p->out.bytes,
			       (unsigned long long)call->peer);
	}
	slot = slot_take(&p->out, weight);
	o = &p->outs[slot];
	*o = (struct out){ .state = OUT_WAITING, .call = call,
			   .id = next_id(r) + slot,
			   .deadline_ms = r->now_ms + call->timeout_ms,
			   .weight = weight, .answer_max = call->answer_max,
			   .method = call->method };
	r->calls++;
	call->owner_ = p;
	call->id_ = o->id;
	p->seen.called++;
	r->next_ms = MIN(r->next_ms, o->deadline_ms);
	if (!list_empty(&p->queue) || !send_request(r, p, o, call->body)) {
		o->queued = enqueue(p, call->body);
		o->queued->out = o;
	}
	return OK;
}

static struct out *out_of(const struct rpc *r, struct peer *p, uint64_t id)
{
	struct out *o = &p->outs[(id - r->config.first_id) %
				 r->config.calls_max];

	return o->state != OUT_FREE && o->id == id ? o : NULL;
}

void rpc_cancel(struct rpc *r, uint64_t now_ms, struct rpc_call *call)
{
	struct peer *p = call->owner_;
	struct out *o = p ? out_of(r, p, call->id_) : NULL;

	set_now(r, now_ms);
	if (!p)
		return;
	must(o && o->call == call);
	fail_call(r, p, o, E_CANCELLED, "cancelled by the caller");
}

/* ---- the callee ---- */

static bool reply(struct rpc *r, struct peer *p, struct in *in,
		  const struct rpc_frame *f)
{
	in->state = IN_ANSWERED;
	send_frame(r, p, in, f);
	return true;
}

static struct rpc_frame refusal(uint64_t id, const struct err *err)
{
	must(err->code != OK);
	return (struct rpc_frame){ .type = RPC_F_ANSWER, .id = id,
				   .answer = { err->code, str_of(err->text),
					       str_of(err->hint) } };
}

static struct in *in_of(struct rpc *r, struct rpc_token token, struct peer **p)
{
	struct in *in;

	*p = find_up(r, token.peer);
	if (!*p || token.slot >= r->config.calls_max)
		return NULL;
	in = &(*p)->ins[token.slot];
	return in->state == IN_OPEN && in->serial == token.serial ? in : NULL;
}

bool rpc_answer(struct rpc *r, uint64_t now_ms, struct rpc_token token,
		struct str body)
{
	struct peer *p;
	struct in *in = in_of(r, token, &p);
	struct rpc_frame f = { .type = RPC_F_ANSWER, .body = body };
	struct err err;

	set_now(r, now_ms);
	if (!in)
		return false;
	if (body.n > in->answer_max) {
		err_set(&err, E_TOO_LARGE, "the answer of method %u has %zu "
			"bytes, the caller takes %u", in->method, body.n,
			in->answer_max);
		f = refusal(in->id, &err);
	}
	f.id = in->id;
	return reply(r, p, in, &f);
}

bool rpc_refuse(struct rpc *r, uint64_t now_ms, struct rpc_token token,
		const struct err *err)
{
	struct peer *p;
	struct in *in = in_of(r, token, &p);
	struct rpc_frame f;

	set_now(r, now_ms);
	if (!in)
		return false;
	f = refusal(in->id, err);
	return reply(r, p, in, &f);
}

static struct rpc_token token_of(const struct peer *p, const struct in *in)
{
	return (struct rpc_token){ p->id, in->serial, (unsigned)(in - p->ins) };
}

/* Ends a request that nobody waits for any more, and says so to its handler. */
static void drop_request(struct rpc *r, struct peer *p, struct in *in,
			 enum code rc, const char *why)
{
	const struct rpc_method *m = &r->methods[in->method];
	struct rpc_token token = token_of(p, in);
	struct rpc_frame f;
	struct err err;

	if (p->is_up) {
		err_set(&err, rc, "method %u at the callee: %s", in->method, why);
		f = refusal(in->id, &err);
		reply(r, p, in, &f);
	} else {
		in_free(p, in);
	}
	if (m->gone)
		m->gone(m->data, token, rc);
}

/* One that finds no room has no slot; how many such answers wait is bounded
 * here, since the peer may not be reading. */
static enum code refuse_busy(struct rpc *r, struct peer *p,
			     const struct rpc_frame *request, struct err *err)
{
	struct rpc_frame f;
	struct queued *q;
	struct err busy;

	p->seen.served_busy++;
	if (p->busy_queued >= BUSY_WAITING * r->config.calls_max)
		return err_set(err, E_BUSY, "node %llu sends requests and takes "
			       "no answers", (unsigned long long)p->id);
	err_set(&busy, E_BUSY, "%u requests with %zu bytes are open",
		used(r, &p->in), p->in.bytes);
	f = refusal(request->id, &busy);
	q = send_frame(r, p, NULL, &f);
	if (q) {
		q->is_busy = true;
		p->busy_queued++;
	}
	return OK;
}

static enum code take_request(struct rpc *r, struct peer *p,
			      const struct rpc_frame *f, struct err *err)
{
	/* What the caller takes may be more than a frame here holds. */
	size_t answer_max = MIN((size_t)f->request.answer_max,
				r->config.frame_bytes_max - RPC_FRAME_HEAD_MAX);
	size_t weight = f->body.n + answer_max;
	const struct rpc_method *m;
	struct rpc_request request;
	unsigned method = f->request.method, slot;
	struct in *in;
	struct err no;

	if (f->id <= p->last_in)
		return err_set(err, E_INVALID, "request %llu of node %llu comes "
			       "after %llu", (unsigned long long)f->id,
			       (unsigned long long)p->id,
			       (unsigned long long)p->last_in);
	p->last_in = f->id;
	if (!has_room(r, &p->in, weight))
		return refuse_busy(r, p, f, err);
	slot = slot_take(&p->in, weight);
	in = &p->ins[slot];
	*in = (struct in){ .state = IN_OPEN, .id = f->id, .serial = ++r->serial,
			   .deadline_ms = r->now_ms + f->request.budget_ms,
			   .weight = weight, .answer_max = (uint32_t)answer_max };
	p->seen.served++;
	m = method < RPC_METHODS_MAX ? &r->methods[method] : NULL;
	request = (struct rpc_request){ token_of(p, in), p->id, f->body,
					in->deadline_ms, in->answer_max };
	if (!m || !m->handle) {
		err_set(&no, E_METHOD, "this node has no method %u", method);
		(void)rpc_refuse(r, r->now_ms, request.token, &no);
		return OK;
	}
	in->method = method;
	r->next_ms = MIN(r->next_ms, in->deadline_ms);
	m->handle(m->data, r->now_ms, &request);
	return OK;
}

/* One that is not open was answered meanwhile, or is of an older connection. */
static void take_cancel(struct rpc *r, struct peer *p, uint64_t id)
{
	for (unsigned i = 0; i < r->config.calls_max; i++) {
		struct in *in = &p->ins[i];

		if (in->state != IN_OPEN || in->id != id)
			continue;
		drop_request(r, p, in, E_CANCELLED, "cancelled by the caller");
		return;
	}
}

/* ---- what comes back ---- */

static void set_answered(struct err *err, const struct rpc_frame *f)
{
	err_set(err, f->answer.code, "%.*s", STR_ARG(f->answer.text));
	err_hint(err, "%.*s", STR_ARG(f->answer.hint));
}

static enum code take_answer(struct rpc *r, struct peer *p,
			     const struct rpc_frame *f, struct err *err)
{
	struct out *o = out_of(r, p, f->id);
	struct err said;

	if (f->id < p->first_out)
		return OK;               /* that call ended with its connection */
	if (!o || o->state == OUT_WAITING)
		return err_set(err, E_INVALID, "node %llu answers call %llu, "
			       "which is not open", (unsigned long long)p->id,
			       (unsigned long long)f->id);
	if (f->body.n > o->answer_max)
		return err_set(err, E_TOO_LARGE, "node %llu answers method %u "
			       "with %zu bytes, at most %u were asked for",
			       (unsigned long long)p->id, o->method, f->body.n,
			       o->answer_max);
	if (!o->call) {
		out_free(p, o);
		return OK;
	}
	err_reset(&said);
	if (f->answer.code)
		set_answered(&said, f);
	o->call->was_answered = true;
	end_call(r, p, o, f->answer.code, f->body, &said);
	return OK;
}

enum code rpc_receive(struct rpc *r, uint64_t now_ms, uint64_t peer,
		      struct str frame, struct err *err)
{
	struct peer *p = find_up(r, peer);
	struct rpc_frame f;
	enum code rc;

	set_now(r, now_ms);
	if (!p)
		return err_set(err, E_UNAVAILABLE, "node %llu is not connected",
			       (unsigned long long)peer);
	if (frame.n > r->config.frame_bytes_max)
		return err_set(err, E_TOO_LARGE, "an RPC frame of %zu bytes from "
			       "node %llu, at most %zu", frame.n,
			       (unsigned long long)peer,
			       r->config.frame_bytes_max);
	rc = rpc_frame_decode(frame, &f, err);
	if (rc)
		return rc;
	if (f.type == RPC_F_REQUEST)
		return take_request(r, p, &f, err);
	if (f.type == RPC_F_ANSWER)
		return take_answer(r, p, &f, err);
	take_cancel(r, p, f.id);
	return OK;
}

/* ---- connections ---- */

/* It is met anew when it comes: down, it has no call and no request. */
static bool forget_one(struct rpc *r)
{
	for (unsigned i = 0; i < r->n_peers; i++) {
		if (r->peers[i]->is_up)
			continue;
		peer_free(r->peers[i]);
		r->peers[i] = r->peers[--r->n_peers];
		return true;
	}
	return false;
}

enum code rpc_peer_up(struct rpc *r, uint64_t id, struct err *err)
{
	struct peer *p = find(r, id);

	if (!p && r->n_peers == RPC_PEERS_MAX && !forget_one(r))
		return err_set(err, E_BUSY, "node %llu: %u nodes are connected "
			       "already", (unsigned long long)id, r->n_peers);
	if (!p)
		p = r->peers[r->n_peers++] = peer_new(r, id);
	must(!p->is_up);
	p->is_up = true;
	p->last_in = 0;
	p->first_out = next_id(r);
	return OK;
}

static void forget_queue(struct peer *p)
{
	struct queued *q;

	while ((q = list_first(&p->queue, struct queued, link))) {
		if (q->out)
			q->out->queued = NULL;
		if (q->in)
			in_free(p, q->in);
		queued_free(q);
	}
	p->busy_queued = 0;
}

void rpc_peer_down(struct rpc *r, uint64_t id)
{
	struct peer *p = find_up(r, id);

	if (!p)
		return;
	p->is_up = false;
	forget_queue(p);
	for (unsigned i = 0; i < r->config.calls_max; i++) {
		struct out *o = &p->outs[i];

		if (o->state == OUT_LEFT)
			out_free(p, o);
		else if (o->state == OUT_WAITING)
			fail_call(r, p, o, E_UNAVAILABLE,
				  "the connection ended before it was sent");
		else if (o->state == OUT_SENT)
			fail_call(r, p, o, E_UNCERTAIN,
				  "the connection ended before the answer");
		if (p->ins[i].state == IN_OPEN)
			drop_request(r, p, &p->ins[i], E_UNAVAILABLE, "");
	}
	must(p->out.bytes == 0 && p->in.bytes == 0);
}

/* ---- time ---- */

uint64_t rpc_deadline(const struct rpc *r)
{
	return r->next_ms;
}

static void expire(struct rpc *r, struct peer *p)
{
	for (unsigned i = 0; i < r->config.calls_max && p->is_up; i++) {
		struct out *o = &p->outs[i];
		struct in *in = &p->ins[i];

		if (o->call && o->deadline_ms <= r->now_ms)
			fail_call(r, p, o, E_TIMEOUT, "the deadline passed");
		if (in->state == IN_OPEN && in->deadline_ms <= r->now_ms)
			drop_request(r, p, in, E_TIMEOUT, "the deadline passed");
	}
}

static void look_ahead(struct rpc *r, const struct peer *p)
{
	for (unsigned i = 0; i < r->config.calls_max; i++) {
		if (p->outs[i].call)
			r->next_ms = MIN(r->next_ms, p->outs[i].deadline_ms);
		if (p->ins[i].state == IN_OPEN)
			r->next_ms = MIN(r->next_ms, p->ins[i].deadline_ms);
	}
}

void rpc_timeout(struct rpc *r, uint64_t now_ms)
{
	set_now(r, now_ms);
	if (r->now_ms < r->next_ms)
		return;
	for (unsigned i = 0; i < r->n_peers; i++)
		expire(r, r->peers[i]);
	r->next_ms = UINT64_MAX;
	for (unsigned i = 0; i < r->n_peers; i++)
		if (r->peers[i]->is_up)
			look_ahead(r, r->peers[i]);
}

void rpc_view(const struct rpc *r, uint64_t peer, struct rpc_view *out)
{
	const struct peer *p = find(r, peer);

	*out = (struct rpc_view){ 0 };
	if (!p)
		return;
	*out = p->seen;
	out->is_up = p->is_up;
	out->calls_out = used(r, &p->out);
	out->calls_in = used(r, &p->in);
	out->bytes_out = p->out.bytes;
	out->bytes_in = p->in.bytes;
}
