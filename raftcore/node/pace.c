/* The pace of checkpoints: see pace.h. */
#include "node/pace.h"

#include "base/banned.h"

#define MIB (1024ull * 1024)
#define RATE_START (64 * MIB)
#define RATE_MIN (8 * MIB)       /* so that it ends */
#define RATE_MAX (1024 * MIB)
#define P99_FLOOR_US 500         /* what no one minds */

void pace_init(struct pace *p, uint64_t p99_us, uint64_t writes)
{
	*p = (struct pace){ RATE_START, p99_us, writes };
}

uint64_t pace_next(struct pace *p, uint64_t p99_us, uint64_t writes,
		   size_t bytes)
{
	uint64_t limit = MAX(2 * p->p99_before_us, (uint64_t)P99_FLOOR_US);
	/* Without new writes the percentile is an old one. */
	bool suffers = writes != p->writes && p99_us > limit;

	p->writes = writes;
	if (suffers)
		p->bytes_per_s = MAX(p->bytes_per_s / 2, RATE_MIN);
	else
		p->bytes_per_s = MIN(p->bytes_per_s + p->bytes_per_s / 4,
				     RATE_MAX);
	return (uint64_t)bytes * 1000000 / p->bytes_per_s;
}
