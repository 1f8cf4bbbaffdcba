/* From a version to a verdict, with real files and commands. */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "edge/edge.h"
#include "io/file.h"

#include "base/banned.h"

static char dir[64], state[80], path[80], told[80];
static struct edge_file file;
static struct edge_target target;
static struct err err;

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/conflux-edge-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(state, sizeof(state), "%s/state", dir);
	snprintf(path, sizeof(path), "%s/app.conf", dir);
	snprintf(told, sizeof(told), "%s/told", dir);
	ck_assert_int_eq(mkdir(state, 0700), 0);
	ck_assert_int_eq(setenv("TOLD", told, 1), 0);
	file = (struct edge_file){ .config = STR("app.conf"), .path = path,
				   .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0640,
				   .timeout_ms = 10000 };
}

static void teardown(void)
{
	char command[128];
	char *const argv[] = { (char *)"rm", (char *)"-rf", dir, NULL };
	struct edge_about about = { "", "", 0, 0 };

	snprintf(command, sizeof(command), "%s", dir);
	ck_assert_int_eq(edge_run(argv, &about, 10000, &err), OK);
}

/* The commands of these tests: what they are told of is written down. */
#define RELOAD "printf '%s=%s ' \"$CONFLUX_VERSION\" \"$(cat \"$1\")\" >>\"$TOLD\";" \
	       "! grep -q refuse \"$1\""
#define CHECK "if grep -q broken \"$1\"; then echo first; echo it is broken >&2; " \
	      "exit 3; fi"
static char *const reload[] = { (char *)"sh", (char *)"-c", (char *)RELOAD,
				(char *)"sh", (char *)"{}", NULL };
static char *const checks[] = { (char *)"sh", (char *)"-c", (char *)CHECK,
				(char *)"sh", (char *)"{}", NULL };

static enum edge_verdict bring(uint64_t version, const char *content, bool again)
{
	struct edge_version v = { version, sha256_of(str_of(content)),
				  str_of(content) };

	return edge_target_bring(&target, &v, again, &err);
}

static const char *content_of(const char *name)
{
	static struct buf out;

	buf_reset(&out);
	if (fs_get(fs_real(), name, &out, &err))
		return "(nothing)";
	return out.n ? out.p : "";
}

/* Nothing is beside the file but what these tests know of. */
static unsigned others(void)
{
	unsigned n = 0;
	DIR *d = opendir(dir);
	struct dirent *e;

	while ((e = readdir(d)))
		n += strcmp(e->d_name, "app.conf") != 0 &&
		     strcmp(e->d_name, "told") != 0 &&
		     strcmp(e->d_name, "state") != 0;
	closedir(d);
	return n - 2;                    /* . and .. */
}

static void open_target(void)
{
	edge_target_open(&target, &file, state);
}

START_TEST(a_version_becomes_the_file)
{
	struct stat st;

	file.check = checks;
	file.reload = reload;
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	ck_assert_str_eq(content_of(path), "one");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(bring(2, "two", false), EDGE_TAKEN);
	ck_assert_str_eq(content_of(path), "two");
	ck_assert_str_eq(content_of(told), "1=one 2=two ");
	/* What is there is not done again, also by another agent. */
	ck_assert_int_eq(bring(2, "two", false), EDGE_KEPT);
	open_target();
	ck_assert_int_eq(bring(2, "two", false), EDGE_KEPT);
	ck_assert_str_eq(content_of(told), "1=one 2=two ");
	ck_assert_uint_eq(others(), 0);
}
END_TEST

START_TEST(who_changes_the_file_is_corrected)
{
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	ck_assert_int_eq(fs_put(fs_real(), dir, path, STR("mine"), &err), OK);
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	ck_assert_str_eq(content_of(path), "one");
	ck_assert_int_eq(chmod(path, 0666), 0);
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	ck_assert_str_eq(content_of(path), "one");
	/* But a link is somebody's, and would be lost. */
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("/dev/null", path), 0);
	ck_assert_int_eq(bring(1, "one", false), EDGE_FAILED);
	ck_assert_ptr_nonnull(strstr(err.text, "symbolic link"));
}
END_TEST

