/*
 * libraft 0.22.1 behind engine.h: its step core and nothing else of it.  Who
 * stands for election and who votes is in engine_vote.c.
 *
 * The core keeps terms, not payloads, so it is given entries without their
 * bytes; membership entries are the exception, because it reads them.  A result
 * of a step other than "not leader", "no space" and "cannot change now" means
 * that the core's own invariants are broken: that is a safety alarm, and the
 * process ends.
 */
#include "node/engine_own.h"

#include "node/guard.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

#include "base/banned.h"

_Static_assert(RAFT_VERSION_NUMBER == 2201,
	       "raftcore was audited with libraft 0.22.1 and no other version");

#define VOTE_VERSION 2           /* messages that tell pre-votes from votes */

static enum code outcome_of(struct engine *e, int rc, const char *what,
		       struct err *err)
{
	switch (rc) {
	case 0:
		return OK;
	case RAFT_NOTLEADER:
		return err_set(err, E_NOT_LEADER, "this node is not the leader");
	case RAFT_NOSPACE:
		return err_set(err, E_FULL, "no space for new entries");
	case RAFT_CANTCHANGE:
		return err_set(err, E_CONFLICT, "a membership change is under way");
	default:
		log_error("raft", LOG_KV(log_z("step", what),
					 log_z("error", raft_errmsg(&e->raft))),
			  "the consensus engine broke its rules");
		must(!"safety alarm of the consensus engine");
	}
	return E_INTERNAL;
}

/* ---- messages ---- */

static void put_conf(struct buf *out, const struct raft_configuration *conf)
{
	struct raft_buffer bytes;

	must(raft_configuration_encode(conf, &bytes) == 0);
	buf_reset(out);
	buf_add(out, bytes.base, bytes.len);
	raft_free(bytes.base);
}

static struct engine_message message_of(const struct engine *e,
					const struct raft_message *m)
{
	struct engine_message to = { .type = (enum engine_message_type)m->type,
				     .peer = m->server_id };

	switch (m->type) {
	case RAFT_APPEND_ENTRIES:
		to.term = m->append_entries.term;
		to.append.prev_index = m->append_entries.prev_log_index;
		to.append.prev_term = m->append_entries.prev_log_term;
		to.append.commit = m->append_entries.leader_commit;
		to.append.n = m->append_entries.n_entries;
		break;
	case RAFT_APPEND_ENTRIES_RESULT:
		to.term = m->append_entries_result.term;
		to.append_result.rejected = m->append_entries_result.rejected;
		to.append_result.last_index =
			m->append_entries_result.last_log_index;
		break;
	case RAFT_REQUEST_VOTE:
		to.term = m->request_vote.term;
		to.vote.candidate = m->request_vote.candidate_id;
		to.vote.last_index = m->request_vote.last_log_index;
		to.vote.last_term = m->request_vote.last_log_term;
		to.vote.disrupt = m->request_vote.disrupt_leader;
		to.vote.pre = m->request_vote.pre_vote;
		break;
	case RAFT_REQUEST_VOTE_RESULT:
		to.term = m->request_vote_result.term;
		to.vote_result.granted = m->request_vote_result.vote_granted;
		to.vote_result.pre = m->request_vote_result.pre_vote;
		guard_vote_result(&to, raft_current_term(&e->raft));
		break;
	case RAFT_INSTALL_SNAPSHOT:
		/* The core names the index; the rest is the checkpoint's. */
		to.term = m->install_snapshot.term;
		must(m->install_snapshot.last_index == e->snapshot_index);
		to.install = (struct engine_snapshot){
			e->snapshot_index, e->snapshot_term,
			e->snapshot_conf_index, buf_view(&e->snapshot_conf)
		};
		break;
	case RAFT_TIMEOUT_NOW:
		to.term = m->timeout_now.term;
		to.timeout_now.last_index = m->timeout_now.last_log_index;
		to.timeout_now.last_term = m->timeout_now.last_log_term;
		break;
	}
	return to;
}

