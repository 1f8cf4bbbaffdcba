/*
 * Watch over WebSocket: GET /api/v1/ws, many watches on one connection.  Messages are
 * JSON texts (docs/watch.md); framing is http/wire/ws.h.
 *
 * A struct socket lives in the arena of its request; its watches (struct sub) are
 * blocks of their own, by id in a map.  What is said is gathered in `out` and goes
 * to the connection at the end of whatever came in: bytes, or a turn of the watch
 * engine.
 *
 * Time: each socket is in a slot of a wheel that turns each second (hello is late,
 * ping, the other side does not close), so it has no timer of its own.
 *
 *	SOCKET_HELLO -> SOCKET_OPEN -> SOCKET_CLOSING -> gone
 */
#include "api/origin.h"
#include "api/stranger.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "http/wire/ws.h"
#include "io/timer.h"

#include "base/banned.h"

#define PROTOCOL "conflux.v1"
#define MESSAGE_MAX (64 * 1024)
#define ID_MAX 64
#define SUBS_MAX 10000
#define PLACES_MAX 20000                 /* keys and prefixes of a connection */
#define PENDING_MAX (64 * 1024)
#define HELLO_S 10
#define PING_S 30
#define CLOSE_S 2
#define SLOTS 64u

enum socket_state { SOCKET_HELLO, SOCKET_OPEN, SOCKET_CLOSING };

struct socket {
	struct caller caller;            /* request.data: first */
	struct request *r;
	struct sockets *all;
	struct list at_;                 /* of a slot */
	enum socket_state state;
	struct ws *ws;
	struct map *subs;                /* id to struct sub */
	struct list open, stalled;
	size_t n_places;
	struct watch_who who;
	struct buf out;
	bool is_inside;                  /* somebody sends 'out' later */
	bool was_heard;                  /* since the last ping */
	bool is_paused;                  /* nothing is heard until it has drained */
	bool was_told;                   /* bye, or what is wrong with the token */
	bool is_stranger;                /* it counts as one, until its hello */
};

struct sub {
	struct watcher watcher;
	struct list at_;                 /* open or stalled */
	struct socket *s;
	size_t n_places;
	size_t n;
	char id[];
};

/* Of a loop. */
struct sockets {
	struct api_loop *at;
	struct list slots[SLOTS];
	unsigned now;
	size_t n;
	struct timer timer;
};

static struct socket *of_request(struct request *r)
{
	return container_of(caller_of(r), struct socket, caller);
}

static struct sub *sub_of(struct watcher *w)
{
	return container_of(w, struct sub, watcher);
}

static struct str id_of(const struct sub *sub)
{
	return str_n(sub->id, sub->n);
}

/* ---- saying ---- */

static void due_in(struct socket *s, unsigned seconds)
{
	struct sockets *all = s->all;

	must(seconds < SLOTS);
	list_remove(&s->at_);
	list_append(&all->slots[(all->now + seconds) % SLOTS], &s->at_);
}

static void resume(struct socket *s)
{
	while (!list_empty(&s->stalled)) {
		struct sub *sub = container_of(s->stalled.next, struct sub, at_);

		list_remove(&sub->at_);
		list_append(&s->open, &sub->at_);
		watcher_resume(&sub->watcher);
	}
}

static void send_out(struct socket *s)
{
	if (s->out.n)
		answer_chunk(s->r, buf_view(&s->out));
	buf_fini(&s->out);
	/* Where the connection took it all nothing drains. */
	if (answer_pending(s->r) < PENDING_MAX)
		resume(s);
}

static void put(struct socket *s, const struct buf *text)
{
	ws_put(s->ws, &s->out, true, buf_view(text));
	if (!s->is_inside)
		send_out(s);
}

/* {"type":"...","id":"..." */
static void begin_text(struct buf *out, const char *type, struct str id)
{
	buf_z(out, "{\"type\":\"");
	buf_z(out, type);
	buf_c(out, '"');
	if (!id.n)
		return;
	buf_z(out, ",\"id\":");
	buf_json(out, id);
}

