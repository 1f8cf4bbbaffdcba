/*
 * What Kubernetes lets a request say beside its object: dryRun, conditions on
 * uid and resourceVersion, and the options of a deletion in its body.
 */
#include "api/gate.h"
#include "api/kube.h"

#include "base/hex.h"

#include "base/banned.h"

static const char *options_kind(const struct request *r)
{
	switch (r->method) {
	case HTTP_M_POST:
		return "CreateOptions";
	case HTTP_M_PATCH:
		return "PatchOptions";
	case HTTP_M_DELETE:
		return "DeleteOptions";
	default:
		return "UpdateOptions";
	}
}

static bool refuse_option(struct request *r, const char *field, struct str given,
			  const char *supported)
{
	given = str_first(given, 80);
	api_fail(r, E_UNPROCESSABLE, "%s.meta.k8s.io \"\" is invalid: %s: "
		 "Unsupported value: \"%.*s\": supported values: %s",
		 options_kind(r), field, STR_ARG(given), supported);
	return false;
}

static bool take_dry_run(struct request *r, struct str value, bool *out)
{
	if (!str_is(value, "All"))
		return refuse_option(r, "dryRun", value, "\"All\"");
	*out = true;
	return true;
}

bool kube_dry_run(struct request *r, bool *out)
{
	*out = false;
	for (size_t i = 0; i < r->in->n_query; i++)
		if (str_is(r->in->query[i].name, "dryRun") &&
		    !take_dry_run(r, r->in->query[i].value, out))
			return false;
	return true;
}

/* ---- conditions ---- */

bool kube_meta_is_text(struct request *r, const struct value *object)
{
	static const char *const names[] = { "name", "namespace", "uid",
					     "resourceVersion" };
	const struct value *meta = value_getz(object, "metadata");

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct value *v = value_get(meta, str_of(names[i]));

		if (!v || v->type == VALUE_STRING || v->type == VALUE_NULL)
			continue;
		api_fail(r, E_INVALID, "metadata.%s is a %s, and must be a "
			 "string", names[i], value_type_name(v->type));
		return false;
	}
	return true;
}

static bool answer_conflict(struct request *r, const struct where *at,
			    const char *what, struct str want, struct str have)
{
	want = str_first(want, 80);
	api_fail(r, E_CONFLICT, "Operation cannot be fulfilled on %.*s."
		 API_GROUP " \"%.*s\": Precondition failed: %s in precondition: "
		 "%.*s, %s in object meta: %.*s", STR_ARG(at->kind->plural),
		 STR_ARG(at->name), what, STR_ARG(want), what, STR_ARG(have));
	return false;
}

bool kube_same_uid(struct request *r, const struct where *at, struct str uid,
		   const struct object_view *o)
{
	char have[37];

	uuid_text(have, o->row.uid);
	if (uid.n == 0 || str_eq(uid, str_of(have)))
		return true;
	return answer_conflict(r, at, "UID", uid, str_of(have));
}

static bool same_version(struct request *r, const struct where *at,
			 struct str version, const struct object_view *o)
{
	char have[24];

	snprintf(have, sizeof(have), "%llu", (unsigned long long)o->rev);
	if (version.n == 0 || str_eq(version, str_of(have)))
		return true;
	return answer_conflict(r, at, "ResourceVersion", version, str_of(have));
}

enum code kube_owner(const struct request *r, const struct object_view *o,
		     struct err *err)
{
	if (o->row.manager == MANAGER_API || change_takes_over(r))
		return OK;
	err_set(err, E_MANAGED, "it is managed by %s%s%.*s",
		manager_name(o->row.manager), o->row.manager_ref.n ? " " : "",
		STR_ARG(o->row.manager_ref));
	return err_hint(err, "change it there, or take it over explicitly");
}

/* ---- DeleteOptions ---- */

struct options {
	struct str uid, version;         /* empty: no condition */
	bool is_dry;
};

static bool take_policy(struct request *r, struct str value)
{
	if (str_is(value, "Background") || str_is(value, "Foreground") ||
	    str_is(value, "Orphan"))
		return true;
	return refuse_option(r, "propagationPolicy", value,
			     "\"Foreground\", \"Background\", \"Orphan\"");
}

static bool take_preconditions(struct request *r, const struct value *v,
			       struct options *out)
{
	for (size_t i = 0; i < v->o.n; i++) {
		const struct member *m = &v->o.m[i];
		bool is_uid = str_is(m->key, "uid");

		if (m->value->type == VALUE_NULL)
			continue;
		if ((!is_uid && !str_is(m->key, "resourceVersion")) ||
		    m->value->type != VALUE_STRING) {
			api_fail(r, E_INVALID, "DeleteOptions: preconditions has "
				 "uid and resourceVersion, both strings");
			return false;
		}
		*(is_uid ? &out->uid : &out->version) = value_text(m->value);
	}
	return true;
}

static bool take_dry_runs(struct request *r, const struct value *v,
			  struct options *out)
{
	for (size_t i = 0; i < v->a.n; i++)
		if (!take_dry_run(r, value_text(v->a.items[i]), &out->is_dry))
			return false;
	return true;
}

