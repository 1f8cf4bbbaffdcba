/* The outbox: see outbox.h. */
#include "state/outbox.h"

#include "base/secret.h"
#include "state/apply.h"
#include "state/thing.h"

#include "base/banned.h"

#define GONE_SLICE 1000

/* ---- rows ---- */

static void get_tally(struct kv_txn *txn, struct uuid hook,
		      struct outbox_tally *out)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	key_outbox_of(&key, hook, OUTBOX_TALLY);
	if (!kv_get(txn, KV_OUTBOX, buf_view(&key), &val) ||
	    !outbox_tally_decode(val, out))
		*out = (struct outbox_tally){ 0 };
}

static void put_tally(struct apply *a, struct uuid hook,
		      const struct outbox_tally *t)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;

	key_outbox_of(&key, hook, OUTBOX_TALLY);
	outbox_tally_encode(&val, t);
	ap_put(a, KV_OUTBOX, buf_view(&key), buf_view(&val));
	a->outbox_changes++;
}

static void bytes_go(struct apply *a, struct str tenant, struct outbox_tally *t,
		     uint64_t bytes)
{
	uint64_t n = ap_count(a, tenant, COUNT_OUTBOX_BYTES);

	ap_set_count(a, tenant, COUNT_OUTBOX_BYTES, n - MIN(n, bytes));
	if (t)
		t->bytes -= MIN(t->bytes, bytes);
}

static void put_bytes(struct apply *a, struct str tenant, struct outbox_tally *t,
		      struct str key, struct str val)
{
	uint64_t n = ap_count(a, tenant, COUNT_OUTBOX_BYTES);

	ap_put(a, KV_OUTBOX, key, val);
	ap_set_count(a, tenant, COUNT_OUTBOX_BYTES, n + key.n + val.n);
	t->bytes += key.n + val.n;
}

static void put_event(struct apply *a, struct uuid hook, enum outbox_state state,
		      const struct outbox_row *row, struct outbox_tally *t)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;

	key_outbox(&key, hook, state, row->seq);
	outbox_row_encode(&val, row);
	put_bytes(a, row->tenant, t, buf_view(&key), buf_view(&val));
}

/* A copy; false: there is none. */
static bool get_event(struct apply *a, struct uuid hook, enum outbox_state state,
		      uint64_t seq, struct outbox_row *out)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	key_outbox(&key, hook, state, seq);
	val = ap_get(a, KV_OUTBOX, buf_view(&key));
	return val.p && outbox_row_decode(buf_view(&key), val, out);
}

static void del_event(struct apply *a, struct uuid hook, enum outbox_state state,
		      const struct outbox_row *row, struct outbox_tally *t)
{
	AUTO_BUF key = BUF_NONE;
	struct str val = STR_NONE;

	key_outbox(&key, hook, state, row->seq);
	if (!kv_get(a->txn, KV_OUTBOX, buf_view(&key), &val))
		return;
	bytes_go(a, row->tenant, t, key.n + val.n);
	ap_del(a, KV_OUTBOX, buf_view(&key));
}

static void drop_oldest_dead(struct apply *a, struct uuid hook,
			     struct outbox_tally *t)
{
	AUTO_BUF prefix = BUF_NONE;
	struct outbox_row row = { 0 };
	struct kv_cursor c;
	struct str key = STR_NONE;
	size_t bytes = 0;

	key_outbox_of(&prefix, hook, OUTBOX_REFUSED);
	if (kv_seek(a->txn, KV_OUTBOX, buf_view(&prefix), &c) &&
	    str_starts(c.key, buf_view(&prefix)) &&
	    outbox_row_decode(c.key, c.val, &row)) {
		key = arena_str(a->arena, c.key);
		row.tenant = arena_str(a->arena, row.tenant);
		bytes = c.key.n + c.val.n;
	}
	kv_cursor_close(&c);
	if (!key.p)
		return;
	bytes_go(a, row.tenant, t, bytes);
	ap_del(a, KV_OUTBOX, key);
	t->dead -= t->dead > 0;
	t->lost++;
	t->lost_ms = a->head->time_ms;
}

