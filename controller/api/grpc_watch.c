/*
 * conflux.v1.WatcherService: watchers (watcher.h) as a stream of gRPC messages.
 *
 * A watch that starts after 0 begins with what there is (listing.h), of one revision,
 * from which the watcher goes on.
 */
#include "api/follow.h"
#include "api/grpc_content.h"
#include "api/grpc_message.h"
#include "api/listing.h"
#include "base/mem.h"
#include "gen/proto/conflux.pb-c.h"

#include "base/banned.h"

/* Names and labels: 1,000 addresses of at most 450 bytes. */
#define REQUEST_MAX (1024 * 1024)
/* Unsent bytes of a client that does not read; then it is fed from the store. */
#define PENDING_MAX (64 * 1024)
/* Kept on a loop, for the next who is told the same; and how large at most. */
#define FRAMES 4
#define FRAME_MAX (64 * 1024)

typedef Conflux__V1__WatchResponse told;
#define KIND(word) CONFLUX__V1__WATCH_RESPONSE__KIND__##word

struct grpc_watch {
	struct watcher watcher;
	struct grpc_call *call;
	/* Until the watcher is under way. */
	struct listing *listing;
	struct watch_spec *spec;         /* in the request's arena, as the owner is; else NULL */
	struct watch_owner *owner;
	bool want_content, want_signature, is_started;
	bool is_listed;                  /* what comes behind the listing waits */
	struct buf out;                  /* of this turn */
	/* What the last message goes on with, or NULL: then nothing else is said. */
	struct grpc_content *content;
};

static struct grpc_watch *of(struct watcher *w)
{
	return container_of(w, struct grpc_watch, watcher);
}

static char *text_of(struct arena *arena, struct str s)
{
	return arena_z(arena, s);
}

/* ---- messages ---- */

static void put_kind(struct grpc_watch *g, Conflux__V1__WatchResponse__Kind kind,
		     uint64_t rev)
{
	told m = CONFLUX__V1__WATCH_RESPONSE__INIT;

	m.kind = kind;
	m.revision = rev;
	grpc_put_message(&g->out, &m.base);
}

/* With its content, of which more than a chunk goes as the client takes it.  What is no
 * longer stored is left out. */
static void put_with_content(struct grpc_watch *g, const struct feed_change *c,
			     struct kv_txn *txn, told *m, struct buf *out)
{
	struct api_loop *at = caller_of(grpc_request(g->call))->at;
	struct str chunk;
	struct err err;

	m->has_content = true;
	if (!txn && view_use(at->view, 0, &txn, &err)) {
		m->has_content = false;
	} else if (c->size > BLOB_CHUNK) {
		g->content = grpc_content_new(g->call, txn, &m->base, c->at.tenant,
					      &c->sha, c->size, out);
		m->has_content = false;
		if (g->content)
			return;
	} else if (view_chunk(txn, c->at.tenant, &c->sha, 0, &chunk, &err)) {
		m->has_content = false;
	} else {
		m->content = (ProtobufCBinaryData){ chunk.n,
						    (uint8_t *)(uintptr_t)chunk.p };
	}
	grpc_put_message(out, &m->base);
}

static void make_change(struct grpc_watch *g, const struct feed_change *c,
			struct kv_txn *txn, struct buf *out)
{
	Conflux__V1__Address at = CONFLUX__V1__ADDRESS__INIT;
	told m = CONFLUX__V1__WATCH_RESPONSE__INIT;
	char signature[SIGNATURE_TEXT_MAX], release[RELEASE_NAME_MAX];
	AUTO_ARENA arena = arena_new(1024);

	at.tenant = text_of(arena, c->at.tenant);
	at.application = text_of(arena, c->at.application);
	at.environment = text_of(arena, c->at.environment);
	at.name = text_of(arena, c->at.name);
	m.kind = c->has_version ? KIND(CHANGED) : KIND(REMOVED);
	m.address = &at;
	m.revision = c->rev;
	m.end = c->end;
	m.deleted = c->is_deleted;
	if (c->has_version) {
		m.version = c->version;
		m.sha256 = (ProtobufCBinaryData){
			sizeof(c->sha.b), (uint8_t *)(uintptr_t)c->sha.b };
		m.size = c->size;
		m.format = text_of(arena, c->format);
		if (c->release) {
			release_name(release, c->release);
			m.release = release;
		}
		if (g->want_signature &&
		    api_sign(caller_of(grpc_request(g->call))->at, &c->at,
			     c->version, &c->sha, signature))
			m.signature = signature;
	}
	if (c->has_version && g->want_content)
		put_with_content(g, c, txn, &m, out);
	else
		grpc_put_message(out, &m.base);
}

/* ---- frames that many are told ---- */

/* The last few, because a change goes to many one after the other. */
struct grpc_frames {
	struct frame {
		struct feed_change c;    /* its texts are gone; memo 0: none */
		bool want_content, want_signature;
		struct buf bytes;
	} of[FRAMES];
	unsigned next;
};

