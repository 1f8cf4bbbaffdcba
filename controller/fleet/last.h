/*
 * The last words of an instance, one a configuration: as bytes of a row
 * (fleet_row.words), merged of what several nodes know, and what they come to.  Ages
 * instead of times, so that the clocks of nodes need not agree.
 *
 * Layout, one behind the other: key (string), version that it spoke of (varint; 0:
 * none), u8 state, age of that in ms, version that it was given last (0: not known),
 * age of that, reason (string).  Pure; any thread.
 */
#ifndef FLEET_LAST_H
#define FLEET_LAST_H

#include "fleet/report.h"

/* Of one instance in a list: those of which it was heard last.  A page of a node that
 * is full and one row more are within FLEET_ANSWER_MAX. */
#define FLEET_LAST_MAX 16

struct fleet_last {
	struct str key;                  /* at most ADDRESS_KEY_MAX bytes */
	uint32_t said_version;           /* 0: it said nothing */
	enum fleet_state said;           /* IS_RECEIVED, _APPLIED or _REJECTED */
	uint64_t said_age_ms;
	uint32_t sent_version;           /* 0: not known */
	uint64_t sent_age_ms;
	struct str reason;               /* of REJECTED */
};

void last_put(struct buf *out, const struct fleet_last *last);
/* E_NOT_FOUND behind the last, which err is not set for; E_INVALID. */
enum code last_next(struct rd *rd, struct fleet_last *out, struct err *err) MUST_USE;

/* What it has: its word, or what it was sent. */
enum fleet_state last_state(const struct fleet_last *last);
uint32_t last_version(const struct fleet_last *last);
/* Since it was sent something of this configuration, or spoke of it. */
uint64_t last_age_ms(const struct fleet_last *last);
/* From when it was given the version until it applied that, or until now.  False: not
 * known. */
bool last_lag_ms(const struct fleet_last *last, uint64_t *out);

/* Adds 'more' to 'all', of 'n', the newest first; of one configuration there is one,
 * with the newest of each.  Returns how many there are, at most FLEET_LAST_MAX. */
size_t last_merge(struct fleet_last all[FLEET_LAST_MAX], size_t n,
		  const struct fleet_last *more);

#endif
