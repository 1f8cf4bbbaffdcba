/*
 * What is done beside the log: files are ready before they are needed, segments that
 * were given up lose their names in order and are written again, and a full disk gets
 * back what is not needed; in steps of the caller's, and on a thread.
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#include "base/failpoint.h"
#include "io/sim/disk.h"
#include "seal/keyring.h"
#include "wal/wal.h"

#include "base/banned.h"

#define BYTES 3000

static struct disk *disk;
static struct wal_config config;
static struct err err;
static char dir[64];

static void setup(void)
{
	disk = disk_new(1);
	config = (struct wal_config){ .fs = disk_fs(disk), .dir = "wal", .node = 1,
				      .segment_bytes = 8 * 4096,
				      .spares_max = 4,
				      .tending = WAL_TEND_CALLER };
	memset(config.cluster.b, 7, 16);
}

static void teardown(void)
{
	disk_free(&disk);
}

/* Entries follow each other; what they hold follows from their index. */
struct seen {
	uint64_t first, last;
};

static void text_of(char *p, uint64_t index)
{
	for (size_t i = 0; i < BYTES; i++)
		p[i] = (char)(index * 31 + i);
}

static enum code note(void *data, const struct wal_entry *e, struct err *unused)
{
	static char want[BYTES];
	struct seen *s = data;

	if (s->last)
		ck_assert_uint_eq(e->index, s->last + 1);
	else
		s->first = e->index;
	s->last = e->index;
	text_of(want, e->index);
	ck_assert(str_eq(e->data, str_n(want, BYTES)));
	return OK;
}

static struct wal *open_log(struct seen *s)
{
	struct wal *wal;
	enum code rc;

	*s = (struct seen){ 0 };
	rc = wal_open(&config, note, s, &wal, &err);
	ck_assert_msg(rc == OK, "%s", err.text);
	return wal;
}

static enum code append(struct wal *wal, uint64_t index)
{
	static char bytes[BYTES];
	struct wal_entry e = { index, 7, 1, str_n(bytes, BYTES) };

	text_of(bytes, index);
	return wal_append(wal, &e, 1, &err);
}

/* Seven of them fill a segment. */
static void append_all(struct wal *wal, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i <= to; i++)
		ck_assert_msg(append(wal, i) == OK, "%s", err.text);
}

static unsigned tend(struct wal *wal)
{
	unsigned n = 0;
	bool did = true;

	while (did) {
		ck_assert_msg(wal_tend(wal, &did, &err) == OK, "%s", err.text);
		n += did;
	}
	return n;
}

static unsigned count(const char *end)
{
	AUTO_BUF names = BUF_NONE;
	struct str rest;
	unsigned n = 0;

	ck_assert_int_eq(config.fs->ops->list(config.fs, config.dir, &names, &err),
			 OK);
	for (rest = buf_view(&names); rest.n;)
		n += str_ends(str_cut(&rest, '\0'), str_of(end));
	return n;
}

/* ---- in steps ---- */

/* Only where a segment ends before the next file is ready is one made by who appends. */
START_TEST(files_are_ready_before_they_are_needed)
{
	struct seen s;
	struct wal *wal = open_log(&s);
	uint64_t i = 1;

	tend(wal);
	ck_assert_uint_eq(count(".spare"), WAL_AHEAD);
	disk_set_full(disk, true);
	while (append(wal, i) == OK)
		i++;
	/* The one that was open, and those. */
	ck_assert_uint_eq(i, 7 * (1 + WAL_AHEAD) + 1);
	ck_assert_int_eq(err.code, E_FULL);
	ck_assert_uint_eq(tend(wal), 0);
	disk_set_full(disk, false);
	ck_assert_int_gt(tend(wal), 0);
	ck_assert_uint_eq(count(".spare"), WAL_AHEAD);
	disk_set_full(disk, true);
	append_all(wal, i, i + 13);
	wal_close(&wal);
	disk_set_full(disk, false);
	wal = open_log(&s);
	ck_assert_uint_eq(s.last, i + 13);
	wal_close(&wal);
}
END_TEST

