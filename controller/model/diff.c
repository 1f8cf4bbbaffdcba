/* Differences of values: see diff.h.  Trees come from parsers that bound their
 * depth, so recursion is bounded. */
#include "model/diff.h"

#include "base/map.h"
#include "model/diff_own.h"

#include "base/banned.h"

static const char *const kinds[DIFF__KINDS] = {
	[DIFF_ADDED] = "added", [DIFF_REMOVED] = "removed",
	[DIFF_CHANGED] = "changed", [DIFF_REORDERED] = "reordered",
};

const char *diff_kind_name(enum diff_kind kind)
{
	return kinds[kind];
}

struct differ {
	struct arena *arena, *scratch;
	struct diff *out;
	struct buf path;
};

static void emit(struct differ *d, enum diff_kind kind, const struct value *before,
		 const struct value *after, bool is_secret)
{
	struct diff *out = d->out;

	if (out->n == DIFF_CHANGES_MAX) {
		out->more++;
		return;
	}
	out->c = arena_grow(d->arena, out->c, &out->cap, out->n + 1, sizeof(*out->c));
	out->c[out->n++] = (struct diff_change){
		kind, arena_str(d->arena, buf_view(&d->path)), before, after, is_secret };
}

/* ---- paths ---- */

static bool is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '/' ||
		      c == '$' || c == '@'))
			return false;
	}
	return s.n > 0;
}

static void put_member(struct buf *path, struct str key)
{
	if (is_plain(key)) {
		buf_z(path, path->n ? "." : "");
		buf_str(path, key);
		return;
	}
	buf_c(path, '[');
	buf_json(path, key);
	buf_c(path, ']');
}

static void put_index(struct buf *path, size_t i)
{
	buf_c(path, '[');
	buf_u64(path, i);
	buf_c(path, ']');
}

static void put_identity(struct buf *path, struct str key, const struct value *is)
{
	buf_c(path, '[');
	buf_str(path, key);
	buf_c(path, '=');
	if (is->type == VALUE_STRING && is_plain(is->s))
		buf_str(path, is->s);
	else
		value_json(path, is);
	buf_c(path, ']');
}

/* ---- values ---- */

static void differ_at(struct differ *d, const struct value *a, const struct value *b,
		      bool is_secret);

static void objects(struct differ *d, const struct value *a, const struct value *b,
		    bool is_secret)
{
	size_t at = d->path.n;

	for (size_t i = 0; i < a->o.n; i++) {
		struct str key = a->o.m[i].key;

		put_member(&d->path, key);
		differ_at(d, a->o.m[i].value, value_get(b, key),
			  is_secret || diff_is_secret(key));
		d->path.n = at;
	}
	for (size_t i = 0; i < b->o.n; i++) {
		struct str key = b->o.m[i].key;

		if (value_get(a, key))
			continue;
		put_member(&d->path, key);
		emit(d, DIFF_ADDED, NULL, b->o.m[i].value,
		     is_secret || diff_is_secret(key));
		d->path.n = at;
	}
}

/* ---- arrays whose elements are identified ---- */

static bool identifies(const struct value *v)
{
	return v && (v->type == VALUE_NUMBER ||
		     (v->type == VALUE_STRING && v->s.n <= 200 &&
		      !diff_text_is_secret(v->s)));
}

static struct str identity_text(struct differ *d, const struct value *item,
				struct str key)
{
	AUTO_BUF text = BUF_NONE;

	value_canonical(&text, value_get(item, key));
	return arena_str(d->scratch, buf_view(&text));
}

/* Each element by its identity; NULL: one has none, or two have the same. */
static struct map *by_identity(struct differ *d, const struct value *list,
			       struct str key)
{
	struct map *map = map_new();

	for (size_t i = 0; i < list->a.n; i++)
		if (!identifies(value_get(list->a.items[i], key)) ||
		    map_put(map, identity_text(d, list->a.items[i], key),
			    list->a.items[i])) {
			map_free(&map);
			return NULL;
		}
	return map;
}

