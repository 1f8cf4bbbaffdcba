/* What a server's core asks for, and how it is done: see world.h. */
#include <stdlib.h>

#include "base/mem.h"
#include "wire/wire.h"
#include "world.h"

#include "base/banned.h"

#define CHAINS 65536
#define AGAIN_US 200000ull
#define HEARTBEAT_US 50000ull

enum job_type { JOB_APPEND, JOB_LOAD, JOB_CUT, JOB_INSTALL };

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

/* (index, term) -> what the log holds up to there. */
static struct { uint64_t index, term, chain; } chains[CHAINS];

void server_forget_chains(void)
{
	memset(chains, 0, sizeof(chains));
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
	keeps(LAW_LOG, *at == chain, "server %llu: entry %llu of term %llu, or one before "
	      "it, is another in another log", ULL(s->id), ULL(e->index),
	      ULL(e->term));
}

static enum code reread(void *data, const struct wal_entry *e, struct err *err)
{
	check_entry(data, e);
	return OK;
}

void server_reread_log(struct server *s)
{
	struct wal *wal = node_core_wal(s->core);
	struct wal_stats st;
	struct err err;

	wal_stats_get(wal, &st);
	if (st.last_index == 0)
		return;
	keeps(LAW_START, wal_read(wal, st.first_index, st.last_index, reread, s,
				   &err) == OK,
	      "server %llu: %s", ULL(s->id), err.text);
}

/* ---- the machine ---- */

static void note_digest(struct server *s, uint64_t index);

enum code server_machine_open(void *data, const char *dir,
			      const struct rc_checkpoint *from,
			      struct rc_applied *out, struct err *err)
{
	struct server *s = data;
	enum code rc = s->machine.open(s->machine.data, dir, from, out, err);

	if (rc)
		return rc;
	s->state_is_lost = false;
	s->at = *out;
	s->opened_at = w.now;
	if (s->at.index)
		note_digest(s, s->at.index);
	if (world_kind->opened)
		world_kind->opened(s);
	return OK;
}

uint64_t server_machine_bytes(void *data)
{
	const struct server *s = data;

	return s->machine.bytes(s->machine.data);
}

void server_machine_digest(void *data, uint8_t out[32])
{
	const struct server *s = data;

	s->machine.digest(s->machine.data, out);
}

enum code server_machine_freeze(void *data, struct rc_frozen **out,
				struct rc_applied *at, struct err *err)
{
	return err_set(err, E_INTERNAL, "the world freezes by itself");
}

static struct node_stand stand_of(struct server *s)
{
	struct node_stand stand = { .bytes = server_machine_bytes(s) };

	server_machine_digest(s, stand.digest);
	return stand;
}

static void acknowledge(struct server *s, const struct rc_entry *e)
{
	struct proposal *p = &w.proposals[e->id - 1];

	if (!holds(e->id && e->id <= w.n_proposals, "an unknown proposal"))
		return;
	keeps(LAW_REFUSED, p->state != REFUSED, "proposal %llu was refused and is "
	      "applied at %llu", ULL(e->id), ULL(e->index));
	keeps(LAW_ONCE, p->index == 0 || p->index == e->index, "proposal %llu is "
	      "applied at %llu and %llu", ULL(e->id), ULL(p->index),
	      ULL(e->index));
	p->index = e->index;
	if (p->state == OPEN && p->server == s && p->life == s->life) {
		p->state = ACKED;
		w.n_acked++;
		w.acked_max = MAX(w.acked_max, e->index);
	}
}

/* What all did up to 'index'. */
static void note_digest(struct server *s, uint64_t index)
{
	struct sha256 digest;

	/* A server whose effects are bent is no witness. */
	if (s->bent_at && index >= s->bent_at)
		return;
	server_machine_digest(s, digest.b);
	if (w.truth[index].is_known)
		keeps(LAW_EFFECTS, sha256_eq(&w.truth[index].digest, &digest),
		      "server %llu: entry %llu has another effect than it had "
		      "before", ULL(s->id), ULL(index));
	w.truth[index].is_known = true;
	w.truth[index].digest = digest;
	w.applied_max = MAX(w.applied_max, index);
	trace(index << 3 | s->id);
}

/* What found no room is tried again, as raftcore/node/room.c does: nothing of it may
 * have happened. */
