/* Workers: where work runs, its order, its bound, and the end. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "io/pool.h"
#include "unit.h"

#include "base/banned.h"

static struct loop *loop;
static struct pool *pool;

struct job {
	struct work work;
	int n;
	bool ran, done;
	pthread_t by;
};

static struct {
	int ran[100];
	_Atomic int n_ran;
	int n_done, stop_after;
	sem_t begun, go;
} seen;

static void setup(void)
{
	loop = loop_new("home", 0);
	sem_init(&seen.begun, 0, 0);
	sem_init(&seen.go, 0, 0);
}

static void teardown(void)
{
	pool_free(&pool);
	loop_free(&loop);
}

static void run_job(struct work *work)
{
	struct job *job = container_of(work, struct job, work);

	job->ran = true;
	job->by = pthread_self();
	seen.ran[atomic_fetch_add(&seen.n_ran, 1)] = job->n;
}

static void job_done(struct work *work)
{
	struct job *job = container_of(work, struct job, work);

	ck_assert(loop_is_here(loop));
	ck_assert(job->ran && !job->done);
	job->done = true;
	if (++seen.n_done == seen.stop_after)
		loop_stop(loop);
}

static void wait_for_go(struct work *work)
{
	sem_post(&seen.begun);
	sem_wait(&seen.go);
	run_job(work);
}

static struct job job_of(int n)
{
	return (struct job){
		.work = { .home = loop, .run = run_job, .done = job_done },
		.n = n,
	};
}

START_TEST(runs_elsewhere_and_is_told_at_home)
{
	struct job jobs[50];

	pool = pool_new("workers", 3, 50);
	seen.stop_after = 50;
	for (int i = 0; i < 50; i++) {
		jobs[i] = job_of(i);
		ck_assert(pool_submit(pool, &jobs[i].work));
	}
	loop_run_here(loop);
	for (int i = 0; i < 50; i++) {
		ck_assert(jobs[i].done);
		ck_assert(!pthread_equal(jobs[i].by, pthread_self()));
	}
	ck_assert_uint_eq(pool_queued(pool), 0);
}
END_TEST

START_TEST(one_worker_keeps_the_order)
{
	struct job jobs[50];

	pool = pool_new("worker", 1, 50);
	seen.stop_after = 50;
	for (int i = 0; i < 50; i++) {
		jobs[i] = job_of(i);
		ck_assert(pool_submit(pool, &jobs[i].work));
	}
	loop_run_here(loop);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(seen.ran[i], i);
}
END_TEST

START_TEST(a_full_queue_refuses)
{
	struct job jobs[4] = { job_of(0), job_of(1), job_of(2), job_of(3) };

	pool = pool_new("worker", 1, 2);
	jobs[0].work.run = wait_for_go;
	ck_assert(pool_submit(pool, &jobs[0].work));
	sem_wait(&seen.begun);
	/* What runs does not wait. */
	ck_assert_uint_eq(pool_queued(pool), 0);
	ck_assert(pool_submit(pool, &jobs[1].work));
	ck_assert(pool_submit(pool, &jobs[2].work));
	ck_assert(!pool_submit(pool, &jobs[3].work));
	ck_assert_uint_eq(pool_queued(pool), 2);
	ck_assert_uint_eq(pool_refused(pool), 1);
	sem_post(&seen.go);
	seen.stop_after = 3;
	loop_run_here(loop);
	ck_assert(!jobs[3].ran);
	ck_assert(pool_submit(pool, &jobs[3].work));
	pool_free(&pool);
	ck_assert(jobs[3].ran);
	while (loop_run_once(loop))
		;
	ck_assert(jobs[3].done);
}
END_TEST

START_TEST(workers_run_side_by_side)
{
	struct job jobs[2] = { job_of(0), job_of(1) };

	pool = pool_new("workers", 2, 2);
	for (int i = 0; i < 2; i++) {
		jobs[i].work.run = wait_for_go;
		ck_assert(pool_submit(pool, &jobs[i].work));
	}
	sem_wait(&seen.begun);
	sem_wait(&seen.begun);
	sem_post(&seen.go);
	sem_post(&seen.go);
	seen.stop_after = 2;
	loop_run_here(loop);
	ck_assert(!pthread_equal(jobs[0].by, jobs[1].by));
}
END_TEST

/* Work that ends after its loop is told when the loop is freed. */
START_TEST(the_end_loses_nothing)
{
	struct job jobs[20];

	pool = pool_new("worker", 1, 20);
	for (int i = 0; i < 20; i++) {
		jobs[i] = job_of(i);
		ck_assert(pool_submit(pool, &jobs[i].work));
	}
	loop_stop(loop);
	loop_run_here(loop);
	pool_free(&pool);
	ck_assert_ptr_null(pool);
	ck_assert_int_eq(seen.n_ran, 20);
	loop_free(&loop);
	ck_assert_int_eq(seen.n_done, 20);
}
END_TEST

START_TEST(work_without_home_aborts)
{
	struct job job = job_of(0);

	pool = pool_new("worker", 1, 20);
	job.work.home = NULL;
	(void)!pool_submit(pool, &job.work);
}
END_TEST

static int nice_seen;

static void run_nice(struct work *work)
{
	nice_seen = getpriority(PRIO_PROCESS, 0);
	run_job(work);
}

/* Its workers alone, and not the thread that says so. */
START_TEST(what_is_in_the_background_goes_behind)
{
	struct job job = { .work = { .run = run_nice, .done = job_done,
				     .home = loop } };
	int before = getpriority(PRIO_PROCESS, 0);

	pool = pool_new("test", 1, 1);
	pool_set_background(pool);
	seen.stop_after = 1;
	ck_assert(pool_submit(pool, &job.work));
	loop_run_here(loop);
	ck_assert_int_eq(nice_seen, MIN(before + 5, 19));
	ck_assert_int_eq(getpriority(PRIO_PROCESS, 0), before);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io/pool");
	TCase *t = tcase_create("pool");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, runs_elsewhere_and_is_told_at_home);
	tcase_add_test(t, one_worker_keeps_the_order);
	tcase_add_test(t, a_full_queue_refuses);
	tcase_add_test(t, workers_run_side_by_side);
	tcase_add_test(t, the_end_loses_nothing);
	tcase_add_test_raise_signal(t, work_without_home_aborts, SIGABRT);
	tcase_add_test(t, what_is_in_the_background_goes_behind);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
