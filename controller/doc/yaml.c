/*
 * YAML 1.2 by libyaml's events, read with the core schema (yaml_core.c).
 *
 * Decisions:
 *
 * - An alias stands for a copy of its anchor, and what it expands to counts in
 *   full against the bounds of values, bytes and depth, so that a "billion
 *   laughs" document, or one long string named a million times, is refused.
 *   Copies, because checking an object changes it in place, and what was
 *   changed at one place must not change at another.
 * - Merge keys ("<<") are not of the core schema and are refused by name:
 *   kept as plain keys they would surprise.
 * - Keys are strings.  YAML has others; no other format of ours does.
 * - Tags are those of the core schema.
 *
 * libyaml compares each %TAG line with all before it, so their number is
 * bounded before it sees the text.
 */
#include <yaml.h>

#include "base/map.h"
#include "doc/number.h"
#include "doc/parsers.h"

#include "base/banned.h"

#define TAG_LINES_MAX 100
#define TAG_PREFIX "tag:yaml.org,2002:"

struct reader {
	yaml_parser_t yaml;
	struct str text;
	const struct doc_limits *limits;
	struct arena *arena;
	struct doc_place *place;
	struct err *err;
	struct map *anchors;	 /* name -> struct anchor */
	size_t nodes, bytes;	 /* so far, aliases counted in full */
	unsigned depth, deepest; /* now; of the value being read */
};

struct anchor {
	struct value *value; /* NULL while it is being read */
	size_t nodes, bytes;
	unsigned height;
};

static enum code refuse(struct reader *r, const yaml_mark_t *at,
			const char *reason)
{
	return parse_error(r->err, r->place, (uint32_t)at->line + 1,
			   (uint32_t)at->column + 1, reason);
}

/* What libyaml found, with what it was doing. */
static enum code library_error(struct reader *r)
{
	const yaml_parser_t *y = &r->yaml;
	const char *problem = y->problem ? y->problem : "malformed";

	/* Nothing is wrong with the text. */
	must(y->error != YAML_MEMORY_ERROR);
	if (y->error == YAML_READER_ERROR)
		return parse_error_at(r->err, r->place, r->text,
				      MIN(y->problem_offset, r->text.n),
				      problem);
	if (y->context)
		problem = arena_printf(r->arena, "%s, %s", problem, y->context).p;
	return refuse(r, &y->problem_mark, problem);
}

static enum code next_event(struct reader *r, yaml_event_t *event)
{
	return yaml_parser_parse(&r->yaml, event) ? OK : library_error(r);
}

/* ---- scalars ---- */

/* The type that a tag of the core schema asks for; false: none of them. */
static bool type_of_tag(struct str tag, enum value_type *out)
{
	static const struct {
		const char *name;
		enum value_type type;
	} tags[] = {
		{ TAG_PREFIX "str", VALUE_STRING },
		{ TAG_PREFIX "int", VALUE_NUMBER },
		{ TAG_PREFIX "float", VALUE_NUMBER },
		{ TAG_PREFIX "bool", VALUE_BOOL },
		{ TAG_PREFIX "null", VALUE_NULL },
		{ "!", VALUE_STRING },
	};

	for (size_t i = 0; i < ARRAY_LEN(tags); i++)
		if (str_eq(tag, str_of(tags[i].name))) {
			*out = tags[i].type;
			return true;
		}
	return false;
}

static bool is_integer(const struct value *v)
{
	return str_find(v->s, '.') == SIZE_MAX &&
	       str_find(v->s, 'e') == SIZE_MAX &&
	       str_find(v->s, 'E') == SIZE_MAX && !number_is_special(v->s);
}

static enum code tagged(struct reader *r, const yaml_event_t *e, struct str tag,
			struct str s, struct value *v)
{
	enum value_type want;
	const char *why;

	if (!type_of_tag(tag, &want))
		return refuse(r, &e->start_mark,
			      "a tag that is not of the core schema");
	if (want == VALUE_STRING) {
		v->type = VALUE_STRING;
		v->s = arena_str(r->arena, s);
		return OK;
	}
	why = yaml_core(r->arena, s, v);
	if (!why && (v->type != want ||
		     (str_is(tag, TAG_PREFIX "int") && !is_integer(v))))
		why = "a scalar that is not of the type of its tag";
	return why ? refuse(r, &e->start_mark, why) : OK;
}

