/*
 * The operations of a command: objects, versions, rules, roll-back.
 *
 * Each reads the rows it needs, decides, and writes rows and one event.  A
 * refusal leaves writing to be undone by the caller.  Deterministic.
 */
#include "state/apply.h"

#include "base/banned.h"

/* An object with its rows as they stand. */
struct thing {
	struct buf key;
	struct str val;                  /* p NULL: there is none */
	struct object_row row;
	/* CONFIG */
	struct buf live_key;
	struct str live_val;
	struct live_row live;
};

static void thing_fini(struct thing *t)
{
	buf_fini(&t->key);
	buf_fini(&t->live_key);
}

#define AUTO_THING __attribute__((cleanup(thing_fini))) struct thing

static enum code corrupt(struct err *err, const char *what)
{
	err_set(err, E_CORRUPT, "%s row is malformed", what);
	return err_hint(err, "the store is rebuilt from checkpoint and log at "
			     "the next start");
}

static void thing_live_key(struct thing *t, struct str tenant,
			   const struct object_row *row)
{
	struct address at = { tenant, row->application, row->environment,
			      row->config_name };

	buf_reset(&t->live_key);
	address_key(&t->live_key, &at);
}

static enum code thing_load(struct apply *a, struct thing *t, struct str tenant,
			    enum kind_id kind, struct str name, struct err *err)
{
	*t = (struct thing){ 0 };
	key_object(&t->key, tenant, kind, name);
	t->val = ap_get(a, KV_OBJECTS, buf_view(&t->key));
	if (!t->val.p)
		return OK;
	if (!object_row_decode(t->val, &t->row))
		return corrupt(err, "an object");
	if (kind != KIND_CONFIG)
		return OK;
	thing_live_key(t, tenant, &t->row);
	t->live_val = ap_get(a, KV_LIVE, buf_view(&t->live_key));
	if (!t->live_val.p || !live_row_decode(t->live_val, &t->live))
		return corrupt(err, "a live");
	return OK;
}

/* The resourceVersion that people see: of the object or of what is live. */
static uint64_t thing_rev(const struct thing *t)
{
	return MAX(t->row.rev, t->live.rev);
}

static enum code not_found(const struct op *op, struct err *err)
{
	const struct kind *kind = kind_by_id(op->kind);

	return err_set(err, E_NOT_FOUND, "%.*s.%s \"%.*s\" not found",
		       STR_ARG(kind->plural), API_GROUP, STR_ARG(op->name));
}

static enum code check_expect(const struct thing *t, const struct op *op,
			      struct err *err)
{
	const struct kind *kind = kind_by_id(op->kind);

	if (op->expect == REV_NONE && t->val.p)
		return err_set(err, E_EXISTS, "%.*s.%s \"%.*s\" already exists",
			       STR_ARG(kind->plural), API_GROUP,
			       STR_ARG(op->name));
	if (op->expect == REV_ANY || op->expect == REV_NONE)
		return OK;
	if (!t->val.p)
		return not_found(op, err);
	if (thing_rev(t) == op->expect)
		return OK;
	err_set(err, E_CONFLICT,
		"Operation cannot be fulfilled on %.*s.%s \"%.*s\": the object "
		"has been modified; please apply your changes to the latest "
		"version and try again",
		STR_ARG(kind->plural), API_GROUP, STR_ARG(op->name));
	return err_hint(err, "it is at revision %llu, the write expected %llu",
			(unsigned long long)thing_rev(t),
			(unsigned long long)op->expect);
}

/* Who writes: a source is Git with its own name as reference. */
static enum manager writer_of(const struct command *c, struct str *ref)
{
	if (c->subject.role != ROLE_SOURCE) {
		*ref = STR_NONE;
		return MANAGER_API;
	}
	*ref = c->subject.name;
	return MANAGER_GIT;
}

static enum code check_owner(const struct apply *a, const struct thing *t,
			     struct err *err)
{
	struct str ref;
	enum manager who = writer_of(a->cmd, &ref);

