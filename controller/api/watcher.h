/*
 * Watchers: who is told of changes of configurations, in whatever encoding.
 *
 * A watcher names keys, prefixes and labels and a revision to start after; from
 * there it is told what its labels get, in order, without gap, nothing twice, and
 * where a command ends, through a table of functions.  It knows neither request
 * nor socket: an encoding (server sent events, long poll, WebSocket, gRPC) embeds
 * a struct watcher, starts it, and turns what it is told into bytes.  docs/watch.md
 * is what clients see of it, state/hub.h how it finds whom a change concerns.
 *
 * Life of a watcher: watcher_start; `begin`; any number of `change`, `flush`,
 * `bookmark`, `alive`; then either the encoding calls watcher_stop, or the engine
 * calls `end`.  After either nothing is called any more and the memory is the
 * encoding's.  watcher_stop may be called from inside the watcher's own functions,
 * and for other watchers too; watcher_start and watcher_resume as well.
 *
 * Back-pressure: `change` answers false when that is enough for now (the socket
 * is full), also for a change that it took.  Then nothing more comes until
 * watcher_resume; meanwhile the watcher costs no memory, because it goes on from
 * the store.
 *
 * All on the thread of the loop.  A watcher takes some 300 bytes and some 50 for
 * each key, beside the texts of what it follows.
 */
#ifndef API_WATCHER_H
#define API_WATCHER_H

#include "api/watch_owner.h"
#include "api/watch_spec.h"
#include "state/hub.h"

struct api_loop;
struct fleet_watch;
struct watcher;

/* Why the engine ends a watch.  WATCH_REASON(ident, "name") */
enum watch_reason {
	WATCH_COMPACTED,         /* E_GONE: it must read anew */
	WATCH_EARLY,             /* E_TIMEOUT: `since` has not come; before `begin` */
	WATCH_DENIED,            /* E_UNAUTHORIZED, E_DENIED: as a read now would be */
	WATCH_FENCED,            /* E_UNAVAILABLE: this node's state is wrong */
	WATCH_FAILED,            /* of the store: go to another node */
	WATCH_DRAINING,          /* E_UNAVAILABLE: the node stops; go to another */
	WATCH_REASON__COUNT
};
/* "compacted", "early", "denied", "fenced", "failed", "draining" */
const char *watch_reason_name(enum watch_reason reason);
/* The watch is none the worse, this node is: it goes on at another. */
bool watch_reason_moves(enum watch_reason reason);

struct watcher_ops {
	/* It is under way: what comes after 'rev' is told from here on.  May run
	 * before watcher_start returns.  May be NULL. */
	void (*begin)(struct watcher *w, uint64_t rev);
	/* What it gets at c->at is another than before.  Strings are valid during
	 * the call.  False: enough for now. */
	bool (*change)(struct watcher *w, const struct feed_change *c);
	/* After one or more calls of `change` in this turn: a place to write what
	 * was gathered.  More may come in the next turn.  May be NULL. */
	void (*flush)(struct watcher *w);
	/* As feed_ops has it.  May be NULL. */
	void (*soon)(const struct watcher *w);
	/* All up to 'rev', which ends a command, was told, and it is more than the
	 * watcher was told before: to resume from.  With the heartbeat. */
	void (*bookmark)(struct watcher *w, uint64_t rev);
	/* The heartbeat, where nothing was to be told.  May be NULL. */
	void (*alive)(struct watcher *w);
	/* It is over. */
	void (*end)(struct watcher *w, enum watch_reason reason,
		    const struct err *err);
};

struct watcher {
	struct feed feed;                /* private from here on */
	struct api_loop *at;
	const struct watcher_ops *ops;
	struct list at_, check_;
	uint64_t due_ms;                 /* of the heartbeat */
	uint64_t told;                   /* newest position that it heard of */
	struct watch_owner *owner;
	struct fleet_watch *fleet;       /* of an instance that says who it is */
	bool is_early, is_open;
};

/* E_INVALID: it names nothing, or too much; E_BUSY: the loop has PLACES_MAX keys
 * and prefixes already; E_RATE: the subject has limits.subject_watches at this node;
 * E_GONE: `since` is compacted;
 * E_UNAUTHORIZED, E_DENIED; E_UNAVAILABLE: the node stops; others of the store.
 * On an error nothing was called and nothing is kept. */
enum code watcher_start(struct watcher *w, struct api_loop *at,
			const struct watch_spec *spec,
			const struct watcher_ops *ops, struct err *err) MUST_USE;
/* For one that begins with something else, and is started behind that: counts it for its
 * subject now.  E_RATE as above.  watcher_start takes the count over where it succeeds; else
 * it is to be given back, which is harmless where there is none. */
enum code watcher_count(struct api_loop *at, struct watch_spec *spec,
			struct err *err) MUST_USE;
void watcher_uncount(struct api_loop *at, struct watch_spec *spec);
/* There is room again; harmless where it was not stalled.  Not from inside its own
 * `change`. */
void watcher_resume(struct watcher *w);
/* The encoding is done with it; harmless where it has ended. */
void watcher_stop(struct watcher *w);
/* Where it may go on from: everything up to there was told, or is what it began
 * with. */
uint64_t watcher_rev(const struct watcher *w);

/* ---- a loop's (api.c) ---- */
struct watching;
struct watching *watching_new(struct api_loop *at);
void watching_free(struct watching **watching);
/* Something new is visible. */
void watching_wake(struct watching *watching);
/* Somebody watches: it is to be woken. */
bool watching_any(const struct watching *watching);
/* Ends all with WATCH_DRAINING, many of them in later turns; none begins. */
void watching_drain(struct watching *watching);
struct watch_stats {
	uint64_t now, behind;            /* watchers; of these not at the head */
	uint64_t told, rows;             /* changes; events that were read */
};
void watching_stats(const struct watching *watching, struct watch_stats *out);

#endif
