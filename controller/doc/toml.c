/*
 * TOML 1.0: our side of toml_shim.cc.  Depth is bounded by toml_scan.c before
 * toml++ sees the text, and exactly when its tree becomes ours.
 */
#include "doc/number.h"
#include "doc/parsers.h"
#include "doc/toml_scan.h"
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
	value_append(arena, object, arena_str(arena, str_n(key, n)), item);
}

void toml_end_object(void *arena, void *object)
{
	struct str twice;

	must(value_index(arena, object, &twice));
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

enum code toml_parse(struct str text, struct arena *arena,
		     const struct doc_limits *limits, struct value **out,
		     struct doc_place *place, struct err *err)
{
	struct toml_limits shim = { limits->depth_max, limits->nodes_max };
	struct toml_place at = { 0 };
	const char *why;
	struct value *v;
	size_t where;

	why = toml_scan(text, limits->depth_max, &where);
	if (why)
		return parse_error_at(err, place, text, where, why);
	v = toml_shim_parse(text.p, text.n, arena, &shim, &at);
	if (!v)
		return parse_error(err, place, at.line, at.column, at.reason);
	*out = v;
	return OK;
}
