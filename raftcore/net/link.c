/*
 * What goes to a peer over one channel.
 *
 * Frames are gathered and given to the stream at the end of the turn, so that
 * many small ones cost one write and one record of TLS; a large one goes past
 * the queue.  While a connection is being made they wait in it.
 *
 * Nothing comes back on a link but answers to pings.  A link is dead when none
 * comes, counted from when the ping has reached the peer's machine: a long queue
 * delays a ping and is no reason to give up what moves.  That bytes behind the
 * ping are taken says nothing, as a machine takes some also for a process that
 * hangs.
 */
#include "base/clock.h"
#include "base/failpoint.h"
#include "net/own.h"

#include "base/banned.h"

/* Frames of so much are not gathered. */
#define LARGE_BYTES (16u * 1024)
#define KEEP_BYTES (64u * 1024)
#define BACKOFF_MIN_MS 25u
/* A connection that lived so long was good. */
#define GOOD_MS 1000u

static const struct fsm_state states[LINK__STATES] = {
	[LINK_IDLE] = { "idle", BIT(LINK_DIALLING) },
	[LINK_DIALLING] = { "dialling", BIT(LINK_GREETING) | BIT(LINK_WAITING) },
	[LINK_GREETING] = { "greeting", BIT(LINK_UP) | BIT(LINK_WAITING) },
	[LINK_UP] = { "up", BIT(LINK_WAITING) },
	[LINK_WAITING] = { "waiting", BIT(LINK_DIALLING) | BIT(LINK_IDLE) },
};

static const struct conn_use link_use;

static struct tcp *tcp_of(const struct link *link)
{
	return link->peer->tcp;
}

static bool is(const struct link *link, enum link_state state)
{
	return link->fsm.state == state;
}

static uint64_t now_of(const struct link *link)
{
	return loop_now_ms(tcp_of(link)->loop);
}

void link_init(struct link *link, struct peer *peer, enum net_channel channel)
{
	link->peer = peer;
	link->channel = channel;
	link->is_wanted = channel == NET_RAFT;
	list_init(&link->dirty_at);
	fsm_init(&link->fsm, "link", states, LINK__STATES, LINK_IDLE);
}

static void forget_queue(struct link *link)
{
	link->stats.dropped += link->queued;
	link->lost |= link->queued > 0;
	link->queued = 0;
	link->largest = 0;
	buf_fini(&link->queue);
	list_remove(&link->dirty_at);
}

void link_fini(struct link *link)
{
	if (link->conn)
		conn_drop(TAKE(link->conn));
	forget_queue(link);
}

size_t link_queued(const struct link *link)
{
	return link->queue.n +
	       (link->conn ? stream_pending(link->conn->stream) : 0);
}

/* ---- its end, and when it is tried again ---- */

static uint64_t pause_ms(struct link *link)
{
	struct tcp *tcp = tcp_of(link);
	uint64_t most = tcp->limits.backoff_max_ms, ms;

	if (link->attempts == 0)
		return 0;
	ms = BACKOFF_MIN_MS << MIN(link->attempts - 1, 16u);
	ms = MAX(MIN(ms, most), (uint64_t)2);
	return ms / 2 + prng_below(&tcp->prng, ms - ms / 2 + 1);
}

static void tell_room(struct link *link)
{
	struct tcp *tcp = tcp_of(link);

	if (!link->was_busy || tcp->is_stopped)
		return;
	link->was_busy = false;
	if (tcp->on.on_room)
		tcp->on.on_room(tcp->on.data, link->peer->id, link->channel);
}

/* The last that a caller does: the handler may do away with the peer. */
static void tell_down(struct link *link)
{
	struct tcp *tcp = tcp_of(link);
	bool lost = link->lost;

	link->lost = false;
	if (lost && tcp->on.on_peer)
		tcp->on.on_peer(tcp->on.data, link->peer->id, link->channel,
				false);
	if (!link->peer->is_gone)
		tell_room(link);
}

