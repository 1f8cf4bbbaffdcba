/*
 * The bytes of the transport over TCP: frames, and what nodes say to each other
 * in frames of their own.  docs/formats/transport.md is the reference.  Pure.
 */
#ifndef NET_FRAME_H
#define NET_FRAME_H

#include "base/rand.h"
#include "net/net.h"
#include "wire/wire.h"

#define FRAME_MAGIC STR("CCFXNET\n")   /* before the first frame, both ways */
#define FRAME_HEAD 9u
#define FRAME_CONTROL 0u               /* channel of what is said below */
/* Before the other side is known a frame holds no more. */
#define FRAME_HELLO_MAX 1024u
#define FRAME_ANSWER_MAX (64u * 1024)

/* Versions of everything behind the handshake that this node speaks. */
#define FRAME_VERSION_LEAST 1u
#define FRAME_VERSION_MOST 1u

/* The head of a frame with this content; its channel is FRAME_CONTROL or an
 * enum net_channel. */
void frame_head(unsigned char out[FRAME_HEAD], unsigned channel,
		struct str content);
void frame_add(struct buf *out, unsigned channel, struct str content);

struct frame {
	unsigned channel;
	struct str content;
};

/* Takes a stream of bytes apart.  Zero-initialised it expects the magic. */
struct frames {
	struct buf part;                /* of what has not come whole */
	bool has_magic, is_used, is_bad;
};

void frames_fini(struct frames *f);

enum frame_step {
	FRAME_MORE,                     /* '*in' is used up */
	FRAME_ONE,
	FRAME_BAD,                      /* the end of it; E_INVALID says why */
};

/*
 * The next frame of '*in', which moves on.  '*out' borrows from '*in' or from
 * 'f' until the next call.  A content of more than 'max' bytes is bad; at most
 * so much and a head is kept.
 */
enum frame_step frames_next(struct frames *f, size_t max, struct str *in,
			    struct frame *out, struct err *err);

/* ---- what nodes say ---- */

/* Numbers are on the wire. */
enum control_type {
	CONTROL_HELLO = 1,
	CONTROL_WELCOME = 2,
	CONTROL_REFUSAL = 3,
	CONTROL_PING = 4,
	CONTROL_PONG = 5,
	CONTROL_ASK = 6,                /* instead of a hello, by anybody */
	CONTROL_ANSWER = 7,
};

enum refusal_reason {
	REFUSAL_VERSION = 1,            /* none is shared */
	REFUSAL_CLUSTER = 2,            /* another cluster */
	REFUSAL_NODE = 3,               /* not the node that was looked for */
	REFUSAL_SELF = 4,               /* the caller claims the callee's id */
	REFUSAL_UNKNOWN = 5,            /* the caller is no peer */
	REFUSAL_IDENTITY = 6,           /* its certificate is another's */
	REFUSAL_CHANNEL = 7,            /* no such channel */
	REFUSAL_STALE = 8,              /* a newer connection was made */
	REFUSAL_INCARNATION = 9,        /* another data directory under its id */
	REFUSAL__MAX
};

struct control {
	enum control_type type;
	union {
		struct hello {
			uint16_t least, most;   /* versions */
			struct uuid cluster;
			uint64_t from, to;
			uint8_t channel;
			uint64_t boot;          /* the same while it runs */
			uint64_t serial;        /* grows with each connection */
			uint32_t ping_ms;
			struct uuid incarnation;        /* zeros: not said */
		} hello;
		struct {
			uint16_t version;
			struct uuid cluster;
			uint64_t from;
			uint32_t frame_bytes_max;
			struct uuid incarnation;        /* zeros: not said */
		} welcome;
		struct {
			uint8_t reason;
			struct str text;
		} refusal;
		uint64_t stamp;                 /* ping and its pong */
		struct {
			uint64_t from;
			struct uuid incarnation;        /* of an ask */
			struct str body;                /* of an answer */
		} ask;
	};
};

/* As a whole frame. */
void control_add(struct buf *out, const struct control *c);
/* The content of a frame on FRAME_CONTROL; texts borrow from it.  What later
 * versions add behind a hello, welcome or refusal is passed over.  E_INVALID. */
enum code control_decode(struct str content, struct control *out,
			 struct err *err) MUST_USE;

#endif
