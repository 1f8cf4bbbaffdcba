/*
 * What fails beside the log, and how it is told: appends go on, who asks hears what,
 * where and what helps until it goes well; only a folder that could not be synced ends
 * it, by its reason.  And that a disk is given all in pieces.
 */
#include <stdio.h>

#include "unit.h"

#include "io/sim/disk.h"
#include "wal/wal.h"

#include "base/banned.h"

#define BYTES 3000
#define PIECE (256u * 1024)
#define SHRINK (4u << 20)

static struct disk *disk;
static const struct fs_ops *inner;
static struct fs_ops ops;                /* of the disk, but for what a test says */
static struct wal_config config;
static struct err err;
static unsigned seen;                    /* of wal_trouble */

/* What the next calls of a kind answer, and how many of them. */
static struct {
	unsigned n;
	enum code code;
} renames, folders, writes, shrinks;

static enum code answer(unsigned *n, enum code code, const char *what,
			const char *path, struct err *e)
{
	if (*n == 0)
		return OK;
	--*n;
	return err_set(e, code, "%s %s: planted", what, path);
}

static enum code rename_fails(struct fs *fs, const char *from, const char *to,
			      struct err *e)
{
	enum code rc = answer(&renames.n, renames.code, "rename", from, e);

	return rc ? rc : inner->rename(fs, from, to, e);
}

static unsigned folders_well;            /* first */

static enum code folder_fails(struct fs *fs, const char *path, struct err *e)
{
	enum code rc;

	if (folders_well) {
		folders_well--;
		return inner->sync_dir(fs, path, e);
	}
	rc = answer(&folders.n, folders.code, "sync folder", path, e);
	return rc ? rc : inner->sync_dir(fs, path, e);
}

static enum code write_fails(struct fs *fs, struct file *file, uint64_t at,
			     const void *p, size_t n, struct err *e)
{
	enum code rc = answer(&writes.n, writes.code, "write", "a file", e);

	return rc ? rc : inner->write(fs, file, at, p, n, e);
}

static enum code shrink_fails(struct fs *fs, struct file *file, uint64_t n,
			      struct err *e)
{
	enum code rc = answer(&shrinks.n, shrinks.code, "shorten", "a file", e);

	return rc ? rc : inner->shrink(fs, file, n, e);
}

static void setup(void)
{
	disk = disk_new(1);
	inner = disk_fs(disk)->ops;
	ops = *inner;
	ops.rename = rename_fails;
	ops.sync_dir = folder_fails;
	ops.write = write_fails;
	ops.shrink = shrink_fails;
	disk_fs(disk)->ops = &ops;
	config = (struct wal_config){ .fs = disk_fs(disk), .dir = "wal", .node = 1,
				      .segment_bytes = 8 * 4096,
				      .spares_max = 4,
				      .tending = WAL_TEND_CALLER };
	renames.n = folders.n = writes.n = shrinks.n = 0;
	folders_well = seen = 0;
}

static void teardown(void)
{
	disk_free(&disk);
}

struct range {
	uint64_t first, last;
};

static enum code note(void *data, const struct wal_entry *e, struct err *unused)
{
	struct range *r = data;

	if (r->last)
		ck_assert_uint_eq(e->index, r->last + 1);
	else
		r->first = e->index;
	r->last = e->index;
	return OK;
}

static struct wal *open_log(struct range *r)
{
	struct wal *wal;
	enum code rc;

	*r = (struct range){ 0 };
	rc = wal_open(&config, note, r, &wal, &err);
	ck_assert_msg(rc == OK, "%s", err.text);
	return wal;
}

static enum code append(struct wal *wal, uint64_t index)
{
	static char bytes[BYTES];
	struct wal_entry e = { index, 7, 1, str_n(bytes, BYTES) };

	return wal_append(wal, &e, 1, &err);
}

/* Seven of them fill a segment. */
static void append_all(struct wal *wal, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i <= to; i++)
		ck_assert_msg(append(wal, i) == OK, "%s", err.text);
}

