/*
 * Two nodes that call each other over links in memory: the outcome of every
 * call is exactly one, whatever happens to the link.
 */
#include "unit.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/rand.h"
#include "rpc/frame.h"
#include "rpc/rpc.h"
#include "wire/wire.h"

#include "base/banned.h"

#define NODES 2
#define ECHO 1
#define LATER 2                          /* kept until the test answers */
#define REFUSES 3
#define HELD_MAX 16

struct letter {
	struct list link;
	struct buf bytes;
};

/* Nodes are 0 and 1; the link of node i is what it sent. */
static struct node {
	struct rpc *rpc;
	struct list link;
	bool is_full;
	struct rpc_token held[HELD_MAX];
	uint64_t held_deadline;
	unsigned n_held, n_gone;
	enum code gone;
} nodes[NODES];

static uint64_t now;
static struct rpc_config config;
static struct err err;

struct ask {
	struct rpc_call call;
	unsigned ended;
	enum code rc;
	char answer[64];
	struct err err;
	struct ask *then;                /* called from within 'done' */
	struct ask *cancels;
};

static bool take(void *data, uint64_t peer, struct str frame)
{
	struct node *n = data;
	struct letter *l;

	if (n->is_full)
		return false;
	l = NEW(struct letter);
	buf_str(&l->bytes, frame);
	list_append(&n->link, &l->link);
	return true;
}

static void drop_letter(struct letter *l)
{
	list_remove(&l->link);
	buf_fini(&l->bytes);
	free(l);
}

static void again(unsigned node)
{
	rpc_peer_down(nodes[node].rpc, !node);
	ck_assert_int_eq(rpc_peer_up(nodes[node].rpc, !node, &err), OK);
}

/* One direction ends: its sender hears at once, its receiver by a letter without
 * bytes before the next frame. */
static void half_cut(unsigned from)
{
	struct letter *l;

	while ((l = list_first(&nodes[from].link, struct letter, link)))
		drop_letter(l);
	l = NEW(struct letter);
	list_append(&nodes[from].link, &l->link);
	again(from);
}

static enum code carry_one(unsigned from)
{
	struct letter *l = list_first(&nodes[from].link, struct letter, link);
	enum code rc;

	ck_assert_ptr_nonnull(l);
	if (l->bytes.n == 0) {
		drop_letter(l);
		again(!from);
		return OK;
	}
	rc = rpc_receive(nodes[!from].rpc, now, from, buf_view(&l->bytes), &err);
	drop_letter(l);
	return rc;
}

static void carry(void)
{
	for (unsigned i = 0; i < NODES; i++)
		while (!list_empty(&nodes[i].link)) {
			ck_assert_int_eq(carry_one(i), OK);
			i = 0;
		}
}

static void echo(void *data, uint64_t now_ms, const struct rpc_request *q)
{
	struct node *n = data;

	ck_assert(rpc_answer(n->rpc, now_ms, q->token, q->body));
	ck_assert(!rpc_answer(n->rpc, now_ms, q->token, q->body));
}

static void later(void *data, uint64_t now_ms, const struct rpc_request *q)
{
	struct node *n = data;

	n->held[n->n_held++ % HELD_MAX] = q->token;
	n->held_deadline = q->deadline_ms;
}

static void refuses(void *data, uint64_t now_ms, const struct rpc_request *q)
{
	struct node *n = data;
	struct err no;

	err_set(&no, E_NOT_LEADER, "node 3 leads");
	err_hint(&no, "ask node 3");
	ck_assert(rpc_refuse(n->rpc, now_ms, q->token, &no));
}

static void gone(void *data, struct rpc_token token, enum code why)
{
	struct node *n = data;

	n->n_gone++;
	n->gone = why;
}

static void start(void)
{
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &nodes[i];

		*n = (struct node){ 0 };
		list_init(&n->link);
		config.host = (struct rpc_host){ take, n };
		n->rpc = rpc_new(&config);
		rpc_handle(n->rpc, ECHO, &(struct rpc_method){ echo, gone, n });
		rpc_handle(n->rpc, LATER, &(struct rpc_method){ later, gone, n });
		rpc_handle(n->rpc, REFUSES, &(struct rpc_method){ refuses, NULL,
								  n });
		ck_assert_int_eq(rpc_peer_up(n->rpc, !i, &err), OK);
	}
}

static void setup(void)
{
	now = 1000;
	rpc_config_defaults(&config);
	config.calls_max = 4;
	start();
}

