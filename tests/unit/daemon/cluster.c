/* The cluster that settings describe, and what of it is refused. */
#include "unit.h"

#include "daemon/cluster.h"

#include "base/banned.h"

#define ARGS_MAX 12

static struct settings *s;
static struct cluster c;
static struct err err;

static void setup(void)
{
	s = settings_new();
	err = (struct err){ 0 };
}

static void teardown(void)
{
	cluster_fini(&c);
	settings_free(&s);
}

static enum code parse(const char *const *args)
{
	char *argv[ARGS_MAX] = { (char *)"confluxd" };
	char *env[] = { NULL };
	int argc = 1;

	for (; *args; args++)
		argv[argc++] = (char *)*args;
	ck_assert_msg(settings_load(s, argc, argv, env, &err) == OK, "%s",
		      err.text);
	return cluster_of_settings(s, &c, &err);
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void refused(const char *const *args, const char *why)
{
	ck_assert_int_eq(parse(args), E_USAGE);
	ck_assert_msg(strstr(err.text, why), "%s", err.text);
}

START_TEST(without_an_address_it_is_alone)
{
	ck_assert_int_eq(parse(ARGS("--data-dir", "d")), OK);
	ck_assert(c.is_alone && !c.joins && !c.has_tls);
	ck_assert_uint_eq(c.n_members, 0);
}
END_TEST

START_TEST(members_are_read)
{
	ck_assert_msg(parse(ARGS("--node-id", "2", "--raft-listen", "h:1",
				 "--peers", "1=a:1, 2=b:2,3=[::1]:3")) == OK,
		      "%s", err.text);
	ck_assert(!c.is_alone);
	ck_assert_uint_eq(c.n_members, 3);
	ck_assert_uint_eq(c.members[1].id, 2);
	ck_assert_str_eq(c.members[1].address, "b:2");
	ck_assert_str_eq(c.members[2].address, "[::1]:3");
}
END_TEST

START_TEST(a_node_that_joins_is_not_among_the_members)
{
	ck_assert_msg(parse(ARGS("--node-id", "4", "--raft-listen", "h:1",
				 "--peers", "1=a:1,2=b:2", "--cluster-join",
				 "398af318-6dd8-43e8-a5e2-67b70995210e")) == OK,
		      "%s", err.text);
	ck_assert(c.joins);
	ck_assert_int_eq(c.id.b[0], 0x39);
}
END_TEST

START_TEST(nonsense_is_refused_by_name)
{
	static const struct {
		const char *peers, *why;
	} cases[] = {
		{ "1=a:1,x=b:2", "\"x=b:2\" has no id" },
		{ "0=a:1", "has no id" },
		{ "70000=a:1", "has no id" },
		{ "1=a", "has no host:port" },
		{ "1", "has no host:port" },
		{ "1=a:1,1=b:2", "\"1=b:2\" is there twice" },
		{ "1=a:1,2=a:1", "is there twice" },
		{ "2=b:2", "does not name node 1" },
		{ "1=a:1,2=a:2,3=a:3,4=a:4,5=a:5,6=a:6,7=a:7,8=a:8,9=a:9,"
		  "10=a:10", "more than 9" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		refused(ARGS("--raft-listen", "h:1", "--peers", cases[i].peers),
			cases[i].why);
		teardown();
		setup();
	}
	ck_assert_int_eq(parse(ARGS("--data-dir", "d")), OK);
}
END_TEST

START_TEST(what_belongs_together_is_set_together)
{
	refused(ARGS("--peers", "1=a:1"), "raft_listen is not set");
	teardown();
	setup();
	refused(ARGS("--raft-listen", "h:1", "--cluster-cert-file", "x"),
		"together or not at all");
	teardown();
	setup();
	refused(ARGS("--raft-listen", "h:1", "--cluster-join",
		     "398af318-6dd8-43e8-a5e2-67b70995210e"),
		"cluster.peers is not set");
	teardown();
	setup();
	refused(ARGS("--raft-listen", "h:1", "--peers", "1=a:1",
		     "--cluster-join", "nonsense"), "\"nonsense\" is no");
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("daemon/cluster");
	TCase *t = tcase_create("cluster");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, without_an_address_it_is_alone);
	tcase_add_test(t, members_are_read);
	tcase_add_test(t, a_node_that_joins_is_not_among_the_members);
	tcase_add_test(t, nonsense_is_refused_by_name);
	tcase_add_test(t, what_belongs_together_is_set_together);
	suite_add_tcase(suite, t);
	return suite;
}

UNIT_MAIN(suite)
