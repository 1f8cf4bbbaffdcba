/*
 * A state machine without a node: what tests of plans compare with and apply
 * to.
 */
#ifndef TEST_SOURCE_LIVE_H
#define TEST_SOURCE_LIVE_H

#include <check.h>

#include "state/state.h"
#include "state/view.h"

struct live {
	char dir[64];
	struct state *state;
	struct rc_machine machine;
	uint64_t index;
	struct arena *arena;
	struct outcome last;
};

void live_open(struct live *live);
void live_close(struct live *live);
const struct outcome *live_apply(struct live *live, struct str bytes);
/* As root. */
struct command *live_command(struct live *live);
void live_run(struct live *live, struct command *c);   /* must be OK */
void live_blob(struct live *live, const char *tenant, struct str content);
void live_tenant(struct live *live, const char *name);
void live_source(struct live *live, const char *tenant, const char *name);
struct kv_txn *live_read(struct live *live);
/* What a client without labels gets, or "-". */
const char *live_fetch(struct live *live, const char *address);

#endif
