/* The log over restarts, torn writes, damage and cutting; plain and sealed. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#include "base/mem.h"
#include "io/sim/disk.h"
#include "seal/keyring.h"
#include "wal/wal.h"

#include "base/banned.h"

static char dir[64];
static struct wal_config config;
static struct keyring *keys;             /* NULL: plain */

struct model {
	char *data[4096];
	uint64_t last;
};

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/conflux-wal-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	config = (struct wal_config){ .fs = fs_real(), .dir = dir, .node = 1,
				      .segment_bytes = 32 * 4096,
				      .spares_max = 1 };
	memset(config.cluster.b, 7, 16);
}

static void setup_sealed(void)
{
	setup();
	ck_assert_int_eq(keyring_parse(STR("one 000102030405060708090a0b0c0d0e0f"
					   "101112131415161718191a1b1c1d1e1f"),
				       "keys", &keys, NULL), OK);
	config.seal = keyring_provider(keys);
}

static void teardown(void)
{
	AUTO_BUF names = BUF_NONE;
	struct str rest;

	(void)!fs_real()->ops->list(fs_real(), dir, &names, NULL);
	rest = buf_view(&names);
	while (rest.n) {
		AUTO_BUF path = BUF_NONE;
		struct str name = str_cut(&rest, '\0');

		buf_printf(&path, "%s/%.*s", dir, STR_ARG(name));
		unlink(path.p);
	}
	rmdir(dir);
	keyring_free(&keys);
}

static enum code note(void *data, const struct wal_entry *e, struct err *err)
{
	struct model *m = data;

	ck_assert_uint_lt(e->index, ARRAY_LEN(m->data));
	ck_assert_uint_le(e->index, m->last + 1);
	free(m->data[e->index]);
	m->data[e->index] = mem_dup(e->data.p, e->data.n);
	m->last = e->index;
	return OK;
}

static void model_fini(struct model *m)
{
	for (size_t i = 0; i < ARRAY_LEN(m->data); i++)
		free(m->data[i]);
}

static struct wal *open_log(struct model *m)
{
	struct wal *wal;
	struct err err = { 0 };

	ck_assert_msg(wal_open(&config, note, m, &wal, &err) == OK, "%s",
		      err.text);
	return wal;
}

static enum code append(struct wal *wal, uint64_t index, size_t n, size_t size,
			struct err *err)
{
	struct wal_entry e[64];
	char text[64][9000];

	for (size_t i = 0; i < n; i++) {
		int len = snprintf(text[i], sizeof(text[i]), "entry %llu",
				   (unsigned long long)(index + i));

		for (size_t k = (size_t)len; k < size; k++)
			text[i][k] = 'x';
		e[i] = (struct wal_entry){ index + i, 3, 1,
					   str_n(text[i], MAX(size, (size_t)len)) };
	}
	return wal_append(wal, e, n, err);
}

static void expect(const struct model *m, uint64_t from, uint64_t to)
{
	char text[32];

	for (uint64_t i = from; i <= to; i++) {
		snprintf(text, sizeof(text), "entry %llu", (unsigned long long)i);
		ck_assert_msg(m->data[i] && strncmp(m->data[i], text,
						    strlen(text)) == 0,
			      "entry %llu is lost", (unsigned long long)i);
	}
}

START_TEST(what_was_written_comes_back)
{
	struct model m = { 0 };
	struct wal *wal = open_log(&m);
	struct wal_stats st;
	struct err err;

	for (uint64_t i = 1; i < 300; i += 3)
		ck_assert_int_eq(append(wal, i, 3, i % 5 ? 40 : 5000, &err), OK);
	wal_stats_get(wal, &st);
	ck_assert_uint_gt(st.segments, 2);
	wal_close(&wal);
	wal = open_log(&m);
	ck_assert_uint_eq(m.last, 300);
	expect(&m, 1, 300);
	wal_close(&wal);
	model_fini(&m);
}
END_TEST

