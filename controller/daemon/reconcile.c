/*
 * A reconcile that was asked for over the api: here where this node leads, else
 * at the leader.
 */
#include "base/mem.h"
#include "daemon/own.h"
#include "wire/wire.h"

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
	rec->done(rec, err.code, &err);
}

static void reconciled(struct source_wait *wait, const struct source_result *res)
{
	struct asking *a = container_of(wait, struct asking, wait);
	struct api_reconcile *rec = a->rec;

	free(a);
	finish_reconcile(rec, res);
}

/* ---- a reconcile at the leader ---- */

#define ASK_RECONCILE 1
#define ASK_MS 120000

struct forwarded {
	struct store_ask ask;
	struct store_await await;        /* until what it made live is so here */
	struct daemon *d;
	struct api_reconcile *rec;
	struct source_result result;
	struct buf body;
};

/* 'seen' is how far the leader was when it was told: what it says of its source,
 * say why it stalls, is visible there. */
static void encode_result(struct buf *out, const struct source_result *r,
			  uint64_t seen)
{
	wr_var(out, (uint64_t)r->code);
	wr_str(out, str_of(r->text));
	wr_str(out, str_of(r->hint));
	wr_str(out, str_of(r->revision));
	wr_var(out, r->rev);
	wr_var(out, r->operations);
	wr_var(out, seen);
}

static bool decode_result(struct str in, struct source_result *r,
			  uint64_t *seen)
{
	struct rd rd = rd_of(in);

	*r = (struct source_result){ .code = code_from_number(rd_var(&rd)) };
	str_copy(r->text, sizeof(r->text), rd_str(&rd));
	str_copy(r->hint, sizeof(r->hint), rd_str(&rd));
	str_copy(r->revision, sizeof(r->revision), rd_str(&rd));
	r->rev = rd_var(&rd);
	r->operations = rd_var(&rd);
	*seen = rd_var(&rd);
	return rd_done(&rd);
}

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

	uint64_t seen = 0;

	if (rc == OK && !decode_result(answer, res, &seen)) {
		*res = (struct source_result){ .code = E_INTERNAL };
		str_copy(res->text, sizeof(res->text),
			 STR("the leader's answer is malformed"));
	} else if (rc) {
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
	wr_u8(&f->body, ASK_RECONCILE);
	wr_str(&f->body, rec->tenant);
	wr_str(&f->body, rec->name);
	wr_u8(&f->body, rec->wait);
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

static void answer_result(struct daemon *d, struct rpc_token token,
			  const struct source_result *res)
{
	AUTO_BUF out = BUF_NONE;

	encode_result(&out, res, store_rev(d->store));
	store_answer(d->store, token, OK, buf_view(&out), NULL);
}

static void served(struct source_wait *wait, const struct source_result *res)
{
	struct served *v = container_of(wait, struct served, wait);

	answer_result(v->d, v->token, res);
	free(v);
}

static enum code serve_reconcile(struct daemon *d, struct rpc_token token,
				 struct rd *rd, struct err *err)
{
	struct source_result none = { 0 };
	struct str tenant = rd_str(rd), name = rd_str(rd);
	bool wait = rd_u8(rd);
	struct served *v = NULL;

	if (!rd_done(rd))
		return err_set(err, E_INVALID, "a malformed question");
	if (!d->reconciler || !store_leads(d->store))
		return err_set(err, E_NOT_LEADER, "this node does not lead");
	if (wait) {
		v = NEW(struct served);
		*v = (struct served){ { .home = store_core_loop(d->store),
					.done = served }, d, token };
	}
	if (!source_trigger(d->reconciler, tenant, name, v ? &v->wait : NULL)) {
		free(v);
		return err_set(err, E_BUSY, "the node is stopping or too busy");
	}
	if (!wait)
		answer_result(d, token, &none);
	return OK;
}

void daemon_asked(void *data, struct rpc_token token, struct str body)
{
	struct daemon *d = data;
	struct rd rd = rd_of(body);
	uint8_t what = rd_u8(&rd);
	struct err err;
	enum code rc = what == ASK_RECONCILE ?
			       serve_reconcile(d, token, &rd, &err) :
			       err_set(&err, E_UNSUPPORTED, "question %u", what);

	if (rc)
		store_answer(d->store, token, rc, STR_NONE, &err);
}

bool daemon_reconcile(void *data, struct api_reconcile *rec)
{
	struct daemon *d = data;
	struct asking *a;

	if (!store_leads(d->store))
		return forward_reconcile(d, rec);
	if (!rec->wait) {
		struct err none = { 0 };

		if (!source_trigger(d->reconciler, rec->tenant, rec->name, NULL))
			return false;
		rec->done(rec, OK, &none);
		return true;
	}
	a = NEW(struct asking);
	a->rec = rec;
	a->wait.home = store_core_loop(d->store);
	a->wait.done = reconciled;
	if (source_trigger(d->reconciler, rec->tenant, rec->name, &a->wait))
		return true;
	free(a);
	return false;
}
