/* Arenas: a chain of blocks, newest first; see arena.h. */
#include "base/arena.h"

#include <stdio.h>

#include "base/mem.h"

#include "base/banned.h"

struct block {
	struct block *older;
	size_t cap, used;
	_Alignas(16) char bytes[];
};

struct arena {
	struct block *newest, *first;
	size_t next_cap;
};

static struct block *block_new(size_t cap, struct block *older)
{
	struct block *b = mem_alloc(sizeof(*b) + cap);

	*b = (struct block){ .older = older, .cap = cap };
	return b;
}

struct arena *arena_new(size_t first_block)
{
	struct arena *a = NEW(struct arena);

	a->next_cap = first_block ? first_block : 4096;
	a->newest = a->first = block_new(a->next_cap, NULL);
	return a;
}

static void drop_newer(struct arena *a)
{
	while (a->newest != a->first) {
		struct block *b = a->newest;

		a->newest = b->older;
		free(b);
	}
}

void arena_free(struct arena **ap)
{
	struct arena *a = *ap;

	if (!a)
		return;
	drop_newer(a);
	free(a->first);
	free(a);
	*ap = NULL;
}

void arena_reset(struct arena *a)
{
	drop_newer(a);
	a->first->used = 0;
	a->next_cap = a->first->cap;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct block *b = a->newest;
	void *p;

	must(n < SIZE_MAX / 4);
	n = (n + 15) & ~(size_t)15;
	if (b->cap - b->used < n) {
		if (a->next_cap < 1024 * 1024)
			a->next_cap *= 2;
		b = block_new(MAX(a->next_cap, n), b);
		a->newest = b;
	}
	p = b->bytes + b->used;
	b->used += n;
	return p;
}

void *arena_zero(struct arena *a, size_t n)
{
	return memset(arena_alloc(a, n), 0, n);
}

char *arena_z(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

struct str arena_str(struct arena *a, struct str s)
{
	return str_n(arena_z(a, s), s.n);
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	must(n >= 0);
	p = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return str_n(p, (size_t)n);
}

void *arena_grow(struct arena *a, void *p, size_t *cap, size_t want, size_t size)
{
	size_t n = *cap ? *cap : 4;
	void *q;

	if (want <= *cap)
		return p;
	while (n < want)
		n *= 2;
	q = arena_alloc(a, n * size);
	if (*cap)
		memcpy(q, p, *cap * size);
	*cap = n;
	return q;
}

size_t arena_used(const struct arena *a)
{
	size_t n = 0;

	for (const struct block *b = a->newest; b; b = b->older)
		n += b->used;
	return n;
}
