/* Commands that wait for a time, whether somebody is to agree or not. */
#include "gate_help.h"
#include "state/rollout_row.h"
#include "unit.h"

#include "base/banned.h"

#define MINUTE 60000ull
#define DAY (24 * 60 * MINUTE)

static const struct outcome *publish_at(struct command *c, uint64_t ms,
					const char *text)
{
	c->not_before_ms = ms;
	return publish(c, text);
}

START_TEST(it_waits_where_nobody_is_asked)
{
	uint64_t at = b.time_ms + 5 * MINUTE;
	struct proposal_row row;
	const char *p;

	people();
	publish_at(as("ann"), at, "two\n");
	p = proposed("Approved");
	ck_assert_str_eq(live(), "one\n");
	row = row_of(p);
	ck_assert_uint_eq(row.not_before_ms, at);
	ck_assert_uint_eq(row.expires_ms, at + DAY);
	ck_assert_uint_eq(row.n_stages, 0);
	ck_assert(str_is(row.authors.subject, "ann"));
	/* The same again is the same; at another time it is another. */
	publish_at(as("ann"), at, "two\n");
	ck_assert_str_eq(proposed("Approved"), p);
	ck_assert_int_eq(publish_at(as("ann"), at + 1, "two\n")->code, E_LOCKED);
	b.time_ms = at - 1;
	ck_assert_int_eq(execute(p), E_PHASE);
	b.time_ms = at;
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(b.last.phase, "Executed");
	ck_assert_str_eq(live(), "two\n");
	ck_assert(str_is(last_audit().subject, "ann"));
	ck_assert_int_eq(execute(p), E_PHASE);
}
END_TEST

/* Who brought it may think better of it, and what moves ends it. */
START_TEST(it_is_a_proposal_like_any)
{
	const char *p;

	people();
	publish_at(as("ann"), b.time_ms + MINUTE, "two\n");
	p = proposed("Approved");
	ck_assert_int_eq(vote("eve", p, VOTE_APPROVE), E_DENIED);
	ck_assert_int_eq(vote("ann", p, VOTE_CANCEL), OK);
	phase_is(p, PROPOSAL_CANCELLED);
	publish_at(as("ann"), b.time_ms + MINUTE, "two\n");
	p = proposed("Approved");
	ck_assert_int_eq(publish(as("bob"), "three\n")->code, OK);
	phase_is(p, PROPOSAL_STALE);
	b.time_ms += MINUTE;
	ck_assert_int_eq(execute(p), E_PHASE);
	ck_assert_str_eq(live(), "three\n");
	publish_at(as("ann"), b.time_ms + MINUTE, "two\n");
	p = proposed("Approved");
	tick_after(MINUTE + DAY);
	phase_is(p, PROPOSAL_EXPIRED);
}
END_TEST

/* startAfter is ten minutes: the later of the two counts. */
static const struct {
	uint64_t after_ms, want_ms;
} both[] = {
	{ 5 * MINUTE, 10 * MINUTE }, { 20 * MINUTE, 20 * MINUTE },
	{ 0, 10 * MINUTE },
};

/* Else it would be a way around each policy that is to come. */
START_TEST(a_policy_that_comes_meanwhile_counts)
{
	const char *p;

	people();
	publish_at(as("ann"), b.time_ms + MINUTE, "two\n");
	p = proposed("Approved");
	make(KIND_APPROVAL_POLICY, "prod", "{\"stages\":[" BY("leads") "]}");
	b.time_ms += MINUTE;
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(b.last.phase, "Failed");
	ck_assert_int_eq(row_of(p).failure.at, FAILED_UNASKED);
	ck_assert_uint_eq(row_of(p).failure.code, E_CONFLICT);
	ck_assert_str_eq(live(), "one\n");
}
END_TEST

