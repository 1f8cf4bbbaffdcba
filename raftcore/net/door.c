/*
 * What comes from peers: each connection says hello first, and is agreed to or
 * refused with a reason.  One of a peer's channel that is agreed to replaces
 * the one before it, so that nothing older can follow.
 *
 * The numbers of a hello make sure that the newer stays: of one life of a
 * process (boot) only connections with a greater serial are agreed to.  An
 * earlier life has ended when a later one says hello, and frames are sent only
 * when the answer to a hello has come.
 */
#include <stdio.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/own.h"

#include "base/banned.h"

#define PING_MAX_MS 60000u
#define LOG_EACH_MS 60000u

static const struct conn_use door_use;

/* ---- who was turned away ---- */

static bool may_log(struct tcp *tcp, const char *host)
{
	uint64_t now = loop_now_ms(tcp->loop);
	struct stranger *empty = NULL;

	for (size_t i = 0; i < ARRAY_LEN(tcp->log); i++) {
		struct stranger *at = &tcp->log[i];

		if (at->log_ms <= now)
			empty = at;
		else if (strcmp(at->host, host) == 0)
			return false;
	}
	if (!empty)
		return false;
	empty->log_ms = now + LOG_EACH_MS;
	return str_copy(empty->host, sizeof(empty->host), str_of(host));
}

static void turned_away(const struct conn *c, const char *why)
{
	const struct stream_addr *addr = stream_peer(c->stream);

	if (may_log(c->tcp, addr->host))
		log_warn("net", LOG_KV(log_z("from", addr->text)),
			 "a connection was turned away: %s", why);
}

_Static_assert(NET_REFUSALS == REFUSAL__MAX, "each reason has a name");

const char *net_refusal_name(unsigned reason)
{
	static const char *const names[NET_REFUSALS] = {
		[0] = "no-hello", [REFUSAL_VERSION] = "version",
		[REFUSAL_CLUSTER] = "cluster", [REFUSAL_NODE] = "node",
		[REFUSAL_SELF] = "self", [REFUSAL_UNKNOWN] = "unknown",
		[REFUSAL_IDENTITY] = "identity",
		[REFUSAL_CHANNEL] = "channel", [REFUSAL_STALE] = "stale",
		[REFUSAL_INCARNATION] = "incarnation",
	};

	return reason < NET_REFUSALS ? names[reason] : "unknown";
}

static void count_refused(struct tcp *tcp, unsigned reason)
{
	tcp->refused++;
	tcp->refused_by[reason]++;
}

/* ---- hello ---- */

/* Also told to the other side. */
static void refuse(struct conn *c, const struct hello *hello,
		   enum refusal_reason reason, const char *text)
{
	struct control refusal = { .type = CONTROL_REFUSAL };
	struct peer *peer = peer_find(c->tcp, hello->from);
	struct err err = { 0 };

	count_refused(c->tcp, reason);
	c->tcp->strangers--;
	err_set(&err, E_DENIED, "its connection was refused: %s", text);
	if (peer && reason != REFUSAL_STALE)
		peer_error(peer, hello->channel, &err);
	else
		turned_away(c, text);
	refusal.refusal.reason = (uint8_t)reason;
	refusal.refusal.text = str_of(text);
	conn_say(c, &refusal);
	conn_part(c);
}

static enum refusal_reason check_identity(struct conn *c,
					  const struct hello *hello,
					  struct err *err)
{
	struct peer *peer = peer_find(c->tcp, hello->from);
	OWNED(tls_cert) cert = stream_peer_cert(c->stream);

	if (!c->tcp->tls_server)
		return conn_check_clear(c, err) ? REFUSAL_IDENTITY : 0;
	/* A connection without one has not come so far. */
	must(cert);
	peer->cert_expiry = tls_cert_expiry(cert);
	return who_check(cert, peer->id, peer->host, err) ? REFUSAL_IDENTITY : 0;
}

static enum refusal_reason check_names(const struct tcp *tcp,
				       const struct hello *hello,
				       struct err *err)
{
	char ours[37], theirs[37];

	uuid_text(ours, tcp->cluster);
	uuid_text(theirs, hello->cluster);
	if (strcmp(ours, theirs) != 0) {
		err_set(err, E_DENIED, "this is cluster %s, and not %s", ours,
			theirs);
		return REFUSAL_CLUSTER;
	}
	if (hello->to != tcp->id) {
		err_set(err, E_DENIED, "this is node %llu, and not node %llu",
			(unsigned long long)tcp->id,
			(unsigned long long)hello->to);
		return REFUSAL_NODE;
	}
	if (hello->from == tcp->id) {
		err_set(err, E_DENIED,
			"node %llu is who answers, and not who calls",
			(unsigned long long)tcp->id);
		return REFUSAL_SELF;
	}
	return 0;
}

