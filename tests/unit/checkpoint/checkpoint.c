/* Checkpoint files: what is read back, what is found, what a crash leaves. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#include "base/failpoint.h"
#include "base/mem.h"
#include "checkpoint/checkpoint.h"

#include "base/banned.h"

#define PIECE (256 * 1024 - 16)          /* payload of a block */

static char dir[64];

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/conflux-ckpt-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", dir, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

static char byte_at(uint64_t i, uint64_t salt)
{
	return (char)((i * 2654435761u + salt) >> 7);
}

static struct checkpoint_head head_at(uint64_t index)
{
	struct checkpoint_head h = { .index = index, .term = 3,
				     .configuration_index = 1,
				     .configuration_bytes = 5 };

	memset(h.cluster.b, 7, sizeof(h.cluster.b));
	memcpy(h.configuration, "voter", 5);
	return h;
}

static struct checkpoint_writer *fill(uint64_t index, size_t bytes)
{
	struct checkpoint_head h = head_at(index);
	struct checkpoint_writer *w;
	struct err err;

	ck_assert_int_eq(checkpoint_create(fs_real(), dir, &h, NULL, NULL, &w,
					   &err), OK);
	for (size_t i = 0; i < bytes;) {
		char part[1000];
		size_t n = MIN(sizeof(part), bytes - i);

		for (size_t k = 0; k < n; k++)
			part[k] = byte_at(i + k, index);
		ck_assert_int_eq(checkpoint_put(w, part, n, &err), OK);
		i += n;
	}
	return w;
}

static char *make(uint64_t index, size_t bytes)
{
	struct checkpoint_writer *w = fill(index, bytes);
	struct buf path = BUF_NONE;
	struct err err;

	ck_assert_msg(checkpoint_finish(&w, &err) == OK, "%s", err.text);
	ck_assert_ptr_null(w);
	checkpoint_path(&path, dir, &(struct checkpoint_name){ index, 3 });
	return buf_take(&path);
}

static void check_bytes(const char *path, uint64_t index, size_t bytes)
{
	struct checkpoint *c;
	struct err err;
	size_t at = 0, got, wrong = 0;

	ck_assert_msg(checkpoint_open(fs_real(), path, &c, &err) == OK, "%s",
		      err.text);
	ck_assert_uint_eq(checkpoint_head(c)->index, index);
	ck_assert_uint_eq(checkpoint_head(c)->term, 3);
	ck_assert_uint_eq(checkpoint_head(c)->bytes, bytes);
	ck_assert_uint_eq(checkpoint_head(c)->configuration_index, 1);
	ck_assert_mem_eq(checkpoint_head(c)->configuration, "voter", 5);
	do {
		char part[777];

		ck_assert_int_eq(checkpoint_read(c, part, sizeof(part), &got,
						 &err), OK);
		for (size_t k = 0; k < got; k++)
			wrong += part[k] != byte_at(at + k, index);
		at += got;
	} while (got);
	ck_assert_uint_eq(at, bytes);
	ck_assert_uint_eq(wrong, 0);
	checkpoint_close(&c);
}

START_TEST(bytes_come_back)
{
	static const size_t sizes[] = { 0, 1, 4080, 4081, PIECE - 1, PIECE,
					PIECE + 1, 3 * PIECE };
	char *path = make(10 + (uint64_t)_i, sizes[_i]);

	check_bytes(path, 10 + (uint64_t)_i, sizes[_i]);
	free(path);
}
END_TEST

/* ---- damage ---- */

static struct file *edit(const char *path)
{
	struct file *f;
	struct err err;

	ck_assert_int_eq(fs_real()->ops->open(fs_real(), path, FILE_WRITE, &f,
					      &err), OK);
	return f;
}

static void flip(struct file *f, uint64_t at, int bit)
{
	struct fs *fs = fs_real();
	struct err err;
	size_t got;
	char c;

	ck_assert_int_eq(fs->ops->read(fs, f, at, &c, 1, &got, &err), OK);
	c = (char)(c ^ 1 << bit);
	ck_assert_int_eq(fs->ops->write(fs, f, at, &c, 1, &err), OK);
}

START_TEST(every_flipped_byte_is_found)
{
	char *path = make(1, 5000);
	struct file *f = edit(path);
	struct err err;
	uint64_t size;

	ck_assert_int_eq(fs_real()->ops->size(fs_real(), f, &size, &err), OK);
	/* Head, two blocks of data with their padding, trailer. */
	ck_assert_uint_eq(size, 4096 * 4);
	for (uint64_t at = 0; at < size; at += at % 4096 < 100 ? 1 : 61) {
		flip(f, at, (int)(at % 8));
		ck_assert_msg(checkpoint_verify(fs_real(), path, NULL, &err) ==
				      E_CORRUPT, "at %llu",
			      (unsigned long long)at);
		ck_assert_ptr_nonnull(strstr(err.text, path));
		ck_assert(err.hint[0]);
		flip(f, at, (int)(at % 8));
	}
	ck_assert_int_eq(checkpoint_verify(fs_real(), path, NULL, &err), OK);
	fs_real()->ops->close(fs_real(), f);
	free(path);
}
END_TEST

START_TEST(a_file_cut_short_is_found)
{
	static const off_t sizes[] = { 0, 100, 4096, 8192, 8192 + 262144,
				       8192 + 262144 + 4095 };
	char *path = make(1, PIECE + 1);
	struct err err;

	ck_assert_int_eq(truncate(path, sizes[_i]), 0);
	ck_assert_int_eq(checkpoint_verify(fs_real(), path, NULL, &err),
			 E_CORRUPT);
	free(path);
}
END_TEST