static void cut(void)
{
	struct letter *l;

	for (unsigned i = 0; i < NODES; i++)
		while ((l = list_first(&nodes[i].link, struct letter, link)))
			drop_letter(l);
	for (unsigned i = 0; i < NODES; i++)
		rpc_peer_down(nodes[i].rpc, !i);
}

static void stop(void)
{
	struct letter *l;

	for (unsigned i = 0; i < NODES; i++)
		rpc_free(&nodes[i].rpc);
	for (unsigned i = 0; i < NODES; i++)
		while ((l = list_first(&nodes[i].link, struct letter, link)))
			drop_letter(l);
}

static void done(struct rpc_call *call, uint64_t now_ms, enum code rc,
		 struct str answer, const struct err *e)
{
	struct ask *a = container_of(call, struct ask, call);

	a->ended++;
	a->rc = rc;
	a->err = *e;
	ck_assert(str_copy(a->answer, sizeof(a->answer), answer));
	if (a->then)
		(void)!rpc_call(nodes[0].rpc, now_ms, &a->then->call, &err);
	if (a->cancels)
		rpc_cancel(nodes[0].rpc, now_ms, &a->cancels->call);
}

static struct ask ask(unsigned method, const char *body)
{
	return (struct ask){ .call = { .peer = 1, .method = method,
				       .body = str_of(body), .timeout_ms = 100,
				       .answer_max = 50, .done = done } };
}

static enum code call(struct ask *a)
{
	return rpc_call(nodes[0].rpc, now, &a->call, &err);
}

static struct rpc_view view(unsigned node)
{
	struct rpc_view v;

	rpc_view(nodes[node].rpc, !node, &v);
	return v;
}

static void is_idle(void)
{
	for (unsigned i = 0; i < NODES; i++) {
		struct rpc_view v = view(i);

		ck_assert_uint_eq(v.calls_out + v.calls_in, 0);
		ck_assert_uint_eq(v.bytes_out + v.bytes_in, 0);
	}
}

START_TEST(a_call_is_answered)
{
	struct ask a = ask(ECHO, "hello");

	ck_assert_int_eq(call(&a), OK);
	ck_assert_uint_eq(a.ended, 0);
	carry();
	ck_assert_uint_eq(a.ended, 1);
	ck_assert_int_eq(a.rc, OK);
	ck_assert_str_eq(a.answer, "hello");
	ck_assert(a.call.was_sent && a.call.was_answered);
	is_idle();
	/* Nothing more is to be said of it. */
	rpc_cancel(nodes[0].rpc, now, &a.call);
	ck_assert_uint_eq(a.ended, 1);
}
END_TEST

START_TEST(a_refusal_keeps_code_text_and_hint)
{
	struct ask a = ask(REFUSES, "x"), b = ask(77, "x");

	ck_assert_int_eq(call(&a), OK);
	ck_assert_int_eq(call(&b), OK);
	carry();
	ck_assert_int_eq(a.rc, E_NOT_LEADER);
	ck_assert_str_eq(a.err.text, "node 3 leads");
	ck_assert_str_eq(a.err.hint, "ask node 3");
	ck_assert(a.call.was_answered);
	ck_assert_int_eq(b.rc, E_METHOD);
	is_idle();
}
END_TEST

START_TEST(answers_come_later_and_in_any_order)
{
	struct ask a = ask(LATER, "a"), b = ask(LATER, "b");

	ck_assert_int_eq(call(&a), OK);
	ck_assert_int_eq(call(&b), OK);
	carry();
	ck_assert_uint_eq(nodes[1].n_held, 2);
	ck_assert(rpc_answer(nodes[1].rpc, now, nodes[1].held[1], STR("second")));
	ck_assert(rpc_answer(nodes[1].rpc, now, nodes[1].held[0], STR("first")));
	carry();
	ck_assert_str_eq(a.answer, "first");
	ck_assert_str_eq(b.answer, "second");
	ck_assert_uint_eq(nodes[1].n_gone, 0);
	is_idle();
}
END_TEST

