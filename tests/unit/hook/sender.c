/* Delivery: a real store, and receivers that answer as they are told. */
#include "unit.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "doc/format.h"
#include "hook/sender.h"
#include "hook/sign.h"
#include "state/outbox.h"

#include "base/banned.h"

#define RECEIVERS 3
#define KEPT 64

struct receiver {
	int fd;
	unsigned port;
	pthread_t thread;
	pthread_mutex_t lock;
	/* What it answers: a status; 0: nothing, ever. */
	unsigned status;
	unsigned n;                      /* requests so far */
	char body[KEPT][2048], id[KEPT][64];
	bool is_signed[KEPT];
};

static char dir[64], data_dir[80];
static struct store *store;
static struct http_out *out;
static struct sender *sender;
static struct receiver rx[RECEIVERS];
static struct hook_key_row key;
static struct arena *arena;
static struct err err;

/* ---- receivers ---- */

static struct str header_of(struct str head, const char *name)
{
	while (head.n) {
		struct str line = str_trim(str_cut(&head, '\n'));
		struct str n = str_cut(&line, ':');

		if (str_eq(n, str_of(name)))
			return str_trim(line);
	}
	return STR_NONE;
}

static void keep(struct receiver *r, struct str head, struct str body)
{
	unsigned at = r->n % KEPT;
	struct hook_signed what = { .id = header_of(head, HOOK_ID_HEADER),
				    .timestamp = header_of(head, HOOK_TIME_HEADER),
				    .body = body };

	str_copy(r->body[at], sizeof(r->body[at]), body);
	str_copy(r->id[at], sizeof(r->id[at]), what.id);
	r->is_signed[at] = hook_is_signed(header_of(head, HOOK_SIGNATURE_HEADER),
					  &key, 0, &what);
	r->n++;
}

/* One request of it; the status to answer with, or -1. */
static int take(struct receiver *r, int fd)
{
	AUTO_BUF in = BUF_NONE;
	uint64_t length = 0;
	size_t at;
	int status;

	for (;;) {
		char some[4096];
		ssize_t n;

		at = str_find_str(buf_view(&in), STR("\r\n\r\n"));
		if (at != SIZE_MAX) {
			struct str head = str_first(buf_view(&in), at);

			if (str_u64(header_of(head, "Content-Length"), &length) &&
			    in.n >= at + 4 + length)
				break;
		}
		n = read(fd, some, sizeof(some));
		if (n <= 0)
			return -1;
		buf_add(&in, some, (size_t)n);
	}
	pthread_mutex_lock(&r->lock);
	keep(r, str_first(buf_view(&in), at), str_from(buf_view(&in), at + 4));
	status = (int)r->status;
	pthread_mutex_unlock(&r->lock);
	return status;
}

static void *serve_one(void *data)
{
	struct receiver *r = ((void **)data)[0];
	int fd = (int)(intptr_t)((void **)data)[1], status;
	char some[64];

	free(data);
	while ((status = take(r, fd)) > 0) {
		AUTO_BUF text = BUF_NONE;

		buf_printf(&text, "HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n",
			   status);
		if (send(fd, text.p, text.n, MSG_NOSIGNAL) <= 0)
			break;
	}
	while (status == 0 && read(fd, some, sizeof(some)) > 0)
		;
	close(fd);
	return NULL;
}

static void *serve(void *data)
{
	struct receiver *r = data;
	int fd;

	while ((fd = accept(r->fd, NULL, NULL)) >= 0) {
		void **both = mem_alloc(2 * sizeof(void *));
		pthread_t t;

		both[0] = r;
		both[1] = (void *)(intptr_t)fd;
		must(pthread_create(&t, NULL, serve_one, both) == 0);
		pthread_detach(t);
	}
	return NULL;
}

static void receiver_start(struct receiver *r)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);

	memset(r, 0, sizeof(*r));
	r->status = 200;
	pthread_mutex_init(&r->lock, NULL);
	r->fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(r->fd, (void *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(r->fd, 64), 0);
	ck_assert_int_eq(getsockname(r->fd, (void *)&at, &n), 0);
	r->port = ntohs(at.sin_port);
	ck_assert_int_eq(pthread_create(&r->thread, NULL, serve, r), 0);
}

static void receiver_stop(struct receiver *r)
{
	shutdown(r->fd, SHUT_RDWR);
	pthread_join(r->thread, NULL);
	close(r->fd);
}

