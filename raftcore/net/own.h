/*
 * What the sources of the transport over TCP share.
 *
 *	tcp.c    the net: peers, the timer, the table of operations
 *	conn.c   one connection, whoever made it: bytes to frames, its end
 *	link.c   what goes to a peer: dialling, queue, pings
 *	door.c   what comes from peers: who is there, and may they
 *	who.c    what a certificate says of a node
 *	ask.c    who is there, asked without being a peer
 */
#ifndef NET_OWN_H
#define NET_OWN_H

#include "base/fsm.h"
#include "io/addr.h"
#include "io/timer.h"
#include "net/frame.h"
#include "net/net.h"

struct tcp;
struct peer;
struct link;
struct conn;

/* ---- conn.c ---- */

/* What a connection is for.  None of these runs once it was dropped. */
struct conn_use {
	void (*opened)(struct conn *c);         /* TLS is up; clear: at once */
	void (*frame)(struct conn *c, const struct frame *frame);
	void (*drained)(struct conn *c);        /* may be NULL */
	void (*ended)(struct conn *c, const struct err *err);
};

/* Freed by the end of its stream.  Whoever uses it lets go of it in 'ended', or
 * when he drops it. */
struct conn {
	struct tcp *tcp;
	struct list at;                 /* in tcp->conns */
	const struct conn_use *use;
	struct stream *stream;
	struct frames frames;
	size_t frame_max;
	bool is_dropped, has_spoken;
	uint64_t heard_ms;

	struct link *link;              /* that dialled it, or NULL */
	struct net_ask *ask;            /* that dialled it, or NULL */
	char *host;                     /* that was asked */

	/* The door's. */
	struct peer *peer;              /* NULL: not agreed to yet */
	enum net_channel channel;
	uint64_t due_ms;                /* to be agreed to; or to say: alive */
	uint64_t patience_ms;
	bool is_held;
};

extern const struct stream_ops conn_ops;
struct conn *conn_make(struct tcp *tcp, const struct conn_use *use);
/* No callback comes any more. */
void conn_drop(struct conn *c);
/* Drops it and tells its user ('ended'), now. */
void conn_fail(struct conn *c, enum code code, const char *fmt, ...)
	PRINTF(3, 4);
/* Sends what is pending first. */
void conn_part(struct conn *c);
void conn_say(struct conn *c, const struct control *control);
/* E_DENIED: clear text with somebody beyond loopback. */
enum code conn_check_clear(const struct conn *c, struct err *err) MUST_USE;

/* ---- link.c ---- */

enum link_state {
	LINK_IDLE,              /* nobody has asked for it */
	LINK_DIALLING,          /* up to TLS */
	LINK_GREETING,          /* has said hello */
	LINK_UP,
	LINK_WAITING,           /* until it may dial again */
	LINK__STATES
};

struct link {
	struct peer *peer;
	enum net_channel channel;
	struct fsm fsm;
	struct conn *conn;
	struct list dirty_at;           /* in tcp->dirty */

	struct buf queue;               /* frames, not yet the stream's */
	unsigned queued;                /* how many */
	size_t largest;                 /* content among them */
	size_t peer_frame_max;          /* what the other side takes */
	bool is_wanted;                 /* also without a frame */
	bool was_busy;                  /* somebody waits for on_room */
	bool lost;                      /* frames, since on_peer last said so */

	unsigned attempts;              /* since it was last good */
	uint64_t due_ms;                /* of dialling, greeting, waiting */
	uint64_t up_ms;

	uint64_t ping_ms, ping_us;      /* when sent; us 0: none is under way */
	uint64_t ping_end;              /* of the stream, up to the ping */
	uint64_t taken;                 /* of the stream, when last looked at */
	uint64_t moved_ms;              /* when what is before the ping moved */

	struct net_link_stats stats;
};

