/* Commands with a deadline: see edge.h. */
#include "edge/edge.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

#define SAID_MAX 4096                /* of what a command writes: the end of it */
#define SHOWN 160
#define PIPE_READS 1024             /* a pipe holds 64 KiB unless told otherwise */
#define GRACE_MS 5000                /* for a command when the agent is to end */

struct running {
	pid_t pid;
	int pidfd, out;
	int pidfd_error;                 /* errno, where there is none */
	int stop;                        /* as in struct edge_about */
	bool is_stopped;                 /* it was readable */
	struct buf said;
};

/* ---- what it is given ---- */

static char *with_file(struct arena *arena, const char *word, const char *file)
{
	AUTO_BUF out = BUF_NONE;
	struct str rest = str_of(word);
	size_t at;

	while ((at = str_find_str(rest, STR("{}"))) != SIZE_MAX) {
		buf_str(&out, str_first(rest, at));
		buf_z(&out, file);
		rest = str_from(rest, at + 2);
	}
	buf_str(&out, rest);
	return arena_z(arena, buf_view(&out));
}

static char **words(struct arena *arena, char *const *argv, const char *file)
{
	size_t n = 0;
	char **out;

	while (argv[n])
		n++;
	out = arena_zero(arena, (n + 1) * sizeof(*out));
	for (size_t i = 0; i < n; i++)
		out[i] = with_file(arena, argv[i], file);
	return out;
}

static char *variable(struct arena *arena, const char *name, const char *value)
{
	AUTO_BUF out = BUF_NONE;

	buf_printf(&out, "%s=%s", name, value);
	return arena_z(arena, buf_view(&out));
}

/* The agent's own, and what the command is about. */
static char **surroundings(struct arena *arena, const struct edge_about *about)
{
	char version[24];
	size_t n = 0, k = 0;
	char **out;

	while (environ[n])
		n++;
	out = arena_zero(arena, (n + 4) * sizeof(*out));
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "CONFLUX_", 8) != 0)
			out[k++] = environ[i];
	snprintf(version, sizeof(version), "%llu",
		 (unsigned long long)about->version);
	out[k++] = variable(arena, "CONFLUX_FILE", about->file);
	out[k++] = variable(arena, "CONFLUX_CONFIG", about->config);
	out[k++] = variable(arena, "CONFLUX_VERSION", version);
	return out;
}

/* ---- starting ---- */

static enum code spawn_error(int rc, const char *name, struct err *err)
{
	enum code code = rc == ENOENT ? E_NOT_FOUND : rc == EACCES ? E_DENIED : E_IO;

	return err_set(err, code, "%s cannot be started: %s", name, strerror(rc));
}

/* Signals are as a program expects them, and nothing of the agent's is open. */
static int set_up(posix_spawnattr_t *attr, posix_spawn_file_actions_t *files, int out)
{
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	rc = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP |
						   POSIX_SPAWN_SETSIGMASK |
						   POSIX_SPAWN_SETSIGDEF);
	if (!rc)
		rc = posix_spawnattr_setsigmask(attr, &none);
	if (!rc)
		rc = posix_spawnattr_setsigdefault(attr, &all);
	if (!rc)
		rc = posix_spawn_file_actions_addopen(files, 0, "/dev/null",
						      O_RDONLY, 0);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(files, out, 1);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(files, out, 2);
	if (!rc)
		rc = posix_spawn_file_actions_addclosefrom_np(files, 3);
	return rc;
}

static int spawn(pid_t *pid, char **argv, char **env, int out)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int rc = posix_spawn_file_actions_init(&files);

	if (rc)
		return rc;
	rc = posix_spawnattr_init(&attr);
	if (!rc) {
		rc = set_up(&attr, &files, out);
		if (!rc)
			rc = posix_spawnp(pid, argv[0], &files, &attr, argv, env);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&files);
	return rc;
}

