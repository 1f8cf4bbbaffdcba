/*
 * Strands: one a source, on the core loop.  See source.h for what they do and
 * job.h for what runs on a worker.
 */
#include "source/own.h"

#include "base/log.h"
#include "base/mem.h"
#include "source/left.h"
#include "source/planner.h"
#include "source/reverts.h"

#include "base/banned.h"

#define EVENTS_A_TURN 2000
#define BACKOFF_MAX_MS 300000
#define SOON_MS 200

#define STRAND_IDLE_NEXT (BIT(STRAND_RUNNING) | BIT(STRAND_GONE))

static const struct fsm_state strand_states[STRAND__STATES] = {
	[STRAND_WAITING] = { "waiting", STRAND_IDLE_NEXT },
	[STRAND_RUNNING] = { "running",
			     BIT(STRAND_WAITING) | BIT(STRAND_FAILING) |
				     BIT(STRAND_STALLED) |
				     BIT(STRAND_SUSPENDED) | BIT(STRAND_GONE) },
	[STRAND_FAILING] = { "failing", STRAND_IDLE_NEXT },
	[STRAND_STALLED] = { "stalled", STRAND_IDLE_NEXT },
	[STRAND_SUSPENDED] = { "suspended", STRAND_IDLE_NEXT },
	[STRAND_GONE] = { "gone", 0, .end = true },
};

static void check_stopped(struct reconciler *r);
static void tidy_start(struct reconciler *r);

/* ---- answers ---- */

static void answer_run(struct msg *msg)
{
	struct source_wait *w = container_of(msg, struct source_wait, msg_);

	w->done(w, &w->result_);
}

void source_wait_answer(struct source_wait *w, const struct source_result *result)
{
	w->result_ = *result;
	w->msg_.run = answer_run;
	loop_post_sure(w->home, &w->msg_);
}

static void answer_all(struct list *list, const struct source_result *result)
{
	struct source_wait *w;

	while ((w = list_first(list, struct source_wait, at_))) {
		list_remove(&w->at_);
		source_wait_answer(w, result);
	}
}

static void move_all(struct list *from, struct list *to)
{
	struct source_wait *w;

	while ((w = list_first(from, struct source_wait, at_))) {
		list_remove(&w->at_);
		list_append(to, &w->at_);
	}
}

void wait_refuse(struct source_result *out, enum code rc, const char *text)
{
	*out = (struct source_result){ .code = rc };
	str_copy(out->text, sizeof(out->text), str_of(text));
}

/* ---- strands ---- */

static void strand_key(struct buf *out, struct str ns, struct str name)
{
	buf_str(out, ns);
	buf_c(out, '/');
	buf_str(out, name);
}

static void count_states(struct strand *s, unsigned state, int delta)
{
	struct reconciler *r = s->r;

	if (state == STRAND_RUNNING)
		r->n_running += (uint64_t)(int64_t)delta;
	if (state == STRAND_SUSPENDED)
		r->n_suspended += (uint64_t)(int64_t)delta;
	if (state == STRAND_FAILING || state == STRAND_STALLED)
		r->n_failing += (uint64_t)(int64_t)delta;
}

static void on_move(void *data, const struct fsm *fsm, unsigned from,
		    const char *why)
{
	struct strand *s = data;

	count_states(s, from, -1);
	count_states(s, fsm->state, 1);
	log_debug("source", LOG_KV(log_z("tenant", s->job.tenant),
				   log_z("source", s->job.name),
				   log_z("state", fsm_name(fsm))),
		  "%s", why);
}

static void on_timer(struct timer *timer)
{
	strand_start(container_of(timer, struct strand, timer));
}

static void on_seat(struct seat *seat);

static struct strand *strand_new(struct reconciler *r, struct str ns,
				 struct str name)
{
	struct strand *s = NEW(struct strand);
	AUTO_BUF key = BUF_NONE;

	s->r = r;
	fsm_init(&s->fsm, "source", strand_states, STRAND__STATES,
		 STRAND_WAITING);
	s->fsm.on_move = on_move;
	s->fsm.data = s;
	list_init(&s->waiting);
	list_init(&s->asked);
	str_copy(s->job.tenant, sizeof(s->job.tenant), ns);
	str_copy(s->job.name, sizeof(s->job.name), name);
	s->job.store = r->store;
	s->job.settings = r->settings;
	s->job.clones = r->clones;
	s->seat.start = on_seat;
	timer_init(&s->timer, r->loop, on_timer);
	strand_key(&key, ns, name);
	must(!map_put(r->strands, buf_view(&key), s));
	r->n_sources++;
	return s;
}