void link_init(struct link *link, struct peer *peer, enum net_channel channel);
/* Closes it without a word, and forgets what is queued. */
void link_fini(struct link *link);
enum code link_send(struct link *link, struct str bytes) MUST_USE;
/* At the end of a turn; the handler it may call may do away with the peer. */
void link_turn(struct link *link);
/* Its connection is given up and made anew; nothing is told before later. */
void link_again(struct link *link);
/* What is due; answers when there is more. */
uint64_t link_tick(struct link *link, uint64_t now);
size_t link_queued(const struct link *link);

/* ---- door.c ---- */

void door_accept(struct listener *l, struct stream *s, void *data);
uint64_t door_tick(struct conn *c, uint64_t now);
void door_hold(struct peer *peer, enum net_channel channel, bool on);
/* Closes what the peer has open to here, without a word. */
void door_close(struct peer *peer);

/* ---- ask.c ---- */

enum code ask_start(struct net *net, struct str address, struct net_ask *ask,
		    struct err *err) MUST_USE;
uint64_t ask_tick(struct conn *c, uint64_t now);

/* ---- who.c ---- */

/* E_DENIED: the certificate is not of node 'id', that is set with 'host'. */
enum code who_check(const struct tls_cert *cert, uint64_t id, const char *host,
		    struct err *err) MUST_USE;

/* ---- tcp.c ---- */

struct door_in {
	struct conn *conn;              /* NULL: there is none */
	uint64_t boot, serial;          /* of the newest */
	bool is_held;
};

struct peer {
	struct tcp *tcp;
	struct list at;                 /* in tcp->peers, or tcp->gone */
	uint64_t id;
	char address[272], host[ADDR_HOST_MAX];
	bool is_gone;
	struct link links[NET__CHANNELS];
	struct door_in in[NET__CHANNELS];
	struct err error;
	uint64_t error_ms;
	uint64_t log_ms;                /* nothing is logged before */
	bool was_logged;                /* that it is down */
	int64_t cert_expiry;
};

/* Nobody's connections are logged once a minute a host. */
struct stranger {
	char host[64];
	uint64_t log_ms;
};

struct tcp {
	struct net net;
	struct loop *loop;
	struct net_limits limits;
	struct net_handlers on;
	uint64_t id;
	struct uuid cluster, incarnation;
	bool allow_clear_text, is_stopped;
	struct tls_server *tls_server;  /* both NULL: clear text */
	struct tls_client *tls_client;
	struct listener *listener;
	struct stream_addr addr;
	uint64_t boot, serial;
	struct prng prng;

	struct list peers, gone;        /* gone: freed at the end of the turn */
	unsigned changes;               /* of 'peers' */
	struct list conns, dirty;
	unsigned strangers;
	uint64_t accepted, refused, refused_incarnation;
	uint64_t refused_by[NET_REFUSALS];
	struct stranger log[16];

	struct timer timer;
	uint64_t due_ms;                /* of the timer */
	uint64_t woke_ms;               /* when it last came late */
	struct turn turn;
};

struct tcp *tcp_of_net(struct net *net);
/* E_INVALID, E_DENIED. */
enum code tcp_check_address(const struct tcp *tcp, struct str address,
			    char host[ADDR_HOST_MAX], struct err *err) MUST_USE;
struct peer *peer_find(const struct tcp *tcp, uint64_t id);
/* Asks whether the peer may come with this incarnation; E_DENIED and others. */
enum code tcp_may_come(struct tcp *tcp, uint64_t peer,
		       const struct uuid *incarnation, struct err *err) MUST_USE;
/* Asks for a tick at 'at_ms' of the loop's clock, or before. */
void tcp_due(struct tcp *tcp, uint64_t at_ms);
/* True where the silence since 'heard_ms' is longer than 'patience_ms', and is
 * not this node's own: after a time in which it did not run, what came meanwhile
 * has yet to be read. */
bool tcp_is_silent(const struct tcp *tcp, uint64_t heard_ms,
		   uint64_t patience_ms);
/* Notes an error of the peer, and logs it when it was not logged lately. */
void peer_error(struct peer *peer, enum net_channel channel,
		const struct err *err);
void peer_is_well(struct peer *peer, enum net_channel channel);

#endif
