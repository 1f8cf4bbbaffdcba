/* Arenas: alignment, blocks, reset, arrays that grow. */
#include "base/arena.h"
#include "unit.h"

#include "base/banned.h"

START_TEST(aligned_and_apart)
{
	AUTO_ARENA a = arena_new(64);
	char *last = NULL;

	for (size_t n = 0; n < 300; n++) {
		char *p = arena_alloc(a, n);

		ck_assert_uint_eq((uintptr_t)p % 16, 0);
		ck_assert_ptr_ne(p, last);
		memset(p, (int)n, n);
		last = p;
	}
	ck_assert_uint_ge(arena_used(a), 299 * 300 / 2);
}
END_TEST

START_TEST(zeroed_after_reset)
{
	AUTO_ARENA a = arena_new(0);
	char *p = arena_alloc(a, 100), *q;

	memset(p, 'x', 100);
	arena_reset(a);
	ck_assert_uint_eq(arena_used(a), 0);
	q = arena_zero(a, 100);
	ck_assert_ptr_eq(p, q);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(q[i], 0);
}
END_TEST

START_TEST(larger_than_any_block)
{
	AUTO_ARENA a = arena_new(32);
	char *small = arena_z(a, STR("small"));
	char *big = arena_alloc(a, 5u << 20);

	memset(big, 1, 5u << 20);
	ck_assert_str_eq(small, "small");
	arena_reset(a);
	ck_assert_str_eq(arena_z(a, STR("again")), "again");
}
END_TEST

START_TEST(copies_end_in_nul)
{
	AUTO_ARENA a = arena_new(0);
	struct str s = arena_str(a, STR("a\0b"));

	ck_assert_uint_eq(s.n, 3);
	ck_assert_mem_eq(s.p, "a\0b\0", 4);
	s = arena_str(a, STR_NONE);
	ck_assert_uint_eq(s.n, 0);
	ck_assert_str_eq(s.p, "");
	s = arena_printf(a, "%s-%d", "x", 12);
	ck_assert(str_is(s, "x-12"));
	ck_assert_int_eq(s.p[s.n], '\0');
	s = arena_printf(a, "%*s", 10000, "y");
	ck_assert_uint_eq(s.n, 10000);
}
END_TEST

START_TEST(arrays_grow)
{
	AUTO_ARENA a = arena_new(64);
	size_t cap = 0, n;
	int *v = NULL;

	for (n = 0; n < 1000; n++) {
		v = arena_grow(a, v, &cap, n + 1, sizeof(*v));
		v[n] = (int)n;
	}
	for (n = 0; n < 1000; n++)
		ck_assert_int_eq(v[n], (int)n);
	ck_assert_ptr_eq(arena_grow(a, v, &cap, 10, sizeof(*v)), v);
}
END_TEST

START_TEST(free_accepts_null)
{
	struct arena *a = NULL;

	arena_free(&a);
	a = arena_new(0);
	arena_free(&a);
	ck_assert_ptr_null(a);
}
END_TEST

#ifdef __SANITIZE_ADDRESS__
/* The sanitizer ends the process with status 1. */
START_TEST(use_after_reset_is_found)
{
	AUTO_ARENA a = arena_new(0);
	volatile char *p = arena_alloc(a, 10);

	arena_reset(a);
	p[0] = 1;
}
END_TEST

START_TEST(overrun_is_found)
{
	AUTO_ARENA a = arena_new(0);
	volatile char *p = arena_alloc(a, 10);

	p[10] = 1;
}
END_TEST
#endif

START_TEST(impossible_size_aborts)
{
	AUTO_ARENA a = arena_new(0);

	arena_alloc(a, SIZE_MAX - 3);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("base/arena");
	TCase *t = tcase_create("arena");

	tcase_add_test(t, aligned_and_apart);
	tcase_add_test(t, zeroed_after_reset);
	tcase_add_test(t, larger_than_any_block);
	tcase_add_test(t, copies_end_in_nul);
	tcase_add_test(t, arrays_grow);
	tcase_add_test(t, free_accepts_null);
#ifdef __SANITIZE_ADDRESS__
	tcase_add_exit_test(t, use_after_reset_is_found, 1);
	tcase_add_exit_test(t, overrun_is_found, 1);
#endif
	tcase_add_test_raise_signal(t, impossible_size_aborts, SIGABRT);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
