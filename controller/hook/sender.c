/* Delivery of the outbox: see sender.h. */
#include "hook/sender.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/secret.h"
#include "hook/event.h"
#include "hook/sign.h"
#include "io/timer.h"
#include "state/outbox.h"
#include "store/outbox.h"

#include "base/banned.h"

#define PART "hook"
#define RETRY_FIRST_MS 1000u
#define WRITE_AGAIN_MS 1000u
/* Changes that come closer to each other are looked at together, and a webhook in a
 * pause not each time. */
#define TOGETHER_MS 10u
#define PAUSE_LOOK_MS 250u
#define RESULTS_MAX 64u
/* Failures in a row before a webhook is called ill. */
#define ILL_AFTER 3u
/* Deliveries at once of one tenant: more of them would only wait in http_out. */
#define BUCKET_MOST HTTP_OUT_OF_ONE

enum health { HEALTH_UNKNOWN, HEALTH_WELL, HEALTH_ILL, HEALTH_NO_KEY };

/* What came of a delivery, until the state has it. */
struct result {
	uint64_t seq;
	bool is_dead;
	char error[OUTBOX_ERROR_MAX];
};

struct hook {
	struct sender *s;
	struct uuid uid;
	char tenant[64], name[254];
	unsigned bucket;
	/* Of the object and the key as they were seen last. */
	uint64_t generation, key_ms;
	/* The event that is next. */
	uint64_t seq, since_ms;
	unsigned tries;
	unsigned failures;               /* of the webhook, in a row */
	uint64_t next_ms;                /* on the loop's clock; 0: now */
	uint64_t looked_ms;              /* at it in a pause */
	struct http_ask ask;
	struct buf url, body, headers;
	bool is_asking;
	struct result results[RESULTS_MAX];
	unsigned n_results, n_writing;
	struct store_write write;
	struct buf bytes;
	bool is_writing;
	uint64_t write_ms;               /* not before; 0: now */
	/* What its status says, and shall say. */
	enum health health;
	bool wants_status, writes_status;
	char error[OUTBOX_ERROR_MAX];
};

struct sender {
	struct sender_config config;
	struct loop *loop;
	struct view *view;
	struct map *hooks;               /* uid -> hook */
	struct timer timer;
	uint64_t timer_ms;               /* when it fires; 0: not armed */
	uint64_t looked_ms;
	struct store_role role;
	struct store_outbox outbox;
	struct store_barrier barrier;
	struct msg start_msg, stop_msg;
	bool is_started, is_stopping, is_asking, is_caught_up;
	char cluster[37];
	unsigned busy[HTTP_OUT_BUCKETS];
	struct prng prng;
	uv_sem_t stopped;
	_Atomic uint64_t delivered, failed, dead, ill;
};

static void go(struct hook *h, struct kv_txn *txn);
static void look(struct sender *s);

/* ---- time ---- */

/* One timer for all: the earliest that anything waits for. */
static void wake_in(struct sender *s, uint64_t ms)
{
	uint64_t at = loop_now_ms(s->loop) + ms;

	if (s->timer_ms && s->timer_ms <= at)
		return;
	s->timer_ms = at;
	timer_start(&s->timer, ms);
}

static void on_timer(struct timer *timer)
{
	struct sender *s = container_of(timer, struct sender, timer);

	s->timer_ms = 0;
	look(s);
}

/* 1 s, 2 s, 4 s ... up to the setting, and up to a fifth of that less. */
static uint64_t pause_of(struct hook *h)
{
	unsigned shift = MIN(h->failures - 1, 20u);
	uint64_t ms = MIN((uint64_t)RETRY_FIRST_MS << shift,
			  h->s->config.retry_most_ms);

	return ms - prng_below(&h->s->prng, ms / 5 + 1);
}

/* ---- what came of it ---- */

