/*
 * OFREP: OpenFeature's remote evaluation protocol, so that every OpenFeature SDK
 * reads flags out of a configuration.  The base URL names the configuration:
 *
 *	/api/v1/ofrep/{tenant}/{app}/{env}/{name}
 *
 * What a flag is says ofrep_flag.h.  The evaluation context's scalars are labels,
 * beside those of the query and of headers (the context wins), and the release
 * rules pick the version by them; the rest of an evaluation is a lookup.  Answers
 * have the protocol's forms: {key, errorCode, errorDetails} for errors of one
 * evaluation, {errorCode, errorDetails} for those of all.  Who may not read is
 * told so before, as everywhere (401, 403).
 */
#include "api/own.h"


#include "base/banned.h"

/* Of a configuration that is read as flags: a parse blocks the loop. */
#define CONTENT_MAX (1024 * 1024)
#define KEY_MAX 1024
/* Of the form of the answers: part of the ETag. */
#define ANSWERS 1

/* One evaluation, of one flag or of all. */
struct asked {
	struct request *r;
	struct address at;
	bool is_bulk;
	struct str key;                  /* not of a bulk one */
	struct config_view config;
	const char *reason;              /* why the client has that version */
	const struct flag_set *set;
};

/* ---- errors ---- */

static void fail(const struct asked *q, int status, const char *code,
		 const char *text, const char *hint)
{
	AUTO_BUF body = BUF_NONE, details = BUF_NONE;

	buf_printf(&details, "%s%s%s%s", text, hint[0] ? " (" : "", hint,
		   hint[0] ? ")" : "");
	buf_c(&body, '{');
	if (!q->is_bulk) {
		buf_z(&body, "\"key\":");
		buf_json(&body, q->key);
		buf_c(&body, ',');
	}
	buf_printf(&body, "\"errorCode\":\"%s\",\"errorDetails\":", code);
	buf_json(&body, buf_view(&details));
	buf_c(&body, '}');
	answer(q->r, status, "application/json", buf_view(&body));
}

static void fail_with(const struct asked *q, const struct err *err)
{
	int status = code_http(err->code);

	if (err->code == E_NOT_FOUND)
		fail(q, 404, q->is_bulk ? "GENERAL" : "FLAG_NOT_FOUND", err->text,
		     err->hint);
	else if (err->code == E_PARSE || err->code == E_INVALID ||
		 err->code == E_TOO_LARGE)
		fail(q, 400, "PARSE_ERROR", err->text, err->hint);
	else
		fail(q, status, "GENERAL", err->text, err->hint);
}

/* ---- what is asked ---- */

/* False: answered. */
static bool parse_context(const struct asked *q, const struct value **out)
{
	const struct value *context, *key;
	struct value *body;
	struct err err;
	enum code rc;

	*out = NULL;
	if (q->r->in->body.n == 0)
		return true;
	rc = doc_parse_json(q->r->in->body, q->r->arena, NULL, &body, &err);
	if (rc == OK && body->type != VALUE_OBJECT)
		rc = err_set(&err, E_PARSE, "it is no object");
	if (rc) {
		err_wrap(&err, "request body");
		fail_with(q, &err);
		return false;
	}
	context = value_getz(body, "context");
	key = value_getz(context, "targetingKey");
	if (context && context->type != VALUE_OBJECT) {
		fail(q, 400, "INVALID_CONTEXT", "context must be an object", "");
		return false;
	}
	if (key && key->type != VALUE_STRING) {
		fail(q, 400, "INVALID_CONTEXT", "targetingKey must be a string", "");
		return false;
	}
	*out = context;
	return true;
}

/* By what the version is picked; false: answered.  Who the context is about counts
 * before who asks. */
static bool take_client(const struct asked *q, struct client *out)
{
	const struct value *context;
	unsigned ignored = 0;
	struct err err;
	struct str key;

	if (!parse_context(q, &context) || !api_client(q->r, out))
		return false;
	key = value_text(value_getz(context, "targetingKey"));
	if (key.n && api_may_be(caller_of(q->r)->at->api,
				&caller_of(q->r)->subject, key, &err)) {
		api_error(q->r, &err);
		return false;
	}
	if (key.n)
		out->id = key;
	flag_context_labels(q->r->arena, context, &out->labels, &ignored);
	if (ignored)
		answer_header_u64(q->r, "X-Conflux-Context-Ignored", ignored);
	return true;
}

/* ---- the configuration ---- */

static enum code parse_flags(struct asked *q, struct kv_txn *txn,
			     struct arena *arena, struct flag_set *out,
			     struct err *err)
{
	const struct config_view *v = &q->config;
	enum format format = FORMAT_TEXT;
	AUTO_BUF content = BUF_NONE;
	struct value *root;
	enum code rc;

	if (!format_parse_name(v->live.format, &format) ||
	    !format_is_structured(format)) {
		err_set(err, E_PARSE, "it is plain text");
		return err_hint(err, "flags are read from json, yaml and toml");
	}
	if (v->rule.size > CONTENT_MAX)
		return err_set(err, E_TOO_LARGE, "flags are read from at most %d "
			       "bytes, and it has %llu", CONTENT_MAX,
			       (unsigned long long)v->rule.size);
	rc = view_content(txn, q->at.tenant, &v->rule.sha, v->rule.size,
			  &content, err);
	if (rc == OK)
		rc = doc_parse(format, buf_view(&content), arena, NULL, &root,
			       NULL, err);
	return rc ? rc : flag_set_of(root, out, err);
}

