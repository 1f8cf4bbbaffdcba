/*
 * Streams that stay open for who has not said who he is: watches of health, WebSockets
 * before their hello.  A connection has a fixed number of each of them (crowd.h), or a
 * client without a token could have a node keep as much as it likes.
 *
 * On the thread of the loop.
 */
#ifndef API_STRANGER_H
#define API_STRANGER_H

#include "api/crowd.h"
#include "api/own.h"

/* One more of who asks; false: answered, E_RATE with a time. */
bool stranger_enter(struct request *r, enum crowd_strangers kind);
/* It has ended, or is known now. */
void stranger_leave(struct api_loop *at, enum crowd_strangers kind,
		    const struct stream_addr *peer);

#endif
