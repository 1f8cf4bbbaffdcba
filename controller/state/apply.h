/*
 * Applying one command inside a write transaction.  Deterministic: all that
 * is read is the command, the rows and the head.  Core loop.
 */
#ifndef STATE_APPLY_H
#define STATE_APPLY_H

#include "kv/kv.h"
#include "state/rows.h"

/* What one entry is applied with; lives for one batch. */
struct apply {
	struct kv_txn *txn;
	struct head *head;
	struct arena *arena;             /* reset between commands */
	const struct command *cmd;

	/* Of the command that is being applied. */
	uint64_t first_rev;
	struct event_row event;          /* the last one, until it is known to
					    be the last */
	bool has_event;
	uint64_t event_rev;
	struct sha256_ctx *diff;         /* before and after, for the audit */
	struct sha256_ctx *chain, *chain_mark;   /* effects of the entry */
	struct buf targets;              /* for the audit record */
	size_t n_targets;
	uint32_t added_version;          /* by the last VERSION_ADD */
};

/* Applies 'cmd' and says what came of it.  A refusal is an outcome, and the
 * rows are as before.  E_IO, E_CORRUPT, E_FULL: the store failed, apply ends
 * for good.  'a' has txn, head and arena set. */
enum code apply_command(struct apply *a, const struct command *cmd,
			struct outcome *out, struct err *err) MUST_USE;

/* ---- for the operations (ops.c) and retention (retain.c) ---- */
struct str ap_get(struct apply *a, enum kv_table table, struct str key);
void ap_put(struct apply *a, enum kv_table table, struct str key,
	    struct str val);
bool ap_del(struct apply *a, enum kv_table table, struct str key);
/* Takes the next revision. */
uint64_t ap_next_rev(struct apply *a);
void ap_event(struct apply *a, uint64_t rev, const struct event_row *event);
/* Adds one before and after to the digest of the audit record. */
void ap_diff(struct apply *a, struct str before, struct str after);

enum code apply_op(struct apply *a, const struct op *op, struct op_result *res,
		   struct err *err);
enum code apply_blob(struct apply *a, const struct command *cmd,
		     struct err *err);
/* What a command of operations brings with it. */
enum code apply_contents(struct apply *a, struct err *err);
/* Removes what is due, at most a slice; see retain.c. */
void apply_tick(struct apply *a);
void retain_idem(struct apply *a, unsigned most);
bool retain_is_due(struct kv_txn *txn, const struct head *head, uint64_t now_ms);
/* Keeps at most limits.versions_max of a configuration. */
void retain_versions(struct apply *a, struct str tenant, struct uuid uid,
		     const struct live_row *live);
void blob_ref(struct apply *a, struct str tenant, const struct sha256 *sha,
	      int delta);

#endif
