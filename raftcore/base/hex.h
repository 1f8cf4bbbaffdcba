/* Hexadecimal and base64; pure. */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include "base/buf.h"

void hex_text(char *out, const void *p, size_t n);      /* 2n + NUL */
bool hex_parse(struct str s, void *out, size_t n);      /* exactly 2n digits */
void base64_url(struct buf *out, struct str in);        /* RFC 4648 5, unpadded */
void base64_text(struct buf *out, struct str in);       /* padded */
bool base64_parse(struct str in, struct buf *out);      /* both alphabets */

#endif
