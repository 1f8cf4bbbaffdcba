/* The shape of header blocks: see hpack.h. */
#include "http/wire/hpack.h"

#include "base/banned.h"

/* Five bytes behind a prefix are more than any length here needs. */
#define SHIFT_MAX 28u

/* RFC 7541, 5.1: what follows in the lower 'bits' of the first byte. */
static bool take_number(struct str *in, unsigned bits, uint64_t *out)
{
	uint64_t most = (1u << bits) - 1;
	unsigned char byte;

	if (in->n == 0)
		return false;
	*out = (unsigned char)in->p[0] & most;
	*in = str_from(*in, 1);
	if (*out < most)
		return true;
	for (unsigned shift = 0; shift <= SHIFT_MAX; shift += 7) {
		if (in->n == 0)
			return false;
		byte = (unsigned char)in->p[0];
		*in = str_from(*in, 1);
		*out += (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

/* 5.2 */
static bool skip_text(struct str *in)
{
	uint64_t n;

	if (!take_number(in, 7, &n) || n > in->n)
		return false;
	*in = str_from(*in, (size_t)n);
	return true;
}

static bool skip_literal(struct str *in, unsigned bits)
{
	uint64_t name;

	return take_number(in, bits, &name) && (name || skip_text(in)) &&
		skip_text(in);
}

bool hpack_next(struct str *block, struct hpack_field *out)
{
	struct str rest = *block;
	uint64_t index;
	bool is_whole;

	if (rest.n == 0)
		return false;
	if (rest.p[0] & 0x80) {
		out->kind = HPACK_INDEXED;
		is_whole = take_number(&rest, 7, &index) && index;
	} else if (rest.p[0] & 0x40) {
		out->kind = HPACK_INSERTED;
		is_whole = skip_literal(&rest, 6);
	} else if (rest.p[0] & 0x20) {
		out->kind = HPACK_RESIZED;
		is_whole = take_number(&rest, 5, &index);
	} else {
		out->kind = HPACK_PLAIN;
		is_whole = skip_literal(&rest, 4);
	}
	if (!is_whole)
		return false;
	out->bytes = str_first(*block, block->n - rest.n);
	*block = rest;
	return true;
}

bool hpack_is_pure(struct str block)
{
	struct hpack_field field;

	while (hpack_next(&block, &field))
		if (field.kind != HPACK_INDEXED && field.kind != HPACK_PLAIN)
			return false;
	return block.n == 0;
}
