/*
 * Lists of instances: of a release the leader knows them all; who is connected and what
 * was said, each node knows of its own, and whoever is asked merges what all say.  A page of a node
 * ends where its answer is long enough; the merged page then ends there too, so that
 * nothing is left out in between.
 */
#include "fleet/node_own.h"

#include "base/clock.h"
#include "base/mem.h"
#include "fleet/last.h"

#include "base/banned.h"

#define CALL_MS 2000

/* ---- asked by a node ---- */

static void put_page(struct fleet_node *n, const struct fleet_list *list,
		     struct buf *out)
{
	struct fleet_list page = *list;
	bool more = false;

	page.limit = MIN(list->limit, (uint32_t)FLEET_LIMIT_MAX);
	wr_u8(out, 0);
	if (list->release)
		gather_list(n->gather, list->release, list->after, page.limit,
			    clock_mono_ms(), out, &more);
	else
		fleet_list_known(n->fleet, &page, n->config.node_id,
				 clock_mono_ms(), out, &more);
	out->p[0] = more;
}

void fleet_answer_list(struct fleet_node *n, struct rpc_token token,
		       struct str body)
{
	AUTO_BUF out = BUF_NONE;
	struct fleet_list list;
	struct err err;
	enum code rc = list_decode(body, &list, &err);

	if (rc == OK && list.release && !gather_session(n->gather))
		rc = err_set(&err, E_NOT_LEADER, "this node does not lead");
	if (rc == OK)
		put_page(n, &list, &out);
	store_answer(n->config.store, token, rc, rc ? STR_NONE : buf_view(&out),
		     &err);
}

/* ---- asking ---- */

struct fleet_part {
	struct store_fleet_call call;
	struct fleet_asking *asking;
	struct buf rows;
	bool has_more, is_missing;
};

struct fleet_asking {
	struct fleet_query *query;
	struct buf body;
	size_t n, left;
	struct err err;                  /* of the last that did not answer */
	struct fleet_part parts[];
};

struct row_at {
	struct rd rd;
	struct fleet_row row;
	bool is_there;
};

/* Steps to the next row; what a node sent malformed is its end. */
static void row_next(struct row_at *at)
{
	struct err err;

	at->is_there = list_next(&at->rd, &at->row, &err) == OK;
}

/* The last instance of a page that goes on. */
static struct str last_of(const struct fleet_part *p)
{
	struct row_at at = { .rd = rd_of(buf_view(&p->rows)) };
	struct str last = STR_NONE;

	for (row_next(&at); at.is_there; row_next(&at))
		last = at.row.instance;
	return last;
}

/* Up to where the rows of all parts are whole; empty: to the end. */
static struct str whole_until(const struct fleet_asking *a)
{
	struct str until = STR_NONE;

	for (size_t i = 0; i < a->n; i++) {
		struct str last = a->parts[i].has_more ? last_of(&a->parts[i]) :
							 STR_NONE;

		if (last.n && (!until.n || str_cmp(last, until) < 0))
			until = last;
	}
	return until;
}

static const struct fleet_row *least(struct row_at *at, size_t n)
{
	const struct fleet_row *row = NULL;

	for (size_t i = 0; i < n; i++)
		if (at[i].is_there &&
		    (!row || str_cmp(at[i].row.instance, row->instance) < 0))
			row = &at[i].row;
	return row;
}

struct merging {
	struct fleet_row row;            /* as all nodes have it */
	struct fleet_last words[FLEET_LAST_MAX];
	size_t n;
	bool is_any;
};

static void add_words(struct merging *m, struct str words)
{
	struct rd rd = rd_of(words);
	struct fleet_last word;
	struct err err;

	while (last_next(&rd, &word, &err) == OK)
		m->n = last_merge(m->words, m->n, &word);
}

/* Who left one node and came to another is where it is connected; else where it was
 * heard of last. */
static void add_row(struct merging *m, const struct fleet_row *row)
{
	uint64_t age_ms = m->is_any ? MIN(m->row.age_ms, row->age_ms) : row->age_ms;
	bool is_better = row->is_connected == m->row.is_connected ?
				 row->age_ms < m->row.age_ms : row->is_connected;

	if (!m->is_any || is_better)
		m->row = *row;
	m->row.age_ms = age_ms;
	m->is_any = true;
	add_words(m, row->words);
}

/* Writes what the parts know of an instance as one row, and steps over it. */
static void put_one(struct buf *out, struct row_at *at, size_t n, struct str id)
{
	struct merging m = { .is_any = false };
	AUTO_BUF words = BUF_NONE;

	for (size_t i = 0; i < n; i++)
		for (; at[i].is_there && str_eq(at[i].row.instance, id);
		     row_next(&at[i]))
			add_row(&m, &at[i].row);
	for (size_t i = 0; i < m.n; i++)
		last_put(&words, &m.words[i]);
	m.row.words = buf_view(&words);
	list_row(out, &m.row);
}

