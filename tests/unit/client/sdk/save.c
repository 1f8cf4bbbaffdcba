/* The snapshot, whenever its writer dies or a step of writing fails. */
#include "client.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/failpoint.h"

#include "base/banned.h"

static const char *const places[] = { "snapshot.write", "snapshot.sync",
				      "snapshot.rename", "snapshot.renamed" };
static char snapshot[300];

/* Files beside the snapshot. */
static unsigned others(void)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d)))
		n += strncmp(e->d_name, "snap.", 5) == 0;
	closedir(d);
	return n;
}

static struct cfx_options saving(const char *url)
{
	struct cfx_options o = options_of(url);

	snprintf(snapshot, sizeof(snapshot), "%s/snap", folder);
	o.snapshot_file = snapshot;
	return o;
}

/* What a start without a server has. */
static int64_t kept(void)
{
	struct cfx_options o = saving("http://127.0.0.1:1");
	struct cfx *cfx;
	int64_t n;

	o.boot = CFX_BOOT_FAIL_SAFE;
	cfx = open_with(&o);
	n = n_of(cfx);
	cfx_close(cfx);
	return n;
}

static void save_once(struct server *s)
{
	struct cfx_options o = saving(server_url(s));

	cfx_close(open_with(&o));        /* waits until it is written */
}

/* Another process that saves, when it is told the address, and dies of it.  It is begun
 * before there is any thread here. */
static pid_t writer(const char *place, int *tell)
{
	char url[100] = "", spec[64];
	struct cfx_options o;
	struct err err;
	int ends[2];
	pid_t child;

	must(pipe(ends) == 0);
	child = fork();
	if (child) {
		close(ends[0]);
		*tell = ends[1];
		return child;
	}
	snprintf(spec, sizeof(spec), "%s=crash", place);
	if (read(ends[0], url, sizeof(url) - 1) > 0 &&
	    failpoint_set(spec, &err) == OK) {
		o = saving(url);
		cfx_close(open_with(&o));
	}
	_exit(1);
}

START_TEST(its_writer_may_die_anywhere)
{
	struct server *s;
	pid_t child;
	int status, tell;

	child = writer(places[_i], &tell);
	s = new_server(false);
	save_once(s);
	ck_assert_int_eq(kept(), 1);
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	ck_assert_int_gt(write(tell, server_url(s), strlen(server_url(s))), 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* A whole one: the old or the new. */
	ck_assert_int_eq(kept(), _i < 3 ? 1 : 2);
	ck_assert_uint_eq(others(), _i == 1 || _i == 2);
	/* The next one removes what it left. */
	save_once(s);
	ck_assert_int_eq(kept(), 2);
	ck_assert_uint_eq(others(), 0);
	server_free(s);
	close(tell);
}
END_TEST

START_TEST(a_step_may_fail)
{
	struct server *s = new_server(false);
	struct cfx_options o = saving(server_url(s));
	struct err err;
	char spec[64];
	struct cfx *cfx;

	save_once(s);
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	snprintf(spec, sizeof(spec), "%s=full*1", places[_i]);
	ck_assert_int_eq(failpoint_set(spec, &err), OK);
	cfx = open_with(&o);
	UNTIL(cfx, status_of(cfx).last.code == CFX_E_IO);
	ck_assert_ptr_nonnull(strstr(status_of(cfx).last.text, "No space left"));
	cfx_close(cfx);
	ck_assert_int_eq(kept(), _i < 3 ? 1 : 2);
	ck_assert_uint_eq(others(), 0);
	save_once(s);
	ck_assert_int_eq(kept(), 2);
	server_free(s);
}
END_TEST

/* What is another's, or is being written, stays. */
START_TEST(what_is_not_left_stays)
{
	static const char *const names[] = {
		"snap.0123abcd.new", "snap.new", "snap.0123abcd.neu",
		"snap.0123abcx.new", "snap.0123abcde.new",
	};
	struct server *s = new_server(false);
	int fds[ARRAY_LEN(names)];

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		fds[i] = open(in_folder(names[i]), O_WRONLY | O_CREAT, 0600);
		must(fds[i] >= 0);
	}
	must(flock(fds[0], LOCK_EX) == 0);
	ck_assert_int_eq(mkdir(in_folder("snap.99999999.new"), 0700), 0);
	ck_assert_int_eq(symlink("x", in_folder("snap.88888888.new")), 0);
	save_once(s);
	ck_assert_uint_eq(others(), ARRAY_LEN(names) + 2);
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		close(fds[i]);
	save_once(s);
	ck_assert_uint_eq(others(), ARRAY_LEN(names) + 1);
	ck_assert_int_ne(access(in_folder(names[0]), F_OK), 0);
	server_free(s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("client/sdk/save");
	TCase *t = tcase_create("save");

	tcase_add_checked_fixture(t, make_folder, NULL);
	tcase_add_loop_test(t, its_writer_may_die_anywhere, 0, (int)ARRAY_LEN(places));
	tcase_add_loop_test(t, a_step_may_fail, 0, (int)ARRAY_LEN(places));
	tcase_add_test(t, what_is_not_left_stays);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
