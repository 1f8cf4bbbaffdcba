/*
 * Delivers what is in the outbox (state/outbox.h): at the leader, on the core loop,
 * each webhook in order and at least once, one not held up by another.
 *
 * It keeps nothing that matters: what was delivered, or given up, a command says, and
 * until that is applied a new leader delivers it again, under the same id.
 */
#ifndef HOOK_SENDER_H
#define HOOK_SENDER_H

#include "hook/http_out.h"
#include "store/store.h"

struct sender;

struct sender_config {
	struct store *store;
	struct http_out *out;
	uint64_t retry_most_ms;          /* between two tries; the first is 1 s */
	uint64_t give_up_ms;             /* an event that waits for longer is dead */
};
#define SENDER_TRIES_MAX 50

/* Starts on the core loop by itself. */
enum code sender_new(const struct sender_config *config, struct sender **out,
		     struct err *err) MUST_USE;
/* Nothing is sent any more.  Blocking; not from a loop; before http_out_stop. */
void sender_stop(struct sender *sender);
/* After the store. */
void sender_free(struct sender **sender);
/* Prometheus text; any thread. */
void sender_metrics(struct sender *sender, struct buf *out);

#endif
