/*
 * Checkpoints in turn.
 *
 * Copying a state takes a disk away from the log, and nodes often share one, or
 * the machine below it.  So never two nodes of a cluster copy at once: who leads
 * gives turns, to followers first: it takes its own when none asks that has not
 * had one since.  Of those who ask the one goes first whose last is longest ago.
 *
 *	follower			leader
 *	ASK, again and again	->
 *				<-	GIVEN, or BUSY: another has it
 *	HOLD, while it copies	->
 *	DONE			->
 *
 * A turn that is not held on to ends by itself.  Nothing of it is in the log:
 * who begins to lead waits as long as a turn lasts, so that whoever copies is
 * heard of, and a follower whose leader says nothing at all for long (an older
 * version) goes without.
 */
#include "base/mem.h"
#include "node/own.h"

#include "base/banned.h"

#define PATIENCE 100u                    /* election timeouts */

static uint64_t pause_ms(const struct node_core *c)
{
	return 2 * (uint64_t)c->config.heartbeat_ms;
}

static uint64_t turn_ms(const struct node_core *c)
{
	return 2 * (uint64_t)c->config.election_timeout_ms;
}

static void say(struct node_core *c, uint64_t peer, enum turn_word word)
{
	struct engine_message m = { .type = ENGINE_M_TURN, .peer = peer,
				    .term = c->term, .turn = { word } };

	if (peer && peer != c->config.node_id && c->term)
		core_post(c, &m);
}

static bool is_alone(const struct node_core *c)
{
	struct engine_peer one = { 0 };

	return engine_peers(c->engine, &one, 1) == 1 &&
	       one.id == c->config.node_id;
}

/* ---- who leads ---- */

static struct turn_peer *peer_of(struct node_core *c, uint64_t id)
{
	struct turns *t = &c->turns;

	for (size_t i = 0; i < t->n_peers; i++)
		if (t->peers[i].id == id)
			return &t->peers[i];
	mem_grow((void **)&t->peers, &t->cap_peers, t->n_peers + 1,
		 sizeof(*t->peers));
	t->peers[t->n_peers] = (struct turn_peer){ .id = id };
	return &t->peers[t->n_peers++];
}

/* Whether another waits whose last turn was before 'had_ms'. */
static bool is_another_first(const struct node_core *c, uint64_t now_ms,
			     uint64_t id, uint64_t had_ms)
{
	const struct turns *t = &c->turns;

	for (size_t i = 0; i < t->n_peers; i++) {
		const struct turn_peer *p = &t->peers[i];

		if (p->id != id && p->asked_ms && p->had_ms < had_ms &&
		    now_ms < p->asked_ms + 2 * pause_ms(c))
			return true;
	}
	return false;
}

static bool is_free(const struct node_core *c, uint64_t now_ms, uint64_t id)
{
	const struct turns *t = &c->turns;

	if (t->holder == id)
		return true;
	return (!t->holder || now_ms >= t->until_ms) &&
	       now_ms >= t->leads_ms + turn_ms(c);
}

static void give(struct node_core *c, uint64_t now_ms, uint64_t id)
{
	c->turns.holder = id;
	c->turns.until_ms = id == c->config.node_id ? UINT64_MAX :
			    now_ms + turn_ms(c);
}

static void take_own(struct node_core *c, uint64_t now_ms)
{
	struct turns *t = &c->turns;

	if (now_ms < t->since_ms + 2 * pause_ms(c) ||
	    is_another_first(c, now_ms, c->config.node_id, t->since_ms) ||
	    !is_free(c, now_ms, c->config.node_id))
		return;
	give(c, now_ms, c->config.node_id);
	t->is_given = true;
}

static void asked(struct node_core *c, uint64_t now_ms, uint64_t peer)
{
	struct turns *t = &c->turns;
	struct turn_peer *p = peer_of(c, peer);

	p->asked_ms = now_ms;
	if (!is_free(c, now_ms, peer) ||
	    (t->holder != peer &&
	     (is_another_first(c, now_ms, peer, p->had_ms) ||
	      (t->wants && p->had_ms >= t->since_ms)))) {
		say(c, peer, TURN_BUSY);
		return;
	}
	p->asked_ms = 0;
	p->had_ms = now_ms;
	give(c, now_ms, peer);
	say(c, peer, TURN_GIVEN);
}

