/*
 * The gate against anything: random changes, votes, executions, policies, windows and
 * time, from a printed seed, over several configurations.  After each command:
 *
 *	nothing that nobody approved is ever live, whatever brings it: also a version
 *	that was put aside, and that a way back names
 *	what was proposed is executed at most once, and only approved and in its time
 *	a proposal moves only as its table allows
 *	what one that is open was computed from is still so, and only of one that is
 *	stale it is not
 *	what plans keep of content is there, and goes
 *
 * What "approved" is, the test counts by itself, from the votes that were accepted.
 */
#include "gate_help.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"

#include "base/banned.h"

#define CONFIGS 4
#define CONTENTS 6
#define STEPS 550
#define KNOWN 600

static struct prng prng;
static const char *const names[CONFIGS] = {
	"shop.prod.a", "shop.prod.b", "shop.prod.c", "shop.test.d" };
static const char *const contents[CONTENTS] = { "0", "1", "2", "3", "4", "5" };
static const char *const voters[] = { "ann", "bob", "cid", "eve" };

/* What the test knows of a proposal. */
static struct known {
	char name[64], author[16];
	enum proposal_phase phase;
	unsigned executed;
	bool voted[ARRAY_LEN(voters)];
	uint64_t not_before_ms, expires_ms;
	bool changes[CONFIGS];
	int to[CONFIGS];
	uint64_t revs[CONFIGS];          /* of which it was computed */
} known[KNOWN];
static size_t n_known;
/* What is live, as the test believes it; -1: nothing. */
static int believed[CONFIGS];
/* Which versions were the default: those are ways back. */
#define VERSIONS (STEPS + 8)
static bool was_live[CONFIGS][VERSIONS];
static uint32_t last_version[CONFIGS];
static bool has_policy, has_window;
static unsigned required;
static unsigned done_of[8];

static unsigned below(unsigned n)
{
	return (unsigned)prng_below(&prng, n);
}

static int live_of(int config, uint32_t *version)
{
	static const char *const envs[] = { "prod", "prod", "prod", "test" };
	struct address at = { STR("acme"), STR("shop"), str_of(envs[config]),
			      str_of(names[config] + 10) };
	struct kv_txn *txn = bench_read(&b);
	struct client none = { 0 };
	struct config_view v;
	int is = -1;

	*version = 0;
	if (view_config(txn, &at, &none, &v, NULL) == OK)
		for (int i = 0; i < CONTENTS; i++) {
			struct sha256 sha = sha256_of(str_of(contents[i]));

			if (sha256_eq(&sha, &v.rule.sha)) {
				is = i;
				*version = v.rule.version;
			}
		}
	kv_end(&txn);
	return is;
}

static struct known *find(const char *name)
{
	for (size_t i = 0; i < n_known; i++)
		if (strcmp(known[i].name, name) == 0)
			return &known[i];
	return NULL;
}

static uint64_t rev_of(int config)
{
	struct kv_txn *txn = bench_read(&b);
	struct object_view v;
	uint64_t rev = 0;

	if (view_object(txn, KIND_CONFIG, STR("acme"), str_of(names[config]), &v,
			NULL) == OK)
		rev = MAX(v.row.rev, v.live.base_rev);
	kv_end(&txn);
	return rev;
}

/* ---- after each command ---- */

static void check_bases(const struct known *k, const uint64_t *now)
{
	bool moved = false;

	for (int i = 0; i < CONFIGS; i++)
		moved |= k->changes[i] && now[i] != k->revs[i];
	if (proposal_is_open(k->phase))
		ck_assert_msg(!moved, "%s waits on what has moved", k->name);
	if (k->phase == PROPOSAL_STALE)
		ck_assert_msg(moved, "%s is stale, and nothing moved", k->name);
}

