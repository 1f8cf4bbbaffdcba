/*
 * A hub tells many followers of changes: it reads each new event once, decodes it
 * once, and finds whom it concerns.
 *
 * Followers (struct feed) name keys, prefixes and who they are.  Topics, a key or a
 * prefix each, lie in hash maps and hold the list of their followers; an event
 * looks up its key, and its beginning in each length that prefixes have.  What
 * nobody follows costs two look-ups.
 *
 * Events are read in batches by passes over the store.  The head pass stands at
 * the newest revision and carries everybody who is up to date.  Who is behind,
 * because he resumes or was stalled, waits for the other pass: it starts where the
 * one furthest behind stands, takes all along that it can, and hands them to the
 * head pass when it has caught up with it.  So any number of followers that
 * come back after a fault read the store once together, and one that does not
 * read costs nothing: it has a position and no queue.
 *
 * Told are changes (feed.h), in order, none twice and none left out, `end` on the
 * last of each command that the follower is told of.  For that a change is held
 * back until the next of the same command or the command's end was seen.
 *
 * It knows no clock, no loop and no socket; one thread at a time.
 */
#ifndef STATE_HUB_H
#define STATE_HUB_H

#include "base/list.h"
#include "state/feed.h"

struct hub;
struct feed;

struct feed_ops {
	/* May this one be told of it?  'txn' is the picture that the event was
	 * read from.  NULL: everything.  It may hub_remove the feed. */
	bool (*may)(struct feed *f, struct kv_txn *txn,
		    const struct feed_event *e);
	/* False: enough for now; hub_resume goes on. */
	bool (*change)(struct feed *f, const struct feed_change *c);
	/* After one or more of these; may be NULL. */
	void (*flush)(struct feed *f);
	/* It may be told next: a place to bring near what that needs, and for nothing
	 * else.  May be NULL. */
	void (*soon)(const struct feed *f);
	/* Its position is compacted.  It was removed. */
	void (*gone)(struct feed *f, const struct err *err);
};

enum feed_state {
	FEED_OUT,                        /* not in a hub */
	FEED_WAITING,                    /* for a pass */
	FEED_ABOARD,
	FEED_STALLED,
	FEED_GONE,                       /* to be told that it is */
};

struct feed {
	const struct feed_ops *ops;
	/* private from here on */
	struct hub *hub;
	struct list at_;
	enum feed_state state;
	struct pass *pass;               /* ABOARD */
	uint64_t cursor;                 /* all up to here was told */
	uint32_t first, last;            /* of its matches in the batch, + 1 */
	bool is_due;
	struct held *held;               /* told when it is known whether it ends */
	struct topic_sub *subs;
	size_t n_subs;
	struct client client;
	void *block;                     /* that these lie in */
};

struct hub *hub_new(void);
/* Followers that are left are removed. */
void hub_free(struct hub **hub);

/* 'f' has its ops set and is zero beside; it follows what comes behind
 * 'cursor', which is not ahead of what there is, once hub_resume says so.  Texts
 * are copied.  A prefix of no bytes is everything. */
void hub_add(struct hub *hub, struct feed *f, const struct address *keys,
	     size_t n_keys, const struct str *prefixes, size_t n_prefixes,
	     const struct client *client, uint64_t cursor);
/* Harmless where it is in none.  From inside any of the ops, of any feed. */
void hub_remove(struct feed *f);
void hub_resume(struct feed *f);
/* Everything up to there, the end of a command, was told; where the feed stands
 * within a command or has something before it, what it was told last. */
uint64_t hub_position(const struct feed *f);
bool hub_is_idle(const struct feed *f);  /* at the head, nothing before it */

/*
 * Tells what 'txn' shows, until all is told or 'is_late' says that it took long
 * enough (asked every few steps; NULL: never).  '*more': there is more to tell,
 * now.  An error of the store; what was told stays told.
 */
enum code hub_run(struct hub *hub, struct kv_txn *txn,
		  bool (*is_late)(void *data), void *data, bool *more,
		  struct err *err) MUST_USE;
/* At most so many events are read at once: for tests.  0: the default. */
void hub_set_batch(struct hub *hub, unsigned events);
size_t hub_count(const struct hub *hub);
size_t hub_places(const struct hub *hub);        /* keys and prefixes of all */
size_t hub_behind(const struct hub *hub);        /* of these not at the head */
/* Rows read since it was made. */
uint64_t hub_rows(const struct hub *hub);

#endif