/* What identifies a part of the elements that stayed, in the order of 'list'. */
static struct value *common(struct differ *d, const struct value *list, struct str key,
			    const struct map *other)
{
	struct value *out = value_array(d->arena);

	for (size_t i = 0; i < list->a.n; i++)
		if (map_get(other, identity_text(d, list->a.items[i], key)))
			value_push(d->arena, out, value_get(list->a.items[i], key));
	return out;
}

static void keyed(struct differ *d, const struct value *a, const struct value *b,
		  struct str key, const struct map *in_a, const struct map *in_b,
		  bool is_secret)
{
	struct value *was = common(d, a, key, in_b), *is = common(d, b, key, in_a);
	size_t at = d->path.n;

	if (!value_eq(was, is))
		emit(d, DIFF_REORDERED, was, is, is_secret);
	for (size_t i = 0; i < a->a.n; i++) {
		const struct value *item = a->a.items[i];

		put_identity(&d->path, key, value_get(item, key));
		differ_at(d, item, map_get(in_b, identity_text(d, item, key)), is_secret);
		d->path.n = at;
	}
	for (size_t i = 0; i < b->a.n; i++) {
		const struct value *item = b->a.items[i];

		if (map_get(in_a, identity_text(d, item, key)))
			continue;
		put_identity(&d->path, key, value_get(item, key));
		emit(d, DIFF_ADDED, NULL, item, is_secret);
		d->path.n = at;
	}
}

static bool try_key(struct differ *d, const struct value *a, const struct value *b,
		    struct str key, bool is_secret)
{
	struct map *in_a = by_identity(d, a, key);
	struct map *in_b = in_a ? by_identity(d, b, key) : NULL;

	if (in_b)
		keyed(d, a, b, key, in_a, in_b, is_secret);
	if (in_a)
		map_free(&in_a);
	if (!in_b)
		return false;
	map_free(&in_b);
	return true;
}

static bool by_keys(struct differ *d, const struct value *a, const struct value *b,
		    bool is_secret)
{
	static const char *const keys[] = { "name", "id", "key", "uid", "host", "path",
					    "address", "port" };

	/* What identifies would be in the path, and be told. */
	for (size_t i = 0; !is_secret && a->a.n && b->a.n && i < ARRAY_LEN(keys); i++)
		if (try_key(d, a, b, str_of(keys[i]), is_secret))
			return true;
	return false;
}

/* ---- other arrays ---- */

/* Equal elements have equal numbers. */
static uint32_t *number(struct differ *d, const struct value *list, struct map *seen)
{
	uint32_t *ids = arena_alloc(d->scratch, (list->a.n + 1) * sizeof(*ids));

	for (size_t i = 0; i < list->a.n; i++) {
		AUTO_BUF text = BUF_NONE;

		value_canonical(&text, list->a.items[i]);
		ids[i] = diff_number(seen, d->scratch, buf_view(&text));
	}
	return ids;
}

static bool is_pair(const struct value *a, const struct value *b)
{
	bool has_parts = a->type == VALUE_OBJECT || a->type == VALUE_ARRAY;

	return has_parts ? a->type == b->type :
			   b->type != VALUE_OBJECT && b->type != VALUE_ARRAY;
}

static void element(struct differ *d, size_t i, const struct value *a,
		    const struct value *b, bool is_secret)
{
	size_t at = d->path.n;

	put_index(&d->path, i);
	differ_at(d, a, b, is_secret);
	d->path.n = at;
}

