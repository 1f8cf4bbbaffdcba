/* Files from ship to ship: whole, torn, flipped, throttled, refused. */
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

static const uint64_t sizes[] = {
	0, 1, KIB - 1, KIB, KIB + 1, 4 * KIB, 4 * KIB + 1, 16 * KIB, 16 * KIB + 1,
	21 * KIB + 7, 64 * KIB, 300 * KIB + 3,
};

START_TEST(a_file_of_any_size_arrives)
{
	uint64_t n = sizes[_i];

	lab_make(0, "src/f", n, 7);
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert_uint_eq(lab.nodes[0].n_sent, 1);
	ck_assert_int_eq(lab.nodes[0].sent, OK);
	ck_assert_uint_eq(lab.nodes[1].n_received, 1);
	ck_assert(lab_has(1, "in/f.file", n, 7));
	ck_assert(!lab_exists(1, "in/f.part"));
	ck_assert_uint_eq(view(1).bytes_in, n);
	ck_assert_uint_eq(view(0).out + view(1).in + view(0).jobs, 0);
	ck_assert_uint_eq(view(0).memory + view(1).memory, 0);
}
END_TEST

START_TEST(page_sizes_make_no_difference)
{
	lab_make(0, "src/f", 21 * KIB, 7);
	lab.nodes[0].config.page_log = (unsigned)_i;
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert(lab_has(1, "in/f.file", 21 * KIB, 7));
}
END_TEST

START_TEST(both_ways_and_several_at_once)
{
	lab_make(0, "src/a", 40 * KIB, 1);
	lab_make(0, "src/b", 30 * KIB, 2);
	lab_make(1, "src/c", 20 * KIB, 3);
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "a"), OK);
	ck_assert_int_eq(lab_send(0, 1, "b"), OK);
	ck_assert_int_eq(lab_send(1, 0, "c"), OK);
	lab_run(1000);
	ck_assert(lab_has(1, "in/a.file", 40 * KIB, 1));
	ck_assert(lab_has(1, "in/b.file", 30 * KIB, 2));
	ck_assert(lab_has(0, "in/c.file", 20 * KIB, 3));
}
END_TEST

START_TEST(the_same_file_again_is_one)
{
	lab_make(0, "src/f", 21 * KIB, 7);
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert_uint_eq(lab.nodes[0].n_sent, 1);
	ck_assert_uint_eq(lab.nodes[0].chunks_sent, 21);
	/* And later it is there: nothing travels but the offer. */
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert_uint_eq(lab.nodes[0].n_sent, 2);
	ck_assert_uint_eq(lab.nodes[0].chunks_sent, 21);
	ck_assert_uint_eq(lab.nodes[1].n_received, 2);
}
END_TEST

START_TEST(two_senders_of_one_file_are_one_transfer)
{
	lab_make(0, "src/f", 21 * KIB, 7);
	lab_make(2, "src/f", 21 * KIB, 7);
	for (unsigned i = 0; i < LAB_NODES; i++)
		lab_start(i);
	lab_connect(0, 1);
	lab_connect(2, 1);
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	ck_assert_int_eq(lab_send(2, 1, "f"), OK);
	lab_run(5000);
	ck_assert_uint_eq(lab.nodes[0].n_sent + lab.nodes[2].n_sent, 2);
	ck_assert_int_eq(lab.nodes[0].sent, OK);
	ck_assert_int_eq(lab.nodes[2].sent, OK);
	ck_assert_uint_eq(lab.nodes[0].chunks_sent + lab.nodes[2].chunks_sent,
			  21);
	ck_assert(lab_has(1, "in/f.file", 21 * KIB, 7));
}
END_TEST

START_TEST(another_sender_goes_on_where_one_stopped)
{
	lab_make(0, "src/f", 100 * KIB, 7);
	lab_make(2, "src/f", 100 * KIB, 7);
	for (unsigned i = 0; i < LAB_NODES; i++)
		lab_start(i);
	lab_connect(0, 1);
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	while (view(1).bytes_in < 50 * KIB)
		ck_assert(lab_step());
	lab_cut(0, 1);
	lab_connect(2, 1);
	ck_assert_int_eq(lab_send(2, 1, "f"), OK);
	lab_run(5000);
	ck_assert_int_eq(lab.nodes[2].sent, OK);
	ck_assert(lab_has(1, "in/f.file", 100 * KIB, 7));
	/* What was verified is not even read again. */
	ck_assert_uint_le(lab.nodes[2].chunks_sent, 51);
	ck_assert_uint_eq(view(1).chunks_checked, 0);
	ck_assert_uint_eq(lab.nodes[0].n_sent, 0);
}
END_TEST

