/*
 * Encoding to bytes and back: little-endian fixed numbers, LEB128 varints,
 * length-prefixed strings.  Pure; any thread.
 *
 * A reader never fails on the way: the first short or malformed field marks it
 * bad, all later reads answer zeros, and the caller asks once with rd_done.
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include "base/buf.h"

void wr_u8(struct buf *b, uint8_t v);
void wr_u16(struct buf *b, uint16_t v);
void wr_u32(struct buf *b, uint32_t v);
void wr_u64(struct buf *b, uint64_t v);
void wr_u64_be(struct buf *b, uint64_t v);     /* keys: sorts as the number */
void wr_u32_be(struct buf *b, uint32_t v);
void wr_var(struct buf *b, uint64_t v);
void wr_str(struct buf *b, struct str s);      /* varint length, bytes */
void wr_raw(struct buf *b, const void *p, size_t n);

struct rd {
	const unsigned char *p, *end;
	bool bad;
};

struct rd rd_of(struct str s);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
uint64_t rd_u64_be(struct rd *r);
uint32_t rd_u32_be(struct rd *r);
uint64_t rd_var(struct rd *r);
struct str rd_str(struct rd *r);               /* borrows from the input */
struct str rd_raw(struct rd *r, size_t n);
size_t rd_left(const struct rd *r);
/* True when nothing was malformed and nothing is left over. */
bool rd_done(const struct rd *r);

#endif
