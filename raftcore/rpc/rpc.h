/*
 * Request and response between nodes, in both directions over one channel.
 *
 * An object without thread, clock and transport: a driver brings frames, time
 * and the news of connections, and takes frames away.
 *
 *	driver                    rpc                       driver
 *	rpc_peer_up, _down   -->
 *	rpc_receive(frame)   -->  handler, call->done  -->  host->send(frame)
 *	rpc_writable         -->  what waited          -->  host->send(frame)
 *	rpc_timeout(now)     -->  (when rpc_deadline says so)
 *
 * Rules for a driver: what is given to 'send' arrives at the peer whole, in
 * order and at most once; where something is lost, rpc_peer_down is called on
 * both sides, before a frame that was sent after it arrives.  The two directions
 * may be connections of their own (raftcore/net).  Then a peer is up from when
 * one of them is there ('send' answers false until the other is too, and
 * rpc_writable follows); when one ends, the peer goes down, and is up again at
 * once where the other lasts.  The sides hear of it one after the other, so
 * frames of before may still come, also such as had waited to be sent: they mean
 * nothing, which ids tell.  Where rpc_receive answers an error, the driver closes
 * both directions and tells rpc_peer_down.
 *
 * 'send' does not call back into rpc; all other callbacks may call anything but
 * rpc_free, rpc_peer_up and rpc_peer_down.  One thread.  Time is in milliseconds
 * of one monotonic clock.
 *
 * THE OUTCOME OF A CALL is exactly one: rpc_call refuses at once (and 'done'
 * never runs), or 'done' runs once with
 *
 *	OK and the answer, or the code and text that the handler gave
 *			('was_answered' is set)
 *	E_TIMEOUT	the deadline passed; if it was sent, it may have happened
 *	E_CANCELLED	by rpc_cancel; if it was sent, it may have happened
 *	E_UNCERTAIN	the connection ended after it was sent
 *	E_UNAVAILABLE	the connection ended before; it has not happened
 *
 * BOUNDS a peer and direction: 'calls_max' calls and 'bytes_max' bytes, where a
 * call counts with its request and with what it may answer (answer_max).  What
 * is over them is E_BUSY: at the caller at once, at the callee as an answer.  A
 * call counts until the peer has answered it, also after its end here, because
 * a callee answers every request once (E_TIMEOUT and E_CANCELLED by itself, as
 * soon as the deadline passes or the cancellation comes); so a peer that hangs
 * is busy instead of being fed.  Memory a peer is bounded by the two.
 *
 * FRAMES THAT BREAK THE RULES (malformed, oversized, a request's id that does not
 * grow, an answer to a call that is not open) are an error of rpc_receive.
 */
#ifndef RPC_RPC_H
#define RPC_RPC_H

#include "base/str.h"
#include "raftcore/token.h"

struct rpc;
struct rpc_call;

#define RPC_METHODS_MAX 256              /* methods are 1 to 255 */
#define RPC_PEERS_MAX 64

struct rpc_request {
	struct rpc_token token;
	uint64_t peer;
	struct str body;                 /* valid until the handler returns */
	uint64_t deadline_ms;            /* for calls that it makes in turn */
	uint32_t answer_max;
};

struct rpc_method {
	/* Answers by rpc_answer or rpc_refuse, before it returns or later. */
	void (*handle)(void *data, uint64_t now_ms,
		       const struct rpc_request *request);
	/* A request that is not answered yet needs no answer any more (E_TIMEOUT,
	 * E_CANCELLED, E_UNAVAILABLE); may be NULL. */
	void (*gone)(void *data, struct rpc_token token, enum code why);
	void *data;
};

struct rpc_host {
	/* True: taken, and copied as far as needed.  False: no room now;
	 * rpc_writable (or rpc_peer_down) follows. */
	bool (*send)(void *data, uint64_t peer, struct str frame);
	void *data;
};

