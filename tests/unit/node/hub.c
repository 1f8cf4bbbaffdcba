/*
 * See hub.h.  Each net has an inbox that every other may write into, under one lock;
 * its own loop takes what is there and calls the handlers without the lock.  A
 * connection is a number that both sides have agreed to: the one who sends asks
 * (CALL), the other lets it in (WELCOME), and frames of another number are nobody's.
 */
#include "hub.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "io/timer.h"

#include "base/banned.h"

#define TICK_MS 10u
#define PATIENCE_MS 200u                 /* for an answer to a call */
#define IDS_MAX 8u

struct link {
	bool is_wanted, was_busy;
	uint64_t asked, asked_ms;        /* a number that was proposed; 0: none */
	uint64_t out, in;                /* agreed to; 0: there is no connection */
	struct net_link_stats stats;
};

struct peer {
	struct list at;
	uint64_t id;
	char address[272];
	struct link links[NET__CHANNELS];
};

struct hub_net {
	struct net net;
	struct list at;                  /* in 'nets' */
	struct loop *loop;
	uint64_t id;
	struct uuid cluster, incarnation;
	char address[272];
	struct net_limits limits;
	struct net_handlers on;
	struct list peers;
	struct timer timer;
	struct msg wake;
	bool is_stopped;
	/* Under the lock. */
	struct list inbox;
	bool is_woken;
};

