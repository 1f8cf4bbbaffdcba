/* Commands of the log in words: what they say, and what they must not say. */
#include "unit.h"

#include "doc/format.h"
#include "state/command.h"
#include "state/words.h"

#include "base/banned.h"

#define CANARY "the-canary-sings"

static struct arena *arena;
static struct words_reader *reader;
static struct words words;
static struct buf bytes;
static struct err err;

static void setup(void)
{
	arena = arena_new(0);
	reader = words_new();
	ck_assert_msg(kinds_load(&err) == OK, "%s", err.text);
}

static void teardown(void)
{
	words_fini(&words);
	words_free(&reader);
	buf_fini(&bytes);
	arena_free(&arena);
}

/* The members are an object, none twice, and the text is one line. */
static void is_sound(void)
{
	AUTO_BUF json = BUF_NONE;
	struct value *v;

	buf_printf(&json, "{%.*s}", STR_ARG(buf_view(&words.json)));
	ck_assert_msg(doc_parse_json(buf_view(&json), arena, NULL, &v, &err) == OK,
		      "%s: %s", json.p, err.text);
	ck_assert(str_is_utf8(buf_view(&words.text)));
	for (size_t i = 0; i < words.text.n; i++)
		ck_assert_int_ge((unsigned char)words.text.p[i], ' ');
}

static enum code read_command(const struct command *c)
{
	buf_reset(&bytes);
	command_encode(&bytes, c);
	words_reset(&words);
	return words_command(reader, buf_view(&bytes), &words, &err);
}

static const char *command_says(const struct command *c)
{
	ck_assert_msg(read_command(c) == OK, "%s", err.text);
	is_sound();
	return words.text.p;
}

static const char *next_says(void)
{
	words_reset(&words);
	ck_assert_msg(words_operation(reader, &words, &err) == OK, "%s", err.text);
	is_sound();
	return words.text.p;
}

static void no_more(void)
{
	ck_assert_int_eq(words_operation(reader, &words, &err), E_NOT_FOUND);
}

static struct command by_ann(void)
{
	return (struct command){ .type = COMMAND_OPS,
				 .time_ms = 1700000000123,
				 .subject = { .name = STR("token:ann"), .role = ROLE_ROOT },
				 .origin = STR("127.0.0.1:5") };
}

static struct op *add(struct command *c, enum op_type type)
{
	struct op *op = command_op(arena, c, type);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR("shop.prod.db");
	return op;
}

START_TEST(who_and_when_and_why)
{
	struct command c = by_ann();
	struct precondition *pre = command_pre(arena, &c);
	struct content_part *part = command_content(arena, &c);

	*pre = (struct precondition){ KIND_CONFIG, STR("acme"), STR("x"), 5 };
	*part = (struct content_part){ STR("acme"), { { 0 } }, STR("four") };
	c.reason = STR("more");
	c.commit = STR("0123");
	c.flags = COMMAND_TAKE_OVER;
	ck_assert_str_eq(command_says(&c), "2023-11-14T22:13:20.123Z, by token:ann "
			 "(root) from 127.0.0.1:5, takes over, commit 0123, "
			 "because: more, relies on confluxconfigs acme/x at "
			 "revision 5, brings 1 content of 4 bytes");
	no_more();
	c = by_ann();
	c.origin = STR("git https://ann:" CANARY "@example.org/shop.git?a=b@c");
	ck_assert_ptr_nonnull(strstr(command_says(&c),
				     "git https://example.org/shop.git?a=b@c"));
	ck_assert_ptr_null(strstr(words.json.p, CANARY));
}
END_TEST

static void put(struct command *c)
{
	struct op *op = add(c, OP_OBJECT_PUT);

	op->expect = REV_NONE;
	op->application = STR("shop");
	op->environment = STR("prod");
	op->config_name = STR("db.yaml");
	op->format = STR("yaml");
	op->manager = MANAGER_GIT;
	op->manager_ref = STR("acme/shop");
	op->spec = op->meta = op->labels = STR("{\"" CANARY "\":1}");
	op = add(c, OP_OBJECT_PUT);
	op->kind = KIND_TENANT;
	op->tenant = STR_NONE;
	op->only_create = true;
	op = add(c, OP_OBJECT_PUT);
	op->expect = 7;
	op->kind = KIND_SOURCE;
}