static struct asked *asked_of(struct engine *e, uint64_t peer)
{
	for (size_t i = 0; i < e->n_asked; i++)
		if (e->asked[i].peer == peer)
			return &e->asked[i];
	mem_grow((void **)&e->asked, &e->cap_asked, e->n_asked + 1,
		 sizeof(*e->asked));
	e->asked[e->n_asked] = (struct asked){ .peer = peer };
	return &e->asked[e->n_asked++];
}

static void fill_messages(struct engine *e, const struct raft_update *u,
			  struct engine_update *out)
{
	if (!(u->flags & (RAFT_UPDATE_MESSAGES)))
		return;
	mem_grow((void **)&e->messages, &e->cap_messages, u->messages.n,
		 sizeof(*e->messages));
	for (unsigned i = 0; i < u->messages.n; i++) {
		struct engine_message *m = &e->messages[i];

		*m = message_of(e, &u->messages.batch[i]);
		if (m->type == ENGINE_M_INSTALL)
			asked_of(e, m->peer)->index = m->install.index;
	}
	out->messages = e->messages;
	out->n_messages = u->messages.n;
}

/* ---- updates ---- */

static void fill(struct engine *e, const struct raft_update *u,
		 struct engine_update *out)
{
	const char *address;
	raft_id leader = 0;

	*out = (struct engine_update){
		.has_vote = u->flags & (RAFT_UPDATE_CURRENT_TERM |
					RAFT_UPDATE_VOTED_FOR),
		.term = raft_current_term(&e->raft),
		.voted_for = raft_voted_for(&e->raft),
		.role_changed = u->flags & (RAFT_UPDATE_STATE),
		.is_leader = raft_state(&e->raft) == RAFT_LEADER,
		.commit = raft_commit_index(&e->raft),
	};
	raft_leader(&e->raft, &leader, &address);
	/* It says nobody while leadership is being handed over. */
	out->leader = out->is_leader ? e->raft.id : leader;
	if (u->flags & (RAFT_UPDATE_ENTRIES)) {
		out->first_index = u->entries.index;
		out->n_entries = u->entries.n;
		out->entries_term = u->entries.batch[0].term;
	}
	if (u->flags & (RAFT_UPDATE_SNAPSHOT)) {
		put_conf(&e->install_conf, &u->snapshot.metadata.configuration);
		out->installs = true;
		out->snapshot = (struct engine_snapshot){
			u->snapshot.metadata.index, u->snapshot.metadata.term,
			u->snapshot.metadata.configuration_index,
			buf_view(&e->install_conf)
		};
	}
	fill_messages(e, u, out);
}

static void keep_snapshot(struct engine *e, const struct engine_snapshot *s)
{
	e->snapshot_index = s->index;
	e->snapshot_term = s->term;
	e->snapshot_conf_index = s->conf_index;
	buf_reset(&e->snapshot_conf);
	buf_str(&e->snapshot_conf, s->conf);
}

/* Entries that no submit and no append brought. */
static bool is_own(const struct raft_event *event, const struct raft_update *u)
{
	return u->flags & (RAFT_UPDATE_ENTRIES) && event->type != RAFT_SUBMIT &&
		!(event->type == RAFT_RECEIVE &&
		  event->receive.message->type == RAFT_APPEND_ENTRIES);
}

struct raft_event engine_event(enum raft_event_type type, uint64_t now_ms)
{
	struct raft_event event;

	memset(&event, 0, sizeof(event));
	event.type = type;
	event.time = now_ms;
	return event;
}

enum code engine_step(struct engine *e, struct raft_event *event,
		      const char *what, struct engine_update *out,
		      struct err *err)
{
	struct raft_update u = { 0 };
	int rc;

