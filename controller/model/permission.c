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
	[ROLE_SYSTEM] = "system", [ROLE_NAMED] = "named",
	[ROLE_WEBHOOK] = "webhook",
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

/* What tokens can be given, in the order they are shown in. */
static const enum verb given[] = {
	VERB_PUBLISH, VERB_APPROVE, VERB_PROMOTE,
	VERB_ROLLBACK, VERB_PAUSE, VERB_ADMINISTER,
};

bool verbs_add(uint64_t *verbs, struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(given); i++)
		if (str_eq(name, str_of(verb_name(given[i])))) {
			*verbs |= BIT(given[i]);
			return true;
		}
	return false;
}

void verbs_text(struct buf *out, uint64_t verbs)
{
	bool more = false;

	for (size_t i = 0; i < ARRAY_LEN(given); i++) {
		if (!(verbs & BIT(given[i])))
			continue;
		if (more)
			buf_c(out, ',');
		buf_z(out, verb_name(given[i]));
		more = true;
	}
}

/* Configurations and what they lie in. */
static bool is_of_configs(enum kind_id kind)
{
	return kind == KIND_APPLICATION || kind == KIND_ENVIRONMENT ||
	       kind == KIND_CONFIG;
}

/* Which of the verbs that are given covers it; VERB__COUNT: none. */
static enum verb given_for(enum verb verb, const struct target *t)
{
	switch (verb) {
	case VERB_CREATE:
	case VERB_UPDATE:
	case VERB_PATCH:
	case VERB_DELETE:
		return is_of_configs(t->kind) || t->is_open ? VERB_PUBLISH :
							      VERB_ADMINISTER;
	case VERB_PUBLISH:
	case VERB_APPROVE:
	case VERB_PROMOTE:
	case VERB_ROLLBACK:
	case VERB_PAUSE:
		return verb;
	case VERB_RECONCILE:
	case VERB_ADMINISTER:
		return VERB_ADMINISTER;
	default:
		return VERB__COUNT;
	}
}

/* What is of one tenant: its objects, and to be read the Tenant itself. */
static bool is_of_tenant(struct str tenant, enum verb verb, const struct target *t)
{
	return str_eq(tenant, t->tenant) ||
	       (t->kind == KIND_TENANT && !verb_writes(verb) &&
		str_eq(tenant, t->name));
}

/* Audit records and metrics are of all tenants, and cannot be taken apart. */
static bool is_of_all(enum verb verb)
{
	return verb == VERB_AUDIT || verb == VERB_METRICS;
}

/* Reads what is in his tenant, and writes what his verbs cover.  Who administers
 * the tenant writes its objects; approving is still not his unless it was given. */
static bool named_may(const struct subject *s, enum verb verb,
		      const struct target *t)
{
	enum verb needs = given_for(verb, t);

	if (s->tenant.n && (is_of_all(verb) ||
			    !(t->is_open || is_of_tenant(s->tenant, verb, t))))
		return false;
	if (!verb_writes(verb))
		return true;
	if (needs == VERB__COUNT)
		return false;
	return (s->verbs & BIT(needs)) ||
	       ((s->verbs & BIT(VERB_ADMINISTER)) &&
		(needs == VERB_PUBLISH || t->is_open));
}

bool subject_sees(const struct subject *s, struct str tenant)
{
	return s->tenant.n == 0 || str_eq(s->tenant, tenant);
}

static bool webhook_may(const struct subject *s, enum verb verb,
			const struct target *t)
{
	return verb == VERB_APPROVE && t->kind == KIND_PROPOSAL &&
	       str_eq(s->tenant, t->tenant);
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
	case ROLE_NAMED:
		return named_may(s, verb, t);
	case ROLE_WEBHOOK:
		return webhook_may(s, verb, t);
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
	if (s->role == ROLE_READ_ONLY)
		return err_hint(err, "this token is read-only; use another one");
	if (s->role == ROLE_NAMED)
		return err_hint(err, "`conflux whoami` says what this token may");
	return err_hint(err, "ask who holds the root token");
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
