/* The leader's releases in steps: see release.h. */
#include "release/release.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "io/timer.h"
#include "release/asks.h"
#include "release/row.h"
#include "state/view.h"
#include "store/calls.h"

#include "base/banned.h"

#define PART "release"
#define RETRY_MS 250u
#define RETRY_MAX_MS 60000u
/* A step begins when each node has said who is in it; of one that cannot be reached
 * that is noticed within a second. */
#define EVALUATED_MS 1000u
/* One that can be reached and does not come to it, as while it is sent all of the
 * state, is waited for so long: its instances are not served the step either. */
#define EVALUATED_MOST_MS 10000u
/* What was gathered is added up at most so often, but where something was rejected. */
#define TALLY_MS 50u
#define NEVER UINT64_MAX

struct one {
	struct releases *all;
	uint64_t id;
	struct arena *arena;
	struct buf bytes;                /* of its row, as it was read */
	struct release_row row;
	bool is_there;                   /* while they are read */
	struct rollout_watch watch;      /* of the step that it is at */
	struct asks *asks;               /* of that step */
	uint64_t due_ms;                 /* monotonic; NEVER */
	uint64_t looked_ms;
	/* A move that is under way, or is to be tried again. */
	bool is_moving;
	uint64_t waits_since_ms;         /* for nodes, before a step begins; 0: not */
	unsigned failures;
	uint64_t not_before_ms;
	char said[200];                  /* the last refusal that was logged */
	char waits[400];                 /* what it waits for; empty: nothing */
	bool is_unmet;                   /* by what was known at the last look */
};

/* Outlives the release that it moves. */
struct move {
	struct store_write write;
	struct releases *all;
	uint64_t id;
	enum release_move what;
	struct buf bytes;
};

struct releases {
	struct releases_config config;
	struct loop *core;
	struct view *view;
	struct map *ones;                /* id, 8 bytes */
	struct follower follower;
	struct store_role role;
	struct timer timer;
	uint64_t timer_ms;
	struct msg start_msg, stop_msg;
	bool is_started, is_stopping, has_timer, leads, has_read;
	uint64_t changes;
	uv_sem_t stopped;
	_Atomic uint64_t m_running, m_moves, m_refused, m_looks;
};

static struct str id_key(const uint64_t *id)
{
	return str_n(id, sizeof(*id));
}

/* ---- time ---- */

static void arm(struct releases *all, uint64_t at_ms)
{
	uint64_t now = clock_mono_ms();

	if (!all->has_timer || at_ms == NEVER ||
	    (timer_is_armed(&all->timer) && all->timer_ms <= at_ms))
		return;
	all->timer_ms = at_ms;
	timer_start(&all->timer, at_ms > now ? at_ms - now : 0);
}

static void make_due(struct one *o, uint64_t at_ms)
{
	o->due_ms = MIN(o->due_ms, at_ms);
	arm(o->all, o->due_ms);
}

/* Time of the cluster: what a command of now would be stamped with. */
static uint64_t cluster_ms(struct releases *all)
{
	struct store_status status;

	store_status(all->config.store, &status);
	return MAX(status.time_ms, clock_wall_ms());
}

/* ---- moves ---- */

static bool is_of_now(enum code code)
{
	return code == E_UNAVAILABLE || code == E_UNCERTAIN ||
	       code == E_NOT_LEADER || code == E_BUSY;
}

static void refused(struct one *o, const struct move *m,
		    const struct outcome *outcome)
{
	uint64_t wait = (uint64_t)RETRY_MS << MIN(o->failures, 8u);
	struct str text = str_first(str_of(outcome->text), sizeof(o->said) - 1);

	o->failures++;
	o->not_before_ms = clock_mono_ms() + MIN(wait, (uint64_t)RETRY_MAX_MS);
	make_due(o, o->not_before_ms);
	atomic_fetch_add(&o->all->m_refused, 1);
	snprintf(o->waits, sizeof(o->waits), "%s is not possible now and is tried again: "
		 "%.300s", move_action(m->what), outcome->text[0] ? outcome->text :
		 "the cluster did not take it");
	if (is_of_now(outcome->code) || str_eq(str_of(o->said), text))
		return;
	str_copy(o->said, sizeof(o->said), text);
	log_warn(PART, LOG_KV(log_s("release", o->row.name),
			      log_z("move", move_action(m->what)),
			      log_z("error", outcome->text)),
		 "a release does not move; it is tried again");
}

