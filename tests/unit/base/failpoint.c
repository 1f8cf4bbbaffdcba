/* Failpoints: names always; what they do only in builds that have them. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "base/str.h"
#include "unit.h"

#include "base/banned.h"

START_TEST(names)
{
	ck_assert_str_eq(failpoint_name(FP_WAL_WRITE), "wal.write");
	for (int i = 0; i < FP__COUNT; i++)
		ck_assert_uint_ne(str_find(str_of(failpoint_name(
						   (enum failpoint)i)),
					   '.'),
				  SIZE_MAX);
}
END_TEST

START_TEST(unknown_name_aborts)
{
	failpoint_name(FP__COUNT);
}
END_TEST

#ifdef CONFLUX_FAILPOINTS

static unsigned failures(enum failpoint fp, unsigned passes)
{
	unsigned n = 0;

	for (unsigned i = 0; i < passes; i++) {
		struct err err = { 0 };
		enum code rc = failpoint_hit(fp, &err);

		ck_assert(rc == OK || rc == E_IO);
		n += rc == E_IO;
	}
	return n;
}

START_TEST(silent_until_set)
{
	ck_assert_uint_eq(failures(FP_WAL_WRITE, 10), 0);
	ck_assert_uint_eq(failpoint_passes(FP_WAL_WRITE), 10);
	ck_assert_uint_eq(failpoint_passes(FP_WAL_CUT), 0);
}
END_TEST

START_TEST(errors_some_times)
{
	struct err err = { 0 };

	ck_assert_uint_eq(failures(FP_WAL_WRITE, 3), 0);
	ck_assert_int_eq(failpoint_set("wal.write=error*3", &err), OK);
	ck_assert_int_eq(failpoint_hit(FP_WAL_WRITE, &err), E_IO);
	ck_assert_str_eq(err.text, "failpoint wal.write");
	ck_assert_uint_eq(failures(FP_WAL_WRITE, 10), 2);
	ck_assert_uint_eq(failures(FP_WAL_WRITTEN, 10), 0);
}
END_TEST

START_TEST(errors_from_a_pass_on)
{
	ck_assert_int_eq(failpoint_set(" wal.cut=error@3*2 , vote.write=error", NULL), OK);
	ck_assert_uint_eq(failures(FP_WAL_CUT, 2), 0);
	ck_assert_uint_eq(failures(FP_WAL_CUT, 2), 2);
	ck_assert_uint_eq(failures(FP_WAL_CUT, 10), 0);
	ck_assert_uint_eq(failures(FP_VOTE_WRITE, 10), 10);
	ck_assert_int_eq(failpoint_set("vote.write=off", NULL), OK);
	ck_assert_uint_eq(failures(FP_VOTE_WRITE, 10), 0);
}
END_TEST

START_TEST(wrong_specifications)
{
	static const char *const bad[] = {
		"wal.writ=crash",   "wal.write",	 "wal.write=",
		"wal.write=fail",   "wal.write=error*0", "wal.write=error*x",
		"wal.write=crash@", "wal.write=error*3@2", "=crash",
	};
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(failpoint_set(bad[i], &err), E_USAGE);
	ck_assert_int_eq(failpoint_set("", &err), OK);
	ck_assert_uint_eq(failures(FP_WAL_WRITE, 3), 0);
}
END_TEST

START_TEST(full_is_e_full)
{
	ck_assert_int_eq(failpoint_set("wal.write=full@2*1", NULL), OK);
	ck_assert_int_eq(failpoint_hit(FP_WAL_WRITE, NULL), OK);
	ck_assert_int_eq(failpoint_hit(FP_WAL_WRITE, NULL), E_FULL);
	ck_assert_int_eq(failpoint_hit(FP_WAL_WRITE, NULL), OK);
}
END_TEST

START_TEST(the_nth_pass_alone)
{
	uint64_t from;

	failures(FP_WAL_WRITE, 7);
	from = failpoint_passes(FP_WAL_WRITE);
	failpoint_nth(FP_WAL_WRITE, 3, E_FULL);
	ck_assert_int_eq(failpoint_hit(FP_WAL_WRITE, NULL), OK);
	ck_assert_int_eq(failpoint_hit(FP_WAL_WRITE, NULL), OK);
	ck_assert_int_eq(failpoint_hit(FP_WAL_WRITE, NULL), E_FULL);
	ck_assert_uint_eq(failpoint_passes(FP_WAL_WRITE), from + 3);
	ck_assert_uint_eq(failures(FP_WAL_WRITE, 10), 0);
	failpoint_nth(FP_WAL_WRITE, 1, E_IO);
	failpoint_nth(FP_WAL_WRITE, 0, E_IO);
	ck_assert_uint_eq(failures(FP_WAL_WRITE, 10), 0);
}
END_TEST

/* The process says how much was asked for, and ends. */
START_TEST(no_memory_ends_the_process)
{
	failpoint_nth(FP_MEMORY, 2, E_IO);
	free(mem_alloc(1));
	free(mem_alloc(1));
}
END_TEST

