/* One node: what its fleet keeps, and what its agent makes of it. */
#include "unit.h"

#include "fleet/agent.h"
#include "fleet/gather.h"

#include "base/banned.h"

#define KEY "acme/shop/prod/a"
#define OTHER "acme/shop/prod/b"

struct lab {
	struct fleet *fleet;
	struct agent *agent;
	struct gather *leader;
	uint64_t picked;                 /* the release that rules give; 0: none */
	unsigned pokes, urgent;
};

static bool picks(void *data, uint64_t release, struct str key,
		  const struct client *client)
{
	const struct lab *l = data;

	return release == l->picked;
}

static void poke(void *data, bool is_urgent)
{
	struct lab *l = data;

	l->pokes++;
	l->urgent += is_urgent;
}

/* Those that are listed for a while, and held by nothing else, go. */
static void fleet_list_forgets(struct lab *l)
{
	struct fleet_list list = { .limit = 10 };
	AUTO_BUF rows = BUF_NONE;
	bool more;

	fleet_list_known(l->fleet, &list, 1, 1000 + FLEET_GONE_MS, &rows, &more);
	ck_assert(!more);
}

static void ignore(void *data, uint64_t release, bool is_urgent)
{
}

static void lab_init(struct lab *l, size_t max)
{
	struct agent_host host = { 0, picks, l };

	*l = (struct lab){ .fleet = fleet_new(max), .leader = gather_new(100) };
	fleet_set_poke(l->fleet, poke, l);
	l->agent = agent_new(l->fleet, &host, 1);
	gather_reset(l->leader, 5, 0);
}

static void lab_fini(struct lab *l)
{
	agent_free(&l->agent);
	fleet_free(&l->fleet);
	gather_free(&l->leader);
}

static struct fleet_release release_of(uint64_t id, const struct fleet_config *configs,
				       size_t n)
{
	return (struct fleet_release){ .id = id, .rev = 1 + n, .is_begun = true,
				       .configs = configs, .n = n };
}

static bool run_one(struct lab *l, uint64_t id, uint32_t version)
{
	struct fleet_config config = { STR(KEY), version };
	struct fleet_release r = release_of(id, &config, 1);

	agent_running_start(l->agent);
	agent_running_add(l->agent, &r, 10);
	return agent_running_end(l->agent);
}

/* 17 gives version 5, 18 version 6, of the same configuration. */
static void run_two(struct lab *l)
{
	struct fleet_config five = { STR(KEY), 5 }, six = { STR(KEY), 6 };
	struct fleet_release a = release_of(17, &five, 1);
	struct fleet_release b = release_of(18, &six, 1);

	agent_running_start(l->agent);
	agent_running_add(l->agent, &a, 10);
	agent_running_add(l->agent, &b, 10);
	(void)agent_running_end(l->agent);
}

static struct fleet_watch *join(struct lab *l, const char *id, uint64_t now_ms)
{
	struct address at = { STR("acme"), STR("shop"), STR("prod"), STR("a") };
	struct labels none = { 0 };
	struct fleet_spec spec = { .instance = str_of(id), .labels = &none,
				   .keys = &at, .n_keys = 1 };

	return fleet_join(l->fleet, &spec, now_ms);
}

static void say(struct lab *l, const char *id, uint64_t release, uint32_t version,
		enum fleet_word word)
{
	struct fleet_said said = { str_of(id), STR(KEY), version, release, word,
				   STR("no port") };

	fleet_said(l->fleet, &said, 20);
}

static void sent(struct lab *l, const char *id, uint64_t release, uint32_t version)
{
	struct fleet_sent s = { str_of(id), STR(KEY), version, release };

	fleet_sent(l->fleet, &s, 20);
}

