/*
 * Linearizable reads: the core's, with a deadline of the caller's own.
 *
 * The core gives one up after some election timeouts.  One that has more time is
 * asked again; one that has less is told so, and stays until the core has let go
 * of it.  And who waits for what is applied: until it is so much (rc_await), or as
 * he says himself (raftcore/hurry.h).
 */
#include "base/mem.h"
#include "node/driver.h"
#include "raftcore/hurry.h"

#include "base/banned.h"

struct reading {
	struct errand errand;
	struct rc_node *node;
	struct list at;                  /* n->reads; by itself: nowhere */
	struct rc_read *read;            /* NULL: it was told */
	struct node_reader core;
	bool is_out;                     /* with the core */
	uint64_t deadline_ms;
	enum code rc;
	struct err err;
};

/* ---- the end of one ---- */

static void tell_done(struct rc_node *n, struct errand *errand)
{
	struct reading *r = container_of(errand, struct reading, errand);

	r->read->done(r->read, r->rc, &r->err);
	free(r);
}

static void tell(struct reading *r, enum code rc, const struct err *err)
{
	list_remove(&r->at);
	r->rc = rc;
	if (rc)
		err_copy(&r->err, err);
	if (r->read->is_brief) {
		tell_done(r->node, &r->errand);
		return;
	}
	r->errand.run = tell_done;
	errands_put_sure(&r->node->to_apply, &r->errand);
}

/* The core still has 'r'; another tells in its place. */
static void tell_apart(struct reading *r, const struct err *err)
{
	struct reading *other = NEW(struct reading);

	other->node = r->node;
	other->read = TAKE(r->read);
	list_init(&other->at);
	tell(other, err->code, err);
}

static void confirmed(struct node_reader *core, enum code rc, uint64_t index,
		      const struct err *err)
{
	struct reading *r = container_of(core, struct reading, core);

	r->is_out = false;
	if (!r->read) {
		list_remove(&r->at);
		free(r);
	} else if (rc != E_UNAVAILABLE || node_has_ended(r->node) ||
		   atomic_load(&r->node->shown.divergence) == RC_FENCED) {
		tell(r, rc, err);
	} else {
		r->node->reads_again = true;
	}
}

/* ---- asking ---- */

static void hand_on(struct rc_node *n, struct reading *r)
{
	list_append(&n->reads, &r->at);
	r->is_out = true;
	n->reads_came = true;
	node_core_read(n->core, node_now(n), &r->core);
}

static void start_read(struct rc_node *n, struct errand *errand)
{
	struct reading *r = container_of(errand, struct reading, errand);
	struct err err;

	if (node_has_ended(n)) {
		err_set(&err, E_UNAVAILABLE, "the node is stopping");
		tell(r, err.code, &err);
		return;
	}
	r->deadline_ms = node_now(n) + r->read->timeout_ms;
	n->reads_due_ms = MIN(n->reads_due_ms, r->deadline_ms);
	hand_on(n, r);
}

bool rc_read(struct rc_node *n, struct rc_read *read)
{
	struct reading *r = NEW(struct reading);

	must(read->done && read->timeout_ms > 0);
	r->errand.run = start_read;
	r->node = n;
	r->read = read;
	r->core.done = confirmed;
	list_init(&r->at);
	if (errands_put(&n->to_raft, &r->errand))
		return true;
	free(r);
	return false;
}

/* ---- until so much is applied ---- */

struct awaiting {
	struct errand errand;
	struct rc_node *node;
	struct list at;                  /* n->awaits; by itself: nowhere */
	struct rc_await *await;
	uint64_t index, deadline_ms;
	struct err err;
};

static void tell_awaited(struct rc_node *n, struct errand *errand)
{
	struct awaiting *a = container_of(errand, struct awaiting, errand);

	a->await->done(a->await, a->err.code, &a->err);
	free(a);
}

/* What it waits for is so ('why' NULL), or will not be. */
static void end_await(struct awaiting *a, enum code rc, const char *why)
{
	list_remove(&a->at);
	err_reset(&a->err);
	if (rc)
		err_set(&a->err, rc, "entry %llu was waited for: %s",
			(unsigned long long)a->index, why);
	a->errand.run = tell_awaited;
	errands_put_sure(&a->node->to_apply, &a->errand);
}

/* NULL: this node applies what comes. */
static const char *will_not_apply(const struct rc_node *n)
{
	if (node_has_ended(n))
		return "the node is stopping";
	if (atomic_load(&n->shown.failed))
		return "the node has failed";
	if (atomic_load(&n->shown.divergence) == RC_FENCED)
		return "the node is fenced: its state is not that of the majority";
	return NULL;
}

