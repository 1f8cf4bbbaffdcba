/* Log lines: both forms, what may not get through, and one write a line. */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "unit.h"

#include "base/banned.h"

/* The last line, without its time. */
static struct buf last;
static enum log_level last_level;
static unsigned lines;

static void keep(void *data, enum log_level level, struct str line)
{
	ck_assert_ptr_eq(data, &lines);
	buf_reset(&last);
	buf_str(&last, line);
	last_level = level;
	lines++;
}

static void setup(void)
{
	log_set_sink(keep, &lines);
}

static void teardown(void)
{
	log_set_sink(NULL, NULL);
	buf_fini(&last);
}

static void human_is(const char *want)
{
	uint64_t ms;
	struct str line = buf_view(&last), ts = str_cut(&line, ' ');

	ck_assert_uint_eq(ts.n, 24);
	ck_assert(clock_parse_rfc3339(ts, &ms));
	ck_assert_str_eq(line.p, want);
}

START_TEST(human)
{
	log_info("http", LOG_KV(log_s("addr", STR("127.0.0.1:80")), log_u("n", 3), log_i("d", -4)),
		 "listening on %d", 80);
	human_is("INFO  http listening on 80 addr=127.0.0.1:80 n=3 d=-4");
	ck_assert_int_eq(last_level, LOG_INFO);
	log_error("wal", LOG_NO_KV, "torn");
	human_is("ERROR wal torn");
}
END_TEST

START_TEST(values_are_quoted_where_needed)
{
	log_warn("x", LOG_KV(log_z("a", ""), log_z("b", "two words"),
			     log_z("c", "k=v"), log_z("d", "q\"\\")),
		 "m");
	human_is("WARN  x m a=\"\" b=\"two words\" c=\"k=v\" d=\"q\\\"\\\\\"");
	log_warn("x", LOG_KV(log_z("u", "gr\xc3\xbc\xc3\x9f" "e")), "m");
	human_is("WARN  x m u=gr\xc3\xbc\xc3\x9f" "e");
}
END_TEST

/* A second line, a colour, a bell, an 8-bit control: none reaches a terminal. */
START_TEST(controls_do_not_get_through)
{
	log_warn("x", LOG_KV(log_z("v", "a\nb\x1b[31m\x7f")), "one\ntwo\x07");
	human_is("WARN  x one\\ntwo\\x07 v=\"a\\nb\\x1b[31m\\x7f\"");
	log_warn("x", LOG_KV(log_z("v", "\xc2\x9b" "31m\xff"), log_s("z", STR("\0"))), "m");
	human_is("WARN  x m v=\"\\xc2\\x9b31m\\xff\" z=\"\\x00\"");
}
END_TEST

START_TEST(json)
{
	log_setup(LOG_INFO, LOG_JSON);
	log_info("http", LOG_KV(log_z("q", "a\"b\n\xff"), log_u("big", UINT64_MAX), log_i("d", -4)),
		 "say \"%s\"", "hi");
	ck_assert(str_starts(buf_view(&last), STR("{\"ts\":\"20")));
	ck_assert_uint_eq(str_find_str(buf_view(&last), STR("Z\",\"level\"")), 30);
	ck_assert_str_eq(last.p + 33,
			 "\"level\":\"info\",\"part\":\"http\","
			 "\"msg\":\"say \\\"hi\\\"\",\"q\":\"a\\\"b\\n\xef\xbf\xbd\","
			 "\"big\":18446744073709551615,\"d\":-4}");
}
END_TEST

START_TEST(levels)
{
	enum log_level level;

	log_set_level(LOG_WARN);
	log_info("x", LOG_NO_KV, "no");
	ck_assert_uint_eq(lines, 0);
	ck_assert(!log_is_on(LOG_INFO));
	log_warn("x", LOG_NO_KV, "yes");
	ck_assert_uint_eq(lines, 1);
	log_set_level(LOG_DEBUG);
	log_debug("x", LOG_NO_KV, "yes");
	ck_assert_uint_eq(lines, 2);
	ck_assert(log_level_parse(STR("warn"), &level) && level == LOG_WARN);
	ck_assert(log_level_parse(STR("ERROR"), &level) && level == LOG_ERROR);
	ck_assert(!log_level_parse(STR("warning"), &level));
	ck_assert(!log_level_parse(STR(""), &level));
}
END_TEST

START_TEST(arguments_of_silent_lines_are_not_evaluated)
{
	int calls = 0;

	log_debug("x", LOG_KV(log_u("n", (uint64_t)++calls)), "%d", ++calls);
	ck_assert_int_eq(calls, 0);
}
END_TEST

START_TEST(long_values_are_cut)
{
	AUTO_BUF big = BUF_NONE;

	memset(buf_extend(&big, 1 << 20), 'x', 1 << 20);
	log_info("x", LOG_KV(log_s("v", buf_view(&big))), "%s", big.p);
	ck_assert_uint_lt(last.n, 9000);
	ck_assert_uint_gt(last.n, 8000);
}
END_TEST

static void *chatter(void *arg)
{
	for (int i = 0; i < 500; i++)
		log_info("t", LOG_KV(log_z("who", arg), log_u("i", (uint64_t)i)),
			 "chatter");
	return NULL;
}

/* Lines of threads to one file: each is whole. */
START_TEST(lines_of_threads_do_not_mix)
{
	static char names[4][2] = { "a", "b", "c", "d" };
	AUTO_BUF all = BUF_NONE;
	pthread_t threads[4];
	int fds[2], saved = dup(STDERR_FILENO);
	unsigned n = 0;
	struct str rest;

	log_set_sink(NULL, NULL);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_ge(fcntl(fds[0], F_SETPIPE_SZ, 1 << 20), 1 << 20);
	dup2(fds[1], STDERR_FILENO);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, chatter, names[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	dup2(saved, STDERR_FILENO);
	close(fds[1]);
	for (ssize_t got = 1; got > 0; all.n += (size_t)MAX(got, (ssize_t)0)) {
		buf_reserve(&all, 65536);
		got = read(fds[0], all.p + all.n, 65536);
	}
	close(fds[0]);
	close(saved);
	for (rest = buf_view(&all); rest.n; n++) {
		struct str line = str_cut(&rest, '\n');

		ck_assert_uint_eq(str_find_str(line, STR("INFO  t chatter who=")), 25);
		ck_assert_uint_le(line.n, 25 + 20 + 1 + 6);
	}
	ck_assert_uint_eq(n, 2000);
}
END_TEST

START_TEST(a_closed_stderr_is_survived)
{
	int saved = dup(STDERR_FILENO);

	log_set_sink(NULL, NULL);
	close(STDERR_FILENO);
	log_error("x", LOG_NO_KV, "nobody hears");
	dup2(saved, STDERR_FILENO);
	close(saved);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("base/log");
	TCase *t = tcase_create("log");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, human);
	tcase_add_test(t, values_are_quoted_where_needed);
	tcase_add_test(t, controls_do_not_get_through);
	tcase_add_test(t, json);
	tcase_add_test(t, levels);
	tcase_add_test(t, arguments_of_silent_lines_are_not_evaluated);
	tcase_add_test(t, long_values_are_cut);
	tcase_add_test(t, lines_of_threads_do_not_mix);
	tcase_add_test(t, a_closed_stderr_is_survived);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