START_TEST(each_start_writes_a_segment_of_its_own)
{
	struct model m = { 0 };
	struct err err;

	for (uint64_t i = 1; i <= 5; i++) {
		struct wal *wal = open_log(&m);

		ck_assert_int_eq(append(wal, i, 1, 0, &err), OK);
		wal_close(&wal);
	}
	{
		struct wal *wal = open_log(&m);

		ck_assert_uint_eq(m.last, 5);
		wal_close(&wal);
	}
	model_fini(&m);
}
END_TEST

START_TEST(a_record_replaces_the_log_from_its_first_index)
{
	struct model m = { 0 };
	struct wal *wal = open_log(&m);
	struct wal_entry e = { 2, 9, 1, STR("new two") };
	struct err err;

	ck_assert_int_eq(append(wal, 1, 4, 0, &err), OK);
	ck_assert_int_eq(wal_append(wal, &e, 1, &err), OK);
	wal_close(&wal);
	wal = open_log(&m);
	ck_assert_uint_eq(m.last, 2);
	ck_assert_str_eq(m.data[2], "new two");
	wal_close(&wal);
	model_fini(&m);
}
END_TEST

START_TEST(cutting_keeps_what_is_above)
{
	struct model m = { 0 };
	struct wal *wal = open_log(&m);
	struct wal_stats before, after;
	struct err err;

	for (uint64_t i = 1; i <= 200; i++)
		ck_assert_int_eq(append(wal, i, 1, 3000, &err), OK);
	wal_stats_get(wal, &before);
	ck_assert_int_eq(wal_cut(wal, 150, &err), OK);
	wal_stats_get(wal, &after);
	ck_assert_uint_lt(after.segments, before.segments);
	/* Recycled files are written again, and their old blocks mean nothing. */
	for (uint64_t i = 201; i <= 240; i++)
		ck_assert_int_eq(append(wal, i, 1, 3000, &err), OK);
	wal_close(&wal);
	m.last = 240;
	wal = open_log(&m);
	ck_assert_uint_eq(m.last, 240);
	expect(&m, 151, 240);
	wal_close(&wal);
	model_fini(&m);
}
END_TEST

/* ---- reading back ---- */

struct range {
	uint64_t next, end;              /* stops with E_CANCELLED at 'end' */
	uint64_t replaced_from;
};

static enum code in_order(void *data, const struct wal_entry *e,
			  struct err *err)
{
	struct range *r = data;
	char text[32];
	int n = snprintf(text, sizeof(text), "entry %llu",
			 (unsigned long long)e->index);

	if (r->next == r->end)
		return err_set(err, E_CANCELLED, "enough");
	ck_assert_uint_eq(e->index, r->next++);
	ck_assert_uint_eq(e->term, e->index >= r->replaced_from ? 9 : 3);
	ck_assert_int_eq(strncmp(e->data.p, text, (size_t)n), 0);
	return OK;
}

static void check_range(struct wal *wal, uint64_t from, uint64_t to,
			uint64_t replaced_from)
{
	struct range r = { from, UINT64_MAX, replaced_from };
	struct err err;

	ck_assert_msg(wal_read(wal, from, to, in_order, &r, &err) == OK, "%s",
		      err.text);
	ck_assert_uint_eq(r.next, to + 1);
}

static void replace(struct wal *wal, uint64_t index)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "entry %llu",
			 (unsigned long long)index);
	struct wal_entry e = { index, 9, 1, str_n(text, (size_t)n) };
	struct err err;

	ck_assert_int_eq(wal_append(wal, &e, 1, &err), OK);
}

