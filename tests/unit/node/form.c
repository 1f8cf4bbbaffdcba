/* How nodes without data form a cluster, on a network that a test is: each asks,
 * whom it can reach, what it says. */
#include "unit.h"

#include "node/form.h"

#include "base/banned.h"

#define NODES 6

static struct node {
	struct founder self;
	uint32_t expect;
	struct form *form;
	bool is_up;
	/* On its disk. */
	bool is_formed;
	struct form_outcome has;
} nodes[NODES + 1];
static uint64_t now;
static bool cut[NODES + 1][NODES + 1];
static struct prng prng;
static unsigned fresh_ids;

static struct uuid fresh(void)
{
	struct uuid id = { { 0xc0, (uint8_t)(++fresh_ids >> 8),
			     (uint8_t)fresh_ids } };

	return id;
}

static void wipe(unsigned id)
{
	static unsigned incarnations;
	struct node *n = &nodes[id];

	n->self = (struct founder){ .id = id };
	n->self.incarnation.b[0] = (uint8_t)++incarnations;
	n->self.incarnation.b[1] = (uint8_t)(incarnations >> 8);
	n->self.incarnation.b[15] = 1;
	n->self.address[0] = (char)('a' + id);
	n->is_formed = false;
}

static void start(unsigned id)
{
	struct node *n = &nodes[id];
	struct form_config c = { .self = n->self, .expect = n->expect };

	n->is_up = true;
	form_free(&n->form);
	if (!n->is_formed)
		n->form = form_new(&c);
}

static void stop(unsigned id)
{
	nodes[id].is_up = false;
	form_free(&nodes[id].form);
}

static void setup(void)
{
	now = 100000;
	prng_init(&prng, 7);
	memset(cut, 0, sizeof(cut));
	for (unsigned i = 1; i <= NODES; i++) {
		wipe(i);
		nodes[i].expect = 3;
		nodes[i].is_up = false;
	}
}

static void teardown(void)
{
	for (unsigned i = 1; i <= NODES; i++)
		stop(i);
}

static void statement_of(const struct node *n, struct form_statement *s)
{
	if (n->form) {
		form_state(n->form, s);
		return;
	}
	memset(s, 0, sizeof(*s));
	s->self = n->self;
	s->phase = FORM_FORMED;
	s->cluster = n->has.cluster;
	s->n_founders = n->has.n_founders;
	memcpy(s->founders, n->has.founders, sizeof(s->founders));
	/* The founders are the members, as long as nobody changes that. */
	s->n_members = n->has.n_founders;
	memcpy(s->members, n->has.founders, sizeof(n->has.founders));
}

static void step(unsigned id)
{
	struct node *n = &nodes[id];
	struct form_outcome out;
	struct uuid cluster = fresh();

	if (!n->form || form_step(n->form, now, &cluster, &out) == FORM_WAIT)
		return;
	ck_assert(!n->is_formed);
	n->is_formed = true;
	n->has = out;
	form_free(&n->form);
}

/* One question and its answer, over the wire. */
static void ask(unsigned id, unsigned whom)
{
	struct form_statement s;
	AUTO_BUF bytes = BUF_NONE;
	struct err err;

	if (!nodes[id].form || !nodes[whom].is_up || cut[id][whom])
		return;
	statement_of(&nodes[whom], &s);
	form_encode(&bytes, &s);
	memset(&s, 0xff, sizeof(s));
	ck_assert_int_eq(form_decode(buf_view(&bytes), &s, &err), OK);
	form_hear(nodes[id].form, now, &s);
}

static void round_of(unsigned id)
{
	for (unsigned whom = 1; whom <= NODES; whom++)
		if (nodes[id].is_up)
			ask(id, whom);
	if (nodes[id].is_up)
		step(id);
}

static void rounds(unsigned n)
{
	while (n--) {
		for (unsigned id = 1; id <= NODES; id++)
			round_of(id);
		now += 200;
	}
}

static bool one_cluster(unsigned from, unsigned to)
{
	for (unsigned i = from; i <= to; i++)
		if (!nodes[i].is_formed ||
		    !uuid_eq(&nodes[i].has.cluster, &nodes[from].has.cluster) ||
		    nodes[i].has.n_founders != nodes[from].has.n_founders ||
		    memcmp(nodes[i].has.founders, nodes[from].has.founders,
			   sizeof(nodes[i].has.founders)) != 0)
			return false;
	return true;
}

