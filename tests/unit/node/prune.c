/*
 * Checkpoints that are not kept: they count no more at once, and what they take of the
 * disk is given back in pieces.  A crash at each step between leaves those that count
 * whole, and nothing else behind the next start.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#include "base/failpoint.h"
#include "base/mem.h"
#include "io/sim/disk.h"
#include "node/checkpoint.h"

#include "base/banned.h"

#define PIECE (4u << 20)
#define BYTES (2 * PIECE + 12345)        /* three pieces */

static struct disk *disk;
static struct fs *fs;
static const struct fs_ops *inner;
static struct fs_ops ops;
static struct uuid cluster;
static const char *where;
static char dir[64];
static struct err err;
static uint64_t most, shrunk;            /* bytes at once; and in all */
static unsigned unsynced;

static enum code shrink_counts(struct fs *f, struct file *file, uint64_t n,
			       struct err *e)
{
	uint64_t size;

	ck_assert_int_eq(inner->size(f, file, &size, e), OK);
	ck_assert_uint_eq(unsynced++, 0);
	most = MAX(most, size - n);
	shrunk += size - n;
	return inner->shrink(f, file, n, e);
}

static enum code sync_counts(struct fs *f, struct file *file, struct err *e)
{
	unsynced = 0;
	return inner->sync(f, file, e);
}

static void setup(void)
{
	disk = disk_new(3);
	fs = disk_fs(disk);
	inner = fs->ops;
	ops = *inner;
	ops.shrink = shrink_counts;
	ops.sync = sync_counts;
	memset(cluster.b, 7, sizeof(cluster.b));
	where = "checkpoints";
	most = shrunk = unsynced = 0;
}

static void teardown(void)
{
	disk_free(&disk);
}

static enum code take(uint64_t index, size_t bytes)
{
	struct checkpoint c = { .cluster = cluster, .index = index, .term = 1 };
	struct checkpoint_writer *w;
	char *p = mem_zero(bytes);
	enum code rc;

	memset(p, (int)index, bytes);
	rc = checkpoint_begin(fs, where, NULL, NULL, &w, &err);
	if (rc == OK) {
		rc = checkpoint_put(w, p, bytes, &err);
		if (rc == OK)
			rc = checkpoint_end(w, &c, &err);
		checkpoint_writer_free(&w);
	}
	checkpoint_fini(&c);
	free(p);
	return rc;
}

static void take_three(size_t bytes)
{
	for (uint64_t i = 1; i <= 3; i++)
		ck_assert_msg(take(i * 10, bytes) == OK, "%s", err.text);
}

/* Names that end in 'end'. */
static unsigned count(const char *end)
{
	AUTO_BUF names = BUF_NONE;
	struct str rest;
	unsigned n = 0;

	ck_assert_int_eq(fs->ops->list(fs, where, &names, &err), OK);
	for (rest = buf_view(&names); rest.n;)
		n += str_ends(str_cut(&rest, '\0'), str_of(end));
	return n;
}

static unsigned count_gone(void)
{
	AUTO_BUF names = BUF_NONE;
	struct str rest;
	unsigned n = 0;

	ck_assert_int_eq(fs->ops->list(fs, where, &names, &err), OK);
	for (rest = buf_view(&names); rest.n;)
		n += str_starts(str_cut(&rest, '\0'), STR("gone-"));
	return n;
}

static enum code prune(uint64_t *oldest)
{
	return checkpoint_prune(fs, where, 2, oldest, &err);
}

/* The newest is found, nothing is damaged, and all that is there counts. */
static void starts_with(uint64_t index)
{
	struct checkpoint c;
	unsigned damaged;
	enum code rc = checkpoint_find(fs, where, cluster, &c, &damaged, &err);

	ck_assert_msg(rc == OK, "%s", err.text);
	ck_assert_uint_eq(c.index, index);
	ck_assert_uint_eq(damaged, 0);
	checkpoint_fini(&c);
	ck_assert_uint_eq(count(".ckpt"), count(".meta"));
	ck_assert_uint_eq(count_gone(), 0);
}

/* Each that counts is whole, not only the newest. */
static void all_are_whole(void)
{
	for (uint64_t i = 10; i <= 30; i += 10) {
		struct checkpoint c;
		AUTO_BUF path = BUF_NONE;

		if (checkpoint_load(fs, where, i, 1, &c, &err))
			continue;
		checkpoint_path(where, &c, ".ckpt", &path);
		ck_assert_msg(checkpoint_verify(fs, path.p, &c, NULL, NULL, &err) ==
			      OK, "%s", err.text);
		checkpoint_fini(&c);
	}
}

