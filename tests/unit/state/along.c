/*
 * What goes out along with what a command names: the rest of a release that it
 * supersedes, the rest of a hold that it lifts.  None of it goes past a policy, a
 * window or people that look at it alone.
 */
#include "gate_help.h"
#include "state/view_along.h"
#include "unit.h"

#include "base/banned.h"

#define TWO "shop.prod.two.toml"
#define THREE "shop.prod.three.toml"
#define OF_TWO "\"select\":{\"names\":[\"two*\"]}"
#define STEPS "\"steps\":[{\"labels\":{\"zone\":\"eu\"}},{\"percent\":100}]," \
	      "\"strategy\":\"canary\""
#define ALL_IN_STEPS "{" STEPS "}"
#define TWO_IN_STEPS "{\"priority\":-1," OF_TWO "," STEPS "}"

static void setup(void)
{
	struct command *c;

	gate_setup();
	people();
	c = bench_command(&b);
	put_config(&b, c, "acme", "shop", "prod", "two.toml");
	add_version(&b, c, "acme", TWO, STR("one\n"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
}

static uint32_t got(const char *name, const char *zone)
{
	struct kv_txn *txn = bench_read(&b);
	struct address at = { STR("acme"), STR("shop"), STR("prod"), str_of(name) };
	struct client client = { .id = STR("web-1") };
	struct config_view v;

	labels_set(b.arena, &client.labels, STR("zone"), str_of(zone));
	ck_assert_int_eq(view_config(txn, &at, &client, &v, NULL), OK);
	kv_end(&txn);
	return v.rule.version;
}

static void they_get(const char *zone, uint32_t db, uint32_t two)
{
	ck_assert_uint_eq(got("db.toml", zone), db);
	ck_assert_uint_eq(got("two.toml", zone), two);
}

/* As the source that owns both: any of them may be NULL. */
static struct command *pushed(const char *db, const char *two)
{
	struct command *c = bench_command(&b);
	const char *texts[] = { db, two };

	c->subject = (struct subject){ .name = STR("source:acme/git"),
				       .role = ROLE_SOURCE, .tenant = STR("acme") };
	c->flags = COMMAND_TAKE_OVER;
	c->commit = STR("main@sha1:1");
	for (unsigned i = 0; i < 2; i++) {
		if (!texts[i])
			continue;
		put_blob(&b, "acme", str_of(texts[i]));
		add_version(&b, c, "acme", i ? TWO : CONFIG, str_of(texts[i]),
			    true)->lift_hold = true;
	}
	return c;
}

static enum code push(const char *db, const char *two)
{
	return bench_apply(&b, pushed(db, two))->code;
}

static void put_config_three(void)
{
	struct command *c = bench_command(&b);

	put_config(&b, c, "acme", "shop", "prod", "three.toml");
	add_version(&b, c, "acme", THREE, STR("one\n"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
}

static enum code push_three(const char *db, const char *two, const char *three)
{
	struct command *c = pushed(db, two);

	if (three) {
		put_blob(&b, "acme", str_of(three));
		add_version(&b, c, "acme", THREE, str_of(three), true)->lift_hold =
			true;
	}
	return bench_apply(&b, c)->code;
}

/* What a plan of it says; it is not applied. */
static struct view_released seen(const struct command *c)
{
	struct kv_txn *txn = bench_read(&b);
	struct view_released r;
	struct err err;

	ck_assert_int_eq(view_released(txn, b.arena, STR("acme"), c->ops, c->n_ops,
				       c->subject.role == ROLE_SOURCE, &r, &err), OK);
	r.policy = arena_str(b.arena, r.policy);
	for (size_t i = 0; i < r.n_along; i++)
		r.along[i].labels = arena_str(b.arena, r.along[i].labels);
	kv_end(&txn);
	return r;
}

static void goes_along(const struct command *c, const char *policy, bool anew)
{
	struct view_released r = seen(c);

	ck_assert(str_eq(r.policy, str_of(policy)));
	ck_assert_uint_eq(r.count, 1);
	ck_assert_uint_eq(r.n_along, 1);
	ck_assert(str_is(r.along[0].name, TWO));
	ck_assert_int_eq(r.along[0].anew, anew);
}

struct newest {
	struct str name;
	struct str status;
};

static bool see(void *data, const struct object_view *o)
{
	struct newest *n = data;

	n->name = arena_str(b.arena, o->name);
	n->status = arena_str(b.arena, o->row.status);
	return true;
}

static struct newest newest(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct newest n = { 0 };

	ck_assert_int_eq(view_list(txn, KIND_RELEASE, STR("acme"), STR_NONE,
				   STR_NONE, see, &n, NULL), OK);
	kv_end(&txn);
	return n;
}

static bool is_phase(struct str release, const char *phase)
{
	struct kv_txn *txn = bench_read(&b);
	struct object_view o;
	bool is;

	ck_assert_int_eq(view_object(txn, KIND_RELEASE, STR("acme"), release, &o, NULL),
			 OK);
	is = str_find_str(o.row.status,
			  arena_printf(b.arena, "\"phase\":\"%s\"", phase)) != SIZE_MAX;
	kv_end(&txn);
	return is;
}

static void move_of(struct str release, enum release_move move)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_RELEASE_MOVE);

	op->kind = KIND_RELEASE;
	op->tenant = STR("acme");
	op->name = release;
	op->move = move;
	op->step = UINT32_MAX;
	op->mode = ROLLBACK_STABLE_ONLY;
	op->message = STR("because");
	bench_apply(&b, c);
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
}

static void roll_back_of(struct str release)
{
	move_of(release, MOVE_ROLLBACK);
}

static void roll_back(void)
{
	roll_back_of(newest().name);
}

static void freeze_two(void)
{
	make(KIND_FREEZE_WINDOW, "w",
	     "{\"blocks\":[\"publish\"]," OF_TWO ",\"owner\":\"ops\","
	     "\"reason\":\"sale\",\"interval\":{\"start\":\"2000-01-01T00:00:00Z\","
	     "\"end\":\"2199-01-01T00:00:00Z\"}}");
}

/* Both are out in steps; from then on the policy of steps is of 'two' alone. */
static void both_are_out(void)
{
	make(KIND_RELEASE_POLICY, "all", ALL_IN_STEPS);
	ck_assert_int_eq(push("b", "b"), OK);
	they_get("eu", 2, 2);
	they_get("us", 1, 1);
	make(KIND_RELEASE_POLICY, "two", TWO_IN_STEPS);
	delete(KIND_RELEASE_POLICY, "all");
}

START_TEST(what_is_superseded_keeps_its_steps)
{
	both_are_out();
	goes_along(pushed("c", NULL), "two", false);
	/* That it is on its way already ends nothing. */
	ck_assert_uint_eq(seen(pushed("b", NULL)).n_along, 0);
	ck_assert_int_eq(push("c", NULL), OK);
	they_get("eu", 3, 2);
	they_get("us", 1, 1);
	ck_assert_uint_eq(rows(KV_ROLLOUTS), 1);
}
END_TEST

START_TEST(what_is_held_keeps_its_steps)
{
	both_are_out();
	roll_back();
	they_get("eu", 1, 1);
	goes_along(pushed("c", NULL), "two", true);
	/* People lift nothing, nor does what is held itself. */
	ck_assert_uint_eq(seen(publish_of(as("ann"), "c")).n_along, 0);
	ck_assert_uint_eq(seen(pushed("b", NULL)).n_along, 0);
	ck_assert_int_eq(push("c", NULL), OK);
	they_get("eu", 3, 2);
	they_get("us", 1, 1);
}
END_TEST

/* A source that says what is live, and lifts no hold, changes nothing: nor does what else
 * is held go out by that, past the audit. */
START_TEST(what_changes_nothing_lifts_nothing)
{
	struct command *c;
	uint64_t events, records;

	both_are_out();
	roll_back();
	c = pushed("one\n", NULL);
	c->flags = 0;
	c->ops[0].lift_hold = false;
	events = rows(KV_EVENTS);
	records = rows(KV_AUDIT);
	ck_assert_uint_eq(seen(c).n_along, 0);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_uint_eq(b.last.rev, 0);
	they_get("eu", 1, 1);
	ck_assert_uint_eq(rows(KV_ROLLOUTS), 0);
	ck_assert_uint_eq(rows(KV_AUDIT), records);
	ck_assert_uint_eq(rows(KV_EVENTS), events);
	/* Who lifts it lifts all of it. */
	ck_assert_int_eq(push("one\n", NULL), OK);
	they_get("eu", 1, 2);
}
END_TEST

static void roll_back_db(void)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_ROLLBACK);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(CONFIG);
	op->mode = ROLLBACK_STABLE_ONLY;
	bench_apply(&b, c);
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
}

