/*
 * Whole clusters (world.h) whose machine is the controller's own state, through
 * the histories of history.h: writers that go through any server and send again
 * what nobody knows of, watchers that go on elsewhere, compaction, checkpoints
 * that are installed, stores that are lost.  What must hold is in replica.h.
 *
 * SEEDS=n how many (200), SEED=n replays one, VERBOSE=1 tells its story.  A seed
 * that is replayed ends with the same trace.  A fifth as many go through a scene
 * in which checkpoints are installed under load, a quarter through one in which most
 * passes the gate; SCENE=left-behind or SCENE=gate with SEED= replays one.
 *
 * Each planted mistake must be found, by the check that is there for it, within
 * a bounded number of seeds.  PLANT=name with SEED= replays one.
 *
 * Planted mistakes and scenes are played in processes of their own, beside the
 * histories.
 */
#include "gates.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#include "base/banned.h"

#define MS 1000ull
#define FAULTS_MS 3500
#define SETTLE_MS 30000
#define SAME 3                   /* seeds that are played twice */
/* Of the environment, for a process beside this one: its mistake or its scene,
 * where its files are, and where it tells what it has counted. */
#define PLANTED "CONFLUX_SIM_PLANTED"
#define SCENES "CONFLUX_SIM_SCENES"
#define ROOT "CONFLUX_SIM_ROOT"
#define COUNTED "CONFLUX_SIM_COUNTED"

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
	[CHECK_ENDS] = "liveness", [CHECK_GATE] = "gate", [CHECK_WINDOW] = "window",
	[CHECK_PROPOSAL] = "proposal", [CHECK_VOTE] = "vote", [CHECK_LOCK] = "lock",
	[CHECK_OUTBOX] = "outbox", [CHECK_WHOLE] = "whole",
	[CHECK_COHORT] = "cohort", [CHECK_RELEASE] = "release",
	[CHECK_HOLD] = "hold", [CHECK_VERSION] = "version",
	[CHECK_NAMED] = "named", [CHECK_VERDICT] = "verdict",
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

/*
 * What waits for approval is voted on, goes live, and is turned down, while who leads
 * goes again and again, now and then without what was not durable.
 */
static void at_the_gate(void)
{
	if (!claim(CHECK_ENDS, world_elected(5000, NULL), "nobody leads"))
		return;
	gates_want();
	traffic(1200 + below(600));
	for (unsigned i = 2 + (unsigned)below(2); i && !w.is_broken; i--) {
		struct server *leader = world_leader();

		if (leader && leader->core)
			server_crash(leader, below(2), (50 + below(300)) * MS);
		traffic(500 + below(300));
		/* What is kept for a day goes. */
		if (below(3) == 0)
			replicas_leap(25 * 3600000ull);
	}
}

