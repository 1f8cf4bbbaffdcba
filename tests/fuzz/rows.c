/*
 * Rows of the store, and outcomes, which come from the leader and out of rows:
 * refused, or read with nothing beyond the bytes.
 *
 * The first byte says which; what is read borrows from the bytes, and is looked at.
 */
#include <stdint.h>

#include "state/command.h"
#include "state/rollout_row.h"
#include "state/outbox_row.h"
#include "doc/format.h"
#include "state/plan.h"
#include "state/proposal_row.h"
#include "state/rows.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str in;

/* All of a string lies in the bytes. */
static void within(struct str s)
{
	must(s.n == 0 || (s.p >= in.p && s.p + s.n <= in.p + in.n));
}

static void object(void)
{
	struct object_row row = { 0 };

	if (!object_row_decode(in, &row))
		return;
	within(row.labels);
	within(row.spec);
	within(row.status);
	within(row.format);
}

/* Of those that decode the same is picked without an arena, and they are written as
 * they were. */
static void rules_of(struct str bytes)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF again = BUF_NONE;
	struct client client = { .id = STR("web-1") };
	struct rules rules, back;
	struct rule rule;
	unsigned position = 0;
	int at;

	if (!rules_decode(arena, bytes, &rules)) {
		(void)!rules_pick_encoded(bytes, &client, &rule, &position);
		return;
	}
	at = rules_pick(&rules, &client);
	must(rules_pick_encoded(bytes, &client, &rule, &position) == (at >= 0));
	must(at < 0 || (position == (unsigned)at &&
			rule.version == rules.r[at].version));
	rules_encode(&again, &rules);
	must(rules_decode(arena, buf_view(&again), &back) && back.n == rules.n);
}

static void live(void)
{
	struct live_row row = { 0 };

	if (live_row_decode(in, &row))
		rules_of(row.rules);
	rules_of(in);
}

static void version(void)
{
	struct version_row row = { 0 };
	size_t half = in.n / 2;

	(void)!version_row_decode(str_first(in, half), str_from(in, half), &row);
}

static void blob(void)
{
	struct blob_head head = { 0 };
	struct str bytes = STR_NONE;

	if (blob_head_decode(in, &head, &bytes))
		within(bytes);
}

static void event(void)
{
	struct event_row row = { 0 };

	if (!event_row_decode(in, &row))
		return;
	within(row.tenant);
	within(row.name);
}

static void audit(void)
{
	struct audit_row row = { 0 };
	bool is_right = false;

	(void)!audit_row_decode(in, &row, &is_right);
}

static void token(void)
{
	struct token_row row = { 0 };

	if (token_row_decode(in, &row))
		within(row.name);
}

static void head(void)
{
	struct head h = { 0 };
	uint64_t v;

	(void)!head_decode(in, &h);
	(void)!cluster_version_decode(in, &v);
}

static void member(void)
{
	struct member_row row = { 0 };
	size_t half = MIN(in.n, KEY_MEMBERS.n + sizeof(struct uuid));

	if (!member_row_decode(str_first(in, half), str_from(in, half), &row))
		return;
	within(row.address);
	within(row.subject);
}

static void outbox(void)
{
	struct outbox_row row = { 0 };
	struct outbox_tally tally;
	struct hook_key_row key;
	size_t half = MIN(in.n, sizeof(struct uuid) + 9);

	if (outbox_row_decode(str_first(in, half), str_from(in, half), &row)) {
		within(row.tenant);
		within(row.data);
		within(row.error);
		must(notice_of(str_of(notice_name(row.notice))) == row.notice);
	}
	(void)!outbox_tally_decode(in, &tally);
	(void)!hook_key_decode(in, &key);
}

static void plan(void)
{
	struct plan_row row;
	struct plan_body body;
	uint64_t base;

	if (plan_row_decode(in, &row)) {
		within(row.proposal);
		within(row.subject);
	}
	if (!plan_body_decode(in, &body))
		return;
	within(body.command);
	for (struct rd rd = rd_of(body.bases); planned_next_base(&rd, &base);)
		;
}

/* What is read is written again alike, and can be told people. */
static void proposal(void)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF again = BUF_NONE;
	AUTO_BUF json = BUF_NONE;
	struct proposal_row row, back;
	struct value *v;
	struct err err;

	if (!proposal_row_decode(arena, in, &row))
		return;
	proposal_row_encode(&again, &row);
	must(proposal_row_decode(arena, buf_view(&again), &back));
	must(back.n_votes == row.n_votes && back.n_stages == row.n_stages);
	proposal_spec(&json, &row);
	must(doc_parse_json(buf_view(&json), arena, NULL, &v, &err) == OK);
	buf_reset(&json);
	proposal_status(&json, &row);
	must(doc_parse_json(buf_view(&json), arena, NULL, &v, &err) == OK);
	buf_reset(&json);
	proposal_data(&json, STR("acme"), STR("p-1"), &row);
	must(doc_parse_json(buf_view(&json), arena, NULL, &v, &err) == OK);
}

static void outcome(void)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF once = BUF_NONE;
	AUTO_BUF twice = BUF_NONE;
	struct outcome o, back;

	if (!outcome_decode(arena, in, &o))
		return;
	must(o.n_results <= in.n);
	must(code_is_known((unsigned)o.code));
	outcome_encode(&once, &o);
	must(outcome_decode(arena, buf_view(&once), &back));
	outcome_encode(&twice, &back);
	must(str_eq(buf_view(&once), buf_view(&twice)));
}

/* Releases that go out: written as they were read. */
static void rollout(void)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF again = BUF_NONE;
	struct rollout_row row, back;
	struct releasing_at at;

	(void)!releasing_at_decode(str_first(in, in.n / 2),
				   str_from(in, in.n / 2), &at);
	if (!rollout_row_decode(arena, in, &row))
		return;
	must(row.n_configs <= ROLLOUT_CONFIGS_MAX);
	within(row.spec);
	within(row.message);
	rollout_row_encode(&again, &row);
	must(rollout_row_decode(arena, buf_view(&again), &back) &&
	     back.n_configs == row.n_configs && back.n_notes == row.n_notes);
}

/* What a policy says, and the rules of all its steps. */
static void policy(void)
{
	AUTO_ARENA arena = arena_new(0);
	const uint8_t salt[SALT_SIZE] = { 0 };
	struct rule rule = { .version = 2 };
	struct strategy s;
	struct err err;

	if (strategy_read(arena, in, &s, &err))
		return;
	must(s.kind == STRATEGY_IMMEDIATE || s.n_steps > 0);
	must(s.n_steps <= STRATEGY_STEPS_MAX);
	for (size_t i = 0; i < s.n_steps; i++) {
		struct rules rules = { 0 };

		strategy_rules(arena, &s, i, &rule, salt, 7, &rules);
		must(rules.n > 0 && rules_check(&rules, &err) == OK);
		must(rules_drop_release(&rules, 7) > 0 && rules.n == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[])(void) = { object, live, version, blob, event,
					       audit, token, head, outcome, member,
					       outbox, rollout, policy, plan, proposal };

	if (size == 0)
		return 0;
	in = str_n(data + 1, size - 1);
	kinds[data[0] % ARRAY_LEN(kinds)]();
	return 0;
}