static void try_again(struct server *s, const struct rc_entry *e, const struct err *err)
{
	tell("server %llu has no room for %llu: %s", ULL(s->id), ULL(e->index),
	     err->text);
	s->machine_due = w.now + AGAIN_US;
	s->has_no_room = true;
	w.n_no_room++;
	if (world_kind->no_room)
		world_kind->no_room(s);
}

/* False: the process ends between two slices of it, or there is no room for it. */
static bool apply_batch(struct server *s, const struct rc_entry *e, size_t n)
{
	const struct rc_machine *m = &s->machine;
	bool more = m->apply_more;
	struct err err;
	enum code rc = m->apply(m->data, e, n, &err);

	while (rc == OK && more) {
		rc = m->apply_more(m->data, &more, &err);
		if (more && world_kind->dies && world_kind->dies(s)) {
			server_crash(s, false, 1000);
			return false;
		}
	}
	if (rc == E_FULL && world_kind->no_room) {
		try_again(s, e, &err);
		return false;
	}
	if (server_may_stop(s, rc)) {
		s->is_fatal = true;
		return false;
	}
	return holds(rc == OK, "server %llu: entry %llu is not applied: %s",
		     ULL(s->id), ULL(e->index), err.text);
}

/* Some at once, where the machine would have it. */
static bool apply_some(struct server *s, const struct rc_entry *e, size_t n)
{
	const struct rc_entry *last = &e[n - 1];

	for (size_t i = 0; i < n; i++)
		if (!keeps(LAW_ORDER, e[i].index == s->at.index + 1 + i &&
			   e[i].index < INDEX_MAX, "server %llu: entry %llu is "
			   "applied after %llu", ULL(s->id), ULL(e[i].index),
			   ULL(s->at.index + i)))
			return false;
	if (world_kind->applying)
		world_kind->applying(s, e, n);
	if (!apply_batch(s, e, n))
		return false;
	s->at = (struct rc_applied){ last->index, last->term };
	if (world_kind->applied)
		world_kind->applied(s, e, n);
	note_digest(s, last->index);
	for (size_t i = 0; i < n; i++)
		if (e[i].is_command)
			acknowledge(s, &e[i]);
	return true;
}

/* ---- the host: what is asked for ---- */

static uint64_t latency(const struct server *s)
{
	if (s->is_slow)
		return below(40000);
	return below(20) ? below(2000) : below(60000);
}

static struct job *add_job(struct server *s, enum job_type type)
{
	struct job *j = NEW(struct job);

	j->type = type;
	j->due = s->jobs_due = MAX(s->jobs_due, w.now) + latency(s);
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
		       bool makes_ready, bool wants_digest)
{
	struct server *s = host;

	must(!s->batch && !s->freezing);
	s->batch = entries;
	s->n_batch = n;
	s->wants_digest = wants_digest;
	s->machine_due = w.now + latency(s);
}

static void host_checkpoint(void *host, const struct checkpoint *c)
{
	struct server *s = host;

	must(!s->batch && !s->freezing && !s->frozen);
	s->freezing = c;
	s->machine_due = w.now + latency(s);
}

/* What the other side gets is what lies here now. */
static void host_ship(void *host, uint64_t peer, const struct checkpoint *c)
{
	struct server *s = host;
	struct parcel *p = &s->parcels[peer - 1];
	const char *dir = "data/checkpoints";
	struct fs *fs = node_core_files(s->core);
	AUTO_BUF path = BUF_NONE;

	must(!p->c.index);
	checkpoint_path(dir, c, ".ckpt", &path);
	buf_reset(&p->bytes);
	if (checkpoint_load(fs, dir, c->index, c->term, &p->c, NULL) ||
	    fs_get(fs, path.p, &p->bytes, NULL))
		buf_reset(&p->bytes);
	p->c.index = c->index;
	p->due = w.now + 1000 + below(150000);
}

static void host_install(void *host, const struct checkpoint *c,
			 const char *path)
{
	struct server *s = host;

	must(!s->batch && !s->freezing && !s->frozen && !s->installing);
	s->installing = c;
	add_job(s, JOB_INSTALL);
}

