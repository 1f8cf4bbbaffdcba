/* What a watcher is told, and where it goes on. */
#include "bench.h"
#include "state/feed.h"
#include "unit.h"

#include "base/banned.h"

static struct bench b;
static struct feed f;
static struct buf told;
static unsigned enough;                  /* events, then it is stalled */

static void setup(void)
{
	bench_open(&b, "boot-1");
	f = (struct feed){ 0 };
	told = BUF_NONE;
	enough = UINT_MAX;
}

static void teardown(void)
{
	feed_fini(&f);
	buf_fini(&told);
	bench_close(&b);
}

static void follow(const char *prefix)
{
	f.prefixes = arena_grow(b.arena, f.prefixes, &f.cap_prefixes,
				f.n_prefixes + 1, sizeof(*f.prefixes));
	f.prefixes[f.n_prefixes++] = str_of(prefix);
}

/* An event as "key@rev", with "." where it ends its command. */
static bool tell(void *data, struct str text)
{
	struct str line = text, key;

	ck_assert(str_starts(text, STR("id: ")));
	ck_assert(str_ends(text, STR("}\n\n")));
	line = str_from(line, 4);
	line = str_cut(&line, '\n');
	key = str_from(text, str_find_str(text, STR("\"key\":\"")) + 7);
	key = str_cut(&key, '"');
	buf_printf(&told, "%s%.*s@%.*s%s", told.n ? " " : "", STR_ARG(key),
		   STR_ARG(line),
		   str_find_str(text, STR("\"end\":true")) < text.n ? "." : "");
	return --enough > 0;
}

static enum code next(unsigned most, bool *more)
{
	struct kv_txn *txn = bench_read(&b);
	struct err err;
	enum code rc;

	buf_reset(&told);
	buf_c(&told, '\0');
	buf_reset(&told);
	rc = feed_next(&f, txn, most, tell, NULL, more, &err);
	kv_end(&txn);
	return rc;
}

static const char *all(void)
{
	bool more;

	ck_assert_int_eq(next(1000, &more), OK);
	ck_assert(!more);
	return told.n ? told.p : "";
}

static void config(struct command *c, const char *tenant, const char *name)
{
	put_config(&b, c, tenant, "shop", "prod", name);
}

/* Tenants a (revision 1) and b (2); then one command with a/x (3), b/y (4), a/z
 * (5), b/z (6). */
static void two_tenants(void)
{
	struct command *c = bench_command(&b);

	put_tenant(&b, c, "a");
	put_tenant(&b, c, "b");
	bench_apply(&b, c);
	c = bench_command(&b);
	config(c, "a", "x");
	config(c, "b", "y");
	config(c, "a", "z");
	config(c, "b", "z");
	bench_apply(&b, c);
	ck_assert_int_eq(b.last.code, OK);
	ck_assert_uint_eq(b.last.rev, 6);
}

START_TEST(the_end_is_on_the_last_event_that_is_told)
{
	two_tenants();
	follow("a/");
	ck_assert_str_eq(all(), "a/shop/prod/x@3 a/shop/prod/z@5.");
	ck_assert_uint_eq(f.cursor, 6);
	ck_assert_str_eq(all(), "");
}
END_TEST

START_TEST(an_empty_prefix_is_everything)
{
	two_tenants();
	follow("");
	ck_assert_str_eq(all(), "a/shop/prod/x@3 b/shop/prod/y@4 a/shop/prod/z@5 "
			 "b/shop/prod/z@6.");
}
END_TEST

START_TEST(a_key_is_one_address)
{
	struct address at = { STR("b"), STR("shop"), STR("prod"), STR("z") };

	two_tenants();
	f.keys = &at;
	f.n_keys = 1;
	ck_assert(feed_follows(&f, &at));
	ck_assert_str_eq(all(), "b/shop/prod/z@6.");
	at.name = STR("Z");
	f.cursor = 0;
	ck_assert_str_eq(all(), "");
}
END_TEST

/* However it is cut, the same is told once. */
START_TEST(it_goes_on_where_it_stopped)
{
	AUTO_BUF whole = BUF_NONE;
	bool more = true;

	two_tenants();
	follow("a/");
	while (more) {
		ck_assert_int_eq(next((unsigned)_i, &more), OK);
		if (told.n && whole.n)
			buf_c(&whole, ' ');
		buf_str(&whole, buf_view(&told));
	}
	ck_assert_str_eq(whole.p, "a/shop/prod/x@3 a/shop/prod/z@5.");
}
END_TEST

START_TEST(a_socket_that_is_full_stops_it)
{
	bool more;

	two_tenants();
	follow("");
	enough = 1;
	ck_assert_int_eq(next(1000, &more), OK);
	ck_assert_str_eq(told.p, "a/shop/prod/x@3");
	ck_assert(more);
	enough = UINT_MAX;
	ck_assert_str_eq(all(), "b/shop/prod/y@4 a/shop/prod/z@5 "
			 "b/shop/prod/z@6.");
}
END_TEST

START_TEST(who_resumes_within_a_command_gets_the_rest)
{
	two_tenants();
	follow("");
	f.cursor = 4;
	ck_assert_str_eq(all(), "a/shop/prod/z@5 b/shop/prod/z@6.");
}
END_TEST

static void compact(void)
{
	struct command limits = { .type = COMMAND_LIMITS, .time_ms = b.time_ms,
				  .limits = { .events_max = 1 } };
	struct command tick = { .type = COMMAND_TICK, .time_ms = b.time_ms };

	bench_apply(&b, &limits);
	bench_apply(&b, &tick);
}

START_TEST(what_is_compacted_is_gone)
{
	AUTO_BUF text = BUF_NONE;
	struct kv_txn *txn;
	struct err err;
	bool more;

	two_tenants();
	follow("");
	compact();
	txn = bench_read(&b);
	ck_assert_int_eq(feed_check(&f, txn, &err), E_GONE);
	ck_assert_int_eq(next(1000, &more), E_GONE);
	ck_assert_uint_eq(told.n, 0);
	feed_gone(&text, &err);
	ck_assert(str_starts(buf_view(&text), STR("event: error\ndata: {")));
	ck_assert(str_ends(buf_view(&text), STR("}\n\n")));
	f.cursor = state_head(b.state)->compacted_rev;
	ck_assert_uint_eq(f.cursor, 6);
	ck_assert_int_eq(feed_check(&f, txn, &err), OK);
	kv_end(&txn);
	ck_assert_str_eq(all(), "");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/feed");
	TCase *t = tcase_create("feed");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_end_is_on_the_last_event_that_is_told);
	tcase_add_test(t, an_empty_prefix_is_everything);
	tcase_add_test(t, a_key_is_one_address);
	tcase_add_loop_test(t, it_goes_on_where_it_stopped, 1, 8);
	tcase_add_test(t, a_socket_that_is_full_stops_it);
	tcase_add_test(t, who_resumes_within_a_command_gets_the_rest);
	tcase_add_test(t, what_is_compacted_is_gone);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
