/* Who gets which version: order, cohorts, and the bytes of it. */
#include <stdio.h>

#include "unit.h"

#include "doc/format.h"
#include "model/rules.h"
#include "wire/wire.h"

#include "base/banned.h"

#define CLIENTS 100000u

static struct arena *arena;
static struct rules rules;

static void setup(void)
{
	arena = arena_new(0);
	rules = (struct rules){ 0 };
}

static void teardown(void)
{
	arena_free(&arena);
}

static struct rule *rule(uint32_t version, int64_t priority)
{
	struct rule *r = rules_add(arena, &rules);

	r->version = version;
	r->priority = priority;
	r->size = version * 10;
	r->sha.b[0] = (uint8_t)version;
	return r;
}

static struct rule *percent(uint32_t version, uint32_t bp, uint8_t salt)
{
	struct rule *r = rule(version, 0);

	r->has_percent = true;
	r->percent_bp = bp;
	memset(r->salt, salt, SALT_SIZE);
	return r;
}

static void label(struct rule *r, const char *key, const char *value)
{
	labels_set(arena, &r->labels, str_of(key), str_of(value));
}

static struct client client(const char *id, const char *zone)
{
	struct client c = { .id = str_of(id) };

	if (zone)
		labels_set(arena, &c.labels, STR("zone"), str_of(zone));
	return c;
}

/* Both ways of picking agree; the version, 0: none. */
static uint32_t picked(const struct client *c)
{
	AUTO_BUF b = BUF_NONE;
	int at = rules_pick(&rules, c);
	unsigned position = 77;
	struct rule r;

	rules_encode(&b, &rules);
	if (at < 0) {
		ck_assert(!rules_pick_encoded(buf_view(&b), c, &r, &position));
		return 0;
	}
	ck_assert(rules_pick_encoded(buf_view(&b), c, &r, &position));
	ck_assert_uint_eq(position, (unsigned)at);
	ck_assert_uint_eq(r.version, rules.r[at].version);
	ck_assert_uint_eq(r.size, rules.r[at].size);
	ck_assert_uint_eq(r.release, rules.r[at].release);
	ck_assert(sha256_eq(&r.sha, &rules.r[at].sha));
	return r.version;
}

static uint32_t of(const char *id, const char *zone)
{
	struct client c = client(id, zone);

	return picked(&c);
}

START_TEST(the_order_of_rules)
{
	ck_assert_uint_eq(of("web-1", "eu"), 0);
	rule(1, 0);
	label(rule(2, 0), "zone", "eu");
	rule_add_node(arena, rule(3, 0), STR("web-1"));
	ck_assert_uint_eq(of("web-2", "us"), 1);
	ck_assert_uint_eq(of("web-2", "eu"), 2);         /* more labels */
	ck_assert_uint_eq(of("web-1", "eu"), 3);         /* nodes before labels */
	ck_assert_uint_eq(of("", NULL), 1);
	label(rule(4, 0), "zone", "eu");                 /* the earlier one stays */
	ck_assert_uint_eq(of("web-2", "eu"), 2);
	label(rule(5, 1), "zone", "eu");                 /* priority before all */
	ck_assert_uint_eq(of("web-1", "eu"), 5);
	rule(6, 2);
	ck_assert_uint_eq(of("web-1", "eu"), 6);
	rule(7, -1);
	ck_assert_uint_eq(of("web-1", "us"), 6);
}
END_TEST

START_TEST(a_percentage_in_front_comes_before_the_default)
{
	percent(2, PERCENT_ALL, 1);
	rule(1, 0);
	ck_assert_uint_eq(of("web-1", NULL), 2);
	/* Who does not say who he is is in no share, not even in all of it. */
	ck_assert_uint_eq(of("", NULL), 1);
	rules.r[0].percent_bp = 0;
	ck_assert_uint_eq(of("web-1", NULL), 1);
	/* Behind the default of the same priority it never wins. */
	rules = (struct rules){ 0 };
	rule(1, 0);
	percent(2, PERCENT_ALL, 1);
	ck_assert_uint_eq(of("web-1", NULL), 1);
}
END_TEST

