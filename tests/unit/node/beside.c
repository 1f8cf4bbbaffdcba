/* What fails beside the log is told to who writes it, and fails no write: writer.h. */
#include "unit.h"

#include <pthread.h>

#include "io/sim/disk.h"
#include "node/writer.h"

#include "base/banned.h"

#define ENTRIES 24

static struct disk *disk;
static const struct fs_ops *inner;
static struct fs_ops ops;
static struct wal *wal;
static struct writer *writer;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static uint64_t written;
static unsigned ran, troubles, wells, failures;
static bool renames_fail;                /* the log's thread reads it in a task */
static struct err told, err;

static enum code rename_fails(struct fs *fs, const char *from, const char *to,
			      struct err *e)
{
	if (renames_fail && str_ends(str_of(from), STR(".seg")))
		return err_set(e, E_DENIED, "rename %s: planted", from);
	return inner->rename(fs, from, to, e);
}

static void on_written(void *data, uint64_t sequence)
{
	pthread_mutex_lock(&lock);
	written = sequence;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static void on_failed(void *data, enum code rc, const struct err *e)
{
	pthread_mutex_lock(&lock);
	failures++;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static void on_room(void *data, const struct err *e)
{
}

static void on_trouble(void *data, const struct err *e)
{
	pthread_mutex_lock(&lock);
	troubles += e != NULL;
	wells += e == NULL;
	if (e)
		err_copy(&told, e);
	pthread_mutex_unlock(&lock);
}

static enum code none(void *data, const struct wal_entry *e, struct err *unused)
{
	return OK;
}

static void setup(void)
{
	struct wal_config config = { .dir = "wal", .node = 1,
				     .segment_bytes = 8 * 4096, .spares_max = 4,
				     .tending = WAL_TEND_CALLER };
	struct writer_config c = { .record_bytes = 4096, .on_written = on_written,
				   .on_failed = on_failed, .on_room = on_room,
				   .on_trouble = on_trouble };

	disk = disk_new(1);
	inner = disk_fs(disk)->ops;
	ops = *inner;
	ops.rename = rename_fails;
	disk_fs(disk)->ops = &ops;
	config.fs = disk_fs(disk);
	written = ran = troubles = wells = failures = 0;
	renames_fail = false;
	ck_assert_int_eq(wal_open(&config, none, NULL, &wal, &err), OK);
	c.wal = wal;
	ck_assert_int_eq(writer_start(&c, &writer, &err), OK);
}

static void teardown(void)
{
	writer_stop(&writer);
	wal_close(&wal);
	disk_free(&disk);
}

static void append(uint64_t index)
{
	static struct append appends[ENTRIES + 1];
	static struct wal_entry entries[ENTRIES + 1];
	static char bytes[3000];

	entries[index] = (struct wal_entry){ index, 1, 1,
					     str_n(bytes, sizeof(bytes)) };
	appends[index] = (struct append){ .entries = &entries[index], .n = 1,
					  .bytes = sizeof(bytes),
					  .sequence = index };
	writer_append(writer, &appends[index]);
	writer_wake(writer);
	pthread_mutex_lock(&lock);
	while (written < index && !failures)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
	ck_assert_uint_eq(failures, 0);
}

static void ran_one(void)
{
	pthread_mutex_lock(&lock);
	ran++;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static void run(void (*what)(struct writer_task *task, struct wal *wal))
{
	struct writer_task task = { .run = what };
	unsigned before = ran;

	writer_run(writer, &task);
	pthread_mutex_lock(&lock);
	while (ran == before)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
}

static void tend(struct wal *w)
{
	bool did = true;

	while (did && wal_tend(w, &did, NULL) == OK)
		;
}

static void cut_run(struct writer_task *task, struct wal *w)
{
	(void)!wal_cut(w, 10, NULL);
	ran_one();
}

static void tend_run(struct writer_task *task, struct wal *w)
{
	tend(w);
	ran_one();
}

/* Fails, and goes well before anybody could be told. */
static void both_run(struct writer_task *task, struct wal *w)
{
	renames_fail = true;
	tend(w);
	renames_fail = false;
	tend(w);
	ran_one();
}

START_TEST(who_writes_is_told_once_each_way)
{
	uint64_t i = 1;

	while (i <= 15)
		append(i++);
	run(cut_run);
	renames_fail = true;
	run(tend_run);
	/* What is told behind a task is told before the next record. */
	append(i++);
	ck_assert_uint_eq(troubles, 1);
	ck_assert_int_eq(told.code, E_DENIED);
	ck_assert_msg(strstr(told.text, "planted") && told.hint[0], "%s (%s)",
		      told.text, told.hint);
	run(tend_run);
	append(i++);
	ck_assert_uint_eq(troubles, 1);
	ck_assert_uint_eq(wells, 0);
	renames_fail = false;
	run(tend_run);
	append(i++);
	ck_assert_uint_eq(troubles, 1);
	ck_assert_uint_eq(wells, 1);
}
END_TEST

START_TEST(what_nobody_was_told_of_is_not_told_as_well)
{
	uint64_t i = 1;

	while (i <= 15)
		append(i++);
	run(cut_run);
	run(both_run);
	append(i++);
	ck_assert_uint_eq(troubles, 0);
	ck_assert_uint_eq(wells, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/beside");
	TCase *t = tcase_create("beside");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, who_writes_is_told_once_each_way);
	tcase_add_test(t, what_nobody_was_told_of_is_not_told_as_well);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
