/*
 * Who follows.  A watcher has a connection to one server: there a feed
 * (state/feed.h) over the views of that server, as api/watch.c has it; the bytes
 * travel in pieces of any size, and what is on its way is lost with the
 * connection.  The client takes them apart as the client's library does
 * (client/sse.h), sets a command's changes at once, and goes on at another server
 * with the newest revision that it has.  Where that is compacted it lists.
 *
 * Lists take their time: the picture that one began with is held meanwhile.
 */
#include "replica.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "client/sse.h"
#include "doc/format.h"
#include "state/feed.h"
#include "state/state.h"

#include "base/banned.h"

#define MS 1000ull
#define WATCHERS 4
#define LISTS 2
#define EARLY_US (2000 * MS)
#define CONFIGS_MAX 64
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

struct watcher {
	unsigned cls;

	/* At the server. */
	struct server *s;                /* NULL: not connected */
	struct feed feed;
	struct address key;              /* of the feed, with a prefix */
	struct str prefix;
	struct label label;
	bool is_early, is_ending;
	uint64_t early_until, wake_at;   /* 0: nothing to look for */
	struct buf wire;                 /* told, on its way */
	uint64_t wire_due;
	uint64_t complete_to;            /* all up to there is on the wire */

	/* The client. */
	struct sse sse;
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
static struct slow slows[LISTS];
static struct state_totals *const t = &sum;

void watchers_begin(void)
{
	memset(watchers, 0, sizeof(watchers));
	memset(slows, 0, sizeof(slows));
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

static void end_watch(struct watcher *x)
{
	feed_fini(&x->feed);
	buf_reset(&x->wire);
	sse_fini(&x->sse);
	x->sse = (struct sse){ 0 };
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
	struct str sha;
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
			      config_digest(h->key, h->rev, h->version, h->sha) };
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

static bool hear(void *data, struct str event, struct str id, struct str text)
{
	struct watcher *x = data;
	struct heard h;

	arena_reset(w.arena);
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
	claim(CHECK_END, !x->n_changes || x->feed.cursor != x->complete_to,
	      "watcher %u waits for the end of a command", x->cls);
}

/* So many bytes are there. */
static void arrive(struct watcher *x, size_t n)
{
	AUTO_BUF rest = BUF_NONE;
	struct err err;
	bool enough;

	claim(CHECK_COMPLETE, sse_feed(&x->sse, str_first(buf_view(&x->wire), n),
				       hear, x, &enough, &err) == OK, "%s",
	      err.text);
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

static bool tell_client(void *data, struct str text)
{
	struct watcher *x = data;
	AUTO_BUF bent = BUF_NONE;

	bend_text(x, text, &bent);
	if (!x->wire.n)
		x->wire_due = w.now + below(5 * MS);
	buf_str(&x->wire, buf_view(&bent));
	return below(10) > 0;
}

/* As feed() of api/watch.c. */
static void feed_now(struct watcher *x)
{
	struct replica *r = replica_of(x->s);
	struct kv_txn *txn = replica_read(r, x->is_early ? x->feed.cursor : 0,
					  &(struct err){ 0 });
	struct head head;
	struct err err;
	bool more;

	x->wake_at = 0;
	if (!txn) {
		if (x->is_early && w.now >= x->early_until)
			end_watch(x);
		else if (x->is_early)
			x->wake_at = x->early_until;
		return;
	}
	x->is_early = false;
	must(view_head(txn, &head, &err) == OK);
	if (bad == BAD_SILENT_410 && x->feed.cursor < head.compacted_rev)
		x->feed.cursor = head.compacted_rev;
	if (feed_next(&x->feed, txn, 1 + (unsigned)below(40), tell_client, x,
		      &more, &err)) {
		claim(CHECK_GONE, err.code == E_GONE && x->feed.cursor <
		      head.compacted_rev, "watcher %u ends at %llu: %s", x->cls,
		      ULL(x->feed.cursor), err.text);
		feed_gone(&x->wire, &err);
		x->is_ending = true;
		t->gone_while_fed++;
	} else if (more) {
		x->wake_at = w.now + below(2 * MS);
	} else {
		x->complete_to = head.rev;
	}
	replica_idle(r);
}

static void begin_feed(struct watcher *x)
{
	const struct class *c = &classes[x->cls];
	struct err err;

	x->feed = (struct feed){ .cursor = x->since };
	t->resumed_within += x->since != x->end;
	if (bad == BAD_RESUME_LATE && x->since)
		x->feed.cursor++;
	if (bad == BAD_RESUME_EARLY && x->since)
		x->feed.cursor--;
	x->prefix = str_of(c->prefix);
	x->feed.prefixes = &x->prefix;
	x->feed.n_prefixes = 1;
	if (c->key) {
		must(address_parse(str_of(c->key), &x->key, &err) == OK);
		x->feed.keys = &x->key;
		x->feed.n_keys = 1;
	}
	x->label = (struct label){ STR("zone"), str_of(c->zone) };
	x->feed.labels = (struct labels){ &x->label, c->zone[0] ? 1 : 0, 1 };
	x->complete_to = 0;
	x->is_ending = false;
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

/* As get_watch of api/watch.c. */
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
	x->feed = (struct feed){ .cursor = x->since };
	is_gone = feed_check(&x->feed, txn, &err) != OK;
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
	begin_feed(x);
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
	for (unsigned i = 0; i < LISTS; i++) {
		if (slows[i].s != s)
			continue;
		kv_end(&slows[i].txn);
		slows[i].s = NULL;
	}
}

void watchers_wake(const struct server *s)
{
	for (unsigned i = 0; i < WATCHERS; i++) {
		struct watcher *x = &watchers[i];
		uint64_t at = w.now + below(4 * MS);

		if (x->s == s && !x->is_ending && bad != BAD_STUCK)
			x->wake_at = x->wake_at ? MIN(x->wake_at, at) : at;
	}
}

void watchers_hurry(const struct server *s)
{
	for (unsigned i = 0; i < WATCHERS; i++) {
		if (watchers[i].s != s)
			continue;
		t->fed_over_installs++;
		if (watchers[i].wake_at && !watchers[i].is_ending && below(2))
			feed_now(&watchers[i]);
	}
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
	claim(CHECK_ENDS, x->wake_at || x->is_ending || x->feed.cursor >=
	      state_head(replica_of(x->s)->state)->rev, "watcher %u stands at %llu, "
	      "server %llu shows more, and does not wake it", x->cls,
	      ULL(x->feed.cursor), ULL(x->s->id));
	if (x->wire.n && w.now >= x->wire_due)
		deliver(x);
	if (x->s && x->wake_at && w.now >= x->wake_at && !x->is_ending &&
	    x->s->paused_until <= w.now)
		feed_now(x);
}

void watchers_step(void)
{
	for (unsigned i = 0; i < WATCHERS && !w.is_broken; i++)
		step_one(&watchers[i]);
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