static bool says(unsigned id, const char *what)
{
	return strstr(form_waits_for(nodes[id].form), what) != NULL;
}

START_TEST(all_that_are_expected_form_one)
{
	start(1);
	rounds(5);
	start(3);
	rounds(30);
	ck_assert(!nodes[1].is_formed && !nodes[3].is_formed);
	ck_assert(says(1, "2 of 3 nodes are there"));
	start(2);
	rounds(5);
	ck_assert(one_cluster(1, 3));
	ck_assert_uint_eq(nodes[3].has.n_founders, 3);
	ck_assert_uint_eq(nodes[3].has.founders[0].id, 1);
}
END_TEST

START_TEST(a_node_alone)
{
	nodes[2].expect = 1;
	start(2);
	rounds(1);
	ck_assert(nodes[2].is_formed);
	ck_assert_uint_eq(nodes[2].has.n_founders, 1);
}
END_TEST

START_TEST(more_than_expected_form_nothing)
{
	for (unsigned i = 1; i <= 4; i++)
		start(i);
	rounds(20);
	for (unsigned i = 1; i <= 4; i++)
		ck_assert(!nodes[i].is_formed);
	ck_assert(says(4, "3 nodes are expected, and 4 are there"));
}
END_TEST

START_TEST(they_expect_the_same)
{
	nodes[2].expect = 2;
	for (unsigned i = 1; i <= 3; i++)
		start(i);
	rounds(20);
	for (unsigned i = 1; i <= 3; i++)
		ck_assert(!nodes[i].is_formed);
	ck_assert(says(1, "node 2 expects 2 nodes, and this one 3"));
}
END_TEST

/* Two that were wiped do not found anew while the third has the data, nor
 * without it. */
START_TEST(the_wiped_found_nothing)
{
	for (unsigned i = 1; i <= 3; i++)
		start(i);
	rounds(5);
	ck_assert(one_cluster(1, 3));
	for (unsigned i = 1; i <= 2; i++) {
		stop(i);
		wipe(i);
		start(i);
	}
	rounds(20);
	ck_assert(!nodes[1].is_formed && !nodes[2].is_formed);
	ck_assert(says(1, "had another data directory"));
	stop(3);
	rounds(40);
	/* Also where somebody else makes three of them. */
	start(4);
	rounds(40);
	ck_assert(!nodes[1].is_formed && !nodes[2].is_formed &&
		  !nodes[4].is_formed);
	/* And after a restart, in which they forget whom they have met: one is
	 * still missing. */
	stop(4);
	start(1);
	start(2);
	rounds(40);
	ck_assert(!nodes[1].is_formed && !nodes[2].is_formed);
	ck_assert(says(1, "2 of 3 nodes are there"));
}
END_TEST

START_TEST(two_under_one_id)
{
	for (unsigned i = 1; i <= 3; i++)
		start(i);
	nodes[3].self.id = 2;
	start(3);
	rounds(20);
	ck_assert(!nodes[1].is_formed && !nodes[2].is_formed);
	ck_assert(says(1, "two nodes say that they are node 2"));
}
END_TEST

/* It decides by its own disk; the others hear of it later. */
START_TEST(a_crash_behind_the_decision)
{
	for (unsigned i = 1; i <= 3; i++)
		start(i);
	while (!nodes[1].is_formed)
		round_of(1), round_of(2), round_of(3), now += 200;
	/* Nobody heard of it; one has been started anew. */
	stop(1);
	nodes[2].is_formed = nodes[3].is_formed = false;
	start(2);
	start(3);
	rounds(40);
	ck_assert(!nodes[2].is_formed && !nodes[3].is_formed);
	start(1);
	rounds(3);
	ck_assert(one_cluster(1, 3));
}
END_TEST

START_TEST(a_crash_before_the_decision)
{
	for (unsigned i = 1; i <= 3; i++)
		start(i);
	/* 2 and 3 follow, and 1 does not hear of it any more. */
	cut[1][3] = true;
	round_of(1), round_of(2), round_of(1), round_of(2), round_of(3);
	stop(1);
	rounds(40);
	ck_assert(!nodes[2].is_formed && !nodes[3].is_formed);
	cut[1][3] = false;
	wipe(1);
	start(1);
	rounds(6);
	ck_assert(one_cluster(1, 3));
}
END_TEST

