/* The table of commands: arguments, help, manuals. */
#include "unit.h"

#include "cli/cli.h"
#include "io/file.h"

#include "base/banned.h"

static struct cli cli;
static struct err err;

static void setup(void)
{
	cli = (struct cli){ .arena = arena_new(0) };
	err_reset(&err);
}

static void teardown(void)
{
	arena_free(&cli.arena);
}

#define PARSE(...)                                                         \
	({                                                                  \
		const char *argv_[] = { "conflux", __VA_ARGS__ };           \
		cli_parse(&cli, (int)ARRAY_LEN(argv_), (char **)argv_, &err);        \
	})

static void again(void)
{
	teardown();
	setup();
}

START_TEST(flags_come_in_every_form)
{
	ck_assert_int_eq(PARSE("get", "sources", "-n", "acme", "-ojson"), OK);
	ck_assert_str_eq(cli.command->name, "get");
	ck_assert_str_eq(cli_text(&cli, FLAG_NAMESPACE), "acme");
	ck_assert_int_eq(cli.output, OUT_JSON);
	ck_assert_uint_eq(cli.n_args, 1);
	again();
	ck_assert_int_eq(PARSE("--namespace=acme", "get", "--output", "wide",
			       "--", "sources", "-x"), OK);
	ck_assert_int_eq(cli.output, OUT_WIDE);
	ck_assert_uint_eq(cli.n_args, 2);
	ck_assert_str_eq(cli.args[1], "-x");
}
END_TEST

START_TEST(repeated_flags_are_all_kept)
{
	ck_assert_int_eq(PARSE("resolve", "a/b/c/d", "-l", "a=1", "--label=b=2"),
			 OK);
	ck_assert_uint_eq(cli.given[FLAG_LABEL].n, 2);
	ck_assert_str_eq(cli.given[FLAG_LABEL].v[1], "b=2");
}
END_TEST

START_TEST(a_lone_dash_is_an_argument_or_value)
{
	ck_assert_int_eq(PARSE("apply", "-f", "-"), OK);
	ck_assert_str_eq(cli_text(&cli, FLAG_FILENAME), "-");
}
END_TEST

START_TEST(wrong_usage_is_told_with_a_hint)
{
	ck_assert_int_eq(PARSE("aply"), E_USAGE);
	ck_assert_str_eq(err.hint, "did you mean apply?");
	ck_assert_int_eq(PARSE("get", "--nonsense"), E_USAGE);
	ck_assert_ptr_nonnull(strstr(err.text, "--nonsense"));
	again();
	ck_assert_int_eq(PARSE("status", "-f", "x"), E_USAGE);
	ck_assert_ptr_nonnull(strstr(err.text, "status has no flag --filename"));
	again();
	ck_assert_int_eq(PARSE("get", "x", "-o", "xml"), E_USAGE);
	again();
	ck_assert_int_eq(PARSE("get"), E_USAGE);
	again();
	ck_assert_int_eq(PARSE("fetch", "a", "b"), E_USAGE);
	again();
	ck_assert_int_eq(PARSE("get", "x", "-n"), E_USAGE);
	again();
	ck_assert_int_eq(PARSE("get", "x", "--all-namespaces=yes"), E_USAGE);
}
END_TEST

START_TEST(what_was_meant_is_guessed)
{
	static const struct {
		const char *given, *meant;
	} commands_[] = {
		{ "aply", "apply" },	    { "lgo", NULL },
		{ "reconcil", "reconcile" }, { "hist", "history" },
		{ "hlep", "help" },	    { "", NULL },
		{ "x", NULL },
	};
	const char *meant;

	for (size_t i = 0; i < ARRAY_LEN(commands_); i++) {
		(void)!command_find(commands_[i].given, &meant);
		if (commands_[i].meant)
			ck_assert_str_eq(meant, commands_[i].meant);
		else
			ck_assert_ptr_null(meant);
	}
	ck_assert_int_eq(command_unknown("get", &err), OK);
	ck_assert_int_eq(PARSE("get", "--namspace=secret", "x"), E_USAGE);
	ck_assert_str_eq(err.text, "get: no flag --namspace");
	ck_assert_str_eq(err.hint, "did you mean --namespace?");
	again();
	/* Of the flags that the command has. */
	ck_assert_int_eq(PARSE("get", "--file", "x"), E_USAGE);
	ck_assert_str_eq(err.hint, "conflux get --help");
	again();
	ck_assert_int_eq(PARSE("apply", "--file", "x"), E_USAGE);
	ck_assert_str_eq(err.hint, "did you mean --filename?");
	again();
	ck_assert_int_eq(PARSE("--servr", "x"), E_USAGE);
	ck_assert_str_eq(err.hint, "did you mean --server?");
	again();
	ck_assert_int_eq(PARSE("get", "-q", "x"), E_USAGE);
	ck_assert_str_eq(err.text, "get: no flag -q");
}
END_TEST

START_TEST(numbers_and_times)
{
	uint64_t n = 7;
	unsigned ms = 7;

	ck_assert_int_eq(PARSE("watch", "--since", "12", "--timeout", "2s"), OK);
	ck_assert_int_eq(cli_u64(&cli, FLAG_SINCE, &n, &err), OK);
	ck_assert_uint_eq(n, 12);
	ck_assert_int_eq(cli_ms(&cli, FLAG_TIMEOUT, &ms, &err), OK);
	ck_assert_uint_eq(ms, 2000);
	ck_assert_int_eq(cli_u64(&cli, FLAG_COUNT, &n, &err), OK);
	ck_assert_uint_eq(n, 12);
	again();
	ck_assert_int_eq(PARSE("watch", "--since", "x", "--timeout", "2"), OK);
	ck_assert_int_eq(cli_u64(&cli, FLAG_SINCE, &n, &err), E_USAGE);
	ck_assert_int_eq(cli_ms(&cli, FLAG_TIMEOUT, &ms, &err), E_USAGE);
}
END_TEST

static void is_written(const char *path, void (*print)(struct buf *out))
{
	AUTO_BUF printed = BUF_NONE;
	AUTO_BUF file = BUF_NONE;

	print(&printed);
	ck_assert_msg(fs_get(fs_real(), path, &file, &err) == OK, "%s", err.text);
	ck_assert_msg(str_eq(buf_view(&printed), buf_view(&file)),
		      "%s is not what `conflux manual` prints", path);
}

START_TEST(the_manuals_are_as_the_table)
{
	is_written("docs/cli.md", manual_markdown);
	is_written("docs/man/conflux.1", manual_roff);
}
END_TEST

START_TEST(tables_keep_control_bytes_from_the_terminal)
{
	struct str s = text_short(cli.arena, STR("main@sha1:"
		"0123456789abcdef0123456789abcdef01234567 x"));

	ck_assert(str_is(s, "main@sha1:0123456789ab x"));
	s = text_short(cli.arena, STR("0123456789abcdef0123456789abcdef"
		"012345670123456789abcdef0123456789abcdef01234567"));
	ck_assert_uint_eq(s.n, 60);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("cli/commands");
	TCase *t = tcase_create("commands");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, flags_come_in_every_form);
	tcase_add_test(t, repeated_flags_are_all_kept);
	tcase_add_test(t, a_lone_dash_is_an_argument_or_value);
	tcase_add_test(t, wrong_usage_is_told_with_a_hint);
	tcase_add_test(t, what_was_meant_is_guessed);
	tcase_add_test(t, numbers_and_times);
	tcase_add_test(t, the_manuals_are_as_the_table);
	tcase_add_test(t, tables_keep_control_bytes_from_the_terminal);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
