/*
 * Connecting: a name to addresses, and the addresses one after the other until
 * one answers.  Each attempt needs a new socket, and so a new life of the
 * stream's handle.
 */
#include <netdb.h>
#include <stdio.h>

#include "base/mem.h"
#include "io/addr.h"
#include "io/stream.h"
#include "io/stream_own.h"

#include "base/banned.h"

/* What an attempt needs; the stream's until it is connected.  Each request
 * that libuv has holds the stream. */
struct dial {
	uv_getaddrinfo_t lookup;
	uv_connect_t connect;
	char host[ADDR_HOST_MAX];
	char service[8];
	struct addrinfo *list, *next;
	bool is_looking;
};

static void try_next(struct stream *s);

void dial_cancel(struct dial *dial)
{
	if (dial->is_looking)
		uv_cancel((uv_req_t *)&dial->lookup);
}

void dial_free(struct dial *dial)
{
	uv_freeaddrinfo(dial->list);
	free(dial);
}

/* ---- addresses, one after the other ---- */

/* The hold of the handle goes on to its next life, or ends here. */
static void on_attempt_closed(uv_handle_t *handle)
{
	struct stream *s =
		container_of((uv_tcp_t *)handle, struct stream, tcp);

	if (s->fsm.state >= STREAM_CLOSING) {
		stream_release(s);
		return;
	}
	must(uv_tcp_init(loop_uv(s->loop), &s->tcp) == 0);
	try_next(s);
}

static void attempt_failed(struct stream *s, int rc)
{
	if (!s->dial->next) {
		stream_fail(s, E_IO, "connect to %s: %s",
			    s->peer.text[0] ? s->peer.text : s->dial->host,
			    uv_strerror(rc));
		return;
	}
	uv_close((uv_handle_t *)&s->tcp, on_attempt_closed);
}

static void on_connected(uv_connect_t *req, int status)
{
	struct stream *s = req->data;

	if (s->fsm.state >= STREAM_CLOSING) {
		/* on_close will tell. */
	} else if (status) {
		attempt_failed(s, status);
	} else {
		dial_free(TAKE(s->dial));
		stream_begin(s, true);
	}
	stream_release(s);
}

static void try_next(struct stream *s)
{
	struct dial *dial = s->dial;
	const struct addrinfo *ai = dial->next;
	int rc;

	if (!ai) {
		attempt_failed(s, UV_EADDRNOTAVAIL);
		return;
	}
	dial->next = ai->ai_next;
	addr_of(ai->ai_addr, &s->peer);
	dial->connect.data = s;
	rc = uv_tcp_connect(&dial->connect, &s->tcp, ai->ai_addr, on_connected);
	if (rc)
		attempt_failed(s, rc);
	else
		stream_hold(s);
}

/* ---- the name ---- */

static void on_looked_up(uv_getaddrinfo_t *req, int status,
			 struct addrinfo *list)
{
	struct stream *s = req->data;

	s->dial->is_looking = false;
	s->dial->list = s->dial->next = list;
	if (s->fsm.state < STREAM_CLOSING && status)
		stream_fail(s, E_IO, "look up %s: %s", s->dial->host,
			    uv_strerror(status));
	else if (s->fsm.state < STREAM_CLOSING)
		try_next(s);
	stream_release(s);
}

static void look_up(struct stream *s)
{
	struct dial *dial = s->dial;
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	};
	int rc;

	/* A numeric address is read at once and asks nobody. */
	if (getaddrinfo(dial->host, dial->service, &hints, &dial->list) == 0) {
		dial->next = dial->list;
		try_next(s);
		return;
	}
	hints.ai_flags = AI_NUMERICSERV;
	dial->lookup.data = s;
	rc = uv_getaddrinfo(loop_uv(s->loop), &dial->lookup, on_looked_up,
			    dial->host, dial->service, &hints);
	if (rc) {
		stream_fail(s, E_IO, "look up %s: %s", dial->host,
			    uv_strerror(rc));
		return;
	}
	dial->is_looking = true;
	stream_hold(s);
}

enum code stream_connect(struct loop *loop, struct str addr,
			 struct tls_client *tls, const char *tls_name,
			 const struct stream_ops *ops, void *data,
			 struct stream **out, struct err *err)
{
	struct tls_conn *conn = NULL;
	char host[ADDR_HOST_MAX];
	struct stream *s;
	uint16_t port;
	enum code rc = addr_split(addr, host, &port, err);

	if (rc)
		return rc;
	if (tls)
		conn = tls_conn_client(tls, tls_name ? tls_name : host,
				       &loop_scratch(loop)->wire);
	s = stream_make(loop, conn);
	stream_set(s, ops, data);
	s->dial = NEW(struct dial);
	memcpy(s->dial->host, host, sizeof(host));
	snprintf(s->dial->service, sizeof(s->dial->service), "%u", port);
	look_up(s);
	*out = s;
	return OK;
}