static enum code take_flags(struct asked *q, struct kv_txn *txn, struct err *err)
{
	struct ofrep_cache *cache = caller_of(q->r)->at->flags;
	const struct config_view *v = &q->config;
	AUTO_BUF key = BUF_NONE;
	AUTO_ARENA arena = NULL;
	struct flag_set set;
	enum code rc;

	buf_str(&key, q->at.tenant);
	buf_c(&key, '\0');
	buf_str(&key, v->live.format);
	buf_c(&key, '\0');
	buf_add(&key, v->rule.sha.b, sizeof(v->rule.sha.b));
	q->set = ofrep_cache_get(cache, buf_view(&key));
	if (q->set)
		return OK;
	arena = arena_new(0);
	rc = parse_flags(q, txn, arena, &set, err);
	if (rc)
		return err_wrap(err, "configuration %.*s", STR_ARG(q->at.name));
	q->set = ofrep_cache_put(cache, buf_view(&key), &arena, &set);
	return OK;
}

/* Picks the version and reads its flags; false: answered. */
/* Where a share decided it is that, whatever else the rule asks for. */
static const char *reason_of(const struct rule *rule)
{
	if (rule->has_percent)
		return "SPLIT";
	return rule_is_default(rule) ? "STATIC" : "TARGETING_MATCH";
}

static bool find_flags(struct asked *q)
{
	struct client client;
	struct rules rules;
	struct kv_txn *txn;
	struct err err;
	enum code rc;

	if (!api_may(q->r, VERB_FETCH, KIND_CONFIG, q->at.tenant, q->at.name) ||
	    !take_client(q, &client) || !api_view(q->r, &txn))
		return false;
	rc = view_config(txn, &q->at, &client, &q->config, &err);
	if (rc == OK) {
		q->reason = "STATIC";
		if (rules_decode(q->r->arena, q->config.live.rules, &rules) &&
		    q->config.position < rules.n)
			q->reason = reason_of(&rules.r[q->config.position]);
		rc = take_flags(q, txn, &err);
	}
	if (rc == OK)
		return true;
	fail_with(q, &err);
	return false;
}

static void asked_init(struct asked *q, struct request *r)
{
	*q = (struct asked){
		.r = r, .at = { r->in->args[0], r->in->args[1], r->in->args[2], r->in->args[3] },
	};
}

static void add_headers(const struct asked *q)
{
	answer_header_u64(q->r, "X-Conflux-Version", q->config.rule.version);
	answer_header_u64(q->r, "X-Conflux-Revision", q->config.live.rev);
	answer_header(q->r, "Cache-Control", STR("no-cache"));
}

/* ---- one ---- */

void post_ofrep_flag(struct request *r)
{
	const struct value *flag;
	AUTO_BUF body = BUF_NONE;
	struct flag_result res;
	struct asked q;

	asked_init(&q, r);
	q.key = str_first(r->in->args[4], KEY_MAX);
	if (!find_flags(&q))
		return;
	flag = r->in->args[4].n > KEY_MAX ? NULL : flag_find(q.set, q.key);
	if (!flag) {
		fail(&q, 404, "FLAG_NOT_FOUND", "the configuration has no such "
		     "flag", "");
		return;
	}
	flag_evaluate(flag, q.reason, &res);
	flag_json(&body, q.key, &res, q.set, q.config.rule.version);
	add_headers(&q);
	answer(r, res.error ? 400 : 200, "application/json", buf_view(&body));
}

/* ---- all ---- */

/* The answer depends on these and on nothing else. */
static struct str etag_of(const struct asked *q)
{
	char sha[65];

	sha256_hex(sha, &q->config.rule.sha);
	return arena_printf(q->r->arena, "\"%d-%s-%u-%s\"", ANSWERS,
			    q->reason, q->config.rule.version, sha);
}

void post_ofrep_flags(struct request *r)
{
	AUTO_BUF body = BUF_NONE;
	struct asked q;
	struct str etag;

	asked_init(&q, r);
	q.is_bulk = true;
	if (!find_flags(&q))
		return;
	etag = etag_of(&q);
	answer_header(r, "ETag", etag);
	add_headers(&q);
	if (api_not_modified(r, etag)) {
		answer(r, 304, NULL, STR_NONE);
		return;
	}
	flag_set_json(&body, q.set, q.reason, q.config.rule.version);
	answer(r, 200, "application/json", buf_view(&body));
}

/* ---- what there is ---- */

void get_ofrep_configuration(struct request *r)
{
	static const char text[] =
		"{\"name\":\"conflux\",\"capabilities\":{\"cacheInvalidation\":"
		"{\"polling\":{\"enabled\":true}},\"flagEvaluation\":"
		"{\"supportedTypes\":[\"int\",\"float\",\"string\",\"boolean\","
		"\"object\"]}}}";
	static const struct str etag = { "\"1\"", 3 };

	if (!api_may(r, VERB_FETCH, KIND_CONFIG, r->in->args[0], r->in->args[3]))
		return;
	answer_header(r, "ETag", etag);
	if (api_not_modified(r, etag))
		answer(r, 304, NULL, STR_NONE);
	else
		answer(r, 200, "application/json", str_of(text));
}
