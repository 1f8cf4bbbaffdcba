/*
 * Value trees as text: JSON, canonical JSON, YAML.  Trees come from parsers
 * that bound their depth, so recursion is bounded.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "doc/number.h"
#include "doc/value.h"

#include "base/banned.h"

/* inf and nan are no JSON: they are written as strings. */
static void json_number(struct buf *out, struct str text)
{
	if (number_is_special(text))
		buf_json(out, text);
	else
		buf_str(out, text);
}

static void newline(struct buf *out, int indent)
{
	if (indent < 0)
		return;
	buf_c(out, '\n');
	for (int i = 0; i < indent; i++)
		buf_z(out, "  ");
}

/* 'indent' < 0: compact. */
static void json_any(struct buf *out, const struct value *v, int indent);

/* In front of item 'i'. */
static void json_item(struct buf *out, size_t i, int indent)
{
	if (i)
		buf_c(out, ',');
	newline(out, indent);
}

static void json_array(struct buf *out, const struct value *v, int indent)
{
	int inner = indent < 0 ? indent : indent + 1;

	buf_c(out, '[');
	for (size_t i = 0; i < v->a.n; i++) {
		json_item(out, i, inner);
		json_any(out, v->a.items[i], inner);
	}
	if (v->a.n)
		newline(out, indent);
	buf_c(out, ']');
}

static void json_object(struct buf *out, const struct value *v, int indent)
{
	int inner = indent < 0 ? indent : indent + 1;

	buf_c(out, '{');
	for (size_t i = 0; i < v->o.n; i++) {
		json_item(out, i, inner);
		buf_json(out, v->o.m[i].key);
		buf_z(out, indent < 0 ? ":" : ": ");
		json_any(out, v->o.m[i].value, inner);
	}
	if (v->o.n)
		newline(out, indent);
	buf_c(out, '}');
}

static void json_any(struct buf *out, const struct value *v, int indent)
{
	switch (v ? v->type : VALUE_NULL) {
	case VALUE_NULL:
		buf_z(out, "null");
		break;
	case VALUE_BOOL:
		buf_z(out, v->b ? "true" : "false");
		break;
	case VALUE_NUMBER:
		json_number(out, v->s);
		break;
	case VALUE_STRING:
	case VALUE_TIME:
		buf_json(out, v->s);
		break;
	case VALUE_ARRAY:
		json_array(out, v, indent);
		break;
	case VALUE_OBJECT:
		json_object(out, v, indent);
	}
}

void value_json(struct buf *out, const struct value *v)
{
	json_any(out, v, -1);
}

void value_json_pretty(struct buf *out, const struct value *v)
{
	json_any(out, v, 0);
	buf_c(out, '\n');
}

/* ---- canonical ---- */

static int by_key(const void *a, const void *b)
{
	const struct member *const *x = a, *const *y = b;

	return str_cmp((*x)->key, (*y)->key);
}

/* What JSON cannot say.  The space makes it unlike every object: nothing else
 * in a canonical text has one outside strings. */
static void canonical_tagged(struct buf *out, const char *tag, struct str text)
{
	buf_printf(out, "{\"$%s\": ", tag);
	buf_json(out, text);
	buf_c(out, '}');
}

static void canonical_number(struct buf *out, struct str text)
{
	if (number_is_special(text))
		canonical_tagged(out, "number", text);
	else
		number_canonical(out, text);
}

static void canonical_object(struct buf *out, const struct value *v)
{
	const struct member **m = mem_alloc((v->o.n + 1) * sizeof(*m));

	for (size_t i = 0; i < v->o.n; i++)
		m[i] = &v->o.m[i];
	qsort(m, v->o.n, sizeof(*m), by_key);
	buf_c(out, '{');
	for (size_t i = 0; i < v->o.n; i++) {
		if (i)
			buf_c(out, ',');
		buf_json(out, m[i]->key);
		buf_c(out, ':');
		value_canonical(out, m[i]->value);
	}
	buf_c(out, '}');
	free(m);
}

static void canonical_array(struct buf *out, const struct value *v)
{
	buf_c(out, '[');
	for (size_t i = 0; i < v->a.n; i++) {
		if (i)
			buf_c(out, ',');
		value_canonical(out, v->a.items[i]);
	}
	buf_c(out, ']');
}

void value_canonical(struct buf *out, const struct value *v)
{
	switch (v ? v->type : VALUE_NULL) {
	case VALUE_NUMBER:
		canonical_number(out, v->s);
		break;
	case VALUE_TIME:
		canonical_tagged(out, "time", v->s);
		break;
	case VALUE_ARRAY:
		canonical_array(out, v);
		break;
	case VALUE_OBJECT:
		canonical_object(out, v);
		break;
	default:
		value_json(out, v);
	}
}

