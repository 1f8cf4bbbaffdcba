/* Versions whose retention is over: see collect.h. */
#include "collect/collect.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/timer.h"
#include "state/collect.h"

#include "base/banned.h"

#define DROPS_A_COMMAND 200
#define CONFIGS_A_PICTURE 200

struct drop {
	struct str tenant, config;
	uint32_t version;
	uint64_t size;
};

struct collector {
	struct collector_config config;
	struct loop *loop;
	struct timer timer;
	struct msg start_msg, stop_msg;
	bool is_started;
	uv_sem_t stopped;
	atomic_bool cancel;

	pthread_mutex_t lock;            /* of what follows */
	bool is_stopping;
	struct collector_status status;
	struct work work;
};

/* ---- a run, on a worker ---- */

struct run {
	struct collector *c;
	struct view *view;
	struct kv_txn *txn;
	struct arena *arena;             /* of one picture */
	struct arena *scratch;           /* of one configuration */
	struct str after_tenant, after_name;
	const struct object_view *config;
	struct drop *drops;
	size_t n_drops, cap_drops;
	unsigned n;                      /* configurations of this picture */
	uint64_t configs, versions;
};

static bool look_at_version(void *data, const struct collected *one)
{
	struct run *r = data;

	r->versions++;
	if (!one->goes)
		return true;
	r->drops = arena_grow(r->arena, r->drops, &r->cap_drops, r->n_drops + 1,
			      sizeof(*r->drops));
	r->drops[r->n_drops++] = (struct drop){
		arena_str(r->arena, r->config->tenant),
		arena_str(r->arena, r->config->name), one->version->version,
		one->version->size };
	return true;
}

static bool look_at_config(void *data, const struct object_view *o)
{
	struct run *r = data;
	struct retention keeps;

	arena_reset(r->scratch);
	r->config = o;
	r->configs++;
	if (o->has_live && collect_retention(r->txn, r->scratch, o, &keeps))
		collect_versions(r->txn, r->scratch, o, &keeps, clock_wall_ms(),
				 look_at_version, r);
	r->after_tenant = arena_str(r->arena, o->tenant);
	r->after_name = arena_str(r->arena, o->name);
	return ++r->n < CONFIGS_A_PICTURE;
}

static enum code submit(struct run *r, const struct drop *drops, size_t n,
			struct outcome *out, struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF bytes = BUF_NONE;
	struct command c = {
		.type = COMMAND_OPS, .time_ms = clock_wall_ms(),
		.subject = { .name = STR("system"), .role = ROLE_SYSTEM },
		.credential = STR("collector"), .origin = STR("local"),
		.reason = STR("their retention is over") };

	rand_bytes(c.trace, sizeof(c.trace));
	for (size_t i = 0; i < n; i++) {
		struct op *op = command_op(arena, &c, OP_VERSION_DROP);

		op->kind = KIND_CONFIG;
		op->tenant = drops[i].tenant;
		op->name = drops[i].config;
		op->version = drops[i].version;
	}
	command_encode(&bytes, &c);
	return store_submit_wait(r->c->config.store, buf_view(&bytes), arena, out,
				 err);
}

static void count(struct run *r, const struct drop *drops, size_t n,
		  uint64_t refused)
{
	struct collector_status *s = &r->c->status;

	pthread_mutex_lock(&r->c->lock);
	s->configs = r->configs;
	s->versions = r->versions;
	s->refused += refused;
	for (size_t i = 0; i < n; i++) {
		s->removed++;
		s->bytes += drops[i].size;
	}
	pthread_mutex_unlock(&r->c->lock);
}

/* Together; and where one of them is named by something now, each for itself. */
static enum code drop(struct run *r, const struct drop *drops, size_t n,
		      struct err *err)
{
	struct outcome out = { 0 };
	enum code rc = submit(r, drops, n, &out, err);

	if (rc)
		return rc;
	if (out.code == OK) {
		count(r, drops, n, 0);
		return OK;
	}
	if (n == 1 && (out.code == E_CONFLICT || out.code == E_NOT_FOUND ||
		       out.code == E_UNPROCESSABLE)) {
		count(r, NULL, 0, 1);
		return OK;
	}
	if (n == 1 || out.code == E_DENIED || out.code == E_UNAUTHORIZED)
		return err_set(err, out.code, "%s", out.text);
	for (size_t i = 0; i < n && rc == OK; i++)
		rc = drop(r, &drops[i], 1, err);
	return rc;
}

/* How many of the first go with one command, which is of one tenant. */
static size_t together(const struct drop *drops, size_t n)
{
	size_t i = 1;

	while (i < n && i < DROPS_A_COMMAND &&
	       str_eq(drops[i].tenant, drops[0].tenant))
		i++;
	return i;
}

/* One picture, and what comes of it. */
static enum code turn(struct run *r, bool *more, struct err *err)
{
	struct str tenant = r->after_tenant, name = r->after_name;
	AUTO_ARENA before = r->arena;
	enum code rc;

	/* Where it stands lies in the arena of the turn before. */
	r->arena = arena_new(16 * 1024);
	r->after_tenant = arena_str(r->arena, tenant);
	r->after_name = arena_str(r->arena, name);
	r->drops = NULL;
	r->n_drops = r->cap_drops = 0;
	r->n = 0;
	rc = view_use(r->view, 0, &r->txn, err);
	if (rc == OK)
		rc = view_list(r->txn, KIND_CONFIG, STR_NONE, r->after_tenant,
			       r->after_name, look_at_config, r, err);
	view_idle(r->view);
	*more = r->n == CONFIGS_A_PICTURE;
	for (size_t at = 0, n; at < r->n_drops && rc == OK; at += n) {
		if (atomic_load(&r->c->cancel))
			return err_set(err, E_CANCELLED, "the node is stopping");
		n = together(&r->drops[at], r->n_drops - at);
		rc = drop(r, &r->drops[at], n, err);
	}
	count(r, NULL, 0, 0);
	return rc;
}

