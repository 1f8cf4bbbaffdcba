/* What a watcher is told: see feed.h. */
#include "state/feed.h"

#include "base/banned.h"

void feed_fini(struct feed *f)
{
	buf_fini(&f->last);
}

/* ---- what it follows ---- */

static bool starts_with(struct str prefix, const struct address *at)
{
	AUTO_BUF text = BUF_NONE;

	address_text(&text, at);
	return str_starts(buf_view(&text), prefix);
}

bool feed_follows(const struct feed *f, const struct address *at)
{
	for (size_t i = 0; i < f->n_keys; i++)
		if (address_eq(&f->keys[i], at))
			return true;
	for (size_t i = 0; i < f->n_prefixes; i++)
		if (starts_with(f->prefixes[i], at))
			return true;
	return false;
}

static bool is_followed(const struct feed *f, uint64_t rev,
			const struct event_row *e, struct object_view *o,
			struct address *at)
{
	struct str row = e->type == EVENT_DELETED ? e->before : e->after;

	if (e->kind != KIND_CONFIG || !view_of_event(e, row, rev, o))
		return false;
	*at = (struct address){ e->tenant, o->row.application,
				o->row.environment, o->row.config_name };
	return feed_follows(f, at);
}

enum code feed_check(const struct feed *f, struct kv_txn *txn, struct err *err)
{
	struct head head;
	enum code rc = view_head(txn, &head, err);

	if (rc || f->cursor >= head.compacted_rev)
		return rc;
	err_set(err, E_GONE, "revision %llu is compacted; %llu is the oldest "
		"to resume from", (unsigned long long)f->cursor,
		(unsigned long long)head.compacted_rev);
	return err_hint(err, "fetch again, then watch from the revision that "
			     "the fetch answers");
}

/* ---- telling ---- */

static void add_version(struct buf *out, const struct feed *f,
			const struct live_row *live)
{
	struct rule rule = { 0 };
	unsigned position;

	if (!rules_pick_encoded(live->rules, &f->labels, &rule, &position)) {
		buf_z(out, "\"version\":null,\"sha256\":null");
		return;
	}
	buf_printf(out, "\"version\":%u,\"sha256\":\"", rule.version);
	buf_hex(out, rule.sha.b, sizeof(rule.sha.b));
	buf_c(out, '"');
}

static void keep(struct feed *f, uint64_t rev, const struct event_row *e,
		 const struct address *at, const struct live_row *live)
{
	struct buf *out = &f->last;
	AUTO_BUF key = BUF_NONE;

	address_text(&key, at);
	buf_printf(out, "id: %llu\nevent: change\ndata: {\"key\":",
		   (unsigned long long)rev);
	buf_json(out, buf_view(&key));
	buf_c(out, ',');
	if (e->type == EVENT_DELETED)
		buf_z(out, "\"version\":null,\"sha256\":null");
	else
		add_version(out, f, live);
	buf_printf(out, ",\"revision\":%llu,\"deleted\":%s,\"end\":",
		   (unsigned long long)rev,
		   e->type == EVENT_DELETED ? "true" : "false");
}

struct feeding {
	struct feed *f;
	unsigned left;
	feed_tell *tell;
	void *data;
	bool more, is_enough;
};

/* What was kept is told now. */
static void tell(struct feeding *x, bool end)
{
	struct buf *last = &x->f->last;

	if (last->n == 0)
		return;
	buf_z(last, end ? "true}\n\n" : "false}\n\n");
	x->is_enough |= !x->tell(x->data, buf_view(last));
	buf_reset(last);
}

static bool feed_one(void *data, uint64_t rev, const struct event_row *e)
{
	struct feeding *x = data;
	struct feed *f = x->f;
	struct object_view o;
	struct address at;

	if (x->is_enough || x->left == 0) {
		x->more = true;
		return false;
	}
	x->left--;
	f->cursor = rev;
	if (is_followed(f, rev, e, &o, &at)) {
		tell(x, false);
		keep(f, rev, e, &at, &o.live);
	}
	if (e->end)
		tell(x, true);
	return true;
}

enum code feed_next(struct feed *f, struct kv_txn *txn, unsigned most,
		    feed_tell *each, void *data, bool *more, struct err *err)
{
	struct feeding x = { .f = f, .left = most, .tell = each, .data = data };
	enum code rc = view_events(txn, f->cursor, feed_one, &x, err);

	*more = x.more;
	return rc;
}

void feed_gone(struct buf *out, const struct err *err)
{
	buf_z(out, "event: error\ndata: {\"status\":410,\"detail\":");
	buf_json(out, str_of(err->text));
	buf_z(out, "}\n\n");
}
