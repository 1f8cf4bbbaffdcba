/*
 * Checking objects against the schema of their kind: see check.h.
 *
 * The dialect is what Kubernetes calls structural: each value has one type,
 * properties are declared, what is not declared is unknown and pruned.
 */
#include "schema/check.h"

#include <regex.h>

#include "base/clock.h"

#include "base/banned.h"

#define CAUSES_MAX 50
#define META_BYTES_MAX (256 * 1024)

const char *cause_reason_name(enum cause_reason reason)
{
	static const char *const names[] = {
		[CAUSE_INVALID] = "FieldValueInvalid",
		[CAUSE_REQUIRED] = "FieldValueRequired",
		[CAUSE_NOT_SUPPORTED] = "FieldValueNotSupported",
		[CAUSE_TYPE] = "FieldValueTypeInvalid",
		[CAUSE_DUPLICATE] = "FieldValueDuplicate",
		[CAUSE_TOO_LONG] = "FieldValueTooLong",
		[CAUSE_TOO_MANY] = "FieldValueTooMany",
		[CAUSE_FORBIDDEN] = "FieldValueForbidden",
	};

	return names[reason];
}

void check_add(struct arena *arena, struct check *check,
	       enum cause_reason reason, struct str field, struct str message,
	       const struct value *at)
{
	struct cause *c;

	if (check->n_causes == CAUSES_MAX)
		return;
	check->causes = arena_grow(arena, check->causes, &check->cap_causes,
				   check->n_causes + 1, sizeof(*check->causes));
	c = &check->causes[check->n_causes++];
	*c = (struct cause){ .reason = reason, .field = arena_str(arena, field),
			     .message = arena_str(arena, message),
			     .line = at ? at->line : 0,
			     .column = at ? at->column : 0 };
}

static void unknown(struct arena *arena, struct check *check, struct str path)
{
	if (check->n_unknown == CHECK_UNKNOWN_MAX)
		return;
	check->unknown = arena_grow(arena, check->unknown, &check->cap_unknown,
				    check->n_unknown + 1,
				    sizeof(*check->unknown));
	check->unknown[check->n_unknown++] = path;
}

static struct str short_json(struct arena *arena, const struct value *v)
{
	AUTO_BUF b = BUF_NONE;

	value_json(&b, v);
	if (b.n > 120) {
		buf_cut(&b, 117);
		buf_z(&b, "...");
	}
	return arena_str(arena, buf_view(&b));
}

static void invalid(struct arena *arena, struct check *check, struct str path,
		    const struct value *v, const char *why)
{
	struct str text = short_json(arena, v);

	check_add(arena, check, CAUSE_INVALID, path,
		  arena_printf(arena, "Invalid value: %.*s: %s", STR_ARG(text),
			       why),
		  v);
}

static uint64_t limit(const struct value *schema, const char *name,
		      uint64_t otherwise)
{
	uint64_t n;

	return value_to_u64(value_get(schema, str_of(name)), &n) ? n : otherwise;
}

/* ---- types ---- */

static bool is_type(const struct value *v, struct str type)
{
	switch (v->type) {
	case VALUE_NULL:
		return str_is(type, "null");
	case VALUE_BOOL:
		return str_is(type, "boolean");
	case VALUE_NUMBER:
		return str_is(type, "number") ||
		       (str_is(type, "integer") && value_is_integer(v));
	case VALUE_STRING:
		return str_is(type, "string");
	case VALUE_ARRAY:
		return str_is(type, "array");
	case VALUE_OBJECT:
		return str_is(type, "object");
	default:
		return false;
	}
}

/* By name or list of names; '*names' is how a message has them. */
static bool is_of_type(const struct value *v, const struct value *type,
		       struct buf *names)
{
	bool is = false;

	if (!type || type->type == VALUE_STRING) {
		buf_str(names, value_text(type));
		return !type || is_type(v, type->s);
	}
	for (size_t i = 0; i < value_count(type); i++) {
		struct str name = value_text(type->a.items[i]);

		buf_printf(names, "%s%.*s", i ? " or " : "", STR_ARG(name));
		is = is || is_type(v, name);
	}
	return is;
}

