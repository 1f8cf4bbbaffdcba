/*
 * The transport over TCP: the node's side of net.h.  One timer serves all that
 * waits; peers and channels are few, so each tick looks at all of them.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/own.h"

#include "base/banned.h"

#define LOG_EACH_MS 60000u

static struct tcp *tcp_of(struct net *net)
{
	return container_of(net, struct tcp, net);
}

struct tcp *tcp_of_net(struct net *net)
{
	return tcp_of(net);
}

const char *net_channel_name(enum net_channel channel)
{
	static const char *const names[NET__CHANNELS] = {
		[NET_RAFT] = "raft",
		[NET_RPC] = "rpc",
		[NET_SHIP] = "ship",
	};

	return channel >= 1 && channel < NET__CHANNELS ? names[channel] : "none";
}

void net_config_defaults(struct net_config *config)
{
	*config = (struct net_config){
		.limits = {
			.frame_bytes_max = 8u << 20,
			.queue_bytes_max = {
				[NET_RAFT] = 64u << 20,
				[NET_RPC] = 16u << 20,
				[NET_SHIP] = 16u << 20,
			},
			.connect_timeout_ms = 3000,
			.backoff_max_ms = 1000,
			.ping_ms = 500,
			.dead_ms = 2000,
			.strangers_max = 64,
		},
	};
}

void net_free(struct net **at)
{
	struct net *net = TAKE(*at);

	if (net)
		net->ops->free(net);
}

/* ---- peers ---- */

struct peer *peer_find(const struct tcp *tcp, uint64_t id)
{
	struct peer *peer;

	list_each(&tcp->peers, peer, at)
		if (peer->id == id)
			return peer;
	return NULL;
}

void peer_error(struct peer *peer, enum net_channel channel,
		const struct err *err)
{
	uint64_t now = loop_now_ms(peer->tcp->loop);

	err_copy(&peer->error, err);
	peer->error_ms = clock_wall_ms();
	if (now < peer->log_ms)
		return;
	peer->log_ms = now + LOG_EACH_MS;
	peer->was_logged = true;
	log_warn("net",
		 LOG_KV(log_u("peer", peer->id), log_z("address", peer->address),
			log_z("channel", net_channel_name(channel))),
		 "%s", err->text);
}

void peer_is_well(struct peer *peer, enum net_channel channel)
{
	bool is_first = peer->links[channel].stats.connects == 1;

	if (channel != NET_RAFT || !(is_first || peer->was_logged))
		return;
	peer->was_logged = false;
	log_info("net",
		 LOG_KV(log_u("peer", peer->id), log_z("address", peer->address)),
		 "connected");
}

enum code tcp_may_come(struct tcp *tcp, uint64_t peer,
		       const struct uuid *incarnation, struct err *err)
{
	enum code rc;

	if (!tcp->on.may_come)
		return OK;
	rc = tcp->on.may_come(tcp->on.data, peer, incarnation, err);
	if (rc)
		tcp->refused_incarnation++;
	return rc;
}

static void peer_free(struct peer *peer)
{
	for (unsigned i = 1; i < NET__CHANNELS; i++)
		link_fini(&peer->links[i]);
	door_close(peer);
	list_remove(&peer->at);
	free(peer);
}

enum code tcp_check_address(const struct tcp *tcp, struct str address,
			    char host[ADDR_HOST_MAX], struct err *err)
{
	bool is_loopback;
	uint16_t port;
	enum code rc = addr_split(address, host, &port, err);

	if (!rc && port == 0)
		rc = err_set(err, E_INVALID,
			     "address \"%.*s\": port 0 is no port",
			     STR_ARG(address));
	if (rc || tcp->tls_client || tcp->allow_clear_text)
		return rc;
	if (!addr_is_numeric(host, &is_loopback) || is_loopback)
		return OK;
	err_set(err, E_DENIED,
		"%.*s is beyond loopback, and clear text is not allowed",
		STR_ARG(address));
	return err_hint(err,
			"give the nodes certificates, or allow clear text by name");
}

static struct peer *peer_new(struct tcp *tcp, uint64_t id)
{
	struct peer *peer = NEW(struct peer);

	peer->tcp = tcp;
	peer->id = id;
	for (unsigned i = 1; i < NET__CHANNELS; i++)
		link_init(&peer->links[i], peer, (enum net_channel)i);
	list_append(&tcp->peers, &peer->at);
	tcp->changes++;
	return peer;
}

