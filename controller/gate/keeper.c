/* Executes what is approved, and keeps windows computed: see keeper.h. */
#include "gate/keeper.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "gate/window.h"
#include "io/timer.h"
#include "state/view_gate.h"
#include "store/gate.h"

#include "base/banned.h"

#define PART "gate"
/* Behind a refusal that passes; twice as long each time, up to the second. */
#define PAUSE_FIRST_MS 1000u
#define PAUSE_MOST_MS 600000u
/* Whether a store that is full has room again; one proposal is tried for all. */
#define ROOM_LOOK_MS 1000u
/* A timer is never longer: clocks are set, and machines sleep. */
#define TIMER_MOST_MS 3600000u

/* An approved proposal that was tried, and is to be tried again. */
struct held {
	uint64_t until_ms;               /* wall clock; 0: it was not refused */
	uint64_t look;                   /* that met it last */
	unsigned tries;
	char why[400];                   /* what held it last */
};

struct keeper {
	struct store *store;
	struct loop *loop;
	struct view *view;
	struct map *held;                /* tenant 0 name -> struct held */
	uint64_t looks;
	struct timer timer;
	struct store_role role;
	struct store_gate gate;
	struct store_barrier barrier;
	struct msg start_msg, stop_msg, look_msg;
	struct arena *arena;             /* of one look */
	bool is_started, is_stopping, is_asking, is_caught_up, is_posted;
	/* When windows are to be looked through again; 0: now.  There may be many
	 * tenants, and approvals change none of it. */
	uint64_t windows_ms;
	/* One command at a time. */
	struct store_write write;
	struct buf bytes, doing;
	bool is_writing, executes;
	uint64_t write_ms;               /* not before; 0: now */
	uint64_t room_ms;                /* the store was full; 0: it was not */
	uv_sem_t stopped;
	_Atomic uint64_t executed, failed, refused, computed, is_full;
};

/* What one look found. */
struct look {
	struct keeper *k;
	struct kv_txn *txn;
	uint64_t now_ms, next_ms;        /* when to look again, at the latest */
	uint64_t windows_ms;             /* as that, through windows */
	bool has_approved;               /* proposals */
	struct str tenant, name;         /* to be executed; empty: none */
	struct sha256 digest;
	struct str window_tenant, window_name;
	struct buf *status;
};

static void look(struct keeper *k);

/* ---- one command ---- */

static void post_look(struct keeper *k)
{
	if (k->is_posted || k->is_stopping)
		return;
	k->is_posted = true;
	loop_post_sure(k->loop, &k->look_msg);
}

static void look_here(struct msg *msg)
{
	struct keeper *k = container_of(msg, struct keeper, look_msg);

	k->is_posted = false;
	look(k);
}

static struct held *held_of(struct keeper *k, struct str key)
{
	struct held *h = map_get(k->held, key);

	if (!h) {
		h = NEW(struct held);
		map_put(k->held, key, h);
	}
	h->look = k->looks;
	return h;
}

static void forget_held(struct keeper *k, struct str key)
{
	struct held *h = map_del(k->held, key);

	free(h);
}

/* Whole characters of it. */
static void note_why(struct held *h, struct str why)
{
	size_t n = MIN(why.n, sizeof(h->why) - 1);

	while (n && n < why.n && (why.p[n] & 0xc0) == 0x80)
		n--;
	str_copy(h->why, sizeof(h->why), str_first(why, n));
}

/* It is tried again, later each time. */
static void hold(struct keeper *k, struct str key, const struct outcome *o)
{
	struct held *h = held_of(k, key);
	uint64_t ms = MIN((uint64_t)PAUSE_FIRST_MS << MIN(h->tries, 20u),
			  (uint64_t)PAUSE_MOST_MS);

	h->tries++;
	note_why(h, str_of(o->text));
	h->until_ms = clock_wall_ms() + ms;
	atomic_fetch_add(&k->refused, 1);
	log_warn(PART, LOG_KV(log_s("proposal", str_from(key,
						str_find(key, '\0') + 1)),
			      log_z("why", o->text), log_u("again_ms", ms)),
		 "an approved proposal cannot be executed yet");
}

