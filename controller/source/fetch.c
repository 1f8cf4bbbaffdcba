/* A fetch in a child process: see fetch.h and docs/decisions/0003. */
#include "source/fetch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#include "base/banned.h"

#define ANSWER_MAX (16 * 1024)
#define CANCEL_POLL_MS 50

/* ---- what may be fetched ---- */

static bool is_below(const char *path, const char *root)
{
	char real[PATH_MAX];
	size_t n;

	if (!realpath(root, real))
		return false;
	n = strlen(real);
	if (n == 1)
		return true;
	return strncmp(path, real, n) == 0 && (path[n] == '/' || !path[n]);
}

static enum code check_file(const struct source_settings *s, struct str path,
			    struct arena *arena, struct str *out,
			    struct err *err)
{
	char real[PATH_MAX];

	if (s->n_file_roots == 0) {
		err_set(err, E_DENIED, "file:// urls are not allowed");
		return err_hint(err, "sources.file_roots names the folders that "
				     "repositories may lie below");
	}
	if (!path.n || *path.p != '/' || str_find(path, '%') != SIZE_MAX ||
	    str_find(path, '\0') != SIZE_MAX)
		return err_set(err, E_INVALID,
			       "a file url reads file:///absolute/path");
	/* A path that is not there gets the same answer as one that may not
	 * be seen: nobody learns which files exist. */
	if (realpath(arena_z(arena, path), real))
		for (size_t i = 0; i < s->n_file_roots; i++)
			if (is_below(real, s->file_roots[i])) {
				*out = arena_printf(arena, "file://%s", real);
				return OK;
			}
	err_set(err, E_DENIED, "%.*s is not below sources.file_roots, or does "
			       "not exist", STR_ARG(path));
	return err_hint(err, "move the repository, or add its folder to "
			     "sources.file_roots");
}

static struct str authority_of(struct str url)
{
	struct str rest = str_from(url, STR("https://").n);

	return str_cut(&rest, '/');
}

static enum code check_https(struct str url, struct err *err)
{
	struct str host = authority_of(url);

	for (size_t i = 0; i < url.n; i++)
		if ((unsigned char)url.p[i] <= ' ' || url.p[i] == 0x7f ||
		    url.p[i] == '\\')
			return err_set(err, E_INVALID,
				       "the url holds a space or a control "
				       "character");
	if (host.n == 0)
		return err_set(err, E_INVALID, "the url names no host");
	if (str_find(host, '@') == SIZE_MAX)
		return OK;
	err_set(err, E_INVALID, "the url holds a user or password");
	return err_hint(err, "objects can be read by others; put the token "
			     "into the file that sources.token_file names");
}

enum code fetch_check_url(const struct source_settings *s, struct str url,
			  struct arena *arena, struct str *out, struct err *err)
{
	enum code rc;

	if (url.n > 2048)
		return err_set(err, E_INVALID, "the url has more than 2,048 bytes");
	if (str_starts(url, STR("file://")))
		return check_file(s, str_from(url, 7), arena, out, err);
	if (str_starts(url, STR("https://"))) {
		rc = check_https(url, err);
		*out = rc ? STR_NONE : arena_str(arena, url);
		return rc;
	}
	err_set(err, E_INVALID, "\"%.*s\" is no url that can be followed",
		(int)MIN(url.n, (size_t)100), url.p);
	return err_hint(err, "https:// and file:// are supported");
}

/* A host without a port is its port 443. */
static struct str without_443(struct str host)
{
	return str_ends(host, STR(":443")) ? str_first(host, host.n - 4) : host;
}

static bool may_have_token(const struct source_settings *s, struct str url)
{
	struct str host = authority_of(url);

	if (!s->token || !str_starts(url, STR("https://")))
		return false;
	for (size_t i = 0; i < s->n_token_hosts; i++)
		if (str_eq_nocase(without_443(host),
				  without_443(str_of(s->token_hosts[i]))))
			return true;
	return false;
}

static enum code ref_named(struct str name, bool is_tag, struct arena *arena,
			   struct str *out, struct err *err)
{
	if (name.n == 0 || name.n > 250 || name.p[0] == '-' ||
	    str_find_str(name, STR("..")) != SIZE_MAX)
		return err_set(err, E_INVALID, "spec.ref names no branch or tag");
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' ||
		    memchr("~^:?*[\\\x7f", name.p[i], 8))
			return err_set(err, E_INVALID,
				       "\"%.*s\" is no name of a branch or tag",
				       STR_ARG(name));
	*out = arena_printf(arena, "refs/%s/%.*s", is_tag ? "tags" : "heads",
			    STR_ARG(name));
	return OK;
}

static enum code ref_of(const struct fetch_target *t, struct arena *arena,
			struct str *out, struct err *err)
{
	return ref_named(t->tag.n ? t->tag : t->branch, t->tag.n > 0, arena, out,
			 err);
}

/* ---- the child ---- */

struct child {
	pid_t pid;
	int to, from;
};

static enum code make_pipe(int fd[2], struct err *err)
{
	return pipe2(fd, O_CLOEXEC) ? err_sys(err, errno, "make a pipe") : OK;
}

