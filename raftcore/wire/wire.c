/*
 * Fields to bytes and back.
 */
#include "wire/wire.h"

#include <endian.h>

#include "base/banned.h"

/* A 64-bit number takes at most this many groups of 7 bits. */
#define VAR_MAX 10

void wr_u16(struct buf *b, uint16_t v)
{
	v = htole16(v);
	buf_add(b, &v, sizeof(v));
}

void wr_u32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_add(b, &v, sizeof(v));
}

void wr_u64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_add(b, &v, sizeof(v));
}

void wr_u64_be(struct buf *b, uint64_t v)
{
	v = htobe64(v);
	buf_add(b, &v, sizeof(v));
}

void wr_u32_be(struct buf *b, uint32_t v)
{
	v = htobe32(v);
	buf_add(b, &v, sizeof(v));
}

void wr_var_long(struct buf *b, uint64_t v)
{
	char bytes[VAR_MAX];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		bytes[n++] = (char)(v | 0x80);
	bytes[n++] = (char)v;
	buf_add(b, bytes, n);
}

struct rd rd_of(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;

	return (struct rd){ p, s.n ? p + s.n : p, false };
}

static void spoil(struct rd *r)
{
	r->bad = true;
	r->p = r->end;
}

/* Copies the next n bytes out; zeros when they are not all there. */
static void take(struct rd *r, void *out, size_t n)
{
	if (rd_left(r) < n) {
		memset(out, 0, n);
		spoil(r);
		return;
	}
	memcpy(out, r->p, n);
	r->p += n;
}

uint8_t rd_u8(struct rd *r)
{
	uint8_t v;

	take(r, &v, sizeof(v));
	return v;
}

uint16_t rd_u16(struct rd *r)
{
	uint16_t v;

	take(r, &v, sizeof(v));
	return le16toh(v);
}

uint32_t rd_u32(struct rd *r)
{
	uint32_t v;

	take(r, &v, sizeof(v));
	return le32toh(v);
}

uint64_t rd_u64(struct rd *r)
{
	uint64_t v;

	take(r, &v, sizeof(v));
	return le64toh(v);
}

uint64_t rd_u64_be(struct rd *r)
{
	uint64_t v;

	take(r, &v, sizeof(v));
	return be64toh(v);
}

uint32_t rd_u32_be(struct rd *r)
{
	uint32_t v;

	take(r, &v, sizeof(v));
	return be32toh(v);
}

uint64_t rd_var_long(struct rd *r)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < VAR_MAX; i++) {
		uint8_t byte = rd_u8(r);

		/* The tenth group has one bit left of 64; and a last group of
		 * zeros would give a number a second spelling. */
		if (r->bad || (i == VAR_MAX - 1 && byte > 1) ||
		    (i > 0 && byte == 0))
			break;
		v |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80)
			return v;
	}
	spoil(r);
	return 0;
}

struct str rd_raw(struct rd *r, size_t n)
{
	struct str s;

	if (rd_left(r) < n) {
		spoil(r);
		return STR_NONE;
	}
	s = str_n(r->p, n);
	r->p += n;
	return s;
}

bool rd_done(const struct rd *r)
{
	return !r->bad && r->p == r->end;
}
