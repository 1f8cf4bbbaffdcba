/*
 * The hub: see hub.h.
 *
 * A pass has one batch at a time: events that somebody aboard follows, copied, so
 * that no transaction is held while it is told, and matches (whom does it concern)
 * chained by follower.  Followers with matches are `due`; when none is any more the
 * next batch is read.  Functions of followers run only from deliver_*, and
 * may remove anybody: lists are taken from their front, and `running` tells
 * whether the one that was called is still there.
 */
#include "state/hub.h"

#include "base/map.h"
#include "base/mem.h"

#include "base/banned.h"

#define EVENTS_A_BATCH 512u
#define ROWS_A_BATCH 1024u
#define MATCHES_A_BATCH 65536u
#define STEPS_A_LOOK 16u             /* between two questions of the time */

enum { HEAD, TAIL, PASSES };

/* What somebody follows. */
struct topic {
	struct list subs[PASSES];        /* of those aboard */
	unsigned refs;
	bool is_prefix;
	size_t n;
	char text[];
};

struct topic_sub {
	struct list at_;
	struct feed *f;
	struct topic *topic;
};

struct batch_event {
	struct feed_event e;
	uint64_t cmd, memo;
	/* What somebody without labels and name is told of it: most are that. */
	bool is_picked, is_change;
	struct feed_change change;
};

struct match {
	uint32_t event, next;            /* next: of the same follower, + 1 */
};

struct pass {
	unsigned which;
	uint64_t cursor;                 /* all up to here was looked at */
	uint64_t complete;               /* the last end of a command in that; 0: none known */
	uint64_t cmd;                    /* grows with each of these */
	size_t n;                        /* aboard */
	struct list aboard, holding, due;
	struct arena *arena;             /* of the batch */
	struct batch_event *events;
	size_t n_events, cap_events;
	struct match *matches;
	size_t n_matches, cap_matches;
};

/* A change of which it is not known whether its command goes on. */
struct held {
	struct feed_change c;
	uint64_t cmd;
	char text[];
};

struct hub {
	struct pass pass[PASSES];
	struct map *keys, *prefixes;     /* text to struct topic */
	unsigned n_of_length[FEED_KEY_MAX + 1];
	unsigned lengths[FEED_KEY_MAX + 1], n_lengths;   /* of prefixes, ascending */
	struct list waiting, stalled, gone;
	struct err gone_err;
	struct feed *running;            /* whose function runs */
	size_t n, n_places;
	uint64_t memo, rows;
	unsigned events_max, steps, turn;
};

struct hub *hub_new(void)
{
	struct hub *hub = NEW(struct hub);

	for (unsigned i = 0; i < PASSES; i++) {
		struct pass *p = &hub->pass[i];

		p->which = i;
		list_init(&p->aboard);
		list_init(&p->holding);
		list_init(&p->due);
		p->arena = arena_new(0);
	}
	hub->keys = map_new();
	hub->prefixes = map_new();
	list_init(&hub->waiting);
	list_init(&hub->stalled);
	list_init(&hub->gone);
	hub->events_max = EVENTS_A_BATCH;
	return hub;
}

static void forget(struct list *feeds)
{
	while (!list_empty(feeds))
		hub_remove(container_of(feeds->next, struct feed, at_));
}

void hub_free(struct hub **hp)
{
	struct hub *hub = *hp;

	if (!hub)
		return;
	for (unsigned i = 0; i < PASSES; i++) {
		struct pass *p = &hub->pass[i];

		forget(&p->aboard);
		forget(&p->holding);
		forget(&p->due);
		arena_free(&p->arena);
		free(p->events);
		free(p->matches);
	}
	forget(&hub->waiting);
	forget(&hub->stalled);
	forget(&hub->gone);
	must(hub->n == 0);
	map_free(&hub->keys);
	map_free(&hub->prefixes);
	free(hub);
	*hp = NULL;
}

void hub_set_batch(struct hub *hub, unsigned events)
{
	hub->events_max = events ? events : EVENTS_A_BATCH;
}

size_t hub_count(const struct hub *hub)
{
	return hub->n;
}

size_t hub_places(const struct hub *hub)
{
	return hub->n_places;
}

size_t hub_behind(const struct hub *hub)
{
	return hub->n - hub->pass[HEAD].n;
}

uint64_t hub_rows(const struct hub *hub)
{
	return hub->rows;
}

/* ---- topics ---- */

