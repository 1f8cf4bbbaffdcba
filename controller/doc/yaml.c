/*
 * YAML 1.2 by libyaml's events, read with the core schema.
 *
 * Aliases are expanded by sharing the subtree, but what they expand to counts
 * against nodes_max, so that a "billion laughs" document is refused.  Merge
 * keys ("<<") are not of the core schema and are refused by name, because
 * keeping them as plain keys would surprise.  Keys are strings.
 */
#include <yaml.h>

#include "base/map.h"
#include "doc/number.h"
#include "doc/parsers.h"

#include "base/banned.h"

struct reader {
	yaml_parser_t yaml;
	const struct doc_limits *limits;
	struct arena *arena;
	struct doc_place *place;
	struct err *err;
	struct map *anchors;             /* name -> struct anchor */
	size_t nodes;
	unsigned depth;
};

struct anchor {
	struct value *value;             /* NULL while it is being read */
	size_t nodes;
};

static enum code refuse(struct reader *r, const yaml_mark_t *at,
			const char *reason)
{
	return parse_error(r->err, r->place, (uint32_t)at->line + 1,
			   (uint32_t)at->column + 1, reason);
}

static enum code next_event(struct reader *r, yaml_event_t *event)
{
	const char *problem;

	if (yaml_parser_parse(&r->yaml, event))
		return OK;
	problem = r->yaml.problem ? r->yaml.problem : "malformed";
	return refuse(r, &r->yaml.problem_mark, problem);
}

/* ---- scalars ---- */

static bool is_in(struct str s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(s, str_of(words[i])))
			return true;
	return false;
}

/* 0o and 0x forms become decimal, exactly, up to 64 bits. */
static bool based_integer(struct reader *r, struct str s, struct str *out)
{
	unsigned base = str_starts(s, STR("0x")) ? 16 :
			str_starts(s, STR("0o")) ? 8 : 0;
	uint64_t v = 0;

	if (!base || s.n < 3)
		return false;
	for (size_t i = 2; i < s.n; i++) {
		char c = s.p[i] | 32;
		unsigned d = c >= '0' && c <= '9' ? (unsigned)(c - '0') :
			     c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) :
						    99;

		if (d >= base || __builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, d, &v))
			return false;
	}
	*out = arena_printf(r->arena, "%llu", (unsigned long long)v);
	return true;
}

/* The core schema allows "+1", ".5", "1." and "01", which JSON does not. */
static bool core_number(struct reader *r, struct str s, struct str *out)
{
	AUTO_BUF b = BUF_NONE;
	bool minus = s.n && s.p[0] == '-';
	struct str rest = str_from(s, s.n && (minus || s.p[0] == '+'));
	size_t digits = 0;

	for (size_t i = 0; i < rest.n; i++) {
		char c = rest.p[i];

		if (c == 'e' || c == 'E')
			break;
		if (c >= '0' && c <= '9')
			digits++;
		else if (c != '.')
			return false;
	}
	if (digits == 0)
		return false;
	while (rest.n > 1 && rest.p[0] == '0' && rest.p[1] >= '0' &&
	       rest.p[1] <= '9')
		rest = str_from(rest, 1);
	if (minus)
		buf_c(&b, '-');
	if (rest.p[0] == '.')
		buf_c(&b, '0');
	for (size_t i = 0; i < rest.n; i++) {
		buf_c(&b, rest.p[i]);
		if (rest.p[i] == '.' &&
		    (i + 1 == rest.n || (rest.p[i + 1] | 32) == 'e'))
			buf_c(&b, '0');
	}
	if (!number_is_valid(buf_view(&b)))
		return false;
	*out = arena_str(r->arena, buf_view(&b));
	return true;
}

static void plain_scalar(struct reader *r, struct value *v, struct str s)
{
	static const char *const nulls[] = { "", "null", "Null", "NULL", "~" };
	static const char *const trues[] = { "true", "True", "TRUE" };
	static const char *const falses[] = { "false", "False", "FALSE" };
	static const char *const infs[] = { ".inf", ".Inf", ".INF", "+.inf",
					    "+.Inf", "+.INF" };
	static const char *const minus_infs[] = { "-.inf", "-.Inf", "-.INF" };
	static const char *const nans[] = { ".nan", ".NaN", ".NAN" };
	struct str number;

	if (is_in(s, nulls, ARRAY_LEN(nulls)))
		return;
	v->type = VALUE_BOOL;
	v->b = is_in(s, trues, ARRAY_LEN(trues));
	if (v->b || is_in(s, falses, ARRAY_LEN(falses)))
		return;
	v->type = VALUE_NUMBER;
	if (is_in(s, infs, ARRAY_LEN(infs)))
		v->s = STR("inf");
	else if (is_in(s, minus_infs, ARRAY_LEN(minus_infs)))
		v->s = STR("-inf");
	else if (is_in(s, nans, ARRAY_LEN(nans)))
		v->s = STR("nan");
	else if (based_integer(r, s, &number) || core_number(r, s, &number))
		v->s = number;
	else {
		v->type = VALUE_STRING;
		v->s = arena_str(r->arena, s);
	}
}