static void report(struct lab *l)
{
	struct err err;
	bool again;

	do {
		AUTO_BUF answer = BUF_NONE;
		AUTO_BUF bytes = BUF_NONE;

		while (agent_look(l->agent, 1, 30))
			;
		if (!agent_has_report(l->agent))
			return;
		agent_report(l->agent, 30, &bytes);
		ck_assert_int_eq(gather_take(l->leader, 1, buf_view(&bytes), 30,
					     &answer, ignore, NULL, &err), OK);
		agent_answered(l->agent, OK, buf_view(&answer));
		again = true;
	} while (again);
}

static enum fleet_state state_in(struct lab *l, uint64_t release)
{
	AUTO_BUF rows = BUF_NONE;
	struct fleet_row row;
	struct err err;
	struct rd rd;
	bool more;

	report(l);
	gather_list(l->leader, release, STR_NONE, 10, 40, &rows, &more);
	rd = rd_of(buf_view(&rows));
	return list_next(&rd, &row, &err) ? FLEET_IS__COUNT : row.state;
}

START_TEST(words_of_other_releases_and_versions_do_not_count)
{
	struct fleet_watch *w;
	struct lab l;

	lab_init(&l, 10);
	l.picked = 17;
	run_one(&l, 17, 5);
	w = join(&l, "web", 11);
	say(&l, "web", 16, 5, FLEET_APPLIED);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_PENDING);
	say(&l, "web", 0, 4, FLEET_APPLIED);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_PENDING);
	say(&l, "web", 0, 5, FLEET_APPLIED);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_APPLIED);
	fleet_leave(l.fleet, &w, 30);
	lab_fini(&l);
}
END_TEST

/* What was said before the release ran is of an earlier life of that version. */
START_TEST(what_was_said_long_ago_does_not_count)
{
	struct fleet_said said = { STR("web"), STR(KEY), 5, 0, FLEET_APPLIED,
				   STR_NONE };
	struct fleet_watch *w;
	struct lab l;

	lab_init(&l, 10);
	l.picked = 17;
	run_one(&l, 16, 4);
	w = join(&l, "web", 1);
	fleet_said(l.fleet, &said, 5);
	run_two(&l);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_PENDING);
	fleet_leave(l.fleet, &w, 30);
	lab_fini(&l);
}
END_TEST

START_TEST(a_release_that_comes_between_undoes_nothing)
{
	struct gather_rules rules = { 0, 1, 0, 0 };
	struct fleet_watch *w;
	struct lab l;

	lab_init(&l, 10);
	l.picked = 17;
	run_two(&l);
	gather_expect(l.leader, 17, &rules);
	w = join(&l, "web", 11);
	sent(&l, "web", 17, 5);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_SENT);
	l.picked = 18;
	sent(&l, "web", 18, 6);
	ck_assert_int_eq(state_in(&l, 18), FLEET_IS_SENT);
	say(&l, "web", 18, 6, FLEET_APPLIED);
	ck_assert_int_eq(state_in(&l, 18), FLEET_IS_APPLIED);
	/* A new leader is told of both. */
	gather_reset(l.leader, 6, 0);
	gather_expect(l.leader, 17, &rules);
	agent_ask(l.agent, 6);
	fleet_leave(l.fleet, &w, 30);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_LOST);
	ck_assert_int_eq(state_in(&l, 18), FLEET_IS_APPLIED);
	lab_fini(&l);
}
END_TEST

static unsigned states(struct lab *l, enum fleet_state state)
{
	AUTO_BUF rows = BUF_NONE;
	struct fleet_row row;
	unsigned n = 0;
	struct err err;
	struct rd rd;
	bool more;

	gather_list(l->leader, 17, STR_NONE, 10, 30, &rows, &more);
	rd = rd_of(buf_view(&rows));
	while (list_next(&rd, &row, &err) == OK)
		n += row.state == state;
	return n;
}

