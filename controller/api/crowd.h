/*
 * Connections by address: none may have more than so many at this node.  An IPv6
 * address counts with its /64.  Bounded by the connections themselves.
 *
 * Any thread.
 */
#ifndef API_CROWD_H
#define API_CROWD_H

#include <stdbool.h>
#include <stddef.h>

struct crowd;

/* 'most' of one address; 0: as many as it likes. */
struct crowd *crowd_new(unsigned most);
void crowd_free(struct crowd **crowd);
/* 'host' is a numeric address.  False: it has as many as it may. */
bool crowd_enter(struct crowd *crowd, const char *host);
/* One that was let in has gone. */
void crowd_leave(struct crowd *crowd, const char *host);
/* Addresses that have connections, where they are counted. */
size_t crowd_count(struct crowd *crowd);

#endif
