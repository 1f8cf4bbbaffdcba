/* Differences: by path and by line, the fewest, and without secrets; against a
 * reference that counts edits the slow way, and by applying what they say. */
#include "unit.h"

#include <stdio.h>

#include "doc/format.h"
#include "model/diff_own.h"

#include "base/banned.h"

static struct arena *arena;

static void setup(void)
{
	arena = arena_new(0);
}

static void teardown(void)
{
	arena_free(&arena);
}

static struct value *parse(const char *json)
{
	struct value *v;
	struct err err;

	ck_assert_msg(doc_parse_json(str_of(json), arena, NULL, &v, &err) == OK, "%s: %s",
		      json, err.text);
	return v;
}

static void check(const char *before, const char *after, const char *want)
{
	AUTO_BUF out = BUF_NONE;
	struct diff diff;

	diff_values(arena, before ? parse(before) : NULL, after ? parse(after) : NULL,
		    &diff);
	diff_json(&out, &diff);
	ck_assert_str_eq(out.p, want);
}

START_TEST(values_by_path)
{
	check("{\"a\":1}", "{\"a\":1}", "[]");
	check("{\"a\":1}", "{\"a\":1.0}", "[]");
	check("{\"a\":1}", "{\"a\":2}",
	      "[{\"change\":\"changed\",\"path\":\"a\",\"before\":1,\"after\":2}]");
	check("{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"c\":2,\"d\":3}}",
	      "[{\"change\":\"removed\",\"path\":\"a.b\",\"before\":1},"
	      "{\"change\":\"added\",\"path\":\"a.d\",\"after\":3}]");
	check("{\"a.b\":1,\"\":2}", "{\"a.b\":2,\"\":3}",
	      "[{\"change\":\"changed\",\"path\":\"[\\\"a.b\\\"]\",\"before\":1,\"after\":2},"
	      "{\"change\":\"changed\",\"path\":\"[\\\"\\\"]\",\"before\":2,\"after\":3}]");
	check("{\"a\":[1]}", "{\"a\":{\"b\":1}}",
	      "[{\"change\":\"changed\",\"path\":\"a\",\"before\":[1],"
	      "\"after\":{\"b\":1}}]");
	check("{\"a\":null}", "{}",
	      "[{\"change\":\"removed\",\"path\":\"a\",\"before\":null}]");
	check(NULL, "{\"a\":1}",
	      "[{\"change\":\"added\",\"path\":\"\",\"after\":{\"a\":1}}]");
	check("[1]", NULL, "[{\"change\":\"removed\",\"path\":\"\",\"before\":[1]}]");
}
END_TEST

START_TEST(elements_by_what_identifies_them)
{
	check("{\"s\":[{\"name\":\"a\",\"p\":1},{\"name\":\"b\",\"p\":2}]}",
	      "{\"s\":[{\"name\":\"x\",\"p\":0},{\"name\":\"a\",\"p\":1},"
	      "{\"name\":\"b\",\"p\":3}]}",
	      "[{\"change\":\"changed\",\"path\":\"s[name=b].p\",\"before\":2,\"after\":3},"
	      "{\"change\":\"added\",\"path\":\"s[name=x]\","
	      "\"after\":{\"name\":\"x\",\"p\":0}}]");
	/* Only their order. */
	check("[{\"id\":1},{\"id\":2}]", "[{\"id\":2},{\"id\":1}]",
	      "[{\"change\":\"reordered\",\"path\":\"\",\"before\":[1,2],\"after\":[2,1]}]");
	/* Two have the same name: it identifies none, the port does. */
	check("[{\"name\":\"a\",\"port\":1},{\"name\":\"a\",\"port\":2}]",
	      "[{\"name\":\"a\",\"port\":1},{\"name\":\"b\",\"port\":2}]",
	      "[{\"change\":\"changed\",\"path\":\"[port=2].name\",\"before\":\"a\","
	      "\"after\":\"b\"}]");
	check("[{\"name\":\"a b\",\"v\":1}]", "[{\"name\":\"a b\",\"v\":2}]",
	      "[{\"change\":\"changed\",\"path\":\"[name=\\\"a b\\\"].v\",\"before\":1,"
	      "\"after\":2}]");
}
END_TEST

