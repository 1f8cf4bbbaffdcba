/* Bytes to events. */
#include "unit.h"

#include "base/buf.h"
#include "client/sdk/own.h"

#include "base/banned.h"

static struct events events;
static struct buf seen;
static int enough_after;

static bool each(void *data, const char *event, const char *id, struct str text)
{
	buf_printf(&seen, "[%s|%s|%.*s]", event, id, STR_ARG(text));
	return --enough_after != 0;
}

static void setup(void)
{
	enough_after = -1;
}

static void teardown(void)
{
	events_fini(&heap_of_libc, &events);
	buf_fini(&seen);
}

/* False: somebody had enough. */
static bool feed(const char *text, size_t step)
{
	struct str in = str_of(text);

	for (; in.n; in = str_from(in, step))
		if (!events_feed(&heap_of_libc, &events, str_first(in, step), each,
				 NULL))
			return false;
	return true;
}

START_TEST(events_come_in_any_pieces)
{
	static const char text[] = ": hello\n\nid: 7\nevent: change\ndata: {}\n\n"
		"data: a\r\ndata:b\r\nretry: 5\r\n\r\nid: 8\n\nevent: x\n\n"
		"data\n\n";

	for (size_t step = 1; step < sizeof(text); step++) {
		buf_reset(&seen);
		ck_assert(feed(text, step));
		ck_assert_str_eq(seen.p, "[change|7|{}][message|7|a\nb]"
				 "[message|8|]");
		events_fini(&heap_of_libc, &events);
	}
}
END_TEST

START_TEST(lines_end_in_any_of_three_ways)
{
	static const char text[] = "id: 1\rdata: a\rdata: b\r\r"
		"data: c\r\n\r\ndata: d\n\rdata: e\r\n\n"
		"data: f\n\n\r\n\rdata: g\r\rdata";

	for (size_t step = 1; step < sizeof(text); step++) {
		buf_reset(&seen);
		ck_assert(feed(text, step));
		ck_assert_str_eq(seen.p, "[message|1|a\nb][message|1|c]"
				 "[message|1|d][message|1|e][message|1|f]"
				 "[message|1|g]");
		events_fini(&heap_of_libc, &events);
	}
}
END_TEST

START_TEST(who_has_enough_hears_no_more)
{
	enough_after = 2;
	ck_assert(!feed("data: 1\n\ndata: 2\n\ndata: 3\n\n", 100));
	ck_assert_str_eq(seen.p, "[message||1][message||2]");
}
END_TEST

START_TEST(an_event_has_a_limit)
{
	static char big[2 << 20];

	memset(big, 'x', sizeof(big));
	ck_assert(!events_feed(&heap_of_libc, &events, str_n(big, sizeof(big)), each,
			       NULL));
}
END_TEST

/* No name or number that we know is so long. */
START_TEST(what_is_long_is_none)
{
	ck_assert(feed("id: 123456789012345678901234567890\n"
		       "event: abcdefghijklmnopqrstuvwxyz\ndata: x\n\n", 7));
	ck_assert_str_eq(seen.p, "[message||x]");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("client/sdk/events");
	TCase *t = tcase_create("events");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, events_come_in_any_pieces);
	tcase_add_test(t, lines_end_in_any_of_three_ways);
	tcase_add_test(t, who_has_enough_hears_no_more);
	tcase_add_test(t, an_event_has_a_limit);
	tcase_add_test(t, what_is_long_is_none);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
