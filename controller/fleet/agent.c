/* The agent of a node: see agent.h. */
#include "base/mem.h"
#include "fleet/own.h"

#include "base/banned.h"

/* A release that runs. */
struct running {
	uint64_t id, rev;
	uint32_t step;
	bool is_begun;
	bool is_there;                   /* while agent_running_* goes on */
	uint64_t first_ms;               /* when it was first seen here */
	struct fleet_config *configs;
	size_t n;
	bool needs_look;                 /* by the sweep that is under way */
	bool is_evaluated;               /* it is, and to be reported */
	struct list records;             /* struct record */

	/* While one instance is looked at. */
	struct list touched_;
	struct record *record;           /* that there is; or NULL */
	struct fleet_record now;
	uint64_t *said_ms;               /* of each that is applied or refused */
	uint64_t refused_ms;             /* the last word of that; 0: none */
	bool is_touched, picks_anew;
};

/* What was found of an instance in a release. */
struct record {
	struct list of_instance_, of_running_, queue_;
	struct running *running;
	struct instance *instance;
	struct buf body;                 /* record_body */
	uint64_t said_ms;                /* what said_age_ms counts from */
};

struct agent {
	struct fleet *fleet;
	struct agent_host host;
	uint64_t boot, session;
	struct map *running;             /* id, 8 bytes -> struct running */
	uint64_t newest;                 /* that ran, as far as was seen */
	bool others;                     /* there are other releases than before */
	bool reordered;                  /* one has other configurations */
	struct list unsent, flight;      /* of records */
	struct list touched;
	uint64_t sweep;
	bool is_sweeping;
	bool is_first;                   /* the next report starts anew */
	bool in_flight, is_urgent;
	size_t n_evaluated;              /* running ones that are to be reported */
};

static struct str id_key(const uint64_t *id)
{
	return str_n(id, sizeof(*id));
}

/* ---- records ---- */

static void record_drop(struct record *r)
{
	list_remove(&r->of_instance_);
	list_remove(&r->of_running_);
	list_remove(&r->queue_);
	buf_fini(&r->body);
	free(r);
}

static struct record *record_new(struct instance *i, struct running *running)
{
	struct record *r = NEW(struct record);

	r->running = running;
	r->instance = i;
	list_init(&r->queue_);
	list_append(&i->records, &r->of_instance_);
	list_append(&running->records, &r->of_running_);
	return r;
}

static void queue(struct agent *a, struct record *r)
{
	list_remove(&r->queue_);
	list_append(&a->unsent, &r->queue_);
}

/* ---- which releases run ---- */

static void set_evaluated(struct agent *a, struct running *r, bool is)
{
	a->n_evaluated += (size_t)is - (size_t)r->is_evaluated;
	r->is_evaluated = is;
}

static void running_free(struct agent *a, struct running *r)
{
	struct record *record;

	list_each(&r->records, record, of_running_)
		record_drop(record);
	set_evaluated(a, r, false);
	free(r->configs);
	free(r);
}

static bool is_over(const void *data, uint64_t release)
{
	const struct agent *a = data;

	return release <= a->newest && !map_get(a->running, id_key(&release));
}

void agent_running_start(struct agent *a)
{
	void *value;

	for (size_t at = 0; map_next(a->running, &at, NULL, &value);)
		((struct running *)value)->is_there = false;
}

/* In one block, with the texts. */
static void copy_configs(struct running *r, const struct fleet_release *of)
{
	size_t bytes = of->n * (sizeof(*r->configs) + sizeof(*r->said_ms));
	char *text;

	for (size_t i = 0; i < of->n; i++)
		bytes += of->configs[i].key.n;
	r->configs = mem_alloc(bytes + 1);
	r->n = of->n;
	r->said_ms = (uint64_t *)(r->configs + of->n);
	text = (char *)(r->said_ms + of->n);
	for (size_t i = 0; i < of->n; i++) {
		struct str key = of->configs[i].key;

		memcpy(text, key.p, key.n);
		r->configs[i] = (struct fleet_config){ str_n(text, key.n),
						       of->configs[i].version };
		text += key.n;
	}
}