void grpc_frames_free(struct grpc_frames **frames)
{
	struct grpc_frames *f = TAKE(*frames);

	for (unsigned i = 0; f && i < FRAMES; i++)
		buf_fini(&f->of[i].bytes);
	free(f);
}

static const struct buf *find_frame(const struct grpc_watch *g,
				    const struct feed_change *c)
{
	const struct grpc_frames *f = g->watcher.at->frames;

	for (unsigned i = 0; f && i < FRAMES; i++)
		if (watch_is_same(&f->of[i].c, c) &&
		    f->of[i].want_content == g->want_content &&
		    f->of[i].want_signature == g->want_signature)
			return &f->of[i].bytes;
	return NULL;
}

static void keep_frame(struct grpc_watch *g, const struct feed_change *c,
		       struct str bytes)
{
	struct grpc_frames **f = &g->watcher.at->frames;
	struct frame *to;

	if (bytes.n > FRAME_MAX)
		return;
	if (!*f)
		*f = NEW(struct grpc_frames);
	to = &(*f)->of[(*f)->next++ % FRAMES];
	to->c = *c;
	to->want_content = g->want_content;
	to->want_signature = g->want_signature;
	buf_reset(&to->bytes);
	buf_str(&to->bytes, bytes);
}

static void put_change(struct grpc_watch *g, const struct feed_change *c)
{
	const struct buf *made = find_frame(g, c);
	size_t start = g->out.n;

	if (made) {
		buf_str(&g->out, buf_view(made));
		return;
	}
	make_change(g, c, NULL, &g->out);
	if (!g->content)
		keep_frame(g, c, str_from(buf_view(&g->out), start));
}

/* ---- what the watcher says ---- */

static void send_out(struct grpc_watch *g)
{
	grpc_send_frames(g->call, buf_view(&g->out));
	buf_fini(&g->out);
}

static void begin(struct watcher *w, uint64_t rev)
{
	struct grpc_watch *g = of(w);

	if (!g->is_started) {
		g->is_started = true;
		put_kind(g, KIND(STARTED), rev);
	}
	send_out(g);
}

static bool change(struct watcher *w, const struct feed_change *c)
{
	struct grpc_watch *g = of(w);

	put_change(g, c);
	return !g->content && grpc_pending(g->call) + g->out.n < PENDING_MAX;
}

static void go_on(struct grpc_watch *g);

static void flush(struct watcher *w)
{
	struct grpc_watch *g = of(w);

	send_out(g);
	go_on(g);
}

static void bookmark(struct watcher *w, uint64_t rev)
{
	put_kind(of(w), KIND(BOOKMARK), rev);
	send_out(of(w));
}

/* So that a broken connection shows. */
static void alive(struct watcher *w)
{
	bookmark(w, watcher_rev(w));
}

static struct api_loop *loop_of(const struct grpc_watch *g)
{
	return caller_of(grpc_request(g->call))->at;
}

static void watch_free(struct grpc_watch *g)
{
	if (g->spec)
		watcher_uncount(loop_of(g), g->spec);
	buf_fini(&g->out);
	grpc_content_free(&g->content);
	free(g);
}

static void fail(struct grpc_watch *g, const struct err *err)
{
	struct grpc_call *call = g->call;

	grpc_set(call, NULL, NULL);
	watch_free(g);
	grpc_fail(call, err);
}

static void end(struct watcher *w, enum watch_reason reason,
		const struct err *err)
{
	struct grpc_watch *g = of(w);

	if (g->out.n)
		send_out(g);
	fail(g, err);
}

static const struct watcher_ops ops = {
	.begin = begin, .change = change, .flush = flush, .bookmark = bookmark,
	.alive = alive, .end = end,
};

static void gone(struct grpc_call *call)
{
	struct grpc_watch *g = grpc_data(call);

	listing_stop(&g->listing);
	watcher_stop(&g->watcher);
	watch_free(g);
}

static void finish_list(struct grpc_watch *g);

/* Before there is a watcher nobody else looks whether it still may. */
static bool may_not(struct grpc_watch *g, struct err *err)
{
	struct api_loop *at = caller_of(grpc_request(g->call))->at;
	struct kv_txn *txn;

	return g->owner && (view_use(at->view, 0, &txn, err) ||
			    watch_owner_may(txn, g->owner, VERB_WATCH, STR_NONE,
					    STR_NONE, err));
}

/* What was said has gone, or some of it.  Where the socket took all that was said at once
 * nothing drains. */
static void go_on(struct grpc_watch *g)
{
	bool whole = true;
	struct err err;

	if (g->content && (may_not(g, &err) ||
			   grpc_content_go(g->content, &whole, &err))) {
		listing_stop(&g->listing);
		watcher_stop(&g->watcher);
		fail(g, &err);
		return;
	}
	if (!whole)
		return;
	grpc_content_free(&g->content);
	if (grpc_pending(g->call) >= PENDING_MAX)
		return;
	if (g->is_listed)
		finish_list(g);
	else if (g->listing)
		listing_go(g->listing);
	else
		watcher_resume(&g->watcher);
}

