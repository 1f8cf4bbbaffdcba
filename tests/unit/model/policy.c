/* What approval policies and windows say. */
#include "unit.h"

#include "base/clock.h"
#include "model/permission.h"
#include "model/policy.h"
#include "wire/sum.h"

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

	ck_assert(clock_parse_rfc3339(str_of(time), &ms));
	return ms;
}

#define STAGE "{\"from\":{\"groups\":[\"leads\"]},\"name\":\"l\",\"required\":2}"

START_TEST(a_policy_is_read_whole)
{
	struct approval p;

	approval_read(arena, STR("{\"breakGlass\":{\"subjects\":[\"eve\"]},"
				 "\"expiresAfter\":\"2h\",\"formattingOnly\":true,"
				 "\"onConflict\":\"Supersede\",\"operations\":"
				 "[\"publish\",\"rollback\"],\"priority\":-3,"
				 "\"select\":{\"applications\":[\"shop\"]},"
				 "\"stages\":[" STAGE "],\"startAfter\":\"10m\"}"),
		      &p);
	ck_assert(!p.is_broken);
	ck_assert_int_eq(p.priority, -3);
	ck_assert_uint_eq(p.actions, BIT(GATE_PUBLISH) | BIT(GATE_ROLLBACK));
	ck_assert(p.formatting_only && p.supersedes);
	ck_assert_uint_eq(p.expires_ms, 7200000);
	ck_assert_uint_eq(p.start_ms, 600000);
	ck_assert_uint_eq(p.n_stages, 1);
	ck_assert_uint_eq(p.stages[0].required, 2);
	ck_assert(people_have(&p.glass, STR("eve"), STR("")));
	ck_assert(!people_have(&p.glass, STR("ann"), STR("\3eve")));
	ck_assert(people_have(&p.stages[0].from, STR("bob"), STR("\5leads")));
	ck_assert(!people_have(&p.stages[0].from, STR("leads"), STR("\4lead")));
}
END_TEST

START_TEST(what_is_absent_has_its_default)
{
	struct approval p;

	approval_read(arena, STR("{\"stages\":[{\"from\":{}}]}"), &p);
	ck_assert(!p.is_broken);
	ck_assert_uint_eq(p.actions, BIT(GATE_PUBLISH) | BIT(GATE_RULES) |
					     BIT(GATE_WRITE) | BIT(GATE_DELETE));
	ck_assert_uint_eq(p.expires_ms, 86400000);
	ck_assert_uint_eq(p.start_ms, 0);
	ck_assert_uint_eq(p.stages[0].required, 1);
	ck_assert(!p.supersedes && !p.formatting_only);
	ck_assert(!people_have(&p.glass, STR(""), STR("")));
}
END_TEST

/* What the schema would have refused. */
static const char *const broken[] = {
	"", "[]", "{", "{}", "{\"stages\":[]}", "{\"stages\":{}}",
	"{\"stages\":[{}]}", "{\"stages\":[{\"from\":[]}]}",
	"{\"stages\":[" STAGE "],\"select\":[]}",
	"{\"stages\":[" STAGE "],\"priority\":\"x\"}",
	"{\"stages\":[" STAGE "],\"operations\":[\"nothing\"]}",
	"{\"stages\":[" STAGE "],\"operations\":\"publish\"}",
	"{\"stages\":[" STAGE "],\"expiresAfter\":\"soon\"}",
	"{\"stages\":[" STAGE "],\"formattingOnly\":\"no\"}",
	"{\"stages\":[" STAGE "],\"onConflict\":\"Fight\"}",
	"{\"stages\":[" STAGE "],\"breakGlass\":[\"eve\"]}",
	"{\"stages\":[{\"from\":{},\"required\":0}]}",
	"{\"stages\":[{\"from\":{},\"required\":-1}]}",
	"{\"stages\":[{\"from\":{},\"required\":\"1\"}]}",
	"{\"stages\":[{\"from\":{\"subjects\":[1]}}]}",
};

START_TEST(what_is_malformed_is_closed)
{
	struct address a = { STR("t"), STR("shop"), STR("prod"), STR("x") };
	struct labels none = { 0 };
	struct approval p;

	approval_read(arena, str_of(broken[_i]), &p);
	ck_assert(p.is_broken);
	ck_assert(selector_matches(&p.select, &none, &a));
	ck_assert_uint_eq(p.actions, BIT(GATE__ACTIONS) - 1);
	ck_assert_uint_eq(p.n_stages, 1);
	ck_assert_uint_eq(p.stages[0].required, 1);
	ck_assert(!people_have(&p.stages[0].from, STR("eve"), STR("\5leads")));
	ck_assert(!people_have(&p.glass, STR("eve"), STR("\5leads")));
}
END_TEST

