/*
 * Retention of versions: which are beyond what a policy keeps.  What something names is
 * kept whatever it says (state/collect.h).  Pure; any thread.
 */
#ifndef MODEL_RETENTION_H
#define MODEL_RETENTION_H

#include "model/strategy.h"

/* 'rank' counts from the newest, 0.  False where nothing is said at all. */
bool retention_is_over(const struct retention *r, uint64_t rank,
		       uint64_t created_ms, uint64_t now_ms);
/* "keeps the newest 20, and those of 30 days" */
void retention_text(struct buf *out, const struct retention *r);

#endif
