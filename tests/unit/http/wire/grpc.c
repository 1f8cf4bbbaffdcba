/* gRPC frames, timeouts and texts. */
#include "http/wire/grpc.h"
#include "unit.h"

#include "base/banned.h"

static struct grpc_reader rd;
static struct err err;

static void setup(void)
{
	grpc_reader_init(&rd, 1000);
}

static void teardown(void)
{
	grpc_reader_fini(&rd);
}

/* Reads 'bytes' in pieces of 'piece'; the messages, each behind a '|'. */
static void read_all(struct buf *out, struct str bytes, size_t piece)
{
	while (bytes.n) {
		struct str in = str_first(bytes, piece);

		bytes = str_from(bytes, in.n);
		while (in.n) {
			bool whole;

			ck_assert_int_eq(grpc_read(&rd, &in, &whole, &err), OK);
			if (!whole) {
				ck_assert_uint_eq(in.n, 0);
				continue;
			}
			buf_c(out, '|');
			buf_str(out, buf_view(&rd.message));
			ck_assert(grpc_reader_is_between(&rd));
		}
	}
}

START_TEST(messages_come_in_any_pieces)
{
	AUTO_BUF bytes = BUF_NONE;
	struct str all;

	buf_add(&bytes, "\0\0\0\0\003abc\0\0\0\0\0\0\0\0\1\0", 18);
	for (int i = 0; i < 256; i++)
		buf_c(&bytes, (char)i);
	buf_c(&bytes, '\0');
	all = buf_view(&bytes);
	for (size_t piece = 1; piece <= all.n; piece++) {
		AUTO_BUF out = BUF_NONE;

		grpc_reader_fini(&rd);
		grpc_reader_init(&rd, 1000);
		read_all(&out, all, piece);
		ck_assert_uint_eq(out.n, 4 + 1 + 1 + 256);
		ck_assert(str_starts(buf_view(&out), STR("|abc||\0\1\2\3")));
		/* A byte of the next. */
		ck_assert(!grpc_reader_is_between(&rd));
	}
}
END_TEST

START_TEST(an_empty_message_is_one)
{
	struct str in = str_n("\0\0\0\0\0", 5);
	bool whole;

	ck_assert(grpc_reader_is_between(&rd));
	ck_assert_int_eq(grpc_read(&rd, &in, &whole, &err), OK);
	ck_assert(whole && rd.message.n == 0 && in.n == 0);
	/* Told once. */
	ck_assert_int_eq(grpc_read(&rd, &in, &whole, &err), OK);
	ck_assert(!whole);
}
END_TEST

static enum code refused(const char *head)
{
	struct str in = str_n(head, 5);
	bool whole;

	grpc_reader_init(&rd, 1000);
	return grpc_read(&rd, &in, &whole, &err);
}

START_TEST(bad_frames_are_refused_by_their_head)
{
	ck_assert_int_eq(refused("\1\0\0\0\1"), E_UNSUPPORTED);
	ck_assert_int_eq(refused("\2\0\0\0\1"), E_INVALID);
	ck_assert_int_eq(refused("\0\0\0\003\351"), E_TOO_LARGE);
	ck_assert_int_eq(refused("\0\377\377\377\377"), E_TOO_LARGE);
	ck_assert_int_eq(refused("\0\0\0\003\350"), OK);
	/* What is promised takes no memory. */
	ck_assert_uint_lt(rd.message.cap, 500);
}
END_TEST

START_TEST(a_head_says_the_length)
{
	char head[GRPC_HEAD];

	grpc_frame_head(head, 0x01020304);
	ck_assert_mem_eq(head, "\0\1\2\3\4", 5);
}
END_TEST

START_TEST(timeouts_have_a_unit)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} rows[] = {
		{ "1H", 3600000 }, { "2M", 120000 }, { "3S", 3000 },
		{ "4m", 4 }, { "1000u", 1 }, { "1001u", 2 }, { "1u", 1 },
		{ "1n", 1 }, { "99999999n", 100 }, { "0m", 0 },
		{ "99999999H", 359999996400000 },
	};
	static const char *const bad[] = { "", "1", "S", "1s", "-1S", "+1S",
					   "100000000S", "1 S", "1.5S", "1SS" };
	uint64_t ms;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert(grpc_timeout_parse(str_of(rows[i].text), &ms));
		ck_assert_uint_eq(ms, rows[i].ms);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!grpc_timeout_parse(str_of(bad[i]), &ms), "%s",
			      bad[i]);
}
END_TEST

START_TEST(texts_are_printable)
{
	AUTO_BUF out = BUF_NONE;

	grpc_message_encode(&out, STR("100% \xc3\xa4\r\n\x7f~ a"));
	ck_assert_str_eq(out.p, "100%25 %C3%A4%0D%0A%7F~ a");
}
END_TEST

START_TEST(statuses_have_names)
{
	ck_assert_str_eq(grpc_status_name(0), "OK");
	ck_assert_str_eq(grpc_status_name(14), "UNAVAILABLE");
	ck_assert_str_eq(grpc_status_name(16), "UNAUTHENTICATED");
	ck_assert_str_eq(grpc_status_name(17), "UNKNOWN");
	ck_assert_str_eq(grpc_status_name(-1), "UNKNOWN");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/wire/grpc");
	TCase *t = tcase_create("grpc");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, messages_come_in_any_pieces);
	tcase_add_test(t, an_empty_message_is_one);
	tcase_add_test(t, bad_frames_are_refused_by_their_head);
	tcase_add_test(t, a_head_says_the_length);
	tcase_add_test(t, timeouts_have_a_unit);
	tcase_add_test(t, texts_are_printable);
	tcase_add_test(t, statuses_have_names);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
