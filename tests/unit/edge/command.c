/* Commands with a deadline. */
#include "unit.h"

#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "edge/edge.h"

#include "base/banned.h"

static struct err err;

static enum code sh(const char *script, unsigned timeout_ms)
{
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)script,
			       (char *)"sh", (char *)"<{}>", NULL };
	struct edge_about about = { "/a b", "app.conf", 17, 0 };

	err_reset(&err);
	return edge_run(argv, &about, timeout_ms, &err);
}

START_TEST(it_knows_what_it_is_about)
{
	ck_assert_msg(sh("[ \"$1\" = '</a b>' ] && [ \"$CONFLUX_FILE\" = '/a b' ] && "
			 "[ $CONFLUX_CONFIG = app.conf ] && [ $CONFLUX_VERSION = 17 ]",
			 10000) == OK, "%s", err.text);
	ck_assert_int_eq(sh("exec cat", 10000), OK);     /* no input */
}
END_TEST

START_TEST(it_may_fail)
{
	char *const none[] = { (char *)"/no/such/program", NULL };
	char *const folder[] = { (char *)"/tmp", NULL };
	struct edge_about about = { "f", "c", 1, 0 };

	ck_assert_int_eq(sh("exit 7", 10000), E_FAILED);
	ck_assert_str_eq(err.text, "sh ended with 7");
	ck_assert_int_eq(sh("echo one; echo two >&2; echo; exit 1", 10000), E_FAILED);
	ck_assert_str_eq(err.text, "sh ended with 1: two");
	ck_assert_int_eq(sh("kill -9 $$", 10000), E_FAILED);
	ck_assert_str_eq(err.text, "sh was ended by signal 9");
	ck_assert_int_eq(edge_run(none, &about, 1000, &err), E_NOT_FOUND);
	ck_assert_int_eq(edge_run(folder, &about, 1000, &err), E_DENIED);
}
END_TEST

/* What is not known is not taken for good. */
START_TEST(one_whose_end_is_not_known)
{
	signal(SIGCHLD, SIG_IGN);
	/* Soon, when nobody could begin to wait for it, or later. */
	ck_assert_int_eq(sh("exit 7", 10000), E_IO);
	ck_assert_int_eq(sh("sleep 0.3; exit 7", 10000), E_IO);
	signal(SIGCHLD, SIG_DFL);
	ck_assert_int_eq(sh("exit 7", 10000), E_FAILED);
}
END_TEST

START_TEST(what_it_writes_is_bounded)
{
	ck_assert_int_eq(sh("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end; "
			    "exit 1", 20000), E_FAILED);
	ck_assert_str_eq(err.text, "sh ended with 1: end");
	/* Of a long line the first characters, each of them whole. */
	ck_assert_int_eq(sh("printf x; printf '\303\251%.0s' $(seq 100); exit 1", 20000),
			 E_FAILED);
	ck_assert(str_is_utf8(str_of(err.text)));
	ck_assert_uint_eq(strlen(err.text), strlen("sh ended with 1: ") + 159);
}
END_TEST

START_TEST(its_time_is_bounded)
{
	uint64_t began = clock_mono_ms();

	/* And that of those whom it started. */
	ck_assert_int_eq(sh("sleep 600 & sleep 600", 300), E_TIMEOUT);
	ck_assert_uint_lt(clock_mono_ms() - began, 60000);
	ck_assert_str_eq(err.text, "sh did not end within 300 ms");
}
END_TEST

START_TEST(what_it_leaves_running_is_not_waited_for)
{
	uint64_t began = clock_mono_ms();

	ck_assert_int_eq(sh("sleep 60 & echo $!", 50000), OK);
	ck_assert_uint_lt(clock_mono_ms() - began, 40000);
}
END_TEST

START_TEST(signals_are_as_programs_expect_them)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(sh("kill -PIPE $$; exit 0", 10000), E_FAILED);
	ck_assert_str_eq(err.text, "sh was ended by signal 13");
}
END_TEST

START_TEST(nothing_of_the_agent_is_open)
{
	ck_assert_int_eq(dup2(STDOUT_FILENO, 100), 100);
	ck_assert_int_eq(sh("! [ -e /proc/self/fd/100 ]", 10000), OK);
	close(100);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("edge/command");
	TCase *t = tcase_create("command");

	tcase_add_test(t, it_knows_what_it_is_about);
	tcase_add_test(t, it_may_fail);
	tcase_add_test(t, one_whose_end_is_not_known);
	tcase_add_test(t, what_it_writes_is_bounded);
	tcase_add_test(t, its_time_is_bounded);
	tcase_add_test(t, what_it_leaves_running_is_not_waited_for);
	tcase_add_test(t, signals_are_as_programs_expect_them);
	tcase_add_test(t, nothing_of_the_agent_is_open);
	tcase_set_timeout(t, 100);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
