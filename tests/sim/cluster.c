/*
 * Whole clusters on simulated time, disk and network (world.h), through
 * histories of faults that follow from a seed: crashes at a step of the disk,
 * torn and lost writes, loss of the store, errors of the disk, one-way
 * partitions, delay, streams that break, pauses, clock jumps, changes of the
 * membership and of the leader.  Then the faults stop, and within bounded time
 * somebody leads, commands go through, and every member has applied the same.
 *
 * SEEDS=n how many (2,000), SEED=n replays one, VERBOSE=1 tells its story.
 * Scenes bring about what is rare in histories; SCENE=name with SEED= replays
 * one.
 *
 * Each planted mistake (a guard of node/guard.h switched off, or the host's:
 * world.h) must be found within a bounded number of seeds, by a law that is there
 * for it; what else they show does not count.  Each seed is played in a child
 * process, because the engine may end it.  PLANT=name with SEED= replays one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "history.h"

#include "base/banned.h"

#define MS 1000ull
#define FAULTS_MS 3500
#define CALM_MS 20000

/* ---- histories ---- */

/*
 * Now and then a server's log is damaged while it is down.  It does not start, and
 * operators do what its refusal says: it is removed, wiped, added, and joins with
 * nothing.  One at a time, and only where the others can do without it.
 */
static struct {
	struct server *server;           /* NULL: none is */
	bool is_removed;
	uint64_t next;                   /* step */
} repair;
/* Longer than a change of the membership waits. */
#define CHANGE_US (1000 * MS)

/* Whether it is a member where somebody leads; 'settled': nothing is under way. */
static bool is_member(const struct server *leader, const struct server *s, bool *settled)
{
	struct node_peer peers[SERVERS];
	size_t n = node_core_peers(leader->core, peers, SERVERS);
	bool is = false;

	for (size_t i = 0; i < n; i++)
		is |= peers[i].id == s->id;
	*settled = !server_view(leader).is_changing;
	return is;
}

/* Nobody is about to change who votes. */
static bool is_settled(void)
{
	for (unsigned i = 0; i < SERVERS; i++)
		if (!w.servers[i].core || server_view(&w.servers[i]).is_changing)
			return false;
	return true;
}

static void damage(void)
{
	struct server *s = any_server(), *leader = world_leader();
	bool settled;

	if (!leader || !is_settled() || !is_member(leader, s, &settled) ||
	    !history_can_do_without(s) || !server_rot(s))
		return;
	repair.server = s;
	repair.is_removed = false;
}

static void go_on_repairing(void)
{
	struct server *s = repair.server, *leader = world_leader();
	bool settled, is;

	if (!s || !s->is_gone || !leader || w.now < repair.next)
		return;
	repair.next = w.now + 100 * MS;
	is = is_member(leader, s, &settled);
	if (!repair.is_removed && is) {
		server_change(leader, ENGINE_REMOVE, s, true);
	} else if (!repair.is_removed && settled) {
		server_wipe(s);
		repair.is_removed = true;
	} else if (!is) {
		server_change(leader, ENGINE_ADD, s, false);
	} else if (settled) {
		s->is_gone = false;
		s->up_at = w.now;
		repair.server = NULL;
		repair.next = w.now + below(4000 * MS);
		history_changes = true;
	}
}

/* Who votes is to be decided when it begins. */
static void repair_or_damage(void)
{
	if (repair.server || w.now < repair.next) {
		go_on_repairing();
		return;
	}
	history_changes = false;
	if (w.now >= repair.next + CHANGE_US)
		damage();
}

static void end_repairs(void)
{
	uint64_t until = w.now + CALM_MS * MS;

	while (!w.is_broken && repair.server && w.now < until) {
		world_step();
		go_on_repairing();
	}
	keeps(LAW_LIVENESS, !repair.server, "a server whose log is damaged is not "
	      "replaced");
}

