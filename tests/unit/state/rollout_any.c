/*
 * Releases in steps under anything that may happen to them: publishes, pushes, moves,
 * roll-backs, deletions and changed policies in random order over several configurations.  After
 * each command
 *
 * - an instance gets, of each release that is out, either all of it or nothing, and of
 *   those that are connected by configurations that they share one at most;
 * - who was in the cohort of a release is in it still, until it turned back or another
 *   took its place;
 * - what turned back is not served again before its hold is lifted;
 * - tables say the same as objects: what is open, held and counted.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"
#include "bench.h"
#include "state/view_rollout.h"
#include "unit.h"

#include "base/banned.h"

#define CONFIGS 4u
#define CLIENTS 24u
#define COMMANDS 160u
#define RUNS 6u

static struct bench b;
static struct prng prng;
static char names[CONFIGS][24];

/* Of the release that was looked at last: who was in. */
static uint64_t cohort_of;
static bool cohort[CLIENTS];
/* Every second run: all releases go out side by side. */
static bool are_beside;
/* How often there was something to be checked. */
static unsigned n_whole, n_beside, n_kept, n_replaced, n_backs, n_left;

static unsigned below(unsigned n)
{
	return (unsigned)prng_below(&prng, n);
}

static struct op *config_op(struct command *c, enum op_type type, unsigned i)
{
	struct op *op = command_op(b.arena, c, type);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = str_of(names[i]);
	return op;
}

static void set_policy(void)
{
	/* The last ones go out side by side. */
	static const char *const specs[] = {
		"{\"strategy\":\"canary\",\"steps\":[{\"percent\":10},{\"percent\":50},"
		"{\"percent\":30}],\"concurrency\":{\"policy\":\"Supersede\"}}",
		"{\"strategy\":\"canary\",\"steps\":[{\"percent\":25},{\"percent\":75}],"
		"\"concurrency\":{\"policy\":\"Queue\",\"group\":\"g\"}}",
		"{\"strategy\":\"canary\",\"steps\":[{\"nodes\":[\"web-1\",\"web-2\"]},"
		"{\"percent\":60}]}",
		"{\"strategy\":\"blue-green\"}",
		"{\"strategy\":\"immediate\"}",
		"{\"strategy\":\"canary\",\"steps\":[{\"percent\":40},{\"percent\":100}],"
		"\"concurrency\":{\"policy\":\"Parallel\"}}",
		"{\"strategy\":\"canary\",\"steps\":[{\"nodes\":[\"web-3\",\"web-4\"]},"
		"{\"labels\":{\"zone\":\"eu\"}},{\"percent\":70}],\"concurrency\":"
		"{\"policy\":\"Parallel\"},\"rulePriority\":5}",
		"{\"strategy\":\"blue-green\",\"concurrency\":{\"policy\":\"Parallel\"}}",
	};
	size_t side_by_side = ARRAY_LEN(specs) - 3;
	size_t at = are_beside ? side_by_side + below(3) : below(ARRAY_LEN(specs));
	struct command *c = bench_command(&b);
	struct op *op = put_tenant(&b, c, NULL);

	op->kind = KIND_RELEASE_POLICY;
	op->tenant = STR("acme");
	op->name = STR("p");
	op->spec = str_of(specs[at]);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
}

