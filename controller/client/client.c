/*
 * The client: see client.h.
 *
 * One request is under way at a time; 'call' is what is known of it.  The loop
 * runs until the call is settled.  Which of several servers is asked moves on by
 * one whenever one does not answer, and stays where one does.
 */
#include "client/client.h"

#include <signal.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/secret.h"
#include "client/sse.h"
#include "doc/format.h"
#include "io/stream.h"
#include "io/timer.h"

#include "base/banned.h"

#define TIMEOUT_MS 30000u
/* To connect, where there is another server to ask. */
#define CONNECT_MS 2000u
#define ATTEMPTS 4u
/* Three heartbeats of the server. */
#define SILENCE_MS 45000u
#define CAUSES_SHOWN 5
#define HEADER_MAX (64u * 1024)
#define ANSWER_MAX (256ull * 1024 * 1024)

struct call {
	const struct client_request *request;
	struct arena *arena;
	struct client_answer *answer;    /* filled in, in 'arena' */
	struct http1_head head;
	struct http1_body decoder;
	struct buf body;
	size_t scanned;
	struct sse sse;
	client_event *each;              /* NULL: a whole answer */
	client_take *take;               /* a body as it comes */
	unsigned head_ms;                /* of take */
	void *data;
	bool has_head, is_settled;
	bool is_over;                    /* the deadline has passed */
	bool is_alive;                   /* one of them said that it cannot now */
	bool is_sent;                    /* this attempt may have arrived */
	bool was_sent;                   /* one of the attempts before may */
	enum code rc;
	struct err *err;
};

struct server {
	char authority[300];             /* "host:port" */
	bool is_tls;
};

struct client {
	struct client_config config;
	struct server servers[CLIENT_SERVERS_MAX];
	unsigned n_servers, at;          /* the one that is asked */
	struct secret token;
	struct loop *loop;
	struct tls_client *tls;
	struct stream *stream;
	bool is_fresh;                   /* nothing was asked over it yet */
	struct buf in;
	struct timer timer, second, silence, connect;
	unsigned seconds;
	struct call *call;
};

static void settle(struct client *c, enum code rc)
{
	if (!c->call || c->call->is_settled)
		return;
	c->call->is_settled = true;
	c->call->rc = rc;
	timer_stop(&c->timer);
	timer_stop(&c->second);
	timer_stop(&c->silence);
	timer_stop(&c->connect);
	loop_stop(c->loop);
}

static void drop(struct client *c)
{
	struct stream *s = c->stream;

	c->stream = NULL;
	buf_reset(&c->in);
	if (s)
		stream_abort(s);
}

/* ---- what comes ---- */

static enum code take_head(struct client *c, struct call *call, struct str *in)
{
	size_t len;
	enum code rc = http1_find(*in, HEADER_MAX, &call->scanned, &len,
				  call->err);

	if (rc || len == 0)
		return rc;
	call->scanned = 0;
	rc = http1_answer(call->arena, arena_z(call->arena, str_first(*in, len)),
			  len, call->request->method, &call->head, call->err);
	*in = str_from(*in, len);
	if (rc || call->head.status / 100 == 1)
		return rc;
	call->has_head = true;
	call->answer->status = call->head.status;
	call->answer->headers = call->head.headers;
	call->answer->n_headers = call->head.n_headers;
	http1_body_init(&call->decoder, &call->head);
	/* A stream has no end to wait for. */
	if ((call->each || call->take) && call->head.status < 300)
		timer_stop(&c->second);
	return OK;
}

static enum code take_body(struct call *call, struct str *in, bool *enough)
{
	struct str piece;
	bool is_taken = call->take && call->head.status < 300;
	enum code rc = http1_body_next(&call->decoder, in,
				       is_taken ? UINT64_MAX : ANSWER_MAX,
				       &piece, call->err);

	if (rc == OK && is_taken)
		return piece.n ? call->take(call->data, piece, call->err) : OK;

