/*
 * Two ships on real files, their work on a thread of its own: what a job touches
 * is its own while it is out (the thread sanitizer says so), and the file is
 * equal in the end, also when connections end under way.
 */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/rand.h"
#include "ship/ship.h"

#include "base/banned.h"

#define BYTES ((size_t)6 << 20)

struct letter {
	struct list link;
	struct buf bytes;
};

struct node {
	struct ship *ship;
	struct list link;                /* to the other one */
	unsigned n_sent, n_received;
	enum code sent;
};

struct queue {
	struct ship_job *first, **last;
};

static struct node nodes[2];
static struct queue todo, finished;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_ending;
static char dir[64];
static bool is_up;

static void put(struct queue *q, struct ship_job *job)
{
	job->next = NULL;
	*q->last = job;
	q->last = &job->next;
	pthread_cond_broadcast(&changed);
}

static struct ship_job *take(struct queue *q)
{
	struct ship_job *job = q->first;

	if (!job)
		return NULL;
	q->first = job->next;
	if (!q->first)
		q->last = &q->first;
	return job;
}

static void *worker(void *unused)
{
	struct ship_job *job;

	pthread_mutex_lock(&lock);
	while (!is_ending) {
		job = take(&todo);
		if (!job) {
			pthread_cond_wait(&changed, &lock);
			continue;
		}
		pthread_mutex_unlock(&lock);
		ship_job_run(job);
		pthread_mutex_lock(&lock);
		put(&finished, job);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

static bool host_send(void *data, uint64_t peer, struct str frame)
{
	struct node *n = data;
	struct letter *l = NEW(struct letter);

	buf_str(&l->bytes, frame);
	list_append(&n->link, &l->link);
	return true;
}

static void host_work(void *data, struct ship_job *job)
{
	job->host_data = data;
	pthread_mutex_lock(&lock);
	put(&todo, job);
	pthread_mutex_unlock(&lock);
}

static void host_sent(void *data, uint64_t peer, struct str id, enum code rc,
		      const struct err *err)
{
	struct node *n = data;

	n->n_sent++;
	n->sent = rc;
}

static void host_received(void *data, uint64_t peer, const struct ship_offer *o,
			  const char *path)
{
	struct node *n = data;

	n->n_received++;
}

static bool deliver(struct node *from, struct node *to)
{
	struct letter *l = list_first(&from->link, struct letter, link);
	struct err err;

	if (!l)
		return false;
	list_remove(&l->link);
	if (is_up)
		ck_assert_int_eq(ship_receive(to->ship, clock_mono_ms(),
					      (uint64_t)(from - nodes),
					      buf_view(&l->bytes), &err), OK);
	buf_fini(&l->bytes);
	free(l);
	return true;
}

/* A job that is back, or a wait for one where nothing else is to do. */
static void take_back(bool waits)
{
	struct ship_job *job;
	struct node *n;

	pthread_mutex_lock(&lock);
	while (!(job = take(&finished)) && waits)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	if (!job)
		return;
	n = job->host_data;
	ship_job_done(n->ship, clock_mono_ms(), job);
}

static void turn(void)
{
	bool any = deliver(&nodes[0], &nodes[1]) | deliver(&nodes[1], &nodes[0]);
	bool is_out = !ship_is_idle(nodes[0].ship) || !ship_is_idle(nodes[1].ship);

	take_back(!any && is_out);
	for (unsigned i = 0; i < 2; i++)
		if (clock_mono_ms() >= ship_deadline(nodes[i].ship))
			ship_timeout(nodes[i].ship, clock_mono_ms());
}

static void connect_both(bool up)
{
	struct err err;

	is_up = up;
	while (!up && (deliver(&nodes[0], &nodes[1]) |
		       deliver(&nodes[1], &nodes[0])))
		;
	for (unsigned i = 0; i < 2; i++) {
		if (up)
			ck_assert_int_eq(ship_peer_up(nodes[i].ship,
						      clock_mono_ms(), !i, &err),
					 OK);
		else
			ship_peer_down(nodes[i].ship, !i);
	}
}

static void start(struct node *n)
{
	struct ship_config c;

	ship_config_defaults(&c);
	c.host = (struct ship_host){ .send = host_send, .work = host_work,
				     .received = host_received,
				     .sent = host_sent, .data = n };
	c.fs = fs_real();
	c.dir = dir;
	c.chunk_bytes = 32 << 10;
	c.page_log = 4;
	c.sync_bytes = 1 << 20;
	c.retry_ms = 1;
	list_init(&n->link);
	n->ship = ship_new(&c);
}

static char *path(const char *name)
{
	AUTO_BUF b = BUF_NONE;

	buf_printf(&b, "%s/%s", dir, name);
	return buf_take(&b);
}

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/conflux-ship-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", dir, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

START_TEST(work_runs_on_another_thread)
{
	char *source = path("source"), *tree = path("tree");
	char *whole = path("f.file");
	struct ship_file file = { .id = STR("f"), .path = source, .dir = dir,
				  .tree_path = tree };
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF back = BUF_NONE;
	pthread_t thread;
	struct err err;

	rand_bytes(buf_extend(&bytes, BYTES), BYTES);
	ck_assert_int_eq(fs_put(fs_real(), dir, source, buf_view(&bytes), &err),
			 OK);
	todo.last = &todo.first;
	finished.last = &finished.first;
	start(&nodes[0]);
	start(&nodes[1]);
	ck_assert_int_eq(pthread_create(&thread, NULL, worker, NULL), 0);
	connect_both(true);
	ck_assert_int_eq(ship_send(nodes[0].ship, clock_mono_ms(), 1, &file, &err),
			 OK);
	for (unsigned i = 1; !nodes[0].n_sent; i++) {
		turn();
		/* Often at first, so that a job is out each time. */
		if (i % 150 == 0 && i < 3000) {
			connect_both(false);
			connect_both(true);
		}
	}
	ck_assert_int_eq(nodes[0].sent, OK);
	ck_assert_uint_eq(nodes[1].n_received, 1);
	ck_assert_int_eq(fs_get(fs_real(), whole, &back, &err), OK);
	ck_assert(str_eq(buf_view(&bytes), buf_view(&back)));

	for (unsigned i = 0; i < 2; i++)
		ship_stop(nodes[i].ship);
	while (!ship_is_idle(nodes[0].ship) || !ship_is_idle(nodes[1].ship))
		take_back(true);
	pthread_mutex_lock(&lock);
	is_ending = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	pthread_join(thread, NULL);
	connect_both(false);
	for (unsigned i = 0; i < 2; i++)
		ship_free(&nodes[i].ship);
	free(source);
	free(tree);
	free(whole);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("ship/worker");
	TCase *t = tcase_create("worker");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, work_runs_on_another_thread);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
