/*
 * The log for people: all that is whole is told, damage is named where recovery names
 * it and passed over, and a log that is being written holds none.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#include "base/mem.h"
#include "seal/keyring.h"
#include "wal/inspect.h"
#include "wal/own.h"

#include "base/banned.h"

#define KEYS "one 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER_KEYS "two ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

static char dir[64];
static struct wal_config config;
static struct keyring *keys;
static struct err err;

/* What one inspection told. */
static struct {
	struct wal_inspected sum;
	unsigned char seen[4096];        /* how often an entry was told */
	uint64_t last, replaced;
	unsigned torn;
	uint64_t torn_at;
	struct err damage[16];
	struct err closed;
	uint64_t record_at[64];          /* offsets, in order */
	unsigned record_blocks[64];
	size_t n_records;
} told;

static void use(const char *text)
{
	keyring_free(&keys);
	config.seal = NULL;
	if (!text)
		return;
	ck_assert_int_eq(keyring_parse(str_of(text), "keys", &keys, NULL), OK);
	config.seal = keyring_provider(keys);
}

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/conflux-wal-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	config = (struct wal_config){ .fs = fs_real(), .dir = dir, .node = 1,
				      .segment_bytes = 16 * 4096,
				      .spares_max = 1 };
	memset(config.cluster.b, 7, 16);
}

static void each_file(void (*what)(const char *path))
{
	AUTO_BUF names = BUF_NONE;
	struct str rest;

	ck_assert_int_eq(fs_real()->ops->list(fs_real(), dir, &names, NULL), OK);
	for (rest = buf_view(&names); rest.n;) {
		AUTO_BUF path = BUF_NONE;
		struct str name = str_cut(&rest, '\0');

		buf_printf(&path, "%s/%.*s", dir, STR_ARG(name));
		what(path.p);
	}
}

static void remove_file(const char *path)
{
	unlink(path);
}

static void teardown(void)
{
	each_file(remove_file);
	rmdir(dir);
	use(NULL);
}

/* ---- inspecting ---- */

static enum code on_segment(void *data, const struct wal_seen_segment *s,
			    struct err *unused)
{
	if (s->closed)
		err_copy(&told.closed, s->closed);
	return OK;
}

static enum code on_record(void *data, const struct wal_seen_record *r,
			   struct err *unused)
{
	ck_assert_uint_eq(r->offset % 4096, 0);
	ck_assert_uint_le(r->bytes, (uint64_t)r->blocks * 4096);
	if (r->replaces)
		told.replaced = r->first_index;
	if (told.n_records < ARRAY_LEN(told.record_at)) {
		told.record_at[told.n_records] = r->offset;
		told.record_blocks[told.n_records++] = r->blocks;
	}
	return OK;
}

static enum code on_entry(void *data, const struct wal_entry *e,
			  struct err *unused)
{
	char want[40];

	snprintf(want, sizeof(want), "entry %llu", (unsigned long long)e->index);
	ck_assert(str_starts(e->data, str_of(want)));
	ck_assert_uint_eq(e->term, 3);
	if (e->index < ARRAY_LEN(told.seen))
		told.seen[e->index]++;
	told.last = e->index;
	return OK;
}

static enum code on_torn(void *data, const char *path, uint64_t offset,
			 struct err *unused)
{
	told.torn++;
	told.torn_at = offset;
	return OK;
}

static enum code on_damage(void *data, const struct err *why, struct err *unused)
{
	static unsigned n;

	n = (unsigned)told.sum.damaged - 1;
	ck_assert_int_ne(why->code, OK);
	if (n < ARRAY_LEN(told.damage))
		err_copy(&told.damage[n], why);
	return OK;
}

static void inspect(void)
{
	struct wal_inspect_config c = { .fs = config.fs, .dir = dir,
					.cluster = &config.cluster,
					.node = config.node,
					.seal = config.seal };
	struct wal_visitor v = { on_segment, on_record, on_entry, on_torn,
				 on_damage, NULL };

	memset(&told, 0, sizeof(told));
	ck_assert_msg(wal_inspect(&c, &v, &told.sum, &err) == OK, "%s", err.text);
}

