/*
 * Value trees as text: JSON, canonical JSON, YAML.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "doc/number.h"
#include "doc/value.h"

#include "base/banned.h"

/* inf and nan are no JSON: they are written as strings. */
static void json_number(struct buf *out, struct str text)
{
	if (text.n && (text.p[text.n - 1] == 'f' || text.p[text.n - 1] == 'n'))
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
static void json_any(struct buf *out, const struct value *v, int indent)
{
	int inner = indent < 0 ? indent : indent + 1;

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
		buf_c(out, '[');
		for (size_t i = 0; i < v->a.n; i++) {
			if (i)
				buf_c(out, ',');
			newline(out, inner);
			json_any(out, v->a.items[i], inner);
		}
		if (v->a.n)
			newline(out, indent);
		buf_c(out, ']');
		break;
	case VALUE_OBJECT:
		buf_c(out, '{');
		for (size_t i = 0; i < v->o.n; i++) {
			if (i)
				buf_c(out, ',');
			newline(out, inner);
			buf_json(out, v->o.m[i].key);
			buf_z(out, indent < 0 ? ":" : ": ");
			json_any(out, v->o.m[i].value, inner);
		}
		if (v->o.n)
			newline(out, indent);
		buf_c(out, '}');
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

void value_canonical(struct buf *out, const struct value *v)
{
	switch (v ? v->type : VALUE_NULL) {
	case VALUE_NUMBER: {
		AUTO_BUF text = BUF_NONE;

		number_canonical(&text, v->s);
		json_number(out, buf_view(&text));
		break;
	}
	case VALUE_TIME:
		/* Not equal to a string of the same letters. */
		buf_z(out, "{\"$time\":");
		buf_json(out, v->s);
		buf_c(out, '}');
		break;
	case VALUE_ARRAY:
		buf_c(out, '[');
		for (size_t i = 0; i < v->a.n; i++) {
			if (i)
				buf_c(out, ',');
			value_canonical(out, v->a.items[i]);
		}
		buf_c(out, ']');
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
					     "no", "on", "off", "y", "n", "nan",
					     "inf", "~" };

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

static void yaml_text(struct buf *out, struct str s)
{
	if (is_plain(s))
		buf_str(out, s);
	else
		buf_json(out, s);
}

static void yaml_any(struct buf *out, const struct value *v, int indent,
		     bool in_line);

static void yaml_indent(struct buf *out, int indent)
{
	for (int i = 0; i < indent; i++)
		buf_z(out, "  ");
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

static bool is_block(const struct value *v)
{
	return v && (v->type == VALUE_ARRAY || v->type == VALUE_OBJECT) &&
	       value_count(v) > 0;
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

/* 'in_line': the cursor stands behind "- " or "key: ". */
static void yaml_any(struct buf *out, const struct value *v, int indent,
		     bool in_line)
{
	switch (v ? v->type : VALUE_NULL) {
	case VALUE_ARRAY:
		if (v->a.n) {
			yaml_array(out, v, indent, in_line);
			return;
		}
		buf_z(out, "[]");
		break;
	case VALUE_OBJECT:
		if (v->o.n) {
			yaml_object(out, v, indent, in_line);
			return;
		}
		buf_z(out, "{}");
		break;
	case VALUE_STRING:
		yaml_text(out, v->s);
		break;
	case VALUE_NUMBER:
		if (v->s.p[v->s.n - 1] == 'f')
			buf_z(out, v->s.p[0] == '-' ? "-.inf" : ".inf");
		else if (v->s.p[v->s.n - 1] == 'n')
			buf_z(out, ".nan");
		else
			buf_str(out, v->s);
		break;
	default:
		value_json(out, v);
	}
	buf_c(out, '\n');
}

void value_yaml(struct buf *out, const struct value *v)
{
	yaml_any(out, v, 0, false);
}
