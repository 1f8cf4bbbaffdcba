/* Trees of hashes: the construction, their pages, their files. */
#include "unit.h"

#include "base/hex.h"
#include "io/sim/disk.h"
#include "ship/tree.h"

#include "base/banned.h"

static struct disk *disk;
static struct fs *fs;
static struct err err;

static void setup(void)
{
	disk = disk_new(1);
	fs = disk_fs(disk);
	ck_assert_int_eq(fs->ops->make_dir(fs, "d", &err), OK);
}

static void teardown(void)
{
	disk_free(&disk);
}

static const char *hex(struct sha256 h)
{
	static char text[65];

	sha256_hex(text, &h);
	return text;
}

/* The test data of RFC 6962's reference implementation: eight leaves. */
static const struct str inputs[8] = {
	{ "", 0 }, { "\x00", 1 }, { "\x10", 1 }, { "\x20\x21", 2 },
	{ "\x30\x31", 2 }, { "\x40\x41\x42\x43", 4 },
	{ "\x50\x51\x52\x53\x54\x55\x56\x57", 8 },
	{ "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16 },
};
static const char *const roots[9] = {
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
	"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
	"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
	"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
	"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
	"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
	"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
	"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

START_TEST(the_tree_is_that_of_rfc_6962)
{
	struct sha256 leaves[8];

	for (size_t i = 0; i < 8; i++)
		leaves[i] = tree_leaf(inputs[i]);
	for (size_t n = 0; n <= 8; n++)
		ck_assert_str_eq(hex(tree_fold(leaves, n)), roots[n]);
}
END_TEST

/* The definition, once more and differently: pairs, level by level. */
static struct sha256 by_pairs(struct sha256 *h, size_t n)
{
	while (n > 1) {
		size_t to = 0;

		for (size_t i = 0; i < n; i += 2, to++) {
			char b[65] = { 1 };

			if (i + 1 == n) {
				h[to] = h[i];
				continue;
			}
			memcpy(b + 1, &h[i], 32);
			memcpy(b + 33, &h[i + 1], 32);
			h[to] = sha256_of(str_n(b, sizeof(b)));
		}
		n = to;
	}
	return h[0];
}

static struct sha256 leaf_of(size_t i)
{
	return sha256_of(str_n(&i, sizeof(i)));
}

static struct tree_file *build(const struct ship_shape *s, struct sha256 *root)
{
	struct tree_file *t;

	ck_assert_int_eq(tree_begin(fs, "d", "d/t", s, &t, &err), OK);
	for (size_t i = 0; i < shape_chunks(s); i++) {
		struct sha256 leaf = leaf_of(i);

		ck_assert_int_eq(tree_add(t, &leaf, &err), OK);
	}
	ck_assert_int_eq(tree_end(t, root, &err), OK);
	return t;
}

/* Every number of chunks to 70, pages of 2, 4, 8 and 1,024. */
START_TEST(pages_are_the_tree_whatever_their_size)
{
	static const unsigned logs[] = { 1, 2, 3, 10 };
	struct ship_shape s = { (uint64_t)_i * 1024, 1024, 0 };
	struct sha256 all[70], page[1024], root, top, fold, above[1024];
	struct tree_file *t;

	for (size_t i = 0; i < (size_t)_i; i++)
		all[i] = leaf_of(i);
	top = by_pairs(all, (size_t)_i);
	for (size_t k = 0; k < ARRAY_LEN(logs); k++) {
		unsigned levels;

		s.page_log = logs[k];
		levels = shape_levels(&s);
		tree_free(&(struct tree_file *){ build(&s, &root) });
		fold = tree_root(&s, &top);
		ck_assert(sha256_eq(&root, &fold));
		ck_assert_int_eq(tree_open(fs, "d/t", &s, &t, &root, &err), OK);
		ck_assert(sha256_eq(&root, &fold));
		ck_assert_uint_eq(shape_pages(&s, levels - 1), 1);
		for (unsigned l = 0; l < levels; l++)
			for (uint64_t p = 0; p < shape_pages(&s, l); p++) {
				size_t n = shape_page_hashes(&s, l, p);

				ck_assert_int_eq(tree_read(t, l, p, page, &err),
						 OK);
				fold = tree_fold(page, n);
				if (l + 1 == levels) {
					ck_assert(sha256_eq(&fold, &top));
					continue;
				}
				ck_assert_int_eq(tree_read(t, l + 1,
						p >> s.page_log, above, &err), OK);
				ck_assert(sha256_eq(&fold, &above[p &
						(BIT(s.page_log) - 1)]));
			}
		tree_free(&t);
	}
}
END_TEST

START_TEST(the_root_binds_size_and_chunks)
{
	struct ship_shape a = { 5000, 1024, 4 }, b = { 5001, 1024, 4 };
	struct ship_shape c = { 5000, 2048, 4 }, d = { 5000, 1024, 5 };
	struct sha256 top = leaf_of(1), ra = tree_root(&a, &top);
	struct sha256 rb = tree_root(&b, &top), rc = tree_root(&c, &top);
	struct sha256 rd = tree_root(&d, &top);

	ck_assert(!sha256_eq(&ra, &rb));
	ck_assert(!sha256_eq(&ra, &rc));
	ck_assert(sha256_eq(&ra, &rd));
}
END_TEST

static const struct {
	struct ship_shape s;
	bool is_valid;
} shapes[] = {
	{ { 0, 1024, 1 }, true }, { { INT64_MAX, 1024, 1 }, true },
	{ { INT64_MAX, 1 << 20, 10 }, true }, { { 1, 512, 4 }, false },
	{ { 1, 2 << 20, 4 }, false }, { { 1, 1025, 4 }, false },
	{ { 1, 0, 4 }, false }, { { 1, 1024, 0 }, false },
	{ { 1, 1024, 11 }, false }, { { 1ull << 63, 1024, 4 }, false },
};

START_TEST(shapes_are_checked_and_never_overflow)
{
	const struct ship_shape *s = &shapes[_i].s;

	ck_assert_int_eq(shape_is_valid(s), shapes[_i].is_valid);
	if (!shapes[_i].is_valid)
		return;
	ck_assert_uint_le(shape_levels(s), TREE_LEVELS_MAX);
	if (s->size)
		ck_assert_uint_eq(shape_hashes(s, shape_levels(s)), 1);
	if (s->size)
		ck_assert_uint_gt(shape_chunk_bytes(s, shape_chunks(s) - 1), 0);
}
END_TEST

static void flip(uint64_t at)
{
	struct file *f;
	size_t got;
	char c;

	ck_assert_int_eq(fs->ops->open(fs, "d/t", FILE_WRITE, &f, &err), OK);
	ck_assert_int_eq(fs->ops->read(fs, f, at, &c, 1, &got, &err), OK);
	c ^= 4;
	ck_assert_int_eq(fs->ops->write(fs, f, at, &c, 1, &err), OK);
	fs->ops->close(fs, f);
}

START_TEST(a_flipped_byte_in_the_file_is_found)
{
	struct ship_shape s = { 9 * 1024, 1024, 2 }, other = { 9 * 1024, 2048, 2 };
	struct sha256 root, page[4];
	struct tree_file *t = build(&s, &root);

	tree_free(&t);
	ck_assert_int_eq(tree_open(fs, "d/no", &s, &t, &root, &err), E_NOT_FOUND);
	ck_assert_int_eq(tree_open(fs, "d/t", &other, &t, &root, &err), E_CORRUPT);
	for (uint64_t at = 0; at < 60; at++) {
		flip(at);
		ck_assert_int_eq(tree_open(fs, "d/t", &s, &t, &root, &err),
				 E_CORRUPT);
		flip(at);
	}
	ck_assert_int_eq(tree_open(fs, "d/t", &s, &t, &root, &err), OK);
	/* Page 1 of level 0 lies in the second slot. */
	for (uint64_t at = 0; at < 132; at++) {
		flip(4096 + 132 + at);
		ck_assert_int_eq(tree_read(t, 0, 1, page, &err), E_CORRUPT);
		ck_assert_int_eq(tree_read(t, 0, 0, page, &err), OK);
		ck_assert_int_eq(tree_read(t, 1, 0, page, &err), OK);
		flip(4096 + 132 + at);
	}
	ck_assert_int_eq(tree_read(t, 0, 1, page, &err), OK);
	tree_free(&t);
}
END_TEST

/* One that was begun and not ended is none, whatever the power did. */
START_TEST(a_tree_counts_when_it_is_whole)
{
	struct ship_shape s = { 9 * 1024, 1024, 2 };
	struct sha256 root, back;
	struct tree_file *t = build(&s, &root);
	uint64_t steps = disk_steps(disk);
	enum code rc = OK;

	tree_free(&t);
	for (uint64_t at = 1; at <= steps; at++) {
		teardown();
		setup();
		disk_crash_at(disk, at);
		if (tree_begin(fs, "d", "d/t", &s, &t, &err) == OK) {
			for (size_t i = 0; i < 9 && rc == OK; i++) {
				struct sha256 leaf = leaf_of(i);

				rc = tree_add(t, &leaf, &err);
			}
			if (rc == OK)
				rc = tree_end(t, &back, &err);
			tree_free(&t);
		}
		disk_power_loss(disk);
		rc = tree_open(fs, "d/t", &s, &t, &back, &err);
		ck_assert(rc == OK || rc == E_NOT_FOUND);
		if (rc == OK)
			ck_assert(sha256_eq(&root, &back));
		if (rc == OK)
			tree_free(&t);
		rc = OK;
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("ship/tree");
	TCase *t = tcase_create("tree");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_tree_is_that_of_rfc_6962);
	tcase_add_loop_test(t, pages_are_the_tree_whatever_their_size, 1, 70);
	tcase_add_test(t, the_root_binds_size_and_chunks);
	tcase_add_loop_test(t, shapes_are_checked_and_never_overflow, 0,
			    ARRAY_LEN(shapes));
	tcase_add_test(t, a_flipped_byte_in_the_file_is_found);
	tcase_add_test(t, a_tree_counts_when_it_is_whole);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
