/* The keeper on a real store: what is approved happens, when it may, and once. */
#include "unit.h"

#include <sched.h>
#include <ftw.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "doc/format.h"
#include "gate/keeper.h"
#include "gate/window.h"
#include "state/view_gate.h"

#include "base/banned.h"

static char dir[64];
static struct store *store;
static struct keeper *keeper;
static struct arena *arena;
static struct view *view;
static struct follower follower;
static sem_t woken;
static struct outcome last;
static struct err err;

/* ---- a store ---- */

static void wake(struct follower *f, uint64_t rev)
{
	(void)f;
	(void)rev;
	sem_post(&woken);
}

static void stopped(struct follower *f)
{
	(void)f;
	sem_post(&woken);
}

static void start(void)
{
	struct store_config config = { .dir = dir, .map_bytes = 1ull << 30 };

	ck_assert_msg(store_open(&config, &store, &err) == OK, "%s", err.text);
	ck_assert_int_eq(view_new(store, &view, &err), OK);
	follower = (struct follower){ .home = store_core_loop(store),
				      .wake = wake };
	store_follow(store, &follower);
}

static void keep(void)
{
	ck_assert_int_eq(keeper_new(store, &keeper, &err), OK);
}

static void stop(void)
{
	if (keeper)
		keeper_stop(keeper);
	while (sem_trywait(&woken) == 0)
		;
	store_unfollow(store, &follower, stopped);
	sem_wait(&woken);
	view_free(&view);
	store_close(&store);
	keeper_free(&keeper);
}

static struct command command(const char *who, enum subject_role role)
{
	return (struct command){ .type = COMMAND_OPS, .time_ms = clock_wall_ms(),
				 .subject = { .name = str_of(who), .role = role },
				 .credential = STR("test"), .origin = STR("test") };
}

static enum code submit(const struct command *c)
{
	AUTO_BUF bytes = BUF_NONE;

	command_encode(&bytes, c);
	ck_assert_msg(store_submit_wait(store, arena_str(arena, buf_view(&bytes)),
					arena, &last, &err) == OK, "%s", err.text);
	return last.code;
}

static void put(enum kind_id kind, struct str tenant, const char *name,
		const char *spec, const char *status)
{
	struct command c = command("token:root", ROLE_ROOT);
	struct op *op = command_op(arena, &c, OP_OBJECT_PUT);

	op->kind = kind;
	op->tenant = tenant;
	op->name = str_of(name);
	op->uid = uuid_new();
	op->labels = op->meta = STR("{}");
	op->spec = str_of(spec);
	if (status) {
		op = command_op(arena, &c, OP_OBJECT_STATUS);
		op->kind = kind;
		op->tenant = tenant;
		op->name = str_of(name);
		op->status = str_of(status);
	}
	ck_assert_msg(submit(&c) == OK, "%s", last.text);
}

/* Makes shop.prod.NAME, or proposes it. */
static void put_config(const char *name)
{
	struct command c = command("token:root", ROLE_ROOT);
	struct op *op = command_op(arena, &c, OP_OBJECT_PUT);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = arena_printf(arena, "shop.prod.%s", name);
	op->application = STR("shop");
	op->environment = STR("prod");
	op->config_name = str_of(name);
	op->format = STR("text");
	op->uid = uuid_new();
	op->labels = op->meta = op->spec = STR("{}");
	ck_assert_msg(submit(&c) == OK, "%s", last.text);
}

