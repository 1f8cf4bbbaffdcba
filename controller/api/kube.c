/*
 * /apis/gitops.conflux.io/v1alpha1: objects in the Kubernetes manner.  Bodies
 * and errors follow the API conventions of Kubernetes (metadata, Status,
 * resourceVersion as the condition of a write).
 */
#include "api/gate.h"
#include "api/kube.h"

#include "base/clock.h"

#include "base/banned.h"

bool kube_find(struct request *r, bool namespaced, enum verb verb,
	       struct where *out)
{
	struct str plural = r->in->args[namespaced ? 1 : 0];

	out->kind = kind_by_plural(plural);
	out->tenant = namespaced ? r->in->args[0] : STR_NONE;
	out->name = r->in->args[namespaced ? 2 : 1];
	if (!out->kind || (namespaced && !out->kind->namespaced)) {
		api_fail(r, E_NOT_FOUND,
			 "the server could not find the requested resource");
		return false;
	}
	return api_may(r, verb, out->kind->id, out->tenant, out->name);
}

static void answer_object(struct request *r, int status,
			  const struct where *at)
{
	AUTO_BUF body = BUF_NONE;
	struct object_view o;
	struct kv_txn *txn;
	struct err err;

	if (!api_view(r, &txn))
		return;
	if (view_object(txn, at->kind->id, at->tenant, at->name, &o, &err)) {
		api_error(r, &err);
		return;
	}
	view_json(&body, &o);
	answer_header_u64(r, "ETag", o.rev);
	answer(r, status, "application/json", buf_view(&body));
}

/* ---- reads ---- */

static void do_get(struct request *r, bool namespaced)
{
	AUTO_BUF body = BUF_NONE;
	struct object_view o;
	struct kv_txn *txn;
	struct where at;
	struct err err;

	if (!kube_find(r, namespaced, VERB_GET, &at))
		return;
	if (!kube_wants_table(r)) {
		answer_object(r, 200, &at);
		return;
	}
	if (!api_view(r, &txn))
		return;
	if (view_object(txn, at.kind->id, at.tenant, at.name, &o, &err)) {
		api_error(r, &err);
		return;
	}
	kube_table_head(&body, at.kind, o.rev);
	kube_table_row(&body, r->arena, &o, clock_wall_ms(), kube_whole_rows(r));
	buf_z(&body, "]}");
	answer(r, 200, "application/json", buf_view(&body));
}

/* ---- writes ---- */

static void invalid_body(struct request *r, const struct where *at,
			 const struct check *check)
{
	AUTO_BUF out = BUF_NONE;
	AUTO_BUF text = BUF_NONE;

	buf_printf(&text, "%.*s.%s \"", STR_ARG(at->kind->name), API_GROUP);
	buf_str(&text, at->name);
	buf_z(&text, "\" is invalid");
	/* Of several objects kubectl shows the messages alone. */
	for (size_t i = 0; i < check->n_causes; i++)
		buf_printf(&text, "%s%.*s: %.*s", i ? ", " : ": ",
			   STR_ARG(check->causes[i].field),
			   STR_ARG(check->causes[i].message));
	buf_z(&out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
		    "\"status\":\"Failure\",\"message\":");
	buf_json(&out, buf_view(&text));
	buf_printf(&out, ",\"reason\":\"Invalid\",\"details\":{\"group\":\"%s\","
		   "\"kind\":\"%.*s\",\"name\":", API_GROUP,
		   STR_ARG(at->kind->name));
	buf_json(&out, at->name);
	buf_z(&out, ",\"causes\":[");
	for (size_t i = 0; i < check->n_causes; i++) {
		const struct cause *c = &check->causes[i];

		buf_printf(&out, "%s{\"reason\":\"%s\",\"message\":",
			   i ? "," : "", cause_reason_name(c->reason));
		buf_json(&out, c->message);
		buf_z(&out, ",\"field\":");
		buf_json(&out, c->field);
		buf_c(&out, '}');
	}
	buf_z(&out, "]},\"code\":422}");
	answer(r, 422, "application/json", buf_view(&out));
}

/* Of the text of a header: the names are as long as the client likes. */
#define WARNING_MAX 4096u

