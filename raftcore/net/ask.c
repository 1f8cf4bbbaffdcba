/*
 * Asking who listens at an address: a connection of its own, one question, one
 * answer.  The question is read before anybody is agreed to, so it is small; the
 * answer may be larger, as the asker has chosen whom to ask.
 */
#include "base/mem.h"
#include "net/own.h"

#include "base/banned.h"

static void end(struct conn *c, enum code rc, uint64_t from, struct str answer,
		const struct err *err)
{
	struct net_ask *ask = TAKE(c->ask);

	ask->done(ask, rc, from, answer, err);
}

static void on_opened(struct conn *c)
{
	struct control m = { .type = CONTROL_ASK,
			     .ask = { .from = c->tcp->id,
				      .incarnation = c->tcp->incarnation } };
	struct err err = { 0 };

	if (!c->tcp->tls_client && conn_check_clear(c, &err))
		conn_fail(c, err.code, "%s", err.text);
	else
		conn_say(c, &m);
}

static enum code check(const struct conn *c, uint64_t from, struct err *err)
{
	OWNED(tls_cert) cert = stream_peer_cert(c->stream);

	if (!c->tcp->tls_client)
		return OK;
	if (!cert)
		return err_set(err, E_TLS, "the node has no certificate");
	return who_check(cert, from, c->host, err);
}

static void on_frame(struct conn *c, const struct frame *frame)
{
	struct control m;
	struct err err = { 0 };

	if (frame->channel != FRAME_CONTROL ||
	    control_decode(frame->content, &m, &err) ||
	    m.type != CONTROL_ANSWER) {
		conn_fail(c, E_INVALID, "that is no answer");
		return;
	}
	if (check(c, m.ask.from, &err)) {
		conn_fail(c, err.code, "%s", err.text);
		return;
	}
	conn_drop(c);
	end(c, OK, m.ask.from, m.ask.body, NULL);
}

static void on_ended(struct conn *c, const struct err *err)
{
	static const struct err closed = { E_IO, "the connection was closed", "" };
	const struct err *why = err->code ? err : &closed;

	end(c, why->code, 0, STR_NONE, why);
}

static const struct conn_use ask_use = {
	.opened = on_opened,
	.frame = on_frame,
	.ended = on_ended,
};

enum code ask_start(struct net *net, struct str address, struct net_ask *ask,
		    struct err *err)
{
	struct tcp *tcp = tcp_of_net(net);
	char host[ADDR_HOST_MAX];
	struct conn *c;
	enum code rc = tcp_check_address(tcp, address, host, err);

	loop_must_be_here(tcp->loop);
	if (rc)
		return rc;
	if (tcp->is_stopped)
		return err_set(err, E_UNAVAILABLE, "the transport has stopped");
	c = conn_make(tcp, &ask_use);
	c->ask = ask;
	c->host = mem_dup(host, strlen(host));
	c->frame_max = FRAME_ANSWER_MAX;
	c->due_ms = c->heard_ms + tcp->limits.connect_timeout_ms;
	rc = stream_connect(tcp->loop, address, tcp->tls_client, NULL, &conn_ops,
			    c, &c->stream, err);
	if (rc) {
		list_remove(&c->at);
		free(c->host);
		free(c);
		return rc;
	}
	tcp_due(tcp, c->due_ms);
	return OK;
}

uint64_t ask_tick(struct conn *c, uint64_t now)
{
	if (now < c->due_ms)
		return c->due_ms;
	conn_fail(c, E_TIMEOUT, "no answer within %u ms",
		  c->tcp->limits.connect_timeout_ms);
	return UINT64_MAX;
}
