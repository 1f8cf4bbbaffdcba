/* Rows, marks and what is taken back. */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#include "base/failpoint.h"
#include "kv/kv.h"

#include "small_disk.h"

#include "base/banned.h"

static char dir[64];
static struct kv *kv;

#define MAP_BYTES (32 << 20)
/* Pages of memory, where they are not the machine's: LMDB and map_room.c ask so. */
static long page_bytes;

long sysconf(int name)
{
	if (name == _SC_PAGESIZE && page_bytes)
		return page_bytes;
	return SMALL_DISK_REAL(sysconf)(name);
}

static void setup(void)
{
	struct err err;

	snprintf(dir, sizeof(dir), "/tmp/conflux-kv-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_msg(kv_open(dir, MAP_BYTES, &kv, &err) == OK, "%s", err.text);
}

static void setup_large_pages(void)
{
	page_bytes = 64 * 1024;
	setup();
}

static void teardown(void)
{
	static const char *const files[] = { "data.mdb", "lock.mdb" };

	kv_close(&kv);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		AUTO_BUF path = BUF_NONE;

		buf_printf(&path, "%s/%s", dir, files[i]);
		unlink(path.p);
	}
	rmdir(dir);
}

static struct kv_txn *writing(void)
{
	struct kv_txn *txn;

	ck_assert_int_eq(kv_write(kv, &txn, NULL), OK);
	return txn;
}

static void is(struct kv_txn *txn, const char *key, const char *want)
{
	struct str val;

	if (!want) {
		ck_assert(!kv_get(txn, KV_META, str_of(key), NULL));
		return;
	}
	ck_assert(kv_get(txn, KV_META, str_of(key), &val));
	ck_assert(str_eq(val, str_of(want)));
}

static void set(struct kv_txn *txn, const char *key, const char *val)
{
	kv_put(txn, KV_META, str_of(key), str_of(val));
}

START_TEST(changes_say_what_they_freed)
{
	struct kv_txn *txn = writing();
	uint64_t rows, bytes;

	ck_assert_uint_eq(kv_put(txn, KV_META, STR("key"), STR("")), 0);
	ck_assert_uint_eq(kv_put(txn, KV_META, STR("key"), STR("four")), 3);
	ck_assert_uint_eq(kv_del(txn, KV_META, STR("key")), 7);
	ck_assert_uint_eq(kv_del(txn, KV_META, STR("key")), 0);
	kv_written(kv, &rows, &bytes);
	ck_assert_uint_eq(rows, 3);
	ck_assert_uint_eq(bytes, 3 + 7 + 3);
	kv_end(&txn);
}
END_TEST

static void count_effect(void *data, enum kv_table table, struct str key,
			 struct str val)
{
	++*(unsigned *)data;
}

/* Whatever is done behind a mark: a key made, changed twice, deleted and made
 * again, and one that was not there deleted. */
static void change_much(struct kv_txn *txn)
{
	set(txn, "new", "1");
	set(txn, "old", "2");
	set(txn, "old", "3");
	kv_del(txn, KV_META, STR("gone"));
	kv_del(txn, KV_META, STR("never"));
	set(txn, "again", "4");
	kv_del(txn, KV_META, STR("again"));
	set(txn, "again", "5");
	kv_put(txn, KV_EVENTS, STR("old"), STR("in another table"));
}

static struct kv_txn *filled(void)
{
	struct kv_txn *txn = writing();

	set(txn, "old", "a");
	set(txn, "gone", "b");
	set(txn, "again", "c");
	return txn;
}

START_TEST(undo_brings_back_what_was_there)
{
	struct kv_txn *txn = filled();
	unsigned effects = 0;

	kv_mark(txn);
	kv_on_effect(txn, count_effect, &effects);
	change_much(txn);
	ck_assert_uint_eq(effects, 8);
	kv_undo(txn);
	ck_assert_uint_eq(effects, 8);
	ck_assert_int_eq(kv_commit(&txn, NULL), OK);
	ck_assert_int_eq(kv_read(kv, &txn, NULL), OK);
	is(txn, "new", NULL);
	is(txn, "old", "a");
	is(txn, "gone", "b");
	is(txn, "never", NULL);
	is(txn, "again", "c");
	ck_assert(!kv_get(txn, KV_EVENTS, STR("old"), NULL));
	kv_end(&txn);
}
END_TEST

