/* What the leader makes of reports: by table, and one thing after another. */
#include "unit.h"

#include "fleet/gather.h"

#include "base/banned.h"

#define RELEASE 17
#define BAKE 1000
#define STEP 2
#define ALONE (FLEET_EVER)               /* it was connected, and is not */
#define HERE (FLEET_EVER | FLEET_CONNECTED)
#define EARLY FLEET_MEMBER
#define LATE (FLEET_MEMBER | FLEET_LATE)
#define SAYS_NO (FLEET_REJECTED | FLEET_SPOKE)

struct changes {
	unsigned n, urgent;
};

static void changed(void *data, uint64_t release, bool is_urgent)
{
	struct changes *c = data;

	ck_assert_uint_eq(release, RELEASE);
	c->n++;
	c->urgent += is_urgent;
}

/* One record; sets are of the first eight configurations. */
struct said {
	const char *instance;
	unsigned flags, step;
	unsigned char wants, sent, got, applied;
	uint64_t age_ms;
};

static struct bits bits_of(unsigned char b)
{
	struct bits bits = { 0 };

	for (unsigned i = 0; i < 8; i++)
		if (b >> i & 1)
			bits_set(&bits, i);
	return bits;
}

/* With when it said so, and what it rejected. */
struct spoke {
	struct said said;
	uint64_t said_age_ms;
	unsigned char refused;
	/* How long before that it spoke of each that it applied or rejected. */
	uint64_t before_ms[8];
};

static void add_spoke(struct buf *report, const struct spoke *spoke)
{
	const struct said *s = &spoke->said;
	struct fleet_record r = {
		.flags = s->flags, .step = s->step, .version = 5,
		.wants = bits_of(s->wants), .sent = bits_of(s->sent),
		.got = bits_of(s->got), .applied = bits_of(s->applied),
		.refused = bits_of(spoke->refused),
		.reason = s->flags & FLEET_REJECTED ? STR("no port") : STR_NONE,
	};
	AUTO_BUF body = BUF_NONE;
	AUTO_BUF said = BUF_NONE;

	for (unsigned i = 0; i < 8; i++)
		if ((s->applied | spoke->refused) >> i & 1)
			wr_var(&said, spoke->before_ms[i]);
	r.said = buf_view(&said);
	record_body(&body, &r);
	report_record(report, RELEASE, str_of(s->instance), s->age_ms,
		      spoke->said_age_ms, buf_view(&body));
}

static void add(struct buf *report, const struct said *s)
{
	add_spoke(report, &(struct spoke){ .said = *s });
}

static bool take(struct gather *g, uint64_t node, const struct buf *report,
		 uint64_t now_ms, struct changes *c)
{
	struct changes none = { 0 };
	AUTO_BUF answer = BUF_NONE;
	uint64_t session;
	struct err err;
	bool again;

	ck_assert_int_eq(gather_take(g, node, buf_view(report), now_ms, &answer,
				     changed, c ? c : &none, &err), OK);
	ck_assert(report_answer_decode(buf_view(&answer), &again, &session));
	ck_assert_uint_eq(session, gather_session(g));
	return !again;
}

static struct gather *leader(uint64_t expected)
{
	struct gather_rules rules = { STEP, expected, BAKE, 1 };
	struct gather *g = gather_new(100);

	gather_reset(g, 9, 0);
	gather_expect(g, RELEASE, &rules);
	return g;
}

