/*
 * Sealed segments: keys that change, are missing or wrong, what is altered by
 * someone who can compute checksums, and that nothing plain is left.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "unit.h"

#include "base/mem.h"
#include "seal/keyring.h"
#include "wal/own.h"

#include "base/banned.h"

#define KEY_1 "one 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define KEY_2 "two ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100\n"
#define KEY_1_WRONG "one ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100\n"
#define CANARY "the canary sings"

static char dir[64];
static struct wal_config config;
static struct keyring *keys;
static struct err err;
static uint64_t last;

static void use(const char *text)
{
	keyring_free(&keys);
	config.seal = NULL;
	if (!text)
		return;
	ck_assert_int_eq(keyring_parse(str_of(text), "keys", &keys, NULL), OK);
	config.seal = keyring_provider(keys);
}

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/conflux-wal-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	config = (struct wal_config){ .fs = fs_real(), .dir = dir, .node = 1,
				      .segment_bytes = 8 * 4096,
				      .spares_max = 2 };
	memset(config.cluster.b, 7, 16);
	use(KEY_1);
}

static void each_file(void (*what)(const char *path))
{
	AUTO_BUF names = BUF_NONE;
	struct str rest;

	ck_assert_int_eq(fs_real()->ops->list(fs_real(), dir, &names, NULL), OK);
	for (rest = buf_view(&names); rest.n;) {
		AUTO_BUF path = BUF_NONE;
		struct str name = str_cut(&rest, '\0');

		buf_printf(&path, "%s/%.*s", dir, STR_ARG(name));
		what(path.p);
	}
}

static void remove_file(const char *path)
{
	unlink(path);
}

static void teardown(void)
{
	each_file(remove_file);
	rmdir(dir);
	keyring_free(&keys);
}

static enum code note(void *data, const struct wal_entry *e, struct err *unused)
{
	char want[64];

	snprintf(want, sizeof(want), CANARY " %llu", (unsigned long long)e->index);
	ck_assert(str_starts(e->data, str_of(want)));
	ck_assert_uint_eq(e->term, 3);
	last = e->index;
	return OK;
}

static enum code try_open(struct wal **wal)
{
	last = 0;
	return wal_open(&config, note, NULL, wal, &err);
}

static struct wal *open_log(void)
{
	struct wal *wal;

	ck_assert_msg(try_open(&wal) == OK, "%s", err.text);
	return wal;
}

static void append(struct wal *wal, uint64_t index, size_t size)
{
	static char text[9000];
	size_t n = (size_t)snprintf(text, sizeof(text), CANARY " %llu",
				    (unsigned long long)index);
	struct wal_entry e = { index, 3, 1, str_n(text, MAX(n, size)) };

	ck_assert_msg(wal_append(wal, &e, 1, &err) == OK, "%s", err.text);
}

static struct wal_stats stats(struct wal *wal)
{
	struct wal_stats st;

	wal_stats_get(wal, &st);
	return st;
}

/* ---- what lies on the disk ---- */

static unsigned canaries;

static void look_for_canary(const char *path)
{
	AUTO_BUF bytes = BUF_NONE;

	ck_assert_int_eq(fs_get(fs_real(), path, &bytes, NULL), OK);
	canaries += str_find_str(buf_view(&bytes), STR(CANARY)) != SIZE_MAX;
}

static unsigned files_with_canary(void)
{
	canaries = 0;
	each_file(look_for_canary);
	return canaries;
}

START_TEST(nothing_plain_is_on_the_disk)
{
	struct wal *wal;

	use(_i ? KEY_1 : NULL);
	wal = open_log();
	for (uint64_t i = 1; i <= 40; i++)
		append(wal, i, i % 3 ? 0 : 6000);
	ck_assert_int_eq(wal_cut(wal, 20, &err), OK);
	for (uint64_t i = 41; i <= 60; i++)
		append(wal, i, 0);
	ck_assert_int_eq(stats(wal).is_sealed, _i);
	wal_close(&wal);
	ck_assert_int_eq(files_with_canary() > 0, !_i);
	wal = open_log();
	ck_assert_uint_eq(last, 60);
	wal_close(&wal);
}
END_TEST