START_TEST(by_hand)
{
	for (unsigned i = 1; i <= 3; i++) {
		nodes[i].expect = 0;
		start(i);
	}
	rounds(20);
	ck_assert(!nodes[1].is_formed);
	ck_assert(says(2, "3 nodes are there; how many found"));
	form_expect(nodes[2].form, now, 0);
	rounds(6);
	ck_assert(one_cluster(1, 3));
}
END_TEST

/* A node that is awaited is taken in; another is not. */
START_TEST(who_is_awaited_joins)
{
	struct form_outcome out;
	struct form_statement s = { .self = { .id = 1 }, .phase = FORM_FORMED,
				    .n_members = 2 };
	struct uuid cluster = fresh();

	s.self.incarnation = nodes[1].self.incarnation;
	s.cluster = fresh();
	s.members[0] = nodes[1].self;
	s.members[1].id = 4;
	start(4);
	start(5);
	form_hear(nodes[4].form, now, &s);
	form_hear(nodes[5].form, now, &s);
	ck_assert_int_eq(form_step(nodes[4].form, now, &cluster, &out), FORM_JOIN);
	ck_assert(uuid_eq(&out.cluster, &s.cluster));
	ck_assert_uint_eq(out.n_founders, 0);
	ck_assert_uint_eq(out.n_members, 2);
	ck_assert_int_eq(form_step(nodes[5].form, now, &cluster, &out), FORM_WAIT);
	ck_assert(says(5, "node 5 is no member of it"));
}
END_TEST

/* Any order, any loss, crashes at any time: at most one cluster of these, and one
 * when it is quiet. */
static void one_history(uint64_t seed)
{
	prng_init(&prng, seed);
	for (unsigned k = 0; k < 400; k++) {
		unsigned a = 1 + (unsigned)prng_below(&prng, 3);
		unsigned b = 1 + (unsigned)prng_below(&prng, 3);

		if (prng_chance(&prng, 30000))
			stop(a);
		else if (prng_chance(&prng, 200000) && !nodes[a].is_up)
			start(a);
		if (prng_chance(&prng, 100000))
			cut[a][b] = !cut[a][b];
		if (nodes[a].is_up)
			ask(a, b), step(a);
		now += prng_below(&prng, 300);
		for (unsigned i = 1; i <= 3; i++)
			for (unsigned j = 1; j < i; j++)
				ck_assert(!nodes[i].is_formed ||
					  !nodes[j].is_formed ||
					  uuid_eq(&nodes[i].has.cluster,
						  &nodes[j].has.cluster));
	}
	memset(cut, 0, sizeof(cut));
	for (unsigned i = 1; i <= 3; i++)
		if (!nodes[i].is_up)
			start(i);
	rounds(10);
	ck_assert_msg(one_cluster(1, 3), "seed %llu", (unsigned long long)seed);
}

START_TEST(chaos)
{
	for (uint64_t seed = 0; seed < 150; seed++) {
		teardown();
		setup();
		one_history(seed);
	}
}
END_TEST

START_TEST(statements_that_are_none)
{
	struct form_statement s = { .self = { .id = 3 }, .phase = FORM_FORMED,
				    .n_founders = 1, .n_members = 1 };
	AUTO_BUF bytes = BUF_NONE;
	struct err err;

	s.founders[0].id = s.members[0].id = 3;
	form_encode(&bytes, &s);
	for (size_t n = 0; n < bytes.n; n++)
		ck_assert_int_eq(form_decode(str_n(bytes.p, n), &s, &err),
				 E_INVALID);
	ck_assert_int_eq(form_decode(buf_view(&bytes), &s, &err), OK);
	buf_z(&bytes, "later versions add");
	ck_assert_int_eq(form_decode(buf_view(&bytes), &s, &err), OK);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/form");
	TCase *t = tcase_create("form");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, all_that_are_expected_form_one);
	tcase_add_test(t, a_node_alone);
	tcase_add_test(t, more_than_expected_form_nothing);
	tcase_add_test(t, they_expect_the_same);
	tcase_add_test(t, the_wiped_found_nothing);
	tcase_add_test(t, two_under_one_id);
	tcase_add_test(t, a_crash_behind_the_decision);
	tcase_add_test(t, a_crash_before_the_decision);
	tcase_add_test(t, by_hand);
	tcase_add_test(t, who_is_awaited_joins);
	tcase_add_test(t, chaos);
	tcase_add_test(t, statements_that_are_none);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
