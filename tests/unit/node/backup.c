/* Backups of a node and what is restored from them: the core on one thread,
 * then nodes with threads, then crashes at each step of a restore. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backup/backup.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "lab.h"
#include "node/identity.h"
#include "raftcore/restore.h"
#include "ring.h"
#include "wire/wire.h"

#include "base/banned.h"

static struct err err;

/* ---- the core: checkpoints on demand ---- */

static struct lab *lab;
static struct lab_proposal proposals[2000];
static unsigned n_proposals;

struct asked {
	struct node_backup core;
	unsigned n_done;
	enum code rc;
	uint64_t index;
};

static void setup_lab(void)
{
	lab = lab_new(7);
	lab->config.checkpoint_log_bytes = 1 << 30;
	n_proposals = 0;
	lab_open(lab);
	lab_settle(lab);
}

static void teardown_lab(void)
{
	lab_free(lab);
}

static void propose(unsigned n)
{
	while (n--)
		lab_propose(lab, &proposals[n_proposals++]);
}

static void on_asked(struct node_backup *core, enum code rc,
		     const struct checkpoint *c, const struct err *e)
{
	struct asked *a = container_of(core, struct asked, core);

	a->n_done++;
	a->rc = rc;
	a->index = c->index;
}

static void ask(struct asked *a)
{
	*a = (struct asked){ .core = { .done = on_asked } };
	node_core_backup(lab->core, lab->now_ms, &a->core);
}

START_TEST(what_is_applied_is_in_the_checkpoint)
{
	struct asked first, second;
	uint64_t applied;

	propose(10);
	lab_settle(lab);
	ck_assert_uint_eq(lab->checkpoints, 0);
	applied = lab->state.index;
	ask(&first);
	ck_assert_uint_eq(first.n_done, 0);
	lab_settle(lab);
	ck_assert_uint_eq(first.n_done, 1);
	ck_assert_int_eq(first.rc, OK);
	ck_assert_uint_ge(first.index, applied);
	ck_assert_uint_eq(lab->checkpoints, 1);
	/* Nothing is new: the same one does. */
	ask(&second);
	ck_assert_uint_eq(second.n_done, 1);
	ck_assert_uint_eq(second.index, first.index);
	ck_assert_uint_eq(lab->checkpoints, 1);
	propose(1);
	lab_settle(lab);
	ask(&second);
	ck_assert_uint_eq(second.n_done, 0);
	lab_settle(lab);
	ck_assert_uint_gt(second.index, first.index);
	ck_assert_uint_eq(lab->checkpoints, 2);
}
END_TEST

START_TEST(an_older_checkpoint_under_way_is_not_enough)
{
	struct asked first, second;
	uint64_t applied;

	propose(3);
	lab_settle(lab);
	ask(&first);
	while (!lab->writing)
		ck_assert(lab_machine(lab));
	propose(3);
	while (lab_write(lab) || lab_machine(lab))
		;
	applied = lab->state.index;
	ask(&second);
	ck_assert(lab_worker(lab));
	ck_assert_uint_eq(first.n_done, 1);
	ck_assert_uint_eq(second.n_done, 0);
	ck_assert_uint_lt(first.index, applied);
	lab_settle(lab);
	ck_assert_uint_eq(second.n_done, 1);
	ck_assert_uint_ge(second.index, applied);
	ck_assert_uint_eq(lab->checkpoints, 2);
}
END_TEST

START_TEST(a_checkpoint_that_fails_is_told_and_the_node_goes_on)
{
	struct asked a;

	propose(3);
	lab_settle(lab);
	lab->fails_next_checkpoint = true;
	ask(&a);
	lab_settle(lab);
	ck_assert_uint_eq(a.n_done, 1);
	ck_assert_int_eq(a.rc, E_FULL);
	ck_assert_uint_eq(lab->fatals, 0);
	lab->fails_next_checkpoint = false;
	propose(1);
	ask(&a);
	lab_settle(lab);
	ck_assert_int_eq(a.rc, OK);
}
END_TEST

START_TEST(who_waits_when_the_node_stops_is_told)
{
	struct asked a;

	propose(3);
	lab_settle(lab);
	ask(&a);
	node_core_stop(lab->core);
	ck_assert_uint_eq(a.n_done, 1);
	ck_assert_int_eq(a.rc, E_UNAVAILABLE);
	ask(&a);
	ck_assert_uint_eq(a.n_done, 1);
	ck_assert_int_eq(a.rc, E_UNAVAILABLE);
}
END_TEST