static enum code peer_set(struct net *net, uint64_t id, struct str address,
			  struct err *err)
{
	struct tcp *tcp = tcp_of(net);
	struct peer *peer = peer_find(tcp, id);
	char host[ADDR_HOST_MAX];
	enum code rc = OK;

	loop_must_be_here(tcp->loop);
	if (id == 0 || id == tcp->id)
		rc = err_set(err, E_INVALID, "this is no other node's id");
	if (!rc)
		rc = tcp_check_address(tcp, address, host, err);
	if (rc)
		return err_wrap(err, "peer %llu", (unsigned long long)id);
	if (tcp->is_stopped || (peer && str_eq(str_of(peer->address), address)))
		return OK;
	if (!peer)
		peer = peer_new(tcp, id);
	must(str_copy(peer->address, sizeof(peer->address), address));
	memcpy(peer->host, host, sizeof(peer->host));
	for (unsigned i = 1; i < NET__CHANNELS; i++) {
		link_again(&peer->links[i]);
		if (peer->in[i].conn)
			stream_abort(peer->in[i].conn->stream);
	}
	/* Below the caller no handler runs. */
	tcp_due(tcp, 0);
	return OK;
}

static void peer_remove(struct net *net, uint64_t id)
{
	struct tcp *tcp = tcp_of(net);
	struct peer *peer = peer_find(tcp, id);

	loop_must_be_here(tcp->loop);
	if (!peer)
		return;
	peer->is_gone = true;
	tcp->changes++;
	for (unsigned i = 1; i < NET__CHANNELS; i++)
		link_fini(&peer->links[i]);
	door_close(peer);
	/* What is below us on the stack may still look at it. */
	list_remove(&peer->at);
	list_append(&tcp->gone, &peer->at);
	tcp_due(tcp, 0);
}

static enum code send_frame(struct net *net, uint64_t id,
			    enum net_channel channel, struct str bytes)
{
	struct tcp *tcp = tcp_of(net);
	struct peer *peer;

	loop_must_be_here(tcp->loop);
	must(channel >= 1 && channel < NET__CHANNELS);
	if (tcp->is_stopped)
		return E_UNAVAILABLE;
	peer = peer_find(tcp, id);
	return peer ? link_send(&peer->links[channel], bytes) : E_NOT_FOUND;
}

static void want(struct net *net, uint64_t id, enum net_channel channel, bool on)
{
	struct tcp *tcp = tcp_of(net);
	struct peer *peer = peer_find(tcp, id);

	loop_must_be_here(tcp->loop);
	must(channel >= 1 && channel < NET__CHANNELS);
	if (!peer)
		return;
	peer->links[channel].is_wanted = on || channel == NET_RAFT;
	tcp_due(tcp, 0);
}

static void drop(struct net *net, uint64_t id, enum net_channel channel)
{
	struct tcp *tcp = tcp_of(net);
	struct peer *peer = peer_find(tcp, id);

	loop_must_be_here(tcp->loop);
	must(channel >= 1 && channel < NET__CHANNELS);
	if (peer && peer->links[channel].conn)
		stream_abort(peer->links[channel].conn->stream);
	if (peer && peer->in[channel].conn)
		stream_abort(peer->in[channel].conn->stream);
}

static void hold(struct net *net, uint64_t id, enum net_channel channel, bool on)
{
	struct tcp *tcp = tcp_of(net);
	struct peer *peer = peer_find(tcp, id);

	loop_must_be_here(tcp->loop);
	must(channel >= 1 && channel < NET__CHANNELS);
	if (peer && !tcp->is_stopped)
		door_hold(peer, channel, on);
}

/* ---- time ---- */

void tcp_due(struct tcp *tcp, uint64_t at_ms)
{
	uint64_t now = loop_now_ms(tcp->loop);

	if (tcp->is_stopped || at_ms >= tcp->due_ms)
		return;
	tcp->due_ms = at_ms;
	timer_start(&tcp->timer, at_ms > now ? at_ms - now : 0);
}

bool tcp_is_silent(const struct tcp *tcp, uint64_t heard_ms,
		   uint64_t patience_ms)
{
	uint64_t since = MAX(heard_ms, tcp->woke_ms);

	return loop_now_ms(tcp->loop) >= since + patience_ms;
}

