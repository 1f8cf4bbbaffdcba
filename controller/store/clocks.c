/*
 * The clocks of the voters: see clocks.h.
 *
 * Half of the way of question and answer is taken for the way of the answer; an
 * answer that takes longer than ANSWER_MS counts as none, so that this is wrong by
 * far less than what is looked for.
 *
 * Core loop.
 */
#include "store/clocks.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/own.h"
#include "wire/wire.h"

#include "base/banned.h"

#define AGAIN_MS 2000                    /* after a round */
#define ANSWER_MS 500
/* Wall clock and monotonic one run apart by that much: somebody set the clock. */
#define JUMP_MS 1000
#define COMPLAIN_MS 30000

struct clock_question {
	struct rc_call call;
	struct clocks_round *round;
	uint64_t asked_ns;
	int64_t offset;
	bool is_answered;
};

struct clocks_round {
	struct store *store;
	uint64_t number;
	size_t n, left;                  /* asked; not answered yet */
	bool is_judged;
	struct clock_question questions[];
};

/* ---- what they say ---- */

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static bool is_near(int64_t offset)
{
	return offset >= -CLOCKS_MOST_MS && offset <= CLOCKS_MOST_MS;
}

enum clocks_say clocks_judge(int64_t *offsets, size_t n, size_t voters,
			     int64_t *median)
{
	int64_t low, high;

	*median = 0;
	if (2 * n <= voters)
		return CLOCKS_UNKNOWN;
	qsort(offsets, n, sizeof(*offsets), by_size);
	low = offsets[(n - 1) / 2];
	high = offsets[n / 2];
	*median = llabs(low) <= llabs(high) ? low : high;
	return is_near(*median) ? CLOCKS_GOOD : CLOCKS_OFF;
}

bool clocks_are_sure(const int64_t *offsets, size_t n, size_t voters)
{
	size_t near = 0;

	for (size_t i = 0; i < n; i++)
		near += is_near(offsets[i]);
	return 2 * near > voters;
}

/* ---- leadership goes to a better clock ---- */

uint64_t store_wall_ms(const struct store *s)
{
	return s->config.wall_ms ? s->config.wall_ms(s->config.data) :
				   clock_wall_ms();
}

/* By how much the two clocks of this machine differ. */
static int64_t apart_ms(const struct store *s)
{
	return (int64_t)(store_wall_ms(s) - clock_mono_ms());
}

static void handed(struct rc_transfer *transfer, enum code rc,
		   const struct err *err)
{
	struct clocks *c = container_of(transfer, struct clocks, transfer);

	c->is_handing = false;
	if (rc && err)
		log_warn(PART, LOG_KV(log_u("to", transfer->id),
				      log_z("error", err->text)),
			 "leadership did not go to a node with a better clock");
}

static bool has_good_clock(const struct clocks_round *r, uint64_t id, int64_t median)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->questions[i].call.peer == id &&
		    r->questions[i].is_answered)
			return is_near(r->questions[i].offset - median);
	return false;
}

/* The one with most of the log. */
static uint64_t successor(const struct clocks_round *r, int64_t median)
{
	struct rc_peer *peers = mem_zero(STORE_MEMBERS_MAX * sizeof(*peers));
	size_t n = MIN(rc_peers(r->store->node, peers, STORE_MEMBERS_MAX),
		       (size_t)STORE_MEMBERS_MAX);
	const struct rc_peer *best = NULL;
	uint64_t id;

	for (size_t i = 0; i < n; i++)
		if (peers[i].votes && peers[i].is_up &&
		    has_good_clock(r, peers[i].id, median) &&
		    (!best || peers[i].match > best->match))
			best = &peers[i];
	id = best ? best->id : 0;
	free(peers);
	return id;
}

static void hand_over(const struct clocks_round *r, int64_t median)
{
	struct clocks *c = &r->store->clocks;
	uint64_t to = successor(r, median);

	if (!to || c->is_handing)
		return;
	c->transfer = (struct rc_transfer){ .id = to, .done = handed };
	c->is_handing = rc_transfer(r->store->node, &c->transfer);
}

static void complain(struct clocks *c, int64_t median)
{
	uint64_t now = clock_mono_ms();

	if (now < c->complain_ms)
		return;
	c->complain_ms = now + COMPLAIN_MS;
	log_error(PART, LOG_KV(log_u("off_ms", (uint64_t)llabs(median)),
			       log_z("it_is", median > 0 ? "behind" : "ahead")),
		  "the clock of this node is too far from the others': it does "
		  "not lead; look at its time service");
}

/* ---- a round ---- */

