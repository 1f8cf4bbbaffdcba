/*
 * Requests over HTTP/1.1 that come again, and answers that are given again
 * (answer_may_repeat): see h1.h.
 */
#include "http/server/h1.h"
#include "http/server/memo.h"

#include "base/mem.h"

#include "base/banned.h"

/* Where the next request will be looked up, beside the connection (conn_new). */
static void know_near(struct conn *c)
{
	const struct memo *m = c->memo;
	const struct http1_repeat *repeat = h1_of(c)->repeat;
	struct str raw = http1_repeat_raw(repeat);

	stream_near(c->stream, 1, repeat, 1);
	stream_near(c->stream, 2, raw.p, raw.n);
	stream_near(c->stream, 3, m, m ? offsetof(struct memo, name) : 0);
	stream_near(c->stream, 4, m ? m->bytes : NULL, m ? m->n_about : 0);
	stream_near(c->stream, 5, m ? m->head : NULL, m ? m->n_head : 0);
}

bool h1_recall(struct conn *c, struct str in)
{
	struct h1_conn *h1 = h1_of(c);

	for (size_t i = 0; i < ARRAY_LEN(h1->earlier); i++) {
		struct http1_repeat *repeat = h1->earlier[i].repeat;
		struct memo *memo = h1->earlier[i].memo;

		if (!http1_repeat_is(repeat, in))
			continue;
		h1->earlier[i].repeat = h1->repeat;
		h1->earlier[i].memo = c->memo;
		h1->repeat = repeat;
		c->memo = memo;
		know_near(c);
		return true;
	}
	return false;
}

void h1_push(struct conn *c)
{
	struct h1_conn *h1 = h1_of(c);
	const size_t last = ARRAY_LEN(h1->earlier) - 1;

	if (!h1->repeat)
		return;
	http1_repeat_free(&h1->earlier[last].repeat);
	memo_free(&h1->earlier[last].memo);
	for (size_t i = last; i > 0; i--)
		h1->earlier[i] = h1->earlier[i - 1];
	h1->earlier[0].repeat = TAKE(h1->repeat);
	h1->earlier[0].memo = TAKE(c->memo);
}

void h1_repeat_free(struct conn *c)
{
	struct h1_conn *h1 = h1_of(c);

	http1_repeat_free(&h1->repeat);
	memo_free(&c->memo);
	for (size_t i = 0; i < ARRAY_LEN(h1->earlier); i++) {
		http1_repeat_free(&h1->earlier[i].repeat);
		memo_free(&h1->earlier[i].memo);
	}
}

/* Where the value of a line of 'head' is; it is there. */
static size_t place_of(struct str head, struct str line)
{
	size_t at = str_find_str(head, line);

	must(at != SIZE_MAX);
	return at + line.n;
}

void h1_keep_head(struct exchange *ex, struct str head)
{
	struct memo *m = ex->conn->memo;

	if (!m || !m->wants_head)
		return;
	m->wants_head = false;
	m->head = mem_dup(head.p, head.n);
	m->n_head = head.n;
	m->date_at = place_of(head, STR("\r\nDate: "));
	m->trace_at = place_of(head, STR("\r\nX-Conflux-Trace: "));
	know_near(ex->conn);
}

/* Nothing is half read, held back, gathered, or about to end. */
static bool is_quiet(const struct conn *c)
{
	return c->fsm.state == CONN_IDLE && c->n_exchanges == 0 && c->in.n == 0 &&
		h1_of(c)->scanned == 0 && !c->has_eof && !c->server->corked &&
		!c->server->is_draining && conn_may_read(c);
}

/* Head and pieces; large ones from one place for all. */
static void write_again(struct conn *c, const struct memo *m)
{
	struct http_server *s = c->server;
	unsigned n = m->is_bodiless ? 0 : m->n_pieces;
	struct stream_vec v[1 + MEMO_PIECES] = { { m->head, m->n_head } };
	int file = -1;

	if (n && m->is_named && !stream_is_tls(c->stream))
		file = bodies_file(&s->bodies, m->name, m->pieces, n,
				   loop_now_ms(s->loop));
	for (unsigned i = 0; i < n; i++)
		v[1 + i] = m->pieces[i];
	if (file >= 0)
		stream_write_file(c->stream, str_n(m->head, m->n_head), m->pieces, n,
				  file);
	else
		stream_write(c->stream, v, 1 + n);
}

static void send_again(struct conn *c, struct memo *m, struct request *r)
{
	const struct http_server_config *config = &c->server->config;
	char trace[REQUEST_TRACE_TEXT];
	uint64_t sent = m->n_head;

	request_trace(r, trace);
	memcpy(m->head + m->trace_at, trace, sizeof(trace) - 1);
	memcpy(m->head + m->date_at, server_date(c->server), HTTP_DATE_BYTES);
	for (unsigned i = 0; i < m->n_pieces && !m->is_bodiless; i++)
		sent += m->pieces[i].n;
	write_again(c, m);
	c->server->stats.by_class[m->status / 100 % 6]++;
	if (config->after)
		config->after(r, m->status, sent);
	if (config->end)
		config->end(r);
}

bool h1_again(struct conn *c, struct str in)
{
	struct h1_conn *h1 = h1_of(c);
	struct request r = { 0 };
	struct memo *m;

	if (!is_quiet(c) || !c->server->config.again ||
	    (!http1_repeat_is_all(h1->repeat, in) &&
	     !(h1_recall(c, in) && http1_repeat_is_all(h1->repeat, in))))
		return false;
	m = c->memo;
	if (!m || !m->head)
		return false;
	request_init(c, &r);
	r.method = HTTP_M_GET;
	r.route = m->route;
	request_take_trace(&r, http1_repeat_trace(h1->repeat, in));
	if (!c->server->config.again(&r, m->bytes))
		return false;
	c->asked++;
	conn_spend(c, 1);
	c->server->stats.requests++;
	send_again(c, m, &r);
	return true;
}