/* Not the proposal's fault: all wait, and the first goes as soon as there is room. */
static void no_room(struct keeper *k, const struct outcome *o)
{
	if (!k->room_ms)
		log_warn(PART, LOG_KV(log_z("why", o->text)),
			 "approved proposals wait for room in the store");
	k->room_ms = clock_wall_ms() + ROOM_LOOK_MS;
	atomic_store(&k->is_full, 1);
}

static void forget_room(struct keeper *k)
{
	k->room_ms = 0;
	atomic_store(&k->is_full, 0);
}

static void has_room(struct keeper *k)
{
	if (k->room_ms)
		log_info(PART, LOG_NO_KV, "approved proposals wait for room no more");
	forget_room(k);
}

/* Nothing else says that the store let it in. */
static bool is_from_apply(enum code rc)
{
	return rc != E_UNAVAILABLE && rc != E_NOT_LEADER && rc != E_UNCERTAIN &&
	       rc != E_BUSY;
}

/* The state has the code of it, the log has the words. */
static void failed(struct keeper *k, struct str key, const struct outcome *o)
{
	atomic_fetch_add(&k->failed, 1);
	log_warn(PART, LOG_KV(log_s("proposal", str_from(key,
						str_find(key, '\0') + 1)),
			      log_z("why", o->text)),
		 "an approved proposal cannot be executed");
}

static void execute_done(struct keeper *k, const struct outcome *o)
{
	struct str key = buf_view(&k->doing);

	if (o->code == E_FULL) {
		no_room(k, o);
		return;
	}
	if (is_from_apply(o->code))
		has_room(k);
	if (o->code == OK) {
		forget_held(k, key);
		if (str_is(str_of(o->phase), "Failed"))
			failed(k, key, o);
		else
			atomic_fetch_add(&k->executed, 1);
	} else {
		hold(k, key, o);
	}
}

static void write_done(struct store_write *w, const struct outcome *o)
{
	struct keeper *k = container_of(w, struct keeper, write);

	k->is_writing = false;
	if (k->executes && o->code == OK)
		(void)!failpoint_hit(FP_GATE_EXECUTED, NULL);
	if (k->executes)
		execute_done(k, o);
	else if (o->code == OK)
		atomic_fetch_add(&k->computed, 1);
	else
		k->write_ms = clock_wall_ms() + PAUSE_FIRST_MS;
	post_look(k);
}

static void submit(struct keeper *k, const struct command *c, struct str tenant,
		   struct str name, bool executes)
{
	buf_reset(&k->bytes);
	buf_reset(&k->doing);
	key_proposal(&k->doing, tenant, name);
	command_encode(&k->bytes, c);
	k->executes = executes;
	k->write = (struct store_write){ .home = k->loop,
					 .bytes = buf_view(&k->bytes),
					 .done = write_done };
	k->is_writing = store_submit(k->store, &k->write);
}

static struct command command_of_system(void)
{
	return (struct command){
		.type = COMMAND_OPS, .time_ms = clock_wall_ms(),
		.subject = { .name = STR("system"), .role = ROLE_SYSTEM },
		.credential = STR("none"), .origin = STR("gate") };
}

static void submit_execute(struct keeper *k, const struct look *l)
{
	struct command c = command_of_system();
	struct op *op = command_op(k->arena, &c, OP_EXECUTE);

	op->kind = KIND_PROPOSAL;
	op->tenant = l->tenant;
	op->name = l->name;
	op->sha = l->digest;
	(void)!failpoint_hit(FP_GATE_EXECUTE, NULL);
	submit(k, &c, l->tenant, l->name, true);
}

static void submit_status(struct keeper *k, const struct look *l)
{
	struct command c = command_of_system();
	struct op *op = command_op(k->arena, &c, OP_OBJECT_STATUS);

	op->kind = KIND_FREEZE_WINDOW;
	op->tenant = l->window_tenant;
	op->name = l->window_name;
	op->status = buf_view(l->status);
	submit(k, &c, l->window_tenant, l->window_name, false);
}

/* ---- approved proposals ---- */

static void look_again(struct look *l, uint64_t ms)
{
	l->next_ms = MIN(l->next_ms, ms);
}

/* The configurations that it names, as touches; what it makes new has no labels
 * yet, and apply decides. */