START_TEST(a_picture_goes_in_pieces)
{
	uint64_t oldest;

	take_three(BYTES);
	fs->ops = &ops;
	ck_assert_int_eq(prune(&oldest), OK);
	ck_assert_uint_eq(oldest, 20);
	ck_assert_uint_eq(count(".meta"), 2);
	ck_assert_uint_eq(count_gone(), 1);
	ck_assert_uint_eq(shrunk, 0);
	checkpoint_clear(fs, where, NULL, NULL);
	ck_assert_uint_gt(shrunk, BYTES - 1);
	ck_assert_uint_eq(most, PIECE);
	ck_assert_uint_eq(unsynced, 0);
	ck_assert_uint_eq(count_gone(), 0);
	all_are_whole();
	starts_with(30);
}
END_TEST

static unsigned asked;

static bool goes_on_twice(void *data)
{
	return ++asked < 2;
}

/* Who stops does not wait for more pieces. */
START_TEST(the_rest_goes_at_once_where_it_is_to_end)
{
	uint64_t oldest;

	take_three(BYTES);
	ck_assert_int_eq(checkpoint_prune(fs, where, 1, &oldest, &err), OK);
	fs->ops = &ops;
	asked = 0;
	checkpoint_clear(fs, where, goes_on_twice, NULL);
	ck_assert_uint_eq(asked, 2);
	ck_assert_uint_lt(shrunk, 2 * PIECE);
	ck_assert_uint_eq(count_gone(), 0);
	starts_with(30);
}
END_TEST

START_TEST(what_is_read_keeps_its_bytes)
{
	struct checkpoint c = { .index = 10, .term = 1 };
	struct checkpoint_reading r = { .path = BUF_NONE };
	AUTO_BUF path = BUF_NONE;
	char *piece = file_alloc(FILE_BLOCK);
	struct file *file;
	uint64_t oldest, size;
	size_t got;

	checkpoint_reading_end(&r);
	take_three(BYTES);
	checkpoint_path(where, &c, ".ckpt", &path);
	checkpoint_reading_begin(&r, path.p);
	ck_assert_int_eq(fs->ops->open(fs, path.p, 0, &file, &err), OK);
	ck_assert_int_eq(prune(&oldest), OK);
	checkpoint_clear(fs, where, NULL, NULL);
	ck_assert_uint_eq(count_gone(), 0);
	ck_assert_uint_eq(count(".ckpt"), 2);
	ck_assert_int_eq(fs->ops->size(fs, file, &size, &err), OK);
	ck_assert_uint_ge(size, BYTES);
	ck_assert_int_eq(fs->ops->read(fs, file, 2 * PIECE, piece, FILE_BLOCK, &got,
				       &err), OK);
	ck_assert_uint_eq(got, FILE_BLOCK);
	ck_assert_int_eq(piece[0], 10);
	fs->ops->close(fs, file);
	checkpoint_reading_end(&r);
	/* That is over. */
	fs->ops = &ops;
	ck_assert_int_eq(take(40, BYTES), OK);
	ck_assert_int_eq(prune(&oldest), OK);
	checkpoint_clear(fs, where, NULL, NULL);
	ck_assert_uint_ge(shrunk, BYTES);
	free(piece);
}
END_TEST

/* ---- the machine goes down at each step ---- */

static bool crashes_at(uint64_t step, bool power)
{
	uint64_t oldest;
	bool is_down;

	setup();
	take_three(BYTES);
	disk_crash_at(disk, disk_steps(disk) + step);
	if (prune(&oldest) == OK)
		checkpoint_clear(fs, where, NULL, NULL);
	is_down = disk_is_down(disk);
	if (power)
		disk_power_loss(disk);
	else
		disk_kill(disk);
	all_are_whole();
	ck_assert_uint_ge(count(".meta"), 2);
	starts_with(30);
	all_are_whole();
	/* It goes on from there, and nothing stays behind. */
	ck_assert_int_eq(take(40, 5000), OK);
	ck_assert_int_eq(prune(&oldest), OK);
	checkpoint_clear(fs, where, NULL, NULL);
	ck_assert_uint_eq(oldest, 30);
	ck_assert_uint_eq(count(".ckpt"), 2);
	ck_assert_uint_eq(count(".meta"), 2);
	starts_with(40);
	teardown();
	return is_down;
}