static void check(void)
{
	uint64_t revs[CONFIGS];

	for (int i = 0; i < CONFIGS; i++)
		revs[i] = rev_of(i);
	for (int i = 0; i < CONFIGS; i++) {
		uint32_t version;

		ck_assert_msg(live_of(i, &version) == believed[i],
			      "%s is %d and was let through as %d", names[i],
			      live_of(i, &version), believed[i]);
		was_live[i][version] = true;
	}
	for (size_t i = 0; i < n_known; i++) {
		struct proposal_row row = row_of(known[i].name);

		ck_assert_msg(row.phase == known[i].phase ||
			      proposal_may(known[i].phase, row.phase) ||
			      (known[i].phase == PROPOSAL_PENDING &&
			       row.phase == PROPOSAL_EXECUTED),
			      "%s: %s to %s", known[i].name,
			      proposal_phase_name(known[i].phase),
			      proposal_phase_name(row.phase));
		done_of[4] += row.phase == PROPOSAL_STALE &&
			      known[i].phase != PROPOSAL_STALE;
		known[i].phase = row.phase;
		check_bases(&known[i], revs);
		ck_assert_uint_le(known[i].executed, 1);
	}
}

/* ---- what is done ---- */

static void note(const struct known *k)
{
	struct known *is = find(b.last.proposal);
	struct proposal_row row;

	done_of[0]++;
	if (is) {
		ck_assert(proposal_is_open(is->phase));
		return;
	}
	ck_assert_uint_lt(n_known, KNOWN);
	is = &known[n_known++];
	*is = *k;
	str_copy(is->name, sizeof(is->name), str_of(b.last.proposal));
	row = row_of(is->name);
	is->phase = row.phase;
	for (int i = 0; i < CONFIGS; i++)
		is->revs[i] = rev_of(i);
	is->not_before_ms = row.not_before_ms;
	is->expires_ms = row.expires_ms;
}

static void change(void)
{
	const char *who = voters[below(3)];
	struct command *c = as(who);
	struct known k = { 0 };
	unsigned n = 1 + below(2);
	bool gated = false;

	str_copy(k.author, sizeof(k.author), str_of(who));
	for (unsigned i = 0; i < n; i++) {
		int config = (int)below(CONFIGS), to = (int)below(CONTENTS);
		struct str s = str_of(contents[to]);

		if (k.changes[config])
			continue;
		*command_content(b.arena, c) = (struct content_part){
			STR("acme"), sha256_of(s), s };
		add_version(&b, c, "acme", names[config], s, true);
		k.changes[config] = true;
		k.to[config] = to;
		gated |= config < 3 && believed[config] != to;
	}
	bench_apply(&b, c);
	if (b.last.code) {
		ck_assert_msg(b.last.code == E_LOCKED || b.last.code == E_FROZEN,
			      "%s", b.last.text);
		ck_assert(b.last.code != E_FROZEN || has_window);
		return;
	}
	if (b.last.proposal[0]) {
		ck_assert(has_policy && gated);
		note(&k);
		return;
	}
	ck_assert_msg(!gated || !has_policy, "passed without approval");
	for (int i = 0; i < CONFIGS; i++)
		if (k.changes[i])
			believed[i] = k.to[i];
}

/* Of the newest, rather one that is open. */
static struct known *any_known(void)
{
	struct known *k = NULL;

	for (int i = 0; i < 4 && n_known; i++) {
		k = &known[n_known - 1 -
			   below((unsigned)MIN(n_known, (size_t)6))];
		if (proposal_is_open(k->phase))
			return k;
	}
	return k;
}

static void say(void)
{
	struct known *k = any_known();
	unsigned who = below(ARRAY_LEN(voters));
	enum vote what = below(8) ? VOTE_APPROVE : 1 + below(VOTE__END - 1);
	enum code rc;

	if (!k)
		return;
	rc = vote(voters[who], k->name, what);
	if (strcmp(voters[who], k->author) == 0 && what != VOTE_CANCEL)
		ck_assert_int_ne(rc, OK);
	if (rc || what != VOTE_APPROVE)
		return;
	ck_assert_msg(who < 3, "eve has no group");
	k->voted[who] = true;
	done_of[1]++;
}