static bool scene(const char *name, uint64_t seed)
{
	bool is_gate = str_eq(str_of(name), STR("gate"));

	world_begin(seed, PLANT_NOTHING, 3);
	w.is_bent = bad != BAD_NOTHING;
	w.scene = is_gate ? "gate" : "left-behind";
	w.is_calm = true;
	if (is_gate)
		at_the_gate();
	else
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
	/* The seed in which it was found last, where the first ones do not: it is
	 * played before them.  Where it finds it no more that costs time alone. */
	unsigned hint;
} planted[] = {
	{ "install", BAD_INSTALL, CHECK_COMPLETE, 200, "left-behind", 132 },
	{ "install-rows", BAD_INSTALL, CHECK_SCAN, 20, "left-behind", 0 },
	{ "own-clock", BAD_OWN_CLOCK, CHECK_EFFECTS, 20, NULL, 0 },
	{ "resume-late", BAD_RESUME_LATE, CHECK_COMPLETE, 20, NULL, 0 },
	{ "resume-early", BAD_RESUME_EARLY, CHECK_ORDER, 20, NULL, 0 },
	{ "twice", BAD_TWICE, CHECK_ONCE, 20, NULL, 0 },
	{ "gap", BAD_GAP, CHECK_REVISIONS, 20, NULL, 0 },
	{ "silent-410", BAD_SILENT_410, CHECK_GONE, 50, NULL, 0 },
	{ "silent-410-skips", BAD_SILENT_410, CHECK_COMPLETE, 50, NULL, 0 },
	{ "needless-410", BAD_410, CHECK_GONE, 20, NULL, 0 },
	{ "swap", BAD_SWAP, CHECK_ORDER, 20, NULL, 0 },
	{ "ends", BAD_ENDS, CHECK_END, 20, NULL, 0 },
	{ "version", BAD_VERSION, CHECK_LIST, 20, NULL, 0 },
	{ "ack", BAD_ACK, CHECK_ACKED, 50, NULL, 0 },
	{ "compaction", BAD_COMPACTION, CHECK_COMPACTION, 20, NULL, 0 },
	{ "bytes", BAD_BYTES, CHECK_SCAN, 20, NULL, 0 },
	{ "row", BAD_ROW, CHECK_SCAN, 20, "left-behind", 0 },
	{ "stale", BAD_STALE, CHECK_READ, 50, NULL, 0 },
	{ "content", BAD_CONTENT, CHECK_CONTENT, 20, NULL, 0 },
	{ "audit", BAD_AUDIT, CHECK_AUDIT, 20, NULL, 0 },
	{ "stuck", BAD_STUCK, CHECK_ENDS, 20, NULL, 0 },
	{ "ungated", BAD_UNGATED, CHECK_GATE, 20, "gate", 0 },
	{ "voter", BAD_VOTER, CHECK_VOTE, 20, "gate", 0 },
	{ "window", BAD_WINDOW, CHECK_WINDOW, 20, "gate", 0 },
	{ "time", BAD_TIME, CHECK_PROPOSAL, 60, "gate", 25 },
	{ "other", BAD_OTHER, CHECK_GATE, 40, "gate", 7 },
	{ "again", BAD_AGAIN, CHECK_PROPOSAL, 20, "gate", 0 },
	{ "lock", BAD_LOCK, CHECK_LOCK, 20, "gate", 0 },
	{ "outbox", BAD_OUTBOX, CHECK_OUTBOX, 20, "gate", 0 },
	{ "pause", BAD_PAUSE, CHECK_COHORT, 100, "gate", 18 },
	{ "abort", BAD_ABORT, CHECK_HOLD, 100, "gate", 46 },
	{ "salt", BAD_SALT, CHECK_COHORT, 60, "gate", 13 },
	{ "half", BAD_HALF, CHECK_WHOLE, 40, "gate", 0 },
	{ "back", BAD_BACK, CHECK_RELEASE, 40, "gate", 0 },
	{ "unlocked", BAD_LOCK, CHECK_NAMED, 100, "gate", 46 },
	{ "verdict", BAD_VERDICT, CHECK_VERDICT, 60, "gate", 0 },
	{ "silence", BAD_SILENCE, CHECK_VERDICT, 60, "gate", 0 },
	{ "told", BAD_TOLD, CHECK_OUTBOX, 60, "gate", 0 },
	{ "upgrade", BAD_UPGRADE, CHECK_VERSION, 60, NULL, 0 },
	{ "full", BAD_FULL, CHECK_EFFECTS, 20, NULL, 0 },
};

static bool run(const char *name, uint64_t seed)
{
	return name ? scene(name, seed) : history(seed);
}

/* Whether seed 'seed' shows it. */
static bool shows(const struct planted *p, uint64_t seed)
{
	found = CHECK_NONE;
	return !run(p->scene, seed) && found == p->check;
}

/* What the exit of such a process says: 1 is how a sanitizer ends it. */
#define EXIT_NOT_FOUND 0
#define EXIT_FOUND 2                     /* in the first of its seeds */
#define EXIT_HINTED 255
#define PLANT_SEEDS_MAX 200u

/* What that process is; 'only' 0: the hint, then from 1 on. */
static int be_planted(const char *name, uint64_t only)
{
	const struct planted *p = planted;

	while (!str_eq(str_of(p->name), str_of(name)))
		must(++p < planted + ARRAY_LEN(planted));
	must(p->seeds <= PLANT_SEEDS_MAX);
	quiet = !verbose;
	bad = p->bad;
	shown = p->check;
	if (!only && p->hint && shows(p, p->hint))
		return EXIT_HINTED;
	for (unsigned i = 0; i < p->seeds; i++)
		if (shows(p, (only ? only : 1) + i))
			return EXIT_FOUND + (int)i;
	return EXIT_NOT_FOUND;
}

