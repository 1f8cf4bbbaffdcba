/* Who has a seat, and when. */
#include "source/seats.h"

#include "base/buf.h"
#include "unit.h"

#include "base/banned.h"

struct one {
	struct seat seat;
	char name;
	bool ends;                       /* at once */
};

static struct seats *seats;
static struct buf story;
static struct one ones[26];

static void started(struct seat *seat)
{
	struct one *one = container_of(seat, struct one, seat);

	buf_c(&story, one->name);
	if (one->ends)
		seat_leave(seat);
}

static void setup(void)
{
	seats = seats_new(3, 2);
	story = BUF_NONE;
	for (int i = 0; i < 26; i++)
		ones[i] = (struct one){ .seat = { .start = started },
					.name = (char)('a' + i) };
}

static void teardown(void)
{
	for (int i = 0; i < 26; i++)
		seat_leave(&ones[i].seat);
	seats_free(&seats);
	ck_assert_ptr_null(seats);
	buf_fini(&story);
}

/* Each of 'names', of one tenant. */
static void ask(const char *tenant, const char *names)
{
	for (; *names; names++)
		seat_ask(seats, str_of(tenant), &ones[*names - 'a'].seat);
}

static void end(char name)
{
	seat_leave(&ones[name - 'a'].seat);
}

#define tells(want) \
	do { \
		ck_assert_msg(str_is(buf_view(&story), want), "%.*s", \
			      STR_ARG(buf_view(&story))); \
		buf_reset(&story); \
	} while (0)

START_TEST(one_tenant_never_has_all)
{
	ask("acme", "abcd");
	tells("ab");
	/* Another has its turn at once, however many wait. */
	ask("other", "xyz");
	tells("x");
	end('x');
	tells("y");
	end('a');
	tells("z");
	end('y');
	tells("c");
}
END_TEST

START_TEST(tenants_take_turns)
{
	ask("one", "abcdef");
	ask("two", "mnop");
	ask("three", "xyz");
	tells("abm");
	end('a');
	end('b');
	end('m');
	/* One had two places when the others came. */
	tells("nxc");
	end('n');
	end('x');
	end('c');
	tells("yod");
}
END_TEST

START_TEST(who_does_not_wait_any_more)
{
	ask("acme", "abcd");
	tells("ab");
	ck_assert(seat_waits(&ones['c' - 'a'].seat));
	ck_assert(!seat_waits(&ones[0].seat));
	end('c');
	end('c');
	ck_assert(!seat_waits(&ones['c' - 'a'].seat));
	end('a');
	tells("d");
	ask("acme", "c");
	end('b');
	tells("c");
}
END_TEST

/* As where a node does not lead any more when the turn comes. */
START_TEST(what_ends_as_it_starts)
{
	for (int i = 0; i < 26; i++)
		ones[i].ends = true;
	ones['a' - 'a'].ends = ones['b' - 'a'].ends = false;
	ask("acme", "abcdefghij");
	ask("other", "k");
	tells("abk");
	end('a');
	tells("cdefghij");
}
END_TEST

START_TEST(one_place_is_shared)
{
	seats_free(&seats);
	seats = seats_new(1, 1);
	ask("acme", "abc");
	ask("other", "xyz");
	tells("a");
	end('a');
	end('x');
	end('b');
	end('y');
	tells("xbyc");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("source/seats");
	TCase *tc = tcase_create("seats");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, one_tenant_never_has_all);
	tcase_add_test(tc, tenants_take_turns);
	tcase_add_test(tc, who_does_not_wait_any_more);
	tcase_add_test(tc, what_ends_as_it_starts);
	tcase_add_test(tc, one_place_is_shared);
	suite_add_tcase(s, tc);
	return s;
}

UNIT_MAIN(suite)