START_TEST(the_last_word_on_a_rejection_counts)
{
	struct fleet_watch *w;
	struct lab l;

	lab_init(&l, 10);
	l.picked = 17;
	run_one(&l, 17, 5);
	w = join(&l, "web", 11);
	ck_assert_uint_eq(l.urgent, 0);
	say(&l, "web", 17, 5, FLEET_REFUSED);
	ck_assert_uint_eq(l.urgent, 1);
	while (agent_look(l.agent, 1, 30))
		;
	ck_assert(agent_is_urgent(l.agent));
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_REJECTED);
	ck_assert(!agent_is_urgent(l.agent));
	/* It connects anew, and says again that it received it. */
	say(&l, "web", 17, 5, FLEET_GOT);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_REJECTED);
	say(&l, "web", 17, 5, FLEET_APPLIED);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_APPLIED);
	fleet_leave(l.fleet, &w, 30);
	lab_fini(&l);
}
END_TEST

/* It speaks of a release that this node has not seen yet; of one that is none the words
 * go when there are newer releases. */
START_TEST(words_that_are_ahead)
{
	struct fleet_counts c;
	struct lab l;

	lab_init(&l, 10);
	say(&l, "web", 18, 6, FLEET_APPLIED);
	say(&l, "liar", 17, 5, FLEET_REFUSED);
	run_one(&l, 18, 6);
	ck_assert_int_eq(state_in(&l, 18), FLEET_IS_APPLIED);
	fleet_counts(l.fleet, &c);
	ck_assert_uint_eq(c.known, 2);
	say(&l, "web", 17, 6, FLEET_REFUSED);
	ck_assert_int_eq(state_in(&l, 18), FLEET_IS_APPLIED);
	lab_fini(&l);
}
END_TEST

/* Whoever never watches cannot keep others from being heard; what it said is known. */
START_TEST(words_of_who_never_watches_make_room)
{
	static struct fleet_config configs[FLEET_CONFIGS_MAX];
	static char keys[FLEET_CONFIGS_MAX][32];
	struct fleet_release r = release_of(17, configs, FLEET_CONFIGS_MAX);
	struct fleet_said said = { STR("none-0"), STR_NONE, 5, 17, FLEET_APPLIED,
				   STR_NONE };
	struct fleet_counts c;
	struct fleet_watch *w;
	struct lab l;

	for (unsigned i = 0; i < FLEET_CONFIGS_MAX; i++) {
		snprintf(keys[i], sizeof(keys[i]), "acme/shop/prod/c%u", i);
		configs[i] = (struct fleet_config){ str_of(i ? keys[i] : KEY), 5 };
	}
	lab_init(&l, 10);
	agent_running_start(l.agent);
	agent_running_add(l.agent, &r, 10);
	(void)agent_running_end(l.agent);
	for (unsigned i = 0; i < 2 * FLEET_CONFIGS_MAX; i++) {
		said.instance = i % 2 ? STR("none-1") : STR("none-0");
		said.key = configs[i / 2].key;
		fleet_said(l.fleet, &said, 20);
		while (agent_look(l.agent, 1, 30))
			;
	}
	w = join(&l, "web", 20);
	said = (struct fleet_said){ STR("web"), STR(KEY), 5, 17, FLEET_REFUSED, STR("no") };
	fleet_said(l.fleet, &said, 20);
	fleet_counts(l.fleet, &c);
	ck_assert_uint_eq(c.refused, 0);
	ck_assert_uint_eq(c.words, 4 * 10 + FLEET_CONFIGS_MAX);
	report(&l);
	ck_assert_uint_eq(states(&l, FLEET_IS_APPLIED), 2);
	ck_assert_uint_eq(states(&l, FLEET_IS_REJECTED), 1);
	fleet_leave(l.fleet, &w, 30);
	lab_fini(&l);
}
END_TEST

