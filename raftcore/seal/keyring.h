/*
 * Keys in a file, the provider that comes with raftcore.  Each line names one:
 *
 *	# what is new is wrapped by the first key; the others open what is old
 *	2026-11 8zB0v1mJ0mKxkqzq0u1c0gqk2uQ5oQeVQ3gJm9o1vSg=
 *	2026-05 4f9d...64 hexadecimal digits...
 *
 * 32 bytes each, base64 (`openssl rand -base64 32`) or hexadecimal.  A name has 1
 * to 63 of `A-Z a-z 0-9 . _ -`.  Empty lines and lines that begin with `#` mean
 * nothing.  The file must be readable by its owner alone.
 *
 * To rotate: a new line on top, start again; what is old opens with the older
 * lines, and is replaced as the log is cut and checkpoints are taken.
 *
 * A wrapped key: 12 bytes nonce, random, 32 bytes of the key, 16 bytes tag.  Of
 * random nonces 2^32 may be used with one key: no node begins so many files.
 */
#ifndef SEAL_KEYRING_H
#define SEAL_KEYRING_H

#include "seal/seal.h"

struct keyring;

/* Blocking.  E_NOT_FOUND, E_IO; E_DENIED: others may read it; E_INVALID: with
 * the line, never with what is in it. */
enum code keyring_load(const char *path, struct keyring **out,
		       struct err *err) MUST_USE;
/* The same of a text; 'path' is for error texts. */
enum code keyring_parse(struct str text, const char *path, struct keyring **out,
			struct err *err) MUST_USE;
/* Wipes the keys. */
void keyring_free(struct keyring **k);
size_t keyring_count(const struct keyring *k);
/* Nothing new is sealed from now on, or it is (as after loading); before the
 * provider is used by other threads. */
void keyring_set_on(struct keyring *k, bool seals_new);
/* Valid as long as the keyring. */
const struct seal_provider *keyring_provider(const struct keyring *k);

#endif
