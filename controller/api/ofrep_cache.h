/*
 * Parsed configurations of one HTTP loop, so that an evaluation does not parse:
 * by what their bytes are, which never change, so nothing is ever out of date.
 * What was used longest ago goes first where there is no room.
 *
 * Own loop's thread.
 */
#ifndef API_OFREP_CACHE_H
#define API_OFREP_CACHE_H

#include "api/ofrep_flag.h"

struct ofrep_cache;

/* Holds at most 'bytes_max' of parsed trees, and the newest in any case. */
struct ofrep_cache *ofrep_cache_new(size_t bytes_max);
void ofrep_cache_free(struct ofrep_cache **cache);
/* NULL: not here.  Valid until the next put. */
const struct flag_set *ofrep_cache_get(struct ofrep_cache *cache,
				       struct str key);
/* Takes over '*arena', in which the tree of 'set' lies; 'key' is not here yet. */
const struct flag_set *ofrep_cache_put(struct ofrep_cache *cache, struct str key,
				       struct arena **arena,
				       const struct flag_set *set);

#endif
