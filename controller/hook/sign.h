/*
 * Signatures of what goes to webhooks and of what they send back (docs/webhooks.md):
 * HMAC-SHA256 of the webhook's key over "<id>.<timestamp>.<body>".  Pure; any thread.
 */
#ifndef HOOK_SIGN_H
#define HOOK_SIGN_H

#include "state/outbox_row.h"

#define HOOK_ID_HEADER "X-Conflux-Id"
#define HOOK_TIME_HEADER "X-Conflux-Timestamp"
#define HOOK_SIGNATURE_HEADER "X-Conflux-Signature-256"
#define HOOK_ID_MAX 128
/* A callback's timestamp may be so far from our clock, in both directions. */
#define HOOK_SKEW_MS 300000

struct hook_signed {
	struct str id, timestamp, body;  /* timestamp: Unix seconds, as text */
};

/* "sha256=<hex>", and behind ", " that of the key before while that counts. */
void hook_sign(struct buf *out, const struct hook_key_row *key, uint64_t now_ms,
	       const struct hook_signed *what);
/* Is one of those in 'signature' of this key, or of the one before while that
 * counts?  Takes the same time wherever it differs. */
bool hook_is_signed(struct str signature, const struct hook_key_row *key,
		    uint64_t now_ms, const struct hook_signed *what);
/* Is that a time in seconds, near to now?  E_INVALID, E_UNAUTHORIZED. */
enum code hook_time_is_near(struct str timestamp, uint64_t now_ms,
			    struct err *err) MUST_USE;
/* The three headers of a request out, "Name: value\n" each. */
void hook_headers(struct buf *out, const struct hook_key_row *key,
		  uint64_t now_ms, struct str id, struct str body);

#endif
