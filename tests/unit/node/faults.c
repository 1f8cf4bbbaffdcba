/*
 * The core of a node with each call of the machine failing once: opening, the log,
 * term and vote, checkpoints and their removal, the log's cutting, an installed
 * checkpoint.  Whatever fails, the node says so or goes on; after a power loss what
 * was applied is there (the lab compares the states).
 */
#include "unit.h"

#include "lab.h"
#include "node/own.h"

#include "nth.h"

#include "base/banned.h"

#ifdef CONFLUX_FAILPOINTS

static struct lab *lab;
static struct lab_proposal proposals[1000];
static size_t n_proposals;

static void propose(void)
{
	lab_propose(lab, &proposals[n_proposals++]);
}

/* Until nothing waits, or the node has failed. */
static void settle(void)
{
	do {
		while (!lab->fatals &&
		       (lab_write(lab) || lab_machine(lab) || lab_worker(lab)))
			;
		if (!lab->is_ready && !lab->fatals)
			lab_wait(lab);
	} while (!lab->fatals &&
		 (!lab->is_ready || lab->batch || lab->writes));
}

static void work(unsigned rounds)
{
	settle();
	for (unsigned i = 0; i < rounds && !lab->fatals; i++) {
		for (unsigned k = 0; k < 12; k++)
			propose();
		settle();
	}
}

static enum code open_core(struct err *err)
{
	enum code rc = lab_try_open(lab, err);

	if (rc)
		return rc;
	lab->is_leader = lab->is_ready = false;
	node_core_start(lab->core, lab->now_ms);
	return OK;
}

/* The machine reads its checkpoint itself, in lab_try_open. */
static void check_said(const struct nth *nth, const struct err *err)
{
	ck_assert_msg(err->code == nth->code || err->code == E_IO ||
		      err->code == E_CORRUPT, "%s", err->text);
	ck_assert_uint_gt(strlen(err->text), 0);
}

static void run(const struct nth *nth, void *data)
{
	struct node_core_view before, after;
	struct err err = { 0 };

	lab = lab_new(nth->n);
	lab->may_not_cut = true;
	lab->config.checkpoint_log_bytes = 2000;
	n_proposals = 0;
	lab_open(lab);
	work(14);
	ck_assert_uint_gt(lab->checkpoints, 2);
	node_core_view(lab->core, &before);
	lab_crash(lab);

	nth_begin(nth);
	if (open_core(&err) == OK) {
		/* No whole checkpoint was taken for a damaged one. */
		node_core_view(lab->core, &after);
		ck_assert_uint_ge(after.checkpoint_index,
				  before.checkpoint_index);
		work(8);
		if (lab->fatals)
			check_said(nth, &lab->fatal);
	} else {
		check_said(nth, &err);
	}
	nth_end(nth);

	lab_crash(lab);
	lab->fatals = 0;
	ck_assert_msg(open_core(&err) == OK, "%s %llu: %s",
		      failpoint_name(nth->fp), (unsigned long long)nth->n,
		      err.text);
	work(1);
	ck_assert_msg(!lab->fatals, "%s", lab->fatal.text);
	ck_assert_uint_ge(lab->state.index, lab->applied_ever);
	lab_free(lab);
}

START_TEST(a_node_loses_nothing)
{
	ck_assert_uint_gt(nth_sweep(nth_files, ARRAY_LEN(nth_files), E_IO, run,
				    NULL), 200);
}
END_TEST

START_TEST(a_node_with_a_full_disk_loses_nothing)
{
	ck_assert_uint_gt(nth_sweep(nth_growing, ARRAY_LEN(nth_growing), E_FULL,
				    run, NULL), 150);
}
END_TEST

/* ---- an installed checkpoint ---- */

#define PICTURE "/node/checkpoints/came"

static void put_picture(struct checkpoint *c)
{
	struct lab_state state = { .index = c->index, .term = c->term, .sum = 77 };
	struct fs *fs = lab->fs;
	struct err err;
	struct file *f;

	ck_assert_int_eq(fs->ops->open(fs, PICTURE, FILE_WRITE | FILE_CREATE, &f,
				       &err), OK);
	ck_assert_int_eq(fs->ops->write(fs, f, 0, &state, sizeof(state), &err),
			 OK);
	ck_assert_int_eq(fs->ops->sync(fs, f, &err), OK);
	fs->ops->close(fs, f);
	ck_assert_int_eq(fs->ops->sync_dir(fs, "/node/checkpoints", &err), OK);
	c->bytes = sizeof(state);
	c->sum = sha256_of(str_n((const char *)&state, sizeof(state)));
	lab->sums[5000] = 77;
}

