/*
 * What one thread of a node has another do, in order (errand.c).
 */
#ifndef NODE_ERRAND_H
#define NODE_ERRAND_H

#include <pthread.h>

#include "io/loop.h"

struct rc_node;

/* Something to do on the other thread; embed it. */
struct errand {
	struct errand *next_;
	void (*run)(struct rc_node *n, struct errand *errand);
};

/* They are done in the order in which they were put, and none is lost: what
 * comes before the loop runs waits for it, what is left at its end is done by
 * errands_run. */
struct errands {
	struct rc_node *node;
	pthread_mutex_t lock;
	struct loop *loop;
	struct errand *first, **last;
	struct msg msg;
	bool is_posted, is_closed;
	_Atomic unsigned n_waking;       /* threads that are about to wake the loop */
};

void errands_init(struct errands *e, struct rc_node *node);
void errands_fini(struct errands *e);
/* From now on the loop does them. */
void errands_start(struct errands *e, struct loop *loop);
/* Any thread.  False: it was closed, and the errand will not run. */
bool errands_put(struct errands *e, struct errand *errand) MUST_USE;
void errands_put_sure(struct errands *e, struct errand *errand);
/* Takes no more by errands_put; any thread. */
void errands_close(struct errands *e);
/* Does what waits, here. */
void errands_run(struct errands *e);

#endif
