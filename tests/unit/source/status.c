/* What a status says, and when it says the same. */
#include "source/status.h"

#include "source/question.h"
#include "source/reverts.h"

#include "doc/format.h"
#include "unit.h"

#include "base/banned.h"

static struct arena *arena;

static void setup(void)
{
	arena = arena_new(0);
}

static void teardown(void)
{
	arena_free(&arena);
}

static const struct value *parse(struct str s)
{
	struct value *v = NULL;

	ck_assert_int_eq(doc_parse_json(s, arena, NULL, &v, NULL), OK);
	return v;
}

START_TEST(a_status_is_read_back)
{
	struct oid id = { { 0xab, 0xcd } };
	struct str rev = status_revision(arena, STR("main"), &id);
	struct status_write w = { .phase = STATUS_READY, .reason = "Applied",
				  .message = STR("fine"), .generation = 3,
				  .applied = rev, .attempted = rev,
				  .has_counts = true, .configs = 5, .ignored = 2,
				  .has_lag = true, .lag_ms = 12,
				  .applied_generation = 3 };
	struct str text = status_text(arena, NULL, &w, 1700000000000);
	struct status_read r;

	ck_assert(str_is(rev, "main@sha1:abcd000000000000000000000000000000000000"));
	status_parse(parse(text), &r);
	ck_assert(r.has_applied && oid_eq(&r.applied, &id));
	ck_assert_uint_eq(r.observed_generation, 3);
	ck_assert_uint_eq(r.configs, 5);
	ck_assert_uint_eq(r.ignored, 2);
	ck_assert(status_is_ready(parse(text)));
	status_parse(NULL, &r);
	ck_assert(!r.has_applied);
}
END_TEST

START_TEST(time_moves_only_with_the_condition)
{
	struct status_write w = { .phase = STATUS_STALLED, .reason = "X",
				  .message = STR("broken"), .generation = 1 };
	struct str a = status_text(arena, NULL, &w, 1700000000000);
	struct str b = status_text(arena, parse(a), &w, 1800000000000);

	ck_assert(str_eq(a, b));
	ck_assert(!status_is_ready(parse(a)));
	w.phase = STATUS_READY;
	b = status_text(arena, parse(a), &w, 1800000000000);
	ck_assert(str_find_str(b, STR("2027-01-15T08:00:00Z")) != SIZE_MAX);
	/* Reconciling did not change. */
	ck_assert(str_find_str(b, STR("2023-11-14T22:13:20Z")) != SIZE_MAX);
}
END_TEST

static struct str say(struct str before, struct status_write *w)
{
	w->reason = "X";
	w->message = STR("m");
	return status_text(arena, before.n ? parse(before) : NULL, w,
			   1700000000000);
}

static struct status_read read_of(struct str text)
{
	struct status_read r;

	status_parse(parse(text), &r);
	return r;
}

START_TEST(waits_in_a_proposal_until_it_does_not)
{
	struct str text = say(STR_NONE, &(struct status_write){
		.phase = STATUS_WAITING, .proposal = STR("p-1") });
	struct str other;

	ck_assert(!status_is_ready(parse(text)));
	ck_assert(str_is(read_of(text).proposal, "p-1"));
	/* What is offered to Git meanwhile changes nothing else. */
	other = say(text, &(struct status_write){
		.phase = STATUS_READY, .keeps = true,
		.revert_release = STR("r-7"), .revert_branch = STR("b"),
		.revert_error = STR("refused") });
	ck_assert(!status_is_ready(parse(other)));
	ck_assert(str_is(read_of(other).proposal, "p-1"));
	ck_assert(str_is(read_of(other).revert_release, "r-7"));
	ck_assert(str_is(value_text_at(parse(other), "revert.error"), "refused"));
	text = say(other, &(struct status_write){ .phase = STATUS_READY });
	ck_assert(!read_of(text).proposal.n);
	ck_assert(str_is(read_of(text).revert_release, "r-7"));
}
END_TEST

START_TEST(knows_what_was_live_before)
{
	struct oid a = { { 1 } }, b = { { 2 } };
	/* A branch may be called anything. */
	struct str ref = STR("x@sha1:y");
	struct status_read r;
	struct str text = say(STR_NONE, &(struct status_write){
		.applied = status_revision(arena, ref, &a) });

	ck_assert(!read_of(text).has_previous);
	text = say(text, &(struct status_write){
		.applied = status_revision(arena, ref, &b) });
	text = say(text, &(struct status_write){
		.applied = status_revision(arena, ref, &b) });
	r = read_of(text);
	ck_assert(r.has_applied && r.has_previous);
	ck_assert(oid_eq(&r.applied, &b) && oid_eq(&r.previous, &a));
}
END_TEST