static void strand_closed(struct timer *timer)
{
	struct strand *s = container_of(timer, struct strand, timer);
	struct reconciler *r = s->r;

	free(s);
	r->n_sources--;
	check_stopped(r);
}

/* Not while a job runs.  It leaves the map at once, so that a source of the
 * same name can begin anew. */
static void strand_end(struct strand *s, enum code rc, const char *why)
{
	AUTO_BUF key = BUF_NONE;
	struct source_result result;

	seat_leave(&s->seat);
	fsm_move(&s->fsm, STRAND_GONE, why);
	wait_refuse(&result, rc, why);
	answer_all(&s->waiting, &result);
	answer_all(&s->asked, &result);
	strand_key(&key, str_of(s->job.tenant), str_of(s->job.name));
	map_del(s->r->strands, buf_view(&key));
	timer_close(&s->timer, strand_closed);
}

static unsigned growth_of(unsigned failures)
{
	return failures > 10 ? 9 : failures ? failures - 1 : 0;
}

static uint64_t delay_of(const struct strand *s)
{
	const struct job *j = &s->job;
	uint64_t base = j->is_transient ? SOON_MS : j->interval_ms;
	uint64_t grown = base << (growth_of(s->failures));

	/* Nothing but a new commit helps there, and looking for one is cheap. */
	if (s->failures == 0 || (j->phase == STATUS_STALLED && !j->is_transient))
		return j->interval_ms;
	grown = MIN(grown, (uint64_t)BACKOFF_MAX_MS);
	return MAX(base, grown);
}

/* ---- jobs ---- */

static void work_run(struct work *work)
{
	struct strand *s = container_of(work, struct strand, work);

	job_run(&s->job);
}

static void take_metrics(struct strand *s)
{
	struct reconciler *r = s->r;
	const struct job *j = &s->job;

	r->jobs_done++;
	r->jobs_failed += j->result.code != OK;
	r->fetch_bytes += j->fetch_bytes;
	r->fetch_us = j->fetch_us;
	if (j->result.code || !j->result.rev)
		return;
	r->commits++;
	r->operations += j->result.operations;
	r->formatting += j->formatting;
	r->plan_us = j->plan_us;
	r->submit_us = j->submit_us;
	r->opened = j->opened;
}

/* One line for each different thing, not one for each try. */
static void say(struct strand *s)
{
	const struct job *j = &s->job;
	const struct source_result *res = &j->result;

	if (res->code == OK && res->rev)
		log_info("source", LOG_KV(log_z("tenant", j->tenant),
					  log_z("source", j->name),
					  log_z("revision", res->revision),
					  log_u("operations", res->operations),
					  log_u("plan_us", j->plan_us),
					  log_u("submit_us", j->submit_us)),
			 "applied");
	if (res->code == OK || strcmp(s->said, res->text) == 0) {
		if (res->code == OK)
			s->said[0] = '\0';
		return;
	}
	str_copy(s->said, sizeof(s->said), str_of(res->text));
	if (res->code == E_CANCELLED || j->phase == STATUS_SUSPENDED)
		return;
	log_warn("source", LOG_KV(log_z("tenant", j->tenant),
				  log_z("source", j->name),
				  log_z("code", code_slug(res->code))),
		 "%s", res->text);
}

static void settle(struct strand *s)
{
	const struct job *j = &s->job;

	if (j->phase == STATUS_SUSPENDED)
		fsm_move(&s->fsm, STRAND_SUSPENDED, "spec.suspend is true");
	else if (j->result.code == OK)
		fsm_move(&s->fsm, STRAND_WAITING, "what Git says is live");
	else if (j->phase == STATUS_STALLED)
		fsm_move(&s->fsm, STRAND_STALLED, j->result.text);
	else
		fsm_move(&s->fsm, STRAND_FAILING, j->result.text);
}

