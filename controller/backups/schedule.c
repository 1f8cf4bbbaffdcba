/*
 * Backups on a schedule: one when the newest of this cluster in the folder is
 * older than the interval, while this node leads (or on each node, if that is
 * set).  A new leader looks into its own folder, so after a change of leader
 * there is rather one too many than one too few; a folder that nodes share holds
 * one an interval.
 *
 * A failure removes what is half written, is told, and is tried again after a
 * minute, two, four, up to an hour.  Older backups go only after a new one was
 * verified.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "backups/own.h"

#include "base/banned.h"

#define LOOK_MS 1000                     /* whether it leads */
#define FOLDER_MS 60000                  /* whether others wrote one */
#define RETRY_MS 60000
#define RETRY_MAX_MS 3600000

static struct uuid cluster_of(const struct backups *b)
{
	struct store_status st;

	store_status(b->config.store, &st);
	return st.node.cluster_id;
}

static void next_in(struct backups *b, uint64_t ms)
{
	if (b->has_timer)
		timer_start(&b->timer, MAX(ms, (uint64_t)1));
}

/* ---- what came of it ---- */

static void note_failed(struct backups *b)
{
	uint64_t wait = RETRY_MS << MIN(b->failures, 6u);

	b->failures++;
	pthread_mutex_lock(&b->lock);
	b->view.is_running = false;
	b->view.failed++;
	b->view.failed_ms = clock_wall_ms();
	str_copy(b->view.error, sizeof(b->view.error), str_of(b->err.text));
	pthread_mutex_unlock(&b->lock);
	if (b->rc != E_CANCELLED)
		log_error(PART, LOG_KV(log_z("folder", b->config.dir),
				       log_z("error", b->err.text)),
			  "no backup was made; it is tried again");
	next_in(b, MIN(wait, MIN(b->config.interval_ms, (uint64_t)RETRY_MAX_MS)));
}

static void note_done(struct backups *b)
{
	uint64_t now = clock_wall_ms();

	b->failures = 0;
	b->newest_ms = now;
	pthread_mutex_lock(&b->lock);
	b->view.is_running = false;
	b->view.done++;
	b->view.last_ms = now;
	b->view.last_bytes = b->written;
	b->view.last_took_ms = now - MIN(now, b->started_ms);
	b->view.failed_ms = 0;
	b->view.error[0] = '\0';
	str_copy(b->view.last_file, sizeof(b->view.last_file), str_of(b->name));
	pthread_mutex_unlock(&b->lock);
	log_info(PART, LOG_KV(log_z("file", b->name), log_u("bytes", b->written),
			      log_u("ms", now - MIN(now, b->started_ms)),
			      log_z("sealed", b->recipient ? "yes" : "no")),
		 "a backup is made");
	next_in(b, MIN(b->config.interval_ms, (uint64_t)LOOK_MS));
}

/* ---- writing one; a worker ---- */

static void write_run(struct work *work)
{
	struct backups *b = container_of(work, struct backups, work);
	struct uuid cluster = rc_picture_head(b->picture)->cluster;

	b->rc = folder_write(b->config.dir, b->picture, b->recipient,
			     &b->is_stopping, b->name, &b->written, &b->err);
	rc_picture_free(&b->picture);
	if (b->rc)
		return;
	b->made_mono_ms = clock_mono_ms();
	b->rc = folder_prune(b->config.dir, cluster, clock_wall_ms(),
			     b->config.keep, &b->err);
}

static void write_done(struct work *work)
{
	struct backups *b = container_of(work, struct backups, work);

	b->is_busy = false;
	if (b->rc)
		note_failed(b);
	else
		note_done(b);
}

static void submit(struct backups *b, void (*run)(struct work *work),
		   void (*done)(struct work *work))
{
	b->work = (struct work){ .home = store_core_loop(b->config.store),
				 .run = run, .done = done };
	if (backups_submit(b, &b->work))
		return;
	b->is_busy = false;
	rc_picture_free(&b->picture);
	b->rc = err_set(&b->err, E_BUSY, "no worker for a backup");
	note_failed(b);
}

