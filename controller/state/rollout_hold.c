/*
 * What a release that turned back holds of what Git manages: at each configuration one
 * content, which is what the source brings, and beside it which other releases turned
 * back there, so that a change of it lets out what any of them holds.  See rollout.h.
 */
#include "state/rollout_own.h"

#include "base/banned.h"

/* A row that is not there yet; 'key' ends in what it is of. */
static void add_row(struct apply *a, struct str tenant, struct buf *key)
{
	if (kv_get(a->txn, KV_RELEASING, buf_view(key), NULL))
		return;
	ap_put(a, KV_RELEASING, buf_view(key), STR(""));
	releasing_count(a, tenant, 1);
}

static void drop_row(struct apply *a, struct str tenant, struct buf *key)
{
	if (ap_del(a, KV_RELEASING, buf_view(key)))
		releasing_count(a, tenant, -1);
}

static void add_back(struct apply *a, struct str tenant, struct str config,
		     uint64_t number)
{
	AUTO_BUF key = BUF_NONE;

	key_releasing_back(&key, tenant, config);
	wr_u64_be(&key, number);
	add_row(a, tenant, &key);
}

static void drop_back(struct apply *a, struct str tenant, struct str config)
{
	AUTO_BUF key = BUF_NONE;
	uint64_t *numbers;
	size_t n, prefix;

	key_releasing_back(&key, tenant, config);
	prefix = key.n;
	n = rollout_numbers(a, a->arena, buf_view(&key), &numbers);
	for (size_t i = 0; i < n; i++) {
		key.n = prefix;
		wr_u64_be(&key, numbers[i]);
		drop_row(a, tenant, &key);
	}
}

static void drop_hold(struct apply *a, struct str tenant, const struct thing *t)
{
	AUTO_BUF key = BUF_NONE;

	if (!t->live.hold_release)
		return;
	key_releasing_hold(&key, tenant, t->live.hold_release);
	buf_str(&key, t->live.name);
	drop_row(a, tenant, &key);
}

/* Does what is held go on being that?  Of several the newest that a source brought has
 * what it still brings.  A way back by hand leaves a source that brings what was live. */
static bool is_nearer(const struct live_row *live, const struct rollout_row *row)
{
	bool is_brought = !live->hold_release || live->hold_commit.n;

	if (is_brought != (row->commit.n > 0))
		return is_brought;
	return live->hold_release > row->number;
}

void releasing_hold(struct apply *a, struct str tenant, struct thing *t,
		    const struct rollout_row *row, const struct rollout_config *c)
{
	AUTO_BUF key = BUF_NONE;

	if (t->live.has_hold && is_nearer(&t->live, row)) {
		add_back(a, tenant, c->name, row->number);
		return;
	}
	if (t->live.has_hold && t->live.hold_release)
		add_back(a, tenant, c->name, t->live.hold_release);
	drop_hold(a, tenant, t);
	t->live.has_hold = true;
	t->live.hold = c->sha;
	t->live.hold_release = row->number;
	t->live.hold_version = c->version;
	t->live.hold_reason = row->message;
	t->live.hold_commit = row->commit;
	t->live.hold_by = a->cmd->subject.name;
	t->live.hold_ms = a->head->time_ms;
	key_releasing_hold(&key, tenant, row->number);
	buf_str(&key, c->name);
	add_row(a, tenant, &key);
}

void releasing_unhold(struct apply *a, struct str tenant, const struct thing *t)
{
	if (!t->live.has_hold)
		return;
	drop_hold(a, tenant, t);
	drop_back(a, tenant, t->live.name);
}

void releasing_note_holds(struct apply *a, struct numbers *to, struct str tenant,
			  const struct live_row *live)
{
	if (!live->has_hold)
		return;
	if (live->hold_release)
		releasing_note(a->releasing, to, live->hold_release);
	releasing_note_back(a, to, tenant, live->name);
}

void releasing_note_back(struct apply *a, struct numbers *to, struct str tenant,
			 struct str config)
{
	AUTO_BUF key = BUF_NONE;

	key_releasing_back(&key, tenant, config);
	releasing_note_all(a, to, buf_view(&key));
}
