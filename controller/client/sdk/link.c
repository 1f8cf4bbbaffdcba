/* Connections to servers: see link.h. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "client/sdk/own.h"

#include "base/banned.h"

/* Of a body, in bytes a second, behind the time that each answer has. */
#define LEAST_RATE (16 * 1024)

enum io { IO_DONE, IO_AGAIN, IO_END, IO_FAILED };

/* ---- endpoints ---- */

static enum cfx_code not_an_endpoint(struct str url, const char *why,
				     struct cfx_error *error)
{
	return cfx_fail(error, CFX_E_USAGE, "endpoints: \"%.*s\" %s; "
			"https://a.example:8443, say", (int)MIN(url.n,
			(size_t)100), url.p, why);
}

static enum cfx_code endpoint_parse(struct str url, struct endpoint *e,
				    struct cfx_error *error)
{
	struct str s = url, host, port = STR_NONE;
	struct address_list none;
	const char *end;
	uint64_t n;
	bool is_v6;

	*e = (struct endpoint){ .is_tls = sdk_starts(s, STR("https://")) };
	if (!e->is_tls && !sdk_starts(s, STR("http://")))
		return not_an_endpoint(url, "is no URL", error);
	s = sdk_from(s, e->is_tls ? 8 : 7);
	if (s.n && s.p[s.n - 1] == '/')
		s.n--;
	if (s.n == 0 || url.n >= sizeof(e->name) - 8)
		return not_an_endpoint(url, "has no host, or a long one", error);
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("/@?#\"\\", s.p[i]))
			return not_an_endpoint(url, "has more than host and port",
					       error);
	is_v6 = s.p[0] == '[';
	end = memchr(s.p, is_v6 ? ']' : ':', s.n);
	if (is_v6 && !end)
		return not_an_endpoint(url, "has no end of an address", error);
	host = end ? str_n(s.p + is_v6, (size_t)(end - s.p) - is_v6) : s;
	if (end && is_v6)
		end++;
	if (end && end < s.p + s.n)
		port = str_n(end + 1, (size_t)(s.p + s.n - end) - 1);
	if (end && end < s.p + s.n && *end != ':')
		return not_an_endpoint(url, "has something behind the address",
				       error);
	if (host.n == 0 || (port.p && (!sdk_u64(port, &n) || n == 0 ||
				       n > 65535)))
		return not_an_endpoint(url, "has no host, or no such port", error);
	snprintf(e->host, sizeof(e->host), "%.*s", STR_ARG(host));
	snprintf(e->port, sizeof(e->port), "%.*s", port.p ? (int)port.n : 3,
		 port.p ? port.p : e->is_tls ? "443" : "80\0");
	snprintf(e->authority, sizeof(e->authority), "%.*s", STR_ARG(s));
	snprintf(e->name, sizeof(e->name), "%.*s", STR_ARG(url));
	e->is_numeric = lookup_numeric(e, &none);
	if (is_v6 && !e->is_numeric)
		return not_an_endpoint(url, "has no address in brackets", error);
	return CFX_OK;
}

enum cfx_code endpoints_parse(const char *list, struct endpoint *out,
			      unsigned *n, struct cfx_error *error)
{
	struct str one, rest = str_of(list);
	enum cfx_code rc;

	*n = 0;
	while (sdk_cut(&rest, ',', &one)) {
		if (*n == ENDPOINTS_MAX)
			return cfx_fail(error, CFX_E_USAGE, "endpoints: more "
					"than %d", ENDPOINTS_MAX);
		rc = endpoint_parse(one, &out[*n], error);
		if (rc)
			return rc;
		(*n)++;
	}
	return CFX_OK;
}

/* ---- life ---- */

void link_init(struct link *l, struct net *net)
{
	*l = (struct link){ .net = net, .fd = -1 };
}

/* It holds the token. */
static void forget_request(struct link *l)
{
	heap_wipe(&l->net->heap, l->out.p, l->out.n);
	l->out = (struct bytes){ 0 };
}

/* A child of the program may hold a copy: closing alone would leave it in epoll, which
 * would tell of it for ever, and the server with a connection. */
static void close_socket(struct link *l)
{
	if (l->fd < 0)
		return;
	(void)epoll_ctl(l->net->epoll, EPOLL_CTL_DEL, l->fd, NULL);
	shutdown(l->fd, SHUT_RDWR);
	close(l->fd);
	l->fd = -1;
	l->events = 0;
}

