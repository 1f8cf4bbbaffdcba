/* Who follows some configurations: the question as bytes, and what a node says. */
#include <stdio.h>

#include "unit.h"

#include "base/mem.h"
#include "fleet/reach.h"
#include "golden.h"

#include "base/banned.h"

static const uint64_t key[2] = { 0x1122334455667788, 9 };

static void write_question(struct buf *out, uint64_t after)
{
	reach_encode(out, key, after);
	wr_str(out, STR("acme/shop/prod/a"));
	wr_str(out, STR("acme/shop/prod/c"));
}

START_TEST(questions)
{
	struct reach_question q;
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF was = BUF_NONE;
	struct err err;

	write_question(&bytes, 77);
	golden_same("fleet-reach-1", buf_view(&bytes));
	golden_read("fleet-reach-1", &was);
	ck_assert_int_eq(fleet_what(buf_view(&was)), FLEET_REACH);
	ck_assert_int_eq(reach_decode(buf_view(&was), &q, &err), OK);
	ck_assert(q.key[0] == key[0] && q.key[1] == key[1] && q.after == 77);
	ck_assert(str_is(rd_str(&q.keys), "acme/shop/prod/a"));
	ck_assert(str_is(rd_str(&q.keys), "acme/shop/prod/c"));
	ck_assert_uint_eq(rd_left(&q.keys), 0);
}
END_TEST

START_TEST(questions_that_are_none)
{
	struct reach_question q;
	AUTO_BUF bytes = BUF_NONE;
	struct err err;

	write_question(&bytes, 0);
	ck_assert_int_eq(reach_decode(str_first(buf_view(&bytes), bytes.n - 1), &q,
				      &err), E_INVALID);
	/* Twice the same, and not in order. */
	wr_str(&bytes, STR("acme/shop/prod/c"));
	ck_assert_int_eq(reach_decode(buf_view(&bytes), &q, &err), E_INVALID);
	bytes.n -= 17;
	wr_str(&bytes, STR("acme/shop/prod/b"));
	ck_assert_int_eq(reach_decode(buf_view(&bytes), &q, &err), E_INVALID);
	/* Too many. */
	buf_reset(&bytes);
	reach_encode(&bytes, key, 0);
	for (unsigned i = 0; i <= FLEET_REACH_KEYS_MAX; i++) {
		char text[16];

		if (i == FLEET_REACH_KEYS_MAX)
			ck_assert_int_eq(reach_decode(buf_view(&bytes), &q, &err), OK);
		snprintf(text, sizeof(text), "%08u", i);
		wr_str(&bytes, str_of(text));
	}
	ck_assert_int_eq(reach_decode(buf_view(&bytes), &q, &err), E_INVALID);
}
END_TEST

/* ---- a node ---- */

static struct fleet_watch *follow(struct fleet *fleet, const char *id,
				  const char *one, const char *prefix)
{
	static const struct labels none;
	struct address at = { STR("acme"), STR("shop"), STR("prod"),
			      str_of(one ?: "") };
	struct str below = str_of(prefix ?: "");
	struct fleet_spec spec = { .instance = str_of(id), .labels = &none,
				   .keys = &at, .n_keys = one != NULL,
				   .prefixes = &below, .n_prefixes = prefix != NULL };

	return fleet_join(fleet, &spec, 1);
}

/* How many say that they follow a or c, of a page behind 'after'. */
static size_t reached(struct fleet *fleet, uint64_t *after, bool *more)
{
	struct str keys[] = { STR("acme/shop/prod/a"), STR("acme/shop/prod/c") };
	struct reach_question q = { .key = { key[0], key[1] }, .after = *after };
	AUTO_BUF out = BUF_NONE;
	struct rd rd;
	size_t n = 0;

	fleet_reached(fleet, &q, keys, ARRAY_LEN(keys), &out, more);
	for (rd = rd_of(buf_view(&out)); rd_left(&rd); n++) {
		uint64_t number = rd_u64(&rd);

		ck_assert_uint_gt(number, *after);
		*after = number;
	}
	return n;
}

START_TEST(who_follows_one_of_them_is_counted_once)
{
	struct fleet *fleet = fleet_new(100);
	struct fleet_watch *w[8];
	uint64_t after = 0;
	bool more;

	w[0] = follow(fleet, "both", "a", NULL);
	w[1] = follow(fleet, "both", "c", NULL);
	w[2] = follow(fleet, "another", "b", NULL);
	w[3] = follow(fleet, "all", NULL, "acme/shop/");
	w[4] = follow(fleet, "elsewhere", NULL, "acme/web/");
	w[5] = follow(fleet, "both ways", "b", "acme/shop/prod/c");
	w[6] = follow(fleet, "last", "c", NULL);
	ck_assert_uint_eq(reached(fleet, &after, &more), 4);
	ck_assert(!more);
	/* Behind the last there is none; who left is none. */
	ck_assert_uint_eq(reached(fleet, &after, &more), 0);
	fleet_leave(fleet, &w[6], 2);
	fleet_leave(fleet, &w[0], 2);
	after = 0;
	ck_assert_uint_eq(reached(fleet, &after, &more), 3);
	fleet_leave(fleet, &w[1], 2);
	after = 0;
	ck_assert_uint_eq(reached(fleet, &after, &more), 2);
	for (unsigned i = 2; i < 6; i++)
		fleet_leave(fleet, &w[i], 2);
	fleet_free(&fleet);
}
END_TEST

START_TEST(many_are_said_in_pages)
{
	unsigned n = REACH_PAGE + 500;
	struct fleet *fleet = fleet_new(n);
	struct fleet_watch **all = mem_alloc(n * sizeof(struct fleet_watch *));
	uint64_t after = 0;
	bool more;

	for (unsigned i = 0; i < n; i++) {
		char id[16];

		snprintf(id, sizeof(id), "web-%u", i);
		all[i] = follow(fleet, id, "a", NULL);
	}
	ck_assert_uint_eq(reached(fleet, &after, &more), REACH_PAGE);
	ck_assert(more);
	ck_assert_uint_eq(reached(fleet, &after, &more), 500);
	ck_assert(!more);
	for (unsigned i = 0; i < n; i++)
		fleet_leave(fleet, &all[i], 2);
	free(all);
	fleet_free(&fleet);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fleet/reach");
	TCase *t = tcase_create("reach");

	tcase_add_test(t, questions);
	tcase_add_test(t, questions_that_are_none);
	tcase_add_test(t, who_follows_one_of_them_is_counted_once);
	tcase_add_test(t, many_are_said_in_pages);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
