/*
 * The operations of a command, and those on objects.
 *
 * Each reads the rows it needs, decides, and writes rows and one event.  A
 * refusal leaves writing to be undone by the caller.  Deterministic.
 */
#include "state/due.h"
#include "state/gate.h"
#include "state/rollout.h"

#include "base/banned.h"

static void add_count(struct apply *a, const struct op *op, int delta)
{
	uint64_t n = ap_count(a, op->tenant, op->kind);

	ap_set_count(a, op->tenant, op->kind, n + (uint64_t)(int64_t)delta);
	if (op->kind == KIND_RELEASE_POLICY)
		releasing_count(a, op->tenant, delta);
}

static bool exists(struct apply *a, struct str tenant, enum kind_id kind,
		   struct str name)
{
	AUTO_BUF key = BUF_NONE;

	key_object(&key, tenant, kind, name);
	return kv_get(a->txn, KV_OBJECTS, buf_view(&key), NULL);
}

/* ---- OBJECT_PUT ---- */

/* Each command reads them all. */
static enum code check_policies(struct apply *a, const struct op *op, struct err *err)
{
	if ((op->kind != KIND_RELEASE_POLICY && op->kind != KIND_APPROVAL_POLICY &&
	     op->kind != KIND_FREEZE_WINDOW) ||
	    ap_count(a, op->tenant, op->kind) < POLICIES_MAX)
		return OK;
	err_set(err, E_QUOTA, "tenant %.*s has %d objects of this kind, which is the most",
		STR_ARG(op->tenant), POLICIES_MAX);
	return err_hint(err, "select more by each: by labels, or by names that end in *");
}

static enum code check_new(struct apply *a, struct thing *t,
			   const struct op *op, struct err *err)
{
	enum code rc;

	if (op->tenant.n && !exists(a, STR_NONE, KIND_TENANT, op->tenant)) {
		err_set(err, E_NOT_FOUND, "namespaces \"%.*s\" not found",
			STR_ARG(op->tenant));
		return err_hint(err, "create the tenant first: kind Tenant, "
				     "metadata.name %.*s",
				STR_ARG(op->tenant));
	}
	if (op->kind == KIND_TENANT && tenant_is_leaving(a, op->name)) {
		err_set(err, E_BUSY, "what the tenant %.*s of before had is still being "
			"removed", STR_ARG(op->name));
		return err_hint(err, "try again in a few seconds");
	}
	rc = ap_quota(a, op->tenant, quota_of_kind(op->kind), 1, err);
	if (rc == OK && op->kind == KIND_WEBHOOK)
		rc = outbox_may_add(a, op->tenant, err);
	if (rc == OK)
		rc = check_policies(a, op, err);
	if (rc || op->kind != KIND_CONFIG)
		return rc;
	thing_live_key(t, op->tenant,
		       &(struct object_row){ .application = op->application,
					     .environment = op->environment,
					     .config_name = op->config_name });
	if (kv_get(a->txn, KV_LIVE, buf_view(&t->live_key), NULL))
		return err_set(err, E_EXISTS,
			       "%.*s/%.*s/%.*s/%.*s is the address of another "
			       "configuration",
			       STR_ARG(op->tenant), STR_ARG(op->application),
			       STR_ARG(op->environment),
			       STR_ARG(op->config_name));
	return OK;
}

static enum code check_same_address(const struct thing *t, const struct op *op,
				    struct err *err)
{
	if (op->kind != KIND_CONFIG)
		return OK;
	if (str_eq(t->row.application, op->application) &&
	    str_eq(t->row.environment, op->environment) &&
	    str_eq(t->row.config_name, op->config_name))
		return OK;
	err_set(err, E_UNPROCESSABLE,
		"spec.application, spec.environment and spec.name cannot change");
	return err_hint(err, "make a new configuration and delete this one");
}

/* Names and addresses are part of keys: what the door checked is checked
 * again, or a key could outgrow the store. */
static enum code check_names(const struct op *op, struct err *err)
{
	const struct kind *kind = kind_by_id(op->kind);
	struct address at = { op->tenant, op->application, op->environment,
			      op->config_name };

	if (!kind)
		return err_set(err, E_INVALID, "unknown kind %d", (int)op->kind);
	if (!is_dns_subdomain(op->name))
		return err_set(err, E_UNPROCESSABLE,
			       "metadata.name \"%.*s\" is no DNS-1123 subdomain",
			       (int)MIN(op->name.n, (size_t)80), op->name.p);
	if (kind->namespaced != (op->tenant.n > 0))
		return err_set(err, E_INVALID, "%.*s is %s", STR_ARG(kind->name),
			       kind->namespaced ? "namespaced" : "cluster-scoped");
	if (op->kind == KIND_TENANT)
		return tenant_check(op->name, err);
	if (kind->namespaced && tenant_check(op->tenant, err))
		return E_INVALID;
	return op->kind == KIND_CONFIG ? address_check(&at, err) : OK;
}

