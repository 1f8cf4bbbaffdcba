/*
 * Is a request taken, or has this loop too much before it?
 *
 * What a loop has waiting shows in its turns: all sockets that are readable are
 * served in one, and whatever comes meanwhile waits until it ends.  So the length
 * of a turn is how long requests wait.  As with CoDel (RFC 8289) one long turn
 * says nothing, it may be a burst that is worked off; a loop is overloaded when no
 * turn of a whole interval was shorter than the target and it never had to wait for
 * input in between, for then the queue stands.  Then it serves the first 'target'
 * of each turn and refuses what is older: refusing costs little, so whoever is
 * served is served in time.  The first shorter turn ends it.
 *
 * One loop's thread.  Times are nanoseconds of the monotonic clock.
 */
#ifndef API_ADMISSION_H
#define API_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

/* An interval is so many targets. */
#define ADMISSION_TARGETS 5u

struct admission {
	uint64_t target_ns;              /* 0: everything is taken */
	/* private */
	uint64_t began_ns;               /* the turn; 0: no request in it yet */
	uint64_t ended_ns;               /* the turn before */
	uint64_t above_since_ns;         /* 0: the last turn was short */
	bool is_overloaded;
	uint64_t shed;                   /* refused so far */
};

/* A request that was read at 'now_ns', in the turn that woke at 'woke_ns'; false:
 * refuse it. */
bool admission_take(struct admission *a, uint64_t woke_ns, uint64_t now_ns);
/* The turn that woke at 'woke_ns' ends. */
void admission_turn(struct admission *a, uint64_t woke_ns, uint64_t now_ns);

#endif