static void tend(struct wal *wal)
{
	for (bool did = true; did;)
		ck_assert_msg(wal_tend(wal, &did, &err) == OK, "%s", err.text);
}

static unsigned count(const char *end)
{
	AUTO_BUF names = BUF_NONE;
	struct str rest;
	unsigned n = 0;

	ck_assert_int_eq(inner->list(config.fs, config.dir, &names, &err), OK);
	for (rest = buf_view(&names); rest.n;)
		n += str_ends(str_cut(&rest, '\0'), str_of(end));
	return n;
}

/* ---- what is told ---- */

static void fails_with(struct wal *wal, enum code code, const char *what,
		       const char *where)
{
	ck_assert(wal_trouble(wal, &seen, &err));
	ck_assert_int_eq(err.code, code);
	ck_assert_msg(strstr(err.text, what) && strstr(err.text, where), "%s",
		      err.text);
	ck_assert_uint_gt(strlen(err.hint), 0);
	ck_assert(!wal_trouble(wal, &seen, &err));
}

static void is_well(struct wal *wal)
{
	ck_assert(wal_trouble(wal, &seen, &err));
	ck_assert_msg(err.code == OK, "%s", err.text);
	ck_assert(!wal_trouble(wal, &seen, &err));
}

/* A log of 40 entries, of which 30 were given up and are there. */
static struct wal *with_gone(struct range *r)
{
	struct wal *wal = open_log(r);

	append_all(wal, 1, 40);
	ck_assert(!wal_trouble(wal, &seen, &err));
	ck_assert_int_eq(wal_cut(wal, 30, &err), OK);
	return wal;
}

START_TEST(what_fails_is_told_until_it_goes_well)
{
	struct range r;
	struct wal *wal = with_gone(&r);
	bool did;

	renames.n = 2;
	renames.code = E_IO;
	ck_assert_int_eq(wal_tend(wal, &did, &err), E_IO);
	append_all(wal, 41, 41);
	fails_with(wal, E_IO, "not given up", ".seg");
	/* It is the same still. */
	ck_assert_int_eq(wal_tend(wal, &did, &err), E_IO);
	append_all(wal, 42, 42);
	ck_assert(!wal_trouble(wal, &seen, &err));
	ck_assert_int_eq(wal_cut(wal, 30, &err), E_IO);
	ck_assert_msg(strstr(err.text, ".seg"), "%s", err.text);
	tend(wal);
	is_well(wal);
	ck_assert_uint_eq(count(".seg"), 2);
	/* Of what went well since no cut fails. */
	ck_assert_int_eq(wal_cut(wal, 30, &err), OK);
	append_all(wal, 43, 60);
	wal_close(&wal);
	disk_power_loss(disk);
	wal = open_log(&r);
	ck_assert_uint_eq(r.last, 60);
	wal_close(&wal);
}
END_TEST

/* As where a caller asks seldom: it is told how it is, and no more. */
START_TEST(a_cut_does_not_fail_by_what_went_well_since)
{
	struct range r;
	struct wal *wal = with_gone(&r);
	bool did;

	renames.n = 1;
	renames.code = E_DENIED;
	ck_assert_int_eq(wal_tend(wal, &did, &err), E_DENIED);
	tend(wal);
	is_well(wal);
	ck_assert_int_eq(wal_cut(wal, 35, &err), OK);
	wal_close(&wal);
}
END_TEST

START_TEST(what_is_not_made_ready_is_told)
{
	struct range r;
	struct wal *wal = open_log(&r);
	bool did;

	writes.n = 1;
	writes.code = E_IO;
	ck_assert_int_eq(wal_tend(wal, &did, &err), E_IO);
	fails_with(wal, E_IO, "no file was made ready", "write");
	/* That waits for the next segment; who appends makes its own. */
	tend(wal);
	ck_assert(!wal_trouble(wal, &seen, &err));
	append_all(wal, 1, 10);
	tend(wal);
	is_well(wal);
	ck_assert_uint_eq(count(".spare"), WAL_AHEAD);
	wal_close(&wal);
}
END_TEST

