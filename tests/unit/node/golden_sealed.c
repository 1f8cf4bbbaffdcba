/*
 * What is sealed on disk: the log, checkpoints, streams.  As tests/unit/node/golden.c;
 * the kernel's random numbers are counted here, so that what is written today can be
 * compared byte for byte.  (Not for a public key: its pairs are OpenSSL's.  There the
 * sample is read alone.)
 */
#include <sys/random.h>

#include "unit.h"

#include "io/sim/disk.h"
#include "node/checkpoint.h"
#include "seal/keyring.h"
#include "seal/stream.h"
#include "wal/wal.h"

#include "golden.h"

#include "base/banned.h"

#define KEYS "one 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
/* Of these samples alone. */
#define PRIVATE "-----BEGIN PRIVATE KEY-----\n" \
	"MC4CAQAwBQYDK2VuBCIEIHhpMfC2VH4rU042QYPm+mp6IF5bihzYRNHdOi3I4P94\n" \
	"-----END PRIVATE KEY-----\n"
#define PUBLIC "-----BEGIN PUBLIC KEY-----\n" \
	"MCowBQYDK2VuAyEA66jkEzEL7ELAY9NcZ6ENm1Ze/rikXp1ns0jfSpoyXDQ=\n" \
	"-----END PUBLIC KEY-----\n"
#define OKAY(call) ck_assert_msg((call) == OK, "%s", err.text)

static struct disk *disk;
static struct fs *fs;
static struct keyring *keys;
static struct uuid cluster;
static struct err err;
static uint8_t drawn;

/* In place of libc's. */
ssize_t getrandom(void *p, size_t n, unsigned flags)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = drawn++;
	return (ssize_t)n;
}

static void setup(void)
{
	disk = disk_new(1);
	fs = disk_fs(disk);
	OKAY(keyring_parse(STR(KEYS), "keys", &keys, &err));
	OKAY(fs->ops->make_dir(fs, "d", &err));
	memset(cluster.b, 0xc1, sizeof(cluster.b));
	drawn = 1;
}

static void teardown(void)
{
	keyring_free(&keys);
	disk_free(&disk);
}

static void again(void)
{
	teardown();
	setup();
}

/* The file as it lies there is the sample; then the sample takes its place. */
static void swap_file(const char *name, const char *path)
{
	AUTO_BUF now = BUF_NONE;
	AUTO_BUF was = BUF_NONE;

	OKAY(fs_get(fs, path, &now, &err));
	golden_same(name, buf_view(&now));
	again();
	golden_read(name, &was);
	OKAY(fs_put(fs, "d", path, buf_view(&was), &err));
}

/* ---- the log ---- */

static enum code note(void *data, const struct wal_entry *e, struct err *unused)
{
	size_t *n = data;

	ck_assert_uint_eq(e->index, ++*n);
	ck_assert_uint_eq(e->term, 300);
	ck_assert(str_eq(e->data, *n == 1 ? STR("first") : STR("second")));
	return OK;
}

static struct wal *open_log(size_t *n)
{
	struct wal_config config = { .fs = fs, .dir = "d", .cluster = cluster,
				     .node = 7, .segment_bytes = 4 * 4096,
				     .seal = keyring_provider(keys) };
	struct wal *wal;

	OKAY(wal_open(&config, note, n, &wal, &err));
	return wal;
}

START_TEST(segments_of_the_log)
{
	struct wal_entry e[2] = { { 1, 300, 1, STR("first") },
				  { 2, 300, 1, STR("second") } };
	size_t n = 0;
	struct wal *wal = open_log(&n);

	OKAY(wal_append(wal, e, 2, &err));
	wal_close(&wal);
	swap_file("wal-sealed-1", "d/0000000000000001.seg");
	wal = open_log(&n);
	ck_assert_uint_eq(n, 2);
	wal_close(&wal);
}
END_TEST

/* ---- checkpoints ---- */

START_TEST(files_of_checkpoints)
{
	struct seal_files *files = checkpoint_files_new(fs, keyring_provider(keys),
							cluster);
	AUTO_BUF back = BUF_NONE;

	OKAY(fs_put(seal_files_fs(files), "d", "d/f", STR("a picture"), &err));
	seal_files_free(&files);
	swap_file("sealed-file-1", "d/f");
	files = checkpoint_files_new(fs, keyring_provider(keys), cluster);
	OKAY(fs_get(seal_files_fs(files), "d/f", &back, &err));
	ck_assert(str_is(buf_view(&back), "a picture"));
	seal_files_free(&files);
}
END_TEST

/* ---- streams ---- */

static enum code gather(void *out, const void *p, size_t n, struct err *unused)
{
	buf_add(out, p, n);
	return OK;
}

static void seal(const struct seal_public *to, struct buf *out)
{
	struct seal_out *s;

	OKAY(seal_out_new(to ? NULL : keyring_provider(keys), to,
			  STR("conflux backup"), gather, out, &s, &err));
	OKAY(seal_out_put(s, "nothing is lost", 15, &err));
	OKAY(seal_out_end(s, &err));
	seal_out_free(&s);
}

static void opens(const struct seal_private *own, struct str bytes)
{
	AUTO_BUF back = BUF_NONE;
	struct seal_in *s = seal_in_new(own ? NULL : keyring_provider(keys), own,
					STR("conflux backup"), gather, &back);

	OKAY(seal_in_put(s, bytes.p, bytes.n, &err));
	OKAY(seal_in_end(s, &err));
	ck_assert(str_is(buf_view(&back), "nothing is lost"));
	seal_in_free(&s);
}

START_TEST(streams)
{
	AUTO_BUF now = BUF_NONE;
	AUTO_BUF was = BUF_NONE;

	seal(NULL, &now);
	golden_same("sealed-stream-1", buf_view(&now));
	golden_read("sealed-stream-1", &was);
	opens(NULL, buf_view(&was));
}
END_TEST

START_TEST(streams_for_a_public_key)
{
	struct seal_private *own;
	struct seal_public *to;
	AUTO_BUF now = BUF_NONE;
	AUTO_BUF was = BUF_NONE;

	OKAY(seal_private_parse(STR(PRIVATE), "own", &own, &err));
	OKAY(seal_public_parse(STR(PUBLIC), "to", &to, &err));
	seal(to, &now);
	if (getenv("GOLDEN") && !golden_has("sealed-stream-public-1"))
		golden_write("sealed-stream-public-1", buf_view(&now));
	golden_read("sealed-stream-public-1", &was);
	opens(own, buf_view(&was));
	/* The same but for what is drawn: lengths, magic, and what names the key. */
	ck_assert_uint_eq(now.n, was.n);
	ck_assert_mem_eq(now.p, was.p, 36);
	seal_private_free(&own);
	seal_public_free(&to);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/golden_sealed");
	TCase *t = tcase_create("golden");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, segments_of_the_log);
	tcase_add_test(t, files_of_checkpoints);
	tcase_add_test(t, streams);
	tcase_add_test(t, streams_for_a_public_key);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
