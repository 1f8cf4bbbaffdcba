/* Watchers of a loop, over a store: who may, when it begins, what ends it. */
#include "base/mem.h"
#include "token_changes.h"
#include "watch_lab.h"

#include "base/banned.h"

static struct sha256 token;              /* of a reader */

/* One that writes down what it hears. */
struct ear {
	struct watcher watcher;
	struct buf heard;
	unsigned enough, flushes;
	bool stops;                      /* itself, with the first change */
	bool is_over;
};

static struct ear *ear_of(struct watcher *w)
{
	return container_of(w, struct ear, watcher);
}

static void on_begin(struct watcher *w, uint64_t rev)
{
	buf_z(&ear_of(w)->heard, "begin ");
}

static bool on_change(struct watcher *w, const struct feed_change *c)
{
	struct ear *e = ear_of(w);

	ck_assert(!e->is_over && e->enough > 0);
	buf_printf(&e->heard, "%.*s=%u%s ", STR_ARG(c->at.name), c->version,
		   c->end ? "." : "");
	if (e->stops) {
		e->is_over = true;
		watcher_stop(w);
	}
	return --e->enough > 0;
}

static void on_flush(struct watcher *w)
{
	ear_of(w)->flushes++;
}

static void on_bookmark(struct watcher *w, uint64_t rev)
{
	ck_assert_uint_eq(rev, store_rev(api.config.store));
	buf_z(&ear_of(w)->heard, "bookmark ");
}

static void on_alive(struct watcher *w)
{
	buf_z(&ear_of(w)->heard, "alive ");
}

static void on_end(struct watcher *w, enum watch_reason reason,
		   const struct err *err)
{
	struct ear *e = ear_of(w);

	ck_assert(!e->is_over);
	e->is_over = true;
	buf_printf(&e->heard, "%s:%s ", watch_reason_name(reason),
		   code_slug(err->code));
}

static const struct watcher_ops ops = {
	.begin = on_begin, .change = on_change, .flush = on_flush,
	.bookmark = on_bookmark, .alive = on_alive, .end = on_end,
};

/* ---- what happens ---- */

static void put_token(const char *name, const char *text)
{
	struct command *c = command(COMMAND_OPS);
	struct op *op = command_op(arena, c, OP_TOKEN_PUT);

	op->name = str_of(name);
	op->role = ROLE_READ_ONLY;
	op->sha = token = sha256_of(str_of(text));
	submit(c);
}

/* Of somebody of 'tenant', for so long (0: for ever). */
static void put_subject_as(const char *name, const char *subject, const char *tenant,
			   unsigned ms)
{
	struct command *c = command(COMMAND_OPS);
	struct op *op = command_op(arena, c, OP_SUBJECT_PUT);

	op->name = str_of(name);
	op->author = str_of(subject);
	op->tenant = str_of(tenant);
	op->count = ms ? clock_wall_ms() + ms : 0;
	op->sha = token = sha256_of(str_of(name));
	submit(c);
}

static void end_token(const char *name)
{
	struct command *c = command(COMMAND_OPS);

	command_op(arena, c, OP_TOKEN_DELETE)->name = str_of(name);
	submit(c);
}

static void put_subject(const char *name, const char *tenant, unsigned ms)
{
	put_subject_as(name, name, tenant, ms);
}

/* acme/shop/prod/NAME gets another version. */
static void publish(const char *name)
{
	static unsigned n;
	struct command *c = command(COMMAND_BLOB);
	struct str object = arena_printf(arena, "shop.prod.%s", name);
	struct str content = arena_printf(arena, "content %u", n++);
	struct op *op;

	c->tenant = STR("acme");
	c->sha = sha256_of(content);
	c->total = content.n;
	c->bytes = content;
	submit(c);
	c = command(COMMAND_OPS);
	op = op_of(c, OP_OBJECT_PUT, KIND_CONFIG, "acme", arena_z(arena, object));
	op->only_create = true;
	op->application = STR("shop");
	op->environment = STR("prod");
	op->config_name = str_of(name);
	op->format = STR("text");
	op = op_of(c, OP_VERSION_ADD, KIND_CONFIG, "acme", arena_z(arena, object));
	op->sha = sha256_of(content);
	op->size = content.n;
	op->release = true;
	submit(c);
}