static struct running *running_new(struct agent *a,
				   const struct fleet_release *of,
				   uint64_t now_ms)
{
	struct running *r = NEW(struct running);

	must(of->n <= FLEET_CONFIGS_MAX);
	r->id = of->id;
	r->first_ms = now_ms;
	list_init(&r->records);
	list_init(&r->touched_);
	copy_configs(r, of);
	map_put(a->running, id_key(&r->id), r);
	a->newest = MAX(a->newest, r->id);
	a->others = true;
	return r;
}

static int by_key(const void *a, const void *b)
{
	return str_cmp(((const struct place *)a)->key,
		       ((const struct place *)b)->key);
}

static void index_places(struct agent *a)
{
	struct fleet *fleet = a->fleet;
	void *value;
	size_t n = 0;

	for (size_t at = 0; map_next(a->running, &at, NULL, &value);)
		n += ((struct running *)value)->n;
	free(fleet->places);
	fleet->places = mem_alloc(n * sizeof(struct place) + 1);
	fleet->n_places = 0;
	for (size_t at = 0; map_next(a->running, &at, NULL, &value);) {
		struct running *r = value;

		for (unsigned i = 0; i < r->n; i++)
			if (r->configs[i].key.n)
				fleet->places[fleet->n_places++] = (struct place){
					r->configs[i].key, r, i, r->id };
	}
	qsort(fleet->places, fleet->n_places, sizeof(struct place), by_key);
}

static bool same_configs(const struct running *r, const struct fleet_release *of)
{
	if (r->n != of->n)
		return false;
	for (size_t i = 0; i < of->n; i++)
		if (r->configs[i].version != of->configs[i].version ||
		    !str_eq(r->configs[i].key, of->configs[i].key))
			return false;
	return true;
}

/* Records are of configurations by their place: those there are say something else
 * now, and are made anew of what instances have. */
static void take_other_configs(struct agent *a, struct running *r,
			       const struct fleet_release *of)
{
	struct record *record;

	pthread_mutex_lock(&a->fleet->lock);
	list_each(&r->records, record, of_running_)
		record_drop(record);
	free(r->configs);
	copy_configs(r, of);
	r->needs_look = a->is_sweeping = true;
	a->others = a->reordered = true;
	index_places(a);
	pthread_mutex_unlock(&a->fleet->lock);
}

bool agent_running_keep(struct agent *a, uint64_t release, uint64_t rev)
{
	struct running *r = map_get(a->running, id_key(&release));

	if (!r || r->rev != rev)
		return false;
	r->is_there = true;
	return true;
}

void agent_running_add(struct agent *a, const struct fleet_release *of,
		       uint64_t now_ms)
{
	struct running *r = map_get(a->running, id_key(&of->id));
	bool is_new = !r;

	if (is_new)
		r = running_new(a, of, now_ms);
	r->is_there = true;
	if (!is_new && r->rev == of->rev)
		return;
	if (!is_new && !same_configs(r, of))
		take_other_configs(a, r, of);
	if (is_new || r->step != of->step || !of->is_begun)
		r->needs_look = a->is_sweeping = true;
	/* As a step begins in the state nothing changes for anybody. */
	r->rev = of->rev;
	r->step = of->step;
	r->is_begun = of->is_begun;
}

/* Those that run no more. */
static void drop_ended(struct agent *a)
{
	struct map *old = a->running;
	void *value;

	a->running = map_new();
	for (size_t at = 0; map_next(old, &at, NULL, &value);) {
		struct running *r = value;

		if (r->is_there) {
			map_put(a->running, id_key(&r->id), r);
			continue;
		}
		running_free(a, r);
		a->others = true;
	}
	map_free(&old);
}