START_TEST(what_is_not_given_back_is_told)
{
	struct range r;
	struct wal *wal;
	bool did = true;

	config.spares_max = 1;
	wal = with_gone(&r);
	shrinks.n = 1;
	shrinks.code = E_IO;
	while (shrinks.n)
		(void)!wal_tend(wal, &did, &err);
	append_all(wal, 41, 41);
	fails_with(wal, E_IO, "not given back", "shorten");
	tend(wal);
	is_well(wal);
	ck_assert_uint_eq(count(".spare"), 1);
	wal_close(&wal);
}
END_TEST

/* It may all be there again under its name, so nothing goes on. */
START_TEST(a_folder_that_is_not_synced_ends_the_log_by_its_reason)
{
	struct range r;
	struct wal *wal = with_gone(&r);
	bool did;

	folders.n = 1;
	folders.code = _i ? E_FULL : E_IO;
	ck_assert_int_eq(wal_tend(wal, &did, &err), E_IO);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(append(wal, 41), E_IO);
		ck_assert_int_eq(err.code, E_IO);
		ck_assert_msg(strstr(err.text, "sync folder wal: planted"), "%s",
			      err.text);
		ck_assert_uint_gt(strlen(err.hint), 0);
	}
	ck_assert_int_eq(wal_tend(wal, &did, &err), OK);
	ck_assert(!did);
	ck_assert_int_eq(wal_cut(wal, 30, &err), E_IO);
	ck_assert_msg(strstr(err.text, "sync folder"), "%s", err.text);
	ck_assert_int_eq(wal_restart(wal, &err), E_IO);
	ck_assert_msg(strstr(err.text, "sync folder"), "%s", err.text);
	wal_close(&wal);
	disk_power_loss(disk);
	wal = open_log(&r);
	ck_assert_uint_eq(r.last, 40);
	wal_close(&wal);
}
END_TEST

/* As well of a write of its own. */
START_TEST(a_log_that_failed_says_why)
{
	struct range r;
	struct wal *wal = open_log(&r);

	append_all(wal, 1, 3);
	writes.n = 1;
	writes.code = E_IO;
	ck_assert_int_eq(append(wal, 4), E_IO);
	ck_assert_int_eq(append(wal, 4), E_IO);
	ck_assert_msg(strstr(err.text, "failed before") &&
		      strstr(err.text, "write a file: planted"), "%s", err.text);
	ck_assert_uint_gt(strlen(err.hint), 0);
	wal_close(&wal);
}
END_TEST

/* ---- without descriptors ---- */

/* Others have them all for a while: what lost its name is kept apart until its folder
 * is synced, and the next one keeps its own until then. */
START_TEST(a_folder_that_cannot_be_opened_is_synced_later)
{
	struct range r;
	struct wal *wal = with_gone(&r);
	unsigned segments = count(".seg");
	uint64_t index = 41;
	bool did;

	folders.n = 2;                   /* what is appended meanwhile needs no segment */
	folders.code = E_BUSY;
	while (folders.n) {
		ck_assert_int_eq(wal_tend(wal, &did, &err), E_BUSY);
		append_all(wal, index, index);
		index++;
		ck_assert_uint_eq(count(".seg"), segments - 1);
		ck_assert_uint_eq(count(".spare"), 1);
	}
	fails_with(wal, E_BUSY, "not given up", "sync folder");
	if (_i == 2) {
		tend(wal);
		is_well(wal);
	}
	append_all(wal, index, index + 20);
	wal_close(&wal);
	if (_i == 1)
		disk_kill(disk);
	else
		disk_power_loss(disk);
	wal = open_log(&r);
	ck_assert_uint_eq(r.last, index + 20);
	ck_assert_uint_le(r.first, 31);
	tend(wal);
	wal_close(&wal);
}
END_TEST

