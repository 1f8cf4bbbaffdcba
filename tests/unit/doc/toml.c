/* TOML: its types, its order, and texts that would be too much for toml++. */
#include "parsing.h"

#include "base/banned.h"

#define T FORMAT_TOML

START_TEST(values_of_each_type)
{
	reads(T, "a=1\nb=1.5\nc=true\nd='x'\ne=[1,[2]]\nf={g=1,h.i=2}\n",
	      "{\"a\":1,\"b\":1.5,\"c\":true,\"d\":\"x\",\"e\":[1,[2]],"
	      "\"f\":{\"g\":1,\"h\":{\"i\":2}}}");
	reads(T, "a=0xff\nb=0o17\nc=0b101\nd=1_000\ne=-0\nf=+5\n",
	      "{\"a\":255,\"b\":15,\"c\":5,\"d\":1000,\"e\":0,\"f\":5}");
	reads(T, "a=1e30\nb=-0.25\nc=inf\nd=-inf\ne=nan\nf=1e-7\n",
	      "{\"a\":1e30,\"b\":-0.25,\"c\":{\"$number\": \"inf\"},"
	      "\"d\":{\"$number\": \"-inf\"},\"e\":{\"$number\": \"nan\"},"
	      "\"f\":1e-7}");
	reads(T, "[a.b]\nc=1\n[[d]]\ne=1\n[[d]]\nf.g=2\n",
	      "{\"a\":{\"b\":{\"c\":1}},\"d\":[{\"e\":1},{\"f\":{\"g\":2}}]}");
	reads(T, "", "{}");
	reads(T, "# only this\r\n\r\n", "{}");
	reads(T,
	      "\xef\xbb\xbf"
	      "a=1\r\n",
	      "{\"a\":1}");
	reads(T, "a='''\nx\n''\n'''\n\"b.c\"=\"\"\"y\\\n  z\"\"\"\n",
	      "{\"a\":\"x\\n''\\n\",\"b.c\":\"yz\"}");
	reads(T, "a=9223372036854775807\n", "{\"a\":9223372036854775807}");
}
END_TEST

START_TEST(times_are_times)
{
	struct value *v = good(T, "t = 2026-01-02T03:04:05Z\nd = 2026-01-02\n"
				  "c = 07:32:00.5\nl = 2026-01-02 03:04:05\n"
				  "o = 2026-01-02T03:04:05.25+01:30\n");

	ck_assert_int_eq(value_getz(v, "t")->type, VALUE_TIME);
	ck_assert_str_eq(canonical(value_getz(v, "t")),
			 "{\"$time\": \"2026-01-02T03:04:05Z\"}");
	ck_assert(str_is(value_getz(v, "d")->s, "2026-01-02"));
	ck_assert(str_starts(value_getz(v, "c")->s, STR("07:32:00.5")));
	ck_assert(str_is(value_getz(v, "l")->s, "2026-01-02T03:04:05"));
	ck_assert(str_starts(value_getz(v, "o")->s,
			     STR("2026-01-02T03:04:05.25")));
	ck_assert(str_ends(value_getz(v, "o")->s, STR("+01:30")));
}
END_TEST

START_TEST(members_keep_their_order_and_place)
{
	struct value *v = good(T,
			       "z = 1\na = 2\n[m]\n  y = 3\n  b.c = 4\n[k]\n");
	const struct value *m = value_getz(v, "m");

	ck_assert(str_is(v->o.m[0].key, "z"));
	ck_assert(str_is(v->o.m[1].key, "a"));
	ck_assert(str_is(v->o.m[2].key, "m"));
	ck_assert(str_is(v->o.m[3].key, "k"));
	ck_assert(str_is(m->o.m[0].key, "y"));
	ck_assert_uint_eq(m->o.m[0].value->line, 4);
	ck_assert_uint_eq(m->o.m[0].value->column, 7);
}
END_TEST

