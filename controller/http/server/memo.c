/* Answers that are given again: see answer_may_repeat. */
#include "http/server/memo.h"

#include "base/mem.h"

#include "base/banned.h"

#define PIECES 4
#define LINES_MAX 1024

struct memo {
	const struct route *route;
	int status;
	char content_type[64];           /* empty: none */
	struct stream_vec pieces[PIECES];
	unsigned n_pieces;
	size_t n_about, n_lines;
	/* As it was sent, with a date and a trace to be replaced. */
	bool wants_head, is_bodiless;
	bool is_named;
	uint8_t name[BODY_NAME_BYTES];   /* of the body */
	char *head;                      /* NULL: none */
	size_t n_head, date_at, trace_at;
	_Alignas(16) char bytes[];       /* about, then the lines of the header */
};

void memo_free(struct memo **memo)
{
	if (*memo)
		free((*memo)->head);
	free(*memo);
	*memo = NULL;
}

bool memo_recall(struct conn *c, struct str in)
{
	for (size_t i = 0; i < ARRAY_LEN(c->earlier); i++) {
		struct http1_repeat *repeat = c->earlier[i].repeat;
		struct memo *memo = c->earlier[i].memo;

		if (!http1_repeat_is(repeat, in))
			continue;
		c->earlier[i].repeat = c->repeat;
		c->earlier[i].memo = c->memo;
		c->repeat = repeat;
		c->memo = memo;
		return true;
	}
	return false;
}

void memo_push(struct conn *c)
{
	const size_t last = ARRAY_LEN(c->earlier) - 1;

	if (!c->repeat)
		return;
	http1_repeat_free(&c->earlier[last].repeat);
	memo_free(&c->earlier[last].memo);
	for (size_t i = last; i > 0; i--)
		c->earlier[i] = c->earlier[i - 1];
	c->earlier[0].repeat = TAKE(c->repeat);
	c->earlier[0].memo = TAKE(c->memo);
}

void memo_free_all(struct conn *c)
{
	http1_repeat_free(&c->repeat);
	memo_free(&c->memo);
	for (size_t i = 0; i < ARRAY_LEN(c->earlier); i++) {
		http1_repeat_free(&c->earlier[i].repeat);
		memo_free(&c->earlier[i].memo);
	}
}

void answer_may_repeat(struct request *r, const void *about, size_t n)
{
	struct exchange *ex = exchange_of(r);
	struct conn *c = ex->conn;

	must(n > 0 && n <= ANSWER_ABOUT);
	/* Whoever traces wants his own spans. */
	if (c->repeated != ex || r->method != HTTP_M_GET ||
	    request_header(r, "traceparent"))
		return;
	c->about = arena_str(r->arena, str_n(about, n));
}

void memo_keep(struct exchange *ex, const char *content_type,
	       const struct stream_vec *v, unsigned n)
{
	struct conn *c = ex->conn;
	struct memo *m;

	if (c->repeated != ex || c->about.n == 0 || n > PIECES ||
	    ex->head.n > LINES_MAX || !(ex->keep_alive || ex->r.is_http2))
		return;
	m = mem_zero(sizeof(*m) + c->about.n + ex->head.n);
	if (content_type && !str_copy(m->content_type, sizeof(m->content_type),
				      str_of(content_type))) {
		free(m);
		return;
	}
	m->route = ex->r.route;
	m->status = ex->status;
	m->is_bodiless = ex->is_bodiless;
	m->wants_head = true;
	m->is_named = c->server->named;
	if (m->is_named)
		memcpy(m->name, c->server->named, sizeof(m->name));
	m->n_pieces = n;
	for (unsigned i = 0; i < n; i++)
		m->pieces[i] = v[i];
	m->n_about = c->about.n;
	m->n_lines = ex->head.n;
	memcpy(m->bytes, c->about.p, m->n_about);
	if (m->n_lines)
		memcpy(m->bytes + m->n_about, ex->head.p, m->n_lines);
	memo_free(&c->memo);
	c->memo = m;
}

/* Where the value of a line of 'head' is; it is there. */
static size_t place_of(struct str head, struct str line)
{
	size_t at = str_find_str(head, line);

	must(at != SIZE_MAX);
	return at + line.n;
}

void memo_keep_head(struct exchange *ex, struct str head)
{
	struct memo *m = ex->conn->memo;

	if (!m || !m->wants_head)
		return;
	m->wants_head = false;
	m->head = mem_dup(head.p, head.n);
	m->n_head = head.n;
	m->date_at = place_of(head, STR("\r\nDate: "));
	m->trace_at = place_of(head, STR("\r\nX-Conflux-Trace: "));
}

/* Nothing is half read, held back, gathered, or about to end. */
static bool is_quiet(const struct conn *c)
{
	return c->fsm.state == CONN_IDLE && c->n_exchanges == 0 && c->in.n == 0 &&
		c->scanned == 0 && !c->has_eof && !c->server->corked &&
		!c->server->is_draining && conn_may_read(c);
}

/* Head and pieces; large ones from one place for all. */
static void write_again(struct conn *c, const struct memo *m)
{
	struct http_server *s = c->server;
	unsigned n = m->is_bodiless ? 0 : m->n_pieces;
	struct stream_vec v[1 + PIECES] = { { m->head, m->n_head } };
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

bool memo_give_at_once(struct conn *c, struct str in)
{
	struct request r = { 0 };
	struct memo *m;

	if (!is_quiet(c) || !c->server->config.again ||
	    (!http1_repeat_is(c->repeat, in) && !memo_recall(c, in)) ||
	    !http1_repeat_is_all(c->repeat, in))
		return false;
	m = c->memo;
	if (!m || !m->head)
		return false;
	request_init(c, &r);
	r.method = HTTP_M_GET;
	r.route = m->route;
	if (!c->server->config.again(&r, m->bytes))
		return false;
	c->asked++;
	conn_spend(c, 1);
	c->server->stats.requests++;
	send_again(c, m, &r);
	return true;
}

bool memo_give(struct exchange *ex)
{
	const struct memo *m = ex->conn->memo;
	const struct http_server_config *config = &ex->conn->server->config;

	if (!m || !config->again)
		return false;
	ex->r.route = m->route;
	if (!config->again(&ex->r, m->bytes))
		return false;
	buf_add(&ex->head, m->bytes + m->n_about, m->n_lines);
	answer_give(ex, m->status, m->content_type[0] ? m->content_type : NULL,
		    m->pieces, m->n_pieces);
	return true;
}