/* ---- windows ---- */

#define WHO "\"owner\":\"ops\",\"reason\":\"sale\""
#define ONCE "\"interval\":{\"end\":\"2026-01-02T00:00:00Z\"," \
	"\"start\":\"2026-01-01T00:00:00Z\"}"
#define CRON "\"schedule\":{\"cron\":\"0 18 * * 5\",\"duration\":\"12h\"," \
	"\"timeZone\":\"Europe/Berlin\"}"
#define INTERVALS "\"intervals\":[" \
	"{\"from\":\"2026-01-02T17:00:00Z\",\"to\":\"2026-01-03T05:00:00Z\"}," \
	"{\"from\":\"2026-01-09T17:00:00Z\",\"to\":\"2026-01-10T05:00:00Z\"}]"
/* What a status is for is told by a digest: it is put in where "@" stands. */
#define STATUS "{\"computedAt\":\"2026-01-01T06:00:00Z\"," \
	"\"computedUntil\":\"2026-03-01T00:00:00Z\"," INTERVALS \
	",\"observedSpec\":\"@\"}"

static const struct {
	const char *spec, *status, *now;
	bool shut;
	const char *until;               /* NULL: nobody knows */
} windows[] = {
	{ "{" WHO "," ONCE "}", "", "2025-12-31T23:59:59Z", false,
	  "2026-01-02T00:00:00Z" },
	{ "{" WHO "," ONCE "}", "", "2026-01-01T00:00:00Z", true,
	  "2026-01-02T00:00:00Z" },
	{ "{" WHO "," ONCE "}", "", "2026-01-01T23:59:59Z", true,
	  "2026-01-02T00:00:00Z" },
	{ "{" WHO "," ONCE "}", "", "2026-01-02T00:00:00Z", false, NULL },
	{ "{" WHO "," ONCE "}", "", "2096-01-02T00:00:00Z", false, NULL },
	/* Of a schedule the status counts. */
	{ "{" WHO "," CRON "}", STATUS, "2026-01-02T16:59:59Z", false,
	  "2026-01-03T05:00:00Z" },
	{ "{" WHO "," CRON "}", STATUS, "2026-01-02T17:00:00Z", true,
	  "2026-01-03T05:00:00Z" },
	{ "{" WHO "," CRON "}", STATUS, "2026-01-03T05:00:00Z", false,
	  "2026-01-10T05:00:00Z" },
	{ "{" WHO "," CRON "}", STATUS, "2026-01-09T18:00:00Z", true,
	  "2026-01-10T05:00:00Z" },
	{ "{" WHO "," CRON "}", STATUS, "2026-02-28T23:59:59Z", false, NULL },
	/* Nobody computed so far ahead. */
	{ "{" WHO "," CRON "}", STATUS, "2026-03-01T00:00:00Z", true, NULL },
	{ "{" WHO "," CRON "}", "", "2026-01-02T12:00:00Z", true, NULL },
	/* Of another spec than this. */
	{ "{" WHO "," CRON "}",
	  "{\"computedAt\":\"2026-01-01T06:00:00Z\","
	  "\"computedUntil\":\"2026-03-01T00:00:00Z\"," INTERVALS
	  ",\"observedSpec\":\"x@\"}", "2026-01-02T12:00:00Z", true, NULL },
	/* Malformed: shut. */
	{ "", "", "2026-01-02T12:00:00Z", true, NULL },
	{ "{" WHO "}", "", "2026-01-02T12:00:00Z", true, NULL },
	{ "{" WHO "," ONCE "," CRON "}", STATUS, "2026-01-02T12:00:00Z", true, NULL },
	{ "{" WHO "," CRON "}", "{\"observedSpec\":\"@\"}",
	  "2026-01-02T12:00:00Z", true, NULL },
	{ "{" WHO "," CRON "}", "{\"computedAt\":\"2026-01-01T06:00:00Z\","
	  "\"computedUntil\":\"2026-03-01T00:00:00Z\","
	  "\"intervals\":[{\"from\":\"x\"}],\"observedSpec\":\"@\"}",
	  "2026-01-02T12:00:00Z", true, NULL },
	{ "{" WHO "," ONCE ",\"blocks\":[\"all\"]}", "", "2025-01-02T12:00:00Z",
	  true, NULL },
	{ "{" WHO "," ONCE ",\"select\":1}", "", "2025-01-02T12:00:00Z", true,
	  NULL },
};

