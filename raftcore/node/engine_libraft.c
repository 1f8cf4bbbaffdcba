/*
 * libraft 0.22.1 behind engine.h: its step core and nothing else of it.
 *
 * The only file that sees <raft.h>.  The core keeps terms, not payloads, so it
 * is given entries without their bytes; membership entries are the exception,
 * because it reads them.  A result of a step other than "not leader", "no
 * space" and "cannot change now" means that the core's own invariants are
 * broken: that is a safety alarm, and the process ends.
 */
#include "node/engine.h"

#include <raft.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

#include "base/banned.h"

_Static_assert(RAFT_VERSION_NUMBER == 2201,
	       "raftcore was audited with libraft 0.22.1 and no other version");

struct engine {
	struct raft raft;
	uint64_t last_commit;
};

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
	out->leader = leader;
	if (u->flags & (RAFT_UPDATE_ENTRIES)) {
		out->first_index = u->entries.index;
		out->n_entries = u->entries.n;
		out->entries_term = u->entries.batch[0].term;
	}
}

static enum code step(struct engine *e, struct raft_event *event,
		      const char *what, struct engine_update *out,
		      struct err *err)
{
	struct raft_update u;
	int rc;

	memset(&u, 0, sizeof(u));
	event->capacity = 0;
	rc = raft_step(&e->raft, event, &u);
	if (rc)
		return outcome_of(e, rc, what, err);
	fill(e, &u, out);
	return OK;
}

enum code engine_new(const struct engine_config *c, struct engine **out,
		     struct err *err)
{
	struct engine *e = NEW(struct engine);
	int rc = raft_init(&e->raft, NULL, NULL, c->id, c->address);

	if (rc) {
		free(e);
		return err_set(err, E_INTERNAL, "the consensus engine: %s",
			       raft_strerror(rc));
	}
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
	if (bytes.n && raft_configuration_decode(&buf, out) == 0)
		return OK;
	raft_configuration_close(out);
	return err_set(err, E_CORRUPT, "the membership cannot be read");
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
	struct raft_event event;
	void *batch = NULL;
	enum code rc;

	must(n > 0 || snapshot);
	memset(&event, 0, sizeof(event));
	event.time = now_ms;
	event.type = RAFT_START;
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
	}
	if (n) {
		copy = entries_of(entries, n);
		batch = copy[0].batch;
	}
	event.start.entries = copy;
	event.start.n_entries = n;
	rc = step(e, &event, "start", out, err);
	raft_free(batch);
	raft_free(copy);
	return rc;
}

enum code engine_snapshot_taken(struct engine *e, uint64_t now_ms,
				const struct engine_snapshot *snapshot,
				unsigned trailing, struct engine_update *out,
				struct err *err)
{
	struct raft_event event;
	enum code rc;

	memset(&event, 0, sizeof(event));
	event.time = now_ms;
	event.type = RAFT_SNAPSHOT;
	event.snapshot.trailing = trailing;
	rc = metadata_of(snapshot, &event.snapshot.metadata, err);
	return rc ? rc : step(e, &event, "snapshot", out, err);
}

enum code engine_configuration(struct engine *e, uint64_t now_ms,
			       uint64_t index, struct str conf,
			       struct engine_update *out, struct err *err)
{
	struct raft_event event;
	enum code rc;

	memset(&event, 0, sizeof(event));
	event.time = now_ms;
	event.type = RAFT_CONFIGURATION;
	event.configuration.index = index;
	rc = conf_decode(conf, &event.configuration.conf, err);
	return rc ? rc : step(e, &event, "configuration", out, err);
}

enum code engine_submit(struct engine *e, uint64_t now_ms,
			const enum engine_type *types, unsigned n,
			struct engine_update *out, struct err *err)
{
	struct raft_event event;
	struct engine_entry *plain = mem_zero(n * sizeof(*plain));
	struct raft_entry *entries;
	void *batch;
	enum code rc;

	for (unsigned i = 0; i < n; i++) {
		plain[i].type = types[i];
		plain[i].term = raft_current_term(&e->raft);
		must(types[i] != ENGINE_CHANGE);
	}
	entries = entries_of(plain, n);
	batch = entries[0].batch;
	free(plain);
	memset(&event, 0, sizeof(event));
	event.time = now_ms;
	event.type = RAFT_SUBMIT;
	event.submit.entries = entries;
	event.submit.n = n;
	rc = step(e, &event, "submit", out, err);
	/* Persisted or refused, the block is the caller's again. */
	raft_free(batch);
	raft_free(entries);
	return rc;
}

enum code engine_persisted(struct engine *e, uint64_t now_ms, uint64_t index,
			   struct engine_update *out, struct err *err)
{
	struct raft_event event;

	memset(&event, 0, sizeof(event));
	event.time = now_ms;
	event.type = RAFT_PERSISTED_ENTRIES;
	event.persisted_entries.index = index;
	return step(e, &event, "persisted", out, err);
}

enum code engine_timeout(struct engine *e, uint64_t now_ms,
			 struct engine_update *out, struct err *err)
{
	struct raft_event event;

	memset(&event, 0, sizeof(event));
	event.time = now_ms;
	event.type = RAFT_TIMEOUT;
	return step(e, &event, "timeout", out, err);
}

uint64_t engine_deadline(const struct engine *e)
{
	return raft_timeout(&e->raft);
}

uint64_t engine_last_index(const struct engine *e)
{
	return raft_last_index((struct raft *)(uintptr_t)&e->raft);
}

void engine_bootstrap(struct buf *out, uint64_t id, const char *address)
{
	struct raft_configuration conf;
	struct raft_buffer bytes;

	raft_configuration_init(&conf);
	must(raft_configuration_add(&conf, id, address, RAFT_VOTER) == 0);
	must(raft_configuration_encode(&conf, &bytes) == 0);
	buf_add(out, bytes.base, bytes.len);
	raft_free(bytes.base);
	raft_configuration_close(&conf);
}
