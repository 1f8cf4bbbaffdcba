/*
 * Watches of objects as Kubernetes has them: a list with ?watch=true, answered by one
 * JSON object a line (ADDED, MODIFIED, DELETED, BOOKMARK, ERROR) for as long as the
 * client stays.
 *
 * A watch is a position in the store's events and what it selects; it has no queue.
 * The watches of a loop are carried on together: one pass reads each event from where
 * the one furthest behind stands, for at most RUN_MS, and goes on by a message.  A
 * client that does not read is passed over until its socket has drained.  What watches
 * of configurations are told (watcher.h) depends on who asks; this does not, so there is
 * nothing to share between the two but who may (watch_owner.h).
 *
 * Who has nothing yet is told all that there is first, by name, in slices from whatever
 * picture is there when it reads on.  Up to the last name told it is where its cursor is,
 * as any other watch; what happens to a name behind that it hears of when it comes there.
 * So a slice keeps no picture, and a list may take as long as its client does.
 *
 * All on the thread of the loop.
 */
#include "api/kube.h"
#include "api/watch_owner.h"

#include "base/clock.h"
#include "base/mem.h"
#include "io/timer.h"
#include "state/feed.h"

#include "base/banned.h"

#define RUN_MS 8
/* Unsent bytes of a client that does not read. */
#define PENDING_MAX (64 * 1024)
#define HEARTBEAT_MS 30000u
/* Of a client that names no end: it comes back with the revision that it has. */
#define MOST_S 3600u

struct kube_watches {
	struct api_loop *at;
	struct list open;
	struct list due;                 /* that have something to write */
	struct list lists;               /* that were not told of all there is */
	struct watch_owners *owners;
	struct msg more;
	bool has_more, is_draining;
	uint64_t token_changes;          /* that were looked at */
};

struct kube_watch {
	struct list at_, due_, list_;
	struct kube_watches *all;
	struct request *r;               /* its data is this */
	struct arena *arena;
	const struct kind *kind;
	struct str tenant;               /* empty: all */
	struct kube_select select;
	struct watch_owner *owner;
	bool table, whole, bookmarks, says_end, is_listing, is_stalled;
	struct buf after;                /* while it lists: up to whom it was told */
	size_t after_tenant;             /* so much of that is the tenant */
	uint64_t cursor;                 /* all up to here was looked at */
	uint64_t told;                   /* the client knows */
	uint64_t end_ms;                 /* on the loop's clock */
	struct timer timer;
	struct buf out;
};

/* ---- the end ---- */

static void timer_closed(struct timer *timer)
{
	free(container_of(timer, struct kube_watch, timer));
}

static void let_go(struct kube_watch *w)
{
	list_remove(&w->at_);
	list_remove(&w->due_);
	list_remove(&w->list_);
	crowd_leave(w->all->at->api->watches, str_of(w->owner->who.name));
	watch_owner_put(w->all->owners, &w->owner);
	buf_fini(&w->out);
	buf_fini(&w->after);
	arena_free(&w->arena);
	timer_close(&w->timer, timer_closed);
}

static void on_gone(struct request *r)
{
	let_go(r->data);
}

/* 'err': what the client is told last; NULL: it comes back by itself. */
static void end(struct kube_watch *w, const struct err *err)
{
	struct request *r = w->r;
	AUTO_BUF out = BUF_NONE;

	buf_str(&out, buf_view(&w->out));
	r->on_gone = NULL;
	r->data = NULL;
	let_go(w);
	if (err) {
		buf_z(&out, "{\"type\":\"ERROR\",\"object\":");
		api_status_body(&out, r, err);
		buf_z(&out, "}\n");
	}
	answer_chunk(r, buf_view(&out));
	answer_end(r);
}

static void end_all(struct kube_watches *all, const struct err *err)
{
	while (!list_empty(&all->open))
		end(container_of(all->open.next, struct kube_watch, at_), err);
}

static bool end_fenced(struct kube_watches *all)
{
	struct err err;

	if (!store_is_fenced(all->at->api->config.store))
		return false;
	err_set(&err, E_UNAVAILABLE, "this node is fenced: its state is not that of "
		"the majority");
	end_all(all, &err);
	return true;
}