static void moved(struct store_write *w, const struct outcome *outcome)
{
	struct move *m = container_of(w, struct move, write);
	struct releases *all = m->all;
	struct one *o = all->is_stopping ? NULL : map_get(all->ones,
							  id_key(&m->id));

	if (o && o->is_moving) {
		o->is_moving = false;
		if (outcome->code)
			refused(o, m, outcome);
		else
			/* As a rule its row is another now, and was read. */
			make_due(o, 0);
	}
	buf_fini(&m->bytes);
	free(m);
}

/* What instances and outside systems said may have been cut within a character, and
 * may be anything: it must not be what the way back is refused for. */
static struct str clean(struct arena *arena, struct str s)
{
	char *out = arena_alloc(arena, s.n + 1);
	size_t n = 0;

	while (s.n) {
		size_t len = str_utf8_len(s);

		if (len == 0 || (unsigned char)s.p[0] < ' ' || s.p[0] == 0x7f)
			out[n++] = '?';
		else
			for (size_t i = 0; i < len; i++)
				out[n++] = s.p[i];
		s = str_from(s, MAX(len, (size_t)1));
	}
	return str_n(out, n);
}

static void encode_move(struct one *o, const struct rollout_decision *d,
			uint64_t count, struct buf *out)
{
	AUTO_ARENA arena = arena_new(1024);
	struct command c = {
		.type = COMMAND_OPS, .time_ms = clock_wall_ms(),
		.subject = { .name = STR("system"), .role = ROLE_SYSTEM },
		.credential = STR("none"), .origin = STR("local"),
	};
	struct op *op = command_op(arena, &c, OP_RELEASE_MOVE);

	op->kind = KIND_RELEASE;
	op->tenant = o->row.tenant;
	op->name = o->row.name;
	op->move = d->move;
	op->step = (uint32_t)o->row.facts.step;
	op->count = count;
	if (d->move == MOVE_ROLLBACK || d->move == MOVE_PAUSE) {
		op->message = clean(arena, str_of(d->reason));
		op->mode = ROLLBACK_STABLE_ONLY;
	}
	command_encode(out, &c);
}

static void submit(struct one *o, const struct rollout_decision *d,
		   uint64_t count)
{
	struct releases *all = o->all;
	struct move *m = NEW(struct move);

	m->all = all;
	m->id = o->id;
	m->what = d->move;
	encode_move(o, d, count, &m->bytes);
	m->write = (struct store_write){ .home = all->core, .done = moved,
					 .bytes = buf_view(&m->bytes) };
	o->is_moving = true;
	/* As a leader that is lost before it moves. */
	if (!failpoint_hit(FP_RELEASE_MOVE, NULL) &&
	    store_submit(all->config.store, &m->write)) {
		atomic_fetch_add(&all->m_moves, 1);
		return;
	}
	moved(&m->write, &(struct outcome){ .code = E_UNAVAILABLE });
}

/* ---- looking at one ---- */

static void expect(struct one *o)
{
	const struct release_row *r = &o->row;
	struct gather_rules rules = {
		(uint32_t)r->facts.step,
		r->facts.is_begun ? r->expected : 0, NEVER, r->configs,
	};

	if (r->facts.step < r->strategy.n_steps)
		rules.lost_after_ms = r->strategy.steps[r->facts.step].bake_ms;
	gather_expect(fleet_node_gather(o->all->config.fleet), o->id, &rules);
}

static void asks_changed(void *data)
{
	struct one *o = data;

	make_due(o, 0);
}

static bool is_baking(const struct one *o)
{
	const struct rollout_facts *f = &o->row.facts;

	return f->phase == ROLLOUT_PROGRESSING && f->is_begun &&
	       f->step < o->row.strategy.n_steps;
}

static void ask(struct one *o, struct kv_txn *txn, struct tally *t,
		uint64_t now_ms)
{
	struct asks_config config = {
		.out = o->all->config.out, .loop = o->all->core,
		.tenant = o->row.tenant, .release = o->row.name,
		.step = o->row.facts.step, .strategy = &o->row.strategy,
		.changed = asks_changed, .data = o,
	};

	if (!o->asks)
		o->asks = asks_new(&config);
	if (!o->asks)
		return;
	(void)asks_go_on(o->asks, txn, t, now_ms);
	asks_tell(o->asks, t);
}

