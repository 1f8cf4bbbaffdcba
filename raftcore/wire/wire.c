/* Encoding to bytes and back: see wire.h. */
#include "wire/wire.h"

#include "base/banned.h"

void wr_u8(struct buf *b, uint8_t v)
{
	buf_c(b, (char)v);
}

static void wr_le(struct buf *b, uint64_t v, unsigned n)
{
	char *at = buf_extend(b, n);

	for (unsigned i = 0; i < n; i++)
		at[i] = (char)(v >> (8 * i));
}

static void wr_be(struct buf *b, uint64_t v, unsigned n)
{
	char *at = buf_extend(b, n);

	for (unsigned i = 0; i < n; i++)
		at[i] = (char)(v >> (8 * (n - 1 - i)));
}

void wr_u16(struct buf *b, uint16_t v)
{
	wr_le(b, v, 2);
}

void wr_u32(struct buf *b, uint32_t v)
{
	wr_le(b, v, 4);
}

void wr_u64(struct buf *b, uint64_t v)
{
	wr_le(b, v, 8);
}

void wr_u64_be(struct buf *b, uint64_t v)
{
	wr_be(b, v, 8);
}

void wr_u32_be(struct buf *b, uint32_t v)
{
	wr_be(b, v, 4);
}

void wr_var(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		wr_u8(b, (uint8_t)(v | 0x80));
	wr_u8(b, (uint8_t)v);
}

void wr_raw(struct buf *b, const void *p, size_t n)
{
	buf_add(b, p, n);
}

void wr_str(struct buf *b, struct str s)
{
	wr_var(b, s.n);
	buf_str(b, s);
}

struct rd rd_of(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;

	return (struct rd){ .p = p, .end = p ? p + s.n : p };
}

size_t rd_left(const struct rd *r)
{
	return r->bad ? 0 : (size_t)(r->end - r->p);
}

struct str rd_raw(struct rd *r, size_t n)
{
	struct str s = str_n(r->p, n);

	if (r->bad || (size_t)(r->end - r->p) < n) {
		r->bad = true;
		return STR_NONE;
	}
	r->p += n;
	return s;
}

static uint64_t rd_le(struct rd *r, unsigned n)
{
	struct str s = rd_raw(r, n);
	uint64_t v = 0;

	for (unsigned i = 0; i < s.n; i++)
		v |= (uint64_t)(unsigned char)s.p[i] << (8 * i);
	return v;
}

static uint64_t rd_be(struct rd *r, unsigned n)
{
	struct str s = rd_raw(r, n);
	uint64_t v = 0;

	for (unsigned i = 0; i < s.n; i++)
		v = v << 8 | (unsigned char)s.p[i];
	return v;
}

uint8_t rd_u8(struct rd *r)
{
	return (uint8_t)rd_le(r, 1);
}

uint16_t rd_u16(struct rd *r)
{
	return (uint16_t)rd_le(r, 2);
}

uint32_t rd_u32(struct rd *r)
{
	return (uint32_t)rd_le(r, 4);
}

uint64_t rd_u64(struct rd *r)
{
	return rd_le(r, 8);
}

uint64_t rd_u64_be(struct rd *r)
{
	return rd_be(r, 8);
}

uint32_t rd_u32_be(struct rd *r)
{
	return (uint32_t)rd_be(r, 4);
}

uint64_t rd_var(struct rd *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t b = rd_u8(r);

		if (r->bad || (shift == 63 && b > 1))
			break;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	r->bad = true;
	return 0;
}

struct str rd_str(struct rd *r)
{
	uint64_t n = rd_var(r);

	return n > rd_left(r) ? (r->bad = true, STR_NONE) : rd_raw(r, n);
}

bool rd_done(const struct rd *r)
{
	return !r->bad && r->p == r->end;
}
