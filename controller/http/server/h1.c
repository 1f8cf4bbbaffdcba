/* HTTP/1.1 as a protocol of the server: see own.h and http/wire/http1.h. */
#include "http/server/own.h"

#include <stdio.h>

#include "base/banned.h"

/* A body's length is believed so far before the bytes are there. */
#define BELIEVED_BYTES (64u * 1024)

/* ---- reading ---- */

static bool begin_body(struct conn *c, struct exchange *ex,
		       const struct http1_head *head, struct str in)
{
	uint64_t max = c->server->config.limits.body_bytes;
	struct err err;

	if (head->framing == HTTP1_LENGTH && head->length > max &&
	    !exchange_tells_body(ex)) {
		err_set(&err, E_TOO_LARGE, "body: %llu bytes, more than the %llu "
			"allowed", (unsigned long long)head->length,
			(unsigned long long)max);
		err_hint(&err, "server.body_bytes is the limit");
		conn_refuse(c, ex, &err);
		return false;
	}
	http1_body_init(&ex->decoder, head);
	c->reading = ex;
	if (exchange_tells_body(ex))
		exchange_handle(ex);
	else if (head->framing == HTTP1_LENGTH)
		buf_reserve(&ex->body, MIN(head->length, BELIEVED_BYTES));
	if (c->reading != ex)
		return true;
	if (head->expect_continue && in.n == 0 &&
	    ex->fsm.state < EXCHANGE_STREAMING) {
		struct buf *out = &c->server->scratch;
		struct stream_vec v;

		ex->wants_continue = !exchange_is_first(ex);
		buf_reset(out);
		c->protocol->put_continue(ex, out);
		v = (struct stream_vec){ out->p, out->n };
		if (!ex->wants_continue)
			exchange_send(ex, &v, 1);
	}
	return true;
}

/* A head that was not asked just before. */
static bool parse_head(struct conn *c, struct exchange *ex, struct str raw,
		       struct http1_head *head)
{
	char *block = arena_z(ex->r.arena, raw);
	struct err err;

	if (http1_request(ex->r.arena, block, raw.n, head, &err)) {
		conn_refuse(c, ex, &err);
		return false;
	}
	/* A connection that asks again mostly asks the same; that of a watcher
	 * does not, and keeps nothing. */
	if (c->has_asked)
		http1_repeat_keep(&c->repeat, raw, block, head);
	c->has_asked = true;
	return true;
}

/* NULL: more bytes are needed, or nothing more is read. */
static struct exchange *take_head(struct conn *c, struct str *in,
				  struct http1_head *head)
{
	struct exchange *ex;
	struct str raw;
	struct err err;
	size_t len;

	if (c->scanned == 0 && http1_repeat_is(c->repeat, *in)) {
		ex = conn_ask(c);
		len = http1_repeat_take(c->repeat, ex->r.arena, head);
		*in = str_from(*in, len);
		return ex;
	}
	if (http1_find(*in, c->server->config.limits.header_bytes, &c->scanned,
		       &len, &err)) {
		conn_refuse(c, NULL, &err);
		return NULL;
	}
	if (len == 0)
		return NULL;
	c->scanned = 0;
	raw = str_first(*in, len);
	*in = str_from(*in, len);
	ex = conn_ask(c);
	return parse_head(c, ex, raw, head) ? ex : NULL;
}

static bool read_head(struct conn *c, struct str *in)
{
	struct http1_head head;
	struct exchange *ex = take_head(c, in, &head);

	if (!ex)
		return false;
	ex->r.method = head.method;
	ex->r.target = head.target;
	ex->r.headers = head.headers;
	ex->r.n_headers = head.n_headers;
	ex->minor = head.minor;
	ex->keep_alive = head.keep_alive;
	ex->has_body = head.framing != HTTP1_EMPTY;
	ex->is_body_whole = !ex->has_body;
	ex->wants_upgrade = head.upgrade && head.method == HTTP_M_GET &&
		head.keep_alive && !ex->has_body;
	if (ex->wants_upgrade)
		c->upgrading = ex;
	if (!head.keep_alive)
		c->no_more = !ex->has_body;
	if (!exchange_open(ex))
		return true;
	if (ex->has_body)
		return begin_body(c, ex, &head, *in);
	exchange_handle(ex);
	return true;
}