static void check_type(const struct value *v, struct str names, struct str path,
		       struct arena *arena, struct check *check)
{
	struct str text = short_json(arena, v);

	check_add(arena, check, CAUSE_TYPE, path,
		  arena_printf(arena, "Invalid value: %.*s: must be of "
				      "type %.*s, is %s",
			       STR_ARG(text), STR_ARG(names),
			       value_type_name(v->type)),
		  v);
}

static bool in_enum(const struct value *list, const struct value *v)
{
	for (size_t i = 0; i < value_count(list); i++)
		if (value_eq(list->a.items[i], v))
			return true;
	return false;
}

static void check_enum(const struct value *schema, const struct value *v,
		       struct str path, struct arena *arena,
		       struct check *check)
{
	const struct value *list = value_getz(schema, "enum");
	AUTO_BUF b = BUF_NONE;

	if (!list || in_enum(list, v))
		return;
	buf_z(&b, "Unsupported value: ");
	value_json(&b, v);
	buf_z(&b, ": supported values: ");
	for (size_t i = 0; i < list->a.n; i++) {
		buf_z(&b, i ? ", " : "");
		value_json(&b, list->a.items[i]);
	}
	check_add(arena, check, CAUSE_NOT_SUPPORTED, path, buf_view(&b), v);
}

/* The text may hold NULs and is looked at whole; a pattern with one matches
 * nothing, and neither does one that is no pattern. */
static bool matches(struct str pattern, struct str text, struct arena *arena)
{
	regmatch_t at = { .rm_so = 0, .rm_eo = (regoff_t)text.n };
	regex_t re;
	bool found;

	if (str_find(pattern, '\0') != SIZE_MAX || text.n > INT32_MAX ||
	    regcomp(&re, arena_z(arena, pattern), REG_EXTENDED))
		return false;
	found = regexec(&re, text.n ? text.p : "", 1, &at, REG_STARTEND) == 0;
	regfree(&re);
	return found;
}

static void check_format(const struct value *schema, const struct value *v,
			 struct str path, struct arena *arena,
			 struct check *check)
{
	struct str format = value_text_at(schema, "format");
	struct str least = value_text_at(schema, "x-conflux-least");
	uint64_t ms, least_ms = 0;

	if (str_is(format, "date-time") && !clock_parse_rfc3339(v->s, &ms))
		invalid(arena, check, path, v, "must be an RFC 3339 time");
	if (!str_is(format, "duration"))
		return;
	if (!str_duration_ms(v->s, &ms)) {
		invalid(arena, check, path, v,
			"must be a duration such as 500ms, 30s, 1m30s or 2h");
		return;
	}
	if (least.n)
		(void)!str_duration_ms(least, &least_ms);
	if (ms < least_ms)
		invalid(arena, check, path, v,
			arena_printf(arena, "must be at least %.*s",
				     STR_ARG(least)).p);
}

