/*
 * Readers while pictures are exchanged: each sees one whole picture, nothing is let go
 * that somebody reads, and everything is in the end.
 */
#include "client/sdk/own.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "server.h"
#include "unit.h"

#include "base/banned.h"

#define READERS 8
#define JSON "application/json"

/* ---- the shelf alone ---- */

static atomic_long blocks;

static void *count_alloc(void *user, size_t n)
{
	atomic_fetch_add(&blocks, 1);
	return malloc(n);
}

static void *count_resize(void *user, void *p, size_t n)
{
	return realloc(p, n);
}

static void count_release(void *user, void *p)
{
	atomic_fetch_sub(&blocks, 1);
	free(p);
}

static const struct cfx_allocator counting = { count_alloc, count_resize,
					       count_release, NULL };

/* A client that has no engine: readers see its shelf alone. */
struct stage {
	struct cfx cfx;
	atomic_bool is_over;
	atomic_uint rounds;
};

static struct cfx_view *picture_of(struct stage *s, int64_t n)
{
	char text[64];
	struct cfx_view *p = picture_new(&counting, s->cfx.names, NULL);
	struct doc *doc = NULL;

	snprintf(text, sizeof(text), "{\"a\":%d,\"b\":\"%d\"}", (int)n, (int)n);
	must(doc_new(&counting, heap_text(&counting, str_of(text)), strlen(text),
		     JSON, s->cfx.c_locale, (uint64_t)n, &doc, NULL) == CFX_OK);
	picture_set(p, 0, doc);
	doc_unref(doc);
	return p;
}

static void begin(struct stage *s)
{
	s->cfx.c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	must(names_new(&counting, "x", &s->cfx.names, NULL) == CFX_OK);
	must(shelf_init(&counting, &s->cfx.shelf, picture_of(s, 1)));
}

static void end(struct stage *s)
{
	shelf_fini(&counting, &s->cfx.shelf);
	names_unref(&counting, s->cfx.names);
	freelocale(s->cfx.c_locale);
	ck_assert_int_eq(atomic_load(&blocks), 0);
}

/* Values never go back, and those of one view belong together. */
static void *read_on(void *data)
{
	struct stage *s = data;
	int64_t last = 0;

	while (!atomic_load(&s->is_over)) {
		struct cfx_view *view = cfx_view(&s->cfx);
		char text[16];
		int64_t a, b;

		a = cfx_view_i64(view, "x", "a", -1);
		must(a == atoll(cfx_view_string(view, "x", "b", "", NULL)));
		must(a >= last);
		cfx_get_string(&s->cfx, "x", "b", "", text, sizeof(text));
		b = cfx_get_i64(&s->cfx, "x", "a", -1);
		must(b >= atoll(text) && atoll(text) >= a);
		last = b;
		cfx_view_free(view);
		atomic_fetch_add(&s->rounds, 1);
	}
	return NULL;
}

START_TEST(pictures_are_exchanged)
{
	struct stage *s = calloc(1, sizeof(*s));
	pthread_t threads[READERS];
	unsigned seen;

	begin(s);
	for (unsigned i = 0; i < READERS; i++)
		must(pthread_create(&threads[i], NULL, read_on, s) == 0);
	for (int64_t n = 2; n <= 3000; n++)
		shelf_exchange(&s->cfx.shelf, picture_of(s, n));
	/* All of them read while pictures went by. */
	seen = atomic_load(&s->rounds);
	while (atomic_load(&s->rounds) < seen + READERS)
		sched_yield();
	atomic_store(&s->is_over, true);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert(!shelf_clean(&s->cfx.shelf));
	/* But for the last picture, its document and the names. */
	ck_assert_int_le(atomic_load(&blocks), 10);
	end(s);
	free(s);
}
END_TEST

/* What a reader counts himself in for is not let go, whichever count it was. */
START_TEST(a_reader_is_waited_for)
{
	struct stage *s = calloc(1, sizeof(*s));

	begin(s);
	for (unsigned which = 0; which < 2; which++) {
		atomic_uint *readers = &s->cfx.shelf.slots[7].readers[which];
		struct cfx_view *was;
		long held;

		atomic_fetch_add(readers, 1);
		was = atomic_load(&s->cfx.shelf.now);
		held = atomic_load(&blocks);
		shelf_exchange(&s->cfx.shelf, picture_of(s, 5));
		ck_assert(shelf_clean(&s->cfx.shelf));
		ck_assert_int_gt(atomic_load(&blocks), held);
		ck_assert_int_eq(cfx_view_i64(was, "x", "a", -1), which ? 6 : 1);
		/* Another one comes and waits its turn. */
		shelf_exchange(&s->cfx.shelf, picture_of(s, 6));
		ck_assert(shelf_clean(&s->cfx.shelf));
		atomic_fetch_sub(readers, 1);
		ck_assert(!shelf_clean(&s->cfx.shelf));
		ck_assert_int_eq(atomic_load(&blocks), held);
	}
	end(s);
	free(s);
}
END_TEST