static void status_json(struct hook *h, struct kv_txn *txn, struct buf *out)
{
	static const char *const reasons[] = {
		[HEALTH_UNKNOWN] = "Unknown", [HEALTH_WELL] = "Delivered",
		[HEALTH_ILL] = "DeliveryFailed", [HEALTH_NO_KEY] = "NoKey",
	};
	struct outbox_tally t;
	char time[RFC3339_MAX];

	view_outbox_tally(txn, h->uid, &t);
	clock_rfc3339(time, clock_wall_ms(), false);
	buf_printf(out, "{\"conditions\":[{\"lastTransitionTime\":\"%s\","
		   "\"message\":", time);
	buf_json(out, str_of(h->error));
	buf_printf(out, ",\"reason\":\"%s\",\"status\":\"%s\",\"type\":\"Ready\"}],"
		   "\"dead\":%llu", reasons[h->health],
		   h->health == HEALTH_WELL ? "True" : "False",
		   (unsigned long long)t.dead);
	if (t.delivered_ms) {
		clock_rfc3339(time, t.delivered_ms, false);
		buf_printf(out, ",\"lastDelivered\":\"%s\"", time);
	}
	buf_printf(out, ",\"observedGeneration\":%llu,\"waiting\":%llu}",
		   (unsigned long long)h->generation,
		   (unsigned long long)t.waiting);
}

static void set_health(struct hook *h, enum health health, const char *error)
{
	if (h->health == health)
		return;
	if (h->health == HEALTH_ILL)
		atomic_fetch_sub(&h->s->ill, 1);
	if (health == HEALTH_ILL)
		atomic_fetch_add(&h->s->ill, 1);
	h->health = health;
	h->wants_status = true;
	str_copy(h->error, sizeof(h->error), str_of(error));
	if (health == HEALTH_WELL)
		log_info(PART, LOG_KV(log_z("tenant", h->tenant),
				      log_z("webhook", h->name)), "delivers");
	else
		log_warn(PART, LOG_KV(log_z("tenant", h->tenant),
				      log_z("webhook", h->name)), "%s", error);
}

static void put_op(struct arena *arena, struct command *c, struct hook *h,
		   const struct result *r)
{
	struct op *op = command_op(arena, c, OP_OUTBOX);

	op->kind = KIND_WEBHOOK;
	op->tenant = str_of(h->tenant);
	op->name = str_of(h->name);
	op->outbox = r->is_dead ? OUTBOX_DEAD : OUTBOX_DELIVERED;
	op->count = r->seq;
	op->message = str_of(r->error);
}

static void put_status(struct arena *arena, struct command *c, struct hook *h,
		       struct kv_txn *txn)
{
	struct op *op = command_op(arena, c, OP_OBJECT_STATUS);
	AUTO_BUF status = BUF_NONE;

	status_json(h, txn, &status);
	op->kind = KIND_WEBHOOK;
	op->tenant = str_of(h->tenant);
	op->name = str_of(h->name);
	op->status = arena_str(arena, buf_view(&status));
}

/* What it is stays known, and is written once more. */
static void write_again(struct hook *h)
{
	h->wants_status |= h->writes_status;
	h->write_ms = loop_now_ms(h->s->loop) + WRITE_AGAIN_MS;
	wake_in(h->s, WRITE_AGAIN_MS);
}

static void on_written(struct store_write *write, const struct outcome *o)
{
	struct hook *h = container_of(write, struct hook, write);
	struct sender *s = h->s;

	h->is_writing = false;
	if (s->is_stopping)
		return;
	if (o->code == OK || o->code == E_NOT_FOUND) {
		/* It is there no more where that is so. */
		h->n_results -= h->n_writing;
		memmove(h->results, h->results + h->n_writing,
			h->n_results * sizeof(h->results[0]));
	} else {
		log_warn(PART, LOG_KV(log_z("tenant", h->tenant),
				      log_z("webhook", h->name)),
			 "what was delivered could not be written: %s", o->text);
		write_again(h);
	}
	h->n_writing = 0;
	wake_in(s, o->code == OK ? 0 : WRITE_AGAIN_MS);
}

