/*
 * WebSocket (RFC 6455): bytes to messages and back, for either side; no socket.
 * Frames are taken apart by wslay; which may follow which, masks, fragments,
 * UTF-8, sizes and the closing handshake are checked here.  No extensions.
 *
 * Whoever owns it gives it what came (ws_take), sends what it puts into 'out', and
 * ends the connection when it says that it is over.  One thread.
 */
#ifndef HTTP_WIRE_WS_H
#define HTTP_WIRE_WS_H

#include "base/buf.h"

/* Why a connection is closed (RFC 6455, 7.4). */
enum ws_code {
	WS_NORMAL = 1000,
	WS_GOING_AWAY = 1001,
	WS_PROTOCOL = 1002,
	WS_UNSUPPORTED = 1003,
	WS_NO_CODE = 1005,               /* told, never sent */
	WS_BAD_DATA = 1007,
	WS_POLICY = 1008,
	WS_TOO_BIG = 1009,
	WS_INTERNAL = 1011,
};

enum ws_state {
	WS_OPEN,
	WS_CLOSING,                      /* this side has sent its close */
	WS_OVER,                         /* nothing is said any more: end it */
};

enum ws_side { WS_SERVER, WS_CLIENT };

struct ws_ops {
	/* A whole message; a text is UTF-8.  Not while closing. */
	void (*message)(void *data, bool is_text, struct str bytes);
	/* The other side closes ('code' may be WS_NO_CODE), or broke the protocol
	 * and was told so ('code' is what it was told).  Once; may be NULL. */
	void (*closed)(void *data, unsigned code, struct str reason);
};

struct ws;
/* Messages of more than 'max' bytes are refused with 1009. */
struct ws *ws_new(enum ws_side side, size_t max, const struct ws_ops *ops,
		  void *data);
void ws_free(struct ws **ws);
/* Takes what came; pongs and closes go to 'out'.  The functions of 'ops' may put
 * messages and close, but not free it. */
enum ws_state ws_take(struct ws *ws, struct str bytes, struct buf *out);
enum ws_state ws_state(const struct ws *ws);
/* Appends a frame; nothing where it is not open. */
void ws_put(struct ws *ws, struct buf *out, bool is_text, struct str bytes);
void ws_put_ping(struct ws *ws, struct buf *out);
/* Closes; harmless the second time.  Of 'reason' up to 123 bytes are sent. */
void ws_put_close(struct ws *ws, struct buf *out, enum ws_code code,
		  struct str reason);

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key; false: that is no key. */
bool ws_accept(struct buf *out, struct str key);

#endif