static void act(void)
{
	repair_or_damage();
	server_propose(some_leader(), 1 + (unsigned)below(4));
	if (below(2))
		server_read(below(2) ? some_leader() : any_server());
}

/* One voter that others join now and then, too. */
static unsigned founders_of(uint64_t seed)
{
	return seed % 8 == 0 ? 1 : seed % 3 == 0 ? 5 : 3;
}

static bool history(uint64_t seed, enum plant plant)
{
	world_begin(seed, plant, founders_of(seed));
	tell("seed %llu, %u founders", ULL(seed), w.n_founders);
	memset(&repair, 0, sizeof(repair));
	repair.next = w.now + below(8000 * MS);
	history_changes = true;
	history_run(FAULTS_MS, act);
	if (!w.is_broken) {
		history_calm();
		end_repairs();
	}
	if (!w.is_broken) {
		if (below(2))
			history_do_without_one();
		if (!w.is_broken)
			history_end();
	}
	history_count();
	world_end();
	return !w.is_broken;
}

/* A leader that nobody hears is given more than may be open. */
static void flood(void)
{
	struct server *leader;

	w.inflight = 10000;
	leader = world_elected(5000, NULL);
	if (!leader)
		return;
	world_pass(20);
	server_cut_off(leader, true, true);
	for (unsigned i = 0; i < 90 && !w.is_broken; i++)
		server_propose(leader, 100);
}

/* Until a server beside 'a' and 'b' takes 'index' for committed. */
static void wait_for_word(const struct server *a, const struct server *b,
			  uint64_t index, uint64_t ms)
{
	uint64_t until = w.now + ms * MS;
	bool is_told = false;

	while (!w.is_broken && !is_told && w.now < until) {
		world_step();
		for (unsigned i = 0; i < SERVERS; i++)
			is_told |= &w.servers[i] != a && &w.servers[i] != b &&
				   server_view(&w.servers[i]).commit >= index;
	}
}

/* What it has sent does not arrive, either. */
static void silence(struct server *s)
{
	server_cut_off(s, true, true);
	for (unsigned i = 0; i < SERVERS; i++)
		link_reset(&w.links[s->id - 1][i]);
}

/*
 * Figure 8 of the Raft paper: two servers have an entry of an old term, another
 * has one of a later term in its place.  When one of the two leads again and has
 * brought its entry to a majority, that other may still win and replace it; so
 * in the moment in which the first of the others takes the entry for committed,
 * the two are not heard any more.  That moment is waited for, not guessed: it
 * depends on what leaders say, and when.
 */
static void figure_eight(void)
{
	struct server *first = world_elected(5000, NULL), *later, *pair;
	struct server *again;
	uint64_t old;

	if (!first)
		return;
	world_pass(200);
	pair = &w.servers[first->id % SERVERS];
	for (unsigned i = 0; i < SERVERS; i++)
		if (&w.servers[i] != first && &w.servers[i] != pair)
			server_cut_off(&w.servers[i], true, true);
	server_propose(first, 2);
	world_pass(60);
	old = server_view(first).last;
	world_heal();
	server_cut_off(first, true, true);
	server_cut_off(pair, true, true);
	/* What the others' leader appends reaches nobody. */
	later = world_elected(3000, first);
	if (!later || later == pair)
		return;
	world_heal();
	silence(later);
	again = world_elected(3000, later);
	if (again)
		wait_for_word(first, pair, old, 500);
	world_heal();
	silence(first);
	silence(pair);
	world_pass(2000);
	world_heal();
}

static uint64_t term_of(const struct server *s)
{
	return server_view(s).term;
}

