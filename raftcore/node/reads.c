/*
 * Linearizable reads without a write of the log.
 *
 * The leader notes what is committed and asks the voters whether they still
 * follow it, in a round with a number; when a majority does, that index holds
 * for all who waited when the round began, and each goes on when it is applied
 * here.  A follower asks the leader for an index.  A fresh leader first waits
 * for the entry of its own term.  What gets lost is asked again with a new
 * number; an answer to any of a round's numbers counts, because each was sent
 * after the round began: where a round trip takes longer than the pause between
 * two, the newest number never has its answer in time.
 */
#include "base/mem.h"
#include "node/own.h"

#include "base/banned.h"

#define ASKS_MAX 4096

/* ---- lists ---- */

static void push(struct read_list *l, struct node_reader *r)
{
	r->next_ = NULL;
	if (l->last)
		l->last->next_ = r;
	else
		l->first = r;
	l->last = r;
}

static struct node_reader *pop(struct read_list *l)
{
	struct node_reader *r = l->first;

	l->first = r->next_;
	if (!l->first)
		l->last = NULL;
	return r;
}

static void move(struct read_list *to, struct read_list *from)
{
	while (from->first)
		push(to, pop(from));
}

static void refuse_list(struct read_list *l, uint64_t until)
{
	struct read_list kept = { 0 };
	struct err err;

	err_set(&err, E_UNAVAILABLE, "no leader confirmed the read in time");
	while (l->first) {
		struct node_reader *r = pop(l);

		if (r->until_ms_ > until)
			push(&kept, r);
		else
			r->done(r, E_UNAVAILABLE, 0, &err);
	}
	*l = kept;
}

static void refuse_late(struct node_core *c, uint64_t until)
{
	struct reads *reads = &c->reads;

	refuse_list(&reads->fresh, until);
	refuse_list(&reads->in_round, until);
	refuse_list(&reads->asked, until);
	refuse_list(&reads->confirmed, until);
}

void core_end_reads(struct node_core *c)
{
	refuse_late(c, UINT64_MAX);
}

/* ---- confirmed ---- */

void core_reads_applied(struct node_core *c)
{
	struct read_list rest = { 0 };

	while (c->reads.confirmed.first) {
		struct node_reader *r = pop(&c->reads.confirmed);

		if (r->index_ <= c->applied)
			r->done(r, OK, r->index_, NULL);
		else
			push(&rest, r);
	}
	c->reads.confirmed = rest;
}

static void confirm(struct node_core *c, struct read_list *from, uint64_t index)
{
	while (from->first) {
		struct node_reader *r = pop(from);

		r->index_ = index;
		push(&c->reads.confirmed, r);
	}
	core_reads_applied(c);
}

/* Of the round, or ask, that is open; its first and its last number. */
static bool is_of_now(const struct reads *r, uint64_t number)
{
	return number >= r->first_number && number <= r->number;
}

/* ---- the leader's rounds ---- */

static void post(struct node_core *c, enum engine_message_type type,
		 uint64_t peer, uint64_t number, uint64_t index)
{
	core_post(c, &(struct engine_message){
			     .type = type, .peer = peer, .term = c->term,
			     .read = { number, index } });
}

static bool has_agreed(const struct node_core *c, uint64_t id)
{
	for (size_t i = 0; i < c->reads.n_agreed; i++)
		if (c->reads.agreed[i] == id)
			return true;
	return id == c->config.node_id;
}

static struct engine_peer *peers_of(const struct node_core *c, size_t *n)
{
	struct engine_peer *all;

	*n = engine_peers(c->engine, NULL, 0);
	all = mem_zero((*n + 1) * sizeof(*all));
	engine_peers(c->engine, all, *n);
	return all;
}

static bool is_majority(const struct node_core *c)
{
	size_t n, voters = 0, agreed = 0;
	struct engine_peer *all = peers_of(c, &n);

	for (size_t i = 0; i < n; i++) {
		voters += all[i].votes;
		agreed += all[i].votes && has_agreed(c, all[i].id);
	}
	free(all);
	return agreed > voters / 2;
}

static void answer_asks(struct node_core *c)
{
	struct reads *r = &c->reads;

	if (r->n_round_asks == 0)
		return;
	for (size_t i = 0; i < r->n_round_asks; i++)
		post(c, ENGINE_M_READ_ANSWER, r->asks[i].peer,
		     r->asks[i].number, r->round_index);
	r->n_asks -= r->n_round_asks;
	memmove(r->asks, r->asks + r->n_round_asks,
		r->n_asks * sizeof(*r->asks));
	r->n_round_asks = 0;
}

static void end_round(struct node_core *c)
{
	answer_asks(c);
	confirm(c, &c->reads.in_round, c->reads.round_index);
	c->reads.round_index = 0;
}

static void send_round(struct node_core *c, uint64_t now_ms)
{
	size_t n;
	struct engine_peer *all = peers_of(c, &n);

	c->reads.number++;
	c->reads.due = now_ms + c->config.heartbeat_ms;
	for (size_t i = 0; i < n; i++)
		if (all[i].votes && all[i].id != c->config.node_id)
			post(c, ENGINE_M_READ_ROUND, all[i].id,
			     c->reads.number, 0);
	free(all);
	if (is_majority(c))
		end_round(c);
}