START_TEST(what_the_check_refuses_is_never_there)
{
	file.check = checks;
	file.reload = reload;
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	ck_assert_int_eq(bring(2, "broken", false), EDGE_REJECTED);
	ck_assert_str_eq(err.text, "check: sh ended with 3: it is broken");
	ck_assert_str_eq(content_of(path), "one");
	ck_assert_str_eq(content_of(told), "1=one ");
	/* It is not asked again, and the reason is known to the next agent. */
	file.check = NULL;
	open_target();
	ck_assert_int_eq(bring(2, "broken", false), EDGE_REJECTED);
	ck_assert_str_eq(err.text, "check: sh ended with 3: it is broken");
	/* But when somebody wants it, or another version comes. */
	ck_assert_int_eq(bring(2, "broken", true), EDGE_TAKEN);
	ck_assert_int_eq(bring(3, "three", false), EDGE_TAKEN);
	ck_assert_uint_eq(others(), 0);
}
END_TEST

START_TEST(what_the_program_refuses_is_taken_back)
{
	file.reload = reload;
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	ck_assert_int_eq(bring(2, "refuse", false), EDGE_REJECTED);
	ck_assert_str_eq(err.text, "reload: sh ended with 1");
	ck_assert_str_eq(content_of(path), "one");
	ck_assert_str_eq(content_of(told), "1=one 2=refuse 1=one ");
	ck_assert_int_eq(bring(1, "one", false), EDGE_KEPT);
	ck_assert_int_eq(bring(2, "refuse", false), EDGE_REJECTED);
	ck_assert_str_eq(content_of(told), "1=one 2=refuse 1=one ");
	ck_assert_uint_eq(others(), 0);
}
END_TEST

START_TEST(the_first_one_that_is_refused_leaves_nothing)
{
	file.reload = reload;
	open_target();
	ck_assert_int_eq(bring(1, "refuse", false), EDGE_REJECTED);
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_uint_eq(others(), 0);
}
END_TEST

START_TEST(this_machine_refuses)
{
	file.path = "/proc/conflux/app.conf";
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_FAILED);
	ck_assert_ptr_nonnull(strstr(err.text, "/proc/conflux/"));
	/* A folder is in its place. */
	file.path = path;
	ck_assert_int_eq(mkdir(path, 0700), 0);
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_FAILED);
	ck_assert_uint_eq(others(), 0);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
}
END_TEST

/* A signal, by a file with the process's id. */
static volatile sig_atomic_t heard;

static void on_signal(int number)
{
	heard = number;
}

static char pid_file[80];

static void by_signal(void)
{
	snprintf(pid_file, sizeof(pid_file), "%s/state/pid", dir);
	file.signal = SIGUSR1;
	file.pid_file = pid_file;
	signal(SIGUSR1, on_signal);
	open_target();
}

static void put_pid(pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d\n", pid);
	ck_assert_int_eq(fs_put(fs_real(), state, pid_file, str_of(text), &err), OK);
}

/* A first file is there for a program that is yet to start, which is told then. */
START_TEST(a_program_is_told_by_a_signal)
{
	by_signal();
	/* That nobody is there yet is no verdict on the content. */
	ck_assert_int_eq(bring(1, "one", false), EDGE_FAILED);
	ck_assert_ptr_nonnull(strstr(err.text, "pid_file"));
	ck_assert_str_eq(content_of(path), "one");
	put_pid(1);
	ck_assert_int_eq(bring(1, "one", false), EDGE_FAILED);
	ck_assert_ptr_nonnull(strstr(err.text, "holds no process id"));
	ck_assert_str_eq(content_of(path), "one");
	put_pid(getpid());
	ck_assert_int_eq(bring(1, "one", false), EDGE_KEPT);
	ck_assert_int_eq(heard, SIGUSR1);
	ck_assert_int_eq(target.record.phase, EDGE_APPLIED);
}
END_TEST

/* The one that it would not start with gives way to one that it does; and what was never
 * in force is nothing to go back to. */
