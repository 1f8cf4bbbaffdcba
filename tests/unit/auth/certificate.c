/* Certificates that stand for tokens: who is who, and that no text of a token is one. */
#include "nodes.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "unit.h"

#include "base/banned.h"

static struct view *view;

static void teardown(void)
{
	view_free(&view);
	nodes_teardown();
}

/* From the cluster version on that knows them. */
static void bind_name(const char *name, const char *certificate,
		      enum subject_role role)
{
	uint64_t until = clock_mono_ms() + 20000;
	struct outcome out = { .code = E_CONFLICT };

	while (out.code == E_CONFLICT && clock_mono_ms() < until) {
		AUTO_BUF bytes = BUF_NONE;
		struct command c = { .type = COMMAND_OPS,
				     .time_ms = clock_wall_ms(),
				     .subject = { .name = STR("system"), .role = ROLE_SYSTEM } };
		struct op *op = command_op(arena, &c, OP_CERTIFICATE_PUT);

		op->name = str_of(name);
		op->role = role;
		op->certificate = str_of(certificate);
		command_encode(&bytes, &c);
		ck_assert_int_eq(store_submit_wait(store, buf_view(&bytes), arena,
						   &out, &err), OK);
	}
	ck_assert_msg(out.code == OK, "%s", out.text);
}

static struct kv_txn *now(void)
{
	struct kv_txn *txn;

	if (!view)
		ck_assert_int_eq(view_new(store, &view, &err), OK);
	ck_assert_int_eq(view_use(view, store_rev(store), &txn, &err), OK);
	return txn;
}

START_TEST(a_name_that_is_bound_is_somebody)
{
	struct str credential;
	struct subject who;

	ck_assert_int_eq(ensure("a"), OK);
	bind_name("web", "CN=web", ROLE_READ_ONLY);
	certificate_subject(now(), STR("CN=web"), arena, &who, &credential);
	ck_assert_int_eq(who.role, ROLE_READ_ONLY);
	ck_assert(str_is(who.name, "cert:CN=web"));
	ck_assert(str_is(credential, "certificate web"));
	certificate_subject(now(), STR("CN=web2"), arena, &who, &credential);
	ck_assert_int_eq(who.role, ROLE_NOBODY);
	ck_assert(str_is(who.name, "cert:CN=web2"));
}
END_TEST

START_TEST(no_text_of_a_token_is_a_certificate)
{
	static const char text[] = "certificate\0CN=web";
	struct sha256 key = sha256_of(str_n(text, sizeof(text) - 1));
	struct sha256 same = certificate_key(STR("CN=web"));
	struct str credential;
	struct subject who;

	/* Were it looked up, it would be found. */
	ck_assert(sha256_eq(&key, &same));
	ck_assert_int_eq(ensure("a"), OK);
	bind_name("web", "CN=web", ROLE_READ_ONLY);
	token_subject(now(), str_n(text, sizeof(text) - 1), arena, &who,
		      &credential);
	ck_assert_int_eq(who.role, ROLE_NOBODY);
	token_subject(now(), STR("CN=web"), arena, &who, &credential);
	ck_assert_int_eq(who.role, ROLE_NOBODY);
}
END_TEST

START_TEST(a_certificate_is_no_root_token)
{
	struct stat st;

	/* The cluster's first one is made beside it. */
	bind_name("web", "CN=web", ROLE_ROOT);
	ck_assert_int_eq(ensure("a"), OK);
	ck_assert(made);
	ck_assert_int_eq(stat(arena_printf(arena, "%s/root.token", dir_of("a")).p,
			      &st), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("auth/certificate");
	TCase *t = tcase_create("certificate");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, nodes_setup, teardown);
	tcase_add_test(t, a_name_that_is_bound_is_somebody);
	tcase_add_test(t, no_text_of_a_token_is_a_certificate);
	tcase_add_test(t, a_certificate_is_no_root_token);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