START_TEST(a_token_that_was_answered_names_nothing)
{
	struct ask a = ask(LATER, "a"), b = ask(LATER, "b");
	struct rpc_token old;

	ck_assert_int_eq(call(&a), OK);
	carry();
	old = nodes[1].held[0];
	ck_assert(rpc_answer(nodes[1].rpc, now, old, STR("first")));
	carry();
	ck_assert_int_eq(call(&b), OK);
	carry();
	ck_assert_uint_eq(nodes[1].held[1].slot, old.slot);
	ck_assert(!rpc_answer(nodes[1].rpc, now, old, STR("again")));
	ck_assert(rpc_answer(nodes[1].rpc, now, nodes[1].held[1], STR("b")));
	carry();
	ck_assert_str_eq(b.answer, "b");
}
END_TEST

START_TEST(the_deadline_travels_as_what_is_left)
{
	struct ask a = ask(LATER, "a");

	nodes[0].is_full = true;
	ck_assert_int_eq(call(&a), OK);
	now += 60;
	nodes[0].is_full = false;
	rpc_writable(nodes[0].rpc, now, 1);
	now += 5;                        /* on the way */
	carry();
	ck_assert_uint_eq(nodes[1].held_deadline, now + 40);
	ck_assert_uint_eq(rpc_deadline(nodes[0].rpc), 1100);
	ck_assert_uint_eq(rpc_deadline(nodes[1].rpc), now + 40);
	cut();
}
END_TEST

START_TEST(a_deadline_ends_a_call_on_both_sides)
{
	struct ask a = ask(LATER, "a"), b = ask(ECHO, "b");

	ck_assert_int_eq(call(&a), OK);
	b.call.timeout_ms = 500;
	ck_assert_int_eq(call(&b), OK);
	carry_one(0);
	now = 1099;
	rpc_timeout(nodes[0].rpc, now);
	ck_assert_uint_eq(a.ended, 0);
	now = 1100;
	rpc_timeout(nodes[0].rpc, now);
	ck_assert_uint_eq(a.ended, 1);
	ck_assert_int_eq(a.rc, E_TIMEOUT);
	ck_assert(a.call.was_sent && !a.call.was_answered);
	ck_assert_uint_eq(rpc_deadline(nodes[0].rpc), 1500);
	/* It counts until the peer has answered, which it does by itself. */
	ck_assert_uint_eq(view(0).calls_out, 2);
	rpc_timeout(nodes[1].rpc, now);
	ck_assert_uint_eq(nodes[1].n_gone, 1);
	ck_assert_int_eq(nodes[1].gone, E_TIMEOUT);
	ck_assert(!rpc_answer(nodes[1].rpc, now, nodes[1].held[0], STR("late")));
	carry();
	ck_assert_uint_eq(a.ended, 1);
	ck_assert_uint_eq(b.ended, 1);
	is_idle();
}
END_TEST

START_TEST(a_cancelled_call_is_over_here_and_there)
{
	struct ask a = ask(LATER, "a");

	ck_assert_int_eq(call(&a), OK);
	carry();
	rpc_cancel(nodes[0].rpc, now, &a.call);
	ck_assert_uint_eq(a.ended, 1);
	ck_assert_int_eq(a.rc, E_CANCELLED);
	ck_assert_uint_eq(nodes[1].n_gone, 0);
	carry();
	ck_assert_uint_eq(nodes[1].n_gone, 1);
	ck_assert_int_eq(nodes[1].gone, E_CANCELLED);
	ck_assert(!rpc_answer(nodes[1].rpc, now, nodes[1].held[0], STR("late")));
	ck_assert_uint_eq(a.ended, 1);
	is_idle();
}
END_TEST

START_TEST(an_answer_and_a_cancellation_may_cross)
{
	struct ask a = ask(ECHO, "a");

	ck_assert_int_eq(call(&a), OK);
	ck_assert_int_eq(carry_one(0), OK);
	rpc_cancel(nodes[0].rpc, now, &a.call);
	carry();
	ck_assert_uint_eq(a.ended, 1);
	ck_assert_int_eq(a.rc, E_CANCELLED);
	is_idle();
}
END_TEST

