/*
 * Five fields of cron: minute, hour, day of the month, month, day of the week.
 *
 * Each is `*`, or a list of numbers, ranges (a-b) and steps (a-b/n, * /n without the
 * blank); months and days of the week also by their first three letters, 7 is Sunday too.
 * Where both days are given, either is enough.  Pure; any thread.
 */
#ifndef GATE_CRON_H
#define GATE_CRON_H

#include "base/str.h"

struct cron {
	uint64_t minutes;                /* bits */
	uint32_t hours, days, months;    /* days and months from bit 1 on */
	uint8_t weekdays;                /* Sunday is bit 0 */
	bool any_day, any_weekday;       /* the field begins with a star */
};

/* E_INVALID names the field. */
enum code cron_parse(struct str text, struct cron *out, struct err *err) MUST_USE;
/* 'day' since 1970-01-01, of the proleptic Gregorian calendar. */
bool cron_has_day(const struct cron *c, int64_t day);

#endif
