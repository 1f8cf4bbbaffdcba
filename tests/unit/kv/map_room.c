/* A disk without room for pages of a map: in a transaction, in a commit, of a store. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

#include "kv/kv.h"
#include "kv/map_room.h"

#include "small_disk.h"
#include "tiny_disk.h"

#include "base/banned.h"

#define PAGE 4096u
#define MIB (1u << 20)
#define MAP_BYTES (320 * MIB)            /* more pieces than can be lost */
#define USED (2 * MIB)

static int fd;
static char *map;
static struct map_room room;

static uint64_t length(void)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

/* Of the file, whatever the map has there. */
static char in_file(uint64_t at)
{
	char c = 0;

	ck_assert_int_ge(pread(fd, &c, 1, (off_t)at), 0);
	return c;
}

static void punch(uint64_t at, uint64_t n)
{
	ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)at, (off_t)n), 0);
}

static void start(uint64_t used)
{
	struct err err;

	ck_assert_msg(map_room_init(&room, fd, MAP_BYTES, used, &err) == OK, "%s",
		      err.text);
}

/* 'u' in each page that is used. */
static void setup(void)
{
	/* What it finds is where signals of others go (a sanitizer has its own). */
	signal(SIGBUS, SIG_DFL);
	ck_assert(tiny_disk_mount(8 * 1024));
	fd = open(tiny_disk_path("file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	for (uint64_t at = 0; at < USED; at += PAGE)
		ck_assert_int_eq(pwrite(fd, "u", 1, (off_t)at), 1);
	ck_assert_int_eq(ftruncate(fd, MAP_BYTES), 0);
	map = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert(map != MAP_FAILED);
	start(USED);
	ck_assert_uint_eq(length(), USED);
}

static void teardown(void)
{
	munmap(map, MAP_BYTES);
	close(fd);
}

/* ---- in a transaction ---- */

START_TEST(a_page_that_is_there_cannot_be_written)
{
	const uint64_t at = MIB + 5 * PAGE;

	map_room_enter(&room, USED);
	map[at - PAGE] = 'w';
	punch(at, PAGE);
	tiny_disk_fill();
	map[at] = 'x';
	ck_assert_int_eq(map_room_lost(&room), ENOSPC);
	/* Around it everything is what it was, and what was written is there. */
	ck_assert_int_eq(map[at], 'x');
	ck_assert_int_eq(map[at - PAGE], 'w');
	ck_assert_int_eq(map[at + PAGE], 'u');
	map[at + PAGE] = 'y';
	map_room_leave(&room, false);
	ck_assert_int_eq(map_room_lost(&room), 0);
	ck_assert(!room.is_broken);
	ck_assert_int_eq(map[at - PAGE], 'w');
	ck_assert_int_eq(map[at + PAGE], 'u');
	tiny_disk_empty();
	map_room_enter(&room, USED);
	map[at] = 'z';
	ck_assert_int_eq(map_room_lost(&room), 0);
	map_room_leave(&room, false);
	ck_assert_int_eq(in_file(at), 'z');
}
END_TEST

/* The head is not kept then: it is written in commits alone. */
START_TEST(pages_before_and_behind_the_end_are_lost)
{
	uint64_t end;

	map_room_enter(&room, USED);
	end = length();
	ck_assert_uint_gt(end, USED);
	tiny_disk_punch(fd);
	tiny_disk_fill();
	map[end - PAGE] = 'a';
	map[end] = 'b';
	/* It does not grow then, though it could. */
	tiny_disk_empty();
	map[end + 3 * MIB] = 'c';
	map[PAGE] = 'd';
	ck_assert_int_eq(map_room_lost(&room), ENOSPC);
	ck_assert(map[end - PAGE] == 'a' && map[end] == 'b' && map[end + 3 * MIB] == 'c');
	map_room_leave(&room, false);
	ck_assert_uint_eq(length(), end);
	ck_assert_int_eq(in_file(PAGE), 'd');
	ck_assert_int_eq(map[end - PAGE], 0);
	map_room_enter(&room, USED);
	map[end] = 'e';
	ck_assert_int_eq(map_room_lost(&room), 0);
	map_room_leave(&room, false);
	ck_assert_int_eq(in_file(end), 'e');
}
END_TEST

/* The map does not say why; who writes the file is told. */
START_TEST(a_page_that_is_broken_is_not_a_full_disk)
{
	map_room_enter(&room, USED);
	punch(MIB, PAGE);
	tiny_disk_fill();
	small_disk_error = EIO;
	map[MIB] = 'x';
	ck_assert_int_eq(map_room_lost(&room), EIO);
	small_disk_error = 0;
	map_room_leave(&room, false);
}
END_TEST

/* ---- in a commit ---- */

START_TEST(in_a_commit_the_head_stays_as_the_file_has_it)
{
	const uint64_t at = MIB + 5 * PAGE;

	map_room_enter(&room, USED);
	map[at - PAGE] = 'w';
	ck_assert_int_eq(map_room_last(&room), 0);
	punch(at, PAGE);
	tiny_disk_fill();
	map[2 * PAGE] = 'v';             /* before anything is lost */
	map[at] = 'x';
	map[0] = map[PAGE] = 'n';
	ck_assert_int_eq(map_room_lost(&room), ENOSPC);
	map_room_leave(&room, true);
	/* For those who read it is as it was written. */
	ck_assert(map[0] == 'n' && map[PAGE] == 'n' && map[2 * PAGE] == 'v' &&
		  map[at] == 'x' && map[at - PAGE] == 'w');
	ck_assert(in_file(0) == 'u' && in_file(PAGE) == 'u');
	ck_assert_int_eq(in_file(at - PAGE), 'w');
	ck_assert(room.is_broken);
}
END_TEST

START_TEST(the_head_itself_cannot_be_written)
{
	map_room_enter(&room, USED);
	ck_assert_int_eq(map_room_last(&room), 0);
	punch(0, PAGE);
	tiny_disk_fill();
	map[0] = 'n';
	map[PAGE] = 'n';
	map[20 * PAGE] = 'w';
	ck_assert_int_eq(map_room_lost(&room), ENOSPC);
	ck_assert_int_eq(in_file(20 * PAGE), 'w');
	/* In the same piece, where the head has been taken out. */
	tiny_disk_empty();
	punch(30 * PAGE, PAGE);
	tiny_disk_fill();
	map[30 * PAGE] = 'x';
	ck_assert(map[0] == 'n' && map[PAGE] == 'n' && map[19 * PAGE] == 'u');
	map_room_leave(&room, true);
	ck_assert_int_eq(in_file(PAGE), 'u');
}
END_TEST

/* What was reserved is for this. */
START_TEST(a_commit_has_the_room_behind_the_end)
{
	uint64_t end;

	map_room_enter(&room, USED);
	end = length();
	ck_assert_int_eq(map_room_last(&room), 0);
	tiny_disk_fill();
	for (uint64_t at = end; at < end + 256 * 1024; at += PAGE)
		map[at] = 'x';
	ck_assert_int_eq(map_room_lost(&room), 0);
	map[0] = 'n';
	map_room_leave(&room, false);
	ck_assert(in_file(0) == 'n' && in_file(end) == 'x');
	/* The next one has none, and is not begun. */
	map_room_enter(&room, USED);
	ck_assert_int_eq(map_room_last(&room), ENOSPC);
	map_room_leave(&room, false);
}
END_TEST

/* Also where it was reserved before, and went with what could not be written. */
START_TEST(a_commit_has_room_after_the_file_could_not_grow)
{
	small_disk_error = EIO;
	small_disk_reserves = true;
	map_room_enter(&room, USED);
	small_disk_error = 0;
	ck_assert_uint_eq(length(), USED);
	ck_assert_int_eq(map_room_last(&room), 0);
	tiny_disk_fill();
	map[USED] = 'x';
	ck_assert_int_eq(map_room_lost(&room), 0);
	map_room_leave(&room, false);
}
END_TEST

START_TEST(what_was_reserved_is_not_there)
{
	uint64_t end;

	map_room_enter(&room, USED);
	end = length();
	ck_assert_int_eq(map_room_last(&room), 0);
	tiny_disk_punch(fd);
	tiny_disk_fill();
	map[end] = map[end + MIB] = 'x';
	map[0] = 'n';
	ck_assert_int_eq(map_room_lost(&room), ENOSPC);
	map_room_leave(&room, true);
	ck_assert(map[end] == 'x' && map[end + MIB] == 'x' && map[0] == 'n');
	ck_assert_int_eq(in_file(0), 'u');
}
END_TEST

/* ---- its end ---- */

START_TEST(what_is_interrupted_is_done_again)
{
	small_disk_interrupts = 3;
	map_room_enter(&room, USED);
	ck_assert_uint_eq(small_disk_interrupts, 0);
	ck_assert_uint_gt(length(), USED);
	map_room_leave(&room, false);
}
END_TEST

START_TEST(what_is_used_and_not_touched_is_before_the_end)
{
	map_room_enter(&room, USED);
	map_room_cover(&room, USED);
	ck_assert_uint_gt(length(), USED);
	map_room_cover(&room, 9 * MIB);
	ck_assert_uint_eq(length(), 9 * MIB);
	map_room_leave(&room, false);
	map_room_cut(&room, USED);
	ck_assert_uint_eq(length(), USED);
}
END_TEST

/* What is written to a page of memory behind the file's end is nowhere. */
START_TEST(it_ends_with_a_page_of_memory)
{
	start(USED + 1);
	ck_assert_uint_eq(length(), USED + PAGE);
}
END_TEST

/* It must not get its length back, with holes where there was something. */
START_TEST(a_file_that_was_cut_short_stays_so)
{
	map_room_enter(&room, USED);
	ck_assert_int_eq(ftruncate(fd, MIB), 0);
	map[room.end] = 'x';
	ck_assert_int_eq(map_room_lost(&room), EIO);
	map_room_leave(&room, false);
	map_room_cut(&room, USED);
	ck_assert_uint_eq(length(), MIB);
}
END_TEST

/* ---- what ends the process ---- */

START_TEST(a_page_that_was_cut_off)
{
	map_room_enter(&room, USED);
	ck_assert_int_eq(ftruncate(fd, MIB), 0);
	map[MIB] = 'x';
}
END_TEST

START_TEST(a_map_that_is_not_written)
{
	map_room_enter(&room, USED);
	map_room_leave(&room, false);
	map[room.end] = 'x';
}
END_TEST

START_TEST(another_map)
{
	char *other = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	map_room_enter(&room, USED);
	other[room.end] = 'x';
}
END_TEST

START_TEST(more_pieces_than_can_be_lost)
{
	map_room_enter(&room, USED);
	tiny_disk_punch(fd);
	tiny_disk_fill();
	for (uint64_t at = 3 * MIB; at < MAP_BYTES; at += MIB)
		map[at] = 'x';
}
END_TEST

/* A thread that blocks it, as those do that were told to leave signals to another. */
START_TEST(the_signal_is_not_blocked)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	map_room_enter(&room, USED);
	map[room.end] = 'x';
	ck_assert_int_eq(map_room_lost(&room), 0);
	map_room_leave(&room, false);
}
END_TEST

/* ---- of a store ---- */

static struct kv *kv;

static void open_store(void)
{
	struct err err;

	ck_assert_msg(kv_open(tiny_disk_path("store"), 32 * MIB, &kv, &err) == OK, "%s",
		      err.text);
}

static void put(struct kv_txn *txn, unsigned from, unsigned n)
{
	static const char val[6000];

	for (unsigned i = from; i < from + n; i++)
		kv_put(txn, KV_META, str_n((char *)&i, sizeof(i)),
		       str_n(val, sizeof(val)));
}

static struct kv_txn *writing(void)
{
	struct kv_txn *txn;

	ck_assert_int_eq(kv_write(kv, &txn, NULL), OK);
	return txn;
}

static void has(struct kv *of, unsigned n)
{
	struct kv_txn *txn;

	ck_assert_int_eq(kv_read(of, &txn, NULL), OK);
	ck_assert_uint_eq(kv_count(txn, KV_META), n);
	for (unsigned i = 0; i < n; i++)
		ck_assert(kv_get(txn, KV_META, str_n((char *)&i, sizeof(i)), NULL));
	kv_end(&txn);
}

static void setup_store(void)
{
	struct kv_txn *txn;

	signal(SIGBUS, SIG_DFL);
	ck_assert(tiny_disk_mount(8 * 1024));
	ck_assert_int_eq(mkdir(tiny_disk_path("store"), 0700), 0);
	open_store();
	fd = open(tiny_disk_path("store/data.mdb"), O_RDWR | O_CLOEXEC);
	txn = writing();
	put(txn, 0, 100);
	ck_assert_int_eq(kv_commit(&txn, NULL), OK);
}

static void teardown_store(void)
{
	kv_close(&kv);
	close(fd);
}

/* As one that was killed leaves it. */
static void is_in_file(unsigned n)
{
	static char block[MIB];
	AUTO_BUF path = BUF_NONE;
	struct kv *copy;
	int to;
	ssize_t k;

	buf_printf(&path, "%s.copy", tiny_disk);
	to = open(path.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	for (off_t at = 0; (k = pread(fd, block, sizeof(block), at)) > 0; at += k)
		ck_assert_int_eq(write(to, block, (size_t)k), k);
	close(to);
	ck_assert_int_eq(kv_open_copy(path.p, &copy, NULL), OK);
	unlink(path.p);
	has(copy, n);
	kv_close(&copy);
}

START_TEST(a_transaction_is_given_up)
{
	struct kv_txn *txn = writing();
	struct err err;

	tiny_disk_punch(fd);
	tiny_disk_fill();
	put(txn, 100, 100);
	ck_assert_int_eq(kv_commit(&txn, &err), E_FULL);
	ck_assert_ptr_nonnull(strstr(err.hint, "disk space"));
	has(kv, 100);
	is_in_file(100);
	tiny_disk_empty();
	txn = writing();
	put(txn, 100, 100);
	ck_assert_int_eq(kv_commit(&txn, NULL), OK);
	has(kv, 200);
	is_in_file(200);
}
END_TEST

START_TEST(a_commit_is_an_error_and_the_file_has_the_one_before)
{
	struct kv_txn *txn = writing();
	struct err err;

	put(txn, 100, 20);
	kv_del(txn, KV_META, STR("\0\0\0\0"));
	tiny_disk_punch(fd);
	tiny_disk_fill();
	ck_assert_int_eq(kv_commit(&txn, &err), E_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err.text, "no room"));
	is_in_file(100);
	/* Nothing is built on it, also where there is room again. */
	tiny_disk_empty();
	ck_assert_int_eq(kv_write(kv, &txn, &err), E_CORRUPT);
	is_in_file(100);
	kv_close(&kv);
	open_store();
	has(kv, 100);
	txn = writing();
	put(txn, 100, 20);
	ck_assert_int_eq(kv_commit(&txn, NULL), OK);
	has(kv, 120);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("kv/map_room");
	TCase *t = tcase_create("map");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_page_that_is_there_cannot_be_written);
	tcase_add_test(t, pages_before_and_behind_the_end_are_lost);
	tcase_add_test(t, a_page_that_is_broken_is_not_a_full_disk);
	tcase_add_test(t, in_a_commit_the_head_stays_as_the_file_has_it);
	tcase_add_test(t, the_head_itself_cannot_be_written);
	tcase_add_test(t, a_commit_has_the_room_behind_the_end);
	tcase_add_test(t, a_commit_has_room_after_the_file_could_not_grow);
	tcase_add_test(t, what_was_reserved_is_not_there);
	tcase_add_test(t, what_is_interrupted_is_done_again);
	tcase_add_test(t, what_is_used_and_not_touched_is_before_the_end);
	tcase_add_test(t, it_ends_with_a_page_of_memory);
	tcase_add_test(t, a_file_that_was_cut_short_stays_so);
	tcase_add_test_raise_signal(t, a_page_that_was_cut_off, SIGBUS);
	tcase_add_test_raise_signal(t, a_map_that_is_not_written, SIGBUS);
	tcase_add_test_raise_signal(t, another_map, SIGBUS);
	tcase_add_test_raise_signal(t, more_pieces_than_can_be_lost, SIGBUS);
	tcase_add_test(t, the_signal_is_not_blocked);
	suite_add_tcase(s, t);
	t = tcase_create("store");
	tcase_add_checked_fixture(t, setup_store, teardown_store);
	tcase_add_test(t, a_transaction_is_given_up);
	tcase_add_test(t, a_commit_is_an_error_and_the_file_has_the_one_before);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN_AS(static, run, suite)

int main(void)
{
	return tiny_disk_main(run);
}