/* ---- the log ---- */

static enum code ignore(void *data, const struct wal_entry *e, struct err *unused)
{
	return OK;
}

static struct wal *open_log(void)
{
	struct wal *wal;

	ck_assert_msg(wal_open(&config, ignore, NULL, &wal, &err) == OK, "%s",
		      err.text);
	return wal;
}

/* 'n' entries in one record; each tenth is 5,000 bytes. */
static void append(struct wal *wal, uint64_t index, size_t n)
{
	static char text[8][5000];
	struct wal_entry e[8];

	ck_assert_uint_le(n, ARRAY_LEN(e));
	for (size_t i = 0; i < n; i++) {
		int len;

		memset(text[i], 'x', sizeof(text[i]));
		len = snprintf(text[i], sizeof(text[i]), "entry %llu",
			       (unsigned long long)(index + i));
		e[i] = (struct wal_entry){ index + i, 3, 1,
					   str_n(text[i], (index + i) % 10 ?
						 (size_t)len : sizeof(text[i])) };
	}
	ck_assert_msg(wal_append(wal, e, n, &err) == OK, "%s", err.text);
}

/* Records of two entries, over several segments. */
static void make_log(uint64_t to)
{
	struct wal *wal = open_log();

	for (uint64_t i = 1; i <= to; i += 2)
		append(wal, i, 2);
	wal_close(&wal);
}

static void path_of(uint64_t id, char out[128])
{
	snprintf(out, 128, "%s/%016llx.seg", dir, (unsigned long long)id);
}

static void xor_byte(uint64_t id, uint64_t at, unsigned char with)
{
	char path[128];
	unsigned char c;
	int fd;

	path_of(id, path);
	fd = open(path, O_RDWR);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &c, 1, (off_t)at), 1);
	c ^= with;
	ck_assert_int_eq(pwrite(fd, &c, 1, (off_t)at), 1);
	close(fd);
}

static void zero_block(uint64_t id, uint64_t at)
{
	static const char zeros[4096];
	char path[128];
	int fd;

	path_of(id, path);
	fd = open(path, O_RDWR);
	ck_assert_int_eq(pwrite(fd, zeros, sizeof(zeros), (off_t)at),
			 sizeof(zeros));
	close(fd);
}

/* The code that a start answers, and its words in 'err'. */
static enum code start(void)
{
	struct wal_config c = config;
	struct wal *wal;
	enum code rc;

	c.reads_only = true;
	rc = wal_open(&c, ignore, NULL, &wal, &err);
	if (rc == OK)
		wal_close(&wal);
	return rc;
}

static void told_once(uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i <= to; i++)
		ck_assert_msg(told.seen[i] == 1, "entry %llu was told %u times",
			      (unsigned long long)i, told.seen[i]);
}

/* ---- what is whole ---- */

START_TEST(all_of_a_whole_log_is_told)
{
	use(_i ? KEYS : NULL);
	make_log(60);
	inspect();
	told_once(1, 60);
	ck_assert_uint_eq(told.sum.entries, 60);
	ck_assert_uint_eq(told.sum.records, 30);
	ck_assert_uint_gt(told.sum.segments, 2);
	ck_assert_uint_eq(told.sum.damaged + told.sum.torn, 0);
	ck_assert_uint_eq(told.sum.first_index, 1);
	ck_assert_uint_eq(told.sum.last_index, 60);
	ck_assert_uint_eq(told.replaced, 0);
}
END_TEST

START_TEST(what_replaces_others_says_so)
{
	struct wal *wal = open_log();

	append(wal, 1, 8);
	append(wal, 5, 2);
	append(wal, 7, 1);
	wal_close(&wal);
	inspect();
	ck_assert_uint_eq(told.replaced, 5);
	ck_assert_uint_eq(told.seen[4], 1);
	ck_assert_uint_eq(told.seen[5], 2);
	ck_assert_uint_eq(told.sum.last_index, 7);
	ck_assert_uint_eq(told.sum.damaged, 0);
}
END_TEST