/* Strict: unknown fields are an error; Warn (default): a Warning header of all;
 * Ignore: silent. */
static bool unknown_fields(struct request *r, const struct where *at,
			   const struct check *check)
{
	const struct str *mode = request_query(r, "fieldValidation");
	AUTO_BUF text = BUF_NONE;

	if (check->n_unknown == 0 || (mode && str_is(*mode, "Ignore")))
		return true;
	for (size_t i = 0; i < check->n_unknown; i++) {
		if (text.n + check->unknown[i].n > WARNING_MAX) {
			buf_printf(&text, "%s%zu unknown fields%s", i ? ", and " : "",
				   check->n_unknown - i, i ? " more" : "");
			break;
		}
		buf_printf(&text, "%sunknown field \"%.*s\"", i ? ", " : "",
			   STR_ARG(check->unknown[i]));
	}
	if (!mode || !str_is(*mode, "Strict")) {
		AUTO_BUF warning = BUF_NONE;

		buf_z(&warning, "299 - ");
		buf_json(&warning, buf_view(&text));
		answer_header(r, "Warning", buf_view(&warning));
		return true;
	}
	api_fail(r, E_INVALID, "%.*s in version \"%s\" cannot be handled as a "
		 "%.*s: strict decoding error: %s", STR_ARG(at->kind->name),
		 API_VERSION, STR_ARG(at->kind->name), text.p);
	return false;
}

static bool same_or_absent(struct request *r, struct str have, struct str want,
			   const char *what)
{
	if (have.n == 0 || str_eq(have, want))
		return true;
	api_fail(r, E_INVALID, "the %s of the object (%.*s) does not match the "
		 "%s of the request (%.*s)", what, STR_ARG(have), what,
		 STR_ARG(want));
	return false;
}

/* Envelope, names and schema; false: answered.  Completes 'at->name'. */
static bool check_body(struct request *r, struct where *at,
		       struct value *object)
{
	struct value *meta = value_getz(object, "metadata");
	struct str name = value_text_at(object, "metadata.name");
	struct check check = { 0 };
	struct err err;

	if (at->kind->is_system) {
		api_fail(r, E_METHOD, "%.*s are made by the system",
			 STR_ARG(at->kind->plural));
		return false;
	}
	if (!str_is(value_text_at(object, "apiVersion"), API_GROUP_VERSION) ||
	    !str_eq(value_text_at(object, "kind"), at->kind->name)) {
		api_fail(r, E_INVALID, "the body must have apiVersion %s and "
			 "kind %.*s", API_GROUP_VERSION,
			 STR_ARG(at->kind->name));
		return false;
	}
	if (!meta || meta->type == VALUE_NULL) {
		meta = value_object(r->arena);
		value_setz(r->arena, object, "metadata", meta);
	}
	if (at->name.n == 0)
		at->name = name;
	if (!same_or_absent(r, name, at->name, "name") ||
	    !same_or_absent(r, value_text_at(object, "metadata.namespace"),
			    at->tenant, "namespace"))
		return false;
	/* check_object refuses what is none. */
	if (meta->type == VALUE_OBJECT)
		value_setz(r->arena, meta, "name", value_str(r->arena, at->name));
	if (check_object(at->kind, object, r->arena, &check, &err)) {
		if (check.n_causes)
			invalid_body(r, at, &check);
		else
			api_error(r, &err);
		return false;
	}
	return unknown_fields(r, at, &check);
}

struct written {
	struct where at;
	bool created;
};

/* As it is now, while what was asked for waits; of one that is to be made its name. */
void kube_waiting(struct request *r, const struct where *at)
{
	AUTO_BUF body = BUF_NONE;
	struct object_view o;
	struct kv_txn *txn;
	struct err err;

	if (!api_view(r, &txn))
		return;
	if (view_object(txn, at->kind->id, at->tenant, at->name, &o, &err) == OK) {
		view_json(&body, &o);
	} else {
		buf_printf(&body, "{\"apiVersion\":\"%s\",\"kind\":\"%.*s\","
			   "\"metadata\":{\"name\":", API_GROUP_VERSION,
			   STR_ARG(at->kind->name));
		buf_json(&body, at->name);
		buf_z(&body, ",\"namespace\":");
		buf_json(&body, at->tenant);
		buf_z(&body, "}}");
	}
	answer(r, 202, "application/json", buf_view(&body));
}

