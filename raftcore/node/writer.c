/* The WAL thread: see writer.h. */
#include "node/writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

#define SAMPLES 256
#define ROOM_MS 200u             /* until a record is tried again */

/*
 * What others read of it.  No lock: who reads may be a worker that others go
 * before, and the WAL thread shall never wait for that.  Odd while it is written;
 * who reads looks twice.
 */
struct shown_stats {
	_Atomic unsigned version;
	_Atomic uint64_t words[sizeof(struct wal_stats) / 8];
	_Atomic uint32_t samples[SAMPLES];       /* microseconds of writes */
	_Atomic size_t n_samples;
};
_Static_assert(sizeof(struct wal_stats) % 8 == 0, "copied in words");

struct writer {
	struct writer_config config;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct writer_task *first, **last;
	bool is_stopping;
	struct shown_stats shown;
	struct wal_entry *entries;       /* of one record */
	size_t n_entries, cap_entries;
	uint64_t sequence;               /* of its last append */
	unsigned troubles;               /* seen, see wal_trouble */
	bool is_troubled;                /* and told */
};

/* NULL: a task, or there is none. */
static struct append *append_first(struct writer *w)
{
	if (!w->first || w->first->run)
		return NULL;
	return container_of(w->first, struct append, task_);
}

static struct writer_task *pop(struct writer *w)
{
	struct writer_task *t = w->first;

	w->first = t->next_;
	if (!w->first)
		w->last = &w->first;
	return t;
}

/* An append that replaces what is before it starts a record of its own. */
static bool goes_on(const struct writer *w, const struct append *a)
{
	return w->n_entries == 0 ||
	       a->entries[0].index == w->entries[w->n_entries - 1].index + 1;
}

/* Moves what fits one record off the queue into w->entries. */
static void gather(struct writer *w)
{
	struct append *a;
	size_t bytes = 0;

	w->n_entries = 0;
	while ((a = append_first(w)) && goes_on(w, a) &&
	       (bytes == 0 || bytes + a->bytes <= w->config.record_bytes)) {
		mem_grow((void **)&w->entries, &w->cap_entries,
			 w->n_entries + a->n, sizeof(*w->entries));
		memcpy(w->entries + w->n_entries, a->entries,
		       a->n * sizeof(*a->entries));
		w->n_entries += a->n;
		bytes += a->bytes + 1;
		w->sequence = a->sequence;
		pop(w);
	}
}

/* The next thing to do: a task, or a record in w->entries.  False: the end. */
static bool take(struct writer *w, struct writer_task **task)
{
	bool is_work;

	*task = NULL;
	pthread_mutex_lock(&w->lock);
	while (!w->first && !w->is_stopping)
		pthread_cond_wait(&w->cond, &w->lock);
	is_work = w->first;
	if (w->first && w->first->run)
		*task = pop(w);
	else
		gather(w);
	pthread_mutex_unlock(&w->lock);
	return is_work;
}

/* WAL thread, or before it runs. */
static void show_stats(struct writer *w)
{
	struct shown_stats *shown = &w->shown;
	uint64_t words[ARRAY_LEN(shown->words)];
	struct wal_stats stats = { 0 };

	wal_stats_get(w->config.wal, &stats);
	memcpy(words, &stats, sizeof(words));
	atomic_fetch_add(&shown->version, 1);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		atomic_store(&shown->words[i], words[i]);
	atomic_fetch_add(&shown->version, 1);
}

static void note(struct writer *w, uint64_t ns)
{
	size_t n = atomic_load(&w->shown.n_samples);

	atomic_store(&w->shown.samples[n % SAMPLES], (uint32_t)(ns / 1000));
	atomic_store(&w->shown.n_samples, n + 1);
	show_stats(w);
}

static void run_task(struct writer *w, struct writer_task *task)
{
	task->run(task, w->config.wal);
	show_stats(w);
}

/* False: the thread is to end. */
static bool wait_for_room(struct writer *w)
{
	uint64_t ns = clock_mono_ns() + ROOM_MS * 1000000ull;
	struct timespec until = { (time_t)(ns / 1000000000),
				  (long)(ns % 1000000000) };
	bool goes_on;
	int rc = 0;

	pthread_mutex_lock(&w->lock);
	while (!w->is_stopping && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&w->cond, &w->lock, &until);
	goes_on = !w->is_stopping;
	pthread_mutex_unlock(&w->lock);
	return goes_on;
}