START_TEST(another_file_of_the_same_name_begins_anew)
{
	lab_make(0, "src/f", 30 * KIB, 7);
	lab_make(2, "src/f", 25 * KIB, 8);
	for (unsigned i = 0; i < LAB_NODES; i++)
		lab_start(i);
	lab_connect(0, 1);
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	/* Part way, and whole. */
	if (_i == 0)
		while (view(1).bytes_in < 20 * KIB)
			ck_assert(lab_step());
	else
		lab_run(1000);
	lab_cut(0, 1);
	while (lab_step())
		;
	lab_connect(2, 1);
	ck_assert_int_eq(lab_send(2, 1, "f"), OK);
	lab_run(5000);
	ck_assert_int_eq(lab.nodes[2].sent, OK);
	ck_assert(lab_has(1, "in/f.file", 25 * KIB, 8));
}
END_TEST

/* The whole file of before must not pass for the one that is coming. */
START_TEST(a_whole_file_of_another_root_is_never_believed)
{
	lab_make(0, "src/f", 30 * KIB, 7);
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	lab_crash(0, false);
	lab_make(0, "src/f", 30 * KIB, 8);
	must(lab.nodes[0].fs.under->ops->remove(lab.nodes[0].fs.under,
						"src/f.tree", NULL) == OK);
	lab_start(0);
	lab_connect(0, 1);
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	for (int i = 0; i < 20 + 3 * _i; i++)
		lab_step();
	lab_crash(1, _i % 2);
	lab_start(1);
	lab_connect(0, 1);
	lab_run(1000);
	ck_assert_int_eq(lab.nodes[0].sent, OK);
	ck_assert(lab_has(1, "in/f.file", 30 * KIB, 8));
}
END_TEST

START_TEST(the_tree_is_made_once)
{
	uint64_t steps;

	lab_make(0, "src/f", 21 * KIB, 7);
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	steps = disk_steps(lab.nodes[0].disk);
	lab_crash(0, true);
	lab_start(0);
	lab_connect(0, 1);
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert_int_eq(lab.nodes[0].sent, OK);
	ck_assert_uint_eq(disk_steps(lab.nodes[0].disk), steps);
	/* A damaged one is made again. */
	lab_flip(0, "src/f.tree", 30);
	lab_crash(0, true);
	lab_start(0);
	lab_connect(0, 1);
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert_int_eq(lab.nodes[0].sent, OK);
	ck_assert_uint_eq(lab.nodes[1].n_received, 3);
	ck_assert_uint_eq(lab.nodes[0].chunks_sent, 21);
}
END_TEST

/* ---- flipped bytes ---- */

static unsigned flip_type, flips;
static uint64_t flip_index;

static bool flip(unsigned from, unsigned to, struct buf *frame)
{
	struct ship_frame f;

	must(ship_frame_decode(buf_view(frame), &f, NULL) == OK);
	if (f.type != flip_type || f.piece.index != flip_index || !flips)
		return true;
	flips--;
	frame->p[frame->n - 1 - flips % 7] ^= 0x10;
	return true;
}

START_TEST(a_flipped_byte_on_the_way_is_pulled_again)
{
	lab_make(0, "src/f", 10 * KIB, 7);
	lab.look = flip;
	flip_type = SHIP_F_CHUNK;
	flip_index = (uint64_t)_i;
	flips = 2;
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert_uint_eq(flips, 0);
	ck_assert_int_eq(lab.nodes[0].sent, OK);
	ck_assert_uint_eq(view(1).bad, 2);
	ck_assert(lab_has(1, "in/f.file", 10 * KIB, 7));
}
END_TEST

