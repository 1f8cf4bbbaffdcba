/* The one decision about who may do what: see permission.h. */
#include "model/permission.h"

#include "base/banned.h"

static const struct {
	const char *name;
	bool writes;
} verbs[VERB__COUNT] = {
#define VERB(ident, name, writes) [VERB_##ident] = { name, writes },
#include "model/verbs.tbl"
#undef VERB
};

static const char *const roles[ROLE__COUNT] = {
	[ROLE_NOBODY] = "nobody", [ROLE_ROOT] = "root",
	[ROLE_READ_ONLY] = "read-only", [ROLE_SOURCE] = "source",
	[ROLE_SYSTEM] = "system",
};

const char *verb_name(enum verb verb)
{
	return verb < VERB__COUNT ? verbs[verb].name : "unknown";
}

bool verb_writes(enum verb verb)
{
	return verb >= VERB__COUNT || verbs[verb].writes;
}

const char *role_name(enum subject_role role)
{
	return role < ROLE__COUNT ? roles[role] : "unknown";
}

/* What a source may write: configurations and what their paths name, and its
 * own status. */
static bool source_may(const struct subject *s, enum verb verb,
		       const struct target *t)
{
	if (!str_eq(s->tenant, t->tenant))
		return false;
	switch (verb) {
	case VERB_CREATE:
	case VERB_UPDATE:
	case VERB_DELETE:
	case VERB_PUBLISH:
	case VERB_PATCH:
		return t->kind == KIND_APPLICATION ||
		       t->kind == KIND_ENVIRONMENT || t->kind == KIND_CONFIG ||
		       t->kind == KIND_SOURCE || t->kind == KIND_RELEASE;
	default:
		return false;
	}
}

static bool role_may(const struct subject *s, enum verb verb,
		     const struct target *t)
{
	switch (s->role) {
	case ROLE_ROOT:
	case ROLE_SYSTEM:
		return true;
	case ROLE_READ_ONLY:
		return !verb_writes(verb);
	case ROLE_SOURCE:
		return source_may(s, verb, t);
	default:
		return false;
	}
}

static enum code denied(const struct subject *s, enum verb verb,
			const struct target *t, struct err *err)
{
	const struct kind *kind = kind_by_id(t->kind);
	struct str what = kind ? kind->plural : STR("the system");

	err_set(err, E_DENIED, "%.*s (%s) may not %s %.*s%s%.*s%s%.*s",
		STR_ARG(s->name), role_name(s->role), verb_name(verb),
		STR_ARG(what), t->name.n ? " " : "", STR_ARG(t->name),
		t->tenant.n ? " in tenant " : "", STR_ARG(t->tenant));
	return err_hint(err, s->role == ROLE_READ_ONLY ?
				     "this token is read-only; use another one" :
				     "ask who holds the root token");
}

enum code permission_check(const struct subject *subject, enum verb verb,
			   const struct target *target, struct err *err)
{
	if (role_may(subject, verb, target))
		return OK;
	if (subject->role == ROLE_NOBODY) {
		err_set(err, E_UNAUTHORIZED, "a valid token is required");
		return err_hint(err, "send Authorization: Bearer <token>; the "
				     "first start writes one to root.token in "
				     "the data directory");
	}
	return denied(subject, verb, target, err);
}
