/*
 * WebSocket frames, as the server takes them and as a client does.  Whole and in
 * pieces they are the same messages, and the same is answered; what is answered is
 * something that the other side understands.
 *
 * The first byte is the side and the size of the pieces.
 */
#include <stdint.h>

#include "http/wire/ws.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGE_MAX 1000u

struct heard {
	struct buf text;
	bool was_closed;
};

static void on_message(void *data, bool is_text, struct str bytes)
{
	struct heard *h = data;

	must(!h->was_closed && bytes.n <= MESSAGE_MAX);
	must(!is_text || str_is_utf8(bytes));
	buf_printf(&h->text, "%s %zu ", is_text ? "text" : "bytes", bytes.n);
	buf_str(&h->text, bytes);
}

static void on_closed(void *data, unsigned code, struct str reason)
{
	struct heard *h = data;

	must(!h->was_closed && code >= 1000 && code < 5000 && str_is_utf8(reason));
	h->was_closed = true;
	buf_printf(&h->text, "closed %u", code);
}

static const struct ws_ops ops = { on_message, on_closed };

static enum ws_state take(enum ws_side side, struct str in, size_t piece,
			  struct heard *h, struct buf *out)
{
	struct ws *ws = ws_new(side, MESSAGE_MAX, &ops, h);
	enum ws_state state = WS_OPEN;

	for (; in.n; in = str_from(in, piece)) {
		enum ws_state now = ws_take(ws, str_first(in, piece), out);

		must(now >= state);
		state = now;
	}
	must((state == WS_OPEN) == !h->was_closed);
	ws_free(&ws);
	return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, MIN(size, (size_t)1 << 16));
	struct heard whole = { 0 }, pieces = { 0 }, back = { 0 };
	AUTO_BUF out = BUF_NONE;
	AUTO_BUF again = BUF_NONE;
	AUTO_BUF last = BUF_NONE;
	enum ws_side side;
	size_t piece;

	if (in.n == 0)
		return 0;
	side = in.p[0] & 1 ? WS_CLIENT : WS_SERVER;
	piece = 1 + ((uint8_t)in.p[0] >> 1) % 16;
	in = str_from(in, 1);
	must(take(side, in, MAX(in.n, (size_t)1), &whole, &out) ==
	     take(side, in, piece, &pieces, &again));
	must(str_eq(buf_view(&whole.text), buf_view(&pieces.text)));
	/* Masks are drawn each time. */
	must(out.n == again.n);
	must(side == WS_CLIENT || str_eq(buf_view(&out), buf_view(&again)));
	take(side == WS_SERVER ? WS_CLIENT : WS_SERVER, buf_view(&out),
	     MAX(out.n, (size_t)1), &back, &last);
	must(whole.was_closed == back.was_closed);
	must(!back.text.n || str_starts(buf_view(&back.text), STR("closed")));
	buf_fini(&whole.text);
	buf_fini(&pieces.text);
	buf_fini(&back.text);
	return 0;
}
