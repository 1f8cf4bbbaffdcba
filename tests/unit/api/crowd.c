/* Connections by address. */
#include "api/crowd.h"

#include "unit.h"

#include "base/banned.h"

START_TEST(an_address_has_so_many_and_no_more)
{
	struct crowd *c = crowd_new(2);

	ck_assert(crowd_enter_host(c, "192.0.2.1"));
	ck_assert(crowd_enter_host(c, "192.0.2.1"));
	ck_assert(!crowd_enter_host(c, "192.0.2.1"));
	ck_assert(!crowd_enter_host(c, "::ffff:192.0.2.1"));
	ck_assert(crowd_enter_host(c, "192.0.2.2"));
	crowd_leave_host(c, "192.0.2.1");
	ck_assert(crowd_enter_host(c, "192.0.2.1"));
	crowd_free(&c);
}
END_TEST

START_TEST(a_network_of_ipv6_is_one)
{
	struct crowd *c = crowd_new(2);

	ck_assert(crowd_enter_host(c, "2001:db8::1"));
	ck_assert(crowd_enter_host(c, "2001:db8::2"));
	ck_assert(!crowd_enter_host(c, "2001:db8::3"));
	ck_assert(crowd_enter_host(c, "2001:db8:0:1::3"));
	crowd_free(&c);
}
END_TEST

START_TEST(who_has_gone_is_forgotten)
{
	struct crowd *c = crowd_new(5);

	for (int i = 0; i < 3; i++)
		ck_assert(crowd_enter_host(c, "192.0.2.1"));
	ck_assert_uint_eq(crowd_count(c), 1);
	for (int i = 0; i < 3; i++)
		crowd_leave_host(c, "192.0.2.1");
	ck_assert_uint_eq(crowd_count(c), 0);
	crowd_free(&c);
}
END_TEST

START_TEST(without_a_limit_nothing_is_counted)
{
	struct crowd *c = crowd_new(0);

	for (int i = 0; i < 1000; i++)
		ck_assert(crowd_enter_host(c, "192.0.2.1"));
	ck_assert_uint_eq(crowd_count(c), 0);
	crowd_leave_host(c, "192.0.2.1");
	crowd_free(&c);
}
END_TEST

static bool one_more(struct crowd *c, unsigned port)
{
	char text[32];

	snprintf(text, sizeof(text), "192.0.2.1:%u", port);
	return crowd_enter_stranger(c, CROWD_HEALTH, "192.0.2.1", text);
}

START_TEST(who_says_nothing_of_himself_has_so_many_streams)
{
	struct crowd *c = crowd_new(0);

	/* Far more connections of one address than any has. */
	for (unsigned port = 1; port <= 100; port++) {
		for (unsigned i = 0; i < CROWD_STRANGERS_CONNECTION; i++)
			ck_assert(one_more(c, port));
		ck_assert(!one_more(c, port));
	}
	/* Sockets before their hello have places of their own. */
	for (unsigned i = 0; i < CROWD_STRANGERS_CONNECTION; i++)
		ck_assert(crowd_enter_stranger(c, CROWD_HELLO, "192.0.2.1",
					       "192.0.2.1:1"));
	ck_assert(!crowd_enter_stranger(c, CROWD_HELLO, "192.0.2.1", "192.0.2.1:1"));
	crowd_leave_stranger(c, CROWD_HELLO, "192.0.2.1", "192.0.2.1:1");
	ck_assert(!one_more(c, 1));
	crowd_leave_stranger(c, CROWD_HEALTH, "192.0.2.1", "192.0.2.1:1");
	ck_assert(one_more(c, 1));
	crowd_free(&c);
}
END_TEST

START_TEST(where_connections_are_limited_a_network_has_what_those_have)
{
	struct crowd *c = crowd_new(2);

	for (unsigned i = 0; i < 2 * CROWD_STRANGERS_CONNECTION; i++)
		ck_assert(one_more(c, 1 + i % 4));
	ck_assert(!one_more(c, 1));
	ck_assert(crowd_enter_stranger(c, CROWD_HELLO, "192.0.2.1", "192.0.2.1:1"));
	ck_assert(crowd_enter_stranger(c, CROWD_HEALTH, "192.0.2.2", "192.0.2.2:1"));
	/* One that was refused for its network took nothing of its connection. */
	for (unsigned i = 0; i < 2 * CROWD_STRANGERS_CONNECTION; i++)
		ck_assert(!one_more(c, 5));
	crowd_leave_stranger(c, CROWD_HEALTH, "192.0.2.1", "192.0.2.1:1");
	ck_assert(one_more(c, 5));
	crowd_free(&c);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/crowd");
	TCase *t = tcase_create("crowd");

	tcase_add_test(t, an_address_has_so_many_and_no_more);
	tcase_add_test(t, a_network_of_ipv6_is_one);
	tcase_add_test(t, who_has_gone_is_forgotten);
	tcase_add_test(t, without_a_limit_nothing_is_counted);
	tcase_add_test(t, who_says_nothing_of_himself_has_so_many_streams);
	tcase_add_test(t, where_connections_are_limited_a_network_has_what_those_have);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
