/*
 * The record: a state to which nothing ever happens is given each entry when it
 * is first applied anywhere, one by one.  What came of it is looked at, and is
 * what every server must come to.  The events that it has are kept here, also
 * those that are compacted: what watchers must be told.
 */
#include "gates.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "state/state.h"

#include "base/banned.h"

#define SCAN 32

const struct class classes[CLASSES] = {
	{ "", NULL, "" },
	{ "t0/", NULL, "" },
	{ "", NULL, "a" },
	{ "t2/a1/", "t1/a0/prod/n0", "b" },
};

static struct outlook looks[INDEX_MAX];
static uint64_t last;                    /* entry that was applied */
static struct told *events;              /* of revision 1 and so on */
static size_t n_events, cap_events;
static struct arena *arena;              /* of a history */
static struct {
	struct outcome o;
	bool is_known;
} *outcomes;                             /* by proposal */
static struct outcome *now;              /* of the entry that is applied */
/* What each class gets at each address, as events have made it. */
static struct {
	struct str key;
	struct given {
		uint64_t digest;
		uint64_t release;        /* whose rule gives it; 0: none that runs */
	} given[CLASSES];
} places[CONFIGS_MAX];
static size_t n_places;

void record_begin(void)
{
	arena = arena_new(64 * 1024);
	outcomes = mem_zero((PROPOSALS_MAX + 1) * sizeof(*outcomes));
	n_events = n_places = 0;
	last = 0;
}

void record_end(void)
{
	memset(looks, 0, (last + 1) * sizeof(*looks));
	free(TAKE(outcomes));
	free(TAKE(events));
	cap_events = 0;
	arena_free(&arena);
}

const struct outlook *record_at(uint64_t index)
{
	return &looks[index];
}

uint64_t record_rev(void)
{
	return n_events;
}

const struct told *record_event(uint64_t rev)
{
	return rev && rev <= n_events ? &events[rev - 1] : NULL;
}

uint64_t record_next(unsigned cls, uint64_t rev)
{
	while (++rev <= n_events)
		if (events[rev - 1].follows & BIT(cls))
			return rev;
	return 0;
}

bool record_is_end(unsigned cls, uint64_t rev)
{
	uint64_t next = record_next(cls, rev);

	return !next || events[next - 1].index != events[rev - 1].index;
}

const struct outcome *record_outcome(uint64_t proposal)
{
	return proposal <= PROPOSALS_MAX && outcomes[proposal].is_known ?
	       &outcomes[proposal].o : NULL;
}

void record_take(uint64_t proposal, const struct outcome *o)
{
	struct outcome *to = &outcomes[proposal].o;

	*to = *o;
	to->results = arena_alloc(arena, (o->n_results + 1) *
					 sizeof(*to->results));
	if (o->n_results)
		memcpy(to->results, o->results,
		       o->n_results * sizeof(*to->results));
	outcomes[proposal].is_known = true;
	now = to;
}

/* ---- lists ---- */

static bool follows(unsigned cls, struct str key)
{
	const struct class *c = &classes[cls];

	return str_starts(key, str_of(c->prefix)) ||
	       (c->key && str_eq(key, str_of(c->key)));
}

static uint64_t mix(uint64_t h, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3ull;
	return (h ^ s.n) * 0x9e3779b97f4a7c15ull;
}

uint64_t config_digest(struct str key, uint64_t version, struct str sha,
		       struct str format)
{
	uint64_t h = mix(0xcbf29ce484222325ull, key);

	if (!version)
		return 0;
	h = mix(h, str_n(&version, sizeof(version)));
	h = mix(h, sha);
	h = mix(h, format);
	return h ^ h >> 29;
}

struct listing {
	unsigned cls;
	config_each *each;
	void *data;
};

static void object_key(struct buf *out, const struct object_view *o)
{
	struct address at = { o->tenant, o->row.application, o->row.environment,
			      o->row.config_name };

	address_text(out, &at);
}