START_TEST(crash_is_sigkill)
{
	failpoint_set("apply.before_commit=crash@3", NULL);
	failures(FP_APPLY_BEFORE_COMMIT, 2);
	failures(FP_APPLY_BEFORE_COMMIT, 1);
}
END_TEST

START_TEST(no_crash_before_its_pass)
{
	failpoint_set("apply.before_commit=crash@3", NULL);
	failures(FP_APPLY_BEFORE_COMMIT, 2);
}
END_TEST

START_TEST(stop_goes_on_with_sigcont)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		failpoint_set("store.state=stop", NULL);
		failpoint_hit(FP_STORE_STATE, NULL);
		_exit(42);
	}
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert(WIFSTOPPED(status));
	kill(pid, SIGCONT);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 42);
}
END_TEST

START_TEST(environment_is_read)
{
	setenv("CONFLUX_FAILPOINTS", "meta.write=error*2,wal.cut=error", 1);
	ck_assert_uint_eq(failures(FP_META_WRITE, 10), 2);
	ck_assert_uint_eq(failures(FP_WAL_CUT, 10), 10);
}
END_TEST

START_TEST(misspelt_environment_aborts)
{
	setenv("CONFLUX_FAILPOINTS", "meta.wirte=error", 1);
	failpoint_hit(FP_WAL_CUT, NULL);
}
END_TEST

static enum code full_at_cut(void *data, enum failpoint fp)
{
	++*(unsigned *)data;
	return fp == FP_WAL_CUT ? E_FULL : OK;
}

START_TEST(hook_decides)
{
	unsigned calls = 0;

	failpoint_set("wal.write=error", NULL);
	failpoint_set_hook(full_at_cut, &calls);
	ck_assert_int_eq(failpoint_hit(FP_WAL_CUT, NULL), E_FULL);
	ck_assert_int_eq(failpoint_hit(FP_WAL_WRITE, NULL), OK);
	ck_assert_uint_eq(calls, 2);
	failpoint_set_hook(NULL, NULL);
	ck_assert_int_eq(failpoint_hit(FP_WAL_WRITE, NULL), E_IO);
}
END_TEST

static void add_active(TCase *t)
{
	tcase_add_test(t, silent_until_set);
	tcase_add_test(t, errors_some_times);
	tcase_add_test(t, errors_from_a_pass_on);
	tcase_add_test(t, wrong_specifications);
	tcase_add_test(t, full_is_e_full);
	tcase_add_test(t, the_nth_pass_alone);
	tcase_add_test_raise_signal(t, no_memory_ends_the_process, SIGABRT);
	tcase_add_test_raise_signal(t, crash_is_sigkill, SIGKILL);
	tcase_add_test(t, no_crash_before_its_pass);
	tcase_add_test(t, stop_goes_on_with_sigcont);
	tcase_add_test(t, environment_is_read);
	tcase_add_test_raise_signal(t, misspelt_environment_aborts, SIGABRT);
	tcase_add_test(t, hook_decides);
}

#else

START_TEST(a_pass_costs_nothing_and_fails_never)
{
	setenv("CONFLUX_FAILPOINTS", "wal.write=crash", 1);
	ck_assert_int_eq(failpoint_hit(FP_WAL_WRITE, NULL), OK);
}
END_TEST

static void add_active(TCase *t)
{
	tcase_add_test(t, a_pass_costs_nothing_and_fails_never);
}

#endif

static Suite *suite(void)
{
	Suite *s = suite_create("base/failpoint");
	TCase *t = tcase_create("failpoint");

	tcase_add_test(t, names);
	tcase_add_test_raise_signal(t, unknown_name_aborts, SIGABRT);
	add_active(t);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