/* 0: it is agreed to. */
static enum refusal_reason check(struct conn *c, const struct hello *hello,
				 struct err *err)
{
	struct tcp *tcp = c->tcp;
	enum refusal_reason reason;
	const struct peer *peer;

	if (hello->most < FRAME_VERSION_LEAST ||
	    hello->least > FRAME_VERSION_MOST) {
		err_set(err, E_UNSUPPORTED,
			"versions %u to %u are spoken here, and %u to %u there",
			FRAME_VERSION_LEAST, FRAME_VERSION_MOST, hello->least,
			hello->most);
		return REFUSAL_VERSION;
	}
	reason = check_names(tcp, hello, err);
	if (reason)
		return reason;
	peer = peer_find(tcp, hello->from);
	if (!peer) {
		err_set(err, E_DENIED,
			"node %llu is not among the peers of node %llu",
			(unsigned long long)hello->from,
			(unsigned long long)tcp->id);
		return REFUSAL_UNKNOWN;
	}
	reason = check_identity(c, hello, err);
	if (reason)
		return reason;
	if (hello->channel < 1 || hello->channel >= NET__CHANNELS) {
		err_set(err, E_UNSUPPORTED, "there is no channel %u",
			hello->channel);
		return REFUSAL_CHANNEL;
	}
	if (hello->boot == peer->in[hello->channel].boot &&
	    hello->serial <= peer->in[hello->channel].serial) {
		err_set(err, E_CONFLICT, "a newer connection was made");
		return REFUSAL_STALE;
	}
	if (tcp_may_come(tcp, hello->from, &hello->incarnation, err))
		return REFUSAL_INCARNATION;
	return 0;
}

static void tell(struct peer *peer, enum net_channel channel, bool is_up)
{
	struct tcp *tcp = peer->tcp;

	if (tcp->on.on_in)
		tcp->on.on_in(tcp->on.data, peer->id, channel, is_up);
}

/* The one before it has ended.  False: the peer has gone with it. */
static bool replace(struct peer *peer, enum net_channel channel)
{
	if (!peer->in[channel].conn)
		return true;
	conn_drop(TAKE(peer->in[channel].conn));
	tell(peer, channel, false);
	return !peer->is_gone && !peer->tcp->is_stopped;
}

static void agree(struct conn *c, const struct hello *hello)
{
	struct tcp *tcp = c->tcp;
	struct peer *peer = peer_find(tcp, hello->from);
	struct door_in *in = &peer->in[hello->channel];
	struct control welcome = {
		.type = CONTROL_WELCOME,
		.welcome = {
			.version = MIN(hello->most, (uint16_t)FRAME_VERSION_MOST),
			.cluster = tcp->cluster,
			.from = tcp->id,
			.frame_bytes_max = (uint32_t)tcp->limits.frame_bytes_max,
			.incarnation = tcp->incarnation,
		},
	};

	if (!replace(peer, hello->channel)) {
		conn_fail(c, E_CANCELLED, "its node is no peer any more");
		return;
	}
	in->conn = c;
	in->boot = hello->boot;
	in->serial = hello->serial;
	tcp->strangers--;
	c->peer = peer;
	c->channel = hello->channel;
	c->frame_max = tcp->limits.frame_bytes_max;
	c->patience_ms = MAX((uint64_t)tcp->limits.dead_ms,
			     3ull * MIN(hello->ping_ms, PING_MAX_MS));
	peer->links[c->channel].stats.accepts++;
	conn_say(c, &welcome);
	door_hold(peer, c->channel, in->is_held);
	tcp_due(tcp, c->heard_ms + tcp->limits.ping_ms);
	tell(peer, c->channel, true);
}

/* Nobody is agreed to by it: with TLS its certificate chains to the CA, and what is
 * said is for all of these. */
static void answer(struct conn *c, const struct control *m)
{
	struct tcp *tcp = c->tcp;
	AUTO_BUF body = BUF_NONE;
	struct control a = { .type = CONTROL_ANSWER, .ask.from = tcp->id };
	struct err err = { 0 };

	if (!tcp->tls_server && conn_check_clear(c, &err)) {
		conn_fail(c, err.code, "%s", err.text);
		return;
	}
	tcp->on.on_ask(tcp->on.data, m->ask.from, &m->ask.incarnation, &body);
	a.ask.body = buf_view(&body);
	tcp->strangers--;
	conn_say(c, &a);
	conn_part(c);
}

static void greet(struct conn *c, const struct frame *frame)
{
	enum refusal_reason reason;
	struct control m;
	struct err err = { 0 };

	if (frame->channel == FRAME_CONTROL &&
	    control_decode(frame->content, &m, &err) == OK &&
	    m.type == CONTROL_ASK && c->tcp->on.on_ask) {
		answer(c, &m);
		return;
	}
	if (frame->channel != FRAME_CONTROL ||
	    control_decode(frame->content, &m, &err) || m.type != CONTROL_HELLO) {
		conn_fail(c, E_INVALID, "it does not begin with a hello");
		return;
	}
	reason = check(c, &m.hello, &err);
	if (reason)
		refuse(c, &m.hello, reason, err.text);
	else
		agree(c, &m.hello);
}