START_TEST(what_never_verifies_ends_with_its_place)
{
	static const char *const places[] = { "chunk 9, at byte 9216",
					      "page 0, at byte 0" };

	lab_make(0, "src/f", 10 * KIB, 7);
	lab.look = flip;
	flip_type = _i == 0 ? SHIP_F_CHUNK : SHIP_F_PAGE;
	flip_index = _i == 0 ? 9 : 0;
	flips = 100;
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert_int_eq(lab.nodes[0].sent, E_CORRUPT);
	ck_assert_ptr_nonnull(strstr(lab.nodes[0].why.text, places[_i]));
	ck_assert_int_eq(lab.nodes[1].failed, E_CORRUPT);
	ck_assert_uint_eq(lab.nodes[1].n_received, 0);
	ck_assert(!lab_exists(1, "in/f.file"));
	/* Without the fault it goes on from what there is. */
	flips = 0;
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert_int_eq(lab.nodes[0].sent, OK);
	ck_assert(lab_has(1, "in/f.file", 10 * KIB, 7));
}
END_TEST

START_TEST(a_file_that_changed_at_the_sender_is_refused_with_the_place)
{
	AUTO_BUF place = BUF_NONE;
	uint64_t at = (uint64_t)_i * KIB + 77;

	lab_make(0, "src/f", 10 * KIB, 7);
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	while (!lab_exists(0, "src/f.tree"))
		ck_assert(lab_step());
	lab_flip(0, "src/f", at);
	lab_run(1000);
	buf_printf(&place, "chunk %d, at byte %d, has changed", _i, _i * 1024);
	ck_assert_int_eq(lab.nodes[0].sent, E_CORRUPT);
	ck_assert_ptr_nonnull(strstr(lab.nodes[0].why.text, place.p));
	ck_assert_int_eq(lab.nodes[1].failed, E_CORRUPT);
	ck_assert_ptr_nonnull(strstr(lab.nodes[1].why.text, place.p));
	ck_assert(!lab_exists(1, "in/f.file"));
	/* What it is now is another file, and may be sent. */
	lab_flip(0, "src/f", 0);
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert_int_eq(lab.nodes[0].sent, OK);
	ck_assert_uint_eq(lab.nodes[1].n_received, 1);
}
END_TEST

START_TEST(a_byte_flipped_in_the_part_is_pulled_again)
{
	lab_make(0, "src/f", 30 * KIB, 7);
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	while (view(1).bytes_in < 25 * KIB)
		ck_assert(lab_step());
	lab_crash(1, false);
	lab_flip(1, "in/f.part", (uint64_t)_i * KIB + 5);
	lab_start(1);
	lab_connect(0, 1);
	lab_run(1000);
	ck_assert_int_eq(lab.nodes[0].sent, OK);
	ck_assert(lab_has(1, "in/f.file", 30 * KIB, 7));
	ck_assert_uint_eq(view(1).chunks_torn, 1);
	ck_assert_uint_eq(view(1).chunks_damaged, 1);
	ck_assert_uint_ge(view(1).chunks_checked, 24);
	ck_assert_uint_le(view(1).bytes_in, 6 * KIB);
}
END_TEST

/* ---- limits ---- */

START_TEST(a_file_over_the_limit_is_refused)
{
	lab_make(0, "src/f", 10 * KIB + 1, 7);
	lab_make(0, "src/g", 10 * KIB, 8);
	lab.nodes[1].config.file_bytes_max = 10 * KIB;
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert_int_eq(lab.nodes[0].sent, E_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(lab.nodes[0].why.text, "10241"));
	ck_assert(!lab_exists(1, "in/f.part"));
	ck_assert_uint_eq(lab.nodes[1].n_wanted, 0);
	ck_assert_int_eq(lab_send(0, 1, "g"), OK);
	lab_run(1000);
	ck_assert_int_eq(lab.nodes[0].sent, OK);
}
END_TEST

START_TEST(chunks_over_the_limit_are_refused)
{
	lab_make(0, "src/f", 10 * KIB, 7);
	lab.nodes[1].config.chunk_bytes_max = 2 * KIB;
	lab.nodes[0].config.chunk_bytes = 4 * KIB;
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert_int_eq(lab.nodes[0].sent, E_TOO_LARGE);
}
END_TEST

START_TEST(what_is_not_wanted_is_refused)
{
	lab_make(0, "src/f", 10 * KIB, 7);
	lab.nodes[1].wants = E_EXISTS;
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert_int_eq(lab.nodes[0].sent, E_EXISTS);
	ck_assert_uint_eq(lab.nodes[1].n_received, 0);
}
END_TEST

