/*
 * The log and the vote with each call of the machine failing once, and after it a
 * power loss or the end of the process: what was answered OK is there, an error
 * names its place, and a log that failed stays failed.  Plain and sealed.
 */
#include "unit.h"

#include "io/sim/disk.h"
#include "seal/keyring.h"
#include "wal/vote.h"
#include "wal/wal.h"

#include "nth.h"

#include "base/banned.h"

#ifdef CONFLUX_FAILPOINTS

#define RECORDS 36
#define BIG 9000

static struct disk *disk;
static struct fs *fs;
static struct err err;
static bool power;                       /* lost at the end, or only a kill */
static struct keyring *keys;             /* NULL: plain */
static bool is_tended;                   /* a piece behind each entry */

static void setup(void)
{
	static uint64_t seed;

	disk = disk_new(++seed);
	fs = disk_fs(disk);
}

static void crash(void)
{
	if (power)
		disk_power_loss(disk);
	else
		disk_kill(disk);
}

/* ---- the log ---- */

struct model {
	uint64_t acked;                  /* highest index that was answered OK */
	uint64_t cut;                    /* highest that may be gone */
	uint64_t seen;                   /* by the recovery */
};

static size_t size_of(uint64_t index)
{
	return index % 5 == 0 ? BIG : 30 + index % 70;
}

/* What an entry holds follows from its index and the writing it was part of, as
 * one that was not acknowledged may be written again. */
static void fill(char *p, uint64_t index)
{
	for (size_t i = 0; i < size_of(index); i++)
		p[i] = (char)(index * 31 + i);
}

static enum code note(void *data, const struct wal_entry *e, struct err *unused)
{
	static char want[BIG];
	struct model *m = data;

	if (m->seen)
		ck_assert_uint_eq(e->index, m->seen + 1);
	else
		ck_assert_uint_le(e->index, m->cut + 1);
	m->seen = e->index;
	fill(want, e->index);
	ck_assert_uint_eq(e->term, 7);
	ck_assert(str_eq(e->data, str_n(want, size_of(e->index))));
	return OK;
}

static enum code open_log(struct model *m, struct wal **wal)
{
	struct wal_config config = { .fs = fs, .dir = "wal", .node = 1,
				     .segment_bytes = 16 * 4096,
				     .spares_max = 1 };

	if (is_tended)
		config.tending = WAL_TEND_CALLER;
	if (keys)
		config.seal = keyring_provider(keys);
	m->seen = 0;
	memset(config.cluster.b, 7, sizeof(config.cluster.b));
	return wal_open(&config, note, m, wal, &err);
}

static enum code append(struct wal *wal, uint64_t index)
{
	static char bytes[BIG];
	struct wal_entry e = { index, 7, 1, str_n(bytes, size_of(index)) };

	fill(bytes, index);
	return wal_append(wal, &e, 1, &err);
}

static void names_its_place(enum code rc)
{
	ck_assert(rc == E_IO || rc == E_FULL);
	ck_assert_int_eq(err.code, rc);
	ck_assert_msg(!str_starts(str_of(err.text), STR("failpoint")), "%s",
		      err.text);
}

static void tend(struct wal *wal)
{
	bool did;
	enum code rc = is_tended ? wal_tend(wal, &did, &err) : OK;

	if (rc)
		names_its_place(rc);
}

/* Appends up to 'to'; false: the log has failed, and stays so. */
static bool append_up_to(struct wal *wal, struct model *m, uint64_t to)
{
	for (uint64_t i = m->acked + 1; i <= to; i++) {
		enum code rc = append(wal, i);

		if (rc == E_FULL) {
			names_its_place(rc);
			/* There is room again. */
			rc = append(wal, i);
			ck_assert_msg(rc == OK, "again: %s", err.text);
		}
		if (rc) {
			names_its_place(rc);
			ck_assert_int_eq(append(wal, i), E_IO);
			return false;
		}
		m->acked = i;
		tend(wal);
	}
	return true;
}

static void read_back(struct wal *wal, const struct model *m)
{
	struct model seen = { .cut = m->acked, .seen = m->acked - 4 };
	enum code rc = wal_read(wal, m->acked - 3, m->acked, note, &seen, &err);

	if (rc)
		names_its_place(rc);
	else
		ck_assert_uint_eq(seen.seen, m->acked);
}

static void cut(struct wal *wal, struct model *m, uint64_t index)
{
	enum code rc;

	m->cut = index;
	rc = wal_cut(wal, index, &err);
	if (rc)
		names_its_place(rc);
}

