/*
 * The effect chain: a digest of everything that the commands so far changed, in
 * the order of application.  Two nodes that applied the same entries have the
 * same; where they do not, one of them went wrong.
 *
 *	link(entry) = SHA-256(link before, index (8 bytes, big-endian), effects)
 *	effects     = XXH3-128, big-endian, over each change: table (1 byte),
 *	              bytes of key and value (8 each, little-endian; a value of
 *	              2^64 - 1 bytes: deleted), key, value
 *
 * The chain finds faults of programs and of memory, not forgers: these change
 * the audit log, which has a chain of its own with SHA-256 throughout.  XXH3
 * (libxxhash; the format is fixed) costs a tenth (docs/decisions/0014).
 *
 * One thread at a time.
 */
#ifndef STATE_CHAIN_H
#define STATE_CHAIN_H

#include "kv/kv.h"
#include "wire/sum.h"

struct chain;

struct chain *chain_new(void);
void chain_free(struct chain **chain);
/* Begins an entry. */
void chain_start(struct chain *chain);
/* One change; 'val' has p NULL where the key was deleted. */
void chain_effect(struct chain *chain, enum kv_table table, struct str key,
		  struct str val);
/* As 'from' stands; what comes after is each one's own. */
void chain_copy(struct chain *to, const struct chain *from);
/* The link of the entry at 'index' behind 'before'. */
struct sha256 chain_end(struct chain *chain, const struct sha256 *before,
			uint64_t index);

#endif