static void count_length(struct hub *hub, size_t n, int delta)
{
	hub->n_of_length[n] += (unsigned)delta;
	if (hub->n_of_length[n] > 1 || (hub->n_of_length[n] == 1 && delta < 0))
		return;
	hub->n_lengths = 0;
	for (unsigned i = 0; i <= FEED_KEY_MAX; i++)
		if (hub->n_of_length[i])
			hub->lengths[hub->n_lengths++] = i;
}

static struct topic *topic_ref(struct hub *hub, struct str text, bool is_prefix)
{
	struct map *map = is_prefix ? hub->prefixes : hub->keys;
	struct topic *t = map_get(map, text);

	if (!t) {
		t = mem_zero(sizeof(*t) + text.n);
		for (unsigned i = 0; i < PASSES; i++)
			list_init(&t->subs[i]);
		t->is_prefix = is_prefix;
		t->n = text.n;
		memcpy(t->text, text.p, text.n);
		map_put(map, text, t);
		if (is_prefix)
			count_length(hub, t->n, 1);
	}
	t->refs++;
	return t;
}

static void topic_unref(struct hub *hub, struct topic *t)
{
	if (--t->refs)
		return;
	map_del(t->is_prefix ? hub->prefixes : hub->keys, str_n(t->text, t->n));
	if (t->is_prefix)
		count_length(hub, t->n, -1);
	free(t);
}

/* ---- where a follower is ---- */

static void board(struct pass *p, struct feed *f)
{
	for (size_t i = 0; i < f->n_subs; i++)
		list_append(&f->subs[i].topic->subs[p->which], &f->subs[i].at_);
	list_remove(&f->at_);
	list_append(&p->aboard, &f->at_);
	f->pass = p;
	f->state = FEED_ABOARD;
	f->first = f->last = 0;
	f->is_due = false;
	p->n++;
}

/* Into no list. */
static void leave(struct feed *f, enum feed_state state)
{
	if (f->state == FEED_ABOARD) {
		for (size_t i = 0; i < f->n_subs; i++)
			list_remove(&f->subs[i].at_);
		f->pass->n--;
		f->pass = NULL;
	}
	list_remove(&f->at_);
	free(f->held);
	f->held = NULL;
	f->state = state;
}

/* Nobody is aboard: it may stand anywhere, within a command too. */
static void pass_move(struct pass *p, uint64_t cursor)
{
	must(p->n == 0);
	p->cursor = cursor;
	p->complete = 0;
	p->cmd++;
}

static void place(struct hub *hub, struct feed *f)
{
	struct pass *head = &hub->pass[HEAD], *tail = &hub->pass[TAIL];

	if (head->n == 0 && tail->n == 0 && list_empty(&hub->waiting))
		pass_move(head, f->cursor);
	if (f->cursor >= head->cursor) {
		board(head, f);
	} else if (tail->n && f->cursor >= tail->cursor) {
		board(tail, f);
	} else {
		f->state = FEED_WAITING;
		list_append(&hub->waiting, &f->at_);
	}
}

static size_t client_size(const struct client *client)
{
	const struct labels *labels = &client->labels;
	size_t n = client->id.n + labels->n * sizeof(*labels->l);

	for (size_t i = 0; i < labels->n; i++)
		n += labels->l[i].key.n + labels->l[i].value.n;
	return n;
}

static struct str put_text(char **at, struct str s)
{
	char *p = *at;

	memcpy(p, s.p ? s.p : "", s.n);
	*at += s.n;
	return str_n(p, s.n);
}

/* Subscriptions and who it is, in one block. */
static void make_block(struct feed *f, size_t n_subs, const struct client *client)
{
	const struct labels *labels = &client->labels;
	struct labels *own = &f->client.labels;
	size_t subs = n_subs * sizeof(*f->subs);
	char *at;

	f->block = mem_zero(subs + client_size(client) + 1);
	f->subs = f->block;
	*own = (struct labels){ (struct label *)((char *)f->block + subs),
				labels->n, labels->n };
	at = (char *)(own->l + labels->n);
	for (size_t i = 0; i < labels->n; i++)
		own->l[i] = (struct label){ put_text(&at, labels->l[i].key),
					    put_text(&at, labels->l[i].value) };
	f->client.id = put_text(&at, client->id);
}

