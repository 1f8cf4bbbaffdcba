/* Time and its text: see clock.h.  Dates by the days-from-civil algorithm of
 * Howard Hinnant (proleptic Gregorian calendar), so no locale or zone. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/banned.h"

uint64_t clock_mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}

uint64_t clock_wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
	int64_t era;
	unsigned yoe, doy, doe;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = (unsigned)(y - era * 400);
	doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + (int64_t)doe - 719468;
}

static void civil_of(int64_t z, int64_t *y, unsigned *m, unsigned *d)
{
	int64_t era;
	unsigned doe, yoe, doy, mp;

	z += 719468;
	era = (z >= 0 ? z : z - 146096) / 146097;
	doe = (unsigned)(z - era * 146097);
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = (int64_t)yoe + era * 400 + (*m <= 2);
}

void clock_rfc3339(char out[RFC3339_MAX], uint64_t unix_ms, bool with_ms)
{
	uint64_t s = unix_ms / 1000;
	unsigned m, d, t = (unsigned)(s % 86400);
	int64_t y;
	int n;

	civil_of((int64_t)(s / 86400), &y, &m, &d);
	n = snprintf(out, RFC3339_MAX, "%04d-%02u-%02uT%02u:%02u:%02u",
		     (int)MIN(y, (int64_t)9999), m, d, t / 3600, t / 60 % 60,
		     t % 60);
	if (with_ms)
		n += snprintf(out + n, RFC3339_MAX - (size_t)n, ".%03u",
			      (unsigned)(unix_ms % 1000));
	snprintf(out + n, RFC3339_MAX - (size_t)n, "Z");
}

static bool two(struct str s, size_t at, unsigned lo, unsigned hi, unsigned *v)
{
	uint64_t n;

	if (!str_u64(str_first(str_from(s, at), 2), &n) || n < lo || n > hi)
		return false;
	*v = (unsigned)n;
	return true;
}

bool clock_parse_rfc3339(struct str s, uint64_t *unix_ms)
{
	unsigned mo, d, h, mi, se;
	uint64_t y, ms = 0;
	int64_t days;

	if (s.n < 20 || s.p[4] != '-' || s.p[7] != '-' || s.p[10] != 'T' ||
	    s.p[13] != ':' || s.p[16] != ':' || s.p[s.n - 1] != 'Z')
		return false;
	if (!str_u64(str_first(s, 4), &y) || !two(s, 5, 1, 12, &mo) ||
	    !two(s, 8, 1, 31, &d) || !two(s, 11, 0, 23, &h) ||
	    !two(s, 14, 0, 59, &mi) || !two(s, 17, 0, 60, &se))
		return false;
	if (s.n > 20 && (s.n != 24 || s.p[19] != '.' ||
			 !str_u64(str_first(str_from(s, 20), 3), &ms)))
		return false;
	days = days_of((int64_t)y, mo, d);
	if (days < 0)
		return false;
	*unix_ms = ((uint64_t)days * 86400 + h * 3600 + mi * 60 + se) * 1000 + ms;
	return true;
}

void clock_age(char out[16], uint64_t ms)
{
	uint64_t s = ms / 1000, m = s / 60, h = m / 60, d = h / 24;

	if (s < 120)
		snprintf(out, 16, "%us", (unsigned)s);
	else if (m < 10 && s % 60)
		snprintf(out, 16, "%um%us", (unsigned)m, (unsigned)(s % 60));
	else if (h < 3)
		snprintf(out, 16, "%um", (unsigned)m);
	else if (h < 8 && m % 60)
		snprintf(out, 16, "%uh%um", (unsigned)h, (unsigned)(m % 60));
	else if (h < 48)
		snprintf(out, 16, "%uh", (unsigned)h);
	else if (d < 8 && h % 24)
		snprintf(out, 16, "%ud%uh", (unsigned)d, (unsigned)(h % 24));
	else if (d < 2 * 365)
		snprintf(out, 16, "%ud", (unsigned)d);
	else if (d < 8 * 365 && d % 365)
		snprintf(out, 16, "%uy%ud", (unsigned)(d / 365),
			 (unsigned)(d % 365));
	else
		snprintf(out, 16, "%uy", (unsigned)(d / 365));
}