START_TEST(ids_are_no_paths)
{
	static const char *const ids[] = { "", "../f", "a/b", "f.part", "\xc3",
		"0123456789012345678901234567890123456789012345678901234567890"
		"1234" };

	lab_start(0);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		ck_assert_int_eq(lab_send(0, 1, ids[i]), E_INVALID);
}
END_TEST

START_TEST(transfers_are_bounded_and_wait_their_turn)
{
	static const char *const ids[] = { "a", "b", "c" };

	lab.nodes[0].config.out_max = 3;
	lab.nodes[1].config.in_max = 1;
	for (unsigned i = 0; i < 3; i++) {
		AUTO_BUF path = BUF_NONE;

		buf_printf(&path, "src/%s", ids[i]);
		lab_make(0, path.p, 10 * KIB, i);
	}
	start_two();
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(lab_send(0, 1, ids[i]), OK);
	ck_assert_int_eq(lab_send(0, 1, "d"), E_BUSY);
	lab_run(60000);
	ck_assert_uint_eq(lab.nodes[0].n_sent, 3);
	ck_assert_uint_eq(lab.nodes[1].n_received, 3);
	ck_assert(lab_has(1, "in/c.file", 10 * KIB, 2));
}
END_TEST

START_TEST(memory_does_not_depend_on_the_size)
{
	size_t peak[2][2];

	for (unsigned i = 0; i < 2; i++) {
		lab_fini();
		lab_init();
		lab.nodes[0].config.page_log = 4;
		lab.nodes[1].config.chunk_bytes_max = SHIP_CHUNK_MIN;
		lab_make(0, "src/f", (i ? 4000 : 300) * KIB, 7);
		start_two();
		ck_assert_int_eq(lab_send(0, 1, "f"), OK);
		lab_run(1000);
		ck_assert_int_eq(lab.nodes[0].sent, OK);
		for (unsigned k = 0; k < 2; k++) {
			peak[i][k] = view(k).memory_peak;
			ck_assert_uint_gt(peak[i][k], 0);
			ck_assert_uint_le(peak[i][k], ship_memory_max(
						&lab.nodes[k].config));
		}
	}
	/* 19 pages of level 0 or 250: the same three levels of pages. */
	ck_assert_uint_eq(peak[0][0], peak[1][0]);
	ck_assert_uint_eq(peak[0][1], peak[1][1]);
	/* The window and two chunks, four pages: nothing else. */
	ck_assert_uint_le(peak[1][1], (8 + 2) * KIB + 4 * 16 * 32);
}
END_TEST

START_TEST(a_pull_is_a_window_and_no_more)
{
	lab_make(0, "src/f", 100 * KIB, 7);
	lab.nodes[0].config.page_log = 10;
	lab.nodes[1].config.window = 3;
	start_two();
	lab.nodes[0].is_full[1] = true;
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	for (unsigned i = 0; i < 2000; i++) {
		struct list *l;
		unsigned n = 0;

		for (l = lab.nodes[1].links[0].next; l != &lab.nodes[1].links[0];
		     l = l->next)
			n++;
		for (l = lab.nodes[0].links[1].next; l != &lab.nodes[0].links[1];
		     l = l->next)
			n++;
		ck_assert_uint_le(n, 3);
		lab.nodes[0].is_full[1] = i % 3 == 0;
		if (!lab.nodes[0].is_full[1])
			ship_writable(lab.nodes[0].ship, lab.now_ms, 1);
		lab_step();
	}
	ck_assert_int_eq(lab.nodes[0].n_sent, 1);
	ck_assert(lab_has(1, "in/f.file", 100 * KIB, 7));
}
END_TEST

/* ---- rate ---- */