START_TEST(keys_of_webhooks)
{
	struct command c = by_ann();
	struct op *op = add(&c, OP_HOOK_KEY);

	op->kind = KIND_WEBHOOK;
	op->bytes = STR(CANARY CANARY);
	op = add(&c, OP_OUTBOX);
	op->kind = KIND_WEBHOOK;
	op->outbox = OUTBOX_DEAD;
	op->count = 7;
	op->message = STR("HTTP 500");
	ck_assert_ptr_null(strstr(command_says(&c), CANARY));
	ck_assert_str_eq(next_says(), "new key of webhooks acme/shop.prod.db");
	ck_assert_ptr_null(strstr(words.json.p, CANARY));
	ck_assert_str_eq(next_says(), "outcome of a delivery to webhooks "
			 "acme/shop.prod.db, number 7, because: HTTP 500");
	no_more();
}
END_TEST

START_TEST(objects)
{
	struct command c = by_ann();

	put(&c);
	add(&c, OP_OBJECT_STATUS)->status = STR("{\"" CANARY "\":1}");
	add(&c, OP_OBJECT_DELETE)->expect = 9;
	ck_assert_ptr_null(strstr(command_says(&c), CANARY));
	ck_assert_str_eq(next_says(), "create confluxconfigs acme/shop.prod.db at "
			 "acme/shop/prod/db.yaml, yaml, managed by git acme/shop");
	ck_assert_ptr_null(strstr(words.json.p, CANARY));
	ck_assert_ptr_nonnull(strstr(words.json.p, "\"verb\":\"create\""));
	ck_assert_str_eq(next_says(), "create where it is missing tenants "
			 "shop.prod.db, managed by api");
	ck_assert_str_eq(next_says(), "write confluxsources acme/shop.prod.db, "
			 "managed by api, if it is at revision 7");
	ck_assert_str_eq(next_says(), "set the status of confluxconfigs "
			 "acme/shop.prod.db, 22 bytes");
	ck_assert_ptr_null(strstr(words.json.p, CANARY));
	ck_assert_str_eq(next_says(), "delete confluxconfigs acme/shop.prod.db, if "
			 "it is at revision 9");
	no_more();
}
END_TEST

START_TEST(versions_rules_and_the_way_back)
{
	struct command c = by_ann();
	struct op *op = add(&c, OP_VERSION_ADD);
	struct rule *rule;

	op->size = 4711;
	op->release = op->lift_hold = true;
	op->message = STR("faster");
	op->author = STR("Ann <ann@example.org>");
	op = add(&c, OP_RULES_SET);
	rule = rules_add(arena, &op->rules);
	labels_set(arena, &rule->labels, STR("zone"), STR("eu"));
	rule->version = 3;
	rule->priority = -1;
	rules_add(arena, &op->rules);
	op = add(&c, OP_ROLLBACK);
	op->mode = ROLLBACK_EMERGENCY;
	op->version = 2;
	op->hold = true;
	add(&c, OP_ROLLBACK)->mode = ROLLBACK_STABLE_ONLY;
	command_says(&c);
	ck_assert_str_eq(next_says(), "publish confluxconfigs acme/shop.prod.db: "
			 "4711 bytes, live at once, lifts a hold, by Ann "
			 "<ann@example.org>, because: faster");
	ck_assert_str_eq(next_says(), "set rules of confluxconfigs "
			 "acme/shop.prod.db: zone=eu gets version 3 (priority -1); "
			 "all get the new version");
	ck_assert_str_eq(next_says(), "roll back confluxconfigs acme/shop.prod.db to "
			 "version 2, rules with labels too, and hold it");
	ck_assert_str_eq(next_says(), "roll back confluxconfigs acme/shop.prod.db to "
			 "the version before");
	no_more();
}
END_TEST

