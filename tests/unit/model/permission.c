/* Who may do what to what: the table of subjects with a name, and its corners. */
#include "unit.h"

#include <string.h>

#include "model/permission.h"

#include "base/banned.h"

static struct err err;

static void setup(void)
{
	ck_assert_int_eq(kinds_load(&err), OK);
}

/* What each verb needs of a token, by whom it is asked of: C of configurations and
 * what they lie in, O of other objects of a tenant, S of the system.  "-": nothing,
 * whoever has a name may; "x": no token of a name has it. */
static const struct {
	enum verb verb;
	const char *of_config, *of_object, *of_system;
} needs[] = {
	{ VERB_GET, "-", "-", "-" },
	{ VERB_LIST, "-", "-", "-" },
	{ VERB_WATCH, "-", "-", "-" },
	{ VERB_FETCH, "-", "-", "-" },
	{ VERB_CREATE, "publish", "administer", "administer" },
	{ VERB_UPDATE, "publish", "administer", "administer" },
	{ VERB_PATCH, "publish", "administer", "administer" },
	{ VERB_DELETE, "publish", "administer", "administer" },
	{ VERB_PUBLISH, "publish", "publish", "publish" },
	{ VERB_ROLLBACK, "rollback", "rollback", "rollback" },
	{ VERB_RECONCILE, "administer", "administer", "administer" },
	{ VERB_AUDIT, "-", "-", "-" },
	{ VERB_METRICS, "-", "-", "-" },
	{ VERB_STATUS, "-", "-", "-" },
	{ VERB_TOKEN, "x", "x", "x" },
	{ VERB_MAINTAIN, "x", "x", "x" },
	{ VERB_PLAN, "-", "-", "-" },
	{ VERB_APPROVE, "approve", "approve", "approve" },
	{ VERB_PROMOTE, "promote", "promote", "promote" },
	{ VERB_PAUSE, "pause", "pause", "pause" },
	{ VERB_ADMINISTER, "administer", "administer", "administer" },
};

static const enum verb given[] = { VERB_PUBLISH, VERB_APPROVE, VERB_PROMOTE,
				   VERB_ROLLBACK, VERB_PAUSE, VERB_ADMINISTER };

static bool may(uint64_t verbs, const char *tenant, enum verb verb,
		enum kind_id kind, const char *of, const char *name)
{
	struct subject s = { .name = STR("ann"), .role = ROLE_NAMED,
			     .tenant = str_of(tenant), .verbs = verbs };
	struct target t = { .kind = kind, .tenant = str_of(of), .name = str_of(name) };
	enum code rc = permission_check(&s, verb, &t, &err);

	ck_assert(rc == OK || rc == E_DENIED);
	return rc == OK;
}

static bool is_enough(const char *what, enum verb with, bool is_publish)
{
	if (what[0] == '-')
		return true;
	/* Who administers writes configurations too. */
	return strcmp(what, verb_name(with)) == 0 ||
	       (with == VERB_ADMINISTER && is_publish && strcmp(what, "publish") == 0);
}

START_TEST(each_verb_by_each_that_is_given)
{
	ck_assert_uint_eq(ARRAY_LEN(needs), VERB__COUNT);
	for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
		enum verb v = needs[i].verb;

		ck_assert_int_eq(v, i);
		for (size_t k = 0; k < ARRAY_LEN(given); k++) {
			uint64_t bits = BIT(given[k]);

			ck_assert_msg(may(bits, "acme", v, KIND_CONFIG, "acme", "x") ==
				      (is_enough(needs[i].of_config, given[k], true) &&
				       v != VERB_AUDIT && v != VERB_METRICS),
				      "%s of a config with %s", verb_name(v),
				      verb_name(given[k]));
			ck_assert_msg(may(bits, "", v, KIND_APPROVAL_POLICY, "acme", "x") ==
				      is_enough(needs[i].of_object, given[k], true),
				      "%s of a policy with %s", verb_name(v),
				      verb_name(given[k]));
			ck_assert_msg(may(bits, "", v, KIND_NONE, "", "") ==
				      is_enough(needs[i].of_system, given[k], true),
				      "%s of the system with %s", verb_name(v),
				      verb_name(given[k]));
		}
	}
}
END_TEST

