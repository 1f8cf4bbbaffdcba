/*
 * The root token of a cluster: the first one counts, also after a crash at any
 * step, and who was not first has none.
 */
#include "nodes.h"

#include <stdio.h>

#include "base/failpoint.h"
#include "unit.h"

#include "base/banned.h"

/* What root.token holds there; NULL: there is none. */
static const char *file_of(const char *node)
{
	FILE *f = fopen(arena_printf(arena, "%s/root.token", dir_of(node)).p, "r");
	char text[100] = "";

	if (!f)
		return NULL;
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), f));
	fclose(f);
	return arena_z(arena, str_trim(str_of(text)));
}

static void put_file(const char *node, const char *text)
{
	FILE *f = fopen(arena_printf(arena, "%s/root.token", dir_of(node)).p, "w");

	ck_assert_ptr_nonnull(f);
	fprintf(f, "%s\n", text);
	fclose(f);
}

static bool counts(const char *token)
{
	struct subject subject;
	struct str credential;
	struct view *view;
	struct kv_txn *txn;

	ck_assert_int_eq(view_new(store, &view, &err), OK);
	ck_assert_int_eq(view_use(view, 0, &txn, &err), OK);
	token_subject(txn, str_of(token), arena, &subject, &credential);
	view_free(&view);
	return subject.role == ROLE_ROOT;
}

static void fails_once(const char *failpoint)
{
	const char *spec = arena_printf(arena, "%s=error*1", failpoint).p;

	ck_assert_int_eq(failpoint_set(spec, &err), OK);
}

START_TEST(the_first_counts_and_the_others_have_none)
{
	ck_assert_int_eq(ensure("a"), OK);
	ck_assert(made && counts(file_of("a")));
	put_file("b", "cfx_0123456789012345678901234567890123456789012");
	ck_assert_int_eq(ensure("b"), OK);
	ck_assert(!made && !file_of("b"));
	/* And it stays so. */
	ck_assert_int_eq(ensure("b"), OK);
	ck_assert(!file_of("b"));
	ck_assert_int_eq(ensure("a"), OK);
	ck_assert(!made && counts(file_of("a")));
}
END_TEST

START_TEST(a_crash_before_it_is_proposed)
{
	const char *token;

	fails_once("token.written");
	ck_assert_int_eq(ensure("a"), E_IO);
	token = file_of("a");
	ck_assert(token && !counts(token));
	ck_assert_int_eq(ensure("a"), OK);
	ck_assert(made && counts(token));
	ck_assert_str_eq(file_of("a"), token);
}
END_TEST

START_TEST(a_crash_before_it_is_written)
{
	fails_once("token.write");
	ck_assert_int_eq(ensure("a"), E_IO);
	ck_assert(!file_of("a"));
	ck_assert_int_eq(ensure("a"), OK);
	ck_assert(counts(file_of("a")));
}
END_TEST

START_TEST(a_crash_before_one_that_does_not_count_is_removed)
{
	const char *lost = "cfx_0123456789012345678901234567890123456789012";

	ck_assert_int_eq(ensure("a"), OK);
	put_file("b", lost);
	fails_once("token.remove");
	ck_assert_int_eq(ensure("b"), E_IO);
	ck_assert_str_eq(file_of("b"), lost);
	ck_assert(!counts(lost));
	ck_assert_int_eq(ensure("b"), OK);
	ck_assert(!file_of("b") && !counts(lost));
	ck_assert(counts(file_of("a")));
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("auth/root");
	TCase *t = tcase_create("root");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, nodes_setup, nodes_teardown);
	tcase_add_test(t, the_first_counts_and_the_others_have_none);
	tcase_add_test(t, a_crash_before_it_is_proposed);
	tcase_add_test(t, a_crash_before_it_is_written);
	tcase_add_test(t, a_crash_before_one_that_does_not_count_is_removed);
	suite_add_tcase(suite, t);
	return suite;
}

UNIT_MAIN(suite)