START_TEST(keep_lets_it_stand_and_a_later_undo_does_not_reach_it)
{
	struct kv_txn *txn = filled();

	kv_mark(txn);
	change_much(txn);
	kv_keep(txn);
	kv_mark(txn);
	set(txn, "new", "6");
	kv_undo(txn);
	is(txn, "new", "1");
	is(txn, "old", "3");
	is(txn, "gone", NULL);
	is(txn, "again", "5");
	kv_end(&txn);
}
END_TEST

START_TEST(a_full_store_fails_the_transaction_and_keeps_the_one_before)
{
	static char big[1 << 20];
	struct kv_txn *txn = filled();
	struct err err;

	ck_assert_int_eq(kv_commit(&txn, NULL), OK);
	txn = writing();
	kv_mark(txn);
	for (char k = 'A'; k <= 'z'; k++)
		kv_put(txn, KV_META, str_n(&k, 1), str_n(big, sizeof(big)));
	kv_undo(txn);
	ck_assert_int_eq(kv_status(txn, &err), E_FULL);
	ck_assert_int_eq(kv_commit(&txn, &err), E_FULL);
	ck_assert_int_eq(kv_read(kv, &txn, NULL), OK);
	is(txn, "old", "a");
	is(txn, "A", NULL);
	kv_end(&txn);
}
END_TEST

static char big[8000];

/* Rows that take two pages each, all of them new ones. */
static struct kv_txn *grown(unsigned rows)
{
	struct kv_txn *txn = writing();

	memset(big, 'x', sizeof(big));
	for (unsigned i = 0; i < rows; i++)
		kv_put(txn, KV_META, str_n(&i, sizeof(i)), str_n(big, sizeof(big)));
	return txn;
}

/* With room for so many bytes: the file grows by 1.6 MiB, 0.5 of which it has, or what is
 * live stays.  False: it was full. */
static bool grows(int64_t room)
{
	struct kv_txn *txn = filled();
	struct err err;
	enum code rc;

	ck_assert_int_eq(kv_commit(&txn, &err), OK);
	small_disk_room = room;
	txn = grown(200);
	rc = kv_commit(&txn, &err);
	small_disk_room = -1;
	ck_assert_msg(rc == OK || (rc == E_FULL && err.hint[0]), "with room for %lld: %s",
		      (long long)room, err.text);
	ck_assert_int_eq(kv_read(kv, &txn, NULL), OK);
	is(txn, "old", "a");
	ck_assert_uint_eq(kv_count(txn, KV_META), rc == OK ? 203 : 3);
	kv_end(&txn);
	return rc == OK;
}

/* The disk has room for so many bytes: it is full, and not broken, at whatever page that
 * is, and what did not fit is written when there is room. */
START_TEST(a_full_disk_is_not_a_broken_one)
{
	bool has_grown = false;

	for (int64_t room = 0; !has_grown; room += 37 * 1024) {
		struct kv_txn *txn;

		has_grown = grows(room);
		ck_assert(room > 1000 * 1024 || !has_grown);
		txn = grown(200);
		ck_assert_int_eq(kv_commit(&txn, NULL), OK);
		ck_assert_int_eq(kv_read(kv, &txn, NULL), OK);
		ck_assert_uint_eq(kv_count(txn, KV_META), 203);
		kv_end(&txn);
		teardown();
		setup();
	}
}
END_TEST

/* What lies in the file is what was read before it was closed. */
START_TEST(what_was_written_beside_a_full_disk_is_in_the_file)
{
	struct kv_txn *txn;

	ck_assert(!grows(700 * 1024));
	txn = grown(100);
	ck_assert_int_eq(kv_commit(&txn, NULL), OK);
	kv_close(&kv);
	ck_assert_int_eq(kv_open(dir, MAP_BYTES, &kv, NULL), OK);
	ck_assert_int_eq(kv_read(kv, &txn, NULL), OK);
	is(txn, "old", "a");
	ck_assert_uint_eq(kv_count(txn, KV_META), 103);
	for (unsigned i = 0; i < 100; i++) {
		struct str val;

		ck_assert(kv_get(txn, KV_META, str_n((char *)&i, sizeof(i)), &val));
		ck_assert(val.n == sizeof(big) && memcmp(val.p, big, val.n) == 0);
	}
	kv_end(&txn);
}
END_TEST

/* It asks for room behind what it has, and not for all of it once more: XFS and others
 * want as much as is named, also where there is something already. */
