/*
 * What is put off, so that no turn of the loop is long and others are served between.
 *
 * A connection takes so many requests in a turn; what it has sent beyond them waits in
 * 'in' or in the socket, and it goes on in the next turn.  Thousands of connections
 * that end at once, or streams of one connection, are ended so many a turn.
 *
 * A message brings the next turn.  It is a message, and no callback of turns, because
 * messages run until a loop has been freed.
 */
#include "http/server/own.h"

#include "base/banned.h"

static void post(struct http_server *s)
{
	if (s->more_posted)
		return;
	s->more_posted = true;
	loop_post_sure(s->loop, &s->more);
}

void conn_spend(struct conn *c, unsigned n)
{
	struct http_server *s = c->server;

	if (c->spent_turn != s->n_turns)
		c->spent = 0;
	c->spent_turn = s->n_turns;
	c->spent += n;
}

bool conn_has_spent(const struct conn *c)
{
	return c->spent_turn == c->server->n_turns &&
		c->spent >= c->server->config.limits.turn_requests;
}

void conn_later(struct conn *c)
{
	if (!list_empty(&c->later_))
		return;
	list_append(&c->server->later, &c->later_);
	post(c->server);
}

bool server_may_end(const struct http_server *s)
{
	return s->ended < s->config.limits.turn_ends;
}

void conn_end_later(struct conn *c)
{
	if (!list_empty(&c->ending_))
		return;
	list_append(&c->server->ending, &c->ending_);
	post(c->server);
}

/* What was held of a stream went to the socket (let_speak); what is left there is told
 * of by that. */
static void tell_spoken(struct conn *c)
{
	if (c->has_spoken && c->fsm.state < CONN_LAST &&
	    stream_pending(c->stream) == 0)
		c->protocol->writable(c);
	c->has_spoken = false;
}

static void next_turn(struct http_server *s)
{
	s->n_turns++;
	s->ended = 0;
}

static void run_later(struct http_server *s)
{
	struct conn *c;
	struct list now;

	list_init(&now);
	list_insert_before(&s->later, &now);
	list_remove(&s->later);
	while ((c = list_first(&now, struct conn, later_))) {
		list_remove(&c->later_);
		tell_spoken(c);
		conn_settle(c);
	}
}

static void run_more(struct msg *msg)
{
	struct http_server *s = container_of(msg, struct http_server, more);
	struct conn *c;

	next_turn(s);
	run_later(s);
	while (server_may_end(s) && (c = list_first(&s->ending, struct conn, ending_))) {
		list_remove(&c->ending_);
		conn_end(c);
	}
	/* Not before: what is freed with the last connection must not be asked. */
	s->more_posted = false;
	if (!list_empty(&s->ending) || !list_empty(&s->later))
		post(s);
	server_try_destroy(s);
}

static void run_turn(struct turn *turn)
{
	next_turn(container_of(turn, struct http_server, turn));
}

static void run_wake(struct msg *msg)
{
	struct http_server *s = container_of(msg, struct http_server, wake);

	s->wake_posted = false;
	server_try_destroy(s);
}

void server_wake(struct http_server *s)
{
	if (s->wake_posted)
		return;
	s->wake_posted = true;
	loop_post_sure(s->loop, &s->wake);
}

/* Before protocols are: in each turn theirs is behind this one. */
void later_init(struct http_server *s)
{
	list_init(&s->later);
	list_init(&s->ending);
	s->more.run = run_more;
	s->wake.run = run_wake;
	s->turn.run = run_turn;
	/* Connections begin with 0. */
	s->n_turns = 1;
	loop_on_turn(s->loop, &s->turn);
}

void later_fini(struct http_server *s)
{
	loop_off_turn(s->loop, &s->turn);
}