START_TEST(what_is_no_toml_is_refused)
{
	static const char *const texts[] = {
		"a",
		"a=",
		"=1",
		"a=1 b=2",
		"a=1\na=2",
		"[a]\n[a]",
		"a.b=1\na=2",
		"a=1\na.b=2",
		"[a",
		"[a]]",
		"[[a]",
		"[]",
		"a=[1",
		"a={b=1",
		"a={b=1,}",
		"a={\nb=1}",
		"a='\n'",
		"a=\"\n\"",
		"a=\"\\q\"",
		"a=01",
		"a=1__0",
		"a=.5",
		"a=5.",
		"a=0x",
		"a=True",
		"a=2026-13-01",
		"a=25:00:00",
		"a=\"\\ud800\"",
		"a=\"\\uDFFF\"",
		"a=9223372036854775808",
		"a='''x",
		"a=1\x01",
		"a=\"\x7f\"",
		"a={b=1}\na.c=2",
		"a=[1]\n[[a]]",
		"a = 1\rb = 2",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		bad(T, texts[i], 0, 0, "line ");
	bad_str(T, STR("a=1\0"), 0, 0, "line 1");
	bad_str(T, STR("a=\"\0\""), 0, 0, "line 1");
}
END_TEST

START_TEST(errors_name_place_and_reason)
{
	bad(T, "a = 1\nb = = 2\n", 2, 5, "could not determine value type");
	bad(T, "a = 1\nb = 2\na = 3\n", 3, 5, "redefine");
	bad(T, "a = 1\n\xff = 2\n", 2, 1, "not UTF-8");
	bad(T, "a = 1\nb = \"\xc3\xa9\xc0\x80\"\n", 2, 7, "not UTF-8");
}
END_TEST

static void nested(size_t n, const char *before, const char *open,
		   const char *inner, const char *close, bool ok)
{
	AUTO_BUF b = BUF_NONE;

	buf_z(&b, before);
	repeat(&b, open, n);
	buf_z(&b, inner);
	repeat(&b, close, n);
	buf_c(&b, '\n');
	if (ok)
		good_str(T, buf_view(&b));
	else
		bad_str(T, buf_view(&b), 0, 0, "nested too deeply");
}

/* The document's own table is one of the 64. */
START_TEST(depth_is_bounded)
{
	nested(63, "a=", "[", "", "]", true);
	nested(64, "a=", "[", "", "]", false);
	nested(250, "a=", "[", "", "]", false);
	nested(1000000, "a=", "[", "", "]", false);
	nested(62, "a=", "{b=", "1", "}", true);
	nested(64, "a=", "{b=", "1", "}", false);
	nested(1000000, "a=", "{b=", "1", "}", false);
	nested(62, "", "a.", "a=1", "", true);
	nested(64, "", "a.", "a=1", "", false);
	nested(4000000, "", "a.", "a=1", "", false);
	nested(62, "[", "a.", "a]", "", true);
	nested(4000000, "[", "a.", "a]", "", false);
	nested(1000000, "[[", "'a' . ", "a]]", "", false);
	nested(63, "a=", "{b.c.d.e=", "1", "}", false);
	nested(30, "a=", "{b.c=", "1", "}", true);
	nested(33, "a=", "{b.c=", "1", "}", false);
}
END_TEST

/* What only looks deep. */
START_TEST(brackets_and_dots_in_text_do_not_count)
{
	AUTO_BUF b = BUF_NONE;

	buf_z(&b, "a = \"");
	repeat(&b, "[.", 1000);
	buf_z(&b, "\\\"[[\"\nb = '");
	repeat(&b, "{.\"", 1000);
	buf_z(&b, "\\' # ");
	repeat(&b, "[\"", 1001);
	buf_z(&b, "\nc = \"\"\"\n[\"\"\\\"\"\"");
	repeat(&b, "\n[.", 1000);
	buf_z(&b, "\"\"\"\"\"\nd = '''\n''");
	repeat(&b, "\n[.", 1000);
	buf_z(&b, "'''''\ne = [");
	repeat(&b, "1.5, ", 60000);
	buf_z(&b, "]\nf = 1\n");
	ck_assert(str_is(value_getz(good_str(T, buf_view(&b)), "f")->s, "1"));
}
END_TEST

START_TEST(tables_are_bounded)
{
	AUTO_BUF b = BUF_NONE;

	for (int i = 0; i < 20000; i++)
		buf_printf(&b, "[t.a%d]\nb=1\n", i);
	good_str(T, buf_view(&b));
	buf_reset(&b);
	for (int i = 0; i < 50001; i++)
		buf_printf(&b, "[a%d.b]\n", i);
	bad_str(T, buf_view(&b), 50001, 8, "more than 50000");
	buf_reset(&b);
	for (int i = 0; i < 50001; i++)
		buf_printf(&b, "[[a%d]]\n", i);
	bad_str(T, buf_view(&b), 50001, 1, "more than 50000");
}
END_TEST

START_TEST(size_and_values_are_bounded)
{
	struct doc_limits l = doc_limits_default;
	struct value *v;
	struct err err;

	l.bytes_max = 4;
	ck_assert_int_eq(doc_parse(T, STR("a=123"), arena, &l, &v, NULL, &err),
			 E_TOO_LARGE);
	l = doc_limits_default;
	l.nodes_max = 3;
	ck_assert_int_eq(doc_parse(T, STR("a=1\nb=1\n"), arena, &l, &v, NULL,
				   &err),
			 OK);
	ck_assert_int_eq(doc_parse(T, STR("a=1\nb=1\nc=1\n"), arena, &l, &v,
				   NULL, &err),
			 E_PARSE);
	ck_assert_str_eq(err.text, "line 3, column 3: more values than allowed");
}
END_TEST

START_TEST(a_long_reason_is_cut_between_characters)
{
	AUTO_BUF b = BUF_NONE;
	struct value *v;
	struct err err;

	repeat(&b, "\xe2\x82\xac", 300);
	for (int i = 0; i < 3; i++) {
		struct str text = arena_printf(arena,
					       "\"%.*s%.*s\"=1\n\"%.*s"
					       "%.*s\"=1\n",
					       i, "xx", (int)b.n, b.p, i, "xx",
					       (int)b.n, b.p);

		ck_assert_int_eq(doc_parse(T, text, arena, NULL, &v, NULL, &err),
				 E_PARSE);
		ck_assert_msg(str_is_utf8(str_of(err.text)), "%s", err.text);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("doc/toml");
	TCase *t = tcase_create("toml");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, values_of_each_type);
	tcase_add_test(t, times_are_times);
	tcase_add_test(t, members_keep_their_order_and_place);
	tcase_add_test(t, what_is_no_toml_is_refused);
	tcase_add_test(t, errors_name_place_and_reason);
	tcase_add_test(t, depth_is_bounded);
	tcase_add_test(t, brackets_and_dots_in_text_do_not_count);
	tcase_add_test(t, tables_are_bounded);
	tcase_add_test(t, size_and_values_are_bounded);
	tcase_add_test(t, a_long_reason_is_cut_between_characters);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
