/* Targets of requests: see url.h. */
#include "http/wire/url.h"

#include "base/hex.h"

#include "base/banned.h"

static bool needs_decoding(struct str in, bool plus)
{
	return str_find(in, '%') != SIZE_MAX ||
	       (plus && str_find(in, '+') != SIZE_MAX) ||
	       str_find(in, '\0') != SIZE_MAX;
}

bool url_decode(struct arena *arena, struct str in, bool plus, struct str *out)
{
	char *to;
	size_t n = 0;

	*out = in;
	if (!needs_decoding(in, plus))
		return true;
	to = arena_alloc(arena, in.n + 1);
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (c == '%') {
			if (!hex_parse(str_first(str_from(in, i + 1), 2), &c, 1))
				return false;
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		if (c == '\0')
			return false;
		to[n++] = c;
	}
	to[n] = '\0';
	*out = str_n(to, n);
	return true;
}

static const unsigned char must_be_escaped[256] = {
	[0 ... ' '] = 1, ['#'] = 1, [0x7f ... 0xff] = 1,
};

bool url_split(struct str target, struct str *path, struct str *query)
{
	unsigned char bad = 0;
	size_t at;

	if (target.n == 0 || target.p[0] != '/')
		return false;
	for (size_t i = 0; i < target.n; i++)
		bad |= must_be_escaped[(unsigned char)target.p[i]];
	if (bad)
		return false;
	at = str_find(target, '?');
	*path = at == SIZE_MAX ? target : str_first(target, at);
	*query = at == SIZE_MAX ? STR_NONE : str_from(target, at + 1);
	return true;
}

bool url_query(struct arena *arena, struct str query, size_t max,
	       struct url_param **out, size_t *n)
{
	size_t cap = 0;

	*out = NULL;
	*n = 0;
	while (query.n) {
		struct str value = str_cut(&query, '&'), name;
		struct url_param *p;

		if (value.n == 0)
			continue;
		if (*n == max)
			return false;
		name = str_cut(&value, '=');
		*out = arena_grow(arena, *out, &cap, *n + 1, sizeof(**out));
		p = &(*out)[(*n)++];
		if (!url_decode(arena, name, true, &p->name) ||
		    !url_decode(arena, value, true, &p->value))
			return false;
	}
	return true;
}

void url_encode(struct buf *out, struct str in)
{
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '-' || c == '.' ||
			     c == '_' || c == '~';

		if (plain)
			buf_c(out, c);
		else
			buf_printf(out, "%%%02X", (unsigned char)c);
	}
}
