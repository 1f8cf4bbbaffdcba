/* What release policies say, and the rules that come of it. */
#include "unit.h"

#include "model/strategy.h"

#include "base/banned.h"

static struct arena *arena;
static struct strategy s;
static struct err err;

static void setup(void)
{
	arena = arena_new(0);
}

static void teardown(void)
{
	arena_free(&arena);
}

static void reads(const char *spec)
{
	ck_assert_msg(strategy_read(arena, str_of(spec), &s, &err) == OK, "%s: %s",
		      spec, err.text);
}

START_TEST(what_is_absent)
{
	reads("{}");
	ck_assert_int_eq(s.kind, STRATEGY_IMMEDIATE);
	ck_assert(str_is(s.name, "immediate"));
	ck_assert_uint_eq(s.keep_ms, 3600000);
	ck_assert_uint_eq(s.timeout_ms, 3600000);
	ck_assert_int_eq(s.concurrency, CONCURRENCY_SUPERSEDE);
	ck_assert(!s.has_applied && !s.has_rejected && s.lost_counts && !s.pauses);
	ck_assert(!s.retention.has_versions && !s.retention.has_days);
	reads("{\"strategy\":\"blue-green\",\"bake\":\"5s\"}");
	ck_assert_uint_eq(s.n_steps, 1);
	ck_assert(s.steps[0].is_manual);
	ck_assert_uint_eq(s.steps[0].bake_ms, 5000);
	ck_assert_uint_eq(s.steps[0].labels.n, 1);
	ck_assert(str_is(s.steps[0].labels.l[0].key, "slot"));
	ck_assert(str_is(s.steps[0].labels.l[0].value, "green"));
}
END_TEST

START_TEST(all_of_it)
{
	reads("{\"strategy\":\"canary\",\"priority\":-3,\"rulePriority\":7,"
	      "\"bake\":\"10s\",\"timeout\":\"20m\",\"keepPrevious\":\"2h\","
	      "\"select\":{\"applications\":[\"shop\"]},"
	      "\"steps\":[{\"labels\":{\"zone\":\"eu\"}},{\"percent\":12.5,\"pause\":\"manual\"},"
	      "{\"nodes\":[\"web-1\",\"web-2\"],\"pause\":\"1m\",\"bake\":\"1s\"}],"
	      "\"conditions\":{\"applied\":{\"atLeast\":99.999,\"minInstances\":3},\"rejected\":"
	      "{\"atMost\":0.019,\"lost\":false},\"webhook\":{\"name\":\"judge\"},"
	      "\"prometheus\":[{\"url\":\"http://p\",\"query\":\"up\",\"above\":0.5}]},"
	      "\"onFailure\":\"pause\","
	      "\"concurrency\":{\"group\":\"g\",\"policy\":\"Queue\"},"
	      "\"retention\":{\"versions\":5,\"days\":3,\"join\":\"or\"}}");
	ck_assert_int_eq(s.kind, STRATEGY_CANARY);
	ck_assert_int_eq(s.priority, -3);
	ck_assert_int_eq(s.rule_priority, 7);
	ck_assert_uint_eq(s.timeout_ms, 1200000);
	ck_assert_uint_eq(s.keep_ms, 7200000);
	ck_assert_uint_eq(s.n_steps, 3);
	ck_assert_int_eq(s.steps[0].kind, STEP_LABELS);
	ck_assert_uint_eq(s.steps[0].bake_ms, 10000);
	ck_assert_uint_eq(s.steps[0].pause_ms, 0);
	ck_assert_int_eq(s.steps[1].kind, STEP_PERCENT);
	ck_assert_uint_eq(s.steps[1].percent_bp, 1250);
	ck_assert(s.steps[1].is_manual);
	ck_assert_uint_eq(s.steps[2].n_nodes, 2);
	ck_assert_uint_eq(s.steps[2].pause_ms, 60000);
	ck_assert_uint_eq(s.steps[2].bake_ms, 1000);
	/* Bounds between two digits go to the strict side. */
	ck_assert_uint_eq(s.applied_bp, 10000);
	ck_assert_uint_eq(s.instances_min, 3);
	ck_assert_uint_eq(s.rejected_bp, 1);
	ck_assert(!s.lost_counts && s.pauses);
	ck_assert_uint_eq(s.n_queries, 1);
	ck_assert(str_is(s.queries[0].above, "0.5") && !s.queries[0].below.n);
	ck_assert(str_is(s.webhook, "judge") && str_is(s.group, "g"));
	ck_assert_int_eq(s.concurrency, CONCURRENCY_QUEUE);
	ck_assert(s.retention.is_or && s.retention.versions == 5 &&
		  s.retention.days == 3);
}
END_TEST

/* Then so many must be there, whatever they say. */
START_TEST(a_number_of_instances_is_a_condition_alone)
{
	reads("{\"conditions\":{\"applied\":{\"minInstances\":3}}}");
	ck_assert(s.has_applied && s.instances_min == 3 && s.applied_bp == 0);
}
END_TEST