START_TEST(the_rate_holds_and_may_change)
{
	uint64_t from, ms;

	lab_make(0, "src/f", 100 * KIB, 7);
	lab.nodes[0].config.rate = 10 * KIB;
	start_two();
	from = lab.now_ms;
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	while (view(0).bytes_out < 50 * KIB)
		ck_assert(lab_step() || lab_wait());
	ms = lab.now_ms - from;
	ck_assert_uint_ge(ms, 4700);
	ck_assert_uint_le(ms, 5100);
	ship_set_rate(lab.nodes[0].ship, lab.now_ms, 100 * KIB);
	from = lab.now_ms;
	lab_run(60000);
	ck_assert_int_eq(lab.nodes[0].n_sent, 1);
	ck_assert_uint_ge(lab.now_ms - from, 300);
	ck_assert_uint_le(lab.now_ms - from, 700);
	ck_assert(lab_has(1, "in/f.file", 100 * KIB, 7));
}
END_TEST

START_TEST(a_rate_of_few_bytes_is_kept_too)
{
	uint64_t from;

	lab_make(0, "src/f", 4 * KIB, 7);
	lab.nodes[0].config.rate = 10;
	lab.nodes[1].config.stall_ms = 0;
	start_two();
	from = lab.now_ms;
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000000);
	ck_assert_int_eq(lab.nodes[0].n_sent, 1);
	/* The first leaves at once, three wait for what those before owe. */
	ck_assert_uint_ge(lab.now_ms - from, 3 * 102300);
	ck_assert_uint_le(lab.now_ms - from, 3 * 102500);
}
END_TEST

START_TEST(without_a_limit_no_time_passes)
{
	uint64_t from;

	lab_make(0, "src/f", 100 * KIB, 7);
	lab.nodes[0].config.rate = 1;
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(0);
	ship_set_rate(lab.nodes[0].ship, lab.now_ms, 0);
	from = lab.now_ms;
	lab_run(0);
	ck_assert_uint_eq(lab.nodes[0].n_sent, 1);
	ck_assert_uint_eq(lab.now_ms, from);
}
END_TEST

/* ---- trouble ---- */

START_TEST(a_full_disk_pauses_and_goes_on)
{
	uint64_t sent;

	lab_make(0, "src/f", 100 * KIB, 7);
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	while (view(1).bytes_in < (uint64_t)_i * KIB)
		ck_assert(lab_step());
	lab.nodes[1].fs.is_full = true;
	lab_run(5500);
	ck_assert_uint_ge(view(1).pauses, 5);
	ck_assert_uint_eq(lab.nodes[0].n_sent + lab.nodes[1].n_failed, 0);
	sent = lab.nodes[0].chunks_sent;
	lab_run(5500);
	ck_assert_uint_eq(lab.nodes[0].chunks_sent, sent);
	lab.nodes[1].fs.is_full = false;
	lab_run(2000);
	ck_assert_int_eq(lab.nodes[0].n_sent, 1);
	ck_assert_int_eq(lab.nodes[0].sent, OK);
	ck_assert(lab_has(1, "in/f.file", 100 * KIB, 7));
	ck_assert_uint_eq(lab.nodes[0].chunks_sent, 100);
}
END_TEST

START_TEST(a_failed_sync_throws_the_part_away)
{
	lab_make(0, "src/f", 20 * KIB, 7);
	lab.nodes[1].fs.is_full_in_sync = true;
	start_two();
	/* The journal is written first, so let it. */
	lab.nodes[1].fs.is_full_in_sync = false;
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	while (view(1).bytes_in < 3 * KIB)
		ck_assert(lab_step());
	lab.nodes[1].fs.is_full_in_sync = true;
	while (!lab.nodes[1].n_failed)
		ck_assert(lab_step());
	ck_assert_int_eq(lab.nodes[1].failed, E_FULL);
	ck_assert(!lab_exists(1, "in/f.part"));
	ck_assert_uint_eq(lab.nodes[0].n_sent, 0);
	lab.nodes[1].fs.is_full_in_sync = false;
	lab_run(3000);
	ck_assert_int_eq(lab.nodes[0].n_sent, 1);
	ck_assert_int_eq(lab.nodes[0].sent, OK);
	ck_assert(lab_has(1, "in/f.file", 20 * KIB, 7));
}
END_TEST

