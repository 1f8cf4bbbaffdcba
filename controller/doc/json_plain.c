/* Which texts are JSON without a doubt: see parsers.h. */
#include "doc/parsers.h"

#include "base/banned.h"

#define DEPTH_MAX 64
/* So many digits are within the range of a double. */
#define DIGITS_MAX 300

struct plain {
	const char *p, *end;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static void skip_space(struct plain *t)
{
	while (t->p < t->end && (*t->p == ' ' || *t->p == '\t' ||
				 *t->p == '\n' || *t->p == '\r'))
		t->p++;
}

static bool take(struct plain *t, char c)
{
	if (t->p == t->end || *t->p != c)
		return false;
	t->p++;
	return true;
}

/* Behind the backslash.  NUL and halves of pairs are jansson's business. */
static bool plain_escape(struct plain *t)
{
	const char *h = t->p + 1;

	if (t->p == t->end)
		return false;
	if (*t->p != 'u')
		return memchr("\"\\/bfnrt", *t->p++, 8);
	if (t->end - h < 4)
		return false;
	for (unsigned i = 0; i < 4; i++)
		if (!is_hex(h[i]))
			return false;
	t->p = h + 4;
	return memcmp(h, "0000", 4) != 0 && (h[0] | 32) != 'd';
}

static bool plain_string(struct plain *t)
{
	if (!take(t, '"'))
		return false;
	while (t->p < t->end) {
		unsigned char c = (unsigned char)*t->p++;

		if (c == '"')
			return true;
		if (c < ' ' || (c == '\\' && !plain_escape(t)))
			return false;
	}
	return false;
}

/* Without an exponent, so that its size shows. */
static bool plain_number(struct plain *t)
{
	const char *from;

	(void)take(t, '-');
	from = t->p;
	if (!take(t, '0'))
		while (t->p < t->end && is_digit(*t->p))
			t->p++;
	if (t->p == from || t->p - from > DIGITS_MAX)
		return false;
	if (!take(t, '.'))
		return true;
	from = t->p;
	while (t->p < t->end && is_digit(*t->p))
		t->p++;
	return t->p > from && t->p - from <= DIGITS_MAX;
}

static bool plain_word(struct plain *t, struct str word)
{
	if (!str_starts(str_n(t->p, (size_t)(t->end - t->p)), word))
		return false;
	t->p += word.n;
	return true;
}

static bool plain_key(struct plain *t)
{
	skip_space(t);
	if (!plain_string(t))
		return false;
	skip_space(t);
	if (!take(t, ':'))
		return false;
	skip_space(t);
	return true;
}

/* Neither an object nor an array with something in it. */
static bool plain_leaf(struct plain *t)
{
	if (t->p == t->end)
		return false;
	switch (*t->p) {
	case '"':
		return plain_string(t);
	case 't':
		return plain_word(t, STR("true"));
	case 'f':
		return plain_word(t, STR("false"));
	case 'n':
		return plain_word(t, STR("null"));
	default:
		return plain_number(t);
	}
}

/* The closing bracket of the innermost, by its opening one. */
static char closing(char open)
{
	return open == '{' ? '}' : ']';
}

/* Enters objects and arrays until a value stands there that is none, or is empty. */
static bool go_in(struct plain *t, char open[DEPTH_MAX], unsigned *depth)
{
	while (t->p < t->end && (*t->p == '{' || *t->p == '[')) {
		if (*depth == DEPTH_MAX)
			return false;
		open[(*depth)++] = *t->p++;
		skip_space(t);
		if (take(t, closing(open[*depth - 1]))) {
			--*depth;
			return true;
		}
		if (open[*depth - 1] == '{' && !plain_key(t))
			return false;
	}
	return plain_leaf(t);
}

bool json_is_plain(struct str text)
{
	struct plain t = { text.p, text.p + text.n };
	char open[DEPTH_MAX];
	unsigned depth = 0;

	do {
		skip_space(&t);
		if (!go_in(&t, open, &depth))
			return false;
		skip_space(&t);
		while (depth && take(&t, closing(open[depth - 1]))) {
			depth--;
			skip_space(&t);
		}
		if (depth && !take(&t, ','))
			return false;
		skip_space(&t);
		if (depth && open[depth - 1] == '{' && !plain_key(&t))
			return false;
	} while (depth);
	return t.p == t.end;
}
