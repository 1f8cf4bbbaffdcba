/* Fetching in a child: what may be fetched, what comes of it, what is left. */
#include "source/fetch.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rand.h"
#include "lab.h"
#include "unit.h"

#include "base/banned.h"

static struct lab lab;
static struct err err;
static struct fetch_result got;
static struct source_settings settings;
static const char *roots[1];
static char clone_dir[100];

static void setup(void)
{
	lab_open(&lab);
	err = (struct err){ 0 };
	roots[0] = lab.dir;
	settings = (struct source_settings){ .dir = lab.clones,
					     .file_roots = roots,
					     .n_file_roots = 1,
					     .limits = { .fetch_ms = 20000 } };
	snprintf(clone_dir, sizeof(clone_dir), "%s/one", lab.clones);
}

static void teardown(void)
{
	/* Every child was reaped. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
	lab_close(&lab);
}

static enum code fetch(const char *url, const char *branch, const char *tag)
{
	struct fetch_target t = { .url = str_of(url), .branch = str_of(branch),
				  .tag = str_of(tag), .dir = clone_dir };

	return fetch_run(&settings, &t, NULL, &got, &err);
}

static void fetch_main(const struct oid *want)
{
	ck_assert_msg(fetch(lab.url, "main", NULL) == OK, "%s", err.text);
	ck_assert(oid_eq(&got.commit, want));
}

START_TEST(follows_a_branch)
{
	struct repo *repo = NULL;
	struct commit_info info;
	struct oid a, b;

	lab_write(&lab, "a/b", "1");
	a = lab_commit(&lab, "first commit\n\nbody");
	fetch_main(&a);
	ck_assert_uint_gt(got.bytes, 0);
	/* Nothing new: not even a child is started. */
	settings.exe = "/bin/false";
	fetch_main(&a);
	ck_assert_uint_eq(got.bytes, 0);
	settings.exe = NULL;
	lab_write(&lab, "a/b", "2");
	b = lab_commit(&lab, "second");
	fetch_main(&b);
	ck_assert_int_eq(repo_open(clone_dir, &repo, &err), OK);
	ck_assert_int_eq(repo_commit(repo, &a, &info, &err), OK);
	ck_assert_str_eq(info.summary, "first commit");
	ck_assert_str_eq(info.author, "Ann <ann@example.org>");
	ck_assert(info.time_ms > 1600000000000);
	repo_free(&repo);
}
END_TEST

START_TEST(follows_a_forced_push)
{
	struct oid a, b;

	lab_write(&lab, "a", "1");
	a = lab_commit(&lab, "first");
	fetch_main(&a);
	lab_git(&lab, "checkout", "-q", "--orphan", "other");
	lab_write(&lab, "a", "2");
	b = lab_commit(&lab, "rewritten");
	lab_git(&lab, "branch", "-M", "main");
	fetch_main(&b);
}
END_TEST

START_TEST(follows_tags)
{
	struct oid a;

	lab_write(&lab, "a", "1");
	a = lab_commit(&lab, "first");
	lab_git(&lab, "tag", "light");
	lab_git(&lab, "tag", "-a", "v1", "-m", "annotated");
	ck_assert_msg(fetch(lab.url, NULL, "v1") == OK, "%s", err.text);
	ck_assert(oid_eq(&got.commit, &a));
	ck_assert_msg(fetch(lab.url, NULL, "light") == OK, "%s", err.text);
	ck_assert(oid_eq(&got.commit, &a));
	ck_assert_int_eq(fetch(lab.url, NULL, "none"), E_NOT_FOUND);
	ck_assert_str_eq(err.text, "the repository has no refs/tags/none");
}
END_TEST

