/* Questions of a step to outside systems: see asks.h. */
#include "release/asks.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/secret.h"
#include "hook/sign.h"
#include "model/webhook.h"
#include "state/outbox.h"
#include "state/view.h"

#include "base/banned.h"

#define QUERY_MS 10000u

struct one {
	struct http_ask ask;
	struct asks *asks;
	const struct strategy_query *query;      /* NULL: the webhook */
	struct buf url, body, headers;
	bool is_out;
	uint64_t due_ms;
	enum verdict verdict;
	char reason[200];
};

struct asks {
	struct asks_config config;
	struct buf tenant, release;
	uint64_t bake_ms, every_ms;
	bool has_ended, rests;
	unsigned n_out;
	size_t n;
	struct one all[];
};

static void let_go(struct asks *a)
{
	for (size_t i = 0; i < a->n; i++) {
		http_ask_fini(&a->all[i].ask);
		buf_fini(&a->all[i].url);
		buf_fini(&a->all[i].body);
		buf_fini(&a->all[i].headers);
	}
	buf_fini(&a->tenant);
	buf_fini(&a->release);
	free(a);
}

/* ---- an answer ---- */

static void judge(struct one *o, enum code rc, const struct err *err)
{
	struct str answer = buf_view(&o->ask.answer);

	if (rc) {
		o->verdict = VERDICT_UNKNOWN;
		snprintf(o->reason, sizeof(o->reason), "%.190s", err->text);
	} else if (o->query) {
		o->verdict = verdict_of_query(o->query, o->ask.status, answer,
					      o->reason);
	} else {
		o->verdict = verdict_of_webhook(o->ask.status, answer, o->reason);
	}
}

static void answered(struct http_ask *ask, enum code rc, const struct err *err)
{
	struct one *o = container_of(ask, struct one, ask);
	struct asks *a = o->asks;

	o->is_out = false;
	a->n_out--;
	if (a->has_ended) {
		if (!a->n_out)
			let_go(a);
		return;
	}
	judge(o, rc, err);
	o->due_ms = clock_mono_ms() + a->every_ms;
	a->config.changed(a->config.data);
}

/* ---- a question ---- */

static void not_asked(struct one *o, const char *why, uint64_t now_ms)
{
	o->verdict = VERDICT_UNKNOWN;
	snprintf(o->reason, sizeof(o->reason), "%s", why);
	o->due_ms = now_ms + o->asks->every_ms;
}

static struct verdict_step step_of(const struct asks *a)
{
	return (struct verdict_step){ buf_view(&a->tenant), buf_view(&a->release),
				      a->config.step };
}

static void send_ask(struct one *o, unsigned timeout_ms, uint64_t now_ms)
{
	struct asks *a = o->asks;

	o->ask.home = a->config.loop;
	o->ask.bucket = http_out_bucket(buf_view(&a->tenant));
	o->ask.url = buf_view(&o->url);
	o->ask.is_post = !o->query;
	o->ask.body = buf_view(&o->body);
	o->ask.headers = buf_view(&o->headers);
	o->ask.timeout_ms = timeout_ms;
	o->ask.done = answered;
	o->is_out = http_out_ask(a->config.out, &o->ask);
	a->n_out += o->is_out;
	if (!o->is_out)
		not_asked(o, "the node is stopping", now_ms);
}

static void ask_query(struct one *o, uint64_t now_ms)
{
	struct verdict_step step = step_of(o->asks);

	buf_reset(&o->url);
	verdict_query_url(&o->url, o->query, &step);
	send_ask(o, QUERY_MS, now_ms);
}

/* Its URL, and its key; false: it has none. */
static bool find_webhook(struct one *o, struct kv_txn *txn, uint64_t now_ms,
			 struct hook_key_row *key, unsigned *timeout_ms)
{
	const struct asks *a = o->asks;
	AUTO_ARENA arena = arena_new(4096);
	struct object_view hook;
	struct webhook is;
	struct err err;