START_TEST(with_nothing_he_reads)
{
	for (size_t i = 0; i < ARRAY_LEN(needs); i++)
		ck_assert_int_eq(may(0, "", needs[i].verb, KIND_CONFIG, "acme", "x"),
				 needs[i].of_config[0] == '-');
}
END_TEST

START_TEST(of_another_tenant_he_gets_nothing)
{
	uint64_t all = UINT64_MAX;

	for (enum verb v = 0; v < VERB__COUNT; v++)
		for (enum kind_id k = 0; k < KIND__END; k++) {
			ck_assert_msg(!may(all, "acme", v, k, "bank", "x"), "%s",
				      verb_name(v));
			/* Of all tenants at once. */
			ck_assert_msg(!may(all, "acme", v, k, "", "x"), "%s",
				      verb_name(v));
			ck_assert(!may(all, "acme", v, k, "acm", "x"));
			ck_assert(!may(all, "acme", v, k, "acme2", "x"));
		}
}
END_TEST

START_TEST(his_own_tenant_he_sees_and_leaves_alone)
{
	ck_assert(may(0, "acme", VERB_GET, KIND_TENANT, "", "acme"));
	ck_assert(!may(0, "acme", VERB_GET, KIND_TENANT, "", "bank"));
	ck_assert(!may(0, "acme", VERB_LIST, KIND_TENANT, "", ""));
	ck_assert(!may(UINT64_MAX, "acme", VERB_UPDATE, KIND_TENANT, "", "acme"));
	ck_assert(!may(UINT64_MAX, "acme", VERB_DELETE, KIND_TENANT, "", "acme"));
}
END_TEST

/* Asked before the tenant is known: it lets in who may anywhere, and nobody reads
 * what is of all tenants. */
START_TEST(an_open_question_is_for_who_may_somewhere)
{
	struct subject s = { .name = STR("ann"), .role = ROLE_NAMED,
			     .tenant = STR("acme") };
	struct target open = { .kind = KIND_CONFIG, .is_open = true };

	ck_assert_int_eq(permission_check(&s, VERB_FETCH, &open, &err), OK);
	ck_assert_int_eq(permission_check(&s, VERB_PUBLISH, &open, &err), E_DENIED);
	s.verbs = BIT(VERB_PUBLISH);
	ck_assert_int_eq(permission_check(&s, VERB_PUBLISH, &open, &err), OK);
	ck_assert_int_eq(permission_check(&s, VERB_APPROVE, &open, &err), E_DENIED);
	open.kind = KIND_NONE;
	ck_assert_int_eq(permission_check(&s, VERB_STATUS, &open, &err), OK);
	ck_assert_int_eq(permission_check(&s, VERB_AUDIT, &open, &err), E_DENIED);
	ck_assert_int_eq(permission_check(&s, VERB_METRICS, &open, &err), E_DENIED);
	ck_assert_int_eq(permission_check(&s, VERB_TOKEN, &open, &err), E_DENIED);
	ck_assert_int_eq(permission_check(&s, VERB_MAINTAIN, &open, &err), E_DENIED);
}
END_TEST

START_TEST(he_is_not_told_of_others)
{
	struct subject s = { .role = ROLE_NAMED, .tenant = STR("acme") };

	ck_assert(subject_sees(&s, STR("acme")));
	ck_assert(!subject_sees(&s, STR("bank")));
	ck_assert(!subject_sees(&s, STR_NONE));
	s.tenant = STR_NONE;
	ck_assert(subject_sees(&s, STR("bank")));
}
END_TEST

START_TEST(a_webhook_votes_in_its_tenant_and_nothing_else)
{
	struct subject s = { .name = STR("webhook:acme/x"), .role = ROLE_WEBHOOK,
			     .tenant = STR("acme") };

	for (enum verb v = 0; v < VERB__COUNT; v++)
		for (enum kind_id k = 0; k < KIND__END; k++) {
			struct target own = { .kind = k, .tenant = STR("acme") };
			struct target other = { .kind = k, .tenant = STR("bank") };

			ck_assert_int_eq(permission_check(&s, v, &own, &err) == OK,
					 v == VERB_APPROVE && k == KIND_PROPOSAL);
			ck_assert_int_eq(permission_check(&s, v, &other, &err),
					 E_DENIED);
		}
}
END_TEST

