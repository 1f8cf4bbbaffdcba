/*
 * Content and what is removed: blobs, and the retention of events, audit,
 * idempotency rows, versions and staged parts.
 *
 * Nothing is removed by a node's own clock: a TICK command carries the time,
 * and each does at most a slice, so that no apply takes long.
 */
#include "state/due.h"
#include "state/collect.h"
#include "state/rollout.h"

#include "base/banned.h"

#define SLICE 1000
#define STAGED_MS 3600000

/* ---- blobs ---- */

static void put_blob_chunk0(struct apply *a, struct str key,
			    const struct blob_head *head, struct str bytes)
{
	AUTO_BUF val = BUF_NONE;

	blob_head_encode(&val, head);
	buf_str(&val, bytes);
	ap_put(a, KV_BLOBS, key, buf_view(&val));
}

/* Content counts for its tenant while a version names it.  What was there before
 * anybody counted never makes it less than nothing. */
static void count_content(struct apply *a, struct str tenant, uint64_t size,
			  uint32_t before, uint32_t after)
{
	uint64_t n;

	if ((before > 0) == (after > 0) || size == 0)
		return;
	n = ap_count(a, tenant, COUNT_CONTENT);
	n = after ? n + size : n - MIN(n, size);
	ap_set_count(a, tenant, COUNT_CONTENT, n);
}

/* The last version that named it is gone, and since that one came, at 'since_ms',
 * nobody has brought it or named it: nobody is on his way to name it either, and who is
 * nevertheless sends it again (E_BLOB_MISSING).  Larger content is left to the ticks. */
static bool is_over(const struct apply *a, const struct blob_head *head,
		    uint64_t since_ms)
{
	return a->head->version >= VERSION_GATE && head->refs == 1 &&
	       head->size <= BLOB_CHUNK && head->touched_ms <= since_ms;
}

void blob_drop(struct apply *a, struct str tenant, const struct version_row *row)
{
	AUTO_BUF key = BUF_NONE;
	struct blob_head head;
	struct str val;

	key_blob(&key, tenant, &row->sha, 0);
	if (!kv_get(a->txn, KV_BLOBS, buf_view(&key), &val) ||
	    !blob_head_decode(val, &head, NULL) ||
	    !is_over(a, &head, row->created_ms)) {
		blob_ref(a, tenant, &row->sha, -1);
		return;
	}
	count_content(a, tenant, head.size, 1, 0);
	ap_del(a, KV_BLOBS, buf_view(&key));
}

void blob_ref(struct apply *a, struct str tenant, const struct sha256 *sha,
	      int delta)
{
	AUTO_BUF key = BUF_NONE;
	struct blob_head head;
	struct str val, bytes;

	key_blob(&key, tenant, sha, 0);
	val = ap_get(a, KV_BLOBS, buf_view(&key));
	if (!val.p || !blob_head_decode(val, &head, &bytes))
		return;
	count_content(a, tenant, head.size, head.refs,
		      head.refs + (uint32_t)delta);
	head.refs += (uint32_t)delta;
	head.touched_ms = a->head->time_ms;
	put_blob_chunk0(a, buf_view(&key), &head, bytes);
}

/* Parts come in order, aligned to chunks, because the log keeps order. */
static enum code check_blob(const struct command *c, struct err *err)
{
	if (tenant_check(c->tenant, err))
		return E_INVALID;
	if (c->total > CONTENT_BYTES_MAX || c->bytes.n > BLOB_PART_MAX ||
	    c->offset > c->total || c->bytes.n > c->total - c->offset)
		return err_set(err, E_TOO_LARGE, "content of %llu bytes, a part "
			       "of %zu at %llu",
			       (unsigned long long)c->total, c->bytes.n,
			       (unsigned long long)c->offset);
	if (c->offset % BLOB_CHUNK ||
	    (c->offset + c->bytes.n != c->total && c->bytes.n % BLOB_CHUNK))
		return err_set(err, E_INVALID, "a part of content is not "
			       "aligned to chunks");
	return OK;
}