START_TEST(labels_nodes_and_share_must_all_match)
{
	struct rule *r = percent(2, PERCENT_ALL, 1);

	label(r, "zone", "eu");
	rule_add_node(arena, r, STR("web-1"));
	rule_add_node(arena, r, STR("web-2"));
	rule(1, 0);
	ck_assert_uint_eq(of("web-2", "eu"), 2);
	ck_assert_uint_eq(of("web-3", "eu"), 1);
	ck_assert_uint_eq(of("web-2", "us"), 1);
	ck_assert_uint_eq(of("", "eu"), 1);
	rules.r[0].percent_bp = 0;
	ck_assert_uint_eq(of("web-2", "eu"), 1);
}
END_TEST

/* Of releases the newest that picks it, whatever is preferred of rules of people. */
START_TEST(a_client_gets_one_release)
{
	struct client c = client("web-7", "eu"), other = client("web-8", "eu");
	struct rule *r;

	r = rule(2, 9);
	r->release = 20;
	rule_add_node(arena, r, STR("web-7"));
	percent(3, PERCENT_ALL, 5)->release = 30;
	rule(1, 0);
	ck_assert_uint_eq(picked(&c), 3);
	ck_assert_int_eq(rules_pick_release(&rules, &c), 1);
	rules.r[1].version = 0;
	ck_assert_uint_eq(picked(&c), 1);
	ck_assert_int_eq(rules_pick_release(&rules, &c), 1);
	rules.r[1].percent_bp = 0;
	ck_assert_uint_eq(picked(&c), 2);
	ck_assert_uint_eq(picked(&other), 1);
	ck_assert_int_eq(rules_pick_release(&rules, &other), -1);
	/* What people say comes before or behind as it always did. */
	r = rule(4, 9);
	rule_add_node(arena, r, STR("web-7"));
	label(r, "zone", "eu");
	ck_assert_uint_eq(picked(&c), 4);
	rules.r[3].priority = 8;
	ck_assert_uint_eq(picked(&c), 2);
	/* Of two that are equal the first. */
	rules.r[3] = rules.r[0];
	rules.r[3].version = 5;
	rules.r[3].release = 0;
	ck_assert_uint_eq(picked(&c), 2);
}
END_TEST

START_TEST(the_default_is_of_nobody)
{
	ck_assert_int_eq(rules_default(&rules), -1);
	rule(9, 5)->release = 3;
	label(rule(2, 7), "zone", "eu");
	percent(3, 1, 1);
	rule_add_node(arena, rule(4, 0), STR("web-1"));
	ck_assert_int_eq(rules_default(&rules), -1);
	rule(5, 0);
	rule(6, 1);
	rule(7, 1);
	ck_assert_int_eq(rules_default(&rules), 5);
}
END_TEST

START_TEST(buckets_are_as_they_are_written_down)
{
	uint8_t salt[SALT_SIZE];
	char big[201];

	for (unsigned i = 0; i < SALT_SIZE; i++)
		salt[i] = (uint8_t)i;
	memset(big, 'x', 200);
	big[200] = '\0';
	/* Computed with another program. */
	ck_assert_uint_eq(rules_bucket(salt, STR("web-7")), 8455);
	ck_assert_uint_eq(rules_bucket(salt, STR("a")), 2888u);
	ck_assert_uint_eq(rules_bucket(salt, str_of(big)), 1003);
	/* To the client below, and to no other. */
	percent(2, 2888u + 1, 0);
	memcpy(rules.r[0].salt, salt, SALT_SIZE);
	rule(1, 0);
	ck_assert_uint_eq(of("a", NULL), 2);
	rules.r[0].percent_bp = 2888u;
	ck_assert_uint_eq(of("a", NULL), 1);
}
END_TEST

