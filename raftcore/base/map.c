/*
 * Hash map: open addressing with linear probing and backward-shift deletion,
 * SipHash-1-3 (Aumasson, Bernstein) under a key of the process.
 */
#include "base/map.h"

#include "base/mem.h"
#include "base/rand.h"

#include "base/banned.h"

struct slot {
	char *key;
	size_t n;
	uint64_t hash;
	void *value;                 /* NULL: free */
};

struct map {
	struct slot *slots;
	size_t count, cap;           /* cap: power of two */
	uint64_t k0, k1;
};

static uint64_t rotl(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

static void sip_round(uint64_t v[4])
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

static uint64_t sip13(const struct map *m, struct str s)
{
	uint64_t v[4] = { m->k0 ^ 0x736f6d6570736575ull,
			  m->k1 ^ 0x646f72616e646f6dull,
			  m->k0 ^ 0x6c7967656e657261ull,
			  m->k1 ^ 0x7465646279746573ull };
	uint64_t last = (uint64_t)s.n << 56, word;
	size_t i;

	for (i = 0; i + 8 <= s.n; i += 8) {
		memcpy(&word, s.p + i, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (size_t k = 0; i + k < s.n; k++)
		last |= (uint64_t)(unsigned char)s.p[i + k] << (8 * k);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int r = 0; r < 3; r++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_new(void)
{
	struct map *m = NEW(struct map);

	m->cap = 16;
	m->slots = mem_zero(m->cap * sizeof(*m->slots));
	m->k0 = rand_u64();
	m->k1 = rand_u64();
	return m;
}

void map_free(struct map **mp)
{
	struct map *m = *mp;

	if (!m)
		return;
	for (size_t i = 0; i < m->cap; i++)
		free(m->slots[i].key);
	free(m->slots);
	free(m);
	*mp = NULL;
}

static struct slot *find(const struct map *m, struct str key, uint64_t hash)
{
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct slot *s = &m->slots[i];

		if (!s->value || (s->hash == hash &&
				  str_eq(str_n(s->key, s->n), key)))
			return s;
	}
}

static void grow(struct map *m)
{
	struct slot *old = m->slots;
	size_t n = m->cap;

	m->cap *= 2;
	m->slots = mem_zero(m->cap * sizeof(*m->slots));
	for (size_t i = 0; i < n; i++)
		if (old[i].value)
			*find(m, str_n(old[i].key, old[i].n), old[i].hash) =
				old[i];
	free(old);
}

void *map_get(const struct map *m, struct str key)
{
	return find(m, key, sip13(m, key))->value;
}

void *map_put(struct map *m, struct str key, void *value)
{
	uint64_t hash = sip13(m, key);
	struct slot *s;
	void *old;

	must(value);
	if (m->count * 4 >= m->cap * 3)
		grow(m);
	s = find(m, key, hash);
	old = s->value;
	if (!old) {
		s->key = mem_dup(key.p, key.n);
		s->n = key.n;
		s->hash = hash;
		m->count++;
	}
	s->value = value;
	return old;
}

/* Moves later entries of the probe chain back, so that no tombstones stay. */
static void close_gap(struct map *m, size_t gap)
{
	size_t mask = m->cap - 1;

	for (size_t i = (gap + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
		size_t home = m->slots[i].hash & mask;

		if (((i - home) & mask) < ((i - gap) & mask))
			continue;
		m->slots[gap] = m->slots[i];
		gap = i;
	}
	m->slots[gap] = (struct slot){ 0 };
}

void *map_del(struct map *m, struct str key)
{
	struct slot *s = find(m, key, sip13(m, key));
	void *old = s->value;

	if (!old)
		return NULL;
	free(s->key);
	m->count--;
	close_gap(m, (size_t)(s - m->slots));
	return old;
}

size_t map_count(const struct map *m)
{
	return m->count;
}

bool map_next(const struct map *m, size_t *at, struct str *key, void **value)
{
	while (*at < m->cap) {
		const struct slot *s = &m->slots[(*at)++];

		if (!s->value)
			continue;
		if (key)
			*key = str_n(s->key, s->n);
		if (value)
			*value = s->value;
		return true;
	}
	return false;
}
