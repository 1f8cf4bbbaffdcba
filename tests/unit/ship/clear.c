/* What a ship lets go of: parts that nobody goes on with, peers that have left. */
#include "unit.h"

#include "lab.h"

#include "base/banned.h"

#define KIB 1024u

static void setup(void)
{
	lab_init();
}

static void start_two(void)
{
	lab_start(0);
	lab_start(1);
	lab_connect(0, 1);
}

static struct ship_view view(unsigned node)
{
	struct ship_view v;

	ship_view(lab.nodes[node].ship, &v);
	return v;
}

/* Parts of what is not sent any more would fill the disk. */
START_TEST(what_nobody_goes_on_with_goes)
{
	lab_make(0, "src/a", 40 * KIB, 1);
	lab_make(0, "src/b", 40 * KIB, 2);
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "a"), OK);
	ck_assert_int_eq(lab_send(0, 1, "b"), OK);
	while (!lab_exists(1, "in/a.part") || !lab_exists(1, "in/b.part") ||
	       view(1).bytes_in < 20 * KIB)
		ck_assert(lab_step());
	/* Both have their sender. */
	ship_clear(lab.nodes[1].ship, lab.now_ms, STR_NONE);
	while (lab_job(1))
		;
	ck_assert(lab_exists(1, "in/a.part") && lab_exists(1, "in/b.part"));
	lab_cut(0, 1);
	while (lab_job(1))
		;
	/* Of names there may be several, and beginnings of names. */
	ck_assert(ship_clear(lab.nodes[1].ship, lab.now_ms, STR("x\0b*")));
	ck_assert(!ship_clear(lab.nodes[1].ship, lab.now_ms, STR_NONE));
	/* A third is not begun before that is done: its part could go with them. */
	lab_make(0, "src/c", 4 * KIB, 3);
	ck_assert_int_eq(lab_send(0, 1, "c"), OK);
	lab_connect(0, 1);
	while (lab_deliver(0, 1))
		;
	ck_assert_uint_eq(view(1).in, 1);
	while (lab_job(1))
		;
	ck_assert(!lab_exists(1, "in/a.part") && !lab_exists(1, "in/a.journal"));
	ck_assert(lab_exists(1, "in/b.part"));
	lab_run(60000);
	ck_assert(lab_has(1, "in/a.file", 40 * KIB, 1));
	ck_assert(lab_has(1, "in/b.file", 40 * KIB, 2));
	ck_assert(lab_has(1, "in/c.file", 4 * KIB, 3));
	ck_assert_uint_eq(view(1).chunks_damaged + view(1).bad, 0);
	/* And in the end all that their owner has left. */
	ship_clear(lab.nodes[1].ship, lab.now_ms, STR_NONE);
	lab_run(1000);
	ck_assert(!lab_exists(1, "in/a.file") && !lab_exists(1, "in/b.journal"));
}
END_TEST

START_TEST(who_has_left_makes_room)
{
	struct ship *s;

	start_two();
	s = lab.nodes[0].ship;
	for (uint64_t id = 100; id < 300; id++) {
		ck_assert_int_eq(ship_peer_up(s, lab.now_ms, id, NULL), OK);
		ship_peer_down(s, id);
	}
	for (uint64_t id = 300; id < 300 + SHIP_PEERS_MAX - 1; id++)
		ck_assert_int_eq(ship_peer_up(s, lab.now_ms, id, NULL), OK);
	ck_assert_int_eq(ship_peer_up(s, lab.now_ms, 99, NULL), E_BUSY);
	ship_peer_down(s, 300);
	ck_assert_int_eq(ship_peer_up(s, lab.now_ms, 99, NULL), OK);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("ship/clear");
	TCase *t = tcase_create("clear");

	tcase_add_checked_fixture(t, setup, lab_fini);
	tcase_add_test(t, what_nobody_goes_on_with_goes);
	tcase_add_test(t, who_has_left_makes_room);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
