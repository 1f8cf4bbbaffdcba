/*
 * Changes of the membership and of who leads, by the procedure of guard C: the
 * engine says whether it may be done now, and it is done when its entry is
 * applied.
 */
#include "base/mem.h"
#include "node/own.h"

#include "base/banned.h"

static void end_change(struct node_core *c, enum code rc, const struct err *err)
{
	struct node_change *change = TAKE(c->change);

	c->change_index = c->change_term = c->change_until = 0;
	change->done(change, rc, err);
}

static void append_change(struct node_core *c, const struct engine_update *u,
			  struct str conf)
{
	struct block *b = core_block(1, conf.n);

	memcpy(b->bytes, conf.p, conf.n);
	b->entries[0] = (struct wal_entry){
		.index = u->first_index, .term = u->entries_term,
		.type = ENGINE_CHANGE, .data = str_n(b->bytes, conf.n)
	};
	core_append(c, b);
	c->change_index = u->first_index;
	c->change_term = u->entries_term;
}

static void try_change(struct node_core *c, uint64_t now_ms)
{
	AUTO_BUF conf = BUF_NONE;
	struct engine_wish *wish = &c->change->wish;
	struct engine_update u;
	struct err err;
	enum code rc = engine_change(c->engine, now_ms, wish, &conf, &u, &err);

	if (rc == E_CONFLICT && wish->passes && now_ms < c->change_until)
		return;
	c->change_until = 0;
	if (rc) {
		end_change(c, rc, &err);
		return;
	}
	append_change(c, &u, buf_view(&conf));
	core_handle(c, now_ms, &u, NULL);
}

void core_watch_change(struct node_core *c, uint64_t now_ms)
{
	if (c->change_until)
		try_change(c, now_ms);
}

/* Where commands follow each other somebody always lacks something: who is to be
 * promoted has to come to where the log ends now, and gets some time for it; as
 * do the voters who have not stored the change before. */
void node_core_change(struct node_core *c, uint64_t now_ms,
		      struct node_change *change)
{
	struct err err = { 0 };
	enum code rc = OK;

	if (c->has_failed)
		rc = err_set(&err, E_UNAVAILABLE, "this node has failed");
	else if (c->fence.is_on)
		rc = err_set(&err, E_UNAVAILABLE, "this node is fenced");
	else if (c->change)
		rc = err_set(&err, E_CONFLICT, "another change is under way");
	if (rc) {
		change->done(change, rc, &err);
		return;
	}
	c->change = change;
	change->wish.least = engine_last_index(c->engine);
	c->change_until = now_ms + 2 * (uint64_t)c->config.election_timeout_ms;
	try_change(c, now_ms);
}

/* Only the entry that it was given is its own. */
void core_changed(struct node_core *c, const struct wal_entry *e)
{
	struct err err;

	if (!c->change_index || e->index < c->change_index)
		return;
	if (e->index == c->change_index && e->term == c->change_term) {
		end_change(c, OK, NULL);
		return;
	}
	err_set(&err, E_NOT_LEADER, "another leader's entry took its place");
	end_change(c, E_NOT_LEADER, &err);
}

/* ---- who leads ---- */

static void end_transfer(struct node_core *c, enum code rc,
			 const struct err *err)
{
	struct node_transfer *t = TAKE(c->transfer);

	c->hand_over = (struct engine_message){ 0 };
	t->done(t, rc, err);
}

static void hand_over(struct node_core *c)
{
	const struct engine_message *m = &c->hand_over;

	if (!m->type || !c->is_leader || m->term != c->term ||
	    engine_match_index(c->engine, m->peer) < m->timeout_now.last_index)
		return;
	core_post(c, m);
	c->hand_over = (struct engine_message){ 0 };
}

void core_hand_over(struct node_core *c, const struct engine_message *m)
{
	c->hand_over = *m;
	hand_over(c);
}

void node_core_transfer(struct node_core *c, uint64_t now_ms,
			struct node_transfer *t)
{
	struct engine_update u;
	struct err err = { 0 };
	enum code rc = OK;

	if (c->has_failed)
		rc = err_set(&err, E_UNAVAILABLE, "this node has failed");
	else if (c->transfer)
		rc = err_set(&err, E_CONFLICT, "another transfer is under way");
	if (rc == OK)
		rc = engine_transfer(c->engine, now_ms, t->id, &u, &err);
	if (rc) {
		t->done(t, rc, &err);
		return;
	}
	c->transfer = t;
	c->transfer_until = now_ms + 3 * (uint64_t)c->config.election_timeout_ms;
	core_handle(c, now_ms, &u, NULL);
}

void core_watch_transfer(struct node_core *c, uint64_t now_ms)
{
	struct err err;

	hand_over(c);
	if (!c->transfer)
		return;
	if (c->leader == c->transfer->id) {
		end_transfer(c, OK, NULL);
	} else if (now_ms >= c->transfer_until) {
		err_set(&err, E_UNAVAILABLE, "server %llu did not take over",
			(unsigned long long)c->transfer->id);
		end_transfer(c, E_UNAVAILABLE, &err);
	}
}

/* What is not known now will not be known here soon. */
void core_lost(struct node_core *c, bool has_ended)
{
	struct err err;

	if (c->change_until) {
		err_set(&err, E_NOT_LEADER, "this node does not lead any more");
		end_change(c, E_NOT_LEADER, &err);
	} else if (c->change) {
		err_set(&err, E_UNCERTAIN, "this node does not lead any more; "
			"the change may still come into force");
		end_change(c, E_UNCERTAIN, &err);
	}
	if (has_ended && c->transfer) {
		err_set(&err, E_UNCERTAIN, "this node has ended");
		end_transfer(c, E_UNCERTAIN, &err);
	}
}

size_t node_core_peers(const struct node_core *c, struct node_peer *out,
		       size_t cap)
{
	size_t n = engine_peers(c->engine, NULL, 0);
	struct engine_peer *all = mem_zero((n + 1) * sizeof(*all));

	engine_peers(c->engine, all, n);
	for (size_t i = 0; i < MIN(n, cap); i++)
		out[i] = (struct node_peer){ all[i].id, all[i].address,
					     all[i].votes,
					     engine_match_index(c->engine,
								all[i].id) };
	free(all);
	return n;
}