	event->capacity = 0;
	rc = raft_step(&e->raft, event, &u);
	if (rc)
		return outcome_of(e, rc, what, err);
	fill(e, &u, out);
	out->is_own_barrier = is_own(event, &u);
	if (out->is_own_barrier) {
		must(u.entries.n == 1 && u.entries.batch[0].type == RAFT_BARRIER);
		/* Its block is the caller's, as that of an append would be. */
		raft_free(u.entries.batch[0].buf.base);
	}
	return OK;
}

enum code engine_new(const struct engine_config *c, struct engine **out,
		     struct err *err)
{
	struct engine *e = NEW(struct engine);
	int rc = raft_init(&e->raft, NULL, NULL, c->id, c->address);

	if (rc) {
		free(e);
		return err_set(err, E_INTERNAL, "the consensus engine: %s", raft_strerror(rc));
	}
	e->raft.tracer = NULL;           /* its own formats lines for nobody */
	raft_seed(&e->raft, c->seed);
	raft_set_election_timeout(&e->raft, c->election_ms);
	raft_set_heartbeat_timeout(&e->raft, c->heartbeat_ms);
	raft_set_install_snapshot_timeout(&e->raft, 4 * 3600 * 1000);
	raft_set_pre_vote(&e->raft, true);
	raft_set_max_inflight_entries(&e->raft, 65536);
	raft_set_capacity_threshold(&e->raft, 0);
	*out = e;
	return OK;
}

void engine_free(struct engine **ep)
{
	if (!*ep)
		return;
	raft_close(&(*ep)->raft, NULL);
	free((*ep)->messages);
	free((*ep)->asked);
	buf_fini(&(*ep)->snapshot_conf);
	buf_fini(&(*ep)->install_conf);
	free(*ep);
	*ep = NULL;
}

static struct raft_entry entry_of(const struct engine_entry *from, void *batch)
{
	struct raft_entry to;

	memset(&to, 0, sizeof(to));
	to.term = from->term;
	to.type = (enum raft_entry_type)from->type;
	to.buf.base = batch;
	to.buf.len = 8;
	to.batch = batch;
	return to;
}

/* All entries share one block, as the core expects of what was loaded; it
 * looks into membership entries only, which therefore bring their bytes. */
static struct raft_entry *entries_of(const struct engine_entry *from,
				     unsigned n)
{
	struct raft_entry *to = raft_calloc(n, sizeof(*to));
	size_t bytes = 8, at = 8;
	char *batch;

	for (unsigned i = 0; i < n; i++)
		if (from[i].type == ENGINE_CHANGE)
			bytes += (from[i].data.n + 7) & ~(size_t)7;
	batch = raft_calloc(1, bytes);
	must(to && batch);
	for (unsigned i = 0; i < n; i++) {
		to[i] = entry_of(&from[i], batch);
		if (from[i].type != ENGINE_CHANGE)
			continue;
		to[i].buf.base = batch + at;
		to[i].buf.len = from[i].data.n;
		memcpy(batch + at, from[i].data.p, from[i].data.n);
		at += (from[i].data.n + 7) & ~(size_t)7;
	}
	return to;
}

static enum code conf_decode(struct str bytes, struct raft_configuration *out,
			     struct err *err)
{
	struct raft_buffer buf = { .base = (void *)(uintptr_t)bytes.p,
				   .len = bytes.n };

	raft_configuration_init(out);
	/* The core lets go of it where it fails. */
	if (guard_conf(bytes) && raft_configuration_decode(&buf, out) == 0)
		return OK;
	return err_set(err, E_CORRUPT, "the membership cannot be read");
}

size_t engine_members(struct str conf, struct engine_member *out, size_t cap)
{
	struct raft_configuration c;
	size_t n;

	if (conf_decode(conf, &c, NULL))
		return 0;
	n = c.n;
	for (size_t i = 0; i < MIN(n, cap); i++) {
		out[i].id = c.servers[i].id;
		out[i].votes = c.servers[i].role == RAFT_VOTER;
		(void)str_copy(out[i].address, sizeof(out[i].address),
			       str_of(c.servers[i].address));
	}
	raft_configuration_close(&c);
	return n;
}

