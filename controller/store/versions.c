/*
 * The cluster's version follows its members: where this node leads, and the
 * version in the state is below what this program knows, all members are asked
 * what theirs know; when all have answered, the least of it is proposed
 * (docs/formats/compatibility.md).  One that does not answer holds it back, and so
 * does one that is too old to know the question.  It begins when this node comes to
 * lead; a node without others has nobody to ask, and its first command raises the
 * version, before any write that waits for it to lead.
 *
 * Core loop.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/own.h"
#include "wire/wire.h"

#include "base/banned.h"

#define AGAIN_MS 5000                    /* after a round */
#define SILENT_AGAIN_MS 1000             /* after one that not all answered */
#define ANSWER_MS 2000
#define MEMBERS_MAX 64

struct question {
	struct rc_call call;
	struct versions_round *round;
};

struct versions_round {
	struct store *store;
	size_t left;
	uint64_t least;                  /* 0: not all answered */
	struct question questions[];
};

static void grow_to(struct store *s, uint64_t version)
{
	struct command c = { .type = COMMAND_VERSION, .time_ms = store_wall_ms(s),
			     .version = version };

	s->versions_at_ms = clock_mono_ms() + (version ? AGAIN_MS : SILENT_AGAIN_MS);
	if (version <= state_head(s->state)->version || !atomic_load(&s->is_leader))
		return;
	if (s->tick_in_flight) {
		s->versions_at_ms = 0;
		return;
	}
	log_info(PART, LOG_KV(log_u("version", c.version)),
		 "all members know this version: it becomes the cluster's");
	send_own(s, &c);
}

static void end_round(struct versions_round *r)
{
	struct store *s = r->store;
	uint64_t least = r->least;

	s->versions = NULL;
	atomic_fetch_add(&s->version_rounds, 1);
	free(r);
	grow_to(s, least);
}

static void answered(struct rc_call *call, enum code rc, struct str answer,
		     const struct err *err)
{
	struct question *q = container_of(call, struct question, call);
	struct versions_round *r = q->round;
	struct rd rd = rd_of(answer);
	uint64_t knows = rc ? 0 : rd_var(&rd);

	/* A later version may say more behind it. */
	r->least = rd.bad ? 0 : MIN(r->least, knows);
	if (!--r->left)
		end_round(r);
}

void versions_tick(struct store *s)
{
	struct rc_peer peers[MEMBERS_MAX];
	struct versions_round *r;
	size_t n;

	if (s->versions || s->knows <= state_head(s->state)->version ||
	    clock_mono_ms() < s->versions_at_ms)
		return;
	if (!s->config.cluster.listen) {
		grow_to(s, s->knows);
		return;
	}
	n = store_members_get(s, peers, MEMBERS_MAX);
	if (n == 0 || n > MEMBERS_MAX)
		return;
	r = mem_zero(sizeof(*r) + n * sizeof(r->questions[0]));
	*r = (struct versions_round){ s, n + 1, s->knows };
	s->versions = r;
	for (size_t i = 0; i < n; i++) {
		struct question *q = &r->questions[i];

		*q = (struct question){
			{ .peer = peers[i].id, .method = STORE_METHOD_VERSION,
			  .timeout_ms = ANSWER_MS, .answer_max = 16,
			  .done = answered }, r };
		if (peers[i].id == MAX(s->config.cluster.node_id, (uint64_t)1))
			r->left--;
		else if (!rc_call(s->node, &q->call))
			answered(&q->call, E_UNAVAILABLE, STR_NONE, NULL);
	}
	/* Only now may it end. */
	if (!--r->left)
		end_round(r);
}

void versions_on_role(struct store *s, bool leads)
{
	s->versions_at_ms = 0;
	if (leads)
		versions_tick(s);
}

void versions_serve(void *data, const struct rc_request *request)
{
	struct store *s = data;
	AUTO_BUF answer = BUF_NONE;

	wr_var(&answer, s->knows);
	rc_answer(s->node, request->token, OK, buf_view(&answer), NULL);
}
