/*
 * Listening sockets.  The socket is made by hand, because SO_REUSEPORT must be
 * set before it is bound.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/addr.h"
#include "io/stream.h"
#include "io/stream_own.h"

#include "base/banned.h"

/* The kernel cuts it to net.core.somaxconn (4,096 by default).  When many clients come
 * again at once, one that finds it full waits for a second. */
#define BACKLOG 16384

struct listener {
	uv_tcp_t tcp;
	struct owned_handle owned;
	struct loop *loop;
	struct tls_server *tls;
	listener_cb *cb;
	void *data;
	struct stream_addr addr;
	uint64_t turn;          /* of the last connection */
	struct msg later;
	unsigned holds;         /* the handle, and 'later' when posted */
};

/* ---- the socket ---- */

static enum code resolve(struct str addr, struct addrinfo **out,
			 struct err *err)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	char host[ADDR_HOST_MAX], service[8];
	uint16_t port;
	enum code code = addr_split(addr, host, &port, err);
	int rc;

	if (code)
		return code;
	snprintf(service, sizeof(service), "%u", port);
	rc = getaddrinfo(host, service, &hints, out);
	if (rc)
		return err_set(err, E_NOT_FOUND, "%s: %s", host,
			       gai_strerror(rc));
	return OK;
}

static int set_option(int fd, int option)
{
	int on = 1;

	return setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on));
}

static enum code bound_socket(const struct addrinfo *ai, bool share, int *out,
			      struct err *err)
{
	int fd = socket(ai->ai_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(err, errno, "socket");
	if (set_option(fd, SO_REUSEADDR) ||
	    (share && set_option(fd, SO_REUSEPORT)) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen)) {
		int errnum = errno;

		close(fd);
		return err_sys(err, errnum, "bind");
	}
	*out = fd;
	return OK;
}

/* The first address of the name that can be had. */
static enum code open_socket(struct str addr, bool share, int *out,
			     struct err *err)
{
	struct addrinfo *list;
	enum code rc = resolve(addr, &list, err);

	if (rc)
		return rc;
	for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
		rc = bound_socket(ai, share, out, err);
		if (!rc)
			break;
	}
	freeaddrinfo(list);
	return rc;
}

/* ---- accepting ---- */

static void know_peer(struct stream *s)
{
	struct sockaddr_storage sa;
	struct stream_addr own;
	int n = sizeof(sa);

	if (uv_tcp_getpeername(&s->tcp, (struct sockaddr *)&sa, &n))
		return;
	addr_of((const struct sockaddr *)&sa, &s->peer);
	s->peer.is_own = s->peer.is_loopback;
	n = sizeof(sa);
	if (uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&sa, &n))
		return;
	addr_of((const struct sockaddr *)&sa, &own);
	if (own.host[0] && strcmp(own.host, s->peer.host) == 0)
		s->peer.is_own = true;
}

static struct stream *make_stream(struct listener *l)
{
	struct tls_conn *tls = NULL;

	l->turn = loop_turn(l->loop);
	if (l->tls)
		tls = tls_conn_server(l->tls, &loop_scratch(l->loop)->wire);
	return stream_make(l->loop, tls);
}

static void give(struct listener *l, struct stream *s)
{
	know_peer(s);
	l->cb(l, s, l->data);
	if (s->fsm.state >= STREAM_CLOSING)
		return;
	must(s->ops);
	stream_begin(s, false);
}

static void accept_one(struct listener *l)
{
	struct stream *s = make_stream(l);

	if (uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&s->tcp))
		stream_abort(s);
	else
		give(l, s);
}

void listener_accept_all(struct listener *l)
{
	uv_os_fd_t own;
	int fd;

	loop_must_be_here(l->loop);
	if (uv_fileno((const uv_handle_t *)&l->tcp, &own))
		return;
	/* One that libuv holds already, until its turn comes. */
	if (l->holds > 1)
		accept_one(l);
	while ((fd = accept4(own, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct stream *s = make_stream(l);

		if (uv_tcp_open(&s->tcp, fd) == 0) {
			give(l, s);
			continue;
		}
		close(fd);
		stream_abort(s);
	}
}

static void release(struct listener *l)
{
	if (--l->holds == 0)
		free(l);
}

static void run_later(struct msg *msg)
{
	struct listener *l = container_of(msg, struct listener, later);

	if (!uv_is_closing((uv_handle_t *)&l->tcp))
		accept_one(l);
	release(l);
}

/*
 * A connection that cannot be accepted is gone already, or there are no
 * descriptors left; libuv then takes and closes it by one kept in reserve, so
 * that this does not spin.
 *
 * A TLS handshake costs a millisecond: of those that come together, each turn
 * takes one, or a crowd that connects would hold up everyone who is served
 * already.  libuv holds back the others until this one is accepted.
 */
static void on_connection(uv_stream_t *uv, int status)
{
	struct listener *l = container_of((uv_tcp_t *)uv, struct listener, tcp);

	if (status)
		return;
	if (!l->tls || l->turn != loop_turn(l->loop)) {
		accept_one(l);
		return;
	}
	must(l->holds == 1);
	l->holds++;
	loop_post_sure(l->loop, &l->later);
}

/* ---- life ---- */

static void on_closed(uv_handle_t *handle)
{
	release(container_of((uv_tcp_t *)handle, struct listener, tcp));
}

static void shut(struct owned_handle *h)
{
	struct listener *l = container_of(h, struct listener, owned);

	listener_close(&l);
}

static struct listener *listener_make(struct loop *loop)
{
	struct listener *l = NEW(struct listener);

	l->loop = loop;
	l->owned.shut = shut;
	l->later.run = run_later;
	l->turn = UINT64_MAX;
	l->holds = 1;
	must(uv_tcp_init(loop_uv(loop), &l->tcp) == 0);
	loop_own(loop, &l->owned);
	return l;
}

/* Takes the descriptor, also on failure. */
static enum code listen_on(struct listener *l, int fd, struct err *err)
{
	struct sockaddr_storage sa;
	int n = sizeof(sa), rc = uv_tcp_open(&l->tcp, fd);

	if (rc) {
		close(fd);
		return err_set(err, E_IO, "open: %s", uv_strerror(rc));
	}
	rc = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
	if (rc)
		return err_sys(err, -rc, "listen");
	must(uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&sa, &n) == 0);
	addr_of((const struct sockaddr *)&sa, &l->addr);
	return OK;
}

enum code listener_new(struct loop *loop, struct str addr, bool share,
		       struct tls_server *tls, listener_cb *cb, void *data,
		       struct listener **out, struct err *err)
{
	struct listener *l;
	int fd = -1;
	enum code rc = open_socket(addr, share, &fd, err);

	must(cb);
	if (rc)
		return err_wrap(err, "listen on %.*s", STR_ARG(addr));
	l = listener_make(loop);
	l->tls = tls;
	l->cb = cb;
	l->data = data;
	rc = listen_on(l, fd, err);
	if (rc) {
		listener_close(&l);
		return err_wrap(err, "listen on %.*s", STR_ARG(addr));
	}
	*out = l;
	return OK;
}

void listener_addr(const struct listener *l, struct stream_addr *out)
{
	*out = l->addr;
}

void listener_close(struct listener **at)
{
	struct listener *l = TAKE(*at);

	if (!l)
		return;
	loop_must_be_here(l->loop);
	loop_disown(&l->owned);
	uv_close((uv_handle_t *)&l->tcp, on_closed);
}