/* Until it is in place, the node is the one that it was; then it is the other's. */
static void run_install(const struct nth *nth, void *data)
{
	struct checkpoint c = { .index = 5000, .conf_index = 1 };
	struct node_core_view v;
	struct err err = { 0 };
	uint64_t before;
	enum code rc;
	bool done;

	lab = lab_new(nth->n);
	lab->may_not_cut = true;
	lab->config.checkpoint_log_bytes = 2000;
	n_proposals = 0;
	lab_open(lab);
	work(8);
	before = lab->state.index;
	node_core_view(lab->core, &v);
	c.cluster = v.cluster;
	/* A node knows of a leader's term before it takes anything of it. */
	c.term = v.term;
	buf_str(&c.conf, buf_view(&lab->core->conf));
	put_picture(&c);

	nth_begin(nth);
	rc = node_install(lab->fs, node_core_files(lab->core), "/node",
			  node_core_wal(lab->core), &c, PICTURE, &err);
	nth_end(nth);
	done = rc == OK;
	if (!done)
		check_said(nth, &err);
	/* As where there is room again. */
	if (rc == E_FULL) {
		ck_assert_msg(node_install(lab->fs, node_core_files(lab->core),
					   "/node", node_core_wal(lab->core), &c,
					   PICTURE, &err) == OK,
			      "%s %llu: %s", failpoint_name(nth->fp),
			      (unsigned long long)nth->n, err.text);
		done = true;
	}
	checkpoint_fini(&c);

	lab_crash(lab);
	/* The lab's own history ends where the other's begins. */
	lab->applied_ever = before;
	ck_assert_msg(open_core(&err) == OK, "%s %llu: %s",
		      failpoint_name(nth->fp), (unsigned long long)nth->n,
		      err.text);
	ck_assert(lab->state.index == 5000 || !done);
	work(1);
	ck_assert_msg(!lab->fatals, "%s", lab->fatal.text);
	ck_assert_uint_ge(lab->state.index, before);
	lab_free(lab);
}

START_TEST(an_installed_checkpoint_is_there_or_not)
{
	ck_assert_uint_gt(nth_sweep(nth_files, ARRAY_LEN(nth_files), E_IO,
				    run_install, NULL), 20);
}
END_TEST

START_TEST(an_installed_checkpoint_finds_room_later)
{
	ck_assert_uint_gt(nth_sweep(nth_growing, ARRAY_LEN(nth_growing), E_FULL,
				    run_install, NULL), 10);
}
END_TEST

/* ---- identity ---- */

/* 'data': there was one before. */
static void run_identity(const struct nth *nth, void *data)
{
	struct disk *disk = disk_new(nth->n);
	struct fs *fs = disk_fs(disk);
	struct identity first, again;
	struct err err = { 0 };
	bool done;

	ck_assert_int_eq(fs->ops->make_dir(fs, "d", &err), OK);
	if (data)
		ck_assert_int_eq(identity_open(fs, "d", 1, NULL, false, &first, &err),
				 OK);
	again = first;
	nth_begin(nth);
	done = identity_open(fs, "d", 1, NULL, false, data ? &again : &first, &err) ==
	       OK;
	nth_end(nth);
	if (!done)
		check_said(nth, &err);
	disk_power_loss(disk);
	ck_assert_msg(identity_open(fs, "d", 1, NULL, false, &again, &err) == OK, "%s",
		      err.text);
	if (done || data) {
		ck_assert(!again.is_new);
		ck_assert_mem_eq(first.cluster.b, again.cluster.b, 16);
	}
	disk_free(&disk);
}

START_TEST(an_identity_is_made_once)
{
	static bool was_there = true;

	ck_assert_uint_ge(nth_sweep(nth_files, ARRAY_LEN(nth_files), E_IO,
				    run_identity, NULL), 5);
	ck_assert_uint_ge(nth_sweep(nth_files, ARRAY_LEN(nth_files), E_IO,
				    run_identity, &was_there), 3);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, a_node_loses_nothing);
	tcase_add_test(t, a_node_with_a_full_disk_loses_nothing);
	tcase_add_test(t, an_installed_checkpoint_is_there_or_not);
	tcase_add_test(t, an_installed_checkpoint_finds_room_later);
	tcase_add_test(t, an_identity_is_made_once);
}

#else

START_TEST(needs_failpoints)
{
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, needs_failpoints);
}

#endif

static Suite *suite(void)
{
	Suite *s = suite_create("node/faults");
	TCase *t = tcase_create("faults");

	tcase_set_timeout(t, 240);
	add(t);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
