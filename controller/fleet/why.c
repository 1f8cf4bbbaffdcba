/*
 * What a release waits for, or an approved proposal: asked of the leader, whose release
 * engine (release/release.h) and keeper (gate/keeper.h) alone know.
 */
#include "fleet/node_own.h"

#include "base/banned.h"

#define CALL_MS 2000

void fleet_node_on_why(struct fleet_node *n, fleet_explain *explain, void *data)
{
	n->explain = explain;
	n->explain_data = data;
}

/* ---- at the leader ---- */

void fleet_answer_why(struct fleet_node *n, struct rpc_token token,
		      struct str body)
{
	struct fleet_why why = { .is_known = false };
	AUTO_BUF out = BUF_NONE;
	uint64_t release = 0;
	struct err err;
	enum code rc = why_decode(body, &release, &err);

	if (rc == OK && (!gather_session(n->gather) || !n->explain))
		rc = err_set(&err, E_NOT_LEADER, "this node does not lead");
	if (rc == OK) {
		n->explain(n->explain_data, release, &why);
		/* Both are numbered by revisions: it is one of them. */
		if (!why.is_known && n->config.explain_held)
			n->config.explain_held(n->config.held_data, release, &why);
		why_answer(&out, &why);
	}
	store_answer(n->config.store, token, rc, rc ? STR_NONE : buf_view(&out),
		     &err);
}

/* ---- asking ---- */

static void tell(struct msg *msg)
{
	struct fleet_why_query *q = container_of(msg, struct fleet_why_query, msg_);

	q->done(q, q->rc_, &q->err_);
}

static void answered(struct store_fleet_call *call, enum code rc,
		     struct str answer, const struct err *err)
{
	struct fleet_why_query *q = container_of(call, struct fleet_why_query,
						 call_);

	q->rc_ = rc;
	if (rc)
		err_copy(&q->err_, err);
	else
		q->rc_ = why_answer_decode(answer, &q->why, &q->err_);
	buf_fini(&q->body_);
	q->msg_.run = tell;
	loop_post_sure(q->home, &q->msg_);
}

static void ask_here(struct msg *msg)
{
	struct fleet_why_query *q = container_of(msg, struct fleet_why_query, msg_);
	struct err err;

	why_encode(&q->body_, q->release);
	q->call_ = (struct store_fleet_call){
		.peer = RC_LEADER, .body = buf_view(&q->body_),
		.timeout_ms = CALL_MS, .answer_max = 2 * FLEET_WHY_MAX,
		.done = answered };
	if (store_fleet_call(q->node_->config.store, &q->call_))
		return;
	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	answered(&q->call_, E_UNAVAILABLE, STR_NONE, &err);
}

void fleet_node_why(struct fleet_node *n, struct fleet_why_query *q)
{
	q->node_ = n;
	q->why = (struct fleet_why){ .is_known = false };
	q->body_ = BUF_NONE;
	q->msg_.run = ask_here;
	loop_post_sure(n->core, &q->msg_);
}