/* A step that has baked may wait for days. */
static void ask_later(struct one *o, const struct rollout_decision *d, uint64_t now_ms)
{
	const struct strategy_step *step = &o->row.strategy.steps[o->row.facts.step];
	bool rests = step->is_manual && d->condition == CONDITION_MET &&
		     o->watch.baked_ms >= step->bake_ms;

	make_due(o, asks_rest(o->asks, rests, now_ms));
}

/* The cohort is known when each node has looked at its instances. */
static bool may_begin(struct one *o, uint64_t now_ms)
{
	expect(o);
	if (fleet_node_is_evaluated(o->all->config.fleet, o->id,
				    (uint32_t)o->row.facts.step))
		return true;
	if (!o->waits_since_ms)
		o->waits_since_ms = now_ms;
	if (now_ms >= o->waits_since_ms + EVALUATED_MOST_MS)
		return true;
	make_due(o, now_ms + EVALUATED_MS);
	return false;
}

/* What people are told that it waits for.  While a move is tried again what refused it
 * stays. */
static void explain(struct one *o, const struct rollout_decision *d)
{
	const struct rollout_facts *f = &o->row.facts;
	const struct strategy *s = &o->row.strategy;
	char late[RFC3339_MAX];
	size_t n;

	o->is_unmet = f->phase == ROLLOUT_PROGRESSING && f->step < s->n_steps &&
		      (d->condition != CONDITION_MET ||
		       o->watch.baked_ms < s->steps[f->step].bake_ms);
	if (d->move == MOVE_STEP_BEGUN && !o->failures)
		snprintf(o->waits, sizeof(o->waits), "%s", "not all nodes have said which "
			 "of their instances are in the step");
	if (!d->reason[0] && !d->move)
		o->waits[0] = '\0';
	if (!d->reason[0] || d->move == MOVE_ROLLBACK || d->move == MOVE_PAUSE)
		return;
	n = (size_t)snprintf(o->waits, sizeof(o->waits), "%s", d->reason);
	if (!d->late_ms || d->condition == CONDITION_MET)
		return;
	clock_rfc3339(late, d->late_ms, false);
	snprintf(o->waits + n, sizeof(o->waits) - n, "; if not by %s, it %s", late,
		 s->pauses ? "pauses" : "turns back");
}

static void decide(struct one *o, struct kv_txn *txn, uint64_t now_ms)
{
	const struct gather *gather = fleet_node_gather(o->all->config.fleet);
	uint64_t wall = cluster_ms(o->all);
	struct rollout_decision d;
	struct tally t = { 0 };

	if (is_baking(o)) {
		expect(o);
		gather_tally(gather, o->id, now_ms, &t);
		if (t.next_lost_ms)
			t.next_lost_ms += wall - now_ms;
		ask(o, txn, &t, now_ms);
	}
	rollout_decide(&o->row.strategy, &o->row.facts, &t, wall, &o->watch, &d);
	if (is_baking(o) && o->asks)
		ask_later(o, &d, now_ms);
	explain(o, &d);
	if (d.due_ms)
		make_due(o, now_ms + (d.due_ms > wall ? d.due_ms - wall : 0));
	if (!d.move || (d.move == MOVE_STEP_BEGUN && !may_begin(o, now_ms)))
		return;
	submit(o, &d, d.move == MOVE_STEP_BEGUN ? gather_cohort(gather, o->id) :
						   d.baked_ms);
}

static void look(struct one *o, struct kv_txn *txn, uint64_t now_ms)
{
	if (o->is_moving)
		return;
	if (o->not_before_ms > now_ms) {
		make_due(o, o->not_before_ms);
		return;
	}
	o->looked_ms = now_ms;
	atomic_fetch_add(&o->all->m_looks, 1);
	decide(o, txn, now_ms);
}

/* ---- all of them ---- */

static bool any_is_due(const struct releases *all, uint64_t now_ms)
{
	void *value;

	for (size_t at = 0; map_next(all->ones, &at, NULL, &value);)
		if (((struct one *)value)->due_ms <= now_ms)
			return true;
	return false;
}

static void look_at_due(struct releases *all, struct kv_txn *txn,
			uint64_t now_ms)
{
	void *value;

	for (size_t at = 0; map_next(all->ones, &at, NULL, &value);) {
		struct one *o = value;

		if (o->due_ms > now_ms)
			continue;
		o->due_ms = NEVER;
		look(o, txn, now_ms);
	}
}

static void arm_next(struct releases *all)
{
	uint64_t next = NEVER;
	void *value;

	for (size_t at = 0; map_next(all->ones, &at, NULL, &value);)
		next = MIN(next, ((struct one *)value)->due_ms);
	arm(all, next);
}