static void work_done(struct work *work)
{
	struct strand *s = container_of(work, struct strand, work);
	struct job *j = &s->job;

	seat_leave(&s->seat);
	take_metrics(s);
	say(s);
	if (clones_want_sweep(s->r->clones))
		tidy_start(s->r);
	s->failures = j->result.code ? s->failures + 1 : 0;
	/* Work that was overtaken is no answer; the next job gives it. */
	if (j->result.code == E_CANCELLED && s->again && !s->is_deleted &&
	    !s->r->stopping)
		move_all(&s->asked, &s->waiting);
	answer_all(&s->asked, &j->result);
	settle(s);
	if (s->r->stopping) {
		strand_end(s, E_CANCELLED, "the reconciler is stopping");
		return;
	}
	if (s->is_deleted && j->ends && !j->result.code) {
		strand_end(s, E_NOT_FOUND, "the source was deleted");
		return;
	}
	if (!s->is_deleted && j->is_gone) {
		strand_end(s, E_NOT_FOUND, "there is no such source");
		return;
	}
	if (s->again)
		strand_start(s);
	else if (j->phase != STATUS_SUSPENDED)
		timer_start(&s->timer, delay_of(s));
}

static void job_reset(struct strand *s)
{
	struct job *j = &s->job;

	j->result = (struct source_result){ 0 };
	j->is_gone = j->is_transient = false;
	j->fetch_us = j->fetch_bytes = j->plan_us = j->submit_us = 0;
	j->opened = j->formatting = 0;
	j->ends = s->is_deleted;
	j->prunes = s->prunes;
	atomic_store(&j->cancel, false);
}

static void refuse_waiting(struct strand *s, enum code rc, const char *text)
{
	struct source_result result;

	wait_refuse(&result, rc, text);
	answer_all(&s->waiting, &result);
}

static bool may_run(struct strand *s)
{
	s->is_held = !store_leads(s->r->store);
	if (s->is_held)
		refuse_waiting(s, E_NOT_LEADER, "this node does not lead");
	return !s->is_held;
}

void strand_start(struct strand *s)
{
	if (s->fsm.state == STRAND_RUNNING) {
		s->again = true;
		return;
	}
	timer_stop(&s->timer);
	if (may_run(s) && !seat_waits(&s->seat))
		seat_ask(s->r->seats, str_of(s->job.tenant), &s->seat);
}

/* Others may have had theirs for long. */
static void on_seat(struct seat *seat)
{
	struct strand *s = container_of(seat, struct strand, seat);
	struct reconciler *r = s->r;

	if (!may_run(s)) {
		seat_leave(seat);
		return;
	}
	job_reset(s);
	/* Who asks wants it looked at again, known to be bad or not. */
	if (!list_empty(&s->waiting))
		s->job.memory.has_bad = false;
	s->work = (struct work){ .home = r->loop, .run = work_run,
				 .done = work_done };
	if (!pool_submit(r->pool, &s->work)) {
		seat_leave(seat);
		timer_start(&s->timer, SOON_MS);
		return;
	}
	s->again = false;
	move_all(&s->waiting, &s->asked);
	fsm_move(&s->fsm, STRAND_RUNNING, "due");
}

/* ---- who leads ---- */

static void start_held(struct reconciler *r)
{
	void *value;

	for (size_t at = 0; map_next(r->strands, &at, NULL, &value);) {
		struct strand *s = value;

		if (s->is_held)
			strand_start(s);
	}
}

/* Or in vain: then a plan that was made too early is refused, and made again. */
static void on_caught_up(struct store_barrier *b, enum code rc,
			 const struct err *err)
{
	struct reconciler *r = container_of(b, struct reconciler, caught_up);

	(void)rc;
	(void)err;
	r->catching_up = false;
	if (r->stopping)
		check_stopped(r);
	else
		start_held(r);
}

/* A new leader goes on where the old one stopped: with what that one wrote
 * last. */
static void on_role(struct store_role *role, bool leads)
{
	struct reconciler *r = container_of(role, struct reconciler, role);

	if (!leads || r->catching_up || r->stopping)
		return;
	r->caught_up = (struct store_barrier){ .home = r->loop,
					       .done = on_caught_up };
	r->catching_up = store_barrier(r->store, &r->caught_up);
}

/* ---- what the store says ---- */

struct strand *reconciler_find(struct reconciler *r, struct str ns, struct str name)
{
	AUTO_BUF key = BUF_NONE;