static bool read_body(struct conn *c, struct str *in)
{
	struct exchange *ex = c->reading;
	bool in_pieces = exchange_tells_body(ex);
	uint64_t max = in_pieces ? UINT64_MAX :
		c->server->config.limits.body_bytes;
	struct str piece;
	struct err err;

	if (http1_body_next(&ex->decoder, in, max, &piece, &err)) {
		conn_refuse(c, ex, &err);
		return false;
	}
	if (ex->decoder.is_done) {
		c->reading = NULL;
		c->no_more = !ex->keep_alive;
	}
	if (in_pieces) {
		exchange_body(ex, piece, ex->decoder.is_done);
		return true;
	}
	buf_str(&ex->body, piece);
	ex->is_body_whole = ex->decoder.is_done;
	if (ex->is_body_whole)
		exchange_handle(ex);
	return true;
}

/* All that comes is the handler's. */
static void read_raw(struct conn *c, struct str *in)
{
	struct str all = *in;

	*in = str_from(all, all.n);
	exchange_body(c->reading, all, false);
}

static bool read_next(struct conn *c, struct str *in)
{
	if (!c->reading)
		return read_head(c, in);
	if (!c->reading->is_raw)
		return read_body(c, in);
	read_raw(c, in);
	return true;
}

static void h1_read(struct conn *c, struct str *in)
{
	while (in->n > 0 && conn_may_read(c))
		if (!read_next(c, in))
			return;
}

/* ---- writing ---- */

static void put_line(struct buf *out, const char *name, struct str value)
{
	buf_z(out, name);
	buf_add(out, ": ", 2);
	buf_str(out, value);
	buf_add(out, "\r\n", 2);
}

static void put_length(struct exchange *ex, struct buf *out, uint64_t length)
{
	if (ex->status == 204 || ex->status == 304)
		return;
	if (length != UINT64_MAX) {
		buf_z(out, "Content-Length: ");
		buf_u64(out, length);
		buf_add(out, "\r\n", 2);
	} else if (ex->is_chunked) {
		buf_z(out, "Transfer-Encoding: chunked\r\n");
	}
}

static void h1_put_head(struct exchange *ex, struct buf *out, int status,
			const char *content_type, uint64_t length)
{
	buf_z(out, "HTTP/1.1 ");
	buf_u64(out, (uint64_t)status);
	buf_c(out, ' ');
	buf_z(out, http_reason(status));
	buf_z(out, "\r\nDate: ");
	buf_z(out, server_date(ex->conn->server));
	buf_add(out, "\r\n", 2);
	if (content_type)
		put_line(out, "Content-Type", str_of(content_type));
	put_length(ex, out, length);
	if (!ex->keep_alive)
		buf_z(out, "Connection: close\r\n");
	else if (ex->minor == 0)
		buf_z(out, "Connection: keep-alive\r\n");
	put_line(out, "X-Conflux-Trace", str_n(ex->r.trace_text, 32));
	buf_add(out, ex->head.p, ex->head.n);
	buf_add(out, "\r\n", 2);
}

static void h1_put_chunk_start(struct exchange *ex, struct buf *out, size_t n)
{
	if (ex->is_chunked)
		buf_printf(out, "%zx\r\n", n);
}

static void h1_put_chunk_end(struct exchange *ex, struct buf *out)
{
	if (ex->is_chunked)
		buf_add(out, "\r\n", 2);
}

static void h1_put_end(struct exchange *ex, struct buf *out)
{
	if (!ex->is_chunked)
		return;
	buf_z(out, "0\r\n");
	buf_add(out, ex->head.p, ex->head.n);
	buf_add(out, "\r\n", 2);
}

static void h1_put_upgrade(struct exchange *ex, struct buf *out,
			   const char *name)
{
	buf_z(out, "HTTP/1.1 101 Switching Protocols\r\nDate: ");
	buf_z(out, server_date(ex->conn->server));
	buf_z(out, "\r\nConnection: Upgrade\r\n");
	put_line(out, "Upgrade", str_of(name));
	put_line(out, "X-Conflux-Trace", str_n(ex->r.trace_text, 32));
	buf_add(out, ex->head.p, ex->head.n);
	buf_add(out, "\r\n", 2);
}

static void h1_put_continue(struct exchange *ex, struct buf *out)
{
	buf_z(out, "HTTP/1.1 100 Continue\r\n\r\n");
}

const struct http_protocol h1_protocol = {
	.read = h1_read,
	.put_head = h1_put_head,
	.put_chunk_start = h1_put_chunk_start,
	.put_chunk_end = h1_put_chunk_end,
	.put_end = h1_put_end,
	.put_upgrade = h1_put_upgrade,
	.put_continue = h1_put_continue,
};
