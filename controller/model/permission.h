/*
 * May this subject do this to that?  One pure function of subject, verb,
 * object and state; every entrance calls it for a good answer, and apply calls
 * it again, which alone counts.  Roles and bindings come later behind the
 * same call.  Any thread.
 */
#ifndef MODEL_PERMISSION_H
#define MODEL_PERMISSION_H

#include "schema/kind.h"

/* VERB(ident, "name", writes) */
enum verb {
#define VERB(ident, name, writes) VERB_##ident,
#include "model/verbs.tbl"
#undef VERB
	VERB__COUNT
};

/* Numbers are in the log: append only. */
enum subject_role {
	ROLE_NOBODY = 0,
	ROLE_ROOT = 1,
	ROLE_READ_ONLY = 2,
	ROLE_SOURCE = 3,          /* "source:namespace/name": its own namespace */
	ROLE_SYSTEM = 4,          /* the cluster itself: expiry, compaction */
	ROLE__COUNT
};

struct subject {
	struct str name;          /* "token:root", "source:acme/shop" */
	enum subject_role role;
	struct str tenant;        /* of ROLE_SOURCE */
};

struct target {
	enum kind_id kind;        /* KIND_NONE: the system (audit, metrics, tokens) */
	struct str tenant;        /* empty: cluster scope or all tenants */
	struct str name;          /* empty: all */
};

const char *verb_name(enum verb verb);
bool verb_writes(enum verb verb);
const char *role_name(enum subject_role role);

/* E_UNAUTHORIZED (nobody) or E_DENIED, with a text that names subject, verb
 * and target. */
enum code permission_check(const struct subject *subject, enum verb verb,
			   const struct target *target, struct err *err) MUST_USE;

#endif
