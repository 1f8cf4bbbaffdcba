/* How many processors may be used: what control groups say, below a root of ours. */
#include "daemon/processors.h"

#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "unit.h"

#include "base/banned.h"

static char root[64];
static struct arena *arena;

static void setup(void)
{
	arena = arena_new(0);
	snprintf(root, sizeof(root), "/tmp/conflux-cpu-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
}

static void teardown(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", root, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
	arena_free(&arena);
}

static void put(const char *path, const char *text)
{
	char *full = arena_z(arena, arena_printf(arena, "%s/%s", root, path));
	FILE *f;

	for (char *p = full + 1; *p; p++)
		if (*p == '/') {
			*p = 0;
			mkdir(full, 0755);
			*p = '/';
		}
	f = fopen(full, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	fclose(f);
}

/* Those that this process may run on. */
static unsigned all(void)
{
	cpu_set_t set;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	return (unsigned)CPU_COUNT(&set);
}

START_TEST(without_groups_it_is_the_affinity)
{
	cpu_set_t one;
	int first = 0;

	ck_assert_uint_eq(processors_usable(root), all());
	ck_assert_int_eq(sched_getaffinity(0, sizeof(one), &one), 0);
	while (!CPU_ISSET(first, &one))
		first++;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	ck_assert_uint_eq(processors_usable(root), 1);
}
END_TEST

START_TEST(a_quota_is_rounded_up)
{
	put("proc/self/cgroup", "0::/a/b\n");
	put("sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
	ck_assert_uint_eq(processors_usable(root), 1);
	put("sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
	ck_assert_uint_eq(processors_usable(root), MIN(2u, all()));
	put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
	ck_assert_uint_eq(processors_usable(root), all());
}
END_TEST

START_TEST(groups_above_count_too)
{
	put("proc/self/cgroup", "0::/a/b\n");
	put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
	put("sys/fs/cgroup/a/cpu.max", "100000 100000\n");
	ck_assert_uint_eq(processors_usable(root), 1);
	put("sys/fs/cgroup/a/cpu.max", "max 100000\n");
	put("sys/fs/cgroup/cpu.max", "10000 100000\n");
	ck_assert_uint_eq(processors_usable(root), 1);
}
END_TEST

START_TEST(version_one)
{
	put("proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/x\n1:name=y:/\n");
	put("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n");
	put("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
	ck_assert_uint_eq(processors_usable(root), all());
	put("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "90000\n");
	ck_assert_uint_eq(processors_usable(root), 1);
	/* In a container the own group is the topmost that is seen. */
	put("proc/self/cgroup", "4:cpu,cpuacct:/elsewhere\n");
	ck_assert_uint_eq(processors_usable(root), all());
	put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "90000\n");
	put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
	ck_assert_uint_eq(processors_usable(root), 1);
}
END_TEST

START_TEST(nonsense_is_no_limit)
{
	put("proc/self/cgroup", "\n:::\n0::/../..\n0:\n4:cpu");
	put("sys/fs/cgroup/cpu.max", "x y\n");
	ck_assert_uint_eq(processors_usable(root), all());
	put("sys/fs/cgroup/cpu.max", "0 0\n");
	ck_assert_uint_eq(processors_usable(root), all());
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("daemon/processors");
	TCase *t = tcase_create("processors");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, without_groups_it_is_the_affinity);
	tcase_add_test(t, a_quota_is_rounded_up);
	tcase_add_test(t, groups_above_count_too);
	tcase_add_test(t, version_one);
	tcase_add_test(t, nonsense_is_no_limit);
	suite_add_tcase(suite, t);
	return suite;
}

UNIT_MAIN(suite)
