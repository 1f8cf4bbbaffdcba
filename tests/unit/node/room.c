/* A disk without room: what is written is kept and goes in when there is room
 * again; meanwhile a node refuses, and votes. */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/failpoint.h"
#include "io/sim/disk.h"
#include "node/writer.h"
#include "ring.h"
#include "wal/vote.h"

#include "base/banned.h"

/* ---- the log ---- */

static struct disk *disk;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static uint64_t written;
static unsigned told_full, told_room, told_failed;

static void on_written(void *data, uint64_t sequence)
{
	pthread_mutex_lock(&lock);
	written = sequence;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static void on_failed(void *data, enum code rc, const struct err *err)
{
	pthread_mutex_lock(&lock);
	told_failed++;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static void on_room(void *data, const struct err *err)
{
	pthread_mutex_lock(&lock);
	told_full += err != NULL;
	told_room += err == NULL;
	if (told_full == 2)              /* it was tried again */
		disk_set_full(disk, false);
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static enum code none(void *data, const struct wal_entry *e, struct err *err)
{
	return OK;
}

#define ENTRIES 40

/* Appends more than a segment holds while the disk is full from the first on. */
static struct writer *start_writer(struct wal **wal, struct append *appends,
				   struct wal_entry *entries)
{
	static char bytes[4096];
	struct wal_config config = { .fs = disk_fs(disk), .dir = "wal", .node = 1,
				     .segment_bytes = 16 * 4096 };
	struct writer_config c = { .record_bytes = 4096, .on_written = on_written,
				   .on_failed = on_failed, .on_room = on_room };
	struct writer *w;
	struct err err;

	written = told_full = told_room = told_failed = 0;
	ck_assert_int_eq(wal_open(&config, none, NULL, wal, &err), OK);
	disk_set_full(disk, true);
	c.wal = *wal;
	ck_assert_int_eq(writer_start(&c, &w, &err), OK);
	for (uint64_t i = 0; i < ENTRIES; i++) {
		entries[i] = (struct wal_entry){ i + 1, 1, 1,
						 str_n(bytes, sizeof(bytes)) };
		appends[i] = (struct append){ .entries = &entries[i], .n = 1,
					      .bytes = sizeof(bytes),
					      .sequence = i + 1 };
		writer_append(w, &appends[i]);
		writer_wake(w);
	}
	return w;
}

START_TEST(the_log_goes_on_when_there_is_room)
{
	static struct append appends[ENTRIES];
	static struct wal_entry entries[ENTRIES];
	struct writer *w;
	struct wal *wal;
	struct wal_stats stats;

	disk = disk_new(1);
	w = start_writer(&wal, appends, entries);
	pthread_mutex_lock(&lock);
	while (written < ENTRIES && !told_failed)
		pthread_cond_wait(&cond, &lock);
	ck_assert_uint_eq(told_failed, 0);
	ck_assert_uint_eq(told_full, 2);
	ck_assert_uint_eq(told_room, 1);
	pthread_mutex_unlock(&lock);
	writer_stop(&w);
	wal_stats_get(wal, &stats);
	ck_assert_uint_eq(stats.last_index, ENTRIES);
	wal_close(&wal);
	disk_free(&disk);
}
END_TEST

START_TEST(a_full_disk_holds_up_no_end)
{
	static struct append appends[ENTRIES];
	static struct wal_entry entries[ENTRIES];
	struct writer *w;
	struct wal *wal;

	disk = disk_new(2);
	w = start_writer(&wal, appends, entries);
	pthread_mutex_lock(&lock);
	while (!told_full)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
	writer_stop(&w);
	ck_assert_uint_lt(written, ENTRIES);
	wal_close(&wal);
	disk_free(&disk);
}
END_TEST

/* What a task does patiently, as the installing of a checkpoint. */
static enum code restart(void *data, struct wal *wal, struct err *err)
{
	return wal_restart(wal, err);
}

struct patient {
	struct writer_task task;
	struct writer *writer;
	enum code rc;
	bool is_done;
};

static void patient_run(struct writer_task *task, struct wal *wal)
{
	struct patient *p = container_of(task, struct patient, task);
	struct err err;

	p->rc = writer_patiently(p->writer, restart, NULL, &err);
	pthread_mutex_lock(&lock);
	p->is_done = true;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

START_TEST(a_task_goes_on_when_there_is_room)
{
	static struct append appends[ENTRIES];
	static struct wal_entry entries[ENTRIES];
	struct patient p = { .task.run = patient_run };
	struct writer *w;
	struct wal *wal;
	struct wal_stats stats;

	disk = disk_new(4);
	w = start_writer(&wal, appends, entries);
	pthread_mutex_lock(&lock);
	while (written < ENTRIES && !told_failed)
		pthread_cond_wait(&cond, &lock);
	told_full = told_room = 0;
	pthread_mutex_unlock(&lock);
	disk_set_full(disk, true);
	p.writer = w;
	writer_run(w, &p.task);
	pthread_mutex_lock(&lock);
	while (!p.is_done)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
	ck_assert_int_eq(p.rc, OK);
	ck_assert_uint_eq(told_full, 2);
	ck_assert_uint_eq(told_room, 1);
	writer_stop(&w);
	wal_stats_get(wal, &stats);
	ck_assert_uint_eq(stats.last_index, 0);
	wal_close(&wal);
	disk_free(&disk);
}
END_TEST

/* ---- the vote ---- */

START_TEST(a_node_without_room_votes)
{
	struct vote v = { .term = 1 }, got;
	struct err err;

	disk = disk_new(3);
	ck_assert_int_eq(disk_fs(disk)->ops->make_dir(disk_fs(disk), "d", &err), OK);
	ck_assert_int_eq(vote_write(disk_fs(disk), "d", &v, &err), OK);
	ck_assert_int_eq(vote_write(disk_fs(disk), "d", &v, &err), OK);
	disk_set_full(disk, true);
	for (v.term = 2; v.term < 6; v.term++)
		ck_assert_int_eq(vote_write(disk_fs(disk), "d", &v, &err), OK);
	disk_power_loss(disk);
	ck_assert_int_eq(vote_read(disk_fs(disk), "d", &got, &err), OK);
	ck_assert_uint_eq(got.term, 5);
	disk_free(&disk);
}
END_TEST

/* ---- the state ---- */

struct put {
	unsigned id;
	uint64_t value;
	enum code rc;
	pthread_t thread;
};

/* Waits for the outcome, which comes when there is room. */
static void *put(void *arg)
{
	struct put *p = arg;

	p->rc = ring_put(p->id, p->value, NULL);
	return NULL;
}

static void start_put(struct put *p, unsigned id, uint64_t value)
{
	*p = (struct put){ .id = id, .value = value };
	ck_assert_int_eq(pthread_create(&p->thread, NULL, put, p), 0);
}

/* Who leads and is not this one; 0: nobody. */
static unsigned other_leader(unsigned id)
{
	for (unsigned i = 1; i <= 3; i++)
		if (i != id && ring_status(i).is_leader)
			return i;
	return 0;
}

START_TEST(a_leader_without_room_hands_over_and_comes_back)
{
	struct put late;
	unsigned leader, next;
	struct err err;

	ring_found(3);
	leader = ring_elected();
	ck_assert_int_eq(ring_put(leader, 1, &err), OK);
	atomic_store(&ring_full, leader);
	start_put(&late, leader, 2);
	RING_WAIT((next = other_leader(leader)));
	ck_assert(ring_status(leader).is_full);
	ck_assert(!ring_status(leader).is_ready);
	ck_assert_int_eq(ring_put(next, 3, &err), OK);
	ck_assert(!ring_has(leader, 2) && !ring_has(leader, 3));
	atomic_store(&ring_full, 0);
	RING_WAIT(ring_has(leader, 3) && ring_status(leader).is_ready);
	ck_assert(!ring_status(leader).is_full);
	RING_WAIT(ring_equal(3));
	pthread_join(late.thread, NULL);
}
END_TEST

START_TEST(one_alone_refuses_until_there_is_room)
{
	struct put late;
	struct err err;

	ring_found(1);
	ck_assert_int_eq(ring_put(1, 1, &err), OK);
	atomic_store(&ring_full, 1);
	start_put(&late, 1, 2);
	RING_WAIT(ring_status(1).is_full);
	ck_assert_int_eq(ring_put(1, 3, &err), E_FULL);
	ck_assert(!ring_has(1, 2));
	atomic_store(&ring_full, 0);
	pthread_join(late.thread, NULL);
	ck_assert_int_eq(late.rc, OK);
	RING_WAIT(ring_has(1, 2) && ring_status(1).is_ready);
	ck_assert_int_eq(ring_put(1, 4, &err), OK);
	ck_assert(!ring_has(1, 3));
}
END_TEST

/* Node 1, alone, whose log begins behind 500: who joins needs its checkpoint.  So many
 * entries are there. */
static unsigned found_and_cut(void)
{
	unsigned next = 400;

	ring_config.checkpoint_log_bytes = 300 * 1024;
	ring_config.segment_bytes = 64 * 4096;
	ring_config.checkpoints_kept = 1;
	ring_found(1);
	ring_fill(1, 0, 400, 1000);
	while (ring_status(1).log_first <= 500) {
		ring_fill(1, next, 200, 1000);
		next += 200;
	}
	return next;
}

/* ---- an installed checkpoint ---- */

START_TEST(a_checkpoint_is_installed_when_there_is_room)
{
	unsigned leader = 1, next = found_and_cut();

	ring_start(2);
	atomic_store(&ring_full, 2);
	ck_assert_int_eq(ring_change(leader, RC_ADD, 2, NULL), OK);
	RING_WAIT(atomic_load(&ring_full_opens) >= 2);
	RING_WAIT(ring_status(2).is_full);
	ck_assert(!ring_status(2).is_ready);
	ck_assert_uint_eq(ring_status(2).installed, 0);
	atomic_store(&ring_full, 0);
	RING_WAIT(ring_count(2) == next);
	RING_WAIT(ring_status(2).is_ready && !ring_status(2).is_full);
	ck_assert_uint_ge(ring_status(2).installed, 1);
	/* It goes on as any other, also with the next start. */
	ring_fill(leader, next, 100, 100);
	RING_WAIT(ring_equal(next + 100));
}
END_TEST

START_TEST(who_waits_for_room_ends_when_told)
{
	unsigned next = found_and_cut();

	ring_start(2);
	atomic_store(&ring_full, 2);
	ck_assert_int_eq(ring_change(1, RC_ADD, 2, NULL), OK);
	RING_WAIT(atomic_load(&ring_full_opens) >= 1);
	ring_stop(2);
	atomic_store(&ring_full, 0);
	ring_start(2);
	RING_WAIT(ring_count(2) == next);
}
END_TEST

/* A transport on which nobody is asked while it is mute. */
static const struct net_ops *tcp;
static struct net_ops mute_ops;
static void (*asked)(struct net_ask *ask, enum code rc, uint64_t from, struct str answer,
		     const struct err *err);
static _Atomic bool is_mute;
static _Atomic unsigned n_answers;

static void answered(struct net_ask *ask, enum code rc, uint64_t from, struct str answer,
		     const struct err *err)
{
	asked(ask, rc, from, answer, err);
	n_answers += rc == OK;
}

static enum code ask_unless_mute(struct net *net, struct str address,
				 struct net_ask *ask, struct err *err)
{
	if (is_mute)
		return err_set(err, E_UNAVAILABLE, "nobody is asked yet");
	asked = ask->done;
	ask->done = answered;
	return tcp->ask(net, address, ask, err);
}

static enum code open_mute(const struct net_config *config,
			   const struct net_handlers *handlers, struct net **out,
			   struct err *err)
{
	enum code rc = net_open_tcp(config, handlers, out, err);

	if (rc)
		return rc;
	tcp = (*out)->ops;
	mute_ops = *tcp;
	mute_ops.ask = ask_unless_mute;
	(*out)->ops = &mute_ops;
	return OK;
}

static uint64_t turned_away(unsigned id)
{
	struct rc_status st = ring_status(id);
	uint64_t n = 0;

	for (size_t i = 0; i < RC_REFUSALS; i++)
		n += st.refused_by[i];
	return n;
}

/* It has its cluster's name, and asks who is in it.  Until it is told it lets nobody in,
 * so that no checkpoint waits for room while that may change what is waited for. */
START_TEST(who_joins_waits_for_room_when_it_has_been_told_of_its_cluster)
{
	unsigned next = found_and_cut(), opens;

	ring_start(2);
	ring_stop(2);
	ring_config.forms = true;
	ring_config.open_net = open_mute;
	ring_founders = 2;
	is_mute = true;
	ring_start(2);
	atomic_store(&ring_full, 2);
	ck_assert_int_eq(ring_change(1, RC_ADD, 2, NULL), OK);
	RING_WAIT(turned_away(2) >= 2);
	ck_assert(!ring_status(2).is_full);
	ck_assert_uint_eq(atomic_load(&ring_full_opens), 0);
	is_mute = false;
	RING_WAIT(n_answers >= 1);
	opens = atomic_load(&ring_full_opens);
	RING_WAIT(atomic_load(&ring_full_opens) >= opens + 2);
	ck_assert(ring_status(2).is_full);
	atomic_store(&ring_full, 0);
	RING_WAIT(ring_count(2) == next);
	RING_WAIT(ring_status(2).is_ready && !ring_status(2).is_full);
}
END_TEST

/* ---- a start ---- */

#ifdef CONFLUX_FAILPOINTS

START_TEST(a_start_without_room_is_tried_again)
{
	struct err err = { 0 };

	ring_found(1);
	ck_assert_int_eq(ring_put(1, 1, &err), OK);
	ring_stop(1);
	ck_assert_int_eq(failpoint_set("wal.segment=full*2", &err), OK);
	ck_assert_int_eq(ring_try_start(1, &err), E_FULL);
	ck_assert_int_eq(ring_try_start(1, &err), E_FULL);
	ck_assert_int_eq(ring_try_start(1, &err), OK);
	RING_WAIT(ring_status(1).is_ready);
	ck_assert_int_eq(ring_put(1, 2, &err), OK);
	ck_assert(ring_has(1, 1));
}
END_TEST

/* The identity of a data directory is written when it is made, and when the cluster
 * is formed; then there is a log. */
START_TEST(a_cluster_is_formed_when_there_is_room)
{
	static const char *const specs[] = { "form.found=full*2",
					     "meta.write=full@2*2",
					     "meta.written=full@2*2",
					     "wal.segment=full*2" };
	struct err err = { 0 };

	ring_config.forms = true;
	ring_config.expect = 1;
	ck_assert_int_eq(failpoint_set(specs[_i], &err), OK);
	ring_found(1);
	RING_WAIT(ring_status(1).is_ready);
	ck_assert(ring_status(1).is_formed && !ring_status(1).is_full);
	ck_assert_int_eq(ring_put(1, 1, &err), OK);
	ring_stop(1);
	ring_start(1);
	RING_WAIT(ring_has(1, 1));
}
END_TEST

#endif

static Suite *suite(void)
{
	Suite *s = suite_create("node/room");
	TCase *t = tcase_create("files");
	TCase *r = tcase_create("nodes");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, the_log_goes_on_when_there_is_room);
	tcase_add_test(t, a_full_disk_holds_up_no_end);
	tcase_add_test(t, a_task_goes_on_when_there_is_room);
	tcase_add_test(t, a_node_without_room_votes);
	suite_add_tcase(s, t);
	tcase_set_timeout(r, 120);
	tcase_add_checked_fixture(r, ring_setup, ring_teardown);
	tcase_add_test(r, a_leader_without_room_hands_over_and_comes_back);
	tcase_add_test(r, one_alone_refuses_until_there_is_room);
	tcase_add_test(r, a_checkpoint_is_installed_when_there_is_room);
	tcase_add_test(r, who_waits_for_room_ends_when_told);
#ifdef CONFLUX_FAILPOINTS
	tcase_add_test(r, a_start_without_room_is_tried_again);
	tcase_add_loop_test(r, a_cluster_is_formed_when_there_is_room, 0, 4);
#endif
	suite_add_tcase(s, r);
	r = tcase_create("joins");
	tcase_set_timeout(r, 120);
	tcase_add_checked_fixture(r, ring_setup, ring_teardown);
	tcase_add_test(r, who_joins_waits_for_room_when_it_has_been_told_of_its_cluster);
	suite_add_tcase(s, r);
	return s;
}

UNIT_MAIN(suite)
