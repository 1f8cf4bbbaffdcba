/*
 * Checkpoints: a machine that keeps nothing over a restart but what is in a
 * checkpoint, so whatever comes back came from checkpoint and log.
 */
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#include "base/failpoint.h"
#include "base/mem.h"
#include "io/loop.h"
#include "io/pool.h"
#include "node/checkpoint.h"
#include "raftcore/raftcore.h"
#include "wire/wire.h"

#include "base/banned.h"

#define PAYLOAD 500
#define FILLER 150000
#define LOG_BYTES (200 * 1024)

/* Counts commands, which carry 1, 2, 3, ... */
struct counter {
	uint64_t index, term, count;
};
struct rc_frozen {
	struct counter at;
};

static struct counter counter;
static struct loop *loop;
static struct pool *pool;
static struct rc_config config;
static struct rc_node *node;
static char dir[64];
static uint64_t want;
static int report = -1;
static bool from_checkpoint;
/* A picture without end: only giving it up ends it. */
static bool is_endless;
static sem_t writing;
static enum code endless_rc;
static struct err err;

/* ---- the machine ---- */

static enum code counter_open(void *data, const char *d,
			  const struct rc_checkpoint *from,
			  struct rc_applied *out, struct err *e)
{
	counter = (struct counter){ 0 };
	from_checkpoint = from;
	if (from) {
		AUTO_BUF bytes = BUF_NONE;

		if (fs_get(from->fs, from->path, &bytes, e))
			return e->code;
		memcpy(&counter, bytes.p, sizeof(counter));
	}
	*out = (struct rc_applied){ counter.index, counter.term };
	return OK;
}

/* Nothing is said to Check here, nor in add(): a message that a crash cuts in two makes
 * those behind it unreadable. */
static enum code counter_apply(void *data, const struct rc_entry *e, size_t n,
			       struct err *unused)
{
	for (size_t i = 0; i < n; i++) {
		struct rd rd = rd_of(e[i].data);

		must(e[i].index == counter.index + 1);
		counter.index = e[i].index;
		counter.term = e[i].term;
		if (!e[i].is_command)
			continue;
		must(rd_u64(&rd) == counter.count + 1);
		counter.count++;
		if (report >= 0 &&
		    write(report, &counter.count, 8) != 8)
			_exit(1);
	}
	if (want && counter.count >= want)
		loop_stop(loop);
	return OK;
}

static enum code counter_freeze(void *data, struct rc_frozen **out,
				struct rc_applied *at, struct err *e)
{
	*out = NEW(struct rc_frozen);
	(*out)->at = counter;
	*at = (struct rc_applied){ counter.index, counter.term };
	return OK;
}

static enum code counter_write(void *data, struct rc_frozen *f,
			       enum code (*put)(void *sink, const void *p,
						size_t n, struct err *e),
			       void *sink, struct err *e)
{
	static char filler[FILLER];
	enum code rc = put(sink, &f->at, sizeof(f->at), e);

	if (is_endless) {
		sem_post(&writing);
		while (rc == OK)
			rc = put(sink, filler, sizeof(filler), e);
		endless_rc = rc;
		return rc;
	}
	memset(filler, (int)f->at.count, sizeof(filler));
	return rc ? rc : put(sink, filler, sizeof(filler), e);
}

static void counter_thaw(void *data, struct rc_frozen *f)
{
	free(f);
}

static void counter_digest(void *data, uint8_t out[32])
{
	memset(out, 0, 32);
}

static uint64_t counter_bytes(void *data)
{
	return FILLER;
}

static void counter_close(void *data)
{
}

/* ---- nodes ---- */

static enum code open_node(void)
{
	loop = loop_new("apply", 0);
	pool = pool_new("work", 1, 4);
	rc_config_defaults(&config);
	config.dir = dir;
	config.segment_bytes = 32 * 4096;
	config.checkpoint_log_bytes = LOG_BYTES;
	config.inflight_entries_max = 128;
	config.apply_loop = loop;
	config.pool = pool;
	config.machine = (struct rc_machine){
		.open = counter_open, .apply = counter_apply,
		.freeze = counter_freeze, .write = counter_write,
		.thaw = counter_thaw, .digest = counter_digest,
		.bytes = counter_bytes, .close = counter_close,
	};
	return rc_node_open(&config, &node, &err);
}

static void start(void)
{
	ck_assert_msg(open_node() == OK, "%s", err.text);
	ck_assert_int_eq(rc_node_start(node, &err), OK);
}

static void let_go(void)
{
	pool_free(&pool);
	loop_free(&loop);
	rc_node_free(&node);
}

static void stop(void)
{
	rc_node_stop(node);
	let_go();
}

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/conflux-node-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	want = 0;
	report = -1;
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

/* ---- proposals, a few at a time ---- */

struct item {
	struct rc_proposal p;
	char bytes[PAYLOAD];
};

