/*
 * How fast a checkpoint may be written beside the log: faster while the log's
 * writes are quick or there are none, half as fast when they suffer.
 */
#ifndef NODE_PACE_H
#define NODE_PACE_H

#include "base/str.h"

struct pace {
	uint64_t bytes_per_s;
	uint64_t p99_before_us;          /* of the log, before it began */
	uint64_t writes;                 /* of the log, when last asked */
};

void pace_init(struct pace *pace, uint64_t p99_us, uint64_t writes);
/* How long to wait before 'bytes' more are written, in microseconds.  'p99_us'
 * and 'writes' are the log's now.  Pure. */
uint64_t pace_next(struct pace *pace, uint64_t p99_us, uint64_t writes,
		   size_t bytes);

#endif
