/* Faults that overlap, and the calm behind them: see history.h. */
#include "history.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define MS 1000ull
#define CALM_MS 20000

struct totals total;
bool history_changes = true;

/* ---- faults ---- */

struct server *any_server(void)
{
	return &w.servers[below(below(3) ? w.n_founders : SERVERS)];
}

struct server *some_leader(void)
{
	struct server *s = world_leader();

	return s && below(4) ? s : any_server();
}

static void break_stream(void)
{
	link_reset(&w.links[below(SERVERS)][below(SERVERS)]);
}

/* What is done to a history, by kind; others follow from these (world.h). */
enum fault_kind {
	F_STEP, F_CRASH, F_CUT, F_ONE_WAY, F_LINK, F_STREAM, F_PAUSE, F_CLOCK,
	F_ERRORS, F_FULL, F_TRANSFER, F_CHANGE, F__KINDS
};

static const char *const fault_names[F__KINDS] = {
	[F_STEP] = "crashes planned at a step of the disk",
	[F_CRASH] = "kills and power losses",
	[F_CUT] = "servers cut off",
	[F_ONE_WAY] = "servers deaf or mute",
	[F_LINK] = "links cut one way",
	[F_STREAM] = "streams broken",
	[F_PAUSE] = "pauses",
	[F_CLOCK] = "clock jumps",
	[F_ERRORS] = "disks that fail now and then",
	[F_FULL] = "disks that are full",
	[F_TRANSFER] = "leaderships handed over",
	[F_CHANGE] = "memberships changed",
};
_Static_assert(F__KINDS <= HISTORY_FAULTS, "as many as are counted");

static void disk_fault(struct server *s)
{
	bool fails = below(2) == 0, is_full = below(4) == 0;

	disk_set_errors(s->disk, fails ? 30000 : 0);
	disk_set_full(s->disk, is_full);
	total.faults[F_ERRORS] += fails;
	total.faults[F_FULL] += is_full;
}

static void one_way(struct server *s)
{
	bool in = below(2), out = below(2);

	server_cut_off(s, in, out);
	total.faults[F_ONE_WAY] += in != out;
	total.faults[F_CUT] += in && out;
}

static void change(void)
{
	struct server *s = some_leader();

	if (history_changes)
		server_change_any(s);
}

static void fault(void)
{
	struct server *s = below(2) ? some_leader() : any_server();

	switch (below(14)) {
	case 0:
	case 1:
		total.faults[F_STEP]++;
		disk_crash_at(s->disk, disk_steps(s->disk) + 1 + below(20));
		break;
	case 2:
		total.faults[F_CRASH]++;
		server_crash(s, below(2), below(600 * MS));
		break;
	case 3:
		total.faults[F_CUT]++;
		server_cut_off(s, true, true);
		break;
	case 4:
		one_way(s);
		break;
	case 5:
		total.faults[F_LINK]++;
		w.links[below(SERVERS)][below(SERVERS)].is_cut = true;
		break;
	case 6:
	case 7:
		world_heal();
		break;
	case 8:
		total.faults[F_STREAM]++;
		break_stream();
		break;
	case 9:
		total.faults[F_PAUSE]++;
		s->paused_until = w.now + below(700 * MS);
		tell("server %llu pauses", ULL(s->id));
		break;
	case 10:
		total.faults[F_CLOCK]++;
		s->clock_us += (int64_t)below(1500 * MS);
		break;
	case 11:
		disk_fault(s);
		break;
	case 12:
		total.faults[F_TRANSFER]++;
		server_transfer(some_leader(), 1 + below(SERVERS));
		break;
	default:
		total.faults[F_CHANGE]++;
		change();
	}
}

/* ---- a history ---- */

void history_run(uint64_t ms, void (*act)(void))
{
	uint64_t until = w.now + ms * MS;
	uint64_t next_client = w.now, next_fault = w.now + below(400 * MS);
	uint64_t next_change = w.now + below(500 * MS);

	/* Some worlds are rough, in others what happens lasts. */
	uint64_t pace = below(3) ? 250 * MS : 1000 * MS;

	while (w.now < until && !w.is_broken) {
		if (w.now >= next_client) {
			next_client = w.now + 1 * MS + below(25 * MS);
			act();
		}
		if (w.now >= next_change) {
			next_change = w.now + below(400 * MS);
			change();
		}
		if (w.now >= next_fault) {
			next_fault = w.now + below(pace);
			fault();
		}
		world_step();
	}
}

void history_calm(void)
{
	w.is_calm = true;
	world_heal();
	for (unsigned i = 0; i < SERVERS; i++) {
		struct server *s = &w.servers[i];

		disk_crash_at(s->disk, 0);
		disk_set_errors(s->disk, 0);
		disk_set_full(s->disk, false);
		s->paused_until = s->crash_at = 0;
		if (!s->core)
			s->up_at = MIN(s->up_at, w.now + 1 * MS);
	}
	tell("the faults stop");
}

static bool same_peers(const struct server *a, const struct server *b)
{
	struct node_peer x[SERVERS], y[SERVERS];
	size_t n = node_core_peers(a->core, x, SERVERS);
	bool same = n == node_core_peers(b->core, y, SERVERS);

	for (size_t i = 0; i < n && same; i++)
		same = x[i].id == y[i].id && x[i].votes == y[i].votes;
	return same;
}

static bool same_state(struct server *a, struct server *b)
{
	uint8_t x[32], y[32];

	server_machine_digest(a, x);
	server_machine_digest(b, y);
	return memcmp(x, y, sizeof(x)) == 0;
}

