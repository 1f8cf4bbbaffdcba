/* Views of the state: see view.h. */
#include "state/view.h"

#include "base/clock.h"

#include "base/banned.h"

static enum code malformed(struct err *err, const char *what)
{
	return err_set(err, E_CORRUPT, "%s row is malformed", what);
}

enum code view_head(struct kv_txn *txn, struct head *out, struct err *err)
{
	struct str val;

	if (!kv_get(txn, KV_META, STR("state"), &val)) {
		*out = (struct head){ .audit_seq = 1, .audit_first = 1,
				      .limits = limits_default };
		return OK;
	}
	return head_decode(val, out) ? OK : malformed(err, "the head");
}

/* ---- objects ---- */

static void load_used(struct kv_txn *txn, struct object_view *o)
{
	o->has_used = true;
	for (enum kind_id kind = KIND_NONE; kind < KIND__END; kind++) {
		enum quota_of what = quota_of_kind(kind);

		if (what < QUOTA__COUNT)
			o->used[what] = view_count(txn, o->name, kind);
	}
	o->used[QUOTA_CONTENT_BYTES] = view_count(txn, o->name, COUNT_CONTENT);
}

static enum code load_live(struct kv_txn *txn, struct object_view *o,
			   struct err *err)
{
	struct address at = { o->tenant, o->row.application,
			      o->row.environment, o->row.config_name };
	AUTO_BUF key = BUF_NONE;
	struct str val;

	o->rev = o->row.rev;
	o->has_live = o->kind == KIND_CONFIG;
	if (o->kind == KIND_TENANT)
		load_used(txn, o);
	if (!o->has_live)
		return OK;
	address_key(&key, &at);
	if (!kv_get(txn, KV_LIVE, buf_view(&key), &val) ||
	    !live_row_decode(val, &o->live))
		return malformed(err, "a live");
	o->rev = MAX(o->row.rev, o->live.rev);
	return OK;
}

static enum code load_at(struct kv_txn *txn, struct str key, struct str val,
			 struct object_view *out, struct err *err)
{
	*out = (struct object_view){ 0 };
	if (!key_object_split(key, &out->tenant, &out->kind, &out->name) ||
	    !object_row_decode(val, &out->row))
		return malformed(err, "an object");
	return load_live(txn, out, err);
}

static enum code not_found(enum kind_id id, struct str name, struct err *err)
{
	const struct kind *kind = kind_by_id(id);

	return err_set(err, E_NOT_FOUND, "%.*s.%s \"%.*s\" not found",
		       STR_ARG(kind->plural), API_GROUP, STR_ARG(name));
}

enum code view_object(struct kv_txn *txn, enum kind_id kind, struct str tenant,
		      struct str name, struct object_view *out,
		      struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;
	enum code rc;

	if (tenant.n > 63 || name.n > 253)
		return not_found(kind, str_first(name, 253), err);
	key_object(&key, tenant, kind, name);
	if (!kv_get(txn, KV_OBJECTS, buf_view(&key), &val))
		return not_found(kind, name, err);
	rc = load_at(txn, buf_view(&key), val, out, err);
	/* The caller's strings outlive the key built here. */
	out->tenant = tenant;
	out->name = name;
	return rc;
}

enum code view_by_uid(struct kv_txn *txn, struct uuid uid,
		      struct object_view *out, struct err *err)
{
	struct str key, val;
	char text[37];

	if (!kv_get(txn, KV_UIDS, str_n(uid.b, sizeof(uid.b)), &key)) {
		uuid_text(text, uid);
		return err_set(err, E_NOT_FOUND, "no object has the uid %s",
			       text);
	}
	if (!kv_get(txn, KV_OBJECTS, key, &val))
		return malformed(err, "a uid");
	return load_at(txn, key, val, out, err);
}

/* Lists one tenant; '*on' turns false where 'each' wanted no more. */
static enum code list_tenant(struct kv_txn *txn, enum kind_id kind,
			     struct str tenant, struct str after,
			     view_each *each, void *data, bool *on,
			     struct err *err)
{
	AUTO_BUF prefix = BUF_NONE;
	AUTO_BUF from = BUF_NONE;
	struct kv_cursor c;
	struct object_view o;
	enum code rc = OK;

