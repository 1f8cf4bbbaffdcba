/* Acknowledgements: read, kept by instance and configuration, bounded. */
#include "api/acks.h"

#include <pthread.h>
#include <stdio.h>

#include "unit.h"

#include "base/banned.h"

#define SHA "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define REST "\"version\":3,\"sha256\":\"" SHA "\",\"state\":\"applied\""
#define ONE "{\"instance\":\"web-7\",\"key\":\"acme/shop/prod/main\"," REST "}"

static struct arena *arena;
static struct acks *acks;
static struct ack *got;
static struct err err;
static size_t n_got;

static void setup(void)
{
	arena = arena_new(0);
	acks = acks_new(3);
}

static void teardown(void)
{
	acks_free(&acks);
	arena_free(&arena);
}

static enum code parse(const char *text)
{
	n_got = 0;
	return acks_parse(str_of(text), arena, &got, &n_got, &err);
}

START_TEST(one_and_lists_are_read)
{
	ck_assert_msg(parse(ONE) == OK, "%s", err.text);
	ck_assert_uint_eq(n_got, 1);
	ck_assert(str_is(got->instance, "web-7"));
	ck_assert(str_is(got->key, "acme/shop/prod/main"));
	ck_assert_uint_eq(got->version, 3);
	ck_assert_int_eq(got->state, ACK_APPLIED);
	ck_assert_uint_eq(got->sha.b[1], 0x11);
	ck_assert_uint_eq(got->reason.n, 0);
	ck_assert_int_eq(parse("[]"), OK);
	ck_assert_uint_eq(n_got, 0);
	ck_assert_int_eq(parse("[" ONE "," ONE "]"), OK);
	ck_assert_uint_eq(n_got, 2);
}
END_TEST

static void release_is(const char *text, const char *want)
{
	AUTO_BUF body = BUF_NONE;

	buf_printf(&body, "{\"instance\":\"a\",\"key\":\"a/b/c/d\"," REST
		   ",\"release\":%s}", text);
	ck_assert_msg(parse(body.p) == OK, "%s: %s", text, err.text);
	ck_assert_msg(str_eq(got->release, str_of(want)), "%s: %.*s", text,
		      STR_ARG(got->release));
}

START_TEST(a_release_is_a_text_or_a_number)
{
	release_is("\"r-7\"", "r-7");
	release_is("null", "");
	release_is("7", "7");
	release_is("0", "0");
	release_is("18446744073709551615", "18446744073709551615");
}
END_TEST

static const struct {
	const char *text, *word;
	enum code code;
} wrong[] = {
	{ "", "", E_INVALID },
	{ "{", "", E_INVALID },
	{ "7", "no object", E_UNPROCESSABLE },
	{ "{}", "\"instance\"", E_UNPROCESSABLE },
	{ "[" ONE ",{}]", "acknowledgement 2", E_UNPROCESSABLE },
	{ "{\"instance\":\"a b\",\"key\":\"a/b/c/d\"," REST "}", "\"instance\"",
	  E_UNPROCESSABLE },
	{ "{\"instance\":7,\"key\":\"a/b/c/d\"," REST "}", "is no text",
	  E_UNPROCESSABLE },
	{ "{\"instance\":\"a\",\"key\":\"a/b/c\"," REST "}", "\"key\"",
	  E_UNPROCESSABLE },
	{ "{\"instance\":\"a\",\"key\":\"a/b/c/d\",\"version\":0,\"sha256\":\""
	  SHA "\",\"state\":\"applied\"}", "\"version\"", E_UNPROCESSABLE },
	{ "{\"instance\":\"a\",\"key\":\"a/b/c/d\",\"version\":1,\"sha256\":\"00\","
	  "\"state\":\"applied\"}", "\"sha256\"", E_UNPROCESSABLE },
	{ "{\"instance\":\"a\",\"key\":\"a/b/c/d\",\"version\":1,\"sha256\":\"" SHA
	  "\",\"state\":\"done\"}", "received, applied", E_UNPROCESSABLE },
	{ "{\"instance\":\"a\",\"key\":\"a/b/c/d\",\"release\":-1," REST "}",
	  "\"release\"", E_UNPROCESSABLE },
	{ "{\"instance\":\"a\",\"key\":\"a/b/c/d\",\"release\":1.5," REST "}",
	  "\"release\"", E_UNPROCESSABLE },
	{ "{\"instance\":\"a\",\"key\":\"a/b/c/d\",\"release\":[]," REST "}",
	  "\"release\" is no text", E_UNPROCESSABLE },
	{ "{\"instance\":\"a\",\"key\":\"a/b/c/d\",\"more\":1," REST "}",
	  "\"more\" is not known", E_UNPROCESSABLE },
};

START_TEST(what_is_none_is_refused_by_name)
{
	ck_assert_int_eq(parse(wrong[_i].text), wrong[_i].code);
	ck_assert_msg(strstr(err.text, wrong[_i].word) != NULL, "%s", err.text);
}
END_TEST

START_TEST(there_are_bounds)
{
	AUTO_BUF text = BUF_NONE;

	buf_z(&text, "{\"instance\":\"a\",\"key\":\"a/b/c/d\"," REST ",\"reason\":\"");
	for (int i = 0; i <= ACK_REASON_MAX; i++)
		buf_c(&text, 'x');
	buf_z(&text, "\"}");
	ck_assert_int_eq(parse(text.p), E_UNPROCESSABLE);
	buf_reset(&text);
	for (int i = 0; i <= ACKS_A_REQUEST; i++)
		buf_z(&text, i ? "," ONE : "[" ONE);
	buf_c(&text, ']');
	ck_assert_int_eq(parse(text.p), E_UNPROCESSABLE);
	ck_assert_ptr_nonnull(strstr(err.text, "more than 1000"));
}
END_TEST

