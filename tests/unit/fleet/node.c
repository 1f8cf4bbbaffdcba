/* The fleet of a running node, on a real store: what other threads ask of its loop. */
#include "unit.h"

#include <ftw.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fleet/node_own.h"

#include "base/banned.h"

static char dir[64];
static struct store *store;
static struct fleet_node *node;
static struct err err;

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void make(void)
{
	struct fleet_node_config config = { .store = store, .node_id = 1,
					    .instances_max = 100 };

	ck_assert_msg(fleet_node_new(&config, &node, &err) == OK, "%s", err.text);
}

static void setup(void)
{
	struct store_config config = { .dir = dir, .map_bytes = 1ull << 28 };

	str_copy(dir, sizeof(dir), STR("/tmp/cfx-fleet-XXXXXX"));
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_msg(store_open(&config, &store, &err) == OK, "%s", err.text);
	make();
}

static void teardown(void)
{
	fleet_node_stop(node);
	store_close(&store);
	fleet_node_free(&node);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- on the core loop ---- */

struct visit {
	struct msg msg;
	void (*look)(void);
	sem_t done;
};

static void visit_here(struct msg *msg)
{
	struct visit *v = container_of(msg, struct visit, msg);

	v->look();
	sem_post(&v->done);
}

/* Behind all that has been posted there. */
static void visit(void (*look)(void))
{
	struct visit v = { .msg.run = visit_here, .look = look };

	sem_init(&v.done, 0, 0);
	loop_post_sure(node->core, &v.msg);
	while (sem_wait(&v.done))
		;
	sem_destroy(&v.done);
}

/* ---- pokes ---- */

static void poke(bool is_urgent)
{
	node->fleet->poke(node->fleet->poke_data, is_urgent);
}

static void poke_beside_the_timer(void)
{
	poke(false);
	poke(true);
	ck_assert(node->is_poked && node->is_urgent);
	/* It fires while they wait: they are still in the loop's mailbox. */
	timer_stop(&node->report);
	node->report.cb_(&node->report);
	for (int i = 0; i < 3; i++) {
		poke(false);
		poke(true);
	}
}

static void have_run(void)
{
	ck_assert(!node->is_poked && !node->is_urgent);
	ck_assert(timer_is_armed(&node->report));
	timer_stop(&node->report);
	poke(false);
	ck_assert(!timer_is_armed(&node->report));
}

static void has_run_again(void)
{
	ck_assert(timer_is_armed(&node->report));
}

/* A release stood still, and the node with it, when one that waited was posted
 * again: the loop went round it for ever. */
START_TEST(a_poke_that_waits_is_not_posted_again)
{
	fleet_node_start(node);
	visit(poke_beside_the_timer);
	visit(have_run);
	visit(has_run_again);
}
END_TEST

/* ---- start and end ---- */

/* The core loop may see the end before it has begun. */
START_TEST(it_may_end_at_once)
{
	for (int i = 0; i < 200; i++) {
		fleet_node_start(node);
		fleet_node_stop(node);
		fleet_node_free(&node);
		make();
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fleet/node");
	TCase *t = tcase_create("node");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_poke_that_waits_is_not_posted_again);
	tcase_add_test(t, it_may_end_at_once);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