/* Records of three entries; some are cut off by what replaced them. */
START_TEST(entries_are_read_back_by_index)
{
	struct model m = { 0 };
	struct wal *wal = open_log(&m);
	struct range few = { 7, 12, 1000 };
	struct err err;

	for (uint64_t i = 1; i < 200; i += 3)
		ck_assert_int_eq(append(wal, i, 3, i % 5 ? 40 : 5000, &err), OK);
	for (uint64_t from = 1; from <= 201; from += 13)
		for (uint64_t to = from; to <= 201; to += 17)
			check_range(wal, from, to, 1000);
	ck_assert_int_eq(wal_read(wal, 7, 200, in_order, &few, &err),
			 E_CANCELLED);
	ck_assert_uint_eq(few.next, 12);
	ck_assert_int_eq(wal_read(wal, 202, 202, in_order, &few, &err),
			 E_NOT_FOUND);
	for (uint64_t i = 150; i <= 160; i++)
		replace(wal, i);
	for (int round = 0; round < 2; round++) {
		check_range(wal, 1, 160, 150);
		check_range(wal, 148, 151, 150);
		ck_assert_int_eq(wal_read(wal, 161, 170, in_order, &few, &err),
				 E_NOT_FOUND);
		wal_close(&wal);
		wal = open_log(&m);
	}
	wal_close(&wal);
	model_fini(&m);
}
END_TEST

START_TEST(what_was_cut_is_not_found)
{
	struct model m = { 0 };
	struct wal *wal = open_log(&m);
	struct range r = { 1, UINT64_MAX, 1000 };
	struct wal_stats st;
	struct err err;

	for (uint64_t i = 1; i <= 200; i++)
		ck_assert_int_eq(append(wal, i, 1, 3000, &err), OK);
	ck_assert_int_eq(wal_cut(wal, 150, &err), OK);
	wal_stats_get(wal, &st);
	ck_assert_uint_gt(st.first_index, 100);
	ck_assert_uint_le(st.first_index, 151);
	ck_assert_uint_eq(st.last_index, 200);
	check_range(wal, st.first_index, 200, 1000);
	ck_assert_int_eq(wal_read(wal, st.first_index - 1, 200, in_order, &r,
				  &err), E_NOT_FOUND);
	ck_assert_uint_eq(r.next, 1);
	wal_close(&wal);
	model_fini(&m);
}
END_TEST

static void last_segment(char path[512])
{
	AUTO_BUF names = BUF_NONE;
	struct str rest, last = STR_NONE;

	ck_assert_int_eq(fs_real()->ops->list(fs_real(), dir, &names, NULL), OK);
	rest = buf_view(&names);
	while (rest.n) {
		struct str name = str_cut(&rest, '\0');

		if (str_ends(name, STR(".seg")))
			last = name;
	}
	snprintf(path, 512, "%s/%.*s", dir, STR_ARG(last));
}

static void overwrite(const char *path, off_t at, const char *bytes, size_t n)
{
	int fd = open(path, O_WRONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, n, at), (ssize_t)n);
	close(fd);
}

/* The newest record has three blocks; what was there before stands in some. */
START_TEST(a_torn_last_record_is_cut)
{
	static const char zeros[4096];

	for (unsigned lost = 1; lost < 8; lost++) {
		struct model m = { 0 };
		struct wal *wal = open_log(&m);
		struct wal_stats st;
		struct err err;
		char path[512];
		uint64_t next = m.last + 1;

		ck_assert_int_eq(append(wal, next, 1, 100, &err), OK);
		last_segment(path);
		ck_assert_int_eq(append(wal, next + 1, 1, 9000, &err), OK);
		wal_close(&wal);
		for (unsigned b = 0; b < 3; b++)
			if (lost & BIT(b))
				overwrite(path, (off_t)(2 + b) * 4096, zeros,
					  4096);
		wal = open_log(&m);
		ck_assert_uint_eq(m.last, next);
		wal_stats_get(wal, &st);
		ck_assert(st.torn > 0 || lost == 7);
		wal_close(&wal);
		model_fini(&m);
	}
}
END_TEST