static const char *const tag_prefix = "tag:yaml.org,2002:";

static enum code scalar(struct reader *r, const yaml_event_t *e,
			struct value *v)
{
	struct str s = str_n(e->data.scalar.value, e->data.scalar.length);
	struct str tag = str_of((const char *)e->data.scalar.tag);

	if (tag.n && !str_is(tag, "!")) {
		if (!str_eq(tag, STR("tag:yaml.org,2002:str")))
			return refuse(r, &e->start_mark,
				      "a tag that is not of the core schema");
		v->type = VALUE_STRING;
		v->s = arena_str(r->arena, s);
		return OK;
	}
	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && tag.n == 0) {
		plain_scalar(r, v, s);
		return OK;
	}
	v->type = VALUE_STRING;
	v->s = arena_str(r->arena, s);
	return OK;
}

/* ---- nodes ---- */

static enum code node(struct reader *r, yaml_event_t *e, struct value **out);

static enum code count_nodes(struct reader *r, const yaml_event_t *e, size_t n)
{
	r->nodes += n;
	if (r->nodes <= r->limits->nodes_max)
		return OK;
	return refuse(r, &e->start_mark,
		      "more values than allowed, aliases counted in full");
}

static struct anchor *anchor_of(struct reader *r, const yaml_char_t *name)
{
	struct anchor *a;

	if (!name)
		return NULL;
	a = ANEW(r->arena, struct anchor);
	map_put(r->anchors, str_of((const char *)name), a);
	return a;
}

static enum code alias(struct reader *r, const yaml_event_t *e,
		       struct value **out)
{
	struct str name = str_of((const char *)e->data.alias.anchor);
	const struct anchor *a = map_get(r->anchors, name);

	if (!a)
		return refuse(r, &e->start_mark, "an alias without its anchor");
	if (!a->value)
		return refuse(r, &e->start_mark, "an alias inside its own anchor");
	*out = a->value;
	return count_nodes(r, e, a->nodes);
}

static bool tag_is(const yaml_char_t *tag, const char *kind)
{
	AUTO_BUF want = BUF_NONE;

	if (!tag || strcmp((const char *)tag, "!") == 0)
		return true;
	buf_printf(&want, "%s%s", tag_prefix, kind);
	return str_eq(str_of((const char *)tag), buf_view(&want));
}

static enum code sequence(struct reader *r, struct value *v)
{
	v->type = VALUE_ARRAY;
	for (;;) {
		struct value *item = NULL;
		yaml_event_t e;
		enum code rc = next_event(r, &e);

		if (rc)
			return rc;
		if (e.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&e);
			return OK;
		}
		rc = node(r, &e, &item);
		yaml_event_delete(&e);
		if (rc)
			return rc;
		value_push(r->arena, v, item);
	}
}

static enum code check_key(struct reader *r, const yaml_event_t *e,
			   const struct value *key)
{
	if (key->type != VALUE_STRING && e->type == YAML_SCALAR_EVENT)
		return refuse(r, &e->start_mark,
			      "a key that is no string; put it in quotes");
	if (key->type != VALUE_STRING)
		return refuse(r, &e->start_mark, "a key that is no string");
	if (str_is(key->s, "<<") && e->type == YAML_SCALAR_EVENT &&
	    e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return refuse(r, &e->start_mark,
			      "merge keys (<<) are not of YAML 1.2");
	return OK;
}

static enum code pair(struct reader *r, yaml_event_t *e, struct value *v)
{
	struct value *key = NULL, *item = NULL;
	yaml_event_t second;
	enum code rc = node(r, e, &key);

	if (rc == OK)
		rc = check_key(r, e, key);
	if (rc)
		return rc;
	rc = next_event(r, &second);
	if (rc)
		return rc;
	rc = node(r, &second, &item);
	yaml_event_delete(&second);
	if (rc)
		return rc;
	v->o.m = arena_grow(r->arena, v->o.m, &v->o.cap, v->o.n + 1,
			    sizeof(*v->o.m));
	v->o.m[v->o.n++] = (struct member){ key->s, item };
	return OK;
}

static enum code mapping(struct reader *r, struct value *v,
			 const yaml_mark_t *start)
{
	struct str twice;

	v->type = VALUE_OBJECT;
	for (;;) {
		yaml_event_t e;
		enum code rc = next_event(r, &e);

		if (rc)
			return rc;
		if (e.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&e);
			break;
		}
		rc = pair(r, &e, v);
		yaml_event_delete(&e);
		if (rc)
			return rc;
	}
	if (value_index(r->arena, v, &twice))
		return OK;
	return refuse(r, start,
		      arena_printf(r->arena, "the key \"%.*s\" stands here twice",
				   STR_ARG(twice)).p);
}