START_TEST(a_sender_that_is_silent_is_let_go)
{
	lab_make(0, "src/f", 20 * KIB, 7);
	lab_make(2, "src/f", 20 * KIB, 7);
	for (unsigned i = 0; i < LAB_NODES; i++)
		lab_start(i);
	lab_connect(0, 1);
	lab_connect(2, 1);
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	while (view(1).bytes_in < 10 * KIB)
		ck_assert(lab_step());
	lab.nodes[0].is_full[1] = true;
	ck_assert_int_eq(lab_send(2, 1, "f"), OK);
	lab_run(70000);
	ck_assert_int_eq(lab.nodes[2].n_sent, 1);
	ck_assert_int_eq(lab.nodes[2].sent, OK);
	ck_assert(lab_has(1, "in/f.file", 20 * KIB, 7));
	ck_assert_uint_le(lab.nodes[2].chunks_sent, 10);
}
END_TEST

START_TEST(a_cancelled_file_ends_on_both_sides)
{
	lab_make(0, "src/f", 50 * KIB, 7);
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	while (view(1).bytes_in < (uint64_t)_i * KIB)
		ck_assert(lab_step());
	ck_assert(ship_cancel(lab.nodes[0].ship, lab.now_ms, 1, STR("f")));
	ck_assert(!ship_cancel(lab.nodes[0].ship, lab.now_ms, 1, STR("f")));
	ck_assert_int_eq(lab.nodes[0].sent, E_CANCELLED);
	lab_run(1000);
	ck_assert_uint_eq(view(0).out, 0);
	ck_assert_uint_eq(view(0).memory, 0);
	ck_assert_uint_eq(lab.nodes[1].n_received, 0);
	if (_i)
		ck_assert_int_eq(lab.nodes[1].failed, E_CANCELLED);
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert_int_eq(lab.nodes[0].sent, OK);
	ck_assert(lab_has(1, "in/f.file", 50 * KIB, 7));
}
END_TEST

static uint64_t cut_after;

static bool cut_now_and_then(unsigned from, unsigned to, struct buf *frame)
{
	return ++cut_after % 23 != 0;
}

START_TEST(a_link_that_ends_all_the_time_gets_there)
{
	lab_make(0, "src/f", 100 * KIB, 7);
	lab.look = cut_now_and_then;
	cut_after = (uint64_t)_i;
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	for (unsigned i = 0; i < 10000 && !lab.nodes[0].n_sent; i++) {
		lab_run(10);
		if (!lab.nodes[0].is_up[1])
			lab_connect(0, 1);
	}
	ck_assert_int_eq(lab.nodes[0].n_sent, 1);
	ck_assert_int_eq(lab.nodes[0].sent, OK);
	ck_assert(lab_has(1, "in/f.file", 100 * KIB, 7));
	ck_assert_uint_lt(lab.nodes[0].chunks_sent, 200);
}
END_TEST

static uint64_t half_cut_after;

static bool half_cut_now_and_then(unsigned from, unsigned to, struct buf *frame)
{
	half_cut_after++;
	return true;
}

START_TEST(one_direction_that_ends_all_the_time_gets_there)
{
	lab_make(0, "src/f", 100 * KIB, 7);
	lab.look = half_cut_now_and_then;
	half_cut_after = (uint64_t)_i;
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	while (!lab.nodes[0].n_sent) {
		ck_assert(lab_step() || lab_wait());
		if (half_cut_after < 31)
			continue;
		half_cut_after = 0;
		lab_half_cut((unsigned)_i % 2, !(_i % 2));
	}
	ck_assert_int_eq(lab.nodes[0].sent, OK);
	ck_assert(lab_has(1, "in/f.file", 100 * KIB, 7));
	ck_assert(lab.nodes[0].is_up[1]);        /* nobody broke the rules */
}
END_TEST

START_TEST(sweeping_leaves_what_is_kept)
{
	struct fs *fs;
	struct err err;

	lab_make(0, "src/f", 20 * KIB, 7);
	lab_make(0, "src/g", 20 * KIB, 8);
	start_two();
	fs = lab.nodes[1].fs.under;
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	ck_assert_int_eq(lab_send(0, 1, "g"), OK);
	lab_run(1000);
	lab_crash(1, false);
	ck_assert_int_eq(fs_put(fs, "in", "in/other", STR("x"), &err), OK);
	ck_assert_int_eq(ship_sweep(fs, "in", STR("g"), &err), OK);
	ck_assert(!lab_exists(1, "in/f.file") && !lab_exists(1, "in/f.journal"));
	ck_assert(lab_exists(1, "in/g.file") && lab_exists(1, "in/g.journal"));
	ck_assert(lab_exists(1, "in/other"));
	ck_assert_int_eq(ship_sweep(fs, "nowhere", STR_NONE, &err), OK);
}
END_TEST