/* How many of the clients are in, who stay in as the share grows. */
START_TEST(cohorts_are_sticky_grow_and_have_their_share)
{
	static const uint32_t shares[] = { 0, 100, 1000, 5000, PERCENT_ALL };
	static uint8_t in[CLIENTS];
	AUTO_BUF b = BUF_NONE;
	struct client c = { 0 };
	unsigned position;
	char id[24];

	for (size_t s = 0; s < ARRAY_LEN(shares); s++) {
		unsigned n = 0, left = 0;

		rules = (struct rules){ 0 };
		percent(2, shares[s], 0x5a);
		rule(1, 0);
		buf_reset(&b);
		rules_encode(&b, &rules);
		for (unsigned i = 0; i < CLIENTS; i++) {
			struct rule r;

			snprintf(id, sizeof(id), "instance-%u", i);
			c.id = str_of(id);
			must(rules_pick_encoded(buf_view(&b), &c, &r, &position));
			left += r.version != 2 && in[i];
			in[i] = r.version == 2;
			n += in[i];
		}
		ck_assert_uint_eq(left, 0);
		/* Within 1% of all. */
		ck_assert_msg(n <= CLIENTS / PERCENT_ALL * shares[s] + CLIENTS / 100 &&
			      n + CLIENTS / 100 >= CLIENTS / PERCENT_ALL * shares[s],
			      "%u of %u at %u", n, CLIENTS, shares[s]);
		if (s == 0)
			ck_assert_uint_eq(n, 0);
	}
	ck_assert_ptr_null(memchr(in, 0, CLIENTS));
}
END_TEST

/* Each rule by its own salt, whatever stands before it. */
START_TEST(shares_of_several_releases_at_once)
{
	unsigned got[5] = { 0 };
	char id[24];

	percent(2, 3000, 1);
	percent(3, 3000, 2);
	percent(4, 6000, 1);
	rule(1, 0);
	for (unsigned i = 0; i < 400; i++) {
		snprintf(id, sizeof(id), "instance-%u", i);
		got[of(id, NULL)]++;
	}
	/* 30%, 30% of the rest, 3 of 7 of that, and what is left. */
	ck_assert_uint_gt(got[2], 80);
	ck_assert_uint_gt(got[3], 50);
	ck_assert_uint_gt(got[4], 50);
	ck_assert_uint_gt(got[1], 70);
}
END_TEST

/* Being in the tenth of one release says nothing about the next. */
START_TEST(releases_draw_for_themselves)
{
	uint8_t one[SALT_SIZE] = { 1 }, two[SALT_SIZE] = { 2 };
	unsigned both = 0, first = 0;
	char id[24];

	for (unsigned i = 0; i < CLIENTS; i++) {
		bool a, b;

		snprintf(id, sizeof(id), "instance-%u", i);
		a = rules_bucket(one, str_of(id)) < 2000;
		b = rules_bucket(two, str_of(id)) < 3000;
		first += a;
		both += a && b;
	}
	/* 6% of all, and 30% of those in the first. */
	ck_assert_uint_le(both, CLIENTS * 7 / 100);
	ck_assert_uint_ge(both, CLIENTS * 5 / 100);
	ck_assert_uint_le(both, first * 32 / 100);
	ck_assert_uint_ge(both, first * 28 / 100);
}
END_TEST

/* ---- bytes ---- */

static struct str encoded(void)
{
	AUTO_BUF b = BUF_NONE;

	rules_encode(&b, &rules);
	return arena_str(arena, buf_view(&b));
}

static bool same_rule(const struct rule *a, const struct rule *b)
{
	if (a->n_nodes != b->n_nodes)
		return false;
	for (size_t i = 0; i < a->n_nodes; i++)
		if (!str_eq(a->nodes[i], b->nodes[i]))
			return false;
	return a->priority == b->priority && a->version == b->version &&
	       a->size == b->size && sha256_eq(&a->sha, &b->sha) &&
	       labels_eq(&a->labels, &b->labels) &&
	       a->has_percent == b->has_percent &&
	       a->percent_bp == b->percent_bp &&
	       memcmp(a->salt, b->salt, SALT_SIZE) == 0 &&
	       a->release == b->release;
}

static void comes_back(void)
{
	struct str bytes = encoded();
	struct rules back;

	ck_assert(rules_decode(arena, bytes, &back));
	ck_assert_uint_eq(back.n, rules.n);
	for (size_t i = 0; i < rules.n; i++)
		ck_assert(same_rule(&back.r[i], &rules.r[i]));
	for (size_t n = 0; n < bytes.n; n++)
		ck_assert(!rules_decode(arena, str_first(bytes, n), &back));
}

