/*
 * Work of several tenants that shares a few seats.
 *
 * Each tenant has a lane, in the order in which it asked; lanes take turns, and one of
 * them never has all the seats where there is more than one: servers that hang hold
 * up who named them and nobody else.  No thread, no clock; core loop.
 */
#ifndef SOURCE_SEATS_H
#define SOURCE_SEATS_H

#include "base/list.h"
#include "base/str.h"

struct seats;
struct lane;

/* Embed it; zeros at first. */
struct seat {
	/* It has the seat until seat_leave; may be called in seat_ask and
	 * in another's seat_leave. */
	void (*start)(struct seat *seat);
	/* private */
	struct list at_;
	struct seats *seats_;
	struct lane *lane_;              /* NULL: neither waits nor has one */
	bool has_started_;
};

/* At most 'places' at once, 'of_one' of them of one lane. */
struct seats *seats_new(unsigned places, unsigned of_one);
/* Nobody waits, and nobody has one. */
void seats_free(struct seats **seats);

/* Not while it waits or has one. */
void seat_ask(struct seats *seats, struct str lane, struct seat *seat);
/* It needs none any more; harmless where it neither waits nor has one. */
void seat_leave(struct seat *seat);
static inline bool seat_waits(const struct seat *seat)
{
	return seat->lane_ && !seat->has_started_;
}

#endif
