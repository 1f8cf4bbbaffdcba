/*
 * Term and vote: two copies that hold the same.  Whatever becomes of one of them, what
 * was answered OK is there; where both are gone or damaged, that is said.
 */
#include "unit.h"

#include "base/failpoint.h"
#include "io/sim/disk.h"
#include "wal/vote.h"

#include "base/banned.h"

#define BYTES 36

static struct disk *disk;
static struct fs *fs;
static struct err err;

static void setup(void)
{
	static uint64_t seed;

	disk = disk_new(++seed);
	fs = disk_fs(disk);
	ck_assert_int_eq(fs->ops->make_dir(fs, "d", &err), OK);
}

static void teardown(void)
{
	disk_free(&disk);
}

static const char *const paths[VOTE_COPIES] = { "d/vote.0", "d/vote.1" };

static void get(unsigned which, char out[BYTES])
{
	AUTO_BUF bytes = BUF_NONE;

	ck_assert_int_eq(fs_get(fs, paths[which], &bytes, &err), OK);
	ck_assert_uint_eq(bytes.n, BYTES);
	memcpy(out, bytes.p, BYTES);
}

static void put(unsigned which, const char in[BYTES])
{
	ck_assert_int_eq(fs_put(fs, "d", paths[which], str_n(in, BYTES), &err),
			 OK);
}

static bool are_alike(void)
{
	char a[BYTES], b[BYTES];

	get(0, a);
	get(1, b);
	return memcmp(a, b, BYTES) == 0;
}

/* Votes in terms 'from' to 'to', for nodes 1 to 3. */
static void vote(struct vote *v, uint64_t from, uint64_t to)
{
	for (uint64_t term = from; term <= to; term++) {
		v->term = term;
		v->voted_for = term % 3 + 1;
		ck_assert_int_eq(vote_write(fs, "d", v, &err), OK);
	}
}

static struct vote read_back(void)
{
	struct vote v;

	ck_assert_msg(vote_read(fs, "d", &v, &err) == OK, "%s", err.text);
	return v;
}

/* As at a start. */
static struct vote settled(void)
{
	struct vote v = read_back();

	ck_assert_int_eq(vote_settle(fs, "d", &v, &err), OK);
	return v;
}

START_TEST(both_hold_what_was_written)
{
	struct vote v = read_back();

	ck_assert_uint_eq(v.generation, 0);
	ck_assert_int_eq(vote_settle(fs, "d", &v, &err), OK);
	for (uint64_t term = 1; term < 6; term++) {
		vote(&v, term, term);
		ck_assert(are_alike());
		disk_power_loss(disk);
		v = read_back();
		ck_assert_uint_eq(v.term, term);
		ck_assert_uint_eq(v.voted_for, term % 3 + 1);
		ck_assert_uint_eq(v.stale | v.damaged, 0);
	}
}
END_TEST

/* Each byte of each copy, and the next vote after it. */
START_TEST(a_damaged_copy_is_made_again_of_the_other)
{
	struct vote v = { 0 };

	vote(&v, 1, 3);
	for (uint64_t i = 0; i < VOTE_COPIES * BYTES; i++) {
		unsigned which = i / BYTES;

		ck_assert(disk_damage(disk, paths[which], i % BYTES));
		v = read_back();
		ck_assert_uint_eq(v.term, 3 + i);
		ck_assert_uint_eq(v.damaged, BIT(which));
		ck_assert_uint_eq(v.stale, BIT(which));
		v = settled();
		ck_assert_uint_eq(v.damaged, 0);
		ck_assert(are_alike());
		vote(&v, 4 + i, 4 + i);
	}
}
END_TEST

START_TEST(a_copy_that_is_gone_is_made_again)
{
	struct vote v = { 0 };

	vote(&v, 1, 4 + _i);
	ck_assert_int_eq(fs->ops->remove(fs, paths[_i], &err), OK);
	ck_assert_uint_eq(settled().term, 4 + (unsigned)_i);
	disk_power_loss(disk);
	ck_assert(are_alike());
}
END_TEST

START_TEST(a_copy_that_is_cut_off_is_made_again)
{
	struct vote v = { 0 };
	char bytes[BYTES];

	vote(&v, 1, 4);
	get(0, bytes);
	for (size_t n = 1; n < BYTES; n++) {
		ck_assert_int_eq(fs_put(fs, "d", paths[n % 2], str_n(bytes, n),
					&err), OK);
		ck_assert_uint_eq(settled().term, 4);
		ck_assert(are_alike());
	}
}
END_TEST