	strand_key(&key, ns, name);
	return map_get(r->strands, buf_view(&key));
}

static void source_is(struct reconciler *r, struct str ns, struct str name,
		      const struct object_row *row)
{
	struct strand *s = reconciler_find(r, ns, name);

	if (!s)
		s = strand_new(r, ns, name);
	else if (!s->is_deleted && s->generation == row->generation)
		return;
	else
		tidy_start(r);           /* its url may be another */
	s->generation = row->generation;
	s->is_deleted = false;
	s->prunes = source_prunes(row->spec);
	s->failures = 0;
	/* What runs was made for another spec. */
	if (s->fsm.state == STRAND_RUNNING)
		atomic_store(&s->job.cancel, true);
	strand_start(s);
}

/* A source that was never seen here, or whose strand found out before this was
 * read, may have left something too. */
static void source_is_gone(struct reconciler *r, struct str ns, struct str name,
			   bool prunes, struct uuid uid)
{
	struct strand *s = reconciler_find(r, ns, name);

	if (!s)
		s = strand_new(r, ns, name);
	tidy_start(r);
	s->is_deleted = true;
	s->prunes = prunes;
	if (s->fsm.state == STRAND_RUNNING) {
		atomic_store(&s->job.cancel, true);
		s->again = true;
		return;
	}
	s->job.uid = uid;
	s->failures = 0;
	strand_start(s);
}

/* Something of a source's own turned back, or was not let through. */
static void concern(struct reconciler *r, const struct event_row *event)
{
	struct arena *arena;
	struct str ns, name;
	struct strand *s;

	arena = arena_new(0);
	if (reverts_concern(event, arena, &ns, &name)) {
		s = reconciler_find(r, ns, name);
		if (s && !s->is_deleted)
			strand_start(s);
	}
	arena_free(&arena);
}

struct reading {
	struct reconciler *r;
	unsigned n;
	bool more;
};

static bool on_event(void *data, uint64_t rev, const struct event_row *event)
{
	struct reading *reading = data;
	struct object_row row = { 0 };

	if (reading->n++ >= EVENTS_A_TURN) {
		reading->more = true;
		return false;
	}
	reading->r->seen_rev = rev;
	if (!event_is_for_sources(event))
		return true;
	if (event->kind != KIND_SOURCE) {
		concern(reading->r, event);
	} else if (event->type != EVENT_DELETED) {
		if (object_row_decode(event->after, &row))
			source_is(reading->r, event->tenant, event->name, &row);
	} else if (object_row_decode(event->before, &row)) {
		source_is_gone(reading->r, event->tenant, event->name,
			       source_prunes(row.spec), row.uid);
	}
	return true;
}

static bool on_listed(void *data, const struct object_view *o)
{
	struct reconciler *r = data;
	struct strand *s;

	source_is(r, o->tenant, o->name, &o->row);
	s = reconciler_find(r, o->tenant, o->name);
	s->is_listed = true;
	return true;
}

/* The first unlisted strand, or NULL; the map may not change while it is
 * walked. */
static struct strand *next_unlisted(struct reconciler *r)
{
	void *value;

	for (size_t at = 0; map_next(r->strands, &at, NULL, &value);) {
		struct strand *s = value;

		if (!s->is_listed && !s->is_deleted)
			return s;
	}
	return NULL;
}

/* ---- what deleted sources left ---- */

struct sweeping {
	struct work work;
	struct reconciler *r;
	struct arena *arena;
	struct orphan *found;
	size_t n;
};

static void sweep_run(struct work *work)
{
	struct sweeping *w = container_of(work, struct sweeping, work);
	struct view *view = NULL;
	struct kv_txn *txn;
	struct err err;
	enum code rc = view_new(w->r->store, &view, &err);

	if (rc == OK)
		rc = view_use(view, 0, &txn, &err);
	if (rc == OK)
		rc = sweep_orphans(txn, w->arena, &w->found, &w->n, &err);
	if (rc)
		log_error("source", LOG_NO_KV, "look for what deleted sources "
			  "left: %s", err.text);
	if (view)
		view_idle(view);
	view_free(&view);
}

