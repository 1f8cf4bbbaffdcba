/* A cluster without majority: what survivors hold, which of them is the best, one
 * made a new cluster, and crashes at each step of that. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "io/file.h"
#include "node/identity.h"
#include "raftcore/recover.h"
#include "ring.h"
#include "seal/keyring.h"
#include "wire/wire.h"

#include "base/banned.h"

#define MARK 39999                       /* the value of the last command */

static struct err err;
static struct rc_survey told;            /* what the command was told */
static uint64_t mark_value = MARK;

static void mark(void *data, const struct rc_survey *from, struct buf *out)
{
	told = *from;
	wr_u64(out, mark_value);
}

static struct rc_recover how_to(unsigned id)
{
	struct rc_recover how = { .dir = ring[id - 1].dir, .accepts_loss = true,
				  .address = ring[id - 1].address,
				  .seal = ring_config.seal, .command = mark };

	memset(how.cluster.b, 0x77, sizeof(how.cluster.b));
	how.machine = ring[0].config.machine;
	how.machine.data = &ring[id - 1];
	return how;
}

static struct rc_survey survey(unsigned id)
{
	struct rc_survey s;

	ck_assert_msg(rc_survey(ring[id - 1].dir, ring_config.seal, &s, &err) ==
			      OK, "%s", err.text);
	return s;
}

static struct uuid cluster_of(const char *dir)
{
	struct identity id;

	ck_assert_msg(identity_read(fs_real(), dir, &id, &err) == OK, "%s",
		      err.text);
	return id.cluster;
}

static bool has(const char *dir, const char *name)
{
	AUTO_BUF path = BUF_NONE;

	buf_printf(&path, "%s/%s", dir, name);
	return access(path.p, F_OK) == 0;
}

static void stop_all(void)
{
	for (unsigned id = 1; id <= RING_MAX; id++)
		if (ring[id - 1].node)
			ring_stop(id);
}

/* ---- looking ---- */

START_TEST(a_survey_says_what_is_there_and_changes_nothing)
{
	struct rc_survey s, again;
	uint64_t last;

	ring_found(3);
	ring_fill(ring_elected(), 0, 100, 50);
	RING_WAIT(ring_equal(100));
	ck_assert_int_eq(rc_survey(ring[0].dir, NULL, &s, &err), E_BUSY);
	last = ring_status(1).last;
	stop_all();
	s = survey(1);
	ck_assert_uint_eq(s.node_id, 1);
	ck_assert(uuid_eq(&s.cluster, &ring_cluster));
	ck_assert_uint_ge(s.last_index, last);
	ck_assert_uint_ge(s.last_index, 101);
	ck_assert_uint_ge(s.last_term, 1);
	ck_assert_uint_ge(s.vote_term, s.last_term);
	ck_assert_uint_eq(s.checkpoint_index, 0);
	ck_assert(!s.is_fenced);
	ck_assert_uint_eq(s.n_members, 3);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(s.members[i].id, i + 1);
		ck_assert(s.members[i].votes);
		ck_assert_str_eq(s.members[i].address, ring[i].address);
	}
	again = survey(1);
	ck_assert_uint_eq(again.last_index, s.last_index);
	ring_start(1);
	ring_start(2);
	ring_elected();
	RING_WAIT(ring_equal(100));
}
END_TEST

START_TEST(what_is_no_data_directory_is_told)
{
	struct rc_survey s;
	char dir[100];

	ring_found(1);
	snprintf(dir, sizeof(dir), "%s.none", ring[0].dir);
	ck_assert_int_eq(rc_survey(dir, NULL, &s, &err), E_NOT_FOUND);
	ck_assert_int_ne(access(dir, F_OK), 0);
	snprintf(dir, sizeof(dir), "%s/wal", ring[0].dir);
	ck_assert_int_eq(rc_survey(dir, NULL, &s, &err), E_NOT_FOUND);
}
END_TEST

START_TEST(the_one_with_the_highest_term_and_index_is_the_best)
{
	struct rc_survey a, b, c;

	ring_found(3);
	ring_fill(ring_elected(), 0, 50, 50);
	RING_WAIT(ring_equal(50));
	ring_stop(3);
	ring_fill(ring_elected(), 50, 50, 50);
	RING_WAIT(ring_equal(100));
	stop_all();
	a = survey(1);
	b = survey(2);
	c = survey(3);
	ck_assert_int_gt(rc_survey_cmp(&a, &c), 0);
	ck_assert_int_gt(rc_survey_cmp(&b, &c), 0);
	ck_assert_int_lt(rc_survey_cmp(&c, &a), 0);
	/* A longer log of an older term is less; a fenced node is the last. */
	b = c;
	b.last_index = a.last_index + 1000;
	b.last_term = a.last_term - 1;
	ck_assert_int_lt(rc_survey_cmp(&b, &a), 0);
	b = a;
	ck_assert_int_eq(rc_survey_cmp(&b, &a), 0);
	b.last_term++;
	b.is_fenced = true;
	ck_assert_int_lt(rc_survey_cmp(&b, &a), 0);
}
END_TEST

