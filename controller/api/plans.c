/*
 * Plans: made of manifests, shown, applied (docs/plans.md).  A plan is stored by the
 * state under its digest, which apply computes again; what is shown of it is made when
 * it is asked for (plan_view.c).
 */
#include "api/gate.h"

#include "base/clock.h"
#include "base/hex.h"

#include "base/banned.h"

#define MANIFESTS_MAX 1000
/* Of policies, and of windows. */
#define WARNINGS_MAX 10
#define VERDICTS_MAX 100u                /* that are shown; the rest is counted */

/* ---- what is asked for ---- */

struct planning {
	struct request *r;
	struct kv_txn *txn;
	struct change *ch;
	struct str tenant;               /* of all of them */
	struct err err;
	/* What is wrong with which of them, as a list of JSON. */
	struct value **given;            /* in the order of the request */
	size_t n_given, n_bad;           /* manifests */
	struct check check;              /* of the last */
	struct buf invalid;
	size_t n_shown, n_more;
};

/* In the order in which they are to happen. */
static int before(const struct value *a, const struct value *b)
{
	const struct kind *x = kind_by_name(value_text_at(a, "kind"));
	const struct kind *y = kind_by_name(value_text_at(b, "kind"));

	return (x ? (int)x->id : 0) - (y ? (int)y->id : 0);
}

static void sort(struct value *list)
{
	struct value **v = list->a.items;

	for (size_t i = 1; i < list->a.n; i++)
		for (size_t k = i; k && before(v[k - 1], v[k]) > 0; k--) {
			struct value *x = v[k - 1];

			v[k - 1] = v[k];
			v[k] = x;
		}
}

static enum code names_of(struct planning *p, const struct value *object,
			  const struct kind **kind, struct str *name)
{
	struct str tenant = value_text_at(object, "metadata.namespace");
	struct err *err = &p->err;

	*kind = object->type == VALUE_OBJECT ?
			kind_by_name(value_text_at(object, "kind")) : NULL;
	if (!*kind)
		return err_set(err, E_UNPROCESSABLE, "a manifest has no kind that there is");
	*name = value_text_at(object, "metadata.name");
	if (!(*kind)->namespaced || (*kind)->is_system)
		return err_set(err, E_UNPROCESSABLE, "%.*s are no part of plans",
			       STR_ARG((*kind)->plural));
	if (!is_dns_label(tenant) || !is_dns_subdomain(*name))
		return err_set(err, E_UNPROCESSABLE, "a %.*s needs metadata.namespace "
			       "and metadata.name", STR_ARG((*kind)->name));
	if (p->tenant.n && !str_eq(p->tenant, tenant))
		return err_set(err, E_UNPROCESSABLE, "a plan is of one tenant, not of "
			       "%.*s and %.*s", STR_ARG(p->tenant), STR_ARG(tenant));
	p->tenant = tenant;
	return OK;
}

static enum code check(struct planning *p, const struct kind *kind,
		       struct value *object, struct str name)
{
	enum code rc;

	if (!str_is(value_text_at(object, "apiVersion"), API_GROUP_VERSION))
		return err_set(&p->err, E_UNPROCESSABLE, "%.*s %.*s: apiVersion is %s",
			       STR_ARG(kind->singular), STR_ARG(name),
			       API_GROUP_VERSION);
	rc = check_object(kind, object, p->r->arena, &p->check, &p->err);
	if (rc == OK && p->check.n_unknown)
		rc = err_set(&p->err, E_UNPROCESSABLE, "unknown fields");
	return rc;
}

/* The file was written for another state of it. */
static enum code check_revision(struct planning *p, const struct value *object,
				uint64_t rev, struct str name)
{
	struct str text = value_text_at(object, "metadata.resourceVersion");
	uint64_t want;

	if (text.n == 0 || (str_u64(text, &want) && want == rev))
		return OK;
	return err_set(&p->err, E_CONFLICT, "%.*s is for resourceVersion %.*s, and it "
		       "is at %llu", STR_ARG(name), STR_ARG(text),
		       (unsigned long long)rev);
}

/* ---- what changes nothing ---- */

static bool is_as_it_was(const struct op *op, const struct object_view *o)
{
	return str_eq(op->labels, o->row.labels) && str_eq(op->meta, o->row.meta) &&
	       str_eq(op->spec, o->row.spec) &&
	       (o->kind != KIND_CONFIG || str_eq(op->format, o->row.format));
}

