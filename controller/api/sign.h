/*
 * What a node signs: (address, version, digest) of configurations that it serves, by
 * Ed25519, for clients that pin the public key (docs/formats/signature.md).
 *
 * The key is shared by all loops and may be exchanged while they sign (signing_reload);
 * each loop keeps signatures that it made in a cache of its own, of a fixed number of
 * places: a signature costs some 50 us, finding one a hash.
 */
#ifndef API_SIGN_H
#define API_SIGN_H

#include "base/buf.h"
#include "model/address.h"
#include "wire/sum.h"

struct signing;

/* 'key_file': a private key of Ed25519 in PEM that its owner alone may use.
 * E_NOT_FOUND, E_DENIED, E_IO; E_INVALID: there is no such key in it. */
enum code signing_new(const char *key_file, struct signing **out,
		      struct err *err) MUST_USE;
void signing_free(struct signing **signing);
/* Reads the file again; where that fails the old key stays in use.  Any thread. */
enum code signing_reload(struct signing *signing, struct err *err) MUST_USE;
/* The public key in PEM, and the name of the key (16 hex digits).  Any thread. */
void signing_public(struct signing *signing, struct buf *pem, char name[17]);

struct sign_cache;

struct sign_cache *sign_cache_new(void);
void sign_cache_free(struct sign_cache **cache);
/* "ed25519; key=<name>; sig=<base64>" of what 'at' is in that version.  The thread
 * of the cache. */
#define SIGNATURE_TEXT_MAX 160
void sign_cache_get(struct sign_cache *cache, struct signing *signing,
		    const struct address *at, uint64_t version,
		    const struct sha256 *sha, char out[SIGNATURE_TEXT_MAX]);

/* What is signed: "conflux-signature-v1\n" address "\n" version "\n" digest "\n". */
void sign_text(struct buf *out, const struct address *at, uint64_t version,
	       const struct sha256 *sha);

#endif
