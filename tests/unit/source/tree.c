/* Comparison of trees: what it says, what it opens, what it refuses. */
#include "source/tree.h"

#include <unistd.h>

#include "base/hex.h"
#include "lab.h"
#include "unit.h"

#include "base/banned.h"

static struct lab lab;
static struct repo *repo;
static struct buf story;
static struct tree_stats stats;
static struct err err;

static void setup(void)
{
	lab_open(&lab);
	story = BUF_NONE;
	err = (struct err){ 0 };
}

static void teardown(void)
{
	repo_free(&repo);
	buf_fini(&story);
	lab_close(&lab);
}

static enum code tell(void *data, enum tree_change change, struct str path,
		      const struct oid *id, const struct oid *before,
		      struct err *e)
{
	(void)data;
	(void)e;
	ck_assert_ptr_nonnull(id);
	ck_assert_int_eq(change == TREE_ADDED, before == NULL);
	buf_printf(&story, "%c%.*s ", "+~-"[change], STR_ARG(path));
	return OK;
}

static enum code compare(const struct oid *a, const struct oid *b)
{
	struct tree_limits limits = { 8, 100000 };

	buf_reset(&story);
	if (!repo)
		repo = lab_repo(&lab);
	return tree_compare(repo, a, b, &limits, tell, NULL, &stats, &err);
}

static const char *between(const char *a, const char *b)
{
	struct oid x, y = lab_tree(&lab, b);

	if (a)
		x = lab_tree(&lab, a);
	ck_assert_msg(compare(a ? &x : NULL, &y) == OK, "%s", err.text);
	return story.p ? story.p : "";
}

START_TEST(says_what_differs)
{
	lab_write(&lab, "a/b/one", "1");
	lab_write(&lab, "a/b/two", "2");
	lab_write(&lab, "a-b", "x");
	lab_write(&lab, "z", "z");
	lab_commit(&lab, "first");
	ck_assert_str_eq(between(NULL, "HEAD"), "+a-b +a/b/one +a/b/two +z ");
	lab_write(&lab, "a/b/one", "changed");
	lab_write(&lab, "a/c/new", "new");
	lab_remove(&lab, "z");
	lab_commit(&lab, "second");
	ck_assert_str_eq(between("HEAD~", "HEAD"), "~a/b/one +a/c/new -z ");
	ck_assert_str_eq(between("HEAD", "HEAD~"), "~a/b/one -a/c/new +z ");
	ck_assert_str_eq(between("HEAD", "HEAD"), "");
	ck_assert_uint_eq(stats.opened, 0);
}
END_TEST

START_TEST(file_becomes_folder)
{
	lab_write(&lab, "x", "file");
	lab_write(&lab, "x.y", "beside");
	lab_commit(&lab, "file");
	lab_remove(&lab, "x");
	lab_write(&lab, "x/inner", "1");
	lab_commit(&lab, "folder");
	ck_assert_str_eq(between("HEAD~", "HEAD"), "-x +x/inner ");
	ck_assert_str_eq(between("HEAD", "HEAD~"), "+x -x/inner ");
}
END_TEST

START_TEST(opens_only_what_differs)
{
	char path[64];

	for (unsigned i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "%u/%u/%u", i / 100, i / 10 % 10, i);
		lab_write(&lab, path, path);
	}
	lab_commit(&lab, "thousand");
	between(NULL, "HEAD");
	ck_assert_uint_eq(stats.opened, 1 + 10 + 100);
	lab_write(&lab, "5/5/555", "changed");
	lab_commit(&lab, "one");
	ck_assert_str_eq(between("HEAD~", "HEAD"), "~5/5/555 ");
	/* Root, 5 and 5/5, each of both commits. */
	ck_assert_uint_eq(stats.opened, 6);
	ck_assert_uint_eq(stats.entries, 30);
}
END_TEST

START_TEST(unrelated_histories)
{
	lab_write(&lab, "a/one", "1");
	lab_commit(&lab, "first");
	lab_git(&lab, "checkout", "-q", "--orphan", "other");
	lab_git(&lab, "rm", "-rqf", ".");
	lab_write(&lab, "b/two", "2");
	lab_commit(&lab, "forced");
	ck_assert_str_eq(between("main", "other"), "-a/one +b/two ");
}
END_TEST

START_TEST(refuses_links_by_name)
{
	char to[100];

	lab_write(&lab, "shop/prod/ok", "1");
	lab_commit(&lab, "good");
	snprintf(to, sizeof(to), "%s/shop/prod/link", lab.repo);
	ck_assert_int_eq(symlink("/etc/passwd", to), 0);
	lab_commit(&lab, "link");
	struct oid a = lab_tree(&lab, "HEAD~"), b = lab_tree(&lab, "HEAD");

	ck_assert_int_eq(compare(&a, &b), E_UNPROCESSABLE);
	ck_assert_str_eq(err.text,
			 "shop/prod/link: symbolic links are not followed");
	/* Taking it away again is no offence. */
	ck_assert_int_eq(compare(&b, &a), OK);
	ck_assert_uint_eq(story.n, 0);
}
END_TEST

