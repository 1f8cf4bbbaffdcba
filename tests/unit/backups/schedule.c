/* Backups of a store: what a folder holds over failures, crashes and many of
 * them; streams that are left in the middle. */
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backups/backups.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "io/file.h"
#include "restore/restore.h"
#include "unit.h"

#include "base/banned.h"

static char dir[64], data[80], folder[80];
static uint64_t interval_ms;
static struct store *store;
static struct backups *backups;
static struct err err;

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/conflux-backups-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(data, sizeof(data), "%s/data", dir);
	snprintf(folder, sizeof(folder), "%s/kept", dir);
	interval_ms = 1;
}

static void start(unsigned keep, bool is_scheduled)
{
	struct store_config c = { .dir = data, .map_bytes = 64 << 20 };
	struct backups_config b = { .version = "test", .node_id = 1,
				    .dir = is_scheduled ? folder : "",
				    .interval_ms = interval_ms, .keep = keep,
				    .recipient = "" };

	ck_assert_msg(store_open(&c, &store, &err) == OK, "%s", err.text);
	b.store = store;
	ck_assert_msg(backups_new(&b, &backups, &err) == OK, "%s", err.text);
}

static void stop(void)
{
	if (!store)
		return;
	backups_stop(backups);
	store_close(&store);
	backups_free(&backups);
}

