/*
 * Calls between nodes: rpc over the transport, and what it leaves to its
 * driver.
 *
 * A call waits here until it is known who leads and there is a session with
 * him.  One to this node itself goes to its own handler, and never to rpc.
 * Cancelling looks through what is open: who cancels has few calls, and an address
 * that was freed is not looked into.
 */
#include "base/mem.h"
#include "node/driver.h"

#include "base/banned.h"

#define CALLS_MAX 4096u                  /* a peer and direction; also local */
#define CALL_BYTES_MAX (64u << 20)
#define PATIENCE_MS 1000u                /* for a connection to a named peer */

struct call {
	struct errand errand;
	struct rc_node *node;
	struct rc_call *call;
	struct rpc_call rpc;
	struct list at;                  /* held, sent or local */
	uint64_t started_ms, deadline_ms;
	uint64_t serial;                 /* local */
	enum code rc;
	struct buf answer;
	struct err err;
};

/* ---- the end of a call ---- */

/* On the apply loop, or at the end. */
static void tell_done(struct rc_node *n, struct errand *errand)
{
	struct call *c = container_of(errand, struct call, errand);

	c->call->done(c->call, c->rc, buf_view(&c->answer), &c->err);
	buf_fini(&c->answer);
	free(c);
}

static void finish(struct call *c, enum code rc, struct str answer,
		   const struct err *err)
{
	c->rc = rc;
	err_reset(&c->err);
	if (rc == OK)
		buf_str(&c->answer, answer);
	else
		err_copy(&c->err, err);
	c->errand.run = tell_done;
	errands_put_sure(&c->node->to_apply, &c->errand);
}

static void fail(struct call *c, enum code rc, const char *why)
{
	struct err err;

	err_set(&err, rc, "%s", why);
	finish(c, rc, STR_NONE, &err);
}

static void drop_held(struct call *c)
{
	list_remove(&c->at);
	c->node->n_held--;
}

static void drop_local(struct call *c)
{
	list_remove(&c->at);
	c->node->n_local--;
}

/* ---- requests to the handlers ---- */

struct inquiry {
	struct errand errand;
	const struct method *method;
	struct rc_request request;
	char body[];
};

static void handle_here(struct rc_node *n, struct errand *errand)
{
	struct inquiry *q = container_of(errand, struct inquiry, errand);

	if (!node_has_ended(n))
		q->method->handle(q->method->data, &q->request);
	free(q);
}

static void inquire(const struct method *m, struct rpc_token token,
		    uint64_t peer, struct str body)
{
	struct inquiry *q = mem_alloc(sizeof(*q) + body.n);

	*q = (struct inquiry){ .errand.run = handle_here, .method = m,
			       .request = { token, peer,
					    str_n(q->body, body.n) } };
	if (body.n)
		memcpy(q->body, body.p, body.n);
	errands_put_sure(&m->node->to_apply, &q->errand);
}

static void on_request(void *data, uint64_t now_ms,
		       const struct rpc_request *r)
{
	inquire(data, r->token, r->peer, r->body);
}

struct farewell {
	struct errand errand;
	const struct method *method;
	struct rpc_token token;
	enum code why;
};

static void gone_here(struct rc_node *n, struct errand *errand)
{
	struct farewell *f = container_of(errand, struct farewell, errand);

	f->method->gone(f->method->data, f->token, f->why);
	free(f);
}

/* Behind the request, which goes the same way. */
static void on_gone(void *data, struct rpc_token token, enum code why)
{
	const struct method *m = data;
	struct farewell *f;

	if (!m->gone)
		return;
	f = NEW(struct farewell);
	*f = (struct farewell){ { .run = gone_here }, m, token, why };
	errands_put_sure(&m->node->to_apply, &f->errand);
}

/* ---- calls to this node itself ---- */

static void call_here(struct call *c)
{
	struct rc_node *n = c->node;
	const struct method *m = &n->methods[c->call->method];
	struct rpc_token token = { .peer = n->config.node_id };

	if (!m->handle) {
		fail(c, E_METHOD, "this node has no such method");
		return;
	}
	if (n->n_local >= CALLS_MAX) {
		fail(c, E_BUSY, "too many calls are open at this node");
		return;
	}
	token.serial = c->serial = ++n->serial;
	list_append(&n->local, &c->at);
	n->n_local++;
	inquire(m, token, n->config.node_id, c->call->body);
}

static struct call *find_local(struct rc_node *n, uint64_t serial)
{
	struct call *c;

	list_each(&n->local, c, at)
		if (c->serial == serial)
			return c;
	return NULL;
}

