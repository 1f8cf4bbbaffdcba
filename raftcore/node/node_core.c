/*
 * The core of a node: proposals, the engine's updates, what is durable, what is
 * applied.  See node_core.h.
 *
 * A proposal is copied once, into the block of its loop turn; that block is
 * what the log writes and what the machine reads, and goes when both are done.
 * Entries are handed to the machine only when they are durable here as well as
 * committed: so the state never stands above the node's own log.
 */
#include "node/node_core.h"

#include <string.h>

#include "base/mem.h"
#include "node/guard.h"
#include "node/own.h"
#include "wire/wire.h"

#include "base/banned.h"

/* ---- failure ---- */

void core_fail(struct node_core *c, const struct err *err)
{
	if (c->has_failed)
		return;
	c->has_failed = true;
	c->host->fatal(c->host_data, err);
	core_tell(c, true, "the node failed before the outcome was known");
	core_refuse_held(c, E_UNAVAILABLE, "this node has failed");
	core_lost(c, true);
	core_end_reads(c);
	core_end_backups(c);
}

void core_refuse(struct node_core *c, struct rc_proposal *p, enum code rc,
		 const char *text)
{
	c->host->refuse(c->host_data, p, rc, text);
}

/* ---- appending ---- */

/* An entry of the new term, without which nothing older is committed. */
static void append_barrier(struct node_core *c, const struct engine_update *u)
{
	struct block *b = core_block(1, ID_BYTES);

	must(u->n_entries == 1);
	memset(b->bytes, 0, ID_BYTES);
	b->entries[0] = (struct wal_entry){
		.index = u->first_index, .term = u->entries_term,
		.type = ENGINE_BARRIER, .data = str_n(b->bytes, ID_BYTES)
	};
	c->ready_at = c->barrier = u->first_index;
	core_append(c, b);
}

static void submit_barrier(struct node_core *c, uint64_t now_ms)
{
	enum engine_type type = ENGINE_BARRIER;
	struct engine_update u;
	struct err err;

	must(engine_submit(c->engine, now_ms, &type, 1, &u, &err) == OK);
	append_barrier(c, &u);
	core_handle(c, now_ms, &u, NULL);
}

/* A block of entries that came in an append, as many as one record holds. */
static unsigned take_some(struct node_core *c, const struct engine_entry *from,
			  unsigned count, uint64_t first)
{
	struct block *b;
	size_t bytes = 0, at = 0;
	unsigned n = 0;

	while (n < count && (n == 0 || bytes + from[n].data.n +
					ENTRY_OVERHEAD <= c->record_bytes))
		bytes += from[n++].data.n + ENTRY_OVERHEAD;
	b = core_block(n, bytes);
	for (unsigned i = 0; i < n; i++) {
		struct str data = from[i].data;

		if (data.n)
			memcpy(b->bytes + at, data.p, data.n);
		b->entries[i] = (struct wal_entry){
			.index = first + i, .term = from[i].term,
			.type = (uint8_t)from[i].type,
			.data = str_n(b->bytes + at, data.n)
		};
		at += data.n;
	}
	core_append(c, b);
	return n;
}

/* Those of an append that the engine wants persisted; they replace what is in
 * their place. */
static void take_entries(struct node_core *c, const struct engine_update *u,
			 const struct engine_message *source)
{
	uint64_t skip = u->first_index - source->append.prev_index - 1;
	const struct engine_entry *from = source->append.entries + skip;

	must(u->first_index > source->append.prev_index &&
	     skip + u->n_entries <= source->append.n);
	core_truncate(c, u->first_index);
	for (unsigned done = 0; done < u->n_entries;)
		done += take_some(c, from + done, u->n_entries - done,
				  u->first_index + done);
}

/* ---- updates of the engine ---- */

static void persist_vote(struct node_core *c, const struct engine_update *u)
{
	struct err err;

	if (!u->has_vote || (u->term == c->vote.term &&
			     u->voted_for == c->vote.voted_for))
		return;
	c->vote.term = u->term;
	c->vote.voted_for = u->voted_for;
	if (vote_write(c->fs, c->dir, &c->vote, &err)) {
		err_wrap(&err, "term and vote");
		core_fail(c, &err);
	}
}

/* Who waits may still see its entry committed by the next leader: not for
 * long. */
static void note_role(struct node_core *c, uint64_t now_ms,
		      const struct engine_update *u)
{
	bool is_other = u->is_leader != c->is_leader || u->leader != c->leader;
	bool lost = c->is_leader && !u->is_leader;

	if (is_other || u->term != c->term)
		core_reads_again(c);
	c->term = u->term;
	c->is_leader = u->is_leader;
	c->leader = u->leader;
	if (lost) {
		c->uncertain_at = now_ms +
				  2 * (uint64_t)c->config.election_timeout_ms;
		core_drop_appends(c);
		core_refuse_held(c, E_NOT_LEADER, "this node is not the leader");
		core_lost(c, false);
	}
	if (is_other)
		core_turn_leads(c, now_ms);
	if (is_other)
		c->host->role(c->host_data, u->is_leader, u->leader, u->term);
}