static struct gate_touch *touches_of(struct look *l, struct str tenant,
				     const struct proposal_row *row, size_t *n)
{
	struct gate_touch *t = arena_zero(l->k->arena,
					  (row->n_configs + 1) * sizeof(*t));

	*n = 0;
	for (size_t i = 0; i < row->n_configs; i++) {
		struct object_view o;

		if (view_object(l->txn, KIND_CONFIG, tenant,
				row->configs[i].name, &o, NULL))
			continue;
		t[(*n)++] = (struct gate_touch){
			.action = row->configs[i].actions == BIT(GATE_ROLLBACK) ?
					  GATE_ROLLBACK : GATE_PUBLISH,
			.at = { tenant, o.row.application, o.row.environment,
				o.row.config_name },
			.labels_before = o.row.labels,
			.labels_after = o.row.labels };
	}
	return t;
}

/* As apply says it (gate_frozen_by). */
static struct str frozen_by(struct arena *arena, const struct gate_found_window *w)
{
	char until[RFC3339_MAX];

	if (w->until_ms == UINT64_MAX)
		return arena_printf(arena, "freeze window %.*s of %.*s is open: %.*s",
				    STR_ARG(w->name), STR_ARG(w->is.owner),
				    STR_ARG(w->is.reason));
	clock_rfc3339(until, w->until_ms, false);
	return arena_printf(arena, "freeze window %.*s of %.*s is open until %s: %.*s",
			    STR_ARG(w->name), STR_ARG(w->is.owner), until,
			    STR_ARG(w->is.reason));
}

/* Does a window hold it, as far as can be seen from here?  Then until when. */
static bool is_frozen(struct look *l, struct str key, struct str tenant,
		      const struct proposal_row *row, uint64_t *until_ms)
{
	struct gate_touch *touches;
	struct gate_answer answer;
	size_t n;

	touches = touches_of(l, tenant, row, &n);
	if (view_gate(l->txn, l->k->arena, tenant, touches, n, NULL, l->now_ms,
		      &answer, NULL))
		return false;
	*until_ms = 0;
	for (size_t i = 0; i < answer.n_windows; i++) {
		const struct gate_found_window *w = &answer.windows[i];

		if (w->until_ms <= *until_ms)
			continue;
		*until_ms = w->until_ms;
		note_why(held_of(l->k, key), frozen_by(l->k->arena, w));
	}
	return answer.n_windows > 0;
}

static bool see_approved(void *data, struct str tenant, struct str name,
			 uint64_t not_before_ms)
{
	struct look *l = data;
	AUTO_BUF key = BUF_NONE;
	struct proposal_row row;
	struct held *h;
	uint64_t until;

	l->has_approved = true;
	key_proposal(&key, tenant, name);
	h = map_get(l->k->held, buf_view(&key));
	if (h)
		h->look = l->k->looks;
	if (not_before_ms > l->now_ms) {
		look_again(l, not_before_ms);
		return true;
	}
	if (h && h->until_ms > l->now_ms) {
		look_again(l, h->until_ms);
		return true;
	}
	if (l->k->room_ms > l->now_ms) {
		look_again(l, l->k->room_ms);
		return true;
	}
	if (view_proposal(l->txn, l->k->arena, tenant, name, &row, NULL) ||
	    row.phase != PROPOSAL_APPROVED || row.expires_ms <= l->now_ms)
		return true;
	if (is_frozen(l, buf_view(&key), tenant, &row, &until)) {
		look_again(l, until);
		return true;
	}
	l->tenant = arena_str(l->k->arena, tenant);
	l->name = arena_str(l->k->arena, name);
	l->digest = row.digest;
	return false;
}

/* ---- windows ---- */

