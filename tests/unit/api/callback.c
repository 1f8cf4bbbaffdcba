/* The body of a callback. */
#include "unit.h"

#include "api/callback.h"

#include "base/banned.h"

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define GOOD(rest) "{\"proposal\":\"p-1\",\"digest\":\"" ZEROS "\"" rest "}"

static const struct {
	const char *body;
	enum code code;
	enum vote vote;
} bodies[] = {
	{ GOOD(",\"decision\":\"approve\""), OK, VOTE_APPROVE },
	{ GOOD(",\"decision\":\"reject\",\"reason\":\"no\""), OK, VOTE_REJECT },
	{ GOOD(",\"decision\":\"Approve\""), E_UNPROCESSABLE, 0 },
	{ GOOD(",\"decision\":\"cancel\""), E_UNPROCESSABLE, 0 },
	{ GOOD(",\"decision\":true"), E_UNPROCESSABLE, 0 },
	{ GOOD(""), E_UNPROCESSABLE, 0 },
	{ GOOD(",\"decision\":\"approve\",\"more\":\"\""), E_UNPROCESSABLE, 0 },
	{ GOOD(",\"decision\":\"approve\",\"reason\":1"), E_UNPROCESSABLE, 0 },
	{ GOOD(",\"decision\":\"approve\",\"decision\":\"reject\""), E_PARSE, 0 },
	{ GOOD(",\"decision\":\"approve\"") "x", E_PARSE, 0 },
	{ "{\"proposal\":\"P 1\",\"digest\":\"" ZEROS "\",\"decision\":\"approve\"}",
	  E_UNPROCESSABLE, 0 },
	{ "{\"proposal\":\"\",\"digest\":\"" ZEROS "\",\"decision\":\"approve\"}",
	  E_UNPROCESSABLE, 0 },
	{ "{\"proposal\":\"p-1\",\"digest\":\"00\",\"decision\":\"approve\"}",
	  E_UNPROCESSABLE, 0 },
	{ "{\"proposal\":\"p-1\",\"digest\":\"" ZEROS "0\",\"decision\":\"approve\"}",
	  E_UNPROCESSABLE, 0 },
	{ "{\"proposal\":\"p-1\",\"decision\":\"approve\"}", E_UNPROCESSABLE, 0 },
	{ "[]", E_UNPROCESSABLE, 0 },
	{ "\"approve\"", E_UNPROCESSABLE, 0 },
	{ "", E_PARSE, 0 },
	/* What goes out, sent back. */
	{ "{\"specversion\":\"1.0\",\"id\":\"1\",\"data\":{\"proposal\":\"p-1\"}}",
	  E_UNPROCESSABLE, 0 },
};

START_TEST(only_a_vote_is_one)
{
	AUTO_ARENA arena = arena_new(0);
	struct callback c;
	struct err err;

	ck_assert_msg(callback_read(arena, str_of(bodies[_i].body), &c, &err) ==
			      bodies[_i].code, "%s", bodies[_i].body);
	if (bodies[_i].code == OK)
		ck_assert_int_eq(c.vote, bodies[_i].vote);
}
END_TEST

START_TEST(reasons_are_bounded)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF body = BUF_NONE;
	struct callback c;
	struct err err;

	for (unsigned n = CALLBACK_REASON_MAX; n <= CALLBACK_REASON_MAX + 1; n++) {
		buf_reset(&body);
		buf_z(&body, "{\"proposal\":\"p-1\",\"digest\":\"" ZEROS
			     "\",\"decision\":\"approve\",\"reason\":\"");
		for (unsigned i = 0; i < n; i++)
			buf_c(&body, 'x');
		buf_z(&body, "\"}");
		ck_assert_int_eq(callback_read(arena, buf_view(&body), &c, &err),
				 n > CALLBACK_REASON_MAX ? E_UNPROCESSABLE : OK);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/callback");
	TCase *t = tcase_create("callback");

	tcase_add_loop_test(t, only_a_vote_is_one, 0, (int)ARRAY_LEN(bodies));
	tcase_add_test(t, reasons_are_bounded);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