/* What a class gets of it. */
static struct given object_given(unsigned cls, struct str key,
				 const struct object_view *o)
{
	const char *zone = classes[cls].zone;
	struct label label = { STR("zone"), str_of(zone) };
	struct client client = { .labels = { &label, zone[0] ? 1 : 0, 1 } };
	struct rule rule = { 0 };
	AUTO_BUF sha = BUF_NONE;
	unsigned position;

	if (!rules_pick_encoded(o->live.rules, &client, &rule, &position))
		return (struct given){ 0 };
	buf_hex(&sha, rule.sha.b, sizeof(rule.sha.b));
	return (struct given){ config_digest(key, rule.version, buf_view(&sha),
					    o->live.format), rule.release };
}

static bool list_object(void *data, const struct object_view *o)
{
	struct listing *l = data;
	AUTO_BUF key = BUF_NONE;

	object_key(&key, o);
	if (follows(l->cls, buf_view(&key)))
		l->each(l->data, buf_view(&key),
			object_given(l->cls, buf_view(&key), o).digest);
	return true;
}

void configs_each(struct kv_txn *txn, unsigned cls, config_each *each, void *data)
{
	struct listing l = { cls, each, data };
	struct err err;

	claim(CHECK_LIST, view_list(txn, KIND_CONFIG, STR_NONE, STR_NONE, STR_NONE,
				    list_object, &l, &err) == OK, "a list: %s",
	      err.text);
}

static void add_digest(void *data, struct str key, uint64_t digest)
{
	*(uint64_t *)data += digest;
}

uint64_t configs_digest(struct kv_txn *txn, unsigned cls)
{
	uint64_t digest = 0;

	configs_each(txn, cls, add_digest, &digest);
	return digest;
}

/* ---- what became of an entry ---- */

/* Of a command: its events, against what it answers. */
struct looking {
	uint64_t index, next;            /* the revision that comes */
	const struct outcome *o;
	size_t result;                   /* looked at so far */
	bool was_end;
};

/* Each revision is of one operation that changed something, or of a Release or a
 * proposal that came, moved or went with them, and where releases move in steps of
 * their configurations. */
static bool is_of_result(struct looking *l, uint64_t rev,
			 const struct event_row *e)
{
	while (l->result < l->o->n_results &&
	       (!l->o->results[l->result].changed ||
		!l->o->results[l->result].rev))
		l->result++;
	if (l->result < l->o->n_results && l->o->results[l->result].rev == rev) {
		l->result++;
		return true;
	}
	return e->kind == KIND_RELEASE || e->kind == KIND_PROPOSAL ||
	       (e->kind == KIND_CONFIG && gates_have_rolls(e->tenant));
}

static bool shows_rev(const struct event_row *e, uint64_t rev)
{
	struct object_view o;

	if (e->type == EVENT_DELETED)
		return e->before.n > 0;
	return view_of_event(e, e->after, rev, &o) &&
	       MAX(o.row.rev, o.live.rev) == rev;
}

static struct given *place_of(struct str key)
{
	for (size_t i = 0; i < n_places; i++)
		if (str_eq(places[i].key, key))
			return places[i].given;
	must(n_places < CONFIGS_MAX);
	places[n_places].key = key;
	memset(places[n_places].given, 0, sizeof(places[n_places].given));
	return places[n_places++].given;
}

/* Is what a class gets there another than before, or a release's that gives it from here
 * on?  Events of before version 3 are told where any rule has changed. */
static bool is_told(unsigned cls, struct str key, const struct event_row *e,
		    const struct object_view *o)
{
	struct given *was = &place_of(key)[cls], is = { 0 };
	bool differs;

	if (e->type != EVENT_DELETED)
		is = object_given(cls, key, o);
	differs = is.digest != was->digest ||
		  (is.release && is.release != was->release);
	*was = is;
	return differs || (!e->knows_before && e->type == EVENT_MODIFIED &&
			   o->live.rev == o->rev);
}

