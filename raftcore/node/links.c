/*
 * The other nodes: who they are, and messages between the engines.
 *
 * Peers are those of the newest membership in the log.  A node that is not in it
 * waits to be made a member and takes those that its configuration names as
 * well: it knows no membership yet, or one of a checkpoint from before the one
 * that leads now was a member.
 */
#include "base/log.h"
#include "base/mem.h"
#include "node/driver.h"
#include "node/guard.h"

#include "base/banned.h"

#define TICK_MS 1000u
/* Entries wait while so much is on its way to a peer. */
#define QUEUE_BYTES (2u << 20)
/* Of messages that wait for a connection which is being made: votes, heartbeats.  A
 * peer that stands still accepts connections and agrees to none of them. */
#define STANDING_BYTES (64u << 10)
#define WARN_EACH_MS 60000u

struct link *link_of(const struct rc_node *n, uint64_t id)
{
	for (size_t i = 0; i < n->n_links; i++)
		if (n->links[i]->id == id)
			return n->links[i];
	return NULL;
}

/* ---- who ---- */

static struct link *link_add(struct rc_node *n, uint64_t id)
{
	struct link *l;

	if (n->n_links == PEERS_MAX)
		return NULL;
	l = NEW(struct link);
	l->id = id;
	session_init(&l->rpc, n, id, NET_RPC);
	session_init(&l->ship, n, id, NET_SHIP);
	n->links[n->n_links++] = l;
	return l;
}

static void link_remove(struct rc_node *n, size_t i)
{
	struct link *l = n->links[i];

	if (l->is_up)
		event_tell(n, RC_EVENT_PEER_DOWN, 0, l->id, NULL);
	net_peer_remove(n->net, l->id);
	session_end(&l->rpc);
	session_end(&l->ship);
	shipper_peer_gone(n, l->id);
	n->links[i] = n->links[--n->n_links];
	free(l);
}

/* True where something is another. */
static bool link_set(struct rc_node *n, uint64_t id, const char *address)
{
	struct link *l = link_of(n, id);

	if (l && strcmp(l->address, address) == 0)
		return false;
	if (!l)
		l = link_add(n, id);
	if (!l || !str_copy(l->address, sizeof(l->address), str_of(address)))
		return false;
	err_reset(&l->error);
	l->is_known = net_peer_set(n->net, id, str_of(address), &l->error) == OK;
	if (l->is_known) {
		net_want(n->net, id, NET_RPC, true);
		net_want(n->net, id, NET_SHIP, n->ship != NULL);
	} else {
		log_error(PART, LOG_KV(log_u("peer", id),
				       log_z("address", address)),
			  "not connected: %s", l->error.text);
	}
	return true;
}

static bool is_among(const struct node_peer *peers, size_t count, uint64_t id)
{
	for (size_t i = 0; i < count; i++)
		if (peers[i].id == id)
			return true;
	return false;
}

static size_t wanted_peers(const struct rc_node *n, struct node_peer *out)
{
	size_t count = MIN(node_core_peers(n->core, out, PEERS_MAX),
			   (size_t)PEERS_MAX);

	if (is_among(out, count, n->config.node_id) ||
	    former_is_active(n))         /* it is not known yet who is who */
		return count;
	for (size_t i = 0; i < n->config.n_members && count < PEERS_MAX; i++)
		if (!is_among(out, count, n->members[i].id))
			out[count++] = (struct node_peer){
				.id = n->members[i].id,
				.address = n->members[i].address };
	return count;
}

/* Who is no member any more may come back with another data directory. */
void host_members(void *host, uint64_t index, struct str conf)
{
	struct rc_node *n = host;
	struct engine_member *members = mem_zero(PEERS_MAX * sizeof(*members));
	uint64_t ids[PEERS_MAX];
	size_t count = engine_members(conf, members, PEERS_MAX);

	for (size_t i = 0; i < MIN(count, (size_t)PEERS_MAX); i++)
		ids[i] = members[i].id;
	if (count && count <= PEERS_MAX) {
		known_keep(&n->known, index, ids, count,
			   n->incoming.state == INCOMING_GIVEN);
		event_members(n, index, members, count);
	}
	free(members);
}