START_TEST(what_is_given_up_is_written_again)
{
	struct seen s;
	struct wal *wal = open_log(&s);
	uint64_t steps;

	append_all(wal, 1, 70);
	ck_assert_uint_eq(count(".seg"), 10);
	ck_assert_int_eq(wal_cut(wal, 56, &err), OK);
	/* That took no step of the disk; then each name goes by itself. */
	ck_assert_uint_eq(count(".seg"), 10);
	tend(wal);
	ck_assert_uint_eq(count(".seg"), 2);
	ck_assert_uint_eq(count(".spare"), config.spares_max);
	/* Nothing is made while those are there: a header, its sync, a name, and its
	 * folder are all that a new segment takes. */
	steps = disk_steps(disk);
	append_all(wal, 71, 98);
	ck_assert_uint_eq(disk_steps(disk) - steps, 28 + 4 * 4);
	wal_close(&wal);
	disk_power_loss(disk);
	wal = open_log(&s);
	ck_assert_uint_eq(s.first, 57);
	ck_assert_uint_eq(s.last, 98);
	wal_close(&wal);
}
END_TEST

/* What a start finds goes, or a kill would leave more each time. */
START_TEST(what_a_kill_left_goes)
{
	struct seen s;

	for (unsigned round = 1; round <= 5; round++) {
		struct wal *wal = open_log(&s);
		unsigned left = round % 3;

		append_all(wal, s.last + 1, s.last + 40);
		ck_assert_int_eq(wal_cut(wal, s.last + 20, &err), OK);
		for (bool did = true; did && left--;)
			ck_assert_int_eq(wal_tend(wal, &did, &err), OK);
		wal_close(&wal);
		disk_kill(disk);
		/* Also where that were files that had been made ready. */
		for (unsigned i = 0; i < 2; i++) {
			wal = open_log(&s);
			tend(wal);
			ck_assert_uint_eq(count(".spare"), WAL_AHEAD);
			wal_close(&wal);
			disk_kill(disk);
		}
	}
}
END_TEST

/* A log of 70 entries, of which 56 were given up. */
static struct wal *with_four_spares(struct seen *s)
{
	struct wal *wal = open_log(s);

	append_all(wal, 1, 70);
	ck_assert_int_eq(wal_cut(wal, 56, &err), OK);
	tend(wal);
	ck_assert_uint_eq(count(".spare"), 4);
	return wal;
}

START_TEST(a_full_disk_gets_back_what_is_not_needed)
{
	struct seen s;
	struct wal *wal = with_four_spares(&s);

	disk_set_full(disk, true);
	ck_assert_int_gt(tend(wal), 0);
	ck_assert_uint_eq(count(".spare"), WAL_AHEAD);
	/* As well where the log is cut on it. */
	append_all(wal, 71, 77);
	ck_assert_int_eq(wal_cut(wal, 70, &err), OK);
	tend(wal);
	ck_assert_uint_eq(count(".spare"), WAL_AHEAD);
	wal_close(&wal);
}
END_TEST

/* What a start waits for may be the room that it holds itself. */
START_TEST(a_start_on_a_full_disk_gives_back_what_was_left)
{
	struct seen s;
	struct wal *wal = with_four_spares(&s);

	wal_close(&wal);
	disk_set_full(disk, true);
	ck_assert_int_eq(wal_open(&config, note, &s, &wal, &err), E_FULL);
	ck_assert_uint_eq(count(".spare"), 0);
	disk_set_full(disk, false);
	wal = open_log(&s);
	ck_assert_uint_eq(s.last, 70);
	wal_close(&wal);
}
END_TEST

START_TEST(what_is_half_made_is_given_back)
{
	struct seen s;
	struct wal *wal;
	bool did;

	config.segment_bytes = 1 << 20;
	wal = open_log(&s);
	ck_assert_int_eq(wal_tend(wal, &did, &err), OK);
	ck_assert(did);
	ck_assert_uint_eq(count(".spare"), 1);
	disk_set_full(disk, true);
	ck_assert_uint_gt(tend(wal), 0);
	ck_assert_uint_eq(count(".spare"), 0);
	wal_close(&wal);
}
END_TEST

/* What was given up, and is still there under its name, must not be beside what may
 * have any index. */
START_TEST(a_restart_waits_until_all_is_gone)
{
	struct seen s;
	struct wal *wal = open_log(&s);

	append_all(wal, 1, 30);
	ck_assert_int_eq(wal_cut(wal, 10, &err), OK);
	ck_assert_int_eq(wal_restart(wal, &err), OK);
	ck_assert_uint_eq(count(".seg"), 1);
	append_all(wal, 1000, 1002);
	wal_close(&wal);
	disk_power_loss(disk);
	wal = open_log(&s);
	ck_assert_uint_eq(s.first, 1000);
	ck_assert_uint_eq(s.last, 1002);
	wal_close(&wal);
}
END_TEST