/* False: it goes on waiting. */
static bool try_await(struct awaiting *a, const char *will_not)
{
	if (will_not)
		end_await(a, E_UNAVAILABLE, will_not);
	else if (atomic_load(&a->node->shown.applied) >= a->index)
		end_await(a, OK, NULL);
	else
		return false;
	return true;
}

static void start_await(struct rc_node *n, struct errand *errand)
{
	struct awaiting *a = container_of(errand, struct awaiting, errand);

	if (try_await(a, will_not_apply(n)))
		return;
	a->deadline_ms = node_now(n) + a->await->timeout_ms;
	n->reads_due_ms = MIN(n->reads_due_ms, a->deadline_ms);
	n->awaits_least = MIN(n->awaits_least, a->index);
	list_append(&n->awaits, &a->at);
}

bool rc_await(struct rc_node *n, struct rc_await *await)
{
	struct awaiting *a = NEW(struct awaiting);

	must(await->done && await->timeout_ms > 0);
	*a = (struct awaiting){ .errand.run = start_await, .node = n,
				.await = await, .index = await->index };
	list_init(&a->at);
	if (errands_put(&n->to_raft, &a->errand))
		return true;
	free(a);
	return false;
}

static void awaits_turn(struct rc_node *n)
{
	const char *will_not;
	struct awaiting *a;

	if (list_empty(&n->awaits))
		return;
	will_not = will_not_apply(n);
	if (!will_not && atomic_load(&n->shown.applied) < n->awaits_least)
		return;
	n->awaits_least = UINT64_MAX;
	list_each(&n->awaits, a, at)
		if (!try_await(a, will_not))
			n->awaits_least = MIN(n->awaits_least, a->index);
}

/* ---- those who wait for something else ---- */

bool readers_hurry(const struct rc_node *n)
{
	return atomic_load(&n->hurries) > 0 || !list_empty(&n->awaits);
}

/* The turn that this makes looks at how many there are. */
static void hurry_here(struct rc_node *n, struct errand *errand)
{
	free(errand);
}

void rc_hurry(struct rc_node *n, bool on)
{
	struct errand *errand;

	if (!on) {
		must(atomic_fetch_sub(&n->hurries, 1) > 0);
		return;
	}
	if (atomic_fetch_add(&n->hurries, 1) || !n->config.gather_ms ||
	    atomic_load(&n->shown.leads))
		return;
	errand = NEW(struct errand);
	errand->run = hurry_here;
	if (!errands_put(&n->to_raft, errand))
		free(errand);
}

/* ---- time ---- */

static void end_late(struct reading *r)
{
	struct err err;

	err_set(&err, E_UNAVAILABLE, "no leader confirmed this read within %u ms",
		r->read->timeout_ms);
	if (r->is_out)
		tell_apart(r, &err);
	else
		tell(r, err.code, &err);
}

/* 'due' is a lower bound: what ends early leaves it. */
void readers_timeout(struct rc_node *n)
{
	uint64_t now = node_now(n), due = UINT64_MAX;
	struct awaiting *a;
	struct reading *r;

	if (now < n->reads_due_ms)
		return;
	list_each(&n->reads, r, at) {
		if (!r->read)
			continue;
		if (now >= r->deadline_ms)
			end_late(r);
		else
			due = MIN(due, r->deadline_ms);
	}
	list_each(&n->awaits, a, at) {
		if (now >= a->deadline_ms)
			end_await(a, E_TIMEOUT, "it was not applied in time");
		else
			due = MIN(due, a->deadline_ms);
	}
	n->reads_due_ms = due;
}

static void read_again(struct rc_node *n)
{
	struct list todo;
	struct reading *r;

	n->reads_again = false;
	list_init(&todo);
	list_each(&n->reads, r, at) {
		if (r->is_out)
			continue;
		list_remove(&r->at);
		list_append(&todo, &r->at);
	}
	while ((r = list_first(&todo, struct reading, at))) {
		list_remove(&r->at);
		hand_on(n, r);
	}
}

/* Behind all that the core was called for: its callbacks do not call it.  Those that
 * came in one turn share a round. */
void readers_turn(struct rc_node *n)
{
	awaits_turn(n);
	if (n->reads_again)
		read_again(n);
	if (!n->reads_came)
		return;
	n->reads_came = false;
	node_core_ask(n->core, node_now(n));
	node_touch(n);
}

/* The core has let go of all (node_core_stop). */
void readers_stop(struct rc_node *n)
{
	struct awaiting *a;
	struct reading *r;
	struct err err;

	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	list_each(&n->reads, r, at)
		tell(r, err.code, &err);
	list_each(&n->awaits, a, at)
		end_await(a, E_UNAVAILABLE, "the node is stopping");
}
