/*
 * What the routes of the gate share: proposals.c, plans.c, releases.c, and write.c,
 * which answers for a write that waits.
 */
#ifndef API_GATE_H
#define API_GATE_H

#include "api/own.h"
#include "state/view_along.h"
#include "state/view_gate.h"

/* ---- a write that was not done but proposed ---- */
/* It was not done; past the gate it was, and a proposal says so all the same. */
static inline bool outcome_waits(const struct outcome *o)
{
	return o->proposal[0] &&
	       (!str_eq(str_of(o->phase), STR("Executed")) || o->n_results == 0);
}

struct proposed {
	struct str id;                   /* TENANT/NAME */
	struct str phase;                /* "Pending" */
	struct str message, url;
};
/* Of an outcome that names a proposal; in the request's arena. */
void proposed_of(const struct change *ch, const struct request *r,
		 const struct outcome *o, struct proposed *out);
/* Location, X-Conflux-Proposal, and below /apis a Warning. */
void proposed_headers(struct request *r, const struct proposed *p);
/* 202 {message, proposal_id, approval_status, approval_dashboard_url}. */
void proposed_answer(struct request *r, const struct proposed *p);
/* Where people look at it: server.external_url, else the host that was asked. */
void proposal_url(struct buf *out, const struct request *r, struct str tenant,
		  struct str name);

/* ---- plans ---- */
bool plan_is_kept(struct kv_txn *txn, struct str tenant, const struct sha256 *digest);
/* Instances that follow a configuration of a plan, at all nodes together. */
struct plan_reach {
	uint64_t count;
	bool is_known;
	struct str note;                 /* why it is not known */
};
/* Finds it out for plan_json, where it is not known yet: true, 'then' is called when it
 * is, with a picture of its own; false: it need not be asked for. */
bool plan_ask_reach(struct request *r, struct kv_txn *txn, struct str tenant,
		    const struct sha256 *digest, route_handler *then);
/* The addresses of its configurations, in 'arena'.  E_NOT_FOUND. */
enum code plan_keys(struct arena *arena, struct kv_txn *txn, struct str tenant,
		    const struct sha256 *digest, struct str **out, size_t *n,
		    struct err *err) MUST_USE;
/* A plan as an object of JSON (docs/plans.md); E_NOT_FOUND. */
enum code plan_json(struct buf *out, struct request *r, struct kv_txn *txn,
		    struct str tenant, const struct sha256 *digest,
		    struct err *err) MUST_USE;

/* What the gate looks at in a command's operations, and in what goes along; how many.
 * '*left': so many more, where there are too many for all policies to look at. */
size_t plan_touches(struct arena *arena, struct kv_txn *txn, const struct op *ops,
		    size_t n, const struct view_released *released,
		    struct gate_touch **out, size_t *left);

/* Of a dry run: a Warning for each policy and window that the operations of 'ch' would
 * meet. */
void plan_warn(struct request *r, struct kv_txn *txn, const struct change *ch);

/* "sha256:" or not, and 64 hex digits; false: answered. */
bool api_digest(struct request *r, struct str text, struct sha256 *out);
/* As api_body_of, of a body that may be absent. */
bool api_optional_body(struct request *r, const struct body_member *members, size_t n,
		       struct value **out);

#endif
