/*
 * What there is: what labels get at some addresses and below some prefixes, all of
 * one revision, told one after the other.
 *
 * It reads from a picture of its own, in slices of a few milliseconds, and as fast as
 * it is taken; so it costs neither the loop a long turn nor memory for who does not
 * read.  A picture keeps the store from using its space again, so one that is not
 * done in a slice has two seconds, and only a few of a loop have one.
 *
 * On the thread of the loop.
 */
#ifndef API_LISTING_H
#define API_LISTING_H

#include "api/watcher.h"
#include "kv/kv.h"

struct api_loop;
struct listing;

struct listing_ops {
	/* One; each place once, and only what the subject may fetch.  False: enough
	 * for now, listing_go goes on. */
	bool (*one)(void *data, const struct feed_change *c, struct kv_txn *txn);
	/* After some of these: a place to write what was gathered. */
	void (*flush)(void *data);
	/* It is over, and gone.  OK: all was told.  E_GONE: it took too long;
	 * E_BUSY: too many at once; E_TOO_LARGE; E_UNAUTHORIZED, E_DENIED: its owner
	 * may not watch any more; others of the store. */
	void (*done)(void *data, enum code rc, const struct err *err);
};

/* 'spec' and 'owner', who is looked up with each slice, are borrowed until it is over.
 * '*rev': of the picture.
 * Nothing is told before listing_go. */
enum code listing_new(struct api_loop *at, const struct watch_spec *spec,
		      struct watch_owner *owner,
		      const struct listing_ops *ops, void *data,
		      struct listing **out, uint64_t *rev,
		      struct err *err) MUST_USE;
/* Begins, or goes on; from inside `flush` too. */
void listing_go(struct listing *l);
/* It is wanted no more; `done` is not called. */
void listing_stop(struct listing **l);

#endif