static bool has_room(struct apply *a, struct str tenant,
		     const struct outbox_tally *t, size_t bytes)
{
	return ap_count(a, tenant, COUNT_OUTBOX_BYTES) + bytes <= OUTBOX_BYTES_MAX ||
	       t->bytes + bytes <= OUTBOX_BYTES_MAX / WEBHOOKS_MAX;
}

/* Its own dead go first. */
static bool make_room(struct apply *a, struct str tenant, struct uuid hook,
		      struct outbox_tally *t, size_t bytes)
{
	uint64_t dead = t->dead;

	while (!has_room(a, tenant, t, bytes) && dead-- > 0) {
		drop_oldest_dead(a, hook, t);
		a->units--;
	}
	return has_room(a, tenant, t, bytes);
}

/* ---- noting ---- */

static uint64_t next_seq(struct apply *a)
{
	struct rd rd = rd_of(ap_get(a, KV_META, KEY_OUTBOX_SEQ));
	uint64_t seq = rd_u64(&rd) + 1;
	AUTO_BUF val = BUF_NONE;

	wr_u64(&val, seq);
	ap_put(a, KV_META, KEY_OUTBOX_SEQ, buf_view(&val));
	return seq;
}

/* Alike on each node, and another in a history that went another way: a restored
 * state has a record of that in its audit. */
static struct uuid make_id(const struct apply *a, uint64_t seq)
{
	AUTO_BUF text = BUF_NONE;
	struct sha256 sha;
	struct uuid id;

	wr_raw(&text, a->head->audit_head.b, sizeof(a->head->audit_head.b));
	wr_u64(&text, seq);
	sha = sha256_of(buf_view(&text));
	memcpy(id.b, sha.b, sizeof(id.b));
	id.b[6] = (id.b[6] & 0x0f) | 0x80;       /* version 8: our own */
	id.b[8] = (id.b[8] & 0x3f) | 0x80;
	return id;
}

/* The webhooks of a tenant that are to be told; bytes of uids. */
static void who_wants(struct apply *a, struct str tenant, enum notice notice,
		      struct buf *out)
{
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	bool on;

	key_objects(&prefix, tenant, KIND_WEBHOOK);
	on = kv_seek(a->txn, KV_OBJECTS, buf_view(&prefix), &c);
	for (; on && str_starts(c.key, buf_view(&prefix)); on = kv_next(&c)) {
		struct object_row row;
		struct webhook hook;

		a->units--;
		if (!object_row_decode(c.val, &row))
			continue;
		webhook_read(a->arena, row.spec, &hook);
		if (!hook.suspend && webhook_wants(&hook, notice))
			wr_raw(out, row.uid.b, sizeof(row.uid.b));
	}
	kv_cursor_close(&c);
}

static void put_lost(struct apply *a, struct uuid hook,
		     const struct outbox_row *row, struct outbox_tally *t)
{
	struct outbox_row lost = {
		.seq = row->seq, .id = row->id, .notice = NOTICE_EVENTS_LOST,
		.time_ms = row->time_ms, .since_ms = row->since_ms,
		.kind = KIND_WEBHOOK,
		.tenant = row->tenant, .data = STR("{}"),
	};

	put_event(a, hook, OUTBOX_WAITING, &lost, t);
}

/* The last that waits says that what follows is lost; that event is one of them. */
static void note_for(struct apply *a, struct uuid hook,
		     const struct outbox_row *row)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;
	struct outbox_tally t;

	get_tally(a->txn, hook, &t);
	key_outbox(&key, hook, OUTBOX_WAITING, row->seq);
	outbox_row_encode(&val, row);
	if (t.waiting < OUTBOX_MAX - 1 &&
	    make_room(a, row->tenant, hook, &t, key.n + val.n)) {
		put_bytes(a, row->tenant, &t, buf_view(&key), buf_view(&val));
		t.waiting++;
		t.is_lossy = false;
	} else {
		if (!t.is_lossy && t.waiting < OUTBOX_MAX) {
			put_lost(a, hook, row, &t);
			t.waiting++;
			t.is_lossy = true;
		}
		t.lost++;
		t.lost_ms = a->head->time_ms;
	}
	put_tally(a, hook, &t);
}