/* False: a handler has changed what is gone through. */
static bool tick_links(struct tcp *tcp, uint64_t now, uint64_t *due)
{
	unsigned changes = tcp->changes;
	struct peer *peer;

	list_each(&tcp->peers, peer, at)
		for (unsigned i = 1; i < NET__CHANNELS; i++) {
			uint64_t at = link_tick(&peer->links[i], now);

			if (tcp->is_stopped || changes != tcp->changes)
				return false;
			*due = MIN(*due, at);
		}
	return true;
}

static void on_timer(struct timer *timer)
{
	struct tcp *tcp = container_of(timer, struct tcp, timer);
	uint64_t now = loop_now_ms(tcp->loop), due = UINT64_MAX;
	struct conn *c;

	if (tcp->due_ms && now > tcp->due_ms + tcp->limits.ping_ms)
		tcp->woke_ms = now;
	tcp->due_ms = UINT64_MAX;
	while (!tick_links(tcp, now, &due))
		if (tcp->is_stopped)
			return;
	list_each(&tcp->conns, c, at)
		if (!c->link && !c->is_dropped)
			due = MIN(due, c->ask ? ask_tick(c, now) :
						door_tick(c, now));
	tcp_due(tcp, due);
}

/* Links whose handler sends again wait for the next turn. */
static void on_turn(struct turn *turn)
{
	struct tcp *tcp = container_of(turn, struct tcp, turn);
	struct list dirty;
	struct link *link;
	struct peer *peer;

	list_init(&dirty);
	while ((link = list_first(&tcp->dirty, struct link, dirty_at))) {
		list_remove(&link->dirty_at);
		list_append(&dirty, &link->dirty_at);
	}
	while ((link = list_first(&dirty, struct link, dirty_at)))
		link_turn(link);
	if (!list_empty(&tcp->dirty))
		tcp_due(tcp, 0);
	list_each(&tcp->gone, peer, at)
		peer_free(peer);
}

/* ---- questions ---- */

static enum code tls_reload(struct net *net, struct err *err)
{
	struct tcp *tcp = tcp_of(net);
	enum code rc;

	if (!tcp->tls_server)
		return OK;
	rc = tls_client_reload(tcp->tls_client, err);
	return rc ? rc : tls_server_reload(tcp->tls_server, err);
}

static void stats(struct net *net, struct net_stats *out)
{
	struct tcp *tcp = tcp_of(net);

	*out = (struct net_stats){
		.listen = tcp->addr,
		.accepted = tcp->accepted,
		.refused = tcp->refused,
		.refused_incarnation = tcp->refused_incarnation,
		.strangers = tcp->strangers,
	};
	memcpy(out->refused_by, tcp->refused_by, sizeof(out->refused_by));
	if (tcp->tls_server)
		out->cert_expiry = tls_server_expiry(tcp->tls_server);
}

static enum code peer_stats(struct net *net, uint64_t id,
			    struct net_peer_stats *out)
{
	struct peer *peer = peer_find(tcp_of(net), id);

	if (!peer)
		return E_NOT_FOUND;
	*out = (struct net_peer_stats){
		.error_ms = peer->error_ms,
		.cert_expiry = peer->cert_expiry,
	};
	must(str_copy(out->address, sizeof(out->address), str_of(peer->address)));
	err_copy(&out->error, &peer->error);
	for (unsigned i = 1; i < NET__CHANNELS; i++) {
		out->links[i] = peer->links[i].stats;
		out->links[i].is_up = peer->links[i].fsm.state == LINK_UP;
		out->links[i].is_up_in = peer->in[i].conn != NULL;
		out->links[i].queued_bytes = link_queued(&peer->links[i]);
	}
	return OK;
}

/* ---- life ---- */

static void stop(struct net *net)
{
	struct tcp *tcp = tcp_of(net);
	struct peer *peer;
	struct conn *c;

	loop_must_be_here(tcp->loop);
	if (tcp->is_stopped)
		return;
	tcp->is_stopped = true;
	listener_close(&tcp->listener);
	timer_close(&tcp->timer, NULL);
	loop_off_turn(tcp->loop, &tcp->turn);
	list_each(&tcp->peers, peer, at) {
		for (unsigned i = 1; i < NET__CHANNELS; i++)
			link_fini(&peer->links[i]);
		door_close(peer);
	}
	list_each(&tcp->conns, c, at) {
		c->is_dropped = true;
		stream_abort(c->stream);
	}
}

