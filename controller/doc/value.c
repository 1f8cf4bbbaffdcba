/*
 * Value trees: making, reading, comparing, changing.  See value.h; the text
 * forms are in write.c.
 */
#include "doc/value.h"

#include <stdlib.h>

#include "doc/number.h"

#include "base/banned.h"

#define SORTED_FROM 9

/* ---- making ---- */

static struct value *value_new(struct arena *arena, enum value_type type)
{
	struct value *v = ANEW(arena, struct value);

	v->type = type;
	return v;
}

struct value *value_null(struct arena *arena)
{
	return value_new(arena, VALUE_NULL);
}

struct value *value_bool(struct arena *arena, bool b)
{
	struct value *v = value_new(arena, VALUE_BOOL);

	v->b = b;
	return v;
}

struct value *value_number(struct arena *arena, struct str text)
{
	struct value *v = value_new(arena, VALUE_NUMBER);

	v->s = arena_str(arena, text);
	return v;
}

struct value *value_u64(struct arena *arena, uint64_t n)
{
	struct value *v = value_new(arena, VALUE_NUMBER);

	v->s = arena_printf(arena, "%llu", (unsigned long long)n);
	return v;
}

struct value *value_i64(struct arena *arena, int64_t n)
{
	struct value *v = value_new(arena, VALUE_NUMBER);

	v->s = arena_printf(arena, "%lld", (long long)n);
	return v;
}

struct value *value_str(struct arena *arena, struct str s)
{
	struct value *v = value_new(arena, VALUE_STRING);

	v->s = arena_str(arena, s);
	return v;
}

struct value *value_array(struct arena *arena)
{
	return value_new(arena, VALUE_ARRAY);
}

struct value *value_object(struct arena *arena)
{
	return value_new(arena, VALUE_OBJECT);
}

void value_push(struct arena *arena, struct value *array, struct value *item)
{
	must(array->type == VALUE_ARRAY && item);
	array->a.items = arena_grow(arena, array->a.items, &array->a.cap,
				    array->a.n + 1, sizeof(*array->a.items));
	array->a.items[array->a.n++] = item;
}

static size_t member_at(const struct value *object, struct str key);

void value_set(struct arena *arena, struct value *object, struct str key,
	       struct value *v)
{
	size_t at;

	must(object->type == VALUE_OBJECT && v);
	at = member_at(object, key);
	if (at < object->o.n) {
		object->o.m[at].value = v;
		return;
	}
	object->o.m = arena_grow(arena, object->o.m, &object->o.cap,
				 object->o.n + 1, sizeof(*object->o.m));
	object->o.m[object->o.n++] =
		(struct member){ arena_str(arena, key), v };
	object->o.sorted_ = NULL;
}

bool value_remove(struct value *object, struct str key)
{
	size_t at;

	if (!object || object->type != VALUE_OBJECT)
		return false;
	at = member_at(object, key);
	if (at == object->o.n)
		return false;
	memmove(&object->o.m[at], &object->o.m[at + 1],
		(object->o.n - at - 1) * sizeof(*object->o.m));
	object->o.n--;
	object->o.sorted_ = NULL;
	return true;
}

struct value *value_dup(struct arena *arena, const struct value *v)
{
	struct value *copy;

	if (!v)
		return NULL;
	copy = value_new(arena, v->type);
	copy->line = v->line;
	copy->column = v->column;
	switch (v->type) {
	case VALUE_NULL:
		break;
	case VALUE_BOOL:
		copy->b = v->b;
		break;
	case VALUE_NUMBER:
	case VALUE_STRING:
	case VALUE_TIME:
		copy->s = arena_str(arena, v->s);
		break;
	case VALUE_ARRAY:
		for (size_t i = 0; i < v->a.n; i++)
			value_push(arena, copy, value_dup(arena, v->a.items[i]));
		break;
	case VALUE_OBJECT:
		copy->o.m = arena_alloc(arena, (v->o.n + 1) * sizeof(*v->o.m));
		copy->o.cap = v->o.n + 1;
		copy->o.n = v->o.n;
		for (size_t i = 0; i < v->o.n; i++)
			copy->o.m[i] = (struct member){
				arena_str(arena, v->o.m[i].key),
				value_dup(arena, v->o.m[i].value) };
	}
	return copy;
}

/* ---- reading ---- */

/* Parsers set sorted_ (see value_index) on large objects; those that code
 * makes are small and searched one by one. */