/* As a read now would be; false: the watch has ended. */
static bool still_may(struct kube_watch *w, struct kv_txn *txn)
{
	struct target target = { .kind = w->kind->id, .tenant = w->tenant };
	struct subject subject = watch_owner_now(txn, w->owner);
	struct err err;

	if (permission_check(&subject, VERB_WATCH, &target, &err) == OK)
		return true;
	/* Nor is told what was gathered meanwhile. */
	buf_reset(&w->out);
	end(w, &err);
	return false;
}

/* ---- what is told ---- */

static void write_event(struct kube_watch *w, const char *type,
			const struct object_view *o, struct str json, struct arena *arena)
{
	struct buf *out = &w->out;

	buf_printf(out, "{\"type\":\"%s\",\"object\":", type);
	if (w->table) {
		kube_table_head(out, w->kind, o->rev);
		kube_table_row(out, arena, o, clock_wall_ms(), w->whole);
		buf_z(out, "]}");
	} else {
		buf_str(out, json);
	}
	buf_z(out, "}\n");
	w->told = o->rev;
}

/* It is written with the others of this turn. */
static void has_more(struct kube_watch *w)
{
	list_remove(&w->due_);
	list_append(&w->all->due, &w->due_);
	if (w->out.n >= PENDING_MAX)
		w->is_stalled = true;
}

static void write_bookmark(struct kube_watch *w, bool ends_list)
{
	buf_printf(&w->out, "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%.*s\","
		   "\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":\"%llu\","
		   "\"creationTimestamp\":null%s}}}\n", STR_ARG(w->kind->name),
		   API_GROUP_VERSION, (unsigned long long)w->cursor,
		   ends_list ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" :
			       "");
	w->told = w->cursor;
}

struct pass {
	struct kube_watches *all;
	struct arena *arena;
	uint64_t until_ns;
	bool is_late;
};

/* The object that 'bytes' are; false: there is none. */
static bool read_object(struct pass *p, const struct event_row *e, struct str bytes,
			uint64_t rev, struct object_view *o, struct buf *json)
{
	arena_reset(p->arena);
	if (bytes.n == 0 || !view_of_event(e, bytes, rev, o))
		return false;
	view_json(json, o);
	return true;
}

/* A selector that begins to match sees the object come, one that stops sees it go.
 * Of fields only those of metadata are watched, which do not change. */
static void tell(struct pass *p, struct kube_watch *w, uint64_t rev,
		 const struct event_row *e)
{
	AUTO_BUF after = BUF_NONE;
	AUTO_BUF before = BUF_NONE;
	struct object_view now, was;
	bool is, has_been;

	is = read_object(p, e, e->after, rev, &now, &after) &&
	     kube_selects(&w->select, p->arena, buf_view(&after));
	if (e->type == EVENT_ADDED)
		has_been = false;
	else if (read_object(p, e, e->before, rev, &was, &before))
		has_been = kube_selects(&w->select, p->arena, buf_view(&before));
	else
		has_been = is;           /* its labels are what they were */
	arena_reset(p->arena);
	if (is)
		write_event(w, has_been ? "MODIFIED" : "ADDED", &now, buf_view(&after),
			    p->arena);
	else if (has_been)
		write_event(w, "DELETED", &was, buf_view(&before), p->arena);
	else
		return;
	has_more(w);
}

/* It will be told of what stands there when its list comes to that. */
static bool is_ahead(const struct kube_watch *w, const struct event_row *e)
{
	struct str after = buf_view(&w->after);
	int order;

	if (!w->is_listing)
		return false;
	order = str_cmp(e->tenant, str_first(after, w->after_tenant));
	if (order == 0)
		order = str_cmp(e->name, str_from(after, w->after_tenant));
	return order > 0;
}

static bool on_event(void *data, uint64_t rev, const struct event_row *e)
{
	struct pass *p = data;
	struct kube_watch *w;

	list_each(&p->all->open, w, at_) {
		if (w->is_stalled || w->cursor >= rev)
			continue;
		w->cursor = rev;
		if (w->kind->id == e->kind &&
		    (w->tenant.n == 0 || str_eq(w->tenant, e->tenant)) &&
		    !is_ahead(w, e))
			tell(p, w, rev, e);
	}
	p->is_late = clock_mono_ns() >= p->until_ns;
	return !p->is_late;
}

/* ---- what there is, for who has nothing yet ---- */

struct slice {
	struct kube_watch *w;
	struct pass *p;
};