	if (rc == OK && call->each && call->head.status < 300)
		return sse_feed(&call->sse, piece, call->each, call->data,
				enough, call->err);
	buf_str(&call->body, piece);
	return rc;
}

static void answered(struct client *c, struct call *call)
{
	call->answer->body = arena_str(call->arena, buf_view(&call->body));
	if (!call->head.keep_alive)
		drop(c);
	settle(c, OK);
}

static void take(struct client *c, struct call *call)
{
	struct str in = buf_view(&c->in);
	enum code rc = OK;
	bool enough = false;
	size_t before;

	do {
		before = in.n;
		if (!call->has_head)
			rc = take_head(c, call, &in);
		else if (!call->decoder.is_done)
			rc = take_body(call, &in, &enough);
	} while (rc == OK && !enough && in.n && in.n < before);
	buf_drop(&c->in, c->in.n - in.n);
	if (rc || enough) {
		drop(c);
		settle(c, rc);
	} else if (call->has_head && call->decoder.is_done) {
		answered(c, call);
	}
}

static void on_data(struct stream *s, struct str bytes)
{
	struct client *c = stream_data(s);

	buf_str(&c->in, bytes);
	if (!c->call || c->call->is_settled)
		return;
	take(c, c->call);
	if ((c->call->each || c->call->take) && c->call->has_head &&
	    !c->call->is_settled)
		timer_start(&c->silence, c->config.silence_ms);
}

static void on_open(struct stream *s)
{
	struct client *c = stream_data(s);

	timer_stop(&c->connect);
	if (c->call)
		c->call->is_sent = true;
}

static void on_close(struct stream *s, const struct err *err)
{
	struct client *c = stream_data(s);
	struct call *call;

	if (c->stream != s)
		return;
	c->stream = NULL;
	buf_reset(&c->in);
	call = c->call;
	if (!call || call->is_settled)
		return;
	if (call->has_head && call->decoder.framing == HTTP1_UNTIL_CLOSE) {
		call->head.keep_alive = false;
		answered(c, call);
		return;
	}
	/* Once TLS is up, a peer that dies without its goodbye is a lost
	 * connection as any other. */
	if (err->code == E_TLS && !call->is_sent)
		err_copy(call->err, err);
	else
		err_set(call->err, E_UNAVAILABLE, "%s", err->code ? err->text :
			"the server closed the connection");
	settle(c, call->err->code);
}

static void on_timer(struct timer *timer)
{
	struct client *c = container_of(timer, struct client, timer);

	if (c->call) {
		c->call->is_over = true;
		err_set(c->call->err, E_TIMEOUT, "no answer in time");
	}
	drop(c);
	settle(c, E_TIMEOUT);
}

/* Of a stream: before its head nobody has answered, after it the link is dead
 * and nobody has said so. */
static void on_silence(struct timer *timer)
{
	struct client *c = container_of(timer, struct client, silence);
	enum code rc = E_TIMEOUT;

	if (c->call && c->call->has_head) {
		rc = E_UNAVAILABLE;
		err_set(c->call->err, rc, "nothing came for %u ms",
			c->config.silence_ms);
	} else if (c->call) {
		err_set(c->call->err, rc, "no answer in time");
	}
	drop(c);
	settle(c, rc);
}

/* Nothing has left yet. */
static void on_connect_late(struct timer *timer)
{
	struct client *c = container_of(timer, struct client, connect);

	if (c->call)
		err_set(c->call->err, E_UNAVAILABLE, "no connection within %u "
			"ms", CONNECT_MS);
	drop(c);
	settle(c, E_UNAVAILABLE);
}

static void on_second(struct timer *timer)
{
	struct client *c = container_of(timer, struct client, second);

	c->config.waiting(c->config.data, ++c->seconds);
	timer_start(timer, 1000);
}

/* ---- what goes ---- */

