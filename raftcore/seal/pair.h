/*
 * Sealing to a public key (X25519, RFC 7748): who seals does not need, and does
 * not have, what opens it again.  Keys are PEM files as OpenSSL makes them:
 *
 *	openssl genpkey -algorithm X25519 -out backup.key
 *	openssl pkey -in backup.key -pubout -out backup.pub
 *
 * Each envelope has a key pair of its own, whose public half lies in it; from
 * both halves comes, by HKDF-SHA256 (RFC 5869), the key that wraps the file key.
 */
#ifndef SEAL_PAIR_H
#define SEAL_PAIR_H

#include "seal/seal.h"

#define SEAL_PAIR_BYTES 32

/* Blocking.  E_NOT_FOUND, E_IO; E_INVALID: no X25519 key of this kind. */
enum code seal_public_load(const char *path, struct seal_public **out,
			   struct err *err) MUST_USE;
/* E_DENIED: others than its owner may read it.  A passphrase is not asked for. */
enum code seal_private_load(const char *path, struct seal_private **out,
			    struct err *err) MUST_USE;
/* The same of a text. */
enum code seal_public_parse(struct str pem, const char *path,
			    struct seal_public **out, struct err *err) MUST_USE;
enum code seal_private_parse(struct str pem, const char *path,
			     struct seal_private **out, struct err *err) MUST_USE;
void seal_public_free(struct seal_public **k);
void seal_private_free(struct seal_private **k);
/* What envelopes and error texts call it: 16 hexadecimal digits, from SHA-256 of
 * the public half. */
const char *seal_public_name(const struct seal_public *k);
const char *seal_private_name(const struct seal_private *k);

/* For envelope.c: bytes from which 'key' comes again, and back. */
void pair_wrap(const struct seal_public *to, struct str context,
	       const struct seal_key *key, struct buf *out);
enum code pair_unwrap(const struct seal_private *own, struct str context,
		      struct str wrapped, struct seal_key *out,
		      struct err *err) MUST_USE;

#endif
