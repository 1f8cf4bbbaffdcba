/*
 * A reconcile that was asked for over the api: here where this node leads, else
 * at the leader.
 */
#include "base/mem.h"
#include "daemon/own.h"
#include "source/question.h"

#include "base/banned.h"

/* From the api to the reconciler and back. */
struct asking {
	struct source_wait wait;
	struct api_reconcile *rec;
};

static void finish_reconcile(struct api_reconcile *rec,
			     const struct source_result *res)
{
	struct err err = { 0 };

	if (res->code) {
		err_set(&err, res->code, "%s", res->text);
		err_hint(&err, "%s", res->hint);
	}
	str_copy(rec->revision, sizeof(rec->revision), str_of(res->revision));
	rec->rev = res->rev;
	rec->operations = res->operations;
	str_copy(rec->turned_back, sizeof(rec->turned_back),
		 str_of(res->turned_back));
	str_copy(rec->plan, sizeof(rec->plan), str_of(res->plan));
	str_copy(rec->proposal, sizeof(rec->proposal), str_of(res->proposal));
	str_copy(rec->invalid, sizeof(rec->invalid), str_of(res->invalid));
	rec->n_invalid = res->n_invalid;
	rec->done(rec, err.code, &err);
}

static void reconciled(struct source_wait *wait, const struct source_result *res)
{
	struct asking *a = container_of(wait, struct asking, wait);

	/* 'res' lies in it. */
	finish_reconcile(a->rec, res);
	free(a);
}

/* ---- a reconcile at the leader ---- */

#define ASK_MS 120000

struct forwarded {
	struct store_ask ask;
	struct store_await await;        /* until what it made live is so here */
	struct daemon *d;
	struct api_reconcile *rec;
	struct source_result result;
	struct buf body;
};

static void forward_visible(struct store_await *await)
{
	struct forwarded *f = container_of(await, struct forwarded, await);

	finish_reconcile(f->rec, &f->result);
	buf_fini(&f->body);
	free(f);
}

static void forward_answered(struct store_ask *ask, enum code rc,
			     struct str answer, const struct err *err)
{
	struct forwarded *f = container_of(ask, struct forwarded, ask);
	struct source_result *res = &f->result;
	struct err malformed;
	uint64_t seen = 0;

	if (rc == OK && question_answer_decode(answer, res, &seen, &malformed)) {
		rc = E_INTERNAL;
		err = &malformed;
	}
	if (rc) {
		*res = (struct source_result){ .code = rc };
		str_copy(res->text, sizeof(res->text), str_of(err->text));
	}
	f->await.rev = seen;
	f->await.done = forward_visible;
	store_await(f->d->store, &f->await);
}

static bool forward_reconcile(struct daemon *d, struct api_reconcile *rec)
{
	struct forwarded *f = NEW(struct forwarded);

	f->d = d;
	f->rec = rec;
	question_encode(&f->body, &(struct source_question){
					  .tenant = rec->tenant, .name = rec->name,
					  .wait = rec->wait, .plans = rec->plans,
					  .commit = rec->commit });
	f->ask = (struct store_ask){ .body = buf_view(&f->body),
				     .timeout_ms = ASK_MS,
				     .done = forward_answered };
	if (store_ask(d->store, &f->ask))
		return true;
	buf_fini(&f->body);
	free(f);
	return false;
}

struct served {
	struct source_wait wait;
	struct daemon *d;
	struct rpc_token token;
};

/* What is asked for, of the reconciler of this node. */
static bool trigger(struct daemon *d, const struct source_question *q,
		    struct source_wait *wait)
{
	if (q->plans)
		return source_plan(d->reconciler, q->tenant, q->name, q->commit,
				   wait);
	return source_trigger(d->reconciler, q->tenant, q->name, wait);
}

static void answer_result(struct daemon *d, struct rpc_token token,
			  const struct source_result *res)
{
	struct source_result told = *res;
	struct store_status status;
	AUTO_BUF out = BUF_NONE;

	/* A node of before may ask, and knows no such list. */
	store_status(d->store, &status);
	if (status.version < VERSION_GATE)
		told.n_invalid = 0;
	question_answer_encode(&out, &told, store_rev(d->store));
	store_answer(d->store, token, OK, buf_view(&out), NULL);
}

static void served(struct source_wait *wait, const struct source_result *res)
{
	struct served *v = container_of(wait, struct served, wait);

	answer_result(v->d, v->token, res);
	free(v);
}

static enum code serve_reconcile(struct daemon *d, struct rpc_token token,
				 const struct source_question *q, struct err *err)
{
	struct source_result none = { 0 };
	struct served *v = NULL;

	if (!d->reconciler || !store_leads(d->store))
		return err_set(err, E_NOT_LEADER, "this node does not lead");
	if (q->wait || q->plans) {
		v = NEW(struct served);
		*v = (struct served){ { .home = store_core_loop(d->store),
					.done = served }, d, token };
	}
	if (!trigger(d, q, v ? &v->wait : NULL)) {
		free(v);
		return err_set(err, E_BUSY, "the node is stopping or too busy");
	}
	if (!v)
		answer_result(d, token, &none);
	return OK;
}

void daemon_asked(void *data, struct rpc_token token, struct str body)
{
	struct daemon *d = data;
	struct source_question q;
	struct err err;
	enum code rc = question_decode(body, &q, &err);

	if (rc == OK)
		rc = serve_reconcile(d, token, &q, &err);
	if (rc)
		store_answer(d->store, token, rc, STR_NONE, &err);
}

bool daemon_reconcile(void *data, struct api_reconcile *rec)
{
	struct daemon *d = data;
	const struct source_question q = { .tenant = rec->tenant,
					   .name = rec->name,
					   .plans = rec->plans,
					   .commit = rec->commit };
	struct asking *a;

	if (!store_leads(d->store))
		return forward_reconcile(d, rec);
	if (!rec->wait && !rec->plans) {
		struct err none = { 0 };

		if (!trigger(d, &q, NULL))
			return false;
		rec->done(rec, OK, &none);
		return true;
	}
	a = NEW(struct asking);
	a->rec = rec;
	a->wait.home = store_core_loop(d->store);
	a->wait.done = reconciled;
	if (trigger(d, &q, &a->wait))
		return true;
	free(a);
	return false;
}