/* Nothing that the source brings with its newest commit comes by itself. */
static void stays_held(const char *db, const char *two)
{
	uint64_t events = rows(KV_EVENTS);

	ck_assert_int_eq(push(db, two), OK);
	ck_assert_uint_eq(rows(KV_EVENTS), events);
	they_get("eu", 1, 1);
}

/* Of several that turn back at once what the source brings is the newest's, and that is
 * what is held, whether it was out or waited. */
START_TEST(the_newest_that_turned_back_is_held)
{
	make(KIND_RELEASE_POLICY, "all",
	     _i ? "{\"concurrency\":{\"policy\":\"Queue\"}," STEPS "}" :
		  "{\"concurrency\":{\"policy\":\"Parallel\"}," STEPS "}");
	ck_assert_int_eq(push("b", NULL), OK);
	ck_assert_int_eq(push("c", "x"), OK);
	ck_assert(is_phase(newest().name, _i ? "Queued" : "Progressing"));
	roll_back_db();
	they_get("eu", 1, 1);
	stays_held("c", "x");
	/* A change of one of its files brings the other. */
	ck_assert_int_eq(push("d", NULL), OK);
	they_get("eu", 4, 2);
}
END_TEST

#define BESIDE "{\"concurrency\":{\"policy\":\"Parallel\"}," STEPS "}"