START_TEST(a_first_one_that_nobody_heard_of)
{
	by_signal();
	ck_assert_int_eq(bring(1, "one", false), EDGE_FAILED);
	ck_assert_int_eq(bring(2, "two", false), EDGE_FAILED);
	ck_assert_str_eq(content_of(path), "two");
	open_target();
	ck_assert_int_eq(edge_target_recover(&target, &err), E_NOT_FOUND);
	ck_assert_str_eq(content_of(path), "two");
	put_pid(getpid());
	file.reload = reload;
	ck_assert_int_eq(bring(3, "refuse", false), EDGE_REJECTED);
	ck_assert_str_eq(content_of(path), "two");
	file.reload = NULL;
	ck_assert_int_eq(bring(4, "four", false), EDGE_TAKEN);
	ck_assert_uint_eq(others(), 0);
}
END_TEST

/* It was replaced by no other file meanwhile. */
static ino_t place_of(void)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_ino;
}

static void it_stays(const char *why)
{
	int held = open(path, O_RDONLY | O_CLOEXEC);     /* its number is taken */
	ino_t before = place_of();

	ck_assert_int_eq(bring(2, "two", false), EDGE_FAILED);
	ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
	ck_assert_int_eq(bring(2, "two", false), EDGE_FAILED);
	ck_assert_uint_eq(place_of(), before);
	ck_assert_str_eq(content_of(path), "one");
	ck_assert_int_eq(target.record.phase, EDGE_APPLIED);
	ck_assert_uint_eq(target.record.rejected, 0);
	close(held);
}

START_TEST(who_cannot_be_told_keeps_what_he_has)
{
	char *const none[] = { (char *)"/no/such/command", NULL };
	char *const lost[] = { (char *)"no-such-command-of-conflux", NULL };
	pid_t child;

	by_signal();
	put_pid(getpid());
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	ck_assert_int_eq(unlink(pid_file), 0);
	it_stays("pid_file");
	child = fork();
	if (child == 0)
		_exit(0);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	put_pid(child);
	it_stays("No such process");
	ck_assert_int_eq(unlink(pid_file), 0);
	ck_assert_int_eq(mkfifo(pid_file, 0600), 0);
	it_stays("no regular file");
	ck_assert_int_eq(unlink(pid_file), 0);
	ck_assert_int_eq(symlink("/dev/null", pid_file), 0);
	it_stays("symbolic link");
	ck_assert_int_eq(unlink(pid_file), 0);
	put_pid(getpid());
	file.reload = none;
	it_stays("/no/such/command cannot be started");
	file.reload = lost;
	it_stays("no-such-command-of-conflux cannot be started");
	file.reload = NULL;
	ck_assert_int_eq(bring(2, "two", false), EDGE_TAKEN);
	ck_assert_uint_eq(others(), 0);
}
END_TEST

START_TEST(failures_are_tried_again_ever_later)
{
	ck_assert_uint_eq(edge_retry_ms(0), 10000);
	ck_assert_uint_eq(edge_retry_ms(1), 20000);
	ck_assert_uint_eq(edge_retry_ms(4), 160000);
	ck_assert_uint_eq(edge_retry_ms(5), 300000);
	ck_assert_uint_eq(edge_retry_ms(UINT_MAX), 300000);
}
END_TEST

/* Wherever it dies the file is whole, and the next agent goes on from there. */
static const char *const places[] = { "agent.candidate", "agent.kept", "agent.switch",
				      "agent.switched", "agent.told" };