/* What is known by now becomes one command; the rest waits for its outcome. */
static void flush(struct hook *h, struct kv_txn *txn)
{
	AUTO_ARENA arena = arena_new(0);
	struct command c = {
		.type = COMMAND_OPS, .time_ms = clock_wall_ms(),
		.subject = { .name = STR("system"), .role = ROLE_SYSTEM },
		.credential = STR("none"), .origin = STR("local"),
	};

	if (h->is_writing || (h->n_results == 0 && !h->wants_status) ||
	    h->write_ms > loop_now_ms(h->s->loop))
		return;
	for (unsigned i = 0; i < h->n_results; i++)
		put_op(arena, &c, h, &h->results[i]);
	if (h->wants_status)
		put_status(arena, &c, h, txn);
	buf_reset(&h->bytes);
	command_encode(&h->bytes, &c);
	h->write = (struct store_write){ .home = h->s->loop,
					 .bytes = buf_view(&h->bytes),
					 .done = on_written };
	h->write_ms = 0;
	h->n_writing = h->n_results;
	h->writes_status = h->wants_status;
	h->wants_status = false;
	h->is_writing = failpoint_hit(FP_HOOK_WRITE, NULL) == OK &&
			store_submit(h->s->config.store, &h->write);
	if (!h->is_writing)
		write_again(h);
}

static void put_result(struct hook *h, bool is_dead, const char *error)
{
	struct result *r = &h->results[h->n_results++];

	must(h->n_results <= RESULTS_MAX);
	*r = (struct result){ .seq = h->seq, .is_dead = is_dead };
	str_copy(r->error, sizeof(r->error), str_of(error));
	h->tries = 0;
}

static void failed(struct hook *h, const char *error, bool is_final)
{
	struct sender *s = h->s;
	uint64_t now = clock_wall_ms(), waited;
	uint64_t pause;
	char text[OUTBOX_ERROR_MAX];

	atomic_fetch_add(&s->failed, 1);
	h->failures++;
	h->tries++;
	waited = now > h->since_ms ? now - h->since_ms : 0;
	pause = pause_of(h);
	h->next_ms = loop_now_ms(s->loop) + pause;
	log_debug(PART, LOG_KV(log_z("tenant", h->tenant),
			       log_z("webhook", h->name),
			       log_u("try", h->tries)), "%s", error);
	if (is_final || h->tries >= SENDER_TRIES_MAX ||
	    waited > s->config.give_up_ms) {
		AUTO_BUF all = BUF_NONE;

		buf_printf(&all, "%s (after %u %s)", error, h->tries,
			   h->tries == 1 ? "try" : "tries");
		str_copy(text, sizeof(text), buf_view(&all));
		put_result(h, true, text);
		atomic_fetch_add(&s->dead, 1);
		set_health(h, HEALTH_ILL, text);
	} else if (h->failures >= ILL_AFTER) {
		set_health(h, HEALTH_ILL, error);
	}
	wake_in(s, pause);
}

static void ended(struct hook *h, enum code rc, const struct err *err)
{
	char text[64];

	if (rc) {
		failed(h, err->text, false);
	} else if (h->ask.status / 100 == 2) {
		atomic_fetch_add(&h->s->delivered, 1);
		h->failures = 0;
		h->next_ms = 0;
		put_result(h, false, "");
		set_health(h, HEALTH_WELL, "");
	} else {
		AUTO_BUF all = BUF_NONE;

		buf_printf(&all, "HTTP %u", h->ask.status);
		str_copy(text, sizeof(text), buf_view(&all));
		failed(h, text, h->ask.status == 410);
	}
}

static bool leads(const struct sender *s)
{
	return s->is_caught_up && !s->is_stopping &&
	       store_leads(s->config.store);
}

static void on_asked(struct http_ask *ask, enum code rc, const struct err *err)
{
	struct hook *h = container_of(ask, struct hook, ask);
	struct sender *s = h->s;
	bool was_full = s->busy[h->bucket] == BUCKET_MOST;
	struct kv_txn *txn;
	struct err e;

	h->is_asking = false;
	s->busy[h->bucket]--;
	buf_reset(&h->ask.answer);
	/* Whoever leads now sends it again. */
	if (!leads(s) || rc == E_CANCELLED)
		return;
	if (failpoint_hit(FP_HOOK_SENT, &e)) {
		wake_in(s, RETRY_FIRST_MS);
		return;
	}
	ended(h, rc, err);
	if (was_full)
		wake_in(s, 0);
	if (view_use(s->view, 0, &txn, &e))
		return;
	flush(h, txn);
	go(h, txn);
	view_idle(s->view);
}

/* ---- sending ---- */

