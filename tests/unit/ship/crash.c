/*
 * Each durable step of a receiver, and of a sender, is crashed at; what is there
 * is taken up again, and in the end the file is equal, byte for byte.
 */
#include "unit.h"

#include "lab.h"

#include "base/banned.h"

#define KIB 1024u
#define BYTES (21 * KIB + 100)

static void fill(void)
{
	lab_init();
	lab_make(0, "src/f", BYTES, 7);
	lab.nodes[0].config.page_log = 2;
	/* Some blocks of the disk between two syncs, not at their edges. */
	lab.nodes[1].config.sync_bytes = 9 * KIB;
}

static void begin(void)
{
	lab_start(0);
	lab_start(1);
	lab_connect(0, 1);
	must(lab_send(0, 1, "f") == OK);
}

/* Up again, without faults; the owner of the file asks again after a crash of
 * its node. */
static void go_on(unsigned crashed, bool power)
{
	lab_crash(crashed, power);
	lab.nodes[0].n_sent = 0;
	lab_start(crashed);
	lab_connect(0, 1);
	if (crashed == 0)
		must(lab_send(0, 1, "f") == OK);
	lab_run(10000);
}

static uint64_t steps_of(unsigned node)
{
	uint64_t from;

	fill();
	from = disk_steps(lab.nodes[node].disk);
	begin();
	lab_run(10000);
	ck_assert(lab_has(1, "in/f.file", BYTES, 7));
	from = disk_steps(lab.nodes[node].disk) - from;
	lab_fini();
	return from;
}

/* Of all crashes of this process. */
static uint64_t torn, checked;

static void crash_at(unsigned node, uint64_t at, bool power)
{
	struct ship_view v;

	fill();
	disk_crash_at(lab.nodes[node].disk, disk_steps(lab.nodes[node].disk) +
		      at);
	begin();
	lab_run(10000);
	ck_assert_msg(disk_is_down(lab.nodes[node].disk), "step %llu",
		      (unsigned long long)at);
	go_on(node, power);
	/* A sender whose disk is gone gives up, and the owner hears of it. */
	if (lab.nodes[0].sent && node == 1) {
		ck_assert_int_eq(lab.nodes[0].sent, E_IO);
		must(lab_send(0, 1, "f") == OK);
		lab_run(10000);
	}
	ck_assert_msg(lab.nodes[0].n_sent >= 1 && lab.nodes[0].sent == OK,
		      "step %llu: %s", (unsigned long long)at,
		      lab.nodes[0].why.text);
	ck_assert_msg(lab_has(1, "in/f.file", BYTES, 7), "step %llu",
		      (unsigned long long)at);
	ck_assert(!lab_exists(1, "in/f.part"));
	/* No disk lied: what was synced is whole. */
	ship_view(lab.nodes[1].ship, &v);
	ck_assert_uint_eq(v.chunks_damaged, 0);
	torn += v.chunks_torn;
	checked += v.chunks_checked;
	lab_fini();
}

START_TEST(a_receiver_crashes_at_each_step)
{
	uint64_t steps = steps_of(1);

	ck_assert_uint_gt(steps, 35);
	for (uint64_t at = 1; at <= steps; at++)
		crash_at(1, at, _i);
	/* It was worth something: with the power, writes were lost. */
	ck_assert_uint_gt(checked, 0);
	ck_assert_int_eq(torn > 0, _i == 1);
}
END_TEST

START_TEST(a_sender_crashes_at_each_step)
{
	uint64_t steps = steps_of(0);

	ck_assert_uint_gt(steps, 10);
	for (uint64_t at = 1; at <= steps; at++)
		crash_at(0, at, _i);
}
END_TEST

/* The owner was told: from then on the file is there, whatever happens. */
START_TEST(what_was_received_survives_a_power_loss)
{
	lab_init();
	disk_free(&lab.nodes[1].disk);
	lab.nodes[1].disk = disk_new((uint64_t)_i);
	lab.nodes[1].fs.under = disk_fs(lab.nodes[1].disk);
	lab_make(0, "src/f", BYTES, 7);
	begin();
	while (lab.nodes[1].n_received == 0)
		ck_assert(lab_step());
	lab_crash(1, true);
	ck_assert(lab_has(1, "in/f.file", BYTES, 7));
	lab_fini();
}
END_TEST

/* Also what came before the first sync: a process that ends loses nothing. */
START_TEST(a_restart_goes_on_before_the_first_sync)
{
	struct ship_view v;

	fill();
	lab.nodes[1].config.sync_bytes = 1 << 30;
	begin();
	do {
		ck_assert(lab_step());
		ship_view(lab.nodes[1].ship, &v);
	} while (v.bytes_in < 10 * KIB);
	go_on(1, false);
	ship_view(lab.nodes[1].ship, &v);
	ck_assert_uint_ge(v.chunks_checked, 10);
	ck_assert_uint_le(v.bytes_in, BYTES - 10 * KIB);
	ck_assert(lab_has(1, "in/f.file", BYTES, 7));
	lab_fini();
}
END_TEST

/* The receiver's power fails again and again, at any step. */
START_TEST(a_receiver_that_crashes_all_the_time_gets_there)
{
	struct prng prng;
	unsigned crashes = 0;

	prng_init(&prng, (uint64_t)_i);
	fill();
	lab_start(0);
	must(lab_send(0, 1, "f") == OK);
	while (!lab_has(1, "in/f.file", BYTES, 7) && crashes < 1000) {
		disk_crash_at(lab.nodes[1].disk, disk_steps(lab.nodes[1].disk) +
			      1 + prng_below(&prng, 20));
		lab_start(1);
		lab_connect(0, 1);
		if (lab.nodes[0].n_sent) {
			lab.nodes[0].n_sent = 0;
			must(lab_send(0, 1, "f") == OK);
		}
		lab_run(1000);
		lab_crash(1, prng_below(&prng, 4) != 0);
		crashes++;
	}
	ck_assert_uint_gt(crashes, 2);
	ck_assert_uint_lt(crashes, 1000);
	lab_fini();
}
END_TEST

/* Errors of the disk are told, and never become a wrong file. */
START_TEST(errors_of_the_disk_end_in_errors)
{
	unsigned tries = 0;

	fill();
	begin();
	disk_set_errors(lab.nodes[1].disk, 30000);
	while (lab.nodes[1].n_received == 0 && tries++ < 1000) {
		lab_run(1000);
		if (lab.nodes[0].n_sent == 0)
			continue;
		if (lab.nodes[0].sent)
			ck_assert_int_eq(lab.nodes[0].sent, E_IO);
		lab.nodes[0].n_sent = 0;
		must(lab_send(0, 1, "f") == OK);
	}
	ck_assert_uint_eq(lab.nodes[1].n_received, 1);
	ck_assert(lab_has(1, "in/f.file", BYTES, 7));
	lab_fini();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("ship/crash");
	TCase *t = tcase_create("crash");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, a_receiver_crashes_at_each_step, 0, 2);
	tcase_add_loop_test(t, a_sender_crashes_at_each_step, 0, 2);
	tcase_add_loop_test(t, what_was_received_survives_a_power_loss, 1, 20);
	tcase_add_test(t, a_restart_goes_on_before_the_first_sync);
	tcase_add_loop_test(t, a_receiver_that_crashes_all_the_time_gets_there, 0,
			    10);
	tcase_add_test(t, errors_of_the_disk_end_in_errors);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
