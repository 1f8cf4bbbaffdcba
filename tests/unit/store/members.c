/* Changes of membership that are refused before the log has them, and why; what the
 * audit log says of those that are made, and of those whose leader was lost. */
#include "lab.h"
#include "store/calls.h"

#include "base/err.h"
#include "base/failpoint.h"

#include "base/banned.h"

struct asking {
	struct store_members m;
	_Atomic bool is_done;
	enum code rc;
	struct err err;
};

static struct asking asking;

static void done(struct store_members *m, enum code rc, const struct err *err)
{
	(void)m;
	asking.rc = rc;
	err_copy(&asking.err, err);
	atomic_store(&asking.is_done, true);
}

static enum code ask(unsigned at, enum store_member_what what, uint64_t id,
		     const char *address)
{
	struct store *s = lab[at - 1].store;

	asking.m = (struct store_members){ .home = store_core_loop(s),
					   .what = what, .id = id,
					   .address = address, .done = done };
	asking.m.who = (struct store_who){
		.subject = { .name = STR("token:ann"), .role = ROLE_ROOT },
		.credential = STR("token ann"), .origin = STR("192.0.2.1:5"),
		.reason = STR("a disk") };
	atomic_store(&asking.is_done, false);
	ck_assert(store_members_change(s, &asking.m));
	LAB_WAIT(atomic_load(&asking.is_done));
	return asking.rc;
}

static size_t count(void)
{
	struct rc_peer peers[8];

	return store_members_get(lab[0].store, peers, ARRAY_LEN(peers));
}

