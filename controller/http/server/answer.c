/* What handlers call: see server.h. */
#include "http/server/own.h"

#include "base/banned.h"

#define PIECES_MAX 130

const struct str *request_header(const struct request *r, const char *name)
{
	return http_header_find(r->headers, r->n_headers, str_of(name));
}

const struct str *request_query(const struct request *r, const char *name)
{
	struct str wanted = str_of(name);

	for (size_t i = 0; i < r->n_query; i++)
		if (str_eq(r->query[i].name, wanted))
			return &r->query[i].value;
	return NULL;
}

/* ---- whole answers ---- */

static const unsigned char is_control[256] = {
	[0 ... '\t' - 1] = 1, ['\t' + 1 ... ' ' - 1] = 1,
};

static bool is_clean(struct str value)
{
	unsigned char bad = 0;

	for (size_t i = 0; i < value.n; i++)
		bad |= is_control[(unsigned char)value.p[i]];
	return !bad;
}

void answer_header(struct request *r, const char *name, struct str value)
{
	struct buf *head = &exchange_of(r)->head;

	must(is_clean(value));
	buf_z(head, name);
	buf_add(head, ": ", 2);
	buf_str(head, value);
	buf_add(head, "\r\n", 2);
}

void answer_header_u64(struct request *r, const char *name, uint64_t value)
{
	struct buf *head = &exchange_of(r)->head;

	buf_z(head, name);
	buf_add(head, ": ", 2);
	buf_u64(head, value);
	buf_add(head, "\r\n", 2);
}

static bool is_last(const struct exchange *ex)
{
	return ex->at_.next == &ex->conn->exchanges;
}

/* What is known when the answer begins. */
static void begin(struct exchange *ex, int status)
{
	struct conn *c = ex->conn;

	must(ex->fsm.state < EXCHANGE_STREAMING);
	if (is_last(ex) && (c->server->is_draining || c->has_eof))
		ex->keep_alive = false;
	ex->status = status;
	ex->is_bodiless = ex->r.is_head || status == 204 || status == 304;
}

void answer_pieces(struct request *r, int status, const char *content_type,
		   const struct stream_vec *v, unsigned n)
{
	struct exchange *ex = exchange_of(r);
	struct buf *head = &ex->conn->server->scratch;
	struct stream_vec all[PIECES_MAX];
	uint64_t length = 0;

	must(n < PIECES_MAX);
	begin(ex, status);
	/* Answered before its body was read: what follows is no request. */
	if (!exchange_body_is_over(ex))
		ex->keep_alive = false;
	for (unsigned i = 0; i < n; i++) {
		length += v[i].n;
		all[1 + i] = v[i];
	}
	buf_reset(head);
	ex->conn->protocol->put_head(ex, head, status, content_type, length);
	all[0] = (struct stream_vec){ head->p, head->n };
	exchange_send(ex, all, ex->is_bodiless ? 1 : 1 + n);
	exchange_done(ex);
}

void answer(struct request *r, int status, const char *content_type,
	    struct str body)
{
	struct stream_vec v = { body.p, body.n };

	answer_pieces(r, status, content_type, &v, body.n ? 1 : 0);
}

static void put_member(struct buf *out, const char *name, struct str value)
{
	buf_c(out, ',');
	buf_json(out, str_of(name));
	buf_c(out, ':');
	buf_json(out, value);
}

void answer_error(struct request *r, const struct err *err)
{
	int status = code_http(err->code);
	AUTO_BUF out = BUF_NONE;

	buf_printf(&out, "{\"type\":\"urn:conflux:error:%s\"",
		   code_slug(err->code));
	put_member(&out, "title", str_of(code_text(err->code)));
	buf_printf(&out, ",\"status\":%d", status);
	put_member(&out, "detail", str_of(err->text));
	if (err->hint[0])
		put_member(&out, "hint", str_of(err->hint));
	put_member(&out, "code", str_of(code_slug(err->code)));
	put_member(&out, "trace", str_of(r->trace_text));
	buf_z(&out, "}\n");
	answer(r, status, "application/problem+json", buf_view(&out));
}

/* ---- lists of words ---- */

/* Each header of that name is a list of words (RFC 9110, 5.6.1). */
static bool has_token(const struct request *r, const char *name,
		      const char *token)
{
	for (size_t i = 0; i < r->n_headers; i++) {
		struct str rest = r->headers[i].value;

		if (!str_eq(r->headers[i].name, str_of(name)))
			continue;
		while (rest.n)
			if (str_eq_nocase(str_trim(str_cut(&rest, ',')),
					  str_of(token)))
				return true;
	}
	return false;
}