static enum code metadata_of(const struct engine_snapshot *from,
			     struct raft_snapshot_metadata *to, struct err *err)
{
	memset(to, 0, sizeof(*to));
	to->index = from->index;
	to->term = from->term;
	to->configuration_index = from->conf_index;
	return conf_decode(from->conf, &to->configuration, err);
}

enum code engine_start(struct engine *e, uint64_t now_ms, uint64_t term,
		       uint64_t voted_for,
		       const struct engine_snapshot *snapshot,
		       uint64_t first_index,
		       const struct engine_entry *entries, unsigned n,
		       struct engine_update *out, struct err *err)
{
	struct raft_snapshot_metadata metadata;
	struct raft_entry *copy = NULL;
	struct raft_event event = engine_event(RAFT_START, now_ms);
	void *batch = NULL;
	enum code rc = guard_entries(entries, n, first_index, err);

	must(n > 0 || snapshot || !voted_for);
	if (rc)
		return rc;
	event.start.term = term;
	event.start.voted_for = voted_for;
	event.start.start_index = first_index;
	if (snapshot) {
		must(first_index == snapshot->index + 1);
		rc = metadata_of(snapshot, &metadata, err);
		if (rc)
			return rc;
		/* The core keeps the configuration. */
		event.start.metadata = &metadata;
		keep_snapshot(e, snapshot);
	}
	if (n) {
		copy = entries_of(entries, n);
		batch = copy[0].batch;
	}
	event.start.entries = copy;
	event.start.n_entries = n;
	rc = engine_step(e, &event, "start", out, err);
	raft_free(batch);
	raft_free(copy);
	return rc;
}

enum code engine_snapshot_taken(struct engine *e, uint64_t now_ms,
				const struct engine_snapshot *snapshot,
				unsigned trailing, struct engine_update *out,
				struct err *err)
{
	struct raft_event event = engine_event(RAFT_SNAPSHOT, now_ms);
	enum code rc;

	event.snapshot.trailing = trailing;
	rc = metadata_of(snapshot, &event.snapshot.metadata, err);
	if (rc)
		return rc;
	keep_snapshot(e, snapshot);
	return engine_step(e, &event, "snapshot", out, err);
}

enum code engine_configuration(struct engine *e, uint64_t now_ms,
			       uint64_t index, struct str conf,
			       struct engine_update *out, struct err *err)
{
	struct raft_event event = engine_event(RAFT_CONFIGURATION, now_ms);
	enum code rc;

	event.configuration.index = index;
	rc = conf_decode(conf, &event.configuration.conf, err);
	return rc ? rc : engine_step(e, &event, "configuration", out, err);
}

static enum code submit(struct engine *e, uint64_t now_ms,
			const struct engine_entry *from, unsigned n,
			struct engine_update *out, struct err *err)
{
	struct raft_event event = engine_event(RAFT_SUBMIT, now_ms);
	struct raft_entry *entries = entries_of(from, n);
	void *batch = entries[0].batch;
	enum code rc;

	event.submit.entries = entries;
	event.submit.n = n;
	rc = engine_step(e, &event, "submit", out, err);
	/* Persisted or refused, the block is the caller's again. */
	raft_free(batch);
	raft_free(entries);
	return rc;
}

enum code engine_submit(struct engine *e, uint64_t now_ms,
			const enum engine_type *types, unsigned n,
			struct engine_update *out, struct err *err)
{
	struct engine_entry *plain;
	enum code rc;

