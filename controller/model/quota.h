/*
 * What a tenant may hold at most: spec.quotas of a Tenant.  A limit that is not
 * named there does not exist.  Pure; any thread.  Called at the door for a good
 * answer, and by apply, which alone counts.
 */
#ifndef MODEL_QUOTA_H
#define MODEL_QUOTA_H

#include "base/arena.h"
#include "schema/kind.h"

enum quota_of {
	QUOTA_APPLICATIONS,
	QUOTA_ENVIRONMENTS,
	QUOTA_CONFIGURATIONS,
	QUOTA_SOURCES,
	/* Content of all versions that are kept, the same content once. */
	QUOTA_CONTENT_BYTES,
	QUOTA__COUNT                     /* of nothing */
};

struct quota {
	uint64_t most[QUOTA__COUNT];     /* UINT64_MAX: no limit */
};

/* Its member of spec.quotas and of status.used. */
const char *quota_name(enum quota_of what);
/* What counts objects of a kind; QUOTA__COUNT: nothing does. */
enum quota_of quota_of_kind(enum kind_id kind);
/* 'spec' is the JSON text of a tenant's spec; what is malformed is no limit. */
void quota_read(struct quota *out, struct str spec);
/* May 'more' come to what is 'used'?  E_QUOTA with tenant, limit and use. */
enum code quota_check(const struct quota *quota, enum quota_of what,
		      struct str tenant, uint64_t used, uint64_t more,
		      struct err *err) MUST_USE;

#endif
