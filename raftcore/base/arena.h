/*
 * An arena holds everything that one request or job allocates and lets go of
 * it at once.  One thread at a time.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/buf.h"

struct arena;

#define AUTO_ARENA OWNED(arena)

struct arena *arena_new(size_t first_block);   /* 0: 4 KiB */
void arena_free(struct arena **arena);
void arena_reset(struct arena *arena);         /* keeps the first block */
void *arena_alloc(struct arena *arena, size_t n);   /* 16-aligned, unset */
void *arena_zero(struct arena *arena, size_t n);
struct str arena_str(struct arena *arena, struct str s);  /* copy, NUL after */
char *arena_z(struct arena *arena, struct str s);
struct str arena_printf(struct arena *arena, const char *fmt, ...) PRINTF(2, 3);
/* Grows an array that lives in the arena (old storage stays until reset). */
void *arena_grow(struct arena *arena, void *p, size_t *cap, size_t want,
		 size_t size);
size_t arena_used(const struct arena *arena);

#define ANEW(arena, type) ((type *)arena_zero((arena), sizeof(type)))

#endif
