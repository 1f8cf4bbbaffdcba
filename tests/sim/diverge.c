/*
 * States that differ, on simulated time, disk and network (world.h): an entry has
 * another effect at some servers than at others, as a mistake of theirs or of
 * their memory would have it.  Only who is outvoted may fence itself, and soon;
 * the others go on; a fenced server stores and votes, hands leadership on, and
 * stays fenced over crashes.
 *
 * SEEDS=n how many of each scene (60), SEED= with SCENE=name replays one,
 * VERBOSE=1 tells its story.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "world.h"

#include "base/banned.h"

#define SOON_MS 3000             /* longest pauses of the disk and network: 80 ms */
#define LONG_MS 1000000

/* ---- what is waited for ---- */

static enum rc_divergence verdict(const struct server *s)
{
	return server_view(s).divergence;
}

static struct server *nth(const struct server *s, unsigned n)
{
	return &w.servers[(s->id - 1 + n) % w.n_founders];
}

/* The next entry of the log has another effect there. */
static void bend(struct server *s, uint8_t by)
{
	struct server *leader = world_leader();

	w.is_bent = true;
	s->bent_at = server_view(leader).last + 1;
	s->bent_by = by;
	tell("server %llu: entry %llu will have another effect", ULL(s->id),
	     ULL(s->bent_at));
}

static bool is_fenced(const struct server *s)
{
	return verdict(s) == RC_FENCED;
}

static bool wait_for_verdict(const struct server *s, enum rc_divergence what)
{
	uint64_t until = w.now + SOON_MS * 1000;

	while (!w.is_broken && verdict(s) != what && w.now < until)
		world_step();
	return holds(verdict(s) == what, "server %llu: the verdict is %d and not "
		     "%d", ULL(s->id), (int)verdict(s), (int)what);
}

/* Writes go on, at whoever leads, and reads. */
static void go_on(unsigned n)
{
	uint64_t until = w.now + 20000000, acked = w.n_acked + n;
	unsigned long long reads = w.n_reads;

	while (!w.is_broken && w.now < until &&
	       (w.n_acked < acked || w.n_reads == reads)) {
		struct server *leader = world_leader();

		if (leader) {
			server_propose(leader, 1);
			server_read(leader);
		}
		world_pass(20);
	}
	holds(w.n_acked >= acked, "nothing new is acknowledged");
	holds(w.n_reads > reads, "nothing can be read");
}

/* With commands up to the next fixed index or far from it, and then nothing. */
static void write_some(struct server *leader)
{
	for (unsigned n = 1 + (unsigned)below(2 * COMPARE); n; n--) {
		server_propose(leader, 1);
		world_pass(below(4));
	}
}

/* It does nothing but store, send and vote. */
static void check_fenced(struct server *s)
{
	struct node_core_view v = server_view(s);
	unsigned long long reads;
	uint64_t at;

	holds(!v.is_ready, "server %llu is fenced and ready", ULL(s->id));
	holds(v.divergence_index >= s->bent_at || !s->bent_at, "server %llu is "
	      "fenced at %llu", ULL(s->id), ULL(v.divergence_index));
	/* What was with the machine, and reads of before, come to an end. */
	world_pass(1500);
	at = s->at.index;
	reads = w.n_reads;
	server_read(s);
	world_pass(100);
	holds(w.n_reads == reads, "server %llu is fenced and is read",
	      ULL(s->id));
	go_on(5);
	world_pass(300);
	holds(s->at.index == at, "server %llu is fenced and applies",
	      ULL(s->id));
	for (unsigned i = 0; i < SOON_MS && !w.is_broken && world_leader() &&
	     server_view(s).last < server_view(world_leader()).last; i++)
		world_pass(1);
	holds(world_leader() && server_view(s).last ==
	      server_view(world_leader()).last, "server %llu is fenced and does not "
	      "store", ULL(s->id));
}

/* ---- scenes ---- */

static struct server *begin(void)
{
	struct server *a = world_elected(5000, NULL);

	if (!holds(a, "nobody leads"))
		return NULL;
	world_pass(200);
	write_some(a);
	world_pass(600);
	holds(w.compared_max == server_view(a).last, "nothing is applied, and "
	      "states are compared up to %llu of %llu", ULL(w.compared_max),
	      ULL(server_view(a).last));
	return w.is_broken ? NULL : world_leader();
}

static void fenced_follower(void)
{
	struct server *a = begin(), *f, *g;

	if (!a)
		return;
	f = nth(a, 1);
	g = nth(a, 2);
	bend(f, 1);
	write_some(a);
	if (!wait_for_verdict(f, RC_FENCED) || !wait_for_verdict(a, RC_DIFFERS) ||
	    !wait_for_verdict(g, RC_DIFFERS))
		return;
	holds(server_view(a).divergence_peer == f->id, "server %llu is taken for "
	      "the one that differs", ULL(server_view(a).divergence_peer));
	check_fenced(f);
	/* It knows it after a crash, and its vote is worth another's. */
	server_crash(f, below(2), 1000);
	world_pass(2000);
	holds(is_fenced(f), "server %llu does not know that it is fenced",
	      ULL(f->id));
	server_crash(g, false, LONG_MS * 1000ull);
	go_on(5);
	check_fenced(f);
}

/* While writes never stop, several at once: only at fixed indexes all nodes have
 * noted what they have. */
static void under_load(void)
{
	struct server *a = begin(), *f;
	uint64_t until;

	if (!a)
		return;
	f = nth(a, 1 + (unsigned)below(2));
	bend(f, 2);
	until = w.now + SOON_MS * 1000;
	while (!w.is_broken && !is_fenced(f) && w.now < until) {
		server_propose(a, 1 + (unsigned)below(COMPARE));
		world_pass(1 + below(5));
	}
	if (holds(is_fenced(f), "server %llu is not fenced", ULL(f->id)))
		check_fenced(f);
}

