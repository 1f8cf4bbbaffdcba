/*
 * Two nodes with a reconciler each: the one that leads reconciles, and one that
 * begins to lead goes on at once.
 */
#include "source/source.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "lab.h"
#include "state/view.h"
#include "store/store.h"
#include "unit.h"
#include "port.h"
#include "tsan.h"

#include "base/banned.h"

struct node {
	char dir[100], clones[100], address[32];
	struct store *store;
	struct reconciler *rec;
	struct source_settings settings;
};

static struct lab lab;
static struct node nodes[2];
static struct pool *pool;
static struct err err;
static const char *roots[1];

#define WAIT(cond)                                                            \
	do {                                                                  \
		uint64_t until_ = clock_mono_ms() + 30000;                    \
		while (!(cond)) {                                             \
			ck_assert_msg(clock_mono_ms() < until_,               \
				      "in vain: " #cond);                     \
			nanosleep(&(struct timespec){ 0, 2000000 }, NULL);    \
		}                                                             \
	} while (0)

static void start(unsigned i, struct rc_member *members)
{
	struct node *n = &nodes[i];
	struct store_config c = { .dir = n->dir, .map_bytes = 1ull << 30,
				  .hold_ms = 10000 };

	c.cluster.node_id = i + 1;
	c.cluster.election_ms = ELECTION_MS;
	c.cluster.listen = n->address;
	c.cluster.members = members;
	c.cluster.n_members = 2;
	ck_assert_msg(store_open(&c, &n->store, &err) == OK, "%s", err.text);
	n->settings = (struct source_settings){ .dir = n->clones,
						.file_roots = roots,
						.n_file_roots = 1 };
	n->rec = source_reconciler_new(n->store, pool, &n->settings);
	source_reconciler_start(n->rec);
}

static void setup(void)
{
	struct rc_member members[2];

	lab_open(&lab);
	log_setup(LOG_ERROR, LOG_HUMAN);
	ck_assert_msg(kinds_load(&err) == OK, "%s", err.text);
	roots[0] = lab.dir;
	pool = pool_new("git", 2, 64);
	for (unsigned i = 0; i < 2; i++) {
		struct node *n = &nodes[i];

		snprintf(n->dir, sizeof(n->dir), "%s/node%u", lab.dir, i + 1);
		snprintf(n->clones, sizeof(n->clones), "%s/clones%u", lab.dir,
			 i + 1);
		snprintf(n->address, sizeof(n->address), "127.0.0.1:%u",
			 free_port());
		ck_assert_int_eq(mkdir(n->clones, 0700), 0);
		members[i] = (struct rc_member){ i + 1, n->address };
	}
	for (unsigned i = 0; i < 2; i++)
		start(i, members);
}

static void teardown(void)
{
	for (unsigned i = 0; i < 2; i++) {
		source_reconciler_stop(nodes[i].rec);
		source_reconciler_free(&nodes[i].rec);
	}
	for (unsigned i = 0; i < 2; i++)
		store_close(&nodes[i].store);
	pool_free(&pool);
	lab_close(&lab);
}

static void put(enum kind_id kind, const char *tenant, const char *name,
		struct str spec)
{
	struct command c = { .type = COMMAND_OPS, .time_ms = clock_wall_ms() };
	struct op *op = command_op(lab.arena, &c, OP_OBJECT_PUT);
	struct outcome o = { 0 };
	AUTO_BUF bytes = BUF_NONE;

	c.subject = (struct subject){ .name = STR("token:root"), .role = ROLE_ROOT };
	op->kind = kind;
	op->tenant = str_of(tenant);
	op->name = str_of(name);
	op->uid = uuid_new();
	op->labels = op->meta = STR("{}");
	op->spec = spec;
	command_encode(&bytes, &c);
	/* Twice is as good as once, where a slow machine elects anew. */
	do
		ck_assert_msg(store_submit_wait(nodes[0].store, buf_view(&bytes),
						lab.arena, &o, &err) == OK,
			      "%s", err.text);
	while (o.code == E_UNCERTAIN);
	ck_assert_msg(o.code == OK, "%s", o.text);
}

static bool shows(struct node *n, const char *content)
{
	struct view *view;
	struct kv_txn *txn;
	struct config_view config;
	struct address at;
	AUTO_BUF got = BUF_NONE;
	bool yes;

	ck_assert_int_eq(view_new(n->store, &view, &err), OK);
	ck_assert_int_eq(view_use(view, 0, &txn, &err), OK);
	ck_assert_int_eq(address_parse(STR("acme/shop/prod/db.toml"), &at, NULL),
			 OK);
	yes = view_config(txn, &at, CLIENT_NOBODY, &config, NULL) == OK &&
	      view_content(txn, at.tenant, &config.rule.sha, config.rule.size,
			   &got, NULL) == OK &&
	      str_eq(buf_view(&got), str_of(content));
	view_free(&view);
	return yes;
}

static uint64_t jobs_of(struct node *n)
{
	struct source_metrics m;

	source_metrics(n->rec, &m);
	return m.jobs_done;
}

static struct node *leader(void)
{
	for (unsigned i = 0; i < 2; i++)
		if (store_leads(nodes[i].store))
			return &nodes[i];
	return NULL;
}

/* ---- leadership goes from one to the other ---- */

static struct {
	struct store_members m;
	_Atomic bool is_done;
	enum code rc;
} transfer;

static void transferred(struct store_members *m, enum code rc,
			const struct err *why)
{
	transfer.rc = rc;
	atomic_store(&transfer.is_done, true);
}

static bool hands_over(struct node *n)
{
	transfer.m = (struct store_members){
		.home = store_core_loop(n->store), .what = STORE_MEMBER_LEAD,
		.who = { .subject = { .name = STR("token:root"), .role = ROLE_ROOT } },
		.id = (uint64_t)(n - nodes) + 1, .address = "",
		.done = transferred };
	atomic_store(&transfer.is_done, false);
	ck_assert(store_members_change(n->store, &transfer.m));
	WAIT(atomic_load(&transfer.is_done));
	return transfer.rc == OK || leader() == n;
}

/* One try ends after three election timeouts, in which a busy machine may do nothing. */
static void let_lead(struct node *n)
{
	WAIT(hands_over(n));
	WAIT(leader() == n);
}

/* Neither the interval nor anybody who asks: an hour is longer than this test. */
START_TEST(who_begins_to_lead_goes_on)
{
	struct node *first, *second;

	lab_write(&lab, "shop/prod/db.toml", "port = 1\n");
	lab_commit(&lab, "first");
	WAIT((first = leader()));
	second = &nodes[first == &nodes[0]];
	put(KIND_TENANT, NULL, "acme", STR("{}"));
	put(KIND_SOURCE, "acme", "shop",
	    arena_printf(lab.arena, "{\"url\":\"%s\",\"interval\":\"1h\"}",
			 lab.url));
	WAIT(shows(first, "port = 1\n") && shows(second, "port = 1\n"));
	ck_assert_uint_eq(jobs_of(second), 0);
	lab_write(&lab, "shop/prod/db.toml", "port = 2\n");
	lab_commit(&lab, "second");
	let_lead(second);
	WAIT(shows(second, "port = 2\n"));
	WAIT(jobs_of(second) > 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("source/role");
	TCase *t = tcase_create("role");

	tcase_set_timeout(t, 100);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, who_begins_to_lead_goes_on);
	suite_add_tcase(suite, t);
	return suite;
}

FETCHING_UNIT_MAIN(suite)
