/*
 * The transport between nodes: frames to peers and from them, in order.
 *
 * Shape
 *
 * A peer is another node, known by its id and a `host:port`.  A channel is what
 * a frame is for: RAFT for the engine, RPC for calls, SHIP for files.  For each
 * peer and channel there are two links, one a direction: what this node sends
 * goes over a connection that it dialled, what it receives comes over one that
 * the peer dialled.  So a large file delays no heartbeat, and an answer needs
 * the other direction.  Links of RAFT are dialled as soon as a peer is set and
 * again whenever they break; the others at the first net_send, or as net_want says.
 *
 *	node 1                                             node 2
 *	net_send(2, RAFT) -> link --- connection ---> door -> on_frame(1, RAFT)
 *	on_frame(2, RAFT) <- door <-- connection ---- link <- net_send(1, RAFT)
 *
 * What may be relied on, for a peer and a channel:
 *
 * - Frames arrive whole, in order and at most once.  When a connection breaks,
 *   what it had not delivered is lost, and no frame of an older connection comes
 *   after one of a newer: a new connection of a peer replaces the one before it,
 *   and frames follow only when the other side has agreed to the connection.
 * - OK from net_send says that the frame is queued, and nothing else.
 * - The queue is bounded in bytes; what does not fit is not sent (E_BUSY).
 * - Who sends is who it says: the cluster and both ids are compared before the
 *   first frame, and with TLS the certificate is for that id (see below).  In
 *   clear text, which is for loopback unless it is asked for by name, it is as
 *   honest as the peer.
 *
 * Who a certificate is for.  Each side shows one that chains to the CA.  Where
 * it has URIs `conflux://node/<id>` (subject alternative names), one of them
 * must be the peer's id.  Where it has none, it must be for the host of the
 * address that the peer was set with, by DNS name or IP address.
 *
 * A connection that says nothing for 'dead_ms' is closed; links ping each
 * 'ping_ms', as nothing else comes back on them.  A broken link is dialled
 * again at once when it was good for a second, else after a pause that doubles
 * from 25 ms to 'backoff_max_ms', each drawn from its upper half.
 *
 * `struct net` is an interface: net_open_tcp makes the one over TCP, described
 * in docs/formats/transport.md.  rc_config.open_net gives a node another, with a
 * struct net_ops of its own that keeps what is promised here.
 *
 * Threads: one loop; every function and handler runs on it, unless it says
 * otherwise.  Every function may be called inside every handler.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/rand.h"
#include "io/stream.h"

/* Numbers are on the wire. */
enum net_channel {
	NET_RAFT = 1,
	NET_RPC = 2,
	NET_SHIP = 3,
	NET__CHANNELS
};

const char *net_channel_name(enum net_channel channel);

struct net;

struct net_limits {
	size_t frame_bytes_max;         /* 8 MiB; of a frame's content */
	/* Waiting to be sent to a peer, by channel: 64, 16, 16 MiB.  One frame
	 * may always wait, however large. */
	size_t queue_bytes_max[NET__CHANNELS];
	unsigned connect_timeout_ms;    /* 3,000; from name to agreement */
	unsigned backoff_max_ms;        /* 1,000 */
	unsigned ping_ms;               /* 500; at most a minute */
	unsigned dead_ms;               /* 2,000; more than ping_ms */
	unsigned strangers_max;         /* 64; connections not yet agreed to */
};

/* PEM files of a node's certificate with its chain, its key, and the CA that
 * every node's certificate chains to.  TLS 1.3 only. */
struct net_tls {
	const char *cert_file, *key_file, *ca_file;
};

struct net_config {
	struct loop *loop;
	uint64_t node_id;               /* 1.. */
	struct uuid cluster_id;
	struct uuid incarnation;        /* told to the others; zeros: none */
	const char *listen;             /* "host:port"; port 0 picks one */
	const struct net_tls *tls;      /* NULL: clear text */
	bool allow_clear_text;          /* also beyond loopback */
	struct net_limits limits;
};

/* Limits as above; the rest is the caller's. */
void net_config_defaults(struct net_config *config);