static size_t member_at(const struct value *object, struct str key)
{
	size_t lo = 0, hi = object->o.n;

	if (!object->o.sorted_) {
		for (size_t i = 0; i < object->o.n; i++)
			if (str_eq(object->o.m[i].key, key))
				return i;
		return object->o.n;
	}
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		uint32_t i = object->o.sorted_[mid];
		int order = str_cmp(object->o.m[i].key, key);

		if (order == 0)
			return i;
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return object->o.n;
}

static int by_key(const void *a, const void *b, void *members)
{
	const struct member *m = members;

	return str_cmp(m[*(const uint32_t *)a].key, m[*(const uint32_t *)b].key);
}

bool value_index(struct arena *arena, struct value *object, struct str *twice)
{
	uint32_t *order = arena_alloc(arena, (object->o.n + 1) * sizeof(*order));

	for (size_t i = 0; i < object->o.n; i++)
		order[i] = (uint32_t)i;
	qsort_r(order, object->o.n, sizeof(*order), by_key, object->o.m);
	for (size_t i = 1; i < object->o.n; i++)
		if (str_eq(object->o.m[order[i]].key,
			   object->o.m[order[i - 1]].key)) {
			*twice = object->o.m[order[i]].key;
			return false;
		}
	if (object->o.n >= SORTED_FROM)
		object->o.sorted_ = order;
	return true;
}

struct value *value_get(const struct value *v, struct str key)
{
	size_t at;

	if (!v || v->type != VALUE_OBJECT)
		return NULL;
	at = member_at(v, key);
	return at < v->o.n ? v->o.m[at].value : NULL;
}

struct value *value_at(const struct value *v, const char *path)
{
	struct str rest = str_of(path);
	struct value *at = (struct value *)(uintptr_t)v;

	while (at && rest.n)
		at = value_get(at, str_cut(&rest, '.'));
	return at;
}

struct str value_text(const struct value *v)
{
	return v && v->type == VALUE_STRING ? v->s : STR_NONE;
}

struct str value_text_at(const struct value *v, const char *path)
{
	return value_text(value_at(v, path));
}

bool value_to_u64(const struct value *v, uint64_t *out)
{
	int64_t n;

	if (!v || v->type != VALUE_NUMBER)
		return false;
	if (str_u64(v->s, out))
		return true;
	if (!number_to_i64(v->s, &n) || n < 0)
		return false;
	*out = (uint64_t)n;
	return true;
}

bool value_to_i64(const struct value *v, int64_t *out)
{
	return v && v->type == VALUE_NUMBER && number_to_i64(v->s, out);
}

bool value_to_bool(const struct value *v, bool otherwise)
{
	return v && v->type == VALUE_BOOL ? v->b : otherwise;
}

size_t value_count(const struct value *v)
{
	if (!v)
		return 0;
	return v->type == VALUE_ARRAY  ? v->a.n :
	       v->type == VALUE_OBJECT ? v->o.n :
					 0;
}

const char *value_type_name(enum value_type type)
{
	static const char *const names[] = { "null",   "boolean", "number",
					     "string", "time",	  "array",
					     "object" };

	return names[type];
}

/* ---- comparing ---- */

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

struct differ {
	value_diff_cb *cb;
	void *data;
	struct buf path;
};

static void diff_any(struct differ *d, const struct value *a,
		     const struct value *b);

static void diff_member(struct differ *d, struct str key,
			const struct value *a, const struct value *b)
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
		d->cb(d->data, !a ? VALUE_ADDED : !b ? VALUE_REMOVED :
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

/* ---- changing ---- */

struct value *value_merge_patch(struct arena *arena, const struct value *target,
				const struct value *patch)
{
	struct value *out;

	if (!patch || patch->type != VALUE_OBJECT)
		return (struct value *)(uintptr_t)patch;
	out = value_object(arena);
	if (target && target->type == VALUE_OBJECT)
		for (size_t i = 0; i < target->o.n; i++)
			value_set(arena, out, target->o.m[i].key,
				  target->o.m[i].value);
	for (size_t i = 0; i < patch->o.n; i++) {
		const struct member *m = &patch->o.m[i];

		if (m->value->type == VALUE_NULL)
			value_remove(out, m->key);
		else
			value_set(arena, out, m->key,
				  value_merge_patch(arena,
						    value_get(out, m->key),
						    m->value));
	}
	return out;
}
