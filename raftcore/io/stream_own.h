/*
 * What stream.c, connect.c and listener.c share.
 */
#ifndef IO_STREAM_OWN_H
#define IO_STREAM_OWN_H

#include "base/fsm.h"
#include "io/loop_own.h"
#include "io/stream.h"
#include "io/timer.h"
#include "io/tls_conn.h"

enum stream_state {
	STREAM_CONNECTING,      /* resolving, or waiting for the peer */
	STREAM_HANDSHAKE,       /* TLS */
	STREAM_OPEN,
	STREAM_DRAINING,        /* closed by us: sends what is pending */
	STREAM_LINGERING,       /* all sent; reads and drops until the peer ends */
	STREAM_CLOSING,         /* handles are being closed */
	STREAM_CLOSED,
	STREAM__STATES
};

struct dial;

/* Memory that is looked at when something comes. */
struct near {
	const void *at;
	size_t n;
};

struct stream {
	uv_tcp_t tcp;

	/* From here to 'owned': what each read and each write looks at. */
	struct near near[STREAM_NEAR];  /* stream_near */
	struct loop *loop;
	const struct stream_ops *ops;
	void *data;
	struct tls_conn *tls;   /* NULL: clear text */
	uint64_t in, out;
	uint64_t given;         /* for the wire, sent or waiting */
	/* Out: 'sending' is libuv's until written; 'queue' comes behind it.
	 * Until the stream is open, 'early' keeps plain bytes. */
	struct buf queue, early, sending;
	bool is_writing;
	bool close_when_open;
	/* In. */
	bool is_paused;
	bool eof_told;          /* on_eof ran, or TLS said its goodbye */
	bool eof_seen;          /* nothing more comes from the socket */
	bool resume_posted;
	struct fsm fsm;

	struct owned_handle owned;
	/* What must end before the stream can be freed: handles that are open
	 * or closing, requests and messages under way. */
	unsigned holds;
	struct stream_addr peer;
	uv_write_t write_req;
	struct buf wire_left;   /* from the wire, not yet deciphered: paused */
	struct msg resume;

	struct timer ender;     /* bounds draining and lingering */
	bool has_ender;
	size_t ender_pending;   /* what was pending when it was armed */

	struct dial *dial;      /* while connecting */
	struct err *err;        /* why it closes; NULL: OK */
};

/* A stream without a socket, in STREAM_CONNECTING; holds its tcp handle. */
struct stream *stream_make(struct loop *loop, struct tls_conn *tls);
/* Its socket is connected: starts TLS, or is open ('tell': says so). */
void stream_begin(struct stream *s, bool tell);
/* Closes with an error; 'code' and text are for on_close. */
void stream_fail(struct stream *s, enum code code, const char *fmt, ...)
	PRINTF(3, 4);
void stream_hold(struct stream *s);
void stream_release(struct stream *s);

static inline bool stream_is(const struct stream *s, enum stream_state state)
{
	return s->fsm.state == state;
}

/* connect.c: gives up what can be given up; the requests drop their holds. */
void dial_cancel(struct dial *dial);
void dial_free(struct dial *dial);

#endif