/* What node 2 says of it. */
static void other_node(struct lab *l, bool is_first, unsigned flags, uint64_t said_age_ms)
{
	struct fleet_record r = { .flags = flags | FLEET_EVER | FLEET_SPOKE, .version = 5,
				  .reason = flags & FLEET_REJECTED ? STR("disk full") :
								     STR_NONE };
	AUTO_BUF body = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF answer = BUF_NONE;
	struct err err;

	bits_set(&r.got, 0);
	bits_set(&r.refused, 0);
	r.said = STR("\0");
	record_body(&body, &r);
	report_start(&bytes, 2, 5, is_first);
	report_record(&bytes, 17, STR("web"), 0, said_age_ms, buf_view(&body));
	ck_assert_int_eq(gather_take(l->leader, 2, buf_view(&bytes), 30, &answer,
				     ignore, NULL, &err), OK);
}

/* It applied it, rejected it elsewhere when it was started anew, and applied it here
 * again: the same word as before, and news. */
START_TEST(the_same_word_again)
{
	struct fleet_said said = { STR("web"), STR(KEY), 5, 17, FLEET_APPLIED, STR_NONE };
	struct lab l;

	lab_init(&l, 10);
	run_one(&l, 17, 5);
	fleet_said(l.fleet, &said, 12);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_APPLIED);
	other_node(&l, true, FLEET_REJECTED, 10);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_REJECTED);
	fleet_said(l.fleet, &said, 25);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_APPLIED);
	other_node(&l, false, FLEET_REJECTED, 2);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_REJECTED);
	lab_fini(&l);
}
END_TEST

START_TEST(the_same_rejection_again)
{
	struct lab l;

	lab_init(&l, 10);
	run_one(&l, 17, 5);
	say(&l, "web", 17, 5, FLEET_REFUSED);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_REJECTED);
	ck_assert(!agent_is_urgent(l.agent));
	fleet_said(l.fleet, &(struct fleet_said){ STR("web"), STR(KEY), 5, 17, FLEET_REFUSED,
						  STR("no port") }, 25);
	while (agent_look(l.agent, 1, 30))
		;
	ck_assert(agent_is_urgent(l.agent));
	ck_assert(agent_has_report(l.agent));
	lab_fini(&l);
}
END_TEST

/* Two configurations, of which the first is deleted: what was said of the second
 * is not taken for the first. */
START_TEST(a_release_with_other_configurations)
{
	struct fleet_config configs[] = { { STR(OTHER), 5 }, { STR(KEY), 5 } };
	struct fleet_release r = release_of(17, configs, 2);
	struct fleet_watch *w;
	struct lab l;

	lab_init(&l, 10);
	l.picked = 17;
	agent_running_start(l.agent);
	agent_running_add(l.agent, &r, 10);
	ck_assert(!agent_running_end(l.agent));
	w = join(&l, "web", 11);
	sent(&l, "web", 17, 5);
	say(&l, "web", 17, 5, FLEET_APPLIED);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_APPLIED);
	/* What it says when it connects anew is less, also where all is made anew. */
	say(&l, "web", 17, 5, FLEET_GOT);
	ck_assert(run_one(&l, 17, 5));
	gather_reset(l.leader, 6, 0);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_APPLIED);
	/* Told the same once more, nothing is otherwise. */
	ck_assert(agent_running_keep(l.agent, 17, 2));
	ck_assert(!agent_running_keep(l.agent, 17, 3));
	ck_assert(!agent_running_keep(l.agent, 18, 2));
	fleet_leave(l.fleet, &w, 30);
	lab_fini(&l);
}
END_TEST

/* A node that is behind reports to a new session what it has by the places of before: a
 * leader is to gather anew when it has come there, or what was said of the one that is gone
 * is of the other. */
