/* A release that can move: see row.h. */
#include "release/row.h"

#include "state/view_rollout.h"

#include "base/banned.h"

enum code release_row_read(struct arena *arena, struct kv_txn *txn,
			   struct str key, struct str val,
			   struct release_row *out, struct err *err)
{
	struct str name = arena_str(arena, key);
	struct rollout_row row;
	enum code rc;

	/* What is read borrows from the row, and lives longer than the picture. */
	if (!rollout_row_decode(arena, arena_str(arena, val), &row))
		return err_set(err, E_CORRUPT, "a rollout row is malformed");
	*out = (struct release_row){ .id = row.number, .expected = row.expected,
				     .configs = (uint32_t)row.n_configs };
	out->tenant = str_cut(&name, '\0');
	out->name = name;
	rollout_facts_of(txn, out->tenant, &row, &out->facts);
	rc = strategy_read(arena, row.spec, &out->strategy, err);
	return rc ? err_wrap(err, "release %.*s", STR_ARG(name)) : OK;
}
