/*
 * What the sources of this folder see of a loop beside loop.h.
 */
#ifndef IO_LOOP_OWN_H
#define IO_LOOP_OWN_H

#include "base/buf.h"
#include "io/loop.h"

/* Something whose memory the loop must hand back when it is freed early. */
struct owned_handle {
	struct list at_;
	void (*shut)(struct owned_handle *h);   /* begins to close it */
};

void loop_own(struct loop *loop, struct owned_handle *h);
void loop_disown(struct owned_handle *h);

/* Counts turns: the same number is the same turn. */
uint64_t loop_turn(const struct loop *loop);

/*
 * Buffers that all streams of a loop share.  What is in one is used up before
 * the callback that filled it returns to libuv.
 */
struct loop_scratch {
	struct buf wire;                /* made by TLS, on its way out */
	char read[64 * 1024];           /* from the socket */
	char plain[16 * 1024];          /* deciphered */
	char gather[16 * 1024];         /* small parts, to become one record */
};
struct loop_scratch *loop_scratch(struct loop *loop);

static inline struct loop *loop_of_uv(const uv_loop_t *uv)
{
	return uv->data;
}

#endif
