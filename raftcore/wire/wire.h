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

static inline void wr_u8(struct buf *b, uint8_t v)
{
	buf_c(b, (char)v);
}
void wr_u16(struct buf *b, uint16_t v);
void wr_u32(struct buf *b, uint32_t v);
void wr_u64(struct buf *b, uint64_t v);
void wr_u64_be(struct buf *b, uint64_t v);     /* keys: sorts as the number */
void wr_u32_be(struct buf *b, uint32_t v);
void wr_var_long(struct buf *b, uint64_t v);
/* Most numbers of a row take one byte. */
static inline void wr_var(struct buf *b, uint64_t v)
{
	if (v < 0x80)
		buf_c(b, (char)v);
	else
		wr_var_long(b, v);
}
/* varint length, bytes */
static inline void wr_str(struct buf *b, struct str s)
{
	wr_var(b, s.n);
	buf_str(b, s);
}
static inline void wr_raw(struct buf *b, const void *p, size_t n)
{
	buf_add(b, p, n);
}

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
uint64_t rd_var_long(struct rd *r);
static inline uint64_t rd_var(struct rd *r)
{
	return r->p < r->end && *r->p < 0x80 ? *r->p++ : rd_var_long(r);
}
struct str rd_raw(struct rd *r, size_t n);     /* borrows from the input */
static inline struct str rd_str(struct rd *r)
{
	return rd_raw(r, rd_var(r));
}
static inline size_t rd_left(const struct rd *r)
{
	return (size_t)(r->end - r->p);
}
/* True when nothing was malformed and nothing is left over. */
bool rd_done(const struct rd *r);

#endif
