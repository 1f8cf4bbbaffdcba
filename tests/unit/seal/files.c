/* Sealed files on a simulated disk, beside plain ones with the same writes. */
#include "unit.h"

#include "base/mem.h"
#include "io/sim/disk.h"
#include "seal/files.h"
#include "seal/keyring.h"

#include "base/banned.h"

#define KEY_1 "one 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define KEY_2 "two ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100\n"
#define CHUNK ((size_t)SEAL_FILE_CHUNK)
#define SLOT (CHUNK + 4096)

static struct disk *disk;
static struct keyring *keys;
static struct seal_files *files;
static struct fs *fs;

static void use(const char *text)
{
	seal_files_free(&files);
	keyring_free(&keys);
	if (text)
		ck_assert_int_eq(keyring_parse(str_of(text), "keys", &keys, NULL),
				 OK);
	files = seal_files_new(disk_fs(disk), keys ? keyring_provider(keys) : NULL,
			       STR("conflux test"));
	fs = seal_files_fs(files);
}

static void setup(void)
{
	struct err err;

	disk = disk_new(1);
	ck_assert_int_eq(disk_fs(disk)->ops->make_dir(disk_fs(disk), "d", &err), OK);
	use(KEY_1);
}

static void teardown(void)
{
	seal_files_free(&files);
	keyring_free(&keys);
	disk_free(&disk);
}

static void fill(char *p, size_t n, uint64_t seed)
{
	struct prng r;

	prng_init(&r, seed);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)prng_next(&r);
}

static struct file *open_at(struct fs *at, const char *path, unsigned flags)
{
	struct file *f;
	struct err err = { 0 };

	ck_assert_msg(at->ops->open(at, path, flags, &f, &err) == OK, "%s",
		      err.text);
	return f;
}

static void raw(const char *path, struct buf *out)
{
	struct err err;

	buf_reset(out);
	ck_assert_int_eq(fs_get(disk_fs(disk), path, out, &err), OK);
}

static bool has(const struct buf *b, struct str what)
{
	return str_find_str(buf_view(b), what) != SIZE_MAX;
}

START_TEST(a_file_is_sealed_and_comes_back)
{
	AUTO_BUF back = BUF_NONE;
	AUTO_BUF on_disk = BUF_NONE;
	AUTO_BUF name = BUF_NONE;
	struct err err;

	ck_assert_int_eq(fs_put(fs, "d", "d/f", STR("the canary sings"), &err), OK);
	ck_assert_int_eq(fs_get(fs, "d/f", &back, &err), OK);
	ck_assert(str_is(buf_view(&back), "the canary sings"));
	raw("d/f", &on_disk);
	ck_assert(seal_file_is(buf_view(&on_disk)));
	ck_assert(!has(&on_disk, STR("canary")));
	ck_assert_uint_eq(on_disk.n, 3 * 4096);
	ck_assert_int_eq(seal_file_key(disk_fs(disk), "d/f", &name, &err), OK);
	ck_assert(str_is(buf_view(&name), "one"));
	/* Without it, it is there to see. */
	keyring_set_on(keys, false);
	ck_assert_int_eq(fs_put(fs, "d", "d/g", STR("the canary sings"), &err), OK);
	raw("d/g", &on_disk);
	ck_assert(has(&on_disk, STR("canary")));
	buf_reset(&name);
	ck_assert_int_eq(seal_file_key(disk_fs(disk), "d/g", &name, &err), OK);
	ck_assert_uint_eq(name.n, 0);
}
END_TEST