static void put_rev(struct socket *s, const char *type, struct str id,
		    uint64_t rev)
{
	AUTO_BUF text = BUF_NONE;

	begin_text(&text, type, id);
	buf_printf(&text, ",\"revision\":%llu}", (unsigned long long)rev);
	put(s, &text);
}

static void put_error(struct socket *s, struct str id, const struct err *err)
{
	AUTO_BUF text = BUF_NONE;

	begin_text(&text, "error", id);
	buf_printf(&text, ",\"status\":%d,\"code\":\"%s\",\"detail\":",
		   code_http(err->code), code_slug(err->code));
	buf_json(&text, str_of(err->text));
	if (err->hint[0]) {
		buf_z(&text, ",\"hint\":");
		buf_json(&text, str_of(err->hint));
	}
	if (err->code == E_RATE || err->code == E_BUSY)
		buf_printf(&text, ",\"retry_after\":%u",
			   MAX(s->caller.retry_after_s, 1u));
	buf_c(&text, '}');
	put(s, &text);
}

/* An error or bye out of what ended a watch. */
static void put_end(struct socket *s, const char *type, struct str id,
		    enum watch_reason reason, const struct err *err)
{
	AUTO_BUF text = BUF_NONE;
	AUTO_BUF end = BUF_NONE;

	watch_end_json(&end, reason, err);
	begin_text(&text, type, id);
	buf_c(&text, ',');
	buf_str(&text, str_from(buf_view(&end), 1));
	put(s, &text);
}

/* ---- the end ---- */

static void sub_free(struct sub *sub)
{
	struct socket *s = sub->s;

	watcher_stop(&sub->watcher);
	list_remove(&sub->at_);
	map_del(s->subs, id_of(sub));
	s->n_places -= sub->n_places;
	free(sub);
}

static void forget_subs(struct socket *s)
{
	while (!list_empty(&s->open))
		sub_free(container_of(s->open.next, struct sub, at_));
	while (!list_empty(&s->stalled))
		sub_free(container_of(s->stalled.next, struct sub, at_));
}

static void known(struct socket *s)
{
	if (s->is_stranger)
		stranger_leave(s->caller.at, CROWD_HELLO, s->r->peer);
	s->is_stranger = false;
}

/* The request may be gone when this returns. */
static void forget(struct socket *s)
{
	s->r->on_gone = NULL;
	known(s);
	forget_subs(s);
	list_remove(&s->at_);
	s->all->n--;
	map_free(&s->subs);
	ws_free(&s->ws);
	buf_fini(&s->out);
}

static void hang_up(struct socket *s)
{
	struct request *r = s->r;

	if (s->out.n)
		answer_chunk(r, buf_view(&s->out));
	forget(s);
	answer_end(r);
}

static void close_with(struct socket *s, enum ws_code code, const char *why)
{
	if (s->state == SOCKET_CLOSING)
		return;
	forget_subs(s);
	ws_put_close(s->ws, &s->out, code, str_of(why));
	s->state = SOCKET_CLOSING;
	due_in(s, CLOSE_S);
	if (!s->is_inside)
		send_out(s);
}

static void bye(struct socket *s, enum watch_reason reason, const struct err *err)
{
	if (s->state == SOCKET_CLOSING || s->was_told)
		return;
	s->was_told = true;
	put_end(s, "bye", STR_NONE, reason, err);
	close_with(s, WS_GOING_AWAY, watch_reason_name(reason));
}

static void on_gone(struct request *r)
{
	forget(of_request(r));
}

/* ---- what the engine says ---- */

static void begin(struct watcher *w, uint64_t rev)
{
	struct sub *sub = sub_of(w);

	put_rev(sub->s, "subscribed", id_of(sub), rev);
}

