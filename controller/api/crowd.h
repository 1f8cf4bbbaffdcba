/*
 * What each may have only so many of at this node, by who it is: connections by
 * address, where one of IPv6 counts with its /64, and what is held open on them for who
 * has not said who he is; watches by subject.  Bounded by what is counted itself.
 *
 * Any thread.
 */
#ifndef API_CROWD_H
#define API_CROWD_H

#include "base/str.h"

struct crowd;

/* 'most' of each; 0: as many as it likes. */
struct crowd *crowd_new(unsigned most);
void crowd_free(struct crowd **crowd);
/* False: it has as many as it may. */
bool crowd_enter(struct crowd *crowd, struct str who);
/* One that was let in has gone. */
void crowd_leave(struct crowd *crowd, struct str who);
/* The same of a numeric address. */
bool crowd_enter_host(struct crowd *crowd, const char *host);
void crowd_leave_host(struct crowd *crowd, const char *host);

/* Streams that are open for nobody, of each kind: what keeps an eye on a node's health
 * has one a connection, and takes no place of who is about to say who he is. */
enum crowd_strangers { CROWD_HEALTH, CROWD_HELLO };
#define CROWD_STRANGERS_CONNECTION 64u
/* When it is worth to come again. */
#define CROWD_STRANGERS_S 10u
/* One more, of the connection from 'text' (with its port) at 'host'; false: that has as
 * many as it may, or its network as many as 'most' connections may.  Where 'most' is 0 a
 * network is not counted: it may be all clients, behind one address. */
bool crowd_enter_stranger(struct crowd *crowd, enum crowd_strangers kind,
			  const char *host, const char *text);
void crowd_leave_stranger(struct crowd *crowd, enum crowd_strangers kind,
			  const char *host, const char *text);

/* Who has any, where they are counted. */
size_t crowd_count(struct crowd *crowd);

#endif
