/* Which data directories the others had: known.h. */
#include "unit.h"

#include "base/failpoint.h"
#include "io/sim/disk.h"
#include "node/known.h"

#include "base/banned.h"

static struct disk *disk;
static struct known known;

static struct uuid uuid(char c)
{
	struct uuid u;

	memset(u.b, c, sizeof(u.b));
	return u;
}

static enum code meet(uint64_t id, char c)
{
	struct uuid u = uuid(c);
	struct err err;

	return known_check(&known, id, &u, &err);
}

static void setup(void)
{
	struct identity id = { .node = 1 };
	struct err err;

	disk = disk_new(1);
	ck_assert_int_eq(fs_make_dir(disk_fs(disk), "/node", &err), OK);
	ck_assert_int_eq(known_open(&known, disk_fs(disk), "/node", &id, &err), OK);
}

static void teardown(void)
{
	disk_free(&disk);
}

static void keep(uint64_t index, const uint64_t *ids, size_t n)
{
	known_keep(&known, index, ids, n, false);
}

START_TEST(who_left_is_forgotten)
{
	static const uint64_t all[] = { 1, 2, 3 }, rest[] = { 1, 3 };

	ck_assert_int_eq(meet(2, 'a'), OK);
	ck_assert_int_eq(meet(3, 'b'), OK);
	keep(5, all, 3);
	ck_assert_int_eq(meet(2, 'c'), E_DENIED);
	keep(7, rest, 2);
	ck_assert_int_eq(meet(2, 'c'), OK);
	ck_assert_int_eq(meet(3, 'c'), E_DENIED);
}
END_TEST

#ifdef CONFLUX_FAILPOINTS

/* That it left could not be written: who comes back is asked after, not sent away
 * for good. */
START_TEST(who_may_have_left_is_in_doubt)
{
	static const uint64_t all[] = { 1, 2, 3 }, rest[] = { 1, 3 };
	struct identity id = { .node = 1 };
	struct err err;

	ck_assert_int_eq(meet(2, 'a'), OK);
	ck_assert_int_eq(meet(3, 'b'), OK);
	keep(5, all, 3);
	ck_assert_int_eq(failpoint_set("known.write=error", &err), OK);
	keep(7, rest, 2);
	ck_assert_int_eq(failpoint_set("known.write=off", &err), OK);
	keep(9, all, 3);
	ck_assert_int_eq(known_open(&known, disk_fs(disk), "/node", &id, &err), OK);
	ck_assert_int_eq(meet(2, 'c'), E_DENIED);
	ck_assert(known_is_doubtful(&known, 2));
	ck_assert(!known_is_doubtful(&known, 3));
}
END_TEST

#endif

static Suite *suite(void)
{
	Suite *s = suite_create("node/known");
	TCase *t = tcase_create("known");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, who_left_is_forgotten);
#ifdef CONFLUX_FAILPOINTS
	tcase_add_test(t, who_may_have_left_is_in_doubt);
#endif
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