static bool is_write(enum http_method m)
{
	return m != HTTP_M_GET && m != HTTP_M_HEAD;
}

static void put_line(struct buf *out, const char *name, struct str value)
{
	buf_printf(out, "%s: %.*s\r\n", name, STR_ARG(value));
}

static void put_request(struct client *c, const struct client_request *q,
			const char *key, struct buf *out)
{
	buf_printf(out, "%s %.*s HTTP/1.1\r\n", http_method_name(q->method),
		   STR_ARG(q->target));
	put_line(out, "Host", str_of(c->servers[c->at].authority));
	if (c->token.n) {
		/* Not put_line: no printf gets to see a secret. */
		buf_z(out, "Authorization: Bearer ");
		buf_str(out, secret_open(&c->token));
		buf_z(out, "\r\n");
	}
	if (q->if_match)
		put_line(out, "If-Match", str_of(q->if_match));
	if (q->last_event_id)
		put_line(out, "Last-Event-ID", str_of(q->last_event_id));
	if (is_write(q->method)) {
		put_line(out, "Idempotency-Key", str_of(key));
		put_line(out, "Content-Type", str_of(q->content_type ?
				q->content_type : "application/json"));
		buf_printf(out, "Content-Length: %zu\r\n", q->body.n);
	}
	buf_z(out, "\r\n");
	buf_str(out, q->body);
}

static enum code connect_to(struct client *c, struct err *err)
{
	static const struct stream_ops ops = {
		.on_data = on_data, .on_open = on_open, .on_close = on_close,
	};
	enum code rc;

	if (c->stream) {
		c->is_fresh = false;
		return OK;
	}
	c->is_fresh = true;
	rc = stream_connect(c->loop, str_of(c->servers[c->at].authority),
			    c->servers[c->at].is_tls ? c->tls : NULL, NULL, &ops,
			    c, &c->stream, err);
	if (rc == OK && c->n_servers > 1)
		timer_start(&c->connect, CONNECT_MS);
	return rc;
}

/* One attempt; 0 ms: for ever. */
static enum code attempt(struct client *c, struct call *call, const char *key,
			 unsigned timeout_ms)
{
	AUTO_BUF out = BUF_NONE;
	struct stream_vec v;
	enum code rc = connect_to(c, call->err);

	if (rc)
		return rc;
	call->is_sent = !c->is_fresh;
	call->is_settled = call->has_head = false;
	call->scanned = 0;
	buf_reset(&call->body);
	c->call = call;
	put_request(c, call->request, key, &out);
	v = (struct stream_vec){ out.p, out.n };
	if (timeout_ms)
		timer_start(&c->timer, timeout_ms);
	if (call->each || call->take)
		timer_start(&c->silence, call->take ? call->head_ms :
						      c->config.timeout_ms);
	if (c->config.waiting)
		timer_start(&c->second, 1000);
	stream_write(c->stream, &v, 1);
	loop_run_here(c->loop);
	c->call = NULL;
	wipe(out.p, out.n);
	return call->rc;
}

static void wait_over(struct timer *timer)
{
	loop_stop(container_of(timer, struct client, timer)->loop);
}

void client_pause(struct client *c, unsigned ms)
{
	c->timer.cb_ = wait_over;
	timer_start(&c->timer, ms);
	loop_run_here(c->loop);
	c->timer.cb_ = on_timer;
}

/* The next server is asked from now on. */
static void move_on(struct client *c)
{
	if (c->n_servers == 1)
		return;
	drop(c);
	c->at = (c->at + 1) % c->n_servers;
}

/* Is the same request sent again, after 'n' attempts?  A write is never done
 * twice: its key is the same each time. */
static bool may_try_again(const struct client *c, const struct call *call,
			  enum code rc, unsigned n)
{
	bool is_new = n < c->n_servers;  /* one was not asked yet */
	int status = rc ? 0 : call->answer->status;

