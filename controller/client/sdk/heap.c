/* Memory that may fail: see heap.h. */
#include "client/sdk/heap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

static void *libc_alloc(void *user, size_t n)
{
	return malloc(n);
}

static void *libc_resize(void *user, void *p, size_t n)
{
	return realloc(p, n);
}

static void libc_release(void *user, void *p)
{
	free(p);
}

const heap heap_of_libc = { libc_alloc, libc_resize, libc_release, NULL };

void *heap_alloc(const heap *heap, size_t n)
{
	return heap->alloc(heap->user, n ? n : 1);
}

void *heap_zero(const heap *heap, size_t n)
{
	void *p = heap_alloc(heap, n);

	if (p)
		memset(p, 0, n);
	return p;
}

void heap_release(const heap *heap, void *p)
{
	if (p)
		heap->release(heap->user, p);
}

void heap_wipe(const heap *heap, void *p, size_t n)
{
	if (p)
		explicit_bzero(p, n);
	heap_release(heap, p);
}

char *heap_text(const heap *heap, struct str s)
{
	char *p = heap_alloc(heap, s.n + 1);

	if (!p)
		return NULL;
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

/* ---- bytes ---- */

bool bytes_room(const heap *heap, struct bytes *b, size_t n)
{
	size_t cap = b->cap ? b->cap : 256;
	void *p;

	if (n > SIZE_MAX / 4 || b->n > SIZE_MAX / 4)
		return false;
	if (b->cap - b->n >= n)
		return true;
	while (cap - b->n < n)
		cap *= 2;
	p = b->p ? heap->resize(heap->user, b->p, cap) : heap_alloc(heap, cap);
	if (!p)
		return false;
	b->p = p;
	b->cap = cap;
	return true;
}

bool bytes_add(const heap *heap, struct bytes *b, struct str s)
{
	if (!bytes_room(heap, b, s.n))
		return false;
	if (s.n)
		memcpy(b->p + b->n, s.p, s.n);
	b->n += s.n;
	return true;
}

bool bytes_printf(const heap *heap, struct bytes *b, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0 || !bytes_room(heap, b, (size_t)n + 1))
		return false;
	va_start(args, fmt);
	vsnprintf(b->p + b->n, (size_t)n + 1, fmt, args);
	va_end(args);
	b->n += (size_t)n;
	return true;
}

void bytes_fini(const heap *heap, struct bytes *b)
{
	heap_release(heap, b->p);
	*b = (struct bytes){ 0 };
}

bool heap_more(const heap *heap, void **p, size_t *cap, size_t n, size_t size)
{
	size_t want = *cap ? *cap * 2 : 16;
	void *more;

	if (n < *cap)
		return true;
	if (want > SIZE_MAX / 2 / size)
		return false;
	more = *p ? heap->resize(heap->user, *p, want * size) :
		    heap_alloc(heap, want * size);
	if (!more)
		return false;
	*p = more;
	*cap = want;
	return true;
}

/* ---- errors ---- */

/* A text may have been cut in the middle of a character. */
static void drop_cut(char *text)
{
	size_t n = strlen(text), from = n;
	unsigned char lead;

	while (from > 0 && n - from < 3 && ((unsigned char)text[from - 1] & 0xc0) == 0x80)
		from--;
	lead = from > 0 ? (unsigned char)text[from - 1] : 0;
	if (lead >= 0xc0 && n - from + 1 < (lead >= 0xf0 ? 4u : lead >= 0xe0 ? 3u : 2u))
		text[from - 1] = '\0';
}

enum cfx_code cfx_fail(struct cfx_error *error, enum cfx_code code,
		       const char *fmt, ...)
{
	va_list args;

	if (!error)
		return code;
	error->code = code;
	va_start(args, fmt);
	vsnprintf(error->text, sizeof(error->text), fmt, args);
	va_end(args);
	drop_cut(error->text);
	for (char *c = error->text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return code;
}

enum cfx_code cfx_no_memory(struct cfx_error *error)
{
	return cfx_fail(error, CFX_E_NO_MEMORY, "out of memory");
}

const char *cfx_code_name(enum cfx_code code)
{
	switch ((int)code) {
	case CFX_OK: return "ok";
	case CFX_E_NO_MEMORY: return "no-memory";
	case CFX_E_REJECTED: return "rejected";
#define ERR(name, num, http, grpc, cli, slug, text) case num: return slug;
#include "base/errors.tbl"
#undef ERR
	}
	return "unknown";
}

#define SAME(name) _Static_assert((int)CFX_##name == (int)name, #name)
SAME(E_INTERNAL);
SAME(E_INVALID);
SAME(E_UNAUTHORIZED);
SAME(E_DENIED);
SAME(E_NOT_FOUND);
SAME(E_TOO_LARGE);
SAME(E_RATE);
SAME(E_UNAVAILABLE);
SAME(E_TIMEOUT);
SAME(E_PARSE);
SAME(E_IO);
SAME(E_CORRUPT);
SAME(E_UNSUPPORTED);
SAME(E_USAGE);
SAME(E_TLS);
