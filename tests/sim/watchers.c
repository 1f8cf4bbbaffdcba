/*
 * Who follows.  A watcher has a connection to one server: there it is a follower
 * of the server's hub (state/hub.h) over the views of that server, as
 * api/watcher.c has it; the bytes travel in pieces of any size, and what is on its
 * way is lost with the connection.  The client takes them apart as the client's library does
 * (client/sdk), sets a command's changes at once, and goes on at another server
 * with the newest revision that it has.  Where that is compacted it lists.
 *
 * Lists take their time: the picture that one began with is held meanwhile.
 */
#include "replica.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "client/sdk/events.h"
#include "doc/format.h"
#include "state/hub.h"
#include "state/state.h"

#include "base/banned.h"

#define MS 1000ull
#define WATCHERS 4
#define LISTS 2
#define EARLY_US (2000 * MS)
#define CUTS_MAX 512

/* A configuration as the client knows it. */
struct config {
	struct buf key;
	uint64_t digest;                 /* config_digest; 0: it is not there */
};

/* An event that waits for the end of its command. */
struct change {
	struct buf key;
	uint64_t digest;
};

/* What a server has for its watchers. */
struct post {
	struct hub *hub;
	uint64_t wake_at;                /* 0: nothing to look for */
};

struct watcher {
	unsigned cls;

	/* At the server. */
	struct server *s;                /* NULL: not connected */
	struct feed feed;
	uint64_t start;                  /* where it begins */
	bool is_early, is_ending, is_stalled;
	uint64_t bookmark;               /* the last that it was sent */
	uint64_t early_until, wake_at;   /* while it is early; 0: nothing to look for */
	struct buf wire;                 /* told, on its way */
	uint64_t wire_due;
	uint64_t complete_to;            /* all up to there is on the wire */

	/* The client. */
	struct events events;
	uint64_t since;                  /* newest that it heard of */
	uint64_t end;                    /* newest command that it has whole */
	struct config configs[CONFIGS_MAX];
	size_t n_configs;
	struct change *changes;
	size_t n_changes, cap_changes;
	bool must_list;
	uint64_t connect_at, move_at;
	bool led;                        /* the server, and which store it had */
	uint64_t generation;
	uint64_t last_server;
};

/* One that takes its time. */
struct slow {
	struct server *s;
	struct kv_txn *txn;
	uint64_t index, until;
};

static struct watcher watchers[WATCHERS];
static struct post posts[SERVERS];
static struct slow slows[LISTS];
static struct state_totals *const t = &sum;

void watchers_begin(void)
{
	memset(watchers, 0, sizeof(watchers));
	memset(slows, 0, sizeof(slows));
	for (unsigned i = 0; i < SERVERS; i++)
		posts[i] = (struct post){ .hub = hub_new() };
	for (unsigned i = 0; i < WATCHERS; i++) {
		watchers[i].cls = i % CLASSES;
		watchers[i].connect_at = w.now + below(300 * MS);
		watchers[i].move_at = w.now + below(2000 * MS);
		/* Some begin with a list, some with nothing. */
		watchers[i].must_list = below(2);
	}
}

static void forget_changes(struct watcher *x)
{
	for (size_t i = 0; i < x->n_changes; i++)
		buf_fini(&x->changes[i].key);
	x->n_changes = 0;
}

static struct post *post_of(const struct server *s)
{
	return &posts[s->id - 1];
}

static void end_watch(struct watcher *x)
{
	hub_remove(&x->feed);
	buf_reset(&x->wire);
	events_fini(&heap_of_libc, &x->events);
	x->events = (struct events){ 0 };
	x->s = NULL;
	x->wake_at = 0;
	x->connect_at = w.now + below(below(4) ? 20 * MS : 400 * MS);
	/* It has all of some commands and a part of one: either is a place to go
	 * on from, with what belongs to it. */
	if (below(2)) {
		forget_changes(x);
		x->since = x->end;
	}
}

void watchers_end(void)
{
	for (unsigned i = 0; i < WATCHERS; i++) {
		struct watcher *x = &watchers[i];

		end_watch(x);
		forget_changes(x);
		free(x->changes);
		buf_fini(&x->wire);
		for (size_t k = 0; k < CONFIGS_MAX; k++)
			buf_fini(&x->configs[k].key);
	}
	for (unsigned i = 0; i < SERVERS; i++)
		hub_free(&posts[i].hub);
	for (unsigned i = 0; i < LISTS; i++)
		kv_end(&slows[i].txn);
}

