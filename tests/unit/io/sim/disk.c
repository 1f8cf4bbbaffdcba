/* The simulated disk keeps what it promises, and no more. */
#include "unit.h"

#include "base/failpoint.h"
#include "io/sim/disk.h"

#include "base/banned.h"

static struct disk *disk;
static struct fs *fs;
static struct err err;

static void setup(void)
{
	disk = disk_new(1);
	fs = disk_fs(disk);
	ck_assert_int_eq(fs->ops->make_dir(fs, "d", &err), OK);
}

static void teardown(void)
{
	disk_free(&disk);
}

static struct file *open_file(const char *path, unsigned flags)
{
	struct file *f;

	ck_assert_int_eq(fs->ops->open(fs, path, FILE_WRITE | FILE_CREATE | flags,
				       &f, &err), OK);
	return f;
}

static enum code write_all(struct file *f, char c)
{
	char block[4 * FILE_BLOCK];

	memset(block, c, sizeof(block));
	return fs->ops->write(fs, f, 0, block, sizeof(block), &err);
}

/* How many of its four blocks hold 'c'; -1: no such file. */
static int blocks(const char *path, char c)
{
	AUTO_BUF b = BUF_NONE;
	int n = 0;

	if (fs_get(fs, path, &b, &err))
		return -1;
	for (size_t i = 0; i < b.n; i += FILE_BLOCK)
		n += b.p[i] == c;
	return n;
}

START_TEST(what_is_synced_survives)
{
	struct file *f = open_file("d/f", 0);

	ck_assert_int_eq(write_all(f, 'a'), OK);
	ck_assert_int_eq(fs->ops->sync(fs, f, &err), OK);
	ck_assert_int_eq(fs->ops->sync_dir(fs, "d", &err), OK);
	disk_power_loss(disk);
	ck_assert_int_eq(blocks("d/f", 'a'), 4);
}
END_TEST

START_TEST(a_durable_file_survives_without_sync)
{
	struct file *f = open_file("d/f", FILE_DURABLE);

	ck_assert_int_eq(fs->ops->sync_dir(fs, "d", &err), OK);
	ck_assert_int_eq(write_all(f, 'a'), OK);
	disk_power_loss(disk);
	ck_assert_int_eq(blocks("d/f", 'a'), 4);
}
END_TEST

#ifdef CONFLUX_FAILPOINTS
/* What a sync that failed should have covered is lost in part, at once, and the
 * next one that succeeds brings nothing back. */
START_TEST(a_sync_that_fails_loses)
{
	bool lost = false;

	for (unsigned i = 0; i < 20; i++) {
		struct file *f = open_file("d/f", 0);

		ck_assert_int_eq(write_all(f, 'a'), OK);
		failpoint_nth(FP_FILE_SYNC, 1, E_IO);
		ck_assert_int_eq(fs->ops->sync(fs, f, &err), E_IO);
		ck_assert_int_eq(fs->ops->sync(fs, f, &err), OK);
		ck_assert_int_eq(fs->ops->sync_dir(fs, "d", &err), OK);
		lost |= blocks("d/f", 'a') < 4;
		disk_power_loss(disk);
		lost |= blocks("d/f", 'a') < 4;
		teardown();
		disk = disk_new(i + 2);
		fs = disk_fs(disk);
		ck_assert_int_eq(fs->ops->make_dir(fs, "d", &err), OK);
	}
	ck_assert(lost);
}
END_TEST

/* It is there in part, and what was durable under it is torn too. */
START_TEST(a_write_that_fails_is_torn)
{
	unsigned seen = 0;

	for (unsigned i = 0; i < 20; i++) {
		struct file *f = open_file("d/f", FILE_DURABLE);

		ck_assert_int_eq(fs->ops->sync_dir(fs, "d", &err), OK);
		ck_assert_int_eq(write_all(f, 'a'), OK);
		failpoint_nth(FP_FILE_WRITE, 1, E_IO);
		ck_assert_int_eq(write_all(f, 'b'), E_IO);
		disk_power_loss(disk);
		ck_assert_int_eq(blocks("d/f", 'a') + blocks("d/f", 'b'), 4);
		seen |= 1u << blocks("d/f", 'b');
	}
	ck_assert_uint_gt(seen, 7);
}
END_TEST
#endif

