/*
 * YAML 1.2, core schema, as JSON: see doc.h.  What is taken and what it means is as in
 * the daemon (controller/doc/yaml.c), which took the content before it was published:
 *
 * - keys are strings, merge keys ("<<") and tags beyond the core schema are refused;
 * - one document, or none, which is null;
 * - an alias stands for a copy, and what it expands to is bounded;
 * - yes, no, on and off are strings; 0x and 0o are numbers; infinite and not a number,
 *   which JSON has not, are strings.
 *
 * libyaml reads; its memory is libc's, and a failure of that is CFX_E_NO_MEMORY.
 */
#include <stdio.h>
#include <yaml.h>

#include "client/sdk/own.h"
#include "client/sdk/table.h"

#include "base/banned.h"

#define NODES_MAX 1000000            /* aliases counted in full */
#define BYTES_MIN ((size_t)8 << 20)
#define TAG_LINES_MAX 100            /* libyaml compares each with all before it */
#define TAG_PREFIX "tag:yaml.org,2002:"

enum kind { KIND_STRING, KIND_NULL, KIND_BOOL, KIND_INTEGER, KIND_REAL, KIND_NONE };

/* What a name stands for: the JSON between. */
struct anchor {
	uint32_t name, name_n;           /* in names */
	size_t from, n;                  /* in out */
	size_t nodes, bytes;
	bool is_open, is_string;
};

/* A sequence or mapping that is being read. */
struct level {
	bool is_map;
	bool is_value;                   /* behind a key */
	size_t count;
	uint32_t anchor;                 /* + 1; 0: none */
	size_t nodes, bytes, from;       /* where it began */
};

struct reader {
	const heap *heap;
	struct bytes *out;
	struct cfx_error *error;
	uint64_t seed;
	yaml_parser_t yaml;
	size_t nodes, bytes, bytes_max;
	struct level levels[DOC_DEPTH_MAX];
	unsigned depth;
	struct anchor *anchors;
	size_t n_anchors, cap_anchors;
	struct bytes names;
	struct table by_name;
};

static enum cfx_code refuse(struct reader *r, const yaml_mark_t *at, const char *why)
{
	return cfx_fail(r->error, CFX_E_PARSE, "line %zu, column %zu: %s", at->line + 1,
			at->column + 1, why);
}

static enum cfx_code put(struct reader *r, struct str s)
{
	return bytes_add(r->heap, r->out, s) ? CFX_OK : cfx_no_memory(r->error);
}

static enum cfx_code put_string(struct reader *r, struct str s)
{
	return sdk_json(r->heap, r->out, s) ? CFX_OK : cfx_no_memory(r->error);
}

/* ---- events ---- */

static enum cfx_code library_error(struct reader *r)
{
	const yaml_parser_t *y = &r->yaml;

	if (y->error == YAML_MEMORY_ERROR || y->error == YAML_NO_ERROR)
		return cfx_no_memory(r->error);
	if (y->error == YAML_READER_ERROR)
		return cfx_fail(r->error, CFX_E_PARSE, "byte %zu: %s",
				y->problem_offset + 1, y->problem);
	return cfx_fail(r->error, CFX_E_PARSE, "line %zu, column %zu: %s%s%s",
			y->problem_mark.line + 1, y->problem_mark.column + 1,
			y->problem ? y->problem : "malformed",
			y->context ? ", " : "", y->context ? y->context : "");
}

static enum cfx_code next(struct reader *r, yaml_event_t *event)
{
	return yaml_parser_parse(&r->yaml, event) ? CFX_OK : library_error(r);
}

/* ---- plain scalars ---- */

static bool is_in(struct str s, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(s, str_of(list[i])))
			return true;
	return false;
}

static bool is_word(struct str s, enum kind *kind, const char **json)
{
	static const char *const nulls[] = { "", "null", "Null", "NULL", "~" };
	static const char *const trues[] = { "true", "True", "TRUE" };
	static const char *const falses[] = { "false", "False", "FALSE" };

	if (is_in(s, nulls, ARRAY_LEN(nulls)))
		*kind = KIND_NULL, *json = "null";
	else if (is_in(s, trues, ARRAY_LEN(trues)))
		*kind = KIND_BOOL, *json = "true";
	else if (is_in(s, falses, ARRAY_LEN(falses)))
		*kind = KIND_BOOL, *json = "false";
	else
		return false;
	return true;
}

