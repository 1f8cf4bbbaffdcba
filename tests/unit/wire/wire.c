/* Fields to bytes and back; what a hostile input gets. */
#include "base/rand.h"
#include "unit.h"
#include "wire/wire.h"

#include "base/banned.h"

START_TEST(layout)
{
	AUTO_BUF b = BUF_NONE;

	wr_u8(&b, 0x01);
	wr_u16(&b, 0x0203);
	wr_u32(&b, 0x04050607);
	wr_u64(&b, 0x08090a0b0c0d0e0f);
	wr_u32_be(&b, 0x04050607);
	wr_u64_be(&b, 0x08090a0b0c0d0e0f);
	wr_str(&b, STR("hi"));
	wr_raw(&b, "raw", 3);
	ck_assert_uint_eq(b.n, 33);
	ck_assert_mem_eq(b.p,
			 "\x01"
			 "\x03\x02"
			 "\x07\x06\x05\x04"
			 "\x0f\x0e\x0d\x0c\x0b\x0a\x09\x08"
			 "\x04\x05\x06\x07"
			 "\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
			 "\x02hiraw",
			 33);
}
END_TEST

START_TEST(round_trip)
{
	AUTO_BUF b = BUF_NONE;
	struct rd r;

	wr_u8(&b, 200);
	wr_u16(&b, 60000);
	wr_u32(&b, 4000000000);
	wr_u64(&b, UINT64_MAX);
	wr_u32_be(&b, 7);
	wr_u64_be(&b, 8);
	wr_var(&b, 300);
	wr_str(&b, STR(""));
	wr_str(&b, STR("a\0b"));
	wr_raw(&b, "xyz", 3);
	r = rd_of(buf_view(&b));
	ck_assert_uint_eq(rd_u8(&r), 200);
	ck_assert_uint_eq(rd_u16(&r), 60000);
	ck_assert_uint_eq(rd_u32(&r), 4000000000);
	ck_assert_uint_eq(rd_u64(&r), UINT64_MAX);
	ck_assert_uint_eq(rd_u32_be(&r), 7);
	ck_assert_uint_eq(rd_u64_be(&r), 8);
	ck_assert_uint_eq(rd_var(&r), 300);
	ck_assert(str_is(rd_str(&r), ""));
	ck_assert(str_is(rd_str(&r), "a\0b"));
	ck_assert(!rd_done(&r));
	ck_assert_uint_eq(rd_left(&r), 3);
	ck_assert(str_is(rd_raw(&r, 3), "xyz"));
	ck_assert(rd_done(&r));
}
END_TEST

START_TEST(varints)
{
	static const uint64_t values[] = {
		0, 1, 127, 128, 16383, 16384, UINT32_MAX, 1ull << 63, UINT64_MAX,
	};
	static const size_t lengths[] = { 1, 1, 1, 2, 2, 3, 5, 10, 10 };

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		AUTO_BUF b = BUF_NONE;
		struct rd r;

		wr_var(&b, values[i]);
		ck_assert_uint_eq(b.n, lengths[i]);
		r = rd_of(buf_view(&b));
		ck_assert_uint_eq(rd_var(&r), values[i]);
		ck_assert(rd_done(&r));
	}
}
END_TEST

static void var_is_bad(struct str s)
{
	struct rd r = rd_of(s);

	ck_assert_uint_eq(rd_var(&r), 0);
	ck_assert(r.bad);
	ck_assert_uint_eq(rd_left(&r), 0);
}

START_TEST(varints_have_one_spelling)
{
	var_is_bad(STR(""));
	var_is_bad(STR("\x80"));
	var_is_bad(STR("\x80\x00"));
	var_is_bad(STR("\xff\x80\x00"));
	/* Bit 64 and more, and an eleventh group. */
	var_is_bad(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"));
	var_is_bad(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x01"));
	var_is_bad(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
}
END_TEST

START_TEST(short_input_stays_bad)
{
	struct rd r = rd_of(STR("\x01\x02\x03"));

	ck_assert_uint_eq(rd_u32(&r), 0);
	ck_assert(r.bad);
	/* What was there is not given out in smaller pieces. */
	ck_assert_uint_eq(rd_u8(&r), 0);
	ck_assert_uint_eq(rd_u64_be(&r), 0);
	ck_assert_uint_eq(rd_str(&r).n, 0);
	ck_assert_uint_eq(rd_raw(&r, 0).n, 0);
	ck_assert(!rd_done(&r));
}
END_TEST

START_TEST(lengths_that_lie)
{
	AUTO_BUF b = BUF_NONE;
	struct rd r;

	wr_var(&b, UINT64_MAX);
	wr_raw(&b, "abc", 3);
	r = rd_of(buf_view(&b));
	ck_assert_ptr_null(rd_str(&r).p);
	ck_assert(r.bad);
	r = rd_of(STR("\x04" "abc"));
	rd_str(&r);
	ck_assert(r.bad);
	r = rd_of(STR_NONE);
	ck_assert(rd_done(&r));
	ck_assert_uint_eq(rd_raw(&r, 0).n, 0);
	ck_assert(rd_done(&r));
}
END_TEST

/* Whatever is read from whatever bytes, nothing is read beyond the end. */
START_TEST(random_reads)
{
	struct prng prng;

	prng_init(&prng, 5);
	for (int i = 0; i < 20000; i++) {
		size_t n = prng_below(&prng, 40);
		char *bytes = malloc(n + 1);
		struct rd r;

		for (size_t k = 0; k < n; k++)
			bytes[k] = (char)prng_next(&prng);
		bytes = realloc(bytes, n ? n : 1);
		r = rd_of(str_n(bytes, n));
		for (int k = 0; k < 8; k++) {
			size_t left = rd_left(&r);
			struct str s = STR_NONE;

			switch (prng_below(&prng, 7)) {
			case 0: rd_u8(&r); break;
			case 1: rd_u16(&r); break;
			case 2: rd_u32_be(&r); break;
			case 3: rd_u64(&r); break;
			case 4: rd_var(&r); break;
			case 5: s = rd_str(&r); break;
			case 6: s = rd_raw(&r, prng_below(&prng, 50)); break;
			}
			ck_assert_uint_le(rd_left(&r), left);
			ck_assert_uint_le(s.n, left);
			for (size_t j = 0; j < s.n; j++)
				ck_assert(s.p[j] == s.p[j]);
		}
		free(bytes);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wire/wire");
	TCase *t = tcase_create("wire");

	tcase_add_test(t, layout);
	tcase_add_test(t, round_trip);
	tcase_add_test(t, varints);
	tcase_add_test(t, varints_have_one_spelling);
	tcase_add_test(t, short_input_stays_bad);
	tcase_add_test(t, lengths_that_lie);
	tcase_add_test(t, random_reads);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