/* Every byte of every block that was written, one flipped at a time. */
START_TEST(every_flipped_byte_is_found)
{
	struct model m = { 0 };
	struct wal *wal;
	struct err err;
	char path[512];
	unsigned step = 7;

	config.segment_bytes = 8 * 4096;
	wal = open_log(&m);
	ck_assert_int_eq(append(wal, 1, 3, 100, &err), OK);
	ck_assert_int_eq(append(wal, 4, 1, 6000, &err), OK);
	ck_assert_int_eq(append(wal, 5, 1, 10, &err), OK);
	last_segment(path);
	wal_close(&wal);
	for (off_t at = 0; at < 5 * 4096; at += at < 256 ? 1 : step) {
		struct model again = { 0 };
		char byte, flipped;
		int fd = open(path, O_RDWR);
		enum code rc;

		ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
		flipped = (char)(byte ^ 0x10);
		ck_assert_int_eq(pwrite(fd, &flipped, 1, at), 1);
		rc = wal_open(&config, note, &again, &wal, &err);
		ck_assert_msg(rc == E_CORRUPT, "byte %lld: %s", (long long)at,
			      code_name(rc));
		ck_assert_msg(strstr(err.text, "damaged at"), "%s", err.text);
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
		close(fd);
		model_fini(&again);
	}
	model_fini(&m);
}
END_TEST

START_TEST(a_missing_segment_is_damage)
{
	struct model m = { 0 };
	struct wal *wal;
	struct err err;
	AUTO_BUF path = BUF_NONE;

	for (uint64_t i = 1; i <= 3; i++) {
		wal = open_log(&m);
		ck_assert_int_eq(append(wal, i, 1, 0, &err), OK);
		wal_close(&wal);
	}
	buf_printf(&path, "%s/%016x.seg", dir, 2);
	ck_assert_int_eq(unlink(path.p), 0);
	ck_assert_int_eq(wal_open(&config, note, &m, &wal, &err), E_CORRUPT);
	ck_assert_msg(strstr(err.text, "missing"), "%s", err.text);
	model_fini(&m);
}
END_TEST

START_TEST(the_log_of_another_cluster_is_refused)
{
	struct model m = { 0 };
	struct wal *wal = open_log(&m);
	struct err err;

	wal_close(&wal);
	config.cluster.b[0] ^= 1;
	ck_assert_int_eq(wal_open(&config, note, &m, &wal, &err), E_DENIED);
	model_fini(&m);
}
END_TEST

/* A process that is killed while it writes has lost nothing that it told. */
START_TEST(kill_9_loses_nothing_acknowledged)
{
	for (int round = 0; round < 10; round++) {
		struct model m = { 0 };
		struct wal *wal;
		uint64_t told = 0, value;
		int fds[2];
		pid_t pid;

		ck_assert_int_eq(pipe(fds), 0);
		pid = fork();
		if (pid == 0) {
			struct err err;

			wal = open_log(&m);
			for (uint64_t i = m.last + 1;; i++) {
				if (append(wal, i, 1, i % 7 ? 10 : 6000, &err))
					_exit(1);
				if (write(fds[1], &i, sizeof(i)) != sizeof(i))
					_exit(1);
			}
		}
		close(fds[1]);
		for (int i = 0; i < 5 + round * 3; i++)
			if (read(fds[0], &value, sizeof(value)) == sizeof(value))
				told = value;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		while (read(fds[0], &value, sizeof(value)) == sizeof(value))
			told = value;
		close(fds[0]);
		wal = open_log(&m);
		ck_assert_uint_gt(told, 0);
		ck_assert_uint_ge(m.last, told);
		expect(&m, 1, told);
		wal_close(&wal);
		model_fini(&m);
	}
}
END_TEST

/* Its last write was seen by the next process, which went on behind it; then the
 * power fails before anything of it was durable. */
