/*
 * Checkpoints and what is received of them, sealed and plain: what a picture holds
 * is looked for in all files below checkpoints/ of every node.
 */
#include <ftw.h>

#include "ring.h"

#include "io/file.h"
#include "seal/keyring.h"

#include "base/banned.h"

static struct err err;
static struct keyring *keys;
static unsigned n_files, n_plain;

static void setup(void)
{
	ring_setup();
	ring_config.checkpoint_log_bytes = 300 * 1024;
	ring_config.segment_bytes = 64 * 4096;
	ring_config.checkpoints_kept = 1;
	ring_config.inflight_entries_max = 128;
	ck_assert_int_eq(keyring_parse(STR("one 000102030405060708090a0b0c0d0e0f"
					   "101112131415161718191a1b1c1d1e1f"),
				       "keys", &keys, NULL), OK);
}

static void teardown(void)
{
	ring_teardown();
	keyring_free(&keys);
}

/* A picture is mostly one byte, over and over: what is sealed has no such run. */
static bool has_run(const struct buf *b)
{
	size_t run = 0;

	for (size_t i = 1; i < b->n && run < 64; i++)
		run = b->p[i] && b->p[i] == b->p[i - 1] ? run + 1 : 0;
	return run == 64;
}

/* They come and go meanwhile. */
static int look(const char *path, const struct stat *st, int type,
		struct FTW *at)
{
	AUTO_BUF bytes = BUF_NONE;

	if (type == FTW_F && fs_get(fs_real(), path, &bytes, NULL) == OK) {
		n_files++;
		n_plain += has_run(&bytes);
	}
	return 0;
}

static void look_at(unsigned id)
{
	AUTO_BUF dir = BUF_NONE;

	n_files = n_plain = 0;
	buf_printf(&dir, "%s/checkpoints", ring[id - 1].dir);
	nftw(dir.p, look, 16, FTW_PHYS);
}

/* The first three have keys; the fourth, which is sent a checkpoint, too, or not. */
START_TEST(a_picture_is_plain_only_where_there_is_no_key)
{
	bool leads = _i & 1, joins = _i & 2;
	unsigned leader, next = 0;

	ring_config.seal = leads ? keyring_provider(keys) : NULL;
	ring_found(3);
	leader = ring_elected();
	ck_assert_int_eq(ring_status(leader).is_sealed, leads);
	while (ring_status(leader).log_first <= 1) {
		ring_fill(leader, next, 200, 1000);
		next += 200;
	}
	look_at(leader);
	ck_assert_uint_gt(n_files, 1);
	ck_assert_int_eq(n_plain > 0, !leads);
	ring_config.seal = joins ? keyring_provider(keys) : NULL;
	ring_start(4);
	ck_assert_int_eq(ring_change(leader, RC_ADD, 4, &err), OK);
	RING_WAIT(ring_count(4) == next);
	ck_assert_uint_ge(ring_status(4).installed, 1);
	look_at(4);
	ck_assert_uint_gt(n_files, 1);
	ck_assert_int_eq(n_plain > 0, !joins);
	/* And its own state comes from it again. */
	ring_stop(4);
	ring_start(4);
	RING_WAIT(ring_equal(next));
	ck_assert_uint_gt(ring[3].opened_from_picture, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/sealed");
	TCase *t = tcase_create("sealed");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, a_picture_is_plain_only_where_there_is_no_key, 0, 4);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
