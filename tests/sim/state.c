/*
 * Whole clusters (world.h) whose machine is the controller's own state, through
 * the histories of history.h: writers that go through any server and send again
 * what nobody knows of, watchers that go on elsewhere, compaction, checkpoints
 * that are installed, stores that are lost.  What must hold is in replica.h.
 *
 * SEEDS=n how many (200), SEED=n replays one, VERBOSE=1 tells its story.  A seed
 * that is replayed ends with the same trace.  A fifth as many go through a scene
 * in which checkpoints are installed under load; SCENE=left-behind with SEED=
 * replays one.
 *
 * Each planted mistake must be found, by the check that is there for it, within
 * a bounded number of seeds.  PLANT=name with SEED= replays one.
 */
#include "replica.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#include "base/banned.h"

#define MS 1000ull
#define FAULTS_MS 3500
#define SETTLE_MS 30000
#define SAME 3                   /* seeds that are played twice */
/* Of the environment, for a process with a planted mistake. */
#define PLANTED "CONFLUX_SIM_PLANTED"
#define ROOT "CONFLUX_SIM_ROOT"

enum fault_of_state bad;
enum check shown, found;
struct state_totals sum;

static const char *const check_names[CHECK__COUNT] = {
	[CHECK_EFFECTS] = "effects", [CHECK_REVISIONS] = "revisions",
	[CHECK_ONCE] = "once", [CHECK_ACKED] = "acknowledged",
	[CHECK_ORDER] = "order", [CHECK_COMPLETE] = "complete",
	[CHECK_END] = "end", [CHECK_LIST] = "list", [CHECK_GONE] = "gone",
	[CHECK_COMPACTION] = "compaction", [CHECK_SCAN] = "rows", [CHECK_READ] = "read",
	[CHECK_CONTENT] = "content", [CHECK_AUDIT] = "audit",
	[CHECK_ENDS] = "liveness",
};

bool claim(enum check check, bool what, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	if (what || w.is_broken || (shown && check != shown))
		return what;
	found = check;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return holds(false, "%s: %s", check_names[check], text);
}

/* ---- a history ---- */

static void wait_for(bool (*is_done)(void), const char *what)
{
	uint64_t until = w.now + SETTLE_MS * MS;

	while (!w.is_broken && w.now < until && !is_done())
		world_step();
	claim(CHECK_ENDS, is_done(), "%s did not come to an end", what);
}

/* Nothing is written any more: all who are up stand where the leader does, or are
 * no members. */
static void check_members(void)
{
	const struct server *leader = world_leader();

	record_scan();
	for (unsigned i = 0; i < SERVERS && !w.is_broken; i++) {
		struct server *s = &w.servers[i];

		if (!s->core || !leader || s->at.index != leader->at.index)
			continue;
		replica_check_rows(replica_of(s));
		clients_check(replica_of(s));
	}
}

static void end_well(void)
{
	wait_for(clients_are_done, "a write");
	clients_rest();
	if (!w.is_broken)
		history_end();
	if (!w.is_broken)
		wait_for(clients_are_done, "a write");
	if (!w.is_broken)
		wait_for(watchers_are_done, "a watch");
	if (!w.is_broken)
		check_members();
}

static unsigned founders_of(uint64_t seed)
{
	return seed % 8 == 0 ? 1 : seed % 3 == 0 ? 5 : 3;
}

/* Clients write, and nothing befalls anybody. */
static void traffic(uint64_t ms)
{
	uint64_t until = w.now + ms * MS, next = w.now;

	while (!w.is_broken && w.now < until) {
		if (w.now >= next) {
			next = w.now + 1 * MS + below(15 * MS);
			clients_act();
		}
		world_step();
	}
}

/*
 * A follower hears nothing, or is down, until what comes next is neither in the
 * leader's log nor among the events that are kept: a checkpoint is installed on
 * it, now and then under more than one crash, and who watched it goes on.
 */
static void left_behind(void)
{
	struct server *leader = world_elected(5000, NULL), *f;
	uint64_t steps;

	if (!claim(CHECK_ENDS, leader, "nobody leads"))
		return;
	traffic(300 + below(500));
	f = &w.servers[leader->id % w.n_founders];
	if (below(3))
		server_cut_off(f, true, true);
	else
		server_crash(f, below(2), 3000 * MS);
	traffic(1500 + below(1500));
	world_heal();
	f->up_at = MIN(f->up_at, w.now);
	for (unsigned i = (unsigned)below(3); i && !w.is_broken; i--) {
		steps = disk_steps(f->disk);
		disk_crash_at(f->disk, steps + 1 + below(150));
		traffic(200);
	}
	disk_crash_at(f->disk, 0);
	traffic(500);
}