void link_close(struct link *l)
{
	lookup_free(&l->lookup);
	SSL_free(TAKE(l->ssl));
	close_socket(l);
	l->state = LINK_CLOSED;
	forget_request(l);
}

void link_fini(struct link *l)
{
	link_close(l);
	bytes_fini(&l->net->heap, &l->answer.body);
	bytes_fini(&l->net->heap, &l->answer.lines);
}

bool link_is_busy(const struct link *l)
{
	return l->state != LINK_CLOSED && l->state != LINK_IDLE;
}

bool link_is_streaming(const struct link *l)
{
	return l->state == LINK_RECEIVE && l->is_head && l->take &&
	       l->answer.status == 200;
}

int64_t link_due(const struct link *l)
{
	return !link_is_busy(l) ? INT64_MAX : l->is_again ? 0 : l->deadline_ms;
}

/* It may be asked now. */
static void answer_from(struct link *l, int64_t now)
{
	l->deadline_ms = l->answer_by_ms = now + l->answer_ms;
}

void link_ask(struct link *l, const struct endpoint *to, struct bytes *request,
	      unsigned answer_ms, size_t body_max, link_take *take, void *data,
	      unsigned silence_ms, int64_t now)
{
	bool keep = l->state == LINK_IDLE && l->to == to;

	if (!keep)
		link_close(l);
	forget_request(l);
	l->out = *request;
	*request = (struct bytes){ 0 };
	l->sent = 0;
	l->to = to;
	l->answer_ms = answer_ms;
	l->silence_ms = silence_ms;
	l->body_max = body_max;
	l->take = take;
	l->take_data = data;
	l->is_reused = keep;
	l->was_sent = false;
	l->send_error = 0;
	l->is_spent = false;
	l->is_again = true;
	link_http_begin(l);
	l->state = keep ? LINK_SEND : LINK_LOOKUP;
	l->address = 0;
	l->connect_by_ms = now + l->net->connect_ms;
	l->deadline_ms = l->connect_by_ms;
	if (keep)
		answer_from(l, now);
}

/* ---- bytes ---- */

static enum io ssl_io(struct link *l, int rc)
{
	switch (SSL_get_error(l->ssl, rc)) {
	case SSL_ERROR_WANT_READ: return IO_AGAIN;
	case SSL_ERROR_WANT_WRITE: l->wants_write = true; return IO_AGAIN;
	case SSL_ERROR_ZERO_RETURN: return IO_END;
	default: return IO_FAILED;
	}
}

static enum io send_some(struct link *l)
{
	size_t left = l->out.n - l->sent;
	ssize_t n;

	if (l->ssl) {
		ERR_clear_error();
		n = SSL_write(l->ssl, l->out.p + l->sent, (int)left);
		if (n <= 0)
			return ssl_io(l, (int)n);
	} else {
		n = send(l->fd, l->out.p + l->sent, left, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return IO_FAILED;
		if (n < 0) {
			l->wants_write = true;
			return IO_AGAIN;
		}
	}
	l->sent += (size_t)n;
	l->was_sent = true;
	return IO_DONE;
}

static enum io receive_some(struct link *l, char *p, size_t size, size_t *n)
{
	ssize_t got;

	if (l->ssl) {
		ERR_clear_error();
		got = SSL_read(l->ssl, p, (int)size);
		if (got <= 0)
			return ssl_io(l, (int)got);
	} else {
		got = recv(l->fd, p, size, 0);
		if (got < 0)
			return errno == EAGAIN || errno == EINTR ? IO_AGAIN :
								   IO_FAILED;
	}
	*n = (size_t)got;
	return got ? IO_DONE : IO_END;
}

/* ---- the way to a connection ---- */

static enum cfx_code open_socket(struct link *l, struct cfx_error *error)
{
	struct sockaddr *sa = (struct sockaddr *)&l->addresses.at[l->address];
	struct epoll_event event = { 0 };
	int one = 1, rc;