static bool change(struct watcher *w, const struct feed_change *c)
{
	struct sub *sub = sub_of(w);
	struct socket *s = sub->s;
	AUTO_BUF text = BUF_NONE;
	bool is_enough;

	begin_text(&text, "change", id_of(sub));
	buf_c(&text, ',');
	buf_str(&text, str_from(watch_json(w->at, c), 1));
	ws_put(s->ws, &s->out, true, buf_view(&text));
	is_enough = answer_pending(s->r) + s->out.n >= PENDING_MAX;
	if (is_enough) {
		list_remove(&sub->at_);
		list_append(&s->stalled, &sub->at_);
	}
	return !is_enough;
}

static void flush(struct watcher *w)
{
	struct socket *s = sub_of(w)->s;

	if (!s->is_inside)
		send_out(s);
}

static void bookmark(struct watcher *w, uint64_t rev)
{
	struct sub *sub = sub_of(w);

	put_rev(sub->s, "bookmark", id_of(sub), rev);
}

static void end(struct watcher *w, enum watch_reason reason,
		const struct err *err)
{
	struct sub *sub = sub_of(w);
	struct socket *s = sub->s;

	if (watch_reason_moves(reason)) {
		bye(s, reason, err);     /* frees this one, too */
		return;
	}
	put_end(s, "error", id_of(sub), reason, err);
	sub_free(sub);
	if (reason == WATCH_DENIED)
		close_with(s, WS_POLICY, "the token may not watch any more");
}

static const struct watcher_ops watch_ops = {
	.begin = begin, .change = change, .flush = flush, .bookmark = bookmark,
	.end = end,
};

/* ---- rates ---- */

static bool take(struct socket *s, enum limit_of of, struct str who, struct err *err)
{
	struct limits *limits = s->caller.at->api->limits;
	uint64_t wait;

	if (!limits_is_on(limits, of) ||
	    limits_take(limits, of, who, clock_mono_ns(), &wait))
		return true;
	err_set(err, E_RATE, "%s %.*s asks more often than it may",
		limits_name(of), STR_ARG(who));
	err_hint(err, "wait %llu ms", (unsigned long long)(wait / 1000000 + 1));
	s->caller.retry_after_s = limits_retry_s(wait);
	return false;
}

/* A watch that begins is work as a request is, and comes past the door (door.c). */
static bool has_room(struct socket *s, struct err *err)
{
	struct api_loop *at = s->caller.at;

	if (admission_take(&at->admission, door_woke_ns(at), clock_mono_ns()))
		return true;
	/* Who is told to come again does not come together. */
	s->caller.retry_after_s = 1 + s->r->trace[0] % 3;
	err_set(err, E_BUSY, "this node has more to do than it can in time; nothing was "
		"done");
	err_hint(err, "come again later, or go to another node");
	return false;
}

/* Each message counts for the rate of who sends it. */
static bool has_rate(struct socket *s, struct err *err)
{
	return s->state != SOCKET_OPEN ||
		take(s, LIMIT_SUBJECT, str_of(s->who.name), err);
}

/* And a watch for the tenants of the keys that it names, as a request does.  What it may
 * not see it is refused anyway, and nobody else pays for. */
static bool has_tenants(struct socket *s, const struct watch_spec *spec,
			struct err *err)
{
	struct str charged = STR_NONE;

	for (size_t i = 0; i < spec->n_keys; i++) {
		const struct address *at = &spec->keys[i];
		struct target target = { .kind = KIND_CONFIG, .tenant = at->tenant,
					 .name = at->name };

		if (str_eq(at->tenant, charged) ||
		    permission_check(&s->caller.subject, VERB_FETCH, &target, NULL))
			continue;
		charged = at->tenant;
		if (!take(s, LIMIT_TENANT, charged, err))
			return false;
	}
	return true;
}

/* ---- what the client says ---- */

