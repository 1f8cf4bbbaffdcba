/*
 * What is sent at a rate, while first the receiver and then the sender goes and comes
 * back: a file of the program (raftcore/files.h), and a checkpoint.  All goes over a
 * transport that counts, so that what was received in all is known.
 */
#include "hub.h"
#include "ring.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "base/rand.h"
#include "io/file.h"
#include "raftcore/files.h"
#include "seal/files.h"
#include "seal/keyring.h"

#include "base/banned.h"

#define MIB ((uint64_t)1 << 20)
#define BYTES (8 * MIB)
#define RATE (4 * MIB)

static struct err err;
static uint64_t base;                    /* bytes of before */

static uint64_t came(void)
{
	return hub_bytes(NET_SHIP) - base;
}

/* ---- files ---- */

struct sent {
	struct rc_file file;
	bool is_done;
	enum code rc;
	struct err err;
	uint64_t bytes, size;            /* as progress said last */
};

static struct buf content;
static char path[80];
/* Under the lock. */
static unsigned n_told;
static uint64_t told_by;
static char told_name[64];
static bool keeps;                       /* what has come stays there */
static struct buf content_first;         /* what is told of first, where it is another */
static _Atomic bool holds, is_held;      /* who is told waits, before he looks */

static void on_file(void *data, const struct rc_received *file)
{
	struct ring_node *r = data;
	AUTO_BUF got = BUF_NONE;
	struct err e;

	ck_assert(loop_is_here(r->apply));
	is_held = true;
	RING_WAIT(!holds);
	ck_assert_msg(fs_get(file->fs, file->path, &got, &e) == OK, "%s", e.text);
	ck_assert(str_eq(buf_view(&got), n_told == 0 && content_first.n ?
						 buf_view(&content_first) :
						 buf_view(&content)));
	if (!keeps)
		ck_assert_int_eq(unlink(file->path), 0);
	pthread_mutex_lock(&ring_lock);
	n_told++;
	told_by = file->peer;
	(void)str_copy(told_name, sizeof(told_name), str_of(file->name));
	pthread_mutex_unlock(&ring_lock);
	ring_changed();
}

static bool is_told(unsigned n)
{
	bool yes;

	pthread_mutex_lock(&ring_lock);
	yes = n_told == n;
	pthread_mutex_unlock(&ring_lock);
	return yes;
}

static void on_done(struct rc_file *file, enum code rc, const struct err *e)
{
	struct sent *s = container_of(file, struct sent, file);

	pthread_mutex_lock(&ring_lock);
	ck_assert(!s->is_done);
	s->is_done = true;
	s->rc = rc;
	err_copy(&s->err, e);
	pthread_mutex_unlock(&ring_lock);
	ring_changed();
}

static void on_progress(struct rc_file *file, uint64_t bytes, uint64_t size)
{
	struct sent *s = container_of(file, struct sent, file);

	pthread_mutex_lock(&ring_lock);
	ck_assert(!s->is_done);
	s->bytes = bytes;
	s->size = size;
	pthread_mutex_unlock(&ring_lock);
	ring_changed();
}

static void send_file(struct sent *s, unsigned from, unsigned to, const char *name)
{
	*s = (struct sent){ .file = { to, name, path, on_done, on_progress } };
	ck_assert(rc_send_file(ring[from - 1].node, &s->file));
}

static bool is_done(const struct sent *s)
{
	bool yes;

	pthread_mutex_lock(&ring_lock);
	yes = s->is_done;
	pthread_mutex_unlock(&ring_lock);
	return yes;
}

static enum code outcome(struct sent *s)
{
	RING_WAIT(is_done(s));
	return s->rc;
}

static bool has_moved(const struct sent *s)
{
	bool yes;

	pthread_mutex_lock(&ring_lock);
	yes = s->bytes >= MIB && s->bytes < BYTES && s->size == BYTES;
	pthread_mutex_unlock(&ring_lock);
	return yes;
}

