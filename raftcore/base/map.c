/*
 * Open addressing with linear probing at a load of at most three quarters.
 * A deletion shifts the run behind it back, so there are no tombstones.
 */
#include "base/map.h"

#include <pthread.h>

#include "base/mem.h"
#include "base/rand.h"

#include "base/banned.h"

struct slot {
	char *key;              /* owned; NULL: the slot is free */
	size_t key_n;
	uint64_t hash;
	void *value;
};

struct map {
	struct slot *slots;     /* cap of them, a power of two; NULL at first */
	size_t cap, count;
};

/* The seed of every map of this process. */
static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void seed_make(void)
{
	rand_bytes(seed, sizeof(seed));
}

static inline uint64_t rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

/* SipHash-1-3: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input
 * PRF" (2012), with one round a word and three at the end. */
uint64_t map_siphash13(const uint64_t key[2], struct str s)
{
	uint64_t v[4] = {
		key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
		key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u
	};
	uint64_t last = (uint64_t)s.n << 56, word;

	for (; s.n >= sizeof(word); s = str_from(s, sizeof(word))) {
		memcpy(&word, s.p, sizeof(word));
		sip_word(v, le64toh(word));
	}
	for (size_t i = 0; i < s.n; i++)
		last |= (uint64_t)(unsigned char)s.p[i] << (8 * i);
	sip_word(v, last);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_new(void)
{
	pthread_once(&seed_once, seed_make);
	return NEW(struct map);
}

void map_free(struct map **map)
{
	if (!*map)
		return;
	for (size_t i = 0; i < (*map)->cap; i++)
		free((*map)->slots[i].key);
	free((*map)->slots);
	free(*map);
	*map = NULL;
}

/* The slot that holds 'key', or the free one where it belongs. */
static struct slot *probe(const struct map *map, struct str key, uint64_t hash)
{
	size_t mask = map->cap - 1;

	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		struct slot *slot = &map->slots[i];

		if (!slot->key || (slot->hash == hash &&
				   str_eq(str_n(slot->key, slot->key_n), key)))
			return slot;
	}
}

static struct slot *find(const struct map *map, struct str key)
{
	struct slot *slot;

	if (map->count == 0)
		return NULL;
	slot = probe(map, key, map_siphash13(seed, key));
	return slot->key ? slot : NULL;
}

void *map_get(const struct map *map, struct str key)
{
	const struct slot *slot = find(map, key);

	return slot ? slot->value : NULL;
}

static void make_room(struct map *map)
{
	struct slot *old = map->slots;
	size_t old_cap = map->cap;

	if (map->cap && map->count < map->cap - map->cap / 4)
		return;
	map->cap = old_cap ? old_cap * 2 : 8;
	must(map->cap <= SIZE_MAX / 2 / sizeof(struct slot));
	map->slots = mem_zero(map->cap * sizeof(struct slot));
	for (size_t i = 0; i < old_cap; i++)
		if (old[i].key)
			*probe(map, str_n(old[i].key, old[i].key_n),
			       old[i].hash) = old[i];
	free(old);
}

void *map_put(struct map *map, struct str key, void *value)
{
	uint64_t hash = map_siphash13(seed, key);
	struct slot *slot;
	void *old;

	must(value);
	make_room(map);
	slot = probe(map, key, hash);
	old = slot->value;
	if (!slot->key) {
		slot->key = mem_dup(key.p, key.n);
		slot->key_n = key.n;
		slot->hash = hash;
		map->count++;
	}
	slot->value = value;
	return old;
}

/* Fills the hole at 'hole' with whatever later in the run may stand there. */
static void close_hole(struct map *map, size_t hole)
{
	size_t mask = map->cap - 1;

	for (size_t i = (hole + 1) & mask; map->slots[i].key;
	     i = (i + 1) & mask) {
		size_t home = map->slots[i].hash & mask;

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		map->slots[hole] = map->slots[i];
		hole = i;
	}
	map->slots[hole] = (struct slot){ 0 };
}

void *map_del(struct map *map, struct str key)
{
	struct slot *slot = find(map, key);
	void *old;

	if (!slot)
		return NULL;
	old = slot->value;
	free(slot->key);
	close_hole(map, (size_t)(slot - map->slots));
	map->count--;
	return old;
}

size_t map_count(const struct map *map)
{
	return map->count;
}

bool map_next(const struct map *map, size_t *at, struct str *key, void **value)
{
	while (*at < map->cap) {
		const struct slot *slot = &map->slots[(*at)++];

		if (!slot->key)
			continue;
		if (key)
			*key = str_n(slot->key, slot->key_n);
		if (value)
			*value = slot->value;
		return true;
	}
	return false;
}