static bool is_live_already(struct arena *arena, const struct op *op,
			    const struct object_view *o)
{
	struct rules rules;
	int at;

	if (!o->has_live || !rules_decode(arena, o->live.rules, &rules))
		return false;
	at = rules_default(&rules);
	return at >= 0 && sha256_eq(&rules.r[at].sha, &op->sha);
}

static bool changes(struct kv_txn *txn, struct arena *arena, const struct op *op)
{
	struct object_view o;
	struct err err;

	if (view_object(txn, op->kind, op->tenant, op->name, &o, &err))
		return true;
	switch (op->type) {
	case OP_OBJECT_PUT:
		return !op->only_create && !is_as_it_was(op, &o);
	case OP_VERSION_ADD:
		return !is_live_already(arena, op, &o);
	default:
		return true;
	}
}

static bool is_same_object(const struct op *a, const struct op *b)
{
	return a->kind == b->kind && str_eq(a->name, b->name) && a->type == b->type;
}

/* Parents come with each configuration below them. */
static bool is_repeated(const struct command *c, const struct op *op)
{
	for (size_t i = 0; op->only_create && i < c->n_ops; i++)
		if (c->ops[i].only_create && is_same_object(&c->ops[i], op))
			return true;
	return false;
}

static void keep_what_changes(struct planning *p)
{
	struct command *c = &p->ch->cmd;
	size_t n = c->n_ops;

	c->n_ops = 0;
	for (size_t i = 0; i < n; i++)
		if (changes(p->txn, p->r->arena, &c->ops[i]) && !is_repeated(c, &c->ops[i]))
			c->ops[c->n_ops++] = c->ops[i];
}

/* ---- one manifest ---- */

static enum code add_manifest(struct planning *p, struct value *object)
{
	const struct kind *kind;
	struct object_view o;
	struct err none;
	struct str name;
	bool is_there;
	enum code rc = names_of(p, object, &kind, &name);

	if (rc)
		return rc;
	is_there = view_object(p->txn, kind->id, p->tenant, name, &o, &none) == OK;
	rc = check(p, kind, object, name);
	if (rc == OK)
		rc = check_revision(p, object, is_there ? o.rev : 0, name);
	return rc ? rc : object_ops(p->ch, kind, p->tenant, name, object,
				    is_there ? REV_ANY : REV_NONE, &p->err);
}

/* What is written is not to be deleted by the same plan: one of both is a mistake. */
static enum code check_once(struct planning *p, enum kind_id kind, struct str name)
{
	const struct command *c = &p->ch->cmd;

	for (size_t i = 0; i < c->n_ops; i++)
		if (c->ops[i].kind == kind && str_eq(c->ops[i].name, name))
			return err_set(&p->err, E_UNPROCESSABLE, "the plan names %.*s %.*s "
				       "twice, to be %s and to be deleted",
				       STR_ARG(kind_by_id(kind)->singular), STR_ARG(name),
				       c->ops[i].type == OP_OBJECT_DELETE ? "deleted" :
									    "written");
	return OK;
}

static enum code add_removal(struct planning *p, const struct value *object)
{
	const struct kind *kind;
	struct object_view o;
	struct str name;
	struct op *op;
	enum code rc = names_of(p, object, &kind, &name);

	if (rc == OK)
		rc = check_once(p, kind->id, name);
	if (rc == OK)
		rc = view_object(p->txn, kind->id, p->tenant, name, &o, &p->err);
	if (rc)
		return rc;
	op = command_op(p->ch->arena, &p->ch->cmd, OP_OBJECT_DELETE);
	op->kind = kind->id;
	op->tenant = arena_str(p->ch->arena, p->tenant);
	op->name = arena_str(p->ch->arena, name);
	return OK;
}

/* ---- the plan ---- */

struct kept {
	struct str tenant;
	struct sha256 digest;
};

static void answer_planned(struct request *r)
{
	const struct kept *kept = caller_of(r)->later;
	AUTO_BUF out = BUF_NONE;
	struct kv_txn *txn;
	struct err err;

	if (!api_view(r, &txn) ||
	    plan_ask_reach(r, txn, kept->tenant, &kept->digest, answer_planned))
		return;
	if (plan_json(&out, r, txn, kept->tenant, &kept->digest, &err)) {
		api_error(r, &err);
		return;
	}
	buf_c(&out, '\n');
	answer(r, 201, "application/json", buf_view(&out));
}

