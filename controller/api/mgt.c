/*
 * /api/v1/mgt/configs: configurations by the shorter routes of a
 * configuration centre.
 */
#include "api/own.h"

#include "base/clock.h"

#include "base/banned.h"

bool config_by_id(struct request *r, enum verb verb, struct object_view *o)
{
	struct kv_txn *txn;
	struct uuid uid;
	struct err err;
	enum code rc;

	if (!uuid_parse(r->in->args[0], &uid)) {
		api_fail(r, E_INVALID, "\"%.*s\" is no id (a UUID in lower case)",
			 STR_ARG(r->in->args[0]));
		return false;
	}
	if (!api_view(r, &txn))
		return false;
	rc = view_by_uid(txn, uid, o, &err);
	/* He is not even told the name of what another tenant has. */
	if (rc == OK && !subject_sees(&caller_of(r)->subject, o->tenant))
		rc = err_set(&err, E_NOT_FOUND, "no object has the uid %.*s",
			     STR_ARG(r->in->args[0]));
	if (rc) {
		api_error(r, &err);
		return false;
	}
	if (o->kind == KIND_CONFIG)
		return api_may(r, verb, KIND_CONFIG, o->tenant, o->name);
	api_fail(r, E_NOT_FOUND, "the object is no configuration");
	return false;
}

static void answer_config(struct request *r, int status, struct uuid uid,
			  uint32_t version)
{
	AUTO_BUF body = BUF_NONE;
	struct object_view o;
	struct kv_txn *txn;
	struct err err;
	char text[37];

	if (!api_view(r, &txn))
		return;
	if (view_by_uid(txn, uid, &o, &err)) {
		api_error(r, &err);
		return;
	}
	uuid_text(text, uid);
	buf_reserve(&body, 2000);
	buf_z(&body, "{\"id\":\"");
	buf_z(&body, text);
	buf_z(&body, "\",\"revision\":");
	buf_u64(&body, o.rev);
	if (version) {
		buf_z(&body, ",\"version_id\":");
		buf_u64(&body, version);
	}
	buf_z(&body, ",\"object\":");
	view_json(&body, &o);
	buf_c(&body, '}');
	answer(r, status, "application/json", buf_view(&body));
}

void get_config(struct request *r)
{
	struct object_view o;

	if (config_by_id(r, VERB_GET, &o))
		answer_config(r, 200, o.row.uid, 0);
}

/* ?address=tenant/application/environment/name */
void get_config_at(struct request *r)
{
	const struct str *text = request_query(r, "address");
	struct address at;
	struct object_view o;
	struct kv_txn *txn;
	struct err err;

	if (!text) {
		api_fail(r, E_INVALID, "address=tenant/application/environment/"
			 "name is missing");
		return;
	}
	if (address_parse(*text, &at, &err)) {
		api_error(r, &err);
		return;
	}
	if (!api_may(r, VERB_GET, KIND_CONFIG, at.tenant, at.name) ||
	    !api_view(r, &txn))
		return;
	if (view_at(txn, &at, &o, &err))
		api_error(r, &err);
	else
		answer_config(r, 200, o.row.uid, 0);
}

/* ---- making and changing ---- */

struct answer_as {
	int status;
	size_t op;                       /* whose uid and version */
};

static void answered(struct change *ch, struct request *r,
		     const struct outcome *o)
{
	const struct answer_as *as = ch->data;
	const struct op_result *res = &o->results[as->op];
	uint32_t version = 0;

	for (size_t i = 0; i < o->n_results; i++)
		if (o->results[i].version)
			version = o->results[i].version;
	answer_config(r, as->status, res->uid, version);
}

static struct change *start(struct request *r, int status)
{
	struct change *ch = change_new(r, answered);
	struct answer_as *as = ANEW(ch->arena, struct answer_as);

	as->status = status;
	ch->data = as;
	return ch;
}

