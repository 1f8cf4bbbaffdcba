/* What people see of what others wrote: nothing that a terminal obeys. */
#include "unit.h"

#include <stdio.h>

#include "cli/cli.h"
#include "doc/format.h"

#include "base/banned.h"

static struct cli cli;
static struct err err;
static char *said;
static size_t n_said;

static void setup(void)
{
	cli = (struct cli){ .arena = arena_new(0) };
	stdout = open_memstream(&said, &n_said);
}

static void teardown(void)
{
	arena_free(&cli.arena);
	fclose(stdout);
	free(said);
}

static const struct {
	const char *in, *lines, *line;
} table[] = {
	{ "caf\u00e9 \u65e5\u672c \U0001f600", "caf\u00e9 \u65e5\u672c \U0001f600",
	  "caf\u00e9 \u65e5\u672c \U0001f600" },
	{ "a\n\tb", "a\n\tb", "a  b" },
	{ "a\rb", "a b", "a b" },
	{ "a\033[2Kb", "a\\u001b[2Kb", "a\\u001b[2Kb" },
	{ "a\x7f" "b", "a\\u007fb", "a\\u007fb" },
	/* CSI in one character, and as the byte that is no UTF-8. */
	{ "a\xc2\x9b" "2Kb", "a\\u009b2Kb", "a\\u009b2Kb" },
	{ "a\x9b" "2Kb", "a\\u009b2Kb", "a\\u009b2Kb" },
	{ "a\xc2", "a\\u00c2", "a\\u00c2" },
	/* Turns what follows around. */
	{ "a\u202eb\u2066c\u2028d", "a\\u202eb\\u2066c\\u2028d",
	  "a\\u202eb\\u2066c\\u2028d" },
	{ "\u00a0\u2027\u202f\u2065", "\u00a0\u2027\u202f\u2065", "\u00a0\u2027\u202f\u2065" },
};

START_TEST(what_is_shown)
{
	AUTO_BUF lines = BUF_NONE;
	AUTO_BUF line = BUF_NONE;

	text_plain(&lines, str_of(table[_i].in), false);
	text_plain(&line, str_of(table[_i].in), true);
	buf_c(&lines, '\0');
	buf_c(&line, '\0');
	ck_assert_str_eq(lines.p, table[_i].lines);
	ck_assert_str_eq(line.p, table[_i].line);
}
END_TEST

START_TEST(a_table)
{
	struct table t;

	table_init(&t, cli.arena, 2);
	table_addz(&t, "A");
	table_addz(&t, "B");
	table_addz(&t, "x\033[1A\ny");
	table_addz(&t, "z\xc2\x9bw");
	ck_assert_int_eq(table_print(&t, &err), OK);
	fflush(stdout);
	ck_assert_str_eq(said, "A              B\nx\\u001b[1A y   z\\u009bw\n");
}
END_TEST

/* A text that is cut is cut between characters. */
START_TEST(a_short_text)
{
	AUTO_BUF text = BUF_NONE;
	struct str is;

	for (int i = 0; i < _i; i++)
		buf_c(&text, 'x');
	for (unsigned i = 0; i < 40; i++)
		buf_z(&text, "\u65e5");
	is = text_short(cli.arena, buf_view(&text));
	ck_assert(str_is_utf8(is));
	ck_assert(str_ends(is, STR("\u65e5...")));
	ck_assert_uint_ge(is.n, 58);
}
END_TEST

/* Machines read what was written, also where a terminal gets none of it. */
START_TEST(values)
{
	static const char *const text = "a\033b\x7f" "c\xc2\x9b" "d\u202e\n";
	struct value *v = value_array(cli.arena), *read = NULL;

	value_push(cli.arena, v, value_str(cli.arena, str_of(text)));
	cli.output = _i ? OUT_YAML : OUT_JSON;
	ck_assert_int_eq(out_value(&cli, v, &err), OK);
	fflush(stdout);
	for (size_t i = 0; i < n_said; i++)
		ck_assert(said[i] == '\n' ||
			  ((unsigned char)said[i] >= ' ' && said[i] != 127));
	ck_assert_ptr_null(strstr(said, "\xc2\x9b"));
	ck_assert_int_eq(doc_parse(_i ? FORMAT_YAML : FORMAT_JSON, str_n(said, n_said),
				   cli.arena, NULL, &read, NULL, &err), OK);
	ck_assert(value_eq(v, read));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("cli/output");
	TCase *t = tcase_create("output");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_is_shown, 0, (int)ARRAY_LEN(table));
	tcase_add_test(t, a_table);
	tcase_add_loop_test(t, a_short_text, 0, 4);
	tcase_add_loop_test(t, values, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