/* ---- nodes ---- */

struct taking {
	struct rc_backup backup;
	unsigned at;
	bool is_done;
	enum code rc;
	struct rc_picture *picture;
	struct err err;
};

static void about(struct rc_backup *backup, struct buf *out)
{
	struct taking *t = container_of(backup, struct taking, backup);

	buf_printf(out, "count %llu",
		   (unsigned long long)ring[t->at - 1].state.count);
}

static void taken(struct rc_backup *backup, enum code rc,
		  struct rc_picture *picture, const struct err *e)
{
	struct taking *t = container_of(backup, struct taking, backup);

	pthread_mutex_lock(&ring_lock);
	t->is_done = true;
	t->rc = rc;
	t->picture = picture;
	err_copy(&t->err, e);
	pthread_mutex_unlock(&ring_lock);
	ring_changed();
}

static bool is_taken(struct taking *t)
{
	bool yes;

	pthread_mutex_lock(&ring_lock);
	yes = t->is_done;
	pthread_mutex_unlock(&ring_lock);
	return yes;
}

static struct rc_picture *take(unsigned at)
{
	struct taking t = { .backup = { 20000, about, taken }, .at = at };

	ck_assert(rc_backup(ring[at - 1].node, &t.backup));
	RING_WAIT(is_taken(&t));
	ck_assert_msg(t.rc == OK, "%s", t.err.text);
	return t.picture;
}

static void stream(struct rc_picture *p, struct buf *out)
{
	bool more = true;

	while (more)
		ck_assert_msg(rc_picture_read(p, out, &more, &err) == OK, "%s",
			      err.text);
}

/* Bytes of a backup as a source. */
struct memory {
	struct str all, left;
};

static enum code rewind_memory(void *data, struct err *e)
{
	struct memory *m = data;

	m->left = m->all;
	return OK;
}

static enum code read_memory(void *data, void *p, size_t n, size_t *got,
			     struct err *e)
{
	struct memory *m = data;

	*got = MIN(n, m->left.n);
	memcpy(p, m->left.p, *got);
	m->left = str_from(m->left, *got);
	return OK;
}

static struct rc_source source_of(struct memory *m)
{
	return (struct rc_source){ rewind_memory, read_memory, m };
}

static enum code first_piece(void *data, struct str bytes, struct err *e)
{
	memcpy(data, bytes.p, sizeof(struct ring_state));
	return OK;
}

static struct ring_state state_in(struct str bytes)
{
	struct ring_state s;
	struct backup_reader *r = backup_reader_new(first_piece, &s);

	ck_assert_msg(backup_feed(r, bytes, &err) == OK, "%s", err.text);
	ck_assert_int_eq(backup_finish(r, &err), OK);
	backup_reader_free(&r);
	return s;
}

START_TEST(each_node_gives_all_that_was_acknowledged)
{
	uint64_t n = 0;

	ring_found(3);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned at = 1; at <= 3; at++) {
			AUTO_BUF bytes = BUF_NONE;
			struct rc_picture *p;
			struct ring_state s;

			ring_fill(ring_elected(), n, 100, 50);
			n += 100;
			p = take(at);
			stream(p, &bytes);
			s = state_in(buf_view(&bytes));
			ck_assert_uint_ge(s.count, n);
			ck_assert_uint_eq(rc_picture_head(p)->node, at);
			ck_assert_uint_eq(rc_picture_head(p)->n_members, 3);
			ck_assert_uint_le(rc_picture_head(p)->index, s.index);
			rc_picture_free(&p);
		}
	}
}
END_TEST

START_TEST(a_stream_outlives_its_checkpoint_and_its_node)
{
	AUTO_BUF bytes = BUF_NONE;
	struct rc_picture *old, *p;
	struct checkpoint c;
	AUTO_BUF dir = BUF_NONE;
	AUTO_BUF path = BUF_NONE;
	bool more;

	ring_found(1);
	ring_fill(1, 0, 50, 50);
	old = take(1);
	ck_assert_int_eq(rc_picture_read(old, &bytes, &more, &err), OK);
	for (unsigned i = 0; i < 3; i++) {
		ring_fill(1, 50 + i, 1, 50);
		p = take(1);
		rc_picture_free(&p);
	}
	c.index = rc_picture_head(old)->index;
	c.term = rc_picture_head(old)->term;
	buf_printf(&dir, "%s/checkpoints", ring[0].dir);
	checkpoint_path(dir.p, &c, ".ckpt", &path);
	ck_assert_int_eq(access(path.p, F_OK), -1);
	ring_stop(1);
	stream(old, &bytes);
	ck_assert_uint_eq(state_in(buf_view(&bytes)).count, 50);
	ck_assert(str_starts(rc_picture_head(old)->about, STR("count 50")));
	rc_picture_free(&old);
}
END_TEST