void post_config(struct request *r)
{
	static const struct body_member members[] = {
		{ "tenant", VALUE_STRING, true },
		{ "application", VALUE_STRING, true },
		{ "environment", VALUE_STRING, true },
		{ "name", VALUE_STRING, true },
		{ "format", VALUE_STRING, false },
		{ "content", VALUE_STRING, false },
	};
	struct str given[4], format;
	struct value *body, *object, *spec, *content;
	struct address at;
	struct change *ch;
	struct str name;
	struct err err;

	if (!API_BODY_OF(r, members, &body))
		return;
	for (size_t i = 0; i < 4; i++)
		given[i] = value_text_at(body, members[i].name);
	format = value_text_at(body, "format");
	at = (struct address){ given[0], given[1], given[2], given[3] };
	if (address_check(&at, &err)) {
		api_error(r, &err);
		return;
	}
	if (!api_may(r, VERB_CREATE, KIND_CONFIG, at.tenant, at.name))
		return;
	name = address_object_name(r->arena, &at);
	object = value_object(r->arena);
	spec = value_object(r->arena);
	value_setz(r->arena, object, "metadata", value_object(r->arena));
	value_setz(r->arena, object, "spec", spec);
	for (size_t i = 1; i < 4; i++)
		value_set(r->arena, spec, str_of(members[i].name),
			  value_str(r->arena, given[i]));
	if (format.n)
		value_setz(r->arena, spec, "format",
			   value_str(r->arena, format));
	content = value_getz(body, "content");
	if (content)
		value_setz(r->arena, spec, "content", content);
	ch = start(r, 201);
	if (object_ops(ch, kind_by_id(KIND_CONFIG), at.tenant, name, object,
		       REV_NONE, &err)) {
		change_cancel(ch);
		api_error(r, &err);
		return;
	}
	for (size_t i = 0; i < ch->cmd.n_ops; i++)
		if (ch->cmd.ops[i].kind == KIND_CONFIG) {
			((struct answer_as *)ch->data)->op = i;
			break;
		}
	change_submit(ch);
}

struct op *config_op(struct change *ch, enum op_type type,
		     const struct object_view *o, uint64_t expect)
{
	struct op *op = command_op(ch->arena, &ch->cmd, type);

	op->kind = KIND_CONFIG;
	op->tenant = arena_str(ch->arena, o->tenant);
	op->name = arena_str(ch->arena, o->name);
	op->expect = expect;
	return op;
}

bool config_content_is_good(struct request *r, const struct object_view *o,
			    struct str content)
{
	enum format format = FORMAT_TEXT;
	struct err err;

	(void)!format_parse_name(o->live.format, &format);
	if (content_check(format, content, r->arena, NULL, NULL, &err) == OK)
		return true;
	err_wrap(&err, "content (%s)", format_name(format));
	api_error(r, &err);
	return false;
}

#define MESSAGE_MAX 4096

bool change_take_reason(struct request *r, struct change *ch, struct str text)
{
	if (text.n)
		ch->cmd.reason = arena_str(ch->arena, text);
	if (text.n <= MESSAGE_MAX)
		return true;
	change_cancel(ch);
	api_fail(r, E_UNPROCESSABLE, "a message or comment has at most %d bytes",
		 MESSAGE_MAX);
	return false;
}

void config_add_content(struct change *ch, const struct object_view *o,
			struct str content, struct str message, bool release,
			uint64_t expect)
{
	struct op *op;

	content = arena_str(ch->arena, content);
	op = config_op(ch, OP_VERSION_ADD, o, expect);
	op->sha = sha256_of(content);
	op->size = content.n;
	op->release = release;
	op->message = arena_str(ch->arena, message);
	change_blob(ch, arena_str(ch->arena, o->tenant), content, &op->sha);
}

static const struct body_member content_members[] = {
	{ "content", VALUE_STRING, true },
	{ "message", VALUE_STRING, false },
};

/* A version out of a body with content and message. */
static void take_content(struct request *r, enum verb verb, bool release,
			 int status)
{
	struct object_view o;
	struct value *body;
	struct str content;
	struct change *ch;
	uint64_t expect;

	if (!config_by_id(r, verb, &o) || !API_BODY_OF(r, content_members, &body) ||
	    !change_if_match(r, &expect))
		return;
	content = value_text_at(body, "content");
	if (!config_content_is_good(r, &o, content))
		return;
	ch = start(r, status);
	if (!change_take_reason(r, ch, value_text_at(body, "message")))
		return;
	config_add_content(ch, &o, content, value_text_at(body, "message"),
			   release, expect);
	change_submit(ch);
}

void put_config(struct request *r)
{
	take_content(r, VERB_UPDATE, true, 200);
}

static void deleted(struct change *ch, struct request *r,
		    const struct outcome *o)
{
	answer(r, 204, NULL, STR_NONE);
}