START_TEST(the_end_of_a_connection_tells_sent_from_unsent)
{
	struct ask sent = ask(LATER, "a"), unsent = ask(LATER, "b");
	struct ask after = ask(ECHO, "c"), left = ask(LATER, "d");

	sent.then = &after;
	ck_assert_int_eq(call(&sent), OK);
	ck_assert_int_eq(call(&left), OK);
	carry();
	rpc_cancel(nodes[0].rpc, now, &left.call);
	nodes[0].is_full = true;
	ck_assert_int_eq(call(&unsent), OK);
	cut();
	ck_assert_int_eq(sent.rc, E_UNCERTAIN);
	ck_assert(sent.call.was_sent);
	ck_assert_int_eq(unsent.rc, E_UNAVAILABLE);
	ck_assert(!unsent.call.was_sent);
	ck_assert_uint_eq(sent.ended + unsent.ended + left.ended, 3);
	ck_assert_uint_eq(after.ended, 0);       /* refused at once */
	ck_assert_int_eq(err.code, E_UNAVAILABLE);
	ck_assert_uint_eq(nodes[1].n_gone, 2);
	ck_assert(!rpc_answer(nodes[1].rpc, now, nodes[1].held[0], STR("late")));
	is_idle();
	/* And a new one works. */
	nodes[0].is_full = false;
	for (unsigned i = 0; i < NODES; i++)
		ck_assert_int_eq(rpc_peer_up(nodes[i].rpc, !i, &err), OK);
	ck_assert_int_eq(call(&after), OK);
	carry();
	ck_assert_int_eq(after.rc, OK);
}
END_TEST

START_TEST(a_call_that_was_not_sent_leaves_no_trace)
{
	struct ask a = ask(ECHO, "a"), b = ask(ECHO, "b"), c = ask(ECHO, "c");

	nodes[0].is_full = true;
	ck_assert_int_eq(call(&a), OK);
	ck_assert_int_eq(call(&b), OK);
	ck_assert_int_eq(call(&c), OK);
	rpc_cancel(nodes[0].rpc, now, &b.call);
	ck_assert(!b.call.was_sent);
	nodes[0].is_full = false;
	rpc_writable(nodes[0].rpc, now, 1);
	carry();
	ck_assert_str_eq(a.answer, "a");
	ck_assert_str_eq(c.answer, "c");
	ck_assert_int_eq(b.rc, E_CANCELLED);
	ck_assert_uint_eq(view(1).served, 2);
	is_idle();
}
END_TEST

START_TEST(calls_are_bounded_at_the_caller)
{
	struct ask a[5];

	for (unsigned i = 0; i < 5; i++) {
		a[i] = ask(LATER, "x");
		ck_assert_int_eq(call(&a[i]), i < 4 ? OK : E_BUSY);
	}
	carry();
	/* What was given up still keeps the peer busy. */
	rpc_cancel(nodes[0].rpc, now, &a[0].call);
	ck_assert_int_eq(call(&a[4]), E_BUSY);
	carry();
	ck_assert_int_eq(call(&a[4]), OK);
	ck_assert_uint_eq(view(0).busy, 2);
	cut();
}
END_TEST

START_TEST(bytes_are_bounded_at_the_caller)
{
	size_t n = config.frame_bytes_max - RPC_FRAME_HEAD_MAX;
	char *big = mem_zero(n + 1);
	struct ask a[3];

	stop();
	config.bytes_max = 2 * config.frame_bytes_max;
	start();
	for (unsigned i = 0; i < 3; i++) {
		a[i] = ask(LATER, "");
		a[i].call.body = str_n(big, n);
		a[i].call.answer_max = 0;
		ck_assert_int_eq(call(&a[i]), i < 2 ? OK : E_BUSY);
	}
	carry();
	a[2].call.body.n = n + 1;
	ck_assert_int_eq(call(&a[2]), E_TOO_LARGE);
	a[2].call.body.n = 0;
	a[2].call.answer_max = (uint32_t)n + 1;
	ck_assert_int_eq(call(&a[2]), E_TOO_LARGE);
	a[2].call.answer_max = 65;       /* what is left is 64 bytes */
	ck_assert_int_eq(call(&a[2]), E_BUSY);
	a[2].call.answer_max = 64;
	ck_assert_int_eq(call(&a[2]), OK);
	cut();
	free(big);
}
END_TEST

/* The id of a request is as good as the caller's word. */
static enum code send_raw(const struct rpc_frame *f)
{
	AUTO_BUF b = BUF_NONE;

	rpc_frame_encode(&b, f);
	return rpc_receive(nodes[1].rpc, now, 0, buf_view(&b), &err);
}

static struct rpc_frame raw_request(uint64_t id)
{
	return (struct rpc_frame){ .type = RPC_F_REQUEST, .id = id,
				   .request = { LATER, 100, 10 } };
}

static unsigned letters(unsigned from)
{
	struct letter *l;
	unsigned n = 0;

	list_each(&nodes[from].link, l, link)
		n++;
	return n;
}