START_TEST(a_picture_that_rots_has_no_end)
{
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF dir = BUF_NONE;
	struct checkpoint c = { 0 };
	struct rc_picture *p;
	struct memory m;
	struct rc_source source = source_of(&m);
	bool more = true;
	enum code rc = OK;
	FILE *f;

	ring_found(1);
	ring_fill(1, 0, 50, 50);
	p = take(1);
	c.index = rc_picture_head(p)->index;
	c.term = rc_picture_head(p)->term;
	buf_printf(&dir, "%s/checkpoints", ring[0].dir);
	checkpoint_path(dir.p, &c, ".ckpt", &path);
	f = fopen(path.p, "r+");
	ck_assert_ptr_nonnull(f);
	fseek(f, 30000, SEEK_SET);
	fputc(0x5a, f);
	fclose(f);
	while (rc == OK && more)
		rc = rc_picture_read(p, &bytes, &more, &err);
	ck_assert_int_eq(rc, E_CORRUPT);
	ck_assert(!more);
	m.all = buf_view(&bytes);
	ck_assert_int_eq(rc_backup_check(&source, NULL, NULL, &err), E_CORRUPT);
	rc_picture_free(&p);
}
END_TEST

START_TEST(without_a_majority_there_is_no_backup)
{
	struct taking t = { .backup = { 300, about, taken } };
	unsigned at;

	ring_found(3);
	ring_fill(ring_elected(), 0, 10, 50);
	at = t.at = ring_elected();
	for (unsigned id = 1; id <= 3; id++)
		if (id != at)
			ring_stop(id);
	ck_assert(rc_backup(ring[at - 1].node, &t.backup));
	RING_WAIT(is_taken(&t));
	ck_assert_int_eq(t.rc, E_UNAVAILABLE);
	ck_assert_ptr_null(t.picture);
}
END_TEST

/* ---- restoring ---- */

#define MARK 39999                       /* the value of the last command */

static void mark(void *data, const struct backup_head *head, struct buf *out)
{
	wr_u64(out, MARK);
}

static struct rc_restore how_to(struct memory *m, unsigned id)
{
	struct rc_restore how = { .dir = ring[id - 1].dir, .node_id = id,
				  .address = ring[id - 1].address,
				  .source = source_of(m), .adopt = true,
				  .command = mark };

	memset(how.cluster.b, 0x77, sizeof(how.cluster.b));
	how.machine = ring[0].config.machine;
	how.machine.data = &ring[id - 1];
	return how;
}

static void backup_of(unsigned n, struct buf *out)
{
	struct rc_picture *p;

	ring_found(n);
	ring_fill(ring_elected(), 0, 200, 50);
	p = take(n);
	stream(p, out);
	rc_picture_free(&p);
}

static struct uuid cluster_of(const char *dir)
{
	struct identity id;

	ck_assert_msg(identity_read(fs_real(), dir, &id, &err) == OK, "%s",
		      err.text);
	return id.cluster;
}

static bool is_same(struct uuid a, struct uuid b)
{
	return memcmp(a.b, b.b, sizeof(a.b)) == 0;
}

static bool has(const char *dir, const char *name)
{
	AUTO_BUF path = BUF_NONE;

	buf_printf(&path, "%s/%s", dir, name);
	return access(path.p, F_OK) == 0;
}

static void new_folder(unsigned id)
{
	snprintf(ring[id - 1].dir + strlen(ring[id - 1].dir), 8, ".new");
}

