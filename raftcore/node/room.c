/*
 * A disk without room.
 *
 * What could not be written is kept and tried again five times a second: the log's
 * record or a checkpoint's by its thread (writer.c), a batch of the machine or its
 * opening from a checkpoint by this.  Until it goes in the node takes no proposals, is
 * not ready, and a leader hands over to another: reads, heartbeats and votes go on.
 */
#include "base/log.h"
#include "node/driver.h"

#include "base/banned.h"

#define AGAIN_MS 200u
#define HAND_OVER_MS 1000u

bool room_is_full(const struct rc_node *n)
{
	return atomic_load(&n->room.log) || atomic_load(&n->room.machine);
}

/* Once each way. */
static void tell(const struct rc_node *n, const char *what, const struct err *err)
{
	if (err)
		log_error(PART, LOG_KV(log_z("error", err->text),
				       log_z("hint", err->hint)),
			  "no room for %s: nothing is taken until there is",
			  what);
	else
		log_info(PART, LOG_NO_KV, "there is room for %s again", what);
}

static void room_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, room.changed);

	atomic_store(&n->room.is_posted, false);
	if (!node_has_ended(n))
		node_touch(n);           /* sets the timer */
}

void room_log(void *node, const struct err *err)
{
	struct rc_node *n = node;

	if (atomic_exchange(&n->room.log, err != NULL) == (err != NULL))
		return;
	tell(n, "the log", err);
	if (atomic_exchange(&n->room.is_posted, true))
		return;
	n->room.changed.run = room_here;
	loop_post_sure(n->loop, &n->room.changed);
}

bool room_machine(struct rc_node *n, enum code rc, const struct err *err,
		  void (*again)(struct rc_node *n))
{
	bool is_full = rc == E_FULL;

	if (atomic_exchange(&n->room.machine, is_full) != is_full)
		tell(n, "the state", is_full ? err : NULL);
	n->room.again = again;
	n->room.again_ms = is_full ? node_now(n) + AGAIN_MS : 0;
	return is_full;
}

/* ---- handing over ---- */

static void handed(struct node_transfer *t, enum code rc, const struct err *err)
{
	container_of(t, struct rc_node, room.transfer)->room.is_handing = false;
}

/* The voter that has most; 0: none is connected. */
static uint64_t successor(struct rc_node *n)
{
	struct shown *s = &n->shown;
	uint64_t id = 0, match = 0;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n_peers; i++) {
		const struct rc_peer *p = &s->peers[i];

		if (p->id == n->config.node_id || !p->votes || !p->is_up ||
		    p->match < match)
			continue;
		id = p->id;
		match = p->match;
	}
	pthread_mutex_unlock(&s->lock);
	return id;
}

static void hand_over(struct rc_node *n, uint64_t now)
{
	struct room *r = &n->room;

	r->hand_over_ms = now + HAND_OVER_MS;
	if (r->is_handing)
		return;
	r->transfer = (struct node_transfer){ successor(n), handed };
	if (r->transfer.id == 0)
		return;
	r->is_handing = true;
	node_core_transfer(n->core, now, &r->transfer);
}

/* ---- time ---- */

uint64_t room_deadline(const struct rc_node *n)
{
	const struct room *r = &n->room;
	uint64_t due = r->again_ms ? r->again_ms : UINT64_MAX;

	if (room_is_full(n) && n->view.is_leader)
		due = MIN(due, r->hand_over_ms);
	return due;
}

void room_timeout(struct rc_node *n)
{
	uint64_t now = node_now(n);

	if (n->room.again_ms && now >= n->room.again_ms) {
		n->room.again_ms = 0;
		n->room.again(n);
	}
	if (room_is_full(n) && n->view.is_leader && now >= n->room.hand_over_ms)
		hand_over(n, now);
}
