/* A change that is given up. */
#include "api/gate.h"

#include "base/mem.h"
#include "unit.h"

#include "base/banned.h"

static void of_another(struct request *r)
{
	(void)r;
	ck_abort_msg("nobody has gone");
}

static void never_done(struct change *ch, struct request *r, const struct outcome *o)
{
	(void)ch, (void)r, (void)o;
	ck_abort_msg("it was not sent");
}

/* What is wrong with a request may be answered before: then its memory is another
 * one's, or nobody's. */
START_TEST(a_change_that_is_given_up_leaves_its_request_alone)
{
	struct request *r = NEW(struct request);
	struct stream_addr peer = { .text = "127.0.0.1:1" };
	struct request_in in = { .content_type = STR("") };
	struct api api = { 0 };
	struct api_loop at = { .api = &api };
	struct caller caller = { .at = &at };
	struct change *ch;

	r->arena = arena_new(0);
	r->in = &in;
	r->peer = &peer;
	r->data = &caller;
	ch = change_new(r, never_done);
	r->on_gone = of_another;
	change_cancel(ch);
	ck_assert(r->on_gone == of_another);
	/* Also where it is gone as a whole: the address sanitizer looks. */
	ch = change_new(r, never_done);
	arena_free(&r->arena);
	free(r);
	change_cancel(ch);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/change");
	TCase *t = tcase_create("change");

	tcase_add_test(t, a_change_that_is_given_up_leaves_its_request_alone);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
