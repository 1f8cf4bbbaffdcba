/* A commit that takes another back, on a branch of its own. */
#include "source/fetch.h"

#include "lab.h"
#include "unit.h"

#include "base/banned.h"

static struct lab lab;
static struct err err;
static struct fetch_result got;
static struct source_settings settings;
static const char *roots[1];
static char clone_dir[100], bare[100], bare_url[120];
static struct oid good, bad, from;

/* main of a bare repository: good, then bad. */
static void setup(void)
{
	lab_open(&lab);
	from = (struct oid){ 0 };
	err = (struct err){ 0 };
	got = (struct fetch_result){ 0 };
	roots[0] = lab.dir;
	settings = (struct source_settings){ .dir = lab.clones,
					     .file_roots = roots,
					     .n_file_roots = 1,
					     .limits = { .fetch_ms = 20000 } };
	snprintf(clone_dir, sizeof(clone_dir), "%s/one", lab.clones);
	snprintf(bare, sizeof(bare), "%s/bare.git", lab.dir);
	snprintf(bare_url, sizeof(bare_url), "file://%s", bare);
	lab_write(&lab, "shop/prod/a", "1\n");
	lab_write(&lab, "shop/prod/b", "1\n");
	good = lab_commit(&lab, "good");
	lab_write(&lab, "shop/prod/a", "2\n");
	bad = lab_commit(&lab, "bad");
	lab_git(&lab, "clone", "-q", "--bare", ".", bare);
}

static void teardown(void)
{
	lab_close(&lab);
}

static enum code revert(struct oid what)
{
	struct fetch_target t = { .url = str_of(bare_url), .branch = STR("main"),
				  .dir = clone_dir, .push = STR("conflux/back"),
				  .message = STR("Revert \"bad\"\n\nr-1 turned back"),
				  .revert = what, .base = from };

	return fetch_revert(&settings, &t, NULL, &got, &err);
}

static struct str in_bare(const char *rev)
{
	return lab_git(&lab, "--git-dir", bare, "rev-parse", rev);
}

static void is_at(const char *rev, const struct oid *id)
{
	char text[OID_TEXT];

	oid_text(text, id);
	ck_assert(str_eq(in_bare(rev), str_of(text)));
}

static void publish(void)
{
	lab_git(&lab, "push", "-q", bare, "main");
}

START_TEST(takes_back_what_the_commit_did_and_nothing_else)
{
	lab_write(&lab, "shop/prod/b", "3\n");
	lab_commit(&lab, "later");
	publish();
	ck_assert_msg(revert(bad) == OK, "%s", err.text);
	is_at("conflux/back", &got.commit);
	ck_assert(str_is(lab_git(&lab, "--git-dir", bare, "show",
				 "conflux/back:shop/prod/a"), "1"));
	ck_assert(str_is(lab_git(&lab, "--git-dir", bare, "show",
				 "conflux/back:shop/prod/b"), "3"));
	ck_assert(str_eq(in_bare("conflux/back~1"), in_bare("main")));
	ck_assert(str_is(lab_git(&lab, "--git-dir", bare, "log", "-1",
				 "--format=%an %s|%b", "conflux/back"),
			 "Conflux Revert \"bad\"|r-1 turned back"));
}
END_TEST

START_TEST(a_branch_that_exists_is_left_as_it_is)
{
	struct oid first;

	ck_assert_msg(revert(bad) == OK, "%s", err.text);
	first = got.commit;
	lab_write(&lab, "shop/prod/b", "3\n");
	lab_commit(&lab, "later");
	publish();
	ck_assert_msg(revert(bad) == OK, "%s", err.text);
	ck_assert(oid_eq(&first, &got.commit));
	is_at("conflux/back", &first);
}
END_TEST

START_TEST(what_was_changed_again_is_left_to_people)
{
	lab_write(&lab, "shop/prod/a", "4\n");
	lab_commit(&lab, "the same line");
	publish();
	ck_assert_int_eq(revert(bad), E_CONFLICT);
	ck_assert(strstr(err.text, "same lines") != NULL);
	ck_assert(strstr(err.hint, "git revert") != NULL);
}
END_TEST

START_TEST(what_is_gone_already_is_no_commit)
{
	lab_git(&lab, "revert", "--no-edit", "HEAD");
	publish();
	ck_assert_int_eq(revert(bad), E_CONFLICT);
	ck_assert(strstr(err.text, "nothing to revert") != NULL);
}
END_TEST

START_TEST(a_merge_is_taken_back_to_its_first_parent)
{
	struct oid merge;

	lab_git(&lab, "checkout", "-q", "-b", "side");
	lab_write(&lab, "shop/prod/c", "1\n");
	lab_commit(&lab, "on the side");
	lab_git(&lab, "checkout", "-q", "main");
	lab_git(&lab, "merge", "-q", "--no-ff", "-m", "merge", "side");
	merge = lab_oid(&lab, "HEAD");
	publish();
	ck_assert_msg(revert(merge) == OK, "%s", err.text);
	ck_assert(str_is(lab_git(&lab, "--git-dir", bare, "ls-tree", "-r",
				 "--name-only", "conflux/back"),
			 "shop/prod/a\nshop/prod/b"));
}
END_TEST

