/*
 * Memberships, from a log, a checkpoint or a peer: refused, or servers with numbers
 * and roles that the engine starts with and lives on.  The engine itself believes what
 * it is given, so nothing else may come to it.
 */
#include <stdint.h>

#include "base/mem.h"
#include "node/engine.h"
#include "node/guard.h"
#include "raftcore/inspect.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void start(struct str conf)
{
	struct engine_config config = { .id = 1, .address = "a:1",
					.election_ms = 1000, .heartbeat_ms = 100,
					.seed = 1 };
	struct engine_entry entry = { 1, ENGINE_CHANGE, conf };
	struct engine_snapshot snapshot = { 5, 1, 1, conf };
	struct engine_update u;
	struct engine *e;

	must(engine_new(&config, &e, NULL) == OK);
	must(engine_start(e, 0, 1, 0, NULL, 1, &entry, 1, &u, NULL) == OK);
	engine_free(&e);
	must(engine_new(&config, &e, NULL) == OK);
	must(engine_start(e, 0, 1, 0, &snapshot, 6, NULL, 0, &u, NULL) == OK);
	engine_free(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	struct engine_entry entry = { 1, ENGINE_CHANGE, in };
	struct engine_message m = { .type = ENGINE_M_APPEND, .term = 1,
				    .append = { 0, 0, 0, &entry, 1 } };
	struct wal_entry logged = { 1, 1, RC_LOG_MEMBERSHIP, in };
	size_t n = engine_members(in, NULL, 0);
	struct engine_member *all = mem_zero((n + 1) * sizeof(*all));
	struct rc_log_member some[2];

	must((guard_message(&m, NULL) == OK) == (n > 0) && guard_conf(in) == (n > 0));
	must(engine_members(in, all, n) == n);
	must(rc_log_members(&logged, some, ARRAY_LEN(some)) == n);
	for (size_t i = 0; i < n; i++) {
		must(all[i].id);
		for (size_t k = 0; k < i; k++)
			must(all[k].id != all[i].id);
	}
	for (size_t i = 0; i < MIN(n, ARRAY_LEN(some)); i++)
		must(some[i].id == all[i].id && some[i].votes == all[i].votes);
	(void)guard_votes_alone(in, 1);
	free(all);
	if (n)
		start(in);
	return 0;
}