static void live(struct model *m, enum code code)
{
	struct wal *wal;
	enum code rc = open_log(m, &wal);

	if (rc) {
		names_its_place(rc);
		return;
	}
	ck_assert_uint_ge(m->seen, m->acked);
	/* What was not acknowledged and is there counts from now on. */
	m->acked = MAX(m->acked, m->seen);
	if (append_up_to(wal, m, m->acked + RECORDS)) {
		read_back(wal, m);
		cut(wal, m, m->acked - 20);
		if (append_up_to(wal, m, m->acked + RECORDS / 2))
			cut(wal, m, m->acked - 10);
	}
	wal_close(&wal);
}

static void run_log(const struct nth *nth, void *data)
{
	struct model m = { 0 };
	struct wal *wal;
	enum code rc;

	setup();
	live(&m, OK);
	nth_begin(nth);
	live(&m, nth->code);
	nth_end(nth);
	crash();
	rc = open_log(&m, &wal);
	ck_assert_msg(rc == OK, "%s %llu: %s", failpoint_name(nth->fp),
		      (unsigned long long)nth->n, err.text);
	ck_assert_msg(m.seen >= m.acked, "%s %llu: %llu was acknowledged, the "
		      "log ends at %llu", failpoint_name(nth->fp),
		      (unsigned long long)nth->n, (unsigned long long)m.acked,
		      (unsigned long long)m.seen);
	m.acked = MAX(m.acked, m.seen);
	ck_assert(append_up_to(wal, &m, m.acked + 3));
	wal_close(&wal);
	disk_free(&disk);
}

/* Which of the eight: power or kill, plain or sealed, tended or not. */
static void choose(int which)
{
	power = which & 1;
	is_tended = which & 4;
	if (which & 2)
		ck_assert_int_eq(keyring_parse(
			STR("one 000102030405060708090a0b0c0d0e0f"
			    "101112131415161718191a1b1c1d1e1f"), "keys", &keys,
			NULL), OK);
}

START_TEST(a_log_loses_nothing)
{
	choose(_i);
	ck_assert_uint_gt(nth_sweep(nth_files, ARRAY_LEN(nth_files), E_IO,
				    run_log, NULL), 100);
	keyring_free(&keys);
}
END_TEST

/* append_up_to shows that a log that was full goes on. */
START_TEST(a_full_disk_is_no_end)
{
	choose(_i);
	ck_assert_uint_gt(nth_sweep(nth_growing, ARRAY_LEN(nth_growing), E_FULL,
				    run_log, NULL), 60);
	keyring_free(&keys);
}
END_TEST

/* ---- term and vote ---- */

static void run_vote(const struct nth *nth, void *data)
{
	struct vote v, acked = { 0 }, tried = { 0 };

	setup();
	ck_assert_int_eq(fs->ops->make_dir(fs, "wal", &err), OK);
	nth_begin(nth);
	if (vote_read(fs, "wal", &v, &err) == OK) {
		for (unsigned i = 1; i <= 6; i++) {
			v.term = i;
			v.voted_for = i % 3;
			tried = v;
			if (vote_write(fs, "wal", &v, &err))
				break;
			acked = v;
		}
	}
	nth_end(nth);
	crash();
	ck_assert_msg(vote_read(fs, "wal", &v, &err) == OK, "%s", err.text);
	/* The last that was durable, or the one that failed, and no third. */
	if (v.term == acked.term)
		ck_assert_uint_eq(v.voted_for, acked.voted_for);
	else
		ck_assert(v.term == tried.term && v.voted_for == tried.voted_for);
	disk_free(&disk);
}

START_TEST(a_vote_is_not_forgotten)
{
	power = _i;
	ck_assert_uint_gt(nth_sweep(nth_files, ARRAY_LEN(nth_files), E_IO,
				    run_vote, NULL), 20);
}
END_TEST

/* ---- memory ---- */

static void run_memory(uint64_t n)
{
	struct model m = { 0 };

	failpoint_nth(FP_MEMORY, n, E_IO);
	live(&m, OK);
}

/* It ends with a word and SIGABRT; tests/scenario tells of what is kept. */
START_TEST(no_memory_ends_the_process)
{
	static const uint64_t at[] = { 1, 5, 25, 60 };

	setup();
	run_memory(at[_i]);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_loop_test(t, a_log_loses_nothing, 0, 8);
	tcase_add_loop_test(t, a_full_disk_is_no_end, 0, 8);
	tcase_add_loop_test(t, a_vote_is_not_forgotten, 0, 2);
	tcase_add_loop_test_raise_signal(t, no_memory_ends_the_process, SIGABRT,
					 0, 4);
}

#else

START_TEST(needs_failpoints)
{
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, needs_failpoints);
}

#endif

static Suite *suite(void)
{
	Suite *s = suite_create("wal/faults");
	TCase *t = tcase_create("faults");

	tcase_set_timeout(t, 120);
	add(t);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