bool outbox_is_heard(struct apply *a, struct str tenant)
{
	return a->head->version >= VERSION_GATE &&
	       ap_count(a, tenant, KIND_WEBHOOK) > 0;
}

void outbox_note(struct apply *a, enum notice notice, struct str tenant,
		 enum kind_id kind, struct str name, struct str data)
{
	AUTO_BUF hooks = BUF_NONE;
	struct outbox_row row = {
		.notice = notice, .time_ms = a->head->time_ms,
		.since_ms = a->head->time_ms, .kind = kind, .tenant = tenant, .name = name,
		.data = data.n > OUTBOX_DATA_MAX ? STR("{\"truncated\":true}") :
						   data,
	};

	if (!outbox_is_heard(a, tenant))
		return;
	who_wants(a, tenant, notice, &hooks);
	if (hooks.n == 0)
		return;
	row.seq = next_seq(a);
	row.id = make_id(a, row.seq);
	for (size_t at = 0; at < hooks.n; at += sizeof(struct uuid)) {
		struct uuid hook;

		memcpy(hook.b, hooks.p + at, sizeof(hook.b));
		a->units--;
		note_for(a, hook, &row);
	}
}

void outbox_status(struct apply *a, enum kind_id kind, struct str tenant,
		   struct str name, struct str before, struct str after)
{
	AUTO_BUF data = BUF_NONE;
	struct str reason, message;

	if (kind != KIND_SOURCE || !outbox_is_heard(a, tenant))
		return;
	if (!str_is(condition_ready(a->arena, after, &reason, &message), "False") ||
	    str_is(condition_ready(a->arena, before, NULL, NULL), "False"))
		return;
	buf_z(&data, "{\"message\":");
	buf_json(&data, message);
	buf_z(&data, ",\"reason\":");
	buf_json(&data, reason);
	buf_c(&data, '}');
	outbox_note(a, NOTICE_SOURCE_FAILED, tenant, kind, name, buf_view(&data));
}

void outbox_drift(struct apply *a, const struct op *op,
		  const struct object_row *was)
{
	AUTO_BUF data = BUF_NONE;
	struct str ref;
	enum manager who = thing_writer(a->cmd, &ref);

	if (op->kind != KIND_CONFIG || was->manager != MANAGER_GIT ||
	    (who == MANAGER_GIT && str_eq(ref, was->manager_ref)) ||
	    !outbox_is_heard(a, op->tenant))
		return;
	buf_z(&data, "{\"author\":");
	buf_json(&data, a->cmd->subject.name);
	buf_z(&data, ",\"change\":");
	buf_json(&data, op->type == OP_OBJECT_DELETE ? STR("delete") :
			op->type == OP_OBJECT_PUT ? STR("write") :
			op->type == OP_ROLLBACK ? STR("rollback") :
			op->type == OP_RULES_SET ? STR("rules") : STR("publish"));
	buf_z(&data, ",\"manager\":");
	buf_json(&data, was->manager_ref);
	buf_z(&data, ",\"reason\":");
	buf_json(&data, a->cmd->reason);
	buf_c(&data, '}');
	outbox_note(a, NOTICE_DRIFT, op->tenant, op->kind, op->name,
		    buf_view(&data));
}

/* ---- webhooks that are deleted ---- */

void outbox_forget(struct apply *a, struct uuid hook)
{
	AUTO_BUF key = BUF_NONE;
	struct outbox_tally t;

	ap_del(a, KV_HOOK_KEYS, str_n(hook.b, sizeof(hook.b)));
	get_tally(a->txn, hook, &t);
	key_outbox_of(&key, hook, OUTBOX_TALLY);
	if (!ap_del(a, KV_OUTBOX, buf_view(&key)))
		return;
	a->outbox_changes++;
	if (t.waiting + t.dead == 0)
		return;
	buf_reset(&key);
	buf_str(&key, KEY_OUTBOX_GONE);
	wr_raw(&key, hook.b, sizeof(hook.b));
	ap_put(a, KV_META, buf_view(&key), STR(""));
}

