/* Small files that somebody else has written, keys above all. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "unit.h"

#include "base/banned.h"

#define MAX_BYTES 4

static char dir[32], path[64];
static struct buf text;
static struct err err;

static void setup(void)
{
	memcpy(dir, "/tmp/conflux-file-XXXXXX", sizeof("/tmp/conflux-file-XXXXXX"));
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/key", dir);
}

static void teardown(void)
{
	buf_fini(&text);
	unlink(path);
	rmdir(dir);
}

static void write_bytes(struct str bytes, unsigned mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes.p, bytes.n), (ssize_t)bytes.n);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

static enum code get(bool is_private)
{
	return file_get_small(path, MAX_BYTES, is_private, &text, &err);
}

START_TEST(bytes_are_appended)
{
	buf_z(&text, "before ");
	write_bytes(STR("1234"), 0600);
	ck_assert_int_eq(get(true), OK);
	ck_assert_str_eq(text.p, "before 1234");
	write_bytes(STR("5"), 0400);
	ck_assert_int_eq(get(true), OK);
	ck_assert_str_eq(text.p, "before 12345");
	write_bytes(STR_NONE, 0600);
	ck_assert_int_eq(get(true), OK);
	ck_assert_str_eq(text.p, "before 12345");
}
END_TEST

START_TEST(what_is_larger_is_not_cut)
{
	write_bytes(STR("12345"), 0600);
	ck_assert_int_eq(get(true), E_INVALID);
	ck_assert_msg(strstr(err.text, "key: larger than 4 bytes"), "%s", err.text);
}
END_TEST

START_TEST(what_is_private_is_its_owners_alone)
{
	static const unsigned modes[] = { 0640, 0620, 0610, 0604, 0602, 0601, 0777 };

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		write_bytes(STR("1"), modes[i]);
		ck_assert_int_eq(get(true), E_DENIED);
		ck_assert_msg(strstr(err.hint, "chmod 600"), "%s", err.hint);
		ck_assert_uint_eq(text.n, 0);
	}
	ck_assert_int_eq(get(false), OK);
	ck_assert_str_eq(text.p, "1");
}
END_TEST

/* A pipe without a writer would keep whoever opens it waiting. */
START_TEST(what_is_no_file)
{
	ck_assert_int_eq(get(false), E_NOT_FOUND);
	ck_assert_int_eq(file_get_small(dir, MAX_BYTES, false, &text, &err), E_INVALID);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(get(true), E_INVALID);
	ck_assert_int_eq(file_get_small("/dev/zero", MAX_BYTES, false, &text, &err),
			 E_INVALID);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io/file");
	TCase *t = tcase_create("small");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, bytes_are_appended);
	tcase_add_test(t, what_is_larger_is_not_cut);
	tcase_add_test(t, what_is_private_is_its_owners_alone);
	tcase_add_test(t, what_is_no_file);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
