/*
 * The outbox: what webhooks are still to be told (docs/webhooks.md).
 *
 * A change of the state that somebody may want to know of calls outbox_note, in the
 * same transaction, so it is told if and only if it happened.  The leader delivers
 * (hook/), and OP_OUTBOX says what came of it.
 *
 * Each webhook has at most OUTBOX_MAX events that wait.  The last place of these is
 * taken by an event EVENTS_LOST; what comes until there is room again is counted as
 * lost.  Of dead ones at most OUTBOX_DEAD_MAX are kept, the newest.
 *
 * All of a tenant, dead ones too, takes at most OUTBOX_BYTES_MAX; a webhook of which
 * there is less than its share (of WEBHOOKS_MAX) has room all the same, so that one that
 * fails takes it from no other.  Where there is no room its own dead go first.
 */
#ifndef STATE_OUTBOX_H
#define STATE_OUTBOX_H

#include "kv/kv.h"
#include "state/outbox_row.h"

struct apply;
struct op;
struct op_result;

#define OUTBOX_MAX 10000
#define WEBHOOKS_MAX 100                 /* of a tenant: all are looked at by each note */
#define OUTBOX_DEAD_MAX 1000
#define OUTBOX_DATA_MAX (32 * 1024)
#define OUTBOX_ERROR_MAX 200
#define OUTBOX_BYTES_MAX (64ull << 20)
/* Of a tenant: that many bytes (rows.h has those of its content). */
#define COUNT_OUTBOX_BYTES ((enum kind_id)246)
/* How long the key before the last counts beside it. */
#define HOOK_KEY_GRACE_MS 3600000

/* ---- in apply: deterministic, core loop ---- */

/* Has the tenant webhooks?  A look at a counter, before an event is written. */
bool outbox_is_heard(struct apply *a, struct str tenant);

/*
 * Puts one event for each webhook of 'tenant' that wants 'notice' and does not rest.
 * 'kind' and 'name' are the object that it is about; 'data' is a JSON object in
 * canonical form without anything secret (more than OUTBOX_DATA_MAX bytes become
 * {"truncated":true}).
 */
void outbox_note(struct apply *a, enum notice notice, struct str tenant,
		 enum kind_id kind, struct str name, struct str data);
/* The status of an object becomes another: notes a source that begins to fail. */
void outbox_status(struct apply *a, enum kind_id kind, struct str tenant,
		   struct str name, struct str before, struct str after);
/* 'op' changes a configuration of 'was', as it stood: notes it where that is Git's and
 * another writes.  Git and what is live then differ until its source changes it too. */
void outbox_drift(struct apply *a, const struct op *op,
		  const struct object_row *was);
/* The object of a webhook is deleted, and with it its key; its events are as good
 * as gone, and time removes them. */
void outbox_forget(struct apply *a, struct uuid hook);
/* Of a tick: a slice of what is gone. */
void outbox_tick(struct apply *a);
bool outbox_is_due(struct kv_txn *txn);
enum code apply_outbox(struct apply *a, const struct op *op,
		       struct op_result *res, struct err *err);
enum code apply_hook_key(struct apply *a, const struct op *op,
			 struct op_result *res, struct err *err);
/* May the tenant have one more?  E_QUOTA. */
enum code outbox_may_add(struct apply *a, struct str tenant,
			 struct err *err) MUST_USE;
/* May the webhook of that name vote on proposals of its tenant?  E_DENIED. */
enum code outbox_may_vote(struct apply *a, struct str tenant, struct str name,
			  struct err *err) MUST_USE;

/* ---- views: any thread ---- */

/* false: it has none. */
bool view_hook_key(struct kv_txn *txn, struct uuid hook,
		   struct hook_key_row *out);
/* Zeros where nothing was ever put. */
void view_outbox_tally(struct kv_txn *txn, struct uuid hook,
		       struct outbox_tally *out);
/* Events in that state behind 'after' in order, until 'each' answers false. */
typedef bool view_each_outbox(void *data, const struct outbox_row *row);
void view_outbox(struct kv_txn *txn, struct uuid hook, enum outbox_state state,
		 uint64_t after, view_each_outbox *each, void *data);
/* One event; false: it is not there in that state. */
bool view_outbox_at(struct kv_txn *txn, struct uuid hook,
		    enum outbox_state state, uint64_t seq,
		    struct outbox_row *out);
/* Webhooks that something waits for: the first behind '*hook' (NULL bytes: the
 * first of all); false: no more. */
bool view_outbox_next(struct kv_txn *txn, struct uuid *hook);

#endif