bool agent_running_end(struct agent *a)
{
	bool reordered = a->reordered;

	pthread_mutex_lock(&a->fleet->lock);
	drop_ended(a);
	if (a->others) {
		index_places(a);
		a->fleet->is_running = map_count(a->running) > 0;
		a->fleet->newest = a->newest;
		instances_prune(a->fleet, is_over, a);
	}
	a->others = false;
	/* Whoever was looked at was so before this. */
	if (a->is_sweeping)
		a->sweep++;
	a->reordered = false;
	pthread_mutex_unlock(&a->fleet->lock);
	return reordered;
}

size_t agent_running(const struct agent *a)
{
	return map_count(a->running);
}

bool agent_runs(const struct agent *a, uint64_t release)
{
	return map_get(a->running, id_key(&release)) != NULL;
}

/* ---- looking at one instance ---- */

/* Those that have a record are touched first. */
static void touch(struct agent *a, struct running *r, struct record *record,
		  bool is_moved)
{
	if (r->is_touched)
		return;
	r->is_touched = true;
	r->record = record;
	list_append(&a->touched, &r->touched_);
	r->now = (struct fleet_record){ 0 };
	r->refused_ms = 0;
	r->picks_anew = is_moved || r->needs_look;
	if (record && !r->picks_anew) {
		struct fleet_record before;

		record_body_read(buf_view(&record->body), &before);
		r->now.wants = before.wants;
	}
}

static void pick(struct agent *a, const struct fleet_watch *w,
		 const struct place *p, bool is_moved)
{
	struct running *r = p->running;

	if (!is_moved && !r->needs_look)
		return;
	touch(a, r, NULL, is_moved);
	if (!bits_get(&r->now.wants, p->i) &&
	    a->host.picks(a->host.data, r->id, p->key, &w->client))
		bits_set(&r->now.wants, p->i);
}

static void pick_key(struct agent *a, const struct fleet_watch *w,
		     struct str key, bool is_moved)
{
	const struct fleet *fleet = a->fleet;

	for (size_t at = places_from(fleet, key);
	     at < fleet->n_places && str_eq(fleet->places[at].key, key); at++)
		pick(a, w, &fleet->places[at], is_moved);
}

static void pick_prefix(struct agent *a, const struct fleet_watch *w,
			struct str prefix, bool is_moved)
{
	const struct fleet *fleet = a->fleet;

	for (size_t at = places_from(fleet, prefix);
	     at < fleet->n_places && str_starts(fleet->places[at].key, prefix);
	     at++)
		pick(a, w, &fleet->places[at], is_moved);
}

static void look_at_watches(struct agent *a, struct instance *i, bool is_moved)
{
	struct fleet_watch *w;

	list_each(&i->watches, w, at_) {
		for (size_t k = 0; k < w->n_keys; k++)
			pick_key(a, w, w->keys[k], is_moved);
		for (size_t k = 0; k < w->n_prefixes; k++)
			pick_prefix(a, w, w->prefixes[k], is_moved);
	}
}

static bool was_sent(const struct word *word, const struct place *p)
{
	return word->sent_release == p->running->id &&
	       word->sent_version == p->running->configs[p->i].version;
}

/* Who names no release speaks of the one that runs, where he spoke since it does. */
static bool has_said(const struct word *word, const struct place *p)
{
	const struct running *r = p->running;

	if (word->said_version != r->configs[p->i].version)
		return false;
	if (word->said_release)
		return word->said_release == r->id;
	return word->said_ms >= r->first_ms ||
	       (was_sent(word, p) && word->said_ms >= word->sent_ms);
}

static void take_word(struct running *r, const struct word *word, unsigned i)
{
	struct fleet_record *now = &r->now;

	bits_set(&now->got, i);
	r->said_ms[i] = word->said_ms;
	if (word->said == FLEET_APPLIED)
		bits_set(&now->applied, i);
	if (word->said != FLEET_REFUSED)
		return;
	r->refused_ms = MAX(r->refused_ms, word->said_ms);
	bits_set(&now->refused, i);
	now->flags |= FLEET_REJECTED;
	now->reason = str_of(word->reason);
}