START_TEST(verbs_by_name)
{
	AUTO_BUF text = BUF_NONE;
	uint64_t verbs = 0;

	ck_assert(verbs_add(&verbs, STR("approve")));
	ck_assert(verbs_add(&verbs, STR("publish")));
	ck_assert(!verbs_add(&verbs, STR("token")));
	ck_assert(!verbs_add(&verbs, STR("maintain")));
	ck_assert(!verbs_add(&verbs, STR("")));
	verbs_text(&text, verbs);
	ck_assert(str_is(buf_view(&text), "publish,approve"));
}
END_TEST

START_TEST(groups_are_sorted_and_found)
{
	struct str names[] = { STR("ops"), STR("dba"), STR("a") };
	struct str twice[] = { STR("ops"), STR("ops") };
	struct str none[] = { STR("") };
	AUTO_BUF b = BUF_NONE, bad = BUF_NONE;

	ck_assert_int_eq(groups_encode(&b, names, 3, &err), OK);
	ck_assert(groups_are_valid(buf_view(&b)));
	ck_assert(groups_has(buf_view(&b), STR("dba")));
	ck_assert(!groups_has(buf_view(&b), STR("db")));
	ck_assert(!groups_has(buf_view(&b), STR("dbax")));
	ck_assert(!groups_are_valid(str_first(buf_view(&b), b.n - 1)));
	ck_assert_int_eq(groups_encode(&bad, twice, 2, &err), E_INVALID);
	buf_reset(&bad);
	ck_assert_int_eq(groups_encode(&bad, none, 1, &err), E_INVALID);
}
END_TEST

START_TEST(who_is_bound_is_that_instance_and_no_other)
{
	struct str groups[] = { STR("instance:web-7"), STR("instance:db-*"), STR("ops") };
	struct str ops[] = { STR("ops"), STR("instances") };
	struct subject bound = { .role = ROLE_NAMED }, free = { .role = ROLE_NAMED };
	AUTO_BUF b = BUF_NONE;
	AUTO_BUF o = BUF_NONE;
	struct err err;

	ck_assert_int_eq(groups_encode(&b, groups, 3, &err), OK);
	ck_assert_int_eq(groups_encode(&o, ops, 2, &err), OK);
	bound.groups = buf_view(&b);
	free.groups = buf_view(&o);
	ck_assert(subject_is_bound(&bound) && !subject_is_bound(&free));
	ck_assert(subject_may_be(&bound, STR("web-7")));
	ck_assert(subject_may_be(&bound, STR("db-")));
	ck_assert(subject_may_be(&bound, STR("db-1")));
	ck_assert(!subject_may_be(&bound, STR("web-77")));
	ck_assert(!subject_may_be(&bound, STR("web-")));
	ck_assert(!subject_may_be(&bound, STR("db")));
	ck_assert(!subject_may_be(&bound, STR("ops")));
	ck_assert(subject_may_be(&free, STR("web-77")));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model/permission");
	TCase *tc = tcase_create("permission");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, each_verb_by_each_that_is_given);
	tcase_add_test(tc, with_nothing_he_reads);
	tcase_add_test(tc, of_another_tenant_he_gets_nothing);
	tcase_add_test(tc, his_own_tenant_he_sees_and_leaves_alone);
	tcase_add_test(tc, an_open_question_is_for_who_may_somewhere);
	tcase_add_test(tc, he_is_not_told_of_others);
	tcase_add_test(tc, a_webhook_votes_in_its_tenant_and_nothing_else);
	tcase_add_test(tc, verbs_by_name);
	tcase_add_test(tc, groups_are_sorted_and_found);
	tcase_add_test(tc, who_is_bound_is_that_instance_and_no_other);
	suite_add_tcase(s, tc);
	return s;
}
UNIT_MAIN(suite)