START_TEST(other_elements_with_the_fewest_edits)
{
	check("[1,2,3,4]", "[1,3,4,5]",
	      "[{\"change\":\"removed\",\"path\":\"[1]\",\"before\":2},"
	      "{\"change\":\"added\",\"path\":\"[3]\",\"after\":5}]");
	check("[1,2,3]", "[1,9,3]",
	      "[{\"change\":\"changed\",\"path\":\"[1]\",\"before\":2,\"after\":9}]");
	/* What has parts is paired with what has. */
	check("[\"a\",{\"x\":1,\"y\":1}]", "[\"a\",{\"x\":1,\"y\":2},\"b\"]",
	      "[{\"change\":\"changed\",\"path\":\"[1].y\",\"before\":1,\"after\":2},"
	      "{\"change\":\"added\",\"path\":\"[2]\",\"after\":\"b\"}]");
	check("[[1],2]", "[3,2]",
	      "[{\"change\":\"removed\",\"path\":\"[0]\",\"before\":[1]},"
	      "{\"change\":\"added\",\"path\":\"[0]\",\"after\":3}]");
	check("[]", "[1]", "[{\"change\":\"added\",\"path\":\"[0]\",\"after\":1}]");
}
END_TEST

START_TEST(secrets_are_changed_and_not_shown)
{
	check("{\"db\":{\"password\":\"old\",\"host\":\"a\"}}",
	      "{\"db\":{\"password\":\"new\",\"host\":\"b\"}}",
	      "[{\"change\":\"changed\",\"path\":\"db.password\",\"before\":\"***\","
	      "\"after\":\"***\",\"masked\":true},"
	      "{\"change\":\"changed\",\"path\":\"db.host\",\"before\":\"a\","
	      "\"after\":\"b\"}]");
	/* All below it, whatever it is called, and inside of what is added. */
	check("{\"Secrets\":{\"a\":[1]}}", "{\"Secrets\":{\"a\":[2]}}",
	      "[{\"change\":\"changed\",\"path\":\"Secrets.a[0]\",\"before\":\"***\","
	      "\"after\":\"***\",\"masked\":true}]");
	check("{}", "{\"x\":{\"API-Key\":\"k\",\"b\":true,\"l\":[{\"authToken\":7}]}}",
	      "[{\"change\":\"added\",\"path\":\"x\",\"after\":{\"API-Key\":\"***\","
	      "\"b\":true,\"l\":[{\"authToken\":\"***\"}]},\"masked\":true}]");
	check("{\"u\":\"https://x:y@h/\"}", "{\"u\":\"https://x:z@h/\"}",
	      "[{\"change\":\"changed\",\"path\":\"u\",\"before\":\"***\","
	      "\"after\":\"***\",\"masked\":true}]");
	check("{\"u\":\"https://h:80/a@b\"}", "{}",
	      "[{\"change\":\"removed\",\"path\":\"u\",\"before\":\"https://h:80/a@b\"}]");
	check("{\"k\":\"-----BEGIN EC PRIVATE KEY-----\\nabc\"}", "{}",
	      "[{\"change\":\"removed\",\"path\":\"k\",\"before\":\"***\","
	      "\"masked\":true}]");
	/* What identifies is none. */
	check("[{\"name\":\"a\",\"token\":\"t\"}]", "[{\"name\":\"a\",\"token\":\"u\"}]",
	      "[{\"change\":\"changed\",\"path\":\"[name=a].token\",\"before\":\"***\","
	      "\"after\":\"***\",\"masked\":true}]");
	/* A secret that is in an identity would be in the path. */
	check("{\"tokens\":[{\"key\":\"hush\",\"v\":1}]}",
	      "{\"tokens\":[{\"key\":\"hush\",\"v\":2}]}",
	      "[{\"change\":\"changed\",\"path\":\"tokens[0].v\",\"before\":\"***\","
	      "\"after\":\"***\",\"masked\":true}]");
}
END_TEST

