/*
 * Which program each server runs: see replica.h.  In some histories all begin with an
 * older one, and get the newest when they are started again, one after the other, as in
 * an upgrade; none goes back.  An older one is as the newest, but for the cluster
 * version that it knows.
 *
 * Who leads has the cluster's version moved to what the programs of all members know;
 * while one of them is down nobody answers for it, and it stays.  A server that was
 * asked for a version is never stopped by it.  One that joins later may be: then
 * nothing of the entry has happened, and with the newest program it goes on.
 */
#include "gates.h"

#include "base/banned.h"

static struct program {
	uint64_t knows;
	uint64_t asked_for;              /* newest version that it was asked for */
	bool is_stopped;                 /* by one that it does not know */
} programs[SERVERS];
static uint64_t asked_max;               /* of anybody */

static struct program *program_of(const struct server *s)
{
	return &programs[s->id - 1];
}

void programs_begin(void)
{
	uint64_t knows = below(3) ? CLUSTER_VERSION : 1 + below(CLUSTER_VERSION - 1);

	asked_max = 0;
	for (unsigned i = 0; i < SERVERS; i++)
		programs[i] = (struct program){ .knows = knows };
}

uint64_t program_knows(const struct server *s)
{
	return s && !w.scene ? program_of(s)->knows : CLUSTER_VERSION;
}

void program_ended(const struct server *s)
{
	struct program *p = program_of(s);

	if (!p->is_stopped && below(2))
		return;
	sum.upgraded += p->knows < CLUSTER_VERSION && !w.scene;
	p->knows = CLUSTER_VERSION;
	p->is_stopped = false;
}

bool program_may_stop(const struct server *s, enum code rc)
{
	struct program *p = program_of(s);

	if (rc != E_UNSUPPORTED)
		return false;
	claim(CHECK_VERSION, p->asked_for < asked_max && program_knows(s) < asked_max,
	      "server %llu, whose program knows version %llu, is stopped by one that it "
	      "was asked for", ULL(s->id), ULL(program_knows(s)));
	tell("server %llu is stopped: its program is too old", ULL(s->id));
	p->is_stopped = true;
	sum.stopped++;
	return true;
}

/* Each member, and all of them are up; 0: not. */
static size_t members(const struct server *leader, struct node_peer out[SERVERS])
{
	size_t n = node_core_peers(leader->core, out, SERVERS);

	for (size_t i = 0; i < n; i++)
		if (!w.servers[out[i].id - 1].core)
			return 0;
	return n;
}

uint64_t programs_agree(const struct server *leader)
{
	struct node_peer peers[SERVERS];
	size_t n = members(leader, peers);
	uint64_t least = n ? CLUSTER_VERSION : 0;

	for (size_t i = 0; i < n && bad != BAD_UPGRADE; i++)
		least = MIN(least, program_knows(&w.servers[peers[i].id - 1]));
	for (size_t i = 0; i < n; i++)
		programs[peers[i].id - 1].asked_for = MAX(least,
			programs[peers[i].id - 1].asked_for);
	asked_max = MAX(asked_max, least);
	return least;
}
