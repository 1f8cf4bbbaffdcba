/*
 * Numbers of things by the hash of what they are called: two of one hash are told apart
 * by the caller, who compares.  {0} is empty.
 */
#ifndef CLIENT_SDK_TABLE_H
#define CLIENT_SDK_TABLE_H

#include "client/sdk/heap.h"

struct table {
	struct table_slot *slots;
	size_t n;
	unsigned bits;                   /* 2^bits slots; 0: none */
};

/* False: no memory, nothing changed. */
bool table_add(const heap *heap, struct table *table, uint64_t hash,
	       uint32_t id) MUST_USE;
/* Where the next one with this hash is, behind '*at' (0 at first), for as long as none
 * is added; NULL: there is no more. */
uint32_t *table_next(const struct table *table, uint64_t hash, size_t *at);
void table_fini(const heap *heap, struct table *table);

#endif