static unsigned votes_of(const struct known *k)
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(voters); i++)
		n += k->voted[i];
	return n;
}

static void try_execute(void)
{
	struct known *k = any_known();
	enum code rc;

	if (!k)
		return;
	rc = execute(k->name);
	if (rc || strcmp(b.last.phase, "Executed") != 0)
		return;
	ck_assert_msg(k->phase == PROPOSAL_APPROVED, "%s", k->name);
	ck_assert_uint_ge(votes_of(k), row_of(k->name).stages[0].is.required);
	ck_assert_uint_ge(b.time_ms, k->not_before_ms);
	ck_assert_uint_lt(b.time_ms, k->expires_ms);
	ck_assert(!has_window);
	k->executed++;
	done_of[2]++;
	for (int i = 0; i < CONFIGS; i++)
		if (k->changes[i])
			believed[i] = k->to[i];
}

static void turn_policy(void)
{
	AUTO_BUF spec = BUF_NONE;

	if (has_policy && below(4) == 0) {
		delete(KIND_APPROVAL_POLICY, "prod");
		has_policy = false;
		return;
	}
	required = 1 + below(2);
	buf_printf(&spec, "{\"expiresAfter\":\"%um\",\"onConflict\":\"%s\","
		   "\"select\":{\"environments\":[\"prod\"]},\"stages\":[{\"from\":"
		   "{\"groups\":[\"leads\"]},\"required\":%u}],"
		   "\"startAfter\":\"%um\"}", 1 + below(20),
		   below(2) ? "Supersede" : "Conflict", required, below(3));
	make(KIND_APPROVAL_POLICY, "prod", arena_z(b.arena, buf_view(&spec)));
	has_policy = true;
}

static void turn_window(void)
{
	if (has_window)
		delete(KIND_FREEZE_WINDOW, "w");
	else if (below(3))
		return;
	else
		make(KIND_FREEZE_WINDOW, "w", "{\"interval\":{\"end\":"
		     "\"2099-01-01T00:00:00Z\",\"start\":\"2000-01-01T00:00:00Z\"},"
		     "\"owner\":\"o\",\"reason\":\"r\"}");
	has_window = !has_window;
}

/* Versions that nobody gets need nobody's approval. */
static void put_aside(void)
{
	struct command *c = as(voters[below(3)]);
	struct str s = str_of(contents[below(CONTENTS)]);

	*command_content(b.arena, c) = (struct content_part){
		STR("acme"), sha256_of(s), s };
	add_version(&b, c, "acme", names[below(CONFIGS)], s, false);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	ck_assert_str_eq(b.last.proposal, "");
}

static int content_of(int config, uint32_t version)
{
	struct kv_txn *txn = bench_read(&b);
	struct version_row row;
	struct object_view o;
	int is = -1;

	if (view_object(txn, KIND_CONFIG, STR("acme"), str_of(names[config]), &o,
			NULL) == OK &&
	    view_version(txn, STR("acme"), o.row.uid, version, &row, NULL) == OK)
		for (int i = 0; i < CONTENTS; i++) {
			struct sha256 sha = sha256_of(str_of(contents[i]));

			if (sha256_eq(&sha, &row.sha))
				is = i;
		}
	if (o.has_live)
		last_version[config] = o.live.last_version;
	kv_end(&txn);
	return is;
}

/* A way back to what was live is never blocked, and moves what proposals stand on;
 * one to anything else is a publish. */
