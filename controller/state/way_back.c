/* Ways back: see way_back.h. */
#include "state/way_back.h"

#include "state/apply.h"

#include "base/banned.h"

static bool read_version(struct kv_txn *txn, struct str tenant, struct uuid uid,
			 uint32_t version, struct version_row *out)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	key_version(&key, tenant, uid, version);
	return kv_get(txn, KV_VERSIONS, buf_view(&key), &val) &&
	       version_row_decode(buf_view(&key), val, out);
}

bool version_was_live(struct kv_txn *txn, struct str tenant, struct uuid uid,
		      uint32_t version)
{
	struct version_row row;

	return read_version(txn, tenant, uid, version, &row) && row.was_live;
}

/* ---- what an operation brings ---- */

static bool read_live(struct kv_txn *txn, const struct op *op, struct live_row *out)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF live_key = BUF_NONE;
	struct object_row row;
	struct str val;

	key_object(&key, op->tenant, KIND_CONFIG, op->name);
	if (!kv_get(txn, KV_OBJECTS, buf_view(&key), &val) ||
	    !object_row_decode(val, &row))
		return false;
	address_key(&live_key, &(struct address){ op->tenant, row.application,
						  row.environment,
						  row.config_name });
	return kv_get(txn, KV_LIVE, buf_view(&live_key), &val) &&
	       live_row_decode(val, out);
}

static bool is_same_rule(const struct rule *want, uint32_t version,
			 const struct rule *have)
{
	AUTO_BUF is = BUF_NONE;
	AUTO_BUF was = BUF_NONE;
	struct rule rule = *want;

	if (version != have->version)
		return false;
	rule.version = version;
	rule.sha = have->sha;
	rule.size = have->size;
	rules_encode(&is, &(struct rules){ .r = &rule, .n = 1 });
	rules_encode(&was, &(struct rules){ .r = (struct rule *)have, .n = 1 });
	return str_eq(buf_view(&is), buf_view(&was));
}

static bool is_there(const struct rules *rules, const struct rule *want,
		     uint32_t version)
{
	for (size_t i = 0; i < rules->n; i++)
		if (!rules->r[i].release &&
		    is_same_rule(want, version, &rules->r[i]))
			return true;
	return false;
}

static bool rules_bring_new(struct kv_txn *txn, struct arena *arena,
			    const struct op *op, const struct live_row *live,
			    uint32_t added)
{
	struct rules have;

	if (!rules_decode(arena, live->rules, &have))
		return true;
	for (size_t i = 0; i < op->rules.n; i++) {
		const struct rule *want = &op->rules.r[i];
		uint32_t version = want->version ? want->version : added;

		/* Those of releases are no business of theirs. */
		if (!want->release &&
		    !version_was_live(txn, op->tenant, live->uid, version) &&
		    !is_there(&have, want, version))
			return true;
	}
	return false;
}

bool op_brings_new(struct kv_txn *txn, struct arena *arena, const struct op *op,
		   uint32_t added)
{
	struct live_row live;

	if (op->kind != KIND_CONFIG || op->name.n > ADDRESS_NAME_MAX ||
	    op->tenant.n > ADDRESS_PART_MAX)
		return false;
	if (op->type == OP_ROLLBACK)
		return op->version && read_live(txn, op, &live) &&
		       !version_was_live(txn, op->tenant, live.uid, op->version);
	return op->type == OP_RULES_SET && read_live(txn, op, &live) &&
	       rules_bring_new(txn, arena, op, &live, added);
}

/* ---- where a way back leads ---- */

struct bad {
	struct sha256 sha;
	uint32_t version;
};

/* The versions of a configuration, as far as a way back looks at them. */
struct ways {
	struct arena *arena;
	const struct live_row *live;
	uint32_t from;
	struct sha256 now;               /* the content of that */
	struct bad *bad;                 /* that were turned back */
	size_t n_bad, cap_bad;
	uint32_t best;
};

