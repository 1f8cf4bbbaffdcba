/*
 * When freeze windows are shut, computed ahead in UTC: what apply goes by, which knows
 * no time zone (docs/releases.md).  Whoever writes a window calls this, so that it
 * counts at once, and the leader keeps it ahead (keeper.h).  Any thread.
 *
 * In the hour that a clock skips a window begins when it has been skipped; in the one
 * that comes twice it begins twice, and so lasts until the second of both has ended.
 */
#ifndef GATE_WINDOW_H
#define GATE_WINDOW_H

#include "model/policy.h"

#define WINDOW_AHEAD_MS (90ull * 86400000)
#define WINDOW_INTERVALS_MAX 1000
#define WINDOW_DURATION_MAX_MS (366ull * 86400000)

/*
 * The intervals of a schedule that have not ended at 'now_ms', ascending and apart,
 * up to '*until_ms': 90 days ahead, or where there would be more than
 * WINDOW_INTERVALS_MAX.  E_UNPROCESSABLE: the cron or the time zone is none, or it
 * lasts longer than a year.
 */
enum code window_compute(struct arena *arena, const struct window *w,
			 uint64_t now_ms, struct window_interval **out, size_t *n,
			 uint64_t *until_ms, struct err *err) MUST_USE;
/* The status of a window with that spec (canonical JSON, as it is stored). */
enum code window_status_of(struct str spec, uint64_t now_ms, struct buf *out,
			   struct err *err) MUST_USE;
/* When the leader is to compute it anew; UINT64_MAX: never. */
uint64_t window_refresh_ms(const struct window *w);

#endif
