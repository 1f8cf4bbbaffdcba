/*
 * What the leader knows of the instances of releases: reports of all nodes, put
 * together by instance.
 *
 * An instance that moved between nodes is one: connected where any node has it, sent
 * and applied what any node says.  A node's first report (or one of another process)
 * replaces what it said of who is connected; facts stay.  Nothing is decided here but
 * what came of an instance (docs/releases.md): `rejected`; `applied` where it applied
 * all that it gets or was sent; `lost` where it was sent the version, left, and has
 * been away for the bake time; `deferred` where it left before it was sent, or is
 * not picked any more.  Whoever
 * came later than the step began counts with what it says, and not before.  One that
 * never had a watch (it asks now and then) is no part of the cohort, and counts with
 * what it says.
 *
 * An instance that left one node may have gone to another that was not heard yet, or
 * whose process has ended since with what it knew.  What would come of its absence, and
 * a rejection where it is not connected, is *doubtful* then: for the bake time, and where a
 * member has not said all it knows for GATHER_HEAR_MS at least, since the session began.
 * So what a leader has not heard yet makes nobody lost.
 *
 * Bounded: at most 'max' records; what is beyond is counted, and missing then
 * (`known` stays behind `expected`), so nothing passes for want of memory.
 *
 * No thread, no clock; core loop.
 */
#ifndef FLEET_GATHER_H
#define FLEET_GATHER_H

#include "fleet/report.h"
#include "model/tally.h"

#define GATHER_NODES_MAX 64
/* A session waits so long at least for nodes that have not reported. */
#define GATHER_HEAR_MS 30000u

struct gather;
struct gather *gather_new(size_t max);
void gather_free(struct gather **gather);
/* A new session, of a leader that knows nothing; 0: this node does not lead, and
 * takes nothing. */
void gather_reset(struct gather *gather, uint64_t session, uint64_t now_ms);
uint64_t gather_session(const struct gather *gather);

/* Which releases a report has changed, and whether something was rejected, lost or
 * evaluated, which is not to wait. */
typedef void gather_changed(void *data, uint64_t release, bool is_urgent);
/* Takes what 'node' reports; 'answer' is for it.  E_INVALID: what is malformed is
 * not taken; E_NOT_LEADER; E_BUSY: more nodes than can be. */
enum code gather_take(struct gather *gather, uint64_t node, struct str report,
		      uint64_t now_ms, struct buf *answer,
		      gather_changed *changed, void *data,
		      struct err *err) MUST_USE;
/* The nodes that may know something of an instance, up or not; at most
 * GATHER_NODES_MAX, in any order that stays.  Until told so none is waited for. */
void gather_members(struct gather *gather, const uint64_t *ids, unsigned n,
		    gather_changed *changed, void *data);
/* A node cannot be reached: who was connected there is not. */
void gather_node_gone(struct gather *gather, uint64_t node, uint64_t now_ms,
		      gather_changed *changed, void *data);
/* Has it reported since the session began (and not gone)? */
bool gather_has_node(const struct gather *gather, uint64_t node);
/* The nodes that have; returns how many. */
unsigned gather_nodes(const struct gather *gather,
		      uint64_t out[GATHER_NODES_MAX]);
/* A node has said since that the release has another number of configurations than it did
 * before: what it reported first may be of others by their places, so a leader gathers
 * anew.  Until the next session. */
bool gather_is_mixed(const struct gather *gather);
/* Has it looked at all of its instances for that step of the release, with the
 * configurations that this has? */
bool gather_is_evaluated(const struct gather *gather, uint64_t release,
			 uint64_t node, uint32_t step);
/* Instances in the cohort of the step: for MOVE_STEP_BEGUN. */
uint64_t gather_cohort(const struct gather *gather, uint64_t release);

struct gather_rules {
	uint32_t step;
	uint64_t expected;               /* of MOVE_STEP_BEGUN */
	uint64_t lost_after_ms;          /* the bake time */
	uint32_t configs;                /* that the release has; 0: not known */
};
/* Of the step that the release is at.  Until this says so of a release: the first,
 * nothing is expected, and none is lost. */
void gather_expect(struct gather *gather, uint64_t release,
		   const struct gather_rules *rules);
/* Borrows the texts; verdicts are left as they are. */
void gather_tally(const struct gather *gather, uint64_t release, uint64_t now_ms,
		  struct tally *out);
/* The release is over. */
void gather_forget(struct gather *gather, uint64_t release);
/* Forgets all up to 'newest' that 'runs' does not know. */
void gather_keep(struct gather *gather, uint64_t newest,
		 bool (*runs)(void *data, uint64_t release), void *data);

/* Rows (list_row) in order of instances, behind 'after', at most 'limit'. */
void gather_list(const struct gather *gather, uint64_t release, struct str after,
		 size_t limit, uint64_t now_ms, struct buf *out, bool *more);

struct gather_counts {
	size_t releases, records;
	uint64_t reports, taken, refused, bytes;
};
void gather_counts(const struct gather *gather, struct gather_counts *out);

#endif