/* What one instance counts for, at 10,000 ms. */
static const struct {
	struct said said;
	enum fleet_state state;
	struct tally t;                  /* of one expected */
} table[] = {
	/* Picked and connected: nothing was sent yet. */
	{ { "a", HERE | EARLY, STEP, 1, 0, 0, 0, 0 }, FLEET_IS_PENDING,
	  { .known = 1, .total = 1, .pending = 1 } },
	{ { "a", HERE | EARLY, STEP, 1, 1, 0, 0, 0 }, FLEET_IS_SENT,
	  { .known = 1, .total = 1, .sent = 1, .pending = 1 } },
	{ { "a", HERE | EARLY, STEP, 1, 1, 1, 0, 0 }, FLEET_IS_RECEIVED,
	  { .known = 1, .total = 1, .sent = 1, .received = 1, .pending = 1 } },
	{ { "a", HERE | EARLY, STEP, 1, 1, 1, 1, 0 }, FLEET_IS_APPLIED,
	  { .known = 1, .total = 1, .sent = 1, .received = 1, .applied = 1 } },
	/* Two configurations, of which it has one. */
	{ { "a", HERE | EARLY, STEP, 3, 1, 1, 1, 0 }, FLEET_IS_RECEIVED,
	  { .known = 1, .total = 1, .sent = 1, .received = 1, .pending = 1 } },
	/* Applied, and gone since. */
	{ { "a", ALONE | EARLY, STEP, 0, 1, 1, 1, 5000 }, FLEET_IS_APPLIED,
	  { .known = 1, .total = 1, .sent = 1, .received = 1, .applied = 1 } },
	{ { "a", HERE | EARLY | FLEET_REJECTED, STEP, 1, 1, 1, 0, 0 },
	  FLEET_IS_REJECTED,
	  { .known = 1, .total = 1, .sent = 1, .received = 1, .rejected = 1 } },
	/* Sent it and gone: a moment ago, or for the bake time. */
	{ { "a", ALONE | EARLY, STEP, 0, 1, 0, 0, BAKE - 1 }, FLEET_IS_SENT,
	  { .known = 1, .total = 1, .sent = 1, .pending = 1,
	    .next_lost_ms = 10001 } },
	{ { "a", ALONE | EARLY, STEP, 0, 1, 0, 0, BAKE }, FLEET_IS_LOST,
	  { .known = 1, .total = 1, .sent = 1, .lost = 1 } },
	/* Gone before it was sent: it is not waited for. */
	{ { "a", ALONE | EARLY, STEP, 0, 0, 0, 0, 5000 }, FLEET_IS_DEFERRED,
	  { .known = 1, .deferred = 1 } },
	/* As one that other labels made no member of it any more. */
	{ { "a", HERE | EARLY, STEP, 0, 0, 0, 0, 0 }, FLEET_IS_DEFERRED,
	  { .known = 1, .deferred = 1 } },
	/* It was gone already when the step began. */
	{ { "a", ALONE | EARLY, STEP - 1, 0, 0, 0, 0, 5000 }, FLEET_IS_DEFERRED,
	  { .total = 1 } },
	/* Sent by a step before. */
	{ { "a", ALONE | LATE, STEP - 1, 0, 1, 0, 0, 0 }, FLEET_IS_SENT,
	  { .known = 1, .total = 1, .sent = 1, .pending = 1,
	    .next_lost_ms = 11000 } },
	/* Came later: counts with what it says, and not before. */
	{ { "a", HERE | LATE, STEP, 1, 1, 0, 0, 0 }, FLEET_IS_SENT,
	  { .known = 1, .total = 1 } },
	{ { "a", HERE | LATE, STEP, 1, 1, 1, 1, 0 }, FLEET_IS_APPLIED,
	  { .known = 1, .total = 1, .sent = 1, .received = 1, .applied = 1 } },
	{ { "a", ALONE | LATE, STEP, 0, 1, 0, 0, BAKE }, FLEET_IS_LOST,
	  { .known = 1, .total = 1, .sent = 1, .lost = 1 } },
	/* It asks now and then, and never watched: nobody waits for it. */
	{ { "a", 0, 0, 0, 1, 0, 0, 5000 }, FLEET_IS_SENT,
	  { .known = 0, .total = 1 } },
	{ { "a", FLEET_REJECTED, 0, 0, 1, 1, 0, 0 }, FLEET_IS_REJECTED,
	  { .known = 0, .total = 1, .sent = 1, .received = 1, .rejected = 1 } },
};

