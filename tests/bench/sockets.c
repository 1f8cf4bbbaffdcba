/* Sockets of the watchers, clear and TLS: see watchers.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "watchers.h"

#include "base/banned.h"

#define SOURCES 32

void address_read(const char *text, struct sockaddr_in *out)
{
	const char *colon = strrchr(text, ':');
	char host[64] = { 0 };

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		die("%s is no host:port", text);
	memcpy(host, text, (size_t)(colon - text));
	out->sin_family = AF_INET;
	out->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, host, &out->sin_addr) != 1)
		die("%s is no numeric address", host);
}

SSL_CTX *tls_read(const char *ca_file, bool h2)
{
	static const unsigned char protos[] = "\x02h2\x08http/1.1";
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (!tls || SSL_CTX_load_verify_file(tls, ca_file) != 1)
		die("%s: no authorities there", ca_file);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS |
				      SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_protos(tls, h2 ? protos : protos + 3,
				h2 ? sizeof(protos) - 1 : sizeof(protos) - 4);
	return tls;
}

static void want(struct socket *s, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = s };

	if (s->wants == events)
		return;
	if (epoll_ctl(load.epoll, s->wants ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
		      s->fd, &e))
		die("epoll_ctl: %s", strerror(errno));
	s->wants = events;
}

/* From one of many addresses of this machine: the kernel looks for a free port for
 * long where one address has many of them in use. */
static void bind_somewhere(const struct socket *s)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	int on = 1;

	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK +
				     (uint32_t)(s - load.sockets) % SOURCES);
	setsockopt(s->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(s->fd, (struct sockaddr *)&from, sizeof(from)))
		die("bind: %s", strerror(errno));
}

void socket_open(struct socket *s, const struct sockaddr_in *to)
{
	int on = 1;

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		die("socket: %s", strerror(errno));
	bind_somewhere(s);
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(s->fd, (const struct sockaddr *)to, sizeof(*to)) &&
	    errno != EINPROGRESS)
		die("connect: %s", strerror(errno));
	s->is_up = s->is_connected = false;
	s->wants = 0;
	buf_reset(&s->out);
	want(s, EPOLLOUT);
}

int socket_handshake(struct socket *s, uint32_t events)
{
	int error = 0, rc;
	socklen_t n = sizeof(error);

	if (!s->is_up) {
		if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) || error)
			return SOCKET_LOST;
		if (!(events & EPOLLOUT))
			return 0;
		s->is_up = true;
		want(s, EPOLLIN);
	}
	if (!load.tls)
		return 1;
	if (!s->ssl) {
		s->ssl = SSL_new(load.tls);
		if (!s->ssl || !SSL_set_fd(s->ssl, s->fd))
			die("TLS: no memory");
	}
	rc = SSL_connect(s->ssl);
	if (rc == 1)
		return 1;
	rc = SSL_get_error(s->ssl, rc);
	if (rc != SSL_ERROR_WANT_READ && rc != SSL_ERROR_WANT_WRITE)
		return SOCKET_LOST;
	want(s, rc == SSL_ERROR_WANT_WRITE ? EPOLLIN | EPOLLOUT : EPOLLIN);
	return 0;
}

static ssize_t write_some(struct socket *s)
{
	int n;

	if (!s->ssl)
		return send(s->fd, s->out.p, s->out.n, MSG_NOSIGNAL);
	n = SSL_write(s->ssl, s->out.p, (int)s->out.n);
	if (n <= 0) {
		n = SSL_get_error(s->ssl, n);
		errno = n == SSL_ERROR_WANT_WRITE || n == SSL_ERROR_WANT_READ ?
				EAGAIN : EPIPE;
		return -1;
	}
	return n;
}

void socket_flush(struct socket *s)
{
	while (s->out.n) {
		ssize_t n = write_some(s);

		if (n < 0)               /* what is lost the next read tells */
			break;
		buf_drop(&s->out, (size_t)n);
	}
	want(s, s->out.n ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

ssize_t socket_read(struct socket *s, char *p, size_t n)
{
	ssize_t got;

	if (!s->ssl) {
		got = recv(s->fd, p, n, 0);
		if (got < 0 && errno == EAGAIN)
			return SOCKET_LATER;
		return got <= 0 ? SOCKET_LOST : got;
	}
	got = SSL_read(s->ssl, p, (int)n);
	if (got > 0)
		return got;
	return SSL_get_error(s->ssl, (int)got) == SSL_ERROR_WANT_READ ?
		       SOCKET_LATER : SOCKET_LOST;
}

void socket_close(struct socket *s)
{
	if (load.streams)
		h2_end(s);
	SSL_free(s->ssl);
	s->ssl = NULL;
	close(s->fd);
	s->fd = -1;
}

/* ---- the publisher: one connection, asked while the others listen ---- */

static struct {
	int fd;
	SSL *ssl;
} poster = { .fd = -1 };

static void poster_open(void)
{
	poster.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (poster.fd < 0 || connect(poster.fd, (void *)&load.poster,
				     sizeof(load.poster)))
		die("connect: %s", strerror(errno));
	if (!load.tls)
		return;
	poster.ssl = SSL_new(load.tls);
	/* It speaks HTTP/1.1, whatever the watchers do. */
	if (!poster.ssl || !SSL_set_fd(poster.ssl, poster.fd) ||
	    SSL_set_alpn_protos(poster.ssl, (void *)"\x08http/1.1", 9) ||
	    SSL_connect(poster.ssl) != 1)
		die("no TLS for the publisher");
}

void poster_send(uint64_t salt)
{
	AUTO_BUF body = BUF_NONE;
	AUTO_BUF out = BUF_NONE;
	ssize_t n;

	if (poster.fd < 0)
		poster_open();
	buf_printf(&body, "{\"content\":\"%llu\"}", (unsigned long long)salt);
	buf_printf(&out, "POST %s HTTP/1.1\r\nHost: bench\r\n"
		   "Content-Type: application/json\r\nContent-Length: %zu\r\n",
		   load.post ? load.post : "/", body.n);
	if (load.token)
		buf_printf(&out, "Authorization: Bearer %s\r\n", load.token);
	buf_z(&out, "\r\n");
	buf_str(&out, buf_view(&body));
	n = poster.ssl ? SSL_write(poster.ssl, out.p, (int)out.n) :
			 send(poster.fd, out.p, out.n, MSG_NOSIGNAL);
	if (n != (ssize_t)out.n)
		die("the publish was not sent");
}

void poster_check(void)
{
	char answer[4096] = { 0 };
	ssize_t n = poster.ssl ?
			SSL_read(poster.ssl, answer, sizeof(answer) - 1) :
			recv(poster.fd, answer, sizeof(answer) - 1, 0);

	if (n < 12 || strncmp(answer, "HTTP/1.1 20", 11) != 0)
		die("the publish was answered: %s", n > 0 ? answer : "not");
}