static void publish(bool as_source)
{
	static const char *const contents[] = { "a", "b", "c", "d", "e" };
	struct command *c = bench_command(&b);
	unsigned mask = 1 + below((1u << CONFIGS) - 1);

	if (as_source) {
		c->subject = (struct subject){ .name = STR("source:acme/git"),
					       .role = ROLE_SOURCE,
					       .tenant = STR("acme") };
		c->commit = STR("main@sha1:1");
	}
	c->flags = COMMAND_TAKE_OVER;
	for (unsigned i = 0; i < CONFIGS; i++) {
		const char *text = contents[below(ARRAY_LEN(contents))];
		struct op *op;

		if (!(mask & BIT(i)))
			continue;
		put_blob(&b, "acme", str_of(text));
		op = add_version(&b, c, "acme", names[i], str_of(text), true);
		op->lift_hold = as_source;
	}
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

struct found {
	struct rollout_row rows[40];
	size_t n;
};

static bool find(void *data, struct str tenant, struct str name,
		 const struct rollout_row *row)
{
	struct found *f = data;

	(void)tenant;
	(void)name;
	ck_assert_uint_lt(f->n, ARRAY_LEN(f->rows));
	f->rows[f->n++] = *row;
	return true;
}

static struct found rollouts(struct kv_txn *txn)
{
	struct found f = { .n = 0 };

	ck_assert_int_eq(view_rollouts(txn, b.arena, find, &f, NULL), OK);
	return f;
}

static void add_move(struct command *c)
{
	struct kv_txn *txn = bench_read(&b);
	struct found f = rollouts(txn);
	struct op *op = command_op(b.arena, c, OP_RELEASE_MOVE);
	/* So that newer ones overtake older ones. */
	size_t at = are_beside && f.n && below(2) ? f.n - 1 : below((unsigned)f.n + !f.n);
	const struct rollout_row *row = f.n ? &f.rows[at] : NULL;
	char name[RELEASE_NAME_MAX];

	op->kind = KIND_RELEASE;
	op->tenant = STR("acme");
	release_name(name, row ? row->number : 1);
	op->name = arena_str(b.arena, str_of(name));
	op->move = are_beside && below(4) ? MOVE_ADVANCE : 1 + below(MOVE__END - 1);
	op->step = below(4) ? (row ? row->step : 0) : below(3);
	op->mode = below(4) ? ROLLBACK_STABLE_ONLY : ROLLBACK_EMERGENCY;
	op->message = STR("because");
	kv_end(&txn);
}

/* A release that completes takes from older ones what it has itself, and nothing else. */
static void only_what_it_has_is_lost(const struct found *before, const char *name)
{
	struct kv_txn *txn = bench_read(&b);
	struct found after = rollouts(txn);
	const struct rollout_row *done = NULL;

	for (size_t i = 0; i < after.n; i++) {
		char text[RELEASE_NAME_MAX];

		release_name(text, after.rows[i].number);
		if (str_eq(str_of(text), str_of(name)) &&
		    after.rows[i].phase == ROLLOUT_COMPLETED)
			done = &after.rows[i];
	}
	for (size_t i = 0; done && i < before->n; i++) {
		const struct rollout_row *was = &before->rows[i], *is = NULL;

		if (!rollout_is_open(was->phase) || was->number >= done->number)
			continue;
		for (size_t k = 0; k < after.n; k++)
			if (after.rows[k].number == was->number)
				is = &after.rows[k];
		for (size_t k = 0; k < was->n_configs; k++) {
			struct str at = was->configs[k].name;
			bool stays = is && rollout_row_config(is, at);

			ck_assert(stays == !rollout_row_config(done, at));
			n_left += stays && is->n_configs < was->n_configs;
		}
	}
	kv_end(&txn);
}

static bool may_refuse_move(struct command *c)
{
	enum code rc = bench_apply(&b, c)->code;

	ck_assert_msg(rc == OK || rc == E_PHASE || rc == E_CONFLICT ||
		      rc == E_LOCKED || rc == E_NOT_FOUND, "%s", b.last.text);
	return rc == OK;
}

static void move(void)
{
	struct command *c = bench_command(&b);
	struct kv_txn *txn = bench_read(&b);
	struct found before = rollouts(txn);

	kv_end(&txn);
	add_move(c);
	if (may_refuse_move(c))
		only_what_it_has_is_lost(&before, c->ops[0].name.p);
}

static void roll_back(void)
{
	struct command *c = bench_command(&b);
	struct op *op = config_op(c, OP_ROLLBACK, below(CONFIGS));
	enum code rc;

	op->mode = below(2) ? ROLLBACK_STABLE_ONLY : ROLLBACK_EMERGENCY;
	rc = bench_apply(&b, c)->code;
	ck_assert(rc == OK || rc == E_UNPROCESSABLE);
}

static void lift(void)
{
	struct command *c = bench_command(&b);

	config_op(c, OP_HOLD_LIFT, below(CONFIGS));
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
}

/* Some are deleted, and are there anew when the command is at its end; in between a
 * release may move. */
static void replace(void)
{
	unsigned mask = 1 + below((1u << CONFIGS) - 1);
	struct command *c = bench_command(&b);

	c->flags = COMMAND_TAKE_OVER;
	for (unsigned i = 0; i < CONFIGS; i++)
		if (mask & BIT(i))
			config_op(c, OP_OBJECT_DELETE, i);
	if (below(2))
		add_move(c);
	for (unsigned i = 0; i < CONFIGS; i++) {
		if (!(mask & BIT(i)))
			continue;
		put_config(&b, c, "acme", "shop", "prod",
			   names[i] + sizeof("shop.prod.") - 1);
		add_version(&b, c, "acme", names[i], STR("a"), true);
	}
	n_replaced += may_refuse_move(c);
}

/* ---- what must hold ---- */

static struct str client_name(char id[16], unsigned i)
{
	snprintf(id, 16, "web-%u", i);
	return str_of(id);
}

static struct live_row live_at(struct kv_txn *txn, struct str name)
{
	struct object_view o;

	ck_assert_int_eq(view_object(txn, KIND_CONFIG, STR("acme"), name, &o, NULL),
			 OK);
	return o.live;
}

/* A fourth of them is in Europe. */
static bool is_in_zone(unsigned client, struct label *zone)
{
	*zone = (struct label){ STR("zone"), STR("eu") };
	return client % 4 == 0;
}

/* The release that gives a client what it gets; 0: none. */
static uint64_t release_for(const struct live_row *live,
			    const struct rules *rules, unsigned i)
{
	char id[16];
	struct label zone;
	struct client client = { .id = client_name(id, i) };
	struct rule rule;
	unsigned position;
	int at;

	if (is_in_zone(i, &zone))
		client.labels = (struct labels){ &zone, 1, 1 };
	ck_assert(rules_pick_encoded(live->rules, &client, &rule, &position));
	at = rules_pick(rules, &client);
	if (at != (int)position || rules->r[at].release != rule.release ||
	    rule.version == 0)
		ck_abort_msg("web-%u: rule %d or %u", i, at, position);
	return rule.release;
}

/* What each gets at each configuration, after this command. */
static uint64_t got[CONFIGS][CLIENTS];

static void look_at_all(struct kv_txn *txn)
{
	for (unsigned k = 0; k < CONFIGS; k++) {
		struct live_row live = live_at(txn, str_of(names[k]));
		struct rules rules;

		ck_assert(rules_decode(b.arena, live.rules, &rules));
		for (unsigned i = 0; i < CLIENTS; i++)
			got[k][i] = release_for(&live, &rules, i);
	}
}

static bool is_given(const struct rollout_row *row, size_t config, unsigned client)
{
	for (unsigned k = 0; k < CONFIGS; k++)
		if (str_eq(str_of(names[k]), row->configs[config].name))
			return got[k][client] == row->number;
	ck_abort();
}

/* Nobody is in a release at a part of its configurations. */
static void all_or_nothing(const struct rollout_row *row, bool is_newest)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		unsigned in = 0;

		for (size_t k = 0; k < row->n_configs; k++)
			in += is_given(row, k, i);
		if (in != 0 && in != row->n_configs)
			ck_abort_msg("web-%u: %u of %zu of release %llu", i, in,
				     row->n_configs,
				     (unsigned long long)row->number);
		n_whole += in > 1;
		if (is_newest && row->number == cohort_of && !in && cohort[i])
			ck_abort_msg("web-%u is not in any more", i);
		if (is_newest)
			cohort[i] = in > 0;
	}
	if (is_newest)
		cohort_of = row->number;
}

