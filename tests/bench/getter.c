/*
 * Nanoseconds a getter of libconflux takes, with 1, 2 and 8 threads at once, on a
 * configuration of 200 values; with `changes`, while another picture becomes current
 * each millisecond.
 *
 *	getter [SECONDS]
 *
 * A line of JSON a row: threads, changes (0 or 1), ns of cfx_get_i64, cfx_get_bool and
 * cfx_get_string (24 bytes), as one thread sees them, and of all threads together.
 * With more threads than processors the first grows and the second is what matters.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "client/sdk/own.h"

#include "base/banned.h"

#define THREADS_MAX 8
#define VALUES 200
#define ROUND 1000

enum getter { GET_I64, GET_BOOL, GET_STRING, GETTERS };

struct bench {
	struct cfx *cfx;
	enum getter getter;
	atomic_bool is_over;
	struct { _Alignas(128) uint64_t calls; } threads[THREADS_MAX];
};

struct one {
	struct bench *bench;
	unsigned at;
};

static char *content(void)
{
	struct bytes out = { 0 };

	must(bytes_add(&heap_of_libc, &out, STR("{\"http\":{\"timeout_ms\":500,"
		"\"is_on\":true,\"name\":\"twenty-four letters here\"}")));
	for (unsigned i = 0; i < VALUES; i++)
		must(bytes_printf(&heap_of_libc, &out, ",\"key%u\":%u", i, i));
	must(bytes_add(&heap_of_libc, &out, STR("}")) &&
	     bytes_room(&heap_of_libc, &out, 1));
	out.p[out.n] = '\0';
	return out.p;
}

static void exchange(struct cfx *cfx)
{
	struct doc *doc = NULL;
	char *text = content();

	must(doc_new(&heap_of_libc, text, strlen(text), "application/json",
		     cfx->c_locale, cfx->seed, &doc, NULL) == CFX_OK);
	cfx->configs[0].staged = doc;
	must(commit(cfx, "snapshot", NULL) == CFX_OK);
	shelf_clean(&cfx->shelf);
}

static void get(struct bench *b)
{
	char text[32];

	switch (b->getter) {
	case GET_I64:
		for (unsigned i = 0; i < ROUND; i++)
			must(cfx_get_i64(b->cfx, "main.json", "http.timeout_ms",
					 0) == 500);
		break;
	case GET_BOOL:
		for (unsigned i = 0; i < ROUND; i++)
			must(cfx_get_bool(b->cfx, "main.json", "http.is_on",
					  false));
		break;
	default:
		for (unsigned i = 0; i < ROUND; i++)
			must(cfx_get_string(b->cfx, "main.json", "http.name", "",
					    text, sizeof(text)) == 24);
	}
}

static void *run(void *data)
{
	struct one *one = data;
	struct bench *b = one->bench;

	while (!atomic_load_explicit(&b->is_over, memory_order_relaxed)) {
		get(b);
		b->threads[one->at].calls += ROUND;
	}
	return NULL;
}

/* Nanoseconds between two calls, of all threads together. */
static double measure(struct bench *b, unsigned threads, bool changes,
		      uint64_t ns)
{
	struct timespec pause = { 0, 1000000 };
	struct one ones[THREADS_MAX];
	pthread_t ids[THREADS_MAX];
	uint64_t began, calls = 0;

	atomic_store(&b->is_over, false);
	for (unsigned i = 0; i < threads; i++) {
		b->threads[i].calls = 0;
		ones[i] = (struct one){ b, i };
		must(pthread_create(&ids[i], NULL, run, &ones[i]) == 0);
	}
	began = clock_mono_ns();
	while (clock_mono_ns() - began < ns) {
		nanosleep(&pause, NULL);
		if (changes)
			exchange(b->cfx);
	}
	atomic_store(&b->is_over, true);
	ns = clock_mono_ns() - began;
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(ids[i], NULL);
		calls += b->threads[i].calls;
	}
	return (double)ns / (double)calls;
}

int main(int argc, char **argv)
{
	static const unsigned threads[] = { 1, 2, 8 };
	double seconds = argc > 1 ? atof(argv[1]) : 0.5;
	struct cfx_options o = CFX_OPTIONS_INIT;
	struct bench b = { 0 };

	o.endpoints = "http://127.0.0.1:1";
	o.tenant = "t", o.application = "a", o.environment = "e";
	o.configs = "main.json";
	o.boot = CFX_BOOT_AT_ONCE;
	o.mode = CFX_MODE_LOOP;
	must(cfx_open(&o, &b.cfx, NULL) == CFX_OK);
	exchange(b.cfx);
	for (unsigned changes = 0; changes < 2; changes++)
		for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
			double all[GETTERS];

			for (int g = 0; g < GETTERS; g++) {
				b.getter = (enum getter)g;
				all[g] = measure(&b, threads[i], changes,
						 (uint64_t)(seconds * 1e9));
			}
			printf("{\"threads\":%u,\"changes\":%u,\"i64_ns\":%.1f,"
			       "\"bool_ns\":%.1f,\"string_ns\":%.1f,"
			       "\"i64_all_ns\":%.1f,\"bool_all_ns\":%.1f,"
			       "\"string_all_ns\":%.1f}\n", threads[i], changes,
			       all[GET_I64] * threads[i], all[GET_BOOL] * threads[i],
			       all[GET_STRING] * threads[i], all[GET_I64],
			       all[GET_BOOL], all[GET_STRING]);
			fflush(stdout);
		}
	cfx_close(b.cfx);
	return 0;
}
