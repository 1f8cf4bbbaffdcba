/*
 * POST /api/v1/callbacks/{tenant}/{webhook}: an outside system votes on a proposal,
 * by a request that is signed with the key of its webhook (docs/webhooks.md).
 *
 * Who has no right signature learns nothing: not whether there is such a webhook, nor
 * whether it may vote.  A signature counts for five minutes, and its id once: the
 * idempotency row of (webhook, id) answers a second one with what came of the first.
 */
#include "api/callback.h"
#include "api/guess.h"
#include "api/own.h"

#include "base/clock.h"
#include "base/secret.h"
#include "hook/sign.h"
#include "state/outbox.h"

#include "base/banned.h"

#define BODY_MAX (64 * 1024)

static struct store *store_of(const struct request *r)
{
	return caller_of(r)->at->api->config.store;
}

static void refuse(struct request *r, enum code rc, const char *text)
{
	struct err err;

	door_guessed(r);
	store_denied_from(store_of(r), r->peer->host, STR("callback, unauthorized"));
	err_set(&err, rc, "%s", text);
	err_hint(&err, HOOK_SIGNATURE_HEADER ": sha256=HMAC-SHA256(key, "
		 "id.timestamp.body), with " HOOK_ID_HEADER " and "
		 HOOK_TIME_HEADER);
	api_error(r, &err);
}

static struct str header_of(const struct request *r, const char *name)
{
	const struct str *h = request_header(r, name);

	return h ? *h : STR_NONE;
}

/* By the webhook's key, or against one of zeros where there is none, so that both
 * take as long. */
static bool is_signed(struct kv_txn *txn, const struct object_view *o,
		      struct str signature, const struct hook_signed *what,
		      uint64_t now_ms)
{
	struct hook_key_row key = { 0 };
	bool has_key = o && view_hook_key(txn, o->row.uid, &key);
	bool good = hook_is_signed(signature, &key, now_ms, what);

	wipe(&key, sizeof(key));
	return has_key && good;
}

/* Whose signature is it?  False: answered. */
static bool identify(struct request *r, struct object_view *o)
{
	struct hook_signed what = { .id = header_of(r, "x-conflux-id"),
				    .timestamp = header_of(r, "x-conflux-timestamp"),
				    .body = r->in->body };
	struct str signature = header_of(r, "x-conflux-signature-256");
	uint64_t now = clock_wall_ms();
	struct kv_txn *txn;
	struct err err;
	bool found;

	if (!door_may_guess(r) || !api_view(r, &txn))
		return false;
	if (what.id.n == 0 || what.id.n > HOOK_ID_MAX || what.timestamp.n == 0 ||
	    signature.n == 0 || what.body.n > BODY_MAX) {
		refuse(r, E_UNAUTHORIZED, "a callback has an id, a timestamp and a "
		       "signature, and at most 64 KiB");
		return false;
	}
	found = r->in->args[0].n <= 63 && r->in->args[1].n <= 253 &&
		view_object(txn, KIND_WEBHOOK, r->in->args[0], r->in->args[1], o,
			    &err) == OK;
	if (!is_signed(txn, found ? o : NULL, signature, &what, now)) {
		refuse(r, E_UNAUTHORIZED, "the signature is not right");
		return false;
	}
	if (hook_time_is_near(what.timestamp, now, &err)) {
		refuse(r, E_UNAUTHORIZED, err.text);
		return false;
	}
	return true;
}

/* From here on it is somebody. */
static bool become(struct request *r, const struct object_view *o)
{
	struct caller *caller = caller_of(r);
	struct webhook hook;

	caller->subject = (struct subject){
		.name = arena_printf(r->arena, "webhook:%.*s/%.*s",
				     STR_ARG(o->tenant), STR_ARG(o->name)),
		.role = ROLE_WEBHOOK,
		.tenant = arena_str(r->arena, o->tenant),
	};
	caller->credential = STR("webhook key");
	webhook_read(r->arena, o->row.spec, &hook);
	if (hook.may_approve && !hook.suspend)
		return true;
	store_denied(store_of(r), caller->subject.name, STR("approve, denied"));
	api_fail(r, E_DENIED, "webhook %.*s/%.*s may not vote: spec.mayApprove lets it",
		 STR_ARG(o->tenant), STR_ARG(o->name));
	return false;
}

struct voting {
	struct str tenant, proposal;
	const char *decision;
};

static void voted(struct change *ch, struct request *r, const struct outcome *o)
{
	const struct voting *v = ch->data;
	AUTO_BUF out = BUF_NONE;
	struct object_view object;
	struct value *status;
	struct kv_txn *txn;
	struct err err;

	if (!api_view(r, &txn))
		return;
	buf_z(&out, "{\"proposal\":");
	buf_json(&out, v->proposal);
	buf_printf(&out, ",\"decision\":\"%s\",\"replayed\":%s", v->decision,
		   o->replayed ? "true" : "false");
	if (view_object(txn, KIND_PROPOSAL, v->tenant, v->proposal, &object,
			&err) == OK &&
	    doc_parse_json(object.row.status, r->arena, NULL, &status, &err) == OK) {
		buf_z(&out, ",\"phase\":");
		buf_json(&out, value_text(value_getz(status, "phase")));
	}
	buf_c(&out, '}');
	answer(r, 200, "application/json", buf_view(&out));
}

void post_callback(struct request *r)
{
	struct callback c;
	struct object_view o;
	struct change *ch;
	struct voting *v;
	struct op *op;
	struct err err;

	if (!identify(r, &o) || !become(r, &o))
		return;
	if (callback_read(r->arena, r->in->body, &c, &err)) {
		api_error(r, &err);
		return;
	}
	if (!api_may(r, VERB_APPROVE, KIND_PROPOSAL, o.tenant, c.proposal))
		return;
	ch = change_new(r, voted);
	/* Of headers that are not signed nothing counts: not what was wrong in them, either. */
	ch->cmd.flags = 0;
	ch->cmd.not_before_ms = 0;
	ch->glass = STR_NONE;
	err_reset(&ch->early);
	change_set_key(ch, r, header_of(r, "x-conflux-id"));
	ch->cmd.reason = arena_str(ch->arena, c.reason);
	v = ANEW(ch->arena, struct voting);
	v->tenant = arena_str(ch->arena, o.tenant);
	v->proposal = arena_str(ch->arena, c.proposal);
	v->decision = c.vote == VOTE_APPROVE ? "approve" : "reject";
	ch->data = v;
	op = command_op(ch->arena, &ch->cmd, OP_VOTE);
	op->kind = KIND_PROPOSAL;
	op->tenant = v->tenant;
	op->name = v->proposal;
	op->vote = c.vote;
	op->sha = c.digest;
	op->message = arena_str(ch->arena, c.reason);
	change_submit(ch);
}