static void written_done(struct change *ch, struct request *r,
			 const struct outcome *o)
{
	const struct written *w = ch->data;

	if (outcome_waits(o))
		kube_waiting(r, &w->at);
	else
		answer_object(r, w->created ? 201 : 200, &w->at);
}

/* What apply would say of existence, version and owner, at the door. */
static enum code would_apply(const struct request *r, struct kv_txn *txn,
			     const struct where *at, uint64_t expect,
			     bool created, struct err *err)
{
	struct object_view o;
	enum code rc = OK;

	if (at->kind->namespaced)
		rc = view_object(txn, KIND_TENANT, STR_NONE, at->tenant, &o, err);
	if (rc)
		return rc;
	rc = view_object(txn, at->kind->id, at->tenant, at->name, &o, err);
	if (created && rc)
		return view_quota(txn, at->tenant, at->kind->id, err);
	if (created)
		return err_set(err, E_EXISTS, "%.*s." API_GROUP
					 " \"%.*s\" already exists",
					 STR_ARG(at->kind->plural),
					 STR_ARG(at->name));
	if (rc == OK && expect != REV_ANY && expect != o.rev)
		return err_set(err, E_CONFLICT, "Operation cannot be fulfilled "
			       "on %.*s." API_GROUP " \"%.*s\": the object has "
			       "been modified; please apply your changes to the "
			       "latest version and try again",
			       STR_ARG(at->kind->plural), STR_ARG(at->name));
	return rc ? rc : kube_owner(r, &o, err);
}

/* What the server would add: `kubectl diff` shows each member that is missing. */
static void add_owned(struct request *r, struct kv_txn *txn, const struct where *at,
		      struct value *object)
{
	static const char *const kept[] = { "uid", "resourceVersion", "creationTimestamp" };
	AUTO_BUF json = BUF_NONE;
	struct value *live, *meta = value_getz(object, "metadata"), *status;
	struct object_view o;
	uint64_t generation;

	if (view_object(txn, at->kind->id, at->tenant, at->name, &o, NULL))
		return;
	view_json(&json, &o);
	if (doc_parse_json(buf_view(&json), r->arena, NULL, &live, NULL))
		return;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		value_set(r->arena, meta, str_of(kept[i]),
			  value_get(value_getz(live, "metadata"), str_of(kept[i])));
	generation = o.row.generation +
		     !value_eq(value_getz(live, "spec"), value_getz(object, "spec"));
	value_setz(r->arena, meta, "generation", value_u64(r->arena, generation));
	status = value_getz(live, "status");
	if (status)
		value_setz(r->arena, object, "status", status);
}

/* All but the write: the object comes back as it would be stored. */
static void dry_run(struct request *r, struct where *at, struct value *object,
		    uint64_t expect, bool created)
{
	AUTO_BUF body = BUF_NONE;
	struct change *ch;
	struct kv_txn *txn;
	struct err err;
	enum code rc;

	if (!api_view(r, &txn))
		return;
	ch = change_new(r, written_done);
	rc = object_ops(ch, at->kind, at->tenant, at->name, object, expect, &err);
	if (rc == OK && !created)
		add_owned(r, txn, at, object);
	if (rc == OK)
		value_json(&body, object);
	if (rc == OK)
		rc = would_apply(r, txn, at, expect, created, &err);
	if (rc == OK && at->kind->id == KIND_CONFIG)
		plan_warn(r, txn, ch);
	change_cancel(ch);
	if (rc)
		api_error(r, &err);
	else
		answer(r, created ? 201 : 200, "application/json",
		       buf_view(&body));
}

static void write_object(struct request *r, struct where *at,
			 struct value *object, uint64_t expect, bool created)
{
	struct change *ch;
	struct written *w;
	struct err err;
	bool is_dry;
	enum code rc;

