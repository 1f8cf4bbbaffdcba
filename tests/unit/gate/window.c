/* When windows are shut, over clocks that are moved. */
#include "unit.h"

#include "base/clock.h"
#include "gate/window.h"
#include "gate/zone.h"

#include "base/banned.h"

static struct arena *arena;

static void setup(void)
{
	arena = arena_new(0);
}

static void teardown(void)
{
	arena_free(&arena);
}

static uint64_t at(const char *time)
{
	uint64_t ms = 0;

	ck_assert_msg(clock_parse_rfc3339(str_of(time), &ms), "%s", time);
	return ms;
}

/* Berlin goes to summer time on 2026-03-29 at 02:00, back on 2026-10-25 at 03:00;
 * New York on 2026-03-08 and 2026-11-01. */
static const struct {
	const char *cron, *zone;
	uint64_t minutes;                /* it lasts */
	const char *now;
	const char *first[4];            /* from/to of the first two */
} rows[] = {
	{ "0 18 * * fri", "UTC", 60, "2026-01-01T00:00:00Z",
	  { "2026-01-02T18:00:00Z", "2026-01-02T19:00:00Z",
	    "2026-01-09T18:00:00Z", "2026-01-09T19:00:00Z" } },
	{ "0 18 * * fri", "Europe/Berlin", 60, "2026-01-01T00:00:00Z",
	  { "2026-01-02T17:00:00Z", "2026-01-02T18:00:00Z",
	    "2026-01-09T17:00:00Z", "2026-01-09T18:00:00Z" } },
	/* One that began before is still shut; one that ended is not there. */
	{ "0 18 * * fri", "UTC", 60, "2026-01-02T18:59:59Z",
	  { "2026-01-02T18:00:00Z", "2026-01-02T19:00:00Z" } },
	{ "0 18 * * fri", "UTC", 60, "2026-01-02T19:00:00Z",
	  { "2026-01-09T18:00:00Z", "2026-01-09T19:00:00Z" } },
	/* Begun long ago: it lasts as long as it lasts. */
	{ "0 0 1 1 *", "UTC", 200 * 1440, "2026-03-01T00:00:00Z",
	  { "2026-01-01T00:00:00Z", "2026-07-20T00:00:00Z" } },
	/* Over the change of the clock it lasts as long as elsewhere. */
	{ "0 0 29 3 *", "Europe/Berlin", 6 * 60, "2026-03-20T00:00:00Z",
	  { "2026-03-28T23:00:00Z", "2026-03-29T05:00:00Z" } },
	/* The hour that is skipped: when it has been. */
	{ "30 2 * * *", "Europe/Berlin", 10, "2026-03-28T12:00:00Z",
	  { "2026-03-29T01:00:00Z", "2026-03-29T01:10:00Z",
	    "2026-03-30T00:30:00Z", "2026-03-30T00:40:00Z" } },
	{ "30 2 * * *", "America/New_York", 10, "2026-03-08T00:00:00Z",
	  { "2026-03-08T07:00:00Z", "2026-03-08T07:10:00Z",
	    "2026-03-09T06:30:00Z", "2026-03-09T06:40:00Z" } },
	/* The hour that comes twice: twice. */
	{ "30 2 * * *", "Europe/Berlin", 10, "2026-10-24T12:00:00Z",
	  { "2026-10-25T00:30:00Z", "2026-10-25T00:40:00Z",
	    "2026-10-25T01:30:00Z", "2026-10-25T01:40:00Z" } },
	{ "30 1 1 11 *", "America/New_York", 120, "2026-10-30T00:00:00Z",
	  { "2026-11-01T05:30:00Z", "2026-11-01T08:30:00Z" } },
	/* The minutes beside both. */
	{ "0 3 29 3 *", "Europe/Berlin", 10, "2026-03-28T00:00:00Z",
	  { "2026-03-29T01:00:00Z", "2026-03-29T01:10:00Z" } },
	{ "59 1 29 3 *", "Europe/Berlin", 10, "2026-03-28T00:00:00Z",
	  { "2026-03-29T00:59:00Z", "2026-03-29T01:09:00Z" } },
	{ "0 3 25 10 *", "Europe/Berlin", 10, "2026-10-24T00:00:00Z",
	  { "2026-10-25T02:00:00Z", "2026-10-25T02:10:00Z" } },
	/* What touches is one. */
	{ "0 * * * *", "UTC", 60, "2026-01-01T00:30:00Z",
	  { "2026-01-01T00:00:00Z", "2026-04-01T01:00:00Z" } },
	/* Half an hour beside; a day that was left out (Samoa, 2011-12-30). */
	{ "0 0 * * *", "Asia/Kolkata", 1, "2026-01-01T00:00:00Z",
	  { "2026-01-01T18:30:00Z", "2026-01-01T18:31:00Z" } },
	{ "0 12 30 12 *", "Pacific/Apia", 60, "2011-12-29T00:00:00Z",
	  { "2011-12-30T10:00:00Z", "2011-12-30T11:00:00Z" } },
};