	key_objects(&prefix, tenant, kind);
	key_object(&from, tenant, kind, after);
	for (bool more = kv_seek(txn, KV_OBJECTS, buf_view(&from), &c);
	     more && *on && rc == OK && str_starts(c.key, buf_view(&prefix));
	     more = kv_next(&c)) {
		if (after.n && str_eq(c.key, buf_view(&from)))
			continue;
		rc = load_at(txn, c.key, c.val, &o, err);
		if (rc == OK)
			*on = each(data, &o);
	}
	kv_cursor_close(&c);
	return rc;
}

enum code view_list(struct kv_txn *txn, enum kind_id kind, struct str tenant,
		    struct str after_tenant, struct str after_name,
		    view_each *each, void *data, struct err *err)
{
	AUTO_BUF tenants = BUF_NONE;
	struct kv_cursor c;
	bool on = true;
	enum code rc = OK;

	if (tenant.n || !kind_by_id(kind)->namespaced)
		return list_tenant(txn, kind, tenant,
				   after_name, each, data, &on, err);
	key_objects(&tenants, STR_NONE, KIND_TENANT);
	for (bool more = kv_seek(txn, KV_OBJECTS, buf_view(&tenants), &c);
	     more && on && rc == OK && str_starts(c.key, buf_view(&tenants));
	     more = kv_next(&c)) {
		struct str name = str_from(c.key, tenants.n);
		int order = str_cmp(name, after_tenant);

		if (order < 0)
			continue;
		rc = list_tenant(txn, kind, name,
				 order == 0 ? after_name : STR_NONE, each, data,
				 &on, err);
	}
	kv_cursor_close(&c);
	return rc;
}

uint64_t view_count(struct kv_txn *txn, struct str tenant, enum kind_id kind)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;
	struct rd rd;

	key_count(&key, tenant, kind);
	if (!kv_get(txn, KV_META, buf_view(&key), &val))
		return 0;
	rd = rd_of(val);
	return rd_u64(&rd);
}

enum code view_quota(struct kv_txn *txn, struct str tenant, enum kind_id kind,
		     struct err *err)
{
	enum quota_of what = quota_of_kind(kind);
	struct object_view o;
	struct quota quota;
	enum code rc;

	if (what == QUOTA__COUNT)
		return OK;
	rc = view_object(txn, KIND_TENANT, STR_NONE, tenant, &o, err);
	if (rc)
		return rc;
	quota_read(&quota, o.row.spec);
	return quota_check(&quota, what, tenant, o.used[what], 1, err);
}

/* ---- as JSON ---- */

/* The members of a JSON object text without its braces, with a comma. */
static void add_members(struct buf *out, struct str object)
{
	if (object.n <= 2)
		return;
	buf_c(out, ',');
	buf_add(out, object.p + 1, object.n - 2);
}

static void add_metadata(struct buf *out, const struct object_view *o)
{
	char time[RFC3339_MAX], uid[37];

	clock_rfc3339(time, o->row.created_ms, false);
	uuid_text(uid, o->row.uid);
	buf_z(out, "\"metadata\":{\"name\":");
	buf_json(out, o->name);
	if (o->tenant.n) {
		buf_z(out, ",\"namespace\":");
		buf_json(out, o->tenant);
	}
	buf_z(out, ",\"uid\":\"");
	buf_z(out, uid);
	buf_z(out, "\",\"resourceVersion\":\"");
	buf_u64(out, o->rev);
	buf_z(out, "\",\"generation\":");
	buf_u64(out, o->row.generation);
	buf_z(out, ",\"creationTimestamp\":\"");
	buf_z(out, time);
	buf_c(out, '"');
	if (o->row.labels.n > 2) {
		buf_z(out, ",\"labels\":");
		buf_str(out, o->row.labels);
	}
	add_members(out, o->row.meta);
	buf_c(out, '}');
}

/* The release that turned back, or who rolled back. */
static void add_held(struct buf *out, const struct live_row *live)
{
	char name[RELEASE_NAME_MAX], time[RFC3339_MAX];

	if (!live->hold_version)
		return;
	buf_printf(out, ",\"version\":%u", live->hold_version);
	if (live->hold_release) {
		release_name(name, live->hold_release);
		buf_printf(out, ",\"release\":\"%s\"", name);
	}
	buf_z(out, ",\"reason\":");
	buf_json(out, live->hold_reason);
	if (live->hold_release) {
		buf_z(out, ",\"commit\":");
		buf_json(out, live->hold_commit);
	}
	if (!live->hold_by.n)
		return;
	clock_rfc3339(time, live->hold_ms, false);
	buf_z(out, ",\"by\":");
	buf_json(out, live->hold_by);
	buf_printf(out, ",\"since\":\"%s\"", time);
}

