/*
 * Effect chains compared between nodes.
 *
 * What an entry did is summed up by the machine in a chain (machine.h, digest).
 * Each node notes it where a batch ends at a fixed index, which is why batches
 * end there, and where it stands when nothing was applied for a while; it tells
 * all members what it noted, beside the log, now and then again because messages
 * get lost.  Every node compares for itself:
 *
 *	- where more than half of the voters have one other digest than this node
 *	  at the same index, this node is outvoted and fences itself (fence.c);
 *	- where somebody differs and no majority is against this node, it says so
 *	  (the alarm) and goes on, until all members agree with it again.
 *
 * Only entries that are committed are applied, so an index stands for one state,
 * however late a word of it arrives.
 */
#include <string.h>

#include "base/mem.h"
#include "node/own.h"

#include "base/banned.h"

#define AGAIN 10u                        /* election timeouts, of what was told */

static bool is_off(const struct node_core *c)
{
	return !c->config.machine.digest || !c->config.compare_entries ||
	       c->has_failed || engine_peers(c->engine, NULL, 0) < 2;
}

/* ---- points ---- */

static bool is_fixed(const struct node_core *c, uint64_t index)
{
	return c->config.compare_entries &&
	       index % c->config.compare_entries == 0;
}

static struct chain_point *slot_of(const struct node_core *c, struct chain *ch,
				   uint64_t index)
{
	return &ch->fixed[index / c->config.compare_entries % CHAIN_POINTS];
}

/* What lies there is replaced only by what is newer. */
static void note(const struct node_core *c, struct chain *ch,
		 const struct chain_point *p)
{
	struct chain_point *at = is_fixed(c, p->index) ?
		slot_of(c, ch, p->index) : &ch->last;

	if (p->index > at->index)
		*at = *p;
}

/* NULL: it was not noted, or is not any more. */
static const struct chain_point *point_at(const struct node_core *c,
					  const struct chain *ch, uint64_t index)
{
	const struct chain_point *at = is_fixed(c, index) ?
		slot_of(c, (struct chain *)(uintptr_t)ch, index) : &ch->last;

	return index && at->index == index ? at : NULL;
}