/* The files of what was plain are not used again for what is sealed. */
START_TEST(nothing_plain_is_left_once_the_plain_segments_are_cut)
{
	struct wal *wal;

	use(NULL);
	wal = open_log();
	for (uint64_t i = 1; i <= 40; i++)
		append(wal, i, 3000);
	wal_close(&wal);
	use(KEY_1);
	wal = open_log();
	ck_assert_uint_gt(stats(wal).other_segments, 2);
	for (uint64_t i = 41; i <= 60; i++)
		append(wal, i, 3000);
	ck_assert_uint_gt(files_with_canary(), 0);
	ck_assert_int_eq(wal_cut(wal, 40, &err), OK);
	ck_assert_uint_eq(stats(wal).other_segments, 0);
	ck_assert_uint_eq(files_with_canary(), 0);
	wal_close(&wal);
}
END_TEST

/* ---- keys ---- */

START_TEST(keys_rotate_and_sealing_goes_off_and_on)
{
	static const char *const texts[] = { NULL, KEY_1, KEY_2 KEY_1, "off",
					     KEY_2 KEY_1, KEY_1 KEY_2 };
	struct wal *wal;
	uint64_t next = 1;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		bool is_off = texts[i] && strcmp(texts[i], "off") == 0;

		use(is_off ? KEY_2 KEY_1 : texts[i]);
		if (is_off)
			keyring_set_on(keys, false);
		wal = open_log();
		ck_assert_uint_eq(last, next - 1);
		ck_assert_int_eq(stats(wal).is_sealed, texts[i] && !is_off);
		for (int k = 0; k < 20; k++)
			append(wal, next++, k % 2 ? 3000 : 0);
		last = 0;
		ck_assert_int_eq(wal_read(wal, 1, next - 1, note, NULL, &err), OK);
		ck_assert_uint_eq(last, next - 1);
		wal_close(&wal);
	}
	wal = open_log();
	ck_assert_uint_eq(last, next - 1);
	ck_assert_uint_gt(stats(wal).other_segments, 4);
	ck_assert_int_eq(wal_cut(wal, next - 1, &err), OK);
	ck_assert_uint_eq(stats(wal).other_segments, 0);
	wal_close(&wal);
	/* Now the older key is of no use any more. */
	use(KEY_1);
	wal = open_log();
	wal_close(&wal);
}
END_TEST

static const struct {
	const char *keys, *says;
} bad_keys[] = {
	{ NULL, "no keys are given" },
	{ KEY_2, "\"one\", which is not in the key file" },
	{ KEY_1_WRONG, "the key \"one\" does not open it" },
};

START_TEST(without_the_key_it_is_refused)
{
	struct wal *wal = open_log();

	append(wal, 1, 0);
	wal_close(&wal);
	use(bad_keys[_i].keys);
	ck_assert_int_eq(try_open(&wal), E_DENIED);
	ck_assert_msg(strstr(err.text, bad_keys[_i].says), "%s", err.text);
	ck_assert_msg(strstr(err.text, "0000000000000001.seg"), "%s", err.text);
	ck_assert_msg(err.hint[0], "no hint");
	/* Nothing was changed: with the key it is there. */
	use(KEY_1);
	wal = open_log();
	ck_assert_uint_eq(last, 1);
	wal_close(&wal);
}
END_TEST

/* ---- what is altered, with checksums made right ---- */

static void file_bytes(const char *name, struct buf *out)
{
	AUTO_BUF path = BUF_NONE;

	buf_reset(out);
	buf_printf(&path, "%s/%s", dir, name);
	ck_assert_int_eq(fs_get(fs_real(), path.p, out, NULL), OK);
}

static void put_bytes(const char *name, const struct buf *bytes)
{
	AUTO_BUF path = BUF_NONE;

	buf_printf(&path, "%s/%s", dir, name);
	ck_assert_int_eq(fs_put(fs_real(), dir, path.p, buf_view(bytes), NULL), OK);
}

/* The checksum of a record of one block at 'at'. */
static void fix_record(struct buf *b, size_t at)
{
	char *record = b->p + at + WAL_STAMP_BYTES;
	uint32_t crc = crc32c(0, record + 4, WAL_PAYLOAD - 4);

	for (unsigned i = 0; i < 4; i++)
		record[i] = (char)(crc >> (8 * i));
}