START_TEST(rules_come_back)
{
	comes_back();
	label(rule(2, -5), "zone", "eu");
	rule(1, 0);
	comes_back();
	ck_assert_uint_eq((uint8_t)encoded().p[0], 2);   /* the form of before */
	percent(3, 1250, 7)->release = 12;
	comes_back();
	rule_add_node(arena, rule(4, 0), STR("web-1"));
	rule_add_node(arena, &rules.r[3], STR("web-2"));
	comes_back();
	rule(5, 9)->release = 1;
	comes_back();
}
END_TEST

START_TEST(the_wide_form_is_refused_by_who_does_not_know_it)
{
	struct rd rd;

	rule(1, 0)->release = 4;
	rd = rd_of(encoded());
	/* What a program of before reads as the number of rules. */
	ck_assert_uint_gt(rd_var(&rd), RULES_MAX);
}
END_TEST

START_TEST(bytes_that_are_no_rules)
{
	AUTO_BUF b = BUF_NONE;
	struct rules back;

	/* The wide form with nothing in it that needs it. */
	wr_var(&b, RULES_WIDE);
	wr_var(&b, 0);
	ck_assert(!rules_decode(arena, buf_view(&b), &back));
	buf_reset(&b);
	wr_var(&b, RULES_MAX + 1);
	ck_assert(!rules_decode(arena, buf_view(&b), &back));
	/* A share of more than all. */
	percent(2, PERCENT_ALL, 1);
	rules.r[0].percent_bp = PERCENT_ALL + 1;
	ck_assert(!rules_decode(arena, encoded(), &back));
	/* Bytes behind the end. */
	rules.r[0].percent_bp = 1;
	buf_reset(&b);
	buf_str(&b, encoded());
	ck_assert(rules_decode(arena, buf_view(&b), &back));
	buf_c(&b, '\0');
	ck_assert(!rules_decode(arena, buf_view(&b), &back));
}
END_TEST

START_TEST(those_of_a_release_go_together)
{
	struct rule *r;

	rule(1, 0);
	rule(2, 0)->release = 7;
	rule(3, 0)->release = 8;
	rule(4, 0)->release = 7;
	r = rules_add_at(arena, &rules, 0);
	r->version = 9;
	ck_assert_uint_eq(rules.r[1].version, 1);
	ck_assert_uint_eq(rules_drop_release(&rules, 7), 2);
	ck_assert_uint_eq(rules.n, 3);
	ck_assert_uint_eq(rules.r[0].version, 9);
	ck_assert_uint_eq(rules.r[1].version, 1);
	ck_assert_uint_eq(rules.r[2].version, 3);
	ck_assert_uint_eq(rules_drop_release(&rules, 7), 0);
}
END_TEST

static void is_refused(bool yes)
{
	struct err err = { 0 };

	ck_assert_int_eq(rules_check(&rules, &err), yes ? E_UNPROCESSABLE : OK);
}

START_TEST(what_rules_may_not_be)
{
	percent(2, 1000, 1);
	percent(3, 2000, 1);
	percent(2, 1000, 2);
	rule(1, 0);
	rule(1, 0)->release = 1;
	is_refused(false);
	percent(9, 1000, 1);
	is_refused(true);
	rules.n--;
	rule(1, 0);
	is_refused(true);
	rules.n--;
	rule_add_node(arena, rule(1, 0), STR(""));
	is_refused(true);
	rules.n--;
	rule(1, 4);
	for (unsigned i = 0; i <= RULE_NODES_MAX; i++) {
		is_refused(false);
		rule_add_node(arena, &rules.r[rules.n - 1], STR("n"));
	}
	is_refused(true);
}
END_TEST

/* ---- texts ---- */