START_TEST(refuses_urls)
{
	static const struct {
		const char *url;
		enum code code;
	} bad[] = {
		{ "http://example.org/x.git", E_INVALID },
		{ "git://example.org/x.git", E_INVALID },
		{ "ssh://git@example.org/x.git", E_INVALID },
		{ "/etc", E_INVALID },
		{ "file://relative", E_INVALID },
		{ "file:///etc", E_DENIED },
		{ "file:///nowhere/at/all", E_DENIED },
		{ "https://user:pass@example.org/x.git", E_INVALID },
		{ "https://", E_INVALID },
		{ "https://a b/x", E_INVALID },
		{ "https://127.0.0.1:1/x.git", E_DENIED },
		{ "https://[::1]:1/x.git", E_DENIED },
		{ "https://[::ffff:10.0.0.1]/x.git", E_DENIED },
		{ "https://169.254.169.254/x.git", E_DENIED },
		{ "https://localhost/x.git", E_DENIED },
		/* All that a webhook may not reach: hook/http_out has the list. */
		{ "https://198.18.0.1/x.git", E_DENIED },
		{ "https://[64:ff9b::10.0.0.1]/x.git", E_DENIED },
		{ "https://[fec0::1]/x.git", E_DENIED },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(fetch(bad[i].url, "main", NULL) == bad[i].code,
			      "%s: %d %s", bad[i].url, err.code, err.text);
}
END_TEST

START_TEST(stays_below_the_roots)
{
	AUTO_ARENA arena = arena_new(0);
	char path[120], beside[120], url[140];
	struct str out;

	lab_write(&lab, "a", "1");
	lab_commit(&lab, "first");
	snprintf(path, sizeof(path), "%s/clones/way-out", lab.dir);
	ck_assert_int_eq(symlink("/etc", path), 0);
	snprintf(url, sizeof(url), "file://%s", path);
	ck_assert_int_eq(fetch(url, "main", NULL), E_DENIED);
	/* A root is a folder and no prefix of names. */
	roots[0] = lab.repo;
	snprintf(beside, sizeof(beside), "%s-beside", lab.repo);
	ck_assert_int_eq(mkdir(beside, 0700), 0);
	snprintf(url, sizeof(url), "file://%s", beside);
	ck_assert_int_eq(fetch(url, "main", NULL), E_DENIED);
	ck_assert_int_eq(fetch_check_url(&settings, str_of(lab.url), arena, &out,
					 &err),
			 OK);
	settings.n_file_roots = 0;
	ck_assert_int_eq(fetch(lab.url, "main", NULL), E_DENIED);
	ck_assert_ptr_nonnull(strstr(err.hint, "sources.file_roots"));
}
END_TEST

START_TEST(refuses_refs)
{
	static const char *const bad[] = { "a..b", "-x", "a b", "a:b", "x*", "~" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(fetch(lab.url, bad[i], NULL), E_INVALID);
	lab_commit(&lab, "first");
	ck_assert_int_eq(fetch(lab.url, "none", NULL), E_NOT_FOUND);
}
END_TEST

/* A server that accepts and says nothing. */
static int silent_server(char url[64])
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, n), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	snprintf(url, 64, "https://127.0.0.1:%u/x.git", ntohs(at.sin_port));
	return fd;
}

START_TEST(ends_a_fetch_that_stalls)
{
	char url[64];
	int fd = silent_server(url);
	uint64_t start = clock_mono_ms();

	settings.allow_private = true;
	settings.limits.fetch_ms = 400;
	ck_assert_msg(fetch(url, "main", NULL) == E_TIMEOUT, "%d %s", err.code,
		      err.text);
	ck_assert_uint_ge(clock_mono_ms() - start, 400);
	close(fd);
}
END_TEST

START_TEST(ends_when_cancelled)
{
	struct fetch_target t = { .branch = STR("main"), .dir = clone_dir };
	atomic_bool cancel = true;
	char url[64];
	int fd = silent_server(url);

	settings.allow_private = true;
	t.url = str_of(url);
	ck_assert_int_eq(fetch_run(&settings, &t, &cancel, &got, &err),
			 E_CANCELLED);
	close(fd);
}
END_TEST

struct fetching {
	struct fetch_target target;
	atomic_bool cancel;
	enum code rc;
};