static void sweep_done(struct work *work)
{
	struct sweeping *w = container_of(work, struct sweeping, work);
	struct reconciler *r = w->r;

	r->sweeping = false;
	for (size_t i = 0; i < w->n && !r->stopping; i++) {
		const struct orphan *o = &w->found[i];

		/* One that was made again owns it again. */
		if (!reconciler_find(r, o->tenant, o->name))
			source_is_gone(r, o->tenant, o->name, o->prunes, o->uid);
	}
	arena_free(&w->arena);
	free(w);
	check_stopped(r);
}

/* A crash may have come between the deletion of a source and what follows from
 * it; nobody is told of that again. */
static void sweep_start(struct reconciler *r)
{
	struct sweeping *w;

	r->wants_sweep = true;
	if (r->sweeping)
		return;
	w = NEW(struct sweeping);
	w->r = r;
	w->arena = arena_new(0);
	w->work = (struct work){ .home = r->loop, .run = sweep_run,
				 .done = sweep_done };
	r->sweeping = pool_submit(r->pool, &w->work);
	r->wants_sweep = !r->sweeping;
	if (r->sweeping)
		return;
	arena_free(&w->arena);
	free(w);
}

/* ---- clones ---- */

struct tidying {
	struct work work;
	struct reconciler *r;
};

static void tidy_run(struct work *work)
{
	struct tidying *t = container_of(work, struct tidying, work);
	struct view *view = NULL;
	struct err err;
	enum code rc = view_new(t->r->store, &view, &err);

	if (rc == OK)
		rc = clones_sweep(t->r->clones, view, &err);
	if (rc)
		log_warn("source", LOG_NO_KV, "clones that no source names: %s",
			 err.text);
	view_free(&view);
}

static void tidy_done(struct work *work)
{
	struct tidying *t = container_of(work, struct tidying, work);
	struct reconciler *r = t->r;

	free(t);
	r->tidying = false;
	if (r->wants_tidy && !r->stopping)
		tidy_start(r);
	check_stopped(r);
}

/* On each node, leading or not: each has led, or will. */
static void tidy_start(struct reconciler *r)
{
	struct tidying *t;

	r->wants_tidy = true;
	if (r->tidying || r->stopping)
		return;
	t = NEW(struct tidying);
	t->r = r;
	t->work = (struct work){ .home = r->loop, .run = tidy_run,
				 .done = tidy_done };
	r->wants_tidy = false;
	r->tidying = pool_submit(r->pool, &t->work);
	/* The next that ends or is changed asks again. */
	if (!r->tidying)
		free(t);
}

/* All sources anew: at the start, and where events were compacted away. */
static enum code scan(struct reconciler *r, struct kv_txn *txn, struct err *err)
{
	struct head head;
	struct strand *s;
	void *value;
	enum code rc = view_head(txn, &head, err);

	for (size_t at = 0; map_next(r->strands, &at, NULL, &value);)
		((struct strand *)value)->is_listed = false;
	if (rc == OK)
		rc = view_list(txn, KIND_SOURCE, STR_NONE, STR_NONE, STR_NONE,
			       on_listed, r, err);
	if (rc)
		return rc;
	r->seen_rev = head.rev;
	while ((s = next_unlisted(r)))
		source_is_gone(r, str_of(s->job.tenant), str_of(s->job.name),
			       s->prunes, s->job.uid);
	sweep_start(r);
	tidy_start(r);
	return OK;
}

static void read_events(struct reconciler *r)
{
	struct reading reading = { r, 0, false };
	struct kv_txn *txn;
	struct err err;
	enum code rc = view_use(r->view, 0, &txn, &err);

	if (rc == OK)
		rc = r->seen_rev ? view_events(txn, r->seen_rev, on_event,
					       &reading, &err) :
				   scan(r, txn, &err);
	if (rc == E_GONE)
		rc = scan(r, txn, &err);
	view_idle(r->view);
	if (rc)
		log_error("source", LOG_NO_KV, "read events: %s", err.text);
	else if (!reading.more)
		r->seen_changes = store_source_changes(r->store);
	if (reading.more && !r->more_posted) {
		r->more_posted = true;
		loop_post_sure(r->loop, &r->more_msg);
	}
}

/* Most of what is committed is nothing to a source, and no event of it is read. */
void reconciler_read(struct reconciler *r)
{
	if (!r->seen_rev || r->more_posted ||
	    r->seen_changes != store_source_changes(r->store))
		read_events(r);
	else
		r->seen_rev = store_rev(r->store);
	if (r->wants_sweep)
		sweep_start(r);
}