/* Whoever goes for a vote, of those whose logs are short, is not heard. */
static struct server *raise_terms(const struct server *a, const struct server *b,
				  uint64_t to)
{
	uint64_t until = w.now + 15000 * MS, terms[SERVERS];

	for (unsigned i = 0; i < SERVERS; i++)
		terms[i] = term_of(&w.servers[i]);
	while (!w.is_broken && w.now < until) {
		world_step();
		for (unsigned i = 0; i < SERVERS; i++) {
			struct server *s = &w.servers[i];

			if (s == a || s == b || term_of(s) <= terms[i])
				continue;
			terms[i] = term_of(s);
			for (unsigned k = 0; k < SERVERS; k++)
				link_reset(&w.links[i][k]);
			if (terms[i] >= to)
				return s;
		}
	}
	return NULL;
}

/*
 * Of five, two have what nobody else has; the terms of others go on without
 * them.  Then one of the two and two others are left, and only that one can
 * lead.
 */
static void old_term(void)
{
	struct server *a = world_elected(5000, NULL), *b, *c;

	if (!a)
		return;
	world_pass(200);
	b = &w.servers[a->id % SERVERS];
	for (unsigned i = 0; i < SERVERS; i++)
		if (&w.servers[i] != a && &w.servers[i] != b)
			server_cut_off(&w.servers[i], true, true);
	server_propose(a, 2);
	world_pass(60);
	server_crash(a, false, 1000 * CALM_MS * MS);
	world_heal();
	server_cut_off(b, true, true);
	c = raise_terms(a, b, term_of(b) + 2);
	if (!c)
		return;
	/* Who goes for a vote would tell its term. */
	for (unsigned i = 0, left = 1; i < SERVERS; i++) {
		struct server *s = &w.servers[i];
		bool stays = s == c ||
			     (s != a && s != b && left++ == 1);

		if (s != b)
			server_crash(s, false, stays ? 1 * MS :
				     1000 * CALM_MS * MS);
	}
	world_heal();
	keeps(LAW_LIVENESS, world_elected(CALM_MS, NULL), "nobody leads of three of "
	      "five");
	for (unsigned i = 0; i < SERVERS; i++)
		w.servers[i].up_at = w.now;
}

/* A follower whose answers do not arrive cuts its log, its leader does not; then
 * the leader hears that what it sends does not fit. */
static void deaf_leader(void)
{
	struct server *a = world_elected(5000, NULL), *b, *f;

	if (!a)
		return;
	b = &w.servers[a->id % w.n_founders];
	f = &w.servers[b->id % w.n_founders];
	b->takes_none = true;
	world_pass(200);
	server_propose(a, 4);
	world_pass(200);
	server_cut_off(f, false, true);
	server_transfer(a, b->id);
	if (world_elected(1000, a) != b)
		return;
	/* Nobody hears it ask for a turn: it goes without at last.  The log is cut
	 * at the second of two checkpoints. */
	for (unsigned k = 0; k < 2; k++) {
		for (unsigned i = 0; i < 40; i++) {
			server_propose(b, 4);
			world_pass(30);
		}
		world_pass(31000);
	}
	world_heal();
	for (unsigned i = 0; i < 10; i++) {
		server_propose(b, 1);
		world_pass(50);
	}
	b->takes_none = false;
	if (b->frozen)
		b->worker_due = w.now;
}

/* Until the leader has taken another one, and cut its log. */
static bool take_checkpoint(struct server *leader)
{
	uint64_t before = server_view(leader).checkpoint_index;
	uint64_t until = w.now + 120000 * MS;

	while (!w.is_broken && server_view(leader).checkpoint_index == before &&
	       w.now < until) {
		server_propose(leader, 4);
		world_pass(500);
	}
	return w.now < until && world_leader() == leader;
}

/*
 * A follower is sent a checkpoint and installs it, and its answer is lost with its
 * stream; in that moment the leader has taken a newer one, which is what its
 * heartbeats name: the refusals of the follower are none of what it was asked for
 * (guard I).
 */