START_TEST(what_was_read_back_is_durable)
{
	unsigned torn = 0;

	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct disk *disk = disk_new(seed);
		struct model m = { 0 };
		struct wal *wal;
		struct err err;
		uint64_t last;

		config.fs = disk_fs(disk);
		wal = open_log(&m);
		ck_assert_int_eq(append(wal, 1, 3, 10, &err), OK);
		disk_crash_at(disk, disk_steps(disk) + 1);
		ck_assert_int_ne(append(wal, 4, 1, 10 + seed % 3 * 4000, &err), OK);
		wal_close(&wal);
		disk_kill(disk);
		wal = open_log(&m);
		last = m.last;
		torn += last == 3;
		if (seed % 2)
			ck_assert_int_eq(append(wal, last + 1, 1, 10, &err), OK);
		wal_close(&wal);
		disk_power_loss(disk);
		m.last = 0;
		wal = open_log(&m);
		ck_assert_uint_eq(m.last, last + seed % 2);
		expect(&m, 1, m.last);
		wal_close(&wal);
		model_fini(&m);
		disk_free(&disk);
	}
	ck_assert_uint_gt(torn, 20);
	ck_assert_uint_lt(torn, 180);
	config.fs = fs_real();
}
END_TEST

/* 'n' may be opened from here on; all: UINT_MAX. */
static void leave_descriptors(unsigned n)
{
	struct rlimit l;
	int next;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &l), 0);
	l.rlim_cur = l.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
	next = dup(STDIN_FILENO);
	ck_assert_int_ge(next, 0);
	close(next);
	if (n != UINT_MAX)
		l.rlim_cur = (rlim_t)next + n;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
}

/* Without one the file is not opened, with one its folder is not. */
START_TEST(a_log_waits_for_a_descriptor)
{
	struct model m = { 0 };
	struct wal *wal = open_log(&m);
	struct err err;
	uint64_t waited = 0;

	for (uint64_t i = 1; i < 400; i++) {
		enum code rc;

		leave_descriptors((unsigned)_i);
		rc = append(wal, i, 1, 3000, &err);
		if (rc)
			ck_assert_msg(rc == E_FULL, "%s", err.text);
		if (rc)
			ck_assert_int_eq(append(wal, i, 1, 3000, &err), E_FULL);
		leave_descriptors(UINT_MAX);
		waited += rc != OK;
		if (rc)
			ck_assert_msg(append(wal, i, 1, 3000, &err) == OK, "%s",
				      err.text);
		if (i != 200)
			continue;
		/* Those that are cut become spares, which are opened.  Without a
		 * descriptor their folder is synced the next time. */
		leave_descriptors(0);
		ck_assert_int_eq(wal_cut(wal, 150, &err), E_BUSY);
		leave_descriptors(UINT_MAX);
		ck_assert_msg(wal_cut(wal, 150, &err) == OK, "%s", err.text);
	}
	ck_assert_uint_gt(waited, 2);
	wal_close(&wal);
	m.last = 149;
	wal = open_log(&m);
	ck_assert_uint_eq(m.last, 399);
	expect(&m, 200, 399);
	wal_close(&wal);
	model_fini(&m);
}
END_TEST

static void add(Suite *s, const char *name, void (*before)(void))
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, before, teardown);
	tcase_add_test(t, what_was_written_comes_back);
	tcase_add_test(t, each_start_writes_a_segment_of_its_own);
	tcase_add_test(t, a_record_replaces_the_log_from_its_first_index);
	tcase_add_test(t, cutting_keeps_what_is_above);
	tcase_add_test(t, entries_are_read_back_by_index);
	tcase_add_test(t, what_was_cut_is_not_found);
	tcase_add_test(t, a_torn_last_record_is_cut);
	tcase_add_test(t, every_flipped_byte_is_found);
	tcase_add_test(t, a_missing_segment_is_damage);
	tcase_add_test(t, the_log_of_another_cluster_is_refused);
	tcase_add_test(t, kill_9_loses_nothing_acknowledged);
	tcase_add_test(t, what_was_read_back_is_durable);
	tcase_add_loop_test(t, a_log_waits_for_a_descriptor, 0, 2);
	suite_add_tcase(s, t);
}

static Suite *suite(void)
{
	Suite *s = suite_create("wal/wal");

	add(s, "plain", setup);
	add(s, "sealed", setup_sealed);
	return s;
}

UNIT_MAIN(suite)