static void discard(struct tcp *tcp)
{
	struct peer *peer;

	list_each(&tcp->peers, peer, at)
		peer_free(peer);
	list_each(&tcp->gone, peer, at)
		peer_free(peer);
	tls_server_free(&tcp->tls_server);
	tls_client_free(&tcp->tls_client);
	free(tcp);
}

static void free_tcp(struct net *net)
{
	struct tcp *tcp = tcp_of(net);

	must(tcp->is_stopped && list_empty(&tcp->conns));
	discard(tcp);
}

static void identify(struct net *net, const struct uuid *cluster)
{
	must(list_empty(&tcp_of(net)->peers));
	tcp_of(net)->cluster = *cluster;
}

static const struct net_ops tcp_ops = {
	.ask = ask_start,
	.identify = identify,
	.stop = stop,
	.free = free_tcp,
	.peer_set = peer_set,
	.peer_remove = peer_remove,
	.send = send_frame,
	.want = want,
	.drop = drop,
	.hold = hold,
	.tls_reload = tls_reload,
	.stats = stats,
	.peer_stats = peer_stats,
};

static void check_config(const struct net_config *config)
{
	const struct net_limits *l = &config->limits;

	must(config->loop && config->node_id && config->listen);
	must(l->frame_bytes_max > 0 && l->frame_bytes_max <= UINT32_MAX / 2);
	must(l->connect_timeout_ms && l->backoff_max_ms && l->strangers_max);
	must(l->ping_ms && l->ping_ms <= 60000 && l->dead_ms > l->ping_ms);
}

static enum code open_tls(struct tcp *tcp, const struct net_tls *tls,
			  struct err *err)
{
	enum code rc;

	if (!tls)
		return OK;
	rc = tls_server_new_mutual(tls->cert_file, tls->key_file, tls->ca_file,
				   &tcp->tls_server, err);
	if (rc)
		return rc;
	return tls_client_new_mutual(tls->cert_file, tls->key_file,
				     tls->ca_file, &tcp->tls_client, err);
}

static enum code open_door(struct tcp *tcp, const char *listen, struct err *err)
{
	enum code rc = listener_new(tcp->loop, str_of(listen), false,
				    tcp->tls_server, door_accept, tcp,
				    &tcp->listener, err);

	if (rc)
		return rc;
	listener_addr(tcp->listener, &tcp->addr);
	if (tcp->tls_server || tcp->allow_clear_text || tcp->addr.is_loopback)
		return OK;
	listener_close(&tcp->listener);
	err_set(err, E_DENIED,
		"%s is beyond loopback, and clear text is not allowed", listen);
	return err_hint(err,
			"give the node certificates, or allow clear text by name");
}

static struct tcp *tcp_new(const struct net_config *config,
			   const struct net_handlers *handlers)
{
	struct tcp *tcp = NEW(struct tcp);

	tcp->net.ops = &tcp_ops;
	tcp->loop = config->loop;
	tcp->limits = config->limits;
	tcp->on = *handlers;
	tcp->id = config->node_id;
	tcp->cluster = config->cluster_id;
	tcp->incarnation = config->incarnation;
	tcp->allow_clear_text = config->allow_clear_text;
	tcp->boot = rand_u64();
	tcp->due_ms = UINT64_MAX;
	prng_init(&tcp->prng, tcp->boot);
	list_init(&tcp->peers);
	list_init(&tcp->gone);
	list_init(&tcp->conns);
	list_init(&tcp->dirty);
	return tcp;
}

enum code net_open_tcp(const struct net_config *config,
		       const struct net_handlers *handlers, struct net **out,
		       struct err *err)
{
	struct tcp *tcp;
	enum code rc;

	check_config(config);
	must(handlers->on_frame);
	tcp = tcp_new(config, handlers);
	rc = open_tls(tcp, config->tls, err);
	if (!rc)
		rc = open_door(tcp, config->listen, err);
	if (rc) {
		discard(tcp);
		return rc;
	}
	timer_init(&tcp->timer, tcp->loop, on_timer);
	tcp->turn.run = on_turn;
	loop_on_turn(tcp->loop, &tcp->turn);
	*out = &tcp->net;
	return OK;
}