static void judge(struct clocks_round *r)
{
	struct store *s = r->store;
	struct clocks *c = &s->clocks;
	int64_t offsets[STORE_MEMBERS_MAX + 1] = { 0 };
	size_t n = 1;
	int64_t median;
	enum clocks_say say;

	for (size_t i = 0; i < r->n; i++)
		if (r->questions[i].is_answered)
			offsets[n++] = r->questions[i].offset;
	if (r->is_judged || r->number != c->round ||
	    (r->left && !clocks_are_sure(offsets, n, r->n + 1)))
		return;
	r->is_judged = true;
	say = clocks_judge(offsets, n, r->n + 1, &median);
	c->is_asking = false;
	c->next_ms = clock_mono_ms() + AGAIN_MS;
	if (say == CLOCKS_UNKNOWN && c->say == CLOCKS_OFF)
		return;                  /* what is known stays */
	c->say = say;
	if (say != CLOCKS_UNKNOWN)
		atomic_store(&s->clock_offset_ms, median);
	if (say == CLOCKS_OFF) {
		complain(c, median);
		hand_over(r, median);
	} else {
		tickets_again(s);
	}
}

static void answered(struct rc_call *call, enum code rc, struct str answer,
		     const struct err *err)
{
	struct clock_question *q = container_of(call, struct clock_question, call);
	struct clocks_round *r = q->round;
	uint64_t took_ns = clock_mono_ns() - q->asked_ns;
	struct rd rd = rd_of(answer);
	uint64_t theirs = rc ? 0 : rd_u64(&rd);

	if (!rc && !rd.bad) {
		q->is_answered = true;
		q->offset = (int64_t)(theirs + took_ns / 2000000 -
				      store_wall_ms(r->store));
	}
	r->left--;
	if (!atomic_load(&r->store->is_stopping))
		judge(r);
	if (r->left == 0)
		free(r);
}

static size_t others(const struct store *s, uint64_t out[STORE_MEMBERS_MAX])
{
	uint64_t self = MAX(s->config.cluster.node_id, (uint64_t)1);
	size_t n = 0;

	for (size_t i = 0; i < s->n_members; i++)
		if (s->members[i].votes && s->members[i].id != self)
			out[n++] = s->members[i].id;
	return n;
}

static void ask(struct store *s)
{
	struct clocks *c = &s->clocks;
	uint64_t ids[STORE_MEMBERS_MAX];
	size_t n = others(s, ids);
	struct clocks_round *r;

	c->round++;
	c->next_ms = clock_mono_ms() + AGAIN_MS;
	c->apart_ms = apart_ms(s);
	c->is_asking = n > 0;
	if (n == 0) {
		c->say = CLOCKS_GOOD;    /* it is the majority */
		return;
	}
	r = mem_zero(sizeof(*r) + n * sizeof(r->questions[0]));
	*r = (struct clocks_round){ .store = s, .number = c->round, .n = n,
				    .left = n + 1 };
	for (size_t i = 0; i < n; i++) {
		struct clock_question *q = &r->questions[i];

		*q = (struct clock_question){
			{ .peer = ids[i], .method = STORE_METHOD_CLOCK,
			  .timeout_ms = ANSWER_MS, .answer_max = 16,
			  .done = answered },
			r, clock_mono_ns(), 0, false };
		if (!rc_call(s->node, &q->call))
			answered(&q->call, E_UNAVAILABLE, STR_NONE, NULL);
	}
	/* Only now may it end. */
	r->left--;
	judge(r);
	if (r->left == 0)
		free(r);
}

/* ---- the door ---- */

void clocks_on_role(struct store *s, bool leads)
{
	struct clocks *c = &s->clocks;

	c->say = CLOCKS_UNKNOWN;
	c->is_asking = false;
	if (leads && s->config.cluster.listen)
		ask(s);
}

void clocks_tick(struct store *s)
{
	if (s->config.cluster.listen && !s->clocks.is_asking &&
	    clock_mono_ms() >= s->clocks.next_ms)
		ask(s);
}

bool clocks_hold(struct store *s)
{
	struct clocks *c = &s->clocks;

	if (!s->config.cluster.listen)
		return false;
	if (llabs(apart_ms(s) - c->apart_ms) > JUMP_MS) {
		c->say = CLOCKS_UNKNOWN;
		ask(s);
	}
	return c->say == CLOCKS_OFF ||
	       (c->say == CLOCKS_UNKNOWN && c->is_asking);
}

void clocks_serve(void *data, const struct rc_request *request)
{
	struct store *s = data;
	AUTO_BUF answer = BUF_NONE;

	wr_u64(&answer, store_wall_ms(s));
	rc_answer(s->node, request->token, OK, buf_view(&answer), NULL);
}
