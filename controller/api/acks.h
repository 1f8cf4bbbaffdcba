/*
 * Acknowledgements: what instances said of the versions that they were sent.
 *
 * A node keeps those of the clients that it serves, by (instance, configuration),
 * the last word on each; who gathers them (a rollout, at the leader) asks every
 * node.  They are no replicated state: a node that starts anew knows none, and
 * clients say them again when they connect.  An acknowledgement is a value that
 * points to nothing of the request it came with, and has a number that grows with
 * each that is taken, so that a gatherer asks for those behind the last that it
 * has seen, and a new one for all.
 *
 * The table is bounded: beyond it those unseen for the longest go.
 *
 * Any thread.
 */
#ifndef API_ACKS_H
#define API_ACKS_H

#include "base/arena.h"
#include "base/buf.h"
#include "wire/sum.h"

#define ACK_INSTANCE_MAX 128
#define ACK_REASON_MAX 512
#define ACK_RELEASE_MAX 253
/* Of one request. */
#define ACKS_A_REQUEST 1000

enum ack_state { ACK_RECEIVED, ACK_APPLIED, ACK_REJECTED, ACK__STATES };

struct ack {
	struct str instance;
	struct str key;                  /* "tenant/application/environment/name" */
	uint32_t version;
	struct sha256 sha;
	enum ack_state state;
	struct str reason;               /* of a rejection */
	struct str release;              /* that it was delivered by; may be empty */
	uint64_t time_ms;                /* Unix; when this node heard it */
	uint64_t seq;                    /* at this node, from 1 */
};

const char *ack_state_name(enum ack_state state);
/* What an instance may call itself: 1 to 128 bytes that can be seen. */
bool ack_instance_is_valid(struct str instance);

/*
 * The body of a request: JSON, one acknowledgement or a list of at most
 * ACKS_A_REQUEST.  Strings borrow from 'body' or lie in 'arena'.
 *
 *	{"instance": "web-7", "key": "acme/shop/prod/main", "version": 3,
 *	 "sha256": "<64 hex digits>", "state": "applied",
 *	 "reason": "", "release": "7"}
 *
 * The release is what the answer to the fetch said, a text or a whole number.
 * E_INVALID: no JSON; E_UNPROCESSABLE: which member of which is wrong, and why.
 */
enum code acks_parse(struct str body, struct arena *arena, struct ack **out,
		     size_t *n, struct err *err) MUST_USE;
/* Is it one?  E_UNPROCESSABLE: which member is wrong, and why. */
enum code ack_check(const struct ack *ack, struct err *err) MUST_USE;
/* One as an object, without braces: for an answer. */
void ack_json(struct buf *out, const struct ack *ack);

struct acks;

/* At most 'max' acknowledgements. */
struct acks *acks_new(size_t max);
void acks_free(struct acks **acks);

/* Copies.  Of the same version "received" does not undo what came of it. */
void acks_put(struct acks *acks, const struct ack *ack, uint64_t now_ms);

struct acks_query {
	uint64_t after;                  /* those with a greater number */
	struct str key;                  /* empty: of all configurations */
	struct str tenant;               /* empty: of all tenants */
	struct str instance;             /* empty: of all */
};
/* In order of their numbers, that is unseen for the longest first; false ends it.
 * Runs under the lock: it copies what it wants, and calls nothing here. */
typedef bool acks_each_cb(void *data, const struct ack *ack, bool is_connected);
void acks_each(struct acks *acks, const struct acks_query *query,
	       acks_each_cb *each, void *data);
struct acks_counts {
	size_t kept;
	uint64_t taken, evicted;
	size_t connected;                /* instances */
};
void acks_counts(struct acks *acks, struct acks_counts *out);

/* An instance has a watch open here; each join has its leave. */
void acks_join(struct acks *acks, struct str instance);
void acks_leave(struct acks *acks, struct str instance);

#endif
