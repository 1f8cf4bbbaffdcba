/*
 * Whole clusters (world.h) whose machine is the controller's own state, through
 * the histories of history.h: writers that go through any server and send again
 * what nobody knows of, watchers that go on elsewhere, compaction, checkpoints
 * that are installed, stores that are lost.  What must hold is in replica.h.
 *
 * SEEDS=n how many (300), SEED=n replays one, VERBOSE=1 tells its story.  A seed
 * that is replayed ends with the same trace.
 *
 * Each planted mistake must be found, by the check that is there for it, within
 * a bounded number of seeds.  PLANT=name with SEED= replays one.
 */
#include "replica.h"

#include <signal.h>
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

enum fault_of_state bad;
enum check shown, found;
struct state_totals sum;

static const char *const check_names[CHECK__COUNT] = {
	[CHECK_EFFECTS] = "effects", [CHECK_REVISIONS] = "revisions",
	[CHECK_ONCE] = "once", [CHECK_ACKED] = "acknowledged",
	[CHECK_ORDER] = "order", [CHECK_COMPLETE] = "complete",
	[CHECK_END] = "end", [CHECK_LIST] = "list", [CHECK_GONE] = "gone",
	[CHECK_SCAN] = "rows", [CHECK_READ] = "read",
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
} planted[] = {
	{ "install", BAD_INSTALL, CHECK_COMPLETE, 100 },
	{ "install-rows", BAD_INSTALL, CHECK_SCAN, 50 },
	{ "own-clock", BAD_OWN_CLOCK, CHECK_EFFECTS, 20 },
	{ "resume-late", BAD_RESUME_LATE, CHECK_COMPLETE, 20 },
	{ "resume-early", BAD_RESUME_EARLY, CHECK_ORDER, 20 },
	{ "twice", BAD_TWICE, CHECK_ONCE, 20 },
	{ "gap", BAD_GAP, CHECK_REVISIONS, 20 },
	{ "silent-410", BAD_SILENT_410, CHECK_GONE, 50 },
	{ "silent-410-skips", BAD_SILENT_410, CHECK_COMPLETE, 50 },
	{ "needless-410", BAD_410, CHECK_GONE, 20 },
	{ "swap", BAD_SWAP, CHECK_ORDER, 20 },
	{ "ends", BAD_ENDS, CHECK_END, 20 },
	{ "version", BAD_VERSION, CHECK_LIST, 20 },
	{ "ack", BAD_ACK, CHECK_ACKED, 50 },
	{ "row", BAD_ROW, CHECK_SCAN, 50 },
	{ "stale", BAD_STALE, CHECK_READ, 50 },
	{ "content", BAD_CONTENT, CHECK_CONTENT, 20 },
	{ "audit", BAD_AUDIT, CHECK_AUDIT, 20 },
	{ "stuck", BAD_STUCK, CHECK_ENDS, 20 },
};

/* In a child of its own: what is wrong may end it. */
static pid_t plant(const struct planted *p, uint64_t first)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	quiet = !verbose;
	bad = p->bad;
	shown = p->check;
	for (unsigned i = 0; i < p->seeds; i++) {
		found = CHECK_NONE;
		if (!history(first + i) && found == p->check)
			_exit((int)MIN(i + 2, 200u));
	}
	_exit(0);
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
	replicas_root(make_root());
	if (name || !only)
		all_planted(name, only);
	else
		history(only);
	if (only && !name)
		printf("SEED=%llu: trace %016llx\n", ULL(only), ULL(w.trace));
	if (!only && !name)
		all(from_env("SEEDS", 300));
	replicas_clean();
	history_print();
	print_sums();
	printf("%llu passed, %llu failed\n", total.histories - total.failed,
	       total.failed);
	return total.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