START_TEST(when_it_is_shut)
{
	struct window w = { .has_schedule = true, .cron = str_of(rows[_i].cron),
			    .zone = str_of(rows[_i].zone),
			    .duration_ms = rows[_i].minutes * 60000 };
	struct window_interval *in;
	uint64_t until;
	size_t n;
	struct err err;

	ck_assert_msg(window_compute(arena, &w, at(rows[_i].now), &in, &n, &until,
				     &err) == OK, "%s", err.text);
	ck_assert_uint_eq(until, at(rows[_i].now) + WINDOW_AHEAD_MS);
	for (size_t i = 0; i < 4 && rows[_i].first[i]; i++) {
		uint64_t is = i % 2 ? in[i / 2].to_ms : in[i / 2].from_ms;
		char text[RFC3339_MAX];

		ck_assert_uint_lt(i / 2, n);
		clock_rfc3339(text, is, false);
		ck_assert_str_eq(text, rows[_i].first[i]);
	}
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_gt(in[i].to_ms, in[i].from_ms);
		if (i)
			ck_assert_uint_gt(in[i].from_ms, in[i - 1].to_ms);
	}
}
END_TEST

START_TEST(there_is_a_bound_that_is_told)
{
	struct window w = { .has_schedule = true, .cron = STR("*/2 * * * *"),
			    .zone = STR("UTC"), .duration_ms = 60000 };
	uint64_t now = at("2026-01-01T00:00:00Z"), until;
	struct window_interval *in;
	size_t n;

	ck_assert_int_eq(window_compute(arena, &w, now, &in, &n, &until, NULL),
			 OK);
	ck_assert_uint_eq(n, WINDOW_INTERVALS_MAX);
	ck_assert_uint_eq(until, now + (uint64_t)WINDOW_INTERVALS_MAX * 120000);
}
END_TEST

#define CRON(cron, zone, lasts) "{\"owner\":\"o\",\"reason\":\"r\",\"schedule\":" \
	"{\"cron\":\"" cron "\",\"duration\":\"" lasts "\",\"timeZone\":\"" zone "\"}}"

static const char *const refused[] = {
	"", "{}", CRON("0 0 * *", "UTC", "1h"), CRON("0 0 * * *", "Mars/One", "1h"),
	CRON("0 0 * * *", "../../etc/passwd", "1h"), CRON("0 0 * * *", "/etc/localtime", "1h"),
	CRON("0 0 * * *", "UTC", "9000h"),
	"{\"interval\":{\"end\":\"2026-01-01T00:00:00Z\",\"start\":"
	"\"2026-01-01T00:00:00Z\"},\"owner\":\"o\",\"reason\":\"r\"}",
};

START_TEST(what_cannot_be_computed)
{
	AUTO_BUF out = BUF_NONE;
	struct err err;

	ck_assert_int_eq(window_status_of(str_of(refused[_i]), 0, &out, &err),
			 E_UNPROCESSABLE);
	ck_assert_int_eq(err.code, E_UNPROCESSABLE);
}
END_TEST

START_TEST(a_status_is_good_until_it_is_refreshed)
{
	struct str spec = STR(CRON("0 18 * * fri", "UTC", "1h"));
	uint64_t now = at("2026-01-01T00:00:00Z"), until;
	AUTO_BUF out = BUF_NONE;
	struct window w;
	struct err err;

	ck_assert_int_eq(window_status_of(spec, now, &out, &err), OK);
	window_read(arena, spec, buf_view(&out), &w);
	ck_assert(!window_is_shut(&w, now, NULL));
	ck_assert(window_is_shut(&w, at("2026-01-02T18:30:00Z"), &until));
	ck_assert_uint_eq(until, at("2026-01-02T19:00:00Z"));
	/* Behind the end of the next; without one half way. */
	ck_assert_uint_eq(window_refresh_ms(&w), at("2026-01-02T19:00:00Z"));
	w.n_intervals = 0;
	ck_assert_uint_eq(window_refresh_ms(&w), now + WINDOW_AHEAD_MS / 2);
	w.computed_ms = 0;
	ck_assert_uint_eq(window_refresh_ms(&w), now + 3600000);
	w.has_schedule = false;
	ck_assert_uint_eq(window_refresh_ms(&w), UINT64_MAX);
}
END_TEST

START_TEST(once_is_once)
{
	struct str spec = STR("{\"interval\":{\"end\":\"2026-01-02T00:00:00Z\","
			      "\"start\":\"2026-01-01T00:00:00+01:00\"},"
			      "\"owner\":\"o\",\"reason\":\"r\"}");
	AUTO_BUF out = BUF_NONE;

	ck_assert_int_eq(window_status_of(spec, 0, &out, NULL), OK);
	ck_assert(str_find_str(buf_view(&out), STR("\"next\":\"2025-12-31T23:00:00Z"
						   "\"")) != SIZE_MAX);
}
END_TEST

START_TEST(utc_needs_no_database)
{
	struct zone_span s;

	ck_assert(zone_span_at(zone_find("UTC"), 0, &s));
	ck_assert_int_eq(s.ahead_s, 0);
	ck_assert(s.from_s == INT64_MIN && s.to_s == INT64_MAX);
	ck_assert_ptr_null(zone_find(""));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("gate/window");
	TCase *t = tcase_create("window");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, when_it_is_shut, 0, ARRAY_LEN(rows));
	tcase_add_test(t, there_is_a_bound_that_is_told);
	tcase_add_loop_test(t, what_cannot_be_computed, 0, ARRAY_LEN(refused));
	tcase_add_test(t, a_status_is_good_until_it_is_refreshed);
	tcase_add_test(t, once_is_once);
	tcase_add_test(t, utc_needs_no_database);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