/* ---- the client ---- */

static void set_config(void *data, struct str key, uint64_t digest)
{
	struct watcher *x = data;
	struct config *c = x->configs;

	while (c < x->configs + x->n_configs && !str_eq(buf_view(&c->key), key))
		c++;
	if (c == x->configs + x->n_configs) {
		must(x->n_configs < CONFIGS_MAX);
		x->n_configs++;
		buf_reset(&c->key);
		buf_str(&c->key, key);
	}
	c->digest = digest;
}

static uint64_t picture(const struct watcher *x)
{
	uint64_t digest = 0;

	for (size_t i = 0; i < x->n_configs; i++)
		digest += x->configs[i].digest;
	return digest;
}

/* Of a command that the watcher has whole: its picture is the list of then. */
static void take_command(struct watcher *x, uint64_t rev)
{
	const struct told *event = record_event(rev);

	for (size_t i = 0; i < x->n_changes; i++)
		set_config(x, buf_view(&x->changes[i].key), x->changes[i].digest);
	forget_changes(x);
	x->end = rev;
	if (event)
		claim(CHECK_LIST, picture(x) == record_at(event->index)->
		      lists[x->cls], "watcher %u: what it made of events up to %llu "
		      "is not what the list was", x->cls, ULL(rev));
}

struct heard {
	struct str key;
	uint64_t rev, version;
	struct str sha, format;
	bool is_deleted, is_end;
};

static bool parse(struct str text, struct heard *out)
{
	struct value *v;
	struct err err;

	if (doc_parse_json(text, w.arena, NULL, &v, &err))
		return false;
	*out = (struct heard){
		.key = value_text(value_getz(v, "key")),
		.sha = value_text(value_getz(v, "sha256")),
		.format = value_text(value_getz(v, "format")),
		.is_deleted = value_to_bool(value_getz(v, "deleted"), false),
		.is_end = value_to_bool(value_getz(v, "end"), false),
	};
	if (!value_to_u64(value_getz(v, "version"), &out->version))
		out->version = 0;
	return out->key.n && value_to_u64(value_getz(v, "revision"), &out->rev);
}

static void keep_change(struct watcher *x, const struct heard *h)
{
	struct change *c;

	mem_grow((void **)&x->changes, &x->cap_changes, x->n_changes + 1,
		 sizeof(*x->changes));
	c = &x->changes[x->n_changes++];
	*c = (struct change){ .digest = h->is_deleted ? 0 :
			      config_digest(h->key, h->version, h->sha,
					    h->format) };
	buf_str(&c->key, h->key);
}

static void hear_change(struct watcher *x, struct str id, const struct heard *h)
{
	const struct told *event = record_event(h->rev);
	uint64_t next = record_next(x->cls, x->since), n;

	t->watches++;
	claim(CHECK_ORDER, str_u64(id, &n) && n == h->rev && h->rev > x->since,
	      "watcher %u hears of %llu behind %llu", x->cls, ULL(h->rev),
	      ULL(x->since));
	claim(CHECK_COMPLETE, h->rev == next, "watcher %u, of server %llu, hears of "
	      "%llu behind %llu, and %llu comes next", x->cls, ULL(x->s->id),
	      ULL(h->rev), ULL(x->since), ULL(next));
	claim(CHECK_COMPLETE, event && str_eq(event->key, h->key) &&
	      event->is_deleted == h->is_deleted, "watcher %u: what it hears of as "
	      "%llu is another thing", x->cls, ULL(h->rev));
	claim(CHECK_END, h->is_end == record_is_end(x->cls, h->rev), "watcher %u: "
	      "revision %llu is %sthe end of its command", x->cls, ULL(h->rev),
	      h->is_end ? "not " : "");
	x->since = h->rev;
	keep_change(x, h);
	if (h->is_end)
		take_command(x, h->rev);
}