static void make_file(uint64_t bytes)
{
	FILE *f = fopen(path, "w");

	buf_reset(&content);
	rand_bytes(buf_extend(&content, bytes), bytes);
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(content.p, 1, content.n, f), content.n);
	ck_assert_int_eq(fclose(f), 0);
}

static void setup(void)
{
	ring_setup();
	ring_config.open_net = hub_open;
	ring_config.ship_rate = RATE;
	ring_config.on_file = on_file;
	n_told = 0;
	keeps = holds = is_held = false;
	base = hub_bytes(NET_SHIP);
	/* Beside the folders of the nodes, which teardown removes. */
	(void)snprintf(path, sizeof(path), "%.*s/file",
		       (int)(strlen(ring[0].dir) - 2), ring[0].dir);
}

static void teardown(void)
{
	ring_teardown();
	buf_fini(&content);
	buf_fini(&content_first);
}

START_TEST(a_file_outlives_its_receiver_and_its_sender)
{
	struct sent first, again;

	make_file(BYTES);
	ring_found(3);
	send_file(&first, 1, 2, "big");
	RING_WAIT(came() >= 2 * MIB);
	RING_WAIT(has_moved(&first));
	ring_stop(2);
	ring_start(2);
	RING_WAIT(came() >= 4 * MIB);
	ring_stop(1);
	ck_assert(first.is_done && first.rc == E_UNAVAILABLE);
	ring_start(1);
	send_file(&again, 1, 2, "big");
	ck_assert_msg(outcome(&again) == OK, "%s", again.err.text);
	RING_WAIT(is_told(1));
	ck_assert_str_eq(told_name, "big");
	ck_assert_uint_eq(told_by, 1);
	printf("%llu KiB came of %llu\n", (unsigned long long)came() / 1024,
	       (unsigned long long)BYTES / 1024);
	ck_assert_uint_ge(came(), BYTES);
	ck_assert_uint_lt(came(), BYTES + BYTES / 5);
	/* The other direction, and what is smaller than a chunk, or nothing. */
	make_file(1000);
	send_file(&again, 2, 1, "small");
	ck_assert_int_eq(outcome(&again), OK);
	RING_WAIT(is_told(2));
	make_file(0);
	send_file(&again, 3, 1, "small");
	ck_assert_int_eq(outcome(&again), OK);
	RING_WAIT(is_told(3));
}
END_TEST

START_TEST(what_was_not_taken_is_told_again)
{
	struct sent s;

	keeps = true;
	make_file(MIB);
	ring_found(3);
	send_file(&s, 1, 2, "kept");
	ck_assert_int_eq(outcome(&s), OK);
	RING_WAIT(is_told(1));
	ring_stop(2);
	keeps = false;
	ring_start(2);
	RING_WAIT(is_told(2));
	ck_assert_str_eq(told_name, "kept");
	ck_assert_uint_eq(told_by, 0);
	ring_stop(2);
	ring_start(2);
	/* Another of that name is another. */
	make_file(MIB);
	send_file(&s, 1, 2, "kept");
	ck_assert_int_eq(outcome(&s), OK);
	RING_WAIT(is_told(3));
	ck_assert_uint_eq(told_by, 1);
}
END_TEST

static bool has_trees(unsigned id)
{
	AUTO_BUF names = BUF_NONE;
	char dir[200];

	(void)snprintf(dir, sizeof(dir), "%s/checkpoints/sent", ring[id - 1].dir);
	ck_assert_int_eq(fs_real()->ops->list(fs_real(), dir, &names, &err), OK);
	return names.n;
}

START_TEST(another_file_of_the_name_of_one_that_was_cancelled)
{
	struct sent first, second;

	make_file(BYTES);
	ring_found(3);
	send_file(&first, 1, 2, "x");
	RING_WAIT(has_moved(&first));
	ck_assert(has_trees(1));
	rc_cancel_file(ring[0].node, &first.file);
	ck_assert_int_eq(outcome(&first), E_CANCELLED);
	make_file(BYTES);
	send_file(&second, 1, 2, "x");
	ck_assert_msg(outcome(&second) == OK, "%s", second.err.text);
	RING_WAIT(is_told(1));
	ck_assert(!has_trees(1));
}
END_TEST