START_TEST(names)
{
	char list[CONFIGS_MAX * 8] = "", room[16];
	struct cfx_error error;
	struct names *n = NULL;

	for (unsigned i = 0; i < CONFIGS_MAX; i++) {
		snprintf(list + strlen(list), 8, "%sn%u", i ? "," : "", i);
		ck_assert_int_eq(names_new(&counting, list, &n, &error), CFX_OK);
		ck_assert_uint_eq(n->n, i + 1);
		for (unsigned k = 0; k < CONFIGS_MAX; k++) {
			snprintf(room, sizeof(room), "n%u", k);
			ck_assert_int_eq(names_find(n, room), k <= i ? (int)k : -1);
		}
		names_unref(&counting, n);
		snprintf(list + strlen(list), 8, ",n%u", i / 2);
		ck_assert_int_eq(names_new(&counting, list, &n, &error),
				 CFX_E_USAGE);
		*strrchr(list, ',') = '\0';
	}
	ck_assert_int_eq(atomic_load(&blocks), 0);
}
END_TEST

/* ---- a whole client ---- */

struct reading {
	struct cfx *cfx;
	atomic_bool is_over;
};

static void *read_client(void *data)
{
	struct reading *r = data;
	int64_t last = 0;

	while (!atomic_load(&r->is_over)) {
		struct cfx_view *view = cfx_view(r->cfx);
		struct cfx_status status = { .size = sizeof(status) };
		int64_t n = cfx_view_i64(view, "main.json", "n", -1);

		must(n == cfx_view_i64(view, "b.json", "n", -2));
		must(n >= last);
		last = n;
		cfx_view_free(view);
		cfx_status(r->cfx, &status);
		must(status.size == sizeof(status));
	}
	return NULL;
}

static void count(void *data, const struct cfx_change *change)
{
	atomic_fetch_add((atomic_uint *)data, 1);
}

static void *come_and_go(void *data)
{
	struct reading *r = data;
	atomic_uint calls = 0;

	while (!atomic_load(&r->is_over)) {
		uint64_t id;
		unsigned seen;

		must(cfx_on_change(r->cfx, NULL, "n", count, &calls, &id) == CFX_OK);
		cfx_off_change(r->cfx, id);
		/* None comes any more. */
		seen = atomic_load(&calls);
		sched_yield();
		must(atomic_load(&calls) == seen);
	}
	return NULL;
}

START_TEST(readers_of_a_client)
{
	struct server_config config = { 0 };
	struct server *s = server_new(&config);
	struct cfx_options o = CFX_OPTIONS_INIT;
	struct reading r = { 0 };
	pthread_t threads[READERS];
	char text[32], ack[40];

	o.endpoints = server_url(s);
	o.tenant = "acme", o.application = "shop", o.environment = "prod";
	o.configs = "main.json,b.json";
	server_publish(s, "main.json", JSON, "{\"n\":1}", false);
	server_publish(s, "b.json", JSON, "{\"n\":1}", true);
	ck_assert_int_eq(cfx_open(&o, &r.cfx, NULL), CFX_OK);
	for (unsigned i = 0; i < READERS; i++)
		must(pthread_create(&threads[i], NULL,
				    i ? read_client : come_and_go, &r) == 0);
	for (int n = 2; n <= 40; n++) {
		snprintf(text, sizeof(text), "{\"n\":%d}", n);
		server_publish(s, "main.json", JSON, text, false);
		server_publish(s, "b.json", JSON, text, true);
		snprintf(ack, sizeof(ack), "applied b.json %d", n);
		ck_assert(server_saw_ack(s, ack));
	}
	atomic_store(&r.is_over, true);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(cfx_get_i64(r.cfx, "main.json", "n", -1), 40);
	cfx_close(r.cfx);
	server_free(s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("client/sdk/readers");
	TCase *t = tcase_create("readers");

	tcase_add_test(t, names);
	tcase_add_test(t, pictures_are_exchanged);
	tcase_add_test(t, a_reader_is_waited_for);
	tcase_add_test(t, readers_of_a_client);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