/* The source has left what is held, and brings what is on its way: that is what is held
 * when it turns back.  Odd: another file was held with the first. */
START_TEST(what_the_source_left_is_held_no_more)
{
	struct str first, second;

	make(KIND_RELEASE_POLICY, "all", BESIDE);
	ck_assert_int_eq(push("b", NULL), OK);
	first = newest().name;
	ck_assert_int_eq(push("c", _i ? "x" : NULL), OK);
	second = newest().name;
	roll_back_of(second);
	they_get("eu", 2, 1);
	if (_i)
		goes_along(pushed("b", NULL), "all", true);
	ck_assert_int_eq(push("b", NULL), OK);
	they_get("eu", 2, _i ? 2 : 1);
	/* Where nothing goes along it is no release. */
	ck_assert(_i || str_eq(newest().name, second));
	/* Of nothing that is left to be said. */
	ck_assert_uint_eq(seen(pushed("b", NULL)).n_along, 0);
	ck_assert_int_eq(push("b", NULL), OK);
	ck_assert_uint_eq(b.last.rev, 0);
	roll_back_of(first);
	they_get("eu", 1, _i ? 2 : 1);
	if (!_i)
		stays_held("b", NULL);
}
END_TEST

/* What is on its way has a file of which the hold is lifted: that goes out beside it, and
 * then takes the file from it and nothing else. */
