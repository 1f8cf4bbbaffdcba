/* Assertions and the macros of must.h; allocation, which only aborts. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "unit.h"

#include "base/banned.h"

START_TEST(must_of_truth_goes_on)
{
	int calls = 0;

	must(++calls == 1);
	ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(must_of_falsehood_aborts)
{
	must(1 + 1 == 3);
}
END_TEST

START_TEST(abort_prints_expression_and_place)
{
	char text[4096] = "";
	size_t n = 0;
	ssize_t got;
	int fds[2];
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		must(text[0] == 'q');
		_exit(0);
	}
	close(fds[1]);
	while ((got = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	waitpid(pid, NULL, 0);
	close(fds[0]);
	ck_assert_ptr_nonnull(strstr(text, "text[0] == 'q'"));
	ck_assert_ptr_nonnull(strstr(text, "must.c:"));
	/* The backtrace: a line for each frame. */
	ck_assert_ptr_nonnull(strchr(text, '\n'));
	ck_assert_ptr_nonnull(strstr(strchr(text, '\n') + 1, "["));
}
END_TEST

START_TEST(min_max_evaluate_once)
{
	int i = 1;

	ck_assert_int_eq(MAX(i++, 0), 1);
	ck_assert_int_eq(MIN(i++, 9), 2);
	ck_assert_int_eq(i, 3);
}
END_TEST

START_TEST(take_leaves_null)
{
	int x, *p = &x, *q = TAKE(p);

	ck_assert_ptr_null(p);
	ck_assert_ptr_eq(q, &x);
}
END_TEST

START_TEST(zeroed_and_resized)
{
	char *p = mem_zero(100);

	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(p[i], 0);
	p = mem_resize(p, 1000);
	p[999] = 1;
	free(p);
	p = mem_alloc(0);
	ck_assert_ptr_nonnull(p);
	free(p);
	p = mem_zero(0);
	ck_assert_ptr_nonnull(p);
	free(p);
}
END_TEST

START_TEST(dup_adds_nul)
{
	char *p = mem_dup("abc\0d", 5);

	ck_assert_mem_eq(p, "abc\0d\0", 6);
	free(p);
	p = mem_dup(NULL, 0);
	ck_assert_str_eq(p, "");
	free(p);
}
END_TEST

START_TEST(grow_doubles_and_keeps)
{
	size_t cap = 0;
	void *p = NULL;
	int *ints;

	mem_grow(&p, &cap, 1, sizeof(int));
	ck_assert_uint_ge(cap, 1);
	ints = p;
	ints[0] = 42;
	mem_grow(&p, &cap, 1000, sizeof(int));
	ck_assert_uint_ge(cap, 1000);
	ints = p;
	ck_assert_int_eq(ints[0], 42);
	ints[999] = 1;
	mem_grow(&p, &cap, 10, sizeof(int));
	ck_assert_uint_ge(cap, 1000);
	free(p);
}
END_TEST

START_TEST(grow_beyond_memory_aborts)
{
	size_t cap = 0;
	void *p = NULL;

	mem_grow(&p, &cap, SIZE_MAX / 2, 16);
}
END_TEST

struct item {
	int n;
	struct list at;
};

START_TEST(list_order_and_removal_inside)
{
	struct item items[4], *it;
	struct list head;
	int seen = 0;

	for (int i = 0; i < 4; i++)
		items[i].n = i;
	list_init(&head);
	ck_assert(list_empty(&head));
	ck_assert_ptr_null(list_first(&head, struct item, at));
	list_append(&head, &items[2].at);
	list_append(&head, &items[3].at);
	list_prepend(&head, &items[0].at);
	list_insert_before(&items[2].at, &items[1].at);
	list_each(&head, it, at)
	{
		ck_assert_int_eq(it->n, seen++);
		list_remove(&it->at);
	}
	ck_assert_int_eq(seen, 4);
	ck_assert(list_empty(&head));
	list_remove(&items[0].at);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("base/must");
	TCase *t = tcase_create("must");

	tcase_add_test(t, must_of_truth_goes_on);
	tcase_add_test_raise_signal(t, must_of_falsehood_aborts, SIGABRT);
	tcase_add_test(t, abort_prints_expression_and_place);
	tcase_add_test(t, min_max_evaluate_once);
	tcase_add_test(t, take_leaves_null);
	suite_add_tcase(s, t);
	t = tcase_create("mem");
	tcase_add_test(t, zeroed_and_resized);
	tcase_add_test(t, dup_adds_nul);
	tcase_add_test(t, grow_doubles_and_keeps);
	tcase_add_test_raise_signal(t, grow_beyond_memory_aborts, SIGABRT);
	suite_add_tcase(s, t);
	t = tcase_create("list");
	tcase_add_test(t, list_order_and_removal_inside);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
