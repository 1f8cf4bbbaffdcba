/*
 * A plan: what one commit changes against the live state, as one command.
 *
 * The caller tells what the commit holds (plan_file, plan_manifest) and what it
 * no longer holds (plan_gone, or all that was not told where the comparison is
 * full); the plan reads the live state through 'txn' and keeps the difference:
 * operations, digests before and after, and the preconditions that make two
 * leaders unable to apply both.  One thread; nothing is written.
 */
#ifndef SOURCE_PLAN_H
#define SOURCE_PLAN_H

#include "doc/format.h"
#include "kv/kv.h"
#include "source/git.h"
#include "source/layout.h"
#include "state/command.h"

struct plan_config {
	struct str tenant, source;       /* ns and name of the ConfluxSource */
	struct uuid uid;
	uint64_t rev;                    /* of its row: the precondition */
	struct str origin;               /* "git <url>" */
	struct oid commit;
	struct str message;              /* of the commit, one line */
	struct str author;               /* of the commit; may be empty */
	bool prune;
	bool full;                       /* what is not told is gone */
	const struct doc_limits *limits; /* NULL: the default */
	/* Content that the command names and the store may lack; read during
	 * the call, which may renew the picture (plan_renew). */
	enum code (*content)(void *data, struct str bytes, struct err *err);
	void *data;
};

struct plan_counts {
	uint64_t added, changed, removed, formatting, kept;
	uint64_t held;                   /* rolled back, so not applied again */
	uint64_t orphans;                /* gone from Git and left live */
};

struct plan;
/* 'config' must outlive it, and 'txn' unless it is renewed. */
struct plan *plan_new(struct kv_txn *txn, const struct plan_config *config);
/* From now on it reads through 'txn': of what was read before nothing is used
 * again, so that may be gone.  Not while the plan reads, but in 'content'. */
void plan_renew(struct plan *plan, struct kv_txn *txn);
void plan_free(struct plan **plan);

/*
 * One file of the layout `files` at 'at'.  'content' is parsed and checked, and
 * compared with what is live.  E_UNPROCESSABLE: it is malformed ("<path>: line
 * 3, ..."); E_MANAGED: the address belongs to somebody else.
 */
enum code plan_file(struct plan *plan, struct str path,
		    const struct address *at, struct str content,
		    struct err *err) MUST_USE;
/* One object of the layout `manifests`.  As plan_file; also E_UNPROCESSABLE
 * where two documents are of one name or address. */
enum code plan_manifest(struct plan *plan, struct str path,
			const struct manifest *m, struct err *err) MUST_USE;
/* The commit no longer has the file of this address. */
enum code plan_gone(struct plan *plan, const struct address *at,
		    struct err *err) MUST_USE;

/*
 * The source is no more: what it owned and is not deleted by this plan becomes
 * nobody's (left.h), and the command is the cluster's own.  In place of all
 * that is told.
 */
enum code plan_leave(struct plan *plan, struct err *err) MUST_USE;

/* After the last: finds what is gone, seals the plan and its digest. */
enum code plan_seal(struct plan *plan, struct err *err) MUST_USE;

/* ---- sealed ---- */
/* Number of operations; 0: the live state is what Git says. */
size_t plan_size(const struct plan *plan);
const struct plan_counts *plan_counts(const struct plan *plan);
/* Configurations of this source once the plan is applied; only where full. */
uint64_t plan_owned(const struct plan *plan);
struct sha256 plan_own_digest(const struct plan *plan);
/* The source's row has moved to 'rev' by a status of our own. */
void plan_rebase(struct plan *plan, uint64_t rev);
/* The command, with the source's new status (may be empty) as its last
 * operation.  Once. */
void plan_command(struct plan *plan, struct str status, uint64_t now_ms,
		  struct buf *out);
/* A command that writes the status alone. */
void plan_status_command(const struct plan_config *config, struct str status,
			 uint64_t now_ms, struct buf *out);
/* "source:ns/name" */
struct str plan_subject(struct arena *arena, struct str ns, struct str name);

#endif
