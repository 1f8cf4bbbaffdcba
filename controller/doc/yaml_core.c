/*
 * What plain YAML scalars mean by the core schema (YAML 1.2, section 10.3.2):
 * null, booleans, integers in three bases, floats; yes, no, on and off are
 * strings.  Numbers become JSON's grammar, digit for digit.
 */
#include "doc/number.h"
#include "doc/parsers.h"

#include "base/banned.h"

static bool is_in(struct str s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(s, str_of(words[i])))
			return true;
	return false;
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
	for (size_t i = 2; i < s.n; i++)
		if (digit_of(s.p[i]) >= base)
			return false;
	return s.n > 2;
}

static const char *based_integer(struct arena *arena, struct str s,
				 unsigned base, struct str *out)
{
	uint64_t v = 0;

	for (size_t i = 2; i < s.n; i++)
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, digit_of(s.p[i]), &v))
			return "an integer of more than 64 bits; put it in "
			       "quotes, or write it as decimal";
	*out = arena_printf(arena, "%llu", (unsigned long long)v);
	return NULL;
}

/* Digits and points up to an exponent, one digit at least. */
static bool looks_decimal(struct str s)
{
	size_t digits = 0;

	for (size_t i = 0; i < s.n && s.p[i] != 'e' && s.p[i] != 'E'; i++) {
		if (s.p[i] >= '0' && s.p[i] <= '9')
			digits++;
		else if (s.p[i] != '.')
			return false;
	}
	return digits > 0;
}

/* The core schema allows "+1", ".5", "1." and "01", which JSON does not. */
static bool decimal(struct arena *arena, struct str s, struct str *out)
{
	AUTO_BUF b = BUF_NONE;
	bool minus = s.n && s.p[0] == '-';
	struct str rest = str_from(s, s.n && (minus || s.p[0] == '+'));

	if (!looks_decimal(rest))
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
	*out = arena_str(arena, buf_view(&b));
	return true;
}

static bool special(struct str s, struct str *out)
{
	static const char *const infs[] = { ".inf",  ".Inf",  ".INF",
					    "+.inf", "+.Inf", "+.INF" };
	static const char *const minus_infs[] = { "-.inf", "-.Inf", "-.INF" };
	static const char *const nans[] = { ".nan", ".NaN", ".NAN" };

	if (is_in(s, infs, ARRAY_LEN(infs)))
		*out = STR("inf");
	else if (is_in(s, minus_infs, ARRAY_LEN(minus_infs)))
		*out = STR("-inf");
	else if (is_in(s, nans, ARRAY_LEN(nans)))
		*out = STR("nan");
	else
		return false;
	return true;
}

static bool word(struct str s, struct value *v)
{
	static const char *const nulls[] = { "", "null", "Null", "NULL", "~" };
	static const char *const trues[] = { "true", "True", "TRUE" };
	static const char *const falses[] = { "false", "False", "FALSE" };

	v->type = VALUE_NULL;
	if (is_in(s, nulls, ARRAY_LEN(nulls)))
		return true;
	v->type = VALUE_BOOL;
	v->b = is_in(s, trues, ARRAY_LEN(trues));
	return v->b || is_in(s, falses, ARRAY_LEN(falses));
}

const char *yaml_core(struct arena *arena, struct str s, struct value *v)
{
	if (word(s, v))
		return NULL;
	v->type = VALUE_NUMBER;
	if (special(s, &v->s))
		return NULL;
	if (str_starts(s, STR("0x")) && is_based(s, 16))
		return based_integer(arena, s, 16, &v->s);
	if (str_starts(s, STR("0o")) && is_based(s, 8))
		return based_integer(arena, s, 8, &v->s);
	if (decimal(arena, s, &v->s))
		return number_is_readable(v->s) ? NULL : NUMBER_UNREADABLE;
	v->type = VALUE_STRING;
	v->s = arena_str(arena, s);
	return NULL;
}
