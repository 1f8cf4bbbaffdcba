/*
 * Nodes that report over a network that loses requests and answers, delivers them in
 * any order between nodes, and leaders that change: when all is quiet the leader knows
 * what happened, neither less nor more.  Random, with a seed that is printed.
 */
#include "unit.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"
#include "fleet/agent.h"
#include "fleet/gather.h"

#include "base/banned.h"

#define NODES 4
#define INSTANCES 60
#define CONFIGS 3
#define RELEASE 17
#define VERSION 5
/* No report takes as long. */
#define AGAIN_MS 500

static const char *const keys[CONFIGS] = {
	"acme/shop/prod/a", "acme/shop/prod/b", "acme/shop/prod/c",
};

/* What is true of an instance, whoever knows it. */
struct truth {
	char id[16];
	unsigned follows;                /* how many of the configurations */
	int at;                          /* the node; -1: none */
	struct fleet_watch *watch;
	bool early, ever;                /* of the cohort when the step began */
	unsigned sent, got, applied;     /* configurations, as bits */
	unsigned rejected;               /* its last words of them */
	uint64_t said_ms[CONFIGS];       /* when it applied or rejected it last */
};

struct node {
	struct world *w;
	struct fleet *fleet;
	struct agent *agent;
	struct buf flight;               /* a report on its way */
	uint64_t flown_ms;               /* since when */
	bool is_flying;
};

struct world {
	struct prng rng;
	uint64_t now_ms, session;
	struct node nodes[NODES];
	struct gather *leader;
	struct truth all[INSTANCES];
	unsigned percent;
	uint32_t step;
	uint64_t rev, expected;
	bool is_begun;
};

static bool in_cohort(const struct world *w, struct str id)
{
	return str_hash(id) % 100 < w->percent;
}

static bool picks(void *data, uint64_t release, struct str key,
		  const struct client *client)
{
	const struct node *n = data;

	ck_assert_uint_eq(release, RELEASE);
	return in_cohort(n->w, client->id);
}

static void ignore(void *data, uint64_t release, bool is_urgent)
{
}

/* ---- what happens ---- */

static void tell_state(struct world *w, struct node *n)
{
	struct fleet_config configs[CONFIGS];
	struct fleet_release r = { RELEASE, w->rev, w->step, w->is_begun, configs,
				   CONFIGS };

	for (unsigned i = 0; i < CONFIGS; i++)
		configs[i] = (struct fleet_config){ str_of(keys[i]), VERSION };
	agent_running_start(n->agent);
	agent_running_add(n->agent, &r, w->now_ms);
	ck_assert(!agent_running_end(n->agent));
}

static void tell_all(struct world *w)
{
	w->rev++;
	for (unsigned i = 0; i < NODES; i++)
		tell_state(w, &w->nodes[i]);
}

static void join(struct world *w, struct truth *t, unsigned node)
{
	struct labels none = { 0 };
	struct address at[CONFIGS];
	struct str prefix = STR("acme/shop/");
	struct fleet_spec spec = { .instance = str_of(t->id), .labels = &none };
	struct err err;

	for (unsigned i = 0; i < t->follows; i++)
		ck_assert_int_eq(address_parse(str_of(keys[i]), &at[i], &err), OK);
	spec.keys = at;
	spec.n_keys = t->follows;
	if (t->follows == CONFIGS) {
		spec.n_keys = 0;
		spec.prefixes = &prefix;
		spec.n_prefixes = 1;
	}
	t->watch = fleet_join(w->nodes[node].fleet, &spec, w->now_ms);
	ck_assert_ptr_nonnull(t->watch);
	t->at = (int)node;
	t->ever = true;
	/* Before the step begins, whoever is there is of it. */
	if (!w->is_begun)
		t->early |= in_cohort(w, str_of(t->id));
}

static void leave(struct world *w, struct truth *t)
{
	fleet_leave(w->nodes[t->at].fleet, &t->watch, w->now_ms);
	t->at = -1;
}

static void send_version(struct world *w, struct truth *t)
{
	unsigned i = (unsigned)prng_below(&w->rng, t->follows);
	struct fleet_sent sent = { str_of(t->id), str_of(keys[i]), VERSION,
				   RELEASE };

	if (t->at < 0 || !in_cohort(w, sent.instance))
		return;
	fleet_sent(w->nodes[t->at].fleet, &sent, w->now_ms);
	t->sent |= 1u << i;
}

/* It tries again what it applied or rejected, when reports of that have come. */
static bool may_say(const struct world *w, const struct truth *t, unsigned i)
{
	if (!(t->sent & 1u << i))
		return false;
	return !((t->applied | t->rejected) & 1u << i) ||
	       w->now_ms > t->said_ms[i] + AGAIN_MS;
}

