/*
 * May this subject do this to that?  One pure function of subject, verb,
 * object and state; every entrance calls it for a good answer, and apply calls
 * it again, which alone counts.  Roles and bindings come later behind the
 * same call.  Any thread.
 */
#ifndef MODEL_PERMISSION_H
#define MODEL_PERMISSION_H

#include "schema/kind.h"
#include "wire/sum.h"

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
	ROLE_NAMED = 5,           /* somebody with a name: may do what his verbs say */
	ROLE_WEBHOOK = 6,         /* "webhook:tenant/name": votes by a signed callback */
	ROLE__COUNT
};

struct subject {
	struct str name;          /* "token:root", "source:acme/shop" */
	enum subject_role role;
	struct str tenant;        /* of SOURCE, WEBHOOK, NAMED (empty there: all) */
	/* NAMED: what his token says, which apply looks up again under its digest. */
	struct str groups;        /* encoded: groups_has */
	uint64_t verbs;           /* bits of enum verb */
	struct sha256 token;
	uint64_t until_ms;        /* when it ends, Unix; 0: never.  Not in the log */
};

struct target {
	enum kind_id kind;        /* KIND_NONE: the system (audit, metrics, tokens) */
	struct str tenant;        /* empty: cluster scope or all tenants */
	struct str name;          /* empty: all */
	/* Asked before the tenant is known; it is asked again when it is. */
	bool is_open;
};

/* The verbs that a token can be given (`--verb`), each with what belongs to it;
 * whoever has a name may read.  false: no such verb. */
bool verbs_add(uint64_t *verbs, struct str name);
/* "publish,approve" */
void verbs_text(struct buf *out, uint64_t verbs);

/* Groups: each name behind its length, sorted, none twice. */
#define GROUPS_MAX 32
#define GROUP_NAME_MAX 63
bool groups_has(struct str groups, struct str group);
/* The next of them from '*at' (0 at first) on; false: no more. */
bool groups_next(struct str groups, size_t *at, struct str *out);
/* Sorts 'names'; E_INVALID where one is empty, too long or twice, or they are
 * too many. */
enum code groups_encode(struct buf *out, struct str *names, size_t n,
			struct err *err) MUST_USE;
/* Whether these bytes are what groups_encode makes. */
bool groups_are_valid(struct str groups);

/*
 * Instances that a token is bound to are groups with this before them: names, or
 * their beginnings and '*'.  A subject that has any is one of these and no other.
 */
#define GROUP_INSTANCE "instance:"
/* Of such a group the rest; false: it is another. */
bool group_instance(struct str group, struct str *pattern);
bool subject_is_bound(const struct subject *subject);
/* May it say that it is this instance?  Whoever is bound to none may. */
bool subject_may_be(const struct subject *subject, struct str instance);

/* Whether anything of 'tenant' is shown to it: a subject of one tenant is not told
 * that there are others. */
bool subject_sees(const struct subject *subject, struct str tenant);

const char *verb_name(enum verb verb);
bool verb_writes(enum verb verb);
const char *role_name(enum subject_role role);

/* E_UNAUTHORIZED (nobody) or E_DENIED, with a text that names subject, verb
 * and target. */
enum code permission_check(const struct subject *subject, enum verb verb,
			   const struct target *target, struct err *err) MUST_USE;

#endif
