/* The bytes of a backup: they come back as they were, and whatever was done to
 * them is found. */
#include "backup/backup.h"
#include "base/mem.h"
#include "unit.h"
#include "wire/wire.h"

#include "base/banned.h"

#define FRONT 12

static struct prng prng;

static struct str picture_of(struct buf *b, size_t n)
{
	while (b->n < n) {
		uint64_t r = prng_next(&prng);

		buf_add(b, &r, MIN(sizeof(r), n - b->n));
	}
	return buf_view(b);
}

static struct backup_head head_of(struct str picture)
{
	struct backup_head h = { .node = 3, .index = 17, .term = 4,
				 .time_ms = 1700000000000, .bytes = picture.n,
				 .sum = sha256_of(picture), .n_members = 2,
				 .about = STR("revision 12") };

	memset(h.cluster.b, 7, sizeof(h.cluster.b));
	h.members[0] = (struct backup_member){ 1, true, STR("a:1") };
	h.members[1] = (struct backup_member){ 9, false, STR("b:2") };
	return h;
}

static void make(struct buf *out, struct str picture)
{
	struct backup_writer *w = backup_writer_new();
	struct backup_head h = head_of(picture);

	backup_start(w, &h, out);
	for (size_t at = 0; at < picture.n; at += BACKUP_PIECE)
		backup_piece(w, str_first(str_from(picture, at), BACKUP_PIECE),
			     out);
	backup_end(w, out);
	backup_writer_free(&w);
}

static enum code keep(void *data, struct str bytes, struct err *err)
{
	buf_str(data, bytes);
	return OK;
}

/* Reads it in cuts of 'cut' bytes. */
static enum code read_all(struct str bytes, size_t cut, struct buf *picture,
			  struct err *err)
{
	struct backup_reader *r = backup_reader_new(picture ? keep : NULL,
						    picture);
	enum code rc = OK;

	for (size_t at = 0; at < bytes.n && rc == OK; at += cut)
		rc = backup_feed(r, str_first(str_from(bytes, at), cut), err);
	if (rc == OK)
		rc = backup_finish(r, err);
	backup_reader_free(&r);
	return rc;
}

START_TEST(what_was_written_is_read_however_it_is_cut)
{
	static const size_t sizes[] = { 0, 1, 4096, BACKUP_PIECE - 1,
					BACKUP_PIECE, BACKUP_PIECE + 1,
					3 * BACKUP_PIECE };
	static const size_t cuts[] = { 1000003, 4099, 1 << 30, 37 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		AUTO_BUF picture = BUF_NONE;
		AUTO_BUF bytes = BUF_NONE;

		make(&bytes, picture_of(&picture, sizes[i]));
		for (size_t k = 0; k < ARRAY_LEN(cuts); k++) {
			AUTO_BUF back = BUF_NONE;
			struct err err;

			ck_assert_msg(read_all(buf_view(&bytes), cuts[k], &back,
					       &err) == OK, "%s", err.text);
			ck_assert(str_eq(buf_view(&back), buf_view(&picture)));
		}
	}
}
END_TEST

/* Made by a program of another language from docs/formats/backup.md: whoever
 * changes the format gives it another number. */
START_TEST(the_format_stays_what_it_is)
{
	static const char end[] =
		"8f94d14a33992e83dee0098c7c55b48bfcbfc8ac858b04ebdcecc9f9938c7910";
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF hex = BUF_NONE;

	make(&bytes, STR("a picture"));
	ck_assert_uint_eq(bytes.n, 186);
	buf_hex(&hex, bytes.p + bytes.n - 32, 32);
	ck_assert_str_eq(hex.p, end);
}
END_TEST

