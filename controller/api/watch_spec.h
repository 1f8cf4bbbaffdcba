/*
 * What a watcher follows, and on whose behalf: taken from requests and messages.
 */
#ifndef API_WATCH_SPEC_H
#define API_WATCH_SPEC_H

#include "doc/value.h"
#include "model/address.h"
#include "model/permission.h"
#include "model/rules.h"
#include "wire/sum.h"

struct caller;
struct request;

#define WATCH_KEYS_MAX 1000      /* keys and prefixes of one watcher */

/* On whose behalf: looked up again before each change is told, and when tokens
 * change. */
struct watch_who {
	bool has_token;                  /* false: 'role' stays what it is */
	struct sha256 token;
	uint64_t until_ms;               /* of its certificate, Unix; 0: by none */
	/* What it was when the watch began: whoever the token is of later is somebody
	 * else.  ROLE_NOBODY: it was not looked up yet. */
	enum subject_role role;
	uint64_t verbs;                  /* these two of ROLE_NAMED */
	char tenant[64];
	char name[80];                   /* for errors and rates; cut where longer */
};

/* What to follow.  Strings are borrowed until watcher_start returns. */
struct watch_spec {
	struct address *keys;
	size_t n_keys, cap_keys;
	struct str *prefixes;            /* of "tenant/application/environment/name" */
	size_t n_prefixes, cap_prefixes;
	struct client client;            /* who it is: what it gets */
	bool has_since;                  /* false: from now on */
	uint64_t since;                  /* to start after */
	struct watch_who who;
	bool is_counted;                 /* for its subject already: watcher_count */
};
/* Each refuses what cannot be with E_INVALID and a text that names it. */
enum code watch_spec_key(struct watch_spec *spec, struct arena *arena,
			 struct str key, struct err *err) MUST_USE;
enum code watch_spec_prefix(struct watch_spec *spec, struct arena *arena,
			    struct str prefix, struct err *err) MUST_USE;
enum code watch_spec_label(struct watch_spec *spec, struct arena *arena,
			   struct str key, struct str value,
			   struct err *err) MUST_USE;
/* 'key' is that of the token's row, or the certificate's, which ends at 'until_ms'; NULL:
 * neither. */
void watch_who_set(struct watch_who *who, const struct caller *caller,
		   const struct sha256 *key, uint64_t until_ms);
/* When the certificate that stands for the caller ends, Unix; 0: none does (door.c). */
uint64_t api_credential_ends_ms(const struct request *r);
/* Out of a message that a client sent:
 *	{"keys": [...], "prefixes": [...], "labels": {"zone": "eu"},
 *	 "instance": "web-7", "since": 17}
 * Other members are passed over.  Borrows from 'message'. */
enum code watch_spec_read(struct watch_spec *spec, struct arena *arena,
			  const struct value *message, struct err *err) MUST_USE;
/* The subject and the token of a request that `before` has let in. */
void watch_spec_caller(struct watch_spec *spec, const struct request *r);

#endif
