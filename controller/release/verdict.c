/* What outside systems say of a step: see verdict.h. */
#include "release/verdict.h"

#include <stdio.h>

#include "doc/format.h"
#include "doc/number.h"
#include "http/wire/url.h"

#include "base/banned.h"

#define EVERY_MS 1000u
#define REST_MS 60000u

uint64_t verdict_every_ms(uint64_t bake_ms, bool rests)
{
	return MAX(bake_ms / 10, (uint64_t)(rests ? REST_MS : EVERY_MS));
}

/* ---- Prometheus ---- */

/* $release and $step, where no letter, digit or underscore follows. */
static bool is_name(struct str at, struct str name)
{
	char next = at.n > name.n ? at.p[name.n] : ' ';

	return str_starts(at, name) &&
	       !((next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z') ||
		 (next >= '0' && next <= '9') || next == '_');
}

static void replace(struct buf *out, struct str query,
		    const struct verdict_step *step)
{
	while (query.n) {
		if (is_name(query, STR("$release"))) {
			buf_str(out, step->release);
			query = str_from(query, 8);
		} else if (is_name(query, STR("$step"))) {
			buf_u64(out, step->step + 1);
			query = str_from(query, 5);
		} else {
			buf_c(out, query.p[0]);
			query = str_from(query, 1);
		}
	}
}

void verdict_query_url(struct buf *out, const struct strategy_query *q,
		       const struct verdict_step *step)
{
	AUTO_BUF query = BUF_NONE;
	struct str url = q->url;

	while (str_ends(url, STR("/")))
		url = str_first(url, url.n - 1);
	replace(&query, q->query, step);
	buf_str(out, url);
	buf_z(out, "/api/v1/query?query=");
	url_encode(out, buf_view(&query));
}

static enum verdict unknown(char reason[200], const char *why)
{
	snprintf(reason, 200, "%s", why);
	return VERDICT_UNKNOWN;
}

/* [time, "number"] */
static bool sample(const struct value *v, struct str *out)
{
	if (!v || v->type != VALUE_ARRAY || v->a.n != 2 ||
	    v->a.items[1]->type != VALUE_STRING)
		return false;
	*out = v->a.items[1]->s;
	return true;
}

static bool result_of(const struct value *v, struct str *out)
{
	const struct value *data = value_getz(v, "data");
	const struct value *result = data ? value_getz(data, "result") : NULL;
	struct str type = data ? value_text_at(data, "resultType") : STR_NONE;

	if (!result || !str_is(value_text_at(v, "status"), "success"))
		return false;
	if (str_is(type, "scalar"))
		return sample(result, out);
	if (!str_is(type, "vector") || result->type != VALUE_ARRAY ||
	    result->a.n != 1 || result->a.items[0]->type != VALUE_OBJECT)
		return false;
	return sample(value_getz(result->a.items[0], "value"), out);
}

/* As Go spells them. */
static struct str spelled(struct str number)
{
	if (str_is(number, "+Inf"))
		return STR("inf");
	if (str_is(number, "-Inf"))
		return STR("-inf");
	return number;
}

enum verdict verdict_of_query(const struct strategy_query *q, unsigned status,
			      struct str answer, char reason[200])
{
	bool is_below = q->below.n > 0;
	struct str limit = is_below ? q->below : q->above;
	AUTO_ARENA arena = arena_new(4096);
	struct str number;
	struct value *v;
	struct err err;
	int cmp;

	reason[0] = '\0';
	if (status != 200) {
		snprintf(reason, 200, "Prometheus answered %u", status);
		return VERDICT_UNKNOWN;
	}
	if (doc_parse_json(answer, arena, NULL, &v, &err) ||
	    v->type != VALUE_OBJECT)
		return unknown(reason, "Prometheus answered no JSON object");
	if (!result_of(v, &number))
		return unknown(reason, "the query was not answered by one number");
	/* A quotient of two that are 0: there was nothing to measure yet. */
	if (str_is(number, "NaN"))
		return unknown(reason, "the query was answered by NaN");
	if (!number_is_valid(spelled(number)) || str_is(number, "nan"))
		return unknown(reason, "the query was answered by no number");
	cmp = number_cmp(spelled(number), limit);
	if (is_below ? cmp < 0 : cmp > 0)
		return VERDICT_MET;
	snprintf(reason, 200, "%.*s is not %s %.*s",
		 (int)MIN(number.n, (size_t)40), number.p,
		 is_below ? "below" : "above", (int)MIN(limit.n, (size_t)40),
		 limit.p);
	return VERDICT_FAILED;
}

/* ---- a webhook ---- */

void verdict_question(struct buf *out, const struct verdict_step *step,
		      size_t steps, const struct tally *t)
{
	buf_z(out, "{\"type\":\"release.verdict\",\"tenant\":");
	buf_json(out, step->tenant);
	buf_z(out, ",\"release\":");
	buf_json(out, step->release);
	buf_printf(out, ",\"step\":%zu,\"steps\":%zu,\"instances\":{"
		   "\"expected\":%llu,\"known\":%llu,\"deferred\":%llu,"
		   "\"sent\":%llu,\"received\":%llu,\"applied\":%llu,"
		   "\"rejected\":%llu,\"lost\":%llu}}",
		   step->step + 1, steps, (unsigned long long)t->expected,
		   (unsigned long long)t->known,
		   (unsigned long long)t->deferred,
		   (unsigned long long)t->sent,
		   (unsigned long long)t->received,
		   (unsigned long long)t->applied,
		   (unsigned long long)t->rejected,
		   (unsigned long long)t->lost);
}

enum verdict verdict_of_webhook(unsigned status, struct str answer,
				char reason[200])
{
	AUTO_ARENA arena = arena_new(4096);
	struct str verdict, why;
	struct value *v;
	struct err err;

	reason[0] = '\0';
	if (status < 200 || status > 299) {
		snprintf(reason, 200, "the webhook answered %u", status);
		return VERDICT_UNKNOWN;
	}
	if (doc_parse_json(answer, arena, NULL, &v, &err) ||
	    v->type != VALUE_OBJECT)
		return unknown(reason, "the webhook answered no JSON object");
	verdict = value_text_at(v, "verdict");
	why = value_text_at(v, "reason");
	if (str_is(verdict, "ok"))
		return VERDICT_MET;
	snprintf(reason, 200, "%.*s", (int)MIN(why.n, (size_t)190), why.p ?: "");
	if (str_is(verdict, "fail"))
		return VERDICT_FAILED;
	if (!str_is(verdict, "wait"))
		return unknown(reason, "the webhook's verdict is none of ok, fail, "
				       "wait");
	return VERDICT_UNKNOWN;
}