START_TEST(a_restored_node_leads_a_new_cluster_that_others_join)
{
	AUTO_BUF bytes = BUF_NONE;
	struct rc_restored restored;
	struct memory m;
	struct rc_restore how;

	backup_of(3, &bytes);
	for (unsigned id = 1; id <= 3; id++)
		ring_stop(id);
	m.all = buf_view(&bytes);
	new_folder(1);
	how = how_to(&m, 1);
	ck_assert_msg(rc_restore(&how, &restored, &err) == OK, "%s", err.text);
	ck_assert_uint_gt(restored.index, 200);
	ring_founders = 0;
	ring_cluster = how.cluster;
	ring_start(1);
	ring_elected();
	ck_assert_mem_eq(ring_status(1).cluster_id.b, how.cluster.b, 16);
	ck_assert_uint_eq(ring_count(1), 201);
	ck_assert(ring_has(1, MARK));
	for (uint64_t v = 0; v < 200; v++)
		ck_assert(ring_has(1, v));
	ring_fill(1, 1000, 100, 50);
	/* Over restarts too. */
	ring_stop(1);
	ring_start(1);
	ring_elected();
	RING_WAIT(ring_count(1) == 301);
	/* Another joins empty, and gets all of it. */
	new_folder(2);
	ring_founders = 1;
	ring_start(2);
	ck_assert_msg(ring_change(1, RC_ADD, 2, &err) == OK, "%s", err.text);
	ring_fill(1, 2000, 100, 50);
	RING_WAIT(ring_count(2) == 401);
	ck_assert(ring_equal(401));
}
END_TEST

START_TEST(a_damaged_backup_leaves_the_folder_alone)
{
	AUTO_BUF bytes = BUF_NONE;
	struct rc_restored restored;
	struct memory m;
	struct rc_restore how;
	struct uuid before;

	backup_of(1, &bytes);
	ring_stop(1);
	m.all = buf_view(&bytes);
	before = cluster_of(ring[0].dir);
	how = how_to(&m, 1);
	how.aside = true;
	for (size_t at = 5; at < bytes.n; at += bytes.n / 7) {
		bytes.p[at] ^= 1;
		ck_assert_int_eq(rc_restore(&how, &restored, &err), E_CORRUPT);
		bytes.p[at] ^= 1;
		ck_assert(!has(ring[0].dir, "restoring"));
		ck_assert(!has(ring[0].dir, "restored"));
	}
	m.all = str_first(m.all, m.all.n - 1);
	ck_assert_int_eq(rc_restore(&how, &restored, &err), E_CORRUPT);
	ck_assert(is_same(cluster_of(ring[0].dir), before));
	ring_start(1);
	ring_elected();
	RING_WAIT(ring_count(1) == 200);
}
END_TEST

START_TEST(a_folder_in_use_is_moved_aside_or_refused)
{
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF aside = BUF_NONE;
	struct rc_restored restored;
	struct memory m;
	struct rc_restore how;
	struct uuid before;

	backup_of(1, &bytes);
	m.all = buf_view(&bytes);
	how = how_to(&m, 1);
	/* The node runs. */
	ck_assert_int_eq(rc_restore(&how, &restored, &err), E_BUSY);
	ring_stop(1);
	before = cluster_of(ring[0].dir);
	ck_assert_int_eq(rc_restore(&how, &restored, &err), E_EXISTS);
	ck_assert(is_same(cluster_of(ring[0].dir), before));
	how.aside = true;
	ck_assert_msg(rc_restore(&how, &restored, &err) == OK, "%s", err.text);
	ck_assert(is_same(cluster_of(ring[0].dir), how.cluster));
	buf_printf(&aside, "%s/before-restore-77777777", ring[0].dir);
	ck_assert(is_same(cluster_of(aside.p), before));
	ck_assert(has(aside.p, "wal"));
	ck_assert(has(aside.p, "state") || has(aside.p, "checkpoints"));
	ring_founders = 0;
	ring_cluster = how.cluster;
	ring_start(1);
	ring_elected();
	ck_assert_uint_eq(ring_count(1), 201);
}
END_TEST

static enum code refuse(void *data, struct err *e)
{
	return err_set(e, E_INVALID, "not this one");
}

START_TEST(what_the_application_refuses_is_not_restored)
{
	AUTO_BUF bytes = BUF_NONE;
	struct rc_restored restored;
	struct memory m;
	struct rc_restore how;

	backup_of(1, &bytes);
	m.all = buf_view(&bytes);
	how = how_to(&m, 2);
	how.applied = refuse;
	ck_assert_int_eq(rc_restore(&how, &restored, &err), E_INVALID);
	ck_assert(!has(how.dir, "identity"));
	ck_assert(!has(how.dir, "restoring"));
	how.applied = NULL;
	ck_assert_msg(rc_restore(&how, &restored, &err) == OK, "%s", err.text);
}
END_TEST

/* ---- crashes ---- */

#ifdef CONFLUX_FAILPOINTS

static struct uuid first;                /* the cluster before all */