/* Are they connected, as far as configurations that they share go? */
static bool share_one(const struct rollout_row *x, const struct rollout_row *y)
{
	for (size_t i = 0; i < x->n_configs; i++)
		if (rollout_row_config(y, x->configs[i].name))
			return true;
	return false;
}

/* Of releases that are connected, by others too, a client has one. */
static void one_of_a_part(const struct found *f)
{
	size_t part[ARRAY_LEN(f->rows)];

	for (size_t i = 0; i < f->n; i++)
		part[i] = i;
	for (size_t i = 0; i < f->n; i++)
		for (size_t k = 0; k < i; k++) {
			size_t was = part[i];

			if (!rollout_is_out(f->rows[i].phase) ||
			    !rollout_is_out(f->rows[k].phase) ||
			    !share_one(&f->rows[i], &f->rows[k]))
				continue;
			n_beside++;
			for (size_t n = 0; n < f->n; n++)
				if (part[n] == was)
					part[n] = part[k];
		}
	for (unsigned i = 0; i < CLIENTS; i++) {
		uint64_t has[ARRAY_LEN(f->rows)] = { 0 };

		for (size_t n = 0; n < f->n; n++)
			for (size_t k = 0; k < f->rows[n].n_configs; k++) {
				if (!is_given(&f->rows[n], k, i))
					continue;
				if (has[part[n]] &&
				    has[part[n]] != f->rows[n].number)
					ck_abort_msg("web-%u: parts of two", i);
				has[part[n]] = f->rows[n].number;
			}
	}
}