	if (call->request->is_once && call->was_sent)
		return false;
	if (status == 503)
		return true;
	if (status)
		return is_new && (status == 502 || status == 504) &&
		       !is_write(call->request->method);
	if (is_new)
		return rc == E_UNAVAILABLE || rc == E_TIMEOUT || rc == E_TLS;
	return rc == E_UNAVAILABLE &&
	       (call->is_sent || !c->is_fresh || call->is_alive);
}

static enum code uncertain(enum code rc, bool is_once, struct err *err)
{
	struct err why;

	err_copy(&why, err);
	if (rc == E_UNAVAILABLE || rc == E_TIMEOUT)
		err_set(err, E_UNCERTAIN, "no answer came: the write may or may "
			"not have happened");
	else
		err_set(err, E_UNCERTAIN, "the answer cannot be read (%s): the "
			"write may or may not have happened", why.text);
	err_hint(err, is_once ? "look whether it is there before asking again" :
		 "look at the object, or write again: the same content twice "
		 "does no harm");
	return E_UNCERTAIN;
}

enum code client_ask(struct client *c, const struct client_request *request,
		     struct arena *arena, struct client_answer *out,
		     struct err *err)
{
	struct call call = { .request = request, .arena = arena, .answer = out,
			     .err = err };
	const char *key = request->idempotency_key;
	char made[37];
	enum code rc;

	*out = (struct client_answer){ 0 };
	c->seconds = 0;
	if (!key) {
		uuid_text(made, uuid_new());
		key = made;
	}
	for (unsigned n = 1;; n++) {
		rc = attempt(c, &call, key, c->config.timeout_ms);
		call.was_sent |= call.is_sent &&
			(rc || client_verdict(out, NULL) == E_UNCERTAIN);
		call.is_alive |= rc == OK && out->status == 503;
		if (n == c->config.attempts * c->n_servers ||
		    !may_try_again(c, &call, rc, n))
			break;
		move_on(c);
		if (n % c->n_servers == 0)
			client_pause(c, 50u << (n / c->n_servers));
	}
	buf_fini(&call.body);
	if (rc && is_write(request->method) && call.was_sent)
		return uncertain(rc, request->is_once, err);
	if (rc) {
		err_wrap(err, "%s", c->config.server);
		err_hint(err, "is confluxd running there? --server or "
			 "CONFLUX_SERVER name another");
	}
	return rc;
}

enum code client_follow(struct client *c, const struct client_request *request,
			unsigned timeout_ms, client_event *each, void *data,
			struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	struct client_answer answer = { 0 };
	struct call call = { .request = request, .arena = arena,
			     .answer = &answer, .err = err, .each = each,
			     .data = data };
	enum code rc;

	drop(c);
	c->seconds = 0;
	rc = attempt(c, &call, "", timeout_ms);
	sse_fini(&call.sse);
	buf_fini(&call.body);
	drop(c);
	if (rc == E_TIMEOUT && timeout_ms && call.is_over)
		return OK;
	if (rc == OK)
		rc = client_verdict(&answer, err);
	/* Whoever stands before the server says so while it is away. */
	if (rc && (answer.status == 502 || answer.status == 504)) {
		err->code = E_UNAVAILABLE;
		rc = E_UNAVAILABLE;
	}
	/* Nobody refused: whoever follows on asks another. */
	if (answer.status < 300 || answer.status >= 429)
		move_on(c);
	return rc;
}

enum code client_download(struct client *c, const struct client_request *request,
			  unsigned head_ms, client_take *take, void *data,
			  struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	struct client_answer answer = { 0 };
	struct call call = { .request = request, .arena = arena,
			     .answer = &answer, .err = err, .take = take,
			     .data = data, .head_ms = head_ms };
	char key[37];
	enum code rc;

	uuid_text(key, uuid_new());
	c->seconds = 0;
	for (unsigned n = 1;; n++) {
		drop(c);
		rc = attempt(c, &call, key, 0);
		if (rc == OK || call.is_sent || n == c->n_servers)
			break;
		move_on(c);
	}
	buf_fini(&call.body);
	drop(c);
	if (rc)
		return err_wrap(err, "%s", c->servers[c->at].authority);
	return client_verdict(&answer, err);
}