static void lost_answer(void)
{
	struct server *a = world_elected(5000, NULL), *f;
	unsigned long long installs;
	uint64_t until;

	if (!a)
		return;
	f = &w.servers[a->id % w.n_founders];
	world_pass(200);
	server_cut_off(f, true, true);
	if (!take_checkpoint(a) || !take_checkpoint(a))
		return;
	a->takes_none = true;
	until = w.now + 120000 * MS;
	while (!w.is_broken && !a->frozen && w.now < until) {
		server_propose(a, 4);
		world_pass(500);
	}
	installs = w.n_installs;
	world_heal();
	while (!w.is_broken && w.n_installs == installs && w.now < until)
		world_step();
	link_reset(&w.links[f->id - 1][a->id - 1]);
	a->takes_none = false;
	a->worker_due = w.now;
	world_pass(2000);
	keeps(LAW_LIVENESS, world_leader() != a || f->at.index == a->at.index,
	      "server %llu stands at %llu, its leader at %llu", ULL(f->id),
	      ULL(f->at.index), ULL(a->at.index));
}

/* Time stands still for 's'. */
static void pass_without(struct server *s, uint64_t ms)
{
	uint64_t from = w.now;

	world_pass(ms);
	s->clock_us -= (int64_t)(w.now - from);
}

/* A leader that nobody hears, and whose clock is slow, is asked to be read while
 * another leads. */
static void stale_leader(void)
{
	struct server *a = world_elected(5000, NULL), *b;

	if (!a)
		return;
	world_pass(100);
	server_cut_off(a, true, true);
	for (unsigned i = 0; i < 1500 && world_leader() == a; i++)
		pass_without(a, 1);
	b = world_leader();
	for (unsigned i = 0; i < 30 && b && b != a && !w.is_broken; i++) {
		server_propose(b, 1);
		pass_without(a, 2);
		server_read(a);
	}
	world_heal();
}

/* The only voter gives another a vote, and is cut off before that one hears of
 * it: now it needs a vote of who is a learner by its own membership. */
static void growth(void)
{
	struct server *a = world_elected(5000, NULL), *b;

	if (!a)
		return;
	b = &w.servers[a->id % SERVERS];
	server_change(a, ENGINE_ADD, b, false);
	world_pass(1000);
	server_cut_off(a, true, true);
	server_change(a, ENGINE_PROMOTE, b, false);
	world_pass(3000);
	world_heal();
	keeps(LAW_LIVENESS, world_elected(CALM_MS, NULL), "nobody leads of one that "
	      "grew to two");
}

/* One of two voters is demoted and stores that before its leader does, which loses
 * power: what it has nobody else has, and who lacks it needs its vote (guard J). */
static void demotion(void)
{
	struct server *a = world_elected(5000, NULL), *b;
	uint64_t index, until;

	if (!a)
		return;
	world_pass(200);
	b = &w.servers[a->id % w.n_founders];
	a->is_slow = true;
	index = server_view(a).last + 1;
	until = w.now + 1000 * MS;
	server_change(a, ENGINE_DEMOTE, b, true);
	while (!w.is_broken && server_view(b).durable < index && w.now < until)
		world_step();
	if (server_view(a).durable < index)
		server_crash(a, true, 1 * MS);
	a->is_slow = false;
	keeps(LAW_LIVENESS, world_elected(CALM_MS, NULL), "nobody leads where one of two "
	      "was demoted");
}

static unsigned who_know(uint64_t index)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w.n_founders; i++)
		n += server_view(&w.servers[i]).commit >= index;
	return n;
}

/* Single commands, with nothing behind them: followers hear at once that each is
 * committed, and not with the next heartbeat.  Often one of the two is late,
 * because a disk or the network is; without that word both always are. */
static void one_by_one(void)
{
	struct server *a = world_elected(5000, NULL);
	unsigned at_once = 0, rounds = 60;

	if (!a)
		return;
	world_pass(200);
	for (unsigned i = 0; i < rounds && !w.is_broken; i++) {
		uint64_t index = server_view(a).last + 1;

		server_propose(a, 1);
		while (!w.is_broken && server_view(a).commit < index)
			world_step();
		world_pass(12);
		at_once += who_know(index) == w.n_founders;
		world_pass(below(80));
	}
	keeps(LAW_HEARD, at_once > rounds / 10, "of %u commands the followers heard only "
	      "of %u at once", rounds, at_once);
}