START_TEST(branches_and_messages_of_reverts)
{
	struct revert_wish wish = { STR("r-000000000012"), { { 0xab } },
				    STR("step 2: 3 of 10 rejected") };

	ck_assert(str_is(reverts_branch(arena, STR("conflux/{release}/{commit}-{x}"),
					&wish),
			 "conflux/r-000000000012/ab0000000000-{x}"));
	ck_assert(str_is(reverts_message(arena, STR("raise the pool"), &wish),
			 "Revert \"raise the pool\"\n\nThis takes back what commit "
			 "ab00000000000000000000000000000000000000 brought: its "
			 "release\nr-000000000012 turned back.\n\nstep 2: 3 of 10 "
			 "rejected\n"));
}
END_TEST

static struct event_row release_event(struct buf *row, const char *author,
				      const char *phase)
{
	struct object_row o = { .labels = STR("{}"), .meta = STR("{}") };

	o.spec = arena_printf(arena, "{\"author\":\"%s\"}", author);
	o.status = arena_printf(arena, "{\"phase\":\"%s\"}", phase);
	buf_reset(row);
	object_row_encode(row, &o);
	return (struct event_row){ .type = EVENT_MODIFIED, .kind = KIND_RELEASE,
				   .tenant = STR("acme"), .after = buf_view(row) };
}

START_TEST(a_source_is_told_of_its_own_alone)
{
	AUTO_BUF row = BUF_NONE;
	struct event_row e = release_event(&row, "source:acme/shop", "RolledBack");
	struct str ns, name;

	ck_assert(reverts_concern(&e, arena, &ns, &name));
	ck_assert(str_is(ns, "acme") && str_is(name, "shop"));
	e.kind = KIND_PROPOSAL;
	ck_assert(!reverts_concern(&e, arena, &ns, &name));
	e = release_event(&row, "source:acme/shop", "Rejected");
	ck_assert(!reverts_concern(&e, arena, &ns, &name));
	e.kind = KIND_PROPOSAL;
	ck_assert(reverts_concern(&e, arena, &ns, &name));
	e = release_event(&row, "source:other/shop", "RolledBack");
	ck_assert(!reverts_concern(&e, arena, &ns, &name));
	e = release_event(&row, "ann", "RolledBack");
	ck_assert(!reverts_concern(&e, arena, &ns, &name));
	e = release_event(&row, "source:acme/shop", "Completed");
	ck_assert(!reverts_concern(&e, arena, &ns, &name));
}
END_TEST

START_TEST(an_answer_may_name_a_proposal)
{
	struct source_result r = { .code = OK, .proposal = "p-1" }, back;
	struct err err;
	AUTO_BUF b = BUF_NONE;
	AUTO_BUF without = BUF_NONE;
	uint64_t seen;

	question_answer_encode(&b, &r, 7);
	ck_assert_int_eq(question_answer_decode(buf_view(&b), &back, &seen, &err),
			 OK);
	ck_assert_str_eq(back.proposal, "p-1");
	r.proposal[0] = '\0';
	b.n = 0;
	str_copy(r.turned_back, sizeof(r.turned_back), STR("r-9"));
	question_answer_encode(&b, &r, 7);
	ck_assert_int_eq(question_answer_decode(buf_view(&b), &back, &seen, &err),
			 OK);
	ck_assert_str_eq(back.turned_back, "r-9");
	ck_assert_str_eq(back.proposal, "");
	r.turned_back[0] = '\0';
	b.n = 0;
	str_copy(r.proposal, sizeof(r.proposal), STR("p-1"));
	question_answer_encode(&b, &r, 7);
	r.proposal[0] = '\0';
	question_answer_encode(&without, &r, 7);
	ck_assert_int_eq(question_answer_decode(buf_view(&without), &back, &seen,
						&err), OK);
	ck_assert_str_eq(back.proposal, "");
	/* As a node of before it wrote. */
	ck_assert_uint_eq(without.n, b.n - 4);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("source/status");
	TCase *tc = tcase_create("status");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_status_is_read_back);
	tcase_add_test(tc, time_moves_only_with_the_condition);
	tcase_add_test(tc, waits_in_a_proposal_until_it_does_not);
	tcase_add_test(tc, knows_what_was_live_before);
	tcase_add_test(tc, branches_and_messages_of_reverts);
	tcase_add_test(tc, a_source_is_told_of_its_own_alone);
	tcase_add_test(tc, an_answer_may_name_a_proposal);
	suite_add_tcase(s, tc);
	return s;
}

UNIT_MAIN(suite)