/* Over many seeds everything between nothing and all is seen. */
START_TEST(what_is_not_synced_may_be_lost_or_torn)
{
	unsigned seen = 0;

	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct file *f;
		int n;

		disk_free(&disk);
		disk = disk_new(seed);
		fs = disk_fs(disk);
		f = open_file("d/f", 0);
		ck_assert_int_eq(write_all(f, 'a'), OK);
		ck_assert_int_eq(blocks("d/f", 'a'), 4);
		disk_power_loss(disk);
		n = blocks("d/f", 'a');
		seen |= n < 0 ? 32 : BIT(n);
	}
	ck_assert_uint_eq(seen, 63);
}
END_TEST

START_TEST(a_kill_loses_nothing)
{
	ck_assert_int_eq(write_all(open_file("d/f", 0), 'a'), OK);
	disk_kill(disk);
	ck_assert_int_eq(blocks("d/f", 'a'), 4);
}
END_TEST

START_TEST(names_go_in_order)
{
	ck_assert_int_eq(write_all(open_file("d/a", FILE_DURABLE), 'a'), OK);
	ck_assert_int_eq(fs->ops->sync_dir(fs, "d", &err), OK);
	ck_assert_int_eq(fs->ops->rename(fs, "d/a", "d/b", &err), OK);
	ck_assert_int_eq(fs->ops->rename(fs, "d/b", "d/c", &err), OK);
	disk_power_loss(disk);
	ck_assert_int_eq((blocks("d/a", 'a') == 4) + (blocks("d/b", 'a') == 4) +
			 (blocks("d/c", 'a') == 4), 1);
}
END_TEST

START_TEST(a_crash_tears_the_write_and_stops_everything)
{
	struct file *f = open_file("d/f", FILE_DURABLE);

	ck_assert_int_eq(write_all(f, 'a'), OK);
	ck_assert_int_eq(fs->ops->sync_dir(fs, "d", &err), OK);
	disk_crash_at(disk, disk_steps(disk) + 1);
	ck_assert_int_eq(write_all(f, 'b'), E_IO);
	ck_assert(disk_is_down(disk));
	ck_assert_int_eq(write_all(f, 'c'), E_IO);
	ck_assert_int_eq(fs->ops->sync(fs, f, &err), E_IO);
	disk_power_loss(disk);
	ck_assert(!disk_is_down(disk));
	ck_assert_int_eq(blocks("d/f", 'a') + blocks("d/f", 'b'), 4);
	ck_assert_int_eq(blocks("d/f", 'c'), 0);
}
END_TEST

START_TEST(errors_come_as_often_as_asked_for)
{
	struct file *f = open_file("d/f", 0);
	unsigned failed = 0;

	disk_set_errors(disk, 500000);
	for (int i = 0; i < 1000; i++)
		failed += write_all(f, 'a') != OK;
	ck_assert_uint_gt(failed, 300);
	ck_assert_uint_lt(failed, 700);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io/sim/disk");
	TCase *t = tcase_create("disk");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_is_synced_survives);
	tcase_add_test(t, a_durable_file_survives_without_sync);
#ifdef CONFLUX_FAILPOINTS
	tcase_add_test(t, a_sync_that_fails_loses);
	tcase_add_test(t, a_write_that_fails_is_torn);
#endif
	tcase_add_test(t, what_is_not_synced_may_be_lost_or_torn);
	tcase_add_test(t, a_kill_loses_nothing);
	tcase_add_test(t, names_go_in_order);
	tcase_add_test(t, a_crash_tears_the_write_and_stops_everything);
	tcase_add_test(t, errors_come_as_often_as_asked_for);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