struct net_handlers {
	/* A frame; 'bytes' are valid during the call. */
	void (*on_frame)(void *data, uint64_t peer, enum net_channel channel,
			 struct str bytes);
	/* The link to the peer: up, frames go now; down, frames that were
	 * queued before may be lost.  Down may come without up where frames
	 * waited for a connection that failed.  May be NULL. */
	void (*on_peer)(void *data, uint64_t peer, enum net_channel channel,
			bool is_up);
	/* The peer's connection to here: up, before its first frame; down, none
	 * comes any more.  One that is replaced is down before the new one is
	 * up.  May be NULL. */
	void (*on_in)(void *data, uint64_t peer, enum net_channel channel,
		      bool is_up);
	/* The peer's incarnation (zeros: it says none), when who it is is known,
	 * before a connection of either direction is agreed to.  Not OK: it is
	 * refused, and both sides have the text.  May be NULL. */
	enum code (*may_come)(void *data, uint64_t peer,
			      const struct uuid *incarnation, struct err *err);
	/* Somebody asks (struct net_ask) who says that it is 'from': what is put into
	 * 'answer' goes back, at most 60 KiB.  NULL: nobody is answered. */
	void (*on_ask)(void *data, uint64_t from, const struct uuid *incarnation,
		       struct buf *answer);
	/* net_send has answered E_BUSY, and has room again.  May be NULL. */
	void (*on_room)(void *data, uint64_t peer, enum net_channel channel);
	void *data;
};

/* All counted since the peer was set. */
struct net_link_stats {
	bool is_up;                     /* frames can be sent */
	bool is_up_in;                  /* the peer has a connection to here */
	uint64_t attempts, connects;    /* dialled, and agreed to */
	uint64_t accepts;               /* connections of the peer's */
	uint64_t frames_out, bytes_out; /* given to the connection */
	uint64_t frames_in, bytes_in;   /* contents, without what frames cost */
	uint64_t dropped;               /* refused by net_send, or lost waiting */
	size_t queued_bytes;
	uint64_t rtt_us;                /* of the last ping; 0: none yet */
};

struct net_peer_stats {
	char address[272];
	struct net_link_stats links[NET__CHANNELS];
	struct err error;               /* the last of any channel */
	uint64_t error_ms;              /* when, Unix; 0: none */
	int64_t cert_expiry;            /* Unix seconds; 0: none was seen */
};

/* Why one is turned away (transport.md); 0: it ended before it had said hello. */
#define NET_REFUSALS 10
const char *net_refusal_name(unsigned reason);  /* "no-hello", "cluster", ... */

struct net_stats {
	struct stream_addr listen;
	uint64_t accepted;              /* connections, agreed to or not */
	uint64_t refused;               /* of these, turned away */
	uint64_t refused_by[NET_REFUSALS];      /* of these, by why */
	uint64_t refused_incarnation;   /* by may_come, both directions */
	unsigned strangers;             /* not yet agreed to */
	int64_t cert_expiry;            /* own; 0: clear text */
};

/*
 * A question to whoever listens at an address, without being a peer: who are you?
 * It needs no cluster id and no node id, so nodes find each other by it.  With TLS
 * both sides' certificates chain to the CA, and the answerer's is for the id that it
 * says, or for the host that was asked.  Embed it; valid until 'done' ran, which it
 * does once, unless the net is stopped before.
 *
 * OK: 'answer' is valid during the call, and comes from 'from'.  E_TIMEOUT after
 * connect_timeout_ms; E_DENIED, E_TLS, E_IO, E_INVALID.
 */
struct net_ask {
	void (*done)(struct net_ask *ask, enum code rc, uint64_t from,
		     struct str answer, const struct err *err);
};

struct net_ops {
	enum code (*ask)(struct net *net, struct str address,
			 struct net_ask *ask, struct err *err);
	void (*identify)(struct net *net, const struct uuid *cluster);
	void (*stop)(struct net *net);
	void (*free)(struct net *net);
	enum code (*peer_set)(struct net *net, uint64_t id, struct str address,
			      struct err *err);
	void (*peer_remove)(struct net *net, uint64_t id);
	enum code (*send)(struct net *net, uint64_t peer,
			  enum net_channel channel, struct str bytes);
	void (*want)(struct net *net, uint64_t peer, enum net_channel channel,
		     bool on);
	void (*drop)(struct net *net, uint64_t peer, enum net_channel channel);
	void (*hold)(struct net *net, uint64_t peer, enum net_channel channel,
		     bool on);
	enum code (*tls_reload)(struct net *net, struct err *err);
	void (*stats)(struct net *net, struct net_stats *out);
	enum code (*peer_stats)(struct net *net, uint64_t id,
				struct net_peer_stats *out);
};

