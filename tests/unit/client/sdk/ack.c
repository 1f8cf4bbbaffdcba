/* What a server hears of versions: the last word on each, in few requests. */
#include "client.h"

#include "base/banned.h"

/* One that is too long. */
#define RELEASE 254

static bool no(void *data, const struct cfx_candidate *candidate, char *reason,
	       size_t size)
{
	snprintf(reason, size, "never");
	return cfx_view_i64(candidate->view, candidate->config, "n", -1) < 10;
}

/* Four configurations are one picture and one request, and of what is applied at
 * once nobody hears that it was received. */
START_TEST(many_in_one_request)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	server_publish(s, "b.json", JSON, "{\"n\":1}", true);
	server_publish(s, "c.json", JSON, "{\"n\":1}", true);
	server_publish(s, "d.json", JSON, "{\"n\":1}", true);
	o.configs = "main.json,b.json,c.json,d.json";
	cfx = open_with(&o);
	UNTIL(cfx, status_of(cfx).acknowledged == 4);
	ck_assert_uint_eq(status_of(cfx).unheard, 0);
	ck_assert_uint_eq(server_requests(s, SERVER_ACKS), 1);
	ck_assert_uint_eq(server_acks(s, "applied "), 4);
	server_publish(s, "b.json", JSON, "{\"n\":2}", false);
	server_publish(s, "d.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, status_of(cfx).acknowledged == 6);
	ck_assert_uint_eq(server_requests(s, SERVER_ACKS), 2);
	/* The next server hears all of it again. */
	server_cut(s, false);
	UNTIL(cfx, status_of(cfx).acknowledged == 10);
	ck_assert_uint_eq(server_requests(s, SERVER_ACKS), 3);
	ck_assert_uint_eq(server_acks(s, "received"), 0);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* What belongs to it is not there yet: it is not applied, and is said to be here. */
START_TEST(received_where_nothing_more_is_known)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	o.received_ms = 20;
	cfx = open_with(&o);
	UNTIL(cfx, status_of(cfx).acknowledged == 1);
	server_publish(s, "main.json", JSON, "{\"n\":2}", false);
	UNTIL(cfx, status_of(cfx).acknowledged == 2);
	ck_assert_uint_eq(server_acks(s, "received main.json 2"), 1);
	ck_assert_int_eq(n_of(cfx), 1);
	ck_assert_uint_eq(status_of(cfx).unheard, 0);
	/* It waits for the rest for a second, and no longer. */
	UNTIL(cfx, n_of(cfx) == 2);
	UNTIL(cfx, status_of(cfx).acknowledged == 3);
	ck_assert(server_saw_ack(s, "applied main.json 2"));
	ck_assert_uint_eq(server_acks(s, ""), 3);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* What belongs to it comes a little later: it was never only received. */
START_TEST(applied_within_a_moment)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	uint64_t fetches;
	struct cfx *cfx;

	server_publish(s, "b.json", JSON, "{\"n\":1}", true);
	o.configs = "main.json,b.json";
	o.received_ms = 60000;
	cfx = open_with(&o);
	UNTIL(cfx, status_of(cfx).acknowledged == 2);
	fetches = status_of(cfx).fetches;
	server_publish(s, "main.json", JSON, "{\"n\":2}", false);
	UNTIL(cfx, status_of(cfx).fetches == fetches + 1 &&
	      status_of(cfx).revision == server_rev(s));
	for (unsigned i = 0; i < 3; i++)
		run_once(cfx);
	ck_assert_int_eq(n_of(cfx), 1);
	server_publish(s, "b.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, status_of(cfx).acknowledged == 4);
	ck_assert_int_eq(n_of(cfx), 2);
	ck_assert_uint_eq(server_acks(s, "received"), 0);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* The program has the last word, and until then it was received. */
START_TEST(by_the_program)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	o.acknowledges = CFX_ACKNOWLEDGE_BY_PROGRAM;
	o.validator = no;
	cfx = open_with(&o);
	UNTIL(cfx, status_of(cfx).acknowledged == 1);
	ck_assert(server_saw_ack(s, "received main.json 1"));
	ck_assert_int_eq(cfx_acknowledge(cfx, "main.json", 1, true, NULL), CFX_OK);
	ck_assert_uint_eq(status_of(cfx).unheard, 1);
	UNTIL(cfx, status_of(cfx).acknowledged == 2);
	ck_assert_uint_eq(status_of(cfx).unheard, 0);
	ck_assert(server_saw_ack(s, "applied main.json 1"));
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, n_of(cfx) == 2);
	/* Of a version that is not that of the picture nothing is said. */
	ck_assert_int_eq(cfx_acknowledge(cfx, "main.json", 1, false, "old"), CFX_OK);
	UNTIL(cfx, status_of(cfx).unheard == 0);
	ck_assert_int_eq(cfx_acknowledge(cfx, "main.json", 2, false, "late"), CFX_OK);
	ck_assert(server_acks(s, "rejected") == 0);
	UNTIL(cfx, server_acks(s, "rejected main.json 2") == 1);
	/* The same bytes as another version: what was said of them holds. */
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, server_acks(s, "rejected main.json 3") == 1);
	/* What the validator refuses is never there, and so is not received. */
	server_publish(s, "main.json", JSON, "{\"n\":10}", true);
	UNTIL(cfx, server_acks(s, "rejected main.json 4") == 1);
	ck_assert_uint_eq(server_acks(s, "received main.json 4"), 0);
	ck_assert_uint_eq(server_acks(s, "rejected main.json 1"), 0);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* While the program was at it the same content became another version: what it says of
 * the one that it saw holds, and of no other. */