/* The old key may go when none needs it. */
START_TEST(what_another_key_sealed_is_needed_by_nobody_behind_its_use)
{
	struct keyring *keys[2] = { NULL };
	static const char *const texts[2] = {
		"one 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"two 100102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
		"one 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	};
	struct seen s;
	struct wal *wal;
	struct wal_stats st;

	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(keyring_parse(str_of(texts[i]), "keys", &keys[i],
					       NULL), OK);
		config.seal = keyring_provider(keys[i]);
		wal = open_log(&s);
		append_all(wal, s.last + 1, s.last + 21);
		if (i == 0)
			wal_close(&wal);
	}
	wal_stats_get(wal, &st);
	ck_assert_uint_eq(st.other_segments, 3);
	ck_assert_int_eq(wal_cut(wal, 21, &err), OK);
	ck_assert_uint_eq(wal_gone_others(wal), 3);
	tend(wal);
	ck_assert_uint_eq(wal_gone_others(wal), 0);
	ck_assert_uint_gt(count(".spare"), WAL_AHEAD);
	wal_close(&wal);
	keyring_free(&keys[0]);
	keyring_free(&keys[1]);
}
END_TEST

/* Plain ones are on the disk until they are tended, and count until then. */
START_TEST(what_is_not_sealed_is_not_kept)
{
	struct keyring *keys = NULL;
	struct seen s;
	struct wal *wal = open_log(&s);
	struct wal_stats st;

	append_all(wal, 1, 21);
	wal_close(&wal);
	ck_assert_int_eq(keyring_parse(STR("one 000102030405060708090a0b0c0d0e0f"
					   "101112131415161718191a1b1c1d1e1f"),
				       "keys", &keys, NULL), OK);
	config.seal = keyring_provider(keys);
	wal = open_log(&s);
	append_all(wal, 22, 42);
	wal_stats_get(wal, &st);
	ck_assert_uint_eq(st.other_segments, 3);
	ck_assert_int_eq(wal_cut(wal, 21, &err), OK);
	wal_stats_get(wal, &st);
	ck_assert_uint_eq(st.other_segments, 0);
	ck_assert_uint_eq(wal_gone_others(wal), 3);
	for (bool did = true; count(".seg") > 3;)
		ck_assert_int_eq(wal_tend(wal, &did, &err), OK);
	/* They have lost their names, and not what they hold. */
	ck_assert_uint_eq(wal_gone_others(wal), 3);
	tend(wal);
	ck_assert_uint_eq(wal_gone_others(wal), 0);
	/* Made anew. */
	ck_assert_uint_eq(count(".spare"), WAL_AHEAD);
	append_all(wal, 43, 80);
	wal_close(&wal);
	wal = open_log(&s);
	ck_assert_uint_eq(s.last, 80);
	wal_close(&wal);
	keyring_free(&keys);
}
END_TEST

/* ---- the machine goes down at each step ---- */

static void crashes_at(uint64_t step, bool power, uint64_t *acked, bool *is_down)
{
	struct seen s;
	struct wal *wal;
	bool did;
	uint64_t i;

	*acked = 0;
	setup();
	config.spares_max = 1;
	disk_crash_at(disk, step);
	if (wal_open(&config, note, &(struct seen){ 0 }, &wal, &err) == OK) {
		for (i = 1; i <= 60 && append(wal, i) == OK; i++) {
			*acked = i;
			(void)!wal_tend(wal, &did, &err);
			if (i % 25 == 0)
				(void)!wal_cut(wal, i - 10, &err);
		}
		wal_close(&wal);
	}
	*is_down = disk_is_down(disk);
	if (power)
		disk_power_loss(disk);
	else
		disk_kill(disk);
	wal = open_log(&s);
	ck_assert_msg(s.last >= *acked, "step %llu: %llu was acknowledged, the log "
		      "ends at %llu", (unsigned long long)step,
		      (unsigned long long)*acked, (unsigned long long)s.last);
	ck_assert_uint_le(s.first, *acked > 50 ? 41 : *acked > 25 ? 16 : 1);
	append_all(wal, s.last + 1, s.last + 20);
	tend(wal);
	wal_close(&wal);
	teardown();
}

START_TEST(a_crash_at_each_step_loses_nothing)
{
	bool is_down = true;
	uint64_t step = 0, acked = 0;

	teardown();
	while (is_down)
		crashes_at(++step, _i, &acked, &is_down);
	ck_assert_uint_gt(step, 100);
	ck_assert_uint_eq(acked, 60);
	setup();
}
END_TEST

/* ---- on a thread ---- */