START_TEST(the_head_says_what_it_is)
{
	AUTO_BUF picture = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	struct backup_reader *r = backup_reader_new(NULL, NULL);
	const struct backup_head *h;
	struct backup_head want;
	struct err err;

	make(&bytes, picture_of(&picture, 100));
	want = head_of(buf_view(&picture));
	ck_assert_ptr_null(backup_reader_head(r));
	ck_assert_int_eq(backup_feed(r, str_first(buf_view(&bytes), 250), &err),
			 OK);
	h = backup_reader_head(r);
	ck_assert_ptr_nonnull(h);
	ck_assert_mem_eq(h->cluster.b, want.cluster.b, 16);
	ck_assert_uint_eq(h->node, 3);
	ck_assert_uint_eq(h->index, 17);
	ck_assert_uint_eq(h->term, 4);
	ck_assert_uint_eq(h->time_ms, want.time_ms);
	ck_assert_uint_eq(h->bytes, 100);
	ck_assert(sha256_eq(&h->sum, &want.sum));
	ck_assert_uint_eq(h->n_members, 2);
	ck_assert_uint_eq(h->members[1].id, 9);
	ck_assert(!h->members[1].votes && h->members[0].votes);
	ck_assert(str_eq(h->members[1].address, STR("b:2")));
	ck_assert(str_eq(h->about, STR("revision 12")));
	backup_reader_free(&r);
}
END_TEST

START_TEST(each_flipped_bit_is_found)
{
	AUTO_BUF picture = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;

	make(&bytes, picture_of(&picture, 700));
	for (size_t i = 0; i < bytes.n; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			struct err err;

			bytes.p[i] ^= (char)(1u << bit);
			ck_assert_msg(read_all(buf_view(&bytes), 4096, NULL,
					       &err) == E_CORRUPT,
				      "bit %u of byte %zu", bit, i);
			bytes.p[i] ^= (char)(1u << bit);
		}
	}
}
END_TEST

START_TEST(a_flipped_byte_of_a_large_one_is_found_where_it_is)
{
	AUTO_BUF picture = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	struct err err;

	make(&bytes, picture_of(&picture, 2 * BACKUP_PIECE + 100));
	for (unsigned i = 0; i < 60; i++) {
		size_t at = prng_next(&prng) % bytes.n;

		bytes.p[at] ^= 0x40;
		ck_assert_int_eq(read_all(buf_view(&bytes), 1 << 20, NULL, &err),
				 E_CORRUPT);
		bytes.p[at] ^= 0x40;
	}
	bytes.p[bytes.n - 60] ^= 1;
	ck_assert_int_eq(read_all(buf_view(&bytes), 1 << 20, NULL, &err),
			 E_CORRUPT);
	ck_assert_msg(strstr(err.text, "at byte 2097") != NULL, "%s", err.text);
}
END_TEST

START_TEST(what_is_cut_off_is_found_at_each_length)
{
	AUTO_BUF picture = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	struct err err;

	make(&bytes, picture_of(&picture, 900));
	for (size_t n = 0; n < bytes.n; n++)
		ck_assert_msg(read_all(str_first(buf_view(&bytes), n), 4096,
				       NULL, &err) == E_CORRUPT, "%zu", n);
	ck_assert_msg(strstr(err.text, "cut off") != NULL, "%s", err.text);
	buf_c(&bytes, 'x');
	ck_assert_int_eq(read_all(buf_view(&bytes), 4096, NULL, &err), E_CORRUPT);
	ck_assert_msg(strstr(err.text, "follows its end") != NULL, "%s", err.text);
}
END_TEST