/* Code points; a byte that begins none counts with the one before. */
static uint64_t length_of(struct str s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static void too_long(struct arena *arena, struct check *check, struct str path,
		     const struct value *v, uint64_t max, const char *unit)
{
	check_add(arena, check, CAUSE_TOO_LONG, path,
		  arena_printf(arena, "Too long: must have at most %llu %s",
			       (unsigned long long)max, unit),
		  v);
}

static void check_length(const struct value *schema, const struct value *v,
			 struct str path, struct arena *arena,
			 struct check *check)
{
	uint64_t min = limit(schema, "minLength", 0);
	uint64_t max = limit(schema, "maxLength", UINT64_MAX);
	uint64_t bytes = limit(schema, "x-conflux-max-bytes", UINT64_MAX);
	uint64_t n = length_of(v->s);

	if (n < min && min == 1)
		invalid(arena, check, path, v, "must not be empty");
	else if (n < min)
		invalid(arena, check, path, v,
			arena_printf(arena, "must have at least %llu characters",
				     (unsigned long long)min).p);
	if (n > max)
		too_long(arena, check, path, v, max, "characters");
	else if (v->s.n > bytes)
		too_long(arena, check, path, v, bytes, "bytes");
}

static void check_string(const struct value *schema, const struct value *v,
			 struct str path, struct arena *arena,
			 struct check *check)
{
	struct str pattern = value_text_at(schema, "pattern");

	check_length(schema, v, path, arena, check);
	if (pattern.n && !matches(pattern, v->s, arena))
		invalid(arena, check, path, v,
			arena_printf(arena, "must match %.*s",
				     STR_ARG(pattern)).p);
	check_format(schema, v, path, arena, check);
}

static void check_number(const struct value *schema, const struct value *v,
			 struct str path, struct arena *arena,
			 struct check *check)
{
	/* Which results of a comparison with the bound are in range; a nan has
	 * no order and is in none. */
	static const struct bound {
		const char *name, *text;
		bool less, equal, more;
	} bounds[] = {
		{ "minimum", ">=", false, true, true },
		{ "exclusiveMinimum", ">", false, false, true },
		{ "maximum", "<=", true, true, false },
		{ "exclusiveMaximum", "<", true, false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
		const struct bound *b = &bounds[i];
		const struct value *at = value_get(schema, str_of(b->name));
		int order;

		if (!at || at->type != VALUE_NUMBER)
			continue;
		order = value_number_cmp(v, at);
		if (order == VALUE_UNORDERED ||
		    !(order < 0 ? b->less : order ? b->more : b->equal))
			invalid(arena, check, path, v,
				arena_printf(arena, "must be %s %.*s", b->text,
					     STR_ARG(at->s)).p);
	}
}

static void check_array(const struct value *schema, struct value *v,
			struct str path, struct arena *arena,
			struct check *check)
{
	const struct value *items = value_getz(schema, "items");
	uint64_t max = limit(schema, "maxItems", UINT64_MAX);

	if (v->a.n > max || v->a.n < limit(schema, "minItems", 0)) {
		check_add(arena, check, CAUSE_INVALID, path,
			  arena_printf(arena, "Invalid value: %zu items, between "
					      "%llu and %llu are allowed",
				       v->a.n,
				       (unsigned long long)limit(schema,
								 "minItems", 0),
				       (unsigned long long)max),
			  v);
		return;
	}
	for (size_t i = 0; items && i < v->a.n; i++)
		check_value(items, &v->a.items[i],
			    arena_printf(arena, "%.*s[%zu]", STR_ARG(path), i),
			    arena, check);
}

/* ---- objects ---- */

static struct str below(struct arena *arena, struct str path, struct str key)
{
	if (path.n == 0)
		return arena_str(arena, key);
	return arena_printf(arena, "%.*s.%.*s", STR_ARG(path), STR_ARG(key));
}

static void check_required(const struct value *schema, const struct value *v,
			   struct str path, struct arena *arena,
			   struct check *check)
{
	const struct value *list = value_getz(schema, "required");

	for (size_t i = 0; i < value_count(list); i++) {
		struct str key = value_text(list->a.items[i]);

		if (!value_get(v, key))
			check_add(arena, check, CAUSE_REQUIRED,
				  below(arena, path, key),
				  STR("Required value"), v);
	}
}

static void check_one_of(const struct value *schema, const struct value *v,
			 struct str path, struct arena *arena,
			 struct check *check)
{
	const struct value *list = value_getz(schema, "x-conflux-oneof");
	AUTO_BUF names = BUF_NONE;
	unsigned n = 0;

	for (size_t i = 0; i < value_count(list); i++) {
		struct str key = value_text(list->a.items[i]);

		n += value_get(v, key) != NULL;
		buf_printf(&names, "%s%.*s", i ? ", " : "", STR_ARG(key));
	}
	if (list && n != 1)
		check_add(arena, check, CAUSE_INVALID, path,
			  arena_printf(arena, "Invalid value: exactly one of %s "
					      "must be given",
				       names.p),
			  v);
}

/* Only where the whole object is there: no object is made for its defaults. */
static void fill_defaults(const struct value *properties, struct value *v,
			  struct arena *arena)
{
	for (size_t i = 0; i < value_count(properties); i++) {
		const struct member *p = &properties->o.m[i];
		const struct value *d = value_getz(p->value, "default");

		if (d && !value_get(v, p->key))
			value_set(arena, v, p->key, value_dup(arena, d));
	}
}

struct pruning {
	const struct value *properties;
	struct str path;
	struct arena *arena;
	struct check *check;
};

static bool keeps(void *data, const struct member *m)
{
	struct pruning *p = data;

	/* A null is the absence of a value. */
	if (m->value->type == VALUE_NULL)
		return false;
	if (value_get(p->properties, m->key))
		return true;
	unknown(p->arena, p->check, below(p->arena, p->path, m->key));
	return false;
}

static void prune(struct value *v, const struct value *properties,
		  struct str path, struct arena *arena, struct check *check)
{
	struct pruning p = { properties, path, arena, check };

	value_filter(v, keeps, &p);
}

static void check_members(const struct value *schema, struct value *v,
			  struct str path, struct arena *arena,
			  struct check *check)
{
	const struct value *properties = value_getz(schema, "properties");
	const struct value *extra = value_getz(schema, "additionalProperties");
	bool keeps = value_to_bool(
		value_getz(schema, "x-kubernetes-preserve-unknown-fields"),
		false);

	if (!keeps && !extra)
		prune(v, properties, path, arena, check);
	fill_defaults(properties, v, arena);
	check_required(schema, v, path, arena, check);
	check_one_of(schema, v, path, arena, check);
	for (size_t i = 0; i < v->o.n; i++) {
		const struct value *s = value_get(properties, v->o.m[i].key);

		if (!s)
			s = extra;
		if (s)
			check_value(s, &v->o.m[i].value,
				    below(arena, path, v->o.m[i].key), arena,
				    check);
	}
}

void check_value(const struct value *schema, struct value **vp, struct str path,
		 struct arena *arena, struct check *check)
{
	struct value *v = *vp;
	struct str refused = value_text_at(schema, "x-conflux-refused");
	AUTO_BUF types = BUF_NONE;

	if (schema->type == VALUE_BOOL && !schema->b)
		refused = STR("it is not allowed here");
	if (refused.n) {
		check_add(arena, check, CAUSE_FORBIDDEN, path,
			  arena_printf(arena, "Forbidden: %.*s",
				       STR_ARG(refused)),
			  v);
		return;
	}
	if (!is_of_type(v, value_getz(schema, "type"), &types)) {
		check_type(v, buf_view(&types), path, arena, check);
		return;
	}
	check_enum(schema, v, path, arena, check);
	if (v->type == VALUE_STRING)
		check_string(schema, v, path, arena, check);
	else if (v->type == VALUE_NUMBER)
		check_number(schema, v, path, arena, check);
	else if (v->type == VALUE_ARRAY)
		check_array(schema, v, path, arena, check);
	else if (v->type == VALUE_OBJECT)
		check_members(schema, v, path, arena, check);
}

/* ---- metadata ---- */

static bool is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

static bool is_label_name(struct str s)
{
	if (s.n == 0 || s.n > 63 || !is_label_char(s.p[0]) ||
	    !is_label_char(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_label_char(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' &&
		    s.p[i] != '.')
			return false;
	return true;
}

static bool is_subdomain(struct str s)
{
	bool edge = true;

	if (s.n == 0 || s.n > 253)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (c == '.' && (edge || s.p[i - 1] == '-'))
			return false;
		if (!alnum && c != '.' && (c != '-' || edge))
			return false;
		edge = c == '.';
	}
	return !edge && s.p[s.n - 1] != '-';
}

/* "name" or "dns.prefix/name". */
static bool is_qualified(struct str key)
{
	size_t slash = str_find(key, '/');

	if (slash == SIZE_MAX)
		return is_label_name(key);
	return is_subdomain(str_first(key, slash)) &&
	       is_label_name(str_from(key, slash + 1));
}

static void check_strings(struct value *meta, const char *name,
			  bool label_values, struct arena *arena,
			  struct check *check)
{
	struct value *map = value_get(meta, str_of(name));
	struct str path = arena_printf(arena, "metadata.%s", name);
	size_t bytes = 0;

	if (map && (map->type == VALUE_NULL ||
		    (map->type == VALUE_OBJECT && value_count(map) == 0))) {
		value_remove(meta, str_of(name));
		return;
	}
	if (map && map->type != VALUE_OBJECT) {
		invalid(arena, check, path, map, "must be an object of strings");
		return;
	}
	for (size_t i = 0; map && i < map->o.n; i++) {
		const struct member *m = &map->o.m[i];
		struct str v = value_text(m->value);

		bytes += m->key.n + v.n;
		if (!is_qualified(m->key) || m->value->type != VALUE_STRING ||
		    (label_values && v.n && !is_label_name(v)))
			invalid(arena, check, below(arena, path, m->key),
				m->value, "is no valid key and value");
	}
	/* Selectors look at no more. */
	if (label_values && map && value_count(map) > SCHEMA_LABELS_MAX)
		check_add(arena, check, CAUSE_TOO_MANY, path,
			  arena_printf(arena, "Too many: %zu: must have at most %d items",
				       value_count(map), SCHEMA_LABELS_MAX), map);
	if (bytes > META_BYTES_MAX)
		check_add(arena, check, CAUSE_TOO_LONG, path,
			  STR("Too long: must have at most 262144 bytes"), map);
}

static bool is_full(void *data, const struct member *m)
{
	const struct value *v = m->value;

	return v->type != VALUE_NULL &&
	       ((v->type != VALUE_OBJECT && v->type != VALUE_ARRAY) ||
		value_count(v) > 0);
}

static void check_meta(struct value *object, struct arena *arena,
		       struct check *check)
{
	struct value *meta = value_getz(object, "metadata");
	struct str name = value_text_at(object, "metadata.name");

	if (!meta || meta->type == VALUE_NULL) {
		check_add(arena, check, CAUSE_REQUIRED, STR("metadata"),
			  STR("Required value"), object);
		return;
	}
	if (meta->type != VALUE_OBJECT) {
		check_type(meta, STR("object"), STR("metadata"), arena, check);
		return;
	}
	if (name.n == 0)
		check_add(arena, check, CAUSE_REQUIRED, STR("metadata.name"),
			  STR("Required value: name or generateName is required"),
			  meta);
	else if (!is_subdomain(name))
		invalid(arena, check, STR("metadata.name"),
			value_getz(meta, "name"),
			"a lowercase RFC 1123 subdomain must consist of lower "
			"case alphanumeric characters, '-' or '.'");
	check_strings(meta, "labels", true, arena, check);
	check_strings(meta, "annotations", false, arena, check);
	value_filter(meta, is_full, NULL);
}

static enum code first_cause(const struct check *check, struct err *err)
{
	const struct cause *c = &check->causes[0];

	err_set(err, E_UNPROCESSABLE, "%.*s: %.*s", STR_ARG(c->field),
		STR_ARG(c->message));
	if (c->line)
		err_wrap(err, "line %u", c->line);
	return E_UNPROCESSABLE;
}

static bool is_member(void *data, const struct member *m)
{
	static const char *const members[] = { "apiVersion", "kind", "metadata",
					       "spec", "status" };
	struct pruning *p = data;

	for (size_t k = 0; k < ARRAY_LEN(members); k++)
		if (str_eq(m->key, str_of(members[k])))
			return true;
	unknown(p->arena, p->check, m->key);
	return false;
}

enum code check_object(const struct kind *kind, struct value *object,
		       struct arena *arena, struct check *check,
		       struct err *err)
{
	struct pruning p = { .arena = arena, .check = check };

	value_filter(object, is_member, &p);
	check_meta(object, arena, check);
	if (!value_getz(object, "spec") ||
	    value_getz(object, "spec")->type == VALUE_NULL)
		value_setz(arena, object, "spec", value_object(arena));
	for (size_t i = 0; i < object->o.n; i++) {
		struct member *m = &object->o.m[i];

		if (str_is(m->key, "spec"))
			check_value(kind->spec_schema, &m->value, m->key, arena,
				    check);
		else if (str_is(m->key, "status") && kind->status_schema &&
			 m->value->type != VALUE_NULL)
			check_value(kind->status_schema, &m->value, m->key,
				    arena, check);
	}
	return check->n_causes ? first_cause(check, err) : OK;
}
