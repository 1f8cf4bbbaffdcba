/*
 * What is known of files of the program on their way in (filer.h): since when nobody
 * sends a part of one, so that it goes at last, and which sendings have come, so that
 * who has not heard it and offers one again is not told twice.  It is forgotten with
 * the node's end, but for the parts that lie there.
 *
 * Raft loop only.
 */
#ifndef NODE_PARTS_H
#define NODE_PARTS_H

#include "base/list.h"
#include "ship/ship.h"

struct rc_node;

struct parts {
	struct list coming;              /* struct part; newest last */
	struct list came;                /* likewise */
	unsigned n_came;
	uint64_t look_ms;                /* when they are looked at again */
};

void parts_init(struct parts *p);
/* 'names' lie in the folder of what comes.  Before the loops run. */
void parts_take_up(struct parts *p, const struct buf *names);
void parts_offered(struct rc_node *n, struct str id);
/* A sending is named by its meta; without one by nothing. */
void parts_came(struct rc_node *n, uint64_t peer, const struct ship_offer *offer);
bool parts_has_come(const struct parts *p, uint64_t peer,
		    const struct ship_offer *offer) MUST_USE;
uint64_t parts_deadline(const struct rc_node *n);
/* Has the ship let go of those that have lain there too long, or are too many, beside
 * 'keep' (as ship_clear's). */
void parts_timeout(struct rc_node *n, void (*keep)(struct rc_node *n, struct buf *out));
void parts_free(struct parts *p);

#endif