/* The servers lie so far apart that a heartbeat is due before the last is answered:
 * reads take their round trips, at the leader and elsewhere, and no longer. */
static void far_apart(void)
{
	struct server *a;
	unsigned long long reads;

	w.distance_us = 60 * MS;
	a = world_elected(10000, NULL);
	for (unsigned i = 0; i < 20 && a && !w.is_broken; i++) {
		world_pass(2000);
		a = world_elected(10000, NULL);
		if (!a)
			break;
		reads = w.n_reads;
		server_read(i % 2 ? a : &w.servers[a->id % w.n_founders]);
		world_pass(800);
		keeps(LAW_FAR, w.n_reads == reads + 1 || world_leader() != a,
		      "a read is not confirmed over 60 ms");
	}
}

static const struct scene {
	const char *name;
	void (*play)(void);
	unsigned founders;
} scenes[] = {
	{ "old-term", old_term, SERVERS },
	{ "deaf-leader", deaf_leader, 3 },
	{ "figure-eight", figure_eight, SERVERS },
	{ "stale-leader", stale_leader, 3 },
	{ "flood", flood, 3 },
	{ "growth", growth, 1 },
	{ "demotion", demotion, 2 },
	{ "lost-answer", lost_answer, 3 },
	{ "one-by-one", one_by_one, 3 },
	{ "far-apart", far_apart, 3 },
};

static bool scene(const char *name, uint64_t seed, enum plant plant)
{
	const struct scene *s = scenes;

	while (!str_eq(str_of(s->name), str_of(name)))
		must(++s < scenes + ARRAY_LEN(scenes));
	world_begin(seed, plant, s->founders);
	w.is_calm = true;
	w.scene = s->name;
	s->play();
	if (!w.is_broken && s->play != flood)
		history_end();
	history_count();
	world_end();
	return !w.is_broken;
}

/* ---- planted mistakes ---- */

#define BY(law) BIT(LAW_##law)