START_TEST(a_file_does_not_take_the_place_of_one_that_is_told_of)
{
	struct sent first, second;
	uint64_t frames;

	holds = true;
	make_file(1000);
	ring_found(3);
	send_file(&first, 1, 2, "x");
	ck_assert_int_eq(outcome(&first), OK);
	RING_WAIT(is_held);
	buf_str(&content_first, buf_view(&content));
	make_file(1000);
	frames = hub_frames(NET_SHIP);
	send_file(&second, 1, 2, "x");
	/* More than it takes to send it: it is offered again and again. */
	RING_WAIT(is_done(&second) || hub_frames(NET_SHIP) >= frames + 8);
	ck_assert(!is_done(&second));
	holds = false;
	ck_assert_int_eq(outcome(&second), OK);
	RING_WAIT(is_told(2));
}
END_TEST

/* What has its name is not moved again. */
START_TEST(a_file_is_told_where_its_folder_is_synced_late)
{
	struct sent sent;

	ck_assert_int_eq(failpoint_set("file.moved=error*1", &err), OK);
	make_file(1000);
	ring_found(3);
	send_file(&sent, 1, 2, "x");
	ck_assert_int_eq(outcome(&sent), OK);
	RING_WAIT(is_told(1));
	ck_assert_uint_gt(failpoint_passes(FP_FILE_MOVED), 1);
}
END_TEST

#define F_DONE 8                         /* of docs/formats/ship.md */

START_TEST(a_file_whose_answer_was_lost_is_told_once)
{
	struct sent sent;

	make_file(1000);
	ring_found(3);
	for (unsigned i = 1; i <= 3; i++) {
		hub_lose(NET_SHIP, F_DONE);
		send_file(&sent, 1, 2, "x");
		ck_assert_msg(outcome(&sent) == OK, "%s", sent.err.text);
		/* The same once more is another: it was sent once more. */
		RING_WAIT(is_told(i));
	}
	send_file(&sent, 2, 1, "x");
	ck_assert_int_eq(outcome(&sent), OK);
	RING_WAIT(is_told(4));
}
END_TEST

#define MANY 1024u

START_TEST(more_than_so_many_do_not_wait)
{
	static struct sent many[MANY], more, other;
	static char names[MANY][16];

	make_file(1000);
	ring_found(3);
	ring_stop(2);
	RING_WAIT(!ring_is_up(1, 2));
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "x%u", i);
		send_file(&many[i], 1, 2, names[i]);
	}
	send_file(&more, 1, 2, "more");
	ck_assert_int_eq(outcome(&more), E_BUSY);
	/* Others are not in its way. */
	send_file(&other, 1, 3, "other");
	ck_assert_int_eq(outcome(&other), OK);
	RING_WAIT(is_told(1));
	for (unsigned i = 0; i < MANY; i++)
		ck_assert(!is_done(&many[i]));
	for (unsigned i = 1; i < MANY; i++)
		rc_cancel_file(ring[0].node, &many[i].file);
	for (unsigned i = 1; i < MANY; i++)
		ck_assert_int_eq(outcome(&many[i]), E_CANCELLED);
	ring_start(2);
	ck_assert_int_eq(outcome(&many[0]), OK);
	RING_WAIT(is_told(2));
	ck_assert(!has_trees(1));
}
END_TEST

/* Of node 2, in 'folder'. */
static const char *place(const char *folder, const char *name)
{
	static char buf[200];

	(void)snprintf(buf, sizeof(buf), "%s/%s/%s", ring[1].dir, folder, name);
	return buf;
}

