/*
 * Clocks of the kernel, and the text of times: RFC 3339 in UTC, ages as
 * kubectl prints them.
 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/banned.h"

#define DAY_MS 86400000u
/* 9999-12-31T23:59:59.999Z: four digits of year is what the format has. */
#define RFC3339_LAST_MS 253402300799999u

static uint64_t now_ns(clockid_t id)
{
	struct timespec ts;

	must(clock_gettime(id, &ts) == 0);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

uint64_t clock_mono_ms(void)
{
	return now_ns(CLOCK_MONOTONIC) / 1000000u;
}

uint64_t clock_wall_ms(void)
{
	return now_ns(CLOCK_REALTIME) / 1000000u;
}

struct date {
	unsigned year, month, day;      /* month and day from 1 */
};

/* Days of the proleptic Gregorian calendar since 1970-01-01 and back; the
 * year is taken to begin in March, so that the leap day comes last. */
static struct date date_of_days(uint64_t days)
{
	uint64_t z = days + 719468;
	uint64_t era = z / 146097;
	uint64_t doe = z % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint64_t mp = (5 * doy + 2) / 153;
	unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);

	return (struct date){
		.year = (unsigned)(yoe + era * 400 + (month <= 2)),
		.month = month,
		.day = (unsigned)(doy - (153 * mp + 2) / 5 + 1),
	};
}

/* Year 1970 or later. */
static uint64_t days_of_date(struct date d)
{
	uint64_t y = d.year - (d.month <= 2);
	uint64_t yoe = y % 400;
	uint64_t doy = (153 * (d.month > 2 ? d.month - 3 : d.month + 9) + 2) / 5 +
		       d.day - 1;

	return y / 400 * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void digits(char *out, unsigned n, unsigned v)
{
	while (n--) {
		out[n] = (char)('0' + v % 10);
		v /= 10;
	}
}

void clock_rfc3339(char out[RFC3339_MAX], uint64_t unix_ms, bool with_ms)
{
	uint64_t ms = MIN(unix_ms, (uint64_t)RFC3339_LAST_MS);
	struct date d = date_of_days(ms / DAY_MS);
	unsigned in_day = (unsigned)(ms % DAY_MS), s = in_day / 1000;

	digits(out, 4, d.year);
	digits(out + 5, 2, d.month);
	digits(out + 8, 2, d.day);
	digits(out + 11, 2, s / 3600);
	digits(out + 14, 2, s / 60 % 60);
	digits(out + 17, 2, s % 60);
	digits(out + 20, 3, in_day % 1000);
	out[4] = out[7] = '-';
	out[10] = 'T';
	out[13] = out[16] = ':';
	out[19] = with_ms ? '.' : 'Z';
	out[23] = 'Z';
	out[with_ms ? 24 : 20] = '\0';
}

/* Cuts exactly 'n' digits off the front. */
static bool cut_digits(struct str *s, size_t n, unsigned *out)
{
	uint64_t v;

	if (s->n < n || !str_u64(str_first(*s, n), &v))
		return false;
	*s = str_from(*s, n);
	*out = (unsigned)v;
	return true;
}

static bool cut_char(struct str *s, const char *any_of)
{
	if (s->n == 0 || s->p[0] == '\0' || !strchr(any_of, s->p[0]))
		return false;
	*s = str_from(*s, 1);
	return true;
}

static unsigned days_in_month(struct date d)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30,
					31, 31, 30, 31, 30, 31 };
	bool leap = d.year % 4 == 0 && (d.year % 100 != 0 || d.year % 400 == 0);

	return days[d.month - 1] + (d.month == 2 && leap);
}

static bool cut_date(struct str *s, uint64_t *days)
{
	struct date d;

	if (!cut_digits(s, 4, &d.year) || !cut_char(s, "-") ||
	    !cut_digits(s, 2, &d.month) || !cut_char(s, "-") ||
	    !cut_digits(s, 2, &d.day))
		return false;
	if (d.year < 1970 || d.month < 1 || d.month > 12 || d.day < 1 ||
	    d.day > days_in_month(d))
		return false;
	*days = days_of_date(d);
	return true;
}

static bool cut_time(struct str *s, uint64_t *ms)
{
	unsigned hour, minute, second, frac = 0, digits = 0;

	if (!cut_digits(s, 2, &hour) || !cut_char(s, ":") ||
	    !cut_digits(s, 2, &minute) || !cut_char(s, ":") ||
	    !cut_digits(s, 2, &second) || hour > 23 || minute > 59 ||
	    second > 59)
		return false;
	if (cut_char(s, ".")) {
		for (unsigned d; cut_digits(s, 1, &d); digits++)
			if (digits < 3)
				frac = frac * 10 + d;
		if (digits == 0)
			return false;
	}
	for (; digits < 3; digits++)
		frac *= 10;
	*ms = ((hour * 60u + minute) * 60u + second) * 1000u + frac;
	return true;
}

/* "Z" or "+hh:mm", in minutes east. */
static bool cut_offset(struct str *s, int *minutes)
{
	bool west = s->n && s->p[0] == '-';
	unsigned h, m;

	*minutes = 0;
	if (cut_char(s, "Zz"))
		return true;
	if (!cut_char(s, "+-") || !cut_digits(s, 2, &h) || !cut_char(s, ":") ||
	    !cut_digits(s, 2, &m) || h > 23 || m > 59)
		return false;
	*minutes = (int)(h * 60 + m) * (west ? -1 : 1);
	return true;
}

bool clock_parse_rfc3339(struct str s, uint64_t *unix_ms)
{
	uint64_t days, ms;
	int east;
	int64_t sum;

	if (!cut_date(&s, &days) || !cut_char(&s, "Tt ") || !cut_time(&s, &ms) ||
	    !cut_offset(&s, &east) || s.n)
		return false;
	sum = (int64_t)(days * DAY_MS + ms) - (int64_t)east * 60000;
	if (sum < 0)
		return false;
	*unix_ms = (uint64_t)sum;
	return true;
}

/* "3d" or "3d4h"; a second part of 0 is left out. */
static void age_text(char out[16], uint64_t a, char a_unit, uint64_t b,
		     char b_unit)
{
	if (b)
		snprintf(out, 16, "%u%c%u%c", (unsigned)a, a_unit, (unsigned)b,
			 b_unit);
	else
		snprintf(out, 16, "%u%c", (unsigned)MIN(a, (uint64_t)99999999),
			 a_unit);
}

/* k8s.io/apimachinery/pkg/util/duration, HumanDuration. */
void clock_age(char out[16], uint64_t ms)
{
	uint64_t s = ms / 1000, m = s / 60, h = m / 60, d = h / 24;

	if (s < 120)
		age_text(out, s, 's', 0, 0);
	else if (m < 10)
		age_text(out, m, 'm', s % 60, 's');
	else if (m < 180)
		age_text(out, m, 'm', 0, 0);
	else if (h < 8)
		age_text(out, h, 'h', m % 60, 'm');
	else if (h < 48)
		age_text(out, h, 'h', 0, 0);
	else if (d < 8)
		age_text(out, d, 'd', h % 24, 'h');
	else if (d < 730)
		age_text(out, d, 'd', 0, 0);
	else if (d < 2920)
		age_text(out, d / 365, 'y', d % 365, 'd');
	else
		age_text(out, d / 365, 'y', 0, 0);
}
