/* Growing bytes: see buf.h. */
#include "base/buf.h"

#include <stdio.h>

#include "base/mem.h"

#include "base/banned.h"

void buf_fini(struct buf *b)
{
	free(b->p);
	*b = BUF_NONE;
}

void buf_reset(struct buf *b)
{
	buf_cut(b, 0);
}

void buf_reserve(struct buf *b, size_t more)
{
	size_t want, cap = b->cap ? b->cap : 64;

	must(more < SIZE_MAX / 2 - b->n - 1);
	want = b->n + more + 1;
	if (want <= b->cap)
		return;
	while (cap < want)
		cap *= 2;
	b->p = mem_resize(b->p, cap);
	b->cap = cap;
	b->p[b->n] = '\0';
}

char *buf_extend(struct buf *b, size_t more)
{
	char *at;

	buf_reserve(b, more);
	at = b->p + b->n;
	b->n += more;
	b->p[b->n] = '\0';
	return at;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	char *at = buf_extend(b, n);

	if (n)
		memcpy(at, p, n);
}

void buf_str(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}

void buf_z(struct buf *b, const char *z)
{
	buf_add(b, z, strlen(z));
}

void buf_c(struct buf *b, char c)
{
	*buf_extend(b, 1) = c;
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	buf_reserve(b, 128);
	n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
	must(n >= 0);
	if ((size_t)n >= b->cap - b->n) {
		buf_reserve(b, (size_t)n + 1);
		vsnprintf(b->p + b->n, b->cap - b->n, fmt, again);
	}
	va_end(again);
	b->n += (size_t)n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_u64(struct buf *b, uint64_t v)
{
	char text[20];
	size_t at = sizeof(text);

	do
		text[--at] = (char)('0' + v % 10);
	while (v /= 10);
	buf_add(b, text + at, sizeof(text) - at);
}

void buf_i64(struct buf *b, int64_t v)
{
	if (v < 0)
		buf_c(b, '-');
	buf_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void buf_hex(struct buf *b, const void *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *in = p;
	char *at = buf_extend(b, 2 * n);

	for (size_t i = 0; i < n; i++) {
		at[2 * i] = hex[in[i] >> 4];
		at[2 * i + 1] = hex[in[i] & 15];
	}
}

static void json_control(struct buf *b, unsigned char c)
{
	switch (c) {
	case '\n':
		buf_z(b, "\\n");
		break;
	case '\r':
		buf_z(b, "\\r");
		break;
	case '\t':
		buf_z(b, "\\t");
		break;
	default:
		buf_printf(b, "\\u%04x", c);
	}
}

/* Length of a well-formed character at 'p' (more than one byte), or 0. */
static size_t utf8_at(const char *p, size_t left)
{
	for (size_t n = 2; n <= 4 && n <= left; n++)
		if (str_is_utf8(str_n(p, n)))
			return n;
	return 0;
}

void buf_json(struct buf *b, struct str s)
{
	size_t from = 0;

	buf_reserve(b, s.n + 2);
	buf_c(b, '"');
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		size_t n = 1;

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			i++;
			continue;
		}
		if (c >= 0x80 && (n = utf8_at(s.p + i, s.n - i)) > 0) {
			i += n;
			continue;
		}
		buf_add(b, s.p + from, i - from);
		if (c >= 0x80)
			buf_z(b, "\xef\xbf\xbd");
		else if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else
			json_control(b, c);
		from = ++i;
	}
	buf_add(b, s.p ? s.p + from : NULL, s.n - from);
	buf_c(b, '"');
}

void buf_drop(struct buf *b, size_t n)
{
	n = MIN(n, b->n);
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
	char *p;

	buf_reserve(b, 0);
	p = b->p;
	*b = BUF_NONE;
	return p;
}