START_TEST(what_is_lifted_beside_another_takes_no_more_than_it_has)
{
	struct str first;

	make(KIND_RELEASE_POLICY, "all", BESIDE);
	ck_assert_int_eq(push("b", "x"), OK);
	first = newest().name;
	ck_assert_int_eq(push("c", "y"), OK);
	roll_back();
	ck_assert_int_eq(push("b", NULL), OK);
	they_get("eu", 1, 3);
	move_of(newest().name, MOVE_PROMOTE_FULL);
	they_get("eu", 2, 3);
	they_get("us", 1, 3);
	move_of(first, MOVE_PROMOTE_FULL);
	they_get("us", 2, 3);
}
END_TEST

/* A change of one file lifts all that turned back there, in whatever order that was. */
START_TEST(all_that_turned_back_at_a_file_is_lifted_with_it)
{
	struct str both;

	make(KIND_RELEASE_POLICY, "all", BESIDE);
	ck_assert_int_eq(push("b", "x"), OK);
	both = newest().name;
	ck_assert_int_eq(push("c", NULL), OK);
	if (_i)
		roll_back_of(both);
	roll_back();
	if (!_i)
		roll_back_of(both);
	they_get("eu", 1, 1);
	stays_held("c", "x");
	delete(KIND_RELEASE_POLICY, "all");
	make(KIND_RELEASE_POLICY, "two", TWO_IN_STEPS);
	goes_along(pushed("d", NULL), "two", true);
	ck_assert_int_eq(push("d", NULL), OK);
	they_get("eu", 4, 2);
	they_get("us", 1, 1);
	/* Two files of one release. */
	ck_assert_uint_eq(rows(KV_RELEASING), 2);
}
END_TEST

/* And what was turned back beside that, of other files. */
START_TEST(what_goes_along_takes_along)
{
	struct str first, second;
	struct view_released r;

	put_config_three();
	make(KIND_RELEASE_POLICY, "all", BESIDE);
	ck_assert_int_eq(push_three(NULL, "x", "x"), OK);
	first = newest().name;
	ck_assert_int_eq(push_three("b", "y", NULL), OK);
	second = newest().name;
	roll_back_of(second);
	roll_back_of(first);
	r = seen(pushed("c", NULL));
	ck_assert_uint_eq(r.n_along, 2);
	ck_assert_int_eq(push("c", NULL), OK);
	they_get("eu", 3, 3);
	ck_assert_uint_eq(got("three.toml", "eu"), 2);
	ck_assert_uint_eq(rows(KV_RELEASING), 3);
}
END_TEST

/* What people let out of what there is says nothing of what the source brings. */
START_TEST(what_people_bring_is_held_for_no_source)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_ROLLBACK);

	make(KIND_RELEASE_POLICY, "all", ALL_IN_STEPS);
	ck_assert_int_eq(push("b", NULL), OK);
	ck_assert_int_eq(push("c", NULL), OK);
	roll_back();
	they_get("eu", 1, 1);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(CONFIG);
	op->version = 2;
	op->mode = ROLLBACK_STABLE_ONLY;
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	they_get("eu", 2, 1);
	roll_back();
	they_get("eu", 1, 1);
	stays_held("c", NULL);
}
END_TEST

/* Its group ends a release that no configuration of the command is in. */
START_TEST(what_its_group_ends_keeps_its_steps)
{
	make(KIND_RELEASE_POLICY, "two",
	     "{\"concurrency\":{\"group\":\"g\"},\"priority\":5," OF_TWO "," STEPS "}");
	make(KIND_RELEASE_POLICY, "db",
	     "{\"concurrency\":{\"group\":\"g\"},\"steps\":[{\"percent\":100}],"
	     "\"strategy\":\"canary\",\"select\":{\"names\":[\"db*\"]}}");
	ck_assert_int_eq(push(NULL, "b"), OK);
	they_get("us", 1, 1);
	goes_along(pushed("b", NULL), "two", false);
	ck_assert_int_eq(push("b", NULL), OK);
	they_get("eu", 2, 2);
	they_get("us", 1, 1);
}
END_TEST

