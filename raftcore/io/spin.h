/*
 * Whether a loop looks for input again and again for a moment before it sleeps.
 *
 * To sleep and be woken costs more than a short request, at the one who wakes too.
 * Where input mostly comes within 'most_ns' of the last it is looked for that long;
 * where one look in five or more would be in vain, it is not.  While others want the
 * processor it is left to them: for 10 ms, and twice as long each time they want it
 * again.  Where other threads have part in what is done here (a write, which goes through
 * the log) they are left it too: what they send ends the looking until input alone has
 * come for a while.
 *
 * Pure: the loop (loop.c) says what it saw, and when.  A loop that has nothing to do, or
 * something now and then, sleeps at once.
 */
#ifndef IO_SPIN_H
#define IO_SPIN_H

#include <stdbool.h>
#include <stdint.h>

struct spin {
	uint64_t most_ns;                /* 0: it always sleeps */
	uint64_t not_before_ns;          /* others wanted the processor */
	uint64_t pause_ns;
	unsigned credit, found;
};

/* A look that took so long was interrupted by somebody who does more than ask us. */
#define SPIN_LOOK_NS UINT64_C(200000)

/* Looking is worth it now. */
bool spin_wants(const struct spin *spin, uint64_t now_ns);
/* Input was found while it was looked for; there was none in 'most_ns'; somebody else
 * wanted the processor. */
void spin_hit(struct spin *spin);
void spin_miss(struct spin *spin);
void spin_crowded(struct spin *spin, uint64_t now_ns);
/* Another thread has sent something. */
void spin_told(struct spin *spin);
/* It slept for so long. */
void spin_slept(struct spin *spin, uint64_t ns);

#endif