/* All up to there was told, and it is where a command ends. */
static void hear_bookmark(struct watcher *x, struct str id)
{
	uint64_t rev = 0, next = record_next(x->cls, x->since);
	const struct told *event, *behind;

	if (!claim(CHECK_ORDER, str_u64(id, &rev), "watcher %u is to go on from no "
		   "revision", x->cls))
		return;
	claim(CHECK_ORDER, rev > x->since && !x->n_changes, "watcher %u is to go "
	      "on from %llu behind %llu", x->cls, ULL(rev),
	      ULL(x->since));
	claim(CHECK_COMPLETE, !next || next > rev, "watcher %u is to go on from %llu, "
	      "and was not told of %llu", x->cls, ULL(rev), ULL(next));
	event = record_event(rev);
	behind = record_event(rev + 1);
	claim(CHECK_END, event && (!behind || behind->index != event->index),
	      "watcher %u is to go on from %llu, within a command", x->cls, ULL(rev));
	x->since = x->end = rev;
	t->bookmarks++;
}

static bool hear(void *data, const char *event_text, const char *id_text,
		 struct str text)
{
	struct str event = str_of(event_text), id = str_of(id_text);
	struct watcher *x = data;
	struct heard h;

	arena_reset(w.arena);
	if (str_is(event, "bookmark")) {
		hear_bookmark(x, id);
		return !w.is_broken;
	}
	if (str_is(event, "error")) {
		x->must_list = true;
		t->gone++;
		return true;
	}
	if (claim(CHECK_COMPLETE, str_is(event, "change") && parse(text, &h),
		  "watcher %u hears what it does not understand: %.*s", x->cls,
		  STR_ARG(text)))
		hear_change(x, id, &h);
	return !w.is_broken;
}

/* All that was told is heard: nothing up to there is missing. */
static void heard_all(struct watcher *x)
{
	uint64_t next = record_next(x->cls, x->since);

	claim(CHECK_COMPLETE, !next || next > x->complete_to, "watcher %u heard all "
	      "that server %llu has up to %llu, and not of %llu", x->cls,
	      ULL(x->s->id), ULL(x->complete_to), ULL(next));
	claim(CHECK_END, !x->n_changes || x->is_stalled || x->is_ending ||
	      hub_position(&x->feed) != x->complete_to,
	      "watcher %u waits for the end of a command", x->cls);
}

/* So many bytes are there. */
static void arrive(struct watcher *x, size_t n)
{
	AUTO_BUF rest = BUF_NONE;

	claim(CHECK_COMPLETE, events_feed(&heap_of_libc, &x->events,
					  str_first(buf_view(&x->wire), n), hear,
					  x) || w.is_broken,
	      "watcher %u hears an event of more than its client takes", x->cls);
	buf_str(&rest, str_from(buf_view(&x->wire), n));
	buf_reset(&x->wire);
	buf_str(&x->wire, buf_view(&rest));
}

static void deliver(struct watcher *x)
{
	x->wire_due = w.now + below(3 * MS);
	arrive(x, below(3) ? x->wire.n : (size_t)below(x->wire.n + 1));
	if (!x->wire.n && !w.is_broken)
		heard_all(x);
	if (!x->wire.n && x->is_ending)
		end_watch(x);
}

/* Some of what was on its way is there, the rest is lost. */
static void break_off(struct watcher *x)
{
	if (x->wire.n)
		arrive(x, (size_t)below(x->wire.n + 1));
	end_watch(x);
}

/* ---- the server ---- */

/* A planted mistake, on the way. */
static void bend_text(struct watcher *x, struct str text, struct buf *out)
{
	static const char ends[] = "\"end\":false", version[] = "\"version\":";
	size_t at = str_find_str(text, str_of(bad == BAD_ENDS ? ends : version));

	if (bad == BAD_ENDS && at < text.n) {
		buf_str(out, str_first(text, at));
		buf_z(out, "\"end\":true");
		buf_str(out, str_from(text, at + sizeof(ends) - 1));
	} else if (bad == BAD_VERSION && at < text.n && below(20) == 0) {
		at += sizeof(version) - 1;
		buf_str(out, str_first(text, at));
		buf_z(out, "7");
		buf_str(out, str_from(text, at));
	} else if (bad == BAD_SWAP && x->wire.n &&
		   str_find_str(buf_view(&x->wire), str_of(ends)) < x->wire.n) {
		buf_str(out, text);
		buf_str(out, buf_view(&x->wire));
		buf_reset(&x->wire);
	} else {
		buf_str(out, text);
	}
}

static struct watcher *watcher_of(struct feed *f)
{
	return container_of(f, struct watcher, feed);
}

static void wake_post(struct post *p, uint64_t at)
{
	p->wake_at = p->wake_at ? MIN(p->wake_at, at) : at;
}

