/*
 * Hash map from bytes to pointer, keys copied.  The hash is seeded per
 * process (SipHash-1-3), so outsiders cannot aim at collisions; iteration
 * order is therefore random and must never reach replicated state.
 * One thread.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

struct map;

struct map *map_new(void);
/* Frees keys, not values. */
void map_free(struct map **map);
void *map_get(const struct map *map, struct str key);          /* or NULL */
/* Sets and returns the old value, or NULL.  'value' must not be NULL. */
void *map_put(struct map *map, struct str key, void *value);
void *map_del(struct map *map, struct str key);                /* old or NULL */
size_t map_count(const struct map *map);
/* for (size_t at = 0; map_next(map, &at, &key, &value);)  No change inside.
 * 'key' and 'value' may be NULL; '*key' borrows from the map. */
bool map_next(const struct map *map, size_t *at, struct str *key, void **value);
/* The hash itself: SipHash-1-3 under 'key'; pure. */
uint64_t map_siphash13(const uint64_t key[2], struct str s);

#endif
