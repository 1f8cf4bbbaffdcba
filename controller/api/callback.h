/*
 * The body of a callback (callbacks.c).  Pure; any thread.
 *
 *	{"proposal": "p-000000000123", "digest": "<64 hex>",
 *	 "decision": "approve" | "reject", "reason": "..."}
 *
 * Nothing else may be in it, so that nothing else that was signed with the key (an
 * event that went out) passes for one.
 */
#ifndef API_CALLBACK_H
#define API_CALLBACK_H

#include "base/arena.h"
#include "state/op.h"

#define CALLBACK_REASON_MAX 4096

struct callback {
	struct str proposal, reason;     /* in the arena */
	struct sha256 digest;
	enum vote vote;
};

/* E_PARSE, E_UNPROCESSABLE. */
enum code callback_read(struct arena *arena, struct str body,
			struct callback *out, struct err *err) MUST_USE;

#endif