START_TEST(what_is_not_moved_yet_is_not_forgotten)
{
	struct sent s;
	FILE *f;

	make_file(1000);
	ring_found(3);
	/* It cannot be moved there. */
	ck_assert_int_eq(mkdir(place("files", "x"), 0700), 0);
	ck_assert_int_eq(mkdir(place("files", "x/y"), 0700), 0);
	send_file(&s, 1, 2, "x");
	ck_assert_int_eq(outcome(&s), OK);
	f = fopen(place("checkpoints/incoming", "file-zzz.part"), "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fclose(f), 0);
	rc_forget_files(ring[1].node);
	RING_WAIT(access(place("checkpoints/incoming", "file-zzz.part"), F_OK));
	ck_assert(is_told(0));
	ck_assert_int_eq(access(place("checkpoints/incoming", "file-x.file"), F_OK), 0);
	ck_assert_int_eq(rmdir(place("files", "x/y")), 0);
	ck_assert_int_eq(rmdir(place("files", "x")), 0);
	RING_WAIT(is_told(1));
}
END_TEST

/* And a part that was begun plain is not gone on with. */
START_TEST(with_keys_a_file_is_sealed_where_it_lies)
{
	struct keyring *keys = NULL;
	struct sent first, s;
	AUTO_BUF raw = BUF_NONE;
	char there[200];

	keeps = true;
	make_file(BYTES);
	ring_found(3);
	send_file(&first, 1, 2, "kept");
	RING_WAIT(came() >= MIB);
	for (unsigned id = 1; id <= 3; id++)
		ring_stop(id);
	ck_assert_int_eq(first.rc, E_UNAVAILABLE);
	ck_assert_int_eq(keyring_parse(STR("one 000102030405060708090a0b0c0d0e0f"
					   "101112131415161718191a1b1c1d1e1f"),
				       "keys", &keys, NULL), OK);
	ring_config.seal = keyring_provider(keys);
	for (unsigned id = 1; id <= 3; id++)
		ring_start(id);
	send_file(&s, 1, 2, "kept");
	ck_assert_msg(outcome(&s) == OK, "%s", s.err.text);
	RING_WAIT(is_told(1));
	(void)snprintf(there, sizeof(there), "%s/files/kept", ring[1].dir);
	ck_assert_int_eq(fs_get(fs_real(), there, &raw, &err), OK);
	ck_assert(seal_file_is(buf_view(&raw)));
	for (unsigned id = 1; id <= 3; id++)
		ring_stop(id);
	keyring_free(&keys);
}
END_TEST

static bool has_part(unsigned id)
{
	char part[200];

	(void)snprintf(part, sizeof(part), "%s/checkpoints/incoming/file-x.part",
		       ring[id - 1].dir);
	return access(part, F_OK) == 0;
}

START_TEST(what_does_not_go_is_said)
{
	struct sent s, other, more[3];

	make_file(BYTES);
	ring_founders = 3;
	ring_start(1);
	ring_start(2);
	ring_config.on_file = NULL;
	ring_start(3);
	send_file(&s, 1, 2, "no/name");
	ck_assert_int_eq(outcome(&s), E_INVALID);
	send_file(&s, 1, 2, "");
	ck_assert_int_eq(outcome(&s), E_INVALID);
	send_file(&s, 1, 1, "x");
	ck_assert_int_eq(outcome(&s), E_NOT_FOUND);
	send_file(&s, 1, 4, "x");
	ck_assert_int_eq(outcome(&s), E_NOT_FOUND);
	send_file(&s, 1, 3, "x");
	ck_assert_int_eq(outcome(&s), E_UNSUPPORTED);
	send_file(&s, 1, 2, "x");
	send_file(&other, 1, 2, "x");
	ck_assert_int_eq(outcome(&other), E_EXISTS);
	/* More than go at a time: they wait. */
	for (unsigned i = 0; i < 3; i++)
		send_file(&more[i], 1, 2, i == 0 ? "a" : i == 1 ? "b" : "c");
	RING_WAIT(has_part(2));
	for (unsigned i = 0; i < 3; i++)
		rc_cancel_file(ring[0].node, &more[i].file);
	rc_cancel_file(ring[0].node, &s.file);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(outcome(&more[i]), E_CANCELLED);
	ck_assert_int_eq(outcome(&s), E_CANCELLED);
	rc_cancel_file(ring[0].node, &s.file);
	ck_assert(has_part(2));
	/* Again and again: node 2 may not know yet that it was cancelled. */
	RING_WAIT((rc_forget_files(ring[1].node), !has_part(2)));
	(void)snprintf(path + strlen(path), 8, ".none");
	send_file(&s, 1, 2, "x");
	ck_assert_int_eq(outcome(&s), E_NOT_FOUND);
	ck_assert(is_told(0));
}
END_TEST

/* Node 2 has a part of file x that nobody sends. */
static void leave_a_part(void)
{
	struct sent s;

	make_file(BYTES);
	ring_found(3);
	send_file(&s, 1, 2, "x");
	RING_WAIT(came() >= MIB && has_part(2));
	rc_cancel_file(ring[0].node, &s.file);
	ck_assert_int_eq(outcome(&s), E_CANCELLED);
}

START_TEST(a_part_that_nobody_sends_goes)
{
	ring_config.file_parts_bytes = 0;
	ring_config.file_parts_ms = _i ? 1 : 3600 * 1000;
	leave_a_part();
	if (_i == 0) {                   /* also one of an earlier life */
		ring_stop(2);
		ck_assert(has_part(2));
		ring_config.file_parts_ms = 1;
		ring_start(2);
	}
	RING_WAIT(!has_part(2));
	ck_assert(is_told(0));
}
END_TEST

START_TEST(parts_that_nobody_sends_take_no_more_than_they_may)
{
	struct sent s;

	ring_config.file_parts_bytes = 100 * 1024;
	leave_a_part();
	RING_WAIT(!has_part(2));
	/* One that comes is none of them, however much it takes. */
	base = hub_bytes(NET_SHIP);
	ring_stop(2);
	ring_config.file_parts_ms = 1;
	ring_start(2);
	send_file(&s, 1, 2, "x");
	ck_assert_int_eq(outcome(&s), OK);
	RING_WAIT(is_told(1));
	ck_assert_uint_lt(came(), BYTES + BYTES / 5);
}
END_TEST

/* ---- checkpoints ---- */

static void fill_until_newer(unsigned *next)
{
	uint64_t old = ring_status(1).checkpoint_index;

	ring_fill(1, *next, 400, 1000);
	*next += 400;
	RING_WAIT(ring_status(1).checkpoint_index > old);
}

/* The one that leads is the only one that votes, so that it leads again, and has the
 * same checkpoint to give. */
START_TEST(a_checkpoint_outlives_its_receiver_and_its_leader)
{
	uint64_t index;
	unsigned next = 0;

	ring_config.checkpoint_log_bytes = 300 * 1024;
	ring_config.segment_bytes = 64 * 4096;
	ring_config.checkpoints_kept = 1;
	ring_config.inflight_entries_max = 128;
	ring_found(1);
	while (ring_status(1).log_first <= 500)
		fill_until_newer(&next);
	/* One may have been begun before. */
	atomic_store(&ring_filler, BYTES);
	fill_until_newer(&next);
	fill_until_newer(&next);
	/* It takes no other one from here on. */
	ring_stop(1);
	ring_config.checkpoint_log_bytes = 1 << 30;
	ring_start(1);
	ring_elected();
	index = ring_status(1).checkpoint_index;
	ring_start(2);
	ck_assert_int_eq(ring_change(1, RC_ADD, 2, &err), OK);
	RING_WAIT(came() >= 2 * MIB);
	ring_stop(2);
	ring_start(2);
	RING_WAIT(came() >= 4 * MIB);
	ck_assert_uint_eq(ring_status(2).installed, 0);
	ring_stop(1);
	ring_start(1);
	RING_WAIT(ring_count(2) == next);
	RING_WAIT(ring_status(2).installed == 1);
	ck_assert_uint_eq(ring_status(1).checkpoint_index, index);
	printf("%llu KiB came of %llu\n", (unsigned long long)came() / 1024,
	       (unsigned long long)BYTES / 1024);
	ck_assert_uint_ge(came(), BYTES);
	ck_assert_uint_lt(came(), BYTES + BYTES / 5);
}
END_TEST

/* What both keep, with the log behind it. */
static void two_with_checkpoints(void)
{
	unsigned next = 0;

	ring_config.checkpoint_log_bytes = 300 * 1024;
	ring_config.segment_bytes = 64 * 4096;
	ring_config.inflight_entries_max = 128;
	ring_found(2);
	atomic_store(&ring_filler, BYTES);
	while (ring_status(1).log_first <= 500 || ring_status(2).log_first <= 500) {
		ring_fill(ring_elected(), next, 400, 1000);
		next += 400;
	}
	for (unsigned id = 1; id <= 2; id++)
		RING_WAIT(ring_count(id) == next);
	for (unsigned id = 1; id <= 2; id++)
		ring_stop(id);
	/* They take no others from here on. */
	ring_config.checkpoint_log_bytes = 1 << 30;
	for (unsigned id = 1; id <= 2; id++)
		ring_start(id);
	(void)ring_elected();
}

/* One that joins is not ready, and says nothing of it. */
static bool leads(unsigned id)
{
	return ring_status(1).leader_id == id && ring_status(2).leader_id == id;
}

static void lead(unsigned id)
{
	RING_WAIT(leads(id) || (leads(3 - id) &&
				ring_transfer(3 - id, id, &err) == OK && leads(id)));
}

/* The next leader's is another, and all of it would go over again. */
START_TEST(who_led_finishes_the_checkpoint_that_it_has_begun)
{
	unsigned first;

	ring_config.ship_rate = RATE / 4;
	two_with_checkpoints();
	/* The log of the other one reaches back to what is sent. */
	first = ring_status(1).checkpoint_index > ring_status(2).checkpoint_index ?
			1 : 2;
	lead(first);
	base = hub_bytes(NET_SHIP);
	ring_start(3);
	ck_assert_int_eq(ring_change(first, RC_ADD, 3, &err), OK);
	RING_WAIT(came() >= MIB);
	lead(3 - first);
	ck_assert_uint_lt(came(), BYTES);
	/* And the other way: it goes on with what is under way. */
	RING_WAIT(came() >= 2 * MIB);
	lead(first);
	RING_WAIT(ring_status(3).installed == 1);
	RING_WAIT(ring_equal(ring_count(first)));
	printf("%llu KiB came of %llu\n", (unsigned long long)came() / 1024,
	       (unsigned long long)BYTES / 1024);
	ck_assert_uint_ge(came(), BYTES);
	ck_assert_uint_lt(came(), BYTES + MIB / 2);
	ck_assert_uint_eq(ring_status(first).shipped, 1);
	ck_assert_uint_eq(ring_status(3 - first).shipped, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/resume");
	TCase *t = tcase_create("resume");

	tcase_set_timeout(t, 90);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_file_outlives_its_receiver_and_its_sender);
	tcase_add_test(t, what_was_not_taken_is_told_again);
	tcase_add_test(t, another_file_of_the_name_of_one_that_was_cancelled);
	tcase_add_test(t, a_file_does_not_take_the_place_of_one_that_is_told_of);
	tcase_add_test(t, a_file_is_told_where_its_folder_is_synced_late);
	tcase_add_test(t, more_than_so_many_do_not_wait);
	tcase_add_test(t, what_is_not_moved_yet_is_not_forgotten);
	tcase_add_test(t, with_keys_a_file_is_sealed_where_it_lies);
	tcase_add_test(t, what_does_not_go_is_said);
	suite_add_tcase(s, t);
	t = tcase_create("parts");
	tcase_set_timeout(t, 90);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_file_whose_answer_was_lost_is_told_once);
	tcase_add_loop_test(t, a_part_that_nobody_sends_goes, 0, 2);
	tcase_add_test(t, parts_that_nobody_sends_take_no_more_than_they_may);
	suite_add_tcase(s, t);
	t = tcase_create("checkpoints");
	tcase_set_timeout(t, 90);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_checkpoint_outlives_its_receiver_and_its_leader);
	tcase_add_test(t, who_led_finishes_the_checkpoint_that_it_has_begun);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
