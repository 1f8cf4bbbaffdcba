/*
 * GET /api/v1/watch: what is asked for, and in which form it is told; and texts
 * that the forms share.  docs/watch.md is the protocol.
 */
#include "api/own.h"

#include "base/failpoint.h"
#include "base/mem.h"

#include "base/banned.h"

#define WAIT_MIN_MS 100
#define WAIT_MAX_MS 60000

/* ---- what is asked for ---- */

static bool parse_places(struct request *r, struct watch_spec *spec)
{
	struct err err;
	enum code rc = OK;

	for (size_t i = 0; i < r->in->n_query && rc == OK; i++) {
		const struct url_param *q = &r->in->query[i];

		if (str_is(q->name, "key"))
			rc = watch_spec_key(spec, r->arena, q->value, &err);
		else if (str_is(q->name, "prefix"))
			rc = watch_spec_prefix(spec, r->arena, q->value, &err);
	}
	if (rc)
		api_error(r, &err);
	return rc == OK;
}

/* The revision to start after: Last-Event-ID, since=, else from now on. */
static bool parse_since(struct request *r, struct watch_spec *spec)
{
	const struct str *since = request_query(r, "since");
	const struct str *last = request_header(r, "last-event-id");

	if (last)
		since = last;
	if (!since || failpoint_hit(FP_WATCH_SINCE, NULL))
		return true;
	spec->has_since = str_u64(*since, &spec->since);
	if (!spec->has_since)
		api_fail(r, E_INVALID, "since=\"%.*s\" is no revision",
			 STR_ARG(str_first(*since, 40)));
	return spec->has_since;
}

/* "30s", "500ms"; 0: it is not given. */
static bool parse_wait(struct request *r, unsigned *out)
{
	const struct str *text = request_query(r, "wait");
	struct str digits;
	uint64_t n, scale = 1000;

	*out = 0;
	if (!text)
		return true;
	digits = *text;
	if (str_ends(digits, STR("ms")))
		scale = 1;
	if (str_ends(digits, STR("s")))
		digits = str_first(digits, digits.n - (scale == 1 ? 2 : 1));
	if (str_u64(digits, &n) && n <= WAIT_MAX_MS &&
	    n * scale >= WAIT_MIN_MS && n * scale <= WAIT_MAX_MS) {
		*out = (unsigned)(n * scale);
		return true;
	}
	api_fail(r, E_INVALID, "wait=%.*s is no time from %d ms to %d s, as 30s or "
		 "500ms", STR_ARG(str_first(*text, 40)), WAIT_MIN_MS,
		 WAIT_MAX_MS / 1000);
	return false;
}

/* It counts for the tenants of the keys that it names; of a prefix nobody knows yet
 * whose it may see. */
static bool may_follow(struct request *r, const struct watch_spec *spec)
{
	for (size_t i = 0; i < spec->n_keys; i++)
		if (!api_may(r, VERB_FETCH, KIND_CONFIG, spec->keys[i].tenant,
			     spec->keys[i].name))
			return false;
	return true;
}

void get_watch(struct request *r)
{
	struct watch_spec spec = { 0 };
	unsigned wait_ms;

	if (!parse_places(r, &spec) || !api_client(r, &spec.client) ||
	    !parse_since(r, &spec) || !parse_wait(r, &wait_ms) ||
	    !may_follow(r, &spec))
		return;
	watch_spec_caller(&spec, r);
	if (wait_ms)
		watch_poll(r, &spec, wait_ms);
	else
		watch_sse(r, &spec);
}

/* ---- texts ---- */

#define TEXTS 4u                     /* groups of labels that take turns */

struct watch_texts {
	struct {
		struct feed_change c;    /* its strings are gone */
		struct buf json;
	} of[TEXTS];
	unsigned next;
};

struct watch_texts *watch_texts_new(void)
{
	return NEW(struct watch_texts);
}

void watch_texts_free(struct watch_texts **tp)
{
	struct watch_texts *t = *tp;

	if (!t)
		return;
	for (size_t i = 0; i < TEXTS; i++)
		buf_fini(&t->of[i].json);
	free(t);
	*tp = NULL;
}

bool watch_is_same(const struct feed_change *a, const struct feed_change *b)
{
	return a->memo == b->memo && a->end == b->end &&
	       a->has_version == b->has_version && a->version == b->version &&
	       a->release == b->release &&
	       sha256_eq(&a->sha, &b->sha);
}

struct str watch_json(struct api_loop *at, const struct feed_change *c)
{
	struct watch_texts *t = at->texts;
	unsigned i = 0;

	while (i < TEXTS && !watch_is_same(&t->of[i].c, c))
		i++;
	if (i == TEXTS) {
		i = t->next++ % TEXTS;
		t->of[i].c = *c;
		buf_reset(&t->of[i].json);
		feed_json(&t->of[i].json, c);
	}
	return buf_view(&t->of[i].json);
}

void watch_end_json(struct buf *out, enum watch_reason reason,
		    const struct err *err)
{
	buf_printf(out, "{\"reason\":\"%s\",\"status\":%d,\"code\":\"%s\","
		   "\"detail\":", watch_reason_name(reason),
		   code_http(err->code), code_slug(err->code));
	buf_json(out, str_of(err->text));
	if (err->hint[0]) {
		buf_z(out, ",\"hint\":");
		buf_json(out, str_of(err->hint));
	}
	buf_c(out, '}');
}