static void setup_real(void)
{
	setup();
	snprintf(dir, sizeof(dir), "/tmp/conflux-tend-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	config.fs = fs_real();
	config.dir = dir;
	config.tending = WAL_TEND_THREAD;
}

static void teardown_real(void)
{
	AUTO_BUF names = BUF_NONE;
	struct str rest;

	(void)!fs_real()->ops->list(fs_real(), dir, &names, NULL);
	for (rest = buf_view(&names); rest.n;) {
		AUTO_BUF path = BUF_NONE;
		struct str name = str_cut(&rest, '\0');

		buf_printf(&path, "%s/%.*s", dir, STR_ARG(name));
		unlink(path.p);
	}
	rmdir(dir);
	teardown();
}

START_TEST(a_thread_tends_the_log)
{
	struct seen s;
	uint64_t cut = 0;

	for (unsigned round = 0; round < 4; round++) {
		struct wal *wal = open_log(&s);

		if (s.first)
			ck_assert_uint_le(s.first, cut + 1);
		for (uint64_t i = s.last + 1, to = i + 300; i <= to; i++) {
			ck_assert_msg(append(wal, i) == OK, "%s", err.text);
			if (i % 40)
				continue;
			cut = i - 5;
			ck_assert_msg(wal_cut(wal, cut, &err) == OK, "%s",
				      err.text);
		}
		if (round == 2)
			ck_assert_int_eq(wal_restart(wal, &err), OK);
		wal_close(&wal);
		if (round == 2)
			ck_assert_uint_eq(count(".seg"), 1);
	}
}
END_TEST

#ifdef CONFLUX_FAILPOINTS

static const char *const crashes[] = {
	"wal.cut=crash", "wal.cut=crash@3", "wal.spare=crash", "wal.spare=crash@2",
	"wal.shrink=crash", "wal.shrink=crash@2", "file.shrink=crash",
	"wal.remove=crash", "wal.remove=crash@2",
};

/* Writes until the thread dies in the middle of its work, and the process with it. */
static void child(int fd, const char *spec)
{
	struct seen s;
	struct wal *wal = open_log(&s);

	if (failpoint_set(spec, &err))
		_exit(2);
	for (uint64_t i = 1;; i++) {
		if (append(wal, i) || write(fd, &i, 8) != 8)
			_exit(3);
		if (i % 50 == 0 && wal_cut(wal, i - 10, &err))
			_exit(4);
	}
}

START_TEST(a_kill_of_the_thread_loses_nothing)
{
	uint64_t told = 0, v;
	struct wal *wal;
	struct seen s;
	int fds[2], status;
	pid_t pid;

	config.spares_max = 1;
	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		child(fds[1], crashes[_i]);
	}
	close(fds[1]);
	while (read(fds[0], &v, 8) == 8)
		told = v;
	close(fds[0]);
	waitpid(pid, &status, 0);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	config.tending = WAL_TEND_CALLER;
	wal = open_log(&s);
	ck_assert_uint_ge(s.last, told);
	append_all(wal, s.last + 1, s.last + 30);
	tend(wal);
	ck_assert_uint_le(count(".spare"), 1);
	wal_close(&wal);
}
END_TEST

static void add_failures(TCase *thread)
{
	tcase_add_loop_test(thread, a_kill_of_the_thread_loses_nothing, 0,
			    ARRAY_LEN(crashes));
}

#else

static void add_failures(TCase *thread)
{
}

#endif

static Suite *suite(void)
{
	Suite *s = suite_create("wal/tend");
	TCase *steps = tcase_create("steps");
	TCase *thread = tcase_create("thread");

	tcase_set_timeout(steps, 120);
	tcase_add_checked_fixture(steps, setup, teardown);
	tcase_add_test(steps, files_are_ready_before_they_are_needed);
	tcase_add_test(steps, what_is_given_up_is_written_again);
	tcase_add_test(steps, what_a_kill_left_goes);
	tcase_add_test(steps, a_full_disk_gets_back_what_is_not_needed);
	tcase_add_test(steps, a_restart_waits_until_all_is_gone);
	tcase_add_test(steps, what_is_not_sealed_is_not_kept);
	tcase_add_test(steps, a_start_on_a_full_disk_gives_back_what_was_left);
	tcase_add_test(steps, what_is_half_made_is_given_back);
	tcase_add_test(steps, what_another_key_sealed_is_needed_by_nobody_behind_its_use);
	tcase_add_loop_test(steps, a_crash_at_each_step_loses_nothing, 0, 2);
	suite_add_tcase(s, steps);
	tcase_set_timeout(thread, 120);
	tcase_add_checked_fixture(thread, setup_real, teardown_real);
	tcase_add_test(thread, a_thread_tends_the_log);
	suite_add_tcase(s, thread);
	add_failures(thread);
	return s;
}

UNIT_MAIN(suite)
