/*
 * Borrowed bytes: comparing, cutting, and reading numbers out of them.
 */
#include "base/str.h"

#include "base/banned.h"

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

int str_cmp(struct str a, struct str b)
{
	size_t n = MIN(a.n, b.n);
	int order = n ? memcmp(a.p, b.p, n) : 0;

	if (order)
		return order < 0 ? -1 : 1;
	return (a.n > b.n) - (a.n < b.n);
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_first(s, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n &&
	       str_eq(str_from(s, s.n - suffix.n), suffix);
}

struct str str_from(struct str s, size_t at)
{
	at = MIN(at, s.n);
	return (struct str){ at ? s.p + at : s.p, s.n - at };
}

struct str str_first(struct str s, size_t n)
{
	return (struct str){ s.p, MIN(n, s.n) };
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
	while (s.n && is_space(s.p[0]))
		s = str_from(s, 1);
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

size_t str_find(struct str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? (size_t)(at - s.p) : SIZE_MAX;
}

size_t str_rfind(struct str s, char c)
{
	const char *at = s.n ? memrchr(s.p, c, s.n) : NULL;

	return at ? (size_t)(at - s.p) : SIZE_MAX;
}

size_t str_find_str(struct str s, struct str what)
{
	const char *at;

	if (what.n == 0)
		return 0;
	at = s.n ? memmem(s.p, s.n, what.p, what.n) : NULL;
	return at ? (size_t)(at - s.p) : SIZE_MAX;
}

struct str str_cut(struct str *s, char sep)
{
	size_t at = str_find(*s, sep);
	struct str before = *s;

	if (at == SIZE_MAX) {
		*s = STR_NONE;
		return before;
	}
	before.n = at;
	*s = str_from(*s, at + 1);
	return before;
}

/* Reads digits off the front of '*s'; false without one or on overflow. */
static bool cut_u64(struct str *s, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++)
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (unsigned)(s->p[i] - '0'), &v))
			return false;
	if (i == 0)
		return false;
	*s = str_from(*s, i);
	*out = v;
	return true;
}

bool str_u64(struct str s, uint64_t *out)
{
	uint64_t v;

	if (!cut_u64(&s, &v) || s.n)
		return false;
	*out = v;
	return true;
}

bool str_i64(struct str s, int64_t *out)
{
	bool negative = s.n && s.p[0] == '-';
	uint64_t v;

	if (!str_u64(negative ? str_from(s, 1) : s, &v) ||
	    v > (uint64_t)INT64_MAX + negative)
		return false;
	*out = negative ? (int64_t)-v : (int64_t)v;
	return true;
}

bool str_bool(struct str s, bool *out)
{
	bool yes = str_is(s, "true") || str_is(s, "1") || str_is(s, "yes");

	if (!yes && !str_is(s, "false") && !str_is(s, "0") && !str_is(s, "no"))
		return false;
	*out = yes;
	return true;
}

bool str_bytes(struct str s, uint64_t *out)
{
	static const struct {
		struct str name;
		uint64_t size;
	} units[] = {
		{ { "", 0 }, 1 },
		{ { "B", 1 }, 1 },
		{ { "KiB", 3 }, 1ull << 10 },
		{ { "MiB", 3 }, 1ull << 20 },
		{ { "GiB", 3 }, 1ull << 30 },
		{ { "TiB", 3 }, 1ull << 40 },
	};
	uint64_t v;

	if (!cut_u64(&s, &v))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (str_eq(s, units[i].name))
			return !__builtin_mul_overflow(v, units[i].size, out);
	return false;
}

/* From large to small, which is also the order in which they may be joined. */
static const struct duration_unit {
	struct str name;
	uint64_t ms;
} duration_units[] = {
	{ { "d", 1 }, 86400000 },
	{ { "h", 1 }, 3600000 },
	{ { "m", 1 }, 60000 },
	{ { "s", 1 }, 1000 },
	{ { "ms", 2 }, 1 },
};

/* Index of the unit that '*s' starts with, cut off; or the number of units. */
static size_t cut_duration_unit(struct str *s)
{
	size_t n = 0, i;

	while (n < s->n && (s->p[n] < '0' || s->p[n] > '9'))
		n++;
	for (i = 0; i < ARRAY_LEN(duration_units); i++)
		if (str_eq(str_first(*s, n), duration_units[i].name))
			break;
	*s = str_from(*s, n);
	return i;
}

bool str_duration_ms(struct str s, uint64_t *out)
{
	uint64_t sum = 0, v;
	size_t unit, least = 0;

	if (str_is(s, "0")) {
		*out = 0;
		return true;
	}
	if (s.n == 0)
		return false;
	while (s.n) {
		if (!cut_u64(&s, &v))
			return false;
		unit = cut_duration_unit(&s);
		if (unit < least || unit == ARRAY_LEN(duration_units))
			return false;
		if (__builtin_mul_overflow(v, duration_units[unit].ms, &v) ||
		    __builtin_add_overflow(sum, v, &sum))
			return false;
		least = unit + 1;
	}
	*out = sum;
	return true;
}

bool str_copy(char *dst, size_t cap, struct str s)
{
	size_t n;

	must(cap > 0);
	n = MIN(s.n, cap - 1);
	if (n)
		memcpy(dst, s.p, n);
	dst[n] = '\0';
	return n == s.n;
}

/* FNV-1a, 64 bits. */
size_t str_distance(struct str a, struct str b)
{
	size_t row[64];

	if (a.n >= ARRAY_LEN(row) || b.n >= ARRAY_LEN(row))
		return SIZE_MAX;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t change = corner + (a.p[i - 1] != b.p[j - 1]);

			corner = row[j];
			row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[b.n];
}

uint64_t str_hash(struct str s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
	return h;
}

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* RFC 3629, section 4: the ranges of the second byte keep out overlong forms,
 * surrogates and what lies beyond U+10FFFF. */
size_t str_utf8_len(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;

	if (s.n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		return s.n >= 2 && is_tail(p[1]) ? 2 : 0;
	if ((p[0] & 0xf0) == 0xe0) {
		unsigned low = p[0] == 0xe0 ? 0xa0 : 0x80;
		unsigned high = p[0] == 0xed ? 0x9f : 0xbf;

		return s.n >= 3 && p[1] >= low && p[1] <= high &&
				       is_tail(p[2]) ?
			       3 :
			       0;
	}
	if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		unsigned low = p[0] == 0xf0 ? 0x90 : 0x80;
		unsigned high = p[0] == 0xf4 ? 0x8f : 0xbf;

		return s.n >= 4 && p[1] >= low && p[1] <= high &&
				       is_tail(p[2]) && is_tail(p[3]) ?
			       4 :
			       0;
	}
	return 0;
}

bool str_is_utf8(struct str s)
{
	while (s.n) {
		uint64_t eight;
		size_t n;

		if (s.n >= sizeof(eight)) {
			memcpy(&eight, s.p, sizeof(eight));
			if (!(eight & 0x8080808080808080u)) {
				s = str_from(s, sizeof(eight));
				continue;
			}
		}
		n = str_utf8_len(s);
		if (n == 0)
			return false;
		s = str_from(s, n);
	}
	return true;
}