static enum code scalar(struct reader *r, const yaml_event_t *e, struct value *v)
{
	struct str s = str_n(e->data.scalar.value, e->data.scalar.length);
	struct str tag = str_of((const char *)e->data.scalar.tag);
	const char *why;

	r->bytes += s.n;
	if (tag.n)
		return tagged(r, e, tag, s, v);
	if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
		v->type = VALUE_STRING;
		v->s = arena_str(r->arena, s);
		return OK;
	}
	why = yaml_core(r->arena, s, v);
	return why ? refuse(r, &e->start_mark, why) : OK;
}

/* ---- aliases ---- */

static struct anchor *anchor_new(struct reader *r, const yaml_char_t *name)
{
	struct anchor *a;

	if (!name)
		return NULL;
	a = ANEW(r->arena, struct anchor);
	map_put(r->anchors, str_of((const char *)name), a);
	return a;
}

static enum code check_nodes(struct reader *r, const yaml_event_t *e)
{
	if (r->nodes <= r->limits->nodes_max)
		return OK;
	return refuse(r, &e->start_mark,
		      "more values than allowed, aliases counted in full");
}

/* Counts what an alias stands for.  A text of bytes_max has at most twice as
 * many bytes once its escapes are read, so only aliases get beyond. */
static enum code spend(struct reader *r, const yaml_event_t *e,
		       const struct anchor *a)
{
	r->nodes += a->nodes;
	r->bytes += a->bytes;
	r->deepest = MAX(r->deepest, r->depth + a->height);
	if (r->deepest > r->limits->depth_max)
		return refuse(r, &e->start_mark,
			      "nested too deeply, aliases counted in full");
	if (r->bytes > 2 * r->limits->bytes_max)
		return refuse(r, &e->start_mark,
			      "more text than allowed, aliases counted in full");
	return check_nodes(r, e);
}

static enum code alias(struct reader *r, const yaml_event_t *e,
		       struct value **out)
{
	struct str name = str_of((const char *)e->data.alias.anchor);
	const struct anchor *a = map_get(r->anchors, name);
	enum code rc;

	if (!a)
		return refuse(r, &e->start_mark, "an alias without its anchor");
	if (!a->value)
		return refuse(r, &e->start_mark,
			      "an alias inside its own anchor");
	rc = spend(r, e, a);
	if (rc)
		return rc;
	*out = value_dup(r->arena, a->value);
	return OK;
}

/* ---- sequences and mappings ---- */

static enum code node(struct reader *r, yaml_event_t *e, struct value **out);

static bool tag_is(const yaml_char_t *tag, const char *want)
{
	return !tag || strcmp((const char *)tag, "!") == 0 ||
	       strcmp((const char *)tag, want) == 0;
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
	bool is_scalar = e->type == YAML_SCALAR_EVENT;

	if (key->type != VALUE_STRING && is_scalar)
		return refuse(r, &e->start_mark,
			      "a key that is no string; put it in quotes");
	if (key->type != VALUE_STRING)
		return refuse(r, &e->start_mark, "a key that is no string");
	if (str_is(key->s, "<<") && is_scalar &&
	    e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return refuse(r, &e->start_mark,
			      "merge keys (<<) are not of YAML 1.2");
	return OK;
}

/* The pair whose key begins with event 'e'. */
static enum code pair(struct reader *r, yaml_event_t *e, struct value *v)
{
	struct value *key = NULL, *item = NULL;
	yaml_event_t second;
	enum code rc = node(r, e, &key);

	if (rc == OK)
		rc = check_key(r, e, key);
	if (rc == OK)
		rc = next_event(r, &second);
	if (rc)
		return rc;
	rc = node(r, &second, &item);
	yaml_event_delete(&second);
	if (rc == OK)
		value_append(r->arena, v, key->s, item);
	return rc;
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
				   STR_ARG(twice))
			      .p);
}