START_TEST(a_node_that_was_behind_is_asked_again)
{
	struct fleet_config configs[] = { { STR(OTHER), 5 }, { STR(KEY), 5 } };
	struct gather_rules rules = { .expected = 1, .configs = 1 };
	struct fleet_release r = release_of(17, configs, 2);
	struct fleet_watch *w;
	struct lab l;

	lab_init(&l, 10);
	l.picked = 17;
	agent_running_start(l.agent);
	agent_running_add(l.agent, &r, 10);
	ck_assert(!agent_running_end(l.agent));
	w = join(&l, "web", 11);
	sent(&l, "web", 17, 5);
	gather_expect(l.leader, 17, &rules);
	report(&l);
	ck_assert(!gather_is_evaluated(l.leader, 17, 1, 0));
	ck_assert(!gather_is_mixed(l.leader));
	ck_assert(run_one(&l, 17, 5));
	say(&l, "web", 17, 5, FLEET_APPLIED);
	report(&l);
	ck_assert(gather_is_evaluated(l.leader, 17, 1, 0));
	ck_assert(gather_is_mixed(l.leader));
	gather_reset(l.leader, 6, 0);
	agent_ask(l.agent, 6);
	ck_assert(!gather_is_mixed(l.leader));
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_APPLIED);
	ck_assert(!gather_is_mixed(l.leader));
	fleet_leave(l.fleet, &w, 30);
	lab_fini(&l);
}
END_TEST

START_TEST(what_no_release_is_about_goes)
{
	struct fleet_counts c;
	struct fleet_watch *w;
	struct lab l;

	lab_init(&l, 10);
	/* What it said is for lists. */
	say(&l, "other", 0, 5, FLEET_APPLIED);
	fleet_counts(l.fleet, &c);
	ck_assert_uint_eq(c.known, 1);
	fleet_list_forgets(&l);
	w = join(&l, "web", 11);
	fleet_counts(l.fleet, &c);
	ck_assert_uint_eq(c.known, 1);
	ck_assert_uint_eq(c.connected, 1);
	ck_assert_uint_eq(l.pokes, 0);
	fleet_leave(l.fleet, &w, 12);
	fleet_counts(l.fleet, &c);
	ck_assert_uint_eq(c.known, 0);
	ck_assert_uint_eq(c.watches, 0);
	/* And what a release was about is for lists once that is over. */
	l.picked = 17;
	run_one(&l, 17, 5);
	w = join(&l, "web", 11);
	sent(&l, "web", 17, 5);
	fleet_leave(l.fleet, &w, 12);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_SENT);
	fleet_counts(l.fleet, &c);
	ck_assert_uint_eq(c.known, 1);
	fleet_list_forgets(&l);
	fleet_counts(l.fleet, &c);
	ck_assert_uint_eq(c.known, 1);
	agent_running_start(l.agent);
	(void)agent_running_end(l.agent);
	fleet_list_forgets(&l);
	fleet_counts(l.fleet, &c);
	ck_assert_uint_eq(c.known, 0);
	lab_fini(&l);
}
END_TEST

/* Whom a release is about is in nobody's way, and goes when it is over. */
START_TEST(silent_ones_go_behind_those_that_may_not)
{
	struct fleet_counts c;
	char id[16];
	struct lab l;

	lab_init(&l, 100);
	run_one(&l, 17, 5);
	for (unsigned i = 0; i < 10; i++) {
		snprintf(id, sizeof(id), "held-%u", i);
		say(&l, id, 17, 5, FLEET_APPLIED);
	}
	for (unsigned i = 0; i < 10; i++) {
		snprintf(id, sizeof(id), "other-%u", i);
		fleet_said(l.fleet, &(struct fleet_said){ str_of(id), STR(OTHER), 5, 0,
							  FLEET_APPLIED, STR_NONE }, 25);
	}
	for (unsigned i = 0; i < 6; i++)
		fleet_list_forgets(&l);
	fleet_counts(l.fleet, &c);
	ck_assert_uint_eq(c.known, 10);
	report(&l);
	ck_assert_uint_eq(states(&l, FLEET_IS_APPLIED), 10);
	agent_running_start(l.agent);
	(void)agent_running_end(l.agent);
	for (unsigned i = 0; i < 3; i++)
		fleet_list_forgets(&l);
	fleet_counts(l.fleet, &c);
	ck_assert_uint_eq(c.known, 0);
	lab_fini(&l);
}
END_TEST