static bool set_peers(struct rc_node *n)
{
	struct node_peer peers[PEERS_MAX];
	size_t count = wanted_peers(n, peers);
	bool is_other = false;

	for (size_t i = n->n_links; i-- > 0;)
		if (!is_among(peers, count, n->links[i]->id)) {
			link_remove(n, i);
			is_other = true;
		}
	for (size_t i = 0; i < count; i++)
		if (peers[i].id != n->config.node_id)
			is_other |= link_set(n, peers[i].id, peers[i].address);
	return is_other;
}

/* ---- messages of the engine ---- */

static size_t queued_to(const struct rc_node *n, uint64_t peer)
{
	struct net_peer_stats st;

	return net_peer_stats(n->net, peer, &st) ?
		       0 : st.links[NET_RAFT].queued_bytes;
}

static void count_lost(struct rc_node *n)
{
	atomic_fetch_add(&n->shown.lost, 1);
}

void host_send(void *host, uint64_t peer, const struct engine_message *m)
{
	struct rc_node *n = host;
	const struct link *l = link_of(n, peer);

	if (!n->net)
		return;
	buf_reset(&n->out);
	message_encode(&n->out, m);
	if ((l && !l->is_up && queued_to(n, peer) + n->out.n > STANDING_BYTES) ||
	    net_send(n->net, peer, NET_RAFT, buf_view(&n->out)))
		count_lost(n);
}

static size_t room_to(const struct rc_node *n, const struct link *l)
{
	size_t queued = queued_to(n, l->id);

	return queued < QUEUE_BYTES ? QUEUE_BYTES - queued : 0;
}

/*
 * Entries do not wait for a connection: by the time there is one they are old, and
 * so many that a peer which hangs costs what the queue may hold.  The peer says what
 * it has when the next heartbeat finds it, and is sent what is missing, or a
 * checkpoint.
 */
size_t host_room(void *host, uint64_t peer)
{
	struct rc_node *n = host;
	struct link *l = link_of(n, peer);
	size_t room;

	if (!l || !l->is_up) {
		count_lost(n);
		return NODE_NOWHERE;
	}
	room = room_to(n, l);
	if (room == 0)
		l->waits = true;
	return room;
}

static void say_malformed(struct rc_node *n, struct link *l,
			  const struct err *err)
{
	uint64_t now = node_now(n);

	atomic_fetch_add(&n->shown.malformed, 1);
	if (l->warned_ms && now < l->warned_ms + WARN_EACH_MS)
		return;
	l->warned_ms = now;
	log_warn(PART, LOG_KV(log_u("peer", l->id), log_z("error", err->text)),
		 "a message of the engine is malformed, and not taken");
}

static void take_message(struct rc_node *n, struct link *l, struct str bytes)
{
	struct engine_message m;
	struct err err = { 0 };

	arena_reset(n->arena);
	if (message_decode(n->arena, bytes, &m, &err) ||
	    guard_message(&m, &err)) {
		say_malformed(n, l, &err);
		return;
	}
	m.peer = l->id;
	node_core_receive(n->core, node_now(n), &m);
	node_touch(n);
}

/* ---- what the transport tells ---- */

static void on_frame(void *data, uint64_t peer, enum net_channel channel,
		     struct str bytes)
{
	struct rc_node *n = data;
	struct link *l = link_of(n, peer);

	if (!l)
		return;
	if (channel == NET_RAFT)
		take_message(n, l, bytes);
	else if (channel == NET_RPC)
		session_receive(&l->rpc, bytes);
	else if (n->ship)
		session_receive(&l->ship, bytes);
}

/* Also said where frames waited for a connection that failed. */
static void tell_peer(struct rc_node *n, const struct link *l, bool is_up)
{
	struct net_peer_stats st;

	if (l->is_up == is_up)
		return;
	if (is_up || net_peer_stats(n->net, l->id, &st) || !st.error.code)
		event_tell(n, is_up ? RC_EVENT_PEER_UP : RC_EVENT_PEER_DOWN, 0,
			   l->id, NULL);
	else
		event_tell(n, RC_EVENT_PEER_DOWN, 0, l->id, &st.error);
}

