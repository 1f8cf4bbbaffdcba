/*
 * Time zones of the tz database that the machine has (libdate-tz).  Alone includes
 * date/tz.h.  Any thread.
 */
#ifndef GATE_ZONE_H
#define GATE_ZONE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct zone;

/* NULL: there is none of that name ("Europe/Berlin"), or no database.  "UTC" needs
 * none.  Never freed. */
const struct zone *zone_find(const char *name);
/* How far local time is ahead of UTC at 'unix_s', and from when until when it is
 * that: from <= t < to. */
struct zone_span {
	int64_t from_s, to_s;
	int32_t ahead_s;
};
/* False: the database is damaged. */
bool zone_span_at(const struct zone *zone, int64_t unix_s, struct zone_span *out);

#ifdef __cplusplus
}
#endif

#endif
