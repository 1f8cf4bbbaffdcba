/* What a Webhook says, read. */
#include "unit.h"

#include "model/webhook.h"

#include "base/banned.h"

static const struct {
	const char *spec;
	uint64_t timeout_ms;
} timeouts[] = {
	{ "{}", 10000 },
	{ "{\"timeout\":\"2s\"}", 2000 },
	{ "{\"timeout\":\"0s\"}", 10000 },
	{ "{\"timeout\":\"1ms\"}", 1000 },
	{ "{\"timeout\":\"1h\"}", 30000 },
};

START_TEST(a_timeout_is_neither_too_short_nor_too_long)
{
	AUTO_ARENA arena = arena_new(0);
	struct webhook hook;

	webhook_read(arena, str_of(timeouts[_i].spec), &hook);
	ck_assert_msg(hook.timeout_ms == timeouts[_i].timeout_ms, "%s: %llu",
		      timeouts[_i].spec, (unsigned long long)hook.timeout_ms);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model/webhook");
	TCase *t = tcase_create("webhook");

	tcase_add_loop_test(t, a_timeout_is_neither_too_short_nor_too_long, 0,
			    (int)ARRAY_LEN(timeouts));
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
