/*
 * Whole clusters on simulated time, disk and network (world.h), through
 * histories of faults that follow from a seed: crashes at a step of the disk,
 * torn and lost writes, loss of the store, errors of the disk, one-way
 * partitions, delay, streams that break, pauses, clock jumps, changes of the
 * membership and of the leader.  Then the faults stop, and within bounded time
 * somebody leads, commands go through, and every member has applied the same.
 *
 * SEEDS=n how many (2,000), SEED=n replays one, VERBOSE=1 tells its story.
 *
 * Each planted mistake (a guard of node/guard.h switched off, or the host's:
 * world.h) must be found by some seed within a bounded number of them; each runs
 * in a child process, because the engine may end it.  PLANT=name with SEED=
 * replays one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "world.h"

#include "base/banned.h"

#define MS 1000ull
#define FAULTS_MS 3500
#define CALM_MS 20000

/* ---- faults ---- */

static struct server *any_server(void)
{
	return &w.servers[below(below(3) ? w.n_founders : SERVERS)];
}

static struct server *some_leader(void)
{
	struct server *s = world_leader();

	return s && below(4) ? s : any_server();
}

static void cut_off(struct server *s, bool in, bool out)
{
	tell("server %llu is cut off%s%s", ULL(s->id), in ? " in" : "",
	     out ? " out" : "");
	for (unsigned i = 0; i < SERVERS; i++) {
		w.links[i][s->id - 1].is_cut |= in;
		w.links[s->id - 1][i].is_cut |= out;
	}
}

static void heal(void)
{
	for (unsigned i = 0; i < SERVERS; i++)
		for (unsigned k = 0; k < SERVERS; k++)
			w.links[i][k].is_cut = false;
}

static void break_stream(void)
{
	link_reset(&w.links[below(SERVERS)][below(SERVERS)]);
}

static void fault(void)
{
	struct server *s = below(2) ? some_leader() : any_server();

	switch (below(14)) {
	case 0:
	case 1:
		disk_crash_at(s->disk, disk_steps(s->disk) + 1 + below(20));
		break;
	case 2:
		server_crash(s, below(2), below(600 * MS));
		break;
	case 3:
		cut_off(s, true, true);
		break;
	case 4:
		cut_off(s, below(2), below(2));
		break;
	case 5:
		w.links[below(SERVERS)][below(SERVERS)].is_cut = true;
		break;
	case 6:
	case 7:
		heal();
		break;
	case 8:
		break_stream();
		break;
	case 9:
		s->paused_until = w.now + below(700 * MS);
		tell("server %llu pauses", ULL(s->id));
		break;
	case 10:
		s->clock_us += (int64_t)below(1500 * MS);
		break;
	case 11:
		disk_set_errors(s->disk, below(2) ? 0 : 30000);
		break;
	case 12:
		server_transfer(some_leader(), 1 + below(SERVERS));
		break;
	default:
		server_change(some_leader());
	}
}

/* ---- a history ---- */

static void run_until(uint64_t until)
{
	uint64_t next_client = w.now, next_fault = w.now + below(400 * MS);
	uint64_t next_change = w.now + below(500 * MS);

	while (w.now < until && !w.is_broken) {
		if (w.now >= next_client) {
			next_client = w.now + 1 * MS + below(25 * MS);
			server_propose(some_leader(), 1 + (unsigned)below(4));
		}
		if (w.now >= next_change) {
			next_change = w.now + below(400 * MS);
			server_change(some_leader());
		}
		if (w.now >= next_fault) {
			next_fault = w.now + below(250 * MS);
			fault();
		}
		world_step();
	}
}

static void calm_down(void)
{
	w.is_calm = true;
	heal();
	for (unsigned i = 0; i < SERVERS; i++) {
		struct server *s = &w.servers[i];

		disk_crash_at(s->disk, 0);
		disk_set_errors(s->disk, 0);
		s->paused_until = 0;
		if (!s->core)
			s->up_at = MIN(s->up_at, w.now + 1 * MS);
	}
	tell("the faults stop");
}

/* Whether all that the leader has as members stand where it does. */
static bool all_agree(const struct server *leader)
{
	struct node_peer peers[SERVERS];
	struct node_core_view v;
	size_t n = node_core_peers(leader->core, peers, SERVERS);

	node_core_view(leader->core, &v);
	if (leader->toy.index != v.last)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct server *s = &w.servers[peers[i].id - 1];

		if (!s->core || s->toy.index != leader->toy.index)
			return false;
		holds(sha256_eq(&s->toy.digest, &leader->toy.digest),
		      "servers %llu and %llu stand at %llu with different "
		      "effects", ULL(s->id), ULL(leader->id), ULL(s->toy.index));
	}
	return true;
}

static void end_well(void)
{
	uint64_t until = w.now + CALM_MS * MS, next = w.now, acked = w.n_acked;
	struct server *leader = NULL;

	while (w.now < until && !w.is_broken) {
		leader = world_leader();
		if (leader && w.n_acked > acked && all_agree(leader))
			break;
		if (w.now >= next && leader && w.n_acked == acked) {
			next = w.now + 200 * MS;
			server_propose(leader, 1);
		}
		world_step();
	}
	if (w.is_broken)
		return;
	if (!holds(leader, "nobody leads") ||
	    !holds(w.n_acked > acked, "nothing new is applied") ||
	    !holds(all_agree(leader), "a member is left behind"))
		return;
	holds(leader->toy.index >= w.acked_max, "entries up to %llu were "
	      "acknowledged, %llu are there", ULL(w.acked_max),
	      ULL(leader->toy.index));
	for (size_t i = 0; i < w.n_proposals; i++)
		holds(w.proposals[i].state != ACKED || w.proposals[i].index,
		      "proposal %zu is lost", i + 1);
}

static struct {
	unsigned long long histories, failed, ms, acked, refused, uncertain,
		crashes, messages, checkpoints, installs, changes, transfers, steps;
} total;

static bool history(uint64_t seed, enum plant plant)
{
	world_begin(seed, plant, seed % 3 ? 3 : 5);
	tell("seed %llu, %u founders", ULL(seed), w.n_founders);
	run_until(w.now + FAULTS_MS * MS);
	if (!w.is_broken) {
		calm_down();
		end_well();
	}
	total.histories++;
	total.failed += w.is_broken;
	total.ms += w.now / 1000;
	total.acked += w.n_acked;
	total.refused += w.n_refused;
	total.uncertain += w.n_uncertain;
	total.crashes += w.n_crashes;
	total.messages += w.n_messages;
	total.checkpoints += w.n_checkpoints;
	total.installs += w.n_installs;
	total.changes += w.n_changes;
	total.transfers += w.n_transfers;
	total.steps += w.n_steps;
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
	uint64_t seeds = from_env("SEEDS", 2000);

	verbose = from_env("VERBOSE", 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_setup(LOG_ERROR, LOG_HUMAN);
	if (only)
		history(only, PLANT_NOTHING);
	else
		for (uint64_t seed = 1; seed <= seeds; seed++)
			history(seed, PLANT_NOTHING);
	printf("%.1f simulated hours, %llu steps, %llu messages, %llu crashes, "
	       "%llu checkpoints, %llu installed, %llu changes, %llu transfers\n",
	       (double)total.ms / 3600000, total.steps, total.messages,
	       total.crashes, total.checkpoints, total.installs, total.changes, total.transfers);
	printf("%llu acknowledged, %llu refused, %llu uncertain\n", total.acked,
	       total.refused, total.uncertain);
	printf("%llu passed, %llu failed\n", total.histories - total.failed,
	       total.failed);
	return total.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