static void put_event(struct buf *out, uint64_t rev, const char *event)
{
	buf_printf(out, "id: %llu\nevent: %s\ndata: ", ULL(rev), event);
}

static void send_text(struct watcher *x, struct str text)
{
	if (!x->wire.n)
		x->wire_due = w.now + below(5 * MS);
	buf_str(&x->wire, text);
}

static bool on_change(struct feed *f, const struct feed_change *c)
{
	struct watcher *x = watcher_of(f);
	AUTO_BUF text = BUF_NONE;
	AUTO_BUF bent = BUF_NONE;

	put_event(&text, c->rev, "change");
	feed_json(&text, c);
	buf_z(&text, "\n\n");
	bend_text(x, buf_view(&text), &bent);
	send_text(x, buf_view(&bent));
	x->is_stalled = below(10) == 0;
	return !x->is_stalled;
}

static void on_gone(struct feed *f, const struct err *err)
{
	struct watcher *x = watcher_of(f);
	uint64_t compacted = state_head(replica_of(x->s)->state)->compacted_rev;

	claim(CHECK_GONE, err->code == E_GONE && f->cursor < compacted, "watcher "
	      "%u ends at %llu: %s", x->cls, ULL(f->cursor), err->text);
	send_text(x, STR("event: error\ndata: {}\n\n"));
	x->is_ending = true;
	t->gone_while_fed++;
}

/* With the heartbeat of api/watcher.c. */
static void send_bookmark(struct watcher *x)
{
	AUTO_BUF text = BUF_NONE;
	uint64_t rev = hub_position(&x->feed);

	if (rev <= MAX(x->start, x->bookmark) || rev <= x->feed.cursor)
		return;
	x->bookmark = rev;
	put_event(&text, rev, "bookmark");
	buf_printf(&text, "{\"revision\":%llu}\n\n", ULL(rev));
	send_text(x, buf_view(&text));
}

static bool is_late(void *data)
{
	return below(8) == 0;
}

/* Has the socket taken what was told, or some of it? */
static void drain(struct watcher *x)
{
	if (!x->is_stalled || below(3))
		return;
	x->is_stalled = false;
	hub_resume(&x->feed);
	wake_post(post_of(x->s), w.now + below(2 * MS));
}

static void join(struct watcher *x);

/* A planted mistake: what is compacted is passed over. */
static void pass_over(struct post *p, uint64_t compacted)
{
	for (unsigned i = 0; i < WATCHERS; i++) {
		struct watcher *x = &watchers[i];

		if (!x->feed.hub || post_of(x->s) != p ||
		    hub_position(&x->feed) >= compacted)
			continue;
		hub_remove(&x->feed);
		x->start = compacted;
		join(x);
	}
}

/* As run() of api/watcher.c. */
static void run_post(struct server *s)
{
	struct post *p = post_of(s);
	struct replica *r = replica_of(s);
	struct kv_txn *txn = replica_read(r, 0, &(struct err){ 0 });
	struct head head;
	struct err err;
	bool more;

	p->wake_at = 0;
	if (!txn)
		return;
	must(view_head(txn, &head, &err) == OK);
	if (bad == BAD_SILENT_410)
		pass_over(p, head.compacted_rev);
	hub_set_batch(p->hub, 1 + (unsigned)below(40));
	must(hub_run(p->hub, txn, is_late, NULL, &more, &err) == OK);
	if (more)
		wake_post(p, w.now + below(2 * MS));
	for (unsigned i = 0; i < WATCHERS; i++) {
		struct watcher *x = &watchers[i];

		if (x->s != s || !hub_is_idle(&x->feed) || x->is_ending)
			continue;
		if (!more)
			x->complete_to = head.rev;
		if (below(20) == 0)
			send_bookmark(x);
	}
	replica_idle(r);
}

static const struct feed_ops feed_ops = { .change = on_change, .gone = on_gone };

static void join(struct watcher *x)
{
	const struct class *c = &classes[x->cls];
	struct label label = { STR("zone"), str_of(c->zone) };
	struct client client = { .labels = { &label, c->zone[0] ? 1 : 0, 1 } };
	struct str prefix = str_of(c->prefix);
	struct address key;
	struct err err;

	if (c->key)
		must(address_parse(str_of(c->key), &key, &err) == OK);
	x->feed = (struct feed){ .ops = &feed_ops };
	hub_add(post_of(x->s)->hub, &x->feed, &key, c->key ? 1 : 0, &prefix, 1,
		&client, x->start);
	hub_resume(&x->feed);
	wake_post(post_of(x->s), w.now + below(2 * MS));
}