static bool first_gone(struct kv_txn *txn, struct uuid *hook)
{
	struct kv_cursor c;
	bool found = kv_seek(txn, KV_META, KEY_OUTBOX_GONE, &c) &&
		     str_starts(c.key, KEY_OUTBOX_GONE) &&
		     c.key.n == KEY_OUTBOX_GONE.n + sizeof(hook->b);

	if (found)
		memcpy(hook->b, c.key.p + KEY_OUTBOX_GONE.n, sizeof(hook->b));
	kv_cursor_close(&c);
	return found;
}

bool outbox_is_due(struct kv_txn *txn)
{
	struct uuid hook;

	return first_gone(txn, &hook);
}

void outbox_tick(struct apply *a)
{
	AUTO_BUF mark = BUF_NONE;
	struct uuid hook;
	struct str prefix = { (char *)hook.b, sizeof(hook.b) };
	unsigned n = 0;
	bool on = first_gone(a->txn, &hook);

	if (!on)
		return;
	while (on && n++ < GONE_SLICE) {
		struct kv_cursor c;
		struct outbox_row row;
		struct str key = STR_NONE, tenant = STR_NONE;
		size_t bytes = 0;

		on = kv_seek(a->txn, KV_OUTBOX, prefix, &c) &&
		     str_starts(c.key, prefix);
		if (on) {
			key = arena_str(a->arena, c.key);
			bytes = c.key.n + c.val.n;
		}
		if (on && outbox_row_decode(c.key, c.val, &row))
			tenant = arena_str(a->arena, row.tenant);
		kv_cursor_close(&c);
		if (on && tenant.n)
			bytes_go(a, tenant, NULL, bytes);
		if (on)
			ap_del(a, KV_OUTBOX, key);
	}
	if (on)
		return;
	buf_str(&mark, KEY_OUTBOX_GONE);
	buf_str(&mark, prefix);
	ap_del(a, KV_META, buf_view(&mark));
}

/* ---- operations ---- */

static enum code load_hook(struct apply *a, const struct op *op,
			   struct object_row *row, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	if (op->kind != KIND_WEBHOOK || op->name.n == 0 || op->name.n > 253 ||
	    op->tenant.n > 63)
		return err_set(err, E_INVALID, "not a webhook");
	key_object(&key, op->tenant, KIND_WEBHOOK, op->name);
	val = ap_get(a, KV_OBJECTS, buf_view(&key));
	if (!val.p)
		return err_set(err, E_NOT_FOUND,
			       "webhooks." API_GROUP " \"%.*s\" not found",
			       STR_ARG(op->name));
	if (!object_row_decode(val, row))
		return err_set(err, E_CORRUPT, "an object row is malformed");
	return OK;
}

static void put_dead(struct apply *a, struct uuid hook, struct outbox_row *row,
		     struct str error, struct outbox_tally *t)
{
	if (t->dead >= OUTBOX_DEAD_MAX)
		drop_oldest_dead(a, hook, t);
	row->dead_ms = a->head->time_ms;
	row->error = error;
	put_event(a, hook, OUTBOX_REFUSED, row, t);
	t->dead++;
}

/* What came of a delivery, by the leader alone; one that is told twice changes
 * nothing. */
static enum code delivered(struct apply *a, const struct op *op,
			   const struct object_row *hook, struct op_result *res,
			   struct err *err)
{
	struct outbox_row row;
	struct outbox_tally t;