static void run(struct work *work)
{
	struct collector *c = container_of(work, struct collector, work);
	struct run r = { .c = c, .configs = c->status.configs,
			 .versions = c->status.versions };
	struct err err = { 0 };
	bool more = true;
	enum code rc = view_new(c->config.store, &r.view, &err);

	r.arena = arena_new(0);
	r.scratch = arena_new(4096);
	while (rc == OK && more && !atomic_load(&c->cancel))
		rc = turn(&r, &more, &err);
	view_free(&r.view);
	arena_free(&r.arena);
	arena_free(&r.scratch);
	pthread_mutex_lock(&c->lock);
	c->status.err = rc ? err : (struct err){ 0 };
	pthread_mutex_unlock(&c->lock);
}

/* ---- when it runs ---- */

static void plan_next(struct collector *c)
{
	if (c->config.interval_ms && !c->is_stopping)
		timer_start(&c->timer, c->config.interval_ms);
}

static void say(const struct collector_status *s)
{
	if (s->err.code && s->err.code != E_CANCELLED)
		log_warn("collect", LOG_KV(log_z("code", code_slug(s->err.code))),
			 "versions could not be removed: %s", s->err.text);
	else if (s->removed)
		log_info("collect", LOG_KV(log_u("versions", s->removed),
					   log_u("bytes", s->bytes)),
			 "versions whose retention was over are removed");
}

static void timer_gone(struct timer *timer)
{
	struct collector *c = container_of(timer, struct collector, timer);

	uv_sem_post(&c->stopped);
}

/* Core loop. */
static void done(struct work *work)
{
	struct collector *c = container_of(work, struct collector, work);
	bool stops;

	pthread_mutex_lock(&c->lock);
	c->status.is_running = false;
	c->status.runs++;
	stops = c->is_stopping;
	pthread_mutex_unlock(&c->lock);
	say(&c->status);
	if (stops)
		timer_close(&c->timer, timer_gone);
	else
		plan_next(c);
}

static bool start(struct collector *c)
{
	pthread_mutex_lock(&c->lock);
	c->status.is_running = true;
	c->work = (struct work){ .home = c->loop, .run = run, .done = done };
	if (!pool_submit(c->config.pool, &c->work))
		c->status.is_running = false;
	pthread_mutex_unlock(&c->lock);
	return c->status.is_running;
}

static void on_timer(struct timer *timer)
{
	struct collector *c = container_of(timer, struct collector, timer);

	if (!store_leads(c->config.store) || !start(c))
		plan_next(c);
}

/* ---- life ---- */

struct collector *collector_new(const struct collector_config *config)
{
	struct collector *c = NEW(struct collector);

	c->config = *config;
	c->loop = store_core_loop(config->store);
	pthread_mutex_init(&c->lock, NULL);
	must(uv_sem_init(&c->stopped, 0) == 0);
	return c;
}

static void on_start(struct msg *msg)
{
	struct collector *c = container_of(msg, struct collector, start_msg);

	timer_init(&c->timer, c->loop, on_timer);
	plan_next(c);
}

void collector_start(struct collector *c)
{
	c->is_started = true;
	c->start_msg.run = on_start;
	loop_post_sure(c->loop, &c->start_msg);
}

static void on_stop(struct msg *msg)
{
	struct collector *c = container_of(msg, struct collector, stop_msg);
	bool runs;

	pthread_mutex_lock(&c->lock);
	c->is_stopping = true;
	runs = c->status.is_running;
	pthread_mutex_unlock(&c->lock);
	atomic_store(&c->cancel, true);
	timer_stop(&c->timer);
	if (!runs)
		timer_close(&c->timer, timer_gone);
}

void collector_stop(struct collector *c)
{
	if (!c->is_started)
		return;
	c->stop_msg.run = on_stop;
	loop_post_sure(c->loop, &c->stop_msg);
	uv_sem_wait(&c->stopped);
	c->is_started = false;
}

void collector_free(struct collector **collector)
{
	struct collector *c = *collector;

	if (!c)
		return;
	must(!c->is_started);
	pthread_mutex_destroy(&c->lock);
	uv_sem_destroy(&c->stopped);
	free(c);
	*collector = NULL;
}

void collector_status(struct collector *c, struct collector_status *out)
{
	pthread_mutex_lock(&c->lock);
	*out = c->status;
	pthread_mutex_unlock(&c->lock);
}

static void put(struct buf *out, const char *name, const char *help, uint64_t n)
{
	buf_printf(out, "# HELP conflux_collect_%s %s\n"
		   "# TYPE conflux_collect_%s counter\nconflux_collect_%s %llu\n",
		   name, help, name, name, (unsigned long long)n);
}

void collector_metrics(struct collector *c, struct buf *out)
{
	struct collector_status s;

	collector_status(c, &s);
	put(out, "runs_total", "Looks for versions whose retention is over.", s.runs);
	put(out, "versions_total", "Versions that were looked at.", s.versions);
	put(out, "removed_total", "Versions that were removed.", s.removed);
	put(out, "removed_bytes_total", "Content of these.", s.bytes);
}