/* What it was told elsewhere is here? */
static void begin_now(struct watcher *x)
{
	struct replica *r = replica_of(x->s);

	x->wake_at = 0;
	if (replica_read(r, x->start, &(struct err){ 0 })) {
		x->is_early = false;
		replica_idle(r);
		join(x);
	} else if (w.now >= x->early_until) {
		end_watch(x);
	} else {
		x->wake_at = x->early_until;
	}
}

static void begin_watch(struct watcher *x)
{
	x->start = x->since;
	t->resumed_within += x->since != x->end;
	if (bad == BAD_RESUME_LATE && x->since)
		x->start++;
	if (bad == BAD_RESUME_EARLY && x->since)
		x->start--;
	x->complete_to = x->bookmark = 0;
	x->is_ending = x->is_stalled = false;
	x->is_early = true;
	x->early_until = w.now + EARLY_US;
	x->wake_at = w.now;
}

/* It reads all at once, and watches from there. */
static void list_now(struct watcher *x, struct server *s, struct kv_txn *txn)
{
	const struct outlook *look = record_at(s->at.index);
	struct head head;
	struct err err;

	must(view_head(txn, &head, &err) == OK);
	t->lists++;
	tell("watcher %u lists at server %llu: revision %llu", x->cls, ULL(s->id),
	     ULL(head.rev));
	forget_changes(x);
	for (size_t i = 0; i < x->n_configs; i++)
		x->configs[i].digest = 0;
	configs_each(txn, x->cls, set_config, x);
	claim(CHECK_LIST, !s->at.index || (head.rev == look->rev &&
	      picture(x) == look->lists[x->cls]), "server %llu: a list at entry "
	      "%llu, revision %llu, is another than elsewhere", ULL(s->id),
	      ULL(s->at.index), ULL(head.rev));
	x->since = x->end = head.rev;
	x->must_list = false;
}

/* By what the leader has; who is removed hears of nothing any more. */
static bool is_member(const struct server *s)
{
	const struct server *leader = world_leader();
	struct node_peer peers[SERVERS];
	size_t n = leader ? node_core_peers(leader->core, peers, SERVERS) : 0;

	while (n && peers[n - 1].id != s->id)
		n--;
	return n > 0;
}

static struct server *choose(const struct watcher *x)
{
	struct server *s = any_server();

	if (s->id == x->last_server && below(2))
		s = any_server();
	if (w.is_calm && !is_member(s))
		return NULL;
	return s->core && !s->is_fatal && s->paused_until <= w.now ? s : NULL;
}

/* As watcher_start of api/watcher.c. */
static void start_watch(struct watcher *x)
{
	struct server *s = choose(x);
	struct replica *r;
	struct kv_txn *txn;
	struct err err;
	bool is_gone, must_be;

	x->connect_at = w.now + below(30 * MS);
	txn = s ? replica_read(replica_of(s), 0, &err) : NULL;
	if (!txn)
		return;
	r = replica_of(s);
	if (s->id != x->last_server)
		t->moves++;
	x->last_server = s->id;
	if (x->must_list)
		list_now(x, s, txn);
	is_gone = feed_check(txn, x->since, &err) != OK;
	if (bad == BAD_410 && below(5) == 0)
		is_gone = true;
	if (bad == BAD_SILENT_410)
		is_gone = false;
	must_be = x->since < record_at(s->at.index)->compacted;
	claim(CHECK_GONE, is_gone == must_be, "server %llu: to go on behind %llu is "
	      "%srefused, and %llu are compacted", ULL(s->id), ULL(x->since),
	      is_gone ? "" : "not ", ULL(record_at(s->at.index)->compacted));
	replica_idle(r);
	if (is_gone) {
		x->must_list = true;
		t->gone++;
		return;
	}
	x->s = s;
	x->led = server_leads(s);
	x->generation = state_generation(r->state);
	tell("watcher %u goes on at server %llu behind %llu", x->cls, ULL(s->id),
	     ULL(x->since));
	begin_watch(x);
}

/* ---- lists that take their time ---- */