START_TEST(tokens_and_denials)
{
	struct command c = by_ann();
	struct op *op = add(&c, OP_TOKEN_PUT);

	op->name = STR("bob");
	op->role = ROLE_READ_ONLY;
	memset(op->sha.b, 0xab, sizeof(op->sha.b));
	add(&c, OP_TOKEN_DELETE)->name = STR("eve");
	op = add(&c, OP_CERTIFICATE_PUT);
	op->name = STR("web");
	op->role = ROLE_ROOT;
	op->certificate = STR("CN=web");
	op = add(&c, OP_MEMBERS);
	op->stage = MEMBER_ASKED;
	op->member = MEMBER_ADD;
	op->node = 4;
	op->name = STR("10.0.0.4:9001");
	op->force = true;
	op = add(&c, OP_MEMBERS);
	op->stage = MEMBER_ENDED;
	op->member = MEMBER_REMOVE;
	op->node = 4;
	op->name = STR_NONE;
	op->message = STR("conflict: it leads");
	op = add(&c, OP_MEMBERS);
	op->stage = MEMBER_NOTED;
	op->member = MEMBER_INITIALIZE;
	op->name = STR_NONE;
	op->is_done = true;
	op->message = STR(", asked for at node 1");
	op = add(&c, OP_DENIED);
	op->name = STR("token:x");
	op->message = STR("no such token");
	op->size = 9;
	command_says(&c);
	ck_assert_str_eq(next_says(), "make token bob, read-only");
	ck_assert_ptr_null(strstr(words.json.p, "abab"));
	ck_assert_str_eq(next_says(), "delete token eve");
	ck_assert_str_eq(next_says(), "make token web, root, for the certificate "
			 "CN=web");
	ck_assert_str_eq(next_says(), "record member-add of node 4 at "
			 "10.0.0.4:9001, by force: asked");
	ck_assert_str_eq(next_says(), "record member-remove of node 4: ended, "
			 "refused, conflict: it leads");
	ck_assert_str_eq(next_says(), "record cluster-initialize: noted, done, "
			 "asked for at node 1");
	ck_assert_str_eq(next_says(), "record 9 denied requests of token:x: no such "
				      "token");
	no_more();
}
END_TEST

START_TEST(the_other_commands)
{
	struct command c = { .type = COMMAND_BLOB, .time_ms = 1700000000123,
			     .tenant = STR("acme"), .bytes = STR(CANARY),
			     .total = 100, .offset = 20 };

	memset(c.sha.b, 0xab, sizeof(c.sha.b));
	ck_assert_str_eq(command_says(&c), "2023-11-14T22:13:20.123Z, content for "
					   "acme: 16 bytes at 20 of 100");
	ck_assert_ptr_null(strstr(words.json.p, CANARY));
	ck_assert_ptr_null(strstr(words.json.p, "abab"));
	c = (struct command){ .type = COMMAND_TICK, .time_ms = UINT64_MAX };
	ck_assert_str_eq(command_says(&c), "18446744073709551615, time goes on");
	c = (struct command){ .type = COMMAND_LIMITS };
	c.limits.audit_max = 5;
	ck_assert_str_eq(command_says(&c), "1970-01-01T00:00:00.000Z, what is kept: "
					   "audit_max=5");
	c = (struct command){ .type = COMMAND_VERSION, .version = 2 };
	ck_assert_ptr_nonnull(strstr(command_says(&c), "the cluster has version 2"));
	c = (struct command){ .type = COMMAND_RESTORED, .from = RESTORED_BACKUP,
			      .origin = STR("file x"), .reason = STR("lost") };
	ck_assert_ptr_nonnull(strstr(command_says(&c), "restored from a backup by "
						       "file x: lost"));
	no_more();
}
END_TEST

/* ---- staged ---- */

static struct command stage(struct str whole, uint32_t part, size_t size)
{
	struct command c = { .type = COMMAND_STAGE, .part = part };

	memset(c.transaction.b, 0x11, sizeof(c.transaction.b));
	c.bytes = str_first(str_from(whole, part * size), size);
	return c;
}