/* ---- streams ---- */

void answer_stream(struct request *r, int status, const char *content_type)
{
	struct exchange *ex = exchange_of(r);
	struct buf *head = &ex->conn->server->scratch;
	struct stream_vec v;

	begin(ex, status);
	ex->is_chunked = ex->minor >= 1;
	ex->takes_trailers = ex->is_chunked && has_token(r, "te", "trailers");
	if (!ex->is_chunked || ex->is_bodiless)
		ex->keep_alive = false;
	buf_reset(head);
	ex->conn->protocol->put_head(ex, head, status, content_type, UINT64_MAX);
	buf_fini(&ex->head);
	v = (struct stream_vec){ head->p, head->n };
	fsm_move(&ex->fsm, EXCHANGE_STREAMING, "the header is out");
	ex->conn->server->stats.streams_now++;
	exchange_send(ex, &v, 1);
	/* Nothing follows; the handler hears of it by on_gone. */
	if ((ex->is_bodiless || ex->conn->has_eof) && exchange_is_first(ex))
		conn_last(ex->conn, "nobody follows the stream");
}

void answer_chunk(struct request *r, struct str bytes)
{
	struct exchange *ex = exchange_of(r);
	const struct http_protocol *p = ex->conn->protocol;
	struct buf *frame = &ex->conn->server->scratch;
	struct stream_vec v[3];
	size_t start;

	must(ex->fsm.state == EXCHANGE_STREAMING);
	if (bytes.n == 0 || ex->is_bodiless || ex->conn->fsm.state >= CONN_LAST)
		return;
	buf_reset(frame);
	p->put_chunk_start(ex, frame, bytes.n);
	start = frame->n;
	p->put_chunk_end(ex, frame);
	v[0] = (struct stream_vec){ frame->p, start };
	v[1] = (struct stream_vec){ bytes.p, bytes.n };
	v[2] = (struct stream_vec){ frame->p + start, frame->n - start };
	exchange_send(ex, v, 3);
}

size_t answer_pending(const struct request *r)
{
	const struct exchange *ex = exchange_of(r);

	if (!exchange_is_first(ex))
		return ex->held.n;
	return stream_pending(ex->conn->stream) +
		(ex->conn->is_corked ? ex->conn->server->out.n : 0);
}

void answer_on_drain(struct request *r, void (*cb)(struct request *r))
{
	exchange_of(r)->on_drain = cb;
}

void answer_trailer(struct request *r, const char *name, struct str value)
{
	struct exchange *ex = exchange_of(r);

	must(ex->fsm.state == EXCHANGE_STREAMING && !ex->is_raw);
	if (ex->takes_trailers)
		answer_header(r, name, value);
}

void answer_end(struct request *r)
{
	struct exchange *ex = exchange_of(r);
	struct buf *frame = &ex->conn->server->scratch;
	struct stream_vec v;

	must(ex->fsm.state == EXCHANGE_STREAMING);
	buf_reset(frame);
	if (!ex->is_bodiless)
		ex->conn->protocol->put_end(ex, frame);
	v = (struct stream_vec){ frame->p, frame->n };
	if (v.n && ex->conn->fsm.state < CONN_LAST)
		exchange_send(ex, &v, 1);
	exchange_done(ex);
}

/* ---- the bare connection ---- */

bool request_wants_upgrade(const struct request *r, const char *protocol)
{
	const struct exchange *ex = (const struct exchange *)r;

	return ex->wants_upgrade && has_token(r, "upgrade", protocol);
}

void answer_upgrade(struct request *r, const char *protocol)
{
	struct exchange *ex = exchange_of(r);
	struct conn *c = ex->conn;
	struct buf *head = &c->server->scratch;
	struct stream_vec v;

	must(request_wants_upgrade(r, protocol));
	begin(ex, 101);
	ex->keep_alive = false;
	buf_reset(head);
	c->protocol->put_upgrade(ex, head, protocol);
	buf_fini(&ex->head);
	v = (struct stream_vec){ head->p, head->n };
	fsm_move(&ex->fsm, EXCHANGE_STREAMING, "upgraded");
	c->server->stats.streams_now++;
	ex->is_raw = true;
	ex->is_body_whole = ex->is_body_told = false;
	c->upgrading = NULL;
	if (!c->has_eof)
		c->reading = ex;
	exchange_send(ex, &v, 1);
	if (c->has_eof && exchange_is_first(ex))
		conn_last(c, "nobody is there to go on");
	else if (!c->is_corked)
		conn_settle(c);
}