/* A plan that is kept moves no revision that this node could wait for. */
static void planned(struct change *ch, struct request *r, const struct outcome *o)
{
	const struct op *op = &ch->cmd.ops[0];
	struct kept *kept = ANEW(r->arena, struct kept);

	kept->tenant = arena_str(r->arena, op->tenant);
	kept->digest = op->sha;
	caller_of(r)->later = kept;
	api_when(r, 0, true, answer_planned);
}

/* The operations become the one that keeps them. */
static enum code keep_as_plan(struct planning *p)
{
	struct change *ch = p->ch;
	AUTO_BUF bytes = BUF_NONE;
	struct sha256 digest;
	struct op *op;
	enum code rc;

	ch->cmd.time_ms = clock_wall_ms();
	command_encode(&bytes, &ch->cmd);
	rc = planned_digest(p->txn, buf_view(&bytes), &digest, &p->err);
	if (rc == OK && bytes.n > COMMAND_BYTES_MAX - 4096) {
		rc = err_set(&p->err, E_TOO_LARGE, "the plan takes %zu bytes, at most %d "
			     "are allowed", bytes.n, COMMAND_BYTES_MAX - 4096);
		err_hint(&p->err, "plan less at once, or bring it through Git");
	}
	if (rc)
		return rc;
	ch->cmd.n_ops = 0;
	ch->cmd.n_contents = 0;
	op = command_op(ch->arena, &ch->cmd, OP_PLAN_PUT);
	op->tenant = arena_str(ch->arena, p->tenant);
	op->sha = digest;
	op->bytes = arena_str(ch->arena, buf_view(&bytes));
	return OK;
}

/* ---- verdicts ---- */

static size_t index_of(const struct planning *p, const struct value *object)
{
	size_t i = 0;

	while (i < p->n_given && p->given[i] != object)
		i++;
	return i;
}

static void put_verdict(struct planning *p, const struct value *object, struct str field,
			struct str reason)
{
	struct buf *out = &p->invalid;

	if (p->n_shown >= VERDICTS_MAX) {
		p->n_more++;
		return;
	}
	buf_printf(out, "%s{\"index\":%zu,\"kind\":", p->n_shown++ ? "," : "",
		   index_of(p, object));
	buf_json(out, value_text_at(object, "kind"));
	buf_z(out, ",\"name\":");
	buf_json(out, value_text_at(object, "metadata.name"));
	if (field.n) {
		buf_z(out, ",\"field\":");
		buf_json(out, field);
	}
	buf_z(out, ",\"reason\":");
	buf_json(out, reason);
	buf_c(out, '}');
}

/* All that is wrong with one of them. */
static void judge(struct planning *p, const struct value *object)
{
	const struct check *c = &p->check;

	p->n_bad++;
	for (size_t i = 0; i < c->n_causes; i++)
		put_verdict(p, object, c->causes[i].field, c->causes[i].message);
	for (size_t i = 0; i < c->n_unknown; i++)
		put_verdict(p, object, c->unknown[i], STR("there is no such field"));
	if (!c->n_causes && !c->n_unknown)
		put_verdict(p, object, STR_NONE, str_of(p->err.text));
}

/* What is invalid is all told, and nothing is planned then. */
static enum code add_manifests(struct planning *p, const struct value *manifests)
{
	for (size_t i = 0; i < value_count(manifests); i++) {
		enum code rc;

		p->check = (struct check){ 0 };
		rc = add_manifest(p, manifests->a.items[i]);
		if (rc == E_UNPROCESSABLE || rc == E_TOO_LARGE)
			judge(p, manifests->a.items[i]);
		else if (rc)
			return rc;
	}
	if (!p->n_bad)
		return OK;
	err_set(&p->err, E_UNPROCESSABLE, "%zu of %zu manifests are invalid", p->n_bad,
		value_count(manifests));
	return err_hint(&p->err, "nothing is planned until all of them are right");
}

static void refuse(struct request *r, struct planning *p)
{
	AUTO_BUF members = BUF_NONE;

	if (!p->n_shown) {
		api_error(r, &p->err);
		return;
	}
	buf_printf(&members, ",\"invalid\":[%.*s]", STR_ARG(buf_view(&p->invalid)));
	if (p->n_more)
		buf_printf(&members, ",\"invalid_more\":%zu", p->n_more);
	answer_error_with(r, &p->err, buf_view(&members));
}