static void same_tally(const struct tally *a, const struct tally *b)
{
	ck_assert_uint_eq(a->known, b->known);
	ck_assert_uint_eq(a->deferred, b->deferred);
	ck_assert_uint_eq(a->total, b->total);
	ck_assert_uint_eq(a->sent, b->sent);
	ck_assert_uint_eq(a->received, b->received);
	ck_assert_uint_eq(a->applied, b->applied);
	ck_assert_uint_eq(a->rejected, b->rejected);
	ck_assert_uint_eq(a->lost, b->lost);
	ck_assert_uint_eq(a->pending, b->pending);
	ck_assert_uint_eq(a->doubtful, b->doubtful);
	ck_assert_uint_eq(a->next_lost_ms, b->next_lost_ms);
}

static enum fleet_state state_of_first(struct gather *g)
{
	AUTO_BUF rows = BUF_NONE;
	struct fleet_row row;
	struct err err;
	struct rd rd;
	bool more;

	gather_list(g, RELEASE, STR_NONE, 10, 10000, &rows, &more);
	ck_assert(!more);
	rd = rd_of(buf_view(&rows));
	ck_assert_int_eq(list_next(&rd, &row, &err), OK);
	return row.state;
}

START_TEST(one_instance)
{
	struct gather *g = leader(1);
	AUTO_BUF report = BUF_NONE;
	struct tally t;

	report_start(&report, 1, 9, true);
	add(&report, &table[_i].said);
	ck_assert(take(g, 1, &report, 10000, NULL));
	gather_tally(g, RELEASE, 10000, &t);
	ck_assert_int_eq(state_of_first(g), table[_i].state);
	same_tally(&t, &table[_i].t);
	ck_assert_int_eq(tally_is_gathered(&t), table[_i].t.known == 1);
	gather_free(&g);
}
END_TEST

START_TEST(what_was_never_heard_of_says_nothing)
{
	struct gather *g = leader(10);
	struct said s = { "a", HERE | EARLY, STEP, 1, 1, 1, 1, 0 };
	AUTO_BUF report = BUF_NONE;
	struct tally t;

	report_start(&report, 1, 9, true);
	add(&report, &s);
	ck_assert(take(g, 1, &report, 10000, NULL));
	gather_tally(g, RELEASE, 10000, &t);
	ck_assert_uint_eq(t.known, 1);
	ck_assert_uint_eq(t.total, 10);
	ck_assert_uint_eq(t.applied, 1);
	ck_assert(!tally_is_gathered(&t));
	gather_free(&g);
}
END_TEST

/* It says at one node what it got from another, and its old watch ends last. */
START_TEST(one_that_moves_is_one)
{
	const struct said at_first[] = {
		{ "a", HERE | EARLY, STEP, 3, 3, 0, 0, 0 },
		{ "a", ALONE | EARLY, STEP, 0, 3, 0, 0, 0 },
	};
	const struct said at_second = { "a", HERE | LATE, STEP, 3, 0, 3, 3, 0 };
	struct gather *g = leader(1);
	AUTO_BUF one = BUF_NONE;
	AUTO_BUF two = BUF_NONE;
	AUTO_BUF three = BUF_NONE;
	struct tally t;

	report_start(&one, 1, 9, true);
	add(&one, &at_first[0]);
	report_start(&two, 2, 9, true);
	add(&two, &at_second);
	report_start(&three, 1, 9, false);
	add(&three, &at_first[1]);
	ck_assert(take(g, 1, &one, 10000, NULL));
	ck_assert(take(g, 2, &two, 10000, NULL));
	ck_assert(take(g, 1, &three, 10000, NULL));
	gather_tally(g, RELEASE, 20000, &t);
	same_tally(&t, &(struct tally){ .known = 1, .total = 1, .sent = 1,
					.received = 1, .applied = 1 });
	gather_free(&g);
}
END_TEST