static bool is_known(const struct hook *h, uint64_t seq)
{
	for (unsigned i = 0; i < h->n_results; i++)
		if (h->results[i].seq == seq)
			return true;
	return false;
}

struct finding {
	const struct hook *h;
	struct outbox_row row;
	bool found;
};

static bool find_next(void *data, const struct outbox_row *row)
{
	struct finding *f = data;

	if (is_known(f->h, row->seq))
		return true;
	f->row = *row;
	f->found = true;
	return false;
}

static void deliver(struct hook *h, const struct webhook *hook,
		 const struct hook_key_row *key, const struct outbox_row *row)
{
	struct sender *s = h->s;
	char id[37];

	if (failpoint_hit(FP_HOOK_SEND, NULL)) {
		failed(h, "failpoint", false);
		return;
	}
	uuid_text(id, row->id);
	buf_reset(&h->url);
	buf_reset(&h->body);
	buf_reset(&h->headers);
	buf_str(&h->url, hook->url);
	event_json(&h->body, row, str_of(s->cluster), str_of(h->name));
	buf_z(&h->headers, "Content-Type: " HOOK_CONTENT_TYPE "\n");
	hook_headers(&h->headers, key, clock_wall_ms(), str_of(id),
		     buf_view(&h->body));
	h->ask.home = s->loop;
	h->ask.bucket = h->bucket;
	h->ask.url = buf_view(&h->url);
	h->ask.is_post = true;
	h->ask.body = buf_view(&h->body);
	h->ask.headers = buf_view(&h->headers);
	h->ask.timeout_ms = (unsigned)hook->timeout_ms;
	h->ask.done = on_asked;
	h->is_asking = http_out_ask(s->config.out, &h->ask);
	s->busy[h->bucket] += h->is_asking;
}

/* Whoever changed the webhook, its key, or put something back does not wait for a
 * pause that was of before. */
static void notice_change(struct hook *h, uint64_t generation, uint64_t key_ms)
{
	if (h->generation == generation && h->key_ms == key_ms)
		return;
	if (h->generation) {
		h->failures = 0;
		h->next_ms = 0;
	}
	h->generation = generation;
	h->key_ms = key_ms;
}

static void take_next(struct hook *h, const struct outbox_row *row)
{
	if (row->seq == h->seq && row->since_ms == h->since_ms)
		return;
	if (row->seq <= h->seq)
		h->next_ms = 0;
	h->seq = row->seq;
	h->since_ms = row->since_ms;
	h->tries = 0;
}

/* What it is told next; false: nothing, or not now. */
static bool is_due(struct hook *h, struct kv_txn *txn, struct outbox_row *row)
{
	struct finding f = { .h = h };
	uint64_t now = loop_now_ms(h->s->loop);

	view_outbox(txn, h->uid, OUTBOX_WAITING, 0, find_next, &f);
	if (!f.found || h->n_results == RESULTS_MAX)
		return false;
	take_next(h, &f.row);
	*row = f.row;
	if (h->next_ms > now)
		wake_in(h->s, h->next_ms - now);
	return h->next_ms <= now && h->s->busy[h->bucket] < BUCKET_MOST;
}

static void go_on(struct hook *h, struct kv_txn *txn, const struct object_view *o)
{
	AUTO_ARENA arena = arena_new(0);
	struct hook_key_row key = { 0 };
	struct outbox_row row;
	struct webhook hook;
	bool has_key = view_hook_key(txn, h->uid, &key);

	notice_change(h, o->row.generation, key.made_ms);
	if (is_due(h, txn, &row)) {
		webhook_read(arena, o->row.spec, &hook);
		if (!hook.suspend && has_key)
			deliver(h, &hook, &key, &row);
		else if (!hook.suspend)
			set_health(h, HEALTH_NO_KEY, "it has no key: events wait "
				   "until one is made (conflux webhook key)");
	}
	wipe(&key, sizeof(key));
}

/* Its next event, where it is time. */
static void go(struct hook *h, struct kv_txn *txn)
{
	struct object_view o;
	struct err err;

	if (!h->is_asking && view_by_uid(txn, h->uid, &o, &err) == OK)
		go_on(h, txn, &o);
}

/* ---- the webhooks that something waits for ---- */

