/*
 * The instances of this node: who is connected, with which labels, following what;
 * what releases sent them, and what they said of it.
 *
 * Any thread writes it (the loops of the api); the agent (fleet/agent.h), on the
 * core loop, reads what changed and tells the leader.  It is no replicated state: a
 * node that starts anew knows none.
 *
 * Bounded: at most `max` instances.  Beyond it those unheard for the longest that left
 * go first; where all are connected, or of a running release, a new one is not known
 * and counted (`refused`), so its release's conditions stay unknown and nothing
 * passes for want of memory.  Words are four times as many; those of no running
 * release go first, and of others those of instances that never had a watch.
 */
#ifndef FLEET_FLEET_H
#define FLEET_FLEET_H

#include "fleet/report.h"
#include "model/address.h"
#include "model/rules.h"

struct fleet;

/* 'max': fleet.instances_max. */
struct fleet *fleet_new(size_t max);
void fleet_free(struct fleet **fleet);

/* What a watch follows; copied. */
struct fleet_spec {
	struct str instance;             /* 1 to FLEET_INSTANCE_MAX bytes */
	const struct labels *labels;
	const struct address *keys;
	size_t n_keys;
	const struct str *prefixes;
	size_t n_prefixes;
};
struct fleet_watch;
/* A watch begins.  NULL: there is no room. */
struct fleet_watch *fleet_join(struct fleet *fleet, const struct fleet_spec *spec,
			       uint64_t now_ms);
/* It has ended; harmless where it is NULL. */
void fleet_leave(struct fleet *fleet, struct fleet_watch **watch,
		 uint64_t now_ms);

/* A version was sent: a change, or the answer to a fetch.  'release' is the number of
 * the one that is under way; 0: of none, and then it is for lists alone, and of an
 * instance that is known. */
struct fleet_sent {
	struct str instance, key;        /* "tenant/application/environment/name" */
	uint32_t version;
	uint64_t release;
};
void fleet_sent(struct fleet *fleet, const struct fleet_sent *sent,
		uint64_t now_ms);

enum fleet_word { FLEET_GOT, FLEET_APPLIED, FLEET_REFUSED };
/* An instance said what came of a version.  It counts for a release: 'release' (0: it
 * named none) or the configuration's, that runs; and is for lists. */
struct fleet_said {
	struct str instance, key;
	uint32_t version;
	uint64_t release;
	enum fleet_word word;
	struct str reason;               /* of REFUSED */
};
void fleet_said(struct fleet *fleet, const struct fleet_said *said,
		uint64_t now_ms);

/* Called with the fleet's lock, on any thread, where something changed and a release
 * runs; before the first of the calls above. */
void fleet_set_poke(struct fleet *fleet, void (*poke)(void *data, bool is_urgent),
		    void *data);

struct fleet_counts {
	size_t known, connected, watches, words;
	uint64_t refused;
};
void fleet_counts(struct fleet *fleet, struct fleet_counts *out);

/* Those that are connected here, or spoke here and were silent for less than
 * FLEET_GONE_MS, behind list->after, in order of their names, as rows (list_row) with
 * their last words, at most list->limit; '*more': there are others behind the last.
 * Where list->tenant is given those alone that follow something of it or spoke of it,
 * with that. */
void fleet_list_known(struct fleet *fleet, const struct fleet_list *list,
		      uint64_t node, uint64_t now_ms, struct buf *out, bool *more);
#define FLEET_GONE_MS 3600000ull

#endif