static void note_bad(struct ways *w, const struct version_row *v)
{
	if (v->version == w->from)
		w->now = v->sha;
	if (!v->turned_back)
		return;
	w->bad = arena_grow(w->arena, w->bad, &w->cap_bad, w->n_bad + 1,
			    sizeof(*w->bad));
	w->bad[w->n_bad++] = (struct bad){ v->sha, v->version };
}

/* What was published anew behind it is meant again. */
static bool is_bad(const struct ways *w, const struct version_row *v)
{
	for (size_t i = 0; i < w->n_bad; i++)
		if (w->bad[i].version >= v->version &&
		    sha256_eq(&w->bad[i].sha, &v->sha))
			return true;
	return false;
}

static void look(struct ways *w, const struct version_row *v)
{
	bool is_before = v->version == w->live->stable_version;

	if (v->version == w->from || !v->was_live ||
	    !(is_before || v->version < w->from) ||
	    (w->best && w->best == w->live->stable_version) ||
	    sha256_eq(&v->sha, &w->now) ||
	    (w->live->has_hold && sha256_eq(&v->sha, &w->live->hold)) ||
	    is_bad(w, v))
		return;
	w->best = v->version;
}

static void each_version(struct kv_txn *txn, struct str tenant, struct uuid uid,
			 void (*each)(struct ways *w, const struct version_row *v),
			 struct ways *w)
{
	AUTO_BUF prefix = BUF_NONE;
	struct version_row row;
	struct kv_cursor c;

	key_versions(&prefix, tenant, uid);
	for (bool on = kv_seek(txn, KV_VERSIONS, buf_view(&prefix), &c);
	     on && str_starts(c.key, buf_view(&prefix)); on = kv_next(&c))
		if (version_row_decode(c.key, c.val, &row))
			each(w, &row);
	kv_cursor_close(&c);
}

uint32_t way_back(struct kv_txn *txn, struct arena *arena, struct str tenant,
		  const struct live_row *live, uint32_t from)
{
	struct ways w = { .arena = arena, .live = live, .from = from };

	each_version(txn, tenant, live->uid, note_bad, &w);
	each_version(txn, tenant, live->uid, look, &w);
	return w.best;
}

/* ---- marks ---- */

static void mark(struct apply *a, struct str tenant, struct uuid uid,
		 uint32_t version, bool is_live)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;
	struct version_row row;

	if (a->head->version < VERSION_GATE ||
	    !read_version(a->txn, tenant, uid, version, &row) ||
	    (is_live ? row.was_live && !row.turned_back : row.turned_back))
		return;
	row.is_marked = true;
	row.was_live |= is_live;
	row.turned_back = !is_live;
	key_version(&key, tenant, uid, version);
	version_row_encode(&val, &row);
	ap_put(a, KV_VERSIONS, buf_view(&key), buf_view(&val));
}

void version_mark_live(struct apply *a, struct str tenant, struct uuid uid,
		       uint32_t version)
{
	mark(a, tenant, uid, version, true);
}

void version_mark_back(struct apply *a, struct str tenant, struct uuid uid,
		       uint32_t version)
{
	mark(a, tenant, uid, version, false);
}

bool version_unmark(struct apply *a, struct str tenant, struct uuid uid,
		    const struct sha256 *sha)
{
	struct ways w = { .arena = a->arena };
	bool found = false;

	each_version(a->txn, tenant, uid, note_bad, &w);
	for (size_t i = 0; i < w.n_bad; i++) {
		AUTO_BUF key = BUF_NONE;
		AUTO_BUF val = BUF_NONE;
		struct version_row row;

		if (!sha256_eq(&w.bad[i].sha, sha) ||
		    !read_version(a->txn, tenant, uid, w.bad[i].version, &row))
			continue;
		row.turned_back = false;
		key_version(&key, tenant, uid, row.version);
		version_row_encode(&val, &row);
		ap_put(a, KV_VERSIONS, buf_view(&key), buf_view(&val));
		found = true;
	}
	return found;
}