static void take_messages(struct node_core *c, const struct engine_update *u)
{
	for (unsigned i = 0; i < u->n_messages; i++) {
		const struct engine_message *m = &u->messages[i];

		c->backward += guard_goes_back(m, engine_match_index(c->engine,
								     m->peer));
		if (m->type == ENGINE_M_INSTALL)
			core_ship(c, m->peer);
		else if (m->type == ENGINE_M_TIMEOUT_NOW)
			core_hand_over(c, m);
		else
			core_post(c, m);
	}
}

/*
 * In this order: term and vote are durable before anything else of the step;
 * entries are on their way to the log when they go to the peers, beside each
 * other.
 */
void core_handle(struct node_core *c, uint64_t now_ms,
		 const struct engine_update *u,
		 const struct engine_message *source)
{
	bool won = u->is_leader && !c->is_leader;

	persist_vote(c, u);
	if (c->has_failed)
		return;
	if (u->is_own_barrier)
		append_barrier(c, u);
	else if (u->first_index && source)
		take_entries(c, u, source);
	core_committed(c, now_ms, u->commit);
	note_role(c, now_ms, u);
	take_messages(c, u);
	/* One voter elects itself, and appends nothing by that; a winner of
	 * votes does. */
	if (won && !u->is_own_barrier && guard_barrier()) {
		submit_barrier(c, now_ms);
		return;
	}
	core_tell(c, false, NULL);
	core_watch_change(c, now_ms);
	core_watch_transfer(c, now_ms);
	core_read_more(c, now_ms);
	core_pump(c);
	core_skip(c, now_ms);
	core_apply_more(c, now_ms);
	core_try_install(c, now_ms);
	core_trim(c);
}

/* The membership that the engine will go by: the newest that the log holds. */
static struct str last_conf(const struct node_core *c)
{
	for (size_t i = c->n_recovered; i-- > 0;)
		if (c->recovered[i].type == ENGINE_CHANGE)
			return c->recovered[i].data;
	return buf_view(&c->conf);
}

/* Guard F: an only voter starts in a term that nothing was written in. */
static enum code new_term(struct node_core *c, struct err *err)
{
	if (!guard_votes_alone(last_conf(c), c->config.node_id) ||
	    !guard_new_term())
		return OK;
	c->vote.term++;
	c->vote.voted_for = 0;
	if (vote_write(c->fs, c->dir, &c->vote, err))
		return err_wrap(err, "term and vote");
	return OK;
}

/* The newest membership in the log may be applied already, which the engine
 * does not know. */
static void confirm_conf(struct node_core *c, uint64_t now_ms)
{
	struct engine_update u;
	struct err err;

	if (c->conf_index <= c->base.conf_index || c->conf_index > c->applied)
		return;
	if (engine_configuration(c->engine, now_ms, c->conf_index,
				 buf_view(&c->conf), &u, &err))
		core_fail(c, &err);
	else
		core_handle(c, now_ms, &u, NULL);
}

void node_core_start(struct node_core *c, uint64_t now_ms)
{
	struct engine_snapshot base = core_snapshot_of(&c->base);
	struct engine_update u;
	struct err err;

	if (new_term(c, &err)) {
		core_fail(c, &err);
		return;
	}
	if (engine_start(c->engine, now_ms, c->vote.term, c->vote.voted_for,
			 base.index ? &base : NULL, base.index + 1,
			 c->recovered, (unsigned)c->n_recovered, &u, &err)) {
		core_fail(c, &err);
		return;
	}
	core_free_recovered(c);
	core_detect_start(c, now_ms);
	core_fence_start(c, now_ms);
	c->last = c->told = engine_last_index(c->engine);
	core_handle(c, now_ms, &u, NULL);
	if (!c->has_failed)
		confirm_conf(c, now_ms);
	if (!c->has_failed && c->conf.n)
		core_tell_members(c);
}

static void engine_is_due(struct node_core *c, uint64_t now_ms)
{
	struct engine_update u;
	struct err err;

	if (engine_timeout(c->engine, now_ms, &u, &err) == OK)
		core_handle(c, now_ms, &u, NULL);
}

void node_core_timeout(struct node_core *c, uint64_t now_ms)
{
	if (c->has_failed)
		return;
	if (now_ms >= engine_deadline(c->engine))
		engine_is_due(c, now_ms);
	if (c->has_failed)
		return;
	core_watch_change(c, now_ms);
	core_watch_transfer(c, now_ms);
	core_reads_due(c, now_ms);
	core_detect_due(c, now_ms);
	core_fence_due(c, now_ms);
	core_turn_due(c, now_ms);
	if (c->gathers_until_ms && now_ms >= c->gathers_until_ms)
		core_apply_more(c, now_ms);
	if (now_ms >= c->tell_at)
		c->tell_at = 0;
	core_pump(c);
	if (c->uncertain_at && now_ms >= c->uncertain_at) {
		c->uncertain_at = 0;
		if (!c->is_leader)
			core_tell(c, true, "leadership was lost before the "
					   "outcome was known");
	}
}