static enum code start(struct running *r, char *const *argv,
		       const struct edge_about *about, struct err *err)
{
	struct arena *arena = arena_new(0);
	int ends[2], rc;

	if (pipe2(ends, O_CLOEXEC)) {
		arena_free(&arena);
		return err_set(err, E_IO, "pipe: %s", strerror(errno));
	}
	rc = spawn(&r->pid, words(arena, argv, about->file),
		   surroundings(arena, about), ends[1]);
	arena_free(&arena);
	close(ends[1]);
	r->out = ends[0];
	if (rc) {
		close(r->out);
		return spawn_error(rc, argv[0], err);
	}
	fcntl(r->out, F_SETFL, O_NONBLOCK);
	/* Not by glibc 2.36's pidfd_open: kernels since 5.3 have the call. */
	r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	r->pidfd_error = errno;
	return OK;
}

/* ---- waiting ---- */

/* Bytes read; 0: no more will come; -1: none now. */
static ssize_t read_said(struct running *r)
{
	char bytes[1024];
	ssize_t n = read(r->out, bytes, sizeof(bytes));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -1 : 0;
	buf_add(&r->said, bytes, (size_t)n);
	if (r->said.n > 2 * SAID_MAX)
		buf_drop(&r->said, r->said.n - SAID_MAX);
	return n;
}

/* What is in the pipe when it has ended: its last words.  Who inherited the pipe may
 * go on writing. */
static void read_rest(struct running *r)
{
	for (unsigned i = 0; i < PIPE_READS && read_said(r) > 0; i++)
		;
}

