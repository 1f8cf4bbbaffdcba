/* When windows are shut: see window.h. */
#include "gate/window.h"

#include <stdlib.h>

#include "base/mem.h"
#include "gate/cron.h"
#include "gate/zone.h"

#include "base/banned.h"

#define DAY_S 86400
/* No clock is moved by more. */
#define TURN_S DAY_S

/* Beginnings, while they are gathered. */
struct starts {
	int64_t *s;
	size_t n, cap;
};

static void add(struct starts *st, int64_t s)
{
	mem_grow((void **)&st->s, &st->cap, st->n + 1, sizeof(*st->s));
	st->s[st->n++] = s;
}

/* ---- local time to UTC ---- */

struct clock_of {
	const struct zone *zone;
	struct zone_span span;           /* that was used last */
	bool has_span;
};

static bool span_at(struct clock_of *c, int64_t s)
{
	if (c->has_span && s >= c->span.from_s && s < c->span.to_s)
		return true;
	c->has_span = zone_span_at(c->zone, s, &c->span);
	return c->has_span;
}

/* The whole day around it is of the span that was used last. */
static bool is_plain(const struct clock_of *c, int64_t local)
{
	int64_t s = local - c->span.ahead_s;

	return c->has_span &&
	       (c->span.from_s == INT64_MIN || s - TURN_S >= c->span.from_s) &&
	       (c->span.to_s == INT64_MAX || s + TURN_S < c->span.to_s);
}

/* Once, twice, or where the clock was moved past it. */
static bool add_local(struct clock_of *c, int64_t local, struct starts *out)
{
	struct zone_span before, after;
	bool is_before, is_after;

	if (is_plain(c, local)) {
		add(out, local - c->span.ahead_s);
		return true;
	}
	if (!span_at(c, local - TURN_S))
		return false;
	before = c->span;
	if (!span_at(c, local + TURN_S))
		return false;
	after = c->span;
	is_before = local - before.ahead_s < before.to_s;
	is_after = local - after.ahead_s >= after.from_s;
	if (is_before)
		add(out, local - before.ahead_s);
	if (is_after && !(is_before && before.ahead_s == after.ahead_s))
		add(out, local - after.ahead_s);
	if (!is_before && !is_after)
		add(out, after.from_s);
	return true;
}

/* ---- the days ---- */

static bool add_day(struct clock_of *c, const struct cron *cron, int64_t day,
		    struct starts *out)
{
	if (!cron_has_day(cron, day))
		return true;
	for (int hour = 0; hour < 24; hour++) {
		if (!(cron->hours >> hour & 1))
			continue;
		for (int minute = 0; minute < 60; minute++)
			if ((cron->minutes >> minute & 1) &&
			    !add_local(c, day * DAY_S + hour * 3600 + minute * 60,
				       out))
				return false;
	}
	return true;
}

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Beginnings into intervals that stand apart; '*until_ms' moves to the first that
 * has no room. */
static void merge(struct starts *st, const struct window *w, uint64_t now_ms,
		  struct window_interval *out, size_t *n, uint64_t *until_ms)
{
	/* Where it never begins there is no memory either. */
	if (st->n)
		qsort(st->s, st->n, sizeof(*st->s), by_time);
	*n = 0;
	for (size_t i = 0; i < st->n; i++) {
		uint64_t from = st->s[i] > 0 ? (uint64_t)st->s[i] * 1000 : 0;
		uint64_t to = from + w->duration_ms;

		if (to <= now_ms || from >= *until_ms)
			continue;
		if (*n && from <= out[*n - 1].to_ms) {
			out[*n - 1].to_ms = MAX(out[*n - 1].to_ms, to);
			continue;
		}
		if (*n == WINDOW_INTERVALS_MAX) {
			*until_ms = from;
			return;
		}
		out[(*n)++] = (struct window_interval){ from, to };
	}
}

static enum code check(const struct window *w, struct cron *cron,
		       const struct zone **zone, struct err *err)
{
	AUTO_ARENA arena = arena_new(256);
	struct err why;

	if (cron_parse(w->cron, cron, &why)) {
		err_set(err, E_UNPROCESSABLE, "spec.schedule.cron: %s", why.text);
		return err_hint(err, "%s", why.hint);
	}
	if (w->duration_ms > WINDOW_DURATION_MAX_MS)
		return err_set(err, E_UNPROCESSABLE, "spec.schedule.duration: a "
			       "window lasts a year at most");
	*zone = zone_find(arena_z(arena, w->zone));
	if (*zone)
		return OK;
	err_set(err, E_UNPROCESSABLE, "spec.schedule.timeZone: %.*s is no time zone "
		"of the tz database here", STR_ARG(w->zone));
	return err_hint(err, "name one as Europe/Berlin; the servers need the "
			"package tzdata");
}

enum code window_compute(struct arena *arena, const struct window *w,
			 uint64_t now_ms, struct window_interval **out, size_t *n,
			 uint64_t *until_ms, struct err *err)
{
	int64_t from = (int64_t)(now_ms / 1000) - (int64_t)(w->duration_ms / 1000);
	int64_t to = (int64_t)((now_ms + WINDOW_AHEAD_MS) / 1000);
	struct clock_of clock = { 0 };
	struct starts starts = { 0 };
	struct cron cron;
	enum code rc = check(w, &cron, &clock.zone, err);

	for (int64_t day = from / DAY_S - 2; rc == OK && day <= to / DAY_S + 2; day++)
		if (!add_day(&clock, &cron, day, &starts))
			rc = err_set(err, E_UNPROCESSABLE, "the time zone %.*s "
				     "cannot be read", STR_ARG(w->zone));
	if (rc == OK) {
		*until_ms = now_ms + WINDOW_AHEAD_MS;
		*out = arena_alloc(arena, WINDOW_INTERVALS_MAX * sizeof(**out));
		merge(&starts, w, now_ms, *out, n, until_ms);
	}
	free(starts.s);
	return rc;
}

enum code window_status_of(struct str spec, uint64_t now_ms, struct buf *out,
			   struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	struct window_interval *intervals;
	uint64_t until = 0;
	struct window w;
	size_t n = 0;
	enum code rc;

	window_read(arena, spec, STR_NONE, &w);
	if (w.is_broken)
		return err_set(err, E_UNPROCESSABLE, "the window is malformed");
	if (!w.has_schedule && w.once.to_ms <= w.once.from_ms)
		return err_set(err, E_UNPROCESSABLE, "spec.interval: it ends before "
			       "it starts");
	if (!w.has_schedule) {
		window_status(out, &w.once, 1, UINT64_MAX, spec, now_ms, STR_NONE);
		return OK;
	}
	rc = window_compute(arena, &w, now_ms, &intervals, &n, &until, err);
	if (rc == OK)
		window_status(out, intervals, n, until, spec, now_ms, STR_NONE);
	return rc;
}

/* Half way through what was computed; and behind the end of what its status names as
 * next, though not more than once an hour. */
uint64_t window_refresh_ms(const struct window *w)
{
	struct window_interval next;
	uint64_t half;

	if (!w->has_schedule || w->is_broken)
		return UINT64_MAX;
	if (w->computed_ms <= w->computed_at_ms)
		return w->computed_at_ms + 3600000;
	half = w->computed_at_ms + (w->computed_ms - w->computed_at_ms) / 2;
	if (!window_next(w, w->computed_at_ms, &next))
		return half;
	return MIN(half, MAX(next.to_ms, w->computed_at_ms + 3600000));
}