	if (n > engine_room(e))
		return err_set(err, E_BUSY, "more than %d entries are not "
			       "committed", GUARD_UNCOMMITTED_MAX);
	plain = mem_zero(n * sizeof(*plain));
	for (unsigned i = 0; i < n; i++) {
		plain[i].type = types[i];
		plain[i].term = raft_current_term(&e->raft);
		/* Alone, by engine_change (guard B). */
		must(types[i] != ENGINE_CHANGE);
	}
	rc = submit(e, now_ms, plain, n, out, err);
	free(plain);
	return rc;
}

enum code engine_persisted(struct engine *e, uint64_t now_ms, uint64_t index,
			   struct engine_update *out, struct err *err)
{
	struct raft_event event = engine_event(RAFT_PERSISTED_ENTRIES, now_ms);

	event.persisted_entries.index = index;
	return engine_step(e, &event, "persisted", out, err);
}

uint64_t engine_deadline(const struct engine *e)
{
	return raft_timeout(&e->raft);
}

uint64_t engine_last_index(const struct engine *e)
{
	return raft_last_index((struct raft *)(uintptr_t)&e->raft);
}

void engine_bootstrap(struct buf *out, const struct engine_peer *peers, size_t n)
{
	struct raft_configuration conf;

	raft_configuration_init(&conf);
	for (size_t i = 0; i < n; i++)
		must(!raft_configuration_add(&conf, peers[i].id, peers[i].address, RAFT_VOTER));
	put_conf(out, &conf);
	raft_configuration_close(&conf);
}

size_t engine_room(const struct engine *e)
{
	uint64_t commit = raft_commit_index(&e->raft);
	uint64_t open = engine_last_index(e) - MIN(commit, engine_last_index(e));

	return guard_room(open);
}

/* ---- receiving ---- */

/* The term of an entry, 0 where it is not known (Raft's "log" without its
 * payload is kept as (last index, term) pairs in a ring). */
uint64_t engine_term(const struct engine *e, uint64_t index)
{
	const struct raft_trail *t = &e->raft.trail;
	uint64_t first = t->offset + 1;

	if (index >= first)
		for (unsigned i = t->front; i != t->back; i = (i + 1) % t->size)
			if (index <= t->records[i].index)
				return t->records[i].term;
	return index == t->snapshot.index ? t->snapshot.term : 0;
}

static void into_raft(const struct engine_message *m, struct raft_message *to)
{
	switch (m->type) {
	case ENGINE_M_APPEND:
		to->append_entries.term = m->term;
		to->append_entries.prev_log_index = m->append.prev_index;
		to->append_entries.prev_log_term = m->append.prev_term;
		to->append_entries.leader_commit = m->append.commit;
		break;
	case ENGINE_M_APPEND_RESULT:
		to->append_entries_result.term = m->term;
		to->append_entries_result.rejected = m->append_result.rejected;
		to->append_entries_result.last_log_index =
			m->append_result.last_index;
		break;
	case ENGINE_M_VOTE:
		to->request_vote.version = VOTE_VERSION;
		to->request_vote.term = m->term;
		to->request_vote.candidate_id = m->vote.candidate;
		to->request_vote.last_log_index = m->vote.last_index;
		to->request_vote.last_log_term = m->vote.last_term;
		to->request_vote.disrupt_leader = m->vote.disrupt;
		to->request_vote.pre_vote = m->vote.pre;
		break;
	case ENGINE_M_VOTE_RESULT:
		/* With a lower one the core counts a late answer to its
		 * pre-vote as a vote: two leaders in one term. */
		to->request_vote_result.version = VOTE_VERSION;
		to->request_vote_result.term = m->term;
		to->request_vote_result.vote_granted = m->vote_result.granted;
		to->request_vote_result.pre_vote = m->vote_result.pre;
		break;
	case ENGINE_M_INSTALL:
		to->install_snapshot.term = m->term;
		to->install_snapshot.last_index = m->install.index;
		to->install_snapshot.last_term = m->install.term;
		to->install_snapshot.conf_index = m->install.conf_index;
		break;
	case ENGINE_M_TIMEOUT_NOW:
		to->timeout_now.term = m->term;
		to->timeout_now.last_log_index = m->timeout_now.last_index;
		to->timeout_now.last_log_term = m->timeout_now.last_term;
		break;
	default:
		must(!"a message of the engine");
	}
}