/* At any node: a balancer stands before them. */
static void say(struct world *w, struct truth *t)
{
	unsigned i = (unsigned)prng_below(&w->rng, t->follows);
	unsigned word = (unsigned)prng_below(&w->rng, 20);
	struct fleet_said said = { .instance = str_of(t->id),
				   .key = str_of(keys[i]), .version = VERSION,
				   .reason = STR("no") };

	if (!may_say(w, t, i))
		return;
	said.word = word == 0 ? FLEET_REFUSED : word < 8 ? FLEET_GOT :
							   FLEET_APPLIED;
	said.release = prng_chance(&w->rng, 500000) ? RELEASE : 0;
	fleet_said(w->nodes[prng_below(&w->rng, NODES)].fleet, &said, w->now_ms);
	t->got |= 1u << i;
	t->applied |= (unsigned)(said.word == FLEET_APPLIED) << i;
	if (said.word == FLEET_GOT)
		return;
	t->rejected &= ~(1u << i);
	t->rejected |= (unsigned)(said.word == FLEET_REFUSED) << i;
	t->said_ms[i] = w->now_ms;
}

static void happen(struct world *w)
{
	struct truth *t = &w->all[prng_below(&w->rng, INSTANCES)];

	switch (prng_below(&w->rng, 6)) {
	case 0:
		if (t->at < 0)
			join(w, t, (unsigned)prng_below(&w->rng, NODES));
		else if (prng_chance(&w->rng, 400000))
			leave(w, t);
		return;
	case 1:
		/* Moves: the new watch is there before the old one is gone. */
		if (t->at >= 0 && prng_chance(&w->rng, 300000)) {
			struct fleet_watch *old = t->watch;
			int was = t->at;

			join(w, t, (unsigned)prng_below(&w->rng, NODES));
			fleet_leave(w->nodes[was].fleet, &old, w->now_ms);
		}
		return;
	case 2:
	case 3:
		send_version(w, t);
		return;
	default:
		say(w, t);
	}
}

/* ---- the network ---- */

static void fly(struct world *w, struct node *n)
{
	while (agent_look(n->agent, 1 + (unsigned)prng_below(&w->rng, 8),
			  w->now_ms))
		;
	if (n->is_flying || !agent_has_report(n->agent))
		return;
	buf_reset(&n->flight);
	agent_report(n->agent, w->now_ms, &n->flight);
	n->is_flying = true;
	n->flown_ms = w->now_ms;
}

static void land(struct world *w, unsigned i, bool loses)
{
	struct node *n = &w->nodes[i];
	AUTO_BUF answer = BUF_NONE;
	struct err err;
	enum code rc;

	if (!n->is_flying)
		return;
	n->is_flying = false;
	if (loses && prng_chance(&w->rng, 200000)) {
		agent_answered(n->agent, E_UNAVAILABLE, STR_NONE);
		return;
	}
	rc = gather_take(w->leader, i + 1, buf_view(&n->flight), w->now_ms, &answer,
			 ignore, NULL, &err);
	ck_assert_int_eq(rc, OK);
	if (loses && prng_chance(&w->rng, 200000))
		rc = E_TIMEOUT;
	agent_answered(n->agent, rc, buf_view(&answer));
}

static void land_late(struct world *w)
{
	for (unsigned i = 0; i < NODES; i++)
		if (w->now_ms >= w->nodes[i].flown_ms + AGAIN_MS - 20)
			land(w, i, true);
}

static void ask(struct world *w)
{
	for (unsigned i = 0; i < NODES; i++)
		if (!gather_has_node(w->leader, i + 1))
			agent_ask(w->nodes[i].agent, w->session);
}

static void elect(struct world *w)
{
	struct gather_rules rules = { w->step, w->expected, UINT64_MAX, 0 };

	gather_reset(w->leader, ++w->session, w->now_ms);
	gather_expect(w->leader, RELEASE, &rules);
	/* Whoever is not asked hears of it by the answer to what he reports. */
	if (prng_chance(&w->rng, 500000))
		ask(w);
}

static bool is_quiet(const struct world *w)
{
	for (unsigned i = 0; i < NODES; i++)
		if (w->nodes[i].is_flying || !gather_has_node(w->leader, i + 1) ||
		    agent_has_report(w->nodes[i].agent))
			return false;
	return true;
}

static void settle(struct world *w)
{
	unsigned rounds = 0;

	do {
		ck_assert_uint_lt(rounds++, 1000);
		ask(w);
		for (unsigned i = 0; i < NODES; i++)
			fly(w, &w->nodes[i]);
		for (unsigned i = 0; i < NODES; i++)
			land(w, i, rounds < 20);
	} while (!is_quiet(w));
}

/* ---- the comparison ---- */