static void begin_round(struct node_core *c, uint64_t now_ms)
{
	struct reads *r = &c->reads;

	if (r->round_index || c->commit < c->barrier ||
	    (!r->fresh.first && !r->n_asks))
		return;
	r->round_index = c->commit;
	move(&r->in_round, &r->fresh);
	r->n_round_asks = r->n_asks;
	r->first_number = r->number + 1;
	r->n_agreed = 0;
	send_round(c, now_ms);
}

/* ---- a follower's asks ---- */

static void send_ask(struct node_core *c, uint64_t now_ms)
{
	c->reads.number++;
	c->reads.due = now_ms + 2 * (uint64_t)c->config.heartbeat_ms;
	post(c, ENGINE_M_READ_ASK, c->leader, c->reads.number, 0);
}

static void begin_ask(struct node_core *c, uint64_t now_ms)
{
	if (c->reads.asked.first || !c->reads.fresh.first || !c->leader)
		return;
	move(&c->reads.asked, &c->reads.fresh);
	c->reads.first_number = c->reads.number + 1;
	send_ask(c, now_ms);
}

/* ---- both ---- */

void core_read_more(struct node_core *c, uint64_t now_ms)
{
	if (c->has_failed)
		return;
	if (c->is_leader)
		begin_round(c, now_ms);
	else
		begin_ask(c, now_ms);
}

/* Another leader, or another term: everybody starts again. */
void core_reads_again(struct node_core *c)
{
	struct reads *r = &c->reads;

	move(&r->in_round, &r->asked);
	move(&r->in_round, &r->fresh);
	r->fresh = r->in_round;
	r->in_round = (struct read_list){ 0 };
	r->round_index = r->n_asks = r->n_round_asks = 0;
}

void node_core_read(struct node_core *c, uint64_t now_ms, struct node_reader *r)
{
	struct err err;

	if (c->has_failed || c->fence.is_on) {
		err_set(&err, E_UNAVAILABLE, "this node %s", c->has_failed ?
			"has failed" : "is fenced: its state is not that of "
				       "the majority");
		r->done(r, E_UNAVAILABLE, 0, &err);
		return;
	}
	r->until_ms_ = now_ms + 4 * (uint64_t)c->config.election_timeout_ms;
	push(&c->reads.fresh, r);
	if (!c->reads.until_ms)
		c->reads.until_ms = r->until_ms_;
}

void node_core_ask(struct node_core *c, uint64_t now_ms)
{
	core_read_more(c, now_ms);
	core_pump(c);
}

static bool is_open(const struct node_core *c)
{
	return c->is_leader ? c->reads.round_index != 0 :
			      c->reads.asked.first != NULL;
}

void core_reads_due(struct node_core *c, uint64_t now_ms)
{
	struct reads *r = &c->reads;

	if (r->until_ms && now_ms >= r->until_ms) {
		refuse_late(c, now_ms);
		r->until_ms = r->fresh.first || r->in_round.first ||
			r->asked.first || r->confirmed.first ?
			now_ms + c->config.election_timeout_ms : 0;
	}
	if (is_open(c) && now_ms >= r->due) {
		if (c->is_leader)
			send_round(c, now_ms);
		else if (c->leader)
			send_ask(c, now_ms);
		else
			r->due = now_ms + c->config.election_timeout_ms;
	}
	core_read_more(c, now_ms);
}

uint64_t core_reads_deadline(const struct node_core *c)
{
	uint64_t due = c->reads.until_ms ? c->reads.until_ms : UINT64_MAX;

	return is_open(c) ? MIN(due, c->reads.due) : due;
}

/* ---- messages ---- */

static void hear_ask(struct node_core *c, const struct engine_message *m)
{
	struct reads *r = &c->reads;

	if (!c->is_leader || r->n_asks >= ASKS_MAX)
		return;
	mem_grow((void **)&r->asks, &r->cap_asks, r->n_asks + 1,
		 sizeof(*r->asks));
	r->asks[r->n_asks++] = (struct read_ask){ m->peer, m->read.number };
}

static void hear_agreed(struct node_core *c, const struct engine_message *m)
{
	struct reads *r = &c->reads;

	if (!c->is_leader || m->term != c->term || !r->round_index ||
	    !is_of_now(r, m->read.number) || has_agreed(c, m->peer))
		return;
	mem_grow((void **)&r->agreed, &r->cap_agreed, r->n_agreed + 1,
		 sizeof(*r->agreed));
	r->agreed[r->n_agreed++] = m->peer;
	if (is_majority(c))
		end_round(c);
}

bool core_hear_read(struct node_core *c, uint64_t now_ms,
		    const struct engine_message *m)
{
	switch (m->type) {
	case ENGINE_M_READ_ROUND:
		/* It is asked whether it has a newer term. */
		if (m->term == c->term && m->peer == c->leader)
			post(c, ENGINE_M_READ_AGREED, m->peer, m->read.number,
			     0);
		break;
	case ENGINE_M_READ_AGREED:
		hear_agreed(c, m);
		break;
	case ENGINE_M_READ_ASK:
		hear_ask(c, m);
		break;
	case ENGINE_M_READ_ANSWER:
		if (!c->is_leader && is_of_now(&c->reads, m->read.number))
			confirm(c, &c->reads.asked, m->read.index);
		break;
	default:
		return false;
	}
	core_read_more(c, now_ms);
	core_pump(c);
	if (c->reads.confirmed.first && c->gathers_until_ms)
		core_apply_more(c, now_ms);
	return true;
}
