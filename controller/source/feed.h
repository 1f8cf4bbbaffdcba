/*
 * Content on its way into the log, ahead of the command that names it.
 *
 * The first contents are held back, so that a commit that proves malformed
 * leaves nothing in the log; a first import that outgrows the hold is streamed
 * instead, with a bound on what is in flight.  A worker; 'done' of each write
 * runs on the store's core loop.
 */
#ifndef SOURCE_FEED_H
#define SOURCE_FEED_H

#include "store/store.h"

struct feed;

/* 'tenant' must outlive it. */
struct feed *feed_new(struct store *store, struct str tenant);
/* Waits for what is in flight; drops what is held. */
void feed_free(struct feed **feed);
/* Copies 'content'.  E_CANCELLED: the store stops; else the first refusal. */
enum code feed_put(struct feed *feed, struct str content,
		   struct err *err) MUST_USE;
/* Sends what is held; does not wait for it. */
enum code feed_flush(struct feed *feed, struct err *err) MUST_USE;

#endif
