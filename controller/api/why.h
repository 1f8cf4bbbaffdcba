/*
 * What a release waits for, asked of the leader (fleet/node.h) while a request waits.
 */
#ifndef API_WHY_H
#define API_WHY_H

#include "api/own.h"

/* 'err': NULL, or why the leader did not say; then 'why' knows nothing. */
typedef void why_known(struct request *r, const struct fleet_why *why,
		       const struct err *err);
/* 'then' runs later on the request's loop, or at once where nobody can be asked; not
 * where the connection has ended.  The request's arguments and body stay. */
void api_why(struct request *r, uint64_t release, why_known *then);

/* ,"waits_for":"..." (null: not known, and "waits_for_error" says why); nothing where
 * it waits for nothing. */
void put_why(struct buf *out, const struct fleet_why *why, const struct err *err);

#endif