static bool is_special(struct str s, const char **json)
{
	static const char *const infs[] = { ".inf",  ".Inf",  ".INF",
					    "+.inf", "+.Inf", "+.INF" };
	static const char *const minus_infs[] = { "-.inf", "-.Inf", "-.INF" };
	static const char *const nans[] = { ".nan", ".NaN", ".NAN" };

	if (is_in(s, infs, ARRAY_LEN(infs)))
		*json = "\"inf\"";
	else if (is_in(s, minus_infs, ARRAY_LEN(minus_infs)))
		*json = "\"-inf\"";
	else if (is_in(s, nans, ARRAY_LEN(nans)))
		*json = "\"nan\"";
	else
		return false;
	return true;
}

static unsigned digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c |= 32;
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 99;
}

static bool is_based(struct str s, unsigned base)
{
	if (s.n < 3 || s.p[0] != '0' || s.p[1] != (base == 16 ? 'x' : 'o'))
		return false;
	for (size_t i = 2; i < s.n; i++)
		if (digit_of(s.p[i]) >= base)
			return false;
	return true;
}

static enum cfx_code put_based(struct reader *r, const yaml_event_t *e, struct str s,
			       unsigned base)
{
	uint64_t v = 0;

	for (size_t i = 2; i < s.n; i++)
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, digit_of(s.p[i]), &v))
			return refuse(r, &e->start_mark, "an integer of more than 64 "
				      "bits; put it in quotes, or write it as decimal");
	return bytes_printf(r->heap, r->out, "%llu", (unsigned long long)v) ?
		       CFX_OK : cfx_no_memory(r->error);
}

static size_t digits(struct str s, size_t at)
{
	size_t from = at;

	while (at < s.n && s.p[at] >= '0' && s.p[at] <= '9')
		at++;
	return at - from;
}

/* [+-]? ( digits ( . digits? )? | . digits ) ( [eE] [+-]? digits )?, as the core
 * schema has it. */
static bool is_decimal(struct str s, bool *is_real)
{
	size_t at = s.n && (s.p[0] == '-' || s.p[0] == '+'), whole, part = 0;

	whole = digits(s, at);
	at += whole;
	*is_real = at < s.n;
	if (at < s.n && s.p[at] == '.') {
		part = digits(s, ++at);
		at += part;
	}
	if (whole + part == 0)
		return false;
	if (at < s.n && (s.p[at] | 32) == 'e') {
		at++;
		at += at < s.n && (s.p[at] == '-' || s.p[at] == '+');
		part = digits(s, at);
		at += part;
		return part && at == s.n;
	}
	return at == s.n;
}

/* The core schema allows "+1", ".5", "1." and "01", which JSON does not. */
static enum cfx_code put_decimal(struct reader *r, struct str s)
{
	bool minus = s.p[0] == '-';
	struct str rest = sdk_from(s, minus || s.p[0] == '+');
	enum cfx_code rc = minus ? put(r, STR("-")) : CFX_OK;
	size_t whole, part;

	while (rest.n > 1 && rest.p[0] == '0' && rest.p[1] >= '0' && rest.p[1] <= '9')
		rest = sdk_from(rest, 1);
	whole = digits(rest, 0);
	if (rc == CFX_OK)
		rc = put(r, whole ? str_n(rest.p, whole) : STR("0"));
	if (rc || whole == rest.n)
		return rc;
	rest = sdk_from(rest, whole);
	if (rest.p[0] != '.')
		return put(r, rest);
	part = digits(rest, 1);
	if (part == 0)
		return put(r, sdk_from(rest, 1));    /* "1.e3" */
	return put(r, rest);
}

/* What it is where no tag says otherwise; puts it. */
static enum cfx_code put_plain(struct reader *r, const yaml_event_t *e, struct str s,
			       enum kind *kind)
{
	const char *json;
	bool is_real;