START_TEST(a_large_store_is_opened_on_a_disk_with_little_room)
{
	struct kv_txn *txn = grown(1000);

	ck_assert_int_eq(kv_commit(&txn, NULL), OK);
	kv_close(&kv);
	small_disk_room = 6 << 20;
	ck_assert_int_eq(kv_open(dir, MAP_BYTES, &kv, NULL), OK);
	ck_assert_uint_gt(kv_file_bytes(kv), 7 << 20);
	txn = writing();
	kv_put(txn, KV_META, STR("little"), STR("x"));
	ck_assert_int_eq(kv_commit(&txn, NULL), OK);
	small_disk_room = -1;
}
END_TEST

/* One small transaction after another until one has no room; how many there were. */
static unsigned add_until_full(struct err *err)
{
	enum code rc = OK;
	unsigned n = 0;

	for (; rc == OK; n += rc == OK) {
		struct kv_txn *txn = writing();

		kv_put(txn, KV_META, str_n((char *)&n, sizeof(n)), str_n(big, 100));
		rc = kv_commit(&txn, err);
	}
	ck_assert_msg(rc == E_FULL, "%s", err->text);
	return n;
}

static void has(unsigned n)
{
	struct kv_txn *txn;

	ck_assert_int_eq(kv_read(kv, &txn, NULL), OK);
	ck_assert_uint_eq(kv_count(txn, KV_META), n);
	kv_end(&txn);
}

/* What is kept for the last part of each is there each time, or it is not begun. */
START_TEST(small_transactions_fill_the_disk)
{
	unsigned n;
	struct err err;

	small_disk_room = 0;
	n = add_until_full(&err);
	small_disk_room = -1;
	ck_assert_uint_gt(n, page_bytes ? 1 : 50);
	for (unsigned i = 0; i < 2; i++) {
		has(n);
		kv_close(&kv);
		ck_assert_int_eq(kv_open(dir, MAP_BYTES, &kv, NULL), OK);
	}
}
END_TEST

START_TEST(a_broken_disk_is_not_a_full_one)
{
	struct kv_txn *txn;
	struct err err;

	small_disk_error = EIO;
	txn = grown(200);
	ck_assert_int_eq(kv_commit(&txn, &err), E_IO);
	small_disk_error = 0;
}
END_TEST

/* Room on the disk would not help: whoever waits for that must not wait for this. */
START_TEST(a_map_that_is_too_small_is_not_a_full_disk)
{
	struct err err = { 0 };

	kv_close(&kv);
	teardown();
	ck_assert_ptr_nonnull(mkdtemp(memcpy(dir, "/tmp/conflux-kv-XXXXXX", 23)));
	ck_assert_int_eq(kv_open(dir, 2 * 4096, &kv, &err), E_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(err.hint, "storage.map_size"));
	ck_assert_int_eq(kv_open(dir, MAP_BYTES, &kv, &err), OK);
}
END_TEST

static void limit_length(rlim_t bytes)
{
	struct rlimit most = { bytes, RLIM_INFINITY };

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &most), 0);
}

START_TEST(a_limit_of_length_is_said_as_such)
{
	struct kv_txn *txn;
	struct err err;

	limit_length(1 << 20);
	txn = grown(200);
	ck_assert_int_eq(kv_commit(&txn, &err), E_FULL);
	ck_assert_ptr_nonnull(strstr(err.hint, "ulimit -f"));
	kv_close(&kv);
	ck_assert_int_eq(kv_open(dir, MAP_BYTES, &kv, &err), E_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(err.hint, "ulimit -f"));
	limit_length(RLIM_INFINITY);
	ck_assert_int_eq(kv_open(dir, MAP_BYTES, &kv, &err), OK);
	txn = grown(200);
	ck_assert_int_eq(kv_commit(&txn, &err), OK);
}
END_TEST

/* Wherever it is, a commit that began has what it takes. */
START_TEST(small_transactions_reach_a_limit_of_length)
{
	for (rlim_t i = 0; i < 8; i++) {
		struct err err;
		unsigned n;

		limit_length((1 << 20) + i * sysconf(_SC_PAGESIZE));
		n = add_until_full(&err);
		ck_assert_ptr_nonnull(strstr(err.hint, "ulimit -f"));
		has(n);
		teardown();
		limit_length(RLIM_INFINITY);
		setup();
	}
}
END_TEST

/* ---- the file's length ---- */