START_TEST(a_staged_command_is_put_together)
{
	static const uint32_t orders[][3] = { { 0, 1, 2 }, { 2, 0, 1 } };
	struct command c = by_ann(), end = { .type = COMMAND_STAGED, .part = 3 };
	AUTO_BUF whole = BUF_NONE;
	size_t size;

	put(&c);
	command_encode(&whole, &c);
	size = whole.n / 3 + 1;
	end.sha = sha256_of(buf_view(&whole));
	memset(end.transaction.b, 0x11, sizeof(end.transaction.b));
	for (unsigned i = 0; i < 3; i++) {
		struct command part = stage(buf_view(&whole), orders[_i][i], size);

		ck_assert_ptr_nonnull(strstr(command_says(&part), "of staged command "
				"11111111-1111-1111-1111-111111111111"));
		ck_assert_ptr_null(strstr(words.json.p, CANARY));
		no_more();
	}
	ck_assert_ptr_nonnull(strstr(command_says(&end), "by token:ann (root)"));
	ck_assert_ptr_nonnull(strstr(words.json.p, "\"staged\":{\"command\":"
						   "\"operations\""));
	ck_assert_ptr_nonnull(strstr(next_says(), "create confluxconfigs"));
	next_says();
	next_says();
	no_more();
	/* Its parts are not kept. */
	ck_assert_ptr_nonnull(strstr(command_says(&end), "not all of its parts"));
	no_more();
}
END_TEST

START_TEST(parts_that_never_end_are_let_go_of)
{
	AUTO_BUF big = BUF_NONE;
	struct command part, end = { .type = COMMAND_STAGED, .part = 1 };

	memset(buf_extend(&big, 9 << 20), 'x', 9 << 20);
	for (unsigned i = 0; i < 8; i++) {
		part = stage(buf_view(&big), 0, big.n);
		part.transaction.b[0] = (uint8_t)i;
		command_says(&part);
	}
	end.sha = sha256_of(buf_view(&big));
	end.transaction = part.transaction;
	end.transaction.b[0] = 0;
	ck_assert_ptr_nonnull(strstr(command_says(&end), "not all of its parts"));
	/* The last one was kept, and is no command. */
	end.transaction.b[0] = 7;
	ck_assert_int_eq(read_command(&end), E_UNSUPPORTED);
	/* Parts with huge numbers, each of its own. */
	for (unsigned i = 0; i < 100; i++) {
		part = stage(STR("x"), 0, 1);
		part.part = 65535;
		memcpy(part.transaction.b, &i, sizeof(i));
		command_says(&part);
	}
	part.part = UINT32_MAX;
	command_says(&part);
}
END_TEST

/* ---- from whoever had the disk in his hands ---- */

START_TEST(nothing_that_a_terminal_obeys)
{
	struct command c = by_ann();
	struct op *op = add(&c, OP_DENIED);

	op->name = STR("\x1b[2J\xc2\x9b" "31m\x7f\xff\xe2\x80\xae\xc3\xa4");
	op->message = STR("a\nb");
	command_says(&c);
	ck_assert_str_eq(next_says(), "record 0 denied requests of \\x1b[2J\\xc2\\x9b"
			 "31m\\x7f\\xff\\xe2\\x80\\xae\xc3\xa4: a\\x0ab");
}
END_TEST

START_TEST(what_is_malformed_is_told)
{
	struct command c = by_ann();

	put(&c);
	command_encode(&bytes, &c);
	for (size_t n = 0; n < bytes.n; n++) {
		enum code rc;

		words_reset(&words);
		rc = words_command(reader, str_first(buf_view(&bytes), n), &words,
				   &err);
		while (rc == OK)
			rc = words_operation(reader, &words, &err);
		ck_assert_int_eq(rc, E_INVALID);
		no_more();
	}
	bytes.p[0] = 9;
	ck_assert_int_eq(words_command(reader, buf_view(&bytes), &words, &err),
			 E_UNSUPPORTED);
	no_more();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/words");
	TCase *t = tcase_create("words");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, who_and_when_and_why);
	tcase_add_test(t, keys_of_webhooks);
	tcase_add_test(t, objects);
	tcase_add_test(t, versions_rules_and_the_way_back);
	tcase_add_test(t, tokens_and_denials);
	tcase_add_test(t, the_other_commands);
	tcase_add_loop_test(t, a_staged_command_is_put_together, 0, 2);
	tcase_add_test(t, parts_that_never_end_are_let_go_of);
	tcase_add_test(t, nothing_that_a_terminal_obeys);
	tcase_add_test(t, what_is_malformed_is_told);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