static void setup(void)
{
	lab_setup();
	put_token("reader", "cfx_reader");
}

/* ---- watchers ---- */

static struct watch_spec spec_of(const char *key, const char *prefix)
{
	struct watch_spec spec = { .who = { .has_token = true, .token = token,
					    .name = "token:reader" } };
	struct err err;

	if (key)
		ck_assert_int_eq(watch_spec_key(&spec, arena, str_of(key), &err), OK);
	if (prefix)
		ck_assert_int_eq(watch_spec_prefix(&spec, arena, str_of(prefix),
						   &err), OK);
	return spec;
}

static enum code try_start(struct ear *e, const struct watch_spec *spec)
{
	struct err err;

	*e = (struct ear){ .enough = UINT_MAX };
	buf_z(&e->heard, "");
	/* In a turn of its own. */
	view_idle(at.view);
	return watcher_start(&e->watcher, &at, spec, &ops, &err);
}

static void start(struct ear *e, const char *key, const char *prefix)
{
	struct watch_spec spec = spec_of(key, prefix);

	ck_assert_int_eq(try_start(e, &spec), OK);
}

static void stop(struct ear *e)
{
	watcher_stop(&e->watcher);
	buf_fini(&e->heard);
}

static bool heard(const struct ear *e, const char *what)
{
	return strstr(e->heard.p, what) != NULL;
}

#define X "acme/shop/prod/x"
#define Y "acme/shop/prod/y"

START_TEST(it_begins_at_once_and_is_told_of_its_own)
{
	struct ear x, all;

	start(&x, X, NULL);
	start(&all, NULL, "acme/");
	ck_assert_str_eq(x.heard.p, "begin ");
	publish("y");
	publish("x");
	TURN_UNTIL(heard(&x, "x=1"));
	TURN_UNTIL(heard(&all, "x=1"));
	ck_assert_str_eq(x.heard.p, "begin x=1. ");
	ck_assert_str_eq(all.heard.p, "begin y=1. x=1. ");
	ck_assert_uint_eq(x.flushes, 1);
	ck_assert_uint_eq(watcher_rev(&x.watcher), store_rev(api.config.store));
	stop(&x);
	stop(&all);
}
END_TEST

START_TEST(who_is_quiet_hears_from_where_to_go_on)
{
	struct ear x;

	start(&x, X, NULL);
	TURN_UNTIL(heard(&x, "alive"));
	ck_assert(!heard(&x, "bookmark"));
	publish("y");
	TURN_UNTIL(heard(&x, "bookmark"));
	buf_reset(&x.heard);
	buf_z(&x.heard, "");
	TURN_UNTIL(heard(&x, "alive"));
	ck_assert(!heard(&x, "bookmark"));
	stop(&x);
}
END_TEST

/* The picture that the change is in has no such token: what reads would not show
 * is not told, also where one wake-up brings both. */
START_TEST(a_change_behind_the_end_of_its_token_is_not_told)
{
	struct ear x, quiet, other;

	start(&x, X, NULL);
	start(&quiet, Y, NULL);
	put_token("another", "cfx_another");
	start(&other, X, NULL);
	TURN_UNTIL(heard(&other, "begin"));
	publish("x");
	TURN_UNTIL(heard(&x, "x=1"));
	TURN_UNTIL(heard(&other, "x=1"));
	end_token("reader");
	publish("x");
	TURN_UNTIL(x.is_over && quiet.is_over && heard(&other, "x=2"));
	ck_assert_str_eq(x.heard.p, "begin x=1. denied:unauthorized ");
	ck_assert_str_eq(quiet.heard.p, "begin denied:unauthorized ");
	ck_assert(!other.is_over);
	stop(&x);
	stop(&quiet);
	stop(&other);
}
END_TEST

/* The token is looked at for each change too: it may end between the look at all tokens
 * and the picture. */
START_TEST(a_change_in_the_picture_of_its_tokens_end_is_not_told)
{
	struct ear x, other;

	start(&x, X, NULL);
	put_token("another", "cfx_another");
	start(&other, X, NULL);
	publish("x");
	TURN_UNTIL(heard(&x, "x=1"));
	TURN_UNTIL(heard(&other, "x=1"));
	token_changes_hold(api.config.store);
	end_token("reader");
	publish("x");
	TURN_UNTIL(heard(&other, "x=2"));
	ck_assert_str_eq(x.heard.p, "begin x=1. denied:unauthorized ");
	token_changes_release();
	stop(&x);
	stop(&other);
}
END_TEST

