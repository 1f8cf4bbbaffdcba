/*
 * Plans: the operations of one command, kept with what they were computed from.
 *
 * A plan's digest is SHA-256 over, for each operation, its canonical encoding
 * (without uid, `expect`, times and who asks) and its base, behind the commit that
 * the command names and the time that it waits for.  The base is the
 * resourceVersion of the object that the operation touches (0: there is none) before
 * any of them has happened; what is made only where it is missing has none.  What a step of
 * a release changes, who gets a version and who does not yet, moves none (base_rev of
 * struct live_row).  So the
 * same change of the same state has the same digest, and a digest says exactly what
 * will be done to what.
 *
 * OBJECT_STATUS (of the source that a command came from, which says with it what is
 * live then) is part of a plan and happens with it, and has no part in its digest,
 * bases or locks: its text says when it was written, and the source goes on writing
 * its status while the proposal waits.  So does the command's precondition on the
 * source: the bases take its place where a proposal is executed.
 */
#ifndef STATE_PLAN_H
#define STATE_PLAN_H

#include "kv/kv.h"
#include "state/rows.h"

/* Of what is kept, and so of what can wait for approval. */
#define PLAN_OPS_MAX 200000
#define PLAN_BYTES_MAX (32 * 1024 * 1024)
/* Of plans that no proposal names, with the contents that they hold: in a tenant, and
 * of one subject there.  Who may only read may plan, and is to fill nobody else's. */
#define PLANS_MAX 2000
#define PLANS_BYTES_MAX (256ull * 1024 * 1024)
#define PLANS_SUBJECT_MAX 500
#define PLANS_SUBJECT_BYTES_MAX (64ull * 1024 * 1024)
#define PLAN_KEPT_MS (24ull * 3600000)
/* The furthest that a command may wait. */
#define NOT_BEFORE_MOST_MS (90 * 24ull * 3600000)

/* May it be part of a plan?  Writes of objects, versions, rules and ways back of
 * one tenant; E_INVALID.  '*tenant' is that of the first (of the plan, where it is
 * set already). */
enum code planned_check(const struct op *op, struct str *tenant,
			struct err *err) MUST_USE;
/* Is it computed from what it touches?  Not where it makes what is missing, nor of
 * OBJECT_STATUS. */
bool planned_has_base(const struct op *op);
/* The base of 'op' as 'txn' shows it; 0 also where it has none. */
uint64_t planned_base(struct kv_txn *txn, const struct op *op);
/* Starts the digest (of commit, flags and not_before of 'c'), and adds an operation. */
void planned_begin(struct sha256_ctx *ctx, const struct command *c);
void planned_add(struct sha256_ctx *ctx, const struct op *op, uint64_t base);
/* Can so much be kept?  E_TOO_LARGE says what there is, and what there may be. */
enum code planned_fits(size_t bytes, size_t ops, struct err *err) MUST_USE;
/* Opens what a plan is made of: command_open, and no more than the above. */
enum code planned_open(struct arena *arena, struct str encoded, struct command *c,
		       struct op_reader *ops, struct err *err) MUST_USE;
/* The digest of the whole encoded command (of type OPS) as 'txn' shows the state;
 * what PLAN_PUT must carry.  E_INVALID: it cannot be a plan; E_TOO_LARGE. */
enum code planned_digest(struct kv_txn *txn, struct str encoded, struct sha256 *out,
		      struct err *err) MUST_USE;

/* ---- rows: the head of a plan, and its body under another key ---- */
struct plan_row {
	uint64_t created_ms, expires_ms; /* of one that no proposal names */
	struct str proposal;             /* the newest that names it, and may have been
					    cleared since; empty: none */
	struct str subject;              /* who made it first */
	uint64_t ops, bytes;             /* of its body, with contents */
	uint32_t holds;                  /* references that it has on each content */
	bool is_going;                   /* its references are being let go */
};
void plan_row_encode(struct buf *out, const struct plan_row *row);
bool plan_row_decode(struct str in, struct plan_row *out);

/* The body: the bases of the operations in their order, then the command, whose
 * contents are stored apart. */
struct plan_body {
	struct str bases;                /* varints; planned_next_base */
	struct str command;              /* encoded, of type OPS */
};
void plan_body_encode(struct buf *out, const struct plan_body *body);
bool plan_body_decode(struct str in, struct plan_body *out);
bool planned_next_base(struct rd *bases, uint64_t *out);

/* META: how many plans a subject keeps in a tenant, and their bytes. */
void key_planner(struct buf *out, struct str tenant, struct str subject);
void key_plan(struct buf *out, struct str tenant, const struct sha256 *digest);
void key_plan_body(struct buf *out, struct str tenant,
		   const struct sha256 *digest);

#endif
