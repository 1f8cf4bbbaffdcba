/* Signatures of webhooks. */
#include "unit.h"

#include "hook/sign.h"

#include "base/banned.h"

static struct hook_key_row key;
static const struct hook_signed what = { STR("id-1"), STR("1700000000"),
					 STR("{\"a\":1}") };
/* printf 'id-1.1700000000.{"a":1}' | openssl dgst -sha256 -mac HMAC
 *	-macopt hexkey:$(printf 'aa%.0s' $(seq 32)) */
#define OF_AA "2b8a8f6eccf0e25f6628305432a01c5c719b7cc06ddf9edb2be61e4a8028058a"
#define OF_BB "311c3cf85f2cc91ed965dc81b2e6795f4dcf8f2afd03d783a8c30d7ae17e5c2a"
#define NOW 1700000000000ull

static void setup(void)
{
	key = (struct hook_key_row){ .made_ms = NOW };
	memset(key.key, 0xaa, sizeof(key.key));
	memset(key.before, 0xbb, sizeof(key.before));
}

START_TEST(it_is_hmac_sha256)
{
	AUTO_BUF text = BUF_NONE;

	hook_sign(&text, &key, NOW, &what);
	ck_assert_str_eq(text.p, "sha256=" OF_AA);
	key.before_until_ms = NOW + 1;
	buf_reset(&text);
	hook_sign(&text, &key, NOW, &what);
	ck_assert_str_eq(text.p, "sha256=" OF_AA ", sha256=" OF_BB);
	buf_reset(&text);
	hook_sign(&text, &key, NOW + 1, &what);
	ck_assert_str_eq(text.p, "sha256=" OF_AA);
}
END_TEST

static const struct {
	const char *text;
	bool is_good, is_good_with_before;
} signatures[] = {
	{ "sha256=" OF_AA, true, true },
	{ "sha256=" OF_BB, false, true },
	{ "sha256=" OF_BB ", sha256=" OF_AA, true, true },
	{ " sha256=" OF_AA " ", true, true },
	{ "v1=x,sha256=" OF_AA, true, true },
	{ OF_AA, false, false },
	{ "sha256=", false, false },
	{ "", false, false },
	{ "sha1=" OF_AA, false, false },
	{ "sha256=0" OF_AA, false, false },
	{ "sha256=" OF_AA "0", false, false },
	{ "a,b,c,d,sha256=" OF_AA, false, false },
};

START_TEST(only_right_ones_count)
{
	struct str text = str_of(signatures[_i].text);
	struct hook_signed other = what;

	ck_assert_int_eq(hook_is_signed(text, &key, NOW, &what),
			 signatures[_i].is_good);
	key.before_until_ms = NOW + 1;
	ck_assert_int_eq(hook_is_signed(text, &key, NOW, &what),
			 signatures[_i].is_good_with_before);
	ck_assert_int_eq(hook_is_signed(text, &key, NOW + 1, &what),
			 signatures[_i].is_good);
	other.id = STR("id-2");
	ck_assert(!hook_is_signed(text, &key, NOW, &other));
	other = what;
	other.timestamp = STR("1700000001");
	ck_assert(!hook_is_signed(text, &key, NOW, &other));
	other = what;
	other.body = STR("{\"a\":2}");
	ck_assert(!hook_is_signed(text, &key, NOW, &other));
}
END_TEST

static const struct {
	const char *text;
	enum code code;
} times[] = {
	{ "1700000000", OK },	       { "1699999700", OK },
	{ "1700000300", OK },	       { "1699999699", E_UNAUTHORIZED },
	{ "1700000301", E_UNAUTHORIZED }, { "0", E_UNAUTHORIZED },
	{ "", E_INVALID },	       { "-1", E_INVALID },
	{ "1700000000.5", E_INVALID }, { "99999999999999999999", E_INVALID },
	{ "9999999999999", E_INVALID }, { "now", E_INVALID },
};

START_TEST(times_are_near)
{
	struct err err;

	ck_assert_int_eq(hook_time_is_near(str_of(times[_i].text), NOW, &err),
			 times[_i].code);
}
END_TEST

START_TEST(headers_are_of_one_signature)
{
	AUTO_BUF text = BUF_NONE;

	hook_headers(&text, &key, NOW + 999, STR("id-1"), STR("{\"a\":1}"));
	ck_assert_str_eq(text.p, "X-Conflux-Id: id-1\n"
			 "X-Conflux-Timestamp: 1700000000\n"
			 "X-Conflux-Signature-256: sha256=" OF_AA "\n");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hook/sign");
	TCase *t = tcase_create("sign");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, it_is_hmac_sha256);
	tcase_add_loop_test(t, only_right_ones_count, 0, (int)ARRAY_LEN(signatures));
	tcase_add_loop_test(t, times_are_near, 0, (int)ARRAY_LEN(times));
	tcase_add_test(t, headers_are_of_one_signature);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