static void *fetch_on(void *data)
{
	struct fetching *f = data;

	f->rc = fetch_run(&settings, &f->target, &f->cancel, &got, &err);
	return NULL;
}

/* What /proc says of the child, there is one. */
static long score_of_child(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	char path[300], name[64];
	long score = -1;
	int pid, parent, now;

	ck_assert_ptr_nonnull(proc);
	while (score < 0 && (e = readdir(proc))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (fscanf(f, "%d (%63[^)]) %*c %d", &pid, name, &parent) != 3)
			parent = 0;
		fclose(f);
		snprintf(path, sizeof(path), "/proc/%s/oom_score_adj", e->d_name);
		f = parent == getpid() ? fopen(path, "r") : NULL;
		if (f && fscanf(f, "%d", &now) == 1)
			score = now;
		if (f)
			fclose(f);
	}
	closedir(proc);
	return score;
}

START_TEST(where_memory_is_short_the_child_goes_first)
{
	struct fetching f = { .target = { .branch = STR("main"), .dir = clone_dir } };
	pthread_t thread;
	char url[64];
	int fd = silent_server(url), peer;

	settings.allow_private = true;
	f.target.url = str_of(url);
	ck_assert_int_eq(pthread_create(&thread, NULL, fetch_on, &f), 0);
	peer = accept(fd, NULL, NULL);
	ck_assert_int_ge(peer, 0);
	ck_assert_int_eq(score_of_child(), 1000);
	atomic_store(&f.cancel, true);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(f.rc, E_CANCELLED);
	close(peer);
	close(fd);
}
END_TEST

/* ---- https ---- */

START_TEST(follows_https_with_token_and_authority)
{
	struct secret right = { 0 }, wrong = { 0 };
	const char *hosts[1];
	struct lab_server s;
	char url[100];
	struct oid a;

	lab_write(&lab, "a", "1");
	a = lab_commit(&lab, "first");
	lab_serve(&lab, &s, "200");
	snprintf(url, sizeof(url), "%s/repo/.git", s.url);
	/* Its port is part of it. */
	ck_assert_ptr_nonnull(strchr(s.host, ':'));
	hosts[0] = s.host;
	secret_set(&right, STR("s3cret"));
	secret_set(&wrong, STR("guess"));
	settings.allow_private = true;
	settings.token = &right;
	settings.token_hosts = hosts;
	settings.n_token_hosts = 1;
	/* Nobody vouches for the server. */
	ck_assert_msg(fetch(url, "main", NULL) == E_TLS, "%d %s", err.code,
		      err.text);
	settings.ca_file = s.cert;
	ck_assert_msg(fetch(url, "main", NULL) == OK, "%d %s", err.code,
		      err.text);
	ck_assert(oid_eq(&got.commit, &a));
	lab_write(&lab, "a", "2");
	a = lab_commit(&lab, "second");
	ck_assert_msg(fetch(url, "main", NULL) == OK, "%d %s", err.code,
		      err.text);
	ck_assert(oid_eq(&got.commit, &a));
	settings.token = &wrong;
	ck_assert_msg(fetch(url, "main", NULL) == E_UNAUTHORIZED, "%d %s",
		      err.code, err.text);
	/* A host that is not named never gets to see the token. */
	settings.token = &right;
	hosts[0] = "git.example";
	ck_assert_msg(fetch(url, "main", NULL) == E_UNAUTHORIZED, "%d %s",
		      err.code, err.text);
	ck_assert_ptr_nonnull(strstr(err.text, "asks for a token"));
	lab_serve_end(&s);
	secret_wipe(&right);
	secret_wipe(&wrong);
}
END_TEST