	if (is_word(s, kind, &json))
		return put(r, str_of(json));
	*kind = KIND_REAL;
	if (is_special(s, &json))
		return put(r, str_of(json));
	*kind = KIND_INTEGER;
	if (is_based(s, 16))
		return put_based(r, e, s, 16);
	if (is_based(s, 8))
		return put_based(r, e, s, 8);
	if (is_decimal(s, &is_real)) {
		*kind = is_real ? KIND_REAL : KIND_INTEGER;
		return put_decimal(r, s);
	}
	*kind = KIND_STRING;
	return put_string(r, s);
}

/* ---- tags ---- */

static bool kind_of_tag(struct str tag, enum kind *out)
{
	static const struct {
		const char *name;
		enum kind kind;
	} tags[] = {
		{ TAG_PREFIX "str", KIND_STRING },
		{ TAG_PREFIX "int", KIND_INTEGER },
		{ TAG_PREFIX "float", KIND_REAL },
		{ TAG_PREFIX "bool", KIND_BOOL },
		{ TAG_PREFIX "null", KIND_NULL },
		{ "!", KIND_STRING },
	};

	for (size_t i = 0; i < ARRAY_LEN(tags); i++)
		if (str_eq(tag, str_of(tags[i].name))) {
			*out = tags[i].kind;
			return true;
		}
	return false;
}

static enum cfx_code put_tagged(struct reader *r, const yaml_event_t *e,
				struct str tag, struct str s, enum kind *kind)
{
	enum kind want;
	enum cfx_code rc;

	if (!kind_of_tag(tag, &want))
		return refuse(r, &e->start_mark,
			      "a tag that is not of the core schema");
	*kind = want;
	if (want == KIND_STRING)
		return put_string(r, s);
	rc = put_plain(r, e, s, kind);
	if (rc)
		return rc;
	/* A whole number is a real one too. */
	if (*kind != want && !(want == KIND_REAL && *kind == KIND_INTEGER))
		return refuse(r, &e->start_mark,
			      "a scalar that is not of the type of its tag");
	return CFX_OK;
}

static enum cfx_code put_scalar(struct reader *r, const yaml_event_t *e,
				enum kind *kind)
{
	struct str s = str_n((const char *)e->data.scalar.value,
			     e->data.scalar.length);
	struct str tag = str_of((const char *)e->data.scalar.tag);

	r->bytes += s.n;
	if (tag.n)
		return put_tagged(r, e, tag, s, kind);
	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return put_plain(r, e, s, kind);
	*kind = KIND_STRING;
	return put_string(r, s);
}

/* ---- anchors ---- */

/* Where the number of the last one of this name is; NULL: there is none. */
static uint32_t *find_anchor(const struct reader *r, struct str name)
{
	uint64_t hash = doc_hash_key(r->seed, name);
	uint32_t *id;
	size_t at = 0;

	while ((id = table_next(&r->by_name, hash, &at))) {
		const struct anchor *a = &r->anchors[*id];

		if (str_eq(name, str_n(r->names.p + a->name, a->name_n)))
			return id;
	}
	return NULL;
}

/* '*out': its number + 1, or 0 where it has no name. */
static enum cfx_code open_anchor(struct reader *r, const yaml_char_t *text,
				 uint32_t *out)
{
	struct str name = str_of((const char *)text);
	uint32_t *before = text ? find_anchor(r, name) : NULL;
	uint32_t id = (uint32_t)r->n_anchors;
	struct anchor *a;

	*out = 0;
	if (!text)
		return CFX_OK;
	if (!heap_more(r->heap, (void **)&r->anchors, &r->cap_anchors, id, sizeof(*a)))
		return cfx_no_memory(r->error);
	a = &r->anchors[id];
	*a = (struct anchor){ .is_open = true, .name_n = (uint32_t)name.n,
			      .name = before ? r->anchors[*before].name :
					       (uint32_t)r->names.n };
	if (!before && (!bytes_add(r->heap, &r->names, name) ||
			!table_add(r->heap, &r->by_name,
				   doc_hash_key(r->seed, name), id)))
		return cfx_no_memory(r->error);
	if (before)
		*before = id;
	r->n_anchors++;
	*out = id + 1;
	return CFX_OK;
}

