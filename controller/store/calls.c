/* Calls between nodes about instances: see calls.h. */
#include "store/calls.h"

#include "store/own.h"

#include "base/banned.h"

uint64_t store_rollout_changes(const struct store *s)
{
	return atomic_load(&s->rollout_changes);
}

static void fleet_answered(struct rc_call *call, enum code rc, struct str answer,
			   const struct err *err)
{
	struct store_fleet_call *c = container_of(call, struct store_fleet_call,
						  call_);

	c->done(c, rc, answer, err);
}

bool store_fleet_call(struct store *s, struct store_fleet_call *c)
{
	c->call_ = (struct rc_call){ .peer = c->peer,
				     .method = STORE_METHOD_FLEET,
				     .body = c->body,
				     .timeout_ms = c->timeout_ms,
				     .answer_max = c->answer_max,
				     .done = fleet_answered };
	return !atomic_load(&s->is_stopping) && rc_call(s->node, &c->call_);
}

void calls_serve_fleet(void *data, const struct rc_request *request)
{
	struct store *s = data;
	struct err err;

	if (s->config.fleet) {
		s->config.fleet(s->config.data, request->token, request->peer,
				request->body);
		return;
	}
	err_set(&err, E_UNSUPPORTED, "this node knows no instances");
	rc_answer(s->node, request->token, E_UNSUPPORTED, STR_NONE, &err);
}