struct net {
	const struct net_ops *ops;
};

/*
 * Listens; connections begin with net_peer_set.  Resolves the name it listens
 * on and reads files, so it may block: before the loop runs.
 *
 * E_DENIED: clear text beyond loopback and not allowed; else as listener_new
 * and tls_server_new.
 */
enum code net_open_tcp(const struct net_config *config,
		       const struct net_handlers *handlers, struct net **out,
		       struct err *err) MUST_USE;

/* Closes all and drops what is queued; no handler runs from here on.  Twice is fine. */
static inline void net_stop(struct net *net)
{
	net->ops->stop(net);
}

/* After net_stop, and after the loop was freed. */
void net_free(struct net **net);

/*
 * Makes a peer known, or gives it another address: then its connections are
 * made anew.  The same address again changes nothing.  Connections of nodes
 * that are not set are refused.
 *
 * E_INVALID: the id is 0 or this node's, the address malformed.  E_DENIED:
 * clear text beyond loopback; a name is looked at when it was resolved, and is
 * an error of the connection then.
 */
static inline enum code net_peer_set(struct net *net, uint64_t id,
				     struct str address, struct err *err)
{
	return net->ops->peer_set(net, id, address, err);
}

/* Closes its connections; on_peer and on_in are not called.  Unknown: harmless. */
static inline void net_peer_remove(struct net *net, uint64_t id)
{
	net->ops->peer_remove(net, id);
}

/*
 * Queues a frame; 'bytes' are read during the call.  Never blocks and calls no
 * handler.  Frames of a turn leave together at its end.  Any answer but OK:
 * nothing will be sent.
 *
 * E_NOT_FOUND: no such peer.  E_BUSY: the queue is full (on_room tells when it
 * is not).  E_UNAVAILABLE: the last connection failed and the next has to
 * wait.  E_TOO_LARGE: more than a frame here or there holds.
 */
static inline enum code MUST_USE net_send(struct net *net, uint64_t peer,
					  enum net_channel channel,
					  struct str bytes)
{
	return net->ops->send(net, peer, channel, bytes);
}

/* Has the link dialled as that of RAFT is, without a frame to send; or, with
 * 'on' false, only for one.  Unknown: harmless. */
static inline void net_want(struct net *net, uint64_t peer,
			    enum net_channel channel, bool on)
{
	net->ops->want(net, peer, channel, on);
}

/* Closes both connections of a channel as when they had failed: no frame comes
 * from here on, on_peer and on_in follow.  Unknown: harmless. */
static inline void net_drop(struct net *net, uint64_t peer,
			    enum net_channel channel)
{
	net->ops->drop(net, peer, channel);
}

/*
 * Takes no more frames of a peer's channel until it is called with 'on' false,
 * so that the sender's queue fills up.  What has arrived already, at most
 * 64 KiB and a frame, still comes.  Unknown: harmless.
 */
static inline void net_hold(struct net *net, uint64_t peer,
			    enum net_channel channel, bool on)
{
	net->ops->hold(net, peer, channel, on);
}

/* Reads the files of struct net_tls again, for new connections; those that are
 * open stay.  On error the old ones stay.  Any thread: it blocks.  Clear text:
 * OK, and nothing. */
static inline enum code net_tls_reload(struct net *net, struct err *err)
{
	return net->ops->tls_reload(net, err);
}

/* Not OK: 'done' will not run.  E_INVALID: the address; E_DENIED: clear text beyond
 * loopback. */
static inline enum code MUST_USE net_ask(struct net *net, struct str address,
					 struct net_ask *ask, struct err *err)
{
	return net->ops->ask(net, address, ask, err);
}

/* The cluster is this from now on; while no peer is set. */
static inline void net_identify(struct net *net, const struct uuid *cluster)
{
	net->ops->identify(net, cluster);
}

static inline void net_stats(struct net *net, struct net_stats *out)
{
	net->ops->stats(net, out);
}

/* E_NOT_FOUND. */
static inline enum code MUST_USE net_peer_stats(struct net *net, uint64_t id,
						struct net_peer_stats *out)
{
	return net->ops->peer_stats(net, id, out);
}

#endif