/* ---- recovering ---- */

static struct keyring *keys;

static void small_and_sealed(bool is_sealed)
{
	ring_config.checkpoint_log_bytes = 300 * 1024;
	ring_config.segment_bytes = 64 * 4096;
	ring_config.checkpoints_kept = 1;
	ring_config.inflight_entries_max = 128;
	ck_assert_int_eq(keyring_parse(STR("one 000102030405060708090a0b0c0d0e0f"
					   "101112131415161718191a1b1c1d1e1f"),
				       "keys", &keys, NULL), OK);
	if (is_sealed)
		ring_config.seal = keyring_provider(keys);
}

static void recover(unsigned id, struct rc_restored *out)
{
	struct rc_recover how = how_to(id);
	struct rc_survey was;

	ck_assert_msg(rc_recover(&how, &was, out, &err) == OK, "%s", err.text);
	ck_assert_uint_eq(told.last_index, was.last_index);
	ck_assert_uint_gt(out->term, was.vote_term);
	ck_assert_uint_gt(out->term, was.last_term);
	ck_assert_uint_gt(out->index, was.last_index);
	ring_founders = 0;
	ring_cluster = how.cluster;
}

/* With checkpoints that the log begins behind, plain and sealed. */
START_TEST(all_of_the_log_is_there_and_others_join)
{
	struct rc_restored restored;
	struct rc_survey s;
	unsigned n = 0, at;

	small_and_sealed(_i);
	ring_found(3);
	at = ring_elected();
	while (ring_status(at).log_first <= 1) {
		ring_fill(at, n, 200, 1000);
		n += 200;
	}
	/* What comes now no checkpoint takes in, whoever's turn it was. */
	stop_all();
	ring_config.checkpoint_log_bytes = 1u << 30;
	for (unsigned id = 1; id <= 3; id++)
		ring_start(id);
	at = ring_elected();
	ring_fill(at, n, 7, 50);
	n += 7;
	stop_all();
	s = survey(at);
	ck_assert_uint_gt(s.checkpoint_index, 0);
	ck_assert_uint_gt(s.last_index, s.checkpoint_index);
	ck_assert_uint_eq(s.n_members, 3);
	recover(at, &restored);
	ring_start(at);
	ring_elected();
	ck_assert_uint_eq(ring_count(at), n + 1);
	for (uint64_t v = 0; v < n; v++)
		ck_assert_msg(ring_has(at, v), "value %u is lost", (unsigned)v);
	ck_assert(ring_has(at, MARK));
	ck_assert_uint_ge(ring_status(at).term, restored.term);
	/* Another joins empty; an old member's folder is refused. */
	ring_founders = 3;
	ring_start(4);
	ck_assert_msg(ring_change(at, RC_ADD, 4, &err) == OK, "%s", err.text);
	/* How many there were until the log was cut differs from run to run. */
	ring_fill(at, n, 50, 50);
	RING_WAIT(ring_count(4) == n + 51);
	ring_founders = 0;
	ck_assert_int_eq(ring_try_start(at == 1 ? 2 : 1, &err), E_DENIED);
	ring_stop(at);
	ring_stop(4);
	keyring_free(&keys);
}
END_TEST

START_TEST(without_the_key_nothing_is_done)
{
	struct rc_restored restored;
	struct rc_survey s;
	struct rc_recover how;
	struct uuid before;

	small_and_sealed(true);
	ring_found(1);
	ring_fill(1, 0, 50, 50);
	stop_all();
	before = cluster_of(ring[0].dir);
	ck_assert_int_eq(rc_survey(ring[0].dir, NULL, &s, &err), E_DENIED);
	how = how_to(1);
	how.seal = NULL;
	ck_assert_int_eq(rc_recover(&how, &s, &restored, &err), E_DENIED);
	ck_assert(!has(how.dir, "restoring"));
	ck_assert(has(how.dir, "wal"));
	how.cluster = cluster_of(ring[0].dir);
	ck_assert(uuid_eq(&how.cluster, &before));
	ring_config.seal = NULL;
	keyring_free(&keys);
}
END_TEST

static enum code no(void *data, struct err *e)
{
	return err_set(e, E_INVALID, "not this one");
}