static void subscribe(struct feed *f, struct str text, bool is_prefix)
{
	struct topic_sub *s = &f->subs[f->n_subs++];

	list_init(&s->at_);
	s->f = f;
	s->topic = topic_ref(f->hub, text, is_prefix);
}

void hub_add(struct hub *hub, struct feed *f, const struct address *keys,
	     size_t n_keys, const struct str *prefixes, size_t n_prefixes,
	     const struct client *client, uint64_t cursor)
{
	must(!f->hub && f->ops);
	f->hub = hub;
	f->cursor = cursor;
	list_init(&f->at_);
	make_block(f, n_keys + n_prefixes, client);
	for (size_t i = 0; i < n_keys; i++) {
		AUTO_BUF text = BUF_NONE;

		address_text(&text, &keys[i]);
		subscribe(f, buf_view(&text), false);
	}
	/* Nothing is as long as one that is left out here. */
	for (size_t i = 0; i < n_prefixes; i++)
		if (prefixes[i].n <= FEED_KEY_MAX)
			subscribe(f, prefixes[i], true);
	hub->n++;
	hub->n_places += f->n_subs;
	f->state = FEED_STALLED;
	list_append(&hub->stalled, &f->at_);
}

void hub_remove(struct feed *f)
{
	struct hub *hub = f->hub;

	if (!hub)
		return;
	leave(f, FEED_OUT);
	for (size_t i = 0; i < f->n_subs; i++)
		topic_unref(hub, f->subs[i].topic);
	hub->n_places -= f->n_subs;
	free(f->block);
	f->block = NULL;
	f->subs = NULL;
	f->n_subs = 0;
	f->client = (struct client){ 0 };
	f->hub = NULL;
	hub->n--;
	if (hub->running == f)
		hub->running = NULL;
}

void hub_resume(struct feed *f)
{
	if (f->state != FEED_STALLED)
		return;
	list_remove(&f->at_);
	place(f->hub, f);
}

bool hub_is_idle(const struct feed *f)
{
	return f->state == FEED_ABOARD && f->pass->which == HEAD && !f->is_due &&
	       !f->held;
}

uint64_t hub_position(const struct feed *f)
{
	if (f->state != FEED_ABOARD || f->is_due || f->held)
		return f->cursor;
	return MAX(f->pass->complete, f->cursor);
}

/* ---- reading ---- */

static const struct feed_event *keep_event(struct hub *hub, struct pass *p,
					   const struct feed_event *e)
{
	struct batch_event *to;
	struct feed_event *own;

	mem_grow((void **)&p->events, &p->cap_events, p->n_events + 1,
		 sizeof(*p->events));
	to = &p->events[p->n_events++];
	*to = (struct batch_event){ .e = *e, .cmd = p->cmd, .memo = ++hub->memo };
	own = &to->e;
	own->key = arena_str(p->arena, e->key);
	own->name = arena_str(p->arena, e->name);
	own->format = arena_str(p->arena, e->format);
	own->rules = arena_str(p->arena, e->rules);
	own->was_format = arena_str(p->arena, e->was_format);
	own->was_rules = arena_str(p->arena, e->was_rules);
	own->at.tenant = str_first(own->key, e->at.tenant.n);
	own->at.application = str_first(str_from(own->key, e->at.tenant.n + 1),
					e->at.application.n);
	own->at.environment = str_first(
		str_from(own->key, e->at.tenant.n + e->at.application.n + 2),
		e->at.environment.n);
	own->at.name = str_from(own->key, own->key.n - e->at.name.n);
	return own;
}

/*
 * Of thousands that follow one key each is somewhere else in memory, and to wait for that
 * is most of what telling one takes.  So the one behind the next is brought near while
 * the next is told: a feed with what its owner has behind it.
 */
#define LINE_BYTES 64u
#define NEAR_BYTES 320u

static void bring_near(const void *p, size_t n)
{
	for (size_t at = 0; at < n; at += LINE_BYTES)
		__builtin_prefetch((const char *)p + at, 1);
}

/* Of the one behind 'at', which is here; and where the one behind that is. */
static void sub_bring_near(const struct list *at, const struct list *subs)
{
	const struct list *next = at->next;

	if (next == subs)
		return;
	bring_near(container_of(next, const struct topic_sub, at_)->f,
		   offsetof(struct feed, subs));
	__builtin_prefetch(next->next, 1);
}