START_TEST(a_window_over_it_holds_the_command)
{
	bool is_held = _i;

	both_are_out();
	if (is_held)
		roll_back();
	freeze_two();
	ck_assert_int_eq(push("c", NULL), E_FROZEN);
	ck_assert_ptr_nonnull(strstr(b.last.text, "two.toml goes out with it"));
	ck_assert_ptr_nonnull(strstr(b.last.text, "window w"));
	they_get("eu", is_held ? 1 : 2, is_held ? 1 : 2);
	delete(KIND_FREEZE_WINDOW, "w");
	ck_assert_int_eq(push("c", NULL), OK);
	they_get("eu", 3, 2);
}
END_TEST

/* What was agreed to, and is on its way, goes on; what was turned back is asked again. */
START_TEST(people_are_asked_again)
{
	bool is_held = _i;
	struct proposal_row row;
	const char *name;

	both_are_out();
	if (is_held)
		roll_back();
	make(KIND_APPROVAL_POLICY, "two", "{" OF_TWO ",\"stages\":[" BY("leads") "]}");
	ck_assert_int_eq(push("c", NULL), OK);
	if (!is_held) {
		they_get("eu", 3, 2);
		return;
	}
	name = proposed("Pending");
	row = row_of(name);
	ck_assert_uint_eq(row.count, 2);
	ck_assert_uint_eq(row.n_configs, 2);
	they_get("eu", 1, 1);
	ck_assert_int_eq(vote("bob", name, VOTE_APPROVE), OK);
	ck_assert_int_eq(execute(name), OK);
	they_get("eu", 3, 2);
	they_get("us", 1, 1);
}
END_TEST

static enum code publish_two(const char *text)
{
	struct command *c = as("ann");

	c->flags = COMMAND_TAKE_OVER;
	put_blob(&b, "acme", str_of(text));
	add_version(&b, c, "acme", TWO, str_of(text), true);
	return bench_apply(&b, c)->code;
}

/* An approval is of what goes along as well, as it was then. */
START_TEST(what_goes_along_is_locked_and_looked_at)
{
	const char *name;

	both_are_out();
	roll_back();
	make(KIND_APPROVAL_POLICY, "two", "{" OF_TWO ",\"stages\":[" BY("leads") "]}");
	ck_assert_int_eq(push("c", NULL), OK);
	name = proposed("Pending");
	ck_assert_int_eq(publish_two("d"), E_LOCKED);
	ck_assert_int_eq(vote("bob", name, VOTE_APPROVE), OK);
	delete(KIND_APPROVAL_POLICY, "two");
	ck_assert_int_eq(publish_two("d"), OK);
	phase_is(name, PROPOSAL_STALE);
	ck_assert_ptr_nonnull(strstr(row_of(name).message.p, TWO " moved"));
	they_get("eu", 1, 3);
	tick_after(2 * 24 * 3600000);
	ck_assert_uint_eq(rows(KV_LOCKS), 0);
}
END_TEST

#define MANY 150