START_TEST(nothing_and_no_folder)
{
	struct wal_inspect_config c = { .fs = fs_real(), .dir = "/nowhere/wal" };
	struct wal_visitor v = { 0 };
	struct wal_inspected sum;

	inspect();
	ck_assert_uint_eq(told.sum.segments, 0);
	ck_assert_int_eq(wal_inspect(&c, &v, &sum, &err), E_NOT_FOUND);
}
END_TEST

static enum code stop(void *data, const struct wal_entry *e, struct err *to)
{
	return e->index == 4 ? err_set(to, E_CONFLICT, "enough") : OK;
}

START_TEST(the_visitor_may_end_it)
{
	struct wal_inspect_config c = { .fs = fs_real(), .dir = dir };
	struct wal_visitor v = { .entry = stop };
	struct wal_inspected sum;

	make_log(20);
	ck_assert_int_eq(wal_inspect(&c, &v, &sum, &err), E_CONFLICT);
	ck_assert_str_eq(err.text, "enough");
	ck_assert_uint_eq(sum.entries, 4);
}
END_TEST

/* ---- damage ---- */

/* One byte anywhere in a record: that one is lost, the others are told, and the
 * place is the one that a start names. */
static void flip_in_record(size_t record, uint64_t byte)
{
	uint64_t at = told.record_at[record] + byte, first = 2 * record + 1;

	xor_byte(1, at, 0x10);
	ck_assert_int_eq(start(), E_CORRUPT);
	inspect();
	ck_assert_msg(told.sum.damaged == 1, "%llu damages for a byte at %llu: %s",
		      (unsigned long long)told.sum.damaged,
		      (unsigned long long)at, told.damage[1].text);
	ck_assert_msg(str_starts(str_of(told.damage[0].text), str_of(err.text)),
		      "'%s' is not '%s'", told.damage[0].text, err.text);
	ck_assert_uint_eq(told.seen[first] + told.seen[first + 1], 0);
	told_once(1, first - 1);
	told_once(first + 2, 40);
	xor_byte(1, at, 0x10);
	inspect();
	ck_assert_uint_eq(told.sum.damaged, 0);
}

START_TEST(a_flipped_byte_costs_one_record)
{
	static const uint64_t bytes[] = { 0, 3, 8, 17, 23, 27, 28, 31, 32, 40, 52,
					  60, 64, 100, 2000, 4095 };
	size_t n;

	use(_i ? KEYS : NULL);
	make_log(40);
	inspect();
	n = 5;                           /* with the one of two blocks */
	for (size_t r = 0; r < n; r++)
		for (uint64_t b = 0; b < told.record_blocks[r]; b++)
			for (size_t i = 0; i < ARRAY_LEN(bytes); i++)
				flip_in_record(r, b * 4096 + bytes[i]);
}
END_TEST

START_TEST(a_record_that_is_wiped_is_a_gap)
{
	make_log(20);
	inspect();
	zero_block(1, told.record_at[1]);
	ck_assert_int_eq(start(), E_CORRUPT);
	inspect();
	ck_assert_uint_eq(told.sum.damaged, 1);
	ck_assert_ptr_nonnull(strstr(told.damage[0].text, "behind a gap; the next "
							  "record is at "));
	ck_assert_uint_eq(told.seen[3] + told.seen[4], 0);
	told_once(5, 20);
}
END_TEST