/* Adds 'refs' references to it as well. */
static enum code store_blob(struct apply *a, const struct command *c,
			    uint32_t refs, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct blob_head head = { .size = c->total };
	struct str val, first = STR_NONE;
	enum code rc = check_blob(c, err);

	if (rc)
		return rc;
	key_blob(&key, c->tenant, &c->sha, 0);
	val = ap_get(a, KV_BLOBS, buf_view(&key));
	if (val.p && !blob_head_decode(val, &head, &first))
		return err_set(err, E_CORRUPT, "a blob row is malformed");
	head.touched_ms = a->head->time_ms;
	count_content(a, c->tenant, head.size, head.refs, head.refs + refs);
	head.refs += refs;
	if (val.p && (head.stored == head.size || head.stored != c->offset)) {
		put_blob_chunk0(a, buf_view(&key), &head, first);
		return OK;
	}
	if (c->offset == 0)
		first = str_first(c->bytes, BLOB_CHUNK);
	else if (!val.p)
		return err_set(err, E_BLOB_MISSING, "earlier parts are missing");
	for (uint64_t at = c->offset ? 0 : BLOB_CHUNK; at < c->bytes.n;
	     at += BLOB_CHUNK) {
		AUTO_BUF k = BUF_NONE;

		key_blob(&k, c->tenant, &c->sha,
			 (uint32_t)((c->offset + at) / BLOB_CHUNK));
		ap_put(a, KV_BLOBS, buf_view(&k),
		       str_first(str_from(c->bytes, at), BLOB_CHUNK));
	}
	head.stored = c->offset + c->bytes.n;
	put_blob_chunk0(a, buf_view(&key), &head, first);
	return OK;
}

enum code apply_blob(struct apply *a, const struct command *c, struct err *err)
{
	return store_blob(a, c, 0, err);
}

static enum code store_part(struct apply *a, const struct content_part *part,
			    uint32_t refs, struct err *err)
{
	struct command blob = { .type = COMMAND_BLOB, .tenant = part->tenant,
				.sha = part->sha, .bytes = part->bytes,
				.total = part->bytes.n };

	return store_blob(a, &blob, refs, err);
}

enum code apply_contents(struct apply *a, struct err *err)
{
	const struct command *c = a->cmd;
	enum code rc = OK;

	if (a->ops.n)
		return OK;
	for (size_t i = 0; i < c->n_contents && rc == OK; i++)
		rc = store_part(a, &c->contents[i], 0, err);
	return rc;
}

static const struct content_part *part_of(const struct command *c,
					  struct str tenant,
					  const struct sha256 *sha)
{
	for (size_t i = 0; i < c->n_contents; i++)
		if (sha256_eq(&c->contents[i].sha, sha) &&
		    str_eq(c->contents[i].tenant, tenant))
			return &c->contents[i];
	return NULL;
}

static bool blob_is_whole(struct apply *a, struct str tenant,
			  const struct sha256 *sha, uint64_t size)
{
	AUTO_BUF key = BUF_NONE;
	struct blob_head head;
	struct str val;

	key_blob(&key, tenant, sha, 0);
	return kv_get(a->txn, KV_BLOBS, buf_view(&key), &val) &&
	       blob_head_decode(val, &head, NULL) && head.size == size &&
	       head.stored == head.size;
}

static bool is_counted(struct apply *a, struct str tenant,
		       const struct sha256 *sha)
{
	AUTO_BUF key = BUF_NONE;
	struct blob_head head;
	struct str val;

	key_blob(&key, tenant, sha, 0);
	return kv_get(a->txn, KV_BLOBS, buf_view(&key), &val) &&
	       blob_head_decode(val, &head, NULL) && head.refs > 0;
}

enum code blob_take(struct apply *a, const struct op *op, struct err *err)
{
	const struct content_part *part = part_of(a->cmd, op->tenant, &op->sha);
	enum code rc = is_counted(a, op->tenant, &op->sha) ? OK :
		       ap_quota(a, op->tenant, QUOTA_CONTENT_BYTES, op->size,
				err);

	if (rc)
		return rc;
	if (part && part->bytes.n == op->size &&
	    part->bytes.n <= CONTENT_INLINE_MAX)
		return store_part(a, part, 1, err);
	if (!blob_is_whole(a, op->tenant, &op->sha, op->size))
		return err_set(err, E_BLOB_MISSING,
			       "the content of %.*s is not stored",
			       STR_ARG(op->name));
	blob_ref(a, op->tenant, &op->sha, 1);
	return OK;
}