START_TEST(refuses_submodules_by_name)
{
	char spec[120];

	lab_write(&lab, "a", "1");
	struct oid id = lab_commit(&lab, "first");
	char hex[OID_TEXT];

	oid_text(hex, &id);
	snprintf(spec, sizeof(spec), "160000,%s,lib/sub", hex);
	lab_git(&lab, "update-index", "--add", "--cacheinfo", spec);
	lab_git(&lab, "commit", "-qm", "sub");
	struct oid b = lab_tree(&lab, "HEAD");

	ck_assert_int_eq(compare(NULL, &b), E_UNPROCESSABLE);
	ck_assert_str_eq(err.text, "lib/sub: submodules are not followed");
}
END_TEST

START_TEST(bounds_depth_and_entries)
{
	struct tree_limits few = { 8, 3 };

	lab_write(&lab, "1/2/3/4/5/6/7/8/file", "ok");
	lab_commit(&lab, "eight");
	ck_assert_str_eq(between(NULL, "HEAD"), "+1/2/3/4/5/6/7/8/file ");
	lab_write(&lab, "1/2/3/4/5/6/7/8/9/file", "deep");
	lab_commit(&lab, "nine");
	struct oid b = lab_tree(&lab, "HEAD");

	ck_assert_int_eq(compare(NULL, &b), E_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(err.text, "deeper than 8"));
	ck_assert_int_eq(tree_compare(repo, NULL, &b, &few, tell, NULL, &stats,
				      &err),
			 E_TOO_LARGE);
}
END_TEST

/* Trees that git itself would not write. */
static struct oid raw_tree(const char *const *names, const struct oid *blob)
{
	AUTO_BUF b = BUF_NONE;
	struct oid id;

	for (size_t i = 0; names[i]; i++) {
		buf_printf(&b, "100644 %s", names[i]);
		buf_c(&b, '\0');
		buf_add(&b, blob->b, sizeof(blob->b));
	}
	ck_assert(oid_parse(lab_git_in(&lab, buf_view(&b),
				       (const char *const[]){
					       "git", "hash-object", "-t", "tree",
					       "-w", "--literally", "--stdin",
					       NULL }),
			    &id));
	return id;
}

START_TEST(refuses_hostile_trees)
{
	static const char *const bad[][4] = {
		{ "b", "a", NULL }, { "a", "a", NULL }, { "..", NULL },
		{ ".", NULL }, { "a/b", NULL },
	};

	lab_write(&lab, "f", "1");
	lab_commit(&lab, "blob");
	struct oid blob = lab_oid(&lab, "HEAD:f");

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct oid id = raw_tree(bad[i], &blob);
		enum code rc = compare(NULL, &id);

		ck_assert_msg(rc == E_UNPROCESSABLE || rc == E_CORRUPT,
			      "%zu: %d %s", i, rc, err.text);
	}
}
END_TEST

START_TEST(missing_objects_are_errors)
{
	struct oid none = { { 1, 2, 3 } };
	struct oid tree;
	struct commit_info info;
	enum repo_mode mode;
	AUTO_BUF b = BUF_NONE;

	lab_write(&lab, "a/b/c", "hello");
	lab_commit(&lab, "first");
	tree = lab_tree(&lab, "HEAD");
	ck_assert_int_eq(compare(NULL, &none), E_NOT_FOUND);
	ck_assert_int_eq(repo_commit(repo, &none, &info, &err), E_NOT_FOUND);
	ck_assert_int_eq(repo_blob(repo, &tree, 100, &b, &err), E_CORRUPT);
	ck_assert_int_eq(repo_find(repo, &tree, STR("a/b/c"), &none, &mode, &err),
			 OK);
	ck_assert_int_eq(mode, REPO_FILE);
	ck_assert_int_eq(repo_blob(repo, &none, 4, &b, &err), E_TOO_LARGE);
	ck_assert_int_eq(repo_blob(repo, &none, 5, &b, &err), OK);
	ck_assert_str_eq(b.p, "hello");
	ck_assert_int_eq(repo_find(repo, &tree, STR("a/x"), &none, &mode, &err),
			 E_NOT_FOUND);
	ck_assert_int_eq(repo_find(repo, &tree, STR("a/b/c/d"), &none, &mode,
				   &err),
			 E_NOT_FOUND);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("source/tree");
	TCase *tc = tcase_create("compare");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, says_what_differs);
	tcase_add_test(tc, file_becomes_folder);
	tcase_add_test(tc, opens_only_what_differs);
	tcase_add_test(tc, unrelated_histories);
	tcase_add_test(tc, refuses_links_by_name);
	tcase_add_test(tc, refuses_submodules_by_name);
	tcase_add_test(tc, bounds_depth_and_entries);
	tcase_add_test(tc, refuses_hostile_trees);
	tcase_add_test(tc, missing_objects_are_errors);
	suite_add_tcase(s, tc);
	return s;
}

UNIT_MAIN(suite)