static enum health health_of(const struct object_view *o)
{
	AUTO_ARENA arena = arena_new(0);
	struct str reason;
	struct str ready = condition_ready(arena, o->row.status, &reason, NULL);

	if (str_is(ready, "True"))
		return HEALTH_WELL;
	if (str_is(ready, "False"))
		return str_is(reason, "NoKey") ? HEALTH_NO_KEY : HEALTH_ILL;
	return HEALTH_UNKNOWN;
}

static struct hook *hook_new(struct sender *s, const struct object_view *o)
{
	struct hook *h = NEW(struct hook);

	h->s = s;
	h->uid = o->row.uid;
	str_copy(h->tenant, sizeof(h->tenant), o->tenant);
	str_copy(h->name, sizeof(h->name), o->name);
	h->bucket = http_out_bucket(o->tenant);
	h->health = health_of(o);
	if (h->health == HEALTH_ILL)
		atomic_fetch_add(&s->ill, 1);
	map_put(s->hooks, str_n((char *)h->uid.b, sizeof(h->uid.b)), h);
	return h;
}

static void hook_free(struct hook *h)
{
	http_ask_fini(&h->ask);
	buf_fini(&h->url);
	buf_fini(&h->body);
	buf_fini(&h->headers);
	buf_fini(&h->bytes);
	free(h);
}

static struct hook *hook_of(struct sender *s, struct kv_txn *txn, struct uuid uid)
{
	struct hook *h = map_get(s->hooks, str_n((char *)uid.b, sizeof(uid.b)));
	struct object_view o;
	struct err err;

	if (h || view_by_uid(txn, uid, &o, &err) || o.kind != KIND_WEBHOOK)
		return h;
	return hook_new(s, &o);
}

/* Those that have nothing to do any more, and those of objects that are gone, are
 * not kept. */
static bool is_idle(const struct hook *h)
{
	return !h->is_asking && !h->is_writing && h->n_results == 0 &&
	       !h->wants_status;
}

static void drop_idle(struct sender *s, struct kv_txn *txn)
{
	struct hook **idle = mem_alloc((map_count(s->hooks) + 1) * sizeof(*idle));
	size_t n = 0;
	void *value;

	for (size_t at = 0; map_next(s->hooks, &at, NULL, &value);) {
		struct hook *h = value;
		struct finding f = { .h = h };

		if (is_idle(h))
			view_outbox(txn, h->uid, OUTBOX_WAITING, 0, find_next, &f);
		if (is_idle(h) && !f.found)
			idle[n++] = h;
	}
	for (size_t i = 0; i < n; i++) {
		map_del(s->hooks, str_n((char *)idle[i]->uid.b,
					sizeof(idle[i]->uid.b)));
		if (idle[i]->health == HEALTH_ILL)
			atomic_fetch_sub(&s->ill, 1);
		hook_free(idle[i]);
	}
	free(idle);
}

static void flush_all(struct sender *s, struct kv_txn *txn)
{
	void *value;

	for (size_t at = 0; map_next(s->hooks, &at, NULL, &value);)
		flush(value, txn);
}

/* In a pause, and looked at a moment ago: whether somebody changed it is looked at a
 * little later. */
static bool rests(struct hook *h)
{
	uint64_t now = loop_now_ms(h->s->loop);

	if (h->next_ms <= now)
		return false;
	if (now - h->looked_ms < PAUSE_LOOK_MS) {
		wake_in(h->s, MIN(h->next_ms, h->looked_ms + PAUSE_LOOK_MS) - now);
		return true;
	}
	h->looked_ms = now;
	return false;
}

static void look(struct sender *s)
{
	struct uuid uid = { 0 };
	struct kv_txn *txn;
	struct err err;

	if (!leads(s) || view_use(s->view, 0, &txn, &err))
		return;
	s->looked_ms = loop_now_ms(s->loop);
	while (view_outbox_next(txn, &uid)) {
		struct hook *h = hook_of(s, txn, uid);

		if (h && !rests(h))
			go(h, txn);
	}
	flush_all(s, txn);
	drop_idle(s, txn);
	view_idle(s->view);
}

static void on_outbox(struct store_outbox *outbox)
{
	struct sender *s = container_of(outbox, struct sender, outbox);

	if (leads(s))
		wake_in(s, loop_now_ms(s->loop) - s->looked_ms < TOGETHER_MS ?
				   TOGETHER_MS : 0);
}