START_TEST(a_node_that_is_gone)
{
	const struct said s[] = {
		{ "a", HERE | EARLY, STEP, 1, 1, 0, 0, 0 },
		{ "b", HERE | EARLY, STEP, 1, 0, 0, 0, 0 },
	};
	struct gather *g = leader(2);
	struct changes c = { 0 };
	AUTO_BUF report = BUF_NONE;
	AUTO_BUF again = BUF_NONE;
	struct tally t;

	report_start(&report, 1, 9, true);
	add(&report, &s[0]);
	add(&report, &s[1]);
	report_evaluated(&report, RELEASE, STEP, 1);
	ck_assert(take(g, 1, &report, 10000, &c));
	ck_assert_uint_eq(c.urgent, 1);
	ck_assert_uint_eq(gather_cohort(g, RELEASE), 2);
	ck_assert(gather_is_evaluated(g, RELEASE, 1, STEP));
	ck_assert(!gather_is_evaluated(g, RELEASE, 1, STEP + 1));
	ck_assert(!gather_is_evaluated(g, RELEASE, 2, STEP));
	gather_node_gone(g, 1, 11000, changed, &c);
	ck_assert(!gather_has_node(g, 1));
	ck_assert(!gather_is_evaluated(g, RELEASE, 1, STEP));
	gather_tally(g, RELEASE, 11000 + BAKE - 1, &t);
	same_tally(&t, &(struct tally){ .known = 2, .deferred = 1, .total = 1,
					.sent = 1, .pending = 1,
					.next_lost_ms = 11000 + BAKE });
	gather_tally(g, RELEASE, 11000 + BAKE, &t);
	ck_assert_uint_eq(t.lost, 1);
	/* It was only not heard of: a part of it is not enough. */
	report_start(&again, 1, 9, false);
	add(&again, &s[0]);
	ck_assert(!take(g, 1, &again, 20000, NULL));
	buf_reset(&again);
	report_start(&again, 1, 9, true);
	add(&again, &s[0]);
	ck_assert(take(g, 1, &again, 20000, NULL));
	gather_tally(g, RELEASE, 20000, &t);
	ck_assert_uint_eq(t.lost, 0);
	ck_assert_uint_eq(t.pending, 1);
	gather_free(&g);
}
END_TEST

/* What node 1 says of one that left it long ago, where node 2 had it since. */
static const struct said stale = { "a", ALONE | EARLY, STEP, 0, 1, 0, 0, 5000 };

static void report_spoke(struct gather *g, uint64_t node, const struct spoke *s,
			 uint64_t up_ms, uint64_t now_ms, struct changes *c)
{
	AUTO_BUF report = BUF_NONE;

	report_start(&report, node, 9, true);
	report_began(&report, up_ms);
	if (s)
		add_spoke(&report, s);
	report_evaluated(&report, RELEASE, STEP, 1);
	ck_assert(take(g, node, &report, now_ms, c));
}

static void report_of(struct gather *g, uint64_t node, const struct said *s,
		      uint64_t up_ms, uint64_t now_ms, struct changes *c)
{
	struct spoke spoke = { .said = s ? *s : stale };

	report_spoke(g, node, s ? &spoke : NULL, up_ms, now_ms, c);
}

/* Of a session that begins at 10,000, with two nodes. */
static struct gather *new_leader(void)
{
	struct gather_rules rules = { STEP, 1, BAKE, 1 };
	static const uint64_t both[] = { 1, 2 };
	struct gather *g = gather_new(100);

	gather_reset(g, 9, 10000);
	gather_members(g, both, 2, changed, NULL);
	gather_expect(g, RELEASE, &rules);
	return g;
}

static void is_in_doubt(struct gather *g, uint64_t now_ms, uint64_t until_ms)
{
	struct tally t;

	gather_tally(g, RELEASE, now_ms, &t);
	ck_assert_uint_eq(t.lost + t.rejected + t.deferred, 0);
	ck_assert_uint_eq(t.doubtful, 1);
	ck_assert_uint_eq(t.total, 1);
	ck_assert_uint_eq(t.next_lost_ms, until_ms);
	ck_assert(!tally_is_gathered(&t));
}

