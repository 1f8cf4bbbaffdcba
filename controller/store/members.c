/*
 * Changes of who is in the cluster, as they are asked for at any node; changes.c
 * makes them at the one that leads.
 */
#include "store/own.h"
#include "store/wish.h"

#include "base/banned.h"

/* A member that is promoted has to be caught up, and one that takes over has to
 * win a vote. */
#define MEMBERS_MS 30000

/* ---- asking ---- */

static void told_home(struct msg *msg)
{
	struct store_members *m = container_of(msg, struct store_members, msg_);

	buf_fini(&m->body_);
	m->done(m, m->rc_, &m->err_);
}

static void answered(struct rc_call *call, enum code rc, struct str answer,
		     const struct err *err);

/* The short form leaves out who asks, for a leader that knows no better. */
static bool ask(struct store_members *m, unsigned method)
{
	struct str body = buf_view(&m->body_);

	if (method == STORE_METHOD_MEMBERS)
		body = str_first(str_from(body, m->short_at_), m->short_n_);
	m->call_ = (struct rc_call){ .peer = RC_LEADER, .method = method,
				     .body = body, .timeout_ms = MEMBERS_MS,
				     .hold_ms = m->store_->config.hold_ms,
				     .answer_max = 16, .done = answered };
	return rc_call(m->store_->node, &m->call_);
}

static void answered(struct rc_call *call, enum code rc, struct str answer,
		     const struct err *err)
{
	struct store_members *m = container_of(call, struct store_members, call_);

	if (rc == E_METHOD && call->method == STORE_METHOD_CHANGE &&
	    ask(m, STORE_METHOD_MEMBERS))
		return;
	m->rc_ = rc;
	if (rc)
		err_copy(&m->err_, err);
	m->msg_.run = told_home;
	loop_post_sure(m->home, &m->msg_);
}

static void encode(struct store_members *m)
{
	struct wish wish = { m->what, m->id, str_of(m->address), m->force, m->who };

	m->body_ = BUF_NONE;
	wish_encode(&m->body_, &wish, &m->short_at_, &m->short_n_);
}

bool store_members_change(struct store *s, struct store_members *m)
{
	if (atomic_load(&s->is_stopping))
		return false;
	m->store_ = s;
	encode(m);
	if (ask(m, STORE_METHOD_CHANGE))
		return true;
	buf_fini(&m->body_);
	return false;
}

enum code store_tls_reload(struct store *s, struct err *err)
{
	return rc_tls_reload(s->node, err);
}

size_t store_members_get(struct store *s, struct rc_peer *out, size_t cap)
{
	return rc_peers(s->node, out, cap);
}
