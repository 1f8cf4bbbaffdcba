/* A cluster on simulated time: see world.h. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/mem.h"
#include "wire/wire.h"

#include "base/banned.h"

#define NEVER UINT64_MAX
#define ULL(x) ((unsigned long long)(x))
#define CHAINS 65536

enum job_type { JOB_APPEND, JOB_LOAD, JOB_CUT };

struct job {
	struct job *next;
	enum job_type type;
	struct append *append;
	uint64_t from, to, due;
};

struct letter {
	struct letter *next;
	uint64_t due;
	struct buf bytes;
};

struct world w;
bool verbose, quiet;

/* (index, term) -> what the log holds up to there. */
static struct { uint64_t index, term, chain; } chains[CHAINS];

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

bool holds(bool what, const char *fmt, ...)
{
	va_list ap;

	if (what || w.is_broken)
		return what;
	w.is_broken = true;
	if (quiet)
		return false;
	printf("SEED=%llu at %.3f ms: ", ULL(w.seed), (double)w.now / 1000);
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

static uint64_t ms_of(const struct server *s)
{
	return (uint64_t)((int64_t)w.now + s->clock_us) / 1000;
}

/* ---- log matching ---- */

static uint64_t *chain_at(uint64_t index, uint64_t term)
{
	uint64_t at = (index * 0x9e3779b97f4a7c15ull ^ term * 0xc2b2ae3d27d4eb4full)
		>> 40;

	for (;; at++) {
		at %= CHAINS;
		if (chains[at].index == index && chains[at].term == term)
			return &chains[at].chain;
		if (chains[at].index == 0) {
			chains[at].index = index;
			chains[at].term = term;
			return &chains[at].chain;
		}
	}
}

static uint64_t chain_next(uint64_t before, const struct wal_entry *e)
{
	uint64_t h = crc32c(0, e->data.p, e->data.n);

	h = h << 32 | crc32c(0x5a5a5a5a, e->data.p, e->data.n);
	h ^= e->index * 31 + e->term * 1000003 + e->type;
	h ^= before * 0x9e3779b97f4a7c15ull;
	h ^= h >> 29;
	return h * 0xbf58476d1ce4e5b9ull | 1;
}

/* The same index and term: the same entry, and the same before it. */
static void check_entry(struct server *s, const struct wal_entry *e)
{
	uint64_t before = 0, *at, chain;

	if (!holds(e->index < INDEX_MAX, "the log is too long"))
		return;
	s->terms[e->index] = e->term;
	/* Of a log that was cut the first entry has none before it. */
	if (e->index > 1 && s->terms[e->index - 1] == 0)
		return;
	if (e->index > 1)
		before = *chain_at(e->index - 1, s->terms[e->index - 1]);
	at = chain_at(e->index, e->term);
	chain = chain_next(before, e);
	if (*at == 0)
		*at = chain;
	holds(*at == chain, "server %llu: entry %llu of term %llu, or one before "
	      "it, is another in another log", ULL(s->id), ULL(e->index),
	      ULL(e->term));
}

static enum code reread(void *data, const struct wal_entry *e, struct err *err)
{
	check_entry(data, e);
	return OK;
}

static void reread_log(struct server *s)
{
	struct wal *wal = node_core_wal(s->core);
	struct wal_stats st;
	struct err err;

	wal_stats_get(wal, &st);
	if (st.last_index == 0)
		return;
	holds(wal_read(wal, st.first_index, st.last_index, reread, s, &err) == OK,
	      "server %llu: %s", ULL(s->id), err.text);
}

/* ---- the machine ---- */

static struct sha256 next_digest(const struct toy *toy, const struct rc_entry *e)
{
	AUTO_BUF b = BUF_NONE;

	wr_raw(&b, toy->digest.b, sizeof(toy->digest.b));
	wr_u64(&b, e->index);
	wr_u64(&b, e->term);
	wr_u64(&b, e->id);
	wr_u32(&b, crc32c(0, e->data.p, e->data.n));
	return sha256_of(buf_view(&b));
}

static enum code toy_open(void *data, const char *dir, const char *checkpoint,
			  struct rc_applied *out, struct err *err)
{
	struct server *s = data;
	AUTO_BUF bytes = BUF_NONE;

	if (s->toy_is_lost) {
		s->toy = (struct toy){ 0 };
		if (checkpoint) {
			enum code rc = fs_get(disk_fs(s->disk), checkpoint,
					      &bytes, err);

			if (rc)
				return rc;
			holds(bytes.n >= sizeof(s->toy), "a short checkpoint");
			memcpy(&s->toy, bytes.p, sizeof(s->toy));
		}
		s->toy_is_lost = false;
	}
	*out = (struct rc_applied){ s->toy.index, s->toy.term };
	return OK;
}

static void acknowledge(struct server *s, const struct rc_entry *e)
{
	struct proposal *p = &w.proposals[e->id - 1];

	if (!holds(e->id && e->id <= w.n_proposals, "an unknown proposal"))
		return;
	holds(p->state != REFUSED, "proposal %llu was refused and is applied at "
	      "%llu", ULL(e->id), ULL(e->index));
	holds(p->index == 0 || p->index == e->index, "proposal %llu is applied at "
	      "%llu and %llu", ULL(e->id), ULL(p->index), ULL(e->index));
	p->index = e->index;
	if (p->state == OPEN && p->server == s && p->life == s->life) {
		p->state = ACKED;
		w.n_acked++;
		w.acked_max = MAX(w.acked_max, e->index);
	}
}

static void apply_one(struct server *s, const struct rc_entry *e)
{
	struct sha256 digest = next_digest(&s->toy, e);

	if (!holds(e->index == s->toy.index + 1 && e->index < INDEX_MAX,
		   "server %llu: entry %llu is applied after %llu", ULL(s->id),
		   ULL(e->index), ULL(s->toy.index)))
		return;
	if (w.truth[e->index].is_known)
		holds(sha256_eq(&w.truth[e->index].digest, &digest),
		      "server %llu: entry %llu has another effect than it had "
		      "before", ULL(s->id), ULL(e->index));
	w.truth[e->index].is_known = true;
	w.truth[e->index].digest = digest;
	s->toy = (struct toy){ e->index, e->term, s->toy.commands +
			       e->is_command, digest };
	w.applied_max = MAX(w.applied_max, e->index);
	if (e->is_command)
		acknowledge(s, e);
}

static uint64_t toy_bytes(void *data)
{
	return 1000;
}

static enum code toy_freeze(void *data, struct rc_frozen **out,
			    struct rc_applied *at, struct err *err)
{
	return err_set(err, E_INTERNAL, "the world freezes by itself");
}

/* ---- the host: what is asked for ---- */

static uint64_t latency(void)
{
	return below(20) ? below(2000) : below(60000);
}

static struct job *add_job(struct server *s, enum job_type type)
{
	struct job *j = NEW(struct job);

	j->type = type;
	j->due = s->jobs_due = MAX(s->jobs_due, w.now) + latency();
	*s->jobs_last = j;
	s->jobs_last = &j->next;
	return j;
}

static void host_append(void *host, struct append *append)
{
	struct server *s = host;

	for (size_t i = 0; i < append->n; i++)
		check_entry(s, &append->entries[i]);
	add_job(s, JOB_APPEND)->append = append;
}

static void host_load(void *host, uint64_t from, uint64_t to)
{
	struct job *j = add_job(host, JOB_LOAD);

	j->from = from;
	j->to = to;
}

static void host_cut(void *host, uint64_t index)
{
	add_job(host, JOB_CUT)->from = index;
}

static void host_apply(void *host, const struct rc_entry *entries, size_t n,
		       bool makes_ready)
{
	struct server *s = host;

	must(!s->batch && !s->freezing);
	s->batch = entries;
	s->n_batch = n;
	s->machine_due = w.now + latency();
}

static void host_checkpoint(void *host, const struct checkpoint *c)
{
	struct server *s = host;

	must(!s->batch && !s->freezing && !s->frozen);
	s->freezing = c;
	s->machine_due = w.now + latency();
}

static void host_refuse(void *host, struct rc_proposal *p, enum code rc,
			const char *text)
{
	struct proposal *own = container_of(p, struct proposal, p);

	holds(own->state == OPEN, "a proposal is answered twice");
	holds(rc == E_NOT_LEADER || rc == E_BUSY || rc == E_UNCERTAIN ||
	      rc == E_UNAVAILABLE, "a proposal is refused: %s", text);
	own->state = rc == E_UNCERTAIN ? UNCERTAIN : REFUSED;
	w.n_uncertain += rc == E_UNCERTAIN;
	w.n_refused += rc != E_UNCERTAIN;
	holds(own->state != REFUSED || own->index == 0, "proposal %llu is applied "
	      "at %llu and refused: %s", ULL(p->id), ULL(own->index), text);
}

static void host_role(void *host, bool is_leader, uint64_t leader,
		      uint64_t term)
{
	struct server *s = host;

	if (!is_leader)
		return;
	tell("server %llu leads in term %llu", ULL(s->id), ULL(term));
	holds(w.leader_of[term % INDEX_MAX] == 0, "servers %llu and %llu lead in "
	      "term %llu", ULL(w.leader_of[term % INDEX_MAX]), ULL(s->id),
	      ULL(term));
	w.leader_of[term % INDEX_MAX] = s->id;
}

static void host_fatal(void *host, const struct err *err)
{
	struct server *s = host;

	tell("server %llu fails: %s", ULL(s->id), err->text);
	holds(err->code == E_IO || err->code == E_FULL, "server %llu fails: %s",
	      ULL(s->id), err->text);
	s->is_fatal = true;
}

/* The newest entry that a majority of the founders has, whatever its term. */
static uint64_t counted(const struct server *s)
{
	uint64_t best = 0;

	for (uint64_t i = s->toy.index + 1; i < INDEX_MAX && s->terms[i]; i++) {
		unsigned have = 0;

		for (unsigned k = 0; k < w.n_founders; k++)
			have += w.servers[k].terms[i] == s->terms[i];
		if (have <= w.n_founders / 2)
			break;
		best = i;
	}
	return best;
}

static void host_send(void *host, uint64_t peer, const struct engine_message *m)
{
	struct server *s = host;
	struct link *l = &w.links[s->id - 1][peer - 1];
	struct engine_message copy = *m;
	struct letter *letter;

	w.n_messages++;
	if (l->is_cut)
		return;
	if (w.plant == PLANT_COMMIT_OLD && m->type == ENGINE_M_APPEND)
		copy.append.commit = MAX(m->append.commit, counted(s));
	letter = NEW(struct letter);
	message_encode(&letter->bytes, &copy);
	l->last_due = MAX(l->last_due, w.now) + 100 +
		      (below(30) ? below(3000) : below(80000));
	letter->due = l->last_due;
	*l->last = letter;
	l->last = &letter->next;
}

static const struct node_host host = {
	.append = host_append, .load = host_load, .apply = host_apply,
	.checkpoint = host_checkpoint, .cut = host_cut, .refuse = host_refuse,
	.role = host_role, .fatal = host_fatal, .send = host_send,
};

/* ---- network ---- */

static struct letter *link_take(struct link *l)
{
	struct letter *letter = l->first;

	l->first = letter->next;
	if (!l->first)
		l->last = &l->first;
	return letter;
}

static void letter_free(struct letter *letter)
{
	buf_fini(&letter->bytes);
	free(letter);
}

void link_reset(struct link *l)
{
	while (l->first)
		letter_free(link_take(l));
	l->last_due = 0;
}

static void swap_two(struct link *l)
{
	struct letter *a = l->first, *b = a->next;
	uint64_t due = a->due;

	if (!b || b->next)
		return;
	a->due = b->due;
	b->due = due;
	a->next = NULL;
	b->next = a;
	l->first = b;
	l->last = &a->next;
}

static void deliver(unsigned from, unsigned to)
{
	struct link *l = &w.links[from][to];
	struct server *s = &w.servers[to];
	struct engine_message m;
	struct letter *letter;
	struct err err;

	if (w.plant == PLANT_REORDER && below(3) == 0)
		swap_two(l);
	letter = link_take(l);
	if (s->core && !s->is_fatal) {
		arena_reset(w.arena);
		holds(message_decode(w.arena, buf_view(&letter->bytes), &m,
				     &err) == OK, "%s", err.text);
		m.peer = from + 1;
		node_core_receive(s->core, ms_of(s), &m);
	}
	letter_free(letter);
}

/* ---- doing what was asked for ---- */

static void append_now(struct server *s, struct append *a)
{
	uint64_t sequence = a->sequence;
	struct err err;
	enum code rc;

	if (w.plant == PLANT_ACK_EARLY) {
		struct wal_entry *copy = mem_alloc(a->n * sizeof(*copy));
		size_t n = a->n;
		AUTO_BUF bytes = BUF_NONE;

		memcpy(copy, a->entries, n * sizeof(*copy));
		for (size_t i = 0; i < n; i++)
			buf_str(&bytes, copy[i].data);
		for (size_t i = 0, at = 0; i < n; at += copy[i++].data.n)
			copy[i].data.p = bytes.p + at;
		node_core_written(s->core, ms_of(s), sequence, OK, NULL);
		if (below(4))
			(void)!wal_append(node_core_wal(s->core), copy, n, &err);
		else
			server_crash(s, true, 1000);
		free(copy);
		return;
	}
	rc = wal_append(node_core_wal(s->core), a->entries, a->n, &err);
	node_core_written(s->core, ms_of(s), sequence, rc, &err);
}

static void log_step(struct server *s)
{
	struct node_loaded loaded = { 0 };
	struct job *j = s->jobs;
	struct err err;
	enum code rc;

	s->jobs = j->next;
	if (!s->jobs)
		s->jobs_last = &s->jobs;
	switch (j->type) {
	case JOB_APPEND:
		append_now(s, j->append);
		break;
	case JOB_LOAD:
		rc = node_load(node_core_wal(s->core), j->from, j->to, &loaded,
			       &err);
		node_core_loaded(s->core, ms_of(s), rc, &loaded, &err);
		break;
	case JOB_CUT:
		(void)!wal_cut(node_core_wal(s->core), j->from, &err);
		break;
	}
	free(j);
}

static void freeze(struct server *s)
{
	holds(s->freezing->index == s->toy.index, "a picture of %llu is taken at "
	      "%llu", ULL(s->freezing->index), ULL(s->toy.index));
	s->frozen = NEW(struct rc_frozen);
	s->frozen->at = s->toy;
	s->writing = *s->freezing;
	s->writing.conf = BUF_NONE;
	buf_str(&s->writing.conf, buf_view(&s->freezing->conf));
	s->freezing = NULL;
	s->worker_due = w.now + 1000 + below(50000);
	node_core_frozen(s->core, ms_of(s), OK);
}

static void machine_step(struct server *s)
{
	const struct rc_entry *batch = TAKE(s->batch);

	if (s->freezing) {
		freeze(s);
		return;
	}
	for (size_t i = 0; i < s->n_batch && !w.is_broken; i++)
		apply_one(s, &batch[i]);
	node_core_applied(s->core, ms_of(s), OK, NULL, toy_bytes(NULL));
}

static enum code write_checkpoint(struct server *s, uint64_t *kept,
				  struct err *err)
{
	const char *dir = "data/checkpoints";
	struct checkpoint_writer *writer;
	enum code rc = checkpoint_begin(disk_fs(s->disk), dir, NULL, NULL,
					&writer, err);

	if (rc)
		return rc;
	rc = checkpoint_put(writer, &s->frozen->at, sizeof(s->frozen->at), err);
	if (rc == OK)
		rc = checkpoint_end(writer, &s->writing, err);
	checkpoint_writer_free(&writer);
	return rc ? rc : checkpoint_prune(disk_fs(s->disk), dir, 2, kept, err);
}

static void worker_step(struct server *s)
{
	uint64_t kept = 0;
	struct err err;
	enum code rc = write_checkpoint(s, &kept, &err);

	w.n_checkpoints += rc == OK;
	free(TAKE(s->frozen));
	checkpoint_fini(&s->writing);
	node_core_checkpointed(s->core, ms_of(s), rc, kept);
}

/* ---- life of a server ---- */

static void drop_work(struct server *s)
{
	for (struct job *j = s->jobs, *next; j; j = next) {
		next = j->next;
		free(j);
	}
	s->jobs = NULL;
	s->jobs_last = &s->jobs;
	s->jobs_due = 0;
	s->batch = NULL;
	s->freezing = NULL;
	free(TAKE(s->frozen));
	checkpoint_fini(&s->writing);
}

static void reset_links(struct server *s)
{
	for (unsigned i = 0; i < SERVERS; i++) {
		link_reset(&w.links[s->id - 1][i]);
		link_reset(&w.links[i][s->id - 1]);
	}
}

void server_crash(struct server *s, bool power, uint64_t back_after_us)
{
	if (!s->core)
		return;
	tell("server %llu %s, %llu applied", ULL(s->id), power ?
	     "loses power" : "is killed", ULL(s->toy.index));
	/* Who waits is only forgotten. */
	node_core_stop(s->core);
	node_core_free(&s->core);
	drop_work(s);
	reset_links(s);
	if (power)
		disk_power_loss(s->disk);
	else
		disk_kill(s->disk);
	s->toy_is_lost |= power || below(5) == 0;
	s->is_fatal = false;
	s->paused_until = 0;
	s->up_at = w.now + back_after_us;
	memset(s->terms, 0, sizeof(s->terms));
	s->life++;
	w.n_crashes++;
}

static enum code server_open(struct server *s, struct err *err)
{
	struct node_member members[SERVERS];
	struct node_core_config core = { .fs = disk_fs(s->disk), .host = &host,
					 .host_data = s,
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
	config.segment_bytes = 8 * 4096;
	config.checkpoint_log_bytes = 12000000;
	config.entry_bytes_max = 4096;
	config.inflight_entries_max = 64;
	config.machine = (struct rc_machine){ .data = s, .open = toy_open,
					      .bytes = toy_bytes,
					      .freeze = toy_freeze };
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
	enum code rc = server_open(s, &err);

	if (rc) {
		tell("server %llu does not open: %s", ULL(s->id), err.text);
		holds(rc == E_IO, "server %llu: a start is refused: %s",
		      ULL(s->id), err.text);
		if (disk_is_down(s->disk))
			disk_power_loss(s->disk);
		else
			disk_kill(s->disk);
		s->toy_is_lost = true;
		s->up_at = w.now + 1000 + below(100000);
		return;
	}
	tell("server %llu is up, %llu applied", ULL(s->id), ULL(s->toy.index));
	reread_log(s);
	node_core_start(s->core, ms_of(s));
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
	holds(v.term >= s->term, "server %llu: term %llu comes after %llu",
	      ULL(s->id), ULL(v.term), ULL(s->term));
	s->term = v.term;
}

/* ---- clients ---- */

static void never_done(struct rc_proposal *p, enum code rc,
		       const struct err *err)
{
	must(!"the host refuses");
}

void server_propose(struct server *s, unsigned n)
{
	struct rc_proposal *first = NULL, **last = &first;

	if (!s->core || s->is_fatal)
		return;
	for (; n && w.n_proposals < PROPOSALS_MAX; n--) {
		struct proposal *own = &w.proposals[w.n_proposals++];
		size_t size = (size_t)below(below(4) ? 60 : 1500);

		memset(buf_extend(&own->bytes, size + 1), 'x', size + 1);
		own->server = s;
		own->life = s->life;
		own->p = (struct rc_proposal){ .id = w.n_proposals,
					       .data = buf_view(&own->bytes),
					       .done = never_done };
		*last = &own->p;
		last = &own->p.next_;
	}
	if (first)
		node_core_propose(s->core, ms_of(s), first);
	look_at(s);
}

static void change_done(struct node_change *change, enum code rc,
			const struct err *err)
{
	tell("change %d of server %llu: %s", (int)change->change, ULL(change->id),
	     rc ? err->text : "done");
	holds(rc == OK || rc == E_NOT_LEADER || rc == E_NOT_FOUND ||
	      rc == E_EXISTS || rc == E_CONFLICT || rc == E_UNCERTAIN ||
	      rc == E_UNAVAILABLE, "a change ends with: %s", rc ? err->text : "");
	w.n_changes += rc == OK;
	free(change);
}

void server_change(struct server *s)
{
	struct node_change *change;
	struct server *other = &w.servers[below(SERVERS)];

	if (!s->core || s->is_fatal)
		return;
	change = NEW(struct node_change);
	*change = (struct node_change){
		.change = (enum engine_change)below(4), .id = other->id,
		.address = other->address, .force = below(8) == 0,
		.done = change_done,
	};
	node_core_change(s->core, ms_of(s), change);
	look_at(s);
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

enum kind { K_NONE, K_LOG, K_MACHINE, K_WORKER, K_TIMER, K_START, K_LETTER };

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
		earliest(best, s->up_at, K_START, i, 0);
		return;
	}
	if (s->jobs)
		earliest(best, s->jobs->due, K_LOG, i, 0);
	if (s->batch || s->freezing)
		earliest(best, s->machine_due, K_MACHINE, i, 0);
	if (s->frozen)
		earliest(best, s->worker_due, K_WORKER, i, 0);
	due = node_core_deadline(s->core);
	if (due != UINT64_MAX) {
		int64_t at = (int64_t)due * 1000 - s->clock_us;

		earliest(best, at < (int64_t)w.now ? w.now : (uint64_t)at,
			 K_TIMER, i, 0);
	}
}

static void do_one(const struct due *d)
{
	struct server *s = &w.servers[d->i];

	switch (d->kind) {
	case K_LOG:
		log_step(s);
		break;
	case K_MACHINE:
		machine_step(s);
		break;
	case K_WORKER:
		worker_step(s);
		break;
	case K_TIMER:
		node_core_timeout(s->core, ms_of(s));
		break;
	case K_START:
		server_start(s);
		break;
	case K_LETTER:
		deliver(d->from, d->i);
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
			if (w.links[from][to].first)
				earliest(&best, w.links[from][to].first->due,
					 K_LETTER, to, from);
	if (!holds(best.at != NEVER, "nothing will ever happen"))
		return;
	w.now = MAX(w.now, best.at);
	w.n_steps++;
	do_one(&best);
}

/* ---- the world ---- */

void world_begin(uint64_t seed, enum plant plant, unsigned founders)
{
	memset(&w, 0, sizeof(w));
	memset(chains, 0, sizeof(chains));
	w.seed = seed;
	w.plant = plant;
	w.n_founders = founders;
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
		s->up_at = w.now + below(1000);
		s->clock_us = (int64_t)below(1000000000);
		for (unsigned k = 0; k < SERVERS; k++)
			w.links[i][k].last = &w.links[i][k].first;
	}
}

void world_end(void)
{
	for (unsigned i = 0; i < SERVERS; i++) {
		struct server *s = &w.servers[i];

		if (s->core) {
			node_core_stop(s->core);
			node_core_free(&s->core);
		}
		drop_work(s);
		reset_links(s);
		disk_free(&s->disk);
	}
	for (size_t i = 0; i < w.n_proposals; i++)
		buf_fini(&w.proposals[i].bytes);
	free(w.proposals);
	arena_free(&w.arena);
}
