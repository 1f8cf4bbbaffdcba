/* The effect chain: what it depends on, and its format. */
#include "state/chain.h"

#include "unit.h"

#include "base/banned.h"

static const struct sha256 zero;

struct one {
	enum kv_table table;
	struct str key, val;
};

static struct sha256 link_of(const struct one *effects, size_t n,
			     const struct sha256 *before, uint64_t index)
{
	struct chain *chain = chain_new();
	struct sha256 link;

	chain_start(chain);
	for (size_t i = 0; i < n; i++)
		chain_effect(chain, effects[i].table, effects[i].key,
			     effects[i].val);
	link = chain_end(chain, before, index);
	chain_free(&chain);
	return link;
}

static void differ(struct sha256 a, struct sha256 b)
{
	ck_assert(!sha256_eq(&a, &b));
}

START_TEST(all_parts_count)
{
	const struct one a = { KV_META, STR("key"), STR("val") };
	const struct one all[] = {
		{ KV_LIVE, STR("key"), STR("val") },
		{ KV_META, STR("kez"), STR("val") },
		{ KV_META, STR("key"), STR("vam") },
		{ KV_META, STR("keyv"), STR("al") },
		{ KV_META, STR("key"), STR("") },
		{ KV_META, STR("key"), STR_NONE },
	};
	const struct one twice[] = { a, all[0] }, turned[] = { all[0], a };
	struct sha256 is = link_of(&a, 1, &zero, 1), again;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		differ(is, link_of(&all[i], 1, &zero, 1));
		for (size_t j = 0; j < i; j++)
			differ(link_of(&all[j], 1, &zero, 1),
			       link_of(&all[i], 1, &zero, 1));
	}
	differ(is, link_of(&a, 1, &is, 1));
	differ(is, link_of(&a, 1, &zero, 2));
	differ(is, link_of(NULL, 0, &zero, 1));
	differ(link_of(twice, 2, &zero, 1), link_of(turned, 2, &zero, 1));
	again = link_of(&a, 1, &zero, 1);
	ck_assert(sha256_eq(&is, &again));
}
END_TEST

START_TEST(goes_on_from_a_copy)
{
	struct chain *a = chain_new(), *b = chain_new();
	struct sha256 x, y;

	chain_start(a);
	chain_effect(a, KV_META, STR("k"), STR("v"));
	chain_copy(b, a);
	chain_effect(a, KV_META, STR("undone"), STR("v"));
	chain_copy(a, b);
	chain_effect(a, KV_META, STR("l"), STR("w"));
	chain_effect(b, KV_META, STR("l"), STR("w"));
	x = chain_end(a, &zero, 7);
	y = chain_end(b, &zero, 7);
	ck_assert(sha256_eq(&x, &y));
	chain_free(&a);
	chain_free(&b);
	chain_free(&b);
}
END_TEST

/* Made from the header's description with the xxhsum and sha256sum programs. */
START_TEST(format)
{
	const struct one a = { KV_OBJECTS, STR("key"), STR("value") };
	struct sha256 link = link_of(&a, 1, &zero, 0x0102);
	char hex[65];

	sha256_hex(hex, &link);
	ck_assert_str_eq(hex, "7e292bb8dcae4d58ac6aa9c376dda3a895c989dcec77deffbb2a49c58762a5eb");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/chain");
	TCase *t = tcase_create("chain");

	tcase_add_test(t, all_parts_count);
	tcase_add_test(t, goes_on_from_a_copy);
	tcase_add_test(t, format);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