START_TEST(the_end_of_its_token_alone_ends_it)
{
	struct ear x, by_role;
	struct watch_spec spec = spec_of(X, NULL);

	start(&x, X, NULL);
	spec.who = (struct watch_who){ .role = ROLE_ROOT, .name = "system" };
	ck_assert_int_eq(try_start(&by_role, &spec), OK);
	TURN_UNTIL(heard(&x, "alive"));
	end_token("reader");
	TURN_UNTIL(x.is_over);
	ck_assert(heard(&x, "denied:unauthorized"));
	ck_assert(!by_role.is_over);
	stop(&x);
	stop(&by_role);
}
END_TEST

/* A request of the same turn took a picture in which it is there. */
START_TEST(the_end_of_its_token_ends_it_in_a_turn_with_an_older_picture)
{
	struct kv_txn *txn;
	struct err err;
	struct ear x;

	start(&x, X, NULL);
	TURN_UNTIL(heard(&x, "alive"));
	ck_assert_int_eq(view_use(at.view, 0, &txn, &err), OK);
	end_token("reader");
	watching_wake(at.watching);
	TURN_UNTIL(x.is_over);
	ck_assert(heard(&x, "denied:unauthorized"));
	stop(&x);
}
END_TEST

/* A token of the same key is made anew, as certificates have it: the watch is his who
 * began it. */
START_TEST(whose_token_has_become_anothers_does_not_go_on)
{
	struct watch_spec spec;
	struct ear x, other;

	put_subject("ann", "acme", 0);
	spec = spec_of(X, NULL);
	spec.who.role = ROLE_NAMED;
	str_copy(spec.who.name, sizeof(spec.who.name), STR("ann"));
	str_copy(spec.who.tenant, sizeof(spec.who.tenant), STR("acme"));
	ck_assert_int_eq(try_start(&x, &spec), OK);
	publish("x");
	TURN_UNTIL(heard(&x, "x=1"));
	end_token("ann");
	put_subject("ann", "acme", 0);
	publish("x");
	TURN_UNTIL(heard(&x, "x=2"));
	end_token("ann");
	put_subject("ann", "bank", 0);
	TURN_UNTIL(x.is_over);
	ck_assert(heard(&x, "denied:unauthorized"));
	stop(&x);
	/* Nor does one begin in his name. */
	ck_assert_int_eq(try_start(&other, &spec), E_UNAUTHORIZED);
	stop(&other);
	end_token("ann");
	put_subject("ann", "acme", 0);
	ck_assert_int_eq(try_start(&other, &spec), OK);
	end_token("ann");
	put_subject_as("ann", "bob", "acme", 0);
	TURN_UNTIL(other.is_over);
	ck_assert(heard(&other, "denied:unauthorized"));
	stop(&other);
}
END_TEST

START_TEST(who_may_not_does_not_begin)
{
	struct watch_spec spec = spec_of(X, NULL);
	struct ear x;

	spec.who.token = sha256_of(STR("cfx_no"));
	ck_assert_int_eq(try_start(&x, &spec), E_UNAUTHORIZED);
	stop(&x);
	spec.who = (struct watch_who){ .role = ROLE_SOURCE, .name = "source:a/b" };
	ck_assert_int_eq(try_start(&x, &spec), E_DENIED);
	ck_assert_str_eq(x.heard.p, "");
	stop(&x);
}
END_TEST

START_TEST(what_it_knows_already_is_waited_for)
{
	struct watch_spec spec = spec_of(X, NULL);
	uint64_t now = store_rev(api.config.store);
	struct ear soon, never;

	spec.has_since = true;
	spec.since = now + 3;
	ck_assert_int_eq(try_start(&soon, &spec), OK);
	spec.since = now + 1000;
	ck_assert_int_eq(try_start(&never, &spec), OK);
	/* Three revisions: the object, its version, a Release. */
	publish("x");
	TURN_UNTIL(heard(&soon, "begin"));
	publish("x");
	TURN_UNTIL(heard(&soon, "x=2"));
	ck_assert(!heard(&soon, "x=1"));
	TURN_UNTIL(never.is_over);
	ck_assert_str_eq(never.heard.p, "early:timeout ");
	stop(&soon);
	stop(&never);
}
END_TEST

