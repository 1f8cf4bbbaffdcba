/*
 * The two sides of a channel agree on a session before anything else goes over
 * it, because a connection may end on one side alone.  Each side gives its end a
 * number, another whenever its link is made anew or it has lost the thread, and
 * says it with the number that it knows of the other.  A side that hears its own
 * number back is in session; the other side's saying so comes before anything of
 * it.
 */
#ifndef NODE_SESSION_H
#define NODE_SESSION_H

#include "net/net.h"

struct rc_node;

struct session {
	struct rc_node *node;
	uint64_t peer;
	enum net_channel channel;
	uint64_t own, other;             /* 0: none */
	bool is_up, owes_hello;
};

/* Both ends' numbers, as they are said: 'own' is the speaker's. */
void session_hello_encode(struct buf *out, uint64_t own, uint64_t other);
/* True: the frame is no frame of a session but a hello (RPC's and SHIP's begin with
 * their version, which it never is). */
bool session_hello_is(struct str frame);
/* E_INVALID. */
enum code session_hello_decode(struct str frame, uint64_t *own, uint64_t *other,
			       struct err *err) MUST_USE;

void session_init(struct session *s, struct rc_node *n, uint64_t peer,
		  enum net_channel channel);
/* The link to the peer. */
void session_link(struct session *s, bool is_up);
/* The peer's connection to here has ended. */
void session_lost(struct session *s);
/* A frame of the channel.  An error was logged, and the session begins anew. */
void session_receive(struct session *s, struct str frame);
void session_room(struct session *s);
void session_end(struct session *s);

#endif
