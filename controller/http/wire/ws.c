/* WebSocket: see ws.h. */
#include "http/wire/ws.h"

#include <openssl/evp.h>
#include <wslay/wslay.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/rand.h"

#include "base/banned.h"

#define CONTROL_MAX 125u
#define KEY_BYTES 16u

struct ws {
	enum ws_side side;
	size_t max;
	const struct ws_ops *ops;
	void *data;
	enum ws_state state;
	bool is_deaf;                    /* it broke the protocol: not read on */
	wslay_frame_context_ptr frames;
	struct str in;                   /* of this ws_take */
	struct buf *out;

	/* The frame that is being read. */
	bool in_frame, is_control, is_fin;
	unsigned opcode;
	uint64_t left;
	struct buf control;
	/* The message, of one or more frames. */
	bool in_message, is_text;
	struct buf message;
};

/* ---- wslay's side ---- */

static ssize_t frame_in(uint8_t *to, size_t n, int flags, void *data)
{
	struct ws *ws = data;

	n = MIN(n, ws->in.n);
	if (n == 0)
		return -1;
	memcpy(to, ws->in.p, n);
	ws->in = str_from(ws->in, n);
	return (ssize_t)n;
}

static ssize_t frame_out(const uint8_t *from, size_t n, int flags, void *data)
{
	struct ws *ws = data;

	buf_add(ws->out, from, n);
	return (ssize_t)n;
}

static int frame_mask(uint8_t *to, size_t n, void *data)
{
	rand_bytes(to, n);
	return 0;
}

static void put_frame(struct ws *ws, struct buf *out, unsigned opcode,
		      struct str bytes)
{
	struct wslay_frame_iocb io = {
		.fin = 1, .opcode = (uint8_t)opcode, .payload_length = bytes.n,
		.mask = ws->side == WS_CLIENT,
		.data = (const uint8_t *)(bytes.n ? bytes.p : ""),
		.data_length = bytes.n,
	};
	ssize_t n;

	ws->out = out;
	do {
		n = wslay_frame_send(ws->frames, &io);
		must(n >= 0);            /* frame_out takes all */
		io.data += n;
		io.data_length -= (size_t)n;
	} while (io.data_length);
}

/* ---- life ---- */

struct ws *ws_new(enum ws_side side, size_t max, const struct ws_ops *ops,
		  void *data)
{
	static const struct wslay_frame_callbacks calls = { frame_out, frame_in,
							    frame_mask };
	struct ws *ws = NEW(struct ws);

	ws->side = side;
	ws->max = max;
	ws->ops = ops;
	ws->data = data;
	must(wslay_frame_context_init(&ws->frames, &calls, ws) == 0);
	return ws;
}

void ws_free(struct ws **wp)
{
	struct ws *ws = *wp;

	if (!ws)
		return;
	wslay_frame_context_free(ws->frames);
	buf_fini(&ws->control);
	buf_fini(&ws->message);
	free(ws);
	*wp = NULL;
}

enum ws_state ws_state(const struct ws *ws)
{
	return ws->state;
}

/* ---- saying ---- */

void ws_put(struct ws *ws, struct buf *out, bool is_text, struct str bytes)
{
	if (ws->state == WS_OPEN)
		put_frame(ws, out, is_text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
			  bytes);
}

void ws_put_ping(struct ws *ws, struct buf *out)
{
	if (ws->state == WS_OPEN)
		put_frame(ws, out, WSLAY_PING, STR_NONE);
}

static void put_close(struct ws *ws, struct buf *out, unsigned code,
		      struct str reason)
{
	char text[CONTROL_MAX] = { (char)(code >> 8), (char)code };

	/* A letter is not cut in its middle. */
	reason = str_first(reason, CONTROL_MAX - 2);
	while (!str_is_utf8(reason))
		reason.n--;
	if (reason.n)
		memcpy(text + 2, reason.p, reason.n);
	put_frame(ws, out, WSLAY_CONNECTION_CLOSE,
		  str_n(text, code == WS_NO_CODE ? 0 : 2 + reason.n));
}

void ws_put_close(struct ws *ws, struct buf *out, enum ws_code code,
		  struct str reason)
{
	if (ws->state != WS_OPEN)
		return;
	put_close(ws, out, code, reason);
	ws->state = WS_CLOSING;
}

/* ---- hearing ---- */

static void tell_closed(struct ws *ws, unsigned code, struct str reason)
{
	if (ws->ops->closed)
		ws->ops->closed(ws->data, code, reason);
}

/* What the other side sends after it is not read: it may take the close, or not. */
static bool broken(struct ws *ws, struct buf *out, enum ws_code code,
		   const char *why)
{
	bool was_open = ws->state == WS_OPEN;

	ws->is_deaf = true;
	ws_put_close(ws, out, code, str_of(why));
	if (was_open)
		tell_closed(ws, code, str_of(why));
	return false;
}