START_TEST(names_of_secrets)
{
	static const char *const yes[] = { "password", "DB_PASSWORD", "dbPassword", "pwd",
					   "client_secret", "api-key", "x.token",
					   "privateKey", "Authorization", "dsn" };
	static const char *const no[] = { "key", "keys", "name", "pass", "user", "host",
					  "sec", "" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		ck_assert_msg(diff_is_secret(str_of(yes[i])), "%s", yes[i]);
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		ck_assert_msg(!diff_is_secret(str_of(no[i])), "%s", no[i]);
}
END_TEST

static void lines(const char *before, const char *after, const char *want)
{
	AUTO_BUF out = BUF_NONE;

	buf_z(&out, "");
	diff_lines(&out, str_of(before), str_of(after));
	ck_assert_str_eq(out.p, want);
}

START_TEST(texts_by_line)
{
	lines("a\nb\n", "a\nb\n", "");
	lines("", "a\n", "@@ -0,0 +1 @@\n+a\n");
	lines("a\n", "", "@@ -1 +0,0 @@\n-a\n");
	lines("a\nb\nc\n", "a\nx\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
	lines("a\nb", "a\nb\n", "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n");
	lines("1\n2\n3\n4\n5\n6\n7\n8\n9\nx\n", "1\n2\n3\n4\n5\n6\n7\n8\n9\ny\n",
	      "@@ -7,4 +7,4 @@\n 7\n 8\n 9\n-x\n+y\n");
	lines("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
	      "@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n"
	      "@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
	lines("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
	      "@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
}
END_TEST

START_TEST(secrets_of_lines)
{
	lines("password = old\n", "password = new\n",
	      "@@ -1 +1 @@\n-password = ***\n+password = ***\n");
	lines("", "url=redis://u:p@h:1 postgres://a:b@c/\n",
	      "@@ -0,0 +1 @@\n+url=redis://***@h:1 postgres://***@c/\n");
	lines("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nx\n",
	      "-----BEGIN RSA PRIVATE KEY-----\nNJJ\n-----END RSA PRIVATE KEY-----\nx\n",
	      "@@ -1,4 +1,4 @@\n -----BEGIN RSA PRIVATE KEY-----\n-***\n+***\n"
	      " -----END RSA PRIVATE KEY-----\n x\n");
}
END_TEST

/* ---- the fewest edits ---- */

static size_t slow_common(const uint32_t *a, size_t n, const uint32_t *b, size_t m)
{
	size_t row[64] = { 0 };

	for (size_t i = 1; i <= n; i++) {
		size_t corner = 0;

		for (size_t k = 1; k <= m; k++) {
			size_t above = row[k];

			row[k] = a[i - 1] == b[k - 1] ? corner + 1 :
							MAX(row[k], row[k - 1]);
			corner = above;
		}
	}
	return row[m];
}

/* What stays is the same on both sides, and as much as can. */
static void check_edits(const uint32_t *a, size_t n, const uint32_t *b, size_t m)
{
	bool keep_a[64] = { 0 }, keep_b[64] = { 0 };
	size_t i = 0, k = 0, kept = 0;

	diff_edits(a, n, b, m, keep_a, keep_b);
	for (;; i++, k++) {
		while (i < n && !keep_a[i])
			i++;
		while (k < m && !keep_b[k])
			k++;
		if (i == n || k == m)
			break;
		ck_assert_uint_eq(a[i], b[k]);
		kept++;
	}
	ck_assert(i == n && k == m);
	ck_assert_uint_eq(kept, slow_common(a, n, b, m));
}

START_TEST(they_are_the_fewest)
{
	uint32_t a[60], b[60], seed = 12345;

	for (unsigned round = 0; round < 20000; round++) {
		size_t n, m;
		uint32_t letters;

		seed = seed * 1664525 + 1013904223;
		n = (seed >> 8) % 40;
		m = (seed >> 16) % 40;
		letters = 1 + (seed >> 24) % 6;
		for (size_t i = 0; i < n; i++)
			a[i] = ((seed = seed * 1664525 + 1013904223) >> 16) % letters;
		for (size_t i = 0; i < m; i++)
			b[i] = ((seed = seed * 1664525 + 1013904223) >> 16) % letters;
		check_edits(a, n, b, m);
	}
}
END_TEST

/* Beyond the bound what both begin and end with stays. */
START_TEST(too_many_are_replaced)
{
	enum { N = 3000 };
	static uint32_t a[N], b[N];
	static bool keep_a[N], keep_b[N];

	for (uint32_t i = 0; i < N; i++) {
		a[i] = i;
		b[i] = i < 10 || i >= N - 10 ? i : N + i;
	}
	diff_edits(a, N, b, N, keep_a, keep_b);
	for (uint32_t i = 0; i < N; i++) {
		ck_assert(keep_a[i] == (i < 10 || i >= N - 10));
		ck_assert(keep_b[i] == keep_a[i]);
	}
}
END_TEST

START_TEST(changes_are_bounded)
{
	struct value *before = value_object(arena), *after = value_object(arena);
	struct diff diff;

	for (unsigned i = 0; i < DIFF_CHANGES_MAX + 5; i++)
		value_set(arena, after, arena_printf(arena, "k%u", i),
			  value_u64(arena, i));
	diff_values(arena, before, after, &diff);
	ck_assert_uint_eq(diff.n, DIFF_CHANGES_MAX);
	ck_assert_uint_eq(diff.more, 5);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model/diff");
	TCase *tc = tcase_create("diff");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, values_by_path);
	tcase_add_test(tc, elements_by_what_identifies_them);
	tcase_add_test(tc, other_elements_with_the_fewest_edits);
	tcase_add_test(tc, secrets_are_changed_and_not_shown);
	tcase_add_test(tc, names_of_secrets);
	tcase_add_test(tc, texts_by_line);
	tcase_add_test(tc, secrets_of_lines);
	tcase_add_test(tc, they_are_the_fewest);
	tcase_add_test(tc, too_many_are_replaced);
	tcase_add_test(tc, changes_are_bounded);
	suite_add_tcase(s, tc);
	return s;
}
UNIT_MAIN(suite)
