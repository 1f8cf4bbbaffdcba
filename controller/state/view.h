/*
 * Views: what others read of the state, through a read transaction.  Any
 * thread, each with a transaction of its own.  Strings borrow from the map
 * and are valid until the transaction is renewed, reset or ended; copy what
 * shall live longer.
 */
#ifndef STATE_VIEW_H
#define STATE_VIEW_H

#include "model/quota.h"
#include "kv/kv.h"
#include "state/rows.h"

/* Where the picture stands. */
enum code view_head(struct kv_txn *txn, struct head *out, struct err *err) MUST_USE;

/* ---- objects ---- */
struct object_view {
	enum kind_id kind;
	struct str tenant, name;
	struct object_row row;
	bool has_live;                   /* CONFIG */
	struct live_row live;
	uint64_t rev;                    /* resourceVersion: of row or live */
	bool has_used;                   /* TENANT, as it is now */
	uint64_t used[QUOTA__COUNT];
};

/* E_NOT_FOUND with the text that kubectl prints. */
enum code view_object(struct kv_txn *txn, enum kind_id kind, struct str tenant,
		      struct str name, struct object_view *out,
		      struct err *err) MUST_USE;
enum code view_by_uid(struct kv_txn *txn, struct uuid uid,
		      struct object_view *out, struct err *err) MUST_USE;
/* The configuration at an address.  E_NOT_FOUND. */
enum code view_at(struct kv_txn *txn, const struct address *at,
		  struct object_view *out, struct err *err) MUST_USE;
/* Calls 'each' in the order of (tenant, name), from behind 'after' (its
 * tenant and name; empty: from the start), until it answers false.  An empty
 * 'tenant' lists all tenants. */
typedef bool view_each(void *data, const struct object_view *object);
enum code view_list(struct kv_txn *txn, enum kind_id kind, struct str tenant,
		    struct str after_tenant, struct str after_name,
		    view_each *each, void *data, struct err *err) MUST_USE;
uint64_t view_count(struct kv_txn *txn, struct str tenant, enum kind_id kind);
/* Would apply let a tenant have one more object of a kind?  E_QUOTA. */
enum code view_quota(struct kv_txn *txn, struct str tenant, enum kind_id kind,
		     struct err *err) MUST_USE;
/* The whole object as JSON: apiVersion, kind, metadata, spec, status. */
/* What is held: {sha256, version, release, reason, commit, by, since}. */
void view_hold_json(struct buf *out, const struct live_row *live);
void view_json(struct buf *out, const struct object_view *object);

/* ---- configurations ---- */
struct config_view {
	struct live_row live;
	struct rule rule;                /* that the client gets */
	unsigned position;               /* of that rule */
};
/* What 'client' gets at an address.  E_NOT_FOUND: no such address, or nothing is
 * released for it. */
enum code view_config(struct kv_txn *txn, const struct address *at,
		      const struct client *client, struct config_view *out,
		      struct err *err) MUST_USE;
/* What lives at addresses that begin like 'prefix' ("acme/shop/"; empty: all), in the
 * order of their keys, from behind 'after' (an address_key; empty: from the start),
 * until 'each' answers false. */
typedef bool view_each_live(void *data, const struct address *at,
			    const struct live_row *live);
enum code view_live(struct kv_txn *txn, struct str prefix, struct str after,
		    view_each_live *each, void *data, struct err *err) MUST_USE;
/* Chunk 'i' (of BLOB_CHUNK bytes) of a content; E_NOT_FOUND. */
enum code view_chunk(struct kv_txn *txn, struct str tenant,
		     const struct sha256 *sha, uint32_t i, struct str *out,
		     struct err *err) MUST_USE;
/* All of it in 'out'. */
enum code view_content(struct kv_txn *txn, struct str tenant,
		       const struct sha256 *sha, uint64_t size,
		       struct buf *out, struct err *err) MUST_USE;
bool view_has_blob(struct kv_txn *txn, struct str tenant,
		   const struct sha256 *sha, uint64_t size);
enum code view_version(struct kv_txn *txn, struct str tenant, struct uuid uid,
		       uint32_t version, struct version_row *out,
		       struct err *err) MUST_USE;
/* Newest first, numbers below 'before' (0: all), until 'each' answers false. */
typedef bool view_each_version(void *data, const struct version_row *version);
void view_versions(struct kv_txn *txn, struct str tenant, struct uuid uid,
		   uint32_t before, view_each_version *each, void *data);

/* ---- events ---- */
/* Events after 'rev' in order, until 'each' answers false.  E_GONE where
 * 'rev' is compacted; '*compacted' (may be NULL) says up to where. */
typedef bool view_each_event(void *data, uint64_t rev,
			     const struct event_row *event);
enum code view_events(struct kv_txn *txn, uint64_t rev, view_each_event *each,
		      void *data, struct err *err) MUST_USE;
/* The object that an event row carries; false: malformed. */
bool view_of_event(const struct event_row *event, struct str bytes,
		   uint64_t rev, struct object_view *out);

/* ---- audit ---- */
typedef bool view_each_audit(void *data, const struct audit_row *row,
			     bool hash_is_right);
/* From sequence 'from' (0: the first kept) upwards. */
enum code view_audit(struct kv_txn *txn, uint64_t from, view_each_audit *each,
		     void *data, struct err *err) MUST_USE;
/* Walks the whole chain: sequences without gap, each record's own hash, each
 * link, and the head.  '*n' counts what was right.  E_CORRUPT names the
 * first record that is wrong. */
enum code view_audit_verify(struct kv_txn *txn, uint64_t *n, struct err *err) MUST_USE;

/* ---- tokens ---- */
bool view_token(struct kv_txn *txn, const struct sha256 *sha,
		struct token_row *out);
typedef bool view_each_token(void *data, const struct token_row *row);
void view_tokens(struct kv_txn *txn, view_each_token *each, void *data);

#endif