static void begin_slow(struct slow *l)
{
	struct server *s = any_server();
	struct replica *r = replica_of(s);
	struct kv *kv = s->core && r->state ? state_kv(r->state) : NULL;

	if (!kv)
		return;
	must(kv_read(kv, &l->txn, NULL) == OK);
	kv_close(&kv);
	l->s = s;
	l->index = s->at.index;
	l->until = w.now + below(300 * MS);
}

static void end_slow(struct slow *l)
{
	unsigned cls = (unsigned)below(CLASSES);

	t->slow_lists++;
	claim(CHECK_LIST, !l->index || configs_digest(l->txn, cls) ==
	      record_at(l->index)->lists[cls], "server %llu: a list that began at "
	      "entry %llu is another in the end", ULL(l->s->id), ULL(l->index));
	kv_end(&l->txn);
	l->s = NULL;
}

/* ---- what befalls a server ---- */

void watchers_crash(const struct server *s)
{
	for (unsigned i = 0; i < WATCHERS; i++)
		if (watchers[i].s == s)
			break_off(&watchers[i]);
	post_of(s)->wake_at = 0;
	for (unsigned i = 0; i < LISTS; i++) {
		if (slows[i].s != s)
			continue;
		kv_end(&slows[i].txn);
		slows[i].s = NULL;
	}
}

void watchers_wake(const struct server *s)
{
	if (bad == BAD_STUCK)
		return;
	wake_post(post_of(s), w.now + below(4 * MS));
	for (unsigned i = 0; i < WATCHERS; i++) {
		struct watcher *x = &watchers[i];
		uint64_t at = w.now + below(4 * MS);

		if (x->s == s && x->is_early)
			x->wake_at = x->wake_at ? MIN(x->wake_at, at) : at;
	}
}

void watchers_hurry(struct server *s)
{
	for (unsigned i = 0; i < WATCHERS; i++)
		t->fed_over_installs += watchers[i].s == s;
	if (post_of(s)->wake_at && below(2))
		run_post(s);
}

/* Its server does not lead any more, or has another state. */
static bool is_shaken(struct watcher *x)
{
	uint64_t generation = state_generation(replica_of(x->s)->state);
	bool leads = server_leads(x->s);
	bool is_shaken = (x->led && !leads) || generation != x->generation;

	x->led = leads;
	x->generation = generation;
	return is_shaken;
}

static bool moves(struct watcher *x)
{
	if (w.is_calm)
		return w.now >= x->move_at && world_leader() && !is_member(x->s);
	return w.now >= x->move_at || (is_shaken(x) && below(2));
}

static void step_one(struct watcher *x)
{
	if (!x->s) {
		if (w.now >= x->connect_at)
			start_watch(x);
		return;
	}
	if (moves(x)) {
		x->move_at = w.now + below(3000 * MS);
		break_off(x);
		return;
	}
	claim(CHECK_ENDS, x->wake_at || x->is_ending || x->is_stalled ||
	      post_of(x->s)->wake_at || hub_position(&x->feed) >=
	      state_head(replica_of(x->s)->state)->rev, "watcher %u stands at %llu, "
	      "server %llu shows more, and does not wake it", x->cls,
	      ULL(hub_position(&x->feed)), ULL(x->s->id));
	if (x->wire.n && w.now >= x->wire_due)
		deliver(x);
	if (x->s)
		drain(x);
	if (x->s && x->is_early && x->wake_at && w.now >= x->wake_at &&
	    x->s->paused_until <= w.now)
		begin_now(x);
}

void watchers_step(void)
{
	for (unsigned i = 0; i < WATCHERS && !w.is_broken; i++)
		step_one(&watchers[i]);
	for (unsigned i = 0; i < SERVERS && !w.is_broken; i++) {
		struct server *s = &w.servers[i];

		if (posts[i].wake_at && w.now >= posts[i].wake_at &&
		    s->paused_until <= w.now)
			run_post(s);
	}
	for (unsigned i = 0; i < LISTS; i++) {
		if (slows[i].s && w.now >= slows[i].until)
			end_slow(&slows[i]);
		else if (!slows[i].s && !w.is_calm && below(300) == 0)
			begin_slow(&slows[i]);
	}
}

bool watchers_are_done(void)
{
	for (unsigned i = 0; i < WATCHERS; i++) {
		const struct watcher *x = &watchers[i];

		if (!x->s || x->must_list || x->is_ending || x->wire.n ||
		    record_next(x->cls, x->since))
			return false;
	}
	return true;
}