/* ---- what runs ---- */

static void one_free(struct one *o)
{
	asks_end(&o->asks);
	arena_free(&o->arena);
	buf_fini(&o->bytes);
	free(o);
}

static bool is_same_step(const struct release_row *a, const struct release_row *b)
{
	return a->facts.step == b->facts.step &&
	       a->facts.phase == b->facts.phase &&
	       a->facts.is_begun == b->facts.is_begun;
}

/* Its row is another than it was; what is known of the step goes with the step. */
static void take_row(struct one *o, struct arena **arena, struct str val,
		     const struct release_row *row)
{
	bool same = o->arena && is_same_step(&o->row, row);

	buf_reset(&o->bytes);
	buf_str(&o->bytes, val);
	o->due_ms = 0;
	/* Its strategy is what it was; what others said of the step goes on to count. */
	if (same) {
		o->row.facts = row->facts;
		o->row.expected = row->expected;
		o->row.configs = row->configs;
		return;
	}
	/* They borrow from the row that goes. */
	asks_end(&o->asks);
	arena_free(&o->arena);
	o->arena = TAKE(*arena);
	o->row = *row;
	o->watch = (struct rollout_watch){ 0 };
	o->failures = 0;
	o->not_before_ms = 0;
	o->waits_since_ms = 0;
	o->said[0] = o->waits[0] = '\0';
	o->is_unmet = false;
}

static enum code read_one(struct releases *all, struct kv_txn *txn,
			  struct str key, struct str val, struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	struct release_row row;
	struct one *o;
	enum code rc = release_row_read(arena, txn, key, val, &row, err);

	if (rc)
		return rc;
	o = map_get(all->ones, id_key(&row.id));
	if (!o) {
		o = NEW(struct one);
		o->all = all;
		o->id = row.id;
		map_put(all->ones, id_key(&o->id), o);
	}
	o->is_there = true;
	/* Whether it still waits for others is not in its own row. */
	if (!o->arena || !str_eq(buf_view(&o->bytes), val) ||
	    row.facts.phase == ROLLOUT_QUEUED)
		take_row(o, &arena, val, &row);
	return OK;
}

static void drop_ended(struct releases *all)
{
	struct map *old = all->ones;
	void *value;

	all->ones = map_new();
	for (size_t at = 0; map_next(old, &at, NULL, &value);) {
		struct one *o = value;

		if (o->is_there)
			map_put(all->ones, id_key(&o->id), o);
		else
			one_free(o);
	}
	map_free(&old);
}

static enum code read_all(struct releases *all, struct kv_txn *txn,
			  struct err *err)
{
	enum code rc = OK;
	struct kv_cursor c;
	void *value;

	for (size_t at = 0; map_next(all->ones, &at, NULL, &value);)
		((struct one *)value)->is_there = false;
	for (bool is = kv_seek(txn, KV_ROLLOUTS, STR_NONE, &c); is && !rc;
	     is = kv_next(&c))
		rc = read_one(all, txn, c.key, c.val, err);
	kv_cursor_close(&c);
	if (rc == OK)
		drop_ended(all);
	return rc;
}

/* False: not to be had now. */
static bool read_changes(struct releases *all, struct kv_txn *txn)
{
	uint64_t changes = store_rollout_changes(all->config.store);
	struct err err;

	if (all->has_read && changes == all->changes)
		return true;
	if (read_all(all, txn, &err)) {
		log_error(PART, LOG_KV(log_z("error", err.text)),
			  "releases that run cannot be read");
		return false;
	}
	all->changes = changes;
	all->has_read = true;
	atomic_store(&all->m_running, map_count(all->ones));
	return true;
}

static void forget_all(struct releases *all)
{
	void *value;

	for (size_t at = 0; map_next(all->ones, &at, NULL, &value);)
		one_free(value);
	map_free(&all->ones);
	all->ones = map_new();
	all->has_read = false;
	atomic_store(&all->m_running, 0);
}

static bool has_changed(const struct releases *all)
{
	return !all->has_read ||
	       all->changes != store_rollout_changes(all->config.store);
}