/* ---- versions ---- */

static bool is_referenced(struct apply *a, struct str tenant,
			  const struct live_row *live, uint32_t version)
{
	struct rules rules;

	return !rules_decode(a->arena, live->rules, &rules) ||
	       collect_name(a->txn, tenant, live, &rules, version);
}

void retain_versions(struct apply *a, struct str tenant, struct uuid uid,
		     const struct live_row *live)
{
	uint64_t max = a->head->limits.versions_max;
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	struct version_row row;
	bool on;

	if (live->last_version <= max)
		return;
	key_versions(&prefix, tenant, uid);
	on = kv_seek(a->txn, KV_VERSIONS, buf_view(&prefix), &c);
	while (on && str_starts(c.key, buf_view(&prefix)) &&
	       version_row_decode(c.key, c.val, &row) &&
	       row.version + max <= live->last_version) {
		struct str key = arena_str(a->arena, c.key);

		if (is_referenced(a, tenant, live, row.version)) {
			on = kv_next(&c);
			continue;
		}
		kv_cursor_close(&c);
		blob_drop(a, tenant, &row);
		ap_del(a, KV_VERSIONS, key);
		on = kv_seek(a->txn, KV_VERSIONS, key, &c);
	}
	kv_cursor_close(&c);
}

/* ---- idempotency ---- */

void retain_idem(struct apply *a, unsigned most)
{
	struct head *h = a->head;

	while (most--) {
		struct kv_cursor c;
		struct rd rd;
		struct str key;

		if (!kv_seek(a->txn, KV_IDEM_DUE, STR_NONE, &c)) {
			kv_cursor_close(&c);
			return;
		}
		key = arena_str(a->arena, c.key);
		kv_cursor_close(&c);
		rd = rd_of(key);
		if (rd_u64_be(&rd) > h->time_ms && h->n_idem <= h->limits.idem_max)
			return;
		ap_del(a, KV_IDEM_DUE, key);
		ap_del(a, KV_IDEM, str_from(key, 8));
		h->n_idem -= h->n_idem > 0;
	}
}

/* ---- events ---- */

void retain_event(struct apply *a, uint64_t rev, size_t bytes)
{
	uint64_t n;

	if (a->head->version < VERSION_GATE)
		return;
	n = ap_count(a, STR_NONE, COUNT_EVENT_BYTES);
	if (n == 0 && ap_count(a, STR_NONE, COUNT_EVENTS_SINCE) == 0)
		ap_set_count(a, STR_NONE, COUNT_EVENTS_SINCE, rev);
	ap_set_count(a, STR_NONE, COUNT_EVENT_BYTES, n + bytes);
}

static void event_goes(struct apply *a, struct str key, size_t bytes)
{
	uint64_t since = ap_count(a, STR_NONE, COUNT_EVENTS_SINCE);
	uint64_t n = ap_count(a, STR_NONE, COUNT_EVENT_BYTES);
	struct rd rd = rd_of(key);

	if (since && rd_u64_be(&rd) >= since)
		ap_set_count(a, STR_NONE, COUNT_EVENT_BYTES, n - MIN(n, bytes));
	ap_del(a, KV_EVENTS, key);
}

static uint64_t event_bytes(struct kv_txn *txn)
{
	AUTO_BUF key = BUF_NONE;
	struct str val = STR_NONE;
	struct rd rd;

	key_count(&key, STR_NONE, COUNT_EVENT_BYTES);
	kv_get(txn, KV_META, buf_view(&key), &val);
	rd = rd_of(val);
	return rd_u64(&rd);
}

static bool events_are_many(const struct head *h, uint64_t bytes)
{
	return bytes > h->limits.bytes_max / EVENTS_SHARE;
}

/* The first event that stays: compaction ends at a command's end, so that no
 * watcher resumes in the middle of one. */
static bool event_is_old(const struct head *h, uint64_t rev, uint64_t time_ms)
{
	return rev <= h->compacted_rev ||
	       time_ms + h->limits.events_ms < h->time_ms ||
	       rev + h->limits.events_max <= h->rev;
}

