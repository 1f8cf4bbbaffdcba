/* Parsed configurations: see ofrep_cache.h. */
#include "api/ofrep_cache.h"

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

#include "base/banned.h"

struct entry {
	struct list at_;                 /* most recently used first */
	struct arena *arena;             /* of the entry too */
	struct str key;
	struct flag_set set;
};

struct ofrep_cache {
	struct map *by_key;
	struct list used;
	size_t bytes, bytes_max;
};

struct ofrep_cache *ofrep_cache_new(size_t bytes_max)
{
	struct ofrep_cache *cache = NEW(struct ofrep_cache);

	cache->by_key = map_new();
	list_init(&cache->used);
	cache->bytes_max = bytes_max;
	return cache;
}

static void let_go(struct ofrep_cache *cache, struct entry *e)
{
	struct arena *arena = e->arena;

	cache->bytes -= arena_used(arena);
	list_remove(&e->at_);
	map_del(cache->by_key, e->key);
	arena_free(&arena);
}

void ofrep_cache_free(struct ofrep_cache **cache)
{
	struct entry *e;

	if (!*cache)
		return;
	list_each(&(*cache)->used, e, at_)
		let_go(*cache, e);
	map_free(&(*cache)->by_key);
	free(*cache);
	*cache = NULL;
}

const struct flag_set *ofrep_cache_get(struct ofrep_cache *cache,
				       struct str key)
{
	struct entry *e = map_get(cache->by_key, key);

	if (!e)
		return NULL;
	list_remove(&e->at_);
	list_prepend(&cache->used, &e->at_);
	return &e->set;
}

const struct flag_set *ofrep_cache_put(struct ofrep_cache *cache, struct str key,
				       struct arena **arena,
				       const struct flag_set *set)
{
	struct entry *e = ANEW(*arena, struct entry);
	struct entry *old;
	void *before;

	e->key = arena_str(*arena, key);
	e->set = *set;
	e->arena = TAKE(*arena);
	before = map_put(cache->by_key, key, e);
	must(!before);
	cache->bytes += arena_used(e->arena);
	while (cache->bytes > cache->bytes_max && !list_empty(&cache->used)) {
		old = container_of(cache->used.prev, struct entry, at_);
		let_go(cache, old);
	}
	list_prepend(&cache->used, &e->at_);
	return &e->set;
}