START_TEST(a_torn_end_is_no_damage)
{
	uint64_t at;
	size_t last;

	make_log(8);
	{
		struct wal *wal = open_log();

		append(wal, 9, 2);       /* of two blocks */
		wal_close(&wal);
	}
	inspect();
	last = told.n_records - 1;
	ck_assert_uint_eq(told.record_blocks[last], 2);
	at = told.record_at[last];
	zero_block(2, at + (_i ? 0 : 4096));
	ck_assert_int_eq(start(), OK);
	inspect();
	ck_assert_uint_eq(told.sum.damaged, 0);
	ck_assert_uint_eq(told.torn, 1);
	ck_assert_uint_eq(told.torn_at, _i ? at + 4096 : at);
	told_once(1, 8);
	ck_assert_uint_eq(told.seen[9], 0);
	/* The next start begins a segment with its sequence. */
	{
		struct wal *wal = open_log();

		append(wal, 9, 1);
		wal_close(&wal);
	}
	inspect();
	ck_assert_uint_eq(told.sum.damaged, 0);
	ck_assert_uint_eq(told.torn, 1);
	told_once(1, 9);
}
END_TEST

/* Its records are found by their stamps. */
START_TEST(a_damaged_header_hides_no_record)
{
	make_log(60);
	xor_byte(2, 21, 1);
	ck_assert_int_eq(start(), E_CORRUPT);
	inspect();
	ck_assert_uint_eq(told.sum.damaged, 1);
	ck_assert_str_eq(told.damage[0].text, err.text);
	told_once(1, 60);
}
END_TEST

START_TEST(a_missing_segment_is_named)
{
	char path[128];

	make_log(60);
	path_of(2, path);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(start(), E_CORRUPT);
	inspect();
	ck_assert_uint_eq(told.sum.damaged, 1);
	ck_assert_str_eq(told.damage[0].text, err.text);
	ck_assert_uint_eq(told.seen[1], 1);
	told_once(59, 60);
}
END_TEST

START_TEST(a_segment_that_is_cut_off_is_refused)
{
	char path[128];

	make_log(6);
	path_of(1, path);
	/* Behind a whole record: no stamp tells. */
	ck_assert_int_eq(truncate(path, 3 * 4096), 0);
	ck_assert_int_eq(start(), E_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err.text, "damaged at 12288: the segment is "
					       "cut off"));
	inspect();
	ck_assert_uint_eq(told.sum.damaged, 1);
	ck_assert_str_eq(told.damage[0].text, err.text);
	told_once(1, 4);
	ck_assert_int_eq(truncate(path, 100), 0);
	inspect();
	ck_assert_uint_eq(told.sum.damaged, 1);
	ck_assert_int_eq(truncate(path, 5ll << 30), 0);
	ck_assert_int_eq(start(), E_CORRUPT);
	inspect();
	ck_assert_ptr_nonnull(strstr(told.damage[0].text, "larger than a segment"));
}
END_TEST

START_TEST(a_foreign_log_is_said_to_be_one)
{
	make_log(10);
	config.node = 2;
	ck_assert_int_eq(start(), E_DENIED);
	inspect();
	ck_assert_uint_eq(told.sum.damaged, told.sum.segments);
	ck_assert_str_eq(told.damage[0].text, err.text);
	told_once(1, 10);
}
END_TEST

/* ---- sealed ---- */

START_TEST(without_the_key_records_are_told_and_no_entry)
{
	use(KEYS);
	make_log(40);
	use(_i ? OTHER_KEYS : NULL);
	inspect();
	ck_assert_uint_eq(told.sum.damaged, 0);
	ck_assert_uint_eq(told.sum.closed_segments, told.sum.segments);
	ck_assert_int_eq(told.closed.code, E_DENIED);
	ck_assert_ptr_nonnull(strstr(told.closed.text, "one"));
	ck_assert_uint_eq(told.sum.records, 20);
	ck_assert_uint_eq(told.sum.entries, 0);
	ck_assert_uint_eq(told.sum.last_index, 40);
	/* Damage is found all the same. */
	xor_byte(1, told.record_at[2] + 100, 1);
	inspect();
	ck_assert_uint_eq(told.sum.damaged, 1);
	ck_assert_uint_eq(told.sum.records, 19);
}
END_TEST

/* ---- while it is written ---- */