static void fenced_leader(void)
{
	struct server *a = begin(), *b;

	if (!a)
		return;
	bend(a, 3);
	write_some(a);
	if (!wait_for_verdict(a, RC_FENCED))
		return;
	b = world_elected(SOON_MS, a);
	if (!holds(b, "a fenced server keeps its leadership"))
		return;
	/* Others do not wait for an election: it is handed over. */
	check_fenced(a);
}

static void a_pair(void)
{
	struct server *a = begin(), *right;

	if (!a)
		return;
	right = nth(a, (unsigned)below(3));
	for (unsigned i = 0; i < 3; i++)
		if (&w.servers[i] != right)
			bend(&w.servers[i], 4);
	write_some(a);
	wait_for_verdict(right, RC_FENCED);
	for (unsigned i = 0; i < 3; i++)
		holds(&w.servers[i] == right || !is_fenced(&w.servers[i]),
		      "server %u is with the majority and fenced", i + 1);
}

static void all_differ(void)
{
	struct server *a = begin();

	if (!a)
		return;
	for (unsigned i = 1; i < 3; i++)
		bend(nth(a, i), (uint8_t)(4 + i));
	write_some(a);
	for (unsigned i = 0; i < 3; i++)
		wait_for_verdict(&w.servers[i], RC_DIFFERS);
	world_pass(SOON_MS);
	for (unsigned i = 0; i < 3; i++)
		holds(!is_fenced(&w.servers[i]), "server %u is fenced, and there is "
		      "no majority", i + 1);
	go_on(3);
}

/* One is down, so nobody can know who is right; then it comes back. */
static void one_is_down(void)
{
	struct server *a = begin(), *f, *g;

	if (!a)
		return;
	f = nth(a, 1);
	g = nth(a, 2);
	server_crash(g, false, LONG_MS * 1000ull);
	bend(f, 5);
	write_some(a);
	if (!wait_for_verdict(f, RC_DIFFERS) || !wait_for_verdict(a, RC_DIFFERS))
		return;
	world_pass(SOON_MS);
	holds(!is_fenced(f) && !is_fenced(a), "somebody is fenced, and there is no "
	      "majority");
	g->up_at = w.now;
	world_pass(1000);
	write_some(world_leader());
	wait_for_verdict(f, RC_FENCED);
	holds(!is_fenced(a) && !is_fenced(g), "who is right is fenced");
}

/* Who is fenced has what nobody else who is up has: it leads for as long as it
 * takes to bring it to another. */
static void fenced_has_the_log(void)
{
	struct server *a = begin(), *f, *g;

	if (!a)
		return;
	f = nth(a, 1);
	g = nth(a, 2);
	bend(f, 6);
	write_some(a);
	if (!wait_for_verdict(f, RC_FENCED))
		return;
	server_cut_off(g, true, true);
	server_propose(a, 3);
	world_pass(300);
	if (world_leader() != a)         /* an election came in between */
		return;
	server_crash(a, false, LONG_MS * 1000ull);
	world_heal();
	go_on(3);
	holds(world_leader() == g, "server %llu is fenced and leads",
	      ULL(f->id));
	holds(is_fenced(f), "a fence is forgotten");
}

/* A learner has no vote, and is outvoted all the same. */
static void fenced_learner(void)
{
	struct server *a = begin(), *l = &w.servers[3];

	if (!a)
		return;
	server_change(a, ENGINE_ADD, l, false);
	world_pass(1500);
	if (world_leader() != a)
		return;
	bend(l, 7);
	write_some(a);
	wait_for_verdict(l, RC_FENCED);
	wait_for_verdict(a, RC_DIFFERS);
	go_on(3);
	/* When it is gone the others are alike again. */
	server_change(world_leader(), ENGINE_REMOVE, l, false);
	world_pass(500);
	go_on(3);
	for (unsigned i = 0; i < 3; i++)
		wait_for_verdict(&w.servers[i], RC_ALIKE);
}

static const struct scene {
	const char *name;
	void (*play)(void);
} scenes[] = {
	{ "follower", fenced_follower },
	{ "under-load", under_load },
	{ "leader", fenced_leader },
	{ "pair", a_pair },
	{ "all", all_differ },
	{ "one-down", one_is_down },
	{ "longest-log", fenced_has_the_log },
	{ "learner", fenced_learner },
};

static bool scene(const struct scene *s, uint64_t seed)
{
	world_begin(seed, PLANT_NOTHING, 3);
	w.is_calm = true;
	w.inflight = 4 * COMPARE;        /* batches may be longer than that */
	w.scene = s->name;
	s->play();
	world_end();
	return !w.is_broken;
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	uint64_t n;

	return text && str_u64(str_of(text), &n) ? n : otherwise;
}

int main(void)
{
	uint64_t only = from_env("SEED", 0);
	uint64_t first = only ? only : 1, last = only ? only :
							from_env("SEEDS", 60);
	const char *name = getenv("SCENE");
	unsigned passed = 0, failed = 0;

	verbose = from_env("VERBOSE", 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_setup(LOG_ERROR, LOG_HUMAN);
	for (size_t i = 0; i < ARRAY_LEN(scenes); i++)
		for (uint64_t seed = first; seed <= last; seed++)
			if (!name || strcmp(name, scenes[i].name) == 0)
				scene(&scenes[i], seed) ? passed++ : failed++;
	printf("%u passed, %u failed\n", passed, failed);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