struct raft_server *engine_server(const struct raft_configuration *c, uint64_t id)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->servers[i].id == id)
			return &c->servers[i];
	return NULL;
}

static const char *address_of(const struct engine *e, uint64_t id)
{
	const struct raft_server *s = engine_server(&e->raft.configuration, id);

	return s ? s->address : "";
}

/* Guard I: what the core passes over is brought as the refusal of what it asked
 * for. */
static enum code receive_result(struct engine *e, struct raft_event *event,
				struct engine_update *out, struct err *err)
{
	struct raft_message *m = event->receive.message;
	struct raft_append_entries_result *r = &m->append_entries_result;
	uint64_t asked = asked_of(e, m->server_id)->index;
	enum code rc = engine_step(e, event, "receive", out, err);

	if (rc || out->n_messages || out->role_changed || !out->is_leader ||
	    !guard_refuses_install(r->rejected, asked, e->snapshot_index,
				   engine_match_index(e, m->server_id)))
		return rc;
	r->rejected = asked;
	r->last_log_index = MIN(r->last_log_index, asked - 1);
	return engine_step(e, event, "receive", out, err);
}

/* Guard H: the membership in force, which is not applied yet, is committed. */
static enum code settle(struct engine *e, uint64_t now_ms, struct err *err)
{
	struct engine_update nothing;
	AUTO_BUF conf = BUF_NONE;

	put_conf(&conf, &e->raft.configuration);
	return engine_configuration(e, now_ms,
				    e->raft.configuration_uncommitted_index,
				    buf_view(&conf), &nothing, err);
}

/* One step with as many of its first entries as go together; the rest is left. */
static enum code receive_append(struct engine *e, struct raft_event *event,
				struct engine_message *m, bool *more,
				struct engine_update *out, struct err *err)
{
	struct raft_append_entries *to = &event->receive.message->append_entries;
	/* After a start the core's own stands where the log begins, whose term
	 * it need not know. */
	uint64_t commit = MAX(raft_commit_index(&e->raft),
			      e->raft.trail.snapshot.index);
	void *batch = NULL;
	enum code rc = OK;

	if (commit)
		guard_append(m, commit, engine_term(e, commit));
	if (guard_settles(m, e->raft.configuration_uncommitted_index,
			  engine_term(e, m->append.prev_index)))
		rc = settle(e, event->time, err);
	if (rc)
		return rc;
	into_raft(m, event->receive.message);
	to->n_entries = guard_batch(m);
	if (to->n_entries) {
		to->entries = entries_of(m->append.entries, to->n_entries);
		batch = to->entries[0].batch;
		m->append.prev_term = m->append.entries[to->n_entries - 1].term;
	}
	m->append.prev_index += to->n_entries;
	m->append.entries += to->n_entries;
	m->append.n -= to->n_entries;
	rc = engine_step(e, event, "append", out, err);
	/* The core has freed the block where it did not want it persisted. */
	if (rc == OK && out->first_index)
		raft_free(batch);
	raft_free(to->entries);
	*more = rc == OK && m->append.n > 0;
	return rc;
}

/* What is to be installed has been copied into the update, and engine_installed
 * brings a membership of its own.  What is refused, or not needed, the core has
 * freed; what comes while another is being installed it leaves. */
static enum code receive_install(struct engine *e, struct raft_event *event,
				 const struct engine_message *m,
				 struct engine_update *out, struct err *err)
{
	struct raft_configuration *conf =
		&event->receive.message->install_snapshot.conf;
	bool was_installing = e->raft.snapshot.installing;
	enum code rc = conf_decode(m->install.conf, conf, err);

