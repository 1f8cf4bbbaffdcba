/* Hexadecimal, base64, and secrets. */
#include "base/hex.h"
#include "base/rand.h"
#include "base/secret.h"
#include "unit.h"

#include "base/banned.h"

START_TEST(hex_both_ways)
{
	char text[9];
	unsigned char bytes[4];

	hex_text(text, "\x00\x1f\xa0\xff", 4);
	ck_assert_str_eq(text, "001fa0ff");
	ck_assert(hex_parse(STR("001FA0ff"), bytes, 4));
	ck_assert_mem_eq(bytes, "\x00\x1f\xa0\xff", 4);
	hex_text(text, NULL, 0);
	ck_assert_str_eq(text, "");
	ck_assert(hex_parse(STR(""), bytes, 0));
}
END_TEST

START_TEST(hex_refuses_and_writes_nothing)
{
	unsigned char bytes[4] = { 1, 2, 3, 4 };

	ck_assert(!hex_parse(STR("001fa0f"), bytes, 4));
	ck_assert(!hex_parse(STR("001fa0ff00"), bytes, 4));
	ck_assert(!hex_parse(STR("001fa0fg"), bytes, 4));
	ck_assert(!hex_parse(STR("0x1fa0ff"), bytes, 4));
	ck_assert(!hex_parse(STR("/:@G`g00"), bytes, 4));
	ck_assert_mem_eq(bytes, "\1\2\3\4", 4);
}
END_TEST

static void base64_is(struct str in, const char *padded, const char *url)
{
	AUTO_BUF out = BUF_NONE;
	AUTO_BUF back = BUF_NONE;

	base64_text(&out, in);
	ck_assert_str_eq(out.p, padded);
	ck_assert(base64_parse(buf_view(&out), &back));
	ck_assert(str_eq(buf_view(&back), in));
	buf_reset(&out);
	buf_reset(&back);
	base64_url(&out, in);
	ck_assert_str_eq(out.p, url);
	ck_assert(base64_parse(buf_view(&out), &back));
	ck_assert(str_eq(buf_view(&back), in));
}

/* The vectors of RFC 4648, section 10, and the digits that differ. */
START_TEST(base64_vectors)
{
	base64_is(STR(""), "", "");
	base64_is(STR("f"), "Zg==", "Zg");
	base64_is(STR("fo"), "Zm8=", "Zm8");
	base64_is(STR("foo"), "Zm9v", "Zm9v");
	base64_is(STR("foob"), "Zm9vYg==", "Zm9vYg");
	base64_is(STR("fooba"), "Zm9vYmE=", "Zm9vYmE");
	base64_is(STR("foobar"), "Zm9vYmFy", "Zm9vYmFy");
	base64_is(STR("\xfb\xef\xff"), "++//", "--__");
}
END_TEST

START_TEST(base64_refuses_and_writes_nothing)
{
	static const char *const bad[] = {
		"Z", "Zm9vZ", "Zg=", "Zm9v=", "Zm9v====", "Z===", "=", "==",
		"Zm 9", "Zm9v\n", "Zm9*", "Zh==", "Zm9=", "Zg==Zg==", "Z=g=",
	};
	AUTO_BUF out = BUF_NONE;

	buf_z(&out, "before");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!base64_parse(str_of(bad[i]), &out), "%s", bad[i]);
	ck_assert_str_eq(out.p, "before");
}
END_TEST

START_TEST(base64_random)
{
	struct prng prng;

	prng_init(&prng, 4);
	for (size_t n = 0; n < 200; n++) {
		AUTO_BUF in = BUF_NONE;
		AUTO_BUF text = BUF_NONE;
		AUTO_BUF back = BUF_NONE;

		for (size_t i = 0; i < n; i++)
			buf_c(&in, (char)prng_next(&prng));
		base64_url(&text, buf_view(&in));
		ck_assert(base64_parse(buf_view(&text), &back));
		ck_assert(str_eq(buf_view(&in), buf_view(&back)));
	}
}
END_TEST

START_TEST(secrets)
{
	struct secret s = { 0 };

	ck_assert(secret_eq(&s, STR("")));
	secret_set(&s, STR("hunter2"));
	ck_assert(secret_eq(&s, STR("hunter2")));
	ck_assert(!secret_eq(&s, STR("hunter")));
	ck_assert(!secret_eq(&s, STR("hunter3")));
	ck_assert(!secret_eq(&s, STR("iunter2")));
	ck_assert(str_is(secret_open(&s), "hunter2"));
	secret_set(&s, str_first(secret_open(&s), 6));
	ck_assert(str_is(secret_open(&s), "hunter"));
	secret_wipe(&s);
	ck_assert_uint_eq(secret_open(&s).n, 0);
	secret_wipe(&s);
}
END_TEST

START_TEST(wiped_bytes_are_gone)
{
	char bytes[] = "secret";

	wipe(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		ck_assert_int_eq(bytes[i], 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("base/hex");
	TCase *t = tcase_create("hex");

	tcase_add_test(t, hex_both_ways);
	tcase_add_test(t, hex_refuses_and_writes_nothing);
	suite_add_tcase(s, t);
	t = tcase_create("base64");
	tcase_add_test(t, base64_vectors);
	tcase_add_test(t, base64_refuses_and_writes_nothing);
	tcase_add_test(t, base64_random);
	suite_add_tcase(s, t);
	t = tcase_create("secret");
	tcase_add_test(t, secrets);
	tcase_add_test(t, wiped_bytes_are_gone);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