static enum code subscribe(struct socket *s, struct arena *arena, struct str id,
			   const struct value *v, struct err *err)
{
	struct watch_spec spec = { .who = s->who, .client.id = s->r->door };
	enum code rc = watch_spec_read(&spec, arena, v, err);
	size_t places = spec.n_keys + spec.n_prefixes;
	struct sub *sub;

	if (rc == OK && spec.client.id.n)
		rc = api_may_be(s->caller.at->api, &s->caller.subject, spec.client.id,
				err);
	if (rc == OK && map_get(s->subs, id))
		rc = err_set(err, E_EXISTS, "there is a watch of this id");
	if (rc == OK && (map_count(s->subs) >= SUBS_MAX ||
			 s->n_places + places > PLACES_MAX))
		rc = err_set(err, E_INVALID, "a connection has at most %d watches of "
			     "%d keys and prefixes", SUBS_MAX, PLACES_MAX);
	if (rc == OK && !has_tenants(s, &spec, err))
		rc = E_RATE;
	if (rc)
		return rc;
	sub = mem_zero(sizeof(*sub) + id.n);
	sub->s = s;
	sub->n = id.n;
	memcpy(sub->id, id.p, id.n);
	sub->n_places = places;
	s->n_places += places;
	list_append(&s->open, &sub->at_);
	map_put(s->subs, id, sub);
	rc = watcher_start(&sub->watcher, s->caller.at, &spec, &watch_ops, err);
	if (rc)
		sub_free(sub);
	return rc;
}

static enum code unsubscribe(struct socket *s, struct str id, struct err *err)
{
	struct sub *sub = map_get(s->subs, id);
	AUTO_BUF text = BUF_NONE;

	if (!sub)
		return err_set(err, E_NOT_FOUND, "there is no watch of this id");
	sub_free(sub);
	begin_text(&text, "unsubscribed", id);
	buf_c(&text, '}');
	put(s, &text);
	return OK;
}

/* 'until_ms': of the certificate; 0: by a token. */
static void greet(struct socket *s, const struct sha256 *key, uint64_t until_ms)
{
	watch_who_set(&s->who, &s->caller, key, until_ms);
	if (s->r->door.n == 0)
		instance_join(s->r);
	known(s);
	s->state = SOCKET_OPEN;
	due_in(s, PING_S);
}

/* The first message where the request brought no token. */
static enum code hello(struct socket *s, const struct value *v, struct err *err)
{
	struct str token = value_text(value_getz(v, "token"));
	struct sha256 key = sha256_of(token);
	enum code rc = OK;

	if (s->state == SOCKET_HELLO) {
		rc = door_token(s->r, token, err);
		if (rc == OK)
			greet(s, &key, 0);
	} else if (token.n) {
		rc = err_set(err, E_CONFLICT, "the token of a connection cannot be "
			     "changed");
	}
	if (rc == OK)
		put_rev(s, "hello", STR_NONE,
			store_rev(s->caller.at->api->config.store));
	return rc;
}

static enum code run_message(struct socket *s, struct arena *arena,
			     const struct value *v, struct str id, struct err *err)
{
	struct str type = value_text(value_getz(v, "type"));

	if (str_is(type, "hello"))
		return hello(s, v, err);
	if (s->state == SOCKET_HELLO)
		return err_set(err, E_UNAUTHORIZED, "the first message is "
			       "{\"type\":\"hello\",\"token\":\"...\"}");
	if (!str_is(type, "subscribe") && !str_is(type, "unsubscribe"))
		return err_set(err, E_INVALID, "type \"%.*s\" is not known; there "
			       "are hello, subscribe and unsubscribe",
			       STR_ARG(str_first(type, 40)));
	if (id.n == 0 || id.n > ID_MAX)
		return err_set(err, E_INVALID, "\"id\" is a text of 1 to %d bytes",
			       ID_MAX);
	if (str_is(type, "unsubscribe"))
		return unsubscribe(s, id, err);
	if (!has_room(s, err))
		return E_BUSY;
	return subscribe(s, arena, id, v, err);
}

