/* Flags: see ofrep_flag.h. */
#include "api/ofrep_flag.h"

#include <stdio.h>

#include "base/banned.h"

/* ---- which there are ---- */

static bool is_object(const struct value *v)
{
	return v && v->type == VALUE_OBJECT;
}

static bool is_flagd(const struct value *v)
{
	return is_object(value_getz(v, "variants")) &&
	       (value_getz(v, "state") || value_getz(v, "defaultVariant"));
}

static bool all_are_flagd(const struct value *v)
{
	if (!is_object(v))
		return false;
	for (size_t i = 0; i < v->o.n; i++)
		if (!is_flagd(v->o.m[i].value))
			return false;
	return v->o.n > 0;
}

enum code flag_set_of(const struct value *root, struct flag_set *out,
		      struct err *err)
{
	const struct value *flags = value_getz(root, "flags");

	if (!is_object(root)) {
		err_set(err, E_PARSE, "its root is no object");
		return err_hint(err, "flags are the members of a JSON, YAML or TOML "
				"object");
	}
	*out = (struct flag_set){ .flags = root };
	/* A flag that is itself called "flags" has variants at its own level. */
	if (all_are_flagd(flags)) {
		out->flags = flags;
		out->metadata = value_getz(root, "metadata");
	}
	return OK;
}

bool flag_is_name(struct str name)
{
	return name.n && name.p[0] != '$';
}

/* Each object is looked at for one place of the key only, so this ends after as
 * many steps as the tree has objects. */
static const struct value *find_below(const struct value *at, struct str key)
{
	const struct value *found = value_get(at, key);

	for (size_t i = 0; i < key.n && !found; i++) {
		const struct value *below;

		if (key.p[i] != '.')
			continue;
		below = value_get(at, str_first(key, i));
		if (is_object(below) && !is_flagd(below))
			found = find_below(below, str_from(key, i + 1));
	}
	return found;
}

const struct value *flag_find(const struct flag_set *set, struct str key)
{
	return flag_is_name(key) ? find_below(set->flags, key) : NULL;
}

/* ---- what one comes to ---- */

static void fail(struct flag_result *out, const char *code, const char *details)
{
	out->error = code;
	out->value = NULL;
	out->variant = STR_NONE;
	str_copy(out->details, sizeof(out->details), str_of(details));
}

/* JSON has no infinity and no nan; as strings they would be other values. */
static bool is_sayable(const struct value *v)
{
	bool yes = true;

	if (v->type == VALUE_NUMBER)
		yes = !str_ends(v->s, STR("inf")) && !str_is(v->s, "nan");
	for (size_t i = 0; v->type == VALUE_ARRAY && yes && i < v->a.n; i++)
		yes = is_sayable(v->a.items[i]);
	for (size_t i = 0; v->type == VALUE_OBJECT && yes && i < v->o.n; i++)
		yes = is_sayable(v->o.m[i].value);
	return yes;
}

static void use_default(struct flag_result *out, const char *reason)
{
	out->value = NULL;
	out->variant = STR_NONE;
	out->reason = reason;
}

static void evaluate_variant(const struct value *flag, struct flag_result *out)
{
	const struct value *name = value_getz(flag, "defaultVariant");
	const struct value *variants = value_getz(flag, "variants");

	if (!name || name->type == VALUE_NULL) {
		use_default(out, "DEFAULT");
		return;
	}
	out->variant = value_text(name);
	out->value = value_get(variants, out->variant);
	if (name->type != VALUE_STRING)
		fail(out, "PARSE_ERROR", "defaultVariant must be a string");
	else if (!out->value)
		fail(out, "PARSE_ERROR", "defaultVariant is none of the variants");
	else if (out->value->type == VALUE_NULL)
		fail(out, "PARSE_ERROR", "the variant has no value");
}

static bool has_targeting(const struct value *flag)
{
	const struct value *t = value_getz(flag, "targeting");

	return t && t->type != VALUE_NULL &&
	       !(t->type == VALUE_OBJECT && t->o.n == 0);
}

static void evaluate_flagd(const struct value *flag, struct flag_result *out)
{
	const struct value *state = value_getz(flag, "state");

	out->metadata = value_getz(flag, "metadata");
	if (state && str_is(value_text(state), "DISABLED"))
		use_default(out, "DISABLED");
	else if (state && !str_is(value_text(state), "ENABLED"))
		fail(out, "PARSE_ERROR", "state must be ENABLED or DISABLED");
	else if (has_targeting(flag))
		fail(out, "GENERAL", "targeting expressions are not evaluated: "
		     "release another version to the clients' labels instead");
	else
		evaluate_variant(flag, out);
}