/* ---- what answers say ---- */

const struct str *client_header(const struct client_answer *a, const char *name)
{
	return http_header_find(a->headers, a->n_headers, str_of(name));
}

static enum code code_of_slug(struct str slug, int status)
{
	for (unsigned code = 1; code < CODE__MAX; code++)
		if (code_is_known(code) && str_eq(slug, str_of(code_slug(code))))
			return code;
	for (unsigned code = 1; code < CODE__MAX; code++)
		if (code_is_known(code) && code_http(code) == status)
			return code;
	return status >= 500 ? E_FAILED : E_INVALID;
}

/* Followed, a write could lose its method and a token go astray. */
static enum code redirected(const struct client_answer *a, struct err *err)
{
	const struct str *to = client_header(a, "location");

	err_set(err, E_UNSUPPORTED, "the answer is %d and redirects%s%.*s: "
		"nothing was done here", a->status, to ? " to " : "",
		to ? (int)to->n : 0, to ? to->p : "");
	return err_hint(err, "redirects are not followed; --server or "
			"CONFLUX_SERVER name the server itself");
}

/* A Kubernetes Status names what is wrong with an object in its causes. */
static void put_causes(struct buf *out, const struct value *body)
{
	const struct value *causes = value_at(body, "details.causes");

	if (!causes || causes->type != VALUE_ARRAY)
		return;
	for (size_t i = 0; i < causes->a.n; i++) {
		const struct value *c = causes->a.items[i];
		struct str field = value_text_at(c, "field");

		if (i == CAUSES_SHOWN) {
			buf_printf(out, "; and %zu more", causes->a.n - i);
			return;
		}
		buf_z(out, i ? "; " : ": ");
		buf_str(out, field);
		buf_z(out, field.n ? ": " : "");
		buf_str(out, value_text_at(c, "message"));
	}
}

enum code client_verdict(const struct client_answer *a, struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF told = BUF_NONE;
	struct value *body = NULL;
	struct str text, hint, slug;
	enum code code;

	if (a->status < 300)
		return OK;
	if (a->status < 400)
		return redirected(a, err);
	if (doc_parse_json(a->body, arena, NULL, &body, NULL) ||
	    body->type != VALUE_OBJECT)
		return err_set(err, code_of_slug(STR_NONE, a->status),
			       "the server answers %d", a->status);
	text = value_text_at(body, "detail");
	if (text.n == 0)
		text = value_text_at(body, "message");
	buf_str(&told, text);
	put_causes(&told, body);
	hint = value_text_at(body, "hint");
	slug = value_text_at(body, "code");
	/* A Kubernetes Status has a number there. */
	if (slug.n == 0 && client_header(a, "x-conflux-code"))
		slug = *client_header(a, "x-conflux-code");
	code = code_of_slug(slug, a->status);
	err_set(err, code, "%.*s", STR_ARG(buf_view(&told)));
	if (hint.n)
		err_hint(err, "%.*s", STR_ARG(hint));
	return code;
}

/* ---- life ---- */

static bool has_any(struct str s, struct str bytes)
{
	for (size_t i = 0; i < bytes.n; i++)
		if (str_find(s, bytes.p[i]) != SIZE_MAX)
			return true;
	return false;
}

/* It becomes part of a header line (RFC 6750: b64token); it is not told. */
static enum code check_token(struct str token, struct err *err)
{
	for (size_t i = 0; i < token.n; i++)
		if (token.p[i] <= ' ' || token.p[i] > '~')
			return err_set(err, E_USAGE, "the token holds a byte that "
				       "no token has, at %zu", i + 1);
	return OK;
}