START_TEST(a_crash_at_each_step_leaves_what_counts)
{
	uint64_t step = 1;

	teardown();
	while (crashes_at(step, _i))
		step++;
	/* A meta file, a name, its folder, three pieces with their syncs, a file. */
	ck_assert_uint_eq(step, 3 + 6 + 1 + 1);
	setup();
}
END_TEST

#ifdef CONFLUX_FAILPOINTS

/* What fails goes whole, and nothing is shortened that may come back as whole. */
START_TEST(what_fails_is_no_harm)
{
	static const char *const specs[] = {
		"file.rename=error*1", "file.sync_dir=error*1", "file.shrink=error*1",
		"file.shrink=error@2*1", "file.sync=error*1", "file.size=error*1",
		"file.open=error*1", "checkpoint.shrink=error*1",
		"checkpoint.remove=error*1",
	};
	bool before = _i < 2;
	uint64_t oldest;

	take_three(BYTES);
	fs->ops = &ops;
	ck_assert_int_eq(failpoint_set(specs[_i], &err), OK);
	ck_assert_int_eq(prune(&oldest), OK);
	ck_assert_uint_eq(oldest, 20);
	checkpoint_clear(fs, where, NULL, NULL);
	ck_assert_int_eq(failpoint_set("file.rename=off", &err), OK);
	if (before)
		ck_assert_uint_eq(shrunk, 0);
	ck_assert_uint_eq(count(".ckpt"), 2);
	disk_power_loss(disk);
	all_are_whole();
	starts_with(30);
}
END_TEST

static void setup_real(void)
{
	setup();
	snprintf(dir, sizeof(dir), "/tmp/conflux-prune-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	fs = fs_real();
	where = dir;
}

static void teardown_real(void)
{
	AUTO_BUF names = BUF_NONE;
	struct str rest;

	(void)!fs->ops->list(fs, dir, &names, NULL);
	for (rest = buf_view(&names); rest.n;) {
		AUTO_BUF path = BUF_NONE;
		struct str name = str_cut(&rest, '\0');

		buf_printf(&path, "%s/%.*s", dir, STR_ARG(name));
		unlink(path.p);
	}
	rmdir(dir);
	teardown();
}

static const char *const kills[] = {
	"checkpoint.prune=crash", "checkpoint.shrink=crash",
	"checkpoint.shrink=crash@2", "checkpoint.shrink=crash@3",
	"checkpoint.remove=crash", "file.remove=crash@2",
};

START_TEST(a_kill_between_two_pieces_leaves_what_counts)
{
	uint64_t oldest;
	int status;
	pid_t pid;

	take_three(BYTES);
	pid = fork();
	if (pid == 0) {
		if (failpoint_set(kills[_i], &err))
			_exit(2);
		if (prune(&oldest) == OK)
			checkpoint_clear(fs, where, NULL, NULL);
		_exit(3);
	}
	waitpid(pid, &status, 0);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	all_are_whole();
	starts_with(30);
	ck_assert_int_eq(prune(&oldest), OK);
	checkpoint_clear(fs, where, NULL, NULL);
	ck_assert_uint_eq(count(".ckpt"), 2);
}
END_TEST

static void add_failures(Suite *s, TCase *sim)
{
	TCase *t = tcase_create("kills");

	tcase_add_loop_test(sim, what_fails_is_no_harm, 0, 9);
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup_real, teardown_real);
	tcase_add_loop_test(t, a_kill_between_two_pieces_leaves_what_counts, 0,
			    ARRAY_LEN(kills));
	suite_add_tcase(s, t);
}

#else

static void add_failures(Suite *s, TCase *sim)
{
}

#endif

static Suite *suite(void)
{
	Suite *s = suite_create("node/prune");
	TCase *t = tcase_create("prune");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_picture_goes_in_pieces);
	tcase_add_test(t, the_rest_goes_at_once_where_it_is_to_end);
	tcase_add_test(t, what_is_read_keeps_its_bytes);
	tcase_add_loop_test(t, a_crash_at_each_step_leaves_what_counts, 0, 2);
	suite_add_tcase(s, t);
	add_failures(s, t);
	return s;
}

UNIT_MAIN(suite)
