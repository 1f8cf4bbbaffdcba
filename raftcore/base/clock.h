/*
 * Time and its text.  Apply never calls clock_*; time arrives in commands.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/buf.h"

uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);
uint64_t clock_wall_ms(void);           /* Unix epoch */

#define RFC3339_MAX 32
/* "2026-01-01T00:00:00Z" (seconds) or with ".123" milliseconds; pure, UTC. */
void clock_rfc3339(char out[RFC3339_MAX], uint64_t unix_ms, bool with_ms);
bool clock_parse_rfc3339(struct str s, uint64_t *unix_ms);
/* Age as kubectl prints it: "45s", "5m12s", "3h", "2d3h", "8d". */
void clock_age(char out[16], uint64_t ms);

#endif