START_TEST(a_new_leader_hears_of_all_before_one_is_lost)
{
	const struct said at_second = { "a", HERE | LATE, STEP, 1, 0, 1, 1, 0 };
	struct gather *g = new_leader();
	struct changes c = { 0 };
	struct tally t;

	report_of(g, 1, &stale, 60000, 10001, NULL);
	is_in_doubt(g, 10002, 10000 + GATHER_HEAR_MS);
	report_of(g, 2, &at_second, 60000, 10003, &c);
	ck_assert_uint_gt(c.urgent, 0);
	gather_tally(g, RELEASE, 10004, &t);
	same_tally(&t, &(struct tally){ .known = 1, .total = 1, .sent = 1,
					.received = 1, .applied = 1 });
	ck_assert(tally_is_gathered(&t));
	gather_free(&g);
}
END_TEST

/* Whichever of them is heard first: it left when it left the last. */
START_TEST(one_that_left_two_nodes_left_the_last)
{
	const struct said at_second = { "a", ALONE | LATE, STEP, 0, 1, 0, 0, 100 };
	struct gather *g = new_leader();
	struct tally t;

	report_of(g, 1 + (unsigned)_i, _i ? &at_second : &stale, 60000, 10001, NULL);
	report_of(g, 2 - (unsigned)_i, _i ? &stale : &at_second, 60000, 10001, NULL);
	gather_tally(g, RELEASE, 10001, &t);
	ck_assert_uint_eq(t.lost + t.doubtful, 0);
	ck_assert_uint_eq(t.next_lost_ms, 9901 + BAKE);
	gather_tally(g, RELEASE, 9901 + BAKE, &t);
	ck_assert_uint_eq(t.lost, 1);
	ck_assert(tally_is_gathered(&t));
	gather_free(&g);
}
END_TEST

/* The other node does not come back, or another process of it does, which knows nothing:
 * until then it may have had it, so it is lost later, and is. */
START_TEST(what_a_lost_node_knew)
{
	struct gather *g = new_leader();
	struct tally t;

	report_of(g, 1, &stale, 60000, 10001, NULL);
	is_in_doubt(g, 10000 + GATHER_HEAR_MS - 1, 10000 + GATHER_HEAR_MS);
	gather_tally(g, RELEASE, 10000 + GATHER_HEAR_MS, &t);
	ck_assert_uint_eq(t.lost, 1);
	ck_assert(tally_is_gathered(&t));
	report_of(g, 2, NULL, 300, 10700, NULL);
	is_in_doubt(g, 10700, 10400 + BAKE);
	gather_tally(g, RELEASE, 10400 + BAKE, &t);
	ck_assert_uint_eq(t.lost, 1);
	gather_free(&g);
}
END_TEST

/* It did at the other node what this one says it did not, or took back. */
START_TEST(other_verdicts_of_a_new_leader)
{
	static const struct spoke says[] = {
		{ { "a", ALONE | EARLY, STEP, 0, 0, 0, 0, 5000 }, 0, 0, { 0 } },
		{ { "a", ALONE | EARLY | SAYS_NO, STEP, 0, 1, 1, 0, 5000 }, 5000, 1, { 0 } },
	};
	struct gather *g = new_leader();
	struct tally t;

	report_spoke(g, 1, &says[_i], 60000, 10001, NULL);
	is_in_doubt(g, 10002, 10000 + GATHER_HEAR_MS);
	report_of(g, 2, NULL, 60000, 10003, NULL);
	gather_tally(g, RELEASE, 10004, &t);
	ck_assert_uint_eq(t.deferred, _i == 0);
	ck_assert_uint_eq(t.rejected, _i == 1);
	ck_assert(tally_is_gathered(&t));
	gather_free(&g);
}
END_TEST