static void go_on(struct releases *all)
{
	uint64_t now_ms = clock_mono_ms();
	struct kv_txn *txn;
	struct err err;

	if (!all->leads || all->is_stopping)
		return;
	if (!has_changed(all) && !any_is_due(all, now_ms)) {
		arm_next(all);
		return;
	}
	/* As while a checkpoint is installed. */
	if (view_use(all->view, 0, &txn, &err)) {
		arm(all, now_ms + RETRY_MS);
		return;
	}
	if (read_changes(all, txn))
		look_at_due(all, txn, now_ms);
	view_idle(all->view);
	arm_next(all);
}

static void on_timer(struct timer *timer)
{
	go_on(container_of(timer, struct releases, timer));
}

static void on_wake(struct follower *f, uint64_t rev)
{
	struct releases *all = container_of(f, struct releases, follower);

	if (has_changed(all))
		go_on(all);
}

void releases_gathered(void *data, uint64_t release, bool is_urgent)
{
	struct releases *all = data;
	struct one *o = all->leads ? map_get(all->ones, id_key(&release)) : NULL;
	uint64_t now_ms = clock_mono_ms();

	/* By the timer, when all of the report is taken. */
	if (o)
		make_due(o, is_urgent ? now_ms : MAX(now_ms, o->looked_ms + TALLY_MS));
}

void releases_explain(void *data, uint64_t release, struct fleet_why *out)
{
	const struct releases *all = data;
	const struct one *o = all->leads ? map_get(all->ones, id_key(&release)) : NULL;
	AUTO_ARENA arena = arena_new(1024);

	*out = (struct fleet_why){ .is_known = o && (o->looked_ms || o->waits[0]) };
	if (!out->is_known)
		return;
	out->is_unmet = o->is_unmet;
	str_copy(out->text, sizeof(out->text), clean(arena, str_of(o->waits)));
}

static void role_changed(struct store_role *role, bool leads)
{
	struct releases *all = container_of(role, struct releases, role);

	all->leads = leads;
	if (leads)
		go_on(all);
	else
		forget_all(all);
}

/* ---- life ---- */

enum code releases_new(const struct releases_config *config,
		       struct releases **out, struct err *err)
{
	struct releases *all = NEW(struct releases);

	all->config = *config;
	all->core = store_core_loop(config->store);
	all->ones = map_new();
	list_init(&all->role.at_);
	must(uv_sem_init(&all->stopped, 0) == 0);
	*out = all;
	return view_new(config->store, &all->view, err);
}

static void start_here(struct msg *msg)
{
	struct releases *all = container_of(msg, struct releases, start_msg);

	timer_init(&all->timer, all->core, on_timer);
	all->has_timer = true;
	fleet_node_on_gathered(all->config.fleet, releases_gathered, all);
	fleet_node_on_why(all->config.fleet, releases_explain, all);
	all->role.changed = role_changed;
	store_on_role(all->config.store, &all->role);
	all->follower.home = all->core;
	all->follower.wake = on_wake;
	store_follow(all->config.store, &all->follower);
	role_changed(&all->role, store_leads(all->config.store));
}

void releases_start(struct releases *all)
{
	all->is_started = true;
	all->start_msg.run = start_here;
	loop_post_sure(all->core, &all->start_msg);
}

static void on_unfollowed(struct follower *f)
{
	struct releases *all = container_of(f, struct releases, follower);

	view_free(&all->view);
	uv_sem_post(&all->stopped);
}

static void stop_here(struct msg *msg)
{
	struct releases *all = container_of(msg, struct releases, stop_msg);

	all->is_stopping = true;
	all->leads = false;
	fleet_node_on_gathered(all->config.fleet, NULL, NULL);
	fleet_node_on_why(all->config.fleet, NULL, NULL);
	forget_all(all);
	store_off_role(&all->role);
	timer_close(&all->timer, NULL);
	all->has_timer = false;
	store_unfollow(all->config.store, &all->follower, on_unfollowed);
}

void releases_stop(struct releases *all)
{
	if (!all->is_started)
		return;
	all->is_started = false;
	all->stop_msg.run = stop_here;
	loop_post_sure(all->core, &all->stop_msg);
	uv_sem_wait(&all->stopped);
}

void releases_free(struct releases **at)
{
	struct releases *all = TAKE(*at);

	if (!all)
		return;
	must(!all->is_started);
	map_free(&all->ones);
	view_free(&all->view);
	uv_sem_destroy(&all->stopped);
	free(all);
}

void releases_metrics(struct releases *all, struct releases_metrics *out)
{
	*out = (struct releases_metrics){
		atomic_load(&all->m_running), atomic_load(&all->m_moves),
		atomic_load(&all->m_refused), atomic_load(&all->m_looks),
	};
}
