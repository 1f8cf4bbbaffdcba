/* Content and its values by path, as getters see them. */
#include "client/sdk/doc.h"

#include <math.h>

#include "unit.h"

#include "base/banned.h"

static locale_t c_locale;

static struct doc *try_doc(const char *text, size_t n, const char *type,
			   struct cfx_error *error)
{
	char *content = heap_text(&heap_of_libc, str_n(text, n));
	struct doc *doc = NULL;

	if (!c_locale)
		c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (doc_new(&heap_of_libc, content, n, type, c_locale, 42, &doc, error))
		return NULL;
	return doc;
}

static struct doc *json(const char *text)
{
	struct cfx_error error = { 0 };
	struct doc *doc = try_doc(text, strlen(text), "application/json", &error);

	ck_assert_msg(doc != NULL, "%s: %s", text, error.text);
	return doc;
}

static void has_text(const struct doc *doc, const char *path, const char *want)
{
	const struct item *item = doc_find(doc, path);
	struct str text;

	ck_assert_msg(item != NULL, "no %s", path);
	text = doc_text(doc, item);
	ck_assert_msg(str_eq(text, str_of(want)), "%s is %.*s, not %s", path,
		      STR_ARG(text), want);
}

START_TEST(paths)
{
	struct doc *doc = json("{\"a\":{\"b\":[10,{\"c\":\"x\"},[]]},\"a.b\":1,"
			       "\"\":2,\"a/b\":3,\"m~n\":4,\"0\":5,\"e\":{}}");

	has_text(doc, "a.b.0", "10");
	has_text(doc, "a.b.1.c", "x");
	has_text(doc, "/a/b/1/c", "x");
	has_text(doc, "a.b.2", "[]");
	has_text(doc, "a.b.1", "{\"c\":\"x\"}");
	has_text(doc, "/a.b", "1");
	has_text(doc, "/", "2");
	has_text(doc, "/a~1b", "3");
	has_text(doc, "/m~0n", "4");
	has_text(doc, "0", "5");
	ck_assert(doc_find(doc, "") == doc->items);
	ck_assert(doc_find(doc, "a.b") != doc_find(doc, "/a.b"));
	ck_assert_ptr_null(doc_find(doc, "a.b.3"));
	ck_assert_ptr_null(doc_find(doc, "a.b.01"));
	ck_assert_ptr_null(doc_find(doc, "a."));
	ck_assert_ptr_null(doc_find(doc, ".a"));
	ck_assert_ptr_null(doc_find(doc, "a.b.1.c.d"));
	ck_assert_ptr_null(doc_find(doc, "/a/"));
	ck_assert_ptr_null(doc_find(doc, "/a~b"));
	ck_assert_uint_eq(doc_find(doc, "a.b")->count, 3);
	ck_assert_ptr_null(doc_find(NULL, "a"));
	doc_unref(doc);
}
END_TEST

static void number_is(const char *text, bool is_i64, int64_t i64, bool is_double,
		      double d)
{
	struct doc *doc = json(text);
	const struct item *item = doc_find(doc, "");

	ck_assert_msg(item->is_i64 == is_i64, "%s", text);
	ck_assert_msg(item->is_double == is_double, "%s", text);
	if (is_i64)
		ck_assert_msg(item->i64 == i64, "%s", text);
	if (is_double)
		ck_assert_msg(item->number == d, "%s", text);
	doc_unref(doc);
}

START_TEST(numbers)
{
	number_is("0", true, 0, true, 0);
	number_is("-0", true, 0, true, 0);
	number_is("9223372036854775807", true, INT64_MAX, true, 0x1p63);
	number_is("9223372036854775808", false, 0, true, 0x1p63);
	number_is("-9223372036854775808", true, INT64_MIN, true, -0x1p63);
	number_is("-9223372036854775809", false, 0, true, -0x1p63);
	number_is("18446744073709551617", false, 0, true, 0x1p64);
	number_is("100000000000000000000e-20", true, 1, true, 1);
	number_is("18446744073709551617.0", false, 0, true, 0x1p64);
	number_is("1e3", true, 1000, true, 1000);
	number_is("1.50", false, 0, true, 1.5);
	number_is("2.0", true, 2, true, 2);
	number_is("1e400", false, 0, false, 0);
	number_is("1e-400", true, 0, true, 0);
}
END_TEST

