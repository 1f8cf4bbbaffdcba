/*
 * What outside systems say of a step: questions and answers as bytes.
 *
 * Prometheus: GET <url>/api/v1/query?query=..., answered by one number: a scalar, or a
 * vector of one sample.  None, or several, is unknown, and so is whatever is no answer;
 * NaN has failed both ways.  The number is compared with the threshold exactly, as text.
 *
 * A webhook: POST, answered by {"verdict": "ok" | "fail" | "wait", "reason": "..."}.
 *
 * Pure; any thread.
 */
#ifndef RELEASE_VERDICT_H
#define RELEASE_VERDICT_H

#include "base/arena.h"
#include "model/strategy.h"

struct verdict_step {
	struct str tenant, release;      /* "r-000000000017" */
	size_t step;                     /* from 0 */
};

/* The URL of a query, $release and $step replaced (the step counted from 1). */
void verdict_query_url(struct buf *out, const struct strategy_query *q,
		       const struct verdict_step *step);
/* 'reason' says what came, where it is not met. */
enum verdict verdict_of_query(const struct strategy_query *q, unsigned status,
			      struct str answer, char reason[200]);

/* Of a step: {"type":"release.verdict","tenant":..,"release":..,"step":2,"steps":5,
 * "instances":{"expected":..,...}}. */
void verdict_question(struct buf *out, const struct verdict_step *step,
		      size_t steps, const struct tally *t);
enum verdict verdict_of_webhook(unsigned status, struct str answer,
				char reason[200]);

/* How often it is asked: a tenth of the bake time, and not more than once a second; where
 * it 'rests', having baked and waiting for somebody, not more than once a minute. */
uint64_t verdict_every_ms(uint64_t bake_ms, bool rests);

#endif