void flag_evaluate(const struct value *flag, const char *reason,
		   struct flag_result *out)
{
	*out = (struct flag_result){
		.reason = reason,
		.value = flag,
	};
	if (is_flagd(flag))
		evaluate_flagd(flag, out);
	else if (flag->type == VALUE_NULL)
		use_default(out, "DEFAULT");
	if (out->value && !is_sayable(out->value))
		fail(out, "PARSE_ERROR", "it holds an infinity or nan, which JSON "
		     "cannot say");
}

/* ---- as JSON ---- */

static bool is_metadata(const struct member *m)
{
	enum value_type type = m->value->type;

	return (type == VALUE_BOOL || type == VALUE_STRING ||
		type == VALUE_NUMBER) && is_sayable(m->value);
}

/* Scalars of 'from' that neither 'before' nor the answer itself names. */
static void put_metadata(struct buf *out, const struct value *from,
			 const struct value *before)
{
	for (size_t i = 0; is_object(from) && i < from->o.n; i++) {
		const struct member *m = &from->o.m[i];

		if (!is_metadata(m) || str_is(m->key, "version") ||
		    value_get(before, m->key))
			continue;
		buf_json(out, m->key);
		buf_c(out, ':');
		value_json(out, m->value);
		buf_c(out, ',');
	}
}

void flag_json(struct buf *out, struct str key, const struct flag_result *res,
	       const struct flag_set *set, uint64_t version)
{
	buf_z(out, "{\"key\":");
	buf_json(out, key);
	if (res->error) {
		buf_printf(out, ",\"errorCode\":\"%s\",\"errorDetails\":",
			   res->error);
		buf_json(out, str_of(res->details));
		buf_c(out, '}');
		return;
	}
	buf_printf(out, ",\"reason\":\"%s\"", res->reason);
	if (res->variant.p) {
		buf_z(out, ",\"variant\":");
		buf_json(out, res->variant);
	}
	if (res->value) {
		buf_z(out, ",\"value\":");
		value_json(out, res->value);
	}
	buf_z(out, ",\"metadata\":{");
	put_metadata(out, res->metadata, NULL);
	put_metadata(out, set->metadata, res->metadata);
	buf_printf(out, "\"version\":%llu}}", (unsigned long long)version);
}

void flag_set_json(struct buf *out, const struct flag_set *set,
		   const char *reason, uint64_t version)
{
	struct flag_result res;
	size_t start;

	buf_z(out, "{\"flags\":[");
	start = out->n;
	for (size_t i = 0; i < set->flags->o.n; i++) {
		const struct member *m = &set->flags->o.m[i];

		if (!flag_is_name(m->key))
			continue;
		if (out->n > start)
			buf_c(out, ',');
		flag_evaluate(m->value, reason, &res);
		flag_json(out, m->key, &res, set, version);
	}
	buf_z(out, "],\"metadata\":{");
	put_metadata(out, set->metadata, NULL);
	buf_printf(out, "\"version\":%llu}}", (unsigned long long)version);
}

/* ---- who asks ---- */

/* A number in one spelling, so that a rule need not know how the client writes
 * it.  False: no scalar. */
static bool scalar_text(struct arena *arena, const struct value *v,
			struct str *out)
{
	AUTO_BUF text = BUF_NONE;

	switch (v->type) {
	case VALUE_STRING:
		*out = v->s;
		return true;
	case VALUE_BOOL:
		*out = v->b ? STR("true") : STR("false");
		return true;
	case VALUE_NUMBER:
		value_canonical(&text, v);
		*out = arena_str(arena, buf_view(&text));
		return true;
	default:
		return false;
	}
}

void flag_context_labels(struct arena *arena, const struct value *context,
			 struct labels *labels, unsigned *ignored)
{
	struct str text;
	struct err err;

	for (size_t i = 0; is_object(context) && i < context->o.n; i++) {
		const struct member *m = &context->o.m[i];

		if (!scalar_text(arena, m->value, &text) ||
		    label_check(m->key, text, &err) ||
		    !labels_set(arena, labels, m->key, text))
			(*ignored)++;
	}
}