/* A program may have set a locale whose numbers have a comma. */
START_TEST(numbers_in_another_locale)
{
	if (!setlocale(LC_NUMERIC, "de_DE.UTF-8"))
		setlocale(LC_NUMERIC, "de_DE");
	number_is("1.5", false, 0, true, 1.5);
	setlocale(LC_NUMERIC, "C");
}
END_TEST

START_TEST(strings)
{
	struct doc *doc = json("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"\\u00e9\\ud83d"
			       "\\ude00\\u20ac\",\"\",\"a\\u0000b\",\"é€😀\"]");
	struct str s;

	has_text(doc, "0", "\"\\/\b\f\n\r\t");
	has_text(doc, "1", "é😀€");
	has_text(doc, "2", "");
	s = doc_text(doc, doc_find(doc, "3"));
	ck_assert(s.n == 3 && memcmp(s.p, "a\0b", 3) == 0 && s.p[3] == '\0');
	has_text(doc, "4", "é€😀");
	doc_unref(doc);
}
END_TEST

START_TEST(refusals)
{
	static const char *const bad[] = {
		"", " ", "{", "[", "[1,", "[1", "{\"a\"", "{\"a\":", "{\"a\":1",
		"{\"a\":1,", "{\"a\":1,}", "[1,]", "[,1]", "{,}", "01", "+1", "1.",
		".5", "1e", "1e+", "-", "nul", "truex", "\"", "\"\\", "\"\\x\"",
		"\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"",
		"\"\x01\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"",
		"\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"", "\"\xff\"", "1 2", "{} x",
		"{\"a\":1 \"b\":2}", "[1 2]", "{1:2}", "{\"a\" 1}", "]", "}",
		"[1}", "{\"a\":1]", "{\"a\":1,\"a\":2}",
		"{\"b\":{\"a\":1,\"\\u0061\":2}}", "NaN", "Infinity", "'a'",
		"// c\n1", "\xef\xbb\xbf{}",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct cfx_error error = { 0 };

		ck_assert_msg(!try_doc(bad[i], strlen(bad[i]), "application/json",
				       &error), "%s was taken", bad[i]);
		ck_assert_int_eq(error.code, CFX_E_PARSE);
	}
	ck_assert(!try_doc("1\0", 2, "application/json", NULL));
	ck_assert(!try_doc("\"a\0\"", 4, "application/json", NULL));
}
END_TEST

START_TEST(refusal_says_where)
{
	struct cfx_error error = { 0 };
	static const char text[] = "{\n  \"a\": 1,\n  \"b\": nul\n}";

	ck_assert(!try_doc(text, strlen(text), "application/json", &error));
	ck_assert_str_eq(error.text, "line 3, column 8: this is no value");
}
END_TEST

START_TEST(depth)
{
	char text[2 * DOC_DEPTH_MAX + 8];
	struct doc *doc;
	struct cfx_error error;

	for (unsigned n = DOC_DEPTH_MAX; n <= DOC_DEPTH_MAX + 1; n++) {
		memset(text, '[', n);
		memset(text + n, ']', n);
		doc = try_doc(text, 2 * n, "application/json", &error);
		ck_assert((doc != NULL) == (n == DOC_DEPTH_MAX));
		doc_unref(doc);
	}
}
END_TEST

START_TEST(deep_paths_are_compared_whole)
{
	char text[4096] = "", path[1024] = "";
	struct doc *doc;

	for (unsigned i = 0; i < DOC_DEPTH_MAX; i++) {
		memcpy(text + strlen(text), "{\"k\":", 6);
		memcpy(path + strlen(path), i ? ".k" : "k", i ? 3 : 2);
	}
	text[strlen(text)] = '7';
	memset(text + strlen(text), '}', DOC_DEPTH_MAX);
	doc = json(text);
	has_text(doc, path, "7");
	path[strlen(path) - 2] = '\0';
	ck_assert_int_eq(doc_find(doc, path)->type, CFX_OBJECT);
	doc_unref(doc);
}
END_TEST