void view_hold_json(struct buf *out, const struct live_row *live)
{
	buf_z(out, "{\"sha256\":\"");
	buf_hex(out, live->hold.b, sizeof(live->hold.b));
	buf_c(out, '"');
	add_held(out, live);
	buf_c(out, '}');
}

/* What a configuration's status shows beside what was written to it. */
static void add_live(struct buf *out, const struct object_view *o)
{
	struct arena *arena = arena_new(1024);
	struct rules rules;
	int at;

	buf_z(out, "\"managedBy\":\"");
	buf_z(out, manager_name(o->row.manager));
	buf_z(out, "\",\"latestVersion\":");
	buf_u64(out, o->live.last_version);
	if (o->row.manager_ref.n) {
		buf_z(out, ",\"managerRef\":");
		buf_json(out, o->row.manager_ref);
	}
	if (rules_decode(arena, o->live.rules, &rules)) {
		at = rules_default(&rules);
		if (at >= 0) {
			const struct rule *r = &rules.r[at];

			buf_z(out, ",\"version\":");
			buf_u64(out, r->version);
			buf_z(out, ",\"sha256\":\"");
			buf_hex(out, r->sha.b, sizeof(r->sha.b));
			buf_z(out, "\",\"size\":");
			buf_u64(out, r->size);
		}
		buf_z(out, ",\"releases\":");
		rules_json(out, &rules);
	}
	if (o->live.has_hold) {
		buf_z(out, ",\"hold\":");
		view_hold_json(out, &o->live);
	}
	arena_free(&arena);
}

static void add_used(struct buf *out, const struct object_view *o)
{
	buf_z(out, "\"used\":{");
	for (enum quota_of i = 0; i < QUOTA__COUNT; i++) {
		buf_printf(out, "%s\"%s\":", i ? "," : "", quota_name(i));
		buf_u64(out, o->used[i]);
	}
	buf_c(out, '}');
}

void view_json(struct buf *out, const struct object_view *o)
{
	const struct kind *kind = kind_by_id(o->kind);

	buf_z(out, "{\"apiVersion\":\"" API_GROUP_VERSION "\",\"kind\":\"");
	buf_str(out, kind->name);
	buf_z(out, "\",");
	add_metadata(out, o);
	buf_z(out, ",\"spec\":");
	buf_str(out, o->row.spec.n ? o->row.spec : STR("{}"));
	if (o->has_live) {
		buf_z(out, ",\"status\":{");
		add_live(out, o);
		add_members(out, o->row.status);
		buf_c(out, '}');
	} else if (o->has_used) {
		buf_z(out, ",\"status\":{");
		add_used(out, o);
		add_members(out, o->row.status);
		buf_c(out, '}');
	} else if (o->row.status.n) {
		buf_z(out, ",\"status\":");
		buf_str(out, o->row.status);
	}
	buf_c(out, '}');
}

/* ---- configurations ---- */

static enum code find_live(struct kv_txn *txn, const struct address *at,
			   struct live_row *out, struct err *err)
{
	char key[ADDRESS_KEY_MAX + 1];
	struct buf b = { key, 0, sizeof(key) };
	struct str val;

	if (at->tenant.n + at->application.n + at->environment.n + at->name.n +
		    3 > ADDRESS_KEY_MAX)
		return err_set(err, E_NOT_FOUND, "no such configuration");
	address_key(&b, at);
	if (!kv_get(txn, KV_LIVE, buf_view(&b), &val)) {
		err_set(err, E_NOT_FOUND,
			"there is no configuration %.*s/%.*s/%.*s/%.*s",
			STR_ARG(at->tenant), STR_ARG(at->application),
			STR_ARG(at->environment), STR_ARG(at->name));
		return err_hint(err, "addresses read tenant/application/"
				     "environment/name; case counts");
	}
	return live_row_decode(val, out) ? OK : malformed(err, "a live");
}

enum code view_at(struct kv_txn *txn, const struct address *at,
		  struct object_view *out, struct err *err)
{
	struct live_row live;
	enum code rc = find_live(txn, at, &live, err);

	return rc ? rc : view_by_uid(txn, live.uid, out, err);
}

enum code view_config(struct kv_txn *txn, const struct address *at,
		      const struct client *client, struct config_view *out,
		      struct err *err)
{
	enum code rc = find_live(txn, at, &out->live, err);