static void look_at_word(struct agent *a, struct str key,
			 const struct word *word, bool is_moved)
{
	const struct fleet *fleet = a->fleet;

	for (size_t at = places_from(fleet, key);
	     at < fleet->n_places && str_eq(fleet->places[at].key, key); at++) {
		const struct place *p = &fleet->places[at];
		struct running *r = p->running;
		bool sent = was_sent(word, p), said = has_said(word, p);

		if (!sent && !said)
			continue;
		touch(a, r, NULL, is_moved);
		r->now.version = r->configs[p->i].version;
		if (sent)
			bits_set(&r->now.sent, p->i);
		if (said)
			take_word(r, word, p->i);
	}
}

static void look_at_words(struct agent *a, struct instance *i, bool is_moved)
{
	const struct word *word;

	if (!i->n_kept)
		return;
	list_each(&i->heard, word, of_instance_)
		if (word->is_kept)
			look_at_word(a, word_key(word), word, is_moved);
}

/* Of the cohort, and of which step; see agent.h.  Who has left, or is not picked any
 * more, was of it. */
static void note_member(struct fleet_record *now, const struct running *r,
			const struct instance *i, const struct fleet_record *was)
{
	unsigned kept = was->flags & (FLEET_MEMBER | FLEET_LATE);
	bool is_early;

	if (!i->n_watches || !bits_any(&now->wants)) {
		now->flags |= kept;
		now->step = was->step;
		return;
	}
	is_early = !r->is_begun ||
		   (kept == FLEET_MEMBER && was->step == r->step);
	now->flags |= is_early ? FLEET_MEMBER : FLEET_MEMBER | FLEET_LATE;
	now->step = r->step;
}

static bool says_something(const struct fleet_record *now)
{
	return bits_any(&now->wants) || bits_any(&now->sent) ||
	       bits_any(&now->got);
}

/* What it said may be forgotten by now; that it did is not.  Of one configuration the
 * last word counts: what it rejected it takes back by applying that. */
static void keep_said(struct running *r, const struct record *record,
		      const struct fleet_record *was)
{
	struct fleet_record *now = &r->now;
	struct said_at said = said_of(was);

	while (said_next(&said)) {
		uint64_t then_ms = record->said_ms - said.before_ms;
		bool is_refused = bits_get(&was->refused, said.i);

		if (bits_get(&now->applied, said.i) || bits_get(&now->refused, said.i))
			continue;
		r->said_ms[said.i] = then_ms;
		bits_set(is_refused ? &now->refused : &now->applied, said.i);
	}
}

/* Sticks: what an instance had of a release is not undone by what it has now. */
static void keep_facts(struct running *r, const struct record *record,
		       const struct fleet_record *was)
{
	struct fleet_record *now = &r->now;

	keep_said(r, record, was);
	bits_or(&now->sent, &was->sent);
	bits_or(&now->got, &was->got);
	if (!now->version)
		now->version = was->version;
	if (bits_any(&now->refused) && !(now->flags & FLEET_REJECTED)) {
		now->flags |= FLEET_REJECTED;
		now->reason = was->reason;
	}
}

static bool has_spoken_of(const struct running *r, unsigned i)
{
	return bits_get(&r->now.applied, i) || bits_get(&r->now.refused, i);
}

/* When it said what counts here, and whether that is news: other nodes may have heard
 * something else meanwhile, so the same word again is. */
static bool note_said(struct running *r, struct record *record, struct buf *said)
{
	struct fleet_record *now = &r->now;
	uint64_t last_ms = 0;
	bool is_news;

	if (!bits_any(&now->applied) && !bits_any(&now->refused))
		return false;
	for (unsigned i = 0; i < r->n; i++)
		if (has_spoken_of(r, i))
			last_ms = MAX(last_ms, r->said_ms[i]);
	for (unsigned i = 0; i < r->n; i++)
		if (has_spoken_of(r, i))
			wr_var(said, last_ms - r->said_ms[i]);
	is_news = last_ms != record->said_ms;
	record->said_ms = last_ms;
	now->said = buf_view(said);
	now->flags |= FLEET_SPOKE;
	return is_news;
}

