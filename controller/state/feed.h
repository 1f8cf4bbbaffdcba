/*
 * What a watcher is told: changes of the configurations that it follows, as
 * server sent events.  It is read from the event rows of a view and from nothing
 * else, so a watcher that lags costs no memory: it goes on where it stopped.
 *
 *	id: 17
 *	event: change
 *	data: {"key":"acme/shop/prod/db.toml","version":3,"sha256":"...",
 *	       "revision":17,"deleted":false,"end":true}      (one line)
 *
 * A command may touch more than the watcher follows; `end` is on the last of its
 * events that are told.  So an event is kept until the next of the same command,
 * or the command's end, is seen.
 *
 * One thread a feed; strings and addresses are borrowed.
 */
#ifndef STATE_FEED_H
#define STATE_FEED_H

#include "model/address.h"
#include "model/labels.h"
#include "state/view.h"

struct feed {
	/* What it follows: addresses, and what begins like a prefix. */
	struct address *keys;
	size_t n_keys, cap_keys;
	struct str *prefixes;
	size_t n_prefixes, cap_prefixes;
	struct labels labels;            /* of the client: what it gets */
	uint64_t cursor;                 /* looked at up to here */
	struct buf last;                 /* of this command, not told yet */
};

void feed_fini(struct feed *f);
/* Does it follow what lies there? */
bool feed_follows(const struct feed *f, const struct address *at);
/* E_GONE: what came behind the cursor is compacted in part; with a text for who
 * asks to go on from there. */
enum code feed_check(const struct feed *f, struct kv_txn *txn,
		     struct err *err) MUST_USE;
/*
 * Tells what 'txn' shows behind the cursor, which moves on; looks at no more than
 * 'most' events.  'tell' is given whole events, and answers false where that is
 * enough for now.  '*more': there may be more to tell.  E_GONE: compacted
 * meanwhile, nothing was told; E_CORRUPT.
 */
typedef bool feed_tell(void *data, struct str text);
enum code feed_next(struct feed *f, struct kv_txn *txn, unsigned most,
		    feed_tell *tell, void *data, bool *more,
		    struct err *err) MUST_USE;
/* The event that says that it is over: the client has to read anew. */
void feed_gone(struct buf *out, const struct err *err);

#endif