/* Ends it for both sides. */
static void fail_local(struct call *c, enum code rc, enum code gone,
		       const char *why)
{
	struct rc_node *n = c->node;
	struct rpc_token token = { .peer = n->config.node_id,
				   .serial = c->serial };

	drop_local(c);
	on_gone(&n->methods[c->call->method], token, gone);
	fail(c, rc, why);
}

static void answer_here(struct call *c, enum code rc, struct str body,
			const struct err *err)
{
	drop_local(c);
	if (rc == OK && body.n > c->call->answer_max)
		fail(c, E_TOO_LARGE, "the answer is longer than was asked for");
	else
		finish(c, rc, body, err);
}

/* ---- calls to others ---- */

static void on_done(struct rpc_call *rpc, uint64_t now_ms, enum code rc,
		    struct str answer, const struct err *err)
{
	struct call *c = container_of(rpc, struct call, rpc);

	list_remove(&c->at);
	finish(c, rc, answer, err);
}

static void send_call(struct call *c, uint64_t peer)
{
	uint64_t now = node_now(c->node);
	struct err err = { 0 };
	enum code rc;

	c->rpc = (struct rpc_call){
		.peer = peer, .method = c->call->method, .body = c->call->body,
		.timeout_ms = (uint32_t)MAX(c->deadline_ms, now + 1) -
			      (uint32_t)now,
		.answer_max = c->call->answer_max, .done = on_done };
	rc = rpc_call(c->node->rpc, now, &c->rpc, &err);
	if (rc)
		finish(c, rc, STR_NONE, &err);
	else
		list_append(&c->node->sent, &c->at);
}

/* False: it has to wait. */
static bool try_call(struct call *c)
{
	struct rc_node *n = c->node;
	uint64_t peer = c->call->peer ? c->call->peer : n->view.leader;
	struct link *l = link_of(n, peer);

	if (peer == n->config.node_id) {
		call_here(c);
		return true;
	}
	if (!l && c->call->peer) {
		fail(c, E_NOT_FOUND, "there is no such member");
		return true;
	}
	if (!l || !l->rpc.is_up)
		return false;
	send_call(c, peer);
	return true;
}

static uint64_t held_until(const struct call *c)
{
	uint32_t hold_ms = c->call->peer ? PATIENCE_MS : c->call->hold_ms;

	return hold_ms ? MIN(c->deadline_ms, c->started_ms + hold_ms) :
			 c->deadline_ms;
}

/* Those that are tried may not come back: 'done' runs elsewhere. */
void courier_turn(struct rc_node *n)
{
	struct call *c;

	list_each(&n->held, c, at) {
		drop_held(c);
		if (try_call(c))
			continue;
		list_insert_before(c_n, &c->at);
		n->n_held++;
	}
}

static void start_call(struct rc_node *n, struct errand *errand)
{
	struct call *c = container_of(errand, struct call, errand);

	if (node_has_ended(n)) {
		fail(c, E_UNAVAILABLE, "the node is stopping");
		return;
	}
	c->started_ms = node_now(n);
	c->deadline_ms = c->started_ms + c->call->timeout_ms;
	if (try_call(c))
		return;
	if (n->n_held >= CALLS_MAX) {
		fail(c, E_BUSY, "too many calls wait for a connection");
		return;
	}
	list_append(&n->held, &c->at);
	n->n_held++;
}

bool rc_call(struct rc_node *n, struct rc_call *call)
{
	struct call *c = NEW(struct call);

	must(call->done && call->timeout_ms > 0 && call->method >= 1 &&
	     call->method <= RC_METHODS_MAX);
	*c = (struct call){ .errand.run = start_call, .node = n, .call = call };
	list_init(&c->at);
	if (errands_put(&n->to_raft, &c->errand))
		return true;
	free(c);
	return false;
}

/* ---- nobody waits for one any more ---- */

struct cancel {
	struct errand errand;
	const struct rc_call *call;
};

static struct call *find_call(const struct list *all, const struct rc_call *call)
{
	struct call *c;

	list_each(all, c, at)
		if (c->call == call)
			return c;
	return NULL;
}

static void cancel_call(struct rc_node *n, const struct rc_call *call)
{
	const char *why = "cancelled by the caller";
	struct call *c = find_call(&n->held, call);

	if (c) {
		drop_held(c);
		fail(c, E_CANCELLED, why);
	} else if ((c = find_call(&n->local, call))) {
		fail_local(c, E_CANCELLED, E_CANCELLED, why);
	} else if ((c = find_call(&n->sent, call))) {
		rpc_cancel(n->rpc, node_now(n), &c->rpc);
	}
}

/* The call was started before, and another in its place starts behind this. */
static void cancel_here(struct rc_node *n, struct errand *errand)
{
	struct cancel *q = container_of(errand, struct cancel, errand);

	if (!node_has_ended(n))
		cancel_call(n, q->call);
	free(q);
}