static void teardown(void)
{
	pid_t pid;

	stop();
	pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", dir, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

static void nap(void)
{
	const struct timespec t = { .tv_nsec = 5000000 };

	nanosleep(&t, NULL);
}

/* What others do on their threads is told by nobody. */
#define WAIT(cond)                                                            \
	do {                                                                  \
		uint64_t until_ = clock_mono_ms() + 30000;                    \
		while (!(cond)) {                                             \
			ck_assert_msg(clock_mono_ms() < until_,               \
				      "in vain: " #cond);                     \
			nap();                                                \
		}                                                             \
	} while (0)

static struct backups_view view(void)
{
	struct backups_view v;

	backups_view(backups, &v);
	return v;
}

/* Files that end in 'suffix'; each that is named as a backup is whole. */
static unsigned count(const char *suffix)
{
	AUTO_BUF names = BUF_NONE;
	unsigned n = 0;

	if (fs_real()->ops->list(fs_real(), folder, &names, &err))
		return 0;
	for (struct str rest = buf_view(&names); rest.n;) {
		struct str name = str_cut(&rest, '\0');
		struct backup_file *f;
		struct backup_facts facts;
		AUTO_BUF path = BUF_NONE;

		buf_printf(&path, "%s/%.*s", folder, STR_ARG(name));
		if (!str_ends(name, str_of(suffix)))
			continue;
		n++;
		if (strcmp(suffix, BACKUP_SUFFIX) != 0)
			continue;
		ck_assert_msg(backup_file_open(path.p, NULL, &f, &err) == OK,
			      "%s", err.text);
		ck_assert_msg(backup_verify(f, &facts, &err) == OK, "%s: %s",
			      path.p, err.text);
		backup_file_close(&f);
	}
	return n;
}

static bool touch(const char *name)
{
	AUTO_BUF path = BUF_NONE;
	FILE *f;

	(void)fs_real()->ops->make_dir(fs_real(), folder, NULL);
	buf_printf(&path, "%s/%s", folder, name);
	f = fopen(path.p, "w");
	if (f)
		fclose(f);
	return f;
}

START_TEST(the_newest_are_kept_and_nothing_else_is_touched)
{
	struct store_status st;
	char cluster[37];
	AUTO_BUF other = BUF_NONE;

	ck_assert(touch("notes.txt"));
	ck_assert(touch("conflux-00000000-20200101T000000Z-n1-5.backup.away"));
	start(2, true);
	store_status(store, &st);
	uuid_text(cluster, st.node.cluster_id);
	/* Begins as ours do, and is none. */
	buf_printf(&other, "conflux-%.8s-keep-this.backup.txt", cluster);
	ck_assert(touch(other.p));
	WAIT(view().done >= 4);
	stop();
	ck_assert_uint_le(count(BACKUP_SUFFIX), 2);
	ck_assert_uint_ge(count(BACKUP_SUFFIX), 1);
	ck_assert_uint_eq(count(".part"), 0);
	ck_assert_uint_eq(count(".txt"), 2);
	ck_assert_uint_eq(count(".away"), 1);
}
END_TEST

static bool touch_of(const char *when)
{
	struct store_status st;
	char cluster[37];
	AUTO_BUF name = BUF_NONE;

	store_status(store, &st);
	uuid_text(cluster, st.node.cluster_id);
	buf_printf(&name, "conflux-%.8s-%s-n1-5" BACKUP_SUFFIX, cluster, when);
	return touch(name.p);
}

/* Files that are named as backups. */
static unsigned named(void)
{
	AUTO_BUF names = BUF_NONE;
	unsigned n = 0;

	ck_assert_int_eq(fs_real()->ops->list(fs_real(), folder, &names, &err),
			 OK);
	for (struct str rest = buf_view(&names); rest.n;)
		n += str_ends(str_cut(&rest, '\0'), STR(BACKUP_SUFFIX));
	return n;
}

/* A clock that was once wrong neither drives out what is kept nor makes one due. */
START_TEST(a_name_ahead_of_the_clock_does_not_count)
{
	start(3, false);
	ck_assert(touch_of("20200101T000000Z"));
	ck_assert(touch_of("20200102T000000Z"));
	ck_assert(touch_of("20991231T235959Z"));
	stop();
	interval_ms = 3600000;
	start(3, true);
	WAIT(view().done >= 1);
	stop();
	ck_assert_uint_eq(named(), 4);
	/* The next run sees what that one made. */
	start(3, true);
	WAIT(view().last_ms > 0);
	ck_assert_uint_le(view().last_ms, clock_wall_ms());
	stop();
	ck_assert_uint_eq(named(), 4);
}
END_TEST

/* Whatever the clock says, and whoever takes the files away. */
START_TEST(a_run_makes_one_an_interval_at_most)
{
	uint64_t began = clock_mono_ms();
	AUTO_BUF names = BUF_NONE;

	interval_ms = 3000;
	start(2, true);
	WAIT(view().done >= 1);
	ck_assert_int_eq(fs_real()->ops->list(fs_real(), folder, &names, &err),
			 OK);
	for (struct str rest = buf_view(&names); rest.n;) {
		struct str name = str_cut(&rest, '\0');
		AUTO_BUF path = BUF_NONE;

		buf_printf(&path, "%s/%.*s", folder, STR_ARG(name));
		ck_assert_int_eq(fs_real()->ops->remove(fs_real(), path.p, &err),
				 OK);
	}
	WAIT(view().done >= 2);
	ck_assert_uint_ge(clock_mono_ms() - began, interval_ms);
}
END_TEST

/* ---- streams ---- */

struct reading {
	struct loop *loop;
	struct backup_stream *stream;
	struct buf all;
	unsigned most;                   /* then it is closed; 0: never */
	unsigned told;
	enum code rc;
	struct msg msg;
};

static void told(void *p, enum code rc, struct str bytes, bool more,
		 const struct err *e)
{
	struct reading *r = p;

	r->rc = rc;
	r->told++;
	buf_str(&r->all, bytes);
	if (more && r->told != r->most) {
		backup_stream_next(r->stream);
		return;
	}
	backup_stream_close(&r->stream);
	loop_stop(r->loop);
}

static void read_one(struct reading *r, unsigned most)
{
	r->loop = loop_new("reader", 0);
	r->most = most;
	r->stream = backup_stream_new(backups, r->loop, told, r);
	backup_stream_next(r->stream);
	loop_run_here(r->loop);
	loop_free(&r->loop);
}

static enum code whole(const struct reading *r)
{
	struct backup_reader *reader = backup_reader_new(NULL, NULL);
	enum code rc = backup_feed(reader, buf_view(&r->all), &err);

	if (rc == OK)
		rc = backup_finish(reader, &err);
	backup_reader_free(&reader);
	return rc;
}

START_TEST(a_stream_that_is_left_makes_room_for_the_next)
{
	start(1, false);
	WAIT(store_leads(store));
	for (unsigned i = 0; i < 3; i++) {
		struct reading left = { 0 }, all = { 0 };

		read_one(&left, 1);
		ck_assert_int_eq(left.rc, OK);
		ck_assert_int_eq(whole(&left), E_CORRUPT);
		read_one(&all, 0);
		ck_assert_int_eq(all.rc, OK);
		ck_assert_int_eq(whole(&all), OK);
		buf_fini(&left.all);
		buf_fini(&all.all);
	}
	ck_assert_uint_eq(view().streams, 3);
}
END_TEST

START_TEST(one_stream_at_a_time)
{
	struct reading first = { 0 }, second = { 0 };

	start(1, false);
	WAIT(store_leads(store));
	first.loop = loop_new("first", 0);
	first.stream = backup_stream_new(backups, first.loop, told, &first);
	read_one(&second, 0);
	ck_assert_int_eq(second.rc, E_BUSY);
	backup_stream_close(&first.stream);
	loop_free(&first.loop);
	read_one(&second, 0);
	ck_assert_int_eq(second.rc, OK);
	buf_fini(&second.all);
}
END_TEST

static void nap_us(unsigned us)
{
	const struct timespec t = { .tv_nsec = us * 1000l };

	nanosleep(&t, NULL);
}

/* Whatever the schedule is at: before it has begun, while it looks, while the picture is
 * taken, while one is written.  One follows the other, so some stop lies in each.  The
 * store goes on, and finds nobody there. */
START_TEST(the_schedule_ends_with_the_node)
{
	struct backups *all[24];

	start(1, false);
	WAIT(store_leads(store));
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		struct backups_config b = { .version = "test", .node_id = 1,
					    .dir = folder, .interval_ms = 1, .keep = 1,
					    .recipient = "", .store = store };
		struct backups_view v = { 0 };

		ck_assert_int_eq(backups_new(&b, &all[i], &err), OK);
		while (i % 4 && !v.is_running && !v.done)
			backups_view(all[i], &v);
		nap_us((i % 8) * 300);
		backups_stop(all[i]);
		ck_assert_uint_eq(count(".part"), 0);
	}
	stop();
	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		backups_free(&all[i]);
}
END_TEST

/* The question is out when the stream is closed and everything ends. */
START_TEST(what_is_under_way_ends_with_the_node)
{
	struct reading r = { 0 };

	start(1, false);
	r.loop = loop_new("reader", 0);
	r.stream = backup_stream_new(backups, r.loop, told, &r);
	backup_stream_next(r.stream);
	backup_stream_close(&r.stream);
	stop();
	loop_free(&r.loop);
	ck_assert_uint_eq(r.told, 0);
}
END_TEST

#ifdef CONFLUX_FAILPOINTS

static const char *const steps[] = { "backup.write", "backup.sync",
				     "backup.rename", "backup.prune" };

START_TEST(a_failure_is_told_leaves_nothing_and_is_tried_again)
{
	char spec[64];

	snprintf(spec, sizeof(spec), "%s=error", steps[_i]);
	start(1, true);
	WAIT(view().done >= 1);
	ck_assert_int_eq(failpoint_set(spec, &err), OK);
	WAIT(view().failed >= 2);
	ck_assert_uint_gt(view().failed_ms, 0);
	ck_assert_msg(strstr(view().error, steps[_i]) != NULL, "%s",
		      view().error);
	/* The one from before is still there. */
	ck_assert_uint_ge(count(BACKUP_SUFFIX), 1);
	snprintf(spec, sizeof(spec), "%s=off", steps[_i]);
	ck_assert_int_eq(failpoint_set(spec, &err), OK);
	WAIT(view().failed_ms == 0);
	ck_assert_str_eq(view().error, "");
	stop();
	ck_assert_uint_eq(count(BACKUP_SUFFIX), 1);
	ck_assert_uint_eq(count(".part"), 0);
}
END_TEST

/* A daemon that is killed there. */
static void killed_at(const char *step, unsigned pass)
{
	char spec[64];
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		snprintf(spec, sizeof(spec), "%s=crash@%u", step, pass);
		if (failpoint_set(spec, &err))
			_exit(2);
		start(1, true);
		while (view().failed == 0)
			nap();
		_exit(3);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status), "ended with %d", WEXITSTATUS(status));
}

