/* Tokens of subjects: what they say, until when, and that the cache knows both. */
#include "auth/auth.h"

#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit.h"

#include "base/banned.h"

static char folder[64];
static struct store *store;
static struct arena *arena;
static struct err err;
static struct view *view;

static void submit(const struct command *c, enum code want)
{
	AUTO_BUF bytes = BUF_NONE;
	struct outcome out;

	command_encode(&bytes, c);
	ck_assert_int_eq(store_submit_wait(store, buf_view(&bytes), arena, &out,
					   &err), OK);
	ck_assert_msg(out.code == want, "%s", out.text);
}

static struct command *command(enum command_type type)
{
	struct command *c = ANEW(arena, struct command);

	c->type = type;
	c->time_ms = clock_wall_ms();
	c->subject = (struct subject){ .name = STR("system"), .role = ROLE_SYSTEM };
	return c;
}

static void setup(void)
{
	struct store_config c = { .map_bytes = 1ull << 28, .hold_ms = 20000,
				  .dir = folder };
	struct store_status st;

	arena = arena_new(0);
	ck_assert_int_eq(kinds_load(&err), OK);
	snprintf(folder, sizeof(folder), "/tmp/conflux-auth-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_msg(store_open(&c, &store, &err) == OK, "%s", err.text);
	for (store_status(store, &st); !st.is_ready; store_status(store, &st))
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	ck_assert_int_eq(view_new(store, &view, &err), OK);
}

static void teardown(void)
{
	pid_t pid;

	view_free(&view);
	store_close(&store);
	arena_free(&arena);
	pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", folder, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

static struct kv_txn *now(void)
{
	struct kv_txn *txn;

	view_idle(view);
	ck_assert_int_eq(view_use(view, store_rev(store), &txn, &err), OK);
	return txn;
}

static struct op *subject_op(struct command *c, const char *name, const char *token)
{
	static struct str groups[] = { { "ops", 3 }, { "dba", 3 } };
	struct op *op = command_op(arena, c, OP_SUBJECT_PUT);
	AUTO_BUF bytes = BUF_NONE;

	ck_assert_int_eq(groups_encode(&bytes, groups, 2, &err), OK);
	op->name = str_of(name);
	op->author = STR("Ann Example");
	op->tenant = STR("acme");
	op->groups = arena_str(arena, buf_view(&bytes));
	op->verbs = BIT(VERB_PUBLISH) | BIT(VERB_PAUSE);
	op->sha = sha256_of(str_of(token));
	return op;
}

static void check_ann(const struct subject *s)
{
	struct sha256 sha = sha256_of(STR("cfx_ann"));

	ck_assert_int_eq(s->role, ROLE_NAMED);
	ck_assert(str_is(s->name, "Ann Example"));
	ck_assert(str_is(s->tenant, "acme"));
	ck_assert(groups_has(s->groups, STR("dba")));
	ck_assert(!groups_has(s->groups, STR("web")));
	ck_assert_uint_eq(s->verbs, BIT(VERB_PUBLISH) | BIT(VERB_PAUSE));
	ck_assert(sha256_eq(&s->token, &sha));
}

START_TEST(it_is_somebody_with_all_that_was_given)
{
	struct token_cache cache = { 0 };
	struct command *c = command(COMMAND_OPS);
	struct str credential;
	struct subject who;
	struct arena *own = arena_new(0);

	subject_op(c, "ann-1", "cfx_ann");
	submit(c, OK);
	token_subject(now(), STR("cfx_ann"), arena, &who, &credential);
	check_ann(&who);
	ck_assert(str_starts(credential, STR("token ")));
	token_subject_cached(&cache, now(), STR("cfx_ann"), own, &who, &credential);
	ck_assert(token_cache_has(&cache, now(), STR("cfx_ann")));
	/* From the cache, also when the first request's memory is gone. */
	arena_free(&own);
	token_subject_cached(&cache, now(), STR("cfx_ann"), arena, &who, &credential);
	check_ann(&who);
	ck_assert(!token_cache_has(&cache, now(), STR("cfx_bob")));
	token_cache_fini(&cache);
}
END_TEST

START_TEST(when_it_has_ended_it_is_nobody)
{
	struct token_cache cache = { 0 };
	struct command *c = command(COMMAND_OPS);
	struct sha256 sha = sha256_of(STR("cfx_ann"));
	struct str credential;
	struct subject who;
	uint64_t until = clock_wall_ms() + 250;

	subject_op(c, "ann-1", "cfx_ann")->count = until;
	submit(c, OK);
	token_subject_cached(&cache, now(), STR("cfx_ann"), arena, &who, &credential);
	check_ann(&who);
	ck_assert_uint_eq(who.until_ms, until);
	err = (struct err){ 0 };
	token_say_over(now(), &sha, &err);
	ck_assert_int_eq(err.code, OK);
	while (clock_wall_ms() < until)
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	ck_assert(!token_cache_has(&cache, now(), STR("cfx_ann")));
	token_subject_cached(&cache, now(), STR("cfx_ann"), arena, &who, &credential);
	ck_assert_int_eq(who.role, ROLE_NOBODY);
	ck_assert(str_is(who.name, "anonymous"));
	token_say_over(now(), &sha, &err);
	ck_assert_int_eq(err.code, E_UNAUTHORIZED);
	ck_assert_ptr_nonnull(strstr(err.text, "\"ann-1\" has ended at 20"));
	token_cache_fini(&cache);
}
END_TEST

START_TEST(a_certificate_is_somebody_too)
{
	struct command *c = command(COMMAND_OPS);
	struct op *op = subject_op(c, "ann-2", "");
	struct str credential;
	struct subject who;
	struct sha256 key = certificate_key(STR("CN=ann"));

	op->certificate = STR("CN=ann");
	op->count = clock_wall_ms() + 250;
	submit(c, OK);
	certificate_subject(now(), STR("CN=ann"), arena, &who, &credential);
	ck_assert_int_eq(who.role, ROLE_NAMED);
	ck_assert(str_is(who.name, "Ann Example"));
	ck_assert(str_is(who.tenant, "acme"));
	ck_assert(sha256_eq(&who.token, &key));
	while (clock_wall_ms() < op->count)
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	certificate_subject(now(), STR("CN=ann"), arena, &who, &credential);
	ck_assert_int_eq(who.role, ROLE_NOBODY);
	ck_assert(str_is(who.name, "cert:CN=ann"));
}
END_TEST

/* Nobody is taken for what the cluster calls itself, or for a token of a role. */
START_TEST(some_names_are_nobodys)
{
	static const char *const names[] = { "system", "anonymous", "token:root",
					     "source:acme/shop", "", "\xff" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct command *c = command(COMMAND_OPS);

		subject_op(c, "x", "cfx_x")->author = str_of(names[i]);
		submit(c, E_INVALID);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("auth/subject");
	TCase *tc = tcase_create("subject");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, it_is_somebody_with_all_that_was_given);
	tcase_add_test(tc, when_it_has_ended_it_is_nobody);
	tcase_add_test(tc, a_certificate_is_somebody_too);
	tcase_add_test(tc, some_names_are_nobodys);
	suite_add_tcase(s, tc);
	return s;
}
UNIT_MAIN(suite)