static void keep_event(uint64_t index, uint64_t rev, const struct event_row *e)
{
	struct told told = { .index = index,
			     .is_deleted = e->type == EVENT_DELETED };
	AUTO_BUF key = BUF_NONE;
	struct object_view o;

	if (e->kind == KIND_CONFIG &&
	    view_of_event(e, told.is_deleted ? e->before : e->after, rev, &o)) {
		object_key(&key, &o);
		told.key = arena_str(arena, buf_view(&key));
		for (unsigned i = 0; i < CLASSES; i++)
			told.follows |= is_told(i, told.key, e, &o) &&
					follows(i, told.key) ? BIT(i) : 0;
	}
	mem_grow((void **)&events, &cap_events, n_events + 1, sizeof(*events));
	events[n_events++] = told;
}

static bool look_at_event(void *data, uint64_t rev, const struct event_row *e)
{
	struct looking *l = data;

	sum.events++;
	claim(CHECK_REVISIONS, rev == l->next, "entry %llu: an event has revision "
	      "%llu, and %llu comes next", ULL(l->index), ULL(rev), ULL(l->next));
	claim(CHECK_REVISIONS, is_of_result(l, rev, e), "entry %llu: revision %llu "
	      "is of no operation", ULL(l->index), ULL(rev));
	claim(CHECK_REVISIONS, shows_rev(e, rev), "entry %llu: what has revision "
	      "%llu does not show it", ULL(l->index), ULL(rev));
	claim(CHECK_END, !l->was_end, "entry %llu has an event behind its end",
	      ULL(l->index));
	l->was_end = e->end;
	l->next = rev + 1;
	/* A gap is told of once. */
	while (n_events + 1 < rev)
		keep_event(l->index, n_events + 1, &(struct event_row){ 0 });
	keep_event(l->index, rev, e);
	return true;
}

static void look_at_events(struct kv_txn *txn, uint64_t index, bool is_tick,
			   const struct outlook *before, const struct head *h,
			   const struct outcome *o)
{
	static const struct outcome none;
	struct looking l = { .index = index, .next = before->rev + 1,
			     .o = o ? o : &none };
	struct err err;

	if (h->rev == before->rev) {
		/* A token has none, and shows at the one there is. */
		claim(CHECK_REVISIONS, !o || o->code || o->replayed || !o->rev ||
		      o->rev == h->rev, "entry %llu answers revision %llu, and took none",
		      ULL(index), ULL(o ? o->rev : 0));
		return;
	}
	claim(CHECK_REVISIONS, o && o->code == OK && !o->replayed,
	      "entry %llu takes revisions %llu to %llu and is refused, or done "
	      "before, or no command", ULL(index), ULL(before->rev + 1),
	      ULL(h->rev));
	claim(CHECK_REVISIONS, view_events(txn, before->rev, look_at_event, &l,
					   &err) == OK, "entry %llu: %s",
	      ULL(index), err.text);
	/* Nobody is told what a tick takes. */
	claim(CHECK_REVISIONS, l.next == h->rev + 1 &&
	      (l.o->rev == h->rev || is_tick),
	      "entry %llu answers revision %llu, its last event has %llu, the state "
	      "%llu", ULL(index), ULL(l.o->rev), ULL(l.next - 1), ULL(h->rev));
	claim(CHECK_END, l.was_end, "entry %llu has no end", ULL(index));
	is_of_result(&l, 0, &(struct event_row){ 0 });
	claim(CHECK_REVISIONS, l.result == l.o->n_results, "entry %llu: operation "
	      "%zu has revision %llu, and there is no such event", ULL(index),
	      l.result, ULL(l.result < l.o->n_results ?
			    l.o->results[l.result].rev : 0));
}

/* No event is kept up to there, each behind it is, and none of one command is
 * without the others. */