/* ---- YAML ---- */

static bool is_plain_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' ||
	       c == '/';
}

/* Words that the core schema, or YAML 1.1, reads as something else. */
static bool is_reserved(struct str s)
{
	static const char *const words[] = { "null", "true", "false", "yes",
					     "no",   "on",   "off",   "y",
					     "n",    "nan",  "inf",   "~" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq_nocase(s, str_of(words[i])))
			return true;
	return false;
}

static bool is_plain(struct str s)
{
	if (s.n == 0 || is_reserved(s))
		return false;
	/* What begins like a number or an indicator is quoted. */
	if (!((s.p[0] >= 'a' && s.p[0] <= 'z') ||
	      (s.p[0] >= 'A' && s.p[0] <= 'Z') || s.p[0] == '/'))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_plain_byte(s.p[i]))
			return false;
	return true;
}

static unsigned code_point(struct str s)
{
	static const unsigned char first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	unsigned c = (unsigned char)s.p[0] & first[s.n];

	for (size_t i = 1; i < s.n; i++)
		c = c << 6 | ((unsigned char)s.p[i] & 0x3f);
	return c;
}

/* Characters that JSON takes as they are and YAML does not (5.1, 5.4):
 * controls, line breaks of Unicode, the byte order mark, non-characters.  And what turns
 * the direction of text round, which people are not to be shown as it is. */
static bool needs_escape(unsigned c)
{
	return (c >= 0x7f && c <= 0x9f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069) || c == 0xfeff || c == 0xfffe ||
	       c == 0xffff;
}

/* A JSON string is a YAML one but for the characters above. */
static void yaml_quoted(struct buf *out, struct str s)
{
	AUTO_BUF json = BUF_NONE;
	struct str rest;
	size_t n;

	buf_json(&json, s);
	rest = buf_view(&json);
	while ((n = str_utf8_len(rest)) > 0) {
		unsigned c = code_point(str_first(rest, n));

		if (needs_escape(c))
			buf_printf(out, "\\u%04x", c);
		else
			buf_add(out, rest.p, n);
		rest = str_from(rest, n);
	}
}

static void yaml_text(struct buf *out, struct str s)
{
	if (is_plain(s))
		buf_str(out, s);
	else
		yaml_quoted(out, s);
}

static void yaml_any(struct buf *out, const struct value *v, int indent,
		     bool in_line);

static void yaml_indent(struct buf *out, int indent)
{
	for (int i = 0; i < indent; i++)
		buf_z(out, "  ");
}

static bool is_block(const struct value *v)
{
	return v && (v->type == VALUE_ARRAY || v->type == VALUE_OBJECT) &&
	       value_count(v) > 0;
}

static void yaml_array(struct buf *out, const struct value *v, int indent,
		       bool in_line)
{
	for (size_t i = 0; i < v->a.n; i++) {
		if (i || !in_line)
			yaml_indent(out, indent);
		buf_z(out, "- ");
		yaml_any(out, v->a.items[i], indent + 1, true);
	}
}

static void yaml_object(struct buf *out, const struct value *v, int indent,
			bool in_line)
{
	for (size_t i = 0; i < v->o.n; i++) {
		const struct member *m = &v->o.m[i];

		if (i || !in_line)
			yaml_indent(out, indent);
		yaml_text(out, m->key);
		buf_c(out, ':');
		buf_c(out, is_block(m->value) ? '\n' : ' ');
		yaml_any(out, m->value,
			 indent + (m->value->type == VALUE_OBJECT ? 1 : 0),
			 !is_block(m->value));
	}
}

static void yaml_number(struct buf *out, struct str text)
{
	if (str_is(text, "-inf"))
		buf_z(out, "-.inf");
	else if (number_is_special(text))
		buf_printf(out, ".%.*s", STR_ARG(text));
	else
		buf_str(out, text);
}

/* 'in_line': the cursor stands behind "- " or "key: ". */
static void yaml_any(struct buf *out, const struct value *v, int indent,
		     bool in_line)
{
	enum value_type type = v ? v->type : VALUE_NULL;

	if (is_block(v)) {
		if (type == VALUE_ARRAY)
			yaml_array(out, v, indent, in_line);
		else
			yaml_object(out, v, indent, in_line);
		return;
	}
	if (type == VALUE_ARRAY)
		buf_z(out, "[]");
	else if (type == VALUE_OBJECT)
		buf_z(out, "{}");
	else if (type == VALUE_STRING || type == VALUE_TIME)
		yaml_text(out, v->s);
	else if (type == VALUE_NUMBER)
		yaml_number(out, v->s);
	else
		value_json(out, v);
	buf_c(out, '\n');
}

void value_yaml(struct buf *out, const struct value *v)
{
	yaml_any(out, v, 0, false);
}