	if (rc)
		return rc;
	if (!rules_pick_encoded(out->live.rules, client, &out->rule,
				&out->position)) {
		err_set(err, E_NOT_FOUND,
			"%.*s/%.*s/%.*s/%.*s has no release for these labels",
			STR_ARG(at->tenant), STR_ARG(at->application),
			STR_ARG(at->environment), STR_ARG(at->name));
		return err_hint(err, "publish a version, or add a default rule");
	}
	return OK;
}

/* Parts hold no '/', a name may: three of them are NUL bytes in a key. */
static void live_prefix(struct buf *out, struct str prefix)
{
	unsigned parts = 0;

	for (size_t i = 0; i < prefix.n; i++)
		buf_c(out, prefix.p[i] == '/' && parts++ < 3 ? '\0' :
							       prefix.p[i]);
}

enum code view_live(struct kv_txn *txn, struct str prefix, struct str after,
		    view_each_live *each, void *data, struct err *err)
{
	AUTO_BUF from = BUF_NONE;
	struct live_row live;
	struct address at;
	struct kv_cursor c;
	enum code rc = OK;
	bool on = true;

	live_prefix(&from, str_first(prefix, ADDRESS_KEY_MAX));
	for (bool more = kv_seek(txn, KV_LIVE, after.n ? after : buf_view(&from), &c);
	     more && on && rc == OK && str_starts(c.key, buf_view(&from));
	     more = kv_next(&c)) {
		if (after.n && str_eq(c.key, after))
			continue;
		if (!address_of_key(c.key, &at) || !live_row_decode(c.val, &live))
			rc = malformed(err, "a live");
		else
			on = each(data, &at, &live);
	}
	kv_cursor_close(&c);
	return rc;
}

enum code view_chunk(struct kv_txn *txn, struct str tenant,
		     const struct sha256 *sha, uint32_t i, struct str *out,
		     struct err *err)
{
	char key[64 + 1 + 32 + 4 + 1];
	struct buf b = { key, 0, sizeof(key) };
	struct blob_head head;

	must(tenant.n <= 63);
	key_blob(&b, tenant, sha, i);
	if (!kv_get(txn, KV_BLOBS, buf_view(&b), out))
		return err_set(err, E_NOT_FOUND, "the content is not stored");
	if (i == 0 && !blob_head_decode(*out, &head, out))
		return malformed(err, "a blob");
	return OK;
}

enum code view_content(struct kv_txn *txn, struct str tenant,
		       const struct sha256 *sha, uint64_t size,
		       struct buf *out, struct err *err)
{
	struct str chunk;

	for (uint32_t i = 0; i == 0 || (uint64_t)i * BLOB_CHUNK < size; i++) {
		enum code rc = view_chunk(txn, tenant, sha, i, &chunk, err);

		if (rc)
			return rc;
		buf_str(out, chunk);
	}
	return OK;
}

bool view_has_blob(struct kv_txn *txn, struct str tenant,
		   const struct sha256 *sha, uint64_t size)
{
	AUTO_BUF key = BUF_NONE;
	struct blob_head head;
	struct str val;

	key_blob(&key, tenant, sha, 0);
	return kv_get(txn, KV_BLOBS, buf_view(&key), &val) &&
	       blob_head_decode(val, &head, NULL) && head.size == size &&
	       head.stored == size;
}

enum code view_version(struct kv_txn *txn, struct str tenant, struct uuid uid,
		       uint32_t version, struct version_row *out,
		       struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	key_version(&key, tenant, uid, version);
	if (!kv_get(txn, KV_VERSIONS, buf_view(&key), &val))
		return err_set(err, E_NOT_FOUND, "there is no version %u",
			       version);
	return version_row_decode(buf_view(&key), val, out) ?
		       OK :
		       malformed(err, "a version");
}

void view_versions(struct kv_txn *txn, struct str tenant, struct uuid uid,
		   uint32_t before, view_each_version *each, void *data)
{
	AUTO_BUF prefix = BUF_NONE;
	AUTO_BUF end = BUF_NONE;
	struct kv_cursor c;
	struct version_row row;

	key_versions(&prefix, tenant, uid);
	key_version(&end, tenant, uid, before ? before : UINT32_MAX);
	for (bool on = kv_seek_before(txn, KV_VERSIONS, buf_view(&end), &c);
	     on && str_starts(c.key, buf_view(&prefix)); on = kv_prev(&c))
		if (version_row_decode(c.key, c.val, &row) && !each(data, &row))
			break;
	kv_cursor_close(&c);
}