static void unkeyed(struct differ *d, const struct value *a, const struct value *b,
		    bool is_secret)
{
	struct map *seen = map_new();
	uint32_t *ids_a = number(d, a, seen), *ids_b = number(d, b, seen);
	bool *keep_a = arena_zero(d->scratch, a->a.n + 1);
	bool *keep_b = arena_zero(d->scratch, b->a.n + 1);
	size_t i = 0, k = 0;

	map_free(&seen);
	diff_edits(ids_a, a->a.n, ids_b, b->a.n, keep_a, keep_b);
	while (i < a->a.n || k < b->a.n) {
		bool gone = i < a->a.n && !keep_a[i], come = k < b->a.n && !keep_b[k];

		if (gone && come && is_pair(a->a.items[i], b->a.items[k])) {
			element(d, k, a->a.items[i], b->a.items[k], is_secret);
			i++, k++;
		} else if (gone) {
			element(d, i, a->a.items[i], NULL, is_secret);
			i++;
		} else if (come) {
			element(d, k, NULL, b->a.items[k], is_secret);
			k++;
		} else {
			i++, k++;
		}
	}
}

static void differ_at(struct differ *d, const struct value *a, const struct value *b,
		      bool is_secret)
{
	if (!a || !b) {
		if (a || b)
			emit(d, a ? DIFF_REMOVED : DIFF_ADDED, a, b, is_secret);
	} else if (value_eq(a, b)) {
		return;
	} else if (a->type == VALUE_OBJECT && b->type == VALUE_OBJECT) {
		objects(d, a, b, is_secret);
	} else if (a->type == VALUE_ARRAY && b->type == VALUE_ARRAY) {
		if (!by_keys(d, a, b, is_secret))
			unkeyed(d, a, b, is_secret);
	} else {
		emit(d, DIFF_CHANGED, a, b, is_secret);
	}
}

void diff_values(struct arena *arena, const struct value *before,
		 const struct value *after, struct diff *out)
{
	AUTO_ARENA scratch = arena_new(0);
	struct differ d = { .arena = arena, .scratch = scratch, .out = out };

	*out = (struct diff){ 0 };
	differ_at(&d, before, after, false);
	buf_fini(&d.path);
}

/* ---- as JSON ---- */

/* True: something was left out. */
static bool masked_json(struct buf *out, const struct value *v, bool is_secret)
{
	bool masked = false;

	switch (v->type) {
	case VALUE_OBJECT:
		buf_c(out, '{');
		for (size_t i = 0; i < v->o.n; i++) {
			const struct member *m = &v->o.m[i];

			buf_z(out, i ? "," : "");
			buf_json(out, m->key);
			buf_c(out, ':');
			masked |= masked_json(out, m->value,
					      is_secret || diff_is_secret(m->key));
		}
		buf_c(out, '}');
		return masked;
	case VALUE_ARRAY:
		buf_c(out, '[');
		for (size_t i = 0; i < v->a.n; i++) {
			buf_z(out, i ? "," : "");
			masked |= masked_json(out, v->a.items[i], is_secret);
		}
		buf_c(out, ']');
		return masked;
	case VALUE_NULL:
		break;
	default:
		if (!is_secret && !(v->type == VALUE_STRING && diff_text_is_secret(v->s)))
			break;
		buf_z(out, "\"***\"");
		return true;
	}
	value_json(out, v);
	return false;
}

void diff_json(struct buf *out, const struct diff *diff)
{
	buf_c(out, '[');
	for (size_t i = 0; i < diff->n; i++) {
		const struct diff_change *c = &diff->c[i];
		bool masked = false;

		buf_printf(out, "%s{\"change\":\"%s\",\"path\":", i ? "," : "",
			   diff_kind_name(c->kind));
		buf_json(out, c->path);
		if (c->before) {
			buf_z(out, ",\"before\":");
			masked |= masked_json(out, c->before, c->is_secret);
		}
		if (c->after) {
			buf_z(out, ",\"after\":");
			masked |= masked_json(out, c->after, c->is_secret);
		}
		buf_z(out, masked ? ",\"masked\":true}" : "}");
	}
	buf_c(out, ']');
}