/* What was said before a release began says nothing of it. */
START_TEST(what_was_said_before_does_not_count)
{
	struct fleet_watch *w;
	struct lab l;

	lab_init(&l, 10);
	w = join(&l, "web", 1);
	say(&l, "web", 0, 5, FLEET_APPLIED);
	l.picked = 17;
	run_one(&l, 17, 5);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_PENDING);
	say(&l, "web", 0, 5, FLEET_GOT);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_RECEIVED);
	say(&l, "web", 0, 5, FLEET_APPLIED);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_APPLIED);
	say(&l, "web", 0, 5, FLEET_GOT);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_APPLIED);
	fleet_leave(l.fleet, &w, 30);
	lab_fini(&l);
}
END_TEST

/* It was sent the version and was gone before the agent had come to know the release:
 * a configuration that kills its process must not pass. */
START_TEST(one_that_is_gone_at_once)
{
	struct gather_rules rules = { 0, 1, 0, 0 };
	struct fleet_counts c;
	struct fleet_watch *w;
	struct lab l;

	lab_init(&l, 10);
	l.picked = 17;
	run_one(&l, 16, 4);
	w = join(&l, "web", 11);
	sent(&l, "web", 17, 5);
	fleet_leave(l.fleet, &w, 12);
	gather_expect(l.leader, 17, &rules);
	run_one(&l, 17, 5);
	ck_assert_int_eq(state_in(&l, 17), FLEET_IS_LOST);
	/* Of one that is over already nothing is kept. */
	agent_running_start(l.agent);
	(void)agent_running_end(l.agent);
	fleet_list_forgets(&l);
	fleet_counts(l.fleet, &c);
	ck_assert_uint_eq(c.known, 0);
	w = join(&l, "web", 13);
	sent(&l, "web", 16, 4);
	fleet_leave(l.fleet, &w, 14);
	run_one(&l, 18, 6);
	fleet_list_forgets(&l);
	fleet_counts(l.fleet, &c);
	ck_assert_uint_eq(c.known, 0);
	lab_fini(&l);
}
END_TEST

START_TEST(it_is_bounded)
{
	struct fleet_watch *a, *b, *none;
	struct fleet_counts c;
	struct lab l;

	lab_init(&l, 2);
	l.picked = 17;
	run_one(&l, 17, 5);
	a = join(&l, "a", 1);
	b = join(&l, "b", 1);
	none = join(&l, "c", 1);
	ck_assert_ptr_null(none);
	fleet_leave(l.fleet, &none, 1);
	sent(&l, "c", 17, 5);
	fleet_counts(l.fleet, &c);
	ck_assert_uint_eq(c.known, 2);
	ck_assert_uint_eq(c.refused, 2);
	/* One that left makes room, but not one that the release is about. */
	fleet_leave(l.fleet, &a, 2);
	none = join(&l, "c", 3);
	ck_assert_ptr_nonnull(none);
	report(&l);
	fleet_leave(l.fleet, &none, 4);
	ck_assert_ptr_null(join(&l, "d", 5));
	fleet_leave(l.fleet, &b, 6);
	lab_fini(&l);
}
END_TEST

START_TEST(connected_ones_by_pages)
{
	struct fleet_watch *w[30];
	char name[8], last[8] = "";
	unsigned seen = 0;
	bool more = true;
	struct lab l;

	lab_init(&l, 100);
	for (unsigned i = 0; i < ARRAY_LEN(w); i++) {
		snprintf(name, sizeof(name), "i%02u", i * 11 % 30);
		w[i] = join(&l, name, 1);
	}
	fleet_leave(l.fleet, &w[7], 2);
	while (more) {
		AUTO_BUF rows = BUF_NONE;
		struct fleet_row row;
		struct err err;
		struct rd rd;

		fleet_list_known(l.fleet, &(struct fleet_list){
					 .after = str_of(last), .limit = 7 }, 3, 5,
				 &rows, &more);
		rd = rd_of(buf_view(&rows));
		while (list_next(&rd, &row, &err) == OK) {
			ck_assert_int_gt(str_cmp(row.instance, str_of(last)), 0);
			str_copy(last, sizeof(last), row.instance);
			ck_assert(str_is(row.key, KEY));
			ck_assert_uint_eq(row.node, 3);
			seen++;
		}
	}
	ck_assert_uint_eq(seen, 29);
	for (unsigned i = 0; i < ARRAY_LEN(w); i++)
		fleet_leave(l.fleet, &w[i], 9);
	lab_fini(&l);
}
END_TEST