/* ---- peers that break the rules ---- */

static enum code say(const struct ship_frame *f)
{
	AUTO_BUF b = BUF_NONE;
	struct err err;

	ship_frame_encode(&b, f);
	return ship_receive(lab.nodes[1].ship, lab.now_ms, 0, buf_view(&b), &err);
}

START_TEST(what_was_not_asked_for_breaks_the_rules)
{
	struct ship_frame f = { .type = SHIP_F_CHUNK, .number = 5,
				.piece = { 0, 3, { "x", 1 } } };
	struct ship_frame offer = { .type = SHIP_F_OFFER, .number = 3,
		.offer = { .id = { "f", 1 }, .shape = { 9000, 1024, 2 } } };
	struct err err;

	start_two();
	ck_assert_int_eq(say(&f), OK);                   /* of before, perhaps */
	ck_assert_int_eq(say(&offer), OK);
	ck_assert_int_eq(say(&offer), E_INVALID);        /* a number again */
	offer.number = 2;
	ck_assert_int_eq(say(&offer), E_INVALID);
	f.number = 2;
	ck_assert_int_eq(say(&f), OK);                   /* ended, perhaps */
	f.number = 3;
	ck_assert_int_eq(say(&f), E_INVALID);
	f.type = SHIP_F_PAGE;
	ck_assert_int_eq(say(&f), E_INVALID);
	ck_assert_int_eq(ship_receive(lab.nodes[1].ship, 0, 0, STR("\1\7"), &err),
			 E_INVALID);
	ck_assert_int_eq(ship_receive(lab.nodes[1].ship, 0, 2, STR("\1\7"), &err),
			 E_UNAVAILABLE);
}
END_TEST

static bool rename_chunk(unsigned from, unsigned to, struct buf *frame)
{
	struct ship_frame f;
	AUTO_BUF other = BUF_NONE;

	must(ship_frame_decode(buf_view(frame), &f, NULL) == OK);
	if (f.type != SHIP_F_CHUNK || f.piece.index != 3)
		return true;
	f.piece.index = 2;
	ship_frame_encode(&other, &f);
	buf_reset(frame);
	buf_str(frame, buf_view(&other));
	return true;
}

START_TEST(a_chunk_that_was_not_asked_for_breaks_the_rules)
{
	lab_make(0, "src/f", 10 * KIB, 7);
	lab.look = rename_chunk;
	start_two();
	ck_assert_int_eq(lab_send(0, 1, "f"), OK);
	lab_run(1000);
	ck_assert(!lab.nodes[1].is_up[0]);
	ck_assert_int_eq(lab.nodes[1].why.code, E_INVALID);
	ck_assert_ptr_nonnull(strstr(lab.nodes[1].why.text, "chunk 2"));
}
END_TEST

/* What is said of an offer of before, or of another process, ends nothing. */
START_TEST(a_done_of_before_means_nothing)
{
	struct ship_frame f = { .type = SHIP_F_DONE, .number = 1 };

	lab_make(1, "src/f", 10 * KIB, 7);
	lab.nodes[1].config.first_number = _i ? 1ull << 60 : 1;
	start_two();
	ck_assert_int_eq(lab_send(1, 0, "f"), OK);
	while (view(0).in == 0)
		ck_assert(lab_step());
	if (_i == 0) {
		lab_cut(0, 1);
		lab_connect(0, 1);
	}
	ck_assert_int_eq(say(&f), OK);
	ck_assert_uint_eq(lab.nodes[1].n_sent, 0);
	lab_run(1000);
	ck_assert_int_eq(lab.nodes[1].n_sent, 1);
	ck_assert(lab_has(0, "in/f.file", 10 * KIB, 7));
}
END_TEST