static enum code add_all(struct planning *p, const struct value *manifests,
			 const struct value *removals)
{
	enum code rc = add_manifests(p, manifests);

	if (rc)
		return rc;
	keep_what_changes(p);
	/* What lives in another goes before it. */
	for (size_t i = value_count(removals); i-- > 0 && rc == OK;)
		rc = add_removal(p, removals->a.items[i]);
	return rc;
}

static bool may_plan(struct request *r, const struct value *list)
{
	for (size_t i = 0; i < value_count(list); i++) {
		const struct value *object = list->a.items[i];
		const struct kind *kind = kind_by_name(value_text_at(object, "kind"));

		if (!api_may(r, VERB_PLAN, kind ? kind->id : KIND_CONFIG,
			     value_text_at(object, "metadata.namespace"),
			     value_text_at(object, "metadata.name")))
			return false;
	}
	return true;
}

/* YAML is a stream of manifests; JSON an object with a list of them. */
static bool take_body(struct request *r, struct value **manifests,
		      struct value **removals)
{
	static const struct body_member members[] = {
		{ "manifests", VALUE_ARRAY, false },
		{ "delete", VALUE_ARRAY, false },
	};
	struct value *body, *none = value_array(r->arena);
	struct err err;

	*removals = none;
	if (str_find_str(r->in->content_type, STR("yaml")) != SIZE_MAX) {
		if (doc_parse_stream(r->in->body, r->arena, NULL, manifests, NULL, &err)) {
			err_wrap(&err, "request body");
			api_error(r, &err);
			return false;
		}
	} else if (API_BODY_OF(r, members, &body)) {
		*manifests = value_getz(body, "manifests") ?: none;
		*removals = value_getz(body, "delete") ?: none;
	} else {
		return false;
	}
	if (value_count(*manifests) + value_count(*removals) - 1 < MANIFESTS_MAX)
		return true;
	api_fail(r, E_UNPROCESSABLE, "a plan has 1 to %d manifests", MANIFESTS_MAX);
	return false;
}

void post_plan(struct request *r)
{
	struct planning p = { .r = r };
	struct value *manifests, *removals;
	enum code rc;

	if (!take_body(r, &manifests, &removals) || !may_plan(r, manifests) ||
	    !may_plan(r, removals) || !api_view(r, &p.txn))
		return;
	p.n_given = value_count(manifests);
	p.given = arena_zero(r->arena, (p.n_given + 1) * sizeof(*p.given));
	if (p.n_given)
		memcpy(p.given, manifests->a.items, p.n_given * sizeof(*p.given));
	sort(manifests);
	sort(removals);
	p.ch = change_new(r, planned);
	/* Planned again it may be another plan, which a key must not hide; and nothing
	 * happens twice by it. */
	memset(&p.ch->cmd.id, 0, sizeof(p.ch->cmd.id));
	rc = add_all(&p, manifests, removals);
	if (rc == OK && p.ch->cmd.n_ops) {
		rc = keep_as_plan(&p);
		if (rc == OK) {
			change_submit(p.ch);
			buf_fini(&p.invalid);
			return;
		}
	}
	change_cancel(p.ch);
	if (rc)
		refuse(r, &p);
	else
		answer(r, 200, "application/json", STR("{\"digest\":null,"
		       "\"operations\":[],\"changes\":[]}\n"));
	buf_fini(&p.invalid);
}

/* ---- dry runs ---- */

static void warn(struct request *r, struct str text)
{
	AUTO_BUF warning = BUF_NONE;

	buf_z(&warning, "299 - ");
	buf_json(&warning, text);
	answer_header(r, "Warning", buf_view(&warning));
}