	if (rc)
		return rc;
	rc = engine_step(e, event, "receive", out, err);
	if (rc == OK && (out->installs ||
			 (was_installing && m->term >= out->term)))
		raft_configuration_close(conf);
	return rc;
}

enum code engine_receive(struct engine *e, uint64_t now_ms,
			 struct engine_message *m, bool *more,
			 struct engine_update *out, struct err *err)
{
	struct raft_event event = engine_event(RAFT_RECEIVE, now_ms);
	struct raft_message message;

	memset(&message, 0, sizeof(message));
	*more = false;
	event.receive.message = &message;
	message.type = (enum raft_message_type)m->type;
	message.server_id = m->peer;
	message.server_address = address_of(e, m->peer);
	if (m->type == ENGINE_M_APPEND)
		return receive_append(e, &event, m, more, out, err);
	into_raft(m, &message);
	if (m->type == ENGINE_M_INSTALL)
		return receive_install(e, &event, m, out, err);
	if (m->type == ENGINE_M_VOTE)
		return engine_receive_vote(e, &event, out, err);
	if (m->type == ENGINE_M_VOTE_RESULT)
		return engine_receive_vote_result(e, &event, out, err);
	if (m->type == ENGINE_M_APPEND_RESULT)
		return receive_result(e, &event, out, err);
	return engine_step(e, &event, "receive", out, err);
}

enum code engine_installed(struct engine *e, uint64_t now_ms,
			   const struct engine_snapshot *snapshot,
			   struct engine_update *out, struct err *err)
{
	struct raft_event event = engine_event(RAFT_PERSISTED_SNAPSHOT, now_ms);
	enum code rc;

	event.persisted_snapshot.last = true;
	rc = metadata_of(snapshot, &event.persisted_snapshot.metadata, err);
	if (rc)
		return rc;
	keep_snapshot(e, snapshot);
	return engine_step(e, &event, "installed", out, err);
}

/* ---- membership ---- */

unsigned engine_voters(const struct raft_configuration *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n; i++)
		n += c->servers[i].role == RAFT_VOTER;
	return n;
}

uint64_t engine_match_index(const struct engine *e, uint64_t id)
{
	raft_index index = 0;

	return raft_match_index(&e->raft, id, &index) == 0 ? index : 0;
}

void engine_membership(const struct engine *e, uint64_t *committed,
		       uint64_t *uncommitted, unsigned *voters)
{
	*committed = e->raft.configuration_committed_index;
	*uncommitted = e->raft.configuration_uncommitted_index;
	*voters = engine_voters(&e->raft.configuration);
}

size_t engine_peers(const struct engine *e, struct engine_peer *out, size_t cap)
{
	const struct raft_configuration *c = &e->raft.configuration;

	for (size_t i = 0; i < MIN((size_t)c->n, cap); i++)
		out[i] = (struct engine_peer){ c->servers[i].id,
					       c->servers[i].address,
					       c->servers[i].role == RAFT_VOTER };
	return c->n;
}

/* 'leaving' loses its vote: what it lacks holds nobody up, and one that is lost
 * for good has to be removed. */
static bool all_have(const struct engine *e, uint64_t index, uint64_t leaving)
{
	const struct raft_configuration *c = &e->raft.configuration;

	for (unsigned i = 0; i < c->n; i++)
		if (c->servers[i].role == RAFT_VOTER &&
		    c->servers[i].id != leaving &&
		    engine_match_index(e, c->servers[i].id) < index)
			return false;
	return true;
}

/* The servers as they would be; those that are not removed. */
static enum code changed_conf(const struct engine *e,
			      const struct engine_wish *w,
			      struct raft_configuration *to, int *was,
			      struct err *err)
{
	const struct raft_configuration *c = &e->raft.configuration;