static const char *file(void)
{
	static char path[80];

	snprintf(path, sizeof(path), "%s/data.mdb", dir);
	return path;
}

static uint64_t length(void)
{
	struct stat st;

	ck_assert_int_eq(stat(file(), &st), 0);
	return (uint64_t)st.st_size;
}

/* By a process that is killed between LMDB's opening it and its end being set. */
static int opened_and_killed(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (failpoint_set("kv.opened=crash", NULL) == OK)
			_exit(kv_open(dir, MAP_BYTES, &kv, NULL) == E_CORRUPT);
		_exit(2);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return status;
}

START_TEST(killed_while_it_is_opened_it_is_whole)
{
	struct kv_txn *txn = grown(100);
	uint64_t used;
	int status;

	ck_assert_int_eq(kv_commit(&txn, NULL), OK);
	used = kv_file_bytes(kv);
	kv_close(&kv);
	status = opened_and_killed();
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	ck_assert_uint_eq(length(), MAP_BYTES);
	ck_assert_int_eq(kv_open(dir, MAP_BYTES, &kv, NULL), OK);
	ck_assert_uint_lt(length(), MAP_BYTES / 2);
	ck_assert_int_eq(kv_read(kv, &txn, NULL), OK);
	ck_assert_uint_eq(kv_count(txn, KV_META), 100);
	kv_end(&txn);
	kv_close(&kv);
	ck_assert_uint_lt(length() - used, sysconf(_SC_PAGESIZE));
}
END_TEST

/* However often, and also where who saw it is killed: nobody makes it longer. */
START_TEST(a_file_that_was_cut_short_is_seen)
{
	struct kv_txn *txn = grown(100);
	uint64_t used;
	struct err err;
	int status;

	ck_assert_int_eq(kv_commit(&txn, NULL), OK);
	used = kv_file_bytes(kv);
	kv_close(&kv);
	ck_assert_int_eq(truncate(file(), (off_t)used - 1), 0);
	status = opened_and_killed();
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	ck_assert_int_eq(kv_open(dir, MAP_BYTES, &kv, &err), E_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err.text, "its last page at"));
	ck_assert_uint_eq(length(), used - 1);
	ck_assert_int_eq(kv_open_copy(file(), &kv, &err), E_CORRUPT);
	/* Killed there before it was cut: the length is the map's, and then it is not. */
	ck_assert_int_eq(truncate(file(), MAP_BYTES), 0);
	ck_assert_int_eq(truncate(file(), (off_t)used / 2), 0);
	ck_assert_int_eq(kv_open(dir, MAP_BYTES, &kv, &err), E_CORRUPT);
	ck_assert_int_eq(truncate(file(), 100), 0);
	ck_assert_int_eq(kv_open(dir, MAP_BYTES, &kv, &err), E_CORRUPT);
}
END_TEST

static void add_rows(Suite *s, const char *name, void (*set_up)(void))
{
	TCase *t = tcase_create(name);

	tcase_add_checked_fixture(t, set_up, teardown);
	tcase_add_test(t, changes_say_what_they_freed);
	tcase_add_test(t, undo_brings_back_what_was_there);
	tcase_add_test(t, keep_lets_it_stand_and_a_later_undo_does_not_reach_it);
	tcase_add_test(t, a_full_store_fails_the_transaction_and_keeps_the_one_before);
	tcase_add_test(t, a_full_disk_is_not_a_broken_one);
	tcase_add_test(t, what_was_written_beside_a_full_disk_is_in_the_file);
	tcase_add_test(t, small_transactions_fill_the_disk);
	tcase_add_test(t, a_broken_disk_is_not_a_full_one);
	tcase_add_test(t, a_map_that_is_too_small_is_not_a_full_disk);
	tcase_add_test(t, a_large_store_is_opened_on_a_disk_with_little_room);
	tcase_add_test(t, a_limit_of_length_is_said_as_such);
	tcase_add_test(t, small_transactions_reach_a_limit_of_length);
	tcase_add_test(t, killed_while_it_is_opened_it_is_whole);
	tcase_add_test(t, a_file_that_was_cut_short_is_seen);
	suite_add_tcase(s, t);
}

static Suite *suite(void)
{
	Suite *s = suite_create("kv/kv");

	add_rows(s, "rows", setup);
	add_rows(s, "rows, of memory in large pages", setup_large_pages);
	return s;
}

UNIT_MAIN(suite)
