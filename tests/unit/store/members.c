/* Changes of membership that are refused before the log has them, and why. */
#include "lab.h"

#include "base/err.h"

#include "base/banned.h"

struct asking {
	struct store_members m;
	_Atomic bool is_done;
	enum code rc;
	struct err err;
};

static struct asking asking;

static void done(struct store_members *m, enum code rc, const struct err *err)
{
	(void)m;
	asking.rc = rc;
	err_copy(&asking.err, err);
	atomic_store(&asking.is_done, true);
}

static enum code ask(unsigned at, enum store_member_what what, uint64_t id,
		     const char *address)
{
	struct store *s = lab[at - 1].store;

	asking.m = (struct store_members){ .home = store_core_loop(s),
					   .what = what, .id = id,
					   .address = address, .done = done };
	atomic_store(&asking.is_done, false);
	ck_assert(store_members_change(s, &asking.m));
	LAB_WAIT(atomic_load(&asking.is_done));
	return asking.rc;
}

static size_t count(void)
{
	struct rc_peer peers[8];

	return store_members_get(lab[0].store, peers, ARRAY_LEN(peers));
}

START_TEST(an_address_is_one)
{
	static const char *const bad[] = { "nonsense", "127.0.0.1", ":9001",
					   "127.0.0.1:0", "127.0.0.1:99999",
					   "::1:9001", "" };

	lab_found(1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(ask(1, STORE_MEMBER_ADD, 2, bad[i]) == E_INVALID,
			      "%s", bad[i]);
	ck_assert_uint_eq(count(), 1);
	ck_assert_int_eq(ask(1, STORE_MEMBER_ADD, 2, "127.0.0.1:9"), OK);
	LAB_WAIT(count() == 2);
}
END_TEST

START_TEST(who_cannot_lead_is_told_why)
{
	lab_found(1);
	ck_assert_int_eq(ask(1, STORE_MEMBER_LEAD, 1, ""), OK);
	ck_assert_int_eq(ask(1, STORE_MEMBER_LEAD, 9, ""), E_NOT_FOUND);
	ck_assert_int_eq(ask(1, STORE_MEMBER_ADD, 2, "127.0.0.1:9"), OK);
	LAB_WAIT(count() == 2);
	ck_assert_int_eq(ask(1, STORE_MEMBER_LEAD, 2, ""), E_CONFLICT);
	ck_assert_msg(strstr(asking.err.text, "no vote"), "%s", asking.err.text);
}
END_TEST

/* No other could reach it. */
START_TEST(a_node_that_is_alone_gets_no_members)
{
	struct store_config c = { .dir = lab[0].dir, .map_bytes = 1ull << 30 };
	struct err err = { 0 };

	ck_assert_int_eq(store_open(&c, &lab[0].store, &err), OK);
	LAB_WAIT(lab_status(1).is_ready && store_leads(lab[0].store));
	ck_assert_int_eq(ask(1, STORE_MEMBER_ADD, 2, "127.0.0.1:9"), E_CONFLICT);
	ck_assert_msg(strstr(asking.err.text, "alone"), "%s", asking.err.text);
	ck_assert_uint_eq(count(), 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("store/members");
	TCase *t = tcase_create("members");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, lab_setup, lab_teardown);
	tcase_add_test(t, an_address_is_one);
	tcase_add_test(t, who_cannot_lead_is_told_why);
	tcase_add_test(t, a_node_that_is_alone_gets_no_members);
	suite_add_tcase(suite, t);
	return suite;
}

UNIT_MAIN(suite)