START_TEST(two_damaged_copies_are_refused)
{
	struct vote v = { 0 };

	vote(&v, 1, 4);
	ck_assert(disk_damage(disk, paths[0], 9));
	ck_assert(disk_damage(disk, paths[1], 20));
	ck_assert_int_eq(vote_read(fs, "d", &v, &err), E_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err.text, "vote.0"));
	ck_assert(err.hint[0]);
	ck_assert_uint_eq(v.generation, 0);
}
END_TEST

/* One is damaged, and there is no other. */
START_TEST(the_last_copy_damaged_is_refused)
{
	struct vote v = { 0 };

	vote(&v, 1, 4);
	ck_assert_int_eq(fs->ops->remove(fs, paths[_i], &err), OK);
	ck_assert(disk_damage(disk, paths[!_i], 9));
	ck_assert_int_eq(vote_read(fs, "d", &v, &err), E_CORRUPT);
}
END_TEST

/* Two votes that say they are the same one. */
START_TEST(copies_that_contradict_are_refused)
{
	struct vote v = { 0 };
	char other[BYTES];

	vote(&v, 1, 1);
	get(0, other);
	teardown();
	setup();
	v = (struct vote){ .term = 1, .voted_for = 3 };
	ck_assert_int_eq(vote_write(fs, "d", &v, &err), OK);
	put(1, other);
	ck_assert_int_eq(vote_read(fs, "d", &v, &err), E_CORRUPT);
}
END_TEST

/* As they were written in turn: the newer one counts, and is in both then. */
START_TEST(copies_of_before_are_made_alike)
{
	char older[BYTES];
	struct vote v = { 0 };

	vote(&v, 1, 4);
	get(_i, older);
	vote(&v, 5, 5);
	put(_i, older);
	v = read_back();
	ck_assert_uint_eq(v.term, 5);
	ck_assert_uint_eq(v.stale, BIT(_i));
	ck_assert_uint_eq(v.damaged, 0);
	settled();
	ck_assert(are_alike());
	ck_assert(disk_damage(disk, paths[!_i], 12));
	ck_assert_uint_eq(read_back().term, 5);
}
END_TEST

/* What a start found is in both, durably, before it goes by it. */
START_TEST(what_was_read_is_durable)
{
	struct vote v = { 0 };

	vote(&v, 1, 4);
	disk_set_lies(disk, true);       /* as by a process that was killed */
	vote(&v, 5, 5);
	disk_set_lies(disk, false);
	ck_assert_uint_eq(settled().term, 5);
	for (unsigned i = 0; i < 8; i++) {
		disk_power_loss(disk);
		ck_assert_uint_eq(read_back().term, 5);
	}
}
END_TEST

/* ---- crashes ---- */

/* Votes until the machine goes down at a step; answers what was promised. */
static struct vote until_crash(uint64_t step, bool is_old)
{
	struct vote v = { 0 }, acked = { 0 };
	char older[BYTES];

	vote(&v, 1, 3);
	if (is_old) {
		get(0, older);
		vote(&v, 4, 4);
		put(0, older);
	}
	acked = v;
	disk_crash_at(disk, disk_steps(disk) + step);
	if (vote_read(fs, "d", &v, &err) || vote_settle(fs, "d", &v, &err))
		return acked;
	for (unsigned i = 0; i < 3; i++) {
		v.term++;
		v.voted_for = v.term % 3 + 1;
		if (vote_write(fs, "d", &v, &err))
			break;
		acked = v;
	}
	return acked;
}

/* What was being written is torn within its block, too, or it was not; then the
 * other one is damaged, which was whole.  Nothing older than what was promised is
 * ever read: at the worst it is refused. */
