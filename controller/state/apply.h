/*
 * Applying one command inside a write transaction.  Deterministic: all that
 * is read is the command, the rows and the head.  Core loop.
 *
 * A command may have a million operations, and a turn of the core loop is to
 * stay short, so a command is applied in slices: apply_start, and apply_go_on
 * until it is done, with the transaction open over them.  What a slice may cost
 * is counted in units of work and not by a clock.  Readers see nothing of it
 * before the commit.
 */
#ifndef STATE_APPLY_H
#define STATE_APPLY_H

#include "model/quota.h"
#include "state/chain.h"
#include "state/counts.h"
#include "state/outbox.h"
#include "state/rows.h"

enum apply_step {
	APPLY_IDLE,                      /* no command is under way */
	APPLY_GATHER,                    /* parts of a staged command */
	APPLY_OPS,
	APPLY_WALK,                      /* its operations are walked over, for a plan */
	APPLY_SETTLE,                    /* they are done; what follows for proposals */
};

struct gate;

/* What a command has released so far (release.c). */
struct release_notes {
	struct buf tenant, message;      /* of the first operation */
	struct buf configs;              /* members of a JSON array */
	size_t n;
	const char *type;
	struct buf name;                 /* of the Release that was made */
};

/* What entries are applied with. */
struct apply {
	struct kv_txn *txn;
	struct head *head;
	struct arena *arena;             /* of one operation */
	struct arena *keep;              /* of the batch: outcomes */
	int units;                       /* left in this slice */
	uint64_t knows;                  /* cluster version of this program */
	uint64_t token_changes;          /* of this run; no state */
	uint64_t source_changes;         /* as that: what sources go by */
	uint64_t outbox_changes;         /* as that */
	uint64_t rollout_changes;        /* as these; of table ROLLOUTS */
	uint64_t gate_changes;           /* as that: approved proposals, policies */
	uint64_t window_changes;         /* as that: policies and windows alone */

	/* The command that is being applied. */
	enum apply_step step;
	struct command own;
	const struct command *cmd;       /* NULL: none */
	struct op_reader ops;
	struct str bytes;                /* it, encoded */
	struct gate *gate;
	struct buf gathered;             /* a staged command */
	struct sha256_ctx *gather_sha;
	uint32_t gather_next;
	struct head before;
	struct buf event;                /* the last one, encoded, until it is
					    known to be the last */
	uint64_t event_rev;
	struct sha256_ctx *diff;         /* before and after, for the audit */
	struct chain *chain, *chain_mark;    /* effects of the entry */
	struct counts *counts;
	struct buf targets;              /* for the audit record */
	size_t n_targets;
	const char *action;              /* of its operations; NULL: none yet */
	uint64_t member_seq;             /* of the change that was ended last: who */
	struct buf member_subject;       /* asked for it, and in which record */
	uint32_t added_version;          /* by the last VERSION_ADD */
	struct release_notes release;
	struct releasing *releasing;     /* rollout.c */
};

struct apply *apply_new(void);
void apply_free(struct apply **apply);

/*
 * Starts with the command in 'bytes', which stay valid until it is done (step
 * is APPLY_IDLE again); then '*out' says what came of it.  A refusal is an
 * outcome, and the rows are as before.  E_IO, E_CORRUPT, E_FULL: the store
 * failed, apply ends for good.  'a' has txn, head, keep and units set.
 */
enum code apply_start(struct apply *a, struct str bytes, struct outcome *out,
		      struct err *err) MUST_USE;
/* The next slice of the same command. */
enum code apply_go_on(struct apply *a, struct outcome *out,
		      struct err *err) MUST_USE;
/* Forgets a command that is under way: its transaction is gone. */
void apply_drop(struct apply *a);

/* ---- for the operations (ops.c) and retention (retain.c) ---- */
struct str ap_get(struct apply *a, enum kv_table table, struct str key);
void ap_put(struct apply *a, enum kv_table table, struct str key,
	    struct str val);