START_TEST(it_may_die_anywhere)
{
	char spec[64];
	const char *is;
	pid_t child;
	int status;

	file.reload = reload;
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	child = fork();
	if (child == 0) {
		snprintf(spec, sizeof(spec), "%s=crash", places[_i]);
		if (failpoint_set(spec, &err) == OK)
			bring(2, "two", false);
		_exit(1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	is = content_of(path);
	ck_assert_msg(strcmp(is, _i < 3 ? "one" : "two") == 0, "%s", is);
	open_target();
	ck_assert_int_eq(edge_target_recover(&target, &err), OK);
	ck_assert_str_eq(content_of(path), _i < 3 ? "one" : "two");
	ck_assert_int_eq(bring(2, "two", false), _i < 3 ? EDGE_TAKEN : EDGE_KEPT);
	ck_assert_str_eq(content_of(path), "two");
	/* The program has heard of it, once at least. */
	ck_assert_ptr_nonnull(strstr(content_of(told), "2=two"));
	ck_assert_uint_eq(others(), 0);
}
END_TEST

START_TEST(it_may_die_before_a_program_refuses)
{
	pid_t child;
	int status;

	file.reload = reload;
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	child = fork();
	if (child == 0) {
		if (failpoint_set("agent.switched=crash", &err) == OK)
			bring(2, "refuse", false);
		_exit(1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_str_eq(content_of(path), "refuse");
	/* Somebody sets another mode meanwhile. */
	if (_i)
		file.mode = 0600;
	open_target();
	ck_assert_int_eq(edge_target_recover(&target, &err), OK);
	ck_assert_str_eq(content_of(path), "one");
	ck_assert_int_eq(bring(2, "refuse", false), EDGE_REJECTED);
	ck_assert_str_eq(content_of(path), "one");
}
END_TEST

/* The same while what the program has refused is taken back. */
static const char *const backs[] = { "agent.back", "agent.turned", "agent.retold" };

START_TEST(it_may_die_while_it_takes_back)
{
	char spec[64];
	pid_t child;
	int status;

	file.reload = reload;
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	child = fork();
	if (child == 0) {
		snprintf(spec, sizeof(spec), "%s=crash", backs[_i]);
		if (failpoint_set(spec, &err) == OK)
			bring(2, "refuse", false);
		_exit(1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	ck_assert_str_eq(content_of(path), _i == 0 ? "refuse" : "one");
	open_target();
	ck_assert_int_eq(edge_target_recover(&target, &err), OK);
	ck_assert_str_eq(content_of(path), "one");
	ck_assert_int_eq(bring(2, "refuse", false), EDGE_REJECTED);
	ck_assert_str_eq(content_of(path), "one");
	ck_assert_int_eq(bring(3, "three", false), EDGE_TAKEN);
	ck_assert_str_eq(content_of(path), "three");
	ck_assert_uint_eq(others(), 0);
}
END_TEST

/* And where a step of that fails it is gone about again. */
START_TEST(a_step_back_may_fail)
{
	char spec[64];

	file.reload = reload;
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	snprintf(spec, sizeof(spec), "%s=error*1", backs[_i]);
	ck_assert_int_eq(failpoint_set(spec, &err), OK);
	ck_assert_int_eq(bring(2, "refuse", false), EDGE_FAILED);
	ck_assert_int_eq(bring(2, "refuse", false), EDGE_REJECTED);
	ck_assert_str_eq(content_of(path), "one");
	ck_assert_uint_eq(others(), 0);
}
END_TEST

/* The owner of a file that was not there is who the settings name. */
START_TEST(a_new_file_is_whose_it_is_to_be)
{
	struct stat st;

	/* Nobody else may give files away. */
	if (getuid() == 0) {
		file.uid = 65534;
		file.gid = 65534;
	}
	file.mode = 0640;
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_uid, getuid() == 0 ? 65534 : getuid());
	ck_assert_uint_eq(st.st_gid, getuid() == 0 ? 65534 : getgid());
	ck_assert_int_eq(st.st_mode & 07777, 0640);
}
END_TEST

/* A step that fails is no verdict on the content, and is done again. */
START_TEST(a_step_may_fail)
{
	char spec[64];

	file.reload = reload;
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	snprintf(spec, sizeof(spec), "%s=error*1", places[_i]);
	ck_assert_int_eq(failpoint_set(spec, &err), OK);
	ck_assert_int_eq(bring(2, "two", false), EDGE_FAILED);
	ck_assert_int_ne(bring(2, "two", false), EDGE_FAILED);
	ck_assert_str_eq(content_of(path), "two");
	/* And what was before it is still known. */
	ck_assert_int_eq(bring(3, "refuse", false), EDGE_REJECTED);
	ck_assert_str_eq(content_of(path), "two");
	ck_assert_uint_eq(others(), 0);
}
END_TEST

/* A command that cannot be asked has not judged. */
START_TEST(a_command_that_is_not_there_is_no_verdict)
{
	char *const none[] = { (char *)"/no/such/command", NULL };

	file.check = none;
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_FAILED);
	ck_assert_uint_eq(target.record.rejected, 0);
	file.check = checks;
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	file.reload = none;
	ck_assert_int_eq(bring(2, "two", false), EDGE_FAILED);
	ck_assert_str_eq(content_of(path), "one");
	file.reload = reload;
	ck_assert_int_eq(bring(2, "two", false), EDGE_TAKEN);
	ck_assert_uint_eq(others(), 0);
}
END_TEST

/* The agent is to end while a command runs, which sees to that itself.  It goes on, or is
 * ended too, as service managers do. */
#define SLOW "echo end >\"$FIFO\"; exec sleep 100"
#define ENDED "echo end >\"$FIFO\"; kill -TERM $$"
static char *const slow[] = { (char *)"sh", (char *)"-c", (char *)SLOW, NULL };
static char *const ended[] = { (char *)"sh", (char *)"-c", (char *)ENDED, NULL };

START_TEST(an_end_is_no_verdict)
{
	char *const *command = _i & 1 ? ended : slow;
	char fifo[100];

	snprintf(fifo, sizeof(fifo), "%s/end", state);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	ck_assert_int_eq(setenv("FIFO", fifo, 1), 0);
	file.reload = reload;
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	target.stop = open(fifo, O_RDWR | O_CLOEXEC);
	ck_assert_int_gt(target.stop, 0);
	*(_i & 2 ? &file.reload : &file.check) = command;
	ck_assert_int_eq(bring(2, "two", false), EDGE_FAILED);
	ck_assert_int_eq(err.code, E_CANCELLED);
	ck_assert_str_eq(content_of(path), _i & 2 ? "two" : "one");
	/* Nothing more begins. */
	ck_assert_int_eq(bring(2, "two", false), EDGE_FAILED);
	ck_assert_int_eq(err.code, E_CANCELLED);
	close(target.stop);
	/* The next agent goes on from there. */
	file.check = checks;
	file.reload = reload;
	open_target();
	ck_assert_uint_eq(target.record.rejected, 0);
	ck_assert_int_eq(edge_target_recover(&target, &err), OK);
	ck_assert_int_eq(bring(2, "two", false), _i & 2 ? EDGE_KEPT : EDGE_TAKEN);
	ck_assert_str_eq(content_of(told), "1=one 2=two ");
	ck_assert_uint_eq(others(), 0);
}
END_TEST

/* The old content is not to be had: that is tried again, and nothing lies about it. */
#define AWAY "for f in \"$STATE\"/*.previous; do mv \"$f\" \"$STATE/away\"; done; exit 1"
static char *const away[] = { (char *)"sh", (char *)"-c", (char *)AWAY, NULL };

START_TEST(what_cannot_be_put_back_is_tried_again)
{
	char *const back[] = { (char *)"sh", (char *)"-c", (char *)
		"for f in \"$STATE\"/*.json; do mv \"$STATE/away\" "
		"\"${f%json}previous\"; done", NULL };
	struct edge_about about = { "", "", 0, 0 };

	ck_assert_int_eq(setenv("STATE", state, 1), 0);
	file.reload = reload;
	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	file.reload = away;
	ck_assert_int_eq(bring(2, "refuse", false), EDGE_FAILED);
	ck_assert_ptr_nonnull(strstr(err.text, "cannot be put back"));
	ck_assert_ptr_nonnull(strstr(err.text, "ended with 1"));
	file.reload = reload;
	open_target();
	ck_assert_int_eq(target.record.phase, EDGE_SWITCHING);
	ck_assert_int_eq(bring(2, "refuse", false), EDGE_FAILED);
	ck_assert_int_eq(edge_run(back, &about, 10000, &err), OK);
	ck_assert_int_eq(bring(2, "refuse", false), EDGE_REJECTED);
	ck_assert_str_eq(content_of(path), "one");
	ck_assert_uint_eq(others(), 0);
}
END_TEST

/* What was not for all to read is not after it was put back. */
START_TEST(the_old_file_comes_back_as_it_was)
{
	struct stat st;

	ck_assert_int_eq(fs_put(fs_real(), dir, path, STR("secret"), &err), OK);
	ck_assert_int_eq(chmod(path, 0600), 0);
	if (getuid() == 0)
		ck_assert_int_eq(chown(path, 1234, 4321), 0);
	file.mode = 0644;
	file.reload = reload;
	open_target();
	ck_assert_int_eq(bring(1, "refuse", false), EDGE_REJECTED);
	ck_assert_str_eq(content_of(path), "secret");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(st.st_uid, getuid() == 0 ? 1234 : getuid());
	ck_assert_uint_eq(st.st_gid, getuid() == 0 ? 4321 : st.st_gid);
}
END_TEST

START_TEST(one_agent_has_the_state)
{
	int one, two;

	ck_assert_int_eq(edge_lock(state, &one, &err), OK);
	ck_assert_int_eq(edge_lock(state, &two, &err), E_BUSY);
	ck_assert_ptr_nonnull(strstr(err.text, state));
	ck_assert(err.hint[0]);
	close(one);
	ck_assert_int_eq(edge_lock(state, &two, &err), OK);
	close(two);
	ck_assert_int_eq(edge_lock("/proc/conflux", &two, &err), E_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(err.text, "state_dir"));
}
END_TEST

START_TEST(a_damaged_record_is_none)
{
	char name[400] = { 0 };
	DIR *d = opendir(state);
	struct dirent *e;

	open_target();
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	while ((e = readdir(d)))
		if (strstr(e->d_name, ".json"))
			snprintf(name, sizeof(name), "%s/%s", state, e->d_name);
	closedir(d);
	ck_assert(name[0]);
	ck_assert_int_eq(fs_put(fs_real(), state, name, STR("{\"path\":"), &err), OK);
	open_target();
	ck_assert_int_eq(target.record.phase, EDGE_NOTHING);
	ck_assert_int_eq(bring(1, "one", false), EDGE_TAKEN);
	/* Nor is that of another configuration at this path. */
	file.config = STR("other.conf");
	open_target();
	ck_assert_int_eq(target.record.phase, EDGE_NOTHING);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("edge/target");
	TCase *t = tcase_create("target");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_version_becomes_the_file);
	tcase_add_test(t, who_changes_the_file_is_corrected);
	tcase_add_test(t, what_the_check_refuses_is_never_there);
	tcase_add_test(t, what_the_program_refuses_is_taken_back);
	tcase_add_test(t, the_first_one_that_is_refused_leaves_nothing);
	tcase_add_test(t, this_machine_refuses);
	tcase_add_test(t, a_program_is_told_by_a_signal);
	tcase_add_test(t, a_first_one_that_nobody_heard_of);
	tcase_add_test(t, who_cannot_be_told_keeps_what_he_has);
	tcase_add_test(t, failures_are_tried_again_ever_later);
	tcase_add_loop_test(t, it_may_die_anywhere, 0, ARRAY_LEN(places));
	tcase_add_loop_test(t, it_may_die_before_a_program_refuses, 0, 2);
	tcase_add_loop_test(t, a_step_may_fail, 0, ARRAY_LEN(places));
	tcase_add_test(t, a_command_that_is_not_there_is_no_verdict);
	tcase_add_loop_test(t, an_end_is_no_verdict, 0, 4);
	tcase_add_test(t, what_cannot_be_put_back_is_tried_again);
	tcase_add_test(t, the_old_file_comes_back_as_it_was);
	tcase_add_loop_test(t, it_may_die_while_it_takes_back, 0, ARRAY_LEN(backs));
	tcase_add_loop_test(t, a_step_back_may_fail, 0, ARRAY_LEN(backs));
	tcase_add_test(t, a_new_file_is_whose_it_is_to_be);
	tcase_add_test(t, one_agent_has_the_state);
	tcase_add_test(t, a_damaged_record_is_none);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
