/* Selectors: see select.h. */
#include "model/select.h"

#include "doc/format.h"

#include "base/banned.h"

bool labels_read(struct arena *arena, const struct value *object,
		 struct labels *out)
{
	*out = (struct labels){ 0 };
	if (!object)
		return true;
	if (object->type != VALUE_OBJECT)
		return false;
	for (size_t i = 0; i < object->o.n; i++) {
		const struct member *m = &object->o.m[i];

		if (m->value->type != VALUE_STRING ||
		    !labels_set(arena, out, m->key, m->value->s))
			return false;
	}
	return true;
}

bool labels_parse(struct arena *arena, struct str json, struct labels *out)
{
	struct value *v = NULL;
	struct err err;

	*out = (struct labels){ 0 };
	/* Most objects have none. */
	if (json.n == 0 || str_is(json, "{}"))
		return true;
	return doc_parse_json(json, arena, NULL, &v, &err) == OK &&
	       labels_read(arena, v, out);
}

static bool patterns_read(struct arena *arena, const struct value *list,
			  struct patterns *out)
{
	*out = (struct patterns){ .is_there = list != NULL };
	if (!list)
		return true;
	if (list->type != VALUE_ARRAY)
		return false;
	for (size_t i = 0; i < list->a.n; i++) {
		if (list->a.items[i]->type != VALUE_STRING)
			return false;
		out->p = arena_grow(arena, out->p, &out->cap, out->n + 1,
				    sizeof(*out->p));
		out->p[out->n++] = list->a.items[i]->s;
	}
	return true;
}

bool selector_read(struct arena *arena, const struct value *select,
		   struct selector *out)
{
	*out = (struct selector){ 0 };
	if (!select)
		return true;
	return select->type == VALUE_OBJECT &&
	       labels_read(arena, value_getz(select, "labels"), &out->labels) &&
	       patterns_read(arena, value_getz(select, "applications"),
			     &out->applications) &&
	       patterns_read(arena, value_getz(select, "environments"),
			     &out->environments) &&
	       patterns_read(arena, value_getz(select, "names"), &out->names);
}

static bool pattern_matches(struct str pattern, struct str s)
{
	if (str_ends(pattern, STR("*")))
		return str_starts(s, str_first(pattern, pattern.n - 1));
	return str_eq(pattern, s);
}

static bool patterns_match(const struct patterns *patterns, struct str s)
{
	if (!patterns->is_there)
		return true;
	for (size_t i = 0; i < patterns->n; i++)
		if (pattern_matches(patterns->p[i], s))
			return true;
	return false;
}

bool selector_matches(const struct selector *selector,
		      const struct labels *labels, const struct address *at)
{
	return patterns_match(&selector->applications, at->application) &&
	       patterns_match(&selector->environments, at->environment) &&
	       patterns_match(&selector->names, at->name) &&
	       labels_match(&selector->labels, labels);
}

bool selector_may_match(const struct selector *selector,
			const struct labels *labels, const struct address *at)
{
	struct selector any = *selector;

	if (labels)
		return selector_matches(selector, labels, at);
	any.labels = (struct labels){ 0 };
	return selector_matches(&any, &any.labels, at);
}
