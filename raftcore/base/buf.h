/*
 * struct buf owns bytes and grows.  Always keeps a NUL after the content, so
 * that buf.p can be printed.  Zero-initialised is valid and empty.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdlib.h>

#include "base/str.h"

struct buf {
	char *p;
	size_t n;
	size_t cap;
};

#define BUF_NONE ((struct buf){ NULL, 0, 0 })
#define AUTO_BUF __attribute__((cleanup(buf_fini))) struct buf

static inline void buf_fini(struct buf *b)
{
	if (b->p)
		free(b->p);
	*b = BUF_NONE;
}
void buf_reset(struct buf *b);                 /* keeps the memory */
void buf_reserve(struct buf *b, size_t more);
/* Returns the new bytes, unset. */
static inline char *buf_extend(struct buf *b, size_t more)
{
	char *at;

	if (more >= b->cap - b->n)
		buf_reserve(b, more);
	at = b->p + b->n;
	b->n += more;
	b->p[b->n] = '\0';
	return at;
}
static inline void buf_add(struct buf *b, const void *p, size_t n)
{
	char *at = buf_extend(b, n);

	if (n)
		memcpy(at, p, n);
}
static inline void buf_str(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}
static inline void buf_c(struct buf *b, char c)
{
	*buf_extend(b, 1) = c;
}
/* Inline, so that the length of a literal is known. */
static inline void buf_z(struct buf *b, const char *z)
{
	buf_add(b, z, strlen(z));
}
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF(2, 0);
void buf_u64(struct buf *b, uint64_t v);       /* decimal */
void buf_i64(struct buf *b, int64_t v);
void buf_hex(struct buf *b, const void *p, size_t n);
/* JSON string with quotes; bytes that are not UTF-8 become U+FFFD. */
void buf_json(struct buf *b, struct str s);
/* Drops the first n bytes. */
void buf_drop(struct buf *b, size_t n);
void buf_cut(struct buf *b, size_t n);         /* shortens to n */
static inline struct str buf_view(const struct buf *b)
{
	return (struct str){ b->p, b->n };
}
/* Hands the memory (NUL ended, to be freed with free) to the caller. */
char *buf_take(struct buf *b);

#endif
