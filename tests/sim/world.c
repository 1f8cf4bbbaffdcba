/* A cluster on simulated time: see world.h. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/mem.h"
#include "seal/keyring.h"
#include "wal/vote.h"

#include "base/banned.h"

#define NEVER UINT64_MAX
#define UNCOMMITTED_MAX 8200     /* 8,192 and what new leaders add */

struct world w;
const struct world_kind *world_kind = &toys;
bool verbose, quiet;

void tell(const char *fmt, ...)
{
	va_list ap;

	if (!verbose)
		return;
	printf("%10.3f ", (double)w.now / 1000);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

const char *const law_names[LAW__COUNT] = {
	[LAW_HOST] = "host", [LAW_LEADERS] = "leaders", [LAW_TERM] = "term",
	[LAW_LOG] = "log", [LAW_ORDER] = "order", [LAW_EFFECTS] = "effects",
	[LAW_ONCE] = "once", [LAW_REFUSED] = "refused", [LAW_ACKED] = "acknowledged",
	[LAW_READ] = "read", [LAW_APPLIED] = "applied", [LAW_ALARM] = "alarm",
	[LAW_COMPARED] = "compared", [LAW_BACKWARD] = "backward",
	[LAW_BOUND] = "bound", [LAW_START] = "start", [LAW_MEMBERS] = "members",
	[LAW_LIVENESS] = "liveness", [LAW_HEARD] = "heard", [LAW_FAR] = "far",
	[LAW_ROT] = "rot",
};

bool keeps(enum law law, bool what, const char *fmt, ...)
{
	va_list ap;

	if (what || w.is_broken)
		return what;
	w.is_broken = true;
	w.broken = law;
	if (quiet)
		return false;
	printf("SEED=%llu%s%s at %.3f ms: %s: ", ULL(w.seed), w.scene ? " SCENE=" :
	       "", w.scene ? w.scene : "", (double)w.now / 1000, law_names[law]);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	return false;
}

uint64_t below(uint64_t n)
{
	return prng_below(&w.prng, n);
}

uint64_t ms_of(const struct server *s)
{
	return (uint64_t)((int64_t)w.now + s->clock_us) / 1000;
}

/* ---- life of a server ---- */

static void reset_links(struct server *s)
{
	for (unsigned i = 0; i < SERVERS; i++) {
		link_reset(&w.links[s->id - 1][i]);
		link_reset(&w.links[i][s->id - 1]);
	}
}

/* Who was voted for is not there any more; the term is. */
static void lose_vote(struct server *s)
{
	struct fs *fs = disk_fs(s->disk);
	struct vote vote;
	struct err err;

	if (vote_read(fs, "data", &vote, &err) || !vote.generation)
		return;
	vote.voted_for = 0;
	(void)!vote_write(fs, "data", &vote, &err);
}

void server_damage(struct server *s)
{
	/* What was removed may come back, and does not count. */
	if (s->core || s->n_named == 0 || !damage_newest(s->disk, "data/checkpoints", s->floor,
				      below(PICTURE_MIN)))
		return;
	tell("server %llu: its newest checkpoint is damaged", ULL(s->id));
	s->state_is_lost = true;
	s->n_named = 0;
	w.n_damaged++;
}

/* Of its two copies one is not whole any more. */
static void damage_copy(struct server *s)
{
	unsigned which = (unsigned)below(2);

	if (!damage_vote(s->disk, "data", which, below(36)))
		return;
	tell("server %llu: vote.%u is damaged", ULL(s->id), which);
	w.n_votes_damaged++;
}

bool server_rot(struct server *s)
{
	server_crash(s, true, 1000 + below(100000));
	if (!damage_log(s->disk, "data/wal", prng_next(&w.prng), &s->rot))
		return false;
	tell("server %llu: %s is damaged at %llu", ULL(s->id), s->rot.path,
	     ULL(s->rot.at));
	w.n_rotten++;
	return true;
}

/* What it tells of its start.  True: that is as it must be. */
static bool refuses_rot(struct server *s, enum code rc, const struct err *err)
{
	if (!s->rot.path[0] || (rc != OK && rc != E_CORRUPT))
		return false;
	keeps(LAW_ROT, rc == E_CORRUPT && damage_is_said(&s->rot, str_of(err->text)),
	      "server %llu: %s is damaged at %llu, and a start says: %s", ULL(s->id),
	      s->rot.path, ULL(s->rot.at), rc ? err->text : "nothing");
	s->is_gone = rc;
	return rc;
}

void server_wipe(struct server *s)
{
	must(!s->core && s->is_gone);
	disk_free(&s->disk);
	s->disk = disk_new(prng_next(&w.prng));
	s->rot = (struct damaged_log){ 0 };
	s->joins = s->state_is_lost = true;
	s->term = s->floor = 0;
	s->n_named = 0;
	w.n_replaced++;
	tell("server %llu is wiped", ULL(s->id));
}

void server_crash(struct server *s, bool power, uint64_t back_after_us)
{
	if (!s->core)
		return;
	tell("server %llu %s, %llu applied", ULL(s->id), power ?
	     "loses power" : "is killed", ULL(s->at.index));
	/* Who waits is only forgotten. */
	node_core_stop(s->core);
	node_core_free(&s->core);
	server_drop_work(s);
	reset_links(s);
	if (world_kind->crashed)
		world_kind->crashed(s, power);
	if (power)
		disk_power_loss(s->disk);
	else
		disk_kill(s->disk);
	if (w.plant == PLANT_VOTE_LOST)
		lose_vote(s);
	s->state_is_lost |= power || below(5) == 0;
	s->is_fatal = false;
	s->paused_until = s->crash_at = 0;
	s->up_at = w.now + back_after_us;
	memset(s->terms, 0, sizeof(s->terms));
	s->life++;
	w.n_crashes++;
	if (!w.is_calm && below(4) == 0)
		server_damage(s);
	if (!w.is_calm && below(2))
		damage_copy(s);
}

/* Keys that open; and every other start also seals what is new. */
static const struct seal_provider *seal_provider(bool is_on)
{
	static struct keyring *rings[2];
	struct keyring **ring = &rings[is_on];

	if (!*ring) {
		must(keyring_parse(STR("one 000102030405060708090a0b0c0d0e0f1011121314"
				       "15161718191a1b1c1d1e1f"), "keys", ring,
				   NULL) == OK);
		keyring_set_on(*ring, is_on);
	}
	return keyring_provider(*ring);
}

static enum code server_open(struct server *s, struct err *err)
{
	struct node_member members[SERVERS];
	struct node_core_config core = { .fs = disk_fs(s->disk), .host = &server_host,
					 .host_data = s,
					 .tending = WAL_TEND_CALLER,
					 .seed = (unsigned)below(1u << 30) };
	struct uuid cluster;
	struct rc_config config;

	for (unsigned i = 0; i < w.n_founders; i++)
		members[i] = (struct node_member){ w.servers[i].id,
						   w.servers[i].address };
	cluster = node_cluster_of(members, w.n_founders);
	rc_config_defaults(&config);
	config.node_id = s->id;
	config.address = s->address;
	config.dir = "data";
	config.segment_bytes = world_kind->segment_bytes;
	config.checkpoint_log_bytes = world_kind->checkpoint_log_bytes;
	config.entry_bytes_max = world_kind->entry_bytes_max;
	config.inflight_entries_max = w.inflight;
	config.compare_entries = COMPARE;
	config.gather_ms = core.seed % 3 * 5;
	config.seal = seal_provider(below(2));
	config.machine = (struct rc_machine){ .data = s,
					      .open = server_machine_open,
					      .bytes = server_machine_bytes,
					      .digest = server_machine_digest,
					      .freeze = server_machine_freeze };
	core.node = &config;
	core.members = members;
	core.n_members = s->joins ? 0 : w.n_founders;
	core.joins = s->joins;
	core.cluster = &cluster;
	return node_core_open(&core, &s->core, err);
}

void server_start(struct server *s)
{
	struct err err;
	enum code rc;

	if (w.plant == PLANT_UNSEEN && s->rot.path[0])
		(void)!disk_damage(s->disk, s->rot.path, s->rot.at);
	rc = server_open(s, &err);
	if (rc) {
		tell("server %llu does not open: %s", ULL(s->id), err.text);
		keeps(LAW_START, refuses_rot(s, rc, &err) || rc == E_IO ||
				 rc == E_FULL || server_may_stop(s, rc),
		      "server %llu: a start is refused: %s",
		      ULL(s->id), err.text);
		if (world_kind->crashed)
			world_kind->crashed(s, disk_is_down(s->disk));
		if (disk_is_down(s->disk))
			disk_power_loss(s->disk);
		else
			disk_kill(s->disk);
		s->state_is_lost = true;
		s->up_at = w.now + 1000 + below(100000);
		return;
	}
	(void)refuses_rot(s, rc, &err);
	tell("server %llu is up, %llu applied", ULL(s->id), ULL(s->at.index));
	server_reread_log(s);
	node_core_start(s->core, ms_of(s));
}

bool server_may_stop(const struct server *s, enum code rc)
{
	return world_kind->may_stop && world_kind->may_stop(s, rc);
}

bool server_leads(const struct server *s)
{
	struct node_core_view v;

	if (!s->core || s->is_fatal)
		return false;
	node_core_view(s->core, &v);
	return v.is_leader;
}

struct server *world_leader(void)
{
	struct server *best = NULL;
	uint64_t term = 0;

	for (unsigned i = 0; i < SERVERS; i++) {
		struct node_core_view v;

		if (!server_leads(&w.servers[i]))
			continue;
		node_core_view(w.servers[i].core, &v);
		if (v.term > term) {
			best = &w.servers[i];
			term = v.term;
		}
	}
	return best;
}

/* After each thing that is done with it. */
static void look_at(struct server *s)
{
	struct node_core_view v;

	if (!s->core)
		return;
	if (disk_is_down(s->disk)) {
		server_crash(s, below(3) != 0, below(2) ? 1000 : below(800000));
		return;
	}
	if (s->is_fatal) {
		server_crash(s, false, below(300000));
		return;
	}
	node_core_view(s->core, &v);
	keeps(LAW_TERM, v.term >= s->term, "server %llu: term %llu comes after %llu",
	      ULL(s->id), ULL(v.term), ULL(s->term));
	s->term = v.term;
	keeps(LAW_ALARM, v.divergence == RC_ALIKE || w.is_bent, "server %llu takes "
	      "states for different that are not, at %llu", ULL(s->id),
	      ULL(v.divergence_index));
	w.compared_max = MAX(w.compared_max, v.compared);
	keeps(LAW_BACKWARD, !v.backward, "server %llu sends a peer again what it "
	      "has: messages of it came late, or twice", ULL(s->id));
	keeps(LAW_BOUND, v.last - MIN(v.commit, v.last) <= UNCOMMITTED_MAX,
	      "server %llu: %llu entries are not committed", ULL(s->id),
	      ULL(v.last - v.commit));
}

struct node_core_view server_view(const struct server *s)
{
	struct node_core_view v = { 0 };

	if (s->core)
		node_core_view(s->core, &v);
	return v;
}

/* ---- for scenes ---- */

void server_cut_off(struct server *s, bool in, bool out)
{
	tell("server %llu is cut off%s%s", ULL(s->id), in ? " in" : "",
	     out ? " out" : "");
	for (unsigned i = 0; i < SERVERS; i++) {
		w.links[i][s->id - 1].is_cut |= in;
		w.links[s->id - 1][i].is_cut |= out;
	}
}

void world_heal(void)
{
	for (unsigned i = 0; i < SERVERS; i++)
		for (unsigned k = 0; k < SERVERS; k++)
			w.links[i][k].is_cut = false;
}

void world_pass(uint64_t ms)
{
	uint64_t until = w.now + ms * 1000;

	while (!w.is_broken && w.now < until)
		world_step();
}

struct server *world_elected(uint64_t ms, const struct server *not)
{
	uint64_t until = w.now + ms * 1000;

	while (!w.is_broken && w.now < until) {
		struct server *s = world_leader();

		if (s && s != not)
			return s;
		world_step();
	}
	return NULL;
}

/* ---- clients ---- */

static void never_done(struct rc_proposal *p, enum code rc,
		       const struct err *err)
{
	must(!"the host refuses");
}

static struct proposal *add_proposal(struct server *s)
{
	struct proposal *own = &w.proposals[w.n_proposals++];

	own->server = s;
	own->life = s->life;
	own->p = (struct rc_proposal){ .id = w.n_proposals, .done = never_done };
	return own;
}

/* Planted. */
static struct rc_proposal **make_again(struct server *s, const struct proposal *own,
				       struct rc_proposal **last)
{
	struct proposal *other;

	if (w.n_proposals == PROPOSALS_MAX)
		return last;
	other = add_proposal(s);
	buf_str(&other->bytes, buf_view(&own->bytes));
	other->p.data = buf_view(&other->bytes);
	other->p.id = own->p.id;
	*last = &other->p;
	return &other->p.next_;
}

void server_propose(struct server *s, unsigned n)
{
	struct rc_proposal *first = NULL, **last = &first;

	if (!s->core || s->is_fatal)
		return;
	for (; n && w.n_proposals < PROPOSALS_MAX; n--) {
		struct proposal *own = add_proposal(s);

		world_kind->fill(s, own);
		own->p.data = buf_view(&own->bytes);
		*last = &own->p;
		last = &own->p.next_;
		if (w.plant == PLANT_AGAIN && below(50) == 0)
			last = make_again(s, own, last);
	}
	if (first)
		node_core_propose(s->core, ms_of(s), first);
	look_at(s);
}

struct proposal *server_propose_for(struct server *s, struct str bytes,
				    void *owner)
{
	struct proposal *own;

	if (!s->core || s->is_fatal || w.n_proposals == PROPOSALS_MAX)
		return NULL;
	own = add_proposal(s);
	buf_str(&own->bytes, bytes);
	own->p.data = buf_view(&own->bytes);
	own->owner = owner;
	node_core_propose(s->core, ms_of(s), &own->p);
	look_at(s);
	return own;
}

static void read_done(struct node_reader *r, enum code rc, uint64_t index,
		      const struct err *err)
{
	struct read *own = container_of(r, struct read, r);
	uint64_t sees = own->server->at.index;

	holds(rc == OK || rc == E_UNAVAILABLE, "a read ends with: %s",
	      rc ? err->text : "");
	if (rc == OK) {
		keeps(LAW_APPLIED, index <= sees, "server %llu: a read is let go "
		      "at %llu, %llu are applied", ULL(own->server->id),
		      ULL(index), ULL(sees));
		keeps(LAW_READ, sees >= own->must_see, "server %llu: a read sees "
		      "%llu, but %llu was seen before it began",
		      ULL(own->server->id), ULL(sees), ULL(own->must_see));
		w.read_max = MAX(w.read_max, sees);
		w.n_reads++;
		if (world_kind->read)
			world_kind->read(own->server, own->must_show);
	}
	free(own);
}

void server_read(struct server *s)
{
	struct read *own;

	if (!s->core || s->is_fatal)
		return;
	own = NEW(struct read);
	own->server = s;
	own->must_see = MAX(w.acked_max, w.read_max);
	if (world_kind->shown)
		own->must_show = world_kind->shown();
	own->r.done = read_done;
	node_core_read(s->core, ms_of(s), &own->r);
	node_core_ask(s->core, ms_of(s));
	look_at(s);
}

static void change_done(struct node_change *change, enum code rc,
			const struct err *err)
{
	tell("change %d of server %llu: %s", (int)change->wish.change, ULL(change->wish.id),
	     rc ? err->text : "done");
	holds(rc == OK || rc == E_NOT_LEADER || rc == E_NOT_FOUND ||
	      rc == E_EXISTS || rc == E_CONFLICT || rc == E_UNCERTAIN ||
	      rc == E_UNAVAILABLE, "a change ends with: %s", rc ? err->text : "");
	w.n_changes += rc == OK;
	free(change);
}

void server_change(struct server *s, enum engine_change what,
		   const struct server *other, bool force)
{
	struct node_change *change;

	if (!s->core || s->is_fatal)
		return;
	change = NEW(struct node_change);
	*change = (struct node_change){
		.wish = { .change = what, .id = other->id,
			  .address = other->address, .force = force },
		.done = change_done,
	};
	node_core_change(s->core, ms_of(s), change);
	look_at(s);
}

void server_change_any(struct server *s)
{
	const struct server *other = &w.servers[below(SERVERS)];
	enum engine_change what;

	if (!s->core || s->is_fatal)
		return;
	what = (enum engine_change)below(4);
	server_change(s, what, other, below(8) == 0);
}

static void transfer_done(struct node_transfer *t, enum code rc,
			  const struct err *err)
{
	tell("transfer to server %llu: %s", ULL(t->id), rc ? err->text : "done");
	w.n_transfers += rc == OK;
	free(t);
}

void server_transfer(struct server *s, uint64_t to)
{
	struct node_transfer *t;

	if (!s->core || s->is_fatal)
		return;
	t = NEW(struct node_transfer);
	*t = (struct node_transfer){ .id = to, .done = transfer_done };
	node_core_transfer(s->core, ms_of(s), t);
	look_at(s);
}

/* ---- time ---- */

enum kind { K_NONE, K_LOG, K_MACHINE, K_WORKER, K_TIMER, K_START, K_LETTER,
	    K_PARCEL, K_CRASH };

struct due {
	uint64_t at;
	enum kind kind;
	unsigned i, from;
};

static void earliest(struct due *best, uint64_t at, enum kind kind, unsigned i,
		     unsigned from)
{
	at = MAX(at, w.servers[i].paused_until);
	if (at < best->at)
		*best = (struct due){ at, kind, i, from };
}

static void look_for(struct due *best, unsigned i)
{
	struct server *s = &w.servers[i];
	uint64_t due;

	if (!s->core) {
		if (!s->is_gone)
			earliest(best, s->up_at, K_START, i, 0);
		return;
	}
	if (s->jobs)
		earliest(best, server_job_due(s), K_LOG, i, 0);
	if (s->batch || s->freezing)
		earliest(best, s->machine_due, K_MACHINE, i, 0);
	if (s->frozen && !s->takes_none)
		earliest(best, s->worker_due, K_WORKER, i, 0);
	if (s->crash_at)
		earliest(best, s->crash_at, K_CRASH, i, 0);
	due = node_core_deadline(s->core);
	if (due != UINT64_MAX) {
		int64_t at = (int64_t)due * 1000 - s->clock_us;

		earliest(best, at < (int64_t)w.now ? w.now : (uint64_t)at,
			 K_TIMER, i, 0);
	}
}

static void look_between(struct due *best, unsigned from, unsigned to)
{
	const struct link *l = &w.links[from][to];
	const struct parcel *p = &w.servers[from].parcels[to];

	if (l->first)
		earliest(best, link_due(l), K_LETTER, to, from);
	if (p->c.index)
		earliest(best, p->due, K_PARCEL, to, from);
}

void trace(uint64_t what)
{
	w.trace = (w.trace ^ what) * 0x9e3779b97f4a7c15ull;
	w.trace ^= w.trace >> 32;
}

/* A few pieces of what the log's thread does beside; how many follows from the disk,
 * so that nothing else in a history does. */
static void tend(struct server *s)
{
	struct err err;
	bool did = true;

	for (uint64_t n = disk_steps(s->disk) % 4; n > 0 && did; n--)
		if (wal_tend(node_core_wal(s->core), &did, &err))
			tell("server %llu tends its log: %s", ULL(s->id), err.text);
}

static void do_one(const struct due *d)
{
	struct server *s = &w.servers[d->i];

	switch (d->kind) {
	case K_LOG:
		server_log_step(s);
		if (s->core)
			tend(s);
		break;
	case K_MACHINE:
		server_machine_step(s);
		break;
	case K_WORKER:
		server_worker_step(s);
		break;
	case K_TIMER:
		node_core_timeout(s->core, ms_of(s));
		break;
	case K_START:
		server_start(s);
		break;
	case K_LETTER:
		link_deliver(d->from, d->i);
		break;
	case K_CRASH:
		server_crash(s, below(2), 500);
		break;
	case K_PARCEL:
		link_take_in(d->from, d->i);
		look_at(&w.servers[d->from]);
		break;
	case K_NONE:
		break;
	}
	look_at(s);
}

void world_step(void)
{
	struct due best = { .at = NEVER };

	for (unsigned i = 0; i < SERVERS; i++)
		look_for(&best, i);
	for (unsigned from = 0; from < SERVERS; from++)
		for (unsigned to = 0; to < SERVERS; to++)
			look_between(&best, from, to);
	if (!holds(best.at != NEVER, "nothing will ever happen"))
		return;
	w.now = MAX(w.now, best.at);
	w.n_steps++;
	trace(w.now);
	trace((uint64_t)best.kind << 16 | best.i << 8 | best.from);
	do_one(&best);
	if (world_kind->step)
		world_kind->step();
}

/* ---- the world ---- */

void world_begin(uint64_t seed, enum plant plant, unsigned founders)
{
	memset(&w, 0, sizeof(w));
	server_forget_chains();
	w.seed = seed;
	w.plant = plant;
	w.n_founders = founders;
	w.inflight = INFLIGHT;
	w.now = 1000000;
	w.arena = arena_new(0);
	w.proposals = mem_zero(PROPOSALS_MAX * sizeof(*w.proposals));
	prng_init(&w.prng, seed);
	for (unsigned i = 0; i < SERVERS; i++) {
		struct server *s = &w.servers[i];

		s->id = i + 1;
		snprintf(s->address, sizeof(s->address), "server-%u", i + 1);
		s->disk = disk_new(seed * SERVERS + i);
		s->jobs_last = &s->jobs;
		s->joins = i >= founders;
		s->is_slow = below(6) == 0;
		s->up_at = w.now + below(1000);
		s->clock_us = (int64_t)below(1000000000);
		for (unsigned k = 0; k < SERVERS; k++)
			w.links[i][k].last = &w.links[i][k].first;
		s->machine = world_kind->machine(s);
	}
	if (world_kind->begin)
		world_kind->begin();
}

void world_end(void)
{
	for (unsigned i = 0; i < SERVERS; i++) {
		struct server *s = &w.servers[i];

		if (s->core) {
			node_core_stop(s->core);
			node_core_free(&s->core);
		}
		server_drop_work(s);
		disk_free(&s->disk);
		for (unsigned k = 0; k < SERVERS; k++) {
			buf_fini(&s->parcels[k].bytes);
			link_drop(&w.links[i][k]);
		}
	}
	if (world_kind->end)
		world_kind->end();
	for (size_t i = 0; i < w.n_proposals; i++)
		buf_fini(&w.proposals[i].bytes);
	free(w.proposals);
	arena_free(&w.arena);
}
