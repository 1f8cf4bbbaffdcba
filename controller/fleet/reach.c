/* How many instances follow some configurations: see reach.h. */
#include "fleet/reach.h"

#include <stdlib.h>

#include "base/mem.h"
#include "fleet/node_own.h"

#include "base/banned.h"

#define FORMAT 1
#define CALL_MS 2000

/* ---- as bytes ---- */

void reach_encode(struct buf *out, const uint64_t key[2], uint64_t after)
{
	wr_u8(out, FLEET_REACH);
	wr_u8(out, FORMAT);
	wr_u64(out, key[0]);
	wr_u64(out, key[1]);
	wr_u64(out, after);
}

static enum code malformed(struct err *err)
{
	return err_set(err, E_INVALID, "the question whom configurations reach is "
		       "malformed");
}

enum code reach_decode(struct str in, struct reach_question *out, struct err *err)
{
	struct rd rd = rd_of(in), keys;
	struct str last = STR_NONE;
	size_t n = 0;

	if (rd_u8(&rd) != FLEET_REACH || rd_u8(&rd) != FORMAT ||
	    in.n > FLEET_REACH_BYTES_MAX + 64)
		return malformed(err);
	out->key[0] = rd_u64(&rd);
	out->key[1] = rd_u64(&rd);
	out->after = rd_u64(&rd);
	out->keys = keys = rd;
	while (!keys.bad && rd_left(&keys) && n++ < FLEET_REACH_KEYS_MAX) {
		struct str key = rd_str(&keys);

		if (keys.bad || !key.n || str_cmp(last, key) >= 0)
			return malformed(err);
		last = key;
	}
	return rd_done(&keys) ? OK : malformed(err);
}

/* ---- the instances of a node ---- */