static void push_many(const char *text, unsigned n)
{
	struct command *c = bench_command(&b);

	c->subject = (struct subject){ .name = STR("source:acme/git"),
				       .role = ROLE_SOURCE, .tenant = STR("acme") };
	c->flags = COMMAND_TAKE_OVER;
	c->commit = STR("main@sha1:1");
	put_blob(&b, "acme", str_of(text));
	for (unsigned i = 0; i < n; i++) {
		struct str name = arena_printf(b.arena, "m%u.toml", i);
		struct str object = arena_printf(b.arena, "shop.prod.m%u.toml", i);
		bool is_there = strcmp(text, "one\n") != 0;

		if (!is_there)
			put_config(&b, c, "acme", "shop", "prod",
				   name.p);
		add_version(&b, c, "acme", object.p, str_of(text),
			    true)->lift_hold = true;
	}
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

/* More than a proposal names are locked all the same, and let go. */
START_TEST(each_of_many_that_go_along_is_locked)
{
	make(KIND_RELEASE_POLICY, "all", ALL_IN_STEPS);
	push_many("one\n", MANY);
	push_many("b", MANY);
	roll_back();
	make(KIND_APPROVAL_POLICY, "m149",
	     "{\"select\":{\"names\":[\"m149*\"]},\"stages\":[" BY("leads") "]}");
	push_many("c", 1);
	ck_assert_uint_eq(row_of(proposed("Pending")).count, MANY);
	/* And one that says so. */
	ck_assert_uint_eq(rows(KV_LOCKS), MANY + 1);
	ck_assert_int_eq(vote("bob", proposed("Pending"), VOTE_REJECT), OK);
	tick_after(2 * 24 * 3600000);
	ck_assert_uint_eq(rows(KV_LOCKS), 0);
}
END_TEST

/* Who breaks the glass does it for what he names. */
START_TEST(behind_the_glass_nothing_goes_along)
{
	bool is_held = _i;
	struct command *c;

	both_are_out();
	if (is_held)
		roll_back();
	make(KIND_APPROVAL_POLICY, "db", "{\"breakGlass\":{\"subjects\":[\"eve\"]},"
	     "\"select\":{\"names\":[\"db*\"]},\"stages\":[" BY("leads") "]}");
	c = as("eve");
	c->flags = COMMAND_BREAK_GLASS | COMMAND_TAKE_OVER;
	c->reason = STR("it burns");
	ck_assert_int_eq(publish(c, "c")->code, OK);
	proposed("Executed");
	they_get("eu", 3, 1);
	they_get("us", 3, 1);
	ck_assert_uint_eq(rows(KV_ROLLOUTS), 0);
	/* Its source brings it by its own steps, or is held. */
	ck_assert_int_eq(push(NULL, "b"), OK);
	they_get("eu", 3, is_held ? 1 : 2);
	they_get("us", 3, 1);
}
END_TEST

static struct command *threat(void)
{
	struct command *c = as("eve");

	c->flags = COMMAND_BREAK_GLASS | COMMAND_TAKE_OVER;
	c->reason = STR("it burns");
	return c;
}

/* Who may break no glass drops nobody's release by saying that he would. */
START_TEST(where_there_is_no_glass_all_goes_its_way)
{
	both_are_out();
	if (_i) {
		freeze_two();
		ck_assert_int_eq(publish(threat(), "c")->code, E_FROZEN);
		they_get("eu", 2, 2);
		return;
	}
	ck_assert_int_eq(publish(threat(), "c")->code, OK);
	they_get("eu", 3, 2);
	they_get("us", 1, 1);
}
END_TEST

/* A policy chooses by the labels from before the command, whatever it makes of them. */
START_TEST(labels_of_the_command_choose_no_policy)
{
	struct command *c;

	make(KIND_RELEASE_POLICY, "marked",
	     "{\"select\":{\"labels\":{\"mark\":\"x\"}}," STEPS "}");
	c = publish_of(as("ann"), "b");
	put_config(&b, c, "acme", "shop", "prod", "db.toml")->labels =
		STR("{\"mark\":\"x\"}");
	ck_assert_uint_eq(seen(c).policy.n, 0);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_uint_eq(got("db.toml", "us"), 2);
	/* And it is out of it only for the next one. */
	c = publish_of(as("ann"), "c");
	put_config(&b, c, "acme", "shop", "prod", "db.toml")->labels = STR("{}");
	ck_assert(str_is(seen(c).policy, "marked"));
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_uint_eq(got("db.toml", "us"), 2);
}
END_TEST

/* More labels than can be matched are as if all matched. */
START_TEST(too_many_labels_stop_nobody)
{
	AUTO_BUF labels = BUF_NONE;
	struct command *c = bench_command(&b);

	for (unsigned i = 0; i <= LABELS_MAX; i++)
		buf_printf(&labels, "%s\"l%02u\":\"x\"", i ? "," : "{", i);
	buf_c(&labels, '}');
	put_config(&b, c, "acme", "shop", "prod", "db.toml")->labels =
		buf_view(&labels);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	make(KIND_RELEASE_POLICY, "labelled",
	     "{\"select\":{\"labels\":{\"a\":\"b\"}}," STEPS "}");
	c = publish_of(as("ann"), "b");
	ck_assert(str_is(seen(c).policy, "labelled"));
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	ck_assert_uint_eq(got("db.toml", "us"), 1);
}
END_TEST

/* ---- what ends within the command ---- */

/* A version of one of its configurations, and what ends it, in either order. */
static void publish_and_end(struct str release, bool end_first, bool completes)
{
	struct command *c = bench_command(&b);
	struct op *op;

	put_blob(&b, "acme", STR("c"));
	for (int i = 0; i < 2; i++) {
		if ((i == 0) != end_first) {
			add_version(&b, c, "acme", CONFIG, STR("c"), true);
			continue;
		}
		op = command_op(b.arena, c, completes ? OP_RELEASE_MOVE : OP_ROLLBACK);
		op->kind = completes ? KIND_RELEASE : KIND_CONFIG;
		op->tenant = STR("acme");
		op->name = completes ? release : STR(TWO);
		op->move = MOVE_PROMOTE_FULL;
		op->step = UINT32_MAX;
		op->mode = ROLLBACK_STABLE_ONLY;
	}
	bench_apply(&b, c);
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
}

/* Even: it ends first; by twos: it completes, and turns back; by fours: the new one takes
 * its place, and would wait for it. */
START_TEST(what_ended_in_the_command_is_in_no_ones_way)
{
	struct command *c = bench_command(&b);
	bool completes = _i / 2 % 2 == 0;
	struct str old;

	make(KIND_RELEASE_POLICY, "all",
	     _i / 4 ? "{\"concurrency\":{\"policy\":\"Queue\"}," STEPS "}" :
		      ALL_IN_STEPS);
	put_blob(&b, "acme", STR("b"));
	add_version(&b, c, "acme", CONFIG, STR("b"), true);
	add_version(&b, c, "acme", TWO, STR("b"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	old = newest().name;
	publish_and_end(old, _i % 2 == 0, completes);
	ck_assert(is_phase(old, completes ? "Completed" : "RolledBack"));
	ck_assert(!str_eq(newest().name, old) &&
		  is_phase(newest().name, "Progressing"));
	they_get("eu", 3, completes ? 2 : 1);
	they_get("us", completes ? 2 : 1, completes ? 2 : 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/along");
	TCase *t = tcase_create("along");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, gate_teardown);
	tcase_add_test(t, what_is_superseded_keeps_its_steps);
	tcase_add_test(t, what_is_held_keeps_its_steps);
	tcase_add_test(t, what_changes_nothing_lifts_nothing);
	tcase_add_loop_test(t, the_newest_that_turned_back_is_held, 0, 2);
	tcase_add_loop_test(t, what_the_source_left_is_held_no_more, 0, 2);
	tcase_add_test(t, what_is_lifted_beside_another_takes_no_more_than_it_has);
	tcase_add_loop_test(t, all_that_turned_back_at_a_file_is_lifted_with_it, 0, 2);
	tcase_add_test(t, what_goes_along_takes_along);
	tcase_add_test(t, what_people_bring_is_held_for_no_source);
	tcase_add_test(t, what_its_group_ends_keeps_its_steps);
	tcase_add_loop_test(t, a_window_over_it_holds_the_command, 0, 2);
	tcase_add_loop_test(t, people_are_asked_again, 0, 2);
	tcase_add_test(t, what_goes_along_is_locked_and_looked_at);
	tcase_add_test(t, each_of_many_that_go_along_is_locked);
	tcase_add_loop_test(t, behind_the_glass_nothing_goes_along, 0, 2);
	tcase_add_loop_test(t, where_there_is_no_glass_all_goes_its_way, 0, 2);
	tcase_add_test(t, labels_of_the_command_choose_no_policy);
	tcase_add_test(t, too_many_labels_stop_nobody);
	tcase_add_loop_test(t, what_ended_in_the_command_is_in_no_ones_way, 0, 8);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
