/* Objects that would take more memory than what is read of them. */
#include "source/git.h"

#include "base/rand.h"
#include "lab.h"
#include "unit.h"

#include "base/banned.h"

#define BIG (112u << 20)
#define SMALL (4u << 20)

static struct lab lab;
static struct repo *repo;
static struct buf out;
static struct err err;

static void setup(void)
{
	lab_open(&lab);
	out = BUF_NONE;
	err = (struct err){ 0 };
}

static void teardown(void)
{
	repo_free(&repo);
	buf_fini(&out);
	lab_close(&lab);
}

static struct oid hash_object(struct str content)
{
	struct oid id;

	ck_assert(oid_parse(lab_git_in(&lab, content,
				       (const char *const[]){ "git", "hash-object", "-w",
							      "--stdin", NULL }),
			    &id));
	return id;
}

/* Deflated it is some kilobytes, so that no bound on what is received sees it. */
START_TEST(a_commit_has_a_bound)
{
	AUTO_BUF message = BUF_NONE;
	struct commit_info info;
	struct oid id;
	const char *argv[] = { "git", "commit", "-q", "--allow-empty", "-F", "-", NULL };

	memset(buf_extend(&message, 1 << 20), 'x', 1 << 20);
	lab_git_in(&lab, str_n(message.p, (1 << 20) - 1000), argv);
	id = lab_oid(&lab, "HEAD");
	repo = lab_repo(&lab);
	ck_assert_msg(repo_commit(repo, &id, &info, &err) == OK, "%s", err.text);
	repo_free(&repo);
	lab_git_in(&lab, buf_view(&message), argv);
	id = lab_oid(&lab, "HEAD");
	repo = lab_repo(&lab);
	ck_assert_int_eq(repo_commit(repo, &id, &info, &err), E_TOO_LARGE);
	ck_assert_msg(str_starts(str_of(err.text), STR("the commit: it has 10")), "%s",
		      err.text);
}
END_TEST

/* Of 4 MiB that are kept as a part of 112 MiB the header says 4 MiB alone. */
START_TEST(so_has_what_an_object_is_made_from)
{
	AUTO_BUF big = BUF_NONE;
	AUTO_BUF ids = BUF_NONE;
	struct oid of_big, of_small;
	char text[OID_TEXT];
	struct str base;
	struct prng p;
	uint64_t x;

	prng_init(&p, 1);
	while (big.n < SMALL) {
		x = prng_next(&p);
		buf_add(&big, &x, sizeof(x));
	}
	of_small = hash_object(buf_view(&big));
	memset(buf_extend(&big, BIG - SMALL), 0, BIG - SMALL);
	of_big = hash_object(buf_view(&big));
	repo = lab_repo(&lab);
	ck_assert_msg(repo_blob(repo, &of_small, 8 << 20, &out, &err) == OK, "%s",
		      err.text);
	ck_assert(str_eq(buf_view(&out), str_n(big.p, SMALL)));
	repo_free(&repo);

	oid_text(text, &of_big);
	buf_printf(&ids, "%s a\n", text);
	oid_text(text, &of_small);
	buf_printf(&ids, "%s a\n", text);
	lab_git_in(&lab, buf_view(&ids),
		   (const char *const[]){ "git", "-c", "core.bigFileThreshold=1g",
					  "pack-objects", "-q", ".git/objects/pack/pack",
					  NULL });
	lab_git(&lab, "prune-packed", "-q");
	/* It is as it was meant to be. */
	base = lab_git_in(&lab, str_of(text),
			  (const char *const[]){ "git", "cat-file",
						 "--batch-check=%(deltabase)", NULL });
	oid_text(text, &of_big);
	ck_assert(str_eq(base, str_of(text)));
	repo = lab_repo(&lab);
	ck_assert_int_eq(repo_blob(repo, &of_small, 8 << 20, &out, &err), E_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(err.text, "a change of an object of more than"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("source/git");
	TCase *tc = tcase_create("git");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 100);
	tcase_add_test(tc, a_commit_has_a_bound);
	tcase_add_test(tc, so_has_what_an_object_is_made_from);
	suite_add_tcase(s, tc);
	return s;
}

UNIT_MAIN(suite)