/* The first that is not before 'key'. */
static size_t keys_from(const struct str *keys, size_t n, struct str key)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (str_cmp(keys[mid], key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool watch_follows(const struct fleet_watch *w, const struct str *keys,
			  size_t n)
{
	for (size_t i = 0; i < w->n_keys; i++) {
		size_t at = keys_from(keys, n, w->keys[i]);

		if (at < n && str_eq(keys[at], w->keys[i]))
			return true;
	}
	for (size_t i = 0; i < w->n_prefixes; i++) {
		size_t at = keys_from(keys, n, w->prefixes[i]);

		if (at < n && str_starts(keys[at], w->prefixes[i]))
			return true;
	}
	return false;
}

static bool follows(const struct instance *i, const struct str *keys, size_t n)
{
	const struct fleet_watch *w;

	list_each(&i->watches, w, at_)
		if (watch_follows(w, keys, n))
			return true;
	return false;
}

static int by_number(const void *x, const void *y)
{
	const uint64_t *a = x, *b = y;

	return *a < *b ? -1 : *a > *b;
}

struct numbers {
	uint64_t *v;
	size_t n, cap;
};

static void add_number(struct numbers *to, uint64_t number)
{
	mem_grow((void **)&to->v, &to->cap, to->n + 1, sizeof(*to->v));
	to->v[to->n++] = number;
}

static void sort_numbers(struct numbers *all)
{
	if (all->n > 1)
		qsort(all->v, all->n, sizeof(*all->v), by_number);
}

void fleet_reached(struct fleet *fleet, const struct reach_question *q,
		   const struct str *keys, size_t n, struct buf *out, bool *more)
{
	struct numbers all = { 0 };
	struct instance *i;

	pthread_mutex_lock(&fleet->lock);
	list_each(&fleet->all, i, at_) {
		uint64_t number;

		if (!i->n_watches || !follows(i, keys, n))
			continue;
		number = map_siphash13(q->key, instance_id(i)) | 1;
		if (number > q->after)
			add_number(&all, number);
	}
	pthread_mutex_unlock(&fleet->lock);
	sort_numbers(&all);
	*more = all.n > REACH_PAGE;
	for (size_t k = 0; k < MIN(all.n, (size_t)REACH_PAGE); k++)
		wr_u64(out, all.v[k]);
	free(all.v);
}

/* ---- asked by a node ---- */

static enum code put_page(struct fleet_node *n, struct str body, struct buf *out,
			  struct err *err)
{
	struct reach_question q;
	enum code rc = reach_decode(body, &q, err);
	struct str *keys;
	size_t n_keys = 0;
	bool more;

	if (rc)
		return rc;
	keys = mem_alloc(FLEET_REACH_KEYS_MAX * sizeof(*keys));
	while (rd_left(&q.keys))
		keys[n_keys++] = rd_str(&q.keys);
	wr_u8(out, 0);
	fleet_reached(n->fleet, &q, keys, n_keys, out, &more);
	out->p[0] = more;
	free(keys);
	return OK;
}

void fleet_answer_reach(struct fleet_node *n, struct rpc_token token, struct str body)
{
	AUTO_BUF out = BUF_NONE;
	struct err err = { 0 };
	enum code rc = put_page(n, body, &out, &err);

	store_answer(n->config.store, token, rc, rc ? STR_NONE : buf_view(&out),
		     &err);
}

/* ---- asking ---- */

struct reach_part {
	struct store_fleet_call call;
	struct reach_asking *asking;
	struct buf body;
	uint64_t peer;
	bool is_missing;
};

struct reach_asking {
	struct fleet_reach *reach;
	struct buf keys;
	uint64_t key[2];
	struct numbers all;
	size_t n, left;
	struct reach_part parts[PEERS_MAX + 1];
};

static void tell(struct msg *msg)
{
	struct fleet_reach *r = container_of(msg, struct fleet_reach, msg_);

	r->done(r);
}

static void end(struct reach_asking *a)
{
	struct fleet_reach *r = a->reach;

	sort_numbers(&a->all);
	for (size_t i = 0; i < a->all.n; i++)
		r->count += i == 0 || a->all.v[i] != a->all.v[i - 1];
	for (size_t i = 0; i < a->n; i++) {
		r->missing += a->parts[i].is_missing;
		buf_fini(&a->parts[i].body);
	}
	r->nodes = (unsigned)a->n;
	buf_fini(&a->keys);
	free(a->all.v);
	free(a);
	r->msg_.run = tell;
	loop_post_sure(r->home, &r->msg_);
}

static void part_ends(struct reach_part *p)
{
	if (--p->asking->left == 0)
		end(p->asking);
}

static void ask(struct fleet_node *n, struct reach_part *p, uint64_t after);

/* A page: numbers that ascend, beyond those before.  False: it is none. */
static bool take_page(struct reach_part *p, struct str answer, uint64_t *after,
		      bool *more)
{
	struct rd rd = rd_of(answer);
	uint8_t flag = rd_u8(&rd);

	*more = flag;
	while (!rd.bad && rd_left(&rd)) {
		uint64_t number = rd_u64(&rd);

		if (rd.bad || number <= *after)
			return false;
		add_number(&p->asking->all, number);
		*after = number;
	}
	return rd_done(&rd) && flag <= 1;
}

static void answered(struct store_fleet_call *call, enum code rc, struct str answer,
		     const struct err *err)
{
	struct reach_part *p = container_of(call, struct reach_part, call);
	struct rd question = rd_of(str_from(buf_view(&p->body), 2 + 2 * 8));
	uint64_t before = rd_u64(&question), after = before;
	bool more = false;

	p->is_missing = rc || !take_page(p, answer, &after, &more);
	/* One that always has more of nothing is not asked for ever. */
	if (!p->is_missing && more && after > before)
		ask(p->asking->reach->node_, p, after);
	else
		part_ends(p);
}

static void ask(struct fleet_node *n, struct reach_part *p, uint64_t after)
{
	struct reach_asking *a = p->asking;
	struct err err = { 0 };

	buf_reset(&p->body);
	reach_encode(&p->body, a->key, after);
	buf_str(&p->body, buf_view(&a->keys));
	p->call = (struct store_fleet_call){
		.peer = p->peer, .body = buf_view(&p->body),
		.timeout_ms = CALL_MS, .answer_max = FLEET_ANSWER_MAX,
		.done = answered };
	if (p->peer == n->config.node_id) {
		AUTO_BUF page = BUF_NONE;
		enum code rc = put_page(n, buf_view(&p->body), &page, &err);

		answered(&p->call, rc, buf_view(&page), &err);
	} else if (n->is_stopping || !store_fleet_call(n->config.store, &p->call)) {
		err_set(&err, E_UNAVAILABLE, "the node is stopping");
		answered(&p->call, E_UNAVAILABLE, STR_NONE, &err);
	}
}

static void add_part(struct reach_asking *a, uint64_t peer)
{
	a->parts[a->n].asking = a;
	a->parts[a->n].peer = peer;
	a->n++;
}

static void reach_here(struct msg *msg)
{
	struct fleet_reach *r = container_of(msg, struct fleet_reach, msg_);
	struct reach_asking *a = r->asking_;
	struct fleet_node *n = r->node_;
	struct rc_peer *peers = mem_zero(PEERS_MAX * sizeof(*peers));
	size_t n_peers = MIN(store_members_get(n->config.store, peers, PEERS_MAX),
			     (size_t)PEERS_MAX);

	add_part(a, n->config.node_id);
	for (size_t i = 0; i < n_peers; i++)
		if (peers[i].id != n->config.node_id)
			add_part(a, peers[i].id);
	free(peers);
	/* One more, so that it does not end before all are asked. */
	a->left = a->n + 1;
	for (size_t i = 0; i < a->n; i++)
		ask(n, &a->parts[i], 0);
	if (--a->left == 0)
		end(a);
}

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

void fleet_node_reach(struct fleet_node *n, struct fleet_reach *r)
{
	struct reach_asking *a = NEW(struct reach_asking);

	must(r->n_keys <= FLEET_REACH_KEYS_MAX);
	if (r->n_keys > 1)
		qsort(r->keys, r->n_keys, sizeof(*r->keys), by_text);
	for (size_t i = 0; i < r->n_keys; i++)
		if (!i || !str_eq(r->keys[i], r->keys[i - 1]))
			wr_str(&a->keys, r->keys[i]);
	a->reach = r;
	a->key[0] = rand_u64();
	a->key[1] = rand_u64();
	r->node_ = n;
	r->asking_ = a;
	r->count = 0;
	r->nodes = r->missing = 0;
	r->msg_.run = reach_here;
	loop_post_sure(n->core, &r->msg_);
}