enum code writer_patiently(struct writer *w, writer_step *step, void *data,
			   struct err *err)
{
	enum code rc = step(data, w->config.wal, err);
	bool was_full = rc == E_FULL;

	while (rc == E_FULL) {
		w->config.on_room(w->config.data, err);
		if (!wait_for_room(w))
			return rc;
		rc = step(data, w->config.wal, err);
	}
	if (was_full && rc == OK)
		w->config.on_room(w->config.data, NULL);
	return rc;
}

static enum code append_record(void *data, struct wal *wal, struct err *err)
{
	struct writer *w = data;

	return wal_append(wal, w->entries, w->n_entries, err);
}

static enum code write_record(struct writer *w, struct err *err)
{
	uint64_t from = clock_mono_ns();
	enum code rc = writer_patiently(w, append_record, w, err);

	if (rc)
		return rc;
	note(w, clock_mono_ns() - from);
	w->config.on_written(w->config.data, w->sequence);
	return OK;
}

static void look_beside(struct writer *w)
{
	struct err err;

	if (!w->config.on_trouble ||
	    !wal_trouble(w->config.wal, &w->troubles, &err))
		return;
	/* Not of what had gone well again before it was told. */
	if (err.code || w->is_troubled)
		w->config.on_trouble(w->config.data, err.code ? &err : NULL);
	w->is_troubled = err.code;
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	struct writer_task *task;

	pthread_setname_np(pthread_self(), "wal");
	while (take(w, &task)) {
		struct err err;
		enum code rc = OK;

		if (task)
			run_task(w, task);
		else
			rc = write_record(w, &err);
		if (rc) {
			w->config.on_failed(w->config.data, rc, &err);
			break;
		}
		look_beside(w);
	}
	return NULL;
}

static void writer_free(struct writer *w)
{
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->cond);
	free(w->entries);
	free(w);
}

enum code writer_start(const struct writer_config *config, struct writer **out,
		       struct err *err)
{
	struct writer *w = NEW(struct writer);
	pthread_condattr_t attr;
	int rc;

	w->config = *config;
	w->last = &w->first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->cond, &attr);
	pthread_condattr_destroy(&attr);
	show_stats(w);
	rc = pthread_create(&w->thread, NULL, writer_main, w);
	if (rc) {
		writer_free(w);
		return err_set(err, E_BUSY, "thread wal: %s", strerror(rc));
	}
	*out = w;
	return OK;
}

void writer_stop(struct writer **wp)
{
	struct writer *w = *wp;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->is_stopping = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	writer_free(w);
	*wp = NULL;
}

static void put(struct writer *w, struct writer_task *t)
{
	t->next_ = NULL;
	pthread_mutex_lock(&w->lock);
	*w->last = t;
	w->last = &t->next_;
	pthread_mutex_unlock(&w->lock);
}

/* Not under the lock, for which it would wait at once. */
void writer_wake(struct writer *w)
{
	pthread_cond_signal(&w->cond);
}

void writer_run(struct writer *w, struct writer_task *t)
{
	put(w, t);
	writer_wake(w);
}

void writer_append(struct writer *w, struct append *a)
{
	a->task_.run = NULL;
	put(w, &a->task_);
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t writer_p99_us(struct writer *w)
{
	uint32_t copy[SAMPLES];
	size_t n = MIN(atomic_load(&w->shown.n_samples), (size_t)SAMPLES);

	for (size_t i = 0; i < n; i++)
		copy[i] = atomic_load(&w->shown.samples[i]);
	if (n == 0)
		return 0;
	qsort(copy, n, sizeof(*copy), by_number);
	return copy[(n - 1) * 99 / 100];
}

void writer_stats(struct writer *w, struct wal_stats *out)
{
	struct shown_stats *shown = &w->shown;
	uint64_t words[ARRAY_LEN(shown->words)];
	unsigned version;

	do {
		version = atomic_load(&shown->version);
		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			words[i] = atomic_load(&shown->words[i]);
	} while (version % 2 || version != atomic_load(&shown->version));
	memcpy(out, words, sizeof(words));
	/* What was cut may still be there, and nobody may write for long. */
	out->other_segments += wal_gone_others(w->config.wal);
}