uint64_t node_core_deadline(const struct node_core *c)
{
	uint64_t due;

	/* One that has failed wants nothing any more. */
	if (c->has_failed)
		return UINT64_MAX;
	due = engine_deadline(c->engine);
	if (c->uncertain_at)
		due = MIN(due, c->uncertain_at);
	if (c->change_until)
		due = MIN(due, c->change_until);
	if (c->transfer)
		due = MIN(due, c->transfer_until);
	due = MIN(due, core_detect_deadline(c));
	due = MIN(due, core_fence_deadline(c));
	due = MIN(due, core_turn_deadline(c));
	if (c->gathers_until_ms)
		due = MIN(due, c->gathers_until_ms);
	if (c->tell_at)
		due = MIN(due, c->tell_at);
	return MIN(due, core_reads_deadline(c));
}

/* ---- messages ---- */

/* A follower is ready when it has applied what was committed when it first heard
 * of a leader: of one that knows what that is, because something of its own term
 * is among it. */
static void note_ready(struct node_core *c, const struct engine_message *m)
{
	if (c->ready_at == 0 && m->type == ENGINE_M_APPEND &&
	    c->leader == m->peer && c->commit >= m->append.commit &&
	    engine_term(c->engine, m->append.commit) == m->term)
		c->ready_at = m->append.commit;
}

/* Something in the log is to be replaced by it. */
static bool replaces(const struct node_core *c, const struct engine_message *m)
{
	uint64_t index = m->append.prev_index;

	for (unsigned i = 0; i < m->append.n && ++index <= c->last; i++) {
		uint64_t term = engine_term(c->engine, index);

		if (term && term != m->append.entries[i].term)
			return true;
	}
	return false;
}

/*
 * What is not durable stays in memory, and a log that stands still (a disk without
 * room) takes nothing: beyond a bound an append brings what is here already and no
 * more, and its leader finds out what is missing.  What it replaces goes all the same:
 * else this log would be told as the leader's when it is durable.
 */
static void hold_off(const struct node_core *c, struct engine_message *m)
{
	uint64_t prev = m->append.prev_index;

	if (m->type != ENGINE_M_APPEND ||
	    c->unwritten_bytes <= c->config.inflight_bytes_max || replaces(c, m))
		return;
	m->append.n = (unsigned)MIN((uint64_t)m->append.n,
				    c->last - MIN(c->last, prev));
	m->append.commit = MIN(m->append.commit, prev + m->append.n);
}

void node_core_receive(struct node_core *c, uint64_t now_ms,
		       struct engine_message *m)
{
	const struct engine_message whole = *m;
	bool more = true;

	if (c->has_failed || core_hear_read(c, now_ms, m) ||
	    core_hear_chain(c, now_ms, m) || core_hear_turn(c, now_ms, m))
		return;
	hold_off(c, m);
	while (more && !c->has_failed) {
		struct engine_update u;
		struct err err;

		if (engine_receive(c->engine, now_ms, m, &more, &u, &err))
			return;
		core_handle(c, now_ms, &u, &whole);
	}
	note_ready(c, &whole);
}

/* ---- the end ---- */

void node_core_stop(struct node_core *c)
{
	c->has_failed = true;
	core_tell(c, true, "the node stopped before the outcome was known");
	core_refuse_held(c, E_UNAVAILABLE, "this node stops");
	core_lost(c, true);
	core_end_reads(c);
	core_end_backups(c);
}

struct fs *node_core_files(const struct node_core *c)
{
	return seal_files_fs(c->files);
}

struct wal *node_core_wal(struct node_core *c)
{
	return c->wal;
}

const struct identity *node_core_identity(const struct node_core *c)
{
	return &c->identity;
}

void node_core_view(const struct node_core *c, struct node_core_view *out)
{
	uint64_t pending;
	unsigned voters;

	*out = (struct node_core_view){
		.cluster = c->identity.cluster, .term = c->term,
		.leader = c->leader, .commit = c->commit,
		.applied = c->applied, .durable = c->durable, .last = c->last,
		.checkpoint_index = c->base.index,
		.log_since_bytes = c->log_since_bytes,
		.proposals = c->proposals, .backward = c->backward,
		.is_leader = c->is_leader,
		.has_failed = c->has_failed,
		.is_ready = c->ready_at && c->applied >= c->ready_at &&
			    !c->fence.is_on,
		.divergence = c->detector.verdict,
		.divergence_index = c->detector.index,
		.divergence_peer = c->detector.peer,
		.compared = c->detector.compared };
	engine_membership(c->engine, &out->membership, &pending, &voters);
	out->is_changing = pending;
}