static void host_install_done(void *host, enum code rc)
{
	struct server *s = host;

	tell("server %llu: installing ends, %d", ULL(s->id), (int)rc);
	s->is_taking_in = rc == E_BUSY;
	w.n_installs += rc == OK;
}

static void host_refuse(void *host, struct rc_proposal *p, enum code rc,
			const char *text)
{
	struct proposal *own = container_of(p, struct proposal, p);

	if (w.plant == PLANT_ACK_ALONE && own->state == ACKED)
		return;
	holds(own->state == OPEN, "a proposal is answered twice");
	if (w.plant == PLANT_REFUSE && rc == E_UNCERTAIN)
		rc = E_NOT_LEADER;
	holds(rc == E_NOT_LEADER || rc == E_BUSY || rc == E_UNCERTAIN ||
	      rc == E_UNAVAILABLE, "a proposal is refused: %s", text);
	own->state = rc == E_UNCERTAIN ? UNCERTAIN : REFUSED;
	if (world_kind->refused)
		world_kind->refused(own, rc);
	w.n_uncertain += rc == E_UNCERTAIN;
	w.n_refused += rc != E_UNCERTAIN;
	keeps(LAW_REFUSED, own->state != REFUSED || own->index == 0, "proposal %llu "
	      "is applied at %llu and refused: %s", ULL(p->id), ULL(own->index),
	      text);
}

static void host_role(void *host, bool is_leader, uint64_t leader,
		      uint64_t term)
{
	struct server *s = host;

	if (!is_leader)
		return;
	tell("server %llu leads in term %llu", ULL(s->id), ULL(term));
	keeps(LAW_LEADERS, w.leader_of[term % INDEX_MAX] == 0, "servers %llu and "
	      "%llu lead in term %llu", ULL(w.leader_of[term % INDEX_MAX]),
	      ULL(s->id), ULL(term));
	w.leader_of[term % INDEX_MAX] = s->id;
}

static void host_fatal(void *host, const struct err *err)
{
	struct server *s = host;

	tell("server %llu fails: %s", ULL(s->id), err->text);
	keeps(LAW_START, err->code == E_IO || err->code == E_FULL ||
	      server_may_stop(s, err->code), "server %llu fails: %s",
	      ULL(s->id), err->text);
	s->is_fatal = true;
}

/* The newest entry of an older term that a majority of the founders has. */
static uint64_t counted(const struct server *s, uint64_t term)
{
	uint64_t best = 0;

	for (uint64_t i = s->at.index + 1;
	     i < INDEX_MAX && s->terms[i] && s->terms[i] < term; i++) {
		unsigned have = 0;

		for (unsigned k = 0; k < w.n_founders; k++) {
			const struct server *o = &w.servers[k];
			struct node_core_view v = { 0 };

			if (o->core)
				node_core_view(o->core, &v);
			have += v.durable >= i && o->terms[i] == s->terms[i];
		}
		if (have <= w.n_founders / 2)
			break;
		best = i;
	}
	return best;
}

/* Entries of older terms go first, and then by themselves. */
static void commit_old(const struct server *s, struct engine_message *m)
{
	unsigned old = 0;

	while (old < m->append.n && m->append.entries[old].term < m->term)
		old++;
	if (old)
		m->append.n = old;
	m->append.commit = MAX(m->append.commit, counted(s, m->term));
}

/* By its time; the planted mistakes alone have others that are later. */
static void enqueue(struct link *l, struct letter *letter)
{
	struct letter **at = &l->first;

	while (*at && (*at)->due <= letter->due)
		at = &(*at)->next;
	letter->next = *at;
	*at = letter;
	if (!letter->next)
		l->last = &letter->next;
}

static void put_letter(struct link *l, const struct engine_message *m)
{
	struct letter *letter = NEW(struct letter);

	message_encode(&letter->bytes, m);
	/* The last byte of a command is the last of all. */
	if (w.plant == PLANT_GARBLED && m->type == ENGINE_M_APPEND && m->append.n &&
	    m->append.entries[m->append.n - 1].type == ENGINE_COMMAND)
		letter->bytes.p[letter->bytes.n - 1]++;
	l->last_due = MAX(l->last_due, w.now + w.distance_us) + 100 +
		      (below(30) ? below(3000) : below(80000));
	letter->due = l->last_due;
	enqueue(l, letter);
}

