/* Strings, numbers, booleans, dates and times of TOML 1.0: see toml.h. */
#include <stdio.h>

#include "client/sdk/toml.h"

#include "base/banned.h"

/* ---- strings ---- */

static bool put(struct toml *t, const char *p, size_t n)
{
	return bytes_add(t->heap, &t->part, str_n(p, n));
}

static unsigned put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Behind \u or \U. */
static enum cfx_code unicode(struct toml *t, unsigned n)
{
	uint32_t c = 0;
	char utf8[4];

	for (; n; n--, t->p++) {
		int digit = hex_digit(*t->p);

		if (digit < 0)
			return toml_refuse(t, "a hexadecimal digit is expected here");
		c = c << 4 | (uint32_t)digit;
	}
	if ((c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
		return toml_refuse(t, "an escape of what is no character");
	return put(t, utf8, put_utf8(utf8, c)) ? CFX_OK : cfx_no_memory(t->error);
}

/* Behind a backslash at the end of a line: up to what stands next. */
static bool skip_lines(struct toml *t)
{
	const char *p = t->p;

	while (*p == ' ' || *p == '\t')
		p++;
	if (*p != '\n' && !(p[0] == '\r' && p[1] == '\n'))
		return false;
	while (*p == ' ' || *p == '\t' || *p == '\n' || (p[0] == '\r' && p[1] == '\n'))
		p++;
	t->p = p;
	return true;
}

static enum cfx_code escape(struct toml *t, bool is_long)
{
	static const char from[] = "\"\\bfnrt", to[] = "\"\\\b\f\n\r\t";
	const char *found;
	char c;

	if (is_long && skip_lines(t))
		return CFX_OK;
	c = *t->p;
	found = c ? strchr(from, c) : NULL;
	if (c == 'u' || c == 'U') {
		t->p++;
		return unicode(t, c == 'u' ? 4 : 8);
	}
	if (!found)
		return toml_refuse(t, "a broken escape");
	t->p++;
	return put(t, &to[found - from], 1) ? CFX_OK : cfx_no_memory(t->error);
}

/* At quotes: is this the end of a long string?  Up to two more belong to it. */
static bool ends_long(struct toml *t, char quote, bool *is_good)
{
	size_t n = 0;

	while (n < 5 && t->p[n] == quote)
		n++;
	t->p += n;
	*is_good = true;
	for (size_t i = 0; i < (n < 3 ? n : n - 3); i++)
		*is_good &= put(t, &quote, 1);
	return n >= 3;
}

/* A run of bytes that stand for themselves. */
static bool put_run(struct toml *t, char quote)
{
	const char *from = t->p;

	while (*t->p != quote && *t->p != '\\' && !toml_is_control(*t->p))
		t->p++;
	return put(t, from, (size_t)(t->p - from));
}

static enum cfx_code one(struct toml *t, char quote, bool is_long, bool *is_over)
{
	bool is_good = true;

	if (*t->p == quote) {
		*is_over = !is_long || ends_long(t, quote, &is_good);
		t->p += !is_long;
	} else if (*t->p == '\\' && quote == '"') {
		t->p++;
		return escape(t, is_long);
	} else if (*t->p == '\\') {
		is_good = put(t, t->p++, 1);
	} else if (is_long && (*t->p == '\n' || (t->p[0] == '\r' && t->p[1] == '\n'))) {
		t->p += *t->p == '\r' ? 2 : 1;
		is_good = put(t, "\n", 1);
	} else if (toml_is_control(*t->p)) {
		return toml_refuse(t, t->p == t->end ? "a string without an end" :
				   "a control character in a string");
	} else {
		is_good = put_run(t, quote);
	}
	return is_good ? CFX_OK : cfx_no_memory(t->error);
}

enum cfx_code toml_string(struct toml *t, bool may_be_long)
{
	char quote = *t->p;
	bool is_long = may_be_long && t->p[1] == quote && t->p[2] == quote;
	bool is_over = false;

	t->part.n = 0;
	t->p += is_long ? 3 : 1;
	if (is_long && t->p[0] == '\r' && t->p[1] == '\n')
		t->p++;
	if (is_long && *t->p == '\n')
		t->p++;
	while (!is_over) {
		enum cfx_code rc = one(t, quote, is_long, &is_over);

		if (rc)
			return rc;
	}
	return CFX_OK;
}

/* ---- numbers ---- */

static unsigned digit_of(char c)
{
	int digit = hex_digit(c);

	return digit < 0 ? 99 : (unsigned)digit;
}

/* Digits, with underscores between two of them; 0: none, or one stands wrong. */
static size_t digits(struct str s, size_t at, unsigned base)
{
	size_t from = at;

	while (at < s.n && (digit_of(s.p[at]) < base ||
			    (s.p[at] == '_' && at > from && s.p[at - 1] != '_')))
		at++;
	return at > from && s.p[at - 1] != '_' ? at - from : 0;
}

static enum cfx_code put_json(struct toml *t, const char *text)
{
	return bytes_add(t->heap, &t->values, str_of(text)) ? CFX_OK :
							      cfx_no_memory(t->error);
}

static enum cfx_code based(struct toml *t, struct str s, unsigned base, bool *is_one)
{
	uint64_t v = 0;
	char text[24];

	*is_one = digits(s, 2, base) == s.n - 2 && s.n > 2;
	if (!*is_one)
		return CFX_OK;
	for (size_t i = 2; i < s.n; i++)
		if (s.p[i] != '_' &&
		    (__builtin_mul_overflow(v, base, &v) ||
		     __builtin_add_overflow(v, digit_of(s.p[i]), &v) || v > INT64_MAX))
			return toml_refuse(t, "an integer of more than 64 bits");
	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	return put_json(t, text);
}

static bool fits(struct str s)
{
	bool minus = s.p[0] == '-';
	uint64_t v = 0, max = (uint64_t)INT64_MAX + minus;

	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = digit_of(s.p[i]);

		if (digit > 9)
			continue;        /* a sign or underscore */
		if (v > (max - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	return true;
}

/* [+-]? whole ( . part )? ( [eE] [+-]? digits )? */
static bool is_number(struct str s, bool *is_real)
{
	size_t sign = s.n && (s.p[0] == '-' || s.p[0] == '+'), at, n;

	n = digits(s, sign, 10);
	at = sign + n;
	*is_real = at < s.n;
	if (n == 0 || (n > 1 && s.p[sign] == '0'))
		return false;
	if (at < s.n && s.p[at] == '.') {
		n = digits(s, at + 1, 10);
		if (n == 0)
			return false;
		at += 1 + n;
	}
	if (at < s.n && (s.p[at] | 32) == 'e') {
		at++;
		at += at < s.n && (s.p[at] == '-' || s.p[at] == '+');
		n = digits(s, at, 10);
		return n && at + n == s.n;
	}
	return at == s.n;
}

/* Without underscores, and without a plus in front. */
static enum cfx_code put_number(struct toml *t, struct str s)
{
	for (size_t i = s.p[0] == '+'; i < s.n; i++)
		if (s.p[i] != '_' && !bytes_add(t->heap, &t->values,
						str_n(s.p + i, 1)))
			return cfx_no_memory(t->error);
	return CFX_OK;
}

/* ---- dates and times ---- */

static unsigned number_at(struct str s, size_t at, size_t n)
{
	unsigned v = 0;

	for (size_t i = at; i < at + n; i++)
		v = v * 10 + (unsigned)(s.p[i] - '0');
	return v;
}

/* Does it stand there: '0' for a digit, else the byte itself? */
static bool has_form(struct str s, size_t at, const char *form)
{
	size_t n = strlen(form);

	if (s.n < at + n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (form[i] == '0' ? digit_of(s.p[at + i]) > 9 :
				     s.p[at + i] != form[i])
			return false;
	return true;
}

static bool is_date(struct str s)
{
	static const uint8_t days[] = { 31, 29, 31, 30, 31, 30,
					31, 31, 30, 31, 30, 31 };
	unsigned year, month, day;

	if (!has_form(s, 0, "0000-00-00"))
		return false;
	year = number_at(s, 0, 4);
	month = number_at(s, 5, 2);
	day = number_at(s, 8, 2);
	if (month < 1 || month > 12 || day < 1 || day > days[month - 1])
		return false;
	return month != 2 || day < 29 ||
	       (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

/* The length of the time at 'at', or 0. */
static size_t time_length(struct str s, size_t at)
{
	size_t n = 8;

	if (!has_form(s, at, "00:00:00") || number_at(s, at, 2) > 23 ||
	    number_at(s, at + 3, 2) > 59 || number_at(s, at + 6, 2) > 59)
		return 0;
	if (at + n == s.n || s.p[at + n] != '.')
		return n;
	for (n++; at + n < s.n && digit_of(s.p[at + n]) < 10; n++)
		;
	return n == 9 ? 0 : n;
}

/* At most nine places of a second, without zeros at the end. */
static size_t short_time(struct str s, size_t at, size_t n)
{
	n = MIN(n, (size_t)18);
	while (n > 8 && (s.p[at + n - 1] == '0' || s.p[at + n - 1] == '.'))
		n--;
	return n;
}

/* From 'at' to the end; '*zone' is how it is written. */
static bool is_zone(struct str s, size_t at, struct str *zone)
{
	struct str rest = sdk_from(s, at);

	*zone = rest;
	if (rest.n == 0)
		return true;
	if (rest.n == 1 && (rest.p[0] | 32) == 'z') {
		*zone = STR("Z");
		return true;
	}
	if (rest.n != 6 || (rest.p[0] != '+' && rest.p[0] != '-') ||
	    !has_form(rest, 1, "00:00") || number_at(rest, 1, 2) > 23 ||
	    number_at(rest, 4, 2) > 59)
		return false;
	if (number_at(rest, 1, 2) == 0 && number_at(rest, 4, 2) == 0)
		*zone = STR("Z");
	return true;
}

/* False: it is none of them. */
static bool is_moment(struct str s, struct str *date, struct str *time,
		      struct str *zone)
{
	size_t at = 0, n;

	*date = *time = *zone = STR("");
	if (is_date(s)) {
		*date = str_n(s.p, 10);
		if (s.n == 10)
			return true;
		if (s.p[10] != ' ' && (s.p[10] | 32) != 't')
			return false;
		at = 11;
	}
	n = time_length(s, at);
	*time = str_n(s.p + at, n ? short_time(s, at, n) : 0);
	return n && is_zone(s, at + n, zone) && (at || zone->n == 0);
}

static enum cfx_code put_moment(struct toml *t, struct str date, struct str time,
				struct str zone)
{
	return bytes_printf(t->heap, &t->values, "\"%.*s%s%.*s%.*s\"", STR_ARG(date),
			    date.n && time.n ? "T" : "", STR_ARG(time), STR_ARG(zone)) ?
		       CFX_OK : cfx_no_memory(t->error);
}

/* ---- plain values ---- */

static bool is_plain(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || c == '_' || c == '+' || c == '-' ||
	       c == '.' || c == ':';
}

/* A date may have a space before its time. */
static struct str token(struct toml *t)
{
	const char *from = t->p;

	while (is_plain(*t->p))
		t->p++;
	if (t->p - from == 10 && *t->p == ' ' && digit_of(t->p[1]) < 10 &&
	    has_form(str_n(from, 10), 0, "0000-00-00"))
		for (t->p++; is_plain(*t->p); t->p++)
			;
	return str_n(from, (size_t)(t->p - from));
}

static const char *word(struct str s)
{
	static const struct {
		const char *toml, *json;
	} words[] = {
		{ "true", "true" },      { "false", "false" },
		{ "inf", "\"inf\"" },    { "+inf", "\"inf\"" },
		{ "-inf", "\"-inf\"" },  { "nan", "\"nan\"" },
		{ "+nan", "\"nan\"" },   { "-nan", "\"nan\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(s, str_of(words[i].toml)))
			return words[i].json;
	return NULL;
}

static enum cfx_code plain(struct toml *t, struct str s)
{
	struct str date, time, zone;
	bool is_one = false, is_real;
	unsigned base = 0;
	enum cfx_code rc;

	if (word(s))
		return put_json(t, word(s));
	if (s.n > 2 && s.p[0] == '0')
		base = s.p[1] == 'x' ? 16 : s.p[1] == 'o' ? 8 : s.p[1] == 'b' ? 2 : 0;
	if (base) {
		rc = based(t, s, base, &is_one);
		if (rc || is_one)
			return rc;
	} else if (is_number(s, &is_real)) {
		return is_real || fits(s) ? put_number(t, s) :
			toml_refuse(t, "an integer of more than 64 bits");
	} else if (is_moment(s, &date, &time, &zone)) {
		return put_moment(t, date, time, zone);
	}
	return toml_refuse(t, "this is no value");
}

enum cfx_code toml_plain(struct toml *t)
{
	const char *from = t->p;
	struct str s = token(t);
	const char *end = t->p;
	enum cfx_code rc;

	t->p = from;                     /* where a refusal points to */
	rc = plain(t, s);
	if (rc == CFX_OK)
		t->p = end;
	return rc;
}
