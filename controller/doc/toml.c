/* TOML: our side of toml_shim.cc. */
#include "doc/number.h"
#include "doc/parsers.h"
#include "doc/toml_shim.h"

#include "base/banned.h"

_Static_assert((int)TOML_SHIM_NUMBER == (int)VALUE_NUMBER &&
		       (int)TOML_SHIM_STRING == (int)VALUE_STRING &&
		       (int)TOML_SHIM_TIME == (int)VALUE_TIME,
	       "the shim names types by our numbers");

void *toml_make_text(void *arena, int type, const char *p, size_t n)
{
	struct value *v = value_str(arena, str_n(p, n));

	v->type = (enum value_type)type;
	return v;
}

void *toml_make_bool(void *arena, bool b)
{
	return value_bool(arena, b);
}

void *toml_make_object(void *arena)
{
	return value_object(arena);
}

void *toml_make_array(void *arena)
{
	return value_array(arena);
}

/* toml++ has refused duplicates, so members are appended. */
void toml_add_member(void *arena, void *object, const char *key, size_t n,
		     void *item)
{
	struct value *v = object;

	v->o.m = arena_grow(arena, v->o.m, &v->o.cap, v->o.n + 1,
			    sizeof(*v->o.m));
	v->o.m[v->o.n++] = (struct member){ arena_str(arena, str_n(key, n)),
					    item };
}

void toml_add_item(void *arena, void *array, void *item)
{
	value_push(arena, array, item);
}

void toml_set_place(void *v, uint32_t line, uint32_t column)
{
	struct value *value = v;

	value->line = line;
	value->column = column;
}

static void index_all(struct arena *arena, struct value *v)
{
	struct str twice;

	if (v->type == VALUE_ARRAY)
		for (size_t i = 0; i < v->a.n; i++)
			index_all(arena, v->a.items[i]);
	if (v->type != VALUE_OBJECT)
		return;
	must(value_index(arena, v, &twice));
	for (size_t i = 0; i < v->o.n; i++)
		index_all(arena, v->o.m[i].value);
}

/* toml++ recurses as deep as the text says; brackets are counted before. */
static bool is_too_deep(struct str s, unsigned max)
{
	unsigned depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '[' || s.p[i] == '{')
			depth++;
		else if ((s.p[i] == ']' || s.p[i] == '}') && depth)
			depth--;
		if (depth > max * 4)
			return true;
	}
	return false;
}

enum code toml_parse(struct str text, struct arena *arena,
		     const struct doc_limits *limits, struct value **out,
		     struct doc_place *place, struct err *err)
{
	struct toml_limits shim = { limits->depth_max, limits->nodes_max };
	struct toml_place at = { 0 };
	struct value *v;

	if (is_too_deep(text, limits->depth_max))
		return parse_error(err, place, 0, 0, "nested too deeply");
	v = toml_shim_parse(text.n ? text.p : "", text.n, arena, &shim, &at);
	if (!v)
		return parse_error(err, place, at.line, at.column, at.reason);
	index_all(arena, v);
	*out = v;
	return OK;
}
