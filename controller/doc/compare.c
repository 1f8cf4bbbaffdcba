/*
 * Value trees: equality, differences, merge patches.  See value.h.
 *
 * Trees come from parsers that bound their depth, so recursion is bounded.
 */
#include "doc/number.h"
#include "doc/value.h"

#include "base/banned.h"

/* ---- equality ---- */

static bool array_eq(const struct value *a, const struct value *b)
{
	if (a->a.n != b->a.n)
		return false;
	for (size_t i = 0; i < a->a.n; i++)
		if (!value_eq(a->a.items[i], b->a.items[i]))
			return false;
	return true;
}

static bool object_eq(const struct value *a, const struct value *b)
{
	if (a->o.n != b->o.n)
		return false;
	for (size_t i = 0; i < a->o.n; i++) {
		const struct value *other = value_get(b, a->o.m[i].key);

		if (!other || !value_eq(a->o.m[i].value, other))
			return false;
	}
	return true;
}

bool value_eq(const struct value *a, const struct value *b)
{
	if (a == b)
		return true;
	if (!a || !b || a->type != b->type)
		return false;
	switch (a->type) {
	case VALUE_NULL:
		return true;
	case VALUE_BOOL:
		return a->b == b->b;
	case VALUE_NUMBER:
		return str_eq(a->s, b->s) || number_eq(a->s, b->s);
	case VALUE_STRING:
	case VALUE_TIME:
		return str_eq(a->s, b->s);
	case VALUE_ARRAY:
		return array_eq(a, b);
	case VALUE_OBJECT:
		return object_eq(a, b);
	}
	return false;
}

/* ---- differences ---- */

struct differ {
	value_diff_cb *cb;
	void *data;
	struct buf path;
};

static void diff_any(struct differ *d, const struct value *a,
		     const struct value *b);

static void diff_member(struct differ *d, struct str key, const struct value *a,
			const struct value *b)
{
	size_t from = d->path.n;

	if (from)
		buf_c(&d->path, '.');
	buf_str(&d->path, key);
	diff_any(d, a, b);
	buf_cut(&d->path, from);
}

static void diff_objects(struct differ *d, const struct value *a,
			 const struct value *b)
{
	for (size_t i = 0; i < a->o.n; i++)
		diff_member(d, a->o.m[i].key, a->o.m[i].value,
			    value_get(b, a->o.m[i].key));
	for (size_t i = 0; i < b->o.n; i++)
		if (!value_get(a, b->o.m[i].key))
			diff_member(d, b->o.m[i].key, NULL, b->o.m[i].value);
}

static void diff_arrays(struct differ *d, const struct value *a,
			const struct value *b)
{
	size_t from = d->path.n;

	for (size_t i = 0; i < MAX(a->a.n, b->a.n); i++) {
		buf_printf(&d->path, "[%zu]", i);
		diff_any(d, i < a->a.n ? a->a.items[i] : NULL,
			 i < b->a.n ? b->a.items[i] : NULL);
		buf_cut(&d->path, from);
	}
}

static void diff_any(struct differ *d, const struct value *a,
		     const struct value *b)
{
	if (a && b && a->type == b->type && a->type == VALUE_OBJECT)
		diff_objects(d, a, b);
	else if (a && b && a->type == b->type && a->type == VALUE_ARRAY)
		diff_arrays(d, a, b);
	else if (!a || !b || !value_eq(a, b))
		d->cb(d->data,
		      !a ? VALUE_ADDED :
		      !b ? VALUE_REMOVED :
			   VALUE_MODIFIED,
		      buf_view(&d->path), a, b);
}

void value_diff(const struct value *before, const struct value *after,
		value_diff_cb *cb, void *data)
{
	struct differ d = { .cb = cb, .data = data };

	buf_reserve(&d.path, 64);
	if (before || after)
		diff_any(&d, before, after);
	buf_fini(&d.path);
}

/* ---- merge patch (RFC 7386) ---- */

static struct value *patch_members(struct arena *arena,
				   const struct value *target,
				   const struct value *patch)
{
	struct value *out = value_object(arena);
	struct str twice;

	for (size_t i = 0; target && i < target->o.n; i++) {
		const struct member *m = &target->o.m[i];
		const struct value *with = value_get(patch, m->key);

		if (!with)
			value_append(arena, out, m->key, m->value);
		else if (with->type != VALUE_NULL)
			value_append(arena, out, m->key,
				     value_merge_patch(arena, m->value, with));
	}
	for (size_t i = 0; i < patch->o.n; i++) {
		const struct member *m = &patch->o.m[i];

		if (m->value->type != VALUE_NULL && !value_get(target, m->key))
			value_append(arena, out, m->key,
				     value_merge_patch(arena, NULL, m->value));
	}
	must(value_index(arena, out, &twice));
	return out;
}

struct value *value_merge_patch(struct arena *arena, const struct value *target,
				const struct value *patch)
{
	if (!patch || patch->type != VALUE_OBJECT)
		return (struct value *)(uintptr_t)patch;
	if (target && target->type != VALUE_OBJECT)
		target = NULL;
	return patch_members(arena, target, patch);
}