/* It may have taken it back at a node whose process ended with that. */
START_TEST(a_rejection_of_before_a_node_started_again)
{
	static const struct spoke says = {
		{ "a", ALONE | EARLY | SAYS_NO, STEP, 0, 1, 1, 0, 5000 }, 5000, 1, { 0 } };
	struct gather *g = new_leader();
	struct tally t;

	report_spoke(g, 1, &says, 60000, 10001, NULL);
	report_of(g, 2, NULL, 300, 10003, NULL);
	is_in_doubt(g, 10004, 9703 + BAKE);
	gather_tally(g, RELEASE, 9703 + BAKE, &t);
	ck_assert_uint_eq(t.rejected, 1);
	gather_free(&g);
}
END_TEST

/* At one node it rejected the first, or the second, and at another it applied. */
static const struct {
	struct spoke no, yes;
	enum fleet_state state;
} last_words[] = {
	/* It moved, and tried again. */
	{ { { "a", ALONE | EARLY | SAYS_NO, STEP, 0, 1, 1, 0, 900 }, 900, 1, { 0 } },
	  { { "a", HERE | LATE | FLEET_SPOKE, STEP, 1, 0, 1, 1, 0 }, 300, 0, { 0 } },
	  FLEET_IS_APPLIED },
	/* It says what it says anywhere. */
	{ { { "a", HERE | EARLY | SAYS_NO, STEP, 1, 1, 1, 0, 0 }, 900, 1, { 0 } },
	  { { "a", FLEET_SPOKE, 0, 0, 0, 1, 1, 300 }, 300, 0, { 0 } }, FLEET_IS_APPLIED },
	/* Of another it has not said yet what came of it. */
	{ { { "a", ALONE | EARLY | SAYS_NO, STEP, 0, 3, 3, 0, 900 }, 900, 1, { 0 } },
	  { { "a", HERE | LATE | FLEET_SPOKE, STEP, 3, 0, 1, 1, 0 }, 300, 0, { 0 } },
	  FLEET_IS_RECEIVED },
	/* What it applied at the other was before, or another configuration. */
	{ { { "a", HERE | EARLY | SAYS_NO, STEP, 1, 1, 1, 0, 0 }, 300, 1, { 0 } },
	  { { "a", ALONE | LATE | FLEET_SPOKE, STEP, 0, 0, 1, 1, 900 }, 900, 0, { 0 } },
	  FLEET_IS_REJECTED },
	{ { { "a", ALONE | EARLY | SAYS_NO, STEP, 0, 1, 2, 0, 900 }, 900, 2, { 0 } },
	  { { "a", HERE | LATE | FLEET_SPOKE, STEP, 1, 0, 1, 1, 0 }, 300, 0, { 0 } },
	  FLEET_IS_REJECTED },
	/* It rejected the first long after it had applied it there, and applied the second. */
	{ { { "a", HERE | EARLY | SAYS_NO, STEP, 3, 3, 3, 0, 0 }, 600, 1, { 0 } },
	  { { "a", ALONE | LATE | FLEET_SPOKE, STEP, 0, 0, 3, 3, 300 }, 300, 0, { 600, 0 } },
	  FLEET_IS_REJECTED },
	/* It took that back before it applied the second, or rejected it. */
	{ { { "a", HERE | EARLY | SAYS_NO, STEP, 3, 3, 3, 0, 0 }, 600, 1, { 0 } },
	  { { "a", ALONE | LATE | FLEET_SPOKE, STEP, 0, 0, 3, 3, 100 }, 100, 0, { 300, 0 } },
	  FLEET_IS_APPLIED },
	{ { { "a", HERE | EARLY | SAYS_NO, STEP, 3, 3, 3, 2, 0 }, 500, 1, { 100, 0 } },
	  { { "a", ALONE | LATE | SAYS_NO, STEP, 0, 0, 3, 1, 300 }, 300, 2, { 0, 600 } },
	  FLEET_IS_APPLIED },
};