/* ---- who leads ---- */

/* What this node knows of an earlier time as leader does not count. */
static void forget(struct sender *s)
{
	void *value;

	for (size_t at = 0; map_next(s->hooks, &at, NULL, &value);) {
		struct hook *h = value;

		if (h->is_writing)
			continue;
		h->n_results = 0;
		h->wants_status = false;
	}
}

/* Or in vain: then some events are delivered a second time. */
static void on_caught_up(struct store_barrier *b, enum code rc,
			 const struct err *err)
{
	struct sender *s = container_of(b, struct sender, barrier);

	(void)rc;
	(void)err;
	s->is_asking = false;
	s->is_caught_up = true;
	look(s);
}

static void lead(struct sender *s)
{
	struct store_status st;

	store_status(s->config.store, &st);
	uuid_text(s->cluster, st.node.cluster_id);
	forget(s);
	s->is_caught_up = false;
	if (s->is_asking)
		return;
	s->barrier = (struct store_barrier){ .home = s->loop,
					     .done = on_caught_up };
	s->is_asking = store_barrier(s->config.store, &s->barrier);
}

static void on_role(struct store_role *role, bool is_leader)
{
	struct sender *s = container_of(role, struct sender, role);

	if (is_leader && !s->is_stopping)
		lead(s);
}

/* ---- life ---- */

static void start_here(struct msg *msg)
{
	struct sender *s = container_of(msg, struct sender, start_msg);

	if (s->is_stopping)
		return;
	timer_init(&s->timer, s->loop, on_timer);
	s->is_started = true;
	s->role.changed = on_role;
	store_on_role(s->config.store, &s->role);
	s->outbox.changed = on_outbox;
	store_on_outbox(s->config.store, &s->outbox);
	if (store_leads(s->config.store))
		lead(s);
}

enum code sender_new(const struct sender_config *config, struct sender **out,
		     struct err *err)
{
	struct sender *s = NEW(struct sender);
	enum code rc;

	s->config = *config;
	s->loop = store_core_loop(config->store);
	rc = view_new(config->store, &s->view, err);
	if (rc) {
		free(s);
		return rc;
	}
	s->hooks = map_new();
	prng_init(&s->prng, rand_u64());
	uv_sem_init(&s->stopped, 0);
	s->start_msg.run = start_here;
	loop_post_sure(s->loop, &s->start_msg);
	*out = s;
	return OK;
}

static void stop_here(struct msg *msg)
{
	struct sender *s = container_of(msg, struct sender, stop_msg);

	s->is_stopping = true;
	if (s->is_started) {
		store_off_role(&s->role);
		store_off_outbox(&s->outbox);
		timer_close(&s->timer, NULL);
	}
	view_free(&s->view);
	uv_sem_post(&s->stopped);
}

void sender_stop(struct sender *s)
{
	s->stop_msg.run = stop_here;
	loop_post_sure(s->loop, &s->stop_msg);
	uv_sem_wait(&s->stopped);
}

void sender_free(struct sender **sp)
{
	struct sender *s = TAKE(*sp);
	void *value;

	if (!s)
		return;
	for (size_t at = 0; map_next(s->hooks, &at, NULL, &value);)
		hook_free(value);
	map_free(&s->hooks);
	uv_sem_destroy(&s->stopped);
	free(s);
}

void sender_metrics(struct sender *s, struct buf *out)
{
#define PUT(name, type, help, value)                                       \
	buf_printf(out, "# HELP conflux_webhook_" name " " help "\n"        \
			"# TYPE conflux_webhook_" name " " type "\n"         \
			"conflux_webhook_" name " %llu\n",                   \
		   (unsigned long long)atomic_load(value))
	PUT("delivered_total", "counter", "Events delivered by this node.",
	    &s->delivered);
	PUT("failed_total", "counter", "Deliveries of this node that failed.",
	    &s->failed);
	PUT("dead_total", "counter", "Events that this node gave up.", &s->dead);
	PUT("failing", "gauge", "Webhooks with waiting events that fail, at the "
	    "leader.", &s->ill);
#undef PUT
}
