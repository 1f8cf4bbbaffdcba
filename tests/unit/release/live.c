/*
 * Releases of a store that runs: instances of this process follow a configuration, and
 * the leader moves its releases.
 */
#include "unit.h"

#include <ftw.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "release/release.h"
#include "state/view_rollout.h"

#include "base/banned.h"

#define KEY "acme/shop/prod/main"
#define N 20
#define RING 5                           /* the first of them */

struct instance {
	char id[16];
	struct fleet_watch *watch;
	uint32_t has;                    /* version; 0: none */
	uint32_t most;                   /* the greatest that it was given */
};

struct lab {
	char dir[64];
	struct store *store;
	struct fleet_node *fleet;
	struct releases *releases, *before;
	struct view *view;
	struct arena *arena;
	struct instance all[N];
	uint32_t bad;                    /* version that they reject; 0: none */
	uint32_t deadly;                 /* version that ends them */
};

static struct lab lab;

#define WAIT(cond)                                                            \
	do {                                                                  \
		uint64_t until_ = clock_mono_ms() + 20000;                    \
		while (!(cond)) {                                             \
			ck_assert_msg(clock_mono_ms() < until_,               \
				      "in vain: " #cond);                     \
			follow();                                             \
			usleep(2000);                                         \
		}                                                             \
	} while (0)

/* ---- instances ---- */

static const struct address at = { { "acme", 4 }, { "shop", 4 }, { "prod", 4 },
				   { "main", 4 } };

static struct kv_txn *picture(void)
{
	struct kv_txn *txn;
	struct err err;

	ck_assert_msg(view_use(lab.view, store_rev(lab.store), &txn, &err) == OK,
		      "%s", err.text);
	return txn;
}

static struct client client_of(struct instance *i)
{
	static struct label ring = { { "ring", 4 }, { "canary", 6 } };
	struct client c = { .id = str_of(i->id) };

	if (i - lab.all < RING)
		c.labels = (struct labels){ &ring, 1, 1 };
	return c;
}

static void say(struct instance *i, const struct rule *rule)
{
	struct fleet_sent sent = { str_of(i->id), STR(KEY), rule->version,
				   rule->release };
	struct fleet_said said = { sent.instance, sent.key, rule->version,
				   rule->release, FLEET_APPLIED, STR("no port") };

	fleet_sent(fleet_node_fleet(lab.fleet), &sent, clock_mono_ms());
	if (rule->version == lab.deadly) {
		fleet_leave(fleet_node_fleet(lab.fleet), &i->watch,
			    clock_mono_ms());
		return;
	}
	if (rule->version == lab.bad)
		said.word = FLEET_REFUSED;
	fleet_said(fleet_node_fleet(lab.fleet), &said, clock_mono_ms());
}

/* Each takes what it is given now, and says what came of it. */
static void follow(void)
{
	struct kv_txn *txn = picture();

	for (unsigned n = 0; n < N; n++) {
		struct instance *i = &lab.all[n];
		struct client c = client_of(i);
		struct config_view v;
		struct err err;

		if (!i->watch || view_config(txn, &at, &c, &v, &err) ||
		    v.rule.version == i->has)
			continue;
		i->has = v.rule.version;
		i->most = MAX(i->most, i->has);
		if (v.rule.release)
			say(i, &v.rule);
	}
	view_idle(lab.view);
}

static unsigned count_at(uint32_t version)
{
	unsigned n = 0;

	for (unsigned i = 0; i < N; i++)
		n += lab.all[i].has == version;
	return n;
}

static void connect_all(void)
{
	for (unsigned n = 0; n < N; n++) {
		struct instance *i = &lab.all[n];
		struct client c;
		struct fleet_spec spec = { .keys = &at, .n_keys = 1 };

		snprintf(i->id, sizeof(i->id), "web-%02u", n);
		c = client_of(i);
		spec.instance = c.id;
		spec.labels = &c.labels;
		i->watch = fleet_join(fleet_node_fleet(lab.fleet), &spec,
				      clock_mono_ms());
	}
}

/* ---- commands ---- */

static struct command *command(void)
{
	struct command *c = ANEW(lab.arena, struct command);

	c->type = COMMAND_OPS;
	c->time_ms = clock_wall_ms();
	c->subject = (struct subject){ .name = STR("token:root"), .role = ROLE_ROOT };
	return c;
}

static void run(struct command *c)
{
	AUTO_BUF bytes = BUF_NONE;
	struct outcome o;
	struct err err;

	command_encode(&bytes, c);
	ck_assert_msg(store_submit_wait(lab.store, buf_view(&bytes), lab.arena, &o,
					&err) == OK, "%s", err.text);
	ck_assert_msg(o.code == OK, "%s", o.text);
}

static struct op *put(struct command *c, enum kind_id kind, const char *tenant,
		      const char *name, const char *spec)
{
	struct op *op = command_op(lab.arena, c, OP_OBJECT_PUT);

	op->kind = kind;
	op->tenant = str_of(tenant);
	op->name = str_of(name);
	op->uid = uuid_new();
	op->labels = op->meta = STR("{}");
	op->spec = str_of(spec);
	return op;
}

static void policy(const char *spec)
{
	struct command *c = command();

	put(c, KIND_RELEASE_POLICY, "acme", "careful", spec);
	run(c);
}

static void publish(const char *content)
{
	struct command *c = command();
	struct op *op = command_op(lab.arena, c, OP_VERSION_ADD);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR("main");
	op->sha = sha256_of(str_of(content));
	op->size = strlen(content);
	op->release = true;
	ck_assert(store_inline_content(lab.arena, c, op->tenant, str_of(content),
				       &op->sha));
	run(c);
}

/* Does the newest release's status hold this? */
static bool saw(void *data, const struct object_view *o)
{
	struct buf *last = data;

	buf_reset(last);
	buf_str(last, o->row.status);
	return true;
}

static bool status_has(const char *text)
{
	AUTO_BUF last = BUF_NONE;
	struct err err;

	ck_assert_int_eq(view_list(picture(), KIND_RELEASE, STR("acme"), STR_NONE,
				   STR_NONE, saw, &last, &err), OK);
	view_idle(lab.view);
	return str_find_str(buf_view(&last), str_of(text)) != SIZE_MAX;
}

/* ---- fixture ---- */

static void asked(void *data, struct rpc_token token, uint64_t peer,
		  struct str body)
{
	fleet_node_asked(lab.fleet, token, peer, body);
}

static void start(void)
{
	struct fleet_node_config fleet = { .node_id = 1, .instances_max = 1000 };
	struct releases_config releases = { 0 };
	struct err err;

	ck_assert_msg(store_open(&(struct store_config){
				.dir = lab.dir, .map_bytes = 1ull << 30,
				.fleet = asked }, &lab.store, &err) == OK,
		      "%s", err.text);
	fleet.store = releases.store = lab.store;
	ck_assert_int_eq(fleet_node_new(&fleet, &lab.fleet, &err), OK);
	releases.fleet = lab.fleet;
	ck_assert_int_eq(releases_new(&releases, &lab.releases, &err), OK);
	fleet_node_start(lab.fleet);
	releases_start(lab.releases);
	ck_assert_int_eq(view_new(lab.store, &lab.view, &err), OK);
}

static void setup(void)
{
	struct store_status status;
	struct command *c;
	struct op *op;
	struct err err;

	ck_assert_int_eq(kinds_load(&err), OK);
	lab = (struct lab){ .arena = arena_new(0) };
	snprintf(lab.dir, sizeof(lab.dir), "/tmp/conflux-release-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(lab.dir));
	start();
	WAIT((store_status(lab.store, &status), status.version >= VERSION_GATE));
	c = command();
	put(c, KIND_TENANT, "", "acme", "{}");
	op = put(c, KIND_CONFIG, "acme", "main", "{}");
	op->application = at.application;
	op->environment = at.environment;
	op->config_name = at.name;
	op->format = STR("text");
	run(c);
	publish("one");
	connect_all();
	WAIT(count_at(1) == N);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	return remove(path);
}

static void teardown(void)
{
	view_free(&lab.view);
	releases_stop(lab.releases);
	fleet_node_stop(lab.fleet);
	for (unsigned i = 0; i < N; i++)
		fleet_leave(fleet_node_fleet(lab.fleet), &lab.all[i].watch, 0);
	store_close(&lab.store);
	releases_free(&lab.releases);
	releases_free(&lab.before);
	fleet_node_free(&lab.fleet);
	arena_free(&lab.arena);
	nftw(lab.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- what it waits for ---- */

struct asking {
	struct fleet_why_query query;
	sem_t done;
	enum code rc;
};

static void told(struct fleet_why_query *q, enum code rc, const struct err *err)
{
	struct asking *a = container_of(q, struct asking, query);

	(void)err;
	a->rc = rc;
	sem_post(&a->done);
}

/* As a node asks the leader, over a call between nodes. */
static struct fleet_why why(void)
{
	struct releasing_at newest = { 0 };
	struct asking a = { .query = { .home = store_core_loop(lab.store),
				       .done = told } };

	(void)view_releasing(picture(), STR("acme"), STR("main"), &newest);
	view_idle(lab.view);
	a.query.release = newest.number;
	if (!newest.number)
		return (struct fleet_why){ .is_known = false };
	sem_init(&a.done, 0, 0);
	fleet_node_why(lab.fleet, &a.query);
	while (sem_wait(&a.done))
		;
	sem_destroy(&a.done);
	ck_assert_int_eq(a.rc, OK);
	return a.query.why;
}

static bool waits_for(const char *text, bool is_unmet)
{
	struct fleet_why w = why();

	return w.is_known && w.is_unmet == is_unmet &&
	       str_starts(str_of(w.text), str_of(text));
}

#define CONDITIONS "\"conditions\":{\"applied\":{\"atLeast\":100}," \
		   "\"rejected\":{\"atMost\":0}}"

START_TEST(a_canary_goes_through)
{
	policy("{\"bake\":\"50ms\"," CONDITIONS ",\"steps\":[{\"labels\":{\"ring\":"
	       "\"canary\"},\"pause\":\"manual\"},{\"percent\":50}],\"strategy\":"
	       "\"canary\",\"timeout\":\"1m\"}");
	publish("two");
	WAIT(count_at(2) == RING);
	WAIT(waits_for("waits for somebody to promote it", false));
	/* What bakes, and then waits for somebody, stays where it is. */
	for (unsigned i = 0; i < 200; i++) {
		follow();
		usleep(2000);
	}
	ck_assert_uint_eq(count_at(2), RING);
	ck_assert(status_has("Progressing"));
	struct command *c = command();
	struct op *op = command_op(lab.arena, c, OP_RELEASE_MOVE);
	struct buf name = BUF_NONE;
	struct releasing_at newest;

	ck_assert(view_releasing(picture(), STR("acme"), STR("main"), &newest));
	view_idle(lab.view);
	buf_reserve(&name, RELEASE_NAME_MAX);
	release_name(name.p, newest.number);
	op->kind = KIND_RELEASE;
	op->tenant = STR("acme");
	op->name = str_of(name.p);
	op->move = MOVE_PROMOTE;
	run(c);
	buf_fini(&name);
	WAIT(count_at(2) == N);
	WAIT(status_has("Completed"));
	ck_assert(!status_has("RolledBack"));
}
END_TEST

START_TEST(one_that_is_rejected_turns_back)
{
	/* It waits for neither: both are longer than any test. */
	policy("{\"bake\":\"1h\"," CONDITIONS ",\"steps\":[{\"labels\":{\"ring\":"
	       "\"canary\"}},{\"percent\":50}],\"strategy\":\"canary\",\"timeout\":"
	       "\"2h\"}");
	lab.bad = 2;
	publish("two");
	WAIT(count_at(2) > 0);
	WAIT(status_has("RolledBack"));
	WAIT(count_at(1) == N);
	ck_assert(status_has("no port"));
	for (unsigned i = RING; i < N; i++)
		ck_assert_uint_eq(lab.all[i].most, 1);
}
END_TEST

START_TEST(one_that_ends_its_instances_turns_back)
{
	policy("{\"bake\":\"300ms\"," CONDITIONS ",\"steps\":[{\"labels\":{\"ring\":"
	       "\"canary\"}},{\"percent\":50}],\"strategy\":\"canary\",\"timeout\":"
	       "\"1m\"}");
	lab.deadly = 2;
	publish("two");
	WAIT(status_has("RolledBack"));
	ck_assert(status_has("vanished"));
	for (unsigned i = RING; i < N; i++)
		ck_assert_uint_eq(lab.all[i].most, 1);
}
END_TEST

/* Nobody is asked, so the webhook never answers, and the step's time is over. */
START_TEST(what_stays_unknown_turns_back)
{
	policy("{\"bake\":\"50ms\",\"conditions\":{\"webhook\":{\"name\":\"judge\"}},"
	       "\"steps\":[{\"percent\":50}],\"strategy\":\"canary\",\"timeout\":"
	       "\"3s\"}");
	publish("two");
	WAIT(waits_for("the webhook has not said yes yet: this node asks nobody; if not "
		       "by 2", true));
	WAIT(status_has("RolledBack"));
	ck_assert(status_has("timeout"));
	WAIT(count_at(1) == N);
}
END_TEST

#ifdef CONFLUX_FAILPOINTS
/* The first reports do not come through, and moves are not made at once. */
START_TEST(what_is_lost_is_said_and_done_again)
{
	struct err err;

	ck_assert_int_eq(failpoint_set("fleet.report=error*4,release.move=error*3",
				       &err), OK);
	policy("{\"bake\":\"50ms\"," CONDITIONS ",\"steps\":[{\"labels\":{\"ring\":"
	       "\"canary\"}},{\"percent\":50}],\"strategy\":\"canary\",\"timeout\":"
	       "\"1m\"}");
	publish("two");
	WAIT(count_at(2) == N);
	WAIT(status_has("Completed"));
	ck_assert_uint_gt(failpoint_passes(FP_FLEET_REPORT), 4);
	ck_assert_uint_gt(failpoint_passes(FP_RELEASE_MOVE), 3);
}
END_TEST
#endif

static bool find_met(void *data, struct str tenant, struct str name,
		     const struct rollout_row *row)
{
	uint64_t *met_ms = data;

	*met_ms = row->met_ms;
	return false;
}

/* Since when the conditions of its step are met, as the state has it. */
static uint64_t met_ms(void)
{
	AUTO_ARENA arena = arena_new(4096);
	uint64_t ms = 0;
	struct err err;

	ck_assert_int_eq(view_rollouts(picture(), arena, find_met, &ms, &err), OK);
	view_idle(lab.view);
	return ms;
}

/* Who leads anew knows nothing but what the state says, and what nodes report. */
START_TEST(it_goes_on_where_it_was)
{
	policy("{\"bake\":\"500ms\"," CONDITIONS ",\"steps\":[{\"labels\":{\"ring\":"
	       "\"canary\"}},{\"percent\":50},{\"percent\":75}],\"strategy\":"
	       "\"canary\",\"timeout\":\"1m\"}");
	publish("two");
	WAIT(count_at(2) >= RING);
	WAIT(met_ms());
	releases_stop(lab.releases);
	lab.before = TAKE(lab.releases);
	struct releases_config again = { .store = lab.store, .fleet = lab.fleet };
	struct err err;

	ck_assert_int_eq(releases_new(&again, &lab.releases, &err), OK);
	releases_start(lab.releases);
	WAIT(count_at(2) == N);
	WAIT(status_has("Completed"));
}
END_TEST

START_TEST(what_it_waits_for_is_told)
{
	bool is_told = false;

	policy("{\"bake\":\"1h\"," CONDITIONS ",\"steps\":[{\"labels\":{\"ring\":"
	       "\"canary\"}},{\"percent\":50}],\"strategy\":\"canary\",\"timeout\":"
	       "\"2h\"}");
	publish("two");
	/* Those that say nothing are waited for. */
	for (unsigned i = 0; i < 5000 && !is_told; i++) {
		is_told = waits_for("0 of 5 instances applied it, and 100.00% must; if "
				    "not by 2", true);
		usleep(2000);
	}
	ck_assert(is_told);
	ck_assert_ptr_nonnull(strstr(why().text, ", it turns back"));
	WAIT(waits_for("its conditions are met, and must stay so until 2", true));
	ck_assert_uint_eq(count_at(2), RING);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("release/live");
	TCase *t = tcase_create("live");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_canary_goes_through);
	tcase_add_test(t, one_that_is_rejected_turns_back);
	tcase_add_test(t, one_that_ends_its_instances_turns_back);
	tcase_add_test(t, what_stays_unknown_turns_back);
	tcase_add_test(t, what_it_waits_for_is_told);
	tcase_add_test(t, it_goes_on_where_it_was);
#ifdef CONFLUX_FAILPOINTS
	tcase_add_test(t, what_is_lost_is_said_and_done_again);
#endif
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
