/*
 * JSON (RFC 8259).
 *
 * Decision: libjansson decides whether a text is JSON where one look (json_plain.c)
 * leaves a doubt; but it turns numbers into doubles and keeps no positions.  So the
 * text that was accepted is walked once more by a scanner that may trust the
 * grammar and builds the tree: number texts, positions, order.  Depth is bounded
 * before jansson sees the text (its own bound is 2,048), duplicate keys are refused
 * by both.
 *
 * Columns count characters, as jansson's do.
 */
#include <jansson.h>

#include "doc/number.h"
#include "doc/parsers.h"

#include "base/banned.h"

struct scanner {
	const char *p, *end, *line_start;
	uint32_t line;
	uint32_t inside; /* bytes of this line inside characters */
	size_t nodes, nodes_max;
	struct arena *arena;
	struct doc_place *place;
	struct err *err;
};

/* Brackets outside strings, up to the one that is too deep, or n; the grammar
 * is jansson's business. */
static size_t first_too_deep(struct str s, unsigned max)
{
	unsigned depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > max)
				return i;
		} else if ((c == '}' || c == ']') && depth) {
			depth--;
		}
	}
	return s.n;
}

static void skip_space(struct scanner *s)
{
	for (; s->p < s->end; s->p++) {
		if (*s->p == '\n') {
			s->line++;
			s->line_start = s->p + 1;
			s->inside = 0;
		} else if (*s->p != ' ' && *s->p != '\t' && *s->p != '\r') {
			break;
		}
	}
}

static uint32_t column(const struct scanner *s)
{
	return (uint32_t)(s->p - s->line_start) + 1 - s->inside;
}

/* How many bytes are 10xxxxxx; eight at a time, since most content is one long string. */
static uint32_t inside_characters(const char *p, size_t n)
{
	const uint64_t ones = 0x0101010101010101;
	uint32_t count = 0;
	uint64_t eight;

	for (; n >= sizeof(eight); p += sizeof(eight), n -= sizeof(eight)) {
		memcpy(&eight, p, sizeof(eight));
		count += (uint32_t)((eight >> 7 & ~eight >> 6 & ones) * ones >> 56);
	}
	for (; n; p++, n--)
		count += ((unsigned char)*p & 0xc0) == 0x80;
	return count;
}

/* ---- strings ---- */

static unsigned hex4(const char *p)
{
	unsigned v = 0;

	for (int i = 0; i < 4; i++) {
		char c = p[i];
		unsigned d = c <= '9' ? (unsigned)(c - '0') :
					(unsigned)((c | 32) - 'a' + 10);

		v = v << 4 | d;
	}
	return v;
}

static size_t put_utf8(char *to, unsigned c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 63));
		to[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 63));
	to[2] = (char)(0x80 | (c >> 6 & 63));
	to[3] = (char)(0x80 | (c & 63));
	return 4;
}

/* Behind the backslash; jansson has refused lone surrogates. */
static size_t unescape(struct scanner *s, char *to)
{
	static const char from[] = "\"\\/bfnrt", with[] = "\"\\/\b\f\n\r\t";
	char c = *s->p++;
	unsigned v;

	if (c != 'u') {
		const char *at = strchr(from, c);

		must(at && *at);
		*to = with[at - from];
		return 1;
	}
	v = hex4(s->p);
	s->p += 4;
	if (v >= 0xd800 && v < 0xdc00) {
		v = 0x10000 + ((v - 0xd800) << 10) + (hex4(s->p + 2) - 0xdc00);
		s->p += 6;
	}
	return put_utf8(to, v);
}

/* Up to the next quote or backslash, of which there is one. */
static size_t plain(const char *p)
{
	const char *at = p;

	while (*at != '"' && *at != '\\')
		at++;
	return (size_t)(at - p);
}

/* An escape is never shorter than what it stands for. */
static struct str scan_string(struct scanner *s)
{
	const char *close;
	char *to;
	size_t n = 0;

	s->p++;
	close = s->p + plain(s->p);
	while (*close != '"')
		close += 2 + plain(close + 2);
	to = arena_alloc(s->arena, (size_t)(close - s->p) + 1);
	for (;;) {
		size_t run = plain(s->p);

		memcpy(to + n, s->p, run);
		s->inside += inside_characters(s->p, run);
		n += run;
		s->p += run;
		if (*s->p == '"')
			break;
		s->p++;
		n += unescape(s, to + n);
	}
	s->p++;
	to[n] = '\0';
	return str_n(to, n);
}

/* ---- values ---- */

static struct str scan_word(struct scanner *s)
{
	const char *from = s->p;

	while (s->p < s->end && !strchr(" \t\r\n,]}", *s->p))
		s->p++;
	return str_n(from, (size_t)(s->p - from));
}

static struct value *scan_any(struct scanner *s);

static bool next_item(struct scanner *s, char close)
{
	skip_space(s);
	if (*s->p == ',') {
		s->p++;
		skip_space(s);
	}
	if (*s->p != close)
		return true;
	s->p++;
	return false;
}