static bool code_is_sent(unsigned code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

/* The other side's close: answered, where it is not the answer to ours. */
static bool take_close(struct ws *ws, struct buf *out)
{
	struct str text = buf_view(&ws->control);
	unsigned code = WS_NO_CODE;

	if (text.n == 1)
		return broken(ws, out, WS_PROTOCOL, "a close of one byte");
	if (text.n >= 2) {
		code = (unsigned)(uint8_t)text.p[0] << 8 | (uint8_t)text.p[1];
		if (!code_is_sent(code))
			return broken(ws, out, WS_PROTOCOL, "no code to close with");
		text = str_from(text, 2);
	}
	if (!str_is_utf8(text))
		return broken(ws, out, WS_BAD_DATA, "a reason that is no UTF-8");
	if (ws->state == WS_OPEN) {
		put_close(ws, out, code, STR_NONE);
		ws->state = WS_OVER;
		tell_closed(ws, code, text);
	}
	ws->state = WS_OVER;
	return false;
}

static bool take_control(struct ws *ws, struct buf *out)
{
	if (ws->opcode == WSLAY_CONNECTION_CLOSE)
		return take_close(ws, out);
	if (ws->opcode == WSLAY_PING && ws->state == WS_OPEN)
		put_frame(ws, out, WSLAY_PONG, buf_view(&ws->control));
	return true;
}

static bool take_message(struct ws *ws, struct buf *out)
{
	if (ws->is_text && !str_is_utf8(buf_view(&ws->message)))
		return broken(ws, out, WS_BAD_DATA, "a text that is no UTF-8");
	ws->in_message = false;
	if (ws->state == WS_OPEN)
		ws->ops->message(ws->data, ws->is_text, buf_view(&ws->message));
	/* One that is seldom needed again is not kept. */
	buf_fini(&ws->message);
	return true;
}

static bool frame_begins(struct ws *ws, const struct wslay_frame_iocb *io,
			 struct buf *out)
{
	bool is_more = io->opcode == WSLAY_CONTINUATION_FRAME;

	ws->is_control = wslay_is_ctrl_frame(io->opcode);
	ws->opcode = io->opcode;
	ws->is_fin = io->fin;
	ws->left = io->payload_length;
	if (io->rsv)
		return broken(ws, out, WS_PROTOCOL, "an extension that was not agreed");
	if (!io->mask == (ws->side == WS_SERVER))
		return broken(ws, out, WS_PROTOCOL, ws->side == WS_SERVER ?
			      "a frame without mask" : "a frame with a mask");
	if (io->opcode > WSLAY_PONG || (!ws->is_control &&
					io->opcode > WSLAY_BINARY_FRAME))
		return broken(ws, out, WS_PROTOCOL, "an unknown frame");
	if (ws->is_control) {
		buf_reset(&ws->control);
		return (io->fin && io->payload_length <= CONTROL_MAX) ||
		       broken(ws, out, WS_PROTOCOL, "a control frame in pieces, or "
			      "of more than 125 bytes");
	}
	if (is_more != ws->in_message)
		return broken(ws, out, WS_PROTOCOL, is_more ? "nothing goes on" :
			      "a message within a message");
	if (!is_more)
		ws->is_text = io->opcode == WSLAY_TEXT_FRAME;
	ws->in_message = true;
	if (io->payload_length > ws->max - ws->message.n)
		return broken(ws, out, WS_TOO_BIG, "the message is too big");
	return true;
}

/* False: nothing more is read. */
static bool take_piece(struct ws *ws, const struct wslay_frame_iocb *io,
		       struct buf *out)
{
	if (!ws->in_frame && !frame_begins(ws, io, out))
		return false;
	ws->in_frame = true;
	must(io->data_length <= ws->left);
	ws->left -= io->data_length;
	buf_add(ws->is_control ? &ws->control : &ws->message, io->data,
		io->data_length);
	if (ws->left)
		return true;
	ws->in_frame = false;
	if (ws->is_control)
		return take_control(ws, out);
	return !ws->is_fin || take_message(ws, out);
}

enum ws_state ws_take(struct ws *ws, struct str bytes, struct buf *out)
{
	struct wslay_frame_iocb io;
	bool on = !ws->is_deaf && ws->state != WS_OVER;
	ssize_t n;

	ws->in = bytes;
	while (on) {
		n = wslay_frame_recv(ws->frames, &io);
		if (n == WSLAY_ERR_WANT_READ)
			break;
		if (n < 0)
			on = broken(ws, out, WS_PROTOCOL, "a frame that cannot be");
		else
			on = take_piece(ws, &io, out);
	}
	ws->in = STR_NONE;
	return ws->state;
}

/* ---- the handshake ---- */

bool ws_accept(struct buf *out, struct str key)
{
	static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF text = BUF_NONE;

	if (!base64_parse(key, &bytes) || bytes.n != KEY_BYTES)
		return false;
	buf_str(&text, key);
	buf_z(&text, magic);
	must(EVP_Digest(text.p, text.n, digest, &n, EVP_sha1(), NULL) == 1);
	base64_text(out, str_n(digest, n));
	return true;
}