START_TEST(what_came_behind_since_is_told)
{
	struct watch_spec spec = spec_of(X, NULL);
	struct ear x;

	spec.has_since = true;
	spec.since = store_rev(api.config.store);
	for (unsigned i = 0; i < 3; i++)
		publish("x");
	ck_assert_int_eq(try_start(&x, &spec), OK);
	TURN_UNTIL(heard(&x, "x=3"));
	ck_assert_str_eq(x.heard.p, "begin x=1. x=2. x=3. ");
	stop(&x);
}
END_TEST

START_TEST(who_has_enough_goes_on_when_it_says_so)
{
	struct ear x, all;

	start(&x, X, NULL);
	start(&all, X, NULL);
	x.enough = 2;
	for (unsigned i = 0; i < 4; i++)
		publish("x");
	TURN_UNTIL(heard(&all, "x=4"));
	ck_assert_str_eq(x.heard.p, "begin x=1. x=2. ");
	x.enough = UINT_MAX;
	watcher_resume(&x.watcher);
	TURN_UNTIL(heard(&x, "x=4"));
	ck_assert_str_eq(x.heard.p, "begin x=1. x=2. x=3. x=4. ");
	stop(&x);
	stop(&all);
}
END_TEST

START_TEST(it_may_stop_while_it_is_told)
{
	struct ear x, all;
	struct watch_stats stats;

	start(&x, X, NULL);
	start(&all, X, NULL);
	x.stops = true;
	publish("x");
	publish("x");
	TURN_UNTIL(heard(&all, "x=2"));
	ck_assert_str_eq(x.heard.p, "begin x=1. ");
	watching_stats(at.watching, &stats);
	ck_assert_uint_eq(stats.now, 1);
	ck_assert_uint_eq(stats.told, 3);
	stop(&x);
	stop(&all);
}
END_TEST

START_TEST(a_node_that_stops_ends_them_and_begins_none)
{
	struct watch_spec spec = spec_of(X, NULL);
	struct ear x, early, late;

	start(&x, X, NULL);
	spec.has_since = true;
	spec.since = 1000;
	ck_assert_int_eq(try_start(&early, &spec), OK);
	watching_drain(at.watching);
	ck_assert_str_eq(x.heard.p, "begin draining:unavailable ");
	ck_assert_str_eq(early.heard.p, "draining:unavailable ");
	spec = spec_of(X, NULL);
	ck_assert_int_eq(try_start(&late, &spec), E_UNAVAILABLE);
	stop(&x);
	stop(&early);
	stop(&late);
}
END_TEST

/* Many are not ended in one turn, and nobody is told anything else meanwhile. */
START_TEST(thousands_are_ended_one_after_the_other)
{
	static struct ear ears[30000];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(ears); i++)
		start(&ears[i], X, NULL);
	publish("x");
	watching_drain(at.watching);
	TURN_UNTIL(ears[ARRAY_LEN(ears) - 1].is_over);
	for (size_t i = 0; i < ARRAY_LEN(ears); i++) {
		n += ears[i].is_over;
		ck_assert_str_eq(ears[i].heard.p, "begin draining:unavailable ");
		stop(&ears[i]);
	}
	ck_assert_uint_eq(n, ARRAY_LEN(ears));
}
END_TEST

/* However its watches end, there is room for others then. */
START_TEST(a_subject_has_so_many_and_no_more)
{
	struct watch_spec spec = spec_of(X, NULL), other;
	struct ear x, y, more, others;

	crowd_free(&api.watches);
	api.watches = crowd_new(2);
	other = spec;
	other.who = (struct watch_who){ .role = ROLE_ROOT, .name = "local:root" };
	start(&x, X, NULL);
	start(&y, X, NULL);
	ck_assert_int_eq(try_start(&more, &spec), E_RATE);
	stop(&more);
	/* What could not begin for another reason is not counted. */
	spec.has_since = true;
	spec.since = store_rev(api.config.store);
	stop(&x);
	spec.who.token = sha256_of(STR("cfx_no"));
	ck_assert_int_eq(try_start(&more, &spec), E_UNAUTHORIZED);
	stop(&more);
	start(&x, X, NULL);
	ck_assert_int_eq(try_start(&others, &other), OK);
	watching_drain(at.watching);
	ck_assert_uint_eq(crowd_count(api.watches), 0);
	stop(&x);
	stop(&y);
	stop(&others);
}
END_TEST