/* Writes anywhere, in any size, as on a plain file; no gap is left. */
START_TEST(reads_and_writes_are_those_of_a_plain_file)
{
	static char bytes[3 * 256 * 1024], a[sizeof(bytes)], b[sizeof(bytes)];
	struct fs *plain = disk_fs(disk);
	struct file *f = open_at(fs, "d/f", FILE_WRITE | FILE_CREATE);
	struct file *p = open_at(plain, "d/p", FILE_WRITE | FILE_CREATE);
	struct prng r;
	struct err err;
	uint64_t end = 0;

	prng_init(&r, 5);
	fill(bytes, sizeof(bytes), 6);
	for (int i = 0; i < 120; i++) {
		uint64_t at = prng_below(&r, end + 1), sizes[2];
		size_t n = (size_t)prng_below(&r, i % 7 ? 9000 : 2 * CHUNK) + 1;
		size_t got[2];

		if (i % 5 == 0)
			at = at / CHUNK * CHUNK;
		n = (size_t)MIN((uint64_t)n, 4 * CHUNK - at);
		if (n) {
			ck_assert_int_eq(fs->ops->write(fs, f, at, bytes, n, &err),
					 OK);
			ck_assert_int_eq(plain->ops->write(plain, p, at, bytes, n,
							   &err), OK);
		}
		end = MAX(end, at + n);
		at = prng_below(&r, end + 10);
		n = (size_t)prng_below(&r, sizeof(a));
		ck_assert_int_eq(fs->ops->read(fs, f, at, a, n, &got[0], &err), OK);
		ck_assert_int_eq(plain->ops->read(plain, p, at, b, n, &got[1],
						  &err), OK);
		ck_assert_uint_eq(got[0], got[1]);
		ck_assert(memcmp(a, b, got[0]) == 0);
		ck_assert_int_eq(fs->ops->size(fs, f, &sizes[0], &err), OK);
		ck_assert_int_eq(plain->ops->size(plain, p, &sizes[1], &err), OK);
		ck_assert_uint_eq(sizes[0], sizes[1]);
		if (i % 20 == 19) {
			fs->ops->close(fs, f);
			f = open_at(fs, "d/f", FILE_WRITE);
		}
	}
	fs->ops->close(fs, f);
	plain->ops->close(plain, p);
}
END_TEST

/* Two chunks and some of the third. */
static void put_three(const char *path)
{
	static char bytes[2 * 256 * 1024 + 5000];
	struct err err;

	fill(bytes, sizeof(bytes), 9);
	ck_assert_int_eq(fs_put(fs, "d", path, str_n(bytes, sizeof(bytes)), &err),
			 OK);
}

START_TEST(every_flipped_byte_is_found)
{
	AUTO_BUF on_disk = BUF_NONE;

	put_three("d/f");
	raw("d/f", &on_disk);
	ck_assert_uint_eq(on_disk.n, 4096 + 2 * SLOT + 4096 + 8192);
	for (size_t at = 0; at < on_disk.n;
	     at += (at - 4096) % SLOT < 40 || at < 300 ? 1 : 9973) {
		AUTO_BUF back = BUF_NONE;
		struct err err;
		enum code rc;

		ck_assert(disk_damage(disk, "d/f", at));
		rc = fs_get(fs, "d/f", &back, &err);
		/* What is not a sealed file any more is a plain one, whose owner
		 * knows what it begins with. */
		if (at < 16)
			ck_assert(rc == OK && back.n == on_disk.n);
		else
			ck_assert_msg(rc == E_CORRUPT || rc == E_DENIED ||
				      back.n < 2 * CHUNK + 5000,
				      "byte %zu: %s", at, code_name(rc));
		ck_assert_int_eq(fs_put(disk_fs(disk), "d", "d/f",
					buf_view(&on_disk), &err), OK);
	}
}
END_TEST

START_TEST(chunks_that_were_moved_are_found)
{
	AUTO_BUF one = BUF_NONE;
	AUTO_BUF two = BUF_NONE;
	AUTO_BUF back = BUF_NONE;
	struct err err;

	put_three("d/f");
	put_three("d/g");
	raw("d/f", &one);
	raw("d/g", &two);
	ck_assert(memcmp(one.p + 4096, two.p + 4096, SLOT) != 0);
	for (int i = 0; i < 3; i++) {
		AUTO_BUF mixed = BUF_NONE;

		buf_str(&mixed, buf_view(&one));
		if (i == 0)              /* another place */
			memcpy(mixed.p + 4096, one.p + 4096 + SLOT, SLOT);
		else if (i == 1)         /* another file */
			memcpy(mixed.p + 4096, two.p + 4096, SLOT);
		else                     /* a hole */
			memset(mixed.p + 4096, 0, SLOT);
		buf_reset(&back);
		ck_assert_int_eq(fs_put(disk_fs(disk), "d", "d/m", buf_view(&mixed),
					&err), OK);
		ck_assert_int_eq(fs_get(fs, "d/m", &back, &err), E_CORRUPT);
		ck_assert_msg(strstr(err.text, "d/m: damaged at 4096"), "%s",
			      err.text);
	}
}
END_TEST

