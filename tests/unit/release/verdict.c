/* What outside systems say of a step. */
#include "unit.h"

#include "release/verdict.h"

#include "base/banned.h"

#define VECTOR(v) "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\"," \
		  "\"result\":[{\"metric\":{},\"value\":[1.5,\"" v "\"]}]}}"
#define SCALAR(v) "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\"," \
		  "\"result\":[1.5,\"" v "\"]}}"

static const struct {
	const char *below, *above;
	unsigned status;
	const char *answer;
	enum verdict verdict;
} answers[] = {
	{ "0.01", NULL, 200, VECTOR("0.00999999999999999999999"), VERDICT_MET },
	{ "0.01", NULL, 200, VECTOR("0.01"), VERDICT_FAILED },
	{ "0.01", NULL, 200, VECTOR("1e-05"), VERDICT_MET },
	{ "1e-2", NULL, 200, SCALAR("0.010"), VERDICT_FAILED },
	{ "-1", NULL, 200, SCALAR("-Inf"), VERDICT_MET },
	{ "5", NULL, 200, SCALAR("+Inf"), VERDICT_FAILED },
	{ NULL, "5", 200, SCALAR("+Inf"), VERDICT_MET },
	{ NULL, "0.99", 200, VECTOR("0.9900000000000000000000000001"), VERDICT_MET },
	{ NULL, "0.99", 200, VECTOR("0.99"), VERDICT_FAILED },
	{ NULL, "0.99", 200, VECTOR("0.5"), VERDICT_FAILED },
	/* Whatever is no answer is no verdict, nor a quotient of nothing. */
	{ "5", NULL, 200, SCALAR("NaN"), VERDICT_UNKNOWN },
	{ NULL, "5", 200, VECTOR("NaN"), VERDICT_UNKNOWN },
	{ "5", NULL, 200, SCALAR("nan"), VERDICT_UNKNOWN },
	{ "5", NULL, 503, SCALAR("1"), VERDICT_UNKNOWN },
	{ "5", NULL, 200, "", VERDICT_UNKNOWN },
	{ "5", NULL, 200, "[]", VERDICT_UNKNOWN },
	{ "5", NULL, 200, "{}", VERDICT_UNKNOWN },
	{ "5", NULL, 200, SCALAR("one"), VERDICT_UNKNOWN },
	{ "5", NULL, 200, "{\"status\":\"error\",\"data\":{\"resultType\":"
			  "\"scalar\",\"result\":[1,\"1\"]}}", VERDICT_UNKNOWN },
	{ "5", NULL, 200, "{\"status\":\"success\",\"data\":{\"resultType\":"
			  "\"vector\",\"result\":[]}}", VERDICT_UNKNOWN },
	{ "5", NULL, 200, "{\"status\":\"success\",\"data\":{\"resultType\":"
			  "\"vector\",\"result\":[{\"value\":[1,\"1\"]},"
			  "{\"value\":[1,\"2\"]}]}}", VERDICT_UNKNOWN },
	{ "5", NULL, 200, "{\"status\":\"success\",\"data\":{\"resultType\":"
			  "\"vector\",\"result\":[7]}}", VERDICT_UNKNOWN },
	{ "5", NULL, 200, "{\"status\":\"success\",\"data\":7}", VERDICT_UNKNOWN },
	{ "5", NULL, 200, "{\"status\":\"success\",\"data\":{\"resultType\":"
			  "\"vector\",\"result\":[{\"value\":[1,1]}]}}",
	  VERDICT_UNKNOWN },
};

START_TEST(queries)
{
	struct strategy_query q = { .below = str_of(answers[_i].below),
				    .above = str_of(answers[_i].above) };
	char reason[200];
	enum verdict v = verdict_of_query(&q, answers[_i].status,
					  str_of(answers[_i].answer), reason);

	ck_assert_int_eq(v, answers[_i].verdict);
	ck_assert_int_eq(v == VERDICT_MET, reason[0] == '\0');
}
END_TEST

START_TEST(urls)
{
	struct verdict_step step = { STR("acme"), STR("r-000000000017"), 1 };
	struct strategy_query q = {
		.url = STR("https://prom.example.org/"),
		.query = STR("sum(errors{release=\"$release\",step=\"$step\"}) & "
			     "$released $step") };
	AUTO_BUF url = BUF_NONE;

	verdict_query_url(&url, &q, &step);
	ck_assert(str_is(buf_view(&url),
		"https://prom.example.org/api/v1/query?query="
		"sum%28errors%7Brelease%3D%22r-000000000017%22%2Cstep%3D%222%22%7D"
		"%29%20%26%20%24released%202"));
}
END_TEST

static const struct {
	unsigned status;
	const char *answer;
	enum verdict verdict;
	const char *reason;
} said[] = {
	{ 200, "{\"verdict\":\"ok\"}", VERDICT_MET, "" },
	{ 201, "{\"verdict\":\"ok\",\"reason\":\"fine\"}", VERDICT_MET, "" },
	{ 200, "{\"verdict\":\"fail\",\"reason\":\"slow\"}", VERDICT_FAILED, "slow" },
	{ 200, "{\"verdict\":\"fail\"}", VERDICT_FAILED, "" },
	{ 200, "{\"verdict\":\"wait\",\"reason\":\"soon\"}", VERDICT_UNKNOWN, "soon" },
	{ 500, "{\"verdict\":\"fail\"}", VERDICT_UNKNOWN, "the webhook answered 500" },
	{ 301, "{\"verdict\":\"ok\"}", VERDICT_UNKNOWN, "the webhook answered 301" },
	{ 200, "{\"verdict\":true}", VERDICT_UNKNOWN,
	  "the webhook's verdict is none of ok, fail, wait" },
	{ 200, "OK", VERDICT_UNKNOWN, "the webhook answered no JSON object" },
	{ 200, "{\"verdict\":\"fail\",\"reason\":7}", VERDICT_FAILED, "" },
};

START_TEST(webhooks)
{
	char reason[200];

	ck_assert_int_eq(verdict_of_webhook(said[_i].status,
					    str_of(said[_i].answer), reason),
			 said[_i].verdict);
	ck_assert_str_eq(reason, said[_i].reason);
}
END_TEST

START_TEST(questions)
{
	struct verdict_step step = { STR("acme"), STR("r-000000000017"), 1 };
	struct tally t = { .expected = 9, .known = 8, .deferred = 1, .sent = 7,
			   .received = 6, .applied = 5, .rejected = 4, .lost = 3 };
	AUTO_BUF out = BUF_NONE;

	verdict_question(&out, &step, 5, &t);
	ck_assert(str_is(buf_view(&out),
		"{\"type\":\"release.verdict\",\"tenant\":\"acme\",\"release\":"
		"\"r-000000000017\",\"step\":2,\"steps\":5,\"instances\":{"
		"\"expected\":9,\"known\":8,\"deferred\":1,\"sent\":7,"
		"\"received\":6,\"applied\":5,\"rejected\":4,\"lost\":3}}"));
	ck_assert_uint_eq(verdict_every_ms(0, false), 1000);
	ck_assert_uint_eq(verdict_every_ms(60000, false), 6000);
	ck_assert_uint_eq(verdict_every_ms(60000, true), 60000);
	ck_assert_uint_eq(verdict_every_ms(900000, true), 90000);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("release/verdict");
	TCase *t = tcase_create("verdict");

	tcase_add_loop_test(t, queries, 0, (int)ARRAY_LEN(answers));
	tcase_add_test(t, urls);
	tcase_add_loop_test(t, webhooks, 0, (int)ARRAY_LEN(said));
	tcase_add_test(t, questions);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
