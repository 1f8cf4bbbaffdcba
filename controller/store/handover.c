/*
 * A leader that is about to end hands over first: the others need not find out that
 * it has gone, and writes that are on their way lose milliseconds instead of an
 * election timeout.
 *
 * Best effort and bounded: whoever cannot take over in time elects as after a crash.
 */
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/own.h"

#include "base/banned.h"

struct handover {
	struct msg msg;
	struct rc_transfer transfer;
	struct store *store;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_done;
	unsigned refs;                   /* who waits, and who will tell; lock */
	enum code rc;
};

/* Unlocks it, too. */
static void release(struct handover *h)
{
	bool is_last = --h->refs == 0;

	pthread_mutex_unlock(&h->lock);
	if (!is_last)
		return;
	pthread_cond_destroy(&h->changed);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static void told(struct handover *h, enum code rc)
{
	pthread_mutex_lock(&h->lock);
	h->is_done = true;
	h->rc = rc;
	pthread_cond_signal(&h->changed);
	release(h);
}

static void handed(struct rc_transfer *transfer, enum code rc,
		   const struct err *err)
{
	told(container_of(transfer, struct handover, transfer), rc);
}

static void begin(struct msg *msg)
{
	struct handover *h = container_of(msg, struct handover, msg);

	if (!rc_transfer(h->store->node, &h->transfer))
		told(h, E_UNAVAILABLE);
}

/* The voter that is connected and has most of the log; 0: there is none. */
static uint64_t successor(struct store *s)
{
	struct rc_peer *peers = mem_zero(STORE_MEMBERS_MAX * sizeof(*peers));
	size_t n = MIN(rc_peers(s->node, peers, STORE_MEMBERS_MAX),
		       (size_t)STORE_MEMBERS_MAX);
	struct store_status status;
	const struct rc_peer *best = NULL;
	uint64_t id;

	store_status(s, &status);
	for (size_t i = 0; i < n; i++)
		if (peers[i].id != status.node.node_id && peers[i].votes &&
		    peers[i].is_up && (!best || peers[i].match > best->match))
			best = &peers[i];
	id = best ? best->id : 0;
	free(peers);
	return id;
}

static enum code wait_for(struct handover *h, unsigned wait_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (!h->is_done && pthread_cond_timedwait(&h->changed, &h->lock,
						     &until) == 0)
		;
	return h->is_done ? h->rc : E_TIMEOUT;
}

static struct handover *handover_new(struct store *s, uint64_t to)
{
	struct handover *h = NEW(struct handover);
	pthread_condattr_t attr;

	must(pthread_mutex_init(&h->lock, NULL) == 0);
	must(pthread_condattr_init(&attr) == 0);
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	must(pthread_cond_init(&h->changed, &attr) == 0);
	pthread_condattr_destroy(&attr);
	h->store = s;
	h->msg.run = begin;
	h->transfer = (struct rc_transfer){ .id = to, .done = handed };
	h->refs = 2;
	return h;
}

void store_hand_over(struct store *s, unsigned wait_ms)
{
	uint64_t to = store_leads(s) && !store_is_fenced(s) ? successor(s) : 0;
	struct handover *h;
	enum code rc;

	if (!to)
		return;
	h = handover_new(s, to);
	pthread_mutex_lock(&h->lock);
	loop_post_sure(s->core, &h->msg);
	rc = wait_for(h, wait_ms);
	release(h);
	if (rc)
		log_info(PART, LOG_KV(log_u("to", to), log_z("why", code_slug(rc))),
			 "nobody took over before this node ends");
	else
		log_info(PART, LOG_KV(log_u("to", to)),
			 "leadership is handed over before this node ends");
}
