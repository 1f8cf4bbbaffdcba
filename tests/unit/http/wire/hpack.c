/* The shape of header blocks (examples of RFC 7541, appendix C, and broken ones). */
#include "unit.h"

#include "http/wire/hpack.h"

#include "base/banned.h"

struct sample {
	const char *bytes;
	size_t n;
	const char *kinds;               /* a letter a field, '!' where it is broken */
	bool is_pure;
};
#define BYTES(s) s, sizeof(s) - 1

static const struct sample samples[] = {
	{ BYTES(""), "", true },
	/* C.2.1 to C.2.4 */
	{ BYTES("\x40\x0a" "custom-key\x0d" "custom-header"), "n", false },
	{ BYTES("\x04\x0c/sample/path"), "p", true },
	{ BYTES("\x10\x08password\x06secret"), "p", true },
	{ BYTES("\x82"), "i", true },
	/* C.4.2, with Huffman's code */
	{ BYTES("\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf"), "iiiin",
	  false },
	{ BYTES("\x3f\xe1\x1f\x82"), "ri", false },
	{ BYTES("\x20"), "r", false },
	/* A name from the table, beyond the prefix; a long value. */
	{ BYTES("\x0f\x2f\x01z\x82"), "pi", true },
	{ BYTES("\x00\x01x\x7f\x00" "0123456789012345678901234567890123456789"
		"012345678901234567890123456789012345678901234567890123456789"
		"012345678901234567890123456\x82"), "pi", true },
	/* Broken. */
	{ BYTES("\x80"), "!", false },
	{ BYTES("\x82\x00\x05x"), "i!", false },
	{ BYTES("\x82\x00"), "i!", false },
	{ BYTES("\x0f"), "!", false },
	{ BYTES("\xff\xff\xff\xff\xff\xff\xff\x01"), "!", false },
	{ BYTES("\x00\x01x\x7f"), "!", false },
};

START_TEST(fields_and_their_kinds)
{
	static const char letters[] = { [HPACK_INDEXED] = 'i', [HPACK_INSERTED] = 'n',
					[HPACK_PLAIN] = 'p', [HPACK_RESIZED] = 'r' };
	const struct sample *s = &samples[_i];
	struct str block = str_n(s->bytes, s->n), rest = block;
	struct hpack_field field;
	const char *want = s->kinds;
	size_t at = 0;

	for (; hpack_next(&rest, &field); want++) {
		ck_assert_int_eq(*want, letters[field.kind]);
		ck_assert_ptr_eq(field.bytes.p, block.p + at);
		ck_assert_uint_gt(field.bytes.n, 0);
		at += field.bytes.n;
	}
	ck_assert_str_eq(want, rest.n ? "!" : "");
	ck_assert_uint_eq(at + rest.n, block.n);
	ck_assert_int_eq(hpack_is_pure(block), s->is_pure);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/wire/hpack");
	TCase *t = tcase_create("hpack");

	tcase_add_loop_test(t, fields_and_their_kinds, 0, ARRAY_LEN(samples));
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