static void about(struct rc_backup *backup, struct buf *out)
{
	struct backups *b = container_of(backup, struct backups, backup);

	backup_about(out, b->config.version, store_rev(b->config.store));
}

static void taken(struct rc_backup *backup, enum code rc,
		  struct rc_picture *picture, const struct err *err)
{
	struct backups *b = container_of(backup, struct backups, backup);

	if (atomic_load(&b->is_stopping)) {
		rc_picture_free(&picture);
		b->is_busy = false;
		return;
	}
	b->rc = rc;
	b->picture = picture;
	if (rc == OK) {
		submit(b, write_run, write_done);
		return;
	}
	b->is_busy = false;
	err_copy(&b->err, err);
	note_failed(b);
}

/* ---- is one due? ---- */

static void begin(struct backups *b)
{
	b->started_ms = clock_wall_ms();
	pthread_mutex_lock(&b->lock);
	b->view.is_running = true;
	pthread_mutex_unlock(&b->lock);
	b->backup = (struct rc_backup){ READ_MS, about, taken };
	if (!store_backup(b->config.store, &b->backup))
		b->is_busy = false;
}

static void look_run(struct work *work)
{
	struct backups *b = container_of(work, struct backups, work);

	b->rc = folder_newest(b->config.dir, cluster_of(b), clock_wall_ms(),
			      &b->newest_ms, &b->err);
}

/*
 * How long ago the last one was made.  Names are by the clock, which may be set
 * anywhere, and files may be taken away: what this run has made itself counts by a
 * clock that nobody sets, so there is never more than one an interval.
 */
static uint64_t age_of_newest(const struct backups *b)
{
	uint64_t now = clock_wall_ms();
	uint64_t age = now - MIN(now, b->newest_ms);

	return b->made_mono_ms ? MIN(age, clock_mono_ms() - b->made_mono_ms) :
				 age;
}

static void look_done(struct work *work)
{
	struct backups *b = container_of(work, struct backups, work);
	uint64_t age;

	if (atomic_load(&b->is_stopping)) {
		b->is_busy = false;
		return;
	}
	if (b->rc) {
		b->is_busy = false;
		note_failed(b);
		return;
	}
	age = age_of_newest(b);
	pthread_mutex_lock(&b->lock);
	b->view.last_ms = b->newest_ms;
	pthread_mutex_unlock(&b->lock);
	if (age >= b->config.interval_ms) {
		begin(b);
		return;
	}
	b->is_busy = false;
	next_in(b, MIN(b->config.interval_ms - age, (uint64_t)FOLDER_MS));
}

static void on_timer(struct timer *timer)
{
	struct backups *b = container_of(timer, struct backups, timer);
	struct store *store = b->config.store;

	if (b->is_busy)
		return;
	if (!b->config.on_each && !store_leads(store)) {
		timer_start(timer, LOOK_MS);
		return;
	}
	b->is_busy = true;
	submit(b, look_run, look_done);
}

/* ---- life ---- */

static void start_here(struct msg *msg)
{
	struct backups *b = container_of(msg, struct backups, start_msg);

	if (atomic_load(&b->is_stopping))
		return;
	timer_init(&b->timer, store_core_loop(b->config.store), on_timer);
	b->has_timer = true;
	timer_start(&b->timer, 1);
}

void schedule_start(struct backups *b)
{
	b->view.is_on = true;
	b->start_msg.run = start_here;
	loop_post_sure(store_core_loop(b->config.store), &b->start_msg);
}

static void stop_here(struct msg *msg)
{
	struct backups *b = container_of(msg, struct backups, stop_msg);

	if (b->has_timer)
		timer_close(&b->timer, NULL);
	b->has_timer = false;
}

void schedule_stop(struct backups *b)
{
	b->stop_msg.run = stop_here;
	loop_post_sure(store_core_loop(b->config.store), &b->stop_msg);
}
