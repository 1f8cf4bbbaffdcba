/*
 * The client: see client.h.
 *
 * It stands on the connections of libconflux (client/sdk/link.h).  One request is
 * under way at a time; 'call' is what is known of it.  Which of several servers is
 * asked moves on by one whenever one does not answer, and stays where one does.
 */
#include "client/client.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/secret.h"
#include "client/sdk/own.h"

#include "base/banned.h"

#define TIMEOUT_MS 30000u
/* To connect, where there is another server to ask. */
#define CONNECT_MS 2000u
#define ATTEMPTS 4u
/* One and a half heartbeats of the server. */
#define SILENCE_MS 45000u
#define ANSWER_MAX (256ull * 1024 * 1024)

struct call {
	const struct client_request *request;
	struct arena *arena;
	struct client_answer *answer;    /* filled in, in 'arena' */
	struct events events;
	client_event *each;              /* NULL: a whole answer */
	client_take *take;               /* a body as it comes */
	void *data;
	unsigned head_ms;                /* of take */
	bool is_enough;                  /* for 'each' */
	enum code taken;                 /* what 'take' said */
	bool is_over;                    /* the deadline has passed */
	bool is_alive;                   /* one of them said that it cannot now */
	bool is_sent;                    /* this attempt may have arrived */
	bool was_sent;                   /* one of the attempts before may */
	struct err *err;
};

struct client {
	struct client_config config;
	struct endpoint servers[CLIENT_SERVERS_MAX];
	unsigned n_servers, at;          /* the one that is asked */
	struct secret token;
	struct net net;
	struct link link;
	unsigned seconds;
};

static void drop(struct client *c)
{
	link_close(&c->link);
}

/* ---- what comes ---- */

static bool on_event(void *data, const char *event, const char *id, struct str text)
{
	struct call *call = data;

	call->is_enough = !call->each(call->data, str_of(event), str_of(id), text);
	return !call->is_enough;
}

/* Of a stream; false: enough, or no good. */
static bool on_bytes(void *data, struct str bytes)
{
	struct call *call = data;

	if (call->take) {
		call->taken = call->take(call->data, bytes, call->err);
		return call->taken == OK;
	}
	return events_feed(&heap_of_libc, &call->events, bytes, on_event, call);
}

static void lower(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] |= 0x20;
}

static struct str cut_line(struct str *lines)
{
	return str_cut(lines, '\0');
}

static void take_headers(struct arena *arena, const struct bytes *lines,
			 struct client_answer *out)
{
	struct str rest = str_n(arena_z(arena, bytes_view(lines)), lines->n);
	size_t cap = 0;
	struct http_header *all = NULL;

	out->n_headers = 0;
	while (rest.n) {
		struct str name = cut_line(&rest), value = cut_line(&rest);

		lower((char *)name.p, name.n);
		all = arena_grow(arena, all, &cap, out->n_headers + 1, sizeof(*all));
		all[out->n_headers++] = (struct http_header){ name, str_trim(value) };
	}
	out->headers = all;
}

static void take_answer(struct client *c, struct call *call)
{
	const struct answer *a = &c->link.answer;

	call->answer->status = a->status;
	call->answer->body = arena_str(call->arena, bytes_view(&a->body));
	take_headers(call->arena, &a->lines, call->answer);
}

/* A connection that was there is lost, however it went. */
static enum code code_of(const struct link *l, enum cfx_code code)
{
	if (l->is_garbled)
		return E_INVALID;
	if (code == CFX_E_TLS && l->was_sent)
		return E_UNAVAILABLE;
	/* Those below 100 are in errors.tbl. */
	must(code < 100);
	return (enum code)code;
}

static enum code failed(const struct client *c, struct call *call,
			const struct cfx_error *error)
{
	if (call->is_enough)
		return OK;
	if (call->taken)
		return call->taken;
	/* The link is dead, and nobody has said so. */
	if (error->code == CFX_E_TIMEOUT && c->link.take && c->link.is_head)
		return err_set(call->err, E_UNAVAILABLE, "%s: nothing came for %u ms",
			       c->link.to->name, c->config.silence_ms);
	return err_set(call->err, code_of(&c->link, error->code), "%s", error->text);
}

/* ---- waiting ---- */