static void on_more(struct msg *msg)
{
	struct reconciler *r = container_of(msg, struct reconciler, more_msg);

	r->more_posted = false;
	if (!r->stopping)
		reconciler_read(r);
	else
		check_stopped(r);
}

static void on_wake(struct follower *f, uint64_t rev)
{
	struct reconciler *r = container_of(f, struct reconciler, follower);

	(void)rev;
	if (!r->stopping)
		reconciler_read(r);
}

/* ---- life ---- */

static void on_planned(void *data)
{
	struct reconciler *r = data;

	if (clones_want_sweep(r->clones))
		tidy_start(r);
	check_stopped(r);
}

struct reconciler *source_reconciler_new(struct store *store, struct pool *pool,
					 const struct source_settings *settings)
{
	struct reconciler *r = NEW(struct reconciler);
	unsigned places = pool_threads(pool);

	repo_setup();
	r->store = store;
	r->pool = pool;
	r->settings = settings;
	r->loop = store_core_loop(store);
	r->strands = map_new();
	r->seats = seats_new(places, MAX(places - 1, 1u));
	r->clones = clones_new(settings);
	r->planner = planner_new(store, pool, settings, r->seats, r->clones, on_planned,
				 r);
	list_init(&r->role.at_);
	must(uv_sem_init(&r->stopped, 0) == 0);
	return r;
}

static void on_start(struct msg *msg)
{
	struct reconciler *r = container_of(msg, struct reconciler, start_msg);
	struct err err;

	if (view_new(r->store, &r->view, &err)) {
		log_error("source", LOG_NO_KV, "no source is followed: %s",
			  err.text);
		return;
	}
	r->follower.home = r->loop;
	r->follower.wake = on_wake;
	store_follow(r->store, &r->follower);
	r->role.changed = on_role;
	store_on_role(r->store, &r->role);
	reconciler_read(r);
}

void source_reconciler_start(struct reconciler *r)
{
	must(!r->started);
	r->started = true;
	r->start_msg.run = on_start;
	r->more_msg.run = on_more;
	loop_post_sure(r->loop, &r->start_msg);
}

static void on_unfollowed(struct follower *f)
{
	struct reconciler *r = container_of(f, struct reconciler, follower);

	view_free(&r->view);
	uv_sem_post(&r->stopped);
}

static void check_stopped(struct reconciler *r)
{
	if (!r->stopping || r->unfollowing || r->n_sources || r->more_posted ||
	    r->sweeping || r->tidying || r->catching_up || !planner_stop(r->planner))
		return;
	r->unfollowing = true;
	store_off_role(&r->role);
	if (r->view)
		store_unfollow(r->store, &r->follower, on_unfollowed);
	else
		uv_sem_post(&r->stopped);
}

/* The first strand without a job, or NULL; those with one are told to end. */
static struct strand *next_idle(struct reconciler *r)
{
	void *value;

	for (size_t at = 0; map_next(r->strands, &at, NULL, &value);) {
		struct strand *s = value;

		if (s->fsm.state != STRAND_RUNNING)
			return s;
		atomic_store(&s->job.cancel, true);
	}
	return NULL;
}

static void on_stop(struct msg *msg)
{
	struct reconciler *r = container_of(msg, struct reconciler, stop_msg);
	struct strand *s;

	r->stopping = true;
	/* What waits goes first, so that nothing begins in place of what ends. */
	(void)!planner_stop(r->planner);
	while ((s = next_idle(r)))
		strand_end(s, E_CANCELLED, "the reconciler is stopping");
	check_stopped(r);
}

void source_reconciler_stop(struct reconciler *r)
{
	if (!r->started)
		return;
	r->stop_msg.run = on_stop;
	loop_post_sure(r->loop, &r->stop_msg);
	uv_sem_wait(&r->stopped);
	r->started = false;
}

void source_reconciler_free(struct reconciler **reconciler)
{
	struct reconciler *r = *reconciler;

	if (!r)
		return;
	must(!r->started && map_count(r->strands) == 0);
	map_free(&r->strands);
	planner_free(&r->planner);
	seats_free(&r->seats);
	clones_free(&r->clones);
	uv_sem_destroy(&r->stopped);
	free(r);
	*reconciler = NULL;
}
