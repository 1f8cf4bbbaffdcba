/*
 * Growing bytes.  Memory doubles; the NUL behind the content is not counted
 * in n but always in cap.
 */
#include "base/buf.h"

#include <stdio.h>

#include "base/hex.h"
#include "base/mem.h"

#include "base/banned.h"

/* Enough for most keys and rows: growing costs more than what is left over. */
#define FIRST 128

void buf_reset(struct buf *b)
{
	buf_cut(b, 0);
}

void buf_reserve(struct buf *b, size_t more)
{
	void *p = b->p;
	size_t want;

	must(!__builtin_add_overflow(b->n, more, &want) && want < SIZE_MAX);
	if (want < b->cap)
		return;
	/* The first piece is often the only one. */
	if (!p) {
		b->cap = MAX(want + 1, (size_t)FIRST);
		p = mem_alloc(b->cap);
	} else {
		mem_grow(&p, &b->cap, want + 1, 1);
	}
	b->p = p;
	b->p[b->n] = '\0';
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	/* Mostly enough, so that it is formatted once. */
	buf_reserve(b, 64);
	n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
	must(n >= 0);
	if ((size_t)n >= b->cap - b->n) {
		buf_reserve(b, (size_t)n);
		n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, again);
		must(n >= 0);
	}
	va_end(again);
	b->n += (size_t)n;
}

void buf_u64(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	buf_add(b, digits + at, sizeof(digits) - at);
}

void buf_i64(struct buf *b, int64_t v)
{
	if (v < 0)
		buf_c(b, '-');
	buf_u64(b, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void buf_hex(struct buf *b, const void *p, size_t n)
{
	must(n <= SIZE_MAX / 2);
	hex_text(buf_extend(b, 2 * n), p, n);
}

/* Bytes at the start of 's' that stand in a JSON string as they are. */
static size_t json_plain(struct str s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
			break;
	}
	return i;
}

static void json_escape(struct buf *b, char c)
{
	static const char *const shorts[128] = {
		['"'] = "\\\"", ['\\'] = "\\\\", ['\b'] = "\\b",
		['\f'] = "\\f", ['\n'] = "\\n",	 ['\r'] = "\\r",
		['\t'] = "\\t",
	};

	if (shorts[(unsigned char)c])
		buf_z(b, shorts[(unsigned char)c]);
	else
		buf_printf(b, "\\u%04x", (unsigned)(unsigned char)c);
}

void buf_json(struct buf *b, struct str s)
{
	buf_c(b, '"');
	while (s.n) {
		size_t n = json_plain(s);

		if (n) {
			buf_add(b, s.p, n);
		} else if ((unsigned char)s.p[0] < 0x80) {
			json_escape(b, s.p[0]);
			n = 1;
		} else {
			n = str_utf8_len(s);
			buf_str(b, n ? str_first(s, n) : STR("\xef\xbf\xbd"));
			n = MAX(n, (size_t)1);
		}
		s = str_from(s, n);
	}
	buf_c(b, '"');
}

void buf_drop(struct buf *b, size_t n)
{
	must(n <= b->n);
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n);
	buf_cut(b, b->n - n);
}

void buf_cut(struct buf *b, size_t n)
{
	must(n <= b->n);
	b->n = n;
	if (b->p)
		b->p[n] = '\0';
}

char *buf_take(struct buf *b)
{
	char *p = b->p ? b->p : mem_dup("", 0);

	*b = BUF_NONE;
	return p;
}