/* Whichever of the nodes is heard first. */
START_TEST(the_last_word_counts_wherever_it_was_said)
{
	const struct spoke *no = &last_words[_i / 2].no, *yes = &last_words[_i / 2].yes;
	bool is_rejected = last_words[_i / 2].state == FLEET_IS_REJECTED;
	struct gather *g = new_leader();
	struct tally t;

	report_spoke(g, 1, _i % 2 ? no : yes, 60000, 10001, NULL);
	report_spoke(g, 2, _i % 2 ? yes : no, 60000, 10001, NULL);
	gather_tally(g, RELEASE, 10001, &t);
	ck_assert_int_eq(state_of_first(g), last_words[_i / 2].state);
	ck_assert_uint_eq(t.rejected, is_rejected);
	ck_assert(str_eq(t.instance, str_of(is_rejected ? "a" : "")));
	ck_assert(str_eq(t.reason, str_of(is_rejected ? "no port" : "")));
	gather_free(&g);
}
END_TEST

/* Where it is connected nobody knows better. */
START_TEST(a_rejection_is_not_waited_for)
{
	static const struct spoke says[] = {
		{ { "a", HERE | EARLY | SAYS_NO, STEP, 1, 1, 1, 0, 0 }, 5000, 1, { 0 } },
		/* Nor of what it said since the session began. */
		{ { "a", ALONE | EARLY | SAYS_NO, STEP, 0, 1, 1, 0, 10 }, 10, 1, { 0 } },
	};
	struct gather *g = new_leader();
	struct tally t;

	report_spoke(g, 1, &says[_i], 60000, 10010, NULL);
	gather_tally(g, RELEASE, 10010, &t);
	ck_assert_uint_eq(t.rejected, 1);
	gather_free(&g);
}
END_TEST

/* A member that is none any more is not waited for. */
START_TEST(a_node_that_is_removed)
{
	static const uint64_t one[] = { 1 };
	struct gather *g = new_leader();
	struct changes c = { 0 };
	struct tally t;

	report_of(g, 1, &stale, 60000, 10001, NULL);
	gather_members(g, one, 1, changed, &c);
	ck_assert_uint_eq(c.n, 1);
	gather_members(g, one, 1, changed, &c);
	ck_assert_uint_eq(c.n, 1);
	gather_tally(g, RELEASE, 10002, &t);
	ck_assert_uint_eq(t.lost, 1);
	gather_free(&g);
}
END_TEST

START_TEST(reports_to_somebody_else)
{
	struct gather *g = leader(0);
	struct said s = { "a", HERE | EARLY, STEP, 1, 1, 1, 1, 0 };
	AUTO_BUF report = BUF_NONE;
	AUTO_BUF answer = BUF_NONE;
	struct tally t;
	struct err err;

	/* Of another session, and of another process without a beginning. */
	report_start(&report, 1, 8, true);
	add(&report, &s);
	ck_assert(!take(g, 1, &report, 10000, NULL));
	gather_tally(g, RELEASE, 10000, &t);
	ck_assert_uint_eq(t.applied, 0);
	buf_reset(&report);
	report_start(&report, 1, 9, true);
	ck_assert(take(g, 1, &report, 10000, NULL));
	buf_reset(&report);
	report_start(&report, 2, 9, false);
	add(&report, &s);
	ck_assert(!take(g, 1, &report, 10000, NULL));
	/* Who does not lead takes nothing. */
	gather_reset(g, 0, 0);
	ck_assert_int_eq(gather_take(g, 1, buf_view(&report), 10000, &answer,
				     changed, NULL, &err), E_NOT_LEADER);
	gather_free(&g);
}
END_TEST

/* What is half malformed is not half taken. */
START_TEST(malformed_reports)
{
	struct gather *g = leader(0);
	struct said s = { "a", HERE | EARLY, STEP, 1, 1, 1, 1, 0 };
	AUTO_BUF report = BUF_NONE;
	AUTO_BUF answer = BUF_NONE;
	struct err err;

	report_start(&report, 1, 9, true);
	add(&report, &s);
	for (size_t n = 0; n < report.n; n++) {
		enum code rc = gather_take(g, 1, str_first(buf_view(&report), n),
					   1, &answer, changed,
					   &(struct changes){ 0 }, &err);

		/* Where only the record is missing it is a whole report. */
		ck_assert_int_eq(rc, n == 19 ? OK : E_INVALID);
		struct gather_counts c;

		gather_counts(g, &c);
		ck_assert_uint_eq(c.records, 0);
	}
	gather_free(&g);
}
END_TEST

