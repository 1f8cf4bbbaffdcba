/*
 * struct str borrows bytes by value: never owns, need not end in NUL, may
 * hold any byte.  Pure functions; any thread.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <string.h>

#include "base/err.h"

struct str {
	const char *p;
	size_t n;
};

/* Of a literal alone: a pointer does not compile. */
#define STR(lit) ((struct str){ "" lit, sizeof(lit) - 1 })
#define STR_NONE ((struct str){ NULL, 0 })
/* For "%.*s". */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_of(const char *z)
{
	return (struct str){ z, z ? strlen(z) : 0 };
}
static inline struct str str_n(const void *p, size_t n)
{
	return (struct str){ p, n };
}
static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
/* Of a literal alone: another text would be as long as a pointer. */
#define str_is(s, lit) str_eq((s), STR("" lit))

int str_cmp(struct str a, struct str b);              /* bytes, memcmp order */
bool str_eq_nocase(struct str a, struct str b);       /* ASCII only */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_from(struct str s, size_t at);         /* clamps */
struct str str_first(struct str s, size_t n);         /* clamps */
struct str str_trim(struct str s);                    /* ASCII space, tab, CR, LF */
/* Position of a byte or text, or SIZE_MAX. */
size_t str_find(struct str s, char c);
size_t str_rfind(struct str s, char c);
size_t str_find_str(struct str s, struct str what);
/* Cuts '*s' at the first 'sep': returns what is before it and moves '*s'
 * behind it; without 'sep' returns all and leaves '*s' empty (p NULL). */
struct str str_cut(struct str *s, char sep);
/* Whole-string decimal numbers; false on anything else or overflow. */
bool str_u64(struct str s, uint64_t *out);
bool str_i64(struct str s, int64_t *out);
bool str_bool(struct str s, bool *out);               /* true|false|1|0|yes|no */
/* "64", "64KiB", "8MiB", "1GiB" to bytes; "100ms", "5s", "1m", "2h", "7d"
 * (also joined, "1m30s") to milliseconds. */
bool str_bytes(struct str s, uint64_t *out);
bool str_duration_ms(struct str s, uint64_t *out);
/* Copies into dst[cap] with a NUL; false (and truncated) if it does not fit. */
bool str_copy(char *dst, size_t cap, struct str s);
/* Edits (Levenshtein) from one to the other, for guesses at what was meant;
 * SIZE_MAX where one has more than 63 bytes. */
size_t str_distance(struct str a, struct str b);
uint64_t str_hash(struct str s);                      /* not for untrusted tables: see map.h */
bool str_is_utf8(struct str s);                       /* RFC 3629; no surrogates */
/* Bytes (1 to 4) of the UTF-8 character that 's' starts with; 0: none does. */
size_t str_utf8_len(struct str s);

#endif