static void broke(struct link *link, const struct err *err)
{
	static const struct err closed = { E_IO, "the connection was closed",
					   "" };
	uint64_t now = now_of(link);

	link->conn = NULL;
	if (is(link, LINK_UP)) {
		link->lost = true;
		if (now - link->up_ms >= GOOD_MS)
			link->attempts = 0;
	}
	fsm_move(&link->fsm, LINK_WAITING, "the connection ended");
	forget_queue(link);
	link->due_ms = now + pause_ms(link);
	link->attempts++;
	tcp_due(tcp_of(link), link->due_ms);
	peer_error(link->peer, link->channel, err->code ? err : &closed);
	tell_down(link);
}

static void on_ended(struct conn *c, const struct err *err)
{
	broke(c->link, err);
}

/* ---- to the stream ---- */

/* Leaves it dirty: the end of the turn looks at who waits for room. */
static void flush(struct link *link)
{
	if (!is(link, LINK_UP) || link->queue.n == 0)
		return;
	stream_write(link->conn->stream,
		     &(struct stream_vec){ link->queue.p, link->queue.n }, 1);
	link->queued = 0;
	link->largest = 0;
	if (link->queue.cap > KEEP_BYTES)
		buf_fini(&link->queue);
	else
		buf_reset(&link->queue);
}

static void mark_dirty(struct link *link)
{
	if (list_empty(&link->dirty_at))
		list_append(&tcp_of(link)->dirty, &link->dirty_at);
}

void link_turn(struct link *link)
{
	list_remove(&link->dirty_at);
	flush(link);
	/* What the socket took whole says nothing when it is through. */
	if (is(link, LINK_UP) && link_queued(link) == 0)
		tell_room(link);
}

/* ---- making the connection ---- */

static void dial(struct link *link)
{
	struct tcp *tcp = tcp_of(link);
	struct conn *c = conn_make(tcp, &link_use);
	struct err err = { 0 };
	enum code rc;

	fsm_move(&link->fsm, LINK_DIALLING, "wanted");
	link->stats.attempts++;
	link->due_ms = now_of(link) + tcp->limits.connect_timeout_ms;
	tcp_due(tcp, link->due_ms);
	c->link = link;
	c->channel = link->channel;
	rc = failpoint_hit(FP_NET_DIAL, &err);
	if (!rc)
		rc = stream_connect(tcp->loop, str_of(link->peer->address),
				    tcp->tls_client, NULL, &conn_ops, c,
				    &c->stream, &err);
	if (!rc) {
		link->conn = c;
		return;
	}
	list_remove(&c->at);
	free(c);
	broke(link, &err);
}

static enum code check_server(const struct conn *c, struct err *err)
{
	struct peer *peer = c->link->peer;
	OWNED(tls_cert) cert = stream_peer_cert(c->stream);

	if (!c->tcp->tls_client)
		return conn_check_clear(c, err);
	if (!cert)
		return err_set(err, E_TLS, "the peer has no certificate");
	peer->cert_expiry = tls_cert_expiry(cert);
	return who_check(cert, peer->id, peer->host, err);
}

static void on_opened(struct conn *c)
{
	struct link *link = c->link;
	struct tcp *tcp = c->tcp;
	struct err err = { 0 };
	struct control hello = {
		.type = CONTROL_HELLO,
		.hello = {
			.least = FRAME_VERSION_LEAST,
			.most = FRAME_VERSION_MOST,
			.cluster = tcp->cluster,
			.from = tcp->id,
			.to = link->peer->id,
			.channel = (uint8_t)link->channel,
			.boot = tcp->boot,
			.serial = ++tcp->serial,
			.ping_ms = tcp->limits.ping_ms,
			.incarnation = tcp->incarnation,
		},
	};

	if (check_server(c, &err)) {
		conn_fail(c, err.code, "%s", err.text);
		return;
	}
	fsm_move(&link->fsm, LINK_GREETING, "connected");
	conn_say(c, &hello);
}

