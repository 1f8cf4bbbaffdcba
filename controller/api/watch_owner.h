/*
 * On whose behalf the watchers of one loop watch: one for all of a subject's token,
 * as watches are many and mostly of few.
 *
 * One loop's thread.
 */
#ifndef API_WATCH_OWNER_H
#define API_WATCH_OWNER_H

#include "api/watch_spec.h"
#include "kv/kv.h"

struct watch_owner {
	struct watch_who who;
	/* What the token allows, as the picture with this number says; 0: not
	 * looked up yet. */
	uint64_t snapshot;
	struct subject subject;          /* without its groups */
	bool is_other;                   /* than when the watch began: it is nobody */
	char tenant[64];                 /* of it */
	unsigned n;                      /* private: who holds it */
};

struct watch_owners;

struct watch_owners *watch_owners_new(void);
/* Nobody holds one any more. */
void watch_owners_free(struct watch_owners **owners);

/* That of 'who', to be put back. */
struct watch_owner *watch_owner_get(struct watch_owners *owners,
				    const struct watch_who *who);
void watch_owner_put(struct watch_owners *owners, struct watch_owner **owner);
/* Who it is in the picture 'txn', and now: nobody, where the token is gone or over, or
 * the certificate. */
struct subject watch_owner_now(struct kv_txn *txn, struct watch_owner *owner);
/* Where nobody is left because the time is over 'err' says so. */
void watch_owner_say_over(struct kv_txn *txn, const struct watch_owner *owner,
			  struct err *err);
/* May it watch (VERB_WATCH, of nothing) or fetch that, as a read now would?
 * E_UNAUTHORIZED, E_DENIED. */
enum code watch_owner_may(struct kv_txn *txn, struct watch_owner *owner, enum verb verb,
			  struct str tenant, struct str name, struct err *err) MUST_USE;

#endif
