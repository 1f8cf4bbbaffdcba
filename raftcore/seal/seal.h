/*
 * Sealing: what is at rest is encrypted and cannot be altered unseen.
 *
 * Each sealed thing (a segment of the log, a file, a stream) has a key of its
 * own, 32 random bytes, the *file key*.  It lies in the thing's header, wrapped
 * by a key that is kept elsewhere; header and all are an *envelope*:
 *
 *	provider	by name, a key that whoever runs the node keeps
 *			(keyring.h: a file; a key service, say, is another)
 *	public key	X25519: who seals cannot open again (pair.h)
 *
 * The envelope is bound to a *context*, bytes that say what is sealed ("segment
 * 7 of node 2 of this cluster"): it does not open as anything else.
 *
 * The cipher is AES-256-GCM (NIST SP 800-38D).  A nonce must never come twice
 * with one key; each user of `aead` says why it does not.
 */
#ifndef SEAL_SEAL_H
#define SEAL_SEAL_H

#include "base/buf.h"

#define SEAL_KEY_BYTES 32
#define SEAL_NONCE_BYTES 12
#define SEAL_TAG_BYTES 16
#define SEAL_NAME_MAX 63                 /* bytes of a key's name */
#define SEAL_WRAPPED_MAX 1024            /* bytes that a provider makes of a key */
#define SEAL_ENVELOPE_MAX (SEAL_WRAPPED_MAX + SEAL_NAME_MAX + 8)

/* Wiped by whoever holds it. */
struct seal_key {
	uint8_t b[SEAL_KEY_BYTES];
};

/* ---- who keeps the keys ---- */

/*
 * Any thread, several at once; may block (a key service is far away): it is
 * asked when a file begins or is opened, never for a record.
 */
struct seal_provider {
	void *data;
	/* Name of the key that wraps what is new, 1 to SEAL_NAME_MAX bytes, valid
	 * as long as the provider; NULL: what is new is not sealed. */
	const char *(*current)(void *data);
	/* Wraps 'key' by the current one: at most SEAL_WRAPPED_MAX bytes are
	 * added to 'out'. */
	enum code (*wrap)(void *data, struct str context,
			  const struct seal_key *key, struct buf *out,
			  struct err *err);
	/* E_DENIED: there is no key 'name', or it did not wrap this. */
	enum code (*unwrap)(void *data, struct str name, struct str context,
			    struct str wrapped, struct seal_key *out,
			    struct err *err);
};

/* True where 'p' (NULL too) has what is new sealed. */
bool seal_is_on(const struct seal_provider *p);

/* ---- envelopes ---- */

struct seal_public;
struct seal_private;

/* A new file key, and its envelope behind what is in 'out'. */
enum code seal_envelope_new(const struct seal_provider *p, struct str context,
			    struct seal_key *key, struct buf *out,
			    struct err *err) MUST_USE;
/* The same for a public key; 'out' can be opened with its private half only. */
enum code seal_envelope_to(const struct seal_public *to, struct str context,
			   struct seal_key *key, struct buf *out,
			   struct err *err) MUST_USE;
/*
 * The file key of an envelope.  Each of 'p' and 'own' may be NULL.  E_DENIED:
 * the key that it needs is not here, or is another of the same name (the text
 * has the name, the hint what to do); E_CORRUPT: it is none.
 */
enum code seal_envelope_open(const struct seal_provider *p,
			     const struct seal_private *own, struct str context,
			     struct str envelope, struct seal_key *key,
			     struct err *err) MUST_USE;
/* The name of the key that opens it, borrowed; empty: it is no envelope. */
struct str seal_envelope_name(struct str envelope);

/* ---- the cipher ---- */

/* A key made ready, both ways.  One thread at a time. */
struct aead;

struct aead *aead_new(const struct seal_key *key);
void aead_free(struct aead **a);
/* Encrypts 'p' in place; the tag covers 'ad' too.  Allocates nothing. */
void aead_seal(struct aead *a, const uint8_t nonce[SEAL_NONCE_BYTES],
	       struct str ad, void *p, size_t n, uint8_t tag[SEAL_TAG_BYTES]);
/* Decrypts in place.  False: altered, another key, nonce or 'ad'; 'p' is zeros
 * then. */
bool aead_open(struct aead *a, const uint8_t nonce[SEAL_NONCE_BYTES],
	       struct str ad, void *p, size_t n,
	       const uint8_t tag[SEAL_TAG_BYTES]) MUST_USE;

#endif
