/* What handlers call: see server.h. */
#include "http/server/own.h"

#include "base/banned.h"

const struct str *request_header(const struct request *r, const char *name)
{
	return http_header_find(r->in->headers, r->in->n_headers, str_of(name));
}

const struct str *request_query(const struct request *r, const char *name)
{
	struct str wanted = str_of(name);

	for (size_t i = 0; i < r->in->n_query; i++)
		if (str_eq(r->in->query[i].name, wanted))
			return &r->in->query[i].value;
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

	must(ex->state < EXCHANGE_STREAMING);
	if (is_last(ex) && (c->server->is_draining || c->has_eof))
		ex->keep_alive = false;
	ex->status = status;
	ex->is_bodiless = ex->r.is_head || status == 204 || status == 304;
}

void answer_give(struct exchange *ex, int status, const char *content_type,
		 const struct stream_vec *v, unsigned n)
{
	uint64_t length = 0;

	must(n <= ANSWER_PIECES);
	begin(ex, status);
	/* Answered before its body was read: what follows is no request. */
	if (!exchange_body_is_over(ex))
		ex->keep_alive = false;
	for (unsigned i = 0; i < n; i++)
		length += v[i].n;
	if (ex->conn->about.n)
		ex->conn->protocol->keep(ex, content_type, v, n, length);
	ex->conn->protocol->answer(ex, content_type, v, n, length);
	exchange_done(ex);
}

void answer_from(struct request *r, int status, const char *content_type,
		 struct answer_source *source)
{
	struct exchange *ex = exchange_of(r);
	uint64_t size = source->size;

	must(size > 0);
	begin(ex, status);
	if (!exchange_body_is_over(ex))
		ex->keep_alive = false;
	source->at = 0;
	ex->source = source;
	if (ex->is_bodiless)
		exchange_source_free(ex);
	ex->conn->protocol->answer(ex, content_type, NULL, 0, size);
	exchange_done(ex);
}

void answer_pieces(struct request *r, int status, const char *content_type,
		   const struct stream_vec *v, unsigned n)
{
	answer_give(exchange_of(r), status, content_type, v, n);
}

void answer_named(struct request *r, int status, const char *content_type,
		  const struct stream_vec *v, unsigned n, const uint8_t *name)
{
	struct http_server *s = exchange_of(r)->conn->server;

	s->named = name;
	answer_pieces(r, status, content_type, v, n);
	s->named = NULL;
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
	answer_error_with(r, err, STR_NONE);
}

void answer_error_with(struct request *r, const struct err *err, struct str members)
{
	int status = code_http(err->code);
	char trace[REQUEST_TRACE_TEXT];
	AUTO_BUF out = BUF_NONE;

	request_trace(r, trace);
	buf_printf(&out, "{\"type\":\"urn:conflux:error:%s\"",
		   code_slug(err->code));
	put_member(&out, "title", str_of(code_text(err->code)));
	buf_printf(&out, ",\"status\":%d", status);
	put_member(&out, "detail", str_of(err->text));
	if (err->hint[0])
		put_member(&out, "hint", str_of(err->hint));
	put_member(&out, "code", str_of(code_slug(err->code)));
	put_member(&out, "trace", str_of(trace));
	buf_str(&out, members);
	buf_z(&out, "}\n");
	/* It is not given again: its bytes are gone then. */
	exchange_of(r)->conn->about = STR_NONE;
	answer(r, status, "application/problem+json", buf_view(&out));
}

/* ---- lists of words ---- */

/* Each header of that name is a list of words (RFC 9110, 5.6.1). */
static bool has_token(const struct request *r, const char *name,
		      const char *token)
{
	for (size_t i = 0; i < r->in->n_headers; i++) {
		struct str rest = r->in->headers[i].value;

		if (!str_eq(r->in->headers[i].name, str_of(name)))
			continue;
		while (rest.n)
			if (str_eq_nocase(str_trim(str_cut(&rest, ',')),
					  str_of(token)))
				return true;
	}
	return false;
}

/* ---- streams ---- */

static void move_to_streaming(struct exchange *ex, const char *why)
{
	exchange_move(ex, EXCHANGE_STREAMING, why);
	ex->conn->server->stats.streams_now++;
}

void answer_stream(struct request *r, int status, const char *content_type)
{
	struct exchange *ex = exchange_of(r);

	begin(ex, status);
	ex->wants_trailers = has_token(r, "te", "trailers");
	move_to_streaming(ex, "the header is out");
	ex->conn->protocol->begin(ex, content_type);
}

void answer_chunk(struct request *r, struct str bytes)
{
	struct exchange *ex = exchange_of(r);

	must(ex->state == EXCHANGE_STREAMING);
	if (bytes.n == 0 || ex->is_bodiless || ex->conn->fsm.state >= CONN_LAST)
		return;
	ex->conn->protocol->chunk(ex, bytes);
}

size_t answer_pending(const struct request *r)
{
	const struct exchange *ex = exchange_of(r);

	return ex->conn->protocol->pending(ex);
}

void answer_soon(const struct request *r)
{
	const struct exchange *ex = (const struct exchange *)r;

	for (size_t at = 0; at < sizeof(*ex); at += 64)
		__builtin_prefetch((const char *)ex + at, 1);
}

void answer_on_drain(struct request *r, void (*cb)(struct request *r))
{
	exchange_of(r)->on_drain = cb;
}

void answer_trailer(struct request *r, const char *name, struct str value)
{
	struct exchange *ex = exchange_of(r);

	must(ex->state == EXCHANGE_STREAMING && !ex->is_raw);
	if (ex->takes_trailers)
		answer_header(r, name, value);
}

void answer_end(struct request *r)
{
	struct exchange *ex = exchange_of(r);

	must(ex->state == EXCHANGE_STREAMING);
	if (ex->conn->fsm.state < CONN_LAST)
		ex->conn->protocol->end(ex);
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

	must(request_wants_upgrade(r, protocol));
	begin(ex, 101);
	move_to_streaming(ex, "upgraded");
	ex->is_raw = true;
	ex->is_body_whole = ex->is_body_told = false;
	c->protocol->upgrade(ex, protocol);
	if (!c->is_corked && c->fsm.state < CONN_LAST)
		conn_settle(c);
}
