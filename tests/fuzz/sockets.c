/*
 * WebSockets of watches: the handshake, and what becomes of messages.  Whatever they
 * are, each is answered by messages that the client can read, no watch begins for who
 * has not said who he is, watches are those that were asked for and each ends once.
 *
 * The first byte says how full the connection is.  Behind the request each line is a
 * message, or where it begins with '!' something that happens meanwhile.
 */
#include "api_world.h"

#include "api/origin.h"
#include "base/map.h"
#include "http/wire/ws.h"

#include "base/banned.h"

#define OPEN_MAX 64
#define REV 42

static struct {
	struct buf out;                  /* to the client, not read by it yet */
	struct ws *client;
	request_body *on_body;
	void (*on_drain)(struct request *r);
	bool is_open, is_over, is_closed, is_paused, is_full, is_known;
	bool is_ending;                  /* an error that comes now ends its watch */
	/* Under way. */
	struct watcher *watchers[OPEN_MAX];
	unsigned n;
	struct map *ids;                 /* that are, as the client hears it */
} sock;

/* ---- the server ---- */

bool __wrap_request_wants_upgrade(const struct request *r, const char *protocol);
void __wrap_answer_upgrade(struct request *r, const char *protocol);
void __wrap_answer_chunk(struct request *r, struct str bytes);
size_t __wrap_answer_pending(const struct request *r);
void __wrap_answer_on_drain(struct request *r, void (*cb)(struct request *r));
void __wrap_answer_end(struct request *r);
void __wrap_request_on_body(struct request *r, request_body *cb);
void __wrap_request_body_pause(struct request *r);
void __wrap_request_body_resume(struct request *r);

bool __wrap_request_wants_upgrade(const struct request *r, const char *protocol)
{
	const struct str *h = request_header(r, "upgrade");

	return h && str_eq_nocase(*h, str_of(protocol));
}

void __wrap_answer_upgrade(struct request *r, const char *protocol)
{
	must(now.status == 0 && !sock.is_open);
	sock.is_open = true;
	now.status = 101;
}

void __wrap_answer_chunk(struct request *r, struct str bytes)
{
	must(sock.is_open && !sock.is_over && bytes.n);
	buf_str(&sock.out, bytes);
}

size_t __wrap_answer_pending(const struct request *r)
{
	return sock.is_full ? 1 << 20 : 0;
}

void __wrap_answer_on_drain(struct request *r, void (*cb)(struct request *r))
{
	sock.on_drain = cb;
}

void __wrap_answer_end(struct request *r)
{
	must(sock.is_open && !sock.is_over);
	sock.is_over = true;
}

void __wrap_request_on_body(struct request *r, request_body *cb)
{
	sock.on_body = cb;
}

void __wrap_request_body_pause(struct request *r)
{
	must(!sock.is_paused);
	sock.is_paused = true;
}

void __wrap_request_body_resume(struct request *r)
{
	must(sock.is_paused);
	sock.is_paused = false;
}

/* ---- who it is, and what there is ---- */

enum code __wrap_door_token(struct request *r, struct str token, struct err *err);
void __wrap_instance_join(struct request *r);
uint64_t __wrap_store_rev(struct store *store);

enum code __wrap_door_token(struct request *r, struct str token, struct err *err)
{
	struct caller *caller = caller_of(r);

	if (str_is(token, "no"))
		return err_set(err, E_DENIED, "he may not watch");
	if (!str_is(token, "good"))
		return err_set(err, E_UNAUTHORIZED, "no such token");
	caller->subject.name = STR("token:good");
	caller->subject.role = ROLE_READ_ONLY;
	sock.is_known = true;
	return OK;
}

void __wrap_instance_join(struct request *r)
{
}

uint64_t __wrap_store_rev(struct store *store)
{
	return REV;
}

/* ---- watches ---- */

enum code __wrap_watcher_start(struct watcher *w, struct api_loop *loop,
			       const struct watch_spec *spec,
			       const struct watcher_ops *ops, struct err *err);
void __wrap_watcher_stop(struct watcher *w);
void __wrap_watcher_resume(struct watcher *w);

/* UINT32_MAX: it is not under way. */
static unsigned place_of(const struct watcher *w)
{
	for (unsigned i = 0; i < sock.n; i++)
		if (sock.watchers[i] == w)
			return i;
	return UINT32_MAX;
}

enum code __wrap_watcher_start(struct watcher *w, struct api_loop *loop,
			       const struct watch_spec *spec,
			       const struct watcher_ops *ops, struct err *err)
{
	must(sock.is_known && sock.is_open && !sock.is_over && loop == &at);
	must(spec->who.role == ROLE_READ_ONLY && spec->who.has_token);
	must_be_places(spec);
	if (spec->n_keys + spec->n_prefixes == 0 || sock.n == OPEN_MAX)
		return err_set(err, E_INVALID, "it names nothing, or too much");
	if (spec->has_since && spec->since > REV)
		return err_set(err, E_GONE, "that is not here");
	w->at = loop;
	w->ops = ops;
	sock.watchers[sock.n++] = w;
	ops->begin(w, spec->has_since ? spec->since : REV);
	return OK;
}

void __wrap_watcher_stop(struct watcher *w)
{
	unsigned i = place_of(w);

	if (i != UINT32_MAX)
		sock.watchers[i] = sock.watchers[--sock.n];
}

void __wrap_watcher_resume(struct watcher *w)
{
	must(place_of(w) != UINT32_MAX);
}

/* ---- the client ---- */

static bool is_one_of(struct str s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(s, str_of(words[i])))
			return true;
	return false;
}