/* What a release that completed can turn back to, of what was not replaced since. */
static size_t kept_by(struct kv_txn *txn, const struct rollout_row *row)
{
	size_t n = 0;

	for (size_t i = 0; row->phase == ROLLOUT_COMPLETED && i < row->n_configs; i++) {
		const struct rollout_config *c = &row->configs[i];
		struct live_row live = live_at(txn, c->name);
		AUTO_BUF key = BUF_NONE;

		if (!c->previous || memcmp(live.uid.b, c->uid.b, sizeof(c->uid.b)))
			continue;
		n++;
		key_releasing_kept(&key, STR("acme"), c->name);
		wr_u64_be(&key, row->number);
		ck_assert(kv_get(txn, KV_RELEASING, buf_view(&key), NULL));
	}
	return n;
}

/* Releases that turned back where the content of another is held. */
static size_t turned_back_at(struct kv_txn *txn, const char *name,
			     const struct live_row *live)
{
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	size_t n = 0;

	key_releasing_back(&prefix, STR("acme"), str_of(name));
	for (bool on = kv_seek(txn, KV_RELEASING, buf_view(&prefix), &c);
	     on && str_starts(c.key, buf_view(&prefix)); on = kv_next(&c)) {
		struct rd rd = rd_of(str_from(c.key, prefix.n));

		ck_assert(live->has_hold);
		ck_assert_uint_ne(rd_u64_be(&rd), live->hold_release);
		n++;
	}
	kv_cursor_close(&c);
	n_backs += n;
	return n;
}

