/* See lab.h. */
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/banned.h"

static char *git_env[] = {
	(char *)(uintptr_t)"PATH=/usr/bin:/bin",
	(char *)(uintptr_t)"HOME=/nonexistent",
	(char *)(uintptr_t)"GIT_CONFIG_NOSYSTEM=1",
	(char *)(uintptr_t)"GIT_CONFIG_GLOBAL=/dev/null",
	(char *)(uintptr_t)"GIT_AUTHOR_NAME=Ann",
	(char *)(uintptr_t)"GIT_AUTHOR_EMAIL=ann@example.org",
	(char *)(uintptr_t)"GIT_COMMITTER_NAME=Ann",
	(char *)(uintptr_t)"GIT_COMMITTER_EMAIL=ann@example.org",
	NULL
};

void lab_open(struct lab *lab)
{
	*lab = (struct lab){ .arena = arena_new(0) };
	snprintf(lab->dir, sizeof(lab->dir), "/tmp/conflux-source-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(lab->dir));
	snprintf(lab->repo, sizeof(lab->repo), "%s/repo", lab->dir);
	snprintf(lab->url, sizeof(lab->url), "file://%s", lab->repo);
	snprintf(lab->clones, sizeof(lab->clones), "%s/clones", lab->dir);
	ck_assert_int_eq(mkdir(lab->repo, 0700), 0);
	ck_assert_int_eq(mkdir(lab->clones, 0700), 0);
	lab_git(lab, "init", "-q", "-b", "main");
	lab_git(lab, "config", "commit.gpgsign", "false");
	lab_git(lab, "config", "gc.auto", "0");
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	return remove(path);
}

void lab_close(struct lab *lab)
{
	nftw(lab->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	arena_free(&lab->arena);
}

/* A file, not a pipe: input and output may both be large. */
static int temp_file(struct lab *lab, struct str content)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "%s/io-XXXXXX", lab->dir);
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	unlink(path);
	ck_assert_int_eq(write(fd, content.p ? content.p : "", content.n),
			 (ssize_t)content.n);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

struct str lab_git_in(struct lab *lab, struct str in, const char *const *argv)
{
	posix_spawn_file_actions_t files;
	int fin = temp_file(lab, in), fout = temp_file(lab, STR_NONE);
	int status = 0;
	off_t n;
	char *out;
	pid_t pid;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addchdir_np(&files, lab->repo);
	posix_spawn_file_actions_adddup2(&files, fin, 0);
	posix_spawn_file_actions_adddup2(&files, fout, 1);
	ck_assert_int_eq(posix_spawnp(&pid, "git", &files, NULL,
				      (char *const *)(uintptr_t)argv, git_env),
			 0);
	posix_spawn_file_actions_destroy(&files);
	while (waitpid(pid, &status, 0) < 0)
		ck_assert_int_eq(errno, EINTR);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		      "git %s failed", argv[1]);
	n = lseek(fout, 0, SEEK_END);
	out = arena_zero(lab->arena, (size_t)n + 1);
	ck_assert_int_eq(pread(fout, out, (size_t)n, 0), n);
	close(fin);
	close(fout);
	return str_trim(str_n(out, (size_t)n));
}

void lab_write_bytes(struct lab *lab, const char *path, struct str content)
{
	AUTO_BUF full = BUF_NONE;
	int fd;

	buf_printf(&full, "%s/%s", lab->repo, path);
	for (char *p = full.p + strlen(lab->repo) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		(void)!mkdir(full.p, 0700);
		*p = '/';
	}
	fd = open(full.p, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, content.p, content.n), (ssize_t)content.n);
	close(fd);
}

void lab_write(struct lab *lab, const char *path, const char *content)
{
	lab_write_bytes(lab, path, str_of(content));
}

void lab_remove(struct lab *lab, const char *path)
{
	lab_git(lab, "rm", "-rqf", "--", path);
}

struct oid lab_oid(struct lab *lab, const char *rev)
{
	struct oid id;

	ck_assert(oid_parse(lab_git(lab, "rev-parse", rev), &id));
	return id;
}

struct oid lab_tree(struct lab *lab, const char *rev)
{
	char text[100];

	snprintf(text, sizeof(text), "%s^{tree}", rev);
	return lab_oid(lab, text);
}

struct oid lab_commit(struct lab *lab, const char *message)
{
	lab_git(lab, "add", "-A");
	lab_git(lab, "commit", "-q", "--allow-empty", "-m", message);
	return lab_oid(lab, "HEAD");
}

struct repo *lab_repo(struct lab *lab)
{
	struct repo *repo = NULL;
	struct err err = { 0 };
	char path[100];

	snprintf(path, sizeof(path), "%s/.git", lab->repo);
	ck_assert_msg(repo_open(path, &repo, &err) == OK, "%s", err.text);
	return repo;
}

/* ---- https ---- */

static void start(const char *const *argv, int *to, int *from, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	int in[2], out[2];

	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in[0], 0);
	posix_spawn_file_actions_adddup2(&files, out[1], 1);
	posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
	ck_assert_int_eq(posix_spawnp(pid, argv[0], &files, NULL,
				      (char *const *)(uintptr_t)argv, environ),
			 0);
	posix_spawn_file_actions_destroy(&files);
	close(in[0]);
	close(out[1]);
	*to = in[1];
	*from = out[0];
}

static void end(pid_t pid, int to, int from)
{
	close(to);
	close(from);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static void make_certificate(struct lab *lab, struct lab_server *s)
{
	int to, from;
	pid_t pid;

	snprintf(s->cert, sizeof(s->cert), "%s/cert.pem", lab->dir);
	snprintf(s->key, sizeof(s->key), "%s/key.pem", lab->dir);
	start((const char *const[]){ "openssl", "req", "-x509", "-newkey",
				     "rsa:2048", "-nodes", "-batch", "-days", "2",
				     "-subj", "/CN=localhost", "-addext",
				     "subjectAltName=DNS:localhost", "-out",
				     s->cert, "-keyout", s->key, NULL },
	      &to, &from, &pid);
	end(pid, to, from);
}

void lab_serve(struct lab *lab, struct lab_server *s, const char *pushes)
{
	char port[16] = "";

	make_certificate(lab, s);
	start((const char *const[]){ "python3", "tests/unit/source/https.py",
				     lab->dir, s->cert, s->key, "s3cret", pushes,
				     NULL },
	      &s->to, &s->from, &s->pid);
	ck_assert_int_gt(read(s->from, port, sizeof(port) - 1), 0);
	snprintf(s->host, sizeof(s->host), "localhost:%d", atoi(port));
	snprintf(s->url, sizeof(s->url), "https://%s", s->host);
}

void lab_serve_end(struct lab_server *s)
{
	end(s->pid, s->to, s->from);
}