static void drain_wake(struct client *c)
{
	uint64_t count;

	while (read(c->net.wake, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

/* Until something may have happened, 'until_ms' at the latest. */
static void wait_for(struct client *c, int64_t until_ms)
{
	int64_t now = sdk_now_ms(), left = until_ms - now;
	struct epoll_event events[4];

	if (left < 0)
		left = 0;
	if (epoll_wait(c->net.epoll, events, 4,
		       (int)MIN(left, (int64_t)60000)) > 0)
		drain_wake(c);
}

void client_pause(struct client *c, unsigned ms)
{
	struct timespec left = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

/* Once a second while nothing has come. */
static int64_t say_waiting(struct client *c, int64_t next_ms)
{
	if (!c->config.waiting || link_is_streaming(&c->link))
		return INT64_MAX;
	if (sdk_now_ms() < next_ms)
		return next_ms;
	c->config.waiting(c->config.data, ++c->seconds);
	return next_ms + 1000;
}

static enum code too_late(struct client *c, struct call *call)
{
	call->is_over = true;
	drop(c);
	return err_set(call->err, E_TIMEOUT, "no answer in time");
}

/* The answer, or why there is none; 0 ms: for ever. */
static enum code wait_answer(struct client *c, struct call *call,
			     unsigned timeout_ms)
{
	int64_t now = sdk_now_ms(), next_second = now + 1000;
	int64_t until = timeout_ms ? now + timeout_ms : INT64_MAX;
	struct cfx_error error;

	for (;;) {
		enum link_event event;

		now = sdk_now_ms();
		event = link_step(&c->link, now, &error);
		if (event == LINK_FAILED)
			return failed(c, call, &error);
		if (event == LINK_ANSWERED) {
			take_answer(c, call);
			return OK;
		}
		if (now >= until)
			return too_late(c, call);
		next_second = say_waiting(c, next_second);
		wait_for(c, MIN(MIN(until, next_second), link_due(&c->link)));
	}
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
	if (q->wants_signature)
		put_line(out, "X-Conflux-Want-Signature", STR("?1"));
	if (is_write(q->method)) {
		put_line(out, "Idempotency-Key", str_of(key));
		put_line(out, "Content-Type", str_of(q->content_type ?
				q->content_type : "application/json"));
		buf_printf(out, "Content-Length: %zu\r\n", q->body.n);
	}
	buf_z(out, "\r\n");
	buf_str(out, q->body);
}

/* One attempt; 0 ms: for ever. */
static enum code attempt(struct client *c, struct call *call, const char *key,
			 unsigned timeout_ms)
{
	bool is_stream = call->each || call->take;
	unsigned answer_ms = call->take ? call->head_ms : c->config.timeout_ms;
	struct buf out = BUF_NONE;
	struct bytes request;
	enum code rc;

	put_request(c, call->request, key, &out);
	request = (struct bytes){ out.p, out.n, out.cap };
	call->is_enough = false;
	call->taken = OK;
	c->net.connect_ms = c->n_servers > 1 ? CONNECT_MS : answer_ms;
	c->link.is_bodiless = call->request->method == HTTP_M_HEAD;
	/* Where the server has closed it meanwhile nothing is sent into the void. */
	link_look(&c->link);
	link_ask(&c->link, &c->servers[c->at], &request, answer_ms, ANSWER_MAX,
		 is_stream ? on_bytes : NULL, call, c->config.silence_ms,
		 sdk_now_ms());
	rc = wait_answer(c, call, timeout_ms);
	call->is_sent = c->link.was_sent;
	return rc;
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
	       (call->is_sent || c->link.is_reused || call->is_alive);
}

static enum code uncertain(enum code rc, int status, bool is_once, struct err *err)
{
	struct err why;

	err_copy(&why, err);
	if (rc == OK)
		err_set(err, E_UNCERTAIN, "the answer is %d, and what was sent may "
			"have arrived: the write may or may not have happened",
			status);
	else if (rc == E_UNAVAILABLE || rc == E_TIMEOUT)
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

/* An answer that is about now: it tells nothing of an attempt before.  What comes from
 * the key, or from the object, does. */
static bool is_about_now(const struct client_answer *a)
{
	return a->status == 401 || a->status == 403 || a->status == 408 ||
	       a->status == 429 || a->status >= 500;
}

/* Who stands before the server has lost its answer: these two are not the server's. */
static bool is_from_between(const struct client_answer *a)
{
	return (a->status == 502 || a->status == 504) &&
	       !client_header(a, "x-conflux-trace");
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
			(rc || is_from_between(out) ||
			 client_verdict(out, NULL) == E_UNCERTAIN);
		call.is_alive |= rc == OK && out->status == 503;
		if (n == c->config.attempts * c->n_servers ||
		    !may_try_again(c, &call, rc, n))
			break;
		move_on(c);
		if (n % c->n_servers == 0)
			client_pause(c, 50u << (n / c->n_servers));
	}
	if (is_write(request->method) && call.was_sent &&
	    (rc || (is_about_now(out) && client_verdict(out, NULL) != E_UNCERTAIN)))
		return uncertain(rc, out->status, request->is_once, err);
	if (rc && c->n_servers > 1)
		err_wrap(err, "%s", c->config.server);
	if (rc == E_TLS)
		err_hint(err, "does it speak TLS (http:// where not), and who vouches for "
			 "it (--ca-file)?");
	else if (rc && call.is_sent && str_starts(str_of(c->config.server), STR("http://")))
		err_hint(err, "is confluxd running there, and without TLS (https:// where "
			 "not)? --server or CONFLUX_SERVER name another");
	else if (rc)
		err_hint(err, "is confluxd running there? --server or "
			 "CONFLUX_SERVER name another");
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
	events_fini(&heap_of_libc, &call.events);
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
	drop(c);
	return rc ? rc : client_verdict(&answer, err);
}

/* ---- what is fetched ---- */

static const char *header_z(struct arena *arena, const struct client_answer *a,
			    const char *name)
{
	const struct str *text = client_header(a, name);

	return text ? arena_z(arena, *text) : "";
}

enum code client_check_content(const struct client *c, const struct client_answer *answer,
			       const char *key, const char *public_key_file,
			       struct err *err)
{
	AUTO_ARENA arena = arena_new(1024);
	struct said said = { .server = c->servers[c->at].name, .key = key };
	struct signer *signer = NULL;
	struct proof proof;
	struct cfx_error error;
	enum cfx_code rc = CFX_OK;

	said.etag = header_z(arena, answer, "etag");
	said.signature = header_z(arena, answer, "x-conflux-signature");
	/* Who says no version has signed none. */
	if (!sdk_u64(str_of(header_z(arena, answer, "x-conflux-version")), &said.version))
		said.version = 0;
	if (public_key_file)
		rc = signer_new(&heap_of_libc, public_key_file, &signer, &error);
	if (rc == CFX_OK)
		rc = proof_of(&said, answer->body, signer, &proof, &error);
	signer_free(&heap_of_libc, &signer);
	/* Those below 100 are in errors.tbl. */
	must(rc < 100);
	return rc ? err_set(err, (enum code)rc, "%s", error.text) : OK;
}

/* ---- life ---- */

/* It becomes part of a header line (RFC 6750: b64token); it is not told. */
enum code client_check_token(struct str token, struct err *err)
{
	for (size_t i = 0; i < token.n; i++) {
		if (token.p[i] > ' ' && token.p[i] <= '~')
			continue;
		err_set(err, E_USAGE, "the token holds a byte that no token has, at %zu",
			i + 1);
		return err_hint(err, "it is one word of one line, such as root.token of "
				"a data directory has; of several it is one alone");
	}
	return OK;
}

static bool uses_tls(const struct client *c)
{
	for (unsigned i = 0; i < c->n_servers; i++)
		if (c->servers[i].is_tls)
			return true;
	return false;
}

static enum code set_up(struct client *c, struct err *err)
{
	struct cfx_options options = { .ca_file = c->config.ca_file };
	struct epoll_event event = { .events = EPOLLIN };
	struct cfx_error error;

	if (str_ends(str_of(c->config.server), STR(",")) || !c->config.server[0])
		return err_set(err, E_USAGE, "server \"%s\": one of them is empty",
			       c->config.server);
	if (endpoints_parse(c->config.server, c->servers, &c->n_servers, &error) ||
	    (uses_tls(c) && tls_setup_init(&c->net.tls, &options, &error)))
		return err_set(err, (enum code)error.code, "%s", error.text);
	c->net.heap = heap_of_libc;
	c->net.epoll = epoll_create1(EPOLL_CLOEXEC);
	c->net.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->net.epoll < 0 || c->net.wake < 0 ||
	    epoll_ctl(c->net.epoll, EPOLL_CTL_ADD, c->net.wake, &event))
		return err_sys(err, errno, "epoll");
	return OK;
}

enum code client_new(const struct client_config *config, struct client **out,
		     struct err *err)
{
	struct client *c = NEW(struct client);
	enum code rc;

	c->config = *config;
	c->net.epoll = c->net.wake = -1;
	if (c->config.timeout_ms == 0)
		c->config.timeout_ms = TIMEOUT_MS;
	if (c->config.silence_ms == 0)
		c->config.silence_ms = SILENCE_MS;
	if (c->config.attempts == 0)
		c->config.attempts = ATTEMPTS;
	link_init(&c->link, &c->net);
	c->link.keeps_all = true;
	rc = client_check_token(config->token, err);
	if (!rc)
		rc = set_up(c, err);
	if (rc) {
		client_free(&c);
		return rc;
	}
	secret_set(&c->token, config->token);
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
	link_fini(&c->link);
	tls_setup_fini(&c->net.tls);
	if (c->net.epoll >= 0)
		close(c->net.epoll);
	if (c->net.wake >= 0)
		close(c->net.wake);
	secret_wipe(&c->token);
	free(c);
}