/* As it was before VERSION_GATE: all events of a command at once. */
static void tick_events_whole(struct apply *a)
{
	struct head *h = a->head;
	unsigned n = 0;
	struct kv_cursor c;
	bool on = kv_seek(a->txn, KV_EVENTS, STR_NONE, &c);
	bool whole = true;

	while (on && (n < SLICE || !whole)) {
		struct rd rd = rd_of(c.key);
		uint64_t rev = rd_u64_be(&rd);
		struct event_row row;
		struct str key;

		if (!event_row_decode(c.val, &row) ||
		    (whole && !event_is_old(h, rev, row.time_ms)))
			break;
		whole = row.end;
		key = arena_str(a->arena, c.key);
		kv_cursor_close(&c);
		ap_del(a, KV_EVENTS, key);
		h->compacted_rev = MAX(h->compacted_rev, rev);
		n++;
		on = kv_seek(a->txn, KV_EVENTS, STR_NONE, &c);
	}
	kv_cursor_close(&c);
}

/* The last revision of the command at which 'c' stands, or 0: it is not old enough, or
 * cannot be read.  Where they have too many bytes the first is. */
static uint64_t end_of_old(const struct head *h, struct kv_cursor *c, bool many)
{
	bool on = true, is_first = true;
	struct event_row row;
	uint64_t rev = 0;

	for (; on; on = kv_next(c)) {
		struct rd rd = rd_of(c->key);

		rev = rd_u64_be(&rd);
		if (!event_row_decode(c->val, &row) ||
		    (is_first && !many && !event_is_old(h, rev, row.time_ms)))
			return 0;
		if (row.end)
			break;
		is_first = false;
	}
	return rev;
}

/* A command may have a million of them: what is over moves to its end at once, and the
 * rows go a slice at a time. */
static void tick_events(struct apply *a)
{
	struct head *h = a->head;

	if (h->version < VERSION_GATE) {
		tick_events_whole(a);
		return;
	}
	for (unsigned n = 0; n < SLICE; n++) {
		AUTO_BUF key = BUF_NONE;
		struct kv_cursor c;
		bool on = kv_seek(a->txn, KV_EVENTS, STR_NONE, &c);
		struct rd rd = rd_of(on ? c.key : STR_NONE);
		size_t bytes = on ? c.key.n + c.val.n : 0;

		if (on) {
			bool many = events_are_many(h, ap_count(a, STR_NONE,
								COUNT_EVENT_BYTES));

			buf_str(&key, c.key);
			if (rd_u64_be(&rd) > h->compacted_rev)
				h->compacted_rev = MAX(h->compacted_rev,
						       end_of_old(h, &c, many));
			rd = rd_of(buf_view(&key));
			on = rd_u64_be(&rd) <= h->compacted_rev;
		}
		kv_cursor_close(&c);
		if (!on)
			return;
		event_goes(a, buf_view(&key), bytes);
	}
}

/* ---- audit ---- */

static void tick_audit(struct apply *a)
{
	struct head *h = a->head;

	for (unsigned n = 0; n < SLICE; n++) {
		AUTO_BUF key = BUF_NONE;
		struct audit_row row;
		struct str val;
		bool right;

		wr_u64_be(&key, h->audit_first);
		val = ap_get(a, KV_AUDIT, buf_view(&key));
		if (!val.p || !audit_row_decode(val, &row, &right))
			return;
		if (row.time_ms + h->limits.audit_ms >= h->time_ms &&
		    h->audit_seq - h->audit_first <= h->limits.audit_max)
			return;
		ap_del(a, KV_AUDIT, buf_view(&key));
		h->audit_seal = row.hash;
		h->audit_first++;
	}
}

/* ---- staged parts ---- */

static void tick_staged(struct apply *a)
{
	struct kv_cursor c;
	bool on = kv_seek(a->txn, KV_STAGED, STR_NONE, &c);
	unsigned n = 0;

	while (on && n++ < SLICE) {
		struct rd rd = rd_of(c.val);
		struct str key = arena_str(a->arena, c.key);

		if (rd_u64(&rd) + STAGED_MS >= a->head->time_ms) {
			on = kv_next(&c);
			continue;
		}
		kv_cursor_close(&c);
		ap_del(a, KV_STAGED, key);
		on = kv_seek(a->txn, KV_STAGED, key, &c);
	}
	kv_cursor_close(&c);
}