static bool is_same(const struct chain_point *a, const struct chain_point *b)
{
	return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

static struct chain *chain_of(struct node_core *c, uint64_t id)
{
	struct detector *d = &c->detector;

	for (size_t i = 0; i < d->n; i++)
		if (d->chains[i].id == id)
			return &d->chains[i];
	mem_grow((void **)&d->chains, &d->cap, d->n + 1, sizeof(*d->chains));
	d->chains[d->n] = (struct chain){ .id = id };
	return &d->chains[d->n++];
}

static struct engine_peer *members(const struct node_core *c, size_t *n)
{
	struct engine_peer *all;

	*n = engine_peers(c->engine, NULL, 0);
	all = mem_zero((*n + 1) * sizeof(*all));
	engine_peers(c->engine, all, *n);
	return all;
}

/* What is known of servers that are members no more goes. */
static void forget_others(struct node_core *c)
{
	struct detector *d = &c->detector;
	size_t n;
	struct engine_peer *all = members(c, &n);

	for (size_t i = 0; i < d->n;) {
		bool is_member = false;

		for (size_t k = 0; k < n; k++)
			is_member |= all[k].id == d->chains[i].id;
		if (is_member)
			i++;
		else
			d->chains[i] = d->chains[--d->n];
	}
	free(all);
}

/* ---- comparing ---- */

static bool knows(const struct node_core *c, uint64_t id,
		  const struct chain_point *what)
{
	for (size_t i = 0; i < c->detector.n; i++) {
		const struct chain *ch = &c->detector.chains[i];
		const struct chain_point *p = point_at(c, ch, what->index);

		if (ch->id == id)
			return p && is_same(p, what);
	}
	return false;
}

/* Whether more than half of all voters said the same as 'p'. */
static bool is_majority(const struct node_core *c, const struct chain_point *p)
{
	size_t n, voters = 0, same = 0;
	struct engine_peer *all = members(c, &n);

	for (size_t i = 0; i < n; i++) {
		voters += all[i].votes;
		same += all[i].votes && all[i].id != c->config.node_id &&
			knows(c, all[i].id, p);
	}
	free(all);
	return same > voters / 2;
}

/* The newest word of each other member counts. */
static void say_verdict(struct node_core *c)
{
	struct detector *d = &c->detector;
	enum rc_divergence verdict = RC_ALIKE;
	uint64_t index = 0, peer = 0;

	if (c->fence.is_on)
		return;
	for (size_t i = 0; i < d->n; i++) {
		const struct chain *ch = &d->chains[i];

		if (!ch->differs || (peer && index <= ch->compared))
			continue;
		verdict = RC_DIFFERS;
		index = ch->compared;
		peer = ch->id;
	}
	if (verdict == d->verdict && peer == d->peer)
		return;
	d->verdict = verdict;
	d->index = index;
	d->peer = peer;
	if (c->host->diverged)
		c->host->diverged(c->host_data, verdict, index, peer);
}

/* What this node and that one noted at the same index. */
static void compare(struct node_core *c, uint64_t now_ms, struct chain *ch,
		    uint64_t index)
{
	struct detector *d = &c->detector;
	const struct chain_point *own = point_at(c, &d->own, index);
	const struct chain_point *other = point_at(c, ch, index);

	if (!own || !other)
		return;
	if (index >= ch->compared) {
		ch->compared = index;
		ch->differs = !is_same(own, other);
	}
	if (is_same(own, other))
		d->compared = MAX(d->compared, index);
	else if (!c->fence.is_on && is_majority(c, other))
		core_fence(c, now_ms, own, other);
}

/* ---- this node's ---- */

bool core_ends_batch(const struct node_core *c, uint64_t index)
{
	return c->config.machine.digest && is_fixed(c, index);
}

uint64_t core_batch_limit(const struct node_core *c, uint64_t from)
{
	uint64_t every = c->config.compare_entries;

	return c->config.machine.digest && every ?
		(from + every - 1) / every * every : UINT64_MAX;
}

void core_noted(struct node_core *c, uint64_t now_ms, const uint8_t digest[32])
{
	struct detector *d = &c->detector;
	struct chain_point p = { .index = c->applied };

	if (c->applied == 0 || c->fence.is_on)
		return;
	memcpy(p.digest, digest, sizeof(p.digest));
	note(c, &d->own, &p);
	for (size_t i = 0; i < d->n; i++)
		compare(c, now_ms, &d->chains[i], p.index);
	d->noted = p.index;
	d->asks = false;
	if (!is_off(c))
		d->tell_ms = MIN(d->tell_ms ? d->tell_ms : UINT64_MAX,
				 MAX(now_ms, d->told_ms +
				     4 * (uint64_t)c->config.heartbeat_ms));
	say_verdict(c);
}

void core_detect_applied(struct node_core *c, uint64_t now_ms)
{
	struct detector *d = &c->detector;

	d->applied_ms = now_ms;
	if (!d->quiet_ms && !is_off(c))
		d->quiet_ms = now_ms + 2 * (uint64_t)c->config.heartbeat_ms;
}

/* The state is another one now, and what was noted of the one before is over. */
void core_detect_anew(struct node_core *c)
{
	struct detector *d = &c->detector;

	d->own = (struct chain){ 0 };
	d->noted = 0;
	for (size_t i = 0; i < d->n; i++) {
		d->chains[i].compared = 0;
		d->chains[i].differs = false;
	}
}

bool core_wants_chain(const struct node_core *c)
{
	return c->detector.asks && !c->fence.is_on &&
	       c->applied > c->detector.noted;
}

/* ---- from node to node ---- */

static int by_index(const void *a, const void *b)
{
	uint64_t x = ((const struct chain_point *)a)->index;
	uint64_t y = ((const struct chain_point *)b)->index;

	return x < y ? -1 : x > y;
}

/* The points are put in when it is sent (outbox.c). */
static void tell(struct node_core *c)
{
	size_t n;
	struct engine_peer *all = members(c, &n);

	for (size_t i = 0; i < n && c->term; i++)
		if (all[i].id != c->config.node_id)
			core_post(c, &(struct engine_message){
				.type = ENGINE_M_CHAIN, .peer = all[i].id,
				.term = c->term });
	free(all);
}

struct chain_point *core_points(struct node_core *c, unsigned *n)
{
	struct detector *d = &c->detector;

	*n = 0;
	for (unsigned i = 0; i < CHAIN_POINTS; i++)
		if (d->own.fixed[i].index)
			d->told[(*n)++] = d->own.fixed[i];
	if (d->own.last.index)
		d->told[(*n)++] = d->own.last;
	qsort(d->told, *n, sizeof(*d->told), by_index);
	return d->told;
}

bool core_hear_chain(struct node_core *c, uint64_t now_ms,
		     const struct engine_message *m)
{
	struct chain *ch;
	bool is_member = false;
	struct engine_peer *all;
	size_t n;

	if (m->type != ENGINE_M_CHAIN)
		return false;
	all = members(c, &n);
	for (size_t i = 0; i < n; i++)
		is_member |= all[i].id == m->peer;
	free(all);
	if (!is_member || is_off(c))
		return true;
	ch = chain_of(c, m->peer);
	for (unsigned i = 0; i < m->chain.n; i++)
		note(c, ch, &m->chain.points[i]);
	for (unsigned i = 0; i < m->chain.n && !c->is_installing; i++)
		compare(c, now_ms, ch, m->chain.points[i].index);
	say_verdict(c);
	/* What was noted before the others became members. */
	if (c->detector.noted && !c->detector.tell_ms)
		c->detector.tell_ms = now_ms +
				      4 * (uint64_t)c->config.heartbeat_ms;
	core_pump(c);
	return true;
}

/* ---- time ---- */

/* Nothing was applied for a while: all nodes stand at the same index then. */
static void look_when_quiet(struct node_core *c, uint64_t now_ms)
{
	struct detector *d = &c->detector;
	uint64_t quiet = 2 * (uint64_t)c->config.heartbeat_ms;

	if (!d->quiet_ms || now_ms < d->quiet_ms)
		return;
	if (now_ms < d->applied_ms + quiet) {
		d->quiet_ms = d->applied_ms + quiet;
	} else if (c->applied <= d->noted || c->fence.is_on || is_off(c)) {
		d->quiet_ms = 0;
	} else {
		/* Something else may be with the machine: looked after again. */
		d->quiet_ms = now_ms + quiet;
		d->asks = true;
		core_apply_more(c, now_ms);
	}
}

void core_detect_start(struct node_core *c, uint64_t now_ms)
{
	if (c->detector.noted)
		c->detector.tell_ms = now_ms +
				      4 * (uint64_t)c->config.heartbeat_ms;
}

void core_detect_due(struct node_core *c, uint64_t now_ms)
{
	struct detector *d = &c->detector;

	look_when_quiet(c, now_ms);
	if (!d->tell_ms || now_ms < d->tell_ms)
		return;
	d->tell_ms = 0;
	if (is_off(c))
		return;
	forget_others(c);
	say_verdict(c);
	tell(c);
	d->told_ms = now_ms;
	d->tell_ms = now_ms + AGAIN * (uint64_t)c->config.election_timeout_ms;
	core_pump(c);
}

uint64_t core_detect_deadline(const struct node_core *c)
{
	const struct detector *d = &c->detector;

	return MIN(d->quiet_ms ? d->quiet_ms : UINT64_MAX,
		   d->tell_ms ? d->tell_ms : UINT64_MAX);
}

void core_detect_end(struct node_core *c)
{
	free(c->detector.chains);
}