void plan_warn(struct request *r, struct kv_txn *txn, const struct change *ch)
{
	struct op *ops = arena_zero(r->arena, (ch->cmd.n_ops + 1) * sizeof(*ops));
	struct str tenant = ch->cmd.n_ops ? ch->cmd.ops[0].tenant : STR_NONE;
	struct gate_answer answer = { 0 };
	struct view_released released;
	struct gate_touch *touches;
	size_t n = 0, left;
	struct err err;

	for (size_t i = 0; i < ch->cmd.n_ops; i++)
		if (changes(txn, r->arena, &ch->cmd.ops[i]))
			ops[n++] = ch->cmd.ops[i];
	if (view_released(txn, r->arena, tenant, ops, n, false, &released, &err))
		return;
	n = plan_touches(r->arena, txn, ops, n, &released, &touches, &left);
	if (n == 0 || view_gate(txn, r->arena, tenant, touches, n,
				&caller_of(r)->subject, clock_wall_ms(), &answer, &err))
		return;
	for (size_t i = 0; i < MIN(answer.n_policies, (size_t)WARNINGS_MAX); i++)
		warn(r, arena_printf(r->arena, "it would wait for approval (ApprovalPolicy "
				     "%.*s)", STR_ARG(answer.policies[i].name)));
	for (size_t i = 0; i < MIN(answer.n_windows, (size_t)WARNINGS_MAX); i++)
		warn(r, arena_printf(r->arena, "FreezeWindow %.*s is shut: %.*s",
				     STR_ARG(answer.windows[i].name),
				     STR_ARG(answer.windows[i].is.reason)));
	if (left)
		warn(r, arena_printf(r->arena, "%zu of its changes were not compared with "
				     "policies and windows: there are too many", left));
}

/* ---- one that is kept ---- */

struct looking {
	struct request *r;
	struct kv_txn *txn;
	struct sha256 digest;
	struct str tenant;
};

static bool look_in(void *data, const struct object_view *o)
{
	struct looking *l = data;

	if (!subject_sees(&caller_of(l->r)->subject, o->name) ||
	    !plan_is_kept(l->txn, o->name, &l->digest))
		return true;
	l->tenant = arena_str(l->r->arena, o->name);
	return false;
}

/* A digest says what is done to what, and so of which tenant it is.  Where it is not
 * known here it may have been kept at another node a moment ago: then 'then' runs once
 * more, when all is here that was kept before.  False: answered, or later. */
static bool find(struct request *r, struct looking *l, route_handler *then)
{
	const struct str *tenant = request_query(r, "tenant");
	struct err err;

	*l = (struct looking){ .r = r };
	if (!api_digest(r, r->in->args[0], &l->digest) || !api_view(r, &l->txn))
		return false;
	if (tenant)
		l->tenant = *tenant;
	else if (view_list(l->txn, KIND_TENANT, STR_NONE, STR_NONE, STR_NONE, look_in,
			   l, &err)) {
		api_error(r, &err);
		return false;
	}
	if (l->tenant.n && !api_may(r, VERB_PLAN, KIND_CONFIG, l->tenant, STR_NONE))
		return false;
	if (l->tenant.n && plan_is_kept(l->txn, l->tenant, &l->digest))
		return true;
	if (!caller_of(r)->has_waited) {
		caller_of(r)->has_waited = true;
		api_when(r, 0, true, then);
		return false;
	}
	err_set(&err, E_NOT_FOUND, "no plan %.*s is kept",
		STR_ARG(str_first(r->in->args[0], 80)));
	err_hint(&err, "plans are kept for a day; plan it anew");
	api_error(r, &err);
	return false;
}

void get_plan(struct request *r)
{
	AUTO_BUF out = BUF_NONE;
	struct looking l;
	struct err err;

	if (!find(r, &l, get_plan) ||
	    plan_ask_reach(r, l.txn, l.tenant, &l.digest, get_plan))
		return;
	if (plan_json(&out, r, l.txn, l.tenant, &l.digest, &err)) {
		api_error(r, &err);
		return;
	}
	buf_c(&out, '\n');
	answer(r, 200, "application/json", buf_view(&out));
}

static void applied(struct change *ch, struct request *r, const struct outcome *o)
{
	AUTO_BUF out = BUF_NONE;
	char hex[65];

	sha256_hex(hex, &ch->cmd.ops[0].sha);
	buf_printf(&out, "{\"digest\":\"%s\",\"revision\":%llu,\"operations\":%zu}\n", hex,
		   (unsigned long long)o->rev, o->n_results);
	answer(r, 200, "application/json", buf_view(&out));
}

void post_plan_apply(struct request *r)
{
	static const struct body_member members[] = {
		{ "reason", VALUE_STRING, false },
	};
	struct looking l;
	struct value *body;
	struct change *ch;
	struct op *op;

	if (!find(r, &l, post_plan_apply) ||
	    !api_optional_body(r, members, ARRAY_LEN(members), &body))
		return;
	ch = change_new(r, applied);
	if (!change_take_reason(r, ch, value_text_at(body, "reason")))
		return;
	op = command_op(ch->arena, &ch->cmd, OP_EXECUTE);
	op->tenant = arena_str(ch->arena, l.tenant);
	op->sha = l.digest;
	change_submit(ch);
}