	l->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		       0);
	if (l->fd < 0)
		return cfx_fail(error, CFX_E_IO, "%s: a socket: %s",
				l->to->name, strerrordesc_np(errno));
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(l->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (epoll_ctl(l->net->epoll, EPOLL_CTL_ADD, l->fd, &event) < 0)
		return cfx_fail(error, CFX_E_IO, "%s: epoll: %s", l->to->name,
				strerrordesc_np(errno));
	l->events = 0;
	do
		rc = connect(l->fd, sa, l->addresses.n_bytes[l->address]);
	while (rc < 0 && errno == EINTR);
	if (rc < 0 && errno != EINPROGRESS && errno != EALREADY &&
	    errno != EISCONN)
		return cfx_fail(error, CFX_E_UNAVAILABLE, "%s: %s", l->to->name,
				strerrordesc_np(errno));
	return CFX_OK;
}

/* From the address that it stands at on. */
static enum cfx_code connect_next(struct link *l, int64_t now,
				  struct cfx_error *error)
{
	enum cfx_code rc = CFX_E_UNAVAILABLE;

	for (; l->address < l->addresses.n; l->address++) {
		close_socket(l);
		rc = open_socket(l, error);
		if (rc == CFX_OK) {
			l->state = LINK_CONNECT;
			/* One that says nothing leaves time for the others. */
			l->deadline_ms = now + (l->connect_by_ms - now) /
				(int64_t)(l->addresses.n - l->address);
			return CFX_OK;
		}
	}
	return rc;
}

static enum cfx_code step_lookup(struct link *l, int64_t now,
				 struct cfx_error *error)
{
	enum cfx_code rc = CFX_OK;

	if (!l->lookup && !lookup_numeric(l->to, &l->addresses)) {
		rc = lookup_start(l->to, l->net->wake, &l->lookup, error);
		if (rc)
			return rc;
	}
	if (l->lookup && !lookup_done(l->lookup, &l->addresses, &rc, error))
		return CFX_OK;
	lookup_free(&l->lookup);
	return rc ? rc : connect_next(l, now, error);
}

static bool is_connecting(struct link *l, int *no)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(*no);

	*no = 0;
	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, no, &n) < 0)
		*no = errno;
	if (*no)
		return false;
	n = sizeof(sa);
	return getpeername(l->fd, (struct sockaddr *)&sa, &n) < 0;
}

static enum cfx_code step_connect(struct link *l, int64_t now,
				  struct cfx_error *error)
{
	int no;

	if (is_connecting(l, &no)) {
		l->wants_write = true;
		return CFX_OK;
	}
	if (no) {
		cfx_fail(error, CFX_E_UNAVAILABLE, "%s: %s", l->to->name,
			 strerrordesc_np(no));
		l->address++;
		return l->address < l->addresses.n ?
			connect_next(l, now, error) : CFX_E_UNAVAILABLE;
	}
	l->state = LINK_SEND;
	l->deadline_ms = l->connect_by_ms;
	if (!l->to->is_tls) {
		answer_from(l, now);
		return CFX_OK;
	}
	l->state = LINK_TLS;
	return tls_new(&l->net->tls, l->to, l->fd, &l->ssl, error);
}

static enum cfx_code step_tls(struct link *l, int64_t now,
			      struct cfx_error *error)
{
	char what[300];
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(l->ssl);
	if (rc == 1) {
		l->state = LINK_SEND;
		answer_from(l, now);
		return CFX_OK;
	}
	if (ssl_io(l, rc) == IO_AGAIN)
		return CFX_OK;
	snprintf(what, sizeof(what), "%s: TLS", l->to->name);
	return tls_fail(error, l->ssl, what);
}

/* ---- questions and answers ---- */

static enum cfx_code lost(struct link *l, struct cfx_error *error)
{
	int no = errno;
	char what[300];

	if (l->ssl && ERR_peek_error()) {
		snprintf(what, sizeof(what), "%s: TLS", l->to->name);
		return tls_fail(error, l->ssl, what);
	}
	return cfx_fail(error, CFX_E_UNAVAILABLE, "%s: the connection was lost "
			"(%s)", l->to->name, no ? strerrordesc_np(no) : "ended");
}

static void step_send(struct link *l)
{
	enum io io = IO_DONE;

	errno = 0;

	while (l->sent < l->out.n && io == IO_DONE)
		io = send_some(l);
	if (io == IO_AGAIN)
		return;
	/* Where it closed, what it answered before that may tell why. */
	l->send_error = io == IO_DONE ? 0 : errno ? errno : EPIPE;
	forget_request(l);
	l->state = LINK_RECEIVE;
}