static void look_at_compaction(struct kv_txn *txn, const struct head *h)
{
	uint64_t rev = h->compacted_rev;
	struct kv_cursor c;
	bool is_any = kv_seek(txn, KV_EVENTS, STR_NONE, &c);
	struct rd rd = rd_of(is_any ? c.key : STR_NONE);

	claim(CHECK_COMPACTION, is_any ? rd_u64_be(&rd) == rev + 1 : rev == h->rev,
	      "%llu are compacted of %llu, and what is kept begins elsewhere",
	      ULL(rev), ULL(h->rev));
	kv_cursor_close(&c);
	claim(CHECK_COMPACTION, !rev || rev == n_events || events[rev].index !=
	      events[rev - 1].index, "it is compacted up to %llu, within a command",
	      ULL(rev));
}

static uint64_t bytes_of(struct kv_txn *txn)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < KV__TABLES; i++) {
		struct kv_cursor c;

		for (bool on = kv_seek(txn, (enum kv_table)i, STR_NONE, &c); on;
		     on = kv_next(&c))
			if (i != KV_META || !str_is(c.key, "state"))
				n += c.key.n + c.val.n;
		kv_cursor_close(&c);
	}
	return n;
}

static void look_at_bytes(struct kv_txn *txn, const struct head *h)
{
	claim(CHECK_SCAN, bytes_of(txn) == h->bytes, "at entry %llu there are %llu "
	      "bytes, and %llu are counted", ULL(h->index), ULL(bytes_of(txn)),
	      ULL(h->bytes));
}

static void look_at_rows(struct replica *r, struct outlook *look)
{
	struct err err;

	look->has_rows = true;
	claim(CHECK_SCAN, state_scan_digest(r->state, &look->rows, &err) == OK,
	      "%s", err.text);
}

void record_scan(void)
{
	look_at_rows(record_replica(), &looks[last]);
}

static void look(const struct rc_entry *e)
{
	struct replica *r = record_replica();
	const struct outlook *before = &looks[e->index - 1];
	struct outlook *is = &looks[e->index];
	const struct head *h = state_head(r->state);
	struct kv_txn *txn;
	struct err err;

	*is = (struct outlook){ .is_known = true, .rev = h->rev,
				.compacted = h->compacted_rev,
				.time_ms = h->time_ms, .head = head_digest(h) };
	claim(CHECK_EFFECTS, is->time_ms >= before->time_ms && is->compacted >=
	      before->compacted && is->compacted <= is->rev, "entry %llu turns time "
	      "or compaction back", ULL(e->index));
	sum.compactions += is->compacted > before->compacted;
	txn = replica_read(r, 0, &err);
	must(txn);
	look_at_events(txn, e->index, str_starts(e->data, STR("\1\5")), before, h,
		       now);
	gates_look(e, txn, before->rev, now);
	memcpy(is->lists, before->lists, sizeof(is->lists));
	for (unsigned i = 0; i < CLASSES && is->rev > before->rev; i++)
		is->lists[i] = configs_digest(txn, i);
	if (is->compacted > before->compacted)
		look_at_compaction(txn, h);
	if (e->index % SCAN == 0)
		look_at_bytes(txn, h);
	view_idle(r->view);
	if (e->index % SCAN == 0 || replicas_want_rows())
		look_at_rows(r, is);
	trace(is->rev ^ is->compacted << 20);
}

void record_apply(const struct rc_entry *e, size_t n)
{
	struct rc_machine m = replica_machine(record_replica());
	struct err err;

	for (; n; n--, e++) {
		if (e->index <= last)
			continue;
		if (!holds(e->index == last + 1, "entry %llu is applied, and %llu "
			   "nowhere", ULL(e->index), ULL(last + 1)))
			return;
		now = NULL;
		must(rc_machine_apply(&m, e, 1, &err) == OK);
		last = e->index;
		look(e);
		sum.commands += e->is_command;
		sum.refusals += now && now->code;
		sum.replays += now && now->replayed;
		if (now)
			clients_applied(e->id, e->index, now,
					looks[e->index].time_ms,
					state_head(record_replica()->state)->limits.idem_ms);
	}
}
