/* Open addressing: see table.h. */
#include "client/sdk/table.h"

#include "base/banned.h"

#define BITS_FIRST 6

struct table_slot {
	uint64_t hash;
	uint32_t id;
	bool is_used;
};

static size_t size_of(const struct table *t)
{
	return t->bits ? (size_t)1 << t->bits : 0;
}

static size_t first_of(const struct table *t, uint64_t hash)
{
	hash ^= hash >> 29;
	return (size_t)((hash * 0x9e3779b97f4a7c15u) >> (64 - t->bits));
}

static void put(struct table *t, uint64_t hash, uint32_t id)
{
	size_t at = first_of(t, hash), mask = size_of(t) - 1;

	while (t->slots[at].is_used)
		at = (at + 1) & mask;
	t->slots[at] = (struct table_slot){ hash, id, true };
	t->n++;
}

static bool grow(const heap *heap, struct table *t)
{
	struct table wider = { .bits = t->bits ? t->bits + 1 : BITS_FIRST };

	wider.slots = heap_zero(heap, size_of(&wider) * sizeof(*wider.slots));
	if (!wider.slots)
		return false;
	for (size_t i = 0; i < size_of(t); i++)
		if (t->slots[i].is_used)
			put(&wider, t->slots[i].hash, t->slots[i].id);
	heap_release(heap, t->slots);
	*t = wider;
	return true;
}

bool table_add(const heap *heap, struct table *t, uint64_t hash, uint32_t id)
{
	if (t->n >= size_of(t) / 2 && !grow(heap, t))
		return false;
	put(t, hash, id);
	return true;
}

/* '*at' counts the slots that were looked at. */
uint32_t *table_next(const struct table *t, uint64_t hash, size_t *at)
{
	size_t mask = size_of(t) - 1;

	while (*at < size_of(t)) {
		struct table_slot *s;

		s = &t->slots[(first_of(t, hash) + (*at)++) & mask];
		if (!s->is_used)
			return NULL;
		if (s->hash == hash)
			return &s->id;
	}
	return NULL;
}

void table_fini(const heap *heap, struct table *t)
{
	heap_release(heap, t->slots);
	*t = (struct table){ 0 };
}