static struct object_row row_of_op(struct apply *a, const struct thing *t,
				   const struct op *op)
{
	struct object_row row = t->row;
	struct str ref;

	if (!t->val.p) {
		row.uid = op->uid;
		row.created_ms = a->head->time_ms;
		row.status = STR_NONE;
		row.generation = 1;
	} else if (!str_eq(row.spec, op->spec)) {
		row.generation++;
	}
	row.manager = thing_writer(a->cmd, &ref);
	row.manager_ref = ref;
	if (row.manager == MANAGER_API && op->manager != MANAGER_API) {
		row.manager = op->manager;
		row.manager_ref = op->manager_ref;
	}
	row.labels = op->labels;
	row.meta = op->meta;
	row.spec = op->spec;
	if (op->kind == KIND_CONFIG) {
		row.application = op->application;
		row.environment = op->environment;
		row.config_name = op->config_name;
		row.format = op->format;
	}
	return row;
}

static bool row_is_same(const struct object_row *a, const struct object_row *b)
{
	return a->manager == b->manager &&
	       str_eq(a->manager_ref, b->manager_ref) &&
	       str_eq(a->labels, b->labels) && str_eq(a->meta, b->meta) &&
	       str_eq(a->spec, b->spec) && str_eq(a->format, b->format);
}

static void put_uid(struct apply *a, const struct op *op, struct uuid uid)
{
	AUTO_BUF key = BUF_NONE;

	key_object(&key, op->tenant, op->kind, op->name);
	ap_put(a, KV_UIDS, str_n(uid.b, sizeof(uid.b)), buf_view(&key));
}

static struct str live_of_put(struct apply *a, struct thing *t,
			      const struct op *op, uint64_t rev)
{
	if (op->kind != KIND_CONFIG)
		return STR_NONE;
	if (!t->val.p)
		t->live = (struct live_row){ .uid = op->uid, .name = op->name,
					     .rules = STR("\0") };
	t->live.format = op->format;
	t->live.rev = t->live.base_rev = rev;
	return thing_put_live(a, t, &t->live);
}

static enum code op_object_put(struct apply *a, const struct op *op,
			       struct op_result *res, struct err *err)
{
	AUTO_THING t = { 0 };
	struct object_row row;
	struct event_row event = { .kind = op->kind, .tenant = op->tenant,
				   .name = op->name };
	enum code rc = check_names(op, err);

	if (rc == OK)
		rc = thing_load(a, &t, op->tenant, op->kind, op->name, err);
	if (rc == OK && t.val.p && op->only_create) {
		*res = (struct op_result){ .rev = thing_rev(&t),
					   .uid = t.row.uid };
		return OK;
	}
	if (rc == OK)
		rc = thing_check_expect(&t, op, err);
	if (rc == OK)
		rc = thing_check_owner(a, &t, err);
	if (rc == OK)
		rc = t.val.p ? check_same_address(&t, op, err) :
			       check_new(a, &t, op, err);
	if (rc)
		return rc;
	row = row_of_op(a, &t, op);
	*res = (struct op_result){ .rev = thing_rev(&t), .uid = row.uid };
	if (t.val.p && row_is_same(&row, &t.row))
		return OK;
	if (op->kind == KIND_RELEASE_POLICY)
		rc = releasing_policy(a, op->tenant, t.row.spec, row.spec, err);
	if (rc)
		return rc;
	row.rev = res->rev = ap_next_rev(a);
	res->changed = true;
	a->outbox_changes += op->kind == KIND_WEBHOOK;
	outbox_drift(a, op, &t.row);
	event.type = t.val.p ? EVENT_MODIFIED : EVENT_ADDED;
	if (t.val.p && !str_eq(row.labels, t.row.labels))
		event.before = t.val;
	event.live = live_of_put(a, &t, op, row.rev);
	event_row_was(&event, t.live_val, &t.live);
	thing_put_row(a, &t, &row, &event.after);
	if (!t.val.p) {
		put_uid(a, op, row.uid);
		add_count(a, op, 1);
	}
	ap_diff(a, t.val, event.after);
	ap_event(a, row.rev, &event);
	return OK;
}

/* ---- OBJECT_STATUS ---- */