static void follow(struct lab *l, const char *id, const char *tenant,
		   const char *prefix)
{
	struct address at = { str_of(tenant ?: ""), STR("shop"), STR("prod"), STR("a") };
	struct str p = str_of(prefix ?: "");
	struct labels none = { 0 };
	struct fleet_spec spec = { .instance = str_of(id), .labels = &none, .keys = &at,
				   .n_keys = tenant != NULL, .prefixes = &p,
				   .n_prefixes = prefix != NULL };

	ck_assert_ptr_nonnull(fleet_join(l->fleet, &spec, 1));
}

START_TEST(a_tenant_is_told_of_who_follows_it_alone)
{
	struct fleet_list list = { .limit = 10, .tenant = STR("acme") };
	AUTO_BUF rows = BUF_NONE;
	AUTO_BUF told = BUF_NONE;
	struct fleet_row row;
	struct err err;
	struct lab l;
	struct rd rd;
	bool more;

	lab_init(&l, 100);
	follow(&l, "a-key", "acme", NULL);
	follow(&l, "b-other", "beta", NULL);
	follow(&l, "c-prefix", NULL, "acme/shop/");
	follow(&l, "d-longer", NULL, "acmeplus/");
	follow(&l, "e-all", NULL, "");
	/* Two watches: of another tenant first. */
	follow(&l, "f-both", "beta", NULL);
	follow(&l, "f-both", "acme", NULL);
	follow(&l, "g-begin", NULL, "ac");
	list.limit = 10;
	fleet_list_known(l.fleet, &list, 3, 5, &rows, &more);
	rd = rd_of(buf_view(&rows));
	while (list_next(&rd, &row, &err) == OK)
		buf_printf(&told, "%.*s %.*s\n", STR_ARG(row.instance), STR_ARG(row.key));
	ck_assert_str_eq(told.p, "a-key acme/shop/prod/a\nc-prefix acme/shop/\n"
				 "e-all acme/\nf-both acme/shop/prod/a\ng-begin acme/\n");
	ck_assert(!more);
	lab_fini(&l);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fleet/agent");
	TCase *t = tcase_create("agent");

	tcase_add_test(t, words_of_other_releases_and_versions_do_not_count);
	tcase_add_test(t, what_was_said_long_ago_does_not_count);
	tcase_add_test(t, a_release_that_comes_between_undoes_nothing);
	tcase_add_test(t, the_last_word_on_a_rejection_counts);
	tcase_add_test(t, words_that_are_ahead);
	tcase_add_test(t, words_of_who_never_watches_make_room);
	tcase_add_test(t, the_same_word_again);
	tcase_add_test(t, the_same_rejection_again);
	tcase_add_test(t, a_release_with_other_configurations);
	tcase_add_test(t, a_node_that_was_behind_is_asked_again);
	tcase_add_test(t, what_no_release_is_about_goes);
	tcase_add_test(t, silent_ones_go_behind_those_that_may_not);
	tcase_add_test(t, what_was_said_before_does_not_count);
	tcase_add_test(t, one_that_is_gone_at_once);
	tcase_add_test(t, it_is_bounded);
	tcase_add_test(t, connected_ones_by_pages);
	tcase_add_test(t, a_tenant_is_told_of_who_follows_it_alone);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