/* Where that is waited for, it says that it may be asked again. */
START_TEST(a_restart_without_descriptors_is_tried_again)
{
	struct range r;
	struct wal *wal = with_gone(&r);
	struct wal_stats stats;
	uint64_t steps;

	/* Of the new segment's name, which is taken back; then of the oldest that is
	 * given up. */
	folders.code = E_BUSY;
	for (unsigned i = 0; i < 3; i++) {
		folders_well = i > 0;
		folders.n = 1;
		ck_assert_int_eq(wal_restart(wal, &err), E_FULL);
		ck_assert_int_eq(err.code, E_FULL);
		ck_assert_uint_eq(folders.n, 0);
	}
	ck_assert_msg(wal_restart(wal, &err) == OK, "%s", err.text);
	ck_assert_uint_eq(count(".seg"), 1);
	wal_stats_get(wal, &stats);
	ck_assert_uint_eq(stats.last_index, 0);
	/* Another one needs no segment more. */
	steps = disk_steps(disk);
	ck_assert_int_eq(wal_restart(wal, &err), OK);
	ck_assert_uint_eq(disk_steps(disk), steps);
	append_all(wal, 1000, 1003);
	wal_close(&wal);
	disk_power_loss(disk);
	wal = open_log(&r);
	ck_assert_uint_eq(r.first, 1000);
	ck_assert_uint_eq(r.last, 1003);
	wal_close(&wal);
}
END_TEST

/* ---- in pieces ---- */

static uint64_t unsynced, most, taken;

static enum code write_counts(struct fs *fs, struct file *file, uint64_t at,
			      const void *p, size_t n, struct err *e)
{
	unsynced += n;
	most = MAX(most, unsynced);
	return inner->write(fs, file, at, p, n, e);
}

static enum code shrink_counts(struct fs *fs, struct file *file, uint64_t n,
			       struct err *e)
{
	uint64_t size;

	ck_assert_int_eq(inner->size(fs, file, &size, e), OK);
	unsynced += size - n;
	taken += size - n;
	most = MAX(most, unsynced);
	return inner->shrink(fs, file, n, e);
}

static enum code sync_counts(struct fs *fs, struct file *file, struct err *e)
{
	unsynced = 0;
	return inner->sync(fs, file, e);
}

/* A disk that has to write, or to give up, much at once holds up the log's own write. */
START_TEST(a_disk_is_given_pieces)
{
	struct range r;
	struct wal *wal;

	config.segment_bytes = 3 * SHRINK;
	wal = open_log(&r);
	ops.write = write_counts;
	ops.shrink = shrink_counts;
	ops.sync = sync_counts;
	unsynced = most = taken = 0;
	tend(wal);
	ck_assert_uint_eq(count(".spare"), WAL_AHEAD);
	ck_assert_uint_eq(most, PIECE);
	/* Nothing is left to the header's sync, which an append waits for. */
	ck_assert_uint_eq(unsynced, 0);
	wal_close(&wal);
	config.spares_max = 0;
	wal = open_log(&r);
	unsynced = most = taken = 0;
	tend(wal);
	ck_assert_uint_eq(count(".spare"), 0);
	ck_assert_uint_eq(taken, WAL_AHEAD * config.segment_bytes);
	ck_assert_uint_eq(most, SHRINK);
	ck_assert_uint_eq(unsynced, 0);
	wal_close(&wal);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wal/beside");
	TCase *t = tcase_create("beside");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_fails_is_told_until_it_goes_well);
	tcase_add_test(t, a_cut_does_not_fail_by_what_went_well_since);
	tcase_add_test(t, what_is_not_made_ready_is_told);
	tcase_add_test(t, what_is_not_given_back_is_told);
	tcase_add_loop_test(t, a_folder_that_is_not_synced_ends_the_log_by_its_reason,
			    0, 2);
	tcase_add_test(t, a_log_that_failed_says_why);
	tcase_add_loop_test(t, a_folder_that_cannot_be_opened_is_synced_later, 0, 3);
	tcase_add_test(t, a_restart_without_descriptors_is_tried_again);
	tcase_add_test(t, a_disk_is_given_pieces);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
