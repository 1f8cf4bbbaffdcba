/*
 * The gate's keeper: at the leader, on the core loop, it executes approved proposals
 * when nothing holds them any more, and keeps the intervals of freeze windows ahead.
 *
 * It holds nothing that matters: it reads the state, waits, and submits commands.
 * EXECUTE expects the proposal's phase, so whatever two of them do, it happens once.
 * While nothing changes it does nothing: it is told of changes, and has one timer.
 */
#ifndef GATE_KEEPER_H
#define GATE_KEEPER_H

#include "store/store.h"

struct keeper;

/* Starts on the core loop by itself. */
enum code keeper_new(struct store *store, struct keeper **out,
		     struct err *err) MUST_USE;
/* Nothing is submitted any more.  Blocking; not from a loop. */
void keeper_stop(struct keeper *keeper);
/* After the store. */
void keeper_free(struct keeper **keeper);
/* What holds the approved proposal of that number (p-...), as this leader saw it last, as
 * text; false: nothing that it knows of.  Core loop. */
bool keeper_explain(struct keeper *keeper, uint64_t proposal, struct buf *out);
/* Prometheus text; any thread. */
void keeper_metrics(struct keeper *keeper, struct buf *out);

#endif