static const char *const refused[] = {
	"[]", "", "{\"strategy\":\"slow\"}", "{\"strategy\":\"canary\"}",
	"{\"strategy\":\"canary\",\"steps\":[]}",
	"{\"strategy\":\"canary\",\"steps\":[{}]}",
	"{\"strategy\":\"canary\",\"steps\":[{\"percent\":101}]}",
	"{\"strategy\":\"canary\",\"steps\":[{\"percent\":1.001}]}",
	"{\"strategy\":\"canary\",\"steps\":[{\"percent\":1,\"labels\":{}}]}",
	"{\"strategy\":\"canary\",\"steps\":[{\"nodes\":[]}]}",
	"{\"strategy\":\"canary\",\"steps\":[{\"nodes\":[\"\"]}]}",
	"{\"strategy\":\"canary\",\"steps\":[{\"percent\":1,\"pause\":\"soon\"}]}",
	"{\"strategy\":\"canary\",\"steps\":[{\"percent\":1,\"bake\":3}]}",
	"{\"bake\":\"long\"}", "{\"priority\":1.5}", "{\"select\":[]}",
	"{\"concurrency\":{\"policy\":\"Fight\"}}",
	"{\"conditions\":{\"applied\":{\"atLeast\":-1}}}",
	"{\"conditions\":{\"applied\":{\"minInstances\":\"many\"}}}",
	"{\"conditions\":{\"applied\":{\"minInstances\":-1}}}",
	"{\"conditions\":{\"prometheus\":[{\"url\":\"u\",\"query\":\"q\"}]}}",
	"{\"conditions\":{\"prometheus\":[{\"url\":\"u\",\"query\":\"q\",\"below\":1,"
	"\"above\":1}]}}",
};

START_TEST(what_no_policy_says)
{
	ck_assert_msg(strategy_read(arena, str_of(refused[_i]), &s, &err) ==
		      E_UNPROCESSABLE, "%s", refused[_i]);
}
END_TEST

/* ---- rules ---- */

static const struct rule new_version = { .version = 2, .size = 20 };
static const uint8_t salt[SALT_SIZE] = { 9 };

static struct rules in_step(size_t step)
{
	struct rules rules = { 0 };
	struct rule *r = rules_add(arena, &rules);

	r->version = 1;
	r = rules_add(arena, &rules);
	labels_set(arena, &r->labels, STR("zone"), STR("us"));
	r->version = 3;
	strategy_rules(arena, &s, step, &new_version, salt, 77, &rules);
	return rules;
}

static uint32_t given(const struct rules *rules, const char *id, const char *zone)
{
	struct client c = { .id = str_of(id) };

	labels_set(arena, &c.labels, STR("zone"), str_of(zone));
	return rules->r[rules_pick(rules, &c)].version;
}

START_TEST(rules_of_steps_add_up)
{
	struct rules rules;

	reads("{\"strategy\":\"canary\",\"steps\":[{\"labels\":{\"zone\":\"eu\"}},"
	      "{\"nodes\":[\"web-1\"]},{\"percent\":100},{\"percent\":10}]}");
	rules = in_step(0);
	ck_assert_uint_eq(rules.n, 3);
	ck_assert_uint_eq(given(&rules, "web-1", "eu"), 2);
	ck_assert_uint_eq(given(&rules, "web-1", "as"), 1);
	ck_assert_uint_eq(given(&rules, "web-1", "us"), 3);
	rules = in_step(1);
	ck_assert_uint_eq(given(&rules, "web-1", "us"), 2);       /* nodes before labels */
	ck_assert_uint_eq(given(&rules, "web-2", "eu"), 2);
	ck_assert_uint_eq(given(&rules, "web-2", "as"), 1);
	rules = in_step(2);
	ck_assert_uint_eq(given(&rules, "web-2", "as"), 2);
	/* A smaller share behind a greater one takes nobody out. */
	rules = in_step(3);
	ck_assert_uint_eq(given(&rules, "web-2", "as"), 2);
	ck_assert_uint_eq(rules.n, 5);
	/* Beyond the last step there is no more. */
	ck_assert_uint_eq(in_step(40).n, 5);
	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_eq(rules.r[i].release, 77);
	ck_assert_uint_eq(rules_drop_release(&rules, 77), 3);
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("model/strategy");
	TCase *t = tcase_create("strategy");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_is_absent);
	tcase_add_test(t, all_of_it);
	tcase_add_test(t, a_number_of_instances_is_a_condition_alone);
	tcase_add_loop_test(t, what_no_policy_says, 0, ARRAY_LEN(refused));
	tcase_add_test(t, rules_of_steps_add_up);
	suite_add_tcase(suite, t);
	return suite;
}

UNIT_MAIN(suite)