static void expect_truth(struct world *w, struct tally *t, bool all_lost)
{
	*t = (struct tally){ .expected = w->expected };
	for (unsigned i = 0; i < INSTANCES; i++) {
		const struct truth *x = &w->all[i];
		unsigned wants = in_cohort(w, str_of(x->id)) && x->at >= 0 ?
					 (1u << x->follows) - 1 : 0;
		bool has = x->sent || x->got;

		if (x->rejected)
			t->rejected++;
		else if (x->applied && !((wants | x->sent) & ~x->applied))
			t->applied++;
		else if (has && x->at < 0 && all_lost)
			t->lost++;
		else if (!has && x->at < 0)
			t->deferred += x->early;
	}
}

static void compare(struct world *w)
{
	for (unsigned lost = 0; lost < 2; lost++) {
		struct gather_rules rules = { w->step, w->expected,
					      lost ? 0 : UINT64_MAX, 0 };
		struct tally want, got;

		gather_expect(w->leader, RELEASE, &rules);
		gather_tally(w->leader, RELEASE, w->now_ms, &got);
		expect_truth(w, &want, lost);
		ck_assert_uint_eq(got.rejected, want.rejected);
		ck_assert_uint_eq(got.lost, want.lost);
		ck_assert_uint_eq(got.deferred, want.deferred);
		ck_assert(tally_is_gathered(&got));
		ck_assert_uint_ge(got.total, w->expected - got.deferred);
		ck_assert_uint_le(got.applied + got.rejected + got.lost, got.total);
		ck_assert_uint_eq(got.applied, want.applied);
	}
}

/* ---- steps ---- */

static void begin_step(struct world *w)
{
	struct gather_rules rules = { w->step, 0, UINT64_MAX, 0 };

	w->is_begun = false;
	/* Before: whoever is there when it begins is of it, and who has it. */
	for (unsigned i = 0; i < INSTANCES; i++)
		w->all[i].early = w->all[i].at >= 0 &&
				  in_cohort(w, str_of(w->all[i].id));
	tell_all(w);
	gather_expect(w->leader, RELEASE, &rules);
	settle(w);
	for (unsigned i = 0; i < NODES; i++)
		ck_assert(gather_is_evaluated(w->leader, RELEASE, i + 1, w->step));
	w->expected = gather_cohort(w->leader, RELEASE);
	w->is_begun = true;
	tell_all(w);
}

static uint64_t count_cohort(const struct world *w)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < INSTANCES; i++) {
		const struct truth *t = &w->all[i];

		n += t->early || (t->ever && (t->sent || t->got));
	}
	return n;
}

static void world_init(struct world *w, uint64_t seed)
{
	*w = (struct world){ .now_ms = 1000, .session = 100, .percent = 20 };
	prng_init(&w->rng, seed);
	w->leader = gather_new(100000);
	gather_reset(w->leader, w->session, w->now_ms);
	gather_members(w->leader, (const uint64_t[NODES]){ 1, 2, 3, 4 }, NODES,
		       ignore, NULL);
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &w->nodes[i];
		struct agent_host host = { 0, picks, n };

		n->w = w;
		n->fleet = fleet_new(1000);
		n->agent = agent_new(n->fleet, &host, 1 + i);
	}
	for (unsigned i = 0; i < INSTANCES; i++) {
		w->all[i] = (struct truth){ .at = -1, .follows = 1 + i % CONFIGS };
		snprintf(w->all[i].id, sizeof(w->all[i].id), "web-%u", i);
	}
}

static void world_fini(struct world *w)
{
	for (unsigned i = 0; i < INSTANCES; i++)
		if (w->all[i].at >= 0)
			leave(w, &w->all[i]);
	for (unsigned i = 0; i < NODES; i++) {
		agent_free(&w->nodes[i].agent);
		fleet_free(&w->nodes[i].fleet);
		buf_fini(&w->nodes[i].flight);
	}
	gather_free(&w->leader);
}

static void storm(uint64_t seed)
{
	struct world w;

	world_init(&w, seed);
	for (w.step = 0; w.step < 4; w.step++, w.percent += 25) {
		begin_step(&w);
		ck_assert_uint_eq(w.expected, count_cohort(&w));
		for (unsigned i = 0; i < 400; i++) {
			w.now_ms += prng_below(&w.rng, 20);
			happen(&w);
			if (prng_chance(&w.rng, 300000))
				fly(&w, &w.nodes[prng_below(&w.rng, NODES)]);
			if (prng_chance(&w.rng, 300000))
				land(&w, (unsigned)prng_below(&w.rng, NODES), true);
			land_late(&w);
			if (prng_chance(&w.rng, 10000))
				elect(&w);
		}
		settle(&w);
		compare(&w);
		/* A new leader comes to the same. */
		elect(&w);
		settle(&w);
		compare(&w);
	}
	world_fini(&w);
}

START_TEST(leaders_know_what_happened)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		printf("seed %llu\n", (unsigned long long)seed);
		storm(seed);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fleet/storm");
	TCase *t = tcase_create("storm");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, leaders_know_what_happened);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