static void on_message(void *data, bool is_text, struct str bytes)
{
	static const char *const types[] = { "hello", "subscribed", "unsubscribed",
					     "change", "bookmark", "error", "bye" };
	static const char *const of_one[] = { "subscribed", "unsubscribed", "change",
					      "bookmark" };
	AUTO_ARENA arena = arena_new(0);
	struct str type, id;
	struct value *v;
	struct err err;

	must(is_text && !sock.is_closed);
	must(doc_parse_json(bytes, arena, NULL, &v, &err) == OK);
	type = value_text(value_getz(v, "type"));
	id = value_text(value_getz(v, "id"));
	must(is_one_of(type, types, ARRAY_LEN(types)));
	must((id.n > 0) == is_one_of(type, of_one, ARRAY_LEN(of_one)) ||
	     str_is(type, "error"));
	if (str_is(type, "error"))
		must(value_getz(v, "status") && value_getz(v, "code") &&
		     value_text(value_getz(v, "detail")).n);
	/* Of one that is there, or was until the message before. */
	if (str_is(type, "subscribed"))
		must(!map_put(sock.ids, id, sock.ids));
	else if (str_is(type, "unsubscribed") ||
		 (str_is(type, "error") && sock.is_ending))
		must(map_del(sock.ids, id));
	else if (str_is(type, "change") || str_is(type, "bookmark"))
		must(map_get(sock.ids, id));
}

static void on_closed(void *data, unsigned code, struct str reason)
{
	sock.is_closed = true;
}

static const struct ws_ops client_ops = { on_message, on_closed };

static void hear(void)
{
	AUTO_BUF back = BUF_NONE;
	struct buf out = sock.out;

	sock.out = (struct buf)BUF_NONE;
	(void)ws_take(sock.client, buf_view(&out), &back);
	buf_fini(&out);
}

static void say(struct str text)
{
	AUTO_BUF frame = BUF_NONE;

	if (sock.is_over || sock.is_paused)
		return;
	ws_put(sock.client, &frame, str_is_utf8(text), text);
	if (frame.n)
		sock.on_body(&now.r, buf_view(&frame), false);
	hear();
}

/* ---- what happens ---- */

static void change(struct watcher *w)
{
	static uint64_t memo;
	struct feed_change c = {
		.at = { STR("acme"), STR("shop"), STR("prod"), STR("main") },
		.key = STR("acme/shop/prod/main"), .rev = REV, .has_version = true,
		.version = 3, .size = 12, .format = STR("json"), .end = true,
		.memo = ++memo,
	};

	w->ops->change(w, &c);
	if (place_of(w) != UINT32_MAX)
		w->ops->flush(w);
}

static void end(struct watcher *w, enum watch_reason reason)
{
	struct err err;

	err_set(&err, E_GONE, "it is over");
	__wrap_watcher_stop(w);
	sock.is_ending = true;
	w->ops->end(w, reason, &err);
	hear();
	sock.is_ending = false;
}

static void happen(struct str what)
{
	struct watcher *w = sock.n ? sock.watchers[sock.n - 1] : NULL;

	if (sock.is_over)
		return;
	if (str_is(what, "full"))
		sock.is_full = true;
	if (str_is(what, "drained")) {
		sock.is_full = false;
		sock.on_drain(&now.r);
	}
	if (str_is(what, "drain"))
		sockets_drain(at.sockets);
	if (w && str_is(what, "change"))
		change(w);
	if (w && str_is(what, "bookmark"))
		w->ops->bookmark(w, REV);
	if (w && str_starts(what, STR("end")))
		end(w, what.n > 3 ? (unsigned char)what.p[3] % WATCH_REASON__COUNT : 0);
	hear();
}

/* ---- */

static void handshake_is_right(void)
{
	const struct str *key = request_header(&now.r, "sec-websocket-key");
	const struct str *version = request_header(&now.r, "sec-websocket-version");
	bool has_accept = str_find_str(buf_view(&now.head),
				       STR("Sec-WebSocket-Accept: ")) != SIZE_MAX;

	must(version && str_is(*version, "13"));
	must(has_accept == (request_header(&now.r, "connection") != NULL));
	/* 16 bytes of base64, with its end or without. */
	must(!has_accept || (key && key->n >= 22 && key->n <= 24));
	must(origin_of(&now.r) != ORIGIN_FOREIGN);
}

static void run(struct str rest)
{
	get_ws(&now.r);
	must(now.status != 0 && sock.is_open == (now.status == 101));
	if (!sock.is_open)
		return;
	handshake_is_right();
	hear();
	while (rest.n) {
		struct str line = str_cut(&rest, '\n');

		if (str_starts(line, STR("!")))
			happen(str_from(line, 1));
		else
			say(line);
	}
	if (!sock.is_over)
		now.r.on_gone(&now.r);
	must(sock.n == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	world_open();
	api.config.allowed_origins = "";
	at.loop = loop_new("sockets", 0);
	at.sockets = sockets_new(&at);
	at.texts = watch_texts_new();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA arena = arena_new(0);
	struct str in = str_n(data, size);

	if (size < 1 || size > 16384)
		return 0;
	memset(&sock, 0, sizeof(sock));
	sock.is_full = data[0] & 1;
	in = str_from(in, 1);
	if (!world_request(&in, arena))
		return 0;
	now.caller.subject = (struct subject){ .name = STR("anonymous") };
	sock.client = ws_new(WS_CLIENT, 1 << 20, &client_ops, NULL);
	sock.ids = map_new();
	run(in);
	/* Who has ended, or said who it is, is no stranger any more. */
	must(crowd_count(api.crowd) == 0);
	ws_free(&sock.client);
	map_free(&sock.ids);
	buf_fini(&sock.out);
	return 0;
}