/* ---- blobs without reference ---- */

static void delete_blob(struct apply *a, struct str key0, uint64_t size)
{
	struct str prefix = str_first(key0, key0.n - 4);

	for (uint64_t i = 0; i == 0 || i * BLOB_CHUNK < size; i++) {
		AUTO_BUF key = BUF_NONE;

		buf_str(&key, prefix);
		wr_u32_be(&key, (uint32_t)i);
		ap_del(a, KV_BLOBS, buf_view(&key));
	}
}

/* Walks on from where the last tick stopped; the place is state too. */
static void tick_blobs(struct apply *a)
{
	struct str from = ap_get(a, KV_META, STR("blob_walk"));
	struct kv_cursor c;
	bool on = kv_seek(a->txn, KV_BLOBS, from, &c);
	unsigned n = 0;

	while (on && n++ < SLICE) {
		struct str key = arena_str(a->arena, c.key);
		struct blob_head head;
		bool is_head = str_ends(key, STR("\0\0\0\0")) &&
			       blob_head_decode(c.val, &head, NULL);

		if (!is_head || head.refs ||
		    head.touched_ms + a->head->limits.blob_idle_ms >=
			    a->head->time_ms) {
			from = key;
			on = kv_next(&c);
			continue;
		}
		kv_cursor_close(&c);
		delete_blob(a, key, head.size);
		on = kv_seek(a->txn, KV_BLOBS, key, &c);
	}
	from = on ? arena_str(a->arena, c.key) : STR_NONE;
	kv_cursor_close(&c);
	if (from.n)
		ap_put(a, KV_META, STR("blob_walk"), from);
	else
		ap_del(a, KV_META, STR("blob_walk"));
}

void apply_tick(struct apply *a)
{
	retain_idem(a, SLICE);
	tick_events(a);
	tick_audit(a);
	tick_staged(a);
	tick_blobs(a);
	outbox_tick(a);
	due_tick(a);
}

/* ---- is a tick worth its entry? ---- */

/* Behind a restore: rows that are compacted already. */
static bool has_compacted(struct kv_txn *txn, const struct head *h)
{
	struct kv_cursor c;
	bool found = kv_seek(txn, KV_EVENTS, STR_NONE, &c);
	struct rd rd = rd_of(found ? c.key : STR_NONE);

	found = found && rd_u64_be(&rd) <= h->compacted_rev;
	kv_cursor_close(&c);
	return found;
}

static bool first_time(struct kv_txn *txn, enum kv_table table, bool in_key,
		       uint64_t *ms)
{
	struct kv_cursor c;
	bool found = kv_seek(txn, table, STR_NONE, &c);

	if (found && table == KV_EVENTS) {
		struct event_row row;

		found = event_row_decode(c.val, &row);
		*ms = row.time_ms;
	} else if (found) {
		struct rd rd = rd_of(in_key ? c.key : c.val);

		*ms = in_key ? rd_u64_be(&rd) : rd_u64(&rd);
	}
	kv_cursor_close(&c);
	return found;
}

bool retain_is_due(struct kv_txn *txn, const struct head *h, uint64_t now_ms)
{
	uint64_t ms;

	if (h->rev - h->compacted_rev > h->limits.events_max ||
	    h->audit_seq - h->audit_first > h->limits.audit_max ||
	    has_compacted(txn, h) || events_are_many(h, event_bytes(txn)) || outbox_is_due(txn))
		return true;
	if (first_time(txn, KV_IDEM_DUE, true, &ms) && ms <= now_ms)
		return true;
	if (due_first(txn, &ms) && ms <= now_ms)
		return true;
	if (first_time(txn, KV_STAGED, false, &ms) && ms + STAGED_MS < now_ms)
		return true;
	return first_time(txn, KV_EVENTS, false, &ms) &&
	       ms + h->limits.events_ms < now_ms;
}