/* What Kubernetes' DeleteOptions has; a misspelt condition must not delete. */
static const struct body_member members[] = {
	{ "kind", VALUE_STRING, false },
	{ "apiVersion", VALUE_STRING, false },
	{ "gracePeriodSeconds", VALUE_NUMBER, false },
	{ "orphanDependents", VALUE_BOOL, false },
	{ "ignoreStoreReadErrorWithClusterBreakingPotential", VALUE_BOOL, false },
	{ "propagationPolicy", VALUE_STRING, false },
	{ "preconditions", VALUE_OBJECT, false },
	{ "dryRun", VALUE_ARRAY, false },
};

static bool keep_known(void *data, const struct member *m)
{
	(void)data;
	return m->value->type != VALUE_NULL;
}

static bool take_body(struct request *r, struct options *out)
{
	struct value *body, *v;

	if (r->in->body.n == 0)
		return true;
	if (!api_body(r, &body))
		return false;
	value_filter(body, keep_known, NULL);
	if (!api_check_members(r, members, ARRAY_LEN(members), body))
		return false;
	v = value_getz(body, "kind");
	if (v && !str_is(v->s, "DeleteOptions")) {
		api_fail(r, E_INVALID, "the body of a DELETE is of kind "
			 "DeleteOptions");
		return false;
	}
	v = value_getz(body, "propagationPolicy");
	if (v && !take_policy(r, v->s))
		return false;
	v = value_getz(body, "preconditions");
	if (v && !take_preconditions(r, v, out))
		return false;
	v = value_getz(body, "dryRun");
	return !v || take_dry_runs(r, v, out);
}

static bool take_options(struct request *r, struct options *out)
{
	const struct str *policy = request_query(r, "propagationPolicy");

	*out = (struct options){ 0 };
	if (!take_body(r, out) || (policy && !take_policy(r, *policy)))
		return false;
	/* Said in either place is said. */
	if (out->is_dry)
		return kube_dry_run(r, &(bool){ false });
	return kube_dry_run(r, &out->is_dry);
}

/* ---- deletion ---- */

static void answer_deleted(struct request *r, const struct where *at,
			   struct uuid id)
{
	AUTO_BUF out = BUF_NONE;
	char uid[37];

	uuid_text(uid, id);
	buf_printf(&out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
		   "\"status\":\"Success\",\"details\":{\"name\":");
	buf_json(&out, at->name);
	buf_printf(&out, ",\"group\":\"%s\",\"kind\":\"%.*s\",\"uid\":\"%s\"}}",
		   API_GROUP, STR_ARG(at->kind->plural), uid);
	answer(r, 200, "application/json", buf_view(&out));
}

static void deleted(struct change *ch, struct request *r,
		    const struct outcome *o)
{
	/* Where it waits for approval the object is still there, as with one that
	 * has finalizers. */
	if (outcome_waits(o))
		kube_waiting(r, ch->data);
	else
		answer_deleted(r, ch->data, o->results[0].uid);
}

static void submit_delete(struct request *r, const struct where *at,
			  uint64_t expect)
{
	struct change *ch = change_new(r, deleted);
	struct where *w = ANEW(ch->arena, struct where);
	struct op *op = command_op(ch->arena, &ch->cmd, OP_OBJECT_DELETE);

	*w = (struct where){ at->kind, arena_str(ch->arena, at->tenant),
			     arena_str(ch->arena, at->name) };
	ch->data = w;
	op->kind = at->kind->id;
	op->tenant = w->tenant;
	op->name = w->name;
	op->expect = expect;
	change_submit(ch);
}

/* Looks at what is there: for conditions, which then hold of this very revision
 * (apply sees to it), and for what a dry run answers. */
static bool check_delete(struct request *r, const struct where *at,
			 const struct options *options, uint64_t *expect,
			 struct uuid *uid)
{
	struct object_view o;
	char rev[24];
	struct err err;

	if (!kube_current(r, at, &o) ||
	    !kube_same_uid(r, at, options->uid, &o) ||
	    !same_version(r, at, options->version, &o))
		return false;
	snprintf(rev, sizeof(rev), "%llu", (unsigned long long)*expect);
	if (*expect != REV_ANY && !same_version(r, at, str_of(rev), &o))
		return false;
	if (options->uid.n || options->version.n)
		*expect = o.rev;
	*uid = o.row.uid;
	if (!options->is_dry || kube_owner(r, &o, &err) == OK)
		return true;
	api_error(r, &err);
	return false;
}

void kube_delete(struct request *r, bool namespaced)
{
	struct options options;
	struct where at;
	uint64_t expect;
	struct uuid uid;
	bool looks;

	if (!kube_find(r, namespaced, VERB_DELETE, &at) ||
	    !change_if_match(r, &expect) || !take_options(r, &options))
		return;
	if (at.kind->is_system) {
		api_fail(r, E_METHOD, "%.*s are removed by the system",
			 STR_ARG(at.kind->plural));
		return;
	}
	looks = options.is_dry || options.uid.n || options.version.n;
	if (looks && !check_delete(r, &at, &options, &expect, &uid))
		return;
	if (options.is_dry)
		answer_deleted(r, &at, uid);
	else
		submit_delete(r, &at, expect);
}