static const struct planted {
	const char *name, *failpoint;
	enum plant plant;
	const char *scene;               /* NULL: histories */
	unsigned seeds;                  /* at most, until it is found */
	unsigned by;                     /* the laws that must find it: any of them */
	/* NULL, or how a process may end by it that finds it too: this is among what
	 * it says of that, or "SIGSEGV". */
	const char *ends;
} planted[] = {
	{ "guard-a", "guard.a=error", 0, "old-term", 100, BY(LIVENESS), NULL },
	{ "guard-b", "guard.b=error", 0, NULL, 400, BY(MEMBERS), NULL },
	{ "c-self", "guard.c_self=error", 0, NULL, 400, BY(LIVENESS), NULL },
	{ "guard-d", "guard.d=error", 0, "deaf-leader", 100, 0,
	  "take_entries: must(u->first_index > source->append.prev_index" },
	{ "guard-e", "guard.e=error", 0, "flood", 1, BY(BOUND), NULL },
	{ "guard-f", "guard.f=error", 0, NULL, 400, BY(LEADERS), NULL },
	{ "guard-g", "guard.g=error", 0, "growth", 100, BY(LIVENESS), NULL },
	{ "guard-h", "guard.h=error", 0, NULL, 400, BY(MEMBERS), NULL },
	{ "guard-i", "guard.i=error", 0, "lost-answer", 20, BY(LIVENESS), NULL },
	{ "guard-j", "guard.j=error", 0, "demotion", 20, BY(LIVENESS), NULL },
	{ "late", NULL, PLANT_LATE, NULL, 400, BY(BACKWARD), NULL },
	{ "twice", NULL, PLANT_TWICE, NULL, 400, BY(BACKWARD), NULL },
	{ "ack-early", NULL, PLANT_ACK_EARLY, NULL, 400, BY(EFFECTS) | BY(START), NULL },
	{ "ack-alone", NULL, PLANT_ACK_ALONE, NULL, 400, BY(ACKED), NULL },
	{ "vote-lost", NULL, PLANT_VOTE_LOST, NULL, 1500, BY(LEADERS), NULL },
	{ "vote-alone", "vote.alone=error", 0, NULL, 1500, BY(TERM), NULL },
	{ "commit-old", NULL, PLANT_COMMIT_OLD, "figure-eight", 50, BY(EFFECTS), NULL },
	{ "cut-newer", NULL, PLANT_CUT_NEWER, NULL, 400, BY(START), NULL },
	{ "cut-early", NULL, PLANT_CUT_EARLY, NULL, 400, BY(START), NULL },
	{ "unsynced", NULL, PLANT_UNSYNCED, NULL, 400, BY(START), NULL },
	{ "agree", NULL, PLANT_AGREE, "stale-leader", 400, BY(READ), NULL },
	{ "refuse", NULL, PLANT_REFUSE, NULL, 400, BY(REFUSED), NULL },
	{ "garbled", NULL, PLANT_GARBLED, NULL, 20, BY(LOG), NULL },
	{ "swap", NULL, PLANT_SWAP, NULL, 20, BY(ORDER), NULL },
	{ "again", NULL, PLANT_AGAIN, NULL, 20, BY(ONCE), NULL },
	{ "digest", NULL, PLANT_DIGEST, NULL, 20, BY(ALARM), NULL },
	{ "uncompared", NULL, PLANT_UNCOMPARED, NULL, 20, BY(COMPARED), NULL },
	{ "unapplied", NULL, PLANT_UNAPPLIED, NULL, 20, BY(APPLIED), NULL },
	{ "untold", NULL, PLANT_UNTOLD, "one-by-one", 5, BY(HEARD), NULL },
	{ "unseen", NULL, PLANT_UNSEEN, NULL, 400, BY(ROT), NULL },
	{ "rounds", NULL, PLANT_ROUNDS, "far-apart", 5, BY(FAR), NULL },
};

static void switch_off(const char *failpoint)
{
#ifdef CONFLUX_FAILPOINTS
	struct err err;

	must(!failpoint || failpoint_set(failpoint, &err) == OK);
#else
	(void)failpoint;
#endif
}

static bool run(const char *name, uint64_t seed, enum plant plant)
{
	return name ? scene(name, seed, plant) : history(seed, plant);
}

/* Exits of a child: 1 is how a sanitizer ends it, which is another fault. */
#define EXIT_WELL 0
#define EXIT_BROKEN 2                    /* and the law that was */

/* What it says of its end goes to 'said'. */
static void be_planted(const struct planted *p, uint64_t seed, FILE *said)
{
	if (!verbose) {
		must(dup2(fileno(said), STDERR_FILENO) == STDERR_FILENO);
		quiet = true;
	}
	switch_off(p->failpoint);
	/* The engine may end by it, and a sanitizer would make it its own. */
	signal(SIGSEGV, SIG_DFL);
	if (run(p->scene, seed, p->plant))
		_exit(EXIT_WELL);
	_exit(EXIT_BROKEN + (int)w.broken);
}

