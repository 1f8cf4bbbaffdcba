/*
 * A release that can move, as the state has it, read for the controller.  Strings and
 * lists lie in the arena.
 */
#ifndef RELEASE_ROW_H
#define RELEASE_ROW_H

#include "kv/kv.h"
#include "model/rollout.h"

struct release_row {
	uint64_t id;
	struct str tenant, name;
	struct strategy strategy;
	struct rollout_facts facts;
	uint64_t expected;               /* of MOVE_STEP_BEGUN */
	uint32_t configs;
};

/* E_CORRUPT. */
enum code release_row_read(struct arena *arena, struct kv_txn *txn,
			   struct str key, struct str val,
			   struct release_row *out, struct err *err) MUST_USE;

#endif
