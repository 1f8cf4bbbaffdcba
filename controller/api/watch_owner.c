/*
 * See watch_owner.h.
 *
 * There is a place for each, by its token or name; where two want the same the later
 * one takes it, and the earlier is shared with nobody new.  So the table is of fixed
 * size, and looking costs the same for any number of them.
 */
#include "api/watch_owner.h"

#include "auth/auth.h"
#include "base/clock.h"
#include "base/mem.h"
#include "state/view.h"

#include "base/banned.h"

#define PLACES 1024u

struct watch_owners {
	struct watch_owner *places[PLACES];
	size_t count;
};

struct watch_owners *watch_owners_new(void)
{
	return NEW(struct watch_owners);
}

void watch_owners_free(struct watch_owners **at)
{
	struct watch_owners *owners = TAKE(*at);

	if (!owners)
		return;
	must(owners->count == 0);
	free(owners);
}

/* Tokens are digests: any part of one is as good as another. */
static struct watch_owner **place_of(struct watch_owners *owners,
				     const struct watch_who *who)
{
	uint32_t hash = 0;

	if (who->has_token)
		memcpy(&hash, who->token.b, sizeof(hash));
	else
		for (const char *p = who->name; *p; p++)
			hash = hash * 31 + (unsigned char)*p;
	return &owners->places[hash % PLACES];
}

static bool is_same(const struct watch_who *a, const struct watch_who *b)
{
	return a->has_token == b->has_token && a->role == b->role &&
	       a->until_ms == b->until_ms &&
	       a->verbs == b->verbs && strcmp(a->tenant, b->tenant) == 0 &&
	       sha256_eq(&a->token, &b->token) && strcmp(a->name, b->name) == 0;
}

struct watch_owner *watch_owner_get(struct watch_owners *owners,
				    const struct watch_who *who)
{
	struct watch_owner **place = place_of(owners, who), *owner = *place;

	if (!owner || !is_same(&owner->who, who)) {
		owner = *place = NEW(struct watch_owner);
		owner->who = *who;
		owners->count++;
	}
	owner->n++;
	return owner;
}

void watch_owner_put(struct watch_owners *owners, struct watch_owner **at)
{
	struct watch_owner *owner = TAKE(*at), **place;

	if (--owner->n > 0)
		return;
	place = place_of(owners, &owner->who);
	if (*place == owner)
		*place = NULL;
	owners->count--;
	free(owner);
}

/* 0: never. */
static uint64_t first_of(uint64_t a_ms, uint64_t b_ms)
{
	return a_ms && b_ms ? MIN(a_ms, b_ms) : MAX(a_ms, b_ms);
}

/* A token that was made anew under the key of another, as certificates have it. */
static bool is_other(const struct watch_who *who, const struct token_row *row)
{
	if (who->role == ROLE_NOBODY)
		return false;
	if (row->role != who->role || row->role != ROLE_NAMED)
		return row->role != who->role;
	return row->verbs != who->verbs || !str_eq(row->tenant, str_of(who->tenant)) ||
	       !str_eq(str_first(row->subject, sizeof(who->name) - 1),
		       str_of(who->name));
}

static void look_up(struct kv_txn *txn, struct watch_owner *owner)
{
	struct token_row row;

	owner->subject = (struct subject){ .role = ROLE_NOBODY,
					   .name = str_of(owner->who.name) };
	owner->snapshot = kv_snapshot(txn);
	owner->is_other = false;
	if (!view_token(txn, &owner->who.token, &row))
		return;
	owner->is_other = is_other(&owner->who, &row);
	if (owner->is_other ||
	    !str_copy(owner->tenant, sizeof(owner->tenant), row.tenant))
		return;
	owner->subject.role = row.role;
	owner->subject.verbs = row.verbs;
	owner->subject.until_ms = first_of(row.expires_ms, owner->who.until_ms);
	owner->subject.tenant = str_of(owner->tenant);
}

void watch_owner_say_over(struct kv_txn *txn, const struct watch_owner *owner,
			  struct err *err)
{
	char time[RFC3339_MAX];

	token_say_over(txn, &owner->who.token, err);
	if (owner->who.until_ms == 0 || owner->who.until_ms > clock_wall_ms())
		return;
	clock_rfc3339(time, owner->who.until_ms, false);
	err_set(err, E_UNAUTHORIZED, "the certificate has ended at %s", time);
	err_hint(err, "connect again with one that is valid");
}

/* The clock is looked at only where tokens end. */
struct subject watch_owner_now(struct kv_txn *txn, struct watch_owner *owner)
{
	struct subject *s = &owner->subject;

	if (!owner->who.has_token)
		return (struct subject){ .name = str_of(owner->who.name),
					 .role = owner->who.role };
	if (owner->snapshot != kv_snapshot(txn))
		look_up(txn, owner);
	if (s->until_ms && s->until_ms <= clock_wall_ms())
		s->role = ROLE_NOBODY;
	return *s;
}

enum code watch_owner_may(struct kv_txn *txn, struct watch_owner *owner, enum verb verb,
			  struct str tenant, struct str name, struct err *err)
{
	struct subject subject = watch_owner_now(txn, owner);
	struct target target = { .kind = KIND_CONFIG, .tenant = tenant,
				 .name = name, .is_open = verb == VERB_WATCH };
	enum code rc = permission_check(&subject, verb, &target, err);

	if (rc != E_UNAUTHORIZED || !owner->who.has_token)
		return rc;
	if (owner->is_other)
		return err_set(err, E_UNAUTHORIZED, "the token or certificate stands for "
			       "another subject, role or tenant, or for other verbs, than "
			       "when the watch began");
	watch_owner_say_over(txn, owner, err);
	return rc;
}