/* A restore that is killed there; false: it never came there. */
static bool killed_at(const struct rc_restore *how, const char *point,
		      unsigned pass)
{
	struct rc_restored restored;
	char spec[80];
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		snprintf(spec, sizeof(spec), "%s=crash@%u", point, pass);
		if (failpoint_set(spec, &err))
			_exit(2);
		_exit(rc_restore(how, &restored, &err) ? 3 : 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return true;
	ck_assert_msg(WEXITSTATUS(status) == 0, "%s: ended with %d", point,
		      WEXITSTATUS(status));
	return false;
}

/* The node starts, and is whole, as what it was or as what was restored. */
static bool starts_as_new(const struct rc_restore *how, struct uuid before)
{
	bool was_new = !is_same(before, first), is_new;

	/* It was the one founder, and is a member of the new one. */
	ring_founders = has(how->dir, "restored") || has(how->dir, "adopting") ||
			was_new || !is_same(cluster_of(how->dir), before) ?
				0 : 1;
	ring_cluster = how->cluster;
	if (!has(how->dir, "restored") && !has(how->dir, "adopting"))
		ring_cluster = cluster_of(how->dir);
	ring_start(1);
	ring_elected();
	is_new = is_same(ring_status(1).cluster_id, how->cluster);
	ck_assert(is_new || is_same(ring_status(1).cluster_id, before));
	RING_WAIT(ring_count(1) == (was_new || is_new ? 201u : 200u));
	ck_assert(!has(how->dir, "restored") && !has(how->dir, "adopting"));
	ring_stop(1);
	return is_new;
}

static const struct {
	const char *point;
	bool is_new;
} crashes[] = {
	{ "restore.begin", false }, { "restore.picture", false },
	{ "checkpoint.write", false }, { "checkpoint.sync", false },
	{ "checkpoint.rename", false }, { "checkpoint.done", false },
	{ "vote.write", false }, { "meta.write", false },
	{ "restore.commit", false }, { "restore.committed", true },
	{ "restore.aside", true }, { "restore.adopt", true },
};

START_TEST(a_crash_leaves_the_one_or_the_other)
{
	AUTO_BUF bytes = BUF_NONE;
	unsigned n = 0;
	struct memory m;
	struct rc_restore how;
	struct uuid before;

	backup_of(1, &bytes);
	ring_stop(1);
	m.all = buf_view(&bytes);
	before = first = cluster_of(ring[0].dir);
	how = how_to(&m, 1);
	how.aside = true;
	/* At each pass of the step, as long as there is one. */
	while (killed_at(&how, crashes[_i].point, n + 1)) {
		ck_assert_int_eq(starts_as_new(&how, before),
				 crashes[_i].is_new);
		before = cluster_of(ring[0].dir);
		how.cluster.b[n++ % 4]++;        /* the next one is another */
	}
	ck_assert_uint_gt(n, 0);
	ck_assert(is_same(cluster_of(ring[0].dir), how.cluster));
}
END_TEST

#endif

static Suite *suite(void)
{
	Suite *s = suite_create("node/backup");
	TCase *core = tcase_create("core");
	TCase *nodes = tcase_create("nodes");

	tcase_add_checked_fixture(core, setup_lab, teardown_lab);
	tcase_add_test(core, what_is_applied_is_in_the_checkpoint);
	tcase_add_test(core, an_older_checkpoint_under_way_is_not_enough);
	tcase_add_test(core, a_checkpoint_that_fails_is_told_and_the_node_goes_on);
	tcase_add_test(core, who_waits_when_the_node_stops_is_told);
	suite_add_tcase(s, core);
	tcase_set_timeout(nodes, 120);
	tcase_add_checked_fixture(nodes, ring_setup, ring_teardown);
	tcase_add_test(nodes, each_node_gives_all_that_was_acknowledged);
	tcase_add_test(nodes, a_stream_outlives_its_checkpoint_and_its_node);
	tcase_add_test(nodes, a_picture_that_rots_has_no_end);
	tcase_add_test(nodes, without_a_majority_there_is_no_backup);
	tcase_add_test(nodes, a_restored_node_leads_a_new_cluster_that_others_join);
	tcase_add_test(nodes, a_damaged_backup_leaves_the_folder_alone);
	tcase_add_test(nodes, a_folder_in_use_is_moved_aside_or_refused);
	tcase_add_test(nodes, what_the_application_refuses_is_not_restored);
#ifdef CONFLUX_FAILPOINTS
	tcase_add_loop_test(nodes, a_crash_leaves_the_one_or_the_other, 0,
			    ARRAY_LEN(crashes));
#endif
	suite_add_tcase(s, nodes);
	return s;
}

UNIT_MAIN(suite)