static void feed_bring_near(const struct pass *p, const struct feed *f)
{
	const struct list *next = f->at_.next;
	const struct feed *n = container_of(next, const struct feed, at_);

	if (next == &p->due)
		return;
	if (n->ops->soon)
		n->ops->soon(n);
	if (n->at_.next != &p->due)
		bring_near(container_of(n->at_.next, const struct feed, at_), NEAR_BYTES);
}

/* '*kept': is the event in the batch already? */
static void match_topic(struct hub *hub, struct pass *p, const struct topic *t,
			const struct feed_event *e, bool *kept)
{
	const struct list *subs = &t->subs[p->which];

	for (const struct list *at = subs->next; at != subs; at = at->next) {
		struct feed *f = container_of(at, struct topic_sub, at_)->f;
		struct match *m;

		sub_bring_near(at, subs);
		if (e->rev <= f->cursor ||
		    (*kept && f->last &&
		     p->matches[f->last - 1].event == p->n_events - 1))
			continue;
		if (!*kept)
			keep_event(hub, p, e);
		*kept = true;
		mem_grow((void **)&p->matches, &p->cap_matches, p->n_matches + 1,
			 sizeof(*p->matches));
		m = &p->matches[p->n_matches++];
		*m = (struct match){ (uint32_t)(p->n_events - 1), 0 };
		if (f->last)
			p->matches[f->last - 1].next = (uint32_t)p->n_matches;
		else
			f->first = (uint32_t)p->n_matches;
		f->last = (uint32_t)p->n_matches;
		if (!f->is_due) {
			list_remove(&f->at_);
			list_append(&p->due, &f->at_);
			f->is_due = true;
		}
	}
}

static void match_event(struct hub *hub, struct pass *p,
			const struct feed_event *e)
{
	const struct topic *t = map_get(hub->keys, e->key);
	bool kept = false;

	if (t)
		match_topic(hub, p, t, e, &kept);
	for (unsigned i = 0; i < hub->n_lengths && hub->lengths[i] <= e->key.n;
	     i++) {
		t = map_get(hub->prefixes, str_first(e->key, hub->lengths[i]));
		if (t)
			match_topic(hub, p, t, e, &kept);
	}
}

/* Those that hold something back know now that it was the last. */
static void release_holding(struct pass *p)
{
	while (!list_empty(&p->holding)) {
		struct feed *f = container_of(p->holding.next, struct feed, at_);

		list_remove(&f->at_);
		list_append(&p->due, &f->at_);
		f->is_due = true;
	}
}

struct reading {
	struct hub *hub;
	struct pass *p;
	uint64_t upto;
	unsigned rows;
	bool is_cut;                     /* there is more */
};

static bool read_one(void *data, uint64_t rev, const struct event_row *row)
{
	struct reading *x = data;
	struct pass *p = x->p;
	struct feed_event e;
	char text[FEED_KEY_MAX];

	if (rev > x->upto || p->n_events >= x->hub->events_max ||
	    p->n_matches >= MATCHES_A_BATCH || x->rows >= ROWS_A_BATCH) {
		x->is_cut = true;
		return false;
	}
	x->rows++;
	x->hub->rows++;
	p->cursor = rev;
	if (feed_event_read(&e, text, rev, row))
		match_event(x->hub, p, &e);
	if (row->end) {
		p->complete = rev;
		p->cmd++;
		release_holding(p);
	}
	return true;
}

static void drop_compacted(struct hub *hub, struct list *feeds, uint64_t compacted)
{
	struct feed *f;

	list_each(feeds, f, at_) {
		if (f->cursor >= compacted)
			continue;
		leave(f, FEED_GONE);
		list_append(&hub->gone, &f->at_);
	}
}

/* What came behind the pass is compacted in part. */
static void pass_gone(struct hub *hub, struct pass *p, uint64_t compacted)
{
	err_set(&hub->gone_err, E_GONE, "revision %llu is compacted; %llu is the "
		"oldest to resume from", (unsigned long long)p->cursor,
		(unsigned long long)compacted);
	err_hint(&hub->gone_err, FEED_GONE_HINT);
	drop_compacted(hub, &p->aboard, compacted);
	drop_compacted(hub, &p->holding, compacted);
	p->cursor = p->complete = compacted;
	p->cmd++;
	release_holding(p);
}