static const struct row {
	const char *text;
	bool is_one;
	uint32_t bp;
	bool is_exact;
	const char *back;
} percents[] = {
	{ "0", true, 0, true, "0" },
	{ "100", true, 10000, true, "100" },
	{ "1e2", true, 10000, true, "100" },
	{ "12.5", true, 1250, true, "12.5" },
	{ "0.01", true, 1, true, "0.01" },
	{ "0.10", true, 10, true, "0.1" },
	{ "99.99", true, 9999, true, "99.99" },
	{ "33.333", true, 3333, false, "33.33" },
	{ "0.001", true, 0, false, "0" },
	{ "1e-40", true, 0, false, "0" },
	{ "100.01", false, 0, false, NULL },
	{ "100.001", false, 0, false, NULL },
	{ "101", false, 0, false, NULL },
	{ "1e40", false, 0, false, NULL },
	{ "-1", false, 0, false, NULL },
	{ "-0.5", false, 0, false, NULL },
	{ "-1e-40", false, 0, false, NULL },
	{ "\"10\"", false, 0, false, NULL },
	{ "null", false, 0, false, NULL },
};

START_TEST(percentages)
{
	const struct row *row = &percents[_i];
	AUTO_BUF back = BUF_NONE;
	struct value *v;
	struct err err;
	uint32_t bp = 77777;
	bool is_exact = false;

	ck_assert_int_eq(doc_parse_json(str_of(row->text), arena, NULL, &v, &err),
			 OK);
	ck_assert_msg(percent_read(v, &bp, &is_exact) == row->is_one, "%s",
		      row->text);
	if (!row->is_one)
		return;
	ck_assert_uint_eq(bp, row->bp);
	ck_assert_int_eq(is_exact, row->is_exact);
	percent_text(&back, bp);
	ck_assert(str_eq(buf_view(&back), str_of(row->back)));
}
END_TEST

START_TEST(names_of_releases)
{
	char name[RELEASE_NAME_MAX];

	release_name(name, 12);
	ck_assert_str_eq(name, "r-000000000012");
	ck_assert_uint_eq(release_number(str_of(name)), 12);
	release_name(name, UINT64_MAX);
	ck_assert_uint_eq(release_number(str_of(name)), UINT64_MAX);
	ck_assert_uint_eq(release_number(STR("r-12")), 0);
	ck_assert_uint_eq(release_number(STR("r-00000000001x")), 0);
	ck_assert_uint_eq(release_number(STR("x-000000000012")), 0);
	ck_assert_uint_eq(release_number(STR("")), 0);
}
END_TEST

START_TEST(as_json)
{
	AUTO_BUF out = BUF_NONE;
	struct rule *r = percent(3, 1250, 0xab);

	r->release = 12;
	rule_add_node(arena, r, STR("web-1"));
	label(r, "zone", "eu");
	rule(1, 0);
	rules_json(&out, &rules);
	ck_assert_str_eq(out.p,
		"[{\"labels\":{\"zone\":\"eu\"},\"priority\":0,\"version_id\":3,"
		"\"nodes\":[\"web-1\"],\"percent\":12.5,"
		"\"salt\":\"abababababababababababababababab\","
		"\"release\":\"r-000000000012\"},"
		"{\"labels\":{},\"priority\":0,\"version_id\":1}]");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model/rules");
	TCase *t = tcase_create("rules");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_order_of_rules);
	tcase_add_test(t, a_percentage_in_front_comes_before_the_default);
	tcase_add_test(t, labels_nodes_and_share_must_all_match);
	tcase_add_test(t, a_client_gets_one_release);
	tcase_add_test(t, the_default_is_of_nobody);
	tcase_add_test(t, buckets_are_as_they_are_written_down);
	tcase_add_test(t, cohorts_are_sticky_grow_and_have_their_share);
	tcase_add_test(t, releases_draw_for_themselves);
	tcase_add_test(t, shares_of_several_releases_at_once);
	tcase_add_test(t, rules_come_back);
	tcase_add_test(t, the_wide_form_is_refused_by_who_does_not_know_it);
	tcase_add_test(t, bytes_that_are_no_rules);
	tcase_add_test(t, those_of_a_release_go_together);
	tcase_add_test(t, what_rules_may_not_be);
	tcase_add_loop_test(t, percentages, 0, ARRAY_LEN(percents));
	tcase_add_test(t, names_of_releases);
	tcase_add_test(t, as_json);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