	if (a->cmd->subject.role != ROLE_SYSTEM)
		return err_set(err, E_DENIED, "only the leader says what came of a "
			       "delivery");
	if (!get_event(a, hook->uid, OUTBOX_WAITING, op->count, &row))
		return OK;
	get_tally(a->txn, hook->uid, &t);
	del_event(a, hook->uid, OUTBOX_WAITING, &row, &t);
	t.waiting -= t.waiting > 0;
	if (op->outbox == OUTBOX_DEAD) {
		put_dead(a, hook->uid, &row, op->message, &t);
		ap_diff(a, STR("waiting"), STR("dead"));
		res->changed = true;
	} else {
		t.delivered++;
		t.delivered_ms = a->head->time_ms;
	}
	put_tally(a, hook->uid, &t);
	return OK;
}

static enum code from_dead(struct apply *a, const struct op *op,
			   const struct object_row *hook, struct op_result *res,
			   struct err *err)
{
	struct outbox_row row;
	struct outbox_tally t;

	if (!get_event(a, hook->uid, OUTBOX_REFUSED, op->count, &row)) {
		err_set(err, E_NOT_FOUND, "event %llu is not among the dead ones of "
			"webhook \"%.*s\"", (unsigned long long)op->count,
			STR_ARG(op->name));
		return err_hint(err, "conflux webhook dead %.*s", STR_ARG(op->name));
	}
	get_tally(a->txn, hook->uid, &t);
	/* The last place is for the word that events are lost: see note_for. */
	if (op->outbox == OUTBOX_AGAIN && t.waiting >= OUTBOX_MAX - 1)
		return err_set(err, E_CONFLICT, "%d events wait for webhook \"%.*s\" "
			       "already", OUTBOX_MAX - 1, STR_ARG(op->name));
	del_event(a, hook->uid, OUTBOX_REFUSED, &row, &t);
	t.dead -= t.dead > 0;
	if (op->outbox == OUTBOX_AGAIN) {
		row.dead_ms = 0;
		row.error = STR_NONE;
		row.since_ms = a->head->time_ms;
		put_event(a, hook->uid, OUTBOX_WAITING, &row, &t);
		t.waiting++;
	}
	put_tally(a, hook->uid, &t);
	ap_diff(a, STR("dead"),
		op->outbox == OUTBOX_AGAIN ? STR("waiting") : STR_NONE);
	res->changed = true;
	return OK;
}

enum code apply_outbox(struct apply *a, const struct op *op,
		       struct op_result *res, struct err *err)
{
	struct object_row hook;
	enum code rc;

	*res = (struct op_result){ 0 };
	if (op->message.n > OUTBOX_ERROR_MAX)
		return err_set(err, E_INVALID, "what went wrong is said in at most "
			       "%d bytes", OUTBOX_ERROR_MAX);
	rc = load_hook(a, op, &hook, err);
	/* It was deleted while it was told. */
	if (rc == E_NOT_FOUND && a->cmd->subject.role == ROLE_SYSTEM)
		return OK;
	if (rc)
		return rc;
	res->uid = hook.uid;
	if (op->outbox == OUTBOX_DELIVERED || op->outbox == OUTBOX_DEAD)
		return delivered(a, op, &hook, res, err);
	return from_dead(a, op, &hook, res, err);
}

/* The key itself is told to nobody again: the audit has that there is a new one. */
enum code apply_hook_key(struct apply *a, const struct op *op,
			 struct op_result *res, struct err *err)
{
	struct hook_key_row row = { 0 }, was;
	struct object_row hook;
	AUTO_BUF val = BUF_NONE;
	enum code rc = load_hook(a, op, &hook, err);

	if (rc)
		return rc;
	if (op->bytes.n != HOOK_KEY_BYTES)
		return err_set(err, E_INVALID, "a webhook's key has %d bytes",
			       HOOK_KEY_BYTES);
	memcpy(row.key, op->bytes.p, sizeof(row.key));
	row.made_ms = a->head->time_ms;
	if (!op->force && view_hook_key(a->txn, hook.uid, &was)) {
		memcpy(row.before, was.key, sizeof(row.before));
		row.before_until_ms = a->head->time_ms + HOOK_KEY_GRACE_MS;
	}
	hook_key_encode(&val, &row);
	ap_put(a, KV_HOOK_KEYS, str_n(hook.uid.b, sizeof(hook.uid.b)),
	       buf_view(&val));
	wipe(val.p, val.n);
	wipe(&row, sizeof(row));
	ap_diff(a, STR_NONE, STR("key"));
	a->outbox_changes++;
	*res = (struct op_result){ .uid = hook.uid, .changed = true };
	return OK;
}