/* Planted: what is not sent. */
static bool is_kept_back(struct link *l, const struct engine_message *m)
{
	uint64_t before = l->appended_at;

	if (m->type != ENGINE_M_APPEND)
		return w.plant == PLANT_UNCOMPARED && m->type == ENGINE_M_CHAIN;
	/* It comes before a heartbeat is due. */
	if (w.plant == PLANT_UNTOLD && !m->append.n && w.now < before + HEARTBEAT_US)
		return true;
	l->appended_at = w.now;
	return false;
}

static void host_send(void *host, uint64_t peer, const struct engine_message *m)
{
	struct server *s = host;
	struct link *l = &w.links[s->id - 1][peer - 1];
	struct engine_message copy = *m;

	w.n_messages++;
	/* What was promised must be kept. */
	if (!w.is_calm && below(m->type == ENGINE_M_VOTE_RESULT &&
				!m->vote_result.pre ? 4 : 1500) == 0)
		s->crash_at = w.now + below(3000);
	if (w.plant == PLANT_AGREE && m->type == ENGINE_M_READ_ROUND) {
		copy.type = ENGINE_M_READ_AGREED;
		put_letter(&w.links[peer - 1][s->id - 1], &copy);
		return;
	}
	if (m->type == ENGINE_M_READ_ROUND || m->type == ENGINE_M_READ_ASK)
		s->asked = m->read.number;
	if (l->is_cut || is_kept_back(l, m))
		return;
	if (w.plant == PLANT_COMMIT_OLD && m->type == ENGINE_M_APPEND)
		commit_old(s, &copy);
	put_letter(l, &copy);
}

const struct node_host server_host = {
	.append = host_append, .load = host_load, .apply = host_apply,
	.checkpoint = host_checkpoint, .cut = host_cut, .refuse = host_refuse,
	.role = host_role, .fatal = host_fatal, .send = host_send,
	.ship = host_ship, .install = host_install,
	.install_done = host_install_done,
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

uint64_t link_due(const struct link *l)
{
	return l->first->due;
}

static void letter_free(struct letter *letter)
{
	buf_fini(&letter->bytes);
	free(letter);
}

void link_drop(struct link *l)
{
	while (l->first)
		letter_free(link_take(l));
}

/* What is sent from now on comes before it, some of it. */
static void hold_back(struct link *l)
{
	uint64_t more = below(below(4) ? 50000 : 2000000);

	for (struct letter *e = l->first; e; e = e->next)
		e->due += more;
}

void link_reset(struct link *l)
{
	if (w.plant == PLANT_LATE)
		hold_back(l);
	else
		link_drop(l);
	l->last_due = 0;
}

static void come_again(struct link *l, struct letter *letter)
{
	letter->due = w.now + 100 + below(below(4) ? 50000 : 3000000);
	enqueue(l, letter);
}

/* Planted: it answers a question that was asked again meanwhile. */
static bool is_passed_over(const struct server *s, const struct engine_message *m)
{
	return w.plant == PLANT_ROUNDS &&
	       (m->type == ENGINE_M_READ_AGREED || m->type == ENGINE_M_READ_ANSWER) &&
	       m->read.number != s->asked;
}

void link_deliver(unsigned from, unsigned to)
{
	struct link *l = &w.links[from][to];
	struct server *s = &w.servers[to];
	struct engine_message m;
	struct letter *letter;
	struct err err;

	letter = link_take(l);
	if (s->core && !s->is_fatal) {
		arena_reset(w.arena);
		holds(message_decode(w.arena, buf_view(&letter->bytes), &m,
				     &err) == OK, "%s", err.text);
		m.peer = from + 1;
		if (!is_passed_over(s, &m))
			node_core_receive(s->core, ms_of(s), &m);
	}
	if (w.plant == PLANT_TWICE && below(3) == 0)
		come_again(l, letter);
	else
		letter_free(letter);
}

/* A parcel arrives: it is written down, and then the core hears of it. */
void link_take_in(unsigned from, unsigned to)
{
	struct parcel *p = &w.servers[from].parcels[to];
	struct server *s = &w.servers[to];
	const char *path = "data/checkpoints/shipped";
	struct fs *fs = s->core ? node_core_files(s->core) : disk_fs(s->disk);
	struct file *file;
	bool is_lost = w.links[from][to].is_cut || !p->bytes.n || !s->core ||
		       s->is_fatal || s->is_taking_in;
	enum code rc = is_lost ? E_IO :
		       fs->ops->make_dir(fs, "data/checkpoints", NULL);

	/* Of an earlier one; it may be plain, and sealing is on now. */
	if (rc == OK)
		(void)fs->ops->remove(fs, path, NULL);
	if (rc == OK)
		rc = fs->ops->open(fs, path, FILE_WRITE | FILE_CREATE, &file,
				   NULL);
	if (rc == OK) {
		rc = fs->ops->write(fs, file, 0, p->bytes.p, p->bytes.n, NULL);
		if (rc == OK)
			rc = fs->ops->sync(fs, file, NULL);
		fs->ops->close(fs, file);
	}
	if (rc == OK) {
		s->is_taking_in = true;
		node_core_install(s->core, ms_of(s), &p->c, path);
	}
	checkpoint_fini(&p->c);
	s = &w.servers[from];
	if (s->core && !s->is_fatal)
		node_core_shipped(s->core, to + 1);
}

/* ---- doing what was asked for ---- */

uint64_t server_job_due(const struct server *s)
{
	return s->jobs->due;
}

static void acknowledge_alone(const struct append *a)
{
	for (size_t i = 0; i < a->n; i++) {
		struct rd rd = rd_of(a->entries[i].data);
		uint64_t id = rd_u64(&rd);

		if (a->entries[i].type == ENGINE_COMMAND &&
		    w.proposals[id - 1].state == OPEN)
			w.proposals[id - 1].state = ACKED;
	}
}

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
	if (w.plant == PLANT_ACK_ALONE && !w.is_calm && server_leads(s))
		acknowledge_alone(a);
	rc = wal_append(node_core_wal(s->core), a->entries, a->n, &err);
	node_core_written(s->core, ms_of(s), sequence, rc, &err);
}