START_TEST(asking_has_an_end)
{
	struct ship_frame f = { .type = SHIP_F_ASK_CHUNK, .number = 1 };
	unsigned n = 0;

	lab_make(1, "src/f", 10 * KIB, 7);
	start_two();
	ck_assert_int_eq(lab_send(1, 0, "f"), OK);
	while (view(0).in == 0)
		ck_assert(lab_step());
	f.piece.index = 10;
	ck_assert_int_eq(say(&f), E_INVALID);
	f.piece.index = 9;
	while (say(&f) == OK)
		n++;
	ck_assert_uint_le(n, 40);
	f.type = SHIP_F_ASK_PAGE;
	f.piece.level = 2;               /* it has levels 0 and 1 */
	f.piece.index = 0;
	ck_assert_int_eq(say(&f), E_INVALID);
	f.piece.level = 1;
	f.piece.index = UINT64_MAX;
	ck_assert_int_eq(say(&f), E_INVALID);
}
END_TEST

START_TEST(who_asks_and_does_not_listen_is_an_error)
{
	struct ship_frame f = { .type = SHIP_F_OFFER,
		.offer = { .id = { "f", 1 }, .shape = { 1 << 20, 1024, 2 } } };
	enum code rc = OK;

	lab.nodes[1].config.file_bytes_max = 1;
	start_two();
	lab.nodes[1].is_full[0] = true;
	for (f.number = 1; f.number < 1000000 && rc == OK; f.number++)
		rc = say(&f);
	ck_assert_int_eq(rc, E_BUSY);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("ship/ship");
	TCase *t = tcase_create("ship");

	tcase_add_checked_fixture(t, setup, lab_fini);
	tcase_add_loop_test(t, a_file_of_any_size_arrives, 0, ARRAY_LEN(sizes));
	tcase_add_loop_test(t, page_sizes_make_no_difference, 1, 11);
	tcase_add_test(t, both_ways_and_several_at_once);
	tcase_add_test(t, the_same_file_again_is_one);
	tcase_add_test(t, two_senders_of_one_file_are_one_transfer);
	tcase_add_test(t, another_sender_goes_on_where_one_stopped);
	tcase_add_loop_test(t, another_file_of_the_same_name_begins_anew, 0, 2);
	tcase_add_loop_test(t, a_whole_file_of_another_root_is_never_believed, 0,
			    12);
	tcase_add_test(t, the_tree_is_made_once);
	tcase_add_loop_test(t, a_flipped_byte_on_the_way_is_pulled_again, 0, 10);
	tcase_add_loop_test(t, what_never_verifies_ends_with_its_place, 0, 2);
	tcase_add_loop_test(t, a_file_that_changed_at_the_sender_is_refused_with_the_place,
			    0, 10);
	tcase_add_loop_test(t, a_byte_flipped_in_the_part_is_pulled_again, 0, 20);
	tcase_add_test(t, a_file_over_the_limit_is_refused);
	tcase_add_test(t, chunks_over_the_limit_are_refused);
	tcase_add_test(t, what_is_not_wanted_is_refused);
	tcase_add_test(t, ids_are_no_paths);
	tcase_add_test(t, transfers_are_bounded_and_wait_their_turn);
	tcase_add_test(t, memory_does_not_depend_on_the_size);
	tcase_add_test(t, a_pull_is_a_window_and_no_more);
	tcase_add_test(t, the_rate_holds_and_may_change);
	tcase_add_test(t, a_rate_of_few_bytes_is_kept_too);
	tcase_add_test(t, without_a_limit_no_time_passes);
	tcase_add_loop_test(t, a_full_disk_pauses_and_goes_on, 0, 10);
	tcase_add_test(t, a_failed_sync_throws_the_part_away);
	tcase_add_test(t, a_sender_that_is_silent_is_let_go);
	tcase_add_loop_test(t, a_cancelled_file_ends_on_both_sides, 0, 3);
	tcase_add_loop_test(t, a_link_that_ends_all_the_time_gets_there, 0, 23);
	tcase_add_loop_test(t, one_direction_that_ends_all_the_time_gets_there, 0,
			    30);
	tcase_add_test(t, sweeping_leaves_what_is_kept);
	tcase_add_test(t, what_was_not_asked_for_breaks_the_rules);
	tcase_add_test(t, a_chunk_that_was_not_asked_for_breaks_the_rules);
	tcase_add_loop_test(t, a_done_of_before_means_nothing, 0, 2);
	tcase_add_test(t, asking_has_an_end);
	tcase_add_test(t, who_asks_and_does_not_listen_is_an_error);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