static void tell_planted(const struct planted *p, uint64_t first, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	bool is_found = code >= EXIT_FOUND;

	if (is_found)
		printf("planted %s: found by '%s' in seed %llu\n", p->name,
		       check_names[p->check],
		       code == EXIT_HINTED ?
			       ULL(p->hint) :
			       ULL(first ? first : 1) +
				       (unsigned)(code - EXIT_FOUND));
	else
		printf("planted %s: %s\n", p->name,
		       code ? "the process ended" : "NOT FOUND");
	total.histories++;
	total.failed += !is_found;
}

/* ---- what is counted ---- */

/* Numbers, one type alone. */
struct counted {
	struct totals total;
	struct state_totals sum;
	struct gate_totals gates;
	struct roll_totals rolls;
};
#define N_COUNTED (sizeof(struct counted) / sizeof(unsigned long long))

static struct counted counted_now(void)
{
	return (struct counted){ total, sum, gate_sum, roll_sum };
}

static void counted_add(const struct counted *more)
{
	struct counted all = counted_now();
	unsigned long long add[N_COUNTED], to[N_COUNTED];

	memcpy(add, more, sizeof(add));
	memcpy(to, &all, sizeof(to));
	for (size_t i = 0; i < N_COUNTED; i++)
		to[i] += add[i];
	memcpy(&all, to, sizeof(all));
	total = all.total;
	sum = all.sum;
	gate_sum = all.gates;
	roll_sum = all.rolls;
}

/* ---- beside the histories ---- */

/*
 * What is wrong may end a process; and two do in half the time what one does.  Each is
 * this program anew: a copy of this process could not have threads under the thread
 * sanitizer.
 */
struct job {
	const struct planted *planted;   /* NULL: scenes */
	const char *scene;
	uint64_t seeds;                  /* of scenes; else the first, or 0 */
	char root[64];
	pid_t pid;                       /* 0: it does not run */
	int counted;                     /* where it tells */
};

#define JOBS_MAX (ARRAY_LEN(planted) + 2)
static struct job jobs[JOBS_MAX];
static size_t n_jobs, n_begun, n_ended;

static void job_add(const struct planted *p, const char *scene_name,
		    uint64_t seeds)
{
	must(n_jobs < JOBS_MAX);
	jobs[n_jobs++] = (struct job){ p, scene_name, seeds, "", 0, -1 };
}

static void set_number(const char *name, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", ULL(n));
	setenv(name, text, 1);
}

static void job_be(const struct job *j, int counted)
{
	char *argv[] = { (char[]){ "state" }, NULL };

	set_number("SEED", j->planted ? j->seeds : 0);
	set_number("SEEDS", j->planted ? 0 : j->seeds);
	set_number(COUNTED, (uint64_t)counted);
	setenv(j->planted ? PLANTED : SCENES,
	       j->planted ? j->planted->name : j->scene, 1);
	setenv(ROOT, j->root, 1);
	execv("/proc/self/exe", argv);
	_exit(1);
}

static void job_begin(struct job *j)
{
	int ends[2];

	snprintf(j->root, sizeof(j->root), "%s/%zu", replicas_where(),
		 (size_t)(j - jobs) + 100);
	must(mkdir(j->root, 0700) == 0 && pipe(ends) == 0);
	/* Whoever is begun later shall not hold it. */
	must(fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0);
	fflush(stdout);
	j->pid = fork();
	must(j->pid >= 0);
	if (j->pid == 0)
		job_be(j, ends[1]);
	close(ends[1]);
	j->counted = ends[0];
}

/* A scene that did not tell what it counted has ended before its time. */
static void take_scenes(const struct job *j, int status)
{
	struct counted its;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
	    read(j->counted, &its, sizeof(its)) == (ssize_t)sizeof(its)) {
		counted_add(&its);
		return;
	}
	printf("scenes %s: the process ended\n", j->scene);
	total.histories++;
	total.failed++;
}

static void job_end(struct job *j, int status)
{
	if (j->planted)
		tell_planted(j->planted, j->seeds, status);
	else
		take_scenes(j, status);
	close(j->counted);
	replicas_clean(j->root);
	j->pid = 0;
	n_ended++;
}

