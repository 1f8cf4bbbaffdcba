/* Bodies as files in memory. */
#include <errno.h>
#include <unistd.h>

#include "http/server/bodies.h"
#include "unit.h"

#include "base/banned.h"

#define SIZE (BODY_BYTES_MIN + 1000)

static struct bodies bodies;
static char text[BODY_BYTES_MAX + 1];

static void setup(void)
{
	bodies_init(&bodies);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 23);
}

static void teardown(void)
{
	bodies_fini(&bodies);
}

/* Of the first 'n' bytes of the text. */
static int file_of(uint8_t name, size_t n, uint64_t now_ms)
{
	const uint8_t names[BODY_NAME_BYTES] = { [31] = name };
	const struct stream_vec v[] = { { text, n / 2 }, { text + n / 2, n - n / 2 } };

	return bodies_file(&bodies, names, v, 2, now_ms);
}

static bool is_open(int file)
{
	return lseek(file, 0, SEEK_CUR) >= 0;
}

START_TEST(a_name_is_a_file)
{
	static char read_back[SIZE + 1];
	int a = file_of(1, SIZE, 0), b = file_of(2, SIZE + 1, 0);

	ck_assert_int_ge(a, 0);
	ck_assert_int_ge(b, 0);
	ck_assert_int_ne(a, b);
	ck_assert_int_eq(file_of(1, SIZE, 5), a);
	ck_assert_int_eq(pread(a, read_back, sizeof(read_back), 0), SIZE);
	ck_assert_mem_eq(read_back, text, SIZE);
	/* Nobody changes what the kernel may still be sending. */
	ck_assert_int_eq(pwrite(a, "x", 1, 0), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(ftruncate(a, 10), -1);
}
END_TEST

START_TEST(neither_small_nor_large_ones)
{
	ck_assert_int_eq(file_of(1, BODY_BYTES_MIN - 1, 0), -1);
	ck_assert_int_ge(file_of(2, BODY_BYTES_MIN, 0), 0);
	ck_assert_int_ge(file_of(3, BODY_BYTES_MAX, 0), 0);
	ck_assert_int_eq(file_of(4, BODY_BYTES_MAX + 1, 0), -1);
}
END_TEST

/* More than there is room for do not drive each other out. */
START_TEST(the_rest_is_copied)
{
	uint64_t late = 100 + BODIES_KEEP_MS;

	for (unsigned i = 0; i < BODIES_KEPT; i++)
		ck_assert_int_ge(file_of((uint8_t)i, SIZE, 100 + i), 0);
	ck_assert_int_eq(file_of(200, SIZE, late), -1);
	ck_assert_int_ge(file_of(0, SIZE, late), 0);
	/* The second has not been asked for. */
	ck_assert_int_eq(file_of(200, SIZE, late + 1), -1);
	ck_assert_int_ge(file_of(200, SIZE, late + 2), 0);
	ck_assert_int_eq(file_of(201, SIZE, late + 2), -1);
	ck_assert_int_ge(file_of(0, SIZE, late + 2), 0);
}
END_TEST

START_TEST(who_is_not_asked_for_goes)
{
	int a = file_of(1, SIZE, 0), b = file_of(2, SIZE, 5);

	bodies_sweep(&bodies, BODIES_KEEP_MS);
	ck_assert(is_open(a) && is_open(b));
	bodies_sweep(&bodies, BODIES_KEEP_MS + 1);
	ck_assert(!is_open(a) && is_open(b));
	bodies_fini(&bodies);
	ck_assert(!is_open(b));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/server/bodies");
	TCase *t = tcase_create("bodies");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_name_is_a_file);
	tcase_add_test(t, neither_small_nor_large_ones);
	tcase_add_test(t, the_rest_is_copied);
	tcase_add_test(t, who_is_not_asked_for_goes);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