static void not_done(struct rc_proposal *p, enum code rc, const struct err *e)
{
	ck_assert_msg(rc == OK, "%s", e->text);
}

static void run_until(uint64_t n)
{
	want = n;
	/* Again where it was stopped twice: once for each batch beyond 'want'. */
	while (counter.count < n)
		loop_run_here(loop);
	want = 0;
	ck_assert_uint_ge(counter.count, n);
}

/* All that was in the log is applied, also what nobody was told of. */
static void run_until_ready(void)
{
	struct rc_status st;

	do {
		loop_run_once(loop);
		rc_node_status(node, &st);
	} while (!st.is_ready);
}

/* Proposes and waits, 32 at a time. */
static void add(uint64_t n)
{
	struct item *items = mem_zero(32 * sizeof(*items));

	while (n > 0) {
		uint64_t first = counter.count, k = MIN(n, 32ull);

		for (uint64_t i = 0; i < k; i++) {
			struct item *item = &items[i];

			for (unsigned b = 0; b < 8; b++)
				item->bytes[b] = (char)((first + i + 1) >> (8 * b));
			item->p.data = str_n(item->bytes, PAYLOAD);
			item->p.done = not_done;
			must(rc_propose(node, &item->p));
		}
		run_until(first + k);
		n -= k;
	}
	free(items);
}

static void add_until_checkpoint(uint64_t above)
{
	struct rc_status st;

	do {
		add(32);
		rc_node_status(node, &st);
	} while (st.checkpoint_index <= above);
}

/* Three checkpoints, so that old ones went and the log was cut. */
static uint64_t three(void)
{
	struct rc_status st = { 0 };

	for (int i = 0; i < 3; i++) {
		add_until_checkpoint(st.checkpoint_index);
		rc_node_status(node, &st);
	}
	return counter.count;
}

/* Names of files in the folder of checkpoints, sorted, a line each. */
static void list(struct buf *out)
{
	AUTO_BUF path = BUF_NONE;

	buf_reset(out);
	buf_printf(&path, "%s/checkpoints", dir);
	ck_assert_int_eq(fs_real()->ops->list(fs_real(), path.p, out, &err), OK);
	for (size_t i = 0; i < out->n; i++)
		if (out->p[i] == '\0')
			out->p[i] = '\n';
}

static unsigned count(const struct buf *text, const char *what)
{
	unsigned n = 0;

	for (const char *p = text->p; (p = strstr(p, what)); p++)
		n++;
	return n;
}

static void damage(struct str name)
{
	AUTO_BUF path = BUF_NONE;
	FILE *f;
	int c;

	buf_printf(&path, "%s/checkpoints/%.*s", dir, STR_ARG(name));
	f = fopen(path.p, "r+b");
	ck_assert_ptr_nonnull(f);
	fseek(f, 70, SEEK_SET);
	c = fgetc(f);
	fseek(f, 70, SEEK_SET);
	fputc(c ^ 1, f);
	fclose(f);
}

/* Damages the files whose names end in 'suffix', newest first, 'n' of them. */
static void damage_newest(const char *suffix, unsigned n)
{
	AUTO_BUF names = BUF_NONE;
	struct str rest;
	unsigned all;

	list(&names);
	all = count(&names, suffix);
	rest = buf_view(&names);
	while (rest.n) {
		struct str name = str_cut(&rest, '\n');

		if (str_ends(name, str_of(suffix)) && all-- <= n)
			damage(name);
	}
}

/* ---- tests ---- */

START_TEST(the_log_is_cut_and_a_restart_comes_from_the_checkpoint)
{
	AUTO_BUF names = BUF_NONE;
	struct rc_status st;
	uint64_t n;

	start();
	n = three();
	add(40);
	rc_node_status(node, &st);
	ck_assert_uint_gt(st.checkpoint_index, 0);
	stop();
	list(&names);
	ck_assert_uint_eq(count(&names, ".ckpt"), 2);
	ck_assert_uint_eq(count(&names, ".meta"), 2);
	ck_assert_uint_eq(count(&names, "new"), 0);
	start();
	ck_assert(from_checkpoint);
	ck_assert_uint_gt(counter.count, 0);
	run_until(n + 40);
	ck_assert_uint_eq(counter.count, n + 40);
	rc_node_status(node, &st);
	/* Far less log than was written. */
	ck_assert_uint_gt(st.log_first, 1);
	add(100);
	stop();
}
END_TEST

START_TEST(a_damaged_checkpoint_is_passed_over)
{
	AUTO_BUF names = BUF_NONE;
	uint64_t n;

	start();
	n = three();
	stop();
	damage_newest(_i ? ".meta" : ".ckpt", 1);
	start();
	ck_assert(from_checkpoint);
	run_until(n);
	ck_assert_uint_eq(counter.count, n);
	stop();
	/* It is out of the way, and does not count as one that is kept. */
	list(&names);
	ck_assert_uint_eq(count(&names, ".meta.damaged\n"), 1);
	start();
	run_until(n);
	three();
	stop();
	list(&names);
	ck_assert_uint_eq(count(&names, ".meta\n"), 2);
	ck_assert_uint_eq(count(&names, ".ckpt\n"), 2);
}
END_TEST