START_TEST(calls_are_bounded_at_the_callee)
{
	struct rpc_frame f, back;

	nodes[1].is_full = true;
	for (uint64_t id = 1; id <= 4 + 32; id++) {
		f = raw_request(id);
		ck_assert_int_eq(send_raw(&f), OK);
	}
	/* It reads no answers: what would wait for it has an end. */
	f = raw_request(37);
	ck_assert_int_eq(send_raw(&f), E_BUSY);
	ck_assert_uint_eq(view(1).calls_in, 4);
	ck_assert_uint_eq(view(1).served_busy, 33);
	nodes[1].is_full = false;
	rpc_writable(nodes[1].rpc, now, 0);
	ck_assert_uint_eq(letters(1), 32);
	ck_assert_int_eq(rpc_frame_decode(buf_view(&list_first(&nodes[1].link,
		struct letter, link)->bytes), &back, &err), OK);
	ck_assert_int_eq(back.answer.code, E_BUSY);
	ck_assert_uint_eq(back.id, 5);
	f = raw_request(38);
	ck_assert_int_eq(send_raw(&f), OK);
}
END_TEST

START_TEST(ids_that_are_used_or_unknown_break_the_rules)
{
	struct rpc_frame answer = { .type = RPC_F_ANSWER, .id = 1 };
	struct rpc_frame cancel = { .type = RPC_F_CANCEL, .id = 6 };
	struct rpc_frame f = raw_request(5);

	ck_assert_int_eq(send_raw(&f), OK);
	ck_assert_int_eq(send_raw(&f), E_INVALID);
	f = raw_request(4);
	ck_assert_int_eq(send_raw(&f), E_INVALID);
	ck_assert_int_eq(send_raw(&answer), E_INVALID);
	answer.id = UINT64_MAX;
	ck_assert_int_eq(send_raw(&answer), E_INVALID);
	/* Of an older connection, perhaps. */
	ck_assert_int_eq(send_raw(&cancel), OK);
	cancel.id = 3;
	ck_assert_int_eq(send_raw(&cancel), OK);
	ck_assert_uint_eq(nodes[1].n_held, 1);
	ck_assert_uint_eq(nodes[1].n_gone, 0);
}
END_TEST

/* Node 1 calls, and the test answers in its peer's name. */
START_TEST(an_answer_comes_once_and_in_its_size)
{
	struct ask a = ask(LATER, "a"), b = ask(LATER, "b"), c = ask(LATER, "c");
	struct rpc_frame f = { .type = RPC_F_ANSWER, .body = { "0123456789", 10 } };

	a.call.peer = b.call.peer = c.call.peer = 0;
	ck_assert_int_eq(rpc_call(nodes[1].rpc, now, &a.call, &err), OK);
	b.call.answer_max = 9;
	ck_assert_int_eq(rpc_call(nodes[1].rpc, now, &b.call, &err), OK);
	nodes[1].is_full = true;
	ck_assert_int_eq(rpc_call(nodes[1].rpc, now, &c.call, &err), OK);
	f.id = a.call.id_;
	ck_assert_int_eq(send_raw(&f), OK);
	ck_assert_str_eq(a.answer, "0123456789");
	ck_assert_int_eq(send_raw(&f), E_INVALID);
	f.id = b.call.id_;
	ck_assert_int_eq(send_raw(&f), E_TOO_LARGE);
	f.id = c.call.id_;               /* not even asked yet */
	ck_assert_int_eq(send_raw(&f), E_INVALID);
	ck_assert_uint_eq(a.ended, 1);
	ck_assert_uint_eq(b.ended + c.ended, 0);
	rpc_peer_down(nodes[1].rpc, 0);
	ck_assert_int_eq(b.rc, E_UNCERTAIN);
	ck_assert_int_eq(c.rc, E_UNAVAILABLE);
}
END_TEST