static void drained(struct grpc_call *call)
{
	struct grpc_watch *g = grpc_data(call);

	if (g)
		go_on(g);
}

/* ---- what there is ---- */

static bool list_one(void *data, const struct feed_change *c, struct kv_txn *txn)
{
	struct grpc_watch *g = data;
	struct str instance = g->spec->client.id;
	AUTO_BUF key = BUF_NONE;

	make_change(g, c, txn, &g->out);
	if (instance.n) {
		address_text(&key, &c->at);
		instance_sent(caller_of(grpc_request(g->call))->at->api, instance,
			      buf_view(&key), c->version, c->release);
	}
	return !g->content && grpc_pending(g->call) + g->out.n < PENDING_MAX;
}

static void list_flush(void *data)
{
	struct grpc_watch *g = data;

	send_out(g);
	go_on(g);
}

static void follow(struct grpc_watch *g)
{
	struct err err;

	g->owner = NULL;
	if (watcher_start(&g->watcher, loop_of(g), g->spec, &ops, &err)) {
		fail(g, &err);
		return;
	}
	g->spec = NULL;
	grpc_forget(g->call);
}

static void finish_list(struct grpc_watch *g)
{
	g->is_listed = false;
	put_kind(g, KIND(BOOKMARK), g->spec->since);
	send_out(g);
	follow(g);
}

static void list_done(void *data, enum code rc, const struct err *err)
{
	struct grpc_watch *g = data;

	g->listing = NULL;
	if (rc) {
		fail(g, err);
		return;
	}
	g->is_listed = true;
	if (!g->content)
		finish_list(g);
}

static const struct listing_ops listing_ops = {
	.one = list_one, .flush = list_flush, .done = list_done,
};

/* STARTED, what there is, BOOKMARK; the watch goes on behind it, and is one from here on. */
static void list(struct grpc_watch *g)
{
	struct err err;

	g->owner = ANEW(grpc_request(g->call)->arena, struct watch_owner);
	g->owner->who = g->spec->who;
	if (watcher_count(loop_of(g), g->spec, &err) ||
	    listing_new(loop_of(g), g->spec, g->owner, &listing_ops, g,
			&g->listing, &g->spec->since, &err)) {
		fail(g, &err);
		return;
	}
	g->spec->has_since = true;
	g->is_started = true;
	put_kind(g, KIND(STARTED), g->spec->since);
	listing_go(g->listing);
}

/* ---- the start ---- */

static enum code spec_of(struct arena *arena, const Conflux__V1__WatchRequest *q,
			 struct watch_spec *spec, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct address at;
	enum code rc = OK;

	if (q->since && q->from_now)
		return err_set(err, E_INVALID, "give since, or from_now");
	for (size_t i = 0; i < q->n_addresses && rc == OK; i++) {
		rc = grpc_address(q->addresses[i], &at, err);
		if (rc)
			break;
		buf_reset(&key);
		address_text(&key, &at);
		rc = watch_spec_key(spec, arena, arena_str(arena, buf_view(&key)),
				    err);
	}
	for (size_t i = 0; i < q->n_prefixes && rc == OK; i++)
		rc = watch_spec_prefix(spec, arena, str_of(q->prefixes[i]), err);
	if (rc == OK && spec->n_keys + spec->n_prefixes == 0)
		rc = err_set(err, E_INVALID, "a watch names 1 to %d addresses and "
			     "prefixes; an empty prefix is everything",
			     WATCH_KEYS_MAX);
	spec->has_since = q->since != 0;
	spec->since = q->since;
	return rc;
}

static void watch(struct grpc_call *call, const ProtobufCMessage *m)
{
	const Conflux__V1__WatchRequest *q = (const void *)m;
	struct request *r = grpc_request(call);
	struct watch_spec *spec = ANEW(r->arena, struct watch_spec);
	struct grpc_watch *g;
	struct err err;

	if (spec_of(r->arena, q, spec, &err)) {
		grpc_fail(call, &err);
		return;
	}
	for (size_t i = 0; i < spec->n_keys; i++)
		if (!api_may(r, VERB_FETCH, KIND_CONFIG, spec->keys[i].tenant,
			     spec->keys[i].name))
			return;
	if (!grpc_client(call, GRPC_LABELS(q), &spec->client))
		return;
	watch_spec_caller(spec, r);
	g = NEW(struct grpc_watch);
	g->call = call;
	g->spec = spec;
	g->want_content = q->want_content;
	g->want_signature = q->want_signature;
	grpc_set(call, g, gone);
	grpc_on_drain(call, drained);
	if (q->since || q->from_now)
		follow(g);
	else
		list(g);
}

void grpc_watch(struct request *r)
{
	static const struct grpc_method method = {
		.request = &conflux__v1__watch_request__descriptor,
		.message = watch, .bytes_max = REQUEST_MAX, .is_long = true,
	};

	grpc_serve(r, &method);
}