	if ((a->cmd->flags & COMMAND_TAKE_OVER) || !t->val.p)
		return OK;
	if (t->row.manager == who && str_eq(t->row.manager_ref, ref))
		return OK;
	if (t->row.manager == MANAGER_API && who == MANAGER_API)
		return OK;
	err_set(err, E_MANAGED, "it is managed by %s%s%.*s",
		manager_name(t->row.manager), t->row.manager_ref.n ? " " : "",
		STR_ARG(t->row.manager_ref));
	return err_hint(err, "change it there, or take it over explicitly");
}

static void put_row(struct apply *a, struct thing *t,
		    const struct object_row *row, struct str *bytes)
{
	AUTO_BUF val = BUF_NONE;

	object_row_encode(&val, row);
	*bytes = arena_str(a->arena, buf_view(&val));
	ap_put(a, KV_OBJECTS, buf_view(&t->key), *bytes);
}

static struct str put_live(struct apply *a, const struct thing *t,
			   const struct live_row *live)
{
	AUTO_BUF val = BUF_NONE;
	struct str bytes;

	live_row_encode(&val, live);
	bytes = arena_str(a->arena, buf_view(&val));
	ap_put(a, KV_LIVE, buf_view(&t->live_key), bytes);
	return bytes;
}

static void add_count(struct apply *a, const struct op *op, int delta)
{
	uint64_t n = ap_count(a, op->tenant, op->kind);

	ap_set_count(a, op->tenant, op->kind, n + (uint64_t)(int64_t)delta);
}

static bool exists(struct apply *a, struct str tenant, enum kind_id kind,
		   struct str name)
{
	AUTO_BUF key = BUF_NONE;

	key_object(&key, tenant, kind, name);
	return kv_get(a->txn, KV_OBJECTS, buf_view(&key), NULL);
}

/* ---- quotas ---- */

static uint64_t used_of(struct apply *a, struct str tenant, enum quota_of what)
{
	for (enum kind_id kind = KIND_NONE; kind < KIND__END; kind++)
		if (quota_of_kind(kind) == what)
			return ap_count(a, tenant, kind);
	return ap_count(a, tenant, COUNT_CONTENT);
}

enum code ap_quota(struct apply *a, struct str tenant, enum quota_of what,
		   uint64_t more, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct object_row row;
	struct quota quota;
	struct str val;

	if (what == QUOTA__COUNT || !tenant.n)
		return OK;
	key_object(&key, STR_NONE, KIND_TENANT, tenant);
	val = ap_get(a, KV_OBJECTS, buf_view(&key));
	if (!val.p)
		return OK;
	if (!object_row_decode(val, &row))
		return corrupt(err, "an object");
	quota_read(&quota, row.spec);
	if (quota.most[what] == UINT64_MAX)
		return OK;
	return quota_check(&quota, what, tenant, used_of(a, tenant, what), more,
			   err);
}

/* ---- OBJECT_PUT ---- */

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
	rc = ap_quota(a, op->tenant, quota_of_kind(op->kind), 1, err);
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
	row.manager = writer_of(a->cmd, &ref);
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
	t->live.rev = rev;
	return put_live(a, t, &t->live);
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
		rc = check_expect(&t, op, err);
	if (rc == OK)
		rc = check_owner(a, &t, err);
	if (rc == OK)
		rc = t.val.p ? check_same_address(&t, op, err) :
			       check_new(a, &t, op, err);
	if (rc)
		return rc;
	row = row_of_op(a, &t, op);
	*res = (struct op_result){ .rev = thing_rev(&t), .uid = row.uid };
	if (t.val.p && row_is_same(&row, &t.row))
		return OK;
	row.rev = res->rev = ap_next_rev(a);
	res->changed = true;
	event.type = t.val.p ? EVENT_MODIFIED : EVENT_ADDED;
	if (t.val.p && !str_eq(row.labels, t.row.labels))
		event.before = t.val;
	event.live = live_of_put(a, &t, op, row.rev);
	event_row_was(&event, t.live_val, &t.live);
	put_row(a, &t, &row, &event.after);
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
		rc = not_found(op, err);
	if (rc == OK)
		rc = check_expect(&t, op, err);
	if (rc)
		return rc;
	row = t.row;
	*res = (struct op_result){ .rev = thing_rev(&t), .uid = row.uid };
	if (str_eq(row.status, op->status))
		return OK;
	row.status = op->status;
	row.rev = res->rev = ap_next_rev(a);
	res->changed = true;
	put_row(a, &t, &row, &event.after);
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