static void close_pipe(int fd[2])
{
	if (fd[0] >= 0)
		close(fd[0]);
	if (fd[1] >= 0)
		close(fd[1]);
}

static int spawn(const char *exe, int in, int out, pid_t *pid)
{
	char *argv[] = { (char *)(uintptr_t)"conflux-git-fetch",
			 (char *)(uintptr_t)SOURCE_FETCH_ARG, NULL };
	char *env[] = { NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	/* A group of its own: the terminal's Ctrl-C is for the daemon, which
	 * ends its children itself. */
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF |
						POSIX_SPAWN_SETPGROUP);
	rc = posix_spawn(pid, exe, &files, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return rc;
}

static enum code child_start(struct child *c, const char *exe, struct err *err)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };
	enum code rc = make_pipe(in, err);
	int errnum;

	if (rc == OK)
		rc = make_pipe(out, err);
	if (rc == OK) {
		errnum = spawn(exe, in[0], out[1], &c->pid);
		if (errnum)
			rc = err_sys(err, errnum, "start %s", exe);
	}
	if (rc) {
		close_pipe(in);
		close_pipe(out);
		return rc;
	}
	close(in[0]);
	close(out[1]);
	c->to = in[1];
	c->from = out[0];
	return OK;
}

/* Ends the child whatever it does, and reaps it by its id. */
static void child_end(struct child *c)
{
	if (c->to >= 0)
		close(c->to);
	if (c->from >= 0)
		close(c->from);
	if (c->pid <= 0)
		return;
	kill(c->pid, SIGKILL);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
}

/* The request fits a pipe (64 KiB), so this never blocks on a dead child for
 * long; a child that is gone answers EPIPE (SIGPIPE is ignored or blocked
 * here). */
static enum code send_request(struct child *c, struct str bytes, struct err *err)
{
	sigset_t pipe_only, before;
	enum code rc = OK;
	bool broken = false;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
	while (bytes.n && rc == OK && !broken) {
		ssize_t n = write(c->to, bytes.p, bytes.n);

		/* It is gone; its missing answer says so. */
		if (n < 0 && errno == EPIPE)
			broken = true;
		else if (n < 0 && errno != EINTR)
			rc = err_sys(err, errno, "talk to the fetching child");
		bytes = str_from(bytes, n > 0 ? (size_t)n : 0);
	}
	if (broken) {
		/* Takes the pending signal away before it is unblocked. */
		struct timespec now = { 0, 0 };

		sigtimedwait(&pipe_only, NULL, &now);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(c->to);
	c->to = -1;
	return rc;
}

static enum code read_answer(struct child *c, uint64_t deadline_ms,
			     atomic_bool *cancel, struct buf *out,
			     struct err *err)
{
	for (;;) {
		struct pollfd p = { .fd = c->from, .events = POLLIN };
		uint64_t now = clock_mono_ms();
		ssize_t n;

		if (cancel && atomic_load(cancel))
			return err_set(err, E_CANCELLED, "the fetch was ended");
		if (now >= deadline_ms)
			return err_set(err, E_TIMEOUT,
				       "the server did not answer in time");
		if (poll(&p, 1, (int)MIN(deadline_ms - now,
					 (uint64_t)CANCEL_POLL_MS)) <= 0)
			continue;
		n = read(c->from, buf_extend(out, 4096), 4096);
		buf_cut(out, out->n - 4096 + (n > 0 ? (size_t)n : 0));
		if (n < 0 && errno != EINTR)
			return err_sys(err, errno, "read from the fetching child");
		if (n == 0)
			return OK;
		if (out->n > ANSWER_MAX)
			return err_set(err, E_INTERNAL,
				       "the fetching child answered too much");
	}
}

static enum code take_answer(struct str bytes, struct fetch_result *out,
			     struct err *err)
{
	struct fetch_answer ans;

	if (!fetch_answer_decode(bytes, &ans)) {
		err_set(err, E_FAILED, "the fetching child ended without answer");
		return err_hint(err, "it may have met its bound of memory, file "
				     "size or processor time (sources.fetch_*)");
	}
	out->bytes = ans.bytes;
	out->commit = ans.commit;
	if (ans.code == OK)
		return OK;
	err_set(err, ans.code, "%.*s", STR_ARG(ans.text));
	return ans.hint.n ? err_hint(err, "%.*s", STR_ARG(ans.hint)) : ans.code;
}

static uint64_t or_default(uint64_t v, uint64_t otherwise)
{
	return v ? v : otherwise;
}

static enum code make_request(const struct source_settings *s,
			      const struct fetch_target *t, struct arena *arena,
			      struct buf *out, uint64_t *ms, struct err *err)
{
	struct fetch_request req = {
		.dir = str_of(t->dir), .user = s->user ? str_of(s->user) :
							 STR("git"),
		.ca_file = s->ca_file ? arena_printf(arena, "%s%c", s->ca_file, 0) :
					STR_NONE,
		.allow_private = s->allow_private,
		.bytes_max = or_default(s->limits.fetch_bytes, 1ull << 30),
		.objects_max = or_default(s->limits.fetch_objects, 5000000),
		.ms_max = or_default(s->limits.fetch_ms, 60000),
		.message = t->message, .revert = t->revert,
		.base = t->base,
	};
	enum code rc = fetch_check_url(s, t->url, arena, &req.url, err);