static void close_anchor(struct reader *r, uint32_t at, const struct level *began,
			 bool is_string)
{
	struct anchor *a = at ? &r->anchors[at - 1] : NULL;

	if (!a)
		return;
	a->from = began->from;
	a->n = r->out->n - began->from;
	a->nodes = r->nodes - began->nodes;
	a->bytes = r->bytes - began->bytes;
	a->is_open = false;
	a->is_string = is_string;
}

static enum cfx_code put_alias(struct reader *r, const yaml_event_t *e, enum kind *kind)
{
	const uint32_t *id = find_anchor(r, str_of((const char *)
						   e->data.alias.anchor));
	const struct anchor *a = id ? &r->anchors[*id] : NULL;

	if (!a)
		return refuse(r, &e->start_mark, "an alias without its anchor");
	if (a->is_open)
		return refuse(r, &e->start_mark, "an alias inside its own anchor");
	r->nodes += a->nodes;
	r->bytes += a->bytes;
	if (r->nodes > NODES_MAX || r->bytes > r->bytes_max)
		return refuse(r, &e->start_mark,
			      "more than allowed, aliases counted in full");
	*kind = a->is_string ? KIND_STRING : KIND_NONE;
	/* It is copied out of what grows. */
	if (!bytes_room(r->heap, r->out, a->n))
		return cfx_no_memory(r->error);
	return put(r, str_n(r->out->p + a->from, a->n));
}

/* ---- sequences and mappings ---- */

static struct level *inmost(struct reader *r)
{
	return r->depth ? &r->levels[r->depth - 1] : NULL;
}

/* What goes before a value or key. */
static enum cfx_code before(struct reader *r)
{
	struct level *l = inmost(r);

	if (!l)
		return CFX_OK;
	if (l->is_map && l->is_value)
		return put(r, STR(":"));
	return l->count++ ? put(r, STR(",")) : CFX_OK;
}

static enum cfx_code check_key(struct reader *r, const yaml_event_t *e, enum kind kind)
{
	const struct level *l = inmost(r);
	bool is_scalar = e->type == YAML_SCALAR_EVENT;

	if (!l || !l->is_map || l->is_value)
		return CFX_OK;
	if (kind != KIND_STRING)
		return refuse(r, &e->start_mark, is_scalar ?
			      "a key that is no string; put it in quotes" :
			      "a key that is no string");
	if (is_scalar && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	    e->data.scalar.length == 2 && memcmp(e->data.scalar.value, "<<", 2) == 0)
		return refuse(r, &e->start_mark,
			      "merge keys (<<) are not of YAML 1.2");
	return CFX_OK;
}

static void after(struct reader *r)
{
	struct level *l = inmost(r);

	if (l && l->is_map)
		l->is_value = !l->is_value;
}

static bool tag_is(const yaml_char_t *tag, const char *want)
{
	return !tag || strcmp((const char *)tag, "!") == 0 ||
	       strcmp((const char *)tag, want) == 0;
}

static enum cfx_code open_level(struct reader *r, const yaml_event_t *e)
{
	bool is_map = e->type == YAML_MAPPING_START_EVENT;
	const yaml_char_t *tag = is_map ? e->data.mapping_start.tag :
					  e->data.sequence_start.tag;
	struct level l = { .is_map = is_map, .nodes = r->nodes, .bytes = r->bytes,
			   .from = r->out->n };
	enum cfx_code rc;

	if (!tag_is(tag, is_map ? TAG_PREFIX "map" : TAG_PREFIX "seq"))
		return refuse(r, &e->start_mark,
			      "a tag that is not of the core schema");
	if (r->depth == DOC_DEPTH_MAX)
		return refuse(r, &e->start_mark, "too deep");
	rc = check_key(r, e, KIND_NONE);
	if (rc == CFX_OK)
		rc = open_anchor(r, is_map ? e->data.mapping_start.anchor :
					     e->data.sequence_start.anchor, &l.anchor);
	r->nodes++;
	r->levels[r->depth++] = l;
	return rc ? rc : put(r, is_map ? STR("{") : STR("["));
}

