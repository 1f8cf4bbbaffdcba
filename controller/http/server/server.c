/* Servers: listening, limits by time, the end.  See server.h. */
#include "http/server/own.h"

#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

/* Connections that are told so at once; others are closed without a word. */
#define TURNED_AWAY_MAX 64u

const struct http_limits http_limits_default = {
	.header_bytes = 16 * 1024,
	.body_bytes = 8 * 1024 * 1024,
	.header_ms = 10000,
	.body_ms = 30000,
	.idle_ms = 75000,
	.handshake_ms = 10000,
	.write_ms = 30000,
	.least_rate = 512,
	.drain_idle_ms = 1000,
	.connections = 20000,
	.pending_bytes = 1024 * 1024,
	.pipelined = 64,
	.streams = 100000,
	.turn_requests = 128,
	.turn_ends = 512,
};

/* ---- time ---- */

/* IMF-fixdate (RFC 9110, 5.6.7), made once a second. */
const char *server_date(struct http_server *s)
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu",
					 "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May",
					    "Jun", "Jul", "Aug", "Sep", "Oct",
					    "Nov", "Dec" };
	time_t now = (time_t)(clock_wall_ms() / 1000);
	struct buf b = BUF_NONE;
	struct tm tm;

	if (s->date_s == (uint64_t)now)
		return s->date;
	s->date_s = (uint64_t)now;
	gmtime_r(&now, &tm);
	buf_printf(&b, "%s, %02d %s %d %02d:%02d:%02d GMT", days[tm.tm_wday],
		   tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
		   tm.tm_min, tm.tm_sec);
	str_copy(s->date, sizeof(s->date), buf_view(&b));
	buf_fini(&b);
	return s->date;
}

static void drain_check(struct http_server *s)
{
	void (*done)(void *data) = s->drained;

	if (!s->is_draining || !list_empty(&s->conns) || !done)
		return;
	s->drained = NULL;
	timer_stop(&s->timer);
	done(s->drained_data);
}

/* Limits by time are looked at for all connections at once: that costs less
 * than a timer for each that is armed with each request. */
static void on_tick(struct timer *timer)
{
	struct http_server *s = container_of(timer, struct http_server, timer);
	bool cut = s->is_draining && loop_now_ms(s->loop) >= s->drain_until_ms;
	struct conn *c;

	list_each(&s->conns, c, at_) {
		if (cut)
			conn_cut(c);
		else
			conn_expire(c);
	}
	if (!list_empty(&s->conns))
		timer_start(&s->timer, s->tick_ms);
	if (list_empty(&s->conns))
		bodies_fini(&s->bodies);
	else
		bodies_sweep(&s->bodies, loop_now_ms(s->loop));
}

static unsigned tick_of(const struct http_limits *l)
{
	unsigned least = MIN(MIN(l->header_ms, l->body_ms), l->idle_ms);

	least = MIN(least, MIN(l->handshake_ms, l->write_ms));

	return MIN(MAX(least / 8, 10u), 1000u);
}

/* ---- connections ---- */

/* OK, E_BUSY or E_RATE. */
static enum code may_enter(struct http_server *s, const struct stream *stream)
{
	if (s->stats.connections_now >= s->config.limits.connections)
		return E_BUSY;
	if (s->config.enter &&
	    !s->config.enter(s->config.data, stream_peer(stream)))
		return E_RATE;
	return OK;
}

/* Told before anything is asked: most clients read it as the answer. */
static void turn_away(struct conn *c, enum code code)
{
	struct exchange *ex = conn_ask(c);
	struct err err;

	err_set(&err, code, "%s more connections than it may have",
		code == E_RATE ? "your address has" : "this node has");
	err_hint(&err, "close some, or come again later");
	answer_header(&ex->r, "Retry-After", STR("2"));
	c->protocol->refuse(c, ex, &err);
}

static void on_connection(struct listener *l, struct stream *stream, void *data)
{
	struct http_server *s = data;
	enum code rc = may_enter(s, stream);
	struct conn *c;

	s->stats.connections++;
	/* A handshake to say no would cost more than what is asked for. */
	if (rc && (stream_is_tls(stream) ||
		   s->n_turned_away >= TURNED_AWAY_MAX)) {
		s->stats.refused++;
		stream_abort(stream);
		return;
	}
	c = conn_new(s, stream);
	c->has_entered = rc == OK;
	if (rc == OK)
		s->stats.connections_now++;
	else
		s->n_turned_away++;
	if (!timer_is_armed(&s->timer))
		timer_start(&s->timer, s->tick_ms);
	if (rc)
		turn_away(c, rc);
}

/* ---- protocols ---- */

static void protocols_init(struct http_server *s)
{
	const struct http_protocol *p;

	s->protocols = s->config.protocols ? s->config.protocols : http_protocols;
	s->conn_bytes = sizeof(struct conn);
	s->exchange_bytes = sizeof(struct exchange);
	for (size_t i = 0; (p = s->protocols[i]); i++) {
		must(i < PROTOCOLS_MAX);
		s->conn_bytes = MAX(s->conn_bytes, p->conn_bytes);
		s->exchange_bytes = MAX(s->exchange_bytes, p->exchange_bytes);
		if (p->server_new)
			s->states[i] = p->server_new(s);
	}
}