/* What a token may is looked up once for all, and its subject is one. */
START_TEST(tokens_that_want_one_place_are_told_apart)
{
	struct watch_owners *owners = watch_owners_new();
	struct watch_who who = { .has_token = true, .name = "token:a" };
	struct watch_owner *a, *again, *b, *a2;

	a = watch_owner_get(owners, &who);
	again = watch_owner_get(owners, &who);
	ck_assert_ptr_eq(a, again);
	/* Of the same place: the first bytes of a digest say which. */
	who.token.b[31] = 1;
	b = watch_owner_get(owners, &who);
	ck_assert_ptr_ne(a, b);
	who.token.b[31] = 0;
	a2 = watch_owner_get(owners, &who);
	ck_assert_ptr_ne(a2, b);
	ck_assert(sha256_eq(&a2->who.token, &a->who.token));
	watch_owner_put(owners, &a);
	ck_assert(sha256_eq(&again->who.token, &a2->who.token));
	watch_owner_put(owners, &again);
	watch_owner_put(owners, &b);
	/* It kept its place when the others went. */
	again = watch_owner_get(owners, &who);
	ck_assert_ptr_eq(a2, again);
	watch_owner_put(owners, &again);
	watch_owner_put(owners, &a2);
	watch_owners_free(&owners);
}
END_TEST

START_TEST(it_names_something_and_not_too_much)
{
	struct watch_spec spec = spec_of(NULL, NULL);
	struct ear x;
	struct err err;

	ck_assert_int_eq(try_start(&x, &spec), E_INVALID);
	stop(&x);
	for (unsigned i = 0; i < WATCH_KEYS_MAX; i++)
		ck_assert_int_eq(watch_spec_key(&spec, arena, STR(X), &err), OK);
	ck_assert_int_eq(watch_spec_key(&spec, arena, STR(X), &err), E_INVALID);
	ck_assert_int_eq(watch_spec_key(&spec, arena, STR("a/b"), &err), E_INVALID);
	ck_assert_int_eq(try_start(&x, &spec), OK);
	/* Named a thousand times it is told once. */
	publish("x");
	TURN_UNTIL(heard(&x, "x=1"));
	ck_assert_str_eq(x.heard.p, "begin x=1. ");
	stop(&x);
	ck_assert_int_eq(watch_spec_prefix(&spec, arena, STR(""), &err), OK);
	ck_assert_int_eq(try_start(&x, &spec), E_INVALID);
	stop(&x);
}
END_TEST

/* Ends of tokens: what is between fits before the first, and between both. */
#define SOON_MS 1500
#define LATER_MS 6000

/* Nothing but the end of a token wakes the loop then. */
static void beat_rarely(void)
{
	watching_free(&at.watching);
	api.config.heartbeat_ms = 60000;
	at.watching = watching_new(&at);
}

START_TEST(it_ends_with_its_token_also_where_nothing_happens)
{
	uint64_t until;
	struct ear x, forever;

	beat_rarely();
	start(&forever, X, NULL);
	until = clock_wall_ms() + SOON_MS;
	put_subject("ann", "acme", SOON_MS);
	start(&x, X, NULL);
	TURN_UNTIL(x.is_over);
	ck_assert(heard(&x, "denied:unauthorized"));
	ck_assert_uint_ge(clock_wall_ms(), until);
	ck_assert(!forever.is_over);
	buf_fini(&x.heard);
	/* Nor does another begin. */
	ck_assert_int_eq(try_start(&x, &(struct watch_spec){
		.prefixes = &(struct str){ "acme/", 5 }, .n_prefixes = 1,
		.who = { .has_token = true, .token = token } }), E_UNAUTHORIZED);
	buf_fini(&x.heard);
	stop(&forever);
}
END_TEST