static void open_is_indexed(struct kv_txn *txn, const struct found *f)
{
	size_t indexed = 0, expected = 0;
	struct kv_cursor c;

	for (size_t i = 0; i < f->n; i++)
		expected += kept_by(txn, &f->rows[i]);
	for (size_t i = 0; i < f->n; i++)
		if (rollout_is_open(f->rows[i].phase))
			expected += f->rows[i].n_configs +
				    (f->rows[i].group.n > 0);
	for (unsigned i = 0; i < CONFIGS; i++) {
		struct live_row live = live_at(txn, str_of(names[i]));
		struct rules rules;
		AUTO_BUF key = BUF_NONE;

		ck_assert(rules_decode(b.arena, live.rules, &rules));
		/* Rules of releases are of ones that are out. */
		for (size_t k = 0; k < rules.n; k++) {
			bool is_out = rules.r[k].release == 0;

			for (size_t n = 0; n < f->n; n++)
				is_out = is_out ||
					 (f->rows[n].number == rules.r[k].release &&
					  rollout_is_out(f->rows[n].phase) &&
					  !rules.r[k].version ==
					  !rollout_row_config(&f->rows[n],
							      str_of(names[i])));
			ck_assert(is_out);
			n_kept += !rules.r[k].version;
		}
		ck_assert_int_ge(rules_default(&rules), 0);
		expected += turned_back_at(txn, names[i], &live);
		if (!live.has_hold)
			continue;
		/* What is held is not served to anybody. */
		for (size_t k = 0; k < rules.n; k++)
			ck_assert_msg(live.hold_release == 0 ||
				      !sha256_eq(&rules.r[k].sha, &live.hold),
				      "held by %llu, served by %llu",
				      (unsigned long long)live.hold_release,
				      (unsigned long long)rules.r[k].release);
		if (live.hold_release) {
			expected++;
			key_releasing_hold(&key, STR("acme"), live.hold_release);
			buf_z(&key, names[i]);
			ck_assert(kv_get(txn, KV_RELEASING, buf_view(&key), NULL));
		}
	}
	for (bool on = kv_seek(txn, KV_RELEASING, STR_NONE, &c); on; on = kv_next(&c))
		indexed++;
	kv_cursor_close(&c);
	ck_assert_uint_eq(indexed, expected);
}

static void check(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct found f = rollouts(txn);
	const struct rollout_row *newest = NULL;
	uint64_t held = 0;
	struct live_row live;

	look_at_all(txn);
	for (size_t i = 0; i < f.n; i++)
		if (rollout_is_out(f.rows[i].phase) &&
		    (!newest || f.rows[i].number > newest->number))
			newest = &f.rows[i];
	for (size_t i = 0; i < f.n; i++)
		if (rollout_is_out(f.rows[i].phase))
			all_or_nothing(&f.rows[i], &f.rows[i] == newest);
	one_of_a_part(&f);
	open_is_indexed(txn, &f);
	for (unsigned i = 0; i < CONFIGS; i++) {
		live = live_at(txn, str_of(names[i]));
		held += live.has_hold && live.hold_release > 0;
		held += turned_back_at(txn, names[i], &live);
	}
	ck_assert_uint_eq(view_count(txn, STR("acme"), (enum kind_id)251),
			  1 + f.n + held);
	kv_end(&txn);
}

START_TEST(anything_goes)
{
	struct command v = { .type = COMMAND_VERSION, .version = 5 };
	struct command *c;

	prng_init(&prng, 20261121u + (unsigned)_i);
	are_beside = _i % 2;
	bench_open(&b, "boot-1");
	v.time_ms = b.time_ms;
	bench_apply(&b, &v);
	bench_shop(&b, "a");
	c = bench_command(&b);
	for (unsigned i = 0; i < CONFIGS; i++) {
		char file[16];

		snprintf(file, sizeof(file), "f%u", i);
		snprintf(names[i], sizeof(names[i]), "shop.prod.f%u", i);
		put_config(&b, c, "acme", "shop", "prod",
			   arena_str(b.arena, str_of(file)).p);
		add_version(&b, c, "acme", names[i], STR("a"), true);
	}
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	set_policy();
	for (unsigned i = 0; i < COMMANDS; i++) {
		unsigned what = below(are_beside ? 14 : 20);

		b.time_ms += below(100000);
		if (what < 1)
			set_policy();
		else if (what < (are_beside ? 3 : 5))
			publish(true);
		else if (what < 7)
			publish(false);
		else if (what < 8)
			roll_back();
		else if (what < 9)
			lift();
		else if (below(4) < 1)
			replace();
		else
			move();
		check();
	}
	bench_close(&b);
	ck_assert(!are_beside || (n_whole > 200 && n_beside > 50 && n_kept > 50));
	ck_assert_uint_gt(n_replaced, 2);
	ck_assert(!are_beside || (n_backs > 10 && n_left > 2));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/rollout_any");
	TCase *t = tcase_create("rollout_any");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, anything_goes, 0, RUNS);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