START_TEST(an_address_is_one)
{
	static const char *const bad[] = { "nonsense", "127.0.0.1", ":9001",
					   "127.0.0.1:0", "127.0.0.1:99999",
					   "::1:9001", "" };

	lab_found(1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(ask(1, STORE_MEMBER_ADD, 2, bad[i]) == E_INVALID,
			      "%s", bad[i]);
	ck_assert_uint_eq(count(), 1);
	ck_assert_int_eq(ask(1, STORE_MEMBER_ADD, 2, "127.0.0.1:9"), OK);
	LAB_WAIT(count() == 2);
}
END_TEST

START_TEST(who_cannot_lead_is_told_why)
{
	lab_found(1);
	ck_assert_int_eq(ask(1, STORE_MEMBER_LEAD, 1, ""), OK);
	ck_assert_int_eq(ask(1, STORE_MEMBER_LEAD, 9, ""), E_NOT_FOUND);
	ck_assert_int_eq(ask(1, STORE_MEMBER_ADD, 2, "127.0.0.1:9"), OK);
	LAB_WAIT(count() == 2);
	ck_assert_int_eq(ask(1, STORE_MEMBER_LEAD, 2, ""), E_CONFLICT);
	ck_assert_msg(strstr(asking.err.text, "no vote"), "%s", asking.err.text);
}
END_TEST

/* No other could reach it. */
START_TEST(a_node_that_is_alone_gets_no_members)
{
	struct store_config c = { .dir = lab[0].dir, .map_bytes = 1ull << 30 };
	struct err err = { 0 };

	ck_assert_int_eq(store_open(&c, &lab[0].store, &err), OK);
	LAB_WAIT(lab_status(1).is_ready && store_leads(lab[0].store));
	ck_assert_int_eq(ask(1, STORE_MEMBER_ADD, 2, "127.0.0.1:9"), E_CONFLICT);
	ck_assert_msg(strstr(asking.err.text, "alone"), "%s", asking.err.text);
	ck_assert_uint_eq(count(), 1);
}
END_TEST

/* ---- the audit ---- */

static bool has_records(unsigned at)
{
	return lab_status(at).version >= VERSION_MEMBERS;
}

struct trail {
	struct buf text;
	bool is_right;
};

static bool add_record(void *data, const struct audit_row *row, bool right)
{
	struct trail *t = data;

	t->is_right &= right;
	if (!str_starts(row->action, STR("member-")) &&
	    !str_is(row->action, "leader-transfer"))
		return true;
	buf_printf(&t->text, "%.*s|%.*s|%.*s|%.*s|%.*s\n",
		   STR_ARG(row->subject), STR_ARG(row->origin),
		   STR_ARG(row->reason), STR_ARG(row->action),
		   STR_ARG(row->target));
	return true;
}

/* What node 'at' has on record of changes; a copy. */
static const char *trail(unsigned at)
{
	struct trail t = { BUF_NONE, true };
	struct view *view;
	struct kv_txn *txn;
	struct err err;
	uint64_t n;
	const char *copy;

	ck_assert_int_eq(view_new(lab[at - 1].store, &view, &err), OK);
	ck_assert_int_eq(view_use(view, 0, &txn, &err), OK);
	ck_assert_int_eq(view_audit(txn, 0, add_record, &t, &err), OK);
	ck_assert_int_eq(view_audit_verify(txn, &n, &err), OK);
	ck_assert(t.is_right);
	view_free(&view);
	copy = arena_str(lab_arena, buf_view(&t.text)).p;
	buf_fini(&t.text);
	return copy ? copy : "";
}

#define ANN "token:ann|192.0.2.1:5|a disk|"

START_TEST(who_asked_and_what_came_of_it)
{
	unsigned leader, at;
	char expect[1000];

	lab_steady();
	leader = lab_found(3);
	at = lab_other(leader);
	LAB_WAIT(has_records(leader) && has_records(at));
	/* Anywhere; the leader is asked. */
	ck_assert_int_eq(ask(at, STORE_MEMBER_ADD, 9, "127.0.0.1:9"), OK);
	ck_assert_int_eq(ask(at, STORE_MEMBER_PROMOTE, 9, ""), E_CONFLICT);
	ck_assert_int_eq(ask(leader, STORE_MEMBER_ADD, 7, "nonsense"), E_INVALID);
	ck_assert_int_eq(ask(leader, STORE_MEMBER_REMOVE, 9, ""), OK);
	ck_assert_int_eq(ask(at, STORE_MEMBER_LEAD, leader, ""), OK);
	ck_assert_int_eq(ask(at, STORE_MEMBER_LEAD, at, ""), OK);
	snprintf(expect, sizeof(expect),
		 ANN "member-add|member-add node 9 at 127.0.0.1:9: asked for\n"
		 ANN "member-add|member-add node 9 at 127.0.0.1:9: done\n"
		 ANN "member-promote|member-promote node 9: asked for\n"
		 ANN "member-promote|member-promote node 9: refused, conflict: %s\n"
		 ANN "member-add|member-add node 7 at nonsense: refused, invalid: %s\n"
		 ANN "member-remove|member-remove node 9: asked for\n"
		 ANN "member-remove|member-remove node 9: done\n"
		 ANN "leader-transfer|leader-transfer node %u: done, it led already\n"
		 ANN "leader-transfer|leader-transfer node %u: asked for\n"
		 ANN "leader-transfer|leader-transfer node %u: done\n",
		 "the server has not caught up",
		 "address \"nonsense\": there is no port", leader, at, at);
	LAB_WAIT(strcmp(trail(leader), expect) == 0 && strcmp(trail(at), expect) == 0);
}
END_TEST

/* The leader forgets what it was at, as when it is lost: whoever leads says what
 * there is. */
START_TEST(what_nobody_told_of_is_found)
{
	struct err err;

	lab_found(1);
	LAB_WAIT(has_records(1));
	ck_assert_int_eq(failpoint_set("member.asked=error*1", &err), OK);
	ck_assert_int_eq(ask(1, STORE_MEMBER_ADD, 8, "127.0.0.1:8"),
			 E_UNCERTAIN);
	LAB_WAIT(strstr(trail(1), "node 8 at 127.0.0.1:8: found"));
	ck_assert_msg(strstr(trail(1), "found no member by the membership of "
			     "entry 1; asked for by token:ann in record ") != NULL, "%s", trail(1));
	ck_assert_uint_eq(count(), 1);
	ck_assert_int_eq(failpoint_set("member.made=error*1", &err), OK);
	ck_assert_int_eq(ask(1, STORE_MEMBER_ADD, 9, "127.0.0.1:9"),
			 E_UNCERTAIN);
	LAB_WAIT(strstr(trail(1), "node 9 at 127.0.0.1:9: found"));
	ck_assert_msg(strstr(trail(1), "found a learner by the membership of entry ") != NULL, "%s",
		      trail(1));
	LAB_WAIT(count() == 2);
	/* Once. */
	ck_assert_ptr_null(strstr(strstr(trail(1), "found a learner") + 1,
				  "node 9"));
}
END_TEST

/* It takes longer than the leader looks for what is open. */
START_TEST(a_change_that_is_under_way_is_nobody_elses)
{
	unsigned leader = lab_found(3), at = lab_other(leader);

	LAB_WAIT(has_records(leader));
	lab_stop(at);
	ck_assert_int_eq(ask(leader, STORE_MEMBER_LEAD, at, ""), E_UNAVAILABLE);
	ck_assert_msg(strstr(trail(leader), ": refused, unavailable: ") != NULL,
		      "%s", trail(leader));
	ck_assert_msg(!strstr(trail(leader), "found"), "%s", trail(leader));
}
END_TEST

/* One change at a time: each has its own outcome on record. */
START_TEST(a_change_that_cannot_be_written_is_not_made)
{
	struct lab_write w;
	struct command *c;

	lab_found(1);
	LAB_WAIT(has_records(1));
	/* So many are open that no more are taken; nobody ends these so soon. */
	for (unsigned i = 0; i < MEMBERS_OPEN_MAX; i++) {
		struct op *op;

		c = lab_put("x", 0);
		c->n_ops = 0;
		op = command_op(lab_arena, c, OP_MEMBERS);
		op->stage = MEMBER_ASKED;
		op->member = MEMBER_ADD;
		op->node = i + 20;
		op->uid = uuid_new();
		ck_assert_int_eq(lab_write(&w, 1, lab_encode(c))->code, OK);
	}
	ck_assert_int_eq(ask(1, STORE_MEMBER_ADD, 9, "127.0.0.1:9"), E_BUSY);
	ck_assert_msg(strstr(asking.err.text, "nothing was changed") != NULL,
		      "%s", asking.err.text);
	ck_assert_uint_eq(count(), 1);
	/* The leader ends them one after another. */
	LAB_WAIT(ask(1, STORE_MEMBER_ADD, 9, "127.0.0.1:9") == OK);
}
END_TEST

/* A leader of the version before is asked as it was then. */
static void old_leader(unsigned method, const struct rc_request *request)
{
	struct rd rd = rd_of(request->body);

	ck_assert_int_eq(method, STORE_METHOD_MEMBERS);
	ck_assert_uint_eq(rd_u8(&rd), STORE_MEMBER_PROMOTE);
	ck_assert_uint_eq(rd_var(&rd), 2);
	(void)rd_str(&rd);
	(void)rd_u8(&rd);
	ck_assert(rd_done(&rd));
	rc_answer(lab_straw_node, request->token, OK, STR_NONE, NULL);
}

START_TEST(an_old_leader_is_asked_without_who)
{
	lab_straw(BIT(STORE_METHOD_MEMBERS), old_leader);
	ck_assert_int_eq(ask(2, STORE_MEMBER_PROMOTE, 2, ""), OK);
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("store/members");
	TCase *t = tcase_create("members");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, lab_setup, lab_teardown);
	tcase_add_test(t, an_address_is_one);
	tcase_add_test(t, who_cannot_lead_is_told_why);
	tcase_add_test(t, a_node_that_is_alone_gets_no_members);
	tcase_add_test(t, who_asked_and_what_came_of_it);
	tcase_add_test(t, what_nobody_told_of_is_found);
	tcase_add_test(t, a_change_that_is_under_way_is_nobody_elses);
	tcase_add_test(t, a_change_that_cannot_be_written_is_not_made);
	tcase_add_test(t, an_old_leader_is_asked_without_who);
	suite_add_tcase(suite, t);
	return suite;
}

UNIT_MAIN(suite)