static void go_back(void)
{
	const char *who = voters[below(3)];
	struct command *c = as(who);
	struct op *op = command_op(b.arena, c, OP_ROLLBACK);
	int config = (int)below(CONFIGS), to;
	struct known k = { 0 };
	bool is_new;
	uint32_t version;

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = str_of(names[config]);
	op->mode = ROLLBACK_STABLE_ONLY;
	op->version = below(3) ? 1 + below(last_version[config] + 1) : 0;
	to = content_of(config, op->version);
	is_new = op->version && to >= 0 && !was_live[config][op->version];
	str_copy(k.author, sizeof(k.author), str_of(who));
	k.changes[config] = true;
	k.to[config] = to;
	bench_apply(&b, c);
	done_of[5] += is_new;
	if (b.last.code) {
		ck_assert_msg(is_new || b.last.code == E_UNPROCESSABLE, "%s",
			      b.last.text);
		ck_assert(b.last.code != E_FROZEN || has_window);
		return;
	}
	if (b.last.proposal[0]) {
		ck_assert(is_new && has_policy && config < 3);
		note(&k);
		return;
	}
	ck_assert_msg(!is_new || !((has_policy && config < 3) || has_window),
		      "%s got version %u, which was never live, by a way back",
		      names[config], op->version);
	believed[config] = live_of(config, &version);
	ck_assert(op->version ? believed[config] == to : was_live[config][version]);
}

static void break_glass(void)
{
	struct command *c = as("eve");
	struct str s = str_of(contents[below(CONTENTS)]);

	c->flags = COMMAND_BREAK_GLASS;
	c->reason = STR("it burns");
	*command_content(b.arena, c) = (struct content_part){
		STR("acme"), sha256_of(s), s };
	add_version(&b, c, "acme", names[0], s, true);
	bench_apply(&b, c);
	/* No policy of these lets her. */
	if (b.last.code == OK)
		believed[0] = s.p[0] - '0';
	ck_assert(b.last.code == OK || b.last.code == E_DENIED);
	ck_assert(b.last.code == E_DENIED || !(has_policy || has_window) ||
		  live_of(0, &(uint32_t){ 0 }) == believed[0]);
}

static void pass_time(void)
{
	tick_after(below(16) ? below(60) * 1000 : below(26 * 3600) * 1000ull);
	done_of[3]++;
}

static void step(void)
{
	static void (*const acts[])(void) = {
		change, change, change, say, say, say, say, try_execute,
		try_execute, try_execute, pass_time, go_back, go_back, put_aside,
		turn_policy, turn_window, break_glass };

	acts[below(ARRAY_LEN(acts))]();
	/* Windows and their absence are to be equally common. */
	check();
}

static void put_configs(void)
{
	struct command *c = bench_command(&b);

	put_config(&b, c, "acme", "shop", "prod", "a");
	put_config(&b, c, "acme", "shop", "prod", "b");
	put_config(&b, c, "acme", "shop", "prod", "c");
	put_config(&b, c, "acme", "shop", "test", "d");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

START_TEST(nothing_unapproved_is_ever_live)
{
	const char *given = getenv("SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : 1000 + (uint64_t)_i;

	fprintf(stderr, "SEED=%llu\n", (unsigned long long)seed);
	prng_init(&prng, seed);
	for (int i = 0; i < CONFIGS; i++)
		believed[i] = -1;
	people();
	let_in("cid", LEADS, ALL, 0);
	put_configs();
	turn_policy();
	for (int i = 0; i < STEPS; i++)
		step();
	/* It did happen. */
	ck_assert_uint_gt(done_of[0], 5);
	ck_assert_uint_gt(done_of[1], 3);
	ck_assert_uint_gt(done_of[2], 0);
	ck_assert_uint_gt(done_of[4], 0);
	ck_assert_uint_gt(done_of[5], 5);
	/* What was kept goes, when all is over. */
	for (int i = 0; i < 4; i++)
		tick_after(26 * 3600000);
	ck_assert_uint_eq(rows(KV_LOCKS), 0);
	ck_assert_uint_eq(rows(KV_PLANS), 0);
	ck_assert_uint_eq(rows(KV_DUE), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/gate_any");
	TCase *t = tcase_create("any");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, gate_setup, gate_teardown);
	tcase_add_loop_test(t, nothing_unapproved_is_ever_live, 0, 3);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