static void put_shop(void)
{
	put(KIND_TENANT, STR_NONE, "acme", "{}", NULL);
	put_config("db");
}

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void setup(void)
{
	ck_assert_int_eq(kinds_load(&err), OK);
	snprintf(dir, sizeof(dir), "/tmp/conflux-keeper-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	arena = arena_new(0);
	sem_init(&woken, 0, 0);
	start();
}

static void teardown(void)
{
	stop();
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	arena_free(&arena);
	sem_destroy(&woken);
}

/* ---- waiting, for what is written ---- */

static bool in_time(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	return sem_timedwait(&woken, &until) == 0;
}

static struct proposal_row row_of(const char *name)
{
	struct proposal_row row;
	AUTO_BUF bytes = BUF_NONE;
	struct kv_txn *txn;

	ck_assert_int_eq(view_use(view, 0, &txn, &err), OK);
	ck_assert_int_eq(view_proposal(txn, arena, STR("acme"), str_of(name), &row,
				       &err), OK);
	proposal_row_encode(&bytes, &row);
	view_idle(view);
	ck_assert(proposal_row_decode(arena, arena_str(arena, buf_view(&bytes)),
				      &row));
	return row;
}

static void becomes(const char *name, enum proposal_phase phase)
{
	while (row_of(name).phase != phase)
		ck_assert_msg(in_time(), "%s is %s", name,
			      proposal_phase_name(row_of(name).phase));
}

static struct str status_of(const char *window)
{
	struct object_view o;
	struct kv_txn *txn;
	struct str status;

	ck_assert_int_eq(view_use(view, 0, &txn, &err), OK);
	ck_assert_int_eq(view_object(txn, KIND_FREEZE_WINDOW, STR("acme"),
				     str_of(window), &o, &err), OK);
	status = arena_str(arena, o.row.status);
	view_idle(view);
	return status;
}

/* ---- proposals ---- */

static const char *publish(const char *text)
{
	struct command c = command("token:root", ROLE_ROOT);
	struct op *op = command_op(arena, &c, OP_VERSION_ADD);
	struct str s = str_of(text);

	*command_content(arena, &c) = (struct content_part){
		STR("acme"), sha256_of(s), s };
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR("shop.prod.db");
	op->sha = sha256_of(s);
	op->size = s.n;
	op->release = true;
	ck_assert_msg(submit(&c) == OK, "%s", last.text);
	return arena_z(arena, str_of(last.proposal));
}

static void vote(const char *who, const char *name, enum vote as)
{
	struct command c = command(who, ROLE_ROOT);
	struct op *op = command_op(arena, &c, OP_VOTE);

	op->kind = KIND_PROPOSAL;
	op->tenant = STR("acme");
	op->name = str_of(name);
	op->sha = row_of(name).digest;
	op->vote = as;
	ck_assert_msg(submit(&c) == OK, "%s", last.text);
}

static void approve(const char *name)
{
	vote("token:lead", name, VOTE_APPROVE);
}

#define STAGES "\"stages\":[{\"from\":{\"subjects\":[\"token:lead\"]}}]"

static void window(const char *name, uint64_t from_ms, uint64_t to_ms)
{
	char from[RFC3339_MAX], to[RFC3339_MAX];
	AUTO_BUF spec = BUF_NONE;

	clock_rfc3339(from, from_ms, false);
	clock_rfc3339(to, to_ms, false);
	buf_printf(&spec, "{\"interval\":{\"end\":\"%s\",\"start\":\"%s\"},"
		   "\"owner\":\"ops\",\"reason\":\"sale\"}", to, from);
	put(KIND_FREEZE_WINDOW, STR("acme"), name,
	    arena_z(arena, buf_view(&spec)), NULL);
}

/* ---- what holds one: asked on the core loop ---- */

struct asking {
	struct msg msg;
	uint64_t number;
	struct buf text;
	sem_t done;
};

static void ask_here(struct msg *msg)
{
	struct asking *a = container_of(msg, struct asking, msg);

	if (!keeper_explain(keeper, a->number, &a->text))
		buf_z(&a->text, "");
	sem_post(&a->done);
}

static const char *held_by(const char *proposal)
{
	struct asking a = { .msg = { .run = ask_here } };
	const char *text;

	ck_assert(str_u64(str_of(proposal + 2), &a.number));
	sem_init(&a.done, 0, 0);
	loop_post_sure(store_core_loop(store), &a.msg);
	sem_wait(&a.done);
	sem_destroy(&a.done);
	text = arena_z(arena, buf_view(&a.text));
	buf_fini(&a.text);
	return text;
}

START_TEST(what_is_approved_is_executed_at_once)
{
	const char *p;

	put_shop();
	put(KIND_APPROVAL_POLICY, STR("acme"), "prod", "{" STAGES "}", NULL);
	keep();
	p = publish("two");
	approve(p);
	becomes(p, PROPOSAL_EXECUTED);
	p = publish("three");
	approve(p);
	becomes(p, PROPOSAL_EXECUTED);
	{
		AUTO_BUF text = BUF_NONE;

		keeper_metrics(keeper, &text);
		ck_assert_ptr_nonnull(strstr(text.p, "gate_executed_total 2\n"));
		ck_assert_ptr_nonnull(strstr(text.p, "gate_refused_total 0\n"));
	}
}
END_TEST

static void limit_to(uint64_t bytes)
{
	struct command c = { .type = COMMAND_LIMITS, .time_ms = clock_wall_ms(),
			     .limits = { .bytes_max = bytes } };

	ck_assert_int_eq(submit(&c), OK);
}

static bool says_full(const char *what)
{
	AUTO_BUF text = BUF_NONE;

	keeper_metrics(keeper, &text);
	return strstr(text.p, what) != NULL;
}

/* All of them, tried by one of them each second; and go when there is. */
START_TEST(a_full_store_lets_them_wait_for_room)
{
	const char *p;

	put_shop();
	put(KIND_APPROVAL_POLICY, STR("acme"), "prod", "{" STAGES "}", NULL);
	keep();
	p = publish("two");
	limit_to(1);
	approve(p);
	while (!says_full("gate_waits_for_room 1\n"))
		sched_yield();
	ck_assert_int_eq(row_of(p).phase, PROPOSAL_APPROVED);
	ck_assert_ptr_nonnull(strstr(held_by(p), "the store is full"));
	ck_assert(says_full("gate_refused_total 0\n"));
	limit_to(1ull << 30);
	becomes(p, PROPOSAL_EXECUTED);
	while (!says_full("gate_waits_for_room 0\n"))
		sched_yield();
}
END_TEST

START_TEST(what_was_approved_before_a_restart_is_executed)
{
	const char *p;

	put_shop();
	put(KIND_APPROVAL_POLICY, STR("acme"), "prod",
	    "{" STAGES ",\"startAfter\":\"1500ms\"}", NULL);
	keep();
	p = publish("two");
	approve(p);
	ck_assert_int_eq(row_of(p).phase, PROPOSAL_APPROVED);
	stop();
	start();
	keep();
	becomes(p, PROPOSAL_EXECUTED);
	ck_assert_uint_ge(row_of(p).ended_ms, row_of(p).not_before_ms);
}
END_TEST

/* It is not even tried while the window is shut, and at once when it opens. */
START_TEST(what_a_window_holds_waits_for_its_end)
{
	AUTO_BUF text = BUF_NONE;
	uint64_t now = clock_wall_ms();
	const char *p;

	put_shop();
	put(KIND_APPROVAL_POLICY, STR("acme"), "prod", "{" STAGES "}", NULL);
	window("short", now - 60000, now + 2500);
	window("long", now - 60000, now + 3600000);
	keep();
	p = publish("two");
	approve(p);
	{
		struct command c = command("token:root", ROLE_ROOT);
		struct op *op = command_op(arena, &c, OP_OBJECT_DELETE);

		op->kind = KIND_FREEZE_WINDOW;
		op->tenant = STR("acme");
		op->name = STR("long");
		ck_assert_int_eq(row_of(p).phase, PROPOSAL_APPROVED);
		ck_assert_ptr_nonnull(strstr(held_by(p), "freeze window long of ops"));
		ck_assert_str_eq(held_by("p-000000000001"), "");
		ck_assert_int_eq(submit(&c), OK);
	}
	becomes(p, PROPOSAL_EXECUTED);
	ck_assert_uint_ge(row_of(p).ended_ms, (now + 2500) / 1000 * 1000);
	keeper_metrics(keeper, &text);
	ck_assert_ptr_nonnull(strstr(text.p, "gate_refused_total 0\n"));
}
END_TEST

static void is_held_by(const char *p, const char *why)
{
	struct timespec ms = { .tv_nsec = 1000000 };
	unsigned left = 20000;

	/* A refusal wakes nobody. */
	for (; !strstr(held_by(p), why) && left; left--)
		nanosleep(&ms, NULL);
	ck_assert_msg(left, "%s", held_by(p));
}

/* One that makes a configuration. */
static const char *propose_new(void)
{
	put_config("new");
	return arena_z(arena, str_of(last.proposal));
}

/* What only apply sees is refused there, and told too: here a window over what the
 * proposal makes. */
START_TEST(what_apply_refuses_is_told)
{
	uint64_t now = clock_wall_ms();
	const char *p;

	put_shop();
	put(KIND_APPROVAL_POLICY, STR("acme"), "prod",
	    "{\"operations\":[\"write\",\"publish\"]," STAGES "}", NULL);
	p = propose_new();
	window("long", now - 60000, now + 3600000);
	keep();
	approve(p);
	is_held_by(p, "freeze window long of ops");
	ck_assert_int_eq(row_of(p).phase, PROPOSAL_APPROVED);
	{
		AUTO_BUF text = BUF_NONE;

		keeper_metrics(keeper, &text);
		ck_assert_ptr_nonnull(strstr(text.p, "gate_refused_total 1\n"));
	}
}
END_TEST

/* While others wait on, for what nobody knows the end of. */
START_TEST(what_somebody_ends_is_held_by_nothing)
{
	uint64_t now = clock_wall_ms();
	const char *p, *q;

	put_shop();
	put(KIND_APPROVAL_POLICY, STR("acme"), "prod",
	    "{\"operations\":[\"write\",\"publish\"]," STAGES "}", NULL);
	p = publish("two");
	q = propose_new();
	window("long", now - 60000, now + 3600000);
	keep();
	approve(p);
	approve(q);
	is_held_by(p, "freeze window long of ops");
	is_held_by(q, "freeze window long of ops");
	vote("token:root", p, VOTE_CANCEL);
	while (*held_by(p))
		sched_yield();
	is_held_by(q, "freeze window long of ops");
}
END_TEST

#define CRON "{\"owner\":\"ops\",\"reason\":\"r\",\"schedule\":{\"cron\":" \
	"\"0 18 * * fri\",\"duration\":\"1h\",\"timeZone\":\"Europe/Berlin\"}}"

START_TEST(windows_are_computed_ahead)
{
	uint64_t now = clock_wall_ms();
	AUTO_BUF old = BUF_NONE;
	struct window w;

	put(KIND_TENANT, STR_NONE, "acme", "{}", NULL);
	/* Never; half a year ago; in a time zone that there is not. */
	put(KIND_FREEZE_WINDOW, STR("acme"), "a", CRON, NULL);
	ck_assert_int_eq(window_status_of(STR(CRON), now - 180ull * 86400000, &old,
					  &err), OK);
	put(KIND_FREEZE_WINDOW, STR("acme"), "b", CRON,
	    arena_z(arena, buf_view(&old)));
	put(KIND_FREEZE_WINDOW, STR("acme"), "c",
	    "{\"owner\":\"ops\",\"reason\":\"r\",\"schedule\":{\"cron\":\"0 0 * * *\""
	    ",\"duration\":\"1h\",\"timeZone\":\"Mars/One\"}}", NULL);
	keep();
	for (const char *name = "a"; name; name = *name == 'a' ? "b" : NULL) {
		do {
			window_read(arena, STR(CRON), status_of(name), &w);
			ck_assert(w.computed_ms > now + 80ull * 86400000 ||
				  in_time());
		} while (w.computed_ms <= now + 80ull * 86400000);
		ck_assert(!w.is_broken);
	}
	while (str_find_str(status_of("c"), STR("Mars/One")) == SIZE_MAX)
		ck_assert(in_time());
	window_read(arena, STR("{}"), STR_NONE, &w);
	ck_assert(window_is_shut(&w, now, NULL));
}
END_TEST

/* While nothing changes nothing is written, whatever waits. */
START_TEST(nothing_is_written_while_nothing_changes)
{
	struct store_status before, after;
	struct keeper *idle;
	AUTO_BUF text = BUF_NONE;
	uint64_t now = clock_wall_ms();
	const char *p;

	put_shop();
	put(KIND_APPROVAL_POLICY, STR("acme"), "prod", "{" STAGES "}", NULL);
	window("long", now - 60000, now + 3600000);
	keep();
	p = publish("two");
	approve(p);
	put(KIND_APPLICATION, STR("acme"), "a", "{}", NULL);
	put(KIND_APPLICATION, STR("acme"), "b", "{}", NULL);
	store_status(store, &before);
	keeper_stop(keeper);
	keeper_metrics(keeper, &text);
	ck_assert_ptr_nonnull(strstr(text.p, "gate_refused_total 0\n"));
	idle = TAKE(keeper);
	stop();
	keeper_free(&idle);
	start();
	store_status(store, &after);
	ck_assert_uint_eq(before.rev, after.rev);
	ck_assert_uint_eq(before.audit_seq, after.audit_seq);
	ck_assert_int_eq(row_of(p).phase, PROPOSAL_APPROVED);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("gate/keeper");
	TCase *t = tcase_create("keeper");

	tcase_set_timeout(t, 90);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_is_approved_is_executed_at_once);
	tcase_add_test(t, a_full_store_lets_them_wait_for_room);
	tcase_add_test(t, what_was_approved_before_a_restart_is_executed);
	tcase_add_test(t, what_a_window_holds_waits_for_its_end);
	tcase_add_test(t, what_apply_refuses_is_told);
	tcase_add_test(t, what_somebody_ends_is_held_by_nothing);
	tcase_add_test(t, windows_are_computed_ahead);
	tcase_add_test(t, nothing_is_written_while_nothing_changes);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
