/* Borrowed strings: see str.h. */
#include "base/str.h"

#include "base/banned.h"

int str_cmp(struct str a, struct str b)
{
	size_t n = MIN(a.n, b.n);
	int order = n ? memcmp(a.p, b.p, n) : 0;

	if (order)
		return order;
	return a.n < b.n ? -1 : a.n > b.n;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
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
	return s.n >= suffix.n && str_eq(str_from(s, s.n - suffix.n), suffix);
}

struct str str_from(struct str s, size_t at)
{
	at = MIN(at, s.n);
	return str_n(s.p ? s.p + at : NULL, s.n - at);
}

struct str str_first(struct str s, size_t n)
{
	return str_n(s.p, MIN(n, s.n));
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
	const char *p = s.n ? memchr(s.p, c, s.n) : NULL;

	return p ? (size_t)(p - s.p) : SIZE_MAX;
}

size_t str_rfind(struct str s, char c)
{
	const char *p = s.n ? memrchr(s.p, c, s.n) : NULL;

	return p ? (size_t)(p - s.p) : SIZE_MAX;
}

size_t str_find_str(struct str s, struct str what)
{
	const char *p = s.n ? memmem(s.p, s.n, what.p, what.n) : NULL;

	return p ? (size_t)(p - s.p) : SIZE_MAX;
}

struct str str_cut(struct str *s, char sep)
{
	size_t at = str_find(*s, sep);
	struct str head = *s;

	if (at == SIZE_MAX) {
		*s = STR_NONE;
		return head;
	}
	head.n = at;
	*s = str_from(*s, at + 1);
	return head;
}

bool str_u64(struct str s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned d = (unsigned char)s.p[i] - '0';

		if (d > 9 || __builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, d, &v))
			return false;
	}
	*out = v;
	return true;
}

bool str_i64(struct str s, int64_t *out)
{
	bool minus = s.n && s.p[0] == '-';
	uint64_t v;

	if (!str_u64(str_from(s, minus), &v))
		return false;
	if (v > (uint64_t)INT64_MAX + minus)
		return false;
	*out = minus ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

bool str_bool(struct str s, bool *out)
{
	if (str_is(s, "true") || str_is(s, "1") || str_is(s, "yes"))
		*out = true;
	else if (str_is(s, "false") || str_is(s, "0") || str_is(s, "no"))
		*out = false;
	else
		return false;
	return true;
}

static size_t digits(struct str s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	return n;
}

bool str_bytes(struct str s, uint64_t *out)
{
	static const struct {
		struct str unit;
		unsigned shift;
	} units[] = {
		{ { "", 0 }, 0 }, { { "B", 1 }, 0 }, { { "KiB", 3 }, 10 },
		{ { "MiB", 3 }, 20 }, { { "GiB", 3 }, 30 }, { { "TiB", 3 }, 40 },
	};
	size_t n = digits(s);
	uint64_t v;

	if (!str_u64(str_first(s, n), &v))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (!str_eq(str_from(s, n), units[i].unit))
			continue;
		if (v > UINT64_MAX >> units[i].shift)
			return false;
		*out = v << units[i].shift;
		return true;
	}
	return false;
}

static bool duration_unit(struct str *s, uint64_t *ms)
{
	static const struct {
		struct str unit;
		uint64_t ms;
	} units[] = {
		{ { "ms", 2 }, 1 }, { { "s", 1 }, 1000 }, { { "m", 1 }, 60000 },
		{ { "h", 1 }, 3600000 }, { { "d", 1 }, 86400000 },
	};

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (!str_starts(*s, units[i].unit))
			continue;
		*ms = units[i].ms;
		*s = str_from(*s, units[i].unit.n);
		return true;
	}
	return false;
}

bool str_duration_ms(struct str s, uint64_t *out)
{
	uint64_t total = 0;

	if (s.n == 0)
		return false;
	while (s.n) {
		size_t n = digits(s);
		uint64_t v, unit;

		if (!str_u64(str_first(s, n), &v))
			return false;
		s = str_from(s, n);
		if (!duration_unit(&s, &unit) ||
		    __builtin_mul_overflow(v, unit, &v) ||
		    __builtin_add_overflow(total, v, &total))
			return false;
	}
	*out = total;
	return true;
}

bool str_copy(char *dst, size_t cap, struct str s)
{
	size_t n = MIN(s.n, cap - 1);

	must(cap > 0);
	if (n)
		memcpy(dst, s.p, n);
	dst[n] = '\0';
	return n == s.n;
}

uint64_t str_hash(struct str s)
{
	uint64_t h = 14695981039346656037ull;      /* FNV-1a */

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 1099511628211ull;
	return h;
}

/* Length of the sequence at 'p', or 0 where it is malformed. */
static size_t utf8_step(const unsigned char *p, size_t left)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 :
		   p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
	uint32_t c;

	if (n <= 1)
		return n;
	if (n > left)
		return 0;
	c = p[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return n;
}

bool str_is_utf8(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;

	for (size_t i = 0; i < s.n;) {
		size_t n = utf8_step(p + i, s.n - i);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}
