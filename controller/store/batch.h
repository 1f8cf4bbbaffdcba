/*
 * Writes that travel to the leader together, as one call, and their answers.
 *
 * Layout (raftcore/wire; docs/formats/forward.md):
 *
 *	writes	u8 format (1), count (varint), each command (length, bytes)
 *	answer	u8 format (1), u64 revision, count (varint), each u8 what:
 *		0  outcome (length, bytes as of outcome_encode)
 *		1  it did not get that far: code (varint), text, hint (strings)
 *
 * Answers are in the order of the writes.  Decoding never trusts its input.
 * Pure; any thread.
 */
#ifndef STORE_BATCH_H
#define STORE_BATCH_H

#include "base/arena.h"
#include "wire/wire.h"

/* Of one call.  Commands longer than BATCH_EACH_MAX go alone. */
#define BATCH_COUNT_MAX 128
#define BATCH_EACH_MAX (64 * 1024)
#define BATCH_BYTES_MAX (256 * 1024)     /* commands of one call together */
/* What one write may be answered with; an outcome of 64 results takes less. */
#define BATCH_ITEM_MAX 4096
#define BATCH_ANSWER_MAX (BATCH_COUNT_MAX * (BATCH_ITEM_MAX + 8) + 32)

/* 'n' is 1 to BATCH_COUNT_MAX; none of 'commands' is empty. */
void batch_encode(struct buf *out, const struct str *commands, size_t n);
/* Borrows from 'in'.  E_INVALID: malformed, empty, or over a bound. */
enum code batch_decode(struct str in, struct str commands[BATCH_COUNT_MAX],
		       size_t *n, struct err *err) MUST_USE;

struct batch_item {
	enum code rc;                    /* OK: 'outcome' counts */
	struct str outcome;              /* encoded */
	struct str text, hint;           /* why not */
};

/* 'rev': a revision that all of them are visible at. */
void batch_answer_encode(struct buf *out, uint64_t rev,
			 const struct batch_item *items, size_t n);
/* Borrows from 'in'.  E_INVALID: malformed, or not the answer to 'n' writes. */
enum code batch_answer_decode(struct str in, size_t n, uint64_t *rev,
			      struct batch_item *items, struct err *err) MUST_USE;

#endif
