/* Trees: members and their index, equality, merge patches, differences. */
#include "parsing.h"

#include "base/banned.h"

#define J FORMAT_JSON

static struct str key_of(unsigned i)
{
	return arena_printf(arena, "k%u", i * 7919 % 1009);
}

/* Keys in no order, so that the index is not that of the members. */
static struct value *object_of(unsigned n)
{
	struct value *v = value_object(arena);

	for (unsigned i = 0; i < n; i++)
		value_set(arena, v, key_of(i), value_u64(arena, i));
	return v;
}

static void must_hold(const struct value *v, unsigned i, bool there)
{
	const struct value *m = value_get(v, key_of(i));
	uint64_t n;

	ck_assert_msg((m != NULL) == there, "member %u", i);
	if (!m)
		return;
	ck_assert(value_to_u64(m, &n));
	ck_assert_uint_eq(n, i);
}

START_TEST(members_are_found_at_every_size)
{
	for (unsigned n = 0; n < 40; n++) {
		struct value *v = object_of(n);

		ck_assert_uint_eq(value_count(v), n);
		for (unsigned i = 0; i < 41; i++)
			must_hold(v, i, i < n);
	}
}
END_TEST

START_TEST(setting_again_replaces)
{
	struct value *v = object_of(20);

	value_set(arena, v, key_of(7), value_null(arena));
	ck_assert_uint_eq(value_count(v), 20);
	ck_assert_int_eq(value_get(v, key_of(7))->type, VALUE_NULL);
	ck_assert(str_eq(v->o.m[7].key, key_of(7)));
}
END_TEST

START_TEST(removing_keeps_the_rest)
{
	struct value *v = object_of(40);

	for (unsigned i = 0; i < 40; i += 3) {
		ck_assert(value_remove(v, key_of(i)));
		ck_assert(!value_remove(v, key_of(i)));
		for (unsigned k = 0; k < 40; k++)
			must_hold(v, k, k > i || k % 3 != 0);
	}
	value_set(arena, v, key_of(3), value_u64(arena, 3));
	must_hold(v, 3, true);
	ck_assert(!value_remove(NULL, STR("a")));
	ck_assert(!value_remove(value_null(arena), STR("a")));
}
END_TEST

static bool is_even(void *data, const struct member *m)
{
	uint64_t n;

	++*(unsigned *)data;
	return value_to_u64(m->value, &n) && n % 2 == 0;
}

START_TEST(filtering_keeps_the_rest)
{
	for (unsigned n = 0; n < 30; n++) {
		struct value *v = object_of(n);
		unsigned asked = 0;

		value_filter(v, is_even, &asked);
		ck_assert_uint_eq(asked, n);
		ck_assert_uint_eq(value_count(v), (n + 1) / 2);
		for (unsigned i = 0; i < n; i++)
			must_hold(v, i, i % 2 == 0);
		for (unsigned i = 0; i < value_count(v); i++)
			ck_assert(str_eq(v->o.m[i].key, key_of(2 * i)));
	}
}
END_TEST

START_TEST(a_copy_is_its_own)
{
	struct value *v = good(J, "{\"a\":[1,\"x\",null,true,{\"b\":2}]}");
	struct value *big = object_of(30), *copy = value_dup(arena, v);

	ck_assert(value_eq(v, copy));
	ck_assert_uint_eq(value_getz(copy, "a")->column, 6);
	value_push(arena, value_getz(copy, "a"), value_null(arena));
	ck_assert_uint_eq(value_count(value_getz(v, "a")), 5);
	copy = value_dup(arena, big);
	value_remove(copy, key_of(4));
	must_hold(copy, 5, true);
	must_hold(big, 4, true);
	ck_assert_ptr_null(value_dup(arena, NULL));
}
END_TEST

START_TEST(readers_are_typed)
{
	struct value *v = good(J, "{\"a\":{\"b\":\"x\"},\"n\":-5,\"f\":1.5,"
				  "\"t\":true}");
	uint64_t u = 7;
	int64_t i;

	ck_assert(str_is(value_text_at(v, "a.b"), "x"));
	ck_assert_uint_eq(value_text_at(v, "a.c").n, 0);
	ck_assert_uint_eq(value_text_at(v, "n").n, 0);
	ck_assert_ptr_null(value_at(v, "n.x"));
	ck_assert_ptr_eq(value_at(v, ""), v);
	ck_assert_ptr_null(value_get(NULL, STR("a")));
	ck_assert(!value_to_u64(value_getz(v, "n"), &u));
	ck_assert(!value_to_u64(value_getz(v, "f"), &u));
	ck_assert(!value_to_u64(value_getz(v, "t"), &u));
	ck_assert_uint_eq(u, 7);
	ck_assert(value_to_i64(value_getz(v, "n"), &i));
	ck_assert_int_eq(i, -5);
	ck_assert(value_to_bool(value_getz(v, "t"), false));
	ck_assert(value_to_bool(value_getz(v, "none"), true));
	ck_assert_uint_eq(value_count(value_getz(v, "n")), 0);
	ck_assert_str_eq(value_type_name(VALUE_OBJECT), "object");
}
END_TEST

