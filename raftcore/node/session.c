/* Whether two nodes agree on a connection: see session.h. */
#include "base/log.h"
#include "node/driver.h"
#include "wire/wire.h"

#include "base/banned.h"

/* A hello is this byte and two numbers. */
#define HELLO 0xff

void session_hello_encode(struct buf *out, uint64_t own, uint64_t other)
{
	wr_u8(out, HELLO);
	wr_u64(out, own);
	wr_u64(out, other);
}

bool session_hello_is(struct str frame)
{
	return frame.n && (uint8_t)frame.p[0] == HELLO;
}

enum code session_hello_decode(struct str frame, uint64_t *own, uint64_t *other,
			       struct err *err)
{
	struct rd rd = rd_of(frame);
	uint8_t type = rd_u8(&rd);
	uint64_t its = rd_u64(&rd), ours = rd_u64(&rd);

	/* A side that speaks has a number. */
	if (!rd_done(&rd) || type != HELLO || !its)
		return err_set(err, E_INVALID, "a hello is malformed");
	*own = its;
	*other = ours;
	return OK;
}

void session_init(struct session *s, struct rc_node *n, uint64_t peer,
		  enum net_channel channel)
{
	*s = (struct session){ .node = n, .peer = peer, .channel = channel };
}

static void say_hello(struct session *s)
{
	AUTO_BUF frame = BUF_NONE;

	session_hello_encode(&frame, s->own, s->other);
	s->owes_hello = net_send(s->node->net, s->peer, s->channel,
				 buf_view(&frame)) != OK;
}

static void begin(struct session *s)
{
	struct rc_node *n = s->node;
	struct err err = { 0 };
	enum code rc;

	if (s->channel == NET_RPC)
		rc = rpc_peer_up(n->rpc, s->peer, &err);
	else
		rc = ship_peer_up(n->ship, node_now(n), s->peer, &err);
	s->is_up = rc == OK;
	if (rc)
		log_error(PART, LOG_KV(log_u("peer", s->peer)), "%s", err.text);
}

void session_end(struct session *s)
{
	if (!s->is_up)
		return;
	s->is_up = false;
	if (s->channel == NET_RPC)
		rpc_peer_down(s->node->rpc, s->peer);
	else
		ship_peer_down(s->node->ship, s->peer);
}

static void begin_anew(struct session *s)
{
	session_end(s);
	s->own = rand_u64() | 1;
	say_hello(s);
}

void session_link(struct session *s, bool is_up)
{
	if (is_up) {
		begin_anew(s);
		return;
	}
	session_end(s);
	s->own = 0;
	s->owes_hello = false;
}

void session_lost(struct session *s)
{
	s->other = 0;
	if (s->own)
		begin_anew(s);
}

static void take_hello(struct session *s, uint64_t other, uint64_t own)
{
	bool is_new = other != s->other;

	if (is_new)
		session_end(s);
	s->other = other;
	if (!s->own)                     /* it is said when the link is up */
		return;
	if (own != s->own) {
		session_end(s);
		say_hello(s);
		return;
	}
	/* What is said before goes before all of the session. */
	if (is_new)
		say_hello(s);
	if (!s->is_up)
		begin(s);
}

static enum code take(struct session *s, struct str frame, struct err *err)
{
	struct rc_node *n = s->node;
	uint64_t other, own;
	enum code rc;

	if (session_hello_is(frame)) {
		rc = session_hello_decode(frame, &other, &own, err);
		if (rc == OK)
			take_hello(s, other, own);
		return rc;
	}
	if (!s->is_up)                   /* of a session that is over */
		return OK;
	if (s->channel == NET_RPC)
		return rpc_receive(n->rpc, node_now(n), s->peer, frame, err);
	return ship_receive(n->ship, node_now(n), s->peer, frame, err);
}

void session_receive(struct session *s, struct str frame)
{
	struct err err = { 0 };

	if (take(s, frame, &err) == OK)
		return;
	atomic_fetch_add(&s->node->shown.malformed, 1);
	log_warn(PART, LOG_KV(log_u("peer", s->peer),
			      log_z("channel", net_channel_name(s->channel)),
			      log_z("error", err.text)),
		 "a node breaks the rules; the connection begins anew");
	session_lost(s);
}

void session_room(struct session *s)
{
	if (s->owes_hello)
		say_hello(s);
	if (!s->is_up)
		return;
	if (s->channel == NET_RPC)
		rpc_writable(s->node->rpc, node_now(s->node), s->peer);
	else
		ship_writable(s->node->ship, node_now(s->node), s->peer);
}