bool ap_del(struct apply *a, enum kv_table table, struct str key);
/* Takes the next revision. */
uint64_t ap_next_rev(struct apply *a);
void ap_event(struct apply *a, uint64_t rev, const struct event_row *event);
/* Objects of a kind in a tenant; see counts.h. */
uint64_t ap_count(struct apply *a, struct str tenant, enum kind_id kind);
void ap_set_count(struct apply *a, struct str tenant, enum kind_id kind,
		  uint64_t n);
/* May the tenant have 'more' of it?  E_QUOTA. */
enum code ap_quota(struct apply *a, struct str tenant, enum quota_of what,
		   uint64_t more, struct err *err) MUST_USE;
/* Adds one before and after to the digest of the audit record. */
void ap_diff(struct apply *a, struct str before, struct str after);

enum code apply_op(struct apply *a, const struct op *op, struct op_result *res,
		   struct err *err);
/* gate_ops.c: the operations of VERSION_GATE. */
enum code apply_gate_op(struct apply *a, const struct op *op,
			struct op_result *res, struct err *err);
/* versions.c */
enum code apply_version_add(struct apply *a, const struct op *op,
			    struct op_result *res, struct err *err);
enum code apply_rules_set(struct apply *a, const struct op *op,
			  struct op_result *res, struct err *err);
enum code apply_rollback(struct apply *a, const struct op *op,
			 struct op_result *res, struct err *err);
/* tokens.c */
enum code apply_subject_put(struct apply *a, const struct op *op,
			    struct op_result *res, struct err *err);
enum code apply_certificate_put(struct apply *a, const struct op *op,
				struct op_result *res, struct err *err);
enum code apply_token_put(struct apply *a, const struct op *op,
			  struct op_result *res, struct err *err);
enum code apply_token_delete(struct apply *a, const struct op *op,
			     struct op_result *res, struct err *err);
/* The tenant is deleted: tokens of subjects that are bound to it would be those of the
 * next one of its name. */
void tokens_remove_of(struct apply *a, struct str tenant);
/* members.c */
enum code apply_members(struct apply *a, const struct op *op,
			struct op_result *res, struct err *err);
/* What the audit record says of it. */
void members_note(struct apply *a, const struct op *op);
void members_forget(struct apply *a);
enum code apply_blob(struct apply *a, const struct command *cmd,
		     struct err *err);
/* Stores the contents that a command without operations brings; those of one
 * with operations are stored by blob_take. */
enum code apply_contents(struct apply *a, struct err *err);
/* A reference to the content that 'op' names, which is stored, or comes with the
 * command and is stored by this.  E_BLOB_MISSING. */
enum code blob_take(struct apply *a, const struct op *op, struct err *err);
/* Removes what is due, at most a slice; see retain.c. */
void apply_tick(struct apply *a);
void retain_idem(struct apply *a, unsigned most);
/* A row of events of so many bytes comes. */
void retain_event(struct apply *a, uint64_t rev, size_t bytes);
bool retain_is_due(struct kv_txn *txn, const struct head *head, uint64_t now_ms);
/* Keeps at most limits.versions_max of a configuration. */
void retain_versions(struct apply *a, struct str tenant, struct uuid uid,
		     const struct live_row *live);
/* Begins the notes of a command. */
void release_start(struct apply *a);
/* 'op' changed something. */
void release_note(struct apply *a, const struct op *op,
		  const struct op_result *res);
/* Makes the Release of the command, where it released something. */
enum code release_make(struct apply *a, struct err *err) MUST_USE;
/* With the tenant go its Releases, as many as '*left' lets; true: all are gone. */
bool release_remove_some(struct apply *a, struct str tenant, unsigned *left);
void blob_ref(struct apply *a, struct str tenant, const struct sha256 *sha,
	      int delta);
/* The version goes: one reference less, and what nobody names any more goes with it,
 * where it is small. */
void blob_drop(struct apply *a, struct str tenant, const struct version_row *row);

#endif