START_TEST(it_is_bounded)
{
	struct gather *g = gather_new(2);
	struct said s = { NULL, HERE | EARLY, 0, 1, 1, 1, 1, 0 };
	struct gather_rules rules = { 0, 3, BAKE, 0 };
	AUTO_BUF report = BUF_NONE;
	struct gather_counts c;
	struct tally t;

	gather_reset(g, 9, 0);
	gather_expect(g, RELEASE, &rules);
	report_start(&report, 1, 9, true);
	for (unsigned i = 0; i < 3; i++) {
		s.instance = (const char *[]){ "a", "b", "c" }[i];
		add(&report, &s);
	}
	ck_assert(take(g, 1, &report, 1, NULL));
	gather_counts(g, &c);
	ck_assert_uint_eq(c.records, 2);
	ck_assert_uint_eq(c.refused, 1);
	gather_tally(g, RELEASE, 1, &t);
	ck_assert(!tally_is_gathered(&t));
	gather_forget(g, RELEASE);
	gather_counts(g, &c);
	ck_assert_uint_eq(c.records, 0);
	ck_assert_uint_eq(c.bytes, 0);
	gather_free(&g);
}
END_TEST

START_TEST(pages_are_in_order)
{
	struct gather *g = leader(0);
	AUTO_BUF report = BUF_NONE;
	char name[8], last[8] = "";
	unsigned seen = 0;
	bool more = true;

	report_start(&report, 1, 9, true);
	for (unsigned i = 0; i < 25; i++) {
		struct said s = { name, HERE | EARLY, STEP, 1, 1, 1, 1, 0 };

		snprintf(name, sizeof(name), "i%02u", i * 7 % 25);
		add(&report, &s);
	}
	ck_assert(take(g, 1, &report, 1, NULL));
	while (more) {
		AUTO_BUF rows = BUF_NONE;
		struct fleet_row row;
		struct err err;
		struct rd rd;

		gather_list(g, RELEASE, str_of(last), 10, 1, &rows, &more);
		rd = rd_of(buf_view(&rows));
		while (list_next(&rd, &row, &err) == OK) {
			ck_assert_int_gt(str_cmp(row.instance, str_of(last)), 0);
			str_copy(last, sizeof(last), row.instance);
			seen++;
		}
	}
	ck_assert_uint_eq(seen, 25);
	gather_free(&g);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fleet/gather");
	TCase *t = tcase_create("gather");

	tcase_add_loop_test(t, one_instance, 0, (int)ARRAY_LEN(table));
	tcase_add_test(t, what_was_never_heard_of_says_nothing);
	tcase_add_test(t, one_that_moves_is_one);
	tcase_add_test(t, a_node_that_is_gone);
	tcase_add_test(t, a_new_leader_hears_of_all_before_one_is_lost);
	tcase_add_loop_test(t, one_that_left_two_nodes_left_the_last, 0, 2);
	tcase_add_test(t, what_a_lost_node_knew);
	tcase_add_loop_test(t, other_verdicts_of_a_new_leader, 0, 2);
	tcase_add_test(t, a_rejection_of_before_a_node_started_again);
	tcase_add_loop_test(t, the_last_word_counts_wherever_it_was_said, 0,
			    2 * (int)ARRAY_LEN(last_words));
	tcase_add_loop_test(t, a_rejection_is_not_waited_for, 0, 2);
	tcase_add_test(t, a_node_that_is_removed);
	tcase_add_test(t, reports_to_somebody_else);
	tcase_add_test(t, malformed_reports);
	tcase_add_test(t, it_is_bounded);
	tcase_add_test(t, pages_are_in_order);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