START_TEST(keys_rotate_and_sealing_goes_off_and_on)
{
	AUTO_BUF back = BUF_NONE;
	struct err err;

	ck_assert_int_eq(fs_put(fs, "d", "d/1", STR("with one"), &err), OK);
	use(KEY_2 KEY_1);
	ck_assert_int_eq(fs_put(fs, "d", "d/2", STR("with two"), &err), OK);
	keyring_set_on(keys, false);
	ck_assert_int_eq(fs_put(fs, "d", "d/3", STR("plain"), &err), OK);
	keyring_set_on(keys, true);
	ck_assert_int_eq(fs_get(fs, "d/1", &back, &err), OK);
	ck_assert_int_eq(fs_get(fs, "d/2", &back, &err), OK);
	ck_assert_int_eq(fs_get(fs, "d/3", &back, &err), OK);
	ck_assert(str_is(buf_view(&back), "with onewith twoplain"));
	use(KEY_2);
	ck_assert_int_eq(fs_get(fs, "d/1", &back, &err), E_DENIED);
	ck_assert_msg(strstr(err.text, "d/1") && strstr(err.text, "\"one\""), "%s",
		      err.text);
	ck_assert_int_eq(fs_get(fs, "d/2", &back, &err), OK);
	use(NULL);
	ck_assert_int_eq(fs_get(fs, "d/2", &back, &err), E_DENIED);
	ck_assert_int_eq(fs_get(fs, "d/3", &back, &err), OK);
}
END_TEST

START_TEST(a_plain_file_is_not_gone_on_with)
{
	struct file *f;
	struct err err;

	keyring_set_on(keys, false);
	ck_assert_int_eq(fs_put(fs, "d", "d/f", STR("plain"), &err), OK);
	keyring_set_on(keys, true);
	ck_assert_int_eq(fs->ops->open(fs, "d/f", FILE_WRITE, &f, &err),
			 E_CONFLICT);
	/* One that is sealed stays so. */
	ck_assert_int_eq(fs_put(fs, "d", "d/g", STR("sealed"), &err), OK);
	keyring_set_on(keys, false);
	f = open_at(fs, "d/g", FILE_WRITE);
	ck_assert_int_eq(fs->ops->write(fs, f, 0, "canary", 6, &err), OK);
	fs->ops->close(fs, f);
	{
		AUTO_BUF on_disk = BUF_NONE;

		raw("d/g", &on_disk);
		ck_assert(!has(&on_disk, STR("canary")));
	}
}
END_TEST

/* What is written again and again at one place has another nonce each time. */
START_TEST(no_nonce_comes_twice)
{
	enum { WRITES = 200 };
	static char nonces[WRITES][12];
	struct file *f = open_at(fs, "d/f", FILE_WRITE | FILE_CREATE);
	struct err err;

	for (size_t i = 0; i < WRITES; i++) {
		AUTO_BUF on_disk = BUF_NONE;

		ck_assert_int_eq(fs->ops->write(fs, f, 0, "same", 4, &err), OK);
		raw("d/f", &on_disk);
		memcpy(nonces[i], on_disk.p + 4096 + 4, 12);
		for (size_t j = 0; j < i; j++)
			ck_assert_mem_ne(nonces[i], nonces[j], 12);
	}
	fs->ops->close(fs, f);
}
END_TEST

/* A crash at each step of a file that is replaced: the old or the new one. */
START_TEST(a_crash_leaves_the_old_or_the_new_file)
{
	for (uint64_t step = 1; step < 12; step++) {
		AUTO_BUF back = BUF_NONE;
		struct err err;
		enum code rc;

		ck_assert_int_eq(fs_put(fs, "d", "d/f", STR("old"), &err), OK);
		disk_crash_at(disk, disk_steps(disk) + step);
		rc = fs_put(fs, "d", "d/f", STR("new"), &err);
		disk_crash_at(disk, 0);
		disk_power_loss(disk);
		ck_assert_int_eq(fs_get(fs, "d/f", &back, &err), OK);
		ck_assert(str_is(buf_view(&back), "new") ||
			  (rc && str_is(buf_view(&back), "old")));
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("seal/files");
	TCase *t = tcase_create("files");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_file_is_sealed_and_comes_back);
	tcase_add_test(t, reads_and_writes_are_those_of_a_plain_file);
	tcase_add_test(t, every_flipped_byte_is_found);
	tcase_add_test(t, chunks_that_were_moved_are_found);
	tcase_add_test(t, keys_rotate_and_sealing_goes_off_and_on);
	tcase_add_test(t, a_plain_file_is_not_gone_on_with);
	tcase_add_test(t, no_nonce_comes_twice);
	tcase_add_test(t, a_crash_leaves_the_old_or_the_new_file);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