void delete_config(struct request *r)
{
	struct object_view o;
	struct change *ch;
	uint64_t expect;

	if (!config_by_id(r, VERB_DELETE, &o) || !change_if_match(r, &expect))
		return;
	ch = change_new(r, deleted);
	config_op(ch, OP_OBJECT_DELETE, &o, expect);
	change_submit(ch);
}

/* ---- versions ---- */

struct paging {
	struct buf out;
	uint64_t left;
	uint32_t last;
	bool has_more;
};

static bool one_version(void *data, const struct version_row *v)
{
	struct paging *p = data;
	char time[RFC3339_MAX];

	if (p->left == 0) {
		p->has_more = true;
		return false;
	}
	clock_rfc3339(time, v->created_ms, false);
	buf_printf(&p->out, "%s{\"version_id\":%u,\"sha256\":\"",
		   p->last ? "," : "", v->version);
	buf_hex(&p->out, v->sha.b, sizeof(v->sha.b));
	buf_printf(&p->out, "\",\"size\":%llu,\"created\":\"%s\","
		   "\"formatting_only\":%s,\"author\":",
		   (unsigned long long)v->size, time,
		   v->formatting_only ? "true" : "false");
	buf_json(&p->out, v->author);
	buf_z(&p->out, ",\"message\":");
	buf_json(&p->out, v->message);
	buf_z(&p->out, ",\"commit\":");
	buf_json(&p->out, v->commit);
	buf_z(&p->out, ",\"path\":");
	buf_json(&p->out, v->path);
	buf_c(&p->out, '}');
	p->last = v->version;
	p->left--;
	return true;
}

void get_versions(struct request *r)
{
	const struct str *limit = request_query(r, "limit");
	const struct str *before = request_query(r, "before");
	struct paging p = { .left = 100 };
	uint64_t from = 0;
	struct object_view o;
	struct kv_txn *txn;

	if (!config_by_id(r, VERB_GET, &o) || !api_view(r, &txn))
		return;
	if ((limit && (!str_u64(*limit, &p.left) || p.left == 0 ||
		       p.left > 1000)) ||
	    (before && (!str_u64(*before, &from) || from > UINT32_MAX))) {
		api_fail(r, E_INVALID, "limit= is 1 to 1000, before= a version");
		return;
	}
	buf_z(&p.out, "{\"versions\":[");
	view_versions(txn, o.tenant, o.row.uid, (uint32_t)from, one_version, &p);
	buf_c(&p.out, ']');
	if (p.has_more)
		buf_printf(&p.out, ",\"next\":\"?before=%u\"", p.last);
	buf_c(&p.out, '}');
	answer(r, 200, "application/json", buf_view(&p.out));
	buf_fini(&p.out);
}

void post_version(struct request *r)
{
	take_content(r, VERB_PUBLISH, false, 201);
}

/* ---- rules ---- */

void put_releases(struct request *r)
{
	static const struct body_member members[] = {
		{ "releases", VALUE_ARRAY, true },
	};
	struct object_view o;
	struct value *body, *list;
	struct change *ch;
	struct rules rules = { 0 };
	uint64_t expect;

	if (!config_by_id(r, VERB_PUBLISH, &o) || !API_BODY_OF(r, members, &body) ||
	    !change_if_match(r, &expect))
		return;
	list = value_getz(body, "releases");
	ch = start(r, 200);
	if (!api_rules(r, ch->arena, list, o.row.uid, &rules)) {
		change_cancel(ch);
		return;
	}
	config_op(ch, OP_RULES_SET, &o, expect)->rules = rules;
	change_submit(ch);
}

bool config_release(struct request *r, struct change *ch,
		    const struct object_view *o, uint64_t version,
		    uint64_t expect)
{
	struct version_row row;
	struct kv_txn *txn;
	struct rules rules;
	struct rule *rule;
	struct err err;
	int at;

	if (!api_view(r, &txn))
		return false;
	if (view_version(txn, o->tenant, o->row.uid, (uint32_t)version, &row,
			 &err)) {
		err.code = E_UNPROCESSABLE;
		api_error(r, &err);
		return false;
	}
	if (!rules_decode(ch->arena, arena_str(ch->arena, o->live.rules),
			  &rules)) {
		api_fail(r, E_CORRUPT, "the rules are malformed");
		return false;
	}
	at = rules_default(&rules);
	rule = at >= 0 ? &rules.r[at] : rules_add(ch->arena, &rules);
	rule->version = (uint32_t)version;
	config_op(ch, OP_RULES_SET, o, expect)->rules = rules;
	return true;
}

