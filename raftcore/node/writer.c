/* The WAL thread: see writer.h. */
#include "node/writer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

#define SAMPLES 256

struct writer {
	struct writer_config config;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct append *first, **last;
	bool is_stopping;
	uint64_t cut;                    /* asked for; 0: nothing */
	uint32_t samples[SAMPLES];
	size_t n_samples;
	struct wal_stats stats;
	struct wal_entry *entries;       /* of one record */
	size_t n_entries, cap_entries;
};

static void note(struct writer *w, uint64_t ns)
{
	pthread_mutex_lock(&w->lock);
	w->samples[w->n_samples++ % SAMPLES] = (uint32_t)(ns / 1000);
	wal_stats_get(w->config.wal, &w->stats);
	pthread_mutex_unlock(&w->lock);
}

/* Takes what fits one record off the queue into w->entries, and what is to be
 * cut. */
static bool take(struct writer *w, uint64_t *cut)
{
	size_t bytes = 0;

	w->n_entries = 0;
	pthread_mutex_lock(&w->lock);
	while (!w->first && !w->is_stopping && !w->cut)
		pthread_cond_wait(&w->cond, &w->lock);
	while (w->first && (bytes == 0 || bytes + w->first->bytes <=
						  w->config.record_bytes)) {
		struct append *a = w->first;

		mem_grow((void **)&w->entries, &w->cap_entries,
			 w->n_entries + a->n, sizeof(*w->entries));
		memcpy(w->entries + w->n_entries, a->entries,
		       a->n * sizeof(*a->entries));
		w->n_entries += a->n;
		bytes += a->bytes + 1;
		w->first = a->next_;
		if (!w->first)
			w->last = &w->first;
	}
	*cut = w->cut;
	w->cut = 0;
	pthread_mutex_unlock(&w->lock);
	return w->n_entries > 0 || *cut > 0;
}

/* Writes what was taken. */
static bool write_record(struct writer *w)
{
	uint64_t from = clock_mono_ns();
	uint64_t last = w->entries[w->n_entries - 1].index;
	struct err err;
	enum code rc = wal_append(w->config.wal, w->entries, w->n_entries, &err);

	if (rc) {
		w->config.on_failed(w->config.data, rc, &err);
		return false;
	}
	note(w, clock_mono_ns() - from);
	w->config.on_written(w->config.data, last);
	return true;
}

static bool cut_log(struct writer *w, uint64_t index)
{
	struct err err;
	enum code rc = wal_cut(w->config.wal, index, &err);

	if (rc)
		w->config.on_failed(w->config.data, rc, &err);
	return rc == OK;
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	uint64_t cut;

	pthread_setname_np(pthread_self(), "wal");
	while (take(w, &cut)) {
		if (w->n_entries && !write_record(w))
			break;
		if (cut && !cut_log(w, cut))
			break;
	}
	return NULL;
}

struct writer *writer_start(const struct writer_config *config)
{
	struct writer *w = NEW(struct writer);

	w->config = *config;
	w->last = &w->first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
	wal_stats_get(config->wal, &w->stats);
	must(pthread_create(&w->thread, NULL, writer_main, w) == 0);
	return w;
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
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->cond);
	free(w->entries);
	free(w);
	*wp = NULL;
}

void writer_append(struct writer *w, struct append *a)
{
	a->next_ = NULL;
	pthread_mutex_lock(&w->lock);
	*w->last = a;
	w->last = &a->next_;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

void writer_cut(struct writer *w, uint64_t index)
{
	pthread_mutex_lock(&w->lock);
	w->cut = MAX(w->cut, index);
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t writer_p99_us(struct writer *w)
{
	uint32_t copy[SAMPLES];
	size_t n;

	pthread_mutex_lock(&w->lock);
	n = MIN(w->n_samples, (size_t)SAMPLES);
	memcpy(copy, w->samples, n * sizeof(*copy));
	pthread_mutex_unlock(&w->lock);
	if (n == 0)
		return 0;
	qsort(copy, n, sizeof(*copy), by_number);
	return copy[(n - 1) * 99 / 100];
}

void writer_stats(struct writer *w, struct wal_stats *out)
{
	pthread_mutex_lock(&w->lock);
	*out = w->stats;
	pthread_mutex_unlock(&w->lock);
}