static void copy(struct file *to, uint64_t at, struct file *from, uint64_t pos)
{
	struct fs *fs = fs_real();
	char *p = mem_alloc(256 * 1024);
	struct err err;
	size_t got;

	ck_assert_int_eq(fs->ops->read(fs, from, pos, p, 256 * 1024, &got,
				       &err), OK);
	ck_assert_int_eq(fs->ops->write(fs, to, at, p, 256 * 1024, &err), OK);
	free(p);
}

/* Valid blocks, but not here: of another checkpoint, or of another place. */
START_TEST(a_block_of_elsewhere_is_found)
{
	char *path = make(1, 3 * PIECE), *other = make(2, 3 * PIECE);
	struct file *f = edit(path), *g = edit(other);
	struct err err;

	copy(f, 4096 + 256 * 1024, _i ? g : f, 4096 + (uint64_t)_i * 256 * 1024);
	ck_assert_int_eq(checkpoint_verify(fs_real(), path, NULL, &err),
			 E_CORRUPT);
	ck_assert_int_eq(checkpoint_verify(fs_real(), other, NULL, &err), OK);
	fs_real()->ops->close(fs_real(), f);
	fs_real()->ops->close(fs_real(), g);
	free(path);
	free(other);
}
END_TEST

/* ---- the folder ---- */

static size_t listed(struct checkpoint_name *names, size_t max)
{
	struct err err;
	size_t n;

	ck_assert_int_eq(checkpoint_list(fs_real(), dir, names, max, &n, &err),
			 OK);
	return n;
}

START_TEST(the_folder_lists_newest_first_and_prunes)
{
	struct checkpoint_name names[8];
	struct err err;

	for (uint64_t i = 1; i <= 20; i += 5)
		free(make(i * 100, 10));
	ck_assert_uint_eq(listed(names, 8), 4);
	ck_assert_uint_eq(names[0].index, 1600);
	ck_assert_uint_eq(names[3].index, 100);
	ck_assert_uint_eq(listed(names, 2), 2);
	ck_assert_uint_eq(names[0].index, 1600);
	ck_assert_uint_eq(names[1].index, 1100);
	ck_assert_int_eq(checkpoint_prune(fs_real(), dir, 2, &err), OK);
	ck_assert_uint_eq(listed(names, 8), 2);
	ck_assert_uint_eq(names[1].index, 1100);
}
END_TEST

static size_t files(void)
{
	AUTO_BUF names = BUF_NONE;
	struct err err;
	size_t n = 0;

	ck_assert_int_eq(fs_real()->ops->list(fs_real(), dir, &names, &err), OK);
	for (size_t i = 0; i < names.n; i++)
		n += names.p[i] == '\0';
	return n;
}

static enum code refuse(void *data, size_t bytes, struct err *err)
{
	return err_set(err, E_CANCELLED, "stopping");
}

START_TEST(what_is_given_up_leaves_nothing)
{
	struct checkpoint_head h = head_at(5);
	struct checkpoint_writer *w = fill(4, 100);
	struct err err;

	ck_assert_uint_eq(files(), 1);
	checkpoint_abandon(&w);
	ck_assert_uint_eq(files(), 0);
	ck_assert_int_eq(checkpoint_create(fs_real(), dir, &h, refuse, NULL, &w,
					   &err), OK);
	ck_assert_int_eq(checkpoint_put(w, "x", 1, &err), OK);
	ck_assert_int_eq(checkpoint_finish(&w, &err), E_CANCELLED);
	ck_assert_uint_eq(files(), 0);
}
END_TEST

START_TEST(a_failing_step_leaves_no_name)
{
	static const char *const specs[] = { "checkpoint.write=error*1",
					     "checkpoint.sync=error*1",
					     "checkpoint.rename=error*1" };
	struct checkpoint_writer *w;
	struct err err;

	ck_assert_int_eq(failpoint_set(specs[_i], &err), OK);
	w = fill(4, 100);
	ck_assert_int_eq(checkpoint_finish(&w, &err), E_IO);
	ck_assert_uint_eq(files(), 0);
}
END_TEST

/* The half-written file of a crash goes at the next look. */
START_TEST(a_crash_leaves_a_file_that_does_not_count)
{
	struct checkpoint_name names[2];
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct checkpoint_writer *w;
		struct err err;

		if (failpoint_set("checkpoint.rename=crash", &err))
			_exit(1);
		w = fill(4, 100);
		_exit(checkpoint_finish(&w, &err) ? 1 : 2);
	}
	waitpid(pid, &status, 0);
	ck_assert(WIFSIGNALED(status));
	ck_assert_uint_eq(files(), 1);
	ck_assert_uint_eq(listed(names, 2), 0);
	ck_assert_uint_eq(files(), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("checkpoint/checkpoint");
	TCase *t = tcase_create("file");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, bytes_come_back, 0, 8);
	tcase_add_test(t, every_flipped_byte_is_found);
	tcase_add_loop_test(t, a_file_cut_short_is_found, 0, 6);
	tcase_add_loop_test(t, a_block_of_elsewhere_is_found, 0, 2);
	tcase_add_test(t, the_folder_lists_newest_first_and_prunes);
	tcase_add_test(t, what_is_given_up_leaves_nothing);
	tcase_add_loop_test(t, a_failing_step_leaves_no_name, 0, 3);
	tcase_add_test(t, a_crash_leaves_a_file_that_does_not_count);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