	if (view_object(txn, KIND_WEBHOOK, buf_view(&a->tenant),
			a->config.strategy->webhook, &hook, &err)) {
		not_asked(o, "there is no such Webhook", now_ms);
		return false;
	}
	webhook_read(arena, hook.row.spec, &is);
	if (is.suspend) {
		not_asked(o, "the Webhook rests (spec.suspend)", now_ms);
		return false;
	}
	*timeout_ms = (unsigned)is.timeout_ms;
	if (!view_hook_key(txn, hook.row.uid, key)) {
		not_asked(o, "the Webhook has no key", now_ms);
		return false;
	}
	buf_reset(&o->url);
	buf_str(&o->url, is.url);
	return true;
}

static void ask_webhook(struct one *o, struct kv_txn *txn,
			const struct tally *tally, uint64_t now_ms)
{
	struct asks *a = o->asks;
	struct verdict_step step = step_of(a);
	struct hook_key_row key;
	unsigned timeout_ms;
	char id[40];

	if (!find_webhook(o, txn, now_ms, &key, &timeout_ms))
		return;
	snprintf(id, sizeof(id), "verdict-%016llx",
		 (unsigned long long)rand_u64());
	buf_reset(&o->body);
	verdict_question(&o->body, &step, a->config.strategy->n_steps, tally);
	buf_reset(&o->headers);
	buf_z(&o->headers, "Content-Type: application/json\n");
	hook_headers(&o->headers, &key, clock_wall_ms(), str_of(id),
		     buf_view(&o->body));
	wipe(&key, sizeof(key));
	send_ask(o, timeout_ms, now_ms);
}

uint64_t asks_go_on(struct asks *a, struct kv_txn *txn,
		    const struct tally *tally, uint64_t now_ms)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < a->n; i++) {
		struct one *o = &a->all[i];

		if (!o->is_out && o->due_ms <= now_ms) {
			if (!a->config.out)
				not_asked(o, "this node asks nobody", now_ms);
			else if (o->query)
				ask_query(o, now_ms);
			else
				ask_webhook(o, txn, tally, now_ms);
		}
		if (!o->is_out)
			next = MIN(next, o->due_ms);
	}
	return next;
}

uint64_t asks_rest(struct asks *a, bool rests, uint64_t now_ms)
{
	bool is_other = a->rests != rests;
	uint64_t next = UINT64_MAX;

	a->rests = rests;
	a->every_ms = verdict_every_ms(a->bake_ms, rests);
	for (size_t i = 0; i < a->n; i++) {
		struct one *o = &a->all[i];

		if (is_other && rests)
			o->due_ms = now_ms + a->every_ms;
		else if (is_other)
			o->due_ms = MIN(o->due_ms, now_ms + a->every_ms);
		if (!o->is_out)
			next = MIN(next, o->due_ms);
	}
	return next;
}

void asks_tell(const struct asks *a, struct tally *tally)
{
	const struct one *worst = NULL;

	for (size_t i = 0; i < a->n; i++) {
		const struct one *o = &a->all[i];

		if (o->query)
			tally->queries[i] = o->verdict;
		else
			tally->webhook = o->verdict;
		if (o->verdict == VERDICT_FAILED ||
		    (o->verdict == VERDICT_UNKNOWN && !worst))
			worst = o;
	}
	tally->verdict_reason = worst ? str_of(worst->reason) : STR_NONE;
}

/* ---- life ---- */

struct asks *asks_new(const struct asks_config *config)
{
	const struct strategy *s = config->strategy;
	size_t n = s->n_queries + (s->webhook.n > 0);
	struct asks *a;

	if (!n)
		return NULL;
	a = mem_zero(sizeof(*a) + n * sizeof(a->all[0]));
	a->config = *config;
	a->n = n;
	buf_str(&a->tenant, config->tenant);
	buf_str(&a->release, config->release);
	a->bake_ms = s->steps[config->step].bake_ms;
	a->every_ms = verdict_every_ms(a->bake_ms, false);
	for (size_t i = 0; i < n; i++) {
		a->all[i].asks = a;
		a->all[i].query = i < s->n_queries ? &s->queries[i] : NULL;
	}
	return a;
}

void asks_end(struct asks **at)
{
	struct asks *a = TAKE(*at);

	if (!a)
		return;
	a->has_ended = true;
	if (!a->n_out)
		let_go(a);
}
