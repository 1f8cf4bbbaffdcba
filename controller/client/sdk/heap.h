/*
 * Memory of libconflux: each allocation may fail, and says so.  What base offers
 * aborts, which a library in another program's process must not.
 */
#ifndef CLIENT_SDK_HEAP_H
#define CLIENT_SDK_HEAP_H

#include "base/str.h"
#include "client/sdk/conflux.h"

typedef struct cfx_allocator heap;

/* What malloc, realloc and free are. */
extern const heap heap_of_libc;

/* NULL: no memory.  A size of 0 is one byte. */
void *heap_alloc(const heap *heap, size_t n) MUST_USE;
void *heap_zero(const heap *heap, size_t n) MUST_USE;
void heap_release(const heap *heap, void *p);            /* NULL is fine */
/* As heap_release, of what must not stay in memory. */
void heap_wipe(const heap *heap, void *p, size_t n);
/* With a NUL behind the bytes. */
char *heap_text(const heap *heap, struct str s) MUST_USE;

#define HEAP_NEW(heap, type) ((type *)heap_zero((heap), sizeof(type)))

/* Bytes that grow; {0} is empty. */
struct bytes {
	char *p;
	size_t n, cap;
};

/* Room for 'n' more; false: no memory, nothing changed. */
bool bytes_room(const heap *heap, struct bytes *b, size_t n) MUST_USE;
bool bytes_add(const heap *heap, struct bytes *b, struct str s) MUST_USE;
bool bytes_printf(const heap *heap, struct bytes *b, const char *fmt, ...)
	PRINTF(3, 4) MUST_USE;
void bytes_fini(const heap *heap, struct bytes *b);

static inline struct str bytes_view(const struct bytes *b)
{
	return str_n(b->p, b->n);
}

/* Room for one more of 'size' in '*p', of which there are 'n'; doubles. */
bool heap_more(const heap *heap, void **p, size_t *cap, size_t n,
	       size_t size) MUST_USE;

/* Sets code and text (cut, and without control bytes); answers the code. */
enum cfx_code cfx_fail(struct cfx_error *error, enum cfx_code code,
		       const char *fmt, ...) PRINTF(3, 4);
enum cfx_code cfx_no_memory(struct cfx_error *error);

#endif