static void on_peer(void *data, uint64_t peer, enum net_channel channel,
		    bool is_up)
{
	struct rc_node *n = data;
	struct link *l = link_of(n, peer);

	if (!l)
		return;
	if (channel == NET_RPC) {
		session_link(&l->rpc, is_up);
	} else if (channel == NET_SHIP && n->ship) {
		session_link(&l->ship, is_up);
	} else if (channel == NET_RAFT) {
		tell_peer(n, l, is_up);
		l->is_up = is_up;
		n->tick_ms = 0;
	}
}

static void on_in(void *data, uint64_t peer, enum net_channel channel,
		  bool is_up)
{
	struct rc_node *n = data;
	struct link *l = link_of(n, peer);

	if (!l || is_up)
		return;
	if (channel == NET_RPC)
		session_lost(&l->rpc);
	else if (channel == NET_SHIP && n->ship)
		session_lost(&l->ship);
}

static void on_room(void *data, uint64_t peer, enum net_channel channel)
{
	struct rc_node *n = data;
	struct link *l = link_of(n, peer);

	if (l && channel == NET_RPC)
		session_room(&l->rpc);
	else if (l && channel == NET_SHIP && n->ship)
		session_room(&l->ship);
}

static enum code may_come(void *data, uint64_t peer,
			  const struct uuid *incarnation, struct err *err)
{
	struct rc_node *n = data;
	enum code rc = known_check(&n->known, peer, incarnation, err);

	if (rc == E_DENIED)
		doubt_denied(n, peer, incarnation);
	return rc;
}

/* ---- turns ---- */

static void write_waiting(struct rc_node *n)
{
	bool is_writable = false;

	for (size_t i = 0; i < n->n_links; i++) {
		struct link *l = n->links[i];

		if (!l->waits ||
		    (l->is_up && room_to(n, l) < QUEUE_BYTES / 2))
			continue;
		l->waits = false;
		is_writable = true;
	}
	if (is_writable)
		node_core_writable(n->core);
}

void links_turn(struct rc_node *n, bool is_touched)
{
	if (!n->net)
		return;
	if (is_touched && set_peers(n))
		n->tick_ms = 0;
	write_waiting(n);
	if (node_now(n) < n->tick_ms)
		return;
	doubt_tick(n);
	n->tick_ms = node_now(n) + TICK_MS;
	members_publish(n);
}

/* Queues get shorter in turns of their own; a look now and then does no harm. */
uint64_t links_deadline(const struct rc_node *n)
{
	uint64_t due = n->net ? n->tick_ms : UINT64_MAX;

	for (size_t i = 0; i < n->n_links; i++)
		if (n->links[i]->waits)
			due = MIN(due, node_now(n) + 2);
	return due;
}

/* ---- life ---- */

enum code links_open(struct rc_node *n, struct err *err)
{
	static const struct net_handlers handlers = {
		.on_frame = on_frame, .on_peer = on_peer, .on_in = on_in,
		.on_room = on_room, .may_come = may_come,
		.on_ask = former_on_ask
	};
	struct net_handlers mine = handlers;
	struct net_config c;

	if (!n->config.listen)
		return OK;
	mine.data = n;
	net_config_defaults(&c);
	c.loop = n->loop;
	c.node_id = n->config.node_id;
	c.cluster_id = n->view.cluster;
	c.incarnation = node_core_identity(n->core)->incarnation;
	c.listen = n->config.listen;
	c.tls = n->config.tls;
	c.allow_clear_text = n->config.allow_clear_text;
	n->arena = arena_new(64 * 1024);
	return (n->config.open_net ? n->config.open_net : net_open_tcp)(
		&c, &mine, &n->net, err);
}

void links_stop(struct rc_node *n)
{
	if (n->net)
		net_stop(n->net);
}

void links_free(struct rc_node *n)
{
	net_free(&n->net);
	for (size_t i = 0; i < n->n_links; i++)
		free(n->links[i]);
	n->n_links = 0;
	buf_fini(&n->out);
	arena_free(&n->arena);
}