START_TEST(by_the_program_a_moment_later)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	o.acknowledges = CFX_ACKNOWLEDGE_BY_PROGRAM;
	cfx = open_with(&o);
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, n_of(cfx) == 2);
	for (unsigned i = 0; i < 2; i++)
		server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, server_acks(s, "received main.json 4") == 1);
	ck_assert_int_eq(cfx_acknowledge(cfx, "main.json", 1, true, NULL), CFX_OK);
	UNTIL(cfx, status_of(cfx).unheard == 0);
	ck_assert_int_eq(cfx_acknowledge(cfx, "main.json", 2, false, "no"), CFX_OK);
	UNTIL(cfx, server_acks(s, "rejected main.json 4") == 1);
	ck_assert_uint_eq(server_acks(s, "applied"), 0);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* Content that was rejected comes again as another version. */
START_TEST(rejected_again)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	o.validator = no;
	cfx = open_with(&o);
	server_publish(s, "main.json", JSON, "{\"n\":10}", true);
	UNTIL(cfx, server_acks(s, "rejected main.json 2") == 1);
	server_publish(s, "main.json", JSON, "{\"n\":10}", true);
	UNTIL(cfx, server_acks(s, "rejected main.json 3") == 1);
	ck_assert_uint_eq(status_of(cfx).rejected, 1);
	server_publish(s, "main.json", JSON, "{", true);
	UNTIL(cfx, server_acks(s, "rejected main.json 4") == 1);
	server_publish(s, "main.json", JSON, "{", true);
	UNTIL(cfx, server_acks(s, "rejected main.json 5") == 1);
	ck_assert_uint_eq(status_of(cfx).rejected, 2);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* An earlier version waits for what belongs to it, and one comes that is not to be
 * read: it is rejected, and the earlier one never is in force. */
START_TEST(rejected_while_another_waits)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	o.received_ms = 20;
	cfx = open_with(&o);
	server_publish(s, "main.json", JSON, "{\"n\":2}", false);
	UNTIL(cfx, server_acks(s, "received main.json 2") == 1);
	server_publish(s, "main.json", JSON, "{", true);
	UNTIL(cfx, status_of(cfx).rejected == 1);
	UNTIL(cfx, server_acks(s, "rejected main.json 3") == 1);
	ck_assert_int_eq(n_of(cfx), 1);
	server_publish(s, "main.json", JSON, "{\"n\":4}", true);
	UNTIL(cfx, server_acks(s, "applied main.json 4") == 1);
	ck_assert_uint_eq(server_acks(s, "applied main.json 2"), 0);
	ck_assert_uint_eq(status_of(cfx).pictures, 2);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* And so where it is content that was rejected before, though something was said of the
 * other one since. */