static enum code parse_server(struct server *out, struct str url,
			      struct err *err)
{
	struct str s = str_first(url, 400), rest;
	bool has_port;
	size_t bracket;

	out->is_tls = str_starts(s, STR("https://"));
	if (!out->is_tls && !str_starts(s, STR("http://"))) {
		err_set(err, E_USAGE, "server \"%.*s\" is no URL", STR_ARG(s));
		return err_hint(err, "http://127.0.0.1:8080, say");
	}
	rest = str_from(s, out->is_tls ? 8 : 7);
	s = str_cut(&rest, '/');
	if (rest.n || has_any(s, STR("@?# \t\r\n"))) {
		err_set(err, E_USAGE, "server \"%.*s\" has more than a host and "
			"a port", STR_ARG(str_first(url, 400)));
		return err_hint(err, "http://127.0.0.1:8080, say");
	}
	bracket = str_rfind(s, ']');
	has_port = str_find(str_from(s, bracket == SIZE_MAX ? 0 : bracket), ':') !=
		SIZE_MAX;
	if (s.n == 0 || s.n > sizeof(out->authority) - 8)
		return err_set(err, E_USAGE, "server \"%.*s\" has no host",
			       STR_ARG(str_first(url, 400)));
	snprintf(out->authority, sizeof(out->authority), "%.*s%s", STR_ARG(s),
		 has_port ? "" : out->is_tls ? ":443" : ":80");
	return OK;
}

/* "http://a:1,http://b:2" */
static enum code parse_servers(struct client *c, const char *servers,
			       struct err *err)
{
	struct str rest = str_of(servers);
	enum code rc;

	do {
		struct str one = str_trim(str_cut(&rest, ','));

		if (c->n_servers == CLIENT_SERVERS_MAX)
			return err_set(err, E_USAGE, "more than %d servers",
				       CLIENT_SERVERS_MAX);
		rc = parse_server(&c->servers[c->n_servers++], one, err);
	} while (rc == OK && rest.p);
	return rc;
}

static bool uses_tls(const struct client *c)
{
	for (unsigned i = 0; i < c->n_servers; i++)
		if (c->servers[i].is_tls)
			return true;
	return false;
}

enum code client_new(const struct client_config *config, struct client **out,
		     struct err *err)
{
	struct client *c = NEW(struct client);
	enum code rc = parse_servers(c, config->server, err);

	c->config = *config;
	if (c->config.timeout_ms == 0)
		c->config.timeout_ms = TIMEOUT_MS;
	if (c->config.silence_ms == 0)
		c->config.silence_ms = SILENCE_MS;
	if (c->config.attempts == 0)
		c->config.attempts = ATTEMPTS;
	if (rc == OK)
		rc = check_token(config->token, err);
	if (rc == OK && uses_tls(c))
		rc = tls_client_new(config->ca_file, "http/1.1", &c->tls, err);
	if (rc == OK)
		rc = loop_try_new("client", 0, &c->loop, err);
	if (rc) {
		tls_client_free(&c->tls);
		free(c);
		return rc;
	}
	secret_set(&c->token, config->token);
	timer_init(&c->timer, c->loop, on_timer);
	timer_init(&c->second, c->loop, on_second);
	timer_init(&c->silence, c->loop, on_silence);
	timer_init(&c->connect, c->loop, on_connect_late);
	signal(SIGPIPE, SIG_IGN);
	*out = c;
	return OK;
}

unsigned client_servers(const struct client *c)
{
	return c->n_servers;
}

void client_free(struct client **cp)
{
	struct client *c = *cp;

	if (!c)
		return;
	*cp = NULL;
	drop(c);
	timer_close(&c->timer, NULL);
	timer_close(&c->second, NULL);
	timer_close(&c->silence, NULL);
	timer_close(&c->connect, NULL);
	loop_free(&c->loop);
	tls_client_free(&c->tls);
	secret_wipe(&c->token);
	buf_fini(&c->in);
	free(c);
}