static enum code op_object_status(struct apply *a, const struct op *op,
				  struct op_result *res, struct err *err)
{
	AUTO_THING t = { 0 };
	struct object_row row;
	struct event_row event = { .type = EVENT_MODIFIED, .kind = op->kind,
				   .tenant = op->tenant, .name = op->name };
	enum code rc = check_names(&(struct op){ .kind = op->kind,
						 .tenant = op->tenant,
						 .name = op->name,
						 .application = STR("a"),
						 .environment = STR("e"),
						 .config_name = STR("n") },
				   err);

	if (rc == OK)
		rc = thing_load(a, &t, op->tenant, op->kind, op->name, err);
	if (rc == OK && !t.val.p)
		rc = thing_not_found(op, err);
	if (rc == OK)
		rc = thing_check_expect(&t, op, err);
	if (rc)
		return rc;
	row = t.row;
	*res = (struct op_result){ .rev = thing_rev(&t), .uid = row.uid };
	if (str_eq(row.status, op->status))
		return OK;
	if (op->kind == KIND_RELEASE_POLICY)     /* its revision is another */
		releasing_forget_policies(a);
	outbox_status(a, op->kind, op->tenant, op->name, row.status, op->status);
	row.status = op->status;
	row.rev = res->rev = ap_next_rev(a);
	res->changed = true;
	thing_put_row(a, &t, &row, &event.after);
	event.live = t.live_val;
	ap_diff(a, t.val, event.after);
	ap_event(a, row.rev, &event);
	return OK;
}

/* ---- OBJECT_DELETE ---- */

static bool any_key_below(struct apply *a, enum kv_table table, struct str from)
{
	struct kv_cursor c;
	bool found = kv_seek(a->txn, table, from, &c) &&
		     str_starts(c.key, from);

	kv_cursor_close(&c);
	return found;
}

/* Anything but what the system made, which goes with it? */
static bool tenant_is_used(struct apply *a, struct str tenant)
{
	bool used = false;

	for (int kind = 1; kind < KIND__END && !used; kind++) {
		AUTO_BUF key = BUF_NONE;

		key_objects(&key, tenant, (enum kind_id)kind);
		used = kind != KIND_RELEASE && kind != KIND_PROPOSAL &&
		       any_key_below(a, KV_OBJECTS, buf_view(&key));
	}
	return used;
}

static bool application_is_used(struct apply *a, const struct op *op)
{
	AUTO_BUF key = BUF_NONE;

	buf_str(&key, op->tenant);
	buf_c(&key, '\0');
	buf_str(&key, op->name);
	buf_c(&key, '\0');
	return any_key_below(a, KV_LIVE, buf_view(&key));
}

/* Its name is made of both, and may be cut short: its spec says. */
static bool environment_is_used(struct apply *a, const struct op *op,
				const struct object_row *row)
{
	AUTO_BUF key = BUF_NONE;
	struct value *spec;
	struct err err;

	if (a->head->version < VERSION_GATE ||
	    doc_parse_json(row->spec, a->arena, NULL, &spec, &err))
		return false;
	buf_str(&key, op->tenant);
	buf_c(&key, '\0');
	buf_str(&key, value_text_at(spec, "application"));
	buf_c(&key, '\0');
	buf_str(&key, value_text_at(spec, "environment"));
	buf_c(&key, '\0');
	return any_key_below(a, KV_LIVE, buf_view(&key));
}

static bool is_protected(struct apply *a, const struct object_row *row)
{
	const struct value *is;
	struct value *spec;
	struct err err;

	if (a->head->version < VERSION_GATE ||
	    doc_parse_json(row->spec, a->arena, NULL, &spec, &err))
		return false;
	is = value_getz(spec, "protected");
	return is && is->type == VALUE_BOOL && is->b;
}

/* Nothing is deleted that others still stand on. */
static enum code check_unused(struct apply *a, const struct op *op,
			      const struct object_row *row, struct err *err)
{
	bool used = (op->kind == KIND_TENANT && tenant_is_used(a, op->name)) ||
		    (op->kind == KIND_APPLICATION && application_is_used(a, op)) ||
		    (op->kind == KIND_ENVIRONMENT &&
		     environment_is_used(a, op, row));

	if (op->kind == KIND_ENVIRONMENT && is_protected(a, row)) {
		err_set(err, E_CONFLICT, "environment \"%.*s\" is protected",
			STR_ARG(op->name));
		return err_hint(err, "set spec.protected to false first");
	}
	if (!used)
		return OK;
	err_set(err, E_CONFLICT, "%.*s \"%.*s\" is still in use",
		STR_ARG(kind_by_id(op->kind)->singular), STR_ARG(op->name));
	return err_hint(err, "delete what it holds first");
}

