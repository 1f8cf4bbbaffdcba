/* Timers. */
#include "io/timer.h"
#include "unit.h"

#include "base/banned.h"

static struct loop *loop;

static void setup(void)
{
	loop = loop_new("test", 0);
}

static void teardown(void)
{
	loop_free(&loop);
}

static struct {
	struct timer *fired[16];
	int n, n_closed;
	uint64_t at_ms;
} seen;

static void on_timer(struct timer *timer)
{
	ck_assert(!timer_is_armed(timer));
	seen.fired[seen.n++] = timer;
	seen.at_ms = loop_now_ms(loop);
}

static void on_closed(struct timer *timer)
{
	seen.n_closed++;
}

static void run_all(void)
{
	while (loop_run_once(loop))
		;
}

START_TEST(fires_once_and_not_early)
{
	uint64_t began = loop_now_ms(loop);
	struct timer timer;

	timer_init(&timer, loop, on_timer);
	ck_assert(!timer_is_armed(&timer));
	timer_start(&timer, 20);
	ck_assert(timer_is_armed(&timer));
	run_all();
	ck_assert_int_eq(seen.n, 1);
	ck_assert_uint_ge(seen.at_ms, began + 20);
	timer_close(&timer, on_closed);
	ck_assert_int_eq(seen.n_closed, 0);
	run_all();
	ck_assert_int_eq(seen.n_closed, 1);
}
END_TEST

START_TEST(in_the_order_of_time)
{
	struct timer timers[3];

	for (int i = 0; i < 3; i++) {
		timer_init(&timers[i], loop, on_timer);
		timer_start(&timers[i], (uint64_t)(3 - i) * 5);
	}
	run_all();
	ck_assert_int_eq(seen.n, 3);
	for (int i = 0; i < 3; i++) {
		ck_assert_ptr_eq(seen.fired[i], &timers[2 - i]);
		timer_close(&timers[i], NULL);
	}
	run_all();
}
END_TEST

START_TEST(stopped_and_armed_again)
{
	struct timer timer;

	timer_init(&timer, loop, on_timer);
	timer_stop(&timer);
	timer_start(&timer, 1);
	timer_stop(&timer);
	ck_assert(!timer_is_armed(&timer));
	run_all();
	ck_assert_int_eq(seen.n, 0);
	/* The later time counts. */
	timer_start(&timer, 100000);
	timer_start(&timer, 1);
	run_all();
	ck_assert_int_eq(seen.n, 1);
	timer_close(&timer, NULL);
	run_all();
}
END_TEST

static void again(struct timer *timer)
{
	on_timer(timer);
	if (seen.n < 5)
		timer_start(timer, 0);
	else
		timer_close(timer, on_closed);
}

START_TEST(armed_and_closed_inside)
{
	struct timer timer;

	timer_init(&timer, loop, again);
	timer_start(&timer, 0);
	ck_assert_int_eq(seen.n, 0);
	run_all();
	ck_assert_int_eq(seen.n, 5);
	ck_assert_int_eq(seen.n_closed, 1);
}
END_TEST

START_TEST(a_closed_timer_does_not_fire)
{
	struct timer timer;

	timer_init(&timer, loop, on_timer);
	timer_start(&timer, 0);
	timer_close(&timer, on_closed);
	run_all();
	ck_assert_int_eq(seen.n, 0);
	ck_assert_int_eq(seen.n_closed, 1);
}
END_TEST

START_TEST(starting_a_closed_timer_aborts)
{
	struct timer timer;

	timer_init(&timer, loop, on_timer);
	timer_close(&timer, NULL);
	timer_start(&timer, 1);
}
END_TEST

START_TEST(closing_twice_aborts)
{
	struct timer timer;

	timer_init(&timer, loop, on_timer);
	timer_close(&timer, NULL);
	timer_close(&timer, NULL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io/timer");
	TCase *t = tcase_create("timer");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, fires_once_and_not_early);
	tcase_add_test(t, in_the_order_of_time);
	tcase_add_test(t, stopped_and_armed_again);
	tcase_add_test(t, armed_and_closed_inside);
	tcase_add_test(t, a_closed_timer_does_not_fire);
	tcase_add_test_raise_signal(t, starting_a_closed_timer_aborts, SIGABRT);
	tcase_add_test_raise_signal(t, closing_twice_aborts, SIGABRT);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
