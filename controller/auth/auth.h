/*
 * Tokens: 32 random bytes as text, of which only the SHA-256 is stored; and names of
 * certificates that stand for one.
 *
 * A token is of a role ("token:NAME"), or of a subject that has a name of its own,
 * groups, verbs, perhaps a tenant, and an end.  One that has ended is as one that is
 * unknown; ends are compared with the clock here, and with the cluster's time in apply.
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "base/secret.h"
#include "model/permission.h"
#include "store/store.h"

#define TOKEN_TEXT_MAX 64

/* A new token: "cfx_" and 43 characters; 'sha' is what is stored of it. */
void token_new(char text[TOKEN_TEXT_MAX], struct sha256 *sha);
/* The subject that 'token' stands for, its strings in 'arena'; ROLE_NOBODY
 * where it is unknown or has ended.  'credential' is how the audit names it. */
void token_subject(struct kv_txn *txn, struct str token, struct arena *arena,
		   struct subject *out, struct str *credential);

/* As token_subject, of whom a certificate calls 'name' (tls_cert_name): ROLE_NOBODY
 * where none is bound to it. */
void certificate_subject(struct kv_txn *txn, struct str name, struct arena *arena,
			 struct subject *out, struct str *credential);

/* Does the row stand for somebody, or has its time passed? */
bool token_is_over(const struct token_row *row, uint64_t now_ms);
/* Why the token of that key stands for nobody, where that is because it has ended:
 * sets 'err' to E_UNAUTHORIZED with when; else nothing. */
void token_say_over(struct kv_txn *txn, const struct sha256 *key, struct err *err);

/*
 * The last token that was asked for, and what came of it, for as long as nothing
 * is written: most requests of a loop bring the same one.  Zero-initialised is
 * empty.  One thread.
 */
struct token_cache {
	uint64_t snapshot;
	struct secret token;
	struct buf text;                 /* of the strings of 'subject' */
	struct subject subject;
	char credential[24];
};
void token_cache_fini(struct token_cache *cache);
/* 'token' is the one, and what came of it is still so. */
bool token_cache_has(const struct token_cache *cache, struct kv_txn *txn,
		     struct str token);
/* As token_subject. */
void token_subject_cached(struct token_cache *cache, struct kv_txn *txn,
			  struct str token, struct arena *arena,
			  struct subject *out, struct str *credential);

/*
 * Makes sure that the cluster has a root token.  On the first start writes
 * one to <dir>/root.token (0600, synced), then proposes its hash; after a
 * crash between the two the file's token is proposed.  Of several nodes that
 * start together the first one's counts, and the others remove theirs.
 * Blocking; not on a loop.  '*made' says that it was made now, and counts.
 * E_UNAVAILABLE: no leader yet; E_BUSY: this node lags; both: ask again.
 */
enum code root_token_ensure(struct store *store, const char *dir, bool *made,
			    struct err *err) MUST_USE;

#endif