/* On the log's thread; the machine's part follows at once. */
static void install_now(struct server *s)
{
	const struct checkpoint *c = TAKE(s->installing);
	struct rc_applied at = { 0 };
	struct fs *files = node_core_files(s->core);
	struct rc_checkpoint from = { .fs = files, .index = c->index };
	AUTO_BUF picture = BUF_NONE;
	struct node_stand stand = { 0 };
	struct err err;
	enum code rc;

	/* Its steps are few, and each may be the last. */
	if (!w.is_calm && below(3) == 0)
		disk_crash_at(s->disk, disk_steps(s->disk) + 1 + below(20));
	rc = node_install(disk_fs(s->disk), files, "data", node_core_wal(s->core),
			  c, "data/checkpoints/shipped", &err);
	tell("server %llu installs %llu: %s", ULL(s->id), ULL(c->index),
	     rc ? err.text : "ok");
	memset(s->terms, 0, sizeof(s->terms));
	s->floor = c->index;
	s->n_named = 0;
	checkpoint_path("data/checkpoints", c, ".ckpt", &picture);
	from.path = picture.p;
	if (rc == OK && s->machine.close)
		s->machine.close(s->machine.data);
	if (rc == OK)
		rc = server_machine_open(s, "data/state", &from, &at, &err);
	if (rc == OK)
		stand = stand_of(s);
	node_core_installed(s->core, ms_of(s), rc, &at, &stand, &err);
}

void server_log_step(struct server *s)
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
	case JOB_INSTALL:
		install_now(s);
		break;
	case JOB_CUT:
		(void)!wal_cut(node_core_wal(s->core), j->from, &err);
		break;
	}
	free(j);
}

static void freeze(struct server *s)
{
	struct rc_applied at;
	struct err err;
	enum code rc = s->machine.freeze(s->machine.data, &s->frozen, &at, &err);

	holds(rc == OK && s->freezing->index == at.index && at.index ==
	      s->at.index, "a picture of %llu is taken at %llu",
	      ULL(s->freezing->index), ULL(at.index));
	s->writing = *s->freezing;
	s->writing.conf = BUF_NONE;
	buf_str(&s->writing.conf, buf_view(&s->freezing->conf));
	s->freezing = NULL;
	s->worker_due = w.now + 1000 + below(below(3) ? 50000 : 1500000);
	node_core_frozen(s->core, ms_of(s), OK);
}

