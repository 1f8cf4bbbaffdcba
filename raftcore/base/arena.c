/*
 * An arena is a chain of blocks, newest first; the first block is part of the
 * chain's end and survives a reset.  Under the address sanitizer, memory that
 * is not given out is poisoned, so that use after a reset and small overruns
 * are found.
 */
#include "base/arena.h"

#include <stdio.h>

#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#include "base/banned.h"

#define ALIGN 16u
#define FIRST_DEFAULT 4096u
#define BLOCK_MAX (1u << 20)

struct block {
	struct block *older;
	size_t cap, used;
	_Alignas(ALIGN) char bytes[];
};

struct arena {
	struct block *newest;
	size_t next_block;
	size_t used;
};

static struct block *block_new(size_t cap, struct block *older)
{
	struct block *block;

	must(cap <= SIZE_MAX - sizeof(*block));
	block = mem_alloc(sizeof(*block) + cap);
	block->older = older;
	block->cap = cap;
	block->used = 0;
	ASAN_POISON_MEMORY_REGION(block->bytes, cap);
	return block;
}

static void block_free(struct block *block)
{
	ASAN_UNPOISON_MEMORY_REGION(block->bytes, block->cap);
	free(block);
}

static size_t aligned(size_t n)
{
	must(n <= SIZE_MAX - ALIGN);
	return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

struct arena *arena_new(size_t first_block)
{
	struct arena *arena = NEW(struct arena);
	size_t cap = aligned(first_block ? first_block : FIRST_DEFAULT);

	arena->newest = block_new(cap, NULL);
	arena->next_block = cap;
	return arena;
}

static void drop_later_blocks(struct arena *arena)
{
	while (arena->newest->older) {
		struct block *block = arena->newest;

		arena->newest = block->older;
		block_free(block);
	}
}

void arena_free(struct arena **arena)
{
	if (!*arena)
		return;
	drop_later_blocks(*arena);
	block_free((*arena)->newest);
	free(*arena);
	*arena = NULL;
}

void arena_reset(struct arena *arena)
{
	struct block *first;

	drop_later_blocks(arena);
	first = arena->newest;
	first->used = 0;
	ASAN_POISON_MEMORY_REGION(first->bytes, first->cap);
	arena->next_block = first->cap;
	arena->used = 0;
}

static void add_block(struct arena *arena, size_t want)
{
	if (arena->next_block < BLOCK_MAX)
		arena->next_block *= 2;
	arena->newest = block_new(MAX(arena->next_block, want), arena->newest);
}

void *arena_alloc(struct arena *arena, size_t n)
{
	size_t want = aligned(MAX(n, (size_t)1));
	struct block *block = arena->newest;
	void *p;

	if (block->cap - block->used < want) {
		add_block(arena, want);
		block = arena->newest;
	}
	p = block->bytes + block->used;
	block->used += want;
	arena->used += want;
	ASAN_UNPOISON_MEMORY_REGION(p, n);
	return p;
}

void *arena_zero(struct arena *arena, size_t n)
{
	void *p = arena_alloc(arena, n);

	return n ? memset(p, 0, n) : p;
}

struct str arena_str(struct arena *arena, struct str s)
{
	return str_n(arena_z(arena, s), s.n);
}

char *arena_z(struct arena *arena, struct str s)
{
	char *p;

	must(s.n < SIZE_MAX);
	p = arena_alloc(arena, s.n + 1);
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

struct str arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	must(n >= 0);
	p = arena_alloc(arena, (size_t)n + 1);
	va_start(ap, fmt);
	n = vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return str_n(p, (size_t)n);
}

void *arena_grow(struct arena *arena, void *p, size_t *cap, size_t want,
		 size_t size)
{
	size_t new_cap = *cap ? *cap : 8, bytes;
	void *bigger;

	if (want <= *cap)
		return p;
	while (new_cap < want && new_cap <= SIZE_MAX / 2)
		new_cap *= 2;
	new_cap = MAX(new_cap, want);
	must(!__builtin_mul_overflow(new_cap, size, &bytes));
	bigger = arena_alloc(arena, bytes);
	if (*cap)
		memcpy(bigger, p, *cap * size);
	*cap = new_cap;
	return bigger;
}

size_t arena_used(const struct arena *arena)
{
	return arena->used;
}