static void hear_as_leader(struct node_core *c, uint64_t now_ms, uint64_t peer,
			   enum turn_word word)
{
	struct turns *t = &c->turns;

	if (word == TURN_ASK)
		asked(c, now_ms, peer);
	/* One that copies for an earlier leader. */
	else if (word == TURN_HOLD && (!t->holder || t->holder == peer ||
				       now_ms >= t->until_ms))
		give(c, now_ms, peer);
	else if (word == TURN_DONE && t->holder == peer)
		t->holder = 0;
}

/* ---- who wants one ---- */

static void end_turn(struct node_core *c)
{
	struct turns *t = &c->turns;

	if (t->is_given && c->is_leader && t->holder == c->config.node_id)
		t->holder = 0;
	else if (t->is_given)
		say(c, c->leader, TURN_DONE);
	t->is_given = t->wants = false;
}

void core_copied(struct node_core *c)
{
	end_turn(c);
}

static void hear_as_follower(struct node_core *c, uint64_t now_ms,
			     enum turn_word word)
{
	struct turns *t = &c->turns;

	t->heard_ms = now_ms;
	if (word != TURN_GIVEN)
		return;
	if (!t->wants && !t->is_given) {
		say(c, c->leader, TURN_DONE);
		return;
	}
	t->is_given = true;
	core_apply_more(c, now_ms);
}

bool core_hear_turn(struct node_core *c, uint64_t now_ms,
		    const struct engine_message *m)
{
	if (m->type != ENGINE_M_TURN)
		return false;
	if (c->is_leader)
		hear_as_leader(c, now_ms, m->peer, m->turn.word);
	else if (m->peer == c->leader && m->term == c->term)
		hear_as_follower(c, now_ms, m->turn.word);
	core_pump(c);
	return true;
}

/* Says what there is to say, and when it will be said again. */
static void speak(struct node_core *c, uint64_t now_ms)
{
	struct turns *t = &c->turns;

	t->say_ms = now_ms + pause_ms(c);
	if (c->is_leader && !t->is_given)
		take_own(c, now_ms);
	else if (!c->is_leader && c->leader)
		say(c, c->leader, t->is_given ? TURN_HOLD : TURN_ASK);
	if (!t->is_given && !c->is_leader && c->leader &&
	    now_ms >= t->heard_ms +
		      PATIENCE * (uint64_t)c->config.election_timeout_ms)
		t->is_given = true;
}

bool core_may_copy(struct node_core *c, uint64_t now_ms)
{
	struct turns *t = &c->turns;

	if (t->is_given || is_alone(c))
		return true;
	if (!t->wants) {
		t->wants = true;
		t->since_ms = t->heard_ms = now_ms;
		speak(c, now_ms);
	}
	return t->is_given;
}

void core_turn_due(struct node_core *c, uint64_t now_ms)
{
	struct turns *t = &c->turns;

	if ((!t->wants && !t->is_given) || now_ms < t->say_ms)
		return;
	if (!c->is_checkpointing && !core_wants_checkpoint(c)) {
		end_turn(c);
		return;
	}
	speak(c, now_ms);
	core_apply_more(c, now_ms);
}

uint64_t core_turn_deadline(const struct node_core *c)
{
	return c->turns.wants || c->turns.is_given ? c->turns.say_ms :
						     UINT64_MAX;
}

void core_turn_leads(struct node_core *c, uint64_t now_ms)
{
	struct turns *t = &c->turns;

	t->holder = 0;
	t->n_peers = 0;
	t->leads_ms = now_ms;
	t->heard_ms = t->say_ms = now_ms;
	if (c->is_leader && t->is_given)
		give(c, now_ms, c->config.node_id);
}