static bool list_one(void *data, const struct object_view *o)
{
	struct slice *s = data;
	struct kube_watch *w = s->w;
	struct arena *arena = s->p->arena;
	AUTO_BUF json = BUF_NONE;

	arena_reset(arena);
	view_json(&json, o);
	if (kube_selects(&w->select, arena, buf_view(&json))) {
		arena_reset(arena);
		write_event(w, "ADDED", o, buf_view(&json), arena);
	}
	buf_reset(&w->after);
	buf_str(&w->after, o->tenant);
	buf_str(&w->after, o->name);
	w->after_tenant = o->tenant.n;
	s->p->is_late = clock_mono_ns() >= s->p->until_ns;
	return !s->p->is_late && w->out.n < PENDING_MAX;
}

/* The next that there are in the picture, which is where it is.  False: there are no
 * more, or it has ended. */
static bool list_slice(struct kube_watch *w, struct pass *p, struct kv_txn *txn)
{
	struct slice s = { w, p };
	AUTO_BUF from = BUF_NONE;
	struct str after;
	struct err err;

	/* list_one writes to w->after. */
	buf_str(&from, buf_view(&w->after));
	after = buf_view(&from);
	if (view_list(txn, w->kind->id, w->tenant, str_first(after, w->after_tenant),
		      str_from(after, w->after_tenant), list_one, &s, &err)) {
		end(w, &err);
		return false;
	}
	w->is_listing = p->is_late || w->out.n >= PENDING_MAX;
	if (!w->is_listing) {
		buf_fini(&w->after);
		w->told = w->cursor;
		if (w->says_end)
			write_bookmark(w, true);
	}
	has_more(w);
	return w->is_listing;
}

/* ---- runs ---- */

static void run_again(struct kube_watches *all)
{
	if (all->has_more)
		return;
	all->has_more = true;
	loop_post_sure(all->at->loop, &all->more);
}

static void flush(struct kube_watch *w)
{
	struct kube_watches *all = w->all;

	answer_chunk(w->r, buf_view(&w->out));
	buf_fini(&w->out);
	if (answer_pending(w->r) >= PENDING_MAX) {
		w->is_stalled = true;
	} else if (w->is_stalled) {
		w->is_stalled = false;
		run_again(all);
	}
}

static void flush_all(struct kube_watches *all, struct kv_txn *txn)
{
	while (!list_empty(&all->due)) {
		struct kube_watch *w = container_of(all->due.next, struct kube_watch, due_);

		list_remove(&w->due_);
		if (still_may(w, txn))
			flush(w);
	}
}

/* All are looked at where tokens changed, the quiet ones too. */
static void sweep(struct kube_watches *all, struct kv_txn *txn, uint64_t changes)
{
	struct kube_watch *w;
	struct list rest;

	if (changes == all->token_changes)
		return;
	all->token_changes = changes;
	list_init(&rest);
	while ((w = list_first(&all->open, struct kube_watch, at_))) {
		list_remove(&w->at_);
		list_append(&rest, &w->at_);
		still_may(w, txn);
	}
	while ((w = list_first(&rest, struct kube_watch, at_))) {
		list_remove(&w->at_);
		list_append(&all->open, &w->at_);
	}
}

/* The one furthest behind that reads; NULL: all are where 'rev' is. */
static struct kube_watch *furthest(struct kube_watches *all, uint64_t rev)
{
	struct kube_watch *w, *found = NULL;

	list_each(&all->open, w, at_)
		if (!w->is_stalled && w->cursor < rev &&
		    (!found || w->cursor < found->cursor))
			found = w;
	return found;
}

static void read_events(struct pass *p, struct kv_txn *txn, uint64_t rev)
{
	struct kube_watches *all = p->all;
	struct kube_watch *w;
	struct err err;

	while (!p->is_late && (w = furthest(all, rev))) {
		if (view_events(txn, w->cursor, on_event, p, &err)) {
			end(w, &err);
			continue;
		}
		if (!p->is_late)
			list_each(&all->open, w, at_)
				if (!w->is_stalled)
					w->cursor = MAX(w->cursor, rev);
	}
}

static void move_all(struct list *from, struct list *to)
{
	struct kube_watch *w;

	while ((w = list_first(from, struct kube_watch, list_))) {
		list_remove(&w->list_);
		list_append(to, &w->list_);
	}
}

/* The next of each list in turn, of those who read: what there is at 'rev' for who is
 * there. */