START_TEST(the_later_of_it_and_the_policys_holds)
{
	uint64_t now = b.time_ms, want = now + both[_i].want_ms;
	const char *p;

	make(KIND_APPROVAL_POLICY, "prod", "{\"startAfter\":\"10m\",\"stages\":["
	     BY("leads") "]}");
	people();
	now = b.time_ms;
	want = now + both[_i].want_ms;
	publish_at(as("ann"), now + both[_i].after_ms, "two\n");
	p = proposed("Pending");
	ck_assert_uint_eq(row_of(p).not_before_ms, want);
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	b.time_ms = want - 1;
	ck_assert_int_eq(execute(p), E_PHASE);
	b.time_ms = want;
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(live(), "two\n");
}
END_TEST

START_TEST(what_waits_for_nothing)
{
	/* It would change nothing; and its time is over. */
	ck_assert_int_eq(publish_at(bench_command(&b), b.time_ms + MINUTE, "one\n")
				 ->code, OK);
	ck_assert_str_eq(b.last.proposal, "");
	ck_assert_int_eq(publish_at(bench_command(&b), b.time_ms, "two\n")->code, OK);
	ck_assert_str_eq(b.last.proposal, "");
	ck_assert_str_eq(live(), "two\n");
}
END_TEST

/* Policies of the tenant that was looked at before it are none of its own. */
START_TEST(the_policies_of_another_tenant_do_not_count)
{
	struct command *c = bench_command(&b);
	struct proposal_row row;
	struct kv_txn *txn;

	put_tenant(&b, c, "other");
	put_config(&b, c, "other", "shop", "prod", "db.toml");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	need_leads();
	people();
	publish(as("ann"), "two\n");
	proposed("Pending");
	put_blob(&b, "other", STR("x"));
	c = bench_command(&b);
	c->not_before_ms = b.time_ms + MINUTE;
	add_version(&b, c, "other", CONFIG, STR("x"), true);
	bench_apply(&b, c);
	proposed("Approved");
	txn = bench_read(&b);
	ck_assert_int_eq(view_proposal(txn, b.arena, STR("other"),
				       str_of(b.last.proposal), &row, NULL), OK);
	ck_assert_uint_eq(row.n_policies + row.n_stages, 0);
	kv_end(&txn);
}
END_TEST

START_TEST(what_cannot_wait_is_refused)
{
	struct command *c;
	struct op *op;

	people();
	ck_assert_int_eq(publish_at(as("ann"), b.time_ms + 91 * DAY, "two\n")->code,
			 E_INVALID);
	c = as("ann");
	c->flags = COMMAND_BREAK_GLASS;
	c->reason = STR("it burns");
	ck_assert_int_eq(publish_at(c, b.time_ms + MINUTE, "two\n")->code, E_INVALID);
	c = bench_command(&b);
	c->not_before_ms = b.time_ms + MINUTE;
	put_tenant(&b, c, "new");
	ck_assert_int_eq(bench_apply(&b, c)->code, E_INVALID);
	c = bench_command(&b);
	c->not_before_ms = b.time_ms + MINUTE;
	op = command_op(b.arena, c, OP_SUBJECT_PUT);
	op->name = op->author = STR("kim");
	op->sha = token_of("kim");
	ck_assert_int_eq(bench_apply(&b, c)->code, E_INVALID);
	ck_assert_uint_eq(rows(KV_PROPOSALS), 0);
	ck_assert_uint_eq(rows(KV_LOCKS), 0);
	ck_assert_str_eq(live(), "one\n");
}
END_TEST

/* It waits over a window, and is held by one that is open when its time has come. */
START_TEST(windows_count_when_its_time_has_come)
{
	const char *p;

	people();
	make(KIND_FREEZE_WINDOW, "w", "{\"interval\":{\"end\":"
	     "\"2099-01-01T00:00:00Z\",\"start\":\"2000-01-01T00:00:00Z\"},"
	     "\"owner\":\"o\",\"reason\":\"r\"}");
	publish_at(as("ann"), b.time_ms + MINUTE, "two\n");
	p = proposed("Approved");
	b.time_ms += MINUTE;
	ck_assert_int_eq(execute(p), E_FROZEN);
	phase_is(p, PROPOSAL_APPROVED);
	delete(KIND_FREEZE_WINDOW, "w");
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(live(), "two\n");
}
END_TEST