START_TEST(a_record_that_was_altered_is_refused_by_its_tag)
{
	struct wal *wal = open_log();
	AUTO_BUF good = BUF_NONE;

	append(wal, 1, 100);
	append(wal, 2, 100);
	wal_close(&wal);
	file_bytes("0000000000000001.seg", &good);
	/* From the length on; behind the tag there is padding. */
	for (size_t i = 4; i < WAL_RECORD_BYTES + 3 + 100 + SEAL_TAG_BYTES;
	     i++) {
		AUTO_BUF bad = BUF_NONE;

		buf_str(&bad, buf_view(&good));
		bad.p[4096 + WAL_STAMP_BYTES + i] ^= 1;
		fix_record(&bad, 4096);
		put_bytes("0000000000000001.seg", &bad);
		ck_assert_msg(try_open(&wal) == E_CORRUPT, "byte %zu", i);
		ck_assert_msg(strstr(err.text, "damaged at 4096"), "%s", err.text);
		ck_assert_uint_eq(last, 0);
	}
	put_bytes("0000000000000001.seg", &good);
	wal = open_log();
	ck_assert_uint_eq(last, 2);
	wal_close(&wal);
}
END_TEST

static void fix_header(struct buf *b, size_t envelope)
{
	size_t at = WAL_HEADER_BYTES + 4 + envelope;
	uint32_t crc = crc32c(0, b->p, 60);

	for (unsigned i = 0; i < 4; i++)
		b->p[60 + i] = (char)(crc >> (8 * i));
	crc = crc32c(0, b->p, at);
	for (unsigned i = 0; i < 4; i++)
		b->p[at + i] = (char)(crc >> (8 * i));
}

/* A segment under the name and id of another one, and one of another node. */
START_TEST(a_segment_is_what_it_was_sealed_as)
{
	struct wal *wal = open_log();
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF path = BUF_NONE;
	size_t envelope;

	append(wal, 1, 0);
	wal_close(&wal);
	file_bytes("0000000000000001.seg", &bytes);
	envelope = (unsigned char)bytes.p[WAL_HEADER_BYTES] |
		   (size_t)(unsigned char)bytes.p[WAL_HEADER_BYTES + 1] << 8;
	fix_header(&bytes, envelope);    /* changes nothing: it is where it says */
	put_bytes("0000000000000001.seg", &bytes);
	wal = open_log();
	wal_close(&wal);
	each_file(remove_file);
	bytes.p[20] = 5;
	fix_header(&bytes, envelope);
	put_bytes("0000000000000005.seg", &bytes);
	ck_assert_int_eq(try_open(&wal), E_DENIED);
	ck_assert_msg(strstr(err.text, "or as something else"), "%s", err.text);
	each_file(remove_file);
	bytes.p[20] = 1;
	bytes.p[44] = 2;
	fix_header(&bytes, envelope);
	put_bytes("0000000000000001.seg", &bytes);
	config.node = 2;
	ck_assert_int_eq(try_open(&wal), E_DENIED);
	ck_assert_msg(strstr(err.text, "or as something else"), "%s", err.text);
}
END_TEST

START_TEST(a_later_format_is_refused_by_name)
{
	struct wal *wal = open_log();
	AUTO_BUF bytes = BUF_NONE;

	wal_close(&wal);
	file_bytes("0000000000000001.seg", &bytes);
	bytes.p[8] = 3;
	fix_header(&bytes, 0);
	put_bytes("0000000000000001.seg", &bytes);
	ck_assert_int_eq(try_open(&wal), E_UNSUPPORTED);
	ck_assert_msg(strstr(err.text, "log format 3"), "%s", err.text);
}
END_TEST

/* ---- nonces ---- */

#define SEEN_MAX 4096

/* All that was ever encrypted: under which key, with which sequence, as what. */
static struct {
	struct seal_key key;
	uint64_t sequence;
	uint32_t crc;
} seen[SEEN_MAX];
static size_t n_seen;

