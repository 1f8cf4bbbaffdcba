/*
 * Several servers, of which some fail, say nothing or do not have it; and one that is
 * away for a while.
 */
#include "client.h"
#include "base/banned.h"

START_TEST(fail_over)
{
	struct server *a = new_server(false), *b = new_server(false), *down;
	struct cfx_options o;
	char two[200];
	struct cfx *cfx;
	unsigned watches;

	snprintf(two, sizeof(two), "%s,%s", server_url(a), server_url(b));
	o = options_of(two);
	o.silence_timeout_ms = 60000;
	cfx = open_with(&o);
	down = strcmp(status_of(cfx).endpoint, server_url(a)) ? b : a;
	server_publish(a, "main.json", JSON, "{\"n\":2}", true);
	server_publish(b, "main.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, n_of(cfx) == 2);
	watches = server_requests(down, SERVER_WATCH);
	server_cut(down, true);
	/* It goes on behind what it has seen, at the other. */
	UNTIL(cfx, status_of(cfx).connects == 2 && status_of(cfx).is_connected);
	server_publish(down == a ? b : a, "main.json", JSON, "{\"n\":3}", true);
	UNTIL(cfx, n_of(cfx) == 3);
	ck_assert_uint_eq(server_requests(down, SERVER_WATCH), watches);
	ck_assert_uint_eq(status_of(cfx).fetches, 3);
	cfx_close(cfx);
	server_free(a);
	server_free(b);
}
END_TEST

START_TEST(a_change_while_it_was_away)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx = open_with(&o);

	server_cut(s, true);
	UNTIL(cfx, !status_of(cfx).is_connected);
	ck_assert_int_gt(status_of(cfx).stale_ms, 0);
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	server_cut(s, false);
	UNTIL(cfx, n_of(cfx) == 2);
	ck_assert_int_eq(status_of(cfx).stale_ms, 0);
	/* And where it is too late to go on there. */
	server_cut(s, true);
	UNTIL(cfx, !status_of(cfx).is_connected);
	server_publish(s, "main.json", JSON, "{\"n\":3}", true);
	server_compact(s, server_rev(s));
	server_cut(s, false);
	UNTIL(cfx, n_of(cfx) == 3);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

START_TEST(a_silent_server)
{
	struct server *a = new_server(false), *b = new_server(false), *mute;
	struct cfx_options o;
	char two[200];
	struct cfx *cfx;

	snprintf(two, sizeof(two), "%s,%s", server_url(a), server_url(b));
	o = options_of(two);
	o.silence_timeout_ms = 300;
	o.request_timeout_ms = 300;
	cfx = open_with(&o);
	mute = strcmp(status_of(cfx).endpoint, server_url(a)) ? b : a;
	server_mute(mute, true);
	/* One that was slow to answer may be the last for a moment. */
	UNTIL(cfx, status_of(cfx).connects >= 2 &&
	      status_of(cfx).last.code == CFX_E_TIMEOUT &&
	      strstr(status_of(cfx).last.text, "silen"));
	cfx_close(cfx);
	server_free(a);
	server_free(b);
}
END_TEST

START_TEST(retry_after)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	int64_t began = now_ms();
	struct cfx *cfx;

	o.boot = CFX_BOOT_AT_ONCE;
	server_refuse(s, SERVER_WATCH, 1, 503, 1);
	cfx = open_with(&o);
	UNTIL(cfx, n_of(cfx) == 1);
	ck_assert_int_ge(now_ms() - began, 1000);
	ck_assert_uint_eq(server_requests(s, SERVER_WATCH), 2);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* No permission to watch: it fetches now and then. */
START_TEST(polling)
{
	struct server *s = new_server(false);
	struct cfx_options o = options_of(server_url(s));
	struct cfx *cfx;

	server_refuse(s, SERVER_WATCH, 1000, 403, 0);
	cfx = open_with(&o);
	ck_assert_int_eq(n_of(cfx), 1);
	server_publish(s, "main.json", JSON, "{\"n\":2}", true);
	UNTIL(cfx, n_of(cfx) == 2);
	cfx_close(cfx);
	server_free(s);
}
END_TEST

/* One of them is behind the other, which has what was just made. */
START_TEST(another_has_it)
{
	enum { TIMES = 16 };             /* with which it begins is chance */
	struct server *a = new_server(false), *b = new_server(false);
	struct cfx_options o;
	char two[200];

	snprintf(two, sizeof(two), "%s,%s", server_url(a), server_url(b));
	o = options_of(two);
	server_fails(a, "main.json", 404);
	for (unsigned i = 0; i < TIMES; i++) {
		struct cfx *cfx = open_with(&o);

		ck_assert_int_eq(n_of(cfx), 1);
		ck_assert_str_eq(status_of(cfx).endpoint, server_url(b));
		cfx_close(cfx);
	}
	ck_assert_uint_gt(server_requests(a, SERVER_FETCH), 0);
	server_free(a);
	server_free(b);
}
END_TEST

START_TEST(none_has_it)
{
	struct server *a = new_server(false), *b = new_server(false);
	struct cfx_options o;
	char two[200];

	snprintf(two, sizeof(two), "%s,%s", server_url(a), server_url(b));
	o = options_of(two);
	server_fails(a, "main.json", 404);
	server_fails(b, "main.json", 404);
	fails_with(&o, CFX_E_NOT_FOUND, "acme/shop/prod/main.json");
	ck_assert_uint_eq(server_requests(a, SERVER_FETCH), 1);
	ck_assert_uint_eq(server_requests(b, SERVER_FETCH), 1);
	server_free(a);
	server_free(b);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("client/sdk/endpoints");
	TCase *t = tcase_create("endpoints");

	tcase_add_unchecked_fixture(t, make_folder, NULL);
	tcase_add_test(t, fail_over);
	tcase_add_test(t, a_change_while_it_was_away);
	tcase_add_test(t, a_silent_server);
	tcase_add_test(t, retry_after);
	tcase_add_test(t, polling);
	tcase_add_test(t, another_has_it);
	tcase_add_test(t, none_has_it);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