START_TEST(texts)
{
	struct cfx_error error;
	struct doc *doc = try_doc(" 42\n", 4, "text/plain", &error);
	const struct item *item = doc_find(doc, "");

	ck_assert_int_eq(item->type, CFX_TEXT);
	ck_assert(item->is_i64 && item->i64 == 42);
	has_text(doc, "", " 42\n");
	ck_assert_ptr_null(doc_find(doc, "a"));
	doc_unref(doc);
	doc = try_doc("42 apples", 9, "text/plain", &error);
	ck_assert(!doc_find(doc, "")->is_i64);
	doc_unref(doc);
	doc = try_doc("", 0, "application/toml", &error);
	has_text(doc, "", "");
	doc_unref(doc);
}
END_TEST

/* As many values as content can have, so that the table is seen to be right. */
START_TEST(many_values)
{
	enum { N = 50000 };
	char *text = malloc(N * 24), path[24];
	size_t n = 0;
	struct doc *doc;

	text[n++] = '{';
	for (unsigned i = 0; i < N; i++)
		n += (size_t)snprintf(text + n, 24, "%s\"k%u\":%u", i ? "," : "", i,
				      i * 3);
	text[n++] = '}';
	text[n] = '\0';
	doc = json(text);
	for (unsigned i = 0; i < N; i++) {
		snprintf(path, sizeof(path), "k%u", i);
		ck_assert_int_eq(doc_find(doc, path)->i64, i * 3);
	}
	ck_assert_ptr_null(doc_find(doc, "k50000"));
	doc_unref(doc);
	free(text);
}
END_TEST

/* Of the whole each byte counts. */
START_TEST(sameness_of_wholes)
{
	static const char *const texts[] = { "{}", "{}\n", "\"a\"", "\"\\u0061\"",
					     "null", " null" };
	struct doc *docs[ARRAY_LEN(texts)];

	for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
		docs[i] = json(texts[i]);
	for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
		for (unsigned k = 0; k < ARRAY_LEN(texts); k++)
			ck_assert(doc_same(docs[i], doc_find(docs[i], ""), docs[k],
					   doc_find(docs[k], "")) == (i == k));
	for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
		doc_unref(docs[i]);
}
END_TEST

START_TEST(sameness)
{
	struct doc *a = json("{\"x\":{\"y\":1},\"s\":\"1\",\"n\":1}");
	struct doc *b = json("{\"s\":\"\\u0031\",\"n\":1,\"x\":{\"y\": 1}}");

	ck_assert(doc_same(a, doc_find(a, "s"), b, doc_find(b, "s")));
	ck_assert(doc_same(a, doc_find(a, "x.y"), b, doc_find(b, "x.y")));
	ck_assert(!doc_same(a, doc_find(a, "x"), b, doc_find(b, "x")));
	ck_assert(!doc_same(a, doc_find(a, "s"), b, doc_find(b, "n")));
	ck_assert(!doc_same(a, doc_find(a, "z"), b, doc_find(b, "n")));
	ck_assert(doc_same(a, NULL, b, NULL));
	doc_unref(a);
	doc_unref(b);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("client/sdk/doc");
	TCase *t = tcase_create("doc");

	tcase_add_test(t, paths);
	tcase_add_test(t, numbers);
	tcase_add_test(t, numbers_in_another_locale);
	tcase_add_test(t, strings);
	tcase_add_test(t, refusals);
	tcase_add_test(t, refusal_says_where);
	tcase_add_test(t, depth);
	tcase_add_test(t, deep_paths_are_compared_whole);
	tcase_add_test(t, texts);
	tcase_add_test(t, many_values);
	tcase_add_test(t, sameness);
	tcase_add_test(t, sameness_of_wholes);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