void rc_cancel(struct rc_node *n, struct rc_call *call)
{
	struct cancel *q = NEW(struct cancel);

	*q = (struct cancel){ { .run = cancel_here }, call };
	if (!errands_put(&n->to_raft, &q->errand))
		free(q);
}

/* ---- answers ---- */

struct reply {
	struct errand errand;
	struct rpc_token token;
	enum code rc;
	struct buf body;
	struct err err;
};

static void reply_here(struct rc_node *n, struct reply *r)
{
	struct call *c;

	if (node_has_ended(n))
		return;
	if (r->token.peer == n->config.node_id) {
		c = find_local(n, r->token.serial);
		if (c)
			answer_here(c, r->rc, buf_view(&r->body), &r->err);
	} else if (r->rc == OK) {
		(void)rpc_answer(n->rpc, node_now(n), r->token,
				 buf_view(&r->body));
	} else {
		(void)rpc_refuse(n->rpc, node_now(n), r->token, &r->err);
	}
}

static void run_reply(struct rc_node *n, struct errand *errand)
{
	struct reply *r = container_of(errand, struct reply, errand);

	reply_here(n, r);
	buf_fini(&r->body);
	free(r);
}

void rc_answer(struct rc_node *n, struct rpc_token token, enum code rc,
	       struct str body, const struct err *err)
{
	struct reply *r = NEW(struct reply);

	*r = (struct reply){ .errand.run = run_reply, .token = token, .rc = rc };
	if (rc == OK)
		buf_str(&r->body, body);
	else if (err)
		err_copy(&r->err, err);
	else
		err_set(&r->err, rc, "%s", code_text(rc));
	/* Both must say the same. */
	r->err.code = rc;
	if (errands_put(&n->to_raft, &r->errand))
		return;
	buf_fini(&r->body);
	free(r);
}

void rc_handle(struct rc_node *n, unsigned method,
	       void (*handle)(void *data, const struct rc_request *request),
	       void *data)
{
	must(method >= 1 && method <= RC_METHODS_MAX && !n->loop);
	must(handle && !n->methods[method].handle);
	n->methods[method] = (struct method){ n, handle, NULL, data, method };
}

void rc_handle_gone(struct rc_node *n, unsigned method,
		    void (*gone)(void *data, struct rpc_token token,
				 enum code why))
{
	must(method >= 1 && method <= RC_METHODS_MAX && !n->loop);
	must(gone && n->methods[method].handle);
	n->methods[method].gone = gone;
}

/* ---- time ---- */

uint64_t courier_deadline(const struct rc_node *n)
{
	uint64_t due = n->rpc ? rpc_deadline(n->rpc) : UINT64_MAX;
	struct call *c;

	list_each(&n->held, c, at)
		due = MIN(due, held_until(c));
	list_each(&n->local, c, at)
		due = MIN(due, c->deadline_ms);
	return due;
}

void courier_timeout(struct rc_node *n)
{
	uint64_t now = node_now(n);
	struct call *c;

	if (n->rpc && now >= rpc_deadline(n->rpc))
		rpc_timeout(n->rpc, now);
	list_each(&n->held, c, at) {
		if (now < held_until(c))
			continue;
		drop_held(c);
		fail(c, E_UNAVAILABLE, c->call->peer ?
		     "there is no connection to this node" :
		     "no node leads that this node is connected to");
	}
	list_each(&n->local, c, at) {
		if (now < c->deadline_ms)
			continue;
		fail_local(c, E_TIMEOUT, E_TIMEOUT,
			   "this node did not answer in time");
	}
}

/* ---- life ---- */

static bool send_frame(void *data, uint64_t peer, struct str frame)
{
	struct rc_node *n = data;

	return net_send(n->net, peer, NET_RPC, frame) == OK;
}

void courier_open(struct rc_node *n)
{
	struct rpc_config c;

	if (!n->net)
		return;
	rpc_config_defaults(&c);
	c.host = (struct rpc_host){ send_frame, n };
	c.calls_max = CALLS_MAX;
	c.bytes_max = CALL_BYTES_MAX;
	n->rpc = rpc_new(&c);
	for (unsigned i = 1; i <= RC_METHODS_MAX; i++)
		if (n->methods[i].handle)
			rpc_handle(n->rpc, i, &(struct rpc_method){
				.handle = on_request, .gone = on_gone,
				.data = &n->methods[i] });
}

void courier_stop(struct rc_node *n)
{
	struct call *c;

	rpc_free(&n->rpc);
	list_each(&n->held, c, at) {
		drop_held(c);
		fail(c, E_UNAVAILABLE, "the node is stopping");
	}
	list_each(&n->local, c, at) {
		fail_local(c, E_UNCERTAIN, E_UNAVAILABLE,
			   "the node is stopping");
	}
}