/* In a child of its own: its status. */
static int play_planted(const struct planted *p, uint64_t seed, FILE *said)
{
	int status = 0;
	pid_t pid;

	rewind(said);
	must(ftruncate(fileno(said), 0) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		be_planted(p, seed, said);
	must(pid > 0 && waitpid(pid, &status, 0) == pid);
	return status;
}

static bool says(FILE *said, const char *text)
{
	static char all[4096];
	size_t n;

	rewind(said);
	n = fread(all, 1, sizeof(all) - 1, said);
	all[n] = '\0';
	return strstr(all, text);
}

/* By what it is found; NULL: it is not. */
static const char *found_by(const struct planted *p, int status, FILE *said)
{
	int law = WIFEXITED(status) ? WEXITSTATUS(status) - EXIT_BROKEN : -1;

	if (law >= 0 && law < LAW__COUNT)
		return p->by & BIT(law) ? law_names[law] : NULL;
	if (!WIFSIGNALED(status) || !p->ends)
		return NULL;
	return (WTERMSIG(status) == SIGSEGV && str_eq(str_of(p->ends), STR("SIGSEGV"))) ||
	       (WTERMSIG(status) == SIGABRT && says(said, p->ends)) ? p->ends : NULL;
}

/* What was found of it, by any law: which of them name it. */
struct finds {
	unsigned by[LAW__COUNT], ends;
};

static void print_finds(const struct finds *f)
{
	for (unsigned i = 0; i < LAW__COUNT; i++)
		if (f->by[i])
			printf(", %u by '%s'", f->by[i], law_names[i]);
	if (f->ends)
		printf(", %u ended", f->ends);
	putchar('\n');
}

static void check_planted(const struct planted *p, uint64_t first)
{
	struct finds others = { 0 };
	const char *by = NULL;
	FILE *said = tmpfile();
	unsigned i = 0;

	must(said);
	for (; i < p->seeds && !by; i++) {
		int status = play_planted(p, first + i, said);

		by = found_by(p, status, said);
		if (by || status == 0)
			continue;
		if (WIFEXITED(status) && WEXITSTATUS(status) >= EXIT_BROKEN)
			others.by[WEXITSTATUS(status) - EXIT_BROKEN]++;
		else
			others.ends++;
	}
	fclose(said);
	if (by)
		printf("planted %s: found by '%s' in seed %llu", p->name, by,
		       ULL(first + i - 1));
	else
		printf("planted %s: NOT FOUND by its law", p->name);
	print_finds(&others);
	total.histories++;
	total.failed += !by;
}

/* A law that no planted mistake is found by may as well not be there. */
static void check_laws(void)
{
	unsigned all = BIT(LAW_HOST);

	for (size_t i = 0; i < ARRAY_LEN(planted); i++)
		all |= planted[i].by;
	for (unsigned i = 0; i < LAW__COUNT; i++)
		if (!(all & BIT(i))) {
			printf("no mistake is planted for '%s'\n", law_names[i]);
			total.failed++;
		}
}

static void all_planted(const char *name, uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_LEN(planted); i++) {
#ifndef CONFLUX_FAILPOINTS
		if (planted[i].failpoint)
			continue;
#endif
		if (!name || str_eq(str_of(name), str_of(planted[i].name)))
			check_planted(&planted[i], seed ? seed : 1);
	}
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	uint64_t n;

	return text && str_u64(str_of(text), &n) ? n : otherwise;
}

static void all(uint64_t seeds)
{
	for (uint64_t seed = 1; seed <= seeds; seed++)
		history(seed, PLANT_NOTHING);
	for (size_t i = 0; i < ARRAY_LEN(scenes); i++)
		for (uint64_t seed = 1; seed <= seeds / 50 + 1; seed++)
			scene(scenes[i].name, seed, PLANT_NOTHING);
}

int main(void)
{
	const char *name = getenv("PLANT");
	uint64_t only = from_env("SEED", 0);

	verbose = from_env("VERBOSE", 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_setup(LOG_ERROR, LOG_HUMAN);
	if (name || !only)
		all_planted(name, only);
	else
		run(getenv("SCENE"), only, PLANT_NOTHING);
	if (!only && !name) {
		check_laws();
		all(from_env("SEEDS", 2000));
	}
	history_print();
	printf("%llu passed, %llu failed\n", total.histories - total.failed,
	       total.failed);
	return total.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
