/*
 * Allocation that does not fail: in daemon and command line it aborts after
 * logging, because limits stand at the door.  Any thread.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

void *mem_alloc(size_t n) __attribute__((malloc, alloc_size(1)));
void *mem_zero(size_t n) __attribute__((malloc, alloc_size(1)));
void *mem_resize(void *p, size_t n);
/* Grows '*p' (elements of 'size') so that at least 'want' fit; doubles. */
void mem_grow(void **p, size_t *cap, size_t want, size_t size);
char *mem_dup(const void *p, size_t n);   /* adds a NUL after the n bytes */

#define NEW(type) ((type *)mem_zero(sizeof(type)))

#endif