/* A plan says when, or who executes it does. */
START_TEST(plans_wait_as_well)
{
	struct kv_txn *txn;
	struct sha256 digest;
	struct str bytes, s = STR("two\n");
	struct command *c;
	struct op *op;
	const char *p;

	people();
	for (int i = 0; i < 2; i++) {
		uint64_t at = b.time_ms + MINUTE;

		c = as("ann");
		*command_content(b.arena, c) = (struct content_part){
			STR("acme"), sha256_of(s), s };
		add_version(&b, c, "acme", CONFIG, s, true);
		c->not_before_ms = i ? at : 0;
		bytes = bench_encode(&b, c);
		txn = bench_read(&b);
		ck_assert_int_eq(planned_digest(txn, bytes, &digest, NULL), OK);
		kv_end(&txn);
		c = as("ann");
		op = command_op(b.arena, c, OP_PLAN_PUT);
		op->tenant = STR("acme");
		op->sha = digest;
		op->bytes = bytes;
		ck_assert_int_eq(bench_apply(&b, c)->code, OK);
		c = as("bob");
		c->not_before_ms = i ? 0 : at;
		op = command_op(b.arena, c, OP_EXECUTE);
		op->tenant = STR("acme");
		op->sha = digest;
		bench_apply(&b, c);
		p = proposed("Approved");
		ck_assert_str_eq(live(), i ? "three\n" : "one\n");
		ck_assert_uint_eq(row_of(p).not_before_ms, at);
		b.time_ms = at;
		ck_assert_int_eq(execute(p), OK);
		ck_assert_str_eq(b.last.phase, "Executed");
		ck_assert_str_eq(live(), "two\n");
		ck_assert_int_eq(publish(as("ann"), "three\n")->code, OK);
	}
}
END_TEST

/* Time that passes in the batch of the tenant's first webhook tells that one, as it does
 * in a batch of its own: '_i'. */
START_TEST(what_a_batch_began_counts_in_it)
{
	struct command *c = bench_command(&b), tick = { .type = COMMAND_TICK };
	struct str log[2];

	people();
	publish_at(as("ann"), b.time_ms + MINUTE, "two\n");
	proposed("Approved");
	put_object(c, KIND_WEBHOOK, "h", "{\"events\":[\"EXPIRED\"],\"url\":\"https://a\"}");
	log[0] = bench_encode(&b, c);
	tick.time_ms = b.time_ms += 2 * DAY;
	log[1] = bench_encode(&b, &tick);
	bench_batch(&b, log, 2 - (size_t)_i);
	if (_i)
		bench_batch(&b, &log[1], 1);
	/* The event, and what the webhook is to get of it. */
	ck_assert_uint_eq(rows(KV_OUTBOX), 2);
}
END_TEST

#define MANY 60
#define HOOKS 20

static unsigned expired(char names[MANY][RELEASE_NAME_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < MANY; i++)
		n += row_of(names[i]).phase == PROPOSAL_EXPIRED;
	return n;
}