static void went_up(struct link *link, size_t frame_max)
{
	struct tcp *tcp = tcp_of(link);

	fsm_move(&link->fsm, LINK_UP, "the peer agreed");
	link->peer_frame_max = frame_max;
	link->up_ms = link->ping_ms = link->moved_ms = now_of(link);
	link->ping_us = 0;
	link->taken = 0;
	link->stats.connects++;
	if (link->largest > frame_max)
		forget_queue(link);
	flush(link);
	/* Whoever waits for room is told at the end of the turn. */
	if (link->was_busy)
		mark_dirty(link);
	tcp_due(tcp, link->up_ms + tcp->limits.ping_ms);
	peer_is_well(link->peer, link->channel);
	if (tcp->on.on_peer)
		tcp->on.on_peer(tcp->on.data, link->peer->id, link->channel,
				true);
}

static void on_welcome(struct conn *c, const struct control *m)
{
	struct link *link = c->link;
	struct err err = { 0 };

	if (!is(link, LINK_GREETING))
		conn_fail(c, E_INVALID, "a second welcome");
	else if (memcmp(&m->welcome.cluster, &c->tcp->cluster,
			sizeof(c->tcp->cluster)) != 0 ||
		 m->welcome.from != link->peer->id)
		conn_fail(c, E_DENIED, "another node has answered");
	else if (m->welcome.version < FRAME_VERSION_LEAST ||
		 m->welcome.version > FRAME_VERSION_MOST)
		conn_fail(c, E_UNSUPPORTED,
			  "the peer chose version %u, which was not offered",
			  m->welcome.version);
	else if (tcp_may_come(c->tcp, link->peer->id, &m->welcome.incarnation,
			      &err))
		conn_fail(c, err.code, "%s", err.text);
	else
		went_up(link, m->welcome.frame_bytes_max);
}

static void on_pong(struct link *link, uint64_t stamp)
{
	uint64_t now = clock_mono_ns() / 1000;

	if (stamp == 0 || stamp != link->ping_us)
		return;
	link->stats.rtt_us = MAX(now - stamp, (uint64_t)1);
	link->ping_us = 0;
}

static void on_frame(struct conn *c, const struct frame *frame)
{
	struct control m;
	struct err err = { 0 };

	if (frame->channel != FRAME_CONTROL) {
		conn_fail(c, E_INVALID,
			  "a frame on a connection that carries none this way");
		return;
	}
	if (control_decode(frame->content, &m, &err)) {
		conn_fail(c, err.code, "%s", err.text);
		return;
	}
	if (m.type == CONTROL_WELCOME)
		on_welcome(c, &m);
	else if (m.type == CONTROL_REFUSAL)
		conn_fail(c, E_DENIED, "refused: %.*s", STR_ARG(m.refusal.text));
	else if (m.type == CONTROL_PONG && is(c->link, LINK_UP))
		on_pong(c->link, m.stamp);
	else
		conn_fail(c, E_INVALID, "an answer that was not asked for");
}

void link_again(struct link *link)
{
	link->attempts = 0;
	if (link->conn) {
		stream_abort(link->conn->stream);
	} else if (is(link, LINK_WAITING)) {
		link->due_ms = 0;
		tcp_due(tcp_of(link), 0);
	}
}

/* ---- sending ---- */

static void send_now(struct link *link, struct str bytes)
{
	unsigned char head[FRAME_HEAD];
	struct stream_vec v[2] = { { head, sizeof(head) },
				   { bytes.p, bytes.n } };

	flush(link);
	frame_head(head, link->channel, bytes);
	stream_write(link->conn->stream, v, 2);
}

static void send_later(struct link *link, struct str bytes)
{
	frame_add(&link->queue, link->channel, bytes);
	link->queued++;
	link->largest = MAX(link->largest, bytes.n);
	mark_dirty(link);
}

static enum code refuse(struct link *link, enum code rc)
{
	link->stats.dropped++;
	if (rc == E_BUSY) {
		link->was_busy = true;
		mark_dirty(link);
	}
	return rc;
}