static void protocols_fini(struct http_server *s)
{
	for (size_t i = 0; s->protocols[i]; i++)
		if (s->protocols[i]->server_free)
			s->protocols[i]->server_free(s->states[i]);
}

void *server_state(const struct http_server *s, const struct http_protocol *p)
{
	size_t i = 0;

	while (s->protocols[i] != p)
		i++;
	return s->states[i];
}

/* ---- the end ---- */

void server_try_destroy(struct http_server *s)
{
	struct exchange *ex;

	if (!s->is_freed || !list_empty(&s->conns) || s->wake_posted ||
	    s->more_posted)
		return;
	protocols_fini(s);
	while ((ex = list_first(&s->spare, struct exchange, at_))) {
		list_remove(&ex->at_);
		exchange_destroy(ex);
	}
	router_free(&s->router);
	later_fini(s);
	bodies_fini(&s->bodies);
	buf_fini(&s->out);
	buf_fini(&s->scratch);
	free(s);
}

void server_conn_gone(struct conn *c)
{
	struct http_server *s = c->server;
	uint64_t in, out;

	stream_counts(c->stream, &in, &out);
	s->stats.bytes_out += out;
	if (c->has_entered)
		s->stats.connections_now--;
	else
		s->n_turned_away--;
	if (c->has_entered && s->config.leave)
		s->config.leave(s->config.data, stream_peer(c->stream));
	list_remove(&c->at_);
	drain_check(s);
	server_try_destroy(s);
}

/* ---- life ---- */

enum code http_server_new(struct loop *loop, const struct http_server_config *c,
			  struct http_server **out, struct err *err)
{
	struct http_server *s = NEW(struct http_server);

	s->loop = loop;
	s->config = *c;
	if (s->config.limits.header_bytes == 0)
		s->config.limits = http_limits_default;
	s->router = router_new(c->routes, c->n_routes);
	list_init(&s->listeners);
	list_init(&s->conns);
	list_init(&s->spare);
	later_init(s);
	bodies_init(&s->bodies);
	prng_init(&s->prng, rand_u64());
	protocols_init(s);
	s->tick_ms = tick_of(&s->config.limits);
	timer_init(&s->timer, loop, on_tick);
	*out = s;
	return OK;
}

enum code http_server_listen(struct http_server *s, struct str addr, bool share,
			     struct tls_server *tls, struct stream_addr *bound,
			     struct err *err)
{
	struct listening *l = NEW(struct listening);
	enum code rc = listener_new(s->loop, addr, share, tls, on_connection, s,
				    &l->listener, err);

	if (rc) {
		free(l);
		return rc;
	}
	list_append(&s->listeners, &l->at_);
	listener_addr(l->listener, bound);
	return OK;
}

static void stop_listening(struct http_server *s)
{
	struct listening *l;

	while ((l = list_first(&s->listeners, struct listening, at_))) {
		list_remove(&l->at_);
		listener_close(&l->listener);
		free(l);
	}
}

void http_server_drain(struct http_server *s, unsigned grace_ms,
		       void (*done)(void *data), void *data)
{
	struct listening *l;
	struct conn *c;

	/* Who is connected already has a request on its way. */
	list_each(&s->listeners, l, at_)
		listener_accept_all(l->listener);
	stop_listening(s);
	s->is_draining = true;
	s->drain_idle_ms = loop_now_ms(s->loop) + s->config.limits.drain_idle_ms;
	s->drained = done;
	s->drained_data = data;
	s->drain_until_ms = loop_now_ms(s->loop) + grace_ms;
	s->tick_ms = MIN(s->tick_ms, MAX(grace_ms / 4, 10u));
	s->tick_ms = MIN(s->tick_ms,
			 MAX(s->config.limits.drain_idle_ms / 4, 10u));
	list_each(&s->conns, c, at_)
		conn_drain(c);
	if (!list_empty(&s->conns))
		timer_start(&s->timer, s->tick_ms);
	drain_check(s);
}

static void timer_closed(struct timer *timer)
{
	struct http_server *s = container_of(timer, struct http_server, timer);

	s->is_freed = true;
	server_try_destroy(s);
}

void http_server_free(struct http_server **sp)
{
	struct http_server *s = *sp;
	struct conn *c;

	if (!s)
		return;
	*sp = NULL;
	stop_listening(s);
	s->drained = NULL;
	list_each(&s->conns, c, at_)
		conn_cut(c);
	timer_close(&s->timer, timer_closed);
}

void http_server_stats(const struct http_server *s, struct http_stats *out)
{
	*out = s->stats;
	for (struct list *at = s->conns.next; at != &s->conns; at = at->next) {
		uint64_t in, sent;

		stream_counts(container_of(at, struct conn, at_)->stream, &in,
			      &sent);
		out->bytes_out += sent;
	}
}
