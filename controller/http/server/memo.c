/* Answers that are given again: see answer_may_repeat. */
#include "http/server/memo.h"

#include "base/mem.h"

#include "base/banned.h"

#define LINES_MAX 1024

void memo_free(struct memo **memo)
{
	if (*memo)
		free((*memo)->head);
	free(*memo);
	*memo = NULL;
}

void answer_may_repeat(struct request *r, const void *about, size_t n)
{
	struct exchange *ex = exchange_of(r);
	struct conn *c = ex->conn;

	must(n > 0 && n <= ANSWER_ABOUT);
	/* Whoever traces is to find his own trace in the answer. */
	if (c->repeated != ex || r->method != HTTP_M_GET ||
	    (!c->knows_trace && request_header(r, "traceparent")))
		return;
	c->about = arena_str(r->arena, str_n(about, n));
}

bool memo_keep(struct exchange *ex, const char *content_type,
	       const struct stream_vec *v, unsigned n)
{
	struct conn *c = ex->conn;
	struct memo *m;

	if (c->repeated != ex || c->about.n == 0 || n > MEMO_PIECES ||
	    ex->head.n > LINES_MAX)
		return false;
	m = mem_zero(sizeof(*m) + c->about.n + ex->head.n);
	if (content_type && !str_copy(m->content_type, sizeof(m->content_type),
				      str_of(content_type))) {
		free(m);
		return false;
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
