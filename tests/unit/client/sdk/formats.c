/* YAML and TOML by path, as JSON is: what getters see, and what is refused. */
#include "client/sdk/doc.h"

#include "unit.h"

#include "base/banned.h"

#define JSON "application/json"
#define YAML "application/yaml"
#define TOML "application/toml"

static struct doc *try_doc(struct str text, const char *type, struct cfx_error *error)
{
	static locale_t c_locale;
	struct doc *doc = NULL;

	if (!c_locale)
		c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (doc_new(&heap_of_libc, heap_text(&heap_of_libc, text), text.n, type,
		    c_locale, 42, &doc, error))
		return NULL;
	return doc;
}

static struct doc *read_doc(const char *text, const char *type)
{
	struct cfx_error error = { 0 };
	struct doc *doc = try_doc(str_of(text), type, &error);

	ck_assert_msg(doc != NULL, "%s: %s", text, error.text);
	return doc;
}

static void is_refused(struct str text, const char *type, const char *why)
{
	struct cfx_error error = { 0 };

	ck_assert_msg(!try_doc(text, type, &error), "%.*s was taken", STR_ARG(text));
	ck_assert_int_eq(error.code, CFX_E_PARSE);
	ck_assert_msg(strstr(error.text, why) != NULL, "%.*s: %s, not: %s",
		      STR_ARG(text), error.text, why);
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

/* ---- the same in each ---- */

static const char *const same[][2] = {
	{ JSON, "{\"http\":{\"port\":8080,\"rate\":0.5,\"on\":true,\"big\":1e3},"
		"\"list\":[{\"name\":\"a\"},{\"name\":\"b c\"}],\"a.b\":-7,"
		"\"text\":\"\\u00e9\\n\",\"none\":[]}" },
	{ YAML, "# as people write it\n"
		"http: {port: 8080, rate: 0.5, on: true, big: 1e3}\n"
		"list:\n- name: a\n- name: b c\n"
		"a.b: -7\n"
		"text: \"\\xe9\\n\"\n"
		"none: []\n" },
	{ TOML, "'a.b' = -7\n"
		"none = [ ]\n"
		"text = \"\"\"\n\\u00e9\n\"\"\"\n"
		"[http]\nport = 8_080\nrate = 0.5\non = true\nbig = 1e3\n"
		"[[list]]\nname = 'a'\n[[list]]\nname = \"b c\"\n" },
};

START_TEST(a_path_is_the_same_in_each)
{
	struct doc *doc = read_doc(same[_i][1], same[_i][0]);
	const struct item *item;

	item = doc_find(doc, "http.port");
	ck_assert(item->type == CFX_NUMBER && item->is_i64 && item->i64 == 8080);
	has_text(doc, "/http/port", "8080");
	item = doc_find(doc, "http.rate");
	ck_assert(item->is_double && item->number == 0.5 && !item->is_i64);
	item = doc_find(doc, "http.big");
	ck_assert(item->is_i64 && item->i64 == 1000);
	item = doc_find(doc, "http.on");
	ck_assert(item->type == CFX_BOOL && item->i64 == 1);
	has_text(doc, "list.1.name", "b c");
	has_text(doc, "list.1", "{\"name\":\"b c\"}");
	has_text(doc, "list", "[{\"name\":\"a\"},{\"name\":\"b c\"}]");
	ck_assert_uint_eq(doc_find(doc, "list")->count, 2);
	ck_assert_int_eq(doc_find(doc, "/a.b")->i64, -7);
	has_text(doc, "text", "é\n");
	has_text(doc, "none", "[]");
	ck_assert_ptr_null(doc_find(doc, "list.2"));
	ck_assert_ptr_null(doc_find(doc, "http.none"));
	ck_assert_int_eq(doc_find(doc, "")->type, CFX_OBJECT);
	/* The whole is as it was published. */
	has_text(doc, "", same[_i][1]);
	doc_unref(doc);
}
END_TEST

START_TEST(sameness)
{
	struct doc *a = read_doc("x: {y: 1, z: [a]}\n", YAML);
	struct doc *b = read_doc("x:\n  y: 1\n  z: ['a']  # b\n", YAML);

	ck_assert(doc_same(a, doc_find(a, "x"), b, doc_find(b, "x")));
	ck_assert(doc_same(a, doc_find(a, "x.z.0"), b, doc_find(b, "x.z.0")));
	ck_assert(!doc_same(a, doc_find(a, ""), b, doc_find(b, "")));
	doc_unref(a);
	doc_unref(b);
}
END_TEST

/* ---- YAML ---- */

static void yaml_is(const char *text, const char *want, enum cfx_type type)
{
	char room[256];
	struct doc *doc;

	snprintf(room, sizeof(room), "v: %s\n", text);
	doc = read_doc(room, YAML);
	has_text(doc, "v", want);
	ck_assert_msg(doc_find(doc, "v")->type == type, "%s", text);
	doc_unref(doc);
}

START_TEST(yaml_scalars)
{
	yaml_is("~", "null", CFX_NULL);
	yaml_is("", "null", CFX_NULL);
	yaml_is("Null", "null", CFX_NULL);
	yaml_is("TRUE", "true", CFX_BOOL);
	yaml_is("False", "false", CFX_BOOL);
	yaml_is("yes", "yes", CFX_STRING);
	yaml_is("off", "off", CFX_STRING);
	yaml_is("'1'", "1", CFX_STRING);
	yaml_is("+1", "1", CFX_NUMBER);
	yaml_is("-007", "-7", CFX_NUMBER);
	yaml_is("00", "0", CFX_NUMBER);
	yaml_is(".5", "0.5", CFX_NUMBER);
	yaml_is("-.5", "-0.5", CFX_NUMBER);
	yaml_is("1.", "1", CFX_NUMBER);
	yaml_is("1.e3", "1e3", CFX_NUMBER);
	yaml_is("1.50E+2", "1.50E+2", CFX_NUMBER);
	yaml_is("0x1F", "31", CFX_NUMBER);
	yaml_is("0o17", "15", CFX_NUMBER);
	yaml_is("0x", "0x", CFX_STRING);
	yaml_is("-0x1", "-0x1", CFX_STRING);
	yaml_is("1e", "1e", CFX_STRING);
	yaml_is("1..2", "1..2", CFX_STRING);
	yaml_is(".", ".", CFX_STRING);
	yaml_is("12:30", "12:30", CFX_STRING);
	yaml_is("2026-01-02", "2026-01-02", CFX_STRING);
	yaml_is("1_000", "1_000", CFX_STRING);
	yaml_is(".inf", "inf", CFX_STRING);
	yaml_is("-.INF", "-inf", CFX_STRING);
	yaml_is(".NaN", "nan", CFX_STRING);
	yaml_is("!!str 1", "1", CFX_STRING);
	yaml_is("! 1", "1", CFX_STRING);
	yaml_is("!!float 1", "1", CFX_NUMBER);
	yaml_is("!!int 0x10", "16", CFX_NUMBER);
	yaml_is("!!bool true", "true", CFX_BOOL);
	yaml_is("\"\\x7f\\\"\"", "\x7f\"", CFX_STRING);
}
END_TEST

START_TEST(yaml_strings)
{
	struct doc *doc = read_doc("a: |\n  one\n  two\nb: >-\n  one\n  two\n"
				   "c: \"\\t\\u20ac\\\\\"\n\"d e\": 'it''s'\n", YAML);

	has_text(doc, "a", "one\ntwo\n");
	has_text(doc, "b", "one two");
	has_text(doc, "c", "\t€\\");
	has_text(doc, "d e", "it's");
	doc_unref(doc);
}
END_TEST

START_TEST(yaml_aliases)
{
	struct doc *doc = read_doc("a: &x {k: [1, 2]}\nb: *x\nc: [*x, &y t, *y]\n"
				   "d: &x 5\ne: *x\n*y : key\n"
				   "f: [&z [&z in], *z]\n", YAML);

	has_text(doc, "b.k.1", "2");
	has_text(doc, "c.0.k", "[1,2]");
	has_text(doc, "c.2", "t");
	has_text(doc, "e", "5");
	has_text(doc, "t", "key");
	/* The last one that began. */
	has_text(doc, "f.1", "in");
	doc_unref(doc);
}
END_TEST

/* Each doubles the one before. */
static void put_bomb(char *text, size_t size, unsigned n)
{
	size_t at = (size_t)snprintf(text, size, "a0: &a0 [x, x]\n");

	for (unsigned i = 1; i < n; i++)
		at += (size_t)snprintf(text + at, size - at,
				       "a%u: &a%u [*a%u, *a%u]\n", i, i, i - 1, i - 1);
}

START_TEST(yaml_aliases_are_bounded)
{
	char text[4096];
	struct doc *doc;

	put_bomb(text, sizeof(text), 12);
	doc = read_doc(text, YAML);
	has_text(doc, "a11.0.0.0.0.0.0.0.0.0.0.0.0", "x");
	doc_unref(doc);
	put_bomb(text, sizeof(text), 40);
	is_refused(str_of(text), YAML, "aliases counted in full");
}
END_TEST

/* One long text, named again and again. */
START_TEST(yaml_bytes_are_bounded)
{
	size_t n = 1 << 20, at;
	char *text = malloc(n + 1024);

	at = (size_t)snprintf(text, 16, "- &a ");
	memset(text + at, 'x', n);
	at += n;
	for (unsigned i = 0; i < 20; i++)
		at += (size_t)snprintf(text + at, 16, "\n- *a");
	is_refused(str_n(text, at), YAML, "aliases counted in full");
	free(text);
}
END_TEST

START_TEST(yaml_documents)
{
	struct doc *doc = read_doc("---\na: 1\n...\n", YAML);

	has_text(doc, "a", "1");
	doc_unref(doc);
	doc = read_doc("", YAML);
	ck_assert_int_eq(doc_find(doc, "")->type, CFX_NULL);
	doc_unref(doc);
	doc = read_doc("# nothing\n", YAML);
	ck_assert_int_eq(doc_find(doc, "")->type, CFX_NULL);
	doc_unref(doc);
	doc = read_doc("42\n", YAML);
	ck_assert_int_eq(doc_find(doc, "")->i64, 42);
	doc_unref(doc);
	doc = try_doc(str_of("a: 1"), "application/yaml; charset=utf-8", NULL);
	has_text(doc, "a", "1");
	doc_unref(doc);
}
END_TEST

static const char *const bad_yaml[][2] = {
	{ "a: 1\na: 2\n", "\"a\" stands twice" },
	{ "a: 1\n--- \nb: 2\n", "more than one document" },
	{ "1: a\n", "line 1, column 1: a key that is no string; put it in quotes" },
	{ "true: a\n", "a key that is no string" },
	{ "? [a]\n: b\n", "a key that is no string" },
	{ "x: &a 1\n*a : b\n", "a key that is no string" },
	{ "? .inf\n: b\n", "a key that is no string" },
	{ "<<: {a: 1}\n", "merge keys" },
	{ "a: *b\n", "an alias without its anchor" },
	{ "a: &a [*a]\n", "an alias inside its own anchor" },
	{ "a: !x 1\n", "a tag that is not of the core schema" },
	{ "a: !!set {b}\n", "a tag that is not of the core schema" },
	{ "a: !!int x\n", "not of the type of its tag" },
	{ "a: !!int 1.5\n", "not of the type of its tag" },
	{ "a: 0x10000000000000000\n", "more than 64 bits" },
	{ "a: [1\n", "line 2" },
	{ "a:\n\t- b\n", "line 2" },
	{ "a: \"\\ud800\"\n", "line 1" },
	{ "a: \xff\n", "byte 4 is not UTF-8" },
};

START_TEST(yaml_refusals)
{
	is_refused(str_of(bad_yaml[_i][0]), YAML, bad_yaml[_i][1]);
}
END_TEST

START_TEST(yaml_that_is_too_much)
{
	char text[128 * 12], deep[2 * DOC_DEPTH_MAX + 4];
	size_t at = 0;
	struct doc *doc;

	for (unsigned n = DOC_DEPTH_MAX; n <= DOC_DEPTH_MAX + 1; n++) {
		memset(deep, '[', n);
		memset(deep + n, ']', n);
		if (n > DOC_DEPTH_MAX) {
			is_refused(str_n(deep, 2 * n), YAML, "too deep");
			continue;
		}
		doc = try_doc(str_n(deep, 2 * n), YAML, NULL);
		ck_assert_ptr_nonnull(doc);
		doc_unref(doc);
	}
	for (unsigned i = 0; i <= 100; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%%TAG !%u! x\n",
				       i);
	is_refused(str_n(text, at), YAML, "%TAG");
	is_refused(str_n("a: \0", 4), YAML, "control");
}
END_TEST

/* ---- TOML ---- */

static void toml_is(const char *text, const char *want, enum cfx_type type)
{
	char room[256];
	struct doc *doc;

	snprintf(room, sizeof(room), "v = %s", text);
	doc = read_doc(room, TOML);
	has_text(doc, "v", want);
	ck_assert_msg(doc_find(doc, "v")->type == type, "%s", text);
	doc_unref(doc);
}

START_TEST(toml_scalars)
{
	toml_is("true", "true", CFX_BOOL);
	toml_is("false # no", "false", CFX_BOOL);
	toml_is("+9_223_372_036_854_775_807", "9223372036854775807", CFX_NUMBER);
	toml_is("-9223372036854775808", "-9223372036854775808", CFX_NUMBER);
	toml_is("0xdead_BEEF", "3735928559", CFX_NUMBER);
	toml_is("0o17", "15", CFX_NUMBER);
	toml_is("0b0101", "5", CFX_NUMBER);
	toml_is("-0.0", "-0.0", CFX_NUMBER);
	toml_is("1e06", "1e06", CFX_NUMBER);
	toml_is("6.626_1E-34", "6.6261E-34", CFX_NUMBER);
	toml_is("+inf", "inf", CFX_STRING);
	toml_is("-inf", "-inf", CFX_STRING);
	toml_is("-nan", "nan", CFX_STRING);
	toml_is("1979-05-27", "1979-05-27", CFX_STRING);
	toml_is("2024-02-29", "2024-02-29", CFX_STRING);
	toml_is("2000-02-29", "2000-02-29", CFX_STRING);
	toml_is("07:32:00.500", "07:32:00.5", CFX_STRING);
	toml_is("1979-05-27 07:32:00.000", "1979-05-27T07:32:00", CFX_STRING);
	toml_is("1979-05-27t07:32:00z", "1979-05-27T07:32:00Z", CFX_STRING);
	toml_is("1979-05-27T07:32:00.1234567891-00:30",
		"1979-05-27T07:32:00.123456789-00:30", CFX_STRING);
	toml_is("1979-05-27T07:32:00+00:00", "1979-05-27T07:32:00Z", CFX_STRING);
	toml_is("[ 1, # one\n\n 2, ]", "[1,2]", CFX_ARRAY);
	toml_is("{ a = 1, b.c = [{}] }", "{\"a\":1,\"b\":{\"c\":[{}]}}", CFX_OBJECT);
}
END_TEST

START_TEST(toml_strings)
{
	toml_is("\"\\b\\t\\n\\f\\r\\\"\\\\\\u20ac\\U0001F600\"",
		"\b\t\n\f\r\"\\€😀", CFX_STRING);
	toml_is("'a\\b\"'", "a\\b\"", CFX_STRING);
	toml_is("''", "", CFX_STRING);
	toml_is("\"\"\"\none\r\ntwo\"\"\"", "one\ntwo", CFX_STRING);
	toml_is("\"\"\"a \\  \n\n  b\"\"\"", "a b", CFX_STRING);
	toml_is("\"\"\"\"a\"\" b\"\"\"\"\"", "\"a\"\" b\"\"", CFX_STRING);
	toml_is("'''\na'b''c\\'''''", "a'b''c\\''", CFX_STRING);
	toml_is("\"\"\"\\u0041\"\"\"", "A", CFX_STRING);
}
END_TEST

START_TEST(toml_tables)
{
	struct doc *doc = read_doc("\xef\xbb\xbf# c\r\n\"a b\".'c' . d = 1\r\n"
				   "[x.y.z]\nw = 1\n[x]\nq = 2\n[x.v]\n"
				   "[f]\ng.h = 1\ng.i = 2\n[f.g.j]\nk = 3\n"
				   "[[e]]\n[[e]]\n[e.m]\nn = 1\n[[e.o]]\n[[e.o]]\n"
				   "[p.r]\n[p]\nr2.s = 1\n", TOML);

	has_text(doc, "a b.c.d", "1");
	has_text(doc, "x.y.z.w", "1");
	has_text(doc, "x.q", "2");
	has_text(doc, "x.v", "{}");
	has_text(doc, "f.g", "{\"h\":1,\"i\":2,\"j\":{\"k\":3}}");
	has_text(doc, "e.0", "{}");
	has_text(doc, "e.1.m.n", "1");
	ck_assert_uint_eq(doc_find(doc, "e.1.o")->count, 2);
	has_text(doc, "p.r2.s", "1");
	doc_unref(doc);
	doc = read_doc("", TOML);
	ck_assert_int_eq(doc_find(doc, "")->type, CFX_OBJECT);
	has_text(doc, "", "");
	doc_unref(doc);
	doc = read_doc("\"\" = 1\n", TOML);
	has_text(doc, "/", "1");
	doc_unref(doc);
}
END_TEST

static const char *const bad_toml[][2] = {
	{ "a = 1\na = 2", "\"a\" stands twice" },
	{ "a = 1\n\"a\" = 2", "\"a\" stands twice" },
	{ "[a]\n[a]", "stands twice" },
	{ "[a.b]\n[a]\n[a]", "stands twice" },
	{ "a.b = 1\n[a]", "stands twice" },
	{ "[a]\nb.c = 1\n[a.b]", "stands twice" },
	{ "[a.b.c]\nz = 1\n[a]\nb.c.t = 1", "stands twice" },
	{ "a = {}\n[a.b]", "stands twice" },
	{ "a = {b = 1}\na.c = 2", "stands twice" },
	{ "a = []\n[[a]]", "stands twice" },
	{ "[[a]]\n[a]", "stands twice" },
	{ "[a]\n[[a]]", "stands twice" },
	{ "a = 1\na.b = 2", "stands twice" },
	{ "a = 1\n[a.b]", "stands twice" },
	{ "a = [{}]\n[a.b]", "stands twice" },
	{ "a = {b = 1, b = 2}", "stands twice" },
	{ "a", "'=' are expected" }, { "a =", "this is no value" },
	{ "= 1", "a key is expected" }, { "a. = 1", "a key is expected" },
	{ "a = 1 b = 2", "end of the line" }, { "[a] b", "end of the line" },
	{ "[a", "']' is expected" }, { "[[a]", "']' is expected" },
	{ "[[a] ]", "']' is expected" }, { "[]", "a key is expected" },
	{ "[ [a]]", "a key is expected" }, { "\"\"\"a\"\"\" = 1", "expected" },
	{ "a = [1", "a comma or an end" }, { "a = [1 2]", "a comma or an end" },
	{ "a = [,]", "no value" }, { "a = [1,,2]", "no value" },
	{ "a = {b = 1,}", "a key is expected" },
	{ "a = {\nb = 1}", "a key is expected" },
	{ "a = {b = 1\n}", "a comma or an end" },
	{ "a = 01", "no value" }, { "a = 1__0", "no value" },
	{ "a = _1", "no value" }, { "a = 1_", "no value" },
	{ "a = 1.", "no value" }, { "a = .5", "no value" },
	{ "a = 1e", "no value" }, { "a = 1._5", "no value" },
	{ "a = 0x", "no value" }, { "a = +0x1", "no value" },
	{ "a = 0X1", "no value" }, { "a = 0b2", "no value" },
	{ "a = 9223372036854775808", "64 bits" },
	{ "a = 0x8000000000000000", "64 bits" },
	{ "a = True", "no value" }, { "a = truex", "no value" },
	{ "a = 2023-02-29", "no value" }, { "a = 1900-02-29", "no value" },
	{ "a = 2023-13-01", "no value" },
	{ "a = 2023-00-01", "no value" }, { "a = 2023-01-01T24:00:00", "no value" },
	{ "a = 2023-01-01T", "no value" }, { "a = 12:00", "no value" },
	{ "a = 12:00:60", "no value" }, { "a = 12:00:00.", "no value" },
	{ "a = 12:00:00Z", "no value" }, { "a = 2023-01-01T00:00:00+24:00",
	  "no value" },
	{ "a = \"", "a string without an end" },
	{ "a = \"\n\"", "a control character" },
	{ "a = '\x01'", "a control character" },
	{ "# \x01", "a control character" },
	{ "a = \"\x7f\"", "a control character" },
	{ "a = \"\\e\"", "a broken escape" }, { "a = \"\\x41\"", "a broken escape" },
	{ "a = \"\\ud800\"", "no character" },
	{ "a = \"\\U00110000\"", "no character" },
	{ "a = \"\\u00g0\"", "hexadecimal" },
	{ "a = \"\"\"\\ x\"\"\"", "a broken escape" },
	{ "a = \"\"\"", "a string without an end" },
	{ "a = 1\r", "end of the line" },
	{ "b = 1\n\n  a = nul", "line 3, column 7: this is no value" },
	{ "a = \"\xc0\xaf\"", "byte 6 is not UTF-8" },
	{ "# \xff", "byte 3 is not UTF-8" },
};

START_TEST(toml_refusals)
{
	is_refused(str_of(bad_toml[_i][0]), TOML, bad_toml[_i][1]);
}
END_TEST

START_TEST(toml_that_is_too_deep)
{
	char text[8 * DOC_DEPTH_MAX];
	struct doc *doc;
	size_t n;

	/* The root and those of the key. */
	for (unsigned i = 0; i < DOC_DEPTH_MAX; i++)
		memcpy(text + 2 * i, "a.", 2);
	n = 2 * (DOC_DEPTH_MAX - 1);
	memcpy(text + n, "b=1", 3);
	doc = try_doc(str_n(text, n + 3), TOML, NULL);
	ck_assert_ptr_nonnull(doc);
	doc_unref(doc);
	memcpy(text + n, "a.b=1", 5);
	is_refused(str_n(text, n + 5), TOML, "too deep");
	memcpy(text, "a=", 2);
	memset(text + 2, '[', sizeof(text) - 2);
	is_refused(str_n(text, sizeof(text)), TOML, "too deep");
	is_refused(str_n("a\0 = 1", 6), TOML, "expected");
	is_refused(str_n("#\0", 2), TOML, "control");
}
END_TEST

/* Many keys, many tables: the time does not grow with their square. */
START_TEST(toml_with_many_tables)
{
	enum { N = 100000 };
	size_t size = (size_t)N * 40, at = 0;
	char *text = malloc(size), path[40];
	struct doc *doc;

	for (unsigned i = 0; i < N; i++)
		at += (size_t)snprintf(text + at, size - at, "[t%u.x]\nk = %u\n", i, i);
	doc = try_doc(str_n(text, at), TOML, NULL);
	ck_assert_ptr_nonnull(doc);
	for (unsigned i = 0; i < N; i += 999) {
		snprintf(path, sizeof(path), "t%u.x.k", i);
		ck_assert_int_eq(doc_find(doc, path)->i64, i);
	}
	doc_unref(doc);
	free(text);
}
END_TEST

/* ---- memory ---- */

static long alloc_n, allocs, yaml_n, yaml_allocs;

static bool fails(long *passed, long n)
{
	return ++*passed == n;
}

static void *test_alloc(void *user, size_t n)
{
	return fails(&allocs, alloc_n) ? NULL : malloc(n);
}

static void *test_resize(void *user, void *p, size_t n)
{
	return fails(&allocs, alloc_n) ? NULL : realloc(p, n);
}

static void test_release(void *user, void *p)
{
	free(p);
}

/* Instead of libyaml's own, which calls them by name. */
void *yaml_malloc(size_t n);
void *yaml_realloc(void *p, size_t n);
char *yaml_strdup(const char *text);

void *yaml_malloc(size_t n)
{
	return fails(&yaml_allocs, yaml_n) ? NULL : malloc(n ? n : 1);
}

void *yaml_realloc(void *p, size_t n)
{
	return fails(&yaml_allocs, yaml_n) ? NULL : realloc(p, n ? n : 1);
}

char *yaml_strdup(const char *text)
{
	return fails(&yaml_allocs, yaml_n) ? NULL : strdup(text);
}

/* With whatever each reader has to hold. */
static const char *const wide[][2] = {
	{ YAML, "%YAML 1.1\n%TAG !e! tag:yaml.org,2002:\n---\na: &a {k: [1, \"2\"]}\n"
		"b: *a\nc: !e!str 'long enough to be no short text at all, so that it "
		"grows once and then once more, and again where that is not enough, and "
		"it is not, because a first room is some hundred bytes'\n"
		"? d\n: |\n  one\n  two\n\n  three\n"
		"e: [[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]\nn: 7\n" },
	{ TOML, "a.b.c = 'x'\nd = [{e = \"\"\"\nf\"\"\"}, 1, 2]\n[g]\nh = 1979-05-27\n"
		"[[i]]\n[[i]]\n[j.k.l.m]\no = 1\n[p]\nq.r = 0x1\n[s]\n[t]\n[u]\n"
		"[v]\n[w]\n[x]\n[y]\n[z]\nn = 7\n" },
};

/* False: nothing failed any more. */
static bool reads(const char *const text[2])
{
	struct cfx_allocator a = { test_alloc, test_resize, test_release, NULL };
	struct str s = str_of(text[1]);
	struct cfx_error error = { 0 };
	struct doc *doc = NULL;
	locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	char *content = malloc(s.n + 1);
	enum cfx_code rc;

	memcpy(content, s.p, s.n + 1);
	allocs = yaml_allocs = 0;
	rc = doc_new(&a, content, s.n, text[0], c_locale, 42, &doc, &error);
	freelocale(c_locale);
	if (rc) {
		ck_assert_msg(rc == CFX_E_NO_MEMORY, "%ld, %ld: %s", alloc_n, yaml_n,
			      error.text);
		return true;
	}
	ck_assert_int_eq(doc_find(doc, strcmp(text[0], YAML) ? "z.n" : "n")->i64, 7);
	doc_unref(doc);
	return allocs >= alloc_n && yaml_allocs >= yaml_n;
}

START_TEST(each_allocation_fails)
{
	yaml_n = 0;
	for (alloc_n = 1; reads(wide[_i]); alloc_n++)
		;
	ck_assert_int_gt(alloc_n, 8);
	alloc_n = 0;
	if (strcmp(wide[_i][0], YAML) != 0)
		return;
	for (yaml_n = 1; reads(wide[_i]); yaml_n++)
		;
	ck_assert_int_gt(yaml_n, 60);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("client/sdk/formats");
	TCase *t = tcase_create("formats");

	tcase_add_loop_test(t, a_path_is_the_same_in_each, 0, (int)ARRAY_LEN(same));
	tcase_add_test(t, sameness);
	tcase_add_test(t, yaml_scalars);
	tcase_add_test(t, yaml_strings);
	tcase_add_test(t, yaml_aliases);
	tcase_add_test(t, yaml_aliases_are_bounded);
	tcase_add_test(t, yaml_bytes_are_bounded);
	tcase_add_test(t, yaml_documents);
	tcase_add_loop_test(t, yaml_refusals, 0, (int)ARRAY_LEN(bad_yaml));
	tcase_add_test(t, yaml_that_is_too_much);
	tcase_add_test(t, toml_scalars);
	tcase_add_test(t, toml_strings);
	tcase_add_test(t, toml_tables);
	tcase_add_loop_test(t, toml_refusals, 0, (int)ARRAY_LEN(bad_toml));
	tcase_add_test(t, toml_that_is_too_deep);
	tcase_add_test(t, toml_with_many_tables);
	tcase_add_loop_test(t, each_allocation_fails, 0, (int)ARRAY_LEN(wide));
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