	*was = -1;
	for (unsigned i = 0; i < c->n; i++) {
		const struct raft_server *s = &c->servers[i];
		int role = s->role;

		if (s->id == w->id) {
			*was = s->role;
			if (w->change == ENGINE_REMOVE)
				continue;
			role = w->change == ENGINE_PROMOTE ? RAFT_VOTER :
				RAFT_STANDBY;
		}
		must(raft_configuration_add(to, s->id, s->address, role) == 0);
	}
	if (w->change == ENGINE_ADD && *was >= 0)
		return err_set(err, E_EXISTS, "server %llu is a member",
			       (unsigned long long)w->id);
	if (w->change != ENGINE_ADD && *was < 0)
		return err_set(err, E_NOT_FOUND, "server %llu is no member",
			       (unsigned long long)w->id);
	if (w->change == ENGINE_ADD &&
	    raft_configuration_add(to, w->id, w->address, RAFT_STANDBY))
		return err_set(err, E_EXISTS, "the address %s is taken",
			       w->address);
	return OK;
}

static enum code may_change(const struct engine *e,
			    const struct raft_configuration *to,
			    struct engine_wish *w, int was, struct err *err)
{
	const struct raft_server *s = engine_server(to, w->id);
	int is = s ? s->role : -1;
	struct guard_change c = {
		.is_self = w->id == e->raft.id,
		.is_pending = e->raft.configuration_uncommitted_index != 0,
		.is_caught_up = engine_match_index(e, w->id) >=
			(w->least ? w->least : engine_last_index(e)),
		.voters_before = engine_voters(&e->raft.configuration),
		.voters_after = engine_voters(to),
		.force = w->force,
	};

	c.takes_vote = was == RAFT_VOTER && is != RAFT_VOTER;
	c.gives_vote = was != RAFT_VOTER && is == RAFT_VOTER;
	c.all_have_last = all_have(e, e->raft.configuration_committed_index,
				   c.takes_vote ? w->id : 0);
	w->passes = c.is_pending || !c.all_have_last ||
		    (!c.is_caught_up && engine_match_index(e, w->id));
	return guard_change(&c, err);
}

enum code engine_change(struct engine *e, uint64_t now_ms,
			struct engine_wish *wish, struct buf *conf,
			struct engine_update *out, struct err *err)
{
	struct raft_configuration to;
	struct engine_entry entry;
	int was;
	enum code rc;

	if (raft_state(&e->raft) != RAFT_LEADER)
		return err_set(err, E_NOT_LEADER, "this node is not the leader");
	raft_configuration_init(&to);
	rc = changed_conf(e, wish, &to, &was, err);
	if (rc == OK)
		rc = may_change(e, &to, wish, was, err);
	if (rc == OK)
		put_conf(conf, &to);
	raft_configuration_close(&to);
	if (rc == OK && !guard_conf(buf_view(conf)))
		rc = err_set(err, E_INVALID, "no membership has such a server, or so many");
	if (rc)
		return rc;
	entry = (struct engine_entry){ raft_current_term(&e->raft),
				       ENGINE_CHANGE, buf_view(conf) };
	return submit(e, now_ms, &entry, 1, out, err);
}

enum code engine_transfer(struct engine *e, uint64_t now_ms, uint64_t id,
			  struct engine_update *out, struct err *err)
{
	const struct raft_server *to = engine_server(&e->raft.configuration, id);
	struct raft_event event = engine_event(RAFT_TRANSFER, now_ms);

	if (raft_state(&e->raft) != RAFT_LEADER)
		return err_set(err, E_NOT_LEADER, "this node is not the leader");
	/* Who leads without a vote (guard J) ends soon; and an only voter would lead
	 * in the same term (guard F). */
	if (!to || to->role != RAFT_VOTER || id == e->raft.id ||
	    raft_transferee(&e->raft) || engine_lost_vote(e))
		return err_set(err, E_CONFLICT, "leadership cannot go to server "
			       "%llu now", (unsigned long long)id);
	event.transfer.server_id = id;
	return engine_step(e, &event, "transfer", out, err);
}
