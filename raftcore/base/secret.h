/*
 * Bytes that must not be printed: a type of their own that no printf-like
 * function accepts, wiped when freed.  Compare in constant time.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/str.h"

struct secret {
	size_t n;
	unsigned char *bytes_;           /* private: use secret_open */
};

void secret_set(struct secret *s, struct str bytes);     /* copies */
void secret_wipe(struct secret *s);
struct str secret_open(const struct secret *s);          /* borrow; look, do not print */
bool secret_eq(const struct secret *a, struct str b);
void wipe(void *p, size_t n);                            /* explicit_bzero */

#endif