static void on_message(void *data, bool is_text, struct str bytes)
{
	struct socket *s = data;
	AUTO_ARENA arena = arena_new(0);
	struct value *v = NULL;
	struct str id;
	struct err err, limit;
	enum code rc;
	bool may;

	s->caller.retry_after_s = 0;
	may = has_rate(s, &limit);
	if (!is_text) {
		close_with(s, WS_UNSUPPORTED, "messages are texts of JSON");
		return;
	}
	rc = doc_parse_json(bytes, arena, NULL, &v, &err);
	if (rc == OK && v->type != VALUE_OBJECT)
		rc = err_set(&err, E_INVALID, "it is no object");
	id = str_first(value_text(value_getz(v, "id")), ID_MAX + 1);
	if (!may) {
		err = limit;
		rc = err.code;
	} else if (rc) {
		err_wrap(&err, "message");
		err.code = E_INVALID;
	} else {
		rc = run_message(s, arena, v, id, &err);
	}
	if (rc == OK)
		return;
	put_error(s, str_is_utf8(id) ? id : STR_NONE, &err);
	if (s->state == SOCKET_HELLO)
		close_with(s, WS_POLICY, "who is it?");
}

static const struct ws_ops ws_ops = { .message = on_message };

static void on_body(struct request *r, struct str bytes, bool is_last)
{
	struct socket *s = of_request(r);
	enum ws_state state;

	s->was_heard = true;
	s->is_inside = true;
	state = ws_take(s->ws, bytes, &s->out);
	s->is_inside = false;
	if (state == WS_OVER || is_last) {
		hang_up(s);
		return;
	}
	/* It broke the protocol and was told so. */
	if (state == WS_CLOSING && s->state != SOCKET_CLOSING) {
		forget_subs(s);
		s->state = SOCKET_CLOSING;
		due_in(s, CLOSE_S);
	}
	send_out(s);
	/* Who takes no answers asks no more. */
	if (answer_pending(r) > PENDING_MAX) {
		s->is_paused = true;
		request_body_pause(r);
	}
}

static void on_drained(struct request *r)
{
	struct socket *s = of_request(r);

	resume(s);
	if (!s->is_paused || answer_pending(r) > PENDING_MAX)
		return;
	s->is_paused = false;
	s->was_heard = true;
	request_body_resume(r);
}

/* ---- time ---- */

static void on_due(struct socket *s)
{
	if (s->state == SOCKET_HELLO) {
		close_with(s, WS_POLICY, "no hello came");
	} else if (s->state == SOCKET_CLOSING || (!s->was_heard && !s->is_paused)) {
		hang_up(s);
	} else {
		s->was_heard = false;
		ws_put_ping(s->ws, &s->out);
		due_in(s, PING_S);
		send_out(s);
	}
}

static void on_second(struct timer *timer)
{
	struct sockets *all = container_of(timer, struct sockets, timer);
	struct list *slot;

	all->now = (all->now + 1) % SLOTS;
	slot = &all->slots[all->now];
	while (!list_empty(slot))
		on_due(container_of(slot->next, struct socket, at_));
	if (all->n)
		timer_start(timer, 1000);
}

struct sockets *sockets_new(struct api_loop *at)
{
	struct sockets *all = NEW(struct sockets);

	all->at = at;
	for (size_t i = 0; i < SLOTS; i++)
		list_init(&all->slots[i]);
	timer_init(&all->timer, at->loop, on_second);
	return all;
}

void sockets_free(struct sockets **all)
{
	free(*all);
	*all = NULL;
}

void sockets_drain(struct sockets *all)
{
	struct err err;
	struct socket *s;

	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	err_hint(&err, "watch at another node");
	for (size_t i = 0; i < SLOTS; i++)
		list_each(&all->slots[i], s, at_)
			bye(s, WATCH_DRAINING, &err);
}

/* ---- the handshake ---- */

/* A page of somebody else shall not talk to it in a user's network. */
static bool origin_may(struct request *r)
{
	if (origin_of(r) != ORIGIN_FOREIGN)
		return true;
	api_fail(r, E_DENIED, "origin %.*s may not open a WebSocket here; "
		 "server.allowed_origins has those that may",
		 STR_ARG(str_first(*request_header(r, "origin"), 200)));
	return false;
}