static enum cfx_code close_level(struct reader *r)
{
	struct level l = r->levels[--r->depth];
	enum cfx_code rc = put(r, l.is_map ? STR("}") : STR("]"));

	close_anchor(r, l.anchor, &l, false);
	after(r);
	return rc;
}

static enum cfx_code scalar(struct reader *r, const yaml_event_t *e)
{
	struct level began = { .nodes = r->nodes, .bytes = r->bytes,
			       .from = r->out->n };
	enum kind kind = KIND_NONE;
	enum cfx_code rc;

	if (e->type == YAML_ALIAS_EVENT) {
		rc = put_alias(r, e, &kind);
	} else {
		rc = open_anchor(r, e->data.scalar.anchor, &began.anchor);
		r->nodes++;
		if (rc == CFX_OK)
			rc = put_scalar(r, e, &kind);
		close_anchor(r, began.anchor, &began, kind == KIND_STRING);
	}
	if (rc == CFX_OK)
		rc = check_key(r, e, kind);
	after(r);
	return rc;
}

static enum cfx_code node(struct reader *r, const yaml_event_t *e)
{
	enum cfx_code rc;

	if (e->type == YAML_SEQUENCE_END_EVENT || e->type == YAML_MAPPING_END_EVENT)
		return close_level(r);
	if (r->nodes >= NODES_MAX)
		return refuse(r, &e->start_mark, "more values than allowed");
	rc = before(r);
	if (rc)
		return rc;
	return e->type == YAML_SCALAR_EVENT || e->type == YAML_ALIAS_EVENT ?
		       scalar(r, e) : open_level(r, e);
}

/* ---- the stream ---- */

static enum cfx_code stream(struct reader *r)
{
	unsigned documents = 0;

	for (;;) {
		enum cfx_code rc;
		yaml_event_type_t type;
		yaml_event_t e;

		rc = next(r, &e);
		if (rc)
			return rc;
		type = e.type;
		if (type == YAML_DOCUMENT_START_EVENT && documents++)
			rc = refuse(r, &e.start_mark, "more than one document");
		else if (type != YAML_STREAM_START_EVENT &&
			 type != YAML_STREAM_END_EVENT &&
			 type != YAML_DOCUMENT_START_EVENT &&
			 type != YAML_DOCUMENT_END_EVENT)
			rc = node(r, &e);
		yaml_event_delete(&e);
		if (rc)
			return rc;
		if (type == YAML_STREAM_END_EVENT)
			return documents ? CFX_OK : put(r, STR("null"));
	}
}

static bool has_many_tag_lines(struct str text)
{
	struct str rest = text;
	unsigned n = 0;

	while (rest.n) {
		const char *end = memchr(rest.p, '\n', rest.n);
		size_t line = end ? (size_t)(end - rest.p) + 1 : rest.n;

		if (sdk_starts(rest, STR("%TAG")) && ++n > TAG_LINES_MAX)
			return true;
		rest = sdk_from(rest, line);
	}
	return false;
}

static void reader_fini(struct reader *r)
{
	yaml_parser_delete(&r->yaml);
	heap_release(r->heap, r->anchors);
	bytes_fini(r->heap, &r->names);
	table_fini(r->heap, &r->by_name);
	heap_release(r->heap, r);
}

enum cfx_code yaml_to_json(const heap *heap, struct str text, uint64_t seed,
			   struct bytes *out, struct cfx_error *error)
{
	struct reader *r;
	enum cfx_code rc;

	if (has_many_tag_lines(text))
		return cfx_fail(error, CFX_E_PARSE, "more than %d %%TAG lines",
				TAG_LINES_MAX);
	r = HEAP_NEW(heap, struct reader);
	if (!r)
		return cfx_no_memory(error);
	r->heap = heap;
	r->out = out;
	r->error = error;
	r->seed = seed;
	r->bytes_max = 2 * MAX(text.n, BYTES_MIN);
	if (!yaml_parser_initialize(&r->yaml)) {
		heap_release(heap, r);
		return cfx_no_memory(error);
	}
	yaml_parser_set_encoding(&r->yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r->yaml, (const unsigned char *)text.p, text.n);
	rc = stream(r);
	reader_fini(r);
	return rc;
}
