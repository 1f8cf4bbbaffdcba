/* Counts of tenants are the same however the log is cut into batches. */
#include "bench.h"
#include "unit.h"

#include "base/banned.h"

#define TENANTS 20                       /* more than one command may change at once */

static struct bench b;
static struct str log_[64];
static size_t n_log;

static void note(const struct command *c)
{
	ck_assert_uint_lt(n_log, ARRAY_LEN(log_));
	log_[n_log++] = bench_encode(&b, c);
}

static void note_publish(const char *text)
{
	struct command *c = bench_command(&b);
	struct content_part *part = command_content(b.arena, c);
	struct str content = str_of(text);

	part->tenant = STR("acme");
	part->sha = sha256_of(content);
	part->bytes = content;
	add_version(&b, c, "acme", "shop.prod.db.toml", content, true);
	note(c);
}

static struct op *put_application(struct command *c, const char *tenant)
{
	struct op *op = put_tenant(&b, c, "shop");

	op->kind = KIND_APPLICATION;
	op->tenant = str_of(tenant);
	return op;
}

static const char *tenant_name(unsigned i)
{
	return arena_printf(b.arena, "t%u", i).p;
}

static void note_tenants(bool is_refused)
{
	struct command *c = bench_command(&b);

	for (unsigned i = 0; i < TENANTS; i++)
		put_tenant(&b, c, tenant_name(i));
	for (unsigned i = 0; i < TENANTS; i++)
		put_application(c, tenant_name(i));
	if (is_refused)
		put_application(c, "nobody");
	note(c);
}

static void make_log(void)
{
	struct command *c = bench_command(&b);

	n_log = 0;
	note(&(struct command){ .type = COMMAND_VERSION, .time_ms = b.time_ms,
				.version = VERSION_GATE });
	note(&(struct command){ .type = COMMAND_LIMITS, .time_ms = b.time_ms,
				.limits = { .versions_max = 2, .releases_max = 3 } });
	put_tenant(&b, c, "acme");
	put_config(&b, c, "acme", "shop", "prod", "db.toml");
	note(c);
	for (unsigned i = 0; i < 6; i++)
		note_publish(arena_printf(b.arena, "content %u", i).p);
	note_tenants(true);
	note_tenants(false);
	for (unsigned i = 6; i < 12; i++)
		note_publish(arena_printf(b.arena, "content %02u", i).p);
}

/* 'size' entries a batch, opened anew after each or not. */
static struct sha256 replay(size_t size, bool reopens)
{
	struct sha256 digest;
	struct bench r;
	struct err err;

	bench_open(&r, "boot-1");
	for (size_t i = 0; i < n_log; i += size) {
		bench_batch(&r, &log_[i], MIN(size, n_log - i));
		if (reopens)
			bench_reopen(&r, "boot-1", true, NULL);
	}
	ck_assert_int_eq(state_scan_digest(r.state, &digest, &err), OK);
	bench_close(&r);
	return digest;
}

static void same(struct sha256 x, struct sha256 y)
{
	ck_assert(sha256_eq(&x, &y));
}

START_TEST(batches_and_restarts_leave_no_trace)
{
	struct sha256 whole;

	make_log();
	whole = replay(n_log, false);
	same(whole, replay(1, false));
	same(whole, replay(1, true));
	same(whole, replay(3, true));
}
END_TEST

static uint64_t counted(const char *tenant, enum kind_id kind)
{
	struct kv_txn *txn = bench_read(&b);
	AUTO_BUF key = BUF_NONE;
	struct str val = STR_NONE;
	struct rd rd;

	key_count(&key, str_of(tenant), kind);
	kv_get(txn, KV_META, buf_view(&key), &val);
	rd = rd_of(val);
	kv_end(&txn);
	return rd_u64(&rd);
}

START_TEST(what_was_taken_back_is_not_counted)
{
	make_log();
	bench_batch(&b, log_, n_log);
	for (unsigned i = 0; i < TENANTS; i++)
		ck_assert_uint_eq(counted(tenant_name(i), KIND_APPLICATION), 1);
	ck_assert_uint_eq(counted("acme", KIND_RELEASE), 3);
	ck_assert_uint_eq(counted("acme", COUNT_CONTENT), 2 * strlen("content 10"));
}
END_TEST

/* Refused behind what it counted, and nothing of it is there for the next one. */
START_TEST(a_refused_command_counts_for_nothing)
{
	struct command *c = bench_command(&b);

	make_log();
	bench_batch(&b, log_, 3);
	put_application(c, "acme");
	put_application(c, "nobody")->name = STR("x");
	ck_assert_int_eq(bench_apply(&b, c)->code, E_NOT_FOUND);
	c = bench_command(&b);
	put_application(c, "acme");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_uint_eq(counted("acme", KIND_APPLICATION), 1);
}
END_TEST

static void setup(void)
{
	bench_open(&b, "boot-1");
}

static void teardown(void)
{
	bench_close(&b);
}

static Suite *suite(void)
{
	Suite *s = suite_create("state/counts");
	TCase *t = tcase_create("counts");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, batches_and_restarts_leave_no_trace);
	tcase_add_test(t, what_was_taken_back_is_not_counted);
	tcase_add_test(t, a_refused_command_counts_for_nothing);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
