/*
 * The questions of one step to outside systems, asked again and again while it bakes,
 * and rarely while it waits for somebody then: each by itself, the next time when its
 * answer has come.  An answer that does not come leaves what was known for as long as it
 * was due, and is unknown then.
 *
 * Core loop.
 */
#ifndef RELEASE_ASKS_H
#define RELEASE_ASKS_H

#include "hook/http_out.h"
#include "model/strategy.h"
#include "release/verdict.h"
#include "store/store.h"

struct asks;

struct asks_config {
	struct http_out *out;            /* NULL: nothing can be asked */
	struct loop *loop;
	struct str tenant, release;
	size_t step;
	const struct strategy *strategy; /* valid until asks_end */
	/* An answer has come. */
	void (*changed)(void *data);
	void *data;
};

/* NULL: there is nothing to be asked. */
struct asks *asks_new(const struct asks_config *config);
/* Nothing is told any more; what is under way ends by itself. */
void asks_end(struct asks **asks);

/* Asks what is due.  'txn': where the webhook and its key are looked up; 'tally': what
 * the webhook is told.  Answers when something is due next (monotonic ms; UINT64_MAX:
 * only when an answer has come). */
uint64_t asks_go_on(struct asks *asks, struct kv_txn *txn,
		    const struct tally *tally, uint64_t now_ms);
/* From now on rarely, having baked and waiting for somebody; or as often as before.
 * Answers as asks_go_on. */
uint64_t asks_rest(struct asks *asks, bool rests, uint64_t now_ms);
/* What is known now, into the tally; reasons are valid until the next call of any. */
void asks_tell(const struct asks *asks, struct tally *tally);

#endif