/* Telling many of many is shared out over ticks: none takes long. */
START_TEST(a_tick_tells_so_many_and_no_more)
{
	char names[MANY][RELEASE_NAME_MAX], config[MANY][32];
	struct command *c = bench_command(&b);
	uint64_t at = b.time_ms + MINUTE;
	unsigned first, ticks = 1;

	people();
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(config[i], sizeof(config[i]), "shop.prod.c%u", i);
		put_config(&b, c, "acme", "shop", "prod", config[i] + 10);
	}
	for (unsigned i = 0; i < HOOKS; i++)
		put_object(c, KIND_WEBHOOK, arena_printf(b.arena, "h%u", i).p,
			   "{\"events\":[\"EXPIRED\"],\"url\":\"https://a\"}");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	put_blob(&b, "acme", STR("new"));
	for (unsigned i = 0; i < MANY; i++) {
		c = as("ann");
		c->not_before_ms = at;
		add_version(&b, c, "acme", config[i], STR("new"), true);
		bench_apply(&b, c);
		str_copy(names[i], sizeof(names[i]), str_of(proposed("Approved")));
	}
	tick_after(2 * DAY);
	first = expired(names);
	ck_assert_uint_gt(first, 0);
	ck_assert_uint_lt(first, MANY);
	for (; expired(names) < MANY; ticks++)
		tick_after(1);
	ck_assert_uint_le(ticks, MANY / first + 1);
}
END_TEST

#define STAY 70u                          /* proposals, for a long time */

static enum code propose(unsigned i, const char *text)
{
	struct command *c = as("ann");

	put_blob(&b, "acme", str_of(text));
	add_version(&b, c, "acme", arena_printf(b.arena, "shop.prod.s%u", i).p,
		    str_of(text), true);
	return bench_apply(&b, c)->code;
}

/* Those that cannot go do not hide those that can. */
START_TEST(what_has_ended_goes_behind_what_stays)
{
	struct command limits = { .type = COMMAND_LIMITS, .time_ms = b.time_ms,
				  .limits = { .releases_max = 10 } };
	struct command *c = bench_command(&b);

	people();
	bench_apply(&b, &limits);
	for (unsigned i = 0; i <= STAY; i++) {
		put_config(&b, c, "acme", "shop", "prod",
			   arena_printf(b.arena, "s%u", i).p);
		add_version(&b, c, "acme", arena_printf(b.arena, "shop.prod.s%u", i).p,
			    STR("one\n"), true);
	}
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	make(KIND_APPROVAL_POLICY, "prod", "{\"expiresAfter\":\"2000h\",\"stages\":["
	     BY("leads") "]}");
	for (unsigned i = 0; i < STAY; i++)
		ck_assert_msg(propose(i, "two\n") == OK, "%s", b.last.text);
	for (unsigned i = 0; i < 6; i++) {
		ck_assert_msg(propose(STAY, i % 2 ? "two\n" : "six\n") == OK, "%s",
			      b.last.text);
		ck_assert_int_eq(vote("bob", proposed("Pending"), VOTE_REJECT), OK);
		if (i < 3)
			continue;
		tick_after(25 * 3600000);
	}
	ck_assert_int_eq(propose(STAY, "two\n"), OK);
	/* Of these there were six; each new one takes up to two of them away. */
	ck_assert_uint_eq(rows(KV_PROPOSALS), STAY + 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/gate_later");
	TCase *t = tcase_create("later");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, gate_setup, gate_teardown);
	tcase_add_test(t, it_waits_where_nobody_is_asked);
	tcase_add_test(t, it_is_a_proposal_like_any);
	tcase_add_test(t, a_policy_that_comes_meanwhile_counts);
	tcase_add_loop_test(t, the_later_of_it_and_the_policys_holds, 0,
			    ARRAY_LEN(both));
	tcase_add_test(t, what_waits_for_nothing);
	tcase_add_test(t, the_policies_of_another_tenant_do_not_count);
	tcase_add_test(t, what_cannot_wait_is_refused);
	tcase_add_test(t, windows_count_when_its_time_has_come);
	tcase_add_test(t, plans_wait_as_well);
	tcase_add_loop_test(t, what_a_batch_began_counts_in_it, 0, 2);
	tcase_add_test(t, a_tick_tells_so_many_and_no_more);
	tcase_add_test(t, what_has_ended_goes_behind_what_stays);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