struct event {
	struct list at;
	enum { CALL, WELCOME, FRAME, TAKEN, LOST } type;
	uint64_t from, number;
	enum net_channel channel;        /* of LOST: 0, all of them */
	struct uuid cluster, incarnation;
	size_t n;
	char bytes[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list nets = { &nets, &nets };
static bool is_cut[IDS_MAX][IDS_MAX];
static uint64_t numbers;
static uint8_t loses[NET__CHANNELS];     /* second byte of a frame; 0: none */
static _Atomic uint64_t arrived[NET__CHANNELS], bytes[NET__CHANNELS];

static struct hub_net *hub_of(struct net *net)
{
	return container_of(net, struct hub_net, net);
}

/* ---- from net to net: under the lock ---- */

static struct event *event_new(const struct hub_net *h, int type,
			       enum net_channel channel, uint64_t number,
			       struct str bytes)
{
	struct event *e = mem_zero(sizeof(*e) + bytes.n);

	e->type = type;
	e->from = h->id;
	e->number = number;
	e->channel = channel;
	e->cluster = h->cluster;
	e->incarnation = h->incarnation;
	e->n = bytes.n;
	if (bytes.n)
		memcpy(e->bytes, bytes.p, bytes.n);
	return e;
}

static void put(struct hub_net *to, struct event *e)
{
	list_append(&to->inbox, &e->at);
	if (!to->is_woken)
		loop_post_sure(to->loop, &to->wake);
	to->is_woken = true;
}

static struct hub_net *net_of(uint64_t id)
{
	struct hub_net *h;

	list_each(&nets, h, at)
		if (h->id == id)
			return h;
	return NULL;
}

static void lose_both(struct hub_net *one, struct hub_net *other,
		      enum net_channel channel)
{
	put(one, event_new(other, LOST, channel, 0, STR_NONE));
	put(other, event_new(one, LOST, channel, 0, STR_NONE));
}

/* False: it is not there, at that address, or there is no way. */
static bool give(struct hub_net *h, const struct peer *peer, int type,
		 enum net_channel channel, uint64_t number, struct str bytes)
{
	struct hub_net *to;
	bool yes;

	pthread_mutex_lock(&lock);
	to = net_of(peer->id);
	yes = to && strcmp(to->address, peer->address) == 0 &&
	      !is_cut[h->id][peer->id];
	if (yes && type == FRAME && loses[channel] && bytes.n > 1 &&
	    (uint8_t)bytes.p[1] == loses[channel]) {
		loses[channel] = 0;
		lose_both(h, to, channel);
	} else if (yes) {
		put(to, event_new(h, type, channel, number, bytes));
	}
	pthread_mutex_unlock(&lock);
	return yes;
}

void hub_lose(enum net_channel channel, uint8_t byte)
{
	pthread_mutex_lock(&lock);
	loses[channel] = byte;
	pthread_mutex_unlock(&lock);
}

void hub_cut(uint64_t a, uint64_t b, bool cut)
{
	struct hub_net *one, *other;

	pthread_mutex_lock(&lock);
	is_cut[a][b] = is_cut[b][a] = cut;
	one = net_of(a);
	other = net_of(b);
	if (cut && one && other)
		lose_both(one, other, 0);
	pthread_mutex_unlock(&lock);
}

uint64_t hub_frames(enum net_channel channel)
{
	return atomic_load(&arrived[channel]);
}

uint64_t hub_bytes(enum net_channel channel)
{
	return atomic_load(&bytes[channel]);
}

/* ---- on the loop ---- */

static struct peer *peer_of(const struct hub_net *h, uint64_t id)
{
	struct peer *p;

	list_each(&h->peers, p, at)
		if (p->id == id)
			return p;
	return NULL;
}

static bool may_come(const struct hub_net *h, const struct event *e)
{
	struct err err;

	return memcmp(&h->cluster, &e->cluster, sizeof(h->cluster)) == 0 &&
	       (!h->on.may_come ||
		h->on.may_come(h->on.data, e->from, &e->incarnation, &err) == OK);
}

static void say_in(struct hub_net *h, uint64_t id, enum net_channel c, bool is_up)
{
	if (h->on.on_in && !h->is_stopped)
		h->on.on_in(h->on.data, id, c, is_up);
}

static void on_call(struct hub_net *h, struct peer *p, const struct event *e)
{
	struct link *l = &p->links[e->channel];

	if (!may_come(h, e))
		return;
	if (l->in)
		say_in(h, e->from, e->channel, false);
	p = peer_of(h, e->from);         /* the handler may have removed it */
	if (!p)
		return;
	l = &p->links[e->channel];
	l->in = e->number;
	l->stats.accepts++;
	say_in(h, e->from, e->channel, true);
	p = peer_of(h, e->from);
	if (p)
		(void)give(h, p, WELCOME, e->channel, e->number, STR_NONE);
}

static void on_welcome(struct hub_net *h, struct peer *p, const struct event *e)
{
	struct link *l = &p->links[e->channel];

	if (l->asked != e->number || l->out || !may_come(h, e))
		return;
	l->asked = 0;
	l->out = e->number;
	l->stats.connects++;
	l->stats.queued_bytes = 0;
	h->on.on_peer(h->on.data, e->from, e->channel, true);
}

static void on_frame(struct hub_net *h, struct peer *p, const struct event *e)
{
	struct link *l = &p->links[e->channel];

	if (l->in != e->number)
		return;
	l->stats.frames_in++;
	l->stats.bytes_in += e->n;
	atomic_fetch_add(&arrived[e->channel], 1);
	atomic_fetch_add(&bytes[e->channel], e->n);
	/* The number of bytes is all that is said back. */
	(void)give(h, p, TAKEN, e->channel, e->number, str_n(e->bytes, e->n));
	h->on.on_frame(h->on.data, e->from, e->channel, str_n(e->bytes, e->n));
}

static void on_taken(struct hub_net *h, struct peer *p, const struct event *e)
{
	struct link *l = &p->links[e->channel];

	if (l->out != e->number)
		return;
	l->stats.queued_bytes -= e->n;
	if (!l->was_busy || l->stats.queued_bytes)
		return;
	l->was_busy = false;
	h->on.on_room(h->on.data, e->from, e->channel);
}

static void lose(struct hub_net *h, uint64_t id, enum net_channel c)
{
	struct peer *p = peer_of(h, id);
	struct link *l;
	bool was_up, was_in;

	if (!p)
		return;
	l = &p->links[c];
	was_up = l->out;
	was_in = l->in;
	l->out = l->in = l->asked = 0;
	l->was_busy = false;
	l->stats.queued_bytes = 0;
	if (was_up)
		h->on.on_peer(h->on.data, id, c, false);
	if (was_in && peer_of(h, id))
		say_in(h, id, c, false);
}

static void on_lost(struct hub_net *h, uint64_t id, enum net_channel channel)
{
	for (unsigned c = 1; c < NET__CHANNELS; c++)
		if (!channel || c == channel)
			lose(h, id, c);
}

static void take(struct hub_net *h, const struct event *e)
{
	struct peer *p = peer_of(h, e->from);

	if (!p || h->is_stopped)
		return;
	switch (e->type) {
	case CALL: on_call(h, p, e); break;
	case WELCOME: on_welcome(h, p, e); break;
	case FRAME: on_frame(h, p, e); break;
	case TAKEN: on_taken(h, p, e); break;
	case LOST: on_lost(h, e->from, e->channel); break;
	}
}

static struct event *next_event(struct hub_net *h)
{
	struct event *e;

	pthread_mutex_lock(&lock);
	e = list_first(&h->inbox, struct event, at);
	if (e)
		list_remove(&e->at);
	else
		h->is_woken = false;
	pthread_mutex_unlock(&lock);
	return e;
}

static void on_wake(struct msg *msg)
{
	struct hub_net *h = container_of(msg, struct hub_net, wake);
	struct event *e;

	while ((e = next_event(h))) {
		take(h, e);
		free(e);
	}
}

static uint64_t next_number(void)
{
	uint64_t number;

	pthread_mutex_lock(&lock);
	number = ++numbers;
	pthread_mutex_unlock(&lock);
	return number;
}

static void dial(struct hub_net *h, struct peer *p, enum net_channel c)
{
	struct link *l = &p->links[c];
	uint64_t now = loop_now_ms(h->loop);

	if (!l->is_wanted || l->out || (l->asked && now < l->asked_ms + PATIENCE_MS))
		return;
	l->stats.attempts++;
	l->asked = next_number();
	l->asked_ms = now;
	if (!give(h, p, CALL, c, l->asked, STR_NONE))
		l->asked = 0;
}

static void on_timer(struct timer *timer)
{
	struct hub_net *h = container_of(timer, struct hub_net, timer);
	struct peer *p;

	list_each(&h->peers, p, at)
		for (unsigned c = 1; c < NET__CHANNELS; c++)
			dial(h, p, c);
	timer_start(&h->timer, TICK_MS);
}

/* ---- operations ---- */

static enum code ask(struct net *net, struct str address, struct net_ask *ask,
		     struct err *err)
{
	return err_set(err, E_UNSUPPORTED, "nobody is asked here");
}

static void identify(struct net *net, const struct uuid *cluster)
{
	hub_of(net)->cluster = *cluster;
}

static enum code peer_set(struct net *net, uint64_t id, struct str address,
			  struct err *err)
{
	struct hub_net *h = hub_of(net);
	struct peer *p = peer_of(h, id);

	if (id == 0 || id == h->id || id >= IDS_MAX)
		return err_set(err, E_INVALID, "this is no other node's id");
	if (p && str_eq(str_of(p->address), address))
		return OK;
	if (!p) {
		p = NEW(struct peer);
		p->id = id;
		p->links[NET_RAFT].is_wanted = true;
		list_append(&h->peers, &p->at);
	}
	must(str_copy(p->address, sizeof(p->address), address));
	return OK;
}

static void peer_remove(struct net *net, uint64_t id)
{
	struct hub_net *h = hub_of(net);
	struct peer *p = peer_of(h, id);

	if (!p)
		return;
	(void)give(h, p, LOST, 0, 0, STR_NONE);
	list_remove(&p->at);
	free(p);
}

static enum code send_frame(struct net *net, uint64_t id, enum net_channel c,
			    struct str bytes)
{
	struct hub_net *h = hub_of(net);
	struct peer *p = peer_of(h, id);
	struct link *l;

	loop_must_be_here(h->loop);
	if (!p)
		return E_NOT_FOUND;
	l = &p->links[c];
	if (bytes.n > h->limits.frame_bytes_max)
		return E_TOO_LARGE;
	if (!l->out)
		return E_UNAVAILABLE;
	if (l->stats.queued_bytes &&
	    l->stats.queued_bytes + bytes.n > h->limits.queue_bytes_max[c]) {
		l->was_busy = true;
		return E_BUSY;
	}
	if (!give(h, p, FRAME, c, l->out, bytes))
		return E_UNAVAILABLE;
	l->stats.queued_bytes += bytes.n;
	l->stats.frames_out++;
	l->stats.bytes_out += bytes.n;
	return OK;
}

static void want(struct net *net, uint64_t id, enum net_channel c, bool on)
{
	struct peer *p = peer_of(hub_of(net), id);

	if (p)
		p->links[c].is_wanted = on || c == NET_RAFT;
}

static void drop(struct net *net, uint64_t id, enum net_channel c)
{
	struct hub_net *h = hub_of(net);
	struct peer *p = peer_of(h, id);

	if (!p)
		return;
	(void)give(h, p, LOST, c, 0, STR_NONE);
	pthread_mutex_lock(&lock);
	if (!h->is_stopped) {
		struct event *e = event_new(h, LOST, c, 0, STR_NONE);

		e->from = id;
		put(h, e);
	}
	pthread_mutex_unlock(&lock);
}

/* Nodes hold nobody. */
static void hold(struct net *net, uint64_t id, enum net_channel c, bool on)
{
}

static enum code tls_reload(struct net *net, struct err *err)
{
	return OK;
}

static void stats(struct net *net, struct net_stats *out)
{
	*out = (struct net_stats){ 0 };
}

static enum code peer_stats(struct net *net, uint64_t id,
			    struct net_peer_stats *out)
{
	const struct peer *p = peer_of(hub_of(net), id);

	if (!p)
		return E_NOT_FOUND;
	*out = (struct net_peer_stats){ 0 };
	must(str_copy(out->address, sizeof(out->address), str_of(p->address)));
	for (unsigned c = 1; c < NET__CHANNELS; c++) {
		out->links[c] = p->links[c].stats;
		out->links[c].is_up = p->links[c].out;
		out->links[c].is_up_in = p->links[c].in;
	}
	return OK;
}

static void stop(struct net *net)
{
	struct hub_net *h = hub_of(net), *other;

	if (h->is_stopped)
		return;
	h->is_stopped = true;
	timer_close(&h->timer, NULL);
	pthread_mutex_lock(&lock);
	list_remove(&h->at);
	list_each(&nets, other, at)
		put(other, event_new(h, LOST, 0, 0, STR_NONE));
	pthread_mutex_unlock(&lock);
}

static void free_hub(struct net *net)
{
	struct hub_net *h = hub_of(net);
	struct event *e;
	struct peer *p;

	list_each(&h->peers, p, at)
		free(p);
	list_each(&h->inbox, e, at)
		free(e);
	free(h);
}

static const struct net_ops ops = {
	.ask = ask, .identify = identify, .stop = stop, .free = free_hub,
	.peer_set = peer_set, .peer_remove = peer_remove, .send = send_frame,
	.want = want, .drop = drop, .hold = hold, .tls_reload = tls_reload,
	.stats = stats, .peer_stats = peer_stats,
};

enum code hub_open(const struct net_config *config,
		   const struct net_handlers *handlers, struct net **out,
		   struct err *err)
{
	struct hub_net *h = NEW(struct hub_net);

	must(config->node_id < IDS_MAX);
	h->net.ops = &ops;
	h->loop = config->loop;
	h->id = config->node_id;
	h->cluster = config->cluster_id;
	h->incarnation = config->incarnation;
	must(str_copy(h->address, sizeof(h->address), str_of(config->listen)));
	h->limits = config->limits;
	h->on = *handlers;
	h->wake.run = on_wake;
	list_init(&h->peers);
	list_init(&h->inbox);
	timer_init(&h->timer, h->loop, on_timer);
	timer_start(&h->timer, 0);
	pthread_mutex_lock(&lock);
	list_append(&nets, &h->at);
	pthread_mutex_unlock(&lock);
	*out = &h->net;
	return OK;
}