static void thaw(struct server *s)
{
	if (s->frozen)
		s->machine.thaw(s->machine.data, TAKE(s->frozen));
}

/* Planted: the core hears of a batch that is not applied yet, and lets go of it. */
static void answer_early(struct server *s, const struct rc_entry *batch, size_t n)
{
	struct rc_entry *copy = mem_alloc(n * sizeof(*copy));
	struct node_stand stand = stand_of(s);
	AUTO_BUF bytes = BUF_NONE;

	memcpy(copy, batch, n * sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		buf_str(&bytes, copy[i].data);
	for (size_t i = 0, at = 0; i < n; at += copy[i++].data.n)
		copy[i].data.p = bytes.p + at;
	node_core_applied(s->core, ms_of(s), OK, NULL, &stand);
	for (size_t i = 0; i < n && !w.is_broken; i++)
		(void)!apply_some(s, &copy[i], 1);
	free(copy);
}

void server_machine_step(struct server *s)
{
	const struct rc_entry *batch = TAKE(s->batch);
	size_t n = s->n_batch;
	struct node_stand stand;

	if (s->freezing) {
		freeze(s);
		return;
	}
	if (w.plant == PLANT_UNAPPLIED && !s->wants_digest) {
		answer_early(s, batch, n);
		return;
	}
	if (w.plant == PLANT_SWAP && n > 1)
		(void)!apply_some(s, batch + 1, 1);
	s->has_no_room = false;
	while (n && !w.is_broken) {
		size_t k = world_kind->batch ? world_kind->batch(s, n) : 1;

		if (!apply_some(s, batch, k))
			break;
		batch += k;
		n -= k;
	}
	if (!s->core || s->is_fatal)
		return;
	if (s->has_no_room) {
		s->batch = batch;
		s->n_batch = n;
		return;
	}
	stand = stand_of(s);
	if (w.plant == PLANT_DIGEST && below(50) == 0)
		stand.digest[0]++;
	node_core_applied(s->core, ms_of(s), OK, NULL, &stand);
}

static enum code write_checkpoint(struct server *s, uint64_t *kept,
				  struct err *err)
{
	const char *dir = "data/checkpoints";
	struct checkpoint_writer *writer;
	struct fs *files = node_core_files(s->core);
	enum code rc = checkpoint_begin(files, dir, NULL, NULL, &writer, err);

	if (rc)
		return rc;
	disk_set_lies(s->disk, w.plant == PLANT_UNSYNCED);
	rc = s->machine.write(s->machine.data, s->frozen, checkpoint_put, writer,
			      err);
	disk_rot_next(s->disk, !w.is_calm && below(15) == 0);
	if (rc == OK)
		rc = checkpoint_end(writer, &s->writing, err);
	disk_rot_next(s->disk, false);
	disk_set_lies(s->disk, false);
	checkpoint_writer_free(&writer);
	rc = rc ? rc : checkpoint_prune(files, dir, 2, kept, err);
	checkpoint_clear(disk_fs(s->disk), dir, NULL, NULL);
	if (w.plant == PLANT_CUT_NEWER)
		*kept = s->writing.index;
	return rc;
}

/* The log is cut, and then the checkpoint is written. */
static void cut_early(struct server *s)
{
	struct err err;

	if (s->writing.index > 2 * w.inflight)
		(void)!wal_cut(node_core_wal(s->core),
			       s->writing.index - 2 * w.inflight, &err);
}

void server_worker_step(struct server *s)
{
	uint64_t kept = 0;
	struct err err;
	enum code rc;

	if (w.plant == PLANT_CUT_EARLY)
		cut_early(s);
	rc = write_checkpoint(s, &kept, &err);
	w.n_checkpoints += rc == OK;
	s->n_named += rc == OK;
	thaw(s);
	checkpoint_fini(&s->writing);
	node_core_checkpointed(s->core, ms_of(s), rc, kept);
}

void server_drop_work(struct server *s)
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
	thaw(s);
	checkpoint_fini(&s->writing);
	s->installing = NULL;
	s->is_taking_in = false;
	for (unsigned i = 0; i < SERVERS; i++)
		checkpoint_fini(&s->parcels[i].c);
}