START_TEST(what_runs_or_is_refused_stays_as_it_is)
{
	struct rc_restored restored;
	struct rc_survey was;
	struct rc_recover how;

	ring_found(1);
	ring_fill(1, 0, 50, 50);
	how = how_to(1);
	ck_assert_int_eq(rc_recover(&how, &was, &restored, &err), E_BUSY);
	ring_stop(1);
	how.accepts_loss = false;
	ck_assert_int_eq(rc_recover(&how, &was, &restored, &err), E_PRECONDITION);
	ck_assert(!has(how.dir, "restoring") && has(how.dir, "wal"));
	how.accepts_loss = true;
	how.applied = no;
	ck_assert_int_eq(rc_recover(&how, &was, &restored, &err), E_INVALID);
	ck_assert(!has(how.dir, "restoring") && !has(how.dir, "restored"));
	ring_start(1);
	ring_elected();
	RING_WAIT(ring_count(1) == 50);
	ck_assert(!ring_has(1, MARK));
}
END_TEST

/* ---- crashes ---- */

#ifdef CONFLUX_FAILPOINTS

/* A recovery that is killed there; false: it never came there. */
static bool killed_at(const struct rc_recover *how, const char *point,
		      unsigned pass)
{
	struct rc_restored restored;
	struct rc_survey was;
	char spec[80];
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		snprintf(spec, sizeof(spec), "%s=crash@%u", point, pass);
		if (failpoint_set(spec, &err))
			_exit(2);
		_exit(rc_recover(how, &was, &restored, &err) ? 3 : 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return true;
	ck_assert_msg(WEXITSTATUS(status) == 0, "%s: ended with %d", point,
		      WEXITSTATUS(status));
	return false;
}

static const struct {
	const char *point;
	bool is_new;
} crashes[] = {
	{ "restore.begin", false }, { "checkpoint.write", false },
	{ "checkpoint.sync", false }, { "checkpoint.rename", false },
	{ "checkpoint.done", false }, { "vote.write", false },
	{ "meta.write", false }, { "restore.commit", false },
	{ "restore.committed", true }, { "restore.aside", true },
	{ "restore.adopt", true },
};

/* The node starts, and is whole, as what it was or as what was recovered; then it
 * is done again, up to the next pass of the step. */
START_TEST(a_crash_leaves_the_one_or_the_other)
{
	uint64_t count = 60;
	unsigned n = 0;
	struct rc_recover how;
	struct uuid before, is;

	ring_found(1);
	ring_fill(1, 0, 60, 50);
	stop_all();
	how = how_to(1);
	while (killed_at(&how, crashes[_i].point, n + 1)) {
		bool moves = has(how.dir, "restored") || has(how.dir, "adopting");

		if (moves)
			before = how.cluster;
		else
			before = cluster_of(how.dir);
		ck_assert_int_eq(uuid_eq(&before, &how.cluster),
				 crashes[_i].is_new);
		ring_cluster = before;
		/* Each recovery leaves its own mark. */
		ring_founders = crashes[_i].is_new ? 0 : 1;
		count += crashes[_i].is_new;
		ring_start(1);
		ring_elected();
		is = ring_status(1).cluster_id;
		ck_assert(uuid_eq(&is, &before));
		RING_WAIT(ring_count(1) == count);
		for (uint64_t v = 0; v < 60; v++)
			ck_assert(ring_has(1, v));
		ck_assert_int_eq(ring_has(1, mark_value), crashes[_i].is_new);
		ck_assert(!has(how.dir, "restored") && !has(how.dir, "adopting"));
		ring_stop(1);
		mark_value--;
		how.cluster.b[n++ % 4]++;        /* the next one is another */
	}
	ck_assert_uint_gt(n, 0);
	before = cluster_of(how.dir);
	ck_assert(uuid_eq(&before, &how.cluster));
}
END_TEST

#endif

static Suite *suite(void)
{
	Suite *s = suite_create("node/recover");
	TCase *looking = tcase_create("looking");
	TCase *recovering = tcase_create("recovering");

	tcase_set_timeout(looking, 120);
	tcase_add_checked_fixture(looking, ring_setup, ring_teardown);
	tcase_add_test(looking, a_survey_says_what_is_there_and_changes_nothing);
	tcase_add_test(looking, what_is_no_data_directory_is_told);
	tcase_add_test(looking,
		       the_one_with_the_highest_term_and_index_is_the_best);
	suite_add_tcase(s, looking);
	tcase_set_timeout(recovering, 120);
	tcase_add_checked_fixture(recovering, ring_setup, ring_teardown);
	tcase_add_loop_test(recovering, all_of_the_log_is_there_and_others_join,
			    0, 2);
	tcase_add_test(recovering, without_the_key_nothing_is_done);
	tcase_add_test(recovering, what_runs_or_is_refused_stays_as_it_is);
#ifdef CONFLUX_FAILPOINTS
	tcase_add_loop_test(recovering, a_crash_leaves_the_one_or_the_other, 0,
			    ARRAY_LEN(crashes));
#endif
	suite_add_tcase(s, recovering);
	return s;
}

UNIT_MAIN(suite)
