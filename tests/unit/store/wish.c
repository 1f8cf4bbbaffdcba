/* Changes of members on their way to the leader. */
#include "unit.h"

#include "golden.h"
#include "store/wish.h"

#include "base/banned.h"

static struct wish a_wish(void)
{
	struct wish w = { .what = STORE_MEMBER_ADD, .node = 300,
			  .address = STR("10.0.0.4:9001"), .force = true };

	w.who = (struct store_who){ .subject = { .name = STR("token:root"), .role = ROLE_ROOT },
				    .credential = STR("token root"),
				    .origin = STR("127.0.0.1:5112"),
				    .reason = STR("a disk") };
	memset(w.who.trace, 7, sizeof(w.who.trace));
	return w;
}

static void same(const struct wish *a, const struct wish *b, bool is_short)
{
	ck_assert_int_eq(a->what, b->what);
	ck_assert_uint_eq(a->node, b->node);
	ck_assert(str_eq(a->address, b->address));
	ck_assert_int_eq(a->force, b->force);
	if (is_short)
		return;
	ck_assert(str_eq(a->who.subject.name, b->who.subject.name));
	ck_assert_int_eq(a->who.subject.role, b->who.subject.role);
	ck_assert(str_eq(a->who.subject.tenant, b->who.subject.tenant));
	ck_assert(str_eq(a->who.credential, b->who.credential));
	ck_assert(str_eq(a->who.origin, b->who.origin));
	ck_assert(str_eq(a->who.reason, b->who.reason));
	ck_assert_mem_eq(a->who.trace, b->who.trace, sizeof(a->who.trace));
}

START_TEST(both_forms)
{
	struct wish w = a_wish(), got = { 0 };
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF was = BUF_NONE;
	size_t at, n;
	struct err err;

	wish_encode(&bytes, &w, &at, &n);
	golden_same("wish-1", buf_view(&bytes));
	golden_read("wish-1", &was);
	ck_assert_int_eq(wish_decode(buf_view(&was), false, &got, &err), OK);
	same(&w, &got, false);
	got = (struct wish){ 0 };
	ck_assert_int_eq(wish_decode(str_first(str_from(buf_view(&bytes), at), n),
				     true, &got, &err), OK);
	same(&w, &got, true);
	ck_assert_uint_eq(got.who.subject.name.n, 0);
}
END_TEST

START_TEST(what_is_malformed_is_refused)
{
	struct wish w = a_wish(), got;
	AUTO_BUF bytes = BUF_NONE;
	char long_one[WISH_ADDRESS_MAX + 1];
	size_t at, n;
	struct err err;

	wish_encode(&bytes, &w, &at, &n);
	for (size_t i = 0; i < bytes.n; i++)
		ck_assert_int_eq(wish_decode(str_n(bytes.p, i), false, &got,
					     &err), E_INVALID);
	buf_c(&bytes, 'x');
	ck_assert_int_eq(wish_decode(buf_view(&bytes), false, &got, &err),
			 E_INVALID);
	bytes.p[0] = 2;
	ck_assert_int_eq(wish_decode(str_n(bytes.p, bytes.n - 1), false, &got,
				     &err), E_INVALID);
	for (unsigned i = 0; i < 4; i++) {
		w = a_wish();
		if (i == 0)
			w.node = 0;
		else if (i == 1)
			w.node = 65536;
		else if (i == 2)
			w.what = STORE_MEMBER_LEAD + 1;
		else
			w.address = str_n(memset(long_one, 'a', sizeof(long_one)),
					  sizeof(long_one));
		buf_reset(&bytes);
		wish_encode(&bytes, &w, &at, &n);
		ck_assert_int_eq(wish_decode(buf_view(&bytes), false, &got,
					     &err), E_INVALID);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store/wish");
	TCase *t = tcase_create("wish");

	tcase_add_test(t, both_forms);
	tcase_add_test(t, what_is_malformed_is_refused);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