static enum code container(struct reader *r, yaml_event_t *e, struct value *v)
{
	bool is_map = e->type == YAML_MAPPING_START_EVENT;
	bool is_core = is_map ? tag_is(e->data.mapping_start.tag,
				       TAG_PREFIX "map") :
				tag_is(e->data.sequence_start.tag,
				       TAG_PREFIX "seq");
	enum code rc;

	if (!is_core)
		return refuse(r, &e->start_mark,
			      "a tag that is not of the core schema");
	if (++r->depth > r->limits->depth_max)
		return refuse(r, &e->start_mark, "nested too deeply");
	r->deepest = MAX(r->deepest, r->depth);
	rc = is_map ? mapping(r, v, &e->start_mark) : sequence(r, v);
	r->depth--;
	return rc;
}

/* ---- nodes ---- */

static const yaml_char_t *anchor_name(const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return e->data.scalar.anchor;
	case YAML_SEQUENCE_START_EVENT:
		return e->data.sequence_start.anchor;
	case YAML_MAPPING_START_EVENT:
		return e->data.mapping_start.anchor;
	default:
		return NULL;
	}
}

static enum code fill(struct reader *r, yaml_event_t *e, struct value *v)
{
	enum code rc = check_nodes(r, e);

	if (rc)
		return rc;
	v->line = (uint32_t)e->start_mark.line + 1;
	v->column = (uint32_t)e->start_mark.column + 1;
	return e->type == YAML_SCALAR_EVENT ? scalar(r, e, v) :
					      container(r, e, v);
}

/* The value that begins with event 'e'. */
static enum code node(struct reader *r, yaml_event_t *e, struct value **out)
{
	size_t nodes = r->nodes, bytes = r->bytes;
	unsigned deepest = r->deepest;
	struct anchor *anchor;
	struct value *v;
	enum code rc;

	if (e->type == YAML_ALIAS_EVENT)
		return alias(r, e, out);
	v = ANEW(r->arena, struct value);
	anchor = anchor_new(r, anchor_name(e));
	r->nodes++;
	r->deepest = r->depth;
	rc = fill(r, e, v);
	if (rc)
		return rc;
	if (anchor)
		*anchor = (struct anchor){ v, r->nodes - nodes, r->bytes - bytes,
					   r->deepest - r->depth };
	r->deepest = MAX(r->deepest, deepest);
	*out = v;
	return OK;
}

/* ---- documents ---- */

/* One document behind its start event; its end event is consumed. */
static enum code document(struct reader *r, struct value **out)
{
	yaml_event_t e;
	enum code rc = next_event(r, &e);

	if (rc)
		return rc;
	map_free(&r->anchors);
	r->anchors = map_new();
	rc = node(r, &e, out);
	yaml_event_delete(&e);
	if (rc == OK)
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
			continue; /* the stream's start */
		if (docs->a.n == r->limits->documents_max)
			return refuse(r, &mark, "more documents than allowed");
		rc = document(r, &v);
		if (rc)
			return rc;
		value_push(r->arena, docs, v);
	}
}

static enum code check_tag_lines(struct reader *r)
{
	struct str rest = r->text;
	unsigned n = 0;

	while (rest.n) {
		struct str line = str_cut(&rest, '\n');

		if (str_starts(line, STR("%TAG")) && ++n > TAG_LINES_MAX)
			return parse_error_at(r->err, r->place, r->text,
					      (size_t)(line.p - r->text.p),
					      "more than 100 %TAG lines");
	}
	return OK;
}

static enum code read_all(struct str text, struct arena *arena,
			  const struct doc_limits *limits, struct value *docs,
			  struct doc_place *place, struct err *err)
{
	struct reader r = { .text = text,
			    .limits = limits,
			    .arena = arena,
			    .place = place,
			    .err = err };
	enum code rc = check_tag_lines(&r);

	if (rc)
		return rc;
	must(yaml_parser_initialize(&r.yaml));
	yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.yaml, (const unsigned char *)text.p,
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

	if (rc)
		return rc;
	for (size_t i = 0; i < docs->a.n; i++)
		if (docs->a.items[i]->type != VALUE_NULL)
			value_push(arena, full, docs->a.items[i]);
	*out = full;
	return OK;
}
