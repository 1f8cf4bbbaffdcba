/* See descriptors.h. */
#include "daemon/descriptors.h"

#include <sys/resource.h>

#include "base/log.h"

#include "base/banned.h"

#define LEAST 8u
/* As many of a loop are enough for who has not asked for more. */
#define FEW 1024u

static rlim_t raise_to(rlim_t want)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return want;
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < want) {
		rlim_t was = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ?
					 want : MIN(want, limit.rlim_max);
		if (setrlimit(RLIMIT_NOFILE, &limit))
			limit.rlim_cur = was;
	}
	return MIN(limit.rlim_cur, want);
}

unsigned descriptors_for(unsigned wanted, bool is_asked_for, unsigned loops)
{
	rlim_t want = (rlim_t)wanted * loops + DESCRIPTORS_KEPT;
	rlim_t have = raise_to(want);
	rlim_t each = have > DESCRIPTORS_KEPT ? (have - DESCRIPTORS_KEPT) / loops : 0;
	unsigned n = (unsigned)MAX(MIN(each, (rlim_t)wanted), (rlim_t)LEAST);
	bool matters = is_asked_for || n < FEW;

	if (n < wanted)
		log_at(matters ? LOG_WARN : LOG_INFO, "daemon",
		       LOG_KV(log_u("descriptors", have),
			      log_u("connections", n),
			      log_u("server.connections", wanted)),
		       "the limit of open files (ulimit -n, LimitNOFILE=) allows "
		       "fewer connections");
	return n;
}
