/* Time and its text, compared with libc over four thousand years. */
#include <time.h>

#include "base/clock.h"
#include "base/rand.h"
#include "unit.h"

#include "base/banned.h"

START_TEST(clocks_run)
{
	uint64_t ns = clock_mono_ns(), ms = clock_mono_ms();

	ck_assert_uint_ge(clock_mono_ns(), ns);
	ck_assert_uint_ge(ms, ns / 1000000);
	/* After 2025-01-01. */
	ck_assert_uint_gt(clock_wall_ms(), 1735689600000u);
}
END_TEST

static void text_is(uint64_t ms, bool with_ms, const char *want)
{
	char out[RFC3339_MAX];

	clock_rfc3339(out, ms, with_ms);
	ck_assert_str_eq(out, want);
}

START_TEST(texts)
{
	text_is(0, false, "1970-01-01T00:00:00Z");
	text_is(0, true, "1970-01-01T00:00:00.000Z");
	text_is(1767225600123, true, "2026-01-01T00:00:00.123Z");
	text_is(1767225600999, false, "2026-01-01T00:00:00Z");
	text_is(951782400000, false, "2000-02-29T00:00:00Z");
	text_is(4107542399000, false, "2100-02-28T23:59:59Z");
	text_is(4107542400000, false, "2100-03-01T00:00:00Z");
	text_is(253402300799999, true, "9999-12-31T23:59:59.999Z");
	/* Four digits of year are all there are. */
	text_is(UINT64_MAX, true, "9999-12-31T23:59:59.999Z");
}
END_TEST

START_TEST(agrees_with_libc_and_back)
{
	struct prng prng;

	prng_init(&prng, 2);
	for (int i = 0; i < 20000; i++) {
		uint64_t ms = prng_below(&prng, 253402300800000), back;
		time_t t = (time_t)(ms / 1000);
		char out[RFC3339_MAX], want[RFC3339_MAX];
		struct tm tm;

		gmtime_r(&t, &tm);
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%SZ", &tm);
		clock_rfc3339(out, ms, false);
		ck_assert_str_eq(out, want);
		ck_assert(clock_parse_rfc3339(str_of(out), &back));
		ck_assert_uint_eq(back, ms / 1000 * 1000);
		clock_rfc3339(out, ms, true);
		ck_assert(clock_parse_rfc3339(str_of(out), &back));
		ck_assert_uint_eq(back, ms);
	}
}
END_TEST

static void parses(const char *text, uint64_t want)
{
	uint64_t ms = 0;

	ck_assert_msg(clock_parse_rfc3339(str_of(text), &ms), "%s", text);
	ck_assert_uint_eq(ms, want);
}

START_TEST(forms_that_are_read)
{
	parses("1970-01-01T00:00:00Z", 0);
	parses("1970-01-01t00:00:00z", 0);
	parses("1970-01-01 00:00:01.5Z", 1500);
	parses("1970-01-01T00:00:00.0019999Z", 1);
	parses("1970-01-01T02:30:00+02:30", 0);
	parses("1970-01-01T00:00:00-01:00", 3600000);
	parses("2024-02-29T12:00:00Z", 1709208000000);
}
END_TEST

START_TEST(forms_that_are_refused)
{
	static const char *const bad[] = {
		"",
		"1970-01-01",
		"1970-01-01T00:00:00",
		"1970-01-01T00:00Z",
		"1970-01-01T00:00:00Zx",
		"1970-1-01T00:00:00Z",
		"1970-00-01T00:00:00Z",
		"1970-13-01T00:00:00Z",
		"1970-01-00T00:00:00Z",
		"1970-01-32T00:00:00Z",
		"2023-02-29T00:00:00Z",
		"2100-02-29T00:00:00Z",
		"1970-01-01T24:00:00Z",
		"1970-01-01T00:60:00Z",
		"1970-01-01T00:00:60Z",
		"1970-01-01T00:00:00.Z",
		"1970-01-01T00:00:00+0100",
		"1970-01-01T00:00:00+24:00",
		"1970-01-01T01:00:00+02:00",
		"1969-12-31T23:59:59Z",
		"+970-01-01T00:00:00Z",
		"1970-01-01X00:00:00Z",
	};
	uint64_t ms = 7;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!clock_parse_rfc3339(str_of(bad[i]), &ms), "%s",
			      bad[i]);
	ck_assert(!clock_parse_rfc3339(STR("1970-01-01T00:00:00\0"), &ms));
	ck_assert_uint_eq(ms, 7);
}
END_TEST

START_TEST(ages_as_kubectl_prints_them)
{
	static const struct {
		uint64_t s;
		const char *want;
	} rows[] = {
		{ 0, "0s" },	       { 45, "45s" },
		{ 119, "119s" },       { 120, "2m" },
		{ 312, "5m12s" },      { 599, "9m59s" },
		{ 600, "10m" },	       { 10799, "179m" },
		{ 10800, "3h" },       { 11100, "3h5m" },
		{ 28800, "8h" },       { 172799, "47h" },
		{ 172800, "2d" },      { 183600, "2d3h" },
		{ 691200, "8d" },      { 63071999, "729d" },
		{ 63072000, "2y" },    { 63158400, "2y1d" },
		{ 252288000, "8y" },
	};
	char out[16];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		clock_age(out, rows[i].s * 1000 + 999);
		ck_assert_str_eq(out, rows[i].want);
	}
	clock_age(out, UINT64_MAX);
	ck_assert(str_ends(str_of(out), STR("y")));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("base/clock");
	TCase *t = tcase_create("clock");

	tcase_add_test(t, clocks_run);
	tcase_add_test(t, texts);
	tcase_add_test(t, agrees_with_libc_and_back);
	tcase_add_test(t, forms_that_are_read);
	tcase_add_test(t, forms_that_are_refused);
	tcase_add_test(t, ages_as_kubectl_prints_them);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