/* Up to 'most' at once; with 'waits' all of them come to their end. */
static void jobs_go_on(size_t most, bool waits)
{
	int status;

	for (;;) {
		pid_t pid;

		while (n_begun < n_jobs && n_begun - n_ended < most)
			job_begin(&jobs[n_begun++]);
		if (n_begun == n_ended)
			return;
		pid = waitpid(-1, &status, waits ? 0 : WNOHANG);
		if (pid == 0)
			return;
		must(pid > 0);
		for (size_t i = 0; i < n_begun; i++)
			if (jobs[i].pid == pid)
				job_end(&jobs[i], status);
	}
}

static void all_planted(const char *name, uint64_t first)
{
	for (size_t i = 0; i < ARRAY_LEN(planted); i++)
		if (!name || str_eq(str_of(name), str_of(planted[i].name)))
			job_add(&planted[i], NULL, first);
}

/* What that process is. */
static int be_scenes(const char *name, uint64_t seeds, int to)
{
	struct counted its;

	for (uint64_t seed = 1; seed <= seeds; seed++)
		scene(name, seed);
	its = counted_now();
	return write(to, &its, sizeof(its)) == (ssize_t)sizeof(its) ?
		       EXIT_SUCCESS : EXIT_FAILURE;
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
	job_add(NULL, "gate", seeds / 4 + 1);
	job_add(NULL, "left-behind", seeds / 5 + 1);
	all_planted(NULL, 0);
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		jobs_go_on(1, false);
		if (seed <= SAME)
			check_same(seed);
		else
			history(seed);
	}
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

static void print_gate(void)
{
	const struct gate_totals *g = &gate_sum;

	printf("%llu disks of states that got full, %llu batches without room, %llu "
	       "programs upgraded, %llu stopped by a version\n", sum.full, sum.no_room,
	       sum.upgraded, sum.stopped);
	printf("%llu proposals (%llu behind broken glass, %llu approved, %llu executed, "
	       "%llu failed, %llu rejected, %llu cancelled, %llu expired, %llu "
	       "superseded, %llu stale), %llu votes (%llu tried on an own change), %llu frozen, "
	       "%llu locked, %llu plans, %llu events for webhooks, %llu changes "
	       "asked of policies, %llu ways back to what was new, %llu put off behind "
	       "a release, %llu configurations along with proposals, %llu versions "
	       "removed, %llu with a time of their own, %llu events of releases\n",
	       g->proposed, g->glass, g->approved, g->executed, g->failed,
	       g->rejected, g->cancelled, g->expired, g->superseded, g->stale,
	       g->votes, g->own_votes, g->frozen, g->locked, g->plans, g->notices,
	       g->gated, g->brought_back, g->put_off, g->along, g->dropped,
	       g->scheduled, g->told_releases);
	printf("%llu releases in steps (%llu of several configurations), %llu steps, "
	       "%llu completed, %llu ended before, %llu switched back, %llu left "
	       "with a part, %llu contents held (%llu beside others, %llu compared, "
	       "%llu lifted along), %llu brought again, %llu let go on and %llu turned "
	       "back by what clients say\n", roll_sum.begun, roll_sum.of_many,
	       roll_sum.steps, roll_sum.completed, roll_sum.ended,
	       roll_sum.switched_back, roll_sum.left, roll_sum.held, roll_sum.held_beside,
	       roll_sum.holds_judged, roll_sum.lifted_along, roll_sum.held_off,
	       roll_sum.judged_on, roll_sum.judged_back);
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

/* As which this program was begun by itself. */
static int be_job(uint64_t only)
{
	replicas_root(getenv(ROOT));
	if (getenv(PLANTED))
		return be_planted(getenv(PLANTED), only);
	return be_scenes(getenv(SCENES), from_env("SEEDS", 0),
			 (int)from_env(COUNTED, 0));
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
	if (getenv(ROOT))
		return be_job(only);
	replicas_root(make_root());
	if (name)
		all_planted(name, only);
	else if (only)
		run(getenv("SCENE"), only);
	else
		all(from_env("SEEDS", 200));
	jobs_go_on(2, true);
	if (only && !name)
		printf("SEED=%llu: trace %016llx\n", ULL(only), ULL(w.trace));
	replicas_clean(replicas_where());
	history_print();
	print_sums();
	print_gate();
	printf("%llu passed, %llu failed\n", total.histories - total.failed,
	       total.failed);
	return total.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