/* Up to 'upto', or to the end of a batch. */
static enum code read_batch(struct hub *hub, struct pass *p, struct kv_txn *txn,
			    uint64_t upto, struct err *err)
{
	struct reading x = { .hub = hub, .p = p, .upto = upto };
	struct head head;
	enum code rc;

	arena_reset(p->arena);
	p->n_events = p->n_matches = 0;
	rc = view_head(txn, &head, err);
	if (rc)
		return rc;
	if (p->cursor < head.compacted_rev) {
		pass_gone(hub, p, head.compacted_rev);
		return OK;
	}
	rc = view_events(txn, p->cursor, read_one, &x, err);
	if (rc == OK && !x.is_cut)
		p->cursor = MAX(p->cursor, upto);
	return rc;
}

/* ---- telling ---- */

enum told { TOLD, TOLD_ENOUGH, TOLD_REMOVED };

static enum told tell(struct hub *hub, struct feed *f, struct feed_change *c,
		      bool end)
{
	bool more;

	c->end = end;
	f->cursor = c->rev;
	more = f->ops->change(f, c);
	if (hub->running != f)
		return TOLD_REMOVED;
	return more ? TOLD : TOLD_ENOUGH;
}

static struct str hold_text(char **at, struct str s)
{
	return s.n ? put_text(at, s) : STR_NONE;
}

static void hold(struct pass *p, struct feed *f, const struct feed_change *c,
		 uint64_t cmd)
{
	struct held *h = mem_alloc(sizeof(*h) + c->key.n + c->format.n);
	char *at = h->text;

	h->c = *c;
	h->cmd = cmd;
	h->c.key = hold_text(&at, c->key);
	h->c.format = hold_text(&at, c->format);
	h->c.at.tenant.p = h->c.key.p + (c->at.tenant.p - c->key.p);
	h->c.at.application.p = h->c.key.p + (c->at.application.p - c->key.p);
	h->c.at.environment.p = h->c.key.p + (c->at.environment.p - c->key.p);
	h->c.at.name.p = h->c.key.p + (c->at.name.p - c->key.p);
	f->held = h;
	list_remove(&f->at_);
	list_append(&p->holding, &f->at_);
}

/* What a follower is told of a batch. */
struct telling {
	struct hub *hub;
	struct pass *p;
	struct feed *f;
	struct feed_change c;            /* not told yet */
	uint64_t cmd;
	bool has;
	unsigned n;
};

static enum told tell_one(struct telling *x, bool end)
{
	x->has = false;
	x->n++;
	return tell(x->hub, x->f, &x->c, end);
}

/* As feed_pick. */
static bool pick(struct feed_change *out, struct batch_event *e,
		 const struct client *client)
{
	if (client->labels.n || client->id.n)
		return feed_pick(out, &e->e, client);
	if (!e->is_picked)
		e->is_change = feed_pick(&e->change, &e->e, client);
	e->is_picked = true;
	*out = e->change;
	return e->is_change;
}

static enum told tell_matches(struct telling *x, uint32_t at, struct kv_txn *txn)
{
	struct feed *f = x->f;
	enum told told = TOLD;

	for (; at && told == TOLD; at = x->p->matches[at - 1].next) {
		struct batch_event *e = &x->p->events[x->p->matches[at - 1].event];
		struct feed_change next;

		if (!pick(&next, e, &f->client))
			continue;
		if (f->ops->may && !f->ops->may(f, txn, &e->e)) {
			if (x->hub->running != f)
				return TOLD_REMOVED;
			continue;
		}
		next.memo = e->memo;
		if (x->has)
			told = tell_one(x, x->cmd != e->cmd);
		if (told != TOLD)
			break;
		x->c = next;
		x->cmd = e->cmd;
		x->has = true;
	}
	return told;
}

static void deliver(struct hub *hub, struct pass *p, struct feed *f,
		    struct kv_txn *txn)
{
	struct telling x = { .hub = hub, .p = p, .f = f };
	struct held *held = f->held;
	uint32_t first = f->first;
	enum told told;

	feed_bring_near(p, f);
	list_remove(&f->at_);
	list_append(&p->aboard, &f->at_);
	f->is_due = false;
	f->first = f->last = 0;
	f->held = NULL;
	if (held) {
		x.c = held->c;
		x.cmd = held->cmd;
		x.has = true;
	}
	hub->running = f;
	told = tell_matches(&x, first, txn);
	if (told == TOLD && x.has && x.cmd < p->cmd)
		told = tell_one(&x, true);
	if (told == TOLD && x.has)
		hold(p, f, &x.c, x.cmd);
	if (told == TOLD_ENOUGH) {
		leave(f, FEED_STALLED);
		list_append(&hub->stalled, &f->at_);
	}
	if (told != TOLD_REMOVED && x.n && f->ops->flush)
		f->ops->flush(f);
	hub->running = NULL;
	free(held);
}