START_TEST(equality_is_that_of_the_canonical_form)
{
	static const char *const texts[] = {
		"null",
		"true",
		"false",
		"0",
		"1",
		"\"1\"",
		"\"\"",
		"[]",
		"{}",
		"[1]",
		"[1,2]",
		"[2,1]",
		"{\"a\":1}",
		"{\"a\":1,\"b\":2}",
		"{\"a\":null}",
		"{\"$time\":\"2026-01-02\"}",
		"{\"$number\":\"nan\"}",
		"\"nan\"",
	};
	struct value *v[ARRAY_LEN(texts) + 3];
	size_t n = ARRAY_LEN(texts);

	for (size_t i = 0; i < n; i++)
		v[i] = good(J, texts[i]);
	v[n++] = value_getz(good(FORMAT_TOML, "a=2026-01-02"), "a");
	v[n++] = value_getz(good(FORMAT_TOML, "a=nan"), "a");
	v[n++] = value_getz(good(FORMAT_TOML, "a=-inf"), "a");
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++) {
			bool same = strcmp(canonical(v[i]), canonical(v[k])) ==
				    0;

			ck_assert_int_eq(value_eq(v[i], v[k]), i == k);
			ck_assert_int_eq(same, i == k);
		}
	ck_assert(value_eq(good(J, "{\"b\":[1.0],\"a\":1e0}"),
			   good(J, "{\"a\":1,\"b\":[10e-1]}")));
	ck_assert(value_eq(NULL, NULL));
	ck_assert(!value_eq(v[0], NULL));
}
END_TEST

START_TEST(merge_patches_follow_rfc_7386)
{
	static const char *const rows[][3] = {
		{ "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
		{ "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}" },
		{ "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}" },
		{ "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
		  "{\"a\":{\"b\":\"d\"}}" },
		{ "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}" },
		{ "[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]" },
		{ "{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]" },
		{ "{\"a\":\"foo\"}", "null", "null" },
		{ "{\"a\":\"foo\"}", "\"bar\"", "\"bar\"" },
		{ "{\"e\":null}", "{\"a\":1}", "{\"a\":1,\"e\":null}" },
		{ "[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}" },
		{ "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}",
		  "{\"a\":{\"bb\":{}}}" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_str_eq(canonical(
					 value_merge_patch(arena,
							   good(J, rows[i][0]),
							   good(J, rows[i][1]))),
				 rows[i][2]);
	ck_assert_str_eq(canonical(value_merge_patch(arena, NULL,
						     good(J, "{\"a\":null}"))),
			 "{}");
}
END_TEST

/* Searching one by one would take minutes here. */
START_TEST(large_patches_do_not_take_long)
{
	AUTO_BUF b = BUF_NONE;
	struct value *v, *merged;

	for (unsigned i = 0; i < 200000; i++)
		buf_printf(&b, "%c\"key%u\":1", i ? ',' : '{', i);
	buf_c(&b, '}');
	v = good_str(J, buf_view(&b));
	merged = value_merge_patch(arena, v, v);
	ck_assert(value_eq(v, merged));
	ck_assert_ptr_nonnull(value_getz(merged, "key199999"));
}
END_TEST

static void note(void *data, enum value_change change, struct str path,
		 const struct value *before, const struct value *after)
{
	ck_assert((before != NULL) == (change != VALUE_ADDED));
	ck_assert((after != NULL) == (change != VALUE_REMOVED));
	buf_printf(data, "%c%.*s ", "+-~"[change], STR_ARG(path));
}

static void differs(const char *a, const char *b, const char *want)
{
	AUTO_BUF out = BUF_NONE;

	buf_z(&out, "");
	value_diff(a ? good(J, a) : NULL, b ? good(J, b) : NULL, note, &out);
	ck_assert_str_eq(out.p ? out.p : "", want);
}

START_TEST(differences_are_named_by_path)
{
	differs("{\"a\":{\"b\":1,\"c\":2},\"l\":[1,2]}",
		"{\"a\":{\"b\":1.0,\"c\":3},\"l\":[1],\"n\":0}",
		"~a.c -l[1] +n ");
	differs("{\"s\":[{\"h\":1},{\"h\":2}]}",
		"{\"s\":[{\"h\":1},{\"h\":3}]}", "~s[1].h ");
	differs("{\"a\":{\"b\":1}}", "{\"a\":[1]}", "~a ");
	differs("{\"a\":{\"b\":1}}", "{}", "-a ");
	differs("[[1]]", "[[1,2],3]", "+[0][1] +[1] ");
	differs("1", "2", "~ ");
	differs(NULL, "{\"a\":1}", "+ ");
	differs("1", NULL, "- ");
	differs("{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", "");
	differs(NULL, NULL, "");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("doc/value");
	TCase *t = tcase_create("values");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, members_are_found_at_every_size);
	tcase_add_test(t, setting_again_replaces);
	tcase_add_test(t, removing_keeps_the_rest);
	tcase_add_test(t, filtering_keeps_the_rest);
	tcase_add_test(t, a_copy_is_its_own);
	tcase_add_test(t, readers_are_typed);
	tcase_add_test(t, equality_is_that_of_the_canonical_form);
	tcase_add_test(t, merge_patches_follow_rfc_7386);
	tcase_add_test(t, large_patches_do_not_take_long);
	tcase_add_test(t, differences_are_named_by_path);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