/* The first that ends says when the next is looked at. */
START_TEST(each_ends_with_its_own_token)
{
	struct ear first, second, third;

	beat_rarely();
	put_subject("c", "acme", 0);
	start(&third, X, NULL);
	put_subject("b", "acme", LATER_MS);
	start(&second, X, NULL);
	put_subject("a", "acme", SOON_MS);
	start(&first, X, NULL);
	TURN_UNTIL(first.is_over);
	ck_assert(!second.is_over);
	TURN_UNTIL(second.is_over);
	ck_assert(!third.is_over);
	buf_fini(&first.heard);
	buf_fini(&second.heard);
	stop(&third);
}
END_TEST

/* The token stays, and so do watches by it, or by another certificate of that name. */
START_TEST(it_ends_with_the_certificate_that_it_came_by)
{
	struct watch_spec spec = spec_of(X, NULL);
	struct ear first, second, by_token;

	beat_rarely();
	start(&by_token, X, NULL);
	spec.who.until_ms = clock_wall_ms() + LATER_MS;
	ck_assert_int_eq(try_start(&second, &spec), OK);
	spec.who.until_ms = clock_wall_ms() + SOON_MS;
	ck_assert_int_eq(try_start(&first, &spec), OK);
	TURN_UNTIL(first.is_over);
	ck_assert_uint_ge(clock_wall_ms(), spec.who.until_ms);
	ck_assert_str_eq(first.heard.p, "begin denied:unauthorized ");
	ck_assert(!second.is_over);
	TURN_UNTIL(second.is_over);
	ck_assert(!by_token.is_over);
	buf_fini(&first.heard);
	buf_fini(&second.heard);
	/* Nor does one begin. */
	ck_assert_int_eq(try_start(&first, &spec), E_UNAUTHORIZED);
	buf_fini(&first.heard);
	stop(&by_token);
}
END_TEST

START_TEST(of_another_tenant_it_is_told_nothing)
{
	struct watch_spec spec;
	struct ear own, all, other;

	put_subject("ann", "bank", 0);
	spec = spec_of(X, NULL);
	ck_assert_int_eq(try_start(&own, &spec), E_DENIED);
	buf_fini(&own.heard);
	start(&all, NULL, "");
	spec = spec_of(NULL, "acme/");
	ck_assert_int_eq(try_start(&other, &spec), OK);
	publish("x");
	TURN_UNTIL(heard(&all, "bookmark") && heard(&other, "bookmark"));
	ck_assert(!heard(&all, "x="));
	ck_assert(!heard(&other, "x="));
	stop(&all);
	stop(&other);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/watcher");
	TCase *t = tcase_create("watcher");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, lab_teardown);
	tcase_add_test(t, it_begins_at_once_and_is_told_of_its_own);
	tcase_add_test(t, who_is_quiet_hears_from_where_to_go_on);
	tcase_add_test(t, a_change_behind_the_end_of_its_token_is_not_told);
	tcase_add_test(t, a_change_in_the_picture_of_its_tokens_end_is_not_told);
	tcase_add_test(t, the_end_of_its_token_alone_ends_it);
	tcase_add_test(t, the_end_of_its_token_ends_it_in_a_turn_with_an_older_picture);
	tcase_add_test(t, whose_token_has_become_anothers_does_not_go_on);
	tcase_add_test(t, who_may_not_does_not_begin);
	tcase_add_test(t, what_it_knows_already_is_waited_for);
	tcase_add_test(t, what_came_behind_since_is_told);
	tcase_add_test(t, who_has_enough_goes_on_when_it_says_so);
	tcase_add_test(t, it_may_stop_while_it_is_told);
	tcase_add_test(t, a_node_that_stops_ends_them_and_begins_none);
	tcase_add_test(t, thousands_are_ended_one_after_the_other);
	tcase_add_test(t, a_subject_has_so_many_and_no_more);
	tcase_add_test(t, tokens_that_want_one_place_are_told_apart);
	tcase_add_test(t, it_names_something_and_not_too_much);
	tcase_add_test(t, it_ends_with_its_token_also_where_nothing_happens);
	tcase_add_test(t, each_ends_with_its_own_token);
	tcase_add_test(t, it_ends_with_the_certificate_that_it_came_by);
	tcase_add_test(t, of_another_tenant_it_is_told_nothing);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
