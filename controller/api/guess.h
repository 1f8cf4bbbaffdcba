/*
 * Of open routes whose requests bring a proof of their own (callbacks.c): guesses count
 * for the network that they come from, as those of tokens do (door.c).  The request's
 * loop.
 */
#ifndef API_GUESS_H
#define API_GUESS_H

#include "http/server/server.h"

/* May this network show a proof?  False: answered 429. */
bool door_may_guess(struct request *r);
/* What it showed was wrong. */
void door_guessed(struct request *r);

#endif
