/*
 * What webhooks are told of, and what a Webhook object says.  Pure; any thread.
 */
#ifndef MODEL_WEBHOOK_H
#define MODEL_WEBHOOK_H

#include "base/arena.h"

enum notice {
	NOTICE_NONE = 0,
#define NOTICE(ident, number, type) NOTICE_##ident = (number),
#include "model/notices.tbl"
#undef NOTICE
	NOTICE__END
};

/* "PROPOSAL_CREATED"; "io.conflux.proposal.created". */
const char *notice_name(enum notice notice);
const char *notice_type(enum notice notice);
/* NOTICE_NONE: there is none of that name. */
enum notice notice_of(struct str name);

/* spec of a Webhook. */
struct webhook {
	struct str url;                  /* in the arena */
	uint64_t wants;                  /* bits of enum notice */
	uint64_t timeout_ms;
	bool suspend, may_approve;
};

#define WEBHOOK_TIMEOUT_MS 10000
#define WEBHOOK_TIMEOUT_MIN_MS 1000
#define WEBHOOK_TIMEOUT_MAX_MS 30000

/* 'spec' is canonical JSON that was checked against the kind; what is malformed
 * is as if it were absent. */
void webhook_read(struct arena *arena, struct str spec, struct webhook *out);
bool webhook_wants(const struct webhook *w, enum notice notice);

/* Ready of the conditions in a status: "True", "False"; empty: none.  'reason' and
 * 'message' may be NULL; all in the arena. */
struct str condition_ready(struct arena *arena, struct str status,
			   struct str *reason, struct str *message);

#endif