static void note_record(const struct seal_key *key, const char *record)
{
	struct rd rd = rd_of(str_n(record, WAL_RECORD_BYTES));
	uint32_t crc = rd_u32(&rd);
	uint64_t sequence;

	(void)rd_u32(&rd);
	sequence = rd_u64(&rd);
	for (size_t i = 0; i < n_seen; i++)
		if (memcmp(&seen[i].key, key, sizeof(*key)) == 0 &&
		    seen[i].sequence == sequence) {
			ck_assert_uint_eq(seen[i].crc, crc);
			return;
		}
	ck_assert_uint_lt(n_seen, SEEN_MAX);
	seen[n_seen].key = *key;
	seen[n_seen].sequence = sequence;
	seen[n_seen++].crc = crc;
}

/* The key as this test gets at it: by the format's description. */
static void gather_nonces(const char *path)
{
	AUTO_BUF b = BUF_NONE;
	AUTO_BUF context = BUF_NONE;
	struct seal_key key;
	uint64_t id;
	struct rd rd;
	size_t n;

	if (!str_ends(str_of(path), STR(".seg")))
		return;
	ck_assert_int_eq(fs_get(fs_real(), path, &b, NULL), OK);
	rd = rd_of(str_n(b.p + 20, 8));
	id = rd_u64(&rd);
	rd = rd_of(str_n(b.p + WAL_HEADER_BYTES, 4));
	n = rd_u32(&rd);
	wr_raw(&context, "conflux log segment", 19);
	wr_raw(&context, config.cluster.b, 16);
	wr_u64(&context, 1);
	wr_u64(&context, id);
	ck_assert_int_eq(seal_envelope_open(config.seal, NULL, buf_view(&context),
					    str_n(b.p + WAL_HEADER_BYTES + 4, n),
					    &key, &err), OK);
	for (size_t at = 4096; at < b.n; at += 4096) {
		struct wal_stamp stamp;

		if (wal_stamp_read(b.p + at, &stamp) == WAL_FOUND_STAMP &&
		    stamp.segment == id && stamp.position == 0)
			note_record(&key, b.p + at + WAL_STAMP_BYTES);
	}
}

/* Over restarts, recycled files, a log that begins anew and one that was torn. */
START_TEST(no_nonce_comes_twice_with_one_key)
{
	uint64_t next = 1;

	for (int run = 0; run < 6; run++) {
		struct wal *wal = open_log();

		next = last + 1;
		for (int i = 0; i < 40; i++) {
			append(wal, next++, i % 4 ? 0 : 5000);
			if (i % 8 == 0)
				each_file(gather_nonces);
			if (i % 16 == 15)
				ck_assert_int_eq(wal_cut(wal, next - 4, &err), OK);
		}
		if (run == 3)
			ck_assert_int_eq(wal_restart(wal, &err), OK);
		append(wal, next++, 9000 - 100);
		each_file(gather_nonces);
		wal_close(&wal);
		if (run % 2) {           /* the last record is torn */
			AUTO_BUF path = BUF_NONE;
			static const char zeros[4096];
			struct wal_stats st;
			int fd;

			wal = open_log();
			st = stats(wal);
			ck_assert_uint_gt(st.segments, 0);
			append(wal, last + 1, 9000 - 100);
			each_file(gather_nonces);
			buf_printf(&path, "%s/%016llx.seg", dir,
				   (unsigned long long)
				   wal->segments[wal->n_segments - 1].id);
			wal_close(&wal);
			fd = open(path.p, O_WRONLY);
			ck_assert_int_eq(pwrite(fd, zeros, 4096, 2 * 4096), 4096);
			close(fd);
		}
	}
	ck_assert_uint_gt(n_seen, 200);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wal/sealed");
	TCase *t = tcase_create("sealed");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, nothing_plain_is_on_the_disk, 0, 2);
	tcase_add_test(t, nothing_plain_is_left_once_the_plain_segments_are_cut);
	tcase_add_test(t, keys_rotate_and_sealing_goes_off_and_on);
	tcase_add_loop_test(t, without_the_key_it_is_refused, 0,
			    ARRAY_LEN(bad_keys));
	tcase_add_test(t, a_record_that_was_altered_is_refused_by_its_tag);
	tcase_add_test(t, a_segment_is_what_it_was_sealed_as);
	tcase_add_test(t, a_later_format_is_refused_by_name);
	tcase_add_test(t, no_nonce_comes_twice_with_one_key);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
