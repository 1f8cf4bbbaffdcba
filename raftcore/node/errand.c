/* What one thread has another do: see driver.h. */
#include <sched.h>

#include "node/driver.h"

#include "base/banned.h"

void errands_init(struct errands *e, struct rc_node *node)
{
	*e = (struct errands){ .node = node };
	e->last = &e->first;
	pthread_mutex_init(&e->lock, NULL);
}

void errands_fini(struct errands *e)
{
	pthread_mutex_destroy(&e->lock);
}

void errands_run(struct errands *e)
{
	struct errand *first;

	pthread_mutex_lock(&e->lock);
	first = e->first;
	e->first = NULL;
	e->last = &e->first;
	pthread_mutex_unlock(&e->lock);
	while (first) {
		struct errand *next = first->next_;

		first->run(e->node, first);
		first = next;
	}
}

static void on_posted(struct msg *msg)
{
	struct errands *e = container_of(msg, struct errands, msg);

	pthread_mutex_lock(&e->lock);
	e->is_posted = false;
	pthread_mutex_unlock(&e->lock);
	errands_run(e);
}

/* With the lock held.  True: the loop is to be woken when it is not any more, because it
 * would wait for the lock as soon as it runs. */
static bool begin_wake(struct errands *e)
{
	if (!e->loop || e->is_posted)
		return false;
	e->is_posted = true;
	atomic_fetch_add(&e->n_waking, 1);
	return true;
}

static void wake(struct errands *e)
{
	e->msg.run = on_posted;
	loop_post_sure(e->loop, &e->msg);
	atomic_fetch_sub(&e->n_waking, 1);
}

void errands_start(struct errands *e, struct loop *loop)
{
	bool wakes;

	pthread_mutex_lock(&e->lock);
	e->loop = loop;
	wakes = e->first && begin_wake(e);
	pthread_mutex_unlock(&e->lock);
	if (wakes)
		wake(e);
}

static bool put(struct errands *e, struct errand *errand, bool is_sure)
{
	bool taken, wakes = false;

	errand->next_ = NULL;
	pthread_mutex_lock(&e->lock);
	taken = is_sure || !e->is_closed;
	if (taken) {
		*e->last = errand;
		e->last = &errand->next_;
		wakes = begin_wake(e);
	}
	pthread_mutex_unlock(&e->lock);
	if (wakes)
		wake(e);
	return taken;
}

bool errands_put(struct errands *e, struct errand *errand)
{
	return put(e, errand, false);
}

void errands_put_sure(struct errands *e, struct errand *errand)
{
	(void)put(e, errand, true);
}

/* Its loop ends: nothing is posted there any more, and who is about to has done so. */
void errands_close(struct errands *e)
{
	pthread_mutex_lock(&e->lock);
	e->is_closed = true;
	pthread_mutex_unlock(&e->lock);
	while (atomic_load(&e->n_waking))
		sched_yield();
}