/* One direction of a link may last while the other one ends. */
START_TEST(an_answer_to_a_call_of_before_means_nothing)
{
	struct ask a = ask(LATER, "a"), b = ask(LATER, "b");
	struct rpc_frame f = { .type = RPC_F_ANSWER, .body = { "old", 3 } };

	a.call.peer = b.call.peer = 0;
	ck_assert_int_eq(rpc_call(nodes[1].rpc, now, &a.call, &err), OK);
	f.id = a.call.id_;
	rpc_peer_down(nodes[1].rpc, 0);
	ck_assert_int_eq(a.rc, E_UNCERTAIN);
	ck_assert_int_eq(rpc_peer_up(nodes[1].rpc, 0, &err), OK);
	ck_assert_int_eq(rpc_call(nodes[1].rpc, now, &b.call, &err), OK);
	ck_assert_int_eq(send_raw(&f), OK);
	ck_assert_uint_eq(a.ended, 1);
	ck_assert_uint_eq(b.ended, 0);
	/* Nor one of a process before this. */
	rpc_peer_down(nodes[1].rpc, 0);
	cut();
	stop();
	config.first_id = 1ull << 60;
	start();
	b.call.peer = 0;
	ck_assert_int_eq(rpc_call(nodes[1].rpc, now, &b.call, &err), OK);
	ck_assert_int_eq(send_raw(&f), OK);
	ck_assert_uint_eq(b.ended, 1);           /* by the cut */
	f.id = b.call.id_;
	ck_assert_int_eq(send_raw(&f), OK);
	ck_assert_str_eq(b.answer, "old");
}
END_TEST

START_TEST(oversized_and_malformed_frames_are_refused)
{
	char *big = mem_zero(config.frame_bytes_max + 1);
	struct rpc *r = nodes[1].rpc;

	ck_assert_int_eq(rpc_receive(r, now, 0, str_n(big, config.frame_bytes_max
						      + 1), &err), E_TOO_LARGE);
	ck_assert_int_eq(rpc_receive(r, now, 0, STR("\1\1"), &err), E_INVALID);
	ck_assert_int_eq(rpc_receive(r, now, 0, STR("\7\1\1"), &err),
			 E_UNSUPPORTED);
	ck_assert_int_eq(rpc_receive(r, now, 9, STR("\1\3\1"), &err),
			 E_UNAVAILABLE);
	free(big);
}
END_TEST

START_TEST(an_answer_too_long_becomes_an_error)
{
	struct ask a = ask(ECHO, "0123456789");

	a.call.answer_max = 9;
	ck_assert_int_eq(call(&a), OK);
	carry();
	ck_assert_int_eq(a.rc, E_TOO_LARGE);
	ck_assert(a.call.was_answered);
	is_idle();
}
END_TEST

START_TEST(a_callback_may_call_and_cancel)
{
	struct ask a = ask(ECHO, "a"), b = ask(ECHO, "b"), c = ask(LATER, "c");

	a.then = &b;
	a.cancels = &c;
	ck_assert_int_eq(call(&c), OK);
	ck_assert_int_eq(call(&a), OK);
	carry();
	ck_assert_str_eq(b.answer, "b");
	ck_assert_int_eq(c.rc, E_CANCELLED);
	is_idle();
	/* Also while the connection ends. */
	a = ask(LATER, "a");
	b = ask(LATER, "b");
	a.cancels = &b;
	ck_assert_int_eq(call(&a), OK);
	ck_assert_int_eq(call(&b), OK);
	cut();
	ck_assert_uint_eq(a.ended, 1);
	ck_assert_uint_eq(b.ended, 1);
	is_idle();
}
END_TEST

START_TEST(both_sides_call_at_once)
{
	struct ask a = ask(ECHO, "a"), b = ask(ECHO, "b");

	b.call.peer = 0;
	ck_assert_int_eq(call(&a), OK);
	ck_assert_int_eq(rpc_call(nodes[1].rpc, now, &b.call, &err), OK);
	carry();
	ck_assert_str_eq(a.answer, "a");
	ck_assert_str_eq(b.answer, "b");
}
END_TEST

/* ---- any order of events ---- */

#define ASKS 400

static struct prng prng;

static unsigned below(unsigned n)
{
	return (unsigned)prng_below(&prng, n);
}

static void answer_held(struct node *n)
{
	if (n->n_held)
		(void)rpc_answer(n->rpc, now, n->held[below(MIN(n->n_held,
						(unsigned)HELD_MAX))], STR("h"));
}