/* What is large takes its time, and what only trickles is not waited for. */
static int64_t body_by(const struct link *l, int64_t now)
{
	int64_t ms = (int64_t)(l->answer.body.n * 1000 / LEAST_RATE);

	return MIN(now + l->answer_ms, l->answer_by_ms + ms);
}

/* At most 16 pieces, so that others have their turn. */
static enum cfx_code step_receive(struct link *l, int64_t now,
				  struct cfx_error *error)
{
	char room[16 * 1024];
	size_t n;

	for (unsigned i = 0; i < 16 && !l->is_done; i++) {
		enum io io;

		errno = 0;
		io = receive_some(l, room, sizeof(room), &n);
		if (io == IO_AGAIN && l->send_error) {
			errno = l->send_error;
			return lost(l, error);
		}
		if (io == IO_AGAIN)
			return CFX_OK;
		if (io == IO_FAILED)
			return lost(l, error);
		if (!link_http_take(l, room, io == IO_END ? 0 : n, error))
			return error->code;
		if (io == IO_END && !l->is_done)
			return lost(l, error);
		if (l->is_head && l->take && l->answer.status == 200)
			l->deadline_ms = now + l->silence_ms;
		else if (l->is_head)
			l->deadline_ms = body_by(l, now);
		if (io == IO_END)
			l->is_spent = true;
	}
	l->is_again = !l->is_done;
	return CFX_OK;
}

static bool listen_to(struct link *l)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = l };

	if (l->state == LINK_CONNECT)
		event.events = EPOLLOUT;
	else if (l->wants_write)
		event.events |= EPOLLOUT;
	if (l->fd < 0 || event.events == l->events)
		return true;
	if (epoll_ctl(l->net->epoll, EPOLL_CTL_MOD, l->fd, &event) < 0)
		return false;
	l->events = event.events;
	return true;
}

static enum cfx_code step(struct link *l, int64_t now, struct cfx_error *error)
{
	enum link_state before;
	enum cfx_code rc = CFX_OK;

	do {
		before = l->state;
		l->wants_write = false;
		switch (l->state) {
		case LINK_LOOKUP: rc = step_lookup(l, now, error); break;
		case LINK_CONNECT: rc = step_connect(l, now, error); break;
		case LINK_TLS: rc = step_tls(l, now, error); break;
		case LINK_SEND: step_send(l); break;
		case LINK_RECEIVE: rc = step_receive(l, now, error); break;
		default: break;
		}
	} while (rc == CFX_OK && l->state != before);
	return rc;
}

/* Somebody closed the kept connection, or said something unasked. */
void link_look(struct link *l)
{
	char c;
	size_t n;

	if (l->state != LINK_IDLE)
		return;
	if (receive_some(l, &c, 1, &n) != IO_AGAIN || !listen_to(l))
		link_close(l);
}

enum link_event link_step(struct link *l, int64_t now, struct cfx_error *error)
{
	enum cfx_code rc;

	link_look(l);
	if (!link_is_busy(l))
		return LINK_BUSY;
	l->is_again = false;
	rc = step(l, now, error);
	if (rc == CFX_OK && l->state == LINK_CONNECT && now >= l->deadline_ms &&
	    l->address + 1 < l->addresses.n) {
		l->address++;
		rc = connect_next(l, now, error);
	}
	if (rc == CFX_OK && !l->is_done && now >= l->deadline_ms)
		rc = cfx_fail(error, CFX_E_TIMEOUT, "%s: %s", l->to->name,
			      l->state < LINK_SEND ?
			      "no connection in time (connect_timeout_ms)" :
			      link_is_streaming(l) ?
			      "the watch is silent (silence_timeout_ms)" :
			      "no answer in time (request_timeout_ms)");
	if (rc == CFX_OK && !l->is_done && !listen_to(l))
		rc = cfx_fail(error, CFX_E_IO, "%s: epoll: %s", l->to->name,
			      strerrordesc_np(errno));
	if (rc) {
		link_close(l);
		return LINK_FAILED;
	}
	if (!l->is_done)
		return LINK_BUSY;
	l->state = LINK_IDLE;
	/* A request that did not leave whole leaves the server waiting for it. */
	if (l->is_spent || l->send_error || !http_should_keep_alive(&l->http) ||
	    !listen_to(l))
		link_close(l);
	return LINK_ANSWERED;
}