static enum code container(struct reader *r, yaml_event_t *e, struct value *v)
{
	bool is_map = e->type == YAML_MAPPING_START_EVENT;
	const yaml_char_t *tag = is_map ? e->data.mapping_start.tag :
					  e->data.sequence_start.tag;
	enum code rc;

	if (!tag_is(tag, is_map ? "map" : "seq"))
		return refuse(r, &e->start_mark,
			      "a tag that is not of the core schema");
	if (++r->depth > r->limits->depth_max)
		return refuse(r, &e->start_mark, "nested too deeply");
	rc = is_map ? mapping(r, v, &e->start_mark) : sequence(r, v);
	r->depth--;
	return rc;
}

/* The value that begins with event 'e'. */
static enum code node(struct reader *r, yaml_event_t *e, struct value **out)
{
	struct value *v;
	struct anchor *anchor = NULL;
	size_t before = r->nodes;
	enum code rc;

	if (e->type == YAML_ALIAS_EVENT)
		return alias(r, e, out);
	rc = count_nodes(r, e, 1);
	if (rc)
		return rc;
	v = ANEW(r->arena, struct value);
	v->line = (uint32_t)e->start_mark.line + 1;
	v->column = (uint32_t)e->start_mark.column + 1;
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		anchor = anchor_of(r, e->data.scalar.anchor);
		rc = scalar(r, e, v);
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = anchor_of(r, e->data.sequence_start.anchor);
		rc = container(r, e, v);
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = anchor_of(r, e->data.mapping_start.anchor);
		rc = container(r, e, v);
		break;
	default:
		return refuse(r, &e->start_mark, "malformed");
	}
	if (rc)
		return rc;
	if (anchor) {
		anchor->value = v;
		anchor->nodes = r->nodes - before;
	}
	*out = v;
	return OK;
}

/* ---- documents ---- */

/* One document behind its start event; its end event is consumed. */
static enum code document(struct reader *r, struct value **out)
{
	yaml_event_t e;
	enum code rc = next_event(r, &e);

	map_free(&r->anchors);
	r->anchors = map_new();
	if (rc)
		return rc;
	rc = node(r, &e, out);
	yaml_event_delete(&e);
	if (rc)
		return rc;
	rc = next_event(r, &e);
	if (rc == OK)
		yaml_event_delete(&e);
	return rc;
}

static enum code stream(struct reader *r, struct value *docs)
{
	for (;;) {
		struct value *v = NULL;
		yaml_event_t e;
		yaml_event_type_t type;
		yaml_mark_t mark;
		enum code rc = next_event(r, &e);

		if (rc)
			return rc;
		type = e.type;
		mark = e.start_mark;
		yaml_event_delete(&e);
		if (type == YAML_STREAM_END_EVENT)
			return OK;
		if (type != YAML_DOCUMENT_START_EVENT)
			continue;                /* the stream's start */
		if (docs->a.n == r->limits->documents_max)
			return refuse(r, &mark, "more documents than allowed");
		rc = document(r, &v);
		if (rc)
			return rc;
		value_push(r->arena, docs, v);
	}
}

static enum code read_all(struct str text, struct arena *arena,
			  const struct doc_limits *limits, struct value *docs,
			  struct doc_place *place, struct err *err)
{
	struct reader r = { .limits = limits, .arena = arena, .place = place,
			    .err = err };
	enum code rc;

	must(yaml_parser_initialize(&r.yaml));
	yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.yaml,
				     (const unsigned char *)(text.n ? text.p : ""),
				     text.n);
	rc = stream(&r, docs);
	yaml_parser_delete(&r.yaml);
	map_free(&r.anchors);
	return rc;
}

enum code yaml_parse(struct str text, struct arena *arena,
		     const struct doc_limits *limits, struct value **out,
		     struct doc_place *place, struct err *err)
{
	struct value *docs = value_array(arena);
	enum code rc = read_all(text, arena, limits, docs, place, err);

	if (rc)
		return rc;
	if (docs->a.n > 1)
		return parse_error(err, place, docs->a.items[1]->line,
				   docs->a.items[1]->column,
				   "more than one document");
	*out = docs->a.n ? docs->a.items[0] : value_null(arena);
	return OK;
}

enum code yaml_parse_stream(struct str text, struct arena *arena,
			    const struct doc_limits *limits, struct value **out,
			    struct doc_place *place, struct err *err)
{
	struct value *docs = value_array(arena), *full = value_array(arena);
	enum code rc = read_all(text, arena, limits, docs, place, err);

	for (size_t i = 0; rc == OK && i < docs->a.n; i++)
		if (docs->a.items[i]->type != VALUE_NULL)
			value_push(arena, full, docs->a.items[i]);
	*out = full;
	return rc;
}