struct rpc_config {
	struct rpc_host host;
	unsigned calls_max;              /* a peer and direction; 1 to 65,536 */
	size_t bytes_max;                /* likewise */
	size_t frame_bytes_max;
	uint64_t first_id;               /* random at each start of the process,
					    from 1 and below 2^62, so that an answer
					    to one before it finds no call */
};

/* 256 calls, 16 MiB, frames of 1 MiB, ids from 1; without a
 * host. */
void rpc_config_defaults(struct rpc_config *config);

/* Copies 'config'. */
struct rpc *rpc_new(const struct rpc_config *config);
/* Ends what is open as if all peers went down. */
void rpc_free(struct rpc **rpc);
/* Before the first peer is up; 'method' is 1 to 255 and has none yet. */
void rpc_handle(struct rpc *rpc, unsigned method, const struct rpc_method *m);

/* ---- connections ---- */

/* A new connection; 'peer' must not be up.  E_BUSY: RPC_PEERS_MAX are up. */
enum code rpc_peer_up(struct rpc *rpc, uint64_t peer, struct err *err) MUST_USE;
/* Harmless where it is not up. */
void rpc_peer_down(struct rpc *rpc, uint64_t peer);
/* One whole frame, borrowed.  E_INVALID, E_UNSUPPORTED, E_TOO_LARGE: the peer
 * breaks the rules; close it.  E_UNAVAILABLE: it is not up. */
enum code rpc_receive(struct rpc *rpc, uint64_t now_ms, uint64_t peer,
		      struct str frame, struct err *err) MUST_USE;
/* 'send' takes frames again. */
void rpc_writable(struct rpc *rpc, uint64_t now_ms, uint64_t peer);
/* When rpc_timeout is due, or a little before; UINT64_MAX: never. */
uint64_t rpc_deadline(const struct rpc *rpc);
void rpc_timeout(struct rpc *rpc, uint64_t now_ms);

/* ---- calling ---- */

/* Embed it.  The caller's again when 'done' has begun, or rpc_call refused. */
struct rpc_call {
	uint64_t peer;
	unsigned method;
	struct str body;                 /* read during rpc_call only */
	uint32_t timeout_ms;             /* from 1 */
	uint32_t answer_max;             /* bytes; the peer refuses longer ones */
	/* 'answer' is valid until it returns; 'err' has code and text of the
	 * peer where it was answered, ours elsewhere. */
	void (*done)(struct rpc_call *call, uint64_t now_ms, enum code rc,
		     struct str answer, const struct err *err);
	bool was_sent, was_answered;     /* of use in 'done' */
	void *owner_;                    /* rpc's: where it stands, or NULL */
	uint64_t id_;
};

/* E_UNAVAILABLE: the peer is not up; E_BUSY: a bound; E_TOO_LARGE: request or
 * answer would not fit in a frame. */
enum code rpc_call(struct rpc *rpc, uint64_t now_ms, struct rpc_call *call,
		   struct err *err) MUST_USE;
/* Runs 'done' with E_CANCELLED before it returns; harmless after 'done'. */
void rpc_cancel(struct rpc *rpc, uint64_t now_ms, struct rpc_call *call);

/* ---- answering ---- */

/* False: it needs no answer any more.  One that is longer than the caller takes
 * becomes E_TOO_LARGE. */
bool rpc_answer(struct rpc *rpc, uint64_t now_ms, struct rpc_token token,
		struct str body);
/* 'err' has a code that is not OK. */
bool rpc_refuse(struct rpc *rpc, uint64_t now_ms, struct rpc_token token,
		const struct err *err);

/* ---- what others may know ---- */

struct rpc_view {
	bool is_up;
	unsigned calls_out, calls_in;    /* in flight */
	size_t bytes_out, bytes_in;      /* that these count with */
	uint64_t called, answered, timed_out, cancelled, uncertain, unavailable;
	uint64_t busy;                   /* refused here at once */
	uint64_t served, served_busy;    /* requests taken in, and refused */
};
/* Zeros where the peer was never up. */
void rpc_view(const struct rpc *rpc, uint64_t peer, struct rpc_view *out);

#endif