static bool scene(uint64_t seed)
{
	world_begin(seed, PLANT_NOTHING, 3);
	w.is_bent = bad != BAD_NOTHING;
	w.scene = "left-behind";
	w.is_calm = true;
	left_behind();
	history_calm();
	if (!w.is_broken)
		end_well();
	history_count();
	world_end();
	return !w.is_broken;
}

static bool history(uint64_t seed)
{
	world_begin(seed, PLANT_NOTHING, founders_of(seed));
	w.is_bent = bad != BAD_NOTHING;
	tell("seed %llu, %u founders", ULL(seed), w.n_founders);
	history_run(FAULTS_MS, clients_act);
	if (!w.is_broken) {
		history_calm();
		if (below(2))
			history_do_without_one();
		if (!w.is_broken)
			end_well();
	}
	history_count();
	world_end();
	return !w.is_broken;
}

/* ---- planted mistakes ---- */

static const struct planted {
	const char *name;
	enum fault_of_state bad;
	enum check check;                /* that must find it */
	unsigned seeds;                  /* at most, until it does */
	const char *scene;               /* NULL: histories */
} planted[] = {
	{ "install", BAD_INSTALL, CHECK_COMPLETE, 200, "left-behind" },
	{ "install-rows", BAD_INSTALL, CHECK_SCAN, 20, "left-behind" },
	{ "own-clock", BAD_OWN_CLOCK, CHECK_EFFECTS, 20, NULL },
	{ "resume-late", BAD_RESUME_LATE, CHECK_COMPLETE, 20, NULL },
	{ "resume-early", BAD_RESUME_EARLY, CHECK_ORDER, 20, NULL },
	{ "twice", BAD_TWICE, CHECK_ONCE, 20, NULL },
	{ "gap", BAD_GAP, CHECK_REVISIONS, 20, NULL },
	{ "silent-410", BAD_SILENT_410, CHECK_GONE, 50, NULL },
	{ "silent-410-skips", BAD_SILENT_410, CHECK_COMPLETE, 50, NULL },
	{ "needless-410", BAD_410, CHECK_GONE, 20, NULL },
	{ "swap", BAD_SWAP, CHECK_ORDER, 20, NULL },
	{ "ends", BAD_ENDS, CHECK_END, 20, NULL },
	{ "version", BAD_VERSION, CHECK_LIST, 20, NULL },
	{ "ack", BAD_ACK, CHECK_ACKED, 50, NULL },
	{ "compaction", BAD_COMPACTION, CHECK_COMPACTION, 20, NULL },
	{ "bytes", BAD_BYTES, CHECK_SCAN, 20, NULL },
	{ "row", BAD_ROW, CHECK_SCAN, 20, "left-behind" },
	{ "stale", BAD_STALE, CHECK_READ, 50, NULL },
	{ "content", BAD_CONTENT, CHECK_CONTENT, 20, NULL },
	{ "audit", BAD_AUDIT, CHECK_AUDIT, 20, NULL },
	{ "stuck", BAD_STUCK, CHECK_ENDS, 20, NULL },
};

static bool run(const char *name, uint64_t seed)
{
	return name ? scene(seed) : history(seed);
}

/* In a process of its own, which what is wrong may end; a copy of this one could
 * not have threads under the thread sanitizer. */
static pid_t plant(const struct planted *p, uint64_t first)
{
	char *argv[] = { (char[]){ "state" }, NULL };
	char seed[24];
	pid_t pid = fork();

	if (pid)
		return pid;
	snprintf(seed, sizeof(seed), "%llu", ULL(first));
	setenv("SEED", seed, 1);
	setenv(PLANTED, p->name, 1);
	setenv(ROOT, replicas_where(), 1);
	execv("/proc/self/exe", argv);
	_exit(1);
}

/* What that process is. */
static int be_planted(const char *name, uint64_t first)
{
	const struct planted *p = planted;

	while (!str_eq(str_of(p->name), str_of(name)))
		must(++p < planted + ARRAY_LEN(planted));
	quiet = !verbose;
	bad = p->bad;
	shown = p->check;
	for (unsigned i = 0; i < p->seeds; i++) {
		found = CHECK_NONE;
		if (!run(p->scene, first + i) && found == p->check)
			return (int)MIN(i + 2, 200u);
	}
	return 0;
}