START_TEST(several_commits_are_taken_back_as_one)
{
	struct oid last;

	lab_write(&lab, "shop/prod/b", "9\n");
	last = lab_commit(&lab, "worse");
	lab_write(&lab, "shop/prod/d", "1\n");
	lab_commit(&lab, "later");
	publish();
	from = good;
	ck_assert_msg(revert(last) == OK, "%s", err.text);
	for (const char *f = "ab"; *f; f++) {
		char name[40];

		snprintf(name, sizeof(name), "conflux/back:shop/prod/%c", *f);
		ck_assert(str_is(lab_git(&lab, "--git-dir", bare, "show", name),
				 "1"));
	}
	ck_assert(str_is(lab_git(&lab, "--git-dir", bare, "show",
				 "conflux/back:shop/prod/d"), "1"));
}
END_TEST

START_TEST(the_first_commit_of_all_is_taken_back_to_nothing)
{
	lab_git(&lab, "checkout", "-q", "--orphan", "main2");
	bad = lab_commit(&lab, "all of it");
	lab_git(&lab, "push", "-q", "-f", bare, "main2:main");
	ck_assert_msg(revert(bad) == OK, "%s", err.text);
	ck_assert(str_is(lab_git(&lab, "--git-dir", bare, "ls-tree", "-r",
				 "conflux/back"), ""));
}
END_TEST

START_TEST(a_server_that_refuses_is_named)
{
	lab_git(&lab, "--git-dir", bare, "update-ref", "refs/heads/conflux", "main");
	/* A branch "conflux" stands in the way of "conflux/back". */
	ck_assert_int_ne(revert(bad), OK);
	ck_assert_uint_gt(strlen(err.text), 0);
	ck_assert_int_eq(fetch_run(&settings,
				   &(struct fetch_target){
					   .url = str_of(bare_url),
					   .branch = STR("main"),
					   .dir = clone_dir },
				   NULL, &got, &err), OK);
	ck_assert(oid_eq(&got.commit, &bad));
}
END_TEST

static enum code revert_over_https(const char *pushes)
{
	struct fetch_target t = { .branch = STR("main"), .dir = clone_dir,
				  .push = STR("conflux/back"),
				  .message = STR("Revert"), .revert = bad };
	struct secret token = { 0 };
	struct lab_server s;
	const char *hosts[1];
	enum code rc;
	char url[100];

	lab_serve(&lab, &s, pushes);
	snprintf(url, sizeof(url), "%s/bare.git", s.url);
	t.url = str_of(url);
	hosts[0] = s.host;
	secret_set(&token, STR("s3cret"));
	settings.allow_private = true;
	settings.token = &token;
	settings.token_hosts = hosts;
	settings.n_token_hosts = 1;
	settings.ca_file = s.cert;
	rc = fetch_revert(&settings, &t, NULL, &got, &err);
	lab_serve_end(&s);
	secret_wipe(&token);
	return rc;
}

/* A token that may read, and not write: asking again is in vain.  A server that is
 * down, or wants to be left alone for a while, is another matter. */
START_TEST(a_server_that_takes_no_pushes_is_no_server_that_is_away)
{
	static const struct {
		const char *pushes;
		enum code code;
	} all[] = {
		{ "403", E_DENIED },	  { "404", E_DENIED },
		{ "429", E_UNAVAILABLE }, { "503", E_UNAVAILABLE },
	};
	enum code rc = revert_over_https(all[_i].pushes);

	ck_assert_msg(rc == all[_i].code, "%s: %d %s", all[_i].pushes, rc, err.text);
	ck_assert_msg(strstr(err.text, all[_i].pushes) != NULL, "%s", err.text);
}
END_TEST

START_TEST(a_commit_that_is_not_there_and_a_bad_name)
{
	struct oid none = { { 1 } };
	struct fetch_target t = { .url = str_of(bare_url), .branch = STR("main"),
				  .dir = clone_dir, .push = STR("../x"),
				  .message = STR("m"), .revert = bad };

	ck_assert_int_eq(revert(none), E_NOT_FOUND);
	ck_assert_int_eq(fetch_revert(&settings, &t, NULL, &got, &err), E_INVALID);
	t.push = STR_NONE;
	ck_assert_int_eq(fetch_revert(&settings, &t, NULL, &got, &err), E_INVALID);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("source/revert");
	TCase *tc = tcase_create("revert");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, takes_back_what_the_commit_did_and_nothing_else);
	tcase_add_test(tc, a_branch_that_exists_is_left_as_it_is);
	tcase_add_test(tc, what_was_changed_again_is_left_to_people);
	tcase_add_test(tc, what_is_gone_already_is_no_commit);
	tcase_add_test(tc, a_merge_is_taken_back_to_its_first_parent);
	tcase_add_test(tc, several_commits_are_taken_back_as_one);
	tcase_add_test(tc, the_first_commit_of_all_is_taken_back_to_nothing);
	tcase_add_test(tc, a_server_that_refuses_is_named);
	tcase_add_loop_test(tc, a_server_that_takes_no_pushes_is_no_server_that_is_away,
			    0, 4);
	tcase_add_test(tc, a_commit_that_is_not_there_and_a_bad_name);
	suite_add_tcase(s, tc);
	return s;
}

FETCHING_UNIT_MAIN(suite)