static void read_lists(struct pass *p, struct kv_txn *txn, uint64_t rev)
{
	struct list *lists = &p->all->lists, rest, served;
	struct kube_watch *w;

	list_init(&rest);
	list_init(&served);
	move_all(lists, &rest);
	while ((w = list_first(&rest, struct kube_watch, list_))) {
		list_remove(&w->list_);
		if (p->is_late || w->is_stalled || w->cursor < rev)
			list_append(lists, &w->list_);
		else if (list_slice(w, p, txn))
			list_append(&served, &w->list_);
	}
	/* Whoever had nothing of this turn is first in the next. */
	move_all(&served, lists);
}

static void run(struct kube_watches *all)
{
	struct pass p = { .all = all };
	struct kv_txn *txn;
	struct head head;
	struct err err;
	uint64_t changes;

	if (list_empty(&all->open) || end_fenced(all))
		return;
	/* Before the picture is taken: what changes later wakes once more.  That moves no
	 * revision: a picture that was taken in this turn may be older. */
	changes = store_token_changes(all->at->api->config.store);
	if (changes != all->token_changes)
		view_idle(all->at->view);
	/* Not to be had, as while a checkpoint is installed: a wake-up comes. */
	if (view_use(all->at->view, 0, &txn, &err) || view_head(txn, &head, &err))
		return;
	sweep(all, txn, changes);
	p.until_ns = clock_mono_ns() + RUN_MS * 1000000ull;
	p.arena = arena_new(0);
	read_events(&p, txn, head.rev);
	read_lists(&p, txn, head.rev);
	arena_free(&p.arena);
	if (p.is_late)
		run_again(all);
	flush_all(all, txn);
}

static void on_more(struct msg *msg)
{
	struct kube_watches *all = container_of(msg, struct kube_watches, more);

	all->has_more = false;
	run(all);
}

static void on_drained(struct request *r)
{
	struct kube_watch *w = r->data;

	w->is_stalled = false;
	run_again(w->all);
}

/* With the heartbeat, or where its time or that of its token is over before that. */
static void arm(struct kube_watch *w)
{
	uint64_t now = loop_now_ms(w->all->at->loop), wall = clock_wall_ms();
	uint64_t due = w->all->at->api->config.heartbeat_ms ?: HEARTBEAT_MS;
	uint64_t until = w->owner->subject.until_ms;

	due = MIN(due, w->end_ms > now ? w->end_ms - now : 0);
	if (until)
		due = MIN(due, until > wall ? until - wall : 1);
	timer_start(&w->timer, due);
}

static void on_time(struct timer *timer)
{
	struct kube_watch *w = container_of(timer, struct kube_watch, timer);
	bool is_over = loop_now_ms(w->all->at->loop) >= w->end_ms;
	struct kv_txn *txn;
	struct err err;

	if (end_fenced(w->all))
		return;
	if (view_use(w->all->at->view, 0, &txn, &err) == OK && !still_may(w, txn))
		return;
	if (w->bookmarks && !w->is_listing && !w->is_stalled && w->cursor > w->told)
		write_bookmark(w, false);
	if (is_over) {
		end(w, NULL);
		return;
	}
	arm(w);
	if (w->out.n)
		flush(w);
}

/* ---- life ---- */

static bool query_bool(struct request *r, const char *name)
{
	const struct str *text = request_query(r, name);
	bool yes = false;

	return text && str_bool(*text, &yes) && yes;
}

/* 0 where it is not given; false: answered. */
static bool query_u64(struct request *r, const char *name, uint64_t *out)
{
	const struct str *text = request_query(r, name);

	*out = 0;
	if (!text || text->n == 0 || str_u64(*text, out))
		return true;
	api_fail(r, E_INVALID, "%s \"%.*s\" is no number", name,
		 STR_ARG(str_first(*text, 40)));
	return false;
}

/* The store does not keep what other fields were. */
static bool check_fields(struct request *r, const struct kube_select *s)
{
	for (size_t i = 0; i < s->fields.n; i++) {
		struct str key = s->fields.terms[i].key;

		if (str_is(key, "metadata.name") || str_is(key, "metadata.namespace"))
			continue;
		api_fail(r, E_INVALID, "field label not supported in a watch: %.*s",
			 STR_ARG(key));
		return false;
	}
	return true;
}

static bool enter(struct request *r, struct kube_watches *all, struct watch_owner *owner)
{
	if (all->is_draining)
		api_fail(r, E_UNAVAILABLE, "the node is stopping");
	else if (!crowd_enter(all->at->api->watches, str_of(owner->who.name)))
		api_fail(r, E_RATE, "%s has as many watches at this node as it may",
			 owner->who.name);
	else
		return true;
	return false;
}