static bool see_window(void *data, const struct object_view *o)
{
	struct look *l = data;
	struct window w;
	struct err err;
	uint64_t due;
	enum code rc;

	window_read(l->k->arena, o->row.spec, o->row.status, &w);
	if (!w.has_schedule || w.is_broken)
		return true;
	due = window_refresh_ms(&w);
	if (due > l->now_ms && w.computed_at_ms) {
		l->windows_ms = MIN(l->windows_ms, due);
		return true;
	}
	rc = window_status_of(o->row.spec, l->now_ms, l->status, &err);
	if (rc) {
		buf_reset(l->status);
		window_status(l->status, NULL, 0, 0, o->row.spec, l->now_ms,
			      str_of(err.text));
		log_warn(PART, LOG_KV(log_s("window", o->name),
				      log_z("why", err.text)),
			 "when a freeze window is open is not known; it is shut");
	}
	l->window_tenant = arena_str(l->k->arena, o->tenant);
	l->window_name = arena_str(l->k->arena, o->name);
	return false;
}

/* ---- looking ---- */

static void drop_held(struct keeper *k)
{
	void *value;

	for (size_t at = 0; map_next(k->held, &at, NULL, &value);)
		free(value);
	map_free(&k->held);
	k->held = map_new();
}

/* What a look over all did not meet waits no more: somebody else ended it. */
static void sweep_held(struct keeper *k)
{
	struct str *keys = arena_zero(k->arena,
				      map_count(k->held) * sizeof(*keys));
	struct str key;
	size_t n = 0;
	void *value;

	for (size_t at = 0; map_next(k->held, &at, &key, &value);)
		if (((struct held *)value)->look != k->looks)
			keys[n++] = arena_str(k->arena, key);
	for (size_t i = 0; i < n; i++)
		forget_held(k, keys[i]);
}

static void wait_until(struct keeper *k, uint64_t now_ms, uint64_t ms)
{
	if (ms == UINT64_MAX) {
		timer_stop(&k->timer);
		return;
	}
	timer_start(&k->timer, MIN(ms > now_ms ? ms - now_ms : 1,
				   (uint64_t)TIMER_MOST_MS));
}

static void look_into(struct keeper *k, struct look *l)
{
	struct err err;

	k->looks++;
	view_approved(l->txn, see_approved, l);
	if (!l->has_approved)
		has_room(k);
	if (l->name.n) {
		submit_execute(k, l);
		return;
	}
	if (map_count(k->held))
		sweep_held(k);
	if (k->windows_ms <= l->now_ms) {
		l->windows_ms = UINT64_MAX;
		if (view_list(l->txn, KIND_FREEZE_WINDOW, STR_NONE, STR_NONE,
			      STR_NONE, see_window, l, &err))
			l->windows_ms = l->now_ms + PAUSE_FIRST_MS;
		k->windows_ms = l->window_name.n ? 0 : l->windows_ms;
	}
	if (l->window_name.n)
		submit_status(k, l);
	else
		look_again(l, k->windows_ms);
}

static void look(struct keeper *k)
{
	AUTO_BUF status = BUF_NONE;
	struct look l = { .k = k, .now_ms = clock_wall_ms(),
			  .next_ms = UINT64_MAX, .status = &status };
	struct err err;

	if (k->is_stopping || k->is_writing || !k->is_caught_up ||
	    !store_leads(k->store))
		return;
	if (k->write_ms > l.now_ms) {
		wait_until(k, l.now_ms, k->write_ms);
		return;
	}
	arena_reset(k->arena);
	if (view_use(k->view, 0, &l.txn, &err)) {
		wait_until(k, l.now_ms, l.now_ms + PAUSE_FIRST_MS);
		return;
	}
	look_into(k, &l);
	view_idle(k->view);
	if (!k->is_writing)
		wait_until(k, l.now_ms, l.next_ms);
}

static void on_timer(struct timer *timer)
{
	look(container_of(timer, struct keeper, timer));
}

static void on_gate(struct store_gate *gate, bool windows)
{
	struct keeper *k = container_of(gate, struct keeper, gate);

	if (windows)
		k->windows_ms = 0;
	post_look(k);
}

/* ---- leading ---- */

static void on_caught_up(struct store_barrier *b, enum code rc,
			 const struct err *err)
{
	struct keeper *k = container_of(b, struct keeper, barrier);

	(void)rc;
	(void)err;
	k->is_asking = false;
	k->is_caught_up = true;
	k->windows_ms = 0;
	look(k);
}