	if (rc == OK)
		rc = ref_of(t, arena, &req.ref, err);
	if (rc == OK && t->push.n)
		rc = ref_named(t->push, false, arena, &req.push, err);
	if (rc)
		return rc;
	if (t->timeout_ms)
		req.ms_max = MIN(req.ms_max, t->timeout_ms);
	*ms = req.ms_max;
	if (s->token_lock)
		pthread_mutex_lock(s->token_lock);
	if (may_have_token(s, req.url))
		req.token = secret_open(s->token);
	fetch_request_encode(out, &req);
	if (s->token_lock)
		pthread_mutex_unlock(s->token_lock);
	return OK;
}

/* ---- nothing new ---- */

/* The id in a loose ref; false where it is anything else.  A repository is not
 * ours: what is opened may be a pipe or a link. */
static bool read_ref(const char *dir, const char *below, struct str ref,
		     struct oid *out)
{
	AUTO_BUF path = BUF_NONE;
	struct stat st;
	char text[64];
	ssize_t n = 0;
	int fd;

	buf_printf(&path, "%s%s/%.*s", dir, below, STR_ARG(ref));
	fd = open(path.p, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		n = read(fd, text, sizeof(text));
	close(fd);
	return n > 0 && oid_parse(str_trim(str_n(text, (size_t)n)), out);
}

/* A branch of a local repository that stands where the clone stands needs no
 * child, which would cost ten milliseconds at each look. */
static bool is_unchanged(const struct fetch_target *t, struct str request,
			 struct oid *out)
{
	struct fetch_request req;
	struct oid here, there;
	char path[PATH_MAX];

	if (!fetch_request_decode(request, &req) || t->tag.n ||
	    !str_starts(req.url, STR("file://")) ||
	    !str_copy(path, sizeof(path), str_from(req.url, 7)) ||
	    !read_ref(t->dir, "", STR("refs/conflux/head"), &here))
		return false;
	if (!read_ref(path, "", req.ref, &there) &&
	    !read_ref(path, "/.git", req.ref, &there))
		return false;
	*out = there;
	return oid_eq(&here, &there);
}

static enum code ask_child(const struct source_settings *s,
			   const struct fetch_target *t, atomic_bool *cancel,
			   struct fetch_result *out, struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF request = BUF_NONE;
	AUTO_BUF answer = BUF_NONE;
	struct child c = { 0, -1, -1 };
	uint64_t started = clock_mono_ns(), ms = 0;
	enum code rc = make_request(s, t, arena, &request, &ms, err);

	if (rc)
		return rc;
	out->bytes = 0;
	if (!t->push.n && is_unchanged(t, buf_view(&request), &out->commit)) {
		out->us = (clock_mono_ns() - started) / 1000;
		return OK;
	}
	(void)!mkdir(s->dir, 0700);
	rc = child_start(&c, s->exe ? s->exe : "/proc/self/exe", err);
	if (rc == OK)
		rc = send_request(&c, buf_view(&request), err);
	wipe(request.p, request.n);
	if (rc == OK)
		rc = read_answer(&c, clock_mono_ms() + ms, cancel, &answer, err);
	child_end(&c);
	if (rc == OK)
		rc = take_answer(buf_view(&answer), out, err);
	out->us = (clock_mono_ns() - started) / 1000;
	return rc;
}

enum code fetch_run(const struct source_settings *s,
		    const struct fetch_target *t, atomic_bool *cancel,
		    struct fetch_result *out, struct err *err)
{
	struct fetch_target fetch = *t;

	fetch.push = STR_NONE;
	return ask_child(s, &fetch, cancel, out, err);
}

enum code fetch_revert(const struct source_settings *s,
		       const struct fetch_target *t, atomic_bool *cancel,
		       struct fetch_result *out, struct err *err)
{
	if (t->push.n == 0)
		return err_set(err, E_INVALID, "no branch to push to is named");
	return ask_child(s, t, cancel, out, err);
}

/* ---- clones ---- */

static void count_packs(const char *dir, unsigned *n, uint64_t *bytes)
{
	AUTO_BUF path = BUF_NONE;
	struct dirent *e;
	struct stat st;
	DIR *d;

	buf_printf(&path, "%s/objects/pack", dir);
	d = opendir(path.p);
	*n = 0;
	*bytes = 0;
	while (d && (e = readdir(d))) {
		if (!str_ends(str_of(e->d_name), STR(".pack")))
			continue;
		++*n;
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			*bytes += (uint64_t)st.st_size;
	}
	if (d)
		closedir(d);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

bool fetch_clone_trim(const char *dir, unsigned packs_max, uint64_t bytes_max)
{
	uint64_t bytes;
	unsigned n;

	count_packs(dir, &n, &bytes);
	if (packs_max && n <= packs_max && bytes <= bytes_max)
		return false;
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0;
}