static bool publish_ops(struct request *r, struct change *ch,
			const struct object_view *o, const struct value *body,
			uint64_t expect)
{
	const struct value *version = value_getz(body, "version_id");
	const struct value *releases = value_getz(body, "releases");
	struct rules rules = { 0 };
	const struct value *given = value_getz(body, "content");
	struct str content = value_text(given);
	struct str message = value_text_at(body, "message");
	uint64_t n = 0;

	if (!given == !version ||
	    (version && (!value_to_u64(version, &n) || n == 0))) {
		api_fail(r, E_UNPROCESSABLE, "give either content or version_id, "
			 "a version from 1");
		return false;
	}
	if (!version && !config_content_is_good(r, o, content))
		return false;
	if (releases && !api_rules(r, ch->arena, releases, o->row.uid, &rules))
		return false;
	if (!version)
		config_add_content(ch, o, content, message, !releases, expect);
	else if (!releases)
		return config_release(r, ch, o, n, expect);
	for (size_t i = 0; i < rules.n; i++)
		if (rules.r[i].version == 0)
			rules.r[i].version = (uint32_t)n;
	if (releases)
		config_op(ch, OP_RULES_SET, o, version ? expect : REV_ANY)
			->rules = rules;
	return true;
}

void post_publish(struct request *r)
{
	static const struct body_member members[] = {
		{ "content", VALUE_STRING, false },
		{ "version_id", VALUE_NUMBER, false },
		{ "releases", VALUE_ARRAY, false },
		{ "message", VALUE_STRING, false },
	};
	struct object_view o;
	struct value *body;
	struct change *ch;
	uint64_t expect;

	if (!config_by_id(r, VERB_PUBLISH, &o) || !API_BODY_OF(r, members, &body) ||
	    !change_if_match(r, &expect))
		return;
	ch = start(r, 200);
	if (!change_take_reason(r, ch, value_text_at(body, "message")))
		return;
	if (publish_ops(r, ch, &o, body, expect))
		change_submit(ch);
	else
		change_cancel(ch);
}

void post_rollback(struct request *r)
{
	static const struct body_member members[] = {
		{ "mode", VALUE_STRING, true },
		{ "version_id", VALUE_NUMBER, false },
		{ "comment", VALUE_STRING, false },
	};
	struct object_view o;
	struct value *body, *version;
	struct str mode, comment;
	struct change *ch;
	struct op *op;
	uint64_t expect, n = 0;

	if (!config_by_id(r, VERB_ROLLBACK, &o) || !API_BODY_OF(r, members, &body) ||
	    !change_if_match(r, &expect))
		return;
	mode = value_text_at(body, "mode");
	comment = value_text_at(body, "comment");
	version = value_getz(body, "version_id");
	if (version && (!value_to_u64(version, &n) || n == 0 ||
			n > UINT32_MAX)) {
		api_fail(r, E_UNPROCESSABLE, "version_id must be a version from 1");
		return;
	}
	if (!str_is(mode, "emergency") && !str_is(mode, "stable_only")) {
		api_fail(r, E_UNPROCESSABLE, "mode is emergency or stable_only, not "
			 "\"%.*s\"", STR_ARG(mode));
		return;
	}
	ch = start(r, 200);
	if (!change_take_reason(r, ch, comment))
		return;
	op = config_op(ch, OP_ROLLBACK, &o, expect);
	op->mode = str_is(mode, "emergency") ? ROLLBACK_EMERGENCY :
					       ROLLBACK_STABLE_ONLY;
	op->version = (uint32_t)n;
	op->message = ch->cmd.reason;
	change_submit(ch);
}

void get_resolve(struct request *r)
{
	struct object_view o;
	struct client client;
	struct rules rules;
	AUTO_BUF out = BUF_NONE;

	if (!config_by_id(r, VERB_GET, &o) || !api_client(r, &client))
		return;
	if (!rules_decode(r->arena, o.live.rules, &rules)) {
		api_fail(r, E_CORRUPT, "the rules are malformed");
		return;
	}
	resolve_json(&out, &rules, &client);
	answer(r, 200, "application/json", buf_view(&out));
}