static void check_crash(uint64_t step, bool is_old, int torn, int rotten,
			unsigned *refused)
{
	struct vote acked, v;

	setup();
	acked = until_crash(step, is_old);
	disk_power_loss(disk);
	if (torn >= 0)
		disk_damage(disk, paths[torn], 30);
	if (rotten >= 0 && rotten != torn)
		disk_damage(disk, paths[rotten], 17);
	if (vote_read(fs, "d", &v, &err)) {
		ck_assert_int_eq(err.code, E_CORRUPT);
		ck_assert(torn >= 0 && rotten >= 0 && torn != rotten);
		++*refused;
	} else {
		ck_assert_msg(v.term >= acked.term && v.term <= acked.term + 1,
			      "term %llu comes after %llu",
			      (unsigned long long)v.term,
			      (unsigned long long)acked.term);
		ck_assert_uint_eq(v.voted_for, v.term % 3 + 1);
		ck_assert_int_eq(vote_settle(fs, "d", &v, &err), OK);
		ck_assert(are_alike());
	}
	teardown();
}

START_TEST(no_crash_and_no_damage_forget_a_vote)
{
	unsigned refused = 0;

	teardown();
	/* A folder of before says less: there a copy that is damaged counts as one
	 * that was being written. */
	for (uint64_t step = 1; step < 20; step++)
		for (unsigned i = 0; i < 9; i++)
			check_crash(step, false, (int)(i / 3) - 1,
				    (int)(i % 3) - 1, &refused);
	ck_assert_uint_gt(refused, 0);
	for (uint64_t step = 1; step < 20; step++)
		for (unsigned again = 0; again < 10; again++)
			check_crash(step, true, -1, -1, &refused);
	setup();
}
END_TEST

#ifdef CONFLUX_FAILPOINTS

/* The copy that holds it is not touched while the other does not: first that one is
 * made, and here it ends between the two. */
START_TEST(the_whole_copy_is_written_last)
{
	struct vote v = { 0 };

	vote(&v, 1, 4);
	ck_assert(disk_damage(disk, paths[_i], 12));
	v = read_back();
	ck_assert_int_eq(failpoint_set("vote.half=error", &err), OK);
	ck_assert_int_eq(vote_settle(fs, "d", &v, &err), E_IO);
	ck_assert(are_alike());
	/* It is not said to be well. */
	ck_assert_uint_eq(v.stale, BIT(_i));
}
END_TEST

/* A vote that failed halfway may be read, and that is all. */
START_TEST(half_a_vote_is_the_new_one_or_none)
{
	struct vote v = { 0 };

	vote(&v, 1, 4);
	ck_assert_int_eq(failpoint_set("vote.half=error", &err), OK);
	v.term = 5;
	v.voted_for = 5 % 3 + 1;
	ck_assert_int_eq(vote_write(fs, "d", &v, &err), E_IO);
	ck_assert_uint_eq(v.generation, 4);
	ck_assert_int_eq(failpoint_set("vote.half=off", &err), OK);
	if (_i < 2)
		ck_assert(disk_damage(disk, paths[_i], 3));
	ck_assert_uint_eq(settled().term, _i == 0 ? 4 : 5);
	ck_assert(are_alike());
}
END_TEST

/* The mistake that this is for: written in turn, the newer one damaged. */
START_TEST(one_copy_alone_would_forget)
{
	struct vote v = { 0 };

	ck_assert_int_eq(failpoint_set("vote.alone=error", &err), OK);
	vote(&v, 1, 5);
	ck_assert(disk_damage(disk, paths[v.generation % 2], 12));
	ck_assert_uint_eq(read_back().term, 4);
}
END_TEST

#endif

static Suite *suite(void)
{
	Suite *s = suite_create("wal/vote");
	TCase *t = tcase_create("vote");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, both_hold_what_was_written);
	tcase_add_test(t, a_damaged_copy_is_made_again_of_the_other);
	tcase_add_loop_test(t, a_copy_that_is_gone_is_made_again, 0, 2);
	tcase_add_test(t, a_copy_that_is_cut_off_is_made_again);
	tcase_add_test(t, two_damaged_copies_are_refused);
	tcase_add_loop_test(t, the_last_copy_damaged_is_refused, 0, 2);
	tcase_add_test(t, copies_that_contradict_are_refused);
	tcase_add_loop_test(t, copies_of_before_are_made_alike, 0, 2);
	tcase_add_test(t, what_was_read_is_durable);
	tcase_add_test(t, no_crash_and_no_damage_forget_a_vote);
#ifdef CONFLUX_FAILPOINTS
	tcase_add_loop_test(t, the_whole_copy_is_written_last, 0, 2);
	tcase_add_loop_test(t, half_a_vote_is_the_new_one_or_none, 0, 3);
	tcase_add_test(t, one_copy_alone_would_forget);
#endif
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