static bool fits(const struct link *link, size_t n)
{
	size_t queued = link_queued(link);

	return queued == 0 ||
	       queued + FRAME_HEAD + n <=
		       tcp_of(link)->limits.queue_bytes_max[link->channel];
}

enum code link_send(struct link *link, struct str bytes)
{
	struct tcp *tcp = tcp_of(link);

	if (bytes.n > tcp->limits.frame_bytes_max ||
	    (is(link, LINK_UP) && bytes.n > link->peer_frame_max))
		return refuse(link, E_TOO_LARGE);
	if (is(link, LINK_WAITING))
		return refuse(link, E_UNAVAILABLE);
	if (!fits(link, bytes.n))
		return refuse(link, E_BUSY);
	if (failpoint_hit(FP_NET_SEND, NULL) && link->conn) {
		/* As when the socket fails: its end comes later. */
		stream_abort(link->conn->stream);
		return refuse(link, E_UNAVAILABLE);
	}
	/* Not now: a failure at once would call handlers below the caller. */
	if (is(link, LINK_IDLE))
		tcp_due(tcp, 0);
	link->stats.frames_out++;
	link->stats.bytes_out += bytes.n;
	if (is(link, LINK_UP) && bytes.n >= LARGE_BYTES)
		send_now(link, bytes);
	else
		send_later(link, bytes);
	return OK;
}

static void on_drained(struct conn *c)
{
	tell_room(c->link);
}

/* ---- time ---- */

static void ping(struct link *link)
{
	struct control c = { .type = CONTROL_PING };
	uint64_t taken;

	c.stamp = link->ping_us = MAX(clock_mono_ns() / 1000, (uint64_t)1);
	flush(link);
	conn_say(link->conn, &c);
	stream_progress(link->conn->stream, &link->ping_end, &taken);
}

/* When something last told that the link lives. */
static uint64_t alive_ms(struct link *link, uint64_t now)
{
	uint64_t given, taken;

	stream_progress(link->conn->stream, &given, &taken);
	if (link->ping_us && taken > link->taken && link->taken < link->ping_end)
		link->moved_ms = now;
	link->taken = taken;
	return MAX(link->conn->heard_ms, link->moved_ms);
}

static uint64_t tick_up(struct link *link, uint64_t now)
{
	const struct net_limits *limits = &tcp_of(link)->limits;
	struct conn *c = link->conn;
	uint64_t alive = alive_ms(link, now);

	if (tcp_is_silent(tcp_of(link), alive, limits->dead_ms)) {
		conn_fail(c, E_TIMEOUT, "nothing was heard for %u ms",
			  limits->dead_ms);
		return UINT64_MAX;
	}
	if (now >= link->ping_ms + limits->ping_ms) {
		link->ping_ms = now;
		if (!link->ping_us)
			ping(link);
	}
	return link->ping_ms + limits->ping_ms;
}

uint64_t link_tick(struct link *link, uint64_t now)
{
	switch ((enum link_state)link->fsm.state) {
	case LINK_IDLE:
		if (!link->queued && !link->is_wanted)
			return UINT64_MAX;
		dial(link);
		return UINT64_MAX;
	case LINK_UP:
		return tick_up(link, now);
	case LINK_DIALLING:
	case LINK_GREETING:
		if (now < link->due_ms)
			return link->due_ms;
		conn_fail(link->conn, E_TIMEOUT, "no connection within %u ms",
			  tcp_of(link)->limits.connect_timeout_ms);
		return UINT64_MAX;
	case LINK_WAITING:
		if (now < link->due_ms)
			return link->due_ms;
		if (link->is_wanted)
			dial(link);
		else
			fsm_move(&link->fsm, LINK_IDLE, "may be dialled again");
		return UINT64_MAX;
	case LINK__STATES:
		break;
	}
	return UINT64_MAX;
}

static const struct conn_use link_use = {
	.opened = on_opened,
	.frame = on_frame,
	.drained = on_drained,
	.ended = on_ended,
};