/* Is there a rejection that was not reported before? */
static bool rejects_anew(const struct running *r, const struct record *record,
			 const struct fleet_record *was)
{
	struct said_at said = said_of(was);
	uint64_t then_ms = 0;

	while (said_next(&said))
		if (bits_get(&was->refused, said.i))
			then_ms = MAX(then_ms, record->said_ms - said.before_ms);
	return r->now.flags & FLEET_REJECTED && r->refused_ms > then_ms;
}

static void finish(struct agent *a, struct running *r, struct instance *i)
{
	struct record *record = r->record;
	struct fleet_record was = { 0 };
	AUTO_BUF body = BUF_NONE;
	AUTO_BUF said = BUF_NONE;
	bool is_news;

	if (!record && !says_something(&r->now))
		return;
	if (record) {
		record_body_read(buf_view(&record->body), &was);
		keep_facts(r, record, &was);
	}
	note_member(&r->now, r, i, &was);
	r->now.flags |= (i->n_watches ? FLEET_CONNECTED : 0) |
			(i->was_connected ? FLEET_EVER : 0);
	if (!record)
		record = record_new(i, r);
	a->is_urgent |= rejects_anew(r, record, &was);
	is_news = note_said(r, record, &said);
	record_body(&body, &r->now);
	if (!is_news && str_eq(buf_view(&body), buf_view(&record->body)))
		return;
	buf_reset(&record->body);
	buf_str(&record->body, buf_view(&body));
	queue(a, record);
}

static void look_at(struct agent *a, struct instance *i, bool is_sweep)
{
	bool is_moved = i->is & INSTANCE_MOVED;
	struct running *r;
	struct record *record;

	list_each(&i->records, record, of_instance_)
		touch(a, record->running, record, is_moved);
	if (is_moved || is_sweep)
		look_at_watches(a, i, is_moved);
	look_at_words(a, i, is_moved);
	i->is = 0;
	list_remove(&i->changed_);
	list_each(&a->touched, r, touched_) {
		finish(a, r, i);
		list_remove(&r->touched_);
		r->is_touched = false;
	}
}

/* ---- looking at all that is to be looked at ---- */

static void end_sweep(struct agent *a)
{
	void *value;

	a->is_sweeping = false;
	for (size_t at = 0; map_next(a->running, &at, NULL, &value);) {
		struct running *r = value;

		if (!r->needs_look)
			continue;
		r->needs_look = false;
		set_evaluated(a, r, true);
		a->is_urgent |= !r->is_begun;
	}
}

/* False: all were. */
static bool sweep_one(struct agent *a)
{
	struct instance *i = list_first(&a->fleet->all, struct instance, at_);

	if (!a->is_sweeping)
		return false;
	if (!i || i->sweep == a->sweep) {
		end_sweep(a);
		return false;
	}
	look_at(a, i, true);
	i->sweep = a->sweep;
	list_remove(&i->at_);
	list_append(&a->fleet->all, &i->at_);
	return true;
}

static bool look_at_next(struct agent *a)
{
	struct instance *i = list_first(&a->fleet->changed, struct instance,
					changed_);

	if (!i)
		return sweep_one(a);
	look_at(a, i, false);
	return true;
}

bool agent_look(struct agent *a, unsigned most, uint64_t now_ms)
{
	bool more = true;

	if (map_count(a->running) == 0)
		return false;
	pthread_mutex_lock(&a->fleet->lock);
	while (more && most-- > 0)
		more = look_at_next(a);
	pthread_mutex_unlock(&a->fleet->lock);
	return more;
}