START_TEST(bounds_bytes)
{
	AUTO_BUF noise = BUF_NONE;
	struct prng p;
	struct oid a;

	prng_init(&p, 1);
	for (unsigned i = 0; i < 1 << 17; i++) {
		uint64_t x = prng_next(&p);

		buf_add(&noise, &x, sizeof(x));
	}
	lab_write_bytes(&lab, "noise", buf_view(&noise));
	a = lab_commit(&lab, "a megabyte");
	settings.limits.fetch_bytes = 100 * 1024;
	ck_assert_msg(fetch(lab.url, "main", NULL) == E_TOO_LARGE, "%d %s",
		      err.code, err.text);
	settings.limits.fetch_bytes = 4 << 20;
	fetch_main(&a);
}
END_TEST

START_TEST(tidies_what_a_killed_child_left)
{
	char path[200];
	struct oid a;
	int fd;

	lab_write(&lab, "a", "1");
	a = lab_commit(&lab, "first");
	fetch_main(&a);
	snprintf(path, sizeof(path), "%s/objects/pack/pack_git2_abc", clone_dir);
	fd = creat(path, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	snprintf(path, sizeof(path), "%s/refs/conflux/head.lock", clone_dir);
	fd = creat(path, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	lab_write(&lab, "a", "2");
	a = lab_commit(&lab, "second");
	fetch_main(&a);
	ck_assert_int_eq(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/objects/pack/pack_git2_abc", clone_dir);
	ck_assert_int_eq(access(path, F_OK), -1);
	/* And what has gathered too many packs is made anew. */
	ck_assert(!fetch_clone_trim(clone_dir, 2, 1 << 20));
	ck_assert(fetch_clone_trim(clone_dir, 1, 1 << 20));
	fetch_main(&a);
	/* Or too many bytes in them. */
	ck_assert(!fetch_clone_trim(clone_dir, 1, 1 << 20));
	ck_assert(fetch_clone_trim(clone_dir, 1, 100));
	ck_assert_int_eq(access(clone_dir, F_OK), -1);
	fetch_main(&a);
}
END_TEST

START_TEST(a_program_that_is_none)
{
	settings.exe = "/bin/false";
	ck_assert_int_eq(fetch(lab.url, "main", NULL), E_FAILED);
	settings.exe = "/nonexistent";
	ck_assert_int_eq(fetch(lab.url, "main", NULL), E_NOT_FOUND);
}
END_TEST

START_TEST(request_and_answer_survive_the_wire)
{
	struct fetch_request in = { STR("/d"), STR("https://x/y"), STR("refs/x"),
				    STR("git"), STR("secret"), STR("/ca"), true,
				    1ull << 40, 7, 60000, STR("refs/heads/r"),
				    STR("why"), { { 1, 2 } }, { { 3 } } }, out;
	AUTO_BUF b = BUF_NONE;

	fetch_request_encode(&b, &in);
	ck_assert(fetch_request_decode(buf_view(&b), &out));
	ck_assert(str_eq(out.token, in.token) && out.bytes_max == in.bytes_max);
	ck_assert(str_eq(out.push, in.push) && oid_eq(&out.revert, &in.revert) &&
		  oid_eq(&out.base, &in.base));
	for (size_t n = 0; n < b.n; n++)
		ck_assert(!fetch_request_decode(str_n(b.p, n), &out));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("source/fetch");
	TCase *tc = tcase_create("fetch");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, follows_a_branch);
	tcase_add_test(tc, follows_a_forced_push);
	tcase_add_test(tc, follows_tags);
	tcase_add_test(tc, refuses_urls);
	tcase_add_test(tc, stays_below_the_roots);
	tcase_add_test(tc, refuses_refs);
	tcase_add_test(tc, ends_a_fetch_that_stalls);
	tcase_add_test(tc, ends_when_cancelled);
	tcase_add_test(tc, where_memory_is_short_the_child_goes_first);
	tcase_add_test(tc, follows_https_with_token_and_authority);
	tcase_add_test(tc, bounds_bytes);
	tcase_add_test(tc, tidies_what_a_killed_child_left);
	tcase_add_test(tc, a_program_that_is_none);
	tcase_add_test(tc, request_and_answer_survive_the_wire);
	suite_add_tcase(s, tc);
	return s;
}

FETCHING_UNIT_MAIN(suite)