static void any(struct ask *asks, unsigned *n_asks)
{
	unsigned i = below(2);
	struct node *n = &nodes[i];

	switch (below(12)) {
	case 0:
	case 1:
	case 2:
		if (*n_asks == ASKS)
			return;
		asks[*n_asks] = ask(below(2) ? ECHO : LATER, "any");
		asks[*n_asks].call.timeout_ms = 1 + below(60);
		asks[*n_asks].ended += call(&asks[*n_asks]) != OK;
		++*n_asks;
		return;
	case 3:
		if (*n_asks)
			rpc_cancel(nodes[0].rpc, now,
				   &asks[*n_asks - 1 - below(MIN(*n_asks, 4u))]
					.call);
		return;
	case 4:
		answer_held(&nodes[1]);
		return;
	case 5:
		n->is_full = !n->is_full;
		if (!n->is_full)
			rpc_writable(n->rpc, now, !i);
		return;
	case 6:
		now += below(20);
		if (now >= rpc_deadline(n->rpc))
			rpc_timeout(n->rpc, now);
		return;
	case 7:
		if (below(10) == 0)
			half_cut(i);
		if (below(20))
			return;
		cut();
		is_idle();
		for (unsigned k = 0; k < NODES; k++)
			ck_assert_int_eq(rpc_peer_up(nodes[k].rpc, !k, &err), OK);
		return;
	default:
		if (!list_empty(&n->link))
			ck_assert_int_eq(carry_one(i), OK);
	}
}

START_TEST(every_call_ends_once_in_any_order_of_events)
{
	struct ask *asks = mem_zero(ASKS * sizeof(*asks));
	unsigned n = 0, seen[CODE__MAX] = { 0 };

	prng_init(&prng, (uint64_t)_i);
	for (unsigned i = 0; i < 4000; i++) {
		any(asks, &n);
		ck_assert_uint_le(view(0).calls_out, 4);
	}
	ck_assert_uint_eq(n, ASKS);
	cut();
	is_idle();
	for (unsigned i = 0; i < n; i++) {
		ck_assert_uint_eq(asks[i].ended, 1);
		seen[asks[i].rc]++;
	}
	/* The run was worth something. */
	ck_assert_uint_gt(seen[E_TIMEOUT], 0);
	ck_assert_uint_gt(seen[E_CANCELLED], 0);
	free(asks);
}
END_TEST

START_TEST(who_has_left_makes_room)
{
	struct rpc *r = nodes[0].rpc;

	for (uint64_t id = 100; id < 300; id++) {
		ck_assert_int_eq(rpc_peer_up(r, id, &err), OK);
		rpc_peer_down(r, id);
	}
	for (uint64_t id = 300; id < 300 + RPC_PEERS_MAX - 1; id++)
		ck_assert_int_eq(rpc_peer_up(r, id, &err), OK);
	ck_assert_int_eq(rpc_peer_up(r, 99, &err), E_BUSY);
	rpc_peer_down(r, 300);
	ck_assert_int_eq(rpc_peer_up(r, 99, &err), OK);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("rpc/rpc");
	TCase *t = tcase_create("rpc");

	tcase_add_checked_fixture(t, setup, stop);
	tcase_add_test(t, a_call_is_answered);
	tcase_add_test(t, a_refusal_keeps_code_text_and_hint);
	tcase_add_test(t, answers_come_later_and_in_any_order);
	tcase_add_test(t, a_token_that_was_answered_names_nothing);
	tcase_add_test(t, the_deadline_travels_as_what_is_left);
	tcase_add_test(t, a_deadline_ends_a_call_on_both_sides);
	tcase_add_test(t, a_cancelled_call_is_over_here_and_there);
	tcase_add_test(t, an_answer_and_a_cancellation_may_cross);
	tcase_add_test(t, the_end_of_a_connection_tells_sent_from_unsent);
	tcase_add_test(t, a_call_that_was_not_sent_leaves_no_trace);
	tcase_add_test(t, calls_are_bounded_at_the_caller);
	tcase_add_test(t, bytes_are_bounded_at_the_caller);
	tcase_add_test(t, calls_are_bounded_at_the_callee);
	tcase_add_test(t, ids_that_are_used_or_unknown_break_the_rules);
	tcase_add_test(t, an_answer_comes_once_and_in_its_size);
	tcase_add_test(t, an_answer_to_a_call_of_before_means_nothing);
	tcase_add_test(t, oversized_and_malformed_frames_are_refused);
	tcase_add_test(t, an_answer_too_long_becomes_an_error);
	tcase_add_test(t, a_callback_may_call_and_cancel);
	tcase_add_test(t, both_sides_call_at_once);
	tcase_add_loop_test(t, every_call_ends_once_in_any_order_of_events, 1, 21);
	tcase_add_test(t, who_has_left_makes_room);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
