/*
 * What an event of the store means to a client: for which address it is, and what
 * the client gets there now and got before.
 *
 * A client is told when what it gets changes: the version, digest and format that
 * the release rules pick for it, by its labels and who it is; and when a release begins
 * to give what it has already, which waits for its word.  Rows of events say what
 * the rules were before, so this is a function of the row and the client alone: whoever
 * reads the events, from wherever, on whichever node, comes to the same.  (Rows of before
 * cluster version 3 do not say it; there a change of any rule is told.)
 *
 * Pure; any thread.
 */
#ifndef STATE_FEED_H
#define STATE_FEED_H

#include "model/address.h"
#include "state/view.h"

/* An event of a configuration that may change what somebody gets. */
struct feed_event {
	uint64_t rev;
	bool is_deleted;
	struct address at;
	struct str key;                  /* "tenant/application/environment/name" */
	struct str name;                 /* of the object */
	/* What there is now and was before; a place that is empty has no rules. */
	struct str format, rules;
	struct str was_format, was_rules;
	bool knows_before;
};

/* False: it changes nothing for anybody (an event of something else, or of what
 * a configuration has beside its content).  '*out' borrows from the row; its key
 * is written to 'text', of at least FEED_KEY_MAX bytes. */
#define FEED_KEY_MAX (ADDRESS_KEY_MAX + 4)
bool feed_event_read(struct feed_event *out, char *text, uint64_t rev,
		     const struct event_row *row);

/* What a client is told. */
struct feed_change {
	struct address at;
	struct str key;
	uint64_t rev;
	bool is_deleted;                 /* the configuration */
	bool has_version;                /* it gets something there */
	uint32_t version;
	struct sha256 sha;
	uint64_t size;
	struct str format;               /* empty: no version */
	uint64_t release;                /* whose rule gives it; 0: none that runs */
	/* The last of its command that this client is told of. */
	bool end;
	/* Of equal numbers, which are never 0, all but `end` and what the client
	 * gets is equal: for who keeps what was encoded. */
	uint64_t memo;
};

/* False: 'client' gets what it got before.  `end` and `memo` are 0. */
bool feed_pick(struct feed_change *out, const struct feed_event *e,
	       const struct client *client);

/*
 * One line of JSON:
 *	{"key":"acme/shop/prod/db.toml","version":3,"sha256":"...","size":120,
 *	 "format":"toml","revision":17,"deleted":false,"end":true}
 * and "release":"r-000000000017" where one that is under way gives it.
 */
void feed_json(struct buf *out, const struct feed_change *c);

/* What who is told E_GONE does. */
#define FEED_GONE_HINT "watch from now on, and fetch again with min_revision= what " \
		       "the new watch starts after"

/* E_GONE: what came behind 'rev' is compacted in part; with a text for who asks to
 * go on from there. */
enum code feed_check(struct kv_txn *txn, uint64_t rev, struct err *err) MUST_USE;
/* Where who follows these keys and nothing else goes on that heard of all up to '*rev':
 * there; or behind what is compacted, where each of them stands still since '*rev' or
 * longer, because a configuration's own revision may be older than the events that are
 * kept.  E_GONE as above: one has changed, is not there (any more), or '*rev' is of
 * before a restore, which knows nothing of what came behind its backup. */
enum code feed_check_keys(struct kv_txn *txn, const struct address *keys, size_t n,
			  uint64_t *rev, struct err *err) MUST_USE;

#endif