/* ---- the table ---- */

static void put(const char *instance, const char *key, uint32_t version,
		enum ack_state state)
{
	struct ack ack = { .instance = str_of(instance), .key = str_of(key),
			   .version = version, .state = state,
			   .reason = state == ACK_REJECTED ? STR("why") : STR("") };

	acks_put(acks, &ack, 1000);
}

static bool note(void *data, const struct ack *ack, bool is_connected)
{
	buf_printf(data, "%.*s %.*s %u %s%s%s\n", STR_ARG(ack->instance),
		   STR_ARG(ack->key), ack->version, ack_state_name(ack->state),
		   ack->reason.n ? " why" : "", is_connected ? " here" : "");
	return true;
}

static void shows(struct acks_query query, const char *wanted)
{
	AUTO_BUF out = BUF_NONE;

	buf_z(&out, "");
	acks_each(acks, &query, note, &out);
	ck_assert_str_eq(out.n ? out.p : "", wanted);
}

START_TEST(the_last_word_counts)
{
	put("a", "t/a/e/x", 1, ACK_RECEIVED);
	put("b", "t/a/e/x", 1, ACK_RECEIVED);
	put("a", "t/a/e/x", 1, ACK_REJECTED);
	shows((struct acks_query){ 0 },
	      "b t/a/e/x 1 received\na t/a/e/x 1 rejected why\n");
	/* Who connects anew receives the same again. */
	put("a", "t/a/e/x", 1, ACK_RECEIVED);
	shows((struct acks_query){ .instance = STR("a") },
	      "a t/a/e/x 1 rejected why\n");
	put("a", "t/a/e/x", 2, ACK_RECEIVED);
	shows((struct acks_query){ .instance = STR("a") },
	      "a t/a/e/x 2 received\n");
	put("a", "t/a/e/x", 1, ACK_APPLIED);
	shows((struct acks_query){ .instance = STR("a") },
	      "a t/a/e/x 1 applied\n");
}
END_TEST

START_TEST(those_unseen_for_the_longest_go)
{
	struct acks_counts c;

	put("a", "t/a/e/x", 1, ACK_APPLIED);
	put("b", "t/a/e/x", 1, ACK_APPLIED);
	put("c", "t/a/e/x", 1, ACK_APPLIED);
	put("a", "t/a/e/x", 1, ACK_RECEIVED);    /* is seen again */
	put("d", "t/a/e/x", 1, ACK_APPLIED);
	shows((struct acks_query){ 0 }, "c t/a/e/x 1 applied\n"
	      "a t/a/e/x 1 applied\nd t/a/e/x 1 applied\n");
	acks_counts(acks, &c);
	ck_assert_uint_eq(c.kept, 3);
	ck_assert_uint_eq(c.taken, 5);
	ck_assert_uint_eq(c.evicted, 1);
}
END_TEST

START_TEST(a_gatherer_asks_for_what_is_new)
{
	put("a", "t/a/e/x", 1, ACK_APPLIED);
	put("a", "t/a/e/y", 1, ACK_APPLIED);
	put("b", "t/a/e/x", 1, ACK_APPLIED);
	shows((struct acks_query){ .key = STR("t/a/e/y") },
	      "a t/a/e/y 1 applied\n");
	shows((struct acks_query){ .after = 2 }, "b t/a/e/x 1 applied\n");
	shows((struct acks_query){ .after = 3 }, "");
	put("a", "t/a/e/x", 2, ACK_APPLIED);
	shows((struct acks_query){ .after = 3 }, "a t/a/e/x 2 applied\n");
}
END_TEST

START_TEST(who_is_connected_is_known)
{
	struct acks_counts c;

	put("a", "t/a/e/x", 1, ACK_APPLIED);
	acks_join(acks, STR("a"));
	acks_join(acks, STR("a"));
	acks_join(acks, STR("b"));
	acks_leave(acks, STR("a"));
	acks_leave(acks, STR("b"));
	shows((struct acks_query){ 0 }, "a t/a/e/x 1 applied here\n");
	acks_counts(acks, &c);
	ck_assert_uint_eq(c.connected, 1);
	acks_leave(acks, STR("a"));
	shows((struct acks_query){ 0 }, "a t/a/e/x 1 applied\n");
}
END_TEST

static void *talk(void *data)
{
	const char *name = data;

	for (uint32_t i = 1; i < 2000; i++) {
		acks_join(acks, str_of(name));
		put(name, i % 2 ? "t/a/e/x" : "t/a/e/y", i, ACK_APPLIED);
		acks_leave(acks, str_of(name));
	}
	return NULL;
}

START_TEST(loops_share_it)
{
	static char names[4][2] = { "a", "b", "c", "d" };
	struct acks_counts c;
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, talk, names[i]),
				 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	acks_counts(acks, &c);
	ck_assert_uint_eq(c.kept, 3);
	ck_assert_uint_eq(c.taken, 4 * 1999);
	ck_assert_uint_eq(c.connected, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/acks");
	TCase *t = tcase_create("acks");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, one_and_lists_are_read);
	tcase_add_test(t, a_release_is_a_text_or_a_number);
	tcase_add_loop_test(t, what_is_none_is_refused_by_name, 0,
			    ARRAY_LEN(wrong));
	tcase_add_test(t, there_are_bounds);
	tcase_add_test(t, the_last_word_counts);
	tcase_add_test(t, those_unseen_for_the_longest_go);
	tcase_add_test(t, a_gatherer_asks_for_what_is_new);
	tcase_add_test(t, who_is_connected_is_known);
	tcase_add_test(t, loops_share_it);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