START_TEST(without_a_whole_checkpoint_a_cut_log_is_refused)
{
	start();
	three();
	stop();
	damage_newest(".ckpt", 2);
	ck_assert_int_eq(open_node(), E_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err.hint, "checkpoint"));
	let_go();
}
END_TEST

START_TEST(a_checkpoint_of_another_cluster_is_refused)
{
	AUTO_BUF path = BUF_NONE;

	start();
	add_until_checkpoint(0);
	stop();
	/* An identity is made anew where there is none. */
	buf_printf(&path, "%s/identity", dir);
	ck_assert_int_eq(unlink(path.p), 0);
	ck_assert_int_eq(open_node(), E_DENIED);
	let_go();
}
END_TEST

START_TEST(a_stop_gives_up_a_checkpoint_that_is_written)
{
	AUTO_BUF names = BUF_NONE;
	uint64_t n;

	sem_init(&writing, 0, 0);
	is_endless = true;
	start();
	while (sem_trywait(&writing))
		add(8);
	n = counter.count;
	stop();
	ck_assert_int_eq(endless_rc, E_CANCELLED);
	list(&names);
	ck_assert_uint_eq(names.n, 0);
	is_endless = false;
	start();
	run_until_ready();
	ck_assert_uint_eq(counter.count, n);
	add_until_checkpoint(0);
	stop();
}
END_TEST

static const char *const crashes[] = {
	"checkpoint.write=crash@2", "checkpoint.sync=crash",
	"checkpoint.rename=crash", "checkpoint.done=crash",
	"wal.cut=crash", "wal.cut=crash@2", "wal.segment=crash@4",
	"checkpoint.sync=crash@3", "checkpoint.rename=crash@3",
	"checkpoint.done=crash@3", "checkpoint.prune=crash",
	"checkpoint.prune=crash@2", "checkpoint.shrink=crash",
	"checkpoint.remove=crash", "wal.write=crash@40",
	"wal.written=crash@40", "wal.spare=crash@5",
};

static void child(int fd, const char *spec)
{
	if (failpoint_set(spec, &err))
		_exit(2);
	start();
	report = fd;
	add(20000);
	_exit(3);
}

START_TEST(a_crash_at_each_step_loses_nothing)
{
	uint64_t told = 0, v;
	int fds[2], status;
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		child(fds[1], crashes[_i]);
	}
	close(fds[1]);
	while (read(fds[0], &v, 8) == 8)
		told = v;
	close(fds[0]);
	waitpid(pid, &status, 0);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	ck_assert_uint_gt(told, 0);
	start();
	run_until(told);
	run_until_ready();
	add_until_checkpoint(0);
	stop();
}
END_TEST

static const char *const births[] = {
	"meta.write=crash", "wal.segment=crash", "vote.write=crash",
	"vote.half=crash", "vote.written=crash", "wal.write=crash",
	"wal.written=crash", "wal.written=crash@2", "wal.written=crash@3",
};

/* A folder that is half made becomes a whole node at the next start. */
START_TEST(a_crash_while_it_is_made_does_no_harm)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (failpoint_set(births[_i], &err))
			_exit(2);
		start();
		add(1);
		_exit(3);
	}
	waitpid(pid, &status, 0);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	start();
	run_until_ready();
	add(40);
	stop();
}
END_TEST

START_TEST(a_checkpoint_that_fails_is_tried_again)
{
	struct rc_status st;

	ck_assert_int_eq(failpoint_set("checkpoint.sync=error*2", &err), OK);
	start();
	add_until_checkpoint(0);
	rc_node_status(node, &st);
	ck_assert_uint_gt(st.checkpoint_index, 0);
	ck_assert_uint_gt(failpoint_passes(FP_CHECKPOINT_SYNC), 2);
	stop();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/checkpoint");
	TCase *t = tcase_create("checkpoint");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_log_is_cut_and_a_restart_comes_from_the_checkpoint);
	tcase_add_loop_test(t, a_damaged_checkpoint_is_passed_over, 0, 2);
	tcase_add_test(t, without_a_whole_checkpoint_a_cut_log_is_refused);
	tcase_add_test(t, a_checkpoint_of_another_cluster_is_refused);
	tcase_add_test(t, a_stop_gives_up_a_checkpoint_that_is_written);
	tcase_add_loop_test(t, a_crash_at_each_step_loses_nothing, 0,
			    ARRAY_LEN(crashes));
	tcase_add_loop_test(t, a_crash_while_it_is_made_does_no_harm, 0,
			    ARRAY_LEN(births));
	tcase_add_test(t, a_checkpoint_that_fails_is_tried_again);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
