/*
 * What the store writes by itself: the passing of time, limits that were set
 * anew, and what was denied.  At most one at a time is under way, and one of limits.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/own.h"

#include "base/banned.h"

#define TICK_MS 1000
#define FAREWELL_S 2

/* ---- ticks, limits, denials ---- */

static void tick_done(struct store_write *w, const struct outcome *o)
{
	struct store *s = container_of(w, struct store, tick_write);

	s->tick_in_flight = false;
}

void send_own(struct store *s, const struct command *c)
{
	if (atomic_load(&s->is_stopping))
		return;
	buf_reset(&s->tick_bytes);
	command_encode(&s->tick_bytes, c);
	s->tick_write = (struct store_write){ .home = s->core,
					      .bytes = buf_view(&s->tick_bytes),
					      .done = tick_done };
	s->tick_in_flight = true;
	/* Here and now: what waits for this node to lead comes behind it. */
	submit_on_core(s, &s->tick_write);
}

static void send_tick(struct store *s)
{
	struct command c = { .type = COMMAND_TICK, .time_ms = store_wall_ms(s) };

	send_own(s, &c);
}

static struct command denials_command(const struct store *s)
{
	return (struct command){
		.type = COMMAND_OPS, .time_ms = store_wall_ms(s),
		.subject = { .name = STR("system"), .role = ROLE_SYSTEM },
		.credential = STR("none"), .origin = STR("local"),
	};
}

static void send_denials(struct store *s)
{
	AUTO_ARENA arena = arena_new(0);
	struct command c = denials_command(s);

	if (denials_take(s->denials, clock_mono_ms(), false, arena, &c))
		send_own(s, &c);
}

void store_denied(struct store *s, struct str who, struct str why)
{
	denials_add(s->denials, who, why);
}

void store_denied_from(struct store *s, const char *host, struct str why)
{
	AUTO_BUF who = BUF_NONE;

	buf_z(&who, "address ");
	denials_network(&who, host);
	denials_add(s->denials, buf_view(&who), why);
}

static bool limits_differ(const struct limits *want, const struct limits *have)
{
	uint64_t w[sizeof(*want) / sizeof(uint64_t)], h[ARRAY_LEN(w)];

	memcpy(w, want, sizeof(w));
	memcpy(h, have, sizeof(h));
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		if (w[i] && w[i] != h[i])
			return true;
	return false;
}

static void limits_done(struct store_write *w, const struct outcome *o)
{
	struct store *s = container_of(w, struct store, limits_write);

	s->limits_in_flight = false;
}

void limits_go_on(struct store *s)
{
	struct command c = { .type = COMMAND_LIMITS, .limits = s->config.limits };

	if (s->limits_in_flight || atomic_load(&s->is_stopping) ||
	    !atomic_load(&s->is_leader) ||
	    !limits_differ(&s->config.limits, &state_head(s->state)->limits))
		return;
	c.time_ms = store_wall_ms(s);
	buf_reset(&s->limits_bytes);
	command_encode(&s->limits_bytes, &c);
	s->limits_write = (struct store_write){ .home = s->core,
						.bytes = buf_view(&s->limits_bytes),
						.done = limits_done };
	s->limits_in_flight = true;
	submit_on_core(s, &s->limits_write);
}

static void on_tick(struct timer *timer)
{
	struct store *s = container_of(timer, struct store, tick);

	timer_start(&s->tick, TICK_MS);
	if (atomic_load(&s->has_failed))
		return;
	limits_go_on(s);
	if (s->tick_in_flight)
		return;
	if (!atomic_load(&s->is_leader))
		send_denials(s);
	else if (state_tick_is_due(s->state, store_wall_ms(s)))
		send_tick(s);
	else
		send_denials(s);
	initialize_tick(s);
	if (atomic_load(&s->is_leader)) {
		clocks_tick(s);
		versions_tick(s);
		changes_tick(s);
	}
}

void upkeep_start(struct store *s)
{
	timer_init(&s->tick, s->core, on_tick);
	s->has_tick = true;
	timer_start(&s->tick, TICK_MS);
}

/* ---- the last denials ---- */

/* On their way, which may outlast the wait for them. */
struct farewell {
	struct store_write write;
	struct store *store;
	struct msg msg;
	struct buf bytes;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool is_over, is_left;
};

static void farewell_free(struct farewell *f)
{
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->cond);
	buf_fini(&f->bytes);
	free(f);
}

static void farewell_over(struct farewell *f)
{
	bool is_left;

	pthread_mutex_lock(&f->lock);
	f->is_over = true;
	is_left = f->is_left;
	pthread_cond_signal(&f->cond);
	pthread_mutex_unlock(&f->lock);
	if (is_left)
		farewell_free(f);
}

static void farewell_done(struct store_write *w, const struct outcome *o)
{
	if (o->code)
		log_warn(PART, LOG_KV(log_z("why", o->text)), "the last denied "
			 "requests are not in the audit log");
	farewell_over(container_of(w, struct farewell, write));
}

static void farewell_here(struct msg *msg)
{
	struct farewell *f = container_of(msg, struct farewell, msg);
	AUTO_ARENA arena = arena_new(0);
	struct command c = denials_command(f->store);

	if (!denials_take(f->store->denials, clock_mono_ms(), true, arena, &c)) {
		farewell_over(f);
		return;
	}
	command_encode(&f->bytes, &c);
	f->write = (struct store_write){ .home = f->store->core,
					 .bytes = buf_view(&f->bytes),
					 .done = farewell_done };
	submit_on_core(f->store, &f->write);
}

void upkeep_farewell(struct store *s)
{
	struct farewell *f = NEW(struct farewell);
	pthread_condattr_t attr;
	struct timespec until;
	bool is_over;

	f->store = s;
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->cond, &attr);
	pthread_condattr_destroy(&attr);
	f->msg.run = farewell_here;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += FAREWELL_S;
	loop_post_sure(s->core, &f->msg);
	pthread_mutex_lock(&f->lock);
	while (!f->is_over &&
	       !pthread_cond_timedwait(&f->cond, &f->lock, &until))
		;
	is_over = f->is_over;
	f->is_left = true;
	pthread_mutex_unlock(&f->lock);
	if (is_over)
		farewell_free(f);
}