enum code outbox_may_add(struct apply *a, struct str tenant, struct err *err)
{
	if (ap_count(a, tenant, KIND_WEBHOOK) < WEBHOOKS_MAX)
		return OK;
	return err_set(err, E_QUOTA, "tenant %.*s has %d webhooks, which is the most",
		       STR_ARG(tenant), WEBHOOKS_MAX);
}

enum code outbox_may_vote(struct apply *a, struct str tenant, struct str name,
			  struct err *err)
{
	struct op op = { .kind = KIND_WEBHOOK, .tenant = tenant, .name = name };
	struct object_row row;
	struct webhook hook;
	enum code rc = load_hook(a, &op, &row, err);

	if (rc == E_CORRUPT)
		return rc;
	if (rc == OK) {
		webhook_read(a->arena, row.spec, &hook);
		if (hook.may_approve && !hook.suspend)
			return OK;
	}
	err_set(err, E_DENIED, "webhook %.*s/%.*s may not vote", STR_ARG(tenant),
		STR_ARG(name));
	return err_hint(err, "spec.mayApprove of the webhook lets it");
}

/* ---- views ---- */

bool view_hook_key(struct kv_txn *txn, struct uuid hook,
		   struct hook_key_row *out)
{
	struct str val;

	return kv_get(txn, KV_HOOK_KEYS, str_n(hook.b, sizeof(hook.b)), &val) &&
	       hook_key_decode(val, out);
}

void view_outbox_tally(struct kv_txn *txn, struct uuid hook,
		       struct outbox_tally *out)
{
	get_tally(txn, hook, out);
}

void view_outbox(struct kv_txn *txn, struct uuid hook, enum outbox_state state,
		 uint64_t after, view_each_outbox *each, void *data)
{
	AUTO_BUF prefix = BUF_NONE;
	AUTO_BUF from = BUF_NONE;
	struct outbox_row row;
	struct kv_cursor c;
	bool on;

	key_outbox_of(&prefix, hook, state);
	key_outbox(&from, hook, state, after + 1);
	on = after < UINT64_MAX && kv_seek(txn, KV_OUTBOX, buf_view(&from), &c);
	while (on && str_starts(c.key, buf_view(&prefix)))
		on = outbox_row_decode(c.key, c.val, &row) && each(data, &row) &&
		     kv_next(&c);
	if (after < UINT64_MAX)
		kv_cursor_close(&c);
}

bool view_outbox_at(struct kv_txn *txn, struct uuid hook,
		    enum outbox_state state, uint64_t seq,
		    struct outbox_row *out)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	key_outbox(&key, hook, state, seq);
	return kv_get(txn, KV_OUTBOX, buf_view(&key), &val) &&
	       outbox_row_decode(buf_view(&key), val, out);
}

/* The first key behind all of one webhook's is of the next. */
bool view_outbox_next(struct kv_txn *txn, struct uuid *hook)
{
	bool found = false, on = true;

	while (on && !found) {
		AUTO_BUF from = BUF_NONE;
		struct kv_cursor c;

		wr_raw(&from, hook->b, sizeof(hook->b));
		wr_u8(&from, 0xff);
		on = kv_seek(txn, KV_OUTBOX, buf_view(&from), &c) &&
		     c.key.n > sizeof(hook->b);
		if (on) {
			memcpy(hook->b, c.key.p, sizeof(hook->b));
			found = c.key.p[sizeof(hook->b)] == OUTBOX_WAITING;
		}
		kv_cursor_close(&c);
	}
	return found;
}
