/* Changes of the membership and of who leads, and what others may see of the
 * members. */
#include "base/mem.h"
#include "node/driver.h"

#include "base/banned.h"

/* ---- changes ---- */

struct changing {
	struct errand errand;
	struct rc_node *node;
	struct rc_change *change;
	struct node_change core;
	enum code rc;
	struct err err;
};

static void tell_changed(struct rc_node *n, struct errand *errand)
{
	struct changing *g = container_of(errand, struct changing, errand);

	g->change->done(g->change, g->rc, &g->err);
	free(g);
}

static void changed(struct node_change *core, enum code rc,
		    const struct err *err)
{
	struct changing *g = container_of(core, struct changing, core);

	g->rc = rc;
	if (rc)
		err_copy(&g->err, err);
	else                             /* who asks next finds it so */
		members_publish(g->node);
	g->errand.run = tell_changed;
	errands_put_sure(&g->node->to_apply, &g->errand);
}

static void start_change(struct rc_node *n, struct errand *errand)
{
	struct changing *g = container_of(errand, struct changing, errand);
	struct err err;

	if (node_has_ended(n)) {
		err_set(&err, E_UNAVAILABLE, "the node is stopping");
		changed(&g->core, err.code, &err);
		return;
	}
	node_core_change(n->core, node_now(n), &g->core);
	node_touch(n);
}

bool rc_change(struct rc_node *n, struct rc_change *change)
{
	static const enum engine_change types[] = {
		[RC_ADD] = ENGINE_ADD, [RC_PROMOTE] = ENGINE_PROMOTE,
		[RC_DEMOTE] = ENGINE_DEMOTE, [RC_REMOVE] = ENGINE_REMOVE
	};
	struct changing *g = NEW(struct changing);

	g->errand.run = start_change;
	g->node = n;
	g->change = change;
	g->core = (struct node_change){
		.wish = { .change = types[change->type], .id = change->id,
			  .address = change->address, .force = change->force },
		.done = changed };
	if (errands_put(&n->to_raft, &g->errand))
		return true;
	free(g);
	return false;
}

/* ---- transfers ---- */

struct handing {
	struct errand errand;
	struct rc_node *node;
	struct rc_transfer *transfer;
	struct node_transfer core;
	enum code rc;
	struct err err;
};

static void tell_handed(struct rc_node *n, struct errand *errand)
{
	struct handing *h = container_of(errand, struct handing, errand);

	h->transfer->done(h->transfer, h->rc, &h->err);
	free(h);
}

static void handed(struct node_transfer *core, enum code rc,
		   const struct err *err)
{
	struct handing *h = container_of(core, struct handing, core);

	h->rc = rc;
	if (rc)
		err_copy(&h->err, err);
	h->errand.run = tell_handed;
	errands_put_sure(&h->node->to_apply, &h->errand);
}

static void start_transfer(struct rc_node *n, struct errand *errand)
{
	struct handing *h = container_of(errand, struct handing, errand);
	struct err err;

	if (node_has_ended(n)) {
		err_set(&err, E_UNAVAILABLE, "the node is stopping");
		handed(&h->core, err.code, &err);
		return;
	}
	node_core_transfer(n->core, node_now(n), &h->core);
	node_touch(n);
}

bool rc_transfer(struct rc_node *n, struct rc_transfer *transfer)
{
	struct handing *h = NEW(struct handing);

	h->errand.run = start_transfer;
	h->node = n;
	h->transfer = transfer;
	h->core = (struct node_transfer){ transfer->id, handed };
	if (errands_put(&n->to_raft, &h->errand))
		return true;
	free(h);
	return false;
}

/* ---- members ---- */

static void fill_from_link(struct rc_node *n, struct rc_peer *p)
{
	struct link *l = link_of(n, p->id);
	struct net_peer_stats st;

	if (!l)
		return;
	p->is_up = l->is_up;
	(void)str_copy(p->error, sizeof(p->error), str_of(l->error.text));
	if (net_peer_stats(n->net, p->id, &st))
		return;
	for (unsigned i = 1; i < NET__CHANNELS; i++) {
		const struct net_link_stats *s = &st.links[i];

		p->bytes_in += s->bytes_in;
		p->bytes_out += s->bytes_out;
		p->frames_in += s->frames_in;
		p->frames_out += s->frames_out;
		p->dropped += s->dropped;
		p->queued_bytes += s->queued_bytes;
		p->attempts += s->attempts;
		p->connects += s->connects;
		p->reconnects += s->connects ? s->connects - 1 : 0;
		p->accepts += s->accepts;
	}
	p->rtt_us = st.links[NET_RAFT].rtt_us;
	p->cert_expiry = st.cert_expiry;
	if (!l->is_up && st.error.code)
		(void)str_copy(p->error, sizeof(p->error),
			       str_of(st.error.text));
}

static void fill(struct rc_node *n, const struct node_peer *from,
		 struct rc_peer *p)
{
	struct net_stats own;

	*p = (struct rc_peer){ .id = from->id, .votes = from->votes,
			       .match = from->match };
	(void)str_copy(p->address, sizeof(p->address), str_of(from->address));
	if (p->id != n->config.node_id) {
		fill_from_link(n, p);
		return;
	}
	p->is_up = true;
	if (n->net) {
		net_stats(n->net, &own);
		p->cert_expiry = own.cert_expiry;
	}
}

_Static_assert(RC_REFUSALS == NET_REFUSALS, "the same reasons");

const char *rc_refusal_name(unsigned reason)
{
	return net_refusal_name(reason);
}

void members_publish(struct rc_node *n)
{
	struct node_peer peers[PEERS_MAX];
	struct net_stats own = { 0 };
	size_t count = MIN(node_core_peers(n->core, peers, PEERS_MAX),
			   (size_t)PEERS_MAX);

	if (n->net)
		net_stats(n->net, &own);
	pthread_mutex_lock(&n->shown.lock);
	n->shown.n_peers = count;
	memcpy(n->shown.refused_by, own.refused_by, sizeof(own.refused_by));
	for (size_t i = 0; i < count; i++)
		fill(n, &peers[i], &n->shown.peers[i]);
	pthread_mutex_unlock(&n->shown.lock);
}

size_t rc_peers(struct rc_node *n, struct rc_peer *out, size_t cap)
{
	size_t count;

	pthread_mutex_lock(&n->shown.lock);
	count = n->shown.n_peers;
	if (count && cap)
		memcpy(out, n->shown.peers, MIN(count, cap) * sizeof(*out));
	pthread_mutex_unlock(&n->shown.lock);
	return count;
}

enum code rc_tls_reload(struct rc_node *n, struct err *err)
{
	return n->net ? net_tls_reload(n->net, err) : OK;
}