START_TEST(pieces_stay_where_they_are)
{
	size_t whole = BACKUP_PIECE + 8, first;
	AUTO_BUF picture = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF other = BUF_NONE;
	struct str s;
	struct err err;

	make(&bytes, picture_of(&picture, 3 * BACKUP_PIECE));
	first = bytes.n - 36 - 3 * whole;
	s = buf_view(&bytes);
	/* The first two in the other order, each with its own checksum. */
	buf_str(&other, str_first(s, first));
	buf_str(&other, str_first(str_from(s, first + whole), whole));
	buf_str(&other, str_first(str_from(s, first), whole));
	buf_str(&other, str_from(s, first + 2 * whole));
	ck_assert_int_eq(read_all(buf_view(&other), 1 << 20, NULL, &err),
			 E_CORRUPT);
	/* One is left out. */
	buf_reset(&other);
	buf_str(&other, str_first(s, first));
	buf_str(&other, str_from(s, first + whole));
	ck_assert_int_eq(read_all(buf_view(&other), 1 << 20, NULL, &err),
			 E_CORRUPT);
}
END_TEST

/* Re-signs the head, so that only its content is wrong. */
static void sign(struct buf *bytes)
{
	struct rd rd = rd_of(str_from(buf_view(bytes), 8));
	uint32_t n = rd_u32(&rd), crc = crc32c(0, bytes->p, FRONT + n);

	memcpy(bytes->p + FRONT + n, &crc, sizeof(crc));
}

START_TEST(what_is_not_understood_is_told_apart)
{
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF long_head = BUF_NONE;
	struct err err;

	make(&bytes, STR("picture"));
	bytes.p[FRONT] = 2;
	sign(&bytes);
	ck_assert_int_eq(read_all(buf_view(&bytes), 4096, NULL, &err),
			 E_UNSUPPORTED);
	ck_assert_msg(strstr(err.text, "format 2") != NULL, "%s", err.text);
	bytes.p[FRONT] = 1;
	/* An index of 0 is none. */
	bytes.p[FRONT + 28] = 0;
	sign(&bytes);
	ck_assert_int_eq(read_all(buf_view(&bytes), 4096, NULL, &err),
			 E_CORRUPT);
	ck_assert_int_eq(read_all(STR("-----BEGIN nothing of ours"), 4096, NULL,
				  &err), E_CORRUPT);
	ck_assert_str_eq(err.text, "this is no backup");
	/* A length is no reason to wait for four gigabytes. */
	buf_str(&long_head, str_first(buf_view(&bytes), 8));
	wr_u32(&long_head, UINT32_MAX);
	ck_assert_int_eq(read_all(buf_view(&long_head), 4096, NULL, &err),
			 E_CORRUPT);
	ck_assert_msg(strstr(err.text, "that long") != NULL, "%s", err.text);
}
END_TEST

static enum code refuse(void *data, struct str bytes, struct err *err)
{
	++*(unsigned *)data;
	return err_set(err, E_FULL, "no room");
}

START_TEST(an_error_of_who_takes_it_ends_it)
{
	AUTO_BUF bytes = BUF_NONE;
	struct backup_reader *r;
	unsigned n = 0;
	struct err err;

	r = backup_reader_new(refuse, &n);
	make(&bytes, STR("picture"));
	ck_assert_int_eq(backup_feed(r, buf_view(&bytes), &err), E_FULL);
	ck_assert_int_eq(backup_feed(r, STR("x"), &err), E_CORRUPT);
	ck_assert_int_eq(backup_finish(r, &err), E_CORRUPT);
	ck_assert_uint_eq(n, 1);
	backup_reader_free(&r);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("backup/stream");
	TCase *t = tcase_create("stream");

	prng_init(&prng, 1);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, what_was_written_is_read_however_it_is_cut);
	tcase_add_test(t, the_format_stays_what_it_is);
	tcase_add_test(t, the_head_says_what_it_is);
	tcase_add_test(t, each_flipped_bit_is_found);
	tcase_add_test(t, a_flipped_byte_of_a_large_one_is_found_where_it_is);
	tcase_add_test(t, what_is_cut_off_is_found_at_each_length);
	tcase_add_test(t, pieces_stay_where_they_are);
	tcase_add_test(t, what_is_not_understood_is_told_apart);
	tcase_add_test(t, an_error_of_who_takes_it_ends_it);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
