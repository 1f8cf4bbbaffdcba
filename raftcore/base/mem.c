/*
 * Allocation that aborts instead of failing.  Used everywhere in daemon and
 * command line; installed libraries use malloc and report.
 */
#include "base/mem.h"

#include <stdio.h>
#include <unistd.h>

#include "base/failpoint.h"

#include "base/banned.h"

static NORETURN void out_of_memory(size_t n)
{
	dprintf(STDERR_FILENO, "out of memory: %zu bytes were asked for\n", n);
	must_failed("memory", __FILE__, __LINE__, __func__);
}

static void *checked(void *p, size_t n)
{
	if (!p || failpoint_hit(FP_MEMORY, NULL))
		out_of_memory(n);
	return p;
}

/* malloc(0) may answer NULL, which is no failure; so nothing asks for 0. */
void *mem_alloc(size_t n)
{
	return checked(malloc(n ? n : 1), n);
}

void *mem_zero(size_t n)
{
	return checked(calloc(1, n ? n : 1), n);
}

void *mem_resize(void *p, size_t n)
{
	return checked(realloc(p, n ? n : 1), n);
}

void mem_grow(void **p, size_t *cap, size_t want, size_t size)
{
	size_t new_cap = *cap ? *cap : 8;
	size_t bytes;

	must(size > 0);
	if (want <= *cap)
		return;
	while (new_cap < want && new_cap <= SIZE_MAX / 2)
		new_cap *= 2;
	new_cap = MAX(new_cap, want);
	if (__builtin_mul_overflow(new_cap, size, &bytes))
		out_of_memory(SIZE_MAX);
	*p = mem_resize(*p, bytes);
	*cap = new_cap;
}

char *mem_dup(const void *p, size_t n)
{
	char *copy;

	must(p || n == 0);
	must(n < SIZE_MAX);
	copy = mem_alloc(n + 1);
	if (n)
		memcpy(copy, p, n);
	copy[n] = '\0';
	return copy;
}
