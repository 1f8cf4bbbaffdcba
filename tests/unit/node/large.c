/*
 * A checkpoint of 256 MiB is taken, sent, received and installed in a process that has
 * both nodes, and whose memory grows by a small part of that.  Pages of files do not
 * count: nothing maps them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ring.h"

#include "io/file.h"

#include "base/banned.h"

#define STATE_BYTES (256ull << 20)
#define GROWTH_MIB 48u                   /* of both nodes; 10 are usual */

static struct err err;

/* What was let go of would count for long. */
#ifdef __SANITIZE_ADDRESS__
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=4";
}
#endif

/* A line of /proc/self/status, in MiB. */
static unsigned status_mib(const char *name)
{
	FILE *f = fopen("/proc/self/status", "r");
	unsigned long kib = 0;
	char line[200];

	ck_assert_ptr_nonnull(f);
	while (!kib && fgets(line, sizeof(line), f))
		if (str_starts(str_of(line), str_of(name)))
			kib = strtoul(line + strlen(name), NULL, 10);
	fclose(f);
	ck_assert(kib);
	return (unsigned)(kib / 1024);
}

/* The highest there was is what there is now. */
static void forget_peak(void)
{
	FILE *f = fopen("/proc/self/clear_refs", "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_gt(fputs("5", f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static _Atomic bool is_begun;            /* a copy of the large state */

static void note_copy(struct ring_node *r, bool begins)
{
	if (begins && atomic_load(&ring_filler) == STATE_BYTES)
		atomic_store(&is_begun, true);
}

/* Of all checkpoints that a node has. */
static uint64_t checkpoint_bytes(unsigned id)
{
	struct fs *fs = fs_real();
	AUTO_BUF dir = BUF_NONE;
	AUTO_BUF names = BUF_NONE;
	uint64_t all = 0;

	buf_printf(&dir, "%s/checkpoints", ring[id - 1].dir);
	ck_assert_int_eq(fs->ops->list(fs, dir.p, &names, &err), OK);
	for (struct str rest = buf_view(&names); rest.n;) {
		struct str name = str_cut(&rest, '\0');
		AUTO_BUF path = BUF_NONE;
		struct stat st;

		buf_printf(&path, "%s/%.*s", dir.p, STR_ARG(name));
		if (str_ends(name, STR(".ckpt")) && stat(path.p, &st) == 0)
			all += (uint64_t)st.st_size;
	}
	return all;
}

START_TEST(a_large_checkpoint_is_never_in_memory)
{
	unsigned next = 0, before, peak;

	ring_config.checkpoint_log_bytes = 300 * 1024;
	ring_config.segment_bytes = 64 * 4096;
	ring_config.checkpoints_kept = 1;
	ring_config.inflight_entries_max = 128;
	ring_found(1);
	for (; ring_status(1).log_first == 1; next += 200)
		ring_fill(1, next, 200, 1000);
	before = status_mib("VmRSS:");
	forget_peak();
	/* The one that is sent is taken meanwhile, too. */
	ring_on_copy = note_copy;
	atomic_store(&ring_filler, STATE_BYTES);
	for (; !atomic_load(&is_begun); next += 200)
		ring_fill(1, next, 200, 1000);
	RING_WAIT(checkpoint_bytes(1) >= STATE_BYTES);
	ring_start(2);
	ck_assert_int_eq(ring_change(1, RC_ADD, 2, &err), OK);
	RING_WAIT(ring_count(2) == next);
	RING_WAIT(ring_status(2).installed == 1);
	ck_assert_uint_ge(checkpoint_bytes(2), STATE_BYTES);
	peak = status_mib("VmHWM:");
	printf("%u MiB at first, %u at most\n", before, peak);
	ck_assert_uint_lt(peak - before, GROWTH_MIB);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/large");
	TCase *t = tcase_create("large");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, ring_setup, ring_teardown);
	tcase_add_test(t, a_large_checkpoint_is_never_in_memory);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