static void need_upgrade(struct request *r, const char *detail)
{
	AUTO_BUF body = BUF_NONE;

	buf_z(&body, "{\"type\":\"urn:conflux:error:invalid\",\"title\":\"upgrade "
		     "required\",\"status\":426,\"detail\":");
	buf_json(&body, str_of(detail));
	buf_z(&body, "}\n");
	answer_header(r, "Upgrade", STR("websocket"));
	answer_header(r, "Sec-WebSocket-Version", STR("13"));
	answer(r, 426, "application/problem+json", buf_view(&body));
}

/* '*accept' stays empty over HTTP/2, where nothing is proven by it (RFC 8441). */
static bool handshake(struct request *r, struct buf *accept)
{
	bool is_http1 = request_header(r, "connection");
	const struct str *version = request_header(r, "sec-websocket-version");
	const struct str *key = request_header(r, "sec-websocket-key");

	if (!request_wants_upgrade(r, "websocket")) {
		need_upgrade(r, "this is a WebSocket: ask with Connection: Upgrade "
			     "and Upgrade: websocket");
		return false;
	}
	if (!version || !str_is(*version, "13")) {
		need_upgrade(r, "Sec-WebSocket-Version: 13 is spoken here");
		return false;
	}
	if (is_http1 && !(key && ws_accept(accept, *key))) {
		api_fail(r, E_INVALID, "Sec-WebSocket-Key is no base64 of 16 bytes");
		return false;
	}
	return origin_may(r);
}

static bool offers_protocol(const struct request *r)
{
	const struct str *h = request_header(r, "sec-websocket-protocol");
	struct str rest = h ? *h : STR_NONE;

	while (rest.n)
		if (str_is(str_trim(str_cut(&rest, ',')), PROTOCOL))
			return true;
	return false;
}

static void open_socket(struct request *r, const struct buf *accept)
{
	struct socket *s = ANEW(r->arena, struct socket);
	struct sockets *all = caller_of(r)->at->sockets;
	bool is_known = caller_of(r)->subject.role != ROLE_NOBODY;
	struct sha256 key;

	if (!is_known && !stranger_enter(r, CROWD_HELLO))
		return;
	s->is_stranger = !is_known;
	if (accept->n)
		answer_header(r, "Sec-WebSocket-Accept", buf_view(accept));
	if (offers_protocol(r))
		answer_header(r, "Sec-WebSocket-Protocol", STR(PROTOCOL));
	s->caller = *caller_of(r);
	s->r = r;
	s->all = all;
	s->ws = ws_new(WS_SERVER, MESSAGE_MAX, &ws_ops, s);
	s->subs = map_new();
	list_init(&s->at_);
	list_init(&s->open);
	list_init(&s->stalled);
	s->was_heard = true;
	r->data = &s->caller;
	r->on_gone = on_gone;
	if (all->n++ == 0)
		timer_start(&all->timer, 1000);
	due_in(s, HELLO_S);
	if (is_known && api_credential_key(r, &key))
		greet(s, &key, api_credential_ends_ms(r));
	answer_upgrade(r, "websocket");
	answer_on_drain(r, on_drained);
	request_on_body(r, on_body);
}

void get_ws(struct request *r)
{
	AUTO_BUF accept = BUF_NONE;
	struct err err;

	if (!handshake(r, &accept))
		return;
	if (api_bearer(r).n && door_token(r, api_bearer(r), &err)) {
		if (err.code == E_UNAUTHORIZED)
			answer_header(r, "WWW-Authenticate", STR("Bearer"));
		api_error(r, &err);
		return;
	}
	/* Where it stands for nothing a token may still be said. */
	if (api_bearer(r).n == 0 && r->certificate.n && origin_is_trusted(r))
		door_certificate(r);
	open_socket(r, &accept);
}