/* Whether all that the leader has as members stand where it does. */
static bool all_agree(struct server *leader)
{
	struct node_peer peers[SERVERS];
	struct node_core_view lead, v;
	size_t n = node_core_peers(leader->core, peers, SERVERS);

	node_core_view(leader->core, &lead);
	if (leader->at.index != lead.last)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct server *s = &w.servers[peers[i].id - 1];

		if (!s->core || s->at.index != leader->at.index)
			return false;
		keeps(LAW_EFFECTS, same_state(s, leader), "servers %llu and %llu "
		      "stand at %llu with different effects", ULL(s->id),
		      ULL(leader->id), ULL(s->at.index));
		/* A state may stand above what this server knows of the log. */
		node_core_view(s->core, &v);
		if (v.durable != lead.last || v.commit != lead.commit)
			return false;
		keeps(LAW_MEMBERS, !v.is_changing, "server %llu takes its "
		      "membership for one that is not committed", ULL(s->id));
		keeps(LAW_MEMBERS, same_peers(s, leader), "servers %llu and %llu "
		      "go by different memberships", ULL(s->id), ULL(leader->id));
	}
	return true;
}

bool history_can_do_without(const struct server *s)
{
	for (unsigned i = 0; i < SERVERS; i++) {
		struct node_peer peers[SERVERS];
		unsigned voters = 0, left = 0;
		size_t n;

		if (!w.servers[i].core)
			return false;
		n = node_core_peers(w.servers[i].core, peers, SERVERS);
		for (size_t k = 0; k < n; k++) {
			voters += peers[k].votes;
			left += peers[k].votes && peers[k].id != s->id;
		}
		if (n && left <= voters / 2)
			return false;
	}
	return true;
}

/* A majority is enough, whichever. */
void history_do_without_one(void)
{
	struct server *s;

	world_pass(20);
	s = &w.servers[below(SERVERS)];
	if (w.is_broken || !history_can_do_without(s))
		return;
	server_crash(s, false, CALM_MS * MS);
	world_pass(700);               /* the old leader may still lead */
	keeps(LAW_LIVENESS, world_elected(CALM_MS / 2, NULL), "nobody leads without server "
	      "%llu", ULL(s->id));
	s->up_at = w.now + 1 * MS;
}

/* When nothing is applied all states are compared where they stand. */
static void compare_well(const struct server *leader)
{
	uint64_t until = w.now + CALM_MS * MS;
	struct node_core_view v = server_view(leader);
	struct node_peer peers[SERVERS];

	if (node_core_peers(leader->core, peers, SERVERS) < 2)
		return;
	while (w.now < until && !w.is_broken && v.compared < v.last) {
		world_step();
		v = server_view(leader);
	}
	keeps(LAW_COMPARED, v.compared == v.last, "states are compared up to %llu of %llu",
	      ULL(v.compared), ULL(v.last));
}

void history_end(void)
{
	uint64_t until = w.now + CALM_MS * MS, next = w.now, acked = w.n_acked;
	unsigned long long reads = w.n_reads;
	struct server *leader = NULL;

	while (w.now < until && !w.is_broken) {
		leader = world_leader();
		if (leader && w.n_acked > acked && w.n_reads > reads &&
		    all_agree(leader))
			break;
		if (w.now >= next && leader && w.n_acked == acked) {
			next = w.now + 200 * MS;
			server_propose(leader, 1);
		} else if (w.now >= next && leader && w.n_reads == reads) {
			next = w.now + 200 * MS;
			server_read(leader);
		}
		world_step();
	}
	if (w.is_broken)
		return;
	if (!keeps(LAW_LIVENESS, leader, "nobody leads") ||
	    !keeps(LAW_LIVENESS, w.n_acked > acked, "nothing new is applied") ||
	    !keeps(LAW_LIVENESS, w.n_reads > reads, "nothing can be read") ||
	    !keeps(LAW_LIVENESS, all_agree(leader), "a member is left behind"))
		return;
	keeps(LAW_ACKED, leader->at.index >= w.acked_max, "entries up to %llu were "
	      "acknowledged, %llu are there", ULL(w.acked_max),
	      ULL(leader->at.index));
	for (size_t i = 0; i < w.n_proposals; i++)
		keeps(LAW_ACKED, w.proposals[i].state != ACKED || w.proposals[i].index,
		      "proposal %zu is lost", i + 1);
	compare_well(leader);
}

void history_count(void)
{
	total.histories++;
	total.failed += w.is_broken;
	total.ms += w.now / 1000;
	total.acked += w.n_acked;
	total.reads += w.n_reads;
	total.refused += w.n_refused;
	total.uncertain += w.n_uncertain;
	total.crashes += w.n_crashes;
	total.messages += w.n_messages;
	total.checkpoints += w.n_checkpoints;
	total.installs += w.n_installs;
	total.damaged += w.n_damaged;
	total.votes_damaged += w.n_votes_damaged;
	total.changes += w.n_changes;
	total.transfers += w.n_transfers;
	total.steps += w.n_steps;
	total.rotten += w.n_rotten;
	total.replaced += w.n_replaced;
}

void history_print(void)
{
	printf("%.1f simulated hours, %llu steps, %llu messages, %llu crashes, "
	       "%llu checkpoints, %llu installed, %llu damaged, %llu votes damaged, "
	       "%llu logs damaged, %llu servers replaced, %llu changes, %llu transfers\n",
	       (double)total.ms / 3600000, total.steps, total.messages,
	       total.crashes, total.checkpoints, total.installs, total.damaged,
	       total.votes_damaged, total.rotten, total.replaced, total.changes, total.transfers);
	printf("%llu acknowledged, %llu refused, %llu uncertain, %llu reads\n",
	       total.acked, total.refused, total.uncertain, total.reads);
	printf("faults:");
	for (unsigned i = 0; i < F__KINDS; i++)
		printf("%s %llu %s", i ? "," : "", total.faults[i], fault_names[i]);
	putchar('\n');
}