static void check_planted(const struct planted *p, uint64_t first)
{
	pid_t pid = plant(p, first);
	int status = 0;
	bool is_found;

	must(pid > 0 && waitpid(pid, &status, 0) == pid);
	/* 1 is how a sanitizer ends it. */
	is_found = WIFEXITED(status) && WEXITSTATUS(status) > 1;
	if (is_found)
		printf("planted %s: found by '%s' in seed %llu\n", p->name,
		       check_names[p->check],
		       ULL(first) + (unsigned)WEXITSTATUS(status) - 2);
	else
		printf("planted %s: %s\n", p->name, WIFSIGNALED(status) ||
		       WEXITSTATUS(status) ? "the process ended" : "NOT FOUND");
	total.histories++;
	total.failed += !is_found;
}

static void all_planted(const char *name, uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_LEN(planted); i++)
		if (!name || str_eq(str_of(name), str_of(planted[i].name)))
			check_planted(&planted[i], seed ? seed : 1);
}

/* ---- main ---- */

static uint64_t from_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	uint64_t n;

	return text && str_u64(str_of(text), &n) ? n : otherwise;
}

/* What is replayed is the same, to the last step. */
static void check_same(uint64_t seed)
{
	uint64_t trace;

	history(seed);
	trace = w.trace;
	history(seed);
	if (w.trace == trace)
		return;
	printf("SEED=%llu is played twice and is not the same\n", ULL(seed));
	total.failed++;
}

static void all(uint64_t seeds)
{
	for (uint64_t seed = 1; seed <= seeds; seed++)
		if (seed <= SAME)
			check_same(seed);
		else
			history(seed);
	for (uint64_t seed = 1; seed <= seeds / 5 + 1; seed++)
		scene(seed);
}

static void print_sums(void)
{
	printf("%llu commands (%llu refused, %llu answered as before, %llu in parts, "
	       "%llu with large content), %llu events, %llu compactions\n",
	       sum.commands, sum.refusals, sum.replays, sum.staged, sum.blobs,
	       sum.events, sum.compactions);
	printf("%llu events told, %llu watches moved, %llu gone, %llu lists, %llu of "
	       "them slow, %llu scans, %llu contents read\n", sum.watches,
	       sum.moves, sum.gone, sum.lists + sum.slow_lists, sum.slow_lists,
	       sum.scans, sum.contents);
	printf("%llu states installed, %llu with a watch on them, %llu wrecked, %llu "
	       "closed in order, %llu not opened, %llu deaths within %llu slices, "
	       "%llu watches gone while they were fed, %llu resumed within a "
	       "command, %llu bookmarks\n", sum.installed, sum.fed_over_installs, sum.wrecked,
	       sum.orderly, sum.unopened, sum.deaths, sum.slices,
	       sum.gone_while_fed, sum.resumed_within, sum.bookmarks);
}

static const char *make_root(void)
{
	static char memory[] = "/dev/shm/conflux-sim-XXXXXX";
	static char disk[300];
	const char *tmp = getenv("TMPDIR");

	if (mkdtemp(memory))
		return memory;
	snprintf(disk, sizeof(disk), "%s/conflux-sim-XXXXXX", tmp ? tmp : "/tmp");
	must(mkdtemp(disk));
	return disk;
}

int main(void)
{
	const char *name = getenv("PLANT");
	uint64_t only = from_env("SEED", 0);
	struct err err;

	verbose = from_env("VERBOSE", 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_setup(LOG_ERROR, LOG_HUMAN);
	must(kinds_load(&err) == OK);
	world_kind = &state_kind;
	if (getenv(PLANTED)) {
		replicas_root(getenv(ROOT));
		return be_planted(getenv(PLANTED), only);
	}
	replicas_root(make_root());
	if (name || !only)
		all_planted(name, only);
	else
		run(getenv("SCENE"), only);
	if (only && !name)
		printf("SEED=%llu: trace %016llx\n", ULL(only), ULL(w.trace));
	if (!only && !name)
		all(from_env("SEEDS", 200));
	replicas_clean();
	history_print();
	print_sums();
	printf("%llu passed, %llu failed\n", total.histories - total.failed,
	       total.failed);
	return total.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