START_TEST(rejected_again_while_another_waits)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	o.validator = no;
	o.received_ms = 20;
	cfx = open_with(&o);
	server_publish(s, "main.json", JSON, "{\"n\":10}", true);
	UNTIL(cfx, server_acks(s, "rejected main.json 2") == 1);
	server_publish(s, "main.json", JSON, "{\"n\":3}", false);
	UNTIL(cfx, server_acks(s, "received main.json 3") == 1);
	server_publish(s, "main.json", JSON, "{\"n\":10}", true);
	UNTIL(cfx, server_acks(s, "rejected main.json 4") == 1);
	ck_assert_int_eq(n_of(cfx), 1);
	ck_assert_uint_eq(status_of(cfx).pictures, 1);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* A failure of now: said again.  A refusal of several: each for itself. */
START_TEST(refused_acknowledgements)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	server_publish(s, "b.json", JSON, "{\"n\":1}", true);
	o.configs = "main.json,b.json";
	server_refuse(s, SERVER_ACKS, 1, 403, 0);
	cfx = open_with(&o);
	UNTIL(cfx, status_of(cfx).acknowledged == 2);
	ck_assert_uint_eq(server_requests(s, SERVER_ACKS), 3);
	ck_assert_int_eq(status_of(cfx).last.code, CFX_OK);
	/* Of one there is nothing to try again. */
	server_refuse(s, SERVER_ACKS, 1, 403, 0);
	server_publish(s, "b.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, status_of(cfx).last.code == CFX_E_DENIED);
	ck_assert_uint_eq(status_of(cfx).unheard, 1);
	server_refuse(s, SERVER_ACKS, 1, 503, 0);
	server_publish(s, "b.json", JSON, "{\"n\":3}", true);
	UNTIL(cfx, server_acks(s, "applied b.json 3") == 1);
	ck_assert_uint_eq(server_acks(s, "applied b.json 2"), 0);
	UNTIL(cfx, status_of(cfx).unheard == 0);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

static void release_is(const char *release, const char *ack)
{
	struct server_config config = { .folder = folder, .release = release };
	struct server *s = server_new(&config);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	server_publish(s, "main.json", JSON, "{\"n\":1}", true);
	cfx = open_with(&o);
	UNTIL(cfx, status_of(cfx).acknowledged == 1);
	ck_assert_msg(server_saw_ack(s, ack), "%s", ack);
	cfx_close(cfx);
	server_free(s);
}

/* It goes back as it came; what is no name is not. */
START_TEST(the_release_that_it_came_with)
{
	char name[RELEASE + 1];

	release_is("7", "applied main.json 1 7");
	release_is("shop-2026-11", "applied main.json 1 shop-2026-11");
	release_is("a b", "applied main.json 1");
	memset(name, 'x', RELEASE);
	name[RELEASE] = '\0';
	release_is(name, "applied main.json 1");
}
END_TEST

/* ---- reasons ---- */

/* Two bytes each, cut off in the middle of one. */
static bool no_in_greek(void *data, const struct cfx_candidate *candidate, char *reason,
			size_t size)
{
	if (cfx_view_i64(candidate->view, candidate->config, "n", -1) < 10)
		return true;
	for (size_t i = 0; i + 1 < size; i++)
		reason[i] = i % 2 ? '\xbd' : '\xce';
	reason[size - 1] = '\0';
	return false;
}

/* Whatever the program says, the cluster hears that it is rejected. */
START_TEST(reasons_that_are_no_text)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	char reason[512], many[400];
	struct cfx *cfx;

	o.validator = no_in_greek;
	cfx = open_with(&o);
	server_publish(s, "main.json", JSON, "{\"n\":10}", true);
	UNTIL(cfx, server_acks(s, "rejected main.json 2") == 1);
	server_reason(s, reason);
	ck_assert_str_eq(reason + strlen(reason) - 3, "\xce\xbd?");
	cfx_close(cfx);
	o.validator = NULL;
	o.acknowledges = CFX_ACKNOWLEDGE_BY_PROGRAM;
	cfx = open_with(&o);
	UNTIL(cfx, n_of(cfx) == 10);
	ck_assert_int_eq(cfx_acknowledge(cfx, "main.json", 2, false, "Stra\xdf" "e"), CFX_OK);
	UNTIL(cfx, server_acks(s, "rejected main.json 2") == 2);
	ck_assert_str_eq(server_reason(s, reason), "Stra?e");
	/* What is too long ends between two characters, not in one. */
	memset(many, 'x', sizeof(many));
	memcpy(many + 237, "\xf0\x9f\x90\x8c", 4);
	many[sizeof(many) - 1] = '\0';
	ck_assert_int_eq(cfx_acknowledge(cfx, "main.json", 2, false, many), CFX_OK);
	UNTIL(cfx, server_acks(s, "rejected main.json 2") == 3);
	ck_assert_uint_eq(strlen(server_reason(s, reason)), 237);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* ---- releases that give what is there ---- */

/* What it has refused is taken back by a release, to what it never left. */
START_TEST(back_to_what_it_has)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	o.validator = no;
	cfx = open_with(&o);
	server_publish(s, "main.json", JSON, "{\"n\":10}", true);
	UNTIL(cfx, server_acks(s, "rejected main.json 2") == 1);
	server_release(s, "main.json", 1, "{\"n\":1,\"s\":\"one\"}", "r-7");
	UNTIL(cfx, server_acks(s, "applied main.json 1 r-7") == 1);
	/* And another of the same. */
	server_release(s, "main.json", 1, "{\"n\":1,\"s\":\"one\"}", "r-8");
	UNTIL(cfx, server_acks(s, "applied main.json 1 r-8") == 1);
	ck_assert_uint_eq(status_of(cfx).pictures, 1);
	/* Who hears it twice says it once. */
	server_release(s, "main.json", 1, "{\"n\":1,\"s\":\"one\"}", "r-8");
	UNTIL(cfx, status_of(cfx).revision == server_rev(s));
	UNTIL(cfx, status_of(cfx).unheard == 0);
	ck_assert_uint_eq(server_acks(s, "applied main.json 1 r-8"), 1);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* Without a name: a rule that somebody has set. */
START_TEST(back_by_hand)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	o.validator = no;
	cfx = open_with(&o);
	server_publish(s, "main.json", JSON, "{\"n\":10}", true);
	UNTIL(cfx, server_acks(s, "rejected main.json 2") == 1);
	server_release(s, "main.json", 1, "{\"n\":1,\"s\":\"one\"}", "");
	UNTIL(cfx, server_acks(s, "applied main.json 1") == 2);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("client/sdk/ack");
	TCase *t = tcase_create("ack");

	tcase_add_unchecked_fixture(t, make_folder, NULL);
	tcase_add_test(t, many_in_one_request);
	tcase_add_test(t, received_where_nothing_more_is_known);
	tcase_add_test(t, applied_within_a_moment);
	tcase_add_test(t, by_the_program);
	tcase_add_test(t, by_the_program_a_moment_later);
	tcase_add_test(t, rejected_again);
	tcase_add_test(t, rejected_while_another_waits);
	tcase_add_test(t, rejected_again_while_another_waits);
	tcase_add_test(t, refused_acknowledgements);
	tcase_add_test(t, the_release_that_it_came_with);
	tcase_add_test(t, reasons_that_are_no_text);
	tcase_add_test(t, back_to_what_it_has);
	tcase_add_test(t, back_by_hand);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
