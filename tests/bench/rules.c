/*
 * Nanoseconds that picking the rule of a client takes, with 1, 10 and 100 rules, on the
 * bytes that the read path has.
 *
 *	rules [SECONDS]
 *
 * A line of JSON a row: kind, rules, ns.  Of "labels" the last one but the default
 * matches, of "percent" all are shares of the same release but the default, and of
 * "nodes" each names ten instances, none of which asks.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "model/rules.h"

#include "base/banned.h"

#define ROUND 1000u

static struct arena *arena;

static void make_one(struct rule *r, const char *kind, unsigned i, unsigned n)
{
	r->version = i + 2;
	if (strcmp(kind, "labels") == 0) {
		labels_set(arena, &r->labels, STR("zone"),
			   arena_printf(arena, "zone-%u", i));
	} else if (strcmp(kind, "percent") == 0) {
		r->has_percent = true;
		/* Nobody is in: each of them is asked. */
		r->percent_bp = 0;
		r->salt[0] = (uint8_t)n;
		r->priority = i;
	} else {
		for (unsigned k = 0; k < 10; k++)
			rule_add_node(arena, r, arena_printf(arena, "web-%u-%u", i, k));
	}
}

static struct str make(const char *kind, unsigned n)
{
	struct rules rules = { 0 };
	AUTO_BUF b = BUF_NONE;

	for (unsigned i = 0; i + 1 < n; i++)
		make_one(rules_add(arena, &rules), kind, i, n);
	rules_add(arena, &rules)->version = 1;
	rules_encode(&b, &rules);
	return arena_str(arena, buf_view(&b));
}

static double measure(struct str bytes, const struct client *client, double seconds)
{
	uint64_t from = clock_mono_ns(), now, picked = 0;
	uint64_t until = from + (uint64_t)(seconds * 1e9);
	struct rule rule;
	unsigned position;

	do {
		for (unsigned i = 0; i < ROUND; i++)
			must(rules_pick_encoded(bytes, client, &rule, &position));
		picked += ROUND;
		now = clock_mono_ns();
	} while (now < until);
	return (double)(now - from) / (double)picked;
}

int main(int argc, char **argv)
{
	static const char *const kinds[] = { "labels", "nodes", "percent" };
	static const unsigned counts[] = { 1, 10, 100 };
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
	struct client client = { .id = STR("web-7") };

	arena = arena_new(0);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
			client.labels = (struct labels){ 0 };
			labels_set(arena, &client.labels, STR("zone"),
				   arena_printf(arena, "zone-%u",
						MAX(counts[i], 2u) - 2));
			printf("{\"kind\":\"%s\",\"rules\":%u,\"ns\":%.1f}\n",
			       kinds[k], counts[i],
			       measure(make(kinds[k], counts[i]), &client, seconds));
		}
	arena_free(&arena);
	return 0;
}