/* ---- events ---- */

enum code view_events(struct kv_txn *txn, uint64_t rev, view_each_event *each,
		      void *data, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct head head;
	struct kv_cursor c;
	struct event_row row;
	enum code rc = view_head(txn, &head, err);

	if (rc)
		return rc;
	if (rev < head.compacted_rev) {
		err_set(err, E_GONE, "too old resource version: %llu (%llu)",
			(unsigned long long)rev,
			(unsigned long long)head.compacted_rev);
		return err_hint(err, "list again, and watch from the revision "
				     "that the list answers");
	}
	wr_u64_be(&key, rev + 1);
	for (bool on = kv_seek(txn, KV_EVENTS, buf_view(&key), &c); on;
	     on = kv_next(&c)) {
		struct rd rd = rd_of(c.key);

		if (!event_row_decode(c.val, &row)) {
			rc = malformed(err, "an event");
			break;
		}
		if (!each(data, rd_u64_be(&rd), &row))
			break;
	}
	kv_cursor_close(&c);
	return rc;
}

bool view_of_event(const struct event_row *event, struct str bytes,
		   uint64_t rev, struct object_view *out)
{
	*out = (struct object_view){ .kind = event->kind,
				     .tenant = event->tenant,
				     .name = event->name, .rev = rev };
	if (!object_row_decode(bytes, &out->row))
		return false;
	if (event->live.n == 0)
		return true;
	out->has_live = live_row_decode(event->live, &out->live);
	return out->has_live;
}

/* ---- audit ---- */

enum code view_audit(struct kv_txn *txn, uint64_t from, view_each_audit *each,
		     void *data, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct kv_cursor c;
	struct audit_row row;
	enum code rc = OK;
	bool right;

	wr_u64_be(&key, from);
	for (bool on = kv_seek(txn, KV_AUDIT, buf_view(&key), &c); on;
	     on = kv_next(&c)) {
		if (!audit_row_decode(c.val, &row, &right)) {
			rc = malformed(err, "an audit");
			break;
		}
		if (!each(data, &row, right))
			break;
	}
	kv_cursor_close(&c);
	return rc;
}

struct verify {
	uint64_t next;
	struct sha256 link;
	const char *wrong;
	uint64_t n;
};

static bool verify_one(void *data, const struct audit_row *row, bool right)
{
	struct verify *v = data;

	if (row->seq != v->next)
		v->wrong = "is missing";
	else if (!right)
		v->wrong = "was changed: its hash is not that of its content";
	else if (!sha256_eq(&row->previous, &v->link))
		v->wrong = "does not follow the record before it";
	if (v->wrong)
		return false;
	v->link = row->hash;
	v->next++;
	v->n++;
	return true;
}

enum code view_audit_verify(struct kv_txn *txn, uint64_t *n, struct err *err)
{
	struct head head;
	struct verify v = { 0 };
	enum code rc = view_head(txn, &head, err);

	if (rc)
		return rc;
	v.next = head.audit_first;
	v.link = head.audit_seal;
	rc = view_audit(txn, head.audit_first, verify_one, &v, err);
	if (rc == OK && !v.wrong && v.next != head.audit_seq)
		v.wrong = "is missing";
	if (rc == OK && !v.wrong && !sha256_eq(&v.link, &head.audit_head))
		v.wrong = "is not the newest that the state knows";
	*n = v.n;
	if (rc == OK && v.wrong)
		rc = err_set(err, E_CORRUPT, "audit record %llu %s",
			     (unsigned long long)v.next, v.wrong);
	return rc;
}

/* ---- tokens ---- */

bool view_token(struct kv_txn *txn, const struct sha256 *sha,
		struct token_row *out)
{
	struct str val;

	return kv_get(txn, KV_TOKENS, str_n(sha->b, sizeof(sha->b)), &val) &&
	       token_row_decode(val, out);
}

void view_tokens(struct kv_txn *txn, view_each_token *each, void *data)
{
	struct kv_cursor c;
	struct token_row row;

	for (bool on = kv_seek(txn, KV_TOKENS, STR_NONE, &c); on;
	     on = kv_next(&c))
		if (token_row_decode(c.val, &row) && !each(data, &row))
			break;
	kv_cursor_close(&c);
}
