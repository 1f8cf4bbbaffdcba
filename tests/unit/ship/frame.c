/* Frames of shipping on the wire. */
#include "unit.h"

#include "ship/frame.h"

#include "base/banned.h"

static struct err err;
static struct buf bytes;

static void setup(void)
{
	bytes = BUF_NONE;
}

static void teardown(void)
{
	buf_fini(&bytes);
}

static const struct ship_frame samples[] = {
	{ .type = SHIP_F_OFFER, .number = 1,
	  .offer = { { "Check-point_42", 14 }, { "meta\0", 5 },
		     { INT64_MAX, 1 << 20, 10 }, { { 1, 2, 3 } } } },
	{ .type = SHIP_F_OFFER, .number = UINT64_MAX,
	  .offer = { { "a", 1 }, { "", 0 }, { 0, 1024, 1 }, { { 0 } } } },
	{ .type = SHIP_F_REFUSE, .number = 2, .end = { E_FULL, { "full", 4 } } },
	{ .type = SHIP_F_GIVE_UP, .number = 2, .end = { E_IO, { "", 0 } } },
	{ .type = SHIP_F_ASK_PAGE, .number = 3, .piece = { 2, 77, { "", 0 } } },
	{ .type = SHIP_F_ASK_CHUNK, .number = 3,
	  .piece = { 0, UINT64_MAX, { "", 0 } } },
	{ .type = SHIP_F_PAGE, .number = 3, .piece = { 63, 1, { "abc", 3 } } },
	{ .type = SHIP_F_CHUNK, .number = UINT64_MAX,
	  .piece = { 0, UINT64_MAX, { "xyz", 3 } } },
	{ .type = SHIP_F_DONE, .number = 9 },
};

static void equals(const struct ship_frame *a, const struct ship_frame *b)
{
	ck_assert_int_eq(a->type, b->type);
	ck_assert_uint_eq(a->number, b->number);
	switch (a->type) {
	case SHIP_F_OFFER:
		ck_assert(str_eq(a->offer.id, b->offer.id));
		ck_assert(str_eq(a->offer.meta, b->offer.meta));
		ck_assert_uint_eq(a->offer.shape.size, b->offer.shape.size);
		ck_assert_uint_eq(a->offer.shape.chunk_bytes,
				  b->offer.shape.chunk_bytes);
		ck_assert_uint_eq(a->offer.shape.page_log,
				  b->offer.shape.page_log);
		ck_assert(sha256_eq(&a->offer.root, &b->offer.root));
		break;
	case SHIP_F_REFUSE:
	case SHIP_F_GIVE_UP:
		ck_assert_int_eq(a->end.code, b->end.code);
		ck_assert(str_eq(a->end.text, b->end.text));
		break;
	case SHIP_F_DONE:
		break;
	default:
		ck_assert_uint_eq(a->piece.level, b->piece.level);
		ck_assert_uint_eq(a->piece.index, b->piece.index);
		ck_assert(str_eq(a->piece.bytes, b->piece.bytes));
	}
}

START_TEST(what_is_sent_is_what_comes)
{
	struct ship_frame back;

	ship_frame_encode(&bytes, &samples[_i]);
	ck_assert_int_eq(ship_frame_decode(buf_view(&bytes), &back, &err), OK);
	equals(&samples[_i], &back);
	if (back.type >= SHIP_F_ASK_PAGE)
		ck_assert_uint_le(bytes.n, SHIP_FRAME_HEAD_MAX + 3);
}
END_TEST

START_TEST(what_is_cut_is_refused)
{
	struct ship_frame back;
	enum ship_frame_type type = samples[_i].type;

	ship_frame_encode(&bytes, &samples[_i]);
	for (size_t n = 0; n < bytes.n; n++) {
		/* Bytes to the end of a frame may be any number. */
		if ((type == SHIP_F_PAGE || type == SHIP_F_CHUNK) &&
		    n >= bytes.n - 3)
			continue;
		ck_assert_int_ne(ship_frame_decode(str_first(buf_view(&bytes), n),
						   &back, &err), OK);
	}
}
END_TEST

#define ROOT "0123456789abcdef0123456789abcdef"
static const struct {
	const char *bytes;
	size_t n;
	enum code code;
} refused[] = {
	{ "\2\10\1", 3, E_UNSUPPORTED },
	{ "\1\0\1", 3, E_UNSUPPORTED },
	{ "\1\11\1", 3, E_UNSUPPORTED },
	{ "\1\10\0", 3, E_INVALID },                     /* number 0 */
	{ "\1\10\1x", 4, E_INVALID },                    /* left over */
	{ "\1\4\1\0\0x", 6, E_INVALID },
	{ "\1\2\1\0\0", 5, E_INVALID },                  /* refused with OK */
	{ "\1\1\1\0\1\x80\10\1" ROOT "\0", 41, E_INVALID },      /* no id */
	{ "\1\1\1\1/\1\x80\10\1" ROOT "\0", 42, E_INVALID },     /* a path */
	{ "\1\1\1\1.\1\x80\10\1" ROOT "\0", 42, E_INVALID },
	{ "\1\1\1\1\0\1\x80\10\1" ROOT "\0", 42, E_INVALID },
	{ "\1\1\1\1f\1\x80\7\1" ROOT "\0", 42, E_INVALID },      /* chunks of 896 */
	{ "\1\1\1\1f\1\x80\10\0" ROOT "\0", 42, E_INVALID },     /* pages of 1 */
	{ "\1\1\1\1f\1\x80\10\13" ROOT "\0", 42, E_INVALID },    /* of 2,048 */
};

START_TEST(what_no_peer_says_is_refused)
{
	struct ship_frame back;

	/* The row would pass but for its fault. */
	ck_assert_int_eq(ship_frame_decode(
		str_n("\1\1\1\1f\1\x80\10\1" ROOT "\0", 42), &back, &err), OK);
	ck_assert_int_eq(ship_frame_decode(str_n(refused[_i].bytes,
						 refused[_i].n), &back, &err),
			 refused[_i].code);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("ship/frame");
	TCase *t = tcase_create("frame");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_is_sent_is_what_comes, 0,
			    ARRAY_LEN(samples));
	tcase_add_loop_test(t, what_is_cut_is_refused, 0, ARRAY_LEN(samples));
	tcase_add_loop_test(t, what_no_peer_says_is_refused, 0,
			    ARRAY_LEN(refused));
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