/* ---- frames ---- */

static void on_control(struct conn *c, const struct frame *frame)
{
	struct control m;
	struct err err = { 0 };

	if (control_decode(frame->content, &m, &err)) {
		conn_fail(c, err.code, "%s", err.text);
		return;
	}
	if (m.type != CONTROL_PING) {
		conn_fail(c, E_INVALID, "a control message that nobody expects");
		return;
	}
	m.type = CONTROL_PONG;
	conn_say(c, &m);
}

static void on_frame(struct conn *c, const struct frame *frame)
{
	struct tcp *tcp = c->tcp;
	struct net_link_stats *stats;

	if (!c->peer) {
		greet(c, frame);
	} else if (frame->channel == FRAME_CONTROL) {
		on_control(c, frame);
	} else if (frame->channel != c->channel) {
		conn_fail(c, E_INVALID, "a frame of another channel");
	} else {
		stats = &c->peer->links[c->channel].stats;
		stats->frames_in++;
		stats->bytes_in += frame->content.n;
		tcp->on.on_frame(tcp->on.data, c->peer->id, c->channel,
				 frame->content);
	}
}

/* ---- life ---- */

/* More than the limit: the oldest goes, as a node that may come in needs a
 * moment only. */
static void make_room(struct tcp *tcp)
{
	struct conn *c;

	list_each(&tcp->conns, c, at) {
		if (c->link || c->ask || c->peer || c->is_dropped)
			continue;
		conn_fail(c, E_BUSY,
			  "too many connections that have not said hello");
		return;
	}
}

void door_accept(struct listener *l, struct stream *s, void *data)
{
	struct tcp *tcp = data;
	struct conn *c;

	tcp->accepted++;
	if (failpoint_hit(FP_NET_ACCEPT, NULL)) {
		count_refused(tcp, 0);
		stream_abort(s);
		return;
	}
	if (tcp->strangers >= tcp->limits.strangers_max)
		make_room(tcp);
	c = conn_make(tcp, &door_use);
	c->stream = s;
	c->due_ms = c->heard_ms + tcp->limits.connect_timeout_ms;
	tcp->strangers++;
	stream_set(s, &conn_ops, c);
	tcp_due(tcp, c->due_ms);
}

static void on_opened(struct conn *c)
{
}

static void on_ended(struct conn *c, const struct err *err)
{
	if (!c->peer) {
		c->tcp->strangers--;
		count_refused(c->tcp, 0);
		turned_away(c, err->code ? err->text : "it said nothing");
		return;
	}
	c->peer->in[c->channel].conn = NULL;
	/* That it has gone the link to it says as well. */
	if (err->code == E_INVALID)
		peer_error(c->peer, c->channel, err);
	tell(c->peer, c->channel, false);
}

void door_hold(struct peer *peer, enum net_channel channel, bool on)
{
	struct door_in *in = &peer->in[channel];
	struct conn *c = in->conn;

	in->is_held = on;
	if (!c || c->is_held == on)
		return;
	c->is_held = on;
	c->heard_ms = c->due_ms = loop_now_ms(c->tcp->loop);
	if (on)
		stream_read_pause(c->stream);
	else
		stream_read_resume(c->stream);
	tcp_due(c->tcp, c->due_ms);
}

void door_close(struct peer *peer)
{
	for (unsigned i = 1; i < NET__CHANNELS; i++)
		if (peer->in[i].conn)
			conn_drop(TAKE(peer->in[i].conn));
}

/* A peer whose frames are not taken hears no answers to its pings, so it is
 * told that this node lives. */
static uint64_t tick_held(struct conn *c, uint64_t now)
{
	struct control alive = { .type = CONTROL_PONG };

	if (now >= c->due_ms) {
		c->due_ms = now + c->tcp->limits.ping_ms;
		conn_say(c, &alive);
	}
	return c->due_ms;
}

uint64_t door_tick(struct conn *c, uint64_t now)
{
	unsigned ping_ms = c->tcp->limits.ping_ms;

	if (!c->peer && now < c->due_ms)
		return c->due_ms;
	if (!c->peer)
		conn_fail(c, E_TIMEOUT, "no hello within %u ms",
			  c->tcp->limits.connect_timeout_ms);
	else if (c->is_held)
		return tick_held(c, now);
	else if (tcp_is_silent(c->tcp, c->heard_ms, c->patience_ms))
		conn_fail(c, E_TIMEOUT, "nothing was heard for %llu ms",
			  (unsigned long long)c->patience_ms);
	/* Often enough to know when this node itself did not run. */
	return now + ping_ms;
}

static const struct conn_use door_use = {
	.opened = on_opened,
	.frame = on_frame,
	.ended = on_ended,
};
