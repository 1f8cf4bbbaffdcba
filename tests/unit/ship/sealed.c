/*
 * A receiver whose files are sealed: what arrives is looked for on its disk after
 * each step, and a part that is sealed is gone on with after a restart.
 */
#include "unit.h"

#include "lab.h"

#include "seal/files.h"
#include "seal/keyring.h"

#include "base/banned.h"

/* Some chunks of the sealed file, of 256 KiB each, and of the transfer. */
#define CHUNK (64u * 1024)
#define BYTES (9 * CHUNK + 100)
#define CANARY "the canary sings "

static struct keyring *keys;
static struct seal_files *files;
static struct buf plain;

static void setup(void)
{
	struct fs *fs;
	struct err err;

	lab_init();
	for (size_t i = 0; plain.n < BYTES; i++)
		buf_printf(&plain, CANARY "%zu\n", i);
	buf_cut(&plain, BYTES);
	fs = lab.nodes[0].fs.under;
	ck_assert_int_eq(fs_put(fs, "src", "src/f", buf_view(&plain), &err), OK);
	lab.nodes[0].config.chunk_bytes = CHUNK;
	lab.nodes[1].config.sync_bytes = 2 * CHUNK;
	ck_assert_int_eq(keyring_parse(STR("one 000102030405060708090a0b0c0d0e0f"
					   "101112131415161718191a1b1c1d1e1f"),
				       "keys", &keys, &err), OK);
	files = seal_files_new(&lab.nodes[1].fs.fs, keyring_provider(keys),
			       STR("conflux test"));
	lab.nodes[1].config.fs = seal_files_fs(files);
}

static void teardown(void)
{
	lab_fini();
	seal_files_free(&files);
	keyring_free(&keys);
	buf_fini(&plain);
	plain = BUF_NONE;
}

static void begin(void)
{
	lab_start(0);
	lab_start(1);
	lab_connect(0, 1);
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
}

/* True: one of the receiver's files has the canary; '*sealed' counts those that
 * begin as sealed ones do. */
static bool is_seen(unsigned *sealed)
{
	static const char *const paths[] = { "in/f.part", "in/f.journal",
					     "in/f.file" };
	struct fs *fs = lab.nodes[1].fs.under;
	bool any = false;

	*sealed = 0;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		AUTO_BUF b = BUF_NONE;

		if (fs_get(fs, paths[i], &b, NULL) || b.n == 0)
			continue;
		*sealed += seal_file_is(buf_view(&b));
		any |= str_find_str(buf_view(&b), STR(CANARY)) != SIZE_MAX;
	}
	return any;
}

static void is_whole(void)
{
	AUTO_BUF back = BUF_NONE;
	struct err err = { 0 };

	ck_assert_msg(fs_get(lab.nodes[1].config.fs, "in/f.file", &back, &err) == OK,
		      "%s", err.text);
	ck_assert(str_eq(buf_view(&back), buf_view(&plain)));
}

static uint64_t bytes_in(void)
{
	struct ship_view v;

	ship_view(lab.nodes[1].ship, &v);
	return v.bytes_in;
}

/* Also without keys, so that the look is known to find something. */
START_TEST(what_arrives_is_never_plain_on_the_disk)
{
	bool seals = _i == 0;
	unsigned steps = 0, seen = 0, sealed = 0, most = 0;

	keyring_set_on(keys, seals);
	begin();
	while (lab.nodes[1].n_received == 0) {
		if (!lab_step())
			ck_assert(lab_wait());
		if (bytes_in() == 0 || bytes_in() >= BYTES)
			continue;
		steps++;
		seen += is_seen(&sealed);
		most = MAX(most, sealed);
	}
	ck_assert_uint_gt(steps, 3);
	/* Part and journal. */
	ck_assert_uint_eq(most, seals ? 2 : 0);
	ck_assert_int_eq(seen > 0, !seals);
	ck_assert_int_eq(is_seen(&sealed), !seals);
	is_whole();
}
END_TEST

/* The process ends, or the power fails, in the middle of the part. */
START_TEST(a_sealed_part_is_gone_on_with)
{
	struct ship_view v;
	unsigned sealed;

	begin();
	while (bytes_in() < 6 * CHUNK)
		ck_assert(lab_step() || lab_wait());
	ck_assert(lab_exists(1, "in/f.part"));
	lab_crash(1, _i == 1);
	ck_assert(!is_seen(&sealed));
	ck_assert_uint_eq(sealed, 2);
	lab_start(1);
	lab_connect(0, 1);
	lab_run(20000);
	ship_view(lab.nodes[1].ship, &v);
	/* What had been synced is taken from the disk, and not pulled again. */
	ck_assert_uint_ge(v.chunks_checked, 2);
	ck_assert_uint_le(v.bytes_in, BYTES - v.chunks_checked * CHUNK);
	ck_assert_uint_eq(v.chunks_damaged, 0);
	ck_assert(!is_seen(&sealed));
	is_whole();
}
END_TEST

/* It cannot be read any more: it is refused by name, and not written over. */
START_TEST(a_part_whose_key_is_gone_is_refused)
{
	unsigned sealed;

	begin();
	while (bytes_in() < 6 * CHUNK)
		ck_assert(lab_step() || lab_wait());
	lab_crash(1, false);
	seal_files_free(&files);
	files = seal_files_new(&lab.nodes[1].fs.fs, NULL, STR("conflux test"));
	lab.nodes[1].config.fs = seal_files_fs(files);
	lab_start(1);
	lab_connect(0, 1);
	lab_run(20000);
	ck_assert_uint_eq(lab.nodes[1].n_received, 0);
	ck_assert_uint_ge(lab.nodes[1].n_failed, 1);
	ck_assert_int_eq(lab.nodes[1].failed, E_DENIED);
	ck_assert_msg(strstr(lab.nodes[1].why.text, "in/f.") &&
		      strstr(lab.nodes[1].why.text, "\"one\""), "%s",
		      lab.nodes[1].why.text);
	ck_assert(!is_seen(&sealed));
	ck_assert_uint_eq(sealed, 2);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("ship/sealed");
	TCase *t = tcase_create("sealed");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, what_arrives_is_never_plain_on_the_disk, 0, 2);
	tcase_add_loop_test(t, a_sealed_part_is_gone_on_with, 0, 2);
	tcase_add_test(t, a_part_whose_key_is_gone_is_refused);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