static void merge(struct fleet_asking *a)
{
	struct fleet_query *q = a->query;
	struct row_at *at = mem_zero(a->n * sizeof(*at));
	struct str until = whole_until(a);
	const struct fleet_row *row;
	uint32_t n = 0;

	for (size_t i = 0; i < a->n; i++) {
		at[i].rd = rd_of(buf_view(&a->parts[i].rows));
		row_next(&at[i]);
	}
	while ((row = least(at, a->n)) && n < q->limit &&
	       (!until.n || str_cmp(row->instance, until) <= 0)) {
		put_one(&q->rows, at, a->n, row->instance);
		n++;
	}
	q->has_more = row || until.n;
	free(at);
}

static void tell(struct msg *msg)
{
	struct fleet_query *q = container_of(msg, struct fleet_query, msg_);

	q->done(q, q->rc_, &q->err_);
}

static void end(struct fleet_asking *a)
{
	struct fleet_query *q = a->query;

	for (size_t i = 0; i < a->n; i++)
		q->missing += a->parts[i].is_missing;
	/* Of a release the leader is the one that must answer. */
	q->rc_ = q->missing == a->n ? a->err.code : OK;
	err_copy(&q->err_, &a->err);
	if (q->rc_ == OK)
		merge(a);
	for (size_t i = 0; i < a->n; i++)
		buf_fini(&a->parts[i].rows);
	buf_fini(&a->body);
	free(a);
	q->msg_.run = tell;
	loop_post_sure(q->home, &q->msg_);
}

static void answered(struct store_fleet_call *call, enum code rc,
		     struct str answer, const struct err *err)
{
	struct fleet_part *p = container_of(call, struct fleet_part, call);
	struct fleet_asking *a = p->asking;

	p->is_missing = rc || !answer.n;
	if (p->is_missing) {
		if (rc)
			err_copy(&a->err, err);
		else
			err_set(&a->err, E_INTERNAL, "a node answered nothing");
	} else {
		p->has_more = answer.p[0];
		buf_str(&p->rows, str_from(answer, 1));
	}
	if (!--a->left)
		end(a);
}

static void call(struct fleet_node *n, struct fleet_part *p, uint64_t peer)
{
	p->call = (struct store_fleet_call){
		.peer = peer, .body = buf_view(&p->asking->body),
		.timeout_ms = CALL_MS, .answer_max = FLEET_ANSWER_MAX,
		.done = answered };
	if (store_fleet_call(n->config.store, &p->call))
		return;

	struct err err;

	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	answered(&p->call, E_UNAVAILABLE, STR_NONE, &err);
}

static void here(struct fleet_node *n, struct fleet_part *p,
		 const struct fleet_list *list)
{
	AUTO_BUF page = BUF_NONE;

	put_page(n, list, &page);
	answered(&p->call, OK, buf_view(&page), NULL);
}

static struct fleet_asking *asking_new(struct fleet_query *q, size_t n,
				       const struct fleet_list *list)
{
	struct fleet_asking *a = mem_zero(sizeof(*a) + n * sizeof(a->parts[0]));

	a->query = q;
	a->n = n;
	a->left = n + 1;                 /* not before all are asked */
	list_encode(&a->body, list);
	for (size_t i = 0; i < n; i++)
		a->parts[i].asking = a;
	return a;
}

static void query_here(struct msg *msg)
{
	struct fleet_query *q = container_of(msg, struct fleet_query, msg_);
	struct fleet_node *n = q->node_;
	struct fleet_list list = { q->release, str_of(q->after), q->limit,
				   str_of(q->tenant) };
	struct rc_peer *peers = mem_zero(PEERS_MAX * sizeof(*peers));
	size_t n_peers = MIN(store_members_get(n->config.store, peers, PEERS_MAX),
			     (size_t)PEERS_MAX), at = 0;
	struct fleet_asking *a = asking_new(q, q->release ? 1 : n_peers + 1, &list);

	if (q->release) {
		call(n, &a->parts[0], RC_LEADER);
	} else {
		here(n, &a->parts[at++], &list);
		for (size_t i = 0; i < n_peers; i++)
			if (peers[i].id != n->config.node_id)
				call(n, &a->parts[at++], peers[i].id);
		/* This node is one of the members, as a rule. */
		a->left -= a->n - at;
		a->n = at;
	}
	free(peers);
	if (!--a->left)
		end(a);
}

void fleet_node_query(struct fleet_node *n, struct fleet_query *q)
{
	q->node_ = n;
	q->rows = BUF_NONE;
	q->has_more = false;
	q->missing = 0;
	q->limit = MIN(q->limit, (uint32_t)FLEET_LIMIT_MAX);
	q->msg_.run = query_here;
	loop_post_sure(n->core, &q->msg_);
}