/* Anything but the system's Releases, which go with it? */
static bool tenant_is_used(struct apply *a, struct str tenant)
{
	bool used = false;

	for (int kind = 1; kind < KIND__END && !used; kind++) {
		AUTO_BUF key = BUF_NONE;

		key_objects(&key, tenant, (enum kind_id)kind);
		used = kind != KIND_RELEASE &&
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

/* Nothing is deleted that others still stand on. */
static enum code check_unused(struct apply *a, const struct op *op,
			      struct err *err)
{
	bool used = (op->kind == KIND_TENANT && tenant_is_used(a, op->name)) ||
		    (op->kind == KIND_APPLICATION && application_is_used(a, op));

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
		rc = not_found(op, err);
	if (rc == OK)
		rc = check_expect(&t, op, err);
	if (rc == OK)
		rc = check_owner(a, &t, err);
	if (rc == OK)
		rc = check_unused(a, op, err);
	if (rc)
		return rc;
	if (op->kind == KIND_TENANT)
		release_remove_all(a, op->name);
	*res = (struct op_result){ .rev = ap_next_rev(a), .uid = t.row.uid,
				   .changed = true };
	event.before = t.val;
	event.live = t.live_val;
	ap_del(a, KV_OBJECTS, buf_view(&t.key));
	ap_del(a, KV_UIDS, str_n(t.row.uid.b, sizeof(t.row.uid.b)));
	if (op->kind == KIND_CONFIG) {
		ap_del(a, KV_LIVE, buf_view(&t.live_key));
		delete_versions(a, op->tenant, t.row.uid);
	}
	add_count(a, op, -1);
	ap_diff(a, t.val, STR_NONE);
	ap_event(a, res->rev, &event);
	return OK;
}

/* ---- versions and rules ---- */

static enum code load_config(struct apply *a, struct thing *t,
			     const struct op *op, struct err *err)
{
	enum code rc;

	if (op->kind != KIND_CONFIG || op->name.n > 253 || op->tenant.n > 63)
		return err_set(err, E_INVALID, "not a configuration");
	rc = thing_load(a, t, op->tenant, KIND_CONFIG, op->name, err);
	if (rc)
		return rc;
	if (!t->val.p)
		return not_found(op, err);
	return check_expect(t, op, err);
}

static enum code get_version(struct apply *a, const struct thing *t,
			     struct str tenant, uint32_t version,
			     struct version_row *out, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	key_version(&key, tenant, t->row.uid, version);
	val = ap_get(a, KV_VERSIONS, buf_view(&key));
	if (!val.p)
		return err_set(err, E_UNPROCESSABLE,
			       "version %u does not exist (newest is %u)",
			       version, t->live.last_version);
	if (!version_row_decode(buf_view(&key), val, out))
		return corrupt(err, "a version");
	return OK;
}

/* Is it told to, and is it another's? */
static bool takes_over(const struct apply *a, const struct thing *t)
{
	struct str ref;
	enum manager who = writer_of(a->cmd, &ref);

	return (a->cmd->flags & COMMAND_TAKE_OVER) &&
	       (t->row.manager != who || !str_eq(t->row.manager_ref, ref));
}

/* Writes rules and what else changed of a live row, with its event; and the
 * object, where its manager changes with that. */
static void change_live(struct apply *a, struct thing *t, const struct op *op,
			struct op_result *res)
{
	struct event_row event = { .type = EVENT_MODIFIED, .kind = KIND_CONFIG,
				   .tenant = op->tenant, .name = op->name,
				   .after = t->val };

	t->live.rev = res->rev = ap_next_rev(a);
	res->changed = true;
	event.live = put_live(a, t, &t->live);
	event_row_was(&event, t->live_val, &t->live);
	ap_diff(a, t->live_val, event.live);
	if (takes_over(a, t)) {
		t->row.manager = writer_of(a->cmd, &t->row.manager_ref);
		t->row.rev = res->rev;
		put_row(a, t, &t->row, &event.after);
		ap_diff(a, t->val, event.after);
		t->val = event.after;
	}
	ap_event(a, res->rev, &event);
	t->live_val = event.live;
}

static struct str encode_rules(struct apply *a, const struct rules *rules)
{
	AUTO_BUF b = BUF_NONE;

	rules_encode(&b, rules);
	return arena_str(a->arena, buf_view(&b));
}

static enum code decode_rules(struct apply *a, const struct thing *t,
			      struct rules *out, struct err *err)
{
	if (!rules_decode(a->arena, t->live.rules, out))
		return corrupt(err, "a rules");
	return OK;
}

/* Points the default rule at 'v', making it where there is none; keeps the
 * labelled ones unless 'alone'. */
static enum code move_default(struct apply *a, struct thing *t,
			      const struct version_row *v, bool alone,
			      struct err *err)
{
	struct rules rules;
	enum code rc = decode_rules(a, t, &rules, err);
	int at;
	struct rule *r;

	if (rc)
		return rc;
	at = rules_default(&rules);
	if (at >= 0)
		t->live.stable_version = rules.r[at].version;
	if (alone) {
		rules = (struct rules){ 0 };
		at = -1;
	}
	r = at >= 0 ? &rules.r[at] : rules_add(a->arena, &rules);
	r->version = v->version;
	r->sha = v->sha;
	r->size = v->size;
	rc = rules_check(&rules, err);
	t->live.rules = encode_rules(a, &rules);
	return rc;
}

static uint32_t default_version(struct apply *a, const struct thing *t,
				struct sha256 *sha)
{
	struct rules rules;
	int at;

	if (!rules_decode(a->arena, t->live.rules, &rules))
		return 0;
	at = rules_default(&rules);
	if (at < 0)
		return 0;
	*sha = rules.r[at].sha;
	return rules.r[at].version;
}

static enum code add_version(struct apply *a, struct thing *t,
			     const struct op *op, struct version_row *row,
			     struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;

	enum code rc = blob_take(a, op, err);

	if (rc)
		return rc;
	*row = (struct version_row){
		.version = ++t->live.last_version, .sha = op->sha,
		.size = op->size, .created_ms = a->head->time_ms,
		.rev = a->head->rev + 1,
		.formatting_only = op->formatting_only,
		.format = t->row.format,
		.author = op->author.n ? op->author : a->cmd->subject.name,
		.message = op->message, .commit = a->cmd->commit,
		.path = op->path,
	};
	key_version(&key, op->tenant, t->row.uid, row->version);
	version_row_encode(&val, row);
	ap_put(a, KV_VERSIONS, buf_view(&key), buf_view(&val));
	return OK;
}

static enum code check_author(const struct op *op, struct err *err)
{
	if (op->author.n <= AUTHOR_MAX && str_is_utf8(op->author))
		return OK;
	return err_set(err, E_INVALID, "the author of a version is UTF-8, at most "
		       "%d bytes", AUTHOR_MAX);
}

static enum code op_version_add(struct apply *a, const struct op *op,
				struct op_result *res, struct err *err)
{
	AUTO_THING t = { 0 };
	struct version_row row = { 0 };
	struct sha256 live_sha = { 0 };
	uint32_t live, newest;
	enum code rc = check_author(op, err);

	if (rc == OK)
		rc = load_config(a, &t, op, err);
	if (rc == OK)
		rc = check_owner(a, &t, err);
	if (rc)
		return rc;
	live = default_version(a, &t, &live_sha);
	newest = t.live.last_version;
	*res = (struct op_result){ .rev = thing_rev(&t), .uid = t.row.uid,
				   .version = live };
	a->added_version = live;
	/* A roll-back holds: its source may not bring the same bytes again. */
	if (t.live.has_hold && a->cmd->subject.role == ROLE_SOURCE &&
	    sha256_eq(&t.live.hold, &op->sha))
		return OK;
	if (live && op->release && sha256_eq(&live_sha, &op->sha)) {
		if ((!t.live.has_hold || !op->lift_hold) && !takes_over(a, &t))
			return OK;
		/* The commit went back to what is live: nothing to hold off. */
		t.live.has_hold = false;
		change_live(a, &t, op, res);
		return OK;
	}
	t.live.has_hold = false;
	if (newest)
		rc = get_version(a, &t, op->tenant, newest, &row, err);
	if (rc == OK && (!newest || !sha256_eq(&row.sha, &op->sha)))
		rc = add_version(a, &t, op, &row, err);
	else if (rc == OK && !op->release) {
		res->version = a->added_version = row.version;
		if (takes_over(a, &t))
			change_live(a, &t, op, res);
		return OK;
	}
	if (rc == OK && op->release)
		rc = move_default(a, &t, &row, false, err);
	if (rc)
		return rc;
	res->version = a->added_version = row.version;
	change_live(a, &t, op, res);
	retain_versions(a, op->tenant, t.row.uid, &t.live);
	return OK;
}

static enum code op_rules_set(struct apply *a, const struct op *op,
			      struct op_result *res, struct err *err)
{
	AUTO_THING t = { 0 };
	struct rules rules = { 0 };
	struct sha256 sha;
	uint32_t live;
	enum code rc = load_config(a, &t, op, err);

	if (rc == OK)
		rc = check_owner(a, &t, err);
	for (size_t i = 0; i < op->rules.n && rc == OK; i++) {
		struct rule *r = rules_add(a->arena, &rules);
		struct version_row v = { 0 };

		*r = op->rules.r[i];
		if (r->version == 0)
			r->version = a->added_version;
		rc = get_version(a, &t, op->tenant, r->version, &v, err);
		r->sha = v.sha;
		r->size = v.size;
	}
	if (rc == OK)
		rc = rules_check(&rules, err);
	if (rc)
		return rc;
	*res = (struct op_result){ .rev = thing_rev(&t), .uid = t.row.uid };
	live = default_version(a, &t, &sha);
	if (str_eq(encode_rules(a, &rules), t.live.rules) && !takes_over(a, &t))
		return OK;
	t.live.rules = encode_rules(a, &rules);
	if (live && default_version(a, &t, &sha) != live)
		t.live.stable_version = live;
	change_live(a, &t, op, res);
	return OK;
}

/* The version to go back to when none was named: the one that was live before
 * this one, else the next older number. */
static enum code previous_version(struct apply *a, const struct thing *t,
				  struct str tenant, uint32_t live,
				  uint32_t *out, struct err *err)
{
	AUTO_BUF before = BUF_NONE;
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	struct version_row row;
	bool found;

	if (t->live.stable_version && t->live.stable_version != live &&
	    get_version(a, t, tenant, t->live.stable_version, &row, NULL) == OK) {
		*out = t->live.stable_version;
		return OK;
	}
	key_version(&before, tenant, t->row.uid, live);
	key_versions(&prefix, tenant, t->row.uid);
	found = kv_seek_before(a->txn, KV_VERSIONS, buf_view(&before), &c) &&
		str_starts(c.key, buf_view(&prefix)) &&
		version_row_decode(c.key, c.val, &row);
	kv_cursor_close(&c);
	if (!found)
		return err_set(err, E_UNPROCESSABLE,
			       "there is no earlier version to roll back to");
	*out = row.version;
	return OK;
}

static enum code op_rollback(struct apply *a, const struct op *op,
			     struct op_result *res, struct err *err)
{
	AUTO_THING t = { 0 };
	struct version_row v;
	struct sha256 bad = { 0 };
	uint32_t live, to = op->version;
	enum code rc = load_config(a, &t, op, err);

	if (rc)
		return rc;
	live = default_version(a, &t, &bad);
	if (!live)
		return err_set(err, E_UNPROCESSABLE,
			       "nothing is released, so nothing can be rolled back");
	if (to == 0)
		rc = previous_version(a, &t, op->tenant, live, &to, err);
	if (rc == OK)
		rc = get_version(a, &t, op->tenant, to, &v, err);
	if (rc == OK)
		rc = move_default(a, &t, &v, op->mode == ROLLBACK_EMERGENCY, err);
	if (rc)
		return rc;
	*res = (struct op_result){ .uid = t.row.uid, .version = to };
	if (t.row.manager == MANAGER_GIT && !sha256_eq(&bad, &v.sha)) {
		t.live.has_hold = true;
		t.live.hold = bad;
	}
	change_live(a, &t, op, res);
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
		return op_version_add(a, op, res, err);
	case OP_RULES_SET:
		return op_rules_set(a, op, res, err);
	case OP_ROLLBACK:
		return op_rollback(a, op, res, err);
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
	}
	return err_set(err, E_INVALID, "unknown operation %d", (int)op->type);
}