static bool scan_object(struct scanner *s, struct value *v)
{
	struct str twice;

	s->p++;
	while (next_item(s, '}')) {
		struct str key = scan_string(s);
		struct value *item;

		skip_space(s);
		s->p++; /* the colon */
		skip_space(s);
		item = scan_any(s);
		if (!item)
			return false;
		value_append(s->arena, v, key, item);
	}
	if (value_index(s->arena, v, &twice))
		return true;
	parse_error(s->err, s->place, v->line, v->column,
		    arena_printf(s->arena, "the key \"%.*s\" stands here twice",
				 STR_ARG(twice))
			    .p);
	return false;
}

static bool scan_array(struct scanner *s, struct value *v)
{
	s->p++;
	while (next_item(s, ']')) {
		struct value *item = scan_any(s);

		if (!item)
			return false;
		value_push(s->arena, v, item);
	}
	return true;
}

static bool scan_number(struct scanner *s, struct value *v)
{
	v->type = VALUE_NUMBER;
	v->s = arena_str(s->arena, scan_word(s));
	if (number_is_readable(v->s))
		return true;
	parse_error(s->err, s->place, v->line, v->column, NUMBER_UNREADABLE);
	return false;
}

static struct value *scan_any(struct scanner *s)
{
	struct value *v = ANEW(s->arena, struct value);

	v->line = s->line;
	v->column = column(s);
	if (++s->nodes > s->nodes_max) {
		parse_error(s->err, s->place, v->line, v->column,
			    "more values than allowed");
		return NULL;
	}
	switch (*s->p) {
	case '{':
		v->type = VALUE_OBJECT;
		return scan_object(s, v) ? v : NULL;
	case '[':
		v->type = VALUE_ARRAY;
		return scan_array(s, v) ? v : NULL;
	case '"':
		v->type = VALUE_STRING;
		v->s = scan_string(s);
		return v;
	case 't':
	case 'f':
		v->type = VALUE_BOOL;
		v->b = scan_word(s).n == 4;
		return v;
	case 'n':
		scan_word(s);
		return v;
	default:
		return scan_number(s, v) ? v : NULL;
	}
}

/* ---- the door ---- */

/* What jansson would say in words that lead nowhere. */
static enum code check_begin(struct str text, struct doc_place *place,
			     struct err *err)
{
	if (str_trim(text).n == 0)
		return parse_error(err, place, 1, 1,
				   "empty; JSON needs a value");
	if (str_starts(text, STR("\xef\xbb\xbf")))
		return parse_error(err, place, 1, 1,
				   "a byte order mark, which JSON does not have");
	return OK;
}

/* Whether it is JSON at all.  Real numbers, because their range and not their
 * type is of interest. */
static enum code check_grammar(struct str text, struct doc_place *place,
			       struct err *err)
{
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY |
			     JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
	json_error_t error;
	json_t *checked = json_loadb(text.p, text.n, flags, &error);
	uint32_t line, column;

	if (checked) {
		json_decref(checked);
		return OK;
	}
	/* Nothing is wrong with the text then. */
	must(json_error_code(&error) != json_error_out_of_memory);
	line = (uint32_t)MAX(error.line, 1);
	column = (uint32_t)MAX(error.column, 1);
	if (json_error_code(&error) == json_error_numeric_overflow)
		return parse_error(err, place, line, column, NUMBER_UNREADABLE);
	return parse_error(err, place, line, column, error.text);
}

enum code json_parse(struct str text, struct arena *arena,
		     const struct doc_limits *limits, struct value **out,
		     struct doc_place *place, struct err *err)
{
	struct scanner s = { .p = text.p,
			     .end = text.p + text.n,
			     .line_start = text.p,
			     .line = 1,
			     .nodes_max = limits->nodes_max,
			     .arena = arena,
			     .place = place,
			     .err = err };
	size_t deep = first_too_deep(text, limits->depth_max);
	size_t nul = str_find(text, '\0');
	struct value *v;
	enum code rc;
	bool is_plain;

	/* jansson swallows a NUL behind a number or word; the scanner, which
	 * trusts what jansson has seen, must not meet one. */
	if (nul != SIZE_MAX)
		return parse_error_at(err, place, text, nul, "a NUL byte");
	if (deep < text.n)
		return parse_error_at(err, place, text, deep,
				      "nested too deeply");
	rc = check_begin(text, place, err);
	is_plain = rc == OK && json_is_plain(text);
	if (rc == OK && !is_plain)
		rc = check_grammar(text, place, err);
	if (rc)
		return rc;
	skip_space(&s);
	v = scan_any(&s);
	/* What is wrong with it is said alike, whoever saw it first. */
	if (!v && is_plain)
		rc = check_grammar(text, place, err);
	if (!v)
		return rc ? rc : E_PARSE;
	*out = v;
	return OK;
}