static void delete_versions(struct apply *a, struct str tenant, struct uuid uid)
{
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;

	key_versions(&prefix, tenant, uid);
	while (kv_seek(a->txn, KV_VERSIONS, buf_view(&prefix), &c) &&
	       str_starts(c.key, buf_view(&prefix))) {
		struct str key = arena_str(a->arena, c.key);
		struct version_row row;
		bool ok = version_row_decode(c.key, c.val, &row);

		kv_cursor_close(&c);
		if (ok)
			blob_ref(a, tenant, &row.sha, -1);
		ap_del(a, KV_VERSIONS, key);
	}
	kv_cursor_close(&c);
}

static enum code op_object_delete(struct apply *a, const struct op *op,
				  struct op_result *res, struct err *err)
{
	AUTO_THING t = { 0 };
	struct event_row event = { .type = EVENT_DELETED, .kind = op->kind,
				   .tenant = op->tenant, .name = op->name };
	enum code rc = kind_by_id(op->kind) ? OK :
			       err_set(err, E_INVALID, "unknown kind");

	if (rc == OK && (op->name.n > 253 || op->tenant.n > 63))
		rc = err_set(err, E_INVALID, "the name is too long");
	if (rc == OK)
		rc = thing_load(a, &t, op->tenant, op->kind, op->name, err);
	if (rc == OK && !t.val.p)
		rc = thing_not_found(op, err);
	if (rc == OK)
		rc = thing_check_expect(&t, op, err);
	if (rc == OK)
		rc = thing_check_owner(a, &t, err);
	if (rc == OK)
		rc = check_unused(a, op, &t.row, err);
	if (rc)
		return rc;
	if (op->kind == KIND_TENANT) {
		tenant_leave(a, op->name);
		tokens_remove_of(a, op->name);
	}
	if (op->kind == KIND_RELEASE_POLICY)
		rc = releasing_policy(a, op->tenant, t.row.spec, STR_NONE, err);
	if (rc)
		return rc;
	/* Has events of its own, which come first. */
	if (op->kind == KIND_CONFIG)
		releasing_forget(a, op->tenant, &t);
	*res = (struct op_result){ .rev = ap_next_rev(a), .uid = t.row.uid,
				   .changed = true };
	outbox_drift(a, op, &t.row);
	event.before = t.val;
	event.live = t.live_val;
	ap_del(a, KV_OBJECTS, buf_view(&t.key));
	ap_del(a, KV_UIDS, str_n(t.row.uid.b, sizeof(t.row.uid.b)));
	if (op->kind == KIND_CONFIG) {
		ap_del(a, KV_LIVE, buf_view(&t.live_key));
		delete_versions(a, op->tenant, t.row.uid);
	}
	if (op->kind == KIND_WEBHOOK)
		outbox_forget(a, t.row.uid);
	add_count(a, op, -1);
	ap_diff(a, t.val, STR_NONE);
	ap_event(a, res->rev, &event);
	return OK;
}

/* Nothing but the audit record, and so no revision. */
static enum code op_denied(struct apply *a, const struct op *op,
			   struct op_result *res, struct err *err)
{
	if (a->ops.n > DENIED_OPS_MAX)
		return err_set(err, E_INVALID, "a command holds at most %d denials",
			       DENIED_OPS_MAX);
	if (op->name.n == 0 || op->name.n > 253 || op->message.n > 253)
		return err_set(err, E_INVALID, "a denial names who and why in at "
			       "most 253 bytes each");
	ap_diff(a, STR_NONE, op->message);
	*res = (struct op_result){ .changed = true };
	return OK;
}

enum code apply_op(struct apply *a, const struct op *op, struct op_result *res,
		   struct err *err)
{
	switch (op->type) {
	case OP_OBJECT_PUT:
		return op_object_put(a, op, res, err);
	case OP_OBJECT_STATUS:
		return op_object_status(a, op, res, err);
	case OP_OBJECT_DELETE:
		return op_object_delete(a, op, res, err);
	case OP_VERSION_ADD:
		return apply_version_add(a, op, res, err);
	case OP_RULES_SET:
		return apply_rules_set(a, op, res, err);
	case OP_ROLLBACK:
		return apply_rollback(a, op, res, err);
	case OP_TOKEN_PUT:
		return apply_token_put(a, op, res, err);
	case OP_TOKEN_DELETE:
		return apply_token_delete(a, op, res, err);
	case OP_CERTIFICATE_PUT:
		return apply_certificate_put(a, op, res, err);
	case OP_DENIED:
		return op_denied(a, op, res, err);
	case OP_MEMBERS:
		return apply_members(a, op, res, err);
	case OP_SUBJECT_PUT ... OP_HOLD_LIFT:
		return apply_gate_op(a, op, res, err);
	}
	return err_set(err, E_INVALID, "unknown operation %d", (int)op->type);
}
