/* Views of releases that go out in steps: see view_rollout.h. */
#include "state/view_rollout.h"

#include "base/banned.h"

static enum code malformed(struct err *err)
{
	return err_set(err, E_CORRUPT, "a rollout row is malformed");
}

enum code view_rollout(struct kv_txn *txn, struct arena *arena,
		       struct str tenant, struct str name,
		       struct rollout_row *out, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	key_rollout(&key, str_first(tenant, 63), str_first(name, 253));
	if (!kv_get(txn, KV_ROLLOUTS, buf_view(&key), &val))
		return err_set(err, E_NOT_FOUND, "no release \"%.*s\" is going out",
			       STR_ARG(str_first(name, 253)));
	return rollout_row_decode(arena, val, out) ? OK : malformed(err);
}

bool view_rollout_is_open(struct kv_txn *txn, struct str tenant, struct str name)
{
	enum rollout_phase phase;
	AUTO_BUF key = BUF_NONE;
	struct str val;

	key_rollout(&key, str_first(tenant, 63), str_first(name, 253));
	return kv_get(txn, KV_ROLLOUTS, buf_view(&key), &val) &&
	       rollout_row_phase(val, &phase) && rollout_is_open(phase);
}

static bool brings(struct arena *scratch, struct str val, struct str author,
		   struct str commit)
{
	struct rollout_row row;

	arena_reset(scratch);
	return rollout_row_decode(scratch, val, &row) && rollout_is_open(row.phase) &&
	       str_eq(row.author, author) && str_eq(row.commit, commit);
}

bool view_rollout_of_commit(struct kv_txn *txn, struct arena *arena,
			    struct str tenant, struct str author,
			    struct str commit, struct str *name)
{
	struct arena *scratch = arena_new(0);
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	bool found = false;

	key_rollout(&prefix, str_first(tenant, 63), STR_NONE);
	for (bool on = kv_seek(txn, KV_ROLLOUTS, buf_view(&prefix), &c);
	     on && str_starts(c.key, buf_view(&prefix)); on = kv_next(&c)) {
		if (!brings(scratch, c.val, author, commit))
			continue;
		*name = arena_str(arena, str_from(c.key, prefix.n));
		found = true;
	}
	kv_cursor_close(&c);
	arena_free(&scratch);
	return found;
}

enum code view_rollouts(struct kv_txn *txn, struct arena *arena,
			view_each_rollout *each, void *data, struct err *err)
{
	struct rollout_row row;
	struct kv_cursor c;
	enum code rc = OK;
	bool goes_on = true;

	for (bool on = kv_seek(txn, KV_ROLLOUTS, STR_NONE, &c);
	     on && goes_on && rc == OK; on = kv_next(&c)) {
		struct str name = c.key;
		struct str tenant = str_cut(&name, '\0');

		if (!rollout_row_decode(arena, c.val, &row))
			rc = malformed(err);
		else
			goes_on = each(data, tenant, name, &row);
	}
	kv_cursor_close(&c);
	return rc;
}

bool view_releasing(struct kv_txn *txn, struct str tenant, struct str config,
		    struct releasing_at *out)
{
	AUTO_BUF key = BUF_NONE;
	struct kv_cursor c;
	size_t n;
	bool found;

	key_releasing_config(&key, tenant, config);
	n = key.n;
	wr_u64_be(&key, UINT64_MAX);
	found = kv_seek_before(txn, KV_RELEASING, buf_view(&key), &c) &&
		str_starts(c.key, str_first(buf_view(&key), n)) &&
		releasing_at_decode(c.key, c.val, out);
	kv_cursor_close(&c);
	return found;
}

bool view_release_holds(struct kv_txn *txn, struct str tenant, struct str name)
{
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	bool found;

	key_releasing_hold(&prefix, str_first(tenant, 63), release_number(name));
	found = kv_seek(txn, KV_RELEASING, buf_view(&prefix), &c) &&
		str_starts(c.key, buf_view(&prefix));
	kv_cursor_close(&c);
	return found;
}

/* Is there one with a smaller number? */
static bool has_older(struct kv_txn *txn, struct str prefix, uint64_t number)
{
	struct kv_cursor c;
	bool found = kv_seek(txn, KV_RELEASING, prefix, &c) &&
		     str_starts(c.key, prefix);
	struct rd rd = rd_of(found ? str_from(c.key, prefix.n) : STR_NONE);

	found = found && rd_u64_be(&rd) < number;
	kv_cursor_close(&c);
	return found;
}

bool view_rollout_is_blocked(struct kv_txn *txn, struct str tenant,
			     const struct rollout_row *row)
{
	bool is_blocked = false;

	for (size_t i = 0; i < row->n_configs && !is_blocked; i++) {
		AUTO_BUF key = BUF_NONE;

		key_releasing_config(&key, tenant, row->configs[i].name);
		is_blocked = has_older(txn, buf_view(&key), row->number);
	}
	if (row->group.n && !is_blocked) {
		AUTO_BUF key = BUF_NONE;

		key_releasing_group(&key, tenant, row->group);
		is_blocked = has_older(txn, buf_view(&key), row->number);
	}
	return is_blocked;
}

void rollout_facts_of(struct kv_txn *txn, struct str tenant,
		      const struct rollout_row *row, struct rollout_facts *out)
{
	*out = (struct rollout_facts){
		.phase = row->phase, .step = row->step, .is_begun = row->is_begun,
		.step_ms = row->step_ms, .paused_ms = row->paused_ms,
		.met_ms = row->met_ms, .baked_ms = row->baked_ms,
		.completed_ms = row->completed_ms,
		.is_blocked = row->phase == ROLLOUT_QUEUED &&
			      view_rollout_is_blocked(txn, tenant, row),
	};
}
