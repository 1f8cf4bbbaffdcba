/*
 * The leader's releases in steps (docs/releases.md): says when a step begins, and with
 * how many instances; looks at its conditions; goes on, turns back, forgets.
 *
 * It holds nothing that matters: what runs is in the state, what instances have is
 * gathered (fleet/gather.h), what is to be done next is decided by model/rollout.h.  A
 * move says at which step it is expected, so two leaders cannot both make it, and one
 * that was lost is made again.  It is woken by the state, by what is gathered, by
 * answers of outside systems, and by one timer for what is due next; releases that
 * wait cost nothing.
 *
 * Core loop.
 */
#ifndef RELEASE_RELEASE_H
#define RELEASE_RELEASE_H

#include "fleet/node.h"
#include "hook/http_out.h"
#include "store/store.h"

struct releases;

struct releases_config {
	struct store *store;
	struct fleet_node *fleet;
	struct http_out *out;            /* NULL: nobody is asked */
};

/* '*out' is set also where it fails, to be freed. */
enum code releases_new(const struct releases_config *config,
		       struct releases **out, struct err *err) MUST_USE;
void releases_start(struct releases *releases);
/* Not from a loop; while the core loop runs.  Moves that are under way end by
 * themselves. */
void releases_stop(struct releases *releases);
/* After the store. */
void releases_free(struct releases **releases);

/* What is gathered of a release has changed (fleet_node_on_gathered); 'data' are the
 * releases. */
void releases_gathered(void *data, uint64_t release, bool is_urgent);

/* What a release waits for, as this leader looked at it last (fleet_node_on_why);
 * 'data' are the releases.  Core loop. */
void releases_explain(void *data, uint64_t release, struct fleet_why *out);

struct releases_metrics {
	uint64_t running, moves, refused, looks;
};
/* Any thread. */
void releases_metrics(struct releases *releases, struct releases_metrics *out);

#endif
