/*
 * One connection: what comes is taken apart and given to whoever uses it, link
 * or door, until that one drops it.  Its memory goes with its stream.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "net/own.h"

#include "base/banned.h"

/* Answers that nobody reads pile up to this. */
#define SAY_MAX (64u * 1024)

struct conn *conn_make(struct tcp *tcp, const struct conn_use *use)
{
	struct conn *c = NEW(struct conn);

	c->tcp = tcp;
	c->use = use;
	c->frame_max = FRAME_HELLO_MAX;
	c->heard_ms = loop_now_ms(tcp->loop);
	list_append(&tcp->conns, &c->at);
	return c;
}

void conn_drop(struct conn *c)
{
	if (c->is_dropped)
		return;
	c->is_dropped = true;
	stream_abort(c->stream);
}

void conn_part(struct conn *c)
{
	if (c->is_dropped)
		return;
	c->is_dropped = true;
	stream_close(c->stream);
}

void conn_fail(struct conn *c, enum code code, const char *fmt, ...)
{
	struct err err = { 0 };
	char text[sizeof(err.text)];
	va_list ap;

	if (c->is_dropped)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(&err, code, "%s", text);
	conn_drop(c);
	c->use->ended(c, &err);
}

void conn_say(struct conn *c, const struct control *control)
{
	AUTO_BUF bytes = BUF_NONE;

	if (c->is_dropped)
		return;
	if (control->type == CONTROL_PONG &&
	    stream_pending(c->stream) > SAY_MAX) {
		conn_fail(c, E_IO,
			  "the peer asks and does not read the answers");
		return;
	}
	if (!c->has_spoken)
		buf_str(&bytes, FRAME_MAGIC);
	c->has_spoken = true;
	control_add(&bytes, control);
	stream_write(c->stream, &(struct stream_vec){ bytes.p, bytes.n }, 1);
}

enum code conn_check_clear(const struct conn *c, struct err *err)
{
	const struct stream_addr *addr = stream_peer(c->stream);

	if (c->tcp->tls_client || c->tcp->allow_clear_text || addr->is_loopback)
		return OK;
	return err_set(err, E_DENIED,
		       "%s is beyond loopback, and clear text is not allowed",
		       addr->text);
}

/* ---- the stream ---- */

static void on_open(struct stream *s)
{
	struct conn *c = stream_data(s);

	if (!c->is_dropped)
		c->use->opened(c);
}

static void on_data(struct stream *s, struct str bytes)
{
	struct conn *c = stream_data(s);
	struct frame frame;
	struct err err = { 0 };

	c->heard_ms = loop_now_ms(c->tcp->loop);
	while (!c->is_dropped) {
		switch (frames_next(&c->frames, c->frame_max, &bytes, &frame,
				    &err)) {
		case FRAME_MORE:
			return;
		case FRAME_BAD:
			conn_fail(c, err.code, "%s", err.text);
			return;
		case FRAME_ONE:
			c->use->frame(c, &frame);
			break;
		}
	}
}

static void on_eof(struct stream *s)
{
	conn_fail(stream_data(s), E_IO, "the peer has closed the connection");
}

static void on_drain(struct stream *s)
{
	struct conn *c = stream_data(s);

	if (!c->is_dropped && c->use->drained)
		c->use->drained(c);
}

static void on_close(struct stream *s, const struct err *err)
{
	struct conn *c = stream_data(s);

	if (!c->is_dropped) {
		c->is_dropped = true;
		c->use->ended(c, err);
	}
	list_remove(&c->at);
	frames_fini(&c->frames);
	free(c->host);
	free(c);
}

const struct stream_ops conn_ops = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drain = on_drain,
	.on_open = on_open,
	.on_close = on_close,
};