static bool shall_stop(int stop)
{
	struct pollfd p = { .fd = stop > 0 ? stop : -1, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* Until it has ended: false: the time is over.  Who inherited its output may keep it
 * open for ever, so the end of that is no end. */
static bool wait_end(struct running *r, uint64_t until_ms)
{
	struct pollfd fds[3] = { { .fd = r->pidfd, .events = POLLIN },
				 { .fd = r->out, .events = POLLIN },
				 { .fd = r->stop > 0 ? r->stop : -1,
				   .events = POLLIN } };

	for (;;) {
		uint64_t now = clock_mono_ms();

		if (now >= until_ms)
			return false;
		if (poll(fds, 3, (int)(until_ms - now)) < 0 && errno != EINTR)
			return false;
		if (fds[2].revents) {
			fds[2].fd = -1;
			fds[2].revents = 0;
			r->is_stopped = true;
			until_ms = MIN(until_ms, now + GRACE_MS);
		}
		if (fds[1].revents && read_said(r) == 0)
			fds[1].fd = -1;
		if (fds[0].revents)
			return true;
	}
}

/* The last line that says something, in one line. */
static struct str last_line(const struct buf *said)
{
	struct str all = str_trim(buf_view(said));
	size_t at = str_rfind(all, '\n');
	struct str line = str_trim(at == SIZE_MAX ? all : str_from(all, at + 1));
	size_t n = MIN(line.n, (size_t)SHOWN);

	/* Between characters. */
	while (n < line.n && n > 0 && ((unsigned char)line.p[n] & 0xc0) == 0x80)
		n--;
	return str_first(line, n);
}

static enum code stopped(const char *name, struct err *err)
{
	return err_set(err, E_CANCELLED, "%s was interrupted, because the agent ends",
		       name);
}

static enum code verdict(const struct running *r, const char *name, int status,
			 struct err *err)
{
	struct str said = last_line(&r->said);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return OK;
	/* Who ends the agent may have ended the command too: it has not judged. */
	if (r->is_stopped || shall_stop(r->stop))
		return stopped(name, err);
	if (WIFSIGNALED(status))
		return err_set(err, E_FAILED, "%s was ended by signal %d%s%.*s", name,
			       WTERMSIG(status), said.n ? ": " : "", STR_ARG(said));
	return err_set(err, E_FAILED, "%s ended with %d%s%.*s", name,
		       WEXITSTATUS(status), said.n ? ": " : "", STR_ARG(said));
}

/* False: nobody knows how it ended, as where ended children are to be ignored. */
static bool reap(pid_t pid, int *status)
{
	pid_t rc;

	while ((rc = waitpid(pid, status, 0)) < 0 && errno == EINTR)
		;
	return rc == pid;
}

enum code edge_run(char *const *argv, const struct edge_about *about,
		   unsigned timeout_ms, struct err *err)
{
	struct running r = { .said = BUF_NONE, .stop = about->stop };
	enum code rc = OK;
	bool ended, is_known;
	int status = 0;

	if (shall_stop(r.stop))
		return stopped(argv[0], err);
	rc = start(&r, argv, about, err);
	if (rc)
		return rc;
	ended = r.pidfd >= 0 && wait_end(&r, clock_mono_ms() + timeout_ms);
	if (!ended)
		kill(-r.pid, SIGKILL);
	is_known = reap(r.pid, &status);
	read_rest(&r);
	if (ended && !is_known)
		rc = err_set(err, E_IO, "nobody knows how %s ended", argv[0]);
	else if (ended)
		rc = verdict(&r, argv[0], status, err);
	else if (r.pidfd < 0)
		rc = err_set(err, E_IO, "%s cannot be waited for: %s", argv[0],
			     strerror(r.pidfd_error));
	else if (r.is_stopped)
		rc = stopped(argv[0], err);
	else
		rc = err_set(err, E_TIMEOUT, "%s did not end within %u ms", argv[0],
			     timeout_ms);
	if (r.pidfd >= 0)
		close(r.pidfd);
	close(r.out);
	buf_fini(&r.said);
	return rc;
}

/* ---- before that ---- */

/* As execvp looks for it. */
static bool is_in_path(const char *name)
{
	struct str rest = str_of(getenv("PATH") ? getenv("PATH") : "/bin:/usr/bin");

	while (rest.n) {
		struct str folder = str_cut(&rest, ':');
		AUTO_BUF path = BUF_NONE;

		buf_printf(&path, "%.*s%s%s", STR_ARG(folder), folder.n ? "/" : "",
			   name);
		if (access(path.p, X_OK) == 0)
			return true;
	}
	return false;
}

enum code edge_can_run(char *const *argv, struct err *err)
{
	const char *name = argv[0];

	/* The file itself: it is not there yet. */
	if (strstr(name, "{}"))
		return OK;
	errno = ENOENT;
	if (strchr(name, '/') ? access(name, X_OK) == 0 : is_in_path(name))
		return OK;
	return spawn_error(errno == EACCES ? EACCES : ENOENT, name, err);
}

/* A pipe or device there must not stop the agent. */
static enum code read_pid(const char *pid_file, uint64_t *pid, struct err *err)
{
	int fd = open(pid_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	char text[32];
	struct stat st;
	ssize_t n;

	if (fd < 0 && errno == ELOOP)
		return err_set(err, E_INVALID, "pid_file %s is a symbolic link; name "
			       "the file that it leads to", pid_file);
	if (fd < 0)
		return err_sys(err, errno, "pid_file %s", pid_file);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(err, E_INVALID, "pid_file %s is no regular file",
			       pid_file);
	}
	n = read(fd, text, sizeof(text));
	close(fd);
	if (n < 0 || n == sizeof(text) ||
	    !str_u64(str_trim(str_n(text, (size_t)n)), pid) || *pid < 2 ||
	    *pid > INT32_MAX)
		return err_set(err, E_INVALID, "pid_file %s holds no process id",
			       pid_file);
	return OK;
}

enum code edge_signal(const char *pid_file, int signal, struct err *err)
{
	uint64_t pid = 0;
	enum code rc = read_pid(pid_file, &pid, err);

	if (rc)
		return rc;
	if (kill((pid_t)pid, signal))
		return err_sys(err, errno, "process %llu of pid_file %s",
			       (unsigned long long)pid, pid_file);
	return OK;
}