static unsigned got(struct receiver *r)
{
	unsigned n;

	pthread_mutex_lock(&r->lock);
	n = r->n;
	pthread_mutex_unlock(&r->lock);
	return n;
}

static void answers(struct receiver *r, unsigned status)
{
	pthread_mutex_lock(&r->lock);
	r->status = status;
	pthread_mutex_unlock(&r->lock);
}

/* ---- the node ---- */

static void start(uint64_t give_up_ms)
{
	struct store_config c = { .dir = data_dir, .map_bytes = 64 << 20 };
	struct http_out_config o = { .allow_private = true };
	struct sender_config s = { .retry_most_ms = 1000,
				   .give_up_ms = give_up_ms };

	ck_assert_msg(store_open(&c, &store, &err) == OK, "%s", err.text);
	ck_assert_int_eq(http_out_new(&o, &out, &err), OK);
	s.store = store;
	s.out = out;
	ck_assert_int_eq(sender_new(&s, &sender, &err), OK);
}

static void stop(void)
{
	if (!store)
		return;
	sender_stop(sender);
	http_out_stop(out);
	store_close(&store);
	sender_free(&sender);
	http_out_free(&out);
}

#define WAIT(cond)                                                            \
	do {                                                                  \
		const struct timespec t_ = { .tv_nsec = 5000000 };            \
		uint64_t until_ = clock_mono_ms() + 30000;                    \
		while (!(cond)) {                                             \
			ck_assert_msg(clock_mono_ms() < until_,               \
				      "in vain: " #cond);                     \
			nanosleep(&t_, NULL);                                 \
		}                                                             \
	} while (0)

static void submit(struct command *c)
{
	AUTO_BUF bytes = BUF_NONE;
	struct outcome o;

	c->type = COMMAND_OPS;
	c->time_ms = clock_wall_ms();
	c->subject = (struct subject){ .name = STR("token:root"),
				       .role = ROLE_ROOT };
	command_encode(&bytes, c);
	ck_assert_msg(store_submit_wait(store, buf_view(&bytes), arena, &o,
					&err) == OK, "%s", err.text);
	ck_assert_msg(o.code == OK, "%s", o.text);
}

static struct op *op_of(struct command *c, enum op_type type, enum kind_id kind,
			const char *tenant, const char *name)
{
	struct op *op = command_op(arena, c, type);

	op->kind = kind;
	op->tenant = str_of(tenant);
	op->name = str_of(name);
	op->uid = uuid_new();
	op->labels = op->meta = op->spec = STR("{}");
	return op;
}

static void put_hook(const char *name, const struct receiver *r, bool with_key)
{
	struct command c = { 0 };
	struct op *op = op_of(&c, OP_OBJECT_PUT, KIND_WEBHOOK, "acme", name);

	op->spec = arena_printf(arena, "{\"timeout\":\"60s\",\"url\":"
				"\"http://127.0.0.1:%u/\"}", r->port);
	if (with_key)
		op_of(&c, OP_HOOK_KEY, KIND_WEBHOOK, "acme", name)->bytes =
			str_n((char *)key.key, sizeof(key.key));
	submit(&c);
}

/* The one event that the state makes without other parts. */
static void note(unsigned n)
{
	static const struct str status[] = {
		STR("{}"),
		STR("{\"conditions\":[{\"reason\":\"Gone\",\"status\":\"False\","
		    "\"type\":\"Ready\"}]}"),
	};
	struct command c = { 0 };

	for (unsigned i = 0; i < 2 * n; i++)
		op_of(&c, OP_OBJECT_STATUS, KIND_SOURCE, "acme", "git")->status =
			status[i % 2];
	submit(&c);
}

static struct kv_txn *picture(struct view **v)
{
	struct kv_txn *txn;

	ck_assert_int_eq(view_new(store, v, &err), OK);
	ck_assert_int_eq(view_use(*v, 0, &txn, &err), OK);
	return txn;
}

static struct outbox_tally tally(const char *name)
{
	struct outbox_tally t;
	struct object_view o;
	struct view *v;
	struct kv_txn *txn = picture(&v);

	ck_assert_int_eq(view_object(txn, KIND_WEBHOOK, STR("acme"), str_of(name),
				     &o, &err), OK);
	view_outbox_tally(txn, o.row.uid, &t);
	view_free(&v);
	return t;
}

static struct str reason_of(const char *name)
{
	struct str reason = STR_NONE;
	struct object_view o;
	struct view *v;
	struct kv_txn *txn = picture(&v);

	ck_assert_int_eq(view_object(txn, KIND_WEBHOOK, STR("acme"), str_of(name),
				     &o, &err), OK);
	(void)!condition_ready(arena, o.row.status, &reason, NULL).n;
	view_free(&v);
	return reason;
}

static void setup(void)
{
	struct command c = { 0 };

	ck_assert_int_eq(kinds_load(&err), OK);
	arena = arena_new(0);
	snprintf(dir, sizeof(dir), "/tmp/conflux-hook-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(data_dir, sizeof(data_dir), "%s/data", dir);
	memset(key.key, 0x5a, sizeof(key.key));
	for (unsigned i = 0; i < RECEIVERS; i++)
		receiver_start(&rx[i]);
	start(60000);
	op_of(&c, OP_OBJECT_PUT, KIND_TENANT, "", "acme");
	submit(&c);
	c = (struct command){ 0 };
	op_of(&c, OP_OBJECT_PUT, KIND_SOURCE, "acme", "git");
	submit(&c);
}

static void teardown(void)
{
	pid_t pid;

	ck_assert_int_eq(failpoint_set("hook.sent=off", &err), OK);
	stop();
	for (unsigned i = 0; i < RECEIVERS; i++)
		receiver_stop(&rx[i]);
	arena_free(&arena);
	pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", dir, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

START_TEST(events_come_signed_and_in_order)
{
	struct value *v;
	char last[64] = "";

	put_hook("a", &rx[0], true);
	note(20);
	WAIT(got(&rx[0]) == 20 && tally("a").waiting == 0);
	for (unsigned i = 0; i < 20; i++) {
		ck_assert(rx[0].is_signed[i]);
		ck_assert_int_eq(doc_parse_json(str_of(rx[0].body[i]), arena, NULL,
						&v, &err), OK);
		ck_assert(str_eq(value_text_at(v, "id"), str_of(rx[0].id[i])));
		ck_assert_str_ne(rx[0].id[i], last);
		memcpy(last, rx[0].id[i], sizeof(last));
	}
	ck_assert(str_is(value_text_at(v, "specversion"), "1.0"));
	ck_assert(str_is(value_text_at(v, "type"), "io.conflux.source.failed"));
	ck_assert(str_is(value_text_at(v, "subject"), "confluxsources/git"));
	ck_assert(str_is(value_text_at(v, "data.event"), "SOURCE_FAILED"));
	ck_assert(str_is(value_text_at(v, "data.reason"), "Gone"));
	ck_assert(str_is(value_text_at(v, "data.tenant"), "acme"));
	ck_assert(str_starts(value_text_at(v, "source"), STR("/clusters/")));
	ck_assert(str_ends(value_text_at(v, "source"), STR("/tenants/acme")));
	ck_assert_uint_eq(tally("a").delivered, 20);
	ck_assert(str_is(reason_of("a"), "Delivered"));
}
END_TEST

START_TEST(one_is_not_held_up_by_another)
{
	answers(&rx[0], 0);
	answers(&rx[1], 500);
	put_hook("silent", &rx[0], true);
	put_hook("broken", &rx[1], true);
	put_hook("well", &rx[2], true);
	note(30);
	WAIT(got(&rx[2]) == 30);
	/* Those that fail are tried again with the same event. */
	WAIT(got(&rx[1]) >= 3 && got(&rx[0]) >= 1);
	ck_assert_str_eq(rx[1].id[0], rx[1].id[1]);
	ck_assert_str_eq(rx[1].id[0], rx[1].id[2]);
	ck_assert_uint_eq(tally("broken").waiting, 30);
	WAIT(str_is(reason_of("broken"), "DeliveryFailed"));
	answers(&rx[1], 204);
	WAIT(tally("broken").waiting == 0);
	WAIT(str_is(reason_of("broken"), "Delivered"));
}
END_TEST

START_TEST(without_a_key_events_wait)
{
	struct command c = { 0 };

	put_hook("a", &rx[0], false);
	note(1);
	WAIT(str_is(reason_of("a"), "NoKey"));
	ck_assert_uint_eq(got(&rx[0]), 0);
	op_of(&c, OP_HOOK_KEY, KIND_WEBHOOK, "acme", "a")->bytes =
		str_n((char *)key.key, sizeof(key.key));
	submit(&c);
	WAIT(got(&rx[0]) == 1 && tally("a").waiting == 0);
	ck_assert(rx[0].is_signed[0]);
}
END_TEST

START_TEST(what_is_gone_is_given_up_at_once)
{
	struct command c = { 0 };

	answers(&rx[0], 410);
	put_hook("a", &rx[0], true);
	note(1);
	WAIT(tally("a").dead == 1);
	ck_assert_uint_eq(got(&rx[0]), 1);
	/* Tried again by hand, and then it is taken. */
	answers(&rx[0], 200);
	op_of(&c, OP_OUTBOX, KIND_WEBHOOK, "acme", "a")->outbox = OUTBOX_AGAIN;
	c.ops[0].count = 1;
	submit(&c);
	WAIT(got(&rx[0]) == 2 && tally("a").dead + tally("a").waiting == 0);
	ck_assert_str_eq(rx[0].id[0], rx[0].id[1]);
}
END_TEST

START_TEST(what_waits_for_too_long_is_given_up)
{
	stop();
	start(1);
	answers(&rx[0], 503);
	put_hook("a", &rx[0], true);
	note(2);
	WAIT(tally("a").dead == 2);
	/* Each was tried. */
	ck_assert_uint_ge(got(&rx[0]), 2);
	ck_assert_uint_eq(tally("a").waiting, 0);
}
END_TEST

/* The answer is lost with the node: it is delivered again, under the same id. */
START_TEST(nothing_is_lost_between_delivery_and_record)
{
	put_hook("a", &rx[0], true);
	ck_assert_int_eq(failpoint_set("hook.sent=error", &err), OK);
	note(3);
	WAIT(got(&rx[0]) >= 1);
	stop();
	ck_assert_int_eq(failpoint_set("hook.sent=off", &err), OK);
	ck_assert_uint_ge(got(&rx[0]), 1);
	start(60000);
	WAIT(tally("a").waiting == 0);
	ck_assert_uint_ge(got(&rx[0]), 4);
	ck_assert_uint_eq(tally("a").delivered, 3);
	ck_assert_str_eq(rx[0].id[0], rx[0].id[1]);
}
END_TEST

/* A try that cannot even be made is one that failed: it is made again. */
START_TEST(what_could_not_be_sent_is_sent_again)
{
	put_hook("a", &rx[0], true);
	ck_assert_int_eq(failpoint_set("hook.send=error*2", &err), OK);
	note(2);
	WAIT(tally("a").waiting == 0);
	ck_assert_uint_ge(failpoint_passes(FP_HOOK_SEND), 4);
	ck_assert_int_eq(failpoint_set("hook.send=off", &err), OK);
	ck_assert_uint_eq(got(&rx[0]), 2);
	ck_assert_uint_eq(tally("a").delivered, 2);
}
END_TEST

/* It changes no more, and says so all the same. */
START_TEST(a_status_that_could_not_be_written_is_written_again)
{
	ck_assert_int_eq(failpoint_set("hook.write=error*1", &err), OK);
	put_hook("a", &rx[0], false);
	note(1);
	WAIT(str_is(reason_of("a"), "NoKey"));
	ck_assert_uint_ge(failpoint_passes(FP_HOOK_WRITE), 2);
	ck_assert_int_eq(failpoint_set("hook.write=off", &err), OK);
}
END_TEST

START_TEST(a_webhook_that_is_deleted_or_rests_is_told_nothing)
{
	struct command c = { 0 };
	unsigned n;

	answers(&rx[0], 500);
	put_hook("a", &rx[0], true);
	note(2);
	WAIT(got(&rx[0]) >= 1);
	op_of(&c, OP_OBJECT_DELETE, KIND_WEBHOOK, "acme", "a");
	submit(&c);
	/* At most the one that was on its way; what follows is told to another. */
	n = got(&rx[0]);
	put_hook("b", &rx[1], true);
	note(3);
	WAIT(got(&rx[1]) == 3);
	ck_assert_uint_le(got(&rx[0]), n + 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hook/sender");
	TCase *t = tcase_create("sender");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, events_come_signed_and_in_order);
	tcase_add_test(t, one_is_not_held_up_by_another);
	tcase_add_test(t, without_a_key_events_wait);
	tcase_add_test(t, what_is_gone_is_given_up_at_once);
	tcase_add_test(t, what_waits_for_too_long_is_given_up);
	tcase_add_test(t, nothing_is_lost_between_delivery_and_record);
	tcase_add_test(t, what_could_not_be_sent_is_sent_again);
	tcase_add_test(t, a_status_that_could_not_be_written_is_written_again);
	tcase_add_test(t, a_webhook_that_is_deleted_or_rests_is_told_nothing);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
