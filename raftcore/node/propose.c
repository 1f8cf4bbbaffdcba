/* Proposals: those of a turn become one append.  See raftcore.h. */
#include <sched.h>

#include "base/mem.h"
#include "node/driver.h"

#include "base/banned.h"

void inbox_init(struct inbox *inbox)
{
	inbox->last = &inbox->first;
	pthread_mutex_init(&inbox->lock, NULL);
}

/* ---- refusing ---- */

struct refusal {
	struct errand errand;
	struct rc_proposal *proposal;
	uint64_t leader;
	enum code rc;
	const char *text;
};

static void refuse(struct rc_node *n, const struct refusal *r)
{
	struct err err;

	if (r->rc == E_NOT_LEADER && r->leader)
		err_set(&err, r->rc, "%s; node %llu is", r->text,
			(unsigned long long)r->leader);
	else
		err_set(&err, r->rc, "%s", r->text);
	atomic_fetch_add(r->rc == E_UNCERTAIN ? &n->shown.uncertain :
						&n->shown.refused, 1);
	r->proposal->done(r->proposal, r->rc, &err);
}

static void refuse_here(struct rc_node *n, struct errand *errand)
{
	struct refusal *r = container_of(errand, struct refusal, errand);

	refuse(n, r);
	free(r);
}

void host_refuse(void *host, struct rc_proposal *p, enum code rc,
		 const char *text)
{
	struct rc_node *n = host;
	struct refusal *r = NEW(struct refusal);
	struct node_core_view v;

	node_core_view(n->core, &v);
	*r = (struct refusal){ { .run = refuse_here }, p,
			       v.is_leader ? 0 : v.leader, rc, text };
	errands_put_sure(&n->to_apply, &r->errand);
}

void inbox_refuse(struct rc_node *n)
{
	for (struct rc_proposal *p = n->inbox.first, *next; p; p = next) {
		next = p->next_;
		refuse(n, &(struct refusal){ .proposal = p, .rc = E_UNAVAILABLE,
					     .text = "the node is stopping" });
	}
	n->inbox.first = NULL;
}

static void no_room(struct rc_node *n, struct rc_proposal *p)
{
	for (struct rc_proposal *next; p; p = next) {
		next = p->next_;
		host_refuse(n, p, E_FULL, "the leader's disk has no room");
	}
}

/* ---- taking ---- */

void inbox_take(struct rc_node *n)
{
	struct inbox *in = &n->inbox;
	struct rc_proposal *p;

	pthread_mutex_lock(&in->lock);
	p = in->first;
	in->first = NULL;
	in->last = &in->first;
	pthread_mutex_unlock(&in->lock);
	if (!p)
		return;
	if (room_is_full(n) && n->view.is_leader) {
		no_room(n, p);
		return;
	}
	node_core_propose(n->core, node_now(n), p);
	node_touch(n);
}

/* Only now is the message free to be posted again; the turn does the work. */
static void woken(struct msg *msg)
{
	struct inbox *in = container_of(msg, struct inbox, wake);

	pthread_mutex_lock(&in->lock);
	in->is_woken = false;
	pthread_mutex_unlock(&in->lock);
}

/* Behind it the loop may go: so whoever is about to wake it is waited for. */
void inbox_close(struct rc_node *n)
{
	pthread_mutex_lock(&n->inbox.lock);
	n->inbox.is_stopping = true;
	pthread_mutex_unlock(&n->inbox.lock);
	while (atomic_load(&n->inbox.n_waking))
		sched_yield();
}

/* Not under the lock, for which the loop would wait as soon as it runs. */
static void wake(struct rc_node *n)
{
	n->inbox.wake.run = woken;
	loop_post_sure(n->loop, &n->inbox.wake);
	atomic_fetch_sub(&n->inbox.n_waking, 1);
}

bool rc_propose(struct rc_node *n, struct rc_proposal *p)
{
	struct inbox *in = &n->inbox;
	bool is_asleep;

	p->next_ = NULL;
	p->id = n->config.node_id << 48 |
		(atomic_fetch_add(&n->next_id, 1) & 0xffffffffffff);
	pthread_mutex_lock(&in->lock);
	if (in->is_stopping) {
		pthread_mutex_unlock(&in->lock);
		return false;
	}
	*in->last = p;
	in->last = &p->next_;
	is_asleep = !in->is_woken;
	in->is_woken = true;
	atomic_fetch_add(&in->n_waking, is_asleep);
	pthread_mutex_unlock(&in->lock);
	if (is_asleep)
		wake(n);
	return true;
}
