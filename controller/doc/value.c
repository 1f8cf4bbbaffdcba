/*
 * Value trees: making and reading.  See value.h; compare.c compares and
 * changes, write.c writes.
 *
 * An object of SORTED_FROM members and more carries sorted_: the positions of
 * its members in the order of their keys.  Every change keeps it, so that a
 * large object from outside is never searched one by one.
 */
#include "doc/value.h"

#include <stdlib.h>

#include "base/mem.h"
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

/* ---- the index ---- */

/* Where 'key' is, or belongs, among the sorted; '*found' says which. */
static size_t rank_of(const struct value *object, struct str key, bool *found)
{
	size_t lo = 0, hi = object->o.n;

	*found = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		uint32_t at = object->o.sorted_[mid];
		int order = str_cmp(object->o.m[at].key, key);

		if (order == 0) {
			*found = true;
			return mid;
		}
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Position of the member, or n. */
static size_t member_at(const struct value *object, struct str key)
{
	bool found;
	size_t rank;

	if (object->o.sorted_) {
		rank = rank_of(object, key, &found);
		return found ? object->o.sorted_[rank] : object->o.n;
	}
	for (size_t i = 0; i < object->o.n; i++)
		if (str_eq(object->o.m[i].key, key))
			return i;
	return object->o.n;
}

static int by_key(const void *a, const void *b, void *members)
{
	const struct member *m = members;

	return str_cmp(m[*(const uint32_t *)a].key, m[*(const uint32_t *)b].key);
}

bool value_index(struct arena *arena, struct value *object, struct str *twice)
{
	size_t n = object->o.n;
	uint32_t *order = arena_alloc(arena,
				      MAX(object->o.cap, n) * sizeof(*order));

	must(n < UINT32_MAX);
	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)i;
	qsort_r(order, n, sizeof(*order), by_key, object->o.m);
	for (size_t i = 1; i < n; i++)
		if (str_eq(object->o.m[order[i]].key,
			   object->o.m[order[i - 1]].key)) {
			*twice = object->o.m[order[i]].key;
			return false;
		}
	object->o.sorted_ = n >= SORTED_FROM ? order : NULL;
	return true;
}

/* Makes room for one more member, in the index too. */
static void object_reserve(struct arena *arena, struct value *object)
{
	size_t n = object->o.n, cap = object->o.cap;

	object->o.m = arena_grow(arena, object->o.m, &object->o.cap, n + 1,
				 sizeof(*object->o.m));
	if (object->o.sorted_ && object->o.cap != cap) {
		uint32_t *wider = arena_alloc(arena,
					      object->o.cap * sizeof(*wider));

		memcpy(wider, object->o.sorted_, n * sizeof(*wider));
		object->o.sorted_ = wider;
	}
}

static void index_insert(struct value *object, size_t rank)
{
	uint32_t *at = object->o.sorted_ + rank;

	memmove(at + 1, at, (object->o.n - rank) * sizeof(*at));
	*at = (uint32_t)object->o.n;
}

static void index_remove(struct value *object, size_t member)
{
	uint32_t *order = object->o.sorted_;
	size_t to = 0;

	for (size_t i = 0; i < object->o.n; i++)
		if (order[i] != member)
			order[to++] = order[i] - (order[i] > member);
}

void value_append(struct arena *arena, struct value *object, struct str key,
		  struct value *v)
{
	must(object->type == VALUE_OBJECT && !object->o.sorted_);
	object_reserve(arena, object);
	object->o.m[object->o.n++] = (struct member){ key, v };
}

void value_set(struct arena *arena, struct value *object, struct str key,
	       struct value *v)
{
	bool found = false;
	struct str twice;
	size_t at, rank = 0;

	must(object->type == VALUE_OBJECT && v);
	at = member_at(object, key);
	if (at < object->o.n) {
		object->o.m[at].value = v;
		return;
	}
	object_reserve(arena, object);
	if (object->o.sorted_) {
		rank = rank_of(object, key, &found);
		index_insert(object, rank);
	}
	object->o.m[object->o.n++] = (struct member){ arena_str(arena, key), v };
	if (!object->o.sorted_ && object->o.n >= SORTED_FROM)
		must(value_index(arena, object, &twice));
}

bool value_remove(struct value *object, struct str key)
{
	size_t at;

	if (!object || object->type != VALUE_OBJECT)
		return false;
	at = member_at(object, key);
	if (at == object->o.n)
		return false;
	if (object->o.sorted_)
		index_remove(object, at);
	memmove(&object->o.m[at], &object->o.m[at + 1],
		(object->o.n - at - 1) * sizeof(*object->o.m));
	object->o.n--;
	return true;
}

/* The index without the members that 'to' has at UINT32_MAX. */
static void index_filter(struct value *object, const uint32_t *to, size_t n)
{
	uint32_t *order = object->o.sorted_;
	size_t kept = 0;

	for (size_t i = 0; order && i < n; i++)
		if (to[order[i]] != UINT32_MAX)
			order[kept++] = to[order[i]];
}

void value_filter(struct value *object, value_keep_cb *keep, void *data)
{
	size_t n = object->o.n;
	uint32_t *to = mem_alloc((n + 1) * sizeof(*to));

	must(object->type == VALUE_OBJECT);
	object->o.n = 0;
	for (size_t i = 0; i < n; i++) {
		struct member m = object->o.m[i];

		to[i] = UINT32_MAX;
		if (!keep(data, &m))
			continue;
		to[i] = (uint32_t)object->o.n;
		object->o.m[object->o.n++] = m;
	}
	index_filter(object, to, n);
	free(to);
}

/* ---- copying ---- */

static void dup_members(struct arena *arena, struct value *copy,
			const struct value *v)
{
	size_t n = v->o.n;

	copy->o.m = arena_alloc(arena, (n + 1) * sizeof(*v->o.m));
	copy->o.cap = n + 1;
	copy->o.n = n;
	for (size_t i = 0; i < n; i++)
		copy->o.m[i] = (struct member){ arena_str(arena, v->o.m[i].key),
						value_dup(arena,
							  v->o.m[i].value) };
	if (!v->o.sorted_)
		return;
	copy->o.sorted_ = arena_alloc(arena, (n + 1) * sizeof(uint32_t));
	memcpy(copy->o.sorted_, v->o.sorted_, n * sizeof(uint32_t));
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
		dup_members(arena, copy, v);
	}
	return copy;
}

/* ---- reading ---- */

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
	return v && v->type == VALUE_NUMBER && number_to_u64(v->s, out);
}

bool value_to_i64(const struct value *v, int64_t *out)
{
	return v && v->type == VALUE_NUMBER && number_to_i64(v->s, out);
}

bool value_is_integer(const struct value *v)
{
	return v && v->type == VALUE_NUMBER && number_is_integer(v->s);
}

int value_number_cmp(const struct value *a, const struct value *b)
{
	_Static_assert(VALUE_UNORDERED == NUMBER_UNORDERED, "one number");
	must(a->type == VALUE_NUMBER && b->type == VALUE_NUMBER);
	return number_cmp(a->s, b->s);
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