/* ---- reports ---- */

bool agent_has_report(const struct agent *a)
{
	return !a->in_flight && (!list_empty(&a->unsent) || a->n_evaluated ||
				 a->is_first);
}

bool agent_is_urgent(const struct agent *a)
{
	return a->is_urgent;
}

static uint64_t age_of(const struct instance *i, uint64_t now_ms)
{
	uint64_t then = i->n_watches || !i->was_connected ? i->seen_ms :
							    i->left_ms;

	return now_ms > then ? now_ms - then : 0;
}

static void add_evaluated(struct agent *a, struct buf *out)
{
	void *value;

	for (size_t at = 0; a->n_evaluated && out->n < FLEET_REPORT_FULL &&
			    map_next(a->running, &at, NULL, &value);) {
		struct running *r = value;

		if (!r->is_evaluated)
			continue;
		report_evaluated(out, r->id, r->step, (uint32_t)r->n);
		set_evaluated(a, r, false);
	}
}

void agent_report(struct agent *a, uint64_t now_ms, struct buf *out)
{
	struct record *r;

	must(agent_has_report(a));
	pthread_mutex_lock(&a->fleet->lock);
	report_start(out, a->boot, a->session, a->is_first);
	if (a->is_first)
		report_began(out, now_ms - MIN(a->host.began_ms, now_ms));
	while (out->n < FLEET_REPORT_FULL &&
	       (r = list_first(&a->unsent, struct record, queue_))) {
		report_record(out, r->running->id, instance_id(r->instance),
			      age_of(r->instance, now_ms),
			      now_ms - MIN(r->said_ms, now_ms), buf_view(&r->body));
		list_remove(&r->queue_);
		list_append(&a->flight, &r->queue_);
	}
	if (list_empty(&a->unsent)) {
		add_evaluated(a, out);
		a->is_urgent = a->n_evaluated > 0;
	}
	a->is_first = false;
	a->in_flight = true;
	pthread_mutex_unlock(&a->fleet->lock);
}

/* All of it goes out, from the start. */
static void start_anew(struct agent *a)
{
	void *value;

	for (size_t at = 0; map_next(a->running, &at, NULL, &value);) {
		struct running *r = value;
		struct record *record;

		list_each(&r->records, record, of_running_)
			queue(a, record);
		set_evaluated(a, r, !r->needs_look);
	}
	a->is_first = true;
}

/* What was on its way is to be sent again; a report that was lost has lost what it
 * said of steps, too, so it is all of it: that is rare. */
void agent_answered(struct agent *a, enum code rc, struct str answer)
{
	uint64_t session = a->session;
	bool again = true;
	struct record *r;

	must(a->in_flight);
	pthread_mutex_lock(&a->fleet->lock);
	a->in_flight = false;
	list_each(&a->flight, r, queue_)
		list_remove(&r->queue_);
	if (rc || !report_answer_decode(answer, &again, &session) || again)
		start_anew(a);
	a->session = session;
	pthread_mutex_unlock(&a->fleet->lock);
}

void agent_ask(struct agent *a, uint64_t session)
{
	pthread_mutex_lock(&a->fleet->lock);
	a->session = session;
	start_anew(a);
	pthread_mutex_unlock(&a->fleet->lock);
}

/* ---- life ---- */

struct agent *agent_new(struct fleet *fleet, const struct agent_host *host,
			uint64_t boot)
{
	struct agent *a = NEW(struct agent);

	a->fleet = fleet;
	a->host = *host;
	a->boot = boot;
	a->running = map_new();
	list_init(&a->unsent);
	list_init(&a->flight);
	list_init(&a->touched);
	return a;
}

void agent_free(struct agent **at)
{
	struct agent *a = TAKE(*at);

	if (!a)
		return;
	agent_running_start(a);
	agent_running_end(a);
	map_free(&a->running);
	free(a->fleet->places);
	a->fleet->places = NULL;
	free(a);
}
