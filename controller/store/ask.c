/*
 * Questions to the leader, from whichever node: see store_ask.
 *
 * They are held as long as a write is.  A node that has been deposed refuses them
 * with E_NOT_LEADER while this one still takes it for the leader: those wait here
 * and are sent again, to whoever leads then.
 */
#include "store/own.h"

#include "base/banned.h"

static void tell(struct store_ask *a, enum code rc, struct str answer,
		 const struct err *err)
{
	a->done(a, rc, answer, err);
}

static void answered(struct rc_call *call, enum code rc, struct str answer,
		     const struct err *err)
{
	struct store_ask *a = container_of(call, struct store_ask, call_);
	struct store *s = a->store_;
	uint64_t now = loop_now_ms(s->core);

	if (!a->until_ms_)
		a->until_ms_ = now + s->config.hold_ms;
	if (rc != E_NOT_LEADER || now >= a->until_ms_ ||
	    atomic_load(&s->is_stopping)) {
		tell(a, rc, answer, err);
		return;
	}
	list_append(&s->asks, &a->at_);
	tickets_arm(s);
}

static bool send_ask(struct store *s, struct store_ask *a)
{
	a->call_ = (struct rc_call){ .peer = RC_LEADER,
				     .method = STORE_METHOD_ASK,
				     .body = a->body,
				     .timeout_ms = a->timeout_ms,
				     .hold_ms = s->config.hold_ms,
				     .answer_max = STORE_ANSWER_MAX,
				     .done = answered };
	return rc_call(s->node, &a->call_);
}

bool store_ask(struct store *s, struct store_ask *a)
{
	a->store_ = s;
	a->until_ms_ = 0;
	list_init(&a->at_);
	return !atomic_load(&s->is_stopping) && send_ask(s, a);
}

static void tell_stopping(struct store_ask *a)
{
	struct err err;

	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	tell(a, E_UNAVAILABLE, STR_NONE, &err);
}

void store_asks_again(struct store *s)
{
	struct store_ask *a;

	list_each(&s->asks, a, at_) {
		list_remove(&a->at_);
		if (!send_ask(s, a))
			tell_stopping(a);
	}
}

void store_asks_end(struct store *s)
{
	struct store_ask *a;

	while ((a = list_first(&s->asks, struct store_ask, at_))) {
		list_remove(&a->at_);
		tell_stopping(a);
	}
}

void store_asks_serve(void *data, const struct rc_request *request)
{
	struct store *s = data;
	struct err err;

	if (s->config.asked) {
		s->config.asked(s->config.data, request->token, request->body);
		return;
	}
	err_set(&err, E_UNSUPPORTED, "this node answers no such question");
	rc_answer(s->node, request->token, E_UNSUPPORTED, STR_NONE, &err);
}

void store_answer(struct store *s, struct rpc_token token, enum code rc,
		  struct str body, const struct err *err)
{
	rc_answer(s->node, token, rc, body, err);
}