START_TEST(a_crash_leaves_what_is_whole_and_a_part)
{
	/* The second backup is the one that is cut; the first one is three
	 * pieces. */
	killed_at(steps[_i], _i == 0 ? 5 : _i == 3 ? 1 : 2);
	ck_assert_uint_ge(count(BACKUP_SUFFIX), 1);
	ck_assert_uint_le(count(".part"), 1);
	start(1, true);
	WAIT(view().done >= 2);
	stop();
	ck_assert_uint_eq(count(BACKUP_SUFFIX), 1);
	ck_assert_uint_eq(count(".part"), 0);
}
END_TEST

#endif

static Suite *suite(void)
{
	Suite *s = suite_create("backups/schedule");
	TCase *t = tcase_create("schedule");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_newest_are_kept_and_nothing_else_is_touched);
	tcase_add_test(t, a_name_ahead_of_the_clock_does_not_count);
	tcase_add_test(t, a_run_makes_one_an_interval_at_most);
	tcase_add_test(t, a_stream_that_is_left_makes_room_for_the_next);
	tcase_add_test(t, one_stream_at_a_time);
	tcase_add_test(t, the_schedule_ends_with_the_node);
	tcase_add_test(t, what_is_under_way_ends_with_the_node);
#ifdef CONFLUX_FAILPOINTS
	tcase_add_loop_test(t, a_failure_is_told_leaves_nothing_and_is_tried_again,
			    0, ARRAY_LEN(steps));
	tcase_add_loop_test(t, a_crash_leaves_what_is_whole_and_a_part, 0,
			    ARRAY_LEN(steps));
#endif
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