/* What its predecessor did is seen first. */
static void lead(struct keeper *k)
{
	drop_held(k);
	k->is_caught_up = false;
	if (k->is_asking)
		return;
	k->barrier = (struct store_barrier){ .home = k->loop,
					     .done = on_caught_up };
	k->is_asking = store_barrier(k->store, &k->barrier);
}

static void on_role(struct store_role *role, bool leads)
{
	struct keeper *k = container_of(role, struct keeper, role);

	if (leads && !k->is_stopping)
		lead(k);
	if (leads)
		return;
	timer_stop(&k->timer);
	forget_room(k);          /* whoever leads finds out */
}

/* ---- life ---- */

static void start_here(struct msg *msg)
{
	struct keeper *k = container_of(msg, struct keeper, start_msg);

	if (k->is_stopping)
		return;
	timer_init(&k->timer, k->loop, on_timer);
	k->is_started = true;
	k->role.changed = on_role;
	store_on_role(k->store, &k->role);
	k->gate.changed = on_gate;
	store_on_gate(k->store, &k->gate);
	if (store_leads(k->store))
		lead(k);
}

enum code keeper_new(struct store *store, struct keeper **out, struct err *err)
{
	struct keeper *k = NEW(struct keeper);
	enum code rc = view_new(store, &k->view, err);

	if (rc) {
		free(k);
		return rc;
	}
	k->store = store;
	k->loop = store_core_loop(store);
	k->held = map_new();
	k->arena = arena_new(0);
	k->look_msg.run = look_here;
	k->start_msg.run = start_here;
	uv_sem_init(&k->stopped, 0);
	loop_post_sure(k->loop, &k->start_msg);
	*out = k;
	return OK;
}

static void stop_here(struct msg *msg)
{
	struct keeper *k = container_of(msg, struct keeper, stop_msg);

	k->is_stopping = true;
	if (k->is_started) {
		store_off_role(&k->role);
		store_off_gate(&k->gate);
		timer_close(&k->timer, NULL);
	}
	view_free(&k->view);
	uv_sem_post(&k->stopped);
}

void keeper_stop(struct keeper *k)
{
	k->stop_msg.run = stop_here;
	loop_post_sure(k->loop, &k->stop_msg);
	uv_sem_wait(&k->stopped);
}

void keeper_free(struct keeper **kp)
{
	struct keeper *k = TAKE(*kp);

	if (!k)
		return;
	drop_held(k);
	map_free(&k->held);
	arena_free(&k->arena);
	buf_fini(&k->bytes);
	buf_fini(&k->doing);
	uv_sem_destroy(&k->stopped);
	free(k);
}

bool keeper_explain(struct keeper *k, uint64_t proposal, struct buf *out)
{
	struct str key;
	void *value;

	if (!store_leads(k->store))
		return false;
	for (size_t at = 0; map_next(k->held, &at, &key, &value);) {
		const struct held *h = value;
		struct str name = str_from(key, str_find(key, '\0') + 1);
		uint64_t number;

		if (!str_starts(name, STR("p-")) ||
		    !str_u64(str_from(name, 2), &number) || number != proposal)
			continue;
		buf_z(out, h->why);
		return true;
	}
	if (k->room_ms)
		buf_z(out, "the store is full: it is executed as soon as there is room");
	return k->room_ms > 0;
}

void keeper_metrics(struct keeper *k, struct buf *out)
{
#define PUT(name, help, value)                                              \
	buf_printf(out, "# HELP conflux_gate_" name " " help "\n"            \
			"# TYPE conflux_gate_" name " counter\n"              \
			"conflux_gate_" name " %llu\n",                      \
		   (unsigned long long)atomic_load(value))
	PUT("executed_total", "Proposals that this node executed.", &k->executed);
	PUT("failed_total", "Approved proposals that could not be executed.",
	    &k->failed);
	PUT("refused_total", "Executions that are tried again.", &k->refused);
	PUT("windows_computed_total", "Freeze windows computed ahead.",
	    &k->computed);
#undef PUT
	buf_printf(out, "# HELP conflux_gate_waits_for_room Whether approved proposals "
			"wait because the store is full, at the leader.\n"
			"# TYPE conflux_gate_waits_for_room gauge\n"
			"conflux_gate_waits_for_room %llu\n",
		   (unsigned long long)atomic_load(&k->is_full));
}