/* Appends, replaces its end and cuts its beginning until it is killed. */
static _Noreturn void write_on(struct wal *wal, int ready)
{
	uint64_t i = 1;

	for (unsigned round = 0;; round++) {
		append(wal, i, 1 + round % 4);
		i += 1 + round % 4;
		if (round == 200 && write(ready, "", 1) != 1)
			_exit(1);
		if (round % 50 == 49 && wal_cut(wal, i - 60, &err))
			_exit(1);
		if (round % 7 == 6)
			i -= 2;
	}
}

START_TEST(a_log_that_is_written_has_no_damage)
{
	int ready[2], status;
	char byte;
	uint64_t last = 0;
	pid_t pid;

	use(_i ? KEYS : NULL);
	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0)
		write_on(open_log(), ready[1]);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	for (unsigned n = 0; n < 300; n++) {
		inspect();
		ck_assert_msg(told.sum.damaged == 0, "%s", told.damage[0].text);
		ck_assert_uint_eq(told.sum.closed_segments, 0);
		last = MAX(last, told.sum.last_index);
	}
	ck_assert_uint_gt(last, 200);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	close(ready[0]);
	close(ready[1]);
}
END_TEST

/* A disk on which the node goes on between two steps of who looks. */
static struct fs_ops fake_ops;
static struct fs fake = { &fake_ops };
static unsigned reads;

static enum code half_read(struct fs *fs, struct file *file, uint64_t at, void *p,
			   size_t n, size_t *got, struct err *e)
{
	enum code rc = fs_real()->ops->read(fs_real(), file, at, p, n, got, e);

	/* The third block was on its way; by the second time it is there. */
	if (reads++ == 0 && *got > 3 * 4096)
		memset((char *)p + 2 * 4096 + 40, 0, 1000);
	return rc;
}

static enum code read_then_recycle(struct fs *fs, struct file *file, uint64_t at,
				   void *p, size_t n, size_t *got, struct err *e)
{
	char path[128], spare[128];

	/* The first segment was given up after it was opened, and its blocks
	 * are another's. */
	if (reads++ == 0) {
		path_of(1, path);
		snprintf(spare, sizeof(spare), "%s/%016x.spare", dir, 1u);
		xor_byte(1, 20, 8);
		xor_byte(1, 4096, 8);
		ck_assert_int_eq(rename(path, spare), 0);
	}
	return fs_real()->ops->read(fs_real(), file, at, p, n, got, e);
}

START_TEST(what_changes_is_read_again)
{
	make_log(60);
	fake_ops = *fs_real()->ops;
	fake_ops.read = _i ? read_then_recycle : half_read;
	reads = 0;
	config.fs = &fake;
	inspect();
	ck_assert_msg(told.sum.damaged == 0, "%s", told.damage[0].text);
	if (_i)
		ck_assert_uint_gt(told.sum.first_index, 1);
	told_once(told.sum.first_index, 60);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wal/inspect");
	TCase *t = tcase_create("inspect");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, all_of_a_whole_log_is_told, 0, 2);
	tcase_add_test(t, what_replaces_others_says_so);
	tcase_add_test(t, nothing_and_no_folder);
	tcase_add_test(t, the_visitor_may_end_it);
	tcase_add_loop_test(t, a_flipped_byte_costs_one_record, 0, 2);
	tcase_add_test(t, a_record_that_is_wiped_is_a_gap);
	tcase_add_loop_test(t, a_torn_end_is_no_damage, 0, 2);
	tcase_add_test(t, a_damaged_header_hides_no_record);
	tcase_add_test(t, a_missing_segment_is_named);
	tcase_add_test(t, a_segment_that_is_cut_off_is_refused);
	tcase_add_test(t, a_foreign_log_is_said_to_be_one);
	tcase_add_loop_test(t, without_the_key_records_are_told_and_no_entry, 0, 2);
	tcase_add_loop_test(t, a_log_that_is_written_has_no_damage, 0, 2);
	tcase_add_loop_test(t, what_changes_is_read_again, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
