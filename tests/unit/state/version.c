/* The cluster's version, and programs that are too old for it. */
#include "unit.h"

#include "bench.h"
#include "state/rows.h"

#include "base/banned.h"

static struct bench b;

static void setup(void)
{
	bench_open(&b, "boot-1");
}

static void teardown(void)
{
	bench_close(&b);
}

#define NEXT (CLUSTER_VERSION + 1)

static void newer_program(void)
{
	b.knows = NEXT;
	bench_reopen(&b, "boot-1", true, NULL);
}

static struct command version(uint64_t v)
{
	return (struct command){ .type = COMMAND_VERSION, .version = v,
				 .time_ms = b.time_ms };
}

static uint64_t version_now(void)
{
	return state_head(b.state)->version;
}

START_TEST(it_grows_and_never_shrinks)
{
	struct command two = version(2), one = version(1);
	struct sha256 before, after;
	uint64_t records;
	struct err err;

	ck_assert_uint_eq(version_now(), 1);
	newer_program();
	ck_assert_uint_eq(version_now(), 1);
	ck_assert_int_eq(state_scan_digest(b.state, &before, &err), OK);
	records = state_head(b.state)->audit_seq;
	ck_assert_int_eq(bench_apply(&b, &two)->code, OK);
	ck_assert_uint_eq(version_now(), 2);
	ck_assert_uint_eq(state_head(b.state)->audit_seq, records + 1);
	ck_assert_int_eq(state_scan_digest(b.state, &after, &err), OK);
	ck_assert(!sha256_eq(&before, &after));
	ck_assert_int_eq(bench_apply(&b, &two)->code, E_CONFLICT);
	ck_assert_int_eq(bench_apply(&b, &one)->code, E_CONFLICT);
	ck_assert_uint_eq(version_now(), 2);
	bench_reopen(&b, "boot-1", true, NULL);
	ck_assert_uint_eq(version_now(), 2);
}
END_TEST

/* It stops before the entry, and goes on from there as another program. */
static void stops_before(struct str entry)
{
	uint64_t index = b.index;
	struct err err = { 0 };

	ck_assert_int_eq(bench_try(&b, &entry, 1, &err), E_UNSUPPORTED);
	ck_assert(err.hint[0]);
	bench_reopen(&b, "boot-1", true, NULL);
	ck_assert_uint_eq(b.index, index);
	bench_shop(&b, "a");
}

START_TEST(a_version_that_is_too_new_stops_apply)
{
	struct command next = version(NEXT);
	struct str entry = bench_encode(&b, &next);

	stops_before(entry);
	newer_program();
	bench_batch(&b, &entry, 1);
	ck_assert_uint_eq(version_now(), NEXT);
}
END_TEST

/* Who refused these would stand elsewhere than who knows them. */
static const struct {
	const char *bytes;
	size_t n;
} newer[] = { { "\2\1\0", 3 }, { "\1\xc8\0", 3 } };

START_TEST(a_command_of_a_newer_program_stops_apply)
{
	struct str entry = str_n(newer[_i].bytes, newer[_i].n);

	ck_assert(!command_is_known(entry));
	stops_before(entry);
}
END_TEST

START_TEST(an_operation_of_a_newer_program_stops_apply)
{
	struct command *c = bench_command(&b);
	struct str whole;
	char bytes[4096];

	put_tenant(&b, c, "acme");
	command_op(b.arena, c, OP_TOKEN_DELETE)->name = STR("x");
	whole = bench_encode(&b, c);
	ck_assert(command_is_known(whole));
	ck_assert_uint_lt(whole.n, sizeof(bytes));
	memcpy(bytes, whole.p, whole.n);
	/* The type of the last operation: its name, its digest, its role follow. */
	ck_assert_int_eq(bytes[whole.n - 1 - 32 - 2 - 1], OP_TOKEN_DELETE);
	bytes[whole.n - 1 - 32 - 2 - 1] = 0x7f;
	stops_before(str_n(bytes, whole.n));
}
END_TEST

/* What the store says of itself. */
static void read_mark(char out[200])
{
	char path[128];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/store.state", b.dir);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	n = fread(out, 1, 199, f);
	out[n] = '\0';
	fclose(f);
}

/* Not even the file that is only a cache is removed, and it stays a clean one. */
START_TEST(a_state_that_is_too_new_is_not_touched)
{
	struct command next = version(NEXT);
	char before[200], after[200];
	struct err err = { 0 };
	uint64_t index;

	newer_program();
	bench_shop(&b, "a");
	bench_apply(&b, &next);
	index = b.index;
	b.knows = 0;
	ck_assert_int_eq(bench_try_reopen(&b, "boot-1", &err), E_UNSUPPORTED);
	ck_assert(err.hint[0]);
	read_mark(before);
	ck_assert_msg(strncmp(before, "clean ", 6) == 0, "%s", before);
	ck_assert_int_eq(bench_try_reopen(&b, "boot-1", &err), E_UNSUPPORTED);
	read_mark(after);
	ck_assert_str_eq(before, after);
	b.knows = NEXT;
	ck_assert_int_eq(bench_try_reopen(&b, "boot-1", &err), OK);
	ck_assert_uint_eq(b.index, index);
	ck_assert_uint_eq(version_now(), NEXT);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/version");
	TCase *t = tcase_create("version");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, it_grows_and_never_shrinks);
	tcase_add_test(t, a_version_that_is_too_new_stops_apply);
	tcase_add_loop_test(t, a_command_of_a_newer_program_stops_apply, 0,
			    (int)ARRAY_LEN(newer));
	tcase_add_test(t, an_operation_of_a_newer_program_stops_apply);
	tcase_add_test(t, a_state_that_is_too_new_is_not_touched);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
