/*
 * What the sources of this folder see of a loop beside loop.h.
 */
#ifndef IO_LOOP_OWN_H
#define IO_LOOP_OWN_H

#include "io/loop.h"

/* Something whose memory the loop must hand back when it is freed early. */
struct owned_handle {
	struct list at_;
	void (*shut)(struct owned_handle *h);   /* begins to close it */
};

void loop_own(struct loop *loop, struct owned_handle *h);
void loop_disown(struct owned_handle *h);

/* One buffer for all reads of a loop: what is in it is used up before the
 * next read. */
#define LOOP_READ_BYTES (64u * 1024)
char *loop_read_buf(struct loop *loop);
/* Its twin for bytes that TLS has deciphered. */
char *loop_plain_buf(struct loop *loop);

static inline struct loop *loop_of_uv(const uv_loop_t *uv)
{
	return uv->data;
}

#endif