static struct str status_for(const char *spec, const char *status)
{
	struct sha256 sha = sha256_of(str_of(spec));
	struct str s = str_of(status);
	size_t at = str_find(s, '@');
	AUTO_BUF b = BUF_NONE;
	char hex[65];

	sha256_hex(hex, &sha);
	buf_str(&b, str_first(s, MIN(at, s.n)));
	if (at != SIZE_MAX) {
		buf_z(&b, hex);
		buf_str(&b, str_from(s, at + 1));
	}
	return arena_str(arena, buf_view(&b));
}

START_TEST(when_a_window_is_shut)
{
	struct window w;
	uint64_t until = 0;

	window_read(arena, str_of(windows[_i].spec),
		    status_for(windows[_i].spec, windows[_i].status), &w);
	ck_assert_int_eq(window_is_shut(&w, at(windows[_i].now), &until),
			 windows[_i].shut);
	ck_assert_uint_eq(until, windows[_i].until ? at(windows[_i].until) :
						     UINT64_MAX);
	ck_assert_int_eq(window_is_shut(&w, at(windows[_i].now), NULL),
			 windows[_i].shut);
}
END_TEST

START_TEST(what_a_window_blocks)
{
	struct window w;

	window_read(arena, STR("{" WHO "," ONCE ",\"blocks\":[\"steps\"]}"),
		    STR(""), &w);
	ck_assert_uint_eq(w.blocks, WINDOW_STEPS);
	ck_assert(str_is(w.owner, "ops") && str_is(w.reason, "sale"));
	window_read(arena, STR("{" WHO "," ONCE "}"), STR(""), &w);
	ck_assert_uint_eq(w.blocks, WINDOW_STEPS | WINDOW_PUBLISH);
	window_read(arena, STR("{" WHO "," CRON "}"), STR(""), &w);
	ck_assert(str_is(w.cron, "0 18 * * 5"));
	ck_assert(str_is(w.zone, "Europe/Berlin"));
	ck_assert_uint_eq(w.duration_ms, 12 * 3600000);
	window_read(arena, STR("{" WHO ",\"schedule\":{\"cron\":\"* * * * *\","
			       "\"duration\":\"1m\"}}"), STR(""), &w);
	ck_assert(str_is(w.zone, "UTC"));
}
END_TEST

START_TEST(a_status_is_read_as_it_was_written)
{
	struct window_interval in[2] = {
		{ at("2026-01-02T17:00:00Z"), at("2026-01-03T05:00:00Z") },
		{ at("2026-01-09T17:00:00Z"), at("2026-01-10T05:00:00Z") },
	};
	struct str spec = STR("{" WHO "," CRON "}");
	AUTO_BUF status = BUF_NONE;
	struct window w;

	window_status(&status, in, 2, at("2026-03-01T00:00:00Z"), spec,
		      at("2026-01-03T06:00:00Z"), STR_NONE);
	ck_assert_str_eq(status.p, status_for("{" WHO "," CRON "}",
			 "{\"computedAt\":\"2026-01-03T06:00:00Z\","
			 "\"computedUntil\":\"2026-03-01T00:00:00Z\"," INTERVALS
			 ",\"next\":\"2026-01-09T17:00:00Z\","
			 "\"observedSpec\":\"@\","
			 "\"until\":\"2026-01-10T05:00:00Z\"}").p);
	window_read(arena, spec, buf_view(&status), &w);
	ck_assert_uint_eq(w.n_intervals, 2);
	ck_assert_uint_eq(w.intervals[1].to_ms, in[1].to_ms);
	ck_assert_uint_eq(w.computed_ms, at("2026-03-01T00:00:00Z"));
	ck_assert_uint_eq(w.computed_at_ms, at("2026-01-03T06:00:00Z"));
	buf_reset(&status);
	window_status(&status, NULL, 0, 0, spec, 0, STR("no such zone"));
	ck_assert_str_eq(status.p, status_for("{" WHO "," CRON "}",
			 "{\"computedAt\":\"1970-01-01T00:00:00Z\","
			 "\"computedUntil\":\"1970-01-01T00:00:00Z\","
			 "\"error\":\"no such zone\",\"intervals\":[],"
			 "\"observedSpec\":\"@\"}").p);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model/policy");
	TCase *t = tcase_create("policy");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_policy_is_read_whole);
	tcase_add_test(t, what_is_absent_has_its_default);
	tcase_add_loop_test(t, what_is_malformed_is_closed, 0, ARRAY_LEN(broken));
	tcase_add_loop_test(t, when_a_window_is_shut, 0, ARRAY_LEN(windows));
	tcase_add_test(t, what_a_window_blocks);
	tcase_add_test(t, a_status_is_read_as_it_was_written);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