static void deliver_gone(struct hub *hub)
{
	struct feed *f = container_of(hub->gone.next, struct feed, at_);
	struct err err = hub->gone_err;

	hub_remove(f);
	f->ops->gone(f, &err);
}

/* ---- passes ---- */

struct run {
	struct hub *hub;
	struct kv_txn *txn;
	uint64_t rev;                    /* that it shows */
	bool (*is_late)(void *data);
	void *data;
	struct err *err;
	bool is_over;                    /* it was long enough */
};

static bool look(struct run *r)
{
	r->is_over = r->is_over || (r->is_late && r->is_late(r->data));
	return r->is_over;
}

static bool is_over(struct run *r)
{
	return r->is_over || (++r->hub->steps % STEPS_A_LOOK == 0 && look(r));
}

static void take_waiting(struct hub *hub)
{
	struct pass *tail = &hub->pass[TAIL];
	uint64_t least = UINT64_MAX;
	struct feed *f;

	if (tail->n || list_empty(&hub->waiting))
		return;
	list_each(&hub->waiting, f, at_)
		least = MIN(least, f->cursor);
	pass_move(tail, least);
	list_each(&hub->waiting, f, at_)
		board(tail, f);
}

/* Where both stand at one place, and all was told. */
static void join_head(struct hub *hub)
{
	struct pass *tail = &hub->pass[TAIL], *head = &hub->pass[HEAD];
	struct list *lists[] = { &tail->aboard, &tail->holding };

	head->complete = MAX(head->complete, tail->complete);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		while (!list_empty(lists[i])) {
			struct feed *f = container_of(lists[i]->next, struct feed,
						      at_);
			struct held *held = f->held;

			f->held = NULL;
			leave(f, FEED_WAITING);
			board(head, f);
			if (!held)
				continue;
			f->held = held;
			held->cmd = head->cmd;
			list_remove(&f->at_);
			list_append(&head->holding, &f->at_);
		}
	}
}

static enum code run_pass(struct run *r, struct pass *p)
{
	struct pass *head = &r->hub->pass[HEAD];
	enum code rc = OK;

	while (rc == OK && !is_over(r)) {
		uint64_t upto = p == head ? r->rev : MIN(head->cursor, r->rev);

		if (!list_empty(&p->due)) {
			deliver(r->hub, p, container_of(p->due.next, struct feed,
							at_), r->txn);
			continue;
		}
		if (p != head)
			take_waiting(r->hub);
		if (p->n == 0)
			break;
		if (p != head && p->cursor == head->cursor)
			join_head(r->hub);
		else if (p->cursor >= upto)
			break;
		else
			rc = read_batch(r->hub, p, r->txn, upto, r->err);
		look(r);
	}
	return rc;
}

/* Also for those that came while others were told. */
static bool has_more(const struct run *r)
{
	const struct pass *head = &r->hub->pass[HEAD], *tail = &r->hub->pass[TAIL];
	uint64_t upto = MIN(head->cursor, r->rev);

	return !list_empty(&r->hub->gone) || !list_empty(&head->due) ||
	       !list_empty(&tail->due) || (head->n && head->cursor < r->rev) ||
	       (tail->n ? tail->cursor < upto || tail->cursor == head->cursor :
			  !list_empty(&r->hub->waiting));
}

enum code hub_run(struct hub *hub, struct kv_txn *txn,
		  bool (*is_late)(void *data), void *data, bool *more,
		  struct err *err)
{
	struct run r = { .hub = hub, .txn = txn, .is_late = is_late, .data = data,
			 .err = err };
	struct head head;
	enum code rc = view_head(txn, &head, err);

	*more = false;
	if (rc)
		return rc;
	r.rev = head.rev;
	/* Who begins has the time that there is; so they take turns. */
	hub->turn ^= 1;
	rc = run_pass(&r, &hub->pass[hub->turn]);
	if (rc == OK)
		rc = run_pass(&r, &hub->pass[hub->turn ^ 1]);
	while (rc == OK && !list_empty(&hub->gone) && !is_over(&r))
		deliver_gone(hub);
	*more = rc == OK && has_more(&r);
	return rc;
}
