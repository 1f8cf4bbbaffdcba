/*
 * A transport in memory, for rc_config.open_net: nodes of one process that hand each
 * other frames, under the address that they would listen at.  What it promises is
 * what net/net.h promises; it has no use for certificates, and asks nobody who he is.
 */
#ifndef TESTS_NODE_HUB_H
#define TESTS_NODE_HUB_H

#include "net/net.h"

enum code hub_open(const struct net_config *config,
		   const struct net_handlers *handlers, struct net **out,
		   struct err *err);
/* Nothing goes between the two nodes any more, or again; any thread. */
void hub_cut(uint64_t a, uint64_t b, bool is_cut);
/* The next frame of the channel whose second byte is 'byte' is lost, and with it the
 * connection that it goes over; 0: none is; any thread. */
void hub_lose(enum net_channel channel, uint8_t byte);
/* Frames of a channel that arrived, and what they held, at all nodes; any thread. */
uint64_t hub_frames(enum net_channel channel);
uint64_t hub_bytes(enum net_channel channel);

#endif