static void begin(struct request *r, const struct where *at, struct arena *arena,
		  const struct kube_select *select, uint64_t rev)
{
	struct kube_watches *all = caller_of(r)->at->objects;
	bool says_end = query_bool(r, "sendInitialEvents"), wants_list;
	struct watch_spec spec = { 0 };
	struct watch_owner *owner;
	struct kube_watch *w;
	uint64_t seconds;
	struct kv_txn *txn;
	struct head head;
	struct err err;

	wants_list = rev == 0 || says_end;
	if (!query_u64(r, "timeoutSeconds", &seconds) || !api_view(r, &txn))
		goto failed;
	if (view_head(txn, &head, &err) || (!wants_list && feed_check(txn, rev, &err))) {
		api_error(r, &err);
		goto failed;
	}
	watch_spec_caller(&spec, r);
	owner = watch_owner_get(all->owners, &spec.who);
	if (!enter(r, all, owner)) {
		watch_owner_put(all->owners, &owner);
		goto failed;
	}
	w = NEW(struct kube_watch);
	*w = (struct kube_watch){
		.all = all, .r = r, .arena = arena, .kind = at->kind,
		.tenant = arena_str(arena, at->tenant), .select = *select,
		.owner = owner, .table = kube_wants_table(r), .whole = kube_whole_rows(r),
		.bookmarks = query_bool(r, "allowWatchBookmarks"),
		.says_end = says_end, .is_listing = wants_list,
		.cursor = wants_list ? head.rev : rev,
	};
	seconds = seconds ? MIN(seconds, (uint64_t)MOST_S) : MOST_S;
	w->end_ms = loop_now_ms(r->loop) + seconds * 1000;
	/* For arm: when its token ends. */
	watch_owner_now(txn, owner);
	list_init(&w->due_);
	list_init(&w->list_);
	list_append(&all->open, &w->at_);
	follower_rests(&all->at->follower, false);
	if (wants_list)
		list_append(&all->lists, &w->list_);
	timer_init(&w->timer, r->loop, on_time);
	w->told = w->cursor;
	answer_header(r, "Cache-Control", STR("no-store"));
	r->data = w;
	r->on_gone = on_gone;
	answer_stream(r, 200, "application/json");
	answer_on_drain(r, on_drained);
	request_forget(r);
	arm(w);
	/* What there is, and what comes, with the next turn. */
	run_again(all);
	return;
failed:
	arena_free(&arena);
}

static void start(struct request *r, bool namespaced)
{
	struct arena *arena;
	struct kube_select select = { 0 };
	struct where at;
	uint64_t rev;

	if (!kube_find(r, namespaced, VERB_WATCH, &at) ||
	    !query_u64(r, "resourceVersion", &rev))
		return;
	arena = arena_new(1024);
	if (kube_take_selectors(r, at.kind, arena, &select) && check_fields(r, &select))
		begin(r, &at, arena, &select, rev);
	else
		arena_free(&arena);
}

static void start_namespaced(struct request *r)
{
	start(r, true);
}

static void start_cluster(struct request *r)
{
	start(r, false);
}

/* A revision that another node has told may not be here yet. */
void kube_watch(struct request *r, bool namespaced)
{
	uint64_t rev;

	if (query_u64(r, "resourceVersion", &rev))
		api_when(r, rev, false, namespaced ? start_namespaced : start_cluster);
}

struct kube_watches *kube_watches_new(struct api_loop *at)
{
	struct kube_watches *all = NEW(struct kube_watches);

	all->at = at;
	all->owners = watch_owners_new();
	all->more.run = on_more;
	list_init(&all->open);
	list_init(&all->due);
	list_init(&all->lists);
	return all;
}

void kube_watches_wake(struct kube_watches *all)
{
	/* What is posted comes soon, and sees it too. */
	if (!all->has_more)
		run(all);
}

bool kube_watches_any(const struct kube_watches *all)
{
	return !list_empty(&all->open);
}

void kube_watches_drain(struct kube_watches *all)
{
	all->is_draining = true;
	end_all(all, NULL);
}

void kube_watches_free(struct kube_watches **at)
{
	struct kube_watches *all = TAKE(*at);

	if (!all)
		return;
	watch_owners_free(&all->owners);
	free(all);
}
