/*
 * Who leads stamps the time of what is written, so a node whose clock is far from
 * the others' does not lead (RULES.md, "Apply and time"): time never goes back, and an
 * hour too much would end approvals, freeze windows and tokens for good.
 *
 * A node that begins to lead asks the voters for their time before it writes
 * anything, again each few seconds, and when its own clock jumps.  Where the median
 * of a majority is more than CLOCKS_MOST_MS away, it takes no writes and hands
 * leadership to a voter that is near it.  Where no majority answers, or two disagree
 * and nobody can tell who is right, it leads.
 */
#ifndef STORE_CLOCKS_H
#define STORE_CLOCKS_H

#include "base/str.h"

#define CLOCKS_MOST_MS 5000

enum clocks_say {
	CLOCKS_UNKNOWN,                  /* fewer than a majority answered */
	CLOCKS_GOOD,
	CLOCKS_OFF,
};

/*
 * 'offsets', which are sorted, are by how many milliseconds the clocks of those that
 * answered are ahead of this node's, its own 0 among them; of 'voters' in all.  '*median'
 * is the middle one; of two in the middle the nearer to 0.  Pure.
 */
enum clocks_say clocks_judge(int64_t *offsets, size_t n, size_t voters,
			     int64_t *median);
/* Whoever else answers, it will be GOOD: a majority is near this node's.  Pure. */
bool clocks_are_sure(const int64_t *offsets, size_t n, size_t voters);

#endif