	if (!kube_dry_run(r, &is_dry))
		return;
	if (is_dry) {
		dry_run(r, at, object, expect, created);
		return;
	}
	ch = change_new(r, written_done);
	w = ANEW(ch->arena, struct written);
	w->at = *at;
	w->at.tenant = arena_str(ch->arena, at->tenant);
	w->at.name = arena_str(ch->arena, at->name);
	w->created = created;
	ch->data = w;
	rc = object_ops(ch, at->kind, at->tenant, at->name, object, expect, &err);
	if (rc) {
		change_cancel(ch);
		api_error(r, &err);
		return;
	}
	change_submit(ch);
}

static void do_post(struct request *r, bool namespaced)
{
	struct value *object;
	struct where at;

	if (!kube_find(r, namespaced, VERB_CREATE, &at) ||
	    !api_body(r, &object))
		return;
	at.name = STR_NONE;
	if (!kube_meta_is_text(r, object))
		return;
	if (value_text_at(object, "metadata.resourceVersion").n) {
		api_fail(r, E_INVALID, "resourceVersion should not be set on "
			 "objects to be created");
		return;
	}
	if (check_body(r, &at, object))
		write_object(r, &at, object, REV_NONE, true);
}

/* The revision that the body or If-Match demands. */
static bool expected(struct request *r, const struct value *object,
		     uint64_t *out)
{
	struct str text = value_text_at(object, "metadata.resourceVersion");

	if (!kube_meta_is_text(r, object) || !change_if_match(r, out))
		return false;
	if (text.n == 0 || str_u64(text, out))
		return true;
	api_fail(r, E_INVALID, "metadata.resourceVersion \"%.*s\" is no number",
		 STR_ARG(text));
	return false;
}

bool kube_current(struct request *r, const struct where *at,
		  struct object_view *o)
{
	struct kv_txn *txn;
	struct err err;

	if (!api_view(r, &txn))
		return false;
	if (view_object(txn, at->kind->id, at->tenant, at->name, o, &err) == OK)
		return true;
	api_error(r, &err);
	return false;
}

static void do_put(struct request *r, bool namespaced)
{
	struct object_view o;
	struct value *object;
	struct where at;
	uint64_t expect;

	if (!kube_find(r, namespaced, VERB_UPDATE, &at) ||
	    !api_body(r, &object) || !expected(r, object, &expect) ||
	    !kube_current(r, &at, &o))
		return;
	if (expect == REV_ANY)
		expect = o.rev;
	if (kube_same_uid(r, &at, value_text_at(object, "metadata.uid"), &o) &&
	    check_body(r, &at, object))
		write_object(r, &at, object, expect, false);
}

/* ---- merge patch ---- */

static void do_patch(struct request *r, bool namespaced)
{
	AUTO_BUF json = BUF_NONE;
	struct value *patch, *object;
	struct object_view o;
	struct where at;
	uint64_t expect;
	struct err err;

	if (!kube_find(r, namespaced, VERB_PATCH, &at))
		return;
	if (!str_is(r->in->content_type, "application/merge-patch+json")) {
		api_fail(r, E_MEDIA_TYPE, "the body of the request was in an "
			 "unknown format - accepted media types include: "
			 "application/merge-patch+json");
		return;
	}
	if (!api_body(r, &patch) || !expected(r, patch, &expect) ||
	    !kube_current(r, &at, &o))
		return;
	view_json(&json, &o);
	if (doc_parse_json(buf_view(&json), r->arena, NULL, &object, &err)) {
		api_error(r, &err);
		return;
	}
	value_remove(object, STR("status"));
	object = value_merge_patch(r->arena, object, patch);
	value_remove(value_getz(object, "metadata"), STR("resourceVersion"));
	if (expect == REV_ANY)
		expect = o.rev;
	if (kube_same_uid(r, &at, value_text_at(object, "metadata.uid"), &o) &&
	    check_body(r, &at, object))
		write_object(r, &at, object, expect, false);
}

#define BOTH(name, do_)                         \
	void name##_kube(struct request *r)     \
	{                                       \
		do_(r, true);                   \
	}                                       \
	void name##_cluster(struct request *r)  \
	{                                       \
		do_(r, false);                  \
	}

BOTH(get, do_get)
BOTH(post, do_post)
BOTH(put, do_put)
BOTH(patch, do_patch)
BOTH(delete, kube_delete)

void get_kube_list(struct request *r)
{
	kube_list(r, true);
}

void get_cluster_list(struct request *r)
{
	kube_list(r, false);
}
